"""A term of a log-likelihood: which columns it reads, and the function of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Term:
    """One summand of a customer's log-likelihood.

    The terms of a family add up to its log-likelihood. Each names the columns it depends on, so that
    an exact reduction can evaluate it once per distinct row of those columns and weight it by a count.

    Attributes
    ----------
    columns : tuple of str
        Names of the customer columns, in the order ``function`` takes them.
    function : callable
        ``function(params, *columns)``, with ``params`` a mapping from parameter name to tensor;
        returns a PyTensor vector, one value a row.
    """

    columns: tuple[str, ...]
    function: Callable[..., Any]


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
