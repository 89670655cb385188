"""The CDNOW sample is the one the papers count, and its summary has the papers' figures."""

import gzip
import hashlib
import re
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

import bayes_clv.customers as door
from bayes_clv.schema import InputError

DATA = files("bayes_clv.customers") / "data"


@pytest.fixture(scope="module")
def orders():
    return door.load_cdnow()


@pytest.fixture(scope="module")
def customers(orders):
    return door.summarize(orders, until="1997-09-30", holdout_until="1998-06-30", time_unit="week")


def test_the_log_has_the_published_counts(orders):
    assert len(orders) == 6919
    assert orders["customer_id"].nunique() == 2357
    assert orders["customer_id"].iloc[0] == "0001"
    assert orders["customer_id"].max() == "2357"
    assert list(orders.columns) == ["customer_id", "date", "quantity", "spend"]
    assert orders["date"].min() == pd.Timestamp("1997-01-01")
    assert orders["date"].max() == pd.Timestamp("1998-06-30")
    assert orders["quantity"].sum() == 16479
    assert round(orders["spend"].sum(), 2) == 244091.94


def test_the_file_is_the_one_its_readme_describes():
    packed = (DATA / "cdnow_sample.csv.gz").read_bytes()
    digest = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert digest in (DATA / "README.md").read_text(encoding="utf-8")
    # Bytes 4 to 7 of a gzip file are its time: zero, so that making it again gives the same file.
    assert packed[4:8] == b"\0\0\0\0"


def test_published_totals(customers):
    """Fader, Hardie & Lee (2005): 39 weeks of calibration, 39 of holdout."""
    assert customers.sizes["customer"] == 2357
    assert int(customers["frequency"].sum()) == 2457
    assert int((customers["frequency"] > 0).sum()) == 946
    assert int(customers["holdout_purchases"].sum()) == 1882
    assert customers.attrs["holdout_duration"] == 39.0
    assert customers.attrs["calibration_periods"] == 39


def test_published_customers(customers):
    """Hardie's worksheet: customer 1 has x = 2, t_x = 30.43, T = 38.86."""
    first = customers.sel(customer="0001")
    assert int(first["frequency"]) == 2
    assert float(first["recency"]) == pytest.approx(213 / 7, abs=0)
    assert float(first["T"]) == pytest.approx(272 / 7, abs=0)
    # (29.73 + 14.96) / 2, in exact cents.
    assert float(first["monetary_value"]) == pytest.approx(22.345, abs=1e-12)


def test_every_row_agrees_with_a_computation_in_pandas(orders, customers):
    until, end = pd.Timestamp("1997-09-30"), pd.Timestamp("1998-06-30")
    cents = orders.assign(cents=(orders["spend"] * 100).round().astype("int64"))
    days = cents.groupby(["customer_id", "date"], as_index=False)["cents"].sum().sort_values("date")
    rows = customers.drop_dims("period").to_dataframe().to_dict("index")
    history = {}
    for day in days.itertuples():
        history.setdefault(day.customer_id, []).append((day.date, day.cents))
    for customer, own in history.items():
        row = rows.pop(customer)
        past = [day for day in own if day[0] <= until]
        future = [day for day in own if until < day[0] <= end]
        birth, first_cents = past[0]
        assert row["frequency"] == len(past) - 1
        assert row["recency"] == (past[-1][0] - birth).days / 7
        assert row["T"] == (until - birth).days / 7
        assert row["first_order"] == birth
        assert row["holdout_purchases"] == len(future)
        total = sum(cents for _, cents in past)
        mean = (total - first_cents) / (len(past) - 1) / 100 if len(past) > 1 else np.nan
        expected = [mean, first_cents / 100, total / 100, sum(cents for _, cents in future) / 100]
        found = [row[name] for name in ("monetary_value", "first_spend", "historical_spend", "holdout_spend")]
        # Sums of exact cents, divided at most twice: two rounding errors, of half an eps each, on either side.
        assert found == pytest.approx(expected, rel=2 * np.finfo(float).eps, abs=0, nan_ok=True)
    assert not rows


def test_periods_count_every_repeat_occasion_once(orders, customers):
    weeks = customers["period_purchases"].to_numpy()
    assert weeks[:39].sum() == 2457
    assert weeks[39:].sum() == 1882
    days = orders[["customer_id", "date"]].drop_duplicates()
    birth = days.groupby("customer_id")["date"].transform("min")
    repeats = days.loc[days["date"] > birth, "date"]
    expected = np.bincount((repeats - pd.Timestamp("1997-01-01")).dt.days // 7, minlength=78)
    np.testing.assert_array_equal(weeks, expected)


def test_purchase_dates_are_the_occasions_of_one_customer(orders, customers):
    for customer in ("0001", "0026", "0111"):
        days = door.purchase_dates(orders, customer)
        assert days.dtype == np.dtype("datetime64[D]")
        assert (np.diff(days) > np.timedelta64(0, "D")).all()
        row = customers.sel(customer=customer)
        assert len(days) == 1 + int(row["frequency"]) + int(row["holdout_purchases"])


def test_purchase_dates_of_an_unknown_customer(orders):
    with pytest.raises(InputError, match=re.escape("no order of customer '1'")) as caught:
        door.purchase_dates(orders, 1)
    assert "'0001', '0002', '0003'" in str(caught.value)
