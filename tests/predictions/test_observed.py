"""A forecast beside a holdout: what is scored, in which money, and what is not and why."""

import numpy as np
import pytest
import xarray as xr

from bayes_clv.predictions.forecasts import predict
from bayes_clv.predictions.observed import money_unit
from bayes_clv.predictions.scores import MONEY_SCORES, PURCHASE_SCORES
from bayes_clv.schema import ACTIVE_BY_CHANCE, CUSTOMER, INTERVALS, InputError
from tests.predictions.test_summaries import agree, scores_of

SIZE = 60
WEEKS = 30.0
MARGIN, RATE = 0.3, 0.1


def columns(prefix):
    return [prefix + name for name in (MONEY_SCORES if prefix else PURCHASE_SCORES)]


def held_inside(*prefixes):
    return [f"{prefix}inside_{level}_total" for prefix in prefixes for level in INTERVALS]


@pytest.fixture(scope="module")
def customers(make_customers):
    """Customers whose holdout is made up: half of them buy nothing."""
    rng = np.random.default_rng(5)
    bought = rng.poisson(0.7, SIZE)
    spent = np.round(bought * rng.gamma(4, 9, SIZE), 2)
    held = {
        "holdout_purchases": (CUSTOMER, bought),
        "holdout_spend": (CUSTOMER, spent),
        "holdout_value": (CUSTOMER, spent * 0.97),
    }
    attrs = {"holdout_duration": WEEKS, "holdout_discount_rate": RATE}
    return make_customers(SIZE).assign(held).assign_attrs(attrs)


@pytest.fixture(scope="module")
def forecast(make_buying, make_spending):
    buying, spending = make_buying(draws=100), make_spending(draws=100)

    def of(customers, **options):
        given = {"horizon": WEEKS, "spending": spending, "margin": MARGIN, "seed": 1} | options
        return predict(buying, customers, given.pop("horizon"), **given)

    return of


def test_every_customer_is_scored_by_its_own_holdout_in_money_earned(forecast, customers):
    future = forecast(customers, annual_discount_rate=RATE, keep_draws=True)
    unit = future.attrs["money_unit"]
    purchases = customers["frequency"].sum() + SIZE
    assert unit == pytest.approx(float(customers["historical_spend"].sum() / purchases), rel=1e-12)
    drawn = {name: future[name].values.reshape(-1, SIZE) for name in ("purchases", "spend", "value")}
    held = {name: customers[f"holdout_{name}"].values for name in drawn}
    for i in range(SIZE):
        found = {str(name): future[name].values[i] for name in future if future[name].dims == (CUSTOMER,)}
        agree(found, scores_of(drawn["purchases"][:, i], held["purchases"][i]))
        agree(found, scores_of(drawn["spend"][:, i], held["spend"][i], unit), "spend_")
        agree(found, scores_of(drawn["value"][:, i], MARGIN * held["value"][i], unit), "value_")
    for prefix, amounts in (("", drawn["purchases"]), ("spend_", drawn["spend"])):
        for level in INTERVALS:
            low, high = (
                np.quantile(amounts, 0.5 + side * level / 200, axis=0, method="inverted_cdf")
                for side in (-1, 1)
            )
            own = ((low <= amounts) & (amounts <= high)).sum(axis=1)
            np.testing.assert_array_equal(future[f"{prefix}inside_{level}_total"].values.ravel(), own)
    np.testing.assert_array_equal((future["purchases"] > 0).sum(CUSTOMER), future["active_total"])
    xr.testing.assert_equal(future["holdout_value"], customers["holdout_value"])
    assert future.attrs["holdout_discount_rate"] == RATE
    assert future.attrs["unscored"] == []


def test_without_discount_value_is_the_margin_of_spend(forecast, customers):
    future = forecast(customers.drop_vars("holdout_value"))
    np.testing.assert_allclose(future["value_crps"], MARGIN * future["spend_crps"], rtol=1e-12)
    for level in INTERVALS:
        for name in (f"mass_{level}", f"inside_{level}"):
            np.testing.assert_array_equal(future[f"value_{name}"], future[f"spend_{name}"])
    assert (future["value_log_crps"] < future["spend_log_crps"]).any()
    assert future.attrs["unscored"] == []


def test_no_currency_moves_the_score_of_logarithms(forecast, make_spending, customers):
    money = [name for name in customers if name in ("monetary_value", "historical_spend")]
    money += ["holdout_spend", "holdout_value"]
    cents = customers.assign({name: 100 * customers[name] for name in money})
    dollar = forecast(customers, annual_discount_rate=RATE)
    cent = forecast(cents, annual_discount_rate=RATE, spending=make_spending(draws=100, v=100 * 15.44))
    assert cent.attrs["money_unit"] == pytest.approx(100 * dollar.attrs["money_unit"], rel=1e-12)
    for prefix in ("spend_", "value_"):
        np.testing.assert_allclose(cent[f"{prefix}log_crps"], dollar[f"{prefix}log_crps"], rtol=1e-9)
        np.testing.assert_allclose(cent[f"{prefix}crps"], 100 * dollar[f"{prefix}crps"], rtol=1e-9)


def test_nothing_is_scored_over_another_horizon_and_nothing_else_changes(forecast, customers):
    other = forecast(customers, horizon=WEEKS + 1)
    scores = [*columns(""), *columns("spend_"), *columns("value_")]
    assert not set(scores) & set(other.data_vars)
    assert "money_unit" not in other.attrs
    scored = forecast(customers)
    assert set(scores) <= set(scored.data_vars)
    held = ("holdout_purchases", "holdout_spend", "holdout_value")
    plain = forecast(customers.drop_vars(held))
    counted = [ACTIVE_BY_CHANCE, *held_inside("", "spend_", "frequent_")]
    assert not set(counted) & set(plain)
    xr.testing.assert_equal(scored.drop_vars([*scores, *held, *counted]), plain)
    purchases = forecast(customers, spending=None, margin=1.0)
    assert set(scores) & set(purchases.data_vars) == set(columns(""))
    xr.testing.assert_equal(purchases[columns("")], scored[columns("")])


def test_what_is_not_scored_is_said(forecast, customers):
    def reason(future, *absent):
        (said,) = future.attrs["unscored"]
        missing = {prefix for prefix in ("spend_", "value_") if not set(columns(prefix)) <= set(future)}
        assert missing == set(absent)
        return said

    said = reason(forecast(customers.drop_vars("holdout_spend")), "spend_", "value_")
    assert "forecast of spend and value is not scored: the customers have no holdout_spend" in said
    said = reason(forecast(customers, annual_discount_rate=0.2), "value_")
    assert "value is not scored: it is discounted at 0.2 a year" in said
    assert (
        "have a holdout_value discounted at 0.1 a year. Summarise the orders with holdout_discount_rate=0.2"
        in said
    )
    plain = customers.drop_vars("holdout_value")
    del plain.attrs["holdout_discount_rate"]
    said = reason(forecast(plain, annual_discount_rate=RATE), "value_")
    assert "the customers have no holdout_value" in said
    some = customers.copy(deep=True)
    some["holdout_spend"][[3, 8]] = np.nan
    future = forecast(some, annual_discount_rate=RATE)
    assert "is not scored (NaN) for 2 of 60 customers whose holdout_spend is missing" in reason(future)
    assert "customer 'c00003'" in reason(future)
    whole = forecast(customers, annual_discount_rate=RATE)
    for name in columns("spend_"):
        assert np.flatnonzero(np.isnan(future[name])).tolist() == [3, 8]
    xr.testing.assert_equal(future[columns("value_")], whole[columns("value_")])
    said = reason(forecast(customers.assign(historical_spend=0.0 * customers["historical_spend"])))
    assert "spend_log_crps and value_log_crps are NaN" in said


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "holdout_spend",
            -1.0,
            "'holdout_spend' is negative for 1 of 60 customers.*'c00003' with holdout_spend -1",
        ),
        ("holdout_spend", np.inf, "'holdout_spend' is infinite for 1 of 60"),
        ("holdout_purchases", 0.5, "'holdout_purchases' is not whole for 1 of 60.*It counts purchases"),
        ("holdout_purchases", np.nan, r"'holdout_purchases' is missing \(NaN\) for 1 of 60"),
    ],
)
def test_what_cannot_have_happened_is_refused(forecast, customers, name, value, message):
    bad = customers[name].astype(float).copy(deep=True)
    bad[3] = value
    with pytest.raises(InputError, match=message):
        forecast(customers.assign({name: bad}))


def test_the_unit_of_money_is_what_a_purchase_of_the_calibration_brings():
    customers = xr.Dataset(
        {
            "frequency": (CUSTOMER, [0, 1, 3]),
            "monetary_value": (CUSTOMER, [np.nan, 10.0, 30.0]),
            "historical_spend": (CUSTOMER, [5.0, 20.0, 105.0]),
        }
    )
    assert money_unit(customers) == pytest.approx(130 / 7)
    assert money_unit(customers.drop_vars("historical_spend")) == pytest.approx(100 / 4)
    assert np.isnan(money_unit(customers[["frequency"]]))
    customers["historical_spend"][2] = np.nan
    assert money_unit(customers) == pytest.approx(25 / 3)
