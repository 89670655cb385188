"""Pareto/GGG: its quadratures against dense ones and simulation, its draws, its limit, and what regularity tells."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special

from bayes_clv.distributions.regular import gamma_waits, gamma_waits_draws, gamma_waits_forecasts
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

pareto_ggg = paper("pareto_ggg")
pareto_nbd = paper("pareto_nbd")

SIGMAS = 4.5
# Clumped and regular buyers; in the paper's symbols (t, gamma, r, alpha, s, beta).
CLUMPED = dict(zip(pareto_ggg.PARAMETERS, (2.0, 1.5, 0.55, 10.6, 0.61, 11.7), strict=True))
REGULAR = dict(zip(pareto_ggg.PARAMETERS, (5.0, 1.2, 1.5, 4.0, 1.5, 30.0), strict=True))
both = pytest.mark.parametrize("params", [CLUMPED, REGULAR], ids=["clumped", "regular"])
# (x, t_x, T, log_intervals); the sum of x logarithms is at most x log(t_x / x).
HISTORIES = [
    (0.0, 0.0, 39.0, 0.0),
    (1.0, 0.5, 39.0, np.log(0.5)),
    (2.0, 30.43, 38.86, np.log(20.0) + np.log(10.43)),
    (5.0, 20.0, 39.0, 5 * np.log(4) - 0.1),
    (8.0, 4.0, 4.0, -8 * np.log(2) - 0.5),
]


def moments(history, params):
    columns = [np.array([float(each)]) for each in (*history, *params.values())]
    found = [each.item() for each in gamma_waits.moments_of_rows(*columns)]
    return dict(zip(("log_likelihood", *gamma_waits.MOMENTS), found, strict=True))


def dense(history, params):
    """Return what ``moments`` does by a trapezoid in (log k, log lambda, log mu), with the individual likelihood.

    The likelihood given the three is written as in the paper's section 3: nothing is integrated by hand. Steps
    of 0.3 leave exp(-pi^2 / 0.3) = 1e-14; what lies outside of the ranges is below 1e-9 for these parameters.
    """
    x, t_x, T, log_intervals = history
    shape, rate, r, alpha, s, beta = params.values()
    # After purchases lambda is known to 1 / sqrt(k x) of itself, before any its Gamma has a long tail to the left.
    low, step = (-45.0, 0.2) if x == 0 else (-30.0, 0.06)
    u = np.arange(-10, 4.7, 0.25)[:, None, None]
    v = np.arange(low, 5.5, step)[None, :, None] + np.log(r / alpha)
    w = np.arange(-36, 5.5, 0.3)[None, None, :] + np.log(s / beta)
    k, lam, mu = np.exp(u), np.exp(v), np.exp(w)
    prior = (
        shape * (np.log(rate) + u) - rate * k - special.gammaln(shape)
        + r * (np.log(alpha) + v) - alpha * lam - special.gammaln(r)
        + s * (np.log(beta) + w) - beta * mu - special.gammaln(s)
    )  # fmt: skip
    both = k * lam + mu
    bought = (k - 1) * log_intervals + k * x * np.log(k * lam) - x * special.gammaln(k) - k * lam * t_x
    silent = 1 - (k * lam / both) ** k * special.gammainc(k, both * (T - t_x))
    weight = np.exp(prior + bought - mu * t_x) * silent
    alive = np.exp(prior + bought - mu * T) * special.gammaincc(k, k * lam * (T - t_x))
    total = weight.sum()
    means = {
        "alive": alive.sum() / total,
        "mean_k": (weight * k).sum() / total,
        "mean_rate": (weight * lam).sum() / total,
        "mean_dropout": (weight * mu).sum() / total,
        "mean_log_k": (weight * u).sum() / total,
        "mean_log_rate": (weight * v).sum() / total,
        "mean_log_dropout": (weight * w).sum() / total,
    }
    return {"log_likelihood": np.log(total * 0.25 * step * 0.3)} | means


@both
@pytest.mark.parametrize("history", HISTORIES)
def test_likelihood_and_individual_means_against_a_dense_grid(history, params):
    found, expected = moments(history, params), dense(history, params)
    for name, value in expected.items():
        # The likelihood is good to 1e-6, and means by the same rule to 1e-5.
        tolerance = {"rel": 0, "abs": 1e-6} if name == "log_likelihood" else {"rel": 1e-5, "abs": 1e-5}
        assert found[name] == pytest.approx(value, **tolerance), name


def test_gradient_at_data_that_are_swapped_in():
    """The operation reads its data when it is run: a compiled graph serves any."""
    import pymc as pm

    with pm.Model():
        data = [pm.Data(name, np.ones(3)) for name in pareto_ggg.OBSERVED]
        params = {name: pt.dscalar(name) for name in pareto_ggg.PARAMETERS}
        total = pareto_ggg.log_likelihood(params, *data).sum()
    function = pytensor.function(
        list(params.values()), [total, *pytensor.grad(total, list(params.values()))], mode=AS_WRITTEN
    )
    for history in HISTORIES[1:4]:
        for place, value in zip(data, history, strict=True):
            place.set_value(np.full(3, value))
        value, *gradient = function(*CLUMPED.values())
        assert value == pytest.approx(3 * moments(history, CLUMPED)["log_likelihood"], rel=1e-12)
        for name, slope in zip(CLUMPED, gradient, strict=True):
            step = 3e-4 * CLUMPED[name]
            high, low = (
                moments(history, CLUMPED | {name: CLUMPED[name] + d})["log_likelihood"] for d in (step, -step)
            )
            # The difference has the rule's noise, 1e-8 / (6e-4 of the parameter), and a truncation of 1e-7.
            assert slope == pytest.approx(3 * (high - low) / (2 * step), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("age", [0.01, 1.0, 39.0, 10_000.0])
def test_likelihood_and_slopes_are_finite_at_extremes(age):
    ends = [10.0 ** np.array([-3, 0, 3])] * 6
    rate, r, life, s, mean, shape = (axis.ravel() for axis in np.meshgrid(*ends, indexing="ij"))
    with np.errstate(over="ignore"):
        beta = life / (2 ** (1 / s) - 1)
    held = beta > 1e-100
    params = [each[held] for each in (shape, shape / mean, r, r / rate, s, beta)]
    one = np.ones(params[0].size)
    for x, share in ((0.0, 0.0), (1.0, 1e-3), (2.0, 1 - 1e-12), (50.0, 0.5), (1_000.0, 0.5), (1_000.0, 1.0)):
        t_x = share * age
        log_intervals = x * (np.log(t_x / x) - 0.3) if x > 0 else 0.0
        found = gamma_waits.moments_of_rows(x * one, t_x * one, age * one, log_intervals * one, *params)
        assert np.isfinite(found).all()
        assert (found[1] >= 0).all()
        assert (found[1] <= 1 + 1e-12).all()


def test_a_narrow_regularity_of_one_approaches_pareto_nbd():
    """With variance 1 / n of k around 1 every expectation is off by a constant / n: extrapolated, nothing is left."""
    shared = {name: REGULAR[name] for name in pareto_nbd.PARAMETERS}
    # Of gaps that are those of a Poisson process: then k = 1 is no outlier, and the constant is moderate.
    histories = np.array(
        [(0.0, 0.0, 4.0, 0.0), (1.0, 0.5, 4.0, np.log(0.5)), (3.0, 3.5, 4.0, 3 * np.log(3.5 / 3) - 0.9)]
    )
    x, t_x, T, _ = histories.T
    h = tuple(histories.T)

    def at(n, function, *first):
        params = shared | {"regularity_shape": n, "regularity_rate": n}
        return np.asarray(function(*first, *h, **params))

    for name, first in (("probability_alive", ()), ("survival", (6.0,)), ("expected_purchases", (6.0,))):
        exact = getattr(pareto_nbd, name)(*first, x, t_x, T, **shared)
        coarse, fine = (at(n, getattr(pareto_ggg, name), *first) for n in (2e3, 4e3))
        np.testing.assert_allclose(fine, exact, rtol=5e-3)
        # What is left is of order 1 / n^2 = 1e-7, and the quadrature's 1e-6.
        np.testing.assert_allclose(2 * fine - coarse, exact, rtol=5e-6)
    for n in range(4):
        exact = pareto_nbd.purchases_pmf(n, 6.0, x, t_x, T, **shared)
        coarse, fine = (at(each, pareto_ggg.purchases_pmf, n, 6.0) for each in (2e3, 4e3))
        np.testing.assert_allclose(2 * fine - coarse, exact, atol=3e-6)


def assert_mean(sample, expected):
    sample = np.asarray(sample, dtype=float)
    error = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) <= SIGMAS * error + 2e-6


@both
def test_likelihood_is_that_of_the_simulated_histories(params):
    """P(x = 0) is the likelihood; for x = 1 and 2 it is integrated over the purchase times."""
    T = 8.0
    rng = np.random.default_rng(1)
    x, t_x, log_intervals = pareto_ggg.simulate(rng, np.full(300_000, T), **params)
    values = [np.array([each]) for each in params.values()]

    def likelihood(*history):
        rows = np.broadcast_arrays(*history, *values)
        return np.exp(gamma_waits.moments_of_rows(*(np.array(row, dtype=float) for row in rows))[0])

    assert_mean(x == 0, likelihood(0.0, 0.0, T, 0.0).item())
    # tanh-sinh: the density of an interval near 0 is a sum of powers.
    u = np.arange(-3, 3.01, 0.25)
    share = 1 / (1 + np.exp(-np.pi * np.sinh(u)))
    weight = 0.25 * np.pi * np.cosh(u) * share / (1 + np.exp(np.pi * np.sinh(u)))
    once = likelihood(1.0, T * share, T, np.log(T * share)) * T * weight
    assert_mean(x == 1, once.sum())
    assert_mean((x == 1) * t_x, (once * T * share).sum())
    last, split = (each.ravel() for each in np.meshgrid(T * share, share))
    area = np.multiply.outer(weight, T * weight).ravel() * last
    # The split's complement, without cancellation where it is all but 1.
    other = np.repeat(1 / (1 + np.exp(np.pi * np.sinh(u))), share.size)
    log_sum = 2 * np.log(last) + np.log(split) + np.log(other)
    twice = likelihood(2.0, last, T, log_sum) * area
    assert_mean(x == 2, twice.sum())
    assert_mean((x == 2) * t_x, (twice * last).sum())
    # Bounded, because the logarithm of an interval of a small k has no end: the grid's is at -60.
    product = np.where(x == 2, np.exp(np.where(x == 2, log_intervals, 0.0)), 0.0)
    assert_mean(product / (1 + product), (twice / (1 + np.exp(-log_sum))).sum())


def future_of(rng, draws, horizon):
    """Return purchases within the horizon of ``future_draws``."""
    wait, shape, rate, lifetime, _ = draws
    end = np.minimum(lifetime, horizon)
    count = np.zeros(wait.size)
    clock = wait.copy()
    going = clock <= end
    while going.any():
        count[going] += 1
        clock[going] += rng.gamma(shape[going]) / rate[going]
        going &= clock <= end
    return count


def scores(params, customers, seed):
    """Return the sum of the log-likelihood's slopes in the logs of the parameters, at the truth, over its error."""
    T = 26.0 + 4.0 * (np.arange(customers) % 14)
    frequency, recency, log_intervals = pareto_ggg.simulate(np.random.default_rng(seed), T, **params)
    history = (frequency.astype(float), recency, T, log_intervals)
    found = []
    for name in params:
        ends = []
        for factor in (np.exp(1e-4), np.exp(-1e-4)):
            at = [
                np.full(customers, value * (factor if each == name else 1)) for each, value in params.items()
            ]
            ends.append(gamma_waits.moments_of_rows(*history, *at)[0])
        slope = (ends[0] - ends[1]) / 2e-4
        found.append(slope.sum() / np.sqrt((slope**2).sum()))
    return np.array(found)


# One customer in a hundred has a k below a thousandth, and makes hundreds of purchases at one moment.
BURSTS = dict(zip(pareto_ggg.PARAMETERS, (0.55, 0.27, 0.31, 2.9, 0.83, 5.5), strict=True))


EACH = [(CLUMPED, "clumped", ()), (REGULAR, "regular", ()), (BURSTS, "bursts", pytest.mark.full)]


@pytest.mark.parametrize("params", [pytest.param(each, id=name, marks=mark) for each, name, mark in EACH])
def test_the_slopes_of_the_likelihood_have_mean_zero_at_the_simulated_truth(params):
    """True where simulator and likelihood are of one model, and sharp: a parameter off by one error moves it by one."""
    customers = 12_000 if params is BURSTS else 6_000
    assert (np.abs(scores(params, customers, seed=3)) < SIGMAS).all()


@pytest.mark.full
def test_the_slopes_have_mean_zero_all_over_the_prior():
    """20 points of 12,000 customers: each slope alone, and the mean of each parameter's, sqrt(20) times as sharp."""
    rng = np.random.default_rng(5)
    found = []
    for seed in range(20):
        shape, regularity = np.exp(1 + 0.8 * rng.normal()), np.exp(0.5 + 0.8 * rng.normal())
        r, s = np.exp(0.8 * rng.normal() - 0.3), np.exp(0.6 * rng.normal() - 0.2)
        rate, lifetime = 0.1 * np.exp(1.2 * rng.normal()), 52 * np.exp(rng.normal())
        point = (shape, shape / regularity, r, r / rate, s, lifetime / (2 ** (1 / s) - 1))
        found.append(scores(dict(zip(pareto_ggg.PARAMETERS, point, strict=True)), 12_000, seed))
    assert (np.abs(found) < SIGMAS).all()
    assert (np.abs(np.mean(found, axis=0)) * np.sqrt(20) < SIGMAS).all()


@both
@pytest.mark.parametrize("history", HISTORIES)
def test_draws_have_the_integrated_means_and_the_forecast_future(history, params):
    rng, draws = np.random.default_rng(2), 60_000
    drawn = {name: np.full(draws, value) for name, value in params.items()}
    alive, rate, dropout, regularity = pareto_ggg.latent_draws(rng, *history, **drawn)
    expected = pareto_ggg.latent_means(*history, **params)
    for sample, mean in zip((rate, dropout, regularity), expected, strict=True):
        assert_mean(sample, mean.item())
    assert_mean(alive, pareto_ggg.probability_alive(*history, **params).item())
    future = pareto_ggg.future_draws(rng, *history, **drawn)
    assert_mean(future[3] > 6.0, pareto_ggg.survival(6.0, *history, **params).item())
    bought = future_of(rng, future, 6.0)
    assert_mean(bought, pareto_ggg.expected_purchases(6.0, *history, **params).item())
    for n in (0, 1, 3):
        expected_share = pareto_ggg.purchases_pmf(n, 6.0, *history, **params).item()
        error = np.sqrt(expected_share * (1 - expected_share) / draws)
        # Where none is expected one may be; the quadrature's error is 1e-4 of 1.
        assert abs((bought == n).mean() - expected_share) < SIGMAS * error + 10 / draws + 1e-4


@pytest.mark.parametrize("history", [HISTORIES[0], HISTORIES[1], (8.0, 8.0, 12.0, -0.5)])
def test_draws_by_composition_have_the_same_distribution(history):
    """What is drawn where silence is improbable, made to answer where it is not."""
    rng, draws = np.random.default_rng(3), 8_000
    table, found = np.empty((gamma_waits.LARGEST, gamma_waits.COLUMNS)), np.empty((draws, 6))
    for i in range(draws):
        gamma_waits_draws._composed(rng, (*history, *REGULAR.values()), table, found[i])
    alive, k, rate, dropout, wait, lifetime = found.T
    means = pareto_ggg.latent_means(*history, **REGULAR)
    assert_mean(alive, pareto_ggg.probability_alive(*history, **REGULAR).item())
    for sample, mean in zip((rate, dropout, k), means, strict=True):
        assert_mean(sample, mean.item())
    first = (wait <= 3.0) & (wait <= lifetime)
    assert_mean(first, pareto_ggg.purchases_at_least(1, 3.0, *history, **REGULAR).item())
    assert_mean(lifetime > 5.0, pareto_ggg.survival(5.0, *history, **REGULAR).item())


def test_an_overdue_clockwork_customer_is_drawn_without_end_of_rejections():
    # 20 purchases, one a week to the day, then 10 weeks of nothing.
    history = (20.0, 20.0, 30.0, -0.01)
    params = REGULAR | {"regularity_shape": 20.0, "regularity_rate": 0.2}
    drawn = {name: np.full(2_000, value) for name, value in params.items()}
    alive, *_ = pareto_ggg.latent_draws(np.random.default_rng(4), *history, **drawn)
    probability = pareto_ggg.probability_alive(*history, **params).item()
    assert probability < 1e-3
    assert alive.mean() < 0.01


@pytest.mark.parametrize("history", HISTORIES)
def test_forecasts_agree_with_one_another(history):
    n = np.arange(1, 120.0)
    reached = pareto_ggg.purchases_at_least(n, 20.0, *history, **CLUMPED)
    assert (np.diff(reached) <= 1e-9).all()
    expected = pareto_ggg.expected_purchases(20.0, *history, **CLUMPED).item()
    assert expected == pytest.approx(reached.sum(), rel=1e-4)
    pmf = pareto_ggg.purchases_pmf(np.arange(120.0), 20.0, *history, **CLUMPED)
    assert pmf.sum() == pytest.approx(1 - reached[-1], abs=1e-9)
    together = pareto_ggg.purchases_pmfs([0, 1, 7, 60], 20.0, *history, **CLUMPED)
    np.testing.assert_allclose(together, pmf[[0, 1, 7, 60]], rtol=1e-6, atol=1e-9)
    undiscounted = pareto_ggg.discounted_purchases(20.0, 0.0, *history, **CLUMPED).item()
    discounted = pareto_ggg.discounted_purchases(20.0, 0.05, *history, **CLUMPED).item()
    assert undiscounted == pytest.approx(expected, rel=1e-12)
    assert np.exp(-1) * expected < discounted < expected
    # By parts: e^(-delta t) E(t) + delta times the integral of e^(-delta u) E(u).
    position, weight = np.polynomial.legendre.leggauss(60)
    u = 20.0 * (0.5 + 0.5 * position) ** 2
    inner = pareto_ggg.expected_purchases(u, *history, **CLUMPED) * np.exp(-0.05 * u)
    area = (weight * 20.0 * (0.5 + 0.5 * position) * inner).sum()
    assert discounted == pytest.approx(np.exp(-1) * expected + 0.05 * area, rel=1e-4)
    endless = pareto_ggg.discounted_residual_transactions(0.3, *history, **CLUMPED).item()
    far = pareto_ggg.discounted_purchases(60.0, 0.3, *history, **CLUMPED).item()
    assert endless == pytest.approx(far, rel=5e-4)


def test_without_end_or_discount_purchases_are_finite_for_s_above_one_only():
    assert np.isinf(pareto_ggg.discounted_residual_transactions(0.0, *HISTORIES[2], **CLUMPED))
    assert np.isnan(pareto_ggg.discounted_residual_transactions(-0.1, *HISTORIES[2], **CLUMPED))
    whole, much = (
        pareto_ggg.discounted_residual_transactions(d, *HISTORIES[2], **REGULAR).item() for d in (0.0, 0.001)
    )
    assert much < whole < np.inf


def test_answers_do_not_depend_on_the_time_unit():
    weeks = np.array(HISTORIES).T
    days = np.array([weeks[0], 7 * weeks[1], 7 * weeks[2], weeks[3] + weeks[0] * np.log(7)])
    daily = CLUMPED | {name: 7 * CLUMPED[name] for name in ("alpha", "beta")}
    for function, first, later in (
        (pareto_ggg.probability_alive, (), ()),
        (pareto_ggg.expected_purchases, (6.0,), (42.0,)),
        (pareto_ggg.purchases_at_least, (2, 6.0), (2, 42.0)),
    ):
        np.testing.assert_allclose(
            function(*first, *weeks, **CLUMPED), function(*later, *days, **daily), rtol=1e-9
        )


def test_draws_by_customers_is_every_pair_by_itself():
    rng = np.random.default_rng(5)
    draws = {name: value * rng.uniform(0.7, 1.4, (3, 1)) for name, value in CLUMPED.items()}
    columns = np.array(HISTORIES).T
    for function, first in (
        (pareto_ggg.probability_alive, ()),
        (pareto_ggg.expected_purchases, (6.0,)),
        (pareto_ggg.purchases_pmf, (2, 6.0)),
    ):
        together = function(*first, *columns, **draws)
        assert together.shape == (3, 5)
        for d in range(3):
            for c in range(5):
                one = {name: value[d, 0] for name, value in draws.items()}
                alone = function(*first, *(column[c] for column in columns), **one)
                assert together[d, c] == pytest.approx(alone.item(), rel=1e-10)


def test_a_missing_value_passes_through():
    history = HISTORIES[2]
    for name in CLUMPED:
        assert np.isnan(pareto_ggg.expected_purchases(6.0, *history, **(CLUMPED | {name: np.nan})))
        assert np.isnan(pareto_ggg.probability_alive(*history, **(CLUMPED | {name: np.nan})))


def test_purchase_times_have_the_simulated_histories():
    ages = np.full(20_000, 12.0)
    x, t_x, log_intervals = pareto_ggg.simulate(np.random.default_rng(6), ages, **REGULAR)
    customer, age = pareto_ggg.simulate_purchase_times(np.random.default_rng(6), ages, **REGULAR)
    np.testing.assert_array_equal(np.bincount(customer, minlength=ages.size), x)
    last = np.zeros(ages.size)
    np.maximum.at(last, customer, age)
    np.testing.assert_array_equal(last, t_x)
    gaps = np.diff(age, prepend=0.0)
    first = np.r_[True, np.diff(customer) != 0]
    gaps[first] = age[first]
    summed = np.bincount(customer, np.log(np.maximum(gaps, 1e-300)), minlength=ages.size)
    close = np.bincount(customer, gaps < 1e-9, minlength=ages.size) == 0
    np.testing.assert_allclose(summed[close], log_intervals[close], atol=1e-6)
    for until in (1.0, 6.0, 12.0):
        count = np.bincount(customer[age <= until], minlength=ages.size)
        assert_mean(count, pareto_ggg.expected_purchases(until, 0, 0, 0, 0, **REGULAR).item())


def test_the_incomplete_beta_function_is_scipys():
    rng = np.random.default_rng(7)
    a, b, y = np.exp(rng.normal(1, 1.5, 2_000)), np.exp(rng.normal(0, 1.2, 2_000)), rng.random(2_000)
    found = [gamma_waits_forecasts.incomplete_beta(*each) for each in zip(a, b, y, strict=True)]
    np.testing.assert_allclose(found, special.betainc(a, b, y), atol=1e-10)
