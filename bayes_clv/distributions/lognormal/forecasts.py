"""What a customer with lognormal rates will do: integrals over both rates, given that it is alive.

The lattice and its steps are those of ``lognormal_rates``. Alive at T, the rates have the density
lambda^x e^(-(lambda + mu) T) times the population's, and every forecast is the mean of a function of them, which an
individual Pareto/NBD customer has in closed form: a ratio of two integrals, each with nodes where its own integrand
lies, so that a probability of one in a million keeps its digits.

``purchases_exactly`` is the probability that n purchases come and the customer outlives the horizon (lambda^n more, and
an exposure of T + t), plus the probability that they come and it then leaves before the horizon,

    mu lambda^n / (lambda + mu)^(n+1) P(n + 1, (lambda + mu) t),

P the regularised incomplete gamma function; ``reached`` is the probability that the n-th comes in time, and in a
lifetime, (lambda / (lambda + mu))^n P(n, (lambda + mu) t).

Where several counts are wanted, ``count_probabilities`` sums them over one lattice: given both rates the next count
costs a few products, and P is what is left of a Poisson distribution's mass. Its nodes lie where the living are, so
that it is the absolute error, and not that of each digit, which is small (MASS_CUT).
"""

import math

import numba
import numpy as np

from bayes_clv.distributions.lognormal.rates import (
    ALIVE,
    BUYING,
    CUT,
    LARGEST_LOG,
    LARGEST_SD,
    NODES,
    SAFE,
    TINY,
    correlation,
    log_share,
    peak,
    steps,
    whole_numbers,
)

REACHED, LEFT_AFTER = 0, 1

# What several counts at once leave out of each: exp(-36) = 2e-16 of the living, before constants.
MASS_CUT = 36.0
# exp(-s) is no double's much beyond.
LARGEST_EXPOSURE = 690.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _usable(x: float, T: float, m1: float, s1: float, m2: float, s2: float, concordance: float) -> bool:
    whole = 0 < s1 < LARGEST_SD and 0 < s2 < LARGEST_SD and 0 < concordance < 1 and x >= 0 and T >= 0
    return whole and math.isfinite(x + T + m1 + m2 + s1 + s2)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def log_integral(
    branch: int,
    x: float,
    other: float,
    T: float,
    delta: float,
    m1: float,
    s1: float,
    m2: float,
    s2: float,
    concordance: float,
) -> float:
    """Return the log of the mean over the population of a factor of ``lognormal_rates.log_branch``.

    ALIVE: ``other`` is the exposure of mu, T that of lambda. BUYING: ``other`` is the horizon.
    """
    if not _usable(x, T, m1, s1, m2, s2, concordance) or math.isnan(other) or math.isnan(delta):
        return math.nan
    rho, r = correlation(concordance)
    z, w, log_l, _, _ = peak(branch, x, other, T, delta, m1, s1, m2, s2, rho, r)
    top = log_l - 0.5 * (z * z + w * w)
    if not math.isfinite(top):
        return math.nan
    bought = math.exp(min(m1 + s1 * z, LARGEST_LOG)) * T
    left = math.exp(min(m2 + s2 * (rho * z + r * w), LARGEST_LOG)) * (other if branch == ALIVE else T)
    h, k = steps(x, s1, s2, rho, r, bought, left)
    exposure = other if branch == ALIVE else T
    # Integral of e^(-(delta + mu) u): at most this, and at most 1 / mu.
    longest = 0.0
    if branch == BUYING:
        longest = math.log(other) if math.isfinite(other) else -math.log(max(delta, 1e-300))
        if delta > 0:
            longest = min(longest, -math.log(delta))
    tilt = r * s2
    excess = max(CUT + 0.5 * (z * z + w * w), 1.0)
    h = max(h, 2 * math.sqrt(2 * CUT) * s1 / NODES) if x == 0 else h
    k = max(k, 2 * math.sqrt(2 * excess) * s2 * r / NODES)
    kappa = k / (s2 * r)
    fall = math.exp(-kappa * kappa)
    start = round(z * s1 / h)
    # By products of a normal density and a table while none of the two can overflow.
    by_logs = longest + 0.5 * w * w - (top + 0.5 * (z * z + w * w) - x * (m1 + s1 * z)) > SAFE
    log_exposure = math.log(max(exposure, TINY))
    low, high, offset = 1, 0, 0
    table = np.empty(0)
    total = 0.0
    for direction in (1, -1):
        i = start if direction == 1 else start - 1
        while True:
            eta = m1 + i * h
            z = i * h / s1
            base = x * eta - math.exp(min(eta, LARGEST_LOG)) * T - 0.5 * z * z - top
            room = base + longest + CUT
            centre = rho * s2 * z / k
            if branch == BUYING:
                other_room = base + 0.5 * tilt * tilt - m2 - rho * s2 * z + CUT
                if not other_room > 0:
                    break
                below = -math.sqrt(2 * other_room) - tilt
                above = math.sqrt(2 * other_room) - tilt
            else:
                below, above = -math.inf, math.inf
            if not room > 0:
                break
            below, above = max(below, -math.sqrt(2 * room)), min(above, math.sqrt(2 * room))
            end = np.ceil((math.log(room) - log_exposure - m2) / k) if exposure > 0 else math.inf
            first, last = whole_numbers(centre + below / kappa, min(centre + above / kappa, end))
            i += direction
            if last < first:
                continue
            if first < low or last > high or low > high:
                # The logs of what depends on zeta alone, for these nodes and some around them.
                new_low, new_high = first - 40, last + 40
                if low <= high:
                    new_low, new_high = min(new_low, low), max(new_high, high)
                table = np.empty(new_high - new_low + 1)
                for j in range(new_low, new_high + 1):
                    mu = math.exp(min(m2 + j * k, LARGEST_LOG))
                    value = -mu * exposure
                    if branch == BUYING and math.isinf(other):
                        value -= math.log(delta + mu)
                    elif branch == BUYING:
                        value += math.log(other) + log_share((delta + mu) * other)[0]
                    table[j - new_low] = value if by_logs else math.exp(value - longest)
                low, high, offset = new_low, new_high, new_low
            w = (first - centre) * kappa
            own = 0.0
            if by_logs:
                for j in range(first - offset, last - offset + 1):
                    own += math.exp(base + table[j] - 0.5 * w * w)
                    w += kappa
            else:
                density = math.exp(base + longest - 0.5 * w * w)
                ratio = math.exp(-kappa * w - 0.5 * kappa * kappa)
                for j in range(first - offset, last - offset + 1):
                    own += density * table[j]
                    density *= ratio
                    ratio *= fall
            total += own
    if not (total > 0 and math.isfinite(total)):
        return float(top)
    return float(top + math.log(total * h * kappa / (2 * math.pi * s1)))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def log_lower_gamma(n: float, s: float, log_factorial: float) -> float:
    """Return log P(n, s), the regularised incomplete gamma function of a whole n from 1; the log of n! is given."""
    if s <= 0:
        return -math.inf
    if s < n + 1.0:
        term = 1.0
        total = 1.0
        m = n
        while term > 1e-17 * total:
            m += 1.0
            term *= s / m
            total += term
        return n * math.log(s) - s - log_factorial + math.log(total)
    if s > 700.0 + 2.0 * n:
        return 0.0
    term = 1.0
    total = 1.0
    m = n - 1.0
    while m > 0 and term > 1e-17 * total:
        term *= m / s
        total += term
        m -= 1.0
    return math.log1p(-math.exp((n - 1.0) * math.log(s) - s - log_factorial + math.log(n) + math.log(total)))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _log_count(kind: int, n: float, t: float, rate: float, leaving: float, log_factorial: float) -> float:
    """Return the log of one customer's probability: that of REACHED n, or of LEFT_AFTER n, within t."""
    both = rate + leaving
    if kind == REACHED:
        share = n * (math.log(rate) - math.log(both))
        return float(share + log_lower_gamma(n, both * t, log_factorial))
    own = math.log(leaving) + n * math.log(rate) - (n + 1.0) * math.log(both)
    return float(own + log_lower_gamma(n + 1.0, both * t, log_factorial + math.log(n + 1.0)))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def log_count_integral(
    kind: int,
    n: float,
    t: float,
    x: float,
    T: float,
    m1: float,
    s1: float,
    m2: float,
    s2: float,
    concordance: float,
) -> float:
    """Return the log of the mean over the population of lambda^x e^(-(lambda + mu) T) times ``_log_count``."""
    if not _usable(x, T, m1, s1, m2, s2, concordance) or not (t >= 0 and n >= 0):
        return math.nan
    if t == 0:
        return -math.inf
    rho, r = correlation(concordance)
    z, w, _, _, _ = peak(ALIVE, x, T, T, 0.0, m1, s1, m2, s2, rho, r)
    left = math.exp(min(m2 + s2 * (rho * z + r * w), LARGEST_LOG)) * T
    h, k = steps(x + n, s1, s2, rho, r, 0.0, left)
    kappa = k / (s2 * r)
    log_factorial = math.lgamma(n + 1.0)
    # The highest value at the peaks of three shapes near the integrand's: a bound of its own peak from below.
    top, start = -math.inf, 0
    for attempt in range(3):
        bought = n if attempt > 0 else 0.0
        exposure = T if attempt == 0 else T + min(t, 1e15) * (0.5 if attempt == 1 else 1.0)
        z, w, _, _, _ = peak(ALIVE, x + bought, exposure, exposure, 0.0, m1, s1, m2, s2, rho, r)
        i = round(z * s1 / h)
        z = i * h / s1
        rate, leaving = math.exp(m1 + s1 * z), math.exp(m2 + s2 * (rho * z + r * w))
        value = x * (m1 + s1 * z) - (rate + leaving) * T - 0.5 * (z * z + w * w)
        value += _log_count(kind, n, t, rate, leaving, log_factorial)
        if value > top:
            top, start = value, i
    if not math.isfinite(top):
        return -math.inf
    log_age = math.log(max(T, TINY))
    total = 0.0
    for direction in (1, -1):
        i = start if direction == 1 else start - 1
        while True:
            eta = m1 + i * h
            z = i * h / s1
            rate = math.exp(min(eta, LARGEST_LOG))
            base = x * eta - rate * T - 0.5 * z * z - top
            # The probability is at most 1, and at most (lambda t)^n / n!.
            room = base + CUT
            if n > 0:
                room += min(0.0, n * (eta + math.log(t)) - log_factorial)
            if not room > 0:
                break
            centre = rho * s2 * z / k
            most = math.sqrt(2 * room) / kappa
            end = np.ceil((math.log(room) - log_age - m2) / k) if T > 0 else math.inf
            first, last = whole_numbers(centre - most, min(centre + most, end))
            w = (first - centre) * kappa
            for j in range(first, last + 1):
                leaving = math.exp(min(m2 + j * k, LARGEST_LOG))
                value = base - 0.5 * w * w - leaving * T
                if value > -CUT:
                    total += math.exp(value + _log_count(kind, n, t, rate, leaving, log_factorial))
                w += kappa
            i += direction
    return top + math.log(total * h * kappa / (2 * math.pi * s1))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _add_counts(weight: float, rate: float, leaving: float, t: float, none: float, out: np.ndarray) -> None:
    """Add ``weight`` times one customer's probabilities of 0, 1, ... purchases within t; ``none`` is e^(-both t)."""
    both = rate + leaving
    s = both * t
    stay, gone = rate / both, leaving / both
    # Far beyond all counts wanted every term is 0, and the customer leaves after n purchases.
    by_logs = s > LARGEST_EXPOSURE and out.size > 0.25 * s
    term, mass, power = none, none, weight
    for n in range(out.size):
        if by_logs:
            term = math.exp(n * math.log(s) - s - math.lgamma(n + 1.0))
            mass = term if n == 0 else mass + term
        elif n > 0:
            term *= s / n
            mass += term
        out[n] += power * (term + gone * max(1.0 - mass, 0.0))
        power *= stay


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _of_living(
    t: float,
    x: float,
    T: float,
    m1: float,
    s1: float,
    m2: float,
    s2: float,
    concordance: float,
    out: np.ndarray,
) -> None:
    """Write the probabilities of 0, 1, ... purchases within t of a customer who is alive at T."""
    if not _usable(x, T, m1, s1, m2, s2, concordance) or not 0 <= t < math.inf:
        out[:] = math.nan
        return
    rho, r = correlation(concordance)
    # The sharpest of what is summed: the living now, those who buy nothing until the horizon, and who buys most.
    bought = left = 0.0
    for count, exposure in ((out.size - 1.0, T + t), (0.0, T + t), (0.0, T)):
        z, w, log_l, _, _ = peak(ALIVE, x + count, exposure, exposure, 0.0, m1, s1, m2, s2, rho, r)
        bought = max(bought, math.exp(min(m1 + s1 * z, LARGEST_LOG)) * exposure)
        left = max(left, math.exp(min(m2 + s2 * (rho * z + r * w), LARGEST_LOG)) * exposure)
    top = log_l - 0.5 * (z * z + w * w)
    if not math.isfinite(top):
        out[:] = math.nan
        return
    h, k = steps(x + out.size - 1.0, s1, s2, rho, r, bought, left)
    kappa = k / (s2 * r)
    start, log_age = round(z * s1 / h), math.log(max(T, TINY))
    low, high = 1, 0
    table = np.empty((0, 3))
    total = 0.0
    out[:] = 0.0
    for direction in (1, -1):
        i = start if direction == 1 else start - 1
        while True:
            eta = m1 + i * h
            z = i * h / s1
            rate = math.exp(min(eta, LARGEST_LOG))
            base = x * eta - rate * T - 0.5 * z * z - top
            room = base + MASS_CUT
            if not room > 0:
                break
            centre = rho * s2 * z / k
            most = math.sqrt(2 * room) / kappa
            end = np.ceil((math.log(room) - log_age - m2) / k) if T > 0 else math.inf
            first, last = whole_numbers(centre - most, min(centre + most, end))
            i += direction
            if last < first:
                continue
            if first < low or last > high:
                # What depends on zeta alone, for these nodes and some around them.
                low, high = (
                    (first - 40, last + 40) if low > high else (min(low, first - 40), max(high, last + 40))
                )
                table = np.empty((high - low + 1, 3))
                for j in range(low, high + 1):
                    mu = math.exp(min(m2 + j * k, LARGEST_LOG))
                    table[j - low, 0], table[j - low, 1] = mu, math.exp(-mu * T)
                    table[j - low, 2] = math.exp(-mu * t)
            none = math.exp(-rate * t)
            w = (first - centre) * kappa
            for j in range(first - low, last - low + 1):
                weight = math.exp(base - 0.5 * w * w) * table[j, 1]
                total += weight
                _add_counts(weight, rate, table[j, 0], t, none * table[j, 2], out)
                w += kappa
    if not total > 0:
        out[:] = math.nan
        return
    out /= total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def count_probabilities(columns: np.ndarray, counts: int) -> np.ndarray:
    """Return P(n purchases within t) of the living, n = 0, ..., counts - 1, of each row of ``columns`` (row, 8).

    Columns: t, x, T, m1, s1, m2, s2 and the concordance.
    """
    found = np.empty((columns.shape[0], counts))
    for i in range(columns.shape[0]):
        t, x, T, m1, s1, m2, s2, concordance = columns[i]
        _of_living(t, x, T, m1, s1, m2, s2, concordance, found[i])
    return found


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def log_alive(
    x: float,
    of_rate: float,
    of_leaving: float,
    m1: float,
    s1: float,
    m2: float,
    s2: float,
    concordance: float,
) -> float:
    """Return the log of the population's mean of lambda^x e^(-lambda a - mu b), a and b the two exposures."""
    return float(log_integral(ALIVE, x, of_leaving, of_rate, 0.0, m1, s1, m2, s2, concordance))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def log_buying(
    x: float, t: float, T: float, delta: float, m1: float, s1: float, m2: float, s2: float, concordance: float
) -> float:
    """Return the log of the mean of lambda^x e^(-(lambda + mu) T) times the discounted time alive within t.

    -inf where t is 0, NaN for a negative discount rate.
    """
    if not t >= 0 or not delta >= 0:
        return math.nan
    if t == 0 or math.isinf(delta):
        return -math.inf
    return float(log_integral(BUYING, x, t, T, delta, m1, s1, m2, s2, concordance))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def log_reached(
    n: float, t: float, x: float, T: float, m1: float, s1: float, m2: float, s2: float, concordance: float
) -> float:
    """Return the log of the mean of lambda^x e^(-(lambda + mu) T) times P(the n-th purchase comes within t)."""
    return float(log_count_integral(REACHED, n, t, x, T, m1, s1, m2, s2, concordance))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def log_left_after(
    n: float, t: float, x: float, T: float, m1: float, s1: float, m2: float, s2: float, concordance: float
) -> float:
    """Return the log of the mean of lambda^x e^(-(lambda + mu) T) times P(n purchases, then gone, within t)."""
    return float(log_count_integral(LEFT_AFTER, n, t, x, T, m1, s1, m2, s2, concordance))
