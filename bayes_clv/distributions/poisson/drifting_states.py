"""What the times of purchases say of a rate that drifts (``drifting``), in many draws at once.

The filter of ``drifting``, each operation one over a block of draws, which a processor does side by side: a loop writes
one array alone, of a few, since the compiler has to prove that what is written is not read. What is kept of a mixture
is what has weight in any draw of the block: with other draws beside it a number may differ in its twelfth digit. Of
long histories (MANY) draws keep different parts, and each is filtered for itself.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import expm1, log
from bayes_clv.distributions.poisson.drifting import (
    COARSE_TRIM,
    after_last,
    pace,
    passed,
    room_for,
    shift_terms,
    silenced,
    way_at,
)

# Draws that are taken together; a row of them has some places more, so that columns do not share a cache's few ways.
BLOCK, APART = 512, 8
# Purchases from which the parts that draws keep differ so much that each alone is quicker: at 40 the two are even.
MANY = 40

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


class Drifting(NamedTuple):
    """What histories say of customers' rates in each draw; (row, draw) but for ``mixture``.

    ``silent`` is the log probability of no purchase since the last. With ``end`` 0 just after the last purchase and 1
    at the end of observation, if the customer has not left: the rate is a mixture of Gamma(r + m, ``scale``), with the
    weights ``mixture[place : place + count]`` of m = ``least``, ``least`` + 1, ...; and its ``mean``.
    """

    silent: Any
    scale: Any
    mean: Any
    place: Any
    least: Any
    count: Any
    mixture: Any


@_compiled
def _waited(gap, theta, change, lost, kept, mass, of):  # type: ignore[no-untyped-def]
    """Take theta over waits > 0; write 1 - e, lost, kept, and M but for e^(-delta t / 2). ``of`` is of ``_paced``."""
    size = gap.size
    alpha, kappa, s, gamma, delta = of[0, :size], of[1, :size], of[2, :size], of[3, :size], of[4, :size]
    for c in range(size):
        change[c] = -expm1(-gamma[c] * gap[c])
    for c in range(size):
        way = way_at(theta[c], change[c], kappa[c], (s[c], gamma[c], delta[c]))
        lost[c] = passed(theta[c], alpha[c], way)[2]
    for c in range(size):
        way = way_at(theta[c], change[c], kappa[c], (s[c], gamma[c], delta[c]))
        kept[c] = passed(theta[c], alpha[c], way)[3]
    for c in range(size):
        way = way_at(theta[c], change[c], kappa[c], (s[c], gamma[c], delta[c]))
        mass[c] = passed(theta[c], alpha[c], way)[1]
    for c in range(size):
        way = way_at(theta[c], change[c], kappa[c], (s[c], gamma[c], delta[c]))
        theta[c] = passed(theta[c], alpha[c], way)[0]


@_compiled
def _paced(alpha, kappa, of):  # type: ignore[no-untyped-def]
    """Write alpha, kappa and their ``pace``."""
    for c in range(alpha.size):
        of[0, c], of[1, c] = alpha[c], kappa[c]
        of[2, c], of[3, c], of[4, c] = pace(alpha[c], kappa[c])


@_compiled
def _composed(p, high, lost, kept, room):  # type: ignore[no-untyped-def]
    """Make p_0 ... p_high (number, draw) the coefficients of G(lost + kept z), by Horner's rule."""
    size = lost.size
    room[0, :size] = p[high, :size]
    for top in range(high):
        now, before = room[top + 1, :size], room[top, :size]
        for c in range(size):
            now[c] = before[c] * kept[c]
        for j in range(top, 0, -1):
            now, before = room[j, :size], room[j - 1, :size]
            for c in range(size):
                now[c] = now[c] * lost[c] + before[c] * kept[c]
        now, each = room[0, :size], p[high - 1 - top, :size]
        for c in range(size):
            now[c] = now[c] * lost[c] + each[c]
    for j in range(high + 1):
        p[j, :size] = room[j, :size]


@_compiled
def _shifted(p, low, high, lost, kept, room, growth, power):  # type: ignore[no-untyped-def]
    """Make p the coefficients of G(lost + kept z), over kept^low where that is returned as True; and from where on.

    ``p`` is 0 outside of its window. By a Taylor shift where its terms fall off at once in every draw.
    """
    size = lost.size
    for c in range(size):
        growth[c] = lost[c] / kept[c]
    terms, first = shift_terms(low, high, growth.max(), 1.0, COARSE_TRIM)
    if terms == 0:
        if high > 0:
            _composed(p, high, lost, kept, room)
        return 0, False
    power[:] = 1.0
    for k in range(low, high + 1):
        now = p[k, :size]
        for c in range(size):
            now[c] *= power[c]
        for c in range(size):
            power[c] *= kept[c]
    for k in range(first, high + 1):
        room[k, :size] = p[k, :size]
    for length in range(1, terms + 1):
        for k in range(first, high + 1 - length):
            factor = (k + 1.0) / length
            term, ahead, now = room[k, :size], room[k + 1, :size], p[k, :size]
            for c in range(size):
                term[c] = ahead[c] * (growth[c] * factor)
            for c in range(size):
                now[c] += term[c]
    return first, True


@_compiled
def _scaled(p, low, high, total):  # type: ignore[no-untyped-def]
    """Make the weights of each draw add up to 1; write their sums, and return the window of what has weight in any."""
    size = total.size
    total[:] = 0.0
    for k in range(low, high + 1):
        now = p[k, :size]
        for c in range(size):
            total[c] += now[c]
    for k in range(low, high + 1):
        now = p[k, :size]
        for c in range(size):
            now[c] /= total[c]
    low = _without_weight(p, low, high, 1, size)
    return low, _without_weight(p, high, low, -1, size)


@_compiled
def _without_weight(p, begin, end, step, size):  # type: ignore[no-untyped-def]
    """Return from where on there is weight, from one end of a window to the other; what is before becomes 0."""
    tail = p[begin, :size].copy()
    while begin != end and tail.max() < COARSE_TRIM:
        p[begin, :size] = 0.0
        begin += step
        for c in range(size):
            tail[c] += p[begin, c]
    return begin


@_compiled
def _block(gaps, last, r, of, p, room, out, log_silent, mean, found):  # type: ignore[no-untyped-def]
    """Filter one history, ``gaps`` (wait, draw), of which the one at ``last`` is the silence, in some draws.

    Return the windows just after the last purchase and at the end (``found`` (2, number, draw) are the mixtures there,
    ``mean`` (2, draw) the means of the numbers, and the first rows of ``out`` (10, draw) theta), and write the log
    probability of the silence.
    """
    size = r.size
    theta, change, lost, kept = out[2, :size], out[3, :size], out[4, :size], out[5, :size]
    mass, growth, power, total = out[6, :size], out[7, :size], out[8, :size], out[9, :size]
    p[:, :] = 0.0
    p[0, :size] = 1.0
    theta[:] = 0.0
    log_silent[:] = 0.0
    low = high = 0
    windows = np.zeros((2, 2), dtype=np.int64)
    for j in range(last):
        _waited(gaps[j, :size], theta, change, lost, kept, mass, of)
        low, _ = _shifted(p, low, high, lost, kept, room, growth, power)
        for k in range(high, low - 1, -1):
            now, after = p[k, :size], p[k + 1, :size]
            for c in range(size):
                after[c] = now[c] * ((r[c] + k) / (of[0, c] + theta[c]))
        p[low, :size] = 0.0
        low, high = _scaled(p, low + 1, high + 1, total)
    windows[0] = low, high
    out[0, :size] = theta
    _told(p, low, high, found[0], mean[0, :size])
    if gaps[last, :size].max() > 0.0:
        _waited(gaps[last, :size], theta, change, lost, kept, mass, of)
        before = low
        low, scaled = _shifted(p, low, high, lost, kept, room, growth, power)
        low, high = _scaled(p, low, high, total)
        for c in range(size):
            log_silent[c] = r[c] * (log(mass[c]) - 0.5 * of[4, c] * gaps[last, c])
        for c in range(size):
            log_silent[c] += log(total[c])
        if scaled:
            for c in range(size):
                log_silent[c] += before * log(kept[c])
    windows[1] = low, high
    out[1, :size] = theta
    _told(p, low, high, found[1], mean[1, :size])
    return windows


@_compiled
def _alone(gaps, r, alpha, kappa, c, work, out, means, found, windows):  # type: ignore[no-untyped-def]
    """Do what ``_block`` does for the draw at ``c`` alone; return the log probability of the silence."""
    last = gaps.size - 1
    times, p, silent = np.cumsum(gaps[:last]), np.zeros(last + 2), 0.0
    low, high, theta, _ = after_last(p, times, r, alpha, kappa, work, COARSE_TRIM)
    for side in range(2):
        if side == 1 and gaps[last] > 0.0:
            low, high, theta, silent = silenced(
                p, low, high, theta, gaps[last], r, alpha, kappa, work, COARSE_TRIM
            )
        windows[side, 0], windows[side, 1] = low, high
        out[side, c], means[side, c] = theta, 0.0
        for k in range(low, high + 1):
            found[side, k, c] = p[k]
            means[side, c] += p[k] * k
    return silent


@_compiled
def _told(p, low, high, found, mean):  # type: ignore[no-untyped-def]
    """Write a window and the mean of its numbers."""
    size = mean.size
    mean[:] = 0.0
    for k in range(low, high + 1):
        now = p[k, :size]
        found[k, :size] = now
        for c in range(size):
            mean[c] += now[c] * k


@_compiled
def states(T, start, size, times, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return ``Drifting`` of rows as in ``drifting.log_likelihoods``; the parameters are (row, draw).

    T is (row, 1) and ``times`` (purchase, 1), or their second axis is the draws too.
    """
    rows, draws = r.shape
    wide = T.shape[1] > 1
    most, width = np.int64(size.max()) if rows else 0, min(BLOCK, draws)
    pitch = width + APART
    p, room, found = np.empty((most + 2, pitch)), np.empty((most + 3, pitch)), np.empty((2, most + 2, pitch))
    gaps, of, out = np.empty((most + 1, pitch)), np.empty((5, pitch)), np.empty((10, pitch))
    work, windows = room_for(most), np.zeros((2, 2), dtype=np.int64)
    silent = np.zeros((rows, draws))
    scale, mean = np.empty((rows, draws, 2)), np.empty((rows, draws, 2))
    place = np.empty((rows, draws, 2), dtype=np.int64)
    least, count = np.empty((rows, draws, 2), dtype=np.int32), np.empty((rows, draws, 2), dtype=np.int32)
    mixture, used, means = np.empty(2 * rows * draws * min(most + 1, 8)), 0, np.empty((2, pitch))
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        for begin in range(0, draws, width):
            end = min(begin + width, draws)
            w = end - begin
            for j in range(n + 1):
                for c in range(w if wide else 1):
                    at = begin + c if wide else 0
                    now = times[first + j, at] if j < n else T[i, at]
                    gaps[j, c] = now - (times[first + j - 1, at] if j else 0.0)
                if not wide:
                    gaps[j, :w] = gaps[j, 0]
            if n < MANY:
                _paced(alpha[i, begin:end], kappa[i, begin:end], of)
                windows[:] = _block(
                    gaps, n, r[i, begin:end], of, p[: n + 2], room, out, silent[i, begin:end], means, found
                )
            for c in range(w):
                s = begin + c
                if n >= MANY:
                    silent[i, s] = _alone(
                        gaps[: n + 1, c],
                        r[i, s],
                        alpha[i, s],
                        kappa[i, s],
                        c,
                        work,
                        out,
                        means,
                        found,
                        windows,
                    )
                for side in range(2):
                    low, number = windows[side, 0], windows[side, 1] - windows[side, 0] + 1
                    mixture = _with_room(mixture, used, number)
                    scale[i, s, side] = alpha[i, s] + out[side, c]
                    mean[i, s, side] = (r[i, s] + means[side, c]) / scale[i, s, side]
                    place[i, s, side], least[i, s, side], count[i, s, side] = used, low, number
                    for k in range(number):
                        mixture[used + k] = found[side, low + k, c]
                    used += number
    return Drifting(silent, scale, mean, place, least, count, mixture[:used].copy())


@_compiled
def _with_room(mixture, used, more):  # type: ignore[no-untyped-def]
    """Return an array whose first numbers are those used, with room for more."""
    if used + more <= mixture.size:
        return mixture
    larger = np.empty(2 * mixture.size + more)
    larger[:used] = mixture[:used]
    return larger


@_compiled
def drawn_shapes(rates, living, u):  # type: ignore[no-untyped-def]
    """Return (row, draw) draws of m: at the end of observation where ``living``, else at the last purchase."""
    found = np.empty(u.shape)
    for i in range(u.shape[0]):
        for s in range(u.shape[1]):
            end = 1 if living[i, s] else 0
            at, count = rates.place[i, s, end], rates.count[i, s, end]
            left, k = u[i, s], 0
            while k < count - 1 and left >= rates.mixture[at + k]:
                left -= rates.mixture[at + k]
                k += 1
            found[i, s] = rates.least[i, s, end] + k
    return found
