"""Ranks are taken in each draw among all customers, ties share their place, a sample errs as stated."""

import numpy as np
import pytest
from scipy.stats import rankdata

import bayes_clv as clv
from bayes_clv.segments import ranking


@pytest.fixture(scope="module")
def draws(make_buying, make_spending, make_customers):
    # Three blocks; sorted, so that the first customers are no random sample.
    customers = make_customers(700).sortby("frequency")
    return clv.simulate(
        make_buying(draws=60), customers, spending=make_spending(draws=60), margin=0.3, draws=120, seed=1
    )


def gathered(draws, name):
    found = np.empty((draws.customers.sizes["customer"], draws.size))
    for places, block in draws.blocks([name]):
        found[places] = block[name]
    return found


@pytest.mark.parametrize("quantity", ["value", "purchases", "purchase_rate", "frequency"])
def test_ranks_are_those_of_every_draw(draws, quantity):
    found = clv.segments.rank(draws, quantity)
    amounts = gathered(draws, quantity)
    ranks = rankdata(-amounts, method="average", axis=0)
    np.testing.assert_allclose(found["rank_mean"], ranks.mean(axis=1))
    for name, level in (("rank_q05", 0.05), ("rank_q50", 0.5), ("rank_q95", 0.95)):
        np.testing.assert_array_equal(
            found[name], np.quantile(ranks, level, axis=1, method="inverted_cdf"), err_msg=name
        )
    np.testing.assert_allclose(found[f"{quantity}_mean"], amounts.mean(axis=1))
    assert found.attrs["ranked_among"] == found.attrs["customers"] == 700
    # Places of all customers are 1 to n, whatever the ties.
    assert float(found["rank_mean"].mean()) == pytest.approx(701 / 2)


def test_the_level_says_how_sure_a_place_is(draws):
    """What is known has one rank; what will be bought has a wide one; a customer's own rate lies between."""
    width = {
        name: float((found["rank_q95"] - found["rank_q05"]).mean())
        for name in ("frequency", "purchase_rate", "value")
        for found in [clv.segments.rank(draws, name)]
    }
    assert width["frequency"] == 0
    assert width["purchase_rate"] > 100
    assert width["value"] > 100


def test_threads_and_order_change_nothing(draws):
    one, two = (clv.segments.rank(draws, "value", threads=threads) for threads in (1, 2))
    assert one.identical(two)


def test_above_the_limit_a_sample_gives_the_places(draws, monkeypatch):
    """Of 700 customers 200, those of the lowest keys, give each draw's distribution.

    A share of a sample of m out of n has a standard error of at most 0.5 / sqrt(m) * sqrt(1 - m / n) of the base: 20.9
    places. The sample is the same in each draw, so that the mean over draws errs as much; five standard errors.
    """
    whole = clv.segments.rank(draws, "purchase_rate")
    monkeypatch.setattr(ranking, "CUT_CUSTOMERS", 200)
    part = clv.segments.rank(draws, "purchase_rate")
    assert part.attrs["ranked_among"] == 200
    error = 700 * 0.5 / np.sqrt(200) * np.sqrt(1 - 200 / 700)
    for name in ("rank_mean", "rank_q05", "rank_q50", "rank_q95"):
        off = np.abs(part[name] - whole[name]).to_numpy()
        assert off.max() < 5 * error
        assert off.max() > 0
        assert part[name].min() >= 1
        assert part[name].max() <= 700


def test_points_are_quantiles_of_the_draws(draws):
    found = ranking.quantity_points(draws, "value", "frequency")
    value = gathered(draws, "value")
    np.testing.assert_allclose(found["value_mean"], value.mean(axis=1))
    for name, level in zip(ranking.STATISTICS[1:], (0.05, 0.25, 0.5, 0.75, 0.95), strict=True):
        np.testing.assert_array_equal(
            found[f"value_{name}"], np.quantile(value, level, axis=1, method="inverted_cdf")
        )
        np.testing.assert_array_equal(found[f"frequency_{name}"], draws.customers["frequency"])


def test_what_cannot_be_ranked_is_refused(draws):
    with pytest.raises(clv.InputError, match="'profit' is not known here. There are .*value"):
        clv.segments.rank(draws, "profit")
    with pytest.raises(clv.InputError, match=r"'monetary_value' is missing \(NaN\), for customer"):
        clv.segments.rank(draws, "monetary_value")
