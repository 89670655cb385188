"""Bids: closed forms, auctions simulated one by one, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.valuation import best_bid

CURVE = {10.0: 20, 20.0: 60, 40.0: 100}


def draws(values):
    return xr.DataArray(np.asarray(values, dtype=float), dims="draw")


@pytest.fixture(scope="module")
def worth():
    return draws(np.random.default_rng(1).gamma(9, 2.0, 2000))


def test_without_common_value_the_best_bid_is_that_of_the_mean(worth):
    found = best_bid(worth, {60.0: 100})
    # The next bid is paid: the mean itself (Vickrey 1961); one's own: half of it, for a straight curve, to half a step.
    assert float(found["best_bid"]) == pytest.approx(float(worth.mean()))
    assert float(found["gain_over_mean_bid"]) == 0
    assert float(found["winners_curse"]) == pytest.approx(0, abs=1e-9)
    own = best_bid(worth, {60.0: 100}, pays="bid")
    assert float(own["best_bid"]) == pytest.approx(float(worth.mean()) / 2, abs=60 / 400 / 2)


@pytest.mark.parametrize("pays", ["next", "bid"])
def test_profit_is_that_of_auctions_one_by_one(worth, pays):
    """100,000 auctions of 100 a period; the highest rival's bid has the stated curve, scaled by what it knows."""
    rng = np.random.default_rng(2)
    found = best_bid(worth, CURVE, pays=pays, common=0.6)
    mean, size = float(worth.mean()), 100_000
    value = rng.choice(worth.values, size)
    rival = np.interp(rng.random(size) * 100, [0, 20, 60, 100], [0, 10, 20, 40])
    rival = rival * (value / mean) ** 0.6
    bid = float(found["bid"][150])
    won = rival < bid
    profit = 100 * np.where(won, value - (rival if pays == "next" else bid), 0.0)
    # The simulated mean, and that of the draws from which values were taken anew.
    error = 4 * profit.std() / np.sqrt(size)
    assert float(found["profit_mean"][150]) == pytest.approx(profit.mean(), abs=error)
    when = value[won]
    expected = float(found["value_when_won"][150])
    assert expected == pytest.approx(when.mean(), abs=4 * when.std() / np.sqrt(won.sum()))


def test_the_curse_grows_with_what_others_know(worth):
    each = [best_bid(worth, {60.0: 100}, common=common) for common in (0.0, 0.5, 1.0)]
    bids = [float(found["best_bid"]) for found in each]
    assert bids[0] > bids[1] > bids[2]
    curse = [float(found["winners_curse"]) for found in each]
    assert curse[0] < curse[1] < curse[2]
    assert float(each[2]["careless_bid"]) == bids[0]
    assert all(float(found["gain_over_mean_bid"]) >= 0 for found in each)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"volume": {2.0: 10, 5.0: 6}}, "volume falls: a bid of 2 wins 10 and one of 5 wins 6"),
        ({"volume": {-2.0: 10}}, "bids above 0 and numbers of customers from 0"),
        ({"volume": {2.0: -1}}, "bids above 0 and numbers of customers from 0"),
        ({"volume": {}}, "volume must say how many customers each bid wins"),
        ({"volume": {"a": 1}}, "volume has what is no number"),
        ({"common": 1.5}, "common=1.5 must lie from 0"),
        ({"pays": "all"}, "pays='all' is not known"),
        ({"value": draws([1.0, np.inf])}, "1 of 2 draws that are not positive and finite, such as inf"),
        ({"value": 3.0}, "value must be draws of one channel.*got float"),
    ],
)
def test_what_cannot_be_bid_is_refused(worth, given, message):
    asked = {"value": worth, "volume": CURVE} | given
    with pytest.raises(clv.InputError, match=message):
        best_bid(asked.pop("value"), asked.pop("volume"), **asked)
