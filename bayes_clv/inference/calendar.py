"""What happens to everybody at once: the base's rate of purchase over calendar time.

An alive customer buys at the rate lambda g(tau), tau calendar time and g common to all. In operational time, the
integral of g, purchases are those of a constant rate; so where customers leave at a purchase, or never, the family's
likelihood is unchanged there, and exact:

    log L = the family's at operational (x, t_x, T)  +  sum over periods of n_period log g_period,

n_period the repeat purchases of all customers in a period, in which g is constant. They are all that is needed beside
the histories, and the reduction to distinct histories stays.

    log g = level + shock + season + weekday + events,

a level that persists (an autoregression with a half-life that is learned), single shocks of a period, and, on request,
a year's season (harmonics), days of the week and events that are known. The future's g is drawn in each draw from the
same process given the past: that is what makes the interval of a total honest.

Source of the time change: Karlin & Taylor (1981), A Second Course in Stochastic Processes, on random time change;
of the process: Harvey (1989), Forecasting, Structural Time Series Models and the Kalman Filter.
"""

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.periods import day_purchases, intervals_ago
from bayes_clv.distributions.autoregression import levels_after
from bayes_clv.families.quantities import Prior, Quantity
from bayes_clv.families.registry import family as find_family
from bayes_clv.families.registry import refuse_calendar
from bayes_clv.language import say
from bayes_clv.schema import CHAIN, DRAW, PERIODS_AGO, UNSTATED, InputError, argument, stored
from bayes_clv.units import days_per

PERIOD = "calendar_period"
EFFECT = "calendar_effect"
RATE, SD, SHOCK, HALF_LIFE, COEFFICIENT = (
    "calendar_rate",
    "calendar_sd",
    "calendar_shock_sd",
    "calendar_half_life",
    "calendar_coefficient",
)
# Of regular families: the sum of the logarithms of a customer's times between purchases.
INTERVALS = "log_intervals"
YEAR = 365.25
# A season is told from a level that moves by its return.
LEAST_YEARS = 1.5
# Of the prior of the half-life: 90 % from ten weeks to twelve years. Three totals of CDNOW (13 weeks from 1997-06-30
# and from 1997-09-30, 39 from there) have a log CRPS of .059 with a centre of 104 weeks, .061 with 52, .063 with 13.
CENTRE_DAYS, SPREAD = 546.0, 1.25
# How far the future is drawn at least: the next purchase of a customer may be late. Beyond it is the mean rate.
ENDLESS_DAYS = 3653


@dataclass(frozen=True)
class Calendar:
    """What a fit is to learn of calendar time, for ``clv.fit(..., calendar=Calendar())``.

    Attributes
    ----------
    period_days : int
        How long the rate is taken for constant: 7, a week.
    season : int
        Harmonics of a year's season, 1 to 6, of data that hold a year and a half at least; 0, none.
    weekdays : bool
        Whether days of the week differ; periods must then be days.
    events : mapping of str to (mapping of date to float), or DataFrame with ``date``, ``name``, ``value``; optional
        What is known to happen: promotions, holidays. ``value`` (1 where the column is not there) is how much of it
        there is on the day; days between an event's first and last one that are not named have none. They must reach as
        far as one forecasts: name the last day with a value of 0.
    by : str, optional
        A column of the customers (their channel) whose groups have a calendar each, pooled (``inference.pooled``).

    Examples
    --------
    >>> Calendar(season=2).period_days
    7
    """

    period_days: int = 7
    season: int = 0
    weekdays: bool = False
    events: Any = None
    by: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no calendar is."""
        for name, least, most in (("period_days", 1, 366), ("season", 0, 6)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise InputError(
                    f"Calendar: {name} must be a whole number from {least} to {most}; it is {value!r}."
                )
        if self.weekdays and self.period_days != 1:
            raise InputError(
                f"Calendar(weekdays=True) needs periods of a day: period_days is {self.period_days}. Give "
                "Calendar(period_days=1, weekdays=True)."
            )


@dataclass(frozen=True)
class LearnedCalendar:
    """The calendar of a fit: its periods, counted back from the last day seen, and what moves the rate in them.

    ``days`` are of a period, ``unit_days`` of a time unit, ``size`` the number of periods; ``until`` the last day (ISO,
    empty where no date is known); ``events`` maps each to its first day and its values a day. ``counts`` are the repeat
    purchases of the periods, where it was learned, and ``information`` what one of them says of log g, 1 / variance;
    ``intervals`` the times between purchases of a family that reads them: how long before the end each begins and ends,
    and how many there are. With ``of_spend`` it is the spend per purchase that moves, and not the rate of purchase;
    with ``of_leaving`` how readily contracts are left, of which ``counts`` are the losses, and periods are renewals'.
    """

    days: int
    unit_days: float
    size: int
    until: str = ""
    season: int = 0
    weekdays: bool = False
    events: Mapping[str, tuple[str, tuple[float, ...]]] = field(default_factory=dict)
    counts: np.ndarray | None = None
    intervals: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    of_spend: bool = False
    information: float = 1.0
    of_leaving: bool = False

    @property
    def width(self) -> float:
        """Return the length of a period in time units."""
        return self.days / self.unit_days

    @property
    def what(self) -> str:
        """Return what it moves, in words."""
        if self.of_leaving:
            return say("how readily all contracts are left")
        return (
            say("spend per purchase of all customers")
            if self.of_spend
            else say("purchase rate of all customers")
        )

    @property
    def moved(self) -> str:
        """Return the quantity that it multiplies, with which its mean goes."""
        if self.of_leaving:
            return "population_churn"
        return "population_spend" if self.of_spend else "population_purchase_rate"

    @property
    def effects(self) -> tuple[str, ...]:
        """Return the names of the columns of ``design``."""
        season = [f"{wave} {k}" for k in range(1, self.season + 1) for wave in ("cos", "sin")]
        weekdays = list(_WEEKDAYS[1:]) if self.weekdays else []
        return (*season, *weekdays, *self.events)

    def quantities(self) -> dict[str, Quantity]:
        """Return the further quantities that are sampled, with their priors."""
        centre = math.log(CENTRE_DAYS / self.unit_days)
        found = {
            # A level that lies within a factor of 1.35 of the mean for two thirds of all bases.
            SD: Quantity(Prior("HalfNormal", sigma=0.3)),
            SHOCK: Quantity(Prior("HalfNormal", sigma=0.3)),
            HALF_LIFE: Quantity(Prior("LogNormal", mu=centre, sigma=SPREAD)),
        }
        return found | ({COEFFICIENT: Quantity(Prior("Normal", mu=0, sigma=0.5))} if self.effects else {})

    def labels(self) -> list[str]:
        """Return the first day of each period, or its number where no date is known."""
        # Months and years are not equally long.
        if not self.until or self.of_leaving:
            return [str(i - self.size) for i in range(self.size)]
        last = dt.date.fromisoformat(self.until)
        return [
            (last - dt.timedelta(days=(self.size - i) * self.days - 1)).isoformat() for i in range(self.size)
        ]

    def design(self, first: int, last: int, known: int = 0) -> np.ndarray:
        """Return season, weekdays and events (period, effect) of periods first ... last - 1; 0 is the first to come.

        Raises InputError for an event that is not named for all of the next ``known`` days.
        """
        days = np.arange(first * self.days + 1, last * self.days + 1)
        columns = []
        if self.season or self.weekdays or self.events:
            dates = np.datetime64(self.until) + days.astype("timedelta64[D]")
            since = (dates - np.datetime64("2000-01-01")).astype(np.int64)
            for k in range(1, self.season + 1):
                turn = 2 * np.pi * k * since / YEAR
                columns += [np.cos(turn), np.sin(turn)]
            if self.weekdays:
                # 2000-01-01 was a Saturday; the first of the week is what the others are compared with.
                columns += [((since + 5) % 7 == k).astype(float) for k in range(1, 7)]
            for name, (begin, values) in self.events.items():
                at = (dates - np.datetime64(begin)).astype(np.int64)
                end = np.datetime64(begin) + np.timedelta64(len(values) - 1, "D")
                needed = np.datetime64(self.until) + np.timedelta64(known, "D")
                if known and needed > end:
                    raise InputError(
                        f"Event {name!r} is known to {end}, and the forecast reaches to {needed}. Name what is "
                        "planned: give events a row for the last day too, with the value 0 where there is none."
                    )
                there = (at >= 0) & (at < len(values))
                columns.append(np.where(there, np.array(values)[np.where(there, at, 0)], 0.0))
        if not columns:
            return np.zeros((last - first, 0))
        return np.stack(columns, axis=1).reshape(last - first, self.days, -1).mean(axis=1)

    def to_json(self) -> str:
        """Return it as text for the posterior's attributes."""
        return json.dumps(
            {
                "days": self.days,
                "unit_days": self.unit_days,
                "size": self.size,
                "until": self.until,
                "season": self.season,
                "weekdays": self.weekdays,
                "events": {name: [begin, list(values)] for name, (begin, values) in self.events.items()},
                "of_spend": self.of_spend,
                "of_leaving": self.of_leaving,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "LearnedCalendar":
        """Return what ``to_json`` wrote."""

        def learned() -> "LearnedCalendar":
            read = json.loads(text)
            events = {name: (begin, tuple(values)) for name, (begin, values) in read.pop("events").items()}
            return cls(**read, events=events)

        return stored("calendar", learned)

    def coords(self) -> dict[str, list[str]]:
        """Return the dimensions of the variables, with their labels."""
        return {PERIOD: self.labels()} | ({EFFECT: list(self.effects)} if self.effects else {})

    @property
    def names(self) -> list[str]:
        """Return the names of the variables to keep."""
        return [RATE, SD, SHOCK, HALF_LIFE, *([COEFFICIENT] if self.effects else [])]

    def meanings(self) -> dict[str, tuple[str, str]]:
        """Return what each variable of the posterior means, and its unit."""
        return {
            RATE: (say("{rate} in the period over its mean", rate=self.what), "none"),
            SD: (say("standard deviation of the log of the rate's level over calendar time"), "none"),
            SHOCK: (say("standard deviation of the log of shocks of single periods"), "none"),
            HALF_LIFE: (say("time in which half of what is above or below the mean level is left"), "time"),
            COEFFICIENT: (say("log of the factor by which the rate changes"), "none"),
        }


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def learn_calendar(calendar: Calendar, family: str, customers: xr.Dataset) -> LearnedCalendar:
    """Return the calendar of these customers, whose periods end with their observation.

    Raises InputError for a family that does not go by one, customers whose days are not known, a season of too short
    data, and events that cannot be read.
    """
    if not isinstance(calendar, Calendar):
        raise InputError(
            f"{argument('calendar', calendar)} must be a clv.inference.Calendar, such as Calendar()."
        )
    refuse_calendar(family)
    if find_family(family).kind == "contracts":
        return _of_contracts(calendar, customers)
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    if unit == UNSTATED:
        raise InputError(
            "A calendar needs the time unit of the customers. Make them with clv.summarize, or give "
            "clv.customers.from_table a time_unit."
        )
    unit_days = days_per(unit)
    of_spend = find_family(family).kind == "spend"
    # A part of the base has its own days by its purchase times alone.
    counted = customers.drop_vars("day_purchases", errors="ignore") if of_spend else customers
    daily = day_purchases(counted, unit_days)
    # Whole periods back from the last day; the first holds the rest.
    size = max(1, math.ceil(float(customers["T"].max()) * unit_days / calendar.period_days))
    room = np.zeros(size * calendar.period_days)
    room[-min(daily.size, room.size) :] = daily[-room.size :]
    until = str(customers.attrs.get("until", ""))
    if not until and (calendar.season or calendar.weekdays or calendar.events is not None):
        raise InputError(
            "Season, weekdays and events need dates, and these customers have no last day (attrs['until']). Make them "
            "with clv.summarize."
        )
    if calendar.season and daily.size < LEAST_YEARS * YEAR:
        raise InputError(
            f"A year's season cannot be learned from {daily.size} days: a season is what comes back, and "
            f"{LEAST_YEARS:g} years are the least. Leave {argument('season', calendar.season)} out."
        )
    return LearnedCalendar(
        days=calendar.period_days,
        unit_days=unit_days,
        size=size,
        until=until,
        season=calendar.season,
        weekdays=calendar.weekdays,
        events=_read_events(calendar.events),
        counts=room.reshape(size, -1).sum(axis=1),
        intervals=intervals_ago(customers) if INTERVALS in find_family(family).observed else None,
        of_spend=of_spend,
    )


# Days of a period of renewals, for the prior of the half-life: a month where nobody says.
RENEWAL_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}


def _of_contracts(calendar: Calendar, contracts: xr.Dataset) -> LearnedCalendar:
    """Return the calendar of contracts with ``periods_ago``."""
    asked = [
        argument(name, getattr(calendar, name))
        for name, plain in (("period_days", 7), ("season", 0), ("weekdays", False), ("events", None))
        if getattr(calendar, name) is not plain
    ]
    if asked:
        raise InputError(
            f"The calendar of contracts has the periods in which they are renewed, a level and shocks: leave "
            f"{', '.join(asked)} out of Calendar()."
        )
    ago = contracts[PERIODS_AGO].to_numpy().astype(np.int64)
    begun = np.unique(ago)
    if begun.size < 2:
        raise InputError(
            f"All contracts began {begun[0]} periods ago, so that what a period does to everybody cannot be told from "
            "what tenure does. A calendar needs contracts that began in several periods: give more cohorts, or leave "
            f"{argument('calendar')} out."
        )
    size = int(begun[-1])
    lost = contracts["active"].to_numpy() == 0
    at = (contracts["renewals"].to_numpy().astype(np.int64) - ago + size)[lost]
    count = contracts["count"].to_numpy() if "count" in contracts else np.ones(lost.size)
    days = RENEWAL_DAYS.get(str(contracts.attrs.get("period")), RENEWAL_DAYS["month"])
    return LearnedCalendar(
        days=days,
        unit_days=float(days),
        size=size,
        until=str(contracts.attrs.get("until", "")),
        counts=np.bincount(at, weights=count[lost], minlength=size),
        of_leaving=True,
    )


def _read_events(events: Any) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Return each event's first day and its values a day."""
    if events is None:
        return {}
    import pandas as pd

    if isinstance(events, Mapping):
        rows = [(name, day, value) for name, days in events.items() for day, value in dict(days).items()]
        events = pd.DataFrame(rows, columns=["name", "date", "value"])
    if not isinstance(events, pd.DataFrame) or not {"date", "name"} <= set(events.columns):
        raise InputError(
            "Calendar: events must be a DataFrame with the columns date and name (and value), or a mapping of name to "
            f"a mapping of date to value; got {type(events).__name__}."
        )
    table = events.assign(value=events.get("value", 1.0))
    try:
        dates = pd.to_datetime(table["date"]).to_numpy().astype("datetime64[D]")
        values = table["value"].to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise InputError(f"Calendar: a date or value of events cannot be read: {error}") from error
    bad = ~np.isfinite(values) | np.isnat(dates)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"Calendar: {int(bad.sum())} rows of events lack a date or a value, for example row {row}: "
            f"{table.iloc[row][['name', 'date', 'value']].to_dict()}. Give 0 for a day without the event."
        )
    found = {}
    for name in dict.fromkeys(table["name"].astype(str)):
        own = (table["name"].astype(str) == name).to_numpy()
        days, first = dates[own], dates[own].min()
        place = (days - first).astype(np.int64)
        if np.unique(place).size < place.size:
            twice = days[np.flatnonzero(np.bincount(place)[place] > 1)[0]]
            raise InputError(f"Calendar: event {name!r} has two rows of {twice}. Keep one value a day.")
        daily = np.zeros(place.max() + 1)
        daily[place] = values[own]
        found[name] = (str(first), tuple(daily.tolist()))
    return found


@dataclass(frozen=True)
class DrawnCalendar:
    """The draws of a calendar: ``log_rate`` (draw, period) of the past, and of what its future is drawn.

    ``level`` and ``shock`` are variances, ``rho`` the correlation of neighbouring periods, (draw,); ``coefficient``
    (draw, effect); ``place`` the draws' places among ``total``, to which the random numbers belong.
    """

    calendar: LearnedCalendar
    log_rate: np.ndarray
    level: np.ndarray
    shock: np.ndarray
    rho: np.ndarray
    coefficient: np.ndarray
    place: np.ndarray
    total: int
    seed: int

    def take(self, index: np.ndarray) -> "DrawnCalendar":
        """Return these draws."""
        names = ("log_rate", "level", "shock", "rho", "coefficient", "place")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def knots(self, horizon: float) -> tuple[np.ndarray, np.ndarray]:
        """Return times from the end of observation (knot,), and the operational time at them (draw, knot).

        From the first period of the past to the horizon, or ten years, and one period more at the mean rate, which goes
        on beyond. Events must be known to the horizon, and are none beyond.
        """
        rates = np.concatenate([np.exp(self.log_rate), self.ahead(horizon)], axis=1)
        width, size = self.calendar.width, self.calendar.size
        # The draws of a knot side by side: they are read so, customer by customer.
        elapsed = np.zeros((rates.shape[1] + 1, rates.shape[0])).T
        np.cumsum(rates * width, axis=1, out=elapsed[:, 1:])
        elapsed -= elapsed[:, size, None]
        return (np.arange(elapsed.shape[1]) - size) * width, elapsed

    def ahead(self, horizon: float) -> np.ndarray:
        """Return g of the periods to come (draw, period), to the horizon or ten years, and at last its mean for ever.

        Events must be known to the horizon, and are none beyond.
        """
        calendar = self.calendar
        known = 0 if math.isinf(horizon) else math.ceil(horizon * calendar.unit_days / calendar.days - 1e-9)
        ahead = max(known, ENDLESS_DAYS // calendar.days)
        design = np.vstack(
            [calendar.design(-calendar.size, 0), calendar.design(0, ahead, known * calendar.days)]
        )
        moved = self.log_rate - self.coefficient @ design[: calendar.size].T
        mean, variance = levels_after(np.ascontiguousarray(moved), self.level, self.shock, self.rho)
        level = mean + np.sqrt(variance) * self._normals(0)[0]
        future = np.empty((level.size, ahead))
        step = np.sqrt((1 - self.rho**2) * self.level)
        for period in range(ahead):
            moves, shocks = self._normals(period + 1)
            level = self.rho * level + step * moves
            future[:, period] = level + np.sqrt(self.shock) * shocks
        future += self.coefficient @ design[calendar.size :].T
        mean_rate = np.exp((self.level + self.shock) / 2)
        return np.concatenate([np.exp(future), mean_rate[:, None]], axis=1)

    def pasts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each draw the knots of the past (knot,), times from the end, and the operational time at them."""
        width, size = self.calendar.width, self.calendar.size
        times = (np.arange(size + 1) - size) * width
        for log_rate in self.log_rate:
            elapsed = np.concatenate([[0.0], np.cumsum(np.exp(log_rate) * width)])
            yield times, elapsed - elapsed[-1]

    def _normals(self, period: int) -> np.ndarray:
        """Return two Normal numbers of each draw that belong to a period: a longer future begins as a shorter one."""
        # Spend and purchases move apart, also where one seed fitted both.
        own = [self.seed, period, 1] if self.calendar.of_spend else [self.seed, period]
        rng = np.random.Generator(np.random.PCG64(own))
        return np.asarray(rng.standard_normal((2, self.total))[:, self.place])


def drawn_calendar(calendar: LearnedCalendar, posterior: xr.Dataset, seed: int) -> DrawnCalendar:
    """Return the draws (chain, draw, ...) of a calendar, whose future belongs to the fit's ``seed``."""
    missing = [name for name in calendar.names if name not in posterior]
    if missing:
        raise InputError(f"The posterior has a calendar and lacks {', '.join(missing)}. Fit again.")
    drawn = [posterior[name].transpose(CHAIN, DRAW, ...).to_numpy().astype(float) for name in calendar.names]
    flat = [each.reshape(-1, *each.shape[2:]) for each in drawn]
    size = flat[0].shape[0]
    return DrawnCalendar(
        calendar,
        np.log(flat[0]),
        flat[1] ** 2,
        flat[2] ** 2,
        np.exp(-math.log(2) * calendar.width / flat[3]),
        flat[4] if calendar.effects else np.zeros((size, 0)),
        np.arange(size),
        size,
        seed,
    )


def read_calendar(tree: xr.DataTree) -> DrawnCalendar | None:
    """Return the draws of a posterior's calendar, None where it has none."""
    if "calendar" not in tree.attrs:
        return None
    calendar = LearnedCalendar.from_json(str(tree.attrs["calendar"]))
    return drawn_calendar(calendar, tree["posterior"].dataset, int(tree.attrs.get("seed", 0)))
