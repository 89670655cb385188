"""What columns say that nobody named: that an order failed, was refunded, or is in another currency.

A column is looked at for what it is called, in English and German, and its values are counted. A note is all that
follows: only the shop knows whether a refund was subtracted already, or all amounts are in one currency.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_clv.conditions import name_of
from bayes_clv.customers.orders.amounts import read_amount
from bayes_clv.customers.orders.description import Reading
from bayes_clv.customers.orders.parsing import MISSING_WORDS, wanted_rows
from bayes_clv.language import say

if TYPE_CHECKING:
    from bayes_clv.customers.orders.log import OrderLog

_REFUND, _STATUS, _CURRENCY = "refund", "status", "currency"
_CALLED = {
    _REFUND: re.compile(r"refund|erstatt|gutschrift", re.IGNORECASE),
    _STATUS: re.compile(r"status|event.?type", re.IGNORECASE),
    _CURRENCY: re.compile(r"currency|währ|waehr", re.IGNORECASE),
}
_NO_SALE = re.compile(
    r"cancel|fail|refund|void|declin|pending|unpaid|draft|chargeback|dispute|storn|abgebroch|erstatt|^test",
    re.IGNORECASE,
)
# A column with more values is no status and no currency.
_MOST_VALUES = 100


@dataclass(frozen=True)
class Beside:
    """The rows as they were given, under their roles, with columns beside them, and what these are called by role."""

    table: Any
    names: dict[str, str]


def _kind_of(name: Any) -> str | None:
    """Return what a column of such a name may say: of a refund's status its status, of a refunded amount the refund."""
    if not isinstance(name, str):
        return None
    order = (_STATUS, _CURRENCY, _REFUND)
    return next((kind for kind in order if _CALLED[kind].search(name)), None)


def columns_beside(names: Iterable[Any], reading: Reading) -> list[str]:
    """Return the names of columns that nobody named and that may say what an order is, each called so only once."""
    known, listed = set(reading.columns().values()), list(names)
    return [name for name in listed if _kind_of(name) and name not in known and listed.count(name) == 1]


def beside_notes(log: "OrderLog") -> list[tuple[str, int]]:
    """Return what to say of such columns, each with the number of rows it is about."""
    if log.beside is None or not log.beside.names:
        return []
    table, notes = _sales(log.beside.table, log.reading), []
    for role, name in log.beside.names.items():
        column, kind = table[role], _kind_of(name)
        if column.type().is_nested() or column.type().is_binary():
            continue
        if kind == _REFUND:
            rows = _refunded(log, table, column) if log.reading.priced else 0
            if rows:
                notes.append((_refund_words(name), rows))
            continue
        counts = _counts(log, table, column)
        bad = {value: rows for value, rows in counts.items() if _NO_SALE.search(value)}
        if kind == _STATUS and bad:
            listed = ", ".join("'" + value.replace("'", "''") + "'" for value in bad)
            condition = f"{name_of(name)} not in ({listed})"
            notes.append((_status_words(name, _told(bad), condition), sum(bad.values())))
        elif kind == _CURRENCY and len(counts) > 1 and log.reading.priced:
            most = max(counts, key=lambda value: counts[value])
            condition = f"{name_of(name)} = {most!r}"
            notes.append((_currency_words(name, _told(counts), condition), sum(counts.values())))
    return notes


def _sales(table: Any, reading: Reading) -> Any:
    """Return the rows for which the conditions hold and whose amount is no return."""
    texts = {name: table[name].strip() for name in table.columns if table[name].type().is_string()}
    table = table.mutate(**texts) if texts else table
    wanted, _ = wanted_rows(table, reading)
    table = table if wanted is None else table.filter(wanted)
    for role in ("spend", "quantity"):
        if role in table.columns:
            table = table.filter(~(_amount(table[role], reading) < 0).fill_null(False))
    return table


def _amount(column: Any, reading: Reading) -> Any:
    return read_amount(column, reading.decimal) if column.type().is_string() else column.cast("float64")


def _status_words(name: str, told: str, condition: str) -> str:
    return say(
        "Rows that are no sale, or none yet, by column {name!r}, which is not read ({told}): they count as orders. The "
        'option --where "{condition}" (where= in Python) leaves them out.',
        name=name,
        told=told,
        condition=condition,
    )


def _refund_words(name: str) -> str:
    return say(
        "Rows with an amount in column {name!r}, which is not read: what was refunded counts as sold. If the amounts "
        "are before refunds, subtract it first, or leave out what was refunded whole.",
        name=name,
    )


def _currency_words(name: str, told: str, condition: str) -> str:
    return say(
        "Rows in several currencies by column {name!r}, which is not read ({told}): amounts are added up as they are. "
        'If they are not all in one currency, convert them, or choose one: --where "{condition}" (where= in Python).',
        name=name,
        told=told,
        condition=condition,
    )


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{value} {rows:,}" for value, rows in list(counts.items())[:5]) + ", …" * (
        len(counts) > 5
    )


def _counts(log: "OrderLog", table: Any, column: Any) -> dict[str, int]:
    """Return how many rows have each value, the first by alphabet first; none where there are too many values."""
    text = table.select(value=column.cast("string"))
    text = text.filter(text.value.notnull() & ~text.value.lower().isin(MISSING_WORDS))
    found = log.fetch(text.group_by("value").agg(rows=text.count()).limit(_MOST_VALUES + 1)).to_pylist()
    if len(found) > _MOST_VALUES:
        return {}
    return {row["value"]: row["rows"] for row in sorted(found, key=lambda row: str(row["value"]))}


def _refunded(log: "OrderLog", table: Any, column: Any) -> int:
    """Return in how many rows a column has an amount that is not 0."""
    if not (column.type().is_string() or column.type().is_numeric()):
        return 0
    some = (_amount(column, log.reading) != 0).fill_null(False)
    return int(log.fetch(table.aggregate(rows=some.sum()))["rows"][0].as_py() or 0)
