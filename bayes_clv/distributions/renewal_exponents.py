"""Exponents of renewals at the pace of a calendar, and their slopes: sums of g over the periods of a contract.

The k-th renewal of a contract that began so many periods ago (``ago``) falls into the period ago - k before the last
one. Made are n renewals: Q = sum over k = 1, ..., n of g q_k, q_k = k^c - (k - 1)^c, and the next has g q_(n + 1), 0
where it is not due yet (``families.discrete.paced_retention``).
"""

import math

import numba
import numpy as np

from bayes_clv.distributions.survival import LARGEST_EXPONENT


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _powers(size: int, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Return q_k and its slope in c for k = 1, ..., size."""
    step, slope = np.empty(size), np.empty(size)
    before, steep = 0.0, 0.0
    for i in range(size):
        log_k = math.log(i + 1.0)
        power = math.exp(min(c * log_k, LARGEST_EXPONENT))
        step[i] = power - before
        slope[i] = power * log_k - steep
        before, steep = power, power * log_k
    return step, slope


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def exponents(
    ago: np.ndarray, renewals: np.ndarray, rate: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Q and the exponent of the next renewal (row,); ``rate`` (period,) is g, the others are (row,)."""
    whole, following = np.zeros(ago.size), np.zeros(ago.size)
    size = rate.size
    step, _ = _powers(size, 1.0)
    known = 1.0
    for row in range(ago.size):
        if c[row] != known:
            known = c[row]
            step, _ = _powers(size, known)
        begin, made = size - int(ago[row]), int(renewals[row])
        for k in range(made):
            whole[row] += rate[begin + k] * step[k]
        if begin + made < size:
            following[row] = rate[begin + made] * step[made]
    return whole, following


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def slopes(
    ago: np.ndarray,
    renewals: np.ndarray,
    rate: np.ndarray,
    c: np.ndarray,
    of_whole: np.ndarray,
    of_following: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the slopes in rate (period,) and c (row,) of both, weighted by (row,) and summed."""
    of_rate, of_c = np.zeros(rate.size), np.zeros(ago.size)
    size = rate.size
    step, slope = _powers(size, 1.0)
    known = 1.0
    for row in range(ago.size):
        if c[row] != known:
            known = c[row]
            step, slope = _powers(size, known)
        begin, made = size - int(ago[row]), int(renewals[row])
        for k in range(made):
            of_rate[begin + k] += of_whole[row] * step[k]
            of_c[row] += of_whole[row] * rate[begin + k] * slope[k]
        if begin + made < size:
            of_rate[begin + made] += of_following[row] * step[made]
            of_c[row] += of_following[row] * rate[begin + made] * slope[made]
    return of_rate, of_c
