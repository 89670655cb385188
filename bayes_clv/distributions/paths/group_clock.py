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
    """The law's time ``inner`` (group, draw, knot) at knots ``outer`` (knot,), and the ``group`` (row,) of each row."""

    inner: Array
    outer: Array
    group: NDArray[np.int64]

    def of(self, rows: Any) -> "GroupClock":
        """Return the clocks of these rows."""
        return replace(self, group=self.group[rows])

    def elapsed(self, rows: Any, times: Any) -> Array:
        """Return the law's time (row, draw) from now to ``times`` (row,)."""
        group, found = self.group[rows], np.empty((np.size(times), self.inner.shape[1]))
        for each in np.unique(group):
            own = group == each
            found[own] = operational(self.outer, self.inner[each], np.asarray(times)[own])
        return found

    def silent(self, rows: Any, silence: Any) -> Array:
        """Return the law's time (row, draw) of the last ``silence`` (row,) to now."""
        return -self.elapsed(rows, -np.asarray(silence))

    def turn(self, buyers: Any, row: Any, batch: Any, filled: int) -> None:
        """Turn the times of a batch of purchases of customers of these rows into the calendar's."""
        _turn_batch(self.inner, self.outer, self.group, buyers, row, batch, filled)

    def turn_own(self, row: Any, own: Any) -> None:
        """Turn the times among the customers' own numbers into the calendar's, once they are complete."""
        for times in (own.left, own.first):
            if times.shape[0] > 0:
                _turn_all(self.inner, self.outer, self.group, row, times)


@_compiled
def _turn_all(inner, outer, group, row, times):  # type: ignore[no-untyped-def]
    for i in range(times.shape[0]):
        for s in range(times.shape[1]):
            if np.isfinite(times[i, s]):
                times[i, s] = calendar(inner[group[row[i]], s], outer, times[i, s])


@_compiled
def _turn_batch(inner, outer, group, buyers, row, batch, filled):  # type: ignore[no-untyped-def]
    for p in range(filled):
        n = batch.buyer[p]
        own = inner[group[row[buyers.customer[n]]], buyers.draw[n]]
        batch.time[p] = calendar(own, outer, batch.time[p])
