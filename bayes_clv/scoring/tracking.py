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
from bayes_clv.predictions.histories import Histories, apart, distinct_histories, purchase_history
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.plans import Calendar, purchase_plan
from bayes_clv.predictions.summaries import simulate_futures
from bayes_clv.schema import (
    CHAIN,
    CUSTOMER,
    DRAW,
    PERIOD,
    InputError,
    Variable,
    describe,
    interval,
    quantiles,
)
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
    posterior = parameters(buying, "buying").repeated().thin(draws)
    check_customers(customers)
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
    posterior = posterior.of(customers)
    age = np.asarray(customers["T"].values, dtype=float)
    own = apart(posterior.family, keys)
    births = distinct_histories({"T": age, "birth": birth} | posterior.columns | own, keys)
    nothing = dict.fromkeys(posterior.forecast.history, 0 * births.columns["T"])
    newborn = replace(births, columns=births.columns | nothing)
    calendar = Calendar(births.columns["birth"] + one_day, width, count)
    total = _period_totals(posterior, newborn, keys, births.columns["T"], calendar, threads)

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


# A count of periods inside the band is too low where the model itself brings one as low this rarely.
RARE = 0.01
PARTS = ("calibration", "holdout")
# The shortest period of which several make a month.
MONTH_DAYS = 28


def tracking_counts(tracking: xr.Dataset) -> xr.Dataset:
    """Return how many weeks and months of all customers' purchases lie inside their 90 % band.

    A band that holds nine weeks in ten by itself says little of how many of 39 it holds together: weeks share the
    parameters' error, so that the model's own count varies more than a binomial one. What is to be expected is therefore
    taken from the simulation: each draw is counted against the band of all.

    Parameters
    ----------
    tracking
        The result of ``clv.scoring.simulate_tracking``.

    Returns
    -------
    xarray.Dataset
        Over ``part`` ("calibration", "holdout") and ``periods`` ("week", or "7 days" of another length; "month", the
        weeks that begin in it): ``number`` of periods, ``inside``, those whose observed purchases lie in the closed
        interval between the 5 and 95 % quantiles of the draws, ``above``, those with more, ``expected``, the draws' mean count, and ``lower``: the
        model itself brings fewer inside in less than 1 % of draws, so that a lower count is a miss. A last period that
        is cut short, and one in which observation ends, are left out; a part without periods has NaN.

    Raises
    ------
    InputError
        What is no tracking.

    Examples
    --------
    >>> tracking = clv.scoring.simulate_tracking(buying, customers, seed=1, draws=50)
    >>> counts = tracking_counts(tracking).sel(part="holdout", periods="week")
    >>> int(counts["number"])
    39
    """
    missing = [name for name in ("purchases", "observed", "period_start") if name not in tracking]
    if missing or "until" not in tracking.attrs:
        raise InputError("This is no tracking. Give the result of clv.scoring.simulate_tracking.")
    drawn = tracking["purchases"].transpose(CHAIN, DRAW, PERIOD).to_numpy().reshape(-1, tracking.sizes[PERIOD])
    observed = tracking["observed"].to_numpy()
    start = tracking["period_start"].to_numpy().astype("datetime64[D]")
    width = int(tracking.attrs["period_days"])
    until = np.datetime64(str(tracking.attrs["until"]))
    end = np.datetime64(str(tracking.attrs.get("holdout_until", until)))
    last = start + (width - 1)
    of_part = {"calibration": last <= until, "holdout": (start > until) & (last <= end)}
    groups = {"week" if width == 7 else f"{width} days": np.arange(start.size)}
    if width < MONTH_DAYS:
        groups["month"] = np.unique(start.astype("datetime64[M]"), return_inverse=True)[1]
    counts = {
        name: np.full((len(PARTS), len(groups)), np.nan)
        for name in ("number", "inside", "above", "expected", "lower")
    }
    for i, part in enumerate(PARTS):
        for j, group in enumerate(groups.values()):
            found = _inside(drawn[:, of_part[part]], observed[of_part[part]], group[of_part[part]])
            for name, number in found.items():
                counts[name][i, j] = number
    words = {
        "number": "whole periods",
        "inside": "periods inside the 90 % band",
        "above": "periods above the 90 % band",
        "expected": "periods inside that the model expects",
        "lower": "periods inside below which the model itself has less than 1 % of its draws",
    }
    return xr.Dataset(
        {
            name: (("part", "periods"), values, {"long_name": words[name], "units": "count", "level": "outcome"})
            for name, values in counts.items()
        },
        coords={"part": list(PARTS), "periods": list(groups)},
        attrs={"result": "tracking counts", "draws": drawn.shape[0]},
    )


def _inside(drawn: np.ndarray, observed: np.ndarray, group: np.ndarray) -> dict[str, float]:
    """Return how many sums over groups of periods are inside the band of their draws, (draw, period)."""
    if group.size == 0:
        return {"number": 0}
    firsts = np.unique(group, return_index=True)[1]
    sums, real = np.add.reduceat(drawn, firsts, axis=1), np.add.reduceat(observed, firsts)
    low, high = interval(sums, axis=0)
    own = ((low <= sums) & (sums <= high)).sum(axis=1)
    return {
        "number": firsts.size,
        "inside": int(((low <= real) & (real <= high)).sum()),
        "above": int((real > high).sum()),
        "expected": float(own.mean()),
        "lower": float(quantiles(own, (RARE,))[0]),
    }


def tracking_errors(
    tracking: xr.Dataset | None, customers: xr.Dataset, total: float
) -> dict[str, float]:
    """Return the mean relative errors per period and of the running total, over whole periods of the holdout.

    A total without a tracking of its own is spread evenly over the days of the holdout.
    """
    later = customers["period_start"].values > np.datetime64(str(customers.attrs["until"]))
    observed = customers["period_purchases"].values[later]
    if tracking is None:
        days = np.full(customers.sizes[PERIOD], float(customers.attrs["period_days"]))
        days[-1] = float(customers.attrs.get("last_period_days", days[-1]))
        unit_days = days_per(str(customers.attrs["time_unit"]))
        series = total * days[later] / (float(customers.attrs["holdout_duration"]) * unit_days)
    else:
        series = np.asarray(tracking["purchases"].mean((CHAIN, DRAW)).values)[later]
    return {
        "tracking_incremental": mean_relative_error(series, observed),
        "tracking_cumulative": mean_relative_error(np.cumsum(series), np.cumsum(observed)),
    }


def mean_relative_error(forecast: np.ndarray, observed: np.ndarray) -> float:
    """Return the mean absolute relative error of a series, over the periods in which something was observed."""
    real = observed > 0
    return float(np.abs(forecast[real] / observed[real] - 1).mean()) if real.any() else float("nan")


def _days(duration: np.ndarray) -> np.ndarray:
    return duration / np.timedelta64(1, "D")


def _period_totals(
    posterior: Parameters,
    histories: Histories,
    keys: np.ndarray,
    horizon: np.ndarray | float,
    calendar: Calendar,
    threads: int | None,
) -> np.ndarray:
    plan = replace(purchase_plan(posterior, histories, keys, horizon), calendar=calendar)
    total = simulate_futures(plan, threads=threads).period_total
    assert total is not None
    return total
