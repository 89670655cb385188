"""Plain arrays of float64, the only kind these functions compute with, and where sorted ones change."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Array = NDArray[np.float64]


def float_arrays(*arguments: ArrayLike) -> tuple[Array, ...]:
    """Return each argument as an array of float64, each in its own shape."""
    return tuple(np.asarray(argument, dtype=np.float64) for argument in arguments)


def owned(value: ArrayLike, shape: tuple[int, ...] | None = None) -> Array:
    """Return the numbers as a writeable C array of float64 (of this shape), itself where it is one.

    Compiled functions are compiled once for each kind of array: the same function for read-only arrays, or for those
    in another order, takes as long again on a first start, up to a minute. They are given this one kind.
    """
    array = np.asarray(value)
    whole = (shape is None or array.shape == shape) and array.dtype == np.float64
    if whole and array.flags.c_contiguous and array.flags.writeable:
        return array
    return np.array(array if shape is None else np.broadcast_to(array, shape), dtype=np.float64, order="C")


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


def ragged(start: ArrayLike, size: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return of rows with ``size`` numbers each, from ``start`` on in a flat array: every number's row and place.

    Examples
    --------
    >>> row, place = ragged([7, 0], [2, 3])
    >>> row.tolist(), place.tolist()
    ([0, 0, 1, 1, 1], [7, 8, 0, 1, 2])
    """
    many = np.asarray(size).astype(np.int64)
    row = np.repeat(np.arange(many.size), many)
    begin = np.asarray(start).astype(np.int64) - (np.cumsum(many) - many)
    return row, begin[row] + np.arange(row.size)


def on_distinct_rows(function: Callable[..., Array], *states: ArrayLike) -> Array:
    """Return ``function(*states)`` of states that broadcast to (row, draw), computed once where neighbours are equal.

    The function is given writeable C arrays (row, draw), with one row for a state that is the same in all, and returns
    one row for each of theirs; it may have axes of its own before. Fewer axes than two are those of one row.

    Examples
    --------
    >>> rows = []
    >>> def total(x, y):
    ...     rows.append(x.shape[0])
    ...     return x + y
    >>> on_distinct_rows(total, np.array([[1.0], [1.0], [2.0]]), np.array([5.0, 6.0])).tolist(), rows
    ([[6.0, 7.0], [6.0, 7.0], [7.0, 8.0]], [2])
    """
    given = [np.atleast_2d(np.asarray(state, dtype=np.float64)) for state in states]
    draws = max(state.shape[1] for state in given)
    shape = np.broadcast_shapes(*(np.shape(state) for state in states))
    varied = [state for state in given if state.shape[0] > 1]
    new, row = stretches(varied) if varied else (np.ones(1, dtype=bool), np.zeros(1, dtype=np.int64))
    if not new.all():
        given = [state if state.shape[0] == 1 else state[new] for state in given]
    found = function(*(owned(_wide(state, draws)) for state in given))
    every = found if new.all() else found[..., row, :]
    return every.reshape(found.shape[:-2] + shape)


def _wide(state: Array, draws: int) -> Array:
    return state if state.shape[1] == draws else np.broadcast_to(state, (state.shape[0], draws)).copy()
