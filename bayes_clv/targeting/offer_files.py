"""Offers in TOML, read with file and line of each error, and held against the experiment's own column of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_clv.schema import InputError
from bayes_clv.toml_lines import read_toml

_TOP = ("control", "costs")
_EXAMPLE = 'It has control = "none" and below it [costs] with a line mail = 0.2 for each offer.'


@dataclass(frozen=True)
class Offers:
    """What a file says of offers.

    Attributes
    ----------
    control : str
        The label of the controls in the experiment.
    costs : mapping of str to float
        What a contact with each offer costs, in money.
    places : mapping of str to str
        Where the control and each offer stand, as an error begins.
    file : str
    """

    control: str
    costs: Mapping[str, float]
    places: Mapping[str, str] = field(default_factory=dict)
    file: str = ""


def read_offers(source: str | Path) -> Offers:
    r"""Return what a TOML file says of offers: what the controls are called, and what a contact with each costs.

    Parameters
    ----------
    source
        The file: ``control``, the label of the controls in the experiment, and a table ``[costs]`` with a line for each
        offer by its label.

    Raises
    ------
    InputError
        With file and line: no TOML, a word that is not known, no control or one that costs something, no offers, a cost
        that is negative or no number.

    Examples
    --------
    >>> from pathlib import Path
    >>> written = Path("offers.toml").write_text('control = "none"\n[costs]\nmail = 0.2\ncall = 0.9\n')
    >>> read_offers("offers.toml").costs
    {'mail': 0.2, 'call': 0.9}
    """
    table, lines = read_toml(source, "file of offers")
    for key in table:
        if key not in _TOP:
            at = lines.of_header(f"[{key}]") if isinstance(table[key], dict) else lines.of_key(key, 1)
            raise InputError(f"{lines.place(at)}: {key!r} is not known. {_EXAMPLE}")
    control, costs = table.get("control"), table.get("costs")
    if not isinstance(control, str) or not control:
        line = lines.place(lines.of_key("control", 1))
        raise InputError(
            f"{line}: there is no control, the label of who was offered nothing. Without controls nobody knows what "
            f"customers would have brought anyway. {_EXAMPLE}"
        )
    if not isinstance(costs, dict) or not costs:
        raise InputError(f"{lines.file} has no [costs]. {_EXAMPLE}")
    start = lines.of_header("[costs]")
    places = {name: lines.place(lines.of_key(name, start)) for name in costs}
    if control in costs:
        raise InputError(
            f"{places[control]}: {control!r} is the control, who is not contacted and costs nothing. Leave it out."
        )
    found = {name: _cost(value, name, places[name]) for name, value in costs.items()}
    places["control"] = lines.place(lines.of_key("control", 1))
    return Offers(control, found, places, lines.file)


def check_arms(offers: Offers, labels: Sequence[str], file: str, first: int = 2) -> None:
    """Refuse an experiment whose labels are not those of the offers' file, naming the line of what is odd.

    ``labels`` are those of each customer, in the order of the file called ``file``, whose first customer stands in
    line ``first``.
    """
    known = [offers.control, *offers.costs]
    for line, label in enumerate(labels, first):
        if label not in known:
            raise InputError(
                f"{file}, line {line}: {label!r} is neither the control nor an offer of {offers.file}, which has "
                f"{', '.join(map(repr, known))}. Add it there, or leave these customers out."
            )
    there = set(labels)
    for name in offers.costs:
        if name not in there:
            raise InputError(
                f"{offers.places[name]}: nobody of {file} was offered {name!r}, so that nothing is known of it. Leave "
                "it out."
            )
    if offers.control not in there:
        raise InputError(
            f"{offers.places['control']}: nobody of {file} is {offers.control!r}, so that there are no controls and "
            "nobody knows what customers would have brought anyway."
        )


def _cost(value: Any, name: str, place: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise InputError(
            f"{place}: {name} = {value!r}. A cost is money per contact, finite and not negative."
        )
    return float(value)
