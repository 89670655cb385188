"""An order log read once, for whoever summarises it many times: at many days, over many holdouts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.customers.orders.audit import usable_orders
from bayes_clv.customers.orders.description import Reading


@dataclass(frozen=True)
class UsableOrders:
    """The usable rows as an Ibis table of (customer_id, date, spend), and what they are.

    ``table`` has ``order_id`` and ``item`` too where they are named, and returns as negative amounts; ``named`` is what
    ``summarize(table, **named)`` must be told of it. ``days`` are the days with an order, rising (datetime64[D]),
    ``audit`` the lines so far. Of files and data frames
    the rows are parsed and kept in the embedded engine, so that ``summarize(orders=table)`` parses no text again.
    """

    table: Any
    days: np.ndarray
    audit: list[dict[str, Any]]
    named: dict[str, Any]


def read_usable(orders: Any, reading: Reading, on_bad_rows: str) -> UsableOrders:
    """Return the usable orders; refuses what ``summarize`` refuses of a log."""
    log, usable = usable_orders(orders, reading, on_bad_rows)
    bought = usable.rows.filter(usable.rows.spend >= 0) if usable.returns else usable.rows
    days = log.fetch(bought.select("date").distinct())["date"].to_numpy().astype("datetime64[D]")
    named: dict[str, Any] = {"spend": "spend" if reading.priced else None, "on_returns": reading.on_returns}
    named |= {role: role for role in ("order_id", "item") if role in usable.rows.columns}
    if usable.returns:
        named["on_returns"] = "net"
    return UsableOrders(usable.rows, np.sort(days), usable.audit, named)
