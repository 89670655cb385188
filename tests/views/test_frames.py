"""Results as tables: the same numbers, one row a customer, segment or measure, in a form that survives files."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.scoring.measures import MEASURES


@pytest.fixture(scope="module")
def base(make_customers, make_buying, make_spending):
    customers = make_customers(120)
    first = np.datetime64("1997-01-01") + np.arange(120).astype("timedelta64[D]")
    customers = customers.assign(first_order=("customer", first.astype("datetime64[s]")))
    return customers, make_buying(), make_spending()


@pytest.fixture(scope="module")
def segments(base):
    customers, buying, spending = base
    draws = clv.simulate(buying, customers, spending=spending, horizon=20.0, draws=60, seed=1)
    # The names of the table's own columns are names of segments like any other.
    kinds = clv.rule(
        "Kinds", {"unsure": "purchases == 0", "customer_id": "purchases == 1", "再次": "purchases > 1"}
    )
    return clv.segment(draws, kinds, totals=("purchases", "value"))


def test_a_row_a_customer(segments, tmp_path):
    table = clv.table(segments, by="customer")
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
    turned = clv.table(segments.transpose(..., "customer"), by="customer")
    pd.testing.assert_frame_equal(turned, table)


def test_a_row_a_segment(segments):
    sizes, table = clv.table(segments, by="segment"), clv.table(segments, by="customer")
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
    value = clv.predict(buying, customers, 20.0, spending=spending, seed=1)
    alarms = clv.churn_alarms(buying, customers, value=value, longest=60.0)
    table = clv.table(alarms)
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
    table = clv.table(clv.churn_alarms(buying, customers.drop_vars("first_order")))
    assert not {"value_at_risk", "alarm_date"} & set(table.columns)
    assert table["probability_alive"].is_monotonic_increasing
    assert table.attrs == {"threshold": 0.5, "time_unit": "week"}


@pytest.fixture(scope="module")
def evaluation(base):
    customers, buying, _ = base
    bought = np.random.default_rng(3).poisson(0.4 * customers["frequency"].values)
    held = customers.assign(holdout_purchases=("customer", bought)).assign_attrs(holdout_duration=20.0)
    future = clv.predict(buying, held, 20.0, seed=1)
    return clv.evaluate(future, held, buying=buying, draws=20)


def test_a_row_a_measure(evaluation):
    table = clv.table(evaluation).set_index("measure")
    assert list(table.columns[:3]) == ["meaning", "unit", "better"]
    assert {"model", "past_rate", "possible"} <= set(table.columns)
    assert (table["unit"] != "").all()
    assert table.loc["covered_90", "model"] == float(evaluation["covered"].sel(interval=90)[0])
    assert table.loc["captured_10", "possible"] == float(evaluation["captured_best"].sel(share=0.1))
    stems = {
        name.rsplit("_", 1)[0] if name[-2:].isdigit() and name[-3] != "q" else name for name in table.index
    }
    assert stems == {name for name in MEASURES if name in evaluation}


def test_the_default_is_the_first_that_there_is(segments, evaluation):
    pd.testing.assert_frame_equal(clv.table(segments), clv.table(segments, by="segment"))
    pd.testing.assert_frame_equal(clv.table(evaluation), clv.table(evaluation, by="measure"))


def test_what_has_no_table_is_refused_with_what_there_is(segments, base):
    with pytest.raises(
        clv.InputError, match=r"no table of segments by='draw'. Give by='segment' or 'customer'"
    ):
        clv.table(segments, by="draw")
    with pytest.raises(
        clv.InputError, match=r"dataset without attrs\['result'\]. There are tables of prediction, "
    ):
        clv.table(base[0])
    with pytest.raises(
        clv.InputError, match=r"attrs\['result'\] says, 'flow'. There are tables of prediction, "
    ):
        clv.table(segments.assign_attrs(result="flow"))
    with pytest.raises(clv.InputError, match="not of a dict"):
        clv.table({"mae": 1.0})
    with pytest.raises(clv.InputError, match="segments lack membership. Give the result as it was returned"):
        clv.table(segments.drop_vars("membership"))
    with pytest.raises(clv.InputError, match="table of segments by customer needs none"):
        clv.table(segments, by="customer", customers=base[0])
