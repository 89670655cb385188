"""A coin after each purchase, or none, where the purchase rate drifts (``drift``): NBD, BG/NBD and MBG/NBD.

``first`` says whether the coin is tossed after the first purchase (1) or after repeat purchases only (0); None is no
coin. What follows the tosses is as in ``beta_geometric``; the rate is that of ``distributions.poisson.drifting``.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import DRIFT, Drift
from bayes_clv.distributions.paths.drift import times_of_new as compiled_times
from bayes_clv.distributions.poisson import drifting_forecasts as forecasts
from bayes_clv.distributions.poisson import drifting_states as filters
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead
from bayes_clv.families.contract import Columns, Forecast, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import beta_geometric
from bayes_clv.families.purchases.drift_seen import (
    CLOSED_FORM_DRAWS,
    RATE,
    Leaving,
    Seen,
    new_customers,
    rate_ago,
)
from bayes_clv.families.purchases.timed import HISTORY, paced_times

COIN = ("a", "b")


def history_term(first: int | None, times: Array, params: Mapping[str, Any], *columns: Any) -> Any:
    """Return the log density of the purchases and of the silence since, a PyTensor vector."""
    from bayes_clv.distributions.operators import log_drift

    x, _, T, start = columns
    bought, silent = log_drift(T, start, x, times, *double_tensors(params, *RATE))
    return _left_or_not(first, params, x, bought, silent)


def paced_term(first: int | None, times: Array, clock: Any, params: Mapping[str, Any], *columns: Any) -> Any:
    """Return ``history_term`` of columns in calendar time, at the pace of a ``clock`` (``contract.Paced``)."""
    from bayes_clv.distributions.operators import log_drift_at

    x, _, *history = columns
    T, start, flat = paced_times(clock, times, x, *history)
    bought, silent = log_drift_at(T, start, x, flat, *double_tensors(params, *RATE))
    return _left_or_not(first, params, x, bought, silent)


def _left_or_not(first: int | None, params: Mapping[str, Any], x: Any, bought: Any, silent: Any) -> Any:
    """Return the log density of purchases and silence, of one who has left at the last purchase or has not."""
    import pytensor.tensor as pt

    if first is None:
        return bought + silent
    a, b = double_tensors(params, "a", "b")
    # The odds of having left at the last purchase, and not having stayed and been silent.
    log_odds = pt.log(a / (b + (pt.maximum(x + first, 1) - 1))) - silent
    return bought + silent + pt.switch(pt.gt(x + first, 0), pt.softplus(log_odds), 0.0)


def _names(first: int | None) -> tuple[str, ...]:
    return () if first is None else COIN


class _Tossed:
    """What is seen of customers, and of their coins: a and B, the shapes given that it has never come up."""

    def __init__(self, first: int | None, times: Array, columns: Columns, params: Params) -> None:
        self.seen = seen = Seen(_names(first), times, columns, params)
        full = seen.r.shape
        self.a, b = seen.leaving if first is not None else (np.zeros(full), np.ones(full))
        tosses = 0.0 if first is None else seen.x[:, None] + first
        self.tosses = np.broadcast_to(tosses, full)
        self.big_b = np.ascontiguousarray(b + self.tosses)
        with np.errstate(divide="ignore", over="ignore"):
            log_odds = np.log(self.a) - np.log(b + np.maximum(self.tosses, 1) - 1) - seen.rates.silent
            chance = 1 / (1 + np.exp(log_odds))
        # P(alive) (row, draw): 1 where nothing has been tossed.
        self.alive = np.where(self.tosses > 0, chance, 1.0)

    @property
    def read(self) -> tuple[Any, ...]:
        """Return what the compiled forecasts read."""
        seen = self.seen
        return seen.rates, seen.r, seen.alpha, seen.kappa, self.a, self.big_b

    def at_times(self, function: Callable[..., Array], time: Any) -> Array:
        """Return P(alive) times a compiled forecast at some times, whose axes lead."""
        times = np.asarray(time, dtype=np.float64)
        found = self.alive * function(times.ravel(), *self.read)
        return self.seen.out(found.reshape(times.shape + found.shape[1:]))


type _Of = tuple[int | None, Array]


def alive(of: _Of, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history; 1 where nothing has been tossed."""
    known = _Tossed(*of, columns, params)
    return known.seen.out(known.alive)


def state(of: _Of, columns: Columns, params: Params) -> tuple[Any, ...]:
    """Return r, the scale of the rate at T, a and B of dropout given alive, and ``Drift``, each (row, draw)."""
    known = _Tossed(*of, columns, params)
    scale = np.ascontiguousarray(known.seen.rates.scale[:, :, 1])
    return (
        known.seen.r,
        scale,
        known.a,
        known.big_b,
        Drift(known.alive, known.seen.alpha, known.seen.kappa, known.seen.rates),
    )


def latent_means(of: _Of, columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate now, or at leaving; dropout) given the history."""
    return _latent_means(_Tossed(*of, columns, params))


def _latent_means(known: _Tossed) -> tuple[Array, Array]:
    chance = known.alive
    rate = chance * known.seen.rates.mean[:, :, 1] + (1 - chance) * known.seen.rates.mean[:, :, 0]
    tossed = known.a + known.big_b
    dropout = np.where(known.a > 0, (known.a + 1 - chance) / tossed, 0.0)
    return known.seen.out(rate), known.seen.out(dropout)


def summary(of: _Of, time: float, columns: Columns, params: Params) -> tuple[Array, ...]:
    """Return P(alive), latent means and, to six digits, expected purchases to a finite time."""
    known = _Tossed(*of, columns, params)
    bought = known.alive * forecasts.expected_purchases(float(time), *known.read)
    return known.seen.out(known.alive), *_latent_means(known), known.seen.out(bought)


def latent_draws(
    of: _Of, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate now or at leaving, dropout) given the history, jointly."""
    known = _Tossed(*of, columns, params)
    living = rng.random(known.seen.r.shape) < known.alive
    forgotten = filters.drawn_shapes(known.seen.rates, living, rng.random(known.seen.r.shape))
    scale = np.where(living, known.seen.rates.scale[:, :, 1], known.seen.rates.scale[:, :, 0])
    rate = rng.gamma(known.seen.r + forgotten, 1 / scale)
    dropout = np.zeros(rate.shape)
    if of[0] is not None:
        dropout = rng.beta(
            np.where(living, known.a, known.a + 1), np.where(living, known.big_b, known.big_b - 1)
        )
    return living.reshape(known.seen.shape), known.seen.out(rate), known.seen.out(dropout)


def purchases(of: _Of, time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history."""
    known = _Tossed(*of, columns, params)
    times = np.asarray(time, dtype=np.float64)
    if np.isinf(times).any():
        finite = purchases(of, np.where(np.isinf(times), 0.0, times), columns, params)
        return np.where(
            lead(np.isinf(times), finite) > 0, known.seen.out(known.alive * _for_good(known)), finite
        )
    return known.at_times(forecasts.purchases, times)


def _for_good(known: _Tossed) -> Array:
    """Return all purchases to come of one alive: how often the coin is tossed, which the rate does not change."""
    with np.errstate(divide="ignore"):
        return np.where(
            known.a > 1, (known.a + known.big_b - 1) / np.where(known.a > 1, known.a - 1, 1), np.inf
        )


def survival(of: _Of, time: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T + t given the history."""
    known = _Tossed(*of, columns, params)
    times = np.asarray(time, dtype=np.float64)
    finite = known.at_times(forecasts.survival, np.where(np.isinf(times), 0.0, times))
    gone = np.broadcast_to(known.seen.out(np.where(known.a > 0, 0.0, known.alive)), finite.shape)
    return np.where(lead(np.isinf(times), finite[(0,) * times.ndim]) > 0, gone, finite)


def _counts(known: _Tossed, most: int, time: float) -> Array:
    """Return P(N = n) of the purchases that chance would give one who stays, n = 0 ... most (n, row, draw)."""
    found: Array = forecasts.count_pmf(most, float(time), *known.read[:4])
    return found


def pmf(of: _Of, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]); see ``beta_geometric.pmf``."""
    known = _Tossed(*of, columns, params)
    n = np.asarray(counts, dtype=np.int64)
    chance, each = known.alive, _counts(known, int(n.max(initial=1)), time)
    beyond = 1 - np.cumsum(each, axis=0)
    some = np.maximum(n, 1)
    ahead = some.reshape((*some.shape, 1, 1))
    ended = np.maximum(beyond[some], 0.0) * known.a / (known.a + known.big_b + (ahead - 1))
    positive = _survived(known, ahead - 1) * (each[some] + ended)
    none = chance * each[0] + (1 - chance)
    return known.seen.out(np.where(n.reshape(ahead.shape) > 0, chance * positive, none))


def at_least(of: _Of, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]); 1 where n <= 0."""
    known = _Tossed(*of, columns, params)
    n = np.asarray(counts, dtype=np.int64)
    some = np.maximum(n, 1)
    below = np.cumsum(_counts(known, int(some.max(initial=1)), time), axis=0)
    ahead = some.reshape((*some.shape, 1, 1))
    reached = np.clip(1 - below[some - 1], 0.0, 1.0)
    found = known.alive * _survived(known, ahead - 1) * reached
    return known.seen.out(np.where(n.reshape(ahead.shape) > 0, found, 1.0))


def _survived(known: _Tossed, tosses: Array) -> Array:
    return (
        beta_geometric.survived(tosses.astype(float), known.a, known.big_b)
        if (known.a > 0).any()
        else np.ones(())
    )


def discounted(of: _Of, time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon and discount they are all that are to come; NaN without horizon and for a negative rate.
    """
    known = _Tossed(*of, columns, params)
    if rate == 0 or (np.isinf(time) and rate < 0):
        found = purchases(of, time, columns, params)
        return found if rate == 0 else np.full_like(found, np.nan)
    return known.seen.out(known.alive * forecasts.discounted(float(time), float(rate), *known.read))


def times_of_new(
    first: int | None, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.int64], Array]:
    """Return repeat purchases of new customers as flat arrays (customer index, age at the purchase), sorted."""
    T, rate, coin = new_customers(_names(first), columns, params)
    tosses = np.full(T.shape, np.inf)
    if first is not None:
        tosses = beta_geometric.last_toss(rng, *coin) - first
    words = rng.integers(0, 2**64, T.size, dtype=np.uint64, endpoint=False)
    found: tuple[NDArray[np.int64], Array] = compiled_times(T, *rate, tosses, words)
    return found


def leaving(first: int | None) -> Leaving:
    """Return the law of the coin: tossed after the first purchase too (1), after repeat purchases (0), never (None)."""

    def with_coins(history: Term) -> tuple[Term, ...]:
        if first is None:
            return (history,)
        return history, Term(("frequency",), partial(beta_geometric.survived_term, first))

    def terms(times: Array) -> tuple[Term, ...]:
        return with_coins(Term(HISTORY, partial(history_term, first, times)))

    def paced(times: Array, clock: Any) -> tuple[Term, ...]:
        return with_coins(Term(HISTORY, partial(paced_term, first, times, clock)))

    def forecast(times: Array) -> Forecast:
        of = (first, times)
        return Forecast(
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
            summary=partial(summary, of),
            rate_ago=partial(rate_ago, times),
            closed_form_draws=CLOSED_FORM_DRAWS,
        )

    return Leaving(terms, forecast, paced)
