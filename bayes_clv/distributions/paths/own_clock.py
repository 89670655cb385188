"""A clock of each row's own: the law's time runs at the pace of the pieces in which the row's purchase rate is.

What ``clock`` does for a time that runs alike for everybody, of paths of values by row (``pieces``): forecasts begin
now, 0, and beyond its last piece the last pace goes on.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array, owned, ragged
from bayes_clv.distributions.pieces import Paced, paced_time, paces, path_sizes

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)


@dataclass(frozen=True)
class OwnClock:
    """The clocks of rows whose paths begin at ``start`` (row,), given ``coefficient`` (draw, effect)."""

    paced: Paced
    coefficient: Array
    start: NDArray[np.int64]

    def of(self, rows: Any) -> "OwnClock":
        """Return the clocks of these rows."""
        return replace(self, start=self.start[rows])

    def elapsed(self, rows: Any, times: Any) -> Array:
        """Return the law's time (row, draw) from now to ``times`` (row,), not below 0."""
        return paced_time(self.paced, self.coefficient, self.start[rows], np.zeros(np.shape(times)), times)

    def silent(self, rows: Any, silence: Any) -> Array:
        """Return the law's time (row, draw) of the last ``silence`` (row,) to now."""
        last = -np.asarray(silence)
        return paced_time(self.paced, self.coefficient, self.start[rows], last, np.zeros(last.shape))

    def turn(self, buyers: Any, row: Any, batch: Any, filled: int) -> None:
        """Turn the times of a batch of purchases of customers of these rows into the calendar's."""
        _turned(*self.steps, buyers, row, batch, filled)

    def turn_own(self, row: Any, own: Any) -> None:
        """Turn the times among the customers' own numbers into the calendar's, once they are complete."""
        for times in (own.left, own.first):
            if times.shape[0] > 0:
                _turned_own(*self.steps, row, times)

    @cached_property
    def steps(self) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return when the rows' pieces begin, their paces (piece, draw), and where each row's are, (row + 1)."""
        size = path_sizes(self.paced.begin, self.start)
        _, place = ragged(self.start, size)
        used, local = np.unique(self.paced.level[place], return_inverse=True)
        own = paces(self.paced.design[used], self.coefficient)[local]
        return owned(self.paced.begin[place]), owned(own), np.concatenate([[0], np.cumsum(size)])


@_compiled
def _calendar(begin, pace, first, end, s, time):  # type: ignore[no-untyped-def]
    """Return the calendar's time from now at the law's, of the pieces from ``first`` up to ``end`` in a draw."""
    at = 0.0
    if time >= 0.0:
        for j in range(first, end - 1):
            if begin[j + 1] > at:
                long = (begin[j + 1] - at) * pace[j, s]
                if time <= long:
                    return at + time / pace[j, s]
                time -= long
                at = begin[j + 1]
        return at + time / pace[end - 1, s]
    for j in range(end - 1, first, -1):
        if begin[j] < at:
            long = (at - begin[j]) * pace[j, s]
            if -time <= long:
                return at + time / pace[j, s]
            time += long
            at = begin[j]
    return at + time / pace[first, s]


@_compiled
def _turned_own(begin, pace, bounds, row, times):  # type: ignore[no-untyped-def]
    for i in range(times.shape[0]):
        r = row[i]
        for s in range(times.shape[1]):
            if np.isfinite(times[i, s]):
                times[i, s] = _calendar(begin, pace, bounds[r], bounds[r + 1], s, times[i, s])


@_compiled
def _turned(begin, pace, bounds, buyers, row, batch, filled):  # type: ignore[no-untyped-def]
    for p in range(filled):
        n = batch.buyer[p]
        r = row[buyers.customer[n]]
        batch.time[p] = _calendar(begin, pace, bounds[r], bounds[r + 1], buyers.draw[n], batch.time[p])
