"""Customers whose purchase rate drifts (``drift``): what is read of them, and what a law of their leaving gives."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.poisson import drifting as filters
from bayes_clv.families.contract import Columns, Forecast, Params
from bayes_clv.families.likelihood import Term

HISTORY = ("frequency", "recency", "T", "purchase_start")
RATE = ("r", "alpha", "kappa")
# What the closed forms of a draw cost, an average over what is not known of the leaving each, is some 20 microseconds.
CLOSED_FORM_DRAWS = 100


@dataclass(frozen=True)
class Leaving:
    """A law by which customers leave whose purchase rate drifts.

    Attributes
    ----------
    terms : callable
        ``terms(times)``: the terms of the likelihood over all customers' purchase times, flat.
    forecast : callable
        ``forecast(times)``: the forecast over them.
    """

    terms: Callable[[Array], tuple[Term, ...]]
    forecast: Callable[[Array], Forecast]


class Seen:
    """Histories and parameters as (row, draw), what the filter makes of them, and the shape that results have.

    ``leaving`` are the parameters beside those of the rate, which have these ``names``; x, t_x and T are (row).
    """

    def __init__(self, names: tuple[str, ...], times: Array, columns: Columns, params: Params) -> None:
        history = [np.asarray(columns[name], dtype=np.float64) for name in HISTORY]
        values = [np.asarray(params[name], dtype=np.float64) for name in (*RATE, *names)]
        self.shape = np.broadcast_shapes(*(each.shape for each in (*history, *values)))
        rows, draws = self._two(history)
        full = (rows, draws)
        self.x, self.t_x, self.T, start = (np.ascontiguousarray(self._row(each, rows)) for each in history)
        if (self.x + start > times.size).any():
            raise ValueError("Customers with purchases need the family over them: Family.of(customers).")
        self.r, self.alpha, self.kappa, *leaving = (self._wide(each, full) for each in values)
        self.leaving = tuple(leaving)
        found = filters.states(self.T, start, self.x, times, self.r, self.alpha, self.kappa)
        self.rates = filters.Drifting(*found)

    def _two(self, history: list[Array]) -> tuple[int, int]:
        if len(self.shape) == 2:
            return self.shape[0], self.shape[1]
        size = math.prod(self.shape)
        return (size, 1) if any(each.ndim for each in history) else (1, size)

    def _row(self, column: Array, rows: int) -> Array:
        return np.broadcast_to(column[..., 0] if column.ndim == 2 else column, (rows,))

    def _wide(self, value: Array, full: tuple[int, int]) -> Array:
        if value.ndim == 1 and len(self.shape) == 1 and full[1] == 1:
            value = value[:, None]
        return np.array(np.broadcast_to(value, full))

    def out(self, found: Array) -> Array:
        """Return (..., row, draw) in the shape of the arguments."""
        return np.reshape(found, found.shape[:-2] + self.shape)


def new_customers(
    names: tuple[str, ...], columns: Columns, params: Params
) -> tuple[Array, list[Array], list[Array]]:
    """Return new customers' T, their parameters of the rate, and those of these ``names``; each (customer)."""
    T = np.atleast_1d(np.asarray(columns["T"], dtype=np.float64))
    values = [
        np.array(np.broadcast_to(np.asarray(params[name], dtype=np.float64), T.shape))
        for name in (*RATE, *names)
    ]
    return T, values[: len(RATE)], values[len(RATE) :]
