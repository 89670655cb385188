"""Conditions as text, comparisons joined by ``and``: of a segment's rule, and of the rows of an order log.

Read with Python's own parser, of which only names, numbers, texts, + - * /, comparisons and ``and`` are let through, so
that nothing in a rule file is ever executed. ``=``, ``<>``, ``AND`` and ``O''Brien`` are read as SQL has them. What a
rule's condition may say is told in ``segments.rules``; a condition on rows compares columns with texts and numbers
(``row_tests``).
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayes_clv.schema import InputError

type Numbers = np.ndarray | float

_COMPARE: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
BY_SIGN = dict(_COMPARE.values())
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

Scale = Literal["number", "quantile", "bringing", "text"]

# Far above what a person writes, and far below what Python's parser cannot take.
LONGEST = 2000
_WRITTEN_OUT = 10_000
DEEPEST = 200
_MOST_STEPS = 50

# Texts, numbers (the e of 1e5 is no name), signs and names.
_WORDS = re.compile(
    r"""('(?:[^']|'')*')|("[^"]*")|`([^`]*)`|(<>|[<>=!]=|=)|((?:\d[\d_]*\.?|\.)\d+(?:[eE][+-]?\d+)?\w*|\d\w*)"""
    r"""|([^\W\d]\w*)"""
)
_KEYWORDS = ("and", "or", "not", "in")
_ROW_SIGNS: dict[type, str] = {
    **{kind: sign for kind, (sign, _) in _COMPARE.items()},
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}


@dataclass(frozen=True)
class Expression:
    """A quantity: a name, or arithmetic of names and numbers; ``place`` says where it was written."""

    text: str
    place: str

    def names(self) -> list[str]:
        """Return the names it reads, in order of appearance."""
        found = [node.id for node in ast.walk(self._tree()) if isinstance(node, ast.Name)]
        return list(dict.fromkeys(found))

    def __call__(self, values: Mapping[str, Numbers]) -> Numbers:
        """Return its value where ``values`` are those of the names, arrays that broadcast.

        Raises InputError for a division by zero, with the number of times it happens.
        """
        return self._value(self._tree(), values)

    def _tree(self) -> ast.expr:
        return ast.parse(self.text, mode="eval").body

    def _value(self, node: ast.expr, values: Mapping[str, Numbers]) -> Numbers:
        if isinstance(node, ast.Name):
            return values[node.id]
        number = _number(node)
        if number is not None:
            return number
        if isinstance(node, ast.UnaryOp):
            return -self._value(node.operand, values)
        assert isinstance(node, ast.BinOp)
        left, right = self._value(node.left, values), self._value(node.right, values)
        if isinstance(node.op, ast.Div) and np.any(np.equal(right, 0)):
            zeros = int(np.equal(right, 0).sum())
            raise InputError(
                f"{self.place}: {self.text!r} divides by {ast.unparse(node.right)!r}, which is zero {zeros:,} "
                f"{'time' if zeros == 1 else 'times'} in {np.size(right):,} (customers × draws). Write the "
                "comparison without the ratio: 'a - 2 * b > 0' says of a positive b what 'a / b > 2' says."
            )
        result: Numbers = _ARITHMETIC[type(node.op)](left, right)
        return result


@dataclass(frozen=True)
class RowTest:
    """A column of a table against values: texts, numbers or truths; ``sign`` is a comparison, "in" or "not in"."""

    column: str
    sign: str
    values: tuple[str | float | bool, ...]

    def words(self) -> str:
        """Return it as it is written."""
        shown = ", ".join(repr(each) for each in self.values)
        return f"{self.column} {self.sign} {f'({shown})' if 'in' in self.sign else shown}"


@dataclass(frozen=True)
class Comparison:
    """A quantity against a threshold: a number, or a share of the base at ``level``.

    A column of text is compared with ``texts``, and ``sign`` is then "in" or "not in".
    """

    quantity: Expression
    sign: str
    scale: Scale
    level: float
    texts: tuple[str, ...] = ()


def _tree(text: str, written: str, place: str) -> ast.expr:
    """Return the syntax tree of a text; ``written`` is what the user wrote."""
    if len(text) > _WRITTEN_OUT or len(written) > LONGEST:
        raise InputError(
            f"{place}: {written[:40]!r}… is {max(len(text), len(written)):,} characters long, names written out. "
            "Say it "
            f"in {LONGEST:,}."
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise InputError(
            f"{place}: {written!r} cannot be read ({error.msg}). It is made of names, numbers, + - * / and comparisons "
            "such as frequency >= 2, which 'and' joins; a name of several words stands between backticks."
        ) from error
    except (RecursionError, MemoryError, ValueError):
        tree = None
    if tree is None or depth(tree) > DEEPEST:
        raise InputError(
            f"{place}: {written[:40]!r}… cannot be read: signs or brackets are nested more than {DEEPEST} deep."
        )
    return tree


def depth(tree: ast.AST) -> int:
    """Return how deep a tree is, without recursion."""
    level, found = [tree], 0
    while level:
        level, found = [child for node in level for child in ast.iter_child_nodes(node)], found + 1
    return found


def _in_python(text: str, hidden: dict[str, str] | None = None) -> str:
    """Return a condition's signs and texts as Python has them; names are put into ``hidden``, where it is given.

    A column may be called what no Python name can be: each gets a name of its own that the text does not hold.
    """
    mark = "_"
    while hidden is not None and mark in text:
        mark += "_"

    def word(found: re.Match[str]) -> str:
        single, double, quoted, sign, number, name = found.groups()
        if single is not None or double is not None:
            return repr(single[1:-1].replace("''", "'") if double is None else double[1:-1])
        if sign is not None:
            return {"=": "==", "<>": "!="}.get(sign, sign)
        if number is not None:
            return str(number)
        if quoted is None and name.lower() in _KEYWORDS:
            return str(name.lower())
        if quoted is None and (hidden is None or name.lower() in ("true", "false")):
            return name.capitalize() if name.lower() in ("true", "false") else name
        called = f"{mark}{len(hidden or {})}"
        if hidden is None:
            return f"`{quoted}`"
        hidden[called] = name if quoted is None else quoted
        return called

    return _WORDS.sub(word, text)


def _comparing(text: str, written: str, place: str) -> list[tuple[ast.expr, ast.cmpop, ast.expr]]:
    """Return the comparisons that a condition joins by ``and``: left side, sign, right side."""
    tree = _tree(text, written, place)
    parts = [tree]
    if isinstance(tree, ast.BoolOp):
        if isinstance(tree.op, ast.Or):
            raise InputError(
                f"{place}: {written!r} uses 'or'. Write two segments instead, so that each line says one thing; "
                "of rows, "
                "write a list: channel in ('web', 'shop')."
            )
        parts = tree.values
    found = []
    for part in parts:
        if not isinstance(part, ast.Compare):
            raise InputError(
                f"{place}: {written!r} is no comparison, or holds a part that is none. A condition is such as 'value > "
                "10 and purchases >= 2'."
            )
        sides = [part.left, *part.comparators]
        found += list(zip(sides, part.ops, sides[1:], strict=False))
    return found


def row_tests(text: Any, place: str) -> list[RowTest]:
    """Return the comparisons of columns with texts, numbers, true and false that a condition on rows joins.

    A name that is no plain word stands between backticks: `order status` = 'completed'.

    Raises InputError for what is no such condition.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(
            f"{place} is {text!r}. Write a condition on the rows to keep, such as \"status = 'completed'\"."
        )
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
        raise InputError(
            f"{place}: {text!a} holds the character NUL or half of one (a lone surrogate), which no engine compares. "
            "Leave it out."
        )
    names: dict[str, str] = {}
    found = []
    for left, sign, right in _comparing(_in_python(text, names), text, place):
        symbol = _ROW_SIGNS.get(type(sign))
        values, column = _row_values(right), left
        if values is None and symbol in _MIRRORED | {"!=": "!="}:
            values, column, symbol = _row_values(left), right, (_MIRRORED | {"!=": "!="})[str(symbol)]
        if symbol is None or values is None or not isinstance(column, ast.Name) or column.id not in names:
            raise InputError(
                f"{place}: {text!r} has a comparison that is not one of a column with a text or a number. Write "
                "it like "
                "status = 'completed', amount > 0, channel in ('web', 'shop') or `order status` <> 'test', "
                "joined by and."
            )
        if "in" not in symbol and isinstance(right, ast.Tuple | ast.List):
            raise InputError(
                f"{place}: {text!r} compares with a list. A list stands behind 'in': channel in ('web', 'shop')."
            )
        kinds = {type(each) for each in values}
        if not values or len(kinds) > 1:
            raise InputError(
                f"{place}: {text!r} has a list that is empty, or holds texts, numbers and truths beside each other. "
                "Write one kind."
            )
        found.append(RowTest(names[column.id], symbol, values))
    return found


def _row_values(node: ast.expr) -> tuple[str | float | bool, ...] | None:
    """Return the values of a side of a comparison; None where it is a column or anything else."""
    if isinstance(node, ast.Tuple | ast.List):
        each = [_row_values(part) for part in node.elts if not isinstance(part, ast.Tuple | ast.List)]
        known = [value for value in each if value is not None]
        return tuple(value for (value,) in known) if len(known) == len(node.elts) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bool):
        return (node.value,)
    number = _number(node)
    return None if number is None else (number,)


def parsed(text: str, place: str) -> ast.expr:
    """Return the syntax tree of a quantity; anything but arithmetic of names and numbers is refused."""
    tree = _tree(text, text, place)
    for node in ast.walk(tree):
        plain = isinstance(node, (ast.Name, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Load))
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        odd = isinstance(node, ast.BinOp) and type(node.op) not in _ARITHMETIC
        odd |= isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.USub)
        if odd or not (plain or number):
            raise InputError(
                f"{place}: {text!r} is no quantity. A quantity is a name, or names and numbers joined by + - * /."
            )
    return tree


def comparisons_of(text: str, place: str, defined: Mapping[str, Expression]) -> list[Comparison]:
    """Return the comparisons that a condition joins, with names that are ``defined`` written out."""
    sides = _comparing(_in_python(text), text, place)
    return [_comparison(left, sign, right, place, defined) for left, sign, right in sides]


def _comparison(
    left: ast.expr, sign: ast.cmpop, right: ast.expr, place: str, defined: Mapping[str, Expression]
) -> Comparison:
    with_text = _with_text(left, sign, right, place, defined)
    if with_text is not None:
        return with_text
    if type(sign) not in _COMPARE:
        raise InputError(
            f"{place}: {ast.unparse(ast.Compare(left, [sign], [right]))!r} compares by something else than "
            "< <= > >= ==; a column of text may be compared by == != in and not in."
        )
    symbol = _COMPARE[type(sign)][0]
    threshold = _threshold(right, place)
    quantity = left
    if threshold is None:
        threshold, quantity, symbol = _threshold(left, place), right, _MIRRORED[symbol]
    if threshold is None:
        written = f"{ast.unparse(left)} {symbol} {ast.unparse(right)}"
        text = ""
        if isinstance(sign, ast.Eq) and isinstance(left, ast.Name) and isinstance(right, ast.Name):
            text = f" A text stands in quotes: {left.id} == '{right.id}'."
        raise InputError(
            f"{place}: {written!r} has no threshold on either side. Compare with a number, quantile(0.8) or "
            f"bringing(0.8); two quantities are compared as '{ast.unparse(left)} - {ast.unparse(right)} > 0'.{text}"
        )
    text = ast.unparse(quantity)
    parsed(text, place)
    return Comparison(Expression(_written_out(text, place, defined, ()), place), symbol, *threshold)


def _with_text(
    left: ast.expr, sign: ast.cmpop, right: ast.expr, place: str, defined: Mapping[str, Expression]
) -> Comparison | None:
    """Return the comparison of a column with a text or a list of them, None where there is no text."""
    listed = isinstance(right, ast.Tuple | ast.List)
    found, column = _row_values(right), left
    if found is None and isinstance(sign, ast.Eq | ast.NotEq):
        found, column = _row_values(left), right
    if found is None or not any(isinstance(each, str) for each in found):
        return None
    texts = tuple(each for each in found if isinstance(each, str))
    written = ast.unparse(ast.Compare(left, [sign], [right]))
    if not isinstance(column, ast.Name) or column.id in defined:
        raise InputError(
            f"{place}: {written!r} compares {ast.unparse(column)!r} with a text. Only a column of text is compared "
            "with texts, such as channel == 'web'."
        )
    if listed != isinstance(sign, ast.In | ast.NotIn) or not isinstance(
        sign, ast.Eq | ast.NotEq | ast.In | ast.NotIn
    ):
        raise InputError(
            f"{place}: {written!r} cannot be: a text has no order, and stands alone. Write {column.id} == 'web', "
            f"{column.id} != 'web', {column.id} in ('web', 'shop') or {column.id} not in ('web', 'shop')."
        )
    if len(texts) < len(found):
        raise InputError(
            f"{place}: {written!r} has a list of texts and numbers beside each other. Write one kind."
        )
    symbol = "in" if isinstance(sign, ast.Eq | ast.In) else "not in"
    return Comparison(Expression(column.id, place), symbol, "text", 0.0, texts)


def _written_out(text: str, place: str, defined: Mapping[str, Expression], inside: tuple[str, ...]) -> str:
    """Return a quantity with every defined name replaced by what it stands for."""

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if node.id in inside:
                raise InputError(f"{place}: {node.id!r} is defined in terms of itself.")
            if node.id not in defined:
                return node
            if len(inside) > _MOST_STEPS:
                raise InputError(
                    f"{place}: {inside[0]!r} is defined by way of more than {_MOST_STEPS} others. Write it out."
                )
            expression = defined[node.id]
            return parsed(_written_out(expression.text, expression.place, defined, (*inside, node.id)), place)

    return ast.unparse(ast.fix_missing_locations(Replace().visit(parsed(text, place))))


def _threshold(node: ast.expr, place: str) -> tuple[Scale, float] | None:
    """Return the scale and level of a threshold, or None where the side is a quantity."""
    number = _number(node)
    if number is not None:
        return "number", number
    if not isinstance(node, ast.Call):
        return None
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    share = _number(node.args[0]) if len(node.args) == 1 and not node.keywords else None
    if name not in ("quantile", "bringing") or share is None or not 0 < share < 1:
        raise InputError(
            f"{place}: {ast.unparse(node)!r} is no threshold. Use a number, quantile(0.8) or bringing(0.8), with a "
            "share between 0 and 1."
        )
    return ("quantile", share) if name == "quantile" else ("bringing", share)


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value is not True:
        return None if node.value is False else float(node.value)
    return None


def threshold_words(scale: Scale, level: float) -> str:
    """Return a threshold as it is written in a condition."""
    return f"{level:.12g}" if scale == "number" else f"{scale}({level:.12g})"


def name_of(column: str) -> str:
    """Return a column's name as a condition has it: in backticks where it is no word.

    Examples
    --------
    >>> name_of("Order Status"), name_of("status")
    ('`Order Status`', 'status')
    """
    return column if column.isidentifier() and column not in ("in", "not", "and", "or") else f"`{column}`"
