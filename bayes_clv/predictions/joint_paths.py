"""The compiled part of joint draws: a customer's own rates in each posterior draw, and one future given them.

Everything is drawn in one pass over (customer, draw), and only as far as it is asked for or needed: the rate of one
who has left only where the rate is asked for, the dropout only of one whose first purchase lies within the horizon.
Alive, rate, dropout, lifetime, waits and money come from streams of their own, begun at the customer's and draw's word
(``streams``), so that what is asked for changes no number: one rule's quantities are those of another.

``state`` is what ``distributions.lifetimes`` says of those alive. Of one who has left, the same law says:

after_purchase, after_kth_phase
    It left at its last purchase: the silence told nothing of its rate, Gamma(k, rate scale - silence), and of its
    tosses the last was the leaving: Beta(a + 1, B - 1).
continuous
    It left d after the last purchase, d in (0, silence) with a density proportional to
    (1 + d / s0)^-k (1 + d / b0)^-(a + 1), where s0 = scale - silence and b0 = b - silence; then the rate is
    Gamma(k, rate s0 + d) and the dropout rate Gamma(a + 1, rate b0 + d).

**The first wait comes before the rate.** With the rate integrated out, the wait w of one who is alive is Lomax,
P(w > t) = (s / (s + t))^k, s the rate's scale; given w the rate is Gamma(k + 1, rate s + w). So the uniform number that
decides who is alive says by one comparison whether there is a purchase within the horizon, as in ``engine``, and where
there is none and no rate is asked for, none is drawn. The pair does not depend on the horizon. With phases the rate
comes first.

**So do the first tosses before the dropout.** Whether a customer leaves after each of its next TOSSES purchases is a
Pólya urn of a and B, and given those tosses the dropout is a Beta again. Few futures have more purchases, and the two
Gammas of the Beta are spared. The tosses have a stream of their own, and are made where the dropout is asked for too.

Rejected: drawing the whole path with the rate integrated out and the rate given the path, which then depends on the
horizon.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.erlang_phases import phase_sum
from bayes_clv.predictions.kernels import occasion_paid, spend_level
from bayes_clv.predictions.streams import GOLDEN, LIFETIME, MONEY, mix, standard_gamma, unit

RATE = np.uint64(0xA24BAED4963EE407)
DROPOUT = np.uint64(0x9FB21C651E98DF25)
LEFT = np.uint64(0xE7037ED1A0B428DB)

SHARE = np.uint64(0x8EBC6AF09C88C6E3)
# Tosses after purchases that are made before the dropout itself is drawn.
TOSSES = 8
BELOW_ONE = 1.0 - 2.0**-53

# How the kernel is told the law (``distributions.lifetimes``).
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
def _mass(power, growth):  # type: ignore[no-untyped-def]
    """Return the integral of (1 + v)^-power over v from 0 to e^growth - 1."""
    z = (power - 1.0) * growth
    return growth if z == 0.0 else -growth * math.expm1(-z) / z


@njit(nogil=True, cache=True, error_model="numpy")
def _left_after(k, w, a, b, silence, state, increment):  # type: ignore[no-untyped-def]
    """Return d in (0, silence) with density proportional to (1 + d/a)^-k (1 + d/b)^-w.

    Rejection: the factor that falls more within the silence is inverted, the other accepts.
    """
    if not a * _mass(k, math.log1p(silence / a)) < b * _mass(w, math.log1p(silence / b)):
        k, w, a, b = w, k, b, a
    whole = _mass(k, math.log1p(silence / a))
    while True:
        state += increment
        share = unit(mix(state)) * whole
        z = (k - 1.0) * share
        growth = share if z == 0.0 else -share * math.log1p(-z) / z
        d = min(a * math.expm1(growth), silence)
        state += increment
        if unit(mix(state)) < math.exp(-w * math.log1p(d / b)):
            return d


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
def draw_joint(  # type: ignore[no-untyped-def]
    row,
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

    ``row`` (customer) indexes the states (row, draw) and ``silence`` (row), the time since the last purchase; those of
    spend (customer, draw), ``occasion`` perhaps of one row. ``phases`` and ``z`` are read by the law of k phases
    alone. An individual state is drawn already: first wait, wait shape, wait rate and lifetime in place of ``alive``,
    ``shape``, ``scale`` and ``a``.
    """
    want_rate, want_leaving = out_rate.shape[0] > 0, out_leaving.shape[0] > 0
    want_level = out_level.shape[0] > 0
    want_spend, want_value = out_spend.shape[0] > 0, out_value.shape[0] > 0
    want_time = out_time.shape[0] > 0
    paid = want_spend or want_value
    future = paid or want_time or out_purchases.shape[0] > 0
    # P(u below) = P(alive and a first purchase within the horizon); of k phases, P(alive).
    threshold = np.zeros(shape.shape[1])
    prepared = -1
    for i in range(row.size):
        c = row[i]
        if future and c != prepared and law != INDIVIDUAL:
            for s in range(shape.shape[1]):
                if law == AFTER_KTH_PHASE:
                    threshold[s] = alive[c, s]
                else:
                    growth = math.log1p(horizon / scale[c, s])
                    threshold[s] = -alive[c, s] * math.expm1(-shape[c, s] * growth)
            prepared = c
        o = i if occasion.shape[0] > 1 else 0
        increment = keys[i, 1]
        for s in range(shape.shape[1]):
            start = mix(keys[i, 0] + np.uint64(s) * GOLDEN)
            purse = start
            level = 0.0
            if want_level:
                purse = mix(start ^ MONEY)
                level, purse = spend_level(lognormal, spend_first[i, s], spend_second[i, s], purse, increment)
                mean = math.exp(0.5 * occasion[o, s] ** 2) if lognormal else occasion[o, s]
                out_level[i, s] = level * mean
            state = start
            wait_shape = 1.0
            left = 0.0
            speed = 0.0
            position = math.inf
            if law == INDIVIDUAL:
                here = a[c, s] > 0.0
                wait_shape = shape[c, s]
                speed = scale[c, s]
                position = alive[c, s]
                buys = future and position <= min(horizon, a[c, s])
            else:
                u = unit(start)
                here = u < alive[c, s]
                buys = u < threshold[s]
                if law == AFTER_KTH_PHASE:
                    wait_shape = phases[c, s]
                if not here:
                    if law == CONTINUOUS and (want_rate or want_leaving):
                        left = _left_after(
                            shape[c, s],
                            a[c, s] + 1.0,
                            scale[c, s] - silence[c],
                            b[c, s] - silence[c],
                            silence[c],
                            mix(start ^ LEFT),
                            increment,
                        )
                    if want_rate:
                        speed, _ = standard_gamma(shape[c, s], mix(start ^ RATE), increment)
                        speed /= scale[c, s] - silence[c] + left
                elif want_rate or buys:
                    v = min(u / alive[c, s], BELOW_ONE)
                    if law == AFTER_KTH_PHASE:
                        passed = _passed(v, int(wait_shape), shape[c, s], z[c, s])
                        speed, _ = standard_gamma(shape[c, s] + passed, mix(start ^ RATE), increment)
                        speed /= scale[c, s]
                        if future:
                            wait, state = standard_gamma(wait_shape - passed, state, increment)
                            position = wait / speed
                            buys = position <= horizon
                    else:
                        growth = -math.log(1.0 - v) / shape[c, s]
                        # The faster function where it loses no more than two digits.
                        position = math.expm1(growth) if growth < 0.01 else math.exp(growth) - 1.0
                        position *= scale[c, s]
                        speed, _ = standard_gamma(shape[c, s] + 1.0, mix(start ^ RATE), increment)
                        speed /= scale[c, s] + position
            leaving = 0.0
            tosses = share = start
            # Who leaves at any time may do so without a purchase.
            ends = buys or (want_time and here)
            if want_leaving or ends:
                tosses = mix(start ^ DROPOUT)
                share = mix(tosses ^ SHARE)
            if law == CONTINUOUS and (want_leaving or ends):
                one_more, since = (0.0, 0.0) if here else (1.0, left - silence[c])
                leaving, _ = standard_gamma(a[c, s] + one_more, tosses, increment)
                leaving /= b[c, s] + since
            elif want_leaving and law != INDIVIDUAL:
                leaving = _dropout(here, a[c, s], b[c, s], tosses, increment)
            if out_alive.shape[0] > 0:
                out_alive[i, s] = 1.0 if here else 0.0
            if want_rate:
                out_rate[i, s] = speed / wait_shape
            if want_leaving:
                out_leaving[i, s] = leaving
            last = horizon
            if law == INDIVIDUAL:
                last = min(horizon, a[c, s])
            elif law == CONTINUOUS and ends:
                last = min(horizon, -math.log(unit(mix(start ^ LIFETIME))) / leaving)
            active = last if here else 0.0
            n = 0
            spend = 0.0
            value = 0.0
            tossed = law in (AFTER_PURCHASE, AFTER_KTH_PHASE)
            if buys and paid and not want_level:
                purse = mix(start ^ MONEY)
                level, purse = spend_level(lognormal, spend_first[i, s], spend_second[i, s], purse, increment)
            while buys and position <= last:
                if paid:
                    amount, purse = occasion_paid(lognormal, occasion[o, s], level, purse, increment)
                    spend += amount
                    if discount != 0.0:
                        amount *= math.exp(-discount * position)
                    value += amount
                n += 1
                if tossed:
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
                    position -= math.log(unit(mix(state))) / speed
                else:
                    wait, state = standard_gamma(wait_shape, state, increment)
                    position += wait / speed
            if out_purchases.shape[0] > 0:
                out_purchases[i, s] = n
            if want_spend:
                out_spend[i, s] = spend
            if want_value:
                out_value[i, s] = margin * value
            if want_time:
                out_time[i, s] = active
