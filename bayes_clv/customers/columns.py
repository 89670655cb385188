"""Columns that describe customers beside their history: age, channel, country; attached by id, read with care.

They are variables of the customers Dataset over ``customer``, so that whatever selects or orders customers keeps
each value with its customer.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import customer_ids
from bayes_clv.customers.orders.log import check_columns
from bayes_clv.schema import (
    CHAIN,
    CUSTOMER,
    CUSTOMER_VARIABLES,
    DAY,
    DRAW,
    MONTH,
    PERIOD,
    POINTERS,
    REPEAT_PURCHASE,
    TREND,
    InputError,
    either,
)

if TYPE_CHECKING:
    import pandas as pd

# Names with a meaning of their own in customers, posteriors and predictions; a cohort is a column like any other.
RESERVED = (
    *(CHAIN, DRAW, CUSTOMER, PERIOD, DAY, MONTH, TREND, REPEAT_PURCHASE, "row", "profile", "spend_profile"),
    *(name for name in CUSTOMER_VARIABLES if name != "cohort"),
)


def with_columns(
    customers: xr.Dataset, table: "pd.DataFrame | pd.Series[Any]", columns: str | Sequence[str] | None = None
) -> xr.Dataset:
    """Return the customers with further columns of a table, each value matched by customer id.

    Parameters
    ----------
    customers
        What ``summarize`` returned.
    table
        One row per customer: the ids in a column ``customer_id``, or else in the index. It may hold other
        customers too, in any order. A pandas Series with a name serves as a table of one column.
    columns
        Which columns to attach; all but ``customer_id`` when left out.

    Returns
    -------
    xarray.Dataset
        The customers, in their own order, with the columns as variables over ``customer``. Numbers stay numbers,
        everything else becomes text, true and false stay what they are.

    Raises
    ------
    InputError
        For a missing column, an id that comes twice, customers the table does not have, and a name that the
        customers have already.

    Examples
    --------
    >>> import pandas as pd
    >>> channel = pd.Series("search", index=customers["customer"].values, name="channel")
    >>> with_columns(customers, channel)["channel"].values[:2].tolist()
    ['search', 'search']
    """
    import pandas as pd

    if isinstance(table, pd.Series):
        if table.name is None:
            raise InputError(
                "The Series has no name. Give it the name of the column: series.rename('channel')."
            )
        table = table.to_frame()
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"Columns come from a pandas DataFrame with one row per customer, not from {type(table).__name__!r}."
        )
    if CUSTOMER not in customers.dims or CUSTOMER not in customers.coords:
        raise InputError("These are no customers: there are no ids over 'customer'. Summarise orders first.")
    wanted = _checked_names(table, columns, customers)
    if isinstance(table.index, pd.MultiIndex) and "customer_id" not in table:
        raise InputError("The table has an index of several levels. Put the ids in a column 'customer_id'.")
    ids = customer_ids(table.get("customer_id", table.index))
    place = {key: row for row, key in enumerate(ids)}
    if len(place) < len(ids):
        repeated = len(ids) - len(place)
        first = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise InputError(
            f"{repeated:,} of {len(ids):,} rows have the id of an earlier one, for example {first!r}. A customer has "
            "one value of each column: keep one row each."
        )
    known = [str(key) for key in customers[CUSTOMER].to_numpy()]
    missing = [key for key in known if key not in place]
    if missing:
        hint = "Is 'customer_id', or the index, what the customers are called in the orders? " * (
            len(missing) == len(known)
        )
        raise InputError(
            f"{len(missing):,} of {len(known):,} customers have no row in the table, for example customer "
            f"{missing[0]!r}. {hint}Add their rows, or leave these customers out."
        )
    rows = np.array([place[key] for key in known])
    return customers.assign({name: (CUSTOMER, plain_values(table[name])[rows]) for name in wanted})


def _checked_names(table: Any, columns: str | Sequence[str] | None, customers: Iterable[Any]) -> list[str]:
    names = list(table.columns)
    if columns is None:
        wanted = [name for name in names if name != "customer_id"]
    else:
        wanted = [columns] if isinstance(columns, str) else list(columns)
    check_columns(names, wanted, "the table of columns")
    for name in wanted:
        check_name(name)
        if names.count(name) > 1:
            raise InputError(
                f"The table has {names.count(name)} columns called {name!r}. Rename all but one."
            )
        if name in customers:
            raise InputError(
                f"The customers have a column {name!r} already. Rename the table's, name the columns to attach "
                f"(columns=[...]), or take the old one away first: customers.drop_vars({name!r})."
            )
    return wanted


def check_name(name: Any) -> None:
    """Refuse a name that is no text, or that means something else in this package."""
    if not isinstance(name, str) or not name.strip() or "/" in name:
        raise InputError(
            f"{name!r} cannot be the name of a column: use text, such as 'channel', without '/'."
        )
    if name in RESERVED:
        raise InputError(f"{name!r} means something else in this package. Rename the column.")


def plain_values(column: Any) -> np.ndarray:
    """Return a pandas column as numbers, dates, bools, or an object array of text, None where missing."""
    import pandas as pd

    missing = column.isna().to_numpy()
    if pd.api.types.is_bool_dtype(column) and not missing.any():
        return np.asarray(column.to_numpy(dtype=bool))
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        return np.asarray(column.to_numpy())
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
    texts = [
        None if gone else str(value).strip() for value, gone in zip(column.tolist(), missing, strict=True)
    ]
    return np.array(texts, dtype=object)


def column_values(customers: xr.Dataset, name: str) -> np.ndarray:
    """Return a column of the customers as floats, or as an object array of text; a missing value is refused.

    Bools are text, ``"False"`` and ``"True"``.

    Raises
    ------
    InputError
        For a missing column, a missing or infinite value (with the count and one customer), and dates.
    """
    if name not in customers or customers[name].dims != (CUSTOMER,) or name in POINTERS:
        have = [str(other) for other in customers.data_vars if other not in CUSTOMER_VARIABLES]
        raise InputError(
            f"The customers have no column {name!r}"
            f"{f'; beside their history they have {", ".join(have)}' if have else ''}. Attach it by customer id: "
            f"{either('customers = clv.with_columns(customers, table)', '--columns TABLE')}."
        )
    values = customers[name].to_numpy()
    if values.dtype.kind in "mM":
        raise InputError(
            f"Column {name!r} holds dates. Make it a number (days since a day) or a label (the month, as text) first."
        )
    if values.dtype.kind in "iuf":
        numbers = values.astype(float)
        _refuse_missing(customers, name, ~np.isfinite(numbers))
        return numbers
    if values.dtype.kind == "b":
        return values.astype(str).astype(object)
    listed = values.tolist()
    # A missing value is None, an empty text, or differs from itself (NaN; pandas' NA does not even say so).
    missing = np.array([v is None or type(v).__name__ == "NAType" or bool(v != v) or v == "" for v in listed])
    _refuse_missing(customers, name, missing)
    numeric = (int, float, np.integer, np.floating)
    if all(isinstance(value, numeric) and not isinstance(value, bool) for value in listed):
        numbers = np.array(listed, dtype=float)
        _refuse_missing(customers, name, ~np.isfinite(numbers))
        return numbers
    return np.array([str(value).strip() for value in listed], dtype=object)


def _refuse_missing(customers: xr.Dataset, name: str, missing: np.ndarray) -> None:
    if missing.any():
        shown = str(customers[CUSTOMER].to_numpy()[np.flatnonzero(missing)[0]])
        raise InputError(
            f"Column {name!r} is missing or infinite for {int(missing.sum()):,} of {missing.size:,} customers, for "
            f"example customer {shown!r}. Fill it in, or leave these customers out."
        )


def as_labels(values: np.ndarray) -> np.ndarray:
    """Return the values as text: whole numbers without a decimal point."""
    if values.dtype == object:
        return values
    texts = [str(int(v)) if float(v).is_integer() else repr(float(v)) for v in values.tolist()]
    return np.array(texts, dtype=object)
