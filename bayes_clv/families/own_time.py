"""A family's forecasts where each customer's time runs at a pace of its own: that of columns over time.

A customer buys at the rate lambda exp(coefficient . z(t)), z constant by pieces. In operational time, the integral of
the factor, purchases are those of a constant rate, as with a calendar (``families.calendar``), but each customer has an
integral of its own. So a history holds, beside the family's columns, ``PATH``, the place of the customer's first piece;
and parameters hold, beside the family's, ``COEFFICIENT`` (draw, effect).

**Leaving goes by purchases, and so by operational time**, as with the calendar of these families: a coin is tossed
after each purchase, whenever it comes, and who is made to buy more often also leaves sooner. A column that is the
same for everybody is thereby that calendar, to the last digits. (A lifetime in calendar time is Pareto/NBD's, whose
likelihood is then an integral over each customer's own pieces, and which does not go by columns over time yet.)

Of the future the values must be known: beyond ``known`` nothing is told.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths.own_clock import OwnClock
from bayes_clv.distributions.pieces import Paced, paced_time
from bayes_clv.families.calendar import CALENDAR, Clocked, in_operational_time
from bayes_clv.families.contract import Columns, Family, Params
from bayes_clv.schema import InputError, either

# The column of a history that holds the place of its first piece.
PATH = "change_start"
# Of the parameters: the coefficients of columns over time.
COEFFICIENT = "over_time_coefficient"
# A horizon of whole days, in a unit that is none, may lie beyond the last day by a rounding.
ROUNDING = 1e-9


def refuse_unknown(time: float, known: float) -> None:
    """Refuse a time from the end of observation beyond what is known of the columns over time."""
    if time <= known * (1 + ROUNDING) + ROUNDING:
        return
    held = "is not known" if known <= 0 else f"is known for {known:g} time units from the end of observation"
    asked = "all the time to come" if math.isinf(time) else f"{time:g} time units"
    plan = either(
        "Say what is planned, clv.customers.with_plan(customers, table), or that the last values stay, "
        "clv.customers.with_plan(customers, 'carry_forward').",
        "Say in the run what is planned, in rows of the table of --over-time to that day, or that the last values "
        "stay: --over-time-plan carry_forward.",
    )
    raise InputError(f"What the columns over time will be {held}, and the forecast is of {asked}. {plan}")


class _Own(Clocked):
    """The family in its own time, and the pieces of the customers' columns, known for a time ``known`` from now.

    ``shortest`` is the first of the times to which a discount without end is computed.
    """

    def __init__(
        self, family: Family, paced: Paced, known: float, shortest: float, calendar: Array | None
    ) -> None:
        super().__init__(family, np.array([0.0, shortest]), None)
        self.paced, self.known, self.of_all = paced, known, calendar

    def _calendar(self, params: Params) -> tuple[Array, Array] | None:
        """Return the knots of the calendar, and what is elapsed at them, None without one."""
        return None if self.of_all is None else (self.of_all, np.asarray(params[CALENDAR]))

    def _between(self, start: Array, low: Array, high: Array, params: Params) -> Array:
        return paced_time(self.paced, params[COEFFICIENT], start, low, high, self._calendar(params))

    def own(self, columns: Columns, params: Params) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the history in operational time (row, draw), and the family's own parameters."""
        found = dict(columns)
        start, age, recency = (np.reshape(columns[name], -1) for name in (PATH, "T", "recency"))
        found["T"] = self._between(start, -age, np.zeros(age.size), params)
        last = self._between(start, -age, recency - age, params)
        # To be exact where there is nothing between.
        found["recency"] = np.where((recency < age)[:, None], np.minimum(last, found["T"]), found["T"])
        return found, {name: params[name] for name in self.family.parameters}

    def to[R](self, function: Callable[..., R], time: float, columns: Columns, params: Params) -> R:
        """Return a function of (time, columns, params) at one time, calendar time, as far as the columns are known."""
        refuse_unknown(time, self.known)
        return super().to(function, time, columns, params)

    def _stretch(self, time: float, columns: Columns, params: Params) -> Array:
        """Return a time from now over the operational time that it is, (row, draw)."""
        start = np.reshape(columns[PATH], -1)
        ends = np.full(start.size, float(time))
        return time / self._between(start, np.zeros(start.size), ends, params)

    def own_clock(self, columns: Columns, params: Params) -> OwnClock:
        """Return the clocks of all rows."""
        start = np.reshape(columns[PATH], -1).astype(np.int64)
        return OwnClock(self.paced, np.asarray(params[COEFFICIENT]), start, self._calendar(params))


def in_own_time(
    family: Family, paced: Paced, known: float, shortest: float, calendar: Array | None = None
) -> Family:
    """Return the family in calendar time, of customers whose columns over time are ``paced``, known so far from now.

    ``shortest`` is a time, a week, from which on a discount without end is computed. With the knots (knot,) of a
    ``calendar`` parameters hold ``CALENDAR`` (draw, knot) too, and all customers' rates go by it besides.
    """
    by = _Own(family, paced, known, shortest, calendar)
    moved = in_operational_time(by)
    own = replace(moved, history=(*moved.history, PATH), own_clock=by.own_clock)
    return replace(family, forecast=own)
