"""What columns over time do to each customer's purchase rate: a clock of its own.

An alive customer buys at lambda exp(sum over columns of coefficient . z(t)), z its column at the time (``customers.
over_time``). As with a calendar (``inference.calendar``), purchases are those of a constant rate in operational time,
the integral of the factor, so that where customers leave at a purchase, or never, the likelihood is the family's
there, and exact:

    log L = the family's at operational (x, t_x, T)  +  sum over purchases of coefficient . z(the purchase's time).

Only now operational time is each customer's own, a sum over its pieces; histories are reduced to the distinct ones of
(x, t_x, T, path of values). ``families.own_time`` says why leaving goes by operational time too.

**Unit.** A column of only 0 and 1 stays as it is, and its coefficient is the log of the factor of 1 against 0. Other
numbers are centred and scaled by the mean and standard deviation over the time in which customers were observed, and
the coefficient is that of one standard deviation: what effects of constant columns are (``inference.effects``), with
the same prior, Normal(0, 1): a factor of more than e in one base of three. The population's rate is that of a
customer at the mean of the numbers, and 0 of the others.

With a calendar in the same fit the factor is g(t) exp(coefficient . z(t)): pieces are as long as in the calendar's
time, and its g of the purchases comes to the sum.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.over_time import checked_changes, known_for
from bayes_clv.customers.periods import purchases_ago
from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.pieces import Paced, overlaps, spans
from bayes_clv.families.own_time import COEFFICIENT
from bayes_clv.families.quantities import Quantity
from bayes_clv.inference.clock import Clock
from bayes_clv.inference.effects import COEFFICIENT as EFFECT_QUANTITY
from bayes_clv.language import say
from bayes_clv.schema import CHAIN, DRAW, InputError, stored
from bayes_clv.units import days_per

EFFECT = "over_time_effect"
MOVED = "population_purchase_rate"
# How far before its day's end a purchase is taken, in days: it is made at the day's value, and not at the next one's.
WITHIN = 1e-6
# Of an interval in words.
ENDS = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class LearnedColumns:
    """The columns over time of a fit: their names, and what is taken off and divided by, one each."""

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    def design(self, values: Mapping[str, np.ndarray]) -> Array:
        """Return the columns (row, effect) as coefficients are of them."""
        own = zip(self.names, self.centre, self.scale, strict=True)
        return np.stack([(values[name] - centre) / scale for name, centre, scale in own], axis=1)

    def quantities(self) -> dict[str, Quantity]:
        """Return the sampled quantity, with its prior."""
        return {COEFFICIENT: EFFECT_QUANTITY}

    def coords(self) -> dict[str, tuple[str, ...]]:
        """Return the dimension that it adds to a posterior, with its labels."""
        return {EFFECT: self.names}

    def meanings(self) -> dict[str, tuple[str, str]]:
        """Return what the posterior's variable means, and its unit."""
        what = say(
            "log of the factor of a customer's purchase rate for one standard deviation of a column over time, or for "
            "1 against 0"
        )
        return {COEFFICIENT: (what, "none")}

    def to_json(self) -> str:
        """Return it as text for the posterior's attributes."""
        return json.dumps({"names": self.names, "centre": self.centre, "scale": self.scale})

    @classmethod
    def from_json(cls, text: str) -> "LearnedColumns":
        """Return what ``to_json`` wrote."""

        def learned() -> "LearnedColumns":
            read = json.loads(text)
            return cls(*(tuple(read[name]) for name in ("names", "centre", "scale")))

        return stored("over_time", learned)

    def paced(self, customers: xr.Dataset) -> tuple[Paced, np.ndarray]:
        """Return the pieces of these customers' columns, and where each customer's begin."""
        begin, start, values = checked_changes(customers, self.names)
        levels, level = np.unique(self.design(values), axis=0, return_inverse=True)
        return Paced(begin, level.reshape(-1), levels), start


@dataclass(frozen=True)
class OwnTimes:
    """Columns over time in a PyMC model: ``log_pace`` (level) of the levels of ``paced``, a tensor.

    ``counts`` (level) are the repeat purchases of all customers at each. With a ``calendar`` pieces are as long as in
    its operational time.
    """

    columns: LearnedColumns
    paced: Paced
    counts: np.ndarray
    log_pace: Any
    calendar: Clock | None = None

    @property
    def anchor(self) -> Any:
        """Return the mean of the log of the factor over the purchases, which goes with the population's rate."""
        return (self.counts / self.counts.sum() * self.log_pace).sum()

    def log_density(self) -> Any:
        """Return the sum of the log of the factor over the purchases, and of the calendar's."""
        own = (self.counts * self.log_pace).sum()
        return own if self.calendar is None else own + self.calendar.log_density()

    def operational(self, data: Mapping[str, Any], count: Any, whose: Any = None) -> dict[str, Any]:
        """Return the columns of a term, calendar time, in operational time; ``whose`` is where each path begins."""
        found = dict(data)
        if "T" in data:
            age = np.asarray(data["T"])
            found["T"] = self._spans(whose, age, np.zeros(age.size))
            if "recency" in data:
                found["recency"] = self._spans(whose, age, np.asarray(data["recency"]) - age)
        return found

    def _spans(self, start: np.ndarray, age: np.ndarray, until: np.ndarray) -> Any:
        """Return the operational time (row,) from the first purchases until a time from the end of observation."""
        import pytensor.tensor as pt

        row, place, lower, upper = spans(self.paced.begin, start, -age, until)
        width: Any = upper - lower
        if self.calendar is not None:
            width = self.calendar.since(-lower) - self.calendar.since(-upper)
        return pt.zeros(age.size)[row].inc(width * pt.exp(self.log_pace)[self.paced.level[place]])


def own_times(
    columns: LearnedColumns, paced: Paced, counts: np.ndarray, coefficient: Any, calendar: Clock | None = None
) -> OwnTimes:
    """Return the clocks of a model, given the coefficients (effect,), a tensor, and a calendar beside them."""
    log_pace = sum(paced.design[:, j] * coefficient[j] for j in range(len(columns.names)))
    return OwnTimes(columns, paced, counts, log_pace, calendar)


def learn_columns(
    names: str | Sequence[str], customers: xr.Dataset
) -> tuple[LearnedColumns, Paced, np.ndarray]:
    """Return the columns of a fit, their pieces, and the repeat purchases at each of their levels.

    Raises InputError for columns that are not there or never change, and customers without purchase times.
    """
    wanted = tuple(dict.fromkeys([names] if isinstance(names, str) else names))
    if not wanted:
        raise InputError("over_time names no column. Name those that change, or leave it out.")
    if "purchase_times" not in customers:
        raise InputError(
            "Columns over time need the time of each purchase, at which a column had its value. Summarise the orders "
            "with summarize(..., also=('purchase_times',))."
        )
    begin, start, values = checked_changes(customers, wanted)
    age = np.asarray(customers["T"], dtype=np.float64)
    _, place, width = overlaps(begin, start, -age, np.zeros(age.size))
    centre, scale = zip(*(_spread(name, values[name][place], width) for name in wanted), strict=True)
    learned = LearnedColumns(wanted, centre, scale)
    paced, _ = learned.paced(customers)
    return learned, paced, bought_at(paced, start, customers)


def bought_at(paced: Paced, start: np.ndarray, customers: xr.Dataset) -> np.ndarray:
    """Return the repeat purchases (level,) of all customers that were made at each level."""
    age = np.asarray(customers["T"], dtype=np.float64)
    who, ago = purchases_ago(customers)
    level = levels_bought(paced, start, age, who, ago, days_per(str(customers.attrs["time_unit"])))
    return np.bincount(level, minlength=paced.design.shape[0]).astype(np.float64)


def levels_bought(
    paced: Paced, start: np.ndarray, age: np.ndarray, who: np.ndarray, ago: np.ndarray, unit_days: float
) -> np.ndarray:
    """Return the level (purchase,) at which each purchase was made, of customers (row,) of an ``age``.

    ``who`` (purchase,) is the row whose it is, one's after the other's, and ``ago`` how long before the end it was.
    """
    when = -ago - WITHIN / unit_days
    # Rows of all pieces and all purchases in order: the last piece before a purchase is its own.
    row, place, _ = overlaps(paced.begin, start, -age, np.zeros(age.size))
    owner = np.concatenate([row, who])
    time = np.concatenate([np.maximum(paced.begin[place], -age[row]), when])
    order = np.lexsort([np.repeat([0, 1], [row.size, who.size]), time, owner])
    piece = np.where(order < row.size, np.arange(order.size), 0)
    last = order[np.maximum.accumulate(piece)]
    level = np.empty(who.size, dtype=np.int64)
    bought = order >= row.size
    level[order[bought] - row.size] = paced.level[place[last[bought]]]
    return level


def _spread(name: str, values: np.ndarray, width: np.ndarray) -> tuple[float, float]:
    """Return the mean and standard deviation of a column over time; 0 and 1 of one that is only 0 and 1."""
    distinct = np.unique(values)
    if distinct.size < 2:
        raise InputError(
            f"{name!r} is {distinct[0]:g} for all customers as long as they were observed, so that nothing can be "
            "learned of what it does. Leave it out."
        )
    if set(distinct.tolist()) == {0.0, 1.0}:
        return 0.0, 1.0
    # Exactly rounded sums: the order of customers then changes no bit.
    whole = math.fsum(width)
    mean = math.fsum(width * values) / whole
    return mean, math.sqrt(math.fsum(width * (values - mean) ** 2) / whole)


@dataclass(frozen=True)
class DrawnColumns:
    """The draws of the coefficients (draw, effect) of columns over time."""

    columns: LearnedColumns
    coefficient: np.ndarray

    def take(self, index: np.ndarray) -> "DrawnColumns":
        """Return these draws."""
        return replace(self, coefficient=self.coefficient[index])


@dataclass(frozen=True)
class OwnPaces:
    """The pieces of some customers' columns, for how long from now they are known, and how long a week is."""

    paced: Paced
    known: float
    week: float


def own_paces(columns: LearnedColumns, customers: xr.Dataset) -> OwnPaces:
    """Return the pieces of customers, checked; InputError where a column is not there."""
    paced, _ = columns.paced(customers)
    week = 7 / days_per(str(customers.attrs["time_unit"]))
    return OwnPaces(paced, known_for(customers, columns.names), week)


def read_columns(tree: xr.DataTree) -> DrawnColumns | None:
    """Return the draws of a posterior's columns over time, None where it has none."""
    if "over_time" not in tree.attrs:
        return None
    columns = LearnedColumns.from_json(str(tree.attrs["over_time"]))
    posterior = tree["posterior"].dataset
    if COEFFICIENT not in posterior:
        raise InputError(f"The posterior has columns over time and lacks {COEFFICIENT}. Fit again.")
    drawn = posterior[COEFFICIENT].transpose(CHAIN, DRAW, EFFECT).to_numpy().astype(float)
    return DrawnColumns(columns, drawn.reshape(-1, len(columns.names)))


def effects_over_time(posterior: xr.DataTree) -> xr.Dataset:
    """Return what each column over time does to the purchase rate, with intervals, in numbers and words.

    Parameters
    ----------
    posterior
        Of ``clv.fit(..., over_time=...)``.

    Returns
    -------
    xarray.Dataset
        Over ``over_time_effect``, the columns: ``step``, how much more of the column is meant (1 of a column that is
        0 or 1, else a standard deviation of it, in its unit); ``factor`` (quantile), by which the purchase rate is then
        multiplied, at 5, 50 and 95 %; ``factor_of_one``, the same for one more of it; and ``probability_more``, that
        the factor is above 1. ``attrs["sentences"]`` says it in words.

    Raises
    ------
    InputError
        A posterior without columns over time.

    Examples
    --------
    >>> import pandas as pd
    >>> timed = clv.summarize(orders, until="1997-09-30", also=("purchase_times",))
    >>> some = timed["customer"].values[::2]
    >>> members = pd.DataFrame({"customer_id": some, "date": "1997-06-01", "member": True})
    >>> timed = clv.customers.with_columns_over_time(timed, members, before=0)
    >>> joined = clv.fit("nbd", timed, over_time="member", method="laplace", draws=50, seed=1)
    >>> effects_over_time(joined)["factor"].dims
    ('over_time_effect', 'quantile')
    """
    drawn = read_columns(posterior)
    if drawn is None:
        raise InputError(
            "This posterior has no columns over time. Fit with over_time=, of customers with "
            "clv.customers.with_columns_over_time."
        )
    step = np.array(drawn.columns.scale)
    of_step, of_one = (
        np.quantile(np.exp(each), ENDS, axis=0).T for each in (drawn.coefficient, drawn.coefficient / step)
    )
    said = [_said(name, by, *ends) for name, by, ends in zip(drawn.columns.names, step, of_step, strict=True)]
    return xr.Dataset(
        {
            "step": (EFFECT, step, {"long_name": "how much more of the column", "units": "the column's"}),
            "factor": (
                (EFFECT, "quantile"),
                of_step,
                {"long_name": "factor of the purchase rate for a step", "units": "none", "level": "expected"},
            ),
            "factor_of_one": (
                (EFFECT, "quantile"),
                of_one,
                {"long_name": "factor of the purchase rate for 1 more", "units": "none", "level": "expected"},
            ),
            "probability_more": (
                EFFECT,
                (drawn.coefficient > 0).mean(axis=0),
                {
                    "long_name": "probability that the factor is above 1",
                    "units": "probability",
                    "level": "expected",
                },
            ),
        },
        coords={EFFECT: list(drawn.columns.names), "quantile": list(ENDS)},
        attrs={"sentences": said},
    )


def _said(column: str, step: float, low: float, middle: float, high: float) -> str:
    """Return in a sentence what a step of a column does."""
    told = {"column": column, "low": low, "middle": middle, "high": high}
    if step == 1:
        return say(
            "1 of {column} multiplies the purchase rate by {middle:.3g} (90 %: {low:.3g} to {high:.3g}).",
            **told,
        )
    return say(
        "{step:.4g} more of {column} multiplies the purchase rate by {middle:.3g} (90 %: {low:.3g} to {high:.3g}).",
        step=step,
        **told,
    )
