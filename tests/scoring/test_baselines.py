"""The simple rules, each against its arithmetic by hand, and none of them looks at the holdout."""

import math

import numpy as np
import pytest
import xarray as xr

from bayes_clv.schema import InputError
from bayes_clv.scoring.baselines import BASELINES, baseline, default_hiatus

DAY = np.timedelta64(1, "D")


@pytest.fixture
def customers() -> xr.Dataset:
    """Return four customers of 4 weeks of calibration and 2 of holdout, periods of 7 days from 1 January."""
    first = np.datetime64("2024-01-01", "s") + np.array([0, 0, 7, 27]) * DAY
    return xr.Dataset(
        {
            "frequency": ("customer", [2, 1, 0, 0]),
            "recency": ("customer", [2.0, 3.0, 0.0, 0.0]),
            "T": ("customer", [27 / 7, 27 / 7, 20 / 7, 0.0]),
            "monetary_value": ("customer", [10.0, 40.0, np.nan, np.nan]),
            "historical_spend": ("customer", [50.0, 50.0, 7.0, 9.0]),
            "first_order": ("customer", first),
            "holdout_purchases": ("customer", [1, 0, 0, 3]),
            "holdout_spend": ("customer", [9.0, 0.0, 0.0, 30.0]),
            "period_start": ("period", np.datetime64("2024-01-01", "s") + 7 * np.arange(6) * DAY),
            "period_purchases": ("period", [0, 1, 1, 1, 3, 1]),
        },
        coords={"customer": np.array(list("abcd"), dtype=object)},
        attrs={
            "time_unit": "week",
            "until": "2024-01-28",
            "holdout_until": "2024-02-11",
            "holdout_duration": 2.0,
            "period_days": 7,
            "calibration_periods": 4,
        },
    )


def test_the_past_rate_is_repeated(customers):
    rule = baseline("past_rate", customers, horizon="2 weeks")
    np.testing.assert_allclose(rule.purchases, [2 * 2 * 7 / 27, 2 * 7 / 27, 0, 0])
    # Mean spend so far, the first occasion included: 50 / 3, 50 / 2, 7, 9.
    np.testing.assert_allclose(rule.spend, rule.purchases * [50 / 3, 25, 7, 9])
    repeat_only = baseline("past_rate", customers.drop_vars("historical_spend"), horizon=2.0)
    np.testing.assert_allclose(repeat_only.spend, rule.purchases * [10, 40, 25, 25])
    without = customers.drop_vars(["historical_spend", "monetary_value"])
    assert baseline("past_rate", without, horizon=2.0).spend is None


def test_a_long_silence_ends_the_past_rate(customers):
    rate = baseline("past_rate", customers, horizon=2.0).purchases
    # Silences are 13, 6, 20 and 0 days.
    given = baseline("recency_rule", customers, horizon=2.0, hiatus="12 days")
    np.testing.assert_allclose(given.purchases, [0, rate[1], 0, 0])
    np.testing.assert_allclose(
        baseline("recency_rule", customers, horizon=2.0, hiatus="13 days").purchases, [rate[0], rate[1], 0, 0]
    )
    # Gaps are 1, 1 and 3 weeks: 90 % of them are within 3.
    assert default_hiatus(customers) == 3.0
    np.testing.assert_allclose(baseline("recency_rule", customers, horizon=2.0).purchases, rate)


def test_the_default_hiatus_holds_nine_gaps_in_ten(customers):
    # 19 gaps of one week and 1 of five weeks: 95 % are one week. Two of five: 90.5 %, three: 86 %.
    for long, hiatus in ((1, 1.0), (2, 1.0), (3, 5.0)):
        some = customers.isel(customer=[0, 1]).assign(
            frequency=("customer", [19, long]), recency=("customer", [19.0, 5.0 * long])
        )
        assert default_hiatus(some) == hiatus
    with pytest.raises(InputError, match="recency_rule cannot be computed: no customer has a repeat"):
        baseline("recency_rule", customers.isel(customer=[2, 3]), horizon=2.0)


def test_the_last_periods_give_everybody_one_rate(customers):
    # Days at risk in the last two periods, 15 to 28 January: 14, 14, 14 and, from 29 January on, none.
    rule = baseline("period_mean", customers, horizon=2.0)
    np.testing.assert_allclose(rule.purchases, np.full(4, (1 + 1) / (42 / 7) * 2))
    # The whole calibration: 27 days after the first of January, twice, and 20 after the eighth.
    rule = baseline("period_mean", customers, horizon="10 weeks")
    np.testing.assert_allclose(rule.purchases, np.full(4, 3 / ((27 + 27 + 20) / 7) * 10))
    with pytest.raises(InputError, match="period_mean cannot be computed: the customers lack first_order"):
        baseline("period_mean", customers.drop_vars("first_order"), horizon=2.0)


def test_the_pareto_rule_only_ranks(customers):
    rule = baseline("pareto_rule", customers, horizon=2.0)
    assert rule.purchases is None
    assert rule.spend is None
    np.testing.assert_array_equal(rule.rank_purchases, [2, 1, 0, 0])
    np.testing.assert_array_equal(rule.rank_spend, [50, 50, 7, 9])
    assert baseline("pareto_rule", customers.drop_vars("historical_spend"), horizon=2.0).rank_spend is None


@pytest.mark.parametrize("name", BASELINES)
def test_no_rule_looks_at_the_holdout(customers, name):
    other = customers.copy(deep=True)
    other["holdout_purchases"][:] = 100
    other["holdout_spend"][:] = math.nan
    other["period_purchases"][4:] = 1000
    first, second = (baseline(name, table, horizon=2.0) for table in (customers, other))
    for part in ("purchases", "spend", "rank_purchases", "rank_spend"):
        one, two = getattr(first, part), getattr(second, part)
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_array_equal(one, two)
    shuffled = baseline(name, customers.isel(customer=[2, 0, 3, 1]), horizon=2.0)
    np.testing.assert_allclose(shuffled.rank_purchases, first.rank_purchases[[2, 0, 3, 1]])


def test_units_do_not_matter(customers):
    days = customers.assign(recency=customers["recency"] * 7, T=customers["T"] * 7)
    days = days.assign_attrs(time_unit="day", holdout_duration=14.0)
    for name in BASELINES:
        one, two = (baseline(name, table, horizon="2 weeks") for table in (customers, days))
        np.testing.assert_allclose(one.rank_purchases, two.rank_purchases)


def test_an_unknown_rule_is_refused(customers):
    with pytest.raises(InputError, match="'best_guess' is not known. Use any of past_rate"):
        baseline("best_guess", customers, horizon=2.0)
