"""Likelihood, simulators, latent draws and forecasts of a family describe one and the same process."""

from math import lgamma

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from bayes_clv.distributions import bg_nbd, family, gamma_gamma

# Each Monte Carlo mean is held to 4.5 standard errors: one false alarm in 150,000 comparisons, and this
# file makes about a hundred.
SIGMAS = 4.5

T = 4.0
BUYING = {"r": 1.5, "alpha": 3.0, "a": 1.0, "b": 2.0}
SPENDING = {"p": 2.5, "q": 5.0, "v": 20.0}
HISTORIES = [(0, 0.0, 4.0), (1, 0.5, 4.0), (3, 3.5, 4.0), (8, 4.0, 4.0)]


def log_likelihood(name, parameters, *columns):
    module = family(name)
    inputs = [pt.dvector() for _ in columns]
    tensors = {key: pt.constant(value) for key, value in parameters.items()}
    graph = module.log_likelihood(tensors, *inputs)
    return pytensor.function(inputs, graph)(*(np.asarray(column, dtype=float) for column in columns))


def assert_mean(sample, expected):
    sample = np.asarray(sample, dtype=float)
    error = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) <= SIGMAS * error + 1e-12


def density_of_x_and_recency(largest, nodes):
    """Return x, t_x, quadrature weight and density: Gauss-Legendre in t_x for each x from 1."""
    position, weight = np.polynomial.legendre.leggauss(nodes)
    recency = T / 2 * (1 + position)
    x, t_x = (grid.ravel() for grid in np.meshgrid(np.arange(1, largest + 1), recency, indexing="ij"))
    log_factor = (x - 1) * np.log(t_x) - np.array([lgamma(n) for n in x])
    density = np.exp(log_likelihood("bg_nbd", BUYING, x, t_x, np.full(x.size, T)) + log_factor)
    return x, t_x, np.tile(weight * T / 2, largest), density


def test_bg_nbd_likelihood_sums_to_one():
    # P(x > 120) is below z^120 times a power of 120, z = T / (alpha + T) = 0.57: 1e-26.
    _, _, weight, density = density_of_x_and_recency(120, 80)
    never = np.exp(log_likelihood("bg_nbd", BUYING, [0], [0], [T]))
    assert never.sum() + weight @ density == pytest.approx(1, abs=1e-10)


def test_likelihood_terms_add_up_and_read_their_own_columns_only():
    for name, columns in (("bg_nbd", ([3.0], [2.0], [4.0])), ("gamma_gamma", ([3.0], [20.0]))):
        module = family(name)
        parameters = BUYING if name == "bg_nbd" else SPENDING
        tensors = {key: pt.constant(value) for key, value in parameters.items()}
        given = dict(zip(module.OBSERVED, (pt.constant(column) for column in columns), strict=True))
        total = sum(
            term.function(tensors, *(given[c] for c in term.columns)).eval()
            for term in module.likelihood_terms
        )
        np.testing.assert_allclose(total, log_likelihood(name, parameters, *columns), rtol=1e-12)


def test_bg_nbd_simulator_follows_the_likelihood():
    x, t_x, weight, density = density_of_x_and_recency(120, 80)
    frequency, recency = bg_nbd.simulate(np.random.default_rng(1), np.full(400_000, T), **BUYING)
    assert_mean(frequency == 0, np.exp(log_likelihood("bg_nbd", BUYING, [0], [0], [T]))[0])
    for n in (1, 2, 3, 6):
        for power in (0, 1, 2):
            expected = (weight * density * t_x**power)[x == n].sum()
            assert_mean((frequency == n) * recency**power, expected)
    assert_mean(frequency, (weight * density * x).sum())


def test_purchase_times_have_the_simulated_histories_and_the_forecast_count_at_every_age():
    ages = np.full(200_000, T)
    ages[::2] = 2.0
    frequency, recency = bg_nbd.simulate(np.random.default_rng(3), ages, **BUYING)
    customer, age = bg_nbd.simulate_purchase_times(np.random.default_rng(3), ages, **BUYING)
    np.testing.assert_array_equal(np.bincount(customer, minlength=ages.size), frequency)
    last = np.zeros(ages.size)
    np.maximum.at(last, customer, age)
    np.testing.assert_array_equal(last, recency)
    assert (np.diff(customer) >= 0).all()
    assert (np.diff(age)[np.diff(customer) == 0] >= 0).all()
    for until in (0.1, 0.5, 1.0, 1.9):
        count = np.bincount(customer[age <= until], minlength=ages.size)
        assert_mean(count, bg_nbd.expected_purchases(until, 0, 0, 0, **BUYING))
        assert_mean(count == 2, bg_nbd.purchases_pmf(2, until, 0, 0, 0, **BUYING))


def test_forecasts_given_the_history_are_right_on_average_over_simulated_futures():
    horizon, customers = 6.0, 400_000
    ages = np.full(customers, T + horizon)
    customer, age = bg_nbd.simulate_purchase_times(np.random.default_rng(4), ages, **BUYING)
    past = age <= T
    x = np.bincount(customer[past], minlength=customers)
    t_x = np.zeros(customers)
    np.maximum.at(t_x, customer[past], age[past])
    future = np.bincount(customer[~past], minlength=customers)
    mean = bg_nbd.expected_purchases(horizon, x, t_x, T, **BUYING)
    none = bg_nbd.purchases_pmf(0, horizon, x, t_x, T, **BUYING)
    three = bg_nbd.purchases_pmf(3, horizon, x, t_x, T, **BUYING)
    groups = [x == 0, x == 1, x == 2, x >= 3, (x > 0) & (t_x < T / 2), t_x > 0.95 * T]
    for group in groups:
        assert group.sum() > 5_000
        assert_mean((future - mean)[group], 0)
        assert_mean(((future == 0) - none)[group], 0)
        assert_mean(((future == 3) - three)[group], 0)


@pytest.mark.parametrize("history", HISTORIES)
def test_latent_draws_have_the_closed_form_means_and_the_forecast_future(history):
    rng, draws, horizon = np.random.default_rng(5), 200_000, 6.0
    x, t_x, age = (np.full(draws, value) for value in history)
    alive, rate, dropout = bg_nbd.latent_draws(rng, x, t_x, age, **BUYING)
    rate_mean, dropout_mean = bg_nbd.latent_means(*history, **BUYING)
    assert_mean(alive, bg_nbd.probability_alive(*history, **BUYING))
    assert_mean(rate, rate_mean)
    assert_mean(dropout, dropout_mean)
    purchases = rng.poisson(rate * horizon)
    granted = rng.geometric(dropout)
    future = alive * np.minimum(purchases, granted)
    assert_mean(future, bg_nbd.expected_purchases(horizon, *history, **BUYING))
    assert_mean(alive & (granted > purchases), bg_nbd.survival(horizon, *history, **BUYING))
    for n in (0, 1, 2, 5):
        assert_mean(future == n, bg_nbd.purchases_pmf(n, horizon, *history, **BUYING))


def test_latent_draws_are_the_posterior_of_the_simulated_latents():
    """Among customers with the same history, dropout and rate are not independent: their product is held too."""
    # x = 0 leaves the prior of p and a Gamma(r, alpha + T) rate; with x > 0 the mixture correlates them.
    rng, draws = np.random.default_rng(6), 400_000
    history = (1, 0.5, 4.0)
    _, rate, dropout = bg_nbd.latent_draws(rng, *(np.full(draws, h) for h in history), **BUYING)
    # Posterior moment by quadrature over the prior: weight lambda^x (1-p)^(x-1) (p e^(-lambda t_x) +
    # (1-p) e^(-lambda T)), the individual likelihood (the paper's eq. 3).
    lam = np.linspace(0, 40, 40_001)[1:]
    p = (np.arange(2_000) + 0.5) / 2_000
    prior_lam = lam ** (BUYING["r"] - 1) * np.exp(-BUYING["alpha"] * lam)
    prior_p = p ** (BUYING["a"] - 1) * (1 - p) ** (BUYING["b"] - 1)
    gone = (prior_lam * lam * np.exp(-lam * history[1]), prior_p * p)
    here = (prior_lam * lam * np.exp(-lam * history[2]), prior_p * (1 - p))
    mass = sum(u.sum() * w.sum() for u, w in (gone, here))
    product = sum((u * lam).sum() * (w * p).sum() for u, w in (gone, here)) / mass
    assert_mean(rate * dropout, product)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("horizon", [0.01, 6.0, 60.0])
def test_pmf_sums_to_one_and_its_mean_is_the_expected_purchases(history, horizon):
    # N has z <= 60 / 63 at least: z^2000 times a power is below 1e-30.
    n = np.arange(3_000)
    pmf = bg_nbd.purchases_pmf(n, horizon, *history, **BUYING)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    assert n @ pmf == pytest.approx(float(bg_nbd.expected_purchases(horizon, *history, **BUYING)), rel=1e-11)


def test_future_state_gives_the_forecast_by_hand():
    alive, shape, scale, a, b = bg_nbd.future_state(3, 3.5, 4.0, **BUYING)
    rng, draws = np.random.default_rng(7), 200_000
    future = np.minimum(
        rng.poisson(2.0 * rng.gamma(shape, 1 / scale, draws)), rng.geometric(rng.beta(a, b, draws))
    )
    assert_mean(alive * future, bg_nbd.expected_purchases(2.0, 3, 3.5, 4.0, **BUYING))


@pytest.mark.parametrize("x", [1, 3, 400])
def test_gamma_gamma_likelihood_integrates_to_one(x):
    # In log(zbar) the density is smooth with tails e^(-q s) and e^(-p x s): the trapezoid is exact to rounding.
    step = 0.02
    s = np.arange(-15, 20, step)
    log_density = log_likelihood("gamma_gamma", SPENDING, np.full(s.size, x), np.exp(s)) + s
    assert np.exp(log_density).sum() * step == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("x", [1, 3, 40])
def test_gamma_gamma_simulator_follows_the_likelihood(x):
    zbar = gamma_gamma.simulate(np.random.default_rng(8), np.full(200_000, x), **SPENDING)
    step = 0.02
    s = np.arange(-15, 20, step)
    mass = np.exp(log_likelihood("gamma_gamma", SPENDING, np.full(s.size, x), np.exp(s)) + s) * step
    # Bounded functions of zbar, so that every error bar is finite.
    for scale in (2.0, 10.0, 40.0):
        assert_mean(np.exp(-zbar / scale), mass @ np.exp(-np.exp(s) / scale))


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
