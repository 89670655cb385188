"""From one purchase to the next at a rate that drifts (``paths.drift``), of many buyers at a time.

First the rate at the purchase; then whether there is another before the end, which takes one probability, since most
futures end here; and of those who buy on when, by ``drifting_waits``, which tells the few that it did not find.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import expm1
from bayes_clv.distributions.elementary import plain_log as log
from bayes_clv.distributions.paths.variates import BOOST, FAR, RATE, SHARE, gammas, normals
from bayes_clv.distributions.poisson.drifting_waits import (
    ALPHA,
    DELTA,
    ENOUGH,
    GAMMA,
    KAPPA,
    NUMBERS,
    ROOM,
    R,
    S,
    hazard_at,
    log_silence_at,
    next_silences,
    next_waits,
    put_pace,
    start_of,
)
from bayes_clv.distributions.streams import mix, standard_gamma, standard_normal, unit

# Newton steps halve the bracket where they leave it.
STEPS = 200

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


class Some(NamedTuple):
    """What is known of some buyers, (number,) or (..., number) each, and room to work in."""

    of: Any
    room: Any
    place: Any
    rate: Any
    wait: Any
    log_left: Any
    word: Any
    step: Any
    stream: Any
    state: Any


@_compiled
def new_some(size):  # type: ignore[no-untyped-def]
    """Return room for so many buyers."""
    words = np.empty((4, size), dtype=np.uint64)
    numbers = np.empty((3, size))
    return Some(
        np.empty((NUMBERS, size)),
        np.empty((ROOM, size)),
        np.empty(size, dtype=np.int64),
        numbers[0],
        numbers[1],
        numbers[2],
        words[0],
        words[1],
        words[2],
        words[3],
    )


@_compiled
def next_wait(rate, r, kappa, paced, log_left):  # type: ignore[no-untyped-def]
    """Return the wait that is longer with the probability e^log_left, after a rate; ``paced`` is ``drifting.pace``."""
    _, gamma, delta = paced
    low, high = 0.0, math.inf
    t = start_of(log_left, rate, r, kappa, gamma, delta)
    for _ in range(STEPS):
        if not t < FAR:
            return FAR
        change = -math.expm1(-gamma * t)
        value = log_silence_at(change, t, rate, r, kappa, gamma, delta)
        if value > log_left:
            low = t
        else:
            high = t
        new = t + (value - log_left) / hazard_at(change, rate, r, kappa, gamma, delta)
        if not low <= new <= high:
            new = 0.5 * (low + high) if high < math.inf else 2.0 * t
        done = abs(new - t) <= ENOUGH * new
        t = new
        if done:
            break
    return t


@_compiled
def rate_after(rate, wait, r, kappa, paced, stream, step):  # type: ignore[no-untyped-def]
    """Return the rate just after the purchase that ends a wait which began at a rate; else as in ``next_wait``."""
    s, gamma, delta = paced
    change = -math.expm1(-gamma * wait)
    e = 1.0 - change
    d = delta * e + gamma + kappa
    if not s * change > 0.0:
        return rate
    mean = rate * (4.0 * gamma * gamma * e) / (s * change * d)
    # A Gamma of shape r + 1 + J, J Poisson, is half a non-central chi-square: a Normal about the root of its mean,
    # squared, and the Gamma of what is left. Weighted by r + J it is that, or that of one more.
    more = 0.5 if unit(mix(stream)) * (r + mean) < r else 1.5
    normal, _ = standard_normal(mix(stream ^ SHARE), step)
    normal += math.sqrt(2.0 * mean)
    left, _ = standard_gamma(r + more, mix(stream ^ BOOST), step)
    return (0.5 * normal * normal + left) * (s * change / d)


@_compiled
def _rates_after(some, size):  # type: ignore[no-untyped-def]
    """Write the rates just after the purchases that end waits, which began at ``some.rate``; as ``rate_after``."""
    of, room, rate, wait, stream, state = some.of, some.room, some.rate, some.wait, some.stream, some.state
    r, kappa, s, gamma, delta = (
        of[R, :size],
        of[KAPPA, :size],
        of[S, :size],
        of[GAMMA, :size],
        of[DELTA, :size],
    )
    change, d, mean, shape = room[0, :size], room[1, :size], room[2, :size], room[3, :size]
    normal, left = room[4, :size], room[5, :size]
    for m in range(size):
        change[m] = -expm1(-gamma[m] * wait[m])
    for m in range(size):
        d[m] = delta[m] * (1.0 - change[m]) + gamma[m] + kappa[m]
    for m in range(size):
        mean[m] = rate[m] * (4.0 * gamma[m] * gamma[m] * (1.0 - change[m])) / (s[m] * change[m] * d[m])
    for m in range(size):
        shape[m] = r[m] + (0.5 if unit(mix(stream[m])) * (r[m] + mean[m]) < r[m] else 1.5)
    for m in range(size):
        state[m] = mix(stream[m] ^ SHARE)
    normals(state[:size], some.step[:size], normal)
    for m in range(size):
        state[m] = mix(stream[m] ^ BOOST)
    gammas(shape, state[:size], some.step[:size], room[6:8], left)
    for m in range(size):
        normal[m] += math.sqrt(2.0 * mean[m])
    for m in range(size):
        after = (0.5 * normal[m] * normal[m] + left[m]) * (s[m] * change[m] / d[m])
        # Of no wait nothing has changed.
        rate[m] = after if s[m] * change[m] > 0.0 else rate[m]


@_compiled
def go_on(state, who, buyers, begin, size, active, some):  # type: ignore[no-untyped-def]
    """Draw rate and next wait of the active buyers from ``begin`` on; list those who buy on from ``active`` on.

    Return how many are listed then. First it is decided who buys on, which takes one probability; how long that takes
    is searched of those.
    """
    of, room, place = some.of, some.room, some.place
    rate, wait, log_left = some.rate, some.wait, some.log_left
    for m in range(size):
        n = buyers.active[begin + m]
        row, s = who.row[buyers.customer[n]], buyers.draw[n]
        of[R, m], of[ALPHA, m] = state.shape[row, s], state.further.alpha[row, s]
        of[KAPPA, m] = state.further.kappa[row, s]
        rate[m], wait[m] = buyers.speed[n], buyers.wait[n]
        buyers.stream[n] += buyers.step[n]
        some.word[m], some.step[m] = mix(buyers.stream[n]), buyers.step[n]
    put_pace(of, size)
    for m in range(size):
        some.stream[m] = mix(some.word[m] ^ RATE)
    _rates_after(some, size)
    for m in range(size):
        log_left[m] = log(unit(some.word[m]))
    for m in range(size):
        n = buyers.active[begin + m]
        wait[m] = buyers.last[n] - buyers.time[n]
    next_silences(wait[:size], rate[:size], of, room, room[1, :size])
    buying = 0
    for m in range(size):
        place[buying] = m
        buying += room[1, m] <= log_left[m]
    for j in range(NUMBERS):
        for m in range(buying):
            of[j, m] = of[j, place[m]]
    for m in range(buying):
        rate[m], wait[m], log_left[m] = rate[place[m]], wait[place[m]], log_left[place[m]]
    waits, close = room[3, :buying], room[4, :buying]
    next_waits(log_left[:buying], rate[:buying], of, room, waits, close)
    for m in range(buying):
        n = buyers.active[begin + place[m]]
        if close[m] == 0.0:
            paced = of[S, m], of[GAMMA, m], of[DELTA, m]
            waits[m] = next_wait(rate[m], of[R, m], of[KAPPA, m], paced, log_left[m])
        # The two ways to say that it buys may differ in the last digit.
        waits[m] = min(waits[m], wait[m])
        buyers.speed[n], buyers.wait[n] = rate[m], waits[m]
        buyers.time[n] += waits[m]
        buyers.active[active] = n
        active += 1
    return active
