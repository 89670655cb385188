"""Customers who sleep and come back: when they buy next, and what they are like, many draws of one history at once.

Each operation is one loop over draws that the compiler turns into vectors, and for that writes one array alone, of a
few: as ``poisson.drifting_waits`` for a rate that drifts. A first wait is found by Halley's steps, FEW of them in all
draws, so that no draw waits for another, nor depends on it; the few that are not there yet are searched one by one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp, expm1
from bayes_clv.distributions.elementary import plain_log as log
from bayes_clv.distributions.paths.variates import BELOW_ONE, DROPOUT, FAR, LEFT, RATE, SHARE, gammas
from bayes_clv.distributions.poisson.returning_draws import heads_at
from bayes_clv.distributions.streams import mix, unit

# Draws taken together, so that what is in work of a history stays in the processor's second cache.
CHUNK = 256
# Steps halve the bracket where they leave it, and where they do not become shorter: a mixture with negative weights
# sends Halley's to and fro between its ends, in one of some 50,000 waits for ever.
STEPS = 200
# Of a step of Halley's: the next one, and so the error, is about its cube; and of a bracket.
ENOUGH, CLOSE = 1e-3, 1e-9
# Halley's steps of all draws at once, from a start that is read off at two times; of histories of MANY waits, whose
# silences bend more, one more.
FEW, MANY = 2, 6

# Numbers of a draw, the rows of ``Now.of``.
R, ALPHA, A, B, W, NU, LATER, SLEEPING, ASLEEP, SCALE, U = range(11)
NUMBERS = 11
# Rows to work in.
ROOM = 12

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
# Sums whose order is the compiler's, so that they become vectors.
_summed = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz"})


class Now(NamedTuple):
    """Draws of one history in work, at most CHUNK: numbers (NUMBERS, draw), and parts of ``Known`` (point, draw).

    ``state`` is 0 awake, 1 asleep, 2 gone; ``wait`` the next purchase, infinite of who is gone; ``rate`` and ``coin``
    are the draw's own. The rest is to work in.
    """

    of: Any
    signed: Any
    back: Any
    fell: Any
    awake: Any
    asleep: Any
    still: Any
    slept: Any
    m: Any
    room: Any
    state: Any
    wait: Any
    rate: Any
    coin: Any
    word: Any
    stream: Any
    steps: Any
    here: Any


@_compiled
def new_now(points, waits, size):  # type: ignore[no-untyped-def]
    """Return room for so many points, waits and draws."""
    numbers, words = np.empty((4, size)), np.empty((3, size), dtype=np.uint64)
    parts, lengths = np.empty((5, points, size)), np.empty((2, waits, size))
    return Now(
        np.empty((NUMBERS, size)),
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        parts[4],
        lengths[0],
        lengths[1],
        np.empty((waits + 1, size)),
        np.empty((ROOM, size)),
        numbers[0],
        numbers[1],
        numbers[2],
        numbers[3],
        words[0],
        words[1],
        words[2],
        np.empty(size, dtype=np.bool_),
    )


@_summed
def _sums(rates, signed, t):  # type: ignore[no-untyped-def]
    """Return the sum of the terms of a silence at a time, and of them times the rate, and its square."""
    total = slope = bend = 0.0
    for i in range(rates.size):
        each = signed[i] * exp(-rates[i] * t)
        total += each
        slope += rates[i] * each
        bend += rates[i] * rates[i] * each
    return total, slope, bend


@_compiled
def first_wait(rates, signed, sleeping, nu, scale, left):  # type: ignore[no-untyped-def]
    """Return the wait within which nothing is bought, by one who has not left, with the probability ``left``.

    The arguments are those of ``Known`` in one draw. By Halley's steps for the logarithm of that probability as a
    function of log1p(t / scale), from 0 on.
    """
    low, high = 0.0, math.inf
    log_left, t, y, before = math.log(left), 0.0, 0.0, math.inf
    for _ in range(STEPS):
        value, slope, bend = _sums(rates, signed, t)
        others = sleeping * math.exp(-nu * t)
        value += others
        slope += nu * others
        bend += nu * nu * others
        if value > left:
            low = y
        else:
            high = y
        new = y
        if value > 0.0 and slope > 0.0:
            slope *= (scale + t) / value
            # The second derivative over the first.
            curve = bend / value * (scale + t) * (scale + t) / slope - 1.0 - slope
            step = (math.log(value) - log_left) / slope
            new += step / max(1.0 + 0.5 * step * curve, 0.5)
        if not low <= new <= high or new == y or (high < math.inf and abs(new - y) > 0.5 * before):
            new = 0.5 * (low + high) if high < math.inf else 2.0 * y + 1.0
        before = abs(new - y)
        done = abs(new - y) <= ENOUGH * new or (high < math.inf and high - low <= CLOSE * high)
        y = new
        t = scale * math.expm1(y)
        if done:
            break
        while not t < FAR:
            high = y
            y = 0.5 * (low + y)
            t = scale * math.expm1(y)
    return min(t, FAR)


@_compiled
def _terms(rates, now, t, each, value, slope, bend):  # type: ignore[no-untyped-def]
    """Write the silences of times t > 0, and the sums of their terms times the rate, and its square."""
    size = t.size
    nu, sleeping = now.of[LATER, :size], now.of[SLEEPING, :size]
    for m in range(size):
        value[m] = sleeping[m] * exp(-nu[m] * t[m])
    for m in range(size):
        slope[m] = nu[m] * value[m]
    for m in range(size):
        bend[m] = nu[m] * slope[m]
    for i in range(rates.size):
        rate, signed = rates[i], now.signed[i, :size]
        for m in range(size):
            each[m] = signed[m] * exp(-rate * t[m])
        for m in range(size):
            value[m] += each[m]
        for m in range(size):
            slope[m] += rate * each[m]
        for m in range(size):
            bend[m] += rate * rate * each[m]


@_compiled
def _begun(rates, still, t, now, log_left, room, y):  # type: ignore[no-untyped-def]
    """Write where the search of a wait begins: by the values and slopes of the inverse function at 0 and at t.

    ``still`` (point) is e^(-lambda t).
    """
    size = y.size
    scale, nu, sleeping = now.of[SCALE, :size], now.of[LATER, :size], now.of[SLEEPING, :size]
    value, rise, begin, start = room[0, :size], room[1, :size], room[2, :size], room[3, :size]
    for m in range(size):
        start[m] = sleeping[m]
    for m in range(size):
        begin[m] = nu[m] * sleeping[m]
    for m in range(size):
        value[m] = sleeping[m] * exp(-nu[m] * t)
    for m in range(size):
        rise[m] = nu[m] * value[m]
    for i in range(rates.size):
        signed, rate, kept = now.signed[i, :size], rates[i], still[i]
        both = rate * kept
        for m in range(size):
            start[m] += signed[m]
        for m in range(size):
            begin[m] += rate * signed[m]
        for m in range(size):
            value[m] += kept * signed[m]
        for m in range(size):
            rise[m] += both * signed[m]
    for m in range(size):
        # Of x = -log P: 0 at the start, ``end`` at t, and the slopes of y = log1p(time / scale) there.
        first = log(start[m])
        end, x = first - log(value[m]), first - log_left[m]
        from_start, from_end = start[m] / (begin[m] * scale[m]), value[m] / (rise[m] * (scale[m] + t))
        top = log(1.0 + t / scale[m])
        p = x / end
        inside = p * p * (3.0 - 2.0 * p) * top
        inside += p * (1.0 - p) * end * ((1.0 - p) * from_start - p * from_end)
        y[m] = max(inside if p < 1.0 else top + (x - end) * from_end, 1e-12)


@_compiled
def first_waits(rates, still, t, now, size):  # type: ignore[no-untyped-def]
    """Write the waits that are longer with the probability U of who has not left; as in ``first_wait``.

    ``still`` (point) is e^(-lambda t) at any time t, about the length of a history.
    """
    room, wait = now.room, now.wait
    log_left, y, old = room[4, :size], room[5, :size], room[6, :size]
    each, value, slope, bend = room[7, :size], room[8, :size], room[9, :size], room[10, :size]
    scale, left = now.of[SCALE, :size], now.of[U, :size]
    for m in range(size):
        log_left[m] = log(left[m])
    _begun(rates, still, t, now, log_left, room, y)
    for _ in range(FEW + (now.still.shape[0] >= MANY)):
        old[:] = y
        for m in range(size):
            wait[m] = scale[m] * expm1(y[m])
        _terms(rates, now, wait[:size], each, value, slope, bend)
        for m in range(size):
            by = scale[m] + wait[m]
            rise = slope[m] * by / value[m]
            # The second derivative over the first.
            curve = bend[m] / value[m] * by * by / rise - 1.0 - rise
            step = (log(value[m]) - log_left[m]) / rise
            new = old[m] + step / max(1.0 + 0.5 * step * curve, 0.5)
            y[m] = new if (value[m] > 0.0) & (slope[m] > 0.0) & (new > 0.0) else math.inf
    for m in range(size):
        old[m] = abs(y[m] - old[m])
    for m in range(size):
        wait[m] = scale[m] * expm1(y[m])
    for m in range(size):
        if now.here[m] and not (old[m] <= ENOUGH * y[m] and wait[m] < FAR):
            wait[m] = first_wait(
                rates, now.signed[:, m].copy(), now.of[SLEEPING, m], now.of[LATER, m], scale[m], left[m]
            )


@_compiled
def choose(rates, now, size):  # type: ignore[no-untyped-def]
    """Draw the state, and the rate among the points, given the next purchase; of who has left, and will not buy.

    ``here`` says who has not left, ``wait`` is FAR or more where no rate can be told from it; two uniform numbers each
    come from ``stream``.
    """
    room, stream, steps, of = now.room, now.stream, now.steps, now.of
    known, sleeps, kept = room[0, :size], room[1, :size], room[2, :size]
    stays, left, t, place = room[3, :size], room[4, :size], room[5, :size], room[6, :size]
    wait, state, here, later = now.wait, now.state, now.here, of[LATER, :size]
    for m in range(size):
        known[m] = 1.0 if wait[m] < FAR else 0.0
    for m in range(size):
        t[m] = wait[m] if wait[m] < FAR else 0.0
    for m in range(size):
        sleeps[m] = exp(-later[m] * t[m])
    # Of those asleep who have not left, and whose next purchase tells nothing.
    for m in range(size):
        kept[m] = of[ASLEEP, m] * (1.0 - of[W, m]) if here[m] else 1.0
    stays[:] = 0.0
    left[:] = 0.0
    for i in range(rates.size):
        rate, signed, back, fell = rates[i], now.signed[i, :size], now.back[i, :size], now.fell[i, :size]
        awake, asleep = now.awake[i, :size], now.asleep[i, :size]
        for m in range(size):
            awake[m] = exp(-rate * t[m])
        for m in range(size):
            woken = max(back[m] * (sleeps[m] - awake[m]), 0.0) * rate
            asleep[m] = woken if known[m] > 0.0 else fell[m] * kept[m]
        for m in range(size):
            now_awake = max(signed[m] + back[m], 0.0) * (rate * awake[m] if known[m] > 0.0 else 1.0)
            awake[m] = now_awake if here[m] else 0.0
        for m in range(size):
            stays[m] += awake[m]
        for m in range(size):
            left[m] += asleep[m]
    for m in range(size):
        awake = unit(mix(stream[m] + steps[m])) * (stays[m] + left[m]) < stays[m]
        state[m] = 0.0 if awake else (1.0 if here[m] else 2.0)
    for m in range(size):
        left[m] = (stays[m] if state[m] == 0.0 else left[m]) * unit(mix(stream[m] + steps[m] + steps[m]))
    place[:] = 0.0
    for i in range(rates.size - 1):
        awake, asleep = now.awake[i, :size], now.asleep[i, :size]
        for m in range(size):
            left[m] -= awake[m] if state[m] == 0.0 else asleep[m]
        for m in range(size):
            place[m] += 1.0 if left[m] >= 0.0 else 0.0
    for m in range(size):
        now.rate[m] = rates[np.int64(place[m])]


@_compiled
def _slept(g, rate, nu, u):  # type: ignore[no-untyped-def]
    """Return how long one slept who bought after g: the density falls as e^(-(nu - rate) d), d within g."""
    y = (nu - rate) * g
    if abs(y) < 1e-9:
        return g * u
    if y > 0.0:
        return min(-math.log1p(u * math.expm1(-y)) / y, 1.0) * g
    return max(1.0 + math.log1p((1.0 - u) * math.expm1(y)) / -y, 0.0) * g


@_compiled
def coins(a, b, now, room, size, out):  # type: ignore[no-untyped-def]
    """Write Beta variates of the streams in ``now.stream``, 0 where a is 0; of shapes near 0 they are 0 or 1."""
    other = room[2, :size]
    gammas(a, now.stream[:size], now.steps[:size], room[:2], out[:size])
    for m in range(size):
        now.stream[m] = mix(now.stream[m] ^ SHARE)
    gammas(b, now.stream[:size], now.steps[:size], room[:2], other)
    for m in range(size):
        both = out[m] + other[m]
        # Shapes so small that both round to 0: what is left of the Beta are its ends.
        end = 1.0 if unit(mix(now.stream[m] + now.steps[m])) * (a[m] + b[m]) < a[m] else 0.0
        out[m] = (out[m] / both if both > 0.0 else end) if a[m] > 0.0 else 0.0


@_compiled
def own_numbers(gaps, which, first, now, size):  # type: ignore[no-untyped-def]
    """Draw rate and coin given all tosses and sleeps, which are drawn given a rate among the points and a coin.

    ``gaps`` as in ``Known``; ``which`` are the draws. The points stand for the rate's density, to six digits, but they
    are points: given tosses and sleeps the rate is a Gamma and the coin a Beta.
    """
    of, room, rate, coin, state, wait = now.of, now.room, now.rate, now.coin, now.state, now.wait
    waits, wide = gaps.shape[0], gaps.shape[1] > 1
    fell, awake, wakes, u = room[4, :size], room[5, :size], room[6, :size], room[7, :size]
    a, b, shape, scale = room[8, :size], room[9, :size], room[10, :size], room[11, :size]
    tosses = float(waits - 1 + first)
    for m in range(size):
        wakes[m] = (1.0 - of[W, m]) * of[NU, m] / (rate[m] - of[NU, m])
    for j in range(waits):
        still, slept = now.still[j, :size], now.slept[j, :size]
        for m in range(size):
            still[m] = exp(-rate[m] * gaps[j, which[m] if wide else 0])
        for m in range(size):
            slept[m] = exp(-of[NU, m] * gaps[j, which[m] if wide else 0])
    for m in range(size):
        u[m] = unit(mix(mix(now.word[m] ^ SHARE)))
    for m in range(size):
        now.here[m] = state[m] == 0.0
    heads_at(
        first, now.still, now.slept, wakes, of[A, :size], of[B, :size], now.here, u, now.m, room[:4], fell
    )
    if tosses > 1.0:
        for m in range(size):
            a[m] = of[A, m] + fell[m]
        for m in range(size):
            b[m] = of[B, m] + (tosses - fell[m])
        for m in range(size):
            now.stream[m] = mix(now.word[m] ^ DROPOUT ^ SHARE)
        coins(a, b, now, room, size, coin)
        fell[:] = 0.0
    awake[:] = 0.0
    for m in range(size):
        now.stream[m] = mix(now.word[m] ^ LEFT)
    for j in range(waits):
        still, slept, last = now.still[j, :size], now.slept[j, :size], j == waits - 1
        for m in range(size):
            now.stream[m] += now.steps[m]
        for m in range(size):
            g = gaps[j, which[m] if wide else 0]
            awake[m] += g if not last or state[m] == 0.0 or tosses == 0.0 else 0.0
        if j + first == 0:
            continue
        if tosses > 1.0:
            for m in range(size):
                woken = coin[m] * (slept[m] - still[m]) * wakes[m]
                now.here[m] = unit(mix(now.stream[m])) * ((1.0 - coin[m]) * still[m] + woken) < woken
            for m in range(size):
                now.here[m] |= last and state[m] > 0.0
            for m in range(size):
                fell[m] += 1.0 if now.here[m] else 0.0
        else:
            for m in range(size):
                now.here[m] = fell[m] > 0.0
        for m in range(size):
            if now.here[m] and not (last and state[m] > 0.0):
                g = gaps[j, which[m] if wide else 0]
                awake[m] -= _slept(g, rate[m], of[NU, m], unit(mix(now.stream[m] ^ SHARE)))
    for m in range(size):
        shape[m] = of[R, m] + (waits - 1) + (1.0 if wait[m] < FAR else 0.0)
    for m in range(size):
        if wait[m] < FAR:
            awake[m] += wait[m]
            if state[m] == 1.0:
                u[m] = unit(mix(now.stream[m] ^ LEFT))
                awake[m] -= _slept(wait[m], rate[m], of[LATER, m], u[m])
    for m in range(size):
        scale[m] = of[ALPHA, m] + max(awake[m], 0.0)
    for m in range(size):
        now.stream[m] = mix(now.stream[m] ^ RATE)
    gammas(shape, now.stream[:size], now.steps[:size], room[:2], rate[:size])
    for m in range(size):
        rate[m] /= scale[m]
    for m in range(size):
        a[m] = of[A, m] + fell[m]
    for m in range(size):
        b[m] = of[B, m] + (tosses - fell[m])
    for m in range(size):
        now.stream[m] = mix(now.stream[m] ^ DROPOUT)
    coins(a, b, now, room, size, coin)


@_compiled
def draw_some(known, still, t, which, size, first, params, scale, chances, step, words, now):  # type: ignore[no-untyped-def]
    """Draw first wait, state, rate and coin of one history in some draws, the first ``size`` of ``which``.

    ``params`` are r, alpha, a, b and w (draw); ``chances`` (draw) uniform numbers that say who has not left and, where
    there is a ``scale`` (draw), when it buys; ``words`` (draw) the streams. Else as in ``first_waits``.
    """
    r, alpha, a, b, w = params
    of, waited, rates = now.of, scale.size > 0, known.rates
    for m in range(size):
        s = which[m]
        of[R, m], of[ALPHA, m], of[A, m], of[B, m], of[W, m] = r[s], alpha[s], a[s], b[s], w[s]
        of[NU, m], of[LATER, m] = known.nu[s], known.later[s]
        of[SLEEPING, m], of[ASLEEP, m] = known.sleeping[s], known.asleep[s]
        of[SCALE, m] = scale[s] if waited else 0.0
        alive = known.alive[s]
        now.here[m] = chances[s] < alive
        of[U, m] = alive * (1.0 - min(chances[s] / alive, BELOW_ONE)) if now.here[m] else 0.5 * alive
        now.word[m], now.steps[m] = words[s], step
        now.stream[m] = mix(words[s] ^ RATE)
    for i in range(rates.size):
        for m in range(size):
            now.signed[i, m] = known.signed[i, which[m]]
        for m in range(size):
            now.back[i, m] = known.back[i, which[m]]
        for m in range(size):
            now.fell[i, m] = known.fell[i, which[m]]
    if waited:
        first_waits(rates, still, t, now, size)
    for m in range(size):
        if not waited or not now.here[m]:
            now.wait[m] = math.inf
    choose(rates, now, size)
    own_numbers(known.gaps, which, first, now, size)
