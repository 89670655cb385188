"""Customers who change: NBD, BG/NBD and MBG/NBD with a purchase rate that drifts.

Every other family gives a customer one rate for ever. Here it is a square-root diffusion about the population's mean:
at every time the rates are Gamma(r, alpha), as in the family without drift, and the correlation of a customer's rate
with its own a time t ago is e^(-kappa t), with a half-life of ln 2 / kappa. kappa -> 0 is the family without drift.
Whether a customer has left after a purchase is a coin, as ever; so the likelihood is

    density of the purchases x (P(stayed) P(silence since the last | stayed) + P(left after the last)),

with the first and the silence from the exact filter (``distributions.poisson.drifting``, after Papaspiliopoulos &
Ruggiero 2014, Bernoulli 20(4)). It reads each customer's purchase times (``summarize(..., also=("purchase_times",))``),
not their number and the last alone.

==========  ===========================================================  ==================
symbol      meaning                                                      unit
==========  ===========================================================  ==================
r, alpha    shape and rate of the Gamma of purchase rates, at any time   none, time
kappa       how fast a rate forgets                                      1 / time
a, b        shapes of the dropout probabilities (BG/NBD, MBG/NBD)        none
==========  ===========================================================  ==================

**Default prior.** The half-life is LogNormal about five times the longest age among the customers, with 2 on the log
scale: 90 % from a fifth of the span, when hardly anything of a rate would be left from its beginning to its end, to 130
spans, which no forecast of that length tells from none. Where the data know nothing of it the posterior is that prior,
and where nothing drifts it is its upper part.

A record is made of the family without drift, by ``drifting``; its functions read the flat array of all customers'
purchase times, ``times``, which ``over`` the customers binds, and each customer's place in it, ``purchase_start``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import DRIFT, Drift
from bayes_clv.distributions.paths.drift import times_of_new as compiled_times
from bayes_clv.distributions.poisson import drifting as filters
from bayes_clv.distributions.poisson import drifting_forecasts as forecasts
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead
from bayes_clv.families.contract import Columns, Family, Forecast, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import beta_geometric, gamma_rates
from bayes_clv.families.quantities import Prior, Quantity
from bayes_clv.schema import InputError

HISTORY = ("frequency", "recency", "T", "purchase_start")
RATE = ("r", "alpha", "kappa")
# In spans of the data, and on the log scale.
CENTRE, SPREAD = 5.0, 2.0
# What the closed forms of a draw cost, an average over the coin each, is some 20 microseconds.
CLOSED_FORM_DRAWS = 100
SUFFIX = "_drift"
# Of each family that can drift: whether its coin is tossed after the first purchase, None where there is none.
TOSSED: dict[str, int | None] = {"nbd": None, "bg_nbd": 0, "mbg_nbd": 1}


def data_scale(columns: Mapping[str, Array], count: Array) -> dict[str, float]:
    """Return the crude purchase rate, per time unit, and the longest age, in time units."""
    return {
        "population_purchase_rate": gamma_rates.data_scale(columns, count),
        "rate_half_life": float(np.max(columns["T"])),
    }


def parameters(static: Family, population: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the family without drift, and kappa."""
    return static.from_quantities(population) | {"kappa": math.log(2) / population["rate_half_life"]}


def history_term(first: int | None, times: Array, params: Mapping[str, Any], *columns: Any) -> Any:
    """Return the log density of the purchases and of the silence since, a PyTensor vector."""
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import log_drift

    x, _, T, start = columns
    bought, silent = log_drift(T, start, x, times, *double_tensors(params, *RATE))
    if first is None:
        return bought + silent
    a, b = double_tensors(params, "a", "b")
    # The odds of having left at the last purchase, and not having stayed and been silent.
    log_odds = pt.log(a / (b + (pt.maximum(x + first, 1) - 1))) - silent
    return bought + silent + pt.switch(pt.gt(x + first, 0), pt.softplus(log_odds), 0.0)


class _Seen:
    """Histories and parameters as (row, draw), what the filter makes of them, and the shape that results have."""

    def __init__(self, first: int | None, times: Array, columns: Columns, params: Params) -> None:
        names = RATE if first is None else (*RATE, "a", "b")
        history = [np.asarray(columns[name], dtype=np.float64) for name in HISTORY]
        values = [np.asarray(params[name], dtype=np.float64) for name in names]
        self.shape = np.broadcast_shapes(*(each.shape for each in (*history, *values)))
        rows, draws = self._two(history)
        full = (rows, draws)
        self.x, _, self.T, start = (np.ascontiguousarray(self._row(each, rows)) for each in history)
        if (self.x + start > times.size).any():
            raise ValueError("Customers with purchases need the family over them: Family.of(customers).")
        r, alpha, kappa, *coin = (self._wide(each, full) for each in values)
        self.r, self.alpha, self.kappa = r, alpha, kappa
        self.a, self.b = (coin[0], coin[1]) if coin else (np.zeros(full), np.ones(full))
        tosses = 0.0 if first is None else self.x[:, None] + first
        self.tosses = np.broadcast_to(tosses, full)
        # B of the coin, given that it has never come up.
        self.big_b = np.ascontiguousarray(self.b + self.tosses)
        self.rates = filters.Drifting(*filters.states(self.T, start, self.x, times, r, alpha, kappa))

    def _two(self, history: list[Array]) -> tuple[int, int]:
        if len(self.shape) == 2:
            return self.shape[0], self.shape[1]
        size = math.prod(self.shape)
        return (size, 1) if any(each.ndim for each in history) else (1, size)

    def _row(self, column: Array, rows: int) -> Array:
        return np.broadcast_to(column[..., 0] if column.ndim == 2 else column, (rows,))

    def _wide(self, value: Array, full: tuple[int, int]) -> Array:
        if value.ndim == 1 and len(self.shape) == 1 and full[1] == 1:
            value = value[:, None]
        return np.array(np.broadcast_to(value, full))

    @property
    def alive(self) -> Array:
        """Return P(alive) (row, draw): 1 where nothing has been tossed."""
        with np.errstate(divide="ignore", over="ignore"):
            log_odds = np.log(self.a) - np.log(self.b + np.maximum(self.tosses, 1) - 1) - self.rates.silent
            chance = 1 / (1 + np.exp(log_odds))
        return np.where(self.tosses > 0, chance, 1.0)

    @property
    def read(self) -> tuple[Any, ...]:
        """Return what the compiled forecasts read."""
        return self.rates, self.r, self.alpha, self.kappa, self.a, self.big_b

    def out(self, found: Array) -> Array:
        """Return (..., row, draw) in the shape of the arguments."""
        return np.reshape(found, found.shape[:-2] + self.shape)

    def at_times(self, function: Callable[..., Array], time: Any) -> Array:
        """Return P(alive) times a compiled forecast at some times, whose axes lead."""
        times = np.asarray(time, dtype=np.float64)
        found = self.alive * function(times.ravel(), *self.read)
        return self.out(found.reshape(times.shape + found.shape[1:]))


type _Of = tuple[int | None, Array]


def alive(of: _Of, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history; 1 where nothing has been tossed."""
    seen = _Seen(*of, columns, params)
    return seen.out(seen.alive)


def state(of: _Of, columns: Columns, params: Params) -> tuple[Any, ...]:
    """Return r, the scale of the rate at T, a and B of dropout given alive, and ``Drift``, each (row, draw)."""
    seen = _Seen(*of, columns, params)
    scale = np.ascontiguousarray(seen.rates.scale[:, :, 1])
    return seen.r, scale, seen.a, seen.big_b, Drift(seen.alive, seen.alpha, seen.kappa, seen.rates)


def latent_means(of: _Of, columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate now, or at leaving; dropout) given the history."""
    seen = _Seen(*of, columns, params)
    chance = seen.alive
    rate = chance * seen.rates.mean[:, :, 1] + (1 - chance) * seen.rates.mean[:, :, 0]
    tossed = seen.a + seen.big_b
    dropout = np.where(seen.a > 0, (seen.a + 1 - chance) / tossed, 0.0)
    return seen.out(rate), seen.out(dropout)


def latent_draws(
    of: _Of, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate now or at leaving, dropout) given the history, jointly."""
    seen = _Seen(*of, columns, params)
    living = rng.random(seen.r.shape) < seen.alive
    forgotten = filters.drawn_shapes(seen.rates, living, rng.random(seen.r.shape))
    scale = np.where(living, seen.rates.scale[:, :, 1], seen.rates.scale[:, :, 0])
    rate = rng.gamma(seen.r + forgotten, 1 / scale)
    dropout = np.zeros(rate.shape)
    if of[0] is not None:
        dropout = rng.beta(np.where(living, seen.a, seen.a + 1), np.where(living, seen.big_b, seen.big_b - 1))
    return living.reshape(seen.shape), seen.out(rate), seen.out(dropout)


def purchases(of: _Of, time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history."""
    seen = _Seen(*of, columns, params)
    times = np.asarray(time, dtype=np.float64)
    if np.isinf(times).any():
        finite = purchases(of, np.where(np.isinf(times), 0.0, times), columns, params)
        return np.where(lead(np.isinf(times), finite) > 0, seen.out(seen.alive * _for_good(seen)), finite)
    return seen.at_times(forecasts.purchases, times)


def _for_good(seen: _Seen) -> Array:
    """Return all purchases to come of one alive: how often the coin is tossed, which the rate does not change."""
    with np.errstate(divide="ignore"):
        return np.where(seen.a > 1, (seen.a + seen.big_b - 1) / np.where(seen.a > 1, seen.a - 1, 1), np.inf)


def survival(of: _Of, time: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T + t given the history."""
    seen = _Seen(*of, columns, params)
    times = np.asarray(time, dtype=np.float64)
    finite = seen.at_times(forecasts.survival, np.where(np.isinf(times), 0.0, times))
    gone = np.broadcast_to(seen.out(np.where(seen.a > 0, 0.0, seen.alive)), finite.shape)
    return np.where(lead(np.isinf(times), finite[(0,) * times.ndim]) > 0, gone, finite)


def _counts(seen: _Seen, most: int, time: float) -> Array:
    """Return P(N = n) of the purchases that chance would give one who stays, n = 0 ... most (n, row, draw)."""
    found: Array = forecasts.count_pmf(most, float(time), *seen.read[:4])
    return found


def pmf(of: _Of, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]); see ``beta_geometric.pmf``."""
    seen = _Seen(*of, columns, params)
    n = np.asarray(counts, dtype=np.int64)
    chance, each = seen.alive, _counts(seen, int(n.max(initial=1)), time)
    beyond = 1 - np.cumsum(each, axis=0)
    some = np.maximum(n, 1)
    ahead = some.reshape((*some.shape, 1, 1))
    ended = np.maximum(beyond[some], 0.0) * seen.a / (seen.a + seen.big_b + (ahead - 1))
    positive = _survived(seen, ahead - 1) * (each[some] + ended)
    none = chance * each[0] + (1 - chance)
    return seen.out(np.where(n.reshape(ahead.shape) > 0, chance * positive, none))


def at_least(of: _Of, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]); 1 where n <= 0."""
    seen = _Seen(*of, columns, params)
    n = np.asarray(counts, dtype=np.int64)
    some = np.maximum(n, 1)
    below = np.cumsum(_counts(seen, int(some.max(initial=1)), time), axis=0)
    ahead = some.reshape((*some.shape, 1, 1))
    reached = np.clip(1 - below[some - 1], 0.0, 1.0)
    found = seen.alive * _survived(seen, ahead - 1) * reached
    return seen.out(np.where(n.reshape(ahead.shape) > 0, found, 1.0))


def _survived(seen: _Seen, tosses: Array) -> Array:
    return (
        beta_geometric.survived(tosses.astype(float), seen.a, seen.big_b)
        if (seen.a > 0).any()
        else np.ones(())
    )


def discounted(of: _Of, time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon and discount they are all that are to come; NaN without horizon and for a negative rate.
    """
    seen = _Seen(*of, columns, params)
    if rate == 0 or (np.isinf(time) and rate < 0):
        found = purchases(of, time, columns, params)
        return found if rate == 0 else np.full_like(found, np.nan)
    return seen.out(seen.alive * forecasts.discounted(float(time), float(rate), *seen.read))


def times_of_new(
    first: int | None, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.int64], Array]:
    """Return repeat purchases of new customers as flat arrays (customer index, age at the purchase), sorted."""
    names = RATE if first is None else (*RATE, "a", "b")
    T = np.atleast_1d(np.asarray(columns["T"], dtype=np.float64))
    values = [
        np.array(np.broadcast_to(np.asarray(params[name], dtype=np.float64), T.shape)) for name in names
    ]
    tosses = np.full(T.shape, np.inf)
    if first is not None:
        tosses = beta_geometric.last_toss(rng, *values[3:]) - first
    words = rng.integers(0, 2**64, T.size, dtype=np.uint64, endpoint=False)
    found: tuple[NDArray[np.int64], Array] = compiled_times(T, *values[:3], tosses, words)
    return found


def simulate(
    first: int | None, rng: np.random.Generator, columns: Columns, params: Params
) -> dict[str, Array]:
    """Return histories of new customers observed to age T; their purchase times are those of ``times``."""
    T = np.atleast_1d(np.asarray(columns["T"], dtype=np.float64))
    who, when = times_of_new(first, rng, {"T": T}, params)
    frequency = np.bincount(who, minlength=T.size).astype(np.float64)
    recency = np.zeros(T.size)
    np.maximum.at(recency, who, when)
    return {
        "frequency": frequency,
        "recency": recency,
        "T": T,
        "purchase_start": np.cumsum(frequency) - frequency,
    }


def drifting(static: Family) -> Family:
    """Return the family whose purchase rates drift and that is else ``static``: nbd, bg_nbd or mbg_nbd."""
    return _over(static, np.empty(0))


def _over(static: Family, times: Array) -> Family:
    first = TOSSED[static.name]
    of = (first, times)
    likelihood = [Term(HISTORY, partial(history_term, first, times))]
    if first is not None:
        likelihood.append(Term(("frequency",), partial(beta_geometric.survived_term, first)))
    drifts = {
        "kappa": ("how fast a customer's purchase rate forgets; ln 2 over the half-life", "1/time"),
        "rate_half_life": (
            "time after which half of a customer's deviation from the mean purchase rate is forgotten",
            "time",
        ),
    }
    words = replace(
        static.words,
        title=f"{static.words.title} with drift",
        summary=(
            f"{static.words.summary} The purchase rate of a customer is not constant: it drifts about the "
            "population's mean, and has a half-life."
        ),
        meanings={**static.words.meanings, **drifts},
        references=(*static.words.references, "papaspiliopoulos2014"),
    )
    forecast = Forecast(
        history=HISTORY,
        latent=("purchase_rate", "dropout"),
        paths=DRIFT,
        alive=partial(alive, of),
        latent_means=partial(latent_means, of),
        latent_draws=partial(latent_draws, of),
        purchases=partial(purchases, of),
        survival=partial(survival, of),
        pmf=partial(pmf, of),
        at_least=partial(at_least, of),
        discounted=partial(discounted, of),
        state=partial(state, of),
        times=partial(times_of_new, first),
        closed_form_draws=CLOSED_FORM_DRAWS,
    )
    return replace(
        static,
        name=f"{static.name}{SUFFIX}",
        words=words,
        parameters=(*RATE, *(name for name in static.parameters if name not in RATE)),
        quantities={
            **static.quantities,
            "rate_half_life": Quantity(Prior("LogNormal", mu=math.log(CENTRE), sigma=SPREAD), relative=True),
        },
        observed=HISTORY,
        scale=data_scale,
        from_quantities=partial(parameters, static),
        likelihood=tuple(likelihood),
        simulate=partial(simulate, first),
        forecast=forecast,
        over=lambda customers: _over(static, _flat(customers)),
    )


def _flat(customers: Mapping[Any, Any]) -> Array:
    if "purchase_times" not in customers:
        raise InputError(
            "Rates that drift are read off each customer's purchase times, and the customers lack 'purchase_times'. "
            "Summarize the orders with summarize(..., also=('purchase_times',)), or add the column."
        )
    found: Array = np.ascontiguousarray(np.asarray(customers["purchase_times"], dtype=np.float64))
    return found
