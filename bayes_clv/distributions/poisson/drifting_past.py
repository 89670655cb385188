"""Where a rate that drifts was some time ago, given all that was seen, the time since included: draws.

What the filter (``drifting``) says of a rate at a time knows what was bought until then. What was bought since says
more: backwards, from a draw of the rate at the end, one wait after the other. Given the rate l that ends a wait t
without a purchase, the rate lambda that began it has the density of the filter's mixture there, p_m Gamma(r + m, A),
times that of the way from lambda to l,

    e^(-b lambda) sum over J of Poisson(J; c lambda) Gamma(l; r + J, rho),   b = 2 (1 - e) / D,
    c = 4 gamma² e / (s (1 - e) D),   rho = D / (s (1 - e)),   D at theta = 0.

With B = A + b + c and z = c rho l / B all of it is a mixture that is drawn from exactly, in as many steps as m has:

- m with the weights p_m (A / B)^m F_m, F_m the sum of z^J / J! times (r + m)_J / (r)_J, less e^z: 1F1(-m; r; -z), by
  (r + m) F_(m + 1) = (2 m + r + z) F_m - m F_(m - 1), of terms that grow;
- i of 0 ... m, i of J that are not random, with the weights C(m, i) (r + i)_(m - i) z^i;
- then lambda is Gamma(r + m + i + Poisson(z), B).

A purchase at the end of a wait changes nothing here: given l it says no more of what was before. Nothing is integrated
in steps of time, so that there is no error of any. Rejected: a second filter from the end backwards, of which the
product with the first is the same in closed form, but for one time alone and not together with the rate at the end.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.poisson.drifting import (
    COARSE_TRIM,
    after_last,
    bought,
    pace,
    room_for,
    silenced,
    wait_of,
)
from bayes_clv.distributions.streams import GOLDEN, mix, standard_gamma, standard_normal, unit

# What the streams are for: of all of it, of the parts of a step.
PAST = np.uint64(0xC2B2AE3D27D4EB4F)
SHARED = np.uint64(0x165667B19E3779F9)
REST = np.uint64(0x27D4EB2F165667C5)
# So much is remembered of a rate that it has not changed by more than 1e-12 of itself.
UNCHANGED = 1e24
# Weights below this share of the largest are left out of a sum.
NEGLIGIBLE = 1e-18

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def _gamma_of_poisson(shape, z, stream, step):  # type: ignore[no-untyped-def]
    """Return a Gamma variate of the shape and a Poisson number of mean z more."""
    if shape <= 0.5:
        # The Poisson number is none; or one, of a process in time, and those after it.
        u = unit(mix(stream ^ SHARED))
        if u < math.exp(-z):
            found, _ = standard_gamma(shape, mix(stream ^ REST), step)
            return found
        z += math.log(u)
        shape += 1.0
    # A Gamma of shape 1/2 and a Poisson number more is half of a Normal's square about sqrt(2 z).
    normal, _ = standard_normal(mix(stream), step)
    normal += math.sqrt(2.0 * z)
    left, _ = standard_gamma(shape - 0.5, mix(stream ^ REST), step)
    return 0.5 * normal * normal + left


@_compiled
def _shared(m, r, z, u):  # type: ignore[no-untyped-def]
    """Return i, with the weights C(m, i) (r + i)_(m - i) z^i."""
    top = 0
    while top < m and (m - top) * z > (top + 1.0) * (r + top):
        top += 1
    total = each = 1.0
    last = top
    while last < m and each > NEGLIGIBLE:
        each *= (m - last) * z / ((last + 1.0) * (r + last))
        last += 1
        total += each
    each, first = 1.0, top
    while first > 0 and each > NEGLIGIBLE:
        first -= 1
        each *= (first + 1.0) * (r + first) / ((m - first) * z)
        total += each
    left = u * total
    while first < last:
        left -= each
        if left < 0.0:
            break
        each *= (m - first) * z / ((first + 1.0) * (r + first))
        first += 1
    return first


@_compiled
def _rate_before(p, low, high, theta, wait, rate, r, alpha, kappa, stream, step, room):  # type: ignore[no-untyped-def]
    """Return a draw of the rate that began a wait, given the one that ended it.

    ``p`` from ``low`` to ``high`` is the filter's mixture at the beginning; ``room`` has as many places.
    """
    s, gamma, _, e, change, d = wait_of(0.0, wait, alpha, kappa)
    if not s * change > 0.0:
        return rate
    known = alpha + theta
    many = 4.0 * gamma * gamma * e / (s * change * d)
    total = known + 2.0 * change / d + many
    z = many / total * (d / (s * change)) * rate
    if not z < UNCHANGED:
        return rate
    log_share = math.log(known / total)
    log_f, growth, largest = 0.0, 1.0 + z / r, -math.inf
    for m in range(high + 1):
        if m >= low:
            room[m] = math.log(p[m]) + m * log_share + log_f
            largest = max(largest, room[m])
        log_f += math.log(growth)
        growth = ((2.0 * m + 2.0 + r + z) - (m + 1.0) / growth) / (r + m + 1.0)
    left = 0.0
    for m in range(low, high + 1):
        room[m] = math.exp(room[m] - largest)
        left += room[m]
    left *= unit(mix(stream ^ PAST))
    m = low
    while m < high:
        left -= room[m]
        if left < 0.0:
            break
        m += 1
    i = _shared(m, r, z, unit(mix(stream ^ REST ^ PAST)))
    return _gamma_of_poisson(r + (m + i), z, mix(stream ^ SHARED), step) / total


@_compiled
def rates_ago(T, start, size, times, r, alpha, kappa, ago, rate, left, keys):  # type: ignore[no-untyped-def]
    """Return (row, draw): each customer's rate a time ``ago`` (row) before T, or at the first purchase where younger.

    ``rate`` is now, or that of when it left, a time ``left`` from now that is then not above 0: of one who had left
    before, it is that. Histories and parameters are as in ``drifting_states.states``; ``keys`` (row, 2) of streams.
    """
    rows, draws = rate.shape
    found = np.empty((rows, draws))
    most = np.int64(size.max()) if rows else 0
    p, work, room = np.empty(most + 2), room_for(most), np.empty(most + 2)
    later = 0
    for i in range(rows):
        begin = np.int64(start[i])
        own = times[begin : begin + np.int64(size[i])]
        later = max(later, own.size - np.searchsorted(own, max(T[i] - ago[i], 0.0), side="right"))
    mixtures = np.empty((later + 1, most + 2))
    window, thetas = np.empty((later + 1, 2), dtype=np.int64), np.empty(later + 1)
    for i in range(rows):
        n, begin, then = np.int64(size[i]), np.int64(start[i]), max(T[i] - ago[i], 0.0)
        own = times[begin : begin + n]
        before = np.searchsorted(own, then, side="right")
        for s in range(draws):
            now = T[i] + min(left[i, s], 0.0)
            value = rate[i, s]
            if not now > then:
                found[i, s] = value
                continue
            r_s, alpha_s, kappa_s = r[i, s], alpha[i, s], kappa[i, s]
            mine = p[: n + 2]
            low, high, theta, _ = after_last(mine, own[:before], r_s, alpha_s, kappa_s, work, COARSE_TRIM)
            wait = then - (own[before - 1] if before else 0.0)
            if wait > 0.0:
                low, high, theta, _ = silenced(
                    mine, low, high, theta, wait, r_s, alpha_s, kappa_s, work, COARSE_TRIM
                )
            paced, last = pace(alpha_s, kappa_s), then
            for k in range(n - before + 1):
                if k > 0:
                    low, high, theta, _, _, _, _ = bought(
                        mine,
                        low,
                        high,
                        theta,
                        own[before + k - 1] - last,
                        r_s,
                        alpha_s,
                        kappa_s,
                        paced,
                        work,
                        COARSE_TRIM,
                    )
                    last = own[before + k - 1]
                mixtures[k, low : high + 1] = mine[low : high + 1]
                window[k, 0], window[k, 1], thetas[k] = low, high, theta
            stream = mix(mix(keys[i, 0] + np.uint64(s) * GOLDEN) ^ PAST)
            for k in range(n - before, -1, -1):
                at = own[before + k - 1] if k else then
                if now > at:
                    stream += keys[i, 1]
                    value = _rate_before(
                        mixtures[k],
                        window[k, 0],
                        window[k, 1],
                        thetas[k],
                        now - at,
                        value,
                        r_s,
                        alpha_s,
                        kappa_s,
                        mix(stream),
                        keys[i, 1],
                        room,
                    )
                now = at
            found[i, s] = value
    return found
