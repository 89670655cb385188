"""Purchases of the whole base per calendar period."""

import datetime as dt
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import PERIOD


def period_rows(occasions: Any, start: dt.date, until: dt.date, end: dt.date, period_days: int) -> Any:
    """Return the occasions in each period, of customers whose first order is not after ``until``."""
    import ibis

    seen = occasions.select("customer_id", "date").filter(occasions.date <= ibis.literal(end))
    if end > until:
        seen = seen.semi_join(
            seen.filter(seen.date <= ibis.literal(until)).select("customer_id"), "customer_id"
        )
    period = seen.date.delta(ibis.literal(start), unit="day") // int(period_days)
    return seen.mutate(period=period).group_by("period").agg(occasions=lambda table: table.count())


def add_periods(dataset: xr.Dataset, counts: Any, start: dt.date, end: dt.date, period_days: int) -> None:
    """Add purchases and new customers of each calendar period to the dataset."""
    periods = (end - start).days // period_days + 1
    firsts = (
        (dataset["first_order"].to_numpy() - np.datetime64(start)).astype("timedelta64[D]").astype(np.int64)
    )
    purchases = np.zeros(periods, np.int64)
    purchases[counts["period"].to_numpy().astype(np.int64)] = counts["occasions"].to_numpy()
    purchases -= np.bincount(firsts // period_days, minlength=periods)
    starts = np.datetime64(start) + period_days * np.arange(periods)
    dataset.coords[PERIOD] = np.arange(periods)
    dataset["period_start"] = (PERIOD, starts.astype("datetime64[s]"))
    dataset["period_purchases"] = (PERIOD, purchases)
