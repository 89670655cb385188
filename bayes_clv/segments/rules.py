"""Rules of segments: which customers belong to which, in a few lines that an analyst writes and a reader checks.

A rule is a list of segments, each with a condition on named quantities of a customer::

    name = "Kinds of customers"

    [quantities]
    profit = "value - cost_to_serve"

    [[segments]]
    name = "gold"
    where = "profit > 0 and purchases >= 2"

    [[segments]]
    name = "meteor"
    where = "profit > 0 and purchases < 2"

    [[segments]]
    name = "burden"
    otherwise = true

A condition joins comparisons by ``and``; a comparison sets a quantity (a name, or an expression of names and numbers
with + - * /) against a threshold: a number; ``quantile(0.8)``, the amount that 80 % of the customers do not exceed;
or ``bringing(0.8)``, the amount from which on the best customers together bring 80 % of the sum. The last two are
the base's own, and found anew in every draw. ``0 < purchases <= 3`` is two comparisons. A column of text is compared
with texts: ``channel == 'web'``, ``channel != 'web'``, ``channel in ('web', 'shop')``, ``channel not in (...)``. There
is no ``or``: two segments may be given, and joined when they are read.

**Every customer in exactly one segment.** The thresholds on one quantity cut its line into points and the intervals
between them, and those of all quantities cut space into cells, in each of which every comparison is true or false
throughout. The rule is checked cell by cell when it is read: a cell that two segments claim, or none, is refused with
the lines and an example. So the check is exact and needs no data. Counts are known to be whole, and money, rates and
times not to be negative (``RANGES``). It needs to know the order of the thresholds on a
quantity, which is why one quantity cannot be cut by numbers and by shares of the base at once.

Rejected: conditions in Python or SQL, which can say anything, so that overlaps are found only where the data happen to
fall into them; and a first-match order of segments, in which a condition means another thing when a line is moved.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.conditions import (
    BY_SIGN,
    Comparison,
    Expression,
    Scale,
    comparisons_of,
    parsed,
    threshold_words,
)
from bayes_clv.schema import InputError

# Cells that are checked one by one; 5 × 5 × 5 scores have 729.
MOST_CELLS = 200_000


# What is known of a quantity's range: lowest, highest, and whether it is a whole number. A rule need not speak of
# half a purchase.
RANGES: dict[str, tuple[float, float, bool]] = {
    **dict.fromkeys(("purchases", "frequency", "holdout_purchases"), (0.0, math.inf, True)),
    "alive": (0.0, 1.0, True),
    "probability_alive": (0.0, 1.0, False),
    "dropout": (0.0, 1.0, False),
    **dict.fromkeys(
        (
            "recency",
            "T",
            "time_since_purchase",
            "monetary_value",
            "first_spend",
            "historical_spend",
            "spend",
            "value",
            "purchase_rate",
            "dropout_rate",
            "spend_per_purchase",
            "active_time",
        ),
        (0.0, math.inf, False),
    ),
}


@dataclass(frozen=True)
class Axis:
    """One quantity and the thresholds that cut it, in rising order of amount.

    The ``texts`` that a column of text is compared with are numbered from 1, which are its thresholds; any other text
    is 0.
    """

    quantity: Expression
    scale: Scale
    levels: tuple[float, ...]
    texts: tuple[str, ...] = ()

    @property
    def of_base(self) -> bool:
        """Return whether the thresholds are found in the base, in every draw."""
        return self.scale in ("quantile", "bringing")

    def amount(self, values: Mapping[str, Any]) -> np.ndarray:
        """Return the quantity, or the number of each customer's text; NaN where there is none."""
        if self.scale != "text":
            return np.asarray(self.quantity(values), dtype=np.float64)
        own = np.asarray(values[self.quantity.text], dtype=object)
        found = np.zeros(own.shape)
        for level, text in zip(self.levels, self.texts, strict=True):
            found[own == text] = level
        # Missing: None, or what differs from itself.
        found[(own == None) | (own != own) | (own == "")] = np.nan  # noqa: E711
        return found

    @property
    def cells(self) -> int:
        """Return the number of points and intervals."""
        return 2 * len(self.levels) + 1

    def place(self, amount: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Return the cell (even: interval, odd: a threshold itself) of each amount.

        ``thresholds`` are (cut,) or (cut, draw), rising; amounts (customer,) or (customer, draw).
        """
        found = np.zeros(np.broadcast_shapes(amount.shape, thresholds.shape[1:]), dtype=np.int32)
        for threshold in thresholds:
            found += (amount >= threshold).astype(np.int32) + (amount > threshold)
        return found

    def possible(self) -> np.ndarray:
        """Return which cells there can be, from what is known of the quantity's range (``RANGES``)."""
        found = np.ones(self.cells, dtype=bool)
        if self.scale == "text":
            found[2::2] = False
            return found
        if self.scale != "number" or self.quantity.text not in RANGES:
            return found
        low, high, whole = RANGES[self.quantity.text]
        ends = [-math.inf, *self.levels, math.inf]
        for cell in range(self.cells):
            which, inside = divmod(cell, 2)
            if inside:
                level = self.levels[which]
                found[cell] = low <= level <= high and not (whole and level != round(level))
            else:
                left, right = ends[which], ends[which + 1]
                found[cell] = right > low and left < high
                if whole and found[cell]:
                    first = low if left < low else math.floor(left) + 1
                    found[cell] = first < right and first <= high
        return found

    def words(self, cell: int) -> str:
        """Return a cell as a condition."""
        which, inside = divmod(cell, 2)
        if self.scale == "text":
            others = self.texts[0] if len(self.texts) == 1 else self.texts
            return f"{self.quantity.text} {f'== {self.texts[which]!r}' if inside else _other_than(others)}"
        level = [threshold_words(self.scale, each) for each in self.levels]
        if inside:
            return f"{self.quantity.text} == {level[which]}"
        parts = []
        if which > 0:
            parts.append(f"{self.quantity.text} > {level[which - 1]}")
        if which < len(level):
            parts.append(f"{self.quantity.text} < {level[which]}")
        return " and ".join(parts)


def _other_than(texts: Any) -> str:
    return f"!= {texts!r}" if isinstance(texts, str) else f"not in {texts!r}"


@dataclass(frozen=True)
class Segment:
    """A name, its condition as written ("" for the rest), and where."""

    name: str
    where: str
    place: str


@dataclass(frozen=True)
class Rule:
    """Segments that every customer belongs to exactly one of; made by ``rule`` and ``read_rule``.

    Attributes
    ----------
    name : str
    segments : tuple of Segment
    axes : tuple of Axis
        The quantities that are cut.
    table : numpy.ndarray
        The segment's number of each cell, one dimension an axis.
    """

    name: str
    segments: tuple[Segment, ...]
    axes: tuple[Axis, ...]
    table: np.ndarray

    def names(self) -> list[str]:
        """Return the names of the quantities that the rule reads."""
        return list(dict.fromkeys(name for axis in self.axes for name in axis.quantity.names()))

    def texts(self) -> list[str]:
        """Return the names of those that are columns of text."""
        return [axis.quantity.text for axis in self.axes if axis.scale == "text"]

    def amounts(self, values: Mapping[str, Any]) -> list[np.ndarray]:
        """Return the amount of each axis."""
        return [axis.amount(values) for axis in self.axes]

    def assign(self, amounts: Sequence[np.ndarray], thresholds: Sequence[np.ndarray]) -> np.ndarray:
        """Return the number of the segment of each customer (and draw) from its amounts.

        NaN belongs nowhere and is -1.
        """
        places = [
            axis.place(amount, cut) for axis, amount, cut in zip(self.axes, amounts, thresholds, strict=True)
        ]
        flat: Any = 0
        for axis, place in zip(self.axes, places, strict=True):
            flat = flat * axis.cells + place
        found = self.table.ravel()[flat]
        unknown: Any = False
        for amount in amounts:
            unknown = unknown | np.isnan(amount)
        return np.where(unknown, -1, found)


def rule(name: str, segments: Mapping[str, str | None], quantities: Mapping[str, str] | None = None) -> Rule:
    """Return a rule from conditions; one segment may have ``None``: the customers that no other takes.

    Parameters
    ----------
    name : str
        What the rule is called in tables and figures.
    segments : mapping of str to str or None
        Condition of each segment by its name, in any language.
    quantities : mapping of str to str, optional
        Further names, each an expression of known ones.

    Raises
    ------
    InputError
        For a condition that cannot be read, segments that overlap or leave customers out, and a name defined in
        terms of itself.

    Examples
    --------
    >>> buyers = rule("Buyers", {"again": "purchases >= 1", "never again": None})
    >>> [segment.name for segment in buyers.segments]
    ['again', 'never again']
    """
    _refuse_no_texts(name, segments, quantities or {})
    places = {each: f"rule {name!r}, segment {each!r}" for each in segments}
    given = [Segment(each, "" if where is None else where, places[each]) for each, where in segments.items()]
    defined = {
        each: Expression(text, f"rule {name!r}, quantity {each!r}")
        for each, text in (quantities or {}).items()
    }
    return build_rule(name, given, defined)


def build_rule(name: str, segments: Sequence[Segment], defined: Mapping[str, Expression]) -> Rule:
    """Return the rule, once its segments neither overlap nor leave anybody out."""
    if not segments:
        raise InputError(f"Rule {name!r} has no segments. Give each a name and a condition.")
    _refuse_doubles(segments)
    for expression in defined.values():
        parsed(expression.text, expression.place)
    conditions = [
        [] if not segment.where else comparisons_of(segment.where, segment.place, defined)
        for segment in segments
    ]
    axes = _axes(conditions)
    cells = math.prod(axis.cells for axis in axes)
    if cells > MOST_CELLS:
        raise InputError(
            f"Rule {name!r} cuts the customers into {cells:,} cells, more than {MOST_CELLS:,}. Use fewer thresholds."
        )
    return Rule(name, tuple(segments), tuple(axes), _table(segments, conditions, axes))


def _refuse_no_texts(name: Any, segments: Any, quantities: Any) -> None:
    """Refuse segments and quantities that are no mappings of texts; a segment may have None."""
    for what, given in (("segments", segments), ("quantities", quantities)):
        if not isinstance(given, Mapping):
            raise InputError(
                f"The {what} of rule {name!r} are {given!r}. Write them like {{'again': 'purchases >= 1'}}."
            )
        for key, text in given.items():
            if not isinstance(key, str) or not (
                isinstance(text, str) or (text is None and what == "segments")
            ):
                raise InputError(
                    f"Rule {name!r}: among the {what} {key!r} is {text!r}. Write both as text, such as "
                    "{'again': 'purchases >= 1'}."
                )


def _refuse_doubles(segments: Sequence[Segment]) -> None:
    seen: dict[str, str] = {}
    rest = ""
    for segment in segments:
        if segment.name in seen:
            raise InputError(
                f"{segment.place}: segment {segment.name!r} is there already ({seen[segment.name]})."
            )
        seen[segment.name] = segment.place
        if not segment.where:
            if rest:
                raise InputError(f"{segment.place}: {rest} already takes the customers that no other takes.")
            rest = f"{segment.name!r}"


def _axes(conditions: Sequence[Sequence[Comparison]]) -> list[Axis]:
    """Return the quantities that are cut, each with its thresholds from low to high."""
    of: dict[str, list[Comparison]] = {}
    for comparison in (each for condition in conditions for each in condition):
        of.setdefault(comparison.quantity.text, []).append(comparison)
    axes = []
    for text, comparisons in of.items():
        first = comparisons[0]
        other = next((each for each in comparisons if each.scale != first.scale), None)
        if other is not None:
            words = [
                repr(each.texts[0]) if each.texts else threshold_words(each.scale, each.level)
                for each in (first, other)
            ]
            if "text" in (first.scale, other.scale):
                raise InputError(
                    f"{other.quantity.place}: {text!r} is compared with {words[1]}, and with {words[0]} "
                    f"({first.quantity.place}). A column holds texts or numbers: compare it with one kind."
                )
            raise InputError(
                f"{other.quantity.place}: {text!r} is cut at {words[1]}, and at {words[0]} ({first.quantity.place}). "
                "Which of the two is higher depends on the data, so that it cannot be known whether the segments "
                "overlap. Use one kind of threshold for it."
            )
        if first.scale == "text":
            texts = sorted({each for comparison in comparisons for each in comparison.texts})
            axes.append(Axis(first.quantity, "text", tuple(range(1, len(texts) + 1)), tuple(texts)))
            continue
        # The more the best customers are to bring together, the lower the amount from which they are the best.
        levels = sorted({each.level for each in comparisons}, reverse=first.scale == "bringing")
        axes.append(Axis(first.quantity, first.scale, tuple(levels)))
    return axes


def _table(
    segments: Sequence[Segment], conditions: Sequence[Sequence[Comparison]], axes: Sequence[Axis]
) -> np.ndarray:
    """Return the segment of every cell; a cell of two segments, or of none, is refused."""
    shape = tuple(axis.cells for axis in axes)
    claims = []
    for condition in conditions:
        claim = np.ones(shape, dtype=bool)
        for comparison in condition:
            number = next(i for i, axis in enumerate(axes) if axis.quantity.text == comparison.quantity.text)
            holds = _holds(axes[number], comparison)
            claim &= holds.reshape([-1 if i == number else 1 for i in range(len(shape))])
        claims.append(claim)
    possible = np.ones(shape, dtype=bool)
    for i, axis in enumerate(axes):
        possible &= axis.possible().reshape([-1 if i == j else 1 for j in range(len(shape))])
    claims = [claim & possible for claim in claims]
    rest = [i for i, segment in enumerate(segments) if not segment.where]
    named = [i for i in range(len(segments)) if i not in rest]
    times = sum((claims[i].astype(int) for i in named), np.zeros(shape, dtype=int))
    if (times > 1).any():
        cell = tuple(np.argwhere(times > 1)[0])
        first, second = [segments[i] for i in named if claims[i][cell]][:2]
        raise InputError(
            f"{second.place}: segment {second.name!r} overlaps {first.name!r} ({first.place}): both take customers "
            f"with {_cell_words(axes, cell)}."
        )
    left_out = possible & (times == 0)
    if not rest and left_out.any():
        cell = tuple(np.argwhere(left_out)[0])
        last = segments[-1]
        raise InputError(
            f"{last.place}: no segment up to {last.name!r} takes customers with {_cell_words(axes, cell)}. Widen a "
            "condition, or add a segment with otherwise = true."
        )
    table = np.full(shape, rest[0] if rest else -1, dtype=np.int32)
    for i in named:
        table[claims[i]] = i
    for i, segment in enumerate(segments):
        if not ((table == i) & possible).any():
            raise InputError(
                f"{segment.place}: segment {segment.name!r} takes no customer at all: {segment.where!r}."
            )
    return table


def _holds(axis: Axis, comparison: Comparison) -> np.ndarray:
    """Return in which cells of its axis a comparison is true."""
    # A cell's place on a line on which the j-th threshold is 2 j + 1.
    places = np.arange(axis.cells)
    if axis.scale == "text":
        named = np.isin(places, [2 * axis.texts.index(each) + 1 for each in comparison.texts])
        return named if comparison.sign == "in" else ~named
    found: np.ndarray = BY_SIGN[comparison.sign](places, 2 * axis.levels.index(comparison.level) + 1)
    return found


def _cell_words(axes: Sequence[Axis], cell: Sequence[int]) -> str:
    return " and ".join(axis.words(int(place)) for axis, place in zip(axes, cell, strict=True))
