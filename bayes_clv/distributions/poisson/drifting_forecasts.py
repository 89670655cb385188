"""Forecasts of customers who are alive and whose rate drifts (``drifting``), with a coin after each purchase or none.

Given the mixture of a customer's rate, E[(1 - p)^N] of the N purchases within t has a closed form for every p; so

- purchases without a coin: E[N] = r t / alpha + (mean - r / alpha) (1 - e^(-kappa t)) / kappa;
- survival of the coin p ~ Beta(a, B): E[(1 - p)^N] = 1 - a / (a + B) E'[K(p)], K(p) = (1 - E[(1 - p)^N | p]) / p and E'
  over Beta(a + 1, B);
- purchases with it: E[K(p)] = E[N] - a / (a + B) E'[(K(0) - K(p)) / p];
- P(N = n): Cauchy's integral of E[z^N] around the unit circle, by the trapezoidal rule (which is the discrete Fourier
  transform), as many points as leave no mass beyond.

The averages over p are trapezoidal rules in logit(p), in which the integrand is analytic for |Im| < pi / 2 however many
purchases there are; what is averaged is taken less its value at p = 1, so that both tails fall at least as e^-|u|.
Close to p = 0 the quotients are their limits (``NEAR``). Relative error 1e-10; of ``discounted``, which is a
Gauss-Legendre rule over time of the same, 1e-7.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp, expm1, log, log1p, log1p_positive
from bayes_clv.distributions.poisson.drifting import LEAST_KEPT, quiet, through, wait_of

STEP = 0.4
STEP_PER_SD = 0.6
COARSE = 0.5
# Terms below which a tail is left out, relatively; the larger for six digits.
TOLERANCE, LARGER = 1e-12, 1e-8
NEAR = 1e-5
# Nodes of a rule over p that go side by side.
AT_ONCE = 16
PLACES = np.arange(float(AT_ONCE))
# Of a rule over time in log1p(time / scale).
MOMENTS, MOMENT_WEIGHTS = np.polynomial.legendre.leggauss(28)
# What a discount of a whole life leaves out.
FORGOTTEN = 36.0

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


@_compiled
def expected_of(mean, t, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return E[N] within t."""
    return r * t / alpha + (mean - r / alpha) * (-math.expm1(-kappa * t) / kappa)


@_compiled
def _quotients(p, t, mixture, least, scale, mean, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return K(p) and (K(0) - K(p)) / p."""
    all_of_them = expected_of(mean, t, r, alpha, kappa)
    near = NEAR / max(1.0, all_of_them)
    at = max(p, near)
    log_h = log_silence_of(mixture, least, scale - alpha, t, r, alpha, kappa, at)
    k = -math.expm1(log_h) / at
    bent = (all_of_them - k) / at
    return (k, bent) if p >= near else (all_of_them - p * bent, bent)


@_compiled
def log_silence_of(mixture, least, theta, t, r, alpha, kappa, g):  # type: ignore[no-untyped-def]
    """Return the log of E[(1 - g)^N] of a mixture whose first weight is that of ``least``."""
    _, log_mass, lost, kept = quiet(theta, t, alpha, kappa, g)
    factor = lost + kept
    total = 0.0
    for m in range(mixture.size - 1, -1, -1):
        total = total * factor + mixture[m]
    return r * log_mass + least * math.log(factor) + math.log(total)


@_compiled
def silent_of(mixture, least, theta, t, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return the log probability of no purchase within t > 0, and the mean rate after it."""
    way = wait_of(theta, t, alpha, kappa)
    later, log_mass, lost, kept = through(theta, t, alpha, way)
    log_mass = r * (log_mass - 0.5 * way[2] * t)
    factor = lost + kept
    if mixture.size == 1:
        if least > 0:
            log_mass += least * math.log(factor)
        return log_mass, (r + kept / factor * least) / (alpha + later)
    total, moment = 0.0, 0.0
    for m in range(mixture.size - 1, -1, -1):
        moment = moment * factor + mixture[m] * (least + m)
        total = total * factor + mixture[m]
    if least > 0:
        log_mass += least * math.log(factor)
    return log_mass + math.log(total), (r + kept / factor * (moment / total)) / (alpha + later)


@_compiled
def _at_nodes(n, step, peak, law, mixture, beta, room):  # type: ignore[no-untyped-def]
    """Write the weights, K(p) and (K(0) - K(p)) / p at the nodes n, n + 1, ... of a rule in logit p, side by side."""
    t, least, theta, all_of_them, r, alpha, kappa = law
    a, b, log_beta = beta
    weight, k, bent, ps, logs, factors, totals = room[0], room[1], room[2], room[3], room[4], room[5], room[6]
    near = NEAR / max(1.0, all_of_them)
    # Of a number that the compiler knows it would unroll the loops, and make no vectors.
    number = weight.size
    s = 2.0 * kappa / alpha
    for j in range(number):
        u = peak + (n + PLACES[j]) * step
        small = exp(-abs(u))
        inverse = 1.0 / (1.0 + small)
        log_larger = -log1p_positive(small, inverse)
        above = u >= 0.0
        p = inverse if above else small * inverse
        log_p = log_larger if above else u + log_larger
        log_q = log_larger - u if above else log_larger
        weight[j] = exp((a + 1.0) * log_p + b * log_q - log_beta)
        ps[j] = p
    # As ``quiet``. Loops of few arrays each: of many no vectors are made.
    for j in range(number):
        g = max(ps[j], near)
        gamma = math.sqrt(kappa * kappa + 2.0 * s * g)
        delta = 2.0 * s * g / (gamma + kappa)
        change = -expm1(-gamma * t)
        e = 1.0 - change
        d = s * theta * change + delta * e + (gamma + kappa)
        later = (theta * ((gamma + kappa) * e + delta) + 2.0 * g * change) / d
        ratio = (alpha + theta) / (alpha + later)
        lost = s * change * (alpha + theta) / d
        kept = max(4.0 * gamma * gamma * e * ratio / (d * d), LEAST_KEPT)
        logs[j] = (
            -log1p((s * theta - delta) * change / (2.0 * gamma))
            - 0.5 * delta * t
            - log1p((later - theta) / (alpha + theta))
        )
        factors[j] = lost + kept
    totals[:] = 0.0
    for m in range(mixture.size - 1, -1, -1):
        each = mixture[m]
        for j in range(number):
            totals[j] = totals[j] * factors[j] + each
    for j in range(number):
        totals[j] = r * logs[j] + least * log(factors[j]) + log(totals[j])
    for j in range(number):
        at = max(ps[j], near)
        value = -expm1(totals[j]) / at
        bent[j] = (all_of_them - value) / at
        k[j] = value if ps[j] >= near else all_of_them - ps[j] * bent[j]


@_compiled
def _averages(t, mixture, least, scale, mean, r, alpha, kappa, a, b, step, tolerance, room):  # type: ignore[no-untyped-def]
    """Return E'[K(p)] and E'[(K(0) - K(p)) / p] over p ~ Beta(a + 1, b); ``room`` is to work in."""
    top_k, top_bent = _quotients(1.0, t, mixture, least, scale, mean, r, alpha, kappa)
    beta = a, b, math.lgamma(a + 1.0) + math.lgamma(b) - math.lgamma(a + 1.0 + b)
    law = t, float(least), scale - alpha, expected_of(mean, t, r, alpha, kappa), r, alpha, kappa
    step = min(step, STEP_PER_SD * math.sqrt(1.0 / (a + 1.0) + 1.0 / (b + 1.0)))
    peak = math.log((a + 1.0) / (b + 1.0))
    sum_k = sum_bent = size_k = size_bent = 0.0
    for side in range(2):
        n, going = side, True
        while going:
            _at_nodes(float(n), step if side else -step, peak, law, mixture, beta, room)
            for j in range(AT_ONCE):
                added_k = room[0, j] * (room[1, j] - top_k)
                added_bent = room[0, j] * (room[2, j] - top_bent)
                sum_k += added_k
                sum_bent += added_bent
                size_k += abs(added_k)
                size_bent += abs(added_bent)
                n += 1
                small_k = abs(added_k) <= tolerance * (size_k + abs(top_k))
                small_bent = abs(added_bent) <= tolerance * (size_bent + abs(top_bent))
                if (small_k and small_bent and n > 2) or n > 4000:
                    going = False
                    break
    return top_k + step * sum_k, top_bent + step * sum_bent


@_compiled
def purchases(times, rates, r, alpha, kappa, a, b):  # type: ignore[no-untyped-def]
    """Return expected purchases (time, row, draw) of those alive; parameters are (row, draw), a = 0 without a coin."""
    rows, draws = r.shape
    found, room = np.empty((times.size, rows, draws)), np.empty((7, AT_ONCE))
    for i in range(rows):
        for s in range(draws):
            at = rates.place[i, s, 1]
            mixture = rates.mixture[at : at + rates.count[i, s, 1]]
            least, scale, mean = rates.least[i, s, 1], rates.scale[i, s, 1], rates.mean[i, s, 1]
            for k in range(times.size):
                t = times[k]
                if not t > 0.0:
                    found[k, i, s] = 0.0
                    continue
                value = expected_of(mean, t, r[i, s], alpha[i, s], kappa[i, s])
                if a[i, s] > 0.0:
                    _, bent = _averages(
                        t,
                        mixture,
                        least,
                        scale,
                        mean,
                        r[i, s],
                        alpha[i, s],
                        kappa[i, s],
                        a[i, s],
                        b[i, s],
                        STEP,
                        TOLERANCE,
                        room,
                    )
                    value -= a[i, s] / (a[i, s] + b[i, s]) * bent
                found[k, i, s] = value
    return found


@_compiled
def expected_purchases(t, rates, r, alpha, kappa, a, b):  # type: ignore[no-untyped-def]
    """Return what ``purchases`` does (row, draw) of one time t > 0, to six digits."""
    rows, draws = r.shape
    found, room = np.empty((rows, draws)), np.empty((7, AT_ONCE))
    for i in range(rows):
        for s in range(draws):
            at = rates.place[i, s, 1]
            mixture = rates.mixture[at : at + rates.count[i, s, 1]]
            least, scale, mean = rates.least[i, s, 1], rates.scale[i, s, 1], rates.mean[i, s, 1]
            r_s, alpha_s, kappa_s, a_s = r[i, s], alpha[i, s], kappa[i, s], a[i, s]
            value = expected_of(mean, t, r_s, alpha_s, kappa_s)
            if a_s > 0.0:
                _, bent = _averages(
                    t, mixture, least, scale, mean, r_s, alpha_s, kappa_s, a_s, b[i, s], COARSE, LARGER, room
                )
                value -= a_s / (a_s + b[i, s]) * bent
            found[i, s] = value
    return found


@_compiled
def survival(times, rates, r, alpha, kappa, a, b):  # type: ignore[no-untyped-def]
    """Return the probability (time, row, draw) of staying alive."""
    rows, draws = r.shape
    found, room = np.ones((times.size, rows, draws)), np.empty((7, AT_ONCE))
    for i in range(rows):
        for s in range(draws):
            if not a[i, s] > 0.0:
                continue
            at = rates.place[i, s, 1]
            mixture = rates.mixture[at : at + rates.count[i, s, 1]]
            least, scale, mean = rates.least[i, s, 1], rates.scale[i, s, 1], rates.mean[i, s, 1]
            for k in range(times.size):
                if times[k] > 0.0:
                    average, _ = _averages(
                        times[k],
                        mixture,
                        least,
                        scale,
                        mean,
                        r[i, s],
                        alpha[i, s],
                        kappa[i, s],
                        a[i, s],
                        b[i, s],
                        STEP,
                        TOLERANCE,
                        room,
                    )
                    found[k, i, s] = 1.0 - a[i, s] / (a[i, s] + b[i, s]) * average
    return found


@_compiled
def discounted(horizon, rate, rates, r, alpha, kappa, a, b):  # type: ignore[no-untyped-def]
    """Return expected purchases (row, draw) of those alive to a horizon, infinite for good, each worth e^(-rate t)."""
    rows, draws = r.shape
    found, room = np.empty((rows, draws)), np.empty((7, AT_ONCE))
    for i in range(rows):
        for s in range(draws):
            at = rates.place[i, s, 1]
            mixture = rates.mixture[at : at + rates.count[i, s, 1]]
            least, scale, mean = rates.least[i, s, 1], rates.scale[i, s, 1], rates.mean[i, s, 1]
            last = min(horizon, FORGOTTEN / rate) if rate > 0.0 else horizon
            short = 1.0 / mean
            width = 0.5 * math.log1p(last / short)
            share = a[i, s] / (a[i, s] + b[i, s])
            total = 0.0
            for k in range(MOMENTS.size + 1):
                end = k == MOMENTS.size
                u = width * (1.0 + MOMENTS[k % MOMENTS.size])
                t = last if end else short * math.expm1(u)
                value = expected_of(mean, t, r[i, s], alpha[i, s], kappa[i, s])
                if a[i, s] > 0.0:
                    _, bent = _averages(
                        t,
                        mixture,
                        least,
                        scale,
                        mean,
                        r[i, s],
                        alpha[i, s],
                        kappa[i, s],
                        a[i, s],
                        b[i, s],
                        COARSE,
                        TOLERANCE,
                        room,
                    )
                    value -= share * bent
                worth = math.exp(-rate * t)
                if end:
                    total += worth * value
                else:
                    total += MOMENT_WEIGHTS[k] * width * (short + t) * rate * worth * value
            found[i, s] = total
    return found


@_compiled
def points_of(mean, t, scale, least_needed):  # type: ignore[no-untyped-def]
    """Return how many points of the circle leave no mass beyond: that of a constant rate, whose tail is heavier."""
    tau = t / scale
    # A bulk, and a tail that falls as (tau / (1 + tau))^n.
    most = mean + 9.0 * math.sqrt(mean * (1.0 + tau)) + (40.0 / math.log1p(1.0 / tau) if tau > 0.0 else 0.0)
    points = 32
    while points < max(most, least_needed + 1.0):
        points *= 2
    return points


@_compiled
def transform_of(z, mixture, least, theta, t, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return E[z^N], z complex: ``quiet`` at g = 1 - z."""
    g = 1.0 - z
    s = 2.0 * kappa / alpha
    gamma = np.sqrt(kappa * kappa + 2.0 * s * g + 0j)
    delta = 2.0 * s * g / (gamma + kappa)
    e = np.exp(-gamma * t)
    d = s * theta * (1.0 - e) + delta * e + (gamma + kappa)
    later = (theta * ((gamma + kappa) * e + delta) + 2.0 * g * (1.0 - e)) / d
    ratio = (alpha + theta) / (alpha + later)
    log_mass = np.log(2.0 * gamma / d) - 0.5 * delta * t + np.log(ratio)
    factor = s * (1.0 - e) * (alpha + theta) / d + 4.0 * gamma * gamma * e * ratio / (d * d)
    total = 0.0 + 0.0j
    for m in range(mixture.size - 1, -1, -1):
        total = total * factor + mixture[m]
    return np.exp(r * log_mass + least * np.log(factor)) * total


@_compiled
def on_circle(j, points):  # type: ignore[no-untyped-def]
    """Return the j-th of so many points of the unit circle."""
    angle = 2.0 * math.pi * j / points
    return complex(math.cos(angle), math.sin(angle))


@_compiled
def coefficients(values, points, out):  # type: ignore[no-untyped-def]
    """Write probabilities from the ``values`` of their generating function on half of the circle's ``points``."""
    out[:] = 0.0
    for j in range(values.size):
        z = on_circle(j, points)
        weight = (1.0 if j in (0, points // 2) else 2.0) / points
        turn = complex(z.real, -z.imag)
        around = complex(1.0, 0.0)
        for n in range(out.size):
            out[n] += weight * (values[j] * around).real
            around *= turn
    for n in range(out.size):
        out[n] = max(out[n], 0.0)


@_compiled
def count_pmf(most, t, rates, r, alpha, kappa):  # type: ignore[no-untyped-def]
    """Return P(N = n) (n = 0 ... most, row, draw) of the purchases within t of those who stay."""
    rows, draws = r.shape
    found = np.zeros((most + 1, rows, draws))
    for i in range(rows):
        for s in range(draws):
            at = rates.place[i, s, 1]
            mixture = rates.mixture[at : at + rates.count[i, s, 1]]
            least, scale, mean = rates.least[i, s, 1], rates.scale[i, s, 1], rates.mean[i, s, 1]
            expected = expected_of(mean, t, r[i, s], alpha[i, s], kappa[i, s])
            points = points_of(expected, t, scale, most)
            values = np.empty(points // 2 + 1, dtype=np.complex128)
            for j in range(values.size):
                z = on_circle(j, points)
                values[j] = transform_of(
                    z, mixture, least, scale - alpha[i, s], t, r[i, s], alpha[i, s], kappa[i, s]
                )
            coefficients(values, points, found[:, i, s])
    return found
