"""Tables of every make: an answer, or an InputError that names what it is about; never another exception."""

import datetime as dt
import decimal
import gzip
import sqlite3
import uuid

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bayes_clv as clv

PLAIN = {
    "customer_id": ["1", "2", "2"],
    "date": ["1997-01-01", "1997-01-05", "1997-02-01"],
    "spend": [2.5, 3.0, 4.0],
}


def frame(**changes):
    return pd.DataFrame(PLAIN | changes)


def objects(*values):
    return pd.Series(values, dtype=object)


def spent(customers):
    return dict(
        zip(customers["customer"].values.tolist(), customers["historical_spend"].values.tolist(), strict=True)
    )


WHOLE = {"1": 2.5, "2": 7.0}


# What is read, though no engine has its type, or takes its name for another.


@pytest.mark.parametrize("kind", ["pandas", "arrow", "csv", "parquet"])
def test_names_that_differ_in_case_are_different(tmp_path, kind):
    table = pd.DataFrame({"ID": [1, 2, 1], "date": ["2020-01-01"] * 3, "id": [10, 20, 30]})
    if kind == "arrow":
        table = pa.Table.from_pandas(table)
    elif kind != "pandas":
        path = tmp_path / f"orders.{kind}"
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
        table = path
    assert spent(clv.summarize(table, customer_id="ID", spend="id")) == {"1": 40.0, "2": 20.0}


ODD_BUT_UNUSED = {
    "doubled": pa.array([1, 2, 3]),
    "interval": pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()),
    "run end": pa.RunEndEncodedArray.from_arrays([3], [1]),
    "union": pa.UnionArray.from_dense(
        pa.array([0, 1, 0], pa.int8()), pa.array([0, 0, 1], pa.int32()), [pa.array([1, 2]), pa.array(["a"])]
    ),
}


@pytest.mark.parametrize("kind", ODD_BUT_UNUSED)
def test_columns_that_nobody_asked_for_do_not_matter(kind):
    odd = ODD_BUT_UNUSED[kind]
    names = [*PLAIN, "x", "x" if kind == "doubled" else "y"]
    table = pa.Table.from_arrays([*map(pa.array, PLAIN.values()), odd, odd], names=names)
    assert spent(clv.summarize(table)) == WHOLE


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("spend", np.array([2.5, 3, 4], dtype="float16")),
        ("spend", pa.array([decimal.Decimal("2.5"), 3, 4], pa.decimal256(60, 2))),
        ("spend", pa.array(np.array([2.5, 3, 4], dtype="float16"))),
        ("customer_id", pa.array(["1", "2", "2"]).dictionary_encode()),
        ("customer_id", pa.array(["1", "2", "2"]).cast(pa.string_view())),
        ("customer_id", pa.RunEndEncodedArray.from_arrays([1, 3], ["1", "2"])),
        ("date", pd.PeriodIndex(PLAIN["date"], freq="D")),
        ("date", [np.datetime64(day) for day in PLAIN["date"]]),
        ("date", [dt.date(1997, 1, 1), "1997-01-05", pd.Timestamp("1997-02-01 12:00")]),
    ],
)
def test_types_that_no_engine_has(column, values):
    if isinstance(values, pa.Array):
        table = pa.table(PLAIN | {column: values})
    else:
        table = frame(**{column: objects(*values) if isinstance(values, list) else values})
    assert spent(clv.summarize(table)) == WHOLE


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("missing", [False, True])
def test_times_of_any_unit(unit, missing):
    times = pd.Series(PLAIN["date"]).astype(f"datetime64[{unit}]")
    if missing:
        times[3] = pd.NaT
    table = pd.DataFrame({name: [*values, *values[:1]][: times.size] for name, values in PLAIN.items()})
    orders = table.assign(date=times)
    for each in (orders, pa.table(orders)):
        assert spent(clv.summarize(each, on_bad_rows="drop")) == WHOLE


def test_ids_of_any_size_and_kind():
    big = clv.summarize(frame(customer_id=objects(2**70, 1, 1)))
    assert spent(big) == {"1": 7.0, str(2**70): 2.5}
    many = [uuid.UUID(int=i) for i in range(3)]
    assert list(spent(clv.summarize(frame(customer_id=objects(*many))))) == [str(each) for each in many]


def test_sparse_ids_are_the_numbers_that_they_are():
    sparse = pd.arrays.SparseArray
    assert spent(clv.summarize(frame(customer_id=sparse([1.0, 2.0, 2.0])))) == WHOLE
    with pytest.raises(clv.InputError, match="1 row of 3 with an id that is a fraction"):
        clv.summarize(frame(customer_id=sparse([0.0, 2.5, 0.0])))


def test_times_without_end_are_no_dates():
    """An engine takes the least and the largest count of a unit for infinite, of which there is no year."""
    for unit, count in (("ns", -(2**63) + 1), ("ns", 2**63 - 1), ("us", 2**63 - 1), ("us", -(2**63) + 1)):
        times = pa.array([count, 0, 10**15], pa.timestamp(unit))
        orders = pa.table(PLAIN | {"date": times})
        with pytest.raises(clv.InputError, match="1 row of 3 with a date that cannot be read"):
            clv.summarize(orders)


def test_text_that_is_no_text():
    buffers = [None, pa.py_buffer(np.array([0, 1, 2, 3], "i4")), pa.py_buffer(b"1\xff2")]
    orders = pa.table(PLAIN | {"customer_id": pa.Array.from_buffers(pa.string(), 3, buffers)})
    with pytest.raises(clv.InputError, match="Column 'customer_id' has text that is not UTF-8"):
        clv.summarize(orders)


@pytest.mark.parametrize("number", [2**53 - 1, 2**53, 2**53 + 1, -(2**53), 2**70])
def test_whole_numbers_among_floats_stay_exact(number):
    """Arrow makes floats of them, of which 2^53 is no longer known to be exact."""
    assert spent(clv.summarize(frame(customer_id=objects(number, 2.0, 2.0)))) == {str(number): 2.5, "2": 7.0}


def test_ids_that_are_numbers_come_by_size():
    """In a table with whole numbers as ids, customers stand as pandas groups them."""
    table = pd.DataFrame({"customer_id": [10, 2, 1, 10], "date": ["2024-01-01"] * 4, "spend": [1.0, 2, 3, 4]})
    customers = clv.summarize(table)
    assert customers["customer"].values.tolist() == ["1", "2", "10"]
    assert (
        customers["historical_spend"].values.tolist() == table.groupby("customer_id")["spend"].sum().tolist()
    )
    joined = table["customer_id"].astype(str).map(customers["historical_spend"].to_series())
    assert joined.tolist() == [5.0, 2.0, 3.0, 5.0]
    made = clv.customers.from_table(
        pd.DataFrame({"frequency": [0, 0, 0], "recency": 0.0, "T": 9.0}, index=[10, 9, 8])
    )
    assert made["customer"].values.tolist() == ["8", "9", "10"]


def test_a_table_of_sqlite(tmp_path):
    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        connection.execute("create table o (customer_id text, date text, spend real)")
        connection.executemany("insert into o values (?, ?, ?)", zip(*PLAIN.values(), strict=True))
    connection.close()
    shop = ibis.sqlite.connect(tmp_path / "shop.sqlite")
    assert spent(clv.summarize(shop.table("o"))) == WHOLE
    shop.disconnect()


def test_a_first_line_that_is_blank(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("\n\n" + pd.DataFrame(PLAIN).to_csv(index=False))
    assert spent(clv.summarize(path)) == WHOLE


# What is refused.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"customer_id": objects("\ud800", "1", "2")}, "'customer_id' has 1 of 3 values with half a character"),
        ({"customer_id": [np.inf, 1, 2]}, "1 row of 3 with an id that is a fraction or too large"),
        ({"spend": objects(2**70, 1, 2)}, r"1 row of 3 with an infinite spend or one of 10\^14 and more"),
        ({"spend": objects(decimal.Decimal("Infinity"), 1, 2)}, "1 row of 3 with a spend that is not a number"),
        ({"spend": pd.interval_range(0, 3)}, "3 rows of 3 with a spend that is not a number"),
        ({"date": np.array(["10000-01-01", "2020-01-01", "2020-01-02"], "M8[s]")}, "'10000-01-01"),
        ({"date": objects(*[uuid.UUID(int=7)] * 3)}, "3 rows of 3 with a date"),
        ({"date": objects(dt.datetime(1997, 1, 1), pd.Timestamp("1997-01-05", tz="UTC"), None)}, "A time with a zone"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_used(changes, message):
    with pytest.raises(clv.InputError, match=message):
        clv.summarize(frame(**changes))


@pytest.mark.parametrize(
    ("orders", "options", "message"),
    [
        (frame()["spend"], {}, "The orders are one column, the Series 'spend'"),
        (
            frame().set_axis([0, 1, 2], axis=1),
            {"customer_id": 0},
            "customer_id=0 is no name of a column.*astype",
        ),
        (frame(), {"customer_id": None}, "customer_id=None is no name of a column"),
        (frame(), {"time_unit": None}, "Time unit None is no text"),
        (frame(), {"time_unit": 7}, "Time unit 7 is no text"),
        (frame(), {"period_days": 10**30}, "must be a whole number of days, from 1 to 109,573"),
        (frame(), {"also": None}, "also must be a tuple"),
        (
            pa.table(PLAIN | {"date": pa.array([10**14, 0, 0], pa.timestamp("s"))}),
            {},
            "1 row of 3 with a date",
        ),
    ],
)
def test_arguments_that_cannot_be_used(orders, options, message):
    with pytest.raises(clv.InputError, match=message):
        clv.summarize(orders, **options)


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 300])
def test_a_compressed_file_that_is_cut_short(tmp_path, cut):
    text = "customer_id,date,spend\n" + "".join(
        f"{i},2020-01-{1 + i % 28:02d},{i % 13}.5\n" for i in range(20_000)
    )
    path = tmp_path / "orders.csv.gz"
    whole = gzip.compress(text.encode(), mtime=0)
    path.write_bytes(whole[:-cut])
    with pytest.raises(clv.InputError, match="is cut short"):
        clv.summarize(path)
    wrong = bytearray(whole)
    wrong[-6] ^= 255
    path.write_bytes(wrong)
    with pytest.raises(clv.InputError, match="does not agree with the checksum"):
        clv.summarize(path)


def test_counts_beyond_whole_numbers():
    many = np.array([2**63 + 5], dtype="uint64")
    with pytest.raises(clv.InputError, match=r"'frequency' is 2\^53 or more for 1 of 1"):
        clv.customers.from_table(pd.DataFrame({"frequency": many, "recency": 1.0, "T": 2.0}))
    with pytest.raises(clv.InputError, match=r"'renewals' is 2\^53 or more"):
        clv.customers.from_contracts(pd.DataFrame({"renewals": many, "active": [True]}))
    table = pd.DataFrame({"frequency": [1], "recency": [1.0], "T": [2.0], "log_spend_sd": [1.0]})
    with pytest.raises(clv.InputError, match="'log_spend_sd' and no 'log_spend_mean'"):
        clv.customers.from_table(table)


@pytest.mark.parametrize("length", [None, True, [1], "soon", -1, 10**400])
def test_durations_that_are_none(length):
    from bayes_clv.units import duration

    with pytest.raises(clv.InputError, match="Duration"):
        duration(length, "week")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("customer_id", pa.array([b"1", b"2", b"2"], pa.binary_view())),
        ("spend", pa.array([b"1", b"2", b"2"], pa.binary(1))),
        ("date", pa.array([[b"1"]] * 3, pa.list_(pa.binary_view()))),
    ],
)
def test_types_of_no_use(column, values):
    with pytest.raises(clv.InputError, match=f"Column '{column}' has the type"):
        clv.summarize(pa.table(PLAIN | {column: values}))


def test_categories_of_views():
    views = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 1], pa.int8()), pa.array(["1", "2"], pa.string_view())
    )
    assert spent(clv.summarize(pa.table(PLAIN | {"customer_id": views}))) == WHOLE


def test_types_that_only_polars_has():
    pl = pytest.importorskip("polars")
    wide = pl.DataFrame(PLAIN | {"unused": pl.Series([1, 2, 3], dtype=pl.Int128)})
    assert spent(clv.summarize(wide)) == WHOLE
    assert spent(clv.summarize(wide.with_columns(customer_id=pl.Series([1, 2, 2], dtype=pl.Int128)))) == WHOLE
    ids = [uuid.UUID(int=i) for i in (1, 2, 2)]
    found = clv.summarize(wide.with_columns(customer_id=pl.Series(ids, dtype=pl.Object)))
    assert list(spent(found)) == [str(each) for each in ids[:2]]


def test_numbers_that_are_no_counts():
    with pytest.raises(clv.InputError, match="Column 'renewals' has 1 of 1 values that are not numbers"):
        clv.customers.from_contracts(pd.DataFrame({"renewals": [1j], "active": [True]}))
    with pytest.raises(clv.InputError, match=r"are 2\^53 or more, for example 1e\+30"):
        clv.customers.from_survivors([10**30, 5])
