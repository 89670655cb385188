"""Ids, days and amounts: how each is read, and what can be wrong with it.

A row may have several faults, and all of them are told: each is a bit of ``faults``, 0 for none, the first in order
the lowest. Rows that are left out without a fault have a negative number (``LEFT_OUT``).
"""

import functools
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bayes_clv.conditions import RowTest
from bayes_clv.customers.orders.amounts import read_amount
from bayes_clv.customers.orders.dates import COMPACT, ISO, SerialDays, UnixDays
from bayes_clv.customers.orders.description import Reading
from bayes_clv.customers.orders.sorting import NUMBER
from bayes_clv.schema import InputError, argument

# How missing values look after a detour through text, a spreadsheet or a database. No customer is called "nan".
MISSING_WORDS = (
    *("", "nan", "na", "n/a", "<na>", "nat", "null", "none"),
    *(
        "#n/a",
        "#null!",
        "#ref!",
        "#value!",
        "#name?",
        "#div/0!",
        "\\n",
        "<null>",
        "(null)",
        "(none)",
        "(blank)",
    ),
    *("(leer)", "undefined"),
)


# Whole numbers up to here are exact as float64; above it two ids may have become one.
EXACT_FLOAT = 2.0**53


# decimal(18,4) holds amounts below this; the smallest it can tell from zero is half of 0.0001.
LARGEST_SPEND = 1e14


SMALLEST_SPEND = 0.00005
# The hash of a row in all columns that are read, by which equal rows are found.
TWIN = "twin"
SPEND, _UNITS = "decimal(18, 4)", "decimal(22, 4)"


@dataclass(frozen=True)
class Problem:
    """Why a row cannot be used: the column's role, what is wrong with it, and what to do."""

    role: str
    what: str
    advice: str


_PLAIN = (
    "Write amounts as plain numbers such as 1234.50: no currency sign, no thousands separator, a point before the "
    "decimals."
)

# In the order in which a row that has several is counted as dropped.
PROBLEMS = {
    "id missing": Problem("customer_id", "a missing customer id", "Give each order the id of its customer."),
    "id bad": Problem(
        "customer_id",
        "an id that is a fraction or too large to be exact as a decimal number",
        "Read the ids as text.",
    ),
    "date missing": Problem("date", "a missing date", "Give each order its day."),
    "date bad": Problem(
        "date",
        "a date that cannot be read",
        "Write dates as 1997-01-31, 1997-01-31 14:30:00 or 19970131, in the years 1900 to 2199.",
    ),
    "order missing": Problem("order_id", "a missing order id", "Give each line the id of its order."),
    "quantity missing": Problem("quantity", "a missing quantity", "Fill in how many were bought."),
    "quantity bad": Problem("quantity", "a quantity that is not a number", _PLAIN),
    "price missing": Problem("price", "a missing price", "Fill in the price; what was given away costs 0."),
    "price bad": Problem("price", "a price that is not a number", _PLAIN),
    "both negative": Problem(
        "price",
        "a negative price of a negative quantity",
        "A returned piece has a negative quantity, a credit a negative price: correct one of the two.",
    ),
    "spend missing": Problem("spend", "a missing spend", "Fill in the amount; a free order is 0."),
    "spend bad": Problem("spend", "a spend that is not a number", _PLAIN),
    "spend huge": Problem("spend", "an infinite spend or one of 10^14 and more", "Correct the amount."),
    "spend negative": Problem(
        "spend",
        "a negative spend",
        f"A negative amount is a return: leave {argument('on_returns')} out, and it is set against what was bought.",
    ),
    "spend tiny": Problem(
        "spend",
        "a spend that rounds to zero (four decimals are kept)",
        "State the amounts in a smaller unit of money.",
    ),
    "test bad": Problem(
        "where",
        "a value that is no number, which the condition compares with one",
        "Correct the value, or compare it as text, in quotes.",
    ),
}
NAMES = tuple(PROBLEMS)

# Rows without a fault that are left out: what is said of them.
NOT_WANTED, NO_MONEY_BACK, DROPPED_RETURN = -1, -2, -3


def first_fault(faults: int) -> str:
    """Return the first of a row's faults."""
    return NAMES[(faults & -faults).bit_length() - 1]


def faults_in(faults: int) -> list[str]:
    """Return the faults of a row."""
    return [name for place, name in enumerate(NAMES) if faults > 0 and faults >> place & 1]


def parse(raw: Any, reading: Reading, views: Any, keep: Sequence[str] = ()) -> Any:
    """Return parsed columns and each row's ``faults``.

    ``views`` is the engine in which each step becomes a view, or None to leave one expression; in views ids that are
    whole numbers are there as such too, as ``number``, and a hash of each row as it was given, as ``twin``.
    """
    import ibis

    def step(name: str, table: Any) -> Any:
        return table if views is None else views.create_view(name, table)

    roles = [*reading.columns()]
    texts = [name for name in roles if name in raw.columns and raw[name].type().is_string()]
    given = {name: raw[name] for name in raw.columns if not name.startswith("taken_")}
    twin = {} if views is None else {TWIN: _hash()(ibis.struct(given))}
    raw = step("order_texts", raw.mutate(**{name: raw[name].strip() for name in texts}, **twin))
    identity, id_missing, id_bad = _parse_id(raw.customer_id, reading.customer_id)
    day, date_missing, date_bad = _parse_date(raw.date, reading)
    flags = {"id missing": id_missing, "id bad": id_bad, "date missing": date_missing, "date bad": date_bad}
    values = {"customer_id": identity, "date": day, **{name: raw[name] for name in twin}}
    if views is not None and _fits(raw.customer_id.type()):
        values[NUMBER] = raw.customer_id.cast("int64")
    for role in ("order_id", "item"):
        if role in raw.columns:
            values[role], missing = _parse_label(raw[role], reading.shown(role))
            if role == "order_id":
                flags["order missing"] = missing
    amounts = [role for role in ("spend", "quantity", "price") if role in raw.columns]
    for role in amounts:
        values[role], missing, bad, tiny = _parse_number(raw[role], reading.shown(role), reading.decimal)
        flags |= {f"{role} missing": missing, f"{role} bad": bad}
        if role == "spend" and tiny is not None:
            values["underflow"] = tiny
    wanted, unknown = wanted_rows(raw, reading)
    if wanted is not None:
        values["wanted"] = wanted
    if unknown is not None:
        flags["test bad"] = unknown
    named = {f"flag_{NAMES.index(name)}": flag for name, flag in flags.items()}
    taken = [name for name in roles if name.startswith("taken_")]
    table = step(
        "order_values", raw.select(**values, **named, **{name: raw[name] for name in (*taken, *keep)})
    )
    flags = {name: table[f"flag_{NAMES.index(name)}"] for name in flags}
    parsed: dict[str, Any] = {
        name: table[name]
        for name in ("customer_id", NUMBER, "date", "order_id", "item", TWIN)
        if name in values
    }
    left_out = [] if wanted is None else [(~table.wanted, NOT_WANTED)]
    if amounts:
        parsed["spend"], further = _amount(
            table, reading, flags, underflow="underflow" in values, embedded=views is not None
        )
        left_out += further
    bits = sum(ibis.ifelse(flag, 1 << NAMES.index(name), 0) for name, flag in flags.items())
    # Most rows have none, and an engine then adds up nothing.
    faults = ibis.ifelse(functools.reduce(operator.or_, flags.values()), bits, 0)
    if left_out:
        # A row that is not wanted has no faults; a fault goes before the other reasons to leave a row out.
        first = [(condition, number) for condition, number in left_out if number == NOT_WANTED]
        rest = [(condition & (faults == 0), number) for condition, number in left_out if number != NOT_WANTED]
        faults = ibis.cases(*first, *rest, else_=faults)
    others = {name: table[name] for name in (*taken, *keep)}
    return table.select(**parsed, faults=faults.cast("int32"), **others)


def _amount(
    table: Any, reading: Reading, flags: dict[str, Any], *, underflow: bool, embedded: bool
) -> tuple[Any, list[tuple[Any, int]]]:
    """Return spend as decimal(18,4), with what is wrong with it and which of its rows are left out unasked."""
    import ibis

    left_out = []
    if reading.quantity is None:
        amount = table.spend
    else:
        amount = table.quantity * table.price
        flags["both negative"] = (table.quantity < 0) & (table.price < 0)
        # What came back at no price takes nothing back, and is no purchase.
        left_out.append(((table.quantity < 0) & (amount == 0), NO_MONEY_BACK))
    tiny = (amount != 0) & (amount.abs() < SMALLEST_SPEND)
    flags["spend huge"] = amount.abs() >= LARGEST_SPEND
    flags["spend tiny"] = tiny | table.underflow if underflow else tiny
    if reading.on_returns == "refuse":
        flags["spend negative"] = amount < 0
    if reading.on_returns == "drop":
        left_out.append((amount < 0, DROPPED_RETURN))
    for name in ("both negative", "spend huge", "spend tiny", "spend negative"):
        if name in flags:
            flags[name] = flags[name].fill_null(False)
    kept = ibis.ifelse(amount.abs() < LARGEST_SPEND, amount, ibis.null("float64"))
    return kept.cast(SPEND) if embedded else _rounded(kept), left_out


def _rounded(amount: Any) -> Any:
    """Return a number as the embedded engine's cast to decimal(18,4) has it: 10^4 times it, rounded half away from 0.

    Casts disagree on halves: of 69.86795, which is a little less, PostgreSQL and Spark keep the digits that they print.
    """
    import ibis

    scaled = (amount * 1e4).abs()
    whole = scaled.floor()
    units = whole.cast("int64") + ibis.ifelse(scaled - whole >= 0.5, 1, 0)
    units = ibis.ifelse(amount < 0, -units, units)
    return (units.cast(_UNITS) * ibis.literal(Decimal("0.0001"), _UNITS)).cast(SPEND)


def _parse_id(column: Any, name: str) -> tuple[Any, Any, Any]:
    """Return the id as text, whether it is missing, and whether it cannot be trusted."""
    import ibis

    kind = column.type()
    never = ibis.literal(False)
    if kind.is_string():
        return column, column.isnull() | column.lower().isin(MISSING_WORDS), never
    if kind.is_integer() or kind.is_uuid():
        return column.cast("string"), column.isnull(), never
    if kind.is_floating() or kind.is_decimal():
        # A column of whole numbers becomes float when one is missing: "1", never "1.0".
        missing = _missing_number(column)
        number = ibis.ifelse(missing, ibis.null(kind), column)
        finite = (number.abs() < EXACT_FLOAT).fill_null(False)
        # Cut off first: an engine may round all numbers before it chooses among them.
        safe = ibis.ifelse(finite, number, ibis.null(kind))
        exact = (safe.floor() == safe).fill_null(False)
        return (
            ibis.ifelse(exact, safe, ibis.null(kind)).cast("int64").cast("string"),
            missing,
            ~exact & ~missing,
        )
    raise _wrong_type(name, kind, "Customer ids are text or whole numbers.")


# What a whole number has behind its point, where a column of them became float.
_ZEROS = r"[.]0+$"


@functools.cache
def _hash() -> Any:
    """Return DuckDB's hash as it is; Ibis's own makes it a number with a sign by way of bits, row by row."""
    import ibis
    from ibis.expr import datatypes

    def row_hash(row: Any) -> Any:
        """Stand for the engine's own function."""

    return ibis.udf.scalar.builtin(row_hash, name="hash", signature=((None,), datatypes.uint64))


def _fits(kind: Any) -> bool:
    """Return whether ids of this kind are whole numbers of 64 bits with a sign."""
    return kind.is_integer() and not kind.is_uint64()


def _parse_label(column: Any, name: str) -> tuple[Any, Any]:
    """Return the id of an order or an item as text, null where it is missing, and whether it is."""
    import ibis

    kind = column.type()
    if kind.is_boolean() or kind.is_nested() or kind.is_binary():
        raise _wrong_type(name, kind, "Ids are text or numbers.")
    if kind.is_floating() or kind.is_decimal():
        missing, text = _missing_number(column), column.cast("string").re_replace(_ZEROS, "")
    else:
        text = column.cast("string")
        missing = column.isnull() | text.lower().isin(MISSING_WORDS)
    return ibis.ifelse(missing, ibis.null("string"), text), missing


def _parse_date(column: Any, reading: Reading) -> tuple[Any, Any, Any]:
    """Return the day, whether it is missing, and whether it cannot be read."""
    import ibis

    kind, name = column.type(), reading.date
    if kind.is_date() or kind.is_timestamp():
        _refuse_zone(kind, name, "an order falls")
        if reading.format is not None:
            raise InputError(
                f"Column {name!r} holds dates already, and {argument('date_format', reading.date_format)} is for text. "
                "Leave it out."
            )
        day = column.cast("date")
        usable = day.year().between(1900, 2199)
        # Of an infinite time an engine knows no year.
        bad = ~usable.fill_null(False) & column.notnull()
        return ibis.ifelse(usable, day, ibis.null("date")), column.isnull(), bad
    if kind.is_string():
        text = column
    elif kind.is_integer() or kind.is_floating():
        text, _, _ = _parse_id(column, name)
    else:
        raise _wrong_type(name, kind, "Dates are dates, timestamps, or text such as 1997-01-31 or 19970131.")
    missing = column.isnull()
    if kind.is_floating():
        missing = _missing_number(column)
    elif kind.is_string():
        missing = missing | text.lower().isin(MISSING_WORDS)
    if isinstance(reading.format, SerialDays | UnixDays):
        whole = column if kind.is_string() else column.cast("float64")
        day = reading.format.day(whole)
    elif reading.format is not None:
        day = reading.format.day(text)
    else:
        written = ibis.cases(
            (text.re_search(ISO), text.substr(0, 10)),
            (text.re_search(COMPACT), text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)),
            else_=ibis.null("string"),
        )
        # The patterns let 30 February through; the cast does not.
        day = written.try_cast("date")
    return day, missing, day.isnull() & ~missing


def _parse_number(column: Any, name: str, decimal: str | None) -> tuple[Any, Any, Any, Any]:
    """Return the amount as float64, whether it is missing, whether it is no number, and is lost in being one."""
    import ibis

    kind = column.type()
    never = ibis.literal(False)
    if kind.is_string():
        missing = column.isnull() | column.lower().isin(MISSING_WORDS)
        number = read_amount(column, decimal)
        # 1e-400 is zero as a number.
        lost = ((number == 0) & column.re_search(r"^[^eE]*[1-9]")).fill_null(False)
        return number, missing, number.isnull() & ~missing, lost
    if kind.is_floating():
        missing = _missing_number(column)
        return ibis.ifelse(missing, ibis.null(kind), column).cast("float64"), missing, never, None
    if kind.is_integer() or kind.is_decimal():
        return column.cast("float64"), column.isnull(), never, None
    raise _wrong_type(name, kind, "An amount is a number.")


def _missing_number(column: Any) -> Any:
    return column.isnull() | column.isnan() if column.type().is_floating() else column.isnull()


def wanted_rows(raw: Any, reading: Reading) -> tuple[Any, Any]:
    """Return whether the conditions hold for a row, and where they compare with a number what is none."""
    wanted, unknown = None, None
    for test in reading.tests:
        holds, bad = _holds(raw[reading.role_of_test(test)], test, reading)
        # What cannot be compared is a fault of a row, unless another condition leaves the row out.
        holds = holds if bad is None else holds | bad
        wanted = holds if wanted is None else wanted & holds
        if bad is not None:
            unknown = bad if unknown is None else unknown | bad
    return wanted, None if unknown is None else unknown & wanted


_ORDERED = ("<", "<=", ">", ">=")
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


def _is_day(test: RowTest, kind: Any, reading: Reading) -> bool:
    """Return whether a condition is on dates: texts such as 31.01.1997 have another order than their days."""
    return test.column == reading.date or kind.is_date() or kind.is_timestamp()


def _holds(column: Any, test: RowTest, reading: Reading) -> tuple[Any, Any]:
    """Return whether a comparison holds for a row; a missing value equals nothing and is not ordered."""
    import ibis

    kind, bad = column.type(), None
    _refuse_zone(kind, test.column, f"{argument('where', reading.where)} is to hold")
    first, values = test.values[0], test.values
    if isinstance(first, bool):
        text = column.cast("string").lower()
        column, values = text, tuple("true" if value else "false" for value in values)
    elif isinstance(first, str) and test.sign in _ORDERED and _is_day(test, kind, reading):
        days = test.column == reading.date and re.fullmatch(_DAY, first) is not None
        if not days and (re.match(_DAY, first) is None or reading.format is not None):
            raise InputError(
                f"{argument('where', reading.where)} compares the dates of column {test.column!r} with {first!r}. "
                "Write the day as 1997-01-31, whatever the column's own way of writing days is."
            )
        if days:
            column = _parse_date(column, reading)[0].cast("string")
        elif not kind.is_string():
            column = column.cast("date" if len(first) == 10 else kind).cast("string")
    elif isinstance(first, str):
        # A text of ten signs is a day, whatever the time of day.
        by_day = kind.is_timestamp() and all(len(str(value)) == 10 for value in values)
        if not kind.is_string():
            column = column.cast("date").cast("string") if by_day else column.cast("string")
        if kind.is_floating() or kind.is_decimal():
            # Whole numbers become float where one is missing: '17850' is 17850.0, as it is of an id.
            column = column.re_replace(_ZEROS, "")
            values = tuple(re.sub(_ZEROS, "", str(value)) for value in values)
    else:
        if kind.is_boolean() or kind.is_date() or kind.is_timestamp() or kind.is_nested() or kind.is_binary():
            raise InputError(
                f"{argument('where')} compares column {test.column!r} with the number {first:g}, and the column holds "
                f"{kind}. Compare it with a text, such as '1997-01-31', or with true and false."
            )
        number, _, bad, _ = _parse_number(column, test.column, reading.decimal)
        column, bad = number, bad if kind.is_string() else None
    compared = {
        "==": lambda: column == values[0],
        "!=": lambda: column != values[0],
        "<": lambda: column < values[0],
        "<=": lambda: column <= values[0],
        ">": lambda: column > values[0],
        ">=": lambda: column >= values[0],
        "in": lambda: column.isin(values),
        "not in": lambda: ~column.isin(values),
    }[test.sign]()
    return compared.fill_null(ibis.literal(test.sign in ("!=", "not in"))), bad


def _refuse_zone(kind: Any, name: str, what: str) -> None:
    """Refuse instants, of which engines would take the day in a zone of their own."""
    if kind.is_timestamp() and kind.timezone is not None:
        raise InputError(
            f"Column {name!r} holds timestamps in the time zone {kind.timezone!r}, which do not say on which day of "
            f"the shop {what}. Convert them first: in pandas "
            f"orders[{name!r}].dt.tz_convert('Europe/Berlin').dt.tz_localize(None), in a database a cast to date in "
            "the shop's zone."
        )


def _wrong_type(name: str, kind: Any, rule: str) -> InputError:
    return InputError(
        f"Column {name!r} has the type {kind}, which cannot be used. {rule} Convert the column."
    )


def as_text(value: Any) -> str:
    """Return an id as text; a whole number without its point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
        return str(int(value))
    return str(value)
