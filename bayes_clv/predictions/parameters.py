"""Reading a posterior: which family it is, in which unit, and its draws as plain arrays.

A posterior is the DataTree of ``clv.fit``. Only its root attributes and the family's own parameters in
its ``posterior`` group are used, so one saved, reloaded or built by hand serves as well.

With covariates or groups each customer has parameters of its own, by profile: ``Parameters.of(customers)`` reads
the columns that the fit remembers, ``columns`` joins the profile to the histories, and ``at`` gives the parameters of
the rows of one tile, so that memory does not grow with the customers. Without effects all three change nothing.
A group that the fit has not seen is drawn from the fitted distribution of groups: sd × z, where z belongs to the
posterior's seed, the effect, the group's label and the draw, so that all customers of a new group share it, in
every call.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.families.calendar import CALENDAR, clocked
from bayes_clv.families.contract import VERBS, Family, Forecast, Renewals, SpendLevel, need
from bayes_clv.families.contract import Kind as FamilyKind
from bayes_clv.families.group_time import PLACE, in_group_time
from bayes_clv.families.own_time import COEFFICIENT, in_own_time, refuse_unknown
from bayes_clv.families.registry import families
from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.calendar import DrawnCalendar, read_calendar
from bayes_clv.inference.effects import Effect, Effects, Profiles
from bayes_clv.inference.ledger import PAYER, Ledger, read_ledger
from bayes_clv.inference.over_time import DrawnColumns, OwnPaces, own_paces, read_columns
from bayes_clv.inference.pooled import DrawnGroups, read_groups
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError, either

Kind = Literal["buying", "spending", "opportunities", "contracts"]


# Futures simulated from a posterior of one draw (method="mode"): enough for its 5 and 95 % quantiles.
POINT_FUTURES = 1000


# The column of the histories that holds the customers' profile: of buying, and of spending.
PROFILES = ("profile", "spend_profile")


# What a family must be fitted to (its kind) to serve a purpose.
_SERVES: dict[Kind, FamilyKind] = {
    "buying": "purchases",
    "spending": "spend",
    "opportunities": "opportunities",
    "contracts": "contracts",
}


@dataclass(frozen=True)
class Parameters:
    """The draws of one posterior: ``values`` maps each parameter to (chain × draw,) in that order.

    With a ``calendar`` the family is in calendar time after ``until``, and ``values`` hold its knots too; where it is
    of spend, ``ledger`` and ``payer`` are of the customers after ``priced``, and ``ahead`` is g (draw, period) to come.
    With columns ``over_time`` the family is in each customer's own time after ``of`` and ``until``, by the ``pieces``
    of the customers, and ``values`` hold the coefficients (draw, effect) too.
    With ``grouped`` the calendar differs by group, and knots are (draw, group, knot), of customers who are ``placed``;
    where all are of one group, its place ``among`` them, they are (draw, knot).
    With ``effects`` these are the parameters of the average customer of the average group, ``drawn`` holds what
    the effects are made of (draws last), and ``place`` the draws' places among ``total`` for new groups.
    """

    family: Family
    values: dict[str, np.ndarray]
    chains: np.ndarray
    draws: np.ndarray
    profile: str = "profile"
    effects: Effects | None = None
    drawn: dict[str, np.ndarray] = field(default_factory=dict)
    place: np.ndarray | None = None
    total: int = 0
    seed: str = ""
    profiles: Profiles | None = None
    calendar: DrawnCalendar | None = None
    ledger: Ledger | None = None
    payer: np.ndarray | None = None
    ahead: np.ndarray | None = None
    over_time: DrawnColumns | None = None
    pieces: OwnPaces | None = None
    grouped: DrawnGroups | None = None
    among: int | None = None

    @property
    def forecast(self) -> Forecast:
        """Return what customers will do: purchases, or what they do at opportunities."""
        return need(self.family, Forecast)

    @property
    def level(self) -> SpendLevel:
        """Return what an occasion brings."""
        return need(self.family, SpendLevel)

    @property
    def renewals(self) -> Renewals:
        """Return whether contracts are renewed."""
        return need(self.family, Renewals)

    @property
    def size(self) -> int:
        """Return the number of draws of all chains."""
        return self.chains.size * self.draws.size

    def thin(self, draws: int) -> "Parameters":
        """Return at most about ``draws`` draws, evenly spaced within each chain, at least one a chain."""
        length = self.draws.size
        kept = max(1, draws // self.chains.size)
        if kept >= length:
            return self
        index = np.arange(kept) * length // kept
        flat = (np.arange(self.chains.size)[:, None] * length + index).ravel()
        return replace(self.take(flat), draws=self.draws[index])

    def repeated(self) -> "Parameters":
        """Return a point as POINT_FUTURES equal draws, so that a customer's futures still differ by chance."""
        if self.size > 1:
            return self
        repeated = self.take(np.zeros(POINT_FUTURES, dtype=np.int64))
        draws = np.arange(POINT_FUTURES)
        return replace(repeated, draws=draws, place=draws, total=POINT_FUTURES)

    def take(self, index: np.ndarray) -> "Parameters":
        """Return these draws of all chains; the labels of chain and draw are left as they are."""
        return replace(
            self,
            values={name: value[index] for name, value in self.values.items()},
            drawn={name: value[..., index] for name, value in self.drawn.items()},
            place=None if self.place is None else self.place[index],
            calendar=None if self.calendar is None else self.calendar.take(index),
            ahead=None if self.ahead is None else self.ahead[index],
            over_time=None if self.over_time is None else self.over_time.take(index),
            grouped=None if self.grouped is None else self.grouped.take(index),
        )

    def until(self, horizon: float) -> "Parameters":
        """Return them in calendar time where there is a calendar, whose future is drawn, to a horizon in time units."""
        if self.over_time is not None:
            return self._in_own_time(horizon)
        if self.calendar is None or self.calendar.calendar.of_spend:
            return self
        if self.grouped is not None:
            knots, elapsed = self.grouped.knots(self.calendar, horizon)
            if self.among is not None:
                one = np.ascontiguousarray(elapsed[:, self.among])
                return replace(self, family=clocked(self.family, knots), values=self.values | {CALENDAR: one})
            family = in_group_time(self.family, knots)
            return replace(self, family=family, values=self.values | {CALENDAR: elapsed})
        knots, elapsed = self.calendar.knots(horizon)
        return replace(self, family=clocked(self.family, knots), values=self.values | {CALENDAR: elapsed})

    def placed(self, customers: xr.Dataset) -> xr.Dataset:
        """Return the customers with the place of their group, where the calendar differs by group."""
        if self.grouped is None or self.among is not None:
            return customers
        return customers.assign({PLACE: (CUSTOMER, self.grouped.groups.place(customers))})

    def in_group(self, label: Any) -> "Parameters":
        """Return them of customers of one group, where the calendar differs by group."""
        if self.grouped is None:
            return self
        one = xr.Dataset({self.grouped.groups.by: (CUSTOMER, np.array([label], dtype=object))})
        return replace(self, among=int(self.grouped.groups.place(one)[0]))

    def _in_own_time(self, horizon: float) -> "Parameters":
        """Return them in each customer's own time; without an end of the horizon whoever looks ahead is told."""
        if self.pieces is None or self.over_time is None:
            raise RuntimeError("Columns over time need customers: call of(customers) first.")
        if math.isfinite(horizon):
            refuse_unknown(horizon, self.pieces.known)
        knots, values = None, self.values | {COEFFICIENT: self.over_time.coefficient}
        if self.calendar is not None:
            knots, values[CALENDAR] = self.calendar.knots(horizon)
        moved = in_own_time(self.family, self.pieces.paced, self.pieces.known, self.pieces.week, knots)
        return replace(self, family=moved, values=values)

    def priced(
        self, horizon: float, customers: xr.Dataset | None = None, keys: np.ndarray | None = None
    ) -> "Parameters":
        """Return them with the calendar of spend, where there is one: its future is drawn, to a horizon in time units.

        With ``customers`` what they paid is read too, and each is a history of its own, numbered by the order of its
        random ``keys`` (customer, 2), which does not depend on that of arrival.
        """
        if self.calendar is None:
            return self
        found = replace(self, ahead=self.calendar.ahead(horizon))
        if customers is None:
            return found
        known = self.calendar.calendar
        ledger = read_ledger(customers, known.days, known.unit_days, known.size)
        order = np.arange(ledger.size.size) if keys is None else np.lexsort((keys[:, 1], keys[:, 0]))
        payer = np.empty(order.size)
        payer[order] = np.where(ledger.size[order] > 0, np.arange(order.size), 0)
        return replace(found, ledger=ledger.take(order), payer=payer)

    @property
    def width(self) -> float:
        """Return the length of a period of the calendar in time units."""
        return math.nan if self.calendar is None else self.calendar.calendar.width

    def worth(self, horizon: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the periods to a horizon (period,), and what money in each is worth (period, draw).

        That is g of the period times the mean discount in it, at a continuous ``rate``. One period, and its discount
        left out of it, without a calendar.
        """
        assert self.ahead is not None
        number = math.ceil(horizon / self.width - 1e-9)
        ends = np.minimum(self.width * np.arange(1, number + 1), horizon)
        long = np.diff(ends, prepend=0.0)
        mean = np.exp(-rate * (ends - long)) * (-np.expm1(-rate * long) / (rate * long) if rate else 1.0)
        return ends, mean[:, None] * self.ahead[:, :number].T

    def paid(self, columns: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the family of spend reads of these rows, (row, 1), or less the calendar's part (row, draw).

        Where it reads each amount, these are ``purchase_spend`` (amount, draw), flat.
        """
        found = {name: columns[name][rows, None] for name in self.level.reads}
        if self.ledger is None or self.calendar is None:
            return found
        if self.level.paced is not None:
            size = found["occasions"][:, 0]
            start, log_rate = found["spend_start"][:, 0], self.calendar.log_rate
            own = self.ledger.drawn_amounts(start, size, log_rate)
            return found | {"purchase_spend": own, "spend_start": (np.cumsum(size) - size)[:, None]}
        informed = found["occasions"][:, 0] > 0
        mean = np.zeros((rows.size, self.calendar.log_rate.shape[0]))
        payers = columns[PAYER][rows[informed]].astype(np.int64)
        itself = columns["mean_spend"][rows[informed]]
        mean[informed] = self.ledger.drawn_mean(self.level.pays, payers, itself, self.calendar.log_rate)
        return found | {"mean_spend": mean}

    def of(self, customers: xr.Dataset) -> "Parameters":
        """Return them for these customers, whose columns are read and checked, and whose times the family reads."""
        bound = replace(self, family=self.family.of(customers))
        if self.over_time is not None:
            bound = replace(bound, pieces=own_paces(self.over_time.columns, customers))
        if self.effects is None:
            return bound
        return replace(bound, profiles=self.effects.profiles(customers))

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Return what a history needs beside the past: the customers' profile, or nothing without effects."""
        if self.effects is None:
            return {}
        if self.profiles is None:
            raise RuntimeError("Parameters with effects need customers: call of(customers) first.")
        return {self.profile: self.profiles.index}

    @property
    def payers(self) -> dict[str, np.ndarray]:
        """Return where customers are in the ledger, or nothing without a calendar of spend."""
        return {} if self.payer is None else {PAYER: self.payer}

    def at(
        self, columns: Mapping[str, np.ndarray], rows: np.ndarray | slice = slice(None)
    ) -> dict[str, np.ndarray]:
        """Return the parameters of these rows of the histories' ``columns``.

        Each is (draw,), or (row, draw) where an effect acts on it; without effects they are ``values``.
        """
        if self.effects is None:
            return self.values
        if self.profiles is None:
            raise RuntimeError("Parameters with effects need customers: call of(customers) first.")
        profile = columns[self.profile][rows].astype(np.int64)
        drawn, place = dict(self.drawn), {}
        for column in self.effects.labels:
            place[column] = self.profiles.place[column][profile]
            new = np.unique(place[column][place[column] < 0])
            if new.size:
                known = len(self.effects.labels[column])
                place[column] = np.where(
                    place[column] < 0, known + np.searchsorted(new, place[column]), place[column]
                )
                for effect in self.effects.each:
                    if column in effect.groups:
                        name = effect.offset(column)
                        offsets = [self._new_offset(effect, column, -1 - int(j)) for j in new]
                        drawn[name] = np.vstack([drawn[name], *offsets])
        design = {name: each[profile] for name, each in self.profiles.design.items()}
        own = self.effects.parameters(np, self.family, drawn, design, place)
        return own | {name: self.values[name] for name in (CALENDAR, COEFFICIENT) if name in self.values}

    def of_profile(self, profile: int) -> dict[str, np.ndarray]:
        """Return the parameters (draw,) of customers of one profile, by its index; ``values`` without effects."""
        own = self.at({self.profile: np.array([profile])})
        return {
            name: value[0] if value.ndim == 2 and name != CALENDAR else value for name, value in own.items()
        }

    def all_alike(self) -> "Parameters":
        """Return the parameters of customers of one profile, in place of the average customer's, without effects."""
        if self.effects is None:
            return self
        return replace(self, values=self.of_profile(0), effects=None, drawn={}, profiles=None)

    def _new_offset(self, effect: Effect, column: str, unseen: int) -> np.ndarray:
        """Return the offset of a group that the fit has not seen, per draw."""
        assert self.profiles is not None
        label = self.profiles.unseen[column][unseen]
        z = new_group(self.seed, effect.name, column, label, self.total)
        offset: np.ndarray = self.drawn[effect.sd(column)] * z[self.place]
        return offset

    def unstack(self, per_draw: np.ndarray, *dims: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Return an array whose first axis is the draws as (chain, draw, ...) with its dimensions."""
        shape = (self.chains.size, self.draws.size, *per_draw.shape[1:])
        return (CHAIN, DRAW, *dims), per_draw.reshape(shape)

    def coords(self) -> dict[str, np.ndarray]:
        """Return the chain and draw labels."""
        return {CHAIN: self.chains, DRAW: self.draws}


def new_group(seed: str, effect: str, column: str, label: str, size: int) -> np.ndarray:
    """Return a standard Normal number for each draw that belongs to a group which the fit has not seen."""
    words = json.dumps([seed, effect, column, label])
    key = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=16).digest(), "little")
    return np.random.default_rng(key).standard_normal(size)


def check_posterior(tree: xr.DataTree, kind: Kind) -> Family:
    """Return the posterior's family, after checking that it serves ``kind``.

    Parameters
    ----------
    tree
        A posterior as ``clv.fit`` returns it.
    kind
        ``"buying"`` (purchases and dropout), ``"spending"`` (spend of an occasion), ``"opportunities"`` (purchases
        at discrete opportunities) or ``"contracts"``.

    Raises
    ------
    InputError
        Not a posterior, an unknown family, a family of the other kind, or parameters missing.
    """
    name = getattr(tree, "attrs", {}).get("family")
    if not isinstance(tree, xr.DataTree) or not isinstance(name, str) or "posterior" not in tree.children:
        raise InputError(
            f"The {kind} posterior must be a DataTree with a 'posterior' group and the attribute 'family', "
            f"as clv.fit returns it; got {type(tree).__name__}."
        )
    family = find_family(name)
    fitted, wanted = family.kind, _SERVES[kind]
    if fitted != wanted and not {fitted, wanted} <= {"purchases", "spend"}:
        raise InputError(
            f"The {kind} posterior is of family {name!r}, which is fitted to {fitted}: forecast from it with "
            f"{VERBS[fitted]}."
        )
    if fitted != wanted:
        fitting = ", ".join(families(wanted))
        raise InputError(
            f"The {kind} posterior is of family {name!r}, which models {family.kind}; one of {fitting} is needed. "
            "Were the buying posterior and the spending posterior exchanged?"
        )
    missing = [each for each in family.parameters if each not in tree["posterior"].data_vars]
    if missing:
        raise InputError(f"The {name} posterior lacks {', '.join(missing)}; it was not written by clv.fit.")
    return family


# Which go by a calendar.
_CLOCKED_VERBS = {
    "buying": "predict, predict_cohort, simulate, next_purchase, evaluate and clv.expected",
    "contracts": "clv.predict_renewals and clv.expected.renewals",
}
# Which go by columns over time.
_OWN_TIME_VERBS = "predict, simulate, segment, evaluate and clv.expected"
# Which go by a calendar of groups.
_GROUPED_VERBS = (
    "predict, predict_cohort, simulate, segment, next_purchase, evaluate, tracking and clv.expected"
)


def parameters(
    tree: xr.DataTree, kind: Kind, *, calendar: bool = False, over_time: bool = False, grouped: bool = False
) -> Parameters:
    """Return the posterior's draws after :func:`check_posterior`; non-finite draws are refused.

    A posterior with a calendar, one by group, or columns over time, is refused but where ``calendar``, ``grouped``, or
    ``over_time``, says that who asks goes by it.
    """
    family = check_posterior(tree, kind)
    drawn_time = read_calendar(tree)
    if drawn_time is not None and not calendar:
        raise InputError(
            "It does not go by a calendar yet, which this posterior has: "
            f"{_CLOCKED_VERBS.get(kind, _CLOCKED_VERBS['buying'])} do. Fit without the calendar for it."
        )
    columns = read_columns(tree)
    if columns is not None and not over_time:
        raise InputError(
            f"It does not go by columns over time ({', '.join(columns.columns.names)}) yet, which this posterior has: "
            f"{_OWN_TIME_VERBS} do. Fit without over_time for it."
        )
    groups = read_groups(tree)
    if groups is not None and not grouped:
        remedy = either(
            "Fit with one calendar for all, Calendar(), for it.",
            "Run with one calendar for all for it: --calendar without --calendar-by.",
        )
        raise InputError(
            f"It does not go by a calendar of groups ({groups.groups.by}) yet, which this posterior has: "
            f"{_GROUPED_VERBS} do. {remedy}"
        )
    group = tree["posterior"].dataset
    values = {}
    for name in family.parameters:
        drawn = group[name]
        if set(drawn.dims) != {CHAIN, DRAW}:
            raise InputError(
                f"{name} of the {family.name} posterior has dimensions {drawn.dims}; a population parameter has the "
                "dimensions chain and draw, and covariates and groups are variables beside it."
            )
        flat = np.asarray(drawn.transpose(CHAIN, DRAW).values, dtype=float).ravel()
        # An option that is not taken, a share that is 0.
        may_be_zero = family.words.meanings[name][1] == "probability"
        bad = ~(np.isfinite(flat) & ((flat > 0) | (may_be_zero & (flat == 0))))
        if bad.any():
            raise InputError(
                f"{name} of the {family.name} posterior has {bad.sum()} of {flat.size} draws that are not "
                f"positive and finite, such as {flat[bad][0]!r}. Check the fit's diagnostics."
            )
        values[name] = flat
    labels = {
        dim: np.asarray(group[dim].values) if dim in group.coords else np.arange(group.sizes[dim])
        for dim in (CHAIN, DRAW)
    }
    found = Parameters(
        family,
        values,
        labels[CHAIN],
        labels[DRAW],
        PROFILES[kind == "spending"],
        calendar=drawn_time,
        over_time=columns,
        grouped=groups,
    )
    if "effects" not in tree.attrs:
        return found
    effects = Effects.from_json(str(tree.attrs["effects"]))
    drawn = effects.drawn(family, group)
    bad_names = [name for name, value in drawn.items() if not np.isfinite(value).all()]
    if bad_names:
        raise InputError(
            f"{bad_names[0]} of the {family.name} posterior has draws that are not finite. Check the fit's diagnostics."
        )
    size = found.size
    return replace(
        found,
        effects=effects,
        drawn=drawn,
        place=np.arange(size),
        total=size,
        seed=str(tree.attrs.get("seed", "")),
    )


def new_customers(profile: Mapping[str, Any], *fits: Parameters) -> tuple[Parameters, ...]:
    """Return the parameters of customers who all have these columns, as if they were the population's.

    Raises InputError for a column that the fits need and ``profile`` lacks, or that none of them used.
    """
    of_effects = [name for each in fits if each.effects for name in each.effects.columns]
    of_calendars = [each.grouped.groups.by for each in fits if each.grouped is not None]
    used = list(dict.fromkeys([*of_effects, *of_calendars]))
    unknown = [name for name in profile if name not in used]
    missing = [name for name in used if name not in profile]
    they, nobody = ("The fits", "neither fit") if len(fits) > 1 else ("The fit", "it has not")
    if unknown:
        raise InputError(
            f"profile has {unknown[0]!r}, which {nobody} used. {they} used {', '.join(used) or 'none'}."
        )
    if missing:
        raise InputError(
            f"{they} used the columns {', '.join(used)}, and profile lacks {missing[0]!r}. Say what the new "
            f"customers are: profile={{{missing[0]!r}: ...}}."
        )
    one = xr.Dataset(
        {name: (CUSTOMER, np.array([value], dtype=object)) for name, value in profile.items()}
        # Of a family that reads them: none yet.
        | {name: ("repeat_purchase", np.empty(0)) for name in ("purchase_times", "purchase_spend")},
        coords={CUSTOMER: ["new"]},
    )
    alike = (each.of(one).all_alike() for each in fits)
    return tuple(
        each if each.grouped is None else each.in_group(profile[each.grouped.groups.by]) for each in alike
    )


def paired(spending: Parameters, draws: int) -> Parameters:
    """Return the spending parameters of each of ``draws`` buying draws.

    The two posteriors are independent, so that any pairing is a draw of both. Equal numbers are paired
    in order; more spending draws are thinned evenly, fewer are repeated in turn.
    """
    order = np.arange(draws)
    index = order * spending.size // draws if spending.size >= draws else order % spending.size
    return spending.take(index)
