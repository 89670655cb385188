"""Every input that cannot be used is refused in one paragraph: what, how many, one of them, what to do."""

import datetime as dt
import gzip
import json

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bayes_clv.customers as door
from bayes_clv.schema import InputError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
HEADER = b"customer_id,date,spend\n"
GOOD = HEADER + b"0001,1997-01-01,2.50\n0002,1997-01-05,3.00\n"


def frame(**changes):
    """Return three good orders with one column exchanged."""
    columns = {
        "customer_id": ["0001", "0002", "0002"],
        "date": ["1997-01-01", "1997-01-05", "1997-02-01"],
        "spend": [2.5, 3.0, 4.0],
    }
    return pd.DataFrame(columns | changes)


def refusal(orders, **options):
    with pytest.raises(InputError) as caught:
        door.summarize(orders, **options)
    message = str(caught.value)
    assert "\n" not in message
    # The engine's own words are no help to the reader.
    assert not any(word in message.lower() for word in ("duckdb", "traceback", "error", "ibis.expr"))
    assert message.endswith((".", "?", "'."))
    return message


# Rows.


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"spend": [2.5, np.nan, 4.0]},
            [
                "Column 'spend': 1 row of 3 with a missing spend",
                "spend missing",
                "a free order is 0",
                "on_bad_rows='drop'",
            ],
        ),
        ({"spend": [2.5, np.inf, 4.0]}, ["Column 'spend': 1 row of 3 with an infinite spend", "spend 'inf'"]),
        ({"spend": [2.5, 1e14, 4.0]}, ["or one of 10^14 and more"]),
        (
            {"spend": [2.5, 1e-6, 4.0]},
            ["1 row of 3 with a spend that rounds to zero", "smaller unit"],
        ),
        (
            {"spend": ["2.5", "$3.00", "4"]},
            ["1 row of 3 with a spend that is not a number", "spend '$3.00'", "Say decimal='.'"],
        ),
        (
            {"spend": ["2,5", "3", "4"]},
            ["1 row of 3 with a spend that is not a number", "'2,5'", "Say decimal=','"],
        ),
        ({"spend": ["2.5", "1e999", "4"]}, ["Column 'spend': 1 row of 3", "'1e999'"]),
        (
            {"customer_id": ["0001", None, "0002"]},
            ["Column 'customer_id': 1 row of 3 with a missing", "id missing"],
        ),
        ({"customer_id": ["0001", "nan", ""]}, ["Column 'customer_id': 2 rows of 3 with a missing", "'nan'"]),
        (
            {"customer_id": [1.0, 2.5, 3.0]},
            ["Column 'customer_id': 1 row of 3 with an id that is a fraction", "'2.5'"],
        ),
        ({"customer_id": [1.0, 2.0**53, 3.0]}, ["too large to be exact", "Read the ids as text"]),
        ({"date": ["1997-01-01", None, "1997-02-01"]}, ["Column 'date': 1 row of 3 with a missing date"]),
        (
            {"date": ["1997-01-01", "soon", "1997-02-30"]},
            ["Column 'date': 2 rows of 3 with a date that cannot be read", "date 'soon'", "1997-01-31"],
        ),
        ({"date": ["1997-01-01", "1997-02-30", "1997-02-01"]}, ["1 row of 3 with a date", "'1997-02-30'"]),
        ({"date": [19970101, 19970230, 19970201]}, ["1 row of 3 with a date", "'19970230'"]),
        ({"date": [852076800, 852163200, 852249600]}, ["3 rows of 3 with a date", "'852076800'"]),
        (
            {"date": ["0001-01-01", "1997-01-05", "9999-12-31"]},
            ["2 rows of 3 with a date", "years 1900 to 2199"],
        ),
        (
            {"date": [dt.date(1997, 1, 1), dt.date(1997, 1, 5), dt.date(9999, 12, 31)]},
            ["1 row of 3 with a date", "9999-12-31"],
        ),
        (
            {"date": ["01/02/1997", "02/02/1997", "03/02/1997"]},
            [
                "3 rows of 3 with a date",
                "'01/02/1997'",
                "order of day and month is not guessed",
                "say date_format='%d/%m/%Y' or date_format='%m/%d/%Y'",
            ],
        ),
        (
            {"date": ["1997-01-01T10:00:00Z", "1997-01-05", "1997-02-01 10:00+02:00"]},
            ["2 rows of 3 with a date", "A time with a zone", "shop's own time"],
        ),
    ],
)
def test_unusable_rows(changes, parts):
    orders = frame(**changes)
    message = refusal(orders)
    for part in parts:
        assert part in message, message
    if "3 rows of 3" not in message:
        # What is refused by default can be left out on request, and is then counted.
        dropped = door.summarize(orders, on_bad_rows="drop")
        assert '"action": "dropped"' in dropped.attrs["audit"]


def test_several_problems_are_told_at_once():
    message = refusal(frame(customer_id=[None, "2", "3"], spend=[1.0, -1.0, np.nan]), on_returns="refuse")
    assert "'customer_id': 1 row of 3" in message
    assert "'spend': 1 row of 3 with a missing" in message
    assert "'spend': 1 row of 3 with a negative" in message


def test_a_row_with_two_problems_is_told_twice_and_dropped_once():
    orders = frame(
        customer_id=[None, "2", "3"], spend=["1,50", "2,50", "3"], date=["soon", "1997-01-02", "03/01/1997"]
    )
    message = refusal(orders)
    assert "'customer_id': 1 row of 3" in message
    assert "'date': 2 rows of 3 with a date that cannot be read" in message
    assert "'spend': 2 rows of 3 with a spend that is not a number" in message
    lines = json.loads(door.summarize(orders, on_bad_rows="drop", decimal=",").attrs["audit"])
    assert [line["rows"] for line in lines if line["action"] == "dropped"] == [1, 1]


def test_a_condition_on_zoned_timestamps():
    """Half past midnight in Berlin is the day before in UTC, in which they would be compared."""
    paid = pd.to_datetime(["2024-07-01 00:30"] * len(frame())).tz_localize("Europe/Berlin")
    message = refusal(frame(paid=paid), where="paid < '2024-07-01'")
    assert "'paid' holds timestamps in the time zone" in message
    assert "on which day of the shop where=\"paid < '2024-07-01'\" is to hold" in message
    assert "orders['paid'].dt.tz_convert('Europe/Berlin').dt.tz_localize(None)" in message


def test_zoned_timestamps():
    zoned = frame(date=pd.to_datetime(frame()["date"]).dt.tz_localize("Europe/Berlin"))
    message = refusal(zoned)
    assert "'date'" in message
    assert "'Europe/Berlin'" in message
    assert "dt.tz_localize(None)" in message


def test_the_same_messages_from_a_file(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes(GOOD + b"0003,soon,1\n0004,1997-01-01,\n,1997-01-01,1\n")
    message = refusal(path)
    assert (
        "'date': 1 row of 5 with a date that cannot be read, for example customer_id '0003', date 'soon'"
        in message
    )
    assert "'spend': 1 row of 5 with a missing spend" in message
    assert "'customer_id': 1 row of 5 with a missing customer id" in message


def test_the_same_messages_from_an_ibis_table():
    table = ibis.duckdb.connect().create_table(
        "o", pa.table({"customer_id": ["1"], "date": ["x"], "spend": [1.0]})
    )
    assert "1 row of 1 with a date that cannot be read, for example customer_id '1', date 'x'" in refusal(
        table
    )


# Columns.


def test_missing_column():
    message = refusal(frame().rename(columns={"customer_id": "CustomerID", "spend": "amount"}))
    assert "no column 'customer_id' and no column 'spend'" in message
    assert "It has: CustomerID, date, amount." in message
    assert "Is 'CustomerID' what is called 'customer_id' here?" in message
    assert "spend=None" in message


@pytest.mark.parametrize("pieces", ["qty", "Quantity", "Menge", "Units"])
@pytest.mark.parametrize("price", ["unit_price", "UnitPrice", "Einzelpreis"])
def test_amounts_that_are_a_product(pieces, price):
    lines = frame().rename(columns={"spend": price}).assign(**{pieces: 1})
    assert f"An amount may be a product: quantity={pieces!r} and price={price!r}." in refusal(lines)
    assert "product" not in refusal(lines.drop(columns=pieces))


def test_missing_column_in_a_file(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes(GOOD.replace(b"date", b"day"))
    message = refusal(path)
    assert message.startswith("'orders.csv' has no column 'date'. It has: customer_id, day, spend.")


def test_file_without_header(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes(GOOD.removeprefix(HEADER))
    assert "The first line seems to hold values" in refusal(path)


def test_id_in_the_index():
    message = refusal(frame().set_index("customer_id"))
    assert "'customer_id' is the index" in message
    assert "reset_index()" in message


def test_column_twice():
    orders = frame()
    orders.insert(3, "again", 1.0)
    orders.columns = ["customer_id", "date", "spend", "spend"]
    assert "2 columns called 'spend'" in refusal(orders)


def test_one_column_for_two_purposes():
    assert "One column is named for two purposes" in refusal(frame(), spend="date")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("spend", pd.to_timedelta([1, 2, 3], unit="D")),
        ("spend", [True, False, True]),
        ("date", [True, False, True]),
        ("customer_id", pd.to_datetime(["1997-01-01"] * 3)),
    ],
)
def test_wrong_type(column, values):
    assert f"Column '{column}' has the type" in refusal(frame(**{column: values}))


@pytest.mark.parametrize("orders", [None, 3, [1, 2], {"customer_id": ["1"]}])
def test_not_a_table(orders):
    assert f"Orders of type '{type(orders).__name__}' cannot be read" in refusal(orders)


def test_no_rows():
    assert "has columns but no rows" in refusal(frame().head(0))


# Files.


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("orders.csv", b"", ["'orders.csv' is empty"]),
        ("orders.csv", b" \n\n", ["'orders.csv' is empty"]),
        ("orders.csv", HEADER, ["'orders.csv' has columns but no rows"]),
        ("orders.csv", HEADER.strip(), ["'orders.csv' has columns but no rows"]),
        ("orders.csv", PNG, ["not a table in UTF-8 text", "PNG", "CSV UTF-8"]),
        ("orders.csv", bytes(range(256)) * 300, ["not a table in UTF-8 text"]),
        ("orders.csv", GOOD.decode().encode("utf-32"), ["not a table in UTF-8 text"]),
        ("orders.csv", GOOD + b"\xc9mile,1997-01-01,2\n", ["not a table in UTF-8 text"]),
        ("orders.csv", GOOD * 3000 + b"\xc9mile,1997-01-01,2\n", ["'orders.csv'", "the text is not UTF-8"]),
        (
            "orders.csv",
            b"a text about nothing\nand more\n",
            ["not a delimited table", "'a text about nothing'"],
        ),
        ("sample.txt", b" 00004 0001 19970101  2   29.33\r\n", ["not a delimited table", "sep=r'\\s+'"]),
        ("orders.csv", GOOD + b"0003,1997-01-01\n", ["line 4: 2 values where the header names 3 columns"]),
        (
            "orders.csv",
            GOOD + b"0003,1997-01-01,1,234\n",
            ["line 4: 4 values where the header names 3 columns"],
        ),
        (
            "orders.csv",
            GOOD + b'"0003,1997-01-01,1\n',
            ["line 4", "a double quote is opened and never closed"],
        ),
        ("orders.csv", GOOD.replace(b"date,", b"date,date,"), ["2 columns called 'date'"]),
        ("orders.csv.gz", GOOD, ["ends in .gz but is not a readable gzip file"]),
        (
            "orders.csv.gz",
            gzip.compress(GOOD, mtime=0)[:-20],
            ["ends in .gz but is not a readable gzip file"],
        ),
        ("orders.parquet", b"", ["'orders.parquet' is empty"]),
        ("orders.parquet", GOOD, ["not a readable Parquet file"]),
        ("orders.parquet", b"PAR1" + bytes(100) + b"PAR1", ["not a readable Parquet file"]),
        ("orders.xlsx", b"PK\x03\x04", ["'orders.xlsx' is a workbook", "CSV UTF-8"]),
        ("orders", GOOD, ["an extension that is not known"]),
    ],
)
def test_unusable_files(tmp_path, name, content, parts):
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(path)
    for part in parts:
        assert part in message, message


def test_parquet_damaged_in_the_middle(tmp_path):
    path = tmp_path / "orders.parquet"
    pd.concat([frame()] * 2000).assign(spend=np.arange(6000.0)).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[40:-2500] = bytes(len(content) - 2540)
    path.write_bytes(content)
    assert "'orders.parquet'" in refusal(path)


def test_no_such_file(tmp_path):
    message = refusal(tmp_path / "nowhere.csv")
    assert "There is no file" in message
    assert "nowhere.csv" in message


def test_a_folder(tmp_path):
    assert "is a folder" in refusal(tmp_path)


# Dates of the split.


@pytest.mark.parametrize("until", ["30/09/1997", "soon", 19970930, pd.NaT, np.datetime64("NaT", "D"), ""])
def test_until_that_is_not_a_day(until):
    message = refusal(frame(), until=until)
    assert message.startswith("until=")
    assert "is not a day. Write it like until='1997-09-30'." in message


def test_until_before_the_first_order():
    message = refusal(frame(), until="1996-12-31")
    assert "until='1996-12-31' is before the first order (1997-01-01)" in message
    assert "The orders run from 1997-01-01 to 1997-02-01" in message


@pytest.mark.parametrize("end", ["1997-01-10", "1997-01-09"])
def test_holdout_that_ends_before_it_starts(end):
    assert f"holdout_until='{end}' is not after until='1997-01-10'" in refusal(
        frame(), until="1997-01-10", holdout_until=end
    )


def test_holdout_after_the_default_until():
    assert "is not after until='1997-02-01'" in refusal(frame(), holdout_until="1997-01-15")


@pytest.mark.parametrize("days", [0, -7, 3.5, "7 days", True])
def test_period_days(days):
    assert f"period_days={days!r} must be a whole number" in refusal(frame(), period_days=days)


def test_unknown_options():
    assert "Time unit 'fortnight' is not known" in refusal(frame(), time_unit="fortnight")
    assert "on_bad_rows='ignore' is not known" in refusal(frame(), on_bad_rows="ignore")
