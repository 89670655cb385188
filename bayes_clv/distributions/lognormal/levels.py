"""A customer's log spend over its life: its own level, a trend by age, and what drifts about both; a filter of numbers.

The logarithm of the amount paid at age a is

    y = theta + g b(a) + u(a) + Normal(0, sigma²),

theta ~ Normal(mu, tau²) the customer's own, b(a) = min(a, span) / span, and u a stationary Ornstein-Uhlenbeck process:
standard deviation omega, correlation e^(-kappa t) over a time t (Uhlenbeck & Ornstein 1930; as a state-space model
Harvey 1989, section 9.1). Given kappa, omega and sigma all is Gaussian, and linear in theta and g: so one scalar Kalman
filter is run over three series at once, the log amounts y, ones and b, with the same gains. ``sums`` gives of a
customer the log determinant and the Gram matrix of the three in the precision of u and noise,

    D = sum log S_j,   G = sum v_j v_j' / S_j,

v_j the three innovations and S_j their variance. They are all that the likelihood needs; theta and g enter afterwards
in closed form. With omega = 0 they are the ordinary sums, over sigma²: x log sigma², sums of squares and of products.

Exact in time, whatever the gaps; O(x) a customer. Their slopes in kappa, omega and sigma are carried along. Rejected:
the covariance matrix of each customer's amounts, O(x³), and a smoother for the slopes by Fisher's identity, which
divides by 1 - e^(-2 kappa t) where purchases are close.
"""

import math

import numpy as np
from numba import njit

SERIES = 3
# Of D and the upper half of G: yy, y1, yb, 11, 1b, bb.
SUMS = 7
SLOPES = 3


@njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def _by_age(age, span):  # type: ignore[no-untyped-def]
    # An infinite span is no trend.
    return min(age, span) / span if span < math.inf else 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def sums(size, spend_start, time_start, centre, span, spend, times, kappa, omega, sigma):  # type: ignore[no-untyped-def]
    """Return D and G of each row (row,), seven arrays, then their slopes in kappa, omega and sigma, three of each.

    Parameters
    ----------
    size, spend_start, time_start : array (row,)
        Purchases, and where a customer's begin in ``spend`` and in ``times``.
    centre : array (row,)
        A number near the customer's mean log amount, which is taken off y, so that sums of squares keep their digits.
    span : array (row,)
        The age at which the trend ends (time units), infinite without one.
    spend, times : array (purchase,)
        All customers' amounts (money, above 0) and ages at them, each customer's ages rising.
    kappa, omega, sigma : array (row,)
        1 / time unit, and standard deviations of the log.
    """
    rows = size.shape[0]
    out = np.zeros((SUMS * (1 + SLOPES), rows))
    s, a, v = np.empty(SERIES), np.empty(SERIES), np.empty(SERIES)
    da, dp, ds, dgain = np.empty((SLOPES, SERIES)), np.empty(SLOPES), np.empty(SLOPES), np.empty(SLOPES)
    for i in range(rows):
        at, when = np.int64(spend_start[i]), np.int64(time_start[i])
        still, noise = omega[i] * omega[i], sigma[i] * sigma[i]
        variance = still
        a[:] = 0.0
        da[:] = 0.0
        dp[:] = 0.0
        dp[1] = 2.0 * omega[i]
        for j in range(np.int64(size[i])):
            if j > 0:
                gap = times[when + j] - times[when + j - 1]
                kept = math.exp(-kappa[i] * gap)
                for k in range(SLOPES):
                    dp[k] *= kept * kept
                    for m in range(SERIES):
                        da[k, m] *= kept
                # Of the correlation itself, and of the stationary variance.
                dp[0] -= 2.0 * gap * kept * kept * (variance - still)
                dp[1] += 2.0 * omega[i] * (1.0 - kept * kept)
                for m in range(SERIES):
                    da[0, m] -= gap * kept * a[m]
                    a[m] *= kept
                variance = kept * kept * (variance - still) + still
            total = variance + noise
            for k in range(SLOPES):
                ds[k] = dp[k]
            ds[2] += 2.0 * sigma[i]
            s[0] = math.log(spend[at + j]) - centre[i]
            s[1] = 1.0
            s[2] = _by_age(times[when + j], span[i])
            for m in range(SERIES):
                v[m] = s[m] - a[m]
            out[0, i] += math.log(total)
            for k in range(SLOPES):
                out[SUMS + k, i] += ds[k] / total
            place = 1
            for m in range(SERIES):
                for n in range(m, SERIES):
                    out[place, i] += v[m] * v[n] / total
                    for k in range(SLOPES):
                        moved = -da[k, m] * v[n] - v[m] * da[k, n] - v[m] * v[n] * ds[k] / total
                        out[SUMS + SLOPES * place + k, i] += moved / total
                    place += 1
            gain, rest = variance / total, noise / total
            for k in range(SLOPES):
                dgain[k] = (dp[k] - gain * ds[k]) / total
                drest = -rest * ds[k] / total
                if k == 2:
                    drest += 2.0 * sigma[i] / total
                dp[k] = dp[k] * rest + variance * drest
                for m in range(SERIES):
                    da[k, m] += dgain[k] * v[m] - gain * da[k, m]
            for m in range(SERIES):
                a[m] += gain * v[m]
            variance *= rest
    return (
        out[0], out[1], out[2], out[3], out[4], out[5], out[6],
        out[7], out[8], out[9], out[10], out[11], out[12], out[13],
        out[14], out[15], out[16], out[17], out[18], out[19], out[20],
        out[21], out[22], out[23], out[24], out[25], out[26], out[27],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def ends(size, spend_start, time_start, age, spend, times, mu, tau, sigma, g, span, omega, kappa):  # type: ignore[no-untyped-def]
    """Return what is known of a level at the end of observation: five arrays (row, draw).

    Mean and standard deviation of theta, Normal; and of u now, which given theta is Normal of mean
    ``first + second theta`` and standard deviation ``third``.

    ``size``, ``spend_start``, ``time_start`` and ``age`` are (row,), the parameters (row, draw), of which ``mu`` is the
    mean of theta and ``g`` the log of the trend's factor; ``times`` as in ``sums``, and ``spend`` is (purchase, 1), or
    (purchase, draw) where a calendar makes it another in each draw.
    """
    rows, draws = mu.shape
    own = spend.shape[1] > 1
    out = np.empty((5, rows, draws))
    for i in range(rows):
        x, at, when = np.int64(size[i]), np.int64(spend_start[i]), np.int64(time_start[i])
        for d in range(draws):
            still, noise = omega[i, d] * omega[i, d], sigma[i, d] * sigma[i, d]
            variance, y, one, squares, product = still, 0.0, 0.0, 0.0, 0.0
            for j in range(x):
                if j > 0:
                    kept = math.exp(-kappa[i, d] * (times[when + j] - times[when + j - 1]))
                    y *= kept
                    one *= kept
                    variance = kept * kept * (variance - still) + still
                total = variance + noise
                # About mu: the prior's mean of theta is then 0.
                trend = g[i, d] * _by_age(times[when + j], span[i, d])
                of_y = math.log(spend[at + j, d if own else 0]) - mu[i, d] - trend - y
                of_one = 1.0 - one
                squares += of_one * of_one / total
                product += of_one * of_y / total
                gain = variance / total
                y += gain * of_y
                one += gain * of_one
                variance *= noise / total
            kept = 1.0
            if x > 0:
                kept = math.exp(-kappa[i, d] * max(age[i] - times[when + x - 1], 0.0))
            spread = tau[i, d] * tau[i, d]
            spread /= 1.0 + spread * squares
            out[0, i, d] = mu[i, d] + spread * product
            out[1, i, d] = math.sqrt(spread)
            out[2, i, d] = kept * (y + one * mu[i, d])
            out[3, i, d] = -kept * one
            out[4, i, d] = math.sqrt(max(kept * kept * (variance - still) + still, 0.0))
    return out[0], out[1], out[2], out[3], out[4]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def trended(size, spend_start, time_start, span, spend, times, g):  # type: ignore[no-untyped-def]
    """Return of each row the sum of its amounts over their trend e^(g b), that of b, and that of b times the former.

    All are (row,); ``span``, ``spend`` and ``times`` as in ``sums``.
    """
    rows = size.shape[0]
    out = np.zeros((3, rows))
    for i in range(rows):
        at, when = np.int64(spend_start[i]), np.int64(time_start[i])
        for j in range(np.int64(size[i])):
            b = _by_age(times[when + j], span[i])
            amount = spend[at + j] * math.exp(-g[i] * b)
            out[0, i] += amount
            out[1, i] += b
            out[2, i] += b * amount
    return out[0], out[1], out[2]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def trended_totals(size, spend_start, time_start, spend, times, g, span):  # type: ignore[no-untyped-def]
    """Return the sums of each row's amounts over their trend, (row, draw), for ``g`` and ``span`` (row, draw).

    ``spend`` is (purchase, 1 or draw), as in ``ends``.
    """
    rows, draws = g.shape
    own = spend.shape[1] > 1
    out = np.zeros((rows, draws))
    for i in range(rows):
        at, when = np.int64(spend_start[i]), np.int64(time_start[i])
        for j in range(np.int64(size[i])):
            for d in range(draws):
                out[i, d] += spend[at + j, d if own else 0] * math.exp(
                    -g[i, d] * _by_age(times[when + j], span[i, d])
                )
    return out
