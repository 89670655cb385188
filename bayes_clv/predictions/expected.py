"""Closed forms at the *expected* level: per draw of the population parameters, then averaged, never before.

Every quantity is computed for each posterior draw on the distinct histories. Averages over draws stream
through tiles; arrays over (chain, draw, customer) are made only when asked for and when they fit.

The averages in a summary use at most EXPECTED_DRAWS evenly spaced draws: E[Y(t)] of one draw costs
four simulated futures (360 ns), and the mean of 500 draws has a standard error of 1/sqrt(500) = 4.5 % of the
posterior standard deviation, far below the simulation error of the outcome's own mean beside it.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.predictions.histories import Histories, distinct_histories, purchase_history
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import (
    EXPECTED_DRAWS,
    MAX_MEMORY,
    closed_form_draws,
    mean_over_draws,
    over_tiles,
    refuse_too_large,
    rows_of,
    thinned_reasons,
)
from bayes_clv.schema import CUSTOMER, InputError, describe
from bayes_clv.units import discount_rate, duration

Closed = Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], np.ndarray]


def _per_draw(
    buying: xr.DataTree,
    customers: xr.Dataset,
    name: str,
    formula: Callable[[Parameters], Closed],
    max_memory: float,
    draws: int | None = None,
    threads: int | None = None,
    most: int | None = None,
) -> xr.DataArray:
    """Return a closed form as (chain, draw, customer), computed on distinct rows."""
    every = parameters(buying, "buying")
    posterior = closed_form_draws(every, draws, most)
    reasons = [] if most is not None else thinned_reasons(every, posterior, draws)
    check_customers(customers)
    time_unit = shared_time_unit(buying, customers)
    posterior = posterior.of(customers)
    histories = distinct_histories(purchase_history(customers, posterior.family) | posterior.columns)
    refuse_too_large(
        posterior.size * customers.sizes[CUSTOMER],
        max_memory,
        what=f"{posterior.size:,} draws of {customers.sizes[CUSTOMER]:,} customers",
        instead="Use clv.predict, which streams them into a summary, or fewer customers.",
    )
    function = formula(posterior)

    def each(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        shape = (rows_of(history), posterior.size)
        return (np.broadcast_to(function(history, values), shape),)

    (result,) = over_tiles(histories, posterior, each, threads=threads)
    result = result.T
    dims, spread = posterior.unstack(histories.spread(result, of_rows=True), CUSTOMER)
    dataset = xr.Dataset(
        {name: (dims, spread)},
        coords={**posterior.coords(), CUSTOMER: customers[CUSTOMER].values},
        attrs={"time_unit": time_unit},
    )
    described = describe(dataset)[name]
    described.attrs |= {"time_unit": time_unit, "draws": posterior.size, "reasons": reasons}
    return described


def probability_alive(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    draws: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.DataArray:
    """Return the probability of being alive at the end of observation, for each posterior draw.

    Parameters
    ----------
    buying
        A buying posterior (``clv.fit("bg_nbd", ...)``).
    customers
        Customers in the posterior's time unit.
    draws
        Posterior draws to use, evenly spaced within the chains. By default all of them; of a family whose closed forms
        are slow (Pareto/GGG: its ``closed_form_draws``) fewer, which ``attrs["reasons"]`` then says.
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
    >>> alive = probability_alive(buying, customers).mean(("chain", "draw"))
    """
    return _per_draw(
        buying,
        customers,
        "probability_alive",
        lambda known: known.forecast.alive,
        max_memory,
        draws,
    )


def expected_purchases(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    *,
    draws: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.DataArray:
    """Return the expected purchase occasions over the horizon, for each posterior draw.

    The family's E[Y(t) | history], for example eq. 10 of Fader, Hardie & Lee (2005). Its spread over draws
    is the uncertainty of an average, not of what a customer will do: use ``clv.predict`` for that.

    Parameters
    ----------
    buying, customers, draws, max_memory
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
    >>> purchases = expected_purchases(buying, customers, "52 weeks")
    """
    return _over_horizon(
        buying,
        customers,
        horizon,
        "purchases_expected",
        lambda known: known.forecast.purchases,
        max_memory,
        draws,
    )


def survival(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    *,
    draws: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.DataArray:
    """Return the probability of being alive at the end of the horizon, for each posterior draw.

    Parameters, errors and level as in :func:`expected_purchases`.

    Returns
    -------
    xarray.DataArray
        ``survival`` (chain, draw, customer), a probability at the expected level.

    Examples
    --------
    >>> alive = survival(buying, customers, "1 year")
    """
    return _over_horizon(
        buying, customers, horizon, "survival", lambda known: known.forecast.survival, max_memory, draws
    )


def expected_residual_transactions(
    buying: xr.DataTree,
    customers: xr.Dataset,
    annual_discount_rate: float,
    *,
    draws: int | None = None,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.DataArray:
    """Return the discounted expected residual transactions (DERT) for each posterior draw: no horizon.

    All purchases still to come, each discounted from the time it happens: P(alive) E[lambda / (delta + lambda p)]
    with delta the continuous rate for BG/NBD and MBG/NBD (with k phases a purchase see ``erlang_residual``), P(alive)
    E[lambda / (delta + mu)] for Pareto/NBD (Fader, Hardie & Lee 2005, "RFM and CLV", J. Marketing Research 42(4)).
    Times a mean spend it is residual value.

    Parameters
    ----------
    buying, customers, max_memory
        As in :func:`probability_alive`.
    annual_discount_rate
        0.10 means 10 % a year. 0 is allowed, and DERT is then infinite in each draw with a <= 1 (Pareto/NBD: s <= 1),
        and always in a family without dropout.
    draws
        Posterior draws to use, evenly spaced within the chains: by default 500 (one number costs about 20 µs), fewer
        of a family whose closed forms are slower (Pareto/GGG: its ``closed_form_draws``).
    threads
        Threads; by default the processors this process may use. They change the speed only.

    Returns
    -------
    xarray.DataArray
        ``residual_transactions`` (chain, draw, customer), a count at the expected level; ``attrs["reasons"]``, a
        list of sentences, says where and why it is infinite. Infinite and not NaN, so that a mean over
        draws cannot pass over it.

    Raises
    ------
    InputError
        As in :func:`probability_alive`, or a rate that is negative.

    Examples
    --------
    >>> dert = expected_residual_transactions(buying, customers, 0.15).mean(("chain", "draw"))
    """
    rate = discount_rate(annual_discount_rate, shared_time_unit(buying, customers))
    if rate < 0:
        raise InputError(
            f"annual_discount_rate must not be negative: all purchases to come would be worth more the later "
            f"they come, without end. It is {annual_discount_rate!r}. State a horizon, with clv.predict_value."
        )

    def formula(posterior: Parameters) -> Closed:
        return partial(posterior.forecast.discounted, math.inf, rate)

    result = _per_draw(
        buying, customers, "residual_transactions", formula, max_memory, draws, threads, EXPECTED_DRAWS
    )
    infinite = np.isinf(result.values).any(axis=-1)
    reasons = []
    if infinite.any():
        reasons.append(
            f"Infinite in {int(infinite.sum())} of {infinite.size} draws: without discount the purchases still to "
            "come have no finite mean where many customers hardly ever leave (a <= 1; in Pareto/NBD s <= 1; always in "
            "NBD). Give a discount rate, or a horizon with clv.expected_purchases."
        )
    result.attrs |= {
        "annual_discount_rate": float(annual_discount_rate),
        "discount_rate": rate,
        "reasons": reasons,
    }
    return result


def _over_horizon(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    name: str,
    function: Callable[[Parameters], Callable[..., np.ndarray]],
    max_memory: float,
    draws: int | None,
) -> xr.DataArray:
    length = duration(horizon, shared_time_unit(buying, customers))

    result = _per_draw(
        buying, customers, name, lambda known: partial(function(known), length), max_memory, draws
    )
    result.attrs["horizon"] = length
    return result


def expected_summary(
    posterior: Parameters, histories: Histories, horizon: float, *, threads: int | None = None
) -> dict[str, np.ndarray]:
    """Return posterior means per customer of P(alive), the latent means and E[Y], streamed over draws."""
    forecast = posterior.forecast

    def quantities(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return (
            forecast.alive(history, values),
            *forecast.latent_means(history, values),
            forecast.purchases(horizon, history, values),
        )

    latent = [f"{name}_mean" for name in forecast.latent]
    names = ("probability_alive", *latent, "purchases_expected")
    means = mean_over_draws(histories, closed_form_draws(posterior), quantities, threads=threads)
    return {name: histories.spread(mean, of_rows=True) for name, mean in zip(names, means, strict=True)}
