"""What customers cost beside what they bring: one formula, which every value that is forecast takes.

    value = (margin - default probability x loss given default) x discounted spend
            - cost per order x discounted orders - cost to serve x discounted time until the customer leaves

Each term is one number, or each customer's own (a column, or amounts by id). Orders and time are those of the same
draw as the spend: who orders much costs much in the same future, and who has left costs nothing any more. The loss by
default is the expected one: a probability that is learned (``clv.inference.fit_default``) differs from draw to draw.
What an order that is not paid loses is a share of its price: 1 is all of it, goods and margin.

Terms of zero change no digit: 0 is subtracted, and the margin is multiplied as without them.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import column_values
from bayes_clv.inference.defaults import DEFAULT, probabilities
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.toml_lines import read_toml
from bayes_clv.units import checked_margin

MARGIN, ORDER, SERVE = "margin", "cost_per_order", "cost_to_serve"
RISK, LOSS = "default_probability", "loss_given_default"
BEFORE = "value_before_costs"
# Meaning, smallest and largest amount of each term.
TERMS: dict[str, tuple[str, float, float]] = {
    MARGIN: ("share of spend that is earned", 0.0, 2.0),
    ORDER: ("money an order costs", 0.0, math.inf),
    SERVE: ("money a customer who is here costs, a time unit", 0.0, math.inf),
    RISK: ("probability that an order is not paid", 0.0, 1.0),
    LOSS: ("share of its price that an order which is not paid loses", 0.0, 1.0),
}
# Customers times draws of a risk that are averaged at a time.
AVERAGED = 1_000_000


@dataclass(frozen=True)
class Costs:
    """What is stated of customers' costs; made by ``clv.predictions.costs`` or read from a file.

    Attributes
    ----------
    terms : mapping of str to object
        A number, a column's text, amounts by customer id, or a fit of defaults.
    places : mapping of str to str
        Where each was written, as an error begins.
    """

    terms: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Return the columns that the terms name."""
        return list(dict.fromkeys(each for each in self.terms.values() if isinstance(each, str)))

    @property
    def of_all(self) -> bool:
        """Return whether each term is the same for everybody, of whom no column need be known."""
        return all(map(_of_all, self.terms.values()))

    @property
    def text(self) -> str:
        """Return what is stated, as a line of a table."""
        return "; ".join(f"{name.replace('_', ' ')} {_said(each)}" for name, each in self.terms.items())


def costs(
    *,
    margin: Any = None,
    cost_per_order: Any = 0.0,
    cost_to_serve: Any = 0.0,
    default_probability: Any = 0.0,
    loss_given_default: Any = 1.0,
) -> Costs:
    """Return what customers cost, for ``clv.predict``, ``clv.simulate`` and what is made of these.

    Parameters
    ----------
    margin
        Share of spend that is earned, where customers have their own; by default the margin that the verb is given.
    cost_per_order
        Money for each order: picking, postage, payment.
    cost_to_serve
        Money a customer who has not left costs in a time unit, whether it buys or not.
    default_probability
        Probability that an order is not paid; also what ``clv.inference.fit_default`` returned.
    loss_given_default
        Share of its price that such an order loses.

    Each is one number, the name of a column of the customers, or amounts by customer id (a mapping, a pandas Series).

    Raises
    ------
    InputError
        A negative amount, or a probability or share out of 0 to 1. Columns are checked where customers are given.

    Examples
    --------
    >>> stated = costs(cost_per_order=1.2, cost_to_serve=0.01)
    >>> stated.text
    'cost per order 1.2; cost to serve 0.01'
    """
    given = {
        MARGIN: margin,
        ORDER: cost_per_order,
        SERVE: cost_to_serve,
        RISK: default_probability,
        LOSS: loss_given_default,
    }
    absent = {MARGIN: None, ORDER: 0.0, SERVE: 0.0, RISK: 0.0, LOSS: 1.0}
    said = {
        name: each
        for name, each in given.items()
        if not (each is None or (_is_number(each) and each == absent[name]))
    }
    return _checked(said, {})


def read_costs(source: str | Path) -> Costs:
    r"""Return the costs that a TOML file states: the terms of ``costs``, numbers or names of columns.

    Parameters
    ----------
    source
        Lines such as ``cost_per_order = 1.2`` or ``default_probability = "risk"``.

    Raises
    ------
    InputError
        With file and line: no TOML, a term that is not known, an amount that cannot be.

    Examples
    --------
    >>> from pathlib import Path
    >>> written = Path("costs.toml").write_text('cost_per_order = 1.2\nmargin = "own_margin"')
    >>> read_costs("costs.toml").text
    "cost per order 1.2; margin column 'own_margin'"
    """
    table, lines = read_toml(source, "file of costs")
    return of_table(table, {name: lines.place(lines.of_key(name, 1)) for name in table})


def of_table(table: Mapping[str, Any], places: Mapping[str, str]) -> Costs:
    """Return the costs of a table of a TOML file; ``places`` say where each term was written."""
    for name, each in table.items():
        if name not in TERMS:
            raise InputError(
                f"{places[name]}: {name!r} is not known. A file of costs has {', '.join(TERMS)}."
            )
        if not (_is_number(each) or isinstance(each, str)):
            raise InputError(
                f"{places[name]}: {name} ({TERMS[name][0]}) is {each!r}. Write a number, or the name of a column in "
                "quotes."
            )
        if isinstance(each, str) and (written := _quoted_number(each)) is not None:
            raise InputError(
                f"{places[name]}: {name} ({TERMS[name][0]}) is the text {each!r}, where text names a column. Write the "
                f"number without quotes and with a decimal point: {name} = {written}"
            )
    return _checked(table, places)


def _quoted_number(text: str) -> str | None:
    """Return the number that somebody has put in quotes, as TOML writes it, or None where it is none."""
    digits = text.strip().strip("€$£").strip()
    share = digits.endswith("%")
    try:
        number = float(digits.rstrip("% ").replace(",", "."))
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return f"{number / 100 if share else number:g}"


def _checked(given: Mapping[str, Any], places: Mapping[str, str]) -> Costs:
    found = Costs(dict(given), dict(places))
    for name, each in found.terms.items():
        if _is_number(each):
            _refuse(_place(found, name), name, np.array([float(each)]), None)
    return found


def _place(stated: Costs, name: str) -> str:
    where = f"{stated.places[name]}: " if name in stated.places else ""
    return f"{where}{name} ({TERMS[name][0]})"


def _refuse(place: str, name: str, values: np.ndarray, customers: xr.Dataset | None) -> None:
    """Refuse amounts that cannot be; ``place`` begins the message."""
    _, low, high = TERMS[name]
    bad = ~(np.isfinite(values) & (values >= low) & (values <= high))
    if name == MARGIN:
        bad |= values <= 0
    if not bad.any():
        return
    at = int(np.flatnonzero(bad)[0])
    words = f"from {low:g} to {high:g}" if math.isfinite(high) else "finite and not negative"
    if name == MARGIN:
        words = f"above 0 and at most {high:g}: 0.3 is 30 %"
    if customers is None:
        raise InputError(f"{place} must be {words}; it is {values[at]:g}.")
    who = str(customers[CUSTOMER].to_numpy()[at])
    raise InputError(
        f"{place} must be {words}; {int(bad.sum()):,} of {values.size:,} customers have another, such as "
        f"{values[at]:g} of customer {who!r}. Correct them, or leave these customers out."
    )


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float | np.number) and not isinstance(given, bool)


def _of_all(given: Any) -> bool:
    learned = isinstance(given, xr.Dataset) and not json.loads(str(given.attrs.get("columns", "[]")))
    return learned or _is_number(given)


def _said(given: Any) -> str:
    if _is_number(given):
        return f"{float(given):.6g}"
    if isinstance(given, str):
        return f"column {given!r}"
    return "as learned" if isinstance(given, xr.Dataset) else "by customer"


@dataclass(frozen=True)
class OwnCosts:
    """The terms of each customer: (customer,), in the customers' order; the risk of some in each draw.

    ``risk(places)`` is (place, draw) or (place, 1). ``nothing`` says that all of them leave the value as it is.
    """

    margin: np.ndarray
    order: np.ndarray
    serve: np.ndarray
    risk: Callable[[np.ndarray], np.ndarray]
    loss: np.ndarray
    text: str = ""
    nothing: bool = False

    def net(self, places: np.ndarray, value: np.ndarray, orders: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return the value (place, draw) of discounted spend, discounted orders and discounted time."""
        share = self.margin[places, None] - self.risk(places) * self.loss[places, None]
        found: np.ndarray = share * value - running_cost(
            orders, time, self.order[places, None], self.serve[places, None]
        )
        return found

    def before(self, places: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Return the value (place, draw) before costs: the margin on discounted spend."""
        found: np.ndarray = self.margin[places, None] * value
        return found

    def average(self, draws: int) -> "OwnCosts":
        """Return the terms of the average customer, one row: what somebody costs of whom nothing is known."""
        margin, order, serve = (np.atleast_1d(each.mean()) for each in (self.margin, self.order, self.serve))
        step = max(1, AVERAGED // draws)
        total = np.zeros(draws)
        for start in range(0, self.loss.size, step):
            places = np.arange(start, min(start + step, self.loss.size))
            total += np.broadcast_to(self.risk(places) * self.loss[places, None], (places.size, draws)).sum(
                axis=0
            )
        lost = total[None, :] / self.loss.size
        return OwnCosts(
            margin, order, serve, lambda places: lost[np.zeros(places.size, dtype=int)], np.ones(1)
        )


def margin_of(stated: Costs | None, margin: float) -> float:
    """Return the share of spend that is earned, the costs' where they state one; NaN where customers differ in it."""
    given = margin if stated is None else stated.terms.get(MARGIN, margin)
    return float(given) if _is_number(given) else math.nan


def running_cost(orders: Any, time: Any, per_order: Any, to_serve: Any) -> Any:
    """Return what orders and the time of customers who are here cost, both discounted."""
    return per_order * orders + to_serve * time


def discounted_time(here: Any, discount: float) -> Any:
    """Return what a unit of money at each moment of a time from now is worth: the time itself where nothing is."""
    return -np.expm1(-discount * here) / discount if discount else here


def resolved(stated: Costs, customers: xr.Dataset, margin: float, draws: int) -> OwnCosts:
    """Return the terms of these customers, ``margin`` where none is stated, and the risk in so many draws."""
    if not isinstance(stated, Costs):
        raise InputError(
            f"costs must be made by clv.predictions.costs or read_costs; got {type(stated).__name__}."
        )
    if MARGIN in stated.terms and margin != 1.0:
        raise InputError(
            f"{_place(stated, MARGIN)} is stated, and margin={margin:g} too. Leave one of them out."
        )
    of_all = {name: _amounts(stated, name, customers) for name in TERMS if name != RISK}
    size = customers.sizes[CUSTOMER]
    if MARGIN not in stated.terms:
        of_all[MARGIN] = np.full(size, checked_margin(margin))
    risk, idle = _risk(stated, customers, draws)
    idle &= MARGIN not in stated.terms and not any(of_all[name].any() for name in (ORDER, SERVE))
    return OwnCosts(of_all[MARGIN], of_all[ORDER], of_all[SERVE], risk, of_all[LOSS], stated.text, idle)


def of_nobody(stated: Costs, margin: float, draws: int) -> OwnCosts:
    """Return the terms of a new customer, who has no columns: one row; others than numbers are refused."""
    for name, each in stated.terms.items():
        if not _of_all(each):
            raise InputError(
                f"{_place(stated, name)} is {_said(each)}, and a new customer has no columns. State a number."
            )
    nobody = xr.Dataset(coords={CUSTOMER: np.array(["new"], dtype=object)})
    return resolved(stated, nobody, margin, draws)


def _risk(
    stated: Costs, customers: xr.Dataset, draws: int
) -> tuple[Callable[[np.ndarray], np.ndarray], bool]:
    """Return the probability of default of places, and whether it is 0 for everybody."""
    given = stated.terms.get(RISK)
    if isinstance(given, xr.Dataset) and given.attrs.get("result") == DEFAULT:
        return probabilities(given, customers, draws), False
    one = _amounts(stated, RISK, customers)[:, None]
    return lambda places: one[places], not one.any()


def _amounts(stated: Costs, name: str, customers: xr.Dataset) -> np.ndarray:
    """Return a term of each customer, (customer,)."""
    given, size = stated.terms.get(name, 1.0 if name == LOSS else 0.0), customers.sizes[CUSTOMER]
    place = _place(stated, name)
    if _is_number(given):
        return np.full(size, float(given))
    if isinstance(given, str):
        try:
            found = column_values(customers, given)
        except InputError as error:
            raise InputError(f"{place}: {error.text}") from None
        if found.dtype == object:
            raise InputError(f"{place}: the column {given!r} holds text. Name one of numbers.")
    elif hasattr(given, "items") and not isinstance(given, xr.Dataset):
        amounts = {str(key): float(each) for key, each in given.items()}
        ids = [str(key) for key in customers[CUSTOMER].to_numpy()]
        missing = [key for key in ids if key not in amounts]
        if missing:
            raise InputError(
                f"{place} is matched by customer id, and {len(missing):,} of {size:,} customers have none, such as "
                f"{missing[0]!r}. Give one to each."
            )
        found = np.array([amounts[key] for key in ids])
    else:
        raise InputError(
            f"{place}: got {type(given).__name__}. Give a number, the name of a column of the customers, or amounts by "
            "customer id."
        )
    _refuse(place, name, found, customers)
    return found
