"""Purchases at random at a rate that drifts: what the times of purchases say of it, exactly.

A customer's rate is a square-root (Cox, Ingersoll & Ross 1985; Feller 1951) diffusion,

    d lambda = kappa (r / alpha - lambda) dt + sqrt(2 kappa lambda / alpha) dW,

so that at every time the customers' rates are Gamma(r, rate alpha), and a customer's own has the autocorrelation
e^(-kappa t). Given its purchases, its rate is a finite mixture of Gamma(r + m, alpha + theta), m = 0, 1, ..., x (the
duality of Papaspiliopoulos & Ruggiero 2014, Optimal filtering and the dual process, Bernoulli 20(4)). With
s = 2 kappa / alpha, gamma = sqrt(kappa² + 2 s g), delta = gamma - kappa and e = e^(-gamma t), no purchase for a time t,
counted at the intensity g lambda, makes of theta, and of the generating function G(z) = sum of p_m z^m,

    D = s theta (1 - e) + delta e + gamma + kappa,
    theta' = (theta ((gamma + kappa) e + delta) + 2 g (1 - e)) / D,
    G'(z) = M^r G(lost + kept z),   M = (2 gamma / D) e^(-delta t / 2) (alpha + theta) / (alpha + theta'),
    lost = s (1 - e) (alpha + theta) / D,   kept = 4 gamma² e (alpha + theta) / (D² (alpha + theta')),

of which G'(1) is the probability of the silence; and a purchase p'_(m+1) = p_m (r + m) / (alpha + theta), of which the
sum is its density. All terms are positive: nothing cancels, whatever the unit of time. kappa -> 0 is NBD.

**What is kept of the mixture.** It is narrow: terms at both ends that are together below TRIM of the sum are dropped
after each purchase (COARSE_TRIM in forecasts). G(lost + kept z) is a Taylor shift by lost, whose terms fall off at
once where little is forgotten between purchases (SHORT_MEMORY says when); else Horner's rule, quadratic in the terms.

The slopes in (r, alpha, kappa) go along with the filter, each operation beside its own derivative.
"""

import math

import numpy as np
from numba import njit

TRIM = 1e-15
# Of forecasts: a mixture is a third narrower, and shares of 1e-12 are nobody's.
COARSE_TRIM = 1e-12
# What a Taylor shift may leave out, relative to that.
SMALLEST = 1e-2
# Above this expected number of forgotten purchases, times their logarithm's growth, Horner's rule is taken.
SHORT_MEMORY = 300.0
# So few purchases are composed by Horner's rule in any case.
FEW = 8
# Products beyond are turned into logarithms.
SMALL, LARGE = 1e-150, 1e150
# A chance to be kept that would round to 0 leaves its slope undefined.
LEAST_KEPT = 1e-280

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
# Within a loop over draws, which becomes one over vectors.
_inlined = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, forceinline=True)


@_compiled
def quiet(theta, t, alpha, kappa, g):  # type: ignore[no-untyped-def]
    """Return theta', log M, lost and kept of a time t > 0 without a purchase at the intensity g lambda."""
    s = 2.0 * kappa / alpha
    gamma = math.sqrt(kappa * kappa + 2.0 * s * g)
    delta = 2.0 * s * g / (gamma + kappa)
    e = math.exp(-gamma * t)
    change = -math.expm1(-gamma * t)
    d = s * theta * change + delta * e + (gamma + kappa)
    later = (theta * ((gamma + kappa) * e + delta) + 2.0 * g * change) / d
    ratio = (alpha + theta) / (alpha + later)
    log_mass = (
        -math.log1p((s * theta - delta) * change / (2.0 * gamma))
        - 0.5 * delta * t
        - math.log1p((later - theta) / (alpha + theta))
    )
    lost = s * change * (alpha + theta) / d
    kept = 4.0 * gamma * gamma * e * ratio / (d * d)
    return later, log_mass, lost, max(kept, LEAST_KEPT)


@_inlined
def pace(alpha, kappa):  # type: ignore[no-untyped-def]
    """Return s, gamma and delta at g = 1."""
    s = 2.0 * kappa / alpha
    gamma = math.sqrt(kappa * kappa + 2.0 * s)
    return s, gamma, 2.0 * s / (gamma + kappa)


@_compiled
def wait_of(theta, t, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return (s, gamma, delta, e, 1 - e, D) of a wait at g = 1, for ``through`` and its slopes."""
    return wait_at(theta, t, kappa, pace(alpha, kappa))


@_compiled
def wait_at(theta, t, kappa, paced):  # type: ignore[no-untyped-def]
    """Do what ``wait_of`` does at a ``pace``."""
    return way_at(theta, -math.expm1(-paced[1] * t), kappa, paced)


@_inlined
def way_at(theta, change, kappa, paced):  # type: ignore[no-untyped-def]
    """Do what ``wait_at`` does, given 1 - e."""
    s, gamma, delta = paced
    e = 1.0 - change
    return s, gamma, delta, e, change, s * theta * change + delta * e + (gamma + kappa)


@_compiled
def through(theta, t, alpha, way):  # type: ignore[no-untyped-def]
    """Return theta', log M but for delta t / 2, lost and kept, as ``quiet``: a logarithm's absolute error is enough."""
    later, mass, lost, kept = passed(theta, alpha, way)
    return later, math.log(mass), lost, kept


@_inlined
def passed(theta, alpha, way):  # type: ignore[no-untyped-def]
    """Return theta', M but for e^(-delta t / 2), lost and kept."""
    s, gamma, delta, e, change, d = way
    kappa = gamma - delta
    inverse = 1.0 / d
    later = (theta * ((gamma + kappa) * e + delta) + 2.0 * change) * inverse
    ratio = (alpha + theta) / (alpha + later)
    lost = s * change * (alpha + theta) * inverse
    half = 2.0 * gamma * inverse
    return later, half * ratio, lost, max(half * half * e * ratio, LEAST_KEPT)


@_compiled
def _slopes_of_quiet(theta, theta_a, theta_k, t, alpha, kappa, way, later, lost, out):  # type: ignore[no-untyped-def]
    """Write the slopes in (alpha, kappa) of theta', log M, lost, and log kept: ``out`` (4, 2)."""
    s, gamma, delta, e, change, d = way
    of_d, of_gamma, of_change = 1.0 / d, 1.0 / gamma, 1.0 / change
    before, after = 1.0 / (alpha + theta), 1.0 / (alpha + later)
    for v in range(2):
        of_alpha, of_kappa = 1.0 - v, float(v)
        theta_v = theta_k if v else theta_a
        s_v = 2.0 / alpha if v else -s / alpha
        gamma_v = (of_kappa * kappa + s_v) * of_gamma
        delta_v = 2.0 / alpha * delta / (gamma + kappa) * of_gamma if v else gamma_v
        e_v = -t * gamma_v * e
        d_v = (
            (s_v * theta + s * theta_v) * change
            - s * theta * e_v
            + delta_v * e
            + delta * e_v
            + gamma_v
            + of_kappa
        )
        numerator_v = (
            theta_v * ((gamma + kappa) * e + delta)
            + theta * ((gamma_v + of_kappa) * e + (gamma + kappa) * e_v + delta_v)
            - 2.0 * e_v
        )
        later_v = (numerator_v - later * d_v) * of_d
        log_ratio_v = (of_alpha + theta_v) * before - (of_alpha + later_v) * after
        out[0, v] = later_v
        out[1, v] = gamma_v * of_gamma - d_v * of_d - 0.5 * delta_v * t + log_ratio_v
        out[2, v] = lost * (s_v / s - e_v * of_change + (of_alpha + theta_v) * before - d_v * of_d)
        out[3, v] = 2.0 * gamma_v * of_gamma - t * gamma_v + log_ratio_v - 2.0 * d_v * of_d


@_compiled
def _sum(values):  # type: ignore[no-untyped-def]
    """Return the sum, in four parts that a processor adds side by side."""
    first = second = third = fourth = 0.0
    even = values.size - values.size % 4
    for j in range(0, even, 4):
        first += values[j]
        second += values[j + 1]
        third += values[j + 2]
        fourth += values[j + 3]
    for j in range(even, values.size):
        first += values[j]
    return (first + second) + (third + fourth)


@_compiled
def powers_of(base, out):  # type: ignore[no-untyped-def]
    """Write 1, base, base², ..."""
    squared = base * base
    fourth = squared * squared
    first, second, third, last = 1.0, base, squared, squared * base
    even = out.size - out.size % 4
    for j in range(0, even, 4):
        out[j], out[j + 1], out[j + 2], out[j + 3] = first, second, third, last
        first *= fourth
        second *= fourth
        third *= fourth
        last *= fourth
    for j in range(even, out.size):
        out[j] = first
        first *= base


@_compiled
def shift_terms(low, high, lost, kept, trim):  # type: ignore[no-untyped-def]
    """Return how many terms a Taylor shift needs, and from where on its coefficients are not 0; 0 and 0 by Horner."""
    growth = lost / kept
    if high < FEW or not (high * math.log1p(growth) < SHORT_MEMORY and growth < 1.0):
        return 0, 0
    # The sum of a term is at most (high growth)^length / length! of the sum of the first.
    bound, length = 1.0, 0
    while bound > SMALLEST * trim and length < high:
        length += 1
        bound *= high * growth / length
    return length, max(low - length, 0)


@_compiled
def _shifted(p, low, high, lost, kept, terms, first, work):  # type: ignore[no-untyped-def]
    """Make p_first ... p_high the coefficients of G(lost + kept z) / kept^power; power is low, or 0 by Horner's rule.

    ``p`` is 0 outside of its window from low to high; ``terms`` and ``first`` are those of ``shift_terms``, and the
    powers those of kept.
    """
    numbers, powers, room = work
    if terms == 0:
        composed(p, low, high, lost, kept, room)
        return
    growth = lost / kept
    own, scaled = p[low : high + 1], powers[: high + 1 - low]
    for j in range(own.size):
        own[j] *= scaled[j]
    window, term = p[first : high + 1], room[: high + 2 - first]
    for j in range(window.size):
        term[j] = window[j]
    term[window.size] = 0.0
    ahead = numbers[first + 1 : high + 2]
    for length in range(1, terms + 1):
        factor = growth / length
        for j in range(max(high + 1 - length - first, 0)):
            each = term[j + 1] * (ahead[j] * factor)
            term[j] = each
            window[j] += each


@_compiled
def composed(p, low, high, lost, kept, room):  # type: ignore[no-untyped-def]
    """Make p_0 ... p_high the coefficients of G(lost + kept z), by Horner's rule."""
    if high == 0:
        return
    room[0] = p[high]
    for top in range(high):
        room[top + 1] = room[top] * kept
        for j in range(top, 0, -1):
            room[j] = room[j] * lost + room[j - 1] * kept
        room[0] = room[0] * lost + p[high - 1 - top]
    for j in range(high + 1):
        p[j] = room[j]


@_compiled
def _trimmed(p, low, high, trim):  # type: ignore[no-untyped-def]
    """Return the window of a normalised mixture without what is below ``trim`` at either end; what is left out is 0."""
    tail = p[low]
    while tail < trim and low < high:
        p[low] = 0.0
        low += 1
        tail += p[low]
    tail = p[high]
    while tail < trim and low < high:
        p[high] = 0.0
        high -= 1
        tail += p[high]
    return low, high


@_compiled
def room_for(purchases):  # type: ignore[no-untyped-def]
    """Return what a filter works in: 0, 1, 2, ... (whole numbers made floats at each use are slow), and two rooms."""
    numbers = np.empty(purchases + 2)
    for j in range(numbers.size):
        numbers[j] = j
    return numbers, np.empty(numbers.size), np.empty(numbers.size)


@_compiled
def bought(p, low, high, theta, wait, r, alpha, kappa, paced, work, trim):  # type: ignore[no-untyped-def]
    """Take the mixture over a wait and the purchase that ends it.

    Return window, theta, and of the density M but for e^(-delta t / 2), the sum, and what its power is of.
    """
    numbers, powers, room = work
    theta, mass, lost, kept = passed(theta, alpha, wait_at(theta, wait, kappa, paced))
    terms, first = shift_terms(low, high, lost, kept, trim)
    power = low if terms else 0
    if terms:
        powers_of(kept, powers[: high + 1 - low])
    _shifted(p, low, high, lost, kept, terms, first, work)
    after, own, inverse = p[first : high + 2], numbers[first : high + 2], 1.0 / (alpha + theta)
    for j in range(after.size - 1):
        room[j] = after[j] * ((r + own[j]) * inverse)
    after[0] = 0.0
    total = _sum(room[: after.size - 1])
    inverse = 1.0 / total
    for j in range(after.size - 1):
        after[j + 1] = room[j] * inverse
    low, high = _trimmed(p, first + 1, high + 1, trim)
    return low, high, theta, mass, total, power, kept


@_compiled
def silenced(p, low, high, theta, wait, r, alpha, kappa, work, trim):  # type: ignore[no-untyped-def]
    """Take the mixture over a wait > 0 in which nothing is bought; return window, theta and its log probability."""
    way = wait_of(theta, wait, alpha, kappa)
    theta, log_mass, lost, kept = through(theta, wait, alpha, way)
    terms, begin = shift_terms(low, high, lost, kept, trim)
    power = low if terms else 0
    if terms:
        powers_of(kept, work[1][: high + 1 - low])
    _shifted(p, low, high, lost, kept, terms, begin, work)
    low = begin
    total = _sum(p[low : high + 1])
    for m in range(low, high + 1):
        p[m] /= total
    silent = r * (log_mass - 0.5 * way[2] * wait) + math.log(total)
    if power:
        silent += power * math.log(kept)
    low, high = _trimmed(p, low, high, trim)
    return low, high, theta, silent


@_compiled
def after_last(p, times, r, alpha, kappa, work, trim):  # type: ignore[no-untyped-def]
    """Filter one customer up to its last purchase: return window, theta, and the log density of its purchases.

    ``p`` and what is to work in (``room_for``) have two places more than purchases; ``p`` becomes the mixture after the
    last one.
    """
    p[:] = 0.0
    p[0] = 1.0
    paced = pace(alpha, kappa)
    low, high, theta, last, log_total, log_mass = 0, 0, 0.0, 0.0, 0.0, 0.0
    masses = totals = 1.0
    for time in times:
        low, high, theta, mass, total, power, kept = bought(
            p, low, high, theta, time - last, r, alpha, kappa, paced, work, trim
        )
        # A logarithm of products, where they are in a double's range.
        masses *= mass
        totals *= total
        if not (SMALL < masses < LARGE and SMALL < totals < LARGE):
            log_mass += math.log(masses)
            log_total += math.log(totals)
            masses = totals = 1.0
        if power:
            log_total += power * math.log(kept)
        last = time
    log_mass += math.log(masses) - 0.5 * paced[2] * last
    return low, high, theta, r * log_mass + log_total + math.log(totals)


@_compiled
def power_sum(p, low, high, factor):  # type: ignore[no-untyped-def]
    """Return the sum of p_m factor^m over the window, less the power of its lowest."""
    total = p[high]
    for m in range(high - 1, low - 1, -1):
        total = total * factor + p[m]
    return total


@_compiled
def log_silence(p, low, high, theta, t, r, alpha, kappa, g):  # type: ignore[no-untyped-def]
    """Return the log of E[(1 - g)^N], N the purchases within t > 0; at g = 1 of no purchase."""
    _, log_mass, lost, kept = quiet(theta, t, alpha, kappa, g)
    kept += lost
    return r * log_mass + low * math.log(kept) + math.log(power_sum(p, low, high, kept))


@_compiled
def log_likelihoods(T, start, size, times, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return (row): the log density of each row's purchases, and the log probability of the silence that follows.

    ``times`` are ages at purchases, of row i those from ``start[i]`` on, ``size[i]`` of them; T (row) is the age now.
    The other arrays are (row) too.
    """
    rows = T.size
    bought, silent = np.zeros(rows), np.zeros(rows)
    most = np.int64(size.max()) if rows else 0
    p, work = np.empty(most + 2), room_for(most)
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        own = times[first : first + n]
        low, high, theta, bought[i] = after_last(p[: n + 2], own, r[i], alpha[i], kappa[i], work, TRIM)
        wait = T[i] - (own[n - 1] if n else 0.0)
        if wait > 0.0:
            silent[i] = log_silence(p, low, high, theta, wait, r[i], alpha[i], kappa[i], 1.0)
    return bought, silent


@_compiled
def slopes_after_last(p, q, times, r, alpha, kappa, work, out, found):  # type: ignore[no-untyped-def]
    """Filter one customer as ``after_last``; return window, theta and its slopes in alpha and kappa.

    ``q`` (3, size of ``p``) becomes the slopes of the mixture in r, alpha and kappa, and ``found`` (3) those of the log
    density of the purchases; ``out`` (4, 2) is to work in.
    """
    numbers, powers, room = work
    total_q = np.empty(3)
    p[:] = 0.0
    q[:, :] = 0.0
    found[:] = 0.0
    p[0] = 1.0
    low, high, theta, theta_a, theta_k, last = 0, 0, 0.0, 0.0, 0.0, 0.0
    for k in range(times.size):
        wait = times[k] - last
        last = times[k]
        way = wait_of(theta, wait, alpha, kappa)
        later, log_mass, lost, kept = through(theta, wait, alpha, way)
        _slopes_of_quiet(theta, theta_a, theta_k, wait, alpha, kappa, way, later, lost, out)
        log_mass -= 0.5 * way[2] * wait
        theta, theta_a, theta_k = later, out[0, 0], out[0, 1]
        terms, begin = shift_terms(low, high, lost, kept, TRIM)
        power = low if terms else 0
        if terms:
            powers_of(kept, powers[: high + 1 - low])
        if k:
            for v in range(3):
                _shifted(q[v], low, high, lost, kept, terms, begin, work)
        _shifted(p, low, high, lost, kept, terms, begin, work)
        low, width = begin, high + 1 - begin
        now, own, scale = p[low : high + 2], numbers[low : high + 2], 1.0 / (alpha + theta)
        for v in range(3):
            slope = q[v, low : high + 2]
            of_lost = out[2, v - 1] / kept if v else 0.0
            of_log_kept = out[3, v - 1] if v else 0.0
            of_r, of_scale = 0.0 if v else 1.0, 0.0
            if v:
                of_scale = ((1.0 if v == 1 else 0.0) + out[0, v - 1]) * scale
            now[width] = 0.0
            for j in range(width):
                m = own[j]
                moved = slope[j] + of_lost * (m + 1.0) * now[j + 1] + of_log_kept * (m - power) * now[j]
                room[j] = (moved * (r + m) + now[j] * (of_r - of_scale * (r + m))) * scale
            slope[0] = 0.0
            for j in range(width):
                slope[j + 1] = room[j]
            total_q[v] = _sum(room[:width])
        for j in range(width):
            room[j] = now[j] * ((r + own[j]) * scale)
        now[0] = 0.0
        total = _sum(room[:width])
        inverse = 1.0 / total
        for j in range(width):
            now[j + 1] = room[j] * inverse
        for v in range(3):
            slope, of_total = q[v, low : high + 2], total_q[v] * inverse
            for j in range(1, width + 1):
                slope[j] = slope[j] * inverse - now[j] * of_total
        found[0] += total_q[0] / total + log_mass
        for v in range(2):
            found[v + 1] += total_q[v + 1] / total + r * out[1, v] + power * out[3, v]
        before, behind = low + 1, high + 1
        low, high = _trimmed(p, before, behind, TRIM)
        q[:, before:low] = 0.0
        q[:, high + 1 : behind + 1] = 0.0
    return low, high, theta, theta_a, theta_k


@_compiled
def slopes_of_silence(p, q, window, wait, r, alpha, kappa, out, found):  # type: ignore[no-untyped-def]
    """Return ``log_silence`` of a time ``wait`` > 0 at g = 1, and write its slopes in r, alpha and kappa to ``found``.

    ``window`` is what ``slopes_after_last`` returns, of which ``p`` and ``q`` are.
    """
    low, high, theta, theta_a, theta_k = window
    way = wait_of(theta, wait, alpha, kappa)
    later, log_mass, lost, kept = through(theta, wait, alpha, way)
    _slopes_of_quiet(theta, theta_a, theta_k, wait, alpha, kappa, way, later, lost, out)
    log_mass -= 0.5 * way[2] * wait
    factor = kept + lost
    total = power_sum(p, low, high, factor)
    moment = 0.0
    for m in range(high, low - 1, -1):
        moment = moment * factor + p[m] * m
    moment /= total * factor
    for v in range(3):
        found[v] = power_sum(q[v], low, high, factor) / total
    found[0] += log_mass
    for v in range(2):
        found[v + 1] += r * out[1, v] + moment * (out[2, v] + kept * out[3, v])
    return r * log_mass + low * math.log(factor) + math.log(total)


@_compiled
def slopes(T, start, size, times, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return (row) the slopes of ``log_likelihoods``: of bought in r, alpha, kappa, then of silent."""
    rows = T.size
    found = np.zeros((6, rows))
    most = np.int64(size.max()) if rows else 0
    p, q, work = np.empty(most + 2), np.empty((3, most + 2)), room_for(most)
    out, each = np.empty((4, 2)), np.empty(3)
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        own = times[first : first + n]
        mixture, moved = p[: n + 2], q[:, : n + 2]
        window = slopes_after_last(mixture, moved, own, r[i], alpha[i], kappa[i], work, out, each)
        found[:3, i] = each
        wait = T[i] - (own[n - 1] if n else 0.0)
        if wait > 0.0:
            slopes_of_silence(mixture, moved, window, wait, r[i], alpha[i], kappa[i], out, each)
            found[3:, i] = each
    return found[0], found[1], found[2], found[3], found[4], found[5]
