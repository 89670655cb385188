"""The mean likelihood of ``lognormal_rates`` as an operation of a PyTensor graph, with its gradient.

A module of its own, because it needs PyTensor as it is imported; it is imported where a graph is built.
"""

import inspect
import zlib
from typing import Any

import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from bayes_clv.distributions.lognormal import rates as numerics

# PyTensor's compile cache outlives the source: another source, another key.
_VERSION = zlib.crc32(inspect.getsource(numerics).encode())


class MeanLikelihood(Op):  # type: ignore[misc]
    """(x, t_x, T, m1, s1, m2, s2, concordance), vectors alike -> ``slopes_of_rows``; the first has a gradient."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Any:
        """Return the node of eight vectors."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        return Apply(self, vectors, [pt.dvector() for _ in range(6)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, values in zip(output_storage, numerics.slopes_of_rows(*inputs), strict=True):
            storage[0] = values

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of the log mean likelihood in the parameters; data have none."""
        if not all(isinstance(each.type, DisconnectedType) for each in cotangents[1:]):
            raise NotImplementedError("Only the log mean likelihood has a gradient.")
        _, _, _, _, s1, _, s2, _ = inputs
        _, d_m1, d_s1, d_m2, d_s2, d_c = outputs
        data = [grad_undefined(self, i, inputs[i]) for i in range(3)]
        return [*data, *(cotangents[0] * slope for slope in (d_m1, d_s1 / s1, d_m2, d_s2 / s2, d_c))]


@register_funcify_default_op_cache_key(MeanLikelihood)  # type: ignore[untyped-decorator]
def _compiled(op: Any, **arguments: Any) -> tuple[Any, int]:
    return numerics.slopes_of_rows, _VERSION


def log_mean_likelihood(x: Any, t_x: Any, T: Any, *parameters: Any) -> Any:
    """Return the log of the mean likelihood of each row as a PyTensor vector; parameters may be scalars."""
    columns = [pt.as_tensor(each).astype("float64") for each in (x, t_x, T)]
    zeros = pt.zeros_like(columns[2])
    return MeanLikelihood()(*columns, *(each + zeros for each in parameters))[0]
