"""Closed forms at the *expected* level: per draw of the population parameters, then averaged, never before.

Every verb reads posterior and customers by ``inputs.prepare``, computes one function of the family's record for each
posterior draw on the distinct histories, and labels the result: arrays over (chain, draw, customer), made only when
they fit. Averages over draws, which stream through tiles, are in ``averages``.
"""

import math
from collections.abc import Callable
from functools import partial

import numba
import numpy as np
import xarray as xr

from bayes_clv.distributions.arrays import owned, stretches
from bayes_clv.predictions.averages import active as active
from bayes_clv.predictions.averages import pmf as pmf
from bayes_clv.predictions.averages import retention as retention
from bayes_clv.predictions.earning import earned, worth
from bayes_clv.predictions.expected_net import net_values
from bayes_clv.predictions.inputs import Inputs, prepare, problems
from bayes_clv.predictions.money import without_moments
from bayes_clv.predictions.own_costs import Costs, resolved
from bayes_clv.predictions.parameters import parameters
from bayes_clv.predictions.renewing import renewals as renewals
from bayes_clv.predictions.renewing import residual_renewals as residual_renewals
from bayes_clv.predictions.tiles import (
    MAX_MEMORY,
    TILE,
    Progress,
    in_order,
    over_tiles,
    refuse_too_large,
    rows_of,
)
from bayes_clv.schema import CUSTOMER, OPPORTUNITY, InputError, describe
from bayes_clv.units import checked_margin, discount_rate

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
    costs: Costs | None = None,
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
    buying, spending, customers, horizon, margin, annual_discount_rate, costs, threads
        As in ``clv.predict``. With costs the value is less these.
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
    posterior, reasons = known.posterior, list(known.reasons)
    total, kept, mean = _of_customers(known, rate, share, costs, keep_draws, threads, progress)
    dims, spread = posterior.unstack(kept, CUSTOMER) if keep_draws else ((CUSTOMER,), mean)
    spend = parameters(spending, "spending", calendar=True)
    lacking, without = without_moments(spend, customers, 1)
    if lacking.any():
        reasons.append(
            f"value_expected: NaN for {int(lacking.sum())} of {lacking.size} customers, because expected spend is "
            f"infinite in up to {without} of {spend.size} posterior draws. Use clv.predict's quantiles, or a "
            "stronger prior on q."
        )
    found = xr.Dataset(
        {"value_expected": (dims, spread), "value_expected_total": posterior.unstack(total)},
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


def _of_customers(
    known: Inputs,
    rate: float,
    share: float,
    costs: Costs | None,
    keep: bool,
    threads: int | None,
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return totals (draw,), draws (draw, customer) if kept, and means (customer,), with the margin and less costs."""
    own = None if costs is None else resolved(costs, known.customers, share, known.posterior.size)
    if own is None or own.nothing:
        total, mean, kept = _value(known, rate, keep, threads, progress)
        spread = known.histories.spread
        kept *= share
        return share * total, spread(kept, of_rows=True) if keep else kept, spread(share * mean, of_rows=True)

    total, mean, kept = net_values(known, rate, own, keep=keep, threads=threads, progress=progress)
    return total, kept, mean


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
        total = np.zeros(size)
        for buyer, payer, each in parts:
            values, paid, own = (
                buyer.at(columns, rows[new]),
                payer.paid(columns, rows),
                payer.at(columns, rows),
            )
            if level.later is None:
                bought = worth(forecast, payer, known.horizon, rate, history, values)
                spend, place = level.expected(paid, own), to_bought
            else:
                spend = earned(forecast, payer, known.horizon, rate, history, values, to_bought, paid, own)
                bought, place = np.ones((1, each.size)), np.zeros_like(to_bought)
            draws = slice(each[0], each[-1] + 1)
            _add_values(
                owned(bought, (int(place[-1]) + 1, each.size)),
                owned(spend, (rows.size, each.size)),
                place,
                count[here],
                mean[here],
                total[draws],
                kept[draws, here],
            )
        return total

    walk = in_order(tile, range(0, count.size, VALUE_ROWS), threads=threads, progress=progress)
    return sum(walk, np.zeros(size)), mean / size, kept
