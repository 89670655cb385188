"""What each customer will do over a horizon: the exact simulation, summarised per customer.

Each posterior draw gives each customer one future. The summary is over draws, so that its spread holds
parameter uncertainty, the customer's own rate and dropout, and the chance in each purchase: the *outcome*
level. It is a summary of the simulation that ``clv.simulate`` gives draw by draw (``predictions.simulation``): a
future depends on the seed, the customer's id, the history and the posterior, and on nothing else. Two scenarios with
one seed share their random numbers; subtract them customer by customer and draw by draw.

With a spending posterior there is money too. Three amounts, defined once:

historical value
    margin × spend to date, already earned, not discounted.
residual value
    margin × the spend of every occasion in the horizon, each discounted continuously from the time it
    occurs to the end of observation.
lifetime value
    their sum, less the acquisition cost where one is given.

An infinite horizon is not offered: the expected residual value is infinite unless a > 1 or money is
discounted, and no decision waits for ever. State the horizon.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import new_customer
from bayes_clv.families.registry import families
from bayes_clv.language import say
from bayes_clv.predictions.averages import expected_summary
from bayes_clv.predictions.histories import Histories, distinct_histories
from bayes_clv.predictions.inputs import problems, refuse_another_kind, whole_number
from bayes_clv.predictions.money import historical_value, remove_missing_moments
from bayes_clv.predictions.net import less_costs, refuse_unknown_net, said_of
from bayes_clv.predictions.observed import holdout_counts, with_money
from bayes_clv.predictions.own_costs import Costs
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.plans import Calendar, Holdout
from bayes_clv.predictions.progress import progress_bar
from bayes_clv.predictions.simulation import NEXT, Simulation, simulation_of
from bayes_clv.predictions.statistics import COLUMNS, OWN
from bayes_clv.predictions.summaries import Outcomes, simulate_futures
from bayes_clv.predictions.tiles import MAX_MEMORY, closed_form_draws, refuse_too_large
from bayes_clv.problems import FREQUENT
from bayes_clv.schema import (
    ACTIVE_BY_CHANCE,
    CHANCE,
    CUSTOMER,
    INTERVALS,
    PERIOD,
    QUANTILES,
    InputError,
    Variable,
    argument,
    describe,
    in_currency,
)
from bayes_clv.units import checked_cost

# Of the customers, beside their forecasts.
CARRIED = (
    "frequency",
    "recency",
    "T",
    "monetary_value",
    "holdout_purchases",
    "holdout_spend",
    "holdout_value",
)
# What a margin scales.
SCALED = (
    *(name for name in COLUMNS if name.startswith("value_")),
    "value_crps",
    "value_total",
    "value",
    "value_period_mean",
    "value_period_total",
)
_MONEY = tuple(name for name in COLUMNS if name.startswith(("spend_", "value_")))

THRESHOLD = "threshold"
QUANTILE = "quantile"
# The summaries' name of what was asked for -> the dataset's variable and its dimensions after customer.
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
    nothing = new_customer(spending.level.reads)
    first, second = spending.level.state(nothing, spending.values)
    if spending.level.pays == "lognormal":
        return float(np.mean(first) / np.log(2))
    return float(np.mean(np.log2(spending.values["p"] * second / first)))


def with_periods(dataset: xr.Dataset, horizon: float, count: int) -> xr.Dataset:
    """Return the dataset with the coordinates of its periods: number, and end in time units."""
    ends = horizon * np.arange(1, count + 1) / count
    dataset = dataset.assign_coords({PERIOD: np.arange(count), "period_end": (PERIOD, ends)})
    return describe(dataset)


def predict(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float = "52 weeks",
    *,
    spending: xr.DataTree | None = None,
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    acquisition_cost: Any = 0.0,
    costs: Costs | None = None,
    value_above: Sequence[float] | None = None,
    periods: int | None = None,
    top_share: float | None = None,
    own: bool = False,
    keep_draws: bool = False,
    seed: int,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
    progress: bool = False,
) -> xr.Dataset:
    """Return what each customer will buy, and be worth, over the horizon, as predictive distributions.

    Parameters
    ----------
    buying
        A buying posterior, as ``clv.fit("bg_nbd", customers, ...)`` returns it or a file restores it.
    customers
        Customers in the posterior's time unit; they need not be those of the fit. Where it had covariates or
        groups they need its columns (``clv.with_columns``); a group that it has not seen is allowed.
    horizon
        ``"52 weeks"``, or a bare number in the data's time unit, from the end of observation; of a posterior of
        opportunities (``clv.fit("bg_bb", ...)``) their number; ``"holdout"``, as long as the customers' holdout is.
    spending
        A posterior of ``clv.fit("gamma_gamma", ...)``, for money; customers with spend. The two are independent;
        when their numbers of draws differ, spending's are thinned evenly or repeated in turn.
    margin
        Share of spend that is earned: 0.3 means 30 %.
    annual_discount_rate
        0.10 means 10 % a year, (1 + 0.10)^-t for money t years after the end of observation.
    acquisition_cost
        Money per customer: one number, or one per customer id (DataArray, pandas Series, mapping).
    costs
        Of ``clv.predictions.costs``: what customers cost beside their margin, each its own. ``value`` is then less
        that, everywhere (``value_total``, ``value_above``, ``lifetime_value_mean``); ``value_before_costs_mean`` and
        the like say what it was before, ``cost_mean`` the difference and ``probability_loss`` how probably a customer
        costs more than it brings. Not with ``periods`` or ``top_share``; the holdout's value is not scored.
    value_above
        Also return ``value_above`` (customer, threshold): the probability that the residual value exceeds
        each of these amounts of money, in rising order, such as ``(10.0, 50.0)``.
    periods
        Also return purchases by equal parts of the horizon, this many: ``purchases_period_mean`` (customer,
        period) and ``purchases_period_total`` (chain, draw, period), and of money the same of value; over periods they
        add up to the totals.
    top_share
        Also return ``probability_top`` (customer): the probability of being among this share of the
        customers by value, or without money by purchases, 0.1 for the top tenth. In each draw the top are the smallest
        number of customers that is at least the share; ties share the places left equally, and values less than 1.1 %
        apart may tie (``predictions.statistics``). It costs a second pass.
    own
        Also return the posterior of the customers' own numbers (latent level): of purchase_rate, of dropout or
        dropout_rate, of Pareto/GGG's regularity and with money of spend_per_purchase ``_sd``, ``_q05``, ``_q25``,
        ``_q50``, ``_q75``, ``_q95``. The purchase rate holds while the customer is alive, and also of one who has left
        it says how fast it bought.
    keep_draws
        Also return the draws, ``purchases``, with money ``spend`` and ``value``, with ``own`` the customers' own
        numbers, each (chain, draw, customer); refused when larger than ``max_memory`` bytes.
    seed
        Seed of the futures. With one seed a customer's random numbers are the same in every scenario, and
        a shorter horizon is the beginning of a longer one.
    threads
        Threads; by default the processors this process may use. They change the speed only.
    progress
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: probability_alive and purchases_expected (expected level), purchase_rate_mean and
        dropout_mean (latent; dropout_rate_mean where a customer may leave at any time), all four posterior means of
        closed forms over ``expected_draws`` draws, as are probability_awake, probability_asleep and probability_gone
        of a fit with ``returns=True``; and of the outcome
        purchases_mean, _sd, _q05, _q25, _q50, _q75, _q95 (inverse CDF: the smallest n with
        F(n) >= q) and probability_active, P(any purchase). Over (chain, draw): purchases_total and active_total, the
        customers with any purchase. Attributes state horizon, time unit, seed, draws and expected_draws, and
        ``problems`` carries what the diagnostics of the fit found wrong (a list of sentences).
        When customers have a holdout as long as the horizon, its scores, for ``clv.evaluate``: of purchases
        draws_below, draws_equal, crps, and for 50, 80, 90 and 95 % mass_50 (the share of draws in the closed interval
        between inverse-CDF quantiles) and inside_50 (1 where the holdout lies in it) to mass_95 and inside_95; and over
        (chain, draw) inside_50_total to inside_95_total, how many customers lie in their own interval, and with
        ``frequent_`` how many of those with at least five repeat purchases (``problems.FREQUENT``), and
        active_by_chance_total (chain, draw, chance), who buys at all of those in each class of
        ``predictions.scores.CHANCE_ENDS``. With
        ``spending`` the same of spend (spend_crps, ...) and, where ``holdout_value`` is discounted at the
        forecast's rate (at no rate it is ``holdout_spend``), of value, with the margin; and spend_log_crps and
        value_log_crps, the CRPS of log(1 + amount / ``attrs["money_unit"]``), which is the mean spend of a purchase in
        the calibration (``predictions.scores``).

        With ``spending`` also, over ``customer``, in money: spend_mean, historical_value, value_mean, _sd, _q05, _q25,
        _q50, _q75, _q95 (residual value) and lifetime_value_mean; over (chain, draw): spend_total, value_total.
        Attributes state margin and rates, in ``reasons`` (a list of sentences) why something is NaN, and in
        ``unscored`` what of a holdout is not scored.

    Raises
    ------
    InputError
        Mismatched time units, an impossible history, repeated ids, a bad horizon, draws that do not fit; a bad margin,
        rate or cost, or customers without spend; money without ``spending``.

    Notes
    -----
    Customers without repeat spend have the population's spend. A mean that does not exist (shape <= 1 in
    some draw, so that expected spend is infinite) is NaN, and so is a standard deviation whose variance
    does not exist (shape <= 2); the quantiles exist and are given.

    Examples
    --------
    >>> future = predict(buying, customers, "52 weeks", seed=1)
    >>> value = predict(
    ...     buying, customers, "52 weeks", spending=spending, margin=0.3, annual_discount_rate=0.10, seed=1
    ... )
    """
    if getattr(buying, "attrs", {}).get("family") in families("opportunities"):
        given = (
            spending,
            margin,
            annual_discount_rate,
            acquisition_cost,
            costs,
            value_above,
            periods,
            top_share,
            own,
        )
        if given != (None, 1.0, 0.0, 0.0, None, None, None, None, False):
            raise InputError(
                "At opportunities there are purchases and no money: give predict a horizon (how many opportunities), "
                "seed, keep_draws, threads and max_memory, and nothing else."
            )
        refuse_another_kind(str(buying.attrs["family"]), customers, discrete=True)
        from bayes_clv.predictions.opportunities import predict_opportunities

        return predict_opportunities(
            buying,
            customers,
            whole_number(horizon, "horizon"),
            seed=seed,
            keep_draws=keep_draws,
            threads=threads,
            max_memory=max_memory,
        )
    thresholds = checked_thresholds(value_above)
    count, share = checked_periods(periods), checked_share(top_share)
    simulation = simulation_of(
        buying,
        customers,
        horizon,
        spending=spending,
        margin=margin,
        annual_discount_rate=annual_discount_rate,
        costs=costs,
        seed=seed,
    )
    # Costs of nothing: to the last digit what it is without them.
    if simulation.costs is not None and simulation.costs.nothing:
        simulation, costs = replace(simulation, costs=None), None
    if costs is not None:
        refuse_unknown_net(count, share)
    cost = checked_cost(acquisition_cost, customers)
    if spending is None:
        _refuse_money(margin, annual_discount_rate, cost, thresholds)
    asked = tuple(name for name in simulation.latent if name != "alive") if own else ()
    _refuse_draws(simulation, keep_draws, asked, count, max_memory)
    histories, length = simulation.inputs.histories, simulation.horizon
    holdout, unscored = _holdout(simulation, float(annual_discount_rate))
    plan = replace(
        simulation.plan,
        holdout=None if holdout is None else holdout.at(histories.order),
        keep=keep_draws,
        own=tuple(simulation.own[name] for name in asked),
        value_above=None if thresholds is None else thresholds / simulation.margin,
        calendar=None if count is None else equal_periods(length, count, _rows(histories)),
        by_customer=count is not None,
        top_share=share,
        log2_reference=0.0 if simulation.spending is None else typical_spend(simulation.spending),
    )
    with progress_bar(progress, "futures") as report:
        outcomes = simulate_futures(plan, threads=threads, progress=report)
    dataset = _dataset(simulation, outcomes, asked, threads)
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
    dataset = dataset.assign_attrs(
        result="prediction",
        time_unit=simulation.inputs.time_unit,
        horizon=length,
        seed=int(seed),
        draws=simulation.size,
        expected_draws=closed_form_draws(simulation.buying).size,
        family=simulation.buying.family.name,
        fitted_until=str(buying.attrs.get("until", "")),
        level="outcome, except where a variable states its own",
        problems=problems(buying) if spending is None else problems(buying, spending),
    )
    if "holdout_value" in dataset and "holdout_discount_rate" in customers.attrs:
        dataset.attrs["holdout_discount_rate"] = float(customers.attrs["holdout_discount_rate"])
    if spending is None:
        return dataset
    dataset.attrs |= in_currency(customers.attrs)
    if holdout is not None and holdout.spend.size:
        dataset.attrs["money_unit"] = holdout.spend_unit
    if thresholds is not None:
        dataset = dataset.assign_coords({THRESHOLD: (THRESHOLD, thresholds, {"units": "money"})})
    if costs is not None:
        dataset = less_costs(dataset, simulation, thresholds, threads).assign_attrs(said_of(costs))
        if "holdout_spend" in dataset:
            unscored = [*unscored, "value: what the holdout's customers cost is not known"]
    value = _in_money(dataset, simulation, parameters(spending, "spending", calendar=True), cost)
    return value.assign_attrs(
        unscored=unscored,
        margin=simulation.margin,
        annual_discount_rate=float(annual_discount_rate),
        discount_rate=simulation.discount,
        spending_family=str(spending.attrs["family"]),
    )


def _holdout(simulation: Simulation, annual_discount_rate: float) -> tuple[Holdout | None, list[str]]:
    """Return by what the futures are scored, if the customers have a holdout as long, and what is not scored."""
    counts = holdout_counts(simulation.customers, simulation.horizon)
    if counts is None:
        return None, []
    holdout = Holdout(counts)
    if "frequency" in simulation.customers:
        holdout = holdout._replace(frequent=simulation.customers["frequency"].values >= FREQUENT)
    if simulation.spending is None:
        return holdout, []
    return with_money(
        holdout,
        simulation.customers,
        annual_discount_rate=annual_discount_rate,
        margin=simulation.margin,
    )


def _refuse_money(margin: float, rate: float, cost: xr.DataArray, thresholds: np.ndarray | None) -> None:
    """Refuse what is of money where no spending posterior is given."""
    given = {
        "margin": margin != 1,
        "annual_discount_rate": rate != 0,
        "acquisition_cost": bool((cost != 0).any()),
        "value_above": thresholds is not None,
    }
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise InputError(
            f"{', '.join(names)}: money needs a spending posterior. Give predict(..., spending=...), of "
            "clv.fit('gamma_gamma', customers, ...) or another family of spend, or leave it out for purchases alone."
        )


def _refuse_draws(
    simulation: Simulation, keep: bool, own: Sequence[str], periods: int | None, max_memory: float
) -> None:
    """Refuse arrays that do not fit into ``max_memory`` bytes."""
    draws, size, money = simulation.size, simulation.inputs.size, simulation.spending is not None
    if keep:
        # Purchases are stored in 4 bytes.
        per_future = (2.5 if money else 0.5) + len(own)
        refuse_too_large(
            int(per_future * draws * size),
            max_memory,
            what=f"{draws:,} draws of {size:,} customers",
            instead="Leave keep_draws=False (the summary and the totals per draw need no such array), "
            "or predict fewer customers at a time; the random numbers are the same.",
        )
    if periods is not None:
        refuse_too_large(
            (2 if money else 1) * periods * (size + draws),
            max_memory,
            what=f"{periods:,} periods of {size:,} customers and {draws:,} draws",
            instead="Ask for fewer periods, or predict fewer customers at a time.",
        )


def _rows(histories: Histories) -> int:
    return int(histories.row[-1]) + 1


def _dataset(
    simulation: Simulation, outcomes: Outcomes, own: Sequence[str], threads: int | None
) -> xr.Dataset:
    """Return summaries (customer), totals (chain, draw) and kept draws (chain, draw, customer), described."""
    inputs, posterior = simulation.inputs, simulation.buying
    histories, customers = inputs.histories, inputs.customers
    closed = expected_summary(posterior, distinct_histories(inputs.past), inputs.horizon, threads=threads)
    data: dict[str, object] = {
        name: (CUSTOMER, customers[name].to_numpy()) for name in CARRIED if name in customers
    }
    data |= {name: (CUSTOMER, values) for name, values in closed.items()}
    for name, values in (outcomes.summary | outcomes.scores).items():
        if inputs.spending is not None or name not in _MONEY:
            data[name] = (CUSTOMER, histories.spread(values))
    for name in own:
        of_all = histories.spread(outcomes.own[simulation.own[name]].T)
        for statistic, values in zip(OWN, of_all, strict=True):
            # The mean is there in closed form already.
            data.setdefault(f"{name}_{statistic}", (CUSTOMER, values))
    for name in ("purchases_total", "active_total", "spend_total", "value_total"):
        total = getattr(outcomes, name)
        if total is not None:
            data[name] = posterior.unstack(total)
    for prefix, inside in zip(("", "spend_"), outcomes.inside, strict=False):
        for level, total in zip(INTERVALS, inside, strict=True):
            data[f"{prefix}inside_{level}_total"] = posterior.unstack(total)
    for level, total in zip(INTERVALS, () if outcomes.few is None else outcomes.few, strict=False):
        data[f"frequent_inside_{level}_total"] = posterior.unstack(total)
    if outcomes.chances is not None:
        data[ACTIVE_BY_CHANCE] = posterior.unstack(outcomes.chances.T, CHANCE)
    for name, total in (
        ("purchases_period_total", outcomes.period_total),
        ("value_period_total", outcomes.value_period_total),
    ):
        if total is not None:
            data[name] = posterior.unstack(total, PERIOD)
    for name, values in outcomes.by_customer.items():
        variable, dims = _ASKED[name]
        data[variable] = ((CUSTOMER, *dims), np.moveaxis(histories.spread(np.moveaxis(values, 0, -1)), -1, 0))
    names = {field: name for name, field in simulation.own.items() if name in own}
    for name, kept in outcomes.kept.items():
        in_order = np.empty_like(kept)
        in_order[histories.order] = kept
        data[names.get(name, name)] = posterior.unstack(in_order.T, CUSTOMER)
    return describe(
        xr.Dataset(
            data,
            coords={CUSTOMER: customers[CUSTOMER].values, **posterior.coords()},
            attrs={"time_unit": inputs.time_unit},
        )
    )


def _in_money(
    value: xr.Dataset, simulation: Simulation, spending: Parameters, cost: xr.DataArray
) -> xr.Dataset:
    """Return the dataset with money earned: margin, past, cost; and NaN with reasons where no mean exists."""
    customers, margin = simulation.customers, simulation.margin
    own = simulation.costs
    for name in SCALED:
        # Less costs, values have their margin already.
        if name in value and own is None:
            value[name] = margin * value[name].assign_attrs(value[name].attrs)
    reasons = remove_missing_moments(value, spending, customers)
    earned, why = historical_value(customers, margin if own is None else own.margin)
    value["historical_value"] = (CUSTOMER, earned)
    if why is not None:
        reasons.append(say("historical_value and lifetime_value_mean are NaN: {why}", why=why))
    value["acquisition_cost"] = (CUSTOMER, cost.values)
    value["lifetime_value_mean"] = value["historical_value"] + value["value_mean"] - value["acquisition_cost"]
    return describe(value).assign_attrs(reasons=reasons)


def next_purchase(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    quantiles: Sequence[float] = QUANTILES,
    draws: int | None = None,
    seed: int,
    threads: int | None = None,
) -> xr.Dataset:
    """Return when each customer's next purchase comes: the probability of ever, and quantiles of the wait.

    Parameters
    ----------
    buying, customers
        A buying posterior and customers in its time unit.
    quantiles
        Probabilities between 0 and 1 in rising order.
    draws
        Posterior draws, evenly spaced within the chains; by default all.
    seed
        Seed of the futures, of which these are the first purchases: those of ``clv.predict`` with this seed.
    threads
        Threads; by default the processors this process may use. They change the speed only.

    Returns
    -------
    xarray.Dataset
        ``probability_ever`` (customer), the probability of any further purchase however late, and ``wait``
        (customer, quantile), the time from the end of observation by which the next purchase has come with that
        probability, in the data's time unit: infinite where ``probability_ever`` is no larger. Outcome level.
        ``attrs["monte_carlo_error"]`` is the standard error of a probability at most, 0.5 / sqrt(draws).

    Raises
    ------
    InputError
        As in ``clv.predict``, or quantiles that are not between 0 and 1 in rising order.

    Notes
    -----
    The mean wait is infinite for every customer who may have left, and for k <= 1; use quantiles. A quantile q is
    that of the draws: what it is off, as a probability, has a standard error of sqrt(q (1 - q) / draws). Long waits
    of customers who bought rarely are extrapolations beyond any data: ask ``clv.expected.active`` for the
    horizon that matters.

    Examples
    --------
    >>> median_wait = next_purchase(buying, customers, seed=1)["wait"].sel(quantile=0.5)
    """
    levels = np.atleast_1d(np.asarray(quantiles, dtype=float))
    rising = levels.ndim == 1 and levels.size > 0 and (np.diff(levels) > 0).all()
    if not (rising and levels[0] > 0 and levels[-1] < 1):
        raise InputError(
            f"{argument('quantiles')} must lie between 0 and 1 in rising order; got {quantiles!r}."
        )
    # The first purchase is that of every horizon.
    simulation = simulation_of(buying, customers, 1.0, draws=draws, seed=seed)
    size = simulation.size
    rank = np.maximum(np.ceil(levels * size - 1e-9).astype(np.int64) - 1, 0)
    ever = np.empty(simulation.inputs.size)
    waits = np.empty((ever.size, levels.size))

    def work(places: np.ndarray, drawn: dict[str, np.ndarray]) -> None:
        first = drawn[NEXT]
        ever[places] = np.isfinite(first).mean(axis=1)
        waits[places] = np.partition(first, np.unique(rank), axis=1)[:, rank]

    for _ in simulation.each(work, [NEXT], threads):
        pass
    found = xr.Dataset(
        {"probability_ever": (CUSTOMER, ever), "wait": ((CUSTOMER, QUANTILE), waits)},
        coords={CUSTOMER: customers[CUSTOMER].values, QUANTILE: levels},
        attrs={
            "time_unit": simulation.inputs.time_unit,
            "draws": size,
            "seed": int(seed),
            "monte_carlo_error": 0.5 / math.sqrt(size),
        },
    )
    own = {
        "probability_ever": Variable(
            "probability of any further purchase, however late", "probability", "outcome"
        ),
        "wait": Variable("time to the next purchase (quantile)", "time", "outcome"),
    }
    return describe(found, own)
