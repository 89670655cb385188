"""Averages of closed forms over posterior draws, streamed through tiles: retention, counts, and what a summary shows.

The averages in a summary use at most EXPECTED_DRAWS evenly spaced draws: E[Y(t)] of one draw costs
four simulated futures (360 ns), and the mean of 500 draws has a standard error of 1/sqrt(500) = 4.5 % of the
posterior standard deviation, far below the simulation error of the outcome's own mean beside it.

Of numbers of purchases there are probabilities, closed forms averaged over draws (level outcome). The simulation gives
the same with Monte Carlo error; these have none but that of the posterior draws, so that a probability of one in a
million is one. Given population parameters and histories the share alive is a mean of closed forms: its spread over
draws is the uncertainty of an average, and how many will in fact be alive varies more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Forecast
from bayes_clv.predictions.histories import Histories
from bayes_clv.predictions.inputs import Inputs, labels_of, prepare, whole_number
from bayes_clv.predictions.parameters import Parameters
from bayes_clv.predictions.tiles import (
    MAX_MEMORY,
    Streamed,
    closed_form_draws,
    mean_over_draws,
    refuse_too_large,
    tiles,
)
from bayes_clv.schema import CUSTOMER, InputError, Variable, describe
from bayes_clv.units import duration

COUNT = "count"
TIME = "time"
SEGMENT = "segment"
# What is said of customers who may be asleep.
STATES = ("probability_awake", "probability_asleep", "probability_gone")
WAKING = "probability_waking"


def retention(
    buying: xr.DataTree,
    customers: xr.Dataset,
    times: Sequence[str | float],
    *,
    by: Any = None,
    draws: int | None = None,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.Dataset:
    """Return the probability of being alive now and at each time to come.

    The family's P(alive at T + t | history) for each customer, posterior draw and time.

    Parameters
    ----------
    buying, customers
        A buying posterior and customers in its time unit.
    times
        Times from the end of observation in rising order, ``["4 weeks", "26 weeks"]`` or numbers in the data's
        time unit. Now, 0, always comes first.
    by
        Each customer's segment: the name of a column of ``customers``, labels by customer id (a DataArray over
        ``customer``, a pandas Series, a mapping), or what ``clv.segment`` returned.
    draws
        Posterior draws to use, evenly spaced within the chains: by default 500, fewer of a family whose closed forms
        are slow (Pareto/GGG: its ``closed_form_draws``). ``attrs["draws"]`` says how many.
    threads, max_memory
        As in ``clv.expected.pmf``.

    Returns
    -------
    xarray.Dataset
        ``alive_mean`` (customer, time), the mean over draws; ``alive_share`` (chain, draw, time), the expected
        share of all customers alive; with ``by``, ``alive_share_by`` (chain, draw, segment, time) and
        ``segment_size`` (segment), segments in alphabetical order. Probabilities at the expected level.

    Raises
    ------
    InputError
        As in ``clv.predict``; times that do not rise; a customer without label.

    Notes
    -----
    In BG/NBD and BG/CNBD-k a customer without repeat purchase is alive with probability 1 now, and leaves only by
    buying again; in MBG/NBD and MBG/CNBD-k it may have left after the first purchase. In Pareto/NBD every customer may
    have left, and may leave without buying. In NBD nobody leaves, and the curve is 1.

    Examples
    --------
    >>> curve = clv.expected.retention(buying, customers, [f"{w} weeks" for w in (4, 13, 26, 52)])
    """
    known = prepare(buying, customers, draws=draws)
    posterior, histories, time_unit = known.posterior, known.histories, known.time_unit
    time = _checked_times(times, time_unit)
    labels = np.zeros(customers.sizes[CUSTOMER]) if by is None else labels_of(customers, by)
    names, segment = np.unique(labels, return_inverse=True)
    refuse_too_large(
        time.size * (customers.sizes[CUSTOMER] + (names.size + 1) * posterior.size),
        max_memory,
        what=f"{time.size:,} times of {customers.sizes[CUSTOMER]:,} customers and {names.size:,} segments",
        instead="Ask for fewer times or segments, or for fewer customers at a time.",
    )
    count = np.zeros((histories.row[-1] + 1, names.size))
    np.add.at(count, (histories.row, segment[histories.order]), 1.0)
    columns = histories.columns | {"index": np.arange(count.shape[0])}

    def tile(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        index = history["index"]
        shape = (index.shape[0], posterior.size)
        means = np.empty((index.shape[0], time.size))
        alive = np.empty((time.size, names.size, posterior.size))
        reached = posterior.forecast.survival(time, history, values)
        for i in range(time.size):
            each = np.broadcast_to(reached[i], shape)
            means[:, i] = each.mean(axis=1)
            alive[i] = count[index[:, 0].astype(np.int64)].T @ each
        return means, alive

    rows = replace(histories, columns=columns)
    means = np.empty((count.shape[0], time.size))
    alive = np.zeros((time.size, names.size, posterior.size))
    done = 0
    for mean, part in tiles(rows, posterior, tile, threads=threads):
        means[done : done + mean.shape[0]] = mean
        alive += part
        done += mean.shape[0]
    size = count.sum(axis=0)
    dims, share = posterior.unstack(alive.sum(axis=1).T / size.sum(), TIME)
    data: dict[str, Any] = {
        "alive_mean": ((CUSTOMER, TIME), histories.spread(means.T, of_rows=True).T),
        "alive_share": (dims, share),
    }
    coords = {CUSTOMER: customers[CUSTOMER].values, **posterior.coords(), TIME: time}
    if by is not None:
        data["alive_share_by"] = posterior.unstack(
            np.moveaxis(alive, -1, 0).swapaxes(1, 2) / size[:, None], SEGMENT, TIME
        )
        data["segment_size"] = (SEGMENT, size.astype(np.int64))
        coords[SEGMENT] = names
    curve = xr.Dataset(data, coords=coords, attrs={"time_unit": time_unit, "draws": posterior.size})
    return describe(curve, {TIME: Variable("time from the end of observation", "time")})


def _checked_times(times: Sequence[str | float], time_unit: str) -> np.ndarray:
    """Return 0 and the times, as numbers of the time unit, in strictly rising order."""
    if isinstance(times, (str, int, float)):
        times = [times]
    later = [duration(t, time_unit) for t in times if isinstance(t, str) or t != 0]
    result = np.array([0.0, *later])
    if not later or (np.diff(result) <= 0).any():
        raise InputError(
            f"times must rise, such as ['4 weeks', '26 weeks', '52 weeks']; now comes first by itself. Got {times!r}."
        )
    return result


def pmf(
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
        forms are slow (Pareto/GGG: its ``closed_form_draws``). ``attrs["draws"]`` says how many.
    threads
        Threads; by default the processors this process may use. They change the speed only.
    max_memory
        Bytes above which the result is refused.

    Returns
    -------
    xarray.DataArray
        ``clv.expected.pmf`` (customer, count), count from 0 to ``max_count``, the last meaning "or more": each
        row adds up to 1. A probability at the outcome level.

    Raises
    ------
    InputError
        As in ``clv.predict``, or a ``max_count`` that is no whole number from 1.

    Examples
    --------
    >>> pmf = clv.expected.pmf(buying, customers, "4 weeks", max_count=3)
    """
    last = whole_number(max_count, "max_count")
    known = prepare(buying, customers, horizon, draws=draws)
    refuse_too_large(
        (last + 1) * known.size,
        max_memory,
        what=f"{last + 1:,} classes of {known.size:,} customers",
        instead="Ask for a smaller max_count, or fewer customers at a time.",
    )
    forecast = known.posterior.forecast

    def classes(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
        yield from forecast.pmf(np.arange(last), known.horizon, history, values)
        yield forecast.at_least(last, known.horizon, history, values)

    what = f"probability of this many purchases ({last} means {last} or more)"
    parts = np.stack(_averaged(known, classes, threads), axis=1)
    return xr.DataArray(
        parts,
        {CUSTOMER: customers[CUSTOMER].values, COUNT: np.arange(last + 1)},
        (CUSTOMER, COUNT),
        "purchases_pmf",
        _of_outcome(known, what),
    )


def active(
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
        As in :func:`pmf`. ``"4 weeks"`` answers: will they buy in the next four weeks?
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
    >>> any_purchase = clv.expected.active(buying, customers, "4 weeks")
    >>> two_to_five = clv.expected.active(buying, customers, "1 year", at_least=2, at_most=5)
    """
    low = whole_number(at_least, "at_least", 0)
    high = None if at_most is None else whole_number(at_most, "at_most", low)
    known = prepare(buying, customers, horizon, draws=draws)
    between = partial(_between, known.posterior.forecast, known.horizon, low, high)
    what = f"at least {low}" if high is None else f"{low} to {high}"
    return xr.DataArray(
        _averaged(known, between, threads)[0],
        {CUSTOMER: customers[CUSTOMER].values},
        (CUSTOMER,),
        "probability_active",
        _of_outcome(known, f"probability of {what} purchases over the horizon"),
    )


def _between(
    forecast: Forecast,
    horizon: float,
    low: int,
    high: int | None,
    history: dict[str, np.ndarray],
    values: dict[str, np.ndarray],
) -> tuple[np.ndarray, ...]:
    """Return the probability of ``low`` to ``high`` purchases, both ends included."""
    if high is not None and high - low < 20:
        # Few terms, all positive: no digit is lost where both tails are close.
        counts = np.arange(low, high + 1)
        return (forecast.pmf(counts, horizon, history, values).sum(axis=0),)
    reached = forecast.at_least(low, horizon, history, values)
    if high is None:
        return (reached,)
    return (reached - forecast.at_least(high + 1, horizon, history, values),)


def _averaged(known: Inputs, quantities: Streamed, threads: int | None) -> list[np.ndarray]:
    """Return the mean over draws of each quantity, per customer."""
    means = mean_over_draws(known.histories, known.posterior, quantities, threads=threads)
    return [known.histories.spread(mean, of_rows=True) for mean in means]


def _of_outcome(known: Inputs, what: str) -> dict[str, object]:
    return {
        "long_name": what,
        "units": "probability",
        "level": "outcome",
        "horizon": known.horizon,
        "time_unit": known.time_unit,
        "draws": known.posterior.size,
    }


def expected_summary(
    posterior: Parameters, histories: Histories, horizon: float, *, threads: int | None = None
) -> dict[str, np.ndarray]:
    """Return posterior means per customer of P(alive), the latent means and E[Y], streamed over draws.

    Where a customer may be asleep, of P(awake), P(asleep) and P(gone) too, and that of waking within the horizon.
    """
    forecast = posterior.forecast

    def quantities(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        if forecast.summary is not None:
            found = forecast.summary(horizon, history, values)
        else:
            own = forecast.latent_means(history, values), forecast.purchases(horizon, history, values)
            states = () if forecast.states is None else forecast.states(history, values)
            chance = forecast.alive(history, values) if forecast.states is None else 1 - states[2]
            found = (chance, *own[0], own[1], *states)
        if forecast.states is None or forecast.waking is None:
            return found
        return *found, found[-2] * forecast.waking(horizon, history, values)

    latent = [f"{name}_mean" for name in forecast.latent]
    states = () if forecast.states is None else (*STATES, WAKING)
    names = ("probability_alive", *latent, "purchases_expected", *states)
    means = mean_over_draws(histories, closed_form_draws(posterior), quantities, threads=threads)
    return {name: histories.spread(mean, of_rows=True) for name, mean in zip(names, means, strict=True)}
