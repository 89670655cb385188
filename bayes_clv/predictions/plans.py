"""What to simulate: whose futures, by which law, paid how; and the walk over them, a tile of customers at a time.

A future depends on the seed, the customer's id, the history and the posterior draw, and on nothing else
(``distributions.streams``): whoever asks for whatever of it reads the same one. (Where customers sleep the draws of a
posterior share a rule to six digits, ``paths.sleep``.)
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from bayes_clv.distributions.arrays import owned, stretches
from bayes_clv.distributions.paths import (
    Paths,
    Room,
    State,
    Who,
    futures,
    nothing_asked,
)
from bayes_clv.distributions.paths.clock import Clock, Window, hurried
from bayes_clv.distributions.paths.clock import clock as clock_of
from bayes_clv.distributions.paths.group_clock import GroupClock
from bayes_clv.distributions.paths.money import Purse, own_levels
from bayes_clv.distributions.paths.own_clock import OwnClock
from bayes_clv.families.calendar import CALENDAR
from bayes_clv.families.contract import Family, Moves
from bayes_clv.predictions.histories import Histories
from bayes_clv.predictions.parameters import Parameters
from bayes_clv.schema import InputError

# Futures a tile: what the law lists of the buyers among them stays in a processor's second cache.
TILE = 32_768
# Distinct histories × draws whose numbers are computed at a time, in tiles.
TILES_OF_STATES = 2


@dataclass(frozen=True)
class Calendar:
    """Equal calendar periods: period = ceil((offset + elapsed) / width) - 1, kept within [0, count).

    ``offset`` (row) is the time from the start of period 0 to the start of the row's future. Periods
    are closed at their end, since a purchase of day d happens at an elapsed time in (d - 1, d].
    """

    offset: np.ndarray
    width: float
    count: int


@dataclass(frozen=True)
class Money:
    """How occasions are paid: ``state(rows)`` are two numbers of a customer's level, each of (row, draw).

    ``occasion(rows)`` is a parameter of one occasion, (draw) or (row, draw). ``discount`` is the continuous rate per
    time unit. The rule is the family's: "gamma", an occasion is Gamma(occasion, rate nu), the state shape and rate of
    the Gamma of nu; "lognormal", its logarithm is Normal(theta, occasion²), the state mean and standard deviation of
    theta. ``ahead`` (draw, period) multiplies what is paid in each period of ``width`` from now, its last for ever.
    ``moves(rows)`` says how levels move from now on, where they do.
    """

    state: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    occasion: Callable[[np.ndarray], np.ndarray]
    discount: float = 0.0
    rule: Literal["gamma", "lognormal"] = "gamma"
    ahead: np.ndarray | None = None
    width: float = math.nan
    moves: Callable[[np.ndarray], Moves] | None = None


class Holdout(NamedTuple):
    """What happened, by customer: ``purchases``, and ``spend`` and ``value`` (of a margin of 1) where they are scored.

    Money that is not scored has no rows; NaN where it is unknown of a customer. Logarithms measure amounts by
    ``spend_unit`` and ``value_unit`` (see scores). ``frequent`` says who bought often before, where that is known: of
    those it is counted apart how many lie in their own intervals.
    """

    purchases: np.ndarray
    spend: np.ndarray = np.empty(0)
    value: np.ndarray = np.empty(0)
    spend_unit: float = math.nan
    value_unit: float = math.nan
    frequent: np.ndarray = np.empty(0, dtype=np.bool_)

    def at(self, part: slice | np.ndarray) -> "Holdout":
        """Return it of some of the customers."""
        spend, value, frequent = (
            each[part] if each.size else each for each in (self.spend, self.value, self.frequent)
        )
        return self._replace(purchases=self.purchases[part], spend=spend, value=value, frequent=frequent)


@dataclass(frozen=True)
class Plan:
    """What to simulate. Customers come sorted by ``row``, the index of their distinct history.

    ``state(rows)`` returns the numbers that ``law`` reads, by name (row, draw), with ``silence`` and ``horizon``,
    (row, 1) or (row, draw), among them; ``keys`` are of the customers (see streams.customer_keys). ``alike`` (row),
    where given, marks neighbouring rows with the same state by one number: their histories differ in spend alone, and
    the state is computed once.

    On request: ``holdout``, by which the futures are scored; ``value_above``, amounts whose probability of being
    exceeded is wanted; ``by_customer``, the calendar's periods for each customer as well as for all; ``top_share``,
    with ``log2_reference`` the middle of the bins (see statistics); ``own``, of the customers' own numbers (the fields
    of ``Own``, "level" for the mean spend of an occasion) the statistics; ``keep``, the draws of all that is asked for.
    ``first_order``: a purchase at time 0, counted and paid as any other, and certain. ``clock`` leads from the law's
    time to the calendar's.
    """

    law: Paths
    state: Callable[[np.ndarray], dict[str, Any]]
    row: np.ndarray
    keys: np.ndarray
    draws: int
    alike: np.ndarray | None = None
    money: Money | None = None
    calendar: Calendar | None = None
    holdout: Holdout | None = None
    keep: bool = False
    own: tuple[str, ...] = ()
    value_above: np.ndarray | None = None
    by_customer: bool = False
    top_share: float | None = None
    log2_reference: float = 0.0
    first_order: bool = False
    clock: Clock | OwnClock | GroupClock | None = None


@dataclass(frozen=True)
class Tile:
    """Futures of some customers, complete: ``part`` of all, the ``found`` buyers among their draws, and their money."""

    part: slice
    found: int
    room: Room


def _states(plan: Plan, rows: np.ndarray) -> State:
    """Return what the law reads of these rows, as the compiled functions take it."""
    given = plan.state(rows)
    shape, none = (rows.size, plan.draws), np.empty((0, plan.draws))
    numbers = {
        name: owned(given[name], shape) if name in plan.law.needs else none
        for name in State._fields
        if name not in ("silence", "horizon", "further", "pace", "stay")
    }
    numbers |= {name: owned(given[name], shape) if name in given else none for name in ("pace", "stay")}
    horizon = np.asarray(given["horizon"], dtype=np.float64)
    horizon = np.array(np.broadcast_to(horizon, (rows.size, horizon.shape[-1])))
    silence = np.array(given["silence"], dtype=np.float64, order="C")
    return State(**numbers, silence=silence, horizon=horizon, further=given.get("further", ()))


def _purse(money: Money, rows: np.ndarray, row: np.ndarray, draws: int) -> Purse:
    first, second = (owned(each, (rows.size, draws)) for each in money.state(rows))
    occasion = np.atleast_2d(money.occasion(rows))
    occasion = owned(occasion, (occasion.shape[0], draws))
    ahead = np.empty((draws, 0)) if money.ahead is None else np.ascontiguousarray(money.ahead)
    return Purse(
        row,
        first,
        second,
        occasion,
        money.rule == "lognormal",
        float(money.discount),
        ahead,
        float(money.width),
        *_moving(money, rows, draws),
    )


def _moving(money: Money, rows: np.ndarray, draws: int) -> tuple[np.ndarray, ...]:
    """Return what a purse holds of levels that move (``Purse``), nothing where they do not."""
    if money.moves is None:
        return ()
    shape, found = (rows.size, draws), money.moves(rows)
    drifting = (found.first, found.second, found.third, found.omega, found.kappa)
    beside = [owned(each, shape) for each in drifting if each is not None]
    return (owned(found.slope, shape), owned(found.left, (rows.size,)), *beside)


def tiles(
    plan: Plan,
    start: int,
    stop: int,
    room: Room,
    *,
    own: dict[str, np.ndarray] | None = None,
    each: Callable[[slice, int], None] | None = None,
    tile: int = TILE,
) -> Generator[Tile]:
    """Yield the futures of customers [start, stop), a tile after the other, in ``room``, which the next one overwrites.

    ``own`` are arrays (customer, draw) of these customers to write their own numbers into. ``each(part, filled)`` is
    called with every batch of purchases.
    """
    draws = plan.draws
    step = max(1, tile // draws)
    own = {} if own is None else dict(own)
    level = own.pop("level", None)
    row = plan.row[start:stop]
    starts = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
    bounds = [*starts[:: TILES_OF_STATES * step].tolist(), row.size]
    nothing = nothing_asked(draws)
    # Times are turned into the calendar's only where somebody reads them.
    timed = plan.clock if plan.money is not None or each is not None or own else None
    for low, high in pairwise(bounds):
        rows, local = np.unique(row[low:high], return_inverse=True)
        first, buying = rows, np.arange(rows.size)
        if plan.alike is not None:
            new, buying = stretches([plan.alike[rows]])
            first = rows[new]
        state = _states(plan, first)
        at = buying[local]
        purse = None if plan.money is None else _purse(plan.money, rows, local, draws)
        for begin in range(0, high - low, step):
            end = min(begin + step, high - low)
            here = slice(low + begin, low + end)
            part = slice(start + here.start, start + here.stop)
            who = Who(at[begin:end].astype(np.uint32), plan.keys[part], plan.first_order)
            clock = None if timed is None else timed.of(first)
            asked = nothing._replace(**{name: array[here] for name, array in own.items()})
            paying = None if purse is None else purse._replace(row=local[begin:end].astype(np.uint32))
            if paying is not None and level is not None:
                own_levels(paying, who.keys, level[here])
            for filled in futures(plan.law, state, who, asked, room, paying, clock):
                if each is not None:
                    each(part, filled)
            yield Tile(part, int(room.buyers.begin[end - begin]), room)


def purchase_plan(
    posterior: Parameters,
    histories: Histories,
    keys: np.ndarray,
    horizon: np.ndarray | float,
    start: np.ndarray | float = 0.0,
) -> Plan:
    """Return the plan that simulates purchases alone; ``horizon`` is one for all, or (row).

    New customers may have come before: ``start`` (row) is then when, a time of the calendar from now.

    Where the family draws each customer's numbers the histories hold the column of ``histories.apart``.
    """
    forecast, columns = posterior.forecast, histories.columns
    law, known = forecast.paths, {name: columns[name] for name in forecast.history}
    _, recency, age = (columns[name] for name in forecast.history[:3])
    silence, ends = age - recency, np.broadcast_to(np.asarray(horizon, dtype=np.float64), age.shape)
    ordered = keys[histories.order]
    clock: Clock | OwnClock | GroupClock | None = None
    if forecast.own_clock is not None:
        clock = forecast.own_clock(known, posterior.values)
        if isinstance(clock, GroupClock) and np.any(start):
            clock = clock.starting(np.broadcast_to(start, age.shape))
    if forecast.clock is not None:
        clock = clock_of(*forecast.clock(posterior.values), np.broadcast_to(start, age.shape), ends)

    def state(rows: np.ndarray) -> dict[str, Any]:
        found: dict[str, Any] = {"silence": silence[rows, None], "horizon": ends[rows, None]}
        if clock is not None:
            found = {"silence": clock.silent(rows, silence[rows]), "horizon": clock.elapsed(rows, ends[rows])}
        if forecast.futures is not None:
            return found | _drawn(posterior, columns, ordered, rows, np.asarray(start, dtype=float))
        history = {name: column[rows, None] for name, column in known.items()}
        values = posterior.at(columns, rows)
        if "alive" in law.needs:
            found["alive"] = forecast.alive(history, values)
        if forecast.state is None:
            raise ValueError(f"{posterior.family.words.title} has no state.")
        numbers = forecast.state(history, values)
        names = [name for name in law.needs if name != "alive"]
        return found | dict(zip(names, numbers, strict=True))

    return Plan(law=law, state=state, row=histories.row, keys=ordered, draws=posterior.size, clock=clock)


def _drawn(
    posterior: Parameters,
    columns: dict[str, np.ndarray],
    keys: np.ndarray,
    rows: np.ndarray,
    start: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the numbers that the family draws of rows that are single customers, whose ``keys`` (row, 2) these are.

    The future of a row begins at ``start`` (row), a time from now. They come from a generator of the
    customer's own, seeded by its key.
    """
    futures_of, names = posterior.forecast.futures, posterior.forecast.history
    if futures_of is None:
        raise ValueError(f"{posterior.family.words.title} draws no futures of its own.")
    drawn = np.empty((5, rows.size, posterior.size))
    begins = np.broadcast_to(start, columns[names[0]].shape)
    for i, row in enumerate(rows):
        history = {name: np.asarray(columns[name][row], dtype=float) for name in names}
        each = posterior.at(columns, np.array([row]))
        if CALENDAR in each:
            history["start"] = np.asarray(begins[row])
        values = {name: value if name == CALENDAR else np.ravel(value) for name, value in each.items()}
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(keys[row].tobytes(), "little")))
        for part, numbers in zip(drawn, futures_of(rng, history, values), strict=True):
            part[i] = numbers
    return dict(zip(("alive", "shape", "scale", "b", "a"), drawn, strict=True))


def spend_money(payments: Parameters, histories: Histories, discount: float) -> Money:
    """Return how occasions are paid, by one draw of ``payments`` each: the levels of the distinct histories."""
    level = payments.level

    def state(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = payments.at(histories.columns, rows)
        return level.state(payments.paid(histories.columns, rows), values)

    def occasion(rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = payments.at(histories.columns, rows)[level.occasion]
        return found

    moving = level.moves

    def moves(rows: np.ndarray) -> Moves:
        assert moving is not None
        return moving(payments.paid(histories.columns, rows), payments.at(histories.columns, rows))

    return Money(
        state=state,
        occasion=occasion,
        discount=discount,
        rule=level.pays,
        ahead=payments.ahead,
        width=payments.width,
        moves=None if moving is None else moves,
    )


def changed_plan(
    plan: Plan,
    family: Family,
    horizon: float,
    pace: np.ndarray | None = None,
    leaving: np.ndarray | None = None,
    windows: Sequence[Window] = (),
) -> Plan:
    """Return the plan of customers whose rate and dropout are so many times what they were (``Simulation.varied``).

    ``horizon`` is that of the plan, from now.
    """
    if windows:
        plan = _hurried_plan(plan, horizon, windows)
    if pace is None and leaving is None:
        return plan
    change, state = plan.law.change, plan.state
    if change is None:
        raise InputError(
            f"The purchase rate and dropout of {family.words.title} cannot be changed: its law of leaving does not say "
            "how. Change spend, margin or costs."
        )
    ones = np.ones(plan.draws)
    by = ones if pace is None else pace, ones if leaving is None else leaving
    return replace(plan, state=lambda rows: change(state(rows), *by))


def _hurried_plan(plan: Plan, horizon: float, windows: Sequence[Window]) -> Plan:
    """Return the plan by a clock that runs faster or slower in some windows."""
    if isinstance(plan.clock, OwnClock):
        raise InputError(
            "Of a fit with columns over time a scenario cannot change the purchase rate of a part of the horizon yet. "
            "Say what is planned of the columns themselves, clv.customers.with_plan(customers, table)."
        )
    if isinstance(plan.clock, GroupClock):
        raise InputError(
            "Of a fit whose calendar differs by group a scenario cannot change the purchase rate of a part of the "
            "horizon yet. Fit with one calendar for all, Calendar(), for it."
        )
    state, clock = plan.state, hurried(plan.clock, windows, int(plan.row.max()) + 1, plan.draws)

    def to_horizon(rows: np.ndarray) -> dict[str, Any]:
        return state(rows) | {"horizon": clock.elapsed(rows, np.full(rows.size, horizon))}

    return replace(plan, state=to_horizon, clock=clock)
