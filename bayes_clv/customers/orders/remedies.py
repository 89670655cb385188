"""What would read a column that cannot be read: asked of its own values, so that the error can name it."""

from collections.abc import Callable
from typing import Any

from bayes_clv.conditions import name_of
from bayes_clv.customers.orders.amounts import read_amount
from bayes_clv.customers.orders.dates import (
    EXCEL,
    LOOSE,
    SERIALS,
    UNIX,
    UnixDays,
    candidates,
    is_zoned,
    read_format,
    unknown_month,
)
from bayes_clv.customers.orders.log import OrderLog
from bayes_clv.customers.orders.parsing import MISSING_WORDS, NAMES, PROBLEMS, SMALLEST_SPEND
from bayes_clv.schema import argument

# Values that are looked at for the formats to try; whether a format reads a column is then asked of all of it.
_MOST_LOOKED_AT = 2000
# 2024-05, 05/2024, May 2024 and 2024-Q2; and 2024-W15-4.
MONTHS = r"^(\d{4}[-/. ]\d{1,2}|\d{1,2}[-/.]\d{4}|[A-Za-z]{3,9}\.?[ -]\d{4}|\d{4}[- ]?Q[1-4])$"
ISO_WEEKS = r"^\d{4}-?W\d{2}-?[1-7]$"
# What a line of totals has in the place of a customer.
TOTALS = (
    "total",
    "grand total",
    "subtotal",
    "gesamt",
    "gesamtsumme",
    "gesamtergebnis",
    "summe",
    "total général",
    "totale",
)
_LEAVE_OUT = argument("on_bad_rows", "drop")


def advice(log: OrderLog, fault: str) -> str:
    """Return what to do about a fault, in view of the column's own values."""
    role = PROBLEMS[fault].role
    if fault in ("date bad", "spend bad") and _repeats_header(log, role):
        return (
            "They repeat the names of the columns, as files do that were joined end to end: "
            f"{_LEAVE_OUT} leaves them out."
        )
    if fault in ("id missing", "date missing") and _is_total(log):
        return f"{PROBLEMS[fault].advice} A line of totals is no order: {_LEAVE_OUT} leaves it out."
    if fault == "spend missing" and _on_first_lines(log):
        condition = f"{name_of(log.reading.shown('spend'))} >= 0"
        return (
            "All of them are lines of orders of which another line has the amount, as in exports of Shopify: leave "
            f"them out with {argument('where', condition)}."
        )
    if fault == "date bad" and _are_serials(log):
        return (
            f"They look like days as spreadsheets count them, of which 45000 is 2023-03-15: say "
            f"{argument('date_format', EXCEL)}."
        )
    if fault == "date bad" and _are_unix(log):
        return (
            "They look like seconds, or thousandths of them, since 1970 in UTC: say "
            f"{argument('date_format', UNIX)}, which takes the day in UTC. A shop far from it converts them to its own "
            "time first."
        )
    if fault == "date bad" and _all_dates(
        log, lambda column: column.cast("string").strip().re_search(MONTHS)
    ):
        return (
            "They name months, and no days. Export the day of each order: how long a customer has been silent, and "
            "which of two orders came first, are counted in days."
        )
    if fault == "date bad" and _all_dates(
        log, lambda column: column.cast("string").strip().re_search(ISO_WEEKS)
    ):
        return (
            "They are days of ISO weeks. pandas.to_datetime(orders[column], format='%G-W%V-%u') makes dates of them; "
            "pass that table."
        )
    if fault == "date bad" and log.raw.date.type().is_string():
        return _of_dates(log)
    if fault in ("spend bad", "quantity bad", "price bad") and log.raw[role].type().is_string():
        return _of_amounts(log, role)
    if fault == "spend tiny":
        return _of_traces(log, PROBLEMS[fault].advice)
    return PROBLEMS[fault].advice


def _are_serials(log: OrderLog) -> bool:
    """Return whether all dates that are there are numbers such as spreadsheets have for days."""
    low, high = SERIALS
    return _all_dates(
        log,
        lambda column: (
            column.try_cast("float64") if column.type().is_string() else column.cast("float64")
        ).between(low, high),
    )


def _are_unix(log: OrderLog) -> bool:
    """Return whether all dates that are there are seconds since 1970, or parts of them."""
    return _all_dates(
        log,
        lambda column: (
            UnixDays().day(column if column.type().is_string() else column.cast("float64")).notnull()
        ),
    )


def _all_dates(log: OrderLog, like: Callable[[Any], Any]) -> bool:
    """Return whether all dates that are there are numbers of which something holds; no format is given."""
    column = log.raw.date
    if log.reading.format is not None or not (column.type().is_numeric() or column.type().is_string()):
        return False
    missing = column.isnull() | column.cast("string").strip().lower().isin(MISSING_WORDS)
    counted = _counted(log, log.raw, {"like": like(column).fill_null(False), "rows": ~missing})
    return 0 < counted["rows"] == counted["like"]


def _repeats_header(log: OrderLog, role: str) -> bool:
    """Return whether what cannot be read in a column is, in every row, the column's own name."""
    column = log.raw[role]
    if not column.type().is_string():
        return False
    bad = (log.rows.faults & (1 << NAMES.index(f"{role} bad"))) > 0
    again = column.strip().lower() == log.reading.shown(role).lower()
    counted = _counted(log, log.raw, {"header": again.fill_null(False)})
    return 0 < counted["header"] == _counted(log, log.rows, {"bad": (log.rows.faults > 0) & bad})["bad"]


def _is_total(log: OrderLog) -> bool:
    """Return whether one row alone has no date, and has no customer either or one that is called a total."""
    identity, day = (log.raw[role].cast("string").strip().lower() for role in ("customer_id", "date"))
    undated = (day.isnull() | day.isin(MISSING_WORDS)).fill_null(True)
    nobody = (identity.isnull() | identity.isin((*MISSING_WORDS, *TOTALS))).fill_null(True)
    counted = _counted(log, log.raw, {"undated": undated, "total": undated & nobody})
    return counted["undated"] == counted["total"] == 1


def _on_first_lines(log: OrderLog) -> bool:
    """Return whether every line without an amount is of an order of which another line has one."""
    raw = log.raw
    if "order_id" not in raw.columns or log.reading.spend is None:
        return False
    amount = raw.spend.cast("string").strip().lower()
    lines = raw.select(raw.order_id, missing=amount.isnull() | amount.isin(MISSING_WORDS))
    orders = lines.group_by("order_id").agg(lines=lines.count(), gone=lines.missing.sum())
    return _counted(log, orders, {"without": orders.lines == orders.gone})["without"] == 0


def _given(log: OrderLog, role: str) -> Any:
    """Return the values of a column of text that are there, as a table with the column ``given``."""
    texts = log.raw.select(given=log.raw[role].strip())
    return texts.filter(~texts.given.isnull() & ~texts.given.lower().isin(MISSING_WORDS))


def _of_dates(log: OrderLog) -> str:
    default = PROBLEMS["date bad"].advice
    dates = _given(log, "date")
    some = dates.filter(dates.given.re_search(LOOSE))
    parts = some.select(
        date=some.given.re_extract(LOOSE, 1), tail=some.given.re_extract(LOOSE, 2).re_replace("[0-9]", "0")
    )
    found = log.fetch(parts.select("date").distinct().limit(_MOST_LOOKED_AT))["date"].to_pylist()
    tails = log.fetch(parts.select("tail").distinct().limit(20))["tail"].to_pylist()
    if not found:
        return _zoned(log, dates) or default
    tried = candidates(sorted(found)[:: max(1, len(found) // 50)], tails)[:12]
    if log.reading.date_format is not None:
        tried = [each for each in tried if each != log.reading.date_format]
    if any("%z" in each for each in tried):
        # Nobody who writes zones writes the day before the month.
        tried = [each for each in tried if not each.startswith("%Y-%d")]
    unread = _counted(log, dates, {each: read_format(each).day(dates.given).isnull() for each in tried})
    reading = [each for each in tried if unread[each] == 0]
    if len(reading) == 1 and "%z" in reading[0]:
        return _of_zoned(log, dates, reading[0])
    if len(reading) == 1:
        alike = (
            each for each in tried if len(each) == len(reading[0]) and each.lower() != reading[0].lower()
        )
        other = next((each for each in alike if unread[each] > 0), None)
        settled = ""
        if other is not None:
            misfit = dates.filter(read_format(other).day(dates.given).isnull()).limit(1)
            settled = f": {log.fetch(misfit)['given'].to_pylist()[0]!r} settles the order of day and month"
        return f"Say {argument('date_format', reading[0])}, which reads every date of the column{settled}."
    if len(reading) > 1:
        one = dates.limit(1)
        shown = log.fetch(one.select("given", day=read_format(reading[0]).day(one.given))).to_pylist()[0]
        return (
            "The order of day and month is not guessed, and no date of the column settles it: say "
            f"{' or '.join(argument('date_format', each) for each in reading[:3])}. With the first, "
            f"{shown['given']!r} is "
            f"{shown['day']}."
        )
    zoned = _zoned(log, dates)
    if zoned:
        return zoned
    default = unknown_month(sorted(found)) or default
    given = log.reading.date_format
    if given is not None:
        # What was said is no remedy, and may still be the best that there is.
        unread |= _counted(log, dates, {given: read_format(given).day(dates.given).isnull()})
    if unread:
        best = min(unread, key=lambda each: unread[each])
        total = _counted(log, dates, {"all": dates.given.notnull()})["all"]
        if unread[best] < total and not best.startswith("%Y-%m-%d"):
            misfit = dates.filter(read_format(best).day(dates.given).isnull()).limit(1)
            return (
                f"No one format reads the column: {argument('date_format', best)} reads {total - unread[best]:,} of "
                f"its {total:,} dates, and not {log.fetch(misfit)['given'].to_pylist()[0]!r}. Correct the others. "
                f"{default}"
            )
    return default


def _of_zoned(log: OrderLog, dates: Any, form: str) -> str:
    """Return what to do about times with a zone that a format reads."""
    zoned = "A time with a zone does not say on which day of the shop it falls. "
    utc = dates.given.re_search(r"([zZ]|[+-]00:?00)$")
    if _counted(log, dates, {"other": ~utc})["other"]:
        return (
            f"{zoned}Where the times are the shop's own, as Shopify writes them, say {argument('date_format', form)}, "
            "which takes the day as it is written; else convert them first."
        )
    return (
        f"{zoned}All are in UTC: convert them to the shop's own time, or say {argument('date_format', form)}, which "
        "takes the day in UTC, where hours do not matter."
    )


def _zoned(log: OrderLog, dates: Any) -> str:
    some = log.fetch(
        dates.filter(dates.given.re_search(r":[0-9][0-9].*([zZ]|[+-][0-9][0-9]:?[0-9][0-9])$")).limit(1)
    )
    if some.num_rows and is_zoned(some["given"].to_pylist()[0]):
        return (
            "A time with a zone does not say on which day of the shop it falls: convert it to the shop's own time and "
            "write the day."
        )
    return ""


def _of_amounts(log: OrderLog, role: str) -> str:
    default = PROBLEMS[f"{role} bad"].advice
    amounts = _given(log, role)
    tried = [each for each in (",", ".") if each != log.reading.decimal]
    unread = _counted(log, amounts, {each: read_amount(amounts.given, each).isnull() for each in tried})
    total = _counted(log, amounts, {"all": amounts.given.notnull()})["all"]
    reading = [each for each in tried if unread[each] == 0]
    if len(reading) == 1:
        return f"Say {argument('decimal', reading[0])}, which reads every amount of the column."
    if len(reading) > 1:
        return (
            "Is 1,234 a thousand or one and a bit? No amount of the column settles it: say "
            f"{argument('decimal', '.')} or "
            f"{argument('decimal', ',')}."
        )
    best = min(tried, key=lambda each: unread[each])
    now = _counted(log, amounts, {"unread": read_amount(amounts.given, log.reading.decimal).isnull()})[
        "unread"
    ]
    if 2 * unread[best] < total and unread[best] < now:
        return (
            f"{argument('decimal', best)} reads {total - unread[best]:,} of the {total:,} amounts of the column. "
            "Correct "
            "the others."
        )
    return default


def _of_traces(log: OrderLog, default: str) -> str:
    """Return what to do about amounts too small for four decimals; sums of binary fractions leave such traces."""
    raw = log.raw["spend" if log.reading.quantity is None else "price"]
    if raw.type().is_floating():
        small = raw.abs() < SMALLEST_SPEND / 1e4
        if _counted(log, log.raw, {"traces": (raw != 0) & small})["traces"]:
            return (
                "Amounts such as 1e-14 are what sums of binary fractions leave of zero: round the column to the cent "
                "first, in pandas with orders[column].round(2)."
            )
    return default


def _counted(log: OrderLog, table: Any, conditions: dict[str, Any]) -> dict[str, int]:
    """Return how many rows meet each condition."""
    if not conditions:
        return {}
    sums = {f"n{place}": condition.sum() for place, condition in enumerate(conditions.values())}
    row = log.fetch(table.aggregate(**sums)).to_pylist()[0]
    return {name: int(row[f"n{place}"] or 0) for place, name in enumerate(conditions)}
