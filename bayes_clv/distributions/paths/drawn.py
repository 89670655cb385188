"""Customers whose own numbers the family draws, given the history and each draw of the population.

Such a family has no state that customers of one history share: rates of a population that is no Gamma or Beta, or
waits that are no exponentials. Each customer is a row. ``State``: ``shape`` and ``scale`` the shape and rate of the
Gamma of each wait, ``alive`` the time to the next purchase if the customer does not leave, given the silence so far,
``b`` when it leaves as a time from now (negative of one who has left), ``a`` its rate of leaving. They are drawn
jointly, and the purchases that follow as in every law.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from bayes_clv.distributions.paths.work import enter
from bayes_clv.distributions.streams import GOLDEN, mix


def change(numbers: Mapping[str, Any], pace: Any, leaving: Any) -> dict[str, Any]:
    """Return the numbers of a purchase rate ``pace`` times, and a rate of leaving ``leaving`` times, what they were."""
    ends = numbers["b"]
    return dict(numbers) | {
        "alive": numbers["alive"] / pace,
        "scale": numbers["scale"] * pace,
        "b": np.where(ends > 0, ends / leaving, ends),
        "a": numbers["a"] * leaving,
    }


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def begin(state, who, own, buyers):  # type: ignore[no-untyped-def]
    """Write own numbers and the buyers with their next purchase; return how many there are, and how many are active."""
    draws = state.shape.shape[1]
    wide = state.horizon.shape[1] > 1
    n = active = 0
    for i in range(who.row.size):
        row = who.row[i]
        key, step = who.keys[i, 0], who.keys[i, 1]
        if own.alive.shape[0] > 0:
            for s in range(draws):
                own.alive[i, s] = 1.0 if state.b[row, s] > 0.0 else 0.0
        if own.rate.shape[0] > 0:
            for s in range(draws):
                own.rate[i, s] = state.scale[row, s] / state.shape[row, s]
        if own.leaving.shape[0] > 0:
            for s in range(draws):
                own.leaving[i, s] = state.a[row, s]
        if own.regularity.shape[0] > 0:
            for s in range(draws):
                own.regularity[i, s] = state.shape[row, s]
        if own.left.shape[0] > 0:
            for s in range(draws):
                own.left[i, s] = state.b[row, s]
        if own.first.shape[0] > 0:
            for s in range(draws):
                comes = state.alive[row, s] <= state.b[row, s]
                own.first[i, s] = state.alive[row, s] if comes else math.inf
        buyers.begin[i] = n
        for s in range(draws):
            last = min(state.horizon[row, s if wide else 0], state.b[row, s])
            buys = state.alive[row, s] <= last
            if not (buys or who.first_order):
                continue
            enter(i, s, step, mix(key + np.uint64(s) * GOLDEN), last, buyers, n)
            if buys:
                buyers.time[n] = state.alive[row, s]
                buyers.speed[n] = state.scale[row, s]
                buyers.wait[n] = state.shape[row, s]
                buyers.active[active] = n
                active += 1
            n += 1
    buyers.begin[who.row.size] = n
    return n, active
