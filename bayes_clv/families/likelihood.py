"""A term of a log-likelihood: which columns it reads, and the function of them."""

from collections.abc import Callable
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
