"""What is stated of a channel: what a new customer costs, and of how many one decides.

Three ways to say what a new customer costs, of which a channel has one:

* ``cost``, a number or a distribution;
* ``spent`` and ``won``: what a campaign cost and how many customers came. Another campaign of the same money would win
  others: the mean number is Gamma(won + 1/2, 1) after Jeffreys' prior, the cost ``spent`` over it;
* ``cost_per_lead``, ``leads`` and ``converted``, where some never pay: the cost of a lead over the share that becomes
  a customer, with that share's posterior (``conversions``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayes_clv.schema import InputError
from bayes_clv.valuation.assumptions import Field, check_range, generator
from bayes_clv.valuation.conversions import conversion_draws
from bayes_clv.valuation.levers import Amount, read_amount

CHANNEL = "channel"
COST, SPENT, WON, CUSTOMERS = "cost", "spent", "won", "customers"
LEAD_COST, LEADS, CONVERTED = "cost_per_lead", "leads", "converted"
ELASTICITY, MOST = "elasticity", "most"
# Ways to say what a customer costs; a channel has exactly one.
WAYS: tuple[tuple[str, ...], ...] = ((COST,), (SPENT, WON), (LEAD_COST, LEADS, CONVERTED))
TERMS: dict[str, Field] = {
    COST: Field("money for a new customer", 0.0, np.inf),
    SPENT: Field("money that the channel cost", 0.0, np.inf, open_low=True),
    WON: Field("customers whom that money won", 1.0, np.inf),
    LEAD_COST: Field("money for a lead", 0.0, np.inf),
    LEADS: Field("leads whose outcome is known", 1.0, np.inf),
    CONVERTED: Field("leads that have become customers", 1.0, np.inf),
    CUSTOMERS: Field("customers who are decided on", 0.0, np.inf, open_low=True),
    ELASTICITY: Field("what 1 % more money brings, in % of customers", 0.0, 0.999, open_low=True),
    MOST: Field("customers beyond whom no money wins more", 0.0, np.inf, open_low=True),
}
# Which may have a distribution.
_UNSURE = (COST, LEAD_COST, ELASTICITY, MOST)


@dataclass(frozen=True)
class Channel:
    """What is stated of a channel; made by ``clv.valuation.channel`` or read from a file.

    Attributes
    ----------
    name : str
    terms : dict of str to Amount
    new : bool
        Whether the fits have not seen it.
    place : str
        Where it was written, as an error begins.
    """

    name: str
    terms: Mapping[str, Amount] = field(default_factory=dict)
    new: bool = False
    place: str = ""

    @property
    def text(self) -> str:
        """Return what is stated, as a line of a table."""
        return "; ".join(f"{name.replace('_', ' ')} {each.text}" for name, each in self.terms.items())

    def number(self, term: str) -> float | None:
        """Return a term that is one number, or None where it is not stated."""
        return float(self.terms[term].value) if term in self.terms else None


def channel(name: str, **terms: Any) -> Channel:
    """Return what is stated of a channel: what its customers cost, and of how many one decides.

    Parameters
    ----------
    name
        A group of the fits: a value of the column that ``channel_values`` goes by.
    **terms
        ``cost`` of a new customer: a number, a SciPy distribution or a ``clv.Prior``; or ``spent`` and ``won``, what
        the channel cost and how many customers that won; or ``cost_per_lead``, ``leads`` whose outcome is known and
        how many of them are ``converted``. ``customers`` of the coming decision; without it those ``won`` or
        ``converted``, or 1. ``elasticity`` or ``most``: what more money would bring (``clv.valuation.split_budget``).

    Raises
    ------
    InputError
        A term that is not known, a negative one, no cost or two.

    Examples
    --------
    >>> channel("search", spent=4200, won=310).text
    'spent 4200; won 310'
    """
    return of_terms(name, terms, f"channel {name!r}")


def of_terms(
    name: str,
    terms: Mapping[str, Any],
    place: str,
    places: Mapping[str, str] | None = None,
    *,
    new: bool = False,
) -> Channel:
    """Return a channel whose terms are known, in range and say one cost; ``places`` say where each was written."""
    where = places or {}
    found: dict[str, Amount] = {}
    for term, given in terms.items():
        at = where.get(term, place)
        if term not in TERMS:
            raise InputError(f"{at}: {term!r} is not known. A channel has {', '.join(TERMS)}.")
        each = read_amount(term, given, at)
        if each.relative:
            raise InputError(
                f"{at}: {term} is {each.text}, a change, but there is nothing that it changes. Write a number."
            )
        if not each.certain and term not in _UNSURE:
            raise InputError(f"{at}: {term} is a number that is known, and has no distribution.")
        if each.certain:
            what = f"{at}: {term} ({TERMS[term].meaning})"
            check_range(what, TERMS[term], np.array([each.value]), "numbers given", "")
        found[term] = each
    stated = [way for way in WAYS if any(term in found for term in way)]
    ways = "; or ".join(" and ".join(way) for way in WAYS)
    if len(stated) != 1:
        said = ", ".join(term for way in stated for term in way if term in found)
        what = f"its cost twice ({said})" if stated else "no cost"
        raise InputError(f"{place}: {name!r} has {what}. State {ways}.")
    missing = [term for term in stated[0] if term not in found]
    if missing:
        raise InputError(f"{place}: {name!r} lacks {' and '.join(missing)}. State {ways}.")
    if LEADS in found and found[CONVERTED].value > found[LEADS].value:
        raise InputError(
            f"{where.get(CONVERTED, place)}: of {found[LEADS].text} leads {found[CONVERTED].text} cannot have become "
            "customers. converted is a part of leads."
        )
    return Channel(name, found, new, place)


def cost_draws(stated: Channel, size: int, seed: int, conversion: np.ndarray | None = None) -> np.ndarray:
    """Return draws (draw,) of what a new customer of a channel costs; of leads by their conversion (draw,)."""
    if conversion is not None:
        return np.asarray(drawn_term(stated, LEAD_COST, size, seed) / conversion)
    if COST in stated.terms:
        return drawn_term(stated, COST, size, seed)
    return float(stated.terms[SPENT].value) / won_draws(stated, size, seed)


def conversions(stated: Sequence[Channel], size: int, seed: int) -> dict[str, np.ndarray]:
    """Return draws (draw,) of the share of leads that become customers, of each channel that has leads."""
    of_leads = [each for each in stated if LEADS in each.terms]
    if not of_leads:
        return {}
    leads, converted = (
        np.array([float(each.terms[term].value) for each in of_leads]) for term in (LEADS, CONVERTED)
    )
    drawn = conversion_draws(leads, converted, size, generator(seed, CHANNEL, LEADS))
    return {each.name: drawn[:, i] for i, each in enumerate(of_leads)}


def won_draws(stated: Channel, size: int, seed: int) -> np.ndarray:
    """Return draws (draw,) of the mean number of customers that the money of a channel wins."""
    rng = generator(seed, CHANNEL, stated.name, WON)
    return np.asarray(rng.gamma(float(stated.terms[WON].value) + 0.5, 1.0, size))


def drawn_term(stated: Channel, term: str, size: int, seed: int) -> np.ndarray:
    """Return draws (draw,) of what is stated, the same whatever else is; those out of range are refused."""
    amount = stated.terms[term]
    if amount.certain:
        return np.full(size, float(amount.value))
    rng = generator(seed, CHANNEL, stated.name, term)
    drawn = np.asarray(amount.value.rvs(size=size, random_state=rng), dtype=np.float64)
    what = f"{amount.place}: {term} ({TERMS[term].meaning})"
    check_range(what, TERMS[term], drawn, f"draws of {amount.text}", "Use a distribution that stays there.")
    return drawn


def people_of(stated: Channel) -> float:
    """Return how many customers a decision is of."""
    number = next((stated.number(term) for term in (CUSTOMERS, WON, CONVERTED) if term in stated.terms), None)
    return 1.0 if number is None else number
