"""Several models on one holdout: each column is what evaluate says of that model alone."""

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


def test_each_model_is_scored_as_alone(base, models):
    found = clv.compare_holdout(base, models, seed=2, baselines=("past_rate",), draws=20)
    assert list(found["forecast"].values) == ["sharp", "priced", "past_rate"]
    future = clv.predict(models["sharp"], base, 20.0, seed=2)
    alone = clv.evaluate(base, future, buying=models["sharp"], baselines=("past_rate",), draws=20)
    for name in ("mae", "rmse", "crps", "log_score", "total_error", "concordance", "pit_distance"):
        for ours, theirs in (("sharp", "model"), ("past_rate", "past_rate")):
            assert float(found[name].sel(forecast=ours)) == pytest.approx(
                float(alone[name].sel(forecast=theirs)), nan_ok=True
            ), name
    future = clv.predict_value(*models["priced"], base, horizon=20.0, seed=2)
    alone = clv.evaluate(base, future, buying=models["priced"][0], baselines=(), draws=20)
    for name in ("crps", "log_score", "spend_mae", "spend_total_error"):
        assert float(found[name].sel(forecast="priced")) == pytest.approx(float(alone[name][0])), name
    assert np.isnan(found["spend_mae"].sel(forecast="sharp"))
    assert "sharp: no amounts" in found.attrs["reasons"]


def test_the_difference_of_crps_is_paired_with_the_first_model(base, models):
    found = clv.compare_holdout(base, models, seed=2, draws=20)
    each = [
        clv.predict(model, base, 20.0, seed=2)["crps"].values
        for model in (models["sharp"], models["priced"][0])
    ]
    worse = each[1] - each[0]
    assert float(found["crps_worse"].sel(forecast="priced")) == pytest.approx(worse.mean())
    se = worse.std(ddof=1) / np.sqrt(300)
    assert float(found["crps_worse_se"].sel(forecast="priced")) == pytest.approx(se)
    table = clv.evaluation_table(found)
    assert {"sharp", "priced"} <= set(table.columns)
    assert table.set_index("measure").loc["crps_worse", "meaning"] == "CRPS less that of sharp"


def test_refusals(base, models):
    with pytest.raises(clv.InputError, match="no model to compare"):
        clv.compare_holdout(base, {}, seed=1)
    with pytest.raises(clv.InputError, match="name of a model and of a simple rule"):
        clv.compare_holdout(base, {"past_rate": models["sharp"]}, seed=1, baselines=("past_rate",))
    with pytest.raises(clv.InputError, match="no holdout"):
        clv.compare_holdout(base.drop_vars("holdout_purchases"), models, seed=1)
