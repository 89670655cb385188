"""A lifetime of one's own where the purchase rate drifts (``drift``): Pareto/NBD.

Customers leave at a rate mu ~ Gamma(s, rate beta), whatever they buy. Alive at T the rate of purchases is what the
filter says and mu ~ Gamma(s, beta + T), independent, so that expected purchases and their worth need no average over
either; gone d after the last purchase, with the density of ``distributions.poisson.drifting_lifetime``, mu is
Gamma(s + 1, beta + t_x + d).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import DRIFT_LIFETIME, Drift
from bayes_clv.distributions.paths.drift import times_of_new as compiled_times
from bayes_clv.distributions.poisson import drifting_lifetime_forecasts as forecasts
from bayes_clv.distributions.poisson import drifting_states as filters
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead
from bayes_clv.families.contract import Columns, Forecast, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases.drift_seen import (
    CLOSED_FORM_DRAWS,
    RATE,
    Leaving,
    Seen,
    new_customers,
    rate_ago,
)
from bayes_clv.families.purchases.timed import HISTORY

LIFETIME = ("s", "beta")


def history_term(times: Array, params: Mapping[str, Any], *columns: Any) -> Any:
    """Return the log density of the purchases and of the silence since, a PyTensor vector."""
    from bayes_clv.distributions.operators import log_drift_lifetime

    x, _, T, start = columns
    bought, ended = log_drift_lifetime(T, start, x, times, *double_tensors(params, *RATE, *LIFETIME))
    return bought + ended


class _Living:
    """What is seen of customers, and of their lifetimes: s, and beta and T together."""

    def __init__(self, times: Array, columns: Columns, params: Params) -> None:
        self.seen = seen = Seen(LIFETIME, times, columns, params)
        self.s, self.beta = seen.leaving
        self.b = self.beta + seen.T[:, None]

    @property
    def since_purchase(self) -> tuple[Any, ...]:
        """Return what the compiled functions read of the time since the last purchase."""
        seen = self.seen
        rate = seen.r, seen.alpha, seen.kappa
        return seen.T - seen.t_x, seen.rates, *rate, self.s, self.beta + seen.t_x[:, None]

    @property
    def alive(self) -> Array:
        """Return P(alive), (row, draw)."""
        found: Array = forecasts.alive(*self.since_purchase)
        return found

    def worth(self, time: Any, discount: float) -> Array:
        """Return discounted expected purchases of those alive; the axes of the time lead."""
        seen = self.seen
        rate = seen.rates.mean[:, :, 1], seen.r, seen.alpha, seen.kappa
        return forecasts.discounted(*rate, self.s, self.b, lead(time, self.s), discount)


def alive(times: Array, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history."""
    known = _Living(times, columns, params)
    return known.seen.out(known.alive)


def state(times: Array, columns: Columns, params: Params) -> tuple[Any, ...]:
    """Return r, the scale of the rate at T, s and beta + T given alive, and ``Drift``, each (row, draw)."""
    known = _Living(times, columns, params)
    seen = known.seen
    scale = np.ascontiguousarray(seen.rates.scale[:, :, 1])
    further = Drift(known.alive, seen.alpha, seen.kappa, seen.rates, lasting=True)
    return seen.r, scale, known.s, known.b, further


def latent_means(times: Array, columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate now, or at leaving; dropout rate) given the history."""
    known = _Living(times, columns, params)
    return _latent_means(known, known.alive)


def _latent_means(known: _Living, chance: Array) -> tuple[Array, Array]:
    rate, dropout = forecasts.means_of_left(*known.since_purchase)
    now = known.seen.rates.mean[:, :, 1]
    return (
        known.seen.out(chance * now + (1 - chance) * rate),
        known.seen.out(chance * known.s / known.b + (1 - chance) * dropout),
    )


def summary(times: Array, time: float, columns: Columns, params: Params) -> tuple[Array, ...]:
    """Return P(alive), latent means and expected purchases."""
    known = _Living(times, columns, params)
    chance = known.alive
    bought = chance * known.worth(time, 0.0)
    return known.seen.out(chance), *_latent_means(known, chance), known.seen.out(bought)


def latent_draws(
    times: Array, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate now or at leaving, dropout rate) given the history, jointly.

    Of those who left a time of leaving, then both rates given it.
    """
    known = _Living(times, columns, params)
    seen = known.seen
    living = rng.random(seen.r.shape) < known.alive
    forgotten = filters.drawn_shapes(seen.rates, living, rng.random(seen.r.shape))
    words = rng.integers(0, 2**64, living.shape, dtype=np.uint64, endpoint=False)
    silence, *others = known.since_purchase
    stay, shape, scale = forecasts.drawn_left(living, words, silence, *others)
    rate = rng.gamma(
        np.where(living, seen.r + forgotten, shape),
        1 / np.where(living, seen.rates.scale[:, :, 1], scale),
    )
    left = known.beta + seen.t_x[:, None] + stay
    dropout = rng.gamma(np.where(living, known.s, known.s + 1), 1 / np.where(living, known.b, left))
    return living.reshape(seen.shape), seen.out(rate), seen.out(dropout)


def purchases(times: Array, time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history; infinite of all to come unless s > 1."""
    known = _Living(times, columns, params)
    return known.seen.out(known.alive * known.worth(time, 0.0))


def survival(times: Array, time: Any, columns: Columns, params: Params) -> Array:
    """Return P(alive at T + t) = P(alive) ((beta + T) / (beta + T + t))^s."""
    known = _Living(times, columns, params)
    return known.seen.out(known.alive * np.exp(-known.s * np.log1p(lead(time, known.s) / known.b)))


def _counts(known: _Living, most: int, time: float) -> Array:
    """Return P(N = n) of the purchases of one alive, n = 0 ... most (n, row, draw)."""
    seen = known.seen
    read = seen.rates, seen.r, seen.alpha, seen.kappa, known.s, known.b
    found: Array = forecasts.count_pmf(most, float(time), *read)
    return found


def pmf(times: Array, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]); at n = 0 those who have left are added."""
    known = _Living(times, columns, params)
    n = np.asarray(counts, dtype=np.int64)
    chance, each = known.alive, _counts(known, int(n.max(initial=0)), time)
    return known.seen.out(chance * each[n] + np.where(lead(n, chance) > 0, 0.0, 1 - chance))


def at_least(times: Array, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]); 1 where n <= 0."""
    known = _Living(times, columns, params)
    n = np.asarray(counts, dtype=np.int64)
    some = np.maximum(n, 1)
    below = np.cumsum(_counts(known, int(some.max(initial=1)), time), axis=0)
    reached = known.alive * np.clip(1 - below[some - 1], 0.0, 1.0)
    return known.seen.out(np.where(lead(n, known.s) > 0, reached, 1.0))


def discounted(times: Array, time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon infinite at delta = 0 unless s > 1, and NaN for delta < 0.
    """
    known = _Living(times, columns, params)
    return known.seen.out(known.alive * known.worth(float(time), float(rate)))


def times_of_new(
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.int64], Array]:
    """Return repeat purchases of new customers as flat arrays (customer index, age at the purchase), sorted."""
    T, rate, (s, beta) = new_customers(LIFETIME, columns, params)
    with np.errstate(over="ignore"):
        lifetime = beta * np.expm1(rng.standard_exponential(T.size) / s)
    words = rng.integers(0, 2**64, T.size, dtype=np.uint64, endpoint=False)
    found: tuple[NDArray[np.int64], Array] = compiled_times(
        np.minimum(T, lifetime), *rate, np.full(T.size, np.inf), words
    )
    return found


def leaving() -> Leaving:
    """Return the law of the lifetime."""

    def terms(times: Array) -> tuple[Term, ...]:
        return (Term(HISTORY, partial(history_term, times)),)

    def forecast(times: Array) -> Forecast:
        return Forecast(
            history=HISTORY,
            latent=("purchase_rate", "dropout_rate"),
            paths=DRIFT_LIFETIME,
            alive=partial(alive, times),
            latent_means=partial(latent_means, times),
            latent_draws=partial(latent_draws, times),
            purchases=partial(purchases, times),
            survival=partial(survival, times),
            pmf=partial(pmf, times),
            at_least=partial(at_least, times),
            discounted=partial(discounted, times),
            state=partial(state, times),
            times=times_of_new,
            summary=partial(summary, times),
            rate_ago=partial(rate_ago, times),
            closed_form_draws=CLOSED_FORM_DRAWS,
        )

    return Leaving(terms, forecast)
