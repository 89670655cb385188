"""Slopes of the likelihood of customers who come back in the times of purchases, and in its parameters, in one pass.

A calendar turns the times of purchases into operational ones that its rates move, so that the likelihood of
``returning`` needs its slope in every time. At each point lambda of its rule the weights m of numbers of heads are kept
after every wait, and the urn is gone through in reverse: let z_k be what all that follows makes of k heads, then before
a wait, with its A and B,

    z_k = (b + j - k) / (a + b + j) A z'_k  +  (a + k) / (a + b + j) B z'_(k+1),

and the slope of the density in the wait is the sum over k of m_k times that with A' = -lambda A and
B' = (1 - w) nu (A - nu D). z is scaled at each point and wait so that the sum of m z is 1: then a slope is one of the
logarithm, and points have the shares that they have in the likelihood. The slope in nu goes along in the same way,
those in r, alpha, a, b and w are told by the last weights, as forwards.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.gamma_ratio import digamma
from bayes_clv.distributions.poisson.returning import (
    FINE,
    closed,
    ended,
    scaled,
    started,
    tossed,
    waits,
    weighed,
)

# A point at which nothing could have been bought is without weight.
NOTHING = 1e-290

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def _filtered(own, first, rates, a, b, nu, w, waited, kept, windows, log_scale):  # type: ignore[no-untyped-def]
    """Take the urn over all waits, and keep of each its A, nu D and the slope of that: ``waited`` (3, wait, point).

    Of the state before each wait, and after the last, is kept the window of heads and where its weights are in ``kept``
    (heads of all waits, point), which is returned, larger where it has to be, with how much of it is used.
    """
    size, tosses, last, used = rates.size, 0, 0.0, 1
    m, none, room = np.empty((own.size + 2, size)), np.empty((0, size)), np.empty(size)
    m[0] = kept[0] = 1.0
    log_scale[:] = 0.0
    low = high = 0
    windows[0, 0], windows[1, 0], windows[2, 0] = 0, 0, 0
    for j in range(own.size):
        awake, woken, slope = waited[0, j], waited[1, j], waited[2, j]
        waits(own[j] - last, rates, nu, awake, woken, slope)
        last = own[j]
        if j + first == 0:
            m[0] = awake
        else:
            tossed(1.0 / (a + b + tosses), tosses, low, high, a, b, w, awake, woken, slope, m, none)
            high += 1
            tosses += 1
        low, high = scaled(FINE[3], m, none, low, high, log_scale, room)
        windows[0, j + 1], windows[1, j + 1], windows[2, j + 1] = low, high, used
        needed = used + high + 1 - low
        if needed > kept.shape[0]:
            larger = np.empty((2 * needed, size))
            larger[:used] = kept[:used]
            kept = larger
        kept[used:needed] = m[low : high + 1]
        used = needed
    return kept, used


@_compiled
def _turned(total, weight, z, low, high):  # type: ignore[no-untyped-def]
    """Scale z so that the sum of m z, ``total`` (point), is 1; points without weight have none."""
    for i in range(total.size):
        if not total[i] > NOTHING:
            weight[i] = 0.0
            total[i] = 1.0
        total[i] = 1.0 / total[i]
    for k in range(low, high + 1):
        for i in range(total.size):
            z[k, i] *= total[i]


@_compiled
def _silence_back(m, low, high, tosses, silence, rates, waited, share, a, b, nu, w, z, room):  # type: ignore[no-untyped-def]
    """Write z at the last state, whose weights are m, and return the slope of the logarithm in the silence."""
    awake, woken, _ = waited
    still = (1.0 - w) * math.exp(-nu * silence)
    total, slope = room
    total[:] = 0.0
    slope[:] = 0.0
    for k in range(low, high + 1):
        stays, falls = ended(a, b, tosses, k)
        for i in range(rates.size):
            away = (1.0 - w) * woken[i] + still
            z[k, i] = stays * awake[i] + falls * (away + w)
            total[i] += m[k - low, i] * z[k, i]
            bent = falls * nu * ((1.0 - w) * awake[i] - away) - stays * rates[i] * awake[i]
            slope[i] += m[k - low, i] * bent
    _turned(total, share, z, low, high)
    found = 0.0
    for i in range(rates.size):
        found += share[i] * slope[i] * total[i]
    return found


@_compiled
def _wait_back(m, window, after, by, tosses, rates, waited, share, a, b, nu, w, z, room):  # type: ignore[no-untyped-def]
    """Take z over a wait, from the window of heads after it to that before; return slopes in the wait, and in nu.

    Where it follows no toss ``by`` is 0.
    """
    awake, woken, bent = waited
    low, high = window
    total, slope, of_nu = room
    total[:] = 0.0
    slope[:] = 0.0
    of_nu[:] = 0.0
    lowest, highest = after
    for k in range(low, high + 1):
        stays = ((b + tosses - k) * by if by > 0.0 else 1.0) if lowest <= k <= highest else 0.0
        falls = (a + k) * by * (1.0 - w) if lowest <= k + 1 <= highest else 0.0
        here, next_one = min(max(k, lowest), highest), min(max(k + 1, lowest), highest)
        for i in range(rates.size):
            weight = m[k - low, i]
            tails, heads = stays * awake[i] * z[here, i], falls * z[next_one, i]
            of_nu[i] += weight * heads * bent[i]
            slope[i] += weight * (heads * nu * (awake[i] - woken[i]) - tails * rates[i])
            z[k, i] = tails + heads * woken[i]
            total[i] += weight * z[k, i]
    _turned(total, share, z, low, high)
    in_wait = in_nu = 0.0
    for i in range(rates.size):
        in_wait += share[i] * slope[i] * total[i]
        in_nu += share[i] * of_nu[i] * total[i]
    return in_wait, in_nu


@_compiled
def slopes(T, start, size, first, times, r, alpha, a, b, nu, w, weight):  # type: ignore[no-untyped-def]
    """Return the slopes of what ``returning.log_likelihoods`` gives, weighed row by row by the last.

    In T (row), in the times, flat as they are, and in r, alpha, a, b, nu and w (row).
    """
    of_T, of_times, found = np.zeros(T.size), np.zeros(times.size), np.zeros((6, T.size))
    each = np.empty(6)
    for row in range(T.size):
        begin, n, toss = np.int64(start[row]), np.int64(size[row]), np.int64(first[row])
        own, moved = times[begin : begin + n], of_times[begin : begin + n]
        a_i, b_i, nu_i, w_i = a[row], b[row], nu[row], w[row]
        u, rates, share = started(FINE, own, T[row], toss, r[row], alpha[row], a_i, b_i, nu_i, w_i)
        points, tosses = rates.size, n + toss
        if points == 0:
            of_T[row] = found[0, row] = math.nan
            continue
        waited, kept = np.empty((3, n + 1, points)), np.empty((4 * (n + 1), points))
        windows, log_scale = np.empty((3, n + 1), dtype=np.int64), np.empty(points)
        kept, _ = _filtered(own, toss, rates, a_i, b_i, nu_i, w_i, waited, kept, windows, log_scale)
        silence = T[row] - (own[n - 1] if n else 0.0)
        last = waited[0, n], waited[1, n], waited[2, n]
        waits(silence, rates, nu_i, *last)
        weighed(share, log_scale)
        low, high, place = windows[0, n], windows[1, n], windows[2, n]
        z, room = np.empty((n + 2, points)), np.empty((3, points))
        m = kept[place : place + high + 1 - low]
        closed(
            m, np.empty((0, points)), low, high, tosses, share, rates, u, silence, last,
            alpha[row], r[row], a_i, b_i, nu_i, w_i, each,
        )  # fmt: skip
        each[0] += math.log(alpha[row]) - digamma(r[row])
        slope = _silence_back(
            m, low, high, tosses, silence, rates, last, share, a_i, b_i, nu_i, w_i, z, (room[0], room[1])
        )
        of_T[row] = weight[row] * slope
        if n:
            moved[n - 1] -= weight[row] * slope
        for j in range(n - 1, -1, -1):
            after = low, high
            low, high, place = windows[0, j], windows[1, j], windows[2, j]
            by = 1.0 / (a_i + b_i + (j + toss - 1.0)) if j + toss > 0 else 0.0
            slope, in_nu = _wait_back(
                kept[place : place + high + 1 - low],
                (low, high),
                after,
                by,
                j + toss - 1.0,
                rates,
                (waited[0, j], waited[1, j], waited[2, j]),
                share,
                a_i,
                b_i,
                nu_i,
                w_i,
                z,
                (room[0], room[1], room[2]),
            )
            each[4] += in_nu
            moved[j] += weight[row] * slope
            if j:
                moved[j - 1] -= weight[row] * slope
        for k in range(6):
            found[k, row] = weight[row] * each[k]
    return of_T, of_times, found[0], found[1], found[2], found[3], found[4], found[5]
