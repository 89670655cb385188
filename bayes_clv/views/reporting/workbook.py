"""The tables of a page as one workbook (.xlsx), which the page carries: a sheet a table, numbers with all their digits.

The format is a zip of XML (ECMA-376), of which this writes the least that a spreadsheet opens: no styles, no formulas;
text stays text, whatever it begins with. Rejected: openpyxl, a dependency for sixty lines, whose files carry the time
of writing, so that equal input would give pages that differ.
"""

import base64
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

from bayes_clv.language import say
from bayes_clv.views.reporting.cells import Cell, Column, Table

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The first day that a zip can name, so that equal tables give equal files.
_WHEN = (1980, 1, 1, 0, 0, 0)
_NAME_LENGTH = 31


def tables_of(page: Any) -> Iterator[Table]:
    """Yield the tables of a page, in its order, however deep they lie."""
    if isinstance(page, Table):
        yield page
    elif isinstance(page, dict):
        for part in page.values():
            yield from tables_of(part)
    elif isinstance(page, list | tuple):
        for part in page:
            yield from tables_of(part)


def workbook_link(tables: Sequence[Table]) -> str:
    """Return the workbook of tables as an address that holds it (``data:``)."""
    return f"data:{_TYPE}.sheet;base64,{base64.b64encode(workbook(tables)).decode('ascii')}"


def workbook(tables: Sequence[Table]) -> bytes:
    """Return tables as an .xlsx file: the first row of each sheet has the headings.

    Parameters
    ----------
    tables
        Their names are those of the sheets, the first 31 characters of each.
    """
    names = [table.name[:_NAME_LENGTH] for table in tables]
    numbers = range(1, len(tables) + 1)
    sheets = "".join(
        f'<sheet name="{escape(name, {'"': "&quot;"})}" sheetId="{n}" r:id="rId{n}"/>'
        for n, name in zip(numbers, names, strict=True)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
            for n in numbers
        )
        + "</Types>",
        "_rels/.rels": _relations([("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relations(
            [("worksheet", f"worksheets/sheet{n}.xml") for n in numbers]
        ),
    }
    parts |= {f"xl/worksheets/sheet{n}.xml": _sheet(table) for n, table in zip(numbers, tables, strict=True)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text in parts.items():
            entry = zipfile.ZipInfo(name, _WHEN)
            file.writestr(entry, _HEAD + text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _relations(targets: Sequence[tuple[str, str]]) -> str:
    each = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{each}</Relationships>'


def _sheet(table: Table) -> str:
    head = "".join(_text(column.label) for column in table.columns)
    rows = [
        "".join(_value(cell, column) for cell, column in zip(row, table.columns, strict=True))
        for row in table.rows
    ]
    data = "".join(f"<row>{row}</row>" for row in [head, *rows])
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{data}</sheetData></worksheet>'


def _value(cell: Cell, column: Column) -> str:
    # An interval is sorted by its upper end, and is more than that.
    single = column.number and say("{low} to {high}", low="", high="") not in cell.text
    try:
        return f"<c><v>{float(cell.key)!r}</v></c>" if single else _text(cell.text)
    except ValueError:
        return _text(cell.text)


def _text(text: str) -> str:
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(_FORBIDDEN.sub("", text))}</t></is></c>'
