"""What a table of orders says, in plain Python: the fuzzer's reference, which knows no engine."""

import datetime as dt
import decimal
import math
import re
import uuid
from collections import defaultdict

import pandas as pd
import pyarrow as pa

# Of what counts as missing, the words in the fuzzer's pools.
MISSING = ("", "nan", "na", "n/a", "<na>", "nat", "null", "none")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
TIME = r"(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:[.,]\d+)?)?)?"
DAY = re.compile(rf"(\d{{4}})(-?)(\d\d)\2(\d\d)((?<=-\d\d){TIME})?", re.ASCII)
NO_USE = {bool, dt.timedelta, pd.Timedelta, dt.time, bytes, list, dict}
NUMBERS = (int, float, decimal.Decimal)


class Refused(Exception):
    """The table cannot be used."""


def cells_of(column):
    """Return cells, None where missing; those of several kinds, and of a kind that no engine has, as their text."""
    gone = [c is None or str(c).strip().lower() in MISSING or c != c for c in column]
    kinds = {type(c) for c, no in zip(column, gone, strict=True) if not no}
    if len(kinds) == 1 and kinds <= NO_USE:
        raise Refused(kinds)
    alike = kinds <= set(NUMBERS) or len(kinds) == 1 or all(issubclass(k, dt.date) for k in kinds)
    alike = alike and not kinds & {complex, pd.Interval, pd.Period, pa.MonthDayNano}
    whole = [int(c) if isinstance(c, float) and c.is_integer() else c for c in column]
    texts = column if alike else map(str, whole)
    return [None if no else text for no, text in zip(gone, texts, strict=True)]


def identity(cell):
    if isinstance(cell, float | decimal.Decimal):
        if not math.isfinite(cell) or cell != int(cell) or abs(cell) >= 2**53:
            raise ValueError(cell)
        cell = int(cell)
    if not isinstance(cell, str | int | uuid.UUID):
        raise Refused("ids are text or whole numbers")
    return str(cell).strip()


def day(cell):
    if getattr(cell, "tzinfo", None) is not None or isinstance(cell, decimal.Decimal):
        raise Refused("a zone, or a number with decimals")
    if not isinstance(cell, dt.date):
        found = DAY.fullmatch(identity(cell))
        if not found:
            raise ValueError(cell)
        cell = dt.date(*map(int, found.group(1, 3, 4)))
    if not 1900 <= cell.year <= 2199:
        raise ValueError(cell)
    return dt.date(cell.year, cell.month, cell.day)


def amount(cell):
    if not isinstance(cell, str | int | float | decimal.Decimal):
        raise Refused("amounts are numbers")
    if isinstance(cell, str) and not NUMBER.fullmatch(cell.strip()):
        raise ValueError(cell)
    found = float(cell)
    lost = isinstance(cell, str) and found == 0 and re.match(r"[^eE]*[1-9]", cell)
    if abs(found) >= 1e14 or lost or 0 < abs(found) < 0.00005:
        raise ValueError(cell)
    return round(found, 4)


def summary(ids, dates, spends, *, drop):
    """Return (frequency, recency and T in days, mean repeat spend, whole spend) by id, with returns netted."""
    rows = []
    for cells in zip(*map(cells_of, (ids, dates, spends)), strict=True):
        try:
            if None in cells:
                raise ValueError(cells)
            rows.append([read(cell) for read, cell in zip((identity, day, amount), cells, strict=True)])
        except (ValueError, OverflowError):
            if not drop:
                raise Refused(cells) from None
    own, found = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0, False])), {}
    for who, when, money in rows:
        own[who][when][money < 0] += abs(money)
        own[who][when][2] |= money >= 0
    for who, days in own.items():
        stack = []
        for when, (bought, back, purchase) in sorted(days.items()):
            stack += [[when, bought, bought]] if purchase else []
            for entry in reversed(stack):
                taken = min(entry[1], back)
                entry[1], back = round(entry[1] - taken, 4), round(back - taken, 4)
        if left := [(when, rest) for when, rest, gross in stack if rest > 0 or gross == 0]:
            spent, until = [rest for _, rest in left], max(when for _, when, _ in rows)
            repeat = math.fsum(spent[1:]) / (len(left) - 1) if len(left) > 1 else math.nan
            ages = [(when - left[0][0]).days for when in (left[-1][0], until)]
            found[who] = (len(left) - 1, *ages, repeat, math.fsum(spent))
    if not found:
        raise Refused("nothing is left")
    return found
