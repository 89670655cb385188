"""Segments that know what they do not know: how probable each customer's membership is.

A rule (``rules``) is applied to every draw of every customer's own numbers and future (``predictions.simulation``),
where each customer is in one segment, and the share of draws is the probability of membership. Thresholds that belong
to the base (``quantile``, ``bringing``) are found anew in every draw, so that their uncertainty counts too. Draws are
walked over in blocks of customers and never kept together; thresholds of the base come from a sample of it
(``thresholds``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numba import njit

from bayes_clv.distributions.arrays import owned
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import (
    CUSTOMER,
    CUSTOMER_VARIABLES,
    DRAW,
    InputError,
    Variable,
    argument,
    describe,
    in_currency,
    interval,
)
from bayes_clv.segments.rules import Rule
from bayes_clv.segments.thresholds import check_names, cut, missing_amount, thresholds_of

SEGMENT = "segment"


# A label is called unsure where its membership is less probable than this.
SURE = 0.8


def segment(
    draws: Simulation,
    rule: Rule,
    *,
    totals: Sequence[str] = (),
    sure: float = SURE,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how probably each customer belongs to each segment of a rule, and how many each segment has.

    Parameters
    ----------
    draws
        Of ``clv.simulate``.
    rule
        Of ``clv.rule`` or ``clv.read_rule``.
    totals
        Quantities whose sum over the members of each segment is wanted, such as ``("value",)``.
    sure
        A customer is unsure where its most probable segment has less than this probability.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: ``membership`` (customer, segment), probabilities that add up to 1; ``most_likely``, the most
        probable segment, and ``most_likely_probability``; ``unsure``. Over ``segment``: ``size_mean``, ``size_q05``,
        ``size_q95``, the number of customers and its 90 % interval, and ``size`` (draw, segment) behind them; the same
        of ``{quantity}_total`` for each of ``totals``. ``attrs["rule"]`` is the rule's name.

    Raises
    ------
    InputError
        A quantity that is not known, missing for some customers, or divided by zero, with the rule's line; sums that
        are not positive where ``bringing`` needs them.

    Notes
    -----
    Level: that of the quantities, outcome where the rule or ``totals`` read the future. The segments' intervals hold
    the uncertainty of the population too, so that they are wider than a binomial's.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, horizon="52 weeks", draws=100, seed=1)
    >>> kinds = clv.rule("Buyers", {"none": "purchases == 0", "once": "purchases == 1", "again": "purchases > 1"})
    >>> found = segment(draws, kinds)
    >>> found["membership"].dims, round(float(found["size_mean"].sum()))
    (('customer', 'segment'), 2357)
    """
    if not 0 < sure <= 1:
        raise InputError(f"{argument('sure', sure)} must be a probability above 0, such as 0.8.")
    _check_rule(rule)
    check_names(draws, rule, totals)
    names = list(dict.fromkeys([*rule.names(), *totals]))
    thresholds = thresholds_of(draws, rule, threads)
    count, size = len(rule.segments), draws.size
    membership = np.zeros((draws.inputs.size, count), dtype=np.float32)
    members = np.zeros((size, count), dtype=np.int64)
    sums = {name: np.zeros((size, count)) for name in totals}

    def work(places: np.ndarray, values: Mapping[str, np.ndarray]) -> _Counts:
        found = _count(draws, rule, thresholds, totals, places, values)
        # By the thread that counted: each customer is in one block.
        membership[places] = np.divide(found.membership, size, dtype=np.float32)
        return found

    for part in draws.each(work, names, threads):
        members += part.members
        for name in totals:
            sums[name] += part.sums[name]
    return segments_dataset(rule, membership, members, sums, sure, draws)


def points(values: xr.Dataset | Mapping[str, np.ndarray], rule: Rule) -> np.ndarray:
    """Return one label a customer, from one number a customer: the classic rule, which is never unsure.

    Parameters
    ----------
    values : xarray.Dataset or mapping of str to array
        The quantities that the rule reads, over customers: observed ones, or point estimates. Thresholds of the base
        are those of these numbers.
    rule : Rule

    Returns
    -------
    numpy.ndarray
        The segment's name of each customer, for comparison with ``segment``.

    Raises
    ------
    InputError
        A quantity that ``values`` lack, or that is missing for some customer.

    Examples
    --------
    >>> kinds = clv.rule("Buyers", {"one-time": "frequency == 0", "repeat": "frequency > 0"})
    >>> int((points(customers, kinds) == "repeat").sum())
    946
    """
    _check_rule(rule)
    for axis in rule.axes:
        for name in axis.quantity.names():
            if name not in values:
                raise InputError(f"{axis.quantity.place}: there is no {name!r} among the values.")
    numbers = {
        name: np.asarray(values[name], dtype=object if name in rule.texts() else np.float64)
        for name in rule.names()
    }
    amounts = rule.amounts(numbers)
    for axis, amount in zip(rule.axes, amounts, strict=True):
        if np.isnan(amount).any():
            raise InputError(
                f"{axis.quantity.place}: {axis.quantity.text!r} is missing (NaN) for "
                f"{int(np.isnan(amount).sum()):,} of {amount.size:,} customers."
            )
    thresholds = [
        cut(axis, amount[None])[:, 0] if axis.of_base else np.array(axis.levels)
        for axis, amount in zip(rule.axes, amounts, strict=True)
    ]
    names = np.array([each.name for each in rule.segments], dtype=object)
    found: np.ndarray = names[rule.assign(amounts, thresholds)]
    return found


@dataclass(frozen=True)
class _Counts:
    """Draws of one block: ``membership`` (customer, segment), ``members`` and ``sums`` (draw, segment)."""

    membership: np.ndarray
    members: np.ndarray
    sums: dict[str, np.ndarray]


def _check_rule(rule: Rule) -> None:
    if not isinstance(rule, Rule):
        raise InputError(
            f"The rule is a {type(rule).__name__}. Pass customers or draws first, and then what clv.segments.rule or "
            "clv.segments.read_rule returns."
        )


def _count(
    draws: Simulation,
    rule: Rule,
    thresholds: Sequence[np.ndarray],
    totals: Sequence[str],
    places: np.ndarray,
    values: Mapping[str, np.ndarray],
) -> _Counts:
    size, count = draws.size, len(rule.segments)
    flat = np.zeros((places.size, size), dtype=np.int32)
    for axis, amount, levels in zip(rule.axes, rule.amounts(values), thresholds, strict=True):
        of_draw = np.atleast_2d(amount)
        row = add_axis(owned(of_draw, (places.size, of_draw.shape[1])), levels, axis.cells, flat)
        if row >= 0:
            raise missing_amount(draws, axis, places[row])
    membership = np.zeros((places.size, count), dtype=np.int32)
    members = np.zeros((size, count), dtype=np.int64)
    count_segments(flat, rule.table.ravel(), membership, members)
    sums = {name: np.zeros((size, count)) for name in totals}
    for name, each in sums.items():
        add_up(flat, owned(values[name], values[name].shape), each)
    return _Counts(membership, members, sums)


def segments_dataset(
    rule: Rule,
    membership: np.ndarray,
    members: np.ndarray,
    sums: Mapping[str, np.ndarray],
    sure: float,
    draws: Simulation,
) -> xr.Dataset:
    """Return what ``segment`` returns; ``membership`` is (customer, segment), the other two (draw, segment)."""
    names = np.array([each.name for each in rule.segments], dtype=object)
    best = membership.argmax(axis=1)
    highest = membership[np.arange(best.size), best]
    data: dict[str, object] = {
        "membership": ((CUSTOMER, SEGMENT), membership),
        "most_likely": (CUSTOMER, names[best]),
        "most_likely_probability": (CUSTOMER, highest),
        "unsure": (CUSTOMER, highest < sure),
    }
    own = {name: Variable(name.replace("_", " "), "") for name in sums if name not in CUSTOMER_VARIABLES}
    for name, each in (("size", members), *((f"{total}_total", each) for total, each in sums.items())):
        low, high = interval(each, axis=0)
        data[name] = ((DRAW, SEGMENT), each)
        data |= {
            f"{name}_mean": (SEGMENT, each.mean(axis=0)),
            f"{name}_q05": (SEGMENT, low),
            f"{name}_q95": (SEGMENT, high),
        }
    found = xr.Dataset(
        data,
        # The index and not its values: pandas would read a million texts again.
        coords={CUSTOMER: draws.customers.indexes[CUSTOMER], SEGMENT: names, DRAW: np.arange(draws.size)},
        attrs={
            "result": "segments",
            "rule": rule.name,
            "conditions": json.dumps({each.name: each.where for each in rule.segments}, ensure_ascii=False),
            "horizon": draws.horizon,
            "time_unit": str(draws.customers.attrs.get("time_unit", "")),
            **in_currency(draws.customers.attrs),
            "seed": draws.seed,
            "draws": draws.size,
            "sure": sure,
        },
    )
    return describe(found, own)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def add_axis(amount, thresholds, cells, flat):  # type: ignore[no-untyped-def]
    """Replace ``flat`` (customer, draw) by flat × cells + the cell on this axis; return the first row with NaN, or -1.

    ``amount`` (customer, 1 or draw); ``thresholds`` (cut, 1 or draw), rising. Cells are those of ``rules.Axis.place``:
    even an interval, odd a threshold itself.
    """
    many, moving = amount.shape[1] > 1, thresholds.shape[1] > 1
    draws = flat.shape[1]
    places = np.zeros(draws, dtype=np.int32)
    width = draws if many or moving else 1
    for i in range(flat.shape[0]):
        # Sums of comparisons and no jumps: loops that the compiler turns into vectors.
        missing = 0
        for s in range(amount.shape[1]):
            missing += np.isnan(amount[i, s])
        if missing > 0:
            return i
        places[:width] = 0
        for j in range(thresholds.shape[0]):
            if many and moving:
                for s in range(draws):
                    places[s] += np.int32(amount[i, s] >= thresholds[j, s]) + np.int32(
                        amount[i, s] > thresholds[j, s]
                    )
            else:
                for s in range(width):
                    each, threshold = amount[i, s if many else 0], thresholds[j, s if moving else 0]
                    places[s] += np.int32(each >= threshold) + np.int32(each > threshold)
        for s in range(draws):
            flat[i, s] = flat[i, s] * cells + places[s if width > 1 else 0]
    return -1


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def count_segments(flat, table, membership, members):  # type: ignore[no-untyped-def]
    """Replace cells by segments, and count them in ``membership`` (customer, segment) and ``members`` (draw, segment).

    A cell that no segment takes, -1, is one that the quantities' ranges rule out; it is counted nowhere.
    """
    for i in range(flat.shape[0]):
        for s in range(flat.shape[1]):
            segment = table[flat[i, s]]
            flat[i, s] = segment
            if segment < 0:
                continue
            membership[i, segment] += 1
            members[s, segment] += 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def add_up(found, amount, sums):  # type: ignore[no-untyped-def]
    """Add each amount, (customer, 1 or draw), to the sum of its segment, (draw, segment)."""
    many = amount.shape[1] > 1
    for i in range(found.shape[0]):
        for s in range(found.shape[1]):
            if found[i, s] >= 0:
                sums[s, found[i, s]] += amount[i, s if many else 0]
