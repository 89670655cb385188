"""Purchases every k phases: how far a silent customer has come, and the purchases of a horizon.

Times between purchases are Erlang: k phases, each Exponential(lambda), lambda ~ Gamma(c, rate alpha + t_x) after the
last purchase. The phases since then form a Pólya process: a customer who is still without a purchase at T has passed
j = 0, ..., k - 1 of them with the weights of a negative binomial that is cut off,

    pi_j = (c)_j / j! z^j / S(c, z),    S(c, z) = sum of (c)_j / j! z^j over j < k,    z = (T - t_x) / (alpha + T),

and given j the rate is Gamma(c + j, s), s = alpha + T. Up to a horizon t, tau = t / s, w = tau / (1 + tau), the phases
M since the last purchase, j among them, have

    P(M = m) = (c)_m / m! (1 - w)^c / S(c, z) * sum over j < k of C(m, j) (z (1 - w))^j w^(m - j),

of which the purchases without dropout are floor(M / k). All terms are positive. Expected purchases and survival of a
customer who may leave after each, with p ~ Beta(a, B), are

    sum over m of P(M = m) Q(floor(m / k)),    Q(n) = sum over i < n of S_i    or    S_n,    S_n = (B)_n / (a + B)_n,

by a recurrence in m over the k values of j (Pascal's rule), which ends at a bound on the rest. It carries its own
scale, so that neither (1 - w)^c nor (c)_m / m! has to be a number. Reutterer, Platzer & Schröder (2021) have these as
approximations, through the 2F1 of BG/NBD; no approximation is needed.

Beyond ``TERMS`` phases (long horizons, heavy buyers) the sum is over purchases, sum of S_(n-1) P(M >= k n), in blocks
by the rule of ``beta_survival``: the summand is analytic in n. A block is no longer than what lies before it, nor than
BLOCK_SDS standard deviations of the number of purchases, within which the summand falls from 1 to 0.
"""

import math

import numba
import numpy as np
from scipy import special

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.stirling import LARGE as LARGE_SHAPE
from bayes_clv.distributions.stirling import POISSON, negative_binomial
from bayes_clv.distributions.survival import (
    _POSITION,
    _WEIGHT,
    LARGEST_BLOCK,
    SMALLEST_BLOCK,
    _log_gamma_ratio,
    survival_ratio,
)

TERMS = 20_000
TOLERANCE = 1e-14
# The recurrence is brought back from here, long before it overflows.
LARGE = 1e200
FIRST = 64
BLOCK_SDS = 3.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def phase_sum(phases: int, c: float, z: float) -> float:
    """Return S(c, z), the sum of (c)_j / j! z^j over j < phases; at least 1."""
    term = total = 1.0
    for j in range(phases - 1):
        term *= (c + j) / (j + 1.0) * z
        total += term
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def moments(phases: int, c: float, z: float) -> tuple[float, float, float]:
    """Return log S(c, z) and its slopes in c and z."""
    term = total = 1.0
    harmonic = in_c = in_z = 0.0
    for j in range(phases - 1):
        # One more in the shape, one less in the sum: the slope in z without a division by z.
        in_z += term * (c + j)
        harmonic += 1.0 / (c + j)
        term *= (c + j) / (j + 1.0) * z
        total += term
        in_c += term * harmonic
    return math.log(total), in_c / total, in_z / total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def moments_of_rows(
    phases: np.ndarray, c: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``moments`` of each row of equally long arrays."""
    rows = c.size
    log_s, in_c, in_z = np.empty(rows), np.empty(rows), np.empty(rows)
    for i in range(rows):
        log_s[i], in_c[i], in_z[i] = moments(int(phases[i]), c[i], z[i])
    return log_s, in_c, in_z


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def log_phase_sum(phases: float, c: float, z: float) -> float:
    """Return log S(c, z), 0 for one phase; a NumPy ufunc of float64."""
    if not phases >= 1:
        return math.nan
    return math.log(phase_sum(int(phases), c, z))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def mean_phases(phases: float, c: float, z: float) -> float:
    """Return the mean of j, the phases passed since the last purchase; a NumPy ufunc of float64."""
    if not phases >= 1:
        return math.nan
    return float(z * moments(int(phases), c, z)[2])


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _series(phases: int, c: float, z: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    """Return the sum over m, NaN where TERMS are not enough."""
    stay, move = z / (1.0 + tau), tau / (1.0 + tau)
    log_scale = -c * math.log1p(tau) - math.log(phase_sum(phases, c, z))
    passed = np.zeros(phases)
    passed[0] = 1.0
    ratio, partial = 1.0, 0.0  # S_n and Q(n)
    total = 0.0 if purchases else 1.0
    m, n = 0.0, 0.0
    while m < TERMS:
        # n purchases, and all the phases to the next: the last step of the k makes it n + 1.
        term = mass = 0.0
        for step in range(phases):
            factor = (c + m) / (m + 1.0)
            mass = 0.0
            for j in range(phases - 1, 0, -1):
                passed[j] = factor * (move * passed[j] + stay * passed[j - 1])
                mass += passed[j]
            passed[0] *= factor * move
            mass += passed[0]
            m += 1.0
            if step == phases - 1:
                partial += ratio
                ratio *= (big_b + n) / (a + big_b + n)
                n += 1.0
            term = mass * (partial if purchases else ratio)
            total += term
        if max(mass, total) > LARGE:
            for j in range(phases):
                passed[j] /= LARGE
            total /= LARGE
            term /= LARGE
            log_scale += math.log(LARGE)
        # Those at the last phase before a purchase gain share with m, so that this ratio of neighbours falls.
        some = passed.sum()
        share = 1.0 if some == 0.0 else passed[phases - 1] / some
        growth = max((c + m) / (m + 1.0), 1.0) * (move + stay * (1.0 - share)) * (1.0 + 1.0 / n)
        if growth < 1.0 and term * growth <= TOLERANCE * total * (1.0 - growth):
            return total * math.exp(log_scale)
    return math.nan


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def _mean(phases: float, c: float, z: float, tau: float, a: float, big_b: float, purchases: float) -> float:
    """Return expected purchases or survival; -1 where it takes another way than the series."""
    valid = phases >= 1 and c > 0 and 0 <= z <= 1 and tau >= 0 and a > 0 and big_b > 0
    if not valid or math.isinf(c + a + big_b):
        return math.nan
    if tau == 0:
        return 0.0 if purchases else 1.0
    if math.isinf(tau):
        # Everyone drops out in the end; E[1/p] is infinite unless a > 1.
        if not purchases:
            return 0.0
        return (a + big_b - 1.0) / (a - 1.0) if a > 1 else math.inf
    # Half of the phases of a mean future are more than enough to know that the series is too long.
    if c * tau > 2.0 * TERMS:
        return -1.0
    found = _series(int(phases), c, z, tau, a, big_b, purchases > 0)
    return -1.0 if math.isnan(found) else found


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _log_choose(c: float, m: float) -> float:
    """Return log (c)_m / m!, by the smaller of the two steps: lnGamma(1e6) to rounding is 2e-9."""
    if c > m:
        return float(_log_gamma_ratio(c, m) - math.lgamma(m + 1.0))
    if c < 1.0:
        return float(-_log_gamma_ratio(m + c, 1.0 - c) - math.lgamma(c))
    return float(_log_gamma_ratio(m + 1.0, c - 1.0) - math.lgamma(c))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def count_pmf(n: float, phases: float, c: float, z: float, tau: float) -> float:
    """Return P(floor(M / k) = n), n purchases of a horizon without dropout; a NumPy ufunc of float64.

    ``tau`` is the horizon over alpha + T. A sum of k² positive terms at most; n need not be whole.
    """
    if not phases >= 1:
        return math.nan
    if tau == 0:
        return 1.0 if n == 0 else 0.0
    most = int(phases)
    log_move = -math.log1p(1.0 / tau)
    log_stay = math.log(z) - math.log1p(tau) if z > 0 else -math.inf
    log_base = -c * math.log1p(tau) - math.log(phase_sum(most, c, z))
    total = 0.0
    for i in range(most):
        m = phases * n + i
        # (c)_m / (j! (m - j)!), first at j = 0.
        if c > LARGE_SHAPE:
            # The same in another order, in which c is not raised to a power and taken back.
            chance = negative_binomial(m, c, tau)
            for j in range(most):
                if j > m + 0.5:
                    break
                if j > 0:
                    chance *= (m - j + 1.0) / j * (z / tau)
                total += chance
            continue
        log_choose = _log_choose(c, m)
        for j in range(most):
            if j > m + 0.5:
                break
            if j > 0:
                if z == 0:
                    break
                log_choose += math.log((m - j + 1.0) / j)
            silent = j * log_stay if j > 0 else 0.0
            total += math.exp(log_base + log_choose + silent + (m - j) * log_move)
    return total / phase_sum(most, c, z) if c > LARGE_SHAPE else total


def count_at_least(n: Array, phases: Array, c: Array, z: Array, tau: Array) -> Array:
    """Return P(M >= k n), at least n purchases of a horizon without dropout; 1 where n <= 0."""
    w = tau / (1 + tau)
    some = np.maximum(n, 1.0)
    weight = np.exp(-log_phase_sum(phases, c, z))
    total: Array = np.zeros(())
    for j in range(int(np.max(phases))):
        inside = j < phases
        wanted = np.where(inside, phases * some - j, 1.0)
        reached = special.betainc(wanted, np.minimum(c, POISSON) + j, w)
        reached = np.where(c > POISSON, special.gammainc(wanted, c * tau), reached)
        total = total + np.where(inside, weight * reached, 0.0)
        weight = weight * (c + j) / (j + 1.0) * z
    return np.where(n > 0, total, 1.0)


def _blocks(last: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights of the sum over n = 1, ..., last or a little more."""
    points, weights = [np.arange(1.0, FIRST + 1)], [np.ones(FIRST)]
    done = float(FIRST)
    while done < last:
        block = int(math.log2(max(min(done, width), 2.0**SMALLEST_BLOCK)))
        row = min(block, LARGEST_BLOCK) - SMALLEST_BLOCK
        length = 2.0**block
        points.append(done + (length + 1) / 2 + length * _POSITION[row])
        weights.append(length * _WEIGHT[row])
        done += length
    return np.concatenate(points), np.concatenate(weights)


def _survived(n: np.ndarray, a: float, big_b: float) -> Array:
    """Return S_n, the chance to survive n tosses, which need not be whole."""
    if a + big_b > LARGE_SHAPE:
        share: Array = survival_ratio(n, 0.0, a, big_b, 1.0)
    else:
        share = np.exp(special.betaln(a, big_b + n) - special.betaln(a, big_b))
    return share


def _long(phases: float, c: float, z: float, tau: float, a: float, big_b: float, purchases: bool) -> float:
    """Return expected purchases or survival of one customer, by blocks of purchases."""
    # Beyond it the chance of so many phases is below 1e-18: of the Gamma, and of a Poisson about it.
    most = tau * special.gammainccinv(c + phases, 1e-18)
    last = (most + 10 * math.sqrt(most) + 50) / phases + 2
    mean = (c * tau) / phases
    width = BLOCK_SDS * (mean / math.sqrt(c) + math.sqrt(mean / phases))
    n, weight = _blocks(last, width)
    state = (np.asarray(phases), np.asarray(c), np.asarray(z), np.asarray(tau))
    if purchases:
        survived = _survived(n - 1, a, big_b)
        return float(weight @ (survived * count_at_least(n, *state)))
    survived = _survived(n, a, big_b)
    return float(weight @ (survived * count_pmf(n, *state)) + count_pmf(0.0, *state))


def _average(phases: Array, c: Array, z: Array, tau: Array, a: Array, big_b: Array, purchases: bool) -> Array:
    found = np.asarray(_mean(phases, c, z, tau, a, big_b, float(purchases)))
    long = np.flatnonzero(found.ravel() == -1.0)
    if long.size:
        rows = [np.broadcast_to(each, found.shape).ravel()[long] for each in (phases, c, z, tau, a, big_b)]
        flat = found.ravel()
        flat[long] = [
            _long(n, shape, silence, time, first, second, purchases)
            for n, shape, silence, time, first, second in np.transpose(rows).tolist()
        ]
        found = flat.reshape(found.shape)
    return found


def purchases_while_alive(phases: Array, c: Array, z: Array, tau: Array, a: Array, big_b: Array) -> Array:
    """Return the mean purchases over a horizon for a customer alive now.

    ``phases`` is k, ``c`` the shape of the rate without the phases since the last purchase, ``z`` the silence over
    alpha + T, ``tau`` the horizon over alpha + T, ``a`` and ``big_b`` the Beta shapes of dropout. Guards a = 1, tau
    from 0 to infinity and c to the tens of thousands.
    """
    return _average(phases, c, z, tau, a, big_b, True)


def survival_while_alive(phases: Array, c: Array, z: Array, tau: Array, a: Array, big_b: Array) -> Array:
    """Return the probability of being alive at the horizon for a customer alive now; arguments and guards as above."""
    return _average(phases, c, z, tau, a, big_b, False)


def draw_phases(rng: np.random.Generator, phases: Array, c: Array, z: Array) -> Array:
    """Return draws of j, the phases passed since the last purchase, for arrays of one shape."""
    wanted = rng.random(c.shape) * np.exp(log_phase_sum(phases, c, z))
    reached, term = np.ones(c.shape), np.ones(c.shape)
    passed = np.zeros(c.shape)
    for j in range(int(np.max(phases, initial=1)) - 1):
        passed += (j + 1 < phases) & (wanted > reached)
        term = term * (c + j) / (j + 1.0) * z
        reached = reached + term
    return passed
