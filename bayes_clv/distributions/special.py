"""Logarithms of Gamma ratios that keep their digits, as tensors."""

from collections.abc import Mapping
from typing import Any


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
