"""Customers as the engine wants them: checked, in a canonical order, as distinct histories.

The future of a customer depends on the history only through its columns, so states are computed once per
distinct row. The canonical order (history, then the customer's random key) makes totals independent of
the order in which customers arrive.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_clv.distributions.arrays import stretches
from bayes_clv.families.contract import LEVEL, Family, Forecast, SpendLevel, need
from bayes_clv.schema import InputError, also_for


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
        place = np.empty(self.order.size, dtype=np.int64)
        place[self.order] = self.row if of_rows else np.arange(self.order.size)
        return np.take(values, place, axis=-1)


def distinct_histories(columns: dict[str, np.ndarray], keys: np.ndarray | None = None) -> Histories:
    """Return the distinct rows of equally long columns; ``keys`` (customer, 2) order equal histories."""
    ties = [] if keys is None else [keys[:, 1], keys[:, 0]]
    order = np.lexsort([*ties, *reversed(columns.values())])
    table = {name: np.asarray(column, dtype=float)[order] for name, column in columns.items()}
    new, row = stretches(table.values())
    return Histories(columns={name: column[new] for name, column in table.items()}, order=order, row=row)


def purchase_history(customers: xr.Dataset, family: Family) -> dict[str, np.ndarray]:
    """Return the columns that the family's forecasts take, as float arrays over customers."""
    names = need(family, Forecast).history
    missing = [name for name in names if name not in customers]
    if missing:
        raise InputError(
            f"{family.words.title} forecasts from {', '.join(names)}, and the customers lack {missing[0]!r}. Summarise "
            f"the orders with summarize(..., also={also_for(missing[:1])!r}), or add the column."
        )
    return {name: np.asarray(customers[name].values, dtype=float) for name in names}


def recency_last(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns with recency as the last, so that those alike but for it become neighbours.

    Purchases to come depend on it in most families by the chance of being alive only.
    """
    return {name: columns[name] for name in sorted(columns, key=lambda each: each == "recency")}


# The column that tells customers apart.
WHO = "customer"


def apart(family: Family, keys: np.ndarray) -> dict[str, np.ndarray]:
    """Return the column that makes each customer a history of its own where the family draws its future, else none.

    It is the rank of the customer's key (``keys`` (customer, 2)), which does not depend on the order of arrival.
    """
    if need(family, Forecast).futures is None:
        return {}
    rank = np.empty(keys.shape[0])
    rank[np.lexsort((keys[:, 1], keys[:, 0]))] = np.arange(keys.shape[0])
    return {WHO: rank}


def spend_history(customers: xr.Dataset, family: Family) -> dict[str, np.ndarray]:
    """Return the number of repeat occasions that inform spend, and their mean, as the family reads it (``level``).

    Both are 0 where there is no repeat spend (frequency 0, or a mean that is not positive, or no mean log spend):
    such a customer has the population's spend posterior. Further columns that the family reads are as they are.
    """
    level = need(family, SpendLevel)
    further = [name for name in level.reads if name not in LEVEL]
    missing = [name for name in further if name not in customers]
    if missing:
        raise InputError(
            f"{family.words.title} predicts from {', '.join(further)}, and the customers lack {missing[0]!r}. "
            f"Summarise the orders with summarize(..., also={also_for(missing[:1])!r})."
        )
    found = _log_spend_history(customers) if level.level == "log_spend_mean" else _spend_history(customers)
    return found | {name: np.asarray(customers[name].values, dtype=float) for name in further}


def _spend_history(customers: xr.Dataset) -> dict[str, np.ndarray]:
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


def _log_spend_history(customers: xr.Dataset) -> dict[str, np.ndarray]:
    if "log_spend_mean" not in customers:
        raise InputError(
            "customers has no log_spend_mean, which the lognormal spend model predicts from. Summarise the orders "
            "with summarize(..., also=('log_spend',))."
        )
    mean = np.asarray(customers["log_spend_mean"].values, dtype=float)
    informed = (np.asarray(customers["frequency"].values) > 0) & np.isfinite(mean)
    return {
        "occasions": np.where(informed, customers["frequency"].values, 0).astype(float),
        "mean_spend": np.where(informed, mean, 0.0),
    }
