"""Fits without compiling, for tests that ask what a fit is used for and not what it is compiled to.

Compiling takes ten seconds for each log density of another form, and the mode of an interpreted one takes two to five.
That both are the same number and slope is ``test_density``'s claim. Not for many evaluations: those of draws, or with
covariates and groups, soon take longer than compiling.
"""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from threading import Lock
from typing import Any

import numpy as np
import pytensor
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer
from pytensor.scalar.basic import Add
from pytensor.tensor.elemwise import Elemwise

from bayes_clv.inference import density

# A graph as it is written: of BG/NBD's likelihood with its slopes rewriting takes 3 s and saves nothing in a call.
AS_WRITTEN = Mode("py", None)
# Arrays that NumPy takes at once are 32, the result among them.
MOST = 31


def _narrow(outputs: list[Any]) -> list[Any]:
    """Return the same numbers, each computed once; more than MOST summands or factors are taken two at a time."""
    graph = FunctionGraph(outputs=outputs, clone=False)
    MergeOptimizer().rewrite(graph)
    for node in graph.toposort():
        if isinstance(node.op, Elemwise) and len(node.inputs) > MOST:
            combine = operator.add if isinstance(node.op.scalar_op, Add) else operator.mul
            graph.replace(node.outputs[0], reduce(combine, node.inputs))
    return list(graph.outputs)


def of_model(model: Any, *, jacobian: bool = True) -> density.PlainDensity:
    """Return the log density of ``density.of_model``, each operation run by Python on whole arrays."""
    graph = density.differentiated(model.logp(jacobian=jacobian), model)
    outputs = [graph.log_density, *graph.gradients]
    # A number that changes between calls is read by the function itself.
    function = pytensor.function(graph.variables, _narrow(outputs), mode=AS_WRITTEN, on_unused_input="ignore")
    one = Lock()

    def value_and_slopes(*parts: np.ndarray) -> tuple[np.ndarray, ...]:
        # Neither its memory nor NumPy's warnings about places far out are for several threads.
        with one, np.errstate(all="ignore"):
            return tuple(np.array(each) for each in function(*parts))

    return density.PlainDensity(value_and_slopes, tuple(graph.shapes), ())


@contextmanager
def interpreted() -> Iterator[None]:
    """Run fits and pointwise log-likelihoods within as interpreted graphs."""
    with pytest.MonkeyPatch.context() as patch, pytensor.config.change_flags(mode="FAST_COMPILE"):
        patch.setattr(density, "of_model", of_model)
        yield
