"""Days to forecast from: each is an origin, what comes before it is learned from, what comes after it is scored."""

import datetime as dt
import itertools
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np

from bayes_clv.customers.orders.description import Further, Reading
from bayes_clv.customers.orders.reading import read_usable
from bayes_clv.customers.summaries import Day, read_day
from bayes_clv.schema import InputError, argument
from bayes_clv.units import days_per, duration

DAY = np.timedelta64(1, "D")

type Durations = str | float | Sequence[str | float]


def origins(
    orders: Any,
    count: int,
    horizon: Durations,
    *,
    time_unit: str = "week",
    customer_id: str = "customer_id",
    date: str = "date",
    on_bad_rows: Literal["refuse", "drop"] = "refuse",
    **further: Unpack[Further],
) -> np.ndarray:
    """Return evenly spaced days from which the horizon ends within the log, as ``datetime64[D]``.

    The last origin is the latest from which the horizon ends with the last order; the first has half of its days of
    orders before it. One origin is the last.

    Parameters
    ----------
    orders, customer_id, date, on_bad_rows, **further
        As ``clv.summarize`` takes them.
    count
        How many.
    horizon
        How far is forecast, ``"13 weeks"`` or a bare number in ``time_unit``; of several the longest counts.
    time_unit
        Unit of a bare number.

    Raises
    ------
    InputError
        For a log that is too short, and for everything that ``clv.summarize`` refuses in a log.

    Examples
    --------
    >>> clv.scoring.origins(clv.load_cdnow(), 3, "26 weeks").astype(str).tolist()
    ['1997-07-02', '1997-09-30', '1997-12-30']
    """
    log = read_usable(orders, Reading(customer_id, date, None, **further), on_bad_rows)
    return spaced(log.days, count, max(horizon_days(horizon, time_unit).values()))


def horizon_days(horizons: Durations, time_unit: str) -> dict[float, int]:
    """Return the horizons in ``time_unit``, rising, and each in whole days; two alike are refused."""
    given = [horizons] if isinstance(horizons, str | float | int) else list(horizons)
    if not given:
        raise InputError(
            f"{argument('horizons')} is empty. Say how far to forecast, such as '13 weeks' or ['13 weeks', '26 weeks']."
        )
    found: dict[float, int] = {}
    words: dict[int, Any] = {}
    for each in given:
        length = duration(each, time_unit)
        days = round(length * days_per(time_unit))
        if days < 1:
            raise InputError(
                f"The horizon {each!r} is shorter than a day, and orders are known by their day."
            )
        if days in words:
            raise InputError(
                f"{argument('horizons')} names {days} days twice, as {words[days]!r} and as {each!r}. Leave one out."
            )
        found[length], words[days] = days, each
    return dict(sorted(found.items()))


def spaced(days: np.ndarray, count: int, horizon: int) -> np.ndarray:
    """Return ``count`` evenly spaced origins within the days with orders, for a horizon in days."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise InputError(
            f"{argument('origins', count)} must be a whole number from 1, or days such as '1997-09-30'."
        )
    first, last = days[0], days[-1] - horizon * DAY
    learned = int((last - first).astype(int))
    start = learned - learned // 2
    if learned < 1 or (count > 1 and (learned - start) < count - 1):
        raise InputError(
            f"The orders run from {first} to {days[-1]}, {(days[-1] - first).astype(int)} days, and a horizon of "
            f"{horizon} days leaves no room for {count} origin{'s' if count > 1 else ''} with days to learn from. Take "
            f"a shorter horizon{' or fewer origins' if count > 1 else ''}."
        )
    steps = np.linspace(start, learned, count).round() if count > 1 else np.array([learned])
    spread: np.ndarray = first + steps.astype(int) * DAY
    return spread


def checked_origins(
    given: int | Sequence[Day] | Day, days: np.ndarray, horizons: Sequence[int]
) -> np.ndarray:
    """Return the origins, rising; refused are those from which a horizon cannot be scored.

    ``days`` are those with an order, rising, and ``horizons`` in days.
    """
    if isinstance(given, int | np.integer):
        return spaced(days, int(given), max(horizons))
    some = [given] if isinstance(given, str | dt.date | np.datetime64) else list(given)
    if not some:
        raise InputError(f"{argument('origins')} is empty. Give days such as '1997-09-30', or how many.")
    found = np.array([read_day(each, "origins") for each in some], dtype="datetime64[D]")
    for before, after in itertools.pairwise(found):
        if before == after:
            raise InputError(f"{argument('origins')} has {after} twice. Leave one out.")
        if before > after:
            raise InputError(
                f"{argument('origins')} has {after} after {before}. Sort them, the earliest first."
            )
    first, last = days[0], days[-1]
    if found[0] <= first:
        raise InputError(
            f"The origin {found[0]} is not after the first order ({first}), so that there is nothing to learn from. "
            f"The orders run from {first} to {last}; choose later origins."
        )
    for horizon in sorted(horizons, reverse=True):
        ends = found + horizon * DAY
        late = ends > last
        if late.any():
            raise InputError(
                f"From the origin {found[late][0]} a horizon of {horizon} days ends on {ends[late][0]}, and the last "
                f"order is of {last}: the holdout would be shorter than the horizon. The latest origin for this "
                f"horizon is {last - horizon * DAY}; choose earlier origins or a shorter horizon."
            )
        # The first day with an order after each origin.
        empty = days[np.searchsorted(days, found, side="right")] > ends
        if empty.any():
            origin = found[empty][0]
            raise InputError(
                f"There is no order from {origin + DAY} to {ends[empty][0]}, the {horizon} days after the origin "
                f"{origin}, so that nothing can be scored there. Is the log complete? Choose another origin or a "
                "longer horizon."
            )
    return found
