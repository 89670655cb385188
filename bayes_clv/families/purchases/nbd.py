"""NBD: negative binomial purchases, and nobody leaves (Ehrenberg 1959). The baseline.

The Pattern of Consumer Purchases, Applied Statistics 8(1); notation of Fader & Hardie (2004), Illustrating the
Performance of the NBD as a Benchmark Model for Customer-Base Analysis, brucehardie.com note 005.

A customer buys at rate lambda for ever. Rates vary over customers as lambda ~ Gamma(r, rate alpha). What a family
with dropout explains beyond this is what dropout explains.

==========  ===========================================================  ==================
symbol      meaning                                                      unit
==========  ===========================================================  ==================
r           shape of the purchase rates                                  none
alpha       rate of the Gamma of purchase rates                          time
x           frequency: repeat purchase occasions                         count
t_x         recency: age at the last purchase; without effect here       time
T           age at the end of observation                                time
t           a horizon after T                                            time
r / alpha   mean purchase rate of a new customer                         1 / time
==========  ===========================================================  ==================

All durations share one unit, and any unit will do. Every function broadcasts its arguments, so draws of
shape (draw, 1) meet customers of shape (customer,). A new customer is x = t_x = T = 0. A function of ``*history``
and ``**params`` takes x, t_x, T and r, alpha, as ``future_state`` does.

The recency is observed all the same: the likelihood is the density of the ordered purchase times, as in the other
families, and a distinct history is the same row in each, so that they can be compared row by row.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.families import positional
from bayes_clv.families.contract import Family, Words
from bayes_clv.families.lifetimes import discounted_by_law
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates

PARAMETERS = ("r", "alpha")
OBSERVED = gamma_rates.OBSERVED


MEANINGS = gamma_rates.MEANINGS

WORDS = Words(
    title="NBD",
    summary=(
        "Purchases follow NBD (Ehrenberg 1959): every customer buys at random at its own rate, for ever. It is the "
        "baseline that a family with dropout should beat."
    ),
    caution=(
        "Nobody ever leaves: every customer is alive with probability 1, and one who has been silent for years is "
        "forecast to go on buying. Fit mbg_nbd (MBG/NBD) where customers leave, and keep NBD as its baseline."
    ),
    meanings=MEANINGS,
    references=("ehrenberg1959",),
)
QUANTITIES = gamma_rates.QUANTITIES
data_scale = gamma_rates.data_scale
parameters = gamma_rates.parameters


frequency_term = gamma_rates.rate_term
exposure_term = gamma_rates.exposure_term
likelihood_terms = (Term(("frequency",), frequency_term), Term(("frequency", "T"), exposure_term))


def log_likelihood(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the log-likelihood of each customer, as a PyTensor vector.

    Gamma(r + x) / Gamma(r) alpha^r (alpha + T)^-(r + x), the log density of the ordered purchase times; T^x / x!
    more, a factor of the data only, makes it the negative binomial probability of x.
    """
    return frequency_term(params, x) + exposure_term(params, x, T)


def simulate(
    rng: np.random.Generator, T: ArrayLike, r: ArrayLike, alpha: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated histories (frequency, recency) of customers observed to age T.

    The shape is that of the arguments broadcast together.

    Examples
    --------
    >>> import numpy as np
    >>> frequency, recency = simulate(np.random.default_rng(1), np.full(3, 39.0), 0.39, 12.1)
    >>> frequency.shape
    (3,)
    """
    T, r, alpha = np.broadcast_arrays(*float_arrays(T, r, alpha))
    frequency = gamma_poisson.simulate_counts(rng, T, r, alpha)
    return frequency, gamma_poisson.simulate_recency(rng, T, frequency, frequency)


def simulate_purchase_times(
    rng: np.random.Generator, T: ArrayLike, *params: ArrayLike, **named: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated repeat purchases as flat arrays (customer index, age at the purchase).

    Sorted by customer, then age; a customer without repeat purchases does not appear. The histories are
    those that ``simulate`` gives for a generator in the same state. The arguments broadcast to one dimension,
    the customers.
    """
    return gamma_poisson.simulate_times(rng, *simulate(rng, np.atleast_1d(T), *params, **named))


def latent_draws(
    rng: np.random.Generator, *history: ArrayLike, **params: ArrayLike
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T: always; purchase rate per time unit; dropout: 0) given the history."""
    alive, k, scale, _, _ = np.broadcast_arrays(*future_state(*history, **params))
    return alive > 0, rng.gamma(k, 1 / scale), np.zeros(alive.shape)


def latent_means(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, Array]:
    """Return the means of (purchase rate per time unit, dropout) given the history; dropout is 0."""
    alive, k, scale, _, _ = np.broadcast_arrays(*future_state(*history, **params))
    return k / scale, np.zeros(alive.shape)


def probability_alive(*history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T given the history: 1."""
    return np.ones(np.broadcast_shapes(*(np.shape(x) for x in future_state(*history, **params))))


def _rate(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, Array]:
    """Return shape and rate of the Gamma of the purchase rate; the recency lends its shape alone."""
    alive, k, scale, _, _ = future_state(*history, **params)
    return alive * k, scale


def expected_purchases(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history: t (r + x) / (alpha + T).

    Examples
    --------
    >>> round(float(expected_purchases(39, 2, 30.43, 39, 0.39, 12.1)), 3)
    1.824
    """
    k, scale = _rate(*history, **params)
    return k * (np.asarray(t, dtype=np.float64) / scale)


def purchases_pmf(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history: negative binomial."""
    k, scale = _rate(*history, **params)
    return gamma_poisson.count_pmf(n, k, np.asarray(t, dtype=np.float64) / scale)


def purchases_at_least(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    k, scale = _rate(*history, **params)
    return gamma_poisson.count_at_least(n, k, np.asarray(t, dtype=np.float64) / scale)


def discounted_residual_transactions(
    discount_rate: ArrayLike, *history: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the discounted expected residual transactions (DERT): E[lambda] / delta given the history.

    delta is the continuous ``discount_rate`` per time unit. Infinite without discount, NaN for a negative one.
    """
    k, scale = _rate(*history, **params)
    (delta,) = float_arrays(discount_rate)
    with np.errstate(divide="ignore"):
        return np.where(delta >= 0, k / (np.abs(delta) * scale), np.nan)


def survival(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T + t given the history: 1."""
    alive = probability_alive(*history, **params)
    return np.ones(np.broadcast_shapes(np.shape(t), alive.shape))


def future_state(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    """Return what the simulation of the future needs to know of a customer at T.

    (probability alive, 1; shape r + x and rate alpha + T of the Gamma of purchase rates, the latter in time
    units; 0 and 1, the shapes of a dropout that never happens). Each keeps the shape of its own arguments.
    """
    x, t_x, T, r, alpha = float_arrays(x, t_x, T, r, alpha)
    return np.ones(t_x.shape), r + x, alpha + T, np.zeros(()), np.ones(())


def state_while_alive(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, ...]:
    """Return what ``future_state`` does, without the probability of being alive."""
    return future_state(*history, **params)[1:]


discounted = discounted_by_law(
    "after_purchase", probability_alive, state_while_alive, discounted_residual_transactions
)


FAMILY = Family(
    name="nbd",
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
        latent=("purchase_rate", "dropout"),
        law="after_purchase",
        alive=probability_alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=expected_purchases,
        survival=survival,
        pmf=purchases_pmf,
        at_least=purchases_at_least,
        discounted=discounted,
        state=state_while_alive,
        times=simulate_purchase_times,
    ),
)
