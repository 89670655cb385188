"""Files as tables: delimited text and Parquet, opened so that nothing in them is guessed.

Delimited text is read with every column as text: a reader that guesses types turns the id "0001" into
1 and a mistyped amount into a missing one. The delimiter is the one among comma, semicolon, tab and bar
under which the header holds the wanted columns. What the engine cannot read (UTF-16, line ends of the old Macintosh,
signs of old programs at the end) is copied into what it can.
"""

import codecs
import csv
import glob
import gzip
import io
import os
import re
import tempfile
import weakref
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_clv.customers.orders.kinds import refuse_other_kinds
from bayes_clv.schema import InputError, argument

TEXT_EXTENSIONS = (".csv", ".tsv", ".txt")
PARQUET_EXTENSIONS = (".parquet", ".pq")
DELIMITERS = {
    ",": "comma",
    ";": "semicolon",
    "\t": "tab",
    "|": "bar",
    "^": "caret",
    "~": "tilde",
    "\x01": "Ctrl-A",
    "\x1f": "unit separator",
}
# Enough for any header, and to see whether a file is text at all.
HEAD_BYTES = 1 << 16
# Excel's "Unicode Text" and SAP's lists begin so.
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
UTF_16_NAMES = ("utf-16", "utf-16-le", "utf-16-be")
# Ctrl-Z and form feed, by which old programs end a file, and line ends around them.
_ENDS = "\x1a\x0c\r\n"
# Excel's own first line, which names the delimiter.
_SEPARATOR = re.compile(r'"?sep=(.)"?[,;\t|]*\s*', re.IGNORECASE)
# Titles and dates of a report above its columns.
_MOST_TITLES = 50
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")


class NotText(InputError):
    """Bytes that are no text in the encoding that they are read in."""


class NotUTF8(NotText):
    """A text of another encoding than UTF-8: ``what`` is wrong, without a remedy, and a ``piece`` of it, if known."""

    def __init__(self, what: str, piece: bytes = b"") -> None:
        super().__init__(
            f"{what} Save a spreadsheet as 'CSV UTF-8'; text of older Windows programs becomes UTF-8 with iconv -f "
            "WINDOWS-1252 -t UTF-8; give other kinds of file their own extension."
        )
        self.what, self.piece = what, piece


def open_file(
    connection: Any, path: Path, wanted: Sequence[str], encoding: str | None = None
) -> tuple[Any, list[str]]:
    """Return the file as an Ibis table on the DuckDB connection, and what its columns are called, in their order.

    The table may call them otherwise: an engine takes ID and id for one. What is not a table is refused.
    """
    if not os.path.exists(path):  # noqa: PTH110 (a path too long to be one)
        # A path has one slash where an address has two.
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
            address = re.sub(r":/+", "://", str(path), count=1)
            raise InputError(
                f"{address[:200]!r} is an address, and files are read from this computer. Download it and pass the "
                "file, or open it with pandas or Ibis and pass the table: pandas.read_csv(address, dtype=str)."
            )
        raise InputError(
            f"There is no file {str(path)[:200]!r}. Check the path; it starts in {str(Path.cwd())!r}. "
            "Data in a database or in cloud storage can be opened with Ibis and passed as a table."
        )
    if path.is_dir():
        raise InputError(
            f"{str(path)!r} is a folder. Pass one file, or open all of them with Ibis and pass that table: "
            "ibis.read_parquet('folder/*.parquet', union_by_name=True)."
        )
    name = path.name.lower()
    extension = Path(name.removesuffix(".gz")).suffix
    if extension in PARQUET_EXTENSIONS and not name.endswith(".gz"):
        refuse_encoding(encoding, f"{path.name!r} is a Parquet file")
        return _open_parquet(connection, path)
    if extension in TEXT_EXTENSIONS:
        return _open_text(connection, path, wanted, encoding)
    if extension in _WORKBOOKS:
        raise InputError(
            f"{path.name!r} is a workbook, which may have several sheets. Save the sheet with the orders as 'CSV "
            "UTF-8', or pass the table: pandas.read_excel(path, sheet_name='...', dtype=str)."
        )
    raise InputError(
        f"{path.name!r} has an extension that is not known here. Orders are read from .csv, .tsv, .txt (each "
        "also as .gz) and .parquet files; open anything else with pandas or Ibis and pass the table."
    )


def refuse_encoding(encoding: str | None, what: str) -> None:
    """Refuse an encoding that is said of something else than a file of text."""
    if encoding is not None:
        raise InputError(
            f"{argument('encoding', encoding)} says how the text of a file is written, and {what}, which knows it. "
            "Leave it out."
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
        return NotUTF8(f"{path.name!r}{where}: the text is not UTF-8.")
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


def _open_text(
    connection: Any, path: Path, wanted: Sequence[str], encoding: str | None
) -> tuple[Any, list[str]]:
    head = _head(path, encoding)
    zipped = path.name.lower().endswith(".gz")
    ends_oddly = _ends_oddly(path) if zipped else _has_end_sign(_last_bytes(path))
    text, skipped = head.text, head.skipped
    said = _SEPARATOR.fullmatch(text.splitlines(keepends=True)[0])
    if said is not None:
        text, skipped = "".join(text.splitlines(keepends=True)[1:]), skipped + 1
    _refuse_titles(path, text, skipped, wanted)
    delimiter, names = _header(path, text, wanted)
    copied = head.encoding != "utf-8" or head.old_ends or ends_oddly
    read = _rewritten(connection, path, head) if copied else path
    table = connection.read_csv(
        glob.escape(str(read)),
        columns={f"column_{place}": "string" for place in range(len(names))},
        skip=skipped,
        compression="gzip" if zipped and read == path else "none",
        auto_detect=False,
        header=True,
        delim=delimiter,
        quote='"',
        escape='"',
    )
    return table, names


def _rewritten(connection: Any, path: Path, head: "_Head") -> Path:
    """Return a copy of a text as the engine reads it, which goes with the connection."""
    handle, copy = tempfile.mkstemp(suffix=".csv")
    weakref.finalize(connection, Path(copy).unlink, missing_ok=True)
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with (
            opener(path, "rt", encoding=head.encoding, newline=None if head.old_ends else "") as file,
            open(handle, "w", encoding="utf-8", newline="") as out,  # noqa: PTH123 (a handle, no path)
        ):
            held = ""
            while part := file.read(1 << 20):
                part = held + part
                rest = part.rstrip(_ENDS)
                out.write(rest)
                # Line ends and more, which are the text's own unless nothing follows.
                held = part[len(rest) :]
    except UnicodeError as error:
        if head.encoding == "utf-8":
            raise unreadable(path, error) from None
        raise _other_bytes(path, head.encoding) from None
    return Path(copy)


def _other_bytes(path: Path, encoding: str) -> NotText:
    if encoding in UTF_16_NAMES:
        return NotText(
            f"{path.name!r} begins as text in UTF-16 and has bytes that are none: it is damaged or cut short. Write it "
            "anew from where it came, as UTF-8 if that can be chosen."
        )
    return NotText(
        f"{path.name!r} has bytes that are no text in {encoding}. Leave {argument('encoding', encoding)} out, or say "
        "another one."
    )


def _ends_oddly(path: Path) -> bool:
    """Return whether a compressed file ends as the engine cannot read; what is cut short or damaged is refused.

    Engines read such files as far as they go.
    """
    last = b""
    try:
        with gzip.open(path, "rb") as file:
            while part := file.read(1 << 20):
                last = (last + part)[-64:]
    except EOFError:
        raise InputError(
            f"{path.name!r} is cut short: it ends before its compressed text does. Copy or export it again, to its end."
        ) from None
    except (gzip.BadGzipFile, zlib.error):
        raise InputError(
            f"{path.name!r} is damaged: its text does not agree with the checksum at its end. Copy or export it again."
        ) from None
    # Tapes and disk images fill their last block with zeros; a checksum and a length of no text are none.
    return _has_end_sign(last) or not any(_last_bytes(path)[-8:])


def _last_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        return file.read()


def _has_end_sign(last: bytes) -> bool:
    return last.rstrip(b"\r\n").endswith((b"\x1a", b"\x0c"))


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


@dataclass(frozen=True)
class _Head:
    """The beginning of a text without the blank lines before it, and how it is written."""

    text: str
    skipped: int
    encoding: str
    old_ends: bool


def _head(path: Path, said: str | None) -> _Head:
    """Return the beginning of a text file; what is none is refused."""
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
    refuse_other_kinds(path, head)
    encoding = _encoding(head) if said is None else said
    text = _decoded(path, head, encoding)
    old_ends = "\r" in text and "\n" not in text
    if old_ends:
        text = text.replace("\r", "\n")
    lines = text.splitlines(keepends=True)
    blank = next((place for place, line in enumerate(lines) if line.strip()), None)
    if blank is None:
        raise InputError(
            f"{path.name!r} begins with nothing but blank lines. Write the order log to it again."
        )
    return _Head("".join(lines[blank:]), blank, encoding, old_ends)


def _encoding(head: bytes) -> str:
    """Return UTF-16 where a text begins with its mark, or with a zero beside each of its first eight signs."""
    if head.startswith(UTF_16):
        return "utf-16"
    first = head[:16]
    for zeros, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(first) == 16 and not any(first[zeros::2]) and all(first[1 - zeros :: 2]):
            return encoding
    return "utf-8"


def _decoded(path: Path, head: bytes, encoding: str) -> str:
    """Return the beginning of a text, without marks of its encoding: files that were joined have several."""
    decoder = codecs.getincrementaldecoder(encoding)()
    where, shown, piece = "it begins with", head[:8], b""
    try:
        # A character cut in two by the end of the head is no error, by the end of the file it is.
        text = decoder.decode(head, final=len(head) < HEAD_BYTES).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        text, shown = "\0", head[error.start : error.start + 8]
        where, piece = f"line {head.count(b'\n', 0, error.start) + 1} has", shown
    if "\0" in text and encoding not in ("utf-8", *UTF_16_NAMES):
        raise _other_bytes(path, encoding)
    if "\0" in text:
        raise NotUTF8(f"{path.name!r} is not a table in UTF-8 text: {where} the bytes {shown!r}.", piece)
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
