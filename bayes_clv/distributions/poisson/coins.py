"""Averages over a coin of which tosses are known: trapezoidal rules in logit p.

They are straightened at both ends, doubly exponential, as ``returning``'s rule over the rate is at one. What is
averaged is analytic in logit p for |Im| < pi / 2, so that a rule converges geometrically.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp
from bayes_clv.distributions.poisson.returning import straight

# A rule: its step, also in standard deviations; the log of how much smaller than its peak the density is at both ends.
FINE = (0.35, 0.7, 25.0)
# For six digits.
COARSE = (0.5, 0.9, 16.0)

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def coins(rule, least, count, tosses, a, b):  # type: ignore[no-untyped-def]
    """Return points p and, (heads, point), a rule's weights of Beta(a + k, b + tosses - k), k from ``least`` on."""
    widest, per_sd, depth = rule
    both = a + b + tosses
    low_a, low_b = a + least, b + max(tosses - least - count + 1.0, 0.0)
    high_a, high_b = both - low_b, both - low_a
    # The narrowest of the densities.
    middle = min(max(0.5 * both, low_a), high_a)
    step = min(widest, per_sd * math.sqrt(1.0 / middle + 1.0 / (both - middle)))
    ends = np.empty(2)
    centers = np.empty(2)
    for side in range(2):
        k, rest = (low_a, high_b) if side == 0 else (low_b, high_a)
        mean = math.log(k / rest)
        centers[side] = math.log(max(k, 0.3) / rest) - 2.0
        spread = depth / k if k < 1.0 else math.sqrt(2.0 * depth * (1.0 / k + 1.0 / rest)) + depth / k
        ends[side] = straight(mean - spread, centers[side], step)
    size = np.int64(math.ceil(max(-ends[1] - ends[0], step) / step)) + 1
    p, weight = np.empty(size), np.empty((count, size))
    log_p, log_q, jacobian = np.empty(size), np.empty(size), np.empty(size)
    for g in range(size):
        v = ends[0] + g * step
        left, right = math.exp(centers[0] - v), math.exp(v + centers[1])
        u = v - left + right
        small = math.exp(-abs(u))
        log_small = math.log1p(small)
        log_p[g] = -log_small if u >= 0.0 else u - log_small
        log_q[g] = -u - log_small if u >= 0.0 else -log_small
        p[g] = math.exp(log_p[g])
        jacobian[g] = math.log((1.0 + left + right) * step)
    for m in range(count):
        k, rest = a + least + m, max(b + tosses - least - m, 1e-300)
        scale = math.lgamma(k + rest) - math.lgamma(k) - math.lgamma(rest)
        for g in range(size):
            weight[m, g] = exp(scale + k * log_p[g] + rest * log_q[g] + jacobian[g])
    return p, weight
