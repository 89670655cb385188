"""Discounted purchases over a horizon of customers alive now, Gamma rate and Beta dropout: many customers, fast.

Given alive at T, a customer's purchases to a horizon t have the mean M(t) (``beta_dropout``), and discounted
continuously at the rate delta from the time each occurs they are worth

    D = integral of exp(-delta t) dM(t) = exp(-delta H) M(H) + delta * integral of exp(-delta t) M(t) dt.

The integral over t is Lobatto's; M at all its nodes and at H is one sum over the number of purchases, whose
coefficients nodes and customers of one frequency share. Lobatto's five points a panel need four evaluations, since
M(0) = 0 and the last is H. Long series leave for ``purchases_while_alive``, node by node.

Rejected: monthly differences of the expected purchases, as lifetimes and PyMC-Marketing do. They cost 12
evaluations of a hypergeometric function and discount each purchase to the end of its month.
"""

import math

import numba
import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.poisson.beta_dropout import purchases_while_alive

# Lobatto's five points on [-1, 1] without the first, and their weights (the first has 1/10 too).
POINTS = np.array([-math.sqrt(3 / 7), 0.0, math.sqrt(3 / 7), 1.0])
WEIGHTS = np.array([49 / 90, 32 / 45, 49 / 90, 1 / 10])
LANES = POINTS.size
# A panel ends where alpha + T + t has grown threefold or delta t by a half: relative error below 1e-7.
PANEL_GROWTH = 3.0
PANEL_DISCOUNT = 0.5
# Beyond them, or where (1 + tau)^k would overflow, ``purchases_while_alive`` knows another way.
SERIES_TERMS = 400
LOG_OVERFLOW = 600.0
TOLERANCE = 1e-9


def nodes(horizon: float, discount: float, smallest_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return times and weights, (panel, LANES), with D = sum of weight * M(time).

    ``smallest_scale`` is the smallest alpha + T: the singularity of M lies that far before t = 0.
    """
    bounds = [0.0]
    while discount != 0.0 and bounds[-1] < horizon:
        start = bounds[-1]
        step = min((smallest_scale + start) * (PANEL_GROWTH - 1.0), PANEL_DISCOUNT / abs(discount))
        bounds.append(horizon if start + step >= horizon else start + step)
    if discount == 0.0:
        bounds.append(horizon)
    first = np.array(bounds[:-1])[:, None]
    half = np.diff(bounds)[:, None] / 2
    time = first + half * (1 + POINTS)
    time[-1, -1] = horizon
    weight = discount * half * WEIGHTS * np.exp(-discount * time)
    # The first point of a panel is the last of the one before; M(0) = 0.
    weight[:-1, -1] += discount * half[1:, 0] * WEIGHTS[-1] * np.exp(-discount * time[:-1, -1])
    weight[-1, -1] += math.exp(-discount * horizon)
    return time, weight


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _coefficients(k, a, big_b, z, d):  # type: ignore[no-untyped-def]
    """Write d[n], n >= 1, with M = (1 - z)^k * sum of d[n]; return how many terms matter.

    d[n] = (k)_n / n! z^n * sum_{j<n} (B)_j / (a+B)_j, all positive (see ``distributions.poisson.beta_dropout``).
    """
    mass = 1.0
    ratio = 1.0
    partial = 0.0
    total = 0.0
    n = 0
    while n < d.size - 1:
        mass *= z * (k + n) / (n + 1.0)
        partial += ratio
        ratio *= (big_b + n) / (a + big_b + n)
        n += 1
        d[n] = mass * partial
        total += d[n]
        # From here each term is at most growth / n of the one before.
        growth = z * (k + n)
        if growth < n and d[n] * growth <= TOLERANCE * total * (n - growth):
            return n
    return 0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _discounted(shape, scale, dropout_a, dropout_b, same_shape, time, weight, out):  # type: ignore[no-untyped-def]
    """Write D of each (row, draw); ``same_shape`` marks rows that differ from the row before in scale alone.

    Within such a run the scale rises: its first row has the largest z, which is in the coefficients.
    """
    rows, draws = shape.shape
    d = np.empty(SERIES_TERMS + 1)
    out[:] = 0.0
    for j in range(time.shape[0]):
        t0, t1, t2, t3 = time[j, 0], time[j, 1], time[j, 2], time[j, 3]
        w0, w1, w2, w3 = weight[j, 0], weight[j, 1], weight[j, 2], weight[j, 3]
        first = 0
        while first < rows:
            last = first + 1
            while last < rows and same_shape[last]:
                last += 1
            for s in range(draws):
                k, a, big_b = shape[first, s], dropout_a[first, s], dropout_b[first, s]
                tau = t3 / scale[first, s]
                z = tau / (1.0 + tau)
                per_z = 1.0 / z
                terms = 0
                if k * tau < SERIES_TERMS and k * math.log1p(tau) < LOG_OVERFLOW:
                    terms = _coefficients(k, a, big_b, z, d)
                for c in range(first, last):
                    total = 0.0
                    size = scale[c, s]
                    if terms == 0:
                        # Too long a series: node by node, by the way that has no limit.
                        for i in range(LANES):
                            if weight[j, i] != 0.0:
                                tau_i = time[j, i] / size
                                mean = k * tau_i if a == 0.0 else purchases_while_alive(k, tau_i, a, big_b)
                                total += weight[j, i] * mean
                        out[c, s] += total
                        continue
                    # Four scalars stay in registers; an array of four costs three times as much.
                    i0, i1 = 1.0 / (size + t0), 1.0 / (size + t1)
                    i2, i3 = 1.0 / (size + t2), 1.0 / (size + t3)
                    z0, z1, z2, z3 = t0 * i0 * per_z, t1 * i1 * per_z, t2 * i2 * per_z, t3 * i3 * per_z
                    m0 = m1 = m2 = m3 = d[terms]
                    for n in range(terms - 1, 0, -1):
                        m0 = m0 * z0 + d[n]
                        m1 = m1 * z1 + d[n]
                        m2 = m2 * z2 + d[n]
                        m3 = m3 * z3 + d[n]
                    m0, m1, m2, m3 = m0 * z0, m1 * z1, m2 * z2, m3 * z3
                    if w0 != 0.0:
                        total = w0 * m0 * math.exp(k * math.log(size * i0))
                        total += w1 * m1 * math.exp(k * math.log(size * i1))
                        total += w2 * m2 * math.exp(k * math.log(size * i2))
                    total += w3 * m3 * math.exp(k * math.log(size * i3))
                    out[c, s] += total
            first = last


def discounted_purchases(
    k: Array, scale: Array, a: Array, big_b: Array, horizon: float, discount: float, same_shape: Array
) -> Array:
    """Return D of each (row, draw) for customers alive now; ``horizon`` and ``1 / discount`` are times.

    ``k`` is the shape and ``scale`` the rate of the Gamma of purchase rates, ``a`` and ``big_b`` the Beta shapes of
    dropout (a = 0: never), all writeable arrays of one shape (row, draw). ``same_shape`` (row) marks the rows that
    differ from the row before in scale alone, which rises. Relative error below 1e-7.
    """
    time, weight = nodes(horizon, discount, float(scale.min()))
    result = np.empty(k.shape)
    _discounted(k, scale, a, big_b, same_shape, time, weight, result)
    return result
