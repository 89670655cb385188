"""Customers and days with purchases where ids are whole numbers: found by sorting numbers, not by an engine's grouping.

Nearly every order of a log is a day of its own, and an engine groups ten million rows into ten million in five to seven
seconds of a processor, and these into customers in two more. Here id, day and the row's own place are packed into one
whole number each; these sort in a fifth of a second, and equal neighbours are a day. A customer's days then lie side by
side and rise, so that what is asked of customers are differences of running sums. All sums are of whole numbers of
0.0001, so that they are those of any engine; a test holds each against the engine's, to the bit.

A day takes as many bits as the log has days: of two years ten, so that 100,000,000 orders of 10,000,000 customers fit.
Numbers that lie too far apart (shops' ids have 13 digits) are counted through first, by a sort of their own.

Rejected: to give ids of text numbers first, which takes as long as the grouping. Whatever does not fit into 63 bits is
grouped by the engine, and so are sums of logarithms and of discounted amounts.
"""

import dataclasses
import datetime as dt
from typing import Any

import numpy as np

NUMBER = "number"

# Amounts up to here are exact as float64 before they are divided; beyond, an engine divides first.
_EXACT = 2**53
_UNITS = 10_000
_BITS = 63
# What is made of so many rows is gone before the next.
_ROWS = 1 << 20


@dataclasses.dataclass(frozen=True)
class SortedDays:
    """Days with purchases, customer after customer by their numbers, each one's days rising.

    ``customer`` (customer) are the ids and ``begin`` (customer) the row of each one's first day; over rows, ``day`` is
    in days since 1970, ``orders`` the number of the log's rows, ``units`` their money in 0.0001 (None where there are
    no amounts) and ``free`` how many of them were for nothing (None where none is). ``several`` are the places in the
    log of rows that share their customer's day with another.
    """

    customer: np.ndarray
    begin: np.ndarray
    day: np.ndarray
    orders: np.ndarray
    units: np.ndarray | None
    free: np.ndarray | None
    several: np.ndarray

    def table(self) -> Any:
        """Return the same as ``occasions.purchase_occasions`` does, as an Arrow table."""
        import pyarrow as pa

        size = np.diff(self.begin, append=self.day.size)
        found = {
            "customer_id": np.repeat(self.customer, size),
            "date": pa.array(self.day).cast(pa.date32()),
            "orders": self.orders.astype(np.int64),
        }
        if self.units is not None:
            found["spend"] = _decimals(self.units)
            found["free_orders"] = (
                np.zeros(self.day.size, np.int64) if self.free is None else self.free.astype(np.int64)
            )
        # In chunks, which an engine's threads share among them.
        return pa.Table.from_batches(pa.table(found).to_batches(max_chunksize=1 << 17))

    def ids(self) -> np.ndarray:
        """Return the ids as an object array of text, by size."""
        import pyarrow as pa

        texts = pa.array(self.customer).cast(pa.string())
        found: np.ndarray = texts.to_numpy(zero_copy_only=False).astype(object)
        return found

    def customers(self, until: dt.date, end: dt.date, *, all_spend: bool) -> dict[str, np.ndarray]:
        """Return the columns of ``occasions.customer_rows`` that are neither logarithms nor discounted."""
        begin, day = self.begin, self.day
        beyond = np.append(begin[1:], day.size)
        known, seen = (_days_to(day, begin, beyond, _number(last)) for last in (until, end))
        first = day[begin]
        last = np.where(known > begin, day[np.maximum(known, 1) - 1], 0).astype("datetime64[D]")
        last[known == begin] = np.datetime64("NaT", "D")
        late = seen - np.maximum(known, begin) if end > until else np.zeros(begin.size, np.int64)
        found = {
            "first_order": first.astype("datetime64[D]"),
            "last_purchase": last,
            "occasions": known - begin,
            "holdout_purchases": late,
        }
        orders = _sums(self.orders, begin, known, seen, beyond)
        found |= {"all_orders": orders[2], "orders": orders[0], "holdout_orders": orders[1] - orders[0]}
        if self.units is None:
            return found
        money = _sums(self.units, begin, known, seen, beyond)
        of_first = self.units[begin]
        found |= {
            "first_spend": _amounts(of_first),
            "historical_spend": _amounts(money[0]),
            "repeat_spend": _amounts(money[0] - of_first),
            "holdout_spend": _amounts(money[1] - money[0]),
        }
        free = self.free
        found["free_orders"] = (
            np.zeros(begin.size, np.int64) if free is None else _sums(free, begin, known, seen, beyond)[1]
        )
        if all_spend:
            found["all_spend"] = _amounts(money[2])
        return found

    def by_period(self, start: dt.date, until: dt.date, end: dt.date, period_days: int) -> Any:
        """Return what ``periods.period_rows`` counts, as an Arrow table."""
        import pyarrow as pa

        own = (self.day[self.begin] <= _number(until)) if end > until else np.ones(self.begin.size, bool)
        at = self.day
        if not own.all():
            at = at[np.repeat(own, np.diff(self.begin, append=at.size))]
        counts = _counts(at, _number(start), (end - start).days + 1)
        periods = np.add.reduceat(counts, np.arange(0, counts.size, period_days))
        return pa.table({"period": np.arange(periods.size), "occasions": periods})

    def by_day(self, until: dt.date) -> Any:
        """Return what ``periods.day_rows`` adds up, as an Arrow table, from the first day on."""
        import pyarrow as pa

        start, first = int(self.day.min()), self.day[self.begin]
        size = _number(until) - start + 1
        purchases = _counts(self.day, start, size) - _counts(first, start, size)
        found = {
            "date": pa.array(start + np.arange(size, dtype=np.int32)).cast(pa.date32()),
            "purchases": purchases,
        }
        if self.units is not None:
            money = _sums_by(self.day, self.units, start, size)
            found["spend"] = _amounts(money - _sums_by(first, self.units[self.begin], start, size))
        return pa.table(found)

    def repeats(self, until: dt.date, *, with_spend: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the days since the first at all later ones to ``until``, and what each brought where that is asked."""
        age = self.day - np.repeat(self.day[self.begin], np.diff(self.begin, append=self.day.size))
        later = age > 0
        if _number(until) < int(self.day.max()):
            later &= self.day <= _number(until)
        return age[later], _amounts(self.units[later]) if with_spend and self.units is not None else None


def sorted_days(log: Any, rows: Any) -> SortedDays | None:
    """Return customers and their days; None where they do not fit.

    ``rows`` has the customers as ``number``, dates, and amounts of no less than 0 that add up to less than 10^14 where
    there are any.
    """
    with_spend = "spend" in rows.columns
    known = log.fetch(
        rows.aggregate(
            size=rows.count(),
            low=rows[NUMBER].min(),
            high=rows[NUMBER].max(),
            first=rows.date.min(),
            last=rows.date.max(),
        )
    ).to_pylist()[0]
    size, low = known["size"], known["low"]
    if not size:
        return None
    first = _number(known["first"])
    day_bits, place_bits = (_number(known["last"]) - first).bit_length(), (size - 1).bit_length()
    left = _BITS - day_bits - place_bits
    ids = codes = None
    if (known["high"] - low).bit_length() > left:
        if size > 2**31:
            return None
        ids, codes = _counted_through(log, rows, size)
        low = 0
        if (ids.size - 1).bit_length() > left:
            return None
    key, units = _read(log, rows, size, low, first, (day_bits, place_bits), codes)
    del codes
    key.sort()
    days = _days(key, units if with_spend else None, low, first, (day_bits, place_bits))
    return days if ids is None else dataclasses.replace(days, customer=ids)


def _counted_through(log: Any, rows: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids there are, by size, and the place among them of each row's."""
    number, place = np.empty(size, np.int64), 0
    for batch in log.batches(rows.select(NUMBER)):
        number[place : place + batch.num_rows] = batch[NUMBER].to_numpy()
        place += batch.num_rows
    order = np.argsort(number)
    number = number[order]
    new = np.concatenate(([True], number[1:] != number[:-1]))
    ids = number[new]
    del number
    codes = np.empty(size, np.int32)
    codes[order] = np.cumsum(new, dtype=np.int32) - 1
    return ids, codes


def _days(
    key: np.ndarray, units: np.ndarray | None, low: int, first: int, bits: tuple[int, int]
) -> SortedDays:
    """Return the days of sorted keys, a million rows at a time, and their sums in the place of the keys.

    A hundred million rows then need 24 bytes each, and never another array of their length.
    """
    day_bits, place_bits = bits
    size, of_place = key.size, (1 << place_bits) - 1
    day, orders = np.empty(size, np.int32), np.empty(size, np.int32)
    free: np.ndarray | None = None
    customer, begin, several = [], [], []
    last, start, made = -1, 0, 0
    while start < size:
        # A part ends with a customer's day.
        near = key[min(start + _ROWS, size) - 1] | of_place
        end = int(np.searchsorted(key, near, side="right"))
        part = key[start:end]
        place = part & of_place
        part = part >> place_bits
        new = np.flatnonzero(np.concatenate(([True], part[1:] != part[:-1])))
        own = slice(made, made + new.size)
        orders[own] = count = np.diff(new, append=part.size)
        if new.size < part.size:
            several.append(place[np.repeat(count > 1, count)])
        if units is not None:
            amount = units[place]
            zero = amount == 0
            if zero.any():
                free = np.zeros(size, np.int32) if free is None else free
                free[own] = np.add.reduceat(zero, new, dtype=np.int32)
            # Keys before this part's end have been read.
            key[own] = np.add.reduceat(amount, new)
        part = part[new]
        day[own] = (part & ((1 << day_bits) - 1)) + first
        part >>= day_bits
        at = np.flatnonzero(np.concatenate(([part[0] != last], part[1:] != part[:-1])))
        customer.append(part[at])
        begin.append(at + made)
        last, start, made = part[-1], end, made + new.size
    return SortedDays(
        np.concatenate(customer) + low,
        np.concatenate(begin),
        day[:made],
        orders[:made],
        None if units is None else key[:made],
        None if free is None else free[:made],
        np.concatenate(several) if several else np.empty(0, np.int64),
    )


def _read(
    log: Any,
    rows: Any,
    size: int,
    low: int,
    first: int,
    bits: tuple[int, int],
    codes: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return of each row customer, day and place in one whole number, and its amount in 0.0001 where there are any.

    ``bits`` are those of a day and of a place; ``codes``, where given, stand for the ids.
    """
    import pyarrow as pa

    with_spend = "spend" in rows.columns
    key, units = np.empty(size, np.int64), np.empty(size if with_spend else 0, np.int64)
    place = 0
    number = [NUMBER] if codes is None else []
    for batch in log.batches(rows.select(*number, "date", *(["spend"] if with_spend else []))):
        own = slice(place, place + batch.num_rows)
        part = key[own]
        if codes is None:
            np.subtract(batch[NUMBER].to_numpy(), low, out=part, casting="unsafe")
        else:
            part[:] = codes[own]
        part <<= bits[0]
        part |= batch["date"].cast(pa.int32()).to_numpy() - first
        part <<= bits[1]
        part |= np.arange(own.start, own.stop)
        if with_spend:
            units[own] = _units(batch["spend"])
        place = own.stop
    return key, units


def _number(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days


def _days_to(day: np.ndarray, begin: np.ndarray, beyond: np.ndarray, last: int) -> np.ndarray:
    """Return where each customer's days to the last one end."""
    if last >= int(day.max()):
        return beyond
    return begin + np.add.reduceat(day <= last, begin, dtype=np.int64)


def _sums(
    values: np.ndarray, begin: np.ndarray, known: np.ndarray, seen: np.ndarray, beyond: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each customer's sums to ``known``, to ``seen`` and of all."""
    if known is beyond:
        whole = np.add.reduceat(values, begin, dtype=np.int64)
        return whole, whole, whole
    run = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    before = run[begin]
    return run[known] - before, run[seen] - before, run[beyond] - before


def _counts(day: np.ndarray, start: int, size: int) -> np.ndarray:
    """Return how many rows are of each of ``size`` days from ``start`` on."""
    found = np.zeros(size, np.int64)
    for part in _parts(day.size):
        found += np.bincount(day[part] - start, minlength=size)[:size]
    return found


def _sums_by(day: np.ndarray, units: np.ndarray, start: int, size: int) -> np.ndarray:
    """Return the sum of each of ``size`` days from ``start`` on, exact: of halves whose sums float64 holds."""
    found = np.zeros(size, np.int64)
    for part in _parts(day.size):
        at, own = day[part] - start, units[part]
        high, low = (
            np.bincount(at, half, size)[:size].astype(np.int64) for half in (own >> 24, own & 0xFFFFFF)
        )
        found += (high << 24) + low
    return found


def _parts(size: int) -> list[slice]:
    return [slice(first, first + _ROWS) for first in range(0, size, _ROWS)]


def _amounts(units: np.ndarray) -> np.ndarray:
    """Return whole numbers of 0.0001 as the amounts that an engine's cast of the decimals gives."""
    amounts = units / float(_UNITS)
    large = np.abs(units) > _EXACT
    if large.any():
        amounts[large] = units[large] // _UNITS + (units[large] % _UNITS) / float(_UNITS)
    return amounts


def _units(column: Any) -> np.ndarray:
    """Return decimals of four digits as whole numbers of 0.0001: the lower halves of Arrow's 128 bits."""
    words = np.frombuffer(column.buffers()[1], np.int64)
    return words[2 * column.offset : 2 * (column.offset + len(column)) : 2]


def _decimals(units: np.ndarray) -> Any:
    """Return whole numbers of 0.0001, none below 0, as decimals of four digits."""
    import pyarrow as pa

    words = np.zeros(2 * units.size, np.int64)
    words[::2] = units
    return pa.Array.from_buffers(pa.decimal128(18, 4), units.size, [None, pa.py_buffer(words)])
