"""Everything about a customer in one draw: alive, its own rate and spend level, and the future that follows from them.

A summary per customer cannot say who is in the top fifth by value *and* buys rarely, and the parts of such a condition
must come from one draw. Here each posterior draw gives each customer one set of numbers that belong together: first the
customer's own rates given its history (*latent*), then one future given those rates (*outcome*). ``clv.predict`` is a
summary of the same simulation: with one seed, draw by draw, its totals are the sums of what is here.

``clv.simulate`` is a recipe and computes nothing. ``blocks`` walks over the customers, some at a time, and gives
arrays (customer, draw) of the quantities that were asked for; memory does not grow with the customers. All random
numbers of a customer come from streams of its id and of the draw (``distributions.paths``): neither order, company,
threads nor what else is asked for change anything. Customers of one history stand side by side, and share its
probabilities.

What is not asked for is not computed: a rule on rates alone simulates no future.

Where the time goes is measured by studies/segments_scale.py. Rejected: latent numbers from one NumPy generator per
block of customers (the first form), which made whole arrays of everything, took three to thirty times as long, and let
a customer's numbers depend on the others.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import numpy as np
import xarray as xr

from bayes_clv.distributions.arrays import stretches
from bayes_clv.distributions.paths import Room, room
from bayes_clv.distributions.paths.clock import Window
from bayes_clv.predictions.averages import STATES, WAKING
from bayes_clv.predictions.histories import (
    WHO,
)
from bayes_clv.predictions.inputs import Inputs, prepare
from bayes_clv.predictions.own_costs import BEFORE, Costs, OwnCosts, discounted_time, resolved
from bayes_clv.predictions.parameters import Parameters
from bayes_clv.predictions.plans import TILE, Plan, changed_plan, purchase_plan, spend_money, tiles
from bayes_clv.predictions.statistics import spread
from bayes_clv.predictions.tiles import in_order
from bayes_clv.schema import CUSTOMER, POINTERS, UNSTATED, InputError
from bayes_clv.units import checked_margin, discount_rate, duration

# Customers × draws a block: a megabyte an array. Half as many cost 6 % more, for the calls of NumPy.
BLOCK = 131_072
# A probability from this many draws has a standard error of at most 0.5 / sqrt(400) = 2.5 %.
DRAWS = 400
SPEND_LEVEL = "spend_per_purchase"
DISCOUNTED = "discounted_purchases"
OUTCOMES = ("purchases", "spend", "value")
ACTIVE_TIME = "active_time"
NEXT = "time_to_purchase"
SINCE = "time_since_leaving"
RATE, AGO = "purchase_rate", "rate_year_ago"
GROWING, FADING = "probability_growing", "probability_fading"
YEAR = "52 weeks"
# A rate that drifts is never quite what it was: more or less than a year ago are most customers with a probability of
# about a half, whatever they do. A fifth more, or its inverse, is a change that somebody would plan for; on the log
# scale both are equally far.
FACTOR = 1.2

type Block = tuple[np.ndarray, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Simulation:
    """A recipe of joint draws; made by ``clv.simulate``.

    Attributes
    ----------
    names : tuple of str
        Quantities that can be asked for.
    size : int
        Draws.
    inputs : Inputs
        Posteriors and customers, checked and matched.
    plan : Plan
        What is simulated, of the customers sorted by history.
    margin, discount, seed
        The share of spend that is earned; continuous, per time unit; of all random numbers.
    costs : OwnCosts, or None
        What each customer costs, which its value is less.
    """

    inputs: Inputs
    plan: Plan
    margin: float
    discount: float
    seed: int
    costs: OwnCosts | None = None

    @property
    def size(self) -> int:
        """Return the number of draws."""
        return self.buying.size

    @property
    def customers(self) -> xr.Dataset:
        """Return the customers."""
        return self.inputs.customers

    @property
    def buying(self) -> Parameters:
        """Return the draws of the buying posterior."""
        return self.inputs.posterior

    @property
    def spending(self) -> Parameters | None:
        """Return those of the spending posterior, one for each."""
        return self.inputs.spending

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Return what the families read of each customer."""
        return self.inputs.past | self.inputs.paid

    @property
    def keys(self) -> np.ndarray:
        """Return the customers' random streams."""
        assert self.inputs.keys is not None
        return self.inputs.keys

    @property
    def horizon(self) -> float:
        """Return the horizon in time units."""
        return self.inputs.horizon

    @property
    def latent(self) -> tuple[str, ...]:
        """Return the names of the customer's own numbers."""
        level = () if self.spending is None else (SPEND_LEVEL,)
        return ("alive", *self.buying.forecast.latent, *level)

    @property
    def own(self) -> dict[str, str]:
        """Return as what the paths know those of the customer's own numbers that they are asked for (``Own``)."""
        rates = dict(zip(self.buying.forecast.latent, ("rate", "leaving", "regularity"), strict=False))
        return {
            "alive": "alive",
            **rates,
            **({"asleep": "asleep"} if self.sleeping else {}),
            SPEND_LEVEL: "level",
            NEXT: "first",
            SINCE: "left",
            ACTIVE_TIME: "left",
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Return what can be asked for: the customers' own numbers, the latent ones, and the future's."""
        future = OUTCOMES if self.spending is not None else OUTCOMES[:1]
        future = future if self.costs is None else (*future, BEFORE)
        past = ("time_since_purchase", "probability_alive")
        states = (*STATES, WAKING, "asleep") if self.sleeping else ()
        changes = (AGO, GROWING, FADING) if self.changing else ()
        return (
            *self.data,
            *past,
            *self.latent,
            *states,
            *changes,
            SINCE,
            *future,
            DISCOUNTED,
            ACTIVE_TIME,
            NEXT,
        )

    @property
    def sleeping(self) -> bool:
        """Return whether customers may be asleep."""
        return self.buying.forecast.states is not None

    @property
    def changing(self) -> bool:
        """Return whether a customer's rate changes, and it is known how long a year is."""
        return self.buying.forecast.rate_ago is not None and self.inputs.time_unit != UNSTATED

    @property
    def data(self) -> tuple[str, ...]:
        """Return the customers' columns of numbers."""
        return tuple(
            str(name)
            for name, column in self.customers.data_vars.items()
            if column.dims == (CUSTOMER,) and column.dtype.kind in "iufb" and name not in POINTERS
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the customers' columns of text, which ``each`` gives as they are."""
        return tuple(
            str(name)
            for name, column in self.customers.data_vars.items()
            if column.dims == (CUSTOMER,) and column.dtype.kind in "OUT"
        )

    def blocks(self, names: Sequence[str], threads: int | None = None) -> Generator[Block]:
        """Yield (places, quantities) of one block of customers after the other.

        ``places`` are the customers' positions in the dataset; each quantity is (customer, draw), or (customer, 1)
        where it does not vary over draws.
        """
        yield from self.each(lambda places, quantities: (places, quantities), names, threads)

    def each[Result](
        self,
        work: Callable[[np.ndarray, dict[str, np.ndarray]], Result],
        names: Sequence[str],
        threads: int | None = None,
        sample: int | None = None,
    ) -> Generator[Result]:
        """Yield ``work(places, quantities)`` of one block after the other; the threads do the work too.

        With a ``sample`` only that many customers are walked over, the first in the order of their random keys.
        """
        unknown = [name for name in names if name not in self.names and name not in self.texts]
        if unknown:
            raise InputError(
                f"The quantity {unknown[0]!r} is not known here. There are {', '.join(self.names)}"
                f"{'' if self.spending is not None else '; money needs a spending posterior'}."
            )
        order = self.inputs.histories.order
        chosen = np.arange(order.size)
        if sample is not None and sample < order.size:
            last = np.partition(self.keys[:, 0], sample - 1)[sample - 1]
            chosen = np.flatnonzero(self.keys[order, 0] <= last)
        # Once: xarray takes its time to find a column.
        data = {
            name: self.customers[name].to_numpy().astype(np.float64) for name in names if name in self.data
        }
        data |= {name: self.customers[name].to_numpy() for name in names if name in self.texts}
        step = max(1, BLOCK // self.size)
        rooms: SimpleQueue[Room] = SimpleQueue()

        def block(start: int) -> Result:
            at = chosen[start : start + step]
            found = {name: column[order[at], None] for name, column in data.items()}
            return work(order[at], found | self.of(at, names, rooms))

        yield from in_order(block, range(0, chosen.size, step), threads=threads)

    def of(self, at: np.ndarray, names: Sequence[str], rooms: SimpleQueue[Room]) -> dict[str, np.ndarray]:
        """Return what is not a column of the customers, who are ``at`` these places of the plan.

        ``rooms`` is memory that is not in use; what is taken from it, or made, is put there.
        """
        found, columns, rows = {}, self.inputs.histories.columns, self.plan.row[at]
        if "time_since_purchase" in names:
            found["time_since_purchase"] = (columns["T"] - columns["recency"])[rows, None]
        if set(names) & {"probability_alive", *STATES, WAKING}:
            assert self.plan.alike is not None
            new, local = stretches([self.plan.alike[rows]])
            shape = int(new.sum()), self.size
            found |= {
                name: np.broadcast_to(value, shape)[local] for name, value in self._chances(rows[new], names)
            }
        if set(names) & {*self.own, *OUTCOMES, DISCOUNTED, BEFORE}:
            plan = replace(self.plan, row=self.plan.row[at], keys=self.plan.keys[at])
            if self.costs is not None and set(names) & {"value", BEFORE}:
                found |= self._less_costs(plan, at, names, rooms)
            else:
                drawn = drawn_of(plan, names, self.own, self.horizon, self.discount, rooms)
                if "value" in drawn:
                    drawn["value"] *= self.margin
                found |= drawn
        if set(names) & {AGO, GROWING, FADING}:
            found |= self._changes(at, names, rooms)
        return found

    def _less_costs(
        self, plan: Plan, at: np.ndarray, names: Sequence[str], rooms: SimpleQueue[Room]
    ) -> dict[str, np.ndarray]:
        """Return what is drawn of the customers of a plan, their value less what they cost."""
        assert self.costs is not None
        asked = dict.fromkeys([*(name for name in names if name != BEFORE), "value", DISCOUNTED, ACTIVE_TIME])
        drawn = drawn_of(plan, tuple(asked), self.own, self.horizon, self.discount, rooms)
        places, spend = self.inputs.histories.order[at], drawn["value"]
        time = discounted_time(drawn[ACTIVE_TIME], self.discount)
        drawn["value"] = self.costs.net(places, spend, drawn[DISCOUNTED], time)
        if BEFORE in names:
            drawn[BEFORE] = self.costs.before(places, spend)
        return {name: each for name, each in drawn.items() if name in names}

    def _chances(self, rows: np.ndarray, names: Sequence[str]) -> list[tuple[str, np.ndarray]]:
        """Return P(alive), or what it is made of, of distinct histories, (row, draw) each."""
        forecast, columns = self.buying.forecast, self.inputs.histories.columns
        history = {name: columns[name][rows, None] for name in forecast.history}
        values = self.buying.at(columns, rows)
        if forecast.states is None or forecast.waking is None:
            return [("probability_alive", forecast.alive(history, values))]
        awake, asleep, gone = forecast.states(history, values)
        found = dict(zip(STATES, (awake, asleep, gone), strict=True)) | {"probability_alive": 1 - gone}
        if WAKING in names:
            found[WAKING] = asleep * forecast.waking(self.horizon, history, values)
        return [(name, value) for name, value in found.items() if name in names]

    def _changes(
        self, at: np.ndarray, names: Sequence[str], rooms: SimpleQueue[Room]
    ) -> dict[str, np.ndarray]:
        """Return the rate a year ago, of the same draws as that of now, and how many of them grow or fade."""
        forecast, columns, rows = self.buying.forecast, self.inputs.histories.columns, self.plan.row[at]
        assert forecast.rate_ago is not None
        now = self._own_numbers(at, ("rate", "left"), rooms)
        history = {name: columns[name][rows, None] for name in forecast.history}
        ago = forecast.rate_ago(
            self.plan.keys[at],
            duration(YEAR, self.inputs.time_unit),
            history,
            self.buying.at(columns, rows),
            now["rate"],
            now["left"],
        )
        found = {
            AGO: ago,
            GROWING: (now["rate"] > FACTOR * ago).mean(axis=1, keepdims=True),
            FADING: (FACTOR * now["rate"] < ago).mean(axis=1, keepdims=True),
        }
        return {name: value for name, value in found.items() if name in names}

    def _own_numbers(
        self, at: np.ndarray, fields: Sequence[str], rooms: SimpleQueue[Room]
    ) -> dict[str, np.ndarray]:
        """Return the customers' own numbers as the paths know them, without a future."""
        plan = replace(self.plan, row=self.plan.row[at], keys=self.plan.keys[at], money=None)
        own = {name: np.empty((at.size, self.size)) for name in fields}
        mine = _room(rooms, self.size)
        for _ in tiles(_without_future(plan), 0, at.size, mine, own=own):
            pass
        rooms.put(mine)
        return own

    def varied(
        self,
        *,
        horizon: float | None = None,
        discount: float | None = None,
        pace: np.ndarray | None = None,
        leaving: np.ndarray | None = None,
        windows: Sequence[Window] = (),
    ) -> "Simulation":
        """Return the recipe with something changed and all random numbers as they are.

        Parameters
        ----------
        horizon
            In time units, no longer than that of the simulation, whose beginning it is.
        discount
            Continuous, per time unit.
        pace, leaving
            (draw,): the purchase rate and the dropout of every customer, from now on, are so many times what they were
            (``Paths.change``). Whether a customer is here now stays as it is.
        windows
            From when to when, in time units from now, and how many times as fast (draw,) the clock of purchases runs,
            and of all that goes by them. Not of a law by which customers leave at a time of their own.

        Raises InputError where the family's rate or dropout cannot be changed.
        """
        found = self
        if horizon is not None and horizon != self.horizon:
            assert self.inputs.keys is not None
            inputs = replace(self.inputs, horizon=horizon)
            of = purchase_plan(inputs.posterior, inputs.histories, self.inputs.keys, horizon)
            found = replace(found, inputs=inputs, plan=replace(self.plan, state=of.state))
        if discount is not None:
            money = None if self.plan.money is None else replace(self.plan.money, discount=discount)
            found = replace(found, plan=replace(found.plan, money=money), discount=discount)
        plan = changed_plan(found.plan, self.buying.family, found.horizon, pace, leaving, windows)
        return found if plan is found.plan else replace(found, plan=plan)


def _room(rooms: SimpleQueue[Room], draws: int) -> Room:
    try:
        return rooms.get_nowait()
    except Empty:
        return room(max(1, TILE // draws), draws)


def drawn_of(
    plan: Plan,
    names: Sequence[str],
    own_names: Mapping[str, str],
    horizon: float,
    discount: float,
    rooms: SimpleQueue[Room],
) -> dict[str, np.ndarray]:
    """Return what is drawn of the customers of a plan, (customer, draw), money at a margin of 1.

    ``own_names`` are what the paths call the customers' own numbers, ``discount`` is the continuous rate at which
    purchases are counted where discounted ones are asked for; ``rooms`` as in ``Simulation.of``.
    """
    if not set(names) & {SPEND_LEVEL, *OUTCOMES[1:]}:
        plan = replace(plan, money=None)
    if not set(names) & {*OUTCOMES, DISCOUNTED, ACTIVE_TIME}:
        plan = _without_future(plan)
    shape = (plan.row.size, plan.draws)
    own = {own_names[name]: np.empty(shape) for name in names if name in own_names}
    bought = {name: np.zeros(shape) for name in names if name in (*OUTCOMES, DISCOUNTED)}
    mine = _room(rooms, plan.draws)

    def count(part: slice, filled: int) -> None:
        buyer, time = mine.batch.buyer[:filled], mine.batch.time[:filled]
        whose = mine.buyers.customer[buyer].astype(np.int64) + part.start, mine.buyers.draw[buyer]
        np.add.at(bought[DISCOUNTED], whose, np.exp(-discount * time))

    each = count if DISCOUNTED in bought else None
    for done in tiles(plan, 0, plan.row.size, mine, own=own, each=each):
        for name, of_all in bought.items():
            if name != DISCOUNTED:
                given = mine.buyers.count if name == "purchases" else getattr(mine.paid, name)
                spread(mine.buyers, given, done.found, of_all[done.part])
    rooms.put(mine)
    if plan.first_order and "purchases" in bought:
        bought["purchases"] += 1
    drawn = {name: own[own_names[name]] for name in names if name in own_names}
    if ACTIVE_TIME in drawn:
        drawn[ACTIVE_TIME] = np.clip(drawn[ACTIVE_TIME], 0.0, horizon)
    if SINCE in drawn:
        drawn[SINCE] = np.maximum(-drawn[SINCE], 0.0)
    return drawn | bought


def _without_future(plan: Plan) -> Plan:
    """Return the plan to no horizon: only the customers' own numbers are drawn."""

    def state(rows: np.ndarray) -> dict[str, np.ndarray]:
        return plan.state(rows) | {"horizon": np.zeros((rows.size, 1))}

    return replace(plan, state=state)


def simulation_of(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float,
    *,
    spending: xr.DataTree | None = None,
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    costs: Costs | None = None,
    draws: int | None = None,
    seed: int,
) -> Simulation:
    """Return the recipe with ``draws`` draws of the posterior, or with all of them."""
    inputs = prepare(buying, customers, horizon, spending=spending, draws=draws, seed=seed)
    assert inputs.keys is not None
    share, discount = checked_margin(margin), discount_rate(annual_discount_rate, inputs.time_unit)
    histories = inputs.histories
    plan = purchase_plan(inputs.posterior, histories, inputs.keys, inputs.horizon)
    past = [histories.columns[name] for name in (*inputs.past, WHO) if name in histories.columns]
    plan = replace(plan, alike=stretches(past)[1])
    if inputs.spending is not None:
        plan = replace(plan, money=spend_money(inputs.spending, histories, discount))
    own = None
    if costs is not None:
        if inputs.spending is None:
            raise InputError("Costs need money: give a spending posterior, or leave costs out.")
        own = resolved(costs, inputs.customers, share, inputs.posterior.size)
    return Simulation(inputs, plan, share, discount, int(seed), own)


def simulate(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float = "52 weeks",
    *,
    spending: xr.DataTree | None = None,
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    costs: Costs | None = None,
    draws: int = DRAWS,
    seed: int,
) -> Simulation:
    """Return a recipe of each customer's own numbers and future, draw by draw, for ``clv.segment`` and its like.

    Parameters
    ----------
    buying, customers, horizon, spending, margin, annual_discount_rate
        As in ``clv.predict``. Without ``spending`` there is no money.
    costs
        Of ``clv.predictions.costs``: ``value`` is then less what each customer costs, and ``value_before_costs`` what
        it was before.
    draws
        At most about this many posterior draws, evenly spaced. A probability has a standard error of at most
        0.5 / sqrt(draws).
    seed
        Seed of all random numbers. With the same seed and all draws, sums over customers are the totals of
        ``clv.predict``, draw by draw.

    Returns
    -------
    Simulation
        Nothing is computed yet. ``names`` lists its quantities:

        - the customers' columns of numbers (frequency, recency, T, monetary_value, those of ``with_columns``, ...) and
          ``time_since_purchase``, T - recency;
        - ``probability_alive`` (expected level);
        - the customer's own (latent level): ``alive`` (0 or 1), ``purchase_rate`` (1 / time unit, while alive),
          ``dropout`` or ``dropout_rate``, of Pareto/GGG ``regularity``, ``spend_per_purchase`` (money, the mean of an
          occasion), and ``time_since_leaving`` (time units, 0 of one who is here);
        - of a fit with ``returns=True`` ``asleep`` (0 or 1, latent level), and ``probability_awake``,
          ``probability_asleep``, ``probability_gone`` and ``probability_waking``, that of being asleep and awake again
          within the horizon (expected level);
        - of a fit with ``drift=True``, where ``purchase_rate`` is the rate now (of one who has left, when it left),
          ``rate_year_ago`` (latent level): in the same draw, given the whole history, the rate 52 weeks before the end
          of observation, or at the first purchase where that is later; and of all draws ``probability_growing``, that
          the rate now is more than 1.2 times that, and ``probability_fading``, that it is less than that over 1.2
          (``predictions.simulation`` says why 1.2; one who left more than a year ago does neither). Their standard
          error is at most 0.5 / sqrt(draws);
        - the future over the horizon (outcome level): ``purchases``, ``spend``, ``value`` (margin × discounted spend),
          ``discounted_purchases`` (each counted as what one unit of money at its time is worth now), and
          ``active_time`` (time units), for how much of the horizon the customer has not left yet;
        - ``time_to_purchase`` (time units, outcome level), the wait for the next purchase, however late: infinite where
          there is none.

    Raises
    ------
    InputError
        As in ``clv.predict``; fewer than one draw.

    Examples
    --------
    >>> draws = simulate(buying, customers, spending=spending, horizon="52 weeks", margin=0.3, draws=200, seed=1)
    >>> places, block = next(draws.blocks(["alive", "purchases"]))
    >>> block["purchases"].shape
    (655, 200)
    """
    return simulation_of(
        buying,
        customers,
        horizon,
        spending=spending,
        margin=margin,
        annual_discount_rate=annual_discount_rate,
        costs=costs,
        draws=draws,
        seed=seed,
    )
