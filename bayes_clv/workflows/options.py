"""Options of the command line: fields of a record with a type, a default and a help, and how their words are read.

An option is one line of a record (``settings``, ``choices``). ``cli`` makes the command's options of the fields
(`option`, `place`); whoever starts a workflow from Python makes the record. Fields without help are for Python alone.

typer reads the words of a shell; to give it a signature made of the fields takes twenty lines. cyclopts, which reads a
dataclass as it stands, was not tried: the few fields whose option is another thing than the field (a repeated
``--covariate``, ``--purchases-only`` for ``spend=None``) would need converters there too.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from bayes_clv.schema import InputError, argument

TimeUnit = Literal["hour", "day", "week", "month", "year"]


@dataclass(frozen=True)
class Option:
    """How a field is given at a command line.

    ``name`` where the option is called other than the field; ``kind`` where what is typed is other than the field, made
    into it by ``read``; ``least`` bounds a number; ``place`` is an argument without a name. ``absent`` is a flag that
    gives None, with its help.
    """

    help: str
    name: str | None = None
    kind: Any = None
    read: Callable[[Any], Any] | None = None
    least: int | None = None
    place: bool = False
    absent: tuple[str, str] | None = None

    def declared(self, field_name: str) -> str:
        """Return the option as typer is told it, a flag with its opposite: --drift/--no-drift."""
        return self.name or f"--{field_name.replace('_', '-')}"

    def called(self, field_name: str) -> str:
        """Return the option's name with its dashes."""
        return self.declared(field_name).partition("/")[0]


def option(help: str, default: Any = dataclasses.MISSING, **further: Any) -> Any:  # noqa: A002
    """Return a field of a command's record; without ``default`` it must be given."""
    metadata = {"option": Option(help, **further)}
    if isinstance(default, dict | list):
        return field(default_factory=type(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def place(help: str, kind: Any = None) -> Any:  # noqa: A002
    """Return a field that a command line gives by its place."""
    return option(help, place=True, kind=kind)


def options_of(record: type) -> dict[str, Option]:
    """Return the fields of a record that a command line gives, in their order."""
    return {
        each.name: each.metadata["option"] for each in dataclasses.fields(record) if "option" in each.metadata
    }


def acting(options: list[str] | None, name: str = "covariates") -> dict[str, list[str]]:
    """Return what acts on what, of options like purchase=age."""
    found: dict[str, list[str]] = {}
    for each in options or []:
        target, sign, column = (part.strip() for part in each.partition("="))
        if not (target and sign and column):
            raise InputError(
                f"{argument(name)} {each!r} does not say what acts on what. Write it like "
                f"{argument(name, {'purchase': 'age'})}."
            )
        found.setdefault(target, []).append(column)
    return found


def grouping(options: list[str] | None) -> dict[str, list[str]] | list[str]:
    """Return the grouping columns: for every quantity, or by process."""
    placed = [each for each in options or [] if "=" in each]
    if not placed:
        return options or []
    alone = [each for each in options or [] if "=" not in each]
    if alone:
        raise InputError(
            f"{argument('groups')} {alone[0]!r} is for every quantity and {argument('groups')} {placed[0]!r} for one. "
            f"Write all of them like {argument('groups', {'purchase': alone[0]})}."
        )
    return acting(placed, "groups")


def given_to_rule(options: list[str] | None) -> dict[str, str]:
    """Return the arguments of options like profit_per_purchase=5."""
    found: dict[str, str] = {}
    for each in options or []:
        name, sign, text = (part.strip() for part in each.partition("="))
        if not (name and sign and text):
            raise InputError(
                f"{argument('given')} {each!r} does not say what is set. Write it like "
                f"{argument('given', {'scores': '3'})}."
            )
        if name in found:
            raise InputError(
                f"{argument('given')} {name} is there twice: {found[name]} and {text}. Leave one out."
            )
        found[name] = text
    return found


REPEATED = list[str] | None
SEED = "Seed of every random number: the same seed repeats the run."
DRAWS = "Posterior draws per chain (4 chains)."
MARGIN = "Share of spend that is earned: 0.3 means 30 %."
COSTS = (
    "TOML file of what customers cost: cost_per_order, cost_to_serve, default_probability and the like, numbers or "
    "names of columns."
)
ID = "Column with the customer's id."


def taking(options: list[str] | None) -> dict[str, str]:
    """Return which value of each column of the orders a customer has, of options like channel=first."""
    found = {}
    for each in options or []:
        name, _, which = (part.strip() for part in each.partition("="))
        found[name] = which or "one"
    return found
