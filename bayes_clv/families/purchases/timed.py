"""What families share that read each customer's purchase times: histories and parameters as (row, draw)."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array, owned, ragged
from bayes_clv.families.contract import Columns, Params
from bayes_clv.schema import InputError

HISTORY = ("frequency", "recency", "T", "purchase_start")
TIMES = "purchase_times"


class Grid:
    """Columns and parameters that broadcast to ``shape``, as (row,) and (row, draw)."""

    shape: tuple[int, ...]

    def _two(self, history: list[Array]) -> tuple[int, int]:
        if len(self.shape) == 2:
            return self.shape[0], self.shape[1]
        size = math.prod(self.shape)
        return (size, 1) if any(each.ndim for each in history) else (1, size)

    def _row(self, column: Array, rows: int) -> Array:
        # Of times of their own a column differs by draw; so does that of a new customer, which has no row.
        several = column.ndim == 2 or (column.ndim == 1 and rows == 1)
        return np.broadcast_to(column[..., 0] if several else column, (rows,))

    def _wide(self, value: Array, full: tuple[int, int]) -> Array:
        if value.ndim == 1 and len(self.shape) == 1 and full[1] == 1:
            value = value[:, None]
        return np.array(np.broadcast_to(value, full), order="C")

    def out(self, found: Array) -> Array:
        """Return (..., row, draw) in the shape of the arguments."""
        return np.reshape(found, found.shape[:-2] + self.shape)


class Timed(Grid):
    """Histories ``x``, ``t_x``, ``T`` and ``start`` (row), the named parameters ``values`` (row, draw) each.

    ``start`` are places in ``times``, the flat purchase times of all customers; ``shape`` is that of the arguments.
    ``ages`` are (row, 1) and ``flat`` the times (purchase, 1); of columns with ``TIMES`` (purchase, draw) of their own,
    as their T is, both are (..., draw).
    """

    def __init__(self, names: tuple[str, ...], times: Array, columns: Columns, params: Params) -> None:
        history = [np.asarray(columns[name], dtype=np.float64) for name in HISTORY]
        values = [np.asarray(params[name], dtype=np.float64) for name in names]
        self.shape = np.broadcast_shapes(*(each.shape for each in (*history, *values)))
        own = columns.get(TIMES)
        rows, draws = self._two(history) if own is None or len(self.shape) == 2 else (1, self.shape[0])
        self.times = owned(times)
        self.ages, self.flat = (
            (owned(self._row(history[2], rows))[:, None], self.times[:, None])
            if own is None
            else (owned(np.broadcast_to(history[2], (rows, draws))), owned(own))
        )
        self.x, self.t_x, self.T, self.start = (owned(self._row(each, rows)) for each in history)
        if (self.x + self.start > self.flat.shape[0]).any():
            raise ValueError("Customers with purchases need the family over them: Family.of(customers).")
        self.values = [self._wide(each, (rows, draws)) for each in values]


def flat_times(customers: Mapping[Any, Any]) -> Array:
    """Return all customers' purchase times, one customer's after the other's; a vector of a graph as it is."""
    return flat(
        customers,
        TIMES,
        "Customers who change or come back are read off each customer's purchase times, and the customers lack "
        "'purchase_times'. Summarize the orders with summarize(..., also=('purchase_times',)), or add the column.",
    )


def flat(customers: Mapping[Any, Any], name: str, missing: str) -> Array:
    """Return a ragged column of the customers, flat; ``missing`` says what to do where it is not there."""
    if name not in customers:
        raise InputError(missing)
    given = customers[name]
    # A PyTensor variable: of a model that is compiled once, for many bases.
    if hasattr(given, "owner"):
        return cast("Array", given)
    return owned(given)


def paced_times(clock: Any, times: Array, x: Array, T: Array, start: Array) -> tuple[Any, Array, Any]:
    """Return of rows in calendar time their operational T, a tensor, and their times, flat, with where each begins.

    ``times`` are those of all customers. Days are few: each is turned once.
    """
    owner, own = ragged(start, x)
    days, place = np.unique(np.concatenate([T, T[owner] - times[own]]), return_inverse=True)
    since = clock.since(days)
    age, ago = since[place[: T.size]], since[place[T.size :]]
    return age, np.cumsum(x) - x, age[owner] - ago


def simulated(
    times: Callable[[np.random.Generator, Columns, Params], tuple[NDArray[np.int64], Array]],
    rng: np.random.Generator,
    columns: Columns,
    params: Params,
) -> dict[str, Array]:
    """Return histories of new customers observed to age T, and their purchase times, flat, as ``times`` gives them.

    Who has none begins at 0, so that equal histories are equal numbers.
    """
    T = np.atleast_1d(np.asarray(columns["T"], dtype=np.float64))
    who, when = times(rng, {"T": T}, params)
    frequency = np.bincount(who, minlength=T.size).astype(np.float64)
    recency = np.zeros(T.size)
    np.maximum.at(recency, who, when)
    return {
        "frequency": frequency,
        "recency": recency,
        "T": T,
        "purchase_start": np.where(frequency > 0, np.cumsum(frequency) - frequency, 0.0),
        TIMES: when,
    }


def simulated_at(
    times: Callable[[np.random.Generator, Columns, Params], tuple[NDArray[np.int64], Array]],
    rng: np.random.Generator,
    columns: Columns,
    params: Params,
    knots: Array,
    elapsed: Array,
) -> dict[str, Array]:
    """Return what ``simulated`` does, at the pace of a past: operational times at knots (knot,) from the end."""
    T = np.atleast_1d(np.asarray(columns["T"], dtype=np.float64))
    came = np.interp(-T, knots, elapsed)
    found = simulated(times, rng, {"T": -came}, params)
    owner = np.repeat(np.arange(T.size), found["frequency"].astype(np.int64))
    when = np.interp(came[owner] + found[TIMES], elapsed, knots) + T[owner]
    recency = np.zeros(T.size)
    np.maximum.at(recency, owner, when)
    return found | {"T": T, "recency": recency, TIMES: when}
