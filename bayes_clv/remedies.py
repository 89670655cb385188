"""Which remedies suit a run: not what it has done already, nor what its family, its data or its holdout rule out.

A remedy is a sentence, or a `Remedy` that says of which runs it is one. What a run did (`Ran`) is read off its
posteriors and customers; where nothing is known of it, all remedies are offered, in words for Python and the shell.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bayes_clv.language import say

# A name that stands in a condition on rows without backticks (``bayes_clv.conditions``).
_WORD = re.compile(r"[^\W\d]\w*")
_RESERVED = ("and", "or", "not", "in", "true", "false")
# Within double quotes a shell reads these.
_SHELL = re.compile(r'[$`"\\!]')


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run did.

    ``family`` and ``method`` are those of purchases, ``draws`` how many a chain it took. ``may`` names what the family
    could still have ("calendar", "drift", "returns"). ``years`` is the length of the data, None where it is not
    known. ``columns`` says how the order log was read: ``customer_id``, ``spend`` and ``where``; empty where
    that is not known. ``money_missed`` is by what share of the forecast the holdout's spend was more (or,
    below zero, less); None where no money was tested. ``command`` is whether it was run at a command line.
    """

    family: str = ""
    method: str = ""
    draws: int = 0
    calendar: bool = False
    drift: bool = False
    returns: bool = False
    holdout: bool = False
    may: frozenset[str] = frozenset()
    years: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    money_missed: float | None = None
    command: bool = False

    @property
    def slots(self) -> dict[str, str]:
        """Return what remedies say of the run."""
        found = {"more_draws": f"{max(2000, 2 * self.draws)}"}
        if self.years is not None:
            months = round(12 * self.years)
            found["span"] = (
                say("{years:.1f} years", years=self.years)
                if months >= 24
                else say("{months} months", months=max(months, 1))
            )
        return found


@dataclass(frozen=True)
class Remedy:
    """A remedy of some runs: its words in general, in Python and at a command line, and of which runs it is one.

    ``condition`` makes the rows to keep, of the run's columns and the problem's numbers, for the slot ``{where}``; it
    is empty where the columns are not known, and the words then are those in general.
    ``corrects`` marks a correction of totals of money by what a check found.
    """

    text: str
    python: str = ""
    shell: str = ""
    suits: Callable[[Ran], bool] = lambda _ran: True
    condition: Callable[[Ran, Mapping[str, object]], str] | None = None
    corrects: bool = False
    # A sentence on a run says nothing where nothing is known of it.
    only_known: bool = False


def suiting(
    remedies: Iterable[str | Remedy],
    ran: Ran | None,
    numbers: Mapping[str, object],
    *,
    contradicted: bool = False,
) -> list[tuple[str, dict[str, str]]]:
    """Return the remedies of a run as sentences, each with what its slots hold of the run beside the problem's own."""
    found: list[tuple[str, dict[str, str]]] = []
    for each in remedies:
        if isinstance(each, str):
            found.append((each, {}))
        elif each.corrects and contradicted:
            continue
        elif ran is None:
            found += [] if each.only_known else [(each.text, {})]
        elif each.suits(ran):
            condition = "" if each.condition is None else each.condition(ran, numbers)
            if each.condition is not None and not condition:
                found.append((each.text, {}))
                continue
            where = {"where": where_words(condition, ran)} if condition else {}
            found.append(((each.shell if ran.command else each.python) or each.text, ran.slots | where))
    return found


def where_words(condition: str, ran: Ran) -> str:
    r"""Return the argument that keeps such rows only, beside the condition that the run had.

    >>> where_words("Kundennr <> '18102'", Ran(command=True))
    '--where "Kundennr <> \'18102\'"'
    >>> where_words("Kundennr <> '18102'", Ran(columns={"where": "Menge > 0"}))
    'where="Menge > 0 and Kundennr <> \'18102\'"'
    """
    if ran.columns.get("where"):
        condition = f"{ran.columns['where']} and {condition}"
    if not ran.command:
        return f"where={condition!r}"
    return f"--where {shlex.quote(condition) if _SHELL.search(condition) else f'"{condition}"'}"


def column_words(name: str) -> str:
    """Return a column as a condition on rows names it.

    >>> column_words("Kundennr"), column_words("Customer ID")
    ('Kundennr', '`Customer ID`')
    """
    return name if _WORD.fullmatch(name) and name.lower() not in _RESERVED else f"`{name}`"


def text_words(text: object) -> str:
    """Return a text as a condition on rows writes it.

    >>> text_words("O'Brien")
    "'O''Brien'"
    """
    return "'" + str(text).replace("'", "''") + "'"
