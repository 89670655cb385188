"""Contributions: exact in every draw, right by hand, and the same whichever way one looks."""

import math

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.valuation.contribution import log_mean_shares

MONEY = {"horizon": "26 weeks", "margin": 0.3, "annual_discount_rate": 0.1}
HISTORY = clv.rule("History", {"once": "frequency == 0", "again": "frequency > 0"})


@pytest.fixture(scope="module")
def customers(make_customers):
    few = make_customers(300)
    table = pd.DataFrame(
        {"region": np.where(np.arange(300) < 290, "here", "there"), "odd": np.arange(300) % 2},
        index=few["customer"].values,
    )
    return clv.with_columns(few, table)


@pytest.fixture(scope="module")
def make_draws(customers, make_buying, make_spending):
    def make(**changes):
        options = {"spending": make_spending(draws=100), "draws": 200, "seed": 3, **MONEY, **changes}
        return clv.simulate(
            options.pop("buying", make_buying(draws=100)), options.pop("customers", customers), **options
        )

    return make


@pytest.fixture(scope="module")
def draws(make_draws):
    return make_draws()


def gathered(draws, *names):
    found = {name: np.empty((draws.customers.sizes["customer"], draws.size)) for name in names}
    for places, block in draws.blocks(names):
        for name in names:
            found[name][places] = block[name]
    return found.values()


def test_by_hand():
    # 10 weeks × 0.5 a week × 20 a purchase = 100, against 5 × 0.4 × 10 = 20.
    split = log_mean_shares(np.array([100.0]), np.array([20.0]), np.array([[2.0, 1.25, 2.0]]))[0]
    mean = 80 / math.log(5)
    np.testing.assert_allclose(split, [mean * math.log(2), mean * math.log(1.25), mean * math.log(2)])
    assert split.sum() == pytest.approx(80, rel=1e-12)
    # Shapley's shares of the same, averaged over the six orders: near, and not the same.
    shapley = [34.1667, 11.6667, 34.1667]
    np.testing.assert_allclose(split, shapley, rtol=0.06)
    # Exchanged, all signs change.
    back = log_mean_shares(np.array([20.0]), np.array([100.0]), 1 / np.array([[2.0, 1.25, 2.0]]))[0]
    np.testing.assert_allclose(back, -split)
    # Equal values: what one factor adds another takes.
    even = log_mean_shares(np.array([7.0]), np.array([7.0]), np.array([[2.0, 0.5, 1.0]]))[0]
    np.testing.assert_allclose(even, [7 * math.log(2), -7 * math.log(2), 0])


def test_nothing_bought_is_the_vanishing_factor_s_doing():
    infinite = math.inf
    cases = [
        (5.0, 0.0, [2.0, infinite, 1.0], [0, 5, 0]),
        (0.0, 5.0, [0.0, 1.0, 1.0], [-5, 0, 0]),
        (0.0, 5.0, [0.5, 0.0, 1.0], [0, -5, 0]),
        (0.0, 0.0, [2.0, 1.0, 1.0], [0, 0, 0]),
    ]
    for value, base, ratio, expected in cases:
        split = log_mean_shares(np.array([value]), np.array([base]), np.array([ratio]))
        np.testing.assert_array_equal(split[0], expected)
    # It is the limit: with a frequency of 1e-300 in place of 0, 99 % goes to frequency.
    near = log_mean_shares(np.array([5.0]), np.array([2.5e-300]), np.array([[2.0, 1e300, 1.0]]))[0]
    assert near[1] > 0.99 * 5


def test_contributions_add_up_in_every_draw_and_are_those_of_the_sums(draws, customers):
    found = clv.valuation.contributions(draws, by=HISTORY)
    assert found["factor"].values.tolist() == ["cycle", "frequency", "amount", "discounting"]
    np.testing.assert_allclose(found["contribution"].sum("factor"), found["difference"], rtol=1e-9, atol=1e-9)
    time, bought, spend, value = gathered(draws, "active_time", "purchases", "spend", "value")
    again = (customers["frequency"] > 0).values
    ours = np.array([time[again].mean(0), bought[again].sum(0) / time[again].sum(0)])
    base = np.array([time.mean(0), bought.sum(0) / time.sum(0)])
    np.testing.assert_allclose(
        found["ratio"].sel(segment="again", factor=["cycle", "frequency"]), (ours / base).T
    )
    difference = value[again].mean(0) - value.mean(0)
    np.testing.assert_allclose(found["difference"].sel(segment="again"), difference)
    mean = difference / np.log(value[again].mean(0) / value.mean(0))
    amount = np.log(spend[again].sum(0) / bought[again].sum(0)) - np.log(spend.sum(0) / bought.sum(0))
    np.testing.assert_allclose(found["contribution"].sel(segment="again", factor="amount"), mean * amount)
    assert float(found["level"].sel(segment="again", factor="cycle")) == pytest.approx(
        np.quantile(ours[0], 0.5, method="inverted_cdf")
    )
    for name in ("contribution", "difference", "value", "baseline_value"):
        low, high = np.quantile(found[name], (0.05, 0.95), axis=0, method="inverted_cdf")
        np.testing.assert_allclose(found[f"{name}_q05"], low)
        np.testing.assert_allclose(found[f"{name}_q95"], high)
        np.testing.assert_allclose(found[f"{name}_mean"], found[name].mean("draw"))
    # Without discounting there is no such factor, and the others still add up.
    assert found["unit"].values.tolist() == ["week", "1/week", "money", "share"]


def test_known_changes_are_found_where_they_were_made(make_draws, make_buying, make_spending):
    """Twice the spend is all amount; another margin is all margin; the same is nothing."""
    before = make_draws(annual_discount_rate=0.0)
    spent_twice = before.customers.assign(monetary_value=before.customers["monetary_value"] * 2)
    dear = make_draws(
        spending=make_spending(draws=100, v=2 * 15.44),
        customers=spent_twice,
        margin=0.6,
        annual_discount_rate=0.0,
    )
    found = clv.valuation.contributions(dear, baseline=before)
    assert found["factor"].values.tolist() == ["cycle", "frequency", "amount", "margin"]
    np.testing.assert_allclose(found["value"], 4 * found["baseline_value"])
    np.testing.assert_allclose(found["ratio"].sel(factor=["amount", "margin"]), 2)
    share = found["contribution"] / found["difference"]
    np.testing.assert_allclose(share.sel(factor=["amount", "margin"]), 0.5)
    np.testing.assert_allclose(share.sel(factor=["cycle", "frequency"]), 0, atol=1e-12)
    same = clv.valuation.contributions(before, baseline=before, by=HISTORY)
    np.testing.assert_allclose(same["contribution"], 0, atol=1e-12)
    assert found.attrs["baseline"] == "the same segment of the baseline"
    # More dropout shortens the cycle, and leaves amount alone.
    lost = clv.valuation.contributions(
        make_draws(buying=make_buying(draws=100, a=4 * 0.7929)), baseline=make_draws()
    )
    assert float(lost["contribution_q95"].sel(factor="cycle")[0]) < 0
    assert float(lost["ratio_q50"].sel(factor="amount")[0]) == pytest.approx(1, abs=0.1)


def test_segments_add_up_to_all_and_signs_turn(draws, make_draws, make_buying):
    other = make_draws(buying=make_buying(draws=100, r=0.5))
    parts = clv.valuation.contributions(draws, by=HISTORY, baseline=other, per="segment")
    assert parts["factor"].values.tolist()[0] == "customers"
    whole = clv.valuation.contributions(draws, baseline=other, per="segment")
    np.testing.assert_allclose(parts["difference"].sum("segment"), whole["difference"][:, 0])
    back = clv.valuation.contributions(other, by=HISTORY, baseline=draws, per="segment")
    np.testing.assert_allclose(back["contribution"], -parts["contribution"], atol=1e-9)
    # Against a segment, which itself is left out.
    once = clv.valuation.contributions(draws, by=HISTORY, baseline="once")
    again = clv.valuation.contributions(draws, by=HISTORY, baseline="again")
    assert once["segment"].values.tolist() == ["again"]
    np.testing.assert_allclose(once["contribution"].to_numpy(), -again["contribution"].to_numpy(), atol=1e-9)


def test_empty_segments_and_nothing_bought(make_draws, customers, make_buying):
    none = make_draws(buying=make_buying(draws=100, alpha=3e4), annual_discount_rate=0.0)
    some = make_draws(annual_discount_rate=0.0)
    # Of ten customers hardly any buys at such low rates: value 0 in most draws, all of it cycle's or frequency's doing.
    found = clv.valuation.contributions(none, by="region", baseline=some)
    there = found.sel(segment="there")
    nothing = (there["value"] == 0) & (there["baseline_value"] > 0)
    assert int(nothing.sum()) > 50
    split = there["contribution"][nothing.values]
    assert np.isin(np.argmin(split.to_numpy(), axis=1), (0, 1)).all()
    np.testing.assert_allclose(split.sum("factor"), there["difference"][nothing.values], rtol=1e-12)
    assert np.isfinite(found["contribution"]).all()
    np.testing.assert_allclose(found["contribution"].sum("factor"), found["difference"], rtol=1e-9, atol=1e-9)
    # A segment that the other date does not have cannot be compared per customer, and is new in total.
    here = customers.isel(customer=slice(0, 290))
    before = make_draws(customers=here, annual_discount_rate=0.0)
    found = clv.valuation.contributions(some, by="region", baseline=before)
    assert found["compared"].values.tolist() == [1, 0]
    assert np.isnan(found["contribution"].sel(segment="there")).all()
    assert np.isnan(found["difference_mean"].sel(segment="there"))
    total = clv.valuation.contributions(some, by="region", baseline=before, per="segment").sel(
        segment="there"
    )
    np.testing.assert_allclose(total["contribution"].sel(factor="customers"), total["value"])
    assert (total["baseline_value"] == 0).all()


def test_means_that_do_not_exist_are_nan(make_draws, make_spending):
    heavy = make_draws(spending=make_spending(draws=100, q=0.9))
    found = clv.valuation.contributions(heavy, by=HISTORY)
    assert np.isnan(found["contribution_mean"]).all()
    assert np.isfinite(found["contribution_q95"]).all()
    assert "expected spend is infinite" in found.attrs["reasons"][0]


def test_what_cannot_be_compared_is_refused(draws, make_draws, customers, make_buying):
    with pytest.raises(clv.InputError, match="the base itself. Give by="):
        clv.valuation.contributions(draws)
    with pytest.raises(clv.InputError, match="baseline='gold' is no segment. There are once, again"):
        clv.valuation.contributions(draws, by=HISTORY, baseline="gold")
    with pytest.raises(clv.InputError, match="26 weeks ahead and the baseline 52: a longer"):
        clv.valuation.contributions(draws, baseline=make_draws(horizon="52 weeks"))
    with pytest.raises(clv.InputError, match="needs money"):
        clv.valuation.contributions(draws, baseline=clv.simulate(make_buying(draws=10), customers, seed=1))
    with pytest.raises(clv.InputError, match="per='draw'"):
        clv.valuation.contributions(draws, by=HISTORY, per="draw")
