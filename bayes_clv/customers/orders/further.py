"""Columns of the orders that describe their customer: one value each, or the first, last or most frequent, by name."""

from typing import Any

from bayes_clv.customers.orders.log import OrderLog
from bayes_clv.customers.orders.parsing import MISSING_WORDS
from bayes_clv.schema import InputError, argument


def described(log: OrderLog, rows: Any, name: str, which: str, place: int) -> Any:
    """Return an Arrow table of ``customer_id`` and ``value``, for the customers who have one in ``rows``."""
    role = f"taken_{place}"
    value = rows[role]
    kind = value.type()
    if kind.is_date() or kind.is_timestamp() or kind.is_nested() or kind.is_binary():
        raise InputError(
            f"Column {name!r} holds {kind}, which describes no customer here. Make it a number or a label (the "
            "month, as "
            f"text), or leave it out of {argument('take')}."
        )
    given = value.notnull()
    if kind.is_string():
        value = value.strip()
        given = given & ~value.lower().isin(MISSING_WORDS)
    elif kind.is_floating():
        given = given & ~value.isnan()
    elif kind.is_decimal():
        value = value.cast("float64")
    known = rows.select("customer_id", "date", value=value, given=given)
    known = known.filter(known.given).drop("given")
    return log.fetch(_chosen(log, known, name, which))


def _chosen(log: OrderLog, known: Any, name: str, which: str) -> Any:
    if which == "one":
        each = known.group_by("customer_id").agg(value=known.value.min(), other=known.value.max())
        _refuse_several(log, each, name)
        return each.drop("other")
    if which == "most frequent":
        counts = known.group_by("customer_id", "value").agg(times=known.count())
        most = counts.group_by("customer_id").agg(most=counts.times.max())
        top = counts.inner_join(most, "customer_id")
        top = top.filter(top.times == top.most)
        # Of several that are as frequent, the first by alphabet or size.
        return top.group_by("customer_id").agg(value=top.value.min())
    edge = known.group_by("customer_id").agg(at=known.date.min() if which == "first" else known.date.max())
    on_day = known.inner_join(edge, "customer_id")
    on_day = on_day.filter(on_day.date == on_day["at"])
    return on_day.group_by("customer_id").agg(value=on_day.value.min())


def _refuse_several(log: OrderLog, each: Any, name: str) -> None:
    several = each.filter(each.value != each.other)
    count = log.fetch(several.aggregate(customers=several.count()))["customers"].to_pylist()[0]
    if not count:
        return
    shown = log.fetch(several.order_by("customer_id").limit(1)).to_pylist()[0]
    raise InputError(
        f"Column {name!r}: {count:,} customer{' has' if count == 1 else 's have'} several values, for example customer "
        f"{shown['customer_id']!r} {shown['value']!r} and {shown['other']!r}. Say which counts: "
        f"{argument('take', {name: 'first'})}, 'last' or 'most frequent'; a value that comes to be known after "
        f"{argument('until')} is not looked at."
    )
