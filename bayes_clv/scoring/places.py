"""Where what happened lies in the forecasts: the probability integral transform, judged without randomising.

The transform of a customer is spread evenly over [P(Y < y), P(Y <= y)] (Czado, Gneiting & Held 2009), so that no score
depends on a seed. How even the mean transform is over customers is its largest distance from the diagonal, at PLACES.
The reference of that distance is its distribution were every customer's outcome drawn from the customer's own forecast:
a sum of independent parts, so Gaussian with a covariance that is computed exactly and simulated REFERENCE_DRAWS times.
The Gaussian needs some hundred customers.
"""

import numpy as np
from numba import njit

BINS = 10
PLACES = np.linspace(0.05, 0.95, 19)
# Of a transform that is a single point, the last below 1.
LAST = 1 - 1e-12
REFERENCE_DRAWS = 20_000


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, inline="always")
def _share(below, equal, place):  # type: ignore[no-untyped-def]
    """Return how much of the transform, spread evenly over [P(Y < y), P(Y <= y)], lies below a place.

    ``below`` and ``equal`` are P(Y < y) and P(Y = y) of what happened. Where ``equal`` is 0 the transform is a single
    point, below 1.
    """
    if equal > 0:
        return min(max((place - below) / equal, 0.0), 1.0)
    return 1.0 if place > min(max(below, 0.0), LAST) else 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _summed_shares(below, equal, places):  # type: ignore[no-untyped-def]
    """Return the sums over customers of their shares below each place."""
    total = np.zeros(places.size)
    for i in range(below.size):
        for j in range(places.size):
            total[j] += _share(below[i], equal[i], places[j])
    return total


def mean_shares(below: np.ndarray, equal: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return how much of the customers' mean transform lies below each place.

    That is the place itself when the forecasts are calibrated (Czado, Gneiting & Held 2009).
    """
    total: np.ndarray = _summed_shares(below, equal, places)
    return total / below.size


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def summed_covariance(below, equal, weight, places):  # type: ignore[no-untyped-def]
    """Return the sums over forecasts of the covariance (place, place) of the transform, were they true.

    ``below`` and ``equal`` (forecast, count) are P(Y < n) and P(Y = n), and ``weight`` (forecast) is how often each
    counts. Counts of ``below`` beyond those of ``equal`` are not read.
    """
    total = np.zeros((places.size, places.size))
    deviation = np.empty(places.size)
    for i in range(below.shape[0]):
        for n in range(equal.shape[1]):
            chance = weight[i] * equal[i, n]
            if chance <= 0:
                continue
            for j in range(places.size):
                deviation[j] = _share(below[i, n], equal[i, n], places[j]) - places[j]
            for j in range(places.size):
                for m in range(places.size):
                    total[j, m] += chance * deviation[j] * deviation[m]
    return total


def pit_histogram(below: np.ndarray, equal: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the share of customers in each equal part of their own forecast; even when calibrated."""
    return np.diff(mean_shares(below, equal, np.linspace(0, 1, bins + 1)))


def pit_mean(below: np.ndarray, equal: np.ndarray) -> float:
    """Return the mean place of what happened in the forecasts; 1/2 when calibrated."""
    return float((below + equal / 2).mean())


def pit_distance(below: np.ndarray, equal: np.ndarray) -> float:
    """Return the largest distance of the mean transform from the diagonal; 0 is even."""
    return float(np.abs(mean_shares(below, equal, PLACES) - PLACES).max())


def pit_reference(covariance: np.ndarray, level: float = 0.95) -> float:
    """Return the distance that calibrated forecasts stay within, with probability ``level`` (fixed seed).

    0 where every forecast is certain: the transform is then exactly uniform.
    """
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root depends neither on the eigenvectors' signs nor on their choice where values are equal.
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    normal = np.random.default_rng(1).standard_normal((REFERENCE_DRAWS, values.size))
    simulated = normal @ root
    return float(np.quantile(np.abs(simulated).max(axis=1), level))


def amount_covariance(nothing: np.ndarray) -> np.ndarray:
    """Return the covariance (place, place) of the mean transform of amounts that are true forecasts.

    An amount is 0 with the probability ``nothing`` (customer) and continuous otherwise, so that the transform is spread
    over [0, nothing] or a uniform point above: for places a <= b the mean product is nothing × min(a / nothing, 1) ×
    min(b / nothing, 1) + max(a - nothing, 0).
    """
    # To a ten-thousandth: few distinct probabilities, however many customers.
    p, counts = np.unique(np.round(nothing, 4), return_counts=True)
    reached = np.minimum(PLACES / np.where(p > 0, p, 1.0)[:, None], 1.0)
    order = np.arange(PLACES.size)
    above = counts @ np.maximum(PLACES - p[:, None], 0.0)
    together = (counts * p)[:, None] * reached
    # A product of so few columns: BLAS would wake its threads for it, which takes a hundred times as long.
    product = np.einsum("pi,pj->ij", together, reached) + above[np.minimum(order[:, None], order)]
    covariance: np.ndarray = (product - nothing.size * PLACES[:, None] * PLACES) / nothing.size**2
    return covariance
