"""What is measured of a forecast of counts and of a ranking, on plain arrays.

Distributions of counts come as a function that gives P(Y = n) of distinct rows, so that a model's closed form
and a baseline's Poisson are scored by the same lines, row by row in chunks, each table of probabilities as wide
as its rows need.

How even the places in the forecasts are (the probability integral transform) is judged without randomising:
the largest distance between the mean transform and the diagonal, at PLACES. Its reference is the distribution of
that distance were every customer's purchases drawn from the customer's own forecast: a sum of independent
parts, so Gaussian with a covariance that is computed exactly and simulated REFERENCE_DRAWS times. The Gaussian
needs some hundred customers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVELS = (50, 80, 90, 95)
BINS = 10
PLACES = np.linspace(0.05, 0.95, 19)
REFERENCE_DRAWS = 20_000
# Distinct rows a table, the tail that a table may leave out (CRPS then misses its square, a column), and what
# rounding may add to a cumulative sum.
ROWS, TAIL, SLACK = 512, 1e-6, 1e-12


# (row indices, counts n) -> P(Y = n), of shape (row, n).
Probabilities = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class CountScores:
    """Scores of each customer's forecast distribution of counts, at the count that happened.

    ``below`` and ``equal`` are P(Y < y) and P(Y = y); ``covered`` and ``promised`` (level, customer) belong to
    the closed intervals of LEVELS between inverse-CDF quantiles; ``covariance`` is that of the mean
    transform at PLACES when the forecasts are true.
    """

    below: np.ndarray
    equal: np.ndarray
    crps: np.ndarray
    median: np.ndarray
    covered: np.ndarray
    promised: np.ndarray
    covariance: np.ndarray


def probability_table(probabilities: Probabilities, rows: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return P(Y = n) of the rows for n = 0, 1, …, past ``largest`` (row) and until at most TAIL is left.

    Where a row needs no more columns than others in the table, it has zeros.
    """
    table = probabilities(rows, np.arange(4))
    while True:
        width = table.shape[1]
        unfinished = (table.sum(axis=1) < 1 - TAIL) | (largest >= width)
        if not unfinished.any():
            return table
        step = max(4, width // 4)
        more = np.zeros((rows.size, step))
        more[unfinished] = probabilities(rows[unfinished], np.arange(width, width + step))
        table = np.hstack([table, more])


def count_scores(probabilities: Probabilities, row: np.ndarray, observed: np.ndarray) -> CountScores:
    """Return the scores of customers whose forecast is that of their ``row``, at the observed counts."""
    size, levels = row.size, len(LEVELS)
    scores = CountScores(
        below=np.empty(size),
        equal=np.empty(size),
        crps=np.empty(size),
        median=np.empty(size),
        covered=np.empty((levels, size), dtype=bool),
        promised=np.empty((levels, size)),
        covariance=np.zeros((PLACES.size, PLACES.size)),
    )
    order = np.argsort(row, kind="stable")
    distinct, starts = np.unique(row[order], return_index=True)
    bounds = np.append(starts, size)
    for first in range(0, distinct.size, ROWS):
        last = min(first + ROWS, distinct.size)
        among = order[bounds[first] : bounds[last]]
        local = np.searchsorted(distinct[first:last], row[among])
        _score_chunk(scores, probabilities, distinct[first:last], local, among, observed[among])
    return scores


def _score_chunk(
    scores: CountScores,
    probabilities: Probabilities,
    rows: np.ndarray,
    local: np.ndarray,
    among: np.ndarray,
    y: np.ndarray,
) -> None:
    """Write the scores of the customers ``among``, whose rows are ``rows[local]``."""
    largest = np.zeros(rows.size, dtype=np.int64)
    np.maximum.at(largest, local, y)
    table = probability_table(probabilities, rows, largest)
    start = np.zeros((rows.size, 1))
    cumulative = np.minimum(np.hstack([start, np.cumsum(table, axis=1)]), 1.0)  # column n is P(Y < n)
    scores.below[among] = cumulative[local, y]
    scores.equal[among] = table[local, y]
    # CRPS = sum of F(n)² over n < y and of (1 - F(n))² over n >= y (F(n) = cumulative n + 1).
    reached = np.hstack([start, np.cumsum(cumulative[:, 1:] ** 2, axis=1)])
    missing = np.hstack([start, np.cumsum((1 - cumulative[:, 1:]) ** 2, axis=1)])
    scores.crps[among] = reached[local, y] + missing[local, -1] - missing[local, y]

    def quantile(q: float) -> np.ndarray:
        return np.asarray((cumulative[:, 1:] < q - SLACK).sum(axis=1))

    scores.median[among] = quantile(0.5)[local]
    every = np.arange(rows.size)
    for i, level in enumerate(LEVELS):
        tail = (1 - level / 100) / 2
        low, high = quantile(tail), np.minimum(quantile(1 - tail), table.shape[1] - 1)
        scores.covered[i, among] = (low[local] <= y) & (y <= high[local])
        scores.promised[i, among] = (cumulative[every, high + 1] - cumulative[every, low])[local]
    weight = table * (np.bincount(local, minlength=rows.size) / scores.below.size**2)[:, None]
    used = weight > 0
    deviation = pit_shares(cumulative[:, :-1][used], table[used], PLACES) - PLACES
    scores.covariance[...] += (deviation * weight[used][:, None]).T @ deviation


def pit_shares(below: np.ndarray, equal: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return how much of the transform, spread evenly over [P(Y < y), P(Y <= y)], lies below each place.

    ``below`` and ``equal`` are P(Y < y) and P(Y = y) of what happened, of any shape; the places come last
    in the result. Where ``equal`` is 0 the transform is a single point. Its mean over customers is the
    place itself when the forecasts are calibrated (Czado, Gneiting & Held 2009).
    """
    below, equal = below[..., None], equal[..., None]
    point = np.clip(below, 0, 1 - 1e-12)
    width = np.where(equal > 0, equal, 1.0)
    reached: np.ndarray = np.where(equal > 0, np.clip((places - below) / width, 0, 1), places > point)
    return reached


def pit_histogram(below: np.ndarray, equal: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the share of customers in each equal part of their own forecast; even when calibrated."""
    return np.diff(pit_shares(below, equal, np.linspace(0, 1, bins + 1)).mean(axis=0))


def pit_mean(below: np.ndarray, equal: np.ndarray) -> float:
    """Return the mean place of what happened in the forecasts; 1/2 when calibrated."""
    return float((below + equal / 2).mean())


def log_score(equal: np.ndarray) -> float:
    """Return the mean of -log P(Y = y) over customers; infinite where a forecast held impossible what happened."""
    never = equal <= 0
    return float("inf") if never.any() else float(-np.log(np.where(never, 1.0, equal)).mean())


def pit_distance(below: np.ndarray, equal: np.ndarray) -> float:
    """Return the largest distance of the mean transform from the diagonal; 0 is even."""
    return float(np.abs(pit_shares(below, equal, PLACES).mean(axis=0) - PLACES).max())


def pit_reference(covariance: np.ndarray, level: float = 0.95) -> float:
    """Return the distance that calibrated forecasts stay within, with probability ``level`` (fixed seed).

    0 where every forecast is certain: the transform is then exactly uniform.
    """
    values, vectors = np.linalg.eigh(covariance)
    normal = np.random.default_rng(1).standard_normal((REFERENCE_DRAWS, values.size))
    simulated = normal * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    return float(np.quantile(np.abs(simulated).max(axis=1), level))
