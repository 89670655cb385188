"""What customers are worth, in money, over a stated horizon.

Three amounts, defined once:

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

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.predictions.forecasts import THRESHOLD, checked_thresholds, simulate
from bayes_clv.predictions.histories import distinct_histories, spend_history
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import MAX_MEMORY, over_tiles, rows_of
from bayes_clv.schema import CUSTOMER, describe
from bayes_clv.units import checked_cost, checked_margin, discount_rate

SCALED = (
    "value_mean",
    "value_sd",
    "value_q05",
    "value_q25",
    "value_q50",
    "value_q75",
    "value_q95",
    "value_total",
    "value",
    "value_period_mean",
    "value_period_total",
)


def without_moments(spending: Parameters, customers: xr.Dataset, moment: int) -> tuple[np.ndarray, int]:
    """Return which customers' spend lacks this moment in some draw, and in how many draws at most.

    Of Gamma-Gamma, mean spend is p / ν with ν ~ Gamma(shape, ·): its mean exists for shape > 1, its variance for
    shape > 2.
    """
    spending = spending.of(customers)
    known = spend_history(customers, spending.family)["occasions"]
    histories = distinct_histories({"occasions": known} | spending.columns)
    # Not spending.size: draws that were paired with another posterior's are more or fewer.
    draws = next(iter(spending.values.values())).size

    def lacking(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        without = spending.level.lacks_moment(moment, history, values)
        return (np.broadcast_to(without, (rows_of(history), draws)).sum(axis=1),)

    counts = histories.spread(over_tiles(histories, spending, lacking)[0], of_rows=True)
    return counts > 0, int(counts.max())


def historical_value(customers: xr.Dataset, margin: float) -> tuple[np.ndarray, str | None]:
    """Return margin × spend to date of each customer, first occasion included; NaN with the reason if not known."""
    if "historical_spend" in customers:
        return margin * customers["historical_spend"].to_numpy().astype(float), None
    unknown = np.full(customers.sizes[CUSTOMER], np.nan)
    return unknown, ("the customers have no historical_spend. Build them from orders with clv.summarize.")


def predict_value(
    buying: xr.DataTree,
    spending: xr.DataTree,
    customers: xr.Dataset,
    *,
    horizon: str | float = "52 weeks",
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    acquisition_cost: Any = 0.0,
    seed: int,
    keep_draws: bool = False,
    value_above: Sequence[float] | None = None,
    periods: int | None = None,
    top_share: float | None = None,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return what each customer will buy and be worth over the horizon, as predictive distributions.

    Parameters
    ----------
    buying, spending
        Posteriors of ``clv.fit("bg_nbd", ...)`` and ``clv.fit("gamma_gamma", ...)``. They are independent;
        when their numbers of draws differ, spending's are thinned evenly or repeated in turn.
    customers
        Customers with spend, in the posteriors' time unit and money unit.
    horizon
        ``"52 weeks"``, or a bare number in the data's time unit.
    margin
        Share of spend that is earned: 0.3 means 30 %.
    annual_discount_rate
        0.10 means 10 % a year, (1 + 0.10)^-t for money t years after the end of observation.
    acquisition_cost
        Money per customer: one number, or one per customer id (DataArray, pandas Series, mapping).
    value_above
        Also return ``value_above`` (customer, threshold): the probability that the residual value exceeds
        each of these amounts of money, in rising order, such as ``(10.0, 50.0)``.
    periods
        As in ``clv.predict``, and of money ``value_period_mean`` (customer, period) and
        ``value_period_total`` (chain, draw, period), discounted like the value they add up to.
    top_share
        As in ``clv.predict``, by value instead of purchases: values less than 1.1 % apart may tie.
    seed, keep_draws, threads, max_memory, progress
        As in ``clv.predict``; kept draws are purchases, spend and value (chain, draw, customer).

    Returns
    -------
    xarray.Dataset
        Everything of ``clv.predict`` (the same numbers for the same seed) and, over ``customer``, in money:
        spend_mean, historical_value, value_mean, _sd, _q05, _q25, _q50, _q75, _q95 (residual value) and
        lifetime_value_mean; the customers' own columns are carried along. Over (chain, draw):
        purchases_total, spend_total, value_total. Attributes state horizon, margin, rates and seed, and in
        ``reasons`` (a list of sentences) why something is NaN.

    Raises
    ------
    InputError
        As in ``clv.predict``, or a bad margin, rate or cost, or customers without spend.

    Notes
    -----
    Customers without repeat spend have the population's spend. A mean that does not exist (shape <= 1 in
    some draw, so that expected spend is infinite) is NaN, and so is a standard deviation whose variance
    does not exist (shape <= 2); the quantiles exist and are given.

    Examples
    --------
    >>> value = predict_value(
    ...     buying, spending, customers, horizon="52 weeks", margin=0.3, annual_discount_rate=0.10, seed=1
    ... )
    """
    check_customers(customers)
    share = checked_margin(margin)
    rate = discount_rate(annual_discount_rate, shared_time_unit(spending, customers))
    cost = checked_cost(acquisition_cost, customers)
    thresholds = checked_thresholds(value_above)
    value = simulate(
        buying,
        customers,
        horizon,
        seed=seed,
        spending=spending,
        discount=rate,
        keep_draws=keep_draws,
        value_above=None if thresholds is None else thresholds / share,
        periods=periods,
        top_share=top_share,
        threads=threads,
        max_memory=max_memory,
        progress=progress,
    )
    if thresholds is not None:
        value = value.assign_coords({THRESHOLD: (THRESHOLD, thresholds, {"units": "money"})})
    for name in SCALED:
        if name in value:
            value[name] = share * value[name].assign_attrs(value[name].attrs)
    reasons = _remove_missing_moments(value, parameters(spending, "spending"), customers)
    earned, why = historical_value(customers, share)
    value["historical_value"] = (CUSTOMER, earned)
    if why is not None:
        reasons.append(f"historical_value and lifetime_value_mean are NaN: {why}")
    value["acquisition_cost"] = (CUSTOMER, cost.values)
    value["lifetime_value_mean"] = value["historical_value"] + value["value_mean"] - value["acquisition_cost"]
    return describe(value).assign_attrs(
        margin=share,
        annual_discount_rate=float(annual_discount_rate),
        discount_rate=rate,
        spending_family=str(spending.attrs["family"]),
        reasons=reasons,
    )


def _remove_missing_moments(value: xr.Dataset, spending: Parameters, customers: xr.Dataset) -> list[str]:
    """Set means and standard deviations that do not exist to NaN in ``value``; return the reasons."""
    reasons = []
    for moment, affected, what in (
        (1, ("spend_mean", "value_mean", "value_sd", "value_period_mean"), "expected spend is infinite"),
        (2, ("value_sd",), "the variance of spend is infinite"),
    ):
        lacking, draws = without_moments(spending, customers, moment)
        if not lacking.any():
            continue
        names = [name for name in affected if name in value]
        for name in names:
            value[name] = value[name].where(~xr.DataArray(lacking, dims=CUSTOMER))
        reasons.append(
            f"{' and '.join(names) if len(names) < 3 else ', '.join(names)}: NaN for {int(lacking.sum())} of "
            f"{lacking.size} customers, because {what} in up to {draws} of {spending.size} posterior draws "
            f"(shape of the rate of spend at most {moment}). Use the quantiles, or a stronger prior on q."
        )
    return reasons
