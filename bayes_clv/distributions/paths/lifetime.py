"""A lifetime of its own: customers leave at any time, at a rate of their own, whatever they buy.

``State``: shape and scale of the Gamma of the purchase rate and a and b of that of the rate of leaving, mu ~ Gamma(a,
rate b), all given that the customer is here at the end of observation. P(alive) is not read.

Of one who has left, the law says: it left d after its last purchase, d in (0, silence) with a density proportional to
(1 + d / s0)^-k (1 + d / b0)^-(a + 1), where s0 = scale - silence and b0 = b - silence; then the rate is
Gamma(k, rate s0 + d) and the rate of leaving Gamma(a + 1, rate b0 + d).

**Who has left is decided without P(alive)**, an integral that took two fifths of the time. The weights are
(1 + silence / s0)^-k (1 + silence / b0)^-a of being here, and a / b0 times that density of having left at d. With
s0 <= b0 and ratio = s0 / b0, Bernoulli's inequality 1 + d / b0 >= (1 + d / s0)^ratio gives the density an envelope,
(1 + d / s0)^-(k + (a + 1) ratio), whose mass is known and which is inverted; with s0 > b0 the other way round. A trial
is of one who is here, or of one who left by the envelope and is accepted where the density says so, else it is made
again. Near CDNOW's population, ages to 78 weeks, 78 to 90 % of leavings are accepted of one who never bought again and
more than 95 % of others; only silences far beyond both scales need many. Rejected: the envelope of one factor alone,
accepted by the other: 63 to 93 %, and it lacks what decides who is here.

**The lifetime comes before the rate of leaving**, as the first wait before the purchase rate: with mu integrated out it
is Lomax, P(D > t) = (b / (b + t))^a, and given D the rate of leaving is Gamma(a + 1, rate b + D): one more in the
shape, as of one who has left.
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
    LEFT,
    RATE,
    gammas,
)
from bayes_clv.distributions.paths.work import enter, hashed, new_work
from bayes_clv.distributions.streams import LIFETIME, mix, unit


def change(numbers: Mapping[str, Any], pace: Any, leaving: Any) -> dict[str, Any]:
    """Return the numbers of a purchase rate ``pace`` times, and a rate of leaving ``leaving`` times, what they were.

    Scales cannot say it: by them it is decided who is here.
    """
    return dict(numbers) | {"pace": pace, "stay": 1 / leaving}


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _chances(state, row, work):  # type: ignore[no-untyped-def]
    """Write what decides in each draw of one history who is here, and who buys within the horizon if it lives.

    ``chance`` is P(a trial is of one who is here), ``power`` and ``mass`` the power less 1 and the mass, per size and
    power, of the envelope of leaving.
    """
    wide, silence = state.horizon.shape[1] > 1, state.silence[row, 0]
    shape, scale, a, b = state.shape[row], state.scale[row], state.a[row], state.b[row]
    horizon = state.horizon[row]
    chance, buying, power, mass = work.chance, work.buying, work.power, work.mass
    one, two = work.at, work.wait
    for s in range(chance.size):
        one[s] = log1p(silence / (scale[s] - silence))
    for s in range(chance.size):
        two[s] = log1p(silence / (b[s] - silence))
    for s in range(chance.size):
        first, second = scale[s] - silence, b[s] - silence
        flat = shape[s] + (a[s] + 1.0) * (first / second)
        if first > second:
            flat = a[s] + 1.0 + shape[s] * (second / first)
        # Of a power of exactly 1 the mass is a logarithm; a flatter envelope is one, too.
        power[s] = flat - 1.0 if flat != 1.0 else -1e-9
        chance[s] = shape[s] * one[s] + a[s] * two[s]
        mass[s] = -power[s] * (one[s] if first <= second else two[s])
    for s in range(chance.size):
        mass[s] = -expm1(mass[s])
    for s in range(chance.size):
        chance[s] = exp(chance[s])
    for s in range(chance.size):
        first, second = scale[s] - silence, b[s] - silence
        odds = a[s] / second * min(first, second) * (mass[s] / power[s]) * chance[s]
        chance[s] = 1.0 / (1.0 + odds)
        buying[s] = (horizon[s] if wide else horizon[0]) / scale[s]
    if state.pace.shape[0] > 0:
        for s in range(chance.size):
            buying[s] *= state.pace[row, s]
    for s in range(chance.size):
        buying[s] = -shape[s] * log1p(buying[s])
    for s in range(chance.size):
        buying[s] = -chance[s] * expm1(buying[s])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _trial(chance, power, mass, ratio, other, state, step):  # type: ignore[no-untyped-def]
    """Return u, uniform below ``chance``, of one who is here after all, or -1 and the growth while it stayed.

    Growth is log(1 + time / the smaller scale). Trials until one is accepted, the first of one who is not here. The
    factor of the smaller scale is inverted, and of the other, whose scale is larger by 1 / ``ratio`` and whose power is
    ``other``, as much as the envelope holds.
    """
    while True:
        state += step
        growth = -log1p(-unit(mix(state)) * mass) / power
        state += step
        u = unit(mix(state))
        # exp(-excess) of it is accepted, and Hoeffding's lemma says excess <= other growth² / 8.
        if u < 1.0 - 0.125 * other * growth * growth:
            return -1.0, growth
        if u < exp(-other * (log1p(expm1(growth) * ratio) - ratio * growth)):
            return -1.0, growth
        state += step
        u = unit(mix(state))
        if u < chance:
            return u, 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _decide(state, row, key, step, when, work):  # type: ignore[no-untyped-def]
    """Write in each draw who is here, and of those who are not how long they stayed, where ``when`` asks for it.

    The first trial of all who are not here in vectors; what it does not decide at once, one by one.
    """
    silence = state.silence[row, 0]
    u, chance, growth, limit = work.u, work.chance, work.at, work.wait
    size, other, power = work.scale, work.shape, work.life
    hashed(key, work)
    gone = 0
    for s in range(u.size):
        work.which[gone] = s
        gone += u[s] >= chance[s]
    for m in range(gone):
        s = work.which[m]
        trials = mix(work.word[s] ^ LEFT) + step
        growth[m] = unit(mix(trials)) * work.mass[s]
        limit[m] = unit(mix(trials + step))
        power[m] = work.power[s]
        one, two = state.scale[row, s] - silence, state.b[row, s] - silence
        size[m] = min(one, two)
        other[m] = state.a[row, s] + 1.0 if one <= two else state.shape[row, s]
    for m in range(gone):
        growth[m] = -log1p(-growth[m]) / power[m]
    for m in range(gone):
        at_once = limit[m] < 1.0 - 0.125 * other[m] * growth[m] * growth[m]
        limit[m] = -1.0 if at_once else 1.0
    for m in range(gone):
        s = work.which[m]
        u[s] = -1.0
        if limit[m] > 0.0:
            one, two = state.scale[row, s] - silence, state.b[row, s] - silence
            ratio = one / two if one <= two else two / one
            trials = mix(work.word[s] ^ LEFT)
            u[s], growth[m] = _trial(chance[s], power[m], work.mass[s], ratio, other[m], trials, step)
    if when:
        for m in range(gone):
            growth[m] = min(size[m] * expm1(growth[m]), silence)
        for m in range(gone):
            work.since[work.which[m]] = growth[m]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _rates(state, row, step, needed, lives, work):  # type: ignore[no-untyped-def]
    """Write the first wait, infinite of one who has left, when it leaves (where ``lives``), and the rate of waits."""
    silence = state.silence[row, 0]
    at, shape, scale, wait, life = work.at, work.shape, work.scale, work.wait, work.life
    for m in range(needed):
        s = work.which[m]
        work.states[m] = mix(work.word[s] ^ RATE)
        work.steps[m] = step
        at[m] = min(work.u[s] / work.chance[s], BELOW_ONE)
        shape[m] = state.shape[row, s]
        scale[m] = state.scale[row, s]
        life[m] = state.a[row, s]
    if lives:
        for m in range(needed):
            wait[m] = unit(mix(work.word[work.which[m]] ^ LIFETIME))
        for m in range(needed):
            # Lomax by inversion, over its scale.
            life[m] = -log(wait[m]) / life[m]
        for m in range(needed):
            life[m] = expm1(life[m])
    for m in range(needed):
        growth = -log1p(-max(at[m], 0.0)) / shape[m]
        wait[m] = min(scale[m] * expm1(growth), FAR)
    for m in range(needed):
        s = work.which[m]
        if at[m] >= 0.0:
            life[m] *= state.b[row, s]
            shape[m] += 1.0
            scale[m] += wait[m]
        else:
            life[m] = work.since[s] - silence
            wait[m] = math.inf
            scale[m] += life[m]
    gammas(shape[:needed], work.states[:needed], work.steps[:needed], work.room, work.speed[:needed])
    for m in range(needed):
        work.speed[m] /= scale[m]
    if state.pace.shape[0] > 0:
        for m in range(needed):
            pace, stay = state.pace[row, work.which[m]], state.stay[row, work.which[m]]
            work.speed[m] *= pace
            wait[m] /= pace
            life[m] *= stay if life[m] > 0.0 else 1.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _tell(state, i, row, step, own, work):  # type: ignore[no-untyped-def]
    """Write what is asked for of a customer's own numbers."""
    draws = work.u.size
    if own.alive.shape[0] > 0:
        for s in range(draws):
            own.alive[i, s] = 1.0 if work.u[s] >= 0.0 else 0.0
    if own.rate.shape[0] > 0:
        for s in range(draws):
            own.rate[i, s] = work.speed[s]
    if own.regularity.shape[0] > 0:
        own.regularity[i] = 1.0
    if own.first.shape[0] > 0:
        for s in range(draws):
            own.first[i, s] = work.wait[s] if work.wait[s] <= work.life[s] else math.inf
    if own.left.shape[0] > 0:
        for s in range(draws):
            own.left[i, s] = work.life[s]
    if own.leaving.shape[0] > 0:
        for s in range(draws):
            work.states[s] = mix(work.word[s] ^ DROPOUT)
            work.steps[s] = step
            work.shape[s] = state.a[row, s] + 1.0
        gammas(work.shape, work.states, work.steps, work.room, work.at)
        for s in range(draws):
            stay = state.stay[row, s] if state.stay.shape[0] > 0 and work.life[s] > 0.0 else 1.0
            own.leaving[i, s] = work.at[s] / (state.b[row, s] * stay + work.life[s])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def begin(state, who, own, buyers):  # type: ignore[no-untyped-def]
    """Write own numbers and the buyers with their next purchase; return how many there are, and how many are active."""
    draws = state.shape.shape[1]
    wide = state.horizon.shape[1] > 1
    everyone = (
        own.rate.shape[0] > 0 or own.first.shape[0] > 0 or own.leaving.shape[0] > 0 or own.left.shape[0] > 0
    )
    # Who asks for the purchase rate alone needs no lifetimes.
    lives = own.first.size + own.leaving.size + own.left.size > 0 or state.horizon.max() > 0.0
    work = new_work(draws)
    prepared = -1
    found = active = np.int64(0)
    for i in range(who.row.size):
        row = who.row[i]
        if row != prepared:
            _chances(state, row, work)
            prepared = row
        step = who.keys[i, 1]
        _decide(state, row, who.keys[i, 0], step, everyone, work)
        needed = np.int64(0)
        for s in range(draws):
            work.which[needed] = s
            needed += everyone | ((work.u[s] >= 0.0) & (work.u[s] < work.buying[s]))
        _rates(state, row, step, needed, lives, work)
        _tell(state, i, row, step, own, work)
        buyers.begin[i] = found
        if who.first_order:
            for s in range(draws):
                last = state.horizon[row, s if wide else 0]
                enter(i, s, step, work.word[s], last, buyers, found + s)
        n = found
        for m in range(needed):
            s = np.int64(work.which[m])  # type: ignore[assignment]
            last = min(state.horizon[row, s if wide else 0], work.life[m])
            if not (0.0 <= work.u[s] < work.buying[s] and work.wait[m] <= last):
                continue
            if who.first_order:
                n = found + s
            enter(i, s, step, work.word[s], last, buyers, n)
            buyers.time[n] = work.wait[m]
            buyers.speed[n] = work.speed[m]
            buyers.wait[n] = 1.0
            buyers.active[active] = n
            active += 1
            n += 1
        found = found + draws if who.first_order else n
    buyers.begin[who.row.size] = found
    return found, active


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def walk(state, who, own, buyers, batch, active, number):  # type: ignore[no-untyped-def]
    """Write purchases until the batch is full or nobody buys on; return how many, who is active, the last number."""
    filled = 0
    size = batch.buyer.size
    work = np.empty((2, active))
    waits, shape = np.empty(active), np.empty(active)
    states, steps = np.empty(active, dtype=np.uint64), np.empty(active, dtype=np.uint64)
    while active > 0 and filled + active <= size:
        number += 1
        even = False
        for m in range(active):
            n = buyers.active[m]
            batch.buyer[filled + m] = n
            batch.number[filled + m] = number
            batch.time[filled + m] = buyers.time[n]
            buyers.count[n] = number
            buyers.stream[n] += buyers.step[n]
            states[m] = mix(buyers.stream[n])
            even |= buyers.wait[n] != 1.0
        filled += active
        if even:
            for m in range(active):
                n = buyers.active[m]
                shape[m], steps[m] = buyers.wait[n], buyers.step[n]
            gammas(shape[:active], states[:active], steps[:active], work, waits[:active])
            for m in range(active):
                # A shape of exactly 1 is one logarithm, whatever the company.
                if shape[m] == 1.0:
                    waits[m] = -log(unit(states[m]))
        else:
            for m in range(active):
                waits[m] = -log(unit(states[m]))
        for m in range(active):
            shape[m] = buyers.speed[buyers.active[m]]
        for m in range(active):
            waits[m] /= shape[m]
        staying = 0
        for m in range(active):
            n = buyers.active[m]
            waits[m] += buyers.time[n]
            buyers.time[n] = waits[m]
            buyers.active[staying] = n
            staying += waits[m] <= buyers.last[n]
        active = staying
    return filled, active, number
