"""What the times of purchases say of customers who come back, in many draws at once: for futures (``returning``).

The rule over the rate is one for all draws of a history, and every operation one over a block of draws, which a
processor does side by side. Waits are alike in all draws, so that e^(-lambda g) is computed once a wait; or, in the
operational time of a calendar, of each draw.

A future needs no ten digits. The rule is as ``returning``'s with wider steps, and cut where less of the density is
left: all probabilities that come of it have an absolute error below 1e-6 (tests/distributions/test_returning.py). Of
numbers of heads their sums alone are kept; ``heads_at`` finds them again at the one rate that is drawn.

Given the weights c of awake and s of asleep, the silence to come of one not gone is a sum of exponentials,

    sum of (c - s nu / (lambda - nu)) e^(-lambda t) + (sum of s lambda / (lambda - nu)) e^(-nu t),

whose terms may have either sign, and cancel to some 1e-9 where nu is next to a point.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp, log
from bayes_clv.distributions.poisson.returning import straight

STEP = 0.5
STEP_PER_SD = 0.8
# Log of how much smaller than its peak the integrand is at both ends.
DEPTH = 17.0
# Of a point, and of a number of heads at every point.
NO_WEIGHT = 1e-9
# Waits after which weights are scaled and trimmed.
CHUNK = 8
# Draws that are taken together; a row of them has some places more, so that columns do not share a cache's few ways.
BLOCK, APART = 64, 8
# A rate of waking so close to a point, relatively, is moved by ten times that: quotients keep seven digits.
NEAR = 1e-7

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def room_for(size):  # type: ignore[no-untyped-def]
    """Return room for the times of one history."""
    return np.empty(np.int64(size.max()) if size.size else 0)


@_compiled
def history_in(T, start, size, times, row, draw, room):  # type: ignore[no-untyped-def]
    """Return the times of one history in a draw, in ``room``, and its age; of all draws alike they are read once.

    T is (row, 1) and ``times`` (purchase, 1), or their second axis is the draws.
    """
    n, begin, which = np.int64(size[row]), np.int64(start[row]), draw if T.shape[1] > 1 else 0
    if which == draw:
        for k in range(n):
            room[k] = times[begin + k, which]
    return room[:n], T[row, which]


class Known(NamedTuple):
    """What one customer's history says of it in each draw; (draw, point) unless it says otherwise.

    ``rates`` (point). Points from ``low`` (draw) to ``high`` have weight. ``fell`` is that of heads at the last toss,
    who are asleep with the probability ``asleep`` (draw) (1 - w), gone with w, or have woken; ``signed`` are the terms
    of the silence to come, with ``sleeping`` (draw) of e^(-nu t), and ``back`` the part of them that is of those
    asleep: awake are ``signed`` + ``back``. ``alive`` (draw) is P(not gone), and ``nu`` (draw) as it was taken, which
    is also ``later`` (draw) unless customers buy at another pace from now on.
    """

    rates: Any
    low: Any
    high: Any
    signed: Any
    back: Any
    fell: Any
    sleeping: Any
    asleep: Any
    alive: Any
    nu: Any
    later: Any


@_compiled
def _points(x, T, r, alpha):  # type: ignore[no-untyped-def]
    """Return log lambda, lambda, and the log of the rule's weights times lambda^x, for all draws of T, r and alpha."""
    least, most = r.min() + x, r.max() + x
    step = min(STEP, STEP_PER_SD / math.sqrt(most))
    longest = alpha.max() + T.max()
    center = math.log(max(least, 0.3) / longest) - 2.0
    below = DEPTH / least if least < 1.0 else math.sqrt(2.0 * DEPTH / least) + DEPTH / least
    v = straight(math.log(least / longest) - below, center, step)
    top = straight(math.log((most + DEPTH + math.sqrt(2.0 * DEPTH * most)) / alpha.min()), center, step)
    count = np.int64(math.ceil(max(top - v, step) / step)) + 1
    u, rates, weight = np.empty(count), np.empty(count), np.empty(count)
    for i in range(count):
        e = math.exp(center - (v + i * step))
        u[i] = v + i * step - e
        rates[i] = math.exp(u[i])
        weight[i] = math.log(1.0 + e) + x * u[i]
    return u, rates, weight


@_compiled
def _scaled(m, low, high, log_scale, room):  # type: ignore[no-untyped-def]
    """Make the weights of each draw add up to 1; return the window of heads without what has no weight in any."""
    room[:] = 0.0
    for k in range(low, high + 1):
        now = m[k, : room.size]
        for c in range(room.size):
            room[c] += now[c]
    for c in range(room.size):
        room[c] = max(room[c], 1e-300)
    for c in range(room.size):
        log_scale[c] += log(room[c])
        room[c] = 1.0 / room[c]
    for k in range(low, high + 1):
        now = m[k, : room.size]
        for c in range(room.size):
            now[c] *= room[c]
    while low < high and m[low, : room.size].max() < NO_WEIGHT:
        low += 1
    while high > low and m[high, : room.size].max() < NO_WEIGHT:
        high -= 1
    return low, high


@_compiled
def _swept(first, still, asleep, wakes, a, b, m, woken, log_scale, tails, fell):  # type: ignore[no-untyped-def]
    """Take the urn of one point over all waits, and write its sums of tails and of heads at the last toss, if any.

    ``still`` and ``asleep`` (wait, draw) are e^(-lambda g) and e^(-nu g), the silence last; ``wakes`` (draw) is
    (1 - w) nu / (lambda - nu). Written are the ``log_scale`` of both, too, but for what all points of a draw share.
    """
    draws, last = a.size, still.shape[0] - 1
    low = high = tosses = 0
    for c in range(draws):
        m[0, c], log_scale[c] = 1.0, 0.0
    for j in range(last):
        stays = still[j, :draws]
        if j + first == 0:
            for c in range(draws):
                m[0, c] = stays[c]
            continue
        sleeps = asleep[j]
        for c in range(draws):
            woken[c] = (sleeps[c] - stays[c]) * wakes[c]
        for k in range(high + 1, low - 1, -1):
            now, before = m[k, :draws], m[max(k - 1, 0), :draws]
            of_tails, of_heads = tosses - float(k), k - 1.0
            if k > high:
                for c in range(draws):
                    now[c] = (a[c] + of_heads) * woken[c] * before[c]
            elif k == low:
                for c in range(draws):
                    now[c] *= (b[c] + of_tails) * stays[c]
            else:
                for c in range(draws):
                    now[c] = (b[c] + of_tails) * stays[c] * now[c] + (a[c] + of_heads) * woken[c] * before[c]
        high += 1
        tosses += 1
        if j % CHUNK == CHUNK - 1:
            low, high = _scaled(m, low, high, log_scale, woken)
    for c in range(draws):
        tails[c] = fell[c] = 0.0
    if last + first == 0:
        for c in range(draws):
            tails[c] = m[0, c]
        return
    for k in range(low, high + 1):
        now, of_tails, of_heads = m[k, :draws], tosses - float(k), float(k)
        for c in range(draws):
            tails[c] += (b[c] + of_tails) * now[c]
            fell[c] += (a[c] + of_heads) * now[c]


@_compiled
def _stays(gaps, rate, still):  # type: ignore[no-untyped-def]
    """Write e^(-lambda g) of all waits (wait, draw), which are alike in all draws where there is one (wait, 1)."""
    for j in range(gaps.shape[0]):
        now = still[j]
        if gaps.shape[1] == 1:
            now[:] = exp(-rate * gaps[j, 0])
        else:
            for c in range(gaps.shape[1]):
                now[c] = exp(-rate * gaps[j, c])


@_compiled
def _block(gaps, first, u, rates, density, r, alpha, a, b, nu, w, m, out, known, begin):  # type: ignore[no-untyped-def]
    """Write to ``known`` what a history says in some draws, from ``begin`` on; ``m`` and ``out`` are to work in."""
    points, draws, last = rates.size, r.size, gaps.shape[0] - 1
    value, awake, fell, wakes = out[0], out[1], out[2], out[3]
    asleep, still = out[4], out[5, : last + 1, :draws]
    woken, most, log_alpha = out[6, 0, :draws], out[6, 1, :draws], out[6, 2, :draws]
    wide = gaps.shape[1] > 1
    for c in range(draws):
        for i in range(points):
            if abs(rates[i] - nu[c]) < NEAR * nu[c]:
                nu[c] *= 1.0 + 10.0 * NEAR
    for j in range(last + 1):
        sleeps = asleep[j, :draws]
        for c in range(draws):
            sleeps[c] = exp(-nu[c] * gaps[j, c if wide else 0])
    for c in range(draws):
        most[c], log_alpha[c] = -math.inf, log(alpha[c])
    for i in range(points):
        of_waking, of_point = wakes[i, :draws], value[i, :draws]
        for c in range(draws):
            of_waking[c] = (1.0 - w[c]) * nu[c] / (rates[i] - nu[c])
        tails, heads, stays = awake[i, :draws], fell[i, :draws], still[last]
        _stays(gaps, rates[i], still)
        _swept(first, still, asleep, of_waking, a, b, m, woken, of_point, tails, heads)
        for c in range(draws):
            of_point[c] += density[i] + r[c] * (u[i] + log_alpha[c]) - alpha[c] * rates[i]
        for c in range(draws):
            most[c] = max(most[c], of_point[c])
        # Up to the weight of the point: those awake now.
        for c in range(draws):
            tails[c] = tails[c] * stays[c] + heads[c] * max((asleep[last, c] - stays[c]) * of_waking[c], 0.0)
    sleeps = asleep[last, :draws]
    for i in range(points):
        of_point, stays, heads = value[i, :draws], awake[i, :draws], fell[i, :draws]
        for c in range(draws):
            of_point[c] = exp(of_point[c] - most[c])
        for c in range(draws):
            heads[c] *= of_point[c]
            stays[c] *= of_point[c]
            of_point[c] = stays[c] + heads[c] * ((1.0 - w[c]) * sleeps[c] + w[c])
    for c in range(draws):
        _kept(c, w[c], sleeps[c], wakes, value, awake, fell, known, begin + c)
        known.nu[begin + c] = known.later[begin + c] = nu[c]


@_compiled
def _kept(c, w, asleep, wakes, value, awake, fell, known, s):  # type: ignore[no-untyped-def]
    """Write what is known of one draw, the points of weight alone; together they have the weight 1."""
    points = known.rates.size
    total = 0.0
    for i in range(points):
        total += value[i, c]
    low, high, least = 0, points, NO_WEIGHT * total
    while value[low, c] < least:
        low += 1
    while value[high - 1, c] < least:
        high -= 1
    total = 0.0
    for i in range(low, high):
        total += value[i, c]
    inverse = 1.0 / total
    gone = sleeping = 0.0
    for i in range(low, high):
        of_heads = fell[i, c] * inverse
        back = of_heads * asleep * wakes[i, c]
        known.signed[s, i] = awake[i, c] * inverse - back
        known.back[s, i] = back
        known.fell[s, i] = of_heads
        gone += w * of_heads
        sleeping += back + of_heads * asleep * (1.0 - w)
    known.low[s], known.high[s] = low, high
    known.sleeping[s], known.asleep[s], known.alive[s] = sleeping, asleep, 1.0 - gone


@_compiled
def in_draws(own, T, first, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return ``Known`` of a customer who bought at the ages ``own`` and is observed to age T; parameters are (draw).

    ``own`` is (purchase, 1) and T (1), or their last axis is the draws too.
    """
    n, draws = own.shape[0], r.size
    u, rates, density = _points(float(n), T, r, alpha)
    points, gaps = rates.size, np.empty((n + 1, T.size))
    for j in range(n + 1):
        for c in range(T.size):
            gaps[j, c] = (own[j, c] if j < n else T[c]) - (own[j - 1, c] if j else 0.0)
    known = Known(
        rates,
        np.empty(draws, dtype=np.int64),
        np.empty(draws, dtype=np.int64),
        np.empty((draws, points)),
        np.empty((draws, points)),
        np.empty((draws, points)),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
    )
    width = min(BLOCK, draws)
    pitch = width + APART
    m, out = np.empty((n + 2, pitch)), np.empty((7, max(points, n + 1, 3), pitch))
    for begin in range(0, draws, width):
        end = min(begin + width, draws)
        here = gaps[:, :1].copy() if T.size == 1 else gaps[:, begin:end].copy()
        _block(
            here, first, u, rates, density, r[begin:end], alpha[begin:end], a[begin:end], b[begin:end],
            nu[begin:end].copy(), w[begin:end], m, out, known, begin,
        )  # fmt: skip
    return known


@_compiled
def quicken(known, pace, w):  # type: ignore[no-untyped-def]
    """Have customers buy at ``pace`` (draw) times their rate from now on, and wake as they do: time is the law's own.

    A unit of that is 1 / pace of time, in which the rate is what it was and that of waking nu / pace.
    """
    for s in range(pace.size):
        if pace[s] == 1.0:
            continue
        nu = known.nu[s] / pace[s]
        for i in range(known.low[s], known.high[s]):
            if abs(known.rates[i] - nu) < NEAR * nu:
                nu *= 1.0 + 10.0 * NEAR
        sleeping = 0.0
        for i in range(known.low[s], known.high[s]):
            asleep = known.fell[s, i] * known.asleep[s] * (1.0 - w[s])
            awake = known.signed[s, i] + known.back[s, i]
            known.back[s, i] = asleep * nu / (known.rates[i] - nu)
            known.signed[s, i] = awake - known.back[s, i]
            sleeping += known.back[s, i] + asleep
        known.sleeping[s], known.later[s] = sleeping, nu


@_compiled
def heads_at(own, first, still, wakes, a, b, nu, silence, awake, u, m):  # type: ignore[no-untyped-def]
    """Return the number of heads so far, drawn by a uniform u, of one who is awake now, or whose last toss was heads.

    ``still`` (wait) is that of the rate, and ``wakes`` (1 - w) nu / (lambda - nu); ``silence`` the time since the last
    purchase. ``m`` has two places more than purchases.
    """
    low = high = tosses = 0
    last, m[0] = 0.0, 1.0
    for j in range(own.size):
        g = own[j] - last
        last = own[j]
        if j + first == 0:
            continue
        e = still[j]
        woken = (math.exp(-nu * g) - e) * wakes
        m[high + 1] = (a + high) * woken * m[high]
        for k in range(high, low, -1):
            m[k] = (b + (tosses - k)) * e * m[k] + (a + (k - 1.0)) * woken * m[k - 1]
        m[low] *= (b + (tosses - low)) * e
        high += 1
        tosses += 1
        if tosses % CHUNK == 0:
            most = m[low : high + 1].max()
            for k in range(low, high + 1):
                m[k] /= most
            while m[low] < NO_WEIGHT:
                low += 1
            while m[high] < NO_WEIGHT:
                high -= 1
    if own.size + first == 0:
        return 0
    e = still[own.size]
    woken = (math.exp(-nu * silence) - e) * wakes
    m[high + 1] = 0.0
    for k in range(high + 1, low - 1, -1):
        falls = (a + (k - 1.0)) * m[k - 1] if k > low else 0.0
        m[k] = (b + (tosses - k)) * e * m[k] + falls * woken if awake else falls
    total = 0.0
    for k in range(low, high + 2):
        total += m[k]
    left = u * total - m[low]
    while left >= 0.0 and low <= high:
        low += 1
        left -= m[low]
    return low
