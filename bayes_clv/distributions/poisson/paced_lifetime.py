"""Gamma purchase rates at the pace of a calendar, and a lifetime that runs in calendar time: Pareto/NBD's two clocks.

While alive a customer buys at rate lambda g(tau), lambda ~ Gamma, tau calendar time, and leaves at rate mu ~
Gamma whatever the calendar says. With G the integral of g this is no change of time: where a constant rate has time,
purchases have G and the lifetime has calendar time. g is constant in periods, so G is straight between knots.

**The past.** Alive at the end of observation the rates are Gamma(k, rate A) and Gamma(s, rate B), A = alpha + G of the
age, B = beta + age. The odds of having left in the silence D before it are s I,

    I = integral over u in (0, D) of (A / (A - h(u)))^k (B / (B - u))^s / (B - u),

u counted back from the end and h(u) the operational time since. The integrand rises with u. It is taken from D down, by
Gauss-Legendre panels that end at the knots and over which it grows by e^STEEPEST at most; powers below FLAT are taken
for FLAT, so that no panel is long beside the distance to a pole. What is below e^-NEGLIGIBLE of the largest is left
out. Relative error below 1e-9 (tests/distributions/test_paced_lifetime.py). One pass gives the slopes, too: in k, A, s,
B, and in the operational time at each knot.

**The future** is one integral over the time of leaving, or of a purchase, by the same panels (``counted``), and a sum
over periods of ``gamma_lifetime``'s time alive (``worth``), exact as that is.

Rejected: ``silence`` in each period, whose rule of twenty nodes serves any length: ten times the work.
"""

import math

import numba
import numpy as np

from bayes_clv.distributions.poisson.gamma_lifetime import time_alive

STEEPEST, FLAT, NEGLIGIBLE = 2.0, 4.0, 40.0
# Nodes where the integrand grows by e at most over a panel, and by e^STEEPEST.
FEW, MANY = 5, 6
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)


def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (1 + nodes), 0.5 * weights


_FEW, _FEW_WEIGHTS = _rule(FEW)
_MANY, _MANY_WEIGHTS = _rule(MANY)


@_compiled
def _piece(silence, width, knots):  # type: ignore[no-untyped-def]
    """Return in which period back from the end (0, 1, ...) a silence begins."""
    return max(0, min(math.ceil(silence / width - 1e-9), knots - 1) - 1)


@_compiled
def moments(silence, k, A, s, B, width, to_end, slopes, target):  # type: ignore[no-untyped-def]
    """Return log I, and the means over its integrand of log A / (A - h), 1 / (A - h), log B / (B - u), 1 / (B - u).

    ``to_end`` (knot,) is the operational time from each knot to the end, the last 0, knots ``width`` apart. Of
    ``slopes``, where it is not empty, those in the operational time at the knots 0, 1, ... back from the end are
    written. With a ``target`` in (0, 1) it stops where that share of I is reached from above, and returns the panel's
    lower and upper end in place of the first two means.
    """
    slopes[:] = 0.0
    if not silence > 0.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    end = to_end.size - 1
    piece = _piece(silence, width, to_end.size)
    rate = (to_end[end - piece - 1] - to_end[end - piece]) / width
    all_of_it = to_end[end - piece] + rate * (silence - piece * width)
    largest = -k * math.log1p(-all_of_it / A) - s * math.log1p(-silence / B)
    total = log_a = per_a = log_b = per_b = 0.0
    high = silence
    while piece >= 0:
        begin = piece * width
        rate = (to_end[end - piece - 1] - to_end[end - piece]) / width
        h_begin = to_end[end - piece]
        while high > begin:
            left = A - h_begin - rate * (high - begin)
            steep = max(k, FLAT) * rate / left + max(s + 1.0, FLAT) / (B - high)
            low = max(begin, high - STEEPEST / steep)
            if high - low < 1e-12 * high:
                low = begin
            few = steep * (high - low) <= 1.0
            nodes, weights = (_FEW, _FEW_WEIGHTS) if few else (_MANY, _MANY_WEIGHTS)
            before = total
            for j in range(nodes.size):
                u = low + (high - low) * nodes[j]
                passed = h_begin + rate * (u - begin)
                one, two = -math.log1p(-passed / A), -math.log1p(-u / B)
                of_a, of_b = 1.0 / (A - passed), 1.0 / (B - u)
                value = weights[j] * (high - low) * math.exp(k * one + s * two - largest) * of_b
                total += value
                log_a += value * one
                per_a += value * of_a
                log_b += value * two
                per_b += value * of_b
                if slopes.size > 0:
                    share = (u - begin) / width
                    slopes[piece] += value * k * of_a * (1.0 - share)
                    slopes[piece + 1] += value * k * of_a * share
            if target > 0.0 and total > target:
                return total - before, low, high, 0.0, 0.0
            high = low
            passed = h_begin + rate * (low - begin)
            if -k * math.log1p(-passed / A) - s * math.log1p(-low / B) - largest < -NEGLIGIBLE:
                high = -1.0
                break
        if high < 0.0:
            break
        piece -= 1
    if target > 0.0:
        return 0.0, 0.0, silence, 0.0, 0.0
    for j in range(slopes.size):
        slopes[j] /= total
    return largest + math.log(total), log_a / total, per_a / total, log_b / total, per_b / total


@_compiled
def moments_of_rows(silence, begin, width, to_end, k, A, s, B):  # type: ignore[no-untyped-def]
    """Return log I of each row, its slopes in k, A, s and B, and those in the operational time at knots.

    The latter are flat: of row i from ``begin[i]`` on, one a knot back from the end; ``width`` is an array of one.
    """
    rows = silence.size
    found, in_k, in_a, in_s, in_b = (
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
    )
    slopes = np.empty(int(begin[rows]))
    for i in range(rows):
        own = slopes[int(begin[i]) : int(begin[i + 1])]
        found[i], log_a, per_a, log_b, per_b = moments(
            silence[i], k[i], A[i], s[i], B[i], width[0], to_end, own, 0.0
        )
        in_k[i], in_a[i] = log_a, k[i] * (1.0 / A[i] - per_a)
        in_s[i], in_b[i] = log_b, s[i] / B[i] - (s[i] + 1.0) * per_b
    return found, in_k, in_a, in_s, in_b, slopes


def knots_of_rows(silence: np.ndarray, width: float, knots: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the slopes of each row begin, (row + 1,), and which knot, counted from the first, each is of."""
    size = np.array([_piece(each, width, knots) + 2 for each in silence], dtype=np.int64)
    begin = np.concatenate([[0], np.cumsum(size)])
    back = np.arange(begin[-1]) - np.repeat(begin[:-1], size)
    return begin, knots - 1 - back


@_compiled
def left(silence, k, A, s, B, width, to_end):  # type: ignore[no-untyped-def]
    """Return (row, draw): log odds of having left, and the means of 1 / (A - h) and of 1 / (B - u) of those who did.

    ``silence`` (row,), ``to_end`` (draw, knot), the others (row, draw).
    """
    rows, draws = k.shape
    odds, per_a, per_b = np.empty((rows, draws)), np.empty((rows, draws)), np.empty((rows, draws))
    none = np.empty(0)
    for i in range(rows):
        for m in range(draws):
            if silence[i] > 0.0:
                log_i, _, per_a[i, m], _, per_b[i, m] = moments(
                    silence[i], k[i, m], A[i, m], s[i, m], B[i, m], width, to_end[m], none, 0.0
                )
                odds[i, m] = math.log(s[i, m]) + log_i
            else:
                odds[i, m], per_a[i, m], per_b[i, m] = -math.inf, 1.0 / A[i, m], 1.0 / B[i, m]
    return odds, per_a, per_b


@_compiled
def _to_end(elapsed, end, reach, width):  # type: ignore[no-untyped-def]
    """Return the operational time from the knots that a time ``reach`` before the knot ``end`` needs, to that knot."""
    first = max(0, end - math.ceil(reach / width) - 1)
    return elapsed[end] - elapsed[first : end + 1]


@_compiled
def left_before(silence, ago, end, k, A, s, B, width, elapsed):  # type: ignore[no-untyped-def]
    """Return what ``left`` does of silences that end a time ``ago`` (row,), less than ``width``, before a knot.

    That is knot ``end`` (row,) of ``elapsed`` (draw, knot); ``A`` and ``B`` are those of the knot, and so are the
    means. The odds are those to the knot less those of leaving after the silence: right to 1e-9 of both.
    """
    rows, draws = k.shape
    odds, per_a, per_b = np.empty((rows, draws)), np.empty((rows, draws)), np.empty((rows, draws))
    none = np.empty(0)
    for i in range(rows):
        reach = silence[i] + ago[i]
        for m in range(draws):
            k_, a_, s_, b_ = k[i, m], A[i, m], s[i, m], B[i, m]
            own = _to_end(elapsed[m], end[i], reach, width)
            passed = 0.0
            if ago[i] > 0.0:
                passed = (own[own.size - 2] - own[own.size - 1]) / width * ago[i]
            odds[i, m], per_a[i, m], per_b[i, m] = -math.inf, 1.0 / (a_ - passed), 1.0 / (b_ - ago[i])
            if not silence[i] > 0.0:
                continue
            log_i, _, of_a, _, of_b = moments(reach, k_, a_, s_, b_, width, own, none, 0.0)
            share = 0.0
            if ago[i] > 0.0:
                log_j, _, later_a, _, later_b = moments(ago[i], k_, a_, s_, b_, width, own, none, 0.0)
                share = math.exp(log_j - log_i)
                if not share < 1.0:
                    continue
                of_a, of_b = of_a - share * later_a, of_b - share * later_b
            scaled = k_ * math.log1p(-passed / a_) + s_ * math.log1p(-ago[i] / b_)
            odds[i, m] = math.log(s_) + log_i + math.log1p(-share) + scaled
            per_a[i, m], per_b[i, m] = of_a / (1.0 - share), of_b / (1.0 - share)
    return odds, per_a, per_b


@_compiled
def drawn_left_before(rng, living, silence, ago, end, k, A, s, B, width, elapsed):  # type: ignore[no-untyped-def]
    """Return what ``drawn_left`` does of silences as in ``left_before``, back from the knot; of the living ``ago``."""
    rows, draws = k.shape
    when, since = np.zeros((rows, draws)), np.zeros((rows, draws))
    one = np.zeros((1, 1), dtype=np.bool_)
    for i in range(rows):
        reach = np.full(1, silence[i] + ago[i])
        for m in range(draws):
            own = _to_end(elapsed[m], end[i], reach[0], width)
            when[i, m] = ago[i]
            if ago[i] > 0.0:
                since[i, m] = (own[own.size - 2] - own[own.size - 1]) / width * ago[i]
            if living[i, m]:
                continue
            given = np.full((1, 1), k[i, m]), np.full((1, 1), A[i, m]), np.full((1, 1), s[i, m])
            b_, to_end = np.full((1, 1), B[i, m]), own.reshape((1, own.size))
            while True:
                # Of those who left after the silence another takes the place.
                found, passed = drawn_left(rng, one, reach, *given, b_, width, to_end)
                if found[0, 0] >= ago[i]:
                    when[i, m], since[i, m] = found[0, 0], passed[0, 0]
                    break
    return when, since


@_compiled
def drawn_left(rng, living, silence, k, A, s, B, width, to_end):  # type: ignore[no-untyped-def]
    """Return (row, draw) how long before the end one left who is not living, and the operational time since; else 0.

    A panel by its share of I, and in it by rejection: the integrand rises to the panel's end.
    """
    rows, draws = k.shape
    ago, since = np.zeros((rows, draws)), np.zeros((rows, draws))
    none = np.empty(0)
    end = to_end.shape[1] - 1
    for i in range(rows):
        for m in range(draws):
            if living[i, m]:
                continue
            own = to_end[m]
            given = silence[i], k[i, m], A[i, m], s[i, m], B[i, m], width, own, none
            piece = _piece(silence[i], width, own.size)
            rate = (own[end - piece - 1] - own[end - piece]) / width
            whole = own[end - piece] + rate * (silence[i] - piece * width)
            largest = -k[i, m] * math.log1p(-whole / A[i, m]) - s[i, m] * math.log1p(-silence[i] / B[i, m])
            total = math.exp(moments(*given, 0.0)[0] - largest)
            _, low, high, _, _ = moments(*given, max(rng.random(), 1e-300) * total)
            top = -math.inf
            while True:
                u = high if top == -math.inf else low + (high - low) * rng.random()
                piece = _piece(u, width, own.size)
                rate = (own[end - piece - 1] - own[end - piece]) / width
                passed = own[end - piece] + rate * (u - piece * width)
                height = -k[i, m] * math.log1p(-passed / A[i, m]) - (s[i, m] + 1.0) * math.log1p(-u / B[i, m])
                if top == -math.inf:
                    top = height
                elif math.log(max(rng.random(), 1e-300)) <= height - top:
                    ago[i, m], since[i, m] = u, passed
                    break
    return ago, since


@_compiled
def counted(p, q, w, bought, A, B, log_factor, time, knots, elapsed):  # type: ignore[no-untyped-def]
    """Return (row, draw) e^log_factor times the integral over u in (0, time) of z^p (1 + z)^-q (1 + u / B)^-w.

    z = G(u) / A, and the integral is over z where ``bought``, else over u. ``knots`` (knot,) from now on, the first 0,
    with the operational time ``elapsed`` (draw, knot) at them; p and q are numbers a row and draw.
    """
    rows, draws = A.shape
    found = np.zeros((rows, draws))
    for i in range(rows):
        for m in range(draws):
            power, both, out = p[i, m], q[i, m], w[i, m]
            goal = operational_at(knots, elapsed[m], time)
            # Nearly all of a power of p comes from above this share of the operational time.
            floor = goal * power / (power + 20.0) if power > 2.0 * MANY - 2.0 else goal
            total = 0.0
            j, low = 0, 0.0
            while low < time:
                while j < knots.size - 2 and knots[j + 1] <= low * (1 + 1e-14):
                    j += 1
                rate = (elapsed[m, j + 1] - elapsed[m, j]) / (knots[j + 1] - knots[j])
                stop = time if j == knots.size - 2 else min(time, knots[j + 1])
                passed = elapsed[m, j] + rate * (low - knots[j])
                steep = max(both, FLAT) * rate / (A[i, m] + passed) + max(out, FLAT) / (B[i, m] + low)
                if power > 0.0 and power > 2.0 * MANY - 2.0:
                    steep += power * rate / max(passed, floor)
                elif passed > 0.0:
                    steep += power * rate / (passed + A[i, m])
                high = min(stop, low + STEEPEST / steep)
                if stop - high < 1e-12 * stop:
                    high = stop
                for n in range(_MANY.size):
                    u = low + (high - low) * _MANY[n]
                    z = (elapsed[m, j] + rate * (u - knots[j])) / A[i, m]
                    value = log_factor[i, m] - both * math.log1p(z) - out * math.log1p(u / B[i, m])
                    if power > 0.0:
                        value += power * math.log(z)
                    weight = _MANY_WEIGHTS[n] * (high - low)
                    total += weight * math.exp(value) * (rate / A[i, m] if bought else 1.0)
                low = high
            found[i, m] = total
    return found


@_compiled
def operational_at(knots, elapsed, time):  # type: ignore[no-untyped-def]
    """Return the operational time at a time from now; beyond the last knot the last slope goes on."""
    high = min(max(np.searchsorted(knots, time), 1), knots.size - 1)
    slope = (elapsed[high] - elapsed[high - 1]) / (knots[high] - knots[high - 1])
    return elapsed[high - 1] + slope * (time - knots[high - 1])


@_compiled
def operational_times(knots, elapsed, times):  # type: ignore[no-untyped-def]
    """Return (draw,) the operational times (draw, knot) ``elapsed`` at ``times`` (draw,)."""
    found = np.empty(times.size)
    for m in range(times.size):
        found[m] = operational_at(knots, elapsed[m], times[m])
    return found


@_compiled
def worth(s, B, discount, time, knots, elapsed):  # type: ignore[no-untyped-def]
    """Return (row, draw) the operational time until one leaves or ``time`` is over, each part worth e^-(discount t).

    Times the purchase rate it is the expected purchases. Infinite where ``time`` is and nothing ends it.
    """
    rows, draws = s.shape
    found = np.zeros((rows, draws))
    for i in range(rows):
        for m in range(draws):
            for j in range(knots.size - 1):
                begin = knots[j]
                end = time if j == knots.size - 2 else min(time, knots[j + 1])
                if end <= begin:
                    break
                rate = (elapsed[m, j + 1] - elapsed[m, j]) / (knots[j + 1] - knots[j])
                here = math.exp(-s[i, m] * math.log1p(begin / B[i, m]) - discount * begin)
                found[i, m] += rate * here * time_alive(s[i, m], B[i, m] + begin, discount, end - begin)
    return found
