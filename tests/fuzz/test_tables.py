"""Tables of every dtype, and files torn at every byte: the plain reference's answer or an InputError, and no hang."""

import csv
import gzip
import io
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_clv as clv
from tests.fuzz import plain
from tests.fuzz.tables import orders, pl

COLUMNS = ("frequency", "recency", "T", "monetary_value", "historical_spend")
without_polars = pytest.mark.skipif(pl is None, reason="Polars is not installed")
MAKERS = ["pandas", "arrow", pytest.param("polars", marks=without_polars)]


def same(found, wanted):
    """Return whether customers are those of the reference; amounts are rounded to four decimals a row."""
    rows = zip(found["customer"].values, *(found[name].values.tolist() for name in COLUMNS), strict=True)
    got = {who: numbers for who, *numbers in rows}
    return got.keys() == wanted.keys() and all(
        math.isclose(one, other, rel_tol=1e-9, abs_tol=2e-4) or (one != one and other != other)
        for who in got
        for one, other in zip(got[who], wanted[who], strict=True)
    )


def compare(clock, table, cells, *, drop):
    """Hold the door against the reference; an InputError is owed where the reference has no answer."""
    try:
        wanted = plain.summary(*cells, drop=drop)
    except plain.Refused:
        wanted = None
    if wanted is None:
        with pytest.raises(clv.InputError), clock():
            clv.summarize(table, time_unit="day", on_bad_rows="drop" if drop else "refuse")
        return
    with clock():
        found = clv.summarize(table, time_unit="day", on_bad_rows="drop" if drop else "refuse")
    assert same(found, wanted), f"{found.to_dataframe()}\n{wanted}\n{cells}"


def of_tables(maker, clock):
    @given(orders(maker), st.booleans())
    def check(made, drop):
        compare(clock, *made, drop=drop)

    return check


@pytest.mark.parametrize("maker", MAKERS)
def test_tables(maker, fuzz, clock):
    fuzz(of_tables(maker, clock), 12)


@pytest.mark.full
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("part", range(67))
def test_20_000_tables(maker, part, fuzz, clock):
    fuzz(of_tables(maker, clock), 100, part)


TABLE = pd.DataFrame(
    {
        "customer_id": ["a", "b", "a", '"quoted, twice"', "Ω"],
        "date": ["2020-01-01", "2020-01-02", "2020-02-03 10:00", "20200301", "2021-01-01"],
        "spend": ["1.5", "20", "3.25", "1e2", "7"],
    }
)


# Excel's "Unicode Text".
ENCODINGS = {"txt": "utf-16"}


def torn(folder, kind, cut):
    """Return a file that ends ``cut`` bytes early, and its bytes; none where nothing is left to cut."""
    path = folder / f"orders.{kind}"
    if kind == "parquet":
        TABLE.to_parquet(path)
        whole = path.read_bytes()
    else:
        whole = TABLE.to_csv(index=False).encode(ENCODINGS.get(kind, "utf-8"))
        whole = gzip.compress(whole, mtime=0) if kind == "csv.gz" else whole
    path.write_bytes(whole[: max(len(whole) - cut, 0)])
    return path, whole


def check_torn(folder, kind, cut, clock):
    """A torn text is what a reader of it finds; anything else that is torn is refused."""
    path, whole = torn(folder, kind, cut)
    left = whole[: max(len(whole) - cut, 0)]
    if kind in ("csv.gz", "parquet"):
        with pytest.raises(clv.InputError), clock():
            clv.summarize(path)
        return
    try:
        text = left.decode(ENCODINGS.get(kind, "utf-8"))
        lines = list(csv.reader(io.StringIO(text, newline="")))
        cells = list(zip(*lines[1:], strict=True)) or [(), (), ()]
        usable = lines and lines[0] == [*TABLE] and all(len(line) == 3 for line in lines)
    except (UnicodeDecodeError, ValueError):
        usable = False
    if usable and text.count('"') % 2 == 0:
        compare(clock, path, cells, drop=True)
    else:
        with pytest.raises(clv.InputError), clock():
            clv.summarize(path, on_bad_rows="drop")


KINDS = ["csv", "txt", "csv.gz", "parquet"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.31, 0.97])
def test_torn_files(tmp_path, kind, share, clock):
    _, whole = torn(tmp_path, kind, 0)
    check_torn(tmp_path, kind, max(1, int(share * len(whole))), clock)


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_2_000_torn_files(tmp_path, kind, clock):
    _, whole = torn(tmp_path, kind, 0)
    for cut in range(1, len(whole) + 1):
        check_torn(tmp_path, kind, cut, clock)
