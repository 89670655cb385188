"""Spark says what every other door says, on a session of the tests' own; skipped where Spark or Java is missing."""

import json
import warnings

import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.inference.posterior import FORMAT
from bayes_clv.workflows import predict_on_spark
from tests.customers.engines import OPTIONS, awkward_orders, halves, same, spark


@pytest.fixture(scope="module")
def session():
    with spark() as started:
        yield started


@pytest.fixture(scope="module")
def shop(session):
    with warnings.catch_warnings():
        # Of Spark, of pandas 3.
        warnings.simplefilter("ignore", FutureWarning)
        import ibis

        return ibis.pyspark.connect(session)


def loaded(shop, session, folder, orders: pd.DataFrame, name: str):
    """Return the orders as a table of Spark: a file, so that its times of day are in no zone."""
    orders.to_parquet(folder / "orders.parquet", index=False)
    session.read.parquet(str(folder / "orders.parquet")).createOrReplaceTempView(name)
    return shop.table(name)


def fetched(*_given):
    raise AssertionError("the orders were fetched")


def test_spark_computes_the_summary_and_says_the_same(shop, session, tmp_path, monkeypatch):
    """There, and not here: its orders are not fetched; what it kept of them is gone afterwards."""
    from bayes_clv.customers.orders import engines

    monkeypatch.setattr(engines, "handed_over", fetched)
    orders = awkward_orders()
    same(
        clv.summarize(loaded(shop, session, tmp_path, orders, "orders"), **OPTIONS),
        clv.summarize(orders, **OPTIONS),
    )
    assert not shop._cached_dataframes


def test_halves_are_rounded_alike(shop, session, tmp_path):
    told = {
        "until": "2024-06-30",
        "customer_id": "client",
        "date": "bought",
        "quantity": "pieces",
        "price": "each",
    }
    log = halves()
    same(clv.summarize(loaded(shop, session, tmp_path, log, "halves"), **told), clv.summarize(log, **told))


def test_instants_are_refused_and_the_remedy_says_the_shops_day(shop):
    """Half past midnight in Berlin is the day before in UTC, in which Ibis reads them."""
    instant = (
        "SELECT ' 0001' AS client, TIMESTAMP '2024-07-01 00:30:00 Europe/Berlin' AS bought, 2.0 AS amount"
    )
    told = {"customer_id": "client", "date": "bought", "spend": "amount"}
    with pytest.raises(clv.InputError, match=r"to_date\(from_utc_timestamp\(bought, 'Europe/Berlin'\)\)"):
        clv.summarize(shop.sql(instant), **told)
    told_of_days = told | {"date": "day", "where": "bought < '2024-07-01'"}
    with pytest.raises(clv.InputError, match=r"'bought' holds Spark's TIMESTAMP.*where=.* is to hold"):
        clv.summarize(shop.sql(f"SELECT *, DATE '2024-07-01' AS day FROM ({instant})"), **told_of_days)
    day = f"SELECT client, to_date(from_utc_timestamp(bought, 'Europe/Berlin')) AS bought, amount FROM ({instant})"
    found = clv.summarize(shop.sql(day), **told)
    assert found["customer"].values.tolist() == ["0001"]
    assert str(found["first_order"].values[0])[:10] == "2024-07-01"


# Of Spark, of pandas 3.
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_spark_forecasts_to_the_bit_what_is_forecast_here(session, tmp_path, make_buying, make_spending):
    """In parts, by its own workers, in whatever order these finish."""
    customers = clv.summarize(awkward_orders(), **OPTIONS)
    buying, spending = make_buying(draws=20), make_spending(draws=20)
    for each in (buying, spending):
        each.attrs["format"] = FORMAT
    told = {
        "spending": spending,
        "margin": 0.3,
        "annual_discount_rate": 0.1,
        "acquisition_cost": 2.5,
        "seed": 3,
    }
    here = clv.table(clv.predict(buying, customers, "20 weeks", **told))
    there = predict_on_spark(session, buying, customers, "20 weeks", **told, part=17)
    assert there.rdd.getNumPartitions() == -(-len(here) // 17)
    found = there.toArrow().to_pandas().set_index("customer_id").loc[here["customer_id"]].reset_index()
    found = found.astype({"customer_id": here["customer_id"].dtype})
    pd.testing.assert_frame_equal(found, here, check_exact=True)
    there.write.parquet(str(tmp_path / "forecasts"))
    kept = session.read.parquet(str(tmp_path / "forecasts")).schema["customer_id"].metadata
    assert json.loads(kept["bayes_clv"]) == here.attrs


def test_what_spark_cannot_forecast_is_refused_before_it_starts(session, make_buying, make_customers):
    with pytest.raises(clv.InputError, match="str is no SparkSession"):
        predict_on_spark("local", make_buying(), make_customers(2), seed=1)
    with pytest.raises(clv.InputError, match="is no bayes_clv posterior"):
        predict_on_spark(session, make_buying(), make_customers(2), seed=1)
    with pytest.raises(clv.InputError, match="part=0 must be a whole number"):
        predict_on_spark(session, make_buying(), make_customers(2), seed=1, part=0)
