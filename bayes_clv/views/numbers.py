"""How a number is written."""

import math
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import UNSTATED, interval
from bayes_clv.units import in_plural


def number(amount: Any) -> str:
    """Return a number as people read it: thousands separated, three figures below a thousand.

    >>> number(1234567.8), number(12.345), number(0.00012), number(float("nan"))
    ('1,234,568', '12.3', '0.00012', '–')
    """
    if amount is None or not math.isfinite(float(amount)):
        return "–"
    amount = float(amount)
    if abs(amount) >= 1000 or amount == int(amount):
        return f"{amount:,.0f}"
    return f"{amount:#.3g}".rstrip(".") if abs(amount) >= 0.001 else f"{amount:.2g}"


def about(count: float) -> str:
    """Return an expected number of purchases or customers as people say it: whole, below ten of two figures.

    >>> about(1234.5), about(38.24), about(6.41), about(3.0), about(0.048), about(float("nan"))
    ('1,234', '38', '6.4', '3', '0.048', '–')
    """
    if not math.isfinite(count):
        return "–"
    return f"{count:,.0f}" if abs(count) >= 10 or count == round(count) else f"{count:.2g}"


def money(amount: Any, currency: str | None = None) -> str:
    """Return an amount as people write it: a sign before the number, a code behind it.

    >>> money(70231.6, "£"), money(-12.3, "£"), money(70231.6, "EUR"), money(70231.6)
    ('£70,232', '-£12.3', '70,232 EUR', '70,232')
    """
    shown = number(amount)
    if not currency or shown == "–":
        return shown
    if currency.isalpha():
        return f"{shown} {currency}"
    return f"-{currency}{shown[1:]}" if shown.startswith("-") else f"{currency}{shown}"


def money_unit(result: xr.Dataset) -> str:
    """Return what the amounts of a result are in, for an axis or a heading: its currency, "money" where it has none.

    >>> money_unit(xr.Dataset(attrs={"currency": "£"})), money_unit(xr.Dataset())
    ('£', 'money')
    """
    return str(result.attrs.get("currency") or say("money"))


def decimals(values: Any) -> int:
    """Return the decimals that suit the largest number of a column."""
    column = np.asarray(values, dtype=float)
    finite = column[np.isfinite(column)]
    if (finite == np.round(finite)).all():
        return 0
    largest = float(np.abs(finite).max(initial=0.0))
    return 0 if largest >= 1000 else 1 if largest >= 20 else 2 if largest >= 0.2 else 3


def fixed(amount: float, decimals: int) -> str:
    """Return a number with so many decimals; a dash for what is not finite."""
    return f"{amount:,.{decimals}f}" if math.isfinite(amount) else "–"


def share(part: float) -> str:
    """Return a share of one as a percentage."""
    return f"{100 * part:.1f} %"


def mean_interval(draws: Any) -> tuple[float, float, float]:
    """Return mean, 5 % and 95 % quantile of the draws."""
    values = np.asarray(draws, dtype=float).ravel()
    low, high = interval(values)
    return float(values.mean()), float(low), float(high)


def plural(amount: float, unit: str) -> str:
    """Return a duration in words.

    >>> plural(14.2857, "week"), plural(1.0, "week")
    ('14.3 weeks', '1 week')
    """
    shown = number(amount)
    words = ("time unit" if unit == UNSTATED else unit) if shown == "1" else in_plural(unit)
    return say("{amount} {unit}", amount=shown, unit=say(words))


def written(length: str) -> str:
    """Return a duration that a record holds exactly, such as "14.2857 weeks", as people read it.

    >>> written("14.2857 weeks"), written("52 weeks"), written("1 weeks"), written("a while")
    ('14.3 weeks', '52 weeks', '1 week', 'a while')
    """
    amount, _, units = length.partition(" ")
    try:
        return plural(float(amount), "opportunity" if units == "opportunities" else units.removesuffix("s"))
    except ValueError:
        return length


def is_revenue(value: xr.Dataset) -> bool:
    """Return whether the value of a prediction is all that is spent: no margin and no costs were stated."""
    return value.attrs.get("margin") == 1 and "costs" not in value.attrs


def horizon(value: xr.Dataset) -> str:
    """Return the horizon of a prediction in words."""
    if "horizon" not in value.attrs:
        return say("the horizon")
    return plural(float(value.attrs["horizon"]), str(value.attrs.get("time_unit", UNSTATED)))
