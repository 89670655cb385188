"""Pareto/NBD with lognormal rates (Abe 2009): how fast a customer buys may go with how soon it leaves.

Abe (2009), "Counting Your Customers" One by One: A Hierarchical Bayes Extension to the Pareto/NBD Model, Marketing
Science 28(3).

A customer, while alive, buys at rate lambda; he leaves for ever at rate mu, whatever he buys. Over customers the two
logarithms are bivariate normal, with a correlation, and covariates move their means.

=========================  =============================================================  ===========
symbol                     meaning                                                        unit
=========================  =============================================================  ===========
population_purchase_rate   exp(m1): median purchase rate of new customers                 1 / time
log_rate_sd                s1: standard deviation of log lambda                           none
population_dropout_rate    exp(m2): median rate of leaving of new customers               1 / time
log_dropout_sd             s2: standard deviation of log mu                               none
concordance                c: P(of two customers the faster buyer leaves at the higher    probability
                           rate)
x, t_x, T                  frequency, recency (0 when x = 0), age at the end              count, time
t                          a horizon after T                                              time
rho                        correlation of log lambda and log mu, -cos(pi c)               none
=========================  =============================================================  ===========

Abe's beta_0 are log population_purchase_rate and log population_dropout_rate, his Gamma_0 is made of s1^2,
rho s1 s2 and s2^2. All durations share one unit, and any unit will do. Every function broadcasts its arguments, so
draws of shape (draw, 1) meet customers of shape (customer,). A new customer is x = t_x = T = 0.

**What is sampled, and how.** Abe draws each customer's lambda and mu along with the population (two unknowns a
customer, and draws that depend on one another). Here they are integrated out (``lognormal_rates``), so that
the posterior has five unknowns however many customers there are, equal histories are computed once, and the mode and
laplace serve. A customer's own rates are drawn afterwards, exactly (``lognormal_draws``).

**The correlation** is stated as the concordance: of two customers drawn at random, the probability that the one who
buys faster also leaves at the higher rate. It is 1/2 for independence, and for normal variables 1/2 + arcsin(rho) / pi
(Sheppard 1899). A Beta(2, 2) on it is nearly a uniform distribution of rho, whose density in c is (pi / 2) sin(pi c).

Default priors: both medians LogNormal about the data's scale (the crude purchase rate; one over the mean age) with 1.5
on the log scale; the s of leaving LogNormal(0, 0.6), which says 0.37 to 2.7 in 90 %, that of buying LogNormal(0, 0.4),
0.52 to 1.9. The mean rate is the median times exp(s^2 / 2): with 0.6 there too, 3 % of the prior is a mean of more than
one purchase a day (studies/priors.py).

Unlike the Gamma families it has a finite mean of everything without discount: all moments of a lognormal exist.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.lognormal.draws import draws_of_rows
from bayes_clv.distributions.lognormal.forecasts import (
    count_probabilities,
    log_alive,
    log_buying,
    log_left_after,
    log_reached,
)
from bayes_clv.distributions.lognormal.rates import log_mean_likelihood
from bayes_clv.distributions.paths import DRAWN
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families import positional
from bayes_clv.families.contract import Family, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = (
    "population_purchase_rate",
    "log_rate_sd",
    "population_dropout_rate",
    "log_dropout_sd",
    "concordance",
)
OBSERVED = ("frequency", "recency", "T")


MEANINGS = {
    "population_purchase_rate": ("median purchase rate of new customers", "1/time"),
    "log_rate_sd": ("standard deviation of the logarithm of the purchase rates", "none"),
    "population_dropout_rate": ("median rate at which new customers leave", "1/time"),
    "log_dropout_sd": ("standard deviation of the logarithm of the dropout rates", "none"),
    "concordance": (
        "probability that of two customers the faster buyer leaves at the higher rate; 1/2 if independent",
        "probability",
    ),
}

WORDS = Words(
    title="Pareto/NBD (Abe)",
    summary=(
        "Purchases follow Pareto/NBD (Abe), the lognormal form of Abe (2009): while a customer is alive it buys at "
        "random at its own rate, and it may leave for ever at any time, at its own rate; both rates are lognormal "
        "over customers, and may be correlated."
    ),
    caution=(
        "The lifetimes of those who have not left yet are extrapolated along a lognormal tail, and the correlation of"
        " buying and leaving is learned mostly from customers with several purchases: with few of them read its "
        "interval, and give long horizons a discount rate."
    ),
    meanings=MEANINGS,
    references=("abe2009",),
)

QUANTITIES = {
    "population_purchase_rate": Quantity(
        Prior("LogNormal", mu=0, sigma=1.5), relative=True, process="purchase"
    ),
    "log_rate_sd": Quantity(Prior("LogNormal", mu=0, sigma=0.4)),
    "population_dropout_rate": Quantity(
        Prior("LogNormal", mu=0, sigma=1.5), relative=True, process="dropout"
    ),
    "log_dropout_sd": Quantity(Prior("LogNormal", mu=0, sigma=0.6)),
    "concordance": Quantity(Prior("Beta", alpha=2, beta=2), upper=1.0),
}


# No double counts further; a rate this high is met at absurd parameters alone.
MOST_PURCHASES = 1e15
# The least time that parts before from after, where rounding would leave none.
SOONEST = 1e-300


def data_scale(columns: Mapping[str, Array], count: Array) -> dict[str, float]:
    """Return the crude purchase rate, repeat purchases over customer time, and one over the customers' mean age."""
    observed = float(count @ columns["T"])
    return {
        "population_purchase_rate": float(count @ columns["frequency"]) / observed,
        "population_dropout_rate": float(count.sum()) / observed,
    }


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters, which are the population quantities themselves."""
    return {name: population[name] for name in PARAMETERS}


def log_likelihood(params: Mapping[str, Any], x: Any, t_x: Any, T: Any) -> Any:
    """Return the log-likelihood of each customer as a PyTensor vector: Abe (2009), eq. 1, its mean over both rates.

    It is the log density of the ordered purchase times; t_x^(x-1) / (x-1)! more, a factor of the data
    only, makes it the density of (x, t_x). Times in any unit; ``params`` maps PARAMETERS to tensors.
    """
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import log_mean_likelihood as mean_likelihood

    rate, s1, leaving, s2, c = double_tensors(params, *PARAMETERS)
    return mean_likelihood(x, t_x, T, pt.log(rate), s1, pt.log(leaving), s2, c)


likelihood_terms = (Term(OBSERVED, log_likelihood),)


# Compiled code takes both sides of a branch, and the side not taken may set a flag.
_QUIET = np.errstate(all="ignore")


def _logs(*params: ArrayLike, **named: ArrayLike) -> tuple[Array, ...]:
    """Return m1, s1, m2, s2 and the concordance from parameters given in order or by name."""
    rate, s1, leaving, s2, c = float_arrays(*params, *(named[name] for name in PARAMETERS[len(params) :]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(rate), s1, np.log(leaving), s2, c


def _split(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """Return x, t_x, T and what ``_logs`` does; the history may be given by name too."""
    named = dict(params)
    past = [*history[:3], *(named.pop(name) for name in ("x", "t_x", "T")[len(history) :])]
    x, t_x, T = float_arrays(*past)
    return x, t_x, T, _logs(*history[3:], **named)


def _rates(rng: np.random.Generator, shape: tuple[int, ...], logs: tuple[Array, ...]) -> tuple[Array, Array]:
    """Return purchase and dropout rates of new customers."""
    m1, s1, m2, s2, c = logs
    z, w = rng.standard_normal(shape), rng.standard_normal(shape)
    with np.errstate(over="ignore", under="ignore"):
        rate: Array = np.exp(m1 + s1 * z)
        leaving: Array = np.exp(m2 + s2 * (np.sin(np.pi * c) * w - np.cos(np.pi * c) * z))
    return rate, leaving


def simulate(
    rng: np.random.Generator, T: ArrayLike, *params: ArrayLike, **named: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated histories (frequency, recency) of customers observed to age T.

    Exact and without a loop over purchases: each customer's two rates, its lifetime, a Poisson number x of purchases
    until it or T, and t_x the latest of x uniform times. The shape is that of the arguments broadcast together.

    Examples
    --------
    >>> import numpy as np
    >>> frequency, recency = simulate(np.random.default_rng(1), np.full(3, 39.0), 0.03, 1.2, 0.03, 1.6, 0.5)
    >>> frequency.shape
    (3,)
    """
    T, *logs = np.broadcast_arrays(np.asarray(T, dtype=float), *_logs(*params, **named))
    rate, leaving = _rates(rng, T.shape, tuple(logs))
    with np.errstate(over="ignore", divide="ignore"):
        active = np.minimum(rng.standard_exponential(T.shape) / leaving, T)
        frequency = rng.poisson(np.minimum(rate * active, MOST_PURCHASES))
    latest = rng.random(T.shape) ** (1 / np.maximum(frequency, 1))
    return frequency.astype(np.int64), np.where(frequency > 0, active * latest, 0.0)


def simulate_purchase_times(
    rng: np.random.Generator, T: ArrayLike, *params: ArrayLike, **named: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated repeat purchases as flat arrays (customer index, age at the purchase).

    Sorted by customer, then age; a customer without repeat purchases does not appear. The histories are
    those that ``simulate`` gives for a generator in the same state: given x and t_x the earlier x - 1
    purchases are uniform on (0, t_x). The arguments broadcast to one dimension, the customers.
    """
    frequency, recency = simulate(rng, np.atleast_1d(T), *params, **named)
    customer = np.repeat(np.arange(frequency.size), frequency)
    age = recency[customer] * rng.random(customer.size)
    last = np.cumsum(frequency)[frequency > 0] - 1
    age[last] = recency[frequency > 0]
    return customer, age[np.lexsort((age, customer))]


def latent_draws(
    rng: np.random.Generator, *history: ArrayLike, **params: ArrayLike
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout rate) given the history.

    ``alive`` is a bool, both rates are per time unit; the three are drawn jointly and exactly from the individual
    posterior, by rejection (``lognormal_draws``).
    """
    x, t_x, T, logs = _split(*history, **params)
    rows = np.broadcast_arrays(x, t_x, T, *logs)
    shape = rows[0].shape
    alive, rate, leaving, _ = draws_of_rows(rng, *(np.array(row, dtype=float).ravel() for row in rows))
    return alive.reshape(shape), rate.reshape(shape), leaving.reshape(shape)


def future_draws(
    rng: np.random.Generator, *history: ArrayLike, **params: ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    """Return draws of (first_wait, wait_shape, wait_rate, left, leaving), as ``paths.drawn`` takes them.

    Waits are exponential (a shape of 1) at the customer's own rate, and so is the lifetime left, at its own rate of
    leaving. Of one who has left the time since its last purchase is the sooner of both, and fell within the silence.
    All in time units but the shape.
    """
    alive, rate, leaving = latent_draws(rng, *history, **params)
    _, t_x, T, _ = _split(*history, **params)
    with np.errstate(all="ignore"):
        first_wait = rng.standard_exponential(rate.shape) / rate
        to_come = rng.standard_exponential(rate.shape) / leaving
        both, silence = rate + leaving, T - t_x
        stayed = -np.log1p(rng.random(rate.shape) * np.expm1(-both * silence)) / both
        left = np.where(alive, to_come, np.minimum(stayed - silence, -SOONEST))
    return first_wait, np.ones(rate.shape), rate, left, leaving


@_QUIET
def latent_means(*history: ArrayLike, **params: ArrayLike) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout rate) given the history: those of ``latent_draws``, per time unit.

    One purchase more multiplies the likelihood given the rates by lambda, and a lognormal density times mu is one with
    other means: both posterior means are ratios of mean likelihoods.
    """
    x, t_x, T, logs = _split(*history, **params)
    m1, s1, m2, s2, c = logs
    whole = log_mean_likelihood(x, t_x, T, *logs)
    rate: Array = np.exp(log_mean_likelihood(x + 1, t_x, T, *logs) - whole)
    covariance = -np.cos(np.pi * c) * s1 * s2
    moved = log_mean_likelihood(x, t_x, T, m1 + covariance, s1, m2 + s2 * s2, s2, c)
    leaving: Array = np.exp(moved - whole + m2 + 0.5 * s2 * s2)
    return rate, leaving


@_QUIET
def probability_alive(*history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T given the history: the share of the likelihood with mu T survived.

    Examples
    --------
    >>> round(float(probability_alive(26, 30.86, 31, 0.029, 1.16, 0.0276, 1.62, 0.53)), 3)
    0.997
    """
    x, t_x, T, logs = _split(*history, **params)
    alive = np.exp(log_alive(x, T, T, *logs) - log_mean_likelihood(x, t_x, T, *logs))
    # The two quadratures differ in the eleventh digit; without silence nobody can have left.
    result: Array = np.where(t_x < T, np.minimum(alive, 1.0), np.where(np.isnan(alive), np.nan, 1.0))
    return result


@_QUIET
def discounted_purchases(
    t: ArrayLike, discount_rate: ArrayLike, *history: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the expected purchases in (T, T + t], each worth e^(-delta u) if it comes at T + u, given the history.

    P(alive) times the mean over the living of lambda (1 - e^(-(delta + mu) t)) / (delta + mu), with delta the
    continuous ``discount_rate`` per time unit; t may be infinite. NaN for delta < 0.

    Examples
    --------
    >>> round(float(discounted_purchases(39.0, 0.0, 2, 30.43, 38.86, 0.029, 1.16, 0.0276, 1.62, 0.53)), 2)
    1.23
    """
    x, _, T, logs = _split(*history, **params)
    t, delta = float_arrays(t, discount_rate)
    ratio = np.exp(log_buying(x + 1, t, T, delta, *logs) - log_alive(x, T, T, *logs))
    expected: Array = probability_alive(*history, **params) * ratio
    return expected


def expected_purchases(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history; finite also for t = infinity."""
    return discounted_purchases(t, 0.0, *history, **params)


def discounted_residual_transactions(
    discount_rate: ArrayLike, *history: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the discounted expected residual transactions (DERT): all purchases after T, worth their time.

    P(alive) E[lambda / (delta + mu)] over the living, the idea of Fader, Hardie & Lee (2005), "RFM and CLV",
    J. Marketing Research 42(4). Finite without discount; NaN for a negative one.
    """
    return discounted_purchases(np.inf, discount_rate, *history, **params)


@_QUIET
def purchases_pmf(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history.

    Of the living, those who buy n times and outlive the horizon and those who do so and leave before; at n = 0 those
    who have left are added.
    """
    x, _, T, logs = _split(*history, **params)
    n, t = float_arrays(n, t)
    alive = probability_alive(*history, **params)
    living = log_alive(x, T, T, *logs)
    count = np.maximum(n, 0.0)
    staying = log_alive(x + count, T + t, T + t, *logs) + xlogy(count, t) - gammaln(count + 1)
    leaving = log_left_after(count, t, x, T, *logs)
    exactly = np.exp(staying - living) + np.exp(leaving - living)
    pmf: Array = alive * exactly + np.where(n > 0, 0.0, 1 - alive)
    return np.where(n < 0, 0.0, pmf)


def purchases_pmfs(counts: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> list[Array]:
    """Return ``purchases_pmf`` of several whole numbers, for little more than the price of one.

    From one sum over both rates (``count_probabilities``): the absolute error is about 1e-14, where ``purchases_pmf``
    keeps the digits of a probability however small.

    Examples
    --------
    >>> some = purchases_pmfs([0, 1, 2], 39.0, 2, 30.43, 38.86, 0.029, 1.16, 0.0276, 1.62, 0.53)
    >>> [round(float(each), 3) for each in some]
    [0.45, 0.23, 0.145]
    """
    x, _, T, logs = _split(*history, **params)
    wanted = np.asarray(counts, dtype=np.int64)
    (t,) = float_arrays(t)
    args = np.broadcast_arrays(t, x, T, *logs)
    rows = np.stack([np.ravel(each) for each in args], axis=1)
    living = count_probabilities(rows, int(wanted.max(initial=0)) + 1)
    alive = np.broadcast_to(probability_alive(*history, **params), args[0].shape)
    found = []
    for n in wanted:
        if n < 0:
            found.append(np.zeros(args[0].shape))
            continue
        bought = alive * living[:, n].reshape(args[0].shape)
        found.append(bought + (1 - alive) if n == 0 else bought)
    return found


@_QUIET
def purchases_at_least(n: ArrayLike, t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    x, _, T, logs = _split(*history, **params)
    n, t = float_arrays(n, t)
    reached = np.exp(log_reached(np.maximum(n, 1.0), t, x, T, *logs) - log_alive(x, T, T, *logs))
    return np.where(n > 0, probability_alive(*history, **params) * np.minimum(reached, 1.0), 1.0)


@_QUIET
def survival(t: ArrayLike, *history: ArrayLike, **params: ArrayLike) -> Array:
    """Return the probability of being alive at T + t given the history; t = 0 gives ``probability_alive``."""
    x, _, T, logs = _split(*history, **params)
    (t,) = float_arrays(t)
    longer = np.exp(log_alive(x, T, T + t, *logs) - log_alive(x, T, T, *logs))
    staying: Array = probability_alive(*history, **params) * longer
    return staying


FAMILY = Family(
    name="pareto_abe",
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
        paths=DRAWN,
        alive=probability_alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=expected_purchases,
        survival=survival,
        pmf=purchases_pmf,
        at_least=purchases_at_least,
        discounted=discounted_purchases,
        futures=future_draws,
        times=simulate_purchase_times,
        pmfs=purchases_pmfs,
    ),
)
