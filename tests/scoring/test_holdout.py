"""Scores of forecasts whose truth is known: the posterior is certain and right, or certain and wrong."""

import json
import math

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.predictions.forecasts import predict
from bayes_clv.schema import InputError
from bayes_clv.scoring import evaluate, record
from tests.symbols import paper

SIZE = 3000


@pytest.fixture(scope="module")
def customers(make_customers, estimates):
    """Return customers whose holdout of 39 weeks is drawn from the model, given their histories."""
    made = make_customers(SIZE, seed=5)
    rng = np.random.default_rng(6)
    history = (made[name].values for name in ("frequency", "recency", "T"))
    alive, rate, dropout = paper("bg_nbd").latent_draws(rng, *history, **estimates)
    bought = alive * np.minimum(rng.poisson(rate * 39.0), rng.geometric(dropout))
    made["holdout_purchases"] = ("customer", bought.astype(np.int64))
    return made.assign_attrs(holdout_duration=39.0, holdout_until="1998-06-30")


@pytest.fixture(scope="module")
def future(make_buying, customers):
    return predict(make_buying(sd=0.0), customers, "39 weeks", seed=1)


@pytest.fixture(scope="module")
def scored(customers, future):
    """Return the evaluation of the model alone."""
    return evaluate(future, customers, baselines=()).isel(forecast=0)


def test_the_truth_covers_what_it_promises(scored):
    # Covered - promised has the binomial error of the customers; that of 500 draws is far smaller.
    for level in (50, 90):
        each = scored.sel(interval=level)
        rows = [(each["covered"], each["promised"], SIZE)]
        by_frequency = (each[f"{name}_by_frequency"] for name in ("covered", "promised", "customers"))
        rows += list(zip(*(row.values for row in by_frequency), strict=True))
        for covered, promised, size in rows:
            error = math.sqrt(promised * (1 - promised) / size)
            assert abs(covered - promised) < 4 * error + 1 / size
        assert each["promised"] >= level / 100


def test_the_error_of_what_is_covered_is_that_of_customers_who_share_a_draw(scored, make_buying, customers):
    size = customers.sizes["customer"]
    for level in (50, 90):
        each = scored.sel(interval=level)
        independent = math.sqrt(each["promised"] * (1 - each["promised"]) / size)
        # One population in all draws: customers are independent. 500 draws leave an error of 3.2 %; their own
        # probabilities differ, which takes a little away.
        assert 0.8 < each["covered_se"] / independent < 1 + 4 * 0.032
    # Populations that differ move all customers at once.
    moving = predict(make_buying(sd=0.4), customers, "39 weeks", seed=1)
    found = evaluate(moving, customers, baselines=("past_rate",))["covered_se"].sel(interval=50)
    assert found.sel(forecast="model") > 3 * scored["covered_se"].sel(interval=50)
    # A rule has no draws.
    assert 0 < found.sel(forecast="past_rate") < 0.1


def test_the_truth_has_even_ranks_and_no_bias(scored):
    # A uniform rank has variance 1/12; the spread-out rank of a count has less.
    assert abs(scored["pit_mean"] - 0.5) < 4 * math.sqrt(1 / 12 / SIZE)
    histogram = scored["pit_histogram"].values
    assert histogram.sum() == pytest.approx(1)
    assert (np.abs(histogram - 0.1) < 4 * math.sqrt(0.09 / SIZE)).all()
    assert 0.001 < scored["total_rank"] < 0.999
    bias = scored["total_mean"] / scored["total_observed"] - 1
    assert float(scored["total_error"]) == pytest.approx(float(bias))


def test_by_frequency_it_is_what_these_customers_did(customers, future, scored):
    assert scored["frequency"].values.tolist() == ["0", "1", "2", "3", "4", "5", "6", "7+"]
    assert scored["customers_by_frequency"].sum() == SIZE
    often = (customers["frequency"] >= 7).values
    bought, mean = customers["holdout_purchases"].values[often], future["purchases_mean"].values[often]
    last = scored.sel(frequency="7+")
    assert float(last["observed_by_frequency"]) == pytest.approx(bought.mean())
    assert float(last["predicted_by_frequency"]) == pytest.approx(mean.mean())
    inside = (future["purchases_q05"].values[often] <= bought) & (
        bought <= future["purchases_q95"].values[often]
    )
    assert float(last["covered_by_frequency"].sel(interval=90)) == pytest.approx(inside.mean())
    assert float(last["promised_by_frequency"].sel(interval=90)) == pytest.approx(
        future["mass_90"].values[often].mean()
    )


def test_a_wrong_forecast_scores_worse(make_buying, customers, scored):
    # An alpha above all ages makes everybody a slow buyer.
    future = predict(make_buying(sd=0.0, alpha=60.0), customers, 39, seed=1)
    wrong = evaluate(future, customers, baselines=()).isel(forecast=0)
    assert wrong["crps"] > scored["crps"]
    assert wrong["total_error"] < 0
    assert wrong["total_covered"] == 0
    assert wrong["total_q95"] < wrong["total_observed"]
    assert wrong["pit_mean"] > 0.5 + 4 * math.sqrt(1 / 12 / SIZE)


def test_errors_are_those_of_the_mean(customers, future, scored):
    error = future["purchases_mean"] - customers["holdout_purchases"]
    assert float(scored["mae"]) == pytest.approx(float(np.abs(error).mean()))
    assert float(scored["rmse"]) == pytest.approx(float((error**2).mean() ** 0.5))
    json.dumps(record(evaluate(future, customers)), allow_nan=False)


def test_customers_are_matched_by_id(customers, future, scored):
    order = np.random.default_rng(0).permutation(SIZE)
    shuffled = evaluate(future, customers.isel(customer=order), baselines=()).isel(forecast=0)
    xr.testing.assert_identical(shuffled, scored)


def test_only_a_forecast_of_this_holdout_is_scored(make_buying, customers, future):
    with pytest.raises(InputError, match="no holdout"):
        evaluate(future, customers.drop_vars("holdout_purchases"))
    with pytest.raises(InputError, match="future runs 26 weeks and the holdout 39 weeks"):
        evaluate(predict(make_buying(sd=0.0, draws=5), customers, 26, seed=1), customers)
    with pytest.raises(InputError, match="ids differ"):
        evaluate(future, customers.isel(customer=slice(10)))
    blind = customers.drop_vars("holdout_purchases")
    with pytest.raises(InputError, match="not simulated beside this holdout"):
        evaluate(predict(make_buying(sd=0.0, draws=5), blind, 39, seed=1), customers)
    changed = customers.assign(holdout_purchases=customers["holdout_purchases"] + 1)
    with pytest.raises(InputError, match="not simulated beside this holdout"):
        evaluate(future, changed)
    with pytest.raises(InputError, match="value is no forecast of purchases"):
        evaluate(customers, future)


def test_a_posterior_that_has_seen_the_holdout_is_refused(make_buying, customers):
    late = make_buying(draws=10)
    late.attrs["until"] = "1998-01-31"
    future = predict(late, customers, 39.0, seed=1)
    with pytest.raises(InputError, match="fitted on orders until 1998-01-31.*would be in-sample"):
        evaluate(future, customers)


def test_what_is_of_another_kind_is_refused_by_name(make_buying, customers, tmp_path):
    buying = make_buying(draws=20)
    future = clv.predict(buying, customers, customers.attrs["holdout_duration"], seed=1)
    wrong = {
        "The customers are a NoneType": [
            lambda: clv.evaluate(future, None),
            lambda: clv.expected.alive(buying, None),
            lambda: clv.churn_alarms(buying, None),
        ],
        "A forecast to score is .* a NoneType": [lambda: clv.evaluate(None, customers)],
        "A forecast to score is .* a dict": [lambda: clv.evaluate({"mine": 3}, customers)],
        "come as a dict by name, .* a NoneType": [lambda: clv.compare(None)],
        "it is a Dataset": [lambda: clv.save(future, tmp_path / "future.nc")],
    }
    for message, calls in wrong.items():
        for call in calls:
            with pytest.raises(clv.InputError, match=message):
                call()
