import math

import numpy as np
import pandas as pd
import pytest

from bayes_clv.customers.summaries import summarize
from bayes_clv.predictions.forecasts import predict
from bayes_clv.predictions.synthetic import simulate_orders
from bayes_clv.schema import InputError
from bayes_clv.scoring.tracking import simulate_tracking
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

SIZE = 3000
DATES = {"start": "1997-01-01", "until": "1998-06-30", "acquisition": "12 weeks"}


@pytest.fixture(scope="module")
def orders(estimates, spend):
    return simulate_orders(estimates, spend, customers=SIZE, seed=3, **DATES)


@pytest.fixture(scope="module")
def customers(orders):
    return summarize(orders, until="1997-09-28", holdout_until="1998-06-30", time_unit="week")


def test_a_log_is_made_of_whole_days_and_carries_its_truth(orders, estimates, spend):
    assert list(orders.columns) == ["customer_id", "date", "spend"]
    assert orders["date"].is_monotonic_increasing
    assert (orders["date"] == orders["date"].dt.normalize()).all()
    assert orders["date"].max() <= pd.Timestamp("1998-06-30")
    first = orders.groupby("customer_id")["date"].min()
    assert first.size == SIZE
    assert (first < pd.Timestamp("1997-01-01") + pd.Timedelta(days=84)).all()
    # Nothing else is dated to a customer's first day.
    assert (orders["date"] == orders["customer_id"].map(first)).sum() == SIZE
    assert {**estimates, **spend}.items() <= orders.attrs.items()


def test_a_log_repeats_with_its_seed_and_spend_changes_no_date(orders, estimates, spend):
    pd.testing.assert_frame_equal(simulate_orders(estimates, spend, customers=SIZE, seed=3, **DATES), orders)
    bare = simulate_orders(estimates, customers=SIZE, seed=3, **DATES)
    pd.testing.assert_frame_equal(bare, orders[["customer_id", "date"]])


def test_a_log_buys_as_the_closed_form_says(orders, estimates):
    repeats = orders.groupby("customer_id").size() - 1
    first = orders.groupby("customer_id")["date"].min()
    age = (pd.Timestamp("1998-06-30") - first).dt.days.to_numpy() / 7
    expected = bg_nbd.expected_purchases(age, 0, 0, 0, **estimates)
    error = repeats.std() / math.sqrt(SIZE)
    assert abs(repeats.mean() - expected.mean()) < 4 * error


def test_days_and_weeks_make_the_same_log(estimates):
    weeks = simulate_orders(estimates, customers=300, seed=3, **DATES)
    days = simulate_orders(
        estimates | {"alpha": 7 * estimates["alpha"]}, customers=300, seed=3, time_unit="day", **DATES
    )
    pd.testing.assert_frame_equal(weeks, days)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buying": {"r": 1.0}}, "bg_nbd has the parameters r, alpha, a, b; given were r"),
        ({"buying": {"r": -1.0, "alpha": 1, "a": 1, "b": 1}}, "r must be positive"),
        ({"customers": 0}, "at least 1"),
        ({"until": "1997-01-05"}, "runs 4 days"),
        ({"start": "yesterday"}, "must be a date like"),
    ],
)
def test_bad_truths_are_refused(estimates, change, message):
    arguments = {"buying": estimates, "customers": 5, "seed": 1, **DATES} | change
    with pytest.raises(InputError, match=message):
        simulate_orders(arguments.pop("buying"), **arguments)


def test_tracking_replicates_calibration_and_forecasts_holdout(make_buying, customers, estimates):
    buying = make_buying(sd=0.0, chains=2, draws=500)
    tracking = simulate_tracking(buying, customers, seed=1, draws=1000)
    assert tracking["purchases"].dims == ("chain", "draw", "period")
    calibration = tracking.attrs["calibration_periods"]
    # 271 days: 38 whole weeks and 5 days, so that one period holds both parts.
    assert calibration == 38
    straddling = tracking["purchases"].isel(period=calibration)
    replicated = tracking["purchases"].isel(period=slice(calibration)).sum("period")
    # New customers of these ages; the period in between ends after observation does.
    age = customers["T"].to_numpy()
    until = (
        38 * 7
        - 1
        - (customers["first_order"].to_numpy() - customers["period_start"].to_numpy()[0])
        / np.timedelta64(1, "D")
    )
    expected = bg_nbd.expected_purchases(np.maximum(until, 0) / 7, 0, 0, 0, **estimates).sum()
    error = float(replicated.std()) / math.sqrt(1000)
    assert abs(float(replicated.mean()) - expected) < 4 * error
    # All days of (0, T] and of the holdout are counted, none twice.
    total = tracking["purchases"].sum("period")
    future = predict(buying, customers, customers.attrs["holdout_duration"], seed=1)["purchases_total"]
    whole = bg_nbd.expected_purchases(age, 0, 0, 0, **estimates).sum() + float(future.mean())
    assert abs(float(total.mean()) - whole) < 4 * float(total.std()) / math.sqrt(1000)
    later = tracking["purchases"].isel(period=slice(calibration + 1, None)).sum("period")
    assert ((future - later) >= 0).all()
    assert ((future - later) <= straddling).all()
    np.testing.assert_array_equal(tracking["observed"], customers["period_purchases"])


def test_tracking_covers_the_truth(make_buying, estimates):
    # Totals of the first 20 weeks in 12 logs, each ranked among 200 simulated ones. Uniform ranks have
    # variance 1/12, their mean over 12 logs a standard error of 1/12 (and same-day purchases lower them).
    ranks = []
    for seed in range(12):
        log = simulate_orders(estimates, customers=400, seed=seed, **DATES | {"until": "1997-06-30"})
        customers = summarize(log, until="1997-06-30", time_unit="week", spend=None)
        tracking = simulate_tracking(make_buying(sd=0.0, draws=100), customers, seed=seed)
        total = tracking["purchases"].isel(period=slice(20)).sum("period").to_numpy().ravel()
        ranks.append((total < int(tracking["observed"].isel(period=slice(20)).sum())).mean())
    assert abs(np.mean(ranks) - 0.5) < 3 / 12


def test_periods_of_days_follow_the_day_convention(make_buying, estimates):
    # One-day periods: nobody repeats on the day of the first order, day d holds ages (d - 1, d], and the
    # first day of the holdout is the day after observation ends.
    dates = {"start": "1997-01-01", "until": "1997-01-30", "acquisition": 1}
    log = simulate_orders(estimates, customers=300, seed=1, **dates)
    customers = summarize(
        log, until="1997-01-20", holdout_until="1997-01-30", time_unit="week", spend=None, period_days=1
    )
    tracking = simulate_tracking(make_buying(sd=0.0, draws=1000), customers, seed=2, draws=2000)["purchases"]
    mean = tracking.mean(("chain", "draw")).to_numpy()
    error = tracking.std(("chain", "draw")).to_numpy() / math.sqrt(2000)
    assert mean.size == 30
    assert mean[0] == 0
    calibration = 300 * np.diff(bg_nbd.expected_purchases(np.arange(20) / 7, 0, 0, 0, **estimates))
    assert (np.abs(mean[1:20] - calibration) <= 4 * error[1:20]).all()
    history = [customers[name].to_numpy()[:, None] for name in ("frequency", "recency", "T")]
    holdout = np.diff(bg_nbd.expected_purchases(np.arange(11) / 7, *history, **estimates).sum(axis=0))
    assert (np.abs(mean[20:] - holdout) <= 4 * error[20:]).all()
    # The replicated past and the forecast do not share random numbers: 4 standard errors of no correlation.
    days = tracking.to_numpy().reshape(-1, 30)
    correlation = np.corrcoef(days[:, :20].sum(axis=1), days[:, 20:].sum(axis=1))[0, 1]
    assert abs(correlation) < 4 / math.sqrt(2000)


def test_tracking_needs_the_order_log(make_buying, make_customers):
    with pytest.raises(InputError, match="lacks first_order, period_start, period_purchases"):
        simulate_tracking(make_buying(), make_customers(5), seed=1)
