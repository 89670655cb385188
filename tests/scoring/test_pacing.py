"""Whether the rate of all customers moves, asked of their weekly purchases."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.scoring import pace


def shop(rng, paces, customers=1200):
    """Return orders of customers who came over the first half of the weeks, at a rate that is paced by week."""
    ends, grid = np.concatenate([[0.0], np.cumsum(paces)]), np.arange(len(paces) + 1.0)
    rows = []
    for customer in range(customers):
        came = int(rng.integers(0, len(paces) * 7 // 2))
        at, rate, leaves = np.interp(came / 7, grid, ends), rng.gamma(1.0, 1 / 8), rng.beta(1, 4)
        rows.append((customer, came))
        while True:
            at += rng.exponential(1 / rate)
            if at >= ends[-1]:
                break
            rows.append((customer, int(np.ceil(7 * np.interp(at, ends, grid)))))
            if rng.random() < leaves:
                break
    found = pd.DataFrame(rows, columns=["customer_id", "day"])
    found["date"] = pd.Timestamp("2022-01-01") + pd.to_timedelta(found["day"], unit="D")
    return found[found["day"] < 7 * len(paces)]


def asked(paces, seed, family="bg_nbd"):
    orders = shop(np.random.default_rng(seed), paces)
    return pace(family, clv.summarize(orders, until="2022-12-30", spend=None, also=("periods",)))


def test_customers_of_one_rate_do_not_move_together():
    # A dispersion is a chi-square over its weeks: of 52 it has a standard deviation of sqrt(2 / 52) = .2.
    found = [asked(np.ones(52), seed) for seed in range(4)]
    assert all(each["moves"] == 0 for each in found)
    assert np.mean([each["dispersion"] for each in found]) == pytest.approx(1, abs=4 * 0.2 / 2)


def test_a_season_is_seen():
    found = asked(np.exp(0.5 * np.sin(np.arange(52) / 4)), 1)
    assert found["moves"] == 1
    assert found["dispersion"] > 1.5
    assert found["periods"] == 51


def test_cdnow_moves():
    daily = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("periods",))
    for family in ("bg_nbd", "mbg_nbd"):
        assert pace(family, daily)["moves"] == 1


def test_what_has_no_days_is_refused():
    plain = clv.summarize(clv.load_cdnow(), until="1997-09-30")
    with pytest.raises(clv.InputError, match=r"also=\('periods',\)"):
        pace("bg_nbd", plain)
    with pytest.raises(clv.InputError, match="time unit"):
        pace("bg_nbd", plain.assign_attrs(time_unit="unstated"))
