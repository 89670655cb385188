"""From the time in which a law is stated to that of the calendar, in each draw: one call between paths and money.

A law's time may run unevenly: ``outer`` (knot,) are knots of the calendar's time, ``inner`` (draw, knot) the law's at
them, rising, 0 now (knots before are of the past), and straight between knots; beyond the last the last slope goes on.
A future may start at another time than now, ``start`` (row), at which the law's time is ``begin`` (row, draw): its own
times, both of the law and of the calendar, are counted from there. Without knots the two times are one.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)


class Clock(NamedTuple):
    """Knots of both times, and where the futures of rows start; without knots, (draw, 0), the two times are one."""

    inner: Any
    outer: Any
    start: Any
    begin: Any

    def of(self, rows: Any) -> "Clock":
        """Return the clock of these rows' futures."""
        return self._replace(start=self.start[rows], begin=self.begin[rows])

    def elapsed(self, rows: Any, times: Any) -> Any:
        """Return the law's time (row, draw) of rows' futures at the calendar's ``times`` (row)."""
        return at(self, self.start[rows] + times) - self.begin[rows]

    def silent(self, rows: Any, silence: Any) -> Any:
        """Return the law's time (row, draw) of the last ``silence`` (row,) to now."""
        return -at(self, -silence)


def same(draws: int) -> Clock:
    """Return the clock of a law that is stated in the calendar's own time."""
    return Clock(np.empty((draws, 0)), np.empty(0), np.empty(0), np.empty((0, draws)))


def clock(inner: Any, outer: Any, start: Any) -> Clock:
    """Return the clock of futures that begin at ``start`` (row), a time of the calendar."""
    found = Clock(inner, outer, np.ascontiguousarray(start, dtype=np.float64), np.empty((0, inner.shape[0])))
    return found._replace(begin=at(found, found.start))


@_compiled
def calendar(inner, outer, time):  # type: ignore[no-untyped-def]
    """Return the calendar's time of one draw."""
    high = min(max(np.searchsorted(inner, time), 1), inner.size - 1)
    slope = (outer[high] - outer[high - 1]) / (inner[high] - inner[high - 1])
    return outer[high - 1] + (time - inner[high - 1]) * slope


@_compiled
def _at(inner, outer, times, out):  # type: ignore[no-untyped-def]
    for i in range(times.size):
        for s in range(inner.shape[0]):
            out[i, s] = calendar(outer, inner[s], times[i])


def passed(inner: Any, outer: Any, times: Any) -> Any:
    """Return the law's time from now (time, draw) at the calendar's, given the law's (draw, knot) at knots."""
    found = np.empty((np.size(times), inner.shape[0]))
    _at(inner, outer, np.ascontiguousarray(times, dtype=np.float64), found)
    return found


def at(known: Clock, times: Any) -> Any:
    """Return the law's time from now (time, draw) at the calendar's from now."""
    return passed(known.inner, known.outer, times)


# From when, to when, and how many times as fast, (draw).
type Window = tuple[float, float, Any]


def hurried(known: Clock | None, windows: Sequence[Window], rows: int, draws: int) -> Clock:
    """Return the clock of futures from now that runs at another pace in some windows; without one time is the law's."""
    if known is None:
        line = np.array([0.0, 1.0])
        known = clock(np.tile(line, (draws, 1)), line, np.zeros(rows))
    ends = [each for start, end, _ in windows for each in (start, end)]
    # Beyond the last knot its slope goes on, which is to be no window's.
    last = max(*ends, float(known.outer[-1])) + 1.0
    outer = np.unique(np.concatenate([known.outer, ends, [0.0, last]]))
    steps = np.diff(at(known, outer).T, axis=1)
    middle = (outer[1:] + outer[:-1]) / 2
    for start, end, factor in windows:
        steps[:, (start < middle) & (middle < end)] *= np.asarray(factor)[:, None]
    inner = np.concatenate([np.zeros((steps.shape[0], 1)), np.cumsum(steps, axis=1)], axis=1)
    inner -= inner[:, [int(np.searchsorted(outer, 0.0))]]
    return clock(np.ascontiguousarray(inner), outer, known.start)


@_compiled
def _turned(clock, row, times):  # type: ignore[no-untyped-def]
    for i in range(times.shape[0]):
        r = row[i]
        for s in range(times.shape[1]):
            if math.isfinite(times[i, s]):
                now = clock.begin[r, s] + times[i, s]
                times[i, s] = calendar(clock.inner[s], clock.outer, now) - clock.start[r]


def turn_own(clock: Clock, row: Any, own: Any) -> None:
    """Turn the times among the own numbers of customers of these rows into the calendar's, once they are complete."""
    if clock.inner.shape[1] == 0:
        return
    for times in (own.left, own.first):
        if times.shape[0] > 0:
            _turned(clock, row, times)


@_compiled
def turn(clock, buyers, row, batch, filled):  # type: ignore[no-untyped-def]
    """Turn the times of a batch of purchases into the calendar's."""
    if clock.inner.shape[1] == 0:
        return
    for p in range(filled):
        n = batch.buyer[p]
        s, r = buyers.draw[n], row[buyers.customer[n]]
        batch.time[p] = (
            calendar(clock.inner[s], clock.outer, clock.begin[r, s] + batch.time[p]) - clock.start[r]
        )
