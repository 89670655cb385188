"""A level that returns to its mean, and shocks: against the dense Normal density."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayes_clv.distributions.autoregression import levels_after, log_density


def covariance(size, level, shock, rho):
    place = np.arange(size)
    return level * rho ** np.abs(place[:, None] - place) + shock * np.eye(size)


def dense(y, *numbers):
    return multivariate_normal(np.zeros(y.size), covariance(y.size, *numbers)).logpdf(y)


@pytest.mark.parametrize("rho", [1e-6, 0.5, 0.99, 1 - 1e-6])
@pytest.mark.parametrize(("level", "shock"), [(0.06, 0.03), (0.5, 1e-4), (1e-4, 0.5)])
def test_density_and_slopes_are_those_of_the_dense_normal(level, shock, rho):
    y = np.random.default_rng(1).normal(size=17) * 0.3
    found, of_y, *of_numbers = log_density(y, *map(np.array, (level, shock, rho)))
    assert found == pytest.approx(dense(y, level, shock, rho), rel=1e-9)
    np.testing.assert_allclose(of_y, -np.linalg.solve(covariance(17, level, shock, rho), y), rtol=1e-7)
    # Central differences of a step h lose 1e-16 |log L| / h to rounding: 1e-6 relative here.
    for place, slope in enumerate(of_numbers):
        numbers = [level, shock, rho]
        step = 1e-5 * min(numbers[place], 1 - rho if place == 2 else 1.0)
        ends = []
        for sign in (1, -1):
            moved = list(numbers)
            moved[place] += sign * step
            ends.append(log_density(y, *map(np.array, moved))[0])
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-4)


def test_the_last_level_given_all_is_the_normal_conditional():
    y = np.random.default_rng(2).normal(size=(1, 23)) * 0.3
    level, shock, rho = 0.06, 0.03, 0.9
    mean, variance = levels_after(y, *(np.array([each]) for each in (level, shock, rho)))
    whole = covariance(23, level, shock, rho)
    of_last = whole[-1] - np.eye(23)[-1] * shock
    assert mean[0] == pytest.approx(of_last @ np.linalg.solve(whole, y[0]), rel=1e-12)
    assert variance[0] == pytest.approx(level - of_last @ np.linalg.solve(whole, of_last), rel=1e-12)
