"""What if: scenarios of price, margin, rates and costs, each drawn as the same future, so that a difference is paired.

A scenario is data: levers (``levers.LEVERS``) that are set or changed against the base, for everybody or for the
customers of whom a condition holds. The future of every scenario is drawn with the same posterior draws and the same
random numbers (``distributions.streams``): a customer who does not buy in a draw of the base does not by luck buy in
another scenario. What is left in a difference is the change itself and what is not known of the customers.

In each draw, of all customers over the horizon::

    revenue      = spend x (1 + change of spend) x (1 + change of price), not discounted
    contribution = the same of discounted spend, x margin
    cost         = cost_per_order x discounted orders + cost_to_serve x discounted time until a customer leaves
                   + contact_cost x customers contacted + acquisition_cost x new customers + expected loss by default
    value        = contribution - cost

A simulation with ``costs`` has what its customers cost in its base, each customer's own (``scenario_sums``).

A price changes the margin: what goods cost stays, so that of a margin m at the base's prices (m + x) / (1 + x) is left
at a price higher by x. Whether customers buy less at it is another lever, the purchase rate, which is stated.

All but rates, horizon and discount are factors of sums over customers. So scenarios that differ in these alone share
one simulation and scale exactly, a scenario equal to the base differs by exactly 0, and a search for a break-even is
free. Rates change the numbers of each customer draw by draw, before its future is drawn (``Paths.change``).

Customers who are won now (``new_customers``) are of the population, as ``clv.predict_cohort`` has them, and of a
simulation of their own.

**What P(better) is of**: of the same customers with the same luck, in one draw of what is not known. Where an own
uncertainty is stated in the base all scenarios share it; stated in a scenario it is the scenario's own, independent of
the others'. Rejected: one number for equal distributions of two scenarios, which would make two untried campaigns
equally good by assumption.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.distributions.paths import Room
from bayes_clv.language import say
from bayes_clv.predictions.money import without_moments
from bayes_clv.predictions.parameters import new_customers
from bayes_clv.predictions.plans import changed_plan
from bayes_clv.predictions.simulation import Simulation, drawn_of
from bayes_clv.schema import CUSTOMER, DRAW, InputError, Variable, describe, in_currency, interval
from bayes_clv.units import discount_rate, duration
from bayes_clv.valuation.assumptions import scope_of
from bayes_clv.valuation.cohort import newcomers_plan
from bayes_clv.valuation.dated import Dated, windows_of
from bayes_clv.valuation.levers import (
    ACQUISITION,
    CONTACT,
    DISCOUNT,
    DROPOUT,
    HORIZON,
    LEVERS,
    MARGIN,
    NEWCOMERS,
    PROMOTION,
    RATE,
    Amount,
)
from bayes_clv.valuation.scenario_sums import ASKED, PEOPLE, Terms, amounts
from bayes_clv.valuation.stated import BASE, Scenario, Scenarios, of_scenarios

SCENARIO = "scenario"
TOTALS = ("purchases", "revenue", "contribution", "cost", "value")
# Of new customers so many are simulated at a time.
_STEP = 512
_OWN = {
    "revenue": Variable("spend of all customers over the horizon, not discounted", "money", "outcome"),
    "contribution": Variable("margin on discounted spend", "money", "outcome"),
    "cost": Variable("discounted costs of serving, orders, contacts and acquisition", "money", "outcome"),
    "value": Variable("contribution less cost", "money", "outcome"),
    "purchases": Variable("purchases of all customers over the horizon", "count", "outcome"),
    "reached": Variable("customers to whom the scenario applies", "count", "latent"),
    "probability_better": Variable("P(worth more than the base)", "probability", "outcome"),
    "probability_best": Variable("P(worth most of all scenarios)", "probability", "outcome"),
    "loss_if_wrong": Variable(
        "mean of what is lost against the base, nothing where it is better", "money", "outcome"
    ),
    "expected_loss": Variable(
        "mean of what is lost against the best scenario of each draw", "money", "outcome"
    ),
    "value_difference_error": Variable("standard error of the mean difference, by simulation", "money"),
} | {f"{name}_difference": Variable(f"{name} less that of the base", "money", "outcome") for name in TOTALS}
_OWN["purchases_difference"] = Variable("purchases less those of the base", "count", "outcome")


@dataclass(frozen=True)
class Run:
    """What a simulation of its own is of: horizon and discount a time unit, and the changes of rates by their bytes."""

    horizon: float
    discount: float
    pace: bytes = b""
    leaving: bytes = b""
    # Of levers of days: which, from when, to when, and how many times as fast.
    windows: tuple[tuple[str, float, float, bytes], ...] = ()

    @staticmethod
    def _read(drawn: bytes) -> np.ndarray | None:
        return np.frombuffer(drawn) if drawn else None

    @property
    def changes(self) -> dict[str, Any]:
        """Return pace and leaving, (draw,), None where unchanged; and the windows in which customers buy faster."""
        windows = [(start, end, np.frombuffer(factor)) for _, start, end, factor in self.windows]
        return {"pace": self._read(self.pace), "leaving": self._read(self.leaving), "windows": windows}


@dataclass(frozen=True)
class Settled:
    """A scenario with every lever a number of each draw: (draw,); ``own`` of it are each customer's own (``Terms``)."""

    scenario: Scenario
    levers: Mapping[str, np.ndarray]
    run: Run
    own: frozenset[str] = frozenset()


@dataclass
class World:
    """A simulation, and the sums over customers that were drawn of it so far, by run and condition.

    ``settle`` and ``totals`` are what is asked of it. ``base`` is what holds where a scenario says nothing.
    """

    simulation: Simulation
    base: Settled
    profile: Mapping[str, Any]
    threads: int | None
    terms: Terms
    _sums: dict[tuple[Run, str | None], np.ndarray] = field(default_factory=dict)
    _won: dict[tuple[Run, bytes], np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        simulation: Simulation,
        base: Scenario | None,
        profile: Mapping[str, Any] | None = None,
        threads: int | None = None,
    ) -> "World":
        """Return the world of a simulation whose margin, discount and horizon hold where the base says nothing."""
        if not isinstance(simulation, Simulation) or simulation.spending is None:
            raise InputError(
                "Scenarios need money: make the simulation with clv.simulate(..., spending=spending, margin=0.3)."
            )
        one = np.ones(simulation.size)
        known = {name: one if each.relative else 0 * one for name, each in LEVERS.items()}
        terms = Terms.of(simulation)
        known |= {name: largest * one for name, largest in terms.largest.items()}
        run = Run(simulation.horizon, simulation.discount)
        nothing = Settled(Scenario(BASE), known, run, terms.differ)
        world = cls(simulation, nothing, dict(profile or {}), threads, terms)
        if base is None:
            return world
        if base.where is not None:
            raise InputError(f"{base.place}: the base is of all customers and has no where.")
        return replace(world, base=world._settled(base))

    def settle(self, given: Scenario) -> Settled:
        """Return a scenario with its levers drawn, and what it needs drawn anew; one without effect is refused."""
        found = self._settled(given)
        if ACQUISITION in given.levers and not found.levers[NEWCOMERS].any():
            raise InputError(
                f"{given.levers[ACQUISITION].place}: acquisition_cost costs nothing without new_customers. Say how "
                "many are won."
            )
        return found

    def _settled(self, given: Scenario) -> Settled:
        self._refuse_rates(given)
        size, seed = self.simulation.size, self.simulation.seed
        levers = dict(self.base.levers)
        run, own = self.base.run, self.base.own
        for name, each in given.levers.items():
            if name == HORIZON:
                run = replace(run, horizon=self._horizon(each))
            elif name == DISCOUNT:
                now = np.expm1(run.discount / discount_rate(np.e - 1, self.simulation.inputs.time_unit))
                stated = each.of(name, np.full(size, now), seed, given.name, size)[0]
                run = replace(run, discount=discount_rate(float(stated), self.simulation.inputs.time_unit))
            elif isinstance(each, Dated):
                if name == PROMOTION:
                    levers[name] = each.of(name, np.ones(size), seed, given.name, size)
                run = replace(run, windows=self._windows(run, name, each, levers[name]))
            else:
                levers[name] = each.of(name, levers[name], seed, given.name, size)
                own -= set() if each.relative else {name}
        if NEWCOMERS in given.levers:
            levers[NEWCOMERS] = np.rint(levers[NEWCOMERS])
        pace, leaving = (
            b"" if (each == 1).all() else each.tobytes() for each in (levers[RATE], levers[DROPOUT])
        )
        return Settled(given, levers, replace(run, pace=pace, leaving=leaving), own)

    def _windows(self, run: Run, lever: str, stated: Dated, factor: np.ndarray) -> Any:
        """Return the windows of a run with those of a lever in the place of the base's."""
        others = tuple(each for each in run.windows if each[0] != lever)
        found = windows_of(self.simulation, lever, stated, factor)
        return (*others, *((lever, start, end, by.tobytes()) for start, end, by in found))

    def _refuse_rates(self, given: Scenario) -> None:
        """Refuse a change of rates that the family cannot have."""
        family = self.simulation.buying.family
        changed = [name for name in (RATE, DROPOUT) if name in given.levers]
        if changed and self.simulation.plan.law.change is None:
            raise InputError(
                f"{given.levers[changed[0]].place}: {changed[0]} of {family.words.title} cannot be changed: its law of "
                "leaving does not say how. Change spend, margin or costs."
            )
        if DROPOUT in changed and "dropout" not in family.processes:
            raise InputError(
                f"{given.levers[DROPOUT].place}: by {family.words.title} nobody leaves, so that there is no dropout to "
                "change. Fit another family, or leave it out."
            )

    def _horizon(self, given: Amount) -> float:
        most, unit = self.simulation.horizon, self.simulation.inputs.time_unit
        try:
            length = duration(given.value, unit)
        except InputError as error:
            raise InputError(f"{given.place}: {error.text}") from None
        if length > most * (1 + 1e-12):
            raise InputError(
                f"{given.place}: the horizon, {given.text}, is longer than that of the simulation, {most:g} {unit}s. "
                "Simulate as far as the longest scenario."
            )
        return min(length, most)

    def totals(self, settled: Sequence[Settled]) -> list[dict[str, np.ndarray]]:
        """Return each total (draw,) of each scenario; what was not drawn before is, in one walk over the customers."""
        wanted: dict[tuple[Run, str | None], None] = {}
        for each in settled:
            where = each.scenario.where
            wanted[each.run, where] = None
            if where is not None:
                wanted |= {(self.base.run, where): None, (self.base.run, None): None}
        missing = [key for key in wanted if key not in self._sums]
        if missing:
            told = {
                each.scenario.where: each.scenario.place
                for each in settled
                if each.scenario.where is not None
            }
            self._sums |= self._drawn(missing, told)
        return [self._total(each) for each in settled]

    def reached(self, settled: Settled) -> float:
        """Return how many customers a scenario applies to, on average over draws."""
        return float(self._sums[settled.run, settled.scenario.where][PEOPLE].mean())

    def _total(self, each: Settled) -> dict[str, np.ndarray]:
        found = amounts(each.levers, self._sums[each.run, each.scenario.where], each.own)
        newcomers = each
        if each.scenario.where is not None:
            # All as in the base, and what it changes of those whom it reaches: where nothing, exactly nothing.
            newcomers, base = self.base, self.base.levers
            before = amounts(base, self._sums[self.base.run, each.scenario.where], self.base.own)
            everybody = amounts(base, self._sums[self.base.run, None], self.base.own)
            found = {name: everybody[name] + (value - before[name]) for name, value in found.items()}
        volume = newcomers.levers[NEWCOMERS]
        if volume.any():
            # Those who are won are not contacted for being customers already.
            levers = dict(newcomers.levers) | {CONTACT: newcomers.levers[ACQUISITION]}
            won = amounts(levers, self._newcomers(newcomers.run, volume), newcomers.own)
            found = {name: value + won[name] for name, value in found.items()}
        return found | {"value": found["contribution"] - found["cost"]}

    def _drawn(
        self, keys: Sequence[tuple[Run, str | None]], conditions: Mapping[str, str]
    ) -> dict[tuple[Run, str | None], np.ndarray]:
        """Return sums over customers (row, draw) of each run, of those of whom a condition holds.

        ``conditions`` say where they were written.
        """
        simulation, threads = self.simulation, self.threads
        plain = replace(simulation, margin=1.0, costs=None)
        runs = {
            run: plain.varied(horizon=run.horizon, discount=run.discount, **run.changes)
            for run in dict.fromkeys(key[0] for key in keys)
        }
        scopes = {each: scope_of(simulation, place, each, threads) for each, place in conditions.items()}
        needed = list(dict.fromkeys(name for _, names in scopes.values() for name in names))
        order = simulation.inputs.histories.order
        place = np.empty(order.size, dtype=np.int64)
        place[order] = np.arange(order.size)
        rooms: SimpleQueue[Room] = SimpleQueue()

        def work(places: np.ndarray, block: dict[str, np.ndarray]) -> list[np.ndarray]:
            inside = {each: scope(places, block) for each, (scope, _) in scopes.items()}
            drawn = {run: each.of(place[places], ASKED, rooms) for run, each in runs.items()}
            rows = {run: self.terms.weighed(each, run.discount, places) for run, each in drawn.items()}
            found = []
            for run, where in keys:
                members = 1.0 if where is None else inside[where]
                found.append(np.stack([(row * members).sum(axis=0) for row in rows[run]]))
            return found

        sums = [np.zeros((self.terms.rows, simulation.size)) for _ in keys]
        for parts in simulation.each(work, needed, threads):
            for total, part in zip(sums, parts, strict=True):
                total += part
        return dict(zip(keys, sums, strict=True))

    def _newcomers(self, run: Run, volume: np.ndarray) -> np.ndarray:
        """Return sums (row, draw) over the first ``volume`` (draw,) of newly won customers."""
        key = run, volume.tobytes()
        if key in self._won:
            return self._won[key]
        simulation = self.simulation
        assert simulation.spending is not None
        buying, spending = new_customers(
            self.profile, simulation.buying, replace(simulation.spending, ledger=None, payer=None)
        )
        people = int(volume.max())
        plan = newcomers_plan(buying, spending, people, run.horizon, run.discount, simulation.seed)
        plan = changed_plan(plan, buying.family, run.horizon, **run.changes)
        rooms: SimpleQueue[Room] = SimpleQueue()
        total, terms = np.zeros((self.terms.rows, simulation.size)), self.terms.average(simulation.size)
        for start in range(0, people, _STEP):
            end = min(start + _STEP, people)
            part = replace(plan, row=plan.row[start:end], keys=plan.keys[start:end])
            drawn = drawn_of(part, ASKED, simulation.own, run.horizon, run.discount, rooms)
            there = np.arange(start, end)[:, None] < volume
            rows = terms.weighed(drawn, run.discount, np.zeros(end - start, dtype=np.int64))
            total += np.stack([(row * there).sum(axis=0) for row in rows])
        self._won[key] = total
        return total


def compare_scenarios(
    simulation: Simulation,
    scenarios: Iterable[Scenario] | Scenarios,
    *,
    base: Scenario | None = None,
    profile: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return what each scenario is worth, and its difference to the base, draw by draw.

    Parameters
    ----------
    simulation
        Of ``clv.simulate`` with a spending posterior, as far as the longest horizon of a scenario; its margin, discount
        rate, horizon and costs hold where the base says nothing.
    scenarios
        Of ``clv.valuation.scenario``; or what ``clv.valuation.read_scenarios`` returned, with its base.
    base
        What holds in every scenario that says nothing else, such as costs: ``scenario("base", cost_per_order=1.2)``.
    profile
        What new customers are, of a fit with covariates or groups, as in ``clv.predict_cohort``.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Outcome level. Over (draw, scenario), the base first: ``purchases``, ``revenue`` (money, not discounted),
        ``contribution`` (margin on discounted spend), ``cost`` (discounted, the expected loss by default in it),
        ``value`` (contribution less cost), and of each ``_difference`` to the base. Over ``scenario``: ``_mean``,
        ``_q05``, ``_q95`` of all of these; ``probability_better`` than the base; ``loss_if_wrong``, the mean of what is
        lost against the base, counting nothing where the scenario is better; ``probability_best`` of all;
        ``expected_loss``, the mean of what is lost against the best of each draw; ``value_difference_error``, the
        standard error of the mean difference, by simulation; ``reached``, the customers it applies to; and ``stated``,
        what it changes.
        ``attrs["value_of_perfect_information"]`` is the mean value of choosing the best in each draw over that of the
        scenario which is best on average: no test of any kind can be worth more.

    Raises
    ------
    InputError
        A simulation without money; a lever out of range in some draw, or that contradicts another; a condition that
        cannot be read; two scenarios of one name.

    Notes
    -----
    Where expected spend is infinite in a draw (``clv.predict``) means of money are NaN and quantiles exist.

    Examples
    --------
    >>> simulation = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> dearer = clv.valuation.scenario("Dearer", price="+5 %", purchase_rate="-3 %")
    >>> found = compare_scenarios(simulation, [dearer])
    >>> found["scenario"].values.tolist()
    ['base', 'Dearer']
    """
    base, others = of_scenarios(scenarios, base)
    world = World.of(simulation, base, profile, threads)
    settled = [world.base, *(world.settle(each) for each in others)]
    return summarized(world, settled)


def summarized(world: World, settled: Sequence[Settled]) -> xr.Dataset:
    """Return the dataset of ``compare_scenarios``; the first of ``settled`` is the base."""
    totals = world.totals(settled)
    simulation = world.simulation
    names = [each.scenario.name for each in settled]
    drawn: dict[str, np.ndarray] = {}
    for total in TOTALS:
        drawn[total] = np.stack([each[total] for each in totals], axis=1)
        drawn[f"{total}_difference"] = drawn[total] - drawn[total][:, :1]
    data: dict[str, Any] = {name: ((DRAW, SCENARIO), value) for name, value in drawn.items()}
    assert simulation.spending is not None
    lacking, times = without_moments(simulation.spending, simulation.customers, 1)
    reasons = []
    for name, value in drawn.items():
        low, high = interval(value, axis=0)
        mean = value.mean(axis=0)
        if lacking.any() and not name.startswith("purchases"):
            mean = np.full(mean.shape, np.nan)
        for ending, each in zip(("mean", "q05", "q95"), (mean, low, high), strict=True):
            data[f"{name}_{ending}"] = (SCENARIO, each)
    value, difference = drawn["value"], drawn["value_difference"]
    best = value.max(axis=1, keepdims=True)
    at_best = value == best
    losses = {
        "loss_if_wrong": np.maximum(-difference, 0.0).mean(axis=0),
        "expected_loss": (best - value).mean(axis=0),
        "value_difference_error": difference.std(axis=0, ddof=1) / np.sqrt(value.shape[0]),
    }
    perfect = float(losses["expected_loss"].min())
    if lacking.any():
        losses = {name: np.full(each.shape, np.nan) for name, each in losses.items()}
        perfect = float("nan")
        reasons.append(
            say(
                "means and expected losses of money are NaN, because expected spend is infinite for {lacking:,} of "
                "{size:,} customers in up to {draws} of {all} draws. Use the quantiles, or a stronger prior on q.",
                lacking=int(lacking.sum()),
                size=lacking.size,
                draws=times,
                all=simulation.size,
            )
        )
    data |= {name: (SCENARIO, each) for name, each in losses.items()}
    data["probability_better"] = (SCENARIO, (difference > 0).mean(axis=0))
    data["probability_best"] = (SCENARIO, (at_best / at_best.sum(axis=1, keepdims=True)).mean(axis=0))
    reached = np.array([world.reached(each) for each in settled])
    for each, people in zip(settled, reached, strict=True):
        if each.scenario.where is not None and people == 0:
            raise InputError(
                f"{each.scenario.place}: where is {each.scenario.where!r}, which holds for no customer in any "
                "draw, so that the scenario changes nothing. Mend the condition, or leave the scenario out."
            )
    data["reached"] = (SCENARIO, reached)
    coords = {
        DRAW: np.arange(simulation.size),
        SCENARIO: np.array(names, dtype=object),
        "stated": (SCENARIO, np.array([each.scenario.text for each in settled], dtype=object)),
    }
    found = xr.Dataset(
        data, coords=coords, attrs=attrs_of(world) | {"result": "scenarios", "reasons": reasons}
    )
    return describe(found.assign_attrs(value_of_perfect_information=perfect), _OWN)


def attrs_of(world: World) -> dict[str, Any]:
    """Return what every result of scenarios says of itself."""
    simulation, base = world.simulation, world.base
    return {
        "time_unit": simulation.inputs.time_unit,
        "horizon": base.run.horizon,
        "discount_rate": base.run.discount,
        "margin": float("nan") if MARGIN in base.own else float(np.median(base.levers[MARGIN])),
        "customers": simulation.customers.sizes[CUSTOMER],
        "draws": simulation.size,
        "seed": simulation.seed,
        "level": "outcome",
        "base": base.scenario.name,
        **in_currency(simulation.customers.attrs),
        **({} if simulation.costs is None else {"costs": simulation.costs.text}),
    }
