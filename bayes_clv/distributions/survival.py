"""Survival when each customer's own chance to stay is a power: S(t) = E[(1 - theta)^(t^c)], theta ~ Beta(a, b).

S(t) = B(a, b + t^c) / B(a, b) is the beta-discrete-Weibull; c = 1 is the beta-geometric, which is the shifted-beta-
geometric's contract and BG/BB's lifetime. All forecasts of the three families are sums of its ratios,

    sum over k = 1, ..., m of S(t + k) / S(t) / (1 + d)^k,

with m finite or not. All terms are positive; the closed forms in print (a difference over gamma - 1 in BG/BB, 2F1 in
the others) lose digits at gamma = 1 and have no counterpart for c other than 1.

How the sum is made: the first terms one by one, the rest in blocks of 2^j terms that are never longer than what lies
before them, each by the Gauss rule of the uniform distribution on the block's whole numbers (its orthogonal polynomials
are Gram's). The summand is analytic about a block to a distance of the order of its length, so NODES nodes leave
an error below 1e-12 for c up to 10 or so, and a sum to infinity costs some hundred terms at any discount.
Rejected: Euler-Maclaurin, which needs derivatives, and quadrature over theta, which has a Beta peak to find.

A ratio of Gamma functions is computed as one logarithm with small absolute error, log Gamma(z + q) / Gamma(z) with q
the smaller of the two steps that S(t + k) / S(t) takes: differences of log Gamma lose 9 digits at 1e6. Above ``LARGE``
the two logarithms are taken together (``stirling``): who leaves are few beside those who stay, and would be their
difference.
"""

import math
from typing import Any

import numba
import numpy as np

from bayes_clv.distributions import special
from bayes_clv.distributions.stirling import LARGE, log_beta_rise_large, stirling

NODES = 20
FIRST = 32
# Blocks of 2^5 to 2^30 terms; longer ones have the last one's (Gauss-Legendre) positions.
SMALLEST_BLOCK, LARGEST_BLOCK = 5, 30
# exp of it is finite, and so are its products with anything met here.
LARGEST_EXPONENT = 600.0
# What is left of a sum is left out below this share, and extrapolated where the summand is a power to this precision.
NEGLIGIBLE = 1e-15
ASYMPTOTIC = 1e13


def _block_rules() -> tuple[np.ndarray, np.ndarray]:
    """Return positions (from the block's middle, over its length) and weights of the rules, one row a length."""
    positions, weights = [], []
    k = np.arange(1, NODES)
    for j in range(SMALLEST_BLOCK, LARGEST_BLOCK + 1):
        off_diagonal = np.sqrt(k**2 * (1 - (k / 2.0**j) ** 2) / (4 * (4 * k**2 - 1)))
        values, vectors = np.linalg.eigh(np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1))
        positions.append(values)
        weights.append(vectors[0] ** 2)
    return np.array(positions), np.array(weights)


_POSITION, _WEIGHT = _block_rules()


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _log_gamma_ratio(z: float, q: float) -> float:
    """Return lnGamma(z + q) - lnGamma(z), q >= 0: its error is relative to q log(z + q)."""
    below = 0.0
    while z < 10.0:
        below += math.log1p(q / z)
        z += 1.0
    series = (z - 0.5) * math.log1p(q / z) + q * (math.log(z + q) - 1.0)
    return float(series + stirling(z + q) - stirling(z) - below)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _power(t: float, c: float) -> float:
    return math.exp(min(c * math.log(t), LARGEST_EXPONENT)) if t > 0 else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _log_ratio(a: float, b: float, c: float, t: float, k: float) -> float:
    """Return log S(t + k) / S(t), which is at most 0."""
    if c == 1.0:
        start, step = t, k
    else:
        start = _power(t, c)
        growth = c * math.log1p(k / t) if t > 0 else math.inf
        # The difference of two powers that may be close.
        step = start * math.expm1(growth) if growth < 1.0 else _power(t + k, c) - start
    z, small, large = b + start, min(a, step), max(a, step)
    if z > LARGE:
        return float(log_beta_rise_large(a, z, step))
    return float(_log_gamma_ratio(z, small) - _log_gamma_ratio(z + large, small))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _first_terms(
    a: float, b: float, c: float, t: float, last: float, log_discount: float
) -> tuple[float, float]:
    """Return the sum over k = 1, ..., last and its last term."""
    total, term = 0.0, 1.0
    for i in range(1, int(last) + 1):
        if c == 1.0:
            term *= (b + t + (i - 1.0)) / (a + b + t + (i - 1.0)) * math.exp(-log_discount)
        else:
            term = math.exp(_log_ratio(a, b, c, t, i) - i * log_discount)
        total += term
    return total, term


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _sum(a: float, b: float, c: float, t: float, m: float, log_discount: float) -> float:
    total, term = _first_terms(a, b, c, t, min(m, float(FIRST)), log_discount)
    done, block = float(FIRST), SMALLEST_BLOCK
    power = c * a
    while done < m:
        # The longest block that is no longer than what is done, nor than what is left.
        if 2.0 ** (block + 1) <= done:
            block += 1
        while block >= SMALLEST_BLOCK and 2.0**block > m - done:
            block -= 1
        if block < SMALLEST_BLOCK:
            for i in range(1, int(m - done) + 1):
                total += math.exp(_log_ratio(a, b, c, t, done + i) - (done + i) * log_discount)
            break
        length = 2.0**block
        row = min(block, LARGEST_BLOCK) - SMALLEST_BLOCK
        middle = done + (length + 1.0) / 2.0
        part = 0.0
        for i in range(NODES):
            k = middle + length * _POSITION[row, i]
            part += _WEIGHT[row, i] * math.exp(_log_ratio(a, b, c, t, k) - k * log_discount)
        part *= length
        total += part
        done += length
        if math.isinf(m):
            term = math.exp(_log_ratio(a, b, c, t, done) - done * log_discount)
            if log_discount > 0:
                # The rest falls at least like the discount.
                if term < NEGLIGIBLE * total * -math.expm1(-log_discount):
                    break
            elif term * done < NEGLIGIBLE * total * (power - 1.0):
                break
            elif done > ASYMPTOTIC * (t + 1.0) and _power(done, c) > ASYMPTOTIC * (1.0 + a) * (1.0 + a + b):
                # From here on the terms are a power k^(-c a) to the last digit.
                total += term * done / (power - 1.0)
                break
            elif done > 1e280:
                return math.nan
    return float(total)


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def survival_ratio(k: float, t: float, a: float, b: float, c: float) -> float:
    """Return S(t + k) / S(t), the chance to stay k more of one who has stayed t; a NumPy ufunc of float64.

    Guards k = 0 (gives 1), t = 0, tiny and very large a, b and c, and values below 1e-300 (0).
    """
    if not (k >= 0 and t >= 0 and a > 0 and b > 0 and c > 0):
        return math.nan
    if k == 0:
        return 1.0
    return math.exp(_log_ratio(a, b, c, t, k))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def loss_ratio(k: float, t: float, a: float, b: float, c: float) -> float:
    """Return 1 - S(t + k) / S(t), the chance to leave within k more, with all its digits where it is small."""
    if not (k >= 0 and t >= 0 and a > 0 and b > 0 and c > 0):
        return math.nan
    if k == 0:
        return 0.0
    return -math.expm1(_log_ratio(a, b, c, t, k))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def discounted_survival(m: float, rate: float, t: float, a: float, b: float, c: float) -> float:
    """Return the sum over k = 1, ..., m of S(t + k) / S(t) / (1 + rate)^k; a NumPy ufunc of float64.

    ``m`` is a whole number or infinity. Without discount the sum to infinity is infinite unless c a > 1. NaN for a
    negative rate, with which no sum need exist.
    """
    if not (m >= 0 and rate >= 0 and t >= 0 and a > 0 and b > 0 and c > 0):
        return math.nan
    if math.isinf(rate) or m == 0:
        return 0.0
    if rate == 0 and math.isinf(m) and c * a <= 1:
        return math.inf
    return float(_sum(a, b, c, t, m, math.log1p(rate)))


# The same two in a PyTensor graph.


def log_survival_ratio(a: Any, z: Any, step: Any) -> Any:
    """Return log B(a, z + step) / B(a, z) as a PyTensor vector; finite with its gradient, and 0 at step 0."""
    import pytensor.tensor as pt

    # By switch: where a equals step, minimum and maximum would both pass it their gradient.
    first = pt.lt(a, step)
    small, large = pt.switch(first, a, step), pt.switch(first, step, a)
    ratio = special.log_gamma_ratio(z, small) - special.log_gamma_ratio(z + large, small)
    return pt.switch(pt.gt(z, LARGE), special.log_beta_rise(a, z, step), ratio)


def power(t: Any, c: Any) -> Any:
    """Return t^c for whole t >= 0 as a PyTensor vector: 0 at t = 0, and finite with its gradient for any c."""
    import pytensor.tensor as pt

    exponent = pt.minimum(c * pt.log(pt.maximum(t, 1.0)), LARGEST_EXPONENT)
    return pt.switch(pt.gt(t, 0), pt.exp(exponent), 0.0)
