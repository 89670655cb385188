"""Columns whose value changes over a customer's life: a price, mails, a tier; with what is planned of them.

A value holds from its date on, until the customer's next. They are kept ragged, as purchase times are
(``customers.sequences``): over ``change``, one path of values after the other, the columns and ``change_time``, from
when each row holds, a time from the end of observation: below 0 it is of the past, from 0 on it is a plan. A path's
first is -inf. ``change_start`` (customer) is the place of the customer's first row; customers with equal paths share
one, so that equal histories are equal numbers, and customers can be chosen and ordered by ``isel`` while the rows stay.

Day d is the time (d - 1, d] from the end of observation, so that a purchase on the first day of a value is made at
it, as an event of a calendar counts from its day on.

Rejected: a row a customer and day, which is a thousand times as large where values hold for months.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import as_numbers, customer_ids
from bayes_clv.customers.columns import check_name
from bayes_clv.customers.orders.log import check_columns
from bayes_clv.customers.sequences import places
from bayes_clv.schema import CHANGE, CUSTOMER, UNSTATED, InputError, argument, describe, either
from bayes_clv.units import days_per

if TYPE_CHECKING:
    import pandas as pd

CHANGE_TIME, CHANGE_START = "change_time", "change_start"
# Of a column: the last day of which its values are known, or that they hold for ever.
KNOWN = "known_until"
EVER = "ever"
CARRY = "carry_forward"

# Whose, from when (a time from the end of observation), and the columns' values, in order of both.
type _Rows = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]


def with_columns_over_time(
    customers: xr.Dataset,
    table: "pd.DataFrame",
    columns: str | Sequence[str] | None = None,
    *,
    before: float | Mapping[str, float] | None = None,
    others: str = "refuse",
) -> xr.Dataset:
    """Return the customers with columns whose values change over time, for ``clv.fit(..., over_time=...)``.

    Parameters
    ----------
    customers
        What ``summarize`` returned, whose end of observation is known.
    table
        A row for each change: ``customer_id``, ``date`` and the columns, numbers or true and false. A value holds from
        its date on, that day included, until the customer's next row; so a mail is 1 on its day and 0 on the first day
        on which it no longer counts. Rows before a customer's first purchase count as far as they hold at it. Rows
        after the end of observation are the plan, which is known to the table's last date: name that day, as with a
        calendar's events.
    columns
        Which columns to attach; all but the customer and the date when left out.
    before
        The value before a customer's first row, and of customers without a row: a number, or one a column. Without it
        every customer needs a value at the first purchase.
    others
        ``"refuse"``, or ``"leave_out"``: rows of customers who are not among these.

    Returns
    -------
    xarray.Dataset
        The customers, with the columns and ``change_time`` over ``change``, and ``change_start`` (see the module). More
        tables may follow, of other columns, whose dates are their own.

    Raises
    ------
    InputError
        For rows without id, date or a finite value, dates that cannot be read, two rows of one customer and day,
        customers who are not known, and those without a value at their first purchase: how many, one, and what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> mails = pd.DataFrame(
    ...     {"customer_id": ["0001", "0001"], "date": ["1997-05-05", "1997-05-19"], "mails": [1, 0]}
    ... )
    >>> mailed = with_columns_over_time(customers, mails, before=0)
    >>> mailed["mails"].sizes["change"] < 10
    True
    """
    end = _end(customers)
    held = set(names_over_time(customers))
    owner, day, values = _read(customers, table, columns, others)
    for name in values:
        if name in customers:
            again = "clv.customers.with_plan says what will be" if name in held else "rename the table's"
            raise InputError(f"The customers have a column {name!r} already: {again}, or drop it first.")
    size = customers.sizes[CUSTOMER]
    first = {name: np.full(size, _before(before, name)) for name in values}
    found = _sorted(
        np.concatenate([np.arange(size), owner]),
        np.concatenate([np.full(size, -np.inf), _times(day, customers)]),
        {name: np.concatenate([first[name], each]) for name, each in values.items()},
    )
    found = _from_the_first_purchase(found, customers)
    owner, _, values = found
    for name, each in values.items():
        bad = np.unique(owner[np.isnan(each)])
        if bad.size:
            remedy = either(f"before={{{name!r}: 0.0}}", "--over-time-before 0")
            raise InputError(
                f"{bad.size:,} of {size:,} customers have no {name!r} at their first purchase, for example customer "
                f"{str(customers[CUSTOMER].to_numpy()[bad[0]])!r}, who came on {_came(customers, bad[0])}. Add a row "
                f"of that day or before, or say what it was until the first row: {remedy}."
            )
    last = max([end, *([] if day.size == 0 else [day.max().astype("datetime64[D]").astype(dt.date)])])
    known = dict.fromkeys(values, last.isoformat()) | {name: customers[name].attrs[KNOWN] for name in held}
    if held:
        found = _joined(size, _rows(customers, list(held)), found)
    return _stored(customers, found, known)


def with_plan(
    customers: xr.Dataset,
    plan: "pd.DataFrame | Mapping[str, float] | str",
    columns: str | Sequence[str] | None = None,
    *,
    others: str = "refuse",
) -> xr.Dataset:
    """Return the customers with what their columns over time will be, after the end of observation.

    Parameters
    ----------
    customers
        With columns over time (:func:`with_columns_over_time`).
    plan
        A table as there, of days after the end of observation: it takes the place of what was known of its columns for
        these days. Who has no row keeps the last value; the plan is known to its last date. Or a number a column, which
        everybody has from the next day on, for ever: ``{"price": 9.90}``. Or ``"carry_forward"``: the last values that
        are known stay, for ever.
    columns
        Which columns of the table are meant, or carried forward; all when left out.
    others
        As there.

    Returns
    -------
    xarray.Dataset
        The customers, for ``clv.predict`` and what else forecasts.

    Raises
    ------
    InputError
        As there; columns that do not change over time, and days that are over.

    Examples
    --------
    >>> import pandas as pd
    >>> mails = pd.DataFrame({"customer_id": ["0001"], "date": ["1997-05-05"], "mails": [1]})
    >>> mailed = with_columns_over_time(customers, mails, before=0)
    >>> nobody = with_plan(mailed, {"mails": 0})
    """
    end = _end(customers)
    held = names_over_time(customers)
    if not held:
        raise InputError(
            "These customers have no columns over time. Attach them first: clv.customers.with_columns_over_time("
            "customers, table)."
        )
    if isinstance(plan, str):
        if plan != CARRY:
            raise InputError(
                f"{argument('plan', plan)} is not known. Give {CARRY!r}, a table, or a number a column."
            )
        wanted = list(held) if columns is None else [columns] if isinstance(columns, str) else list(columns)
        _refuse_other(wanted, held)
        found = customers.copy()
        for name in wanted:
            found[name] = found[name].assign_attrs({KNOWN: EVER})
        return found
    size = customers.sizes[CUSTOMER]
    if isinstance(plan, Mapping):
        _refuse_other(list(plan), held)
        owner, day, last = np.arange(size), np.full(size, np.datetime64(end) + np.timedelta64(1, "D")), EVER
        values = {name: np.full(size, _finite(each, name)) for name, each in plan.items()}
    else:
        owner, day, values = _read(customers, plan, columns, others)
        _refuse_other(list(values), held)
        early = day <= np.datetime64(end)
        if early.any() or not day.size:
            shown = f"{int(early.sum()):,} of {day.size:,} rows" if day.size else "No row"
            raise InputError(
                f"A plan is of days after the end of observation, {end}: {shown} {'are not' if day.size else 'is'}"
                f"{f', for example of {day[early][0]}' if day.size else ''}. What has been comes by "
                "clv.customers.with_columns_over_time."
            )
        last = str(day.max().astype("datetime64[D]"))
    whose, when, past = _rows(customers, list(values))
    over = when < 0
    planned = _sorted(
        np.concatenate([whose[over], owner]),
        np.concatenate([when[over], _times(day, customers)]),
        {name: np.concatenate([past[name][over], each]) for name, each in values.items()},
    )
    rest = [name for name in held if name not in values]
    if rest:
        planned = _joined(size, _rows(customers, rest), planned)
    known = {name: str(customers[name].attrs[KNOWN]) for name in held} | dict.fromkeys(values, last)
    return _stored(customers.drop_vars(list(held)), planned, known)


def names_over_time(customers: xr.Dataset) -> tuple[str, ...]:
    """Return the names of the columns that change over time."""
    return tuple(
        str(name)
        for name, column in customers.data_vars.items()
        if column.dims == (CHANGE,) and name != CHANGE_TIME
    )


def known_for(customers: xr.Dataset, names: Sequence[str]) -> float:
    """Return for how long from the end of observation all of these columns are known, in time units."""
    end, found = np.datetime64(_end(customers)), np.inf
    unit = days_per(str(customers.attrs["time_unit"]))
    for name in names:
        until = str(customers[name].attrs.get(KNOWN, end))
        if until != EVER:
            found = min(found, int((np.datetime64(until) - end).astype(np.int64)) / unit)
    return float(found)


def checked_changes(
    customers: xr.Dataset, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return ``change_time``, ``change_start`` and these columns' values, of customers that may have been edited.

    Raises InputError where a column is not there, and where the three do not belong together.
    """
    held = names_over_time(customers)
    missing = [name for name in names if name not in held]
    if missing:
        alike = missing[0] in customers and customers[missing[0]].dims == (CUSTOMER,)
        have = f" Those that change are {', '.join(held)}." if held else ""
        raise InputError(
            f"{missing[0]!r} is one value a customer, and does not change over time: it is a covariate, "
            f"{argument('covariates', {'purchase': [missing[0]]})}.{have}"
            if alike
            else f"The customers have no column {missing[0]!r} that changes over time.{have} Attach it: "
            "clv.customers.with_columns_over_time(customers, table)."
        )
    whole = all(name in customers for name in (CHANGE_TIME, CHANGE_START))
    begin = np.asarray(customers[CHANGE_TIME], dtype=np.float64) if whole else np.empty(0)
    start = np.asarray(customers[CHANGE_START], dtype=np.float64) if whole else np.empty(0)
    first = np.isneginf(begin)
    rising = bool(begin.size) and np.all((begin[1:] > begin[:-1]) | first[1:])
    valid = whole and rising and first[0] and np.all(np.isfinite(begin) | first) and start.size > 0
    if (
        not valid
        or not np.all((start >= 0) & (start < begin.size))
        or not first[start.astype(np.int64)].all()
    ):
        raise InputError(
            f"{CHANGE_TIME!r} and {CHANGE_START!r} do not say from when whose values hold: they were edited, or come "
            "from other customers. Attach the columns again: clv.customers.with_columns_over_time(customers, table)."
        )
    values = {name: np.asarray(customers[name], dtype=np.float64) for name in names}
    for name, each in values.items():
        if not np.isfinite(each).all():
            raise InputError(
                f"{name!r} is missing or infinite in {int((~np.isfinite(each)).sum()):,} of {each.size:,} rows over "
                "time. Attach the column again, with numbers."
            )
    return begin, start.astype(np.int64), values


def _end(customers: xr.Dataset) -> dt.date:
    """Return the last day of observation."""
    until, unit = str(customers.attrs.get("until", "")), str(customers.attrs.get("time_unit", UNSTATED))
    if CUSTOMER not in customers.dims or not until or unit == UNSTATED or "T" not in customers:
        raise InputError(
            "Columns over time need customers whose end of observation and time unit are known: make them with "
            "clv.summarize."
        )
    return dt.date.fromisoformat(until)


def _times(day: np.ndarray, customers: xr.Dataset) -> np.ndarray:
    """Return from when values of these days hold, from the end of observation, in time units."""
    ago = (day.astype("datetime64[D]") - np.datetime64(str(customers.attrs["until"]))).astype(np.int64)
    return np.asarray((ago - 1) / days_per(str(customers.attrs["time_unit"])))


def _came(customers: xr.Dataset, row: int) -> str:
    unit = days_per(str(customers.attrs["time_unit"]))
    days = int(np.rint(float(customers["T"].to_numpy()[row]) * unit))
    return str(np.datetime64(str(customers.attrs["until"])) - np.timedelta64(days, "D"))


def _refuse_other(wanted: Sequence[str], held: Sequence[str]) -> None:
    other = [name for name in wanted if name not in held]
    if other:
        raise InputError(
            f"The plan has {other[0]!r}, which is no column over time of these customers. They have {', '.join(held)}."
        )


def _finite(value: Any, name: str) -> float:
    number = isinstance(value, int | float | np.number) and np.isfinite(float(value))
    if not number:
        raise InputError(f"The value of {name!r} must be a finite number; it is {value!r}.")
    return float(value)


def _before(before: float | Mapping[str, float] | None, name: str) -> float:
    if before is None or (isinstance(before, Mapping) and name not in before):
        return float("nan")
    return _finite(before[name] if isinstance(before, Mapping) else before, name)


def _read(
    customers: xr.Dataset, table: Any, columns: str | Sequence[str] | None, others: str
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return whose each row of the table is (a place among the customers), its day, and its values."""
    import pandas as pd

    if others not in ("refuse", "leave_out"):
        raise InputError(f"{argument('others', others)} is not known. Use 'refuse' or 'leave_out'.")
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            "Columns over time come from a pandas DataFrame with a row for each change: customer_id, date and the "
            f"columns; given was {type(table).__name__}."
        )
    listed = [columns] if isinstance(columns, str) else columns
    names = (
        [each for each in table.columns if each not in ("customer_id", "date")]
        if listed is None
        else list(listed)
    )
    check_columns(
        list(table.columns), ["customer_id", "date", *names], "the table over time", roles=("columns",)
    )
    if not names:
        raise InputError("The table has no column beside customer_id and date: give it one that changes.")
    for name in names:
        check_name(name)
        if name in (CHANGE, CHANGE_TIME, CHANGE_START) or list(table.columns).count(name) > 1:
            raise InputError(f"{name!r} cannot be the name of a column here, or is there twice. Rename it.")
    ids = customer_ids(table["customer_id"])
    place = {str(key): row for row, key in enumerate(customers[CUSTOMER].to_numpy())}
    owner = np.array([place.get(key, -1) for key in ids], dtype=np.int64)
    unknown = owner < 0
    if unknown.any() and others == "refuse":
        hint = "Is customer_id what the customers are called in the orders? " * bool(unknown.all())
        remedy = either("Leave their rows out: others='leave_out'.", "Correct the ids.")
        raise InputError(
            f"{int(unknown.sum()):,} of {owner.size:,} rows are of customers who are not among these "
            f"{customers.sizes[CUSTOMER]:,}, for example {ids[unknown][0]!r}. {hint}{remedy}"
        )
    table, owner, ids = table.loc[~unknown], owner[~unknown], ids[~unknown]
    day = _days(table["date"])
    values = {}
    for name in names:
        each = as_numbers(table[name], name)
        bad = ~np.isfinite(each)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{name!r} is missing or infinite in {int(bad.sum()):,} of {bad.size:,} rows, for example of customer "
                f"{ids[row]!r} on {day[row]}. A value holds until the next row: leave the row out where it stays, or "
                "correct it; give columns of other days a table of their own."
            )
        values[name] = each
    order = np.lexsort([day, owner])
    twice = np.flatnonzero((np.diff(owner[order]) == 0) & (np.diff(day[order]) == np.timedelta64(0, "D")))
    if twice.size:
        row = order[twice[0] + 1]
        raise InputError(
            f"{twice.size:,} of {owner.size:,} rows are of a customer and day that are there already, for example "
            f"customer {ids[row]!r} on {day[row]}. A column has one value on a day: keep one row, or add them up."
        )
    return owner, day, values


def _days(column: Any) -> np.ndarray:
    """Return dates as days; what is none is refused."""
    import pandas as pd

    dates = column
    if pd.api.types.is_numeric_dtype(column.dtype):
        raise InputError(
            f"The dates are numbers, for example {column.iloc[0]}, of which nobody knows what they count. Convert "
            "them: pandas.to_datetime(..., unit=...)."
        )
    if not pd.api.types.is_datetime64_any_dtype(column):
        texts = column.map(lambda each: each if each is None else str(each))
        dates = pd.to_datetime(texts, format="ISO8601", errors="coerce")
    bad = np.asarray(dates.isna())
    if bad.any():
        shown = column.iloc[int(np.flatnonzero(bad)[0])]
        raise InputError(
            f"{int(bad.sum()):,} of {bad.size:,} dates cannot be read, for example {shown!r}. Write 1997-03-31, or "
            "convert them: pandas.to_datetime(table['date'], dayfirst=True)."
        )
    if getattr(dates.dt, "tz", None) is not None:
        raise InputError(
            "The dates have a time zone, and orders have days. Convert them to days where the shop is: "
            "table['date'].dt.tz_convert(...).dt.tz_localize(None)."
        )
    return np.asarray(dates.to_numpy().astype("datetime64[D]"))


def _sorted(owner: np.ndarray, when: np.ndarray, values: dict[str, np.ndarray]) -> _Rows:
    """Return the rows in order of customers and time, those that were given first before others of their time."""
    order = np.lexsort([np.arange(owner.size), when, owner])
    return owner[order], when[order], {name: each[order] for name, each in values.items()}


def _from_the_first_purchase(rows: _Rows, customers: xr.Dataset) -> _Rows:
    """Return the rows with what holds at each first purchase as the first, and nothing before."""
    owner, when, values = rows
    age = np.asarray(customers["T"], dtype=np.float64)
    when = np.where(when <= -age[owner], -np.inf, when)
    last = np.append((owner[1:] != owner[:-1]) | (when[1:] != when[:-1]), True)
    return owner[last], when[last], {name: each[last] for name, each in values.items()}


def _rows(customers: xr.Dataset, names: Sequence[str]) -> _Rows:
    """Return these columns of all customers, each with its own rows."""
    begin, start, values = checked_changes(customers, names)
    ends = np.append(np.flatnonzero(np.isneginf(begin)), begin.size)
    size = ends[np.searchsorted(ends, start, side="right")] - start
    own = places(start, size)
    return (
        np.repeat(np.arange(start.size), size),
        begin[own],
        {name: each[own] for name, each in values.items()},
    )


def _joined(size: int, one: _Rows, other: _Rows) -> _Rows:
    """Return the columns of both at the times of either."""
    owner = np.concatenate([one[0], other[0]])
    when = np.concatenate([one[1], other[1]])
    order = np.lexsort([when, owner])
    new = np.append(True, (np.diff(owner[order]) != 0) | (when[order][1:] != when[order][:-1]))
    at = np.empty(order.size, dtype=np.int64)
    at[order] = np.cumsum(new) - 1
    values: dict[str, np.ndarray] = {}
    for (_, times, columns), first in ((one, 0), (other, one[0].size)):
        # Of each time the last row that is not after it: every customer has one from the beginning.
        last = np.zeros(int(new.sum()), dtype=np.int64)
        last[at[first : first + times.size]] = np.arange(times.size)
        last = np.maximum.accumulate(last)
        values |= {name: each[last] for name, each in columns.items()}
    return owner[order][new], when[order][new], values


def _stored(customers: xr.Dataset, rows: _Rows, known: Mapping[str, str]) -> xr.Dataset:
    """Return the customers with these rows, equal paths once."""
    owner, when, values = rows
    # A row that says what the one before did is none.
    new = np.append(True, owner[1:] != owner[:-1])
    for each in values.values():
        new[1:] |= each[1:] != each[:-1]
    owner, when, values = owner[new], when[new], {name: each[new] for name, each in values.items()}
    table = np.stack([when, *values.values()], axis=1)
    bounds = np.searchsorted(owner, np.arange(customers.sizes[CUSTOMER] + 1))
    place: dict[bytes, int] = {}
    start, parts, filled = np.empty(bounds.size - 1, dtype=np.int64), [], 0
    for row in range(start.size):
        own = table[bounds[row] : bounds[row + 1]]
        begin = place.setdefault(own.tobytes(), filled)
        if begin == filled:
            parts.append(own)
            filled += own.shape[0]
        start[row] = begin
    stored = np.concatenate(parts)
    found = customers.drop_dims(CHANGE, errors="ignore").drop_vars(CHANGE_START, errors="ignore")
    found = found.assign({CHANGE_TIME: (CHANGE, stored[:, 0]), CHANGE_START: (CUSTOMER, start)})
    for column, name in enumerate(values, start=1):
        found[name] = (CHANGE, stored[:, column], {KNOWN: known[name]})
    return describe(found)
