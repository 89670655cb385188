"""Forecasts that come in from elsewhere: the same scores as the compiled kernel's, from the draws themselves."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from bayes_clv.scoring.draws import ensemble_crps

LEVELS = (50, 80, 90, 95)


@pytest.fixture(scope="module")
def customers(estimates, spend):
    """Return 200 customers of a simulated log, 26 weeks of calibration and 13 of holdout, money discounted."""
    log = clv.synthetic.simulate_orders(
        estimates, spend, customers=200, seed=4, start="2024-01-01", until="2024-09-29"
    )
    return clv.summarize(log, until="2024-06-30", holdout_until="2024-09-29", holdout_discount_rate=0.1)


@pytest.fixture(scope="module")
def future(make_buying, make_spending, customers):
    return clv.predict(
        make_buying(draws=100),
        customers,
        13.0,
        spending=make_spending(draws=100),
        margin=0.3,
        annual_discount_rate=0.1,
        keep_draws=True,
        seed=5,
    )


def given(future, **changes):
    drawn = {name: future[name] for name in ("purchases", "spend", "value")}
    return drawn | {"margin": 0.3, "annual_discount_rate": 0.1} | changes


def test_crps_of_draws_is_the_double_sum():
    rng = np.random.default_rng(1)
    draws, observed = rng.gamma(0.3, 40.0, (50, 8)), rng.gamma(0.3, 40.0, 8)
    spread = np.abs(draws[:, None] - draws[None]).mean(axis=(0, 1)) / 2
    np.testing.assert_allclose(
        ensemble_crps(np.sort(draws, axis=0), observed),
        np.abs(draws - observed).mean(axis=0) - spread,
        rtol=1e-10,
    )
    assert (ensemble_crps(np.full((50, 2), 0.1), np.array([0.1, 0.3])) == [0.0, pytest.approx(0.2)]).all()


def test_draws_are_scored_as_the_kernel_scores_its_own(customers, future):
    ours = clv.scoring.forecast(customers, "13 weeks", **given(future))
    compared = [str(name) for name in ours.data_vars if name in future]
    for prefix in ("", "spend_", "value_"):
        names = ["draws_below", "draws_equal", "crps"] + ["log_crps"] * bool(prefix)
        names += [f"{name}_{level}" for name in ("mass", "inside") for level in LEVELS]
        assert {prefix + name for name in names} <= set(compared)
    assert {"purchases_total", "active_total", "spend_total", "value_total"} <= set(compared)
    for name in compared:
        np.testing.assert_allclose(
            ours[name].values.ravel(), future[name].values.ravel(), rtol=1e-10, atol=1e-10, err_msg=name
        )
    assert ours.attrs["money_unit"] == future.attrs["money_unit"]


def test_it_is_evaluated_as_the_prediction_is(customers, future):
    ours = clv.scoring.forecast(customers, 13.0, **given(future), label="a peer")
    found = clv.evaluate({"ours": ours, "theirs": future}, customers, baselines=())
    assert found["label"].values.tolist()[0] == "a peer"
    for name in found.data_vars:
        if "forecast" in found[name].dims and "worse" not in str(name):
            one, two = (found[name].sel(forecast=each).values for each in ("ours", "theirs"))
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-10, err_msg=str(name))
    np.testing.assert_allclose(found["crps_worse"].values[1], 0, atol=1e-12)


def test_ids_match_and_not_positions(customers, future):
    order = np.random.default_rng(2).permutation(customers.sizes["customer"])
    right = clv.scoring.forecast(customers, 13.0, **given(future))
    turned = given(future) | {name: future[name].isel(customer=order) for name in ("purchases", "spend")}
    xr.testing.assert_identical(clv.scoring.forecast(customers, 13.0, **turned), right)
    mean = future["purchases_mean"].to_series()
    by_id = clv.scoring.forecast(customers, 13.0, purchases=mean.iloc[order])
    bare = clv.scoring.forecast(customers, 13.0, purchases=mean.to_numpy())
    xr.testing.assert_identical(by_id, bare)
    drawn = future["purchases"].values.reshape(-1, 200)
    frame = pd.DataFrame(drawn[:, order], columns=customers["customer"].values[order])
    found = clv.scoring.forecast(customers, 13.0, purchases=frame)
    np.testing.assert_array_equal(found["draws_below"], right["draws_below"])


def test_a_mean_is_a_poisson_and_money_a_point(customers):
    bought, spent = (customers[name].values for name in ("holdout_purchases", "holdout_spend"))
    mean, money = 0.1 + 0.5 * customers["frequency"].values, 20.0 + 0 * spent
    found = clv.scoring.forecast(customers, 13.0, purchases=mean, spend=money)
    assert found.attrs["note"] == "purchases Poisson around the mean; money a point"
    np.testing.assert_allclose(found["draws_below"], stats.poisson.cdf(bought - 1, mean), atol=1e-12)
    np.testing.assert_allclose(found["holdout_probability"], stats.poisson.pmf(bought, mean), rtol=1e-12)
    np.testing.assert_allclose(found["probability_active"], 1 - np.exp(-mean), rtol=1e-12)
    np.testing.assert_allclose(found["spend_crps"], np.abs(spent - 20))
    unit = float(customers["historical_spend"].sum() / (1 + customers["frequency"]).sum())
    np.testing.assert_allclose(found["spend_log_crps"], np.abs(np.log((1 + 20 / unit) / (1 + spent / unit))))
    assert not {"spend_draws_below", "spend_inside_90", "purchases_total"} & set(found.data_vars)
    # A forecast of who buys at all may be another one's.
    own = clv.scoring.forecast(customers, 13.0, purchases=mean, active=0.25 + 0 * mean)
    scores = clv.scoring.score(own, customers, baselines=())
    real = scores["retained"].values
    np.testing.assert_allclose(scores["retention_brier"].values[0], np.where(real, 0.75**2, 0.25**2))
    np.testing.assert_allclose(scores["retention_log_score"].values[0], -np.log(np.where(real, 0.25, 0.75)))


def test_quantiles_are_draws_of_each_customer_and_no_total(customers):
    levels = (np.arange(400) + 0.5) / 400
    shape = 1.0 + customers["frequency"].values
    quantiles = xr.DataArray(
        stats.gamma.ppf(levels[:, None], shape),
        dims=("quantile", "customer"),
        coords={"quantile": levels, "customer": customers["customer"]},
    )
    found = clv.scoring.forecast(customers, 13.0, purchases=quantiles)
    assert "purchases_total" not in found
    # CRPS of a Gamma of scale 1 (Scheuerer & Möller 2015); 400 quantiles miss a part of the tails, beyond 1/800.
    y = customers["holdout_purchases"].values.astype(float)
    below = stats.gamma.cdf(y, shape)
    exact = (
        y * (2 * below - 1)
        - shape * (2 * stats.gamma.cdf(y, shape + 1) - 1)
        - 1 / np.array([math.exp(math.lgamma(0.5) + math.lgamma(a) - math.lgamma(a + 0.5)) for a in shape])
    )
    np.testing.assert_allclose(found["crps"], exact, atol=0.01)
    with pytest.raises(clv.InputError, match="must be at .i - 1/2. / 400: 0.00125, 0.00375"):
        clv.scoring.forecast(
            customers, 13.0, purchases=quantiles.assign_coords(quantile=np.linspace(0.01, 0.99, 400))
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"purchases": np.ones(3)}, "of 200 customers; it has the shape .3,."),
        ({"purchases": np.full(200, np.nan)}, "'purchases' is missing"),
        ({"purchases": -np.ones((5, 200))}, "'purchases' is negative for 200 of 200"),
        ({"spend": np.ones((50, 200))}, "The draws are 200 of purchases, 50 of spend"),
        ({"active": np.full(200, 1.5)}, "'active' is above 1"),
        ({"margin": -1.0}, "margin must be finite and above 0"),
    ],
)
def test_what_is_no_forecast_is_refused(customers, future, changes, message):
    with pytest.raises(clv.InputError, match=message):
        clv.scoring.forecast(customers, 13.0, **(given(future) | changes))


def test_another_horizon_or_customer_is_refused(customers, future):
    with pytest.raises(clv.InputError, match="The forecast is of 26 weeks and the holdout has 13"):
        clv.scoring.forecast(customers, "26 weeks", **given(future))
    with pytest.raises(clv.InputError, match="no holdout"):
        clv.scoring.forecast(customers.drop_vars("holdout_purchases"), 13.0, **given(future))
    with pytest.raises(clv.InputError, match="1 of 200 customers have none"):
        clv.scoring.forecast(customers, 13.0, purchases=future["purchases_mean"][1:])
    mean = clv.scoring.forecast(customers, 13.0, purchases=future["purchases_mean"])
    with pytest.raises(clv.InputError, match="it has no posterior"):
        clv.evaluate(mean, customers, buying=clv_tree())


def clv_tree():
    """Return a posterior of one draw."""
    values = {name: (("chain", "draw"), [[1.0]]) for name in ("r", "alpha", "a", "b")}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(values, coords={"chain": [0], "draw": [0]})})
    tree.attrs = {"family": "bg_nbd", "time_unit": "week"}
    return tree


def test_a_small_probability_of_buying_or_not_keeps_its_digits(customers):
    few = customers.isel(customer=slice(3)).assign(holdout_purchases=("customer", [0, 1, 0]))
    mean = np.array([80.0, 1e-20, 1e-20])
    made = clv.scoring.forecast(few, "13 weeks", purchases=mean)
    scores = clv.scoring.score(made, few, baselines=())
    # Poisson: P(0) = exp(-80), P(any) = 1e-20.
    found = scores["retention_log_score"].sel(forecast="model").values
    np.testing.assert_allclose(found, [80.0, -np.log(1e-20), 0.0], rtol=1e-6, atol=1e-12)
