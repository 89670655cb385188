"""Purchases at a rate that drifts, by customers who may leave at any time: the silence, and who has left when.

A customer leaves at a rate of its own, mu ~ Gamma(s, beta), independent of what it buys: P(lifetime > t) =
(beta / (beta + t))^s. With b = beta + t_x it was there still at its last purchase, and of the silence D since,

    P(silence) = (b / (b + D))^s Q(D) + integral of s / b (1 + d / b)^-(s + 1) Q(d) over d in (0, D),

Q(d) the probability of no purchase within d of one who stays (``drifting``). The first term is of those alive.

**One rule.** The integrand falls in d; what bends it are the rate's scale, b, and the time 1 / gamma in which a rate is
forgotten. On y = log1p(d / c) with 1 / c the sum of their inverses, each with a tenth of its power (as in ``silence``),
its singularities are off the axis by about pi, and the Gauss-Legendre nodes needed grow with the range of y alone
(RANGES). What is past a height of e^-NEGLIGIBLE is left out. Relative error below 1e-9 for kappa from 1e-9 to 1e4, 400
purchases, and silences to 10^6 scales (tests/distributions/test_drifting_lifetime.py).

The slopes are those of the integrand at nodes that stay where they are.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.poisson.drifting import (
    TRIM,
    after_last,
    power_sum,
    quiet,
    room_for,
    slopes_after_last,
    slopes_of_silence,
)
from bayes_clv.distributions.poisson.drifting_forecasts import log_silence_of
from bayes_clv.distributions.poisson.silence import rules
from bayes_clv.distributions.streams import mix, unit

PEAK = 10.0
NEGLIGIBLE = 40.0
# How many nodes are enough up to which range of y.
RANGES = (
    (0.4, 8),
    (1.0, 11),
    (2.0, 14),
    (3.0, 18),
    (4.5, 24),
    (6.0, 28),
    (8.0, 32),
    (10.0, 38),
    (math.inf, 52),
)
_LIMITS = np.array([limit for limit, _ in RANGES])
COUNTS = np.array([count for _, count in RANGES])
MOST = int(COUNTS[-1])
_NODES, _WEIGHTS = rules([count for _, count in RANGES])

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def nodes_of(end, scale, at, weight):  # type: ignore[no-untyped-def]
    """Write nodes and weights of an integral over (0, end), whose integrand bends at ``scale``; return how many."""
    span = math.log1p(end / scale)
    rule = 0
    while span > _LIMITS[rule]:
        rule += 1
    for j in range(COUNTS[rule]):
        at[j] = scale * math.expm1(span * _NODES[rule, j])
        weight[j] = _WEIGHTS[rule, j] * span * (scale + at[j])
    return COUNTS[rule]


@_compiled
def _log_height(mixture, least, theta, d, r, alpha, kappa, s, b):  # type: ignore[no-untyped-def]
    """Return the log of (1 + d / b)^-(s + 1) Q(d)."""
    return log_silence_of(mixture, least, theta, d, r, alpha, kappa, 1.0) - (s + 1.0) * math.log1p(d / b)


@_compiled
def _placed(mixture, least, theta, silence, r, alpha, kappa, s, b, at, weight):  # type: ignore[no-untyped-def]
    """Write the rule's nodes, its end after them, and weights of a silence > 0; return how many, and log Q(silence)."""
    mean = 0.0
    for j in range(mixture.size):
        mean += mixture[j] * (least + j)
    gamma = math.sqrt(kappa * kappa + 4.0 * kappa / alpha)
    of_rate, of_lifetime = (1.0 + (r + mean) / PEAK) / (alpha + theta), (1.0 + (s + 1.0) / PEAK) / b
    scale = 1.0 / (of_rate + of_lifetime + gamma)
    log_silent = log_silence_of(mixture, least, theta, silence, r, alpha, kappa, 1.0)
    end = silence
    if log_silent - (s + 1.0) * math.log1p(silence / b) < -NEGLIGIBLE:
        low, high = 0.0, math.log1p(silence / scale)
        while high - low > 0.1 * high:
            middle = 0.5 * (low + high)
            d = scale * math.expm1(middle)
            if _log_height(mixture, least, theta, d, r, alpha, kappa, s, b) < -NEGLIGIBLE:
                high, end = middle, d
            else:
                low = middle
    count = nodes_of(end, scale, at, weight)
    at[count] = end
    return count, log_silent


@_compiled
def leaving(mixture, least, theta, silence, r, alpha, kappa, s, b, at, weight, height):  # type: ignore[no-untyped-def]
    """Return how many nodes there are, P(silent, alive) and P(silent, left within the silence).

    ``mixture`` is that of just after the last purchase, its first weight that of ``least``, and b = beta + t_x. Written
    are the times ``at`` since the last purchase, their share of P(silent, left), ``weight``, and the relative density
    of leaving there, ``height``, 1 at 0.
    """
    if not silence > 0.0:
        return 0, 1.0, 0.0
    count, log_silent = _placed(mixture, least, theta, silence, r, alpha, kappa, s, b, at, weight)
    left = 0.0
    for j in range(count):
        height[j] = math.exp(_log_height(mixture, least, theta, at[j], r, alpha, kappa, s, b))
        weight[j] *= s / b * height[j]
        left += weight[j]
    return count, math.exp(log_silent - s * math.log1p(silence / b)), left


@_compiled
def left_after(mixture, least, theta, silence, r, alpha, kappa, s, b, room, stream, step):  # type: ignore[no-untyped-def]
    """Return a draw of how long one who left stayed after its last purchase; arguments as in ``leaving``.

    By rejection: between two of the rule's nodes the density of leaving, which falls, is at most that at the first.
    """
    at, weight, height = room
    count, _, _ = leaving(mixture, least, theta, silence, r, alpha, kappa, s, b, at, weight, height)
    total = at[0]
    for j in range(count):
        total += height[j] * (at[j + 1] - at[j])
    while True:
        stream += step
        left, cell = unit(mix(stream)) * total - at[0], -1
        while left >= 0.0 and cell < count - 1:
            cell += 1
            left -= height[cell] * (at[cell + 1] - at[cell])
        top = height[cell] if cell >= 0 else 1.0
        # What is left is below 0, and but for rounding not below minus the cell.
        d = max(at[cell + 1] + min(left, 0.0) / top, 0.0)
        stream += step
        bound = unit(mix(stream)) * top
        if bound < math.exp(_log_height(mixture, least, theta, d, r, alpha, kappa, s, b)):
            return d


@_compiled
def shape_after(mixture, least, theta, d, r, alpha, kappa, stream, step):  # type: ignore[no-untyped-def]
    """Return a draw of the shape, and the scale, of the Gamma that the rate is after no purchase for a time d > 0."""
    later, _, lost, kept = quiet(theta, d, alpha, kappa, 1.0)
    factor = lost + kept
    total = power_sum(mixture, 0, mixture.size - 1, factor)
    stream += step
    left, power, m = unit(mix(stream)) * total, 1.0, 0
    while m < mixture.size - 1:
        left -= mixture[m] * power
        if left < 0.0:
            break
        power *= factor
        m += 1
    # Of m + least purchases, those that are not forgotten.
    shape = r
    for _ in range(least + m):
        stream += step
        shape += 1.0 if unit(mix(stream)) * factor < kept else 0.0
    return shape, alpha + later


@_compiled
def room_to_leave():  # type: ignore[no-untyped-def]
    """Return the room in which ``leaving`` writes."""
    return np.empty(MOST + 1), np.empty(MOST + 1), np.empty(MOST + 1)


@_compiled
def log_likelihoods(T, start, size, times, r, alpha, kappa, s, beta):  # type: ignore[no-untyped-def]
    """Return (row): the log density of each row's purchases by one who stays, and the log probability of the rest.

    That is of having been there until the last purchase and silent since. Rows are as in ``drifting``.
    """
    rows = T.size
    bought, ended = np.zeros(rows), np.zeros(rows)
    most = np.int64(size.max()) if rows else 0
    p, work = np.empty(most + 2), room_for(most)
    at, weight, height = room_to_leave()
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        own = times[first : first + n]
        low, high, theta, bought[i] = after_last(p[: n + 2], own, r[i], alpha[i], kappa[i], work, TRIM)
        last = own[n - 1] if n else 0.0
        _, here, left = leaving(
            p[low : high + 1],
            low,
            theta,
            T[i] - last,
            r[i],
            alpha[i],
            kappa[i],
            s[i],
            beta[i] + last,
            at,
            weight,
            height,
        )
        ended[i] = math.log(here + left) - s[i] * math.log1p(last / beta[i])
    return bought, ended


@_compiled
def slopes(T, start, size, times, r, alpha, kappa, s, beta):  # type: ignore[no-untyped-def]
    """Return (row) the slopes of ``log_likelihoods``: of bought in r, alpha, kappa, then of ended in all five."""
    rows = T.size
    found = np.zeros((8, rows))
    most = np.int64(size.max()) if rows else 0
    p, q, work = np.empty(most + 2), np.empty((3, most + 2)), room_for(most)
    out, each = np.empty((4, 2)), np.empty(3)
    at, weight, _ = room_to_leave()
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        own = times[first : first + n]
        mixture, moved = p[: n + 2], q[:, : n + 2]
        window = slopes_after_last(mixture, moved, own, r[i], alpha[i], kappa[i], work, out, each)
        low, high, theta = window[0], window[1], window[2]
        found[:3, i] = each
        last = own[n - 1] if n else 0.0
        silence, b = T[i] - last, beta[i] + last
        sums, total = found[3:, i], 0.0
        if silence > 0.0:
            count, _ = _placed(
                p[low : high + 1], low, theta, silence, r[i], alpha[i], kappa[i], s[i], b, at, weight
            )
            # Those alive are one node more, of a power that is less by 1.
            at[count] = silence
            for j in range(count + 1):
                alive = j == count
                power = s[i] if alive else s[i] + 1.0
                growth = math.log1p(at[j] / b)
                log_silent = slopes_of_silence(
                    mixture, moved, window, at[j], r[i], alpha[i], kappa[i], out, each
                )
                value = math.exp(log_silent - power * growth)
                if not alive:
                    value *= weight[j] * s[i] / b
                total += value
                for v in range(3):
                    sums[v] += value * each[v]
                sums[3] += value * ((0.0 if alive else 1.0 / s[i]) - growth)
                sums[4] += value * (power * at[j] / (b + at[j]) - (0.0 if alive else 1.0)) / b
            for v in range(5):
                sums[v] /= total
        sums[3] -= math.log1p(last / beta[i])
        sums[4] += s[i] * last / (beta[i] * b)
    return found[0], found[1], found[2], found[3], found[4], found[5], found[6], found[7]
