"""How much hangs on a lever: where a scenario breaks even, what each lever moves, and grids of one or two.

All are scenarios like any others (``scenarios``), of the same draws and the same random numbers, so that each number is
a paired difference; levers that are factors of sums cost no simulation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import DRAW, InputError, Variable, describe, interval
from bayes_clv.valuation.dated import Dated
from bayes_clv.valuation.levers import (
    ACQUISITION,
    CONTACT,
    DISCOUNT,
    DROPOUT,
    LARGEST_CHANGE,
    LEVERS,
    MARGIN,
    NEWCOMERS,
    ORDER,
    PROMOTION,
    RATE,
    SERVE,
    SPEND,
    Amount,
    amount,
    percent,
)
from bayes_clv.valuation.scenarios import Settled, World, attrs_of
from bayes_clv.valuation.stated import Scenario, check_sought, checked

LEVER, END = "lever", "end"
SWING = 0.1
# How far changes are looked at, one after the other, until the sign of the difference turns.
_CHANGES = (0.05, 0.15, 0.4, 0.8, 0.95, 3.0, LARGEST_CHANGE)
# Above, a change that would break even is none that anybody could bring about; and costs beyond all money.
_LARGEST_COST, _MOST_WON = 1e12, 1e5
# A change is found to a hundredth of a per cent where each step is a simulation; a factor of sums to rounding.
_FINE_CHANGE, _FINE = 1e-4, 1e-13
_OWN = {
    "setting": Variable(
        "setting at which the scenario is worth as much as the base", "that of the lever", "outcome"
    ),
    "difference": Variable("value less that of the base", "money", "outcome"),
    "probability_better": Variable("P(worth more than the base)", "probability", "outcome"),
}

type _Difference = Callable[[float], np.ndarray]


def break_even(
    simulation: Any,
    scenario: Scenario,
    lever: str,
    *,
    base: Scenario | None = None,
    profile: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return the setting of a lever at which a scenario is worth as much as the base.

    Parameters
    ----------
    simulation, base, profile, threads
        As in ``clv.valuation.compare_scenarios``.
    scenario
        The scenario, whose other levers stay as they are.
    lever
        What is sought: a cost, the margin, a number of new customers, or a change of price, spend, purchase rate or
        dropout. It is sought as a change where the scenario changes it, or where it can only be changed.

    Returns
    -------
    xarray.Dataset
        ``setting``, at which the mean difference of value to the base is 0: an amount, or a change as a share (0.05 is
        +5 %, ``attrs["relative"]``); ``setting_q05`` and ``setting_q95``, between which it lies in 90 % of the draws;
        ``difference``, the mean difference there, by substitution: not quite 0 where purchases, which are whole, move.
        ``attrs["text"]`` says it in words, and ``attrs["reasons"]`` why a setting is NaN: the difference has one sign
        as far as was looked.

    Raises
    ------
    InputError
        As ``compare_scenarios``; horizon and discount rate, at which scenario and base would differ in kind.

    Examples
    --------
    >>> simulation = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> letter = clv.valuation.scenario("Letter", where="frequency >= 2", contact_cost=1.5, purchase_rate="+8 %")
    >>> found = break_even(simulation, letter, "contact_cost")
    >>> bool(abs(found["difference"]) < 1e-6)
    True
    """
    check_sought(lever, scenario.place or f"Scenario {scenario.name!r}")
    return sought(World.of(simulation, base, profile, threads), scenario, lever)


def sought(world: World, scenario: Scenario, lever: str) -> xr.Dataset:
    """Return what ``break_even`` does, of a world that is there already."""
    kind = LEVERS[lever]
    now = scenario.levers.get(lever)
    if lever == PROMOTION and now is None:
        raise InputError(
            f"{scenario.place or f'Scenario {scenario.name!r}'}: the break-even of a promotion is of one whose days "
            "are stated, and the scenario has none."
        )
    change = kind.relative or (now is not None and now.relative)
    (before,) = world.totals([world.base])
    known: dict[float, np.ndarray] = {}

    def difference(setting: float) -> np.ndarray:
        if setting not in known:
            (after,) = world.totals([world.settle(_with(scenario, lever, setting, change=change))])
            known[setting] = after["value"] - before["value"]
        return known[setting]

    brackets = _brackets(lever, change=change)
    fine = _FINE_CHANGE if lever in (RATE, DROPOUT, NEWCOMERS, PROMOTION) else _FINE
    roots = [_root(difference, of, brackets, fine) for of in _STATISTICS]
    at = float("nan") if math.isnan(roots[0]) else float(difference(roots[0]).mean())
    low, high = sorted(roots[1:]) if not any(map(math.isnan, roots[1:])) else (math.nan, math.nan)
    text = [_shown(each, lever, change=change) for each in (roots[0], low, high)]
    reasons = []
    if any(map(math.isnan, (roots[0], low, high))):
        first, last = (
            _shown(brackets[-1][0], lever, change=change),
            _shown(brackets[-1][1], lever, change=change),
        )
        told = {"name": scenario.name, "lever": lever.replace("_", " "), "first": first, "last": last}
        reasons.append(
            say(
                "{name}: the mean difference to the base has one sign at every {lever} from {first} to {last}.",
                **told,
            )
            if math.isnan(roots[0])
            else say(
                "{name}: an end of the 90 % interval to the base has one sign at every {lever} from {first} to {last}.",
                **told,
            )
        )
    data = {"setting": roots[0], "setting_q05": low, "setting_q95": high, "difference": at}
    ends = {"mean": text[0], "low": text[1], "high": text[2]}
    said = text[0] if math.isnan(low) else say("{mean} (90 %: {low} to {high})", **ends)
    attrs = attrs_of(world) | {"result": "break-even", "lever": lever, "scenario": scenario.name}
    attrs |= {"relative": change, "text": said, "reasons": reasons}
    return describe(xr.Dataset({name: ((), each) for name, each in data.items()}, attrs=attrs), _OWN)


_STATISTICS: tuple[Callable[[np.ndarray], float], ...] = (
    lambda draws: float(draws.mean()),
    lambda draws: float(np.quantile(draws, 0.05)),
    lambda draws: float(np.quantile(draws, 0.95)),
)


def _with(scenario: Scenario, lever: str, setting: float, *, change: bool) -> Scenario:
    place = scenario.place or f"Scenario {scenario.name!r}"
    shown = _shown(setting, lever, change=change)
    now = scenario.levers.get(lever)
    # A promotion keeps its days.
    stated = (
        replace(now, value=float(setting), text=shown)
        if isinstance(now, Dated)
        else Amount(float(setting), change, shown, place)
    )
    return checked(replace(scenario, levers=dict(scenario.levers) | {lever: stated}))


def _shown(setting: float, lever: str, *, change: bool) -> str:
    if math.isnan(setting):
        return "none"
    return (
        f"{100 * setting:+.3g} %"
        if change
        else f"{setting:,.3g}"
        if abs(setting) < 1000
        else f"{setting:,.0f}"
    )


def _brackets(lever: str, *, change: bool) -> list[tuple[float, float]]:
    """Return ever wider ranges of settings to look at."""
    if change:
        return [(-min(each, 0.95), each) for each in _CHANGES]
    if lever == MARGIN:
        return [(0.0, LEVERS[MARGIN].field.high)]
    most = _MOST_WON if lever == NEWCOMERS else _LARGEST_COST
    ends = [1.0]
    while ends[-1] < most:
        ends.append(min(ends[-1] * 8, most))
    return [(0.0, end) for end in ends]


def _root(
    difference: _Difference,
    statistic: Callable[[np.ndarray], float],
    brackets: Sequence[tuple[float, float]],
    fine: float,
) -> float:
    """Return where a statistic of the difference is 0 within the first bracket in which its sign turns, or NaN."""
    from scipy.optimize import brentq

    def of(setting: float) -> float:
        return statistic(difference(setting))

    for low, high in brackets:
        ends = of(low), of(high)
        if ends[0] == 0 or ends[1] == 0:
            return low if ends[0] == 0 else high
        if (ends[0] < 0) != (ends[1] < 0):
            return float(
                brentq(of, low, high, xtol=fine * max(1.0, high if fine == _FINE else 1.0), rtol=8.9e-16)
            )
    return math.nan


def tornado(
    simulation: Any,
    swings: Mapping[str, tuple[Any, Any]] | None = None,
    *,
    base: Scenario | None = None,
    profile: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return what the value of the base would be by if each lever, alone, stood at one end or the other.

    Parameters
    ----------
    simulation, base, profile, threads
        As in ``clv.valuation.compare_scenarios``.
    swings
        Of each lever its two ends, as ``clv.valuation.scenario`` takes them: ``{"margin": (0.25, 0.35),
        "purchase_rate": ("-5 %", "+5 %")}``. Without it every lever but price, of what is in the base, is moved by 10
        % down and up.

    Returns
    -------
    xarray.Dataset
        Over (lever, end), the lever that moves most first, ``end`` low and high: ``difference_mean``, ``_q05`` and
        ``_q95`` of value to the base, ``probability_better``, ``stated``, the setting in words; and over (draw, lever,
        end) ``difference``.

    Raises
    ------
    InputError
        As ``compare_scenarios``.

    Examples
    --------
    >>> simulation = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> found = tornado(simulation, {"margin": (0.25, 0.35), "purchase_rate": ("-5 %", "+5 %")})
    >>> found["lever"].values.tolist()
    ['margin', 'purchase_rate']
    """
    return swung(World.of(simulation, base, profile, threads), swings)


def swung(world: World, swings: Mapping[str, tuple[Any, Any]] | None) -> xr.Dataset:
    """Return what ``tornado`` does, of a world that is there already."""
    ends = dict(swings or {}) or {name: (percent(-SWING), percent(SWING)) for name in _movable(world)}
    if not ends:
        raise InputError("There is no lever to move.")
    stated = {name: [amount(name, each, f"tornado, {name}") for each in pair] for name, pair in ends.items()}
    for name, pair in stated.items():
        if len(pair) != 2 or not all(each.certain or isinstance(each.value, str) for each in pair):
            raise InputError(
                f"tornado, {name}: the two ends are numbers or changes, such as ('-10 %', '+10 %')."
            )
    settled = [
        world.settle(Scenario(f"{name} {each.text}", {name: each}, place=each.place))
        for name, pair in stated.items()
        for each in pair
    ]
    difference = _differences(world, settled).reshape(-1, len(ends), 2)
    mean = difference.mean(axis=0)
    order = np.argsort(-np.abs(mean).max(axis=1), kind="stable")
    texts = np.array([[each.text for each in pair] for pair in stated.values()], dtype=object)
    found = _summary(difference[:, order], (LEVER, END)).assign_coords(
        {
            LEVER: np.array(list(ends), dtype=object)[order],
            END: np.array(["low", "high"], dtype=object),
            "stated": ((LEVER, END), texts[order]),
        }
    )
    return describe(found.assign_attrs(attrs_of(world) | {"result": "tornado"}), _OWN)


def _movable(world: World) -> list[str]:
    """Return the levers that a tornado moves by default: those that are something in the base."""
    found = [MARGIN, SPEND]
    family, law = world.simulation.buying.family, world.simulation.plan.law
    if law.change is not None:
        found += [RATE, *([DROPOUT] if "dropout" in family.processes else [])]
    if world.base.run.discount:
        found.append(DISCOUNT)
    costs = [ORDER, SERVE, CONTACT, *([NEWCOMERS, ACQUISITION] if world.base.levers[NEWCOMERS].any() else [])]
    return found + [name for name in costs if world.base.levers[name].any()]


def sensitivity(
    simulation: Any,
    settings: Mapping[str, Sequence[Any]],
    *,
    scenario: Scenario | None = None,
    base: Scenario | None = None,
    profile: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return the difference of value to the base over a grid of one lever, or of two.

    Parameters
    ----------
    simulation, base, profile, threads
        As in ``clv.valuation.compare_scenarios``.
    settings
        One lever or two, each with its settings as ``clv.valuation.scenario`` takes them: ``{"price": ["-5 %", "+0 %",
        "+5 %"], "purchase_rate": ["-10 %", "-5 %", "+0 %"]}``.
    scenario
        Whose other levers, and ``where``, hold throughout; without it those of the base.

    Returns
    -------
    xarray.Dataset
        Over the levers, one dimension each with its settings as text: ``difference_mean``, ``_q05``, ``_q95``, the
        bands of value less that of the base, and ``probability_better``; with ``draw``, ``difference``.

    Raises
    ------
    InputError
        As ``compare_scenarios``; no lever, or more than two.

    Examples
    --------
    >>> simulation = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> found = sensitivity(simulation, {"price": ["-5 %", "+5 %"], "purchase_rate": ["-10 %", "+0 %"]})
    >>> dict(found.sizes)
    {'draw': 100, 'price': 2, 'purchase_rate': 2}
    """
    if not isinstance(settings, Mapping) or len(settings) not in (1, 2):
        raise InputError("settings are those of one lever or of two: {'price': ['-5 %', '+0 %', '+5 %']}.")
    given = Scenario("grid", place="sensitivity") if scenario is None else scenario
    world = World.of(simulation, base, profile, threads)
    stated = {
        name: [amount(name, each, f"sensitivity, {name}") for each in values]
        for name, values in settings.items()
    }
    shape = [len(values) for values in stated.values()]
    settled = []
    for place in np.ndindex(*shape):
        chosen = {name: values[i] for (name, values), i in zip(stated.items(), place, strict=True)}
        settled.append(world.settle(checked(replace(given, levers=dict(given.levers) | chosen))))
    difference = _differences(world, settled).reshape(-1, *shape)
    coords = {name: np.array([each.text for each in values], dtype=object) for name, values in stated.items()}
    found = _summary(difference, tuple(stated)).assign_coords(coords)
    return describe(found.assign_attrs(attrs_of(world) | {"result": "sensitivity"}), _OWN)


def _differences(world: World, settled: Sequence[Settled]) -> np.ndarray:
    """Return value less that of the base, (draw, scenario)."""
    before, *after = world.totals([world.base, *settled])
    return np.stack([each["value"] - before["value"] for each in after], axis=1)


def _summary(difference: np.ndarray, dims: tuple[str, ...]) -> xr.Dataset:
    low, high = interval(difference, axis=0)
    return xr.Dataset(
        {
            "difference": ((DRAW, *dims), difference),
            "difference_mean": (dims, difference.mean(axis=0)),
            "difference_q05": (dims, low),
            "difference_q95": (dims, high),
            "probability_better": (dims, (difference > 0).mean(axis=0)),
        },
        coords={DRAW: np.arange(difference.shape[0])},
    )
