"""Pareto/NBD: purchases at random while alive, and a lifetime that may end at any time.

Schmittlein, Morrison & Colombo (1987), Counting Your Customers: Who Are They and What Will They Do Next?, Management
Science 33(1); formulas as in Fader & Hardie (2005), A Note on Deriving the Pareto/NBD Model and Related Expressions.

A customer, while alive, buys at rate lambda; he leaves for ever at rate mu, whatever he buys. Rates vary over
customers as lambda ~ Gamma(r, rate alpha) and mu ~ Gamma(s, rate beta), independent.

==================  ===========================================================  ========
symbol              meaning                                                      unit
==================  ===========================================================  ========
r                   shape of the purchase rates                                  none
alpha               rate of the Gamma of purchase rates                          time
s                   shape of the dropout rates                                   none
beta                rate of the Gamma of dropout rates                           time
x                   frequency: repeat purchase occasions                         count
t_x                 recency: age at the last purchase (0 when x = 0)             time
T                   age at the end of observation                                time
t                   a horizon after T                                            time
r / alpha           mean purchase rate of a new customer                         1 / time
beta (2^(1/s) - 1)  median lifetime of a new customer                            time
==================  ===========================================================  ========

All durations share one unit, and any unit will do. Every function broadcasts its arguments, so draws of
shape (draw, 1) meet customers of shape (customer,). A new customer is x = t_x = T = 0.

With k = r + x: alive at T, lambda ~ Gamma(k, alpha + T) and mu ~ Gamma(s, beta + T), so that the forecasts are those of
``gamma_lifetime``; gone since an age y in (t_x, T), whose density is proportional to (alpha + y)^-k (beta + y)^-(s+1),
lambda ~ Gamma(k, alpha + y) and mu ~ Gamma(s + 1, beta + y). The integral over y is that of ``silence``.

**What is sampled.** s and beta lie on a ridge: data observed to T say how many have left by about T, and little about
how the leaving goes on. The mean lifetime beta / (s - 1) does not exist for s <= 1, where most published estimates
lie, so the sampled quantity is the median lifetime, relative to the mean age of the data's customers, beside s.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, float_arrays, on_distinct_rows
from bayes_clv.distributions.paths import LIFETIME
from bayes_clv.distributions.poisson import gamma_lifetime
from bayes_clv.distributions.poisson.silence import log_integral, mean_share
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families import positional
from bayes_clv.families.contract import Family, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("r", "alpha", "s", "beta")
OBSERVED = ("frequency", "recency", "T")


# Of every variable in the posterior: what it means, and its unit ("time" is the data's time unit).
MEANINGS = {
    "r": ("shape of the purchase rates across customers; small where customers differ much", "none"),
    "alpha": ("rate of the Gamma of purchase rates; their mean is r / alpha", "time"),
    "s": ("shape of the dropout rates across customers; small where lifetimes differ much", "none"),
    "beta": ("rate of the Gamma of dropout rates; their mean is s / beta", "time"),
    "population_purchase_rate": ("mean purchase rate of a new customer, r / alpha", "1/time"),
    "population_lifetime": ("median lifetime of a new customer, beta (2^(1/s) - 1)", "time"),
}

WORDS = Words(
    title="Pareto/NBD",
    summary=(
        "Purchases follow Pareto/NBD (Schmittlein, Morrison & Colombo 1987): while a customer is alive it buys at "
        "random at its own rate, and it may leave for ever at any time, at its own rate."
    ),
    caution=(
        "The lifetimes of those who have not left yet are extrapolated: with a shape s of at most 1 the mean lifetime"
        " of a new customer is infinite, so over long horizons give a discount rate and read medians."
    ),
    meanings=MEANINGS,
    references=("schmittlein1987", "fader2005note", "fader2005rfm", "fader2014pmf"),
)

QUANTITIES = {
    "population_purchase_rate": Quantity(
        Prior("LogNormal", mu=0, sigma=1.5), relative=True, process="purchase"
    ),
    "r": Quantity(Prior("LogNormal", mu=0, sigma=1.5)),
    "population_lifetime": Quantity(Prior("LogNormal", mu=0, sigma=1.5), relative=True, process="dropout"),
    "s": Quantity(Prior("LogNormal", mu=0, sigma=1)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> dict[str, float]:
    """Return the crude purchase rate, repeat purchases over customer time, and the customers' mean age."""
    observed = float(count @ columns["T"])
    return {
        "population_purchase_rate": float(count @ columns["frequency"]) / observed,
        "population_lifetime": observed / float(count.sum()),
    }


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return r, alpha, s, beta from the population quantities, tensors or arrays."""
    rate, r = population["population_purchase_rate"], population["r"]
    lifetime, s = population["population_lifetime"], population["s"]
    return {"r": r, "alpha": r / rate, "s": s, "beta": lifetime / (2 ** (1 / s) - 1)}


def frequency_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone, as a PyTensor vector."""
    return gamma_rates.rate_term(params, x)


def exposure_term(params: Mapping[str, Any], x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, T): x purchases in T units, still alive."""
    import pytensor.tensor as pt

    r, alpha = double_tensors(params, "r", "alpha")
    return -r * pt.log1p(T / alpha) - x * pt.log(alpha + T)


def lifetime_term(params: Mapping[str, Any], T: Any) -> Any:
    """Return the part of the log-likelihood that depends on T alone: a lifetime longer than T."""
    import pytensor.tensor as pt

    s, beta = double_tensors(params, "s", "beta")
    return -s * pt.log1p(T / beta)


def silence_term(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x, T), as a PyTensor vector.

    The two ways to have been silent since t_x, alive or gone, enter as a softplus of the log odds.
    """
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import log_integral as log_j

    r, alpha, s, beta = double_tensors(params, *PARAMETERS)
    since = T - t_x
    # Finite, and of no meaning, where there is no silence.
    silence = pt.switch(pt.gt(since, 0), since, 1.0)
    a, b = alpha + t_x, beta + t_x
    log_odds = _log_odds_factor(pt, r + x, s, a, b, silence) + log_j(r + x, s + 1, a, b, silence)
    return pt.switch(pt.gt(since, 0), pt.softplus(log_odds), 0.0)


def _log_odds_factor(xp: Any, k: Any, s: Any, a: Any, b: Any, silence: Any) -> Any:
    """Return the log odds of having left by T less log J (``silence``); ``xp`` is numpy or pytensor.tensor."""
    return k * xp.log1p(silence / a) + s * xp.log1p(silence / b) + xp.log(s / b)


likelihood_terms = (
    Term(("frequency",), frequency_term),
    Term(("frequency", "T"), exposure_term),
    Term(("T",), lifetime_term),
    Term(OBSERVED, silence_term),
)


def log_likelihood(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the log-likelihood of each customer as a PyTensor vector (Fader & Hardie 2005, eq. 17).

    It is the log density of the ordered purchase times; t_x^(x-1) / (x-1)! more, a factor of the data
    only, makes it the density of (x, t_x). Times in any unit; ``params`` maps PARAMETERS to tensors.
    """
    alive = frequency_term(params, x) + exposure_term(params, x, T) + lifetime_term(params, T)
    return alive + silence_term(params, x, t_x, T)


def simulate(
    rng: np.random.Generator, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, s: ArrayLike, beta: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated histories (frequency, recency) of customers observed to age T.

    Exact and without a loop over purchases: a lifetime with P(> t) = (beta / (beta + t))^s, a Poisson number x of
    purchases until it or T, and t_x the latest of x uniform times.
    The shape is that of the arguments broadcast together.

    Examples
    --------
    >>> import numpy as np
    >>> frequency, recency = simulate(np.random.default_rng(1), np.full(3, 39.0), 0.55, 10.6, 0.61, 11.7)
    >>> frequency.shape
    (3,)
    """
    T, r, alpha, s, beta = np.broadcast_arrays(*float_arrays(T, r, alpha, s, beta))
    with np.errstate(over="ignore"):
        lifetime = beta * np.expm1(rng.standard_exponential(T.shape) / s)
    active = np.minimum(lifetime, T)
    frequency = rng.poisson(rng.gamma(r, 1 / alpha) * active)
    latest = rng.random(T.shape) ** (1 / np.maximum(frequency, 1))
    return frequency.astype(np.int64), np.where(frequency > 0, active * latest, 0.0)


def simulate_purchase_times(
    rng: np.random.Generator, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, s: ArrayLike, beta: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated repeat purchases as flat arrays (customer index, age at the purchase).

    Sorted by customer, then age; a customer without repeat purchases does not appear. The histories are
    those that ``simulate`` gives for a generator in the same state: given x and t_x the earlier x - 1
    purchases are uniform on (0, t_x). The arguments broadcast to one dimension, the customers.
    """
    frequency, recency = simulate(rng, np.atleast_1d(T), r, alpha, s, beta)
    customer = np.repeat(np.arange(frequency.size), frequency)
    age = recency[customer] * rng.random(customer.size)
    last = np.cumsum(frequency)[frequency > 0] - 1
    age[last] = recency[frequency > 0]
    return customer, age[np.lexsort((age, customer))]


def _left_after(
    rng: np.random.Generator, k: Array, w: Array, a: Array, b: Array, silence: Array
) -> NDArray[np.float64]:
    """Return draws of d in (0, silence) with density proportional to (1 + d/a)^-k (1 + d/b)^-w, w > 1.

    Rejection: the factor that falls more within the silence is inverted, the other accepts.
    """

    def mass(power: Array, scale: Array) -> Array:
        whole: Array = scale * gamma_lifetime.time_alive(power, 1.0, 0.0, silence / scale)
        return whole

    first = mass(k, a) < mass(w, b)
    steep, size = np.where(first, k, w), np.where(first, a, b)
    other, other_size = np.where(first, w, k), np.where(first, b, a)
    whole = gamma_lifetime.time_alive(steep, 1.0, 0.0, silence / size)
    result = np.empty(silence.size)
    pending = np.arange(silence.size)
    while pending.size:
        p, scale, q, other_scale, total, longest = (
            each[pending] for each in (steep, size, other, other_size, whole, silence)
        )
        # The share M = (1 - e^-(p-1)L) / (p - 1) of the mass lies below d = scale (e^L - 1).
        share = rng.random(pending.size) * total
        z = (p - 1) * share
        with np.errstate(divide="ignore", over="ignore"):
            growth = share * np.where(z == 0, 1.0, -np.log1p(-z) / np.where(z == 0, 1.0, z))
            d = np.minimum(scale * np.expm1(growth), longest)
        accepted = rng.random(pending.size) < np.exp(-q * np.log1p(d / other_scale))
        result[pending[accepted]] = d[accepted]
        pending = pending[~accepted]
    return result


def latent_draws(
    rng: np.random.Generator,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout rate) given the history.

    ``alive`` is a bool, both rates are per time unit; the three are drawn jointly from the individual posterior: a
    pair of Gammas for the living, and for those who left a time of leaving, then a pair of Gammas given it.
    """
    x, t_x, T, r, alpha, s, beta = np.broadcast_arrays(*float_arrays(x, t_x, T, r, alpha, s, beta))
    alive = rng.random(x.shape) < probability_alive(x, t_x, T, r, alpha, s, beta)
    end = T.copy()
    gone = ~alive
    if gone.any():
        k, w, a, b = (r + x)[gone], s[gone] + 1, (alpha + t_x)[gone], (beta + t_x)[gone]
        end[gone] = t_x[gone] + _left_after(rng, k, w, a, b, (T - t_x)[gone])
    purchase_rate = rng.gamma(r + x, 1 / (alpha + end))
    dropout_rate = rng.gamma(np.where(alive, s, s + 1), 1 / (beta + end))
    return alive, purchase_rate, dropout_rate


def latent_means(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, s: ArrayLike, beta: ArrayLike
) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout rate) given the history: those of ``latent_draws``.

    Both are per time unit.
    """
    x, t_x, T, r, alpha, s, beta = float_arrays(x, t_x, T, r, alpha, s, beta)
    alive = probability_alive(x, t_x, T, r, alpha, s, beta)
    k, w, a, b, silence = r + x, s + 1, alpha + t_x, beta + t_x, T - t_x
    # 1 / (a + d) = (1 - d / (a + d)) / a, d the time from the last purchase to the leaving.
    purchase_rate = alive * k / (alpha + T) + (1 - alive) * k / a * (1 - mean_share(k, w, a, b, silence))
    dropout_rate = alive * s / (beta + T) + (1 - alive) * w / b * (1 - mean_share(w, k, b, a, silence))
    return purchase_rate, dropout_rate


def probability_alive(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, s: ArrayLike, beta: ArrayLike
) -> Array:
    """Return the probability of being alive at T given the history (Fader & Hardie 2005, section 4).

    Through the log odds of having left, which stay finite where ((alpha + T) / (alpha + t_x))^(r + x) overflows.

    Examples
    --------
    >>> round(float(probability_alive(26, 30.86, 31, 0.5534, 10.5758, 0.6061, 11.6618)), 4)
    0.9979
    """
    x, t_x, T, r, alpha, s, beta = float_arrays(x, t_x, T, r, alpha, s, beta)
    k, a, b, silence = r + x, alpha + t_x, beta + t_x, T - t_x
    log_odds = _log_odds_factor(np, k, s, a, b, silence) + log_integral(k, s + 1, a, b, silence)
    alive: Array = special.expit(-log_odds)
    return alive


def expected_purchases(
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history (Fader & Hardie 2005, section 5).

    P(alive) (r + x) / (alpha + T) times the expected time alive within the horizon. Guards s = 1 (ordinary here), t = 0
    (gives 0), t = infinity (infinite unless s > 1).

    Examples
    --------
    >>> round(float(expected_purchases(52, 26, 30.86, 31, 0.5534, 10.5758, 0.6061, 11.6618)), 2)
    25.46
    """
    t, x, t_x, T, r, alpha, s, beta = float_arrays(t, x, t_x, T, r, alpha, s, beta)
    while_alive = gamma_lifetime.discounted_purchases(r + x, alpha + T, s, beta + T, t, 0.0)
    return probability_alive(x, t_x, T, r, alpha, s, beta) * while_alive


def purchases_pmf(
    n: ArrayLike,
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history.

    The quantity of Fader & Hardie (2014), Deriving the Conditional PMF of the Pareto/NBD Model, as P(alive) times a
    negative binomial over those who outlive the horizon plus an integral over the lifetimes of those who do not:
    positive terms only. At n = 0 those who have left are added.
    """
    n, t, x, t_x, T, r, alpha, s, beta = float_arrays(n, t, x, t_x, T, r, alpha, s, beta)
    alive = probability_alive(x, t_x, T, r, alpha, s, beta)
    exactly = gamma_lifetime.purchases_exactly(n, r + x, t / (alpha + T), s, (alpha + T) / (beta + T))
    pmf: Array = alive * exactly + np.where(n > 0, 0.0, 1 - alive)
    return pmf


def purchases_at_least(
    n: ArrayLike,
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0.

    P(alive) times the probability that the n-th would come within the horizon and within the lifetime: one
    positive integral, so that a small probability keeps its digits.
    """
    n, t, x, t_x, T, r, alpha, s, beta = float_arrays(n, t, x, t_x, T, r, alpha, s, beta)
    alive = probability_alive(x, t_x, T, r, alpha, s, beta)
    reached = gamma_lifetime.purchases_at_least(
        np.maximum(n, 1.0), r + x, t / (alpha + T), s, (alpha + T) / (beta + T)
    )
    return np.where(n > 0, alive * reached, 1.0)


def discounted_residual_transactions(
    discount_rate: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> Array:
    """Return the discounted expected residual transactions (DERT): all purchases after T, worth their time.

    Fader, Hardie & Lee (2005), "RFM and CLV: Using Iso-Value Curves for Customer Base Analysis", J. Marketing Research
    42(4): P(alive) (r + x) / (alpha + T) times the integral of e^(-delta t) ((beta + T) / (beta + T + t))^s over all t,
    delta the continuous ``discount_rate`` per time unit. Infinite at delta = 0 unless s > 1; NaN for delta < 0.

    Examples
    --------
    >>> round(float(discounted_residual_transactions(0.0027, 7, 35, 39, 0.5534, 10.5758, 0.6061, 11.6618)), 2)
    20.56
    """
    delta, x, t_x, T, r, alpha, s, beta = float_arrays(discount_rate, x, t_x, T, r, alpha, s, beta)
    while_alive: Array = (r + x) / (alpha + T) * gamma_lifetime.time_alive(s, beta + T, delta, np.inf)
    return probability_alive(x, t_x, T, r, alpha, s, beta) * while_alive


def survival(
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> Array:
    """Return the probability of being alive at T + t given the history.

    P(alive at T) times ((beta + T) / (beta + T + t))^s; t = 0 gives ``probability_alive``.
    """
    t, x, t_x, T, r, alpha, s, beta = float_arrays(t, x, t_x, T, r, alpha, s, beta)
    return probability_alive(x, t_x, T, r, alpha, s, beta) * np.exp(-s * np.log1p(t / (beta + T)))


def future_state(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, s: ArrayLike, beta: ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    """Return what the simulation of the future needs to know of a customer at T.

    (probability alive; shape r + x and rate alpha + T of the Gamma of purchase rates; shape s and rate beta + T of the
    Gamma of dropout rates), the rates in time units and the last four given that the customer is alive. Each
    keeps the shape of its own arguments.
    """
    return probability_alive(x, t_x, T, r, alpha, s, beta), *state_while_alive(x, t_x, T, r, alpha, s, beta)


def state_while_alive(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, s: ArrayLike, beta: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """Return the last four of ``future_state``, without the integral of the probability alive."""
    x, T, r, alpha, s, beta = float_arrays(x, T, r, alpha, s, beta)
    return r + x, alpha + T, s, beta + T


def discounted_purchases(
    t: ArrayLike, discount_rate: ArrayLike, *history: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the expected purchases in (T, T + t], each worth e^(-delta u) if it comes at T + u, given the history."""
    t, delta = float_arrays(t, discount_rate)
    worth = on_distinct_rows(
        lambda k, scale, s, b: gamma_lifetime.discounted_purchases(k, scale, s, b, t, delta),
        *state_while_alive(*history, **params),
    )
    return probability_alive(*history, **params) * worth


FAMILY = Family(
    name="pareto_nbd",
    kind="purchases",
    words=WORDS,
    parameters=PARAMETERS,
    quantities=QUANTITIES,
    observed=OBSERVED,
    design=("T",),
    scale=data_scale,
    from_quantities=parameters,
    likelihood=likelihood_terms,
    simulate=positional.simulated(simulate, ("T",), ("frequency", "recency"), PARAMETERS),
    checked="frequency",
    forecast=positional.forecast(
        history=OBSERVED,
        parameters=PARAMETERS,
        latent=("purchase_rate", "dropout_rate"),
        paths=LIFETIME,
        alive=probability_alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=expected_purchases,
        survival=survival,
        pmf=purchases_pmf,
        at_least=purchases_at_least,
        discounted=discounted_purchases,
        state=state_while_alive,
        times=simulate_purchase_times,
    ),
)
