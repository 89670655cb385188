import math

import numpy as np
import pytest
from numba import njit
from scipy import stats

from bayes_clv.distributions import streams
from bayes_clv.distributions.streams import cubes, customer_keys, standard_gamma, standard_normal, unit
from bayes_clv.schema import InputError

# Kolmogorov's 99.99 % point: P(sqrt(n) D > 2.23) = 2 exp(-2 · 2.23²) = 1e-4.
KOLMOGOROV = 2.23
SIZE = 200_000


@njit
def _normals(size, state, increment):
    values = np.empty(size)
    for i in range(size):
        values[i], state = standard_normal(state, increment)
    return values


@njit
def _gammas(size, shape, state, increment):
    values = np.empty(size)
    for i in range(size):
        values[i], state = standard_gamma(shape, state, increment)
    return values


def test_keys_depend_on_seed_id_and_purpose_only():
    keys = customer_keys(["a", "b"], 1)
    np.testing.assert_array_equal(customer_keys(["b", "a"], 1)[::-1], keys)
    for other in (customer_keys(["a", "b"], 2), customer_keys(["a", "b"], 1, purpose="replicate")):
        assert not np.isin(other, keys).any()
    assert (keys[:, 1] % 2 == 1).all()


@pytest.mark.parametrize("seed", [-1, 1.5, None, 2**64, True])
def test_a_seed_that_is_no_seed_is_refused(seed):
    with pytest.raises(InputError, match="seed must be an integer"):
        customer_keys(["a"], seed)


def test_the_ends_of_the_unit_interval_are_never_reached():
    assert 0 < unit(np.uint64(0)) < unit(np.uint64(2**64 - 1)) < 1


def test_the_ziggurat_closes_at_the_top():
    x, height = streams._ziggurat()
    # 256 layers of equal area fill the density: the last one, up to height 1, has the area of the others.
    assert x[255] * (1 - height[255]) == pytest.approx(x[0] * height[1], rel=1e-9)


def test_normals_follow_their_law_and_their_tail():
    key = customer_keys(["normal"], 3)[0]
    values = _normals(SIZE, *key)
    assert stats.kstest(values, "norm").statistic < KOLMOGOROV / math.sqrt(SIZE)
    beyond = np.abs(values) > streams.EDGES[1]
    expected = SIZE * math.erfc(streams.EDGES[1] / math.sqrt(2))
    assert abs(beyond.sum() - expected) < 4 * math.sqrt(expected)
    assert abs((values > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(SIZE)


@pytest.mark.parametrize("shape", [0.05, 0.7, 1.0, 6.25, 400.0])
def test_gammas_follow_their_law(shape):
    key = customer_keys([f"gamma {shape}"], 3)[0]
    values = _gammas(SIZE, shape, *key)
    assert stats.kstest(values, "gamma", args=(shape,)).statistic < KOLMOGOROV / math.sqrt(SIZE)


@pytest.mark.parametrize("shape", [1.0, 1.7, 6.25, 400.0])
def test_many_gammas_at_once_are_those_one_by_one(shape):
    increment = customer_keys(["many"], 3)[0, 1]
    states = customer_keys(range(20_000), 3)[:, 0].copy()
    began, v = states.copy(), np.empty(states.size)
    d = np.full(states.size, shape - 1.0 / 3.0)
    cubes(d, 1.0 / np.sqrt(9.0 * d), states, increment, v)
    alone = [standard_gamma(shape, state, increment) for state in began]
    np.testing.assert_array_equal(d * v, [each for each, _ in alone])
    np.testing.assert_array_equal(states, np.array([state for _, state in alone], dtype=np.uint64))
