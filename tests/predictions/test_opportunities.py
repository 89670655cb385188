"""Forecasts at opportunities: the closed forms per draw, and a simulation that follows them."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.predictions import opportunities
from bayes_clv.predictions.scores import PURCHASE_SCORES, active_by_chance
from tests.predictions.test_summaries import agree, scores_of
from tests.symbols import paper

bg_bb = paper("bg_bb")

DONORS = {"alpha": 1.204, "beta": 0.750, "gamma": 0.657, "delta": 2.783}
AHEAD = 5


def posterior(family="bg_bb", *, sd=0.1, chains=2, draws=200, time_unit="opportunity", **values):
    rng = np.random.default_rng(20)
    drawn = {
        name: (("chain", "draw"), value * np.exp(sd * rng.standard_normal((chains, draws))))
        for name, value in (values or DONORS).items()
    }
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(drawn, coords={"chain": np.arange(chains), "draw": np.arange(draws)})}
    )
    tree.attrs = {"family": family, "time_unit": time_unit}
    return tree


@pytest.fixture(scope="module")
def giving():
    return posterior()


@pytest.fixture(scope="module")
def donors():
    """120 donors after 6 opportunities, one row each."""
    x, t_x = bg_bb.simulate(np.random.default_rng(1), np.full(120, 6), **DONORS)
    return clv.customers.from_opportunities(
        pd.DataFrame(
            {"frequency": x, "recency": t_x, "opportunities": 6}, index=[f"d{i:03d}" for i in range(120)]
        )
    )


def columns(donors):
    return [donors[name].to_numpy().astype(float) for name in bg_bb.OBSERVED]


def draws_of(tree):
    return [tree["posterior"][name].to_numpy().ravel() for name in bg_bb.PARAMETERS]


def closed_forms(giving, donors):
    return {
        "probability_alive": clv.expected.alive(giving, donors),
        "survival": clv.expected.survival(giving, donors, AHEAD),
        "purchases_expected": clv.expected.purchases(giving, donors, AHEAD),
        "residual_transactions": clv.expected.residual(giving, donors, 0.1),
    }


def test_closed_forms_are_the_familys_of_each_draw_and_customer(giving, donors):
    found = closed_forms(giving, donors)
    assert found["purchases_expected"].dims == ("chain", "draw", "customer")
    for name, function, arguments in (
        ("probability_alive", bg_bb.probability_alive, ()),
        ("survival", bg_bb.survival, (AHEAD,)),
        ("purchases_expected", bg_bb.expected_purchases, (AHEAD,)),
        ("residual_transactions", bg_bb.discounted_residual_transactions, (0.1,)),
    ):
        for i in (0, 17, 119):
            row = [column[i] for column in columns(donors)]
            expected = function(*arguments, *row, *draws_of(giving))
            np.testing.assert_allclose(found[name][:, :, i].to_numpy().ravel(), expected, rtol=1e-12)
        assert found[name].attrs["level"] == "expected"
        assert found[name].attrs["time_unit"] == "opportunity"
    assert found["residual_transactions"].attrs["reasons"] == []


def test_an_infinite_sum_is_infinite_and_says_so(giving, donors):
    found = clv.expected.residual(giving, donors, 0)
    assert np.isinf(found).all()
    assert "gamma <= 1" in found.attrs["reasons"][0]
    future = clv.predictions.predict_opportunities(giving, donors, AHEAD, seed=1, discount_rate=0)
    assert "unless gamma > 1" in future["residual_transactions"].attrs["reasons"][0]


def test_the_simulation_has_the_distribution_of_the_closed_forms(donors):
    """At one point, 1,000 futures a customer: P(Y = y), total and total at each opportunity within 4 errors.

    Futures are independent given the point: a sum of indicators has variance sum p (1 - p), 120,000 of them.
    """
    point = posterior(sd=0.0, chains=1, draws=1)
    kept = clv.predict(point, donors, AHEAD, seed=3, keep_draws=True)
    purchases = kept["purchases"].to_numpy().reshape(-1, 120)
    assert purchases.shape == (1000, 120)
    history, shapes = columns(donors), list(DONORS.values())
    for y in range(AHEAD + 1):
        p = bg_bb.purchases_pmf(y, AHEAD, *history, *shapes)
        assert abs((purchases == y).sum() - 1000 * p.sum()) < 4 * math.sqrt(1000 * (p * (1 - p)).sum())
    total = np.array([bg_bb.expected_purchases(m, *history, *shapes).sum() for m in range(AHEAD + 1)])
    by_opportunity = kept["purchases_period_total"].to_numpy().reshape(-1, AHEAD)
    for k, expected in enumerate(np.diff(total)):
        # Each of 120 tosses has a variance of at most 1/4.
        assert abs(by_opportunity[:, k].mean() - expected) < 4 * math.sqrt(120 / 4 / 1000)
    np.testing.assert_array_equal(by_opportunity.sum(axis=1), purchases.sum(axis=1))
    np.testing.assert_array_equal(kept["purchases_total"].to_numpy().ravel(), purchases.sum(axis=1))


def test_the_summary_is_that_of_the_kept_draws(giving, donors):
    future = clv.predictions.predict_opportunities(
        giving, donors, AHEAD, seed=3, keep_draws=True, discount_rate=0.1
    )
    purchases = future["purchases"].to_numpy().reshape(-1, 120)
    np.testing.assert_allclose(future["purchases_mean"], purchases.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(future["purchases_sd"], purchases.std(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(future["probability_active"], (purchases > 0).mean(axis=0), rtol=1e-12)
    for q in (5, 25, 50, 75, 95):
        expected = np.quantile(purchases, q / 100, axis=0, method="inverted_cdf")
        np.testing.assert_array_equal(future[f"purchases_q{q:02d}"], expected)
    for name, per_draw in closed_forms(giving, donors).items():
        np.testing.assert_allclose(future[name], per_draw.mean(("chain", "draw")), rtol=1e-12)
    assert future["purchases_mean"].attrs["level"] == "outcome"
    assert future["purchases_total"].attrs["level"] == "outcome"
    assert future.attrs["time_unit"] == "opportunity"


def test_order_threads_chunks_and_company_change_nothing(giving, donors, monkeypatch):
    future = clv.predict(giving, donors, AHEAD, seed=3, threads=1)
    # Blocks of 10 customers in place of one of 120.
    monkeypatch.setattr(opportunities, "BLOCK", 10)
    order = np.random.default_rng(1).permutation(120)
    shuffled = clv.predict(giving, donors.isel(customer=order), AHEAD, seed=3, threads=2)
    xr.testing.assert_identical(shuffled.sel(customer=future["customer"]), future)
    few = clv.predict(giving, donors.isel(customer=[5, 80]), AHEAD, seed=3)
    xr.testing.assert_equal(few["purchases_mean"], future["purchases_mean"].isel(customer=[5, 80]))
    other = clv.predict(giving, donors, AHEAD, seed=4)
    assert (other["purchases_total"] != future["purchases_total"]).any()


def test_a_shorter_future_is_the_beginning_of_a_longer_one(giving, donors):
    short, long = (clv.predict(giving, donors, m, seed=3) for m in (2, 7))
    xr.testing.assert_equal(
        short["purchases_period_total"], long["purchases_period_total"].sel(period=[1, 2])
    )


def test_a_row_of_many_customers_is_one_of_them_and_all_in_the_totals(giving):
    """30 customers on one row: independent in the totals, whose variance given a point is that of 30 customers."""
    table = pd.DataFrame({"frequency": [3], "recency": [4], "opportunities": [6], "count": [30]})
    point = posterior(sd=0.0, chains=1, draws=1)
    future = clv.predict(point, clv.customers.from_opportunities(table), AHEAD, seed=3)
    pmf = bg_bb.purchases_pmf(np.arange(6), AHEAD, 3, 4, 6, **DONORS)
    mean = np.arange(6) @ pmf
    variance = np.arange(6) ** 2 @ pmf - mean**2
    total = future["purchases_total"].to_numpy().ravel()
    assert abs(total.mean() - 30 * mean) < 4 * math.sqrt(30 * variance / 1000)
    # The variance of a nearly normal total has a relative error of sqrt(2 / 1000).
    assert abs(total.var() / (30 * variance) - 1) < 4 * math.sqrt(2 / 1000)
    # 30,000 futures of one customer.
    assert abs(float(future["purchases_mean"][0]) - mean) < 4 * math.sqrt(variance / 30_000)
    assert future["count"].item() == 30


def test_donors_are_scored_by_the_names_of_all_customers(giving, donors):
    bought = np.random.default_rng(2).binomial(AHEAD, 0.4, 120)
    held = donors.assign(holdout_purchases=("customer", bought)).assign_attrs(holdout_duration=AHEAD)
    future = clv.predict(giving, held, AHEAD, seed=3, keep_draws=True)
    drawn = future["purchases"].to_numpy().reshape(-1, 120)
    for i in range(120):
        agree({name: future[name].values[i] for name in PURCHASE_SCORES}, scores_of(drawn[:, i], bought[i]))
        assert future["draws_below"].attrs["units"] == "count"
    np.testing.assert_array_equal((future["purchases"] > 0).sum("customer"), future["active_total"])
    np.testing.assert_array_equal(future["holdout_purchases"], bought)
    by_chance = future["active_by_chance_total"].values.reshape(len(drawn), -1)
    np.testing.assert_array_equal(by_chance, active_by_chance(drawn > 0))
    assert not set(PURCHASE_SCORES) & set(clv.predict(giving, held, AHEAD + 1, seed=3))
    # One row of three donors, each of whom bought twice, is scored as one of them, by the futures of all.
    table = pd.DataFrame({"frequency": [3], "recency": [4], "opportunities": [6], "count": [3]})
    row = clv.customers.from_opportunities(table).assign(holdout_purchases=("customer", [2]))
    one = clv.predict(giving, row.assign_attrs(holdout_duration=AHEAD), AHEAD, seed=3)
    assert float(one["draws_below"][0] + one["draws_equal"][0]) <= one.attrs["draws"]
    assert float(one["draws_below"][0]) * 3 == round(float(one["draws_below"][0]) * 3)
    assert int(one["active_total"].max()) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opportunities": 0}, "opportunities must be a whole number from 1"),
        ({"opportunities": 2.5}, "opportunities must be a whole number from 1"),
        ({"discount_rate": -0.1}, "discount_rate must be a finite number from 0"),
        ({"discount_rate": math.inf}, "discount_rate must be a finite number from 0"),
        ({"max_memory": 100}, "more than max_memory"),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_bad_arguments_are_refused(giving, donors, change, message):
    arguments = {"opportunities": AHEAD, "seed": 1} | change
    with pytest.raises(clv.InputError, match=message):
        clv.predictions.predict_opportunities(giving, donors, arguments.pop("opportunities"), **arguments)


def test_data_and_posteriors_of_another_kind_are_refused(giving, donors, make_buying, make_customers):
    with pytest.raises(clv.InputError, match="fitted to purchases: forecast from it with clv.predict"):
        clv.predictions.predict_opportunities(make_buying(), donors, AHEAD, seed=1)
    with pytest.raises(clv.InputError, match="fitted to opportunities: forecast from it with clv.predict"):
        clv.next_purchase(giving, donors, seed=1)
    with pytest.raises(
        clv.InputError, match="fitted to purchases at any time.*customers are of opportunities"
    ):
        clv.predict(make_buying(), donors, AHEAD, seed=1)
    with pytest.raises(clv.InputError, match="fitted to opportunities.*customers are of purchases"):
        clv.predict(giving, make_customers(3), "5 weeks", seed=1)
    with pytest.raises(clv.InputError, match="no column 'opportunities'"):
        clv.expected.purchases(giving, make_customers(3), AHEAD)
    with pytest.raises(clv.InputError, match="horizon must be a whole number from 1"):
        clv.predict(giving, donors, "5 weeks", seed=1)
    edited = donors.copy(deep=True)
    edited["recency"][0] = 99
    with pytest.raises(clv.InputError, match="'recency' is above opportunities"):
        clv.expected.purchases(giving, edited, AHEAD)
    for bad in (0, 2.5, "5 weeks"):
        with pytest.raises(clv.InputError, match="opportunities must be a whole number from 1"):
            clv.expected.purchases(giving, donors, bad)
    for bad in (-0.1, math.inf, True):
        with pytest.raises(clv.InputError, match="annual_discount_rate must"):
            clv.expected.residual(giving, donors, bad)
