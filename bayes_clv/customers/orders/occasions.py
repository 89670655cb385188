"""From usable rows to one row a customer and day, then one a customer: expressions that any engine can run."""

import datetime as dt
from typing import Any

from bayes_clv.customers.orders.parsing import SPEND


def purchase_occasions(rows: Any, *, with_spend: bool, narrow: bool = False) -> Any:
    """Return one row per customer and day with an order.

    ``narrow`` keeps spend in 64 bits, in which DuckDB adds up in two thirds of the time: where no sum is 10^14.
    """
    amounts = {}
    if with_spend:
        spend = rows.spend.sum()
        amounts = {"spend": spend.cast(SPEND) if narrow else spend, "free_orders": (rows.spend == 0).sum()}
    return rows.group_by("customer_id", "date").agg(orders=rows.count(), **amounts)


def customer_rows(
    occasions: Any,
    until: dt.date,
    end: dt.date,
    *,
    log_spend: bool,
    regularity: bool,
    daily_discount: float | None = None,
    all_spend: bool = False,
    last: dt.date | None = None,
) -> Any:
    """Return one row per customer, also for those who come after ``until``, who are counted only.

    ``all_spend`` asks for the money of all occasions, before returns where there are any (``gross``).
    ``last``, where given, is the day of the last order: if it is no later than ``until``, no sum asks for a row's day,
    which halves the time of ten million.
    ``daily_discount``, where given, is the continuous rate at which the holdout's spend is discounted to ``until``.
    """
    import ibis

    if regularity:
        occasions = occasions.mutate(log_days=_log_days(occasions))
    calibration = occasions.date <= ibis.literal(until)
    seen = occasions.date <= ibis.literal(end)
    holdout = ~calibration & seen
    known = None if last is not None and last <= until else calibration
    with_holdout = end > until and known is not None
    sums = {
        "first_order": occasions.date.min(),
        "last_purchase": occasions.date.max(where=known),
        "occasions": occasions.count(where=known),
        "holdout_purchases": holdout.sum() if with_holdout else ibis.literal(0, "int64"),
        "all_orders": occasions.orders.sum(),
        "orders": _total(occasions.orders, known),
        "holdout_orders": _total(occasions.orders, holdout) if with_holdout else ibis.literal(0, "int64"),
    }
    if "spend" in occasions.columns:
        sums["first_spend"] = occasions.spend.argmin(occasions.date).cast("float64")
        sums["historical_spend"] = _total(occasions.spend, known).cast("float64")
        # Taken from the exact sums: a difference of two floats would leave a trace of the first spend.
        repeat = _total(occasions.spend, known) - occasions.spend.argmin(occasions.date)
        sums["repeat_spend"] = repeat.cast("float64")
        late = _total(occasions.spend, holdout) if with_holdout else ibis.literal(0, "int64")
        sums["holdout_spend"] = late.cast("float64")
        if daily_discount is not None:
            value = _discounted(occasions, holdout, until, daily_discount)
            sums["holdout_value"] = _total(value, holdout).cast("float64")
        sums["free_orders"] = _total(occasions.free_orders, None if known is None else seen)
        if all_spend:
            paid = occasions.gross if "gross" in occasions.columns else occasions.spend
            sums["all_spend"] = paid.sum().cast("float64")
    if log_spend:
        sums |= _log_sums(occasions, calibration)
    if regularity:
        sums["log_days"] = _total(occasions.log_days, calibration).cast("float64")
    return occasions.group_by("customer_id").agg(**sums)


def days_to(occasions: Any, until: dt.date, *, with_spend: bool = False) -> Any:
    """Return one row per customer and day with an order to ``until``, and its spend where that is asked for."""
    import ibis

    seen = occasions.filter(occasions.date <= ibis.literal(until))
    amounts = {"spend": seen.spend.cast("float64")} if with_spend else {}
    return seen.select(seen.customer_id, seen.date, **amounts)


def _discounted(occasions: Any, holdout: Any, until: dt.date, daily_discount: float) -> Any:
    """Return the spend of the holdout's occasions, discounted from their days to ``until``.

    A decimal, so that the sum does not depend on the order in which an engine adds.
    """
    import ibis

    # The calibration's days lie before, where discounting would blow amounts up.
    days = holdout.ifelse(occasions.date.delta(ibis.literal(until), unit="day"), 0)
    factor = (-daily_discount * days.cast("float64")).exp()
    return (occasions.spend.cast("float64") * factor).cast("decimal(30,8)")


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
    the exact sums, as in ``customer_rows``.
    """
    import ibis

    def logarithm(spend: Any) -> Any:
        return spend.cast("float64").nullif(0.0).ln().cast("decimal(18,6)")

    def square(logarithms: Any) -> Any:
        return (logarithms * logarithms).cast("decimal(24,12)")

    first_spend = occasions.spend.argmin(occasions.date)
    first = logarithm(first_spend)
    each = logarithm(occasions.spend)
    return {
        # No cast of a truth value to a number: PostgreSQL knows none.
        "zero_repeats": (calibration & (occasions.spend == 0)).sum() - ibis.ifelse(first_spend == 0, 1, 0),
        "log_sum": (_total(each, calibration) - first.fill_null(0)).cast("float64"),
        "log_squares": (_total(square(each), calibration) - square(first).fill_null(0)).cast("float64"),
    }


def _total(column: Any, where: Any) -> Any:
    return column.sum(where=where).fill_null(0)
