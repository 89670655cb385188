import math

import numpy as np
import pytest
import xarray as xr
from scipy import integrate

from bayes_clv.predictions import expected
from bayes_clv.predictions.parameters import parameters
from bayes_clv.schema import InputError
from bayes_clv.valuation.cohort import expected_new_customer, predict_cohort
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")

SIZE = 500
DRAWS = 500
TERMS = {"margin": 0.3, "annual_discount_rate": 0.1, "acquisition_cost": 12.0}


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying()


@pytest.fixture(scope="module")
def spending(make_spending):
    return make_spending()


@pytest.fixture(scope="module")
def cohort(buying, spending):
    return predict_cohort(buying, spending, SIZE, horizon="2 years", seed=1, periods=8, **TERMS)


def test_expected_purchases_are_those_of_a_new_customer(buying, cohort, make_customers):
    # A customer observed for no time at all; T must be positive at the door.
    new = make_customers(1).assign(
        frequency=("customer", [0]), recency=("customer", [0.0]), T=("customer", [1e-9])
    )
    repeats = expected.purchases(buying, new, "2 years")[..., 0]
    np.testing.assert_allclose(cohort["purchases_expected"], 1 + repeats, rtol=1e-8)


@pytest.mark.parametrize(
    ("horizon", "discount"), [(52.0, 0.0), (52.0, 0.002), (1040.0, 0.01), (0.1, 0.05), (520, -0.001)]
)
def test_expected_value_is_the_integral(make_buying, make_spending, estimates, spend, horizon, discount):
    known = parameters(make_buying(sd=0.0, draws=1, chains=1), "buying")
    payments = parameters(make_spending(sd=0.0, draws=1, chains=1), "spending")
    bought, value = expected_new_customer(known, payments, horizon, discount)

    def expected(t):
        return float(bg_nbd.expected_purchases(t, 0, 0, 0, **estimates))

    area, _ = integrate.quad(
        lambda t: discount * math.exp(-discount * t) * expected(t), 0, horizon, epsrel=1e-11, limit=300
    )
    each = float(gamma_gamma.population_mean_spend(**spend))
    assert bought[0] == pytest.approx(1 + expected(horizon), rel=1e-12)
    worth = each * (1 + math.exp(-discount * horizon) * expected(horizon) + area)
    assert value[0] == pytest.approx(worth, rel=1e-9)


def test_the_simulated_cohort_has_the_expected_value(cohort):
    # The totals of a draw vary about SIZE times the draw's expectation; draws are independent.
    gap = cohort["value_total"] / SIZE - cohort["value_expected"]
    error = float(gap.std()) / math.sqrt(DRAWS)
    assert abs(float(gap.mean())) < 4 * error
    # Without the first order, or with it discounted for half a year, it would be seen.
    assert 0.05 * float(cohort["value_expected"].mean()) > 4 * error
    bought = cohort["purchases_total"] / SIZE - cohort["purchases_expected"]
    assert abs(float(bought.mean())) < 4 * float(bought.std()) / math.sqrt(DRAWS)


def test_repeat_buying_is_that_of_the_closed_form(buying, cohort):
    draws = {name: buying["posterior"][name].to_numpy().ravel() for name in bg_nbd.PARAMETERS}
    repeat = bg_nbd.purchases_at_least(1, cohort.attrs["horizon"], 0, 0, 0, **draws).mean()
    # Given a draw its customers are independent: pooled, at least the binomial error and at most that of the draws.
    error = math.sqrt(repeat * (1 - repeat) / cohort.attrs["pooled_futures"])
    assert abs(float(cohort["probability_repeat"]) - repeat) < 4 * error


def test_one_customer_is_distributed_as_one_drawn_by_hand(make_buying, make_spending, estimates, spend):
    buying, spending = make_buying(sd=0.0), make_spending(sd=0.0)
    cohort = predict_cohort(buying, spending, 400, horizon=52, seed=5)
    size = 200_000
    rng = np.random.default_rng(6)
    repeats, _ = bg_nbd.simulate(rng, np.full(size, 52.0), **estimates)
    nu = rng.gamma(spend["q"], 1 / spend["v"], size)
    paid = rng.gamma(spend["p"] * (1 + repeats)) / nu
    # Both samples have 200,000 customers: the share below a quantile of the other has 1.4 binomial errors.
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        below = (paid <= float(cohort[f"value_q{round(100 * q):02d}"])).mean()
        assert abs(below - q) < 4 * math.sqrt(2 * q * (1 - q) / size)
    assert abs(float(cohort["value_mean"]) - paid.mean()) < 4 * paid.std() * math.sqrt(2 / size)


def test_first_orders_are_paid_at_once_and_counted_in_the_first_period(buying, cohort):
    np.testing.assert_array_equal(cohort["purchases_period_total"].sum("period"), cohort["purchases_total"])
    np.testing.assert_allclose(cohort["value_period_total"].sum("period"), cohort["value_total"], rtol=1e-12)
    assert (cohort["purchases_period_total"][..., 0] >= SIZE).all()
    draws = {name: buying["posterior"][name].to_numpy().ravel() for name in bg_nbd.PARAMETERS}
    through = [SIZE * bg_nbd.expected_purchases(t, 0, 0, 0, **draws) for t in cohort["period_end"].to_numpy()]
    for i in range(8):
        expected = through[i] - through[i - 1] if i else SIZE + through[0]
        gap = cohort["purchases_period_total"][..., i].to_numpy().ravel() - expected
        assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(DRAWS)
    np.testing.assert_allclose(cohort["period_end"], cohort.attrs["horizon"] * np.arange(1, 9) / 8)


def test_no_time_to_buy_again_leaves_the_first_order(buying, spending):
    at_once = predict_cohort(buying, spending, 50, horizon=1e-9, seed=1, annual_discount_rate=0.5)
    np.testing.assert_array_equal(at_once["purchases_total"], 50)
    np.testing.assert_allclose(at_once["value_total"], at_once["spend_total"], rtol=1e-12)
    each = gamma_gamma.population_mean_spend(
        **{n: spending["posterior"][n].to_numpy() for n in ("p", "q", "v")}
    )
    np.testing.assert_allclose(at_once["value_expected"], each, rtol=1e-8)


def test_margin_and_cost_act_where_they_are_defined(buying, spending, cohort):
    plain = predict_cohort(buying, spending, SIZE, horizon="2 years", seed=1, annual_discount_rate=0.1)
    for name in ("value_total", "value_expected", "value_mean", "value_sd", "value_q75"):
        np.testing.assert_allclose(cohort[name], 0.3 * plain[name], rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(cohort["lifetime_value_total"], cohort["value_total"] - 12 * SIZE, rtol=1e-12)
    np.testing.assert_allclose(cohort["lifetime_value_expected"], cohort["value_expected"] - 12, rtol=1e-12)
    assert float(cohort["lifetime_value_q25"]) == pytest.approx(float(cohort["value_q25"]) - 12)
    assert float(plain["probability_profit"]) == 1.0
    assert 0.05 < float(cohort["probability_profit"]) < 0.95


def test_threads_change_no_bit_and_a_smaller_cohort_is_the_beginning(buying, spending, cohort):
    again = predict_cohort(buying, spending, SIZE, horizon="2 years", seed=1, periods=8, threads=1, **TERMS)
    xr.testing.assert_identical(again, cohort)
    small = predict_cohort(buying, spending, SIZE - 1, horizon="2 years", seed=1, **TERMS)
    assert ((cohort["purchases_total"] - small["purchases_total"]) >= 1).all()
    assert (cohort["spend_total"] > small["spend_total"]).all()


def test_the_interval_of_a_cohort_narrows_to_that_of_the_parameters(buying, spending, cohort):
    def relative(values):
        return float(values.std() / values.mean())

    one = predict_cohort(buying, spending, 1, horizon="2 years", seed=1, **TERMS)
    assert relative(one["value_total"]) > 3 * relative(cohort["value_total"])
    assert relative(cohort["value_total"]) > relative(cohort["value_expected"])


def test_the_units_change_no_answer(make_buying, make_spending, cohort):
    buying, spending = make_buying(time_unit="day"), make_spending(time_unit="day")
    buying["posterior"]["alpha"] = 7 * buying["posterior"]["alpha"]
    spending["posterior"]["v"] = 100 * spending["posterior"]["v"]
    other = predict_cohort(
        buying, spending, SIZE, horizon="2 years", seed=1, periods=8, **(TERMS | {"acquisition_cost": 1200.0})
    )
    for name in cohort:
        scale = 100 if cohort[name].attrs["units"] == "money" else 1
        np.testing.assert_allclose(other[name], scale * cohort[name], rtol=1e-9, err_msg=name)
    assert {cohort[name].attrs["level"] for name in cohort} == {"expected", "outcome"}


def test_a_mean_that_does_not_exist_says_so(buying, make_spending):
    endless = predict_cohort(buying, make_spending(sd=0.0, q=0.9), 20, seed=1)
    assert np.isinf(endless["value_expected"]).all()
    for name in ("value_mean", "value_sd", "lifetime_value_mean"):
        assert math.isnan(endless[name]), name
    assert float(endless["value_q95"]) > 0
    assert (
        "NaN, because expected spend of a new customer is infinite in 500 of 500"
        in (endless.attrs["reasons"][0])
    )
    wild = predict_cohort(buying, make_spending(sd=0.0, q=1.5), 20, seed=1)
    assert math.isnan(wild["value_sd"])
    assert float(wild["value_mean"]) > 0


def test_a_point_has_a_cohort_too(make_buying, make_spending):
    # One draw, as fit(method="mode") gives: its futures differ by chance, its expectation does not.
    point = predict_cohort(
        make_buying(sd=0.0, draws=1, chains=1), make_spending(sd=0.0, draws=1, chains=1), 20, seed=1
    )
    assert float(point["value_total"].std()) > 0
    assert np.ptp(point["value_expected"].to_numpy()) == 0


def test_the_result_survives_a_file(cohort, tmp_path):
    cohort.to_netcdf(tmp_path / "cohort.nc")
    with xr.open_dataset(tmp_path / "cohort.nc") as restored:
        xr.testing.assert_equal(restored.load(), cohort)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size must be a whole number of customers from 1; it is 0"),
        ({"size": 2.0}, "size must be a whole number"),
        ({"acquisition_cost": -1}, "acquisition_cost must be one finite amount"),
        ({"acquisition_cost": "12"}, "acquisition_cost must be one finite amount"),
        ({"margin": 0}, "margin must be finite and above 0"),
        ({"periods": 0}, "periods must be a whole number from 1"),
        ({"horizon": 0}, "positive and finite"),
        ({"periods": 10**6}, "1,000,000 periods of 500 draws need"),
    ],
)
def test_bad_arguments_are_refused(buying, spending, change, message):
    with pytest.raises(InputError, match=message):
        predict_cohort(buying, spending, **({"size": 10, "seed": 1} | change))


def test_posteriors_of_two_time_units_are_refused(buying, make_spending, spending):
    with pytest.raises(InputError, match="is 'week' and the spending posterior's is 'day'"):
        predict_cohort(buying, make_spending(time_unit="day"), 10, seed=1)
    with pytest.raises(InputError, match="gamma_gamma"):
        predict_cohort(spending, buying, 10, seed=1)
