"""Several models on one holdout: each is scored as it is alone."""

import numpy as np
import pytest

import bayes_clv as clv


@pytest.fixture(scope="module")
def base(make_customers):
    customers = make_customers(300, seed=6)
    rng = np.random.default_rng(7)
    customers["holdout_purchases"] = ("customer", rng.poisson(0.4 * customers["frequency"].values))
    customers["holdout_spend"] = ("customer", 20.0 * customers["holdout_purchases"].values)
    return customers.assign_attrs(holdout_duration=20.0)


@pytest.fixture(scope="module")
def models(make_buying, make_spending):
    return {
        "sharp": make_buying(sd=0.02, draws=100),
        "priced": (make_buying(sd=0.02, draws=100, r=0.9, alpha=20.0), make_spending(draws=100)),
    }


@pytest.fixture(scope="module")
def futures(base, models):
    """Return each model's forecast, all with one seed."""
    return {
        "sharp": clv.predict(models["sharp"], base, 20.0, seed=2),
        "priced": clv.predict(models["priced"][0], base, 20.0, spending=models["priced"][1], seed=2),
    }


@pytest.fixture(scope="module")
def buying(models):
    return {"sharp": models["sharp"], "priced": models["priced"][0]}


def test_each_model_is_scored_as_alone(base, futures, buying):
    found = clv.evaluate(futures, base, buying=buying, baselines=("past_rate",), draws=20)
    assert found["forecast"].values.tolist() == ["sharp", "priced", "past_rate"]
    assert found["kind"].values.tolist() == ["model", "model", "rule"]
    alone = clv.evaluate(futures["sharp"], base, buying=buying["sharp"], baselines=("past_rate",), draws=20)
    for name in (
        "mae",
        "rmse",
        "crps",
        "log_score",
        "total_error",
        "total_q95",
        "concordance",
        "pit_distance",
    ):
        for ours, theirs in (("sharp", "model"), ("past_rate", "past_rate")):
            assert float(found[name].sel(forecast=ours)) == pytest.approx(
                float(alone[name].sel(forecast=theirs)), nan_ok=True
            ), name
    alone = clv.evaluate(futures["priced"], base, buying=buying["priced"], baselines=(), draws=20)
    for name in ("crps", "log_score", "spend_mae", "spend_total_error"):
        assert float(found[name].sel(forecast="priced")) == pytest.approx(float(alone[name][0])), name
    assert np.isnan(found["spend_mae"].sel(forecast="sharp"))
    assert any(reason.startswith("sharp: no amounts") for reason in found.attrs["reasons"])


def test_the_difference_of_crps_is_paired_with_the_first_model(base, futures):
    # In another order of customers than the first: matched by id.
    turned = futures | {"priced": futures["priced"].isel(customer=slice(None, None, -1))}
    found = clv.evaluate(turned, base, baselines=())
    worse = futures["priced"]["crps"].values - futures["sharp"]["crps"].values
    assert float(found["crps_worse"].sel(forecast="priced")) == pytest.approx(worse.mean())
    se = worse.std(ddof=1) / np.sqrt(300)
    assert float(found["crps_worse_se"].sel(forecast="priced")) == pytest.approx(se)
    assert found["crps_worse"].attrs["long_name"] == "CRPS less that of sharp"


def test_a_posterior_or_tracking_belongs_to_the_model_of_its_name(base, futures, buying):
    found = clv.evaluate(futures, base, buying={"priced": buying["priced"]}, baselines=(), draws=20)
    assert np.isnan(found["log_score"].sel(forecast="sharp"))
    assert np.isfinite(found["log_score"].sel(forecast="priced"))
    # A single one is the first model's.
    found = clv.evaluate(futures, base, buying=buying["sharp"], baselines=(), draws=20)
    assert np.isnan(found["log_score"].sel(forecast="priced"))
    assert np.isfinite(found["log_score"].sel(forecast="sharp"))


def test_refusals(base, futures, buying):
    with pytest.raises(clv.InputError, match="no model to evaluate"):
        clv.evaluate({}, base)
    with pytest.raises(clv.InputError, match="name of a model and of a simple rule"):
        clv.evaluate({"past_rate": futures["sharp"]}, base, baselines=("past_rate",))
    with pytest.raises(clv.InputError, match="no holdout"):
        clv.evaluate(futures, base.drop_vars("holdout_purchases"))
    with pytest.raises(
        clv.InputError, match="buying names 'blunt', which is no model of value: sharp, priced"
    ):
        clv.evaluate(futures, base, buying={"blunt": buying["sharp"]})
