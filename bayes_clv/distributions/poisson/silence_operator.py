"""The integral of ``silence`` as an operation of a PyTensor graph, with its gradient.

A module of its own, because it needs PyTensor as it is imported; it is imported where a graph is built.
"""

import inspect
import zlib
from typing import Any

import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from bayes_clv.distributions.poisson import silence as numerics

# PyTensor's compile cache outlives the source: another source, another key.
_VERSION = zlib.crc32(inspect.getsource(numerics).encode())


class SilenceIntegral(Op):  # type: ignore[misc]
    """(k, w, a, b, silence), vectors of one length -> ``silence.moments`` of each row; log J has a gradient."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Any:
        """Return the node of five vectors."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        return Apply(self, vectors, [pt.dvector() for _ in range(5)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, values in zip(output_storage, numerics.moments_of_rows(*inputs), strict=True):
            storage[0] = values

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of log J; the means have none."""
        if not all(isinstance(each.type, DisconnectedType) for each in cotangents[1:]):
            raise NotImplementedError("Only log J has a gradient.")
        k, w, a, b, silence = inputs
        log_j, log_a, log_b, share_a, share_b = outputs
        at_end = pt.exp(-k * pt.log1p(silence / a) - w * pt.log1p(silence / b) - log_j)
        slopes = (-log_a, -log_b, k / a * share_a, w / b * share_b, at_end)
        return [cotangents[0] * slope for slope in slopes]


@register_funcify_default_op_cache_key(SilenceIntegral)  # type: ignore[untyped-decorator]
def _compiled(op: Any, **arguments: Any) -> tuple[Any, int]:
    return numerics.moments_of_rows, _VERSION


def log_integral(k: Any, w: Any, a: Any, b: Any, silence: Any) -> Any:
    """Return log J of each row of ``silence`` (positive) as a PyTensor vector; the others may be scalars."""
    zeros = pt.zeros_like(pt.as_tensor(silence), dtype="float64")
    return SilenceIntegral()(*(each + zeros for each in (k, w, a, b, silence)))[0]
