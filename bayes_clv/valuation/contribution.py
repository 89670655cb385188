"""Why one segment is worth more than another, or than it was: how long, how often, and how much its customers buy.

The value of a segment in a draw is a product, in sums over its customers:

    value per customer =  active time / customers      cycle: for how much of the horizon they have not left yet
                        × purchases / active time      frequency: purchases while active
                        × spend / purchases            amount: spend of a purchase
                        × value / (margin × spend)     discounting, where money is discounted
                        × margin                       where two margins differ

A difference of two values, V - V0, is split over the factors by the logarithmic mean Divisia index (LMDI-I; Ang 2004,
Energy Policy 32, 1131-1139; Ang 2005, Energy Policy 33, 867-871): factor k contributes

    L(V, V0) × ln(x_k / x0_k),    L(a, b) = (a - b) / ln(a / b),  L(a, a) = a,

which adds up to V - V0 exactly, since ln(V / V0) is the sum of the ln(x_k / x0_k), and changes its sign alone when the
two are exchanged. Contributions of segments add up to those of all (consistency in aggregation). It is done in each
draw, so that the parts of a difference have intervals.

Where nothing is bought a value is 0 and a logarithm infinite. The analytical limit is taken instead (Ang & Liu 2007,
Energy Policy 35, 238-246; small numbers in place of zeros are not robust: Wood & Lenzen 2006, Energy Policy 34,
1326-1331): the factor that vanishes contributes all of the difference. What is then not defined (spend per purchase
where nothing is bought) is taken to be equal in both, and contributes nothing.

**Costs** of a simulation (``clv.predictions.costs``) are no factor, since value less costs may be below 0. Value
before costs is split, and what customers cost, expected loss by default in it, is a part of its own beside the factors:
what they cost less here adds to the difference. Where customers have margins of their own the margin is the mean one by
spend, and discounting is of what they earn.

Rejected: Shapley's value over the factors (Shorrocks 2013, Journal of Economic Inequality 11), exact too. It averages
over the orders in which factors change, n! terms whose interactions it shares out equally; of three factors its parts
and those of LMDI differ little. And changing one factor at a time, which leaves a residual or depends on the order.
"""

import math
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.predictions.money import without_moments
from bayes_clv.predictions.own_costs import BEFORE
from bayes_clv.predictions.simulation import ACTIVE_TIME, Simulation
from bayes_clv.schema import CUSTOMER, DRAW, InputError, Variable, describe, quantiles
from bayes_clv.segments.membership import Groups, groups, sum_by
from bayes_clv.segments.segmenting import SEGMENT

FACTOR = "factor"
BASE = "base"
CUSTOMERS, CYCLE, FREQUENCY, AMOUNT, DISCOUNTING, MARGIN, COSTS = (
    "customers",
    "cycle",
    "frequency",
    "amount",
    "discounting",
    "margin",
    "costs",
)
_SUMMED = (ACTIVE_TIME, "purchases", "spend", "value")
# Sums of value before costs, which is split, and of spend times margin.
_EARNED = "earned_spend"


def contributions(
    draws: Simulation,
    *,
    by: Any = None,
    baseline: str | Simulation = BASE,
    per: Literal["customer", "segment"] = "customer",
    threads: int | None = None,
) -> xr.Dataset:
    """Return what cycle, frequency and amount contribute to the difference of a segment's value from a baseline.

    Parameters
    ----------
    draws
        Of ``clv.simulate`` with a spending posterior.
    by
        Who belongs to which segment: a rule, found in every draw; or fixed labels, the name of a column, labels by
        customer id, or what ``clv.segment`` returned. Without it all customers are one segment, which needs other
        draws as the baseline.
    baseline
        With what each segment is compared: ``"base"``, all customers together; the name of a segment; or other draws
        with the same horizon (of another date, or under another scenario), where it is compared with itself.
        Thresholds of a rule that belong to the base (``quantile``, ``bringing``) are then those of each date.
    per
        ``"customer"``: mean value of a customer. ``"segment"``: value of all its customers, to which their number
        is a factor too.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Outcome level. ``factor`` is cycle (active time per customer), frequency (purchases per active time), amount
        (spend per purchase) and, where they matter, discounting, margin, customers, and costs, which are no factor:
        what customers cost less than in the baseline.

        - ``contribution`` (draw, segment, factor), in money, adds up over factors to ``difference`` (draw, segment),
          ``value`` less ``baseline_value``; and of each over draws ``_mean``, ``_q05`` and ``_q95``;
        - ``level`` and ``baseline_level`` (segment, factor), medians of the factors, each in its own ``unit`` (factor),
          and ``ratio`` (draw, segment, factor) with ``_q05``, ``_q50``, ``_q95``, what the factor is of the baseline's;
        - ``compared`` (segment): share of draws in which both have a customer; the others are NaN and not summarised.

        ``attrs["reasons"]`` says why means are NaN.

    Raises
    ------
    InputError
        Draws without money; nothing to compare; a baseline that is no segment; draws of another horizon or time unit;
        a rule as in ``clv.segment``.

    Notes
    -----
    Of one posterior, segment and baseline share their draws. The draws of another posterior are paired in order, as
    independent ones may be in any order.

    Chance in a few purchases of a small segment is part of these intervals: they say what will be, not what is typical.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> kinds = clv.rule("History", {"one-time": "frequency == 0", "repeat": "frequency > 0"})
    >>> found = contributions(draws, by=kinds)
    >>> found["factor"].values.tolist()
    ['cycle', 'frequency', 'amount']
    """
    if per not in ("customer", "segment"):
        raise InputError(f"per={per!r} must be 'customer' or 'segment'.")
    for each in (draws, baseline):
        if isinstance(each, Simulation) and each.spending is None:
            raise InputError(
                "contributions needs money: make the draws with clv.simulate(..., spending=spending)."
            )
    grouping = groups(draws, by, threads)
    sums = _sums(draws, grouping, threads)
    names = np.array(grouping.names, dtype=object)
    other, lacking = draws, lacking_mean(draws)
    if isinstance(baseline, Simulation):
        check_same_question(draws, baseline)
        other, lacking = baseline, lacking or lacking_mean(baseline)
        against, said = (
            _of_other(baseline, by, grouping, threads),
            "the same segment of the baseline",
        )
    elif baseline == BASE and baseline not in grouping.names:
        if len(grouping.names) == 1:
            raise InputError(
                "All customers are one segment, which is the base itself. Give by=, or other draws as "
                "baseline=."
            )
        against, said = (
            {name: each.sum(axis=1, keepdims=True) for name, each in sums.items()},
            "all customers",
        )
    elif baseline in grouping.names:
        place = grouping.names.index(baseline)
        against, said = {name: each[:, [place]] for name, each in sums.items()}, baseline
        kept = [i for i in range(len(names)) if i != place]
        sums, names = {name: each[:, kept] for name, each in sums.items()}, names[kept]
    else:
        raise InputError(
            f"baseline={baseline!r} is no segment. There are {', '.join(grouping.names)}; 'base' is all customers."
        )
    sums, against = _paired(sums, against)
    factors, units = _factors(draws, other, per)
    ours, theirs = _levels(sums, factors, draws), _levels(against, factors, other)
    safe = _safe(sums, against)
    values, before = (
        [each[name] / (each[CUSTOMERS] if per == "customer" else 1.0) for each in safe]
        for name in ("value", BEFORE)
    )
    exists = np.broadcast_to((sums[CUSTOMERS] > 0) & (against[CUSTOMERS] > 0), values[0].shape)
    if per == "segment":
        exists = np.ones_like(exists)
    first, second = (np.broadcast_to(each, exists.shape) for each in values)
    ratio = safe_ratio(ours, theirs)
    gross, least = (np.broadcast_to(each, exists.shape) for each in before)
    split = log_mean_shares(gross, least, ratio)
    if COSTS in factors:
        cost, other_cost = ((before[i] - values[i])[..., None] for i in range(2))
        ours, theirs = np.concatenate([ours, cost], axis=-1), np.concatenate([theirs, other_cost], axis=-1)
        ratio = safe_ratio(ours, theirs)
        split = np.concatenate([split, np.broadcast_to(other_cost - cost, (*exists.shape, 1))], axis=-1)
    return _dataset(
        draws,
        (names, factors, units),
        {
            "value": np.where(exists, first, np.nan),
            "baseline_value": np.where(exists, second, np.nan),
            "difference": np.where(exists, first - second, np.nan),
        },
        np.where(exists[..., None], split, np.nan),
        np.where(exists[..., None], ratio, np.nan),
        (np.where(exists[..., None], ours, np.nan), np.where(exists[..., None], theirs, np.nan)),
        {"segments": grouping.title, "baseline": said, "per": per, "without_means": lacking},
    )


def log_mean_shares(value: np.ndarray, baseline: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return the contribution of each factor (last axis of ``ratio``) to ``value - baseline``, by LMDI-I.

    ``ratio`` are the factors' ratios, whose product is value / baseline. A value of 0 has the factors that are 0 (or
    infinite, where the baseline is 0) to answer for it: the first of them takes the whole difference. Exact but for
    rounding; 0 where both values are.

    Examples
    --------
    >>> split = log_mean_shares(np.array([6.0]), np.array([1.0]), np.array([[2.0, 3.0]]))
    >>> [round(float(each), 4) for each in split[0]], float(split.sum())
    ([1.9343, 3.0657], 5.0)
    """
    both = (value > 0) & (baseline > 0)
    logs = np.log(np.where(both[..., None], ratio, 1.0))
    whole = np.where(both, np.log(np.where(both, value, 1.0) / np.where(both, baseline, 1.0)), 0.0)
    near = np.abs(whole) < 1e-300
    mean = np.where(both, baseline * np.where(near, 1.0, np.expm1(whole) / np.where(near, 1.0, whole)), 0.0)
    split: np.ndarray = mean[..., None] * logs
    vanishing = (ratio == 0) | np.isinf(ratio)
    first = vanishing & (np.cumsum(vanishing, axis=-1) == 1)
    one = (value > 0) != (baseline > 0)
    return np.where(one[..., None], np.where(first, (value - baseline)[..., None], 0.0), split)


def _sums(draws: Simulation, grouping: Groups, threads: int | None) -> dict[str, np.ndarray]:
    """Return (draw, segment): number of customers, and the sums of what they do."""
    size, count = draws.size, len(grouping.names)
    costs = draws.costs
    names = _SUMMED if costs is None else (*_SUMMED, BEFORE)
    added = names if costs is None else (*names, _EARNED)
    found = {name: np.zeros((size, count)) for name in (CUSTOMERS, *added)}
    needed = list(dict.fromkeys([*names, *grouping.needed]))
    for places, block in draws.blocks(needed, threads):
        members = grouping.members(places, block)
        found[CUSTOMERS] += sum_by(members, np.ones((1, 1)), count, size)
        if costs is not None:
            block[_EARNED] = costs.margin[places, None] * block["spend"]
        for name in added:
            found[name] += sum_by(members, block[name], count, size)
    return found | ({BEFORE: found["value"]} if costs is None else {})


def _of_other(
    other: Simulation,
    by: Any,
    grouping: Groups,
    threads: int | None,
) -> dict[str, np.ndarray]:
    """Return the sums of the other draws' segments, in the order of these; one that is not there is empty."""
    theirs = groups(other, by, threads)
    sums = _sums(other, theirs, threads)
    place = [theirs.names.index(name) if name in theirs.names else -1 for name in grouping.names]
    empty = {name: np.concatenate([each, np.zeros((other.size, 1))], axis=1) for name, each in sums.items()}
    return {name: each[:, place] for name, each in empty.items()}


def check_same_question(draws: Simulation, other: Simulation) -> None:
    """Refuse simulations of other time units or horizons."""
    units = [str(each.customers.attrs.get("time_unit", "")) for each in (draws, other)]
    if units[0] != units[1]:
        raise InputError(
            f"The draws are in {units[0]!r} and the baseline's in {units[1]!r}: use one time unit."
        )
    if draws.horizon != other.horizon:
        raise InputError(
            f"The draws look {draws.horizon:g} {units[0]}s ahead and the baseline {other.horizon:g}: a longer horizon "
            "is worth more for no other reason. Give both the same horizon."
        )


def _paired(
    sums: dict[str, np.ndarray], against: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return both with the same number of draws, the more of them thinned evenly."""
    sizes = [each[CUSTOMERS].shape[0] for each in (sums, against)]
    order = np.arange(min(sizes))
    first, second = (order * size // order.size for size in sizes)
    return (
        {name: each[first] for name, each in sums.items()},
        {name: each[second] for name, each in against.items()},
    )


def _factors(draws: Simulation, other: Simulation, per: str) -> tuple[list[str], list[str]]:
    time = str(draws.customers.attrs.get("time_unit", "time"))
    found = {CYCLE: time, FREQUENCY: f"1/{time}", AMOUNT: "money"}
    if per == "segment":
        found = {CUSTOMERS: "count", **found}
    if draws.discount != 0 or other.discount != 0:
        found[DISCOUNTING] = "share"
    margins = [draws.margin, other.margin]
    for place, each in enumerate((draws, other)):
        if each.costs is not None:
            margin = each.costs.margin
            margins[place] = float(margin[0]) if (margin == margin[0]).all() else math.nan
    # Of customers who differ in it not equal to itself.
    if margins[0] != margins[1]:
        found[MARGIN] = "share"
    if any(each.costs is not None for each in (draws, other)):
        found[COSTS] = "money"
    return list(found), list(found.values())


def _levels(sums: dict[str, np.ndarray], factors: list[str], draws: Simulation) -> np.ndarray:
    """Return the factors (draw, segment, factor) but costs; NaN where nobody does what they are counted by."""

    def over(name: str, by: str) -> np.ndarray:
        found = np.full(sums[by].shape, np.nan)
        np.divide(sums[name], sums[by], out=found, where=sums[by] > 0)
        return found

    own = draws.costs is not None
    margin = over(_EARNED, "spend") if own else np.full(sums[CUSTOMERS].shape, draws.margin)
    levels = {
        CUSTOMERS: sums[CUSTOMERS],
        CYCLE: over(ACTIVE_TIME, CUSTOMERS),
        FREQUENCY: over("purchases", ACTIVE_TIME),
        AMOUNT: over("spend", "purchases"),
        DISCOUNTING: over(BEFORE, "spend") / margin,
        MARGIN: margin,
    }
    return np.stack([levels[name] for name in factors if name != COSTS], axis=-1)


def _safe(*sums: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Return the sums with one customer where there is none, whose value is 0."""
    return [{**each, CUSTOMERS: np.maximum(each[CUSTOMERS], 1.0)} for each in sums]


def safe_ratio(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the ratio of each factor; 1 where it is not defined on either side or 0 on both."""
    ours, theirs = np.broadcast_arrays(ours, theirs)
    known = np.isfinite(ours) & np.isfinite(theirs) & ((ours > 0) | (theirs > 0))
    ratio = np.where(known, np.inf, 1.0)
    np.divide(ours, theirs, out=ratio, where=known & (theirs > 0))
    return ratio


def lacking_mean(draws: Simulation) -> str:
    """Return why the mean of money does not exist, or nothing."""
    assert draws.spending is not None
    lacking, times = without_moments(draws.spending, draws.customers, 1)
    if not lacking.any():
        return ""
    return say(
        "means in money are NaN, because expected spend is infinite for {lacking:,} of {size:,} customers in up to "
        "{draws} of {all} draws. Use the quantiles, or a stronger prior on q.",
        lacking=int(lacking.sum()),
        size=lacking.size,
        draws=times,
        all=draws.size,
    )


def _quantiles(values: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Return quantiles over draws of each column, of the draws in which it exists; NaN where there is none."""
    flat = values.reshape(values.shape[0], -1)
    found = np.full((len(levels), flat.shape[1]), np.nan)
    for i in range(flat.shape[1]):
        known = flat[~np.isnan(flat[:, i]), i]
        if known.size:
            found[:, i] = quantiles(known, levels)
    return found.reshape(len(levels), *values.shape[1:])


def _mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    found = np.full(total.shape, np.nan)
    np.divide(total, count, out=found, where=count > 0)
    return found


def _dataset(
    draws: Simulation,
    labels: tuple[np.ndarray, list[str], list[str]],
    values: dict[str, np.ndarray],
    split: np.ndarray,
    ratio: np.ndarray,
    levels: tuple[np.ndarray, np.ndarray],
    said: dict[str, str],
) -> xr.Dataset:
    names, factors, units = labels
    reason = said.pop("without_means")
    whose = "value of a customer" if said["per"] == "customer" else "value of the segment"
    money = {
        "value": f"mean {whose}" if said["per"] == "customer" else whose,
        "baseline_value": f"{whose} in the baseline",
        "difference": f"{whose} less the baseline's",
        "contribution": "what the factor contributes to the difference",
    }
    own = {name: Variable(text, "money", "outcome") for name, text in money.items()} | {
        "ratio": Variable("factor over the baseline's", "none", "outcome"),
        "level": Variable("the factor, median", "as in unit", "outcome"),
        "baseline_level": Variable("the baseline's factor, median", "as in unit", "outcome"),
        "compared": Variable("share of draws with both", "share"),
    }
    data: dict[str, Any] = {}
    for name, each in (*values.items(), ("contribution", split)):
        dims = (SEGMENT, FACTOR) if name == "contribution" else (SEGMENT,)
        data[name] = ((DRAW, *dims), each)
        low, high = _quantiles(each, (0.05, 0.95))
        mean = np.full(each.shape[1:], np.nan) if reason else _mean(each)
        for statistic, number in (("mean", mean), ("q05", low), ("q95", high)):
            data[f"{name}_{statistic}"] = (dims, number)
    data["ratio"] = ((DRAW, SEGMENT, FACTOR), ratio)
    for statistic, number in zip(("q05", "q50", "q95"), _quantiles(ratio, (0.05, 0.5, 0.95)), strict=True):
        data[f"ratio_{statistic}"] = ((SEGMENT, FACTOR), number)
    for name, each in zip(("level", "baseline_level"), levels, strict=True):
        whole = np.broadcast_to(each, ratio.shape)
        data[name] = ((SEGMENT, FACTOR), _quantiles(whole, (0.5,))[0])
    exists = ~np.isnan(values["difference"])
    data["compared"] = (SEGMENT, exists.mean(axis=0))
    found = xr.Dataset(
        data,
        coords={
            SEGMENT: names,
            FACTOR: np.array(factors, dtype=object),
            DRAW: np.arange(ratio.shape[0]),
            "unit": (FACTOR, np.array(units, dtype=object)),
        },
        attrs={
            "result": "contributions",
            **said,
            "horizon": draws.horizon,
            "time_unit": str(draws.customers.attrs.get("time_unit", "")),
            "customers": draws.customers.sizes[CUSTOMER],
            "seed": draws.seed,
            "draws": ratio.shape[0],
            "level": "outcome",
            "reasons": [reason] if reason else [],
        },
    )
    return describe(found, own)
