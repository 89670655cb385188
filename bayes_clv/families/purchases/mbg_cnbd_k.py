"""MBG/CNBD-k: MBG/NBD with regular timing (Reutterer, Platzer & Schröder 2021).

Leveraging Purchase Regularity for Predicting Customer Behavior the Easy Way, International Journal of Research in
Marketing 38(1); the models of Platzer & Reutterer (2016), Ticking Away the Moments: Timing Regularity Helps to Better
Predict Customer Activity, Marketing Science 35(5), are its relatives.

BG/CNBD-k with one change: the coin is tossed after the first purchase as well. A customer, while alive, passes phases
at rate lambda, and every k-th is a purchase, so that the times between purchases are Erlang-k; after each purchase,
the first included, he drops out for ever with probability p. Rates vary over customers as lambda ~ Gamma(r, rate
alpha), dropout as p ~ Beta(a, b); k is one for all. k = 1 is MBG/NBD. A new customer (x = t_x = T = 0, its first
purchase just made) is alive with probability b / (a + b).

=============  ===========================================================  ==================
symbol         meaning                                                      unit
=============  ===========================================================  ==================
r              shape of the rates of phases                                 none
alpha          rate of the Gamma of the rates of phases                     time
a, b           shapes of the dropout probabilities                          none
k              phases from one purchase to the next                         count
x              frequency: repeat purchase occasions                         count
t_x            recency: age at the last purchase (0 when x = 0)             time
T              age at the end of observation                                time
t              a horizon after T                                            time
log_intervals  sum of the logarithms of the x times between purchases       none (log time)
r / (k alpha)  mean purchase rate of a new customer                         1 / time
a / (a+b)      mean probability of dropping out after a purchase            probability
=============  ===========================================================  ==================

All durations share one unit, and any unit will do. Every function broadcasts its arguments, so draws of
shape (draw, 1) meet customers of shape (customer,).

Priors, the choice of k and what it shares with BG/CNBD-k are told there and in ``beta_erlang``: here the tosses are
x + 1. A function of ``*history`` and ``**params`` takes x, t_x, T and r, alpha, a, b, k, as ``future_state`` does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.families import positional
from bayes_clv.families.contract import Family, Words
from bayes_clv.families.lifetimes import discounted_by_law
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import beta_erlang

PARAMETERS = beta_erlang.PARAMETERS
OBSERVED = beta_erlang.OBSERVED
HISTORY = beta_erlang.HISTORY


# Of every variable in the posterior: what it means, and its unit ("time" is the data's time unit).
MEANINGS = beta_erlang.meanings("a purchase, the first included")

WORDS = Words(
    title="MBG/CNBD-k",
    summary=(
        "Purchases follow MBG/CNBD-k (Reutterer, Platzer & Schröder 2021): while alive a customer buys at its own "
        "rate, at times as even as k says (1 is random), and after each purchase, the first included, may leave for "
        "ever with its own probability."
    ),
    caution="",
    meanings=MEANINGS,
    references=("platzer2008", "reutterer2021", "platzer2016"),
)
QUANTITIES = beta_erlang.QUANTITIES
data_scale = beta_erlang.data_scale
parameters = beta_erlang.parameters

# Tosses of the coin before the first repeat purchase.
FIRST = 1


def frequency_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone, as a PyTensor vector."""
    return beta_erlang.frequency_term(params, FIRST, x)


def silence_term(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x, T), as a PyTensor vector."""
    return beta_erlang.silence_term(params, FIRST, x, t_x, T)


exposure_term = beta_erlang.exposure_term
interval_term = beta_erlang.interval_term
likelihood_terms = (
    Term(("frequency",), frequency_term),
    Term(("frequency", "T"), exposure_term),
    Term(HISTORY, silence_term),
    Term(("log_intervals",), interval_term),
)


def log_likelihood(params: Mapping[str, Any], x: Any, t_x: Any, T: Any, log_intervals: Any) -> Any:
    """Return the log-likelihood of each customer, as a PyTensor vector.

    With c = r + k x, z = (T - t_x) / (alpha + T) and the intervals d_i,

    prod d_i^(k-1) / (k-1)! * Gamma(c) alpha^r / Gamma(r) [B(a, b + x + 1) / B(a, b) (alpha + T)^-c
    sum_{j<k} (c)_j / j! z^j + B(a + 1, b + x) / B(a, b) (alpha + t_x)^-c],

    the log density of the ordered purchase times, as in MBG/NBD, so that the two may be compared. Times in any unit;
    ``params`` maps PARAMETERS to tensors, k a number or a tensor.
    """
    silence = exposure_term(params, x, T) + silence_term(params, x, t_x, T)
    return frequency_term(params, x) + silence + interval_term(params, log_intervals)


def simulate(
    rng: np.random.Generator, T: ArrayLike, *params: ArrayLike, **named: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated histories (frequency, recency) of customers observed to age T.

    Exact and without a loop over purchases; the shape is that of the arguments (r, alpha, a, b, k) broadcast together.

    Examples
    --------
    >>> import numpy as np
    >>> frequency, recency = simulate(np.random.default_rng(1), np.full(3, 39.0), 0.24, 1.5, 0.79, 2.4, 3)
    >>> frequency.shape
    (3,)
    """
    return beta_erlang.simulate(rng, FIRST, T, *params, **named)


def simulate_purchase_times(
    rng: np.random.Generator,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: ArrayLike,
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated repeat purchases as flat arrays (customer index, age at the purchase).

    Sorted by customer, then age; a customer without repeat purchases does not appear. The histories are
    those that ``simulate`` gives for a generator in the same state. The arguments broadcast to one dimension,
    the customers.
    """
    return beta_erlang.simulate_times(rng, *simulate(rng, np.atleast_1d(T), r, alpha, a, b, k), k)


def latent_draws(
    rng: np.random.Generator, *history: ArrayLike, **params: ArrayLike
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout) given the history.

    ``alive`` is a bool, the purchase rate is that of purchases (lambda / k) per time unit and the dropout a
    probability after each purchase; the three are drawn jointly from the individual posterior.
    """
    return beta_erlang.latent_draws(rng, FIRST, *history, **params)


def latent_means(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout) given the history: those of ``latent_draws``."""
    return beta_erlang.latent_means(FIRST, *history, **params)


def probability_alive(*history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T given the history.

    Examples
    --------
    >>> shapes = {"r": 0.525, "a": 0.891, "b": 1.614}
    >>> [round(float(probability_alive(6, 24.0, 38.86, alpha=6.183 / k, k=k, **shapes)), 4) for k in (1, 3)]
    [0.3854, 0.0595]
    """
    return beta_erlang.probability_alive(FIRST, *history, **params)


def expected_purchases(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history; exact."""
    return beta_erlang.expected_purchases(t, future_state(*history, **params))


def purchases_pmf(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history."""
    return beta_erlang.purchases_pmf(n, t, future_state(*history, **params))


def purchases_at_least(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    return beta_erlang.purchases_at_least(n, t, future_state(*history, **params))


def discounted_residual_transactions(
    discount_rate: ArrayLike, *history: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the discounted expected residual transactions (DERT): all purchases after T, worth their time.

    ``discount_rate`` is continuous, per time unit. Infinite without discount unless a > 1; NaN for a negative one. See
    ``erlang_residual``.
    """
    return beta_erlang.discounted_residual_transactions(discount_rate, future_state(*history, **params))


def survival(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T + t given the history; t = 0 gives ``probability_alive``."""
    return beta_erlang.survival(t, future_state(*history, **params))


def future_state(*history: ArrayLike, **params: ArrayLike) -> beta_erlang.State:
    """Return what the simulation of the future needs to know of a customer at T.

    (probability alive; shape r + k x and rate alpha + T of the Gamma of the rates of phases, the latter in time
    units; shapes a and b + x + 1 of the Beta of dropout; k; and the silence over alpha + T), all but the first given
    that the customer is alive. Each keeps the shape of its own arguments.
    """
    return beta_erlang.future_state(FIRST, *history, **params)


def state_while_alive(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, ...]:
    """Return what ``future_state`` does, without the probability of being alive."""
    return future_state(*history, **params)[1:]


discounted = discounted_by_law(
    "after_kth_phase", probability_alive, state_while_alive, discounted_residual_transactions
)


FAMILY = Family(
    name="mbg_cnbd_k",
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
        history=HISTORY,
        parameters=PARAMETERS,
        latent=("purchase_rate", "dropout"),
        law="after_kth_phase",
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
