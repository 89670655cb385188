"""``gamma_ratio`` as elementwise operations of a PyTensor graph, with their gradients.

A module of its own, because it needs PyTensor as it is imported; it is imported where a graph is built.
"""

import inspect
from typing import Any

import pytensor.scalar as scalar
from pytensor.link.numba.dispatch.scalar import register_scalar_funcify, scalar_op_cache_key
from pytensor.tensor.elemwise import Elemwise

from bayes_clv.distributions import gamma_ratio as numerics

# PyTensor keeps compiled functions on disk by this key, and another version's numerics would be taken for these.
_SOURCE = inspect.getsource(numerics)


class LogGammaRatio(scalar.BinaryScalarOp):  # type: ignore[misc]
    """(z, q) -> lnGamma(z + q) - lnGamma(z)."""

    def impl(self, z: float, q: float) -> float:
        """Return the value outside of a compiled graph."""
        return float(numerics.log_gamma_ratio(float(z), float(q)))

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient."""
        (z, q), (cotangent,) = inputs, cotangents
        return [cotangent * _digamma_ratio(z, q), cotangent * scalar.psi(z + q)]


class DigammaRatio(scalar.BinaryScalarOp):  # type: ignore[misc]
    """(z, q) -> digamma(z + q) - digamma(z)."""

    def impl(self, z: float, q: float) -> float:
        """Return the value outside of a compiled graph."""
        return float(numerics.digamma_ratio(float(z), float(q)))


@register_scalar_funcify(LogGammaRatio)  # type: ignore[untyped-decorator]
def _value(op: Any, node: Any, **arguments: Any) -> tuple[Any, str]:
    return numerics.log_gamma_ratio, scalar_op_cache_key(op, source=_SOURCE)


@register_scalar_funcify(DigammaRatio)  # type: ignore[untyped-decorator]
def _slope(op: Any, node: Any, **arguments: Any) -> tuple[Any, str]:
    return numerics.digamma_ratio, scalar_op_cache_key(op, source=_SOURCE)


_digamma_ratio = DigammaRatio(scalar.upgrade_to_float, name="digamma_ratio")
log_gamma_ratio = Elemwise(LogGammaRatio(scalar.upgrade_to_float, name="log_gamma_ratio"))
