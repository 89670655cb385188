"""What would read a column that cannot be read: asked of its own values, so that the error can name it."""

from typing import Any

from bayes_clv.customers.orders.amounts import read_amount
from bayes_clv.customers.orders.dates import EXCEL, LOOSE, SERIALS, candidates, is_zoned, read_format
from bayes_clv.customers.orders.log import OrderLog
from bayes_clv.customers.orders.parsing import MISSING_WORDS, PROBLEMS, SMALLEST_SPEND
from bayes_clv.schema import argument

# Values that are looked at for the formats to try; whether a format reads a column is then asked of all of it.
_MOST_LOOKED_AT = 2000


def advice(log: OrderLog, fault: str) -> str:
    """Return what to do about a fault, in view of the column's own values."""
    role = PROBLEMS[fault].role
    if fault == "date bad" and _are_serials(log):
        return (
            f"They look like days as spreadsheets count them, of which 45000 is 2023-03-15: say "
            f"{argument('date_format', EXCEL)}."
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
    column = log.raw.date
    if log.reading.format is not None or not (column.type().is_numeric() or column.type().is_string()):
        return False
    number = column.try_cast("float64") if column.type().is_string() else column.cast("float64")
    low, high = SERIALS
    there = number.between(low, high).fill_null(False)
    missing = column.isnull() | column.cast("string").strip().lower().isin(MISSING_WORDS)
    counted = _counted(log, log.raw, {"like": there, "rows": ~missing})
    return 0 < counted["rows"] == counted["like"]


def _given(log: OrderLog, role: str) -> Any:
    """Return the values of a column of text that are there, as a table with the column ``given``."""
    texts = log.raw.select(given=log.raw[role].strip())
    return texts.filter(~texts.given.isnull() & ~texts.given.lower().isin(MISSING_WORDS))


def _of_dates(log: OrderLog) -> str:
    default = PROBLEMS["date bad"].advice
    dates = _given(log, "date")
    some = dates.filter(dates.given.re_search(LOOSE))
    parts = some.select(
        date=some.given.re_extract(LOOSE, 1), tail=some.given.re_extract(LOOSE, 3).re_replace("[0-9]", "0")
    )
    found = log.fetch(parts.select("date").distinct().limit(_MOST_LOOKED_AT))["date"].to_pylist()
    tails = log.fetch(parts.select("tail").distinct().limit(20))["tail"].to_pylist()
    if not found:
        return _zoned(log, dates) or default
    tried = candidates(sorted(found)[:: max(1, len(found) // 50)], tails)[:12]
    if log.reading.date_format is not None:
        tried = [each for each in tried if each != log.reading.date_format]
    unread = _counted(log, dates, {each: read_format(each).day(dates.given).isnull() for each in tried})
    reading = [each for each in tried if unread[each] == 0]
    if len(reading) == 1:
        other = next((each for each in tried if unread[each] > 0 and len(each) == len(reading[0])), None)
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
    if tried:
        best = min(tried, key=lambda each: unread[each])
        total = _counted(log, dates, {"all": dates.given.notnull()})["all"]
        if unread[best] < total and not best.startswith("%Y-%m-%d"):
            return (
                f"No one format reads the column: {argument('date_format', best)} reads {total - unread[best]:,} "
                "of its "
                f"{total:,} dates. Correct the others. {default}"
            )
    return default


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
    if 2 * unread[best] < total:
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
