"""Closed forms at the *expected* level: per draw of the population parameters, then averaged, never before.

Every verb reads posterior and customers by ``inputs.prepare``, computes one function of the family's record for each
posterior draw on the distinct histories, and labels the result. Averages over draws stream through tiles; arrays over
(chain, draw, customer) are made only when asked for and when they fit.

The averages in a summary use at most EXPECTED_DRAWS evenly spaced draws: E[Y(t)] of one draw costs
four simulated futures (360 ns), and the mean of 500 draws has a standard error of 1/sqrt(500) = 4.5 % of the
posterior standard deviation, far below the simulation error of the outcome's own mean beside it.

Of numbers of purchases there are probabilities, closed forms averaged over draws (level outcome). The simulation gives
the same with Monte Carlo error; these have none but that of the posterior draws, so that a probability of one in a
million is one. Given population parameters and histories the share alive is a mean of closed forms: its spread over
draws is the uncertainty of an average, and how many will in fact be alive varies more.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numba
import numpy as np
import xarray as xr

from bayes_clv.distributions.arrays import stretches
from bayes_clv.families.contract import Forecast
from bayes_clv.predictions.histories import Histories
from bayes_clv.predictions.inputs import Inputs, labels_of, prepare, problems
from bayes_clv.predictions.money import without_moments
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.renewing import renewals as renewals
from bayes_clv.predictions.renewing import residual_renewals as residual_renewals
from bayes_clv.predictions.tiles import (
    MAX_MEMORY,
    TILE,
    Progress,
    Streamed,
    closed_form_draws,
    in_order,
    mean_over_draws,
    over_tiles,
    owned,
    refuse_too_large,
    rows_of,
    tiles,
)
from bayes_clv.schema import CUSTOMER, OPPORTUNITY, InputError, Variable, describe
from bayes_clv.units import checked_margin, discount_rate, duration

COUNT = "count"
TIME = "time"
SEGMENT = "segment"
# Distinct rows whose values are computed at a time, of TILE / VALUE_ROWS draws.
VALUE_ROWS = 64

# Of history columns (row, 1) and parameters (draw,) or (row, draw): an array that broadcasts to (row, draw).
Closed = Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], np.ndarray]


def _per_draw(
    known: Inputs, name: str, function: Closed, max_memory: float, threads: int | None = None
) -> xr.DataArray:
    """Return a closed form as (chain, draw, customer), computed on distinct rows."""
    posterior = known.posterior
    refuse_too_large(
        posterior.size * known.size,
        max_memory,
        what=f"{posterior.size:,} draws of {known.size:,} customers",
        instead="Use clv.predict, which streams them into a summary, or fewer customers.",
    )

    def each(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return (np.broadcast_to(function(history, values), (rows_of(history), posterior.size)),)

    (result,) = over_tiles(known.histories, posterior, each, threads=threads)
    dims, spread = posterior.unstack(known.histories.spread(result.T, of_rows=True), CUSTOMER)
    dataset = xr.Dataset(
        {name: (dims, spread)},
        coords={**posterior.coords(), CUSTOMER: known.customers[CUSTOMER].values},
        attrs={"time_unit": known.time_unit},
    )
    described = describe(dataset)[name]
    described.attrs |= {
        "time_unit": known.time_unit,
        "draws": posterior.size,
        "reasons": known.reasons,
    }
    if math.isfinite(known.horizon):
        described.attrs["horizon"] = known.horizon
    return described


def alive(
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
        A posterior of a family of purchases or of opportunities (``clv.fit("bg_nbd" | "bg_bb" | ..., ...)``).
    customers
        Customers in the posterior's time unit; of opportunities, histories as ``clv.customers.from_opportunities``
        returns them. They need not be those of the fit.
    draws
        Posterior draws to use, evenly spaced within the chains. By default all of them; of a family whose closed forms
        are slow (Pareto/GGG: its ``closed_form_draws``) fewer, which ``attrs["reasons"]`` then says.
    max_memory
        Bytes above which the result is refused (a 64-bit number per draw and customer).

    Returns
    -------
    xarray.DataArray
        ``probability_alive`` (chain, draw, customer), a probability at the expected level; of opportunities, at the
        last one observed (the paper's is one later), and of one customer where a row stands for several.

    Raises
    ------
    InputError
        Mismatched time units, an impossible history, repeated ids, or a result that does not fit.

    Examples
    --------
    >>> alive = clv.expected.alive(buying, customers).mean(("chain", "draw"))
    """
    known = prepare(buying, customers, draws=draws, most=None, kind="either")
    return _per_draw(known, "probability_alive", known.posterior.forecast.alive, max_memory)


def purchases(
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
        As in :func:`alive`.
    horizon
        ``"52 weeks"``, or a bare number in the data's time unit; of opportunities how many are ahead, a whole number.

    Returns
    -------
    xarray.DataArray
        ``purchases_expected`` (chain, draw, customer), a count at the expected level.

    Raises
    ------
    InputError
        As in :func:`alive`, or a horizon that is not positive and finite.

    Examples
    --------
    >>> purchases = clv.expected.purchases(buying, customers, "52 weeks")
    """
    known = prepare(buying, customers, horizon, draws=draws, most=None, kind="either")
    function = partial(known.posterior.forecast.purchases, known.horizon)
    return _per_draw(known, "purchases_expected", function, max_memory)


def survival(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    *,
    draws: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.DataArray:
    """Return the probability of being alive at the end of the horizon, for each posterior draw.

    Parameters, errors and level as in :func:`purchases`.

    Returns
    -------
    xarray.DataArray
        ``survival`` (chain, draw, customer), a probability at the expected level.

    Examples
    --------
    >>> alive = clv.expected.survival(buying, customers, "1 year")
    """
    known = prepare(buying, customers, horizon, draws=draws, most=None, kind="either")
    function = partial(known.posterior.forecast.survival, known.horizon)
    return _per_draw(known, "survival", function, max_memory)


def residual(
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
        As in :func:`alive`.
    annual_discount_rate
        0.10 means 10 % a year; of opportunities, from one to the next. 0 is allowed, and DERT is then infinite in each
        draw with a <= 1 (Pareto/NBD: s <= 1; BG/BB: gamma <= 1),
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
        As in :func:`alive`, or a rate that is negative.

    Examples
    --------
    >>> dert = clv.expected.residual(buying, customers, 0.15).mean(("chain", "draw"))
    """
    known = prepare(buying, customers, draws=draws, kind="either")
    rate = _residual_rate(annual_discount_rate, known.time_unit)
    function = partial(known.posterior.forecast.discounted, math.inf, rate)
    result = _per_draw(known, "residual_transactions", function, max_memory, threads)
    infinite = np.isinf(result.values).any(axis=-1)
    reasons = []
    if infinite.any():
        reasons.append(
            f"Infinite in {int(infinite.sum())} of {infinite.size} draws: without discount the purchases still to "
            "come have no finite mean where many customers hardly ever leave (a <= 1; in Pareto/NBD s <= 1; in BG/BB "
            "gamma <= 1; always in NBD). Give a discount rate, or a horizon with clv.expected.purchases."
        )
    result.attrs |= {
        "annual_discount_rate": float(annual_discount_rate),
        "discount_rate": rate,
        "reasons": reasons,
    }
    return result


def _residual_rate(annual: float, time_unit: str) -> float:
    """Return the continuous rate per time unit, or the rate per opportunity."""
    number = isinstance(annual, (int, float, np.number)) and not isinstance(annual, bool)
    if number and annual < 0:
        raise InputError(
            f"annual_discount_rate must not be negative: all purchases to come would be worth more the later "
            f"they come, without end. It is {annual!r}. State a horizon, with clv.predict."
        )
    if time_unit != OPPORTUNITY:
        return discount_rate(annual, time_unit)
    if not number or not annual < math.inf:
        raise InputError(
            f"annual_discount_rate must be a finite number from 0, here per opportunity: 0.10 means that a purchase at "
            f"the next opportunity is worth 1 / 1.10. It is {annual!r}."
        )
    return float(annual)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def _add_values(bought, spend, to_bought, customers, sums, total, kept):  # type: ignore[no-untyped-def]
    """Multiply draw by draw, in ``spend``; add to the sum of each row, and its customers to the totals."""
    draws = bought.shape[1]
    for c in range(spend.shape[0]):
        b = to_bought[c]
        for s in range(draws):
            spend[c, s] *= bought[b, s]
        for s in range(draws):
            total[s] += customers[c] * spend[c, s]
        here = 0.0
        for s in range(draws):
            here += spend[c, s]
        sums[c] += here
    if kept.shape[0] > 0:
        # By draw, as the result is.
        for s in range(draws):
            for c in range(spend.shape[0]):
                kept[s, c] = spend[c, s]


def value(
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
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return each customer's expected residual value over the horizon, in closed form.

    margin * P(alive) * discounted expected purchases * expected spend, for each posterior draw. Its spread
    over draws is the uncertainty of an average, not of what a customer will bring: use
    ``clv.predict`` for that.

    Parameters
    ----------
    buying, spending, customers, horizon, margin, annual_discount_rate, threads
        As in ``clv.predict``.
    draws
        Posterior draws to use, evenly spaced within the chains. By default all of them; of a family whose closed forms
        are slow (Pareto/GGG: its ``closed_form_draws``) fewer, which ``reasons`` then says.
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
        As in ``clv.predict``.

    Examples
    --------
    >>> mean = clv.expected.value(buying, spending, customers, horizon="1 year", margin=0.3)
    """
    share = checked_margin(margin)
    known = prepare(buying, customers, horizon, spending=spending, draws=draws, most=None)
    rate = discount_rate(annual_discount_rate, known.time_unit)
    if keep_draws:
        refuse_too_large(
            known.posterior.size * known.size,
            max_memory,
            what=f"{known.posterior.size:,} draws of {known.size:,} customers",
            instead="Leave keep_draws=False: means and totals per draw need no such array.",
        )
    total, mean, kept = _value(known, rate, keep_draws, threads, progress)
    posterior, reasons = known.posterior, list(known.reasons)
    if keep_draws:
        kept *= share
        dims, spread = posterior.unstack(known.histories.spread(kept, of_rows=True), CUSTOMER)
    else:
        dims, spread = (CUSTOMER,), known.histories.spread(share * mean, of_rows=True)
    spend = parameters(spending, "spending")
    lacking, without = without_moments(spend, customers, 1)
    if lacking.any():
        reasons.append(
            f"value_expected: NaN for {int(lacking.sum())} of {lacking.size} customers, because expected spend is "
            f"infinite in up to {without} of {spend.size} posterior draws. Use clv.predict's quantiles, or a "
            "stronger prior on q."
        )
    found = xr.Dataset(
        {"value_expected": (dims, spread), "value_expected_total": posterior.unstack(share * total)},
        coords={CUSTOMER: customers[CUSTOMER].values, **posterior.coords()},
        attrs={
            "time_unit": known.time_unit,
            "horizon": known.horizon,
            "margin": share,
            "annual_discount_rate": float(annual_discount_rate),
            "discount_rate": rate,
            "level": "expected",
            "draws": posterior.size,
            "problems": problems(buying, spending),
            "reasons": reasons,
        },
    )
    return describe(found)


def _value(
    known: Inputs, rate: float, keep: bool, threads: int | None, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return expected discounted spend: totals per draw, means of the distinct rows, and each draw (draw, row) if kept.

    Discounted purchases and spend are independent, and purchases are computed on the distinct rows of their own
    columns: many rows at a time, in which some are alike, and few draws, so that arrays stay in the processor's cache.
    """
    spending, columns, size = known.spending, known.histories.columns, known.posterior.size
    assert spending is not None
    forecast, level = known.posterior.forecast, spending.level
    count = np.bincount(known.histories.row).astype(float)
    step = max(1, TILE // VALUE_ROWS)
    places = [np.arange(first, min(first + step, size)) for first in range(0, size, step)]
    parts = [(known.posterior.take(each), spending.take(each), each) for each in places]
    mean, kept = np.zeros(count.size), np.empty((size if keep else 0, count.size))

    def tile(start: int) -> np.ndarray:
        rows = np.arange(start, min(start + VALUE_ROWS, count.size))
        here = slice(rows[0], rows[-1] + 1)
        new, to_bought = stretches(columns[name][rows] for name in known.past)
        history = {name: columns[name][rows[new], None] for name in forecast.history}
        paid = {name: columns[name][rows, None] for name in ("occasions", "mean_spend")}
        total = np.zeros(size)
        for buyer, payer, each in parts:
            bought = forecast.discounted(known.horizon, rate, history, buyer.at(columns, rows[new]))
            spend = level.expected(paid, payer.at(columns, rows))
            draws = slice(each[0], each[-1] + 1)
            _add_values(
                owned(bought, (int(new.sum()), each.size)),
                owned(spend, (rows.size, each.size)),
                to_bought,
                count[here],
                mean[here],
                total[draws],
                kept[draws, here],
            )
        return total

    walk = in_order(tile, range(0, count.size, VALUE_ROWS), threads=threads, progress=progress)
    return sum(walk, np.zeros(size)), mean / size, kept


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
    last = _whole(max_count, "max_count", 1)
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
    low = _whole(at_least, "at_least", 0)
    high = None if at_most is None else _whole(at_most, "at_most", low)
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


def _whole(number: int, name: str, smallest: int) -> int:
    whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
    if not whole or not number >= smallest:
        raise InputError(f"{name} must be a whole number from {smallest}; it is {number!r}.")
    return int(number)


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
