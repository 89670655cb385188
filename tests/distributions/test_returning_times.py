"""Slopes of the likelihood of customers who come back in the times of purchases: against differences, and forwards."""

import numpy as np
import pytest
from scipy.special import digamma

from bayes_clv.distributions.poisson import returning, returning_times
from tests.distributions.test_returning import AGE, BRISK, CDNOW, HISTORIES, SHARED

SIZE = np.array([each.size for each in HISTORIES], dtype=float)
START = np.cumsum(SIZE) - SIZE
TIMES = np.concatenate(HISTORIES)
ONES = np.ones(SIZE.size)
WEIGHT = np.random.default_rng(3).normal(size=SIZE.size)
EACH = [(first, point) for first in (0, 1) for point in (CDNOW, SHARED, BRISK)]


def given(first, point, ages=AGE * ONES, times=TIMES):
    return ages, START, SIZE, first * ONES, times, *(each * ONES for each in point)


def log_likelihood(first, point, ages, times):
    return WEIGHT * returning.log_likelihoods(*given(first, point, ages, times))


@pytest.mark.parametrize(("first", "point"), EACH)
def test_slopes_in_parameters_are_those_forwards(first, point):
    found = returning_times.slopes(*given(first, point), WEIGHT)[2:]
    forwards = list(returning.slopes(*given(first, point)))
    forwards[0] += np.log(point[1]) - digamma(point[0])
    for k, (one, other) in enumerate(zip(found, forwards, strict=True)):
        # Weights of heads are trimmed at other places; those of waking are added up in another order.
        np.testing.assert_allclose(one, WEIGHT * other, rtol=1e-9, atol=1e-11, err_msg=k)


@pytest.mark.parametrize(("first", "point"), EACH)
def test_slopes_in_times_are_differences(first, point):
    of_T, of_times, *_ = returning_times.slopes(*given(first, point), WEIGHT)
    step = 1e-5
    ends = [log_likelihood(first, point, AGE + sign * step * ONES, TIMES) for sign in (1, -1)]
    # A likelihood of ten digits: a difference is off by 1e-10 / step.
    np.testing.assert_allclose(of_T, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=2e-5)
    row = np.repeat(np.arange(SIZE.size), SIZE.astype(int))
    for place in range(TIMES.size):
        moved = np.where(np.arange(TIMES.size) == place, step, 0.0)
        ends = [
            log_likelihood(first, point, AGE * ONES, TIMES + sign * moved)[row[place]] for sign in (1, -1)
        ]
        assert of_times[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-5, abs=2e-5)


@pytest.mark.parametrize(("first", "point"), EACH)
def test_the_unit_of_time_moves_the_slopes_in_proportion(first, point):
    """The density of x purchases at u times all times, u alpha and nu / u is that at u = 1 over u^x."""
    of_T, of_times, _, of_alpha, _, _, of_nu, _ = returning_times.slopes(*given(first, point), WEIGHT)
    row = np.repeat(np.arange(SIZE.size), SIZE.astype(int))
    found = AGE * of_T + np.bincount(row, of_times * TIMES, SIZE.size) + point[1] * of_alpha
    # It holds of integrals: each slope has the error of the rule, 1e-10, times T lambda, which is up to 60 here.
    np.testing.assert_allclose(found - point[4] * of_nu, -WEIGHT * SIZE, rtol=0, atol=1e-8)


def test_a_history_of_400_purchases_has_the_slopes_of_its_unit():
    rng = np.random.default_rng(3)
    waits = rng.exponential(0.1, 400)
    waits[[80, 200]] += 30.0
    own, point = np.cumsum(waits), (1.4, 0.5, 0.4, 20.0, 0.05, 0.1)
    one = np.ones(1)
    rows = (own[-1] + 4.0) * one, 0 * one, 400 * one, one, own, *(each * one for each in point)
    of_T, of_times, *found = returning_times.slopes(*rows, one)
    forwards = list(returning.slopes(*rows))
    forwards[0] += np.log(point[1]) - digamma(point[0])
    for each, other in zip(found, forwards, strict=True):
        np.testing.assert_allclose(each, other, rtol=1e-9)
    unit = rows[0] * of_T + of_times @ own + point[1] * found[1] - point[4] * found[4]
    assert unit[0] == pytest.approx(-400, rel=1e-9)


@pytest.mark.parametrize("age", [np.inf, np.nan])
def test_times_that_are_not_numbers_have_no_likelihood(age):
    """A proposal far out makes operational times overflow: it is refused, and no error."""
    ages = np.array([AGE, age])
    rows = ages, np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.ones(2), np.array([5.0])
    point = [each * np.ones(2) for each in SHARED]
    value = returning.log_likelihoods(*rows, *point)
    np.testing.assert_array_equal(np.isnan(value), [False, True])
    of_T, _, of_r, *_ = returning_times.slopes(*rows, *point, np.ones(2))
    np.testing.assert_array_equal(np.isnan(of_T), [False, True])
    np.testing.assert_array_equal(np.isnan(of_r), [False, True])
    np.testing.assert_array_equal(np.isnan(returning.slopes(*rows, *point)[0]), [False, True])
