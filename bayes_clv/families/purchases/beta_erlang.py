"""Erlang times between purchases and a coin after each: what BG/CNBD-k and MBG/CNBD-k share.

A purchase takes k phases, each Exponential(lambda), lambda ~ Gamma(r, alpha), and after it a customer drops out for
ever with its own probability p ~ Beta(a, b). As in ``beta_geometric`` there were x + first tosses of the coin, and

- alive at T: j = 0, ..., k - 1 phases have passed since t_x, with the weights of ``erlang_phases`` at c = r + k x and
  z = (T - t_x) / (alpha + T); given j, lambda ~ Gamma(c + j, alpha + T). p ~ Beta(a, B), B = b + x + first;
- dropped out, at t_x: lambda ~ Gamma(c, alpha + t_x), p ~ Beta(a + 1, B - 1);
- the odds of the second are a / (B - 1) ((alpha + T) / (alpha + t_x))^c / S(c, z), and 0 where there was no toss.

The n-th purchase to come is the (k n - j)-th phase to come, and all forecasts are sums over j and n: finite, or with a
bound on what is left out. k = 1 is ``beta_geometric``. A purchase rate is lambda / k, in purchases per time unit, so
that its prior means what it does in the other families.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import PHASES
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.distributions.regular import erlang_phases
from bayes_clv.distributions.regular.erlang_residual import (
    discounted_purchases,
    mean_purchase_rate,
    residual_while_alive,
)
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Forecast, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import beta_geometric, gamma_rates
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("r", "alpha", "a", "b", "k")
OBSERVED = ("frequency", "recency", "T", "log_intervals")
# Phases of a simulated customer beyond which its purchases are not drawn one by one.
MOST = 10_000
HISTORY = ("frequency", "recency", "T")
# x, t_x, T, r, alpha, a, b, k.
_symbols = partial(symbols, HISTORY, PARAMETERS)

QUANTITIES = beta_geometric.QUANTITIES | {
    "k": Quantity(Prior("DiscreteUniform", lower=1, upper=12), whole=True),
}


def meanings(when: str) -> dict[str, tuple[str, str]]:
    """Return what each variable of the posterior means; ``when`` says after which purchase a customer may leave."""
    return beta_geometric.meanings(when) | {
        "alpha": ("rate of the Gamma of the rates of phases; their mean is r / alpha", "time"),
        "population_purchase_rate": ("mean purchase rate of a new customer, r / (k alpha)", "1/time"),
        "k": ("phases from one purchase to the next; 1 is random timing, more is more even", "count"),
    }


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return r, alpha, a, b, k from the population quantities, tensors or arrays."""
    found = beta_geometric.parameters(population)
    return found | {"alpha": found["alpha"] / population["k"], "k": population["k"]}


def frequency_term(first: int, params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone: ln (r)_kx, the tosses survived, 1 / (k-1)!^x."""
    import pytensor.tensor as pt

    (k,) = double_tensors(params, "k")
    survived = beta_geometric.survived_term(first, params, x)
    return gamma_rates.rate_term(params, k * x) + survived - x * pt.gammaln(k)


def exposure_term(params: Mapping[str, Any], x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, T): k x phases in T units, still alive."""
    (k,) = double_tensors(params, "k")
    return gamma_rates.exposure_term(params, k * x, T)


def silence_term(first: int, params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x, T): silent alive in any phase, or gone."""
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import log_phase_sum

    r, alpha, a, b, k = double_tensors(params, *PARAMETERS)
    log_s = log_phase_sum(k, r + k * x, (T - t_x) / (alpha + T))
    # Dropped out against alive without a phase since t_x: r + k x in place of r + x.
    odds = beta_geometric.log_odds_term(r + (k - 1) * x + x, x + first, t_x, T, alpha, a, b)
    log_odds = odds - log_s
    return log_s + pt.switch(pt.gt(x + first, 0), pt.softplus(log_odds), 0.0)


def interval_term(params: Mapping[str, Any], log_intervals: Any) -> Any:
    """Return the part of the log-likelihood that depends on the times between purchases: (k - 1) sum ln d."""
    (k,) = double_tensors(params, "k")
    return (k - 1) * log_intervals


def _histories(
    first: int, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.int64], Array, Array]:
    """Return frequency and recency of new customers, and T as broadcast.

    Exact and without a loop over purchases: of N ~ Poisson(lambda T) phases every k-th is a purchase, the G-th toss
    ends it, x = min(floor(N / k), G - first), and the k x-th of N uniform times is t_x.
    """
    T, r, alpha, a, b, k = np.broadcast_arrays(*symbols(("T",), PARAMETERS, columns, params))
    phases = k.astype(np.int64)
    counts = gamma_poisson.simulate_counts(rng, T, r, alpha)
    frequency = np.minimum(counts // phases, beta_geometric.last_toss(rng, a, b) - first).astype(np.int64)
    return frequency, gamma_poisson.simulate_recency(rng, T, counts, phases * frequency), T


def simulate(first: int, rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return histories of new customers observed to age T, with the logarithms of their times between purchases."""
    frequency, recency, T = _histories(first, rng, columns, params)
    k = np.broadcast_to(params["k"], T.shape)
    log_intervals = _log_intervals(rng, frequency.ravel(), recency.ravel(), k.ravel()).reshape(T.shape)
    found = {"frequency": frequency.astype(np.float64), "recency": recency}
    return found | {"T": T, "log_intervals": log_intervals}


def _log_intervals(rng: np.random.Generator, frequency: NDArray[np.int64], recency: Array, k: Array) -> Array:
    """Return the sum of the logarithms of each customer's times between purchases.

    Of a customer with more than MOST phases, whose purchases would fill the memory, from the Normal that the sum comes
    near: given x and t_x the times are t_x times a Dirichlet(k, ..., k); a logarithm's mean is psi(k) - psi(k x), the
    sum's variance x psi'(k) - x^2 psi'(k x), and its skewness is below 3 / sqrt(x) whatever k.
    """
    many = k * frequency > MOST
    customer, age = simulate_times(rng, np.where(many, 0, frequency), recency, k)
    interval = np.diff(age, prepend=0.0)
    new = np.r_[True, customer[1:] != customer[:-1]][: customer.size]
    interval[new] = age[new]
    total: Array = np.bincount(customer, np.log(interval), frequency.size)
    if many.any():
        x, shape = frequency[many].astype(np.float64), k[many]
        mean = x * (np.log(recency[many]) + special.psi(shape) - special.psi(shape * x))
        variance = x * special.polygamma(1, shape) - x * x * special.polygamma(1, shape * x)
        total[many] = mean + np.sqrt(np.maximum(variance, 0.0)) * rng.standard_normal(x.size)
    return total


def times(
    first: int, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.int64], Array]:
    """Return repeat purchases of new customers as flat arrays (customer index, age at the purchase), sorted.

    The histories are those that ``simulate`` gives for a generator in the same state.
    """
    frequency, recency, _ = _histories(first, rng, {"T": np.atleast_1d(columns["T"])}, params)
    return simulate_times(rng, frequency, recency, params["k"])


def simulate_times(
    rng: np.random.Generator, frequency: NDArray[np.int64], recency: Array, k: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return purchases of simulated histories as flat arrays (customer index, age at the purchase).

    Given x and t_x the earlier k x - 1 phases are uniform on (0, t_x), and every k-th is a purchase.
    """
    phases = np.broadcast_to(np.asarray(k, dtype=np.int64), frequency.shape)
    customer, age = gamma_poisson.simulate_times(rng, phases * frequency, recency)
    first = np.r_[0, np.cumsum(phases * frequency)[:-1]]
    bought = (np.arange(customer.size) - first[customer] + 1) % phases[customer] == 0
    return customer[bought], age[bought]


def alive(first: int, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history; 1 where nothing has been tossed."""
    x, t_x, T, r, alpha, a, b, k = _symbols(columns, params)
    log_s = erlang_phases.log_phase_sum(k, r + k * x, (T - t_x) / (alpha + T))
    log_odds = beta_geometric.dropout_log_odds(r + (k - 1) * x + x, x + first, t_x, T, alpha, a, b)
    return np.where(x + first > 0, special.expit(log_s - log_odds), 1.0)


def state(first: int, columns: Columns, params: Params) -> tuple[Array, ...]:
    """Return c = r + k x and alpha + T of the phases' rate, a and B of dropout, k and z, all given alive."""
    x, t_x, T, r, alpha, a, b, k = _symbols(columns, params)
    return r + k * x, alpha + T, a, b + (x + first), k, (T - t_x) / (alpha + T)


def latent_draws(
    first: int, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout) given the history, drawn jointly."""
    _, t_x, _, _, alpha, *_ = _symbols(columns, params)
    chance, c, scale, a, big_b, k, z, since_purchase = np.broadcast_arrays(
        alive(first, columns, params), *state(first, columns, params), alpha + t_x
    )
    living = rng.random(c.shape) < chance
    passed = np.where(living, erlang_phases.draw_phases(rng, k, c, z), 0.0)
    phase_rate = rng.gamma(c + passed, 1 / np.where(living, scale, since_purchase))
    dropout = rng.beta(np.where(living, a, a + 1), np.where(living, big_b, big_b - 1))
    return living, phase_rate / k, dropout


def latent_means(first: int, columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout) given the history: those of ``latent_draws``."""
    chance, (c, scale, a, big_b, k, z) = alive(first, columns, params), state(first, columns, params)
    _, t_x, _, _, alpha, *_ = _symbols(columns, params)
    gone = c / (k * (alpha + t_x))
    purchase_rate = chance * mean_purchase_rate(k, c, z, scale) + (1 - chance) * gone
    return purchase_rate, (a + 1 - chance) / (a + big_b)


def purchases(first: int, time: Any, columns: Columns, params: Params) -> Array:
    """Return P(alive) E[purchases in (T, T + t] | alive]; guards as in ``erlang_phases``."""
    chance, (c, scale, a, big_b, k, z) = alive(first, columns, params), state(first, columns, params)
    return chance * erlang_phases.purchases_while_alive(k, c, z, lead(time, chance) / scale, a, big_b)


def survival(first: int, time: Any, columns: Columns, params: Params) -> Array:
    """Return P(alive at T + t); t = 0 gives P(alive)."""
    chance, (c, scale, a, big_b, k, z) = alive(first, columns, params), state(first, columns, params)
    return chance * erlang_phases.survival_while_alive(k, c, z, lead(time, chance) / scale, a, big_b)


def pmf(first: int, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchases in (T, T + t]): as in ``beta_geometric``, with purchases every k phases.

    All terms are positive, so that nothing cancels. At n = 0 the dropped out are added.
    """
    chance, (c, scale, a, big_b, k, z) = alive(first, columns, params), state(first, columns, params)
    n, tau = lead(counts, chance), time / scale
    some = np.maximum(n, 1.0)
    ended = erlang_phases.count_at_least(some + 1, k, c, z, tau) * a / (a + big_b + (some - 1))
    exactly = erlang_phases.count_pmf(some, k, c, z, tau) + ended
    positive = beta_geometric.survived(some - 1, a, big_b) * exactly
    none = erlang_phases.count_pmf(0.0, k, c, z, tau)
    found: Array = np.where(n > 0, chance * positive, chance * none + (1 - chance))
    return found


def at_least(first: int, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchases in (T, T + t]); 1 where n <= 0: survived n - 1 tosses, and k n - j phases came."""
    chance, (c, scale, a, big_b, k, z) = alive(first, columns, params), state(first, columns, params)
    n = lead(counts, chance)
    some = np.maximum(n, 1.0)
    reached = erlang_phases.count_at_least(some, k, c, z, time / scale)
    return np.where(n > 0, chance * beta_geometric.survived(some - 1, a, big_b) * reached, 1.0)


def discounted(first: int, time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon and at delta = 0 it is P(alive) (a + B - 1) / (a - 1) and what the phases passed say, infinite
    unless a > 1; NaN for delta < 0.
    """
    chance, (c, scale, a, big_b, k, z) = alive(first, columns, params), state(first, columns, params)
    if np.isinf(time):
        while_alive: Array = residual_while_alive(k, c, z, rate * scale, a, big_b)
        return chance * while_alive
    return chance * discounted_purchases(c, scale, a, big_b, k, z, time, rate)


def model(first: int) -> dict[str, Any]:
    """Return what a family with this ``first`` is, but for its name, words and forecast."""
    return beta_geometric.model(first) | {
        "parameters": PARAMETERS,
        "quantities": QUANTITIES,
        "observed": OBSERVED,
        "from_quantities": parameters,
        "likelihood": (
            Term(("frequency",), partial(frequency_term, first)),
            Term(("frequency", "T"), exposure_term),
            Term(HISTORY, partial(silence_term, first)),
            Term(("log_intervals",), interval_term),
        ),
        "simulate": partial(simulate, first),
    }


def forecast(first: int) -> Forecast:
    """Return what a family with this ``first`` predicts."""
    return Forecast(
        history=HISTORY,
        latent=("purchase_rate", "dropout"),
        paths=PHASES,
        alive=partial(alive, first),
        latent_means=partial(latent_means, first),
        latent_draws=partial(latent_draws, first),
        purchases=partial(purchases, first),
        survival=partial(survival, first),
        pmf=partial(pmf, first),
        at_least=partial(at_least, first),
        discounted=partial(discounted, first),
        state=partial(state, first),
        times=partial(times, first),
    )
