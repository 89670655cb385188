"""The sum of the logarithms of the times between purchases: what it is, and what it must not depend on."""

import ibis
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv.customers as door
from bayes_clv.schema import InputError

CUTS = {"until": "1997-09-30", "holdout_until": "1998-03-31"}


@pytest.fixture(scope="module")
def orders():
    return door.load_cdnow()[["customer_id", "date", "spend"]]


@pytest.fixture(scope="module")
def customers(orders):
    return door.summarize(orders, **CUTS, also=("log_intervals",))


def by_pandas(orders, until, unit_days):
    """Return the sums by another road: sorted days, their differences, NumPy's logarithm."""
    days = orders.loc[orders["date"] <= until, ["customer_id", "date"]].drop_duplicates()
    days = days.sort_values(["customer_id", "date"])
    gap = days.groupby("customer_id")["date"].diff().dt.days / unit_days
    return np.log(gap).groupby(days["customer_id"]).sum()


def test_it_is_the_sum_that_pandas_finds(orders, customers):
    expected = by_pandas(orders, "1997-09-30", 7.0)
    assert expected.index.tolist() == customers["customer"].to_numpy().tolist()
    # The database rounds each logarithm to 12 decimals.
    rounding = 1e-12 * (1 + customers["frequency"].max().item())
    np.testing.assert_allclose(customers["log_intervals"], expected, rtol=1e-14, atol=rounding)
    assert (customers["log_intervals"].to_numpy()[customers["frequency"] == 0] == 0).all()
    assert customers["log_intervals"].attrs["units"] == "none"
    # One interval is the recency; of several that add up to it none have a larger sum than equal ones.
    x, t_x = customers["frequency"].to_numpy(), customers["recency"].to_numpy()
    once, more = x == 1, x > 1
    np.testing.assert_allclose(customers["log_intervals"][once], np.log(t_x[once]), rtol=1e-14, atol=1e-12)
    assert (customers["log_intervals"][more] <= x[more] * np.log(t_x[more] / x[more]) + 1e-9).all()


def test_it_is_there_on_request_and_changes_nothing_else(orders, customers):
    plain = door.summarize(orders, **CUTS)
    assert "log_intervals" not in plain
    xr.testing.assert_identical(customers.drop_vars("log_intervals"), plain)


def test_by_hand_without_spend_and_with_several_orders_a_day():
    days = ["2024-01-01", "2024-01-03", "2024-01-03", "2024-01-08", "2024-03-08", "2024-01-01"]
    log = pd.DataFrame({"customer_id": ["a"] * 5 + ["b"], "date": days})
    seen = door.summarize(log, spend=None, until="2024-02-01", time_unit="day", also=("log_intervals",))
    np.testing.assert_allclose(seen["log_intervals"], [np.log(2 * 5), 0], rtol=0, atol=2e-12)
    later = door.summarize(log, spend=None, until="2024-04-01", time_unit="day", also=("log_intervals",))
    np.testing.assert_allclose(later["log_intervals"], [np.log(2 * 5 * 60), 0], rtol=0, atol=3e-12)


def test_another_unit_moves_it_by_frequency_times_the_logarithm_of_the_factor(orders, customers):
    for unit, factor in (("day", 7.0), ("hour", 168.0)):
        other = door.summarize(orders, time_unit=unit, **CUTS, also=("log_intervals",))
        moved = customers["log_intervals"] + customers["frequency"] * np.log(factor)
        # Sums of at most 30 logarithms of at most 9.
        np.testing.assert_allclose(other["log_intervals"], moved, rtol=0, atol=30 * 9 * 1e-15)


def test_rows_in_any_order_from_any_table_give_the_same_bits(tmp_path, orders, customers):
    shuffled = orders.sample(frac=1, random_state=np.random.default_rng(1))
    shuffled.to_csv(tmp_path / "orders.csv", index=False)
    shuffled.to_parquet(tmp_path / "orders.parquet")
    connection = ibis.duckdb.connect()
    for table in (
        tmp_path / "orders.csv",
        tmp_path / "orders.parquet",
        connection.read_parquet(tmp_path / "orders.parquet"),
    ):
        again = door.summarize(table, **CUTS, also=("log_intervals",))
        xr.testing.assert_identical(again["log_intervals"], customers["log_intervals"])


def test_a_summary_comes_back_from_its_table(customers):
    names = ["frequency", "recency", "T", "log_intervals", "monetary_value"]
    again = door.from_table(customers[names].to_dataframe(), time_unit="week")
    xr.testing.assert_equal(again, customers[names])
    assert list(again) == names


@pytest.mark.parametrize(
    ("intervals", "words"),
    [
        ([np.nan, 0.5, 0.0], "missing or infinite for 1 of 3"),
        ([2.0, -np.inf, 0.0], "missing or infinite for 1 of 3"),
        ([2.0, 0.5, 0.1], "not 0 although frequency is 0 for 1 of 3"),
        # Two intervals that add up to 30.43 have a sum of at most 2 ln(15.2) = 5.44.
        ([5.6, 0.5, 0.0], "customer '0' with log_intervals 5.6 and recency 30.43"),
        # One of 1.71 has ln(1.71) = 0.54, and not log10(1.71) = 0.23.
        ([2.0, 0.23, 0.0], "customer '1' with log_intervals 0.23 and recency 1.71"),
    ],
)
def test_sums_that_cannot_be_are_refused(intervals, words):
    table = pd.DataFrame(
        {"frequency": [2, 1, 0], "recency": [30.43, 1.71, 0.0], "T": 38.86, "log_intervals": [5.4, 0.54, 0.0]}
    )
    assert door.from_table(table)["log_intervals"].to_numpy().tolist() == [5.4, 0.54, 0.0]
    with pytest.raises(InputError) as caught:
        door.from_table(table.assign(log_intervals=intervals))
    assert "'log_intervals' is" in str(caught.value)
    assert words in str(caught.value)
