"""From orders to one row per customer: what every model of repeat buying is fitted to.

A purchase occasion is a day with at least one order (Fader, Hardie & Lee 2005 count CDNOW so), the first
occasion makes a customer and the later ones are repeats. Age is counted in days from the first occasion
and divided into the time unit at the end, so that the unit changes numbers by a constant factor only.

The database returns one row per customer and one per period; orders themselves are never fetched. Calendar
periods are counted as all occasions less the first ones, which spares a second pass over each customer.
"""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.customers.orders.audit import account, usable_rows
from bayes_clv.customers.orders.log import open_orders
from bayes_clv.customers.orders.occasions import customer_rows, days_to, purchase_occasions
from bayes_clv.customers.orders.parsing import Columns
from bayes_clv.customers.orders.trends import month_rows, trend_rows
from bayes_clv.customers.periods import add_days, add_periods, day_rows, period_rows
from bayes_clv.customers.sequences import with_times
from bayes_clv.customers.trends import add_trends
from bayes_clv.schema import ALSO, CUSTOMER, InputError, argument, describe
from bayes_clv.units import days_per, discount_rate

type Day = str | dt.date | np.datetime64

# What `summarize` computes on request.


def summarize(
    orders: Any,
    *,
    until: Day | None = None,
    holdout_until: Day | None = None,
    time_unit: str = "week",
    customer_id: str = "customer_id",
    date: str = "date",
    spend: str | None = "spend",
    period_days: int = 7,
    also: Sequence[str] = (),
    holdout_discount_rate: float | None = None,
    on_bad_rows: Literal["refuse", "drop"] = "refuse",
) -> xr.Dataset:
    """Return one row per customer: frequency, recency, T and mean spend, from a log of orders.

    Orders of one customer on one day are one purchase occasion, and their spend is added up. The first
    occasion starts the customer's age and is not a repeat. Customers whose first order comes after
    ``until`` are left out. Whatever is left out is counted in ``attrs["audit"]``.

    Parameters
    ----------
    orders
        Path of a CSV (also ``.csv.gz``, ``.tsv``, ``.txt``) or Parquet file, a pandas DataFrame, an Arrow
        table, or an Ibis table, which is run by its own engine. Ids are compared as text without
        surrounding blanks; dates are days, timestamps without zone (their day counts), ISO text or yyyymmdd.
    until
        Last day of the calibration, itself included. Default: the day of the last order in the log.
    holdout_until
        Last day of the holdout, which starts the day after ``until``. Default: no holdout.
    time_unit
        Unit of recency and T: hour, day, week, month or year.
    customer_id, date, spend
        Names of the columns. ``spend=None`` for a log without amounts. Amounts are rounded to four decimals.
    period_days
        Length in days of the periods in which all repeat occasions are counted.
    also
        What else to compute of each customer: ``"log_spend"``, for ``clv.fit("lognormal_spend", ...)``,
        ``"log_intervals"``, for families that read how regular purchases are, ``"purchase_times"``, for those that read
        when each purchase was made, and ``"purchase_spend"``, when and for how much, for a calendar of spend; and of
        all of them ``"periods"``, for ``clv.fit(..., calendar=...)``, and ``"spend_trends"``, for
        ``clv.scoring.spend_check``.
    holdout_discount_rate
        0.10 for 10 % a year: also compute ``holdout_value``, to score forecasts of value that are discounted at that
        rate (``clv.predict(..., annual_discount_rate=...)``).
    on_bad_rows
        ``"refuse"`` raises InputError for rows that cannot be used (missing id, unreadable date, missing or
        negative spend); ``"drop"`` leaves them out, with a line in the audit.

    Returns
    -------
    xarray.Dataset
        Dimension ``customer`` (ids as text, sorted): ``frequency`` (repeat occasions), ``recency`` and
        ``T`` (in ``time_unit``), ``monetary_value`` (mean spend of the repeat occasions, NaN without),
        ``first_order``, ``first_spend``, ``historical_spend`` (all occasions to ``until``) and, with a
        holdout, ``holdout_purchases`` and ``holdout_spend``. With a ``holdout_discount_rate``, ``holdout_value``: the
        holdout's spend, each occasion's times (1 + rate)^-(years from ``until`` to its day). With
        ``also=("log_spend",)``, mean and standard deviation (sum of squares divided by frequency; 0 for one occasion)
        of the natural logarithm of the repeat occasions' spend, rounded to six decimals an occasion; NaN without a
        repeat, or with one of zero spend. With ``"log_intervals"``, ``log_intervals``: the natural logarithm of the
        time since the previous occasion, in ``time_unit``, summed over the repeat occasions; 0 without one.
        With ``"purchase_times"``, dimension ``repeat_purchase``: ``purchase_times``, the ages (in ``time_unit``) at the
        repeat occasions to ``until``, one customer's after the other's, each rising to its recency; and over
        ``customer``, ``purchase_start``: the customer's times are the ``frequency`` ones from that place on, also of
        customers that were chosen with ``isel``. With ``"purchase_spend"`` also ``purchase_spend``, the spend of these
        occasions, and ``spend_start``, where each customer's begin. With ``"periods"``, dimension ``calendar_day``,
        from the first order to ``until``: ``day_purchases``, the repeat occasions of all customers on the day, and
        ``day_spend``. With ``"spend_trends"``, of the base: over ``spend_trend`` ("age", "order_number")
        ``trend_slope``, the change of a
        customer's log spend per occasion with a year of its age, or with twice the order number, ``trend_error`` and
        ``trend_centre``; over ``spend_month`` ``month_orders``, ``month_deviation`` and ``month_error``, the paid
        repeat occasions of the month, and their log spend less each customer's own mean.
        Dimension ``period``: ``period_start`` and
        ``period_purchases``, the repeat occasions of all these customers from the first order to the end;
        the last period has ``attrs["last_period_days"]`` days. ``attrs["audit"]`` is a JSON list of
        ``what`` (a sentence), ``rows``, ``example`` and ``action``: rows "read" are rows "kept" plus all
        rows "dropped" and "left out"; "note" lines say more about rows that were kept.

    Raises
    ------
    InputError
        For a file that is not a table, a missing column, unusable rows, impossible dates, and a discount rate that is
        no finite number above -1 or has no spend of a holdout to discount.

    Examples
    --------
    >>> from bayes_clv.customers.cdnow import load_cdnow
    >>> customers = summarize(load_cdnow(), until="1997-09-30", time_unit="week")
    >>> customers.sizes["customer"], int(customers["frequency"].sum())
    (2357, 2457)
    """
    unit_days = days_per(time_unit)
    if isinstance(period_days, bool) or not isinstance(period_days, int | np.integer) or period_days < 1:
        raise InputError(f"period_days={period_days!r} must be a whole number of days, 1 or more.")
    last_calibration = None if until is None else read_day(until, "until")
    end = None if holdout_until is None else read_day(holdout_until, "holdout_until")
    daily_discount = _daily_discount(holdout_discount_rate, holdout=end is not None, spend=spend is not None)
    log = open_orders(orders, Columns(customer_id, date, spend))
    rows, audit, first_order, last_order = usable_rows(log, on_bad_rows)

    last_calibration = last_order if last_calibration is None else last_calibration
    _check_split(last_calibration, end, first_order, last_order)
    end = last_calibration if end is None else end
    occasions = purchase_occasions(rows, with_spend=spend is not None)
    unknown = [name for name in also if name not in ALSO]
    if isinstance(also, str) or unknown:
        raise InputError(f"also must be a tuple with some of {', '.join(map(repr, ALSO))}; it is {also!r}.")
    priced = [name for name in also if "spend" in name]
    if priced and spend is None:
        raise InputError(f"also=({priced[0]!r},) needs amounts: name the spend column, or leave it out.")
    rows_wanted = customer_rows(
        occasions,
        last_calibration,
        end,
        log_spend="log_spend" in also,
        regularity="log_intervals" in also,
        daily_discount=daily_discount,
    )
    table = log.fetch(rows_wanted).sort_by("customer_id")
    column = {name: table[name].to_numpy() for name in table.column_names if name != "customer_id"}
    ids = table["customer_id"].to_numpy().astype(object)
    in_base = column["first_order"] <= np.datetime64(last_calibration)
    audit += account(ids, column, in_base, last_calibration, end, last_order)
    ids, column = ids[in_base], {name: values[in_base] for name, values in column.items()}

    dataset = _dataset(ids, column, last_calibration, unit_days, has_holdout=holdout_until is not None)
    if {"purchase_times", "purchase_spend"} & set(also):
        wanted = log.fetch(days_to(occasions, last_calibration, with_spend="purchase_spend" in also))
        days, amounts = _repeat_days(ids, column["first_order"], wanted)
        dataset = with_times(dataset, days / unit_days, dataset["frequency"].to_numpy(), amounts)
    start = column["first_order"].min().item()
    counts = log.fetch(period_rows(occasions, start, last_calibration, end, period_days))
    add_periods(dataset, counts, start, end, period_days)
    if "periods" in also:
        add_days(dataset, log.fetch(day_rows(occasions, last_calibration)), start, last_calibration)
    if "spend_trends" in also:
        sums = (log.fetch(rows(occasions, last_calibration)) for rows in (trend_rows, month_rows))
        add_trends(dataset, *sums)
    dataset.attrs = {
        "time_unit": time_unit.strip().lower().removesuffix("s"),
        "until": last_calibration.isoformat(),
        "period_days": int(period_days),
        "last_period_days": ((end - start).days % int(period_days)) + 1,
        "calibration_periods": ((last_calibration - start).days + 1) // int(period_days),
        "audit": json.dumps(audit, ensure_ascii=False),
    }
    if holdout_until is not None:
        dataset.attrs["holdout_until"] = end.isoformat()
        dataset.attrs["holdout_duration"] = (end - last_calibration).days / unit_days
    if holdout_discount_rate is not None:
        dataset.attrs["holdout_discount_rate"] = float(holdout_discount_rate)
    return describe(dataset)


def purchase_dates(
    orders: Any,
    customer: str | int,
    *,
    customer_id: str = "customer_id",
    date: str = "date",
    spend: str | None = "spend",
    on_bad_rows: Literal["refuse", "drop"] = "refuse",
) -> np.ndarray:
    """Return the days on which one customer bought, sorted, as ``datetime64[D]``.

    The days are the purchase occasions that ``summarize`` counts, the first included, with the same
    columns and the same treatment of bad rows.

    Raises
    ------
    InputError
        For an unknown customer, and for everything ``summarize`` refuses in a log.

    Examples
    --------
    >>> from bayes_clv.customers.cdnow import load_cdnow
    >>> purchase_dates(load_cdnow(), "0001").astype(str).tolist()
    ['1997-01-01', '1997-01-18', '1997-08-02', '1997-12-12']
    """
    log = open_orders(orders, Columns(customer_id, date, spend))
    rows, *_ = usable_rows(log, on_bad_rows)
    key = str(customer).strip()
    days = log.fetch(rows.filter(rows.customer_id == key).select("date").distinct())["date"].to_numpy()
    if days.size == 0:
        some = log.fetch(rows.select("customer_id").distinct().order_by("customer_id").limit(3))[
            "customer_id"
        ]
        raise InputError(
            f"There is no order of customer {key!r} in {log.name}. Ids are compared as text; the first ones "
            f"are {', '.join(map(repr, some.to_pylist()))}."
        )
    return np.sort(days.astype("datetime64[D]"))


def read_day(value: Day, name: str) -> dt.date:
    """Return a day given as ISO text, yyyymmdd, a date, a timestamp or a NumPy datetime."""
    try:
        if isinstance(value, np.datetime64):
            value = value.astype("datetime64[D]").item()
        if isinstance(value, str):
            return dt.datetime.fromisoformat(value.strip()).date()
        # NaT is an instance of datetime and has no date.
        if isinstance(value, dt.datetime) and value == value:
            return value.date()
        if isinstance(value, dt.date) and value == value:
            return value
    except ValueError:
        pass
    raise InputError(f"{argument(name, value)} is not a day. Write it like {argument(name, '1997-09-30')}.")


def _daily_discount(rate: float | None, *, holdout: bool, spend: bool) -> float | None:
    """Return the continuous rate a day that equals ``holdout_discount_rate``, None where there is none."""
    if rate is None:
        return None
    given = argument("holdout_discount_rate", rate)
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number):
        raise InputError(f"{given} must be a number such as 0.10, for 10 % a year.")
    if not holdout:
        raise InputError(
            f"{given} discounts the holdout's spend, and there is no holdout: give {argument('holdout_until')}."
        )
    if not spend:
        raise InputError(f"{given} discounts the holdout's spend: name the spend column, or leave it out.")
    return discount_rate(float(rate), "day")


def _check_split(until: dt.date, end: dt.date | None, first_order: dt.date, last_order: dt.date) -> None:
    if until < first_order:
        raise InputError(
            f"{argument('until', until.isoformat())} is before the first order ({first_order}), so there is no "
            f"customer to summarise. The orders run from {first_order} to {last_order}; choose a day among them."
        )
    if end is not None and end <= until:
        raise InputError(
            f"{argument('holdout_until', end.isoformat())} is not after {argument('until', until.isoformat())}. The "
            f"holdout is what comes after the calibration; leave {argument('holdout_until')} out for no holdout."
        )
    if end is not None and until >= last_order:
        raise InputError(
            f"No order lies in the holdout from {until + dt.timedelta(days=1)} to {end}: the last order is of "
            f"{last_order}, so that nothing can be scored there. Choose {argument('until')} before the last order, or "
            f"leave {argument('holdout_until')} out."
        )


def _dataset(
    ids: np.ndarray, column: dict[str, np.ndarray], until: dt.date, unit_days: float, *, has_holdout: bool
) -> xr.Dataset:
    first = column["first_order"].astype("datetime64[D]")
    frequency = column["occasions"].astype(np.int64) - 1
    values: dict[str, np.ndarray] = {
        "frequency": frequency,
        "recency": (column["last_purchase"].astype("datetime64[D]") - first).astype(np.int64) / unit_days,
        "T": (np.datetime64(until) - first).astype(np.int64) / unit_days,
    }
    if "log_days" in column:
        values["log_intervals"] = column["log_days"] - frequency * np.log(unit_days)
    with_spend = "first_spend" in column
    if with_spend:
        mean = np.full(len(ids), np.nan)
        values["monetary_value"] = np.divide(column["repeat_spend"], frequency, out=mean, where=frequency > 0)
    if "log_sum" in column:
        values |= _log_spend(column, frequency)
    values["first_order"] = first.astype("datetime64[s]")
    if with_spend:
        values["first_spend"] = column["first_spend"]
        values["historical_spend"] = column["historical_spend"]
    if has_holdout:
        values["holdout_purchases"] = column["holdout_purchases"].astype(np.int64)
        if with_spend:
            values["holdout_spend"] = column["holdout_spend"]
        if "holdout_value" in column:
            values["holdout_value"] = column["holdout_value"]
    return xr.Dataset({name: (CUSTOMER, array) for name, array in values.items()}, {CUSTOMER: ids})


def _repeat_days(ids: np.ndarray, first: np.ndarray, rows: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the days since the first occasion at all repeat occasions, the customers in their order, days rising.

    And their spend, where the rows have it.

    Sorted here and not by the engine, which may sort ids by the rules of a language; and a window over each customer's
    days takes the engine twice as long as the first days that are known already.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    owner = pc.index_in(
        rows["customer_id"].cast(pa.string()), value_set=pa.array(ids, pa.string())
    ).to_numpy()
    days = (rows["date"].to_numpy().astype("datetime64[D]") - first.astype("datetime64[D]")[owner]).astype(
        np.int64
    )
    width = int(days.max()) + 1
    place = owner.astype(np.int64) * width + days
    if "spend" not in rows.column_names:
        place.sort()
        sorted_days: np.ndarray = place % width
        return sorted_days[sorted_days > 0], None
    order = np.argsort(place)
    repeat = order[days[order] > 0]
    return days[repeat], rows["spend"].to_numpy()[repeat]


def _log_spend(column: dict[str, np.ndarray], frequency: np.ndarray) -> dict[str, np.ndarray]:
    paid = (frequency > 0) & (column["zero_repeats"] == 0)
    number = np.where(paid, frequency, 1)
    squares = column["log_squares"] - column["log_sum"] ** 2 / number
    # Logarithms are rounded to 1e-6: a smaller sum of squares is that rounding, or the subtraction's.
    squares = np.where((squares < 1e-11 * number) | (number == 1), 0.0, squares)
    return {
        "log_spend_mean": np.where(paid, column["log_sum"] / number, np.nan),
        "log_spend_sd": np.where(paid, np.sqrt(squares / number), np.nan),
    }
