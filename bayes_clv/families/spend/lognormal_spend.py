"""Lognormal spend: each occasion varies about the customer's own level, on the log scale.

The usual alternative where the Gamma-Gamma model's tail is too light or too heavy: a normal hierarchical model of the
logarithm of spend (Gelman et al., Bayesian Data Analysis, 3rd ed., section 5.4). The logarithm of an occasion's spend
is Normal(theta, sigma²), and a customer's own theta is Normal(ln m, tau²).

=====================  ========================================================  ==================
symbol                 meaning                                                   unit
=====================  ========================================================  ==================
m                      median over customers of their own median spend           money
tau                    sd of customers' levels theta, on the log scale           none
sigma                  sd of one customer's occasions, on the log scale          none
theta                  a customer's own level: median spend exp(theta)           log money
x                      frequency: repeat purchase occasions                      count
ybar                   log_spend_mean: mean of their log spend                   log money
s                      log_spend_sd: sd of their log spend, divided by x         none
m e^((tau²+sigma²)/2)  mean spend over the population; it always exists          money
=====================  ========================================================  ==================

**Which data.** A mean spend does not do: the mean of lognormal amounts has no density in closed form, and the sum of
squares of the logarithms is what tells sigma from tau. The sufficient statistics of a customer are x, ybar and s, which
``summarize(..., also=('log_spend',))`` computes in the database beside the rest; the likelihood is then exactly that of
every single occasion. A customer with a repeat occasion of zero spend has no such mean and is left out of the fit.
Rejected: matching the lognormal to the mean spend's first two moments, an approximation whose error grows with sigma.

It is the density of every occasion's spend, in money to the power -x, and Gamma-Gamma's is that of the mean spend:
elpd of the two must not be compared. A holdout can be (``clv.evaluate``).

Default priors: the mean spend is LogNormal about the customers' geometric mean with 1 on the log scale, tau and sigma
LogNormal about 0.5 with 1. ``clv.views.plot_prior`` draws what they imply.

With theta integrated out the x logarithms are jointly normal with variance sigma² + tau² and covariance tau²; -x ybar
turns their density into that of the amounts. Where x = 0 nothing is known of a customer and ``ybar`` is ignored.

Examples
--------
>>> seen, shapes = {"occasions": 2, "mean_spend": 3.0}, {"m": 30.0, "tau": 0.6, "sigma": 0.5}
>>> round(float(expected(seen, shapes)), 2)
26.44
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import symbols
from bayes_clv.families.contract import LEVEL, Columns, Family, Params, SpendLevel, Words, new_customer
from bayes_clv.families.likelihood import Term
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("m", "tau", "sigma")
OBSERVED = ("frequency", "log_spend_mean", "log_spend_sd")
_symbols = partial(symbols, LEVEL, PARAMETERS)


MEANINGS = {
    "m": ("median over customers of their own median spend", "money"),
    "tau": ("how much customers' levels differ: standard deviation on the log scale", "none"),
    "sigma": ("how much one customer's occasions differ: standard deviation on the log scale", "none"),
    "population_spend": (
        "mean spend per occasion across customers, m exp((tau² + sigma²) / 2)",
        "money",
    ),
}

WORDS = Words(
    title="Lognormal spend",
    summary=(
        "Lognormal spend per purchase: each customer's spends vary about its own level, and levels vary over "
        "customers, both on the log scale. A customer's level does not depend on how often it buys."
    ),
    caution="",
    meanings=MEANINGS,
    references=("gelman2013",),
)

# A tau of 0.5, the prior median, puts half of the customers within a factor of exp(0.67 · 0.5) = 1.4 of the median one.
QUANTITIES = {
    "population_spend": Quantity(Prior("LogNormal", mu=0, sigma=1), relative=True, process="spend"),
    "tau": Quantity(Prior("LogNormal", mu=-0.7, sigma=1)),
    "sigma": Quantity(Prior("LogNormal", mu=-0.7, sigma=1)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return the exponential of the mean over customers of their mean log spend, money."""
    return float(np.exp(count @ columns["log_spend_mean"] / count.sum()))


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return m, tau, sigma from the population quantities, tensors or arrays."""
    tau, sigma = population["tau"], population["sigma"]
    # A power of e rather than an exp(), which tensors and arrays do not share.
    return {
        "m": population["population_spend"] * np.e ** (-(tau**2 + sigma**2) / 2),
        "tau": tau,
        "sigma": sigma,
    }


def frequency_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone, as a PyTensor vector."""
    import pytensor.tensor as pt

    tau, sigma = double_tensors(params, "tau", "sigma")
    return -x * (0.5 * np.log(2 * np.pi) + pt.log(sigma)) - pt.log1p(x * (tau / sigma) * (tau / sigma)) / 2


def spend_term(params: Mapping[str, Any], x: Any, ybar: Any, s: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, ybar, s), as a PyTensor vector."""
    import pytensor.tensor as pt

    m, tau, sigma = double_tensors(params, *PARAMETERS)
    distance = ybar - pt.log(m)
    within, between = (s / sigma) ** 2, distance**2 / (sigma**2 + x * tau**2)
    return -x * (ybar + (within + between) / 2)


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return mean and standard deviation of the log spends of new customers' occasions; NaN of one without."""
    x, m, tau, sigma = np.broadcast_arrays(*symbols(("frequency",), PARAMETERS, columns, params))
    some = np.maximum(x, 1.0)
    level = np.log(m) + tau * rng.standard_normal(x.shape)
    mean = level + sigma / np.sqrt(some) * rng.standard_normal(x.shape)
    # The sum of squares about the mean is sigma² times a chi-squared variable of x - 1 degrees of freedom.
    squares = 2 * rng.standard_gamma((some - 1) / 2)
    drawn = (x, np.where(x > 0, mean, np.nan), np.where(x > 0, sigma * np.sqrt(squares / some), np.nan))
    return dict(zip(OBSERVED, drawn, strict=True))


def simulate_spend(
    rng: np.random.Generator, occasions: ArrayLike, level: ArrayLike, sigma: ArrayLike
) -> Array:
    """Return a total spend (money) of so many occasions of a customer whose own median spend is ``level``.

    A sum of lognormal amounts has no law of its own: every occasion is drawn.
    """
    n, level, sigma = np.broadcast_arrays(*float_arrays(occasions, level, sigma))
    shape, counts = n.shape, n.ravel().astype(np.int64)
    owner = np.repeat(np.arange(counts.size), counts)
    amounts = level.ravel()[owner] * np.exp(sigma.ravel()[owner] * rng.standard_normal(owner.size))
    total: Array = np.bincount(owner, weights=amounts, minlength=counts.size).reshape(shape)
    return total


def state(columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return mean and sd of the Normal of theta (log money) given the history."""
    x, ybar, m, tau, sigma = _symbols(columns, params)
    # The weight of what was seen: x tau² / (x tau² + sigma²).
    weight = x * tau**2 / (x * tau**2 + sigma**2)
    mean = np.log(m) + weight * np.where(x > 0, np.where(x > 0, ybar, 0.0) - np.log(m), 0.0)
    return mean, tau * sigma / np.sqrt(x * tau**2 + sigma**2)


def level_draws(rng: np.random.Generator, columns: Columns, params: Params) -> Array:
    """Return one draw of the customer's own median spend exp(theta) (money) given the history."""
    mean, sd = np.broadcast_arrays(*state(columns, params))
    return np.exp(mean + sd * rng.standard_normal(mean.shape))


def expected(columns: Columns, params: Params) -> Array:
    """Return the expected spend per occasion (money) given the history: exp(mean + (sd² + sigma²) / 2)."""
    mean, sd = state(columns, params)
    return np.asarray(np.exp(mean + (sd**2 + np.asarray(params["sigma"], dtype=np.float64) ** 2) / 2))


def lacks_moment(moment: int, columns: Columns, params: Params) -> NDArray[np.bool_]:
    """Return whether this moment of spend does not exist given x occasions: all of them do."""
    read = symbols(("occasions",), PARAMETERS, columns, params)
    return np.zeros(np.broadcast_shapes(*(each.shape for each in read)), dtype=bool)


FAMILY = Family(
    name="lognormal_spend",
    kind="spend",
    words=WORDS,
    parameters=PARAMETERS,
    quantities=QUANTITIES,
    observed=OBSERVED,
    design=("frequency",),
    scale=data_scale,
    from_quantities=parameters,
    likelihood=(Term(("frequency",), frequency_term), Term(OBSERVED, spend_term)),
    simulate=simulate,
    checked="log_spend_mean",
    forecast=SpendLevel(
        density="every occasion's spend",
        level="log_spend_mean",
        occasion="sigma",
        pays="lognormal",
        state=state,
        expected=expected,
        population_mean=partial(expected, new_customer(LEVEL)),
        lacks_moment=lacks_moment,
        level_draws=level_draws,
        spend=simulate_spend,
    ),
)
