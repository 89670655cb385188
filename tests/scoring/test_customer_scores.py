"""Scores of each customer, their summaries and differences, each against arithmetic by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.scoring.groups import tenths
from bayes_clv.scoring.rankings import gini
from tests.symbols import paper

SIZE = 400


@pytest.fixture(scope="module")
def customers(estimates, spend):
    """Return customers of a simulated log, 26 weeks of calibration and 13 of holdout."""
    log = clv.synthetic.simulate_orders(
        estimates, spend, customers=SIZE, seed=8, start="2024-01-01", until="2024-09-29"
    )
    found = clv.summarize(log, until="2024-06-30", holdout_until="2024-09-29")
    channel = pd.Series(
        np.resize(["shop", "web", "app"], SIZE), index=found["customer"].values, name="channel"
    )
    return clv.with_columns(found, channel)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying(sd=0.05, draws=100)


@pytest.fixture(scope="module")
def future(buying, make_spending, customers):
    return clv.predict(buying, customers, 13.0, spending=make_spending(draws=100), margin=0.3, seed=5)


@pytest.fixture(scope="module")
def scores(customers, future, buying):
    return clv.scoring.score(future, customers, buying=buying, draws=50)


def test_every_score_is_of_each_customer(scores, customers, future):
    assert scores["crps"].dims == ("forecast", "customer")
    assert scores["spend_covered"].dims == ("forecast", "customer", "interval")
    # Nothing is as large as customers × draws, and no score has a draw.
    assert not {"chain", "draw"} & set(scores.dims)
    bought, spent = (customers[name].values for name in ("holdout_purchases", "holdout_spend"))
    model = scores.sel(forecast="model")
    np.testing.assert_array_equal(model["squared_error"], (future["purchases_mean"] - bought) ** 2)
    np.testing.assert_array_equal(model["below"], future["draws_below"] / 200)
    np.testing.assert_array_equal(model["spend_absolute_error"], np.abs(future["spend_mean"] - spent))
    np.testing.assert_allclose(model["value_predicted"] - 0.3 * spent, future["value_mean"] - 0.3 * spent)
    np.testing.assert_array_equal(scores["holdout_value"], 0.3 * spent)
    np.testing.assert_array_equal(scores["retained"], bought > 0)
    for level in (50, 80, 90, 95):
        np.testing.assert_array_equal(
            model["value_covered"].sel(interval=level), future[f"value_inside_{level}"]
        )
    proper = {str(name) for name, column in scores.data_vars.items() if column.attrs.get("proper")}
    assert proper == {"crps", "log_score", "retention_brier", "retention_log_score"} | {
        f"{what}_{name}" for what in ("spend", "value") for name in ("crps", "log_crps")
    }
    assert (scores["channel"] == customers["channel"]).all()


def test_retention_is_scored_by_the_closed_form(scores, customers, future, buying):
    history = [customers[name].to_numpy()[:, None] for name in ("frequency", "recency", "T")]
    kept = buying["posterior"].dataset.isel(draw=np.arange(25) * 100 // 25)
    params = [kept[name].to_numpy().ravel() for name in ("r", "alpha", "a", "b")]
    none = paper("bg_nbd").purchases_pmf(0, 13.0, *history, *params).mean(axis=1)
    model, real = scores.sel(forecast="model"), customers["holdout_purchases"].values > 0
    np.testing.assert_allclose(model["retention_predicted"], 1 - none, rtol=1e-10)
    np.testing.assert_allclose(model["retention_brier"], (1 - none - real) ** 2, rtol=1e-10)
    np.testing.assert_allclose(
        model["retention_log_score"], -np.log(np.where(real, 1 - none, none)), rtol=1e-9
    )
    # Of a rule 1 - exp(-mean); a mean of 0 is certainty.
    rate = 13 * (customers["frequency"] / customers["T"]).values
    rule = scores.sel(forecast="past_rate")
    np.testing.assert_allclose(rule["retention_predicted"], 1 - np.exp(-rate), atol=1e-12)
    wrong = (rate == 0) & real
    assert wrong.any()
    np.testing.assert_array_equal(np.isinf(rule["retention_log_score"]), wrong)
    # Without the posterior it is the draws' share, and what no draw did is held impossible.
    sure = future.assign(probability_active=xr.zeros_like(future["probability_active"]))
    alone = clv.scoring.score(sure, customers, baselines=())
    np.testing.assert_array_equal(np.isinf(alone["retention_log_score"].values[0]), real)


def test_an_evaluation_is_the_mean_of_the_scores(scores, customers, future, buying):
    found = clv.evaluate(future, customers, buying=buying, draws=50)
    means = clv.scoring.summarise(scores)
    same = (
        "crps",
        "log_score",
        "retention_brier",
        "spend_crps",
        "spend_log_crps",
        "value_log_crps",
        "spend_covered",
    )
    for measure, name in dict(
        zip(same, same, strict=True), mae="absolute_error", spend_mae="spend_absolute_error"
    ).items():
        np.testing.assert_allclose(
            means[name].transpose(*found[measure].dims),
            scores[name].mean("customer", skipna=False),
            rtol=1e-6,
        )
        np.testing.assert_allclose(
            found[measure], means[name].transpose(*found[measure].dims), rtol=1e-12, atol=1e-15
        )
    np.testing.assert_allclose(found["rmse"], means["squared_error"] ** 0.5, rtol=1e-12)
    pairs = clv.scoring.pairwise(scores, "spend_log_crps")
    np.testing.assert_array_equal(
        found["spend_log_crps_worse"][1:], pairs["difference"].sel(other="model")[1:]
    )
    assert int(found["retention_observed"]) == int(scores["retained"].sum())
    assert float(found["spend_observed"]) == float(customers["holdout_spend"].sum())


def test_totals_of_each_quantity(customers, future):
    found = clv.evaluate(future, customers, baselines=("past_rate",))
    real = {
        "total": int(customers["holdout_purchases"].sum()),
        "retention_total": int((customers["holdout_purchases"] > 0).sum()),
        "spend_total": float(customers["holdout_spend"].sum()),
        "value_total": 0.3 * float(customers["holdout_spend"].sum()),
    }
    drawn = dict(zip(real, ("purchases_total", "active_total", "spend_total", "value_total"), strict=True))
    for name, happened in real.items():
        draws = np.sort(future[drawn[name]].values.ravel().astype(float))
        model, rule = found.sel(forecast="model"), found.sel(forecast="past_rate")
        assert float(model[f"{name}_mean"]) == pytest.approx(draws.mean())
        # The smallest draws that 5 % and 95 % of 200 do not exceed.
        assert float(model[f"{name}_q05"]) == draws[9]
        assert float(model[f"{name}_q95"]) == draws[189]
        assert float(model[f"{name}_covered"]) == (draws[9] <= happened <= draws[189])
        assert float(model[f"{name}_rank"]) == pytest.approx(
            ((draws < happened).mean() + (draws <= happened).mean()) / 2
        )
        logs = np.log(draws)
        crps = np.abs(logs - np.log(happened)).mean() - np.abs(logs[:, None] - logs).mean() / 2
        assert float(model[f"{name}_log_crps"]) == pytest.approx(crps, rel=1e-9)
        mean = float(rule[f"{name}_mean"])
        assert float(rule[f"{name}_log_crps"]) == pytest.approx(abs(np.log(mean / happened)))
        assert np.isnan(rule[f"{name}_covered"])


def test_own_metrics_are_asked_of_each_customer(customers, future):
    def pinball(quantity, observed):
        error = observed - quantity.quantiles[0.95]
        return np.maximum(0.95 * error, -0.05 * error) if quantity.name != "spend" else None

    both = clv.scoring.Metric(pinball, "pinball loss", "{unit}", of=("purchases", "value"))
    found = clv.scoring.score(future, customers, baselines=(), metrics={"pinball": pinball, "both": both})
    error = customers["holdout_purchases"].values - future["purchases_q95"].values
    by_hand = np.where(error > 0, 0.95 * error, -0.05 * error)
    np.testing.assert_allclose(found["pinball"].values[0], by_hand)
    assert "value_pinball" not in found
    assert found["value_both"].attrs["units"] == "money"
    evaluation = clv.evaluate(future, customers, baselines=(), metrics={"pinball": pinball})
    assert float(evaluation["pinball"][0]) == pytest.approx(by_hand.mean())
    with pytest.raises(clv.InputError, match="returned an array of shape .1,.; it must be of each customer"):
        clv.scoring.score(future, customers, metrics={"mine": lambda quantity, observed: np.ones(1)})
    with pytest.raises(clv.InputError, match="'spend_crps', which is a name of ours"):
        clv.scoring.score(future, customers, metrics={"spend_crps": pinball})
    with pytest.raises(clv.InputError, match="must be a function of .quantity, observed."):
        clv.scoring.score(future, customers, metrics={"mine": 3})


def test_kept_draws_are_there_for_metrics(make_buying, customers):
    kept = clv.predict(make_buying(draws=20), customers, 13.0, keep_draws=True, seed=1)
    found = clv.scoring.score(
        kept,
        customers,
        metrics={"most": lambda quantity, _: None if quantity.draws is None else quantity.draws.max(axis=0)},
    )
    np.testing.assert_array_equal(
        found["most"].sel(forecast="model"), kept["purchases"].max(("chain", "draw"))
    )
    assert np.isnan(found["most"].sel(forecast="past_rate")).all()


def test_what_has_no_mean_has_no_crps_and_says_so(customers, future):
    lacking = future.assign(spend_mean=future["spend_mean"].where(future["frequency"] > 0))
    found = clv.scoring.score(lacking, customers, baselines=())
    rare = customers["frequency"].values == 0
    np.testing.assert_array_equal(np.isnan(found["spend_crps"].values[0]), rare)
    assert np.isfinite(found["spend_log_crps"]).all()
    assert f"mean spend does not exist for {rare.sum()} of {SIZE}" in " ".join(found.attrs["reasons"])
    evaluation = clv.evaluate(lacking, customers, baselines=())
    assert np.isnan(evaluation["spend_crps"][0])
    assert np.isnan(evaluation["spend_total_mean"][0])
    assert np.isfinite(evaluation["spend_total_q95"][0])


def test_value_is_scored_where_margin_and_discount_are_one(customers, future, buying, make_spending):
    other = clv.predict(buying, customers, 13.0, spending=make_spending(draws=100), margin=0.5, seed=5)
    found = clv.scoring.score({"one": future, "two": other}, customers, baselines=())
    assert np.isfinite(found["value_crps"].sel(forecast="one")).all()
    assert np.isnan(found["value_crps"].sel(forecast="two")).all()
    assert np.isfinite(found["spend_crps"]).all()
    assert "two: its value is not scored, because margin or discount differ" in " ".join(
        found.attrs["reasons"]
    )
    discounted = clv.predict(
        buying, customers, 13.0, spending=make_spending(draws=100), annual_discount_rate=0.1, seed=5
    )
    found = clv.scoring.score(discounted, customers)
    assert "value_crps" not in found
    assert "holdout_discount_rate=0.1" in " ".join(found.attrs["reasons"])


def test_without_a_discount_value_is_scored_as_spend_after_margin(customers, future, buying):
    # No money was discounted, and so no holdout_value is needed: it is the spend of the holdout, times the margin.
    assert "holdout_value" not in customers
    assert future.attrs["annual_discount_rate"] == 0
    found = clv.evaluate(future, customers, buying=buying, draws=20)
    for name in ("mae", "rmse", "crps", "total_mean", "total_q05", "total_q95", "observed"):
        by_margin = 0.3 * found["spend_" + name].values
        assert np.isfinite(found["value_" + name].values).any()
        np.testing.assert_allclose(found["value_" + name].values, by_margin, rtol=1e-9, err_msg=name)
    for name in ("covered", "promised", "pit_mean", "concordance", "gini", "total_rank", "total_covered"):
        value, spend = (found[prefix + name].values for prefix in ("value_", "spend_"))
        np.testing.assert_allclose(value, spend, rtol=1e-9, err_msg=name)
    assert not [reason for reason in found.attrs["reasons"] if "value" in reason]


def by_hand(values, place, size):
    groups = [values[place == i] for i in range(size)]
    errors = [g.std(ddof=1) / math.sqrt(g.size) if g.size > 1 else math.nan for g in groups]
    return [g.mean() for g in groups], errors


def test_summaries_are_means_with_their_errors(scores, customers):
    frequency = np.minimum(customers["frequency"].values, 7)
    known = np.unique(frequency)
    found = clv.scoring.summarise(scores, by="frequency")
    assert found["frequency"].values.tolist() == [str(i) if i < 7 else "7+" for i in known]
    place = np.searchsorted(known, frequency)
    assert found["customers"].values.tolist() == np.bincount(place).tolist()
    for name, values in (
        ("crps", scores["crps"].values[0]),
        ("retention_brier", scores["retention_brier"].values[0]),
        ("spend_promised", scores["spend_promised"].values[0][:, 2].astype(float)),
    ):
        means, errors = by_hand(values, place, known.size)
        mean, error = (found[each].values[0] for each in (name, f"{name}_se"))
        mean, error = (each[..., 2] if each.ndim > 1 else each for each in (mean, error))
        np.testing.assert_allclose(mean, means, rtol=1e-10)
        np.testing.assert_allclose(error, errors, rtol=1e-8, atol=1e-15)
    share, error = by_hand(scores["retained"].values.astype(float), place, known.size)
    np.testing.assert_allclose(found["retention_real"], share)
    np.testing.assert_allclose(found["retention_real_se"], error)
    spent = customers["holdout_spend"].values
    np.testing.assert_allclose(found["spend_real_total"], np.bincount(place, weights=spent))
    np.testing.assert_allclose(
        found["spend_predicted_total"].values[0],
        np.bincount(place, weights=scores["spend_predicted"].values[0]),
    )


def test_groups_of_any_column_or_labels(scores, customers):
    by_channel = clv.scoring.summarise(scores, by="channel")
    assert by_channel["channel"].values.tolist() == ["app", "shop", "web"]
    labels = pd.Series(customers["channel"].values, index=customers["customer"].values, name="where")[::-1]
    by_series = clv.scoring.summarise(scores, by=labels)
    assert by_series["crps"].dims == ("forecast", "where")
    np.testing.assert_array_equal(by_series["crps"], by_channel["crps"])
    by_age = clv.scoring.summarise(scores, by="age")
    assert by_age["customers"].sum() == SIZE
    assert by_age.sizes["age"] == 4
    # Quarters of whole days: none is further from a quarter than the customers of one day are many.
    most = np.unique(customers["T"].values, return_counts=True)[1].max()
    assert (np.abs(by_age["customers"] - SIZE / 4) <= most).all()
    numbered = scores.assign(size=("customer", np.resize([2.0, 10.0], SIZE)))
    assert clv.scoring.summarise(numbered, by="size")["size"].values.tolist() == ["2", "10"]
    with pytest.raises(clv.InputError, match="no column 'colour'"):
        clv.scoring.summarise(scores, by="colour")
    with pytest.raises(clv.InputError, match="There is no score 'speed'"):
        clv.scoring.summarise(scores, names=["speed"])
    with pytest.raises(clv.InputError, match="must be the result of clv.scoring.score"):
        clv.scoring.summarise(customers)


def test_tenths_by_hand():
    # Nine of ten twenty customers are below, three tie across the border of the sixth tenth and the seventh.
    predicted = np.array([*range(11), 11, 11, 11, *range(12, 18)], dtype=float)
    # Middle of the ties: (11 + 14) / 2 = 12.5 of 20 customers, the seventh tenth.
    expected = [(i + 0.5) / 2 for i in range(11)] + [6.25] * 3 + [(i + 0.5) / 2 for i in range(14, 20)]
    found = tenths(predicted)
    assert found.place.tolist() == [int(each) for each in expected]
    assert found.counts.tolist() == [2, 2, 2, 2, 2, 1, 3, 2, 2, 2]
    assert tenths(np.ones(4)).counts.tolist() == [0, 0, 0, 0, 0, 4, 0, 0, 0, 0]
    assert tenths(np.array([np.nan, 1.0, 2.0])).counts.sum() == 2


def test_by_tenth_each_quantity_has_its_own_order(scores, customers, future, buying):
    found = clv.evaluate(future, customers, buying=buying, draws=50)
    order = np.argsort(scores["retention_predicted"].values[0], kind="stable")
    top = order[-40:]
    model = found.sel(forecast="model", tenth=10)
    # No tie crosses the border of this base's highest tenth.
    assert int(model["retention_customers_by_tenth"]) == 40
    share = scores["retention_predicted"].values[0][top]
    assert float(model["retention_predicted_by_tenth"]) == pytest.approx(share.mean())
    assert float(model["retention_real_by_tenth"]) == scores["retained"].values[top].mean()
    # What the draws vary beyond chance, of one population nothing but the chance of so few draws.
    alone = math.sqrt(share.mean() * (1 - share.mean()) / 40)
    assert 1 - 1e-9 < float(model["retention_real_by_tenth_se"]) / alone < 1.15
    spent = np.argsort(scores["spend_predicted"].values[0], kind="stable")[-40:]
    assert float(model["spend_real_by_tenth"]) == pytest.approx(
        customers["holdout_spend"].values[spent].mean()
    )
    summary = clv.scoring.summarise(scores, by="tenth")
    assert (summary["customers"].sum("tenth").sel(forecast=["model", "period_mean"]) == SIZE).all()
    unlikely = scores["retention_predicted"].values[0] < 0.03
    assert int(found["unlikely_customers"][0]) == unlikely.sum()
    assert int(found["unlikely_retained"][0]) == (unlikely & scores["retained"].values).sum()


def test_differences_are_paired(scores):
    found = clv.scoring.pairwise(scores, "crps")
    one, two = scores["crps"].sel(forecast="model").values, scores["crps"].sel(forecast="period_mean").values
    pair = found.sel(forecast="period_mean", other="model")
    assert float(pair["difference"]) == pytest.approx((two - one).mean())
    assert float(pair["difference_se"]) == pytest.approx((two - one).std(ddof=1) / math.sqrt(SIZE))
    np.testing.assert_array_equal(found["difference"], -found["difference"].values.T)
    assert np.isnan(found["difference"].sel(forecast="pareto_rule")).all()
    infinite = clv.scoring.pairwise(scores, "log_score")
    assert float(infinite["difference"].sel(forecast="past_rate", other="model")) == math.inf
    assert np.isnan(infinite["difference_se"].sel(forecast="past_rate", other="model"))
    for name in ("covered", "frequency"):
        with pytest.raises(clv.InputError, match=f"There is no score '{name}' of single customers"):
            clv.scoring.pairwise(scores, name)


def test_gini_by_hand():
    # Four customers who spend 0, 0, 2, 6. Own order: captured 6/8, 8/8, 1, 1 at each quarter: area
    # (0 + .75)/8 + (.75 + 1)/8 + 2/8 + 2/8 = .8125, and Gini 2 × .8125 - 1 = .625.
    amount = np.array([0.0, 0.0, 2.0, 6.0])
    assert gini(amount, amount) == 1.0
    # Second best first: 2/8, 8/8: area .25/8 + 1.25/8 + 4/8 = .6875; (2 × .6875 - 1) / .625 = .6.
    assert gini(np.array([0.0, 1.0, 3.0, 2.0]), amount) == pytest.approx(0.6)
    # All equal: the diagonal. The reverse of the own order: the negative. The two best tie: half of each, .5, 1:
    # .5/8 + 1.5/8 + 4/8 = .75; .5 / .625 = .8.
    assert gini(np.ones(4), amount) == pytest.approx(0.0)
    assert gini(-amount, amount) == pytest.approx(-1.0)
    assert gini(np.array([0.0, 1.0, 2.0, 2.0]), amount) == pytest.approx(0.8)
    assert math.isnan(gini(amount, np.zeros(4)))
    assert math.isnan(gini(amount, np.ones(4)))
