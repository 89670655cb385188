"""A family's forecasts in calendar time, where its own time runs at the pace of a calendar.

``clocked`` turns the record of a family whose customers leave at a purchase, or never, into one that takes and gives
calendar time. Its parameters hold, beside the family's, ``CALENDAR`` (draw, knot): the operational time at knots of
calendar time, both 0 at the end of observation and rising, straight between knots and beyond the last.

A family that has its own (``contract.Paced``) is taken as it says. Of the others a history is taken in operational
time, which differs between draws. A time to come differs too, so that each draw's unit of time is stretched until that
time is the same number in all of them: a family's forecasts depend on times and parameters with a unit in proportion
alone. So every closed form of the family serves as it is. Of a family that reads each customer's purchase times these
are taken so too, beside its columns.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array, ragged
from bayes_clv.distributions.pieces import operational as operational
from bayes_clv.families.contract import Columns, Family, Forecast, Params, need
from bayes_clv.schema import VARIABLES

# Of the parameters: operational time at the knots.
CALENDAR = "calendar"
# Times to which purchases are computed, where they are discounted: their pace is straight between. The error is below
# 1e-4 of the result at 10 % a year and weeks.
STEPS, ENDLESS_STEPS = 24, 80
# What a discount of a whole life leaves out.
FORGOTTEN = 20.0
# The columns of a history that are times; the last are those of all purchases, of a family that reads them.
TIMED = ("T", "recency", "purchase_times")


class Clocked:
    """The family in its own time, and the knots of the calendar's; ``times``, flat, of all customers' purchases.

    Histories end now, or each at a time ``seen`` (row, 1) from now.
    """

    def __init__(self, family: Family, knots: Array, times: Array | None, seen: Array | None = None) -> None:
        self.family, self.knots, self.times, self.seen = family, knots, times, seen
        self.forecast = need(family, Forecast)
        meanings = family.words.meanings
        # The power of time in each parameter's unit.
        self.powers = {
            name: {"time": 1, "1/time": -1}.get(meanings[name][1], 0) for name in family.parameters
        }

    def own(self, columns: Columns, params: Params) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the history in operational time, and the family's own parameters."""
        elapsed = np.asarray(params[CALENDAR])
        found = dict(columns)
        age = np.asarray(columns["T"], dtype=np.float64)
        ago = age - np.asarray(columns["recency"], dtype=np.float64)
        begin, last = (self._at(elapsed, -each) for each in (age, ago))
        # To be exact where there is nothing between: a rounding would be a negative time.
        found["T"] = np.maximum(self._end(elapsed) - begin, 0.0)
        found["recency"] = np.minimum(np.maximum(last - begin, 0.0), found["T"])
        if self.times is not None:
            found |= self._own_times(columns, begin, elapsed)
        return found, {name: params[name] for name in self.family.parameters}

    def _own_times(self, columns: Columns, begin: Array, elapsed: Array) -> dict[str, Array]:
        """Return these customers' purchase times (purchase, draw), flat, and where each customer's begin."""
        assert self.times is not None
        age, size, start = (np.reshape(columns[name], -1) for name in ("T", "frequency", "purchase_start"))
        owner, place = ragged(start, size)
        bought = operational(self.knots, elapsed, self.times[place] - age[owner])
        number = size.astype(np.int64)
        return {
            "purchase_times": bought - np.reshape(begin, (-1, elapsed.shape[0]))[owner],
            "purchase_start": np.reshape(np.cumsum(number) - number, np.shape(columns["purchase_start"])),
        }

    def _at(self, elapsed: Array, time: Array) -> Array:
        """Return the operational time at times from now, of (row, 1) or (row, draw) as (row, draw)."""
        found = operational(self.knots, elapsed, time)
        return found[..., 0, :] if found.ndim == 3 else found

    @property
    def shortest(self) -> float:
        """Return the first of the times to which a discount without end is computed."""
        return float(self.knots[1] - self.knots[0])

    def _end(self, elapsed: Array) -> Array:
        """Return the operational time at the end of the histories."""
        return np.zeros(1) if self.seen is None else self._at(elapsed, self.seen)

    def to[R](self, function: Callable[..., R], time: float, columns: Columns, params: Params) -> R:
        """Return a function of (time, columns, params) at one time, calendar time."""
        history, values = self.own(columns, params)
        if not 0 < time < math.inf:
            return function(time, history, values)
        stretch = self._stretch(time, columns, params)
        history |= {name: history[name] * stretch for name in TIMED if name in history}
        values = {name: each * stretch ** self.powers[name] for name, each in values.items()}
        return function(time, history, values)

    def _stretch(self, time: float, columns: Columns, params: Params) -> Array:
        """Return a time from the end of the histories over the operational time that it is, (draw,) or (row, draw)."""
        elapsed = np.asarray(params[CALENDAR])
        until = np.asarray(time) if self.seen is None else self.seen + time
        stretch: Array = time / (self._at(elapsed, until) - self._end(elapsed))
        return stretch

    def summarised(
        self, function: Callable[..., tuple[Array, ...]], time: float, columns: Columns, params: Params
    ) -> tuple[Array, ...]:
        """Return the family's own summary, its customers' rates in operational time as ``latent_means`` has them."""
        found = list(self.to(function, time, columns, params))
        if 0 < time < math.inf:
            stretch = self._stretch(time, columns, params)
            for place, name in enumerate(self.forecast.latent, start=1):
                if VARIABLES[name].unit == "1/time":
                    found[place] = found[place] * stretch
        return tuple(found)

    def at(self, function: Callable[..., Array], time: Any, columns: Columns, params: Params) -> Array:
        """Return it at times, whose axes come first."""
        times = np.asarray(time, dtype=np.float64)
        each = [self.to(function, float(one), columns, params) for one in times.ravel()]
        return np.reshape(each, (*times.shape, *np.shape(each[0])))

    def counted(
        self, function: Callable[..., Array], counts: Any, time: float, columns: Columns, params: Params
    ) -> Array:
        """Return a function of (counts, time, columns, params)."""
        return self.to(lambda t, *given: function(counts, t, *given), time, columns, params)

    def given(self, function: Callable[..., Any], columns: Columns, params: Params) -> Any:
        """Return a function of (columns, params)."""
        return function(*self.own(columns, params))

    def drawn(self, rng: np.random.Generator, columns: Columns, params: Params) -> tuple[NDArray[Any], ...]:
        """Return one draw of what the customer is."""
        return self.forecast.latent_draws(rng, *self.own(columns, params))

    def discounted(self, time: float, rate: float, columns: Columns, params: Params) -> Array:
        """Return purchases to a time, each worth e^(-rate t): those between two times at the mean worth of these."""
        if math.isinf(time) and rate < 0:
            return self.to(_nothing, time, columns, params)
        return self._worth(self.forecast.purchases, time, rate, columns, params)

    def woken(self, time: float, rate: float, columns: Columns, params: Params) -> Array:
        """Return by how much ``discounted`` would be more if one asleep were awake."""
        assert self.forecast.woken is not None
        own = self.forecast.woken
        return self._worth(lambda t, *given: own(t, 0.0, *given), time, rate, columns, params)

    def _worth(
        self, bought: Callable[..., Array], time: float, rate: float, columns: Columns, params: Params
    ) -> Array:
        """Return what is bought to a time, ``bought(time, columns, params)``, discounted."""
        if rate == 0:
            return self.to(bought, time, columns, params)
        if math.isinf(time):
            first, last = self.shortest, FORGOTTEN / rate
            ends = np.geomspace(first, max(last, 2 * first), ENDLESS_STEPS)
        else:
            ends = np.linspace(0.0, time, STEPS + 1)[1:]
        total: Any = 0.0
        before: Any = 0.0
        begin = 0.0
        for end in ends:
            now = self.to(bought, float(end), columns, params)
            worth = math.exp(-rate * begin) * -math.expm1(-rate * (end - begin)) / (rate * (end - begin))
            total = total + worth * (now - before)
            before, begin = now, end
        return np.asarray(total)

    def clock(self, params: Params) -> tuple[Array, Array]:
        """Return operational time at the knots (draw, knot), and the knots (knot,)."""
        return np.asarray(params[CALENDAR]), self.knots


def _nothing(time: float, columns: Columns, params: Params) -> Array:
    """Return NaN: what is worth more the later it comes has no sum."""
    return np.full(np.broadcast_shapes(*map(np.shape, (*columns.values(), *params.values()))), np.nan)


def clocked(family: Family, knots: Array) -> Family:
    """Return the family in calendar time, given the knots (knot,) of its calendar, in time units."""
    forecast = in_calendar_time(family, knots) if family.paced is None else family.paced.forecast(knots)
    return replace(family, forecast=forecast)


def in_calendar_time(
    family: Family, knots: Array, times: Array | None = None, seen: Array | None = None
) -> Forecast:
    """Return the forecast of a family that only its time distinguishes, given the knots of its calendar.

    With ``times``, those of all customers' purchases, flat and in calendar time, the family reads them of its columns.
    Where histories are ``seen`` to times of their own their futures have no clock, and are not simulated.
    """
    by = Clocked(family, knots, times, seen)
    found = replace(in_operational_time(by), seen_to=partial(in_calendar_time, family, knots, times))
    return replace(found, clock=by.clock) if seen is None else replace(found, state=None)


def in_operational_time(by: Clocked) -> Forecast:
    """Return the forecast of the family of a clock, given and told in calendar time; who simulates needs the clock."""
    own = by.forecast
    return replace(
        own,
        alive=partial(by.given, own.alive),
        seen_to=None,
        latent_means=partial(by.given, own.latent_means),
        latent_draws=by.drawn,
        purchases=partial(by.at, own.purchases),
        survival=partial(by.at, own.survival),
        pmf=partial(by.counted, own.pmf),
        at_least=partial(by.counted, own.at_least),
        discounted=by.discounted,
        state=None if own.state is None else partial(by.given, own.state),
        states=None if own.states is None else partial(by.given, own.states),
        waking=None if own.waking is None else partial(by.to, own.waking),
        woken=None if own.woken is None else by.woken,
        summary=None if own.summary is None else partial(by.summarised, own.summary),
        rate_ago=None,
        clock=None,
        times=None,
    )
