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
# Of the points that are left out, and of a number of heads at every point.
NO_WEIGHT = 1e-9
# Waits after which weights are scaled and trimmed.
CHUNK = 8
# Draws that are taken together; a row of them has some places more, so that columns do not share a cache's few ways.
BLOCK, APART = 512, 8
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
    """What one customer's history says of it in each draw; (point, draw) unless it says otherwise.

    ``rates`` (point), of which some have weight in any draw. ``fell`` is that of heads at the last toss,
    who are asleep with the probability ``asleep`` (draw) (1 - w), gone with w, or have woken; ``signed`` are the terms
    of the silence to come, with ``sleeping`` (draw) of e^(-nu t), and ``back`` the part of them that is of those
    asleep: awake are ``signed`` + ``back``. ``alive`` (draw) is P(not gone), and ``nu`` (draw) as it was taken, which
    is also ``later`` (draw) unless customers buy at another pace from now on. ``gaps`` are the waits, the silence
    last, (wait, 1), or (wait, draw) where draws have a time of their own.
    """

    rates: Any
    signed: Any
    back: Any
    fell: Any
    sleeping: Any
    asleep: Any
    alive: Any
    nu: Any
    later: Any
    gaps: Any


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
    Returned is the window of numbers of heads up to the last purchase, of which ``m`` are the weights but for the
    coin's at the last toss.
    """
    draws, last = a.size, still.shape[0] - 1
    low = high = tosses = 0
    for c in range(draws):
        m[0, c] = 1.0
    for c in range(draws):
        log_scale[c] = 0.0
    for j in range(last):
        if j + first == 0:
            for c in range(draws):
                m[0, c] = still[j, c]
            continue
        for c in range(draws):
            woken[c] = (asleep[j, c] - still[j, c]) * wakes[c]
        for k in range(high + 1, low - 1, -1):
            of_tails, of_heads, before = tosses - float(k), k - 1.0, max(k - 1, 0)
            if k > high:
                for c in range(draws):
                    m[k, c] = (a[c] + of_heads) * woken[c] * m[before, c]
            elif k == low:
                for c in range(draws):
                    m[k, c] *= (b[c] + of_tails) * still[j, c]
            else:
                for c in range(draws):
                    m[k, c] = (b[c] + of_tails) * still[j, c] * m[k, c] + (a[c] + of_heads) * woken[c] * m[
                        before, c
                    ]
        high += 1
        tosses += 1
        if j % CHUNK == CHUNK - 1:
            low, high = _scaled(m, low, high, log_scale, woken)
    for c in range(draws):
        tails[c] = 0.0
    for c in range(draws):
        fell[c] = 0.0
    if last + first == 0:
        for c in range(draws):
            tails[c] = m[0, c]
        return low, high
    for k in range(low, high + 1):
        of_tails, of_heads = tosses - float(k), float(k)
        for c in range(draws):
            tails[c] += (b[c] + of_tails) * m[k, c]
        for c in range(draws):
            fell[c] += (a[c] + of_heads) * m[k, c]
    return low, high


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
def _apart(rates, nu, near):  # type: ignore[no-untyped-def]
    """Move rates of waking away from points that they lie on; ``near`` is to work in."""
    near[:] = 0.0
    for i in range(rates.size):
        rate = rates[i]
        for c in range(nu.size):
            near[c] += 1.0 if abs(rate - nu[c]) < NEAR * nu[c] else 0.0
    for c in range(nu.size):
        if near[c] > 0.0:
            for i in range(rates.size):
                if abs(rates[i] - nu[c]) < NEAR * nu[c]:
                    nu[c] *= 1.0 + 10.0 * NEAR


@_compiled
def _block(first, u, density, r, alpha, a, b, nu, w, m, out, known, begin, most):  # type: ignore[no-untyped-def]
    """Write to ``known`` what a history says in some draws, from ``begin`` on; ``m`` and ``out`` are to work in.

    ``most`` (point) becomes the largest weight of a point in any draw.
    """
    rates, end = known.rates, begin + r.size
    points, draws, last = rates.size, r.size, known.gaps.shape[0] - 1
    wide = known.gaps.shape[1] > 1
    gaps = known.gaps[:, begin:end] if wide else known.gaps
    value, asleep, still = out[0], out[1], out[2, : last + 1, :draws]
    woken, peak, log_alpha = out[3, 0, :draws], out[3, 1, :draws], out[3, 2, :draws]
    _apart(rates, nu, woken)
    for j in range(last + 1):
        sleeps = asleep[j, :draws]
        for c in range(draws):
            sleeps[c] = exp(-nu[c] * gaps[j, c if wide else 0])
    for c in range(draws):
        peak[c], log_alpha[c] = -math.inf, log(alpha[c])
    sleeps = asleep[last, :draws]
    for i in range(points):
        of_waking, of_point = known.back[i, begin:end], value[i, :draws]
        rate, log_rate, log_weight = rates[i], u[i], density[i]
        for c in range(draws):
            of_waking[c] = (1.0 - w[c]) * nu[c] / (rate - nu[c])
        tails, heads, stays = known.signed[i, begin:end], known.fell[i, begin:end], still[last]
        _stays(gaps, rate, still)
        _swept(first, still, asleep, of_waking, a, b, m, woken, of_point, tails, heads)
        for c in range(draws):
            of_point[c] += log_weight + r[c] * (log_rate + log_alpha[c]) - alpha[c] * rate
        for c in range(draws):
            peak[c] = max(peak[c], of_point[c])
        # Up to the weight of the point: those awake now.
        for c in range(draws):
            tails[c] = tails[c] * stays[c] + heads[c] * max((sleeps[c] - stays[c]) * of_waking[c], 0.0)
    total = woken
    total[:] = 0.0
    for i in range(points):
        of_point, stays, heads = value[i, :draws], known.signed[i, begin:end], known.fell[i, begin:end]
        for c in range(draws):
            of_point[c] = exp(of_point[c] - peak[c])
        for c in range(draws):
            heads[c] *= of_point[c]
        for c in range(draws):
            stays[c] *= of_point[c]
        for c in range(draws):
            of_point[c] = stays[c] + heads[c] * ((1.0 - w[c]) * sleeps[c] + w[c])
        for c in range(draws):
            total[c] += of_point[c]
    for c in range(draws):
        total[c] = 1.0 / total[c]
    for i in range(points):
        of_point = value[i, :draws]
        for c in range(draws):
            peak[c] = of_point[c] * total[c]
        most[i] = max(most[i], peak.max())
    _kept(w, sleeps, total, known, begin)
    known.nu[begin:end] = known.later[begin:end] = nu


@_compiled
def _kept(w, asleep, total, known, begin):  # type: ignore[no-untyped-def]
    """Write what is known of draws, whose weights are times ``total`` what they have been."""
    draws, end = w.size, begin + w.size
    sleeping, alive = known.sleeping[begin:end], known.alive[begin:end]
    sleeping[:], alive[:] = 0.0, 1.0
    known.asleep[begin:end] = asleep
    for i in range(known.rates.size):
        heads, back, tails = known.fell[i, begin:end], known.back[i, begin:end], known.signed[i, begin:end]
        for c in range(draws):
            heads[c] *= total[c]
        for c in range(draws):
            back[c] *= heads[c] * asleep[c]
        for c in range(draws):
            tails[c] = tails[c] * total[c] - back[c]
        for c in range(draws):
            alive[c] -= w[c] * heads[c]
        for c in range(draws):
            sleeping[c] += back[c] + heads[c] * asleep[c] * (1.0 - w[c])


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
    parts, of_draws = np.empty((3, points, draws)), np.empty((5, draws))
    known = _known(rates, parts[0], parts[1], parts[2], of_draws, gaps)
    width = min(BLOCK, draws)
    pitch, most = width + APART, np.zeros(points)
    m, out = np.empty((n + 2, pitch)), np.empty((4, max(points, n + 1, 3), pitch))
    for begin in range(0, draws, width):
        end = min(begin + width, draws)
        _block(
            first, u, density, r[begin:end], alpha[begin:end], a[begin:end], b[begin:end],
            nu[begin:end].copy(), w[begin:end], m, out, known, begin, most,
        )  # fmt: skip
    low, high, lost = 0, points, most[0]
    while lost < NO_WEIGHT:
        low += 1
        lost += most[low]
    lost += most[high - 1] - most[low]
    while lost < NO_WEIGHT:
        high -= 1
        lost += most[high - 1]
    return _known(rates[low:high], parts[0, low:high], parts[1, low:high], parts[2, low:high], of_draws, gaps)


@_compiled
def _known(rates, signed, back, fell, of_draws, gaps):  # type: ignore[no-untyped-def]
    sleeping, asleep, alive, nu, later = of_draws[0], of_draws[1], of_draws[2], of_draws[3], of_draws[4]
    return Known(rates, signed, back, fell, sleeping, asleep, alive, nu, later, gaps)


@_compiled
def quicken(known, pace, w):  # type: ignore[no-untyped-def]
    """Have customers buy at ``pace`` (draw) times their rate from now on, and wake as they do: time is the law's own.

    A unit of that is 1 / pace of time, in which the rate is what it was and that of waking nu / pace.
    """
    for s in range(pace.size):
        if pace[s] == 1.0:
            continue
        nu = known.nu[s] / pace[s]
        for i in range(known.rates.size):
            if abs(known.rates[i] - nu) < NEAR * nu:
                nu *= 1.0 + 10.0 * NEAR
        sleeping = 0.0
        for i in range(known.rates.size):
            asleep = known.fell[i, s] * known.asleep[s] * (1.0 - w[s])
            awake = known.signed[i, s] + known.back[i, s]
            known.back[i, s] = asleep * nu / (known.rates[i] - nu)
            known.signed[i, s] = awake - known.back[i, s]
            sleeping += known.back[i, s] + asleep
        known.sleeping[s], known.later[s] = sleeping, nu


@_compiled
def heads_at(first, still, asleep, wakes, a, b, awake, u, m, room, heads):  # type: ignore[no-untyped-def]
    """Write numbers of heads so far, drawn by a uniform u, of those who are awake now, or whose last toss was heads.

    ``still`` and ``asleep`` (wait, draw) are e^(-lambda g) and e^(-nu g) of each one's rate, the silence last, and
    ``wakes`` (draw) (1 - w) nu / (lambda - nu). ``m`` (purchases + 2, draw) and ``room`` (4, draw) are to work in.
    """
    size, last = u.size, still.shape[0] - 1
    heads[:] = 0.0
    if last + first == 0:
        return
    left, woken = room[0, :size], room[1, :size]
    low, high = _swept(first, still, asleep, wakes, a, b, m, woken, left, room[2, :size], room[3, :size])
    tosses = float(last + first - 1)
    stays, sleeps = still[last, :size], asleep[last, :size]
    # Of those awake heads have woken since; of the others nothing has come of it yet.
    for c in range(size):
        woken[c] = (sleeps[c] - stays[c]) * wakes[c] if awake[c] else 1.0
    for k in range(high + 1, low - 1, -1):
        now, before = m[k, :size], m[max(k - 1, 0), :size]
        of_tails, of_heads = tosses - k, k - 1.0
        for c in range(size):
            kept = (b[c] + of_tails) * stays[c] * now[c] if awake[c] and k <= high else 0.0
            now[c] = kept + ((a[c] + of_heads) * woken[c] * before[c] if k > low else 0.0)
    left[:] = 0.0
    for k in range(low, high + 2):
        now = m[k, :size]
        for c in range(size):
            left[c] += now[c]
    for c in range(size):
        left[c] *= u[c]
    heads[:] = float(low)
    for k in range(low, high + 1):
        now = m[k, :size]
        for c in range(size):
            left[c] -= now[c]
        for c in range(size):
            heads[c] += left[c] >= 0.0
