"""Discounted residual transactions and upper tails beside mpmath, integration, simulation and their limits."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import integrate

from bayes_clv.distributions.poisson.residual import residual_while_alive
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

CDNOW = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
HISTORY = (2, 30.43, 38.86)


def by_mpmath(k, discount, a, big_b):
    """Return E[g / (discount + g p)] by Gauss's 2F1 over p and an integral over log g, 30 digits."""
    with mp.workdps(30):
        k, discount, a, big_b = map(mp.mpf, (k, discount, a, big_b))

        def integrand(w):
            g = mp.e**w
            hyper = mp.hyp2f1(1, a, a + big_b, -g / discount)
            return mp.e ** (k * w - g - mp.loggamma(k)) * g / discount * hyper

        sd = 1 / mp.sqrt(k)
        low = mp.log(k) - 14 * sd if k > 50 else min(mp.mpf(0), mp.log(discount)) - 45
        high = mp.log(k) + 14 * sd if k > 50 else mp.log(k + 1) + 6
        points = mp.linspace(low, high, 12 if k > 50 else max(12, int(high - low)))
        return float(mp.quad(integrand, points, method="gauss-legendre"))


# (k, discount, a, B): E[g / (discount + g p)], computed by ``by_mpmath``.
REFERENCE = {
    (1.24, 0.1, 0.79, 3.4): 4.712387800272512,
    (0.2426, 0.012, 0.7929, 2.4259): 3.6314747603222726,
    (1000.24, 0.2, 0.79, 1002.4): 1843.6766511118628,
    (2.0, 0.1, 1.0, 3.0): 4.955533798809446,
    (2.0, 1e-08, 1.0, 3.0): 52.03039630776046,
    (2.0, 1e-12, 2.5, 3.0): 2.999999999979,
    (0.05, 1e-06, 0.02, 0.03): 23029.441913533312,
    (5.0, 50.0, 0.8, 7.0): 0.098802958817238,
    (3.3, 0.3, 40.0, 2.0): 0.9314693904411014,
    (0.5, 10000.0, 0.5, 0.5): 4.999625070292e-05,
    (3.0, 0.1, 0.01, 2000.0): 29.99414316400622,
}


@pytest.mark.parametrize("arguments", REFERENCE)
def test_dert_agrees_with_mpmath(arguments):
    assert float(residual_while_alive(*arguments)) == pytest.approx(REFERENCE[arguments], rel=1e-10)


@pytest.mark.full
@pytest.mark.parametrize("arguments", REFERENCE)
def test_the_references_are_mpmaths(arguments):
    assert by_mpmath(*arguments) == pytest.approx(REFERENCE[arguments], rel=1e-13)


def test_dert_is_the_integral_of_discounted_expected_purchases():
    # By parts: delta times the integral of exp(-delta t) E[Y(t)], in u = log t; another formula altogether.
    for history, delta in ((HISTORY, 0.0027), ((0, 0, 20.0), 0.01), ((1000, 199.0, 200.0), 0.002)):

        def integrand(u, history=history, delta=delta):
            t = math.exp(u)
            return delta * t * math.exp(-delta * t) * float(bg_nbd.expected_purchases(t, *history, **CDNOW))

        peak = -math.log(delta)
        area, _ = integrate.quad(integrand, peak - 40, peak + 4, points=[peak], epsrel=1e-11, limit=400)
        value = float(bg_nbd.discounted_residual_transactions(delta, *history, **CDNOW))
        assert value == pytest.approx(area, rel=1e-9)


def test_dert_is_the_mean_of_simulated_customers():
    size = 400_000
    rng = np.random.default_rng(3)
    alive, rate, dropout = bg_nbd.latent_draws(rng, *(np.full(size, h) for h in HISTORY), **CDNOW)
    worth = alive * rate / (0.01 + rate * dropout)
    value = float(bg_nbd.discounted_residual_transactions(0.01, *HISTORY, **CDNOW))
    assert abs(worth.mean() - value) < 4 * worth.std() / math.sqrt(size)


def test_dert_without_discount_and_with_all():
    alive = float(bg_nbd.probability_alive(*HISTORY, **CDNOW))
    loyal = CDNOW | {"a": 1.5}
    # E[1/p] = (a + B - 1) / (a - 1) with B = b + x.
    mean = (1.5 + 4.4259 - 1) / 0.5 * float(bg_nbd.probability_alive(*HISTORY, **loyal))
    assert float(bg_nbd.discounted_residual_transactions(0, *HISTORY, **loyal)) == pytest.approx(
        mean, rel=1e-14
    )
    # The approach to it is of the order delta^(a - 1) = 1e-9.
    tiny = float(bg_nbd.discounted_residual_transactions(1e-18, *HISTORY, **loyal))
    assert 0 < 1 - tiny / mean < 1e-7
    assert float(bg_nbd.discounted_residual_transactions(0, *HISTORY, **CDNOW)) == math.inf
    assert float(bg_nbd.discounted_residual_transactions(0, *HISTORY, **(CDNOW | {"a": 1.0}))) == math.inf
    assert math.isnan(bg_nbd.discounted_residual_transactions(-0.01, *HISTORY, **CDNOW))
    assert float(bg_nbd.discounted_residual_transactions(math.inf, *HISTORY, **CDNOW)) == 0
    # A heavy discount leaves the first instants: P(alive) E[lambda] / delta.
    heavy = float(bg_nbd.discounted_residual_transactions(1e8, *HISTORY, **CDNOW))
    assert heavy == pytest.approx(alive * (CDNOW["r"] + 2) / (CDNOW["alpha"] + 38.86) / 1e8, rel=1e-6)


def test_dert_is_continuous_at_a_of_one_and_falls_with_discount():
    at_one = [
        float(bg_nbd.discounted_residual_transactions(0.0027, *HISTORY, **(CDNOW | {"a": a})))
        for a in (1 - 1e-9, 1.0, 1 + 1e-9)
    ]
    assert at_one[0] == pytest.approx(at_one[1], rel=1e-8)
    assert at_one[2] == pytest.approx(at_one[1], rel=1e-8)
    by_rate = bg_nbd.discounted_residual_transactions(np.logspace(-300, 6, 200), *HISTORY, **CDNOW)
    assert np.isfinite(by_rate).all()
    assert (np.diff(by_rate) < 0).all()


def test_a_tiny_tail_keeps_its_digits():
    # Thirty purchases in a tenth of a week: the leading term of the series in tau, 1e-80.
    k, tau = CDNOW["r"] + 2, 1e-3 / (CDNOW["alpha"] + 38.86)
    leading = mp.rf(k, 30) / mp.factorial(30) * mp.mpf(tau) ** 30
    granted = mp.rf(4.4259, 29) / mp.rf(4.4259 + 0.7929, 29)
    alive = float(bg_nbd.probability_alive(*HISTORY, **CDNOW))
    expected = float(alive * leading * granted)
    # The next terms are of relative size 30 tau = 7e-4.
    assert float(bg_nbd.purchases_at_least(30, 1e-3, *HISTORY, **CDNOW)) == pytest.approx(expected, rel=2e-3)
