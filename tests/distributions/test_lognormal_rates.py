"""The integral over two lognormal rates, its forecasts and draws, beside computations that share nothing with them."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import integrate, special

from bayes_clv.distributions.lognormal import forecasts as lognormal_forecasts
from bayes_clv.distributions.lognormal.draws import draws_of_rows
from bayes_clv.distributions.lognormal.rates import log_mean_likelihood, moments, slopes_of_rows
from tests.symbols import paper

pareto_abe = paper("pareto_abe")

# Abe (2009), CDNOW: about his posterior means.
CDNOW = (math.log(0.029), 1.16, math.log(0.0276), 1.62, 0.53)
SIGMAS = 4.5


def log_likelihood(x, t_x, T, eta, zeta):
    rate, leaving = np.exp(eta), np.exp(zeta)
    both = rate + leaving
    with np.errstate(divide="ignore"):
        return x * eta - both * t_x + np.log((leaving + rate * np.exp(-both * (T - t_x))) / both)


def dense(function, m1, s1, m2, s2, c, nodes=1_500):
    """Return the log of the population's mean of exp(function(eta, zeta)): a plain sum over a box of whitened rates.

    The box is found by zooming in on where the integrand is above e^-40 of its peak. A sum over so many nodes is a
    trapezoid whose step is some hundredth of the integrand's width.
    """
    rho, r = -math.cos(math.pi * c), math.sin(math.pi * c)
    box = np.array([[-40.0, 40.0], [-40.0, 40.0]])
    for size in (301, 301, 301, 301, nodes):
        z, w = (np.linspace(*ends, size) for ends in box)
        with np.errstate(over="ignore", invalid="ignore"):
            g = function(m1 + s1 * z[:, None], m2 + s2 * (rho * z[:, None] + r * w)) - 0.5 * (
                z[:, None] ** 2 + w**2
            )
        g = np.where(np.isnan(g), -np.inf, g)
        high = np.argwhere(g > g.max() - 40)
        for axis, grid in enumerate((z, w)):
            low, top = high[:, axis].min(), high[:, axis].max()
            box[axis] = grid[max(low - 1, 0)], grid[min(top + 1, size - 1)]
    cell = (z[1] - z[0]) * (w[1] - w[0]) / (2 * math.pi)
    return g.max() + math.log(np.exp(g - g.max()).sum() * cell)


def cases(size, seed):
    """Yield histories and populations: x to 1,000, T from 0.01 to 10,000, s from 0.1 to 3, correlation to 0.95."""
    rng = np.random.default_rng(seed)
    for _ in range(size):
        x = float(rng.choice([0, 1, 2, 5, 29, 150, 1000]))
        T = 10 ** rng.uniform(-2, 4)
        t_x = T * float(rng.choice([0.01, 0.5, 0.9, 0.999, 1.0])) if x else 0.0
        s1, s2 = 10 ** rng.uniform(-1, math.log10(3), 2)
        m1, m2 = math.log(max(x, 0.5) / T) + s1 * rng.normal(), -math.log(T) + s2 * rng.normal()
        yield (x, t_x, T), (m1, s1, m2, s2, rng.uniform(0.1, 0.9))


def assert_dense(size, seed):
    for history, population in cases(size, seed):
        x, t_x, T = history
        expected = dense(lambda eta, zeta, h=history: log_likelihood(*h, eta, zeta), *population)
        # Both are sums of thousands of terms of logs of size x log T: 1e-11 beside the rule's own 4e-11.
        assert log_mean_likelihood(x, t_x, T, *population) == pytest.approx(expected, rel=1e-13, abs=1e-10)


def test_the_mean_likelihood_is_that_of_a_dense_sum():
    assert_dense(12, seed=1)


@pytest.mark.full
def test_the_mean_likelihood_is_that_of_a_dense_sum_over_many_cases():
    assert_dense(200, seed=2)


def test_far_from_the_population_the_answer_stands():
    """A loyal customer of a base that leaves at once: the rate of leaving lies 10 standard deviations out."""
    history, population = (1000.0, 9_999.0, 10_000.0), (math.log(0.1), 0.3, 0.0, 0.7, 0.4)
    expected = dense(lambda eta, zeta: log_likelihood(*history, eta, zeta), *population)
    assert log_mean_likelihood(*history, *population) == pytest.approx(expected, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(
    "history", [(0.0, 0.0, 38.0), (2.0, 30.43, 38.86), (29.0, 38.0, 38.9), (3.0, 5.0, 5.0)]
)
def test_equal_customers_have_the_likelihood_of_one(history):
    s = 1e-5
    eta, zeta = math.log(0.1), math.log(0.02)
    found = log_mean_likelihood(*history, eta, s, zeta, s, 0.5)
    # What is left out is s^2 / 2 times second derivatives and squared slopes, each below x + T (lambda + mu) < 35.
    assert found == pytest.approx(float(log_likelihood(*history, eta, zeta)), abs=s * s * 35**2)


def test_no_time_is_no_information():
    value, z, w, zz, zw, ww = moments(0.0, 0.0, 0.0, *CDNOW)
    # Cut at a radius of sqrt(2 CUT): exp(-26) of the mass, and of a second moment 27 times that, 1.4e-10.
    assert (value, z, w, zz, zw, ww) == pytest.approx((0, 0, 0, 1, 0, 1), abs=2e-10)


def test_what_is_no_history_is_nan():
    assert np.isnan(log_mean_likelihood(1.0, 3.0, 2.0, *CDNOW))
    assert np.isnan(log_mean_likelihood(1.0, 1.0, 2.0, 0.0, -1.0, 0.0, 1.0, 0.5))
    assert np.isnan(log_mean_likelihood(1.0, 1.0, 2.0, 0.0, 1.0, 0.0, 1_000.0, 0.5))
    assert np.isnan(log_mean_likelihood(1.0, 1.0, 2.0, 1e9, 1.0, 0.0, 1.0, 0.5))


# Where a sampler's first steps may land. The first two would count lattice nodes beyond the largest integer, and so for
# ever; of the others a customer took a quarter of a second.
FAR_OUT = (
    ((6.0, 69.69, 74.0), (-0.94, 4.4e-5, -9.7, 2e-4, 1.4e-18)),
    ((2.0, 23.79, 26.0), (-0.81, 1.2e-6, -0.96, 7.6e-6, 1 - 1.6e-15)),
    ((6.0, 69.69, 74.0), (26.3, 38.0, 72.1, 2.4e-3, 0.099)),
    ((0.0, 0.0, 74.0), (-300.0, 1e-9, 700.0, 1e-9, 0.5)),
    ((230.0, 73.0, 74.0), (700.0, 50.0, -700.0, 50.0, 0.5)),
)


def test_a_step_far_out_ends_and_gives_a_finite_number():
    """In a process of its own: one that does not end is ended. A customer each, 50 times."""
    program = (
        "from bayes_clv.distributions.lognormal.rates import moments\n"
        f"for history, population in {FAR_OUT!r}:\n"
        "    for _ in range(50):\n"
        "        found = moments(*history, *population)\n"
        "    print(*found)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    found = np.array([[float(each) for each in line.split()] for line in done.stdout.splitlines()])
    assert found.shape == (len(FAR_OUT), 6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("concordance", [0.0, 1.0])
@pytest.mark.parametrize("near", [1e-15, 1e-9, 1e-6])
def test_rates_that_go_together_entirely_are_one(concordance, near):
    """One integral along z in place of two; across it zeta has a deviation of s2 r = 1.6e-5.

    What that adds is half its square times squared slopes and curvatures in zeta, below 500 here: 7e-8.
    """
    m1, s1, m2, s2, _ = CDNOW
    rho = 2 * concordance - 1
    c = near if concordance == 0 else 1 - near
    for history in ((0.0, 0.0, 38.0), (2.0, 30.43, 38.86), (29.0, 38.0, 38.9)):
        z = np.linspace(-12, 12, 20_001)
        g = log_likelihood(*history, m1 + s1 * z, m2 + rho * s2 * z) - 0.5 * z**2
        expected = g.max() + math.log(np.exp(g - g.max()).sum() * (z[1] - z[0]) / math.sqrt(2 * math.pi))
        assert log_mean_likelihood(*history, m1, s1, m2, s2, c) == pytest.approx(expected, abs=7e-8)
        slopes = [
            float(each[0]) for each in slopes_of_rows(*(np.array([v]) for v in (*history, m1, s1, m2, s2, c)))
        ]
        step = 1e-5
        for place, slope, per in (
            (0, slopes[1], 1.0),
            (1, slopes[2], s1),
            (2, slopes[3], 1.0),
            (3, slopes[4], s2),
        ):
            ends = []
            for side in (step, -step):
                at = [m1, s1, m2, s2, c]
                at[place] += side * per
                ends.append(log_mean_likelihood(*history, *at))
            assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-4)
        assert abs(slopes[5]) < 1e3


@pytest.mark.parametrize("horizon", [0.5, 52.0, math.inf])
@pytest.mark.parametrize("discount", [0.0, 0.01])
def test_discounted_purchases_are_those_of_a_dense_sum(horizon, discount):
    for history in ((0.0, 0.0, 38.0), (2.0, 30.43, 38.86), (29.0, 38.0, 38.9), (0.0, 0.0, 0.0)):
        x, _, T = history

        def worth(eta, zeta, x=x, T=T):
            rate, leaving = np.exp(eta), np.exp(zeta) + discount
            alive = x * eta - (rate + np.exp(zeta)) * T
            return alive + eta + np.log(-np.expm1(-leaving * horizon) / leaving)

        whole = dense(lambda eta, zeta, h=history: log_likelihood(*h, eta, zeta), *CDNOW)
        population = (0.029, 1.16, 0.0276, 1.62, 0.53)
        found = pareto_abe.discounted_purchases(horizon, discount, *history, *population)
        assert float(found) == pytest.approx(math.exp(dense(worth, *CDNOW) - whole), rel=1e-9)


@pytest.mark.parametrize("n", [1, 4, 60])
def test_counts_are_those_of_a_dense_sum_of_the_individual_formulas(n):
    x, t_x, T, t = 2.0, 30.43, 38.86, 39.0

    def individual(eta, zeta, at_least):
        rate, leaving = np.exp(eta), np.exp(zeta)
        both, log_share = rate + leaving, eta - np.log(rate + leaving)
        alive = x * eta - both * T
        if at_least:
            return alive + n * log_share + np.log(special.gammainc(n, both * t))
        stays = n * (eta + math.log(t)) - both * t - special.gammaln(n + 1)
        goes = zeta - np.log(both) + n * log_share + np.log(special.gammainc(n + 1, both * t))
        return alive + np.logaddexp(stays, goes)

    whole = dense(lambda eta, zeta: log_likelihood(x, t_x, T, eta, zeta), *CDNOW)
    population = (0.029, 1.16, 0.0276, 1.62, 0.53)
    for function, at_least in ((pareto_abe.purchases_pmf, False), (pareto_abe.purchases_at_least, True)):
        with np.errstate(divide="ignore"):
            expected = dense(lambda eta, zeta, a=at_least: individual(eta, zeta, a), *CDNOW)
        assert float(function(n, t, x, t_x, T, *population)) == pytest.approx(
            math.exp(expected - whole), rel=1e-9
        )


@pytest.mark.parametrize(
    "population", [(0.029, 1.16, 0.0276, 1.62, 0.53), (1.0, 2.0, 0.3, 3.0, 0.9), (20.0, 0.3, 0.004, 1.0, 0.2)]
)
def test_several_counts_at_once_are_those_of_one_at_a_time(population):
    """The last population buys 800 times within the horizon, beyond what exp(-s) can hold."""
    counts = [0, 1, 2, 7, 60, 700]
    columns = np.array([(2.0, 30.43, 38.86), (0.0, 0.0, 38.0), (40.0, 38.0, 38.9), (0.0, 0.0, 0.0)]).T
    together = pareto_abe.purchases_pmfs([-1, *counts], 40.0, *columns, *population)
    assert (together[0] == 0).all()
    for n, found in zip(counts, together[1:], strict=True):
        alone = pareto_abe.purchases_pmf(n, 40.0, *columns, *population)
        # Of both: aliasing of about e^-24 = 4e-11, before constants, of each; and rounding of 1 - P.
        assert found == pytest.approx(alone, rel=1e-9, abs=1e-11)
    several = pareto_abe.purchases_pmfs(range(30), 40.0, *columns, *population)
    more = pareto_abe.purchases_at_least(30, 40.0, *columns, *population)
    assert np.sum(several, axis=0) + more == pytest.approx(1.0, abs=1e-9)
    # Draws of the parameters meet customers as anywhere else, and the history may be named.
    drawn = dict(zip(pareto_abe.PARAMETERS, np.array([population, population]).T, strict=True))
    x, t_x, age = columns[:, :, None]
    wide = pareto_abe.purchases_pmfs([2], 40.0, x=x, t_x=t_x, T=age, **drawn)[0]
    assert wide == pytest.approx(np.repeat(together[3][:, None], 2, axis=1), rel=1e-12)


def test_several_counts_of_what_is_no_history_are_nan():
    bad = pareto_abe.purchases_pmfs([0, 1], 4.0, 1.0, 3.0, 2.0, 0.03, -1.0, 0.03, 1.0, 0.5)
    assert np.isnan(bad).all()


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000])
def test_the_incomplete_gamma_function_keeps_its_digits_at_both_ends(n):
    for s in (1e-6, 0.3, 1.0, n - 0.5, n + 0.9, n + 1.1, 2.0 * n, 5.0 * n + 100):
        found = lognormal_forecasts.log_lower_gamma(float(n), s, math.lgamma(n + 1.0))
        expected = special.gammainc(n, s)
        if expected > 1e-290:
            # n log s and log n! are up to 1e4 and cancel.
            assert found == pytest.approx(math.log(expected), rel=1e-12, abs=1e-11)


@pytest.mark.parametrize("history", [(0.0, 0.0, 39.0), (3.0, 20.0, 39.0), (1000.0, 38.0, 39.0)])
def test_draws_have_the_distribution_of_the_posterior(history):
    size = 40_000
    columns = [np.full(size, value) for value in (*history, *CDNOW)]
    alive, rate, leaving, tries = draws_of_rows(np.random.default_rng(6), *columns)
    _, z, w, zz, zw, ww = moments(*history, *CDNOW)
    m1, s1, m2, s2, c = CDNOW
    rho, r = -math.cos(math.pi * c), math.sin(math.pi * c)
    drawn_z = (np.log(rate) - m1) / s1
    drawn_w = ((np.log(leaving) - m2) / s2 - rho * drawn_z) / r
    for sample, expected in (
        (drawn_z, z),
        (drawn_w, w),
        (drawn_z**2, zz),
        (drawn_z * drawn_w, zw),
        (drawn_w**2, ww),
    ):
        assert abs(sample.mean() - expected) < SIGMAS * sample.std() / math.sqrt(size)
    # Taken: the posterior's width by the population's, 1 / (1.16 sqrt(1000)) at x = 1,000, and half of that in mu.
    assert tries.mean() < (100 if history[0] == 1000 else 8)
    share = float(pareto_abe.probability_alive(*history, 0.029, 1.16, 0.0276, 1.62, 0.53))
    assert abs(alive.mean() - share) < SIGMAS * math.sqrt(share * (1 - share) / size) + 1e-12


def test_independent_rates_split_the_living_into_two_integrals():
    x, T = 3.0, 20.0
    m1, s1, m2, s2, _ = CDNOW

    def mean(power, m, s):
        def integrand(z):
            return math.exp(power * (m + s * z) - T * math.exp(m + s * z) - z * z / 2) / math.sqrt(
                2 * math.pi
            )

        return integrate.quad(integrand, -12, 12, epsabs=0, epsrel=1e-12, limit=200)[0]

    found = lognormal_forecasts.log_alive(x, T, T, m1, s1, m2, s2, 0.5)
    assert found == pytest.approx(math.log(mean(x, m1, s1) * mean(0.0, m2, s2)), abs=1e-10)
