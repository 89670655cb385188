"""Shapes that grow without bound: nothing loses its digits, nothing hangs, and the limit is a population of one kind.

Where customers hardly differ, a sampler under flat priors goes to a + b = 1e300. The references up to 1e12 are mpmath's
(a trapezoidal sum over logit p with 60 digits and more); beyond 1e30 the Beta is its mean in every digit.
"""

from functools import cache

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from mpmath import mp
from numpy.testing import assert_allclose

from bayes_clv.distributions import stirling
from bayes_clv.distributions.poisson.beta_dropout import purchases_while_alive, survival_while_alive
from bayes_clv.distributions.poisson.gamma_poisson import count_at_least, count_pmf
from bayes_clv.distributions.poisson.residual import residual_while_alive
from bayes_clv.distributions.regular import erlang_phases, erlang_residual
from bayes_clv.distributions.survival import log_survival_ratio, loss_ratio, survival_ratio
from bayes_clv.families import family
from tests.interpreted import AS_WRITTEN

# 500 purchases in 104 weeks, r = 0.8054, alpha = 28.133, mean dropout 0.1018; a horizon of 2,000 weeks.
X, K, SCALE, T, P = 500, 500.8054, 132.133, 2_000.0, 0.1018
TAU = T / SCALE
HUGE = (1e30, 1e100, 1e154, 1e300, 1e305, 1e307)


def shapes(size):
    return P * size, (1 - P) * size + X


@pytest.mark.parametrize(
    ("size", "purchases"),
    [
        (2e3, 12.334649555774925),
        (1e4, 10.323500491642083),
        (1e6, 9.828181023389229),
        (1e9, 9.823187709461578),
        (1e12, 9.823182716196703),
    ],
)
def test_expected_purchases_keep_their_digits_as_dropout_becomes_the_same_for_all(size, purchases):
    k = X + 0.8054
    assert_allclose(purchases_while_alive(k, 2_000 / (28.133 + 104), *shapes(size)), purchases, rtol=1e-13)


@pytest.mark.parametrize("size", HUGE)
def test_dropout_that_is_the_same_for_all_is_a_geometric_number_of_purchases(size):
    a, b = shapes(size)
    p = P / (P + (1 - P))
    left = K * np.log1p(p * TAU)
    assert_allclose(purchases_while_alive(K, TAU, a, b), -np.expm1(-left) / p, rtol=1e-12)
    assert_allclose(survival_while_alive(K, TAU, a, b), np.exp(-left), rtol=1e-12)
    survived = survival_ratio(7.0, 0.0, a, b, 1.0)
    assert_allclose(survived, (1 - p) ** 7, rtol=1e-12)
    # With regular timing of one phase it is the same customer.
    one = (np.array(1.0), np.array(K), np.array(0.0), np.array(TAU), np.array(a), np.array(b))
    assert_allclose(erlang_phases.purchases_while_alive(*one), -np.expm1(-left) / p, rtol=1e-12)


@pytest.mark.parametrize("size", [1e30, 1e100, 1e300])
def test_rates_that_are_the_same_for_all_too(size):
    """Nobody differs: purchases are a Poisson process of rate lambda that a coin ends."""
    a, b = P * size, (1 - P) * size
    rate, discount = 0.3, 0.002
    tau = rate * T / size
    gone = rate * T * P
    assert_allclose(purchases_while_alive(size, tau, a, b), -np.expm1(-gone) / P, rtol=1e-12)
    worth = rate / (discount + rate * P)
    assert_allclose(residual_while_alive(size, discount * size / rate, a, b), worth, rtol=1e-12)
    erlang = erlang_residual.residual_while_alive(1.0, size, 0.0, discount * size / rate, a, b)
    assert_allclose(erlang, worth, rtol=1e-12)
    each = [float(mp.exp(-mp.mpf(rate * T)) * mp.mpf(rate * T) ** n / mp.factorial(n)) for n in (0, 3, 600)]
    assert_allclose(count_pmf(np.array([0, 3, 600]), size, tau), each, rtol=1e-12)
    phases = erlang_phases.count_pmf(np.array([0.0, 3, 600]), 1.0, size, 0.0, tau)
    assert_allclose(phases, each, rtol=1e-12)
    with mp.workdps(30):
        reached = float(mp.gammainc(600, 0, rate * T, regularized=True))
    assert_allclose(count_at_least(600.0, size, tau), reached, rtol=1e-12)


@pytest.mark.parametrize("size", [1e2, 2e3, 1e6, 1e9])
def test_counts_of_nearly_alike_rates_are_negative_binomial(size):
    with mp.workdps(50):
        n, k, tau = 40, mp.mpf(size), mp.mpf(30.0 / size)
        log_pmf = mp.loggamma(k + n) - mp.loggamma(k) - mp.loggamma(n + 1) + n * mp.log(tau / (1 + tau))
        exact = float(mp.exp(log_pmf - k * mp.log1p(tau)))
    assert_allclose(count_pmf(n, size, 30.0 / size), exact, rtol=1e-12)


@pytest.mark.parametrize("size", [2e3, 1e6, 1e12, 1e300])
@pytest.mark.parametrize("a", [1e-6, 0.1, 30.0])
def test_a_chance_to_leave_that_is_small_keeps_its_digits(a, size):
    """The loss within one period is a / (a + b): 1e-13, say, and no difference of 1 and something."""
    assert_allclose(loss_ratio(1.0, 0.0, a, size, 1.0), a / (a + size), rtol=1e-12)


@cache
def value_and_slopes(function, count):
    symbols = [pt.dscalar() for _ in range(count)]
    value = function(*symbols)
    # Rewritten, as a fit's graph is: as written the slopes are lost from 1e100.
    return pytensor.function(symbols, [value, *pytensor.grad(value, symbols)], mode="FAST_COMPILE")


def graph(function, *values):
    return value_and_slopes(function, len(values))(*values)


def survived(a, b):
    """The term of the tosses survived of a BG/NBD customer with 500 purchases."""
    (of_frequency,) = (term for term in family("bg_nbd").likelihood if term.columns == ("frequency",))
    params = {"r": pt.constant(1.0), "alpha": pt.constant(1.0), "a": a, "b": b}
    return of_frequency.function(params, pt.constant(500.0)) - pt.gammaln(np.float64(501.0))


@pytest.mark.parametrize("size", [2e3, 1e8, 1e16, 1e100, 1e300])
def test_log_likelihoods_do_not_jump_where_dropout_hardly_differs(size):
    """The term of the tosses survived, x log(1 - p) in the limit, and its slopes."""
    a, b = P * size, (1 - P) * size
    value, *slopes = graph(survived, a, b)
    with mp.workdps(400):
        exact = mp.mpf(0)
        for i in range(500):
            exact += mp.log((mp.mpf(b) + i) / (mp.mpf(a) + mp.mpf(b) + i))
    assert_allclose(value, float(exact), rtol=1e-12)
    assert np.isfinite(slopes).all()
    # Shares alone matter: together they move nothing, apart they move x.
    assert_allclose(slopes[0] * a, -500 * P, rtol=1e3 / size + 1e-9)
    assert_allclose(graph(log_survival_ratio, a, b, 500.0)[0], float(exact), rtol=1e-12)


def test_odds_of_having_left_keep_their_digits_where_rates_hardly_differ():
    alive, x, t_x, age = family("bg_nbd").forecast.alive, 3.0, 20.0, 39.0
    seen = {"frequency": x, "recency": t_x, "T": age}
    for r in (1e6, 1e12, 1e100):
        with mp.workdps(250):
            base = mp.mpf(r) / mp.mpf(0.1)
            power = (mp.mpf(r) + x) * mp.log((base + age) / (base + t_x))
            odds = mp.mpf(0.8) / (mp.mpf(2.5) + x - 1) * mp.exp(power)
        found = alive(seen, {"r": r, "alpha": r / 0.1, "a": 0.8, "b": 2.5})
        assert_allclose(found, float(1 / (1 + odds)), rtol=1e-12)


def test_gamma_gamma_does_not_jump_where_spend_levels_hardly_differ():
    """lnGamma(q) alone has an error of 1e284 at q = 1e300; p = 6 and 2 occasions."""
    (of_frequency,) = (term for term in family("gamma_gamma").likelihood if term.columns == ("frequency",))
    for q in (2e3, 1e8, 1e16, 1e300):
        q_symbol = pt.dscalar()
        params = {"p": pt.constant(6.0), "q": q_symbol, "v": pt.constant(1.0)}
        value = of_frequency.function(params, pt.constant(2.0))
        found = pytensor.function([q_symbol], value, mode=AS_WRITTEN)(q)
        with mp.workdps(700):
            exact = mp.loggamma(mp.mpf(q) + 12) - mp.loggamma(q) - mp.loggamma(12)
        assert_allclose(found, float(exact), rtol=1e-13)


def test_stirlings_pieces_are_those_of_mpmath():
    with mp.workdps(700):
        for a, b in ((0.3, 5e3), (1e3, 1e6), (1e300, 2e300), (40.0, 1e16)):
            big_a, big_b = mp.mpf(a), mp.mpf(b)
            share = big_a / (big_a + big_b)
            log_beta = mp.loggamma(big_a) + mp.loggamma(big_b) - mp.loggamma(big_a + big_b)
            peak = big_a * mp.log(share) + big_b * mp.log(1 - share) - log_beta
            assert_allclose(stirling.log_beta_peak(a, b), float(peak), rtol=1e-12)
            d = 3 / np.sqrt(min(a, b))
            odds = big_a / big_b * mp.exp(mp.mpf(d))
            weight = big_a * mp.log(odds / (1 + odds) / share) - big_b * mp.log((1 + odds) * (1 - share))
            assert_allclose(stirling.beta_at(d, a, b)[2], float(weight), rtol=1e-12)
