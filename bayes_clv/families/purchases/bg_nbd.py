"""BG/NBD: beta-geometric/negative binomial purchases (Fader, Hardie & Lee 2005).

"Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model, Marketing Science 24(2).

A customer, while alive, buys at rate lambda; after each repeat purchase he drops out for ever with
probability p. Rates vary over customers as lambda ~ Gamma(r, rate alpha), dropout as p ~ Beta(a, b).

==========  ===========================================================  ==================
symbol      meaning                                                      unit
==========  ===========================================================  ==================
r           shape of the purchase rates                                  none
alpha       rate of the Gamma of purchase rates                          time
a, b        shapes of the dropout probabilities                          none
x           frequency: repeat purchase occasions                         count
t_x         recency: age at the last purchase (0 when x = 0)             time
T           age at the end of observation                                time
t           a horizon after T                                            time
r / alpha   mean purchase rate of a new customer                         1 / time
a / (a+b)   mean probability of dropping out after a repeat purchase     probability
==========  ===========================================================  ==================

Default priors: r / alpha is LogNormal about the data's crude rate with 1.5 on the log scale, r LogNormal(0, 1.5),
a / (a+b) uniform, a + b LogNormal(1, 1.25). For CDNOW they say, 90 %: 0.003 to 0.39 purchases a week, 9 to 98 % of new
customers alive after a year, 0.1 to 5 purchases in it (``plot_prior`` draws this of any fit).

All durations share one unit, and any unit will do. Every function broadcasts its arguments, so draws of
shape (draw, 1) meet customers of shape (customer,). A new customer is x = t_x = T = 0.

What it shares with MBG/NBD, which tosses the coin after the first purchase too, is in ``beta_geometric``: here
the tosses are x. A function of ``*history`` and ``**params`` takes x, t_x, T and r, alpha, a, b, as
``future_state`` does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.families import positional
from bayes_clv.families.contract import Family, Words
from bayes_clv.families.lifetimes import discounted_by_law
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import beta_geometric, gamma_rates

PARAMETERS = beta_geometric.PARAMETERS
OBSERVED = gamma_rates.OBSERVED


# Of every variable in the posterior: what it means, and its unit ("time" is the data's time unit).
MEANINGS = beta_geometric.meanings("a repeat purchase")

WORDS = Words(
    title="BG/NBD",
    summary=(
        "Purchases follow BG/NBD (Fader, Hardie & Lee 2005): while alive a customer buys at random at its own rate, "
        "and after each repeat purchase may leave for ever with its own probability."
    ),
    caution=(
        "A customer can leave only after a repeat purchase, so a customer without one is alive with probability 1, "
        "however long the silence. Do not read that as loyalty. Fit mbg_nbd (MBG/NBD) instead, in which a customer "
        "may leave after the first purchase too; or rank such customers by their expected purchases, which do fall "
        "with silence."
    ),
    meanings=MEANINGS,
    references=("fader2005counting", "fader2008palive", "fader2005rfm"),
)
QUANTITIES = beta_geometric.QUANTITIES
data_scale = gamma_rates.data_scale
parameters = beta_geometric.parameters

# Tosses of the coin before the first repeat purchase.
FIRST = 0


def frequency_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone, as a PyTensor vector."""
    return gamma_rates.rate_term(params, x) + beta_geometric.survived_term(params, FIRST, x)


def silence_term(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x, T); 0 where x = 0."""
    return beta_geometric.silence_term(params, FIRST, x, t_x, T)


exposure_term = gamma_rates.exposure_term
likelihood_terms = (
    Term(("frequency",), frequency_term),
    Term(("frequency", "T"), exposure_term),
    Term(OBSERVED, silence_term),
)


def log_likelihood(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the log-likelihood of each customer, eq. 6 of the paper, as a PyTensor vector.

    It is the log density of the ordered purchase times; t_x^(x-1) / (x-1)! more, a factor of the data
    only, makes it the density of (x, t_x). Times in any unit; ``params`` maps PARAMETERS to tensors.
    """
    return frequency_term(params, x) + exposure_term(params, x, T) + silence_term(params, x, t_x, T)


def simulate(
    rng: np.random.Generator, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, a: ArrayLike, b: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated histories (frequency, recency) of customers observed to age T.

    Exact and without a loop over purchases; the shape is that of the arguments broadcast together.

    Examples
    --------
    >>> import numpy as np
    >>> frequency, recency = simulate(np.random.default_rng(1), np.full(3, 39.0), 0.24, 4.4, 0.79, 2.4)
    >>> frequency.shape
    (3,)
    """
    return beta_geometric.simulate(rng, FIRST, T, r, alpha, a, b)


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
    """Return one draw each of (alive at T, purchase rate, dropout) given the history.

    ``alive`` is a bool, the purchase rate is per time unit and the dropout a probability after each repeat
    purchase; the three are drawn jointly from the individual posterior, a mixture of two Gamma-Beta pairs.
    """
    return beta_geometric.latent_draws(rng, FIRST, *history, **params)


def latent_means(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout) given the history: those of ``latent_draws``.

    The purchase rate is per time unit, the dropout a probability after each repeat purchase.
    """
    return beta_geometric.latent_means(FIRST, *history, **params)


def probability_alive(*history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T given the history; 1 where x = 0.

    Fader, Hardie & Lee (2008), Computing P(alive) Using the BG/NBD Model.

    Examples
    --------
    >>> round(float(probability_alive(2, 30.43, 38.86, 0.2426, 4.4136, 0.7929, 2.4259)), 4)
    0.7266
    """
    return beta_geometric.probability_alive(FIRST, *history, **params)


def expected_purchases(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history, eq. 10 of the paper.

    Of a new customer (x = t_x = T = 0) it is eq. 9.

    Examples
    --------
    >>> round(float(expected_purchases(39, 2, 30.43, 38.86, 0.2426, 4.4136, 0.7929, 2.4259)), 3)
    1.226
    """
    return beta_geometric.expected_purchases(t, future_state(*history, **params))


def purchases_pmf(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history; of a new customer eq. 8 of the paper."""
    return beta_geometric.purchases_pmf(n, t, future_state(*history, **params))


def purchases_at_least(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    return beta_geometric.purchases_at_least(n, t, future_state(*history, **params))


def discounted_residual_transactions(
    discount_rate: ArrayLike, *history: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the discounted expected residual transactions (DERT): all purchases after T, worth their time.

    ``discount_rate`` is continuous, per time unit. The idea is that of Fader, Hardie & Lee (2005), "RFM and CLV:
    Using Iso-Value Curves for Customer Base Analysis", J. Marketing Research 42(4), for Pareto/NBD. Infinite
    without discount unless a > 1; NaN for a negative one.

    Examples
    --------
    >>> round(float(discounted_residual_transactions(0.0027, 2, 30.43, 38.86, 0.2426, 4.4136, 0.7929, 2.4259)), 3)
    5.157
    """
    return beta_geometric.discounted_residual_transactions(discount_rate, future_state(*history, **params))


def survival(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T + t given the history; t = 0 gives ``probability_alive``."""
    return beta_geometric.survival(t, future_state(*history, **params))


def future_state(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, a: ArrayLike, b: ArrayLike
) -> beta_geometric.State:
    """Return what the simulation of the future needs to know of a customer at T.

    (probability alive; shape r + x and rate alpha + T of the Gamma of purchase rates, the latter in time
    units; shapes a and b + x of the Beta of dropout), the last four given that the customer is alive. Each
    keeps the shape of its own arguments.
    """
    return beta_geometric.future_state(FIRST, x, t_x, T, r, alpha, a, b)


def state_while_alive(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, ...]:
    """Return what ``future_state`` does, without the probability of being alive."""
    return future_state(*history, **params)[1:]


discounted = discounted_by_law(
    "after_purchase", probability_alive, state_while_alive, discounted_residual_transactions
)


FAMILY = Family(
    name="bg_nbd",
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
