"""What each customer will do over a horizon: the exact simulation, summarised per customer.

Each posterior draw gives each customer one future. The summary is over draws, so that its spread holds
parameter uncertainty, the customer's own rate and dropout, and the chance in each purchase: the *outcome*
level. A future depends on the seed, the customer's id, the history and the posterior, and on nothing else
(distributions.streams). Two scenarios with one seed share their random numbers; subtract them customer by
customer and draw by draw.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.contract import new_customer
from bayes_clv.predictions.engine import Calendar, Money, Outcomes, Plan, simulate_futures
from bayes_clv.predictions.expected import expected_summary
from bayes_clv.predictions.histories import (
    Histories,
    distinct_histories,
    purchase_history,
    purchase_state,
    spend_history,
)
from bayes_clv.predictions.individual import WHO, apart, drawn_state, is_individual
from bayes_clv.predictions.inputs import problems, shared_time_unit
from bayes_clv.predictions.kernels import COLUMNS
from bayes_clv.predictions.parameters import Parameters, paired, parameters
from bayes_clv.predictions.tiles import MAX_MEMORY, Progress, closed_form_draws, refuse_too_large
from bayes_clv.schema import CUSTOMER, PERIOD, InputError, describe
from bayes_clv.units import duration

# Of the customers, beside their forecasts.
CARRIED = ("frequency", "recency", "T", "monetary_value", "holdout_purchases", "holdout_spend")
SCORES = ("draws_below", "draws_equal", "crps", "mass_50", "mass_90")
_MONEY = tuple(name for name in COLUMNS if name.startswith(("spend_", "value_")))
_DESCRIPTIONS = {
    "probability_active": ("probability of any purchase over the horizon", "probability"),
    "purchases_total": ("purchase occasions of all customers over the horizon", "count"),
    "spend_total": ("spend of all customers over the horizon", "money"),
    "value_total": ("residual value of all customers over the horizon", "money"),
    "draws_below": ("draws with fewer purchases than the holdout", "count"),
    "draws_equal": ("draws with as many purchases as the holdout", "count"),
    "crps": ("continuous ranked probability score of the holdout purchases", "count"),
    "mass_50": ("probability of the closed interval from q25 to q75", "probability"),
    "mass_90": ("probability of the closed interval from q05 to q95", "probability"),
    "value_above": ("probability that the value over the horizon exceeds the threshold", "probability"),
    "purchases_period_mean": ("purchase occasions in the period (mean)", "count"),
    "value_period_mean": ("residual value of the period (mean)", "money"),
    "purchases_period_total": ("purchase occasions of all customers in the period", "count"),
    "value_period_total": ("residual value of all customers in the period", "money"),
    "purchases": ("purchase occasions over the horizon", "count"),
    "spend": ("spend over the horizon", "money"),
    "value": ("residual value over the horizon, after margin and discount", "money"),
}


THRESHOLD = "threshold"
# The engine's name of what was asked for -> the dataset's variable and its dimensions after customer.
_ASKED: dict[str, tuple[str, tuple[str, ...]]] = {
    "value_above": ("value_above", (THRESHOLD,)),
    "purchases_period": ("purchases_period_mean", (PERIOD,)),
    "value_period": ("value_period_mean", (PERIOD,)),
    "top": ("probability_top", ()),
}


def checked_thresholds(amounts: Sequence[float] | float | None) -> np.ndarray | None:
    """Return the amounts of ``value_above`` as an array, finite, not negative and in rising order."""
    if amounts is None:
        return None
    try:
        thresholds = np.atleast_1d(np.asarray(amounts, dtype=float))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"value_above must be amounts of money such as (10.0, 50.0); got {amounts!r}."
        ) from error
    rising = thresholds.ndim == 1 and thresholds.size > 0 and (np.diff(thresholds) > 0).all()
    if not (rising and np.isfinite(thresholds).all() and thresholds[0] >= 0):
        raise InputError(
            "value_above must be finite amounts of money, not negative and in rising order, such as "
            f"(10.0, 50.0); got {amounts!r}."
        )
    return thresholds


def checked_periods(periods: int | None) -> int | None:
    """Return the number of periods, a whole number from 1."""
    if periods is None:
        return None
    if isinstance(periods, bool) or not isinstance(periods, (int, np.integer)) or periods < 1:
        raise InputError(
            f"periods must be a whole number from 1, the equal parts of the horizon; it is {periods!r}."
        )
    return int(periods)


def checked_share(share: float | None) -> float | None:
    """Return the top share, between 0 and 1."""
    if share is None:
        return None
    if isinstance(share, bool) or not isinstance(share, (int, float, np.number)) or not 0 < share < 1:
        raise InputError(
            f"top_share must lie between 0 and 1: 0.1 is the top tenth of the customers. It is {share!r}."
        )
    return float(share)


def equal_periods(horizon: float, count: int, rows: int) -> Calendar:
    """Return ``count`` equal periods of the horizon for ``rows`` distinct histories."""
    return Calendar(np.zeros(rows), horizon / count, count)


def typical_spend(spending: Parameters) -> float:
    """Return log2 of a typical spend: p × rate / shape of ν, or the median; the geometric mean over draws."""
    nothing = new_customer(("occasions", "mean_spend"))
    first, second = spending.level.state(nothing, spending.values)
    if spending.level.pays == "lognormal":
        return float(np.mean(first) / np.log(2))
    return float(np.mean(np.log2(spending.values["p"] * second / first)))


def purchase_plan(
    posterior: Parameters,
    histories: Histories,
    keys: np.ndarray,
    horizon: np.ndarray | float,
) -> Plan:
    """Return the plan that simulates purchases alone.

    Where the family draws each customer's future the histories are to hold the column of ``individual.apart``.
    """
    known = {name: histories.columns[name] for name in posterior.forecast.history}
    ordered = keys[histories.order]

    def state(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        at = rows[:, None]
        history = {name: column[at] for name, column in known.items()}
        return purchase_state(posterior.forecast, history, posterior.at(histories.columns, rows))

    return Plan(
        purchase_state=drawn_state(posterior, histories.columns, ordered)
        if is_individual(posterior.family)
        else state,
        row=histories.row,
        keys=ordered,
        horizon=np.broadcast_to(
            np.asarray(horizon, dtype=float), histories.columns[posterior.forecast.history[0]].shape
        ).copy(),
        draws=posterior.size,
        lifetime=posterior.forecast.law,
    )


def spend_money(spending: Parameters, histories: Histories, draws: int, discount: float) -> Money:
    """Return how the engine pays occasions: the posterior of each level on the distinct histories."""
    payments = paired(spending, draws)
    occasions, mean_spend = (histories.columns[name] for name in ("occasions", "mean_spend"))

    def state(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = rows[:, None]
        values = payments.at(histories.columns, rows)
        return payments.level.state({"occasions": occasions[at], "mean_spend": mean_spend[at]}, values)

    level = spending.level

    def occasion_shape(rows: np.ndarray) -> np.ndarray:
        shape: np.ndarray = payments.at(histories.columns, rows)[level.occasion]
        return shape

    return Money(state=state, occasion_shape=occasion_shape, discount=discount, rule=level.pays)


def _alike(histories: Histories, names: Sequence[str]) -> np.ndarray:
    """Return a number of each row that neighbours share when these columns are equal."""
    columns = [histories.columns[name] for name in names if name in histories.columns]
    changed = np.any([np.diff(column) != 0 for column in columns], axis=0)
    number: np.ndarray = np.r_[0, np.cumsum(changed)]
    return number


def holdout_counts(customers: xr.Dataset, horizon: float) -> np.ndarray | None:
    """Return the holdout's purchases when the horizon is the holdout's duration, else None."""
    length = customers.attrs.get("holdout_duration")
    if "holdout_purchases" not in customers or length is None:
        return None
    if not np.isclose(float(length), horizon, rtol=1e-9, atol=0):
        return None
    return np.asarray(customers["holdout_purchases"].values, dtype=np.int64)


def simulate(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    *,
    seed: int,
    spending: xr.DataTree | None = None,
    discount: float = 0.0,
    keep_draws: bool = False,
    value_above: np.ndarray | None = None,
    periods: int | None = None,
    top_share: float | None = None,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return the summary behind :func:`predict` and ``valuation.predict_value``.

    ``discount`` is the continuous rate per time unit; ``value_above`` are amounts before
    any margin. With ``spending`` the summary has spend_mean and the
    summaries of value, the spend of each occasion discounted from the time it occurs.
    """
    posterior = parameters(buying, "buying").repeated()
    check_customers(customers)
    time_unit = shared_time_unit(buying, customers)
    length = duration(horizon, time_unit)
    posterior = posterior.of(customers)
    columns = purchase_history(customers, posterior.family) | posterior.columns
    payments = None
    if spending is not None:
        shared_time_unit(spending, customers)
        payments = parameters(spending, "spending").of(customers)
        columns |= spend_history(customers, payments.family) | payments.columns
    if keep_draws:
        per_future = 0.5 if spending is None else 2.5
        refuse_too_large(
            int(per_future * posterior.size * customers.sizes[CUSTOMER]),
            max_memory,
            what=f"{posterior.size:,} draws of {customers.sizes[CUSTOMER]:,} customers",
            instead="Leave keep_draws=False (the summary and the totals per draw need no such array), "
            "or predict fewer customers at a time; the random numbers are the same.",
        )
    count, share = checked_periods(periods), checked_share(top_share)
    if count is not None:
        kinds = 1 if spending is None else 2
        refuse_too_large(
            kinds * count * (customers.sizes[CUSTOMER] + posterior.size),
            max_memory,
            what=f"{count:,} periods of {customers.sizes[CUSTOMER]:,} customers and {posterior.size:,} draws",
            instead="Ask for fewer periods, or predict fewer customers at a time.",
        )
    keys = customer_keys(customers[CUSTOMER].values, seed)
    histories = distinct_histories(columns | apart(posterior.family, keys), keys)
    plan = purchase_plan(posterior, histories, keys, length)
    observed = holdout_counts(customers, length)
    money, log2_reference = None, 0.0
    if payments is not None:
        money = spend_money(payments, histories, plan.draws, discount)
        log2_reference = typical_spend(payments)
    plan = replace(
        plan,
        alike=_alike(histories, (*posterior.forecast.history, posterior.profile, WHO)),
        money=money,
        observed=None if observed is None else observed[histories.order],
        keep=keep_draws,
        value_above=value_above,
        calendar=None if count is None else equal_periods(length, count, plan.horizon.size),
        by_customer=count is not None,
        top_share=share,
        log2_reference=log2_reference,
    )
    outcomes = simulate_futures(plan, threads=threads, progress=progress)

    bought = {key: columns[key] for key in (*posterior.forecast.history, *posterior.columns)}
    variables = expected_summary(posterior, distinct_histories(bought), length, threads=threads)
    for name, values in outcomes.summary.items():
        absent = (name in _MONEY and spending is None) or (name in SCORES and observed is None)
        if not absent:
            variables[name] = histories.spread(values)
    carried = {name: customers[name].to_numpy() for name in CARRIED if name in customers}
    dataset = _dataset(carried | variables, outcomes, histories, posterior, customers)
    if value_above is not None:
        dataset = dataset.assign_coords({THRESHOLD: value_above})
    if count is not None:
        dataset = with_periods(dataset, length, count)
    if share is not None:
        by = "purchases" if spending is None else "value"
        dataset["probability_top"].attrs |= {
            "long_name": f"probability of being among the top {share:.3g} of the customers by {by}",
            "units": "probability",
            "level": "outcome",
            "share": share,
        }
    return dataset.assign_attrs(
        time_unit=time_unit,
        horizon=length,
        seed=int(seed),
        draws=posterior.size,
        expected_draws=closed_form_draws(posterior).size,
        family=posterior.family.name,
        fitted_until=str(buying.attrs.get("until", "")),
        level="outcome, except where a variable states its own",
        problems=json.dumps(problems(buying) if spending is None else problems(buying, spending)),
    )


def with_periods(dataset: xr.Dataset, horizon: float, count: int) -> xr.Dataset:
    """Return the dataset with the coordinates of its periods: number, and end in time units."""
    ends = horizon * np.arange(1, count + 1) / count
    dataset = dataset.assign_coords({PERIOD: np.arange(count), "period_end": (PERIOD, ends)})
    dataset["period_end"].attrs = {
        "long_name": "end of the period, from the start of the horizon",
        "units": dataset.attrs.get("time_unit", ""),
    }
    return dataset


def describe_outcomes(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with name, unit and level of what the engine gives."""
    described = describe(dataset)
    for name, (text, units) in _DESCRIPTIONS.items():
        if name in described:
            described[name].attrs |= {"long_name": text, "units": units, "level": "outcome"}
    return described


def _dataset(
    variables: dict[str, np.ndarray],
    outcomes: Outcomes,
    histories: Histories,
    posterior: Parameters,
    customers: xr.Dataset,
) -> xr.Dataset:
    """Return summaries (customer), totals (chain, draw) and kept draws (chain, draw, customer), described."""
    data: dict[str, object] = {name: ((CUSTOMER,), values) for name, values in variables.items()}
    for name in ("purchases_total", "spend_total", "value_total"):
        total = getattr(outcomes, name)
        if total is not None:
            data[name] = posterior.unstack(total)
    for name, total in (
        ("purchases_period_total", outcomes.period_total),
        ("value_period_total", outcomes.value_period_total),
    ):
        if total is not None:
            data[name] = posterior.unstack(total, PERIOD)
    for name, values in outcomes.by_customer.items():
        variable, dims = _ASKED[name]
        data[variable] = ((CUSTOMER, *dims), np.moveaxis(histories.spread(np.moveaxis(values, 0, -1)), -1, 0))
    for name, kept in outcomes.kept.items():
        in_order = np.empty_like(kept)
        in_order[histories.order] = kept
        data[name] = posterior.unstack(in_order.T, CUSTOMER)
    return describe_outcomes(
        xr.Dataset(
            data,
            coords={CUSTOMER: customers[CUSTOMER].values, **posterior.coords()},
            attrs={"time_unit": customers.attrs.get("time_unit")},
        )
    )


def predict(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float = "52 weeks",
    *,
    seed: int,
    keep_draws: bool = False,
    periods: int | None = None,
    top_share: float | None = None,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return what each customer will buy over the horizon, as a predictive distribution.

    Parameters
    ----------
    buying
        A buying posterior, as ``clv.fit("bg_nbd", customers, ...)`` returns it or a file restores it.
    customers
        Customers in the posterior's time unit; they need not be those of the fit. Where it had covariates or
        groups they need its columns (``clv.with_columns``); a group that it has not seen is allowed.
    horizon
        ``"52 weeks"``, or a bare number in the data's time unit, from the end of observation.
    seed
        Seed of the futures. With one seed a customer's random numbers are the same in every scenario, and
        a shorter horizon is the beginning of a longer one.
    keep_draws
        Also return ``purchases`` (chain, draw, customer), refused when larger than ``max_memory`` bytes.
    periods
        Also return purchases by equal parts of the horizon, this many: ``purchases_period_mean`` (customer,
        period) and ``purchases_period_total`` (chain, draw, period); over periods they add up to the totals.
    top_share
        Also return ``probability_top`` (customer): the probability of being among this share of the
        customers by purchases, 0.1 for the top tenth. In each draw the top are the smallest number of
        customers that is at least the share; ties share the places left equally (predictions.ranks).
        It costs a second pass.
    threads
        Threads; by default the processors this process may use. They change the speed only.
    progress
        Called with (customers done, customers), both doubled by ``top_share``.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: probability_alive and purchases_expected (expected level), purchase_rate_mean and
        dropout_mean (latent; dropout_rate_mean where a customer may leave at any time), all four posterior means of
        closed forms over ``expected_draws`` draws; and of the outcome
        purchases_mean, _sd, _q05, _q25, _q50, _q75, _q95 (inverse CDF: the smallest n with
        F(n) >= q) and probability_active, P(any purchase). Over (chain, draw): purchases_total. Attributes
        state horizon, time unit, seed, draws and expected_draws, and ``problems`` carries what the
        diagnostics of the fit found wrong (a JSON list of sentences).
        When customers have a holdout as long as the horizon: draws_below, draws_equal, crps, mass_50 and
        mass_90, for :func:`score_holdout`.

    Raises
    ------
    InputError
        Mismatched time units, an impossible history, repeated ids, a bad horizon, draws that do not fit.

    Examples
    --------
    >>> future = predict(buying, customers, "52 weeks", seed=1)
    """
    return simulate(
        buying,
        customers,
        horizon,
        seed=seed,
        keep_draws=keep_draws,
        periods=periods,
        top_share=top_share,
        threads=threads,
        max_memory=max_memory,
        progress=progress,
    )
