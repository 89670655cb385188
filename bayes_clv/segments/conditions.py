"""The conditions of a rule, as text: comparisons of named quantities with thresholds, joined by ``and``.

Read with Python's own parser, of which only names, numbers, + - * /, comparisons and ``and`` are let through, so that
nothing in a rule file is ever executed. What a condition may say is told in ``rules``.
"""

import ast
import operator
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

Scale = Literal["number", "quantile", "bringing"]


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
class Comparison:
    """A quantity against a threshold: a number, or a share of the base at ``level``."""

    quantity: Expression
    sign: str
    scale: Scale
    level: float


def parsed(text: str, place: str) -> ast.expr:
    """Return the syntax tree of a quantity; anything but arithmetic of names and numbers is refused."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise InputError(f"{place}: {text!r} cannot be read ({error.msg}).") from error
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
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise InputError(f"{place}: {text!r} cannot be read ({error.msg}).") from error
    parts = [tree]
    if isinstance(tree, ast.BoolOp):
        if isinstance(tree.op, ast.Or):
            raise InputError(
                f"{place}: {text!r} uses 'or'. Write two segments instead, so that each line says one thing."
            )
        parts = tree.values
    found = []
    for part in parts:
        if not isinstance(part, ast.Compare):
            raise InputError(
                f"{place}: {ast.unparse(part)!r} is no comparison. A condition is such as 'value > 10 and purchases "
                ">= 2'."
            )
        sides = [part.left, *part.comparators]
        for left, sign, right in zip(sides, part.ops, sides[1:], strict=False):
            found.append(_comparison(left, sign, right, place, defined))
    return found


def _comparison(
    left: ast.expr, sign: ast.cmpop, right: ast.expr, place: str, defined: Mapping[str, Expression]
) -> Comparison:
    if type(sign) not in _COMPARE:
        raise InputError(
            f"{place}: {ast.unparse(ast.Compare(left, [sign], [right]))!r} compares by something else than "
            "< <= > >= ==."
        )
    symbol = _COMPARE[type(sign)][0]
    threshold = _threshold(right, place)
    quantity = left
    if threshold is None:
        threshold, quantity, symbol = _threshold(left, place), right, _MIRRORED[symbol]
    if threshold is None:
        written = f"{ast.unparse(left)} {symbol} {ast.unparse(right)}"
        raise InputError(
            f"{place}: {written!r} has no threshold on either side. Compare with a number, quantile(0.8) or "
            f"bringing(0.8); two quantities are compared as '{ast.unparse(left)} - {ast.unparse(right)} > 0'."
        )
    text = ast.unparse(quantity)
    parsed(text, place)
    return Comparison(Expression(_written_out(text, place, defined, ()), place), symbol, *threshold)


def _written_out(text: str, place: str, defined: Mapping[str, Expression], inside: tuple[str, ...]) -> str:
    """Return a quantity with every defined name replaced by what it stands for."""

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if node.id in inside:
                raise InputError(f"{place}: {node.id!r} is defined in terms of itself.")
            if node.id not in defined:
                return node
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
