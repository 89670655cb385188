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
from bayes_clv.distributions.paths.variates import BELOW_ONE, BOOST, DROPOUT, FAR, LEFT, RATE, SHARE
from bayes_clv.distributions.paths.work import enter, hashed, new_work
from bayes_clv.distributions.poisson.drifting import pace, through, wait_of
from bayes_clv.distributions.poisson.drifting_forecasts import silent_of
from bayes_clv.distributions.poisson.drifting_lifetime import left_after, room_to_leave, shape_after
from bayes_clv.distributions.streams import LIFETIME, mix, standard_gamma, standard_normal, unit

# Newton steps halve the bracket where they leave it.
STEPS = 200
# Of a Newton step: the next one, and so the relative error of a wait, is about its square.
ENOUGH = 1e-3

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
    rates = further.rates._replace(scale=owned(further.rates.scale / np.expand_dims(pace, -1)))
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
def _rate_before(mixture, least, scale, r, alpha, kappa, wait, u, stream, step):  # type: ignore[no-untyped-def]
    """Return a draw of the rate, a mixture's, given the wait that followed."""
    theta = scale - alpha
    way = wait_of(theta, wait, alpha, kappa)
    _, _, lost, kept = through(theta, wait, alpha, way)
    factor = lost + kept
    share = kept / factor
    total = 0.0
    for m in range(mixture.size - 1, -1, -1):
        total = total * factor + mixture[m] * (r + (least + m) * share)
    left, power, m = u * total, 1.0, 0
    while m < mixture.size - 1:
        left -= mixture[m] * power * (r + (least + m) * share)
        if left < 0.0:
            break
        power *= factor
        m += 1
    k = r + least + m
    s, gamma, delta, e, change, _ = way
    d = delta * e + gamma + kappa
    # P(wait > t | lambda) = A(t)^r e^(-lambda b(t)): b, its slope, and that of -log A.
    none, slope, ends = 2.0 * change / d, 4.0 * gamma * gamma * e / (d * d), s * change / d
    by_rate = slope * k / (scale + none)
    chance = by_rate / (by_rate + r * ends)
    more = 1.0 if unit(mix(stream)) < chance else 0.0
    gamma, _ = standard_gamma(k + more, mix(stream ^ SHARE), step)
    return gamma / (scale + none)


@_compiled
def _next_wait(rate, r, alpha, kappa, paced, log_left):  # type: ignore[no-untyped-def]
    """Return the wait that is longer with the probability e^log_left, after a rate; ``paced`` is ``drifting.pace``."""
    s, gamma, delta = paced
    low, high = 0.0, math.inf
    # As if the rate went on, and then back towards the mean, for so long.
    t = -log_left / max(rate, 0.5 * r * delta)
    back = 0.5 * kappa * (r / alpha - rate) * t
    if abs(back) < 0.5 * rate:
        t *= rate / (rate + back)
    for _ in range(STEPS):
        if not t < FAR:
            return FAR
        change = -math.expm1(-gamma * t)
        e = 1.0 - change
        d = delta * e + gamma + kappa
        value = -r * (math.log1p(-0.5 * delta * change / gamma) + 0.5 * delta * t) - rate * (2.0 * change / d)
        hazard = (r * s * change + rate * 4.0 * gamma * gamma * e / d) / d
        if value > log_left:
            low = t
        else:
            high = t
        new = t + (value - log_left) / hazard
        if not low <= new <= high:
            new = 0.5 * (low + high) if high < math.inf else 2.0 * t
        done = abs(new - t) <= ENOUGH * new
        t = new
        if done:
            break
    return t


@_compiled
def _rate_after(rate, wait, r, kappa, paced, stream, step):  # type: ignore[no-untyped-def]
    """Return the rate just after the purchase that ends a wait which began at a rate; else as in ``_next_wait``."""
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
def _chances(state, row, buying):  # type: ignore[no-untyped-def]
    """Write P(alive and buys within the horizon) of one history in each draw."""
    further, wide = state.further, state.horizon.shape[1] > 1
    for s in range(buying.size):
        horizon = state.horizon[row, s if wide else 0]
        buying[s] = 0.0
        if horizon > 0.0:
            at = further.rates.place[row, s, 1]
            mixture = further.rates.mixture[at : at + further.rates.count[row, s, 1]]
            least, alpha = further.rates.least[row, s, 1], further.alpha[row, s]
            silent, _ = silent_of(
                mixture,
                least,
                state.scale[row, s] - alpha,
                horizon,
                state.shape[row, s],
                alpha,
                further.kappa[row, s],
            )
            buying[s] = -further.alive[row, s] * math.expm1(silent)


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
def _rates(state, row, step, needed, work):  # type: ignore[no-untyped-def]
    """Write the first wait, infinite of one who has left, and the rate in the draws that need them."""
    further = state.further
    rates = further.rates
    for m in range(needed):
        s = np.int64(work.which[m])
        alive, r, alpha, kappa = (
            further.alive[row, s],
            state.shape[row, s],
            further.alpha[row, s],
            further.kappa[row, s],
        )
        here = work.u[s] < alive
        end = 1 if here else 0
        at = rates.place[row, s, end]
        mixture = rates.mixture[at : at + rates.count[row, s, end]]
        least, scale = rates.least[row, s, end], rates.scale[row, s, end]
        stream = mix(work.word[s] ^ RATE)
        if here:
            log_left = math.log1p(-min(work.u[s] / alive, BELOW_ONE))
            wait = _first_wait(mixture, least, scale, r, alpha, kappa, log_left)
            stream += step
            u = unit(mix(stream))
            stream += step
            work.wait[m] = wait
            work.speed[m] = _rate_before(mixture, least, scale, r, alpha, kappa, wait, u, stream, step)
        else:
            work.wait[m] = math.inf
            stay = _silent_for(state, row, s) + work.life[m]
            shape, scale = shape_after(mixture, least, scale - alpha, stay, r, alpha, kappa, stream, step)
            gamma, _ = standard_gamma(shape, mix((stream + step) ^ SHARE), step)
            work.speed[m] = gamma / scale


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
    work, room = new_work(draws), room_to_leave()
    prepared = -1
    found = active = np.int64(0)
    for i in range(who.row.size):
        row = who.row[i]
        if row != prepared:
            _chances(state, row, work.buying)
            prepared = row
        step = who.keys[i, 1]
        hashed(who.keys[i, 0], work)
        needed = np.int64(0)
        for s in range(draws):
            work.which[needed] = s
            needed += everyone | (work.u[s] < work.buying[s])
        _lives(state, row, step, needed, everyone, room, work)
        _rates(state, row, step, needed, work)
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
    u = np.empty(active)
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
        for m in range(staying):
            n = buyers.active[m]
            row, s = who.row[buyers.customer[n]], buyers.draw[n]
            r, alpha, kappa = state.shape[row, s], state.further.alpha[row, s], state.further.kappa[row, s]
            step = buyers.step[n]
            buyers.stream[n] += step
            word = mix(buyers.stream[n])
            paced = pace(alpha, kappa)
            rate = _rate_after(buyers.speed[n], buyers.wait[n], r, kappa, paced, mix(word ^ RATE), step)
            wait = _next_wait(rate, r, alpha, kappa, paced, math.log(unit(word)))
            buyers.speed[n], buyers.wait[n] = rate, wait
            buyers.time[n] += wait
            buyers.active[active] = n
            active += buyers.time[n] <= buyers.last[n]
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
            wait = _next_wait(rate, r[i], alpha[i], kappa[i], paced, math.log(unit(word)))
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
            rate = _rate_after(rate, wait, r[i], kappa[i], paced, mix(word ^ RATE), step)
    return who[:used].copy(), when[:used].copy()
