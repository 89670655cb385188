"""The future of a customer who is alive and may leave at any time: Gamma rate, Gamma-mixed exponential lifetime.

While alive a customer buys at rate lambda ~ Gamma(k, rate scale) and leaves at rate mu ~ Gamma(a, rate b),
independent: the remaining lifetime D has P(D > t) = (b / (b + t))^a. Two integrals give everything (Pareto/NBD:
Schmittlein, Morrison & Colombo 1987; Fader & Hardie's notes on its derivation and on its conditional counts):

- the discounted time alive, the integral of e^(-delta t) P(D > t) over (0, H). Times k / scale it is the
  discounted expected purchases; without discount a power, with no singularity at a = 1, and without end the
  discounted expected residual transactions, for which Fader, Hardie & Lee (2005) write Tricomi's U.
- for counts, over the time of the n-th purchase or the lifetime, all terms positive (``_count_integral``).

Both are Gauss-Legendre panels on the scale where the integrand is nearly a product of exponentials, log(1 + t / b)
and log t; a panel is as wide as twelve nodes resolve to 1e-12. Rejected: scipy's ``hyperu`` and 2F1, which lose all
digits near whole a or for large k, and cost more.
"""

import math

import numba
import numpy as np

from bayes_clv.distributions.arrays import Array

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
NODES = 0.5 * (1 + _NODES)
WEIGHTS = 0.5 * _WEIGHTS
# exp(-NEGLIGIBLE) of the whole is left out.
NEGLIGIBLE = 38.0
# An exponential that falls by exp(-8) over a panel is integrated to 3e-12 by twelve nodes.
STEEPEST = 8.0
# Up to this power of t the integrand of a count is a polynomial about t = 0 for twelve nodes.
POLYNOMIAL = 10.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _undiscounted(a: float, growth: float) -> float:
    """Return the integral of (1 + v)^-a over log(1 + v) from 0 to ``growth``."""
    if math.isinf(growth):
        return 1.0 / (a - 1.0) if a > 1.0 else math.inf
    z = (a - 1.0) * growth
    if z == 0.0:
        return growth
    return growth * (-math.expm1(-z) / z)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _time_alive(a: float, b: float, discount: float, horizon: float) -> float:
    if (
        not (a >= 0 and b > 0 and horizon >= 0)
        or math.isnan(discount)
        or (discount < 0 and math.isinf(horizon))
    ):
        return math.nan
    growth = math.log1p(horizon / b)
    if discount == 0.0 or horizon == 0.0:
        return float(b * _undiscounted(a, growth))
    per_b = discount * b
    if math.isinf(per_b):
        return 0.0
    if per_b > 0:
        growth = min(growth, math.log1p(NEGLIGIBLE / per_b))
    if a > 1:
        growth = min(growth, (NEGLIGIBLE + max(0.0, -discount * horizon)) / (a - 1.0))
    total = 0.0
    start = 0.0
    while start < growth:
        slope = abs(per_b) * math.exp(start) + abs(a - 1.0)
        width = min(1.0, STEEPEST / slope)
        # A slope that grows e-fold over the panel is met by a narrower one.
        width = min(width, STEEPEST / (abs(per_b) * math.exp(start + width) + abs(a - 1.0)))
        end = start + width
        if end > growth * (1 - 1e-12):
            end = growth
        part = 0.0
        for j in range(NODES.size):
            y = start + (end - start) * NODES[j]
            part += WEIGHTS[j] * math.exp((1.0 - a) * y - per_b * math.expm1(y))
        total += part * (end - start)
        start = end
    return b * total


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def time_alive(a: float, b: float, discount: float, horizon: float) -> float:
    """Return the expected discounted time alive within the horizon of a customer alive now; a ufunc of float64.

    The integral of e^(-discount t) (b / (b + t))^a over (0, horizon), in the unit of ``b`` and ``horizon``. Guards
    a = 1, a = 0, no discount, an infinite horizon (infinite without discount unless a > 1) and a negative discount
    (NaN with an infinite horizon).
    """
    return float(_time_alive(a, b, discount, horizon))


def discounted_purchases(
    k: Array,
    scale: Array,
    a: Array,
    b: Array,
    horizon: float | Array,
    discount: float | Array,
) -> Array:
    """Return the expected purchases to the horizon of customers alive now, each discounted from its own time.

    ``k`` is the shape and ``scale`` the rate of the Gamma of purchase rates, ``a`` and ``b`` those of the Gamma of
    dropout rates; they broadcast.
    """
    result: Array = k / scale * time_alive(a, b, discount, horizon)
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, inline="always")  # type: ignore[untyped-decorator]
def _log_integrand(v: float, p: float, q: float, w: float, c: float) -> float:
    each = math.exp(v)
    return p * v - q * math.log1p(each) - w * math.log1p(c * each)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _panel(start: float, end: float, p: float, q: float, w: float, c: float, top: float) -> float:
    total = 0.0
    for j in range(NODES.size):
        total += WEIGHTS[j] * math.exp(_log_integrand(start + (end - start) * NODES[j], p, q, w, c) - top)
    return total * (end - start)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _count_integral(p: float, q: float, w: float, c: float, tau: float) -> tuple[float, float]:
    """Return (log factor, factor) of the integral of u^(p-1) (1 + u)^-q (1 + c u)^-w over u in (0, tau).

    On v = log u the integrand is log-concave with one peak, at most exp(p v) on its left. A small power p is a
    polynomial at u = 0, where one panel in u does for all of the left tail.
    """
    last = math.log(tau)
    # The peak: the slope p - q s(v) - w s(v + log c) falls; a bisection on it, or the end.
    low, high = min(last, -1.0, -1.0 - math.log(c)), last
    while p - q / (1.0 + math.exp(-low)) - w / (1.0 + math.exp(-low) / c) < 0:
        low -= 2.0
    if p - q / (1.0 + math.exp(-high)) - w / (1.0 + math.exp(-high) / c) >= 0:
        low = high
    width = min(2.5, 8.0 / math.sqrt(q + w))
    while high - low > 0.25 * width:
        middle = 0.5 * (low + high)
        if p - q / (1.0 + math.exp(-middle)) - w / (1.0 + math.exp(-middle) / c) >= 0:
            low = middle
        else:
            high = middle
    peak = 0.5 * (low + high)
    top = _log_integrand(peak, p, q, w, c)
    total = 0.0
    left = -math.inf
    if p <= POLYNOMIAL:
        linear = min(tau, 0.5, 0.5 / c, 2.0 / (q + w * c))
        left = math.log(linear)
        part = 0.0
        for j in range(NODES.size):
            u = linear * NODES[j]
            part += WEIGHTS[j] * math.exp(
                (p - 1.0) * math.log(u) - q * math.log1p(u) - w * math.log1p(c * u) - top
            )
        total += part * linear
    start = max(peak, left)
    v = start
    while v > left:
        before = max(v - width, left)
        part = _panel(before, v, p, q, w, c, top)
        total += part
        v = before
        if part < 1e-17 * total:
            break
    v = start
    while v < last:
        after = min(v + width, last)
        part = _panel(v, after, p, q, w, c, top)
        total += part
        v = after
        if part < 1e-17 * total:
            break
    return top, total


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def purchases_at_least(n: float, k: float, tau: float, a: float, c: float) -> float:
    """Return P(at least n purchases over the horizon), n >= 1, of a customer alive now; a ufunc of float64.

    ``tau`` is the horizon over the rate's scale and ``c`` that scale over ``b``. It is the mean of P(D > t) over the
    time t of the n-th purchase, where that lies within the horizon: one positive integral.
    """
    if not (n >= 1 and k > 0 and tau >= 0 and a >= 0 and c > 0) or math.isinf(k + n):
        return math.nan
    if tau == 0:
        return 0.0
    log_factor, factor = _count_integral(n, n + k, a, c, min(tau, 1e300))
    return float(math.exp(log_factor + math.lgamma(n + k) - math.lgamma(n) - math.lgamma(k)) * factor)


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def purchases_exactly(n: float, k: float, tau: float, a: float, c: float) -> float:
    """Return P(exactly n purchases over the horizon) of a customer alive now; a ufunc of float64.

    Arguments as in ``purchases_at_least``, n >= 0. P(N = n at t) averaged over min(lifetime, horizon) = t: those
    who outlive the horizon, and an integral over the lifetimes of the others, both positive.
    """
    if not (n >= 0 and k > 0 and tau >= 0 and a >= 0 and c > 0) or math.isinf(k + n):
        return math.nan
    if tau == 0:
        return 1.0 if n == 0 else 0.0
    end = min(tau, 1e300)
    log_norm = math.lgamma(n + k) - math.lgamma(k) - math.lgamma(n + 1.0)
    outlived = math.exp(log_norm + _log_integrand(math.log(end), n, n + k, a, c))
    if a == 0:
        return float(outlived)
    log_factor, factor = _count_integral(n + 1.0, n + k, a + 1.0, c, end)
    return float(outlived + a * c * math.exp(log_factor + log_norm) * factor)
