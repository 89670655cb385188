"""Spend that moves: trends from sums against regression by hand, and what they do to totals of money."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.problems import SPEND_ERRORS
from bayes_clv.views.reporting import checks, verdicts


def orders_of(rng, customers=120, *, by_year=0.0, december=1.0):
    """Orders over 1999 and 2000 whose amounts rise by a customer's age, and in December."""
    rows = []
    for customer in range(customers):
        first = int(rng.integers(0, 365))
        days = np.unique(np.concatenate([[first], rng.integers(first, 730, rng.poisson(5))]))
        level = np.exp(3 + 0.5 * rng.standard_normal())
        date = np.datetime64("1999-01-01") + days
        amount = level * np.exp(by_year * (days - first) / 365.25 + 0.3 * rng.standard_normal(days.size))
        amount *= np.where(date.astype("datetime64[M]").astype(int) % 12 == 11, december, 1.0)
        rows += zip([f"{customer:04}"] * days.size, date, np.round(amount, 2), strict=True)
    return pd.DataFrame(rows, columns=["customer_id", "date", "spend"])


def by_hand(orders, covariate):
    """Slope and error of a regression with a constant for each customer, and its residuals added up by customer."""
    repeats = orders[orders["number"] > 0]
    repeats = repeats[repeats.groupby("customer_id")["date"].transform("size") > 1]
    own = repeats.groupby("customer_id")[["y", covariate]].transform("mean")
    x, y = repeats[covariate] - own[covariate], repeats["y"] - own["y"]
    slope = (x * y).sum() / (x**2).sum()
    score = (x * (y - slope * x)).groupby(repeats["customer_id"]).sum()
    return slope, np.sqrt((score**2).sum()) / (x**2).sum(), repeats[covariate].mean()


def test_trends_from_sums_are_those_of_a_regression_with_a_constant_for_each_customer():
    orders = orders_of(np.random.default_rng(1), by_year=0.4).sort_values(["customer_id", "date"])
    found = clv.summarize(orders.sample(frac=1, random_state=2), also=("spend_trends",))
    orders["number"] = orders.groupby("customer_id").cumcount()
    first = orders.groupby("customer_id")["date"].transform("min")
    orders["age"] = (orders["date"] - first).dt.days / 365.25
    orders["order_number"] = np.log2(orders["number"] + 1)
    orders["y"] = np.log(orders["spend"])
    for name in ("age", "order_number"):
        of_trend = found.sel(spend_trend=name)
        known = [float(of_trend[f"trend_{end}"]) for end in ("slope", "error", "centre")]
        # Logarithms are rounded to 1e-6 each.
        np.testing.assert_allclose(known, by_hand(orders, name), rtol=1e-5)
    repeats = orders[orders["number"] > 0]
    repeats = repeats[repeats.groupby("customer_id")["date"].transform("size") > 1]
    d = repeats["y"] - repeats.groupby("customer_id")["y"].transform("mean")
    month = repeats["date"].dt.strftime("%Y-%m")
    assert found["spend_month"].dt.strftime("%Y-%m").to_numpy().tolist() == sorted(month.unique())
    np.testing.assert_array_equal(found["month_orders"], month.value_counts().sort_index())
    np.testing.assert_allclose(found["month_deviation"], d.groupby(month).mean(), atol=2e-6)
    of_both = d.groupby([month, repeats["customer_id"]]).sum()
    error = np.sqrt((of_both**2).groupby(level=0).sum()) / month.value_counts().sort_index()
    np.testing.assert_allclose(found["month_error"], error, atol=2e-6)


def test_trends_need_amounts_and_say_nothing_of_customers_with_one_repeat():
    orders = pd.DataFrame(
        {
            "customer_id": ["a", "a", "b", "b"],
            "date": ["2000-01-01", "2000-02-01"] * 2,
            "spend": [1.0, 2, 3, 4],
        }
    )
    with pytest.raises(clv.InputError, match="needs amounts"):
        clv.summarize(orders, spend=None, also=("spend_trends",))
    found = clv.summarize(orders, also=("spend_trends",))
    assert np.isnan(found["trend_slope"].to_numpy()).all()
    assert found.sizes["spend_month"] == 0


def forecast(customers, spend):
    """A forecast of one purchase each, by hand."""
    bought = np.ones(customers.sizes["customer"])
    return xr.Dataset(
        {"purchases_mean": ("customer", bought), "spend_mean": ("customer", spend * bought)},
        attrs={"horizon": 52.0, "time_unit": "week"},
    )


def test_what_customers_of_one_frequency_spend_beside_what_is_forecast_for_them():
    """By hand: 300 who never came back spend 6 where 10 are forecast, 100 who did spend 12 where 11 are."""
    frequency = np.repeat([0, 3], [300, 100])
    customers = xr.Dataset(
        {
            "frequency": ("customer", frequency),
            "monetary_value": ("customer", np.where(frequency > 0, 12.0, np.nan)),
            "first_spend": ("customer", np.where(frequency > 0, 24.0, 12.0)),
            "T": ("customer", np.full(400, 52.0)),
        },
        attrs={"time_unit": "week"},
    )
    found = clv.scoring.spend_check(customers, forecast(customers, np.where(frequency > 0, 11.0, 10.0)))
    assert found["frequency"]["off"] == pytest.approx((300 * 10 + 100 * 11) / (300 * 6 + 100 * 12) - 1)
    assert [(each["least"], each["customers"]) for each in found["frequency"]["classes"]] == [
        (0, 300),
        (2, 100),
    ]
    assert [each["more"] for each in found["frequency"]["classes"]] == pytest.approx([-0.4, 1 / 11])
    (said,) = verdicts.spend_words(found)
    assert said.startswith("Buyers without a repeat order spend 40 % less an order than the model says")
    (failed,) = checks.spend_problems(found, xr.DataTree())
    assert failed.code == "spend_by_frequency"
    assert "totals of money are 36.7 % too high" in failed.found
    json.dumps(found, allow_nan=False)


def test_where_spend_is_as_the_model_has_it_errors_are_those_of_chance():
    """Of 40 bases; their mean square error is a chi-square of 40 over 40, beyond .45 and 1.7 once in 1,000."""
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.poisson(rng.gamma(0.5, 3.0, 1500))
        level = rng.gamma(4, 10, x.size)
        mean = np.where(x > 0, level * rng.gamma(6 * np.maximum(x, 1)) / (6 * np.maximum(x, 1)), np.nan)
        customers = xr.Dataset(
            {
                "frequency": ("customer", x),
                "monetary_value": ("customer", mean),
                "first_spend": ("customer", level * rng.gamma(6, size=x.size) / 6),
                "T": ("customer", np.full(x.size, 52.0)),
            }
        )
        # Every level Gamma(4, 10): the conjugate of the rate it is not, but its mean is that of all.
        found = clv.scoring.spend_check(customers, forecast(customers, np.full(x.size, 40.0)))["frequency"]
        ratios.append(found["off"] / found["error"])
    assert np.abs(ratios).max() < 3.3
    assert 0.45 < np.mean(np.square(ratios)) < 1.7


def test_a_trend_and_a_december_are_found_and_said():
    rng = np.random.default_rng(5)
    customers = clv.summarize(orders_of(rng, 500, by_year=0.4, december=1.8), also=("spend_trends",))
    buying = clv.fit("bg_nbd", customers, method="mode", seed=1)
    spending = clv.fit("gamma_gamma", customers, method="mode", seed=1)
    value = clv.predict(buying, customers, "52 weeks", spending=spending, seed=1)
    found = clv.scoring.spend_check(customers, value)
    age, calendar = found["age"], found["calendar"]
    assert abs(np.log1p(age["slope"]) - 0.4) < SPEND_ERRORS * 0.1
    assert age["off"] == pytest.approx(np.expm1(-np.log1p(age["slope"]) * age["ahead"]))
    assert age["off"] < -3 * age["error"]
    assert calendar["highest"] == "2000-12"
    assert calendar["spread"] > 0.05
    assert calendar["chance"] < 1e-3
    codes = [each.code for each in checks.spend_problems(found, spending)]
    assert {"spend_by_age", "spend_by_month"} <= set(codes)
    moving = spending.copy()
    moving.attrs["calendar"] = "{}"
    assert not {"spend_by_age", "spend_by_month"} & {
        each.code for each in checks.spend_problems(found, moving)
    }
    words = verdicts.spend_words(found)
    assert len(words) == 4
    assert "most was spent in 2000-12" in words[-1]
