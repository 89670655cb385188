"""Pareto/GGG: Pareto/NBD for customers who buy at more, or less, regular intervals.

Platzer & Reutterer (2016), Ticking Away the Moments: Timing Regularity Helps to Better Predict Customer Activity,
Marketing Science 35(5).

A customer, while alive, buys at intervals ~ Gamma(k, rate k lambda), whose mean is 1 / lambda whatever k: k = 1 is
Pareto/NBD's purchases at random, k > 1 more regular, k < 1 in clumps. He leaves for ever at rate mu. Over customers
k ~ Gamma(t, rate gamma), lambda ~ Gamma(r, rate alpha) and mu ~ Gamma(s, rate beta), independent.

==================  ===========================================================  ========
symbol              meaning                                                      unit
==================  ===========================================================  ========
regularity_shape    shape of the regularities k, the paper's t                   none
regularity_rate     rate of the Gamma of regularities, the paper's gamma         none
r                   shape of the purchase rates                                  none
alpha               rate of the Gamma of purchase rates                          time
s                   shape of the dropout rates                                   none
beta                rate of the Gamma of dropout rates                           time
x                   frequency: repeat purchase occasions                         count
t_x                 recency: age at the last purchase (0 when x = 0)             time
T                   age at the end of observation                                time
log_intervals       sum of the logarithms of the x intervals                     none
t                   a horizon after T                                            time
==================  ===========================================================  ========

The paper's t and gamma have names of their own because t is the horizon in every family. All durations share one
unit; log_intervals is of times in that unit. In a new customer's history all four are 0.

**Given (k, lambda, mu)** the likelihood is that of the x intervals, e^(-mu t_x), and the probability of the silence

    1 - (k lambda / (k lambda + mu))^k P(k, (k lambda + mu) (T - t_x)),

P the regularised lower incomplete gamma function. The paper draws the three for every customer by MCMC; here lambda and
mu are integrated out exactly, and k by quadrature (``gamma_waits``), so that the posterior is that of six population
quantities, whatever the number of customers. A customer's own k, lambda and mu are drawn given the history, exactly
(``gamma_waits_draws``); forecasts at the expected level are sums of one-dimensional integrals
(``gamma_waits_forecasts``).

**What it costs.** Nearly every repeat buyer is a history of its own, and one costs about 50 us, so that a gradient
of CDNOW's 2,357 customers takes about 50 ms where Pareto/NBD's takes 1 ms: laplace with 100 draws a chain is a matter
of a minute, NUTS of an hour. P(alive) and individual means cost the same per customer and draw, expected purchases
about 0.2 ms, and without horizon 6 ms; a simulated future about 5 us. Closed forms are therefore computed of 50
draws where no number is asked for, and the results say so. Ask for fewer draws of the posterior itself
(``fit(..., draws=...)``) of a large base.

Examples
--------
>>> shapes = {"regularity_shape": 60.0, "regularity_rate": 12.0, "r": 1.5, "alpha": 6.0, "s": 0.6, "beta": 12.0}
>>> overdue = {"frequency": 8, "recency": 8.0, "T": 12.0, "log_intervals": [-0.1, -6.0]}
>>> clockwork, clumped = alive(overdue, shapes)
>>> bool(clockwork < clumped)
True
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.paths import DRAWN
from bayes_clv.distributions.regular import gamma_waits, gamma_waits_draws, gamma_waits_forecasts
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Family, Forecast, Params, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import pareto_nbd
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("regularity_shape", "regularity_rate", *pareto_nbd.PARAMETERS)
OBSERVED = (*pareto_nbd.OBSERVED, "log_intervals")
_symbols = partial(symbols, OBSERVED, PARAMETERS)

MEANINGS = pareto_nbd.MEANINGS | {
    "regularity_shape": ("shape of the regularities across customers; small where they differ much", "none"),
    "regularity_rate": (
        "rate of the Gamma of regularities; their mean is regularity_shape / regularity_rate",
        "none",
    ),
    "population_regularity": (
        "mean regularity of the customers: 1 at random, above 1 more even, below 1 in clumps",
        "none",
    ),
}

WORDS = Words(
    title="Pareto/GGG",
    summary=(
        "Purchases follow Pareto/GGG (Platzer & Reutterer 2016): while a customer is alive it buys at its own rate "
        "and with its own regularity, from clumps over chance to clockwork, and it may leave for ever at any time, at"
        " its own rate."
    ),
    caution=(
        "The lifetimes of those who have not left yet are extrapolated: with a shape s of at most 1 the mean lifetime"
        " of a new customer is infinite, so over long horizons give a discount rate and read medians. Customers with "
        "fewer than two repeat purchases say little of their own regularity."
    ),
    meanings=MEANINGS,
    references=("platzer2016",),
)

# A mean regularity from 0.4 to 6 (clumps to nearly clockwork), and a shape of at least 0.5 in 49 of 50: below, the
# population would have customers who make thousands of purchases at one moment.
QUANTITIES = pareto_nbd.QUANTITIES | {
    "population_regularity": Quantity(Prior("LogNormal", mu=0.5, sigma=0.8)),
    "regularity_shape": Quantity(Prior("LogNormal", mu=1.0, sigma=0.8)),
}

# More purchases than anyone makes: a simulated history ends there (a customer of k = 1e-5 makes them at one moment).
LIMIT = 100_000


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return the paper's parameters from the population quantities, tensors or arrays."""
    shape = population["regularity_shape"]
    regularity = {"regularity_shape": shape, "regularity_rate": shape / population["population_regularity"]}
    return regularity | pareto_nbd.parameters(population)


def log_likelihood(params: Mapping[str, Any], x: Any, t_x: Any, T: Any, log_intervals: Any) -> Any:
    """Return the log-likelihood of each customer as a PyTensor vector.

    The log density of the purchase times, as in the other families, with k, lambda and mu integrated out. Error
    relative to the likelihood below 1e-6 (``gamma_waits``). Times in any unit; ``params`` maps PARAMETERS to tensors.
    """
    from bayes_clv.distributions.operators import log_gamma_waits

    return log_gamma_waits((x, t_x, T, log_intervals), tuple(double_tensors(params, *PARAMETERS)))


def _table(*arrays: Array) -> tuple[tuple[int, ...], Array]:
    """Return the shape of arrays broadcast together, and them as the columns of a table."""
    whole = np.broadcast_arrays(*arrays)
    return whole[0].shape, np.stack([np.ravel(each) for each in whole], axis=1)


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return histories of new customers observed to age T, interval by interval.

    A customer's purchases end at LIMIT.
    """
    shape, table = _table(*symbols(("T",), PARAMETERS, columns, params))
    count, _, recency, log_intervals = gamma_waits_draws.simulate(rng, table, False, LIMIT)
    drawn = (count.astype(np.float64), recency, table[:, 0], log_intervals)
    return {name: each.reshape(shape) for name, each in zip(OBSERVED, drawn, strict=True)}


def times(rng: np.random.Generator, columns: Columns, params: Params) -> tuple[NDArray[np.int64], Array]:
    """Return repeat purchases of new customers as flat arrays (customer index, age at the purchase), sorted.

    The histories are those that ``simulate`` gives for a generator in the same state.
    """
    _, table = _table(*symbols(("T",), PARAMETERS, columns, params))
    count, age, _, _ = gamma_waits_draws.simulate(rng, table, True, LIMIT)
    return np.repeat(np.arange(count.size), count), age


def latent_draws(
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout rate, regularity k) given the history.

    Drawn jointly and exactly (``gamma_waits_draws``); both rates are per time unit.
    """
    shape, table = _table(*_symbols(columns, params))
    found = gamma_waits_draws.draw_rows(rng, table).reshape(6, *shape)
    return found[0] > 0.5, found[2], found[3], found[1]


def futures(
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[Array, Array, Array, Array, Array]:
    """Return draws of one customer's future, one of each draw of the parameters (draw,), drawn jointly.

    (Wait from T to the next purchase, infinite for one who has left; shape and rate of the Gamma of each further
    wait; when it leaves, after T, negative for one who has left; its dropout rate), as ``paths.drawn`` takes them.
    """
    _, table = _table(*_symbols(columns, params))
    _, k, rate, leaving, wait, left = gamma_waits_draws.draw_rows(rng, table)
    return wait, k, k * rate, left, leaving


def _moments(columns: Columns, params: Params) -> tuple[Array, ...]:
    """Return the log-likelihood, P(alive), and the means of k, lambda and mu given the history."""
    shape, table = _table(*_symbols(columns, params))
    rows = (np.ascontiguousarray(each) for each in table.T)
    return tuple(each.reshape(shape) for each in gamma_waits.moments_of_rows(*rows))


def latent_means(columns: Columns, params: Params) -> tuple[Array, Array, Array]:
    """Return the means of (purchase rate, dropout rate, regularity) given the history: those of ``latent_draws``."""
    found = _moments(columns, params)
    return found[3], found[4], found[2]


def alive(columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T given the history.

    Given (k, lambda, mu) it is e^(-mu d) Q(k, k lambda d) over the probability of the silence d = T - t_x, Q the
    regularised upper incomplete gamma function; here averaged over the three given the history.
    """
    return _moments(columns, params)[1]


def _forecast(counts: Any, time: Any, rate: float, columns: Columns, params: Params) -> Array:
    """Return ``gamma_waits_forecasts`` of the history; counts and times lead."""
    past = _symbols(columns, params)
    shape, table = _table(lead(counts, *past), lead(time, *past), *float_arrays(rate), *past)
    # Rows of one horizon and history in sequence share their tables.
    order = np.lexsort((table[:, 5], table[:, 4], table[:, 3], table[:, 2], table[:, 1]))
    found = np.empty(table.shape[0])
    found[order], _ = gamma_waits_forecasts.of_rows(table[order], 0)
    return found.reshape(shape)


def purchases(time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history (``gamma_waits_forecasts``)."""
    return _forecast(0.0, time, 0.0, columns, params)


def survival(time: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T + t given the history.

    P(alive at T) times ((beta + T) / (beta + T + t))^s: of those alive, timing says nothing of the lifetime to come.
    """
    T, s, beta = symbols(("T",), ("s", "beta"), columns, params)
    chance = alive(columns, params)
    return chance * np.exp(-s * np.log1p(lead(time, chance) / (beta + T)))


def pmf(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history, several counts for little more than one.

    The difference of two ``at_least``, so that a probability is right to about 1e-4, not to its digits.
    """
    if np.ndim(counts) == 0:
        more = at_least(counts + 1.0, time, columns, params)
        return np.maximum(at_least(counts, time, columns, params) - more, 0.0)
    wanted = np.asarray(counts, dtype=np.int64)
    shape, table = _table(*float_arrays(0.0, time, 0.0), *_symbols(columns, params))
    most = int(wanted.max()) + 1
    reached = np.ones((table.shape[0], most + 1))
    reached[:, 1:] = gamma_waits_forecasts.of_rows(table, most)[1]
    exactly = np.maximum(reached[:, :-1] - reached[:, 1:], 0.0)
    return np.stack([exactly[:, n].reshape(shape) for n in wanted])


def at_least(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    n = np.asarray(counts, dtype=np.float64)
    reached = _forecast(np.maximum(n, 1.0), time, 0.0, columns, params)
    return np.where(lead(n, *_symbols(columns, params)) > 0, reached, 1.0)


def discounted(time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon infinite at delta = 0 unless s > 1, and NaN for delta < 0.
    """
    return _forecast(0.0, time, rate, columns, params)


FAMILY = Family(
    name="pareto_ggg",
    kind="purchases",
    words=WORDS,
    parameters=PARAMETERS,
    quantities=QUANTITIES,
    observed=OBSERVED,
    design=("T",),
    scale=pareto_nbd.data_scale,
    from_quantities=parameters,
    likelihood=(Term(OBSERVED, log_likelihood),),
    simulate=simulate,
    checked="frequency",
    forecast=Forecast(
        history=OBSERVED,
        latent=("purchase_rate", "dropout_rate", "regularity"),
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
        times=times,
        # Each costs some 0.3 ms a customer, and the mean of 50 draws has a standard error of a seventh of the posterior
        # standard deviation.
        closed_form_draws=50,
    ),
)
