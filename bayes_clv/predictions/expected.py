"""Closed forms at the *expected* level: per draw of the population parameters, then averaged, never before.

Every quantity is computed for each posterior draw on the distinct histories. Averages over draws stream
through tiles; arrays over (chain, draw, customer) are made only when asked for and when they fit.

The averages in a summary use at most EXPECTED_DRAWS evenly spaced draws: E[Y(t)] of one draw costs
four simulated futures (360 ns), and the mean of 500 draws has a standard error of 1/sqrt(500) = 4.5 % of the
posterior standard deviation, far below the simulation error of the outcome's own mean beside it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers import check_customers
from bayes_clv.predictions.engine import TILE, available_threads
from bayes_clv.predictions.histories import (
    Histories,
    distinct_histories,
    purchase_history,
)
from bayes_clv.predictions.posterior import Parameters, parameters, shared_time_unit
from bayes_clv.schema import CUSTOMER, InputError, describe, duration

MAX_MEMORY = 2e9
EXPECTED_DRAWS = 500

# Of history columns (row, 1) and parameters (draw,): one or more arrays that broadcast to (row, draw).
PerDraw = Callable[[tuple[np.ndarray, ...], dict[str, np.ndarray]], tuple[np.ndarray, ...]]


def refuse_too_large(values: int, max_memory: float, *, what: str, instead: str) -> None:
    """Refuse ``values`` numbers of 8 bytes beyond ``max_memory`` bytes, naming the size."""
    if 8 * values > max_memory:
        raise InputError(
            f"{what} need {8 * values / 1e9:.3g} GB, more than max_memory = {max_memory / 1e9:.3g} GB. "
            f"{instead}"
        )


def mean_over_draws(
    histories: Histories, values: dict[str, np.ndarray], quantity: PerDraw, *, threads: int | None = None
) -> list[np.ndarray]:
    """Return the means over draws of each of the quantity's arrays, per distinct row, streamed in tiles."""
    draws = next(iter(values.values())).size
    columns = tuple(histories.columns.values())
    rows = columns[0].size
    step = max(1, TILE // draws)

    def tile(start: int) -> list[np.ndarray]:
        part = tuple(column[start : start + step, None] for column in columns)
        shape = (part[0].shape[0], draws)
        return [np.broadcast_to(x, shape).mean(axis=1) for x in quantity(part, values)]

    starts = range(0, rows, step)
    workers = min(available_threads(threads), len(starts))
    first = tile(0)
    with ThreadPoolExecutor(max_workers=workers) as executor:
        rest = list(executor.map(tile, starts[1:]) if workers > 1 else map(tile, starts[1:]))
    return [np.concatenate(parts) for parts in zip(first, *rest, strict=True)]


def _per_draw(
    buying: xr.DataTree,
    customers: xr.Dataset,
    name: str,
    formula: Callable[[Parameters], Callable[..., np.ndarray]],
    max_memory: float,
) -> xr.DataArray:
    """Return a closed form as (chain, draw, customer), computed on distinct rows."""
    posterior = parameters(buying, "buying")
    check_customers(customers)
    time_unit = shared_time_unit(buying, customers)
    histories = distinct_histories(purchase_history(customers))
    refuse_too_large(
        posterior.size * customers.sizes[CUSTOMER],
        max_memory,
        what=f"{posterior.size:,} draws of {customers.sizes[CUSTOMER]:,} customers",
        instead="Use clv.predict, which streams them into a summary, or fewer customers.",
    )
    function = formula(posterior)
    columns = tuple(histories.columns.values())
    rows = columns[0].size
    values = {key: value[:, None] for key, value in posterior.values.items()}
    result = np.empty((posterior.size, rows))
    step = max(1, TILE // posterior.size)
    for start in range(0, rows, step):
        part = (column[start : start + step] for column in columns)
        result[:, start : start + step] = function(*part, **values)
    dims, spread = posterior.unstack(histories.spread(result, of_rows=True), CUSTOMER)
    dataset = xr.Dataset(
        {name: (dims, spread)},
        coords={**posterior.coords(), CUSTOMER: customers[CUSTOMER].values},
        attrs={"time_unit": time_unit},
    )
    described = describe(dataset)[name]
    described.attrs["time_unit"] = time_unit
    return described


def probability_alive(
    buying: xr.DataTree, customers: xr.Dataset, *, max_memory: float = MAX_MEMORY
) -> xr.DataArray:
    """Return the probability of being alive at the end of observation, for each posterior draw.

    Parameters
    ----------
    buying
        A buying posterior (``clv.fit("bg_nbd", ...)``).
    customers
        Customers in the posterior's time unit.
    max_memory
        Bytes above which the result is refused (a 64-bit number per draw and customer).

    Returns
    -------
    xarray.DataArray
        ``probability_alive`` (chain, draw, customer), a probability at the expected level.

    Raises
    ------
    InputError
        Mismatched time units, an impossible history, repeated ids, or a result that does not fit.

    Examples
    --------
    >>> probability_alive(buying, customers).mean(("chain", "draw"))  # doctest: +SKIP
    """
    return _per_draw(
        buying, customers, "probability_alive", lambda known: known.formulas.probability_alive, max_memory
    )


def expected_purchases(
    buying: xr.DataTree, customers: xr.Dataset, horizon: str | float, *, max_memory: float = MAX_MEMORY
) -> xr.DataArray:
    """Return the expected purchase occasions over the horizon, for each posterior draw.

    The family's E[Y(t) | history], for example eq. 10 of Fader, Hardie & Lee (2005). Its spread over draws
    is the uncertainty of an average, not of what a customer will do: use ``clv.predict`` for that.

    Parameters
    ----------
    buying, customers, max_memory
        As in :func:`probability_alive`.
    horizon
        ``"52 weeks"``, or a bare number in the data's time unit.

    Returns
    -------
    xarray.DataArray
        ``purchases_expected`` (chain, draw, customer), a count at the expected level.

    Raises
    ------
    InputError
        As in :func:`probability_alive`, or a horizon that is not positive and finite.

    Examples
    --------
    >>> expected_purchases(buying, customers, "52 weeks")  # doctest: +SKIP
    """
    return _over_horizon(buying, customers, horizon, "purchases_expected", "expected_purchases", max_memory)


def survival(
    buying: xr.DataTree, customers: xr.Dataset, horizon: str | float, *, max_memory: float = MAX_MEMORY
) -> xr.DataArray:
    """Return the probability of being alive at the end of the horizon, for each posterior draw.

    Parameters, errors and level as in :func:`expected_purchases`.

    Returns
    -------
    xarray.DataArray
        ``survival`` (chain, draw, customer), a probability at the expected level.

    Examples
    --------
    >>> survival(buying, customers, "1 year")  # doctest: +SKIP
    """
    result = _over_horizon(buying, customers, horizon, "survival", "survival", max_memory)
    result.attrs |= {
        "long_name": "probability of being alive at the end of the horizon",
        "units": "probability",
        "level": "expected",
    }
    return result


def _over_horizon(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    name: str,
    function: str,
    max_memory: float,
) -> xr.DataArray:
    length = duration(horizon, shared_time_unit(buying, customers))

    def formula(posterior: Parameters) -> Callable[..., np.ndarray]:
        closed_form: Callable[..., np.ndarray] = getattr(posterior.formulas, function)

        def at_horizon(*history: np.ndarray, **values: Any) -> np.ndarray:
            return closed_form(length, *history, **values)

        return at_horizon

    result = _per_draw(buying, customers, name, formula, max_memory)
    result.attrs["horizon"] = length
    return result


def expected_summary(
    posterior: Parameters, histories: Histories, horizon: float, *, threads: int | None = None
) -> dict[str, np.ndarray]:
    """Return posterior means per customer of P(alive), the latent means and E[Y], streamed over draws."""
    formulas = posterior.formulas

    def quantities(history: tuple[np.ndarray, ...], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return (
            formulas.probability_alive(*history, **values),
            *formulas.latent_means(*history, **values),
            formulas.expected_purchases(horizon, *history, **values),
        )

    names = ("probability_alive", "purchase_rate_mean", "dropout_mean", "purchases_expected")
    means = mean_over_draws(histories, posterior.thin(EXPECTED_DRAWS).values, quantities, threads=threads)
    return {name: histories.spread(mean, of_rows=True) for name, mean in zip(names, means, strict=True)}
