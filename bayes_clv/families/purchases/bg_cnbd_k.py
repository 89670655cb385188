"""BG/CNBD-k: BG/NBD with regular timing (Platzer 2008; Reutterer, Platzer & Schröder 2021).

Leveraging Purchase Regularity for Predicting Customer Behavior the Easy Way, International Journal of Research in
Marketing 38(1); the models of Platzer & Reutterer (2016), Ticking Away the Moments: Timing Regularity Helps to Better
Predict Customer Activity, Marketing Science 35(5), are its relatives. The condensed NBD (k = 2, without dropout) is of
Chatfield & Goodhardt (1973).

A customer, while alive, passes phases at rate lambda, and every k-th is a purchase, so that the times between purchases
are Erlang-k; after each repeat purchase he drops out for ever with probability p. Rates vary over customers as
lambda ~ Gamma(r, rate alpha), dropout as p ~ Beta(a, b); k is one for all. k = 1 is BG/NBD. The more even the times
between purchases (larger k), the sooner a silence tells that the customer has left, and the sooner the next purchase
is due.

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
a / (a+b)      mean probability of dropping out after a repeat purchase     probability
=============  ===========================================================  ==================

Priors are those of BG/NBD on the same quantities, the mean purchase rate among them. ``priors={"k": 2}`` fixes k;
without it, the data choose among 1 to 12, at equal weights (``inference.choice``). Only that choice and comparisons
between k need ``log_intervals``: given k, forecasts depend on x, t_x and T alone (``HISTORY``).

All durations share one unit, and any unit will do. Every function broadcasts its arguments, so draws of
shape (draw, 1) meet customers of shape (customer,). A new customer is x = t_x = T = 0. The paper approximates the
expected purchases; here they are exact. What it shares with MBG/CNBD-k is in ``beta_erlang``: here the tosses are x. A
function of ``*history`` and ``**params`` takes x, t_x, T and r, alpha, a, b, k, as ``future_state`` does.
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
MEANINGS = beta_erlang.meanings("a repeat purchase")

WORDS = Words(
    title="BG/CNBD-k",
    summary=(
        "Purchases follow BG/CNBD-k (Reutterer, Platzer & Schröder 2021): while alive a customer buys at its own "
        "rate, at times as even as k says (1 is random), and after each repeat purchase may leave for ever with its "
        "own probability."
    ),
    caution=(
        "A customer can leave only after a repeat purchase, so a customer without one is alive with probability 1, "
        "however long the silence. Do not read that as loyalty. Fit mbg_cnbd_k (MBG/CNBD-k) instead, in which a "
        "customer may leave after the first purchase too; or rank such customers by their expected purchases, which "
        "do fall with silence."
    ),
    meanings=MEANINGS,
    references=("platzer2008", "reutterer2021", "platzer2016", "chatfield1973"),
)
QUANTITIES = beta_erlang.QUANTITIES
data_scale = beta_erlang.data_scale
parameters = beta_erlang.parameters

# Tosses of the coin before the first repeat purchase.
FIRST = 0


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

    prod d_i^(k-1) / (k-1)! * Gamma(c) alpha^r / Gamma(r) [B(a, b + x) / B(a, b) (alpha + T)^-c
    sum_{j<k} (c)_j / j! z^j + 1[x > 0] B(a + 1, b + x - 1) / B(a, b) (alpha + t_x)^-c],

    the log density of the ordered purchase times, as in BG/NBD, so that the two may be compared. Times in any unit;
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
    probability after each repeat purchase; the three are drawn jointly from the individual posterior.
    """
    return beta_erlang.latent_draws(rng, FIRST, *history, **params)


def latent_means(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout) given the history: those of ``latent_draws``."""
    return beta_erlang.latent_means(FIRST, *history, **params)


def probability_alive(*history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T given the history; 1 where x = 0.

    Examples
    --------
    >>> shapes = {"r": 0.2426, "a": 0.7929, "b": 2.4259}
    >>> [round(float(probability_alive(6, 24.0, 38.86, alpha=4.4136 / k, k=k, **shapes)), 4) for k in (1, 3)]
    [0.4039, 0.0633]
    """
    return beta_erlang.probability_alive(FIRST, *history, **params)


def expected_purchases(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history; exact.

    Examples
    --------
    >>> bg_nbd_parameters = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
    >>> round(float(expected_purchases(39, 2, 30.43, 38.86, **bg_nbd_parameters, k=1)), 3)
    1.226
    """
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
    units; shapes a and b + x of the Beta of dropout; k; and the silence over alpha + T), all but the first given
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
    name="bg_cnbd_k",
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
