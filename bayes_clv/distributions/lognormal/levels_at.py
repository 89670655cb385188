"""The sums of ``levels`` where the log amounts move too, as with a calendar of spend, and their slopes in them.

Of G only yy, y1 and yb depend on the log amounts y, and their slopes are twice the precision of u and noise times y,
that times ones, and times b. Each product is one pass back over the innovations of the filter (Koopman 1993,
Disturbance smoother for state space models, Biometrika 80): with r the sum of what comes after, 0 after the last,

    (precision y)_j = v_j / S_j - K_j r,   r <- kept_j (v_j / S_j + (1 - K_j) r),

K_j the gain and kept_j the correlation with the amount before. No division by 1 - kept², however close purchases are.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.lognormal.levels import SERIES, SLOPES, SUMS, _by_age, sums


@njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def sums_at(kappa, start, size, time_start, span, times, y, omega, sigma):  # type: ignore[no-untyped-def]
    """Return D and G of each row, seven arrays; ``y`` (amount,) are the log amounts, and ``start`` where a row's begin.

    Else as ``levels.sums``.
    """
    found = sums(size, start, time_start, np.zeros(size.size), span, np.exp(y), times, kappa, omega, sigma)
    return found[0], found[1], found[2], found[3], found[4], found[5], found[6]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def slopes(kappa, start, size, time_start, span, times, y, omega, sigma, w0, w1, w2, w3, w4, w5, w6):  # type: ignore[no-untyped-def]
    """Return the slopes of the sums, weighed by ``w0`` ... ``w6`` (row,), in kappa, y, omega and sigma."""
    rows = size.shape[0]
    found = sums(size, start, time_start, np.zeros(rows), span, np.exp(y), times, kappa, omega, sigma)
    # Constants of a graph are read-only, and of another type than the others.
    weights = np.empty((SUMS, rows))
    weights[0], weights[1], weights[2], weights[3] = w0, w1, w2, w3
    weights[4], weights[5], weights[6] = w4, w5, w6
    of = np.zeros((SLOPES, rows))
    for place in range(SUMS):
        for k in range(SLOPES):
            of[k] += weights[place] * found[SUMS + SLOPES * place + k]
    of_y = np.zeros(y.size)
    most = np.int64(size.max()) if rows > 0 else 0
    v, total, gain, kept = np.empty((most, SERIES)), np.empty(most), np.empty(most), np.empty(most)
    a, r, s = np.empty(SERIES), np.empty(SERIES), np.empty(SERIES)
    for i in range(rows):
        at, when, x = np.int64(start[i]), np.int64(time_start[i]), np.int64(size[i])
        still, noise = omega[i] * omega[i], sigma[i] * sigma[i]
        variance = still
        a[:] = 0.0
        for j in range(x):
            kept[j] = 0.0
            if j > 0:
                kept[j] = math.exp(-kappa[i] * (times[when + j] - times[when + j - 1]))
                variance = kept[j] * kept[j] * (variance - still) + still
            total[j] = variance + noise
            gain[j] = variance / total[j]
            s[0], s[1], s[2] = y[at + j], 1.0, _by_age(times[when + j], span[i])
            for m in range(SERIES):
                a[m] *= kept[j]
                v[j, m] = s[m] - a[m]
                a[m] += gain[j] * v[j, m]
            variance *= noise / total[j]
        r[:] = 0.0
        for j in range(x - 1, -1, -1):
            for m in range(SERIES):
                own = v[j, m] / total[j]
                of_y[at + j] += (2.0 * w1[i] if m == 0 else w2[i] if m == 1 else w3[i]) * (
                    own - gain[j] * r[m]
                )
                r[m] = kept[j] * (own + (1.0 - gain[j]) * r[m])
    return of[0], of_y, of[1], of[2]
