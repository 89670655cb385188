"""What a family's functions are given, columns and parameters by name, as arrays in the order of its paper."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.families.contract import Columns, Params


def symbols(
    history: Sequence[str], parameters: Sequence[str], columns: Columns, params: Params
) -> tuple[Array, ...]:
    """Return the columns that ``history`` names and the parameters, each in its own shape.

    Examples
    --------
    >>> [float(each) for each in symbols(("T",), ("r", "alpha"), {"T": 39}, {"alpha": 10.6, "r": 0.55})]
    [39.0, 0.55, 10.6]
    """
    return float_arrays(*(columns[name] for name in history), *(params[name] for name in parameters))


def lead(first: Any, *others: Any) -> Array:
    """Return times or counts with their own axes before all of the others'.

    Examples
    --------
    >>> lead([1.0, 2.0], np.zeros((5, 1)), np.zeros(7)).shape
    (2, 1, 1)
    """
    array = np.asarray(first, dtype=np.float64)
    return array.reshape(array.shape + (1,) * (max(np.ndim(each) for each in others) if array.ndim else 0))
