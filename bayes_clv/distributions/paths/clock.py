"""From the time in which a law is stated to that of the calendar, in each draw: one call between paths and money.

A law's time may run unevenly: ``inner`` are knots of it and ``outer`` the calendar's at them, both (draw, knot), rising
from 0, and straight between knots; beyond the last the last slope goes on. Without knots the two times are one.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit


class Clock(NamedTuple):
    """Knots of both times in each draw; without knots (draw, 0) the two are one."""

    inner: Any
    outer: Any


def same(draws: int) -> Clock:
    """Return the clock of a law that is stated in the calendar's own time."""
    return Clock(np.empty((draws, 0)), np.empty((draws, 0)))


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def calendar(inner, outer, time):  # type: ignore[no-untyped-def]
    """Return the calendar's time of one draw."""
    high = min(max(np.searchsorted(inner, time), 1), inner.size - 1)
    slope = (outer[high] - outer[high - 1]) / (inner[high] - inner[high - 1])
    return outer[high - 1] + (time - inner[high - 1]) * slope


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def turn(clock, buyers, batch, filled):  # type: ignore[no-untyped-def]
    """Turn the times of a batch of purchases into the calendar's."""
    if clock.inner.shape[1] == 0:
        return
    for p in range(filled):
        s = buyers.draw[batch.buyer[p]]
        batch.time[p] = calendar(clock.inner[s], clock.outer[s], batch.time[p])
