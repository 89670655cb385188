"""A coin after each purchase that sends to sleep, for a time or for ever: ``poisson.returning`` says how.

``State``: r and the scale alpha + T, a and b of the coin, and ``further``, ``Sleep``, with the histories themselves:
what they say (``poisson.returning_draws``) is found again where a tile needs it, since it is many numbers a history
and draw.

- The first wait by inversion of the probability of silence, with rate, coin and state integrated out, so that one who
  buys nothing within the horizon costs one comparison, as in the law of the constant coin.
- Given that wait a state and a rate among the rule's points, and given those a number of heads. The points stand for
  the rate's density, to six digits, but they are points: so, given them, each past toss and sleep is drawn, and given
  those the rate is Gamma(r + purchases, alpha + time awake) and the coin a Beta. These are the customer's own.
- From there on purchase by purchase: a toss, a sleep where it is heads, a wait.

The draws of a posterior share their points: with other draws beside it a future may differ where the sixth digit of a
probability decides.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp
from bayes_clv.distributions.paths.coin import MOST_DROPOUT
from bayes_clv.distributions.paths.sleep_now import CHUNK, draw_some, new_now
from bayes_clv.distributions.paths.variates import DROPOUT, LEFT, RATE, SHARE, beta
from bayes_clv.distributions.paths.work import enter, hashed, new_work
from bayes_clv.distributions.poisson.returning_draws import in_draws, quicken
from bayes_clv.distributions.streams import GOLDEN, mix, standard_gamma, unit

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


class Sleep(NamedTuple):
    """Of each history T, ``start`` and ``size`` of its part of ``times``; and alpha, nu and w (row, draw).

    T is (row, 1) and ``times`` (purchase, 1), or their second axis is the draws too. ``first`` is 1 where the first
    purchase is followed by a toss.
    """

    T: Any
    start: Any
    size: Any
    first: Any
    times: Any
    alpha: Any
    nu: Any
    w: Any


@_compiled
def drawn(T, start, size, first, times, r, alpha, a, b, nu, w, u, words):  # type: ignore[no-untyped-def]
    """Return one draw (row, draw) each of state (0 awake, 1 asleep, 2 gone), rate and coin given the history.

    ``u`` uniform, and ``words`` the streams, (row, draw); the parameters are too.
    """
    rows, draws = r.shape
    found, which, none = np.empty((3, rows, draws)), np.arange(draws).astype(np.uint32), np.empty(0)
    for i in range(rows):
        begin, n = np.int64(start[i]), np.int64(size[i])
        known = in_draws(times[begin : begin + n], T[i], first, r[i], alpha[i], a[i], b[i], nu[i], w[i])
        now = new_now(known.rates.size, n + 1, min(CHUNK, draws))
        for place in range(0, draws, CHUNK):
            end = min(place + CHUNK, draws)
            params = r[i], alpha[i], a[i], b[i], w[i]
            draw_some(
                known,
                none,
                0.0,
                which[place:end],
                end - place,
                first,
                params,
                none,
                u[i],
                GOLDEN,
                words[i],
                now,
            )
            found[0, i, place:end] = now.state[: end - place]
            found[1, i, place:end] = now.rate[: end - place]
            found[2, i, place:end] = now.coin[: end - place]
    return found


@_compiled
def _known(state, row):  # type: ignore[no-untyped-def]
    """Return what one history says in each draw."""
    further = state.further
    begin = np.int64(further.start[row])
    known = in_draws(
        further.times[begin : begin + np.int64(further.size[row])],
        further.T[row],
        further.first,
        state.shape[row],
        further.alpha[row],
        state.a[row],
        state.b[row],
        further.nu[row],
        further.w[row],
    )
    if state.pace.shape[0] > 0:
        quicken(known, state.pace[row], further.w[row])
    return known


@_compiled
def _chances(state, row, known, buying):  # type: ignore[no-untyped-def]
    """Write P(buys within the horizon) of one history in each draw."""
    paced, wide = state.pace.shape[0] > 0, state.horizon.shape[1] > 1
    horizon = np.empty(buying.size)
    for s in range(buying.size):
        horizon[s] = state.horizon[row, s if wide else 0] * (state.pace[row, s] if paced else 1.0)
    for s in range(buying.size):
        buying[s] = known.sleeping[s] * exp(-known.later[s] * horizon[s])
    for i in range(known.rates.size):
        rate, signed = known.rates[i], known.signed[i]
        if wide or paced:
            for s in range(buying.size):
                buying[s] += signed[s] * exp(-rate * horizon[s])
        else:
            still = math.exp(-rate * horizon[0])
            for s in range(buying.size):
                buying[s] += signed[s] * still
    for s in range(buying.size):
        buying[s] = max(known.alive[s] - buying[s], 0.0) if horizon[s] > 0.0 else 0.0


@_compiled
def _numbers(state, row, step, needed, known, work):  # type: ignore[no-untyped-def]
    """Write the first wait, infinite of one who has left, state, rate and coin in the draws that need them."""
    further, paced = state.further, state.pace.shape[0] > 0
    # The time at which the search of a wait looks first: that of some 1.5 purchases, or a history's length.
    purchases = state.shape[row, 0] + known.gaps.shape[0] - 1
    t = state.scale[row, 0] * math.expm1(min(1.5 / purchases, 0.7))
    still = np.exp(-known.rates * t)
    now = new_now(known.rates.size, known.gaps.shape[0], min(CHUNK, max(needed, 1)))
    params = state.shape[row], further.alpha[row], state.a[row], state.b[row], further.w[row]
    for begin in range(0, needed, CHUNK):
        size = min(CHUNK, needed - begin)
        which = work.which[begin : begin + size]
        draw_some(
            known,
            still,
            t,
            which,
            size,
            further.first,
            params,
            state.scale[row],
            work.u,
            step,
            work.word,
            now,
        )
        for m in range(size):
            n, s = begin + m, which[m]
            work.at[n], work.wait[n], work.speed[n], work.chance[n] = (
                now.state[m],
                now.wait[m],
                now.rate[m],
                now.coin[m],
            )
            if paced:
                work.wait[n] /= state.pace[row, s]
                work.speed[n] *= state.pace[row, s]
                work.chance[n] = min(work.chance[n] / state.stay[row, s], MOST_DROPOUT)


@_compiled
def _tell(state, i, row, own, alive, work):  # type: ignore[no-untyped-def]
    """Write what is asked for of a customer's own numbers; its rates are known of every draw where they are."""
    wide = state.silence.shape[1] > 1
    for s in range(work.u.size):
        here = work.u[s] < alive[s]
        if own.rate.shape[0] > 0:
            own.rate[i, s] = work.speed[s]
        if own.first.shape[0] > 0:
            own.first[i, s] = work.wait[s]
        if own.regularity.shape[0] > 0:
            own.regularity[i, s] = 1.0
        if own.alive.shape[0] > 0:
            own.alive[i, s] = 1.0 if here else 0.0
        if own.left.shape[0] > 0:
            own.left[i, s] = math.inf if here else -state.silence[row, s if wide else 0]
        if own.leaving.shape[0] > 0:
            own.leaving[i, s] = work.chance[s]
        if own.asleep.shape[0] > 0:
            own.asleep[i, s] = 1.0 if work.at[s] == 1.0 else 0.0


@_compiled
def begin(state, who, own, buyers):  # type: ignore[no-untyped-def]
    """Write own numbers and the buyers with their next purchase; return how many there are, and how many are active."""
    draws = state.shape.shape[1]
    wide = state.horizon.shape[1] > 1
    everyone = own.rate.shape[0] > 0 or own.first.shape[0] > 0
    everyone |= own.leaving.shape[0] > 0 or own.asleep.shape[0] > 0
    work = new_work(draws)
    prepared = who.row[0]
    known = _known(state, prepared)
    _chances(state, prepared, known, work.buying)
    found = active = np.int64(0)
    for i in range(who.row.size):
        row = who.row[i]
        if row != prepared:
            known = _known(state, row)
            _chances(state, row, known, work.buying)
            prepared = row
        step = who.keys[i, 1]
        hashed(who.keys[i, 0], work)
        needed = np.int64(0)
        for s in range(draws):
            work.which[needed] = s
            needed += everyone | (work.u[s] < work.buying[s])
        _numbers(state, row, step, needed, known, work)
        _tell(state, i, row, own, known.alive, work)
        buyers.begin[i] = found
        if who.first_order:
            for s in range(draws):
                enter(i, s, step, work.word[s], state.horizon[row, s if wide else 0], buyers, found + s)
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
            buyers.chance[n] = work.chance[m]
            # The two ways to say that it buys may differ in the last digit.
            buyers.time[n] = min(work.wait[m], buyers.last[n])
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
    while active > 0 and filled + active <= batch.buyer.size:
        number += 1
        staying = 0
        for m in range(active):
            n = buyers.active[m]
            row, s = who.row[buyers.customer[n]], buyers.draw[n]
            batch.buyer[filled + m] = n
            batch.number[filled + m] = number
            batch.time[filled + m] = buyers.time[n]
            buyers.count[n] = number
            buyers.coins[n] += buyers.step[n]
            u = unit(mix(buyers.coins[n]))
            buyers.stream[n] += buyers.step[n]
            word = mix(buyers.stream[n])
            if u < buyers.chance[n] * state.further.w[row, s]:
                if want_left:
                    own.left[buyers.customer[n], s] = buyers.time[n]
                continue
            buyers.time[n] -= math.log(unit(word)) / buyers.speed[n]
            if u < buyers.chance[n]:
                buyers.time[n] -= math.log(unit(mix(word ^ SHARE))) / state.further.nu[row, s]
            buyers.active[staying] = n
            staying += buyers.time[n] <= buyers.last[n]
        filled += active
        active = staying
    return filled, active, number


@_compiled
def times_of_new(T, first, r, alpha, a, b, nu, w, words):  # type: ignore[no-untyped-def]
    """Return repeat purchases of new customers within T, (customer index, age) flat.

    All arguments but ``first`` are (customer); ``words`` begin the customers' streams.
    """
    who, when, used = np.empty(4 * T.size + 64, dtype=np.int64), np.empty(4 * T.size + 64), 0
    for i in range(T.size):
        stream = words[i]
        rate, _ = standard_gamma(r[i], mix(stream ^ RATE), GOLDEN)
        rate /= alpha[i]
        coin = beta(a[i], b[i], mix(stream ^ DROPOUT), GOLDEN)
        age, number = 0.0, 0
        while True:
            stream += GOLDEN
            word = mix(stream)
            if number + first > 0:
                u = unit(mix(word ^ LEFT))
                if u < coin * w[i]:
                    break
                if u < coin:
                    age -= math.log(unit(mix(word ^ SHARE))) / nu[i]
            age -= math.log(unit(word)) / rate
            if not age <= T[i]:
                break
            if used == who.size:
                more_who, more_when = np.empty(2 * used, dtype=np.int64), np.empty(2 * used)
                more_who[:used], more_when[:used] = who, when
                who, when = more_who, more_when
            who[used], when[used] = i, age
            used += 1
            number += 1
    return who[:used].copy(), when[:used].copy()
