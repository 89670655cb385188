"""Logarithms of Gamma ratios that keep their digits, as tensors."""

from collections.abc import Mapping
from typing import Any

from bayes_clv.distributions.stirling import rest_fallen

SQUARES = 1e140


def log_beta_rise(a: Any, z: Any, step: Any) -> Any:
    """Return log B(a, z + step) / B(a, z) of tensors, for z >= 100, below which its value has no meaning.

    A sum of terms of the size of the result, so that a and z of any size leave it its digits (``stirling``).
    """
    import pytensor.tensor as pt

    z = pt.maximum(z, 100.0)
    # PyTensor multiplies the divisors, and z squared may overflow.
    most = pt.constant(SQUARES, dtype="float64")
    near = pt.minimum(z, most)
    some = (near - 0.5) * pt.log1p(a * step / (near * (near + a + step)))
    top = pt.switch(pt.gt(z, most), a * step / (z + a + step), some)
    total = top - a * pt.log1p(step / (z + a)) - step * pt.log1p(a / (z + step))
    fallen = rest_fallen.py_func
    return total + fallen(z + step, a) - fallen(z, a)


def double_tensors(params: Mapping[str, Any], *names: str) -> list[Any]:
    """Return the named parameters as float64 tensors.

    PyTensor takes a Python number such as 5.0 for a float32, and its lnGamma for one has 7 digits.
    """
    import pytensor.tensor as pt

    return [pt.cast(pt.as_tensor(params[name]), "float64") for name in names]


def log_gamma_ratio(z: Any, q: Any) -> Any:
    """Return lnGamma(z + q) - lnGamma(z) of tensors, z > 0 and q >= 0 (``gamma_ratio``)."""
    from bayes_clv.distributions.gamma_ratio_operator import log_gamma_ratio

    return log_gamma_ratio(z, q)
