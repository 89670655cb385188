"""Scenarios in TOML, read with file and line of each error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayes_clv.schema import InputError
from bayes_clv.toml_lines import Lines, read_toml
from bayes_clv.valuation.levers import LEVERS, amount
from bayes_clv.valuation.stated import BASE, Scenario, Scenarios, checked

_NAMES = ("name", "where", "break_even")


def read_scenarios(source: str | Path) -> Scenarios:
    r"""Return the scenarios of a TOML file, with the base that they are held against.

    Parameters
    ----------
    source
        The file. It may have a table ``[base]`` of levers that hold everywhere, has one ``[[scenarios]]`` a scenario
        with ``name``, perhaps ``where``, and its levers, as ``clv.valuation.scenario`` takes them, and perhaps
        ``break_even = "contact_cost"``, a lever of which the setting is sought at which the scenario is worth as much
        as the base. A distribution is a table: ``{normal = [0.3, 0.02]}`` (mean, standard deviation), ``uniform``,
        ``triangular`` or ``beta``, of numbers, or of changes: ``{normal = ["+10 %", "3 %"]}``. A table ``[tornado]``
        may say between which ends levers swing: ``margin = [0.25, 0.35]``.

    Raises
    ------
    InputError
        With file and line: no TOML, a lever that is not known or out of range, two that contradict each other.

    Examples
    --------
    >>> from pathlib import Path
    >>> lines = ["[base]", "cost_per_order = 1.2", "[[scenarios]]", 'name = "Dearer"', 'price = "+5 %"']
    >>> written = Path("scenarios.toml").write_text("\n".join(lines))
    >>> found = read_scenarios("scenarios.toml")
    >>> found.others[0].text
    'price +5 %'
    """
    table, lines = read_toml(source, "file of scenarios")
    for key in table:
        if key not in (BASE, "scenarios", "tornado"):
            raise InputError(
                f"{lines.place(lines.of_key(key, 1))}: {key!r} is not known. Scenarios have [base], [[scenarios]] and "
                "[tornado]."
            )
    given = table.get("scenarios")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise InputError(f"{lines.file} has no [[scenarios]]. Each needs a name and what it changes.")
    base = table.get(BASE, {})
    swings = table.get("tornado", {})
    for name, each in ((BASE, base), ("tornado", swings)):
        if not isinstance(each, dict):
            raise InputError(f"{lines.place(lines.of_key(name, 1))}: {name} is a table of its own: [{name}].")
    start = lines.of_header(f"[{BASE}]")
    return Scenarios(
        Scenario(BASE, _levers(base, lines, start), place=lines.place(start)),
        tuple(
            _scenario(each, lines, lines.of_header("[[scenarios]]", number))
            for number, each in enumerate(given)
        ),
        _swings(swings, lines),
    )


def _levers(table: Mapping[str, Any], lines: Lines, start: int) -> dict[str, Any]:
    return {key: amount(key, each, lines.place(lines.of_key(key, start))) for key, each in table.items()}


def _scenario(table: Mapping[str, Any], lines: Lines, start: int) -> Scenario:
    if not isinstance(table.get("name"), str):
        raise InputError(f"{lines.place(start)}: the scenario has no name.")
    for key in table:
        if key not in _NAMES and key not in LEVERS:
            raise InputError(
                f"{lines.place(lines.of_key(key, start))}: {key!r} is no lever. A scenario has {', '.join(_NAMES)} "
                f"and the levers {', '.join(LEVERS)}."
            )
    told = next((key for key in ("break_even", "where") if key in table), None)
    return checked(
        Scenario(
            table["name"],
            _levers({key: each for key, each in table.items() if key not in _NAMES}, lines, start),
            table.get("where"),
            lines.place(start if told is None else lines.of_key(told, start)),
            table.get("break_even"),
        )
    )


def _swings(table: Mapping[str, Any], lines: Lines) -> dict[str, tuple[Any, Any]]:
    """Return between which ends levers swing, each checked as a scenario's."""
    start = lines.of_header("[tornado]")
    found = {}
    for key, ends in table.items():
        place = lines.place(lines.of_key(key, start))
        if not isinstance(ends, list) or len(ends) != 2:
            raise InputError(
                f'{place}: {key} is {ends!r}. Write its two ends, such as [0.25, 0.35] or ["-10 %", "+10 %"].'
            )
        for end in ends:
            amount(key, end, place)
        found[key] = (ends[0], ends[1])
    return found
