"""A scenario as data: its levers, to whom it applies, and which of them contradict each other.

What it is worth, and how, says ``scenarios``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayes_clv.schema import InputError
from bayes_clv.valuation.levers import LEVERS, MARGIN, PRICE, Amount, amount

BASE = "base"


@dataclass(frozen=True)
class Scenario:
    """Levers that are set or changed against a base; made by ``clv.valuation.scenario`` or read from a file.

    Attributes
    ----------
    name : str
    levers : dict of str to Amount
    where : str, or None
        The condition of the customers to whom it applies; None for all.
    place : str
        Where it was written, as an error begins.
    break_even : str, or None
        A lever of which it is asked at which setting the scenario is worth as much as the base.
    """

    name: str
    levers: Mapping[str, Amount] = field(default_factory=dict)
    where: str | None = None
    place: str = ""
    break_even: str | None = None

    @property
    def text(self) -> str:
        """Return what it changes, as a line of a table."""
        said = [f"{name.replace('_', ' ')} {each.text}" for name, each in self.levers.items()]
        return "; ".join([*said, *([f"where {self.where}"] if self.where else [])]) or "nothing changed"


@dataclass(frozen=True)
class Scenarios:
    """A base and the scenarios that are held against it, and the levers of the tornado with their ends, if stated."""

    base: Scenario
    others: tuple[Scenario, ...]
    swings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _differ([self.base, *self.others])


def scenario(name: str, *, where: str | None = None, **levers: Any) -> Scenario:
    """Return a scenario: what is set or changed against the base.

    Parameters
    ----------
    name
        What it is called in tables and figures.
    where
        To whom it applies: a condition as in ``clv.rule`` ("frequency >= 2 and probability_alive > 0.5"), one on
        columns of text ("channel = 'web'"), or the name of a column of true and false; without it to everybody, new
        customers too.
    **levers
        By name: ``margin``, ``price``, ``spend``, ``purchase_rate``, ``dropout``, ``annual_discount_rate``,
        ``horizon``, ``cost_to_serve`` (money a time unit), ``cost_per_order``, ``contact_cost`` (a customer, once,
        now), ``new_customers`` (won now), ``acquisition_cost`` (each), ``promotion`` and ``event``. A number is what it
        is set to; a text such as
        "+10 %" changes what it is in the base; a SciPy distribution, a ``clv.Prior`` or ``clv.valuation.relative`` of
        one says how sure that is, and is drawn once per draw for all customers. price, spend, purchase_rate and
        dropout are changes alone. A promotion is ``{"effect": "+30 %", "from": "2026-12-01", "until": "2026-12-14"}``,
        purchases on these days, and an event ``{"name": "sale", "from": ..., "until": ..., "value": 1}`` one of the
        calendar of the fit, by its learned effect; a value of 0 takes away what is planned. Days may be times from the
        end of the data, numbers in their unit.

    Raises
    ------
    InputError
        A lever that is not known or out of range, or two that contradict each other.

    Examples
    --------
    >>> letter = scenario("Letter", where="frequency >= 2", contact_cost=1.5, purchase_rate="+8 %")
    >>> letter.text
    'contact cost 1.5; purchase rate +8 %; where frequency >= 2'
    """
    place = f"Scenario {name!r}"
    return checked(
        Scenario(name, {key: amount(key, each, place) for key, each in levers.items()}, where, place)
    )


def checked(given: Scenario) -> Scenario:
    """Return a scenario whose levers do not contradict each other; others are refused."""
    if not isinstance(given.name, str) or not given.name.strip():
        raise InputError(f"{given.place}: a scenario needs a name.")
    levers = given.levers
    if MARGIN in levers and PRICE in levers:
        raise InputError(
            f"{levers[PRICE].place}: margin and price contradict each other, since a price changes the margin by "
            "itself. Set the price alone, or spend and the margin that results."
        )
    if given.where is not None:
        if not isinstance(given.where, str) or not given.where.strip():
            raise InputError(
                f"{given.place}: where is {given.where!r}. Write a condition, such as 'frequency >= 2'."
            )
        of_all = [name for name in levers if LEVERS[name].of_all]
        if of_all:
            raise InputError(
                f"{levers[of_all[0]].place}: {of_all[0]} is of the whole business, and 'where' keeps the "
                "scenario to some customers. Make it a scenario of its own."
            )
    if given.break_even is not None:
        check_sought(given.break_even, given.place)
    return given


def check_sought(lever: str, place: str) -> None:
    """Refuse a lever of which no break-even can be asked."""
    if lever not in LEVERS or LEVERS[lever].certain:
        known = ", ".join(name for name, each in LEVERS.items() if not each.certain)
        raise InputError(f"{place}: the break-even of {lever!r} cannot be found. Ask for one of {known}.")


def of_scenarios(
    scenarios: Iterable[Scenario] | Scenarios, base: Scenario | None
) -> tuple[Scenario | None, list[Scenario]]:
    """Return the base and the others, whose names differ."""
    if isinstance(scenarios, Scenarios):
        if base is not None:
            raise InputError(
                "The scenarios have a base of their own: leave out base, or give scenarios.others."
            )
        base, others = scenarios.base, list(scenarios.others)
    else:
        others = [scenarios] if isinstance(scenarios, Scenario) else list(scenarios)
    for each in others:
        if not isinstance(each, Scenario):
            raise InputError(
                "scenarios must be made by clv.valuation.scenario or clv.valuation.read_scenarios; got "
                f"{type(each).__name__}."
            )
    _differ([scenario(BASE) if base is None else base, *others])
    return base, others


def _differ(scenarios: Iterable[Scenario]) -> None:
    """Refuse two scenarios of one name: results are found by it."""
    names: set[str] = set()
    for each in scenarios:
        if each.name in names:
            raise InputError(
                f"{each.place}: two scenarios are called {each.name!r}. Give each its own name, and none "
                "that of the base."
            )
        names.add(each.name)
