"""Purchases at random by customers who fall asleep and come back: what the times of purchases say of them.

A customer buys at rate lambda ~ Gamma(r, rate alpha). After a purchase it tosses its coin, p ~ Beta(a, b): tails, it
buys on; heads, it sleeps, with the probability w for ever, else for an Exponential(nu) time, and buys on. So a wait g
for a purchase that follows a toss has the density lambda ((1 - p) A + p B),

    A = e^(-lambda g),   B = (1 - w) nu D(g),   D(g) = (e^(-nu g) - e^(-lambda g)) / (lambda - nu),

and a silence s since the last purchase has been awake with (1 - p) e^(-lambda s) + p (1 - w) nu D(s), asleep with
p (1 - w) e^(-nu s), and gone with p w. nu -> 0 or w = 1 is BG/NBD, or MBG/NBD where the first purchase is followed by
a toss too (``first`` 1).

**The coin is integrated exactly.** Given lambda the density is a polynomial in p, whose terms are the numbers of heads:
the weights m_k of k heads after j tosses are those of a Pólya urn,

    m'_k = m_k (b + j - k) / (a + b + j) A + m_(k-1) (a + k - 1) / (a + b + j) B,

all of them positive, and given k heads of n the coin is Beta(a + k, b + n - k). Few differ from 0 where sleeps are
rare: those without weight at either end are dropped.

**The rate by the trapezoidal rule** in v, log lambda = v - e^(-(v - c)): a straight line where the integrand has its
mass, and to the left, where it falls as lambda^(r + x) and r may be small, doubly exponential. The integrand is
analytic in a strip whose width does not depend on the data, so that the rule converges geometrically; with the steps
of ``FINE`` its relative error is below 1e-10, with those of ``COARSE`` below 1e-6. Of long histories, points that an
upper bound shows to be without weight are left out.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp, expm1, log

# A rule: its step, also in standard deviations; the log of how much smaller than its peak the integrand is at both
# ends; and what is without weight, of numbers of heads, and, a logarithm, of points that an upper bound excludes.
FINE = (0.3, 0.62, 30.0, 1e-17, 40.0)
# For six digits.
COARSE = (0.5, 0.8, 17.0, 1e-10, 23.0)
# Below this (lambda - nu) g the series of D is as good as its quotient.
NEAR = 0.1
# Waits after which weights are scaled and trimmed.
CHUNK = 8
LARGE = 100.0
# Steps of a rule: between finite numbers there are fewer.
MOST = 1e6
_LOG_TWO_PI = math.log(2 * math.pi)

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def straight(u, center, step):  # type: ignore[no-untyped-def]
    """Return v of which v - e^(center - v) is u, within a tenth of a step."""
    v = u if u > center else center - math.log(center - u + 1.0)
    for _ in range(60):
        e = math.exp(center - v)
        change = (v - e - u) / (1.0 + e)
        v -= change
        if abs(change) < 0.1 * step:
            break
    return v


@_compiled
def _points(rule, x, T, r, alpha):  # type: ignore[no-untyped-def]
    """Return log lambda, lambda, and the log of the rule's weights times Gamma(r, alpha)'s density and lambda^x."""
    widest, per_sd, depth, _, _ = rule
    k = r + x
    step = min(widest, per_sd / math.sqrt(k))
    center = math.log(max(k, 0.3) / (alpha + T)) - 2.0
    least = math.log(k / (alpha + T)) - (depth / k if k < 1.0 else math.sqrt(2.0 * depth / k) + depth / k)
    v = straight(least, center, step)
    top = straight(math.log((k + depth + math.sqrt(2.0 * depth * k)) / alpha), center, step)
    steps = max(top - v, step) / step
    # None of numbers that are not finite, which a proposal may be.
    count = np.int64(math.ceil(steps)) + 1 if steps < MOST else 0
    u, rates, weight, room = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
    for i in range(count):
        room[i] = v + i * step
    for i in range(count):
        weight[i] = exp(center - room[i])
    for i in range(count):
        u[i] = room[i] - weight[i]
    for i in range(count):
        rates[i] = exp(u[i])
    for i in range(count):
        weight[i] = log((1.0 + weight[i]) * step)
    shift = math.log(alpha / r)
    # Of the Gamma's density at its peak r / alpha: Stirling's series where its terms would cancel.
    if r > LARGE:
        peak = 0.5 * (math.log(r) - _LOG_TWO_PI) - 1.0 / (12.0 * r) + 1.0 / (360.0 * r * r * r)
    else:
        peak = r * math.log(r) - r - math.lgamma(r)
    for i in range(count):
        d = u[i] + shift
        room[i] = d - expm1(d)
    for i in range(count):
        weight[i] += peak + r * room[i] + x * u[i]
    return u, rates, weight


@_compiled
def _series(z):  # type: ignore[no-untyped-def]
    """Return ((1 - e^-z) / z - 1) / z of a small z."""
    return -0.5 + z * (
        1 / 6
        - z
        * (
            1 / 24
            - z
            * (1 / 120 - z * (1 / 720 - z * (1 / 5040 - z * (1 / 40320 - z * (1 / 362880 - z / 3628800)))))
        )
    )


@_compiled
def waits(g, rates, nu, awake, woken, slope):  # type: ignore[no-untyped-def]
    """Write e^(-lambda g), nu D(g), and where ``slope`` has a length the slope of the latter in nu."""
    asleep = math.exp(-nu * g)
    for i in range(rates.size):
        awake[i] = exp(-rates[i] * g)
    for i in range(rates.size):
        difference = rates[i] - nu
        z = difference * g
        near = abs(z) < NEAR
        series = 1.0 + z * _series(z if near else 0.0)
        ratio = (asleep - awake[i]) / (difference if not near else 1.0)
        woken[i] = g * asleep * series if near else ratio
    if slope.size > 0:
        for i in range(rates.size):
            difference = rates[i] - nu
            z = difference * g
            near = abs(z) < NEAR
            bent = g * g * asleep * _series(z if near else 0.0)
            ratio = (woken[i] - g * asleep) / (difference if not near else 1.0)
            slope[i] = woken[i] + nu * (bent if near else ratio)
    for i in range(rates.size):
        woken[i] *= nu


@_compiled
def _bounded(rule, own, T, first, rates, weight, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return the range of points that may have weight: below, the density is at most A or B a wait."""
    size = rates.size
    awake, woken, none = np.empty(size), np.empty(size), np.empty(0)
    product, bound = np.ones(size), weight.copy()
    last = 0.0
    n = own.size
    for j in range(n):
        waits(own[j] - last, rates, nu, awake, woken, none)
        last = own[j]
        if j + first > 0:
            for i in range(size):
                product[i] *= max(awake[i], (1.0 - w) * woken[i])
        else:
            for i in range(size):
                product[i] *= awake[i]
        if j % CHUNK == CHUNK - 1 or j == n - 1:
            for i in range(size):
                bound[i] += log(max(product[i], 1e-300))
                product[i] = 1.0
    tosses = n + first
    stay = math.lgamma(b + tosses) - math.lgamma(b) - math.lgamma(a + b + tosses) + math.lgamma(a + b)
    floor = -math.inf
    for i in range(size):
        floor = max(floor, weight[i] - rates[i] * T)
    floor += stay - rule[4]
    low, high = 0, size
    while low < high - 1 and bound[low] < floor:
        low += 1
    while high > low + 1 and bound[high - 1] < floor:
        high -= 1
    return low, high


class Heads(NamedTuple):
    """What one customer's history says of it in one draw.

    ``log_likelihood``; the points' ``rates`` and their logarithms ``u``; ``least``, the smallest number of heads that
    has weight, and ``weight`` (state, heads, point), which adds up to 1: awake, asleep, gone; ``tosses`` so far.
    """

    log_likelihood: Any
    u: Any
    rates: Any
    least: Any
    weight: Any
    tosses: Any


@_compiled
def scaled(trim, m, q, low, high, log_scale, room):  # type: ignore[no-untyped-def]
    """Make the weights of each point add up to 1, and return the window of heads without what is below ``trim``."""
    size = room.size
    room[:] = 0.0
    for k in range(low, high + 1):
        for i in range(size):
            room[i] += m[k, i]
    for i in range(size):
        room[i] = max(room[i], 1e-300)
    for i in range(size):
        log_scale[i] += log(room[i])
        room[i] = 1.0 / room[i]
    for k in range(low, high + 1):
        for i in range(size):
            m[k, i] *= room[i]
    if q.size > 0:
        for k in range(low, high + 1):
            for i in range(size):
                q[k, i] *= room[i]
    while low < high and m[low].max() < trim:
        low += 1
    while high > low and m[high].max() < trim:
        high -= 1
    return low, high


@_compiled
def tossed(by, tosses, low, high, a, b, w, awake, woken, slope, m, q):  # type: ignore[no-untyped-def]
    """Take the urn, whose window of heads is low ... high, over a wait that follows a toss; q with it, if any.

    ``by`` is 1 / (a + b + tosses). The window is then one longer.
    """
    size = awake.size
    m[high + 1] = 0.0
    if q.size > 0:
        q[high + 1] = 0.0
    for k in range(high + 1, low - 1, -1):
        stays = (b + tosses - k) * by if k <= high else 0.0
        falls = (a + k - 1.0) * by * (1.0 - w) if k > low else 0.0
        before = k - 1 if k > low else k
        if q.size > 0:
            for i in range(size):
                q[k, i] = stays * awake[i] * q[k, i] + falls * (
                    woken[i] * q[before, i] + slope[i] * m[before, i]
                )
        for i in range(size):
            m[k, i] = stays * awake[i] * m[k, i] + falls * woken[i] * m[before, i]


@_compiled
def _swept(rule, own, first, rates, a, b, nu, w, m, q, log_scale):  # type: ignore[no-untyped-def]
    """Take the urn over all waits: write m (heads, point), up to ``log_scale``, and q, its slopes in nu if any.

    Returns the window of heads.
    """
    size = rates.size
    awake, woken, room = np.empty(size), np.empty(size), np.empty(size)
    slope = np.empty(size if q.size > 0 else 0)
    m[0] = 1.0
    if q.size > 0:
        q[0] = 0.0
    log_scale[:] = 0.0
    low, high, last, tosses = 0, 0, 0.0, 0
    for j in range(own.size):
        waits(own[j] - last, rates, nu, awake, woken, slope)
        last = own[j]
        if j + first == 0:
            for i in range(size):
                m[0, i] = awake[i]
        else:
            tossed(1.0 / (a + b + tosses), tosses, low, high, a, b, w, awake, woken, slope, m, q)
            high += 1
            tosses += 1
        if j % CHUNK == CHUNK - 1:
            low, high = scaled(rule[3], m, q, low, high, log_scale, room)
    return low, high


@_compiled
def started(rule, own, T, first, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return ``_points``, of long histories those that may have weight."""
    u, rates, weight = _points(rule, float(own.size), T, r, alpha)
    if own.size >= CHUNK:
        low, high = _bounded(rule, own, T, first, rates, weight, a, b, nu, w)
        return u[low:high].copy(), rates[low:high].copy(), weight[low:high].copy()
    return u, rates, weight


@_compiled
def ended(a, b, tosses, k):  # type: ignore[no-untyped-def]
    """Return the probabilities of tails and of heads at the last of the tosses, if there is one, after k heads."""
    if tosses == 0:
        return 1.0, 0.0
    by = 1.0 / (a + b + (tosses - 1.0))
    return (b + (tosses - 1.0) - k) * by, (a + k) * by


@_compiled
def heads_by(rule, own, T, first, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return ``Heads`` of a customer who bought at the ages ``own`` and is observed to age T, by FINE or COARSE."""
    n = own.size
    u, rates, weight = started(rule, own, T, first, r, alpha, a, b, nu, w)
    size = rates.size
    m, q, log_scale = np.empty((n + 2, size)), np.empty((0, size)), np.empty(size)
    low, high = _swept(rule, own, first, rates, a, b, nu, w, m, q, log_scale)
    silence = T - (own[n - 1] if n else 0.0)
    tosses = n + first
    awake, woken = np.empty(size), np.empty(size)
    waits(silence, rates, nu, awake, woken, np.empty(0))
    found = np.zeros((3, high - low + 2, size))
    still = (1.0 - w) * math.exp(-nu * silence)
    for k in range(low, high + 1):
        stays, falls = ended(a, b, tosses, k)
        for i in range(size):
            found[0, k - low, i] += stays * awake[i] * m[k, i]
            found[0, k - low + 1, i] = falls * (1.0 - w) * woken[i] * m[k, i]
            found[1, k - low + 1, i] = falls * still * m[k, i]
            found[2, k - low + 1, i] = falls * w * m[k, i]
    most = -math.inf
    for i in range(size):
        weight[i] += log_scale[i]
        most = max(most, weight[i])
    for i in range(size):
        weight[i] = exp(weight[i] - most)
    total = 0.0
    for state in range(3):
        for k in range(high - low + 2):
            for i in range(size):
                found[state, k, i] *= weight[i]
            total += found[state, k].sum()
    found /= total
    return Heads(most + math.log(total), u, rates, low, found, tosses)


@_compiled
def heads(own, T, first, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return ``Heads`` by FINE."""
    return heads_by(FINE, own, T, first, r, alpha, a, b, nu, w)


@_compiled
def _log_likelihood(own, T, first, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    n = own.size
    _, rates, weight = started(FINE, own, T, first, r, alpha, a, b, nu, w)
    size = rates.size
    if size == 0:
        return math.nan
    m, q, log_scale = np.empty((n + 2, size)), np.empty((0, size)), np.empty(size)
    low, high = _swept(FINE, own, first, rates, a, b, nu, w, m, q, log_scale)
    silence = T - (own[n - 1] if n else 0.0)
    awake, woken, tails, fell = np.empty(size), np.empty(size), np.zeros(size), np.zeros(size)
    waits(silence, rates, nu, awake, woken, np.empty(0))
    for k in range(low, high + 1):
        stays, falls = ended(a, b, n + first, k)
        for i in range(size):
            tails[i] += stays * m[k, i]
            fell[i] += falls * m[k, i]
    away = w + (1.0 - w) * math.exp(-nu * silence)
    most = -math.inf
    for i in range(size):
        weight[i] += log_scale[i]
        most = max(most, weight[i])
    for i in range(size):
        weight[i] = exp(weight[i] - most) * (tails[i] * awake[i] + fell[i] * ((1.0 - w) * woken[i] + away))
    total = 0.0
    for i in range(size):
        total += weight[i]
    return most + math.log(total)


@_compiled
def log_likelihoods(T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (row): the log density of each row's purchases and of the silence that follows.

    ``times`` are ages at purchases, of row i those from ``start[i]`` on, ``size[i]`` of them; T (row) is the age now,
    ``first`` (row) 1 where the first purchase is followed by a toss. The other arrays are (row) too.
    """
    found = np.empty(T.size)
    for i in range(T.size):
        begin = np.int64(start[i])
        own = times[begin : begin + np.int64(size[i])]
        found[i] = _log_likelihood(own, T[i], np.int64(first[i]), r[i], alpha[i], a[i], b[i], nu[i], w[i])
    return found


@_compiled
def _coin_slopes(share, least, tosses, a, b):  # type: ignore[no-untyped-def]
    """Return the slopes in a and b of the log weights of numbers of heads, averaged over their shares."""
    of_a = of_b = 0.0
    # Sums over the urn: of heads so far, of tails so far, of all tosses.
    heads_sum = tails_sum = both_sum = 0.0
    for j in range(least):
        heads_sum += 1.0 / (a + j)
    for j in range(tosses - least):
        tails_sum += 1.0 / (b + j)
    for j in range(tosses):
        both_sum += 1.0 / (a + b + j)
    for m in range(share.size):
        k = least + m
        if k > tosses:
            break
        of_a += share[m] * (heads_sum - both_sum)
        of_b += share[m] * (tails_sum - both_sum)
        heads_sum += 1.0 / (a + k)
        tails_sum -= 1.0 / (b + (tosses - k - 1.0)) if k < tosses else 0.0
    return of_a, of_b


@_compiled
def closed(m, q, low, high, tosses, weight, rates, u, silence, waited, alpha, r, a, b, nu, w, found):  # type: ignore[no-untyped-def]
    """Write what the last silence and the weights of heads say: ``found`` (6) of a row of ``slopes``.

    m, and q, are the weights of ``low`` heads and more, to ``high``. ``waited`` are (awake, woken, slope) of the
    silence, and ``weight`` (point) becomes the points' shares, which add up to 1. Without q the slope in nu is that of
    the silence alone.
    """
    awake, woken, slope = waited
    points = rates.size
    still, bent = (1.0 - w) * math.exp(-nu * silence), -silence * math.exp(-nu * silence)
    share, each = np.zeros(high - low + 2), np.zeros(points)
    in_nu = sleeps = gone = 0.0
    for k in range(low, high + 1):
        stays, falls = ended(a, b, tosses, k)
        tails = fell = slept = 0.0
        for p in range(points):
            here = m[k - low, p] * weight[p]
            value = stays * awake[p] * here
            asleep = falls * ((1.0 - w) * woken[p] + still) * here
            left = falls * here
            in_nu += left * (1.0 - w) * (slope[p] + bent)
            each[p] += value + asleep + w * left
            tails += value
            slept += asleep
            fell += left
        if q.size > 0:
            for p in range(points):
                in_nu += (
                    weight[p]
                    * q[k - low, p]
                    * (stays * awake[p] + falls * ((1.0 - w) * woken[p] + still + w))
                )
        share[k - low] += tails
        share[k - low + 1] += slept + w * fell
        sleeps += k * (tails + slept + w * fell) + slept
        gone += fell
    total = share.sum()
    of_u = of_rate = 0.0
    for p in range(points):
        weight[p] = each[p] / total
        of_u += weight[p] * u[p]
        of_rate += weight[p] * rates[p]
    share /= total
    found[0], found[1] = of_u, r / alpha - of_rate
    found[2], found[3] = _coin_slopes(share, low, tosses, a, b)
    found[4] = in_nu / total
    found[5] = (gone - sleeps / (1.0 - w)) / total


@_compiled
def weighed(weight, log_scale):  # type: ignore[no-untyped-def]
    """Turn the logarithms of the points' weights, with their scales, into weights of which the largest is 1."""
    most = -math.inf
    for p in range(weight.size):
        weight[p] += log_scale[p]
        most = max(most, weight[p])
    for p in range(weight.size):
        weight[p] = exp(weight[p] - most)


@_compiled
def slopes(T, start, size, first, times, r, alpha, a, b, nu, w):  # type: ignore[no-untyped-def]
    """Return (row) the slopes of ``log_likelihoods`` in alpha, a, b, nu and w; first of all the mean of log lambda.

    The slope in r is log alpha - digamma(r) + that mean.
    """
    found = np.zeros((T.size, 6))
    for i in range(T.size):
        begin, n, toss = np.int64(start[i]), np.int64(size[i]), np.int64(first[i])
        own = times[begin : begin + n]
        a_i, b_i, nu_i, w_i = a[i], b[i], nu[i], w[i]
        u, rates, weight = started(FINE, own, T[i], toss, r[i], alpha[i], a_i, b_i, nu_i, w_i)
        points = rates.size
        if points == 0:
            found[i] = math.nan
            continue
        m, q, log_scale = np.empty((n + 2, points)), np.empty((n + 2, points)), np.empty(points)
        low, high = _swept(FINE, own, toss, rates, a_i, b_i, nu_i, w_i, m, q, log_scale)
        silence = T[i] - (own[n - 1] if n else 0.0)
        waited = np.empty(points), np.empty(points), np.empty(points)
        waits(silence, rates, nu_i, *waited)
        weighed(weight, log_scale)
        closed(
            m[low : high + 1], q[low : high + 1], low, high, n + toss, weight, rates, u, silence, waited,
            alpha[i], r[i], a_i, b_i, nu_i, w_i, found[i],
        )  # fmt: skip
    return found[:, 0], found[:, 1], found[:, 2], found[:, 3], found[:, 4], found[:, 5]
