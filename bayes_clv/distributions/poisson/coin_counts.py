"""P(n purchases) of customers with a coin after each purchase, of counts that follow each other, compiled over draws.

A customer alive now buys n times because n is what chance gave, N ~ NegBin(k, tau / (1 + tau)), or because the n-th
purchase ended it, and survives n tosses of its coin, p ~ Beta(a, B), with the probability S_n = (B)_n / (a + B)_n:

    P(Y = n) = S_{n-1} (P(N = n) + P(N > n) a / (a + B + n - 1)).

Of each history all draws go side by side: P(N = n) from its neighbour, upwards from P(N = 0); P(N > n) downwards from
that of the last count, a sum of terms of one sign that ends at a bound on the rest, ``ENOUGH`` of it. Nothing cancels,
so that a probability of any size has its digits. Rows in which P(N = 0) underflows, shapes are large, or the sum is
long, are left to the caller.
"""

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import exp, log1p
from bayes_clv.distributions.stirling import LARGE

# exp(-660) is a normal number with room for the products that follow.
UNDERFLOWS = 660.0
# An incomplete beta function takes the time of so many terms.
MOST_TERMS = 600.0
ENOUGH = 1e-16
# Below it a product rounds to itself, and would be added up for ever.
NOTHING = 1e-300

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)


@_compiled
def _is_plain(last, k, tau, a, big_b):  # type: ignore[no-untyped-def]
    """Return whether every draw of a row can be had from its neighbours."""
    longest = silence = shape = 0.0
    for s in range(k.size):
        mean = k[s] * tau[s]
        longest = max(longest, mean + 8.0 * np.sqrt(mean * (1.0 + tau[s])) + 36.0 * (1.0 + tau[s]))
        silence = max(silence, k[s] * log1p(tau[s]))
        shape = max(shape, k[s], a[s] + big_b[s])
    return longest - last < MOST_TERMS and silence < UNDERFLOWS and shape <= LARGE


@_compiled
def _alike(values, i):  # type: ignore[no-untyped-def]
    """Return whether a row is the one before."""
    different = 0
    for s in range(values.shape[1]):
        different += values[i, s] != values[i - 1, s]
    return different == 0


@_compiled
def _beyond(last, k, z, mass, total):  # type: ignore[no-untyped-def]
    """Write P(N > last) to ``total``; ``mass`` is P(N = last), and of no use afterwards."""
    total[:] = 0.0
    j = float(last)
    going = True
    while going:
        for _ in range(4):
            inverse = 1.0 / (j + 1.0)
            for s in range(k.size):
                mass[s] *= z[s] * (k[s] + j) * inverse
                total[s] += mass[s]
            j += 1.0
        # From here each term is at most z (k + j) / j of the one before.
        going = False
        for s in range(k.size):
            growth = z[s] * (k[s] + j)
            little = mass[s] <= NOTHING or mass[s] * growth <= ENOUGH * total[s] * (j - growth)
            going |= not (growth < j and little)


@_compiled
def _while_alive(first, k, tau, a, big_b, mass, survived, rest):  # type: ignore[no-untyped-def]
    """Write P(Y = first + n) of a row to ``mass`` (n, draw); the others are room: ``survived`` (n, draw), ``rest``."""
    z, now, tosses, more = rest[0], rest[1], rest[2], rest[3]
    for s in range(k.size):
        z[s] = tau[s] / (1.0 + tau[s])
        now[s] = exp(-k[s] * log1p(tau[s]))
        tosses[s] = 1.0
    last = first + mass.shape[0] - 1
    for n in range(last + 1):
        if n > 0:
            inverse = 1.0 / n
            for s in range(k.size):
                now[s] *= z[s] * (k[s] + (n - 1.0)) * inverse
        if n > 1:
            for s in range(k.size):
                tosses[s] *= (big_b[s] + (n - 2.0)) / (a[s] + big_b[s] + (n - 2.0))
        if n >= first:
            kept, stayed = mass[n - first], survived[n - first]
            for s in range(k.size):
                kept[s] = now[s]
                stayed[s] = tosses[s]
    _beyond(last, k, z, now, more)
    for n in range(last, max(first, 1) - 1, -1):
        chance, stayed = mass[n - first], survived[n - first]
        for s in range(k.size):
            bought = chance[s]
            chance[s] = stayed[s] * (bought + more[s] * a[s] / (a[s] + big_b[s] + (n - 1.0)))
            more[s] += bought


@_compiled
def count_chances(first, alive, k, tau, a, big_b, out, plain):  # type: ignore[no-untyped-def]
    """Write P(Y = first + n) to ``out`` (n, row, draw) of the rows that are ``plain`` (row), which is written too.

    ``alive`` is the chance of being it, of which the states k, tau, a and big_b know nothing; all are (row, draw).
    """
    number, rows, draws = out.shape
    mass, survived, rest = np.empty((number, draws)), np.empty((number, draws)), np.empty((4, draws))
    for i in range(rows):
        if i and _alike(k, i) and _alike(tau, i) and _alike(a, i) and _alike(big_b, i):
            plain[i] = plain[i - 1]
        else:
            plain[i] = _is_plain(first + number - 1, k[i], tau[i], a[i], big_b[i])
            if plain[i]:
                _while_alive(first, k[i], tau[i], a[i], big_b[i], mass, survived, rest)
        if not plain[i]:
            continue
        for n in range(number):
            gone = 1.0 if first + n == 0 else 0.0
            here, chance, each = alive[i], mass[n], out[n, i]
            for s in range(draws):
                each[s] = here[s] * chance[s] + gone * (1.0 - here[s])
