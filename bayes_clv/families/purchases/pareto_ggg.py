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
unit; log_intervals is of times in that unit. Every function broadcasts its arguments, so draws of shape (draw, 1) meet
customers of shape (customer,); ``**params`` takes PARAMETERS by name. In a new customer's history all four are 0.

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
about 0.2 ms, and without horizon 6 ms; a simulated future about 5 us. Closed forms are therefore computed of
EXPECTED_DRAWS draws where no number is asked for, and the results say so. Ask for fewer draws of the posterior itself
(``fit(..., draws=...)``) of a large base.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.paths import DRAWN
from bayes_clv.distributions.regular import gamma_waits, gamma_waits_draws, gamma_waits_forecasts
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families import positional
from bayes_clv.families.contract import Family, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import pareto_nbd
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("regularity_shape", "regularity_rate", "r", "alpha", "s", "beta")
HISTORY = ("frequency", "recency", "T", "log_intervals")
OBSERVED = HISTORY


# Of every variable in the posterior: what it means, and its unit ("time" is the data's time unit).
MEANINGS = {
    "regularity_shape": ("shape of the regularities across customers; small where they differ much", "none"),
    "regularity_rate": (
        "rate of the Gamma of regularities; their mean is regularity_shape / regularity_rate",
        "none",
    ),
    "population_regularity": (
        "mean regularity of the customers: 1 at random, above 1 more even, below 1 in clumps",
        "none",
    ),
    **pareto_nbd.MEANINGS,
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
QUANTITIES = {
    **pareto_nbd.QUANTITIES,
    "population_regularity": Quantity(Prior("LogNormal", mu=0.5, sigma=0.8)),
    "regularity_shape": Quantity(Prior("LogNormal", mu=1.0, sigma=0.8)),
}

data_scale = pareto_nbd.data_scale

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


likelihood_terms = (Term(OBSERVED, log_likelihood),)


def simulate(
    rng: np.random.Generator, T: ArrayLike, *shared: ArrayLike, **params: ArrayLike
) -> tuple[NDArray[np.int64], Array, Array]:
    """Return simulated histories (frequency, recency, log_intervals) of customers observed to age T.

    Interval by interval: their logarithms are part of the history. Parameters in the order of PARAMETERS or by name.
    A customer's purchases end at LIMIT.

    Examples
    --------
    >>> import numpy as np
    >>> frequency, recency, log_intervals = simulate(
    ...     np.random.default_rng(1), np.full(3, 39.0), 2.0, 1.0, 0.55, 10.6, 0.61, 11.7
    ... )
    >>> log_intervals.shape
    (3,)
    """
    T, *each = np.broadcast_arrays(*float_arrays(T, *_ordered(shared, params)))
    count, _, recency, log_intervals = gamma_waits_draws.simulate(rng, _columns(T, *each), False, LIMIT)
    return count.reshape(T.shape), recency.reshape(T.shape), log_intervals.reshape(T.shape)


def simulate_purchase_times(
    rng: np.random.Generator, T: ArrayLike, *shared: ArrayLike, **params: ArrayLike
) -> tuple[NDArray[np.int64], Array]:
    """Return simulated repeat purchases as flat arrays (customer index, age at the purchase).

    Sorted by customer, then age; a customer without repeat purchases does not appear. The histories are
    those that ``simulate`` gives for a generator in the same state. The arguments broadcast to one dimension.
    """
    T, *each = np.broadcast_arrays(*float_arrays(np.atleast_1d(T), *_ordered(shared, params)))
    count, age, _, _ = gamma_waits_draws.simulate(rng, _columns(T, *each), True, LIMIT)
    return np.repeat(np.arange(count.size), count), age


def latent_draws(
    rng: np.random.Generator,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    log_intervals: ArrayLike,
    **params: ArrayLike,
) -> tuple[NDArray[np.bool_], Array, Array, Array]:
    """Return one draw each of (alive at T, purchase rate, dropout rate, regularity) given the history.

    ``alive`` is a bool, both rates are per time unit, the regularity is k; drawn jointly and exactly
    (``gamma_waits_draws``).
    """
    args = np.broadcast_arrays(*float_arrays(x, t_x, T, log_intervals, *_ordered((), params)))
    found = gamma_waits_draws.draw_rows(rng, _columns(*args)).reshape(6, *args[0].shape)
    return found[0] > 0.5, found[2], found[3], found[1]


def future_draws(
    rng: np.random.Generator, x: float, t_x: float, T: float, log_intervals: float, **params: ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    """Return draws of one customer's future, one of each draw of the parameters (draw,).

    (Wait from T to the next purchase, infinite for one who has left; shape and rate of the Gamma of each further
    wait; when it leaves, after T, negative for one who has left; its dropout rate), drawn jointly given the history
    (``paths.drawn``).
    """
    args = np.broadcast_arrays(*np.atleast_1d(*float_arrays(x, t_x, T, log_intervals, *_ordered((), params))))
    _, k, rate, leaving, wait, left = gamma_waits_draws.draw_rows(rng, _columns(*args))
    return wait, k, k * rate, left, leaving


def latent_means(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, log_intervals: ArrayLike, **params: ArrayLike
) -> tuple[Array, Array, Array]:
    """Return the posterior means of a customer's own purchase rate, dropout rate and regularity.

    Given the population parameters; both rates are per time unit.
    """
    found = _moments(x, t_x, T, log_intervals, params)
    return found[3], found[4], found[2]


def probability_alive(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, log_intervals: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the probability of being alive at T given the history.

    Given (k, lambda, mu) it is e^(-mu d) Q(k, k lambda d) over the probability of the silence d = T - t_x, Q the
    regularised upper incomplete gamma function; here averaged over the three given the history.

    Examples
    --------
    >>> at = dict(regularity_shape=60.0, regularity_rate=12.0, r=1.5, alpha=6.0, s=0.6, beta=12.0)
    >>> clockwork, clumped = -0.1, -6.0
    >>> overdue = [float(probability_alive(8, 8.0, 12.0, each, **at)) for each in (clockwork, clumped)]
    >>> overdue[0] < overdue[1]
    True
    """
    alive: Array = _moments(x, t_x, T, log_intervals, params)[1]
    return alive


def expected_purchases(
    t: ArrayLike, /, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, log_intervals: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history (``gamma_waits_forecasts``)."""
    return _forecast(0.0, t, 0.0, (x, t_x, T, log_intervals), params)


def discounted_purchases(
    t: ArrayLike,
    discount_rate: ArrayLike,
    /,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    log_intervals: ArrayLike,
    **params: ArrayLike,
) -> Array:
    """Return the expected purchases in (T, T + t], each worth e^(-discount_rate) to the time that it is away."""
    return _forecast(0.0, t, discount_rate, (x, t_x, T, log_intervals), params)


def discounted_residual_transactions(
    discount_rate: ArrayLike,
    /,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    log_intervals: ArrayLike,
    **params: ArrayLike,
) -> Array:
    """Return the discounted expected residual transactions (DERT): all purchases after T, worth their time.

    At the continuous ``discount_rate`` per time unit. Infinite at 0 unless s > 1; NaN below 0.
    """
    return _forecast(0.0, np.inf, discount_rate, (x, t_x, T, log_intervals), params)


def purchases_at_least(
    n: ArrayLike,
    t: ArrayLike,
    /,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    log_intervals: ArrayLike,
    **params: ArrayLike,
) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    reached = _forecast(np.maximum(n, 1.0), t, 0.0, (x, t_x, T, log_intervals), params)
    return np.where(np.asarray(n) > 0, reached, 1.0)


def purchases_pmf(
    n: ArrayLike,
    t: ArrayLike,
    /,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    log_intervals: ArrayLike,
    **params: ArrayLike,
) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history.

    The difference of two ``purchases_at_least``, so that a probability is right to about 1e-4, not to its digits.
    """
    history = (x, t_x, T, log_intervals)
    more = purchases_at_least(np.asarray(n) + 1.0, t, *history, **params)
    return np.maximum(purchases_at_least(n, t, *history, **params) - more, 0.0)


def purchases_pmfs(
    counts: ArrayLike,
    t: ArrayLike,
    /,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    log_intervals: ArrayLike,
    **params: ArrayLike,
) -> list[Array]:
    """Return ``purchases_pmf`` of several whole numbers, for little more than the price of one."""
    wanted = np.asarray(counts, dtype=np.int64)
    args = np.broadcast_arrays(*float_arrays(0.0, t, 0.0, x, t_x, T, log_intervals, *_ordered((), params)))
    columns = _columns(*args)
    reached = np.ones((columns.shape[0], int(wanted.max()) + 2))
    reached[:, 1:] = gamma_waits_forecasts.of_rows(columns, int(wanted.max()) + 1)[1]
    pmf = np.maximum(reached[:, :-1] - reached[:, 1:], 0.0)
    return [pmf[:, n].reshape(args[0].shape) for n in wanted]


def survival(
    t: ArrayLike, /, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, log_intervals: ArrayLike, **params: ArrayLike
) -> Array:
    """Return the probability of being alive at T + t given the history.

    P(alive at T) times ((beta + T) / (beta + T + t))^s: of those alive, timing says nothing of the lifetime to come.
    """
    return survivals([t], x, t_x, T, log_intervals, **params)[0]


def survivals(
    times: Iterable[ArrayLike],
    /,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    log_intervals: ArrayLike,
    **params: ArrayLike,
) -> list[Array]:
    """Return ``survival`` at several times, for the price of one."""
    T, s, beta = float_arrays(T, params["s"], params["beta"])
    alive = probability_alive(x, t_x, T, log_intervals, **params)
    return [alive * np.exp(-s * np.log1p(np.asarray(t, dtype=float) / (beta + T))) for t in times]


def _ordered(shared: tuple[ArrayLike, ...], params: Mapping[str, ArrayLike]) -> tuple[ArrayLike, ...]:
    """Return the parameters in the order of PARAMETERS, given in it or by name."""
    return shared if shared else tuple(params[name] for name in PARAMETERS)


def _columns(*args: Array) -> Array:
    """Return arrays of one shape as the columns of a table."""
    return np.stack([np.ravel(each) for each in args], axis=1)


def _moments(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, log_intervals: ArrayLike, params: Mapping[str, ArrayLike]
) -> tuple[Array, ...]:
    args = np.broadcast_arrays(*float_arrays(x, t_x, T, log_intervals, *_ordered((), params)))
    rows = (np.ascontiguousarray(np.ravel(each)) for each in args)
    return tuple(each.reshape(args[0].shape) for each in gamma_waits.moments_of_rows(*rows))


def _forecast(
    n: ArrayLike,
    t: ArrayLike,
    delta: ArrayLike,
    history: tuple[ArrayLike, ...],
    params: Mapping[str, ArrayLike],
) -> Array:
    args = np.broadcast_arrays(*float_arrays(n, t, delta, *history, *_ordered((), params)))
    columns = _columns(*args)
    # Rows of one horizon and history in sequence share their tables.
    order = np.lexsort((columns[:, 5], columns[:, 4], columns[:, 3], columns[:, 2], columns[:, 1]))
    found = np.empty(columns.shape[0])
    found[order], _ = gamma_waits_forecasts.of_rows(columns[order], 0)
    return found.reshape(args[0].shape)


FAMILY = Family(
    name="pareto_ggg",
    kind="purchases",
    words=WORDS,
    parameters=PARAMETERS,
    quantities=QUANTITIES,
    observed=OBSERVED,
    design=("T",),
    scale=data_scale,
    from_quantities=parameters,
    likelihood=likelihood_terms,
    simulate=positional.simulated(simulate, ("T",), ("frequency", "recency", "log_intervals"), PARAMETERS),
    checked="frequency",
    forecast=positional.forecast(
        history=OBSERVED,
        parameters=PARAMETERS,
        latent=("purchase_rate", "dropout_rate", "regularity"),
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
        # Each costs some 0.3 ms a customer, and the mean of 50 draws has a standard error of a seventh of the posterior
        # standard deviation.
        closed_form_draws=50,
    ),
)
