"""A column as the numbers that a linear predictor multiplies, learnt once and remembered.

Numbers are centred by the mean and scaled by the standard deviation of the customers of the fit; text and bools
are treatment-coded against the first level in alphabetical order, and centred by the share of each level. All
design columns at 0 is therefore the average of the fit's customers, and the population quantities are about it.

A formula (``formula``) adds expressions of columns, standardised like a column, orthogonal polynomials, and
interactions: products of the encoded columns, centred and not scaled again, so that the coefficient of
``age:gender[m]`` is by how much that of ``age`` is larger among men. Whatever the unit or the zero of a column, the fit
is the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.customers.formula import Factor, evaluate, is_formula, read_formula, shown
from bayes_clv.schema import CUSTOMER, InputError, argument

# More levels than this are a grouping, whose effects should be pooled, or an id.
MAX_LEVELS = 50


@dataclass(frozen=True)
class Encoding:
    """How one column, or an expression of columns, becomes design columns: ``labels`` names them.

    Attributes
    ----------
    column : str
        The customers' column, or the expression.
    levels : tuple of str
        Its levels, the first being the reference; empty for a number.
    centre : tuple of float
        What is subtracted from each design column; of a number, its mean.
    scale : float
        The standard deviation of a number, else 1.
    reads : tuple of str
        The columns that the expression reads; empty for a column as it stands.
    powers : tuple of tuple of float
        Of orthogonal polynomials, the weights of z**0, z**1, ... in each design column, z the standardised number.
    """

    column: str
    levels: tuple[str, ...]
    centre: tuple[float, ...]
    scale: float
    reads: tuple[str, ...] = ()
    powers: tuple[tuple[float, ...], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the customers' columns that are read."""
        return self.reads or (self.column,)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the design columns: ``age``, or ``gender[m]`` for each level but the first."""
        if self.powers:
            size = len(self.powers)
            return tuple(f"poly({self.column}, {size})[{k}]" for k in range(1, size + 1))
        return tuple(f"{self.column}[{level}]" for level in self.levels[1:]) or (self.column,)

    def design(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the design columns (row, label) of columns' values that ``check`` has passed."""
        centre = np.array(self.centre)
        if self.levels:
            levels = np.array(self.levels[1:], dtype=object)
            return np.asarray((as_labels(values[self.column])[:, None] == levels).astype(float) - centre)
        z = (self._numbers(values)[:, None] - centre) / self.scale
        if not self.powers:
            return np.asarray(z)
        # Horner's rule, highest power first.
        weights = np.array(self.powers)
        total = np.zeros((z.shape[0], len(self.powers)))
        for k in reversed(range(weights.shape[1])):
            total = total * z + weights[:, k]
        return total

    def check(self, customers: xr.Dataset) -> None:
        """Refuse customers with a value that the fit has not seen, or that has no number."""
        if not self.levels:
            _checked_numbers(customers, self.column, self.reads)
            return
        labels = as_labels(column_values(customers, self.column))
        unknown = ~np.isin(labels, np.array(self.levels, dtype=object))
        if unknown.any():
            first = np.flatnonzero(unknown)[0]
            raise InputError(
                f"Column {self.column!r} has a level that the fit has not seen for {int(unknown.sum()):,} of "
                f"{unknown.size:,} customers, for example {labels[first]!r} of customer "
                f"{str(customers[CUSTOMER].values[first])!r}. Seen were {', '.join(self.levels)}. Correct it, or fit "
                f"with customers who have it; a grouping column ({argument('groups')}) may have new labels."
            )

    def _numbers(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        return evaluate(self.column, values) if self.reads else values[self.column]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain lists and numbers."""
        return asdict(self)


@dataclass(frozen=True)
class Interaction:
    """The products of several encodings' design columns, each less its mean (``centre``)."""

    parts: tuple[Encoding, ...]
    centre: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the customers' columns that are read."""
        return tuple(dict.fromkeys(column for part in self.parts for column in part.columns))

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the design columns, such as ``age:gender[m]``."""
        found = [""]
        for part in self.parts:
            found = [f"{one}:{label}" if one else label for one in found for label in part.labels]
        return tuple(found)

    def design(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the design columns (row, label) of columns' values that ``check`` has passed."""
        return np.asarray(_products(self.parts, values) - np.array(self.centre))

    def check(self, customers: xr.Dataset) -> None:
        """Refuse customers with a value that the fit has not seen, or that has no number."""
        for part in self.parts:
            part.check(customers)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain lists and numbers."""
        return {"parts": [part.to_json() for part in self.parts], "centre": self.centre}


def encoding_from_json(saved: Mapping[str, Any]) -> Encoding | Interaction:
    """Return the encoding that ``to_json`` wrote, by this version or by one that knew no formulas."""
    if "parts" in saved:
        return Interaction(tuple(_one_from_json(part) for part in saved["parts"]), tuple(saved["centre"]))
    return _one_from_json(saved)


def _one_from_json(saved: Mapping[str, Any]) -> Encoding:
    return Encoding(
        saved["column"],
        tuple(saved["levels"]),
        tuple(saved["centre"]),
        float(saved["scale"]),
        tuple(saved.get("reads", ())),
        tuple(tuple(weights) for weights in saved.get("powers", ())),
    )


def named_columns(text: str) -> list[str]:
    """Return the columns that a name or a formula reads."""
    if not is_formula(text):
        return [text]
    columns = (column for term in read_formula(text) for factor in term for column in factor.columns)
    return list(dict.fromkeys(columns))


def learn(
    customers: xr.Dataset, text: str, count: np.ndarray | None = None
) -> tuple[Encoding | Interaction, ...]:
    """Return the encodings of a column or of a formula's terms, learnt from these customers.

    ``count`` is how many customers each row stands for. Raises InputError for a column of one value, from which nothing
    can be learned, for more than MAX_LEVELS levels, and for an expression without a value.
    """
    weight = np.ones(customers.sizes[CUSTOMER]) if count is None else np.asarray(count, dtype=float)
    if not is_formula(text):
        return (_learn_factor(customers, Factor(text, (text,), plain=True), weight),)
    found: list[Encoding | Interaction] = []
    for term in read_formula(text):
        parts = tuple(_learn_factor(customers, factor, weight) for factor in term)
        if len(parts) == 1:
            found.append(parts[0])
            continue
        values = {column: column_values(customers, column) for part in parts for column in part.columns}
        products = _products(parts, values)
        found.append(Interaction(parts, tuple(_mean(column, weight) for column in products.T)))
    return tuple(found)


def _learn_factor(customers: xr.Dataset, factor: Factor, weight: np.ndarray) -> Encoding:
    column = factor.expression
    if factor.levels or (factor.plain and column_values(customers, column).dtype == object):
        return _learn_levels(column, as_labels(column_values(customers, column)), weight)
    reads = () if factor.plain or factor.expression in factor.columns else factor.columns
    if factor.degree and not reads and column_values(customers, column).dtype == object:
        raise InputError(
            f"Column {column!r} is text, and {shown(factor)} needs numbers. Convert it to numbers."
        )
    values = _checked_numbers(customers, column, reads)
    distinct = np.unique(values)
    _refuse_constant(column, distinct)
    mean = _mean(values, weight)
    sd = math.sqrt(_mean((values - mean) ** 2, weight))
    powers: tuple[tuple[float, ...], ...] = ()
    if factor.degree:
        if distinct.size <= factor.degree:
            raise InputError(
                f"{shown(factor)} is a curve of degree {factor.degree}, and {column!r} has only {distinct.size} "
                f"different values, which show a degree of {distinct.size - 1} at most. C({column}) gives each its own."
            )
        powers = _orthogonal((values - mean) / sd, factor.degree, weight)
    return Encoding(column, (), (mean,), sd, reads, powers)


def _learn_levels(column: str, labels: np.ndarray, weight: np.ndarray) -> Encoding:
    levels, place = np.unique(labels, return_inverse=True)
    _refuse_constant(column, levels)
    size = int(weight.sum())
    if levels.size > MAX_LEVELS:
        raise InputError(
            f"Column {column!r} has {levels.size:,} levels among {size:,} customers, for example {levels[0]!r}; a "
            f"covariate may have {MAX_LEVELS}. Convert it if it holds numbers as text, join rare levels, or pool "
            f"them with {argument('groups')}."
        )
    counts = np.bincount(place, weights=weight)
    shares = tuple(float(share) / size for share in counts[1:])
    return Encoding(column, tuple(levels.tolist()), shares, 1.0)


def _orthogonal(z: np.ndarray, degree: int, weight: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Return the weights of the powers of z in polynomials of mean 0, standard deviation 1 and no correlation."""
    found = [np.eye(degree + 1)[0]]
    columns = [np.ones_like(z)]
    for k in range(1, degree + 1):
        weights, column = np.eye(degree + 1)[k], z**k
        # Twice, because one pass leaves an error of the powers' correlation times the rounding.
        for _ in range(2):
            for one, other in zip(found, columns, strict=True):
                along = _mean(column * other, weight)
                weights, column = weights - along * one, column - along * other
        length = math.sqrt(_mean(column**2, weight))
        found.append(weights / length)
        columns.append(column / length)
    return tuple(tuple(weights.tolist()) for weights in found[1:])


def _products(parts: Sequence[Encoding], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the products of one design column of each part, the last part's running fastest."""
    total = parts[0].design(values)
    for part in parts[1:]:
        design = part.design(values)
        total = (total[:, :, None] * design[:, None, :]).reshape(design.shape[0], -1)
    return total


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    # Exactly rounded sums: the order of customers then changes no bit.
    return math.fsum(values * weight) / math.fsum(weight)


def _checked_numbers(customers: xr.Dataset, column: str, reads: tuple[str, ...]) -> np.ndarray:
    """Return a column, or an expression of the columns ``reads``, as finite numbers."""
    values = {name: column_values(customers, name) for name in reads or (column,)}
    for name, each in values.items():
        if each.dtype == object:
            before = (
                "was a number at the fit and is text here"
                if not reads
                else f"is text, and {column} needs numbers"
            )
            raise InputError(f"Column {name!r} {before}, for example {each[0]!r}. Convert it to numbers.")
    if not reads:
        return values[column]
    found = np.broadcast_to(evaluate(column, values), (customers.sizes[CUSTOMER],))
    bad = ~np.isfinite(found)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        where = " and ".join(f"{name} is {each[first]:g}" for name, each in values.items())
        raise InputError(
            f"{column} has no finite value for {int(bad.sum()):,} of {bad.size:,} customers, for example customer "
            f"{str(customers[CUSTOMER].values[first])!r}, whose {where}. A logarithm or a ratio needs numbers above 0: "
            "log1p(column) takes 0 too; or correct them."
        )
    return np.asarray(found)


def _refuse_constant(column: str, distinct: np.ndarray) -> None:
    if distinct.size < 2:
        raise InputError(
            f"Column {column!r} is {distinct.tolist()[0]!r} for all customers of the fit, so nothing can be "
            "learned about its effect. Leave it out."
        )
