"""Conversions of leads: against the exact posterior of two channels, calibrated, and leaning on each other."""

import numpy as np
from scipy import special, stats

from bayes_clv.valuation.conversions import conversion_draws


def test_one_channel_has_the_posterior_of_jeffreys():
    drawn = conversion_draws(np.array([40]), np.array([3]), 4000, np.random.default_rng(1))
    exact = stats.beta(3.5, 37.5)
    assert stats.kstest(drawn[:, 0], exact.cdf).pvalue > 1e-3


def test_few_leads_lean_on_the_others():
    leads, converted = np.array([2000, 1500, 1800, 10]), np.array([200, 160, 175, 4])
    drawn = conversion_draws(leads, converted, 4000, np.random.default_rng(1))
    assert 0.1 < drawn[:, 3].mean() < 0.25
    np.testing.assert_allclose(drawn[:, :3].mean(axis=0), converted[:3] / leads[:3], rtol=0.05)


def test_means_are_those_of_the_posterior_of_the_two_parameters():
    """Summed over a and b themselves, prior (a + b)^(-5/2): another grid of another scale, and no draws."""
    leads, converted = np.array([60, 40, 8]), np.array([12, 5, 4])
    a, b = np.meshgrid(np.exp(np.linspace(-5, 10, 601)), np.exp(np.linspace(-5, 12, 601)), indexing="ij")
    log = np.log(a) + np.log(b) - 2.5 * np.log(a + b)
    for n, c in zip(leads, converted, strict=True):
        log = log + special.betaln(a + c, b + n - c) - special.betaln(a, b)
    weight = np.exp(log - log.max())
    drawn = conversion_draws(leads, converted, 20_000, np.random.default_rng(1))
    for i, (n, c) in enumerate(zip(leads, converted, strict=True)):
        exact = (weight * (a + c) / (a + b + n)).sum() / weight.sum()
        error = drawn[:, i].std() / np.sqrt(20_000)
        assert abs(drawn[:, i].mean() - exact) < 4 * error


def test_intervals_hold_shares_drawn_as_the_prior_says():
    """Of 120 sets of five channels, with m and k where the grid is: 90 %, to 4 standard errors over sets."""
    rng = np.random.default_rng(2)
    leads, held = np.array([400, 200, 100, 50, 20]), []
    for _ in range(120):
        mean, k = rng.uniform(0.05, 0.5), np.exp(rng.uniform(1.0, 5.0))
        share = rng.beta(mean * k, (1 - mean) * k, 5)
        converted = rng.binomial(leads, share)
        drawn = conversion_draws(leads, converted, 400, rng)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        held.append(((share >= low) & (share <= high)).mean())
    assert abs(np.mean(held) - 0.9) < 4 * np.std(held) / np.sqrt(120)
