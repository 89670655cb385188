"""Levers of days to come: a promotion, whose effect is stated, and an event, whose effect the calendar has learned.

Both multiply the purchase rate of the customers whom a scenario reaches, on some days. As with a calendar (``inference.
calendar``) that is a change of time: on those days the clock of purchases runs so many times as fast, and whatever goes
by purchases, leaving after one and a rate that drifts or sleeps, goes with it. Where customers leave at a time of their
own a clock would hasten that too, so that both levers are refused there.

An event's effect is exp(coefficient x how much more of it there is in the period), of each draw its own coefficient:
what is planned already stands in the base, and a value of 0 takes it away. What a promotion only brings forward is not
known here: the days after it are as they were.
"""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.distributions.paths.clock import Window
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import InputError
from bayes_clv.units import days_per
from bayes_clv.valuation.levers import EVENT, PROMOTION, Amount, read_amount

_KEYS = {PROMOTION: ("effect", "from", "until"), EVENT: ("name", "from", "until", "value")}
_EXAMPLES = {
    PROMOTION: 'promotion = {effect = "+30 %", from = "2026-12-01", until = "2026-12-14"}',
    EVENT: 'event = {name = "sale", from = "2026-12-01", until = "2026-12-14"}, and value = 0 for none of it',
}


@dataclass(frozen=True)
class Dated(Amount):
    """What holds on some days: the ``first`` and the ``last`` of them, or times from now; of an event its ``name``."""

    first: Any = None
    last: Any = None
    name: str = ""


def read_dated(lever: str, given: Any, place: str) -> Dated:
    """Return a promotion or an event as it was written; what cannot be is refused, beginning with ``place``."""
    keys = _KEYS[lever]
    needed = [key for key in keys if key != "value"]
    if not isinstance(given, Mapping) or set(given) - set(keys) or set(needed) - set(given):
        raise InputError(
            f"{place}: {lever} is {given!r}. It has {', '.join(needed)}, such as {_EXAMPLES[lever]}."
        )
    first, last = (_day(given[key], f"{place}: {lever}, {key}") for key in ("from", "until"))
    days = f"from {_said(first)} until {_said(last)}"
    if not _in_order(first, last):
        raise InputError(f"{place}: {lever} goes {days}. Write two days in their order.")
    if lever == PROMOTION:
        effect = read_amount(f"{lever}, effect", given["effect"], place)
        if not effect.relative:
            raise InputError(
                f'{place}: the effect of a promotion is {effect.text}. Write the change of purchases, such as "+30 %".'
            )
        return Dated(effect.value, True, f"{effect.text} {days}", place, first, last)
    value = given.get("value", 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(
            f"{place}: the value of an event is {value!r}. Write a number: 1, or 0 for none of it."
        )
    name = str(given["name"])
    return Dated(float(value), False, f"{value:g} of {name} {days}", place, first, last, name)


def _day(given: Any, place: str) -> dt.date | float:
    if isinstance(given, dt.datetime):
        return given.date()
    if isinstance(given, dt.date):
        return given
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < math.inf:
        return float(given)
    try:
        return dt.date.fromisoformat(given)
    except (TypeError, ValueError):
        raise InputError(
            f"{place} is {given!r}. Write a day such as 2026-12-01, or a time from the end of the data in their unit."
        ) from None


def _in_order(first: dt.date | float, last: dt.date | float) -> bool:
    if isinstance(first, float) or isinstance(last, float):
        return isinstance(first, float) and isinstance(last, float) and first < last
    return first <= last


def _said(day: dt.date | float) -> str:
    return f"{day:g}" if isinstance(day, float) else day.isoformat()


def windows_of(simulation: Simulation, lever: str, stated: Dated, factor: np.ndarray) -> list[Window]:
    """Return when and how much faster customers buy; ``factor`` (draw,) is a promotion's.

    Raises InputError for days that are not to come within the simulation, a law by which customers leave at a time of
    their own, and an event that the posterior's calendar does not have.
    """
    title = simulation.buying.family.words.title
    if simulation.plan.law.lasting:
        raise InputError(
            f"{stated.place}: by {title} customers leave at a time of their own, which the clock of a {lever} would "
            "hasten too. Change purchase_rate, or fit a family in which they leave at a purchase, such as mbg_nbd."
        )
    found = [(*_times(simulation, stated), factor)] if lever == PROMOTION else _of_event(simulation, stated)
    return [each for each in found if (each[2] != 1).any()]


def _times(simulation: Simulation, stated: Dated) -> tuple[float, float]:
    """Return from when to when, in time units from the end of observation."""
    first, last = stated.first, stated.last
    unit = simulation.inputs.time_unit
    if not isinstance(first, float):
        start, end = _days_ahead(simulation, stated)
        first, last = (start - 1) / days_per(unit), end / days_per(unit)
    if first >= simulation.horizon:
        raise InputError(
            f"{stated.place}: {stated.text} is beyond the horizon, {simulation.horizon:g} {unit}s. Simulate farther."
        )
    return float(first), float(last)


def _days_ahead(simulation: Simulation, stated: Dated) -> tuple[int, int]:
    """Return the number of the first and the last day, 1 the first to come."""
    until = str(simulation.customers.attrs.get("until", ""))
    if not until:
        raise InputError(
            f"{stated.place}: {stated.text}: these customers have no last day (attrs['until']). Write times from it, "
            f"in their unit: from = 2, until = 4."
        )
    end = dt.date.fromisoformat(until[:10])
    first, last = (stated.first - end).days, (stated.last - end).days
    if first < 1:
        raise InputError(f"{stated.place}: {stated.text} is not to come: the data end on {end}.")
    return first, last


def _of_event(simulation: Simulation, stated: Dated) -> list[Window]:
    """Return the windows of an event: the periods of the calendar in which there is more or less of it."""
    drawn = simulation.buying.calendar
    events = {} if drawn is None else drawn.calendar.events
    if drawn is None or stated.name not in events:
        known = f"It has {', '.join(events)}" if events else "It has no calendar with events"
        raise InputError(
            f"{stated.place}: the posterior knows no event {stated.name!r}. {known}: fit with "
            "Calendar(events=...), or state a promotion with its effect."
        )
    if isinstance(stated.first, float):
        raise InputError(f"{stated.place}: an event is on days of the calendar. Write from = 2026-12-01.")
    _times(simulation, stated)
    calendar = drawn.calendar
    first, last = _days_ahead(simulation, stated)
    begin, values = events[stated.name]
    after = (dt.date.fromisoformat(begin[:10]) - dt.date.fromisoformat(calendar.until[:10])).days
    coefficient = drawn.coefficient[:, calendar.effects.index(stated.name)]
    found = []
    for period in range((first - 1) // calendar.days, (last - 1) // calendar.days + 1):
        days = range(max(first, period * calendar.days + 1), min(last, (period + 1) * calendar.days) + 1)
        planned = [values[day - after] if 0 <= day - after < len(values) else 0.0 for day in days]
        more = sum(stated.value - each for each in planned) / calendar.days
        start = period * calendar.width
        found.append((start, start + calendar.width, np.exp(coefficient * more)))
    return found
