"""Slopes of the filter of a drifting rate in the times of purchases: against differences, and those forwards."""

import numpy as np
import pytest

from bayes_clv.distributions.poisson import drifting, drifting_times
from tests.distributions.test_drifting import POINTS, SEEN

T, START, SIZE, TIMES = SEEN
WEIGHTS = np.random.default_rng(3).normal(size=(2, T.size))


def log_likelihood(ages, times, point):
    """Return (row) both of the filter's densities, weighed."""
    ones = np.ones(T.size)
    bought, silent = drifting.log_likelihoods(ages, START, SIZE, times, *(each * ones for each in point))
    return WEIGHTS[0] * bought + WEIGHTS[1] * silent


def slopes(point):
    return drifting_times.slopes(T, START, SIZE, TIMES, *(each * np.ones(T.size) for each in point), *WEIGHTS)


@pytest.mark.parametrize("point", POINTS)
def test_slopes_in_parameters_are_those_forwards(point):
    forwards = drifting.slopes(T, START, SIZE, TIMES, *(each * np.ones(T.size) for each in point))
    for k, found in enumerate(slopes(point)[2:]):
        expected = WEIGHTS[0] * forwards[k] + WEIGHTS[1] * forwards[3 + k]
        # Of either pass some 150 steps with the rounding of numbers up to 150.
        np.testing.assert_allclose(point[k] * found, point[k] * expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("point", POINTS)
def test_slopes_in_times_are_differences(point):
    of_T, of_times, *_ = slopes(point)
    step = 1e-5
    ends = [log_likelihood(T + sign * step, TIMES, point) for sign in (1, -1)]
    np.testing.assert_allclose(of_T, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    row = np.repeat(np.arange(T.size), SIZE.astype(int))
    # All of the few, and some of the many.
    for place in [*range(20), *range(20, TIMES.size, 17)]:
        moved = np.where(np.arange(TIMES.size) == place, step, 0.0)
        ends = [log_likelihood(T, TIMES + sign * moved, point)[row[place]] for sign in (1, -1)]
        # Gaps are .02 and more, so that a difference is off by its square over that, some 1e-6 of 1 / gap.
        assert of_times[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-5, abs=1e-6)


def test_the_unit_of_time_moves_the_slopes_in_proportion():
    """The log density of purchases (bought) of u times, u alpha and kappa / u is that at u = 1 less x log u."""
    of_T, of_times, _, of_alpha, of_kappa = slopes(POINTS[1])
    row = np.repeat(np.arange(T.size), SIZE.astype(int))
    found = of_T * T + np.bincount(row, of_times * TIMES, T.size) + POINTS[1][1] * of_alpha
    np.testing.assert_allclose(found - POINTS[1][2] * of_kappa, -WEIGHTS[0] * SIZE, rtol=1e-10, atol=1e-10)
