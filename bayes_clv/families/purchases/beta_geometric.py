"""A coin after each purchase, Beta dropout: what BG/NBD and MBG/NBD share.

After a purchase a customer drops out for ever with its own probability p ~ Beta(a, b). The families differ in
one thing: whether the coin is tossed after the first purchase too. With x repeat purchases there were

    c = x + first,    first = 0 (BG/NBD: after repeat purchases only) or 1 (MBG/NBD: after the first as well)

tosses, and everything follows, with k = r + x:

- alive at T: lambda ~ Gamma(k, alpha + T), p ~ Beta(a, B) with B = b + c;
- dropped out, at t_x: lambda ~ Gamma(k, alpha + t_x), p ~ Beta(a + 1, B - 1);
- the odds of the second are a / (B - 1) * ((alpha + T) / (alpha + t_x))^k, and 0 where c = 0.

The forecasts are averages over the first pair (``beta_dropout``, ``residual``), in a form that has no singularity
at a = 1, where the papers' have one. A history and parameters come by name, and ``first`` before
them; ``model`` and ``forecast`` are the records without it.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, on_distinct_rows
from bayes_clv.distributions.paths import COIN
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.distributions.poisson.beta_dropout import purchases_while_alive, survival_while_alive
from bayes_clv.distributions.poisson.coin_counts import count_chances
from bayes_clv.distributions.poisson.discounted import discounted_purchases
from bayes_clv.distributions.poisson.residual import residual_while_alive
from bayes_clv.distributions.special import double_tensors, log_beta_rise, log_gamma_ratio
from bayes_clv.distributions.stirling import LARGE
from bayes_clv.distributions.survival import survival_ratio
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Forecast, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("r", "alpha", "a", "b")
LOG_LARGEST = 709.78
OBSERVED = gamma_rates.OBSERVED
# x, t_x, T, r, alpha, a, b.
_symbols = partial(symbols, OBSERVED, PARAMETERS)

QUANTITIES = gamma_rates.QUANTITIES | {
    "population_dropout": Quantity(Prior("Beta", alpha=1, beta=1), upper=1.0, process="dropout"),
    "dropout_concentration": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
}


def meanings(when: str) -> dict[str, tuple[str, str]]:
    """Return what each variable of the posterior means; ``when`` says after which purchase a customer may leave."""
    return gamma_rates.MEANINGS | {
        "a": ("first shape of the dropout probabilities across customers", "none"),
        "b": ("second shape of the dropout probabilities; their mean is a / (a + b)", "none"),
        "population_dropout": (f"mean probability of leaving after {when}, a / (a + b)", "probability"),
        "dropout_concentration": ("a + b; small where customers differ much in dropout", "none"),
    }


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return r, alpha, a, b from the population quantities, tensors or arrays."""
    dropout, concentration = population["population_dropout"], population["dropout_concentration"]
    shapes = {"a": dropout * concentration, "b": (1 - dropout) * concentration}
    return gamma_rates.parameters(population) | shapes


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def _log_odds(k: float, tosses: float, t_x: float, T: float, alpha: float, a: float, b: float) -> float:
    ratio = (alpha + T) / (alpha + t_x)
    since_purchase = math.log(ratio)
    if k > LARGE:
        since_purchase += ((T - t_x) / (alpha + t_x) - (ratio - 1.0)) / ratio
    # B - 1 with c - 1 first: b may be tiny.
    return math.log(a / (b + (max(tosses, 1.0) - 1.0))) + k * since_purchase


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def dropout_log_odds(
    k: float, tosses: float, t_x: float, T: float, alpha: float, a: float, b: float
) -> float:
    """Return the log odds of having dropped out by T, k = r + x, c > 0 tosses; a NumPy ufunc of float64.

    Finite, and of no meaning, where c = 0. Its absolute error is the odds' relative one, so that a plain
    logarithm will do for (alpha + T) / (alpha + t_x) near 1; log1p takes twice the time. Where the power is large, what
    the ratio lost when it was rounded is added.
    """
    return float(_log_odds(k, tosses, t_x, T, alpha, a, b))


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def _alive(k: float, tosses: float, t_x: float, T: float, alpha: float, a: float, b: float) -> float:
    if not tosses > 0.0:
        return 1.0
    odds = _log_odds(k, tosses, t_x, T, alpha, a, b)
    return 1.0 / (1.0 + math.exp(odds)) if odds < LOG_LARGEST else 0.0


def log_odds_term(k: Any, tosses: Any, t_x: Any, T: Any, alpha: Any, a: Any, b: Any) -> Any:
    """Return ``dropout_log_odds`` as a PyTensor vector."""
    import pytensor.tensor as pt

    ratio = (alpha + T) / (alpha + t_x)
    lost = ((T - t_x) / (alpha + t_x) - (ratio - 1)) / ratio
    since_purchase = pt.log(ratio) + pt.where(k > LARGE, lost, 0.0)
    return pt.log(a / (b + (pt.maximum(tosses, 1) - 1))) + k * since_purchase


def survived_term(first: int, params: Mapping[str, Any], x: Any) -> Any:
    """Return ln (b)_c / (a + b)_c, the tosses survived so far, of the log-likelihood; a PyTensor vector."""
    import pytensor.tensor as pt

    a, b = double_tensors(params, "a", "b")
    plain = log_gamma_ratio(b, x + first) - log_gamma_ratio(a + b, x + first)
    # Two large numbers that are alike, where dropout hardly differs.
    return pt.switch(pt.gt(b, LARGE), log_beta_rise(a, b, x + first), plain)


def frequency_term(first: int, params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone, as a PyTensor vector."""
    return gamma_rates.rate_term(params, x) + survived_term(first, params, x)


def silence_term(first: int, params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x, T), as a PyTensor vector.

    The two ways to have been silent since t_x, alive or dropped out, enter as a softplus of the log odds:
    no overflow for x in the thousands and no NaN gradient at x = 0.
    """
    import pytensor.tensor as pt

    r, alpha, a, b = double_tensors(params, *PARAMETERS)
    log_odds = log_odds_term(r + x, x + first, t_x, T, alpha, a, b)
    return pt.switch(pt.gt(x + first, 0), pt.softplus(log_odds), 0.0)


def simulate(first: int, rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return histories of new customers observed to age T, exactly and without a loop over purchases.

    N ~ Poisson(lambda T) repeat purchases would happen, the G-th toss ends it, G ~ Geometric(p), and
    x = min(N, G - first).
    """
    T, r, alpha, a, b = np.broadcast_arrays(*symbols(("T",), PARAMETERS, columns, params))
    counts = gamma_poisson.simulate_counts(rng, T, r, alpha)
    frequency = np.minimum(counts, last_toss(rng, a, b) - first).astype(np.int64)
    recency = gamma_poisson.simulate_recency(rng, T, counts, frequency)
    return {"frequency": frequency.astype(np.float64), "recency": recency, "T": T}


def last_toss(rng: np.random.Generator, a: Array, b: Array) -> Array:
    """Return which toss of its coin ends each customer: geometric from 1, its probability Beta(a, b)."""
    dropout = rng.beta(a, b)
    # The geometric by inversion, because dropout may round to 0 (no end) or to 1 (the first toss).
    with np.errstate(divide="ignore", over="ignore"):
        toss: Array = np.ceil(rng.standard_exponential(a.shape) / -np.log1p(-dropout))
    return np.maximum(toss, 1.0)


def alive(first: int, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history; 1 where nothing has been tossed.

    Through the log odds, which stay finite where ((alpha + T) / (alpha + t_x))^(r + x) overflows.
    """
    x, t_x, T, r, alpha, a, b = _symbols(columns, params)
    chance: Array = _alive(r + x, x + first, t_x, T, alpha, a, b)
    return chance


def state(first: int, columns: Columns, params: Params) -> tuple[Array, Array, Array, Array]:
    """Return k = r + x and alpha + T of the purchase rate, a and B of dropout, all given alive."""
    x, _, T, r, alpha, a, b = _symbols(columns, params)
    return r + x, alpha + T, a, b + (x + first)


def latent_draws(
    first: int, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout) given the history, drawn jointly."""
    x, t_x, T, r, alpha, a, b = np.broadcast_arrays(*_symbols(columns, params))
    living = rng.random(x.shape) < alive(first, columns, params)
    purchase_rate = rng.gamma(r + x, 1 / (alpha + np.where(living, T, t_x)))
    tosses = x + first
    dropout = rng.beta(np.where(living, a, a + 1), np.where(living, b + tosses, b + (tosses - 1)))
    return living, purchase_rate, dropout


def latent_means(first: int, columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout) given the history: those of ``latent_draws``."""
    x, t_x, T, r, alpha, a, b = _symbols(columns, params)
    chance = alive(first, columns, params)
    purchase_rate = (r + x) * (chance / (alpha + T) + (1 - chance) / (alpha + t_x))
    return purchase_rate, (a + 1 - chance) / (a + b + (x + first))


def purchases(first: int, time: Any, columns: Columns, params: Params) -> Array:
    """Return P(alive) E[purchases in (T, T + t] | alive].

    Guards a = 1 (ordinary here), t = 0 (gives 0), t = infinity (infinite unless a > 1), tiny and very long
    horizons and x in the thousands; see ``beta_dropout``.
    """
    chance = alive(first, columns, params)
    if np.ndim(time) == 0:
        return chance * _while_alive(
            first,
            lambda k, scale, a, big_b: purchases_while_alive(k, time / scale, a, big_b),
            columns,
            params,
        )
    k, scale, a, big_b = state(first, columns, params)
    mean: Array = purchases_while_alive(k, lead(time, chance) / scale, a, big_b)
    return chance * mean


def survival(first: int, time: Any, columns: Columns, params: Params) -> Array:
    """Return P(alive at T + t) = P(alive) E[(1 + p tau)^-k]; t = 0 gives P(alive)."""
    chance, (k, scale, a, big_b) = alive(first, columns, params), state(first, columns, params)
    share: Array = survival_while_alive(k, lead(time, chance) / scale, a, big_b)
    return chance * share


def pmf(first: int, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchases in (T, T + t]).

    For n >= 1 the n purchases happen because n is what chance gave, or because the n-th ended it:
    P(alive) * S_{n-1} * (P(N = n) + P(N > n) a / (a + B + n - 1)), S_n = (B)_n / (a + B)_n, N ~ NegBin. All terms
    are positive, so that nothing cancels. At n = 0 the dropped out are added.
    """
    n = np.asarray(counts, dtype=np.float64)
    chance, (k, scale, a, big_b) = alive(first, columns, params), state(first, columns, params)
    if not (n.ndim == 1 and n.size > 0 and n[0] >= 0 and (n == n[0] + np.arange(n.size)).all()):
        return _one_by_one(n, chance, k, time / scale, a, big_b)
    shape = np.broadcast_shapes(chance.shape, k.shape, scale.shape, a.shape, big_b.shape)
    full = (-1, shape[-1]) if len(shape) > 1 else (1, -1)
    given = (chance, k, time / scale, a, big_b)
    wide = [np.array(np.broadcast_to(each, shape), order="C").reshape(full) for each in given]
    found, plain = np.empty((n.size, *wide[0].shape)), np.empty(wide[0].shape[0], dtype=bool)
    count_chances(int(n[0]), *wide, found, plain)
    if not plain.all():
        found[:, ~plain] = _one_by_one(n, *(each[~plain] for each in wide))
    return found.reshape(n.shape + shape)


def _one_by_one(counts: Array, chance: Array, k: Array, tau: Array, a: Array, big_b: Array) -> Array:
    """Return P(n purchases in the horizon), the counts' axes first, of any counts and states."""
    share = on_distinct_rows(partial(exactly, counts), k, tau, a, big_b)
    return chance * share + np.where(lead(counts, chance) > 0, 0.0, 1 - chance)


def exactly(counts: Array, k: Array, tau: Array, a: Array, big_b: Array) -> Array:
    """Return P(n purchases in the horizon) of a customer alive now, the counts' axes first."""
    if counts.ndim == 1 and counts.size > 0 and counts[0] == 0:
        none = gamma_poisson.count_pmf(0.0, k, tau)
        more = exactly(counts[1:], k, tau, a, big_b)
        return np.concatenate([np.broadcast_to(none, more.shape[1:])[None], more])
    some = np.maximum(counts, 1.0)
    bought, more = gamma_poisson.counts_in_turn(some, k, tau)
    positive = survived_in_turn(some - 1, a, big_b) * (bought + more * a / (a + big_b + (lead(some, k) - 1)))
    found: Array = np.where(lead(counts, k) > 0, positive, gamma_poisson.count_pmf(0.0, k, tau))
    return found


def at_least(first: int, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchases in (T, T + t]); 1 where n <= 0.

    P(alive) P(N >= n) (B)_{n-1} / (a + B)_{n-1} with N ~ NegBin: the n-th would happen, and the customer
    survived n - 1. One product, so that a small probability keeps its digits.
    """
    chance, (k, scale, a, big_b) = alive(first, columns, params), state(first, columns, params)
    n = lead(counts, chance)
    some = np.maximum(n, 1.0)
    reached = gamma_poisson.count_at_least(some, k, time / scale)
    return np.where(n > 0, chance * survived(some - 1, a, big_b) * reached, 1.0)


def discounted(first: int, time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon P(alive) E[lambda / (delta + lambda p)], the idea of Fader, Hardie & Lee (2005), "RFM and CLV":
    purchases happen at rate lambda and end at rate lambda p. At delta = 0 that is P(alive) (a + B - 1) / (a - 1),
    infinite unless a > 1; NaN for delta < 0. See ``residual`` and, to a horizon, ``discounted``.
    """

    def worth(k: Array, scale: Array, a: Array, big_b: Array) -> Array:
        if np.isinf(time):
            without_end: Array = residual_while_alive(k, rate * scale, a, big_b)
            return without_end
        return discounted_purchases(k, scale, a, big_b, time, rate)

    return alive(first, columns, params) * _while_alive(first, worth, columns, params)


def _while_alive(first: int, function: Callable[..., Array], columns: Columns, params: Params) -> Array:
    """Return a function of ``state``, computed once where neighbours differ in recency alone."""

    def of_rows(x: Array, T: Array, *values: Array) -> Array:
        past = {"frequency": x, "recency": T, "T": T}
        return function(*state(first, past, dict(zip(PARAMETERS, values, strict=True))))

    x, _, T, *values = _symbols(columns, params)
    return on_distinct_rows(of_rows, x, T, *values)


def survived(tosses: Array, a: Array, big_b: Array) -> Array:
    """Return (B)_n / (a + B)_n, the probability of surviving n tosses to come."""
    share: Array = np.exp(special.betaln(a, big_b + tosses) - special.betaln(a, big_b))
    alike = a + big_b > LARGE
    if not np.any(alike):
        return share
    chance: Array = np.where(alike, survival_ratio(tosses, 0.0, a, big_b, 1.0), share)
    return chance


def survived_in_turn(tosses: Array, a: Array, big_b: Array) -> Array:
    """Return the probabilities of surviving each number of tosses, their axes first; in turn, from the last."""
    n = lead(tosses, big_b)
    if not gamma_poisson.in_turn(tosses) or np.any(a + big_b > LARGE):
        return survived(n, a, big_b)
    each = [survived(tosses[0], a, big_b)]
    for toss in tosses[:-1]:
        each.append(each[-1] * ((big_b + toss) / (a + big_b + toss)))
    return np.stack(each)


def likelihood(first: int) -> tuple[Term, ...]:
    """Return the terms of the log-likelihood: the log density of the ordered purchase times."""
    return (
        Term(("frequency",), partial(frequency_term, first)),
        Term(("frequency", "T"), gamma_rates.exposure_term),
        Term(OBSERVED, partial(silence_term, first)),
    )


def model(first: int) -> dict[str, Any]:
    """Return what a family with this ``first`` is, but for its name, words and forecast."""
    return {
        "parameters": PARAMETERS,
        "quantities": QUANTITIES,
        "observed": OBSERVED,
        "design": ("T",),
        "scale": gamma_rates.data_scale,
        "from_quantities": parameters,
        "likelihood": likelihood(first),
        "simulate": partial(simulate, first),
        "checked": "frequency",
    }


def forecast(first: int) -> Forecast:
    """Return what a family with this ``first`` predicts."""
    return Forecast(
        history=OBSERVED,
        latent=("purchase_rate", "dropout"),
        paths=COIN,
        alive=partial(alive, first),
        latent_means=partial(latent_means, first),
        latent_draws=partial(latent_draws, first),
        purchases=partial(purchases, first),
        survival=partial(survival, first),
        pmf=partial(pmf, first),
        at_least=partial(at_least, first),
        discounted=partial(discounted, first),
        state=partial(state, first),
        times=partial(gamma_rates.times, partial(simulate, first)),
    )
