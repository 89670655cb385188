"""Exact draws of a customer's regularity, rates and future from its own posterior, for Gamma waits (``gamma_waits``).

**Rejection.** Up to the last purchase nothing is hidden: k has a one-dimensional posterior without the silence,
lambda given k is Gamma(r + k x, alpha + k t_x), and mu is Gamma(s, beta + t_x). The next wait W and what is left of
the lifetime, D, are drawn from them, and the draw is kept if it is silent, W > min(D, T - t_x): then D > T - t_x says
whether the customer is alive, and W and D beyond the silence are its future. What is accepted has the joint posterior,
with no integral at all, and costs less than a microsecond a try.

**Where silence is improbable** (a regular customer that is long overdue) the rejections would not end. After TRIES the
draw is made from the same posterior by composition: k from the nodes of ``gamma_waits.lattice``; then whether W
outlasts the silence; then W truncated, by rejection from an envelope of its log-concave density; then the rest given W.
The rejections before it are independent of it, so that the mixture is exact.

k is drawn from a piecewise exponential through its nodes and accepted against the density itself.
"""

import math

import numpy as np

from bayes_clv.distributions.regular.gamma_waits import (
    COLUMNS,
    LARGEST,
    Row,
    _compiled,
    _log_integrand,
    _tail,
    digamma,
    first_guess,
    first_step,
    lattice,
    log_intensity,
    row_of,
    silence,
    start,
    usable,
)

TRIES = 60
# By how much, in logarithms, the density of k may exceed the exponential through two neighbouring nodes.
EXCESS = 0.3
LOG_LEFT_OUT = -20.0
# The age of purchases that come sooner than a double can say: of a small k most waits are below e^-745.
SOONEST = 1e-300


@_compiled  # type: ignore[untyped-decorator]
def _chord(
    rng: np.random.Generator, u: np.ndarray, value: np.ndarray, mass: np.ndarray
) -> tuple[float, float]:
    """Return a draw from the piecewise exponential exp(value) through sorted nodes u, and its log density.

    ``mass`` (node - 1) are the cumulated masses of the cells.
    """
    cell = np.searchsorted(mass, rng.random() * mass[-1], side="right")
    cell = min(cell, mass.size - 1)
    width, slope = u[cell + 1] - u[cell], value[cell + 1] - value[cell]
    share = rng.random()
    if abs(slope) > 1e-9:
        # The inverse CDF of an exponential on (0, 1), from its higher end.
        tail = -math.expm1(-abs(slope))
        place = -math.log1p(-share * tail) / abs(slope)
        share = place if slope < 0 else 1.0 - place
    return u[cell] + width * share, value[cell] + slope * share


@_compiled  # type: ignore[untyped-decorator]
def _masses(u: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the cumulated masses of the cells of the piecewise exponential."""
    mass = np.empty(u.size - 1)
    total = 0.0
    top = value.max()
    for i in range(mass.size):
        high, low = max(value[i], value[i + 1]), min(value[i], value[i + 1])
        drop = high - low
        share = -math.expm1(-drop) / drop if drop > 1e-9 else 1.0
        total += math.exp(high - top) * share * (u[i + 1] - u[i])
        mass[i] = total
    return mass


@_compiled  # type: ignore[untyped-decorator]
def _before_silence(
    x: float, t_x: float, log_intervals: float, shape: float, rate: float, r: float, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted nodes of log k, and ``log_intensity`` at them: k given the purchases, but not the silence."""
    step = first_step(x, shape)
    middle = start(x, t_x, log_intervals, shape, rate, r, alpha)
    top = log_intensity(middle, x, t_x, log_intervals, shape, rate, r, alpha)
    ends = np.zeros(2, dtype=np.int64)
    for side in range(2):
        for i in range(1, 2000):
            u = middle + (i if side else -i) * step
            ends[side] = i
            if log_intensity(u, x, t_x, log_intervals, shape, rate, r, alpha) < top + LOG_LEFT_OUT:
                break
    u, value = np.empty(ends[0] + ends[1] + 1), np.empty(ends[0] + ends[1] + 1)
    for i in range(u.size):
        u[i] = middle + (i - ends[0]) * step
        value[i] = log_intensity(u[i], x, t_x, log_intervals, shape, rate, r, alpha)
    return u, value


@_compiled  # type: ignore[untyped-decorator]
def _truncated(
    rng: np.random.Generator, k: float, q: float, log_kappa: float, s: float, low: float, high: float
) -> float:
    """Return a draw of v in (low, high) with the log-concave density of ``gamma_waits._log_integrand``.

    Rejection from a flat top between two points about one below the peak, and the tangents beyond them.
    """
    left, right = low, high
    if left == -math.inf:
        left = min(high, math.log((k + 1.0) / q)) - 60.0 / (k + 1.0) - 60.0
    if right == math.inf:
        right = max(low, math.log(k / q)) + 60.0 / q + 60.0
    first, last = left, right
    for _ in range(80):
        peak = 0.5 * (first + last)
        if _log_integrand(peak, k, q, log_kappa, s)[1] > 0:
            first = peak
        else:
            last = peak
    peak = 0.5 * (first + last)
    top = _log_integrand(peak, k, q, log_kappa, s)[0]
    edge = np.empty(2)
    tangent = np.zeros(2)
    height = np.zeros(2)
    for side in range(2):
        end = right if side else left
        inner, outer = peak, end
        edge[side] = end
        if top - _log_integrand(end, k, q, log_kappa, s)[0] > 1.0:
            for _ in range(60):
                middle = 0.5 * (inner + outer)
                drop = top - _log_integrand(middle, k, q, log_kappa, s)[0]
                if drop > 1.5:
                    outer = middle
                elif drop < 0.7:
                    inner = middle
                else:
                    break
            edge[side] = middle
            value, slope = _log_integrand(middle, k, q, log_kappa, s)
            tangent[side], height[side] = abs(slope), value - top
    below = math.exp(height[0]) / tangent[0] if tangent[0] > 0 else 0.0
    above = math.exp(height[1]) / tangent[1] if tangent[1] > 0 else 0.0
    flat = edge[1] - edge[0]
    for _ in range(100_000):
        pick = rng.random() * (below + flat + above)
        if pick < flat:
            v, bound = edge[0] + pick, 0.0
        else:
            side = 0 if pick < flat + below else 1
            beyond = rng.standard_exponential() / tangent[side]
            v = edge[side] + (beyond if side else -beyond)
            bound = height[side] - beyond * tangent[side]
        if low <= v <= high and rng.standard_exponential() > bound - (
            _log_integrand(v, k, q, log_kappa, s)[0] - top
        ):
            return float(v)
    return float(peak)


@_compiled  # type: ignore[untyped-decorator]
def _composed(rng: np.random.Generator, row: Row, table: np.ndarray, out: np.ndarray) -> None:
    """Write what ``draw`` does, by composition."""
    x, t_x, T, log_intervals, shape, rate, r, alpha, s, beta = row
    since, b = T - t_x, beta + t_x
    count, _ = lattice(row, table)
    order = np.argsort(table[:count, 0])
    u, value = table[:count, 0][order], table[:count, 1][order]
    mass = _masses(u, value)
    log_k = 0.0
    for _ in range(1000):
        log_k, chord = _chord(rng, u, value, mass)
        k = math.exp(log_k)
        q, scale = r + k * x, alpha + k * t_x
        log_c, alive, _, _, _, _ = silence(k, q, scale, b, s, since, first_guess(k, q))
        exact = log_intensity(log_k, x, t_x, log_intervals, shape, rate, r, alpha) + log_c
        if rng.standard_exponential() > chord + EXCESS - exact:
            break
    k = math.exp(log_k)
    q, scale = r + k * x, alpha + k * t_x
    log_kappa, v0 = math.log(k * b / scale), math.log(k * since / scale)
    log_c = silence(k, q, scale, b, s, since, first_guess(k, q))[0]
    log_beta = math.lgamma(k) + math.lgamma(q) - math.lgamma(k + q)
    log_waiting, _ = _tail(q, k, v0, log_beta, digamma(q) - digamma(k + q))
    lived = -math.expm1(-s * math.log1p(since / b))
    if math.log(rng.random()) < log_waiting - log_c:
        v = _truncated(rng, k, q, log_kappa, -1.0, v0, math.inf)
        wait = math.exp(v) * scale / k
        share = rng.random()
        alive = share > lived
    else:
        v = _truncated(rng, k, q, log_kappa, s, -math.inf, v0)
        wait = math.exp(v) * scale / k
        share = -math.expm1(-s * math.log1p(wait / b)) * rng.random()
        alive = False
    # A lifetime with P(D < d) = 1 - (1 + d / b)^-s, at the share.
    life = b * math.expm1(min(-math.log1p(-share) / s, 600.0))
    out[0] = 1.0 if alive else 0.0
    out[1] = k
    out[2] = rng.standard_gamma(q + k) / (scale + k * wait)
    out[3] = rng.standard_gamma(s + 1.0) / (b + life)
    out[4] = max(wait - since, 0.0) if alive else math.inf
    out[5] = max(life - since, SOONEST) if alive else min(life - since, -SOONEST)


@_compiled  # type: ignore[untyped-decorator]
def draw(rng: np.random.Generator, row: Row, table: np.ndarray, out: np.ndarray) -> None:
    """Write (alive 1 or 0, k, lambda, mu, wait for the next purchase, leaving, both after T) into ``out`` (6).

    Of one who has left the wait is infinite, and leaving negative: it lies before T.
    """
    out[:] = math.nan
    if not usable(row):
        return
    x, t_x, T, log_intervals, shape, rate, r, alpha, s, beta = row
    since = T - t_x
    u, value = _before_silence(x, t_x, log_intervals, shape, rate, r, alpha)
    mass = _masses(u, value)
    for _ in range(TRIES):
        log_k, chord = _chord(rng, u, value, mass)
        exact = log_intensity(log_k, x, t_x, log_intervals, shape, rate, r, alpha)
        if rng.standard_exponential() < chord + EXCESS - exact:
            continue
        k = math.exp(log_k)
        purchase = rng.standard_gamma(r + k * x) / (alpha + k * t_x)
        dropout = rng.standard_gamma(s) / (beta + t_x)
        life = rng.standard_exponential() / dropout if dropout > 0 else math.inf
        wait = rng.standard_gamma(k) / (k * purchase) if purchase > 0 else math.inf
        if wait > min(life, since) or since <= 0:
            alive = life > since
            out[0] = 1.0 if alive else 0.0
            out[1], out[2], out[3] = k, purchase, dropout
            out[4] = wait - since if alive else math.inf
            out[5] = life - since if alive else min(life - since, -SOONEST)
            return
    _composed(rng, row, table, out)


@_compiled  # type: ignore[untyped-decorator]
def draw_rows(rng: np.random.Generator, columns: np.ndarray) -> np.ndarray:
    """Return ``draw`` of each row of ``columns`` (row, 10), as (6, row)."""
    found = np.empty((6, columns.shape[0]))
    table = np.empty((LARGEST, COLUMNS))
    one = np.empty(6)
    for i in range(columns.shape[0]):
        draw(rng, row_of(columns[i]), table, one)
        found[:, i] = one
    return found


@_compiled  # type: ignore[untyped-decorator]
def _live(
    rng: np.random.Generator,
    T: float,
    shape: float,
    rate: float,
    r: float,
    alpha: float,
    s: float,
    beta: float,
    limit: int,
    age: np.ndarray,
) -> tuple[int, float, float]:
    """Return (purchases, age at the last, sum of log intervals) of a new customer; write ages while they fit."""
    k = max(rng.standard_gamma(shape) / rate, 1e-300)
    purchase, dropout = rng.standard_gamma(r) / alpha, rng.standard_gamma(s) / beta
    lifetime = rng.standard_exponential()
    end = min(lifetime / dropout, T) if dropout > 0 else T
    clock = log_sum = 0.0
    count = 0
    while count < limit and purchase > 0:
        if k < 1.0:
            # A Gamma(k) as Gamma(k + 1) U^(1/k), in logarithms: it may be too small for a number.
            log_wait = math.log(rng.standard_gamma(k + 1.0)) - rng.standard_exponential() / k
        else:
            log_wait = math.log(rng.standard_gamma(k))
        log_wait -= math.log(k * purchase)
        later = max(clock + math.exp(min(log_wait, 700.0)), SOONEST)
        if not later <= end:
            break
        if count < age.size:
            age[count] = later
        clock = later
        log_sum += log_wait
        count += 1
    return count, clock, log_sum


@_compiled  # type: ignore[untyped-decorator]
def _simulate(
    rng: np.random.Generator, columns: np.ndarray, limit: int, times: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows = columns.shape[0]
    count = np.empty(rows, dtype=np.int64)
    recency, log_intervals = np.empty(rows), np.empty(rows)
    ages = np.empty(max(rows, 16) if times else 0)
    own = np.empty(limit if times else 0)
    total = 0
    for i in range(rows):
        c = columns[i]
        count[i], recency[i], log_intervals[i] = _live(
            rng, c[0], c[1], c[2], c[3], c[4], c[5], c[6], limit, own
        )
        if times:
            while total + count[i] > ages.size:
                larger = np.empty(2 * ages.size)
                larger[:total] = ages[:total]
                ages = larger
            ages[total : total + count[i]] = own[: count[i]]
        total += count[i]
    return count, ages[:total] if times else ages, recency, log_intervals


def simulate(
    rng: np.random.Generator, columns: np.ndarray, times: bool, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (purchases, ages at them, age at the last, sum of log intervals) of new customers.

    ``columns`` (row, 7) are the age T and the six parameters. Ages are those of one customer after the other, and
    none unless ``times``; a customer's purchases end at ``limit``.
    """
    found: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] = _simulate(rng, columns, limit, times)
    return found
