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

from bayes_clv.distributions.pieces import operational

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)


class Clock(NamedTuple):
    """Knots of both times, and where the futures of rows start; without knots, (draw, 0), the two times are one.

    ``begin`` (place, draw) is of the distinct starts, and ``place`` (row,) says which a row's is. ``across`` (knot,
    draw) is ``inner``, the draws of a knot side by side, for what is read at one time in all draws. ``near`` (draw,
    knot) and ``bounds`` (knot,) are both times at the knots about the horizon: a calendar goes on for years, and a
    processor's cache does not hold all of it in every draw.
    """

    inner: Any
    across: Any
    outer: Any
    start: Any
    place: Any
    begin: Any
    near: Any
    bounds: Any

    def of(self, rows: Any) -> "Clock":
        """Return the clock of these rows' futures."""
        return self._replace(start=self.start[rows], place=self.place[rows])

    def elapsed(self, rows: Any, times: Any) -> Any:
        """Return the law's time (row, draw) of rows' futures at the calendar's ``times`` (row)."""
        until, which = np.unique(self.start[rows] + times, return_inverse=True)
        return self.at(until)[which] - self.begin[self.place[rows]]

    def silent(self, rows: Any, silence: Any) -> Any:
        """Return the law's time (row, draw) of the last ``silence`` (row,) to now."""
        return -self.at(-silence)

    def at(self, times: Any) -> Any:
        """Return the law's time from now (time, draw) at the calendar's from now."""
        return operational(self.outer, self.across.T, times)


def same(draws: int) -> Clock:
    """Return the clock of a law that is stated in the calendar's own time."""
    own, across, none = np.empty((draws, 0)), np.empty((0, draws)), np.empty(0)
    return Clock(own, across, none, none, np.empty(0, np.int64), across, own, none)


def clock(inner: Any, outer: Any, start: Any, horizon: Any = math.inf) -> Clock:
    """Return the clock of futures from ``start`` (row), a time of the calendar, that end a ``horizon`` later."""
    starts, place = np.unique(np.asarray(start, dtype=np.float64), return_inverse=True)
    low, high = np.min(starts, initial=0.0), np.max(starts[place] + horizon, initial=0.0)
    first = min(max(int(np.searchsorted(outer, low, side="right")) - 1, 0), outer.size - 2)
    last = max(int(np.searchsorted(outer, high)) + 1, first + 2)
    return Clock(
        np.ascontiguousarray(inner),
        np.ascontiguousarray(inner.T),
        outer,
        starts[place],
        place,
        operational(outer, inner, starts),
        np.ascontiguousarray(inner[:, first:last]),
        outer[first:last].copy(),
    )


@_compiled
def calendar(inner, outer, time):  # type: ignore[no-untyped-def]
    """Return the calendar's time of one draw."""
    return _between(inner, outer, max(np.searchsorted(inner, time), 1) - 1, time)


@_compiled
def _between(inner, outer, low, time):  # type: ignore[no-untyped-def]
    low = np.uint64(min(low, inner.size - 2))
    high = low + np.uint64(1)
    slope = (outer[high] - outer[low]) / (inner[high] - inner[low])
    return outer[low] + (time - inner[low]) * slope


@_compiled
def _guessed(inner, outer, knots_per_time, time):  # type: ignore[no-untyped-def]
    """Return the same, where it is looked for from where it would be if time ran evenly: four times as fast."""
    last = inner.size - 2
    low = min(max(np.int64((time - inner[0]) * knots_per_time), 0), last)
    while low < last and inner[np.uint64(low + 1)] < time:
        low += 1
    while low > 0 and inner[np.uint64(low)] >= time:
        low -= 1
    return _between(inner, outer, low, time)


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
    steps = np.diff(known.at(outer).T, axis=1)
    middle = (outer[1:] + outer[:-1]) / 2
    for start, end, factor in windows:
        steps[:, (start < middle) & (middle < end)] *= np.asarray(factor)[:, None]
    inner = np.concatenate([np.zeros((steps.shape[0], 1)), np.cumsum(steps, axis=1)], axis=1)
    inner -= inner[:, [int(np.searchsorted(outer, 0.0))]]
    return clock(inner, outer, known.start)


@_compiled
def _turned(clock, row, times):  # type: ignore[no-untyped-def]
    for i in range(times.shape[0]):
        r = row[i]
        for s in range(times.shape[1]):
            if math.isfinite(times[i, s]):
                now = clock.begin[clock.place[r], s] + times[i, s]
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
    evenly = (clock.near.shape[1] - 1) / (clock.near[:, -1] - clock.near[:, 0])
    for p in range(filled):
        n = batch.buyer[p]
        s, r = buyers.draw[n], row[buyers.customer[n]]
        now = clock.begin[clock.place[r], s] + batch.time[p]
        batch.time[p] = _guessed(clock.near[s], clock.bounds, evenly[s], now) - clock.start[r]
