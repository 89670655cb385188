"""Purchases per calendar period as they were forecast: how many periods lie inside their band, and how far off."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import CHAIN, DRAW, PERIOD, InputError, interval, quantiles
from bayes_clv.scoring.forecasts import Forecasts
from bayes_clv.units import days_per

# A count of periods inside the band is too low where the model itself brings one as low this rarely.
RARE = 0.01
PARTS = ("calibration", "holdout")
# The shortest period of which several make a month.
MONTH_DAYS = 28


def tracking_counts(tracking: xr.Dataset) -> xr.Dataset:
    """Return how many weeks and months of all customers' purchases lie inside their 90 % band.

    A band that holds nine weeks in ten by itself says little of how many of 39 it holds together: weeks share the
    parameters' error, so that the model's own count varies more than a binomial one. What is to be expected is
    therefore taken from the simulation: each draw is counted against the band of all.

    Parameters
    ----------
    tracking
        The result of ``clv.scoring.simulate_tracking``.

    Returns
    -------
    xarray.Dataset
        Over ``part`` ("calibration", "holdout") and ``periods`` ("week", or "7 days" of another length; "month", the
        weeks that begin in it): ``number`` of periods, ``inside``, those whose observed purchases lie in the closed
        interval between the 5 and 95 % quantiles of the draws, ``above``, those with more, ``expected``, the mean count
        inside of the draws, and ``lower``: the model itself brings fewer inside in less than 1 % of draws, so that a
        lower count is a miss. A last period that is cut short, and one in which observation ends, are left out; a part
        without periods has NaN.

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
    drawn = (
        tracking["purchases"].transpose(CHAIN, DRAW, PERIOD).to_numpy().reshape(-1, tracking.sizes[PERIOD])
    )
    observed = tracking["observed"].to_numpy()
    start = np.asarray(tracking["period_start"].to_numpy().astype("datetime64[D]"))
    width = int(tracking.attrs["period_days"])
    until = np.datetime64(str(tracking.attrs["until"]))
    end = np.datetime64(str(tracking.attrs.get("holdout_until", until)))
    last = start + np.timedelta64(width - 1, "D")
    of_part = {
        "calibration": np.flatnonzero(last <= until),
        "holdout": np.flatnonzero((start > until) & (last <= end)),
    }
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
            name: (
                ("part", "periods"),
                values,
                {"long_name": words[name], "units": "count", "level": "outcome"},
            )
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


def _errors(tracking: xr.Dataset | None, customers: xr.Dataset, total: float) -> dict[str, float]:
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


def tracking_measures(
    forecasts: Forecasts, tracked: Mapping[str, xr.Dataset], reasons: list[str]
) -> list[dict[str, Any]]:
    """Return what is measured of each forecast over the calendar, where a tracking is given."""
    customers = forecasts.customers
    for tracking in tracked.values():
        if "period_purchases" not in customers or not np.array_equal(
            tracking["observed"].values, customers["period_purchases"].values
        ):
            raise InputError(
                "The tracking is not of these customers: the observed purchases per period differ. Give "
                "clv.scoring.simulate_tracking of the customers that carry the holdout."
            )
    if not tracked:
        return []
    later = customers["period_start"].values > np.datetime64(str(customers.attrs["until"]))
    empty = int((customers["period_purchases"].values[later] == 0).sum())
    if not later.any():
        reasons.append(say("No whole period lies in the holdout, so that there is nothing to track."))
    if empty:
        reasons.append(
            say("tracking: {empty} periods without a purchase have no relative error.", empty=empty)
        )
    rows: list[dict[str, Any]] = []
    for name, future in forecasts.each.items():
        row: dict[str, Any] = {}
        if later.any() and "purchases_mean" in future:
            total = float(future["purchases_mean"].values.sum())
            row |= _errors(tracked.get(name), customers, total)
        if name in tracked:
            row |= {f"tracking_{key}": each.values for key, each in tracking_counts(tracked[name]).items()}
        rows.append(row)
    return rows
