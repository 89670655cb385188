"""Returns: what came back is set against what was bought, step by step, and every row and penny is accounted for.

A negative amount is a return. It is set against purchases of the same customer that came before it or on its day:

1. inside its order, where orders have ids: first against the same item, then against the rest of the order;
2. against the same item, where items are named;
3. against what else was bought on its day;
4. against what was bought before.

In 2 and 4 the latest purchases go first. What then is left of a return has nothing to be set against (a purchase before
the log began, say) and is left out. A day of which nothing is left is no purchase.

**The calibration does not know the future.** Returns after ``until`` are set against purchases after it alone; what is
left of them came back of purchases of the calibration, and counts in neither. So a summary to ``until`` is that of the
log as it was on that day.

**One formula for each step.** Purchases and returns of a group in time's order are a stack: a purchase puts its amount
on top, a return takes from the top. With X the running sum of amounts, U = max(0, the highest of -X so far) is what
found nothing to take, and S = X + U the height of the stack; a purchase keeps what lies between the height before it
and the lowest height after it. Running sums, maxima and minima of exact decimals, so that any engine computes it and
the order of the rows does not matter. Rejected: a loop over returns, which needs all orders in memory.

Customers without a return are not touched.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

_MONEY = {"left": "decimal(38, 4)"}

# The money of a row that is still there after each step, by step.
STEPS = {
    "inside": "inside their order, set against its other lines",
    "item": "set against purchases of the same customer and item",
    "day": "set against what the customer bought on the same day",
    "before": "set against what the customer bought before, the latest first",
}


def order_lines(rows: Any, until: dt.date, end: dt.date) -> Any:
    """Return the rows to ``end``, each purchase on the first day of its order; ``late`` is after ``until``."""
    import ibis

    rows = rows.filter(rows.date <= ibis.literal(end))
    rows = rows.mutate(late=rows.date > ibis.literal(until))
    if "order_id" not in rows.columns:
        return rows
    # Lines after ``until`` of an order that began before are not known to be its own.
    keys = ["customer_id", "late", "order_id"]
    bought = rows.filter(rows.spend >= 0) if "spend" in rows.columns else rows
    joined = rows.left_join(bought.group_by(keys).agg(begun=bought.date.min()), keys)
    day = joined.begun.fill_null(joined.date)
    if "spend" in rows.columns:
        day = ibis.ifelse(joined.spend < 0, joined.date, day)
    return joined.select(**{name: joined[name] for name in rows.columns if name != "date"}, date=day)


def settled(lines: Any, keep: Callable[[str, Any], Any] | None = None) -> Any:
    """Return the lines of customers with a return, alike ones together, with what is left of each after every step.

    ``keep`` computes a table once and for all, where the engine does; a step then looks only at groups with a return.
    ``money`` is the amount without its sign, ``back`` says that it came back, ``lines`` how many there are, and
    ``left_inside`` and so on what of it is left after the step.
    """
    keys = ["customer_id", "late", *(name for name in ("order_id", "item") if name in lines.columns)]
    lines = lines.mutate(back=lines.spend < 0)
    if "item" in keys:
        # A missing item is one: engines do not join what is missing.
        lines = lines.mutate(item=lines["item"].fill_null(""))
    units = lines.group_by(*keys, "date", "back").agg(
        money=lines.spend.abs().sum(), lines=lines.count(), free=(lines.spend == 0).sum()
    )
    units = units.mutate(left=units.money)
    own = ["customer_id", "late"]
    steps = {
        "inside": [[*own, "order_id", "item"], [*own, "order_id"]]
        if "item" in keys
        else [[*own, "order_id"]],
        "item": [[*own, "item"]],
        "day": [[*own, "date"]],
        "before": [own],
    }
    ties = [name for name in ("order_id", "item") if name in keys]
    if keep is not None:
        units = keep("units", units)
    for step, groups in steps.items():
        for number, group in enumerate(groups):
            if not set(group) <= {*keys, "date"}:
                continue
            order = ["back", "date", *ties] if step in ("inside", "day") else ["date", "back", *ties]
            if keep is None:
                units = _taken_back(units, group, order)
                continue
            asked = units.filter(units.back & (units.left > 0)).select(group).distinct()
            some = _taken_back(units.semi_join(asked, group).select(units.columns), group, order)
            others = units.anti_join(asked, group).select(units.columns)
            both = some.select(units.columns).cast(_MONEY).union(others.cast(_MONEY))
            units = keep(f"units_{step}_{number}", both)
        units = units.mutate(**{f"left_{step}": units.left})
    return units


def _taken_back(units: Any, group: list[str], order: list[str]) -> Any:
    """Return the lines with what is left of each after the returns of a group took from its purchases."""
    import ibis

    upward = ibis.window(group_by=group, order_by=order, rows=(None, 0))
    onward = ibis.window(group_by=group, order_by=order, rows=(0, None))
    beside = ibis.window(group_by=group, order_by=order)
    signed = ibis.ifelse(units.back, -units.left, units.left)
    units = units.mutate(signed=signed)
    units = units.mutate(balance=units.signed.sum().over(upward))
    units = units.mutate(unmet=ibis.greatest((-units.balance).max().over(upward), 0))
    units = units.mutate(height=units.balance + units.unmet)
    lowest = units.height.min().over(onward)
    below = units.height.lag().over(beside).fill_null(0)
    unmet_before = units.unmet.lag().over(beside).fill_null(0)
    kept = ibis.greatest(ibis.least(lowest - below, units.left), 0)
    units = units.mutate(left=ibis.ifelse(units.back, units.unmet - unmet_before, kept))
    return units.drop("signed", "balance", "unmet", "height")


def net_occasions(units: Any) -> Any:
    """Return one row per customer and day of which something is left; ``gross`` is its money before returns."""
    days = _days(units)
    return days.filter(~days.cancelled).drop("cancelled")


def cancelled(units: Any) -> Any:
    """Return the number of lines, of customers' days and the money of days of which nothing is left."""
    days = _days(units)
    gone = days.filter(days.cancelled)
    return gone.aggregate(
        lines=gone.orders.sum(), days=gone.count(), money=gone.gross.sum(), example=gone.customer_id.min()
    )


def _days(units: Any) -> Any:
    bought = units.filter(~units.back)
    days = bought.group_by("customer_id", "date").agg(
        orders=bought.lines.sum(),
        spend=bought.left.sum(),
        free_orders=bought.free.sum(),
        gross=bought.money.sum(),
    )
    # Free orders are purchases; what was paid and came back is none.
    return days.mutate(cancelled=(days.gross > 0) & (days.spend <= 0))


def accounts(units: Any) -> Any:
    """Return the returned lines and money of each step: ``lines_inside``, ``money_inside`` and so on, and ``unmet``.

    A line counts at the step that settled the last of it.
    """
    import ibis

    back = units.filter(units.back)
    before, sums = back.money, {}
    for step in STEPS:
        left = back[f"left_{step}"]
        sums[f"lines_{step}"] = ibis.ifelse((before > 0) & (left <= 0), back.lines, 0).sum()
        sums[f"money_{step}"] = (before - left).sum()
        before = left
    for name, late in (("unmet", False), ("late", True)):
        own = (before > 0) & (back.late == late)
        sums[f"lines_{name}"] = ibis.ifelse(own, back.lines, 0).sum()
        sums[f"money_{name}"] = ibis.ifelse(own, before, 0).sum()
    return back.aggregate(**sums, example=back.customer_id.min())
