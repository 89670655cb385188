"""Expected purchases and survival of a customer who is alive, averaged over Gamma rate and Beta dropout.

While alive a customer buys at rate lambda ~ Gamma(k, rate s) and drops out after each purchase with
probability p ~ Beta(a, B). Over a horizon t only ``tau = t / s`` matters:

- purchases: E_p[(1 - (1 + p tau)^-k) / p] = sum_n P(N = n) * sum_{j<n} (B)_j / (a+B)_j
- survival:  E_p[(1 + p tau)^-k]           = sum_n P(N = n) * (B)_n / (a+B)_n

with N ~ NegBin(k, z = tau / (1 + tau)) the purchases without dropout. (Fader, Hardie & Lee 2005, eqs. 9
and 10, write the first with a 2F1 and a factor 1 / (a - 1); both are absent here, so a = 1 is ordinary.)

Two ways, each where it is exact to rounding:

1. The sum over n by recurrence. All terms are positive; it ends at a bound on the remaining terms. Used
   while it needs at most ``SERIES_TERMS`` terms and P(N = 0) = (1 + tau)^-k does not underflow.
2. Otherwise (long horizons, heavy buyers) the trapezoidal rule in u = logit(p). The integrand is analytic
   for |Im u| < pi and has one peak, so the rule converges exponentially in the step and stops at a bound
   on the rest. A tail e^(a u) or e^(-B u) that is too slow to follow is a geometric series, summed whole.

Where customers hardly differ in dropout (a + B above ``LARGE``) the weight is one about its peak, ``stirling``: apart
its factors are of the size of a + B and leave no digits at 1e16.

The rejected alternative, 2F1 by scipy, loses all digits near a = 1 and for x in the hundreds.
"""

import math

import numba

from bayes_clv.distributions.stirling import LARGE, beta_at, log_beta_peak

SERIES_TERMS = 1_500
# exp(-690) is still a normal number with room for the recurrence.
LOG_UNDERFLOW = 690.0
TOLERANCE = 1e-14
# Trapezoidal error is about exp(-pi^2 / h) for a broad integrand and exp(-2 pi^2 sd^2 / h^2) for a peak of
# that standard deviation: 1e-17 with these steps.
STEP = 0.25
STEP_PER_SD = 0.6
# Shapes beyond it are scaled down to it.
DEGENERATE = 1e300


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _series_is_short(k: float, tau: float) -> bool:
    mean = k * tau
    # The tail of N falls off like z^n, -log z = log1p(1 / tau) > 1 / (1 + tau).
    spread = 8.0 * math.sqrt(mean * (1.0 + tau)) + 36.0 * (1.0 + tau)
    return mean + spread < SERIES_TERMS and k * math.log1p(tau) < LOG_UNDERFLOW


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _series(k: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    z = tau / (1.0 + tau)
    mass = math.exp(-k * math.log1p(tau))  # P(N = n)
    ratio = 1.0  # (B)_n / (a+B)_n
    partial = 0.0  # sum_{j<n} of the ratios
    total = 0.0 if purchases else mass
    n = 0.0
    while True:
        # One division for both ratios, and a look at the bound after every fourth term: a fifth faster.
        for _ in range(4):
            below = a + big_b + n
            inverse = 1.0 / ((n + 1.0) * below)
            mass *= z * (k + n) * below * inverse
            partial += ratio
            ratio *= (big_b + n) * (n + 1.0) * inverse
            n += 1.0
            term = mass * partial if purchases else mass * ratio
            total += term
        # From here each term is at most z (k+n) / n of the one before (partial sums grow by at most 1/n).
        growth = z * (k + n)
        if growth < n and term * growth <= TOLERANCE * total * (n - growth):
            return total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _integrand(
    u: float, k: float, tau: float, a: float, big_b: float, log_beta: float, purchases: bool
) -> float:
    e = math.exp(-abs(u))
    log1p_e = math.log1p(e)
    p = 1.0 / (1.0 + e) if u > 0 else e / (1.0 + e)
    log_p = -log1p_e if u > 0 else u - log1p_e
    log_q = -u - log1p_e if u > 0 else -log1p_e
    log_weight = a * log_p + big_b * log_q - log_beta
    decay = -k * math.log1p(p * tau)
    if purchases:
        return math.exp(log_weight - log_p) * -math.expm1(decay)
    return math.exp(log_weight + decay)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _slope(u: float, k: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    """Return d log(integrand) / du divided by 1 - p: it falls from a to -inf, so there is one peak."""
    odds = math.exp(u)
    y = tau * odds / (1.0 + odds)
    if not purchases:
        return a - big_b * odds - k * y / (1.0 + y)
    growth = k * math.log1p(y)
    elasticity = 0.0 if growth > 700.0 else k * y / ((1.0 + y) * math.expm1(growth))
    return a - big_b * odds + elasticity - 1.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _quadrature(k: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    log_beta = math.lgamma(a) + math.lgamma(big_b) - math.lgamma(a + big_b)
    # Beyond these ends the integrand is e^(a u) or e^(-B u) to 1e-17.
    left_end = -40.0 - math.log1p(k * tau)
    right_end = 40.0 + math.log1p(k + big_b + a)
    left_end -= math.log1p(big_b + a)
    low, high = left_end, right_end
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        if _slope(middle, k, tau, a, big_b, purchases) > 0:
            low = middle
        else:
            high = middle
    peak = 0.5 * (low + high)

    p = 1.0 / (1.0 + math.exp(-peak))
    q = 1.0 / (1.0 + math.exp(peak))
    y = p * tau
    curvature = (a + big_b) * p * q + (0.3 if purchases else k * y * (q / (1.0 + y)) ** 2)
    step = min(STEP, STEP_PER_SD / math.sqrt(curvature))

    total: float = _integrand(peak, k, tau, a, big_b, log_beta, purchases)
    for side in range(2):
        direction = -1.0 if side == 0 else 1.0
        rate = a if side == 0 else big_b
        end = left_end if side == 0 else right_end
        # One peak: beyond u the integral is at most value * (distance to the end + 1 / rate).
        reach = right_end - left_end + 1.0 / rate
        i = 0.0
        while True:
            i += 1.0
            u = peak + direction * i * step
            value = _integrand(u, k, tau, a, big_b, log_beta, purchases)
            if (end - u) * direction < 0:
                total += value / -math.expm1(-rate * step)
                break
            total += value
            if value * reach <= TOLERANCE * total * step:
                break
    return total * step


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _integrand_about(d: float, k: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    """Return the integrand over Beta's density at p0 = a / (a + B), at d = logit p - logit p0."""
    p0 = a / (a + big_b)
    log_p, _, log_weight = beta_at(d, a, big_b)
    decay = -k * math.log1p(p0 * math.exp(log_p) * tau)
    if purchases:
        return math.exp(log_weight - log_p) * (-math.expm1(decay) / p0)
    return math.exp(log_weight + decay)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _slope_about(d: float, k: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    """Return what ``_slope`` does, at d = logit p - logit p0."""
    y = a / (a + big_b) * math.exp(beta_at(d, a, big_b)[0]) * tau
    slope = -a * math.expm1(d)
    if not purchases:
        return slope - k * y / (1.0 + y)
    growth = k * math.log1p(y)
    elasticity = 0.0 if growth > 700.0 else k * y / ((1.0 + y) * math.expm1(growth))
    return slope + elasticity - 1.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _quadrature_about(k: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    """Return what ``_quadrature`` does for a + B of any size."""
    middle = math.log(a) - math.log(big_b)
    left_end = -40.0 - math.log1p(k * tau) - math.log1p(big_b + a) - middle
    right_end = 40.0 + math.log1p(k + big_b + a) - middle
    # The rest of the integrand falls with p, so that the peak is left of p0. None is narrower than 1 / sqrt(a + B + k).
    narrow = 0.01 / math.sqrt(a + big_b + k)
    low, high = left_end, 0.0
    for _ in range(1_100):
        if high - low <= max(narrow, -1e-16 * low):
            break
        peak = 0.5 * (low + high)
        if _slope_about(peak, k, tau, a, big_b, purchases) > 0:
            low = peak
        else:
            high = peak
    peak = 0.5 * (low + high)

    log_p, log_q, _ = beta_at(peak, a, big_b)
    p, q = a / (a + big_b) * math.exp(log_p), big_b / (a + big_b) * math.exp(log_q)
    y = p * tau
    curvature = (a + big_b) * p * q + (0.3 if purchases else k * y * (q / (1.0 + y)) ** 2)
    step = min(STEP, STEP_PER_SD / math.sqrt(curvature))
    total = _integrand_about(peak, k, tau, a, big_b, purchases)
    for side in range(2):
        direction = -1.0 if side == 0 else 1.0
        rate = a if side == 0 else big_b
        end = left_end if side == 0 else right_end
        reach = right_end - left_end + 1.0 / rate
        i = 0.0
        while True:
            i += 1.0
            d = peak + direction * i * step
            value = _integrand_about(d, k, tau, a, big_b, purchases)
            if (end - d) * direction < 0:
                total += value / -math.expm1(-rate * step)
                break
            total += value
            if value * reach <= TOLERANCE * total * step:
                break
    return float(total * (step * math.exp(log_beta_peak(a, big_b))))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _average(k: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    if not (k > 0 and tau >= 0 and a >= 0 and big_b > 0) or math.isinf(k + a + big_b):
        return math.nan
    if tau == 0:
        return 0.0 if purchases else 1.0
    if a == 0:
        # All of Beta's mass is at p = 0: nobody ever leaves.
        return k * tau if purchases else 1.0
    if math.isinf(tau):
        # Everyone drops out in the end; E[1/p] is infinite unless a > 1.
        if not purchases:
            return 0.0
        return (a + big_b - 1.0) / (a - 1.0) if a > 1 else math.inf
    if max(a, big_b) > DEGENERATE:
        # p is a / (a + B) in every digit; the ratios of the series need some room above.
        scale = DEGENERATE / max(a, big_b)
        a, big_b = a * scale, big_b * scale
        if a == 0:
            return k * tau if purchases else 1.0
    if _series_is_short(k, tau):
        average: float = _series(k, tau, a, big_b, purchases)
    elif a + big_b > LARGE:
        average = _quadrature_about(k, tau, a, big_b, purchases)
    else:
        average = _quadrature(k, tau, a, big_b, purchases)
    return average


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def purchases_while_alive(k: float, tau: float, a: float, big_b: float) -> float:
    """Return the mean purchases over a horizon for a customer alive now; a NumPy ufunc of float64.

    ``k`` is the shape of the rate, ``tau`` the horizon over the rate's scale (t / (alpha + T)), ``a`` and
    ``big_b`` the Beta shapes of dropout. Guards a = 1, a = 0 (no dropout), tau from 0 to infinity and k to the
    thousands.
    """
    return float(_average(k, tau, a, big_b, True))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def survival_while_alive(k: float, tau: float, a: float, big_b: float) -> float:
    """Return the probability of being alive at the horizon for a customer alive now; a ufunc of float64.

    Arguments and guards as in ``purchases_while_alive``.
    """
    return float(_average(k, tau, a, big_b, False))
