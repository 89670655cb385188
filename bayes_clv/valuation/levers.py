"""Levers of a scenario: what may be changed, how a change is written, and each draw of it.

**One notation.** A number is what the lever is set to (``margin = 0.35``); a text with sign and per cent changes what
it is in the base (``price = "+5 %"``, of a margin of 0.3 ``"+10 %"`` makes 0.33). How sure one is of either is said by
a distribution, of numbers or of changes, and is drawn once per posterior draw for all customers: an error in it is the
same error for everybody.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.families.quantities import Prior
from bayes_clv.schema import InputError
from bayes_clv.valuation.assumptions import Field, check_range, frozen, generator

PROMOTION, EVENT = "promotion", "event"
MARGIN, PRICE, SPEND, RATE, DROPOUT = "margin", "price", "spend", "purchase_rate", "dropout"
DISCOUNT, HORIZON = "annual_discount_rate", "horizon"
SERVE, ORDER, CONTACT = "cost_to_serve", "cost_per_order", "contact_cost"
NEWCOMERS, ACQUISITION = "new_customers", "acquisition_cost"
# No forecast holds for rates that are more than ten times what was ever seen.
LARGEST_CHANGE = 9.0
MOST_NEWCOMERS = 1e7


@dataclass(frozen=True)
class Lever:
    """What a lever changes: its range and unit, and how it may be written.

    ``relative`` levers are changes alone, since each customer has its own; ``certain`` ones have no distribution;
    ``of_all`` ones cannot be of some customers.
    """

    field: Field
    unit: str
    relative: bool = False
    certain: bool = False
    of_all: bool = False

    @property
    def meaning(self) -> str:
        """Return what it is."""
        return self.field.meaning


def _change(meaning: str) -> Lever:
    return Lever(Field(meaning, 0.0, 1 + LARGEST_CHANGE, open_low=True), "none", relative=True)


def _cost(meaning: str, unit: str = "money", *, of_all: bool = False) -> Lever:
    return Lever(Field(meaning, 0.0, math.inf), unit, of_all=of_all)


LEVERS: dict[str, Lever] = {
    MARGIN: Lever(Field("share of spend that is earned, at the prices of the base", 0.0, 2.0), "none"),
    PRICE: _change("prices, at the same cost of goods, which the margin follows"),
    SPEND: _change("what an order brings, at the same prices"),
    RATE: _change("each customer's purchase rate from now on"),
    DROPOUT: _change("each customer's chance or rate of leaving from now on"),
    PROMOTION: _change("purchases on some days to come"),
    EVENT: Lever(
        Field("how much there is of an event of the calendar on some days", -math.inf, math.inf),
        "none",
        certain=True,
    ),
    DISCOUNT: Lever(
        Field("discount rate a year", -1.0, 5.0, open_low=True), "1/year", certain=True, of_all=True
    ),
    HORIZON: Lever(Field("how far ahead", 0.0, math.inf, open_low=True), "time", certain=True, of_all=True),
    SERVE: _cost("cost of a customer who is here, a time unit", "money/time"),
    ORDER: _cost("cost of an order"),
    CONTACT: _cost("cost of contacting a customer once, now"),
    NEWCOMERS: Lever(Field("customers who are won now", 0.0, MOST_NEWCOMERS), "count", of_all=True),
    ACQUISITION: _cost("cost of winning a new customer", of_all=True),
}

_PER_CENT = re.compile(r"\s*([+-]?)\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*%\s*")


@dataclass(frozen=True)
class Change:
    """A relative change that is a SciPy distribution of shares: 0.1 is +10 %."""

    distribution: Any


def relative(distribution: Any) -> Change:
    """Return a relative change with its own uncertainty, for a lever of ``clv.valuation.scenario``.

    Parameters
    ----------
    distribution
        A frozen SciPy distribution, or a ``clv.Prior``, of the change as a share: around 0.1 for +10 %.

    Examples
    --------
    >>> from scipy import stats
    >>> float(relative(stats.norm(0.10, 0.03)).distribution.mean())
    0.1
    """
    return Change(distribution)


@dataclass(frozen=True)
class Amount:
    """What a lever is set to, or changed by: a number, or a SciPy distribution; ``text`` as a table has it."""

    value: Any
    relative: bool
    text: str
    place: str

    @property
    def certain(self) -> bool:
        """Return whether it is one number."""
        return isinstance(self.value, float)

    def of(self, lever: str, base: np.ndarray, seed: int, scenario: str, size: int) -> np.ndarray:
        """Return its draws (draw,), given those of the base; values out of range are refused."""
        if self.certain:
            drawn = np.full(size, self.value)
        else:
            rng = generator(seed, "scenario", scenario, lever)
            drawn = np.asarray(self.value.rvs(size=size, random_state=rng), dtype=np.float64)
        if self.relative:
            if not LEVERS[lever].relative and not base.any():
                raise InputError(
                    f"{self.place}: {lever} is changed by {self.text}, but it is 0 in the base. Say what it is to be, "
                    "as a number."
                )
            drawn = (1 + drawn) * base
        what = "numbers given" if self.certain else f"draws of {self.text}"
        advice = "" if self.certain else "Use a distribution that stays there."
        check_range(
            f"{self.place}: {lever} ({LEVERS[lever].meaning})", LEVERS[lever].field, drawn, what, advice
        )
        return drawn


def percent(share: float, *, sign: bool = True) -> str:
    """Return a share as a change is written.

    >>> percent(0.1), percent(-0.025)
    ('+10 %', '-2.5 %')
    """
    return f"{100 * share:{'+' if sign else ''}.4g} %"


def amount(lever: str, given: Any, place: str) -> Amount:
    """Return what a lever is set to, from a number, a text like "+10 %", a distribution or TOML's table of one.

    Raises InputError, beginning with ``place``, for a lever that is not known and for what it cannot be.
    """
    if lever not in LEVERS:
        raise InputError(f"{place}: {lever!r} is no lever. There are {', '.join(LEVERS)}.")
    kind = LEVERS[lever]
    if lever == HORIZON:
        return _horizon(given, place)
    if lever in (PROMOTION, EVENT):
        from bayes_clv.valuation.dated import read_dated

        dated = read_dated(lever, given, place)
        if dated.certain and dated.relative:
            _check_number(lever, dated, place)
        return dated
    found = read_amount(lever, given, place)
    if kind.relative and not found.relative:
        raise InputError(
            f"{place}: {lever} is set to {found.text}, but it is a change of {kind.meaning}. Write the change, such as "
            f'"+10 %".'
        )
    if kind.certain and not found.certain:
        raise InputError(f"{place}: {lever} is one number, stated by you, and has no distribution.")
    if found.certain:
        _check_number(lever, found, place)
    return found


def _check_number(lever: str, found: Amount, place: str) -> None:
    field = LEVERS[lever].field
    if found.relative:
        if not -1 < found.value <= LARGEST_CHANGE:
            raise InputError(
                f"{place}: {lever} is changed by {found.text}. A change is above -100 % and at most "
                f"{percent(LARGEST_CHANGE)}."
            )
        return
    if lever == MARGIN and 2.0 < found.value <= 100.0:
        raise InputError(
            f"{place}: margin = {found.text} would be {found.text} times what customers spend. Write {found.text} % as "
            f"{found.value / 100:g}."
        )
    check_range(
        f"{place}: {lever} ({LEVERS[lever].meaning})", field, np.array([found.value]), "numbers given", ""
    )


def _horizon(given: Any, place: str) -> Amount:
    """Return a duration as it was written, which is read where the time unit is known."""
    if isinstance(given, str) and "%" not in given:
        return Amount(given, False, given, place)
    if _is_number(given) and math.isfinite(given) and given > 0:
        return Amount(float(given), False, f"{float(given):g}", place)
    raise InputError(f'{place}: horizon is {given!r}. Write a duration, such as "26 weeks".')


def read_amount(lever: str, given: Any, place: str) -> Amount:
    """Return a number, a change, a distribution or TOML's table of one, of whatever is called ``lever``."""
    if _is_number(given):
        return Amount(float(given), False, f"{float(given):.6g}", place)
    if isinstance(given, str):
        return Amount(_share(given, lever, place), True, _plain(given), place)
    if isinstance(given, Mapping):
        return _of_table(given, place)
    change = isinstance(given, Change)
    inner = given.distribution if change else given
    text = repr(inner) if isinstance(inner, Prior) else ""
    inner = frozen(inner) if isinstance(inner, Prior) else inner
    if not (hasattr(inner, "rvs") and hasattr(inner, "ppf")):
        raise InputError(
            f"{place}: got {type(given).__name__}. Give a number, a change such as '+10 %', a SciPy distribution such "
            "as scipy.stats.norm(0.3, 0.02), or clv.valuation.relative of one."
        )
    return Amount(inner, change, text or _said(inner, change=change), place)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float | np.number) and not isinstance(given, bool)


def _said(distribution: Any, *, change: bool) -> str:
    """Return a distribution by its name and middle 90 %."""
    low, high = (float(each) for each in distribution.ppf([0.05, 0.95]))
    ends = (percent(low), percent(high)) if change else (f"{low:.4g}", f"{high:.4g}")
    name = getattr(getattr(distribution, "dist", None), "name", "distribution")
    return f"{name}, 90 % in {ends[0]} to {ends[1]}"


def _plain(text: str) -> str:
    return re.sub(r"\s*%", " %", re.sub(r"([+-])\s*", r"\1", text.strip()))


def _share(text: str, lever: str, place: str, *, sign: bool = True) -> float:
    """Return a change such as "+10 %" as a share; without ``sign`` it may be a width such as "3 %"."""
    found = _PER_CENT.fullmatch(text)
    if found is None or (sign and not found[1]):
        only = lever in LEVERS and LEVERS[lever].relative
        number = "" if only else f", or a number, such as {lever} = 0.1"
        raise InputError(
            f'{place}: {text!r} is no change. Write one with its sign and %, such as "+10 %" or "-5 %"{number}.'
        )
    return float(f"{found[1]}{found[2]}") / 100


def _normal(mean: float, sd: float) -> Any:
    from scipy import stats

    return stats.norm(mean, sd) if sd > 0 else None


def _uniform(low: float, high: float) -> Any:
    from scipy import stats

    return stats.uniform(low, high - low) if high > low else None


def _triangular(low: float, likely: float, high: float) -> Any:
    from scipy import stats

    inside = low <= likely <= high and high > low
    return stats.triang((likely - low) / (high - low), low, high - low) if inside else None


def _beta(mean: float, sd: float) -> Any:
    from scipy import stats

    if not (0 < mean < 1 and 0 < sd**2 < mean * (1 - mean)):
        return None
    total = mean * (1 - mean) / sd**2 - 1
    return stats.beta(mean * total, (1 - mean) * total)


# How a distribution is written in TOML: its arguments, and what makes it, None where they cannot be.
TABLES: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "normal": (("mean", "standard deviation"), _normal),
    "uniform": (("lowest", "highest"), _uniform),
    "triangular": (("lowest", "most likely", "highest"), _triangular),
    "beta": (("mean", "standard deviation"), _beta),
}


def _of_table(given: Mapping[Any, Any], place: str) -> Amount:
    """Return a distribution from a table such as {normal = [0.3, 0.02]} or {normal = ["+10 %", "3 %"]}."""
    if len(given) != 1 or next(iter(given)) not in TABLES:
        listed = "; ".join(f"{name} = [{', '.join(words)}]" for name, (words, _) in TABLES.items())
        raise InputError(f"{place}: {dict(given)} is no distribution. Write one of {listed}.")
    name, numbers = next(iter(given.items()))
    words, make = TABLES[name]
    change = isinstance(numbers, list | tuple) and all(isinstance(each, str) for each in numbers)
    known = isinstance(numbers, list | tuple) and (change or all(map(_is_number, numbers)))
    if not known or len(numbers) != len(words):
        raise InputError(
            f"{place}: {name} = {numbers!r} is no {name} distribution. Write {name} = [{', '.join(words)}], all of "
            "them "
            'numbers, or all of them changes such as "+10 %".'
        )
    inside = [_share(each, name, place, sign=False) if change else float(each) for each in numbers]
    found = make(*inside) if all(map(math.isfinite, inside)) else None
    if found is None:
        raise InputError(
            f"{place}: there is no {name} distribution of {', '.join(words)} {', '.join(map(str, numbers))}."
        )
    said = [_plain(each) if change else f"{each:g}" for each in numbers]
    return Amount(found, change, f"{name}({', '.join(said)})", place)
