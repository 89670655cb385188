"""A column as the numbers that a linear predictor multiplies, learnt once and remembered.

Numbers are centred by the mean and scaled by the standard deviation of the customers of the fit; text and bools
are treatment-coded against the first level in alphabetical order, and centred by the share of each level. All
design columns at 0 is therefore the average of the fit's customers, and the population quantities are about it.

Rejected for now: formulas. No formula library is among the dependencies, and column names say the same for main
effects; products and transformations are columns that the reader can make.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.schema import CUSTOMER, InputError

# More levels than this are a grouping, whose effects should be pooled, or an id.
MAX_LEVELS = 50


@dataclass(frozen=True)
class Encoding:
    """How one column becomes design columns: ``labels`` names them.

    Attributes
    ----------
    column : str
        The customers' column.
    levels : tuple of str
        Its levels, the first being the reference; empty for a number.
    centre : tuple of float
        What is subtracted from each design column.
    scale : float
        The standard deviation of a number, else 1.
    """

    column: str
    levels: tuple[str, ...]
    centre: tuple[float, ...]
    scale: float

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the design columns: ``age``, or ``gender[m]`` for each level but the first."""
        return tuple(f"{self.column}[{level}]" for level in self.levels[1:]) or (self.column,)

    def design(self, values: np.ndarray) -> np.ndarray:
        """Return the design columns (row, label) of values that ``check`` has passed."""
        centre = np.array(self.centre)
        if not self.levels:
            return np.asarray((values[:, None] - centre) / self.scale)
        levels = np.array(self.levels[1:], dtype=object)
        return np.asarray((as_labels(values)[:, None] == levels).astype(float) - centre)

    def check(self, customers: xr.Dataset) -> np.ndarray:
        """Return the column's values for these customers; what the fit has not seen is refused."""
        values = column_values(customers, self.column)
        if not self.levels:
            if values.dtype == object:
                raise InputError(
                    f"Column {self.column!r} was a number at the fit and is text here, for example {values[0]!r}. "
                    "Convert it to numbers."
                )
            return values
        labels = as_labels(values)
        unknown = ~np.isin(labels, np.array(self.levels, dtype=object))
        if unknown.any():
            first = np.flatnonzero(unknown)[0]
            raise InputError(
                f"Column {self.column!r} has a level that the fit has not seen for {int(unknown.sum()):,} of "
                f"{unknown.size:,} customers, for example {labels[first]!r} of customer "
                f"{str(customers[CUSTOMER].values[first])!r}. Seen were {', '.join(self.levels)}. Correct it, or fit "
                "with customers who have it; a grouping column (groups=...) may have new labels."
            )
        return labels

    def to_json(self) -> dict[str, Any]:
        """Return it as plain lists and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Encoding":
        """Return the encoding that ``to_json`` wrote."""
        return cls(saved["column"], tuple(saved["levels"]), tuple(saved["centre"]), float(saved["scale"]))


def learn(customers: xr.Dataset, column: str) -> Encoding:
    """Return the encoding of a column, learnt from these customers.

    Raises InputError for a column of one value, from which nothing can be learned, and for more than MAX_LEVELS
    levels.
    """
    values = column_values(customers, column)
    size = values.size
    if values.dtype == object:
        levels, counts = np.unique(values, return_counts=True)
        _refuse_constant(column, levels)
        if levels.size > MAX_LEVELS:
            raise InputError(
                f"Column {column!r} has {levels.size:,} levels among {size:,} customers, for example {levels[0]!r}; a "
                f"covariate may have {MAX_LEVELS}. Convert it if it holds numbers as text, join rare levels, or pool "
                f"them: groups={{..., {column!r}}}."
            )
        shares = tuple(float(count) / size for count in counts[1:])
        return Encoding(column, tuple(levels.tolist()), shares, 1.0)
    _refuse_constant(column, np.unique(values))
    # Exactly rounded sums: the order of customers then changes no bit.
    mean = math.fsum(values) / size
    sd = math.sqrt(math.fsum((values - mean) ** 2) / size)
    return Encoding(column, (), (mean,), sd)


def _refuse_constant(column: str, distinct: np.ndarray) -> None:
    if distinct.size < 2:
        raise InputError(
            f"Column {column!r} is {distinct.tolist()[0]!r} for all customers of the fit, so nothing can be "
            "learned about its effect. Leave it out."
        )
