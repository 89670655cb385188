"""The door: any table of orders becomes one Ibis table of (customer_id text, date, spend).

Every row is given the number of its first problem, 0 for none, so that problems can be counted, shown and
added up: a row is used or it is accounted for, never lost. The rules are one Ibis expression, run by an
embedded DuckDB for files and data frames and by the owner's engine for an Ibis table. Text is matched against
a pattern before it is cast, because engines disagree about what else they accept as a date or a number, and a
zoned timestamp is refused: the day it falls on is the shop's decision, not the computer's.

For files and data frames the parsed rows are kept in a temporary table, and each step of the parsing is a view
of its own. Ibis would otherwise write the patterns out at every mention of a column: ten million orders of CSV
then took eight minutes.

Spend is rounded to four decimals, as decimal(18,4), before anything is added up: sums then do not depend
on the order of the rows or on the engine.
"""

import difflib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_clv.customers.orders import files
from bayes_clv.customers.orders.parsing import Columns, as_text, named_columns, parse
from bayes_clv.schema import InputError, argument


@dataclass(frozen=True)
class OrderLog:
    """Orders behind the door: an Ibis table, the engine that runs it, and what to call it in messages.

    ``rows`` has ``customer_id`` (text), ``date``, ``spend`` (decimal(18,4), if there are amounts) and
    ``problem`` (a key of PROBLEMS, 0 for none); ``raw`` has the same rows as they were given.
    """

    rows: Any
    raw: Any
    backend: Any
    name: str
    columns: Columns
    path: Path | None = None

    def fetch(self, expression: Any) -> Any:
        """Run an expression and return its result as a PyArrow table."""
        return _run(self.path, self.backend.to_pyarrow, expression)


def _run(path: Path | None, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what the engine returns; its errors about a file are retold."""
    import duckdb

    try:
        return action(*arguments, **options)
    except duckdb.Error as error:
        if path is None:
            raise
        raise files.unreadable(path, error) from None


def open_orders(orders: Any, columns: Columns) -> OrderLog:
    """Return the orders as an OrderLog; what is not a table of orders is refused."""
    import ibis

    wanted = columns.wanted()
    if len(set(wanted)) < len(wanted):
        raise InputError(
            f"One column is named for two purposes: {wanted}. Name a column of its own for each."
        )
    path, embedded = None, not isinstance(orders, ibis.Table)
    if isinstance(orders, str | os.PathLike):
        path = Path(os.fspath(orders)).expanduser()
        backend = ibis.duckdb.connect()
        table, name = files.open_file(backend, path, wanted), repr(path.name)
    elif isinstance(orders, ibis.Table):
        backend, table, name = orders.get_backend(), orders, "the order log"
    else:
        backend = ibis.duckdb.connect()
        table, name = ibis.memtable(_arrow_table(orders, wanted)), "the order log"
    check_columns(list(table.columns), wanted, name, can_omit=columns.spend)
    raw = table.select(
        customer_id=table[columns.customer_id],
        date=table[columns.date],
        **({} if columns.spend is None else {"spend": table[columns.spend]}),
    )
    rows = parse(raw, columns, backend if embedded else None)
    if embedded:
        rows = _run(path, backend.create_table, "orders", rows, temp=True)
    return OrderLog(rows, raw, backend, name, columns, path)


def check_columns(
    present: Sequence[Any], wanted: Sequence[str], name: str, can_omit: str | None = None
) -> None:
    """Refuse a table without the wanted columns, listing those it has and the closest to each."""
    missing = [column for column in wanted if column not in present]
    if not missing:
        return
    shown = [str(column) for column in present]
    lowered = {column.lower(): column for column in shown}
    hints = []
    for column in missing:
        close = difflib.get_close_matches(column.lower(), lowered, n=1, cutoff=0.5)
        if close:
            hints.append(f"Is {lowered[close[0]]!r} what is called {column!r} here?")
    if can_omit is not None and can_omit in missing:
        hints.append(f"A log without amounts is summarised with {argument('spend', None)}.")
    if shown and all(re.search(r"^\s*[-+]?[0-9]", column) for column in shown):
        hints.append("The first line seems to hold values: add a line with the names of the columns.")
    raise InputError(
        f"{name[:1].upper()}{name[1:]} has no column {' and no column '.join(map(repr, missing))}. "
        f"It has: {', '.join(shown[:20])}{', …' if len(shown) > 20 else ''}. "
        f"Rename its columns or name them with {argument('customer_id')}, {argument('date')} and {argument('spend')}. "
        + " ".join(hints)
    )


def show_problem(log: OrderLog, number: int) -> str:
    """Return the first row with a problem, as it was given."""
    # The raw columns go beside the parsed ones because the reader wants to find the row in the source.
    raw = {f"raw_{name}": log.raw[name] for name in log.raw.columns}
    rows = parse(log.raw.mutate(**raw), log.columns, None, keep=list(raw))
    found = log.fetch(rows.filter(rows.problem == number).select(*raw).limit(1)).to_pylist()[0]
    names = dict(zip(("customer_id", "date", "spend"), named_columns(log.columns), strict=True))
    return ", ".join(
        f"{names[key.removeprefix('raw_')]} {'missing' if value is None else repr(str(value))}"
        for key, value in found.items()
    )


def _arrow_table(orders: Any, wanted: Sequence[str]) -> Any:
    """Return the wanted columns of a data frame as an Arrow table."""
    import pandas as pd
    import pyarrow as pa

    if not isinstance(orders, pd.DataFrame):
        if hasattr(orders, "__arrow_c_stream__"):
            return pa.table(orders)
        raise InputError(
            f"Orders of type {type(orders).__name__!r} cannot be read. Pass the path of a CSV or Parquet "
            "file, a pandas DataFrame, an Arrow table or an Ibis table."
        )
    names = list(orders.columns)
    for name in wanted:
        if names.count(name) > 1:
            raise InputError(
                f"The order log has {names.count(name)} columns called {name!r}. Rename all but one."
            )
        if name not in names and name in orders.index.names:
            raise InputError(
                f"{name!r} is the index of the order log, not a column. Pass orders.reset_index()."
            )
    check_columns(names, wanted, "the order log", can_omit=wanted[2] if len(wanted) > 2 else None)
    return pa.table({name: _arrow_column(orders[name]) for name in wanted})


def _arrow_column(column: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # Values of several types: their text, as each of them would be written to a CSV file.
        array = pa.array([None if pd.isna(value) else as_text(value) for value in column], pa.string())
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array
