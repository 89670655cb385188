"""Forecasts of customers who fall asleep and come back (``returning``), from the weights of their rates and heads.

Given the rate lambda, the coin p and whether a customer is awake or asleep, its future is a Markov chain: awake it buys
at rate lambda and leaves that state at rate lambda p, to sleep (1 - w) or for good (w); asleep it wakes at rate nu.

- Expected purchases, discounted or not: with the chain's rates theta = (s -+ sqrt(s² - 4 lambda p nu w)) / 2,
  s = lambda p + nu, I(theta) the integral of e^(-(theta + delta) v) over v to t, and Q = (I(theta-) - I(theta+)) /
  (theta+ - theta-): lambda (I(theta-) - (lambda p - theta-) Q) from awake, lambda nu Q from asleep. The average over p
  is a trapezoidal rule in logit p, straightened at both ends as the rate's is. Relative error 1e-9; of ``summary``
  some 1e-5.
- Survival, that is not having left for good: of each purchase p w leave, so that it falls by the expected p w of each.
- At least n purchases: n waits and as many sleeps as the first n - 1 tosses show heads, j of them with the
  Beta-binomial probability, all of which end; P(Gamma(n, lambda) + Gamma(j, nu) <= t) by uniformisation, whose terms
  are positive: no quadrature over p at all. Absolute error 1e-10; of the probabilities of counts, 2e-6.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp, expm1
from bayes_clv.distributions.poisson.returning import COARSE, FINE, heads, heads_by, straight
from bayes_clv.distributions.poisson.returning_draws import history_in, room_for

STEP = 0.35
STEP_PER_SD = 0.7
DEPTH = 25.0

# Below this (theta+ - theta-) t a difference quotient is a derivative.
NEAR = 1e-4
# Weights of rates that nothing is computed of: by a fine rule, and by a coarse one.
NO_WEIGHT = 1e-15
LITTLE_WEIGHT = 1e-8
# Of a table over the log rate: its step, how many points are gone through, the purchases expected at the first, and
# histories from which on it is quicker. A value per rate is bent by 1 within a unit at most: an error of 1e-6.
TABLE_STEP, NEIGHBOURS, LEAST_PURCHASES, TABLE_ROWS = 0.25, 6, 1e-6, 8
# One over the product of the distances of each of the neighbours from the others.
LAGRANGE = np.array(
    [1 / math.prod(i - j for j in range(NEIGHBOURS) if j != i) for i in range(NEIGHBOURS)], dtype=float
)
# Of counts: the rule of the rate, the weight, and the Poisson's standard deviations beyond which there is nothing.
TO_TEN, TO_SIX = (FINE, NO_WEIGHT, 9.0), (COARSE, 1e-9, 6.0)

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def _coins(least, count, tosses, a, b):  # type: ignore[no-untyped-def]
    """Return points p and, (heads, point), a rule's weights of Beta(a + k, b + tosses - k), k from ``least`` on."""
    both = a + b + tosses
    low_a, low_b = a + least, b + max(tosses - least - count + 1.0, 0.0)
    high_a, high_b = both - low_b, both - low_a
    # The narrowest of the densities.
    middle = min(max(0.5 * both, low_a), high_a)
    step = min(STEP, STEP_PER_SD * math.sqrt(1.0 / middle + 1.0 / (both - middle)))
    ends = np.empty(2)
    centers = np.empty(2)
    for side in range(2):
        k, rest = (low_a, high_b) if side == 0 else (low_b, high_a)
        mean = math.log(k / rest)
        centers[side] = math.log(max(k, 0.3) / rest) - 2.0
        spread = DEPTH / k if k < 1.0 else math.sqrt(2.0 * DEPTH * (1.0 / k + 1.0 / rest)) + DEPTH / k
        ends[side] = straight(mean - spread, centers[side], step)
    size = np.int64(math.ceil(max(-ends[1] - ends[0], step) / step)) + 1
    p, weight = np.empty(size), np.empty((count, size))
    log_p, log_q, jacobian = np.empty(size), np.empty(size), np.empty(size)
    for g in range(size):
        v = ends[0] + g * step
        left, right = math.exp(centers[0] - v), math.exp(v + centers[1])
        u = v - left + right
        small = math.exp(-abs(u))
        log_small = math.log1p(small)
        log_p[g] = -log_small if u >= 0.0 else u - log_small
        log_q[g] = -u - log_small if u >= 0.0 else -log_small
        p[g] = math.exp(log_p[g])
        jacobian[g] = math.log((1.0 + left + right) * step)
    for m in range(count):
        k, rest = a + least + m, max(b + tosses - least - m, 1e-300)
        scale = math.lgamma(k + rest) - math.lgamma(k) - math.lgamma(rest)
        for g in range(size):
            weight[m, g] = exp(scale + k * log_p[g] + rest * log_q[g] + jacobian[g])
    return p, weight


@_compiled
def _time(y, t):  # type: ignore[no-untyped-def]
    """Return the integral of e^(-y v) over v from 0 to t."""
    return -math.expm1(-y * t) / y if y != 0.0 else t


@_compiled
def _purchases(rate, p, t, delta, nu, w):  # type: ignore[no-untyped-def]
    """Return the expected purchases within t, discounted, of one awake and of one asleep."""
    leaving = rate * p
    gap = math.sqrt((leaving - nu) ** 2 + 4.0 * leaving * nu * (1.0 - w))
    high = 0.5 * (leaving + nu + gap)
    low = leaving * nu * w / high
    slow = _time(low + delta, t)
    if t == math.inf:
        quotient = 1.0 / ((low + delta) * (high + delta))
    elif gap * t < NEAR:
        y = (0.5 * (low + high) + delta) * t
        if abs(y) < 0.05:
            bent = 0.5 - y * (1 / 3 - y * (1 / 8 - y * (1 / 30 - y * (1 / 144 - y / 840))))
        else:
            bent = (1.0 - math.exp(-y) * (1.0 + y)) / (y * y)
        quotient = t * t * bent
    else:
        quotient = (slow - _time(high + delta, t)) / gap
    return rate * (slow - (leaving - low) * quotient), rate * nu * quotient


@_compiled
def _at_coins(rate, p, t, delta, nu, w, up, down, room):  # type: ignore[no-untyped-def]
    """Write ``_purchases`` at points p, of one awake and of one asleep; ``room`` (4, point).

    Of a horizon the loops have no jumps, so that the compiler turns them into vectors.
    """
    slow, fast, low, gap = room[0], room[1], room[2], room[3]
    narrowest = 0.0
    if t < math.inf:
        narrowest = math.inf
        for g in range(p.size):
            leaving = rate * p[g]
            gap[g] = math.sqrt((leaving - nu) ** 2 + 4.0 * leaving * nu * (1.0 - w))
            high = 0.5 * (leaving + nu + gap[g])
            low[g] = leaving * nu * w / high
            slow[g] = low[g] + delta
            fast[g] = high + delta
        for g in range(p.size):
            y = slow[g]
            change = -expm1(-y * t) / (y if y != 0.0 else 1.0)
            slow[g] = change if y != 0.0 else t
        for g in range(p.size):
            y = fast[g]
            change = -expm1(-y * t) / (y if y != 0.0 else 1.0)
            fast[g] = change if y != 0.0 else t
        for g in range(p.size):
            narrowest = min(narrowest, gap[g])
    if narrowest * t >= NEAR:
        for g in range(p.size):
            fast[g] = (slow[g] - fast[g]) / gap[g]
        for g in range(p.size):
            up[g] = rate * (slow[g] - (rate * p[g] - low[g]) * fast[g])
        for g in range(p.size):
            down[g] = rate * nu * fast[g]
        return
    for g in range(p.size):
        if t < math.inf and gap[g] * t >= NEAR:
            quotient = (slow[g] - fast[g]) / gap[g]
            up[g], down[g] = rate * (slow[g] - (rate * p[g] - low[g]) * quotient), rate * nu * quotient
        else:
            up[g], down[g] = _purchases(rate, p[g], t, delta, nu, w)


@_compiled
def _averaged(rate, p, t, delta, nu, w, awake, asleep, room):  # type: ignore[no-untyped-def]
    """Return the sum over points p of ``_purchases``, with what is awake and asleep at each, and of those p w.

    ``room`` (6, point).
    """
    up, down = room[4], room[5]
    _at_coins(rate, p, t, delta, nu, w, up, down, room)
    total = last = 0.0
    for g in range(p.size):
        value = awake[g] * up[g] + asleep[g] * down[g]
        total += value
        last += p[g] * value
    return total, w * last


@_compiled
def _states(seen, a, b, out):  # type: ignore[no-untyped-def]
    """Write P(awake), P(asleep), P(gone), mean rate and coin of one history in one draw."""
    awake = asleep = gone = rate = coin = 0.0
    for m in range(seen.weight.shape[1]):
        of_heads = 0.0
        for l in range(seen.rates.size):  # noqa: E741
            together = seen.weight[0, m, l] + seen.weight[1, m, l] + seen.weight[2, m, l]
            awake += seen.weight[0, m, l]
            asleep += seen.weight[1, m, l]
            gone += seen.weight[2, m, l]
            rate += together * seen.rates[l]
            of_heads += together
        coin += of_heads * (a + seen.least + m)
    out[0], out[1], out[2] = min(awake, 1.0), min(asleep, 1.0), min(gone, 1.0)
    out[3] = rate
    out[4] = coin / (a + b + seen.tosses)


@_compiled
def _expected(least_weight, t, delta, counted, seen, a, b, nu, w, out):  # type: ignore[no-untyped-def]
    """Add expected purchases within each t, and those that end a customer for good, to ``out`` (2, time).

    ``counted`` is that of ``expected``.
    """
    count = seen.weight.shape[1]
    p, weights = _coins(seen.least, count, seen.tosses, a, b)
    awake, asleep, room = np.empty(p.size), np.empty(p.size), np.empty((6, p.size))
    for l in range(seen.rates.size):  # noqa: E741
        there = 0.0
        awake[:] = 0.0
        asleep[:] = 0.0
        for m in range(count):
            first_weight, second_weight = seen.weight[0, m, l], seen.weight[1, m, l]
            there += first_weight + second_weight
            as_awake = counted[0, 0] * first_weight + counted[1, 0] * second_weight
            as_asleep = counted[0, 1] * first_weight + counted[1, 1] * second_weight
            for g in range(p.size):
                awake[g] += as_awake * weights[m, g]
                asleep[g] += as_asleep * weights[m, g]
        if there < least_weight:
            continue
        for j in range(t.size):
            all_of_them, last = _averaged(seen.rates[l], p, t[j], delta, nu, w, awake, asleep, room)
            out[0, j] += all_of_them
            out[1, j] += last


@_compiled
def states(T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (row, draw) each: P(awake), P(asleep), P(gone), mean rate and coin; the parameters are (row, draw).

    T is (row, 1) and ``times`` (purchase, 1), or their second axis is the draws too; so it is in what follows.
    """
    rows, draws = r.shape
    found, room = np.empty((5, rows, draws)), room_for(size)
    for i in range(rows):
        for s in range(draws):
            own, age = history_in(T, start, size, times, i, s, room)
            seen = heads(own, age, first, r[i, s], alpha[i, s], a[i, s], b[i, s], nu[i, s], w[i, s])
            _states(seen, a[i, s], b[i, s], found[:, i, s])
    return found


@_compiled
def expected(t, delta, counted, T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (2, time, row, draw): expected purchases within each t, and those that end a customer for good.

    ``counted`` (2, 2): as whom those awake (its first row) and asleep are counted, awake or asleep.
    """
    rows, draws = r.shape
    found, room = np.zeros((2, t.size, rows, draws)), room_for(size)
    for i in range(rows):
        for s in range(draws):
            own, age = history_in(T, start, size, times, i, s, room)
            a_s, b_s, nu_s, w_s = a[i, s], b[i, s], nu[i, s], w[i, s]
            seen = heads(own, age, first, r[i, s], alpha[i, s], a_s, b_s, nu_s, w_s)
            _expected(NO_WEIGHT, t, delta, counted, seen, a_s, b_s, nu_s, w_s, found[:, :, i, s])
    return found


@_compiled
def _tabulated(t, tosses, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return a table (state, heads, point) of expected purchases within t over the rate, and the first log rate.

    Points are TABLE_STEP apart; the rates below the first buy next to nothing, and beyond the last is no history's.
    """
    k = r + tosses
    low = math.log(LEAST_PURCHASES / t)
    top = math.log((k + COARSE[2] + math.sqrt(2.0 * COARSE[2] * k)) / alpha)
    points = np.int64(max(math.ceil((top - low) / TABLE_STEP), 0.0)) + NEIGHBOURS
    p, weights = _coins(0, tosses + 1, tosses, a, b)
    up, down, room, each = (
        np.empty(p.size),
        np.empty(p.size),
        np.empty((4, p.size)),
        np.empty((2, p.size, points)),
    )
    for j in range(points):
        rate = math.exp(low + TABLE_STEP * j)
        _at_coins(rate, p, t, 0.0, nu, w, up, down, room)
        for g in range(p.size):
            each[0, g, j], each[1, g, j] = up[g] / rate, down[g] / rate
    table = np.zeros((2, tosses + 1, points))
    for state in range(2):
        for m in range(tosses + 1):
            for g in range(p.size):
                weight, now, of_coin = weights[m, g], table[state, m], each[state, g]
                for j in range(points):
                    now[j] += weight * of_coin[j]
    return table, low


@_compiled
def _looked_up(table, low, seen, at):  # type: ignore[no-untyped-def]
    """Return expected purchases of one history by a table, through NEIGHBOURS of its points; ``at`` to work in."""
    total, last = 0.0, table.shape[2] - NEIGHBOURS
    for l in range(seen.rates.size):  # noqa: E741
        place = max((seen.u[l] - low) / TABLE_STEP, 0.0)
        first = min(max(np.int64(place) - NEIGHBOURS // 2 + 1, 0), last)
        place -= first
        for i in range(NEIGHBOURS):
            at[i] = LAGRANGE[i]
            for j in range(NEIGHBOURS):
                at[i] *= place - j if j != i else 1.0
        value = 0.0
        for m in range(seen.weight.shape[1]):
            awake, asleep, k = seen.weight[0, m, l], seen.weight[1, m, l], seen.least + m
            if awake + asleep > 0.0:
                for i in range(NEIGHBOURS):
                    value += at[i] * (awake * table[0, k, first + i] + asleep * table[1, k, first + i])
        total += seen.rates[l] * value
    return total


@_compiled
def _alike(begin, end, s, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return whether rows have the same parameters in a draw."""
    for i in range(begin + 1, end):
        if r[i, s] != r[begin, s] or alpha[i, s] != alpha[begin, s] or a[i, s] != a[begin, s]:
            return False
        if b[i, s] != b[begin, s] or nu[i, s] != nu[begin, s] or w[i, s] != w[begin, s]:
            return False
    return True


@_compiled
def summary(t, T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (6, row, draw): P(awake), P(asleep), P(gone), mean rate and coin, expected purchases within t.

    By the coarse rule of the rate, to six digits. Given rate and heads, expected purchases are the same of all
    histories with as many purchases: of TABLE_ROWS such neighbours with the same parameters they are tabulated.
    """
    rows, draws = r.shape
    found, each, time, as_they_are = np.empty((6, rows, draws)), np.empty((2, 1)), np.array([t]), np.eye(2)
    room, wide, at, begin = room_for(size), T.shape[1] > 1, np.empty(NEIGHBOURS), 0
    while begin < rows:
        end = begin + 1
        while end < rows and size[end] == size[begin]:
            end += 1
        tosses = np.int64(size[begin]) + first
        for s in range(draws):
            r_s, alpha_s, a_s, b_s, nu_s, w_s = (
                r[begin, s], alpha[begin, s], a[begin, s], b[begin, s], nu[begin, s], w[begin, s],
            )  # fmt: skip
            shared = end - begin >= TABLE_ROWS and t > 0.0 and _alike(begin, end, s, r, alpha, a, b, nu, w)
            table, low = np.empty((0, 0, 0)), 0.0
            if shared:
                table, low = _tabulated(t, tosses, r_s, alpha_s, a_s, b_s, nu_s, w_s)
            for i in range(begin, end):
                own, age = history_in(T, start, size, times, i, s if wide else 0, room)
                a_s, b_s, nu_s, w_s = a[i, s], b[i, s], nu[i, s], w[i, s]
                seen = heads_by(COARSE, own, age, first, r[i, s], alpha[i, s], a_s, b_s, nu_s, w_s)
                _states(seen, a_s, b_s, found[:5, i, s])
                if shared:
                    found[5, i, s] = _looked_up(table, low, seen, at)
                    continue
                each[:] = 0.0
                _expected(LITTLE_WEIGHT, time, 0.0, as_they_are, seen, a_s, b_s, nu_s, w_s, each)
                found[5, i, s] = each[0, 0]
        begin = end
    return found


@_compiled
def for_good(T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (row, draw): all expected purchases to come, P(alive) E[1 / (p w)]; infinite where that has no mean."""
    rows, draws = r.shape
    found, room = np.zeros((rows, draws)), room_for(size)
    for i in range(rows):
        for s in range(draws):
            own, age = history_in(T, start, size, times, i, s, room)
            seen = heads(own, age, first, r[i, s], alpha[i, s], a[i, s], b[i, s], nu[i, s], w[i, s])
            for m in range(seen.weight.shape[1]):
                weight, k = seen.weight[:2, m].sum(), a[i, s] + seen.least + m
                if weight > 0.0:
                    mean = (a[i, s] + b[i, s] + seen.tosses - 1.0) / (k - 1.0) if k > 1.0 else math.inf
                    found[i, s] += weight * mean / w[i, s] if w[i, s] > 0.0 else math.inf
    return found


@_compiled
def silences(rate, t, nu):  # type: ignore[no-untyped-def]
    """Return the probability of no purchase within t of one awake; and asleep, of sleeping on, and of having woken."""
    low, high = min(rate, nu), max(rate, nu)
    # D(t) is the same for both orders of the rates.
    return math.exp(-rate * t), math.exp(-nu * t), nu * math.exp(-low * t) * _time(high - low, t)


@_compiled
def _poisson_tails(mean, count, out):  # type: ignore[no-untyped-def]
    """Write P(N >= m), N Poisson, m = 0 ... count - 1; beyond it is nothing."""
    peak = min(np.int64(mean), count - 1)
    out[peak] = math.exp(peak * math.log(mean) - mean - math.lgamma(peak + 1.0)) if mean > 0.0 else 1.0
    for m in range(peak, count - 1):
        out[m + 1] = out[m] * mean / (m + 1.0)
    for m in range(peak, 0, -1):
        out[m - 1] = out[m] * m / mean
    for m in range(count - 1, 0, -1):
        out[m - 1] += out[m]
    out[0] = 1.0


@_compiled
def _reached(most, rate, t, nu, beyond, table):  # type: ignore[no-untyped-def]
    """Write P(Gamma(n, rate) + Gamma(j, nu) <= t), (n, j) = 0 ... most by 0 ... most.

    Both in steps of the faster rate: a stage of the slower one ends with each step with the chance rho. V_j(m), still m
    steps and j stages to go, is rho V_(j - 1)(m + 1) + (1 - rho) V_j(m + 1). Beyond so many standard deviations, and
    five times as many steps, there are none.
    """
    fast, slow = max(rate, nu), min(rate, nu)
    mean = fast * t
    count = max(np.int64(mean + beyond * (math.sqrt(mean) + 5.0)), most) + 2
    tails, before = np.empty(count), np.empty(count)
    _poisson_tails(mean, count, tails)
    rho = slow / fast
    for stages in range(most + 1):
        if stages > 0:
            before[:] = tails
            tails[count - 1] = 0.0
            for m in range(count - 2, -1, -1):
                tails[m] = rho * before[m + 1] + (1.0 - rho) * tails[m + 1]
        for steps in range(most + 1):
            if nu <= rate:
                table[steps, stages] = tails[steps]
            else:
                table[stages, steps] = tails[steps]


@_compiled
def _at_least(rule, most, t, T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (n, row, draw): the probability of n purchases or more within t, n = 0 ... most; and of none."""
    rows, draws = r.shape
    found, none = np.zeros((most + 1, rows, draws)), np.zeros((rows, draws))
    table, to_come, room = np.empty((most + 2, most + 2)), np.empty((2, most + 1)), room_for(size)
    by_rule, least_weight, beyond = rule
    for i in range(rows):
        for s in range(draws):
            own, age = history_in(T, start, size, times, i, s, room)
            a_s, b_s = a[i, s], b[i, s]
            seen = heads_by(by_rule, own, age, first, r[i, s], alpha[i, s], a_s, b_s, nu[i, s], w[i, s])
            count, both = seen.weight.shape[1], a_s + b_s + seen.tosses
            # Beta-binomial, times that every sleep ends: (n - 1 tosses, heads so far, heads of them).
            urn = np.zeros((most + 1, count, most + 1))
            for m in range(count):
                a_m = a_s + seen.least + m
                b_m = max(both - a_m, 0.0)
                urn[0, m, 0] = 1.0
                for n in range(1, most):
                    by = 1.0 / (both + n - 1.0)
                    for j in range(n + 1):
                        urn[n, m, j] = urn[n - 1, m, j] * (b_m + max(n - 1.0 - j, 0.0)) * by
                        if j > 0:
                            urn[n, m, j] += urn[n - 1, m, j - 1] * (a_m + j - 1.0) * by * (1.0 - w[i, s])
            found[0, i, s] = 1.0
            for l in range(seen.rates.size):  # noqa: E741
                awake, asleep = seen.weight[0, :, l].sum(), seen.weight[1, :, l].sum()
                still, sleeping, woken = silences(seen.rates[l], t, nu[i, s])
                none[i, s] += awake * still + asleep * (sleeping + woken) + seen.weight[2, :, l].sum()
                if most == 0 or awake + asleep < least_weight:
                    continue
                _reached(most, seen.rates[l], t, nu[i, s], beyond, table)
                for n in range(1, most + 1):
                    # Of each number of heads to come, who is awake and asleep: sums that a processor does in a row.
                    stay, sleep = to_come[0, :n], to_come[1, :n]
                    stay[:] = 0.0
                    sleep[:] = 0.0
                    for m in range(count):
                        here, away, own_urn = seen.weight[0, m, l], seen.weight[1, m, l], urn[n - 1, m, :n]
                        if here + away < least_weight * (awake + asleep):
                            continue
                        for j in range(n):
                            stay[j] += here * own_urn[j]
                            sleep[j] += away * own_urn[j]
                    for j in range(n):
                        found[n, i, s] += stay[j] * table[n, j] + sleep[j] * table[n, j + 1]
    return np.minimum(found, 1.0), np.minimum(none, 1.0)


@_compiled
def at_least(most, t, T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (n, row, draw): the probability of n purchases or more within t, n = 0 ... most."""
    found, _ = _at_least(TO_TEN, most, t, T, start, size, first, times, r, alpha, a, b, nu, w)
    return found


@_compiled
def count_pmf(most, t, T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (n, row, draw): the probability of n purchases within t, n = 0 ... most, by the coarse rule of the rate.

    Of nobody's purchases the sum is that of who left for good, too. Absolute error 2e-6, and 1e-7 of their sum.
    """
    reached, none = _at_least(TO_SIX, most + 1, t, T, start, size, first, times, r, alpha, a, b, nu, w)
    found = np.maximum(reached[:-1] - reached[1:], 0.0)
    found[0] = none
    return found
