"""A lifetime that may end between purchases: all that is asked about the future, beside the formulas."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import integrate

import bayes_clv as clv
from bayes_clv.predictions.parameters import parameters
from bayes_clv.schema import InputError
from bayes_clv.units import discount_rate
from bayes_clv.valuation.cohort import expected_new_customer
from tests.symbols import paper

gamma_gamma = paper("gamma_gamma")
pareto_nbd = paper("pareto_nbd")

VALUES = {"r": 0.553, "alpha": 10.58, "s": 0.606, "beta": 11.67}


@pytest.fixture(scope="module")
def buying():
    rng = np.random.default_rng(20)
    drawn = {
        name: (("chain", "draw"), value * np.exp(0.1 * rng.standard_normal((2, 250))))
        for name, value in VALUES.items()
    }
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(drawn, coords={"chain": np.arange(2), "draw": np.arange(250)})}
    )
    tree.attrs = {"family": "pareto_nbd", "time_unit": "week"}
    return tree


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(200)


def history_of(customers):
    return [customers[name].to_numpy()[:, None].astype(float) for name in ("frequency", "recency", "T")]


def draws_of(buying):
    return {name: buying["posterior"][name].to_numpy().ravel() for name in pareto_nbd.PARAMETERS}


def test_predict_gives_the_expected_purchases_and_names_the_dropout_rate(buying, customers):
    future = clv.predict(buying, customers, "52 weeks", seed=1, keep_draws=True)
    expected = pareto_nbd.expected_purchases(52.0, *history_of(customers), **draws_of(buying))
    np.testing.assert_allclose(future["purchases_expected"], expected.mean(axis=1), rtol=1e-12)
    kept = future["purchases"].to_numpy().reshape(500, 200).T
    gap = (kept - expected).mean(axis=0)
    assert abs(gap.mean()) < 4.5 * gap.std() / math.sqrt(500)
    assert future["dropout_rate_mean"].attrs["units"] == "1/week"
    assert "dropout_mean" not in future
    assert "dropout_rate_mean" in clv.table(future)


def test_the_next_purchase_comes_with_its_probability(buying, customers):
    result = clv.next_purchase(buying, customers, quantiles=(0.1, 0.25, 0.5), seed=1)
    history, draws = history_of(customers), draws_of(buying)
    finite = 0
    for i in range(0, 200, 10):
        each = [part[i] for part in history]
        # Beyond t = 1e12 the density falls as t^-(1 + k + s): less than 1e-9 is missing.
        late = pareto_nbd.purchases_at_least(1, 1e12, *each, **draws).mean()
        assert abs(float(result["probability_ever"][i]) - late) < 4.5 * math.sqrt(late * (1 - late) / 500)
        for j, q in enumerate(result["quantile"].to_numpy()):
            wait = float(result["wait"][i, j])
            if q > float(result["probability_ever"][i]):
                assert wait == np.inf
                continue
            finite += 1
            by_then = pareto_nbd.purchases_at_least(1, wait, *each, **draws).mean()
            # A quantile of draws is one of them: a step of 1 / 500 beside its error.
            assert abs(by_then - q) < 4.5 * math.sqrt(q * (1 - q) / 500) + 1 / 500
    assert finite > 15


def test_retention_activity_and_dert_are_the_familys(buying, customers):
    history, draws = history_of(customers), draws_of(buying)
    curve = clv.expected.retention(buying, customers, [13.0, 52.0])
    for i, t in enumerate((0.0, 13.0, 52.0)):
        expected = pareto_nbd.survival(t, *history, **draws).mean(axis=1)
        np.testing.assert_allclose(curve["alive_mean"][:, i], expected, rtol=1e-12)
    active = clv.expected.active(buying, customers, 26.0)
    np.testing.assert_allclose(
        active, pareto_nbd.purchases_at_least(1, 26.0, *history, **draws).mean(axis=1), rtol=1e-12
    )
    pmf = clv.expected.pmf(buying, customers, 26.0, max_count=6)
    np.testing.assert_allclose(pmf.sum("count"), 1, rtol=1e-8)
    dert = clv.expected.residual(buying, customers, 0.0)
    assert np.isinf(dert.to_numpy()).any()
    assert "s <= 1" in dert.attrs["reasons"][0]


def test_expected_value_is_the_discounted_integral(buying, make_spending, customers):
    spending = make_spending()
    terms = {"horizon": 104.0, "margin": 0.3, "annual_discount_rate": 0.2}
    value = clv.expected.value(buying, spending, customers, keep_draws=True, **terms)
    rate = discount_rate(0.2, "week")
    alive, k, scale, a, b = pareto_nbd.future_state(*history_of(customers), **draws_of(buying))
    position, weight = np.polynomial.legendre.leggauss(60)
    time = 52.0 * (1 + position)[:, None, None]
    inner = (52.0 * weight[:, None, None] * np.exp(-rate * time) * (b / (b + time)) ** a).sum(axis=0)
    spent = {name: spending["posterior"][name].to_numpy().ravel() for name in gamma_gamma.PARAMETERS}
    mean_spend = np.nan_to_num(customers["monetary_value"].to_numpy())[:, None]
    spend = gamma_gamma.expected_spend(customers["frequency"].to_numpy()[:, None], mean_spend, **spent)
    expected = 0.3 * alive * k / scale * inner * spend
    found = value["value_expected"].to_numpy().reshape(500, 200).T
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    streamed = clv.expected.value(buying, spending, customers, threads=2, **terms)
    np.testing.assert_allclose(streamed["value_expected"], expected.mean(axis=1), rtol=1e-9)
    simulated = clv.predict(buying, customers, spending=make_spending(q=8.0), seed=1, **terms)
    closed = clv.expected.value(buying, make_spending(q=8.0), customers, **terms)
    gap = simulated["value_total"].to_numpy() - closed["value_expected_total"].to_numpy()
    assert abs(gap.mean()) < 4 * gap.std(ddof=1) / math.sqrt(gap.size)


@pytest.mark.parametrize(("horizon", "discount"), [(52.0, 0.0), (1040.0, 0.01), (0.1, 0.05), (520.0, -0.001)])
def test_a_new_customer_is_worth_the_integral(buying, make_spending, horizon, discount):
    known, payments = parameters(buying, "buying"), parameters(make_spending(), "spending")
    bought, value = expected_new_customer(known, payments, horizon, discount)
    draws = draws_of(buying)
    repeats = pareto_nbd.expected_purchases(horizon, 0, 0, 0, **draws)
    np.testing.assert_allclose(bought, 1 + repeats, rtol=1e-12)
    each = gamma_gamma.population_mean_spend(**payments.values)
    for i in (0, 100, 499):
        r, alpha, s, beta = (draws[name][i] for name in pareto_nbd.PARAMETERS)
        worth, _ = integrate.quad(
            lambda t, s=s, beta=beta: math.exp(-discount * t) * (beta / (beta + t)) ** s,
            *(0, horizon),
            epsabs=0,
            epsrel=1e-11,
            limit=300,
        )
        assert value[i] == pytest.approx(each[i] * (1 + r / alpha * worth), rel=1e-9)


def test_a_cohort_and_its_periods_have_the_expected_purchases(buying, make_spending):
    cohort = clv.predict_cohort(buying, make_spending(), 300, horizon="1 year", periods=4, seed=1)
    gap = cohort["purchases_total"] / 300 - cohort["purchases_expected"]
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(500)
    np.testing.assert_array_equal(cohort["purchases_period_total"].sum("period"), cohort["purchases_total"])


def test_tracking_replicates_what_the_family_simulates(buying):
    log = clv.synthetic.simulate_orders(VALUES, customers=400, seed=2, family="pareto_nbd")
    customers = clv.summarize(log, spend=None, until="2025-09-30", holdout_until="2025-12-31")
    tracking = clv.scoring.simulate_tracking(buying, customers, seed=1)
    draws = draws_of(buying)
    age = customers["T"].to_numpy()[:, None]
    expected = pareto_nbd.expected_purchases(age, 0, 0, 0, **draws).sum(axis=0)
    holdout = pareto_nbd.expected_purchases(
        float(customers.attrs["holdout_duration"]), *history_of(customers), **draws
    ).sum(axis=0)
    total = tracking["purchases"].sum("period").to_numpy().ravel() - expected - holdout
    assert abs(total.mean()) < 4 * total.std() / math.sqrt(500)


def test_simulated_orders_want_the_familys_own_parameters():
    with pytest.raises(InputError, match="r, alpha, s, beta"):
        clv.synthetic.simulate_orders(
            {"r": 1.0, "alpha": 1.0, "a": 1.0, "b": 1.0}, customers=2, seed=1, family="pareto_nbd"
        )
