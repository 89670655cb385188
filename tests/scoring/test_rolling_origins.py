"""Rolling origins: each cell is the road by hand, what is kept is read by the same call only."""

import json

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.inference import Calendar
from bayes_clv.schema import InputError
from bayes_clv.scoring import origin_cells, rolling
from bayes_clv.scoring.cells import function_key
from bayes_clv.scoring.clusters import BLOCKS, block_sums, blocks, clustered_difference

DAYS = ["2025-06-30", "2025-09-30"]
HORIZONS = ["4 weeks", "8 weeks"]


def past(customers, horizon, seed):
    rate = customers["frequency"] / customers["T"].clip(1)
    return clv.scoring.forecast(customers, horizon, purchases=rate * horizon, label="past")


def drawn(customers, horizon, seed):
    """Poisson draws around the past rate, with what each purchase brought so far."""
    rng = np.random.default_rng(seed)
    mean = (customers["frequency"] + 0.3) / (customers["T"] + 2) * horizon
    purchases = rng.poisson(mean, (60, customers.sizes["customer"]))
    each = customers["historical_spend"].to_numpy() / (1 + customers["frequency"].to_numpy())
    return clv.scoring.forecast(
        customers, horizon, purchases=purchases, spend=purchases * each, label="drawn"
    )


@pytest.fixture(scope="module")
def log(shop):
    return shop[1]


def rolled(log, fits=None, origins=DAYS, horizons=HORIZONS, **options):
    given = {"drawn": drawn} if fits is None else fits
    return clv.scoring.rolling_origins(log, given, origins, horizons, **{"seed": 4, **options})


@pytest.fixture(scope="module")
def scores(log):
    return rolled(log, {"bg": clv.scoring.Fit("bg_nbd"), "drawn": drawn}, draws=25)


# What a cell holds.


def test_a_cell_is_the_road_by_hand(log, scores):
    customers = clv.summarize(log, until="2025-09-30", holdout_until="2025-11-25")
    assert customers.attrs["holdout_duration"] == 8
    buying = clv.fit("bg_nbd", customers, method="laplace", draws=25, seed=4)
    spending = clv.fit("gamma_gamma", customers, method="laplace", draws=25, seed=5)
    future = clv.predict(buying, customers, 8, spending=spending, seed=6)
    alone = clv.evaluate({"bg": future, "drawn": drawn(customers, 8.0, 6)}, customers, buying={"bg": buying})
    cell = scores.sel(origin="2025-09-30", horizon=8)
    compared = 0
    for name, values in alone.data_vars.items():
        if name in cell and values.dims in (("forecast",), ("forecast", "interval")):
            # A rule's total is its forecast's; its draws and places are those of no other forecast.
            np.testing.assert_allclose(cell[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
            compared += 1
        elif values.dims == () and not name.startswith("value_"):
            assert float(cell[name]) == pytest.approx(float(values))
    assert compared > 40
    assert int(cell["customers"]) == customers.sizes["customer"]


def test_what_it_returns(scores):
    assert scores["crps"].dims == ("forecast", "origin", "horizon")
    assert scores["covered"].dims == ("forecast", "origin", "horizon", "interval")
    assert scores["spend_observed"].dims == ("origin", "horizon")
    assert scores["forecast"].values.tolist() == ["bg", "drawn", *clv.scoring.baselines.BASELINES]
    assert scores["kind"].values.tolist() == ["model"] * 2 + ["rule"] * 4
    assert scores["origin"].values.astype("datetime64[D]").astype(str).tolist() == DAYS
    assert scores["horizon"].values.tolist() == [4, 8]
    assert scores["horizon_days"].values.tolist() == [28, 56]
    assert scores.attrs["cells"] == 24
    assert scores.attrs["cells_failed"] == scores.attrs["cells_read"] == 0
    assert "bayes_clv" in json.loads(scores.attrs["versions"])
    assert np.isfinite(scores["crps"].sel(forecast=["bg", "drawn", "past_rate"])).all()
    # A rule that only ranks.
    assert np.isnan(scores["crps"].sel(forecast="pareto_rule")).all()
    assert np.isfinite(scores["concordance"]).all()
    assert [text for text in scores.attrs["reasons"] if text.startswith("pareto_rule ranks")]
    assert not [name for name in scores if "_worse" in name or name.startswith("value_")]
    # More is bought in eight weeks than in four.
    assert (scores["total_observed"].diff("horizon") > 0).all()


def test_tables(scores):
    tidy = clv.table(scores)
    assert tidy.columns.tolist() == ["forecast", "kind", "origin", "horizon", "measure", "value"]
    row = tidy.query("forecast == 'bg' and measure == 'covered_90' and horizon == 8").iloc[1]
    assert str(row["origin"]) == "2025-09-30"
    assert row["value"] == float(scores["covered"].sel(forecast="bg", horizon=8, interval=90)[1])
    real = tidy.query("forecast == 'real' and measure == 'total_observed' and horizon == 4")["value"]
    assert real.tolist() == scores["total_observed"].sel(horizon=4).values.tolist()
    assert not tidy.duplicated(["forecast", "origin", "horizon", "measure"]).any()
    means = clv.table(scores, by="forecast").set_index(["forecast", "horizon"])
    assert means.loc[("bg", 4.0), "origins"] == 2
    assert means.loc[("bg", 4.0), "crps"] == pytest.approx(
        float(scores["crps"].sel(forecast="bg", horizon=4).mean())
    )
    assert len(scores[["crps"]].to_dataframe()) == 24


# Differences.


def test_differences_of_one_origin_are_those_of_pairwise(log):
    one = rolled(log, {"drawn": drawn, "past": past}, DAYS[1:], "8 weeks", baselines=("recency_rule",))
    customers = clv.summarize(log, until=DAYS[1], holdout_until="2025-11-25")
    futures = {"drawn": drawn(customers, 8.0, 6), "past": past(customers, 8.0, 6)}
    each = clv.scoring.score(futures, customers, baselines=("recency_rule",))
    for metric in ("crps", "retention_brier", "spend_log_crps"):
        by_hand = clv.scoring.pairwise(each, metric)
        np.fill_diagonal(by_hand["difference"].values, np.nan)
        np.testing.assert_allclose(one[f"{metric}_difference"][0], by_hand["difference"], atol=1e-12)
        ratio = (one[f"{metric}_difference_se"][0] / by_hand["difference_se"]).values
        ratio = ratio[np.isfinite(ratio)]
        # Relative error of a standard error from 200 sums: 1 / sqrt(400) = 5 % for normal ones, times the root of
        # kurtosis / 3, here below 6: four errors are 30 %.
        assert ratio.size == (2 if metric == "spend_log_crps" else 6)
        assert (np.abs(ratio - 1) < 0.3).all()


def test_the_same_customers_twice_are_not_twice_the_evidence():
    rng = np.random.default_rng(5)
    one, other = rng.normal(0.1, 1, (2, 3, 4000))
    block = blocks([f"c{i}" for i in range(4000)])
    sums = [np.array([block_sums(each, block) for each in values]) for values in (one, other)]
    counts = np.tile(block_sums(np.ones(4000), block), (3, 1))
    mean, error = clustered_difference(*sums, counts)
    assert mean == pytest.approx((one - other).mean())
    # Independent origins: the error is that of 12,000 differences, within four times 5 %.
    assert error == pytest.approx((one - other).std() / np.sqrt(12_000), rel=0.2)
    first = [each[[0, 0, 0]] for each in sums]
    thrice = clustered_difference(*first, counts)
    once = clustered_difference(sums[0][:1], sums[1][:1], counts[:1])
    assert thrice == pytest.approx(once)


def test_an_origin_with_an_infinite_score_is_left_out_of_a_difference():
    sums, counts = np.ones((2, BLOCKS)), np.full((2, BLOCKS), 10.0)
    infinite = np.array([np.full(BLOCKS, 3.0), np.full(BLOCKS, np.inf)])
    assert clustered_difference(sums, infinite, counts)[0] == pytest.approx(-0.2)
    assert np.isnan(clustered_difference(sums, infinite[1:], counts[:1])).all()


# What is kept.


class Counted:
    """A forecaster's calls; it stops the run, or fails, when told to."""

    def __init__(self, stop=None, fail=None):
        self.calls, self.stop, self.fail = [], stop, fail

    def function(self):
        calls, me = self.calls, self

        def called(customers, horizon, seed):
            calls.append((customers.attrs["until"], horizon))
            if me.stop is not None and len(calls) > me.stop:
                raise KeyboardInterrupt
            if me.fail == customers.attrs["until"]:
                raise ZeroDivisionError("no rate")
            return past(customers, horizon, seed)

        return called


@pytest.fixture
def known(monkeypatch):
    """Let every function be known on disk by one key, whatever it holds."""
    monkeypatch.setattr(
        rolling, "key_of", lambda what: what.key if isinstance(what, clv.scoring.Fit) else "past"
    )


def quick(log, counted, tmp_path, **options):
    given = {"baselines": ("past_rate",), "cache": tmp_path / "cells", **options}
    return rolled(log, {"past": counted.function()}, **given)


def test_a_stopped_run_goes_on(log, tmp_path, known):
    stopped = Counted(stop=3)
    with pytest.raises(KeyboardInterrupt):
        quick(log, stopped, tmp_path)
    # The first cell is called twice, to see that it does not look ahead.
    assert stopped.calls == [(DAYS[0], 4.0), (DAYS[0], 4.0), (DAYS[0], 8.0), (DAYS[1], 4.0)]
    again = Counted()
    scores = quick(log, again, tmp_path)
    assert again.calls == [(DAYS[1], 4.0), (DAYS[1], 4.0), (DAYS[1], 8.0)]
    assert scores.attrs["cells_read"] == 4
    whole = rolled(log, {"past": past}, baselines=("past_rate",))
    drop = {"cells_read"}
    assert {k: v for k, v in scores.attrs.items() if k not in drop} == {
        k: v for k, v in whole.attrs.items() if k not in drop
    }
    np.testing.assert_equal(scores["crps"].values, whole["crps"].values)
    np.testing.assert_equal(scores["crps_difference_se"].values, whole["crps_difference_se"].values)
    # All is there: nothing is called, whatever the rows' order and however the log is given.
    third = Counted()
    log.sample(frac=1, random_state=1).to_csv(tmp_path / "shuffled.csv", index=False)
    assert quick(tmp_path / "shuffled.csv", third, tmp_path).attrs["cells_read"] == 8
    assert third.calls == []
    # A further origin is scored alone.
    quick(log, third, tmp_path, origins=[*DAYS, "2025-10-15"])
    assert {day for day, _ in third.calls} == {"2025-10-15"}


@pytest.mark.parametrize("change", [{"seed": 5}, {"draws": 30}, {"time_unit": "day"}, "orders", "version"])
def test_other_settings_read_no_foreign_cells(log, tmp_path, known, monkeypatch, change):
    horizons = {"origins": DAYS[1:], "horizons": ["28 days"]}
    quick(log, Counted(), tmp_path, **horizons)
    if change == "version":
        monkeypatch.setattr("bayes_clv.scoring.cells.version", lambda _: "9.9")
    # One purchase more of one customer, in the holdout.
    more = (
        pd.concat([log, log.iloc[[0]].assign(date=pd.Timestamp("2025-10-03"))]) if change == "orders" else log
    )
    counted = Counted()
    options = change if isinstance(change, dict) else {}
    scores = quick(more, counted, tmp_path, **horizons, **options)
    assert scores.attrs["cells_read"] == 0
    assert len(counted.calls) == 2


def test_a_torn_cell_is_scored_again(log, tmp_path, known):
    one = {"origins": DAYS[1:], "horizons": HORIZONS[0]}
    quick(log, Counted(), tmp_path, **one)
    files = sorted((tmp_path / "cells").iterdir())
    assert len(files) == 2
    assert not [file for file in files if file.name.startswith(".")]
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    counted = Counted()
    assert quick(log, counted, tmp_path, **one).attrs["cells_read"] == 0
    assert len(counted.calls) == 2
    # Whole JSON of another cell, under this one's name.
    files[0].write_bytes(files[1].read_bytes())
    assert quick(log, Counted(), tmp_path, **one).attrs["cells_read"] == 1


def test_one_fit_an_origin_and_none_for_what_is_kept(log, tmp_path, monkeypatch):
    made = []

    def fitted(family, customers, **options):
        made.append((family, customers.attrs["until"]))
        return clv.fit(family, customers, **options)

    monkeypatch.setattr(origin_cells, "fit", fitted)
    fits = {"one": "bg_nbd", "no money": clv.scoring.Fit("bg_nbd", spending=None)}
    rolled(log, fits, DAYS, HORIZONS, draws=10, baselines=(), cache=tmp_path)
    # The two share their buying fit.
    assert made == [(family, day) for day in DAYS for family in ("bg_nbd", "gamma_gamma")]
    made.clear()
    rolled(log, fits, DAYS, HORIZONS, draws=10, baselines=(), cache=tmp_path)
    assert made == []
    for file in tmp_path.iterdir():
        cell = json.loads(file.read_text())
        if cell["key"]["what"] == clv.scoring.Fit("bg_nbd", spending=None).key:
            file.unlink()
    scores = rolled(log, fits, DAYS, HORIZONS, draws=10, baselines=(), cache=tmp_path)
    assert made == [("bg_nbd", day) for day in DAYS]
    assert np.isnan(scores["spend_crps"].sel(forecast="no money")).all()
    assert np.isfinite(scores["spend_crps"].sel(forecast="one")).all()


def test_a_function_is_known_by_its_source_and_what_it_was_made_with():
    def made(rate):
        return lambda customers, horizon, seed: rate

    assert function_key(made(1.0)) == function_key(made(1.0))
    assert function_key(made(1.0)) != function_key(made(2.0))
    assert function_key(made(np.ones(3))) is None
    assert function_key(Counted()) is None
    assert function_key(past) != function_key(drawn)


# Cells that fail.


def test_a_cell_that_fails_is_a_nan_with_its_reason(log, tmp_path, known):
    scores = quick(log, Counted(fail=DAYS[0]), tmp_path)
    assert np.isnan(scores["crps"].sel(forecast="past").values).tolist() == [[True, True], [False, False]]
    assert np.isfinite(scores["crps"].sel(forecast="past_rate")).all()
    assert scores.attrs["reasons"][:2] == [
        f"past at {DAYS[0]} over {length} weeks: ZeroDivisionError: no rate" for length in (4, 8)
    ]
    assert scores.attrs["cells_failed"] == 2
    assert np.isfinite(scores["crps_difference"].sel(forecast="past", other="past_rate")).all()
    # It is tried again.
    counted = Counted()
    assert quick(log, counted, tmp_path).attrs["cells_failed"] == 0
    assert {day for day, _ in counted.calls} == {DAYS[0]}


def test_a_fit_that_fails_is_not_tried_for_each_horizon(log, monkeypatch):
    tried = []

    def failing(family, customers, **_):
        tried.append(customers.attrs["until"])
        raise FloatingPointError("no mode")

    monkeypatch.setattr(origin_cells, "fit", failing)
    scores = rolled(log, {"bg": "bg_nbd", "past": past}, baselines=())
    assert tried == DAYS
    assert scores.attrs["cells_failed"] == 4
    with pytest.raises(
        InputError, match="No fit could be made or scored. The first of 4 failed cells: bg at 2025-06"
    ):
        rolled(log, {"bg": "bg_nbd"}, baselines=())


def test_a_function_that_looks_ahead_is_refused(log):
    def cheating(customers, horizon, seed):
        return clv.scoring.forecast(customers, horizon, purchases=customers["holdout_purchases"])

    with pytest.raises(
        InputError, match="'cheat' forecasts otherwise where the customers' holdout is exchanged"
    ):
        rolled(log, {"cheat": cheating})

    with pytest.raises(InputError, match="returned a float; return clv.scoring.forecast"):
        rolled(log, {"number": lambda customers, horizon, seed: 1.0}, baselines=())


def test_a_rule_that_cannot_be_applied_says_why_and_the_others_are_scored(log):
    # Four days of calibration hold no whole week.
    early = rolled(log, {"past": past}, ["2025-01-04"], HORIZONS[0], baselines=("past_rate", "period_mean"))
    assert early.attrs["reasons"][0] == (
        "period_mean at 2025-01-04 over 4 weeks: The baseline period_mean cannot be computed: the calibration holds "
        "no whole period."
    )
    assert early.attrs["cells_failed"] == 1
    assert np.isfinite(early["crps"].sel(forecast="past_rate")).all()
    assert np.isnan(early["crps"].sel(forecast="period_mean")).all()


# Value, and metrics of one's own.

TERMS = {"margin": 0.3, "annual_discount_rate": 0.1}


def pinball(quantity, observed):
    error = observed - quantity.quantiles[0.95]
    return np.maximum(0.95 * error, -0.05 * error)


def valued(customers, horizon, seed):
    """Poisson draws with a value that is not discounted as it should be, but said to be."""
    rng = np.random.default_rng(seed)
    purchases = rng.poisson(
        (customers["frequency"] + 0.3) / (customers["T"] + 2) * horizon, (60, customers["T"].size)
    )
    spend = 20.0 * purchases
    return clv.scoring.forecast(
        customers, horizon, purchases=purchases, spend=spend, value=0.29 * spend, **TERMS
    )


def test_value_and_own_metrics_are_those_of_evaluate(log):
    fits = {"bg": clv.scoring.Fit("bg_nbd"), "valued": valued}
    options = {"baselines": ("past_rate",), "metrics": {"pinball": pinball}}
    cells = rolled(
        log, {"valued": valued, "bg": fits["bg"]}, DAYS[1:], "8 weeks", draws=25, **options, **TERMS
    )
    customers = clv.summarize(log, until="2025-09-30", holdout_until="2025-11-25", holdout_discount_rate=0.1)
    buying = clv.fit("bg_nbd", customers, method="laplace", draws=25, seed=4)
    spending = clv.fit("gamma_gamma", customers, method="laplace", draws=25, seed=5)
    future = clv.predict(buying, customers, 8, spending=spending, seed=6, **TERMS)
    futures = {"bg": future, "valued": valued(customers, 8.0, 6)}
    alone = clv.evaluate(futures, customers, buying={"bg": buying}, **options)
    cell = cells.squeeze()
    for name in (
        "value_crps",
        "value_log_crps",
        "value_covered",
        "value_total_error",
        "value_gini",
        "pinball",
    ):
        for forecast in ("bg", "valued", "past_rate"):
            one, other = (each[name].sel(forecast=forecast) for each in (cell, alone))
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12, err_msg=f"{name} of {forecast}")
    assert np.isfinite(cell["value_crps"]).all()
    assert np.isfinite(cell["pinball"].sel(forecast=["bg", "valued", "past_rate"])).all()
    assert float(cell["value_observed"]) == pytest.approx(0.3 * float(customers["holdout_value"].sum()))
    by_hand = float(alone["value_crps"].sel(forecast="bg") - alone["value_crps"].sel(forecast="past_rate"))
    found = cell["value_crps_difference"].sel(forecast="bg", other="past_rate")
    assert float(found) == pytest.approx(by_hand)


def test_terms_and_metrics_are_part_of_what_a_cell_is_known_by(log, tmp_path, known):
    one = {"origins": DAYS[1:], "horizons": HORIZONS[0]}
    calls = [{}, TERMS, TERMS | {"margin": 0.4}, {"metrics": {"pinball": pinball}}]
    for options in calls:
        assert quick(log, Counted(), tmp_path, **one, **options).attrs["cells_read"] == 0
    for options in calls:
        assert quick(log, Counted(), tmp_path, **one, **options).attrs["cells_read"] == 2
    # A metric that holds more than plain values cannot be known again.
    weights = np.ones(3)
    held = {"metrics": {"held": lambda quantity, observed: observed * weights[0]}}
    for _ in range(2):
        assert quick(log, Counted(), tmp_path, **one, **held).attrs["cells_read"] == 0


def test_a_function_whose_value_is_of_other_terms_fails(log):
    asked = TERMS | {"margin": 0.5}
    scores = rolled(log, {"valued": valued, "drawn": drawn}, DAYS[1:], "8 weeks", baselines=(), **asked)
    assert scores.attrs["cells_failed"] == 1
    assert (
        "The function's value is of margin 0.3 and annual discount rate 0.1, and asked are 0.5 and 0.1"
        in (scores.attrs["reasons"][0])
    )


# Splits.


def test_origins_are_evenly_spaced_and_end_within_the_log(log):
    first, last = (np.datetime64(day, "D") for day in (log["date"].min(), log["date"].max()))
    found = clv.scoring.origins(log, 5, ["4 weeks", "8 weeks"])
    assert found[-1] == last - np.timedelta64(56, "D")
    gaps = np.diff(found).astype(int)
    assert gaps.max() - gaps.min() <= 1
    learned = (found[-1] - first).astype(int)
    assert abs(2 * (found[0] - first).astype(int) - learned) <= 1
    assert clv.scoring.origins(log, 1, 8).tolist() == found[-1:].tolist()
    assert clv.scoring.origins(log, 5, 56, time_unit="day").tolist() == found.tolist()
    scores = rolled(log, {"past": past}, 2, "56 days", baselines=())
    assert scores["origin"].values.astype("datetime64[D]").tolist() == clv.scoring.origins(log, 2, 8).tolist()


def test_a_horizon_in_another_unit_is_the_same_horizon(log):
    weeks = rolled(log, {"past": past}, DAYS, ["4 weeks"])
    days = rolled(log, {"past": past}, DAYS, ["4 weeks"], time_unit="day")
    assert days["horizon"].values.tolist() == [28]
    np.testing.assert_allclose(
        days["crps"].sel(forecast="past"), weeks["crps"].sel(forecast="past"), rtol=1e-9
    )


REFUSED = {
    "unsorted": (
        {"origins": DAYS[::-1]},
        "origins has 2025-06-30 after 2025-09-30. Sort them, the earliest first",
    ),
    "doubled": ({"origins": [DAYS[0], DAYS[0]]}, "origins has 2025-06-30 twice. Leave one out"),
    "too early": (
        {"origins": ["2024-12-31"]},
        "2024-12-31 is not after the first order \\(2025-01-01\\).*choose later origins",
    ),
    "too late": (
        {"origins": [*DAYS, "2025-12-01"]},
        "From the origin 2025-12-01 a horizon of 56 days ends on 2026-01-26.*would be shorter than the horizon. "
        "The latest origin for this horizon is 2025-11",
    ),
    "no day": ({"origins": ["soon"]}, "origins='soon' is not a day"),
    "no origins": ({"origins": []}, "origins is empty"),
    "no number": ({"origins": 0}, "origins=0 must be a whole number from 1"),
    "no room": ({"origins": 3, "horizons": "5 years"}, "a horizon of 1826 days leaves no room for 3 origins"),
    "horizon twice": (
        {"horizons": ["4 weeks", "28 days"]},
        "names 28 days twice, as '4 weeks' and as '28 days'",
    ),
    "horizon of no unit": ({"horizons": "4 fortnights"}, "'fortnights' is not known. Use one of hour, day"),
    "horizon too short": ({"horizons": "0.01 days"}, "shorter than a day"),
    "no horizon": ({"horizons": []}, "horizons is empty"),
    "no fits": ({"fits": {}}, "fits is empty"),
    "fits twice": ({"fits": ["bg_nbd", "bg_nbd"]}, "fits has 'bg_nbd' twice"),
    "a rule's name": ({"fits": {"past_rate": past}}, "'past_rate' is the name of a fit and of a simple rule"),
    "a function without a name": ({"fits": [past]}, "a function without a name"),
    "unknown family": ({"fits": ["pareto"]}, "The family 'pareto' forecasts no purchases. Use one of bg_nbd"),
    "unknown spending": (
        {"fits": {"a": clv.scoring.Fit("bg_nbd", spending="bg_nbd")}},
        "The family 'bg_nbd' of 'a' is no family of spend. Use one of gamma_gamma",
    ),
    "unknown method": (
        {"fits": {"a": clv.scoring.Fit("bg_nbd", method="guess")}},
        "'guess' of 'a' is not known",
    ),
    "no fit at all": ({"fits": {"a": 3}}, "'a' of fits is a int. Give the name of a family"),
    "unknown rule": ({"baselines": ("oracle",)}, "Baseline 'oracle' is not known"),
    "no columns": (
        {"fits": {"a": clv.scoring.Fit("bg_nbd", covariates={"purchase": "age"})}},
        "Where are 'age', which the fits read",
    ),
    "draws": ({"draws": 0}, "draws=0 must be at least 1"),
    "margin": ({"margin": 0.0}, "margin must be finite and above 0"),
    "discount": (
        {"annual_discount_rate": -1.0},
        "Annual discount rate -1.0 must be a finite number above -1",
    ),
    "value without amounts": (
        {"margin": 0.3, "spend": None},
        "margin and annual_discount_rate are of money, and the orders are read without: name the column, spend",
    ),
    "a metric's name": ({"metrics": {"crps": past}}, "metrics has 'crps', which is a name of ours"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_refused(log, case):
    options, told = REFUSED[case]
    with pytest.raises(InputError, match=told):
        rolled(log, **options)


def test_a_horizon_without_an_order_is_refused(log):
    quiet = log[(log["date"] < "2025-07-01") | (log["date"] > "2025-08-15")]
    with pytest.raises(
        InputError, match="There is no order from 2025-07-01 to 2025-07-28, the 28 days after the origin"
    ):
        rolled(quiet)
    with pytest.raises(InputError, match="No order lies in the holdout from 2026-.*the last order is of 202"):
        clv.summarize(log, until="2026-02-28", holdout_until="2026-03-28")


def test_a_cache_that_is_a_file_is_refused(log, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="No folder can be made at"):
        rolled(log, cache=tmp_path / "file")


def test_covariates_are_read_and_unknown_ones_refused_before_a_fit(log, monkeypatch):
    monkeypatch.setattr(origin_cells, "fit", None)
    table = pd.DataFrame({"customer_id": log["customer_id"].unique()})
    table["age"] = np.arange(len(table)) % 50
    fits = {"a": clv.scoring.Fit("bg_nbd", spending=None, covariates={"colour": "age"})}
    with pytest.raises(InputError, match="colour"):
        rolled(log, fits, columns=table)


def mailed(log):
    """Mails to everybody in the spring, which count for two weeks."""
    ids = np.unique(log["customer_id"])
    begin = np.datetime64("2025-04-01") + np.random.default_rng(1).integers(0, 100, ids.size).astype("m8[D]")
    when = np.stack([begin, begin + np.timedelta64(14, "D")], axis=1).ravel()
    return pd.DataFrame({"customer_id": np.repeat(ids, 2), "date": when, "mails": np.tile([1, 0], ids.size)})


@pytest.mark.full
def test_columns_over_time_and_calendars_by_group_are_scored_at_each_origin(log):
    """As by the road by hand; what is to come is the table's rows, or the last values."""
    mails, ids = mailed(log), np.unique(log["customer_id"])
    channels = pd.DataFrame({"customer_id": ids, "channel": np.array(["shop", "web"])[ids % 2]})
    over = {"over_time": mails, "over_time_before": 0}
    fits = {
        "mailed": clv.scoring.Fit("nbd", None, over_time="mails"),
        "own": clv.scoring.Fit("nbd", None, calendar=Calendar(period_days=28, by="channel")),
    }
    given = {"draws": 20, "baselines": [], "columns": channels}
    scores = rolled(log, fits, DAYS[1:], "8 weeks", over_time_plan="carry_forward", **over, **given)
    assert scores.attrs["cells_failed"] == 0
    customers = clv.summarize(
        log, until=DAYS[1], holdout_until="2025-11-25", also=("purchase_times", "periods")
    )
    changed = clv.customers.with_columns_over_time(customers, mails, before=0, others="leave_out")
    planned = clv.customers.with_plan(changed, "carry_forward")
    buying = clv.fit("nbd", planned, method="laplace", draws=20, seed=4, over_time="mails")
    future = clv.predict(buying, planned, 8, seed=6)
    alone = clv.evaluate({"mailed": future}, planned, buying={"mailed": buying})
    hand = alone["crps"].sel(forecast="mailed")
    assert float(scores["crps"].sel(forecast="mailed").squeeze()) == pytest.approx(float(hand))


def test_columns_over_time_of_origins_are_asked_for_where_they_are_missing(log):
    over = {"over_time": mailed(log), "over_time_before": 0}
    fits = {"mailed": clv.scoring.Fit("nbd", None, over_time="mails")}
    # The plan of the table ends with its last row.
    with pytest.raises(InputError, match="What the columns over time will be is not known"):
        rolled(log, fits, DAYS[1:], "8 weeks", draws=10, baselines=[], **over)
    by = {"own": clv.scoring.Fit("nbd", None, calendar=Calendar(period_days=28, by="channel"))}
    with pytest.raises(InputError, match="a row for each change: over_time"):
        rolled(log, fits)
    with pytest.raises(InputError, match="serves nothing: no fit names its columns"):
        rolled(log, "nbd", **over)
    with pytest.raises(InputError, match="Where are 'channel'"):
        rolled(log, by)
    with pytest.raises(InputError, match="over_time_plan='guess' is not known"):
        rolled(log, fits, over_time_plan="guess", **over)
    with pytest.raises(InputError, match="leave at any time"):
        rolled(log, {"a": clv.scoring.Fit("pareto_nbd", None, over_time="mails")}, **over)
