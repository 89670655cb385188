"""When the next purchase comes: its probability at all, and quantiles of the waiting time.

A customer who is alive at the end of observation buys again for certain in families in which only a purchase can
end the relation (BG/NBD, MBG/NBD) or nothing does (NBD), and a customer who has left never does. With the rate
integrated out,

    P(wait > t) = 1 - P(alive) (1 - (s / (s + t))^k),    k = r + x, s = alpha + T,

averaged over posterior draws. Level: outcome (parameters, the customer's own rate, and chance).

Quantiles solve for log t: a Newton step on the scale log(F / (P(ever) - F)), on which F is nearly a straight
line at both ends, and halving where the step leaves the bracket.
"""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numba import njit

from bayes_clv.customers import check_customers
from bayes_clv.predictions.expected import EXPECTED_DRAWS, over_tiles
from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.posterior import parameters, shared_time_unit
from bayes_clv.schema import CUSTOMER, QUANTILES, InputError

QUANTILE = "quantile"


@njit(nogil=True, cache=True, error_model="numpy")
def _bought_by(u, alive, k, log_s):  # type: ignore[no-untyped-def]
    """Return the sums over draws of F, P(ever) - F and dF/du at the log time u."""
    bought, later, density = 0.0, 0.0, 0.0
    for s in range(alive.size):
        v = u - log_s[s]
        growth = max(v, 0.0) + math.log1p(math.exp(-abs(v)))  # log((s + t) / s)
        none = math.exp(-k[s] * growth)
        bought -= alive[s] * math.expm1(-k[s] * growth)
        later += alive[s] * none
        density += alive[s] * none * k[s] / (1.0 + math.exp(-v))
    return bought, later, density


@njit(nogil=True, cache=True, error_model="numpy")
def _wait(q, alive, k, log_s):  # type: ignore[no-untyped-def]
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
        bought, later, density = _bought_by(u, alive, k, log_s)
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
def _waits(quantiles, alive, k, log_s, out):  # type: ignore[no-untyped-def]
    for i in range(alive.shape[0]):
        for j in range(quantiles.size):
            out[i, j] = _wait(quantiles[j], alive[i], k[i], log_s[i])


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
    histories = distinct_histories(purchase_history(customers) | posterior.columns)

    def tile(history: tuple[np.ndarray, ...], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        shape = (history[0].shape[0], posterior.size)
        state = posterior.formulas.future_state(*history, **values)
        alive, k, scale = (np.array(np.broadcast_to(x, shape)) for x in state[:3])
        waits = np.empty((shape[0], levels.size))
        _waits(levels, alive, k, np.log(scale), waits)
        return alive.mean(axis=1), waits

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
