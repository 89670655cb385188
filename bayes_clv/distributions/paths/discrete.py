"""Numbered opportunities, at each of which a customer who is still here buys or not.

Before each opportunity the customer may leave, with its own probability theta ~ Beta(a, b), and at each it buys with
its own probability p ~ Beta(shape, scale). ``State``: P(alive) at the last opportunity observed and these four numbers
given that it was; ``silence`` are the opportunities since the last purchase, and ``horizon`` those to come. Times are
opportunities from 1.

Of one who has left, the law says at which of the silent opportunities it was last here, j of them ago: then p is
Beta(shape, scale - j) and theta Beta(a + 1, b - j), with weights by the same recursion as the likelihood.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.paths.variates import DROPOUT, LEFT, RATE, beta
from bayes_clv.distributions.streams import GOLDEN, LIFETIME, mix, unit


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _gone(u, shape, scale, a, b, silence):  # type: ignore[no-untyped-def]
    """Return how many opportunities ago a customer who has left was last here, by inversion at u in (0, 1)."""
    total = 0.0
    for turn in range(2):
        silent, reached = 1.0, 0.0
        for m in range(silence):
            j = float(silence - m)
            # At the place of the last purchase, m opportunities on: the scales of that time.
            leaves = a / (a + b - j)
            reached += silent * leaves
            if turn == 1 and reached >= u * total:
                return j
            silent *= (1.0 - leaves) * (scale - j) / (shape + scale - j)
        total = reached
    return 1.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _until(u, chance):  # type: ignore[no-untyped-def]
    """Return a Geometric(chance) number from 1 by inversion, because chance may round to 0 (never) or to 1."""
    if chance <= 0.0:
        return math.inf
    return max(math.ceil(-math.log(u) / -math.log1p(-chance)), 1.0)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def begin(state, who, own, buyers):  # type: ignore[no-untyped-def]
    """Write own numbers and the buyers with their next purchase; return how many there are, and how many are active."""
    draws = state.shape.shape[1]
    wide = state.horizon.shape[1] > 1
    latent = own.rate.shape[0] > 0 or own.leaving.shape[0] > 0 or own.left.shape[0] > 0
    n = active = 0
    for i in range(who.row.size):
        row = who.row[i]
        key, step = who.keys[i, 0], who.keys[i, 1]
        buyers.begin[i] = n
        for s in range(draws):
            word = mix(key + np.uint64(s) * GOLDEN)
            u = unit(word)
            shape, scale = state.shape[row, s], state.scale[row, s]
            a, b = state.a[row, s], state.b[row, s]
            here = u < state.alive[row, s]
            first = left = math.inf
            chance = leaving = 0.0
            if here:
                chance = beta(shape, scale, mix(word ^ RATE), step)
                leaving = beta(a, b, mix(word ^ DROPOUT), step)
                left = _until(unit(mix(word ^ LIFETIME)), leaving)
                first = _until(unit(mix(word + step)), chance)
            elif latent:
                ago = _gone(unit(mix(word ^ LEFT)), shape, scale, a, b, int(state.silence[row, 0]))
                chance = beta(shape, scale - ago, mix(word ^ RATE), step)
                leaving = beta(a + 1.0, b - ago, mix(word ^ DROPOUT), step)
                left = 1.0 - ago
            if own.alive.shape[0] > 0:
                own.alive[i, s] = 1.0 if here else 0.0
            if own.rate.shape[0] > 0:
                own.rate[i, s] = chance
            if own.leaving.shape[0] > 0:
                own.leaving[i, s] = leaving
            if own.regularity.shape[0] > 0:
                own.regularity[i, s] = math.nan
            if own.left.shape[0] > 0:
                own.left[i, s] = left
            if own.first.shape[0] > 0:
                own.first[i, s] = first if first < left else math.inf
            last = min(state.horizon[row, s if wide else 0], left - 1.0)
            buys = here and first <= last
            if not (buys or who.first_order):
                continue
            buyers.customer[n], buyers.draw[n] = i, s
            buyers.word[n], buyers.step[n], buyers.stream[n] = word, step, word + step
            buyers.last[n] = last
            buyers.count[n] = 0
            if buys:
                buyers.time[n] = first
                buyers.chance[n] = chance
                buyers.active[active] = n
                active += 1
            n += 1
    buyers.begin[who.row.size] = n
    return n, active


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def walk(state, who, own, buyers, batch, active, number):  # type: ignore[no-untyped-def]
    """Write purchases until the batch is full or nobody buys on; return how many, who is active, the last number."""
    filled = 0
    size = batch.buyer.size
    while active > 0 and filled + active <= size:
        number += 1
        staying = 0
        for m in range(active):
            n = buyers.active[m]
            batch.buyer[filled + m] = n
            batch.number[filled + m] = number
            batch.time[filled + m] = buyers.time[n]
            buyers.count[n] = number
            buyers.stream[n] += buyers.step[n]
            buyers.time[n] += _until(unit(mix(buyers.stream[n])), buyers.chance[n])
            buyers.active[staying] = n
            staying += buyers.time[n] <= buyers.last[n]
        filled += active
        active = staying
    return filled, active, number
