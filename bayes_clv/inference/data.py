"""What a family is fitted to: the door its kind of data comes through, its columns, and what cannot be learned from.

Each kind of observation (a family's ``KIND``) has its check, its door for tables made elsewhere, and its refusals:
histories that are possible but from which the family can learn nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.contracts import check_contracts, from_contracts
from bayes_clv.customers.opportunities import check_opportunities, from_opportunities
from bayes_clv.customers.tables import check_customers, from_table
from bayes_clv.distributions.arrays import stretches
from bayes_clv.families.contract import Family
from bayes_clv.schema import CUSTOMER, InputError, also_for, argument

type Columns = dict[str, np.ndarray]

MIN_CUSTOMERS = 2


@dataclass(frozen=True)
class Observed:
    """The columns a family is fitted to, how many customers share each row, and how many it cannot use.

    ``usable`` marks the rows of the data that are among them, ``replicated`` holds the columns that predictive
    checks read, one entry a customer, or None where one is missing.
    """

    columns: Columns
    count: np.ndarray
    left_out: int
    usable: np.ndarray
    replicated: Columns | None


# Of a family, columns, counts and the number of customers: which rows can be used.
Usable = Callable[[Family, Columns, np.ndarray], np.ndarray]


def _repeat_needed(columns: Columns, count: np.ndarray) -> None:
    if not (columns["frequency"] > 0).any():
        raise InputError(
            f"None of the {int(count.sum())} customers has a repeat purchase, so neither purchase rate nor dropout nor "
            "spend can be learned. Take a longer observation window, or check the customer id column: an order id in "
            "its place looks like this."
        )


def _purchases(family: Family, columns: Columns, count: np.ndarray) -> np.ndarray:
    _repeat_needed(columns, count)
    return np.ones(count.size, dtype=bool)


def _spend(family: Family, columns: Columns, count: np.ndarray) -> np.ndarray:
    _repeat_needed(columns, count)
    if "log_spend_mean" in columns:
        usable = (columns["frequency"] > 0) & np.isfinite(columns["log_spend_mean"])
    else:
        usable = (columns["frequency"] > 0) & (columns["monetary_value"] > 0)
    if count[usable].sum() < MIN_CUSTOMERS:
        raise InputError(
            f"{int(count[usable].sum())} of {int(count.sum())} customers have a repeat occasion with a positive mean "
            f"spend; at least {MIN_CUSTOMERS} are needed to learn how spend differs. Check the spend column, or "
            f"forecast purchases alone ({argument('spend', None)})."
        )
    return np.asarray(usable)


def _opportunities(family: Family, columns: Columns, count: np.ndarray) -> np.ndarray:
    bought = columns["frequency"] > 0
    if not bought.any():
        raise InputError(
            f"None of the {int(count.sum())} customers bought at an opportunity after the first purchase, so neither "
            "purchase nor dropout probability can be learned. Observe more opportunities, or check which opportunity "
            "counts as the first purchase (number 0)."
        )
    if (columns["frequency"] == columns["opportunities"]).all():
        raise InputError(
            f"All {int(count.sum())} customers bought at every opportunity, so neither purchase nor dropout "
            "probability can be learned. Are customers or opportunities without a purchase missing from the table?"
        )
    return np.ones(count.size, dtype=bool)


def _contracts(family: Family, columns: Columns, count: np.ndarray) -> np.ndarray:
    lost = columns["active"] == 0
    if not lost.any():
        raise InputError(
            f"All {int(count.sum())} customers are still under contract, so churn cannot be learned. Observe more "
            "renewals, or check the column 'active': 0 is a contract that was not renewed."
        )
    if not (columns["renewals"] > 0).any():
        raise InputError(
            f"None of the {int(count.sum())} customers has made a renewal, so how churn differs between customers "
            "cannot be learned. Observe more renewals; 'renewals' counts those made, without the first period."
        )
    return np.ones(count.size, dtype=bool)


@dataclass(frozen=True)
class Door:
    """How data of one kind come in: from a Dataset, from a table, and which rows can be used."""

    check: Callable[[xr.Dataset], xr.Dataset]
    from_table: Callable[..., xr.Dataset]
    usable: Usable
    advice: str


_SPEND_COLUMN = "Summarize orders that have a spend column, or add the column."


DOORS = {
    "purchases": Door(check_customers, from_table, _purchases, _SPEND_COLUMN),
    "spend": Door(check_customers, from_table, _spend, _SPEND_COLUMN),
    "opportunities": Door(
        check_opportunities,
        from_opportunities,
        _opportunities,
        "Build them with clv.customers.from_opportunities(table); purchases at any time are for a family such as "
        "bg_nbd.",
    ),
    "contracts": Door(
        check_contracts,
        from_contracts,
        _contracts,
        "Build them with clv.customers.from_contracts(table) or clv.customers.from_survivors(counts).",
    ),
}


def checked_customers(family: Family, customers: Any, further: Sequence[str] = ()) -> xr.Dataset:
    """Return the customers as the Dataset of the family's kind, after its checks.

    ``further`` columns, for covariates and groups, are kept of a table.
    """
    door = DOORS[family.kind]
    if not isinstance(customers, xr.Dataset):
        return door.from_table(customers, columns=further) if further else door.from_table(customers)
    if family.kind in ("opportunities", "contracts"):
        _require(family, customers)
    return door.check(customers)


def observed(family: Family, dataset: xr.Dataset) -> Observed:
    """Return what the family is fitted to.

    Raises InputError where columns are missing or nothing can be learned from them.
    """
    _require(family, dataset)
    columns = {name: dataset[name].to_numpy().astype(float) for name in family.observed}
    aggregated = family.kind in ("opportunities", "contracts") and "count" in dataset
    rows = dataset.sizes[CUSTOMER]
    count = dataset["count"].to_numpy().astype(np.int64) if aggregated else np.ones(rows, dtype=np.int64)
    total = int(count.sum())
    if total < MIN_CUSTOMERS:
        raise InputError(
            f"There is {total} customer. How customers differ cannot be learned from fewer than {MIN_CUSTOMERS}; "
            "some hundreds are a sensible start. Is the customer id column the right one?"
        )
    usable = DOORS[family.kind].usable(family, columns, count)
    columns = {name: column[usable] for name, column in columns.items()}
    needed = family.design
    replicated = None
    if all(name in dataset for name in needed):
        read = columns | {name: dataset[name].to_numpy().astype(float)[usable] for name in needed}
        replicated = {name: np.repeat(column, count[usable]) for name, column in read.items()}
    return Observed(columns, count[usable], total - int(count[usable].sum()), usable, replicated)


def checkable(family: Family, data: Observed) -> Columns:
    """Return the columns that predictive checks read; a missing one is refused."""
    if data.replicated is None:
        raise InputError(
            f"Predictive checks of {family.name} need {', '.join(family.design)}: what a lost customer could have "
            "done by the end of observation. Add the column, or leave the predictive groups out of include."
        )
    return data.replicated


def _require(family: Family, dataset: xr.Dataset) -> None:
    missing = [name for name in family.observed if name not in dataset]
    asked = also_for(missing[:1])
    if asked:
        raise InputError(
            f"{family.name} needs {', '.join(family.observed)}, and the customers lack {missing[0]!r}. Summarize the "
            f"orders with summarize(..., also={asked!r}), or add the column."
        )
    if missing:
        raise InputError(
            f"{family.name} needs {', '.join(family.observed)}, and the customers lack {missing[0]!r}. "
            f"{DOORS[family.kind].advice}"
        )


def distinct_rows(
    columns: Mapping[str, np.ndarray], count: np.ndarray | None = None
) -> tuple[Columns, np.ndarray]:
    """Return the distinct rows of the columns, sorted, and how many customers share each.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
        The columns that define a row.
    count : array, shape (n,), optional
        Weight of each row; 1 when left out.

    Examples
    --------
    >>> rows, count = distinct_rows({"frequency": np.array([2, 0, 2])})
    >>> rows["frequency"].tolist(), count.tolist()
    ([0, 2], [1, 2])
    """
    values = [np.asarray(column) for column in columns.values()]
    weight = np.ones(values[0].shape[0], dtype=np.int64) if count is None else np.asarray(count)
    order = np.lexsort(values[::-1])
    sorted_values = [column[order] for column in values]
    first = np.flatnonzero(stretches(sorted_values)[0])
    return (
        {name: column[first] for name, column in zip(columns, sorted_values, strict=True)},
        np.add.reduceat(weight[order], first),
    )


def select(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> Columns:
    """Return the named columns, in that order."""
    return {name: columns[name] for name in names}
