"""A clock of each group of rows: the law's time runs at the pace of the calendar that the row's group has.

What ``clock`` does for a time that runs alike for everybody, of a few calendars with the same knots.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths.clock import calendar
from bayes_clv.distributions.pieces import operational

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)


@dataclass(frozen=True)
class GroupClock:
    """The law's time ``inner`` (group, draw, knot) at knots ``outer`` (knot,), and the ``group`` (row,) of each row.

    Futures begin now, or that of each row at its ``start`` (row,) of the calendar, which is ``begin`` (row, draw) of
    the law's time.
    """

    inner: Array
    outer: Array
    group: NDArray[np.int64]
    start: Array | None = None
    begin: Array | None = None

    def starting(self, start: Array) -> "GroupClock":
        """Return the clocks of futures that begin at a time (row,) of the calendar."""
        start = np.array(start, dtype=np.float64)
        return replace(self, start=start, begin=self._since_now(np.arange(start.size), start))

    def of(self, rows: Any) -> "GroupClock":
        """Return the clocks of these rows."""
        some = {name: each[rows] for name in ("start", "begin") if (each := getattr(self, name)) is not None}
        return replace(self, group=self.group[rows], **some)

    def elapsed(self, rows: Any, times: Any) -> Array:
        """Return the law's time (row, draw) from the futures' begin to ``times`` (row,) later."""
        if self.start is None or self.begin is None:
            return self._since_now(rows, times)
        whole: Array = self._since_now(rows, self.start[rows] + np.asarray(times))
        return whole - np.asarray(self.begin[rows])

    def _since_now(self, rows: Any, times: Any) -> Array:
        group, found = self.group[rows], np.empty((np.size(times), self.inner.shape[1]))
        for each in np.unique(group):
            own = group == each
            found[own] = operational(self.outer, self.inner[each], np.asarray(times)[own])
        return found

    def silent(self, rows: Any, silence: Any) -> Array:
        """Return the law's time (row, draw) of the last ``silence`` (row,) to the futures' begin."""
        return -self.elapsed(rows, -np.asarray(silence))

    def turn(self, buyers: Any, row: Any, batch: Any, filled: int) -> None:
        """Turn the times of a batch of purchases of customers of these rows into the calendar's."""
        start, begin = self._begins
        _turn_batch(self.inner, self.outer, self.group, start, begin, buyers, row, batch, filled)

    def turn_own(self, row: Any, own: Any) -> None:
        """Turn the times among the customers' own numbers into the calendar's, once they are complete."""
        for times in (own.left, own.first):
            if times.shape[0] > 0:
                _turn_all(self.inner, self.outer, self.group, *self._begins, row, times)

    @property
    def _begins(self) -> tuple[Array, Array]:
        """Return when futures begin, and the law's time then; nothing where that is now."""
        if self.start is None or self.begin is None:
            return np.empty(0), np.empty((0, 0))
        return self.start, self.begin


@_compiled
def _turned(inner, outer, group, start, begin, r, s, time):  # type: ignore[no-untyped-def]
    if start.size == 0:
        return calendar(inner[group[r], s], outer, time)
    return calendar(inner[group[r], s], outer, begin[r, s] + time) - start[r]


@_compiled
def _turn_all(inner, outer, group, start, begin, row, times):  # type: ignore[no-untyped-def]
    for i in range(times.shape[0]):
        for s in range(times.shape[1]):
            if np.isfinite(times[i, s]):
                times[i, s] = _turned(inner, outer, group, start, begin, row[i], s, times[i, s])


@_compiled
def _turn_batch(inner, outer, group, start, begin, buyers, row, batch, filled):  # type: ignore[no-untyped-def]
    for p in range(filled):
        n = batch.buyer[p]
        r, s = row[buyers.customer[n]], buyers.draw[n]
        batch.time[p] = _turned(inner, outer, group, start, begin, r, s, batch.time[p])
