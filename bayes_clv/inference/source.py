"""The source of one function for a log density and its gradient, written from their PyTensor graph node by node.

What ``density`` compiles: a loop over the rows of each term in which every number is a local variable, and plain
statements between the loops, so that value and gradient share what they have in common and no array is written in
between. The loops hold no jumps and no calls but for rare operations (``distributions.elementary``), so that a
processor takes several rows at a time.

**What is not elementwise** (a dot product, an operator of a family's own) is the function that PyTensor's backend has
for it, called on arrays.

**What is not written** (``Unwritten``): a vector whose length is not known beforehand, an index that moves with the
parameters, an array without elements. ``density`` then takes PyTensor's own compilation.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import toposort
from pytensor.link.numba.dispatch.basic import numba_funcify_ensure_cache
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar import basic as scalar
from pytensor.scalar.math import GammaLn, Psi, Sigmoid, Softplus
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Sum
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.subtensor import AdvancedIncSubtensor, AdvancedSubtensor, IncSubtensor, Subtensor

from bayes_clv.distributions.elementary import exp, expm1, log, log1p, log1p_positive
from bayes_clv.distributions.gamma_ratio import digamma, digamma_ratio, log_gamma_ratio
from bayes_clv.distributions.gamma_ratio_operator import DigammaRatio, LogGammaRatio
from bayes_clv.inference.loops import PARTS, Lines, Value

# Numbers written with at most as many characters belong to the formula and are part of the source.
SHORT = 5

_INFIX: dict[type, str] = {
    scalar.Add: "+",
    scalar.Mul: "*",
    scalar.Sub: "-",
    scalar.GT: ">",
    scalar.LT: "<",
    scalar.GE: ">=",
    scalar.LE: "<=",
    scalar.EQ: "==",
    scalar.NEQ: "!=",
    scalar.AND: "&",
    scalar.OR: "|",
}
_CALL: dict[type, str] = {
    scalar.Exp: "exp({})",
    scalar.Log: "log({})",
    scalar.Log1p: "log1p({})",
    scalar.Expm1: "expm1({})",
    scalar.Sqrt: "math.sqrt({})",
    scalar.Neg: "(-{})",
    scalar.Sqr: "({0} * {0})",
    scalar.Switch: "({1} if {0} else {2})",
    scalar.Second: "{1}",
    scalar.Identity: "{}",
    GammaLn: "math.lgamma({})",
    Psi: "digamma({})",
    LogGammaRatio: "log_gamma_ratio({}, {})",
    DigammaRatio: "digamma_ratio({}, {})",
}
_CAST = {"float64": "float({})", "int64": "int({})", "bool": "bool({})"}


class Unwritten(Exception):
    """The graph holds what is not written here; nothing is wrong with it."""


_FUNCTIONS = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "log1p_positive": log1p_positive,
    "digamma": digamma,
    "log_gamma_ratio": log_gamma_ratio,
    "digamma_ratio": digamma_ratio,
}


class _Writer:
    """Writes the source of one function, node by node in topological order."""

    def __init__(self) -> None:
        self.values: dict[Any, Value] = {}
        self.constants: dict[Any, np.ndarray] = {}
        self.lines = Lines()
        self.squares: dict[str, str] = {}
        self.quotients: dict[str, tuple[str, str]] = {}
        self.functions: dict[Any, str] = {}
        self.environment: dict[str, Any] = {"__name__": __name__, "math": math, "np": np} | _FUNCTIONS | PARTS
        self.keys: list[str | None] = []
        self.data: dict[Any, tuple[str, np.ndarray]] = {}
        self.numbers: dict[Any, str] = {}
        self.places: list[str] = []

    def read(self, variables: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> None:
        """Read the variables from the point, one after the other.

        The length of a vector is a number of the call: more groups or more periods have the same source.
        """
        before, scalars = "", 0
        for variable, shape in zip(variables, shapes, strict=True):
            name, place = self.lines.name(), f"{before}{scalars}"
            self.places.append(place)
            if shape in ((), (1,)):
                self.lines.statement(0, f"{name} = x[{place}]")
                self.values[variable] = Value(name)
                scalars += 1
                continue
            if len(shape) != 1:
                raise Unwritten(f"{variable} has the shape {shape}.")
            (rows,) = shape
            end = self.lines.name()
            self.lines.statement(0, f"{end} = {place} + int({self.known(rows)})")
            self.lines.statement(0, f"{name} = x[{place} : {end}]")
            self.lines.lengths.setdefault(rows, f"{name}.size")
            self.values[variable] = Value(name, 0, rows, "array")
            before, scalars = f"{end} + ", 0

    def known(self, number: float) -> str:
        """Return the name of a number that is handed over at each call."""
        return self.numbers.setdefault(float(number), f"c{len(self.numbers)}")

    def constant(self, variable: Any) -> np.ndarray | None:
        """Return what is known of a variable before any point is."""
        if isinstance(variable, Constant):
            return np.asarray(variable.data)
        return self.constants.get(variable)

    def fixed(self, variable: Any) -> np.ndarray:
        """Return the value of a constant, such as an index."""
        data = self.constant(variable)
        if data is None:
            raise Unwritten(f"{variable} is no constant.")
        return data

    def value(self, variable: Any) -> Value:
        """Return the value of a variable whose node has been written, or of a constant."""
        if variable not in self.values and isinstance(variable, SharedVariable):
            self.values[variable] = Value(self.numbers.setdefault(variable, f"c{len(self.numbers)}"))
        if variable not in self.values:
            data = self.fixed(variable)
            self.values[variable] = self.number(data) if data.size == 1 else self.argument(data)
        return self.values[variable]

    def number(self, data: np.ndarray) -> Value:
        number = data.reshape(()).item()
        text = repr(number)
        if not np.isfinite(number):
            return Value({"inf": "np.inf", "-inf": "-np.inf"}.get(text, "np.nan"))
        if len(text.lstrip("-")) <= SHORT and not (isinstance(number, int) and abs(number) > 99):
            return Value(f"({text})" if number < 0 else text)
        return Value(self.known(number))

    def argument(self, data: np.ndarray) -> Value:
        key = (data.dtype.str, data.shape, data.tobytes())
        name, _ = self.data.setdefault(key, (f"a{len(self.data)}", np.array(data, order="C")))
        if data.ndim == 1:
            self.lines.lengths.setdefault(data.size, f"{name}.size")
            cast = {"b": "({} != 0.0)", "i": "int({})"}.get(data.dtype.kind, "{}")
            return Value(name, 0, data.size, "array", cast)
        return Value(name, 0, 0, "array")

    def as_array(self, variable: Any) -> tuple[str, int]:
        """Return the text of a whole array, and the stage from which it can be used."""
        data = self.constant(variable)
        if isinstance(variable.type, scalar.ScalarType):
            value = self.value(variable)
            return value.text, value.stage
        if data is not None:
            return self.argument(data).text, 0
        value = self.value(variable)
        if value.kind == "array":
            return value.text, value.stage
        if value.kind == "loop":
            return self.lines.keep(value), value.stage + 1
        shape = (
            "()"
            if variable.type.ndim == 0
            else f"({', '.join(self.lines.length(n) for n in self.shape(variable))},)"
        )
        name = self.lines.name()
        self.lines.statement(value.stage, f"{name} = np.full({shape}, {value.text})")
        return name, value.stage

    def shape(self, variable: Any) -> tuple[int, ...]:
        found = tuple(variable.type.shape)
        if variable in self.values and self.values[variable].rows:
            return (self.values[variable].rows,)
        if None in found:
            raise Unwritten(f"The length of {variable} is not known.")
        return tuple(size for size in found if size is not None)

    def node(self, node: Any) -> None:
        """Write one operation."""
        inputs = [self.constant(each) for each in node.inputs]
        if all(each is not None for each in inputs):
            storage: list[list[Any]] = [[None] for _ in node.outputs]
            node.op.perform(node, inputs, storage)
            self.constants |= {
                out: np.asarray(each[0]) for out, each in zip(node.outputs, storage, strict=True)
            }
            return
        if any(0 in each.type.shape for each in (*node.inputs, *node.outputs)):
            raise Unwritten(f"{node} is of an array without elements.")
        op, (out, *_) = node.op, node.outputs
        first = node.inputs[0]
        plain = out.type.ndim == 0 or (out.type.ndim == 1 and None not in out.type.shape)
        if not plain:
            self.call(node)
            return
        match op:
            case Elemwise():
                self.values[out] = self.elementwise(op.scalar_op, node)
            case DimShuffle() | SpecifyShape() if first.type.ndim <= 1:
                self.values[out] = self.value(first)
            case Alloc() if first.type.ndim == 0:
                rows = 0 if out.type.shape in ((), (1,)) else out.type.shape[0]
                self.values[out] = replace(self.value(first), rows=rows)
            case Sum() if first.type.ndim <= 1:
                self.values[out] = self.sum(self.value(first))
            case CheckAndRaise() if first.type.ndim == 0:
                self.values[out] = self.checked(node)
            case AdvancedSubtensor(idx_list=(0,)) if first.type.ndim == node.inputs[1].type.ndim == 1:
                self.values[out] = self.gathered(node)
            case AdvancedIncSubtensor(idx_list=(0,), set_instead_of_inc=False) if (
                first.type.ndim == node.inputs[2].type.ndim == 1
            ):
                self.values[out] = self.scattered(node)
            case Subtensor(idx_list=(0,)) if first.type.ndim == 1:
                self.values[out] = self.picked(node)
            case IncSubtensor(idx_list=(0,)) if first.type.ndim == 1:
                self.values[out] = self.placed(node)
            case _:
                self.call(node)

    def elementwise(self, op: Any, node: Any) -> Value:
        values = [self.value(each) for each in node.inputs]
        if isinstance(op, scalar.Second):
            rows = next((each.rows for each in values if each.rows), 0)
            return values[1] if values[1].rows == rows else replace(values[1], rows=rows)
        neutral = {scalar.Mul: ("1", "1.0"), scalar.Add: ("0", "0.0")}.get(type(op))
        rows = next((each.rows for each in values if each.rows), 0)
        if neutral:
            left = [each for each in values if each.kind != "number" or each.text not in neutral]
            if len(left) == 1 and node.outputs[0].type.dtype == "float64":
                return left[0] if left[0].rows == rows else replace(left[0], rows=rows)
            values = left or values[:1]
        stage = max(each.stage for each in values)
        loop = any(each.kind != "number" for each in values)
        texts = [self.lines.element(each, stage) if loop else each.text for each in values]
        text = self.expression(op, texts, node, stage, rows if loop else 0)
        found = self.lines.named(text, stage, rows if loop else 0)
        if isinstance(op, scalar.Sqr) and loop:
            self.squares[found.text] = texts[0]
        return found if found.rows == rows else replace(found, rows=rows)

    def expression(self, op: Any, texts: list[str], node: Any, stage: int, rows: int) -> str:
        kind = type(op)
        if kind in _INFIX:
            return f" {_INFIX[kind]} ".join(texts)
        if kind in _CALL:
            return _CALL[kind].format(*texts)
        if kind is scalar.Pow:
            return f"{texts[0]} ** {texts[1]}"
        if kind is scalar.TrueDiv:
            return f"{texts[0]} * {self.inverse(texts[1], stage, rows)}"
        if kind is scalar.Reciprocal:
            return self.inverse(texts[0], stage, rows)
        if kind in (Sigmoid, Softplus):
            # What both need: exp(-|x|) and the inverse of one more.
            small = self.lines.named(f"exp(-abs({texts[0]}))", stage, rows).text
            inverse = self.inverse(self.lines.named(f"1.0 + {small}", stage, rows).text, stage, rows)
            if kind is Sigmoid:
                return f"(1.0 if {texts[0]} >= 0.0 else {small}) * {inverse}"
            return f"({texts[0]} if {texts[0]} > 0.0 else 0.0) + log1p_positive({small}, {inverse})"
        if kind is scalar.Cast and node.outputs[0].type.dtype in _CAST:
            return _CAST[node.outputs[0].type.dtype].format(*texts)
        types = tuple(each.type.dtype for each in node.inputs)
        if (op, types) not in self.functions:
            apply = op.make_node(*(scalar.get_scalar_type(each)() for each in types))
            self.functions[op, types] = self.function(op, apply)
        return f"{self.functions[op, types]}({', '.join(texts)})"

    def inverse(self, text: str, stage: int, rows: int) -> str:
        """Return the name of 1 / text; each is computed once, as divisions cost more than all the rest."""
        if text in self.squares:
            root = self.inverse(self.squares[text], stage, rows)
            return self.lines.named(f"{root} * {root}", stage, rows).text
        if text in self.quotients:
            above, below = self.quotients[text]
            return self.lines.named(f"{below} * {self.inverse(above, stage, rows)}", stage, rows).text
        return self.lines.named(f"1.0 / {text}", stage, rows).text

    def sum(self, value: Value) -> Value:
        if not value.rows:
            return value
        name = self.lines.name()
        if value.kind == "number":
            self.lines.statement(value.stage, f"{name} = {self.lines.length(value.rows)} * {value.text}")
            return Value(name, value.stage)
        self.lines.loop(value.rows, value.stage).sums[name] = self.lines.element(value, value.stage)
        return Value(name, value.stage + 1)

    def checked(self, node: Any) -> Value:
        value, *conditions = (self.value(each) for each in node.inputs)
        conditions = [each for each in conditions if each.text != "True"]
        if not conditions:
            return value
        stage = max(each.stage for each in (value, *conditions))
        name = self.lines.name()
        self.lines.statement(
            stage, f"{name} = {value.text} if {' and '.join(c.text for c in conditions)} else -np.inf"
        )
        return Value(name, stage)

    def gathered(self, node: Any) -> Value:
        source, stage = self.as_array(node.inputs[0])
        index = self.argument(self.fixed(node.inputs[1]))
        call = f"gather(room, {{at}}, {{size}}, {source}, {index.text}, {{first}})"
        return Value(self.lines.read_in(index.rows, stage, call), stage, index.rows, "loop")

    def scattered(self, node: Any) -> Value:
        target, added = self.value(node.inputs[0]), self.value(node.inputs[1])
        text, stage = self.as_array(node.inputs[0])
        index = self.argument(self.fixed(node.inputs[2]))
        stage = max(stage, added.stage)
        name = self.lines.name()
        self.lines.statement(stage, f"{name} = {text}.copy()")
        call = f"scatter(room, {{at}}, {{size}}, {name}, {index.text}, {{first}})"
        self.lines.written_in(index.rows, stage, self.lines.element(added, stage), call)
        return Value(name, stage + 1, target.rows, "array")

    def picked(self, node: Any) -> Value:
        array, stage = self.as_array(node.inputs[0])
        name = self.lines.name()
        self.lines.statement(stage, f"{name} = {array}[{int(self.fixed(node.inputs[1]))}]")
        return Value(name, stage)

    def placed(self, node: Any) -> Value:
        added = self.value(node.inputs[1])
        array, stage = self.as_array(node.inputs[0])
        stage = max(stage, added.stage)
        name = self.lines.name()
        self.lines.statement(stage, f"{name} = {array}.copy()")
        self.lines.statement(
            stage,
            f"{name}[{int(self.fixed(node.inputs[2]))}] {'' if node.op.set_instead_of_inc else '+'}= {added.text}",
        )
        return Value(name, stage, node.outputs[0].type.shape[0], "array")

    def call(self, node: Any) -> None:
        """Write an operation as a call of the function that PyTensor has for it."""
        arrays = [self.as_array(each) for each in node.inputs]
        stage = max(stage for _, stage in arrays)
        kind = (node.op, tuple(each.type for each in node.inputs))
        if kind not in self.functions:
            self.functions[kind] = self.function(node.op, node)
        name = self.functions[kind]
        names = [self.lines.name() for _ in node.outputs]
        self.lines.statement(stage, f"{', '.join(names)} = {name}({', '.join(text for text, _ in arrays)})")
        for out, each in zip(node.outputs, names, strict=True):
            if all(size == 1 for size in out.type.shape):
                number = self.lines.name()
                self.lines.statement(stage, f"{number} = {each}.item()")
                self.values[out] = Value(number, stage)
            elif out.type.ndim == 1:
                (rows,) = self.shape(out)
                if stage == 0:
                    self.lines.lengths.setdefault(rows, f"{each}.size")
                self.values[out] = Value(each, stage, rows, "array")
            else:
                self.values[out] = Value(each, stage, 0, "array")

    def function(self, op: Any, node: Any) -> str:
        """Return the name of the compiled function that PyTensor has for an operation."""
        name = f"f{len(self.functions)}"
        self.environment[name], key = numba_funcify_ensure_cache(op, node=node)
        self.keys.append(key)
        return name

    def write(self, density: Any, gradients: list[Any], shapes: list[tuple[int, ...]]) -> None:
        """Write the nodes, and where the results go."""
        for node in toposort([density, *gradients], blockers=list(self.values)):
            self.node(node)
        self.result = self.value(density)
        for gradient, shape, place in zip(gradients, shapes, self.places, strict=False):
            value = self.value(gradient)
            if shape in ((), (1,)):
                self.lines.statement(value.stage, f"gradient[{place}] = {value.text}")
                continue
            (rows,) = shape
            call = f"store(room, {{at}}, {{size}}, gradient, {place} + {{first}})"
            self.lines.written_in(rows, value.stage, self.lines.element(value, value.stage), call)

    def finished(self, *, sloped: bool) -> tuple[str, list[Any], list[np.ndarray]]:
        """Return the source, the numbers (some may be shared variables) and the arrays that it takes."""
        arrays = [name for name, _ in self.data.values()]
        lines = [f"def density(x, gradient, {', '.join(['numbers', *arrays])}):"]
        lines += [f"    {name} = numbers[{i}]" for i, name in enumerate(self.numbers.values())]
        lines += self.lines.text(self.result.stage)
        # A slope that is not finite makes the point one that a sampler turns back from.
        if sloped:
            lines.append("    for i in range(gradient.size):")
            lines.append("        if not math.isfinite(gradient[i]):")
            lines.append("            return np.nan")
        lines.append(f"    return {self.result.text}")
        return "\n".join(lines) + "\n", list(self.numbers), [array for _, array in self.data.values()]


class Source(NamedTuple):
    """The source of ``density(x, gradient, numbers, *arrays)``, and what it is compiled and called with.

    Some of the numbers may be shared variables. ``names`` are what the source calls; ``keys`` say which functions of
    PyTensor's are among them, None where one cannot be kept. ``dimension`` is the length of x.
    """

    text: str
    numbers: list[Any]
    arrays: list[np.ndarray]
    names: dict[str, Any]
    keys: list[str | None]
    dimension: int


def written(
    density: Any, gradients: Sequence[Any], variables: Sequence[Any], shapes: Sequence[tuple[int, ...]]
) -> Source:
    """Return the source of a log density and its gradients in variables of these shapes, one after the other in x.

    Without gradients the function leaves the array for them as it is.
    """
    writer = _Writer()
    writer.read(variables, shapes)
    writer.write(density, list(gradients), list(shapes))
    dimension = sum(math.prod(shape) for shape in shapes)
    return Source(*writer.finished(sloped=bool(gradients)), writer.environment, writer.keys, dimension)
