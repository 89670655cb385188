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

With k = r + x and B = b + x: alive at T, lambda ~ Gamma(k, alpha + T) and p ~ Beta(a, B); dropped out,
lambda ~ Gamma(k, alpha + t_x) and p ~ Beta(a + 1, B - 1). The forecasts are averages over the first pair
(``beta_dropout``), in a form that has no singularity at a = 1, where the paper's eq. 10 has one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.beta_dropout import purchases_while_alive, survival_while_alive
from bayes_clv.distributions.quantities import Prior, Quantity
from bayes_clv.distributions.residual import residual_while_alive
from bayes_clv.distributions.terms import Term, double_tensors

PARAMETERS = ("r", "alpha", "a", "b")
OBSERVED = ("frequency", "recency", "T")

NAME = "BG/NBD"
SUMMARY = (
    "Purchases follow BG/NBD (Fader, Hardie & Lee 2005): while alive a customer buys at random at its own rate, "
    "and after each repeat purchase may leave for ever with its own probability."
)
CAUTION = (
    "A customer can leave only after a repeat purchase, so a customer without one is alive with probability 1, "
    "however long the silence. Do not read that as loyalty: rank such customers by their expected purchases, "
    "which do fall with silence."
)

# Of every variable in the posterior: what it means, and its unit ("time" is the data's time unit).
MEANINGS = {
    "r": ("shape of the purchase rates across customers; small where customers differ much", "none"),
    "alpha": ("rate of the Gamma of purchase rates; their mean is r / alpha", "time"),
    "a": ("first shape of the dropout probabilities across customers", "none"),
    "b": ("second shape of the dropout probabilities; their mean is a / (a + b)", "none"),
    "population_purchase_rate": ("mean purchase rate of a new customer, r / alpha", "1/time"),
    "population_dropout": ("mean probability of leaving after a repeat purchase, a / (a + b)", "probability"),
    "dropout_concentration": ("a + b; small where customers differ much in dropout", "none"),
}

QUANTITIES = {
    "population_purchase_rate": Quantity(Prior("LogNormal", mu=0, sigma=1.5), relative=True),
    "r": Quantity(Prior("LogNormal", mu=0, sigma=1.5)),
    "population_dropout": Quantity(Prior("Beta", alpha=1, beta=1), upper=1.0),
    "dropout_concentration": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return the crude purchase rate, repeat purchases over customer time, per time unit."""
    return float(count @ columns["frequency"] / (count @ columns["T"]))


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return r, alpha, a, b from the population quantities, tensors or arrays."""
    rate, r = population["population_purchase_rate"], population["r"]
    dropout, concentration = population["population_dropout"], population["dropout_concentration"]
    return {"r": r, "alpha": r / rate, "a": dropout * concentration, "b": (1 - dropout) * concentration}


# The observed variable that predictive checks replicate.
CHECKED = "frequency"


def replicate(rng: np.random.Generator, columns: Mapping[str, Array], *params: ArrayLike) -> Array:
    """Return replicated frequencies of new customers observed as long as these, for predictive checks."""
    return simulate(rng, columns["T"], *params)[0].astype(float)


def _dropout_log_odds(xp: Any, x: Any, t_x: Any, T: Any, r: Any, alpha: Any, a: Any, b: Any) -> Any:
    """Return the log odds of having dropped out by T, for x > 0; ``xp`` is numpy or pytensor.tensor.

    Finite, and of no meaning, where x = 0. Its absolute error is the odds' relative one, so that a plain
    logarithm will do for (alpha + T) / (alpha + t_x) near 1; log1p takes twice the time.
    """
    since_purchase = xp.log((alpha + T) / (alpha + t_x))
    return xp.log(a / (b + (xp.maximum(x, 1) - 1))) + (r + x) * since_purchase


def frequency_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone, as a PyTensor vector."""
    import pytensor.tensor as pt

    r, a, b = double_tensors(params, "r", "a", "b")

    def log_rising(z: Any) -> Any:
        return pt.gammaln(z + x) - pt.gammaln(z)

    return log_rising(r) + log_rising(b) - log_rising(a + b)


def exposure_term(params: Mapping[str, Any], x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, T): x purchases in T units, still alive."""
    import pytensor.tensor as pt

    r, alpha = double_tensors(params, "r", "alpha")
    return -r * pt.log1p(T / alpha) - x * pt.log(alpha + T)


def silence_term(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x, T), as a PyTensor vector.

    The two ways to have been silent since t_x, alive or dropped out, enter as a softplus of the log odds:
    no overflow for x in the thousands and no NaN gradient at x = 0.
    """
    import pytensor.tensor as pt

    r, alpha, a, b = double_tensors(params, *PARAMETERS)
    log_odds = _dropout_log_odds(pt, x, t_x, T, r, alpha, a, b)
    return pt.switch(pt.gt(x, 0), pt.softplus(log_odds), 0.0)


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

    Exact and without a loop over purchases: N ~ Poisson(lambda T) purchases would happen, G ~ Geometric(p)
    are granted, x = min(N, G), and t_x is the x-th of N uniform times on (0, T), T * Beta(x, N - x + 1).
    The shape is that of the arguments broadcast together.

    Examples
    --------
    >>> import numpy as np
    >>> frequency, recency = simulate(np.random.default_rng(1), np.full(3, 39.0), 0.24, 4.4, 0.79, 2.4)
    >>> frequency.shape
    (3,)
    """
    T, r, alpha, a, b = np.broadcast_arrays(*float_arrays(T, r, alpha, a, b))
    without_dropout = rng.poisson(rng.gamma(r, 1 / alpha) * T)
    dropout = rng.beta(a, b)
    # The geometric by inversion, because dropout may round to 0 (no end) or to 1 (the first purchase).
    with np.errstate(divide="ignore", over="ignore"):
        granted = np.ceil(rng.standard_exponential(T.shape) / -np.log1p(-dropout))
    frequency = np.minimum(without_dropout, np.maximum(granted, 1.0)).astype(np.int64)
    position = rng.beta(np.maximum(frequency, 1), without_dropout - frequency + 1)
    return frequency, np.where(frequency > 0, T * position, 0.0)


def simulate_purchase_times(
    rng: np.random.Generator, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, a: ArrayLike, b: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated repeat purchases as flat arrays (customer index, age at the purchase).

    Sorted by customer, then age; a customer without repeat purchases does not appear. The histories are
    those that ``simulate`` gives for a generator in the same state: given x and t_x the earlier x - 1
    purchases are uniform on (0, t_x). The arguments broadcast to one dimension, the customers.
    """
    frequency, recency = simulate(rng, np.atleast_1d(T), r, alpha, a, b)
    customer = np.repeat(np.arange(frequency.size), frequency)
    age = recency[customer] * rng.random(customer.size)
    last = np.cumsum(frequency)[frequency > 0] - 1
    age[last] = recency[frequency > 0]
    return customer, age[np.lexsort((age, customer))]


def latent_draws(
    rng: np.random.Generator,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout) given the history.

    ``alive`` is a bool, the purchase rate is per time unit and the dropout a probability after each repeat
    purchase; the three are drawn jointly from the individual posterior, a mixture of two Gamma-Beta pairs.
    """
    x, t_x, T, r, alpha, a, b = np.broadcast_arrays(*float_arrays(x, t_x, T, r, alpha, a, b))
    alive = rng.random(x.shape) < probability_alive(x, t_x, T, r, alpha, a, b)
    purchase_rate = rng.gamma(r + x, 1 / (alpha + np.where(alive, T, t_x)))
    dropout = rng.beta(np.where(alive, a, a + 1), np.where(alive, b + x, b + (x - 1)))
    return alive, purchase_rate, dropout


def latent_means(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, a: ArrayLike, b: ArrayLike
) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout) given the history: those of ``latent_draws``.

    The purchase rate is per time unit, the dropout a probability after each repeat purchase.
    """
    x, t_x, T, r, alpha, a, b = float_arrays(x, t_x, T, r, alpha, a, b)
    alive = probability_alive(x, t_x, T, r, alpha, a, b)
    purchase_rate = (r + x) * (alive / (alpha + T) + (1 - alive) / (alpha + t_x))
    return purchase_rate, (a + 1 - alive) / (a + b + x)


def probability_alive(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, a: ArrayLike, b: ArrayLike
) -> Array:
    """Return the probability of being alive at T given the history; 1 where x = 0.

    Fader, Hardie & Lee (2008), Computing P(alive) Using the BG/NBD Model. Through the log odds, which
    stay finite where ((alpha + T) / (alpha + t_x))^(r + x) overflows.

    Examples
    --------
    >>> round(float(probability_alive(2, 30.43, 38.86, 0.2426, 4.4136, 0.7929, 2.4259)), 4)
    0.7266
    """
    x, t_x, T, r, alpha, a, b = float_arrays(x, t_x, T, r, alpha, a, b)
    return np.where(x > 0, special.expit(-_dropout_log_odds(np, x, t_x, T, r, alpha, a, b)), 1.0)


def expected_purchases(
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history, eq. 10 of the paper.

    Of a new customer (x = t_x = T = 0) it is eq. 9. Guards a = 1 (ordinary here), t = 0 (gives 0),
    t = infinity (infinite unless a > 1), tiny and very long horizons and x in the thousands; see
    ``beta_dropout``.

    Examples
    --------
    >>> round(float(expected_purchases(39, 2, 30.43, 38.86, 0.2426, 4.4136, 0.7929, 2.4259)), 3)
    1.226
    """
    t, x, t_x, T, r, alpha, a, b = float_arrays(t, x, t_x, T, r, alpha, a, b)
    mean: Array = purchases_while_alive(r + x, t / (alpha + T), a, b + x)
    return probability_alive(x, t_x, T, r, alpha, a, b) * mean


def purchases_pmf(
    n: ArrayLike,
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history.

    For n >= 1 the n purchases happen because n is what chance gave, or because the n-th ended it:
    P(alive) * S_{n-1} * (P(N = n) + P(N > n) a / (a + B + n - 1)), S_n = (B)_n / (a + B)_n, N ~ NegBin.
    All terms are positive, so that nothing cancels. At n = 0 the dropped out are added. Of a new customer
    it is eq. 8 of the paper.
    """
    n, t, x, t_x, T, r, alpha, a, b = float_arrays(n, t, x, t_x, T, r, alpha, a, b)
    k, big_b, tau = r + x, b + x, t / (alpha + T)
    alive = probability_alive(x, t_x, T, r, alpha, a, b)
    at_least_one = np.maximum(n, 1.0)
    earlier = at_least_one - 1
    granted = np.exp(special.betaln(a, big_b + earlier) - special.betaln(a, big_b))
    more = special.betainc(at_least_one + 1, k, tau / (1 + tau))  # P(N > n)
    ended = more * a / (a + big_b + earlier)
    some = granted * (_negative_binomial_pmf(at_least_one, k, tau) + ended)
    none = np.exp(-k * np.log1p(tau))
    pmf: Array = np.where(n > 0, alive * some, alive * none + (1 - alive))
    return pmf


def purchases_at_least(
    n: ArrayLike,
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0.

    P(alive) P(N >= n) (B)_{n-1} / (a + B)_{n-1} with N ~ NegBin: the n-th would happen, and the customer
    survived n - 1. One product, so that a small probability keeps its digits.
    """
    n, t, x, t_x, T, r, alpha, a, b = float_arrays(n, t, x, t_x, T, r, alpha, a, b)
    k, big_b, tau = r + x, b + x, t / (alpha + T)
    at_least_one = np.maximum(n, 1.0)
    granted = np.exp(special.betaln(a, big_b + at_least_one - 1) - special.betaln(a, big_b))
    reached = special.betainc(at_least_one, k, tau / (1 + tau))  # P(N >= n)
    alive = probability_alive(x, t_x, T, r, alpha, a, b)
    return np.where(n > 0, alive * granted * reached, 1.0)


def _negative_binomial_pmf(n: Array, k: Array, tau: Array) -> Array:
    """Return P(N = n), n >= 1: Gamma(k + n) / (Gamma(k) n!) z^n (1 - z)^k with z = tau / (1 + tau)."""
    with np.errstate(divide="ignore"):
        log_z = -np.log1p(1 / tau)
    pmf: Array = np.exp(-special.betaln(k, n) - np.log(n) + n * log_z - k * np.log1p(tau))
    return pmf


def discounted_residual_transactions(
    discount_rate: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> Array:
    """Return the discounted expected residual transactions (DERT): all purchases after T, worth their time.

    P(alive) times E[lambda / (delta + lambda p)] over lambda ~ Gamma(r + x, alpha + T) and
    p ~ Beta(a, b + x), delta the continuous ``discount_rate`` per time unit: purchases happen at rate lambda and
    end at rate lambda p. The idea is that of Fader, Hardie & Lee (2005), "RFM and CLV: Using Iso-Value Curves
    for Customer Base Analysis", J. Marketing Research 42(4), for Pareto/NBD. At delta = 0 it is
    P(alive) (a + B - 1) / (a - 1), infinite unless a > 1; NaN for delta < 0. See ``residual``.

    Examples
    --------
    >>> round(float(discounted_residual_transactions(0.0027, 2, 30.43, 38.86, 0.2426, 4.4136, 0.7929, 2.4259)), 3)
    5.157
    """
    delta, x, t_x, T, r, alpha, a, b = float_arrays(discount_rate, x, t_x, T, r, alpha, a, b)
    while_alive: Array = residual_while_alive(r + x, delta * (alpha + T), a, b + x)
    return probability_alive(x, t_x, T, r, alpha, a, b) * while_alive


def survival(
    t: ArrayLike,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> Array:
    """Return the probability of being alive at T + t given the history.

    P(alive at T) times E[(1 + p t / (alpha + T))^-(r + x)] over p ~ Beta(a, b + x). Guards as in
    ``expected_purchases``; t = 0 gives ``probability_alive``.
    """
    t, x, t_x, T, r, alpha, a, b = float_arrays(t, x, t_x, T, r, alpha, a, b)
    share: Array = survival_while_alive(r + x, t / (alpha + T), a, b + x)
    return probability_alive(x, t_x, T, r, alpha, a, b) * share


def future_state(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, r: ArrayLike, alpha: ArrayLike, a: ArrayLike, b: ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    """Return what the simulation of the future needs to know of a customer at T.

    (probability alive; shape r + x and rate alpha + T of the Gamma of purchase rates, the latter in time
    units; shapes a and b + x of the Beta of dropout), the last four given that the customer is alive. Each
    keeps the shape of its own arguments.
    """
    x, t_x, T, r, alpha, a, b = float_arrays(x, t_x, T, r, alpha, a, b)
    return probability_alive(x, t_x, T, r, alpha, a, b), r + x, alpha + T, a, b + x
