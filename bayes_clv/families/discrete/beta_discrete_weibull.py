"""Beta-discrete-Weibull (BdW): contracts whose churn may rise or fall with tenure.

Fader, Hardie, Liu, Davin & Steenburgh (2018), "How to Project Customer Retention" Revisited: The Role of Duration
Dependence, Journal of Interactive Marketing 43.

A customer is still there after t renewals with probability (1 - theta)^(t^c): of the first renewal theta is the
probability of not making it, and later that rises with tenure for c > 1 and falls for c < 1. theta ~ Beta(alpha, beta)
over customers, c is the same for all. c = 1 is the shifted-beta-geometric.

=================  ============================================================  ===========
symbol             meaning                                                       unit
=================  ============================================================  ===========
alpha, beta        shapes of the first-renewal churn probabilities               none
c                  duration dependence: above 1 a customer's own churn rises     none
renewals           renewals made so far                                          count
active             1 while under contract; 0 if the next renewal was not made    0 or 1
t                  renewal opportunities to come                                 count
alpha/(alpha+b.)   mean probability of not making the first renewal              probability
=================  ============================================================  ===========

S(t) = B(alpha, beta + t^c) / B(alpha, beta). Every function broadcasts its arguments; a new customer is renewals = 0,
active = 1. A few renewals of one cohort say little about c beside beta: the three then lie on a ridge.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.special import double_tensors
from bayes_clv.distributions.survival import log_survival_ratio, loss_ratio, power, survival_ratio
from bayes_clv.families import positional
from bayes_clv.families.contract import Coordinate, Family, Renewals, Words
from bayes_clv.families.discrete import beta_retention as contracts
from bayes_clv.families.likelihood import Term
from bayes_clv.families.positional import by_name, lead
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("alpha", "beta", "c")
OBSERVED = ("renewals", "active")


MEANINGS = {
    "alpha": ("first shape of the churn probabilities of the first renewal", "none"),
    "beta": ("second shape of the churn probabilities; their mean is alpha / (alpha + beta)", "none"),
    "c": ("duration dependence: a customer's own churn rises with tenure above 1, falls below", "none"),
    "population_churn": (
        "mean probability of not renewing at the first renewal, alpha / (alpha + beta)",
        "probability",
    ),
    "churn_concentration": ("alpha + beta; small where customers differ much in churn", "none"),
}

WORDS = Words(
    title="Beta-discrete-Weibull",
    summary=(
        "Contracts follow the beta-discrete-Weibull (Fader, Hardie, Liu, Davin & Steenburgh 2018): each customer has "
        "its own probability of leaving at the first renewal, and for all it rises or falls with tenure alike."
    ),
    caution=(
        "How much customers differ and how much each changes with tenure look alike in a short series: read the "
        "posterior of c with its interval, and prefer shifted_beta_geometric where c = 1 lies well inside it."
    ),
    meanings=MEANINGS,
    references=("fader2018",),
)

QUANTITIES = {
    "population_churn": Quantity(Prior("Beta", alpha=1, beta=1), upper=1.0, process="dropout"),
    "churn_concentration": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
    # From 0.37 to 2.7 with 95 %, and no dependence in the middle.
    "c": Quantity(Prior("LogNormal", mu=0, sigma=0.5)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return 1: no quantity of this family has a unit."""
    return 1.0


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return alpha, beta and c from the population quantities, tensors or arrays."""
    churn, concentration = population["population_churn"], population["churn_concentration"]
    return {"alpha": churn * concentration, "beta": (1 - churn) * concentration, "c": population["c"]}


def straightened(
    coordinate: Any, population: Mapping[str, Any], columns: Mapping[str, Array]
) -> tuple[Any, Any]:
    """Return c, and the log of its derivative, at a coordinate in which the posterior has no ridge (tensors).

    With n the longest series of renewals, S(n) / S(1) is about ((beta + 1) / (beta + n^c))^alpha. The data know it,
    and churn = 1 - S(1), but c and the concentration beside them lie on a narrow curve. The coordinate is

        log(beta log((beta + n^c) / (beta + 1))),

    about the log of -log(S(n) / S(1)) over the odds of churn. Any n gives the same posterior.

    Sampled by NUTS, 4 × 1,000 draws with seeds 1 to 10: of the regular cohort's 7 renewals, c itself had 18 divergences
    and at worst 269 effective draws, the coordinate none and 2,602; of the high end's, 1 and 1,459, none and 2,754.
    Rejected: smaller steps (acceptance 0.9: no divergence, 904 effective draws); the step at the end of the series,
    n^c over the concentration, as the coordinate (16 to 145 divergences in each fit).
    """
    import pytensor.tensor as pt

    longest = np.log(max(float(np.max(columns["renewals"])), 2.0))
    beta = (1 - population["population_churn"]) * population["churn_concentration"]
    # n^c = 1 + (1 + beta) (exp(rise) - 1), on the log scale.
    log_rise = coordinate - pt.log(beta)
    rise = pt.exp(log_rise)
    log_power = pt.softplus(pt.log1p(beta) + rise + pt.log(-pt.expm1(-rise)))
    return log_power / longest, pt.log1p(beta) + rise + log_rise - log_power - np.log(longest)


def renewal_term(params: Mapping[str, Any], renewals: Any) -> Any:
    """Return the part of the log-likelihood that depends on the renewals alone: log S(renewals)."""
    alpha, beta, c = double_tensors(params, *PARAMETERS)
    return log_survival_ratio(alpha, beta, power(renewals, c))


def churn_term(params: Mapping[str, Any], renewals: Any, active: Any) -> Any:
    """Return the rest: of those lost, the log of 1 - S(renewals + 1) / S(renewals).

    Through the step of t^c, which is small beside t^c where c is small or the tenure long.
    """
    import pytensor.tensor as pt

    alpha, beta, c = double_tensors(params, *PARAMETERS)
    start = power(renewals, c)
    growth = c * pt.log1p(1 / pt.maximum(renewals, 1.0))
    small = pt.lt(growth, 1.0)
    close = start * pt.expm1(pt.switch(small, growth, 0.0))
    step = pt.switch(pt.gt(renewals, 0), pt.switch(small, close, power(renewals + 1.0, c) - start), 1.0)
    step = pt.switch(pt.gt(active, 0), 1.0, step)
    lost = -pt.expm1(log_survival_ratio(alpha, beta + start, step))
    return pt.switch(pt.gt(active, 0), 0.0, pt.log(pt.maximum(lost, _TINY)))


# Below it a logarithm's gradient overflows; no history with a likelihood worth having comes near.
_TINY = 1e-290

likelihood_terms = (Term(("renewals",), renewal_term), Term(OBSERVED, churn_term))


def log_likelihood(params: Mapping[str, Any], renewals: Any, active: Any) -> Any:
    """Return the log-likelihood of each customer, as a PyTensor vector.

    Of one lost after ``renewals`` it is log P(T = renewals + 1), of one still active log S(renewals).
    """
    return renewal_term(params, renewals) + churn_term(params, renewals, active)


def simulate(
    rng: np.random.Generator, periods: ArrayLike, alpha: ArrayLike, beta: ArrayLike, c: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return simulated contracts (renewals, active) of customers with this many renewal opportunities.

    Examples
    --------
    >>> import numpy as np
    >>> renewals, active = simulate(np.random.default_rng(1), np.full(3, 7), 0.214, 1.427, 1.724)
    >>> bool(((renewals == 7) == (active == 1)).all())
    True
    """
    return contracts.simulate(rng, periods, alpha, beta, c)


def latent_draws(
    rng: np.random.Generator,
    renewals: ArrayLike,
    active: ArrayLike,
    alpha: ArrayLike,
    beta: ArrayLike,
    c: ArrayLike,
) -> Array:
    """Return one draw of each customer's own theta given its history.

    Of one still active Beta(alpha, beta + renewals^c). Of one lost the density has a factor 1 - (1 - theta)^q more,
    q = (renewals + 1)^c - renewals^c: drawn by rejection from Beta(alpha, .) or, since that factor is at most
    max(q, 1) theta, from Beta(alpha + 1, .), whichever is accepted more often.
    """
    renewals, active, alpha, beta, c = np.broadcast_arrays(*float_arrays(renewals, active, alpha, beta, c))
    stayed = renewals**c
    theta: Array = rng.beta(alpha, beta + stayed)
    q = (renewals + 1) ** c - stayed
    bound = np.maximum(q, 1.0)
    tilted = bound * alpha / (alpha + beta + stayed) < 1
    waiting = np.flatnonzero(active.ravel() == 0)
    flat = theta.ravel()
    while waiting.size:
        at = np.unravel_index(waiting, theta.shape)
        proposal = rng.beta(alpha[at] + tilted[at], (beta + stayed)[at])
        factor = -np.expm1(q[at] * np.log1p(-np.minimum(proposal, 1 - 1e-16)))
        largest = np.where(tilted[at], bound[at] * np.maximum(proposal, 1e-300), 1.0)
        taken = rng.random(waiting.size) * largest < factor
        flat[waiting[taken]] = proposal[taken]
        waiting = waiting[~taken]
    drawn: Array = flat.reshape(theta.shape)
    return drawn


def latent_means(
    renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike, c: ArrayLike
) -> Array:
    """Return the mean of each customer's own theta given its history: that of ``latent_draws``."""
    renewals, active, alpha, beta, c = float_arrays(renewals, active, alpha, beta, c)
    mean = alpha / (alpha + beta + renewals**c)
    # One more theta in the integral raises alpha by one, in S(renewals) and in the factor of the loss.
    one_more = loss_ratio(1.0, renewals, alpha + 1, beta, c) / loss_ratio(1.0, renewals, alpha, beta, c)
    return np.where(active > 0, mean, mean * one_more)


def retention_rate(period: ArrayLike, alpha: ArrayLike, beta: ArrayLike, c: ArrayLike) -> Array:
    """Return the share of those still there before renewal ``period`` = 1, 2, ... who make it: S(t) / S(t - 1).

    Examples
    --------
    >>> round(float(retention_rate(1, 0.214, 1.427, 1.724)), 3)
    0.87
    """
    period, alpha, beta, c = float_arrays(period, alpha, beta, c)
    rate: Array = survival_ratio(1.0, period - 1, alpha, beta, c)
    return rate


def survival(
    t: ArrayLike, renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike, c: ArrayLike
) -> Array:
    """Return the probability of making all of the next t renewals; 0 of one already lost.

    Examples
    --------
    >>> round(float(survival(12, 0, 1, 0.214, 1.427, 1.724)), 3)
    0.404
    """
    return contracts.survival(t, renewals, active, alpha, beta, c)


def renewals_pmf(
    n: ArrayLike,
    t: ArrayLike,
    renewals: ArrayLike,
    active: ArrayLike,
    alpha: ArrayLike,
    beta: ArrayLike,
    c: ArrayLike,
) -> Array:
    """Return P(exactly n of the next t renewals are made): the first n, then none; at n = t, all."""
    return contracts.renewals_pmf(n, t, renewals, active, alpha, beta, c)


def expected_renewals(
    t: ArrayLike, renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike, c: ArrayLike
) -> Array:
    """Return the expected number of renewals among the next t; without end (t = infinity) it needs alpha c > 1."""
    return contracts.expected_renewals(t, renewals, active, alpha, beta, c)


def discounted_residual_lifetime(
    discount_rate: ArrayLike,
    renewals: ArrayLike,
    active: ArrayLike,
    alpha: ArrayLike,
    beta: ArrayLike,
    c: ArrayLike,
) -> Array:
    """Return the discounted expected residual lifetime (DERL) of a customer about to renew.

    As Fader & Hardie (2010) define it for the shifted-beta-geometric: the sum over k = 0, 1, ... of P(the next k + 1
    renewals are made) / (1 + rate)^k, the rate being one per period. Divide by 1 + rate where the next renewal is
    a period away. Infinite without discount unless alpha c > 1; NaN for a negative rate.

    Examples
    --------
    >>> round(float(discounted_residual_lifetime(0.1, 7, 1, 0.214, 1.427, 1.724)), 2)
    8.32
    """
    return contracts.discounted_residual_lifetime(discount_rate, renewals, active, alpha, beta, c)


FAMILY = Family(
    name="beta_discrete_weibull",
    kind="contracts",
    words=WORDS,
    parameters=PARAMETERS,
    quantities=QUANTITIES,
    observed=OBSERVED,
    design=("periods",),
    scale=data_scale,
    from_quantities=parameters,
    likelihood=likelihood_terms,
    simulate=positional.simulated(simulate, ("periods",), OBSERVED, PARAMETERS),
    checked="renewals",
    forecast=Renewals(
        retention=lambda renewal, params: retention_rate(lead(renewal, *params.values()), **params),
        survival=by_name(survival, OBSERVED, PARAMETERS, leads=True),
        pmf=by_name(renewals_pmf, OBSERVED, PARAMETERS, leads=True),
        expected=by_name(expected_renewals, OBSERVED, PARAMETERS, leads=True),
        discounted=by_name(discounted_residual_lifetime, OBSERVED, PARAMETERS),
        latent_means=by_name(latent_means, OBSERVED, PARAMETERS),
        latent_draws=by_name(latent_draws, OBSERVED, PARAMETERS),
    ),
    coordinate=Coordinate(quantity="c", value=straightened),
)
