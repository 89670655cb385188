"""Files as tables: delimited text and Parquet, opened so that nothing in them is guessed.

Delimited text is read with every column as text: a reader that guesses types turns the id "0001" into
1 and a mistyped amount into a missing one. The delimiter is the one among comma, semicolon, tab and bar
under which the header holds the wanted columns.
"""

import codecs
import csv
import glob
import gzip
import io
import os
import re
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayes_clv.schema import InputError

TEXT_EXTENSIONS = (".csv", ".tsv", ".txt")
PARQUET_EXTENSIONS = (".parquet", ".pq")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# Enough for any header, and to see whether a file is text at all.
HEAD_BYTES = 1 << 16
# Excel's "Unicode Text" and SAP's lists begin so.
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# Excel's own first line, which names the delimiter.
_SEPARATOR = re.compile(r'"?sep=(.)"?[,;\t|]*\s*', re.IGNORECASE)
# Titles and dates of a report above its columns.
_MOST_TITLES = 50
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")


def open_file(connection: Any, path: Path, wanted: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the file as an Ibis table on the DuckDB connection, and what its columns are called, in their order.

    The table may call them otherwise: an engine takes ID and id for one. What is not a table is refused.
    """
    if not os.path.exists(path):  # noqa: PTH110 (a path too long to be one)
        raise InputError(
            f"There is no file {str(path)[:200]!r}. Check the path; it starts in {str(Path.cwd())!r}. "
            "Data in a database or in cloud storage can be opened with Ibis and passed as a table."
        )
    if path.is_dir():
        raise InputError(
            f"{str(path)!r} is a folder. Pass one file, or open all of them with Ibis and pass that table: "
            "ibis.read_parquet('folder/*.parquet')."
        )
    name = path.name.lower()
    extension = Path(name.removesuffix(".gz")).suffix
    if extension in PARQUET_EXTENSIONS and not name.endswith(".gz"):
        return _open_parquet(connection, path)
    if extension in TEXT_EXTENSIONS:
        return _open_text(connection, path, wanted)
    if extension in _WORKBOOKS:
        raise InputError(
            f"{path.name!r} is a workbook, which may have several sheets. Save the sheet with the orders as 'CSV "
            "UTF-8', or pass the table: pandas.read_excel(path, sheet_name='...', dtype=str)."
        )
    raise InputError(
        f"{path.name!r} has an extension that is not known here. Orders are read from .csv, .tsv, .txt (each "
        "also as .gz) and .parquet files; open anything else with pandas or Ibis and pass the table."
    )


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error to show when DuckDB gave up in the middle of a file."""
    text = str(error)
    line = re.search(r"CSV Error on Line: (\d+)", text)
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if line is not None and counts is not None:
        return InputError(
            f"{path.name!r}, line {line.group(1)}: {counts.group(2)} values where the header names "
            f"{counts.group(1)} columns. Put values that contain the delimiter in double quotes, or "
            "correct the line."
        )
    where = f", line {line.group(1)}" if line is not None else ""
    if "unicode" in text.lower() or "utf-8" in text.lower():
        return InputError(
            f"{path.name!r}{where}: the text is not UTF-8. Save the file as UTF-8 and try again (text of older Windows "
            "programs: iconv -f WINDOWS-1252 -t UTF-8)."
        )
    if "unterminated quote" in text:
        return InputError(
            f"{path.name!r}{where}: a double quote is opened and never closed. Close it, or write it twice "
            "where it is part of the value."
        )
    if "state machine" in text:
        return InputError(
            f"{path.name!r} mixes line ends (CR LF and LF) or quotes in a way that cannot be read as one "
            "table. Save it again from one program."
        )
    return InputError(
        f"{path.name!r}{where} cannot be read to its end: the file is damaged or cut short. Write it anew "
        "from where it came."
    )


def _open_parquet(connection: Any, path: Path) -> tuple[Any, list[str]]:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.stat().st_size == 0:
        raise InputError(f"{path.name!r} is empty (0 bytes). Write the order log to it again.")
    try:
        names = list(pq.read_schema(path).names)
        return connection.read_parquet(glob.escape(str(path))), names
    except (duckdb.Error, pa.ArrowException, OSError):
        raise InputError(
            f"{path.name!r} is not a readable Parquet file: it is damaged, cut short or of another kind. "
            "Write it anew, or give it the extension of what it is."
        ) from None


def _open_text(connection: Any, path: Path, wanted: Sequence[str]) -> tuple[Any, list[str]]:
    head, skipped, encoding = _head(path)
    if path.name.lower().endswith(".gz"):
        _check_to_the_end(path)
    said = _SEPARATOR.fullmatch(head.splitlines(keepends=True)[0])
    if said is not None:
        head, skipped = "".join(head.splitlines(keepends=True)[1:]), skipped + 1
    _refuse_titles(path, head, skipped, wanted)
    delimiter, names = _header(path, head, wanted)
    read = path if encoding == "utf-8" else _as_utf_8(connection, path, encoding)
    table = connection.read_csv(
        glob.escape(str(read)),
        columns={f"column_{place}": "string" for place in range(len(names))},
        skip=skipped,
        compression="gzip" if path.name.lower().endswith(".gz") and read == path else "none",
        auto_detect=False,
        header=True,
        delim=delimiter,
        quote='"',
        escape='"',
    )
    return table, names


def _as_utf_8(connection: Any, path: Path, encoding: str) -> Path:
    """Return a copy of a text in UTF-8, which goes with the connection: engines read no pairs of UTF-16."""
    handle, copy = tempfile.mkstemp(suffix=".csv")
    weakref.finalize(connection, Path(copy).unlink, missing_ok=True)
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with (
            opener(path, "rt", encoding=encoding, newline="") as file,
            open(handle, "w", encoding="utf-8", newline="") as out,  # noqa: PTH123 (a handle, no path)
        ):
            shutil.copyfileobj(file, out)
    except UnicodeError:
        raise InputError(
            f"{path.name!r} begins as text in UTF-16 and has bytes that are none: it is damaged or cut short. Write it "
            "anew from where it came, as UTF-8 if that can be chosen."
        ) from None
    return Path(copy)


def _check_to_the_end(path: Path) -> None:
    """Refuse a compressed file that is cut short or damaged: engines read such files as far as they go."""
    try:
        with gzip.open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except EOFError:
        raise InputError(
            f"{path.name!r} is cut short: it ends before its compressed text does. Copy or export it again, to its end."
        ) from None
    except (gzip.BadGzipFile, zlib.error):
        raise InputError(
            f"{path.name!r} is damaged: its text does not agree with the checksum at its end. Copy or export it again."
        ) from None


def _refuse_titles(path: Path, head: str, skipped: int, wanted: Sequence[str]) -> None:
    """Refuse a file whose columns are named further down, below the titles of a report."""
    lines = head.splitlines()[: _MOST_TITLES + 1]
    for place, line in enumerate(lines):
        if any(set(wanted) <= {name.strip(' "') for name in line.split(mark)} for mark in DELIMITERS):
            if place == 0:
                return
            raise InputError(
                f"{path.name!r} names its columns in line {skipped + place + 1}, and begins with {_short(lines[0])!r}. "
                f"Delete the {skipped + place:,} line{'s' * (skipped + place > 1)} above the names of the columns."
            )


def _head(path: Path) -> tuple[str, int, str]:
    """Return the beginning of a text file, the blank lines before it and its encoding; other bytes are refused."""
    try:
        opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
        with opener(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(
            f"{path.name!r} ends in .gz but is not a readable gzip file. Compress it anew, or remove the .gz."
        ) from None
    if not head.strip():
        raise InputError(f"{path.name!r} is empty. Write the order log to it again.")
    encoding = "utf-16" if head.startswith(UTF_16) else "utf-8"
    text = _decoded(path, head, encoding)
    lines = text.splitlines(keepends=True)
    blank = next((place for place, line in enumerate(lines) if line.strip()), None)
    if blank is None:
        raise InputError(
            f"{path.name!r} begins with nothing but blank lines. Write the order log to it again."
        )
    return "".join(lines[blank:]), blank, encoding


def _decoded(path: Path, head: bytes, encoding: str) -> str:
    """Return the beginning of a text."""
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    where, shown = "it begins with", head[:8]
    try:
        # A character cut in two by the end of the head is no error, by the end of the file it is.
        text = decoder.decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError as error:
        text, shown = "\0", head[error.start : error.start + 8]
        where = f"line {head.count(b'\n', 0, error.start) + 1} has"
    if "\0" in text:
        raise InputError(
            f"{path.name!r} is not a table in UTF-8 text: {where} the bytes {shown!r}. Save a spreadsheet as 'CSV "
            "UTF-8'; text of older Windows programs becomes UTF-8 with iconv -f WINDOWS-1252 -t UTF-8; give other "
            "kinds of file their own extension."
        )
    return text


def _header(path: Path, text: str, wanted: Sequence[str]) -> tuple[str, list[str]]:
    """Return the delimiter and the column names of a delimited text."""
    try:
        first = {
            mark: [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=mark))]
            for mark in DELIMITERS
        }
    except csv.Error:
        raise InputError(
            f"{path.name!r} is not a delimited table: its first line, {_short(text.splitlines()[0])!r}, cannot be "
            "divided "
            "into the names of columns. Close its quotes, and save the file with plain line ends."
        ) from None
    delimiter = max(first, key=lambda mark: (len(set(wanted) & set(first[mark])), len(first[mark])))
    names = first[delimiter]
    if len(names) == 1:
        line = text.splitlines()[0].strip()
        raise InputError(
            f"{path.name!r} is not a delimited table: its first line, {_short(line)!r}, has no "
            f"{', '.join(DELIMITERS.values())}. If its columns are separated by blanks, read it with "
            "pandas.read_csv(path, sep=r'\\s+', header=None, names=[...], dtype=str) and pass that table."
        )
    return delimiter, names


def _short(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
