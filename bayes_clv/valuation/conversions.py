"""Leads before a first order: the share that becomes a customer, of channels pooled partially.

A hurdle: a lead (who registered, asked, tried) becomes a customer or never pays, and a customer is worth what the
fits say. Of n leads of channel i c have become customers, c ~ Binomial(n, p_i). The shares of several channels are
p_i ~ Beta(m k, (1 - m) k), so that a channel with few leads leans on the others, with the prior of Gelman et al.
(Bayesian Data Analysis, 3rd edition, section 5.3): m k and (1 - m) k have a density of their sum to the power -5/2,
which is k^(-3/2) of the concentration k, with m even. Its posterior is found on a grid of m and k and drawn exactly
there. One channel alone has Jeffreys' prior, Beta(1/2, 1/2).

Leads that are still undecided are none of the n: a lead of yesterday says nothing yet, and counted as lost it makes the
share too small.
"""

import math

import numpy as np
from scipy.special import betaln, logit

# Points of the grid: of m, on the log-odds scale, and of log k.
MEANS, CONCENTRATIONS = 121, 101


def conversion_draws(
    leads: np.ndarray, converted: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return draws (draw, channel) of the share of leads that become customers.

    Examples
    --------
    >>> drawn = conversion_draws(np.array([1000, 20]), np.array([100, 6]), 4000, np.random.default_rng(1))
    >>> bool(0.10 < drawn[:, 1].mean() < 0.30)
    True
    """
    leads, converted = np.asarray(leads, dtype=float), np.asarray(converted, dtype=float)
    if leads.size == 1:
        return np.asarray(rng.beta(converted + 0.5, leads - converted + 0.5, (size, 1)))
    # The mean lies among the channels' shares, and within a few standard errors of the sparsest on either side.
    middle = logit((converted + 0.5) / (leads + 1))
    error = 1 / np.sqrt(converted + 0.5) + 1 / np.sqrt(leads - converted + 0.5)
    low, high = float((middle - 5 * error).min()), float((middle + 5 * error).max())
    odds = np.linspace(low, high, MEANS)
    log_k = np.linspace(math.log(0.1), math.log(1e5), CONCENTRATIONS)
    m, k = np.meshgrid(1 / (1 + np.exp(-odds)), np.exp(log_k), indexing="ij")
    a, b = m * k, (1 - m) * k
    density = np.log(m) + np.log1p(-m) - 0.5 * np.log(k)
    for n, c in zip(leads.tolist(), converted.tolist(), strict=True):
        density = density + betaln(a + c, b + n - c) - betaln(a, b)
    weight = np.exp(density - density.max()).ravel()
    at = rng.choice(weight.size, size, p=weight / weight.sum())
    # Within a cell of the grid draws lie evenly, on the scales of the grid.
    row, column = np.unravel_index(at, m.shape)
    shift = rng.uniform(-0.5, 0.5, (2, size))
    mean = 1 / (1 + np.exp(-(odds[row] + shift[0] * (odds[1] - odds[0]))))
    concentration = np.exp(log_k[column] + shift[1] * (log_k[1] - log_k[0]))
    drawn = rng.beta(
        (mean * concentration)[:, None] + converted,
        ((1 - mean) * concentration)[:, None] + leads - converted,
    )
    return np.asarray(drawn)
