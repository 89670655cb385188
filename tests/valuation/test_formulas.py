"""Classic formulas against the sums and integrals that define them, against each other, and bad input refused."""

import math

import numpy as np
import pytest
from scipy import integrate

import bayes_clv as clv
from bayes_clv.valuation import (
    annuity_value,
    continuous_value,
    contract_value,
    four_step_value,
    growing_value,
    migration_value,
    present_value,
    retained_value,
)


@pytest.mark.parametrize("retention", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("rate", [-0.02, 0.0, 0.2])
def test_yearly_formulas_are_their_sums(retention, rate):
    kept = retention / (1 + rate)
    for years in (0, 1, 10):
        total = sum(kept**t for t in range(years + 1))
        assert annuity_value(100, retention, rate, years=years) == pytest.approx(100 * total)
        later = annuity_value(100, retention, rate, years=years, paid_now=False)
        assert later == pytest.approx(100 * (total - 1), abs=1e-12)
        for cycle in (0.5, 1, 3):
            earned = sum(260 * retention**i / (1 + rate) ** (cycle * i) for i in range(years + 1))
            spent = sum(
                50 * retention ** (i - 1) / (1 + rate) ** (cycle * (i - 0.5)) for i in range(1, years + 1)
            )
            found = retained_value(260, 50, retention, rate, cycles=years, years_per_cycle=cycle)
            assert found == pytest.approx(earned - spent)


def test_for_ever_is_the_limit_of_long():
    for retention, rate in ((0.75, 0.2), (0.9, 0.05)):
        assert annuity_value(1, retention, rate) == pytest.approx(
            annuity_value(1, retention, rate, years=600)
        )
        assert annuity_value(1, retention, rate) == pytest.approx((1 + rate) / (1 + rate - retention))
        for_ever = retained_value(2, 1, retention, rate, cycles=math.inf)
        assert for_ever == pytest.approx(retained_value(2, 1, retention, rate, cycles=600))
        assert continuous_value(1.0, retention, rate) == pytest.approx(
            continuous_value(1.0, retention, rate, years=600)
        )
    assert annuity_value(1, 1.0, 0.0) == math.inf
    assert annuity_value(1, 1.0, -0.1) == math.inf


def two_parts(years):
    """Berger & Nasr's profit: h t² + v up to g, and then a growth that levels off."""
    h, v, g, top = 10.0, 20.0, 2.0, 30.0
    return np.where(years <= g, h * years**2 + v, h * g**2 + v + top * -np.expm1(g - np.maximum(years, g)))


@pytest.mark.parametrize(
    "profit", [two_parts, lambda years: 100 * np.exp(-years), lambda years: 50 + 0 * years]
)
def test_continuous_money_is_its_integral(profit):
    for years in (0.7, 5.0, 20.0):
        exact, error = integrate.quad(
            lambda t: float(profit(np.float64(t))) * (0.8 / 1.1) ** t,
            0,
            years,
            points=[min(2.0, years)],
            limit=200,
        )
        assert continuous_value(profit, 0.8, 0.1, years=years) == pytest.approx(exact, abs=1e-9 + 10 * error)
    assert continuous_value(50.0, 0.8, 0.1, years=5) == pytest.approx(
        continuous_value(lambda t: 50.0, 0.8, 0.1, years=5)
    )
    total = sum(float(profit(np.float64(t))) * (0.8 / 1.1) ** t for t in range(8))
    assert growing_value(profit, 0.8, 0.1, years=7) == pytest.approx(total)


def test_discount_of_an_instant_is_that_of_many_small_steps():
    """1,000 payments a year of a thousandth, in the middle of each step, are the integral to its second order."""
    times = (np.arange(5000) + 0.5) / 1000
    many = present_value(0.1 * 0.8**times, 0, 0.1, first=0.0005, step=0.001)
    assert many == pytest.approx(continuous_value(100.0, 0.8, 0.1, years=5), rel=1e-7)


def test_migration_is_the_mean_of_simulated_customers():
    rng = np.random.default_rng(1)
    chances, rate, years, size = np.array([0.6, 0.3, 0.2]), 0.1, 6, 200_000
    ago = np.ones(size, dtype=int)
    worth = np.full(size, 100.0)
    for year in range(1, years + 1):
        written = ago <= 3
        bought = written & (rng.random(size) < chances[np.minimum(ago, 3) - 1])
        worth += 100 * bought / (1 + rate) ** year - 5 * written / (1 + rate) ** (year - 0.5)
        ago = np.where(bought, 1, ago + 1)
    exact = migration_value(100, 5, chances, rate, years=years)
    bought = [1.0]
    for year in range(1, years + 1):
        back = range(1, min(year, 3) + 1)
        bought.append(sum(bought[year - j] * chances[j - 1] * np.prod(1 - chances[: j - 1]) for j in back))
    paid = sum(100 * each / (1 + rate) ** year for year, each in enumerate(bought))
    assert migration_value(100, 0, chances, rate, years=years) == pytest.approx(paid)
    assert exact == pytest.approx(worth.mean(), abs=4 * worth.std() / math.sqrt(size))


def test_formulas_that_should_agree_do():
    constant = annuity_value(100, 0.75, 0.2, years=10)
    assert retained_value(100, 0, 0.75, 0.2, cycles=10) == pytest.approx(constant)
    assert migration_value(100, 0, [0.75], 0.2, years=10) == pytest.approx(constant)
    assert growing_value(lambda t: 100 + 0 * t, 0.75, 0.2, years=10) == pytest.approx(constant)
    curve = 0.75 ** np.arange(11)
    assert contract_value(curve, 120, 20, 0.2) == pytest.approx(constant)
    # Where all leave alike a renewal changes nothing but how far the curve goes.
    assert contract_value(curve, 100, 0, 0.2, renewed=3) == pytest.approx(
        annuity_value(100, 0.75, 0.2, years=7)
    )
    assert present_value(100 * curve, 0, 0.2, first=0.0) == pytest.approx(constant)
    # The four steps are the annuity without discount.
    steps = four_step_value(50, 2, 1 / (1 - 0.75))
    assert steps == pytest.approx(annuity_value(100, 0.75, 0.0))


def test_survivors_of_a_mixed_cohort_are_worth_more():
    """Half stay with .9, half with .5: after each renewal more of the former are left."""
    periods = np.arange(30)
    curve = (0.9**periods + 0.5**periods) / 2
    values = [contract_value(curve, 1, 0, 0.1, renewed=k) for k in (0, 1, 2, 4)]
    assert values == sorted(values)
    assert len(set(values)) == 4


def test_arrays_broadcast_to_draws():
    retention = np.array([0.5, 0.75, 1.0])
    found = annuity_value(100, retention, 0.2, years=10)
    assert found.shape == (3,)
    assert found[1] == pytest.approx(annuity_value(100, 0.75, 0.2, years=10))
    kept = retained_value(100, np.array([[0.0], [5.0]]), retention, 0.2, cycles=math.inf)
    assert kept.shape == (2, 3)
    curves = retention[:, None] ** np.arange(5)
    assert contract_value(curves, 1, 0, 0.1)[2] == pytest.approx(contract_value(curves[2], 1, 0, 0.1))
    assert present_value([100, 100], [40, 0], np.array([0.0, 0.1])).tolist() == pytest.approx(
        [160, 137.19008]
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: annuity_value(1, 1.2, 0.1), r"retention=1.2 must be at least 0 and at most 1"),
        (lambda: annuity_value(1, 0.8, -1.0), r"annual_discount_rate=-1.0 must be above -1"),
        (lambda: annuity_value(1, 0.8, 0.1, years=2.5), r"years=2.5 must be a whole number"),
        (lambda: annuity_value(1, math.nan, 0.1), r"retention=nan must be"),
        (
            lambda: retained_value(1, 1, 0.8, 0.1, cycles=3, years_per_cycle=0),
            r"years_per_cycle=0.0 must be above 0",
        ),
        (lambda: retained_value(1, 1, 0.8, 0.1, cycles=-1), r"cycles=-1.0 must be a whole number"),
        (lambda: continuous_value(lambda t: t, 0.8, 0.1), "needs a horizon"),
        (lambda: continuous_value(1.0, 1.0, 0.0), "the value is infinite"),
        (lambda: continuous_value(1.0, 1.0, -0.1), "the value is infinite"),
        (lambda: migration_value(1, 0, [], 0.1, years=3), "no probability of buying"),
        (lambda: migration_value(1, 0, [1.2], 0.1, years=3), r"returning=1.2 must be"),
        (lambda: contract_value([0.9, 0.8], 1, 0, 0.1), "must begin with 1"),
        (lambda: contract_value([1, 0.8, 0.9], 1, 0, 0.1), "survival rises"),
        (lambda: contract_value([1, 0.8], 1, 0, 0.1, renewed=2), "renewed=2, but the curve knows 0 to 1"),
        (lambda: contract_value([1, 0.0], 1, 0, 0.1, renewed=1), "Nobody is left after 1 renewals"),
        (lambda: four_step_value(-1, 2, 3), r"order_value=-1.0 must be at least 0"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(clv.InputError, match=said):
        call()
