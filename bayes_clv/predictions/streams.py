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
* money is drawn from a stream of its own and leaves the purchase times as they are.
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit

from bayes_clv.schema import InputError

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MONEY = np.uint64(0xD1B54A32D192ED03)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-52


def customer_keys(ids: Iterable[Any], seed: int, *, purpose: str = "future") -> np.ndarray:
    """Return the two 64-bit words of each customer's stream: ``uint64`` of shape (customer, 2).

    The first word places the stream, the second is its odd increment. ``seed`` is any non-negative
    integer below 2**64; ids are read as text; another ``purpose`` (at most 16 letters) gives independent
    streams.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) < 2**64:
        raise InputError(f"seed must be an integer from 0 to 2**64 - 1; it is {seed!r}.")
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


@njit(nogil=True, cache=True, error_model="numpy")
def normal(u):  # type: ignore[no-untyped-def]
    """Return the standard normal quantile of ``u`` (Wichura 1988, AS 241, relative error 1e-16)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        num = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
        num = num * r + 6.7265770927008700853e4
        num = num * r + 4.5921953931549871457e4
        num = num * r + 1.3731693765509461125e4
        num = num * r + 1.9715909503065514427e3
        num = num * r + 1.3314166789178437745e2
        num = num * r + 3.3871328727963666080e0
        den = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
        den = den * r + 3.9307895800092710610e4
        den = den * r + 2.1213794301586595867e4
        den = den * r + 5.3941960214247511077e3
        den = den * r + 6.8718700749205790830e2
        den = den * r + 4.2313330701600911252e1
        den = den * r + 1.0
        return q * num / den
    tail = u if q < 0 else 1.0 - u
    r = math.sqrt(-math.log(tail))
    if r <= 5.0:
        r -= 1.6
        num = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
        num = num * r + 2.41780725177450611770e-1
        num = num * r + 1.27045825245236838258e0
        num = num * r + 3.64784832476320460504e0
        num = num * r + 5.76949722146069140550e0
        num = num * r + 4.63033784615654529590e0
        num = num * r + 1.42343711074968357734e0
        den = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        den = den * r + 1.51986665636164571966e-2
        den = den * r + 1.48103976427480074590e-1
        den = den * r + 6.89767334985100004550e-1
        den = den * r + 1.67638483018380384940e0
        den = den * r + 2.05319162663775882187e0
        den = den * r + 1.0
    else:
        r -= 5.0
        num = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        num = num * r + 1.24266094738807843860e-3
        num = num * r + 2.65321895265761230930e-2
        num = num * r + 2.96560571828504891230e-1
        num = num * r + 1.78482653991729133580e0
        num = num * r + 5.46378491116411436990e0
        num = num * r + 6.65790464350110377720e0
        den = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
        den = den * r + 1.84631831751005468180e-5
        den = den * r + 7.86869131145613259100e-4
        den = den * r + 1.48753612908506148525e-2
        den = den * r + 1.36929880922735805310e-1
        den = den * r + 5.99832206555887937690e-1
        den = den * r + 1.0
    return -num / den if q < 0 else num / den


@njit(nogil=True, cache=True, error_model="numpy")
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
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        state += increment
        x = normal(unit(mix(state)))
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
    return boost * d * v, state
