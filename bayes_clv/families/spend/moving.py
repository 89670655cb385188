"""Spend that moves with a customer's life: a trend by age, and a level that drifts about the customer's own.

Both spend families give a customer one level for ever. Here an amount paid at age a is one of the family times e^(g
b(a)), b(a) = min(a, span) / span: it changes log-linearly from the first purchase to an age ``span``, and there it is
e^g times as much. Of lognormal spend the level may drift too, log-linearly about the customer's own mean, as an
Ornstein-Uhlenbeck process (``distributions.lognormal.levels``).

==========  ==========================================================================  ========
symbol      meaning                                                                     unit
==========  ==========================================================================  ========
growth      e^g: what an order at the age ``span`` is worth over one at the first        none
span        the age at which the trend ends: the longest age seen                        time
omega       standard deviation of what drifts, on the log scale                         none
kappa       how fast it forgets: correlation e^(-kappa t) over a time t                  1/time
==========  ==========================================================================  ========

**Age, not the order's number.** Within customers of Online Retail (53 weeks, 12,274 repeat purchases) log spend rises
by .23 a year of age (z = 6.9, chi-square 76), and by .048 with twice the order number (z = 4.1, 31); with both in one
regression age rises and the number falls. CDNOW (78 weeks): .048 a year (z = 1.5) and .012 (z = .8). And money to
come is then a closed form, since purchases are known by time. Within a customer age and calendar are one: a trend by
age may be prices that rise.

**It ends.** A log-linear trend that went on would be an exponential: of 20 % a year a factor of 6 in ten years. No
customer was seen older than ``span``, so nothing is claimed of it: the level stays where it is from there on. A
customer who is younger still goes through what older ones went through. ``priors={"trend_span": 52.0}`` states
another end.

**Which data.** The amounts and ages of each repeat purchase (``summarize(..., also=("purchase_spend",))``). The
likelihood is exactly that of every amount; Gamma-Gamma's is that of each customer's mean alone, and so, as with a
calendar (``inference.ledger``), ``p`` goes by how single amounts differ too, and repeat purchases for nothing are
refused.

**With a calendar of spend** an amount over its period's g is one of this family, so that the likelihood stays exact:
that of the amounts over g, over g once for each. Within a customer age and calendar are one, and a trend is told from a
calendar that rises by customers of other ages alone: those who came early and those who came late pay the same g. The
mean level of customers is one for all who ever came, and the calendar's level returns to its mean; so a base that came
within weeks leaves the two to their priors, and one that came on one day is refused (``inference.fitting``).

**No drift of Gamma-Gamma.** Its level nu is Gamma; a diffusion with that law (the one of
``families.purchases.drift``) has a finite filter where an observation multiplies the density by a whole power of nu,
as a purchase does by one. An amount multiplies it by nu^p, p no whole number. And a Gamma discounted to (w shape, w
rate) between purchases (Smith & Miller 1986, JRSS B 48) loses shape with time, so that the mean of 1 / nu, spend,
does not exist after a silence. So it is refused.

**Default priors.** growth is LogNormal(0, 0.5), 90 % from .44 to 2.3 over all that was seen. Sampled in place of tau
and omega are the standard deviation of all levels at one time, of the variance tau² + omega², with the prior of tau,
which the data know well, and the share of it that drifts, Beta(1, 2): where nothing drifts it may fall to 0. The
half-life is LogNormal about the longest age, 1.5 on the log scale: 90 % from a twelfth of it to twelve times. One far
shorter than the time between purchases is noise (sigma), one far longer a difference between customers (tau), and
either leaves share or half-life to their priors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array, owned, ragged
from bayes_clv.distributions.lognormal import levels
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.contract import (
    LEVEL,
    Columns,
    Family,
    Moves,
    Params,
    SpendLevel,
    need,
    new_customer,
)
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases.timed import Grid, flat, flat_times
from bayes_clv.families.quantities import FIXED, Prior, Quantity
from bayes_clv.families.spend import gamma_gamma

SPEND = "purchase_spend"
# What a customer's level is read from.
PLACED = ("T", "purchase_start", "spend_start")
HISTORY = (*LEVEL, *PLACED)
TREND = ("growth", "span")
DRIFT = ("omega", "kappa")
MEANINGS = {
    "growth": (
        "what an order at the end of the trend is worth over one at the first, of one customer",
        "none",
    ),
    "span": ("age at which the trend ends; spend stays where it is from there on", "time"),
    "trend_span": ("age at which the trend ends; spend stays where it is from there on", "time"),
    "omega": (
        "how much a customer's level drifts about its own: standard deviation on the log scale",
        "none",
    ),
    "level_sd": (
        "how much customers' levels differ at any one time: standard deviation on the log scale",
        "none",
    ),
    "drift_share": ("share of that variance that drifts about the customer's own", "probability"),
    "kappa": ("how fast a drift of spend is forgotten; ln 2 over the half-life", "1/time"),
    "spend_half_life": (
        "time after which half of a deviation from the customer's own level is forgotten",
        "time",
    ),
}
QUANTITIES = {
    "growth": Quantity(Prior("LogNormal", mu=0, sigma=0.5)),
    "trend_span": Quantity(Prior(FIXED, value=1), relative=True, constant=True),
}
DRIFTING = {
    "drift_share": Quantity(Prior("Beta", alpha=1, beta=2), upper=1.0),
    "spend_half_life": Quantity(Prior("LogNormal", mu=0, sigma=1.5), relative=True),
}


def trending(static: Family) -> Family:
    """Return the family of spend with a trend by age, and else ``static``."""
    return _over(_Kind(static, trend=True), np.empty(0), np.empty(0))


def drifting(static: Family) -> Family:
    """Return the family of spend whose levels drift, and that is else ``static``, lognormal with a trend or without."""
    from bayes_clv.families.spend.lognormal_spend import FAMILY

    return _over(_Kind(FAMILY, trend="growth" in static.parameters, drift=True), np.empty(0), np.empty(0))


@dataclass(frozen=True)
class _Kind:
    """What moves of a family."""

    static: Family
    trend: bool = False
    drift: bool = False

    @property
    def level(self) -> SpendLevel:
        return need(self.static, SpendLevel)

    @property
    def names(self) -> tuple[str, ...]:
        return (*(TREND if self.trend else ()), *(DRIFT if self.drift else ()))

    def moving(self, params: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
        """Return log growth, span, omega and kappa, 0 and an infinite span of what does not move; tensors or arrays."""
        g, span, omega, kappa = 0.0, math.inf, 0.0, 0.0
        if self.trend:
            g, span = params["log_growth"], params["span"]
        if self.drift:
            omega, kappa = params["omega"], params["kappa"]
        return g, span, omega, kappa


def _scale(kind: _Kind, columns: Mapping[str, Array], count: Array) -> dict[str, float]:
    longest = float(np.max(columns["T"]))
    return {
        "population_spend": float(np.max(kind.static.scale(columns, count))),  # type: ignore[arg-type]
        "trend_span": longest,
        "spend_half_life": longest,
    }


def _parameters(kind: _Kind, population: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(population)
    if kind.drift:
        # All levels of one time spread by both.
        given["tau"] = population["level_sd"]
    found = kind.static.from_quantities(given)
    if kind.trend:
        found |= {"growth": population["growth"], "span": population["trend_span"]}
    if kind.drift:
        share, spread = population["drift_share"], population["level_sd"]
        found |= {
            "tau": spread * (1 - share) ** 0.5,
            "omega": spread * share**0.5,
            "kappa": math.log(2) / population["spend_half_life"],
        }
    return found


def _terms(kind: _Kind, spend: Array, times: Array) -> tuple[Term, ...]:
    checked = kind.static.checked
    columns = ("frequency", checked, "purchase_start", "spend_start")
    return (
        Term(
            columns, partial(_gamma_term if checked == "monetary_value" else _normal_term, kind, spend, times)
        ),
    )


def _normal_term(
    kind: _Kind,
    spend: Array,
    times: Array,
    params: Mapping[str, Any],
    x: Any,
    ybar: Any,
    start: Any,
    paid: Any,
) -> Any:
    """Return the log density of a customer's amounts, as a PyTensor vector: that of their logs over the amounts."""
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import level_sums

    _, _, sigma = double_tensors(params, *kind.static.parameters)
    _, span, omega, kappa = kind.moving(_logged(params))
    sums = level_sums(
        (x, paid, start, ybar, pt.zeros_like(pt.as_tensor(x), dtype="float64") + span, spend, times),
        kappa,
        omega,
        sigma,
    )
    return _normal_density(kind, params, x, ybar, sums)


def _normal_density(kind: _Kind, params: Mapping[str, Any], x: Any, ybar: Any, sums: tuple[Any, ...]) -> Any:
    """Return the log density of amounts of mean log ``ybar``, given the ``sums`` of their logs about it, less g."""
    import pytensor.tensor as pt

    m, tau, _ = double_tensors(params, *kind.static.parameters)
    g, *_ = kind.moving(_logged(params))
    log_det, yy, y1, yb, of_ones, of_b, bb = sums
    squares, product = yy - 2 * g * yb + g * g * bb, y1 - g * of_b
    own = product / of_ones
    within = squares - product * own
    between = (own + ybar - pt.log(m)) ** 2 * of_ones / (1 + tau * tau * of_ones)
    return (
        -(x * np.log(2 * np.pi) + log_det + pt.log1p(tau * tau * of_ones) + within + between) / 2 - x * ybar
    )


def _gamma_term(
    kind: _Kind,
    spend: Array,
    times: Array,
    params: Mapping[str, Any],
    x: Any,
    zbar: Any,
    start: Any,
    paid: Any,
) -> Any:
    """Return the log density of a customer's amounts, as a PyTensor vector: Gamma-Gamma's of them over their trend."""
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import trended_sums

    g, span, _, _ = kind.moving(_logged(params))
    zeros = pt.zeros_like(pt.as_tensor(x), dtype="float64")
    total, ages = trended_sums((x, paid, start, zeros + span, spend, times), g)
    log_mean = _log_means(x, paid, spend) - g * ages / x
    return _gamma_density(params, x, total, log_mean) - g * ages


def _gamma_density(params: Mapping[str, Any], x: Any, total: Any, log_mean: Any) -> Any:
    """Return the log density of amounts of a sum and a mean log, by Gamma-Gamma."""
    return (
        gamma_gamma.frequency_term(params, x)
        + gamma_gamma.spend_term(params, x, total / x)
        + gamma_gamma.amounts_term(params, x, total / x, log_mean)
    )


def _paced_terms(kind: _Kind, spend: Array, times: Array, clock: Any) -> tuple[Term, ...]:
    checked = kind.static.checked
    term = _paced_gamma if checked == "monetary_value" else _paced_normal
    columns = ("frequency", checked, "purchase_start", "spend_start")
    return (Term(columns, partial(term, kind, spend, times, clock)),)


def _paced_normal(
    kind: _Kind, spend: Array, times: Array, clock: Any, params: Mapping[str, Any], *columns: Array
) -> Any:
    """Return ``_normal_term`` at the pace of a calendar of spend, whose g are ``clock.of_amounts(place)``."""
    from bayes_clv.distributions.level_operator import level_sums_at

    x, ybar, start, paid = columns
    _, _, sigma = double_tensors(params, *kind.static.parameters)
    _, span, omega, kappa = kind.moving(_logged(params))
    owner, place = ragged(paid, x)
    y = np.log(spend[place]) - ybar[owner] - clock.of_amounts(place)
    data = (x, np.cumsum(x) - x, start, span + np.zeros(x.size), times)
    return _normal_density(kind, params, x, ybar, level_sums_at(data, y, kappa, omega, sigma))


def _paced_gamma(
    kind: _Kind, spend: Array, times: Array, clock: Any, params: Mapping[str, Any], *columns: Array
) -> Any:
    """Return ``_gamma_term`` at the pace of a calendar of spend, whose g are ``clock.of_amounts(place)``."""
    import pytensor.tensor as pt
    from scipy import sparse

    from bayes_clv.distributions.level_operator import row_sums

    x, _, start, paid = columns
    owner, place = ragged(paid, x)
    each = (np.ones(owner.size), (owner, np.arange(owner.size)))
    of_rows = sparse.csr_matrix(each, shape=(x.size, owner.size))
    moved = clock.of_amounts(place)
    if kind.trend:
        g, span = ((each + pt.zeros(x.size))[owner] for each in kind.moving(_logged(params))[:2])
        moved = moved + g * pt.minimum(times[ragged(start, x)[1]], span) / span
    total, logs = row_sums(of_rows, spend[place] * pt.exp(-moved)), row_sums(of_rows, moved)
    return _gamma_density(params, x, total, of_rows @ np.log(spend[place]) / x - logs / x) - logs


def _log_means(x: Any, paid: Any, spend: Any) -> Any:
    """Return the means of the logs of customers' amounts, by running sums; arrays or tensors."""
    import pytensor.tensor as pt

    if any(hasattr(each, "owner") for each in (x, paid, spend)):
        running = pt.concatenate([pt.zeros(1), pt.cumsum(pt.log(pt.maximum(spend, 1e-300)))])
        first = pt.cast(paid, "int64")
        return (running[first + pt.cast(x, "int64")] - running[first]) / x
    owner, place = ragged(paid, x)
    return np.bincount(owner, np.log(spend[place]), np.size(x)) / x


def _logged(params: Mapping[str, Any]) -> dict[str, Any]:
    import pytensor.tensor as pt

    return dict(params) | ({"log_growth": pt.log(params["growth"])} if "growth" in params else {})


class _Known(Grid):
    """Customers' histories, (row,) each, their parameters (row, draw), and what moves; ``values`` are the family's."""

    def __init__(self, kind: _Kind, spend: Array, times: Array, columns: Columns, params: Params) -> None:
        names = (*kind.static.parameters, *kind.names)
        history = [np.asarray(columns[name], dtype=np.float64) for name in HISTORY]
        values = [np.asarray(params[name], dtype=np.float64) for name in names]
        self.shape = np.broadcast_shapes(*(each.shape for each in (*history, *values)))
        full = self._two(history)
        self.x, self.mean, self.T, self.start, self.paid = (
            owned(self._row(each, full[0])) for each in history
        )
        # With a calendar each draw has amounts of its own.
        own = columns.get(SPEND)
        amounts = owned(spend)[:, None] if own is None else owned(own)
        if (self.x + self.start > times.size).any() or (self.x + self.paid > amounts.shape[0]).any():
            raise ValueError("Customers with purchases need the family over them: Family.of(customers).")
        self.kind, self.spend, self.times = kind, amounts, owned(times)
        self.values = {name: self._wide(each, full) for name, each in zip(names, values, strict=True)}
        given = self.values | ({"log_growth": np.log(self.values["growth"])} if kind.trend else {})
        g, span, omega, kappa = (self._wide(np.asarray(each), full) for each in kind.moving(given))
        self.g, self.span, self.omega, self.kappa = g, span, omega, kappa

    def grown(self, time: Any = 0.0) -> Array:
        """Return the log of what a customer's spend is over its first, at times (..., 1, 1) from now."""
        if not self.kind.trend:
            return np.zeros(self.g.shape)
        found: Array = self.g * np.minimum(self.T[:, None] + time, self.span) / self.span
        return found

    def ends(self) -> tuple[Array, ...]:
        """Return what ``levels.ends`` does, of lognormal spend."""
        m, tau, sigma = (self.values[name] for name in ("m", "tau", "sigma"))
        return tuple(
            levels.ends(
                self.x, self.paid, self.start, self.T, self.spend, self.times,
                np.log(m), tau, sigma, self.g, self.span, self.omega, self.kappa,
            )
        )  # fmt: skip

    def gamma(self) -> tuple[Array, Array]:
        """Return shape and rate of the Gamma of nu at the first purchase, of Gamma-Gamma."""
        p, q, v = (self.values[name] for name in ("p", "q", "v"))
        total = levels.trended_totals(
            self.x, self.paid, self.start, self.spend, self.times, self.g, self.span
        )
        return p * self.x[:, None] + q, v + total

    def later(self, times: Any) -> Array:
        """Return the expected spend of an occasion at times from now, whose axes lead, money."""
        time = np.asarray(times, dtype=np.float64)[..., None, None]
        if self.kind.level.pays == "gamma":
            shape, rate = self.gamma()
            found = self.values["p"] * rate / np.where(shape > 1, shape - 1, np.nan)
        else:
            mean, sd, first, second, third = self.ends()
            kept = np.exp(-self.kappa * time)
            # Of theta, with its part of the deviation; of the rest of it; of what is to come.
            of_theta = 1 + kept * second
            variance = (of_theta * sd) ** 2 + (kept * third) ** 2
            variance += self.omega**2 * -np.expm1(-2 * self.kappa * time) + self.values["sigma"] ** 2
            found = np.exp(of_theta * mean + kept * first + variance / 2)
        return self.out(found * np.exp(self.grown(time)))

    def state(self) -> tuple[Array, Array]:
        """Return the two numbers of the level now, without what drifts."""
        if self.kind.level.pays == "gamma":
            shape, rate = self.gamma()
            return self.out(shape), self.out(rate * np.exp(self.grown()))
        mean, sd, *_ = self.ends()
        return self.out(mean + self.grown()), self.out(sd)

    def moves(self) -> Moves:
        """Return how the level goes on."""
        none = np.zeros(self.g.shape)
        slope, left = none, np.zeros(self.T.size)
        if self.kind.trend:
            slope, left = self.g / self.span, np.maximum(self.span[:, 0] - self.T, 0.0)
        if not self.kind.drift:
            return Moves(slope, left)
        _, _, first, second, third = self.ends()
        # Given the level now, which the trend has moved.
        return Moves(slope, left, first - second * self.grown(), second, third, self.omega, self.kappa)


def _orders(
    kind: _Kind, rng: np.random.Generator, owner: NDArray[np.int64], age: Array, params: Params
) -> Array:
    """Return amounts of new customers, who come one after the other, at their ages, rising; parameters (customer,)."""
    size = np.bincount(owner)
    nothing = np.zeros(size.size)
    given = {name: np.broadcast_to(np.asarray(params[name], dtype=float), size.shape) for name in params}
    start = {"occasions": nothing, "mean_spend": nothing}
    level = kind.level.level_draws(rng, start, given)[owner]
    found = kind.level.spend(rng, np.ones(owner.size), level, given[kind.level.occasion][owner])
    if kind.trend:
        b = np.minimum(age, given["span"][owner]) / given["span"][owner]
        found = found * given["growth"][owner] ** b
    if kind.drift:
        omega, kappa, moved = given["omega"], given["kappa"], np.empty(owner.size)
        first = np.cumsum(size) - size
        apart = omega * rng.standard_normal(size.size)
        for j in range(int(size.max(initial=0))):
            there = np.flatnonzero(size > j)
            at = first[there] + j
            if j > 0:
                kept = np.exp(-kappa[there] * (age[at] - age[at - 1]))
                step = omega[there] * np.sqrt(1 - kept**2) * rng.standard_normal(there.size)
                apart[there] = kept * apart[there] + step
            moved[at] = apart[there]
        found = found * np.exp(moved)
    return np.asarray(found)


def _simulate(
    kind: _Kind, times: Array, rng: np.random.Generator, columns: Columns, params: Params
) -> dict[str, Array]:
    """Return amounts of the customers' occasions, flat, and the columns that follow; NaN of a customer without one."""
    x = np.atleast_1d(np.asarray(columns["frequency"], dtype=float))
    owner, place = ragged(columns["purchase_start"], x)
    amounts = _orders(kind, rng, owner, times[place], params) if owner.size else np.empty(0)
    number, some = x.size, np.maximum(x, 1.0)
    found = {"frequency": x, SPEND: amounts, "spend_start": np.where(x > 0, np.cumsum(x) - x, 0.0)}
    found |= {name: np.asarray(columns[name]) for name in ("T", "purchase_start") if name in columns}
    values = amounts if kind.static.checked == "monetary_value" else np.log(amounts)
    mean = np.bincount(owner, values, number) / some
    return found | {kind.static.checked: np.where(x > 0, mean, np.nan)}


def _level_draws(
    kind: _Kind, spend: Array, times: Array, rng: np.random.Generator, columns: Columns, params: Params
) -> Array:
    known = _Known(kind, spend, times, columns, params)
    first, second = known.state()
    if kind.level.pays == "gamma":
        return np.asarray(rng.gamma(first, 1 / second))
    log_level = first + second * rng.standard_normal(np.shape(first))
    if kind.drift:
        moves = known.moves()
        apart = [known.out(np.asarray(each)) for each in (moves.first, moves.second, moves.third)]
        log_level = (
            log_level + apart[0] + apart[1] * log_level + apart[2] * rng.standard_normal(np.shape(first))
        )
    return np.exp(log_level)


def _over(kind: _Kind, spend: Array, times: Array) -> Family:
    static, level = kind.static, kind.level
    what = " and ".join([*(["a trend by age"] if kind.trend else []), *(["drift"] if kind.drift else [])])
    said = [
        *(
            ["What a customer spends an order changes with its age, to the longest age seen."]
            if kind.trend
            else []
        ),
        *(["Its level drifts about the customer's own, and has a half-life."] if kind.drift else []),
    ]
    quantities = {
        "level_sd" if kind.drift and name == "tau" else name: each for name, each in static.quantities.items()
    }
    quantities |= (QUANTITIES if kind.trend else {}) | (DRIFTING if kind.drift else {})
    names = (*kind.names, *quantities)
    words = replace(
        static.words,
        title=f"{static.words.title} with {what}",
        summary=" ".join([static.words.summary, *said]),
        meanings={**static.words.meanings, **{name: MEANINGS[name] for name in names if name in MEANINGS}},
        references=(*static.words.references, *(["uhlenbeck1930"] if kind.drift else [])),
    )

    def known(columns: Columns, params: Params) -> _Known:
        return _Known(kind, spend, times, columns, params)

    def later(time: Any, columns: Columns, params: Params) -> Array:
        return known(columns, params).later(time)

    forecast = replace(
        level,
        density="every occasion's spend",
        state=lambda columns, params: known(columns, params).state(),
        expected=partial(later, 0.0),
        population_mean=lambda params: later(0.0, new_customer(HISTORY), params),
        level_draws=partial(_level_draws, kind, spend, times),
        amounts=None,
        reads=HISTORY,
        later=later,
        moves=lambda columns, params: known(columns, params).moves(),
        orders=partial(_orders, kind),
        paced=partial(_paced_terms, kind, spend, times),
    )
    return replace(
        static,
        name=f"{static.name}{'_trend' if kind.trend else ''}{'_drift' if kind.drift else ''}",
        words=words,
        parameters=(*static.parameters, *kind.names),
        quantities=quantities,
        observed=("frequency", static.checked, *PLACED),
        design=("frequency", "purchase_start"),
        scale=partial(_scale, kind),
        from_quantities=partial(_parameters, kind),
        likelihood=_terms(kind, spend, times),
        simulate=partial(_simulate, kind, times),
        forecast=forecast,
        over=lambda customers: _over(kind, _flat_spend(customers), flat_times(customers)),
    )


def _flat_spend(customers: Mapping[Any, Any]) -> Array:
    """Return the spend of all customers' repeat purchases, flat; a vector of a graph as it is."""
    return flat(
        customers,
        SPEND,
        "Spend that moves is read off the spend of each repeat purchase, and the customers lack 'purchase_spend'. "
        "Summarise the orders with summarize(..., also=('log_spend', 'purchase_spend')).",
    )
