"""Repeat purchases per calendar period: what the model would have produced, beside what happened.

Calibration periods are replicated: new customers, first seen on the same days, live from their first order
to the end of observation with rates drawn from the population. Holdout periods are the conditional future
of the real customers given their histories. The first checks the model against the data it was fitted to,
the second is a forecast.
"""

from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.group_time import PLACE
from bayes_clv.predictions.histories import Histories, apart, distinct_histories, purchase_history
from bayes_clv.predictions.inputs import refuse_other_end, shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.plans import Calendar, purchase_plan
from bayes_clv.predictions.summaries import simulate_futures
from bayes_clv.schema import CUSTOMER, PERIOD, InputError, Variable, describe
from bayes_clv.units import days_per


def simulate_tracking(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    seed: int,
    draws: int = 1000,
    threads: int | None = None,
) -> xr.Dataset:
    """Return predictive draws of all customers' repeat purchases in each calendar period.

    Parameters
    ----------
    buying
        A buying posterior.
    customers
        Customers of ``clv.summarize``, with first_order and periods.
    seed, threads
        As in ``clv.predict``.
    draws
        Posterior draws to use, evenly spaced within the chains.

    Returns
    -------
    xarray.Dataset
        ``purchases`` (chain, draw, period), counts at the outcome level, and ``observed`` (period). Periods
        up to ``attrs["calibration_periods"]`` are replicated, later ones forecast; a period in which
        observation ended holds both parts. An age of a days is day ceil(a) after the first order, so that
        the days after the first order up to the end of observation are ages in (0, T].

    Raises
    ------
    InputError
        Customers without periods (made from a table), or as in ``clv.predict``.

    Examples
    --------
    >>> tracking = simulate_tracking(buying, customers, seed=1)
    """
    posterior = parameters(buying, "buying", calendar=True, grouped=True).repeated().thin(draws)
    check_customers(customers)
    refuse_other_end(posterior, customers)
    customers = posterior.placed(customers)
    unit_days = days_per(shared_time_unit(buying, customers)) if PERIOD in customers.dims else 0.0
    missing = [name for name in ("first_order", "period_start", "period_purchases") if name not in customers]
    if missing:
        raise InputError(
            f"customers lacks {', '.join(missing)}: purchases per calendar period need the order log. "
            "Build the customers with clv.summarize(orders, ...)."
        )
    start = customers["period_start"].values[0]
    width = float(customers.attrs["period_days"]) / unit_days
    count = customers.sizes[PERIOD]
    # Day d of the calendar is the time (d - 1, d] after day 0, so period 0 began one day before its own.
    birth = _days(customers["first_order"].values - start) / unit_days
    end = _days(np.datetime64(customers.attrs["until"]) - start) / unit_days
    one_day = 1 / unit_days

    keys = customer_keys(customers[CUSTOMER].values, seed, purpose="replicate")
    posterior = posterior.of(customers).until(float(customers.attrs.get("holdout_duration", 0.0)))
    age = np.asarray(customers["T"].values, dtype=float)
    own = apart(posterior.family, keys)
    # A customer of a group is born into it.
    group = {name: customers[name].to_numpy() for name in (PLACE,) if name in posterior.forecast.history}
    births = distinct_histories({"T": age, "birth": birth} | posterior.columns | own | group, keys)
    nothing = {name: 0 * births.columns["T"] for name in posterior.forecast.history if name not in group}
    newborn = replace(births, columns=births.columns | nothing)
    calendar = Calendar(births.columns["birth"] + one_day, width, count)
    total = _period_totals(
        posterior, newborn, keys, births.columns["T"], calendar, threads, start=-births.columns["T"]
    )

    if "holdout_duration" in customers.attrs:
        keys = customer_keys(customers[CUSTOMER].values, seed)
        own = apart(posterior.family, keys)
        histories = distinct_histories(
            purchase_history(customers, posterior.family) | posterior.columns | own, keys
        )
        offset = np.full(histories.columns["T"].size, float(end) + one_day)
        horizon = float(customers.attrs["holdout_duration"])
        total = total + _period_totals(
            posterior, histories, keys, horizon, Calendar(offset, width, count), threads
        )
    tracking = xr.Dataset(
        {
            "purchases": posterior.unstack(total, PERIOD),
            "observed": (PERIOD, customers["period_purchases"].values),
            "period_start": (PERIOD, customers["period_start"].values),
        },
        coords={**posterior.coords(), PERIOD: customers[PERIOD].values},
        attrs={
            name: customers.attrs[name]
            for name in ("time_unit", "until", "holdout_until", "period_days", "calibration_periods")
            if name in customers.attrs
        },
    )
    simulated = Variable("simulated repeat purchase occasions in the period", "count", "outcome")
    return describe(tracking, {"purchases": simulated}).assign_attrs(
        result="tracking", seed=int(seed), draws=posterior.size
    )


def _days(duration: np.ndarray) -> np.ndarray:
    return duration / np.timedelta64(1, "D")


def _period_totals(
    posterior: Parameters,
    histories: Histories,
    keys: np.ndarray,
    horizon: np.ndarray | float,
    calendar: Calendar,
    threads: int | None,
    start: np.ndarray | float = 0.0,
) -> np.ndarray:
    plan = replace(purchase_plan(posterior, histories, keys, horizon, start), calendar=calendar)
    total = simulate_futures(plan, threads=threads).period_total
    assert total is not None
    return total
