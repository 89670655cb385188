"""The sum over phases of ``erlang_phases`` as an operation of a PyTensor graph, with its gradient.

A module of its own, because it needs PyTensor as it is imported; it is imported where a graph is built. The number
of phases may be a constant or a shared variable: one compiled graph then serves every number.
"""

import inspect
import zlib
from typing import Any

import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from bayes_clv.distributions.regular import erlang_phases as numerics

# PyTensor's compile cache outlives the source: another source, another key.
_VERSION = zlib.crc32(inspect.getsource(numerics).encode())


class PhaseSum(Op):  # type: ignore[misc]
    """(phases, c, z), vectors of one length -> ``erlang_phases.moments`` of each row; log S has a gradient."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Any:
        """Return the node of three vectors."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        return Apply(self, vectors, [pt.dvector() for _ in range(3)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, values in zip(output_storage, numerics.moments_of_rows(*inputs), strict=True):
            storage[0] = values

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Return that the number of phases has no slope."""
        return [[False] * 3, [True] * 3, [True] * 3]

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of log S; its slopes have none."""
        if not all(isinstance(each.type, DisconnectedType) for each in cotangents[1:]):
            raise NotImplementedError("Only log S has a gradient.")
        return [DisconnectedType()(), *(cotangents[0] * slope for slope in outputs[1:])]


@register_funcify_default_op_cache_key(PhaseSum)  # type: ignore[untyped-decorator]
def _compiled(op: Any, **arguments: Any) -> tuple[Any, int]:
    return numerics.moments_of_rows, _VERSION


def log_phase_sum(phases: Any, c: Any, z: Any) -> Any:
    """Return log S(c, z) of each row of ``z`` as a PyTensor vector; the others may be scalars."""
    zeros = pt.zeros_like(pt.as_tensor(z), dtype="float64")
    return PhaseSum()(*(each + zeros for each in (phases, c, z)))[0]
