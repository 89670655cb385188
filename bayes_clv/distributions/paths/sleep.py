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
from bayes_clv.distributions.paths.variates import BELOW_ONE, DROPOUT, FAR, LEFT, RATE, SHARE, beta
from bayes_clv.distributions.paths.work import enter, hashed, new_work
from bayes_clv.distributions.poisson.returning_draws import heads_at, history_in, in_draws, quicken, room_for
from bayes_clv.distributions.streams import GOLDEN, mix, standard_gamma, unit

# Steps halve the bracket where they leave it, and where they do not become shorter: a mixture with negative weights
# sends Halley's to and fro between its ends, in one of some 50,000 waits for ever.
STEPS = 200
# Of a step of Halley's: the next one, and so the error, is about its cube; and of a bracket.
ENOUGH, CLOSE = 1e-3, 1e-9

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
def _sums(rates, signed, still):  # type: ignore[no-untyped-def]
    """Return the sum of the terms of a silence, and of them times the rate, and its square."""
    total = slope = bend = 0.0
    for i in range(rates.size):
        each = signed[i] * still[i]
        total += each
        slope += rates[i] * each
        bend += rates[i] * rates[i] * each
    return total, slope, bend


@_compiled
def _first_wait(rates, signed, sleeping, nu, scale, left, room):  # type: ignore[no-untyped-def]
    """Return the wait within which nothing is bought, by one who has not left, with the probability ``left``.

    The arguments are those of ``Known`` in one draw, of the points with weight. By Halley's steps for the logarithm of
    that probability as a function of log1p(t / scale), from 0 on.
    """
    low, high = 0.0, math.inf
    log_left, t, y, before = math.log(left), 0.0, 0.0, math.inf
    room[:] = 1.0
    for _ in range(STEPS):
        value, slope, bend = _sums(rates, signed, room)
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
        for i in range(rates.size):
            room[i] = exp(-rates[i] * t)
    return min(t, FAR)


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
def _given_tosses(  # type: ignore[no-untyped-def]
    own, silence, first, still, wakes, r, alpha, a, b, nu, later, rate, coin, state, wait, stream, step
):
    """Return rate and coin, drawn given all tosses and sleeps, which are drawn given a rate and a coin.

    ``state`` now: 0 awake, 1 asleep, 2 gone; ``wait`` for the next purchase, negative where it is not known, in which
    one asleep wakes at the rate ``later``. Else as in ``heads_at``.
    """
    awake, purchases, fell, tosses, last = 0.0, float(own.size), 0.0, 0.0, 0.0
    for j in range(own.size):
        g = own[j] - last
        last = own[j]
        awake += g
        if j + first > 0:
            tosses += 1.0
            woken = coin * (math.exp(-nu * g) - still[j]) * wakes
            stream += step
            if unit(mix(stream)) * ((1.0 - coin) * still[j] + woken) < woken:
                fell += 1.0
                awake -= _slept(g, rate, nu, unit(mix(stream ^ SHARE)))
    stream += step
    u, v = unit(mix(stream)), unit(mix(stream ^ SHARE))
    if own.size + first > 0:
        tosses += 1.0
        if state == 0:
            awake += silence
            woken = coin * (math.exp(-nu * silence) - still[own.size]) * wakes
            if u * ((1.0 - coin) * still[own.size] + woken) < woken:
                fell += 1.0
                awake -= _slept(silence, rate, nu, v)
        else:
            fell += 1.0
    else:
        awake += silence
    if wait >= 0.0:
        purchases += 1.0
        awake += wait
        if state == 1:
            awake -= _slept(wait, rate, later, v)
    word = mix(stream ^ RATE)
    gamma, _ = standard_gamma(r + purchases, word, step)
    chance = beta(a + fell, b + (tosses - fell), mix(stream ^ DROPOUT), step)
    return gamma / (alpha + max(awake, 0.0)), chance


@_compiled
def _picked(values, left):  # type: ignore[no-untyped-def]
    """Return the place in which the sum of the values passes ``left``."""
    place = 0
    while place < values.size - 1 and left >= values[place]:
        left -= values[place]
        place += 1
    return place


@_compiled
def _chosen(known, s, alive, w, wait, stream, step, room):  # type: ignore[no-untyped-def]
    """Return state (0 awake, 1 asleep, 2 gone) and place of the rate of one who is ``alive``, or has left, in a draw.

    Where the ``wait`` is not negative it is the next purchase's. ``room`` (2, point).
    """
    low, high = known.low[s], known.high[s]
    fell = known.fell[s, low:high]
    stream += step
    v = unit(mix(stream + step))
    if not alive:
        return 2, low + _picked(fell, v * fell.sum())
    awake, asleep, rates = room[0, : high - low], room[1, : high - low], known.rates[low:high]
    signed, back = known.signed[s, low:high], known.back[s, low:high]
    if wait >= 0.0:
        sleeps = math.exp(-known.later[s] * wait)
        for i in range(rates.size):
            awake[i] = exp(-rates[i] * wait)
        for i in range(rates.size):
            asleep[i] = max(back[i] * (sleeps - awake[i]), 0.0) * rates[i]
        for i in range(rates.size):
            awake[i] *= max(signed[i] + back[i], 0.0) * rates[i]
    else:
        still = known.asleep[s] * (1.0 - w)
        for i in range(rates.size):
            awake[i] = max(signed[i] + back[i], 0.0)
            asleep[i] = still * fell[i]
    stays = sleeps = 0.0
    for i in range(rates.size):
        stays += awake[i]
        sleeps += asleep[i]
    if unit(mix(stream)) * (stays + sleeps) < stays:
        return 0, low + _picked(awake, v * stays)
    return 1, low + _picked(asleep, v * sleeps)


@_compiled
def _own_numbers(  # type: ignore[no-untyped-def]
    known, s, own, T, first, r, alpha, a, b, w, alive, wait, word, step, room, m, still
):
    """Return state, rate and coin of a customer in a draw, whose stream begins at ``word``; else as in ``_chosen``.

    ``m`` and ``still``, two places more than purchases, are to work in.
    """
    state, point = _chosen(known, s, alive, w, wait, mix(word ^ RATE), step, room)
    tosses, nu, rate = own.size + first, known.nu[s], known.rates[point]
    u, silence = unit(mix(mix(word ^ SHARE))), T - (own[own.size - 1] if own.size else 0.0)
    wakes = (1.0 - w) * nu / (rate - nu)
    last = 0.0
    for j in range(own.size):
        still[j] = exp(-rate * (own[j] - last))
        last = own[j]
    still[own.size] = exp(-rate * silence)
    k = heads_at(own, first, still, wakes, a, b, nu, silence, state == 0, u, m)
    coin = beta(a + k, b + (tosses - k), mix(word ^ DROPOUT ^ SHARE), step) if tosses > 0 else 0.0
    rate, coin = _given_tosses(
        own, silence, first, still, wakes, r, alpha, a, b, nu, known.later[s],
        rate, coin, state, wait, mix(word ^ LEFT), step,
    )  # fmt: skip
    return state, rate, coin


@_compiled
def drawn(T, start, size, first, times, r, alpha, a, b, nu, w, u, words):  # type: ignore[no-untyped-def]
    """Return one draw (row, draw) each of state (0 awake, 1 asleep, 2 gone), rate and coin given the history.

    ``u`` uniform, and ``words`` the streams, (row, draw); the parameters are too.
    """
    rows, draws = r.shape
    found, space = np.empty((3, rows, draws)), room_for(size)
    for i in range(rows):
        begin, n = np.int64(start[i]), np.int64(size[i])
        known = in_draws(times[begin : begin + n], T[i], first, r[i], alpha[i], a[i], b[i], nu[i], w[i])
        room, m, still = np.empty((2, known.rates.size)), np.empty(n + 2), np.empty(n + 2)
        for s in range(draws):
            own, age = history_in(T, start, size, times, i, s, space)
            found[0, i, s], found[1, i, s], found[2, i, s] = _own_numbers(
                known, s, own, age, first, r[i, s], alpha[i, s], a[i, s], b[i, s], w[i, s],
                u[i, s] < known.alive[s], -1.0, words[i, s], GOLDEN, room, m, still,
            )  # fmt: skip
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
    paced = state.pace.shape[0] > 0
    wide = state.horizon.shape[1] > 1
    still = np.empty(known.rates.size)
    for s in range(buying.size):
        horizon = state.horizon[row, s if wide else 0] * (state.pace[row, s] if paced else 1.0)
        if wide or paced or s == 0:
            for i in range(still.size):
                still[i] = exp(-known.rates[i] * horizon)
        silent = known.sleeping[s] * math.exp(-known.later[s] * horizon)
        for i in range(known.low[s], known.high[s]):
            silent += known.signed[s, i] * still[i]
        buying[s] = max(known.alive[s] - silent, 0.0) if horizon > 0.0 else 0.0


@_compiled
def _numbers(state, row, step, needed, known, work):  # type: ignore[no-untyped-def]
    """Write the first wait, infinite of one who has left, state, rate and coin in the draws that need them."""
    further = state.further
    most = np.int64(further.size[row])
    room, m, still, space = (
        np.empty((2, known.rates.size)),
        np.empty(most + 2),
        np.empty(most + 2),
        np.empty(most),
    )
    wide, own, age = further.T.shape[1] > 1, space, 0.0
    for n in range(needed):
        s = np.int64(work.which[n])
        if wide or n == 0:
            own, age = history_in(
                further.T, further.start, further.size, further.times, row, s if wide else 0, space
            )
        alive, here, wait = known.alive[s], work.u[s] < known.alive[s], -1.0
        if here:
            low, high = known.low[s], known.high[s]
            left = alive * (1.0 - min(work.u[s] / alive, BELOW_ONE))
            wait = _first_wait(
                known.rates[low:high],
                known.signed[s, low:high],
                known.sleeping[s],
                known.later[s],
                state.scale[row, s],
                left,
                room[0, : high - low],
            )
        work.wait[n] = wait if here else math.inf
        # A wait that no rate can be told from is none.
        kind, work.speed[n], work.chance[n] = _own_numbers(
            known, s, own, age, further.first, state.shape[row, s], further.alpha[row, s],
            state.a[row, s], state.b[row, s], further.w[row, s], here, wait if wait < FAR else -1.0,
            work.word[s], step, room, m, still,
        )  # fmt: skip
        work.at[n] = kind
        if state.pace.shape[0] > 0:
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
