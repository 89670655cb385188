"""Every measure against an independent computation, and the model beside rules whose scores are known."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from bayes_clv.customers.summaries import summarize
from bayes_clv.predictions.forecasts import predict
from bayes_clv.predictions.synthetic import simulate_orders
from bayes_clv.schema import QUANTILES, InputError
from bayes_clv.scoring.counts import LEVELS, count_scores
from bayes_clv.scoring.evaluation import evaluate
from bayes_clv.scoring.forecasts import closed_form_scores
from bayes_clv.scoring.measures import MEASURES, record
from bayes_clv.scoring.places import pit_distance, pit_reference
from bayes_clv.scoring.rankings import captured, concordance
from bayes_clv.scoring.tracking import simulate_tracking
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

MEANS = np.array([0.0, 0.3, 2.0, 40.0])


def poisson(rows, counts):
    return stats.poisson.pmf(counts, MEANS[rows, None])


@pytest.fixture(scope="module")
def counts():
    """Return 200 forecasts, Poisson of four means, what happened (the last is far off), and the scores."""
    rng = np.random.default_rng(1)
    row = rng.integers(0, 4, 200)
    observed = rng.poisson(MEANS[row])
    row[-1], observed[-1] = 1, 30
    return row, observed, count_scores(poisson, row, observed)


def test_counts_are_scored_as_their_distributions_say(counts):
    row, y, scores = counts
    mean = MEANS[row]
    np.testing.assert_allclose(scores.equal, stats.poisson.pmf(y, mean), rtol=1e-12)
    np.testing.assert_allclose(scores.below, stats.poisson.cdf(y - 1, mean), atol=1e-12)
    for q, quantile in zip(QUANTILES, scores.quantiles, strict=True):
        np.testing.assert_array_equal(quantile, stats.poisson.ppf(q, mean))
    for i, level in enumerate(LEVELS):
        low, high = (stats.poisson.ppf(q, mean) for q in ((1 - level / 100) / 2, (1 + level / 100) / 2))
        # ppf of a mean of 0 is 0, and its cdf below 0 is 0.
        np.testing.assert_array_equal(scores.covered[i], (low <= y) & (y <= high))
        mass = stats.poisson.cdf(high, mean) - stats.poisson.cdf(low - 1, mean)
        np.testing.assert_allclose(scores.promised[i], mass, atol=1e-12)


def test_a_guess_of_how_many_counts_are_needed_saves_asking(counts):
    row, y, scores = counts
    asked: list[int] = []

    def asking(rows, numbers):
        asked.extend(rows)
        return poisson(rows, numbers)

    guess = count_scores(asking, row, y, likely=np.ceil(MEANS + 9 * np.sqrt(MEANS))[row].astype(int))
    assert sorted(asked) == [0, 1, 2, 3]
    for name in ("none", "some", "equal", "below"):
        np.testing.assert_allclose(getattr(guess, name), getattr(scores, name), rtol=1e-12)
    # Tables of different width leave out tails of at most 1e-6.
    np.testing.assert_allclose(guess.covariance, scores.covariance, atol=1e-6 / row.size)
    # A guess that is too small costs time alone.
    small = count_scores(poisson, row, y, likely=np.ones(row.size, dtype=int))
    np.testing.assert_array_equal(small.crps, scores.crps)


def test_crps_is_the_mean_distance_less_half_the_spread(counts):
    # E|Y - y| - E|Y - Y'| / 2 by double sums, another form of the same number (Gneiting & Raftery 2007).
    row, y, scores = counts
    n = np.arange(200)
    for r, mean in enumerate(MEANS):
        p = stats.poisson.pmf(n, mean)
        spread = p @ np.abs(n[:, None] - n) @ p
        for value, crps in zip(y[row == r], scores.crps[row == r], strict=True):
            # A table leaves out a tail of 1e-6: its square, and what 200 counts can hide of it.
            assert crps == pytest.approx(p @ np.abs(n - value) - spread / 2, abs=1e-9)


def test_the_reference_of_the_places_is_that_of_true_forecasts(counts):
    # 1,000 bases drawn from their own forecasts pass a 95 % reference in 5 % of cases, with an error of
    # sqrt(.05 * .95 / 1000) = .0069.
    row, _, scores = counts
    rng = np.random.default_rng(2)
    reference = pit_reference(scores.covariance)
    drawn = rng.poisson(MEANS[row], (1000, row.size))
    below, equal = stats.poisson.cdf(drawn - 1, MEANS[row]), stats.poisson.pmf(drawn, MEANS[row])
    beyond = np.mean([pit_distance(b, e) > reference for b, e in zip(below, equal, strict=True)])
    assert abs(beyond - 0.05) < 4 * 0.0069
    # Forecasts of the wrong mean are found out.
    wrong = count_scores(lambda r, n: stats.poisson.pmf(n, 0.6 * MEANS[r, None]), row, drawn[0])
    assert pit_distance(wrong.below, wrong.equal) > pit_reference(wrong.covariance)


def test_concordance_counts_pairs():
    rng = np.random.default_rng(3)
    forecast, real = rng.integers(0, 6, 60).astype(float), rng.poisson(1.0, 60)
    right = [
        0.5 * (1 + np.sign(forecast[i] - forecast[j]) * np.sign(real[i] - real[j]))
        for i, j in combinations(range(60), 2)
        if real[i] != real[j]
    ]
    assert concordance(forecast, real) == pytest.approx(np.mean(right), rel=1e-12)
    assert concordance(real * 2.0, real) == 1.0
    assert concordance(-1.0 * real, real) == 0.0
    assert concordance(np.ones(60), real) == 0.5
    assert math.isnan(concordance(forecast, np.ones(60)))


def test_what_the_top_captures_by_hand():
    amount = np.array([0, 10, 30, 0, 20, 0, 0, 0, 40, 0.0])
    order = np.array([5, 9, 9, 1, 8, 1, 1, 1, 1, 1.0])
    # First two of equal rank (10 + 30), then 20, then 0, then six of equal rank with 40 among them.
    shares = np.array([0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.7, 1])
    expected = np.array([0, 20, 40, 50, 60, 60, 80, 100]) / 100
    np.testing.assert_allclose(captured(order, amount, shares), expected)
    np.testing.assert_allclose(captured(amount, amount, shares[1:5]), [0.4, 0.7, 0.8, 0.9])
    assert np.isnan(captured(order, 0 * amount, shares)).all()


@pytest.fixture(scope="module")
def customers(estimates, spend):
    """Return customers of a simulated log, 26 weeks of calibration and 13 of holdout."""
    log = simulate_orders(estimates, spend, customers=600, seed=4, start="2024-01-01", until="2024-09-29")
    return summarize(log, until="2024-06-30", holdout_until="2024-09-29", time_unit="week")


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying(sd=0.05)


@pytest.fixture(scope="module")
def future(buying, make_spending, customers):
    horizon = customers.attrs["holdout_duration"]
    return predict(buying, customers, horizon, spending=make_spending(), seed=5)


@pytest.fixture(scope="module")
def tracking(buying, customers):
    return simulate_tracking(buying, customers, seed=6, draws=200)


@pytest.fixture(scope="module")
def evaluation(customers, future, buying, tracking):
    return evaluate(future, customers, buying=buying, tracking=tracking, draws=100)


def of(evaluation, measure, forecast="model"):
    return evaluation[measure].sel(forecast=forecast)


def test_the_model_has_the_log_score_of_its_closed_form(evaluation, customers, buying):
    kept = buying["posterior"].dataset.isel(draw=np.arange(50) * 250 // 50)
    history = [customers[name].to_numpy()[:, None] for name in ("frequency", "recency", "T")]
    params = [kept[name].to_numpy().ravel() for name in bg_nbd.PARAMETERS]
    bought = customers["holdout_purchases"].to_numpy()
    pmf = bg_nbd.purchases_pmf(bought[:, None], 13.0, *history, *params).mean(axis=1)
    assert float(of(evaluation, "log_score")) == pytest.approx(-np.log(pmf).mean(), rel=1e-10)
    assert float(of(evaluation, "impossible")) == 0


def test_simulated_and_closed_form_distributions_agree(evaluation, customers, future, buying):
    closed = closed_form_scores(buying, customers, future, draws=100, threads=1)
    # 500 draws: a share of them has an error of at most sqrt(1/4 / 500) = .022 a customer, and shared
    # draws make errors of customers add up no more than that.
    for name in ("covered", "promised"):
        for level in (50, 90):
            one = float(of(evaluation, name).sel(interval=level))
            assert abs(one - getattr(closed, name)[LEVELS.index(level)].mean()) < 4 * 0.022
    assert abs(float(of(evaluation, "pit_distance")) - pit_distance(closed.below, closed.equal)) < 4 * 0.022


def test_without_the_posterior_what_needs_it_is_absent_and_nothing_else_moves(evaluation, customers, future):
    alone = evaluate(future, customers, baselines=[])
    assert "log_score" not in alone
    assert np.isnan(of(alone, "retention_log_score")) or of(alone, "retention_log_score") > 0
    assert "need the posterior" in " ".join(alone.attrs["reasons"])
    for name in ("mae", "crps", "pit_mean", "pit_distance", "total_q05", "total_rank", "unreached"):
        assert float(of(alone, name)) == float(of(evaluation, name))
    np.testing.assert_array_equal(of(alone, "covered_by_frequency"), of(evaluation, "covered_by_frequency"))


def test_frequent_buyers_are_those_of_five_repeat_purchases_and_more(evaluation, customers):
    size = evaluation["customers_by_frequency"]
    frequent = [name for name in ("5", "6", "7+") if name in size["frequency"].values]
    assert int(size.sel(frequency=frequent).sum()) == int((customers["frequency"] >= 5).sum()) > 0
    for name in ("covered", "promised"):
        mean = (
            evaluation[f"{name}_by_frequency"]
            .sel(frequency=frequent)
            .weighted(size.sel(frequency=frequent))
            .mean("frequency")
        )
        np.testing.assert_allclose(evaluation[f"frequent_{name}"].transpose(*mean.dims), mean, rtol=1e-12)
    assert (evaluation["frequent_crps"] > evaluation["crps"]).sel(forecast=["model", "past_rate"]).all()


def test_baselines_are_scored_by_the_same_rules(evaluation, customers):
    bought = customers["holdout_purchases"].to_numpy()
    rate = 13.0 * (customers["frequency"] / customers["T"]).to_numpy()
    assert float(of(evaluation, "mae", "past_rate")) == pytest.approx(np.abs(rate - bought).mean())
    assert float(of(evaluation, "rmse", "past_rate")) == pytest.approx(((rate - bought) ** 2).mean() ** 0.5)
    assert float(of(evaluation, "total_error", "past_rate")) == pytest.approx(rate.sum() / bought.sum() - 1)
    never = (rate == 0) & (bought > 0)
    assert never.any()
    assert float(of(evaluation, "log_score", "past_rate")) == math.inf
    assert int(of(evaluation, "impossible", "past_rate")) == never.sum()
    # Of purchases and of retention, and said once.
    said = [each for each in evaluation.attrs["reasons"] if each.startswith("past_rate:")]
    assert len(said) == 1
    assert f"are infinite, because {never.sum()} customers did what it held impossible" in said[0]
    n = np.arange(300)
    cdf = stats.poisson.cdf(n, rate[:, None])
    crps = ((cdf - (n >= bought[:, None])) ** 2).sum(axis=1)
    assert float(of(evaluation, "crps", "past_rate")) == pytest.approx(crps.mean(), abs=1e-8)
    everybody = bought * 0 + float(of(evaluation, "total_error", "period_mean") + 1) * bought.mean()
    log_score = -stats.poisson.logpmf(bought, everybody).mean()
    assert float(of(evaluation, "log_score", "period_mean")) == pytest.approx(log_score)
    assert float(of(evaluation, "concordance", "period_mean")) == 0.5
    assert np.isnan(of(evaluation, "mae", "pareto_rule"))
    assert float(of(evaluation, "concordance", "pareto_rule")) == pytest.approx(
        concordance(customers["frequency"].to_numpy(), bought)
    )


def test_no_rule_beats_the_true_model_by_more_than_chance(evaluation, customers, future):
    # The log was drawn from the posterior's centre and CRPS is proper: what a rule gains is chance, here
    # within 3 standard errors, paired by customer. One rate for everybody must lose beyond chance.
    for name in ("past_rate", "recency_rule", "period_mean"):
        assert of(evaluation, "crps_worse", name) > -3 * of(evaluation, "crps_worse_se", name)
    assert of(evaluation, "crps_worse", "period_mean") > 4 * of(evaluation, "crps_worse_se", "period_mean")
    worse = of(evaluation, "crps", "past_rate") - of(evaluation, "crps")
    assert float(of(evaluation, "crps_worse", "past_rate")) == pytest.approx(float(worse))
    assert (evaluation["captured"] <= evaluation["captured_best"] + 1e-12).all()
    assert (evaluation["captured"].diff("share") >= -1e-12).all()


def test_money_is_scored_from_mean_spend(evaluation, customers, future):
    spent = customers["holdout_spend"].to_numpy()
    error = future["spend_mean"].to_numpy() - spent
    assert float(of(evaluation, "spend_mae")) == pytest.approx(np.abs(error).mean())
    assert float(of(evaluation, "spend_rmse")) == pytest.approx((error**2).mean() ** 0.5)
    best = np.argsort(-future["spend_mean"].to_numpy())[: customers.sizes["customer"] // 10]
    assert float(of(evaluation, "spend_captured").sel(share=0.1)) == pytest.approx(
        spent[best].sum() / spent.sum()
    )
    rate = 13.0 * customers["frequency"] / customers["T"]
    money = (rate * customers["historical_spend"] / (1 + customers["frequency"])).to_numpy()
    assert float(of(evaluation, "spend_mae", "past_rate")) == pytest.approx(np.abs(money - spent).mean())


def test_tracking_errors_by_hand(evaluation, customers, tracking):
    # 30 June 2024 ends week 26 of the calendar, and 13 whole weeks follow.
    observed = customers["period_purchases"].to_numpy()[26:]
    assert observed.size == 13
    assert (observed > 0).all()
    mean = tracking["purchases"].mean(("chain", "draw")).to_numpy()[26:]
    assert float(of(evaluation, "tracking_incremental")) == pytest.approx(np.abs(mean / observed - 1).mean())
    running = np.abs(mean.cumsum() / observed.cumsum() - 1).mean()
    assert float(of(evaluation, "tracking_cumulative")) == pytest.approx(running)
    weekly = float((customers["frequency"] / customers["T"]).sum())
    flat = np.abs(weekly / observed - 1).mean()
    assert float(of(evaluation, "tracking_incremental", "past_rate")) == pytest.approx(flat)


def test_a_perfect_forecast_gets_perfect_scores(customers, future):
    bought = customers["holdout_purchases"].astype(float)
    certain = dict.fromkeys(
        (f"purchases_{name}" for name in ("mean", "q05", "q25", "q50", "q75", "q95")), bought
    )
    draws = future.sizes["chain"] * future.sizes["draw"]
    perfect = future.assign(
        **certain,
        **{f"{name}_{level}": xr.ones_like(bought) for name in ("mass", "inside") for level in LEVELS},
        draws_below=0 * bought,
        draws_equal=0 * bought + draws,
        crps=0 * bought,
        spend_mean=customers["holdout_spend"],
    )
    evaluation = evaluate(perfect, customers)
    for name in (
        "mae",
        "rmse",
        "mae_median",
        "total_error",
        "crps",
        "impossible",
        "spend_mae",
        "spend_total_error",
    ):
        assert float(of(evaluation, name)) == 0
    assert float(of(evaluation, "pit_distance")) == pytest.approx(0, abs=1e-12)
    assert float(of(evaluation, "concordance")) == float(of(evaluation, "spend_concordance")) == 1
    np.testing.assert_allclose(of(evaluation, "captured"), evaluation["captured_best"])
    np.testing.assert_allclose(of(evaluation, "spend_captured"), evaluation["spend_captured_best"])
    assert (of(evaluation, "covered") == 1).all()
    sure = count_scores(
        lambda r, n: (n == 3).astype(float)[None, :] + 0 * r[:, None], np.zeros(9, int), np.full(9, 3)
    )
    assert (sure.equal == 1).all()
    assert (sure.crps == 0).all()
    assert pit_reference(sure.covariance) == 0


def test_customers_are_matched_by_id(evaluation, customers, future, buying, tracking):
    order = np.random.default_rng(0).permutation(customers.sizes["customer"])
    shuffled = evaluate(future, customers.isel(customer=order), buying=buying, tracking=tracking, draws=100)
    xr.testing.assert_identical(shuffled, evaluation)
    other = evaluate(future.isel(customer=order), customers, buying=buying, tracking=tracking, draws=100)
    xr.testing.assert_allclose(other, evaluation)


def test_a_longer_calendar_of_the_holdout_moves_no_baseline(evaluation, customers, future, buying):
    # Another holdout, and a future beside it: the baselines' totals are those of before.
    changed = customers.assign(holdout_purchases=customers["holdout_purchases"] + 1)
    beside = predict(buying, changed, 13.0, seed=5)
    other = evaluate(beside, changed, baselines=["past_rate", "recency_rule", "period_mean"])
    size = customers.sizes["customer"]
    for name in ("past_rate", "recency_rule", "period_mean"):
        before, after = (
            (1 + float(of(which, "total_error", name))) * int(base["holdout_purchases"].sum())
            for which, base in ((evaluation, customers), (other, changed))
        )
        assert before == pytest.approx(after)
    assert int(changed["holdout_purchases"].sum() - customers["holdout_purchases"].sum()) == size


def test_what_cannot_be_scored_is_refused(customers, future, buying, make_buying, tracking):
    with pytest.raises(InputError, match="no holdout"):
        evaluate(future, customers.drop_vars("holdout_purchases"))
    with pytest.raises(InputError, match="future runs 26 weeks and the holdout 13 weeks"):
        evaluate(predict(buying, customers, 26, seed=1), customers)
    with pytest.raises(InputError, match="not simulated from this posterior"):
        evaluate(future, customers, buying=make_buying(sd=0.05, r=0.3))
    with pytest.raises(InputError, match="Baseline 'oracle' is not known"):
        evaluate(future, customers, baselines=["oracle"])
    with pytest.raises(InputError, match="'a while' cannot be read"):
        evaluate(future, customers, hiatus="a while")
    foreign = tracking.assign(observed=tracking["observed"] + 1)
    with pytest.raises(InputError, match="tracking is not of these customers"):
        evaluate(future, customers, tracking=foreign)


def test_what_the_data_lack_is_said(customers, future, buying):
    less = customers.drop_dims("period").drop_vars(["first_order", "holdout_spend"])
    evaluation = evaluate(future, less, baselines=["period_mean", "pareto_rule"])
    assert evaluation["forecast"].values.tolist() == ["model", "pareto_rule"]
    reasons = " ".join(evaluation.attrs["reasons"])
    assert "period_mean cannot be computed: the customers lack period_purchases" in reasons
    assert "Money is not scored: the customers have no holdout_spend" in reasons
    assert "spend_mae" not in evaluation
    missing = future.assign(spend_mean=future["spend_mean"].where(future["frequency"] > 0))
    evaluation = evaluate(missing, customers, baselines=["past_rate"])
    assert np.isnan(of(evaluation, "spend_mae"))
    assert np.isfinite(of(evaluation, "spend_mae", "past_rate"))
    assert "mean spend does not exist for" in " ".join(evaluation.attrs["reasons"])


def test_a_holdout_in_which_nobody_bought_is_scored_as_far_as_it_goes(customers, buying):
    silent = customers.assign(
        holdout_purchases=0 * customers["holdout_purchases"], holdout_spend=0 * customers["holdout_spend"]
    )
    future = predict(buying, silent, 13.0, seed=5)
    evaluation = evaluate(future, silent, buying=buying)
    for name in ("total_error", "concordance"):
        assert np.isnan(evaluation[name]).all()
    assert np.isnan(evaluation["captured"]).all()
    assert "Nobody bought in the holdout" in " ".join(evaluation.attrs["reasons"])
    assert float(of(evaluation, "crps")) > 0
    json.dumps(record(evaluation), allow_nan=False)


def test_the_record_says_the_same(evaluation, customers):
    found = json.loads(json.dumps(record(evaluation), allow_nan=False))
    assert found["measures"]["model"]["crps"] == float(of(evaluation, "crps"))
    assert found["measures"]["past_rate"]["log_score"] is None
    assert len(found["measures"]["model"]["captured"]) == len(found["shares"]) == 101
    assert found["observed"]["total_observed"] == int(customers["holdout_purchases"].sum())
    by_frequency = found["measures"]["model"]["covered_by_frequency"]
    assert np.shape(by_frequency) == (len(found["frequencies"]), len(found["intervals"]))
    words = "frequency / T × horizon; purchases Poisson around the mean; money a point"
    assert found["notes"]["past_rate"] == words
    assert found["reasons"] == evaluation.attrs["reasons"]


def test_every_measure_says_its_unit_and_level(evaluation):
    assert set(MEASURES) <= set(evaluation.data_vars)
    for name in MEASURES:
        assert evaluation[name].attrs["units"]
        assert evaluation[name].attrs["level"] == "outcome"
        assert evaluation[name].attrs["better"] in (
            "lower",
            "higher",
            "nearer 0",
            "nearer 1/2",
            "nearer promised",
            "",
        )
