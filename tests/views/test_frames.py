"""Segments and alarms as tables: the same numbers, one row a customer, in a form that survives files."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv


@pytest.fixture(scope="module")
def base(make_customers, make_buying, make_spending):
    customers = make_customers(120)
    first = np.datetime64("1997-01-01") + np.arange(120).astype("timedelta64[D]")
    customers = customers.assign(first_order=("customer", first.astype("datetime64[s]")))
    return customers, make_buying(), make_spending()


@pytest.fixture(scope="module")
def segments(base):
    customers, buying, spending = base
    draws = clv.customer_draws(buying, customers, spending=spending, horizon=20.0, draws=60, seed=1)
    # The names of the table's own columns are names of segments like any other.
    kinds = clv.rule(
        "Kinds", {"unsure": "purchases == 0", "customer_id": "purchases == 1", "再次": "purchases > 1"}
    )
    return clv.segment(draws, kinds, totals=("purchases", "value"))


def test_a_row_a_customer(segments, tmp_path):
    table = clv.segment_table(segments)
    assert table["customer_id"].tolist() == segments["customer"].values.tolist()
    chances = table[[f"probability_{name}" for name in segments["segment"].values]]
    np.testing.assert_array_equal(chances, segments["membership"])
    np.testing.assert_array_equal(table["probability"], chances.max(axis=1))
    best = chances.idxmax(axis=1).str.removeprefix("probability_")
    assert (table["segment"] == best).all()
    assert (table["unsure"] == (table["probability"] < 0.8)).all()
    assert table["unsure"].any()
    table.to_parquet(tmp_path / "segments.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "segments.parquet"), table, check_exact=True)
    turned = clv.segment_table(segments.transpose(..., "customer"))
    pd.testing.assert_frame_equal(turned, table)


def test_a_row_a_segment(segments):
    sizes, table = clv.segment_sizes_table(segments), clv.segment_table(segments)
    assert sizes["segment"].tolist() == ["unsure", "customer_id", "再次"]
    for name, source in (("customers", "size"), ("purchases", "purchases_total"), ("value", "value_total")):
        drawn = segments[source].transpose("draw", "segment").to_numpy()
        np.testing.assert_allclose(sizes[f"{name}_mean"], drawn.mean(axis=0))
        low, high = np.quantile(drawn, (0.05, 0.95), axis=0, method="inverted_cdf")
        np.testing.assert_array_equal(sizes[[f"{name}_q05", f"{name}_q95"]], np.stack([low, high], axis=1))
    assert sizes["labelled"].tolist() == [int((table["segment"] == name).sum()) for name in sizes["segment"]]
    assert sizes["unsure"].sum() == table["unsure"].sum()


def test_alarms_by_value_at_risk_with_dates_as_dates(base, tmp_path):
    customers, buying, spending = base
    value = clv.predict_value(buying, spending, customers, horizon=20.0, seed=1)
    alarms = clv.churn_alarms(buying, customers, value=value, longest=60.0)
    table = clv.alarm_table(alarms)
    assert len(table) == 120
    assert (np.diff(table["value_at_risk"]) <= 0).all()
    matched = alarms.sel(customer=table["customer_id"].to_numpy(dtype=object))
    for name in ("alarmed", "probability_alive", "silence", "value_at_risk"):
        np.testing.assert_array_equal(table[name], matched[name], err_msg=name)
    never = np.isinf(matched["alarm_silence"].to_numpy())
    assert never.any()
    for name in ("alarm_silence", "alarm_in", "alarm_date"):
        np.testing.assert_array_equal(table[name].isna(), never, err_msg=name)
    np.testing.assert_array_equal(table["alarm_in"][~never], matched["alarm_in"][~never])
    assert {type(day) for day in table["alarm_date"][~never]} == {dt.date}
    days = matched["alarm_date"].values[~never].astype("datetime64[D]")
    np.testing.assert_array_equal(table["alarm_date"][~never].to_numpy(dtype="datetime64[D]"), days)
    table.to_parquet(tmp_path / "alarms.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "alarms.parquet"), table, check_exact=True)
    table.to_csv(tmp_path / "alarms.csv", index=False)
    text = pd.read_csv(tmp_path / "alarms.csv", dtype=str)
    assert text["alarm_date"].dropna().str.fullmatch(r"\d{4}-\d\d-\d\d").all()


def test_alarms_without_money_or_dates(base):
    customers, buying, _ = base
    table = clv.alarm_table(clv.churn_alarms(buying, customers.drop_vars("first_order")))
    assert not {"value_at_risk", "alarm_date"} & set(table.columns)
    assert table["probability_alive"].is_monotonic_increasing
    assert table.attrs == {"threshold": 0.5, "time_unit": "week"}


def test_what_is_neither(segments, base):
    for table in (clv.segment_table, clv.segment_sizes_table):
        with pytest.raises(clv.InputError, match=r"give what clv\.segment returned"):
            table(base[0])
    with pytest.raises(clv.InputError, match=r"give what clv\.churn_alarms returned"):
        clv.alarm_table(segments)
