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

All durations share one unit, and any unit will do. A new customer is x = t_x = T = 0.

The likelihood is eq. 17 of Fader & Hardie: the log density of the ordered purchase times; t_x^(x-1) / (x-1)! more, a
factor of the data only, makes it the density of (x, t_x).

With k = r + x: alive at T, lambda ~ Gamma(k, alpha + T) and mu ~ Gamma(s, beta + T), so that the forecasts are those of
``gamma_lifetime``; gone since an age y in (t_x, T), whose density is proportional to (alpha + y)^-k (beta + y)^-(s+1),
lambda ~ Gamma(k, alpha + y) and mu ~ Gamma(s + 1, beta + y). The integral over y is that of ``silence``.

**What is sampled.** s and beta lie on a ridge: data observed to T say how many have left by about T, and little about
how the leaving goes on. The mean lifetime beta / (s - 1) does not exist for s <= 1, where most published estimates
lie, so the sampled quantity is the median lifetime, relative to the mean age of the data's customers, beside s.

Examples
--------
>>> seen = {"frequency": 26, "recency": 30.86, "T": 31}
>>> cdnow = {"r": 0.5534, "alpha": 10.5758, "s": 0.6061, "beta": 11.6618}
>>> round(float(alive(seen, cdnow)), 4), round(float(purchases(52, seen, cdnow)), 2)
(0.9979, 25.46)
>>> round(float(discounted(np.inf, 0.0027, {"frequency": 7, "recency": 35, "T": 39}, cdnow)), 2)
20.56
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, on_distinct_rows
from bayes_clv.distributions.paths import LIFETIME
from bayes_clv.distributions.poisson import gamma_lifetime, gamma_poisson
from bayes_clv.distributions.poisson.silence import log_integral, mean_share
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Family, Forecast, Params, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates, pareto_paced
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("r", "alpha", "s", "beta")
OBSERVED = gamma_rates.OBSERVED
_symbols = partial(symbols, OBSERVED, PARAMETERS)

MEANINGS = gamma_rates.MEANINGS | {
    "s": ("shape of the dropout rates across customers; small where lifetimes differ much", "none"),
    "beta": ("rate of the Gamma of dropout rates; their mean is s / beta", "time"),
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

QUANTITIES = gamma_rates.QUANTITIES | {
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
    lifetime, s = population["population_lifetime"], population["s"]
    return gamma_rates.parameters(population) | {"s": s, "beta": lifetime / (2 ** (1 / s) - 1)}


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


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return histories of new customers observed to age T, exactly and without a loop over purchases.

    A lifetime with P(> t) = (beta / (beta + t))^s, a Poisson number x of purchases until it or T, and t_x the latest of
    x uniform times.
    """
    T, r, alpha, s, beta = np.broadcast_arrays(*symbols(("T",), PARAMETERS, columns, params))
    with np.errstate(over="ignore"):
        lifetime = beta * np.expm1(rng.standard_exponential(T.shape) / s)
    active = np.minimum(lifetime, T)
    frequency = rng.poisson(rng.gamma(r, 1 / alpha) * active)
    recency = gamma_poisson.simulate_latest(rng, active, frequency)
    return {"frequency": frequency.astype(np.float64), "recency": recency, "T": T}


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
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout rate) given the history, drawn jointly.

    A pair of Gammas for the living, and for those who left a time of leaving, then a pair of Gammas given it.
    """
    x, t_x, T, r, alpha, s, beta = np.broadcast_arrays(*_symbols(columns, params))
    living = rng.random(x.shape) < alive(columns, params)
    end = T.copy()
    gone = ~living
    if gone.any():
        k, w, a, b = (r + x)[gone], s[gone] + 1, (alpha + t_x)[gone], (beta + t_x)[gone]
        end[gone] = t_x[gone] + _left_after(rng, k, w, a, b, (T - t_x)[gone])
    purchase_rate = rng.gamma(r + x, 1 / (alpha + end))
    return living, purchase_rate, rng.gamma(np.where(living, s, s + 1), 1 / (beta + end))


def latent_means(columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout rate) given the history: those of ``latent_draws``."""
    x, t_x, T, r, alpha, s, beta = _symbols(columns, params)
    chance = alive(columns, params)
    k, w, a, b, silence = r + x, s + 1, alpha + t_x, beta + t_x, T - t_x
    # 1 / (a + d) = (1 - d / (a + d)) / a, d the time from the last purchase to the leaving.
    purchase_rate = chance * k / (alpha + T) + (1 - chance) * k / a * (1 - mean_share(k, w, a, b, silence))
    dropout_rate = chance * s / (beta + T) + (1 - chance) * w / b * (1 - mean_share(w, k, b, a, silence))
    return purchase_rate, dropout_rate


def alive(columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history (Fader & Hardie 2005, section 4).

    Through the log odds of having left, which stay finite where ((alpha + T) / (alpha + t_x))^(r + x) overflows.
    """
    x, t_x, T, r, alpha, s, beta = _symbols(columns, params)
    k, a, b, silence = r + x, alpha + t_x, beta + t_x, T - t_x
    log_odds = _log_odds_factor(np, k, s, a, b, silence) + log_integral(k, s + 1, a, b, silence)
    chance: Array = special.expit(-log_odds)
    return chance


def state(columns: Columns, params: Params) -> tuple[Array, Array, Array, Array]:
    """Return k = r + x and alpha + T of the purchase rate, s and beta + T of the dropout rate, all given alive."""
    x, _, T, r, alpha, s, beta = _symbols(columns, params)
    return r + x, alpha + T, s, beta + T


def purchases(time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history (Fader & Hardie 2005, section 5).

    P(alive) (r + x) / (alpha + T) times the expected time alive within the horizon. Guards s = 1 (ordinary here), t = 0
    (gives 0), t = infinity (infinite unless s > 1).
    """
    chance, (k, scale, s, b) = alive(columns, params), state(columns, params)
    return chance * gamma_lifetime.discounted_purchases(k, scale, s, b, lead(time, chance), 0.0)


def survival(time: Any, columns: Columns, params: Params) -> Array:
    """Return P(alive at T + t) = P(alive) ((beta + T) / (beta + T + t))^s; t = 0 gives P(alive)."""
    chance, (_, _, s, b) = alive(columns, params), state(columns, params)
    return chance * np.exp(-s * np.log1p(lead(time, chance) / b))


def pmf(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history.

    The quantity of Fader & Hardie (2014), Deriving the Conditional PMF of the Pareto/NBD Model, as P(alive) times a
    negative binomial over those who outlive the horizon plus an integral over the lifetimes of those who do not:
    positive terms only. At n = 0 those who have left are added.
    """

    def while_alive(k: Array, scale: Array, s: Array, b: Array) -> Array:
        exactly: Array = gamma_lifetime.purchases_exactly(lead(counts, k), k, time / scale, s, scale / b)
        return exactly

    chance = alive(columns, params)
    share = on_distinct_rows(while_alive, *state(columns, params))
    return chance * share + np.where(lead(counts, chance) > 0, 0.0, 1 - chance)


def at_least(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0.

    P(alive) times the probability that the n-th would come within the horizon and within the lifetime: one
    positive integral, so that a small probability keeps its digits.
    """
    chance, (k, scale, s, b) = alive(columns, params), state(columns, params)
    n = lead(counts, chance)
    reached = gamma_lifetime.purchases_at_least(np.maximum(n, 1.0), k, time / scale, s, scale / b)
    return np.where(n > 0, chance * reached, 1.0)


def discounted(time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Fader, Hardie & Lee (2005), "RFM and CLV: Using Iso-Value Curves for Customer Base Analysis", J. Marketing Research
    42(4): P(alive) (r + x) / (alpha + T) times the integral of e^(-delta t) ((beta + T) / (beta + T + t))^s. Without
    horizon infinite at delta = 0 unless s > 1, and NaN for delta < 0.
    """
    while_alive = on_distinct_rows(
        lambda k, scale, s, b: gamma_lifetime.discounted_purchases(k, scale, s, b, time, rate),
        *state(columns, params),
    )
    return alive(columns, params) * while_alive


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
    likelihood=(
        Term(("frequency",), gamma_rates.rate_term),
        Term(("frequency", "T"), gamma_rates.exposure_term),
        Term(("T",), lifetime_term),
        Term(OBSERVED, silence_term),
    ),
    simulate=simulate,
    checked="frequency",
    forecast=Forecast(
        history=OBSERVED,
        latent=("purchase_rate", "dropout_rate"),
        paths=LIFETIME,
        alive=alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=purchases,
        survival=survival,
        pmf=pmf,
        at_least=at_least,
        discounted=discounted,
        state=state,
        times=partial(gamma_rates.times, simulate),
    ),
    paced=pareto_paced.paced(lifetime_term),
)
