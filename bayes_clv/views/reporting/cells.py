"""Tables and numbers of the report: what a cell shows and what it is sorted by."""

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import UNSTATED
from bayes_clv.views.numbers import decimals, fixed, money_unit, number


@dataclass(frozen=True)
class Cell:
    """A table cell: what is shown, and the key it is sorted by (empty: last)."""

    text: str
    key: str


@dataclass(frozen=True)
class Column:
    """A table column."""

    label: str
    number: bool = True
    level: str | None = None
    sorted: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of the page; one that is read from above to below is not sortable."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    sortable: bool = True

    @property
    def levels(self) -> list[tuple[str | None, int]]:
        """Return the levels of the columns from the left, each with how many columns it spans; none of none."""
        runs = [(level, len(list(run))) for level, run in groupby(column.level for column in self.columns)]
        return runs if any(level for level, _ in runs) else []


def cell(amount: Any, text: str | None = None) -> Cell:
    """Return the cell of a number or a text; what is not finite is shown as a dash and sorted last."""
    if isinstance(amount, str):
        return Cell(text or amount, amount)
    finite = amount is not None and math.isfinite(float(amount))
    return Cell(text if text is not None else number(amount), repr(float(amount)) if finite else "")


def interval(low: float, high: float, places: int) -> Cell:
    """Return the cell of an interval, both ends with so many decimals; it is sorted by its upper end."""
    return cell(high, say("{low} to {high}", low=fixed(low, places), high=fixed(high, places)))


def in_unit(label: str, unit: str) -> str:
    """Return a heading with its unit of time, where that is stated."""
    return label if unit == UNSTATED else say("{label} ({unit})", label=label, unit=say(f"{unit}s"))


def in_money(label: str, result: xr.Dataset) -> str:
    """Return a heading with the unit of a result's money."""
    return say("{label} ({unit})", label=label, unit=money_unit(result))


def column(values: Any) -> list[Cell]:
    """Return the cells of a numeric column, all with the same decimals."""
    places = decimals(values)
    return [cell(float(v), fixed(float(v), places)) for v in values]
