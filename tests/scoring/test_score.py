"""Scores of forecasts whose truth is known: the posterior is certain and right, or certain and wrong."""

import json
import math

import numpy as np
import pytest

from bayes_clv.predictions.forecasts import predict
from bayes_clv.schema import InputError
from bayes_clv.scoring.holdout import score_holdout
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

SIZE = 3000


@pytest.fixture(scope="module")
def customers(make_customers, cdnow):
    """Return customers whose holdout of 39 weeks is drawn from the model, given their histories."""
    made = make_customers(SIZE, seed=5)
    rng = np.random.default_rng(6)
    history = (made[name].values for name in ("frequency", "recency", "T"))
    alive, rate, dropout = bg_nbd.latent_draws(rng, *history, **cdnow)
    bought = alive * np.minimum(rng.poisson(rate * 39.0), rng.geometric(dropout))
    made["holdout_purchases"] = ("customer", bought.astype(np.int64))
    return made.assign_attrs(holdout_duration=39.0, holdout_until="1998-06-30")


@pytest.fixture(scope="module")
def future(make_buying, customers):
    return predict(make_buying(sd=0.0), customers, "39 weeks", seed=1)


@pytest.fixture(scope="module")
def score(customers, future):
    return score_holdout(customers, future)


def test_the_truth_covers_what_it_promises(score):
    # Covered - promised has the binomial error of the customers; that of 500 draws is far smaller.
    for part in [score["coverage"], *(row["coverage"] for row in score["coverage_by_frequency"])]:
        size = SIZE if part is score["coverage"] else None
        size = size or next(r["customers"] for r in score["coverage_by_frequency"] if r["coverage"] is part)
        for shares in part.values():
            promised = shares["promised"]
            error = math.sqrt(promised * (1 - promised) / size)
            assert abs(shares["covered"] - promised) < 4 * error + 1 / size
    assert score["coverage"]["90"]["promised"] >= 0.9
    assert score["coverage"]["50"]["promised"] >= 0.5


def test_the_truth_has_even_ranks_and_no_bias(score):
    # A uniform rank has variance 1/12; the spread-out rank of a count has less.
    assert abs(score["pit"]["mean"] - 0.5) < 4 * math.sqrt(1 / 12 / SIZE)
    histogram = np.array(score["pit"]["histogram"])
    assert histogram.sum() == pytest.approx(1)
    assert (np.abs(histogram - 0.1) < 4 * math.sqrt(0.09 / SIZE)).all()
    assert 0.001 < score["total"]["rank"] < 0.999
    assert score["total"]["bias"] == pytest.approx(score["total"]["mean"] - score["total"]["observed"])
    assert sum(row["customers"] for row in score["coverage_by_frequency"]) == SIZE


def test_a_wrong_forecast_scores_worse(make_buying, customers, score):
    # An alpha above all ages makes everybody a slow buyer.
    wrong = score_holdout(customers, predict(make_buying(sd=0.0, alpha=60.0), customers, 39, seed=1))
    assert wrong["crps"] > score["crps"]
    assert wrong["total"]["bias"] < 0
    assert not wrong["total"]["covered"]
    assert wrong["pit"]["mean"] > 0.5 + 4 * math.sqrt(1 / 12 / SIZE)


def test_errors_are_those_of_the_mean(customers, future, score):
    error = future["purchases_mean"] - customers["holdout_purchases"]
    assert score["mae"] == pytest.approx(float(np.abs(error).mean()))
    assert score["rmse"] == pytest.approx(float((error**2).mean() ** 0.5))
    json.dumps(score, allow_nan=False)


def test_customers_are_matched_by_id(customers, future, score):
    order = np.random.default_rng(0).permutation(SIZE)
    shuffled = score_holdout(customers.isel(customer=order), future)
    assert shuffled["crps"] == score["crps"]
    assert shuffled["coverage"] == score["coverage"]


def test_only_a_forecast_of_this_holdout_is_scored(make_buying, customers, future):
    with pytest.raises(InputError, match="no holdout"):
        score_holdout(customers.drop_vars("holdout_purchases"), future)
    with pytest.raises(InputError, match="future runs 26 weeks and the holdout 39 weeks"):
        score_holdout(customers, predict(make_buying(sd=0.0, draws=5), customers, 26, seed=1))
    with pytest.raises(InputError, match="ids differ"):
        score_holdout(customers.isel(customer=slice(10)), future)
    blind = customers.drop_vars("holdout_purchases")
    with pytest.raises(InputError, match="not simulated beside this holdout"):
        score_holdout(customers, predict(make_buying(sd=0.0, draws=5), blind, 39, seed=1))
    changed = customers.assign(holdout_purchases=customers["holdout_purchases"] + 1)
    with pytest.raises(InputError, match="not simulated beside this holdout"):
        score_holdout(changed, future)


def test_a_posterior_that_has_seen_the_holdout_is_refused(make_buying, customers):
    late = make_buying(draws=10)
    late.attrs["until"] = "1998-01-31"
    future = predict(late, customers, 39.0, seed=1)
    with pytest.raises(InputError, match="fitted on orders until 1998-01-31.*would be in-sample"):
        score_holdout(customers, future)
