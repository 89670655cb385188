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
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.distributions.regular import erlang_phases
from bayes_clv.distributions.regular.erlang_residual import mean_purchase_rate, residual_while_alive
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.purchases import beta_geometric, gamma_rates
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("r", "alpha", "a", "b", "k")
OBSERVED = ("frequency", "recency", "T", "log_intervals")
HISTORY = ("frequency", "recency", "T")

# P(alive); shape c and rate s of the phases' rate, shapes a and B of dropout, all given alive; then k and z.
type State = tuple[Array, Array, Array, Array, Array, Array, Array]

QUANTITIES = beta_geometric.QUANTITIES | {
    "k": Quantity(Prior("DiscreteUniform", lower=1, upper=12), whole=True),
}
data_scale = gamma_rates.data_scale


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


def _phase_log_odds(
    xp: Any, first: int, x: Any, t_x: Any, T: Any, r: Any, alpha: Any, a: Any, b: Any, k: Any
) -> Any:
    """Return the log odds of having dropped out by T against alive without a phase since t_x."""
    # r + k x in place of r + x.
    return beta_geometric.dropout_log_odds(xp, first, x, t_x, T, r + (k - 1) * x, alpha, a, b)


def frequency_term(params: Mapping[str, Any], first: int, x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone: ln (r)_kx, the tosses survived, 1 / (k-1)!^x."""
    import pytensor.tensor as pt

    (k,) = double_tensors(params, "k")
    survived = beta_geometric.survived_term(params, first, x)
    return gamma_rates.rate_term(params, k * x) + survived - x * pt.gammaln(k)


def exposure_term(params: Mapping[str, Any], x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, T): k x phases in T units, still alive."""
    (k,) = double_tensors(params, "k")
    return gamma_rates.exposure_term(params, k * x, T)


def silence_term(params: Mapping[str, Any], first: int, x: Any, t_x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x, T): silent alive in any phase, or gone."""
    import pytensor.tensor as pt

    from bayes_clv.distributions.regular.phases_operator import log_phase_sum

    r, alpha, a, b, k = double_tensors(params, *PARAMETERS)
    log_s = log_phase_sum(k, r + k * x, (T - t_x) / (alpha + T))
    log_odds = _phase_log_odds(pt, first, x, t_x, T, r, alpha, a, b, k) - log_s
    return log_s + pt.switch(pt.gt(x + first, 0), pt.softplus(log_odds), 0.0)


def interval_term(params: Mapping[str, Any], log_intervals: Any) -> Any:
    """Return the part of the log-likelihood that depends on the times between purchases: (k - 1) sum ln d."""
    (k,) = double_tensors(params, "k")
    return (k - 1) * log_intervals


def simulate(
    rng: np.random.Generator,
    first: int,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: ArrayLike,
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated histories (frequency, recency) of customers observed to age T.

    Exact and without a loop over purchases: of N ~ Poisson(lambda T) phases every k-th is a purchase, the G-th toss
    ends it, x = min(floor(N / k), G - first), and the k x-th of N uniform times is t_x.
    """
    T, r, alpha, a, b, k = np.broadcast_arrays(*float_arrays(T, r, alpha, a, b, k))
    phases = k.astype(np.int64)
    counts = gamma_poisson.simulate_counts(rng, T, r, alpha)
    frequency = np.minimum(counts // phases, beta_geometric.last_toss(rng, a, b) - first).astype(np.int64)
    return frequency, gamma_poisson.simulate_recency(rng, T, counts, phases * frequency)


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


def probability_alive(
    first: int,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: ArrayLike,
) -> Array:
    """Return the probability of being alive at T given the history; 1 where nothing has been tossed."""
    x, t_x, T, r, alpha, a, b, k = float_arrays(x, t_x, T, r, alpha, a, b, k)
    log_s = erlang_phases.log_phase_sum(k, r + k * x, (T - t_x) / (alpha + T))
    alive = special.expit(log_s - _phase_log_odds(np, first, x, t_x, T, r, alpha, a, b, k))
    return np.where(x + first > 0, alive, 1.0)


def future_state(
    first: int,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: ArrayLike,
) -> State:
    """Return P(alive), r + k x and alpha + T, a and B given alive, k and z; each keeps the shape of its arguments."""
    x, t_x, T, r, alpha, a, b, k = float_arrays(x, t_x, T, r, alpha, a, b, k)
    alive = probability_alive(first, x, t_x, T, r, alpha, a, b, k)
    return alive, r + k * x, alpha + T, a, b + (x + first), k, (T - t_x) / (alpha + T)


def latent_draws(
    rng: np.random.Generator,
    first: int,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: ArrayLike,
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout) given the history, drawn jointly."""
    state = future_state(first, x, t_x, T, r, alpha, a, b, k)
    since_purchase = np.asarray(alpha, np.float64) + np.asarray(t_x, np.float64)
    probability, c, scale, a, big_b, k, z, since_purchase = np.broadcast_arrays(*state, since_purchase)
    alive = rng.random(c.shape) < probability
    passed = np.where(alive, erlang_phases.draw_phases(rng, k, c, z), 0.0)
    phase_rate = rng.gamma(c + passed, 1 / np.where(alive, scale, since_purchase))
    dropout = rng.beta(np.where(alive, a, a + 1), np.where(alive, big_b, big_b - 1))
    return alive, phase_rate / k, dropout


def latent_means(
    first: int,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: ArrayLike,
) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout) given the history: those of ``latent_draws``."""
    alive, c, scale, a, big_b, k, z = future_state(first, x, t_x, T, r, alpha, a, b, k)
    gone = c / (k * (np.asarray(alpha, np.float64) + np.asarray(t_x, np.float64)))
    purchase_rate = alive * mean_purchase_rate(k, c, z, scale) + (1 - alive) * gone
    return purchase_rate, (a + 1 - alive) / (a + big_b)


def expected_purchases(t: ArrayLike, state: State) -> Array:
    """Return P(alive) E[purchases in (T, T + t] | alive]; guards as in ``erlang_phases``."""
    alive, c, scale, a, big_b, k, z = state
    return alive * erlang_phases.purchases_while_alive(k, c, z, np.asarray(t, np.float64) / scale, a, big_b)


def survival(t: ArrayLike, state: State) -> Array:
    """Return P(alive at T + t); t = 0 gives P(alive)."""
    alive, c, scale, a, big_b, k, z = state
    return alive * erlang_phases.survival_while_alive(k, c, z, np.asarray(t, np.float64) / scale, a, big_b)


def purchases_pmf(n: ArrayLike, t: ArrayLike, state: State) -> Array:
    """Return P(n purchases in (T, T + t]): as in ``beta_geometric``, with purchases every k phases.

    All terms are positive, so that nothing cancels. At n = 0 the dropped out are added.
    """
    n, t = float_arrays(n, t)
    alive, c, scale, a, big_b, k, z = state
    tau = t / scale
    some = np.maximum(n, 1.0)
    ended = erlang_phases.count_at_least(some + 1, k, c, z, tau) * a / (a + big_b + (some - 1))
    exactly = erlang_phases.count_pmf(some, k, c, z, tau) + ended
    positive = beta_geometric.survived(some - 1, a, big_b) * exactly
    none = erlang_phases.count_pmf(0.0, k, c, z, tau)
    chance: Array = np.where(n > 0, alive * positive, alive * none + (1 - alive))
    return chance


def purchases_at_least(n: ArrayLike, t: ArrayLike, state: State) -> Array:
    """Return P(at least n purchases in (T, T + t]); 1 where n <= 0: survived n - 1 tosses, and k n - j phases came."""
    n, t = float_arrays(n, t)
    alive, c, scale, a, big_b, k, z = state
    some = np.maximum(n, 1.0)
    reached = erlang_phases.count_at_least(some, k, c, z, t / scale)
    return np.where(n > 0, alive * beta_geometric.survived(some - 1, a, big_b) * reached, 1.0)


def discounted_residual_transactions(discount_rate: ArrayLike, state: State) -> Array:
    """Return all purchases after T worth their time, delta the continuous ``discount_rate`` per time unit.

    At delta = 0 it is P(alive) (a + B - 1) / (a - 1), infinite unless a > 1; NaN for delta < 0.
    """
    alive, c, scale, a, big_b, k, z = state
    discount = np.asarray(discount_rate, np.float64) * scale
    while_alive: Array = residual_while_alive(k, c, z, discount, a, big_b)
    return alive * while_alive
