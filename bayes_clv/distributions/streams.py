"""Random numbers that belong to a customer and a posterior draw, not to a place in a loop.

Every customer has two 64-bit words from the BLAKE2b hash of the seed and the customer's id. Draw ``s``
of customer ``i`` starts at ``mix(word + s * GOLDEN)`` and continues with the customer's own odd
increment, which is SplitMix64 (Steele, Lea & Flood 2014) with one stream per customer and draw. A
sequential generator per customer (SFC64) would have been a little shorter, but its draw ``s + 1``
starts wherever draw ``s`` stopped: a longer horizon would then change every later draw. Here a path
depends on seed, id, draw and its own parameters only, so that

* order, neighbours, chunks and threads change nothing;
* the first 26 weeks of a 52-week path are the 26-week path;
* two scenarios share their random numbers (common random numbers), so their difference is not noise;
* money and lifetime are drawn from streams of their own and leave the purchase times as they are.
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit

from bayes_clv.schema import check_seed

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MONEY = np.uint64(0xD1B54A32D192ED03)
LIFETIME = np.uint64(0x8CB92BA72F3D8DD7)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-52


def customer_keys(ids: Iterable[Any], seed: int, *, purpose: str = "future") -> np.ndarray:
    """Return the two 64-bit words of each customer's stream: ``uint64`` of shape (customer, 2).

    The first word places the stream, the second is its odd increment. ``seed`` is any non-negative
    integer below 2**64; ids are read as text; another ``purpose`` (at most 16 letters) gives independent
    streams.
    """
    check_seed(seed)
    start = hashlib.blake2b(digest_size=16, person=purpose.encode(), key=int(seed).to_bytes(8, "little"))
    digests = []
    for customer in ids:
        hashed = start.copy()
        hashed.update(str(customer).encode())
        digests.append(hashed.digest())
    words = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64).reshape(-1, 2)
    increment = words[:, 1] | np.uint64(1)
    # Increments with few bit changes mix weakly (Steele et al., section 5).
    weak = np.bitwise_count(increment ^ (increment >> np.uint64(1))) < 24
    words[:, 1] = np.where(weak, increment ^ np.uint64(0xAAAAAAAAAAAAAAAA), increment)
    return words


@njit(nogil=True, cache=True, inline="always")
def mix(z):  # type: ignore[no-untyped-def]
    """Return the SplitMix64 hash of a 64-bit word (Stafford's variant 13)."""
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True, inline="always")
def unit(z):  # type: ignore[no-untyped-def]
    """Return the word as a number strictly between 0 and 1 (52 bits), so that its logarithm is finite."""
    return (np.float64(z >> np.uint64(12)) + 0.5) * _TO_UNIT


def _ziggurat(layers: int = 256, tail: float = 3.6541528853610088) -> tuple[np.ndarray, np.ndarray]:
    """Return the layers' right ends x and heights exp(-x²/2), each layer of equal area.

    ``tail`` is where the base layer's tail begins, the value that closes 256 layers (Marsaglia & Tsang
    2000); tests/predictions checks that the top layer ends at 0.
    """
    area = tail * math.exp(-0.5 * tail * tail) + math.sqrt(math.pi / 2) * math.erfc(tail / math.sqrt(2))
    x = np.empty(layers + 1)
    x[0], x[1] = area / math.exp(-0.5 * tail * tail), tail
    for i in range(2, layers):
        x[i] = math.sqrt(-2 * math.log(area / x[i - 1] + math.exp(-0.5 * x[i - 1] ** 2)))
    x[layers] = 0.0
    return x, np.exp(-0.5 * x * x)


EDGES, _HEIGHT = _ziggurat()


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def standard_normal(state, increment):  # type: ignore[no-untyped-def]
    """Return a standard normal variate and the stream's new state (ziggurat, Marsaglia & Tsang 2000).

    Layer, sign and position come from separate bits of one word, as Doornik (2005) asks.
    """
    while True:
        state += increment
        word = mix(state)
        layer = np.int64(word & np.uint64(255))
        x = unit(word) * EDGES[layer]
        if x >= EDGES[layer + 1]:
            if layer == 0:
                # Beyond the tail's start, by Marsaglia (1964).
                while True:
                    state += increment
                    x = -math.log(unit(mix(state))) / EDGES[1]
                    state += increment
                    if -2.0 * math.log(unit(mix(state))) > x * x:
                        break
                x += EDGES[1]
            else:
                state += increment
                height = _HEIGHT[layer] + unit(mix(state)) * (_HEIGHT[layer + 1] - _HEIGHT[layer])
                if height >= math.exp(-0.5 * x * x):
                    continue
        # The sign by a product: half of all jumps would be foreseen wrongly.
        return x * (np.float64((word >> np.uint64(7)) & np.uint64(2)) - 1.0), state


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def standard_gamma(shape, state, increment):  # type: ignore[no-untyped-def]
    """Return a Gamma(shape, 1) variate and the stream's new state (Marsaglia & Tsang 2000).

    A shape below 1 is raised by one and multiplied by U^(1/shape), as in their section 6.
    """
    boost = 1.0
    if shape < 1.0:
        state += increment
        boost = math.exp(math.log(unit(mix(state))) / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    v, state = _cubed(d, 1.0 / math.sqrt(9.0 * d), state, increment)
    return boost * d * v, state


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _cubed(d, c, state, increment):  # type: ignore[no-untyped-def]
    """Return v of a Gamma variate d v, shape d + 1/3 at least 1 and c = 1 / sqrt(9 d), and the stream's new state."""
    while True:
        x, state = standard_normal(state, increment)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        state += increment
        u = unit(mix(state))
        if u < 1.0 - 0.0331 * (x * x) * (x * x):
            break
        if math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
            break
    return v, state


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def cubes(d, c, states, increment, out):  # type: ignore[no-untyped-def]
    """Write v of many Gamma variates d v, as ``standard_gamma`` gives them, and move their states on.

    ``d`` is shape - 1/3, of shapes from 1 on, and ``c`` 1 / sqrt(9 d). The first loop has no jumps, so that the
    compiler turns it into vectors: it makes what most variates need, a normal number from inside its layer that is
    accepted at once. The others, some 5 %, are drawn one by one from where they began.
    """
    for m in range(out.size):
        word = mix(states[m] + increment)
        layer = np.int64(word & np.uint64(255))
        x = unit(word) * EDGES[layer]
        inside = x < EDGES[layer + 1]
        v = 1.0 + c[m] * (x * (np.float64((word >> np.uint64(7)) & np.uint64(2)) - 1.0))
        u = unit(mix(states[m] + increment + increment))
        accepted = inside & (v > 0.0) & (u < 1.0 - 0.0331 * (x * x) * (x * x))
        out[m] = v * v * v if accepted else -1.0
    for m in range(out.size):
        if out[m] < 0.0:
            out[m], states[m] = _cubed(d[m], c[m], states[m], increment)
        else:
            states[m] += increment + increment


def uniforms(keys: np.ndarray, word: int, draws: int) -> np.ndarray:
    """Return a uniform number of each customer and draw, (customer, draw); another ``word`` gives independent ones."""
    out = np.empty((keys.shape[0], draws))
    _fill(np.ascontiguousarray(keys), np.uint64(word), out)
    return out


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _fill(keys, word, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        for s in range(out.shape[1]):
            state = mix((keys[i, 0] ^ word) + np.uint64(s) * GOLDEN)
            out[i, s] = unit(mix(state + keys[i, 1]))
