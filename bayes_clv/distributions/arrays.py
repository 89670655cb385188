"""Plain arrays of float64, the only kind these functions compute with, and where sorted ones change."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Array = NDArray[np.float64]


def float_arrays(*arguments: ArrayLike) -> tuple[Array, ...]:
    """Return each argument as an array of float64, each in its own shape."""
    return tuple(np.asarray(argument, dtype=np.float64) for argument in arguments)


def stretches(columns: Iterable[NDArray[Any]]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return where rows differ from the row before in some column, the first included, and each row's stretch of likes.

    Columns are equally long, and their first axis is the rows.

    Examples
    --------
    >>> new, stretch = stretches([np.array([3, 3, 5, 5]), np.array([1, 1, 1, 2])])
    >>> new.tolist(), stretch.tolist()
    ([True, False, True, True], [0, 0, 1, 2])
    """
    new = None
    for column in columns:
        differs = column[1:] != column[:-1]
        if differs.ndim > 1:
            differs = differs.reshape(differs.shape[0], -1).any(axis=1)
        if new is None:
            new = np.ones(column.shape[0], dtype=bool)
            new[1:] = differs
        else:
            new[1:] |= differs
    if new is None:
        raise ValueError("Without a column there are no rows.")
    return new, np.cumsum(new) - 1
