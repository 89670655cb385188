"""A cohort of new customers, from the first order on: what it will buy, be worth, and may have cost.

A new customer has no history (x = t_x = T = 0), so that rate, dropout and spend are the population's; where a
customer may leave after the first order (MBG/NBD), some do, and there are no repeat purchases to come. The
first order happens at time 0, is paid like any other occasion and is not discounted; the repeat purchases follow
as for any customer. Two answers at two levels, which differ a great deal:

expected
    What a new customer is worth on average, in closed form for each posterior draw: margin × expected spend
    × (1 + discounted expected repeat purchases). Its spread over draws is what is not known about the population.
    Acquisition pays up to here.
outcome
    What one new customer, or a cohort of a stated size, will bring: customers differ, and chance is added. Of a
    cohort the relative spread falls with its size down to that of the expected level, and no further.
"""

import math
from collections.abc import Generator, Mapping
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.distributions.paths import Room, State
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.contract import new_customer
from bayes_clv.predictions.earning import PARTS, earned
from bayes_clv.predictions.expected_net import expected_time
from bayes_clv.predictions.forecasts import checked_periods, equal_periods, with_periods
from bayes_clv.predictions.histories import Histories, apart
from bayes_clv.predictions.inputs import problems
from bayes_clv.predictions.net import refuse_unknown_net
from bayes_clv.predictions.own_costs import Costs, OwnCosts, discounted_time, of_nobody
from bayes_clv.predictions.parameters import Parameters, new_customers, paired, parameters
from bayes_clv.predictions.plans import Plan, purchase_plan, spend_money
from bayes_clv.predictions.progress import progress_bar
from bayes_clv.predictions.simulation import ACTIVE_TIME, DISCOUNTED, drawn_of
from bayes_clv.predictions.summaries import simulate_futures
from bayes_clv.predictions.tiles import MAX_MEMORY, refuse_too_large
from bayes_clv.schema import PERIOD, UNSTATED, InputError, Variable, describe, named_quantiles
from bayes_clv.units import checked_margin, discount_rate, duration

# Futures pooled for the distribution of one new customer: quantiles to 0.1 % of probability.
POOLED = 1_000_000
# Newcomers who are drawn at a time.
STEP = 512
# Gauss-Legendre nodes of the discounted purchases, in log(1 + t / time scale).
NODES = 48

_OWN = {
    "value": Variable("value of one new customer", "money", "outcome"),
    "lifetime_value": Variable("value of one new customer net of acquisition", "money", "outcome"),
    "purchases_total": Variable(
        "purchase occasions of the cohort, first orders included", "count", "outcome"
    ),
    "spend_total": Variable("spend of the cohort, first orders included", "money", "outcome"),
    "value_total": Variable("value of the cohort after margin and discount", "money", "outcome"),
    "lifetime_value_total": Variable("value of the cohort net of its acquisition", "money", "outcome"),
    "purchases_period_total": Variable("purchase occasions of the cohort in the period", "count", "outcome"),
    "value_period_total": Variable("value of the cohort in the period", "money", "outcome"),
    "value_expected": Variable(
        "expected value of a new customer after margin and discount", "money", "expected"
    ),
    "lifetime_value_expected": Variable(
        "expected value of a new customer net of acquisition",
        "money",
        "expected",
    ),
    "purchases_expected": Variable(
        "expected purchase occasions of a new customer, first order included",
        "count",
        "expected",
    ),
    "probability_repeat": Variable("probability that a new customer buys again", "probability", "outcome"),
    "probability_profit": Variable(
        "probability that a new customer is worth more than its acquisition",
        "probability",
        "outcome",
    ),
}


def predict_cohort(
    buying: xr.DataTree,
    spending: xr.DataTree,
    size: int,
    *,
    horizon: str | float = "52 weeks",
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    acquisition_cost: float = 0.0,
    costs: Costs | None = None,
    profile: Mapping[str, Any] | None = None,
    periods: int | None = None,
    seed: int,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
    progress: bool = False,
) -> xr.Dataset:
    """Return what ``size`` customers who order for the first time today will bring over the horizon.

    Parameters
    ----------
    buying, spending
        Posteriors of ``clv.fit("bg_nbd", ...)`` and ``clv.fit("gamma_gamma", ...)``, in one time unit.
    size
        Customers of the cohort, all acquired at time 0.
    horizon
        ``"52 weeks"`` from the first order, or a bare number in the data's time unit.
    margin, annual_discount_rate
        As in ``clv.predict``. The first order, at time 0, is not discounted.
    acquisition_cost
        Money per customer.
    costs
        Of ``clv.predictions.costs``, in numbers: what each customer costs beside its acquisition; values are less
        these. Not with ``periods``.
    profile
        What the new customers are, where the fits had covariates or groups: a value of every column that either
        fit used, ``{"channel": "search", "age": 35}``. A group that the fits have not seen is allowed.
    periods
        Also return totals by equal parts of the horizon, this many; the first orders belong to the first.
    seed, threads, max_memory, progress
        As in ``clv.predict``. The first customers of a larger cohort are those of a smaller one.

    Returns
    -------
    xarray.Dataset
        Of the cohort, over (chain, draw): purchases_total, spend_total, value_total and lifetime_value_total
        (net of acquisition); with ``periods`` purchases_period_total and value_period_total (chain, draw,
        period). Of one new customer, expected level, over (chain, draw): purchases_expected, value_expected (what
        a new customer may cost) and lifetime_value_expected. Of one new customer, outcome level, scalars:
        value_mean, _sd, _q05, _q25, _q50, _q75, _q95, lifetime_value_mean and _q05 to _q95, probability_repeat and
        probability_profit; quantiles and probabilities are those of ``pooled_futures`` simulated customers.
        First orders are included everywhere.

    Raises
    ------
    InputError
        As in ``clv.predict``, a size or cost that cannot be, or columns that are missing or not used.

    Notes
    -----
    Gamma-Gamma is fitted to repeat occasions; the first order is taken to be spent like them. Compare with
    ``customers["first_spend"]`` where first orders are known to be smaller or larger. Where q <= 1 in a draw expected
    spend is infinite: value_expected is infinite in that draw and value_mean NaN, with ``reasons``.

    Examples
    --------
    >>> cohort = predict_cohort(
    ...     buying, spending, 1000, horizon="2 years", margin=0.3, annual_discount_rate=0.1, seed=1
    ... )
    >>> worth = cohort["value_expected"].quantile([0.05, 0.95])
    """
    people = _checked_size(size)
    share, cost = checked_margin(margin), _checked_cost(acquisition_cost)
    posterior = parameters(buying, "buying", calendar=True, grouped=True).repeated()
    payments = parameters(spending, "spending", calendar=True)
    posterior, payments = new_customers(profile or {}, posterior, payments)
    time_unit = one_time_unit(buying, spending)
    length = duration(horizon, time_unit)
    posterior, payments = posterior.until(length), payments.priced(length)
    rate = discount_rate(annual_discount_rate, time_unit)
    count = checked_periods(periods)
    own = None if costs is None else of_nobody(costs, share, posterior.size)
    if own is not None and own.nothing:
        own = None
    if own is not None:
        refuse_unknown_net(count, None)
    if count is not None:
        refuse_too_large(
            2 * count * posterior.size,
            max_memory,
            what=f"{count:,} periods of {posterior.size:,} draws",
            instead="Ask for fewer periods.",
        )
    plan = newcomers_plan(posterior, paired(payments, posterior.size), people, length, rate, seed)
    if count is not None:
        plan = replace(plan, calendar=equal_periods(length, count, int(plan.row[-1]) + 1))
    with progress_bar(progress, "futures") as report:
        totals = simulate_futures(plan, threads=threads, progress=report)
    assert totals.spend_total is not None
    assert totals.value_total is not None
    some = min(people, math.ceil(POOLED / posterior.size))
    pooled = simulate_futures(
        replace(plan, row=plan.row[:some], keys=plan.keys[:some], calendar=None, keep=True), threads=threads
    ).kept
    repeats, values = pooled["purchases"] > 1, share * pooled["value"].ravel()
    bought, value = expected_new_customer(posterior, payments, length, rate)
    earned, expected = share * totals.value_total, share * value
    if own is not None:
        earned, values = _less_costs(plan, own, length, rate, some)
        expected = _expected_less_costs(posterior, own, value, length, rate)
    data = {
        "purchases_total": posterior.unstack(totals.purchases_total),
        "spend_total": posterior.unstack(totals.spend_total),
        "value_total": posterior.unstack(earned),
        "lifetime_value_total": posterior.unstack(earned - people * cost),
        "purchases_expected": posterior.unstack(bought),
        "value_expected": posterior.unstack(expected),
        "lifetime_value_expected": posterior.unstack(expected - cost),
        "probability_repeat": ((), float(repeats.mean())),
        "probability_profit": ((), float((values > cost).mean())),
    }
    if totals.period_total is not None and totals.value_period_total is not None:
        data["purchases_period_total"] = posterior.unstack(totals.period_total, PERIOD)
        data["value_period_total"] = posterior.unstack(share * totals.value_period_total, PERIOD)
    mean = float(earned.mean()) / people
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    mean, sd, reasons = _existing_moments(mean, sd, payments)
    data |= {"value_mean": ((), mean), "value_sd": ((), sd), "lifetime_value_mean": ((), mean - cost)}
    for name, quantile in named_quantiles(values).items():
        data[f"value_{name}"] = ((), float(quantile))
        data[f"lifetime_value_{name}"] = ((), float(quantile) - cost)
    cohort = xr.Dataset(data, coords=posterior.coords(), attrs={"time_unit": time_unit})
    if count is not None:
        cohort = with_periods(cohort, length, count)
    return describe(cohort, _OWN).assign_attrs(
        result="cohort",
        size=people,
        horizon=length,
        margin=share,
        annual_discount_rate=float(annual_discount_rate),
        discount_rate=rate,
        acquisition_cost=cost,
        seed=int(seed),
        draws=posterior.size,
        pooled_futures=int(values.size),
        problems=problems(buying, spending),
        reasons=reasons,
    )


def newcomers_worth(
    plan: Plan, share: float, own: OwnCosts | None, horizon: float, discount: float
) -> Generator[tuple[slice, np.ndarray]]:
    """Yield which of the newcomers of a plan, and what each is worth (customer, draw), less costs where they have."""
    names = ("value",) if own is None else ("value", DISCOUNTED, ACTIVE_TIME)
    rooms: SimpleQueue[Room] = SimpleQueue()
    for begin in range(0, plan.row.size, STEP):
        part = slice(begin, min(begin + STEP, plan.row.size))
        some = replace(plan, row=plan.row[part], keys=plan.keys[part])
        drawn = drawn_of(some, names, {ACTIVE_TIME: "left"}, horizon, discount, rooms)
        if own is None:
            yield part, share * drawn["value"]
            continue
        time = discounted_time(drawn[ACTIVE_TIME], discount)
        alike = np.zeros(drawn["value"].shape[0], dtype=np.int64)
        yield part, own.net(alike, drawn["value"], drawn[DISCOUNTED], time)


def _less_costs(
    plan: Plan, own: OwnCosts, horizon: float, discount: float, some: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of a cohort less its costs (draw,), and the values of the first ``some`` customers, in a row."""
    total, pooled = np.zeros(plan.draws), np.empty((some, plan.draws))
    for part, each in newcomers_worth(replace(plan, calendar=None), 1.0, own, horizon, discount):
        total += each.sum(axis=0)
        inside = min(part.stop, some) - part.start
        if inside > 0:
            pooled[part.start : part.start + inside] = each[:inside]
    return total, pooled.ravel()


def _expected_less_costs(
    posterior: Parameters, own: OwnCosts, value: np.ndarray, horizon: float, discount: float
) -> np.ndarray:
    """Return the expected value (draw,) of a new customer less its costs, of its expected discounted spend."""
    forecast, values = posterior.forecast, posterior.values
    newborn = new_customer(forecast.history)
    orders = 1 + forecast.discounted(horizon, discount, newborn, values)
    time = expected_time(forecast, horizon, discount, newborn, values)
    found = own.net(np.zeros(1, dtype=np.int64), value[None], orders[None], time[None])
    return np.asarray(found[0])


def expected_new_customer(
    posterior: Parameters, payments: Parameters, horizon: float, discount: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return expected purchases and discounted spend of a new customer per draw, first order included.

    The discounted repeat purchases are exp(-delta H) M(H) + delta times the integral of exp(-delta t) M(t), by parts,
    M(t) the family's expected purchases of a new customer; infinite where expected spend is. With a calendar of spend
    each period's purchases bring its g, and are discounted at the period's mean.
    """
    forecast, values = posterior.forecast, posterior.values
    newborn = new_customer(forecast.history)
    repeats = forecast.purchases(horizon, newborn, values)
    discounted = repeats
    paced = forecast.clock is not None
    if discount != 0.0 and (paced or forecast.state is None):
        discounted = forecast.discounted(horizon, discount, newborn, values)
    elif discount != 0.0:
        assert forecast.state is not None
        # M bends on the time scale of a new customer and on no shorter one; the shortest of all draws serves them all.
        shape, scale, a, b, *_ = forecast.state(newborn, values)
        state = State(repeats, shape, scale, a, b, shape, shape, shape, shape)
        bend = float(np.min(forecast.paths.bend(state)))
        point, weight = np.polynomial.legendre.leggauss(NODES)
        half = math.log1p(horizon / bend) / 2
        time = bend * np.expm1(half * (1 + point))
        inner = half * weight * (bend + time) * np.exp(-discount * time)
        each = forecast.purchases(time, newborn, values)
        discounted = math.exp(-discount * horizon) * repeats + discount * (inner[:, None] * each).sum(axis=0)
    payer = paired(payments, posterior.size)
    each = payer.level.population_mean(payer.values)
    if payer.level.later is not None:
        later = earned(
            forecast,
            payer,
            horizon,
            discount,
            {name: column[None, None] for name, column in newborn.items()},
            values,
            np.zeros(1, dtype=np.int64),
            {name: column[None, None] for name, column in new_customer(payer.level.reads).items()},
            payer.values,
        )[0]
        first = each if payer.ahead is None else each * payer.ahead[:, 0]
        return 1 + repeats, np.where(np.isnan(each), np.inf, first + later)
    if payer.ahead is None:
        return 1 + repeats, np.where(np.isnan(each), np.inf, each) * (1 + discounted)
    ends, worth = payer.worth(horizon, discount)
    to_end = np.stack([forecast.purchases(end, newborn, values) for end in ends.tolist()])
    later = (worth * np.diff(to_end, axis=0, prepend=0.0)).sum(axis=0)
    return 1 + repeats, np.where(np.isnan(each), np.inf, each) * (payer.ahead[:, 0] + later)


def expected_over_time(
    posterior: Parameters, payments: Parameters, horizon: float, discount: float, periods: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times from 0 to the horizon (time,), and what a new customer has brought by each, in draws (time, draw).

    That is expected purchases, and discounted spend, first order included, which is at time 0. The purchases of
    each of so many equal parts are discounted at the part's mean, less than half a part's discount from their own: of
    weeks at 10 % a year 1e-3, and, since they are spread over the part, 4e-6 of the value of CDNOW's new customers.
    Spend is infinite where its mean is.
    """
    forecast, values = posterior.forecast, posterior.values
    newborn = new_customer(forecast.history)
    asked = ends = horizon * np.arange(1, periods + 1) / periods
    payer = paired(payments, posterior.size)
    each = payer.level.population_mean(payer.values)
    first, pace = np.ones(posterior.size), np.ones((1, posterior.size))
    if payer.level.later is not None:
        ends = np.union1d(asked, horizon * np.arange(1, PARTS + 1) / PARTS)
    if payer.ahead is not None:
        bounds, _ = payer.worth(horizon, 0.0)
        ends = np.union1d(ends, bounds)
        inside = np.searchsorted(bounds, ends - 1e-9 * horizon)
        first, pace = payer.ahead[:, 0], payer.ahead[:, inside].T
    if payer.level.later is not None:
        # What a purchase of each part brings over one at once, in the part's middle.
        at = (ends + np.r_[0.0, ends[:-1]]) / 2
        nobody = new_customer(payer.level.reads)
        pace = pace * payer.level.later(at, nobody, payer.values) / each
    bought = np.stack([forecast.purchases(end, newborn, values) for end in ends.tolist()])
    long = np.diff(ends, prepend=0.0)
    mean = np.exp(-discount * (ends - long)) * (
        -np.expm1(-discount * long) / (discount * long) if discount else 1.0
    )
    later = np.cumsum(np.diff(bought, axis=0, prepend=0.0) * mean[:, None] * pace, axis=0)
    at = np.searchsorted(ends, asked)
    none = np.zeros((1, posterior.size))
    repeats, brought = (np.concatenate([none, found[at]]) for found in (bought, later))
    spend = np.where(np.isnan(each), np.inf, each) * (first + brought)
    return np.concatenate([[0.0], asked]), 1 + repeats, spend


def expected_costs_over_time(
    posterior: Parameters, horizon: float, discount: float, periods: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return discounted orders, first one included, and discounted time until a new customer leaves, (time, draw).

    Times are those of ``expected_over_time``, and orders are discounted as there. P(here) is taken at the ends and the
    middle of each part (Simpson's rule).
    """
    forecast, values = posterior.forecast, posterior.values
    newborn = new_customer(forecast.history)
    ends = horizon * np.arange(periods + 1) / periods
    long = horizon / periods
    bought = np.stack([forecast.purchases(end, newborn, values) for end in ends[1:].tolist()])
    mean = np.exp(-discount * ends[:-1]) * (
        -np.expm1(-discount * long) / (discount * long) if discount else 1.0
    )
    orders = 1 + np.cumsum(np.diff(bought, axis=0, prepend=0.0) * mean[:, None], axis=0)
    at = np.concatenate([ends, ends[:-1] + long / 2])
    shape = (at.size, posterior.size)
    here = np.empty(shape)
    for i, time in enumerate(at.tolist()):
        here[i] = np.exp(-discount * time) * forecast.survival(time, newborn, values)
    edge, middle = here[: periods + 1], here[periods + 1 :]
    time = np.cumsum(long / 6 * (edge[:-1] + 4 * middle + edge[1:]), axis=0)
    return np.concatenate([np.ones((1, posterior.size)), orders]), np.concatenate([0 * time[:1], time])


def newcomers_plan(
    posterior: Parameters,
    payments: Parameters,
    size: int,
    horizon: float,
    discount: float,
    seed: int,
    *,
    start: float = 0.0,
) -> Plan:
    """Return the plan of a cohort: one history, of nothing, shared by all, or each with its own draws.

    ``payments`` is one draw for each of ``posterior``; the first customers of a larger cohort are those of a smaller.
    A cohort that comes at ``start``, a time from now, is other people; its ``horizon`` and its discount count from
    then.
    """
    whose = range(size) if start == 0 else (f"{start!r} {i}" for i in range(size))
    keys = customer_keys(whose, seed, purpose="cohort")
    alone = bool(apart(posterior.family, keys))
    nothing = np.zeros(size if alone else 1)
    columns = dict.fromkeys((*posterior.forecast.history, *payments.level.reads), nothing)
    everyone = np.arange(size)
    histories = Histories(columns, order=everyone, row=everyone if alone else np.zeros_like(everyone))
    plan = purchase_plan(posterior, histories, keys, horizon, start)
    money = spend_money(payments, histories, discount)
    if money.ahead is not None:
        passed = min(int(start / money.width + 1e-9), money.ahead.shape[1] - 1)
        money = replace(money, ahead=money.ahead[:, passed:])
    return replace(plan, money=money, first_order=True)


def _existing_moments(mean: float, sd: float, payments: Parameters) -> tuple[float, float, list[str]]:
    """Return mean and standard deviation, NaN where a draw has none, and the reasons."""
    reasons, nobody = [], new_customer(("occasions",))
    for moment, what in (
        (1, "expected spend of a new customer is infinite"),
        (2, "its variance is infinite"),
    ):
        lacking = int(payments.level.lacks_moment(moment, nobody, payments.values).sum())
        if not lacking:
            continue
        name = "value_mean, lifetime_value_mean" if moment == 1 else "value_sd"
        reasons.append(
            f"{name}: NaN, because {what} in {lacking} of {payments.size} posterior draws (shape of the rate of "
            f"spend at most {moment}). Use the quantiles, or a stronger prior on q."
        )
        sd = math.nan
        if moment == 1:
            mean = math.nan
    return mean, sd, reasons


def one_time_unit(buying: xr.DataTree, spending: xr.DataTree) -> str:
    """Return the time unit of both posteriors; two are refused."""
    units = [str(tree.attrs.get("time_unit", UNSTATED)) for tree in (buying, spending)]
    if units[0] != units[1]:
        raise InputError(
            f"The buying posterior's time unit is {units[0]!r} and the spending posterior's is {units[1]!r}. Fit both "
            "on the same customers."
        )
    return units[0]


def _checked_size(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise InputError(f"size must be a whole number of customers from 1; it is {size!r}.")
    return int(size)


def _checked_cost(cost: float) -> float:
    number = isinstance(cost, (int, float, np.number)) and not isinstance(cost, bool)
    if not number or not (math.isfinite(cost) and cost >= 0):
        raise InputError(
            f"acquisition_cost must be one finite amount of money per customer, not negative; it is {cost!r}."
        )
    return float(cost)
