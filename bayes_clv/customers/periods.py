"""Purchases of the whole base by calendar period, and by day."""

import datetime as dt
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.sequences import places
from bayes_clv.schema import CUSTOMER, DAY, PERIOD, InputError


def period_rows(
    occasions: Any, customers: Any, start: dt.date, until: dt.date, end: dt.date, period_days: int
) -> Any:
    """Return the occasions in each period, of customers whose ``first_order`` is not after ``until``."""
    import ibis

    seen = occasions.select("customer_id", "date").filter(occasions.date <= ibis.literal(end))
    if end > until:
        later = seen.date > ibis.literal(until)
        newcomers = customers.filter(customers.first_order > ibis.literal(until)).select("customer_id")
        known = seen.filter(later).anti_join(newcomers, "customer_id").select("customer_id", "date")
        seen = seen.filter(~later).union(known)
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


def day_rows(occasions: Any, until: dt.date) -> Any:
    """Return the occasions of each day to ``until``, and their spend where there are amounts."""
    import ibis

    seen = occasions.filter(occasions.date <= ibis.literal(until))
    # Exact sums: a float would leave a trace of the first spend.
    amounts = {"spend": seen.spend.sum()} if "spend" in occasions.columns else {}
    first = seen.group_by("customer_id").agg(date=seen.date.min(), **_first(seen))
    of_first = first.group_by("date").agg(
        firsts=first.count(), **({"first_spend": first.spend.sum()} if amounts else {})
    )
    days = seen.group_by("date").agg(occasions=seen.count(), **amounts).left_join(of_first, "date")
    repeats = {"purchases": days.occasions - days.firsts.fill_null(0)}
    if amounts:
        repeats["spend"] = (days.spend - days.first_spend.fill_null(0)).cast("float64")
    return days.select(days.date, **repeats)


def _first(seen: Any) -> dict[str, Any]:
    return {"spend": seen.spend.argmin(seen.date)} if "spend" in seen.columns else {}


def add_days(dataset: xr.Dataset, counts: Any, start: dt.date, until: dt.date) -> None:
    """Add the repeat purchases of each day from ``start`` to ``until`` to the dataset, and their spend."""
    size = (until - start).days + 1
    at = (counts["date"].to_numpy().astype("datetime64[D]") - np.datetime64(start)).astype(np.int64)
    dataset.coords[DAY] = (np.datetime64(start) + np.arange(size)).astype("datetime64[s]")
    for name in ("purchases", "spend"):
        if name in counts.column_names:
            given = counts[name].to_numpy()
            found = np.zeros(size, dtype=given.dtype)
            found[at] = given
            dataset[f"day_{name}"] = (DAY, found)


def day_purchases(customers: xr.Dataset, unit_days: float) -> np.ndarray:
    """Return the repeat purchases of all customers on each day, of which the last is that of the end of observation.

    They are what ``summarize(..., also=("periods",))`` counted, or follow from the purchase times.

    Raises InputError where there is neither, and where the counts are not those of these customers.
    """
    bought = int(customers["frequency"].sum())
    if "day_purchases" in customers:
        found = np.asarray(customers["day_purchases"].to_numpy(), dtype=np.float64)
        if int(found.sum()) != bought:
            raise InputError(
                f"'day_purchases' counts {int(found.sum()):,} repeat purchases and these {customers.sizes[CUSTOMER]:,} "
                f"customers made {bought:,}: it is of another base, of which these may be a part. Summarise the orders "
                "of these customers alone with summarize(..., also=('periods',)), or with 'purchase_times', from which "
                "the days of any part follow."
            )
        return found
    if "purchase_times" not in customers:
        raise InputError(
            "A calendar needs the number of repeat purchases on each day. Summarise the orders with "
            "summarize(..., also=('periods',)), or with 'purchase_times'."
        )
    _, ago = purchases_ago(customers)
    days = np.rint(ago * unit_days).astype(np.int64)
    last = int(np.ceil(customers["T"].to_numpy().max() * unit_days))
    return np.bincount(last - days, minlength=last + 1).astype(float)


def purchases_ago(customers: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return of each repeat purchase, customer after customer, whose it is and how long before the end it was."""
    size = customers["frequency"].to_numpy().astype(np.int64)
    own = places(customers["purchase_start"].to_numpy().astype(np.int64), size)
    ago = np.repeat(customers["T"].to_numpy(), size) - customers["purchase_times"].to_numpy()[own]
    return np.repeat(np.arange(size.size), size), ago


def intervals_ago(customers: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct times between purchases: how long before the end they begin and end, and how many there are.

    Raises InputError of customers without purchase times.
    """
    if "purchase_times" not in customers:
        raise InputError(
            "A calendar of regular purchases needs the time of each: between two of them it ran at its own pace. "
            "Summarise the orders with summarize(..., also=('log_intervals', 'purchase_times'))."
        )
    who, ended = purchases_ago(customers)
    begun = np.roll(ended, 1)
    first = np.r_[True, who[1:] != who[:-1]][: who.size]
    begun[first] = customers["T"].to_numpy()[who[first]]
    both, count = np.unique(np.stack([begun, ended]), axis=1, return_counts=True)
    return both[0], both[1], count.astype(np.float64)
