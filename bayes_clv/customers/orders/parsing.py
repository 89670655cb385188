"""Ids, days and amounts: how each is read, and what can be wrong with it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bayes_clv.schema import InputError

# How missing values look after a detour through text. No customer is called "nan".
MISSING_WORDS = ("", "nan", "na", "n/a", "<na>", "nat", "null", "none")


ISO = r"^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?)?$"


COMPACT = r"^(19|20|21)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$"


NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


# Whole numbers up to here are exact as float64; above it two ids may have become one.
EXACT_FLOAT = 2.0**53


# decimal(18,4) holds amounts below this; the smallest it can tell from zero is half of 0.0001.
LARGEST_SPEND = 1e14


SMALLEST_SPEND = 0.00005


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read; ``spend`` is None for a log without amounts."""

    customer_id: str = "customer_id"
    date: str = "date"
    spend: str | None = "spend"

    def wanted(self) -> list[str]:
        """Return the names in use."""
        return [name for name in (self.customer_id, self.date, self.spend) if name is not None]


@dataclass(frozen=True)
class Problem:
    """Why a row cannot be used: the column's role, what is wrong with it, and what to do."""

    role: str
    what: str
    advice: str


PROBLEMS = {
    1: Problem("customer_id", "a missing customer id", "Give each order the id of its customer."),
    2: Problem(
        "customer_id",
        "an id that is a fraction or too large to be exact as a decimal number",
        "Read the ids as text.",
    ),
    3: Problem("date", "a missing date", "Give each order its day."),
    4: Problem(
        "date",
        "a date that cannot be read",
        "Write dates as 1997-01-31, 1997-01-31 14:30:00 or 19970131, in the years 1900 to 2199.",
    ),
    5: Problem("spend", "a missing spend", "Fill in the amount; a free order is 0."),
    6: Problem(
        "spend",
        "a spend that is not a number",
        "Write amounts as plain numbers such as 1234.50: no currency sign, no thousands separator, a point "
        "before the decimals.",
    ),
    7: Problem("spend", "an infinite spend or one of 10^14 and more", "Correct the amount."),
    8: Problem(
        "spend",
        "a negative spend",
        "A negative amount is a return: net it against the order it returns, and remove the order where "
        "nothing is left.",
    ),
    9: Problem(
        "spend",
        "a spend above zero that rounds to zero (four decimals are kept)",
        "State the amounts in a smaller unit of money.",
    ),
}


def advice(number: int, shown: str) -> str:
    """Return what to do about a problem; a date that failed for a known reason gets that reason."""
    if number == 4:
        if re.search(r"\d:\d\d.*([zZ]|[+-]\d\d:?\d\d)'", shown):
            return (
                "A time with a zone does not say on which day of the shop it falls: convert it to the shop's "
                "own time and write the day."
            )
        if re.search(r"'\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", shown):
            return (
                "The order of day and month is not guessed: write 1997-01-31, for example with "
                "pandas.to_datetime(column, format='%d/%m/%Y')."
            )
    return PROBLEMS[number].advice


def named_columns(columns: Columns) -> tuple[str, str, str]:
    """Return the names of the columns of ids, days and spend, as a message shows them."""
    return columns.customer_id, columns.date, columns.spend or ""


def parse(raw: Any, columns: Columns, views: Any, keep: Sequence[str] = ()) -> Any:
    """Return parsed columns and the number of each row's first problem.

    ``views`` is the engine in which each step becomes a view, or None to leave one expression.
    """
    import ibis

    def step(name: str, table: Any) -> Any:
        return table if views is None else views.create_view(name, table)

    texts = [
        name
        for name in ("customer_id", "date", "spend")
        if name in raw.columns and raw[name].type().is_string()
    ]
    raw = step("order_texts", raw.mutate(**{name: raw[name].strip() for name in texts}))
    identity, id_missing, id_bad = _parse_id(raw.customer_id, columns.customer_id)
    day, date_missing, date_bad = _parse_date(raw.date, columns.date)
    values = {"customer_id": identity, "id_missing": id_missing, "id_bad": id_bad}
    values |= {"date": day, "date_missing": date_missing, "date_bad": date_bad}
    if columns.spend is not None:
        amount, spend_missing, spend_bad = _parse_number(raw.spend, columns.spend)
        values |= {"spend": amount, "spend_missing": spend_missing, "spend_bad": spend_bad}
    table = step("order_values", raw.select(**values, **{name: raw[name] for name in keep}))
    problems = [(table.id_missing, 1), (table.id_bad, 2), (table.date_missing, 3), (table.date_bad, 4)]
    parsed = {"customer_id": table.customer_id, "date": table.date}
    if columns.spend is not None:
        amount = table.spend
        problems += [
            (table.spend_missing, 5),
            (table.spend_bad, 6),
            (amount.abs() >= LARGEST_SPEND, 7),
            (amount < 0, 8),
            ((amount > 0) & (amount < SMALLEST_SPEND), 9),
        ]
        kept = (amount >= 0) & (amount < LARGEST_SPEND)
        parsed["spend"] = ibis.ifelse(kept, amount, ibis.null("float64")).cast("decimal(18, 4)")
    return table.select(
        **parsed, problem=ibis.cases(*problems, else_=0), **{name: table[name] for name in keep}
    )


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
        missing = column.isnull() | column.isnan() if kind.is_floating() else column.isnull()
        number = ibis.ifelse(missing, ibis.null(kind), column)
        exact = (number.abs() < EXACT_FLOAT) & (number.floor() == number)
        return ibis.ifelse(exact, number, ibis.null(kind)).cast("int64").cast("string"), missing, ~exact
    raise _wrong_type(name, kind, "Customer ids are text or whole numbers.")


def _parse_date(column: Any, name: str) -> tuple[Any, Any, Any]:
    """Return the day, whether it is missing, and whether it cannot be read."""
    import ibis

    kind = column.type()
    if kind.is_date() or kind.is_timestamp():
        if kind.is_timestamp() and kind.timezone is not None:
            raise InputError(
                f"Column {name!r} holds timestamps in the time zone {kind.timezone!r}, which do not say on "
                "which day of the shop an order falls. Convert them first: in pandas "
                f"orders[{name!r}].dt.tz_convert('Europe/Berlin').dt.tz_localize(None), in a database a cast "
                "to date in the shop's zone."
            )
        day = column.cast("date")
        usable = day.year().between(1900, 2199)
        return ibis.ifelse(usable, day, ibis.null("date")), column.isnull(), ~usable
    if kind.is_string():
        text = column
    elif kind.is_integer() or kind.is_floating():
        text, _, _ = _parse_id(column, name)
    else:
        raise _wrong_type(name, kind, "Dates are dates, timestamps, or text such as 1997-01-31 or 19970131.")
    missing = column.isnull()
    if kind.is_floating():
        missing = missing | column.isnan()
    elif kind.is_string():
        missing = missing | text.lower().isin(MISSING_WORDS)
    written = ibis.cases(
        (text.re_search(ISO), text.substr(0, 10)),
        (text.re_search(COMPACT), text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)),
        else_=ibis.null("string"),
    )
    # The patterns let 30 February through; the cast does not.
    day = written.try_cast("date")
    return day, missing, day.isnull()


def _parse_number(column: Any, name: str) -> tuple[Any, Any, Any]:
    """Return the amount as float64, whether it is missing, and whether it is not a number."""
    import ibis

    kind = column.type()
    never = ibis.literal(False)
    if kind.is_string():
        missing = column.isnull() | column.lower().isin(MISSING_WORDS)
        number = ibis.ifelse(column.re_search(NUMBER), column, ibis.null("string")).try_cast("float64")
        return number, missing, number.isnull()
    if kind.is_floating():
        missing = column.isnull() | column.isnan()
        return ibis.ifelse(missing, ibis.null(kind), column).cast("float64"), missing, never
    if kind.is_integer() or kind.is_decimal():
        return column.cast("float64"), column.isnull(), never
    raise _wrong_type(name, kind, "Spend is a number.")


def _wrong_type(name: str, kind: Any, rule: str) -> InputError:
    return InputError(
        f"Column {name!r} has the type {kind}, which cannot be used. {rule} Convert the column."
    )


def as_text(value: Any) -> str:
    """Return an id as text; a whole number without its point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
        return str(int(value))
    return str(value)
