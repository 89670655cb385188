"""The door: any table of orders becomes one Ibis table of (customer_id text, date, spend).

Every row is given its faults, 0 for none, so that they can be counted, shown and added up: a row is used or it is
accounted for, never lost. The rules are one Ibis expression, run by an
embedded DuckDB for files and data frames and by the owner's engine for an Ibis table. Text is matched against
a pattern before it is cast, because engines disagree about what else they accept as a date or a number, and a
zoned timestamp is refused: the day it falls on is the shop's decision, not the computer's.

For files and data frames the parsed rows are kept in a temporary table, and each step of the parsing is a view
of its own. Ibis would otherwise write the patterns out at every mention of a column: ten million orders of CSV
then took eight minutes. The wanted columns of an engine that lacks what is
needed (SQLite) are handed over to the embedded one (``engines``).

Columns are taken by their position, under the names of their roles: engines take ID and id for one.

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

from bayes_clv.customers.orders import engines, files
from bayes_clv.customers.orders.beside import Beside, columns_beside
from bayes_clv.customers.orders.description import Reading
from bayes_clv.customers.orders.parsing import NAMES, parse
from bayes_clv.customers.orders.sorting import NUMBER
from bayes_clv.customers.orders.tables import arrow_columns, check_twice, names_of
from bayes_clv.schema import InputError, argument, either


@dataclass(frozen=True)
class OrderLog:
    """Orders behind the door: an Ibis table, the engine that runs it, and what to call it in messages.

    ``rows`` has ``customer_id`` (text), ``date``, ``spend`` (decimal(18,4), if there are amounts), ``order_id`` and
    ``item`` (text, if they are named), ``taken_0`` and so on (as they are), and ``faults`` (see ``parsing``); in the
    embedded engine, which keeps the rows (``kept``), also ``twin`` and, of ids that are whole numbers, ``number``.
    ``raw`` has the same rows as they were given, under the names of their roles. ``beside`` has columns that nobody
    named and that may say what an order is.
    """

    rows: Any
    raw: Any
    backend: Any
    name: str
    reading: Reading
    path: Path | None = None
    kept: bool = True
    beside: Beside | None = None

    def fetch(self, expression: Any) -> Any:
        """Run an expression and return its result as a PyArrow table."""
        return _run(self.path, engines.fetch, self.backend, expression)

    def batches(self, expression: Any) -> Any:
        """Run an expression in the embedded engine and return its result batch by batch."""
        return self.backend.raw_sql(self.backend.compile(expression)).to_arrow_reader(1 << 17)

    def forget(self) -> None:
        """Free what the embedded engine keeps of the rows, where nothing more is asked of ``rows``."""
        if self.kept:
            self.backend.drop_table("orders", force=True)

    def keep(self, name: str, expression: Any) -> Any:
        """Return an expression's rows, computed once where the engine keeps what is ours."""
        if self.kept:
            return _run(self.path, self.backend.create_table, name, expression, temp=True)
        return expression.cache() if self.backend.name == engines.SPARK else expression


def _run(path: Path | None, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what the engine returns; its errors about a file are retold."""
    import duckdb

    try:
        return action(*arguments, **options)
    except duckdb.Error as error:
        raise (_unreadable(error) if path is None else files.unreadable(path, error)) from None


def _unreadable(error: Exception) -> InputError:
    """Return the error to show when DuckDB gave up in the middle of a table: of many files that differ, mostly."""
    said = str(error).strip().splitlines()
    return InputError(
        f"The order log cannot be read to its end; its engine says: {said[0][:300] if said else type(error).__name__} "
        "Files whose columns differ are read together with ibis.read_parquet('folder/*.parquet', union_by_name=True), "
        "where a column has one type in all of them."
    )


def open_orders(orders: Any, reading: Reading) -> OrderLog:
    """Return the orders as an OrderLog; what is not a table of orders is refused."""
    import ibis

    roles = reading.columns()
    path, kept = None, True
    if isinstance(orders, str | os.PathLike):
        if not str(os.fspath(orders)).strip():
            raise InputError(
                "The path of the orders is empty. Write where the file is, such as 'orders.csv'."
            )
        path = Path(os.fspath(orders)).expanduser()
        backend, name = ibis.duckdb.connect(), repr(path.name)
        table, names = files.open_file(backend, path, list(roles.values()), reading.encoding)
        _check(names, reading, name)
        noticed = _noticed(names, reading)
        whole = table.select(
            **{role: table[names.index(each)] for role, each in {**roles, **noticed}.items()}
        )
    elif isinstance(orders, ibis.Table):
        files.refuse_encoding(reading.encoding, "the orders are a table")
        backend, name = orders.get_backend(), "the order log"
        _check(list(orders.columns), reading, name)
        noticed = _noticed(orders.columns, reading)
        whole = orders.select(**{role: orders[each] for role, each in {**roles, **noticed}.items()})
        raw = whole.select(list(roles))
        engines.refuse_instants(backend, raw, reading)
        kept = not engines.can_parse(backend, raw, reading)
        if kept:
            whole = ibis.memtable(_run(None, _first_that_goes, engines.handed_over, backend, whole, raw))
            backend = ibis.duckdb.connect()
    else:
        files.refuse_encoding(reading.encoding, "the orders are a table")
        backend, name = ibis.duckdb.connect(), "the order log"
        noticed = _noticed(names_of(orders), reading)
        table = arrow_columns(orders, roles, lambda names: _check(names, reading, name))
        for role, each in noticed.items():
            table = _with(table, orders, role, each)
        whole = ibis.memtable(table)
    raw = whole.select(list(roles)) if noticed else whole
    noticed = {role: each for role, each in noticed.items() if role in whole.columns}
    if kept:
        # Its bar would go to the standard output, among a command's lines.
        backend.raw_sql("SET enable_progress_bar = false")
    rows = parse(raw, reading, backend if kept else None)
    if kept:
        as_number = NUMBER in rows.columns
        rows = rows.drop("customer_id") if as_number else rows
        rows = _run(path, backend.create_table, "orders", rows, temp=True)
        # The text of a whole number is made where it is looked at: ten million of them take a second, and memory.
        rows = rows.mutate(customer_id=rows[NUMBER].cast("string")) if as_number else rows
    return OrderLog(rows, raw, backend, name, reading, path, kept, Beside(whole, noticed))


def _noticed(names: Sequence[Any], reading: Reading) -> dict[str, str]:
    return {f"beside_{place}": name for place, name in enumerate(columns_beside(names, reading))}


def _with(table: Any, orders: Any, role: str, name: str) -> Any:
    """Return an Arrow table with one more column of a data frame, which nobody named: if it can be read."""
    try:
        return table.append_column(role, arrow_columns(orders, {role: name}, lambda names: None)[role])
    except InputError:
        return table


def _first_that_goes(action: Callable[..., Any], backend: Any, whole: Any, raw: Any) -> Any:
    """Return what is made of all columns, or, where one that nobody named cannot be read, of those that were."""
    try:
        return action(backend, whole)
    except InputError:
        return action(backend, raw)


def _check(names: list[Any], reading: Reading, name: str) -> None:
    """Refuse a log in which a wanted column is missing, or several are called as one."""
    wanted = list(dict.fromkeys(reading.columns().values()))
    check_twice(names, wanted, name[:1].upper() + name[1:])
    check_columns(
        names,
        wanted,
        name,
        can_omit=reading.spend if reading.quantity is None else None,
        elsewhere=[column for column in reading.take if column not in names],
    )


def check_columns(
    present: Sequence[Any],
    wanted: Sequence[str],
    name: str,
    can_omit: str | None = None,
    elsewhere: Sequence[str] = (),
    roles: Sequence[str] = ("customer_id", "date", "spend"),
) -> None:
    """Refuse a table without the wanted columns, listing those it has and the closest to each.

    ``can_omit`` may be left out, those ``elsewhere`` may be in a table of customers, and ``roles`` are the arguments
    that name columns.
    """
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
        hints.append(_without_amounts(shown))
    if elsewhere:
        table = either("clv.with_columns(customers, table)", "--columns TABLE")
        hints.append(f"What describes customers may also be in a table with a row for each: {table}.")
    if shown and all(re.search(r"^\s*[-+]?[0-9]", column) for column in shown):
        hints.append("The first line seems to hold values: add a line with the names of the columns.")
    shown_roles = " and ".join(argument(role) for role in roles[-2:])
    shown_roles = ", ".join([*(argument(role) for role in roles[:-2]), shown_roles])
    raise InputError(
        f"{name[:1].upper()}{name[1:]} has no column {' and no column '.join(map(repr, missing))}. "
        f"It has: {', '.join(shown[:20])}{', …' if len(shown) > 20 else ''}. "
        f"Rename its columns or name them with {shown_roles}. " + " ".join(hints)
    )


# What columns of pieces and of the price of one are called.
_PIECES = re.compile(r"qty|quantit|menge|anzahl|stück|stueck|pieces|units?$", re.IGNORECASE)
_PRICE = re.compile(r"price|preis|prix|precio|prezzo", re.IGNORECASE)


def _without_amounts(shown: Sequence[str]) -> str:
    """Return what to do where no column is called as that of amounts, in view of those there are."""
    pieces, price = (next((name for name in shown if kind.search(name)), None) for kind in (_PIECES, _PRICE))
    product = ""
    if pieces is not None and price is not None:
        product = (
            f"An amount may be a product: {argument('quantity', pieces)} and {argument('price', price)}. "
        )
    return f"{product}A log without amounts is summarised with {argument('spend', None)}."


def show_fault(log: OrderLog, fault: str) -> str:
    """Return the first row with a fault, as it was given."""
    # The raw columns go beside the parsed ones because the reader wants to find the row in the source.
    given = {f"raw_{role}": log.raw[role] for role in log.raw.columns if not role.startswith("taken_")}
    rows = parse(log.raw.mutate(**given), log.reading, None, keep=list(given))
    bit = 1 << NAMES.index(fault)
    has = (rows.faults > 0) & ((rows.faults & bit) > 0)
    return shown_row(log, rows.filter(has).select(*given))


def shown_row(log: OrderLog, rows: Any) -> str:
    """Return the first of some rows of raw columns, in words."""
    found = log.fetch(rows.limit(1))
    columns = log.reading.columns()
    return ", ".join(
        f"{columns[name.removeprefix('raw_')]} {_shown_value(found[name])}" for name in found.column_names
    )


def _shown_value(column: Any) -> str:
    """Return the only value of an Arrow column in words."""
    import pyarrow as pa

    try:
        value = column.to_pylist()[0]
    except (OverflowError, ValueError):
        # Python has no such year.
        value = column.cast(pa.string()).to_pylist()[0]
    return "missing" if value is None else repr(str(value))
