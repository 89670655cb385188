"""From orders to one row per customer: what every model of repeat buying is fitted to.

A purchase occasion is a day with at least one order (Fader, Hardie & Lee 2005 count CDNOW so), the first
occasion makes a customer and the later ones are repeats. Age is counted in days from the first occasion
and divided into the time unit at the end, so that the unit changes numbers by a constant factor only.

The database returns one row per customer and one per period; orders themselves are never fetched. Calendar
periods are counted as all occasions less the first ones, which spares a second pass over each customer.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import id_order
from bayes_clv.customers.orders.audit import (
    Line,
    Usable,
    account,
    beside,
    equal_rows,
    order_notes,
    returned,
    time_notes,
    usable_orders,
)
from bayes_clv.customers.orders.description import Further, OnReturns, Reading, Which
from bayes_clv.customers.orders.further import described
from bayes_clv.customers.orders.log import OrderLog
from bayes_clv.customers.orders.occasions import customer_rows, days_to, purchase_occasions
from bayes_clv.customers.orders.parsing import LARGEST_SPEND, TWIN
from bayes_clv.customers.orders.returns import net_occasions, order_lines, settled
from bayes_clv.customers.orders.sorting import NUMBER, SortedDays, sorted_days
from bayes_clv.customers.orders.trends import month_rows, trend_rows
from bayes_clv.customers.periods import add_days, add_periods, day_rows, period_rows
from bayes_clv.customers.sequences import repeat_days, with_times
from bayes_clv.customers.trends import add_trends
from bayes_clv.schema import ALSO, CUSTOMER, InputError, argument, describe
from bayes_clv.units import days_per, discount_rate

type Day = str | dt.date | np.datetime64

# What sums of logarithms are needed for: engines add them up.
_OF_ENGINES = {"log_spend", "log_intervals"}
# No log of the years 1900 to 2199 is longer.
MOST_PERIOD_DAYS = 109_573


def summarize(
    orders: Any,
    *,
    until: Day | None = None,
    holdout_until: Day | None = None,
    time_unit: str = "week",
    customer_id: str = "customer_id",
    date: str = "date",
    spend: str | None = "spend",
    quantity: str | None = None,
    price: str | None = None,
    order_id: str | None = None,
    item: str | None = None,
    where: str | None = None,
    date_format: str | None = None,
    decimal: Literal[",", "."] | None = None,
    encoding: str | None = None,
    take: str | Sequence[str] | Mapping[str, Which] = (),
    currency: str | None = None,
    period_days: int = 7,
    also: Sequence[str] = (),
    holdout_discount_rate: float | None = None,
    on_returns: OnReturns | None = None,
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
    quantity, price
        Columns whose product is the spend of a row, in place of ``spend``.
    order_id
        Column of the order's id, where a row is a line of an order: its lines are one purchase, on its first day.
    item
        Column of what was bought, against which returns are set first.
    where
        Condition on the rows to use, on any of their columns: ``"status = 'completed' and channel in ('web', 'app')"``.
        Comparisons with texts, numbers, true and false, joined by ``and``; a name that is no word stands in
        backticks. A
        missing value equals nothing.
    date_format
        How dates that are text are written, in the words of ``strptime``: ``"%d/%m/%Y"``, with ``%z`` for a clock with
        a zone, the day as it is written; ``"excel"``, for days as spreadsheets count them (45000 is 2023-03-15);
        ``"unix"``, for seconds since 1970 (or thousandths), the day in UTC. Default: ISO or yyyymmdd.
    decimal
        ``","`` or ``"."``: amounts are text such as 1.234,50 € or $1,234.50, with thousands separators and a currency
        sign, in brackets or with a minus where negative. Default: plain numbers.
    encoding
        How the text of a file is written, as Python calls it: ``"windows-1252"``. Default: UTF-8, and UTF-16 where the
        file begins so.
    take
        Further columns of the orders that describe their customer, for covariates and groups: ``"channel"`` where a
        customer has one value, or ``{"channel": "first"}``, ``"last"`` or ``"most frequent"`` of the orders to
        ``until``.
    currency
        What amounts are called on a page and a terminal, such as ``"£"``; kept in ``attrs``.
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
    on_returns
        Negative amounts are returns. ``"net"``, the default, sets them against what was bought: inside their order,
        against the same item, on their day, before; what has nothing to be set against is left out, and a day of which
        nothing is left is no purchase (``orders/returns.py``). ``"drop"`` leaves returns out and keeps what was
        returned, ``"refuse"`` raises InputError. Losses (a profit per order) are no returns: name the column of what
        was paid, and give a margin.
    on_bad_rows
        ``"refuse"`` raises InputError for rows that cannot be used (missing id, unreadable date, missing
        spend), all faults in one message; ``"drop"`` leaves them out, with a line in the audit.

    Returns
    -------
    xarray.Dataset
        Dimension ``customer`` (ids as text; whole numbers by size, others by their signs): ``frequency`` (repeat
        occasions), ``recency`` and
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
        ``what`` (a sentence), ``rows``, ``money`` (None where there is none), ``example`` and ``action``: rows and
        money
        "read" are those "kept" plus all "netted" (returns), "cancelled" (what came back whole), "dropped" and
        "left out"; "note" lines say more about rows of the others. Ids are text: put a result beside a table with
        ``table["customer_id"].astype(str).map(value.to_series())``.

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
    import pyarrow as pa

    unit_days = days_per(time_unit)
    if (
        isinstance(period_days, bool)
        or not isinstance(period_days, int | np.integer)
        or not 1 <= period_days <= MOST_PERIOD_DAYS
    ):
        raise InputError(
            f"period_days={period_days!r} must be a whole number of days, from 1 to {MOST_PERIOD_DAYS:,}."
        )
    last_calibration = None if until is None else read_day(until, "until")
    end = None if holdout_until is None else read_day(holdout_until, "holdout_until")
    reading = Reading(
        customer_id,
        date,
        spend,
        quantity=quantity,
        price=price,
        order_id=order_id,
        item=item,
        where=where,
        date_format=date_format,
        decimal=decimal,
        encoding=encoding,
        on_returns=on_returns,
        take=take,
    )
    daily_discount = _daily_discount(holdout_discount_rate, holdout=end is not None, spend=reading.priced)
    _check_also(also, priced=reading.priced)
    log, usable = usable_orders(orders, reading, on_bad_rows)
    audit, first_order, last_order = usable.audit, usable.first, usable.last

    last_calibration = last_order if last_calibration is None else last_calibration
    _check_split(last_calibration, end, first_order, last_order)
    end = last_calibration if end is None else end
    occasions, units = occasions_of(log, usable, last_calibration, end)
    equal: list[Line] | None = None
    if isinstance(occasions, SortedDays):
        # Rows are then no longer needed, and go before customers come: of 10^8 they are 4 GB.
        equal = equal_rows(log, usable.rows, occasions) if occasions.several.size else []
        if order_id is None and not reading.take:
            log.forget()
    all_spend = reading.priced and (units is not None or end < last_order or last_calibration < last_order)
    if isinstance(occasions, SortedDays) and daily_discount is None and not set(also) & _OF_ENGINES:
        each, ids = None, occasions.ids()
        column = occasions.customers(last_calibration, end, all_spend=all_spend)
    else:
        rows_wanted = customer_rows(
            as_table(occasions),
            last_calibration,
            end,
            log_spend="log_spend" in also,
            regularity="log_intervals" in also,
            daily_discount=daily_discount,
            last=last_order,
            all_spend=all_spend,
        )
        each = log.keep("customers", rows_wanted)
        table = log.fetch(each)
        column = {name: table[name].to_numpy() for name in table.column_names if name != "customer_id"}
        ids = table["customer_id"].cast(pa.string()).to_numpy(zero_copy_only=False).astype(object)
        order = id_order(ids)
        ids, column = ids[order], {name: values[order] for name, values in column.items()}
    in_base = column["first_order"] <= np.datetime64(last_calibration)
    if not in_base.any():
        raise InputError(
            f"No customer is left: of what was bought to {last_calibration} everything came back. Choose a later "
            f"{argument('until')}, or look at the negative amounts."
        )
    after_end = None if units is None else _after(log, usable.rows, end)
    audit += account(
        ids, column, in_base, last_calibration, end, last_order, noun=reading.noun, after_end=after_end
    )
    if units is not None:
        audit += returned(log, units, last_calibration)
    if order_id is not None:
        audit += order_notes(log, usable.rows)
    if equal is not None or _has_merged(column):
        audit += equal_rows(log, usable.rows, occasions) if equal is None else equal
    audit += time_notes(log, time_unit.strip().lower().removesuffix("s"))
    audit += beside(log)
    ids, column = ids[in_base], {name: values[in_base] for name, values in column.items()}

    dataset = _dataset(ids, column, last_calibration, unit_days, has_holdout=holdout_until is not None)
    if not reading.take:
        log.forget()
    if {"purchase_times", "purchase_spend"} & set(also):
        with_spend = "purchase_spend" in also
        if isinstance(occasions, SortedDays):
            days, amounts = occasions.repeats(last_calibration, with_spend=with_spend)
        else:
            wanted = log.fetch(days_to(occasions, last_calibration, with_spend=with_spend))
            days, amounts = repeat_days(ids, column["first_order"], wanted)
        dataset = with_times(dataset, days / unit_days, dataset["frequency"].to_numpy(), amounts)
    start = column["first_order"].min().item()
    if isinstance(occasions, SortedDays):
        counts = occasions.by_period(start, last_calibration, end, int(period_days))
    else:
        counts = log.fetch(period_rows(occasions, each, start, last_calibration, end, period_days))
    add_periods(dataset, counts, start, end, period_days)
    if "periods" in also:
        by_day = (
            occasions.by_day(last_calibration)
            if isinstance(occasions, SortedDays)
            else log.fetch(day_rows(occasions, last_calibration))
        )
        add_days(dataset, by_day, start, last_calibration)
    if "spend_trends" in also:
        days = as_table(occasions)
        sums = (log.fetch(rows(days, last_calibration)) for rows in (trend_rows, month_rows))
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
    if currency is not None:
        dataset.attrs["currency"] = str(currency)
    return describe(_with_taken(dataset, log, usable, last_calibration))


def purchase_dates(
    orders: Any,
    customer: str | int,
    *,
    customer_id: str = "customer_id",
    date: str = "date",
    spend: str | None = "spend",
    on_bad_rows: Literal["refuse", "drop"] = "refuse",
    **further: Unpack[Further],
) -> np.ndarray:
    """Return the days on which one customer bought, sorted, as ``datetime64[D]``.

    The days are the purchase occasions that ``summarize`` counts, the first included, with the same
    columns and the same treatment of bad rows and returns; ``further`` is what else it is told of the log
    (``quantity``, ``order_id``, ``where``, ...).

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
    log, usable = usable_orders(orders, Reading(customer_id, date, spend, **further), on_bad_rows)
    rows = usable.rows
    key = str(customer).strip()
    own = dataclasses.replace(usable, rows=rows.filter(rows.customer_id == key))
    occasions, _ = occasions_of(log, own, usable.last, usable.last)
    days = log.fetch(as_table(occasions).select("date").distinct())["date"].to_numpy()
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


def occasions_of(log: OrderLog, usable: Usable, until: dt.date, end: dt.date) -> tuple[Any, Any]:
    """Return one row per customer and day with a purchase, and what became of returns where there are some.

    An Ibis table, or SortedDays where ids are whole numbers and nothing came back; ``as_table`` makes it one.
    """
    rows, priced = usable.rows, log.reading.priced
    rows = rows.drop([name for name in rows.columns if name.startswith("taken_") or name == TWIN])
    if not usable.returns:
        # Without returns no sum is above that of all.
        narrow = log.kept and usable.money < LARGEST_SPEND
        lines = rows if log.reading.order_id is None else order_lines(rows, until, end)
        if narrow and NUMBER in lines.columns:
            days = sorted_days(log, lines)
            if days is not None:
                return days, None
        return log.keep("occasions", purchase_occasions(lines, with_spend=priced, narrow=narrow)), None
    rows = rows.drop(NUMBER) if NUMBER in rows.columns else rows
    lines = log.keep("lines", order_lines(rows, until, end))
    touched = lines.filter(lines.spend < 0).select("customer_id").distinct()
    returned_by = lines.semi_join(touched, "customer_id").select(lines.columns)
    units = log.keep("returned_lines", settled(returned_by, log.keep if log.kept else None))
    untouched = purchase_occasions(
        lines.anti_join(touched, "customer_id").select(lines.columns), with_spend=True
    )
    untouched = untouched.mutate(gross=untouched.spend)
    columns = ["customer_id", "date", "orders", "spend", "free_orders", "gross"]
    types = {"spend": "decimal(38, 4)", "gross": "decimal(38, 4)", "orders": "int64", "free_orders": "int64"}
    both = untouched.select(columns).cast(types).union(net_occasions(units).select(columns).cast(types))
    return log.keep("occasions", both), units


def as_table(occasions: Any) -> Any:
    """Return days with purchases as an Ibis table; ``customer_id`` is a whole number where they were sorted."""
    import ibis

    return ibis.memtable(occasions.table()) if isinstance(occasions, SortedDays) else occasions


def _after(log: OrderLog, rows: Any, end: dt.date) -> tuple[int, Any]:
    """Return the rows after the end and their money."""
    import ibis

    later = rows.filter(rows.date > ibis.literal(end))
    found = log.fetch(later.aggregate(rows=later.count(), money=later.spend.sum())).to_pylist()[0]
    return found["rows"], found["money"] or 0


def _with_taken(dataset: xr.Dataset, log: OrderLog, usable: Usable, until: dt.date) -> xr.Dataset:
    """Return the customers with the columns of the orders that describe them, of orders to ``until``."""
    if not log.reading.take:
        return dataset
    import ibis
    import pandas as pd

    from bayes_clv.customers.columns import check_name, with_columns

    table = pd.DataFrame(index=dataset[CUSTOMER].to_numpy())
    rows = usable.rows.filter(usable.rows.date <= ibis.literal(until))
    for place, (name, which) in enumerate(log.reading.take.items()):
        check_name(name)
        found = described(log, rows, name, which, place).to_pandas().set_index("customer_id")["value"]
        if log.path is not None and not pd.api.types.is_numeric_dtype(found) and len(found):
            # Files of text hold numbers as text.
            numbers = pd.to_numeric(found, errors="coerce")
            found = found if numbers.isna().any() else numbers
        table[name] = found.reindex(table.index)
    return with_columns(dataset, table, list(table.columns))


def _has_merged(column: dict[str, np.ndarray]) -> bool:
    """Return whether a customer has several rows on a day."""
    return bool((column["all_orders"] > column["occasions"] + column["holdout_purchases"]).any())


def _check_also(also: Any, *, priced: bool) -> None:
    if isinstance(also, str) or not isinstance(also, Sequence) or any(name not in ALSO for name in also):
        raise InputError(f"also must be a tuple with some of {', '.join(map(repr, ALSO))}; it is {also!r}.")
    of_money = [name for name in also if "spend" in name]
    if of_money and not priced:
        raise InputError(f"also=({of_money[0]!r},) needs amounts: name the spend column, or leave it out.")


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
