"""What a drifting rate was some time ago: draws against paths weighted by what was seen, and against two filters."""

import math

import numpy as np
import pytest
from scipy import special

from bayes_clv.distributions.poisson import drifting_past, drifting_states

SIGMAS = 4.5
OWN = np.array([1.0, 2.5, 9.0, 16.5, 17.0])
T, THEN = 20.0, 8.0
POINTS = [(0.3, 2.0, 0.05), (2.0, 5.0, 0.4), (1.5, 6.0, 1e-3), (0.7, 0.5, 3.0)]


def seen(point, draws, own=OWN, age=T):
    """Return histories as the compiled functions read them, and the parameters (row, draw)."""
    history = np.array([age]), np.zeros(1), np.array([float(own.size)]), own
    return history, [np.full((1, draws), each) for each in point]


def now(point, draws, seed, own=OWN, age=T):
    """Return draws of the rate at the end of observation."""
    history, values = seen(point, draws, own, age)
    rng = np.random.default_rng(seed)
    ages, start, size, times = history
    rates = drifting_states.Drifting(
        *drifting_states.states(ages[:, None], start, size, times[:, None], *values)
    )
    shapes = drifting_states.drawn_shapes(rates, np.ones((1, draws), dtype=bool), rng.random((1, draws)))
    return rng.gamma(point[0] + shapes, 1 / rates.scale[:, :, 1])


def ago(point, rate, back, left=math.inf, own=OWN, age=T, key=11):
    history, values = seen(point, rate.shape[1], own, age)
    keys = np.array([[key, 2 * key + 1]], dtype=np.uint64)
    left = np.full(rate.shape, left)
    return drifting_past.rates_ago(*history, *values, np.array([back]), rate, left, keys)[0]


def smoothed(point, own=OWN, age=T, then=THEN):
    """Return mean and second moment of the rate at a time, by a filter from either end: the process is reversible."""
    r, alpha, _ = point

    def one_way(times, end):
        values = [np.full((1, 1), each) for each in point]
        rates = drifting_states.states(
            np.array([[end]]), np.zeros(1), np.array([float(times.size)]), times[:, None], *values
        )
        found = drifting_states.Drifting(*rates)
        at, count = found.place[0, 0, 1], found.count[0, 0, 1]
        shapes = r + found.least[0, 0, 1] + np.arange(count)
        return found.mixture[at : at + count], shapes, found.scale[0, 0, 1]

    before, after = own[own <= then], age - own[own > then][::-1]
    (p, k, a), (q, l, b) = one_way(before, then), one_way(after, age - then)  # noqa: E741
    both = k[:, None] + l[None, :] - r
    rate = a + b - alpha
    log_weight = np.log(p)[:, None] + np.log(q)[None, :] + (k * np.log(a) - special.gammaln(k))[:, None]
    log_weight = log_weight + (l * np.log(b) - special.gammaln(l))[None, :]
    log_weight += special.gammaln(both) - both * np.log(rate)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    return (weight * both).sum() / rate, (weight * both * (both + 1)).sum() / rate**2


@pytest.mark.parametrize("point", POINTS)
def test_it_has_the_law_of_two_filters(point):
    draws = 40_000
    found = ago(point, now(point, draws, 3), T - THEN)
    for power, expected in enumerate(smoothed(point), start=1):
        moment = found**power
        assert abs(moment.mean() - expected) < SIGMAS * moment.std() / math.sqrt(draws)


@pytest.mark.parametrize("point", POINTS[:2])
def test_together_with_the_rate_now_it_is_that_of_weighted_paths(point):
    """P(rate now > 1.2 x rate then) and their product, of paths in exact steps, each weighted by the purchases."""
    r, alpha, kappa = point
    paths, step = 100_000, 0.25
    rng = np.random.default_rng(5)
    rate = rng.gamma(r, 1 / alpha, paths)
    c = alpha / -math.expm1(-kappa * step)
    log_weight, then = np.zeros(paths), None
    for k in range(round(T / step)):
        if k * step == THEN:
            then = rate
        new = rng.gamma(r + rng.poisson(rate * math.exp(-kappa * step) * c)) / c
        log_weight -= step * (rate + new) / 2
        rate = new
        if ((k + 1) * step == OWN).any():
            log_weight += np.log(rate)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    size = 1 / (weight**2).sum()
    assert size > 1000
    draws = 20_000
    drawn = now(point, draws, 7)
    before = ago(point, drawn, T - THEN)
    grown, product = (drawn[0] > 1.2 * before), drawn[0] * before
    for found, by_path in ((grown, rate > 1.2 * then), (product, rate * then)):
        expected = weight @ by_path
        variance = weight @ (by_path - expected) ** 2
        # The trapezoid of a path's integral is off by far less than the weighted paths' own chance.
        error = math.sqrt(variance / size + found.var() / draws)
        assert abs(found.mean() - expected) < SIGMAS * error


def test_without_drift_it_is_the_rate_now():
    rate = now((0.5, 6.0, 1e-14), 1000, 1)
    np.testing.assert_allclose(ago((0.5, 6.0, 1e-14), rate, 12.0)[:], rate[0], rtol=1e-5)


def test_one_who_is_younger_is_told_from_the_first_purchase_and_one_who_left_before_as_it_left():
    point = POINTS[0]
    rate = now(point, 500, 2)
    np.testing.assert_array_equal(ago(point, rate, 52.0), ago(point, rate, T))
    np.testing.assert_array_equal(ago(point, rate, 2.0, left=-2.0), rate[0])
    assert (ago(point, rate, 4.0, left=-2.0) != rate[0]).all()


@pytest.mark.parametrize("kappa", [1e-9, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("size", [0, 1, 400])
def test_extremes_stay_finite(kappa, size):
    rng = np.random.default_rng(size)
    own = np.sort(rng.uniform(0, 100, size))
    for r, scale in ((0.01, 1e-3), (3.0, 1.0), (50.0, 1e3)):
        point = (r, r / scale, kappa)
        rate = now(point, 50, 1, own, 100.0)
        found = ago(point, rate, 52.0, own=own, age=100.0)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
