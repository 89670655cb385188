"""Forecasts of customers whose rate drifts and who may leave at any time (``drifting_lifetime``).

Of one who is alive at T the rate and the lifetime are independent, the lifetime with P(> u) = (b / (b + u))^s, b =
beta + T. So expected purchases and what they are worth are two times alive (``gamma_lifetime``), for
E[lambda(T + u)] = r / alpha + (mean - r / alpha) e^(-kappa u); and the number of purchases has the generating function
of those who stay (``drifting_forecasts``), averaged over the time until the lifetime or the horizon ends. That average
is panels of Gauss-Legendre nodes in log1p(u / c), c as short as the rate, the lifetime and the forgetting bend it: more
of them where so many purchases are expected that the function turns around the circle. Absolute error below 1e-9.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.poisson.drifting_forecasts import (
    coefficients,
    expected_of,
    on_circle,
    points_of,
    silent_of,
    transform_of,
)
from bayes_clv.distributions.poisson.drifting_lifetime import (
    PEAK,
    leaving,
    left_after,
    room_to_leave,
    shape_after,
)
from bayes_clv.distributions.poisson.gamma_lifetime import time_alive
from bayes_clv.distributions.poisson.silence import rules

PANEL = 10
# In log1p(u / c), of few purchases; and how much narrower a panel is of one more turn.
WIDEST, NARROWER = 2.5, 0.3
_NODES, _WEIGHTS = (each[0] for each in rules([PANEL]))

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


def discounted(
    mean: Array, r: Array, alpha: Array, kappa: Array, s: Array, b: Array, horizon: Array, discount: float
) -> Array:
    """Return expected purchases to the horizon of those alive, each worth e^(-discount t); all broadcast.

    ``mean`` is that of the rate now.
    """
    population = r / alpha
    slow, fast = time_alive(s, b, discount, horizon), time_alive(s, b, discount + kappa, horizon)
    # A rate far below the population's: the difference is a small one of two like numbers, and not negative.
    found: Array = mean * fast + population * np.maximum(slow - fast, 0.0)
    return found


@_compiled
def _last(i, k, rates, alpha):  # type: ignore[no-untyped-def]
    """Return the mixture just after the last purchase, what its first weight is of, and theta."""
    place = rates.place[i, k, 0]
    mixture = rates.mixture[place : place + rates.count[i, k, 0]]
    return mixture, rates.least[i, k, 0], rates.scale[i, k, 0] - alpha[i, k]


@_compiled
def alive(silence, rates, r, alpha, kappa, s, b):  # type: ignore[no-untyped-def]
    """Return P(alive) (row, draw); ``silence`` (row) is the time since the last purchase, and b = beta + t_x."""
    found = np.empty(r.shape)
    at, weight, height = room_to_leave()
    for i in range(r.shape[0]):
        for k in range(r.shape[1]):
            mixture, least, theta = _last(i, k, rates, alpha)
            rate, lifetime = (r[i, k], alpha[i, k], kappa[i, k]), (s[i, k], b[i, k])
            _, here, left = leaving(mixture, least, theta, silence[i], *rate, *lifetime, at, weight, height)
            found[i, k] = here / (here + left)
    return found


@_compiled
def means_of_left(silence, rates, r, alpha, kappa, s, b):  # type: ignore[no-untyped-def]
    """Return the mean rates, of purchases and of leaving, of those who left within the silence, as they left.

    Without a silence, of one who left at once. Arguments as in ``alive``.
    """
    rate, dropout = np.empty(r.shape), np.empty(r.shape)
    at, weight, height = room_to_leave()
    for i in range(r.shape[0]):
        for k in range(r.shape[1]):
            mixture, least, theta = _last(i, k, rates, alpha)
            own, lifetime = (r[i, k], alpha[i, k], kappa[i, k]), (s[i, k], b[i, k])
            count, _, left = leaving(mixture, least, theta, silence[i], *own, *lifetime, at, weight, height)
            bought, gone = rates.mean[i, k, 0], 1.0 / b[i, k]
            if count:
                bought = gone = 0.0
                for j in range(count):
                    _, mean = silent_of(mixture, least, theta, at[j], *own)
                    bought += weight[j] / left * mean
                    gone += weight[j] / left / (b[i, k] + at[j])
            rate[i, k], dropout[i, k] = bought, (s[i, k] + 1.0) * gone
    return rate, dropout


@_compiled
def drawn_left(living, words, silence, rates, r, alpha, kappa, s, b):  # type: ignore[no-untyped-def]
    """Return of those not ``living`` draws of (stay after the last purchase, shape, scale of the rate at leaving).

    Jointly; (row, draw), 0, 1 and 1 of the living. ``words`` (row, draw) begin their streams; else as in ``alive``.
    """
    stay, shape, scale = np.zeros(r.shape), np.ones(r.shape), np.ones(r.shape)
    room, step = room_to_leave(), np.uint64(0x9E3779B97F4A7C15)
    for i in range(r.shape[0]):
        for k in range(r.shape[1]):
            if living[i, k]:
                continue
            mixture, least, theta = _last(i, k, rates, alpha)
            own, word = (r[i, k], alpha[i, k], kappa[i, k]), words[i, k]
            d = left_after(mixture, least, theta, silence[i], *own, s[i, k], b[i, k], room, word, step)
            shape[i, k], scale[i, k] = shape_after(mixture, least, theta, d, *own, ~word, step)
            stay[i, k] = d
    return stay, shape, scale


@_compiled
def count_pmf(most, t, rates, r, alpha, kappa, s, b):  # type: ignore[no-untyped-def]
    """Return P(N = n) (n = 0 ... most, row, draw) of the purchases within t of those alive, b = beta + T."""
    rows, draws = r.shape
    found = np.zeros((most + 1, rows, draws))
    for i in range(rows):
        for k in range(draws):
            place, scale, mean = rates.place[i, k, 1], rates.scale[i, k, 1], rates.mean[i, k, 1]
            mixture, least = rates.mixture[place : place + rates.count[i, k, 1]], rates.least[i, k, 1]
            expected = expected_of(mean, t, r[i, k], alpha[i, k], kappa[i, k])
            points = points_of(expected, t, scale, most)
            gamma = math.sqrt(kappa[i, k] * kappa[i, k] + 4.0 * kappa[i, k] / alpha[i, k])
            bend = (
                1.0 / (2.0 * expected / t + (1.0 + (s[i, k] + 1.0) / PEAK) / b[i, k] + gamma)
                if t > 0.0
                else 1.0
            )
            span = math.log1p(t / bend)
            panels = math.ceil(span / WIDEST + NARROWER * max(math.sqrt(expected) - 1.0, 0.0))
            width = span / panels if panels else 0.0
            values = np.zeros(points // 2 + 1, dtype=np.complex128)
            for place in range(panels * PANEL + 1):
                last = place == panels * PANEL
                u, power = t, s[i, k]
                if not last:
                    u, power = (
                        bend * math.expm1(width * (place // PANEL + _NODES[place % PANEL])),
                        s[i, k] + 1.0,
                    )
                share = math.exp(-power * math.log1p(u / b[i, k]))
                if not last:
                    share *= s[i, k] / b[i, k] * _WEIGHTS[place % PANEL] * width * (bend + u)
                for j in range(values.size):
                    values[j] += share * transform_of(
                        on_circle(j, points),
                        mixture,
                        least,
                        scale - alpha[i, k],
                        u,
                        r[i, k],
                        alpha[i, k],
                        kappa[i, k],
                    )
            coefficients(values, points, found[:, i, k])
    return found
