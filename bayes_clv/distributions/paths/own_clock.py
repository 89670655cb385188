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
from bayes_clv.distributions.paths.clock import calendar
from bayes_clv.distributions.pieces import Paced, paced_time, paces, path_sizes

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)


@dataclass(frozen=True)
class OwnClock:
    """The clocks of rows whose paths begin at ``start`` (row,), given ``coefficient`` (draw, effect).

    With a ``calendar``, its knots and the time elapsed at them (draw, knot), pieces pass at its pace besides.
    """

    paced: Paced
    coefficient: Array
    start: NDArray[np.int64]
    calendar: tuple[Array, Array] | None = None

    def of(self, rows: Any) -> "OwnClock":
        """Return the clocks of these rows."""
        return replace(self, start=self.start[rows])

    def elapsed(self, rows: Any, times: Any) -> Array:
        """Return the law's time (row, draw) from now to ``times`` (row,), not below 0."""
        return self._between(rows, np.zeros(np.shape(times)), times)

    def silent(self, rows: Any, silence: Any) -> Array:
        """Return the law's time (row, draw) of the last ``silence`` (row,) to now."""
        last = -np.asarray(silence)
        return self._between(rows, last, np.zeros(last.shape))

    def _between(self, rows: Any, low: Array, high: Array) -> Array:
        return paced_time(self.paced, self.coefficient, self.start[rows], low, high, self.calendar)

    def turn(self, buyers: Any, row: Any, batch: Any, filled: int) -> None:
        """Turn the times of a batch of purchases of customers of these rows into the calendar's."""
        _turn_batch(*self.steps, buyers, row, batch, filled)

    def turn_own(self, row: Any, own: Any) -> None:
        """Turn the times among the customers' own numbers into the calendar's, once they are complete."""
        for times in (own.left, own.first):
            if times.shape[0] > 0:
                _turn_all(*self.steps, row, times)

    @cached_property
    def steps(self) -> tuple[Array, Array, NDArray[np.int64], Array, Array]:
        """Return when the rows' pieces begin, their paces (piece, draw), where each row's are, and a calendar.

        That is the time elapsed at its knots, and these; without knots there is none.
        """
        size = path_sizes(self.paced.begin, self.start)
        _, place = ragged(self.start, size)
        used, local = np.unique(self.paced.level[place], return_inverse=True)
        own = paces(self.paced.design[used], self.coefficient)[local]
        knots, elapsed = (
            (np.empty(0), np.empty((own.shape[1], 0))) if self.calendar is None else self.calendar
        )
        bounds = np.concatenate([[0], np.cumsum(size)])
        return owned(self.paced.begin[place]), owned(own), bounds, owned(elapsed), owned(knots)


@_compiled
def _passed(inner, outer, s, time):  # type: ignore[no-untyped-def]
    """Return the time of the calendar's own law in a draw, at a calendar's time; the same without a calendar."""
    return time if outer.size == 0 else calendar(outer, inner[s], time)


@_compiled
def _turned(begin, pace, first, end, inner, outer, s, time):  # type: ignore[no-untyped-def]
    """Return the calendar's time from now at the law's, of the pieces from ``first`` up to ``end`` in a draw."""
    at = 0.0
    piece = end - 1
    if time >= 0.0:
        for j in range(first, end - 1):
            if begin[j + 1] > 0.0:
                next_one = _passed(inner, outer, s, begin[j + 1])
                long = (next_one - at) * pace[j, s]
                if time <= long:
                    piece = j
                    break
                time -= long
                at = next_one
    else:
        piece = first
        for j in range(end - 1, first, -1):
            if begin[j] < 0.0:
                before = _passed(inner, outer, s, begin[j])
                long = (at - before) * pace[j, s]
                if -time <= long:
                    piece = j
                    break
                time += long
                at = before
    at += time / pace[piece, s]
    return at if outer.size == 0 else calendar(inner[s], outer, at)


@_compiled
def _turn_all(begin, pace, bounds, inner, outer, row, times):  # type: ignore[no-untyped-def]
    for i in range(times.shape[0]):
        r = row[i]
        for s in range(times.shape[1]):
            if np.isfinite(times[i, s]):
                times[i, s] = _turned(begin, pace, bounds[r], bounds[r + 1], inner, outer, s, times[i, s])


@_compiled
def _turn_batch(begin, pace, bounds, inner, outer, buyers, row, batch, filled):  # type: ignore[no-untyped-def]
    for p in range(filled):
        n = batch.buyer[p]
        s, r = buyers.draw[n], row[buyers.customer[n]]
        batch.time[p] = _turned(begin, pace, bounds[r], bounds[r + 1], inner, outer, s, batch.time[p])
