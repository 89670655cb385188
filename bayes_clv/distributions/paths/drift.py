"""Customers whose rate drifts, with a coin after each purchase or a lifetime of their own: ``poisson.drifting``.

``State``: r and the scale of the Gamma at the end of observation, a and b of the coin or of the Gamma of the rate of
leaving (those of ``coin`` and ``lifetime``), and ``further``, ``Drift``. The future is drawn from one purchase to the
next, without steps of time and so without their error:

- the first wait by inversion of the probability of silence, with the rate integrated out, so that one who buys nothing
  within the horizon costs one comparison, as in the law of the constant coin;
- given that wait the rate at the end of observation, which is what ``rate`` tells;
- given the rate and the wait, the rate at the purchase: silent for a time t, a rate lambda becomes
  Gamma(r + J, rate D / (s (1 - e))), J Poisson of mean lambda 4 gamma² e / (s (1 - e) D), with D at theta = 0, which
  is a non-central chi-square; the purchase makes that J + 1, J weighted by r + J;
- further waits by inversion of P(wait > t | lambda) = (2 gamma / D)^r e^(-delta r t / 2) e^(-lambda 2 (1 - e) / D).

A lifetime ends the future as the horizon does. Of one who has left the rate is that when it left: at the last purchase
by the coin, by the lifetime some time after it, which ``poisson.drifting_lifetime`` draws.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.arrays import owned
from bayes_clv.distributions.paths import coin
from bayes_clv.distributions.paths.coin import dropout, toss
from bayes_clv.distributions.paths.drift_on import STEPS, go_on, new_some, next_wait, rate_after
from bayes_clv.distributions.paths.variates import (
    BELOW_ONE,
    DROPOUT,
    FAR,
    LEFT,
    RATE,
    SHARE,
    gammas,
)
from bayes_clv.distributions.paths.work import enter, hashed, new_work
from bayes_clv.distributions.poisson.drifting import pace
from bayes_clv.distributions.poisson.drifting_forecasts import silent_of
from bayes_clv.distributions.poisson.drifting_lifetime import left_after, room_to_leave, shape_after
from bayes_clv.distributions.poisson.drifting_waits import (
    ALPHA,
    ENOUGH,
    KAPPA,
    LEAST,
    NUMBERS,
    THETA,
    R,
    first_waits,
    put_pace,
    rates_given,
    silences,
)
from bayes_clv.distributions.streams import LIFETIME, mix, standard_gamma, unit

# Buyers whose next waits are drawn at a time, so that what is in work stays in the processor's first cache.
CHUNK = 256

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


class Drift(NamedTuple):
    """Of each history and draw: P(alive), alpha and kappa, and ``Drifting``; and whether customers have a lifetime."""

    alive: Any
    alpha: Any
    kappa: Any
    rates: Any
    lasting: bool = False


def change(numbers: Mapping[str, Any], pace: Any, leaving: Any) -> dict[str, Any]:
    """Return the numbers of a purchase rate ``pace`` times, and a dropout ``leaving`` times, what they were.

    A rate that is p times another of Gamma(r, alpha) drifts as fast as that, and about Gamma(r, alpha / p).
    """
    further, scale = numbers["further"], numbers["scale"]
    each = np.expand_dims(pace, -1)
    rates = further.rates._replace(
        scale=owned(further.rates.scale / each), mean=owned(further.rates.mean * each)
    )
    found = {"further": further._replace(alpha=owned(further.alpha / pace, np.shape(scale)), rates=rates)}
    if further.lasting:
        # The scale of leaving cannot say it: by that it is drawn when those left who have.
        return dict(numbers) | found | {"scale": scale / pace, "stay": 1 / leaving}
    return coin.change(numbers, pace, leaving) | found


@_compiled
def _first_wait(mixture, least, scale, r, alpha, kappa, log_left):  # type: ignore[no-untyped-def]
    """Return the wait that is longer with the probability e^log_left; of a rate that is a mixture."""
    moment = 0.0
    for m in range(mixture.size):
        moment += mixture[m] * (least + m)
    # In log1p(t / scale) a constant rate's logarithm is a straight line.
    y = -log_left / (r + moment)
    low, high = 0.0, math.inf
    for _ in range(STEPS):
        t = scale * math.expm1(y)
        if not t < FAR:
            high = y
            y = 0.5 * (low + y)
            continue
        value, rate = silent_of(mixture, least, scale - alpha, t, r, alpha, kappa)
        if value > log_left:
            low = y
        else:
            high = y
        new = y + (value - log_left) / (rate * (scale + t))
        if not low <= new <= high:
            new = 0.5 * (low + high) if high < math.inf else 2.0 * y
        done = abs(new - y) <= ENOUGH * new
        y = new
        if done:
            break
    return min(scale * math.expm1(y), FAR)


@_compiled
def _known(state, row, mixture, of):  # type: ignore[no-untyped-def]
    """Write the numbers of one history in each draw (``drifting_waits.of``); return the mixtures, dense."""
    further, draws = state.further, state.shape.shape[1]
    rates = further.rates
    of[R, :draws], of[ALPHA, :draws], of[KAPPA, :draws] = (
        state.shape[row],
        further.alpha[row],
        further.kappa[row],
    )
    put_pace(of, draws)
    most = 0
    for s in range(draws):
        of[THETA, s], of[LEAST, s] = rates.scale[row, s, 1] - of[ALPHA, s], rates.least[row, s, 1]
        most = max(most, rates.count[row, s, 1])
    if most > mixture.shape[0]:
        mixture = np.empty((2 * most, draws))
    for k in range(most):
        mixture[k] = 0.0
    for s in range(draws):
        at = rates.place[row, s, 1]
        for k in range(rates.count[row, s, 1]):
            mixture[k, s] = rates.mixture[at + k]
    return mixture, most


@_compiled
def _chances(state, row, of, mixture, room, buying):  # type: ignore[no-untyped-def]
    """Write P(alive and buys within the horizon) of one history in each draw."""
    wide = state.horizon.shape[1] > 1
    silences(
        state.horizon[row] if wide else np.full(buying.size, state.horizon[row, 0]),
        of,
        mixture,
        room,
        buying,
        np.empty(0),
    )
    for s in range(buying.size):
        here = -state.further.alive[row, s] * math.expm1(buying[s])
        buying[s] = here if state.horizon[row, s if wide else 0] > 0.0 else 0.0


@_compiled
def _silent_for(state, row, s):  # type: ignore[no-untyped-def]
    """Return the time since the last purchase of a history in a draw."""
    return state.silence[row, s if state.silence.shape[1] > 1 else 0]


@_compiled
def _lives(state, row, step, needed, when, room, work):  # type: ignore[no-untyped-def]
    """Write when a customer leaves, from now, in the draws that need it; of one who has left where ``when`` asks."""
    further = state.further
    rates = further.rates
    for m in range(needed):
        s = np.int64(work.which[m])
        silence = _silent_for(state, row, s)
        here, a, b = work.u[s] < further.alive[row, s], state.a[row, s], state.b[row, s]
        work.life[m] = math.inf if here else -silence
        if further.lasting and here:
            work.life[m] = b * math.expm1(-math.log(unit(mix(work.word[s] ^ LIFETIME))) / a)
            if state.stay.shape[0] > 0:
                work.life[m] *= state.stay[row, s]
        elif further.lasting and when:
            at, alpha = rates.place[row, s, 0], further.alpha[row, s]
            work.life[m] += left_after(
                rates.mixture[at : at + rates.count[row, s, 0]],
                rates.least[row, s, 0],
                rates.scale[row, s, 0] - alpha,
                silence,
                state.shape[row, s],
                alpha,
                further.kappa[row, s],
                a,
                b - silence,
                room,
                mix(work.word[s] ^ LEFT),
                step,
            )


@_compiled
def _rates(state, row, step, needed, of, mixture, parts, some, work):  # type: ignore[no-untyped-def]
    """Write the first wait, infinite of one who has left, and the rate in the draws that need them."""
    further, own, room, place = state.further, some.of, some.room, some.place
    here = 0
    for m in range(needed):
        s = np.int64(work.which[m])
        place[here] = m
        here += work.u[s] < further.alive[row, s]
    for j in range(NUMBERS):
        for n in range(here):
            own[j, n] = of[j, work.which[place[n]]]
    for k in range(mixture.shape[0]):
        for n in range(here):
            parts[k, n] = mixture[k, work.which[place[n]]]
    log_left, mean, wait, close = work.power[:here], work.mass[:here], work.since[:here], work.at[:here]
    shape, scale, gamma = work.shape[:here], work.scale[:here], work.chance[:here]
    for n in range(here):
        s = np.int64(work.which[place[n]])
        log_left[n] = math.log1p(-min(work.u[s] / further.alive[row, s], BELOW_ONE))
        mean[n] = further.rates.mean[row, s, 1]
    first_waits(log_left, mean, own, parts, room, wait, close)
    for n in range(here):
        if close[n] == 0.0:
            s = np.int64(work.which[place[n]])
            at = further.rates.place[row, s, 1]
            wait[n] = _first_wait(
                further.rates.mixture[at : at + further.rates.count[row, s, 1]],
                further.rates.least[row, s, 1],
                further.rates.scale[row, s, 1],
                state.shape[row, s],
                further.alpha[row, s],
                further.kappa[row, s],
                log_left[n],
            )
        # What each is for: the part of the mixture, one purchase more, the Gamma.
        stream = mix(work.word[work.which[place[n]]] ^ RATE) + step
        mean[n], close[n] = unit(mix(stream)), unit(mix(stream + step))
        work.states[n], work.steps[n] = mix((stream + step) ^ SHARE), step
    rates_given(wait, mean, close, own, parts, room, shape, scale)
    gammas(shape, work.states[:here], work.steps[:here], work.room, gamma)
    n = 0
    for m in range(needed):
        if n < here and place[n] == m:
            work.wait[m], work.speed[m] = wait[n], gamma[n] / scale[n]
            n += 1
        else:
            work.wait[m], work.speed[m] = math.inf, _rate_of_one_who_left(state, row, m, step, work)


@_compiled
def _rate_of_one_who_left(state, row, m, step, work):  # type: ignore[no-untyped-def]
    """Return the rate when it left."""
    s, rates, alpha = np.int64(work.which[m]), state.further.rates, state.further.alpha
    at, stream = rates.place[row, s, 0], mix(work.word[s] ^ RATE)
    shape, scale = shape_after(
        rates.mixture[at : at + rates.count[row, s, 0]],
        rates.least[row, s, 0],
        rates.scale[row, s, 0] - alpha[row, s],
        _silent_for(state, row, s) + work.life[m],
        state.shape[row, s],
        alpha[row, s],
        state.further.kappa[row, s],
        stream,
        step,
    )
    gamma, _ = standard_gamma(shape, mix((stream + step) ^ SHARE), step)
    return gamma / scale


@_compiled
def _tell(state, i, row, step, own, work):  # type: ignore[no-untyped-def]
    """Write what is asked for of a customer's own numbers; what it takes is known of every draw where they are."""
    alive, lasting = state.further.alive, state.further.lasting
    for s in range(work.u.size):
        here = work.u[s] < alive[row, s]
        if own.rate.shape[0] > 0:
            own.rate[i, s] = work.speed[s]
        if own.first.shape[0] > 0:
            own.first[i, s] = work.wait[s] if work.wait[s] <= work.life[s] else math.inf
        if own.regularity.shape[0] > 0:
            own.regularity[i, s] = 1.0
        if own.alive.shape[0] > 0:
            own.alive[i, s] = 1.0 if here else 0.0
        if own.left.shape[0] > 0:
            at_purchase = math.inf if here else -_silent_for(state, row, s)
            own.left[i, s] = work.life[s] if lasting else at_purchase
        if own.leaving.shape[0] > 0:
            coins, a, b = mix(work.word[s] ^ DROPOUT), state.a[row, s], state.b[row, s]
            if lasting:
                gamma, _ = standard_gamma(a + 1.0, coins, step)
                stay = state.stay[row, s] if state.stay.shape[0] > 0 and here else 1.0
                own.leaving[i, s] = gamma / (b * stay + work.life[s])
            else:
                own.leaving[i, s] = dropout(here, a, b, coins, step)


@_compiled
def begin(state, who, own, buyers):  # type: ignore[no-untyped-def]
    """Write own numbers and the buyers with their next purchase; return how many there are, and how many are active."""
    draws = state.shape.shape[1]
    wide = state.horizon.shape[1] > 1
    lasting = state.further.lasting
    everyone = own.rate.shape[0] > 0 or own.first.shape[0] > 0
    everyone |= lasting and own.left.shape[0] + own.leaving.shape[0] > 0
    work, room, some = new_work(draws), room_to_leave(), new_some(draws)
    of, mixture, parts = np.empty((NUMBERS, draws)), np.empty((8, draws)), np.empty((8, draws))
    most = 0
    prepared = -1
    found = active = np.int64(0)
    for i in range(who.row.size):
        row = who.row[i]
        if row != prepared:
            mixture, most = _known(state, row, mixture, of)
            if most > parts.shape[0]:
                parts = np.empty(mixture.shape)
            _chances(state, row, of, mixture[:most], some.room, work.buying)
            prepared = row
        step = who.keys[i, 1]
        hashed(who.keys[i, 0], work)
        needed = np.int64(0)
        for s in range(draws):
            work.which[needed] = s
            needed += everyone | (work.u[s] < work.buying[s])
        _lives(state, row, step, needed, everyone, room, work)
        _rates(state, row, step, needed, of, mixture[:most], parts[:most], some, work)
        _tell(state, i, row, step, own, work)
        buyers.begin[i] = found
        if who.first_order:
            for s in range(draws):
                enter(i, s, step, work.word[s], state.horizon[row, s if wide else 0], buyers, found + s)
        n = found
        for m in range(needed):
            s = np.int64(work.which[m])  # type: ignore[assignment]
            last = min(state.horizon[row, s if wide else 0], work.life[m])
            if not (work.u[s] < work.buying[s] and work.wait[m] <= work.life[m]):
                continue
            if who.first_order:
                n = found + s
            enter(i, s, step, work.word[s], last, buyers, n)
            buyers.coins[n] = mix(work.word[s] ^ DROPOUT)
            # Who has a lifetime tosses a coin that never comes up.
            buyers.a[n] = 0.0 if lasting else state.a[row, s]
            buyers.both[n] = buyers.a[n] + state.b[row, s]
            # The two ways to say that it buys may differ in the last digit.
            buyers.wait[n] = buyers.time[n] = min(work.wait[m], buyers.last[n])
            buyers.speed[n] = work.speed[m]
            buyers.active[active] = n
            active += 1
            n += 1
        found = found + draws if who.first_order else n
    buyers.begin[who.row.size] = found
    return found, active


@_compiled
def walk(state, who, own, buyers, batch, active, number):  # type: ignore[no-untyped-def]
    """Write purchases until the batch is full or nobody buys on; return how many, who is active, the last number."""
    want_left = own.left.shape[0] > 0
    filled = 0
    u, some = np.empty(active), new_some(CHUNK)
    while active > 0 and filled + active <= batch.buyer.size:
        number += 1
        toss(buyers, active, number, u)
        staying = 0
        for m in range(active):
            n = buyers.active[m]
            batch.buyer[filled + m] = n
            batch.number[filled + m] = number
            batch.time[filled + m] = buyers.time[n]
            buyers.count[n] = number
            if want_left and u[m] < 0.0:
                own.left[buyers.customer[n], buyers.draw[n]] = buyers.time[n]
            buyers.active[staying] = n
            staying += not u[m] < 0.0
        filled += active
        active = 0
        for begin in range(0, staying, CHUNK):
            active = go_on(state, who, buyers, begin, min(CHUNK, staying - begin), active, some)
    return filled, active, number


@_compiled
def times_of_new(T, r, alpha, kappa, tosses, words):  # type: ignore[no-untyped-def]
    """Return repeat purchases of new customers, (customer index, age) flat: all within T, and ``tosses`` at most.

    All arguments are (customer); ``words`` begin the customers' streams.
    """
    who, when, used = np.empty(4 * T.size + 64, dtype=np.int64), np.empty(4 * T.size + 64), 0
    step = np.uint64(0x9E3779B97F4A7C15)
    for i in range(T.size):
        stream = words[i]
        rate, _ = standard_gamma(r[i], mix(stream ^ SHARE), step)
        rate /= alpha[i]
        paced = pace(alpha[i], kappa[i])
        age, number = 0.0, 0
        while number < tosses[i]:
            stream += step
            word = mix(stream)
            wait = next_wait(rate, r[i], kappa[i], paced, math.log(unit(word)))
            age += wait
            if not age <= T[i]:
                break
            if used == who.size:
                more_who, more_when = np.empty(2 * used, dtype=np.int64), np.empty(2 * used)
                more_who[:used], more_when[:used] = who, when
                who, when = more_who, more_when
            who[used], when[used] = i, age
            used += 1
            number += 1
            rate = rate_after(rate, wait, r[i], kappa[i], paced, mix(word ^ RATE), step)
    return who[:used].copy(), when[:used].copy()
