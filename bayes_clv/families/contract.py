"""What a family is: a frozen record of data and functions over named arrays.

Nothing is inherited and nothing is guessed: what a family does not have is None, or its ``forecast`` is a record of
another kind, and ``need`` is the one place that says so.

Functions take the customers' columns and the paper's parameters by name. A column is (row, 1), or (row,) where there
are no draws; a parameter is (draw,), or (row, draw) where it differs by customer: results are (row, draw). Where the
first argument is times or counts, a number or an array, its axes lead: (time, row, draw). All durations are in one
unit, the data's; a customer's history ends at its age T, and "time" in a forecast counts from there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import Paths
from bayes_clv.distributions.paths.group_clock import GroupClock
from bayes_clv.distributions.paths.own_clock import OwnClock
from bayes_clv.families.likelihood import Term
from bayes_clv.families.quantities import Quantity, Scale
from bayes_clv.schema import InputError

type Columns = Mapping[str, Array]
type Params = Mapping[str, Array]
type Kind = Literal["purchases", "spend", "opportunities", "contracts"]

# What informs a customer's level of spend.
LEVEL = ("occasions", "mean_spend")


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a family says of itself to people.

    Attributes
    ----------
    title : str
        Its name in print, "BG/NBD".
    summary : str
        One sentence: what customers do.
    caution : str
        A known flaw and what to do about it; empty where there is none.
    meanings : mapping of str to (str, str)
        Of every parameter and quantity: what it means, and its unit: "none", "time", "1/time", "money", "log money",
        "probability" or "count".
    references : tuple of str
        The papers, as keys of ``references.bib``; of a family of your own, the entries themselves.
    """

    title: str
    summary: str
    caution: str
    meanings: Mapping[str, tuple[str, str]]
    references: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """A quantity that is sampled through another variable, in which the posterior has no ridge.

    Attributes
    ----------
    quantity : str
        Its name.
    value : callable
        ``value(coordinate, population, columns)``: the quantity at a coordinate, given the others, and the log of its
        derivative; tensors.
    """

    quantity: str
    value: Callable[[Any, Mapping[str, Any], Columns], tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a customer will do: of families of purchases, and of opportunities (which are then the unit of time).

    Attributes
    ----------
    history : tuple of str
        The columns that every function here reads.
    latent : tuple of str
        The customer's own numbers beside being alive: ("purchase_rate", "dropout").
    paths : Paths
        When a customer may leave, and so how its future is simulated: a law of ``distributions.paths``.
    alive : callable
        P(alive at T).
    seen_to : callable, or None
        ``(time)``: the forecast of histories that were observed to a time (row, 1) from the end of observation, which
        is negative before it, where it matters when something happened (``families.calendar``); their T stays that to
        the end. Elsewhere a history seen to another day is one of another T.
    latent_means : callable
        The means of ``latent``, of those alive and gone.
    latent_draws : callable
        ``(rng, columns, params)``: one draw each of alive and ``latent``, jointly.
    purchases : callable
        ``(time, columns, params)``: expected purchases in (T, T + time]; ``time`` may be infinite.
    survival : callable
        ``(time, columns, params)``: P(alive at T + time).
    pmf : callable
        ``(counts, time, columns, params)``: P(exactly so many purchases). Of an array of counts the absolute error
        is that of the quadrature; of a single count a small probability keeps its digits.
    at_least : callable
        ``(counts, time, columns, params)``: P(so many purchases or more).
    discounted : callable
        ``(time, rate, columns, params)``: expected purchases, each worth e^(-rate) to the time that it is away (of
        opportunities 1 / (1 + rate)); ``time`` is one number, infinite for all to come.
    state : callable, or None
        What the simulation reads of a customer who is alive, given the history; what it means says the law. None where
        ``futures`` stands in its place.
    futures : callable, or None
        ``(rng, columns, params)`` of one customer: (first wait, shape and rate of further waits, when it leaves,
        negative of one who has left, rate of leaving), each (draw,), where the family draws each customer's future.
    times : callable, or None
        ``(rng, columns, params)``: repeat purchases of new customers as (customer index, age), sorted.
    states : callable, or None
        P(awake), P(asleep) and P(gone) at T, where a customer who is alive may be asleep; then ``waking`` and
        ``woken`` are there too.
    waking : callable, or None
        ``(time, columns, params)``: P(awake within the time), of one who is asleep at T.
    woken : callable, or None
        ``(time, rate, columns, params)``: by how much ``discounted`` would be more if one who is asleep at T were
        awake, times P(asleep).
    rate_ago : callable, or None
        ``(keys, ago, columns, params, rate, left)``, where a customer's purchase rate changes: a draw of what it was a
        time ``ago`` (one number) before T, or at the first purchase where that is later, given the history and a draw
        of ``rate``, that of now, or of when it left, ``left`` from now (above 0 of one who is here); ``keys`` (row, 2)
        of the customers' streams. Of one who left before, it is ``rate``.
    summary : callable, or None
        ``(time, columns, params)``: ``alive``, ``latent_means``, ``purchases``, ``states`` if any, one after the other,
        for a forecast's summary, where together and to six digits they cost less than each by itself.
    clock : callable, or None
        ``(params)``: the law's own time (draw, knot) at knots (knot,) of the calendar's, both 0 at the end of
        observation, where the two differ (``families.calendar``).
    own_clock : callable, or None
        ``(columns, params)``: the same of each row, where every customer has a time of its own (``families.own_time``),
        or every group (``families.group_time``).
    closed_form_draws : int, or None
        How many posterior draws closed forms are computed of where nobody asks for a number; None: all.
    """

    history: tuple[str, ...]
    latent: tuple[str, ...]
    paths: Paths
    alive: Callable[[Columns, Params], Array]
    latent_means: Callable[[Columns, Params], tuple[Array, ...]]
    latent_draws: Callable[[np.random.Generator, Columns, Params], tuple[NDArray[Any], ...]]
    purchases: Callable[[Any, Columns, Params], Array]
    survival: Callable[[Any, Columns, Params], Array]
    pmf: Callable[[Any, float, Columns, Params], Array]
    at_least: Callable[[Any, float, Columns, Params], Array]
    discounted: Callable[[float, float, Columns, Params], Array]
    seen_to: "Callable[[Array], Forecast] | None" = None
    state: Callable[[Columns, Params], tuple[Array, ...]] | None = None
    futures: Callable[[np.random.Generator, Columns, Params], tuple[Array, ...]] | None = None
    times: Callable[[np.random.Generator, Columns, Params], tuple[Any, Array]] | None = None
    states: Callable[[Columns, Params], tuple[Array, ...]] | None = None
    waking: Callable[[float, Columns, Params], Array] | None = None
    woken: Callable[[float, float, Columns, Params], Array] | None = None
    rate_ago: Callable[[NDArray[np.uint64], float, Columns, Params, Array, Array], Array] | None = None
    summary: Callable[[float, Columns, Params], tuple[Array, ...]] | None = None
    clock: Callable[[Params], tuple[Array, Array]] | None = None
    own_clock: Callable[[Columns, Params], OwnClock | GroupClock] | None = None
    closed_form_draws: int | None = None


class Moves(NamedTuple):
    """How a customer's log level moves from the end of observation on.

    A trend of ``slope`` a time unit (row, draw) for another ``left`` time units (row,); and a stationary process about
    it, which forgets at ``kappa`` (1 / time unit) and has the standard deviation ``omega``, (row, draw) each. Now it is
    Normal, ``first + second x log level`` with the standard deviation ``third``, (row, draw). None where nothing
    drifts.
    """

    slope: Array
    left: Array
    first: Array | None = None
    second: Array | None = None
    third: Array | None = None
    omega: Array | None = None
    kappa: Array | None = None


@dataclass(frozen=True, kw_only=True)
class SpendLevel:
    """What an occasion brings: each customer has a level of its own, and occasions vary about it.

    Functions read the columns ``reads``, ``occasions`` and ``mean_spend`` first: the repeat occasions that inform the
    level, 0 of a new customer, and their mean, of the kind that ``level`` names. Where the level moves it is that of
    now, at the end of observation.

    Attributes
    ----------
    density : str
        Of what the likelihood is the density.
    level : str
        The customers' column that informs a level.
    occasion : str
        The parameter of how an occasion varies.
    pays : str
        "gamma": ``state`` is shape and rate of the Gamma of 1 / level; "lognormal": mean and standard deviation of the
        Normal of the log level.
    state : callable
        The level given the history, as ``pays`` says.
    expected : callable
        Expected spend of an occasion given the history, money; NaN where there is none.
    population_mean : callable
        The same of a new customer.
    lacks_moment : callable
        ``(moment, columns, params)``: whether this moment of an occasion's spend is infinite.
    level_draws : callable
        ``(rng, columns, params)``: one draw of the level.
    spend : callable
        ``(rng, occasions, level, occasion)``: a draw of the total spend of so many occasions, money.
    amounts : callable, optional
        ``(params, occasions, mean, log_mean)``, tensors: the log density of single amounts given their mean, where the
        likelihood is that of the mean; None where it is theirs.
    reads : tuple of str
        The columns that its functions read.
    later : callable, or None
        ``(time, columns, params)``: expected spend of an occasion at times from the end of observation on, where the
        level moves; then ``moves`` and ``orders`` are there too.
    moves : callable, or None
        ``(columns, params)``: how it moves.
    orders : callable, or None
        ``(rng, owner, age, params)``: amounts of the occasions of new customers, who come one after the other, at
        rising ages.
    paced : callable, or None
        ``(clock)``: the terms with a calendar of spend, where it is more than each customer's mean that g changes. The
        clock has ``of_amounts(place)``, log g of the amounts at these places of ``purchase_spend``, a tensor.
    """

    density: str
    level: str
    occasion: str
    pays: Literal["gamma", "lognormal"]
    state: Callable[[Columns, Params], tuple[Array, Array]]
    expected: Callable[[Columns, Params], Array]
    population_mean: Callable[[Params], Array]
    lacks_moment: Callable[[int, Columns, Params], NDArray[np.bool_]]
    level_draws: Callable[[np.random.Generator, Columns, Params], Array]
    spend: Callable[[np.random.Generator, Any, Any, Any], Array]
    amounts: Callable[[Params, Any, Any, Any], Any] | None = None
    reads: tuple[str, ...] = LEVEL
    later: Callable[[Any, Columns, Params], Array] | None = None
    moves: Callable[[Columns, Params], Moves] | None = None
    orders: Callable[[np.random.Generator, NDArray[np.int64], Array, Params], Array] | None = None
    paced: Callable[[Any], tuple[Term, ...]] | None = None


@dataclass(frozen=True, kw_only=True)
class Renewals:
    """Whether a contract is renewed. Functions read the columns ``renewals`` (made) and ``active`` (0 or 1).

    Attributes
    ----------
    retention : callable
        ``(renewal, params)``: the share of those there before renewal 1, 2, ... who make it.
    survival : callable
        ``(renewals ahead, columns, params)``: P(all of the next so many are made).
    pmf : callable
        ``(counts, renewals ahead, columns, params)``: P(exactly so many of the next are made).
    expected : callable
        ``(renewals ahead, columns, params)``: how many of the next are made, in the mean.
    discounted : callable
        ``(rate, columns, params)``: all to come, the one now due undiscounted, each later one by 1 / (1 + rate) a
        period.
    latent_means, latent_draws : callable
        Of the customer's own probability of leaving at the first renewal.
    next_retention : callable, or None
        ``(renewals ahead, columns, params)``: of those who come to that renewal the share who make it, where it goes by
        more than the renewal's number, as with a calendar; ``discounted`` and the two before are None there.
    """

    retention: Callable[[Any, Params], Array]
    survival: Callable[[Any, Columns, Params], Array]
    pmf: Callable[[Any, float, Columns, Params], Array]
    expected: Callable[[Any, Columns, Params], Array]
    discounted: Callable[[float, Columns, Params], Array] | None
    latent_means: Callable[[Columns, Params], Array] | None
    latent_draws: Callable[[np.random.Generator, Columns, Params], Array] | None
    next_retention: Callable[[Any, Columns, Params], Array] | None = None


@dataclass(frozen=True, kw_only=True)
class Paced:
    """A family in calendar time, where a calendar is no change of its time: something of it does not go at its pace.

    Attributes
    ----------
    likelihood : callable
        ``(clock)``: the terms, with the columns of the family's own, in calendar time; of contracts they may read
        ``periods_ago`` too. The clock has ``since(ago)``, the operational time from so long before the end (an array)
        to the end, ``to_end``, the same at its knots, from the first to the end, ``width``, the time between these, and
        ``rate``, g of each period; tensors.
    simulate : callable
        ``(rng, columns, params, knots, elapsed)``: as the family's, at the pace of one past: operational times at knots
        (knot,) from the end of observation.
    forecast : callable
        ``(knots)``: the forecast, in calendar time, the knots equally far apart before the end; parameters hold
        ``families.calendar.CALENDAR`` (draw, knot).
    """

    likelihood: Callable[[Any], tuple[Term, ...]]
    simulate: Callable[[np.random.Generator, Columns, Params, Array, Array], dict[str, Array]]
    forecast: Callable[[Array], Forecast | Renewals]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family: what is sampled and how, what is observed and how likely, and its forecast.

    Attributes
    ----------
    name : str
        What ``clv.fit`` is given, "bg_nbd".
    kind : str
        "purchases" (at any time), "spend", "opportunities" or "contracts".
    words : Words
        What it says to people.
    parameters : tuple of str
        The paper's, in its order; tests and docstrings hold them against it.
    quantities : mapping of str to Quantity
        What is sampled.
    observed : tuple of str
        The columns that the likelihood reads.
    design : tuple of str
        The columns that ``simulate`` reads: how long each customer is observed.
    scale : callable
        ``(columns, count)``: the data's own scale of each relative quantity, for default priors; counts weigh rows.
    from_quantities : callable
        The paper's parameters of the quantities, tensors or arrays.
    likelihood : tuple of Term
        They add up to the log-likelihood.
    simulate : callable
        ``(rng, columns, params)``: new customers observed as ``columns`` say, by name.
    checked : str
        The observed column that predictive checks count.
    forecast : Forecast, SpendLevel or Renewals
        What it predicts; ask ``need`` for it.
    coordinate : Coordinate, or None
        A quantity that is sampled through another variable.
    paced : Paced, or None
        The family at the pace of a calendar, where that is more than a change of its time (``families.calendar``).
    over : callable, or None
        ``(customers)``: the family as it reads these customers, arrays by name, of one whose functions read more than
        a number a customer: the flat ``purchase_times``. Unbound it knows new customers only.
    """

    name: str
    kind: Kind
    words: Words
    parameters: tuple[str, ...]
    quantities: Mapping[str, Quantity]
    observed: tuple[str, ...]
    design: tuple[str, ...]
    scale: Callable[[Columns, Array], Scale]
    from_quantities: Callable[[Mapping[str, Any]], dict[str, Any]]
    likelihood: tuple[Term, ...]
    simulate: Callable[[np.random.Generator, Columns, Params], dict[str, Array]]
    checked: str
    forecast: Forecast | SpendLevel | Renewals
    coordinate: Coordinate | None = None
    paced: Paced | None = None
    over: "Callable[[Mapping[Any, Any]], Family] | None" = None

    @property
    def processes(self) -> dict[str, str]:
        """Return of each process the quantity that a covariate of it acts on."""
        return {each.process: name for name, each in self.quantities.items() if each.process is not None}

    def of(self, customers: Mapping[Any, Any]) -> "Family":
        """Return the family over these customers: itself where it reads numbers alone."""
        return self if self.over is None else self.over(customers)

    def log_likelihood(self, params: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
        """Return the log-likelihood of each row, the sum of the terms, as a PyTensor vector."""
        return sum(
            term.function(params, *(columns[name] for name in term.columns)) for term in self.likelihood
        )


def new_customer(history: Sequence[str]) -> dict[str, Array]:
    """Return the history of a customer at the first purchase: nothing yet, in every column."""
    return {name: np.zeros(()) for name in history}


# What each kind of family forecasts, and who offers it.
_OFFERED: dict[type, tuple[str, tuple[Kind, ...]]] = {
    Forecast: ("purchases to come", ("purchases", "opportunities")),
    SpendLevel: ("the spend of an occasion", ("spend",)),
    Renewals: ("renewals", ("contracts",)),
}
# The verbs that forecast from a posterior of each kind.
VERBS: dict[Kind, str] = {
    "purchases": "clv.predict and clv.expected.purchases",
    "spend": "clv.predict, as its spending posterior",
    "opportunities": "clv.predict and clv.expected.purchases",
    "contracts": "clv.predict_renewals, clv.expected.renewals and clv.expected.residual_renewals",
}


def need[F: (Forecast, SpendLevel, Renewals)](family: Family, what: type[F]) -> F:
    """Return the family's forecast as what is needed.

    Raises InputError where the family forecasts something else: which families have it, and what serves this one.

    Examples
    --------
    >>> from bayes_clv.families.registry import family
    >>> need(family("bg_nbd"), Forecast).latent
    ('purchase_rate', 'dropout')
    """
    if isinstance(family.forecast, what):
        return family.forecast
    from bayes_clv.families.registry import families

    wanted, kinds = _OFFERED[what]
    given, _ = _OFFERED[type(family.forecast)]
    offering = [name for kind in kinds for name in families(kind)]
    raise InputError(
        f"{family.words.title} forecasts {given}, and {wanted} are needed here: fit one of {', '.join(offering)}. "
        f"A {family.name} posterior serves {VERBS[family.kind]}."
    )
