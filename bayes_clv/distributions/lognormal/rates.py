"""A customer's purchase and dropout rates, correlated lognormal: the integral of the likelihood over both.

Given the rates, lambda to buy and mu to leave, a history (x, t_x, T) has the likelihood (Abe 2009, eq. 1)

    L = lambda^x (mu e^(-(lambda + mu) t_x) + lambda e^(-(lambda + mu) T)) / (lambda + mu),

and eta = log lambda, zeta = log mu are bivariate normal over customers: means m1 and m2, standard deviations s1 and s2,
correlation rho. What the model needs is the mean of L over them: no closed form is known.

**The rule** is the trapezoid on a lattice (eta, zeta) about the population's means. The integrand is analytic and
falls off at both ends of both axes like the normal density or faster, so the error falls as exp(-2 pi a / step) with
the distance a from the real axis to where the integrand grows by a factor that undoes it: pi / 2 for exp(-e^eta T),
less for lambda^x, whose peak is 1 / sqrt(x) wide, and unlimited for a normal density, which grows as
exp(a^2 / (2 s^2)). ``steps`` has the three in one formula. zeta gets the step of its conditional density given eta,
eta that of its marginal one: aliases on the lattice then cancel at any correlation.

**Where the nodes lie.** A bound of the integrand, L <= lambda^x e^(-lambda t_x - mu t_x), says at each eta between
which zeta it can matter, so that a sheared ellipse of nodes is visited, cut where it is above exp(-CUT) of the peak.
The peak is the larger one of two: the likelihood is a sum of "alive at T" and "left between t_x and T", both
log-concave in (eta, zeta), whose peaks a Newton iteration finds (``peak``; the draws of ``lognormal_draws`` rest on
them as well).

**What bounds the cost.** exp(-mu t_x) and exp(-mu (T - t_x)) depend on zeta alone, lambda's on eta alone, and the
normal density goes from node to node by two multiplications: a node costs a division and some ten operations. The
integral's slopes in the five parameters are posterior means of the whitened rates' first and second moments, gathered
in the same pass. CDNOW's 1,016 distinct histories take 7 ms on one thread, at the estimates of Abe (2009).

Measured (tests/distributions/test_lognormal_rates.py, against a dense sum in whitened coordinates): relative error
below 1e-10 for x to 1,000, T from 0.01 to 10,000, s from 0.1 to 3 and correlations to 0.95. With s above 8 the
lattice is coarsened to NODES nodes an axis, and nothing is promised but a finite number; from 100 on the answer is NaN.

Rejected: Gauss-Hermite in whitened coordinates (the transitions of exp(-e^eta T) are 1 / s wide there: at s = 3 some
500 nodes an axis); one lattice for all customers, so that sums become matrix products (fast for one parameter point,
useless where covariates give each customer its own); the time of leaving as a third variable.
"""

import math

import numba
import numpy as np

# Aliasing and truncation are both of order exp(-24) = 4e-11 of the integral, before constants.
ALIASING = 24.0
CUT = 26.0
NODES = 400
# Above this, logarithms are added node by node: a product of factors could overflow.
SAFE = 300.0
LARGEST_LOG = 690.0
# Rates seven standard deviations out are then e^700, and no double holds them.
LARGEST_SD = 100.0
# Logarithms of what no double holds.
LARGEST_MEAN = 750.0
TINY = 1e-300
# sqrt(1 - rho^2) is at least this, so that slopes are not divided by nothing: the mean likelihood moves by its square.
SMALLEST_R = 1e-5
# The lattice's numbers beyond which doubles are no longer whole; and how far below its bound the integrand's peak may
# lie, in logs, for NODES nodes an axis to find it.
EXACT = 2.0**52
FAR = 1e4
# Of the sum over nodes, in units of the peak: below it no node is near, and 1 / sum may overflow.
NEAR = 1e-250


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def frequency_needed(powers: float, strip: float) -> float:
    """Return the angular frequency that the lattice must resolve, given the integrand's curvature and strip."""
    return 1.08 * math.sqrt((2 * ALIASING / math.pi / strip) ** 2 + 2 * ALIASING * powers)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def correlation(concordance: float) -> tuple[float, float]:
    """Return rho = -cos(pi c) and r = sqrt(1 - rho^2), at least SMALLEST_R."""
    return -math.cos(math.pi * concordance), max(math.sin(math.pi * concordance), SMALLEST_R)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def whole_numbers(low: float, high: float) -> tuple[int, int]:
    """Return the first and last whole number from low to high; 1 and 0 where there is none that a double can hold."""
    if not (-EXACT < low <= high < EXACT):
        return 1, 0
    return math.ceil(low), math.floor(high)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def steps(
    x: float, s1: float, s2: float, rho: float, r: float, bought: float, left: float
) -> tuple[float, float]:
    """Return the lattice's steps in eta and zeta; r = sqrt(1 - rho^2).

    ``bought`` and ``left`` are lambda T and mu T at the peak: far from the population they, and not x, say how sharp
    exp(-lambda T) and exp(-mu T) are.
    """
    # Along eta the factors of zeta are seen through the correlation, where that stretches them.
    pull = abs(rho) * s2 / s1
    strip = 1.0 / max(1.0, pull)
    first = frequency_needed(max(x, bought) + 1.0 / (s1 * s1) + max(1.0, pull * pull), strip)
    second = frequency_needed(max(1.0, left) + 1.0 / (r * s2 * r * s2), 1.0)
    return 2 * math.pi / first, 2 * math.pi / second


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def log_share(s: float) -> tuple[float, float, float]:
    """Return log((1 - e^-s) / s) and its first two derivatives in s."""
    if s < 1e-2:
        return -s / 2 + s * s / 24 - s**4 / 2880, -0.5 + s / 12 - s**3 / 720, 1 / 12 - s * s / 240
    left = -math.expm1(-s)
    rest = 1.0 - left
    return math.log(left) - math.log(s), rest / left - 1.0 / s, 1.0 / (s * s) - rest / (left * left)


# What a log-concave factor is: alive so far, gone in between, alive so far and buying within a horizon.
ALIVE, GONE, BUYING = 0, 1, 2


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def log_branch(
    branch: int, x: float, t_x: float, T: float, delta: float, eta: float, zeta: float
) -> tuple[float, float, float, float, float, float]:
    """Return the log of a factor and its slopes in eta and zeta: (log L, d1, d2, d11, d12, d22).

    ALIVE: lambda^x e^(-lambda T - mu t_x), so that t_x = T is the likelihood of the living. GONE: lambda^x mu times the
    integral of e^(-(lambda + mu) y) over y in (t_x, T). BUYING: lambda^x e^(-(lambda + mu) T) times that of
    e^(-(delta + mu) u) over u in (0, t_x).
    """
    rate, leaving = math.exp(min(eta, LARGEST_LOG)), math.exp(min(zeta, LARGEST_LOG))
    if branch == ALIVE:
        a, b = rate * T, leaving * t_x
        return x * eta - a - b, x - a, -b, -a, 0.0, -b
    if branch == BUYING:
        a, b = rate * T, leaving * T
        if math.isinf(t_x):
            part = leaving / (delta + leaving)
            return (
                x * eta - a - b - math.log(delta + leaving),
                x - a,
                -b - part,
                -a,
                0.0,
                -b - part * (1 - part),
            )
        psi, psi1, psi2 = log_share((delta + leaving) * t_x)
        d = leaving * t_x
        value = x * eta - a - b + math.log(t_x) + psi
        return value, x - a, psi1 * d - b, -a, 0.0, psi1 * d + psi2 * d * d - b
    silence = T - t_x
    a, b = rate * silence, leaving * silence
    psi, psi1, psi2 = log_share(a + b)
    c, d = rate * t_x, leaving * t_x
    return (
        x * eta - c - d + zeta + math.log(silence) + psi,
        x - c + psi1 * a,
        1.0 - d + psi1 * b,
        -c + psi1 * a + psi2 * a * a,
        psi2 * a * b,
        -d + psi1 * b + psi2 * b * b,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def peak(
    branch: int,
    x: float,
    t_x: float,
    T: float,
    delta: float,
    m1: float,
    s1: float,
    m2: float,
    s2: float,
    rho: float,
    r: float,
) -> tuple[float, float, float, float, float]:
    """Return where a factor times the population's density is highest: (z, w, log L, slopes of log L in z and w).

    Of a factor as ``log_branch`` has them, and on the whitened scale: eta = m1 + s1 z, zeta = m2 + s2 (rho z + r w).
    Newton steps, shortened to 3 units of a logarithm and until they rise; all three are concave.
    """
    z = w = 0.0
    a, b = rho * s2, r * s2
    log_l, d1, d2, d11, d12, d22 = log_branch(branch, x, t_x, T, delta, m1, m2)
    for _ in range(100):
        gz, gw = s1 * d1 + a * d2 - z, b * d2 - w
        hzz = s1 * s1 * d11 + 2 * s1 * a * d12 + a * a * d22 - 1.0
        hzw = s1 * b * d12 + a * b * d22
        hww = b * b * d22 - 1.0
        det = hzz * hww - hzw * hzw
        step_z, step_w = -(hww * gz - hzw * gw) / det, -(hzz * gw - hzw * gz) / det
        longest = max(abs(s1 * step_z), abs(a * step_z + b * step_w))
        short = min(1.0, 3.0 / longest) if longest > 0 else 1.0
        here = log_l - 0.5 * (z * z + w * w)
        for _ in range(30):
            new_z, new_w = z + short * step_z, w + short * step_w
            found = log_branch(branch, x, t_x, T, delta, m1 + s1 * new_z, m2 + a * new_z + b * new_w)
            if found[0] - 0.5 * (new_z * new_z + new_w * new_w) >= here - 1e-9 * abs(here):
                break
            short *= 0.25
        z, w = new_z, new_w
        log_l, d1, d2, d11, d12, d22 = found
        # In units of the posterior's own width: the peak's height is then known to 1e-6.
        if short * short * abs(step_z * gz + step_w * gw) < 1e-6:
            break
    return z, w, log_l, s1 * d1 + a * d2, b * d2


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _bound_peak(x: float, t_x: float, m1: float, s1: float) -> float:
    """Return the eta at which x eta - e^eta t_x - (eta - m1)^2 / (2 s1^2) is highest."""
    precision = 1.0 / (s1 * s1)
    eta = m1 + x * s1 * s1
    if t_x == 0:
        return eta
    eta = min(eta, max(m1, math.log(x) - math.log(t_x))) if x > 0 else m1
    for _ in range(100):
        rate = math.exp(min(eta, LARGEST_LOG)) * t_x
        step = (x - rate - (eta - m1) * precision) / (rate + precision)
        eta += max(step, -3.0)
        if abs(step) < 1e-3 * s1:
            break
    return eta


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _crossing(
    x: float, t_x: float, m1: float, s1: float, top: float, height: float, direction: float
) -> float:
    """Return how far from ``top`` the bound of eta falls by ``height``."""
    at_top = x * top - math.exp(min(top, LARGEST_LOG)) * t_x - 0.5 * ((top - m1) / s1) ** 2
    low, high = 0.0, s1 * math.sqrt(2 * height)
    for _ in range(40):
        middle = 0.5 * (low + high)
        eta = top + direction * middle
        value = x * eta - math.exp(min(eta, LARGEST_LOG)) * t_x - 0.5 * ((eta - m1) / s1) ** 2
        if value > at_top - height:
            low = middle
        else:
            high = middle
    return high


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def moments(
    x: float, t_x: float, T: float, m1: float, s1: float, m2: float, s2: float, concordance: float
) -> tuple[float, float, float, float, float, float]:
    """Return the log of the mean likelihood, and the posterior means of z, w, z^2, z w and w^2.

    z and w are the whitened rates, eta = m1 + s1 z and zeta = m2 + s2 (rho z + r w), with rho = -cos(pi c) and
    r = sin(pi c) of the ``concordance`` c.
    """
    nothing = math.nan, math.nan, math.nan, math.nan, math.nan, math.nan
    whole = (
        0 < s1 < LARGEST_SD
        and 0 < s2 < LARGEST_SD
        and 0 < concordance < 1
        and abs(m1) < LARGEST_MEAN
        and abs(m2) < LARGEST_MEAN
        and x >= 0
        and t_x >= 0
        and t_x <= T
    )
    if not whole or not math.isfinite(x + T):
        return nothing
    rho, r = correlation(concordance)
    silence = T - t_x
    z, w, log_l, _, _ = peak(ALIVE, x, T, T, 0.0, m1, s1, m2, s2, rho, r)
    top = log_l - 0.5 * (z * z + w * w)
    if silence > 0:
        other_z, other_w, log_l, _, _ = peak(GONE, x, t_x, T, 0.0, m1, s1, m2, s2, rho, r)
        height = log_l - 0.5 * (other_z * other_z + other_w * other_w)
        if height > top or not math.isfinite(top):
            top, z, w = height, other_z, other_w
    peak_z, peak_w = z, w
    if not math.isfinite(top):
        return nothing
    bought = math.exp(min(m1 + s1 * peak_z, LARGEST_LOG)) * T
    left = math.exp(min(m2 + s2 * (rho * peak_z + r * peak_w), LARGEST_LOG)) * T
    h, k = steps(x, s1, s2, rho, r, bought, left)
    middle = _bound_peak(x, t_x, m1, s1)
    at_middle = x * middle - math.exp(min(middle, LARGEST_LOG)) * t_x - 0.5 * ((middle - m1) / s1) ** 2
    if at_middle - top > FAR:
        return top, peak_z, peak_w, peak_z * peak_z, peak_z * peak_w, peak_w * peak_w
    excess = at_middle - top + CUT
    reach = math.sqrt(2 * max(excess, 1.0))
    if 2 * reach * s1 > NODES * h:
        width = _crossing(x, t_x, m1, s1, middle, excess, -1.0) + _crossing(
            x, t_x, m1, s1, middle, excess, 1.0
        )
        h = max(h, width / NODES)
    k = max(k, 2 * reach * s2 * r / NODES)
    kappa = k / (s2 * r)
    fall = math.exp(-kappa * kappa)
    # No quotient: a compiler may divide by 0 before it asks whether t_x is above it.
    log_t_x = math.log(max(t_x, TINY))
    # What depends on zeta alone, filled as the columns come to it.
    start = round((middle - m1) / h)
    extent = math.ceil((abs(middle - m1) / s1 + reach) * s2 * abs(rho) / k + reach / kappa) + 2
    by_logs = at_middle - top > SAFE or extent > 8 * NODES
    size = 1 if by_logs else 2 * extent + 1
    leaving, gone, stayed = np.empty(size), np.empty(size), np.empty(size)
    low, high = 1, 0
    total = sum_z = sum_w = sum_zz = sum_zw = sum_ww = 0.0
    for direction in (1, -1):
        i = start if direction == 1 else start - 1
        while True:
            eta = m1 + i * h
            z = i * h / s1
            rate = math.exp(min(eta, LARGEST_LOG))
            base = x * eta - rate * t_x - 0.5 * z * z - top
            room = base + CUT
            # Beyond its peak the bound only falls.
            if not room > 0:
                if abs(i - start) > 1:
                    break
                i += direction
                continue
            centre = rho * s2 * z / k
            most = math.sqrt(2 * room) / kappa
            end = np.ceil((math.log(room) - log_t_x - m2) / k) if t_x > 0 else math.inf
            first, last = whole_numbers(centre - most, min(centre + most, end))
            if not by_logs:
                first, last = max(first, -extent), min(last, extent)
            w = (first - centre) * kappa
            own = own_w = own_ww = 0.0
            if by_logs:
                for j in range(first, last + 1):
                    mu = math.exp(min(m2 + j * k, LARGEST_LOG))
                    share = (mu + rate * math.exp(-(rate + mu) * silence)) / (rate + mu)
                    value = math.exp(base - 0.5 * w * w - mu * t_x) * share
                    own += value
                    own_w += value * w
                    own_ww += value * w * w
                    w += kappa
            elif last >= first:
                if low > high:
                    low, high = first, first - 1
                for j in range(first, low):
                    mu = math.exp(min(m2 + j * k, LARGEST_LOG))
                    leaving[j + extent], gone[j + extent] = mu, mu * math.exp(-mu * t_x)
                    stayed[j + extent] = math.exp(-mu * T)
                for j in range(high + 1, last + 1):
                    mu = math.exp(min(m2 + j * k, LARGEST_LOG))
                    leaving[j + extent], gone[j + extent] = mu, mu * math.exp(-mu * t_x)
                    stayed[j + extent] = math.exp(-mu * T)
                low, high = min(low, first), max(high, last)
                density = math.exp(base - 0.5 * w * w)
                ratio = math.exp(-kappa * w - 0.5 * kappa * kappa)
                stay = rate * math.exp(-rate * silence)
                for j in range(first + extent, last + extent + 1):
                    value = density * (gone[j] + stay * stayed[j]) / (rate + leaving[j])
                    density *= ratio
                    ratio *= fall
                    own += value
                    own_w += value * w
                    own_ww += value * w * w
                    w += kappa
            total += own
            sum_z += z * own
            sum_zz += z * z * own
            sum_w += own_w
            sum_zw += z * own_w
            sum_ww += own_ww
            i += direction
    if not (total > NEAR and math.isfinite(total)):
        # A history that this population all but excludes, thousands of standard deviations out: no node is near.
        return top, peak_z, peak_w, peak_z * peak_z, peak_z * peak_w, peak_w * peak_w
    # At least NEAR already: said once more, because a compiler may divide before it branches.
    total = max(total, NEAR)
    log_mean = top + math.log(total * h * kappa / (2 * math.pi * s1))
    per = 1.0 / total
    return log_mean, sum_z * per, sum_w * per, sum_zz * per, sum_zw * per, sum_ww * per


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def slopes_of_rows(
    x: np.ndarray,
    t_x: np.ndarray,
    T: np.ndarray,
    m1: np.ndarray,
    s1: np.ndarray,
    m2: np.ndarray,
    s2: np.ndarray,
    concordance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return of each row the log mean likelihood and its slopes in m1, log s1, m2, log s2 and the concordance."""
    rows = x.size
    log_mean, d_m1, d_s1 = np.empty(rows), np.empty(rows), np.empty(rows)
    d_m2, d_s2, d_c = np.empty(rows), np.empty(rows), np.empty(rows)
    for i in range(rows):
        c = concordance[i]
        rho, r = correlation(c)
        log_mean[i], z, w, zz, zw, ww = moments(x[i], t_x[i], T[i], m1[i], s1[i], m2[i], s2[i], c)
        d_m1[i] = (z - rho / r * w) / s1[i]
        d_s1[i] = zz - rho / r * zw - 1.0
        d_m2[i] = w / (r * s2[i])
        d_s2[i] = ww - 1.0 + rho / r * zw
        d_c[i] = math.pi * (zw + rho / r * (1.0 - ww))
    return log_mean, d_m1, d_s1, d_m2, d_s2, d_c


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def log_mean_likelihood(
    x: float, t_x: float, T: float, m1: float, s1: float, m2: float, s2: float, concordance: float
) -> float:
    """Return the log of the mean likelihood; a NumPy ufunc of float64. NaN for what is no history."""
    return float(moments(x, t_x, T, m1, s1, m2, s2, concordance)[0])
