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
after each purchase. G(lost + kept z) is a Taylor shift by lost, whose terms fall off at once where little is forgotten
between purchases (SHORT_MEMORY says when); else Horner's rule, quadratic in the terms.

The slopes in (r, alpha, kappa) go along with the filter, each operation beside its own derivative.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

TRIM = 1e-15
# Of a Taylor shift, relative to the sum so far.
SMALLEST = 1e-17
# Above this expected number of forgotten purchases, times their logarithm's growth, Horner's rule is taken.
SHORT_MEMORY = 300.0
# A chance to be kept that would round to 0 leaves its slope undefined.
LEAST_KEPT = 1e-280

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


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


@_compiled
def _slopes_of_quiet(theta, theta_a, theta_k, t, alpha, kappa, later, lost, kept, out):  # type: ignore[no-untyped-def]
    """Write the slopes in (alpha, kappa) of theta', log M, lost, and log kept of ``quiet`` at g = 1: ``out`` (4, 2)."""
    s = 2.0 * kappa / alpha
    gamma = math.sqrt(kappa * kappa + 2.0 * s)
    delta = 2.0 * s / (gamma + kappa)
    e = math.exp(-gamma * t)
    change = -math.expm1(-gamma * t)
    d = s * theta * change + delta * e + (gamma + kappa)
    for v in range(2):
        of_alpha, of_kappa = 1.0 - v, float(v)
        theta_v = theta_k if v else theta_a
        s_v = 2.0 / alpha if v else -s / alpha
        gamma_v = (kappa + s_v) / gamma if v else s_v / gamma
        delta_v = 2.0 / alpha * delta / ((gamma + kappa) * gamma) if v else gamma_v
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
        later_v = (numerator_v - later * d_v) / d
        log_ratio_v = (of_alpha + theta_v) / (alpha + theta) - (of_alpha + later_v) / (alpha + later)
        out[0, v] = later_v
        out[1, v] = gamma_v / gamma - d_v / d - 0.5 * delta_v * t + log_ratio_v
        out[2, v] = lost * (s_v / s - e_v / change + (of_alpha + theta_v) / (alpha + theta) - d_v / d)
        out[3, v] = 2.0 * gamma_v / gamma - t * gamma_v + log_ratio_v - 2.0 * d_v / d


@_compiled
def _shifted(p, low, high, lost, kept, room):  # type: ignore[no-untyped-def]
    """Make p_low ... p_high the coefficients of G(lost + kept z) / kept^power; return the lowest, and the power.

    ``p`` is 0 outside of its window; ``room`` is as long.
    """
    growth = lost / kept
    if not (high * math.log1p(growth) < SHORT_MEMORY and growth < 1.0):
        return _composed(p, low, high, lost, kept, room)
    scale, total = 1.0, 0.0
    for j in range(low, high + 1):
        p[j] *= scale
        room[j] = p[j]
        total += abs(p[j])
        scale *= kept
    first = low
    for length in range(1, high + 1):
        factor, added = growth / length, 0.0
        first, last = max(low - length, 0), high - length
        for j in range(first, last + 1):
            room[j] = room[j + 1] * ((j + 1.0) * factor)
        for j in range(first, last + 1):
            p[j] += room[j]
            added += abs(room[j])
        total += added
        if added <= SMALLEST * total and last * factor < 0.5:
            break
    return first, low


@_compiled
def _composed(p, low, high, lost, kept, room):  # type: ignore[no-untyped-def]
    """Do what ``_shifted`` does by Horner's rule; the lowest coefficient is p_0."""
    room[0] = p[high]
    for top in range(high):
        room[top + 1] = room[top] * kept
        for j in range(top, 0, -1):
            room[j] = room[j] * lost + room[j - 1] * kept
        room[0] = room[0] * lost + p[high - 1 - top]
    for j in range(high + 1):
        p[j] = room[j]
    return 0, 0


@_compiled
def _trimmed(p, low, high):  # type: ignore[no-untyped-def]
    """Return the window of a normalised mixture without what is below TRIM at either end; what is left out is 0."""
    tail = p[low]
    while tail < TRIM and low < high:
        p[low] = 0.0
        low += 1
        tail += p[low]
    tail = p[high]
    while tail < TRIM and low < high:
        p[high] = 0.0
        high -= 1
        tail += p[high]
    return low, high


@_compiled
def _bought(p, low, high, theta, wait, r, alpha, kappa, room):  # type: ignore[no-untyped-def]
    """Take the mixture over a wait and the purchase that ends it; return window, theta and the log density."""
    theta, log_mass, lost, kept = quiet(theta, wait, alpha, kappa, 1.0)
    low, power = _shifted(p, low, high, lost, kept, room)
    total = 0.0
    for m in range(high, low - 1, -1):
        p[m + 1] = p[m] * ((r + m) / (alpha + theta))
        total += p[m + 1]
    p[low] = 0.0
    for m in range(low + 1, high + 2):
        p[m] /= total
    log_density = r * log_mass + power * math.log(kept) + math.log(total)
    low, high = _trimmed(p, low + 1, high + 1)
    return low, high, theta, log_density


@_compiled
def after_last(p, times, r, alpha, kappa, room):  # type: ignore[no-untyped-def]
    """Filter one customer up to its last purchase: return window, theta, and the log density of its purchases.

    ``p`` and ``room`` have two places more than purchases; ``p`` becomes the mixture just after the last one.
    """
    p[:] = 0.0
    p[0] = 1.0
    low, high, theta, last, log_density = 0, 0, 0.0, 0.0, 0.0
    for time in times:
        low, high, theta, added = _bought(p, low, high, theta, time - last, r, alpha, kappa, room)
        log_density += added
        last = time
    return low, high, theta, log_density


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
    most = 0
    for i in range(rows):
        most = max(most, np.int64(size[i]))
    p, room = np.empty(most + 2), np.empty(most + 2)
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        own = times[first : first + n]
        low, high, theta, bought[i] = after_last(p[: n + 2], own, r[i], alpha[i], kappa[i], room)
        wait = T[i] - (own[n - 1] if n else 0.0)
        if wait > 0.0:
            silent[i] = log_silence(p, low, high, theta, wait, r[i], alpha[i], kappa[i], 1.0)
    return bought, silent


@_compiled
def slopes(T, start, size, times, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return (row) the slopes of ``log_likelihoods``: of bought in r, alpha, kappa, then of silent."""
    rows = T.size
    found = np.zeros((6, rows))
    most = 0
    for i in range(rows):
        most = max(most, np.int64(size[i]))
    p, q, room = np.zeros(most + 2), np.zeros((3, most + 2)), np.empty(most + 2)
    out, total_q = np.empty((4, 2)), np.empty(3)
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        r_i, alpha_i, kappa_i = r[i], alpha[i], kappa[i]
        p[: n + 2] = 0.0
        q[:, : n + 2] = 0.0
        p[0] = 1.0
        low, high, theta, theta_a, theta_k, last = 0, 0, 0.0, 0.0, 0.0, 0.0
        for k in range(n):
            wait = times[first + k] - last
            last = times[first + k]
            later, log_mass, lost, kept = quiet(theta, wait, alpha_i, kappa_i, 1.0)
            _slopes_of_quiet(theta, theta_a, theta_k, wait, alpha_i, kappa_i, later, lost, kept, out)
            theta, theta_a, theta_k = later, out[0, 0], out[0, 1]
            own, power = low, 0
            for v in range(3):
                _shifted(q[v], own, high, lost, kept, room)
            low, power = _shifted(p, own, high, lost, kept, room)
            for v in range(2):
                of_lost, of_log_kept = out[2, v] / kept, out[3, v]
                for m in range(low, high):
                    q[v + 1, m] += of_lost * (m + 1.0) * p[m + 1] + of_log_kept * (m - power) * p[m]
                q[v + 1, high] += of_log_kept * (high - power) * p[high]
            total = 0.0
            total_q[:] = 0.0
            scale = alpha_i + theta
            for m in range(high, low - 1, -1):
                each = (r_i + m) / scale
                p[m + 1] = p[m] * each
                q[0, m + 1] = q[0, m] * each + p[m] / scale
                q[1, m + 1] = q[1, m] * each - p[m + 1] * (1.0 + theta_a) / scale
                q[2, m + 1] = q[2, m] * each - p[m + 1] * theta_k / scale
                total += p[m + 1]
                for v in range(3):
                    total_q[v] += q[v, m + 1]
            p[low] = 0.0
            q[:, low] = 0.0
            for m in range(low + 1, high + 2):
                p[m] /= total
                for v in range(3):
                    q[v, m] = (q[v, m] - p[m] * total_q[v]) / total
            found[0, i] += total_q[0] / total + log_mass
            for v in range(2):
                found[v + 1, i] += total_q[v + 1] / total + r_i * out[1, v] + power * out[3, v]
            before, behind = low + 1, high + 1
            low, high = _trimmed(p, before, behind)
            q[:, before:low] = 0.0
            q[:, high + 1 : behind + 1] = 0.0
        wait = T[i] - last
        if not wait > 0.0:
            continue
        later, log_mass, lost, kept = quiet(theta, wait, alpha_i, kappa_i, 1.0)
        _slopes_of_quiet(theta, theta_a, theta_k, wait, alpha_i, kappa_i, later, lost, kept, out)
        factor = kept + lost
        total = power_sum(p, low, high, factor)
        slope = 0.0
        for m in range(high, low - 1, -1):
            slope = slope * factor + p[m] * m
        slope /= total * factor
        for v in range(3):
            found[v + 3, i] = power_sum(q[v], low, high, factor) / total
        found[3, i] += log_mass
        for v in range(2):
            found[v + 4, i] += r_i * out[1, v] + slope * (out[2, v] + kept * out[3, v])
    return found[0], found[1], found[2], found[3], found[4], found[5]


class Drifting(NamedTuple):
    """What histories say of customers' rates in each draw; (row, draw) but for ``mixture``.

    ``silent`` is the log probability of no purchase since the last. With ``end`` 0 just after the last purchase and 1
    at the end of observation, if the customer has not left: the rate is a mixture of Gamma(r + m, ``scale``), with the
    weights ``mixture[place : place + count]`` of m = ``least``, ``least`` + 1, ..., (row, draw, end) each, and ``mean``.
    """

    silent: Any
    scale: Any
    mean: Any
    place: Any
    least: Any
    count: Any
    mixture: Any


@_compiled
def _kept(mixture, used, p, low, high):  # type: ignore[no-untyped-def]
    """Write a window at the end of what is used of ``mixture``; return it, larger where that was needed."""
    count = high - low + 1
    if used + count > mixture.size:
        larger = np.empty(2 * mixture.size + count)
        larger[:used] = mixture[:used]
        mixture = larger
    for m in range(count):
        mixture[used + m] = p[low + m]
    return mixture


@_compiled
def states(T, start, size, times, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return ``Drifting`` of rows (row) as in ``log_likelihoods``; the parameters are (row, draw)."""
    rows, draws = r.shape
    most = 0
    for i in range(rows):
        most = max(most, np.int64(size[i]))
    p, room = np.zeros(most + 2), np.empty(most + 2)
    silent = np.zeros((rows, draws))
    scale, mean = np.empty((rows, draws, 2)), np.empty((rows, draws, 2))
    place = np.empty((rows, draws, 2), dtype=np.int64)
    least, count = np.empty((rows, draws, 2), dtype=np.int32), np.empty((rows, draws, 2), dtype=np.int32)
    mixture, used = np.empty(2 * rows * draws * min(most + 1, 8)), 0
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        own = times[first : first + n]
        wait = T[i] - (own[n - 1] if n else 0.0)
        for s in range(draws):
            r_s, alpha_s, kappa_s = r[i, s], alpha[i, s], kappa[i, s]
            low, high, theta, _ = after_last(p[: n + 2], own, r_s, alpha_s, kappa_s, room)
            for end in range(2):
                if end == 1 and wait > 0.0:
                    theta, log_mass, lost, kept = quiet(theta, wait, alpha_s, kappa_s, 1.0)
                    low, power = _shifted(p, low, high, lost, kept, room)
                    total = 0.0
                    for m in range(low, high + 1):
                        total += p[m]
                    for m in range(low, high + 1):
                        p[m] /= total
                    silent[i, s] = r_s * log_mass + power * math.log(kept) + math.log(total)
                    low, high = _trimmed(p, low, high)
                average = 0.0
                for m in range(low, high + 1):
                    average += p[m] * m
                scale[i, s, end] = alpha_s + theta
                mean[i, s, end] = (r_s + average) / (alpha_s + theta)
                place[i, s, end], least[i, s, end], count[i, s, end] = used, low, high - low + 1
                mixture = _kept(mixture, used, p, low, high)
                used += high - low + 1
    return Drifting(silent, scale, mean, place, least, count, mixture[:used].copy())


@_compiled
def drawn_shapes(rates, living, u):  # type: ignore[no-untyped-def]
    """Return (row, draw) draws of m: at the end of observation where ``living``, else at the last purchase."""
    found = np.empty(u.shape)
    for i in range(u.shape[0]):
        for s in range(u.shape[1]):
            end = 1 if living[i, s] else 0
            at, count = rates.place[i, s, end], rates.count[i, s, end]
            left, k = u[i, s], 0
            while k < count - 1 and left >= rates.mixture[at + k]:
                left -= rates.mixture[at + k]
                k += 1
            found[i, s] = rates.least[i, s, end] + k
    return found
