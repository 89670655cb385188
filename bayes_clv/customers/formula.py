"""Formulas of covariates: ``age * gender + np.log(income)`` as terms that can be remembered and read back.

**Choice.** formulaic reads the notation of Wilkinson & Rogers (``+``, ``*``, ``:``, ``/``, ``(a + b)**2``, ``-``): a
plain dependency, because it is small, pure Python but for wrapt, imported only when a formula is given (0.35 s), and
what else it needs (pandas, scipy) is here already. What a factor such as ``np.log(income)`` *does* is decided here, by
a short list of functions whose state is a few numbers. formulaic could evaluate any Python, and pickles what it learnt:
a posterior read from a file would then run code that came with it, or not remember. Reading a posterior needs neither
formulaic nor a formula: the encodings in its attributes are numbers, labels and expressions of this list.
"""

import ast
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bayes_clv.conditions import DEEPEST, depth
from bayes_clv.schema import InputError

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "abs": np.abs,
}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
}
# Every number is standardised anyway, so that these change nothing.
_STANDARDISED = ("scale", "center", "standardize")
MAX_DEGREE = 5
# Far above what a person writes; formulaic writes out every product before it leaves out doubles.
MOST_PRODUCTS, LONGEST = 10_000, 10_000

_SYNTAX = re.compile(r"[+*:~(){}`|^/]|\s-\s")
_QUOTED = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Factor:
    """One factor of a term: a column, or an expression of columns.

    Attributes
    ----------
    expression : str
        The column's name, or the expression in the words of this module, names that are no identifiers in backticks.
    columns : tuple of str
        The columns that it reads.
    plain : bool
        Whether it is a column as it stands.
    levels : bool
        Whether the values are labels, ``C(column)``.
    degree : int
        Of ``poly``; 0 elsewhere.
    """

    expression: str
    columns: tuple[str, ...]
    plain: bool = False
    levels: bool = False
    degree: int = 0


type Terms = tuple[tuple[Factor, ...], ...]


def is_formula(text: str) -> bool:
    """Return whether the text is a formula and no name of a column.

    Examples
    --------
    >>> is_formula("age"), is_formula("age + gender"), is_formula("np.log(income)")
    (False, True, True)
    """
    return _SYNTAX.search(text) is not None


def read_formula(text: str) -> Terms:
    """Return the terms of a formula, each the tuple of its factors; main effects come first.

    Raises
    ------
    InputError
        For what cannot be read, what cannot be remembered, and an interaction without its main effects: what it means
        would depend on where the columns have their zero.

    Examples
    --------
    >>> [[factor.expression for factor in term] for term in read_formula("age * C(year) + np.log(income)")]
    [['age'], ['year'], ['log(income)'], ['age', 'year']]
    """
    from formulaic import Formula, SimpleFormula
    from formulaic.errors import FormulaicError
    from formulaic.parser import DefaultFormulaParser

    if len(text) > LONGEST:
        raise InputError(
            f"The formula {text[:40]!r}… is {len(text):,} characters long. Say it in {LONGEST:,}: join columns first."
        )
    bare = _QUOTED.sub("", text)
    if not unicodedata.is_normalized("NFKC", bare):
        raise InputError(
            f"The formula {text!r} has signs that Python takes for others, {bare!r} for "
            f"{unicodedata.normalize('NFKC', bare)!r}: put the name of the column in backticks."
        )
    try:
        if _products(DefaultFormulaParser().get_ast(text)) > MOST_PRODUCTS:
            raise InputError(
                f"The formula {text!r} makes more than {MOST_PRODUCTS:,} products of columns. Write out those that you "
                "mean, such as 'a + b + a:b'."
            )
        parsed = Formula(text)
    except RecursionError:
        raise _nested(text) from None
    except (FormulaicError, SyntaxError, ValueError, TypeError, AttributeError) as error:
        # Of brackets that do not meet, '[)', the parser asks what only operators have.
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"The formula {text!r} cannot be read. Write it like 'age + C(channel) + np.log(income)'; the name of a "
            "column with spaces or signs stands in backticks, '`age (years)` + gender'."
        ) from error
    if not isinstance(parsed, SimpleFormula):
        raise InputError(
            f"The formula {text!r} has two sides. Give only what acts, such as 'age + C(channel)': what it acts on "
            "is the key, {'purchase': 'age + C(channel)'}."
        )
    whole = [
        tuple(
            dict.fromkeys(
                _factor(str(factor.expr), factor.eval_method.value, text) for factor in term.factors
            )
        )
        for term in parsed
    ]
    found = [term for term in dict.fromkeys(whole) if term != _ONE]
    if len(found) == len(dict.fromkeys(whole)):
        raise InputError(
            f"The formula {text!r} takes the constant away. The population quantity is the constant of every formula, "
            "that of the average customer: leave out '- 1' and '0 +'."
        )
    if not found:
        raise InputError(f"The formula {text!r} names no column.")
    there = [frozenset(term) for term in found]
    for term in found:
        for margin in combinations(term, len(term) - 1):
            if margin and frozenset(margin) not in there:
                product = " * ".join(shown(factor) for factor in term)
                raise InputError(
                    f"The formula {text!r} has {':'.join(shown(factor) for factor in term)} without "
                    f"{':'.join(shown(factor) for factor in margin)}: what it says would depend on where the columns "
                    f"have their zero. Write {product!r}."
                )
    return tuple(found)


def _products(node: Any) -> int:
    """Return how many products formulaic would write out for a node of its tree, up to more than is allowed."""
    sizes: dict[int, int] = {}
    waiting = [node]
    while waiting:
        each = waiting[-1]
        parts = list(getattr(each, "args", ()))
        todo = [part for part in parts if id(part) not in sizes]
        if todo:
            waiting += todo
            continue
        waiting.pop()
        sizes[id(each)] = min(_made(each, [sizes[id(part)] for part in parts]), MOST_PRODUCTS + 1)
    return sizes[id(node)]


def _made(node: Any, sizes: list[int]) -> int:
    """Return the products of a node, given those of its parts."""
    if len(sizes) < 2:
        return max(sizes, default=1)
    sign, (left, right) = node.operator.symbol, sizes[:2]
    if sign in ("**", "^"):
        power = str(node.args[1])
        # As many products for one column, and each as long as the power.
        return max(left, 2) ** min(int(power), 20) if power.isdecimal() else left
    if sign in ("*", "/", "in"):
        return left + right + left * right
    return left * right if sign == ":" else left + right


def shown(factor: Factor) -> str:
    """Return the factor as it is written in a formula."""
    if factor.levels:
        return f"C({factor.expression})"
    return f"poly({factor.expression}, {factor.degree})" if factor.degree else factor.expression


def evaluate(expression: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return an expression of columns of numbers; not finite where it has no value, such as the logarithm of 0.

    Examples
    --------
    >>> evaluate("log(income) + `age (years)` ** 2", {"income": np.ones(2), "age (years)": np.array([1.0, 3.0])})
    array([1., 9.])
    """
    tree, names = _tree(expression)

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return values[names.get(node.id, node.id)]
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp):
            return -value(node.operand)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return FUNCTIONS[node.func.id](value(node.args[0]))
        assert isinstance(node, ast.Constant)
        return float(node.value)  # type: ignore[arg-type]

    with np.errstate(all="ignore"):
        return np.asarray(value(tree), dtype=float)


# The constant of a formula.
_ONE = (Factor("1", ()),)


def _factor(text: str, method: str, formula: str) -> Factor:
    """Return one factor as this module understands it."""
    if method == "literal":
        if text == "1":
            return _ONE[0]
        raise _refused(formula, text)
    if method == "lookup":
        return Factor(text, (text,), plain=True)
    try:
        node, names = _tree(text)
    except SyntaxError:
        raise _refused(formula, text) from None
    node = _unscaled(node)
    called, arguments = _called(node)
    if called == "C":
        if len(arguments) != 1 or not isinstance(arguments[0], ast.Name):
            raise InputError(
                f"The formula {formula!r} has {text!r}. Write C(column) and nothing more: levels are compared with the "
                "first in alphabetical order, and their average is the population's, so that no contrast is to choose."
            )
        name = names.get(arguments[0].id, arguments[0].id)
        return Factor(name, (name,), levels=True)
    degree = 0
    if called == "poly":
        number = (
            arguments[1].value if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) else None
        )
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_DEGREE:
            raise InputError(
                f"The formula {formula!r} has {text!r}. Write poly(column, degree) with a degree from 1 to "
                f"{MAX_DEGREE}, such as poly(age, 2); its polynomials are orthogonal over the customers of the fit."
            )
        node, degree = _unscaled(arguments[0]), number
    columns: dict[str, None] = {}
    plain = _checked(node, names, columns, lambda: _refused(formula, text))
    if not columns:
        raise _refused(formula, text)
    if isinstance(plain, ast.Name):
        name = names.get(plain.id, plain.id)
        return Factor(name, (name,), plain=not degree, degree=degree)
    written = ast.unparse(plain)
    for identifier, name in names.items():
        written = written.replace(identifier, f"`{name}`")
    return Factor(written, tuple(columns), degree=degree)


def _unscaled(node: ast.expr) -> ast.expr:
    """Return what stands in ``scale(...)`` or ``I(...)``."""
    called, arguments = _called(node)
    return _unscaled(arguments[0]) if called in (*_STANDARDISED, "I") and len(arguments) == 1 else node


def _called(node: ast.expr) -> tuple[str, list[ast.expr]]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return node.func.id, node.args
    return "", []


def _checked(
    node: ast.expr, names: Mapping[str, str], columns: dict[str, None], refusal: Callable[[], InputError]
) -> ast.expr:
    """Return an expression of numbers in the words of this module, after gathering the columns that it reads."""

    def again(inner: ast.expr) -> ast.expr:
        return _checked(inner, names, columns, refusal)

    if isinstance(node, ast.Name):
        columns[names.get(node.id, node.id)] = None
        return node
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return ast.BinOp(again(node.left), node.op, again(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return ast.UnaryOp(node.op, again(node.operand))
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            if function.value.id not in ("np", "numpy"):
                raise refusal()
            function = ast.Name(function.attr)
        if isinstance(function, ast.Name) and function.id in FUNCTIONS:
            return ast.Call(function, [again(node.args[0])], [])
        if isinstance(function, ast.Name) and function.id == "I":
            return again(node.args[0])
    raise refusal()


def _tree(text: str) -> tuple[ast.expr, dict[str, str]]:
    """Return the expression's tree and the names that identifiers of the tree stand for.

    Names in backticks get identifiers that the text does not hold.
    """
    mark = "_quoted"
    while mark in text:
        mark += "_"
    identifiers: dict[str, str] = {}

    def hidden(found: re.Match[str]) -> str:
        return f" {identifiers.setdefault(found[1], f'{mark}{len(identifiers)}_')} "

    written = _QUOTED.sub(hidden, text).strip()
    try:
        tree = ast.parse(written, mode="eval").body
    except (RecursionError, MemoryError):
        raise _nested(text) from None
    if depth(tree) > DEEPEST:
        raise _nested(text)
    return tree, {identifier: name for name, identifier in identifiers.items()}


def _nested(text: str) -> InputError:
    return InputError(
        f"The formula {text[:40]!r}… cannot be read: signs or brackets are nested more than {DEEPEST} deep."
    )


def _refused(formula: str, part: str) -> InputError:
    return InputError(
        f"The formula {formula!r} has {part!r}, which a saved posterior could not remember. A formula is made of "
        "columns, C(column) where a number stands for a level, poly(column, 2), "
        f"{', '.join(FUNCTIONS)} of columns and arithmetic in I(...), joined by +, * and :. Splines, lags and "
        "functions of your own are columns that you add to the table."
    )
