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
