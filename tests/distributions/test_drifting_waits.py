"""Waits of a drifting rate in many draws: against the formulas of one, and against the probability asked for."""

import math

import numpy as np
import pytest

from bayes_clv.distributions.paths.drift_on import new_some, next_wait
from bayes_clv.distributions.poisson import drifting_waits as waits
from bayes_clv.distributions.poisson.drifting import pace
from bayes_clv.distributions.poisson.drifting_forecasts import silent_of

DRAWS = 300


@pytest.fixture(scope="module")
def known():
    """Numbers of 300 draws, of a rate that hardly drifts to one that forgets at once, and mixtures of 6 parts each."""
    rng = np.random.default_rng(1)
    of = np.empty((waits.NUMBERS, DRAWS))
    of[waits.R], of[waits.ALPHA] = rng.gamma(4, 0.2, DRAWS), rng.gamma(9, 0.7, DRAWS)
    of[waits.KAPPA] = np.exp(rng.uniform(-16, 3, DRAWS))
    of[waits.THETA], of[waits.LEAST] = rng.uniform(0, 60, DRAWS), rng.integers(0, 5, DRAWS)
    waits.put_pace(of, DRAWS)
    return of, rng.dirichlet(np.ones(6), DRAWS).T.copy()


def of_one(of, mixture, s, t):
    r, alpha, kappa, *_, theta, least = of[:, s]
    return silent_of(mixture[:, s].copy(), int(least), theta, t, r, alpha, kappa)


def test_silences_are_those_of_one(known):
    of, mixture = known
    t = np.random.default_rng(2).gamma(1.0, 40.0, DRAWS)
    value, rate = np.empty((2, DRAWS))
    waits.silences(t, of, mixture, np.empty((waits.ROOM, DRAWS)), value, rate)
    alone = np.array([of_one(of, mixture, s, t[s]) for s in range(DRAWS)])
    np.testing.assert_allclose(value, alone[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rate, alone[:, 1], rtol=1e-9)


def test_first_waits_end_with_the_probability_asked_for(known):
    of, mixture = known
    rng = np.random.default_rng(3)
    log_left, room = np.log(rng.uniform(0.2, 1.0, DRAWS)), np.empty((waits.ROOM, DRAWS))
    scale = of[waits.ALPHA] + of[waits.THETA]
    parts = of[waits.LEAST] + np.arange(6) @ mixture
    wait, close = np.empty((2, DRAWS))
    waits.first_waits(log_left, (of[waits.R] + parts) / scale, of, mixture, room, wait, close)
    found = np.flatnonzero(close)
    # What was not found is searched one by one, and should be little.
    assert found.size > 0.9 * DRAWS
    value = np.array([of_one(of, mixture, s, wait[s])[0] for s in found])
    # A relative error of some 1e-6 of the wait is one of the logarithm, times a factor of a few.
    np.testing.assert_allclose(value, log_left[found], rtol=1e-5)
    few = np.arange(0, DRAWS, 7)
    alone, room = np.empty((2, few.size)), np.empty((waits.ROOM, few.size))
    mean = ((of[waits.R] + parts) / scale)[few]
    waits.first_waits(log_left[few], mean, of[:, few].copy(), mixture[:, few].copy(), room, *alone)
    # Nobody waits for another: with fewer beside it a wait is the same but for what vectors round at their ends.
    np.testing.assert_allclose(alone[0], wait[few], rtol=1e-13)


def test_next_waits_are_those_of_one(known):
    of, _ = known
    rng, some = np.random.default_rng(4), new_some(DRAWS)
    rate, log_left = rng.gamma(1.0, 0.1, DRAWS), np.log(rng.uniform(size=DRAWS))
    wait, close = np.empty((2, DRAWS))
    waits.next_waits(log_left, rate, of, some.room, wait, close)
    found = np.flatnonzero(close)
    assert found.size > 0.9 * DRAWS
    for s in found:
        r, alpha, kappa = of[:3, s]
        alone = next_wait(rate[s], r, kappa, pace(alpha, kappa), log_left[s])
        # Both within some 1e-6: the square of the last step.
        assert wait[s] == pytest.approx(alone, rel=5e-6)
        change = -math.expm1(-of[waits.GAMMA, s] * wait[s])
        law = rate[s], r, kappa, of[waits.GAMMA, s], of[waits.DELTA, s]
        assert waits.log_silence_at(change, wait[s], *law) == pytest.approx(log_left[s], rel=1e-5)
