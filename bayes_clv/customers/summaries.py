"""From orders to one row per customer: what every model of repeat buying is fitted to.

A purchase occasion is a day with at least one order (Fader, Hardie & Lee 2005 count CDNOW so), the first
occasion makes a customer and the later ones are repeats. Age is counted in days from the first occasion
and divided into the time unit at the end, so that the unit changes numbers by a constant factor only.

The database returns one row per customer and one per period; orders themselves are never fetched. Calendar
periods are counted as all occasions less the first ones, which spares a second pass over each customer.
"""

import datetime as dt
import json
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.customers.orders import PROBLEMS, Columns, OrderLog, advice, open_orders, show_problem
from bayes_clv.schema import CUSTOMER, PERIOD, InputError, days_per, describe

type Day = str | dt.date | np.datetime64


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
    log_spend: bool = False,
    regularity: bool = False,
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
    log_spend
        Also return ``log_spend_mean`` and ``log_spend_sd``, what the lognormal spend model is fitted to.
    regularity
        Also return ``log_intervals``, by which the models of regular timing (``bg_cnbd_k``) know how even the times
        between purchases are.
    on_bad_rows
        ``"refuse"`` raises InputError for rows that cannot be used (missing id, unreadable date, missing or
        negative spend); ``"drop"`` leaves them out, with a line in the audit.

    Returns
    -------
    xarray.Dataset
        Dimension ``customer`` (ids as text, sorted): ``frequency`` (repeat occasions), ``recency`` and
        ``T`` (in ``time_unit``), ``monetary_value`` (mean spend of the repeat occasions, NaN without),
        ``first_order``, ``first_spend``, ``historical_spend`` (all occasions to ``until``) and, with a
        holdout, ``holdout_purchases`` and ``holdout_spend``. With ``log_spend``, mean and standard deviation (sum of
        squares divided by frequency; 0 for one occasion) of the natural logarithm of the repeat occasions' spend,
        rounded to six decimals an occasion; NaN without a repeat, or with one of zero spend. With ``regularity``,
        ``log_intervals``: the natural logarithm of the time since the previous occasion, in ``time_unit``, summed over
        the repeat occasions; 0 without one.
        Dimension ``period``: ``period_start`` and
        ``period_purchases``, the repeat occasions of all these customers from the first order to the end;
        the last period has ``attrs["last_period_days"]`` days. ``attrs["audit"]`` is a JSON list of
        ``what`` (a sentence), ``rows``, ``example`` and ``action``: rows "read" are rows "kept" plus all
        rows "dropped" and "left out"; "note" lines say more about rows that were kept.

    Raises
    ------
    InputError
        For a file that is not a table, a missing column, unusable rows, and impossible dates.

    Examples
    --------
    >>> from bayes_clv.customers import load_cdnow
    >>> customers = summarize(load_cdnow(), until="1997-09-30", time_unit="week")
    >>> customers.sizes["customer"], int(customers["frequency"].sum())
    (2357, 2457)
    """
    unit_days = days_per(time_unit)
    if isinstance(period_days, bool) or not isinstance(period_days, int | np.integer) or period_days < 1:
        raise InputError(f"period_days={period_days!r} must be a whole number of days, 1 or more.")
    last_calibration = None if until is None else read_day(until, "until")
    end = None if holdout_until is None else read_day(holdout_until, "holdout_until")
    log = open_orders(orders, Columns(customer_id, date, spend))
    rows, audit, first_order, last_order = usable_rows(log, on_bad_rows)

    last_calibration = last_order if last_calibration is None else last_calibration
    _check_split(last_calibration, end, first_order, last_order)
    end = last_calibration if end is None else end
    occasions = _occasions(rows, with_spend=spend is not None)
    if log_spend and spend is None:
        raise InputError("log_spend=True needs amounts: name the spend column, or leave log_spend out.")
    rows_wanted = _customer_rows(occasions, last_calibration, end, log_spend=log_spend, regularity=regularity)
    table = log.fetch(rows_wanted).sort_by("customer_id")
    column = {name: table[name].to_numpy() for name in table.column_names if name != "customer_id"}
    ids = table["customer_id"].to_numpy().astype(object)
    in_base = column["first_order"] <= np.datetime64(last_calibration)
    audit += _account(ids, column, in_base, last_calibration, end, last_order)
    ids, column = ids[in_base], {name: values[in_base] for name, values in column.items()}

    dataset = _dataset(ids, column, last_calibration, unit_days, has_holdout=holdout_until is not None)
    start = column["first_order"].min().item()
    counts = log.fetch(_period_rows(occasions, start, last_calibration, end, period_days))
    _add_periods(dataset, counts, start, end, period_days)
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
    return _described(dataset)


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
    >>> from bayes_clv.customers import load_cdnow
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
    raise InputError(f"{name}={value!r} is not a day. Write it like {name}='1997-09-30'.")


def usable_rows(log: OrderLog, on_bad_rows: str) -> tuple[Any, list[dict[str, Any]], dt.date, dt.date]:
    """Return the rows without a problem, the audit so far, and the first and last day of the log."""
    if on_bad_rows not in ("refuse", "drop"):
        raise InputError(f"on_bad_rows={on_bad_rows!r} is not known. Use 'refuse' or 'drop'.")
    by_problem = log.rows.group_by("problem").agg(
        count=log.rows.count(), first=log.rows.date.min(), last=log.rows.date.max()
    )
    found = {row["problem"]: row for row in log.fetch(by_problem).to_pylist()}
    total = sum(row["count"] for row in found.values())
    if total == 0:
        raise InputError(
            f"{log.name[:1].upper()}{log.name[1:]} has columns but no rows. There is nothing to summarise."
        )
    audit = [_line("read", f"Orders read from {log.name}.", total)]
    refusals = []
    for number in sorted(set(found) - {0}):
        count, shown = found[number]["count"], show_problem(log, number)
        column = getattr(log.columns, PROBLEMS[number].role)
        what = f"Column {column!r}: {_count(count, 'row')} of {total:,} with {PROBLEMS[number].what}"
        refusals.append(f"{what}, for example {shown}. {advice(number, shown)}")
        audit.append(_line("dropped", f"{what}: dropped.", count, shown))
    if refusals and on_bad_rows == "refuse":
        raise InputError(
            " ".join(refusals) + " Or pass on_bad_rows='drop' to leave such rows out, counted in the audit."
        )
    if 0 not in found:
        raise InputError("No row is left after dropping. " + " ".join(refusals))
    rows = log.rows.filter(log.rows.problem == 0).drop("problem")
    return rows, audit, found[0]["first"], found[0]["last"]


def _check_split(until: dt.date, end: dt.date | None, first_order: dt.date, last_order: dt.date) -> None:
    if until < first_order:
        raise InputError(
            f"until={until.isoformat()!r} is before the first order ({first_order}), so there is no customer "
            f"to summarise. The orders run from {first_order} to {last_order}; choose a day among them."
        )
    if end is not None and end <= until:
        raise InputError(
            f"holdout_until={end.isoformat()!r} is not after until={until.isoformat()!r}. The holdout is "
            "what comes after the calibration; leave holdout_until out for no holdout."
        )


def _occasions(rows: Any, *, with_spend: bool) -> Any:
    """Return one row per customer and day with an order."""
    amounts = {"spend": rows.spend.sum(), "free_orders": (rows.spend == 0).sum()} if with_spend else {}
    return rows.group_by("customer_id", "date").agg(orders=rows.count(), **amounts)


def _customer_rows(occasions: Any, until: dt.date, end: dt.date, *, log_spend: bool, regularity: bool) -> Any:
    """Return one row per customer, also for those who come after ``until``, who are counted only."""
    import ibis

    if regularity:
        occasions = occasions.mutate(log_days=_log_days(occasions))
    calibration = occasions.date <= ibis.literal(until)
    seen = occasions.date <= ibis.literal(end)
    holdout = ~calibration & seen
    sums = {
        "first_order": occasions.date.min(),
        "last_purchase": occasions.date.max(where=calibration),
        "occasions": calibration.sum(),
        "holdout_purchases": holdout.sum(),
        "all_orders": occasions.orders.sum(),
        "orders": _total(occasions.orders, calibration),
        "holdout_orders": _total(occasions.orders, holdout),
    }
    if "spend" in occasions.columns:
        sums["first_spend"] = occasions.spend.argmin(occasions.date).cast("float64")
        sums["historical_spend"] = _total(occasions.spend, calibration).cast("float64")
        # Taken from the exact sums: a difference of two floats would leave a trace of the first spend.
        repeat = _total(occasions.spend, calibration) - occasions.spend.argmin(occasions.date)
        sums["repeat_spend"] = repeat.cast("float64")
        sums["holdout_spend"] = _total(occasions.spend, holdout).cast("float64")
        sums["free_orders"] = _total(occasions.free_orders, seen)
    if log_spend:
        sums |= _log_sums(occasions, calibration)
    if regularity:
        sums["log_days"] = _total(occasions.log_days, calibration).cast("float64")
    return occasions.group_by("customer_id").agg(**sums)


def _log_days(occasions: Any) -> Any:
    """Return the logarithm of the days since the customer's previous occasion, null at the first.

    A decimal, so that the sum depends neither on the order in which an engine adds nor on that of the intervals.
    """
    import ibis

    before = occasions.date.lag().over(ibis.window(group_by="customer_id", order_by="date"))
    return occasions.date.delta(before, unit="day").cast("float64").ln().cast("decimal(24,12)")


def _log_sums(occasions: Any, calibration: Any) -> dict[str, Any]:
    """Return number of zeros, sum and sum of squares of the logarithm of the repeat occasions' spend.

    In decimals, so that the sums do not depend on the order in which an engine adds; first occasions are taken from
    the exact sums, as in ``_customer_rows``.
    """

    def logarithm(spend: Any) -> Any:
        return spend.cast("float64").nullif(0.0).ln().cast("decimal(18,6)")

    def square(logarithms: Any) -> Any:
        return (logarithms * logarithms).cast("decimal(24,12)")

    first_spend = occasions.spend.argmin(occasions.date)
    first = logarithm(first_spend)
    each = logarithm(occasions.spend)
    return {
        "zero_repeats": (calibration & (occasions.spend == 0)).sum() - (first_spend == 0).cast("int64"),
        "log_sum": (_total(each, calibration) - first.fill_null(0)).cast("float64"),
        "log_squares": (_total(square(each), calibration) - square(first).fill_null(0)).cast("float64"),
    }


def _total(column: Any, where: Any) -> Any:
    return column.sum(where=where).fill_null(0)


def _period_rows(occasions: Any, start: dt.date, until: dt.date, end: dt.date, period_days: int) -> Any:
    """Return the occasions in each period, of customers whose first order is not after ``until``."""
    import ibis

    seen = occasions.select("customer_id", "date").filter(occasions.date <= ibis.literal(end))
    if end > until:
        seen = seen.semi_join(
            seen.filter(seen.date <= ibis.literal(until)).select("customer_id"), "customer_id"
        )
    period = seen.date.delta(ibis.literal(start), unit="day") // int(period_days)
    return seen.mutate(period=period).group_by("period").agg(occasions=lambda table: table.count())


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
    return xr.Dataset({name: (CUSTOMER, array) for name, array in values.items()}, {CUSTOMER: ids})


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


def _add_periods(dataset: xr.Dataset, counts: Any, start: dt.date, end: dt.date, period_days: int) -> None:
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


def _described(dataset: xr.Dataset) -> xr.Dataset:
    described = describe(dataset)
    described["period_start"].attrs = {
        "long_name": f"first day of a period of {dataset.attrs['period_days']} days"
    }
    described["period_purchases"].attrs = {
        "long_name": "repeat purchase occasions in the period",
        "units": "count",
    }
    return described


def _account(
    ids: np.ndarray,
    column: dict[str, np.ndarray],
    in_base: np.ndarray,
    until: dt.date,
    end: dt.date,
    last_order: dt.date,
) -> list[dict[str, Any]]:
    """Return the audit of usable rows: left out, kept, and what there is to say about those kept."""
    calibration, holdout = column["orders"][in_base], column["holdout_orders"][in_base]
    kept = calibration + holdout
    base_ids, audit = ids[in_base], []
    if not in_base.all():
        newcomers = ids[~in_base]
        what = (
            f"{_count(len(newcomers), 'customer')} first ordered after {until}: not among the customers, "
            "all their orders left out."
        )
        audit.append(_line("left out", what, column["all_orders"][~in_base].sum(), newcomers[0]))
    later = column["all_orders"][in_base] - kept
    if later.any():
        audit.append(
            _line(
                "left out",
                f"Orders after {end}, the end of the data used.",
                later.sum(),
                base_ids[later > 0][0],
            )
        )
    split = f" ({calibration.sum():,} to {until}, {holdout.sum():,} after it to {end})" if end > until else ""
    audit.append(_line("kept", f"Orders of {_count(len(base_ids), 'customer')}{split}.", kept.sum()))
    merged = kept - column["occasions"][in_base] - column["holdout_purchases"][in_base]
    if merged.any():
        what = (
            "Orders on a day on which their customer had ordered already: merged into one purchase occasion, "
            "spend added up."
        )
        audit.append(_line("note", what, merged.sum(), base_ids[merged > 0][0]))
    free = column["free_orders"][in_base] if "free_orders" in column else np.zeros(0, np.int64)
    if free.any():
        what = (
            "Orders with zero spend: kept as purchases, which they are to the purchase models; they lower "
            "the mean spend."
        )
        audit.append(_line("note", what, free.sum(), base_ids[free > 0][0]))
    if end > last_order:
        what = (
            f"The last order is of {last_order} and the data used ends {(end - last_order).days} days later, "
            f"on {end}: these count as days on which nobody bought. Choose an earlier end if the log simply "
            "stops."
        )
        audit.append(_line("note", what, 0))
    return audit


def _line(action: str, what: str, rows: Any, example: str = "") -> dict[str, Any]:
    return {"action": action, "what": what, "rows": int(rows), "example": str(example)}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
