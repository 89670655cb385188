"""Files that are not what their name says, or are written as few programs do: read as meant, or refused by name."""

import gzip
import io
import sqlite3
import zipfile

import pandas as pd
import pytest

import bayes_clv as clv
from tests.customers.test_exports import HEADER, PLAIN, refusal, same, table

BYTES = PLAIN.encode()
READ = {
    "line ends of the old Macintosh": BYTES.replace(b"\n", b"\r"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + BYTES,
    "a mark, and quotes around a name": b"\xef\xbb\xbf" + BYTES.replace(b"customer_id", b'"customer_id"'),
    "Excel's first line and its line ends": b"sep=;\r\n" + BYTES.replace(b",", b";").replace(b"\n", b"\r\n"),
    "a mark and Excel's first line": b"\xef\xbb\xbfsep=;\r\n"
    + BYTES.replace(b",", b";").replace(b"\n", b"\r\n"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "UTF-16 of the other order": PLAIN.encode("utf-16-be"),
    "two marks of UTF-16": ("\ufeff\ufeff" + PLAIN).encode("utf-16-le"),
    "Ctrl-Z at the end": BYTES + b"\x1a",
    "a form feed and a blank line at the end": BYTES + b"\x0c\r\n",
    "Ctrl-Z of UTF-16": (PLAIN + "\x1a").encode("utf-16"),
    "Ctrl-Z and the old line ends": BYTES.replace(b"\n", b"\r") + b"\x1a",
    "a caret": BYTES.replace(b",", b"^"),
    "a tilde": BYTES.replace(b",", b"~"),
    "Hive's sign": BYTES.replace(b",", b"\x01"),
    "the separator of units": BYTES.replace(b",", b"\x1f"),
}


@pytest.mark.parametrize("kind", READ)
def test_files_that_few_programs_write_are_read(tmp_path, kind):
    path = tmp_path / "orders.csv"
    path.write_bytes(READ[kind])
    same(clv.summarize(path))


@pytest.mark.parametrize("after", [b"", b"\0" * 700, b"\x1a"])
def test_what_comes_behind_a_compressed_text(tmp_path, after):
    """Zeros come from tapes and disk images, Ctrl-Z from the text inside."""
    path = tmp_path / "orders.csv.gz"
    inside = BYTES + after if after == b"\x1a" else BYTES
    path.write_bytes(gzip.compress(inside, mtime=0) + (after if after.startswith(b"\0") else b""))
    same(clv.summarize(path))


def _parquet():
    out = io.BytesIO()
    table().to_parquet(out)
    return out.getvalue()


def _workbook():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


def _sqlite(folder):
    connection = sqlite3.connect(folder / "shop")
    table().to_sql("orders", connection)
    connection.close()
    return (folder / "shop").read_bytes()


OTHER = {
    "gzip": (lambda _: gzip.compress(BYTES, mtime=0), ["is compressed by gzip", "call it 'orders.csv.gz'"]),
    "gzip of Parquet": (lambda _: gzip.compress(_parquet(), mtime=0), ["is compressed by gzip"]),
    "Parquet": (lambda _: _parquet(), ["is a Parquet file", "call it 'orders.parquet'"]),
    "JSON": (lambda _: table().to_json(orient="records").encode(), ["is JSON", "pandas.read_json"]),
    "lines of JSON": (
        lambda _: table().to_json(orient="records", lines=True).encode(),
        ["is JSON", "lines=True"],
    ),
    "JSON after a blank": (lambda _: b"\n " + table().to_json(orient="records").encode(), ["is JSON"]),
    "a workbook": (lambda _: _workbook(), ["is a workbook or a ZIP archive", "CSV UTF-8"]),
    "an old workbook": (lambda _: bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), ["is an old workbook"]),
    "a page": (lambda _: b"<html><table>" + BYTES, ["is HTML or XML", "pandas.read_html"]),
    "SQLite": (_sqlite, ["is a database of SQLite", "ibis.sqlite.connect"]),
    "PDF": (lambda _: b"%PDF-1.7\n" + bytes(30), ["is a PDF"]),
    "zstandard": (lambda _: bytes.fromhex("28b52ffd") + bytes(30), ["is compressed by Zstandard", "gzip"]),
    "bzip2": (lambda _: b"BZh91AY&SY" + bytes(30), ["is compressed by bzip2"]),
    "xz": (lambda _: b"\xfd7zXZ\0" + bytes(30), ["is compressed by xz"]),
}


@pytest.mark.parametrize("kind", OTHER)
def test_another_kind_of_file_is_called_by_its_name(tmp_path, kind):
    make, parts = OTHER[kind]
    path = tmp_path / "orders.csv"
    path.write_bytes(make(tmp_path))
    message = refusal(path)
    for part in ("'orders.csv'", *parts):
        assert part in message, message


def test_another_kind_inside_a_compressed_file(tmp_path):
    path = tmp_path / "orders.csv.gz"
    path.write_bytes(gzip.compress(_parquet(), mtime=0))
    assert "is a Parquet file" in refusal(path)


def test_braces_begin_names_too(tmp_path):
    """What begins as JSON and has the columns is a table."""
    (tmp_path / "orders.csv").write_text(PLAIN.replace("customer_id", "[id]"))
    assert clv.summarize(tmp_path / "orders.csv", customer_id="[id]").sizes["customer"] == 3


@pytest.mark.parametrize("path", ["", "  "])
def test_no_path(path):
    assert "The path of the orders is empty" in refusal(path)


@pytest.mark.parametrize(
    "path", ["http://shop.example/orders.csv", "s3://bucket/orders.parquet", "gs:/b/o.csv"]
)
def test_addresses(path):
    message = refusal(path)
    assert "is an address, and files are read from this computer" in message
    assert path.replace(":/b", "://b") in message


def test_names_of_columns_again_in_capitals(tmp_path):
    (tmp_path / "orders.csv").write_text(PLAIN + HEADER.upper() + "\n" + PLAIN.partition("\n")[2])
    assert refusal(tmp_path / "orders.csv").count("They repeat the names of the columns") == 2


@pytest.mark.parametrize(
    "word", ["#N/A", "#REF!", "\\N", "(null)", "<null>", "(blank)", "(none)", "undefined", "#NULL!"]
)
def test_what_programs_write_where_nothing_is(word):
    assert "1 row of 4 with a missing customer id" in refusal(table(customer_id=["a", word, "a", "c"]))


def test_unix_times_in_billionths():
    days = pd.to_datetime(table()["date"]).astype("datetime64[ns]").astype("int64")
    for written in (days, days.astype(str)):
        assert "date_format='unix'" in refusal(table(date=written))
        same(clv.summarize(table(date=written), date_format="unix"))
