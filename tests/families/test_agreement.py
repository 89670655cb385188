"""What the conformance suite cannot ask of every family: moments that only some have.

Each Monte Carlo mean is held to 4.5 standard errors, one false alarm in 150,000 comparisons.
"""

import numpy as np
import pytest

from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")
mbg_nbd = paper("mbg_nbd")

SIGMAS = 4.5
BUYING = {"r": 1.5, "alpha": 3.0, "a": 1.0, "b": 2.0}
SPENDING = {"p": 2.5, "q": 5.0, "v": 20.0}


def assert_mean(sample, expected):
    sample = np.asarray(sample, dtype=float)
    error = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) <= SIGMAS * error + 1e-12


@pytest.mark.parametrize(("module", "first"), [(bg_nbd, 0), (mbg_nbd, 1)])
@pytest.mark.parametrize("history", [(1, 0.5, 4.0), (3, 1.0, 4.0), (0, 0.0, 4.0)])
def test_latent_draws_are_the_posterior_of_rate_and_dropout_together(module, first, history):
    """Rate and dropout are not independent given the history: the mean of their product is held too."""
    rng, draws = np.random.default_rng(6), 400_000
    alive, rate, dropout = module.latent_draws(rng, *(np.full(draws, h) for h in history), **BUYING)
    # By quadrature over the prior of the individual likelihood: with c tosses lambda^x times
    # (1-p)^c e^(-lambda T) when alive, and p (1-p)^(c-1) e^(-lambda t_x) when the last one ended it.
    lam = np.linspace(0, 40, 40_001)[1:]
    p = (np.arange(2_000) + 0.5) / 2_000
    x, t_x, age = history
    tosses = x + first
    prior_lam = lam ** (BUYING["r"] - 1 + x) * np.exp(-BUYING["alpha"] * lam)
    prior_p = p ** (BUYING["a"] - 1) * (1 - p) ** (BUYING["b"] - 1)
    parts = [(prior_lam * np.exp(-lam * age), prior_p * (1 - p) ** tosses)]
    if tosses:
        parts.append((prior_lam * np.exp(-lam * t_x), prior_p * p * (1 - p) ** (tosses - 1)))
    masses = [u.sum() * w.sum() for u, w in parts]
    product = sum((u * lam).sum() * (w * p).sum() for u, w in parts) / sum(masses)
    assert_mean(rate * dropout, product)
    assert_mean(alive, masses[0] / sum(masses))


def test_gamma_gamma_latent_draws_have_the_expected_spend():
    rng, draws = np.random.default_rng(9), 200_000
    for x, zbar in ((0, np.nan), (1, 30.0), (20, 5.0)):
        nu = gamma_gamma.latent_draws(rng, np.full(draws, x), np.full(draws, zbar), **SPENDING)
        shape, rate = gamma_gamma.spend_state(x, zbar, **SPENDING)
        assert_mean(nu, shape / rate)
        assert_mean(SPENDING["p"] / nu, gamma_gamma.expected_spend(x, zbar, **SPENDING))
        total = gamma_gamma.simulate_spend(rng, 3, nu, SPENDING["p"])
        assert_mean(total, 3 * gamma_gamma.expected_spend(x, zbar, **SPENDING))


def test_expected_spend_is_right_on_average_over_simulated_customers():
    rng, customers = np.random.default_rng(10), 300_000
    nu = rng.gamma(SPENDING["q"], 1 / SPENDING["v"], customers)
    x = rng.integers(0, 4, customers)
    total = gamma_gamma.simulate_spend(rng, x, nu, SPENDING["p"])
    zbar = np.divide(total, x, out=np.full(customers, np.nan), where=x > 0)
    following = gamma_gamma.simulate_spend(rng, 1, nu, SPENDING["p"])
    mean = gamma_gamma.expected_spend(x, zbar, **SPENDING)
    for group in (x == 0, x == 1, x == 3, zbar > 15, zbar < 3):
        assert_mean((following - mean)[group], 0)
    assert_mean(following, gamma_gamma.population_mean_spend(**SPENDING))
