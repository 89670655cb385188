"""When the next purchase comes: its probability at all, and quantiles of the waiting time.

A customer who has left never buys again. One who is alive at the end of observation buys again for certain in families
in which only a purchase can end the relation (BG/NBD, MBG/NBD) or nothing does (NBD): with the rate integrated out,

    P(wait > t) = 1 - P(alive) (1 - (s / (s + t))^k),    k = r + x, s = alpha + T.

Where a customer may leave at any time (Pareto/NBD) it is not certain, and with P(D > t) = (b / (b + t))^a

    P(wait <= t) = P(alive) * integral of k / (s + u) (s / (s + u))^k (b / (b + u))^a over u in (0, t).

Where a purchase comes every n phases (BG/CNBD-k) it is certain again, and with w = s / (s + t) and the silence z

    P(wait > t) = 1 - P(alive) (1 - w^k S(k, 1 - (1 - z) w) / S(k, z)),    S(k, z) = sum of (k)_j / j! z^j over j < n,

where k is the phases' shape (``distributions.regular.erlang_phases``). All are averaged over posterior draws.
Level: outcome
(parameters, the customer's own rate, and chance). A family that draws each customer's future ("individual") is asked
for FUTURES of them, and the wait is theirs: P(ever) is a share, with a standard error of at most
0.5 / sqrt(FUTURES) = 0.4 %, and a quantile one of the futures.

Quantiles of the first and the last solve for log t: a Newton step on the scale log(F / (P(ever) - F)), on which F is
nearly a straight line at both ends, and halving where the step leaves the bracket. For the other the density, averaged
over draws, is a polynomial on each of some thirty panels (one in t, the others in log t), and halving finds where its
integral is as large as wanted.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xarray as xr
from numba import njit

from bayes_clv.customers.tables import check_customers
from bayes_clv.distributions.regular.erlang_phases import phase_sum
from bayes_clv.predictions.histories import Histories, distinct_histories, purchase_history, purchase_state
from bayes_clv.predictions.individual import is_individual
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import EXPECTED_DRAWS, available_threads, over_tiles, owned, rows_of
from bayes_clv.schema import CUSTOMER, QUANTILES, InputError

QUANTILE = "quantile"


@njit(nogil=True, cache=True, error_model="numpy")
def _bought_by(u, alive, k, log_s, phases, silence):  # type: ignore[no-untyped-def]
    """Return the sums over draws of F, P(ever) - F and dF/du at the log time u."""
    bought, later, density = 0.0, 0.0, 0.0
    for s in range(alive.size):
        v = u - log_s[s]
        growth = max(v, 0.0) + math.log1p(math.exp(-abs(v)))  # log((s + t) / s)
        if phases > 1:
            z = 1.0 - (1.0 - silence[s]) * math.exp(-growth)
            until, now = phase_sum(phases, k[s], z), phase_sum(phases, k[s], silence[s])
            log_none = math.log(until / now) - k[s] * growth
            bought -= alive[s] * math.expm1(log_none)
            later += alive[s] * math.exp(log_none)
            # The last phase's weight: the rate at which a purchase comes, on the scale of growth.
            rate = k[s]
            for j in range(1, phases):
                rate *= (k[s] + j) / j * z
            density += alive[s] * math.exp(log_none) * rate / until / (1.0 + math.exp(-v))
            continue
        none = math.exp(-k[s] * growth)
        bought -= alive[s] * math.expm1(-k[s] * growth)
        later += alive[s] * none
        density += alive[s] * none * k[s] / (1.0 + math.exp(-v))
    return bought, later, density


@njit(nogil=True, cache=True, error_model="numpy")
def _wait(q, alive, k, log_s, phases, silence):  # type: ignore[no-untyped-def]
    """Return the time by which the next purchase has come with probability q; infinite if it never is so likely."""
    draws = alive.size
    ever = alive.sum()
    wanted = q * draws
    if wanted >= ever:
        return math.inf
    target = math.log(wanted / (ever - wanted))
    low, high = -math.inf, math.inf
    u = log_s.mean()
    for _ in range(400):
        bought, later, density = _bought_by(u, alive, k, log_s, phases, silence)
        if bought <= 0.0:
            miss, slope = -math.inf, 1.0
        elif later <= 0.0:
            miss, slope = math.inf, 1.0
        else:
            miss = math.log(bought / later) - target
            slope = density * (1.0 / bought + 1.0 / later)
        if miss == 0.0:
            break
        if miss < 0:
            low = u
        else:
            high = u
        step = -miss / slope if slope > 0 else math.copysign(1e300, -miss)
        if abs(step) <= 1e-13 * max(1.0, abs(u)):
            break
        # A bracket first, by growing steps; then never outside of it.
        following = u + min(max(step, -20.0 - abs(u)), 20.0 + abs(u))
        if not low < following < high:
            following = 0.5 * (low + high)
        if following == u:
            break
        u = following
    return math.exp(u) if u < 709.7 else math.inf


@njit(nogil=True, cache=True, error_model="numpy")
def _waits(quantiles, alive, k, log_s, phases, silence, out):  # type: ignore[no-untyped-def]
    for i in range(alive.shape[0]):
        for j in range(quantiles.size):
            out[i, j] = _wait(quantiles[j], alive[i], k[i], log_s[i], phases, silence[i])


_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(12)
_ORDER = _POINTS.size
# Legendre polynomials at the points, with the factors that give a function's coefficients from its values there.
_TO_COEFFICIENTS = (
    np.polynomial.legendre.legvander(_POINTS, _ORDER - 1).T
    * _POINT_WEIGHTS
    * (np.arange(_ORDER)[:, None] + 0.5)
)
# Panels of log t in which a polynomial through twelve points is the density to 1e-8, up to where it is a power of t.
PANEL = 1.25
PANELS = 400
PURE_POWER = 24.0


@njit(nogil=True, cache=True, error_model="numpy")
def _mean_density(t, alive, k, s, a, b):  # type: ignore[no-untyped-def]
    """Return the mean over draws of the density of the wait at t."""
    total = 0.0
    for i in range(alive.size):
        survived = k[i] * math.log1p(t / s[i]) + a[i] * math.log1p(t / b[i])
        total += alive[i] * k[i] / (s[i] + t) * math.exp(-survived)
    return total / alive.size


@njit(nogil=True, cache=True, error_model="numpy")
def _partial(coefficients, x):  # type: ignore[no-untyped-def]
    """Return the integral from -1 to x of a Legendre series: that of P_n is (P_(n+1) - P_(n-1)) / (2 n + 1)."""
    before, here = 1.0, x
    total = coefficients[0] * (x + 1.0)
    for n in range(1, coefficients.size):
        following = ((2 * n + 1) * x * here - n * before) / (n + 1)
        total += coefficients[n] * (following - before) / (2 * n + 1)
        before, here = here, following
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _later(u, alive, k, s, a, b):  # type: ignore[no-untyped-def]
    """Return the mean probability that the purchase comes after a t = exp(u) far beyond s and b."""
    total = 0.0
    for i in range(alive.size):
        # log1p(t / s) without the overflow of t.
        gone = k[i] * max(u - math.log(s[i]), 0.0) + a[i] * max(u - math.log(b[i]), 0.0)
        total += alive[i] * k[i] / (k[i] + a[i]) * math.exp(-gone)
    return total / alive.size


@njit(nogil=True, cache=True, error_model="numpy")
def _mortal_waits_of_one(quantiles, alive, k, s, a, b, out):  # type: ignore[no-untyped-def]
    """Write the quantiles of one history and return the probability of ever, where a lifetime may end the wait."""
    fastest, furthest = 0.0, 0.0
    for i in range(alive.size):
        fastest = max(fastest, (k[i] + 1.0) / s[i] + a[i] / b[i])
        furthest = max(furthest, max(s[i], b[i]))
    edges = np.empty(PANELS + 1)
    coefficients = np.empty((PANELS, _ORDER))
    reached = np.zeros(PANELS + 1)
    first = 0.5 / fastest
    last = math.log(furthest) + PURE_POWER
    # Panel 0 is (0, first) in t; panel j is (edges[j], edges[j + 1]) in log t.
    edges[1] = math.log(first)
    panels = min(PANELS, 1 + math.ceil((last - edges[1]) / PANEL))
    values = np.empty(_ORDER)
    for j in range(panels):
        if j == 0:
            half = 0.5 * first
            for m in range(_ORDER):
                values[m] = _mean_density(half * (1.0 + _POINTS[m]), alive, k, s, a, b) * half
        else:
            edges[j + 1] = edges[j] + PANEL
            half = 0.5 * PANEL
            for m in range(_ORDER):
                t = math.exp(edges[j] + half * (1.0 + _POINTS[m]))
                values[m] = _mean_density(t, alive, k, s, a, b) * t * half
        for n in range(_ORDER):
            each = 0.0
            for m in range(_ORDER):
                each += _TO_COEFFICIENTS[n, m] * values[m]
            coefficients[j, n] = each
        # The other polynomials integrate to 0.
        reached[j + 1] = reached[j] + 2.0 * coefficients[j, 0]
    end = edges[panels]
    ever = reached[panels] + _later(end, alive, k, s, a, b)
    for q in range(quantiles.size):
        wanted = quantiles[q]
        if wanted >= ever:
            out[q] = math.inf
        elif wanted > reached[panels]:
            low, high = end, 709.7
            if ever - _later(high, alive, k, s, a, b) < wanted:
                out[q] = math.inf
                continue
            for _ in range(60):
                middle = 0.5 * (low + high)
                if ever - _later(middle, alive, k, s, a, b) < wanted:
                    low = middle
                else:
                    high = middle
            out[q] = math.exp(0.5 * (low + high))
        else:
            j = 0
            while reached[j + 1] < wanted:
                j += 1
            low, high = -1.0, 1.0
            for _ in range(54):
                middle = 0.5 * (low + high)
                if reached[j] + _partial(coefficients[j], middle) < wanted:
                    low = middle
                else:
                    high = middle
            share = 0.5 * (1.0 + 0.5 * (low + high))
            out[q] = first * share if j == 0 else math.exp(edges[j] + PANEL * share)
    return ever


@njit(nogil=True, cache=True, error_model="numpy")
def _mortal_waits(quantiles, alive, k, s, a, b, out, ever):  # type: ignore[no-untyped-def]
    for i in range(alive.shape[0]):
        ever[i] = _mortal_waits_of_one(quantiles, alive[i], k[i], s[i], a[i], b[i], out[i])


def _after_purchase(levels, alive, k, scale, a, b):  # type: ignore[no-untyped-def]
    """Return P(ever) and the waits of each row where only a purchase ends the relation."""
    # One phase a purchase: the silence is not read.
    return _after_kth_phase(levels, alive, k, scale, a, b, np.ones(1), k)  # type: ignore[no-untyped-call]


def _after_kth_phase(levels, alive, k, scale, a, b, phases, silence):  # type: ignore[no-untyped-def]
    """Return P(ever) and the waits of each row where only a purchase, every k-th phase, ends the relation."""
    waits = np.empty((alive.shape[0], levels.size))
    _waits(levels, alive, k, np.log(scale), int(phases.flat[0]), silence, waits)
    return alive.mean(axis=1), waits


def _continuous(levels, alive, k, scale, a, b):  # type: ignore[no-untyped-def]
    """Return P(ever) and the waits of each row where a lifetime may end at any time."""
    waits, ever = np.empty((alive.shape[0], levels.size)), np.empty(alive.shape[0])
    _mortal_waits(levels, alive, k, scale, a, b, waits, ever)
    return ever, waits


# Futures drawn of a history, spread evenly over the posterior draws.
FUTURES = 16_384


def _drawn(
    levels: np.ndarray, posterior: Parameters, histories: Histories, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return P(ever) and the waits of each distinct history, from futures that its family draws.

    A history's numbers come from a generator seeded by its columns alone.
    """
    names, futures = posterior.forecast.history, posterior.forecast.futures
    assert futures is not None
    rows = histories.columns[names[0]].size
    repeats = math.ceil(FUTURES / posterior.size)
    ever, waits = np.empty(rows), np.empty((rows, levels.size))

    def one(row: int) -> None:
        history = {name: np.asarray(histories.columns[name][row], dtype=float) for name in names}
        each = posterior.at(histories.columns, np.array([row]))
        values = {name: np.tile(np.ravel(value), repeats) for name, value in each.items()}
        seed = hashlib.blake2b(
            np.array(list(history.values()), dtype="<f8").tobytes(), digest_size=16
        ).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "little")))
        first, _, _, lifetime = futures(rng, history, values)
        wait = np.where(first <= lifetime, first, np.inf)
        ever[row] = np.isfinite(wait).mean()
        waits[row] = np.quantile(wait, levels, method="inverted_cdf")

    with ThreadPoolExecutor(max_workers=available_threads(threads)) as executor:
        for _ in executor.map(one, range(rows)):
            pass
    return ever, waits


_BY_LIFETIME: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "after_purchase": _after_purchase,
    "continuous": _continuous,
    "after_kth_phase": _after_kth_phase,
}


def next_purchase(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    quantiles: Sequence[float] = QUANTILES,
    draws: int = EXPECTED_DRAWS,
    threads: int | None = None,
) -> xr.Dataset:
    """Return when each customer's next purchase comes: the probability of ever, and quantiles of the wait.

    Parameters
    ----------
    buying, customers
        A buying posterior and customers in its time unit.
    quantiles
        Probabilities between 0 and 1 in rising order.
    draws
        Posterior draws to average over, evenly spaced within the chains.
    threads
        Threads; by default the processors this process may use. They change the speed only.

    Returns
    -------
    xarray.Dataset
        ``probability_ever`` (customer), the probability of any further purchase however late, and ``wait``
        (customer, quantile), the time from the end of observation by which the next purchase has come with that
        probability, in the data's time unit: infinite where ``probability_ever`` is no larger. Outcome level.

    Raises
    ------
    InputError
        As in ``clv.predict``, or quantiles that are not between 0 and 1 in rising order.

    Notes
    -----
    The mean wait is infinite for every customer who may have left, and for k <= 1; use quantiles. Long waits
    of customers who bought rarely are extrapolations beyond any data: ask ``clv.probability_active`` for the
    horizon that matters.

    Examples
    --------
    >>> median_wait = next_purchase(buying, customers)["wait"].sel(quantile=0.5)
    """
    levels = np.atleast_1d(np.asarray(quantiles, dtype=float))
    rising = levels.ndim == 1 and levels.size > 0 and (np.diff(levels) > 0).all()
    if not (rising and levels[0] > 0 and levels[-1] < 1):
        raise InputError(f"quantiles must lie between 0 and 1 in rising order; got {quantiles!r}.")
    posterior = parameters(buying, "buying").thin(draws)
    check_customers(customers)
    time_unit = shared_time_unit(buying, customers)
    posterior = posterior.of(customers)
    histories = distinct_histories(purchase_history(customers, posterior.family) | posterior.columns)

    def tile(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        shape = (rows_of(history), posterior.size)
        state = purchase_state(posterior.forecast, history, values)
        waits_of = _BY_LIFETIME[posterior.forecast.law]
        return waits_of(levels, *(owned(x, shape) for x in state))

    if is_individual(posterior.family):
        ever, waits = _drawn(levels, posterior, histories, threads)
    else:
        ever, waits = over_tiles(histories, posterior, tile, threads=threads)
    result = xr.Dataset(
        {
            "probability_ever": (CUSTOMER, histories.spread(ever, of_rows=True)),
            "wait": ((CUSTOMER, QUANTILE), histories.spread(waits.T, of_rows=True).T),
        },
        coords={CUSTOMER: customers[CUSTOMER].values, QUANTILE: levels},
        attrs={"time_unit": time_unit, "draws": posterior.size},
    )
    result["probability_ever"].attrs = {
        "long_name": "probability of any further purchase, however late",
        "units": "probability",
        "level": "outcome",
    }
    result["wait"].attrs = {
        "long_name": "time to the next purchase (quantile)",
        "units": time_unit,
        "level": "outcome",
    }
    return result
