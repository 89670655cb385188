"""Exports of shops as they come: reports around the table, clocks with zones, and columns that nobody named."""

import datetime as dt
import gzip
import json

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.customers.orders.months import month_names

DAYS = ["2023-01-02", "2023-01-14", "2023-03-01", "2023-06-30"]
ROWS = list(zip("abac", DAYS, ["5.05", "32.89", "7", "1000.5"], strict=True))
HEADER = "customer_id,date,spend"
PLAIN = "\n".join([HEADER, *map(",".join, ROWS)]) + "\n"


def table(**columns):
    made = pd.DataFrame(ROWS, columns=HEADER.split(","))
    return made.assign(spend=made.spend.astype(float), **columns)


def refusal(orders, **options):
    with pytest.raises(clv.InputError) as caught:
        clv.summarize(orders, **options)
    return str(caught.value)


def same(found, wanted=None):
    wanted = clv.summarize(table()) if wanted is None else wanted
    assert found.equals(wanted)
    assert found.attrs["until"] == wanted.attrs["until"]


def notes(customers):
    return [line for line in json.loads(customers.attrs["audit"]) if line["action"] == "note"]


# Files.


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("zipped", [False, True])
def test_utf_16_is_read(tmp_path, encoding, zipped):
    text = ("\ufeff" + PLAIN.replace(",", "\t").replace("a\t", "Ω😀\t")).encode(encoding)
    path = tmp_path / ("orders.txt.gz" if zipped else "orders.txt")
    path.write_bytes(gzip.compress(text, mtime=0) if zipped else text)
    same(clv.summarize(path), clv.summarize(table().replace("a", "Ω😀")))
    path.write_bytes(gzip.compress(text[:-1], mtime=0) if zipped else text[:-1])
    refusal(path)


def test_utf_16_that_is_damaged_far_down(tmp_path):
    path = tmp_path / "orders.txt"
    path.write_bytes((HEADER + "\n" + "a,2023-01-02,1\n" * 5000).encode("utf-16") + b"\x00\xd8\x00")
    assert "begins as text in UTF-16 and has bytes that are none" in refusal(path)


@pytest.mark.parametrize("far", [False, True], ids=["at the beginning", "far down"])
def test_text_of_windows_programs(tmp_path, far):
    """Every fault is told at once: that the text is not UTF-8, and what is wrong with it as Windows writes it."""
    lines = [
        HEADER.replace("spend", "Betrag"),
        *["a;13.05.2025;1,50"] * (9000 if far else 1),
        "ä;14.05.2025;2 €",
    ]
    text = "\n".join(lines).replace(",", ";", 2) + "\n"
    (tmp_path / "orders.csv").write_bytes(text.encode("cp1252"))
    message = refusal(tmp_path / "orders.csv", spend="Betrag")
    assert ("the text is not UTF-8" if far else "line 3 has the bytes b'\\xe4;14.05.") in message
    assert "Say encoding='windows-1252'" in message
    assert far or "which makes 'ä;14.05.' of these bytes" in message
    assert "Say date_format='%d.%m.%Y'" in message
    assert "Say decimal=','" in message
    said = {"spend": "Betrag", "date_format": "%d.%m.%Y", "decimal": ",", "encoding": "windows-1252"}
    found = clv.summarize(tmp_path / "orders.csv", **said)
    assert found["customer"].values.tolist() == ["a", "ä"]
    assert found["historical_spend"].values.tolist() == [13500.0 if far else 1.5, 2.0]
    days = clv.customers.purchase_dates(tmp_path / "orders.csv", "ä", **said)
    assert days.astype(str).tolist() == ["2025-05-14"]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("encoding", ["cp1251", "gb18030", "shift_jis", "utf-8-sig", "utf-16"])
def test_text_of_any_encoding_that_is_said(tmp_path, encoding, zipped):
    text = PLAIN.replace("a,", "к,").encode(encoding)
    path = tmp_path / ("orders.csv.gz" if zipped else "orders.csv")
    path.write_bytes(gzip.compress(text, mtime=0) if zipped else text)
    same(clv.summarize(path, encoding=encoding), clv.summarize(table().replace("a", "к")))


def test_encodings_that_are_none_of_the_file(tmp_path):
    (tmp_path / "orders.csv").write_bytes(PLAIN.replace("a,", "ä,").encode("cp1252"))
    assert "has bytes that are no text in ascii" in refusal(tmp_path / "orders.csv", encoding="ascii")
    for none in ("rot13", "base64", "windows", "", 3, "a\0"):
        assert "is not known. Say how the text" in refusal(tmp_path / "orders.csv", encoding=none)
    assert "the orders are a table" in refusal(table(), encoding="utf-8")
    table().to_parquet(tmp_path / "orders.parquet")
    assert "is a Parquet file" in refusal(tmp_path / "orders.parquet", encoding="utf-8")
    # Bytes that Windows has no sign for: not its text either.
    (tmp_path / "orders.csv").write_bytes(PLAIN.encode() + b"\x81\x8d,2023-01-02,1\n")
    assert "iconv" in refusal(tmp_path / "orders.csv")


def test_an_ending_in_capitals(tmp_path):
    (tmp_path / "orders.csv.GZ").write_bytes(gzip.compress(PLAIN.encode(), mtime=0))
    same(clv.summarize(tmp_path / "orders.csv.GZ"))


def test_the_delimiter_that_excel_says_first(tmp_path):
    (tmp_path / "orders.csv").write_text("sep=;\n" + PLAIN.replace(",", ";"))
    same(clv.summarize(tmp_path / "orders.csv"))


def test_titles_above_the_names(tmp_path):
    (tmp_path / "orders.csv").write_text("Sales report,,\n\n" + PLAIN)
    assert "names its columns in line 3, and begins with 'Sales report,,'. Delete the 2 lines" in refusal(
        tmp_path / "orders.csv"
    )


def test_a_workbook(tmp_path):
    (tmp_path / "orders.xlsx").write_bytes(b"PK")
    assert "several sheets. Save the sheet with the orders as 'CSV UTF-8'" in refusal(
        tmp_path / "orders.xlsx"
    )


def test_files_joined_end_to_end(tmp_path):
    (tmp_path / "orders.csv").write_text(PLAIN + PLAIN)
    message = refusal(tmp_path / "orders.csv")
    assert message.count("They repeat the names of the columns") == 2
    assert "decimal" not in message


def test_a_line_of_totals(tmp_path):
    (tmp_path / "orders.csv").write_text(PLAIN + "Grand Total,,1045.44\n")
    assert "A line of totals is no order: on_bad_rows='drop' leaves it out." in refusal(
        tmp_path / "orders.csv"
    )
    same(clv.summarize(tmp_path / "orders.csv", on_bad_rows="drop"))


def test_a_plain_column_is_not_offered_a_decimal_mark(tmp_path):
    (tmp_path / "orders.csv").write_text(PLAIN + "a,2023-06-30,free\n")
    assert "decimal=" not in refusal(tmp_path / "orders.csv")


# Dates.


@pytest.mark.parametrize("ids", [list("abac"), [1, 2, 1, 3]], ids=["text", "numbers"])
@pytest.mark.parametrize(
    ("form", "unit"), [("unix", 1), ("unix", 1_000), ("unix", 1_000_000), ("excel", None)]
)
def test_days_as_numbers(ids, form, unit):
    days = pd.to_datetime(DAYS)
    if form == "excel":
        numbers = (days - pd.Timestamp("1899-12-30")).days + 0.75
    else:
        noon = (days - pd.Timestamp("1970-01-01")).days * 86_400 + 43_200
        numbers = np.asarray(noon) * unit
    wanted = clv.summarize(table(customer_id=ids))
    same(clv.summarize(table(customer_id=ids, date=numbers), date_format=form), wanted)
    same(clv.summarize(table(customer_id=ids, date=numbers.astype(str)), date_format=form), wanted)
    assert f"date_format='{form}'" in refusal(table(customer_id=ids, date=numbers.astype(str)))


def test_a_clock_with_a_zone_is_read_as_it_is_written_if_that_is_said():
    shop = table(
        date=[
            f"{day} 23:59:59 {zone}"
            for day, zone in zip(DAYS, ["-0500", "-05:00", "-0400", "-0400"], strict=True)
        ]
    )
    form = "%Y-%m-%d %H:%M:%S %z"
    message = refusal(shop)
    assert "the shop's own, as Shopify writes them, say date_format='%Y-%m-%d %H:%M:%S %z'" in message
    same(clv.summarize(shop, date_format=form))


@pytest.mark.parametrize("end", ["T10:00:00Z", "T10:00:00.123+00:00"])
def test_a_clock_in_utc(end):
    assert "All are in UTC: convert them to the shop's own time" in refusal(
        table(date=[day + end for day in DAYS])
    )


@pytest.mark.parametrize("form", ["%b %d, %Y, %I:%M %p", "%B %d, %Y", "%d. %b %Y", "%d. %B %Y %H:%M"])
def test_formats_with_months_by_name_are_found(form):
    written = table(date=[dt.datetime.fromisoformat(day).strftime(form) for day in DAYS])
    assert f"Say date_format={form!r}, which reads every date" in refusal(written)
    same(clv.summarize(written, date_format=form))


MONTHS = [
    ("%d. %B %Y", ["2. Januar 2023", "14. JANUAR 2023", "1. März 2023", "30. Juni 2023"]),
    ("%d.%b.%Y", ["02.Jan.2023", "14.Jan.2023", "01.Mrz.2023", "30.Jun.2023"]),
    ("%d %b %Y", ["2 janv. 2023", "14 janv. 2023", "1er mars 2023", "30 juin 2023"]),
    (
        "%d de %B de %Y",
        ["2 de enero de 2023", "14 de enero de 2023", "1 de marzo de 2023", "30 de junio de 2023"],
    ),
    ("%d-%b-%Y", ["02-gen-2023", "14-gen-2023", "01-mar-2023", "30-giu-2023"]),
    ("%d %B %Y", ["2 janeiro 2023", "14 janeiro 2023", "1 marc\u0327o 2023", "30 junho 2023"]),
    ("%d %b %Y", ["2 jan 2023", "14 jan 2023", "1 mrt 2023", "30 jun 2023"]),
]


@pytest.mark.parametrize(("form", "days"), MONTHS, ids=["de", "Excel", "fr", "es", "it", "pt", "nl"])
def test_months_by_name_of_other_languages(form, days):
    written = table(date=days)
    assert f"Say date_format={form!r}, which reads every date of the column." in refusal(written)
    same(clv.summarize(written, date_format=form))


def test_months_that_cannot_be_told():
    unclear = table(date=["2 jan 2023", "14 jui 2023", "1 mar 2023", "30 jui 2023"])
    for told in ({}, {"date_format": "%d %b %Y"}):
        assert "'jui' may be month 6 or 7: write whole names, or months as numbers" in refusal(
            unclear, **told
        )
    polish = table(date=["2 stycznia 2023"] * 4)
    assert "'stycznia' is no month's name in English, German," in refusal(polish)


def test_no_name_is_of_two_months():
    known = month_names()
    assert known.unclear == {"jui": (6, 7)}
    assert len(known.whole) > 60


# Further lines of an order, and columns that nobody named.


def test_amounts_on_the_first_line_of_an_order():
    lines = pd.concat([table(Name=[1, 2, 3, 4]), table(Name=[1, 2, 3, 4]).assign(spend=np.nan)])
    assert "leave them out with where='spend >= 0'" in refusal(lines, order_id="Name")
    assert "of which another line" not in refusal(lines.iloc[1:], order_id="Name")
    found = clv.summarize(lines, order_id="Name", where="spend >= 0")
    same(found)


def test_what_nobody_named_is_noticed(tmp_path):
    status = ["Paid", "Failed", "Paid", "O'Refunded"]
    odd = table(
        **{
            "Order Status": status,
            "Amount Refunded": [0, 0, 0, 1000.5],
            "currency": ["EUR", "EUR", "JPY", ""],
        }
    )
    odd.to_csv(tmp_path / "orders.csv", index=False)
    for orders in (odd, tmp_path / "orders.csv"):
        found = clv.summarize(orders)
        same(found)
        state, refunded, money = notes(found)
        condition = "`Order Status` not in ('Failed', 'O''Refunded')"
        assert (state["rows"], condition in state["what"]) == (2, True)
        assert (refunded["rows"], "'Amount Refunded'" in refunded["what"]) == (1, True)
        assert "(EUR 2, JPY 1)" in money["what"]
        # What a condition leaves out needs no note, nor what is named.
        (left,) = notes(clv.summarize(orders, where=condition))
        assert "(EUR 1, JPY 1)" in left["what"]
        assert "'Order Status'" not in json.dumps(notes(clv.summarize(orders, item="Order Status")))


def test_returns_are_no_orders_that_count():
    back = table(**{"Event Type": ["Payment", "Payment", "Refund", "Payment"]})
    assert notes(clv.summarize(back.assign(spend=[5.0, 3, -5, 2]))) == []
    assert len(notes(clv.summarize(back))) == 1


@pytest.mark.parametrize(
    "values",
    [
        [[1], [2], [3], [4]],
        [b"x"] * 4,
        [pd.Interval(0, 1)] * 4,
        pd.Series(["\ud800"] * 4, dtype=object),
        [object()] * 4,
        [True] * 4,
    ],
)
def test_columns_that_nobody_named_never_matter(values):
    same(clv.summarize(table(status=values, refund=values, currency=values)))
