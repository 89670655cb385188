"""Gamma waits, a Gamma population and a lifetime: the integrals behind Pareto/GGG.

A customer's waits between purchases are Gamma(k, rate k lambda), the lifetime is Exponential(mu). With q = r + k x,
A = alpha + k t_x and b = beta + t_x the rates integrate out for a given k: the wait W that follows the last purchase
is beta-prime, k W / A ~ Gamma(k) / Gamma(q), what is left of the lifetime at t_x is Lomax, P(D > d) = (1 + d/b)^-s, and
a silence of length D0 = T - t_x has the probability

    C(k) = P(W > min(D, D0)) = P(W > D0) + integral of f_W(w) (1 - (1 + w/b)^-s) over w in (0, D0).

Both terms are positive, so that nothing cancels where silence is improbable. The first is an incomplete beta function
(its continued fraction, differentiated term by term in q), the second one Gauss-Legendre rule on v = log(k w / A), on
which the integrand is log-concave: the rule covers where it is above exp(-DROP) of its peak. What remains is one
integral over log k, of an integrand that falls off at both ends and is analytic: the trapezoidal rule converges
exponentially. Its nodes are multiples of a step that is halved until the sum of every other node agrees to COARSE.

Rejected: a tensor grid over (k, lambda, mu) with the individual likelihood tabulated. A contraction of 5,000 numbers
is quicker than this (some 3 us a row instead of 20), but the nodes must be placed without the parameters, and where
the population is narrower than their spacing (a large r, s or shape of k) the sum is wrong without a sign of it; and a
million customers are 40 GB.

One pass gives the logarithm of the likelihood and what its slopes are made of, the individual posterior means: a slope
in a rate is minus a mean, one in a shape the mean of a logarithm (``operators``).
"""

import math

import numba
import numpy as np

from bayes_clv.distributions.poisson.silence import rules

DROP = 16.0
COARSE = 4e-3
LOG_NEGLIGIBLE = math.log(1e-8)
LARGEST, COLUMNS = 4000, 8
STEP = 0.4
# How many nodes are enough up to which range of v.
RANGES = (
    (2.0, 14),
    (4.0, 20),
    (7.0, 22),
    (10.0, 24),
    (14.0, 27),
    (20.0, 30),
    (28.0, 36),
    (math.inf, 48),
)
_LIMITS = np.array([limit for limit, _ in RANGES])
_COUNTS = np.array([count for _, count in RANGES])
_NODES, _WEIGHTS = rules([count for _, count in RANGES])

# What ``moments`` returns after the log-likelihood.
MOMENTS = (
    "alive",
    "mean_k",
    "mean_rate",
    "mean_dropout",
    "mean_log_k",
    "mean_log_rate",
    "mean_log_dropout",
)

# A customer and the population: x, t_x, T, log_intervals, shape and rate of the regularities, r, alpha, s, beta.
type Row = tuple[float, float, float, float, float, float, float, float, float, float]

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)


@_compiled  # type: ignore[untyped-decorator]
def digamma(z: float) -> float:
    """Return the digamma function of a positive number."""
    shift = 0.0
    while z < 8.0:
        shift -= 1.0 / z
        z += 1.0
    p = 1.0 / (z * z)
    series = p * (1 / 12 - p * (1 / 120 - p * (1 / 252 - p * (1 / 240 - p * (1 / 132 - p * 691 / 32760)))))
    return shift + math.log(z) - 0.5 / z - series


@_compiled  # type: ignore[untyped-decorator]
def _fraction(a: float, b: float, x: float, by_a: bool) -> tuple[float, float]:
    """Return the continued fraction of I_x(a, b), for x below (a + 1) / (a + b + 2), and its log's slope in a or b.

    Modified Lentz; I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) times it (DLMF 8.17.22).
    """
    e = -(a + b) * x / (a + 1.0)
    de = e * (1.0 / (a + b) - (1.0 / (a + 1.0) if by_a else 0.0))
    d = 1.0 / (1.0 + e)
    dd = -d * d * de
    c, dc = 1.0, 0.0
    value, slope = d, dd / d
    for m in range(1, 20_000):
        p, q = a + 2 * m - 1.0, a + 2 * m
        scale = m * x / (p * q)
        e = (b - m) * scale
        de = -e * (1.0 / p + 1.0 / q) if by_a else scale
        for _ in range(2):
            new = 1.0 / (1.0 + e * d)
            dd = -new * new * (de * d + e * dd)
            d = new
            dc = de / c - e * dc / (c * c)
            c = 1.0 + e / c
            value *= c * d
            slope += dc / c + dd / d
            if _ == 0:
                e = -(a + m) * (a + b + m) * x / (q * (q + 1.0))
                de = 1.0 / (a + b + m)
                if by_a:
                    de += 1.0 / (a + m) - 1.0 / q - 1.0 / (q + 1.0)
                de *= e
        if abs(c * d - 1.0) < 1e-14:
            break
    return value, slope


@_compiled  # type: ignore[untyped-decorator]
def _tail(q: float, k: float, v: float, log_beta: float, psi: float) -> tuple[float, float]:
    """Return log P(Gamma(k) / Gamma(q) > e^v) and its slope in q; ``psi`` is that of log B(k, q) in q."""
    log_y = -(math.log1p(math.exp(v)) if v < 35.0 else v)
    log_z = v + log_y
    log_front = q * log_y + k * log_z - log_beta
    y = math.exp(log_y)
    if y * (q + k + 2.0) < q + 1.0:
        value, slope = _fraction(q, k, y, True)
        return log_front - math.log(q) + math.log(value), log_y - 1.0 / q - psi + slope
    value, slope = _fraction(k, q, math.exp(log_z), False)
    below = min(math.exp(log_front) * value / k, 1.0 - 1e-15)
    return math.log1p(-below), -below * (log_y - psi + slope) / (1.0 - below)


@_compiled  # type: ignore[untyped-decorator]
def _log_integrand(v: float, k: float, q: float, log_kappa: float, s: float) -> tuple[float, float]:
    """Return the log of e^(kv) (1 + e^v)^-(k+q) (1 - (1 + e^v / kappa)^-s), and its slope in v.

    A negative s leaves out the last factor.
    """
    grown = math.exp(-abs(v))
    log_sum = max(v, 0.0) + math.log1p(grown)
    share = (1.0 if v > 0 else grown) / (1.0 + grown)
    value, slope = k * v - (k + q) * log_sum, k - (k + q) * share
    if s < 0:
        return value, slope
    ratio = math.exp(min(v - log_kappa, 600.0))
    log_survived = -s * math.log1p(ratio)
    left = -math.expm1(log_survived)
    if not left > 0:
        return -math.inf, 1.0
    return value + math.log(left), slope + s * math.exp(log_survived) * ratio / ((1.0 + ratio) * left)


@_compiled  # type: ignore[untyped-decorator]
def _window(
    k: float, q: float, log_kappa: float, s: float, end: float, guess: np.ndarray
) -> tuple[float, float, float]:
    """Return where ``_log_integrand`` below ``end`` is within DROP of its peak (low, high), and its value there.

    ``guess`` (peak, distance to low, distance to high) is where to look first, and is left at what was found. Newton
    steps: the integrand is log-concave, so that those to an edge never stop short of it.
    """
    at_end, slope_at_end = _log_integrand(end, k, q, log_kappa, s)
    peak, top = end, at_end
    if slope_at_end < 0:
        below, above = -math.inf, end
        peak = min(guess[0], end - 1e-3)
        for _ in range(60):
            top, slope = _log_integrand(peak, k, q, log_kappa, s)
            grown = math.exp(-abs(peak))
            curvature = (k + q) * grown / (1.0 + grown) ** 2 + 0.05
            if abs(slope) < 0.3 * math.sqrt(curvature):
                break
            if slope > 0:
                below = peak
            else:
                above = peak
            following = peak + min(max(slope / curvature, -3.0), 3.0)
            if not below < following < above:
                following = 0.5 * (below + above)
            peak = following
        if at_end > top:
            peak, top = end, at_end
    guess[0] = peak
    low = peak
    distance = guess[1]
    for _ in range(60):
        value, slope = _log_integrand(peak - distance, k, q, log_kappa, s)
        miss = DROP - (top - value)
        low = peak - distance
        if -0.3 * DROP < miss < 0.05 * DROP:
            break
        distance += max(miss / max(slope, 1e-2), -0.7 * distance)
    guess[1] = distance
    if top - at_end <= DROP:
        return low, end, top
    high = end
    distance = guess[2]
    for _ in range(60):
        if peak + distance >= end:
            distance = 0.7 * (end - peak)
        value, slope = _log_integrand(peak + distance, k, q, log_kappa, s)
        miss = DROP - (top - value)
        high = peak + distance
        if -0.3 * DROP < miss < 0.05 * DROP:
            break
        distance += max(miss / max(-slope, 1e-2), -0.7 * distance)
        high = end
    guess[2] = distance
    return low, high, top


@_compiled  # type: ignore[untyped-decorator]
def silence(
    k: float, q: float, scale: float, b: float, s: float, since: float, guess: np.ndarray
) -> tuple[float, float, float, float, float, float]:
    """Return log C(k), the share of it that is alive, and the slopes of log C in q, log A, log b and s.

    ``guess`` as in ``_window``.
    """
    if since <= 0:
        return 0.0, 1.0, 0.0, 0.0, 0.0, 0.0
    log_beta = math.lgamma(k) + math.lgamma(q) - math.lgamma(k + q)
    psi = digamma(q) - digamma(k + q)
    log_kappa = math.log(k * b / scale)
    v0 = math.log(k * since / scale)
    log_waiting, waiting_q = _tail(q, k, v0, log_beta, psi)
    low, high, top = _window(k, q, log_kappa, s, v0, guess)
    if not top > -math.inf:
        top = 0.0
    total = by_q = by_s = by_kappa = 0.0
    width = high - low
    per_kappa = math.exp(-log_kappa)
    rule = 0
    while width > _LIMITS[rule]:
        rule += 1
    for j in range(_COUNTS[rule]):
        v = low + width * _NODES[rule, j]
        grown = math.exp(v)
        log_sum = math.log1p(grown) if v < 35.0 else v
        ratio = grown * per_kappa
        log_lived = math.log1p(ratio)
        lived = math.exp(-s * log_lived)
        left = 1.0 - lived
        if left < 0.1:
            y = s * log_lived
            left = y * (1 - y / 2 * (1 - y / 3 * (1 - y / 4 * (1 - y / 5 * (1 - y / 6)))))
        density = _WEIGHTS[rule, j] * math.exp(k * v - (k + q) * log_sum - top)
        total += density * left
        by_q += density * left * log_sum
        by_s += density * lived * log_lived
        by_kappa += density * lived * ratio / (1.0 + ratio)
    log_gone = top - log_beta + math.log(width * total)
    largest = max(log_gone, log_waiting)
    log_c = largest + math.log(math.exp(log_gone - largest) + math.exp(log_waiting - largest))
    gone, waiting = math.exp(log_gone - log_c), math.exp(log_waiting - log_c)
    log_lived = -s * math.log1p(since / b)
    log_sum = math.log1p(math.exp(v0)) if v0 < 35.0 else v0
    at_end = math.exp(k * v0 - (k + q) * log_sum - log_beta + log_lived - log_c)
    per = gone / total
    moved = s * by_kappa * per
    slope_q = waiting * waiting_q - by_q * per - gone * psi
    return log_c, waiting * math.exp(log_lived), slope_q, at_end + moved, -moved, by_s * per


@_compiled  # type: ignore[untyped-decorator]
def first_guess(k: float, q: float) -> np.ndarray:
    """Return a first ``guess`` for ``_window``."""
    peak = math.log((k + 0.5) / q)
    grown = math.exp(-abs(peak))
    distance = math.sqrt(2.0 * DROP / ((k + q) * grown / (1.0 + grown) ** 2 + 0.05))
    return np.array([peak, distance, distance])


@_compiled  # type: ignore[untyped-decorator]
def log_intensity(
    u: float, x: float, t_x: float, log_intervals: float, shape: float, rate: float, r: float, alpha: float
) -> float:
    """Return the log integrand in u = log k of purchases up to the last, but for what does not depend on k."""
    k = math.exp(u)
    value = shape * u - rate * k + k * log_intervals
    if x > 0:
        q, scale = r + k * x, alpha + k * t_x
        value += k * x * (u - math.log(scale)) - x * math.lgamma(k) + math.lgamma(q)
        value -= r * math.log1p(k * t_x / alpha)
    return value


@_compiled  # type: ignore[untyped-decorator]
def start(
    x: float, t_x: float, log_intervals: float, shape: float, rate: float, r: float, alpha: float
) -> float:
    """Return about where ``log_intensity`` is highest."""
    u = math.log(shape / rate)
    best = log_intensity(u, x, t_x, log_intervals, shape, rate, r, alpha)
    step = 1.0
    while step > 0.05:
        moved = False
        for side in (-1.0, 1.0):
            for _ in range(200):
                value = log_intensity(u + side * step, x, t_x, log_intervals, shape, rate, r, alpha)
                if not value > best:
                    break
                u, best, moved = u + side * step, value, True
            if moved:
                break
        step *= 0.35
    return u


@_compiled  # type: ignore[untyped-decorator]
def first_step(x: float, shape: float) -> float:
    """Return the step of log k to begin with: about the standard deviation of log k, at most STEP."""
    step = STEP
    while step > 1.1 / math.sqrt(0.6 * x + shape):
        step *= 0.5
    return step


@_compiled  # type: ignore[untyped-decorator]
def lattice(row: Row, table: np.ndarray) -> tuple[int, float]:
    """Return how many nodes of log k there are, and their step; each is a place in ``table`` (LARGEST, COLUMNS).

    One holds log k, the log integrand, and what ``silence`` returns.
    """
    x, t_x, T, log_intervals, shape, rate, r, alpha, s, beta = row
    since, b = T - t_x, beta + t_x
    middle = start(x, t_x, log_intervals, shape, rate, r, alpha)
    step = first_step(x, shape)
    kept = np.empty(3)
    count = 0
    largest = -math.inf
    for refined in range(12):
        centre = round(middle / step)
        first = math.exp(centre * step)
        guess = first_guess(first, r + first * x)
        kept[:] = guess
        # The nodes of the step before are every other one of this.
        earlier = count
        for side in (0, 1):
            before = -math.inf
            if side:
                guess[:] = kept
            for i in range(3000):
                j = centre - 1 - i if side else centre + i
                if refined and j % 2 == 0:
                    continue
                if count == LARGEST:
                    break
                u = j * step
                k = math.exp(u)
                log_c, alive, by_q, by_scale, by_b, by_s = silence(
                    k, r + k * x, alpha + k * t_x, b, s, since, guess
                )
                if i <= 1 and not side:
                    kept[:] = guess
                value = log_intensity(u, x, t_x, log_intervals, shape, rate, r, alpha) + log_c
                node = table[count]
                node[0], node[1], node[2], node[3], node[4] = u, value, log_c, alive, by_q
                node[5], node[6], node[7] = by_scale, by_b, by_s
                count += 1
                largest = max(largest, value)
                if (value < before or side) and value < largest + LOG_NEGLIGIBLE:
                    break
                before = value
        total = coarse = 0.0
        for i in range(count):
            weight = math.exp(table[i, 1] - largest)
            total += weight
            if i < earlier or (refined == 0 and round(table[i, 0] / step) % 2 == 0):
                coarse += weight
        if abs(2.0 * coarse / total - 1.0) < COARSE or count == LARGEST:
            break
        step *= 0.5
    return count, step


@_compiled  # type: ignore[untyped-decorator]
def moments(row: Row, table: np.ndarray, out: np.ndarray) -> None:
    """Write the log-likelihood and MOMENTS, the individual posterior means, of one customer into ``out`` (8)."""
    out[:] = math.nan
    if not usable(row):
        return
    x, t_x, _, log_intervals, shape, rate, r, alpha, s, beta = row
    b = beta + t_x
    count, step = lattice(row, table)
    largest = table[:count, 1].max()
    out[:] = 0.0
    for i in range(count):
        u = table[i, 0]
        k = math.exp(u)
        q, scale = r + k * x, alpha + k * t_x
        weight = math.exp(table[i, 1] - largest)
        out[0] += weight
        out[1] += weight * table[i, 3]
        out[2] += weight * k
        out[3] += weight * (q - table[i, 5]) / scale
        out[4] += weight * (s - table[i, 6]) / b
        out[5] += weight * u
        out[6] += weight * (digamma(q) - math.log(scale) + table[i, 4])
        out[7] += weight * table[i, 7]
    total = out[0]
    out /= total
    out[7] += digamma(s) - math.log(b)
    constant = shape * math.log(rate) - math.lgamma(shape) - log_intervals - s * math.log1p(t_x / beta)
    if x > 0:
        constant -= math.lgamma(r)
    out[0] = math.log(total * step) + largest + constant


@_compiled  # type: ignore[untyped-decorator]
def usable(row: Row) -> bool:
    """Return whether history and parameters are possible and finite."""
    x, t_x, T, log_intervals, shape, rate, r, alpha, s, beta = row
    positive = shape > 0 and rate > 0 and r > 0 and alpha > 0 and s > 0 and beta > 0
    possible = x >= 0 and t_x >= 0 and t_x <= T
    return (
        positive and possible and math.isfinite(x + T + log_intervals + shape + rate + r + alpha + s + beta)
    )


@_compiled  # type: ignore[untyped-decorator]
def row_of(columns: np.ndarray) -> Row:
    """Return ten numbers as a ``Row``."""
    c = columns
    return c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9]


@_compiled  # type: ignore[untyped-decorator]
def moments_of_rows(
    x: np.ndarray,
    t_x: np.ndarray,
    T: np.ndarray,
    log_intervals: np.ndarray,
    shape: np.ndarray,
    rate: np.ndarray,
    r: np.ndarray,
    alpha: np.ndarray,
    s: np.ndarray,
    beta: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Return ``moments`` of each row of equally long arrays, one array each."""
    found = np.empty((8, x.size))
    row = np.empty(8)
    table = np.empty((LARGEST, COLUMNS))
    for i in range(x.size):
        own = x[i], t_x[i], T[i], log_intervals[i], shape[i], rate[i], r[i], alpha[i], s[i], beta[i]
        moments(own, table, row)
        found[:, i] = row
    return found[0], found[1], found[2], found[3], found[4], found[5], found[6], found[7]
