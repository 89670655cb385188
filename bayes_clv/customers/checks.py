"""What every door asks of ids, numbers and counts.

An impossible history is an error, not a small probability, so the checks stand at each door and again where a model is
fitted or predicts, since a Dataset can be edited in between.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.orders.parsing import EXACT_FLOAT, MISSING_WORDS
from bayes_clv.schema import CUSTOMER, InputError


def check_ids(dataset: xr.Dataset, made_with: str) -> np.ndarray:
    """Return the customers' ids after refusing a dataset without them, without rows or with an id twice."""
    if not isinstance(dataset, xr.Dataset):
        raise InputError(
            f"The customers are a {type(dataset).__name__}, and not an xarray Dataset. "
            f"Make them with {made_with}."
        )
    if CUSTOMER not in dataset.dims or CUSTOMER not in dataset.coords:
        raise InputError(
            f"The customers have no dimension {CUSTOMER!r} with ids. Make them with {made_with}."
        )
    if dataset.sizes[CUSTOMER] == 0:
        raise InputError("There are no customers: the dataset has no rows. Check how it was selected.")
    ids = dataset[CUSTOMER].to_numpy()
    repeated = dataset.indexes[CUSTOMER].duplicated()
    if repeated.any():
        count = int(repeated.sum())
        raise InputError(
            f"{count:,} row{' has' if count == 1 else 's have'} the id of an earlier one, for example "
            f"{str(ids[repeated][0])!r}. "
            "Each customer has one row: keep one, or summarise the orders anew."
        )
    return np.asarray(ids)


def check_count(dataset: xr.Dataset, ids: np.ndarray) -> None:
    """Refuse a ``count``, the customers who share a row, that is not a whole number from 1."""
    if "count" not in dataset:
        return
    count = np.asarray(dataset["count"].to_numpy(), dtype=float)
    check_numbers(ids, "count", count)
    check_counts(ids, "count", count)
    refuse_rows(
        ids,
        (count != np.floor(count)) | (count == 0),
        "count",
        count,
        "no whole number from 1",
        "It is how many customers share the row: leave out rows without customers.",
    )


def check_numbers(
    ids: np.ndarray, name: str, values: np.ndarray, where: np.ndarray | bool = True, why: str = ""
) -> None:
    """Refuse numbers that are not finite, with the customers that have them."""
    advice = (why + " Correct or leave out these customers.").strip()
    refuse_rows(ids, where & np.isnan(values), name, values, "missing (NaN)", advice)
    refuse_rows(ids, where & np.isinf(values), name, values, "infinite", advice)
    refuse_rows(ids, where & (values < 0), name, values, "negative", advice)


def check_counts(ids: np.ndarray, name: str, values: np.ndarray) -> None:
    """Refuse counts that a whole number of 64 bits, or a decimal number, does not hold exactly."""
    refuse_rows(
        ids,
        np.isfinite(values) & (np.abs(values) >= EXACT_FLOAT),
        name,
        values,
        "2^53 or more",
        "It is a count: correct or leave out these customers.",
    )


def refuse_rows(
    ids: np.ndarray,
    bad: np.ndarray,
    name: str,
    values: np.ndarray,
    what: str,
    advice: str,
    beside: tuple[str, np.ndarray] | None = None,
) -> None:
    """Raise InputError if any row is bad."""
    if not bad.any():
        return
    row = np.flatnonzero(bad)[0]
    shown = f"customer {str(ids[row])!r} with {name} {values[row]:g}"
    if beside is not None:
        shown += f" and {beside[0]} {beside[1][row]:g}"
    count = int(bad.sum())
    raise InputError(
        f"{name!r} is {what} for {count:,} of {len(ids):,} customers, for example {shown}. {advice}"
    )


def as_numbers(column: Any, name: str) -> np.ndarray:
    """Return the column as float64; text that is no number is refused."""
    import pandas as pd

    try:
        if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
            raise TypeError
        if pd.api.types.is_complex_dtype(column):
            raise TypeError
        values: np.ndarray = column.to_numpy(dtype=float, na_value=np.nan)
        return values
    except (ValueError, TypeError):
        number = pd.to_numeric(column, errors="coerce")
        bad = column[np.asarray(number.isna() & column.notna())]
        bad = bad if len(bad) else column
        raise InputError(
            f"Column {name!r} has {len(bad):,} of {len(column):,} values that are not numbers, for example "
            f"{str(bad.iloc[0])!r}. Convert the column; durations are numbers in one unit."
        ) from None


def customer_ids(column: Any) -> np.ndarray:
    """Return ids as text: whole numbers without a decimal point, missing ones refused."""
    texts = []
    missing = 0
    for value in column.tolist():
        if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
            value = int(value)
        text = str(value).strip()
        missing += text.lower() in MISSING_WORDS
        texts.append(text)
    if missing:
        raise InputError(
            f"{missing:,} of {len(texts):,} customers have no id. Give each an id, or leave out the column "
            "'customer_id' to use the index."
        )
    return np.array(texts, dtype=object)


def id_order(ids: np.ndarray) -> np.ndarray:
    """Return the order of ids, an object array of text: by size where all are whole numbers, else by their signs.

    So 2 comes before 10, as in whoever's table the ids are numbers; "002" is no number but a text.
    """
    import pyarrow as pa

    texts = pa.array(ids, pa.string())
    try:
        numbers = texts.cast(pa.int64())
        if numbers.cast(pa.string()).equals(texts):
            return np.argsort(numbers.to_numpy(), kind="stable")
    except pa.ArrowInvalid:
        pass
    return np.argsort(ids, kind="stable")
