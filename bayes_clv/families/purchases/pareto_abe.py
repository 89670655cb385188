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
rho s1 s2 and s2^2. All durations share one unit, and any unit will do. A new customer is x = t_x = T = 0.

**What is sampled, and how.** Abe draws each customer's lambda and mu along with the population (two unknowns a
customer, and draws that depend on one another). Here they are integrated out (``lognormal.rates``), so that
the posterior has five unknowns however many customers there are, equal histories are computed once, and the mode and
laplace serve. A customer's own rates are drawn afterwards, exactly (``lognormal.draws``).

**The correlation** is stated as the concordance: of two customers drawn at random, the probability that the one who
buys faster also leaves at the higher rate. It is 1/2 for independence, and for normal variables 1/2 + arcsin(rho) / pi
(Sheppard 1899). A Beta(2, 2) on it is nearly a uniform distribution of rho, whose density in c is (pi / 2) sin(pi c).

Default priors: both medians LogNormal about the data's scale (the crude purchase rate; one over the mean age) with 1.5
on the log scale; the s of leaving LogNormal(0, 0.6), which says 0.37 to 2.7 in 90 %, that of buying LogNormal(0, 0.4),
0.52 to 1.9. The mean rate is the median times exp(s^2 / 2): with 0.6 there too, 3 % of the prior is a mean of more than
one purchase a day (studies/priors.py).

Unlike the Gamma families it has a finite mean of everything without discount: all moments of a lognormal exist.

Examples
--------
>>> population = dict(zip(PARAMETERS, (0.029, 1.16, 0.0276, 1.62, 0.53), strict=True))
>>> round(float(alive({"frequency": 26, "recency": 30.86, "T": 31}, population)), 3)
0.997
>>> seen = {"frequency": 2, "recency": 30.43, "T": 38.86}
>>> round(float(purchases(39.0, seen, population)), 2), pmf([0, 1, 2], 39.0, seen, population).round(3).tolist()
(1.23, [0.45, 0.23, 0.145])
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from bayes_clv.distributions.arrays import Array
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
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Family, Forecast, Params, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = (
    "population_purchase_rate",
    "log_rate_sd",
    "population_dropout_rate",
    "log_dropout_sd",
    "concordance",
)
OBSERVED = gamma_rates.OBSERVED

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


# Compiled code takes both sides of a branch, and the side not taken may set a flag.
_QUIET = np.errstate(all="ignore")


def _symbols(columns: Columns, params: Params, history: tuple[str, ...] = OBSERVED) -> tuple[Array, ...]:
    """Return x, t_x, T, m1, s1, m2, s2 and the concordance."""
    *past, rate, s1, leaving, s2, c = symbols(history, PARAMETERS, columns, params)
    with np.errstate(divide="ignore", invalid="ignore"):
        return *past, np.log(rate), s1, np.log(leaving), s2, c


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return histories of new customers observed to age T, exactly and without a loop over purchases.

    Each customer's two rates, its lifetime, a Poisson number x of purchases until it or T, and t_x the latest of x
    uniform times.
    """
    T, m1, s1, m2, s2, c = np.broadcast_arrays(*_symbols(columns, params, ("T",)))
    z, w = rng.standard_normal(T.shape), rng.standard_normal(T.shape)
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        rate = np.exp(m1 + s1 * z)
        leaving = np.exp(m2 + s2 * (np.sin(np.pi * c) * w - np.cos(np.pi * c) * z))
        active = np.minimum(rng.standard_exponential(T.shape) / leaving, T)
        frequency = rng.poisson(np.minimum(rate * active, MOST_PURCHASES))
    recency = gamma_poisson.simulate_latest(rng, active, frequency)
    return {"frequency": frequency.astype(np.float64), "recency": recency, "T": T}


def latent_draws(
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout rate) given the history, per time unit.

    Drawn jointly and exactly from the individual posterior, by rejection (``lognormal.draws``).
    """
    rows = np.broadcast_arrays(*_symbols(columns, params))
    shape = rows[0].shape
    living, rate, leaving, _ = draws_of_rows(rng, *(np.array(row).ravel() for row in rows))
    return living.reshape(shape), rate.reshape(shape), leaving.reshape(shape)


def futures(
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[Array, Array, Array, Array, Array]:
    """Return draws of (first_wait, wait_shape, wait_rate, left, leaving), as ``paths.drawn`` takes them.

    Waits are exponential (a shape of 1) at the customer's own rate, and so is the lifetime left, at its own rate of
    leaving. Of one who has left the time since its last purchase is the sooner of both, and fell within the silence.
    All in time units but the shape.
    """
    living, rate, leaving = latent_draws(rng, columns, params)
    _, t_x, T, *_ = _symbols(columns, params)
    with np.errstate(all="ignore"):
        first_wait = rng.standard_exponential(rate.shape) / rate
        to_come = rng.standard_exponential(rate.shape) / leaving
        both, silence = rate + leaving, T - t_x
        stayed = -np.log1p(rng.random(rate.shape) * np.expm1(-both * silence)) / both
        left = np.where(living, to_come, np.minimum(stayed - silence, -SOONEST))
    return first_wait, np.ones(rate.shape), rate, left, leaving


@_QUIET
def latent_means(columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate, dropout rate) given the history: those of ``latent_draws``, per time unit.

    One purchase more multiplies the likelihood given the rates by lambda, and a lognormal density times mu is one with
    other means: both posterior means are ratios of mean likelihoods.
    """
    x, t_x, T, m1, s1, m2, s2, c = _symbols(columns, params)
    whole = log_mean_likelihood(x, t_x, T, m1, s1, m2, s2, c)
    rate: Array = np.exp(log_mean_likelihood(x + 1, t_x, T, m1, s1, m2, s2, c) - whole)
    covariance = -np.cos(np.pi * c) * s1 * s2
    moved = log_mean_likelihood(x, t_x, T, m1 + covariance, s1, m2 + s2 * s2, s2, c)
    leaving: Array = np.exp(moved - whole + m2 + 0.5 * s2 * s2)
    return rate, leaving


@_QUIET
def alive(columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history: the share of the likelihood with mu T survived."""
    x, t_x, T, *logs = _symbols(columns, params)
    chance = np.exp(log_alive(x, T, T, *logs) - log_mean_likelihood(x, t_x, T, *logs))
    # The two quadratures differ in the eleventh digit; without silence nobody can have left.
    result: Array = np.where(t_x < T, np.minimum(chance, 1.0), np.where(np.isnan(chance), np.nan, 1.0))
    return result


def purchases(time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history; finite also for t = infinity."""
    return discounted(time, 0.0, columns, params)


@_QUIET
def survival(time: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T + t given the history; t = 0 gives P(alive)."""
    x, _, T, *logs = _symbols(columns, params)
    chance = alive(columns, params)
    longer = np.exp(log_alive(x, T, T + lead(time, chance), *logs) - log_alive(x, T, T, *logs))
    staying: Array = chance * longer
    return staying


@_QUIET
def pmf(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history.

    Of the living, those who buy n times and outlive the horizon and those who do so and leave before; at n = 0 those
    who have left are added. Of an array of counts from one sum over both rates (``count_probabilities``), for little
    more than the price of one: the absolute error is about 1e-14, where that of a single count keeps the digits of a
    probability however small.
    """
    x, _, T, *logs = _symbols(columns, params)
    chance = alive(columns, params)
    if np.ndim(counts) > 0:
        return _pmfs(np.asarray(counts, dtype=np.int64), time, chance, x, T, logs)
    living = log_alive(x, T, T, *logs)
    n = np.maximum(counts, 0.0)
    staying = log_alive(x + n, T + time, T + time, *logs) + xlogy(n, time) - gammaln(n + 1)
    leaving = log_left_after(n, time, x, T, *logs)
    exactly = np.exp(staying - living) + np.exp(leaving - living)
    found: Array = chance * exactly + np.where(counts > 0, 0.0, 1 - chance)
    return np.where(counts < 0, 0.0, found)


def _pmfs(
    counts: NDArray[np.int64], time: float, chance: Array, x: Array, T: Array, logs: list[Array]
) -> Array:
    """Return ``pmf`` of several whole numbers of one who is alive with this chance."""
    args = np.broadcast_arrays(np.float64(time), x, T, *logs)
    rows = np.stack([np.ravel(each) for each in args], axis=1)
    living = count_probabilities(rows, int(counts.max(initial=0)) + 1)
    found = np.zeros((counts.size, *chance.shape))
    for place in np.flatnonzero(counts >= 0):
        found[place] = chance * living[:, counts[place]].reshape(chance.shape)
    found[counts == 0] += 1 - chance
    return found


@_QUIET
def at_least(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    x, _, T, *logs = _symbols(columns, params)
    chance = alive(columns, params)
    n = lead(counts, chance)
    reached = np.exp(log_reached(np.maximum(n, 1.0), time, x, T, *logs) - log_alive(x, T, T, *logs))
    return np.where(n > 0, chance * np.minimum(reached, 1.0), 1.0)


@_QUIET
def discounted(time: Any, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    P(alive) times the mean over the living of lambda (1 - e^(-(delta + mu) t)) / (delta + mu); finite without horizon
    and discount too. NaN for delta < 0.
    """
    x, _, T, *logs = _symbols(columns, params)
    chance = alive(columns, params)
    horizon = lead(time, chance)
    ratio = np.exp(log_buying(x + 1, horizon, T, np.float64(rate), *logs) - log_alive(x, T, T, *logs))
    expected: Array = chance * ratio
    return expected


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
    likelihood=(Term(OBSERVED, log_likelihood),),
    simulate=simulate,
    checked="frequency",
    forecast=Forecast(
        history=OBSERVED,
        latent=("purchase_rate", "dropout_rate"),
        paths=DRAWN,
        alive=alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=purchases,
        survival=survival,
        pmf=pmf,
        at_least=at_least,
        discounted=discounted,
        futures=futures,
        times=partial(gamma_rates.times, simulate),
    ),
)
