"""An order log read once, for whoever summarises it many times: at many days, over many holdouts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.customers.orders.audit import usable_rows
from bayes_clv.customers.orders.log import open_orders
from bayes_clv.customers.orders.parsing import Columns


@dataclass(frozen=True)
class UsableOrders:
    """The usable rows as an Ibis table of (customer_id, date, spend), and what they are.

    ``days`` are the days with an order, rising (datetime64[D]), ``audit`` the lines so far. Of files and data frames
    the rows are parsed and kept in the embedded engine, so that ``summarize(orders=table)`` parses no text again.
    """

    table: Any
    days: np.ndarray
    audit: list[dict[str, Any]]


def read_usable(orders: Any, columns: Columns, on_bad_rows: str) -> UsableOrders:
    """Return the usable orders; refuses what ``summarize`` refuses of a log."""
    log = open_orders(orders, columns)
    rows, audit, *_ = usable_rows(log, on_bad_rows)
    days = log.fetch(rows.select("date").distinct())["date"].to_numpy().astype("datetime64[D]")
    return UsableOrders(rows, np.sort(days), audit)
