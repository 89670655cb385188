"""The elementary functions beside NumPy's, and Gamma and Beta variates beside their laws."""

import numpy as np
import pytest
from numba import njit
from scipy import stats

from bayes_clv.distributions.elementary import plain_exp, plain_expm1, plain_log, plain_log1p
from bayes_clv.distributions.paths import variates
from bayes_clv.distributions.streams import standard_normal


@njit
def _each(x, out):
    for i in range(x.size):
        out[0, i] = plain_log(x[i])
        out[1, i] = plain_exp(-x[i])
        out[2, i] = plain_log1p(-x[i] / (1 + x[i]))
        out[3, i] = plain_expm1(-x[i])
        out[4, i] = plain_log1p(x[i])
        out[5, i] = plain_expm1(min(x[i], 700.0))


def test_logarithms_and_exponentials_are_numpys_to_some_last_digits():
    rng = np.random.default_rng(1)
    x = np.concatenate([10.0 ** rng.uniform(-18, 2.8, 100_000), [2.0**-53, 0.5, 1.0, 2.0, 0.01, 0.0099999]])
    out = np.empty((6, x.size))
    _each(x, out)
    eps = np.finfo(float).eps
    exact = (
        np.log(x),
        np.exp(-x),
        np.log1p(-x / (1 + x)),
        np.expm1(-x),
        np.log1p(x),
        np.expm1(np.minimum(x, 700.0)),
    )
    # Two digits are allowed to expm1, beyond where its series ends.
    for found, wanted, allowed in zip(out, exact, (2, 2, 4, 300, 4, 300), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=allowed * eps, atol=1e-300)


@pytest.mark.parametrize("shape", [0.05, 0.4, 1.0, 1.7, 30.0, 4000.0])
def test_gammas_follow_their_law(shape):
    size = 40_000
    rng = np.random.default_rng(2)
    states = rng.integers(0, 2**63, size).astype(np.uint64)
    steps = rng.integers(0, 2**63, size).astype(np.uint64) | np.uint64(1)
    out = np.empty(size)
    variates.gammas(np.full(size, shape), states, steps, np.empty((2, size)), out)
    # A chance of 1e-6 of a false alarm.
    assert stats.kstest(out, "gamma", args=(shape,)).pvalue > 1e-6


def test_gammas_of_many_shapes_are_those_of_each_alone():
    size = 500
    rng = np.random.default_rng(3)
    shape = rng.gamma(1.0, 2.0, size)
    states = rng.integers(0, 2**63, size).astype(np.uint64)
    steps = rng.integers(0, 2**63, size).astype(np.uint64) | np.uint64(1)
    out, alone = np.empty(size), np.empty(1)
    variates.gammas(shape, states, steps, np.empty((2, size)), out)
    for m in range(size):
        at = slice(m, m + 1)
        variates.gammas(shape[at], states[at], steps[at], np.empty((2, 1)), alone)
        assert alone[0] == out[m]


def test_normals_are_those_of_their_streams():
    rng = np.random.default_rng(4)
    states = rng.integers(0, 2**63, 20_000).astype(np.uint64)
    steps = rng.integers(0, 2**63, 20_000).astype(np.uint64) | np.uint64(1)
    out = np.empty(states.size)
    variates.normals(states, steps, out)
    alone = [standard_normal(state, step)[0] for state, step in zip(states, steps, strict=True)]
    np.testing.assert_array_equal(out, alone)
