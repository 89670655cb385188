"""Shifted-beta-geometric (sBG): contracts that are renewed or not, period by period (Fader & Hardie 2007).

How to Project Customer Retention, Journal of Interactive Marketing 21(1); its value in Fader & Hardie (2010),
Customer-Base Valuation in a Contractual Setting: The Perils of Ignoring Heterogeneity, Marketing Science 29(1).

At the end of each period a customer does not renew with probability theta, the same in every period and each
customer's own: theta ~ Beta(alpha, beta). Those who are likely to leave leave first, so that the retention rate of a
cohort rises although no customer's does.

=================  ============================================================  ===========
symbol             meaning                                                       unit
=================  ============================================================  ===========
alpha, beta        shapes of the churn probabilities                             none
renewals           renewals made so far                                          count
active             1 while under contract; 0 if the next renewal was not made    0 or 1
t                  renewal opportunities to come                                 count
alpha/(alpha+b.)   mean probability of not renewing, of a new customer           probability
=================  ============================================================  ===========

S(t) = B(alpha, beta + t) / B(alpha, beta); the retention rate of period t is (beta + t - 1) / (alpha + beta + t - 1).
Every function broadcasts its arguments; a new customer is renewals = 0, active = 1. The beta-discrete-Weibull is this
family where a customer's own churn may rise or fall with tenure.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.special import double_tensors
from bayes_clv.distributions.survival import log_survival_ratio
from bayes_clv.families import positional
from bayes_clv.families.contract import Family, Renewals, Words
from bayes_clv.families.discrete import beta_retention as contracts
from bayes_clv.families.likelihood import Term
from bayes_clv.families.positional import by_name, lead
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("alpha", "beta")
OBSERVED = ("renewals", "active")


MEANINGS = {
    "alpha": ("first shape of the churn probabilities across customers", "none"),
    "beta": ("second shape of the churn probabilities; their mean is alpha / (alpha + beta)", "none"),
    "population_churn": (
        "mean probability of not renewing at the first renewal, alpha / (alpha + beta)",
        "probability",
    ),
    "churn_concentration": ("alpha + beta; small where customers differ much in churn", "none"),
}

WORDS = Words(
    title="Shifted-beta-geometric",
    summary=(
        "Contracts follow the shifted-beta-geometric (Fader & Hardie 2007): at each renewal a customer leaves with "
        "its own probability, the same every time."
    ),
    caution=(
        "A customer's own probability of leaving never changes: where contracts are long at first, or habits form, "
        "compare with beta_discrete_weibull."
    ),
    meanings=MEANINGS,
    references=("fader2007", "fader2010retention"),
)

QUANTITIES = {
    "population_churn": Quantity(Prior("Beta", alpha=1, beta=1), upper=1.0, process="dropout"),
    "churn_concentration": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return 1: no quantity of this family has a unit."""
    return 1.0


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return alpha and beta from the population quantities, tensors or arrays."""
    churn, concentration = population["population_churn"], population["churn_concentration"]
    return {"alpha": churn * concentration, "beta": (1 - churn) * concentration}


def renewal_term(params: Mapping[str, Any], renewals: Any) -> Any:
    """Return the part of the log-likelihood that depends on the renewals alone: log S(renewals)."""
    alpha, beta = double_tensors(params, *PARAMETERS)
    return log_survival_ratio(alpha, beta, renewals)


def churn_term(params: Mapping[str, Any], renewals: Any, active: Any) -> Any:
    """Return the rest: of those lost, the log probability of leaving at the next renewal."""
    import pytensor.tensor as pt

    alpha, beta = double_tensors(params, *PARAMETERS)
    return pt.switch(pt.gt(active, 0), 0.0, pt.log(alpha / (alpha + beta + renewals)))


likelihood_terms = (Term(("renewals",), renewal_term), Term(OBSERVED, churn_term))


def log_likelihood(params: Mapping[str, Any], renewals: Any, active: Any) -> Any:
    """Return the log-likelihood of each customer, as a PyTensor vector.

    Of one lost after ``renewals`` it is log P(T = renewals + 1), of one still active log S(renewals).
    """
    return renewal_term(params, renewals) + churn_term(params, renewals, active)


def simulate(
    rng: np.random.Generator, periods: ArrayLike, alpha: ArrayLike, beta: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return simulated contracts (renewals, active) of customers with this many renewal opportunities.

    Examples
    --------
    >>> import numpy as np
    >>> renewals, active = simulate(np.random.default_rng(1), np.full(3, 7), 0.668, 3.806)
    >>> bool(((renewals == 7) == (active == 1)).all())
    True
    """
    return contracts.simulate(rng, periods, alpha, beta, 1.0)


def latent_draws(
    rng: np.random.Generator, renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike
) -> Array:
    """Return one draw of each customer's own churn probability given its history.

    Beta(alpha, beta + renewals) of one still active, Beta(alpha + 1, beta + renewals) of one lost.
    """
    renewals, active, alpha, beta = np.broadcast_arrays(*float_arrays(renewals, active, alpha, beta))
    drawn: Array = rng.beta(alpha + (active == 0), beta + renewals)
    return drawn


def latent_means(renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike) -> Array:
    """Return the mean of each customer's own churn probability given its history: that of ``latent_draws``."""
    renewals, active, alpha, beta = float_arrays(renewals, active, alpha, beta)
    lost = np.where(active > 0, 0.0, 1.0)
    return (alpha + lost) / (alpha + lost + beta + renewals)


def retention_rate(period: ArrayLike, alpha: ArrayLike, beta: ArrayLike) -> Array:
    """Return the share of those still there before renewal ``period`` = 1, 2, ... who make it.

    Examples
    --------
    >>> round(float(retention_rate(1, 0.668, 3.806)), 3)
    0.851
    """
    period, alpha, beta = float_arrays(period, alpha, beta)
    stayed: Array = beta + (period - 1)
    return stayed / (alpha + stayed)


def survival(
    t: ArrayLike, renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike
) -> Array:
    """Return the probability of making all of the next t renewals; 0 of one already lost.

    Of a new customer it is S(t).

    Examples
    --------
    >>> round(float(survival(12, 0, 1, 0.668, 3.806)), 3)
    0.378
    """
    return contracts.survival(t, renewals, active, alpha, beta, 1.0)


def renewals_pmf(
    n: ArrayLike, t: ArrayLike, renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike
) -> Array:
    """Return P(exactly n of the next t renewals are made): the first n, then none; at n = t, all."""
    return contracts.renewals_pmf(n, t, renewals, active, alpha, beta, 1.0)


def expected_renewals(
    t: ArrayLike, renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike
) -> Array:
    """Return the expected number of renewals among the next t; without end (t = infinity) it needs alpha > 1.

    Examples
    --------
    >>> round(float(expected_renewals(5, 7, 1, 0.668, 3.806)), 3)
    4.262
    """
    return contracts.expected_renewals(t, renewals, active, alpha, beta, 1.0)


def discounted_residual_lifetime(
    discount_rate: ArrayLike, renewals: ArrayLike, active: ArrayLike, alpha: ArrayLike, beta: ArrayLike
) -> Array:
    """Return the discounted expected residual lifetime (DERL) of a customer about to renew.

    As Fader & Hardie (2010) define it: the sum over k = 0, 1, ... of P(the next k + 1 renewals are made) /
    (1 + rate)^k, the rate being one per period. The renewal now due is worth its probability, undiscounted; divide
    by 1 + rate where it is a period away. Infinite without discount unless alpha > 1; NaN for a negative rate.

    Examples
    --------
    >>> round(float(discounted_residual_lifetime(0.1, 7, 1, 0.668, 3.806)), 2)
    7.53
    """
    return contracts.discounted_residual_lifetime(discount_rate, renewals, active, alpha, beta, 1.0)


FAMILY = Family(
    name="shifted_beta_geometric",
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
)
