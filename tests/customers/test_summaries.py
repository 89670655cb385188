"""What a summary is, and what it must not depend on."""

import datetime as dt
import gzip
import json

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

import bayes_clv.customers as door
from bayes_clv.schema import InputError

CUTS = {"until": "1997-09-30", "holdout_until": "1998-03-31"}


def log(*rows, columns=("customer_id", "date", "spend")):
    return pd.DataFrame(rows, columns=list(columns))


SMALL = log(
    ("a", "2024-01-01", 10.0),
    ("a", "2024-01-08", 4.0),
    ("a", "2024-01-08", 6.0),
    ("a", "2024-01-15", 20.0),
    ("a", "2024-01-16", 7.0),
    ("b", "2024-01-03", 5.0),
    ("b", "2024-01-03", 0.0),
    ("c", "2024-01-17", 8.0),
    ("b", "2024-02-20", 9.0),
    ("c", "2024-02-21", 3.0),
)


@pytest.fixture(scope="module")
def orders():
    return door.load_cdnow()[["customer_id", "date", "spend"]]


@pytest.fixture(scope="module")
def reference(orders):
    return door.summarize(orders, **CUTS)


def audit(customers):
    return json.loads(customers.attrs["audit"])


def without_audit(customers):
    copy = customers.copy()
    copy.attrs = {key: value for key, value in copy.attrs.items() if key != "audit"}
    return copy


def same(left, right):
    xr.testing.assert_identical(without_audit(left), without_audit(right))


def test_by_hand():
    customers = door.summarize(SMALL, until="2024-01-15", holdout_until="2024-01-31", time_unit="day")
    assert customers["customer"].to_numpy().tolist() == ["a", "b"]
    assert customers["frequency"].to_numpy().tolist() == [2, 0]
    assert customers["recency"].to_numpy().tolist() == [14.0, 0.0]
    assert customers["T"].to_numpy().tolist() == [14.0, 12.0]
    assert customers["monetary_value"].to_numpy()[0] == 15.0
    assert np.isnan(customers["monetary_value"].to_numpy()[1])
    assert customers["first_spend"].to_numpy().tolist() == [10.0, 5.0]
    assert customers["historical_spend"].to_numpy().tolist() == [40.0, 5.0]
    assert customers["holdout_purchases"].to_numpy().tolist() == [1, 0]
    assert customers["holdout_spend"].to_numpy().tolist() == [7.0, 0.0]
    assert customers["first_order"].dtype == np.dtype("datetime64[s]")
    assert customers.attrs["holdout_duration"] == 16.0


def test_the_holdouts_value_is_its_spend_discounted_day_by_day(orders, reference):
    found = door.summarize(orders, **CUTS, holdout_discount_rate=0.1)
    plain = found.drop_vars("holdout_value").assign_attrs(reference.attrs)
    del plain.attrs["holdout_discount_rate"]
    same(plain, reference)
    days = (pd.to_datetime(orders["date"]) - pd.Timestamp(CUTS["until"])).dt.days
    later = (days > 0) & (orders["date"] <= CUTS["holdout_until"])
    value = orders["spend"] * 1.1 ** (-days / 365.2425)
    expected = value[later].groupby(orders["customer_id"]).sum()
    expected = expected.reindex(reference["customer"].to_numpy(), fill_value=0.0)
    # Each occasion is rounded to 1e-8.
    rounding = 1e-8 * (1 + reference["holdout_purchases"].to_numpy().max())
    np.testing.assert_allclose(found["holdout_value"], expected, rtol=1e-12, atol=rounding)
    assert found["holdout_value"].attrs["units"] == "money"
    assert found.attrs["holdout_discount_rate"] == 0.1
    plain = door.summarize(orders, **CUTS, holdout_discount_rate=0.0)
    np.testing.assert_array_equal(plain["holdout_value"], plain["holdout_spend"])
    # Money that grows, and so fast that amounts of the calibration would be beyond all bounds.
    for rate in (-0.5, 1e40):
        other = door.summarize(orders, **CUTS, holdout_discount_rate=rate)["holdout_value"]
        assert np.isfinite(other).all()
        assert ((other > plain["holdout_spend"]) == ((plain["holdout_spend"] > 0) & (rate < 0))).all()
    connection = ibis.duckdb.connect().create_table(
        "orders", pa.Table.from_pandas(orders.sample(frac=1, random_state=1))
    )
    xr.testing.assert_equal(door.summarize(connection, **CUTS, holdout_discount_rate=0.1), found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"holdout_until": None}, "holdout_discount_rate=0.1 discounts.*no holdout: give holdout_until"),
        ({"spend": None}, "holdout_discount_rate=0.1 discounts the holdout's spend: name the spend column"),
        ({"holdout_discount_rate": "10 %"}, "holdout_discount_rate='10 %' must be a number such as 0.10"),
        ({"holdout_discount_rate": True}, "must be a number such as 0.10"),
        ({"holdout_discount_rate": -1.0}, "must be a finite number above -1"),
        ({"holdout_discount_rate": np.nan}, "must be a finite number above -1"),
    ],
)
def test_a_discount_without_a_sense_is_refused(orders, change, message):
    with pytest.raises(InputError, match=message):
        door.summarize(orders, **(CUTS | {"holdout_discount_rate": 0.1} | change))


def test_until_itself_is_calibration_also_for_an_order_late_that_day():
    late = log(
        ("a", "2024-01-01 00:00:00", 1.0),
        ("a", "2024-01-15 23:59:59", 2.0),
        ("b", "2024-01-01 00:00:00", 1.0),
        ("b", "2024-01-16 00:00:00", 1.0),
    )
    late["date"] = pd.to_datetime(late["date"])
    customers = door.summarize(late, until="2024-01-15", holdout_until="2024-01-16", time_unit="day")
    assert int(customers["frequency"][0]) == 1
    assert float(customers["recency"][0]) == 14.0
    assert customers["holdout_purchases"].values.tolist() == [0, 1]


def test_default_until_is_the_last_day_of_the_log():
    customers = door.summarize(SMALL)
    assert customers.attrs["until"] == "2024-02-21"
    assert customers["customer"].to_numpy().tolist() == ["a", "b", "c"]
    assert not {"holdout_until", "holdout_duration"} & set(customers.attrs)
    assert "holdout_purchases" not in customers


@pytest.mark.parametrize(
    "until", ["20240115", dt.date(2024, 1, 15), dt.datetime(2024, 1, 15, 12), pd.Timestamp("2024-01-15 08:00"),
              np.datetime64("2024-01-15"), np.datetime64("2024-01-15T10:00:00")]
)  # fmt: skip
def test_until_in_any_form(until):
    assert door.summarize(SMALL, until=until).attrs["until"] == "2024-01-15"


def test_periods_of_newcomers_are_not_counted():
    customers = door.summarize(SMALL, until="2024-01-15", holdout_until="2024-02-21", period_days=7)
    # Days 0, 7, 14, 15 of a and 2, 50 of b, less their first: c is a newcomer.
    assert customers["period_purchases"].to_numpy().tolist() == [0, 1, 2, 0, 0, 0, 0, 1]
    assert str(customers["period_start"].to_numpy()[1])[:10] == "2024-01-08"
    assert customers.attrs["calibration_periods"] == 2
    assert customers.attrs["last_period_days"] == 3


def test_without_spend(orders, reference):
    customers = door.summarize(orders.drop(columns="spend"), spend=None, **CUTS)
    assert not [name for name in customers if "spend" in str(name) or name == "monetary_value"]
    same(customers, reference[list(customers.data_vars)])


def test_variables_are_described(reference):
    assert reference["recency"].attrs["units"] == "week"
    assert reference["frequency"].attrs["units"] == "count"
    assert reference["monetary_value"].attrs["units"] == "money"
    assert all("long_name" in reference[name].attrs for name in reference.data_vars)
    assert reference["customer"].dtype == object


@pytest.mark.parametrize("unit", ["hour", "day", "week"])
def test_saved_and_loaded(tmp_path, orders, unit):
    """A unit attribute such as "day" must not turn numbers into times when the file is read."""
    customers = door.summarize(orders.head(200), time_unit=unit)
    customers.to_netcdf(tmp_path / "customers.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "customers.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_equal(loaded.load(), customers)
        assert loaded.attrs["time_unit"] == unit


# What the answer must not depend on.


def test_the_order_of_the_rows(orders, reference):
    same(door.summarize(orders.sample(frac=1, random_state=np.random.default_rng(1)), **CUTS), reference)


def test_whole_number_ids(orders, reference):
    numbers = orders.assign(customer_id=orders["customer_id"].astype(int))
    customers = door.summarize(numbers, **CUTS)
    assert set(customers["customer"].to_numpy()) == {
        str(int(name)) for name in reference["customer"].to_numpy()
    }
    renamed = customers.assign_coords(customer=[name.zfill(4) for name in customers["customer"].to_numpy()])
    same(renamed.sortby("customer").assign_coords(customer=reference["customer"]), reference)
    same(door.summarize(numbers.astype({"customer_id": float}), **CUTS), customers)
    same(door.summarize(numbers.astype({"customer_id": str}), **CUTS), customers)
    same(door.summarize(numbers.astype({"customer_id": object}), **CUTS), customers)


def test_a_missing_id_does_not_rename_the_others():
    numbers = log((1, "2024-01-01", 1.0), (None, "2024-01-02", 1.0), (2, "2024-01-03", 1.0))
    assert numbers["customer_id"].dtype == float
    customers = door.summarize(numbers, on_bad_rows="drop")
    assert customers["customer"].to_numpy().tolist() == ["1", "2"]


@pytest.mark.parametrize(
    "kind",
    ["csv", "csv.gz", "tsv", "semicolon", "bom", "crlf", "parquet", "arrow", "ibis", "memtable", "compact",
     "integer", "dates", "category", "object", "decimal"],
)  # fmt: skip
def test_the_kind_of_table(tmp_path, orders, reference, kind):
    text = orders.to_csv(index=False)
    table = {
        "csv": lambda: written(tmp_path / "o.csv", text.encode()),
        "csv.gz": lambda: written(tmp_path / "o.csv.gz", gzip.compress(text.encode())),
        "tsv": lambda: written(tmp_path / "o.tsv", text.replace(",", "\t").encode()),
        "semicolon": lambda: written(tmp_path / "o[1].csv", text.replace(",", ";").encode()),
        "bom": lambda: written(tmp_path / "o.csv", b"\xef\xbb\xbf" + text.encode()),
        "crlf": lambda: written(tmp_path / "o.txt", text.replace("\n", "\r\n").encode()),
        "parquet": lambda: parquet(tmp_path / "o.parquet", orders),
        "arrow": lambda: pa.Table.from_pandas(orders),
        "ibis": lambda: ibis.duckdb.connect().create_table("orders", pa.Table.from_pandas(orders)),
        "memtable": lambda: ibis.memtable(pa.Table.from_pandas(orders)),
        "compact": lambda: orders.assign(date=orders["date"].dt.strftime("%Y%m%d")),
        "integer": lambda: orders.assign(date=orders["date"].dt.strftime("%Y%m%d").astype(int)),
        "dates": lambda: orders.assign(date=orders["date"].dt.date),
        "category": lambda: orders.astype({"customer_id": "category"}),
        "object": lambda: orders.astype({"customer_id": object, "date": object, "spend": object}),
        "decimal": lambda: pa.Table.from_pandas(orders).set_column(
            2, "spend", pa.array(orders["spend"].round(2)).cast(pa.decimal128(10, 2), safe=False)
        ),
    }[kind]()
    same(door.summarize(table, **CUTS), reference)


def written(path, content):
    path.write_bytes(content)
    return path


def parquet(path, frame):
    frame.to_parquet(path)
    return str(path)


def test_two_files_put_together(tmp_path, orders, reference):
    parts = [orders.iloc[:3000], orders.iloc[3000:]]
    names = [
        written(tmp_path / f"{i}.csv", part.to_csv(index=False).encode()) for i, part in enumerate(parts)
    ]
    same(door.summarize(pd.concat([pd.read_csv(name, dtype=str) for name in names]), **CUTS), reference)
    connection = ibis.duckdb.connect()
    both = ibis.union(*[connection.read_csv(name, all_varchar=True) for name in names])
    same(door.summarize(both, **CUTS), reference)


def test_other_column_names(orders, reference):
    renamed = orders.rename(columns={"customer_id": "Kunde", "date": "order date", "spend": "€"})
    same(door.summarize(renamed, customer_id="Kunde", date="order date", spend="€", **CUTS), reference)


def test_blanks_around_values_do_not_make_customers(orders, reference):
    texts = orders.astype(str)
    padded = texts.assign(
        customer_id=" " + texts["customer_id"] + "\t", date=texts["date"] + " ", spend=texts["spend"] + " "
    )
    same(door.summarize(padded, **CUTS), reference)


def test_hours_are_168_times_weeks(orders, reference):
    hours = door.summarize(orders, time_unit="hours", **CUTS)
    assert hours.attrs["time_unit"] == "hour"
    for name in ("recency", "T"):
        # days / (1/24) against 168 · (days / 7): two roundings each.
        np.testing.assert_allclose(hours[name], 168 * reference[name], rtol=4 * np.finfo(float).eps)
    unchanged = [name for name in reference.data_vars if name not in ("recency", "T")]
    for name in unchanged:
        xr.testing.assert_identical(hours[name], reference[name])


def test_cents_are_100_times_dollars(orders, reference):
    cents = door.summarize(orders.assign(spend=(orders["spend"] * 100).round().astype(int)), **CUTS)
    for name in ("monetary_value", "first_spend", "historical_spend", "holdout_spend"):
        np.testing.assert_allclose(cents[name], 100 * reference[name], rtol=4 * np.finfo(float).eps)


def test_the_input_is_left_alone(orders):
    before = orders.copy(deep=True)
    door.summarize(orders, **CUTS)
    pd.testing.assert_frame_equal(orders, before)


# Nothing is lost without a line.


def rows_by_action(customers):
    total = {}
    for line in audit(customers):
        total[line["action"]] = total.get(line["action"], 0) + line["rows"]
    return total


BAD = log(
    (None, "2024-01-02", 1.0),
    ("a", "2024-13-02", 1.0),
    ("a", None, 1.0),
    ("b", "2024-01-02", np.nan),
    ("b", "2024-01-02", -1e-9),
    ("b", "2024-01-02", np.inf),
    ("nan", "2024-01-02", 1.0),
    (None, None, np.nan),
)


@pytest.mark.parametrize(
    "cuts", [{}, {"until": "2024-01-15"}, {"until": "2024-01-15", "holdout_until": "2024-02-01"}]
)
def test_the_audit_adds_up(cuts):
    everything = pd.concat([SMALL, BAD, SMALL.assign(customer_id="z", date="2024-01-20")])
    customers = door.summarize(everything, on_bad_rows="drop", **cuts)
    rows = rows_by_action(customers)
    assert rows["read"] == len(everything)
    assert rows["dropped"] == len(BAD)
    assert rows["read"] == rows["kept"] + rows["dropped"] + rows.get("left out", 0)
    assert "nan" not in customers["customer"].to_numpy()
    same(
        customers,
        door.summarize(pd.concat([SMALL, SMALL.assign(customer_id="z", date="2024-01-20")]), **cuts),
    )


def test_what_the_audit_says():
    lines = audit(door.summarize(SMALL, until="2024-01-15", holdout_until="2024-01-31"))
    found = {line["what"]: (line["action"], line["rows"], line["example"]) for line in lines}
    assert found == {
        "Orders read from the order log.": ("read", 10, ""),
        "1 customer first ordered after 2024-01-15: not among the customers, all their orders left out.": (
            "left out", 2, "c"),
        "Orders after 2024-01-31, the end of the data used.": ("left out", 1, "b"),
        "Orders of 2 customers (6 to 2024-01-15, 1 after it to 2024-01-31).": ("kept", 7, ""),
        "Orders on a day on which their customer had ordered already: merged into one purchase occasion, "
        "spend added up.": ("note", 2, "a"),
        "Orders with zero spend: kept as purchases, which they are to the purchase models; they lower the mean "
        "spend.": ("note", 1, "b"),
    }  # fmt: skip


def test_days_after_the_last_order_are_noted():
    lines = audit(door.summarize(SMALL, until="2024-03-01"))
    assert "The last order is of 2024-02-21 and the data used ends 9 days later" in lines[-1]["what"]


def test_dropped_rows_are_shown_in_the_audit():
    lines = audit(door.summarize(pd.concat([SMALL, BAD]), on_bad_rows="drop"))
    dropped = {line["what"]: line for line in lines if line["action"] == "dropped"}
    tiny = dropped[
        "Column 'spend': 1 row of 18 with a spend that rounds to zero (four decimals are kept): dropped."
    ]
    assert tiny["example"] == "customer_id 'b', date '2024-01-02', spend '-1e-09'"
    assert dropped["Column 'customer_id': 3 rows of 18 with a missing customer id: dropped."]["rows"] == 3


def test_nothing_left_after_dropping():
    with pytest.raises(InputError, match="No row is left after dropping"):
        door.summarize(BAD, on_bad_rows="drop")


def test_a_text_id_that_looks_like_a_word_is_a_customer():
    customers = door.summarize(log(("nancy", "2024-01-01", 1.0), ("Ñandú 7", "2024-01-01", 1.0)))
    assert customers["customer"].to_numpy().tolist() == ["nancy", "Ñandú 7"]
