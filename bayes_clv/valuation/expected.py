"""Expected residual value in closed form: per posterior draw, streamed, without simulation.

The value of a draw is margin * P(alive) * D * E[spend of an occasion]: D are the purchases to the horizon of a
customer alive now, each discounted continuously from the time it occurs, as the family's law of leaving has them
(``families.lifetimes``). Buying and spending are independent.

A family without such a state ("individual") gives P(alive) * D as one number of the whole history.

**What makes it fast.** D depends on (frequency, T) alone (but for regular timing), P(alive) on recency too, spend on
frequency and mean spend, so each is computed on the distinct rows of its own columns (CDNOW's 2,357 customers have 464
of the first).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numba
import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.families.lifetimes import LIFETIMES
from bayes_clv.predictions.histories import (
    distinct_histories,
    purchase_history,
    purchase_state,
    spend_history,
)
from bayes_clv.predictions.inputs import problems, shared_time_unit
from bayes_clv.predictions.money import without_moments
from bayes_clv.predictions.parameters import paired, parameters
from bayes_clv.predictions.tiles import (
    MAX_MEMORY,
    TILE,
    available_threads,
    closed_form_draws,
    owned,
    refuse_too_large,
    thinned_reasons,
)
from bayes_clv.schema import CUSTOMER, describe
from bayes_clv.units import checked_margin, discount_rate, duration


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _combine(discounted, alive, spend, to_discounted, to_alive, customers, mean, total, kept):  # type: ignore[no-untyped-def]
    """Multiply the three draw by draw; write the mean of each row, add its customers to the totals."""
    draws = discounted.shape[1]
    for c in range(spend.shape[0]):
        first, second = discounted[to_discounted[c]], alive[to_alive[c]]
        row_sum = 0.0
        for s in range(draws):
            value = first[s] * second[s] * spend[c, s]
            row_sum += value
            total[s] += customers[c] * value
            if kept.shape[0] > 0:
                kept[c, s] = value
        mean[c] = row_sum / draws


def _starts(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the sorted columns change, and for each row which stretch it is in."""
    new = np.ones(columns[0].size, dtype=bool)
    new[1:] = np.any([np.diff(column) != 0 for column in columns], axis=0)
    return np.flatnonzero(new), np.cumsum(new) - 1


def _tile_bounds(*columns: np.ndarray, step: int) -> list[int]:
    """Return the bounds of tiles of about ``step`` rows, at most twice, that split few equal rows of the columns."""
    groups, _ = _starts(*columns)
    wanted = np.arange(0, columns[0].size, step)
    snapped = groups[np.searchsorted(groups, wanted, side="right") - 1]
    chosen = np.where(wanted - snapped < step, snapped, wanted)
    return [*np.unique(chosen).tolist(), columns[0].size]


def expected_value(
    buying: xr.DataTree,
    spending: xr.DataTree,
    customers: xr.Dataset,
    *,
    horizon: str | float = "52 weeks",
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    draws: int | None = None,
    keep_draws: bool = False,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return each customer's expected residual value over the horizon, in closed form.

    margin * P(alive) * discounted expected purchases * expected spend, for each posterior draw. Its spread
    over draws is the uncertainty of an average, not of what a customer will bring: use
    ``clv.predict_value`` for that.

    Parameters
    ----------
    buying, spending, customers, horizon, margin, annual_discount_rate, threads
        As in ``clv.predict_value``.
    draws
        Posterior draws to use, evenly spaced within the chains. By default all of them; of a family whose closed forms
        are slow (Pareto/GGG: its EXPECTED_DRAWS) fewer, which ``reasons`` then says.
    keep_draws
        Return ``value_expected`` for each draw, refused when larger than ``max_memory`` bytes.
    max_memory
        Bytes above which kept draws are refused. The streamed mean needs some MB whatever the base.
    progress
        Called with (distinct histories done, distinct histories).

    Returns
    -------
    xarray.Dataset
        ``value_expected`` in money, expected level: the posterior mean over ``customer``, or with
        ``keep_draws`` (chain, draw, customer). ``value_expected_total`` (chain, draw): the sum over customers.
        Where the mean spend does not exist in some draw it is NaN, and the attribute ``reasons`` says so; ``draws``
        is how many draws were used.

    Raises
    ------
    InputError
        As in ``clv.predict_value``.

    Examples
    --------
    >>> mean = expected_value(buying, spending, customers, horizon="1 year", margin=0.3)
    """
    every, spend = parameters(buying, "buying"), parameters(spending, "spending")
    posterior = closed_form_draws(every, draws, most=None)
    reasons = thinned_reasons(every, posterior, draws)
    check_customers(customers)
    share = checked_margin(margin)
    time_unit = shared_time_unit(buying, customers)
    rate = discount_rate(annual_discount_rate, shared_time_unit(spending, customers))
    length = duration(horizon, time_unit)
    law = LIFETIMES.get(posterior.forecast.law)
    size = posterior.size
    if keep_draws:
        refuse_too_large(
            size * customers.sizes[CUSTOMER],
            max_memory,
            what=f"{size:,} draws of {customers.sizes[CUSTOMER]:,} customers",
            instead="Leave keep_draws=False: means and totals per draw need no such array.",
        )
    past = purchase_history(customers, posterior.family)
    posterior, payments = posterior.of(customers), paired(spend.of(customers), size)
    # Sorted so that equal (profile, frequency, T) are neighbours, and within them equal recency.
    columns = posterior.columns | {name: past[name] for name in ("frequency", "T", "recency")} | past
    histories = distinct_histories(columns | spend_history(customers, spend.family) | payments.columns)
    alike = np.zeros_like(histories.columns["T"])
    alike = histories.columns.get(posterior.profile, alike)
    count = np.bincount(histories.row).astype(float)
    rows = count.size
    mean = np.empty(rows)
    kept = np.empty((rows if keep_draws else 0, size))
    bounds = _tile_bounds(
        histories.columns["T"], histories.columns["frequency"], alike, step=max(1, TILE // size)
    )

    def tile(index: int) -> np.ndarray:
        part = slice(bounds[index], bounds[index + 1])
        names = ("frequency", "T", "occasions", "mean_spend")
        frequency, age, occasions, spent = (histories.columns[name][part] for name in names)
        kind = alike[part]
        own = [histories.columns[name][part] for name in past]
        alive_at, to_alive = _starts(kind, frequency, age, *own[1:])
        history = {name: x[alive_at, None] for name, x in zip(past, own, strict=True)}
        values = posterior.at(histories.columns, bounds[index] + alive_at)
        if law is None:
            # No factor of its own for being alive: the family has both together.
            alive, to_discounted = np.ones((1, 1)), to_alive
            each = posterior.forecast.discounted(length, rate, history, values)
            discounted = owned(each, (alive_at.size, size))
        else:
            alive, *states = purchase_state(posterior.forecast, history, values)
            # What a customer who is alive will buy does not depend on recency, but for a law that says so.
            first, to_discounted = _starts(kind, frequency, age, *([own[1]] if law.of_recency else []))
            pick = to_alive[first]
            shape = (pick.size, size)
            states = [owned(x[pick] if np.ndim(x) == 2 else x, shape) for x in states]
            same_shape = np.r_[False, (np.diff(frequency[first]) == 0) & (np.diff(kind[first]) == 0)]
            discounted = law.discounted_purchases(*states, length, rate, same_shape)
        spend_values = payments.at(histories.columns, part)
        paid = {"occasions": occasions[:, None], "mean_spend": spent[:, None]}
        expected_spend = spend.level.expected(paid, spend_values)
        total = np.zeros(size)
        _combine(
            discounted,
            owned(alive, (alive_at.size, size)),
            owned(expected_spend, (occasions.size, size)),
            to_discounted[: occasions.size],
            to_alive,
            count[part],
            mean[part],
            total,
            kept[part] if keep_draws else kept,
        )
        return total

    tiles = range(len(bounds) - 1)
    workers = min(available_threads(threads), len(tiles))
    total = np.zeros(size)
    with ThreadPoolExecutor(max_workers=workers) as executor:
        rest = executor.map(tile, tiles[1:]) if workers > 1 else map(tile, tiles[1:])
        # The first alone: two threads that compile the same function at once wait for each other, or warn.
        for index, part in enumerate(chain(map(tile, tiles[:1]), rest)):
            total += part
            if progress is not None:
                progress(bounds[index + 1], rows)
    for amounts in (mean, total, kept):
        amounts *= share

    if keep_draws:
        dims, spread = posterior.unstack(
            histories.spread(np.ascontiguousarray(kept.T), of_rows=True), CUSTOMER
        )
    else:
        dims, spread = (CUSTOMER,), histories.spread(mean, of_rows=True)
    lacking, without = without_moments(spend, customers, 1)
    if lacking.any():
        reasons.append(
            f"value_expected: NaN for {int(lacking.sum())} of {lacking.size} customers, because expected spend is "
            f"infinite in up to {without} of {spend.size} posterior draws. Use clv.predict_value's quantiles, or a "
            "stronger prior on q."
        )
    found = xr.Dataset(
        {"value_expected": (dims, spread), "value_expected_total": posterior.unstack(total)},
        coords={CUSTOMER: customers[CUSTOMER].values, **posterior.coords()},
        attrs={
            "time_unit": time_unit,
            "horizon": length,
            "margin": share,
            "annual_discount_rate": float(annual_discount_rate),
            "discount_rate": rate,
            "level": "expected",
            "draws": size,
            "problems": problems(buying, spending),
            "reasons": reasons,
        },
    )
    return describe(found)
