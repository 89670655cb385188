"""The integral of ``gamma_waits`` as an operation of a PyTensor graph, with its gradient.

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

from bayes_clv.distributions.regular import gamma_waits as numerics

# PyTensor's compile cache outlives the source: another source, another key.
_VERSION = zlib.crc32(inspect.getsource(numerics).encode())


class GammaWaits(Op):  # type: ignore[misc]
    """(x, t_x, T, log_intervals, six parameters), vectors of one length -> ``gamma_waits.moments`` of each row.

    The log-likelihood has a gradient in the parameters, and none in the data.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Any:
        """Return the node of ten vectors."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        return Apply(self, vectors, [pt.dvector() for _ in range(8)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, values in zip(output_storage, numerics.moments_of_rows(*inputs), strict=True):
            storage[0] = values

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of the log-likelihood in the parameters; the moments have none."""
        if not all(isinstance(each.type, DisconnectedType) for each in cotangents[1:]):
            raise NotImplementedError("Only the log-likelihood has a gradient.")
        shape, rate, r, alpha, s, beta = inputs[4:]
        _, _, k, purchase, dropout, log_k, log_purchase, log_dropout = outputs
        slopes = []
        for a, b, mean, log_mean in (
            (shape, rate, k, log_k),
            (r, alpha, purchase, log_purchase),
            (s, beta, dropout, log_dropout),
        ):
            # Of E[log Gamma(a, rate b) density of the latent quantity | history].
            slopes += [pt.log(b) - pt.digamma(a) + log_mean, a / b - mean]
        data = [grad_undefined(self, i, inputs[i], "The data have no gradient.") for i in range(4)]
        return [*data, *(cotangents[0] * slope for slope in slopes)]


@register_funcify_default_op_cache_key(GammaWaits)  # type: ignore[untyped-decorator]
def _compiled(op: Any, **arguments: Any) -> tuple[Any, int]:
    return numerics.moments_of_rows, _VERSION


def log_likelihood(data: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
    """Return the log-likelihood of each row as a PyTensor vector; parameters may be scalars."""
    columns = [pt.as_tensor(column).astype("float64") for column in data]
    zeros = pt.zeros_like(columns[0])
    return GammaWaits()(*columns, *(each + zeros for each in parameters))[0]
