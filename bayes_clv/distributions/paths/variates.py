"""Random variates of many streams at once: what the laws of leaving and the purses are drawn from.

A stream is a 64-bit word and an odd step (``streams``). Nothing here moves a stream on: each variate has a stream of
its own, begun at a word that says what it is for, so that what else is asked for changes no number.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import plain_exp as exp
from bayes_clv.distributions.elementary import plain_log as log
from bayes_clv.distributions.streams import EDGES, mix, standard_gamma, standard_normal, unit

# What a stream is for, beside LIFETIME and MONEY of ``streams``.
RATE = np.uint64(0xA24BAED4963EE407)
DROPOUT = np.uint64(0x9FB21C651E98DF25)
LEFT = np.uint64(0xE7037ED1A0B428DB)
SHARE = np.uint64(0x8EBC6AF09C88C6E3)
BOOST = np.uint64(0xBEA225F9EB34556D)
BELOW_ONE = 1.0 - 2.0**-53
# A time later than any other, and not never.
FAR = 1e308


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def beta(a, b, state, step):  # type: ignore[no-untyped-def]
    """Return a Beta(a, b) variate, 0 where a is 0; of shapes near 0 it is 0 or 1, as it should."""
    if a == 0.0:
        return 0.0
    first, state = standard_gamma(a, state, step)
    second, state = standard_gamma(b, state, step)
    if first + second > 0.0:
        return first / (first + second)
    # Shapes so small that both round to 0: what is left of the Beta are its ends.
    return 1.0 if unit(mix(state + step)) * (a + b) < a else 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def gammas(shape, states, steps, room, out):  # type: ignore[no-untyped-def]
    """Write a Gamma(shape, 1) variate of each stream, as ``streams.standard_gamma`` makes them.

    ``room`` (2, at least as many) is to work in. The loops have no jumps, so that the compiler turns them into
    vectors: they make what most variates need, a normal number from inside its layer that is accepted at once. The
    others, some 5 %, are drawn one by one.
    """
    d, c = room[0, : out.size], room[1, : out.size]
    least = 1.0
    for m in range(out.size):
        k = shape[m]
        least = min(least, k)
        d[m] = (k if k >= 1.0 else k + 1.0) - 1.0 / 3.0
    for m in range(out.size):
        c[m] = 1.0 / math.sqrt(9.0 * d[m])
    for m in range(out.size):
        word = mix(states[m] + steps[m])
        layer = np.int64(word & np.uint64(255))
        x = unit(word) * EDGES[layer]
        inside = x < EDGES[layer + 1]
        v = 1.0 + c[m] * (x * (np.float64((word >> np.uint64(7)) & np.uint64(2)) - 1.0))
        u = unit(mix(states[m] + steps[m] + steps[m]))
        accepted = inside & (v > 0.0) & (u < 1.0 - 0.0331 * (x * x) * (x * x))
        out[m] = d[m] * v * v * v if accepted else -1.0
    for m in range(out.size):
        if out[m] < 0.0:
            out[m], _ = standard_gamma(d[m] + 1.0 / 3.0, states[m], steps[m])
    if least < 1.0:
        for m in range(out.size):
            if shape[m] < 1.0:
                # A variate of one more, times U^(1 / shape): section 6 of Marsaglia & Tsang (2000).
                out[m] *= exp(log(unit(mix(states[m] ^ BOOST))) / shape[m])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def normals(states, steps, out):  # type: ignore[no-untyped-def]
    """Write a standard normal variate of each stream, the very ones of ``streams.standard_normal``.

    In vectors those from inside their layer, all but some 1 %.
    """
    for m in range(out.size):
        word = mix(states[m] + steps[m])
        layer = np.int64(word & np.uint64(255))
        x = unit(word) * EDGES[layer]
        signed = x * (np.float64((word >> np.uint64(7)) & np.uint64(2)) - 1.0)
        out[m] = signed if x < EDGES[layer + 1] else np.nan
    for m in range(out.size):
        if out[m] != out[m]:
            out[m], _ = standard_normal(states[m], steps[m])
