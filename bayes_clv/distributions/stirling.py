"""Beta and negative binomial weights, and ratios of Beta functions, whose arguments may be huge.

Where customers hardly differ, the shapes of their rates and chances grow without bound: the data then have no finite
maximum, and a sampler goes where the priors let it. lnGamma(a) + lnGamma(b) - lnGamma(a + b) is a difference of numbers
of the size of a + b, and a log p + b log(1 - p) is another: a density written with them has an error of a + b in units
of the last digit, and none are left at 1e16. Here both are taken about the peak p0 = a / (a + b), where by Stirling's
series

    log (p0^a q0^b / B(a, b)) = (log(a b / (a + b)) - log(2 pi)) / 2 - R(a) - R(b) + R(a + b),

R being what the series adds to (z - 1/2) log z - z + log(2 pi) / 2, and away from it by

    log ((p / p0)^a (q / q0)^b) = -a D(p / p0 - 1) - b D(q / q0 - 1),    D(r) = r - log(1 + r),

two terms of one sign (Loader 2000, Fast and Accurate Computation of Binomial Probabilities). Nothing cancels, and
the shapes may be of any size: at 1e300 a Beta is a point. Ratios of Beta functions are second differences of lnGamma,
taken term by term.

Up to ``LARGE`` the plain forms are right to 1e-12 and what others have published was computed with them, so those who
use these functions switch there.
"""

import math

import numba

# lnGamma(1500) is 9e3: a plain difference is right to 1e-12.
LARGE = 1_500.0
# Shapes of a Gamma rate beyond which counts are Poisson in every digit.
POISSON = 1e100
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, inline="always")  # type: ignore[untyped-decorator]
def stirling(z: float) -> float:
    """Return R(z), what Stirling's lnGamma(z) lacks, z >= 10."""
    z = min(z, 1e150)
    s = 1 / (z * z)
    return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - s * 691 / 360360))))) / z


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def stirling_rest(z: float) -> float:
    """Return R(z) of any z > 0."""
    if z >= 10.0:
        return float(stirling(z))
    return math.lgamma(z) - (z - 0.5) * math.log(z) + z - HALF_LOG_TWO_PI


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def excess(r: float, log1p_r: float) -> float:
    """Return D(r) = r - log(1 + r), of which the logarithm is known; all its digits where r is small."""
    if abs(r) > 0.2:
        return r - log1p_r
    v = r / (2.0 + r)
    v2 = v * v
    odd = 1 / 3 + v2 * (1 / 5 + v2 * (1 / 7 + v2 * (1 / 9 + v2 * (1 / 11 + v2 * (1 / 13 + v2 / 15)))))
    return r * v - 2.0 * v * v2 * odd


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def log_beta_peak(a: float, b: float) -> float:
    """Return log (p0^a q0^b / B(a, b)), the density of the logit of p at its peak p0 = a / (a + b)."""
    height = 0.5 * math.log(min(a, b) * (max(a, b) / (a + b))) - HALF_LOG_TWO_PI
    return float(height - stirling_rest(a) - stirling_rest(b) + stirling_rest(a + b))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def beta_at(d: float, a: float, b: float) -> tuple[float, float, float]:
    """Return log p / p0, log q / q0 and the log density over that at the peak, at d = logit p - logit p0."""
    p0, q0 = a / (a + b), b / (a + b)
    if d < 300.0:
        grown = p0 * math.expm1(d)
        # 1 + grown, where p0 is 1 but for little.
        total = q0 + p0 * math.exp(d)
        log_total = math.log1p(grown) if d > -1.0 else math.log(total)
        up, down = q0 * math.expm1(d) / total, -grown / total
    else:
        log_total = d + math.log(p0 + q0 * math.exp(-d))
        up, down = math.expm1(d - log_total), math.expm1(-log_total)
    density = -a * excess(up, d - log_total) - b * excess(down, -log_total)
    return d - log_total, -log_total, density


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def log_gamma_weight(s: float, k: float) -> float:
    """Return the log of g^k e^-g / Gamma(k), the density of log g of a Gamma of shape k, at g = k e^s."""
    return float(0.5 * math.log(k) - HALF_LOG_TWO_PI - stirling_rest(k) - k * excess(math.expm1(s), s))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def rest_fallen(z: float, q: float) -> float:
    """Return R(z) - R(z + q), z >= 100, all digits where q is small. ``rest_fallen.py_func`` takes tensors."""
    u, v = 1.0 / z, 1.0 / (z + q)
    # u^n - v^n has the factor u - v = q u v.
    u2, v2, both = u * u, v * v, u * v
    third = u2 + both + v2
    fifth = u2 * u2 + u2 * both + both * both + both * v2 + v2 * v2
    seventh = u2 * u2 * u2 + both * fifth + v2 * v2 * v2
    return q * both * (1 / 12 - third / 360 + fifth / 1260 - seventh / 1680)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def log_beta_rise_large(a: float, z: float, step: float) -> float:
    """Return log B(a, z + step) / B(a, z), at most 0, for z >= 100 and any a and step of at least 0."""
    q, w = min(a, step), max(a, step)
    # Factors of at most 1, so that nothing overflows; and where their product would vanish it is first made larger.
    top = (q / z) * (w / (z + w + q))
    top = (z - 0.5) * math.log1p(top) if top > 1e-20 else q * (w / (z + w + q)) * (1.0 - 0.5 / z)
    total = top - q * math.log1p(w / (z + q)) - w * math.log1p(q / (z + w))
    return float(total + rest_fallen(z + w, q) - rest_fallen(z, q))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def negative_binomial(n: float, k: float, tau: float) -> float:
    """Return Gamma(k + n) / (Gamma(k) n!) z^n (1 - z)^k, z = tau / (1 + tau); n need not be whole."""
    if tau == 0 or n == 0:
        return math.exp(-k * math.log1p(tau)) if n == 0 else 0.0
    # The expected count less n, over n and over k.
    above = (k * tau - n) / (1.0 + tau)
    up, down = above / n, -above / k
    log_up = math.log1p(up) if abs(up) < 0.5 else math.log((1.0 + k / n) * tau / (1.0 + tau))
    log_down = math.log1p(down) if abs(down) < 0.5 else math.log((1.0 + n / k) / (1.0 + tau))
    log_pmf = -n * excess(up, log_up) - k * excess(down, log_down)
    rest = stirling_rest(k + n) - stirling_rest(k) - stirling_rest(n)
    return math.exp(log_pmf + rest - HALF_LOG_TWO_PI) * math.sqrt(k / (k + n) / n)


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def count_chance(n: float, k: float, tau: float) -> float:
    """Return ``negative_binomial`` of n >= 0 and k > 0; a NumPy ufunc of float64."""
    if not (n >= 0 and k > 0 and tau >= 0):
        return math.nan
    return float(negative_binomial(n, k, tau))
