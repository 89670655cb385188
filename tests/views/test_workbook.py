"""The workbook of a page is one that others open, with the numbers of its tables and text that stays text."""

import base64
import io
import re
from pathlib import Path

import openpyxl
import pytest

from bayes_clv.views import reporting
from bayes_clv.views.reporting.cells import Column, Table, cell, column
from bayes_clv.views.reporting.workbook import tables_of, workbook


@pytest.fixture(scope="module")
def table():
    amounts = [1234.56789, float("nan"), -0.5]
    names = ["<b>&", "=1+1", "bell\x07 忠"]
    intervals = [cell(9.0, "1 to 9"), cell(8.0, "2 to 8"), cell(7.0, "3 to 7")]
    columns = [Column("customer", number=False), Column("value, mean"), Column("90 %")]
    rows = [list(row) for row in zip([cell(name) for name in names], column(amounts), intervals, strict=True)]
    return Table("customer-table", "Caption.", columns, rows)


def test_every_page_carries_its_tables_as_a_workbook():
    folder = Path(reporting.__file__).parent
    pages = [
        path for path in folder.glob("*.html.j2") if path.stem.partition(".")[0] not in ("layout", "macros")
    ]
    assert len(pages) == 7
    for path in pages:
        assert "{{- all_tables(workbook) }}" in path.read_text(), path.name


def read(content: bytes) -> dict[str, list[tuple]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    return {sheet.title: list(sheet.values) for sheet in book}


def test_a_reader_of_spreadsheets_finds_numbers_with_all_digits_and_text_as_text(table):
    found = read(workbook([table, Table("a-name-that-is-longer-than-a-sheet's", "", [Column("x")], [])]))
    assert list(found) == ["customer-table", "a-name-that-is-longer-than-a-sh"]
    assert found["customer-table"] == [
        ("customer", "value, mean", "90 %"),
        ("<b>&", 1234.56789, "1 to 9"),
        ("=1+1", "–", "2 to 8"),
        ("bell 忠", -0.5, "3 to 7"),
    ]
    assert openpyxl.load_workbook(io.BytesIO(workbook([table])))["customer-table"]["A3"].data_type == "s"


def test_equal_tables_give_equal_files(table):
    assert workbook([table]) == workbook([table])


def test_the_page_carries_all_its_tables(full):
    link = full[1].split('href="data:application/vnd.openxml', 1)[1].split('"', 1)[0]
    found = read(base64.b64decode(link.split("base64,", 1)[1]))
    assert set(found) == {name[:31] for name in re.findall(r'<table[^>]* id="([\w-]+)"', full[1])}
    assert len(found["customer-table"]) == 51


def test_tables_are_found_however_deep(table):
    assert list(tables_of({"a": [{"b": table}], "c": None, "d": (table, "text")})) == [table, table]
