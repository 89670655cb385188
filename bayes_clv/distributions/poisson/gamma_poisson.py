"""Poisson purchases at a rate that varies over customers as a Gamma: what the purchase families share.

While alive a customer buys at the rate lambda ~ Gamma(r, rate alpha), so that N purchases of a horizon t are
negative binomial: with k = r + x and s = alpha + T after x purchases in T, and tau = t / s,

    P(N = n) = Gamma(k + n) / (Gamma(k) n!) z^n (1 - z)^k,    z = tau / (1 + tau).

How customers leave is the family's own (``beta_geometric`` is one way).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.stirling import LARGE, POISSON, count_chance

# A probability from which others are computed has all its digits.
SMALLEST = 1e-290


def simulate_counts(rng: np.random.Generator, T: Array, r: Array, alpha: Array) -> NDArray[np.int64]:
    """Return how often each customer would buy in T units if it never left."""
    counts: NDArray[np.int64] = rng.poisson(rng.gamma(r, 1 / alpha) * T)
    return counts


def simulate_recency(
    rng: np.random.Generator, T: Array, counts: NDArray[np.int64], frequency: NDArray[np.int64]
) -> Array:
    """Return the time of the ``frequency``-th of ``counts`` purchases, uniform on (0, T); 0 for none.

    The x-th of N uniform times is T * Beta(x, N - x + 1).
    """
    position = rng.beta(np.maximum(frequency, 1), counts - frequency + 1)
    return np.where(frequency > 0, T * position, 0.0)


def simulate_latest(rng: np.random.Generator, active: Array, frequency: NDArray[np.int64]) -> Array:
    """Return the latest of ``frequency`` purchases, uniform on (0, active); 0 for none."""
    latest = rng.random(active.shape) ** (1 / np.maximum(frequency, 1))
    return np.where(frequency > 0, active * latest, 0.0)


def simulate_times(
    rng: np.random.Generator, frequency: NDArray[np.int64], recency: Array
) -> tuple[NDArray[np.int64], Array]:
    """Return purchases of simulated histories as flat arrays (customer index, age at the purchase).

    Given x and t_x the earlier x - 1 purchases are uniform on (0, t_x).
    """
    customer = np.repeat(np.arange(frequency.size), frequency)
    age = recency[customer] * rng.random(customer.size)
    last = np.cumsum(frequency)[frequency > 0] - 1
    age[last] = recency[frequency > 0]
    return customer, age[np.lexsort((age, customer))]


def count_pmf(n: ArrayLike, k: ArrayLike, tau: ArrayLike) -> Array:
    """Return P(N = n), N the purchases of a horizon without dropout."""
    n, k, tau = float_arrays(n, k, tau)
    some = np.maximum(n, 1.0)
    with np.errstate(divide="ignore"):
        log_z = -np.log1p(1 / tau)
    log_none = -k * np.log1p(tau)
    positive = np.exp(-special.betaln(k, some) - np.log(some) + some * log_z + log_none)
    # Where rates hardly differ, the two logarithms of k are as large as each other.
    alike = k > LARGE
    if alike.any():
        positive = np.where(alike, count_chance(some, k, tau), positive)
    return np.where(n > 0, positive, np.exp(log_none))


def count_at_least(n: ArrayLike, k: ArrayLike, tau: ArrayLike) -> Array:
    """Return P(N >= n), N the purchases of a horizon without dropout; 1 where n <= 0."""
    n, k, tau = float_arrays(n, k, tau)
    some = np.maximum(n, 1.0)
    reached = special.betainc(some, np.minimum(k, POISSON), tau / (1 + tau))
    # Beyond it the counts are Poisson in every digit, and betainc has none.
    poisson = k > POISSON
    if poisson.any():
        reached = np.where(poisson, special.gammainc(some, k * tau), reached)
    return np.where(n > 0, reached, 1.0)


def in_turn(counts: Array) -> bool:
    """Return whether these are several counts from 0 on, each one more than the last."""
    return counts.ndim == 1 and counts.size > 1 and counts[0] >= 0 and bool((np.diff(counts) == 1).all())


def counts_in_turn(counts: Array, k: Array, tau: Array) -> tuple[Array, Array]:
    """Return P(N = n) and P(N > n) of counts from 1 on, their axes first, N as in ``count_pmf``.

    Where counts follow each other the ends are computed, and the others from their neighbours: upwards
    P(N = n + 1) = P(N = n) z (k + n) / (n + 1), downwards P(N > n - 1) = P(N > n) + P(N = n). All terms are positive,
    so that nothing cancels, and it takes a fraction of the time of an incomplete beta function each.
    """
    if in_turn(counts) and not (k > LARGE).any():
        exactly = [count_pmf(counts[0], k, tau)]
        # What has underflowed stays 0 by neighbours.
        if not (exactly[0] < SMALLEST).any():
            z = tau / (1 + tau)
            for n in counts[:-1]:
                exactly.append(exactly[-1] * (z * ((k + n) / (n + 1))))
            more = [count_at_least(counts[-1] + 1, k, tau)]
            for each in exactly[:0:-1]:
                more.append(more[-1] + each)
            return np.stack(exactly), np.stack(more[::-1])
    n = counts.reshape(counts.shape + (1,) * (np.ndim(k) if counts.ndim else 0))
    return count_pmf(n, k, tau), count_at_least(n + 1, k, tau)
