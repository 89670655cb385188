"""Slopes of the filter of a drifting rate in the times of purchases, and in its parameters, in one pass backwards.

A calendar turns the times of purchases into operational ones that its rates move, so that the likelihood of
``drifting`` needs its slope in every time. Forwards each time would be a pass of its own. Backwards all slopes come
together: the mixture after each purchase is kept, and the filter gone through in reverse, with the slopes of the result
in the mixture and in theta (their adjoints) as its state.

A step, q the mixture before the purchase is taken, p'_(j+1) = q_j (r + j) / total: with u_j the adjoint of p'_(j+1),
less its mean and plus that of the log density, the adjoint of q_j is u_j (r + j) / total, and of what it was before
the wait the transposed composition of that with lost + kept z; to r comes sum of u_j p'_(j+1) / (r + j), to
log(alpha + theta') minus the adjoint of the log density, to log kept sum of j u_j p'_(j+1). What comes to log lost
follows from these: q_j is of degree m in (lost, kept) of each m before, so that both together make sum of m times
p_m times its adjoint. (By its own slope, (j + 1) q_(j + 1) / kept, it would be lost where q is trimmed.)
"""

import numpy as np
from numba import njit

from bayes_clv.distributions.poisson.drifting import (
    TRIM,
    bought,
    pace,
    power_sum,
    powers_of,
    room_for,
    shift_terms,
    through,
    wait_at,
)

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def _slopes_of_quiet(theta, t, alpha, way, later, out):  # type: ignore[no-untyped-def]
    """Write the slopes in (theta, t, alpha, kappa) of theta', log M, log lost and log kept: ``out`` (4, 4)."""
    s, gamma, delta, e, change, d = way
    kappa = gamma - delta
    of_d, of_gamma = 1.0 / d, 1.0 / gamma
    before, after = 1.0 / (alpha + theta), 1.0 / (alpha + later)
    for v in range(4):
        theta_v, t_v, alpha_v, kappa_v = 0.0 + (v == 0), 0.0 + (v == 1), 0.0 + (v == 2), 0.0 + (v == 3)
        s_v = 2.0 / alpha * kappa_v - s / alpha * alpha_v
        gamma_v = (kappa * kappa_v + s_v) * of_gamma
        delta_v = 2.0 / alpha * delta / (gamma + kappa) * of_gamma if v == 3 else gamma_v
        turn_v = gamma_v * t + gamma * t_v
        e_v = -turn_v * e
        d_v = (
            (s_v * theta + s * theta_v) * change
            - s * theta * e_v
            + delta_v * e
            + delta * e_v
            + gamma_v
            + kappa_v
        )
        numerator_v = (
            theta_v * ((gamma + kappa) * e + delta)
            + theta * ((gamma_v + kappa_v) * e + (gamma + kappa) * e_v + delta_v)
            - 2.0 * e_v
        )
        later_v = (numerator_v - later * d_v) * of_d
        log_ratio_v = (alpha_v + theta_v) * before - (alpha_v + later_v) * after
        log_d_v = d_v * of_d
        out[0, v] = later_v
        out[1, v] = gamma_v * of_gamma - log_d_v - 0.5 * (delta_v * t + delta * t_v) + log_ratio_v
        out[2, v] = s_v / s - e_v / change + (alpha_v + theta_v) * before - log_d_v
        out[3, v] = 2.0 * gamma_v * of_gamma - turn_v + log_ratio_v - 2.0 * log_d_v


@_compiled
def _recomposed(x, begin, low, high, lost, kept, terms, work):  # type: ignore[no-untyped-def]
    """Turn x_begin ... x_high, the adjoint of what ``drifting`` shifts, into that of what was shifted, low ... high."""
    numbers, powers, term = work
    if terms == 0:
        for m in range(high + 1):
            term[m] = x[m]
        for m in range(1, high + 1):
            for j in range(high + 1 - m):
                term[j] = lost * term[j] + kept * term[j + 1]
            x[m] = term[0]
        return
    growth, width = lost / kept, high + 1 - begin
    own = x[begin : high + 1]
    for j in range(width):
        term[j] = own[j]
    for length in range(1, terms + 1):
        factor = growth / length
        for j in range(width - 1, 0, -1):
            term[j] = term[j - 1] * (numbers[begin + j] * factor)
            own[j] += term[j]
        term[0] = 0.0
    scaled = powers[: high + 1 - low]
    powers_of(kept, scaled)
    for j in range(scaled.size):
        x[low + j] *= scaled[j]


@_compiled
def _longer(mixture, needed):  # type: ignore[no-untyped-def]
    """Return the array, larger where ``needed`` is more than it holds."""
    if needed <= mixture.size:
        return mixture
    larger = np.empty(2 * needed)
    larger[: mixture.size] = mixture
    return larger


@_compiled
def _window(mixture, windows, k):  # type: ignore[no-untyped-def]
    """Return the weights of the k-th state."""
    return mixture[windows[2, k] : windows[2, k] + windows[1, k] + 1 - windows[0, k]]


@_compiled
def _filtered(own, r, alpha, kappa, paced, room):  # type: ignore[no-untyped-def]
    """Filter one customer's purchases, and keep of each state the window, where its mixture is, theta and the sum."""
    p, windows, states, mixture, work = room
    p[: own.size + 2] = 0.0
    p[0] = mixture[0] = 1.0
    windows[:, 0] = 0
    states[0, 0] = 0.0
    used, last = 1, 0.0
    for k in range(own.size):
        low, high, theta, _, total, _, _ = bought(
            p[: own.size + 2],
            windows[0, k],
            windows[1, k],
            states[0, k],
            own[k] - last,
            r,
            alpha,
            kappa,
            paced,
            work,
            TRIM,
        )
        last = own[k]
        windows[0, k + 1], windows[1, k + 1], windows[2, k + 1] = low, high, used
        states[0, k + 1], states[1, k + 1] = theta, total
        mixture = _longer(mixture, used + high + 1 - low)
        for m in range(low, high + 1):
            mixture[used + m - low] = p[m]
        used += high + 1 - low
    return mixture


@_compiled
def _silence_back(p, low, high, theta, wait, r, alpha, kappa, paced, weight, x, out, found):  # type: ignore[no-untyped-def]
    """Write the adjoint of the mixture that a silence begins with, and the slopes: ``found``, as ``_step_back``."""
    way = wait_at(theta, wait, kappa, paced)
    later, log_mass, lost, kept = through(theta, wait, alpha, way)
    _slopes_of_quiet(theta, wait, alpha, way, later, out)
    factor = kept + lost
    total, power, moment = power_sum(p, low, high, factor), 1.0, 0.0
    for m in range(low, high + 1):
        x[m] = weight * power / total
        moment += x[m] * p[m] * m
        power *= factor
    moment /= factor
    for v in range(4):
        found[v] = weight * r * out[1, v] + moment * (lost * out[2, v] + kept * out[3, v])
    found[4] = weight * (log_mass - 0.5 * way[2] * wait)


@_compiled
def _step_back(before, after, wait, r, alpha, kappa, paced, weight, x, work, out, found):  # type: ignore[no-untyped-def]
    """Take the adjoint x of the mixture after a purchase to that before the wait that it ended.

    ``before`` and ``after`` are (lowest, mixture, theta), ``after`` with the sum too; ``found`` (5) holds the adjoint
    of theta first, and becomes the slopes in theta before, wait, alpha, kappa and r.
    """
    numbers = work[0]
    low, past, theta = before
    lowest, now, _, total = after
    high = low + past.size - 1
    way = wait_at(theta, wait, kappa, paced)
    later, log_mass, lost, kept = through(theta, wait, alpha, way)
    _slopes_of_quiet(theta, wait, alpha, way, later, out)
    terms, begin = shift_terms(low, high, lost, kept, TRIM)
    mean = 0.0
    for j in range(now.size):
        mean += now[j] * x[lowest + j]
    scale = 1.0 / (alpha + later)
    inverse, in_r, in_kept, both = scale / total, 0.0, 0.0, 0.0
    for j in range(begin, high + 1):
        u, at = x[j + 1] - mean + weight, j + 1 - lowest
        if 0 <= at < now.size:
            share = u * now[at]
            in_r += share / (r + numbers[j])
            in_kept += share * numbers[j]
        x[j] = u * ((r + numbers[j]) * inverse)
    x[high + 1] = 0.0
    _recomposed(x, begin, low, high, lost, kept, terms, work)
    x[begin:low] = 0.0
    for j in range(past.size):
        both += x[low + j] * past[j] * numbers[low + j]
    of_later = found[0] - weight * scale
    for v in range(4):
        found[v] = (
            of_later * out[0, v] + weight * r * out[1, v] + (both - in_kept) * out[2, v] + in_kept * out[3, v]
        )
    found[2] -= weight * scale
    found[4] = in_r + weight * (log_mass - 0.5 * way[2] * wait)


@_compiled
def slopes(T, start, size, times, r, alpha, kappa, of_bought, of_silent):  # type: ignore[no-untyped-def]
    """Return the slopes of what ``drifting.log_likelihoods`` gives, weighed row by row by the last two and added up.

    In T (row), in the times, flat as they are, and in r, alpha and kappa (row).
    """
    rows = T.size
    of_T, of_times, of_rate = np.zeros(rows), np.zeros(times.size), np.zeros((3, rows))
    most = np.int64(size.max()) if rows else 0
    p, x, work = np.empty(most + 2), np.zeros(most + 2), room_for(most)
    windows, states = np.empty((3, most + 1), dtype=np.int64), np.empty((2, most + 1))
    mixture, out, found = np.empty(8 * (most + 2)), np.empty((4, 4)), np.empty(5)
    for i in range(rows):
        n, first = np.int64(size[i]), np.int64(start[i])
        own, moved = times[first : first + n], of_times[first : first + n]
        paced = pace(alpha[i], kappa[i])
        mixture = _filtered(own, r[i], alpha[i], kappa[i], paced, (p, windows, states, mixture, work))
        x[: n + 2] = 0.0
        found[:] = 0.0
        wait = T[i] - (own[n - 1] if n else 0.0)
        if wait > 0.0:
            low, high, theta = windows[0, n], windows[1, n], states[0, n]
            _silence_back(
                p, low, high, theta, wait, r[i], alpha[i], kappa[i], paced, of_silent[i], x, out, found
            )
            of_T[i] = found[1]
            if n:
                moved[n - 1] -= found[1]
        of_rate[0, i], of_rate[1, i], of_rate[2, i] = found[4], found[2], found[3]
        for k in range(n - 1, -1, -1):
            wait = own[k] - own[k - 1] if k else own[0]
            _step_back(
                (windows[0, k], _window(mixture, windows, k), states[0, k]),
                (windows[0, k + 1], _window(mixture, windows, k + 1), states[0, k + 1], states[1, k + 1]),
                wait,
                r[i],
                alpha[i],
                kappa[i],
                paced,
                of_bought[i],
                x,
                work,
                out,
                found,
            )
            moved[k] += found[1]
            if k:
                moved[k - 1] -= found[1]
            of_rate[0, i] += found[4]
            of_rate[1, i] += found[2]
            of_rate[2, i] += found[3]
    return of_T, of_times, of_rate[0], of_rate[1], of_rate[2]
