"""From the time in which a law is stated to that of the calendar, in each draw: one call between paths and money.

A law's time may run unevenly: ``outer`` (knot,) are knots of the calendar's time and ``inner`` (draw, knot) the law's at
them, rising, 0 now (knots before are of the past), and straight between knots; beyond the last the last slope goes on.
Without knots the two times are one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit


class Clock(NamedTuple):
    """Knots of both times; without knots, (draw, 0), the two are one."""

    inner: Any
    outer: Any


def same(draws: int) -> Clock:
    """Return the clock of a law that is stated in the calendar's own time."""
    return Clock(np.empty((draws, 0)), np.empty(0))


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def calendar(inner, outer, time):  # type: ignore[no-untyped-def]
    """Return the calendar's time of one draw."""
    high = min(max(np.searchsorted(inner, time), 1), inner.size - 1)
    slope = (outer[high] - outer[high - 1]) / (inner[high] - inner[high - 1])
    return outer[high - 1] + (time - inner[high - 1]) * slope


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _inner(inner, outer, times, out):  # type: ignore[no-untyped-def]
    for i in range(times.size):
        for s in range(inner.shape[0]):
            out[i, s] = calendar(outer, inner[s], times[i])


def inner(clock: Clock, times: Any) -> Any:
    """Return the law's time (time, draw) at the calendar's."""
    found = np.empty((np.size(times), clock.inner.shape[0]))
    _inner(clock.inner, clock.outer, np.ascontiguousarray(times, dtype=np.float64), found)
    return found


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _turned(inner, outer, times):  # type: ignore[no-untyped-def]
    for i in range(times.shape[0]):
        for s in range(times.shape[1]):
            if math.isfinite(times[i, s]):
                times[i, s] = calendar(inner[s], outer, times[i, s])


def turn_own(clock: Clock, own: Any) -> None:
    """Turn the times among the customers' own numbers into the calendar's, once they are complete."""
    if clock.inner.shape[1] == 0:
        return
    for times in (own.left, own.first):
        if times.shape[0] > 0:
            _turned(clock.inner, clock.outer, times)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def turn(clock, buyers, batch, filled):  # type: ignore[no-untyped-def]
    """Turn the times of a batch of purchases into the calendar's."""
    if clock.inner.shape[1] == 0:
        return
    for p in range(filled):
        s = buyers.draw[batch.buyer[p]]
        batch.time[p] = calendar(clock.inner[s], clock.outer, batch.time[p])
