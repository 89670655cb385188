"""The prologue of every forecast: what is read, in which unit, of which draws, and who stands beside whom."""

from itertools import pairwise

import numpy as np
import pytest

from bayes_clv.predictions.inputs import prepare
from bayes_clv.schema import InputError


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(400)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying()


@pytest.fixture(scope="module")
def spending(make_spending):
    return make_spending(draws=100)


def test_columns_horizon_and_draws(buying, spending, customers):
    known = prepare(buying, customers, "52 weeks", spending=spending, draws=50)
    assert known.time_unit == "week"
    assert known.horizon == 52.0
    assert set(known.past) == {"frequency", "recency", "T"}
    assert set(known.paid) == {"occasions", "mean_spend"}
    assert known.posterior.size == 50
    assert known.spending.values["p"].size == known.posterior.size
    assert known.keys is None
    np.testing.assert_array_equal(
        known.histories.spread(known.histories.columns["recency"], of_rows=True), customers["recency"].values
    )


def test_equal_frequency_and_age_are_neighbours(buying, customers):
    columns = prepare(buying, customers).histories.columns
    pairs = list(zip(columns["frequency"], columns["T"], strict=True))
    changes = 1 + sum(one != other for one, other in pairwise(pairs))
    assert changes == len(set(pairs)) < len(pairs)


def test_a_seed_brings_keys_and_all_draws(buying, customers):
    known = prepare(buying, customers, seed=3)
    assert known.keys.shape == (customers.sizes["customer"], 2)
    assert known.posterior.size == buying["posterior"]["r"].size
    other = prepare(buying, customers, seed=3, purpose="replicate")
    assert not np.array_equal(known.keys, other.keys)
    assert np.isinf(known.horizon)


def test_draws_below_one_are_refused(buying, customers):
    with pytest.raises(InputError, match="draws=0"):
        prepare(buying, customers, draws=0, seed=1)
