"""Tables of any kind as Arrow columns that every engine can read: by position, under the names of their roles.

Engines take names that differ only in case for one, and know fewer types than Arrow, pandas and Polars have. So the
wanted columns alone are handed on, under names of ours; a type that no engine has goes as text.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_clv.customers.orders.parsing import EXACT_FLOAT, as_text
from bayes_clv.schema import InputError

_FIRST, _BEYOND = np.datetime64("0001-01-01", "D"), np.datetime64("10000-01-01", "D")


def names_of(orders: Any) -> list[Any]:
    """Return the names of a data frame's columns; what is no table is refused."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(orders, pd.DataFrame):
        return list(orders.columns)
    if isinstance(orders, pd.Series):
        raise InputError(
            f"The orders are one column, the Series {str(orders.name)!r}. Pass the table with the columns of id, "
            "date and "
            "spend."
        )
    names = orders.schema.names if isinstance(orders, pa.Table) else getattr(orders, "columns", [])
    if any(isinstance(name, str) and "\0" in name for name in names):
        raise InputError(
            "A column's name holds the character NUL, which other programs take for its end. Rename it."
        )
    return list(names)


def arrow_columns(orders: Any, roles: Mapping[str, str], check: Any) -> Any:
    """Return the columns of a data frame that have a role, by role, as an Arrow table.

    ``check`` refuses names that are not there, given the list of those that are.
    """
    import pandas as pd
    import pyarrow as pa

    if isinstance(orders, pd.DataFrame):
        names = list(orders.columns)
        for name in dict.fromkeys(roles.values()):
            if names.count(name) == 0 and name in orders.index.names:
                raise InputError(
                    f"{name!r} is the index of the order log, not a column. Pass orders.reset_index()."
                )
        check(names)
        places = {role: names.index(name) for role, name in roles.items()}
        return pa.table(
            {role: _of_pandas(orders.iloc[:, place], roles[role]) for role, place in places.items()}
        )
    if not hasattr(orders, "__arrow_c_stream__"):
        raise InputError(
            f"Orders of type {type(orders).__name__!r} cannot be read. Pass the path of a CSV or Parquet "
            "file, a pandas DataFrame, an Arrow table or an Ibis table."
        )
    if hasattr(orders, "get_column"):
        # Polars has types that its tables cannot hand over; a column that nobody asked for must not matter.
        check(list(orders.columns))
        return pa.table({role: _of_polars(orders.get_column(name), name) for role, name in roles.items()})
    try:
        table = orders if isinstance(orders, pa.Table) else pa.table(orders)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        raise InputError(
            f"Orders of type {type(orders).__name__!r} are no table. Pass a table with the columns of id, date "
            "and spend."
        ) from None
    check(list(table.schema.names))
    places = {role: table.schema.names.index(name) for role, name in roles.items()}
    return pa.table({role: _plain(table.column(place), roles[role]) for role, place in places.items()})


def _of_pandas(column: Any, name: str) -> Any:
    import pandas as pd
    import pyarrow as pa

    # Periods are not refused, though no engine has them: their text is an id as good as any, and as a date it is read
    # where the period is a day or less (2020-01-31), and refused as any other text where it is longer (2020-01).
    if isinstance(column.dtype, pd.PeriodDtype | pd.IntervalDtype):
        return _texts([None if pd.isna(value) else str(value) for value in column], name)
    if isinstance(column.dtype, pd.SparseDtype):
        # Arrow takes none, and as texts 2.5 would be an id.
        column = column.sparse.to_dense()
    try:
        array = pa.array(column, from_pandas=True)
        if column.dtype == object and pa.types.is_floating(array.type) and _has_large(column):
            raise OverflowError
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Values of several types: their text, as each of them would be written to a CSV file.
        array = _texts([None if _is_missing(pd, value) else as_text(value) for value in column], name)
    mixed = column.dtype == object and pa.types.is_timestamp(getattr(array, "type", pa.null()))
    if mixed and any(getattr(value, "tzinfo", None) is not None for value in column):
        # Arrow moves a zoned time beside others to UTC, without a word.
        array = _texts([None if pd.isna(value) else str(value) for value in column], name)
    return _plain(array, name)


def _has_large(column: Any) -> bool:
    """Return whether whole numbers are among floats that would not be exact as one."""
    return any(isinstance(value, int) and abs(value) >= EXACT_FLOAT for value in column)


def _of_polars(column: Any, name: str) -> Any:
    import pyarrow as pa

    try:
        array = column.to_arrow()
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        array = None
    if array is None or pa.types.is_fixed_size_binary(array.type):
        # Whole numbers of 128 bits have no Arrow type, and of objects the addresses are handed over.
        array = _texts([None if value is None else as_text(value) for value in column.to_list()], name)
    return _plain(array, name)


def _is_missing(pd: Any, value: Any) -> bool:
    found = pd.isna(value)
    return found if isinstance(found, bool) else False


def _texts(values: list[str | None], name: str) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, pa.string())
    except UnicodeError:
        bad = [
            each for each in values if each is not None and any("\ud800" <= sign <= "\udfff" for sign in each)
        ]
        raise InputError(
            f"Column {name!r} has {len(bad):,} of {len(values):,} values with half a character (a lone surrogate), for "
            f"example {bad[0]!a}: they were read with a wrong encoding. Read the file as UTF-8 and try again."
        ) from None


def _plain(array: Any, name: str) -> Any:
    """Return a column in a type that every engine has; what has no such type goes as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks > 1 else _only_chunk(array)
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            raise InputError(
                f"Column {name!r} has text that is not UTF-8: it was read with a wrong encoding, or is no text. Read "
                "it again, as what it is."
            ) from None
    if pa.types.is_dictionary(kind):
        if pa.types.is_string_view(kind.value_type):
            # Polars' categories: Arrow cannot choose among views.
            array = pa.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(pa.string()))
        return _plain(array.dictionary_decode(), name)
    if pa.types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(array), name)
    if pa.types.is_null(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.string())
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    if pa.types.is_decimal256(kind) or isinstance(kind, pa.BaseExtensionType) or pa.types.is_union(kind):
        return _texts([None if value is None else str(value) for value in array.to_pylist()], name)
    if pa.types.is_interval(kind):
        return _texts([None if value is None else str(value) for value in array.to_pylist()], name)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _within_years(array, name)
    _check_known(kind, name)
    return array


def _check_known(kind: Any, name: str) -> None:
    """Refuse a column of a type that engines cannot even be told of."""
    from ibis.formats.pyarrow import PyArrowType

    try:
        PyArrowType.to_ibis(kind)
    except (KeyError, NotImplementedError, TypeError, ValueError):
        raise InputError(
            f"Column {name!r} has the type {kind}, which cannot be used. Convert the column to text, numbers or dates."
        ) from None


def _only_chunk(array: Any) -> Any:
    import pyarrow as pa

    return array.chunk(0) if array.num_chunks else pa.array([], array.type)


def _within_years(array: Any, name: str) -> Any:
    """Return days and times as they are, and as text where one of them is in no year from 1 to 9999."""
    import pyarrow as pa

    unit = getattr(array.type, "unit", "D" if pa.types.is_date32(array.type) else "ms")
    # Nanoseconds reach from 1677 to 2262, and cannot be compared with what is beyond.
    if unit == "ns":
        return array
    places = array.cast(pa.int32() if unit == "D" else pa.int64()).to_numpy(zero_copy_only=False)
    known = places[~np.isnan(places)] if places.dtype.kind == "f" else places
    if known.size == 0:
        return array
    low, high = (
        np.array([edge]).astype(np.int64).astype(f"datetime64[{unit}]") for edge in (known.min(), known.max())
    )
    if low[0] >= _FIRST and high[0] < _BEYOND:
        return array
    texts = np.datetime_as_string(np.nan_to_num(places).astype(np.int64).astype(f"datetime64[{unit}]"))
    missing = array.is_null().to_numpy(zero_copy_only=False)
    return _texts([None if gone else str(text) for gone, text in zip(missing, texts, strict=True)], name)


def check_twice(names: list[Any], wanted: Any, where: str) -> None:
    """Refuse a wanted name that several columns have."""
    for name in wanted:
        if names.count(name) > 1:
            raise InputError(f"{where} has {names.count(name)} columns called {name!r}. Rename all but one.")
