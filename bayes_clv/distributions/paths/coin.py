"""A coin after each purchase: customers leave with a purchase, and with no other event.

While alive a customer passes phases at its own rate, every k-th of them a purchase (k = 1: purchases at random), and
after each purchase it leaves with its own probability p ~ Beta(a, b). ``State``: P(alive), shape and scale of the Gamma
of the rate at the end of observation (of phases, and without those since the last purchase, where k > 1), a and b, and
where k > 1 the phases k and z, the silence over the scale (``erlang_phases``). a = 0 is never.

Of one who has left the law says: it left at its last purchase. The silence told nothing of its rate, Gamma(shape, rate
scale - silence), and of its tosses the last was the leaving: Beta(a + 1, b - 1).

**The first wait comes before the rate.** With w = scale / (scale + t) and the rate integrated out

    P(wait > t) = w^shape S(shape, 1 - (1 - z) w) / S(shape, z),

S = 1 where k = 1. Its inverse is closed there, and a few Newton steps elsewhere; whatever phases the silence has
passed, k of them took silence + wait, so that given the wait the rate is Gamma(shape + k, rate scale + wait).

**So do the first tosses before the dropout.** Whether a customer leaves after each of its next TOSSES purchases is a
Pólya urn of a and b, and given those tosses the dropout is a Beta again. Few futures have more purchases, and the two
Gammas of the Beta are spared. The tosses have a stream of their own, and are made where the dropout is asked for too.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import plain_exp as exp
from bayes_clv.distributions.elementary import plain_expm1 as expm1
from bayes_clv.distributions.elementary import plain_log as log
from bayes_clv.distributions.elementary import plain_log1p as log1p
from bayes_clv.distributions.paths.variates import (
    BELOW_ONE,
    DROPOUT,
    FAR,
    RATE,
    SHARE,
    beta,
    gammas,
)
from bayes_clv.distributions.paths.work import enter, hashed, new_work
from bayes_clv.distributions.regular.erlang_phases import phase_sum
from bayes_clv.distributions.streams import mix, unit

# Tosses after purchases that are made before the dropout itself is drawn.
TOSSES = 8
# Newton steps halve the bracket where they leave it.
STEPS = 100
# The largest mean dropout that a change leads to.
MOST_DROPOUT = 1 - 1e-9


def change(numbers: Mapping[str, Any], pace: Any, leaving: Any) -> dict[str, Any]:
    """Return the numbers of a purchase rate ``pace`` times, and a mean dropout ``leaving`` times, what they were.

    The dropout of customers with one history keeps its a + b: they differ as much as they did.
    """
    a, b = numbers["a"], numbers["b"]
    more = np.minimum(a * leaving, MOST_DROPOUT * (a + b)) - a
    return dict(numbers) | {"scale": numbers["scale"] / pace, "a": a + more, "b": b - more}


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def dropout(here, a, b, coins, step):  # type: ignore[no-untyped-def]
    """Return a customer's dropout: given the first TOSSES tosses of its future where it is here, else given one."""
    share = mix(coins ^ SHARE)
    if not here:
        return beta(a + 1.0, b - 1.0, share, step)
    for j in range(TOSSES):
        coins += step
        if unit(mix(coins)) * (a + b + j) < a:
            return beta(a + 1.0, b + j, share, step)
    return beta(a, b + TOSSES, share, step)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _log_silent(y, c, k, z):  # type: ignore[no-untyped-def]
    """Return log of w^c S(c, 1 - (1 - z) w) at w = e^y, and its slope in y."""
    w = exp(y)
    at = 1.0 - (1.0 - z) * w
    term = total = 1.0
    slope = 0.0
    for j in range(k - 1):
        slope += term * (c + j)
        term *= (c + j) / (j + 1.0) * at
        total += term
    return c * y + log(total), c - (1.0 - z) * w * slope / total


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _growth(u, c, k, z):  # type: ignore[no-untyped-def]
    """Return -log w at which the next purchase has come with probability u, given that the customer is here; k > 1."""
    log_left = log1p(-u)
    start = log(phase_sum(k, c, z))
    wanted = log_left + start
    low, high = (wanted - log(phase_sum(k, c, 1.0))) / c, log_left / c
    y = high
    for _ in range(STEPS):
        value, slope = _log_silent(y, c, k, z)
        if value > wanted:
            high = y
        else:
            low = y
        new = y - (value - wanted) / slope
        if not low <= new <= high:
            new = 0.5 * (low + high)
        if abs(new - y) <= 1e-13 * abs(new):
            break
        y = new
    return -y


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _chances(state, row, buying):  # type: ignore[no-untyped-def]
    """Write P(alive and buys within the horizon) of one history in each draw."""
    wide = state.horizon.shape[1] > 1
    alive, shape, scale, horizon = state.alive[row], state.shape[row], state.scale[row], state.horizon[row]
    for s in range(buying.size):
        buying[s] = (horizon[s] if wide else horizon[0]) / scale[s]
    for s in range(buying.size):
        buying[s] = log1p(buying[s])
    if state.phases.shape[0] == 0:
        for s in range(buying.size):
            buying[s] *= -shape[s]
        for s in range(buying.size):
            buying[s] = -expm1(buying[s])
        for s in range(buying.size):
            buying[s] *= alive[s]
        return
    for s in range(buying.size):
        k, z = int(state.phases[row, s]), state.z[row, s]
        later, _ = _log_silent(-buying[s], shape[s], k, z)
        buying[s] = -alive[s] * expm1(later - log(phase_sum(k, shape[s], z)))


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _rates(state, row, step, needed, work):  # type: ignore[no-untyped-def]
    """Write the first wait, infinite of one who has left, and the rate of waits in the draws that need them."""
    phased, silence = state.phases.shape[0] > 0, state.silence[row]
    apart = silence.size > 1
    for m in range(needed):
        s = work.which[m]
        work.states[m] = mix(work.word[s] ^ RATE)
        work.steps[m] = step
        work.chance[m] = state.alive[row, s]
        work.shape[m] = state.shape[row, s]
        work.scale[m] = state.scale[row, s]
        work.wait[m] = work.u[s]
    if not phased:
        alive, shape, wait, scale = work.chance, work.shape, work.wait, work.scale
        for m in range(needed):
            # Below 0 of one who has left.
            growth = -log1p(-min(wait[m] / alive[m], BELOW_ONE)) / shape[m]
            alive[m] = growth if wait[m] < alive[m] else -1.0
        for m in range(needed):
            wait[m] = expm1(alive[m])
        for m in range(needed):
            here = alive[m] >= 0.0
            wait[m] = min(scale[m] * wait[m], FAR) if here else math.inf
            scale[m] += wait[m] if here else -silence[work.which[m] if apart else 0]
            shape[m] += 1.0 if here else 0.0
    else:
        for m in range(needed):
            s = work.which[m]
            if work.wait[m] < work.chance[m]:
                k = state.phases[row, s]
                at = min(work.wait[m] / work.chance[m], BELOW_ONE)
                growth = _growth(at, work.shape[m], int(k), state.z[row, s])
                work.wait[m] = min(work.scale[m] * expm1(growth), FAR)
                work.scale[m] += work.wait[m]
                work.shape[m] += k
            else:
                work.wait[m] = math.inf
                work.scale[m] -= silence[s if apart else 0]
    gammas(work.shape[:needed], work.states[:needed], work.steps[:needed], work.room, work.speed[:needed])
    for m in range(needed):
        work.speed[m] /= work.scale[m]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _tell(state, i, row, step, own, work):  # type: ignore[no-untyped-def]
    """Write what is asked for of a customer's own numbers; its rates are known of every draw where they are."""
    draws = work.u.size
    phased = state.phases.shape[0] > 0
    if own.rate.shape[0] > 0:
        for s in range(draws):
            own.rate[i, s] = work.speed[s] / (state.phases[row, s] if phased else 1.0)
    if own.regularity.shape[0] > 0:
        for s in range(draws):
            own.regularity[i, s] = state.phases[row, s] if phased else 1.0
    if own.first.shape[0] > 0:
        for s in range(draws):
            own.first[i, s] = work.wait[s]
    if own.alive.shape[0] > 0:
        for s in range(draws):
            own.alive[i, s] = 1.0 if work.u[s] < state.alive[row, s] else 0.0
    if own.left.shape[0] > 0:
        apart = state.silence.shape[1] > 1
        for s in range(draws):
            silence = state.silence[row, s if apart else 0]
            own.left[i, s] = math.inf if work.u[s] < state.alive[row, s] else -silence
    if own.leaving.shape[0] > 0:
        for s in range(draws):
            coins = mix(work.word[s] ^ DROPOUT)
            here = work.u[s] < state.alive[row, s]
            own.leaving[i, s] = dropout(here, state.a[row, s], state.b[row, s], coins, step)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def begin(state, who, own, buyers):  # type: ignore[no-untyped-def]
    """Write own numbers and the buyers with their next purchase; return how many there are, and how many are active."""
    draws = state.shape.shape[1]
    wide = state.horizon.shape[1] > 1
    everyone = own.rate.shape[0] > 0 or own.first.shape[0] > 0
    work = new_work(draws)
    prepared = -1
    # A number of a type, not the literal, which every function called with it would be compiled for too.
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
        _rates(state, row, step, needed, work)
        _tell(state, i, row, step, own, work)
        buyers.begin[i] = found
        if who.first_order:
            for s in range(draws):
                last = state.horizon[row, s if wide else 0]
                enter(i, s, step, work.word[s], last, buyers, found + s)
        n = found
        for m in range(needed):
            s = np.int64(work.which[m])  # type: ignore[assignment]
            if not work.u[s] < work.buying[s]:
                continue
            if who.first_order:
                n = found + s
            else:
                enter(i, s, step, work.word[s], state.horizon[row, s if wide else 0], buyers, n)
            buyers.coins[n] = mix(work.word[s] ^ DROPOUT)
            buyers.a[n], buyers.both[n] = state.a[row, s], state.a[row, s] + state.b[row, s]
            # The two ways to say that it buys may differ in the last digit.
            buyers.time[n] = min(work.wait[m], buyers.last[n])
            buyers.speed[n] = work.speed[m]
            buyers.wait[n] = state.phases[row, s] if state.phases.shape[0] > 0 else 1.0
            buyers.active[active] = n
            active += 1
            n += 1
        found = found + draws if who.first_order else n
    buyers.begin[who.row.size] = found
    return found, active


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def toss(buyers, active, number, u):  # type: ignore[no-untyped-def]
    """Write a number of each active buyer that is below 0 where it leaves after this purchase."""
    for m in range(active):
        n = buyers.active[m]
        buyers.coins[n] += buyers.step[n]
        u[m] = unit(mix(buyers.coins[n]))
    if number <= TOSSES:
        for m in range(active):
            n = buyers.active[m]
            u[m] = u[m] * (buyers.both[n] + (number - 1)) - buyers.a[n]
        return
    for m in range(active):
        n = buyers.active[m]
        if number == TOSSES + 1:
            share = mix(mix(buyers.word[n] ^ DROPOUT) ^ SHARE)
            a, b = buyers.a[n], buyers.both[n] - buyers.a[n]
            buyers.chance[n] = beta(a, b + TOSSES, share, buyers.step[n])
        u[m] -= buyers.chance[n]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def walk(state, who, own, buyers, batch, active, number):  # type: ignore[no-untyped-def]
    """Write purchases until the batch is full or nobody buys on; return how many, who is active, the last number."""
    # One phase a purchase is no phase: the waits are exponential, and the very same as without.
    phased, want_left = state.phases.shape[0] > 0 and state.phases[0, 0] > 1.0, own.left.shape[0] > 0
    filled = 0
    room = np.empty((2, active))
    u, shape = np.empty(active), np.empty(active)
    states, steps = np.empty(active, dtype=np.uint64), np.empty(active, dtype=np.uint64)
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
        for m in range(staying):
            n = buyers.active[m]
            buyers.stream[n] += buyers.step[n]
            states[m] = mix(buyers.stream[n])
        if phased:
            for m in range(staying):
                n = buyers.active[m]
                shape[m], steps[m] = buyers.wait[n], buyers.step[n]
            gammas(shape[:staying], states[:staying], steps[:staying], room, u[:staying])
        else:
            for m in range(staying):
                u[m] = -log(unit(states[m]))
        for m in range(staying):
            shape[m] = buyers.speed[buyers.active[m]]
        for m in range(staying):
            u[m] /= shape[m]
        active = 0
        for m in range(staying):
            n = buyers.active[m]
            u[m] += buyers.time[n]
            buyers.time[n] = u[m]
            buyers.active[active] = n
            active += u[m] <= buyers.last[n]
    return filled, active, number
