"""Discounted purchases of a customer alive now whose purchases come every k phases, Gamma rate and Beta dropout.

With a rate lambda a phase to come is worth E[exp(-delta t)] = theta = lambda / (lambda + delta), so that with j phases
behind it the n-th purchase is worth theta^(kn - j), and with the dropout p

    DERT = E[theta^(k - j) / (1 - theta^k + p theta^k)],

over g = lambda s ~ Gamma(c + j, 1), j with its weights (``erlang_phases``), theta = g / (g + D), D = delta s, and p ~
Beta(a, B). k = 1 is g / (D + g p) (``residual``, whose sum over p this is). The weights of j and the powers of theta
are one polynomial of z (g + D).

Over a horizon, purchases are discounted by parts on the panels of ``discounted``, the first of them a mean time between
purchases long, with Gauss' eight points each and a series at each: a relative error below 1e-7 for k to 12 and x to
300. Lobatto's five points on panels as long as there left 3e-6.
"""

import math
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import ArrayLike

from bayes_clv.distributions.arrays import Array, on_distinct_rows
from bayes_clv.distributions.poisson.discounted import nodes
from bayes_clv.distributions.poisson.residual import REACH, STEP_G, STEP_PER_SD, average_over_p
from bayes_clv.distributions.regular.erlang_phases import mean_phases, phase_sum, purchases_while_alive
from bayes_clv.distributions.stirling import LARGE, log_gamma_weight

# On either side of the peak, in steps; Gamma's right end is within a fraction of it.
RIGHT_NODES = 600
_POINT, _WEIGHT = np.polynomial.legendre.leggauss(8)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _log_weight(log_g: float, phases: int, c: float, z: float, discount: float) -> float:
    """Return the log of g^c e^-g theta^k times the sum of (z (g + D))^j / j! over j < k."""
    g = math.exp(log_g)
    term = total = 1.0
    for j in range(phases - 1):
        term *= z * (g + discount) / (j + 1.0)
        total += term
    return c * log_g - g - phases * math.log1p(discount / g) + math.log(total)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _average_about(
    phases: int, c: float, z: float, discount: float, a: float, big_b: float, step: float
) -> float:
    """Return what ``_average`` does for a large shape, a narrow peak at g = c."""
    half = int(10.0 / STEP_PER_SD) + 1
    g, weight = np.empty(2 * half + 1), np.empty(2 * half + 1)
    stay, leave = np.empty(g.size), np.empty(g.size)
    silent = phase_sum(phases, c, z)
    for i in range(g.size):
        s = (i - half) * step
        g[i] = c * math.exp(s)
        log_theta_k = -phases * math.log1p(discount / g[i])
        term = total = 1.0
        for j in range(phases - 1):
            term *= z * (g[i] + discount) / (j + 1.0)
            total += term
        weight[i] = step * math.exp(log_gamma_weight(s, c) + log_theta_k) * (total / silent)
        stay[i], leave[i] = -math.expm1(log_theta_k), math.exp(log_theta_k)
    return float(average_over_p(weight, stay, leave, g, g.size, c + phases, discount, a, big_b))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _average(phases: int, c: float, z: float, discount: float, a: float, big_b: float) -> float:
    step = min(STEP_G, STEP_PER_SD / math.sqrt(c + phases))
    if c > LARGE:
        return float(_average_about(phases, c, z, discount, a, big_b, step))
    peak = math.log(c + phases)
    # Below the discount the weight falls like g^(c + 1) at least.
    lowest = min(peak, math.log(discount)) - REACH
    size = int((peak - lowest) / step) + RIGHT_NODES
    g, weight = np.empty(size), np.empty(size)
    stay, leave = np.empty(size), np.empty(size)
    log_norm = math.lgamma(c) + math.log(phase_sum(phases, c, z))
    top = -math.inf
    count = 0
    for side in range(2):
        log_g = peak if side == 0 else peak - step
        while count < size:
            log_weight = _log_weight(log_g, phases, c, z, discount)
            top = max(top, log_weight)
            if log_weight - top < -REACH - max(0.0, log_g - peak) or (side == 1 and log_g < lowest):
                break
            g[count] = math.exp(log_g)
            weight[count] = step * math.exp(log_weight - log_norm)
            log_theta_k = -phases * math.log1p(discount / g[count])
            stay[count], leave[count] = -math.expm1(log_theta_k), math.exp(log_theta_k)
            count += 1
            log_g += step if side == 0 else -step
    return float(average_over_p(weight, stay, leave, g, count, c + phases, discount, a, big_b))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def residual_while_alive(phases: float, c: float, z: float, discount: float, a: float, big_b: float) -> float:
    """Return the discounted purchases still to come of a customer alive now; a NumPy ufunc of float64.

    ``phases``, ``c`` and ``z`` as in ``erlang_phases``, ``discount`` the discount rate times the rate's scale, delta
    (alpha + T), ``a`` and ``big_b`` the Beta shapes of dropout. Without discount it is E[1 / p], infinite unless a > 1.
    NaN for a negative discount, with which no sum need exist.
    """
    valid = phases >= 1 and c > 0 and 0 <= z <= 1 and discount >= 0 and a > 0 and big_b > 0
    if not valid or math.isinf(c + a + big_b):
        return math.nan
    if discount == 0:
        return (a + big_b - 1.0) / (a - 1.0) if a > 1 else math.inf
    if math.isinf(discount):
        return 0.0
    return float(_average(int(phases), c, z, discount, a, big_b))


def discounted_purchases(
    c: ArrayLike,
    scale: ArrayLike,
    a: ArrayLike,
    big_b: ArrayLike,
    phases: ArrayLike,
    z: ArrayLike,
    horizon: float,
    discount: float,
) -> Array:
    """Return expected purchases to the horizon, each discounted from the time it occurs, (row, draw), if alive.

    Arguments as in ``discounted.discounted_purchases``, with the phases a purchase and the silence over the scale.
    """

    def of_rows(c: Array, scale: Array, a: Array, big_b: Array, phases: Array, z: Array) -> Array:
        total = purchases_while_alive(phases, c, z, horizon / scale, a, big_b) * math.exp(-discount * horizon)
        if discount == 0.0:
            return total
        # The nearest singularity of the mean lies half as far before t = 0 as with one phase, at alpha + T over 2; and
        # who bought much will buy at nearly known times, so that the mean has steps, one in phases / c of the scale.
        bend = float(np.min(scale * np.minimum(0.5, 0.5 * phases / c)))
        ends = nodes(horizon, discount, bend)[0][:, -1]
        for start, end in pairwise([0.0, *ends.tolist()]):
            half = (end - start) / 2
            for t, w in zip(start + half * (1 + _POINT), half * _WEIGHT, strict=True):
                each = purchases_while_alive(phases, c, z, t / scale, a, big_b)
                total += discount * w * math.exp(-discount * t) * each
        return total

    return on_distinct_rows(of_rows, c, scale, a, big_b, phases, z)


def mean_purchase_rate(phases: Array, c: Array, z: Array, scale: Array) -> Array:
    """Return the mean purchase rate of a customer alive now, purchases per time unit: phases are k times as many."""
    rate: Array = (c + mean_phases(phases, c, z)) / (phases * scale)
    return rate
