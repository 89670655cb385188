"""Dates as text: ISO and yyyymmdd as they stand, anything else by a format in the words of ``strptime``.

A format becomes a pattern and the date is put together from its parts, since engines disagree about formats and about
what they accept beside them. Which formats read a column, and whether one of its values settles the order of day and
month, is asked of the data where its dates cannot be read.
"""

import itertools
import re
from dataclasses import dataclass
from typing import Any

from bayes_clv.customers.orders.months import LANGUAGES, month_names, names_by_month
from bayes_clv.customers.orders.months import pattern as month_pattern
from bayes_clv.schema import InputError, argument

_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:([0-5][0-9]|60)([.,][0-9]+)?)?"

ISO = rf"^(19|20|21)[0-9]{{2}}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]{_TIME})?$"


COMPACT = r"^(19|20|21)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$"


# A date in any order at the beginning of a text, and what comes after it.
_ORDINAL = "(?:er|º|ª|st|nd|rd|th)?"
_BETWEEN = "[.] | de | of |[./ -]"
_NAME = r"[\pL\pM]{3,12}[.]?"
LOOSE = (
    rf"^([0-9]{{1,4}}{_ORDINAL}(?:{_BETWEEN})(?:[0-9]{{1,2}}|{_NAME})(?:{_BETWEEN})[0-9]{{1,4}}"
    rf"|{_NAME} [0-9]{{1,2}},? [0-9]{{4}})(.*)$"
)
# The same in Python, where letters are called otherwise: day or year, month, year or day, and what is between them.
_DATE = re.compile(
    rf"(\d{{1,4}}{_ORDINAL})({_BETWEEN})(\d{{1,2}}|[^\W\d_][^\d_/ -]*?[.]?)({_BETWEEN})(\d{{1,4}})"
)
_MONTH_FIRST = re.compile(r"([^\W\d_][^\d_/ -]*?)[.]? \d{1,2}(,?) \d{4}")

# What a word of a format stands for: a part of the day, or nothing that decides it.
_PARTS = {
    "%Y": ("year", "((?:19|20|21)[0-9]{2})"),
    "%y": ("short year", "([0-9]{2})"),
    "%m": ("month", "(0?[1-9]|1[0-2])"),
    "%d": ("day", f"(0?[1-9]|[12][0-9]|3[01]){_ORDINAL}"),
    "%e": ("day", f"(0?[1-9]|[12][0-9]|3[01]){_ORDINAL}"),
    # Their patterns are made where one is wanted.
    "%b": ("month name", ""),
    "%B": ("month name", ""),
    "%a": ("", r"[\pL\pM]{2,}[.]?"),
    "%A": ("", r"[\pL\pM]{2,}[.]?"),
    "%H": ("", "(?:[01]?[0-9]|2[0-3])"),
    "%I": ("", "(?:0?[1-9]|1[0-2])"),
    "%M": ("", "[0-5]?[0-9]"),
    "%S": ("", "(?:[0-5]?[0-9]|60)"),
    "%f": ("", "[0-9]{1,9}"),
    "%p": ("", "[AaPp][.]?[Mm][.]?"),
    # The day is that of the clock which was read: in the shop's own time where its program writes that.
    "%z": ("", "(?:[zZ]|[+-][0-9]{2}:?[0-9]{2})"),
    "%%": ("", "%"),
}
_JOINED = {"%T": "%H:%M:%S", "%R": "%H:%M", "%F": "%Y-%m-%d", "%D": "%m/%d/%y"}


# What ``date_format`` says of days as spreadsheets count them, and the first and last of them that are read.
EXCEL = "excel"
_FIRST_SERIAL, _LAST_SERIAL = 61, 109_574
# Numbers that are more likely such days (1954 to 2119) than anything else that a column of dates may hold.
SERIALS = (20_000, 80_000)
# What ``date_format`` says of seconds since 1970, and of thousandths to billionths of them; up to the year 2199.
UNIX = "unix"
_UNIX_UNITS = ((1e8, 1), (1e11, 1_000), (1e14, 1_000_000), (1e17, 1_000_000_000))
_LAST_UNIX = 7_258_118_400


@dataclass(frozen=True)
class DateFormat:
    """A format as a pattern, with the part of the date that each of its groups holds."""

    pattern: str
    parts: tuple[str, ...]

    def day(self, text: Any) -> Any:
        """Return the day of an Ibis column of text, null where the format does not read it."""
        import ibis

        def part(kind: str) -> Any:
            return text.re_extract(self.pattern, self.parts.index(kind) + 1)

        if "year" in self.parts:
            year = part("year")
        else:
            # POSIX: 69 to 99 are of the last century.
            year = ibis.ifelse(part("short year") < "69", "20", "19") + part("short year")
        if "month" in self.parts:
            month = part("month").lpad(2, "0")
        else:
            name = part("month name").lower()
            month = ibis.cases(
                *[(name.isin(names), f"{number:02d}") for number, names in names_by_month().items()],
                else_=ibis.null("string"),
            )
        written = year + "-" + month + "-" + part("day").lpad(2, "0")
        return ibis.ifelse(text.re_search(self.pattern), written, ibis.null("string")).try_cast("date")


@dataclass(frozen=True)
class SerialDays:
    """Days as spreadsheets count them: 1 is 1 January 1900, 45,000 is 15 March 2023; fractions are times of day.

    Before March 1900 Excel counts a day that never was, so that nothing before is read.
    """

    def day(self, numbers: Any) -> Any:
        """Return the day of an Ibis column of numbers, or of numbers as text; null where it is none of 1900 to 2199."""
        import ibis

        number = numbers
        if numbers.type().is_string():
            plain = numbers.re_search(r"^[0-9]{1,6}([.][0-9]*)?$")
            number = ibis.ifelse(plain, numbers, ibis.null("string")).try_cast("float64")
        known = (number >= _FIRST_SERIAL) & (number < _LAST_SERIAL + 1)
        days = ibis.ifelse(known, number, ibis.null("float64")).floor().cast("int32")
        return _day_after("1899-12-30", days)


def _day_after(start: str, days: Any) -> Any:
    """Return a day that is so many days after another. Engines make a time of that sum, and Ibis calls it a day."""
    import ibis

    return (ibis.date(start) + days.as_interval("D")).cast("timestamp").cast("date")


@dataclass(frozen=True)
class UnixDays:
    """Days of seconds since 1970-01-01 in UTC, or of thousandths to billionths of them: their size says which.

    Seconds before March 1973 would be thousandths of another time, and are not read.
    """

    def day(self, numbers: Any) -> Any:
        """Return the day in UTC of an Ibis column of numbers, or of numbers as text; null where it is no such time."""
        import ibis

        number = numbers
        if numbers.type().is_string():
            plain = numbers.re_search(r"^[0-9]{9,19}([.][0-9]*)?$")
            number = ibis.ifelse(plain, numbers, ibis.null("string")).try_cast("float64")
        seconds = ibis.cases(
            *[((number >= low) & (number < _LAST_UNIX * unit), number / unit) for low, unit in _UNIX_UNITS],
            else_=ibis.null("float64"),
        )
        return _day_after("1970-01-01", (seconds / 86_400).floor().cast("int32"))


def read_format(text: Any) -> DateFormat | SerialDays | UnixDays:
    """Return what a format of ``strptime`` reads; one that gives no day, or has other words, is refused."""
    if not isinstance(text, str):
        raise InputError(
            f"{argument('date_format', text)} is no text. Write it like {argument('date_format', '%d/%m/%Y')}."
        )
    whole = text.strip()
    if whole.lower() == EXCEL:
        return SerialDays()
    if whole.lower() == UNIX:
        return UnixDays()
    for short, long in _JOINED.items():
        whole = whole.replace(short, long)
    pattern, parts = [], []
    for piece in re.findall(r"%.?|\s+|[^%\s]+", whole):
        if piece.isspace():
            pattern.append(r"\s+")
        elif not piece.startswith("%"):
            pattern.append(re.escape(piece))
        elif piece in _PARTS:
            kind, found = _PARTS[piece]
            pattern.append(month_pattern(short=piece == "%b") if kind == "month name" else found)
            parts += [kind] if kind else []
        else:
            zone = " A zone that is a name does not say which day is meant: convert the times first." * (
                piece == "%Z"
            )
            raise InputError(
                f"{argument('date_format', text)} has {piece!r}, which is not known here. Known are "
                f"{', '.join([*_PARTS, *_JOINED])}.{zone}"
            )
    kinds = sorted(part.split()[-1] if part == "short year" else part.split()[0] for part in parts)
    if kinds != ["day", "month", "year"]:
        raise InputError(
            f"{argument('date_format', text)} must hold year, month and day, once each. Write it like "
            f"{argument('date_format', '%d/%m/%Y')}, or '%m/%d/%Y %H:%M' where there are times."
        )
    return DateFormat(f"^{''.join(pattern)}$", tuple(parts))


_ZONE = r"[zZ]|[+-]\d\d:?\d\d"


def is_zoned(text: str) -> bool:
    """Return whether a text is a time with a zone."""
    return re.search(rf"\d:\d\d.*({_ZONE})$", text) is not None


def candidates(dates: list[str], tails: list[str]) -> list[str]:
    """Return formats that may read dates as they are written, day first before month first.

    ``dates`` are the beginnings of texts that ``LOOSE`` finds, and ``tails`` what comes after them.
    """
    found = []
    for text in dates:
        if (named := _MONTH_FIRST.fullmatch(text)) is not None:
            found.append(f"{_word_of(named[1])} %d{named[2]} %Y")
        elif (parts := _DATE.fullmatch(text)) is not None:
            first, one, middle, other, last = parts.groups()
            month = "%m" if middle.isdigit() else _word_of(middle)
            if len(first) == 4 and first.isdigit():
                orders = [("%Y", month, "%d")] + ([("%Y", "%d", "%m")] if month == "%m" else [])
            else:
                year = "%Y" if len(last) == 4 else "%y"
                orders = [("%d", month, year)] + ([("%m", "%d", year)] if month == "%m" else [])
            found += [order[0] + one + order[1] + other + order[2] for order in orders]
    times = list(dict.fromkeys(_time_format(tail) for tail in tails)) or [""]
    known = [each for each in times if each is not None]
    return list(dict.fromkeys(date + time for date, time in itertools.product(dict.fromkeys(found), known)))


def _word_of(month: str) -> str:
    """Return the word of a format that reads a month's name."""
    return "%b" if month.lower().removesuffix(".") in month_names().short else "%B"


def unknown_month(dates: list[str]) -> str:
    """Return what to say of the first name in the place of a month that is none, or of two; nothing where all are."""
    known = month_names()
    for text in dates:
        found = _MONTH_FIRST.fullmatch(text) or _DATE.fullmatch(text)
        name = "" if found is None else found[1 if found.re is _MONTH_FIRST else 3]
        plain = name.lower().removesuffix(".")
        if plain in known.unclear:
            months = " or ".join(map(str, known.unclear[plain]))
            return f"In {text!r}, {name!r} may be month {months}: write whole names, or months as numbers."
        if plain and not plain.isdigit() and plain not in known.short and plain not in known.whole:
            *most, last = LANGUAGES.values()
            return (
                f"In {text!r}, {name!r} is no month's name in {', '.join(most)} or {last}, which are read: write "
                "months as numbers."
            )
    return ""


def _time_format(tail: str) -> str | None:
    """Return the format of the time behind a date; None where it is none."""
    match = re.fullmatch(
        rf"(,?[ T]+)?(\d{{1,2}}):(\d\d)(:\d\d)?(?:([.,])\d+)?( ?)([AaPp]\.?[Mm]\.?)?( ?)({_ZONE})?", tail
    )
    if not tail:
        return ""
    if match is None or match.group(1) is None:
        return None
    before, _, _, seconds, fraction, blank, half, apart, zone = match.groups()
    hour = "%I" if half else "%H"
    behind = f"{':%S' if seconds else ''}{f'{fraction}%f' if fraction else ''}{f'{blank}%p' if half else ''}"
    # The blank before a zone is the first that may be there.
    behind += f"{apart if half else blank}%z" if zone else ""
    return f"{before}{hour}:%M{behind}"
