"""Pareto/NBD at the pace of a calendar: purchases in operational time, the lifetime in calendar time.

An alive customer buys at rate lambda g(tau) and leaves at rate mu. With G the integral of g since the first purchase,

    L = Gamma(r+x) alpha^r beta^s / Gamma(r) [(alpha + G(T))^-(r+x) (beta + T)^-s
        + s * integral over tau in (t_x, T) of (alpha + G(tau))^-(r+x) (beta + tau)^-(s+1)],

and the sum of log g over the purchases beside it (``inference.calendar``). Everything given the history is that of
``pareto_nbd`` with both times where it has one: alive at T, lambda ~ Gamma(r + x, alpha + G(T)) and
mu ~ Gamma(s, beta + T); gone since tau, Gamma(r + x, alpha + G(tau)) and Gamma(s + 1, beta + tau). The integrals are
those of ``poisson.paced_lifetime``, whose errors are below 1e-9.

Futures are drawn customer by customer, from a lifetime and a rate of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, owned
from bayes_clv.distributions.paths import DRAWN
from bayes_clv.distributions.poisson import gamma_poisson, paced_lifetime
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead
from bayes_clv.families.calendar import CALENDAR, operational
from bayes_clv.families.contract import Columns, Forecast, Paced, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates

PARAMETERS = ("r", "alpha", "s", "beta")
# Of the columns, where the future of a new customer begins later, or began before: a time from now.
START = "start"
# Of one who has left the time since must be below 0 when it is rounded.
SOONEST = 1e-9


def likelihood(lifetime_term: Callable[..., Any], clock: Any) -> tuple[Term, ...]:
    """Return the terms of the log-likelihood, of columns in calendar time; that of the lifetime is the family's own."""
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import log_paced_silence

    def exposure_term(params: Mapping[str, Any], x: Any, T: Any) -> Any:
        return gamma_rates.exposure_term(params, x, clock.since(T))

    def silence_term(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
        r, alpha, s, beta = double_tensors(params, *PARAMETERS)
        silence = np.asarray(T) - np.asarray(t_x)
        log_i = log_paced_silence(
            silence, clock.width, clock.to_end, r + x, alpha + clock.since(T), s, beta + T
        )
        return pt.switch(silence > 0, pt.softplus(pt.log(s) + log_i), 0.0)

    return (
        Term(("frequency",), gamma_rates.rate_term),
        Term(("frequency", "T"), exposure_term),
        Term(("T",), lifetime_term),
        Term(gamma_rates.OBSERVED, silence_term),
    )


def simulate(
    rng: np.random.Generator, columns: Columns, params: Params, knots: Array, elapsed: Array
) -> dict[str, Array]:
    """Return histories of new customers observed to age T, exactly: a lifetime, then purchases in operational time."""
    T, r, alpha, s, beta = np.broadcast_arrays(columns["T"], *(params[name] for name in PARAMETERS))
    with np.errstate(over="ignore"):
        lifetime = beta * np.expm1(rng.standard_exponential(T.shape) / s)
    active = np.minimum(lifetime, T)
    came, ended = (np.interp(each, knots, elapsed) for each in (-T, active - T))
    frequency = rng.poisson(rng.gamma(r, 1 / alpha) * (ended - came))
    latest = came + gamma_poisson.simulate_latest(rng, ended - came, frequency)
    recency = np.where(frequency > 0, np.interp(latest, elapsed, knots) + T, 0.0)
    return {"frequency": frequency.astype(np.float64), "recency": recency, "T": T}


class _Seen:
    """Histories and parameters as (row, draw), with the operational times of the past and to come."""

    def __init__(self, knots: Array, columns: Columns, params: Params) -> None:
        history = [np.asarray(columns[name], dtype=np.float64) for name in gamma_rates.OBSERVED]
        values = [np.asarray(params[name], dtype=np.float64) for name in PARAMETERS]
        knots, self.elapsed = owned(knots), owned(params[CALENDAR])
        draws = self.elapsed.shape[0]
        self.shape = np.broadcast_shapes(*(each.shape for each in (*history, *values)), (draws,))
        rows = self.shape[0] if len(self.shape) == 2 else 1
        full = rows, draws
        x, t_x, T = (np.broadcast_to(each.reshape(-1), (rows,)) for each in history)
        self.r, self.alpha, self.s, self.beta = (
            np.array(np.broadcast_to(each, full), order="C") for each in values
        )
        # A customer who comes later begins there.
        self.start = np.broadcast_to(
            np.asarray(columns.get(START, 0.0), dtype=np.float64).reshape(-1), (rows,)
        )
        now = int(np.argmin(np.abs(knots)))
        self.width = float(knots[1] - knots[0])
        self.to_end = np.ascontiguousarray(-self.elapsed[:, : now + 1])
        self.knots, self.ahead = knots[now:], owned(self.elapsed[:, now:])
        self.all_knots = knots
        self.T, self.silence = T, np.ascontiguousarray(T - t_x)
        self.k = self.r + x[:, None]
        self.scale = self.alpha + np.maximum(-operational(knots, self.elapsed, -T), 0.0)
        self.b = self.beta + T[:, None]
        self.past = self.silence, self.k, self.scale, self.s, self.b, self.width, self.to_end

    def out(self, found: Array) -> Array:
        """Return (..., row, draw) in the shape of the arguments."""
        return np.reshape(found, found.shape[:-2] + self.shape)

    def left(self) -> tuple[Array, Array, Array]:
        """Return log odds of having left, and the means of the rates of those who did (``paced_lifetime.left``)."""
        odds, per_a, per_b = paced_lifetime.left(*self.past)
        return odds, per_a, per_b

    def drawn_left(self, rng: np.random.Generator, living: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return how long before the end one left who is not living, and the operational time since; else 0."""
        ago, since = paced_lifetime.drawn_left(rng, living, *self.past)
        return ago, since

    @property
    def at_end(self) -> tuple[Array, Array]:
        """Return what ``drawn_left`` counts back from: scale and b there."""
        return self.scale, self.b

    @property
    def alive(self) -> Array:
        """Return P(alive), (row, draw)."""
        chance: Array = special.expit(-self.left()[0])
        return chance

    def bought(self, time: float, rate: float) -> Array:
        """Return expected purchases of those alive, each worth e^(-rate t)."""
        found: Array = (
            self.k / self.scale * paced_lifetime.worth(self.s, self.b, rate, time, self.knots, self.ahead)
        )
        return found

    def integral(self, n: float, time: float, power: float, leaving: float, *, bought: bool) -> Array:
        """Return NB(k)'s factor of n purchases times ``counted``: over leavings, or over the time of the n-th."""
        p = np.broadcast_to(np.float64(n + power), self.k.shape)
        log_factor = special.gammaln(self.k + n) - special.gammaln(self.k) - special.gammaln(p + 1)
        w = self.s + leaving
        given = owned(p), self.k + n, w, bought, self.scale, self.b, log_factor
        found: Array = paced_lifetime.counted(*given, float(time), self.knots, self.ahead)
        return found

    def exactly(self, n: float, time: float) -> Array:
        """Return P(n purchases within the time) of those alive: they outlive it, or leave before."""
        if time == 0:
            return np.full(self.k.shape, float(n == 0))
        at = paced_lifetime.operational_times(
            self.knots, self.ahead, np.full(self.ahead.shape[0], float(time))
        )
        staying = gamma_poisson.count_pmf(n, self.k, at / self.scale)
        left = self.integral(n, time, 0.0, 1.0, bought=False) * self.s / self.b
        return np.asarray(staying * np.exp(-self.s * np.log1p(time / self.b)) + left)


class _SeenTo(_Seen):
    """Histories that were seen to a time (row, 1) from the end, which lies in a period: only of their past."""

    def __init__(self, knots: Array, columns: Columns, params: Params, time: Array) -> None:
        super().__init__(knots, columns, params)
        to = np.broadcast_to(np.asarray(time, dtype=np.float64).reshape(-1), self.T.shape)
        knots, elapsed = self.all_knots, self.elapsed
        # Beyond the last knot at its pace.
        more = max(0, int(np.ceil((to.max() - knots[-1]) / self.width)))
        steps = np.arange(1, more + 1)
        last = elapsed[:, -1:] - elapsed[:, -2:-1]
        elapsed = np.concatenate([elapsed, elapsed[:, -1:] + last * steps], axis=1)
        knots = np.concatenate([knots, knots[-1] + self.width * steps])
        end = np.clip(np.ceil((to - knots[0]) / self.width - 1e-9).astype(np.int64), 1, knots.size - 1)
        ago = np.maximum(knots[end] - to, 0.0)
        now = operational(knots, elapsed, to)
        self.scale = np.maximum(self.scale + now, self.alpha)
        self.b = self.b + to[:, None]
        self.end = self.scale + elapsed[:, end].T - now, self.b + ago[:, None]
        silence = np.maximum(self.silence + to, 0.0)
        self.given = silence, ago, end, self.k, self.end[0], self.s, self.end[1], self.width, owned(elapsed)

    def left(self) -> tuple[Array, Array, Array]:
        """Return what the silence to that time says."""
        odds, per_a, per_b = paced_lifetime.left_before(*self.given)
        return odds, per_a, per_b

    def drawn_left(self, rng: np.random.Generator, living: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return it back from the knot after that time, also of the living."""
        ago, since = paced_lifetime.drawn_left_before(rng, living, *self.given)
        return ago, since

    @property
    def at_end(self) -> tuple[Array, Array]:
        """Return scale and b at that knot."""
        return self.end


class _Forecast:
    """What ``Forecast`` asks for, given the knots of the calendar."""

    def __init__(self, knots: Array, time: Array | None = None) -> None:
        self.knots, self.time = knots, time

    def seen(self, columns: Columns, params: Params) -> _Seen:
        if self.time is not None:
            return _SeenTo(self.knots, columns, params, self.time)
        return _Seen(self.knots, columns, params)

    def alive(self, columns: Columns, params: Params) -> Array:
        """Return P(alive at T)."""
        known = self.seen(columns, params)
        return known.out(known.alive)

    def latent_means(self, columns: Columns, params: Params) -> tuple[Array, Array]:
        """Return the means of (purchase rate, dropout rate) given the history."""
        known = self.seen(columns, params)
        odds, per_a, per_b = known.left()
        chance = special.expit(-odds)
        rate = known.k * (chance / known.scale + (1 - chance) * per_a)
        return known.out(rate), known.out(chance * known.s / known.b + (1 - chance) * (known.s + 1) * per_b)

    def _drawn(self, rng: np.random.Generator, known: _Seen) -> tuple[NDArray[np.bool_], Array, Array, Array]:
        living = rng.random(known.k.shape) < known.alive
        ago, since = known.drawn_left(rng, living)
        scale, b = known.at_end
        rate = rng.gamma(known.k, 1 / (scale - since))
        dropout = rng.gamma(np.where(living, known.s, known.s + 1), 1 / (b - ago))
        return living, rate, dropout, since

    def latent_draws(
        self, rng: np.random.Generator, columns: Columns, params: Params
    ) -> tuple[NDArray[np.bool_], Array, Array]:
        """Return one draw each of (alive at T, purchase rate, dropout rate) given the history, jointly."""
        known = self.seen(columns, params)
        living, rate, dropout, _ = self._drawn(rng, known)
        return living.reshape(known.shape), known.out(rate), known.out(dropout)

    def purchases(self, time: Any, columns: Columns, params: Params) -> Array:
        """Return expected purchases in (T, T + t]; infinite of all to come unless s > 1."""
        known = self.seen(columns, params)
        times = np.asarray(time, dtype=np.float64)
        each = np.array([known.bought(float(one), 0.0) for one in times.ravel()])
        return known.out(known.alive * each.reshape(times.shape + known.k.shape))

    def survival(self, time: Any, columns: Columns, params: Params) -> Array:
        """Return P(alive at T + t): the lifetime does not go by the calendar."""
        known = self.seen(columns, params)
        return known.out(known.alive * np.exp(-known.s * np.log1p(lead(time, known.s) / known.b)))

    def pmf(self, counts: Any, time: float, columns: Columns, params: Params) -> Array:
        """Return P(n purchases in (T, T + t]); at n = 0 those who have left are added."""
        known = self.seen(columns, params)
        n, chance = np.asarray(counts, dtype=np.float64), known.alive
        each = np.array([chance * known.exactly(float(one), time) for one in n.ravel()])
        found = each.reshape(n.shape + known.k.shape) + np.where(lead(n, chance) > 0, 0.0, 1 - chance)
        return known.out(found)

    def at_least(self, counts: Any, time: float, columns: Columns, params: Params) -> Array:
        """Return P(n purchases or more in (T, T + t]): the n-th comes within the time and the lifetime."""
        known = self.seen(columns, params)
        n, chance = np.asarray(counts, dtype=np.float64), known.alive

        def reached(one: float) -> Array:
            if one <= 0 or time == 0:
                return np.full(chance.shape, float(one <= 0))
            came: Array = chance * known.integral(one, time, -1.0, 0.0, bought=True)
            return came

        each = np.array([reached(float(one)) for one in n.ravel()])
        return known.out(each.reshape(n.shape + known.k.shape))

    def discounted(self, time: float, rate: float, columns: Columns, params: Params) -> Array:
        """Return expected purchases to the horizon, each worth e^(-rate t)."""
        known = self.seen(columns, params)
        if np.isinf(time) and rate < 0:
            return known.out(np.full(known.k.shape, np.nan))
        return known.out(known.alive * known.bought(float(time), float(rate)))

    def futures(
        self, rng: np.random.Generator, columns: Columns, params: Params
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Return draws of (first_wait, wait_shape, wait_rate, left, leaving), as ``paths.drawn`` takes them.

        The lifetime is drawn in calendar time, and told in operational time, as all that the law is given.
        """
        known = self.seen(columns, params)
        living, rate, dropout, since = (each[0] for each in self._drawn(rng, known))
        first_wait = rng.standard_exponential(rate.shape) / rate
        begin = np.full(rate.shape, known.start[0])
        ends = begin + rng.standard_exponential(rate.shape) / dropout
        came, gone = (
            paced_lifetime.operational_times(known.all_knots, known.elapsed, at) for at in (begin, ends)
        )
        left = np.where(living, gone - came, -np.maximum(since, SOONEST))
        return first_wait, np.ones(rate.shape), rate, left, dropout

    def clock(self, params: Params) -> tuple[Array, Array]:
        """Return operational time at the knots (draw, knot), and the knots (knot,)."""
        return np.asarray(params[CALENDAR]), self.knots


def forecast(knots: Array) -> Forecast:
    """Return the forecast in calendar time, given the knots (knot,) of its calendar."""
    by = _Forecast(knots)
    found = Forecast(
        history=gamma_rates.OBSERVED,
        latent=("purchase_rate", "dropout_rate"),
        paths=DRAWN,
        alive=by.alive,
        latent_means=by.latent_means,
        latent_draws=by.latent_draws,
        purchases=by.purchases,
        survival=by.survival,
        pmf=by.pmf,
        at_least=by.at_least,
        discounted=by.discounted,
        futures=by.futures,
        clock=by.clock,
    )
    return replace(found, seen_to=partial(_seen_to, found, knots))


def _seen_to(whole: Forecast, knots: Array, time: Array) -> Forecast:
    """Return what is known of customers whose histories end at a time (row, 1) from now; no more is asked of them."""
    by = _Forecast(knots, time)
    return replace(
        whole,
        alive=by.alive,
        latent_means=by.latent_means,
        latent_draws=by.latent_draws,
        purchases=_no_future,
        survival=_no_future,
        pmf=_no_future,
        at_least=_no_future,
        discounted=_no_future,
        futures=None,
        clock=None,
    )


def _no_future(*_given: Any) -> Any:
    raise NotImplementedError("Of histories that end on another day only the past is told.")


def paced(lifetime_term: Callable[..., Any]) -> Paced:
    """Return Pareto/NBD at the pace of a calendar; its lifetime has the term ``(params, T)``."""
    return Paced(likelihood=partial(likelihood, lifetime_term), simulate=simulate, forecast=forecast)
