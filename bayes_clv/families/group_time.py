"""A family's forecasts where each group of customers has a calendar of its own.

All is as with one calendar (``families.calendar``), but that operational time is that of the customer's group: a
history holds, beside the family's columns, ``PLACE``, the place of its group, and parameters hold ``CALENDAR`` (draw,
group, knot).
"""

from dataclasses import replace

import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths.group_clock import GroupClock
from bayes_clv.families.calendar import CALENDAR, Clocked, in_operational_time, operational
from bayes_clv.families.contract import Columns, Family, Params

# The column of a history that holds the place of its group among those of the calendar.
PLACE = "calendar_place"


class _Grouped(Clocked):
    """The family in its own time, and the knots of the groups' calendars."""

    def _since(self, columns: Columns, time: Array, params: Params) -> Array:
        """Return the operational time (row, draw) from now to a time of each row, negative before now."""
        elapsed = np.asarray(params[CALENDAR])
        group = np.reshape(columns[PLACE], -1).astype(np.int64)
        found = np.empty((group.size, elapsed.shape[0]))
        for each in np.unique(group):
            own = group == each
            found[own] = operational(self.knots, elapsed[:, each], time[own])
        return found

    def own(self, columns: Columns, params: Params) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the history in operational time (row, draw), and the family's own parameters."""
        found = dict(columns)
        age, recency = (np.reshape(columns[name], -1) for name in ("T", "recency"))
        begin, last = (self._since(columns, each, params) for each in (-age, recency - age))
        # To be exact where there is nothing between.
        found["T"] = np.maximum(-begin, 0.0)
        found["recency"] = np.minimum(np.maximum(last - begin, 0.0), found["T"])
        return found, {name: params[name] for name in self.family.parameters}

    def _stretch(self, time: float, columns: Columns, params: Params) -> Array:
        """Return a time from now over the operational time that it is, (row, draw)."""
        return time / self._since(columns, np.full(np.size(columns[PLACE]), float(time)), params)

    def own_clock(self, columns: Columns, params: Params) -> GroupClock:
        """Return the clocks of all rows."""
        inner = np.ascontiguousarray(np.asarray(params[CALENDAR]).transpose(1, 0, 2))
        return GroupClock(inner, self.knots, np.reshape(columns[PLACE], -1).astype(np.int64))


def in_group_time(family: Family, knots: Array) -> Family:
    """Return the family in calendar time, given the knots (knot,) of its groups' calendars."""
    by = _Grouped(family, knots, None)
    moved = in_operational_time(by)
    own = replace(moved, history=(*moved.history, PLACE), own_clock=by.own_clock)
    return replace(family, forecast=own)
