"""A level that returns to its mean, and shocks of single periods: what is known of both from their sum.

y_i = f_i + e_i over equal periods, f a stationary autoregression of first order about 0 with the variance ``level``
and the correlation ``rho`` between neighbours, the e_i independent with the variance ``shock``, all Normal. The density
of y is that of its innovations (Kalman 1960, J. Basic Engineering 82), linear in the number of periods; its slopes are
the same recursion backwards.
"""

import math

import numpy as np
from numba import njit

_LOG_TWO_PI = math.log(2 * math.pi)

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def log_density(y, level, shock, rho):  # type: ignore[no-untyped-def]
    """Return the log density of y (period,) and its slopes: in y (period,), in level, shock and rho; each an array.

    The three are variances and a correlation, arrays of no dimension.
    """
    size = y.size
    variance, noise, r = level.item(), shock.item(), rho.item()
    means, spreads = np.empty(size), np.empty(size)
    mean, spread, total = 0.0, variance, 0.0
    for i in range(size):
        means[i], spreads[i] = mean, spread
        whole = spread + noise
        innovation = y[i] - mean
        total -= 0.5 * (_LOG_TWO_PI + math.log(whole) + innovation * innovation / whole)
        mean = r * (mean + spread / whole * innovation)
        spread = r * r * spread * noise / whole + (1.0 - r * r) * variance
    of_y = np.empty(size)
    of_level = of_shock = of_rho = of_mean = of_spread = 0.0
    for j in range(size):
        i = size - 1 - j
        mean, spread = means[i], spreads[i]
        whole = spread + noise
        innovation, gain, left = y[i] - mean, spread / whole, noise / whole
        of_rho += of_mean * (mean + gain * innovation) + of_spread * 2.0 * r * (spread * left - variance)
        of_gain = r * of_mean * innovation - of_spread * r * r * spread
        of_level += of_spread * (1.0 - r * r)
        of_innovation = r * of_mean * gain - innovation / whole
        of_whole = -0.5 / whole * (1.0 - innovation * innovation / whole) - of_gain * gain / whole
        of_y[i] = of_innovation
        of_mean = r * of_mean - of_innovation
        of_spread = of_spread * r * r * left + of_gain / whole + of_whole
        of_shock += of_whole
    of_level += of_spread
    return np.full((), total), of_y, np.full((), of_level), np.full((), of_shock), np.full((), of_rho)


@_compiled
def levels_after(y, level, shock, rho):  # type: ignore[no-untyped-def]
    """Return mean and variance (draw,) of the level f of the last period, given all y (draw, period).

    The others are (draw,): variances and correlations.
    """
    draws, size = y.shape
    means, variances = np.empty(draws), np.empty(draws)
    for s in range(draws):
        mean, spread, r = 0.0, level[s], rho[s]
        for i in range(size):
            if i > 0:
                mean *= r
                spread = r * r * spread + (1.0 - r * r) * level[s]
            gain = spread / (spread + shock[s])
            mean += gain * (y[s, i] - mean)
            spread *= 1.0 - gain
        means[s], variances[s] = mean, spread
    return means, variances
