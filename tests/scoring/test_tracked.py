"""Weeks inside the band: a true model has as many as it expects, a shop with a season has not."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv

DRAWS = 400


def tracking(observed, *, until="2024-12-31", holdout_until=None, level=100.0, seed=1, draws=DRAWS, days=7):
    """Return a tracking of Poisson periods from Wednesday 2024-01-03 on."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-03", "s") + days * np.arange(len(observed)) * np.timedelta64(86_400, "s")
    attrs = {"until": until, "period_days": days, "time_unit": "week"}
    if holdout_until is not None:
        attrs["holdout_until"] = holdout_until
    return xr.Dataset(
        {
            "purchases": (("chain", "draw", "period"), rng.poisson(level, (1, draws, len(observed)))),
            "observed": ("period", np.asarray(observed)),
            "period_start": ("period", start),
        },
        attrs=attrs,
    )


def test_whole_weeks_of_each_part_are_counted():
    # 30 weeks from Wednesday 3 January: week 10 begins on 13 March. The calibration ends in it, the holdout ends on the
    # second day of week 29, 24 July.
    found = clv.scoring.tracking_counts(
        tracking(np.full(30, 100), until="2024-03-15", holdout_until="2024-07-25")
    )
    assert found["number"].sel(periods="week").values.tolist() == [10, 18]
    assert found["inside"].sel(periods="week").values.tolist() == [10, 18]
    # Weeks by the month they begin in: January to March; March (20 and 27) to July.
    assert found["number"].sel(periods="month").values.tolist() == [3, 5]
    only = clv.scoring.tracking_counts(tracking(np.full(30, 100), until="2024-07-30"))
    assert only["number"].sel(periods="week").values.tolist() == [30, 0]
    assert np.isnan(only["lower"].sel(part="holdout")).all()
    by_ten_days = clv.scoring.tracking_counts(tracking(np.full(12, 100), days=10))
    assert by_ten_days["periods"].values.tolist() == ["10 days", "month"]
    with pytest.raises(clv.InputError, match="This is no tracking"):
        clv.scoring.tracking_counts(xr.Dataset())


def test_a_true_model_has_the_weeks_inside_that_it_expects():
    # Independent Poisson weeks of mean 100: the closed band between the 5 and the 95 % quantiles, 84 to 117, holds
    # P(84 <= Y <= 117) = .908 of them, give or take a draw's own grain.
    inside, lower = [], []
    for seed in range(200):
        observed = np.random.default_rng(1000 + seed).poisson(100.0, 40)
        counts = clv.scoring.tracking_counts(tracking(observed, seed=seed)).sel(
            part="calibration", periods="week"
        )
        inside.append(float(counts["inside"]))
        lower.append(float(counts["lower"]))
        assert float(counts["expected"]) == pytest.approx(40 * 0.908, abs=1.0)
    # 200 counts of 40 weeks, each with a standard deviation of sqrt(40 × .908 × .092) = 1.83.
    assert abs(np.mean(inside) - 40 * 0.908) < 4 * 1.83 / math.sqrt(200) + 0.2
    # Below the limit in less than 1 % of cases: of 200 expect less than 2; 7 or more have a probability below .005.
    assert np.sum(np.less(inside, lower)) < 7


def test_months_are_sums_of_weeks():
    # The first week of each month is 5 standard deviations high, the second as low: weeks miss, their months do not.
    start = pd.date_range("2024-01-03", periods=39, freq="7D")
    first = np.flatnonzero(np.r_[True, start.month[1:] != start.month[:-1]])
    observed = np.full(39, 100)
    observed[first] += 50
    observed[first + 1] -= 50
    found = clv.scoring.tracking_counts(tracking(observed)).sel(part="calibration")
    assert found["inside"].sel(periods="week") == 39 - 2 * first.size
    assert found["inside"].sel(periods="month") == found["number"].sel(periods="month") == 9


@pytest.mark.parametrize("season", [False, True])
def test_a_shop_with_a_christmas_season_fails(make_buying, estimates, season):
    """The log of a true model passes; its autumn purchases moved to Christmas, half the weeks are outside."""
    log = clv.synthetic.simulate_orders(
        estimates | {"r": 1.0},
        customers=800,
        seed=2,
        start="2023-01-02",
        until="2025-01-05",
        acquisition="12 weeks",
    )
    first = log["date"] == log.groupby("customer_id")["date"].transform("min")
    autumn = log["date"].dt.month.isin([8, 9, 10]) & ~first
    if season:
        moved = log.loc[autumn, "date"] + pd.Timedelta(days=84)
        log.loc[autumn, "date"] = moved.clip(upper=pd.Timestamp("2025-01-05"))
    customers = clv.summarize(log, until="2024-06-30", holdout_until="2025-01-05", spend=None)
    tracked = clv.scoring.simulate_tracking(
        make_buying(sd=0.02, draws=200, r=1.0), customers, seed=1, draws=200
    )
    counts = clv.scoring.tracking_counts(tracked).sel(periods="week")
    # 2 January 2023 to 30 June 2024 and on to 5 January 2025.
    assert counts["number"].values.tolist() == [78, 27]
    if season:
        assert (counts["inside"] < counts["lower"]).all()
        # In autumn and over Christmas, half a year of a year and a half, and nearly all of the half year after.
        assert counts["inside"].sum() < 105 - 26
    else:
        assert (counts["inside"] >= counts["lower"]).all()


def test_an_evaluation_carries_the_counts(make_buying, estimates):
    log = clv.synthetic.simulate_orders(
        estimates, customers=200, seed=4, start="2024-01-01", until="2024-09-29"
    )
    customers = clv.summarize(log, until="2024-06-30", holdout_until="2024-09-29", spend=None)
    buying = make_buying(draws=50)
    tracked = clv.scoring.simulate_tracking(buying, customers, seed=6, draws=100)
    future = clv.predict(buying, customers, 13.0, seed=1)
    found = clv.evaluate(future, customers, tracking=tracked, baselines=("past_rate",))
    counts = clv.scoring.tracking_counts(tracked)
    for name in ("number", "inside", "expected", "lower"):
        np.testing.assert_array_equal(found[f"tracking_{name}"].sel(forecast="model"), counts[name])
        assert np.isnan(found[f"tracking_{name}"].sel(forecast="past_rate")).all()
    assert found.sel(part="holdout", periods="week")["tracking_number"][0] == 13
