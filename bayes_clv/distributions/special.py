"""Logarithms of Gamma ratios that keep their digits, as tensors."""

from collections.abc import Mapping
from typing import Any

from bayes_clv.distributions.stirling import rest_fallen

LARGE = 1e5
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


def log_rising(z: Any, n: Any) -> Any:
    """Return ln (z)_n = ln z (z + 1) ... (z + n - 1) of tensors.

    Above LARGE by Stirling's series: lnGamma(1e18) = 4e19 leaves a plain difference an error of thousands, and so
    false peaks to where no data reach, which a sampler's wide steps do. Below, the plain one is right to 1e-10.
    """
    import pytensor.tensor as pt

    plain = pt.gammaln(z + n) - pt.gammaln(z)
    return pt.switch(pt.ge(z, LARGE), log_gamma_ratio(pt.maximum(z, LARGE), n), plain)


def double_tensors(params: Mapping[str, Any], *names: str) -> list[Any]:
    """Return the named parameters as float64 tensors.

    PyTensor takes a Python number such as 5.0 for a float32, and its lnGamma for one has 7 digits.
    """
    import pytensor.tensor as pt

    return [pt.cast(pt.as_tensor(params[name]), "float64") for name in names]


def log_gamma_ratio(z: Any, q: Any) -> Any:
    """Return lnGamma(z + q) - lnGamma(z), as a PyTensor vector.

    For z >= 10 by the difference of the two Stirling series, because lnGamma(1e6) = 1e7 leaves a plain
    difference an error of 1e-9.
    """
    import pytensor.tensor as pt

    def stirling(y: Any) -> Any:
        s = 1 / (y * y)
        return (
            1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - s * 691 / 360360))))
        ) / y

    large = pt.maximum(z, 10.0)
    series = (
        (large - 0.5) * pt.log1p(q / large)
        + q * (pt.log(large + q) - 1)
        + stirling(large + q)
        - stirling(large)
    )
    return pt.switch(pt.ge(z, 10.0), series, pt.gammaln(z + q) - pt.gammaln(z))
