"""How well a forecast orders customers, and what its best hold."""

import numpy as np
from scipy import stats


def _pairs(values: np.ndarray) -> int:
    """Return how many pairs of equal values there are."""
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def concordance(forecast: np.ndarray, observed: np.ndarray) -> float:
    """Return the probability that of two customers who did differ the forecast ranks the better one higher.

    Kendall's concordant pairs over all pairs that differ in what was observed, a pair that the forecast
    ties counted half: 1 is a perfect ranking, 1/2 chance. Kendall's tau-b rewards ties in the forecast, and
    these data are full of ties. NaN where nobody differs.
    """
    size = observed.size
    pairs = size * (size - 1) // 2
    tied = [_pairs(values) for values in (forecast, observed)]
    if pairs == tied[1]:
        return float("nan")
    if pairs == tied[0]:
        return 0.5
    tau = float(stats.kendalltau(forecast, observed).statistic)
    excess = tau * np.sqrt(float(pairs - tied[0])) * np.sqrt(float(pairs - tied[1]))
    return float((1 + excess / (pairs - tied[1])) / 2)


def captured(ranked_by: np.ndarray, amount: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return which share of the amounts belongs to each share of customers, the highest ranked first.

    Among customers of equal rank the amount is their mean, what a random order gives on average; part
    of a customer counts in part. NaN where there is no amount to capture.
    """
    if float(amount.sum()) <= 0:
        return np.full(shares.shape, np.nan)
    gain: np.ndarray = np.interp(shares, *_gains(ranked_by, amount))
    return gain


def _gains(ranked_by: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of customers, the highest ranked first, and of their amounts, at each distinct rank."""
    _, group = np.unique(-ranked_by, return_inverse=True)
    sizes, sums = np.bincount(group), np.bincount(group, weights=amount)
    return np.append(0, np.cumsum(sizes)) / amount.size, np.append(0, np.cumsum(sums)) / amount.sum()


def gini(ranked_by: np.ndarray, amount: np.ndarray) -> float:
    """Return the Gini coefficient of the amounts in this order over that in their own; 1 is perfect, 0 chance.

    Twice the area between the captured share and the diagonal, customers of equal rank in a random order. NaN where
    nobody differs, or the order has no rank of somebody.
    """
    if float(amount.sum()) <= 0 or amount.min() == amount.max() or np.isnan(ranked_by).any():
        return float("nan")
    areas = [
        2 * np.trapezoid(share, customers) - 1
        for customers, share in (_gains(by, amount) for by in (ranked_by, amount))
    ]
    return float(areas[0] / areas[1])
