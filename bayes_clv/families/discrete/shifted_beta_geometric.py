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
A new customer is renewals = 0, active = 1. The beta-discrete-Weibull is this family where a customer's own churn may
rise or fall with tenure; what the two share is in ``beta_retention``.

Examples
--------
>>> from bayes_clv.families import Renewals, need
>>> forecast, regular = need(FAMILY, Renewals), {"alpha": 0.668, "beta": 3.806}
>>> new, seventh = {"renewals": 0, "active": 1}, {"renewals": 7, "active": 1}
>>> round(float(retention(1, regular)), 3), round(float(forecast.survival(12, new, regular)), 3)
(0.851, 0.378)
>>> round(float(forecast.expected(5, seventh, regular)), 3), round(float(forecast.discounted(0.1, seventh, regular)), 2)
(4.262, 7.53)
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.special import double_tensors
from bayes_clv.distributions.survival import log_survival_ratio
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Family, Params, Words
from bayes_clv.families.discrete import beta_retention, paced_retention
from bayes_clv.families.likelihood import Term

PARAMETERS = ("alpha", "beta")
_symbols = partial(symbols, beta_retention.OBSERVED, PARAMETERS)

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
    meanings=beta_retention.MEANINGS,
    references=("fader2007", "fader2010retention"),
)


def renewal_term(params: Mapping[str, Any], renewals: Any) -> Any:
    """Return the part of the log-likelihood that depends on the renewals alone: log S(renewals)."""
    alpha, beta = double_tensors(params, *PARAMETERS)
    return log_survival_ratio(alpha, beta, renewals)


def churn_term(params: Mapping[str, Any], renewals: Any, active: Any) -> Any:
    """Return the rest: of those lost, the log probability of leaving at the next renewal."""
    import pytensor.tensor as pt

    alpha, beta = double_tensors(params, *PARAMETERS)
    return pt.switch(pt.gt(active, 0), 0.0, pt.log(alpha / (alpha + beta + renewals)))


def latent_draws(rng: np.random.Generator, columns: Columns, params: Params) -> Array:
    """Return one draw of each customer's own churn probability given its history.

    Beta(alpha, beta + renewals) of one still active, Beta(alpha + 1, beta + renewals) of one lost.
    """
    renewals, active, alpha, beta = np.broadcast_arrays(*_symbols(columns, params))
    drawn: Array = rng.beta(alpha + (active == 0), beta + renewals)
    return drawn


def latent_means(columns: Columns, params: Params) -> Array:
    """Return the mean of each customer's own churn probability given its history: that of ``latent_draws``."""
    renewals, active, alpha, beta = _symbols(columns, params)
    lost = np.where(active > 0, 0.0, 1.0)
    return (alpha + lost) / (alpha + lost + beta + renewals)


def retention(renewal: Any, params: Params) -> Array:
    """Return the share of those still there before renewal 1, 2, ... who make it."""
    alpha, beta = symbols((), PARAMETERS, {}, params)
    stayed = beta + (lead(renewal, alpha, beta) - 1)
    return stayed / (alpha + stayed)


_FORECAST = beta_retention.forecast(retention=retention, latent_means=latent_means, latent_draws=latent_draws)

FAMILY = Family(
    name="shifted_beta_geometric",
    words=WORDS,
    parameters=PARAMETERS,
    quantities=beta_retention.QUANTITIES,
    from_quantities=beta_retention.parameters,
    likelihood=(Term(("renewals",), renewal_term), Term(beta_retention.OBSERVED, churn_term)),
    forecast=_FORECAST,
    paced=paced_retention.paced(_FORECAST),
    **beta_retention.model(),
)
