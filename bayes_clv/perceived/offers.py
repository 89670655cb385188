"""Price against performance: which offer gives customers more for their money, why, and at which price it is fair.

Of rival j with ratings r_ij and weights w_i (adding up to 1) and price c_j::

    performance       P_j = Σ_i w_i r_ij
    benefit advantage s (P_j - P_0)           of attribute i:  s w_i (r_ij - r_i0)
    cost advantage    c_0 - c_j               of each part of the price likewise
    total advantage   their sum
    fair price        c_0 + s (P_j - P_0)

against a reference 0: the average of the rivals, or one of them (head to head). s is what customers pay for a point of
performance, the slope of the fair-value line c = c_0 + s (P - P_0): on it the total advantage is 0, and below it an
offer gives more than it costs. (Gale 1994, Managing Customer Value; the economic value of Forbis & Mehta 1981, in
points.)

**The slope is stated, not fitted.** The line through five rivals' prices says as little as any line through five
points, and slopes down where the cheap are good; in the case of water filtration it does. What a point is worth is
asked of customers, or learned from choices; it may come as draws.
"""

import math
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.perceived.markets import ATTRIBUTE, PART, RIVAL, check_market
from bayes_clv.schema import DRAW, InputError, argument, named_quantiles

OTHER = "other"
AVERAGE = "average"
_TEXTS = {
    "performance": ("weighted performance", "points"),
    "total_price": ("price, all parts", "money"),
    "relative_performance": ("performance over that of the reference", "ratio"),
    "relative_price": ("price over that of the reference", "ratio"),
    "relative_value": ("relative performance over relative price", "ratio"),
    "benefit_advantage": ("what its performance is worth more than the reference's", "money"),
    "attribute_advantage": ("what its rating of the attribute is worth more than the reference's", "money"),
    "cost_advantage": ("what it costs less than the reference", "money"),
    "price_part_advantage": ("what the part of the price is less than the reference's", "money"),
    "total_advantage": ("benefit and cost advantage together", "money"),
    "fair_price": ("price at which it is worth as much for its price as the reference", "money"),
    "probability_best": ("probability of being the best value of all", "probability"),
    "probability_better": ("probability that the rival is better value than the other", "probability"),
    "probability_above_reference": ("probability of being better value than the reference", "probability"),
}
SUMMARISED = (
    "performance",
    "relative_value",
    "benefit_advantage",
    "cost_advantage",
    "total_advantage",
    "fair_price",
)


def price_performance(market: xr.Dataset, slope: Any, *, against: str = AVERAGE) -> xr.Dataset:
    """Return what each rival's offer is worth to customers for its price, against a reference, and why.

    Parameters
    ----------
    market
        Of ``clv.perceived.market``, ``read_market`` or, with draws, ``unsure``.
    slope
        What customers pay for one point of performance, in money a point: a positive number, or a DataArray (draw). It
        is 100 over the points that 100 of money buy.
    against
        ``"average"`` of all rivals, or a rival's name for a comparison head to head.

    Returns
    -------
    xarray.Dataset
        Of each rival, see the module's equations:

        - ``performance``, points; ``total_price``, money; both over the reference's, ``relative_performance``,
          ``relative_price`` and their ratio ``relative_value``;
        - ``benefit_advantage``, ``cost_advantage`` and ``total_advantage``, money; split in ``attribute_advantage``
          (attribute, rival) and ``price_part_advantage`` (price_part, rival);
        - ``fair_price``, money;
        - ``slope``, ``reference_performance`` and ``reference_price``: the fair-value line.

        Of a market or slope with draws each has ``draw`` where it varies, and ``_mean``, ``_q05`` and ``_q95`` beside
        it; and there are ``probability_best`` (rival), ``probability_above_reference`` (rival) and
        ``probability_better`` (rival, other), that the one is better value than the other; ties count as one half.

    Raises
    ------
    InputError
        A slope that is not positive, a rival that is not there, draws of different numbers.

    Examples
    --------
    >>> sure = clv.perceived.market(
    ...     {"taste": {"A": 8, "B": 6}}, {"taste": 1}, {"price": {"A": 100, "B": 80}}
    ... )
    >>> found = price_performance(sure, slope=15)
    >>> found["total_advantage"].values.tolist()
    [5.0, -5.0]
    """
    check_market(market)
    rate = _slope(slope)
    _check_draws(market, rate)
    performance = (market["weight"] * market["rating"]).sum(ATTRIBUTE)
    total = market["price"].sum(PART)
    basis = {"rating": market["rating"], "price": market["price"], "performance": performance, "total": total}
    reference = _reference(basis, market, against)
    benefit = rate * (performance - reference["performance"])
    saved = reference["total"] - total
    found = xr.Dataset(
        {
            "performance": performance,
            "total_price": total,
            "relative_performance": performance / reference["performance"],
            "relative_price": total / reference["total"],
            "benefit_advantage": benefit,
            "attribute_advantage": rate * market["weight"] * (market["rating"] - reference["rating"]),
            "cost_advantage": saved,
            "price_part_advantage": reference["price"] - market["price"],
            "total_advantage": benefit + saved,
            "fair_price": reference["total"] + benefit,
            "slope": rate,
            "reference_performance": reference["performance"],
            "reference_price": reference["total"],
        }
    )
    found["relative_value"] = found["relative_performance"] / found["relative_price"]
    if DRAW in found.dims:
        found = found.assign(_chances(found["total_advantage"])).assign(_summaries(found))
    for name, (text, units) in _TEXTS.items():
        if name in found:
            found[name].attrs = {"long_name": text, "units": units}
    found["slope"].attrs = {"long_name": "what a point of performance is worth", "units": "money a point"}
    found.attrs = {"result": "price and performance", "against": against}
    return found


def _reference(basis: dict[str, xr.DataArray], market: xr.Dataset, against: str) -> dict[str, xr.DataArray]:
    if against == AVERAGE:
        return {name: each.mean(RIVAL) for name, each in basis.items()}
    names = [str(name) for name in market[RIVAL].to_numpy()]
    if against not in names:
        raise InputError(
            f"{argument('against', against)} is no rival. There are {', '.join(names)}, and {AVERAGE!r}."
        )
    return {name: each.sel({RIVAL: against}, drop=True) for name, each in basis.items()}


def _slope(slope: Any) -> xr.DataArray:
    rate = slope if isinstance(slope, xr.DataArray) else xr.DataArray(_plain(slope))
    if set(rate.dims) - {DRAW}:
        raise InputError(f"The slope has the dimensions {rate.dims}. Give a number, or draws: ('{DRAW}',).")
    values = rate.to_numpy()
    bad = ~((values > 0) & (values < math.inf))
    if bad.any():
        first = argument("slope", float(values[bad].flat[0]))
        many = "" if values.ndim == 0 else f" ({int(bad.sum())} of {bad.size} draws are not)"
        raise InputError(
            f"{first} must be a positive amount of money: what customers pay for one point of performance{many}."
        )
    return rate


def _plain(slope: Any) -> float:
    try:
        return float(slope)
    except (TypeError, ValueError):
        raise InputError(
            f"{argument('slope', slope)} is no number. It is money a point of performance, such as 58.5."
        ) from None


def _check_draws(market: xr.Dataset, rate: xr.DataArray) -> None:
    sizes = {
        name: each.sizes[DRAW]
        for name, each in (("weights and ratings", market), ("the slope", rate))
        if DRAW in each.dims
    }
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{size} of {name}" for name, size in sizes.items())
        raise InputError(f"The draws differ in number: {said}. Give as many of each.")


def _chances(total: xr.DataArray) -> dict[str, xr.DataArray]:
    values = total.transpose(DRAW, RIVAL)
    drawn = values.to_numpy()
    best = drawn == drawn.max(axis=1, keepdims=True)
    names = values[RIVAL].to_numpy()
    ahead = np.sign(drawn[:, :, None] - drawn[:, None, :])
    return {
        "probability_best": values.isel({DRAW: 0}, drop=True).copy(
            data=(best / best.sum(axis=1, keepdims=True)).mean(axis=0)
        ),
        "probability_above_reference": values.isel({DRAW: 0}, drop=True).copy(
            data=(np.sign(drawn).mean(axis=0) + 1) / 2
        ),
        "probability_better": xr.DataArray(
            (ahead.mean(axis=0) + 1) / 2, coords={RIVAL: names, OTHER: names}, dims=(RIVAL, OTHER)
        ),
    }


def _summaries(found: xr.Dataset) -> dict[str, xr.DataArray]:
    made = {}
    for name in (*SUMMARISED, "attribute_advantage"):
        values = found[name]
        if DRAW not in values.dims:
            continue
        drawn = values.transpose(DRAW, ...)
        one = drawn.isel({DRAW: 0}, drop=True)
        quantile = named_quantiles(drawn.to_numpy(), axis=0)
        for each, data in (("mean", drawn.to_numpy().mean(axis=0)), *quantile.items()):
            if each in ("mean", "q05", "q95"):
                made[f"{name}_{each}"] = one.copy(data=data)
                text, units = _TEXTS[name]
                made[f"{name}_{each}"].attrs = {"long_name": f"{text} ({each})", "units": units}
    return made
