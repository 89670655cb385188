"""How well a forecast orders customers, and what its best hold.

Each order is sorted once, and everything is counted from its groups of equal customers. Kendall's pairs are counted
as whole numbers by a Fenwick tree (1994), so that no rounding enters before the last division.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from bayes_clv.distributions.arrays import stretches


@dataclass(frozen=True)
class Order:
    """Customers from the lowest to the highest of some number, in groups of equal ones.

    ``order`` (customer) sorts them, ``group`` (customer, in their own order) numbers the groups from 0, the lowest, and
    ``sizes`` (group) are customers.
    """

    order: np.ndarray
    group: np.ndarray
    sizes: np.ndarray

    @property
    def tied(self) -> int:
        """Return how many pairs of equal customers there are."""
        return int((self.sizes * (self.sizes - 1) // 2).sum())


def ordered(values: np.ndarray) -> Order:
    """Return the order of customers by numbers, none of them NaN."""
    order = np.argsort(values)
    _, stretch = stretches([values[order]])
    group = np.empty_like(stretch)
    group[order] = stretch
    return Order(order, group, np.bincount(stretch))


def concordance(forecast: np.ndarray, observed: np.ndarray) -> float:
    """Return the probability that of two customers who did differ the forecast ranks the better one higher.

    Kendall's concordant pairs over all pairs that differ in what was observed, a pair that the forecast
    ties counted half: 1 is a perfect ranking, 1/2 chance. Kendall's tau-b rewards ties in the forecast, and
    these data are full of ties. NaN where nobody differs.
    """
    return _concordance(ordered(forecast), ordered(observed))


def captured(ranked_by: np.ndarray, amount: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return which share of the amounts belongs to each share of customers, the highest ranked first.

    Among customers of equal rank the amount is their mean, what a random order gives on average; part
    of a customer counts in part. NaN where there is no amount to capture.
    """
    return captured_by(ordered(ranked_by), amount, shares)


def gini(ranked_by: np.ndarray, amount: np.ndarray) -> float:
    """Return the Gini coefficient of the amounts in this order over that in their own; 1 is perfect, 0 chance.

    Twice the area between the captured share and the diagonal, customers of equal rank in a random order. NaN where
    nobody differs, or the order has no rank of somebody.
    """
    if np.isnan(ranked_by).any():
        return float("nan")
    return _gini(ordered(ranked_by), ordered(amount), amount)


class Orders:
    """Orders of columns of numbers, each sorted once: of one that equals an earlier one the very same."""

    def __init__(self) -> None:
        self._known: list[tuple[np.ndarray, Order]] = []

    def of(self, values: np.ndarray) -> Order:
        """Return the order of customers by numbers, none of them NaN."""
        for other, order in self._known:
            if np.array_equal(other, values):
                return order
        self._known.append((values, ordered(values)))
        return self._known[-1][1]


def order_measures(order: Order, amount: np.ndarray, best: Order, shares: np.ndarray) -> dict[str, Any]:
    """Return concordance, captured and gini of one order; ``best`` is that of the amounts."""
    return {
        "concordance": _concordance(order, best),
        "captured": captured_by(order, amount, shares),
        "gini": _gini(order, best, amount),
    }


def _concordance(forecast: Order, observed: Order) -> float:
    size = observed.order.size
    differing = size * (size - 1) // 2 - observed.tied
    if differing == 0:
        return float("nan")
    right, wrong = _pairs(observed.group[forecast.order], forecast.sizes, observed.sizes.size)
    return float((1 + (right - wrong) / differing) / 2)


def captured_by(order: Order, amount: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return what ``captured`` does, of a known order."""
    if float(amount.sum()) <= 0:
        return np.full(shares.shape, np.nan)
    gain: np.ndarray = np.interp(shares, *_gains(order, amount))
    return gain


def _gini(order: Order, best: Order, amount: np.ndarray) -> float:
    if float(amount.sum()) <= 0 or best.sizes.size == 1:
        return float("nan")
    areas = [
        2 * np.trapezoid(share, customers) - 1
        for customers, share in (_gains(each, amount) for each in (order, best))
    ]
    return float(areas[0] / areas[1])


def _gains(order: Order, amount: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of customers, the highest ranked first, and of their amounts, at each distinct rank."""
    sums = np.bincount(order.group, weights=amount)
    return (
        np.append(0, np.cumsum(order.sizes[::-1])) / amount.size,
        np.append(0, np.cumsum(sums[::-1])) / amount.sum(),
    )


@njit(nogil=True, cache=True)
def _pairs(ranks, sizes, groups):  # type: ignore[no-untyped-def]
    """Return how many pairs of customers of different stretches rise in ``ranks``, and how many fall.

    ``sizes`` are those of the stretches, one after the other, and ranks are below ``groups``.
    """
    tree = np.zeros(groups + 1, dtype=np.int64)
    equal = np.zeros(groups, dtype=np.int64)
    right = 0
    wrong = 0
    start = 0
    for size in sizes:
        for i in range(start, start + size):
            lower = 0
            j = ranks[i]
            while j > 0:
                lower += tree[j]
                j -= j & -j
            right += lower
            wrong += start - lower - equal[ranks[i]]
        for i in range(start, start + size):
            equal[ranks[i]] += 1
            j = ranks[i] + 1
            while j <= groups:
                tree[j] += 1
                j += j & -j
        start += size
    return right, wrong
