"""Random variates of many streams at once: what the laws of leaving and the purses are drawn from.

A stream is a 64-bit word and an odd step (``streams``). Nothing here moves a stream on: each variate has a stream of
its own, begun at a word that says what it is for, so that what else is asked for changes no number.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.streams import EDGES, mix, standard_gamma, unit

# What a stream is for, beside LIFETIME and MONEY of ``streams``.
RATE = np.uint64(0xA24BAED4963EE407)
DROPOUT = np.uint64(0x9FB21C651E98DF25)
LEFT = np.uint64(0xE7037ED1A0B428DB)
SHARE = np.uint64(0x8EBC6AF09C88C6E3)
BOOST = np.uint64(0xBEA225F9EB34556D)
BELOW_ONE = 1.0 - 2.0**-53
# A time later than any other, and not never.
FAR = 1e308


# log 2 in two parts, the first short enough that its small multiples are exact (fdlibm, Sun Microsystems 1993).
_LOG2_HIGH, _LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROOT_HALF = np.int64(0x3FE6A09E667F3BCD)
_BIAS, _MANTISSA = np.int64(1023), np.int64(52)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def log(x):  # type: ignore[no-untyped-def]
    """Return log(x) of a positive, normal x to the last digit but one; without jumps, so that loops become vectors.

    The algorithm of fdlibm: x = 2^e m, m within a root of 2 about 1, and the logarithm of m by s = (m - 1) / (m + 1).
    """
    bits = np.float64(x).view(np.int64)
    e = (bits - _ROOT_HALF) >> _MANTISSA
    f = np.int64(bits - (e << _MANTISSA)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    odd = z * (
        0.6666666666666735130
        + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591))
    )
    half = 0.5 * f * f
    k = np.float64(e)
    return k * _LOG2_HIGH - ((half - (s * (half + even + odd) + k * _LOG2_LOW)) - f)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def exp(x):  # type: ignore[no-untyped-def]
    """Return exp(x) to the last digit but one, within the doubles; without jumps, as ``log``."""
    x = min(max(x, -708.0), 709.0)
    k = math.floor(x * 1.4426950408889634 + 0.5)
    high, low = x - k * _LOG2_HIGH, k * _LOG2_LOW
    r = high - low
    t = r * r
    c = r - t * (
        1.66666666666666019037e-01
        + t
        * (
            -2.77777777770155933842e-03
            + t
            * (
                6.61375632143793436117e-05
                + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08)
            )
        )
    )
    y = 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    return y * np.int64((np.int64(k) + _BIAS) << _MANTISSA).view(np.float64)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def log1p(x):  # type: ignore[no-untyped-def]
    """Return log(1 + x) of x > -1, to some last digits."""
    u = 1.0 + x
    # What 1 + x has lost in rounding, its logarithm has lost in proportion (Kahan; in Goldberg 1991, theorem 4).
    return x if u == 1.0 else log(u) * (x / (u - 1.0))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def expm1(x):  # type: ignore[no-untyped-def]
    """Return exp(x) - 1; where x is small by its series, else two digits may be lost."""
    small = x * (1.0 + x / 2 * (1.0 + x / 3 * (1.0 + x / 4 * (1.0 + x / 5 * (1.0 + x / 6)))))
    return small if abs(x) < 0.01 else exp(x) - 1.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
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


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
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
