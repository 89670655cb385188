"""What a file is by its first bytes, whatever it is called: kinds that are met under the name of a text."""

import re
from pathlib import Path

from bayes_clv.schema import InputError

_PANDAS = "read it with pandas and pass that table"
# First bytes, what the file then is, and what to do; the file's name without its endings is {stem}.
KINDS = (
    (rb"\x1f\x8b", "is compressed by gzip", "call it '{name}.gz'"),
    (rb"PAR1", "is a Parquet file", "call it '{stem}.parquet'"),
    (
        rb"PK\x03\x04",
        "is a workbook or a ZIP archive",
        "save the sheet with the orders as 'CSV UTF-8', or unpack the archive",
    ),
    (rb"\xd0\xcf\x11\xe0", "is an old workbook", "save the sheet with the orders as 'CSV UTF-8'"),
    (
        rb"SQLite format 3",
        "is a database of SQLite",
        "pass its table: ibis.sqlite.connect(path).table('orders')",
    ),
    (rb"%PDF", "is a PDF, a page to print", "export the orders as CSV"),
    (rb"\x28\xb5\x2f\xfd", "is compressed by Zstandard", "unpack it, or compress it with gzip"),
    (rb"BZh[1-9]", "is compressed by bzip2", "unpack it, or compress it with gzip"),
    (rb"\xfd7zXZ", "is compressed by xz", "unpack it, or compress it with gzip"),
    (rb"ARROW1|FEA1", "is an Arrow or Feather file", "pass the table: pyarrow.feather.read_table(path)"),
    (
        rb"\s*(\[\s*)?\{\s*\"",
        "is JSON",
        f"{_PANDAS}: pandas.read_json(path), with lines=True where each line is an order",
    ),
    (
        rb"\s*<(!doctype|html|head|meta|table|\?xml|!--)",
        "is HTML or XML",
        f"{_PANDAS}: pandas.read_html(path)[0], or export the orders as CSV",
    ),
)


def refuse_other_kinds(path: Path, head: bytes) -> None:
    """Refuse a file that is called a text, and is something else by its first bytes."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    for first, what, remedy in KINDS:
        if re.match(first, head, re.IGNORECASE):
            done = remedy.format(name=path.name, stem=path.name.partition(".")[0])
            raise InputError(f"{path.name!r} {what}, and its name says that it is a text: {done}.")
