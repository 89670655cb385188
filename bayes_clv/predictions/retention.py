"""Who is still there: P(alive) now and along the future, of customers, of segments and of the base.

Given population parameters and histories the expected share alive is a mean of closed forms, so its spread
over draws is the uncertainty of an average: level *expected*. How many will in fact be alive varies more.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.inputs import labels_of, shared_time_unit
from bayes_clv.predictions.parameters import parameters
from bayes_clv.predictions.tiles import MAX_MEMORY, closed_form_draws, refuse_too_large, tiles
from bayes_clv.schema import CUSTOMER, InputError, Variable, describe
from bayes_clv.units import duration

TIME = "time"
SEGMENT = "segment"


def retention_curve(
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
        are slow (Pareto/GGG: its EXPECTED_DRAWS). ``attrs["draws"]`` says how many.
    threads, max_memory
        As in ``clv.purchases_pmf``.

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
    >>> curve = retention_curve(buying, customers, [f"{w} weeks" for w in (4, 13, 26, 52)])
    """
    posterior = closed_form_draws(parameters(buying, "buying"), draws)
    check_customers(customers)
    time_unit = shared_time_unit(buying, customers)
    time = _checked_times(times, time_unit)
    labels = np.zeros(customers.sizes[CUSTOMER]) if by is None else labels_of(customers, by)
    names, segment = np.unique(labels, return_inverse=True)
    refuse_too_large(
        time.size * (customers.sizes[CUSTOMER] + (names.size + 1) * posterior.size),
        max_memory,
        what=f"{time.size:,} times of {customers.sizes[CUSTOMER]:,} customers and {names.size:,} segments",
        instead="Ask for fewer times or segments, or for fewer customers at a time.",
    )
    posterior = posterior.of(customers)
    histories = distinct_histories(purchase_history(customers, posterior.family) | posterior.columns)
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
