"""Agreement: the reduced likelihood is the sum over customers, exactly."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bayes_clv.families.registry import family
from bayes_clv.inference.data import distinct_rows
from bayes_clv.inference.graph import reduced_log_likelihood
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")


def test_distinct_rows_keep_every_customer():
    rng = np.random.default_rng(1)
    columns = {"frequency": rng.integers(0, 4, 500).astype(float), "T": rng.integers(1, 6, 500).astype(float)}
    rows, count = distinct_rows(columns)
    expected, expected_count = np.unique(np.stack(list(columns.values())), axis=1, return_counts=True)
    assert_array_equal(np.stack(list(rows.values())), expected)
    assert_array_equal(count, expected_count)


def test_counts_add_up_when_reduced_again():
    rows, count = distinct_rows(
        {"x": np.array([1.0, 1.0, 2.0]), "y": np.array([1.0, 2.0, 1.0])}, np.array([3, 4, 5])
    )
    again, total = distinct_rows({"x": rows["x"]}, count)
    assert_array_equal(again["x"], [1.0, 2.0])
    assert_array_equal(total, [7, 5])


def customers_of(name, rng, size=400):
    if family(name).kind == "purchases":
        age = rng.integers(20, 40, size) / 7
        frequency, recency = bg_nbd.simulate(rng, age, 0.5, 2.0, 0.8, 2.5)
        recency = np.where(frequency > 0, np.maximum(np.round(recency * 7), 1) / 7, 0.0)
        return {"frequency": frequency.astype(float), "recency": recency, "T": age}
    frequency = rng.integers(1, 6, size).astype(float)
    return {
        "frequency": frequency,
        "monetary_value": np.round(gamma_gamma.simulate(rng, frequency, 6.0, 3.7, 15.0)),
    }


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bg_nbd", {"r": 0.4, "alpha": 3.0, "a": 0.9, "b": 1.7}),
        ("mbg_nbd", {"r": 0.4, "alpha": 3.0, "a": 0.9, "b": 1.7}),
        ("nbd", {"r": 0.4, "alpha": 3.0}),
        ("gamma_gamma", {"p": 5.0, "q": 3.0, "v": 12.0}),
    ],
)
def test_reduced_likelihood_is_the_sum_over_customers(name, parameters):
    """Sums of a few thousand terms in another order differ by rounding only: 1e-12 relative."""
    columns = customers_of(name, np.random.default_rng(2))
    rows, count = distinct_rows(columns)
    assert count.size < count.sum(), "the test needs customers who share a row"
    module = family(name)
    reduced = reduced_log_likelihood(module, parameters, rows, count).eval(mode=AS_WRITTEN)
    whole = module.log_likelihood(parameters, columns).eval(mode=AS_WRITTEN).sum()
    assert_allclose(reduced, whole, rtol=1e-12)
