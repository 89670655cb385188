"""A log density and its gradient as one compiled function, written out from its PyTensor graph.

PyTensor's own Numba backend compiles a function for every group of elementwise operations, and those again for every
operation in them: 37 groups for BG/NBD. Here the graph becomes the source of one function (``source``): a row of BG/NBD
takes 13 ns with its gradient (AMD EPYC of 2022).

**Data are arguments.** Arrays in the graph, and numbers of many digits (means of the data, arguments of priors that
follow from them), are handed over at each call, so that another base of the same family and priors has the same source.
A source is compiled once in a process, and kept by PyTensor's Numba cache for the next.

Rejected: nutpie's own compilation (the above); rows as shared variables of PyTensor's function (the same compilation,
once); a gradient by hand for each family (thirteen derivations to keep right).
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba import njit
from pytensor import config
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import graph_inputs, toposort
from pytensor.link.numba.cache import compile_numba_function_src

from bayes_clv.distributions import elementary, gamma_ratio
from bayes_clv.distributions.operators import RowIntegral
from bayes_clv.inference import source
from bayes_clv.inference.source import written

# Fast maths reorders sums as it compiles: a seed would give other draws on a cold and a warm compile cache.
FAST_MATHS = False

# What a written source calls is part of what is kept: another version's numerics would be taken for these.
_CALLED = "".join(map(inspect.getsource, (elementary, gamma_ratio, source, sys.modules[__name__])))

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


def of_model(model: Any, *, jacobian: bool = True) -> Density:
    """Return the log density of a PyMC model's value variables, with or without Jacobian."""
    start = model.initial_point()
    shapes = [np.shape(start[variable.name]) for variable in model.value_vars]
    return compiled_density(model.logp(jacobian=jacobian), model.value_vars, shapes)


def compiled_density(
    log_density: Any, variables: Sequence[Any], shapes: Sequence[tuple[int, ...]]
) -> Density:
    """Return a scalar tensor of the variables (scalars and vectors, one after the other) as a ``Density``."""
    known = [
        pt.tensor(shape=shape, dtype=each.type.dtype) for each, shape in zip(variables, shapes, strict=True)
    ]
    # Data and lengths of dimensions are shared variables of a PyMC model: what they are now.
    current = {
        each: pt.constant(each.get_value())
        for each in graph_inputs([log_density])
        if isinstance(each, SharedVariable) and (each.type.ndim or each.type.dtype.startswith("int"))
    }
    given = dict(zip(variables, known, strict=True)) | current
    log_density = clone_replace(log_density, given, rebuild_strict=False)
    log_density = rewrite_graph(log_density, include=("canonicalize", "stabilize"))
    gradients = pt.grad(log_density, known, disconnected_inputs="ignore")
    alone = None
    if _dear_slopes(log_density, gradients):
        alone = _compiled(log_density, [], known, shapes)
    return replace(_compiled(log_density, gradients, known, shapes), alone=alone)


def _dear_slopes(log_density: Any, gradients: Sequence[Any]) -> bool:
    """Return whether the slopes of an integral are another function than its value, and so more than twice as dear."""
    value, all_of_it = (
        {node.op for node in toposort(outputs) if isinstance(node.op, RowIntegral)}
        for outputs in ([log_density], [log_density, *gradients])
    )
    return bool(all_of_it - value)


def _compiled(
    log_density: Any, gradients: Sequence[Any], known: Sequence[Any], shapes: Sequence[tuple[int, ...]]
) -> Density:
    with config.change_flags(numba__fastmath=FAST_MATHS):
        found = written(log_density, gradients, known, shapes)
    key = hashlib.sha256(f"{found.text}{_CALLED}{found.keys}".encode()).hexdigest()
    kept = None not in found.keys
    if key not in _COMPILED:
        plain = compile_numba_function_src(
            found.text, "density", found.names, cache_key=key if kept else None
        )
        _COMPILED[key] = njit(cache=kept, nogil=True, error_model="numpy", fastmath=False)(plain)
    shared = tuple((i, each) for i, each in enumerate(found.numbers) if isinstance(each, SharedVariable))
    known_numbers = np.array([np.nan if isinstance(each, SharedVariable) else each for each in found.numbers])
    return Density(_COMPILED[key], known_numbers, tuple(found.arrays), shared, found.dimension, found.text)
