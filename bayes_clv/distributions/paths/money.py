"""What purchases bring: a customer's own level of spend, and the amount of each purchase, discounted at its time.

Two rules, the families' own. "gamma": an occasion is Gamma(occasion, 1) times the level second / Gamma(first, 1);
"lognormal": it is level e^(occasion z), the level e^(first + second z'). The purchases of a customer in a draw have
streams numbered by purchase, so that no purchase waits for another.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import plain_exp as exp
from bayes_clv.distributions.paths.variates import gammas
from bayes_clv.distributions.streams import GOLDEN, MONEY, mix, standard_normal

# Purchases paid at a time, so that what is in work stays in the processor's first cache.
CHUNK = 1024
ONE = np.uint64(1)
NONE, NOTHING = np.empty(0), np.empty((0, 0))
# Of a stream of money, the part that moves the level.
DRIFT = np.uint64(0xC2B2AE3D27D4EB4F)


class Purse(NamedTuple):
    """``row`` (customer) of the level each has; ``first``, ``second`` (row, draw), ``occasion`` (row or 1, draw).

    ``discount`` is the continuous rate per time unit of the calendar. ``ahead`` (draw, period) multiplies the amounts
    of each period of ``width`` from now, closed at its end; its last for ever, and without periods nothing.

    Where levels move, those above are of now. ``slope`` (row or 1, draw) is the growth of their log a time unit, for
    another ``left`` (row,) time units; without ``left`` there is none. What drifts beside is now Normal, ``apart0 +
    apart1 x log level`` with the standard deviation ``apart2`` (row, draw), and forgets at ``kappa``, with the
    standard deviation ``omega``, (row, draw); without ``apart0`` nothing drifts. What does not move has no rows.
    """

    row: Any
    first: Any
    second: Any
    occasion: Any
    lognormal: bool
    discount: float
    ahead: Any
    width: float
    slope: Any = NOTHING
    left: Any = NONE
    apart0: Any = NOTHING
    apart1: Any = NOTHING
    apart2: Any = NOTHING
    omega: Any = NOTHING
    kappa: Any = NOTHING


class Paid(NamedTuple):
    """Of each buyer: where its stream of money begins, the level of spend, and sums over purchases of spend and value.

    The value of a purchase is its spend, discounted. ``apart`` is the log of what drifts beside the level, at the time
    ``seen`` of the last purchase, or now.
    """

    stream: Any
    level: Any
    spend: Any
    value: Any
    apart: Any
    seen: Any


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _levels(lognormal, first, second, states, steps, room, level):  # type: ignore[no-untyped-def]
    if lognormal:
        for m in range(level.size):
            z, _ = standard_normal(states[m], steps[m])
            level[m] = exp(first[m] + second[m] * z)
        return
    gammas(first, states, steps, room, level)
    for m in range(level.size):
        level[m] = second[m] / level[m]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _apart_now(purse, row, s, level, word, step):  # type: ignore[no-untyped-def]
    """Return the log of what drifts beside a level now, by the stream of money of a customer in a draw."""
    z, _ = standard_normal(mix(word ^ DRIFT), step)
    return purse.apart0[row, s] + purse.apart1[row, s] * math.log(level) + purse.apart2[row, s] * z


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def open_purses(purse, buyers, found, paid):  # type: ignore[no-untyped-def]
    """Write the level of each of the buyers ``found``, who have bought nothing yet."""
    first, second = np.empty(CHUNK), np.empty(CHUNK)
    states, steps = np.empty(CHUNK, dtype=np.uint64), np.empty(CHUNK, dtype=np.uint64)
    room = np.empty((2, CHUNK))
    for start in range(0, found, CHUNK):
        size = min(CHUNK, found - start)
        for m in range(size):
            n = start + m
            row, s = purse.row[buyers.customer[n]], buyers.draw[n]
            first[m], second[m] = purse.first[row, s], purse.second[row, s]
            paid.stream[n] = mix(buyers.word[n] ^ MONEY)
            states[m], steps[m] = paid.stream[n], buyers.step[n]
            paid.spend[n] = 0.0
            paid.value[n] = 0.0
        level = paid.level[start : start + size]
        _levels(purse.lognormal, first[:size], second[:size], states, steps, room, level)
        if purse.apart0.shape[0] > 0:
            for m in range(size):
                n = start + m
                row, s = purse.row[buyers.customer[n]], buyers.draw[n]
                paid.apart[n] = _apart_now(purse, row, s, level[m], paid.stream[n], buyers.step[n])
                paid.seen[n] = 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def own_levels(purse, keys, out):  # type: ignore[no-untyped-def]
    """Write the mean spend of an occasion at each customer's level, (customer, draw)."""
    draws = out.shape[1]
    states, steps = np.empty(draws, dtype=np.uint64), np.empty(draws, dtype=np.uint64)
    room = np.empty((2, draws))
    single = purse.occasion.shape[0] == 1
    for i in range(out.shape[0]):
        for s in range(draws):
            states[s] = mix(mix(keys[i, 0] + np.uint64(s) * GOLDEN) ^ MONEY)
            steps[s] = keys[i, 1]
        row = purse.row[i]
        _levels(purse.lognormal, purse.first[row], purse.second[row], states, steps, room, out[i])
        o = 0 if single else row
        for s in range(draws):
            occasion = purse.occasion[o, s]
            level = out[i, s]
            out[i, s] *= exp(0.5 * occasion * occasion) if purse.lognormal else occasion
            if purse.apart0.shape[0] > 0:
                out[i, s] *= exp(_apart_now(purse, row, s, level, states[s], steps[s]))


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _move(purse, buyers, batch, start, size, states, steps, paid, amount):  # type: ignore[no-untyped-def]
    """Multiply amounts by what moves their levels; the purchases of a buyer come in the order of time."""
    drifts, trends = purse.apart0.shape[0] > 0, purse.left.size > 0
    single = purse.slope.shape[0] == 1
    for m in range(size):
        n = batch.buyer[start + m]
        row, s, time = purse.row[buyers.customer[n]], buyers.draw[n], batch.time[start + m]
        moved = 0.0
        if trends:
            moved = purse.slope[0 if single else row, s] * min(time, purse.left[row])
        if drifts:
            omega, gap = purse.omega[row, s], time - paid.seen[n]
            if gap > 0.0:
                kept = exp(-purse.kappa[row, s] * gap)
                z, _ = standard_normal(mix(states[m] ^ DRIFT), steps[m])
                paid.apart[n] = kept * paid.apart[n] + omega * math.sqrt(max(1.0 - kept * kept, 0.0)) * z
                paid.seen[n] = time
            moved += paid.apart[n]
        amount[m] *= exp(moved)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def pay(purse, buyers, batch, filled, paid):  # type: ignore[no-untyped-def]
    """Add the spend of a batch of purchases to their buyers', and write each one's discounted amount."""
    single = purse.occasion.shape[0] == 1
    shape, amount, worth = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    states, steps = np.empty(CHUNK, dtype=np.uint64), np.empty(CHUNK, dtype=np.uint64)
    room = np.empty((2, CHUNK))
    for start in range(0, filled, CHUNK):
        size = min(CHUNK, filled - start)
        if single:
            for m in range(size):
                shape[m] = purse.occasion[0, buyers.draw[batch.buyer[start + m]]]
        else:
            for m in range(size):
                n = batch.buyer[start + m]
                shape[m] = purse.occasion[purse.row[buyers.customer[n]], buyers.draw[n]]
        for m in range(size):
            n = batch.buyer[start + m]
            states[m] = paid.stream[n] + (np.uint64(batch.number[start + m]) + ONE) * GOLDEN
            steps[m] = buyers.step[n]
        if purse.lognormal:
            for m in range(size):
                z, _ = standard_normal(states[m], steps[m])
                amount[m] = exp(shape[m] * z)
        else:
            gammas(shape[:size], states, steps, room, amount[:size])
        time = batch.time[start : start + size]
        periods = purse.ahead.shape[1]
        if periods > 0:
            for m in range(size):
                period = math.ceil(time[m] / purse.width - 1e-9) - 1
                period = min(max(period, 0), periods - 1)
                amount[m] *= purse.ahead[buyers.draw[batch.buyer[start + m]], period]
        if purse.left.size > 0 or purse.apart0.shape[0] > 0:
            _move(purse, buyers, batch, start, size, states, steps, paid, amount)
        for m in range(size):
            worth[m] = exp(-purse.discount * time[m])
        for m in range(size):
            n = batch.buyer[start + m]
            amount[m] *= paid.level[n]
            worth[m] *= amount[m]
            paid.spend[n] += amount[m]
            paid.value[n] += worth[m]
            batch.amount[start + m] = worth[m]
