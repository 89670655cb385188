"""Discounted expected residual purchases of a customer who is alive, over Gamma rate and Beta dropout.

While alive a customer buys at rate lambda ~ Gamma(k, rate s) and drops out after each purchase with
probability p ~ Beta(a, B), so that purchases end at the rate lambda p, and discounted at the continuous
rate delta all that are still to come are worth lambda / (delta + lambda p). Only ``discount = delta s``
matters: with g ~ Gamma(k, 1) the mean is E[g / (discount + g p)].

Both averages are trapezoidal sums, in log g and logit p: the integrand is analytic in a strip about the real
line, so that the sums converge exponentially in the step, and all terms are positive. The nodes of g serve
every node of p. A tail p^a or (1 - p)^B too slow to follow is a geometric series, summed whole.

Where purchases come every k phases (``erlang_residual``) the average over p is of the same form with other nodes: of
weight / (stay + leave p), so that the sum over p is written once.

Rejected: integrating discounted E[Y(t)] over t (as long, with 50 times the cost a node), and the incomplete
Gamma function of the average over g, whose series has removable singularities at every whole k.
"""

import math

import numba
import numpy as np

from bayes_clv.distributions.stirling import LARGE, beta_at, log_beta_peak, log_gamma_weight

# Trapezoidal errors are about exp(-2 pi w / h) for an integrand analytic to w from the real line: w is pi/2 for
# log g (less what Gamma's peak of that standard deviation asks) and pi for logit p. Both below 1e-12.
STEP_G = 0.25
STEP_P = 0.35
STEP_PER_SD = 0.6
# Tails below exp(-REACH) of the whole are left out.
REACH = 33.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc"})  # type: ignore[untyped-decorator]
def _mean_over_g(weight: np.ndarray, stay: np.ndarray, leave: np.ndarray, count: int, p: float) -> float:
    """Return the sum of weight / (stay + leave p); for Poisson purchases weight * g / (discount + g p)."""
    total = 0.0
    for j in range(count):
        total += weight[j] / (stay[j] + leave[j] * p)
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _gamma_nodes_about(k: float, step: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Return what ``_gamma_nodes`` does for a large shape, a narrow peak at g = k."""
    # To both sides of the peak: REACH is 8.1 standard deviations.
    half = int(10.0 / STEP_PER_SD) + 1
    g, weight_g = np.empty(2 * half + 1), np.empty(2 * half + 1)
    for i in range(-half, half + 1):
        each = k * math.exp(i * step)
        g[i + half] = each
        weight_g[i + half] = step * each * math.exp(log_gamma_weight(i * step, k))
    return g, weight_g, g.size


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _gamma_nodes(k: float, discount: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Return g, weight * g and their number: nodes of Gamma(k, 1), equal steps in log g."""
    step = min(STEP_G, STEP_PER_SD / math.sqrt(k))
    if k > LARGE:
        about: tuple[np.ndarray, np.ndarray, int] = _gamma_nodes_about(k, step)
        return about
    # Below, g / (discount + g p) is at most g / discount and what is left out at most exp(-REACH) of E.
    lowest = min(0.0, math.log(discount)) - REACH
    peak = math.log(k)
    size = int(max(0.0, peak - lowest) / step) + 400
    g = np.empty(size)
    weight_g = np.empty(size)
    log_norm = math.lgamma(k)
    count = 0
    top = k * peak - k
    for side in range(2):
        i = 0.0 if side == 0 else -1.0
        while True:
            log_g = peak + i * step
            each = math.exp(log_g)
            density = k * log_g - each
            fallen = density - top < -REACH - (max(0.0, log_g - peak) if side == 0 else 0.0)
            if fallen or (side == 1 and log_g < lowest) or count == size:
                break
            g[count] = each
            weight_g[count] = step * each * math.exp(density - log_norm)
            count += 1
            i += 1.0 if side == 0 else -1.0
    return g, weight_g, count


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _average(k: float, discount: float, a: float, big_b: float) -> float:
    g, weight_g, count = _gamma_nodes(k, discount)
    return float(average_over_p(weight_g, np.full(count, discount), g, g, count, k, discount, a, big_b))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _average_over_p_about(
    weight: np.ndarray,
    stay: np.ndarray,
    leave: np.ndarray,
    count: int,
    k: float,
    discount: float,
    a: float,
    big_b: float,
) -> float:
    """Return what ``average_over_p`` does for a + B of any size, at d = logit p - logit p0, p0 = a / (a + B)."""
    p0, q0 = a / (a + big_b), big_b / (a + big_b)
    step = min(STEP_P, STEP_PER_SD * math.sqrt(1.0 / a + 1.0 / big_b))
    # The sum over g falls with p, and p times it rises: the logarithm's slope lies between a q - B p and 1 less.
    most = math.log(k) - math.log(discount)
    total = 0.0
    for side in range(2):
        direction = -1.0 if side == 0 else 1.0
        d = 0.0 if side == 0 else step
        while True:
            log_p, log_q, log_weight = beta_at(d, a, big_b)
            p, q = p0 * math.exp(log_p), q0 * math.exp(log_q)
            value = math.exp(log_weight) * _mean_over_g(weight, stay, leave, count, p)
            total += value
            # a q - B p, which would be a difference of nearly equal numbers.
            slope = a * q * abs(math.expm1(d))
            if side == 0:
                # What is left of p is at most its weight, p^a / a or a geometric sum, times the mean at p = 0.
                if slope > 0 and log_weight + most - math.log(slope) < math.log(total * step) - REACH:
                    break
            else:
                if slope > 0 and value * (1.0 / -math.expm1(-slope * step) - 1.0) < total * 1e-16:
                    break
            d += direction * step
    return float(total * (step * math.exp(log_beta_peak(a, big_b))))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def average_over_p(
    weight: np.ndarray,
    stay: np.ndarray,
    leave: np.ndarray,
    g: np.ndarray,
    count: int,
    k: float,
    discount: float,
    a: float,
    big_b: float,
) -> float:
    """Return the mean over p ~ Beta(a, B) of the sum of weight / (stay + leave p).

    ``stay`` is at least ``leave * discount / g``, and the sum at p = 0 at most ``k / discount``.
    """
    if a + big_b > LARGE:
        return float(_average_over_p_about(weight, stay, leave, count, k, discount, a, big_b))
    highest = 0.0
    for j in range(count):
        highest = max(highest, g[j])
    log_beta = math.lgamma(a) + math.lgamma(big_b) - math.lgamma(a + big_b)
    step = min(STEP_P, STEP_PER_SD * math.sqrt(1.0 / a + 1.0 / big_b))
    start = math.log(a / big_b)
    # Left of it g p is nothing beside the discount, and the integrand is p^a; right of it (1 - p)^B.
    left_end = min(start, min(0.0, math.log(discount)) - math.log(highest)) - REACH
    right_end = max(start, 0.0) + REACH + 5.0
    most = math.log(k / discount) - math.log(a)
    total = 0.0
    for side in range(2):
        direction = -1.0 if side == 0 else 1.0
        u = start if side == 0 else start + step
        while True:
            e = math.exp(-abs(u))
            log1p_e = math.log1p(e)
            p = 1.0 / (1.0 + e) if u > 0 else e / (1.0 + e)
            log_p = -log1p_e if u > 0 else u - log1p_e
            log_q = -u - log1p_e if u > 0 else -log1p_e
            log_weight = a * log_p + big_b * log_q - log_beta
            value = math.exp(log_weight) * _mean_over_g(weight, stay, leave, count, p)
            if side == 0:
                if u < left_end:
                    total += value / -math.expm1(-a * step)
                    break
                total += value
                # What is left of p is at most p^a / a times the mean at p = 0, E[g] / discount.
                if log_weight + most < math.log(total * step) - REACH:
                    break
            else:
                if u > right_end:
                    total += value / -math.expm1(-big_b * step)
                    break
                total += value
                # The weight falls at least like exp(-(B - a odds^-1) u); past twice the odds at half that rate.
                if u > start + 1.4 and value * (2.0 / (big_b * step) + 1.0) < total * 1e-15:
                    break
            u += direction * step
    return total * step


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def residual_while_alive(k: float, discount: float, a: float, big_b: float) -> float:
    """Return the discounted purchases still to come of a customer alive now; a NumPy ufunc of float64.

    ``k`` is the shape of the rate, ``discount`` the discount rate times the rate's scale, delta (alpha + T),
    ``a`` and ``big_b`` the Beta shapes of dropout (a = 0: none). Without discount it is E[1 / p], infinite
    unless a > 1.
    NaN for a negative discount, with which no sum need exist.
    """
    if not (k > 0 and discount >= 0 and a >= 0 and big_b > 0) or math.isinf(k + a + big_b):
        return math.nan
    if discount == 0:
        return (a + big_b - 1.0) / (a - 1.0) if a > 1 else math.inf
    if math.isinf(discount):
        return 0.0
    if a == 0:
        return k / discount
    return float(_average(k, discount, a, big_b))
