"""How many purchases: predictive probabilities of counts, closed forms averaged over posterior draws.

The simulation gives the same numbers with Monte Carlo error; these have none but that of the posterior
draws, so that a probability of one in a million is one. Level: outcome.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import (
    MAX_MEMORY,
    Streamed,
    closed_form_draws,
    mean_over_draws,
    refuse_too_large,
)
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.units import duration

COUNT = "count"


def purchases_pmf(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    *,
    max_count: int = 10,
    draws: int | None = None,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.DataArray:
    """Return the probability of each number of purchases over the horizon, for each customer.

    The family's P(Y(t) = n | history), for example eq. 8 of Fader, Hardie & Lee (2005) given a history,
    averaged over posterior draws.

    Parameters
    ----------
    buying, customers
        A buying posterior and customers in its time unit.
    horizon
        ``"4 weeks"``, or a bare number in the data's time unit.
    max_count
        The last class: this many purchases or more.
    draws
        Posterior draws to average over, evenly spaced within the chains: by default 500, fewer of a family whose closed
        forms are slow (Pareto/GGG: its EXPECTED_DRAWS). ``attrs["draws"]`` says how many.
    threads
        Threads; by default the processors this process may use. They change the speed only.
    max_memory
        Bytes above which the result is refused.

    Returns
    -------
    xarray.DataArray
        ``purchases_pmf`` (customer, count), count from 0 to ``max_count``, the last meaning "or more": each
        row adds up to 1. A probability at the outcome level.

    Raises
    ------
    InputError
        As in ``clv.predict``, or a ``max_count`` that is no whole number from 1.

    Examples
    --------
    >>> pmf = purchases_pmf(buying, customers, "4 weeks", max_count=3)
    """
    check_customers(customers)
    last = _whole(max_count, "max_count", 1)
    refuse_too_large(
        (last + 1) * customers.sizes[CUSTOMER],
        max_memory,
        what=f"{last + 1:,} classes of {customers.sizes[CUSTOMER]:,} customers",
        instead="Ask for a smaller max_count, or fewer customers at a time.",
    )

    def quantities(known: Parameters, length: float) -> Streamed:
        def classes(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
            yield from known.forecast.pmf(np.arange(last), length, history, values)
            yield known.forecast.at_least(last, length, history, values)

        return classes

    parts, attrs = _averaged(buying, customers, horizon, quantities, draws, threads)
    return xr.DataArray(
        np.stack(parts, axis=1),
        dims=(CUSTOMER, COUNT),
        coords={CUSTOMER: customers[CUSTOMER].values, COUNT: np.arange(last + 1)},
        name="purchases_pmf",
        attrs={"long_name": f"probability of this many purchases ({last} means {last} or more)", **attrs},
    )


def probability_active(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    *,
    at_least: int = 1,
    at_most: int | None = None,
    draws: int | None = None,
    threads: int | None = None,
) -> xr.DataArray:
    """Return the probability of buying within the horizon, of buying so often, or between a and b times.

    Parameters
    ----------
    buying, customers, horizon, draws, threads
        As in :func:`purchases_pmf`. ``"4 weeks"`` answers: will they buy in the next four weeks?
    at_least, at_most
        The purchases that count, both ends included; without ``at_most`` there is no upper end.

    Returns
    -------
    xarray.DataArray
        ``probability_active`` (customer), a probability at the outcome level, averaged over posterior draws.

    Raises
    ------
    InputError
        As in ``clv.predict``, or ends that are no whole numbers in rising order.

    Examples
    --------
    >>> any_purchase = probability_active(buying, customers, "4 weeks")
    >>> two_to_five = probability_active(buying, customers, "1 year", at_least=2, at_most=5)
    """
    low = _whole(at_least, "at_least", 0)
    high = None if at_most is None else _whole(at_most, "at_most", low)

    def quantities(known: Parameters, length: float) -> Streamed:
        def between(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            if high is not None and high - low < 20:
                # Few terms, all positive: no digit is lost where both tails are close.
                counts = np.arange(low, high + 1)
                return (known.forecast.pmf(counts, length, history, values).sum(axis=0),)
            reached = known.forecast.at_least(low, length, history, values)
            if high is None:
                return (reached,)
            return (reached - known.forecast.at_least(high + 1, length, history, values),)

        return between

    (mean,), attrs = _averaged(buying, customers, horizon, quantities, draws, threads)
    what = f"at least {low}" if high is None else f"{low} to {high}"
    return xr.DataArray(
        mean,
        dims=(CUSTOMER,),
        coords={CUSTOMER: customers[CUSTOMER].values},
        name="probability_active",
        attrs={"long_name": f"probability of {what} purchases over the horizon", **attrs},
    )


def _averaged(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    quantities: Callable[[Parameters, float], Streamed],
    draws: int | None,
    threads: int | None,
) -> tuple[list[np.ndarray], dict[str, object]]:
    """Return means over draws of each quantity, per customer, and the attributes they share."""
    posterior = closed_form_draws(parameters(buying, "buying"), draws)
    check_customers(customers)
    time_unit = shared_time_unit(buying, customers)
    length = duration(horizon, time_unit)
    posterior = posterior.of(customers)
    histories = distinct_histories(purchase_history(customers, posterior.family) | posterior.columns)
    means = mean_over_draws(histories, posterior, quantities(posterior, length), threads=threads)
    return [histories.spread(mean, of_rows=True) for mean in means], {
        "units": "probability",
        "level": "outcome",
        "horizon": length,
        "time_unit": time_unit,
        "draws": posterior.size,
    }


def _whole(number: int, name: str, smallest: int) -> int:
    whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
    if not whole or not (math.isfinite(number) and number >= smallest):
        raise InputError(f"{name} must be a whole number from {smallest}; it is {number!r}.")
    return int(number)
