"""A log density and its gradient as one compiled function, written out from its PyTensor graph.

PyTensor's own Numba backend compiles a function for every group of elementwise operations, and those again for every
operation in them: 37 groups for BG/NBD. Here the graph becomes the source of one function (``source``): a row of BG/NBD
takes 13 ns with its gradient (AMD EPYC of 2022).

**Data are arguments.** Arrays in the graph, and numbers of many digits (means of the data, arguments of priors that
follow from them), are handed over at each call, so that another base of the same family and priors has the same source.
A source is compiled once in a process, and kept by PyTensor's Numba cache for the next.

**What is not written** (a term of a family of one's own may hold any operation) is PyTensor's own compilation of value
and gradient, ``PlainDensity``: right, slower, and one thread at a time.

Rejected: nutpie's own compilation (the above); rows as shared variables of PyTensor's function (the same compilation,
once); a gradient by hand for each family (thirteen derivations to keep right).
"""

import hashlib
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit
from pytensor import config
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, graph_inputs, toposort
from pytensor.link.numba.cache import compile_numba_function_src

from bayes_clv.distributions import elementary, gamma_ratio
from bayes_clv.distributions.operators import HistorySlopesAt, RowIntegral
from bayes_clv.inference import loops, source
from bayes_clv.inference.source import written
from bayes_clv.schema import InputError

# Fast maths reorders sums as it compiles: a seed would give other draws on a cold and a warm compile cache.
FAST_MATHS = False

# What a written source calls is part of what is kept: another version's numerics would be taken for these.
_CALLED = "".join(map(inspect.getsource, (elementary, gamma_ratio, loops, source, sys.modules[__name__])))

_COMPILED: dict[str, Any] = {}


@dataclass(frozen=True)
class Density:
    """A compiled log density on the unconstrained scale: ``function(x, gradient, numbers, *arrays)`` returns it.

    Of the numbers some may be shared scalars of the graph: another value is another density, without compiling.
    """

    function: Callable[..., float]
    numbers: np.ndarray
    arrays: tuple[np.ndarray, ...]
    shared: tuple[tuple[int, Any], ...]
    dimension: int
    source: str
    alone: "Density | None" = None

    def value(self, x: np.ndarray) -> float:
        """Return the log density without its gradient, where that is computed apart and costs more; else with it."""
        return (self if self.alone is None else self.alone)(x)[0]

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density and its gradient; NaN where a slope is not finite."""
        for place, variable in self.shared:
            self.numbers[place] = variable.get_value(borrow=True)
        gradient = np.empty(self.dimension)
        return self.function(x, gradient, self.numbers, *self.arrays), gradient


@dataclass(frozen=True)
class PlainDensity:
    """A log density on the unconstrained scale as PyTensor compiles it: slower, and of every graph that it can run.

    ``function(*parts, *shared)`` returns the value and the gradients in the parts, and keeps nothing between calls, so
    that several threads may call it.
    """

    function: Callable[..., tuple[np.ndarray, ...]]
    shapes: tuple[tuple[int, ...], ...]
    shared: tuple[Any, ...]
    alone: None = None

    def value(self, x: np.ndarray) -> float:
        """Return the log density."""
        return self(x)[0]

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density and its gradient; NaN where a slope is not finite."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        parts = [part.reshape(shape) for part, shape in zip(np.split(x, ends[:-1]), self.shapes, strict=True)]
        shared = [np.asarray(each.get_value(borrow=True)) for each in self.shared]
        value, *slopes = self.function(*parts, *shared)
        gradient = np.concatenate([np.ravel(each) for each in slopes])
        return float(value) if np.isfinite(gradient).all() else math.nan, gradient


class Graph(NamedTuple):
    """A log density and its gradients in variables of known shapes, one after the other in a point."""

    log_density: Any
    gradients: list[Any]
    variables: list[Any]
    shapes: list[tuple[int, ...]]


# PyTensor would keep where each of a thousand variables was made.
@config.change_flags(traceback__limit=0)  # type: ignore[untyped-decorator]
def of_model(model: Any, *, jacobian: bool = True) -> Density | PlainDensity:
    """Return the log density of a PyMC model's value variables, with or without Jacobian, compiled and tried once.

    A family of one's own may hold what is not written here: that is compiled by PyTensor.

    Raises InputError, naming the term of the likelihood, where PyTensor cannot differentiate or compile it.
    """
    start = model.initial_point()
    point = np.concatenate([np.ravel(start[each.name]) for each in model.value_vars]).astype(float)
    log_density = model.logp(jacobian=jacobian)
    try:
        graph = differentiated(log_density, model)
        try:
            found = written_density(graph)
            found(point)
        except Exception:
            return plain_density(graph, point)
    except Exception as error:
        raise InputError(_blamed(model, point, error)) from error
    return found


def differentiated(log_density: Any, model: Any) -> Graph:
    """Return a scalar tensor of a PyMC model's value variables with its gradients; data are what they are now."""
    start = model.initial_point()
    shapes = [np.shape(start[each.name]) for each in model.value_vars]
    known = [
        pt.tensor(shape=shape, dtype=each.type.dtype)
        for each, shape in zip(model.value_vars, shapes, strict=True)
    ]
    # Data and lengths of dimensions are shared variables of a PyMC model.
    current = {
        each: pt.constant(each.get_value())
        for each in graph_inputs([log_density])
        if isinstance(each, SharedVariable) and (each.type.ndim or each.type.dtype.startswith("int"))
    }
    given = dict(zip(model.value_vars, known, strict=True)) | current
    log_density = clone_replace(log_density, given, rebuild_strict=False)
    log_density = rewrite_graph(log_density, include=("canonicalize", "stabilize"))
    gradients = pt.grad(log_density, known, disconnected_inputs="ignore")
    return Graph(log_density, gradients, known, shapes)


def written_density(graph: Graph) -> Density:
    """Return the density as one function whose source is written; it is compiled at the first call."""
    found = _written_out(graph)
    return replace(found, alone=_written_out(graph._replace(gradients=[]))) if _dear_slopes(graph) else found


def _dear_slopes(graph: Graph) -> bool:
    """Return whether the slopes of an integral are another function than its value, and so more than twice as dear."""
    value, all_of_it = (
        {node.op for node in toposort(outputs) if isinstance(node.op, RowIntegral | HistorySlopesAt)}
        for outputs in ([graph.log_density], [graph.log_density, *graph.gradients])
    )
    return bool(all_of_it - value)


def _written_out(graph: Graph) -> Density:
    with config.change_flags(numba__fastmath=FAST_MATHS):
        found = written(*graph)
    key = hashlib.sha256(f"{found.text}{_CALLED}{found.keys}".encode()).hexdigest()
    kept = None not in found.keys
    if key not in _COMPILED:
        plain = compile_numba_function_src(
            found.text, "density", found.names, cache_key=key if kept else None
        )
        _COMPILED[key] = njit(
            cache=kept, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True
        )(plain)
    shared = tuple((i, each) for i, each in enumerate(found.numbers) if isinstance(each, SharedVariable))
    known_numbers = np.array([np.nan if isinstance(each, SharedVariable) else each for each in found.numbers])
    return Density(_COMPILED[key], known_numbers, tuple(found.arrays), shared, found.dimension, found.text)


def plain_density(graph: Graph, point: np.ndarray) -> PlainDensity:
    """Return the density as PyTensor's Numba backend compiles it, tried at a point."""
    outputs = [graph.log_density, *graph.gradients]
    shared = [each for each in graph_inputs(outputs) if isinstance(each, SharedVariable)]
    free = [each.type() for each in shared]
    outputs = clone_replace(outputs, dict(zip(shared, free, strict=True)))
    with config.change_flags(numba__fastmath=FAST_MATHS):
        function = pytensor.function(
            [*graph.variables, *free], outputs, mode="NUMBA", on_unused_input="ignore"
        )
    found = PlainDensity(function.vm.jit_fn, tuple(graph.shapes), tuple(shared))
    found(point)
    return found


def _blamed(model: Any, point: np.ndarray, error: Exception) -> str:
    """Return which term of the likelihood has no gradient or cannot be compiled, and what to do about it."""
    terms = [each for each in ancestors(model.potentials) if hasattr(each.tag, "term")]
    where, why = "The model", error
    for term in terms:
        (alone,) = model.replace_rvs_by_values([term])
        try:
            plain_density(differentiated(alone, model), point)
        except Exception as own:
            where, why = term.tag.term, own
            break
    return (
        f"{where} cannot be differentiated and compiled by PyTensor: {type(why).__name__}: {why} Write it with "
        "PyTensor's own operations, or give an operator of your own a pullback (its gradient) and static types. "
        "clv.families.check(record) tries the same without data."
    )
