"""Groups of customers with a calendar each, pooled: as much of its own as the data support.

A base's calendar (``inference.calendar``) is one for all. With ``Calendar(by="channel")`` group j has

    log g_jt = log g_t + d_jt,

g what all have in common, with its level, shocks, season and events, and d_j an autoregression about 0 that forgets as
the common level does, with a scale that is learned (``calendar_group_sd``): towards 0 every group has the common one.
The likelihood is that of each group's customers in their group's operational time; all it needs besides are the repeat
purchases of each group by period.

**How it is sampled.** As the common part is (``inference.clock``): cosine transforms, whitened by what the prior and
the purchases say of each wave. With n_j the purchases of a mean period of group j and v the prior variance of its wave,
what all of them say of the common wave is the sum of n_j / (1 + n_j v), and given it d_j is known to 1 / v + n_j about
-n_j v / (1 + n_j v) of it: so the two are taken apart. The mean of d_j is known but for what is common to all groups,
which goes with the population's rate.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.customers.periods import purchases_ago
from bayes_clv.families.quantities import Prior, Quantity
from bayes_clv.families.registry import OVER_TIME, family
from bayes_clv.inference.calendar import HALF_LIFE, PERIOD, RATE, DrawnCalendar, LearnedCalendar
from bayes_clv.inference.clock import GROUPED, Clock, clock, spectrum_of
from bayes_clv.language import say
from bayes_clv.schema import CHAIN, DRAW, InputError, argument, stored

GROUP = "calendar_group"
GROUP_RATE, GROUP_SD = "calendar_group_rate", "calendar_group_sd"
# Families whose customers' time alone a calendar changes, and that read no times but the first and the last.
POOLED = OVER_TIME
# Each group has a number a period.
MOST_GROUPS = 30


@dataclass(frozen=True)
class LearnedGroups:
    """The groups of a calendar: the column ``by``, its ``labels``, and the repeat purchases (group, period) of each."""

    by: str
    labels: tuple[str, ...]
    counts: np.ndarray | None = None

    def quantities(self) -> dict[str, Quantity]:
        """Return the further quantity that is sampled, with its prior."""
        return {GROUP_SD: Quantity(Prior("HalfNormal", sigma=0.3))}

    def coords(self) -> dict[str, list[str]]:
        """Return the dimension that it adds to a posterior, with its labels."""
        return {GROUP: list(self.labels)}

    @property
    def names(self) -> list[str]:
        """Return the names of the variables to keep."""
        return [GROUP_RATE, GROUP_SD]

    def meanings(self) -> dict[str, tuple[str, str]]:
        """Return what each variable of the posterior means, and its unit."""
        return {
            GROUP_RATE: (say("purchase rate of a group's customers in the period over its mean"), "none"),
            GROUP_SD: (say("standard deviation of the log of a group's rate about that of all"), "none"),
        }

    def place(self, customers: xr.Dataset) -> np.ndarray:
        """Return the place of each customer's group; InputError of a label that the fit has not seen."""
        labels = _labels(customers, self.by)
        known = {label: place for place, label in enumerate(self.labels)}
        unseen = [label for label in dict.fromkeys(labels) if label not in known]
        if unseen:
            many = sum(label not in known for label in labels)
            raise InputError(
                f"{many:,} of {len(labels):,} customers have a label in {self.by!r} that the fit's calendar has not "
                f"seen, such as {unseen[0]!r}; it knows {', '.join(self.labels)}. Fit with customers of that group, "
                "or leave them out."
            )
        return np.array([known[label] for label in labels], dtype=np.int64)

    def to_json(self) -> str:
        """Return it as text for the posterior's attributes."""
        return json.dumps({"by": self.by, "labels": self.labels})

    @classmethod
    def from_json(cls, text: str) -> "LearnedGroups":
        """Return what ``to_json`` wrote."""

        def learned() -> "LearnedGroups":
            read = json.loads(text)
            return cls(str(read["by"]), tuple(read["labels"]))

        return stored("calendar_groups", learned)


def _labels(customers: xr.Dataset, by: str) -> list[str]:
    return [str(label) for label in as_labels(column_values(customers, by))]


def learn_groups(by: Any, name: str, customers: xr.Dataset, calendar: LearnedCalendar) -> LearnedGroups:
    """Return the groups of a calendar of these customers.

    Raises InputError for a family that has no calendar by group, customers without purchase times, a column that is not
    there or has gaps, one label, and too many.
    """
    if name not in POOLED:
        raise InputError(
            f"{family(name).words.title} has no calendar by group: {', '.join(POOLED)} have. Fit one of these, or "
            f"leave {argument('by', by)} out of Calendar()."
        )
    if not isinstance(by, str):
        raise InputError(f"Calendar: by must name one column of the customers; it is {by!r}.")
    labels = _labels(customers, by)
    distinct, place = np.unique(np.array(labels, dtype=object), return_inverse=True)
    if distinct.size < 2:
        raise InputError(
            f"All customers have {distinct[0]!r} in {by!r}, so that its calendar is that of all. Leave "
            f"{argument('by', by)} out of Calendar()."
        )
    if distinct.size > MOST_GROUPS:
        raise InputError(
            f"{by!r} has {distinct.size:,} labels, such as {distinct[0]!r}, and each would have a number a period: "
            f"{MOST_GROUPS} are the most. Join them to fewer, larger groups."
        )
    alone = [label for label, size in zip(distinct, np.bincount(place), strict=True) if size == 1]
    if alone:
        raise InputError(
            f"{len(alone)} of {distinct.size} labels in {by!r} have one customer, such as {alone[0]!r}: the weeks of "
            "one customer are no calendar. Join these labels to others, or leave these customers out."
        )
    if "purchase_times" not in customers:
        raise InputError(
            "A calendar by group needs the repeat purchases of each group on each day, and 'day_purchases' counts "
            "those of all. Summarise the orders with summarize(..., also=('periods', 'purchase_times'))."
        )
    who, ago = purchases_ago(customers)
    days = np.rint(ago * calendar.unit_days).astype(np.int64)
    period = calendar.size - 1 - days // calendar.days
    counts = np.zeros((distinct.size, calendar.size))
    np.add.at(counts, (place[who], period), 1.0)
    return LearnedGroups(by, tuple(distinct.tolist()), counts)


@dataclass(frozen=True)
class GroupClocks(Clock):
    """The calendars of groups in a model: ``log_rate`` and ``rate`` (group x period), flat, one group's after another.

    The calendar's ``counts`` are flat too.
    """

    @property
    def to_end(self) -> Any:
        """Return the operational time from each knot to the end (group x knot), flat."""
        import pytensor.tensor as pt

        size = self.calendar.size
        sums = self.width * np.triu(np.ones((size + 1, size)))
        groups = np.asarray(self.calendar.counts).size // size
        return pt.concatenate([pt.dot(sums, self.rate[j * size : (j + 1) * size]) for j in range(groups)])

    def operational(
        self, data: Mapping[str, Any], count: Any, payer: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Return the columns of a term, calendar time, in operational time; ``payer`` are the places of the groups."""
        found = dict(data)
        if "T" in data and payer is not None:
            group, age = np.asarray(payer).astype(np.int64), np.asarray(data["T"])
            to_end = self.to_end
            found["T"] = self._since(to_end, group, age)
            if "recency" in data:
                found["recency"] = found["T"] - self._since(to_end, group, age - np.asarray(data["recency"]))
        return found

    def _since(self, to_end: Any, group: np.ndarray, ago: np.ndarray) -> Any:
        low, share = self.knots_at(ago)
        first = group * (self.calendar.size + 1) + low
        return to_end[first] * (1 - share) + to_end[first + 1] * share


def group_clocks(groups: LearnedGroups, calendar: LearnedCalendar, variables: Mapping[str, Any]) -> Clock:
    """Put a calendar and its groups' into the PyMC model in context, given scales and coefficients."""
    import pymc as pm
    import pytensor.tensor as pt

    size, counts = calendar.size, np.asarray(groups.counts)
    sd = variables[GROUP_SD]
    rho, waves, spectrum = spectrum_of(calendar, variables[HALF_LIFE])
    each = counts.mean(axis=1)
    mean = np.arange(size) == 0
    known = pt.where(mean, 0.0, sum(n / (1 + n * sd**2 * spectrum) for n in each))
    common = clock(calendar, variables, known=known)
    z = pm.Flat(GROUPED, shape=counts.size, initval=np.zeros(counts.size))
    waves_of_all = pt.dot(waves.T, common.log_rate)
    rates, density = [], 0.0
    for j, n in enumerate(each):
        # Of the mean what is common to all groups is not known.
        own = np.where(mean, n * (1 - n / each.sum()), n)
        variance = spectrum / (1 + own * sd**2 * spectrum)
        shift = pt.where(mean, 0.0, n * sd * variance * waves_of_all)
        # d over its scale, so that a scale of 0 is one.
        unit = pt.dot(waves, pt.sqrt(variance) * z[j * size : (j + 1) * size] - shift)
        density = density + _log_unit(unit, rho) + pt.log(variance).sum() / 2
        rates.append(common.log_rate + sd * unit)
    pm.Potential("calendar_group_density", density)
    log_rate = pt.concatenate(rates)
    rate = pt.exp(log_rate)
    pm.Deterministic(GROUP_RATE, rate.reshape((each.size, size)), dims=(GROUP, PERIOD))
    return GroupClocks(replace(calendar, counts=counts.ravel()), log_rate, rate)


def _log_unit(e: Any, rho: Any) -> Any:
    """Return the log density of a stationary autoregression of variance 1, but for a constant."""
    import pytensor.tensor as pt

    step = -pt.expm1(2 * pt.log(rho))
    moves = e[1:] - rho * e[:-1]
    size = e.type.shape[0]
    return -(e[0] ** 2 + (moves**2).sum() / step + (size - 1) * pt.log(step)) / 2


@dataclass(frozen=True)
class DrawnGroups:
    """The draws of groups' calendars: ``own`` (draw, group, period) is d, and ``sd`` (draw,) its scale."""

    groups: LearnedGroups
    own: np.ndarray
    sd: np.ndarray

    def take(self, index: np.ndarray) -> "DrawnGroups":
        """Return these draws."""
        return replace(self, own=self.own[index], sd=self.sd[index])

    def ahead(self, calendar: DrawnCalendar, horizon: float) -> np.ndarray:
        """Return g of each group in the periods to come (draw, group, period), as the ``calendar``'s ``ahead``."""
        common = calendar.ahead(horizon)
        now, step = self.own[:, :, -1], (np.sqrt(1 - calendar.rho**2) * self.sd)[:, None]
        found = np.empty((*now.shape, common.shape[1]))
        for period in range(common.shape[1] - 1):
            rng = np.random.Generator(np.random.PCG64([calendar.seed, period, 2]))
            normals = rng.standard_normal((now.shape[1], calendar.total))[:, calendar.place].T
            now = calendar.rho[:, None] * now + step * normals
            found[:, :, period] = now
        found[:, :, -1] = self.sd[:, None] ** 2 / 2
        return common[:, None] * np.exp(found)

    def knots(self, calendar: DrawnCalendar, horizon: float) -> tuple[np.ndarray, np.ndarray]:
        """Return times from now (knot,), and each group's operational time at them (draw, group, knot)."""
        known = calendar.calendar
        past = np.exp(calendar.log_rate[:, None] + self.own)
        rates = np.concatenate([past, self.ahead(calendar, horizon)], axis=2)
        elapsed = np.zeros((*rates.shape[:2], rates.shape[2] + 1))
        np.cumsum(rates * known.width, axis=2, out=elapsed[:, :, 1:])
        elapsed -= elapsed[:, :, known.size, None]
        return (np.arange(elapsed.shape[2]) - known.size) * known.width, elapsed

    def pasts(self, calendar: DrawnCalendar) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield of each draw the knots (knot,) of the past, times from the end, and the groups' time (group, knot)."""
        size, width = calendar.calendar.size, calendar.calendar.width
        times = (np.arange(size + 1) - size) * width
        for common, own in zip(calendar.log_rate, self.own, strict=True):
            elapsed = np.zeros((own.shape[0], size + 1))
            np.cumsum(np.exp(common + own) * width, axis=1, out=elapsed[:, 1:])
            yield times, elapsed - elapsed[:, -1:]


def drawn_groups(groups: LearnedGroups, posterior: xr.Dataset) -> DrawnGroups:
    """Return the draws (chain, draw, ...) of the groups of a calendar."""
    missing = [name for name in (RATE, *groups.names) if name not in posterior]
    if missing:
        raise InputError(f"The posterior has a calendar by group and lacks {', '.join(missing)}. Fit again.")
    rate, of_group, sd = (
        posterior[name].transpose(CHAIN, DRAW, *dims).to_numpy().astype(float)
        for name, dims in ((RATE, [PERIOD]), (GROUP_RATE, [GROUP, PERIOD]), (GROUP_SD, []))
    )
    size = len(groups.labels)
    common = np.log(rate.reshape(-1, 1, rate.shape[-1]))
    return DrawnGroups(groups, np.log(of_group.reshape(-1, size, rate.shape[-1])) - common, sd.ravel())


def read_groups(tree: xr.DataTree) -> DrawnGroups | None:
    """Return the draws of the groups of a posterior's calendar, None where it has none."""
    if "calendar_groups" not in tree.attrs:
        return None
    groups = LearnedGroups.from_json(str(tree.attrs["calendar_groups"]))
    return drawn_groups(groups, tree["posterior"].dataset)
