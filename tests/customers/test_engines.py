"""One log through every door: pandas, Polars, Arrow, files, and the tables of databases say the same to the last bit.

The log has what engines disagree about: several orders of a day and of an instant, midnight and the microsecond before,
hours that a change of clocks leaves out or has twice (the databases' own zone is one that changes), returns in their
order, against an item, on their day, of before and of nothing, free orders, and rows in no order.
"""

import sqlite3

import ibis
import pandas as pd
import pyarrow as pa
import pytest

import bayes_clv as clv
from bayes_clv.customers import summaries
from bayes_clv.customers.orders import sorting
from tests.customers.engines import OPTIONS, awkward_orders, cluster, halves, same

ZONE = "Europe/Berlin"


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    return awkward_orders()


@pytest.fixture(scope="module")
def reference(orders):
    return clv.summarize(orders, **OPTIONS)


def polars(orders, _folder):
    return pytest.importorskip("polars").from_pandas(orders)


def csv(orders, folder):
    orders.to_csv(folder / "orders.csv", index=False)
    return folder / "orders.csv"


def parquet(orders, folder):
    orders.to_parquet(folder / "orders.parquet")
    return folder / "orders.parquet"


def duckdb(orders, folder):
    shop = ibis.duckdb.connect(folder / "shop.duckdb")
    shop.raw_sql("SET threads = 2")
    return shop.create_table("orders", pa.Table.from_pandas(orders))


def sqlite(orders, folder):
    with sqlite3.connect(folder / "shop.sqlite") as connection:
        orders.assign(bought=orders["bought"].astype(str)).to_sql("orders", connection, index=False)
    connection.close()
    return ibis.sqlite.connect(folder / "shop.sqlite").table("orders")


DOORS = {
    "Polars": polars,
    "Arrow": lambda orders, _folder: pa.Table.from_pandas(orders),
    "shuffled": lambda orders, _folder: orders.sample(frac=1, random_state=3),
    "CSV": csv,
    "Parquet": parquet,
    "DuckDB": duckdb,
    "SQLite": sqlite,
}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_says_what_pandas_says(orders, reference, tmp_path, door):
    log = DOORS[door](orders, tmp_path)
    try:
        same(clv.summarize(log, **OPTIONS), reference)
    finally:
        if isinstance(log, ibis.Table):
            log.get_backend().disconnect()


@pytest.mark.parametrize(
    ("first", "step", "bits", "fits"),
    [
        (-30, 1, 63, True),
        (2**62, 3, 63, True),
        (7, 2**36, 63, True),
        (-(2**62), 2**56, 63, True),
        (1, 1, 20, False),
    ],
)
def test_ids_that_are_whole_numbers_say_what_their_texts_say(orders, monkeypatch, first, step, bits, fits):
    """Days are then found by sorting, where an id or its place among them, day and row fit into 63 bits."""
    monkeypatch.setattr(sorting, "_BITS", bits)
    sort, found = summaries.sorted_days, []
    monkeypatch.setattr(summaries, "sorted_days", lambda *given: found.append(sort(*given)) or found[-1])
    bought = orders[orders["amount"] >= 0]
    # Equal lines among all, and among those that are dropped.
    bought = pd.concat(
        [bought, bought[:7], bought[:2].assign(bought=pd.NaT), bought[:2].assign(bought=pd.NaT)]
    )
    bought = bought.assign(client=first + step * bought["client"])
    told = OPTIONS | {"on_bad_rows": "drop"}
    numbers = clv.summarize(bought, **told)
    same(numbers, clv.summarize(bought.assign(client=bought["client"].astype(str)), **told))
    assert len(found) == 1
    assert (found[0] is not None) == fits
    assert "Rows that are equal to another one" in numbers.attrs["audit"]


@pytest.mark.parametrize(
    "told",
    [
        {"also": ("purchase_spend", "purchase_times", "periods", "spend_trends")},
        {"until": "2024-06-30", "also": ("purchase_times", "periods")},
        {"until": "2024-03-31", "holdout_until": "2024-06-30", "period_days": 9, "also": ("periods",)},
        {"until": "2024-06-30", "holdout_until": "2024-11-30", "holdout_discount_rate": 0.1},
        {"until": "2024-06-30", "also": ("log_spend", "log_intervals")},
        {"until": "2025-02-01", "spend": None, "also": ("purchase_times", "periods")},
    ],
)
def test_sorted_days_say_what_an_engine_says(orders, monkeypatch, told):
    """To the bit: amounts that float64 does not hold, free orders, equal rows, newcomers, days beyond the end.

    Rows are looked at a few at a time, so that parts end within customers, and never within a day of one.
    """
    monkeypatch.setattr(sorting, "_ROWS", 5)
    log = orders[orders["amount"] >= 0]
    log = pd.concat([log, log[:7], log[:3].assign(amount=9e12 + 0.0107, client=-2)])
    log = log.assign(amount=log["amount"].where(log.index % 7 > 0, 0.0))
    told = {"customer_id": "client", "date": "bought", "spend": "amount"} | told
    found = clv.summarize(log, **told)
    monkeypatch.setattr(summaries, "sorted_days", lambda *given: None)
    engine = clv.summarize(log, **told)
    assert found.identical(engine)
    assert "Rows that are equal to another one" in found.attrs["audit"]


def test_the_log_has_all_that_engines_disagree_about(reference):
    """Or the tests above would say little."""
    audit = reference.attrs["audit"]
    for words in ("netted", "cancelled", "left out"):
        assert f'"{words}"' in audit
    assert (reference["frequency"] > 2).sum() > 10
    assert reference["holdout_purchases"].sum() > 50


@pytest.fixture(scope="module")
def postgres():
    """A database whose days are those of a zone that changes its clocks."""
    pytest.importorskip(
        "psycopg", reason="PostgreSQL's driver is not installed: pip install 'bayes_clv[postgres]'"
    )
    with cluster("-c", f"timezone={ZONE}") as folder:
        connection = ibis.postgres.connect(host=str(folder), user="tests", database="postgres")
        yield connection
        connection.disconnect()


def loaded(postgres, name: str, orders: pd.DataFrame):
    """Return the orders as a table of PostgreSQL."""
    kinds = {"i": "bigint", "M": "timestamp", "f": "double precision"}
    columns = ", ".join(f"{column} {kinds.get(orders[column].dtype.kind, 'text')}" for column in orders)
    postgres.raw_sql(f"CREATE TABLE {name} ({columns})").close()
    with postgres.con.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN (FORMAT csv)") as copy:
        copy.write(orders.to_csv(index=False, header=False))
    return postgres.table(name)


def test_postgresql_computes_the_summary_and_says_the_same(orders, reference, postgres, monkeypatch):
    """There, and not here: its orders are not fetched."""
    from bayes_clv.customers.orders import engines

    def fetched(*_given):
        raise AssertionError("the orders were fetched")

    monkeypatch.setattr(engines, "handed_over", fetched)
    same(clv.summarize(loaded(postgres, "orders", orders), **OPTIONS), reference)


def test_exact_amounts_and_dates_of_postgresql(orders, postgres):
    loaded(postgres, "plain", orders)
    postgres.raw_sql(
        "CREATE TABLE exact AS SELECT client::integer, bought::date, amount::numeric(12, 2) AS amount FROM plain"
    ).close()
    told = {name: OPTIONS[name] for name in ("until", "customer_id", "date", "spend")} | {
        "on_returns": "drop"
    }
    same(clv.summarize(postgres.table("exact"), **told), clv.summarize(orders, **told))


def test_text_of_postgresql_is_read_as_that_of_a_file(orders, postgres):
    """It is handed over: PostgreSQL takes minutes over the patterns."""
    texts = orders.assign(
        bought=orders["bought"].dt.strftime("%d.%m.%Y"), amount=orders["amount"].map("{:.2f} €".format)
    )
    texts["amount"] = texts["amount"].str.replace(".", ",")
    told = {name: each for name, each in OPTIONS.items() if name not in ("also", "where")}
    told |= {"date_format": "%d.%m.%Y", "decimal": ",", "where": "channel != 'test'"}
    same(clv.summarize(loaded(postgres, "texts", texts), **told), clv.summarize(texts, **told))


def test_a_time_with_zone_is_refused_there_too(postgres):
    postgres.raw_sql("CREATE TABLE zoned AS SELECT 1 AS client, now() AS bought, 2.0 AS amount").close()
    with pytest.raises(clv.InputError, match=f"in the time zone '(UTC|{ZONE})', which do not say"):
        clv.summarize(postgres.table("zoned"), customer_id="client", date="bought", spend="amount")


def test_halves_of_the_last_digit_are_rounded_alike(postgres):
    """PostgreSQL's own cast sees 15 digits, and 69.86795 is a little less than it says."""
    told = {
        "until": "2024-06-30",
        "customer_id": "client",
        "date": "bought",
        "quantity": "pieces",
        "price": "each",
    }
    log = halves()
    same(clv.summarize(loaded(postgres, "halves", log), **told), clv.summarize(log, **told))


def test_files_that_differ_are_told_with_what_reads_them(tmp_path):
    """A folder of months, of which a later one has amounts as text: the engine's own error is retold."""
    for month, spend in (("01", [7, 8]), ("02", ["7,25", "x"])):
        dates = [f"2024-{month}-02", f"2024-{month}-20"]
        pd.DataFrame({"customer_id": ["a", "b"], "date": dates, "spend": spend}).to_parquet(
            tmp_path / f"{month}.parquet"
        )
    months = ibis.duckdb.connect().read_parquet(str(tmp_path / "*.parquet"))
    with pytest.raises(clv.InputError, match="union_by_name=True"):
        clv.summarize(months)
