import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_clv.predictions.forecasts import predict
from bayes_clv.schema import InputError
from bayes_clv.views.frames import table as as_table
from tests.symbols import paper

gamma_gamma = paper("gamma_gamma")

SIZE = 300


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(SIZE)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying()


@pytest.fixture(scope="module")
def spending(make_spending):
    return make_spending()


@pytest.fixture(scope="module")
def value(buying, spending, customers):
    return predict(
        buying, customers, "52 weeks", spending=spending, margin=0.3, annual_discount_rate=0.1, seed=1
    )


def per_customer(dataset):
    return [name for name in dataset if dataset[name].dims == ("customer",)]


def test_purchases_are_those_of_predict(buying, customers, value):
    future = predict(buying, customers, "52 weeks", seed=1)
    for name in future:
        xr.testing.assert_identical(value[name], future[name])


def test_totals_are_the_sums_of_the_customers_draws(buying, spending, customers, value):
    kept = predict(
        buying, customers, spending=spending, margin=0.3, annual_discount_rate=0.1, seed=1, keep_draws=True
    )
    np.testing.assert_array_equal(kept["purchases"].sum("customer"), value["purchases_total"])
    np.testing.assert_allclose(kept["value"].sum("customer"), value["value_total"], rtol=1e-12)
    np.testing.assert_allclose(kept["spend"].sum("customer"), value["spend_total"], rtol=1e-12)
    np.testing.assert_allclose(kept["value"].mean(("chain", "draw")), value["value_mean"], rtol=1e-12)
    with pytest.raises(InputError, match=r"500 draws of 300 customers need 0\.003 GB"):
        predict(buying, customers, spending=spending, seed=1, keep_draws=True, max_memory=1e6)


def test_mean_spend_is_the_closed_form_times_purchases(buying, spending, customers):
    value = predict(buying, customers, spending=spending, seed=2)
    draws = {name: spending["posterior"][name].to_numpy().ravel() for name in gamma_gamma.PARAMETERS}
    each = gamma_gamma.expected_spend(
        customers["frequency"].to_numpy()[:, None], customers["monetary_value"].to_numpy()[:, None], **draws
    ).mean(axis=1)
    # Buying and spending are independent, and so are the customers' futures given the parameters.
    gap = value["spend_mean"] - each * value["purchases_expected"]
    error = value["value_sd"] / math.sqrt(500)
    assert abs(float(gap.sum())) < 4 * float(np.sqrt((error**2).sum()))
    often = (value["probability_active"] > 0.1).to_numpy()
    assert (np.abs(gap) < 4.5 * error).to_numpy()[often].all()
    # Without margin and discount value is spend.
    np.testing.assert_allclose(value["value_mean"], value["spend_mean"], rtol=1e-12)


def test_margin_discount_and_cost_act_where_they_are_defined(buying, spending, customers, value):
    full = predict(buying, customers, spending=spending, annual_discount_rate=0.1, acquisition_cost=5, seed=1)
    for name in ("value_mean", "value_sd", "value_q95", "value_total", "historical_value"):
        np.testing.assert_allclose(value[name], 0.3 * full[name], rtol=1e-12)
    np.testing.assert_array_equal(value["spend_mean"], full["spend_mean"])
    np.testing.assert_allclose(full["historical_value"], customers["historical_spend"])
    np.testing.assert_allclose(
        full["lifetime_value_mean"], full["historical_value"] + full["value_mean"] - 5, rtol=1e-12
    )
    undiscounted = predict(buying, customers, spending=spending, seed=1)
    bought = undiscounted["value_mean"] > 0
    # At most a year of discount, and some.
    ratio = (full["value_mean"] / undiscounted["value_mean"]).to_numpy()[bought.to_numpy()]
    assert ((ratio > 1 / 1.1) & (ratio < 1)).all()


def test_dollars_and_cents_tell_the_same(buying, make_spending, customers, value):
    cents = customers.assign(
        monetary_value=customers["monetary_value"] * 100, historical_spend=customers["historical_spend"] * 100
    )
    spending = make_spending()
    spending["posterior"]["v"] = spending["posterior"]["v"] * 100
    other = predict(
        buying, cents, "52 weeks", spending=spending, margin=0.3, annual_discount_rate=0.1, seed=1
    )
    for name in per_customer(value):
        money = value[name].attrs.get("units") == "money" or name == "monetary_value"
        np.testing.assert_allclose(
            other[name], value[name] * (100 if money else 1), rtol=1e-10, err_msg=str(name)
        )
    np.testing.assert_allclose(other["value_total"], 100 * value["value_total"], rtol=1e-10)


def test_weeks_and_days_tell_the_same(make_buying, make_spending, customers, value):
    buying, spending = make_buying(time_unit="day"), make_spending(time_unit="day")
    buying["posterior"]["alpha"] = 7 * buying["posterior"]["alpha"]
    days = customers.assign(T=7 * customers["T"], recency=7 * customers["recency"])
    other = predict(
        buying,
        days.assign_attrs(time_unit="day"),
        "52 weeks",
        spending=spending,
        margin=0.3,
        annual_discount_rate=0.1,
        seed=1,
    )
    for name in (
        "purchases_sd",
        "spend_mean",
        "value_mean",
        "value_q75",
        "lifetime_value_mean",
        "value_total",
    ):
        np.testing.assert_allclose(other[name], value[name], rtol=1e-9, err_msg=name)


def test_order_threads_and_repetition_change_no_bit(buying, spending, customers, value):
    order = np.random.default_rng(1).permutation(SIZE)
    other = predict(
        buying,
        customers.isel(customer=order),
        spending=spending,
        margin=0.3,
        annual_discount_rate=0.1,
        seed=1,
        threads=1,
    )
    xr.testing.assert_identical(other.sel(customer=value["customer"]), value)


def test_costs_are_matched_by_id(buying, spending, customers):
    cost = pd.Series(np.arange(SIZE, dtype=float), index=customers["customer"].to_numpy())
    costs = (
        cost.sample(frac=1, random_state=1),
        cost[::-1].to_dict(),
        xr.DataArray(cost.to_numpy()[::-1], coords={"customer": cost.index[::-1]}, dims="customer"),
    )
    for given in costs:
        value = predict(buying, customers, spending=spending, acquisition_cost=given, seed=1)
        np.testing.assert_array_equal(value["acquisition_cost"], np.arange(SIZE))
    with pytest.raises(InputError, match="1 customers have none, such as 'c00003', and 1 of its ids"):
        predict(
            buying, customers, spending=spending, acquisition_cost=cost.rename({"c00003": "stranger"}), seed=1
        )
    with pytest.raises(InputError, match="by id"):
        predict(buying, customers, spending=spending, acquisition_cost=cost.to_numpy(), seed=1)
    with pytest.raises(InputError, match="1 of 300 are not, such as -1"):
        predict(buying, customers, spending=spending, acquisition_cost=cost.replace(7.0, -1.0), seed=1)


def test_no_repeat_spend_means_the_populations_spend(buying, spending, customers):
    one = customers.isel(customer=[0])

    def value_of(**columns):
        changed = one.assign({name: ("customer", [value]) for name, value in columns.items()})
        return predict(buying, changed, spending=spending, seed=1).isel(customer=0)

    never = value_of(frequency=0, recency=0.0, monetary_value=np.nan)
    free = value_of(frequency=0, recency=0.0, monetary_value=0.0)
    assert float(never["spend_mean"]) == float(free["spend_mean"])
    bought_for_nothing = value_of(frequency=2, recency=20.0, monetary_value=0.0)
    each = gamma_gamma.population_mean_spend(
        **{name: spending["posterior"][name].to_numpy() for name in gamma_gamma.PARAMETERS}
    ).mean()
    ratio = float(bought_for_nothing["spend_mean"] / bought_for_nothing["purchases_mean"])
    # 500 draws of a spend with q = 3.7, whose relative deviation is below 1.
    assert abs(ratio / each - 1) < 4 / math.sqrt(float(bought_for_nothing["probability_active"]) * 500)


def test_a_mean_that_does_not_exist_is_nan_with_its_reason(buying, make_spending, customers):
    # q = 0.9: without repeat spend the mean is infinite; from one occasion on p x + q > 2.
    value = predict(buying, customers, spending=make_spending(sd=0.0, q=0.9), seed=1)
    once = (customers["frequency"] == 0).to_numpy()
    for name in ("spend_mean", "value_mean", "value_sd", "lifetime_value_mean"):
        np.testing.assert_array_equal(np.isnan(value[name]), once, err_msg=name)
    assert np.isfinite(value["value_q95"]).all()
    reasons = value.attrs["reasons"]
    assert f"NaN for {once.sum()} of {SIZE} customers" in reasons[0]
    assert "500 of 500 posterior draws" in reasons[0]
    # 1 < q < 2: the mean exists, its variance does not.
    value = predict(buying, customers, spending=make_spending(sd=0.0, q=1.5), seed=1)
    assert np.isfinite(value["value_mean"]).all()
    np.testing.assert_array_equal(np.isnan(value["value_sd"]), once)
    assert "value_sd: NaN" in value.attrs["reasons"][0]


def test_customers_from_elsewhere_have_no_history_of_spend(buying, spending, customers):
    value = predict(buying, customers.drop_vars("historical_spend"), spending=spending, seed=1)
    assert np.isnan(value["historical_value"]).all()
    assert np.isfinite(value["value_mean"]).all()
    assert "historical_spend" in value.attrs["reasons"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 0}, "margin must be finite and above 0; 0.3 means 30 %"),
        ({"margin": math.nan}, "margin must be finite"),
        ({"margin": "30 %"}, "margin must be a number"),
        ({"annual_discount_rate": -1}, "must be a finite number above -1"),
        ({"horizon": "52 fortnights"}, "is not known"),
        ({"horizon": -1}, "positive and finite"),
        ({"acquisition_cost": math.inf}, "acquisition_cost must be finite"),
    ],
)
def test_bad_arguments_are_refused(buying, spending, customers, change, message):
    with pytest.raises(InputError, match=message):
        predict(buying, customers, spending=spending, seed=1, **change)


def test_swapped_posteriors_other_units_and_missing_spend_are_refused(
    buying, spending, make_spending, customers
):
    with pytest.raises(InputError, match="gamma_gamma"):
        predict(spending, customers, spending=buying, seed=1)
    with pytest.raises(InputError, match="'month' and the customers' is 'week'"):
        predict(buying, customers, spending=make_spending(time_unit="month"), seed=1)
    with pytest.raises(InputError, match="no monetary_value"):
        predict(buying, customers.drop_vars("monetary_value"), spending=spending, seed=1)


def test_unequal_numbers_of_draws_are_paired(buying, make_spending, customers):
    few = predict(buying, customers, spending=make_spending(sd=0.0, draws=30), seed=1)
    many = predict(buying, customers, spending=make_spending(sd=0.0, draws=700), seed=1)
    xr.testing.assert_identical(few, many)


def test_every_amount_states_unit_and_level(value):
    for name in ("spend_mean", "value_mean", "value_q05", "lifetime_value_mean", "value_total"):
        assert value[name].attrs["units"] == "money", name
        assert value[name].attrs["level"] == "outcome", name
    assert value.attrs["margin"] == 0.3
    assert value.attrs["annual_discount_rate"] == 0.1
    assert value.attrs["horizon"] == 52.0


def test_the_result_survives_a_file(value, tmp_path):
    value.to_netcdf(tmp_path / "value.nc")
    with xr.open_dataset(tmp_path / "value.nc") as restored:
        xr.testing.assert_equal(restored.load(), value)


def test_the_table_has_its_columns(value, buying, spending, customers):
    table = as_table(value)
    summaries = ("mean", "sd", "q05", "q25", "q50", "q75", "q95")
    assert list(table.columns) == [
        *("customer_id", "frequency", "recency", "T", "monetary_value", "historical_value"),
        *("probability_alive", "purchase_rate_mean", "dropout_mean", "purchases_expected"),
        *(f"purchases_{name}" for name in summaries),
        *(f"value_{name}" for name in summaries),
        "lifetime_value_mean",
    ]
    assert (table["customer_id"] == customers["customer"].to_numpy()).all()
    np.testing.assert_array_equal(table["value_mean"], value["value_mean"])
    bought = ("customer", np.arange(SIZE))
    held = customers.assign(holdout_purchases=bought, holdout_spend=("customer", np.ones(SIZE)))
    held.attrs["holdout_duration"] = 39.0
    with_holdout = as_table(predict(buying, held, spending=spending, seed=1))
    assert list(with_holdout.columns) == [*table.columns, "holdout_purchases", "holdout_spend"]
    with pytest.raises(InputError, match="lack value_sd"):
        as_table(value.drop_vars("value_sd"))


def test_the_table_of_purchases_alone_has_no_money(buying, customers):
    table = as_table(predict(buying, customers.drop_vars("monetary_value"), seed=1))
    assert not any(name.startswith(("value", "historical", "lifetime", "monetary")) for name in table.columns)
    assert list(table.columns[:5]) == ["customer_id", "frequency", "recency", "T", "probability_alive"]


def test_requests_are_in_money_after_margin(buying, spending, customers, value):
    asked = predict(
        buying,
        customers,
        spending=spending,
        margin=0.3,
        annual_discount_rate=0.1,
        seed=1,
        keep_draws=True,
        value_above=(10.0, 50.0),
        periods=13,
        top_share=0.1,
    )
    for name in value:
        xr.testing.assert_identical(asked[name].drop_attrs(), value[name].drop_attrs())
    np.testing.assert_array_equal(asked["threshold"], [10.0, 50.0])
    for i, amount in enumerate((10.0, 50.0)):
        np.testing.assert_array_equal(
            asked["value_above"][:, i], (asked["value"] > amount).mean(("chain", "draw"))
        )
    np.testing.assert_allclose(asked["value_period_total"].sum("period"), asked["value_total"], rtol=1e-12)
    np.testing.assert_allclose(asked["value_period_mean"].sum("period"), asked["value_mean"], rtol=1e-11)
    assert asked["value_period_mean"].dims == ("customer", "period")
    assert asked["value_period_total"].attrs["units"] == "money"
    # Who is at the top does not depend on the margin, the same for all.
    full = predict(buying, customers, spending=spending, annual_discount_rate=0.1, seed=1, top_share=0.1)
    np.testing.assert_array_equal(full["probability_top"], asked["probability_top"])


def test_the_value_of_a_period_whose_mean_does_not_exist_is_nan(buying, make_spending, customers):
    value = predict(buying, customers, spending=make_spending(sd=0.0, q=0.9), seed=1, periods=2)
    once = (customers["frequency"] == 0).to_numpy()
    np.testing.assert_array_equal(np.isnan(value["value_period_mean"]).any("period"), once)
    assert np.isfinite(value["value_period_total"]).all()


@pytest.mark.parametrize("amounts", [(), (-1.0,), (5.0, 5.0), (5.0, 1.0), (math.nan,), "much"])
def test_bad_thresholds_are_refused(buying, spending, customers, amounts):
    with pytest.raises(InputError, match=r"value_above must be .*amounts of money.*such as \(10.0, 50.0\)"):
        predict(buying, customers, spending=spending, seed=1, value_above=amounts)
