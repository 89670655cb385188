"""The customer-base audit: five looks at an order log, counted by the database and fitted by nobody.

The five lenses of Fader, Hardie & Ross (2022, "The Customer-Base Audit"): customers differ within one period; they
change from one period to the next; one cohort (those who came in one period) over its life; two cohorts at the same
age; and the whole base, which is its cohorts on top of each other. Everything is a sum over customers and calendar
periods, so that the database returns a few rows and no orders.

A period is of the calendar (month, quarter or year), since that is how a business reports. The first and the last of a
log are seldom whole, which ``whole`` says: a part of a quarter is not less business.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.customers.orders.audit import usable_orders
from bayes_clv.customers.orders.description import OnReturns, Reading
from bayes_clv.customers.summaries import Day, as_table, occasions_of, read_day
from bayes_clv.schema import PERIOD, InputError, Variable, argument, describe

COHORT = "cohort"
DECILE = "decile"
FLOW = "flow"
ORDERS = "orders_made"
FLOWS = ("stayed", "returned", "new", "lapsed")
# So many orders and more are one class.
MOST_ORDERS = 6
# A shop that opens after a holiday has a whole first period all the same.
LATE_START = dt.timedelta(days=6)
PERIODS = {"month": 12, "quarter": 4, "year": 1}
_TRUNCATE: dict[str, Literal["M", "Q", "Y"]] = {"month": "M", "quarter": "Q", "year": "Y"}

_OWN = {
    "active": Variable("customers who bought in the period", "count"),
    "orders": Variable("purchase days of the period", "count"),
    "spend": Variable("spend of the period", "money"),
    "whole": Variable("whether the log covers the whole period", "none"),
    "cohort_size": Variable("customers whose first order fell into the period", "count"),
    "cohort_active": Variable("customers of the cohort who bought in the period", "count"),
    "cohort_orders": Variable("purchase days of the cohort in the period", "count"),
    "cohort_spend": Variable("spend of the cohort in the period", "money"),
    "flow_customers": Variable("customers who did so, against the period before", "count"),
    "flow_spend": Variable("what they spent in the period", "money"),
    "flow_spend_before": Variable("what they had spent in the period before", "money"),
    "spent_more": Variable("customers who stayed and spent more than the period before", "count"),
    "decile_customers": Variable("customers of the tenth", "count"),
    "decile_orders": Variable("purchase days of the tenth", "count"),
    "decile_spend": Variable("spend of the tenth", "money"),
    "orders_customers": Variable("customers with so many purchase days in the period", "count"),
}


def audit_base(
    orders: Any,
    *,
    period: Literal["month", "quarter", "year"] = "quarter",
    until: Day | None = None,
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
    currency: str | None = None,
    on_returns: OnReturns | None = None,
    on_bad_rows: Literal["refuse", "drop"] = "refuse",
) -> xr.Dataset:
    """Return the customer base by calendar period, cohort, tenth and who stayed, came or lapsed.

    Parameters
    ----------
    orders
        A table or a file, as in ``clv.summarize``.
    customer_id, date, spend, quantity, price, order_id, item, where, date_format, decimal, encoding, on_returns
    on_bad_rows
        As in ``clv.summarize``; without amounts (``spend=None``) purchases are counted and tenths are by purchases.
    period
        Calendar periods: ``"month"``, ``"quarter"`` or ``"year"``.
    until
        Last day to look at, itself included. Default: the day of the last order.
    currency
        What amounts are called.

    Returns
    -------
    xarray.Dataset
        Counts and sums of money, no estimates. Over ``period`` (the first day of each): ``active`` customers,
        ``orders`` (days with a purchase), ``spend``, and ``whole``, whether the log covers it. Over ``cohort``, the
        period of the first order: ``cohort_size``, and by ``period`` ``cohort_active``, ``cohort_orders`` and
        ``cohort_spend`` (NaN before the cohort). Over (period, ``flow``), against the period before:
        ``flow_customers`` who stayed (bought in both), returned (bought again after a period without), are new, and
        lapsed (bought before and not now), ``flow_spend`` and ``flow_spend_before``; ``spent_more`` (period), how many
        of who stayed. Over (period, ``decile``), the tenth who spent most first: ``decile_customers``,
        ``_orders`` and ``_spend``. Over (period, ``orders_made``): ``orders_customers``, the last class six and more.

    Raises
    ------
    InputError
        As ``clv.summarize``; a period that is not known; a log of a single period.

    Notes
    -----
    As in ``clv.summarize`` the orders of one day are one purchase, and returns are set against what was bought.

    Examples
    --------
    >>> found = audit_base(clv.load_cdnow())
    >>> found["active"].values.tolist()
    [2357.0, 524.0, 418.0, 404.0, 384.0, 300.0]
    """
    if period not in PERIODS:
        raise InputError(f"{argument('period', period)} is not known. Use one of {', '.join(PERIODS)}.")
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
    )
    log, usable = usable_orders(orders, reading, on_bad_rows)
    end = usable.last if until is None else read_day(until, "until")
    if end < usable.first:
        raise InputError(
            f"{argument('until', end.isoformat())} is before the first order ({usable.first}). Choose a later day."
        )
    occasions, _ = occasions_of(log, usable, end, end)
    each = log.keep(
        "customer_periods", _customer_periods(as_table(occasions), period, end, priced=reading.priced)
    )
    first, last = (
        int(log.fetch(each.aggregate(n=found))["n"][0].as_py()) for found in (each.at.min(), each.at.max())
    )
    if last == first:
        raise InputError(
            f"All orders to {end} are of one {period}, and an audit compares: take shorter periods with "
            f"{argument('period')}, or a longer log."
        )
    priced = ["spend"] if reading.priced else []
    found = _filled(log, each, first, last - first + 1, priced)
    starts = np.array([_start(at, period) for at in range(first, last + 1)], dtype="datetime64[D]")
    ends = _start(last + 1, period)
    whole = np.ones(starts.size, dtype=bool)
    whole[0] = usable.first - starts[0].item() <= LATE_START
    whole[-1] &= end >= ends - dt.timedelta(days=1)
    dataset = xr.Dataset(
        {**found, "whole": (PERIOD, whole)},
        coords={
            PERIOD: starts.astype("datetime64[ns]"),
            COHORT: starts.astype("datetime64[ns]"),
            FLOW: np.array(FLOWS, dtype=object),
            DECILE: np.arange(1, 11),
            ORDERS: np.arange(1, MOST_ORDERS + 1),
        },
        attrs={
            "result": "base audit",
            "by": period,
            "from": usable.first.isoformat(),
            "until": end.isoformat(),
            "customers": int(found["cohort_size"][1].sum()),
        }
        | ({"currency": str(currency)} if currency else {}),
    )
    return describe(dataset, _OWN)


def label_of(start: Any, period: str) -> str:
    """Return what a period is called: 2011, 2011 Q1 or 2011-01.

    >>> label_of("2011-04-01", "quarter")
    '2011 Q2'
    """
    day = np.datetime64(start, "D").item()
    if period == "year":
        return str(day.year)
    return f"{day.year} Q{(day.month + 2) // 3}" if period == "quarter" else f"{day.year}-{day.month:02d}"


def _start(at: int, period: str) -> dt.date:
    """Return the first day of a period by its number."""
    year, part = divmod(at, PERIODS[period])
    return dt.date(year, 1 + part * (12 // PERIODS[period]), 1)


def _customer_periods(occasions: Any, period: str, end: dt.date, *, priced: bool) -> Any:
    """Return one row a customer and period with a purchase: its number, orders, spend, cohort and neighbours."""
    import ibis

    seen = occasions.filter(occasions.date <= ibis.literal(end))
    numbers = {
        "month": seen.date.year() * 12 + seen.date.month() - 1,
        "quarter": seen.date.year() * 4 + seen.date.quarter() - 1,
        "year": seen.date.year(),
    }
    at = seen.mutate(at=numbers[period].cast("int64"))
    sums = {"orders": at.count()} | ({"spend": at.spend.sum()} if priced else {})
    each = at.group_by("customer_id", "at").agg(**sums)
    own = ibis.window(group_by="customer_id", order_by="at")
    before = {"spend_before": each.spend.lag().over(own)} if priced else {}
    return each.mutate(
        cohort=each["at"].min().over(ibis.window(group_by="customer_id")),
        at_before=each["at"].lag().over(own),
        at_after=each["at"].lead().over(own),
        **before,
    )


def _filled(log: Any, each: Any, first: int, size: int, priced: Sequence[str]) -> dict[str, Any]:
    """Return the variables of the audit, over all ``size`` periods from the number ``first`` on."""
    sums = {name: each[name].sum().cast("float64") for name in ("orders", *priced)}
    counts = {"customers": each.count(), **sums}
    of_cohorts = _rows(log, each.group_by("cohort", "at").agg(**counts))
    cohort, at = (of_cohorts[name].astype(int) - first for name in ("cohort", "at"))
    names = ("customers", "orders", *priced)
    data: dict[str, Any] = {}
    come = np.arange(size)[:, None] <= np.arange(size)
    for name in names:
        grid = np.zeros((size, size))
        grid[cohort, at] = of_cohorts[name]
        stem = "active" if name == "customers" else name
        data[stem] = (PERIOD, grid.sum(axis=0))
        data[f"cohort_{stem}"] = ((COHORT, PERIOD), np.where(come, grid, np.nan))
    data["cohort_size"] = (COHORT, np.diag(data["cohort_active"][1]).copy())
    data |= _flows(log, each, first, size, priced)
    data |= _tenths(log, each, first, size, names)
    classes = each.mutate(made=_least(each.orders, MOST_ORDERS))
    rows = _rows(log, classes.group_by("at", "made").agg(n=classes.count()))
    table = np.zeros((size, MOST_ORDERS))
    table[rows["at"].astype(int) - first, rows["made"].astype(int) - 1] = rows["n"]
    data["orders_customers"] = ((PERIOD, ORDERS), table)
    return data


def _flows(log: Any, each: Any, first: int, size: int, priced: Sequence[str]) -> dict[str, Any]:
    """Return who stayed, returned, is new and lapsed; NaN in the first period, which has none before."""
    import ibis

    kind = ibis.cases(
        (each["at"] == each.cohort, "new"), (each.at_before == each["at"] - 1, "stayed"), else_="returned"
    )
    here = each.mutate(kind=kind)
    sums = {"customers": here.count()}
    if priced:
        sums |= {
            "spend": here.spend.sum().cast("float64"),
            "before": here.spend_before.sum(where=here.kind == "stayed").cast("float64"),
            "more": (here.spend > here.spend_before).sum(where=here.kind == "stayed"),
        }
    rows = _rows(log, here.group_by("at", "kind").agg(**sums))
    left = each.filter(
        (each.at_after.isnull() | (each.at_after != each["at"] + 1)) & (each["at"] < first + size - 1)
    )
    left = left.mutate(later=left["at"] + 1)
    gone_sums = {"customers": left.count()} | ({"before": left.spend.sum().cast("float64")} if priced else {})
    gone = _rows(log, left.group_by("later").agg(**gone_sums))
    tables = {name: np.zeros((size, len(FLOWS))) for name in ("customers", "spend", "before")}
    more = np.zeros(size)
    for place, flow, row in zip(
        rows["at"].astype(int) - first, rows["kind"], range(rows["at"].size), strict=True
    ):
        for name in ("customers", *(["spend", "before"] if priced else [])):
            tables[name][place, FLOWS.index(str(flow))] = np.nan_to_num(float(rows[name][row] or 0.0))
        if priced and flow == "stayed":
            more[place] = rows["more"][row]
    lapsed = gone["later"].astype(int) - first
    tables["customers"][lapsed, FLOWS.index("lapsed")] = gone["customers"]
    if priced:
        tables["before"][lapsed, FLOWS.index("lapsed")] = gone["before"]
    for table in (*tables.values(), more):
        table[0] = np.nan
    found: dict[str, Any] = {"flow_customers": ((PERIOD, FLOW), tables["customers"])}
    if priced:
        found |= {
            "flow_spend": ((PERIOD, FLOW), tables["spend"]),
            "flow_spend_before": ((PERIOD, FLOW), tables["before"]),
            "spent_more": (PERIOD, more),
        }
    return found


def _tenths(log: Any, each: Any, first: int, size: int, names: Sequence[str]) -> dict[str, Any]:
    """Return what each tenth of a period's customers did, those who spent (or bought) most first."""
    import ibis

    by = each.spend if "spend" in names else each.orders
    order = ibis.window(group_by="at", order_by=[by.desc(), each.customer_id])
    # ntile counts from 0.
    tenth = each.mutate(tenth=ibis.ntile(10).over(order))
    sums = {"customers": tenth.count()} | {
        name: tenth[name].sum().cast("float64") for name in names if name != "customers"
    }
    rows = _rows(log, tenth.group_by("at", "tenth").agg(**sums))
    found: dict[str, Any] = {}
    for name in names:
        table = np.zeros((size, 10))
        table[rows["at"].astype(int) - first, rows["tenth"].astype(int)] = rows[name]
        found[f"decile_{name}"] = ((PERIOD, DECILE), table)
    return found


def _least(column: Any, most: int) -> Any:
    import ibis

    return ibis.least(column, ibis.literal(most))


def _rows(log: Any, expression: Any) -> dict[str, np.ndarray]:
    """Return an expression's rows by column."""
    table = log.fetch(expression)
    return {name: table[name].to_numpy() for name in table.column_names}
