"""Tables of orders of every dtype of pandas, Polars and Arrow, for the fuzzer: columns drawn from small pools.

A role may get any dtype at all; more often it gets one that suits it, so that many tables have an answer.
"""

import datetime as dt
import decimal
import re
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

try:
    import polars as pl
except ImportError:
    pl = None

IDS = ["1", "2", "10", " 2 ", "a", "A", "nan", "", "null", "0001", "Ω", "1.0", "x\ny", "'", "`"]
DAYS = ["2020-01-01", "20200102", "2020-01-03 10:00", "2021-05-05T23:59:60", "2020-02-30", "2020-01-01 99:99"]
DAYS += ["1899-12-31", "2199-12-31", "13.01.2020", "2020-1-1", "NaT", "0", "2020-01-01Z", "２０２０-01-01"]
AMOUNTS = [
    "2.5",
    "1",
    "10.0",
    "-1",
    "-2.5",
    "0",
    "1e3",
    "1e-400",
    "1e400",
    "€5",
    "1,5",
    ".",
    "+.5",
    "٣",
    "--1",
]
INTEGERS = [0, 1, 2, 3, 10, -1, 20200101, 20200102, 20191301, 2**31 - 1, 2**53, 2**63 - 1, 2**64 - 1, 2**70]
FLOATS = [
    0.0,
    -0.0,
    1.0,
    2.0,
    2.5,
    10.0,
    -1.0,
    20200101.0,
    0.1,
    1e-5,
    9e13,
    1e14,
    1e300,
    float("nan"),
    np.inf,
]
DATES = [dt.date(2020, 1, 1), dt.date(2020, 1, 2), dt.date(2021, 5, 5), dt.date(1899, 1, 1), dt.date(1, 1, 1)]
DATES += [dt.date(9999, 12, 31), dt.date(2000, 2, 29)]
TIMES = [dt.datetime(2020, 1, 1, 0, 0), dt.datetime(2020, 1, 1, 23, 59, 59), dt.datetime(1970, 1, 1)]
TIMES += [dt.datetime(2021, 3, 28, 2, 30), dt.datetime(1969, 12, 31, 23), dt.datetime(2100, 1, 1)]
LENGTHS = [dt.timedelta(0), dt.timedelta(days=-1), dt.timedelta(hours=5)]
DECIMALS = [decimal.Decimal(each) for each in ("0.00", "1.00", "2.50", "-1.00", "99999.99", "20200101.00")]
UUIDS = [uuid.UUID(int=1), uuid.UUID(int=2)]
CLOCKS = [dt.time(10), dt.time(23, 59, 59)]
BYTES = [b"1", b"\xff\x00"]
LISTS, STRUCTS = [[1], [1, 2], []], [{"a": 1}, {"a": 2}]


def within(low, high):
    return [each for each in INTEGERS if low <= each <= high]


def _arrow():
    """Return Arrow types, each with the values that it takes."""
    signed = {pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64}
    found = {kind: within(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for kind, bits in signed.items()}
    unsigned = {pa.uint8(): 8, pa.uint16(): 16, pa.uint32(): 32, pa.uint64(): 64}
    found |= {kind: within(0, 2**bits - 1) for kind, bits in unsigned.items()}
    found |= {pa.float32(): FLOATS[:12], pa.float64(): FLOATS, pa.bool_(): [True, False], pa.null(): [None]}
    found |= dict.fromkeys((pa.string(), pa.large_string(), pa.string_view()), IDS + DAYS + AMOUNTS)
    found |= dict.fromkeys((pa.binary(), pa.large_binary(), pa.binary_view()), BYTES)
    found |= {pa.binary(1): [b"1", b"2"], pa.decimal128(18, 2): DECIMALS, pa.decimal256(50, 2): DECIMALS}
    found |= {pa.decimal32(9, 2): DECIMALS[:5], pa.decimal64(18, 2): DECIMALS}
    found |= {pa.date32(): DATES, pa.date64(): DATES, pa.time32("s"): CLOCKS, pa.time64("us"): CLOCKS}
    found |= {pa.timestamp(unit): TIMES for unit in ("s", "ms", "us", "ns")}
    found |= {pa.timestamp("us", "UTC"): [each.replace(tzinfo=dt.UTC) for each in TIMES]}
    found |= {pa.duration(unit): LENGTHS for unit in ("s", "ms", "us", "ns")}
    found |= {pa.month_day_nano_interval(): [(1, 2, 3)], pa.list_(pa.int64()): LISTS}
    found |= {pa.large_list(pa.int64()): LISTS, pa.list_(pa.int64(), 1): [[1], [2]]}
    found |= {pa.struct({"a": pa.int64()}): STRUCTS, pa.map_(pa.string(), pa.int64()): [[("a", 1)]]}
    return found


ARROW = _arrow()
# Made of another array, by name.
REMADE = {
    "dictionary of views": lambda values: pa.DictionaryArray.from_arrays(
        pa.array(range(len(values)), pa.int8()), pa.array(values, pa.string_view())
    ),
    "dictionary": lambda values: pa.array(values, pa.string()).dictionary_encode(),
    "run end": lambda values: pa.RunEndEncodedArray.from_arrays(list(range(1, len(values) + 1)), values),
    "half": lambda values: pa.array(np.array(values, dtype="float16")),
    "union": lambda values: pa.UnionArray.from_sparse(
        pa.array([0] * len(values), pa.int8()), [pa.array(values, pa.string())]
    ),
    "uuid": lambda values: pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([uuid.UUID(int=len(str(each))).bytes for each in values], pa.binary(16))
    ),
}


def _numpy():
    found = {f"{sign}int{bits}": within(*edge) for bits in (8, 16, 32, 64) for sign, edge in
             (("", (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)), ("u", (0, 2**bits - 1)))}  # fmt: skip
    found |= {"float16": FLOATS[:7], "float32": FLOATS[:12], "float64": FLOATS, "bool": [True, False]}
    found |= {"complex128": [1j, 2 + 0j], "category": IDS + DAYS + AMOUNTS, "Sparse[float64]": FLOATS[:8]}
    found |= {f"datetime64[{unit}]": TIMES for unit in ("s", "ms", "us", "ns")}
    found |= {"timedelta64[ns]": LENGTHS, "datetime64[ns, UTC]": TIMES, "period[D]": DATES[:3]}
    found |= dict.fromkeys(("str", "string[python]", "string[pyarrow]"), IDS + DAYS + AMOUNTS)
    found |= {
        name.capitalize().replace("Ui", "UI"): [*values[:6], None]
        for name, values in found.items()
        if "int" in name
    }
    found |= {"Float32": [*FLOATS[:5], None], "Float64": [*FLOATS[:8], None], "boolean": [True, None]}
    mixed = [
        *IDS[:5],
        *DAYS[:5],
        *AMOUNTS[:5],
        *INTEGERS,
        *FLOATS,
        *DATES[:4],
        *TIMES[:3],
        *DECIMALS,
        *UUIDS,
        None,
    ]
    mixed += [
        True,
        dt.timedelta(1),
        *CLOCKS,
        *BYTES,
        pd.NaT,
        pd.NA,
        np.datetime64("2020-01-01"),
        np.float16(2),
    ]
    mixed += [
        decimal.Decimal("Infinity"),
        decimal.Decimal("NaN"),
        pd.Interval(0, 1),
        pd.Timestamp("2020-01-01", tz="UTC"),
    ]
    alike = {
        "text": IDS + DAYS + AMOUNTS,
        "days": DATES,
        "times": TIMES,
        "decimals": DECIMALS,
        "uuids": UUIDS,
        "lists": LISTS,
    }
    alike |= {"numbers": INTEGERS + FLOATS, "mixed": mixed}
    return found | {f"object of {name}": [*values, None] for name, values in alike.items()}


NUMPY = _numpy()


def _polars():
    ints = {f"{sign}Int{bits}": within(*edge) for bits in (8, 16, 32, 64) for sign, edge in
            (("", (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)), ("U", (0, 2**bits - 1)))}  # fmt: skip
    found = {getattr(pl, name): values for name, values in ints.items()}
    found |= {
        pl.Int128: INTEGERS,
        pl.Float32: FLOATS[:12],
        pl.Float64: FLOATS,
        pl.Boolean: [True, False],
        pl.Null: [None],
    }
    found |= {
        pl.String: IDS + DAYS + AMOUNTS,
        pl.Categorical: IDS,
        pl.Enum(AMOUNTS): AMOUNTS,
        pl.Binary: BYTES,
    }
    found |= {pl.Date: DATES, pl.Time: CLOCKS, pl.Decimal(18, 2): DECIMALS, pl.Object: UUIDS}
    found |= {pl.Datetime(unit): TIMES for unit in ("ms", "us", "ns")} | {
        pl.Duration(unit): LENGTHS for unit in ("ms", "us", "ns")
    }
    found |= {
        pl.Datetime("us", "UTC"): [each.replace(tzinfo=dt.UTC) for each in TIMES],
        pl.List(pl.Int64): LISTS,
    }
    return found | {pl.Array(pl.Int64, 1): [[1], [2]], pl.Struct({"a": pl.Int64}): STRUCTS}


POLARS = {} if pl is None else _polars()

# What a role's column takes of its dtype's pool, for tables that have an answer.
SUITED = {
    "customer_id": ["1", "2", "10", " 2 ", "a", "0001", "A", 1, 2, 3, 10, 0, 1.0, 2.0, *UUIDS],
    "date": [*DAYS[:4], DAYS[7], 20200101, 20200102, 20200101.0, *DATES[:3], *TIMES],
    "spend": [*AMOUNTS[:3], *AMOUNTS[5:7], 0, 1, 2, 3, 10, *FLOATS[:6], *DECIMALS[:3], DECIMALS[4]],
}
BACK = ["-1", "-2.5", -1, -1.0, DECIMALS[3]]
FITTING = {
    "customer_id": "(large_)?str|u?int|U?Int|object of (text|uuids|numbers)|category|float64|dict|run|String|uuid",
    "date": "(large_)?str|[dD]ate(?!.*UTC)|timestamp(?!.*UTC)|object of (days|times|text)|u?int64|String",
    "spend": "float|Float|double|half|decimal|Decimal|u?int|U?Int|object of (decimals|numbers|text)|str|String",
}
MANY = 4


def _values(draw, role, pool, size):
    """Return values of a pool, mostly those that suit the role."""
    # A tenth of the tables has returns, which take three times as long.
    back = BACK if role == "spend" and draw(st.integers(0, 9)) == 0 else []
    keys = {(type(each), repr(each)) for each in SUITED[role] + back}
    suited = [each for each in pool if (type(each), repr(each)) in keys]
    some = suited if suited and draw(st.integers(0, MANY)) else pool
    return draw(st.lists(st.sampled_from(some), min_size=size, max_size=size))


def _kind(draw, role, kinds):
    names = list(kinds)
    fitting = [each for each in names if re.match(FITTING[role], str(each))]
    return draw(st.sampled_from(fitting if draw(st.integers(0, MANY)) else names))


def _pandas_column(values, kind):
    if kind.startswith("object"):
        cells = np.empty(len(values), dtype=object)
        for place, each in enumerate(values):
            cells[place] = each
        return pd.Series(cells)
    if kind.startswith(("datetime64", "timedelta64", "period")) and values:
        return pd.Series(values, dtype=object).astype(kind)
    return pd.Series(values, dtype=kind)


@st.composite
def orders(draw, maker):
    """Return a table of orders, and its three columns as Python has their cells."""
    size = draw(st.integers(0, 6) if draw(st.integers(0, 9)) == 0 else st.integers(2, 6))
    columns = {}
    for role in ("customer_id", "date", "spend"):
        if maker == "pandas":
            kind = _kind(draw, role, NUMPY)
            columns[role] = _pandas_column(_values(draw, role, NUMPY[kind], size), kind)
        elif maker == "polars":
            kind = _kind(draw, role, POLARS)
            columns[role] = pl.Series(role, _values(draw, role, POLARS[kind], size), dtype=kind)
        else:
            kind = _kind(draw, role, [*ARROW, *REMADE])
            pool = ARROW.get(kind, FLOATS[:7] if kind == "half" else IDS + DAYS + AMOUNTS)
            values = _values(draw, role, pool, size)
            if kind in REMADE:
                columns[role] = (
                    REMADE[kind](values)
                    if size or kind not in ("run end", "uuid")
                    else pa.array([], pa.string())
                )
            else:
                gone = draw(st.integers(0, size)) if draw(st.integers(0, 3)) == 0 else size
                columns[role] = pa.array([None if i == gone else each for i, each in enumerate(values)], kind)
    if maker == "pandas":
        if draw(st.booleans()):
            dtype = draw(st.sampled_from(["same", "backend"]))
            if dtype == "backend":
                columns = {role: _arrow_backed(column) for role, column in columns.items()}
        table = pd.DataFrame(columns)
        return table, [table[role].tolist() for role in columns]
    if maker == "polars":
        return pl.DataFrame(columns), [column.to_list() for column in columns.values()]
    table = pa.table(columns)
    if (
        size > 1
        and draw(st.booleans())
        and not any(
            pa.types.is_union(each.type) or pa.types.is_run_end_encoded(each.type)
            for each in columns.values()
        )
    ):
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    return table, [table[role].to_pylist() for role in columns]


def _arrow_backed(column):
    try:
        return column.convert_dtypes(dtype_backend="pyarrow")
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        return column
