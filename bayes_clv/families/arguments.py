"""What a family's functions are given, columns and parameters by name, as arrays in the order of its paper."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import Array, float_arrays, on_distinct_rows
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


def of_each(function: Callable[..., Array], counts: Any, *state: Array) -> Array:
    """Return ``function(n, *state)`` of each count n, their axes first, computed once where neighbours are alike.

    What customers do while alive depends on the history through few numbers, the chance of being alive through more:
    many neighbours differ in that alone.

    Examples
    --------
    >>> of_each(lambda n, k: n * k, [1.0, 2.0], np.array([[3.0], [3.0], [5.0]])).tolist()
    [[[3.0], [3.0], [5.0]], [[6.0], [6.0], [10.0]]]
    """
    array = np.asarray(counts, dtype=np.float64)
    found = [on_distinct_rows(partial(function, n), *state) for n in array.ravel().tolist()]
    return np.reshape(found, array.shape + np.broadcast_shapes(*map(np.shape, state)))
