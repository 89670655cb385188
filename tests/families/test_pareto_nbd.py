"""Pareto/NBD beside the definition of its process, 40 digits, its published figures and its own simulator."""

import doctest
from math import lgamma

import mpmath as mp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special, stats

from bayes_clv.distributions.poisson import gamma_lifetime
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

pareto_nbd = paper("pareto_nbd")

# Each Monte Carlo mean is held to 4.5 standard errors: one false alarm in 150,000 comparisons.
SIGMAS = 4.5
RELATIVE = 1e-9

T = 4.0
BUYING = {"r": 1.5, "alpha": 3.0, "s": 1.2, "beta": 2.0}
HISTORIES = [(0, 0.0, 4.0), (1, 0.5, 4.0), (3, 3.5, 4.0), (8, 4.0, 4.0)]
CDNOW = {"r": 0.553, "alpha": 10.58, "s": 0.606, "beta": 11.67}


@pytest.fixture(scope="module")
def graph():
    """Return a function (r, alpha, s, beta, x, t_x, T) -> log-likelihood of each row, then its gradients."""
    params = {name: pt.dscalar(name) for name in pareto_nbd.PARAMETERS}
    columns = [pt.dvector(name) for name in pareto_nbd.OBSERVED]
    value = pareto_nbd.log_likelihood(params, *columns)
    gradients = pytensor.grad(value.sum(), list(params.values()))
    return pytensor.function([*params.values(), *columns], [value, *gradients], mode=AS_WRITTEN)


def assert_mean(sample, expected):
    sample = np.asarray(sample, dtype=float)
    error = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) <= SIGMAS * error + 1e-12


def test_examples_in_docstrings_run():
    assert doctest.testmod(pareto_nbd.module).failed == 0


# The definition: rates drawn from their Gammas, then a Poisson process that a lifetime ends.


def rates(values, step=0.12):
    """Return lambda, mu and their weight on a grid of their logarithms: trapezoidal sums, exact to 1e-12."""
    grid = np.arange(-60, 12, step)
    log_rate, log_leave = (part.ravel() for part in np.meshgrid(grid, grid, indexing="ij"))
    weight = np.zeros(log_rate.size)
    for log_value, shape, rate in (
        (log_rate, values["r"], values["alpha"]),
        (log_leave, values["s"], values["beta"]),
    ):
        weight = weight + shape * (log_value + np.log(rate)) - rate * np.exp(log_value) - lgamma(shape)
    keep = weight > -60
    return np.exp(log_rate[keep]), np.exp(log_leave[keep]), np.exp(weight[keep]) * step**2


@pytest.mark.parametrize("values", [BUYING, CDNOW, {"r": 4.0, "alpha": 2.0, "s": 2.5, "beta": 9.0}])
def test_every_forecast_is_the_average_over_the_rates_of_its_definition(graph, values):
    rate, leave, weight = rates(values)
    horizon, discount, both = 3.0, 0.1, rate + leave
    for x, t_x, age in HISTORIES:
        alive = weight * rate**x * np.exp(-both * age)
        gone = weight * rate**x * leave / both * (np.exp(-both * t_x) - np.exp(-both * age))
        density = (alive + gone).sum()
        history = (x, t_x, age)
        found = graph(*values.values(), *(np.array([float(part)]) for part in history))[0]
        assert found == pytest.approx([np.log(density)], abs=RELATIVE)
        share = alive.sum() / density
        assert pareto_nbd.probability_alive(*history, **values) == pytest.approx(share, rel=RELATIVE)
        means = pareto_nbd.latent_means(*history, **values)
        for mean, each in zip(means, (rate, leave), strict=True):
            assert mean == pytest.approx(((alive + gone) @ each) / density, rel=RELATIVE)
        alive = alive / density
        for function, argument, each in (
            (pareto_nbd.expected_purchases, horizon, rate * -np.expm1(-leave * horizon) / leave),
            (pareto_nbd.survival, horizon, np.exp(-leave * horizon)),
            (pareto_nbd.discounted_residual_transactions, discount, rate / (discount + leave)),
        ):
            assert function(argument, *history, **values) == pytest.approx(alive @ each, rel=RELATIVE)
        for n in (0, 1, 2, 7, 30):
            stays, leaves = stats.poisson.pmf(n, rate * horizon) * np.exp(-leave * horizon), leave / both
            leaves = leaves * (rate / both) ** n * special.gammainc(n + 1, both * horizon)
            exactly = alive @ (stays + leaves) + (1 - share if n == 0 else 0)
            assert pareto_nbd.purchases_pmf(n, horizon, *history, **values) == pytest.approx(
                exactly, rel=1e-8
            )
            at_least = alive @ ((rate / both) ** n * special.gammainc(max(n, 1), both * horizon)) if n else 1
            assert pareto_nbd.purchases_at_least(n, horizon, *history, **values) == pytest.approx(
                at_least, rel=1e-8
            )


# 40 digits.


def mp_log_likelihood(x, t_x, age, r, alpha, s, beta):
    """Return the logarithm of the likelihood and P(alive): quadrature of the time of leaving in 40 digits."""
    t_x, age, r, alpha, s, beta = map(mp.mpf, (t_x, age, r, alpha, s, beta))
    k = r + x
    here = (alpha + age) ** -k * (beta + age) ** -s
    gone = mp.mpf(0)
    if age > t_x:
        # On y = log(1 + d / c), c below every scale, in equal pieces: smooth and slowly falling in each.
        c = min((alpha + t_x) / (1 + k), (beta + t_x) / (2 + s))
        end = mp.log1p((age - t_x) / c)

        def integrand(y):
            d = c * mp.expm1(y)
            return s * (c + d) * (1 + d / (alpha + t_x)) ** -k * (1 + d / (beta + t_x)) ** -(s + 1)

        # The tolerance of quad is absolute, so what it integrates must be of the order of 1.
        gone = mp.quad(integrand, mp.linspace(0, end, 2 + int(end)))
        gone *= (alpha + t_x) ** -k * (beta + t_x) ** -(s + 1)
    whole = mp.loggamma(k) - mp.loggamma(r) + r * mp.log(alpha) + s * mp.log(beta) + mp.log(here + gone)
    return whole, here / (here + gone)


def test_likelihood_and_probability_alive_agree_with_mpmath(graph):
    histories = [(0, 0.0, 0.01), (0, 0.0, 1e4), (1, 0.5, 39.0), (3, 39.0, 39.0), (1_000, 39.0, 39.0)]
    histories += [(1, 1e-5, 0.01), (1_000, 1e3, 1e4), (1_000, 38.9, 39.0), (2, 0.1, 1e4)]
    x, t_x, age = np.array(histories, dtype=float).T
    points = [(0.553, 10.58, 0.606, 11.67), (0.553, 5.0, 1.0, 5.0), (0.05, 100.0, 0.05, 0.01)]
    points += [(20.0, 0.01, 30.0, 100.0), (1.0, 1e4, 2.0, 1e4)]
    with mp.workdps(30):
        for point in points:
            value = graph(*point, x, t_x, age)[0]
            alive = pareto_nbd.probability_alive(x, t_x, age, *point)
            for i, history in enumerate(histories):
                expected, share = mp_log_likelihood(*history, *point)
                # lnGamma(1000) is 6e3, to rounding 1e-12 in each of a few terms.
                assert abs(float(value[i] - expected)) < RELATIVE
                if share > 1e-290:
                    assert abs(float(alive[i] / share - 1)) < RELATIVE


def mp_time_alive(a, b, discount, horizon):
    """Return the time alive to the end by Tricomi's U, less what comes after the horizon, which has the same form."""
    a, b, discount = map(mp.mpf, (a, b, discount))
    if discount == 0:
        growth = mp.log1p(horizon / b)
        return b * growth if a == 1 else b * -mp.expm1((1 - a) * growth) / (a - 1)

    def to_the_end(start):
        return start * mp.hyperu(1, 2 - a, discount * start)

    if horizon == mp.inf:
        return to_the_end(b)
    left = mp.exp(-discount * horizon) * (1 + horizon / b) ** -a
    return to_the_end(b) - left * to_the_end(b + horizon)


def test_time_alive_agrees_with_mpmath():
    with mp.workdps(50):
        for a in (0.05, 0.606, 1.0, 1 + 1e-9, 2.5, 300.0):
            for discount in (0.0, 1e-4, 0.0027, 0.5, 20.0):
                for horizon in (0.01, 52.0, 1e5, mp.inf):
                    if horizon == mp.inf and (discount == 0 or a > 100):
                        continue
                    expected = float(mp_time_alive(a, 50.67, discount, mp.mpf(horizon)))
                    found = gamma_lifetime.time_alive(a, 50.67, discount, float(horizon))
                    assert found == pytest.approx(expected, rel=1e-11)
    # Growth in place of discount: by its antiderivative where a = 0.
    assert gamma_lifetime.time_alive(0.0, 5.0, -0.02, 300.0) == pytest.approx(np.expm1(6) / 0.02, rel=1e-11)
    assert gamma_lifetime.time_alive(2.5, 5.0, 0.0, np.inf) == pytest.approx(5 / 1.5, rel=1e-14)
    assert gamma_lifetime.time_alive(1.0, 5.0, 0.0, np.inf) == np.inf
    assert np.isnan(gamma_lifetime.time_alive(2.0, 5.0, -0.01, np.inf))


@pytest.mark.parametrize("tau", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_probabilities_of_counts_add_up_to_the_mean(tau, c):
    for k, a in ((0.1, 0.05), (1.6, 0.6), (40.0, 1.0), (300.0, 5.0)):
        top = int(stats.nbinom.isf(1e-13, k, 1 / (1 + tau))) + 10
        if top > 30_000:
            continue
        n = np.arange(top)
        exactly = gamma_lifetime.purchases_exactly(n, k, tau, a, c)
        at_least = gamma_lifetime.purchases_at_least(n[1:], k, tau, a, c)
        assert exactly.sum() == pytest.approx(1, abs=1e-8)
        np.testing.assert_allclose(at_least, 1 - np.cumsum(exactly)[:-1], atol=1e-8)
        mean = k * gamma_lifetime.time_alive(a, 1 / c, 0.0, tau)
        assert at_least.sum() == pytest.approx(mean, rel=1e-8)


# Published figures.


def test_published_figures_at_the_published_estimates():
    """BTYD's walkthrough prints four digits of its estimates: half a digit of each, and of the figure."""
    printed = {"r": 0.5534, "alpha": 10.5758, "s": 0.6061, "beta": 11.6618}

    # Whole days: 216 of 7 a week are printed as 30.86.
    active, third = (26, 216 / 7, 31), (2, 213 / 7, 272 / 7)

    def dert(history):
        return lambda p: pareto_nbd.discounted_residual_transactions(0.0027, *history, **p)

    for function, figure, digits in (
        (lambda p: pareto_nbd.expected_purchases(52, *active, **p), 25.46, 2),
        (lambda p: pareto_nbd.probability_alive(*active, **p), 0.9979, 4),
        (dert(active), 86.035, 3),
        (dert((7, 35, 39)), 20.556, 3),
        (dert(third), 6.483, 3),
    ):
        value = float(function(printed))
        slack = 0.5 * 10.0**-digits
        for name in printed:
            slack += abs(float(function({**printed, name: printed[name] + 0.5e-4})) - value)
        assert abs(value - figure) <= slack
        assert slack < 2e-4 * value + 10.0**-digits


# One process: likelihood, simulators, latent draws.


def density_of_x_and_recency(graph, largest=60, nodes=60):
    position, weight = np.polynomial.legendre.leggauss(nodes)
    x, t_x = (
        part.ravel()
        for part in np.meshgrid(np.arange(1.0, largest + 1), T / 2 * (1 + position), indexing="ij")
    )
    log_density = graph(*BUYING.values(), x, t_x, np.full(x.size, T))[0]
    log_density += (x - 1) * np.log(t_x) - special.gammaln(x)
    return x, t_x, np.tile(weight * T / 2, largest) * np.exp(log_density)


def test_likelihood_integrates_to_one_and_the_simulator_follows_it(graph):
    x, t_x, mass = density_of_x_and_recency(graph)
    none = float(np.exp(graph(*BUYING.values(), *(np.array([v]) for v in (0.0, 0.0, T)))[0][0]))
    assert none + mass.sum() == pytest.approx(1, abs=1e-10)
    frequency, recency = pareto_nbd.simulate(np.random.default_rng(1), np.full(400_000, T), **BUYING)
    assert_mean(frequency == 0, none)
    for n in (1, 2, 5):
        assert_mean(frequency == n, mass[x == n].sum())
        assert_mean((frequency == n) * recency, (mass * t_x)[x == n].sum())
    assert_mean(frequency, (mass * x).sum())
    assert_mean(frequency, pareto_nbd.expected_purchases(T, 0, 0, 0, **BUYING))
    assert_mean(np.exp(-recency) * frequency, (mass * x * np.exp(-t_x)).sum())


def test_purchase_times_are_the_histories_and_uniform_before_the_last():
    size = 50_000
    frequency, recency = pareto_nbd.simulate(np.random.default_rng(2), np.full(size, T), **BUYING)
    customer, age = pareto_nbd.simulate_purchase_times(np.random.default_rng(2), np.full(size, T), **BUYING)
    np.testing.assert_array_equal(np.bincount(customer, minlength=size), frequency)
    latest = np.zeros(size)
    np.maximum.at(latest, customer, age)
    np.testing.assert_array_equal(latest, recency)
    earlier = age < recency[customer]
    assert stats.kstest((age / recency[customer])[earlier], "uniform").pvalue > 1e-4


@pytest.mark.parametrize("values", [BUYING, {"r": 0.05, "alpha": 0.1, "s": 0.05, "beta": 20.0}])
@pytest.mark.parametrize("history", HISTORIES)
def test_latent_draws_reproduce_probability_alive_and_the_latent_means(values, history):
    draws = 200_000
    alive, rate, leave = pareto_nbd.latent_draws(
        np.random.default_rng(3), *(np.full(draws, float(part)) for part in history), **values
    )
    share = pareto_nbd.probability_alive(*history, **values)
    assert_mean(alive, share)
    rate_mean, leave_mean = pareto_nbd.latent_means(*history, **values)
    assert_mean(rate, rate_mean)
    assert_mean(leave, leave_mean)
    future = 5.0
    assert_mean(alive * np.exp(-leave * future), pareto_nbd.survival(future, *history, **values))


def test_latent_draws_are_those_of_simulated_customers_with_the_history():
    """Customers drawn from the population, kept where x = 2 and t_x lies in a narrow window about 2."""
    rng, size = np.random.default_rng(4), 3_000_000
    rate = rng.gamma(BUYING["r"], 1 / BUYING["alpha"], size)
    leave = rng.gamma(BUYING["s"], 1 / BUYING["beta"], size)
    lifetime = rng.standard_exponential(size) / leave
    x = rng.poisson(rate * np.minimum(lifetime, T))
    t_x = np.minimum(lifetime, T) * rng.random(size) ** (1 / np.maximum(x, 1))
    kept = (x == 2) & (np.abs(t_x - 2) < 0.25)
    alive, drawn_rate, drawn_leave = pareto_nbd.latent_draws(
        rng, x[kept].astype(float), t_x[kept], T, **BUYING
    )
    # Two samples of n: the 99.99 % point of the largest difference is 2.23 sqrt(2 / n).
    bound = 2.23 * np.sqrt(2 / kept.sum())
    assert stats.ks_2samp(drawn_rate, rate[kept]).statistic < bound
    assert stats.ks_2samp(drawn_leave, leave[kept]).statistic < bound
    gone = lifetime[kept] < T
    bound = 2.23 * np.sqrt(1 / gone.sum() + 1 / (~alive).sum())
    assert stats.ks_2samp(drawn_leave[~alive], leave[kept][gone]).statistic < bound
    assert kept.sum() > 20_000


# Limits and extremes.


@pytest.mark.parametrize("age", [0.01, 39.0, 10_000.0])
@pytest.mark.parametrize("alpha", [1e-3, 11.67, 1e4])
def test_log_likelihood_and_its_gradient_are_finite_at_extremes(graph, age, alpha):
    x, share = (part.ravel() for part in np.meshgrid([0.0, 1, 2, 50, 1_000], [1e-3, 0.5, 1 - 1e-12, 1]))
    t_x = np.where(x > 0, share * age, 0)
    for r in (0.001, 50.0):
        for s in (0.01, 1.0, 100.0):
            for beta in (1e-3, 11.67, 1e4):
                value, *gradients = graph(r, alpha, s, beta, x, t_x, np.full(x.size, age))
                assert np.isfinite(value).all()
                assert np.isfinite(gradients).all()


def test_gradient_is_the_slope_of_the_log_likelihood(graph):
    columns = np.array([(0.0, 0.0, 39.0), (2.0, 30.43, 38.86), (29.0, 38.0, 38.9)]).T
    point = np.array(list(CDNOW.values()))
    _, *gradients = graph(*point, *columns)
    for i, gradient in enumerate(gradients):
        step = np.zeros(4)
        step[i] = 1e-5 * point[i]
        high, low = (graph(*(point + each), *columns)[0].sum() for each in (step, -step))
        # Central difference: truncation 1e-10, rounding 1e-13 * 1e2 / 1e-5.
        assert gradient == pytest.approx((high - low) / (2 * step[i]), rel=1e-5)


def test_without_dropout_it_is_the_nbd():
    # s -> 0: what leaves is a fraction s log(1 + t / beta) of the customers, here times 1e-13.
    immortal = {**CDNOW, "s": 1e-13}
    x, t = np.array([0, 3, 200]), 39.0
    history = (x, np.where(x > 0, 20.0, 0.0), 39.0)
    k, tau = CDNOW["r"] + x, t / (CDNOW["alpha"] + 39)
    # Silence raises the odds of having left: 200 purchases in 20 weeks, then none for 19, by 1e18.
    alive = np.array([1, 1, 0])
    np.testing.assert_allclose(
        pareto_nbd.expected_purchases(t, *history, **immortal)[:2], (k * tau)[:2], rtol=1e-11
    )
    np.testing.assert_allclose(pareto_nbd.survival(t, *history, **immortal)[:2], alive[:2], rtol=1e-11)
    for n in (0, 1, 5, 60):
        nbd = stats.nbinom.pmf(n, k[:2], 1 / (1 + tau))
        pmf = pareto_nbd.purchases_pmf(
            n, t, *(part[:2] if np.ndim(part) else part for part in history), **immortal
        )
        np.testing.assert_allclose(pmf, nbd, rtol=1e-9, atol=1e-15)


def test_s_of_one_is_ordinary_and_for_ever_needs_s_above_one():
    history = (2, 30.43, 38.86)
    near = [pareto_nbd.expected_purchases(52, *history, **{**CDNOW, "s": 1 + e}) for e in (-1e-7, 0, 1e-7)]
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-12)
    assert np.isinf(pareto_nbd.expected_purchases(np.inf, *history, **{**CDNOW, "s": 1.0}))
    forever = pareto_nbd.expected_purchases(np.inf, *history, **{**CDNOW, "s": 2.5})
    alive = pareto_nbd.probability_alive(*history, **{**CDNOW, "s": 2.5})
    rate = (CDNOW["r"] + 2) / (CDNOW["alpha"] + 38.86)
    assert forever == pytest.approx(alive * rate * (CDNOW["beta"] + 38.86) / 1.5, rel=1e-13)
    assert pareto_nbd.survival(np.inf, *history, **CDNOW) == 0


def test_no_time_no_purchases_and_no_silence_no_doubt():
    assert pareto_nbd.probability_alive(3, 39.0, 39.0, **CDNOW) == 1
    assert pareto_nbd.probability_alive(0, 0.0, 0.0, **CDNOW) == 1
    assert pareto_nbd.probability_alive(0, 0.0, 39.0, **CDNOW) < 0.6
    assert pareto_nbd.expected_purchases(0.0, 2, 30.0, 39.0, **CDNOW) == 0
    assert pareto_nbd.purchases_pmf(0, 0.0, 2, 30.0, 39.0, **CDNOW) == pytest.approx(1, abs=1e-15)
    assert pareto_nbd.purchases_pmf(3, 0.0, 2, 30.0, 39.0, **CDNOW) == 0


def test_forecasts_do_not_depend_on_the_time_unit():
    x, t_x, age = np.array([0, 2, 29, 1_000.0]), np.array([0, 30.43, 38.86, 39.0]), np.full(4, 39.0)
    daily = {**CDNOW, "alpha": CDNOW["alpha"] * 7, "beta": CDNOW["beta"] * 7}
    for function in (pareto_nbd.expected_purchases, pareto_nbd.survival):
        np.testing.assert_allclose(
            function(39.0, x, t_x, age, **CDNOW), function(273.0, x, t_x * 7, age * 7, **daily), rtol=1e-12
        )
    np.testing.assert_allclose(
        pareto_nbd.discounted_residual_transactions(0.0027, x, t_x, age, **CDNOW),
        pareto_nbd.discounted_residual_transactions(0.0027 / 7, x, t_x * 7, age * 7, **daily),
        rtol=1e-11,
    )


def test_draws_by_customers_is_every_pair_by_itself():
    rng = np.random.default_rng(5)
    x, t_x, age = np.array([0, 1, 29.0]), np.array([0, 0.4, 38.0]), np.array([39.0, 38, 38.9])
    draws = {name: value * rng.uniform(0.5, 2, (4, 1)) for name, value in CDNOW.items()}
    for function in (pareto_nbd.expected_purchases, pareto_nbd.survival):
        together = function(39.0, x, t_x, age, **draws)
        assert together.shape == (4, 3)
        alone = function(39.0, x[1], t_x[1], age[1], *(float(value[2, 0]) for value in draws.values()))
        assert together[2, 1] == pytest.approx(float(alone), rel=1e-13)
    assert all(part.shape == (4, 3) for part in pareto_nbd.latent_draws(rng, x, t_x, age, **draws))
    assert all(part.shape == (4, 3) for part in pareto_nbd.latent_means(x, t_x, age, **draws))
    assert all(part.shape == (4, 3) for part in pareto_nbd.simulate(rng, age, **draws))


def test_simulated_histories_are_possible_at_extreme_parameters():
    rng = np.random.default_rng(6)
    ages = np.tile([0.0, 0.01, 39, 10_000], 2_000)
    for point in ((0.001, 1e-3, 0.01, 0.01), (50, 1e-3, 1e-3, 1e3), (50, 1e4, 1e3, 0.01)):
        x, t_x = pareto_nbd.simulate(rng, ages, *point)
        assert ((t_x >= 0) & (t_x <= ages)).all()
        assert (x >= 0).all()
        assert (t_x[x == 0] == 0).all()
