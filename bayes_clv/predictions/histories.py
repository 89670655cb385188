"""Customers as the engine wants them: checked, in a canonical order, as distinct histories.

The future of a customer depends on the history only through its columns, so states are computed once per
distinct row. The canonical order (history, then the customer's random key) makes totals independent of
the order in which customers arrive.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, InputError, example

_HISTORY = ("frequency", "recency", "T")


@dataclass(frozen=True)
class Histories:
    """Distinct histories: ``columns`` (row), ``order`` (customer) sorts customers, ``row`` is sorted.

    ``spread`` turns values of the distinct rows, or of the sorted customers, into the customers' order.
    """

    columns: dict[str, np.ndarray]
    order: np.ndarray
    row: np.ndarray

    def spread(self, values: np.ndarray, *, of_rows: bool = False) -> np.ndarray:
        """Return (row) or sorted (customer) values, on the last axis, in the customers' own order."""
        result = np.empty((*values.shape[:-1], self.order.size), dtype=values.dtype)
        result[..., self.order] = values[..., self.row] if of_rows else values
        return result


def check_customers(customers: xr.Dataset) -> None:
    """Refuse customers that are not a table of possible histories with unique ids."""
    if not isinstance(customers, xr.Dataset) or CUSTOMER not in customers.coords:
        raise InputError(
            "customers must be a Dataset with a 'customer' coordinate, as clv.summarize or "
            f"clv.customers_from_table returns it; got {type(customers).__name__}."
        )
    missing = [name for name in _HISTORY if name not in customers]
    if missing:
        raise InputError(f"customers lacks {', '.join(missing)}; build it with clv.summarize(orders, ...).")
    if customers.sizes[CUSTOMER] == 0:
        raise InputError("customers is empty; there is nothing to predict.")
    ids, counts = np.unique(np.asarray(customers[CUSTOMER].values, dtype=str), return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"customer ids must be unique: {int((counts > 1).sum())} of them repeat, such as "
            f"{ids[counts > 1][0]!r}. Summarise the orders first; one row per customer."
        )
    x, t_x, age = (np.asarray(customers[name].values, dtype=float) for name in _HISTORY)
    possible = np.isfinite(x) & np.isfinite(t_x) & np.isfinite(age) & (x >= 0) & (t_x >= 0) & (t_x <= age)
    possible &= (x > 0) == (t_x > 0)
    if not possible.all():
        raise InputError(
            f"{int((~possible).sum())} customers have an impossible history, such as customer "
            f"{example(customers[CUSTOMER].values, ~possible)}: 0 <= recency <= T must hold, with recency 0 "
            "exactly when frequency is 0. Recency is the age at the last purchase, not days since then."
        )


def distinct_histories(columns: dict[str, np.ndarray], keys: np.ndarray | None = None) -> Histories:
    """Return the distinct rows of equally long columns; ``keys`` (customer, 2) order equal histories."""
    names = list(columns)
    ties = [] if keys is None else [keys[:, 1], keys[:, 0]]
    order = np.lexsort([*ties, *(columns[name] for name in reversed(names))])
    table = np.stack([np.asarray(columns[name], dtype=float)[order] for name in names])
    new = np.r_[True, (np.diff(table, axis=1) != 0).any(axis=0)]
    return Histories(
        columns={name: table[i, new] for i, name in enumerate(names)}, order=order, row=np.cumsum(new) - 1
    )


def purchase_history(customers: xr.Dataset) -> dict[str, np.ndarray]:
    """Return frequency, recency and T as float arrays over customers."""
    return {name: np.asarray(customers[name].values, dtype=float) for name in _HISTORY}


def spend_history(customers: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the number of repeat occasions that inform spend, and their mean.

    Both are 0 where there is no repeat spend (frequency 0, or a mean that is not positive): such a
    customer has the population's spend posterior.
    """
    if "monetary_value" not in customers:
        raise InputError(
            "customers has no monetary_value, so money cannot be predicted. Give the orders a spend column "
            "and summarise them again, or use clv.predict for purchases alone."
        )
    mean = np.asarray(customers["monetary_value"].values, dtype=float)
    informed = (np.asarray(customers["frequency"].values) > 0) & (mean > 0)
    if np.isinf(mean).any():
        raise InputError(f"monetary_value is infinite for {int(np.isinf(mean).sum())} customers.")
    return {
        "occasions": np.where(informed, customers["frequency"].values, 0).astype(float),
        "mean_spend": np.where(informed, mean, 0.0),
    }
