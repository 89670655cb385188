"""The door for forecasts made elsewhere: another package's draws, or the means of any rule or machine learning.

What comes in is scored at once, in the names of ``clv.predict``, so that everything after this door knows one kind of
forecast. The simple rules come in by it too.

A mean alone is no distribution. Of purchases it is scored as a Poisson around it (at opportunities a binomial), the
most a rate alone can say; of money as a point, whose CRPS is its absolute error. Both are said in ``attrs["note"]``.
Rejected: spreading a point by the errors of the calibration, which would make it another forecast.
"""

from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from bayes_clv.customers.checks import check_numbers, refuse_rows
from bayes_clv.predictions.forecasts import CARRIED
from bayes_clv.predictions.scores import active_by_chance
from bayes_clv.problems import FREQUENT
from bayes_clv.schema import (
    ACTIVE_BY_CHANCE,
    CHAIN,
    CHANCE,
    CUSTOMER,
    DRAW,
    OPPORTUNITY,
    InputError,
    argument,
    describe,
)
from bayes_clv.scoring.counts import LEVELS, CountScores, count_scores
from bayes_clv.scoring.draws import STATISTICS, inside_totals, scored_draws
from bayes_clv.scoring.holdout import check_holdout, happened
from bayes_clv.scoring.places import pit_reference
from bayes_clv.units import checked_margin, discount_rate, duration, in_plural

QUANTILE = "quantile"


def forecast(
    customers: xr.Dataset,
    horizon: str | float,
    *,
    purchases: Any,
    active: Any = None,
    spend: Any = None,
    value: Any = None,
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    label: str = "made elsewhere",
) -> xr.Dataset:
    """Return a forecast that was made elsewhere as ``clv.predict`` returns one beside a holdout, ready to be scored.

    Parameters
    ----------
    customers
        Customers with a holdout.
    horizon
        The time that was forecast, which must be the holdout's: ``customers.attrs["holdout_duration"]``.
    purchases
        Of each customer over the horizon: draws (draw, customer), or a mean (customer). An array is in the customers'
        order; a DataArray over ``customer`` and ``draw`` (``chain``), a pandas Series by customer id and a DataFrame
        with a column for each id are matched by id. A DataArray over ``quantile`` and ``customer`` holds
        the n quantiles (i - 1/2) / n: they are scored as draws of each customer, and give no total.
    active
        Probability of any purchase (customer), where it has a forecast of its own; else the share of the draws,
        or 1 - exp(-mean).
    spend, value
        Money over the horizon, likewise; ``value`` after margin and discount.
    margin, annual_discount_rate
        Those of ``value``.
    label
        What tables and figures call it.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: purchases_mean, probability_active, draws_below, draws_equal, crps, ``mass_`` and ``inside_``
        of 50, 80, 90 and 95 %, purchases_q05 to _q95; of draws purchases_sd, of a mean holdout_probability, P(as many
        as happened).
        With prefix ``spend_`` and ``value_`` the mean and the scores of money, log_crps among them, on the scale of
        log(1 + amount / ``attrs["money_unit"]``). Over (chain, draw), where there are draws: purchases_total,
        active_total (and by the customers' own chance active_by_chance_total), spend_total, value_total, and how many
        customers lie in their own interval (inside_50_total to inside_95_total, and with ``spend_``). ``draws_below``
        of a mean is P(fewer) times ``attrs["draws"]``.

    Raises
    ------
    InputError
        No holdout, another horizon, arrays of another shape, ids that are missing, numbers that are negative or not
        finite, and quantiles at other places.

    Notes
    -----
    CRPS is that of the draws' own distribution, mean|X - y| - mean|X - X'| / 2 (Gneiting & Raftery 2007, eq. 21).

    Examples
    --------
    >>> half = clv.scoring.forecast(customers, "39 weeks", purchases=0.5 * customers["frequency"], label="half")
    >>> scores = clv.evaluate({"BG/NBD": future, "half": half}, customers)
    """
    length = _checked_horizon(customers, horizon)
    margin, rate = checked_margin(margin), float(annual_discount_rate)
    unit = str(customers.attrs["time_unit"])
    given = {"purchases": purchases, "spend": spend, "value": value}
    read = {name: _read(each, customers, name) for name, each in given.items() if each is not None}
    draws = _draws(read)
    real, money_unit, reasons = happened(customers, margin, rate if "value" in read else 0.0)
    carried = (*CARRIED, "opportunities")
    data: dict[str, Any] = {name: customers[name].variable for name in carried if name in customers}
    notes, attrs = [], {}
    for name, (array, joint) in read.items():
        prefix = "" if name == "purchases" else f"{name}_"
        if name not in real:
            data[f"{name}_mean"] = (CUSTOMER, array if array.ndim == 1 else array.mean(axis=0))
            continue
        if array.ndim == 2:
            columns = scored_draws(array, real[name], None if name == "purchases" else money_unit)
            if joint:
                data[f"{name}_total"] = ((CHAIN, DRAW), array.sum(axis=1)[None])
                for level, inside in inside_totals(array, real[name]).items() if name != "value" else ():
                    data[f"{prefix}inside_{level}_total"] = ((CHAIN, DRAW), inside[None])
                if name == "purchases" and "frequency" in customers:
                    often = customers["frequency"].values >= FREQUENT
                    for level, inside in inside_totals(array[:, often], real[name][often]).items():
                        data[f"frequent_inside_{level}_total"] = ((CHAIN, DRAW), inside[None])
        elif name == "purchases":
            columns, attrs["pit_reference"], note = _counts(array, real[name], length, unit, draws)
            notes.append(note)
        else:
            columns = _point(array, real[name], money_unit)
            notes.append("money a point")
        for key, column in columns.items():
            data[f"{name}_{key}" if key in STATISTICS else prefix + key] = (CUSTOMER, column)
    bought, joint = read["purchases"]
    if bought.ndim == 2:
        data["probability_active"] = (CUSTOMER, (bought > 0).mean(axis=0))
        if joint:
            data["active_total"] = ((CHAIN, DRAW), (bought > 0).sum(axis=1)[None])
            data[ACTIVE_BY_CHANCE] = ((CHAIN, DRAW, CHANCE), active_by_chance(bought > 0)[None])
    if active is not None:
        data["probability_active"] = (CUSTOMER, _probability(active, customers))
        data.pop("probability_inactive", None)
    return describe(
        xr.Dataset(data, {CUSTOMER: customers.get_index(CUSTOMER)}, {"time_unit": unit})
    ).assign_attrs(
        **attrs,
        result="prediction",
        horizon=length,
        draws=draws,
        label=label,
        note="; ".join(dict.fromkeys(notes)),
        money_unit=money_unit,
        margin=margin,
        annual_discount_rate=rate,
        discount_rate=discount_rate(rate, unit),
        level="outcome",
        reasons=reasons if read.keys() & {"spend", "value"} else [],
    )


def _checked_horizon(customers: xr.Dataset, horizon: str | float) -> float:
    """Return the horizon in time units, which must be the holdout's duration."""
    held = check_holdout(customers)
    unit = str(customers.attrs.get("time_unit"))
    length = (
        float(horizon) if unit == OPPORTUNITY and not isinstance(horizon, str) else duration(horizon, unit)
    )
    if not np.isclose(length, held, rtol=1e-9, atol=0):
        raise InputError(
            f"The forecast is of {length:g} {in_plural(unit)} and the holdout has {held:g}. Forecast the holdout: "
            f"{argument('horizon')}=customers.attrs['holdout_duration']."
        )
    return length


def _read(given: Any, customers: xr.Dataset, name: str) -> tuple[np.ndarray, bool]:
    """Return numbers (customer) or (draw, customer) in the customers' order; and if a draw is one future of all."""
    labelled = _labelled(given)
    joint = True
    if labelled is not None:
        labelled = _by_id(labelled, customers, name)
        if QUANTILE in labelled.dims:
            _check_quantiles(labelled, name)
            joint = False
        others = [dim for dim in labelled.dims if dim != CUSTOMER]
        if others not in ([], [DRAW], [CHAIN, DRAW], [QUANTILE], [DRAW, CHAIN]):
            raise InputError(
                f"{argument(name)} has the dimensions {', '.join(map(str, labelled.dims))}; give (draw, customer), "
                "(chain, draw, customer), (quantile, customer) or, of a mean, (customer)."
            )
        array = labelled.transpose(*others, CUSTOMER).to_numpy()
        array = array.reshape(-1, array.shape[-1]) if others else array
    else:
        array = np.asarray(given)
    size = customers.sizes[CUSTOMER]
    if (
        array.dtype.kind not in "iufb"
        or array.ndim not in (1, 2)
        or array.shape[-1] != size
        or not array.size
    ):
        raise InputError(
            f"{argument(name)} must be numbers (draw, customer), or a mean (customer), of {size:,} customers; it has "
            f"the shape {array.shape}."
        )
    check_numbers(customers[CUSTOMER].to_numpy(), name, _worst(array))
    return array, joint


def _worst(array: np.ndarray) -> np.ndarray:
    """Return of each customer a number that is no amount, where it has one."""
    if array.ndim == 1:
        return array.astype(float)
    least, most = array.min(axis=0).astype(float), array.max(axis=0).astype(float)
    return np.where(np.isfinite(most), least, most)


def _labelled(given: Any) -> xr.DataArray | None:
    """Return a DataArray, or pandas' Series (customer) and DataFrame (draw, customer) as one; None for bare arrays."""
    if isinstance(given, xr.DataArray):
        return given if CUSTOMER in given.coords and CUSTOMER in given.dims else None
    if not hasattr(given, "index") or not hasattr(given, "to_numpy"):
        return None
    ids = given.index if given.ndim == 1 else given.columns
    return xr.DataArray(
        given.to_numpy(),
        dims=(CUSTOMER,) if given.ndim == 1 else (DRAW, CUSTOMER),
        coords={CUSTOMER: ids.to_numpy()},
    )


def _by_id(labelled: xr.DataArray, customers: xr.Dataset, name: str) -> xr.DataArray:
    """Return it in the customers' order, matched by id."""
    place = {str(key): i for i, key in enumerate(labelled[CUSTOMER].values.tolist())}
    ids = [str(key) for key in customers[CUSTOMER].values.tolist()]
    missing = [key for key in ids if key not in place]
    if missing or len(place) != labelled.sizes[CUSTOMER]:
        what = (
            f"{len(missing):,} of {len(ids):,} customers have none, such as {missing[0]!r}"
            if missing
            else "some of its ids come twice"
        )
        raise InputError(f"{argument(name)} is matched by customer id: {what}. Forecast each customer once.")
    return labelled.isel({CUSTOMER: [place[key] for key in ids]})


def _check_quantiles(labelled: xr.DataArray, name: str) -> None:
    size = labelled.sizes[QUANTILE]
    wanted = (np.arange(size) + 0.5) / size
    levels = labelled[QUANTILE].to_numpy() if QUANTILE in labelled.coords else np.full(size, np.nan)
    if not np.allclose(levels, wanted, rtol=0, atol=1e-9):
        raise InputError(
            f"{argument(name)} has quantiles at {', '.join(f'{each:g}' for each in levels[:3])}, …; to be scored as "
            f"draws they must be at (i - 1/2) / {size}: {', '.join(f'{each:g}' for each in wanted[:3])}, …"
        )


def _draws(read: dict[str, tuple[np.ndarray, bool]]) -> int:
    """Return how many draws there are of each customer, 1 where there are means alone."""
    sizes = {name: array.shape[0] for name, (array, _) in read.items() if array.ndim == 2}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{size:,} of {name}" for name, size in sizes.items())
        raise InputError(f"The draws are {said}. A draw is one future: give as many of each.")
    return next(iter(sizes.values()), 1)


def _probability(active: Any, customers: xr.Dataset) -> np.ndarray:
    array, _ = _read(active, customers, "active")
    ids = customers[CUSTOMER].to_numpy()
    if array.ndim != 1:
        raise InputError(
            f"{argument('active')} is one probability a customer; it has the shape {array.shape}."
        )
    refuse_rows(ids, array > 1, "active", array, "above 1", "It is the probability of any purchase.")
    return array.astype(float)


def _counts(
    mean: np.ndarray, bought: np.ndarray, horizon: float, unit: str, draws: int
) -> tuple[dict[str, np.ndarray], float, str]:
    """Return what is scored of mean purchases, the reference of their places, and how they were spread."""
    mean = mean.astype(float)
    distinct, row = np.unique(mean, return_inverse=True)
    if unit == OPPORTUNITY:
        if mean.max() > horizon:
            raise InputError(
                f"{argument('purchases')} has means up to {mean.max():g}, and there are {horizon:g} opportunities."
            )
        from scipy import stats

        note = "purchases binomial around the mean"
        closed = count_scores(
            lambda rows, n: stats.binom.pmf(n, int(horizon), distinct[rows, None] / horizon), row, bought
        )
    else:
        note = "purchases Poisson around the mean"
        closed = count_scores(lambda rows, n: _poisson(n, distinct[rows, None]), row, bought, threads=1)
    columns = {
        "mean": mean,
        **dict(zip(STATISTICS[2:], closed.quantiles, strict=True)),
        "probability_active": closed.some,
        "probability_inactive": closed.none,
        "draws_below": draws * closed.below,
        "draws_equal": draws * closed.equal,
        "crps": closed.crps,
        "holdout_probability": closed.equal,
        **_intervals(closed),
    }
    return columns, pit_reference(closed.covariance), note


def _poisson(counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the Poisson probabilities of counts."""
    log: np.ndarray = special.xlogy(counts, mean) - special.gammaln(counts + 1) - mean
    return np.exp(log)


def _intervals(closed: CountScores) -> dict[str, np.ndarray]:
    found = {}
    for i, level in enumerate(LEVELS):
        found[f"mass_{level}"] = closed.promised[i]
        found[f"inside_{level}"] = closed.covered[i].astype(float)
    return found


def _point(mean: np.ndarray, amount: np.ndarray, unit: float) -> dict[str, np.ndarray]:
    """Return the scores of an amount that is forecast without uncertainty."""
    mean = mean.astype(float)
    return {
        "mean": mean,
        "crps": np.abs(mean - amount),
        "log_crps": np.abs(np.log1p(mean / unit) - np.log1p(amount / unit)),
    }
