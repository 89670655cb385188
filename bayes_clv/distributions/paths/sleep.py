"""A coin after each purchase that sends to sleep, for a time or for ever: ``poisson.returning`` says how.

``State``: r and the scale alpha + T, a and b of the coin, and ``further``, ``Sleep``, with the histories themselves:
the weights of rates and heads are found again where a tile needs them, since they are many numbers a history and draw.

- The first wait by inversion of the probability of silence, with rate, coin and state integrated out, so that one who
  buys nothing within the horizon costs one comparison, as in the law of the constant coin.
- Given that wait a rate among the rule's points, a state and a number of heads. The points stand for the rate's
  density as exactly as the likelihood is integrated, but they are points: so, given them, each past toss and sleep is
  drawn, and given those the rate is Gamma(r + purchases, alpha + time awake) and the coin a Beta. These are the
  customer's own.
- From there on purchase by purchase: a toss, a sleep where it is heads, a wait.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.paths.variates import BELOW_ONE, DROPOUT, FAR, LEFT, RATE, SHARE, beta
from bayes_clv.distributions.paths.work import enter, hashed, new_work
from bayes_clv.distributions.poisson.returning import heads, waits
from bayes_clv.distributions.poisson.returning_forecasts import silences
from bayes_clv.distributions.streams import GOLDEN, mix, standard_gamma, unit

# Newton steps halve the bracket where they leave it.
STEPS = 200
ENOUGH = 1e-13

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


class Sleep(NamedTuple):
    """Of each history T, ``start`` and ``size`` of its part of ``times``; and alpha, nu and w (row, draw).

    ``first`` is 1 where the first purchase is followed by a toss.
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
def _silent(t, rates, awake, asleep, nu, room):  # type: ignore[no-untyped-def]
    """Return the probability of being awake or asleep and buying nothing within t, and its falling slope.

    ``room`` (2, point) becomes that of one awake, and of one asleep who has woken since.
    """
    still, woken = room[0, : rates.size], room[1, : rates.size]
    waits(t, rates, nu, still, woken, room[0, :0])
    total = slope = sleeping = 0.0
    for i in range(rates.size):
        silent = awake[i] * still[i] + asleep[i] * woken[i]
        total += silent
        slope += rates[i] * silent
        sleeping += asleep[i]
    return total + sleeping * math.exp(-nu * t), slope


@_compiled
def _first_wait(rates, awake, asleep, nu, scale, left, room):  # type: ignore[no-untyped-def]
    """Return the wait within which nothing is bought, by one who has not left, with the probability ``left``."""
    low, high = 0.0, math.inf
    log_left, y = math.log(left), 0.0
    for _ in range(STEPS):
        t = scale * math.expm1(y)
        if not t < FAR:
            high = y
            y = 0.5 * (low + y)
            continue
        value, slope = _silent(t, rates, awake, asleep, nu, room)
        if value > left:
            low = y
        else:
            high = y
        new = y
        if value > 0.0 and slope > 0.0:
            new += (math.log(value) - log_left) * value / (slope * (scale + t))
        if not low <= new <= high or new == y:
            new = 0.5 * (low + high) if high < math.inf else 2.0 * y + 1.0
        done = abs(new - y) <= ENOUGH * new
        y = new
        if done or (high < math.inf and high - low <= ENOUGH * high):
            break
    return min(scale * math.expm1(y), FAR)


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
def own_numbers(own, T, first, r, alpha, a, b, nu, w, rate, coin, state, wait, stream, step):  # type: ignore[no-untyped-def]
    """Return rate and coin, drawn given all tosses and sleeps, which are drawn given a rate and a coin.

    ``state`` now: 0 awake, 1 asleep, 2 gone; ``wait`` for the next purchase, negative where it is not known.
    """
    awake, purchases, fell, tosses, last = 0.0, float(own.size), 0.0, 0.0, 0.0
    for j in range(own.size):
        g = own[j] - last
        last = own[j]
        slept = 0.0
        if j + first > 0:
            tosses += 1.0
            still, _, woken = silences(rate, g, nu)
            woken *= coin * (1.0 - w)
            stream += step
            if unit(mix(stream)) * ((1.0 - coin) * still + woken) < woken:
                fell += 1.0
                slept = _slept(g, rate, nu, unit(mix(stream ^ SHARE)))
        awake += g - slept
    g = T - last
    stream += step
    u, v = unit(mix(stream)), unit(mix(stream ^ SHARE))
    if own.size + first > 0:
        tosses += 1.0
        if state == 0:
            still, _, woken = silences(rate, g, nu)
            woken *= coin * (1.0 - w)
            if u * ((1.0 - coin) * still + woken) < woken:
                fell += 1.0
                awake -= _slept(g, rate, nu, v)
            awake += g
        else:
            fell += 1.0
    else:
        awake += g
    if wait >= 0.0:
        purchases += 1.0
        awake += wait
        if state == 1:
            awake -= _slept(wait, rate, nu, v)
    word = mix(stream ^ RATE)
    gamma, _ = standard_gamma(r + purchases, word, step)
    chance = beta(a + fell, b + (tosses - fell), mix(stream ^ DROPOUT), step)
    return gamma / (alpha + max(awake, 0.0)), chance


@_compiled
def _picked(values, u):  # type: ignore[no-untyped-def]
    """Return a place, with the chances that the values are proportional to."""
    left, place = u * values.sum(), 0
    while place < values.size - 1 and left >= values[place]:
        left -= values[place]
        place += 1
    return place


@_compiled
def chosen(weight, rates, nu, alive, wait, stream, step, room):  # type: ignore[no-untyped-def]
    """Return state, place of the rate and of the number of heads of one who is ``alive``, or has left.

    ``weight`` (state, heads, point); where the ``wait`` is not negative it is the next purchase's. ``room`` (2, point).
    """
    state, size = 2, rates.size
    if wait >= 0.0:
        waits(wait, rates, nu, room[0, :size], room[1, :size], room[0, :0])
        for i in range(size):
            room[0, i] *= rates[i]
            room[1, i] *= rates[i]
    else:
        room[:] = 1.0
    if alive:
        both = np.zeros(2)
        for kind in range(2):
            for k in range(weight.shape[1]):
                for i in range(size):
                    both[kind] += weight[kind, k, i] * room[kind, i]
        stream += step
        state = _picked(both, unit(mix(stream)))
    points = room[state % 2, :size]
    for i in range(size):
        mass = 0.0
        for k in range(weight.shape[1]):
            mass += weight[state, k, i]
        points[i] *= mass
    stream += step
    point = _picked(points, unit(mix(stream)))
    stream += step
    return state, point, _picked(weight[state, :, point], unit(mix(stream)))


@_compiled
def drawn(T, start, size, first, times, r, alpha, a, b, nu, w, u, words):  # type: ignore[no-untyped-def]
    """Return one draw (row, draw) each of state (0 awake, 1 asleep, 2 gone), rate and coin given the history.

    ``u`` uniform, and ``words`` the streams, (row, draw); the parameters are too.
    """
    rows, draws = r.shape
    found = np.empty((3, rows, draws))
    for i in range(rows):
        begin = np.int64(start[i])
        own = times[begin : begin + np.int64(size[i])]
        for s in range(draws):
            seen = heads(own, T[i], first, r[i, s], alpha[i, s], a[i, s], b[i, s], nu[i, s], w[i, s])
            alive = u[i, s] < 1.0 - seen.weight[2].sum()
            room = np.empty((2, seen.rates.size))
            stream = mix(words[i, s] ^ RATE)
            state, point, more = chosen(seen.weight, seen.rates, nu[i, s], alive, -1.0, stream, GOLDEN, room)
            k = seen.least + more
            coin = beta(a[i, s] + k, b[i, s] + (seen.tosses - k), mix(words[i, s] ^ DROPOUT), GOLDEN)
            found[0, i, s] = state
            found[1, i, s], found[2, i, s] = own_numbers(
                own, T[i], first, r[i, s], alpha[i, s], a[i, s], b[i, s], nu[i, s], w[i, s],
                seen.rates[point], coin, state, -1.0, mix(words[i, s] ^ LEFT), GOLDEN,
            )  # fmt: skip
    return found


@_compiled
def _larger(values, used, more):  # type: ignore[no-untyped-def]
    """Return the values with room for more."""
    if used + more <= values.size:
        return values
    larger = np.empty(2 * (used + more))
    larger[:used] = values[:used]
    return larger


@_compiled
def _seen(state, row, known, places, alive):  # type: ignore[no-untyped-def]
    """Write rates and weights of one history in each draw, flat, and P(not gone); return where they are.

    ``places`` (draw, 4): where they begin, points, heads, and the smallest number of heads. In ``known`` stand, one
    after the other: rates, what is awake and asleep at each, and the weights (state, heads, point).
    """
    further, used = state.further, 0
    begin = np.int64(further.start[row])
    own = further.times[begin : begin + np.int64(further.size[row])]
    for s in range(places.shape[0]):
        seen = heads(
            own,
            further.T[row],
            further.first,
            state.shape[row, s],
            further.alpha[row, s],
            state.a[row, s],
            state.b[row, s],
            further.nu[row, s],
            further.w[row, s],
        )
        points, count = seen.rates.size, seen.weight.shape[1]
        known = _larger(known, used, points * (3 + 3 * count))
        alive[s] = 1.0 - seen.weight[2].sum()
        places[s, 0], places[s, 1], places[s, 2], places[s, 3] = used, points, count, seen.least
        for i in range(points):
            known[used + i] = seen.rates[i]
            awake = asleep = 0.0
            for k in range(count):
                awake += seen.weight[0, k, i]
                asleep += seen.weight[1, k, i]
            known[used + points + i], known[used + 2 * points + i] = awake, asleep
        used += 3 * points
        for kind in range(3):
            for k in range(count):
                for i in range(points):
                    known[used] = seen.weight[kind, k, i]
                    used += 1
    return known


@_compiled
def _chances(state, row, known, places, alive, buying):  # type: ignore[no-untyped-def]
    """Write P(buys within the horizon) of one history in each draw."""
    wide = state.horizon.shape[1] > 1
    for s in range(buying.size):
        at, points = places[s, 0], places[s, 1]
        awake, asleep = known[at + points : at + 2 * points], known[at + 2 * points : at + 3 * points]
        horizon = state.horizon[row, s if wide else 0]
        buying[s] = 0.0
        if horizon > 0.0:
            room = np.empty((2, points))
            silent, _ = _silent(
                horizon, known[at : at + points], awake, asleep, state.further.nu[row, s], room
            )
            buying[s] = max(alive[s] - silent, 0.0)


@_compiled
def _numbers(state, row, step, needed, known, places, alive, work):  # type: ignore[no-untyped-def]
    """Write the first wait, infinite of one who has left, rate and coin in the draws that need them."""
    further = state.further
    begin = np.int64(further.start[row])
    own = further.times[begin : begin + np.int64(further.size[row])]
    tosses = own.size + further.first
    for m in range(needed):
        s = np.int64(work.which[m])
        at, points, count, least = places[s, 0], places[s, 1], places[s, 2], places[s, 3]
        rates = known[at : at + points]
        awake, asleep = known[at + points : at + 2 * points], known[at + 2 * points : at + 3 * points]
        weight = known[at + 3 * points : at + 3 * points * (1 + count)].reshape((3, count, points))
        nu, w, a, b = further.nu[row, s], further.w[row, s], state.a[row, s], state.b[row, s]
        here = work.u[s] < alive[s]
        wait, room = -1.0, np.empty((2, points))
        if here:
            left = alive[s] * (1.0 - min(work.u[s] / alive[s], BELOW_ONE))
            wait = _first_wait(rates, awake, asleep, nu, state.scale[row, s], left, room)
        work.wait[m] = wait if here else math.inf
        stream = mix(work.word[s] ^ RATE)
        # A wait that no rate can be told from is none.
        known_wait = wait if wait < FAR else -1.0
        kind, point, more = chosen(weight, rates, nu, here, known_wait, stream, step, room)
        k = least + more
        coin = beta(a + k, b + (tosses - k), mix(work.word[s] ^ DROPOUT ^ SHARE), step)
        work.speed[m], work.chance[m] = own_numbers(
            own, further.T[row], further.first, state.shape[row, s], further.alpha[row, s], a, b, nu, w,
            rates[point], coin, kind, known_wait, mix(work.word[s] ^ LEFT), step,
        )  # fmt: skip


@_compiled
def _tell(state, i, row, own, alive, work):  # type: ignore[no-untyped-def]
    """Write what is asked for of a customer's own numbers; its rates are known of every draw where they are."""
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
            own.left[i, s] = math.inf if here else -state.silence[row, 0]
        if own.leaving.shape[0] > 0:
            own.leaving[i, s] = work.chance[s]


@_compiled
def begin(state, who, own, buyers):  # type: ignore[no-untyped-def]
    """Write own numbers and the buyers with their next purchase; return how many there are, and how many are active."""
    draws = state.shape.shape[1]
    wide = state.horizon.shape[1] > 1
    everyone = own.rate.shape[0] > 0 or own.first.shape[0] > 0 or own.leaving.shape[0] > 0
    work = new_work(draws)
    known, places, alive = np.empty(0), np.empty((draws, 4), dtype=np.int64), np.empty(draws)
    prepared = -1
    found = active = np.int64(0)
    for i in range(who.row.size):
        row = who.row[i]
        if row != prepared:
            known = _seen(state, row, known, places, alive)
            _chances(state, row, known, places, alive, work.buying)
            prepared = row
        step = who.keys[i, 1]
        hashed(who.keys[i, 0], work)
        needed = np.int64(0)
        for s in range(draws):
            work.which[needed] = s
            needed += everyone | (work.u[s] < work.buying[s])
        _numbers(state, row, step, needed, known, places, alive, work)
        _tell(state, i, row, own, alive, work)
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
