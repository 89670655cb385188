"""The compiled part of joint draws: a customer's own rates in each posterior draw, and one future given them.

Everything is drawn in one pass over (customer, draw), and only as far as it is asked for or needed: the rate of one
who has left only where the rate is asked for, the dropout only of one whose first purchase lies within the horizon.
Alive, rate, dropout, lifetime, waits and money come from streams of their own, begun at the customer's and draw's word
(``streams``), so that what is asked for changes no number: one rule's quantities are those of another.

``state`` is what ``families.lifetimes`` says of those alive. Of one who has left, the same law says:

after_purchase, after_kth_phase
    It left at its last purchase: the silence told nothing of its rate, Gamma(k, rate scale - silence), and of its
    tosses the last was the leaving: Beta(a + 1, B - 1).
continuous
    It left d after the last purchase, d in (0, silence) with a density proportional to
    (1 + d / s0)^-k (1 + d / b0)^-(a + 1), where s0 = scale - silence and b0 = b - silence; then the rate is
    Gamma(k, rate s0 + d) and the dropout rate Gamma(a + 1, rate b0 + d).

**Who has left at any time is decided without P(alive)**, an integral that took two fifths of the time. The weights are
(1 + silence / s0)^-k (1 + silence / b0)^-a of being here, and a / b0 times that density of having left at d. With
s0 <= b0 and ratio = s0 / b0, Bernoulli's inequality 1 + d / b0 >= (1 + d / s0)^ratio gives the density an envelope,
(1 + d / s0)^-(k + (a + 1) ratio), whose mass is known and which is inverted; with s0 > b0 the other way round. A trial
is of one who is here, or of one who left by the envelope and is accepted where the density says so, else it is made
again. Near CDNOW's population, ages to 78 weeks, 78 to 90 % of leavings are accepted of one who never bought again and
more than 95 % of others; only silences far beyond both scales need many. Rejected: the envelope of one factor alone,
accepted by the other: 63 to 93 %, and it lacks what decides who is here.

**The first wait comes before the rate.** With the rate integrated out, the wait w of one who is alive is Lomax,
P(w > t) = (s / (s + t))^k, s the rate's scale; given w the rate is Gamma(k + 1, rate s + w). So the uniform number that
decides who is alive says by one comparison whether there is a purchase within the horizon, as in ``engine``, and where
there is none and no rate is asked for, none is drawn. The pair does not depend on the horizon. With phases the rate
comes first.

**So do the first tosses before the dropout.** Whether a customer leaves after each of its next TOSSES purchases is a
Pólya urn of a and B, and given those tosses the dropout is a Beta again. Few futures have more purchases, and the two
Gammas of the Beta are spared. The tosses have a stream of their own, and are made where the dropout is asked for too.

**A customer's draws are made together, a step at a time**: all hashes, all Gammas (``streams.cubes``), in loops that
the compiler turns into vectors; what few draws need, the purchases, one by one.

Rejected: drawing the whole path with the rate integrated out and the rate given the path, which then depends on the
horizon.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.regular.erlang_phases import phase_sum
from bayes_clv.distributions.streams import GOLDEN, LIFETIME, MONEY, cubes, mix, standard_gamma, unit
from bayes_clv.predictions.kernels import occasion_paid, spend_level

RATE = np.uint64(0xA24BAED4963EE407)
DROPOUT = np.uint64(0x9FB21C651E98DF25)
LEFT = np.uint64(0xE7037ED1A0B428DB)

SHARE = np.uint64(0x8EBC6AF09C88C6E3)
# Tosses after purchases that are made before the dropout itself is drawn.
TOSSES = 8
BELOW_ONE = 1.0 - 2.0**-53

# How the kernel is told the law (``families.lifetimes``).
AFTER_PURCHASE, CONTINUOUS, AFTER_KTH_PHASE, INDIVIDUAL = 0, 1, 2, 3
LAWS = {
    "after_purchase": AFTER_PURCHASE,
    "continuous": CONTINUOUS,
    "after_kth_phase": AFTER_KTH_PHASE,
    "individual": INDIVIDUAL,
}


@njit(nogil=True, cache=True, error_model="numpy")
def _beta(a, b, state, increment):  # type: ignore[no-untyped-def]
    """Return a Beta(a, b) variate, 0 where a is 0."""
    if a == 0.0:
        return 0.0
    first, state = standard_gamma(a, state, increment)
    second, state = standard_gamma(b, state, increment)
    if first + second > 0.0:
        return first / (first + second)
    # Shapes so small that both round to 0: what is left of the Beta are its ends.
    return 1.0 if unit(mix(state + increment)) * (a + b) < a else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _dropout(here, a, b, tosses, increment):  # type: ignore[no-untyped-def]
    """Return a customer's dropout: given the first TOSSES tosses of its future where it is here, else given one."""
    share = mix(tosses ^ SHARE)
    if not here:
        return _beta(a + 1.0, b - 1.0, share, increment)
    for j in range(TOSSES):
        tosses += increment
        if unit(mix(tosses)) * (a + b + j) < a:
            return _beta(a + 1.0, b + j, share, increment)
    return _beta(a, b + TOSSES, share, increment)


@njit(nogil=True, cache=True, error_model="numpy")
def _log1p(x):  # type: ignore[no-untyped-def]
    """Return log(1 + x), by the faster function where it loses no more than two digits."""
    return math.log(1.0 + x) if abs(x) > 0.01 else math.log1p(x)


@njit(nogil=True, cache=True, error_model="numpy")
def _expm1(x):  # type: ignore[no-untyped-def]
    """Return exp(x) - 1, by the faster function where it loses no more than two digits."""
    return math.exp(x) - 1.0 if abs(x) > 0.01 else math.expm1(x)


@njit(nogil=True, cache=True, error_model="numpy")
def _leaving(k, s, a, b, silence):  # type: ignore[no-untyped-def]
    """Return P(a trial of ``_left_after`` is of one who is here), and the power less 1 and the mass of its envelope.

    ``a`` and ``b`` are the rates' scales at the last purchase. The mass is that per size and power.
    """
    growth_a, growth_b = _log1p(silence / a), _log1p(silence / b)
    power = k + (s + 1.0) * (a / b) if a <= b else s + 1.0 + k * (b / a)
    # Of a power of exactly 1 the mass is a logarithm; a flatter envelope is one, too.
    power = power - 1.0 if power != 1.0 else -1e-9
    mass = -_expm1(-power * (growth_a if a <= b else growth_b))
    odds = s / b * min(a, b) * (mass / power) * math.exp(k * growth_a + s * growth_b)
    return 1.0 / (1.0 + odds), power, mass


@njit(nogil=True, cache=True, error_model="numpy")
def _left_after(chance, power, mass, k, s, a, b, silence, state, increment):  # type: ignore[no-untyped-def]
    """Return whether a customer is here after all, the uniform number that says so, and else how long it stayed.

    Trials until one is accepted, the first of one who is not here; ``chance``, ``power`` and ``mass`` of ``_leaving``.
    """
    # The factor that varies over ``size`` is inverted, and of the other as much as the envelope holds.
    size, ratio, other = (a, a / b, s + 1.0) if a <= b else (b, b / a, k)
    while True:
        state += increment
        growth = -_log1p(-unit(mix(state)) * mass) / power
        since = size * (math.exp(growth) - 1.0)
        state += increment
        u = unit(mix(state))
        # exp(-excess) of it is accepted, and Hoeffding's lemma says excess <= other growth² / 8.
        if u < 1.0 - 0.125 * other * growth * growth:
            return False, 1.0, min(since, silence)
        if u < math.exp(-other * (_log1p(since / size * ratio) - ratio * growth)):
            return False, 1.0, min(since, silence)
        state += increment
        u = unit(mix(state))
        if u < chance:
            return True, u, 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _chances(  # type: ignore[no-untyped-def]
    law, alive, k, scale, a, b, silence, horizon, future, chance, buying, power, mass
):
    """Write what decides in each draw of one history who is here and buys; see ``_decide``."""
    for s in range(k.size):
        chance[s] = alive[s]
        if law == CONTINUOUS:
            chance[s], power[s], mass[s] = _leaving(k[s], a[s], scale[s] - silence, b[s] - silence, silence)
        if future and law != AFTER_KTH_PHASE:
            buying[s] = -chance[s] * math.expm1(-k[s] * math.log1p(horizon / scale[s]))


@njit(nogil=True, cache=True, error_model="numpy")
def _decide(  # type: ignore[no-untyped-def]
    law, start, increment, k, scale, a, b, silence, chance, buying, power, mass, here, buys, first, left
):
    """Write of each draw who is here and buys within the horizon, by one uniform number: below ``chance``, ``buying``.

    ``first`` is that number given that the customer is here, and ``left`` when it left, since the last purchase; 0
    where the law says it was then.
    """
    for s in range(start.size):
        u = unit(start[s])
        here[s] = u < chance[s]
        buys[s] = u < buying[s]
        first[s] = min(u / chance[s], BELOW_ONE)
    if law != CONTINUOUS:
        return
    for s in range(start.size):
        if not here[s]:
            here[s], u, left[s] = _left_after(
                chance[s],
                power[s],
                mass[s],
                k[s],
                a[s],
                scale[s] - silence,
                b[s] - silence,
                silence,
                mix(start[s] ^ LEFT),
                increment,
            )
            if here[s]:
                buys[s] = u < buying[s]
                first[s] = min(u / chance[s], BELOW_ONE)


@njit(nogil=True, cache=True, error_model="numpy")
def _passed(u, phases, shape, z):  # type: ignore[no-untyped-def]
    """Return how many phases a silence has passed, by inversion of their weights at u in (0, 1)."""
    wanted = u * phase_sum(phases, shape, z)
    passed = 0
    term = reached = 1.0
    while wanted > reached and passed < phases - 1:
        term *= (shape + passed) / (passed + 1.0) * z
        reached += term
        passed += 1
    return passed


@njit(nogil=True, cache=True, error_model="numpy")
def _rates(  # type: ignore[no-untyped-def]
    which, here, first, left, k, scale, silence, start, increment, gammas, states, wait, speed
):
    """Write the rate in the draws ``which``, and the first wait where the customer is here.

    ``first`` is uniform given that the customer is here, ``left`` the time of leaving since the last purchase; ``k``
    and ``scale`` of this history. ``gammas`` (4, draw) and ``states`` (draw) are room to work in.
    """
    d, c, v, factor = gammas[0, : which.size], gammas[1, : which.size], gammas[2, : which.size], gammas[3]
    for m in range(which.size):
        s = which[m]
        states[m] = mix(start[s] ^ RATE)
        shape = k[s]
        if here[s]:
            growth = -math.log(1.0 - first[s]) / shape
            # The faster function where it loses no more than two digits.
            position = math.expm1(growth) if growth < 0.01 else math.exp(growth) - 1.0
            position *= scale[s]
            wait[s] = position
            shape += 1.0
            factor[m] = 1.0
            speed[s] = scale[s] + position
        else:
            factor[m] = 1.0
            if shape < 1.0:
                states[m] += increment
                factor[m] = math.exp(math.log(unit(mix(states[m]))) / shape)
                shape += 1.0
            speed[s] = scale[s] - silence + left[s]
        d[m] = shape - 1.0 / 3.0
    for m in range(which.size):
        c[m] = 1.0 / math.sqrt(9.0 * d[m])
    cubes(d, c, states[: which.size], increment, v)
    for m in range(which.size):
        speed[which[m]] = factor[m] * d[m] * v[m] / speed[which[m]]


@njit(nogil=True, cache=True, error_model="numpy")
def _phased_rates(  # type: ignore[no-untyped-def]
    which, here, first, phases, z, k, scale, silence, start, increment, want_wait, stream, wait, speed
):
    """Write the same where a purchase comes with the k-th phase: the rate of phases, and where the stream is then."""
    for s in which:
        rates = mix(start[s] ^ RATE)
        if not here[s]:
            speed[s], _ = standard_gamma(k[s], rates, increment)
            speed[s] /= scale[s] - silence
            continue
        passed = _passed(first[s], int(phases[s]), k[s], z[s])
        speed[s], _ = standard_gamma(k[s] + passed, rates, increment)
        speed[s] /= scale[s]
        if want_wait:
            waited, stream[s] = standard_gamma(phases[s] - passed, start[s], increment)
            wait[s] = waited / speed[s]


@njit(nogil=True, cache=True, error_model="numpy")
def _levels(lognormal, first, second, start, increment, gammas, purse, level):  # type: ignore[no-untyped-def]
    """Write a customer's level of spend in each draw, and where its stream of money then is (``spend_level``)."""
    for s in range(start.size):
        purse[s] = mix(start[s] ^ MONEY)
    if lognormal or first.min() < 1.0:
        for s in range(start.size):
            level[s], purse[s] = spend_level(lognormal, first[s], second[s], purse[s], increment)
        return
    d, c, v = gammas[0], gammas[1], gammas[2]
    for s in range(start.size):
        d[s] = first[s] - 1.0 / 3.0
        c[s] = 1.0 / math.sqrt(9.0 * d[s])
    cubes(d, c, purse, increment, v)
    for s in range(start.size):
        level[s] = second[s] / (d[s] * v[s])


@njit(nogil=True, cache=True, error_model="numpy")
def draw_joint(  # type: ignore[no-untyped-def]
    row,
    purse_row,
    keys,
    law,
    alive,
    shape,
    scale,
    a,
    b,
    phases,
    z,
    silence,
    horizon,
    lognormal,
    spend_first,
    spend_second,
    occasion,
    discount,
    margin,
    out_alive,
    out_rate,
    out_leaving,
    out_level,
    out_purchases,
    out_spend,
    out_value,
    out_time,
):
    """Write what is asked for, each (customer, draw); what is not has a length of 0.

    ``row`` (customer) indexes the states (row, draw) and ``silence`` (row), the time since the last purchase;
    ``purse_row`` those of spend, ``occasion`` perhaps of one row. ``phases`` and ``z`` are read by the law of k phases
    alone, and ``alive`` not by the continuous one. An individual state is drawn already: first wait, wait shape, wait
    rate and lifetime in place of ``alive``, ``shape``, ``scale`` and ``a``.
    """
    want_alive = out_alive.shape[0] > 0
    want_rate, want_leaving = out_rate.shape[0] > 0, out_leaving.shape[0] > 0
    want_level = out_level.shape[0] > 0
    want_spend, want_value = out_spend.shape[0] > 0, out_value.shape[0] > 0
    want_time = out_time.shape[0] > 0
    paid = want_spend or want_value
    future = paid or want_time or out_purchases.shape[0] > 0
    draws = shape.shape[1]
    # Of one history, and of one customer in each draw.
    chance, buying, power, mass = np.zeros(draws), np.zeros(draws), np.zeros(draws), np.zeros(draws)
    here, buys = np.zeros(draws, dtype=np.bool_), np.zeros(draws, dtype=np.bool_)
    first, left, wait, speed = np.zeros(draws), np.zeros(draws), np.zeros(draws), np.zeros(draws)
    level, gammas = np.zeros(draws), np.zeros((4, draws))
    start, stream = np.zeros(draws, dtype=np.uint64), np.zeros(draws, dtype=np.uint64)
    purse, states = np.zeros(draws, dtype=np.uint64), np.zeros(draws, dtype=np.uint64)
    # One place more than draws: the last is written and not kept.
    which = np.zeros(draws + 1, dtype=np.int64)
    prepared = -1
    for i in range(row.size):
        c, w = row[i], purse_row[i]
        if c != prepared and law != INDIVIDUAL:
            _chances(
                law,
                alive[c],
                shape[c],
                scale[c],
                a[c],
                b[c],
                silence[c],
                horizon,
                future,
                chance,
                buying,
                power,
                mass,
            )
            prepared = c
        o = w if occasion.shape[0] > 1 else 0
        increment = keys[i, 1]
        for s in range(draws):
            start[s] = mix(keys[i, 0] + np.uint64(s) * GOLDEN)
            stream[s] = start[s]
        if want_level:
            _levels(lognormal, spend_first[w], spend_second[w], start, increment, gammas, purse, level)
            for s in range(draws):
                mean = math.exp(0.5 * occasion[o, s] ** 2) if lognormal else occasion[o, s]
                out_level[i, s] = level[s] * mean
        if law == INDIVIDUAL:
            for s in range(draws):
                here[s] = a[c, s] > 0.0
                speed[s] = scale[c, s]
                wait[s] = alive[c, s]
        else:
            _decide(
                law,
                start,
                increment,
                shape[c],
                scale[c],
                a[c],
                b[c],
                silence[c],
                chance,
                buying,
                power,
                mass,
                here,
                buys,
                first,
                left,
            )
            needed = 0
            for s in range(draws):
                which[needed] = s
                needed += want_rate or (future and (here[s] if law == AFTER_KTH_PHASE else buys[s]))
            if law == AFTER_KTH_PHASE:
                _phased_rates(
                    which[:needed],
                    here,
                    first,
                    phases[c],
                    z[c],
                    shape[c],
                    scale[c],
                    silence[c],
                    start,
                    increment,
                    future,
                    stream,
                    wait,
                    speed,
                )
            else:
                _rates(
                    which[:needed],
                    here,
                    first,
                    left,
                    shape[c],
                    scale[c],
                    silence[c],
                    start,
                    increment,
                    gammas,
                    states,
                    wait,
                    speed,
                )
        if want_alive:
            for s in range(draws):
                out_alive[i, s] = 1.0 if here[s] else 0.0
        if want_rate:
            for s in range(draws):
                out_rate[i, s] = speed[s]
                if law == AFTER_KTH_PHASE:
                    out_rate[i, s] /= phases[c, s]
                elif law == INDIVIDUAL:
                    out_rate[i, s] /= shape[c, s]
        if not (future or want_leaving):
            continue
        for s in range(draws):
            position = wait[s]
            begins = buys[s] and future
            wait_shape = 1.0
            if law == INDIVIDUAL:
                wait_shape = shape[c, s]
                begins = future and position <= min(horizon, a[c, s])
            elif law == AFTER_KTH_PHASE:
                wait_shape = phases[c, s]
                begins = future and here[s] and position <= horizon
            leaving = 0.0
            tosses = share = start[s]
            # Who leaves at any time may do so without a purchase.
            ends = begins or (want_time and here[s])
            if want_leaving or ends:
                tosses = mix(start[s] ^ DROPOUT)
                share = mix(tosses ^ SHARE)
            if law == CONTINUOUS and (want_leaving or ends):
                one_more, since = (0.0, 0.0) if here[s] else (1.0, left[s] - silence[c])
                leaving, _ = standard_gamma(a[c, s] + one_more, tosses, increment)
                leaving /= b[c, s] + since
            elif want_leaving and law != INDIVIDUAL:
                leaving = _dropout(here[s], a[c, s], b[c, s], tosses, increment)
            if want_leaving:
                out_leaving[i, s] = leaving
            last = horizon
            if law == INDIVIDUAL:
                last = min(horizon, a[c, s])
            elif law == CONTINUOUS and ends:
                last = min(horizon, -math.log(unit(mix(start[s] ^ LIFETIME))) / leaving)
            active = last if here[s] else 0.0
            n = 0
            spend = 0.0
            value = 0.0
            each = level[s]
            coins = purse[s]
            if begins and paid and not want_level:
                each, coins = spend_level(
                    lognormal, spend_first[w, s], spend_second[w, s], mix(start[s] ^ MONEY), increment
                )
            state = stream[s]
            while begins and position <= last:
                if paid:
                    amount, coins = occasion_paid(lognormal, occasion[o, s], each, coins, increment)
                    spend += amount
                    if discount != 0.0:
                        amount *= math.exp(-discount * position)
                    value += amount
                n += 1
                if law in (AFTER_PURCHASE, AFTER_KTH_PHASE):
                    tosses += increment
                    u = unit(mix(tosses))
                    if n <= TOSSES:
                        if u * (a[c, s] + b[c, s] + (n - 1)) < a[c, s]:
                            active = position
                            break
                    else:
                        if n == TOSSES + 1:
                            leaving = _beta(a[c, s], b[c, s] + TOSSES, share, increment)
                        if u < leaving:
                            active = position
                            break
                if wait_shape == 1.0:
                    state += increment
                    position -= math.log(unit(mix(state))) / speed[s]
                else:
                    waited, state = standard_gamma(wait_shape, state, increment)
                    position += waited / speed[s]
            if out_purchases.shape[0] > 0:
                out_purchases[i, s] = n
            if want_spend:
                out_spend[i, s] = spend
            if want_value:
                out_value[i, s] = margin * value
            if want_time:
                out_time[i, s] = active
