"""Counts that follow each other come from their neighbours, and are what each is alone."""

import numpy as np
import pytest

from bayes_clv.distributions.arrays import on_distinct_rows
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.families.purchases import beta_geometric

K = np.array([[0.3], [4.0], [90.0], [1_000.0]]) * np.array([0.9, 1.0, 1.1])
TAU = np.array([[40.0], [3.0], [0.7], [0.5]])


@pytest.mark.parametrize(("first", "number"), [(1, 3), (4, 4), (30, 12), (200, 60), (400, 40)])
def test_counts_in_turn_are_those_alone(first, number):
    counts = np.arange(first, first + number, dtype=float)
    exactly, more = gamma_poisson.counts_in_turn(counts, K, TAU)
    assert exactly.shape == more.shape == (number, 4, 3)
    for found, alone in (
        (exactly, gamma_poisson.count_pmf(counts[:, None, None], K, TAU)),
        (more, gamma_poisson.count_at_least(counts[:, None, None] + 1, K, TAU)),
    ):
        # Both are within 2e-12 of mpmath's; alone each is an exponential of logarithms of up to 1e4.
        np.testing.assert_allclose(found, alone, rtol=1e-11)
    assert (exactly.sum(axis=0) + more[-1] <= 1 + 1e-12).all()


def test_a_first_count_that_underflows_takes_no_other_with_it():
    # P(N = 1) is below the least number, and the mean is 40,000.
    counts = np.arange(1.0, 60_000.0, 1.0)
    exactly, _ = gamma_poisson.counts_in_turn(counts, np.full((1, 1), 1_000.0), np.full((1, 1), 40.0))
    assert exactly[0] == 0
    assert exactly.sum() == pytest.approx(1.0, abs=1e-9)


def test_counts_that_do_not_follow_each_other_are_taken_one_by_one():
    counts = np.array([5.0, 2.0, 9.0])
    exactly, more = gamma_poisson.counts_in_turn(counts, K, TAU)
    np.testing.assert_array_equal(exactly, gamma_poisson.count_pmf(counts[:, None, None], K, TAU))
    np.testing.assert_array_equal(more, gamma_poisson.count_at_least(counts[:, None, None] + 1, K, TAU))


def test_distinct_rows_keep_the_axes_that_a_function_puts_first():
    rows = []

    def tens(x, y):
        rows.append(x.shape[0])
        return np.array([10.0, 20.0])[:, None, None] * (x + y)

    found = on_distinct_rows(tens, np.array([[1.0], [1.0], [2.0]]), np.array([0.0, 5.0]))
    assert rows == [2]
    assert found.tolist() == [[[10.0, 60.0]] * 2 + [[20.0, 70.0]], [[20.0, 120.0]] * 2 + [[40.0, 140.0]]]


COIN = {
    "r": np.array([0.24, 0.3]),
    "alpha": np.array([4.4, 4.0]),
    "a": np.array([0.8, 0.7]),
    "b": np.array([2.4, 3.0]),
}


@pytest.mark.parametrize(("first", "begin", "number"), [(0, 0, 4), (1, 4, 28), (1, 0, 1)])
def test_counts_with_a_coin_are_those_alone(first, begin, number):
    # Two customers who are alike but for recency; long horizons of one seen for a moment, whose sums would be long; and
    # 2,000 purchases, a shape above LARGE.
    past = {"frequency": [0, 3, 3, 0, 2_000], "recency": [0, 5, 20, 0, 38], "T": [39, 30, 30, 0.01, 39]}
    columns = {name: np.array(column, dtype=float)[:, None] for name, column in past.items()}
    counts = np.arange(begin, begin + number)
    found = beta_geometric.pmf(first, counts, 600.0, columns, COIN)
    assert found.shape == (number, 5, 2)
    for n, each in zip(counts, found, strict=True):
        alone = beta_geometric.pmf(first, n, 600.0, columns, COIN)
        # Both are products of numbers that are right to some last digits.
        np.testing.assert_allclose(each, alone, rtol=1e-11)
