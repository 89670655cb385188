"""What the families of contracts share: chances to leave that are Beta over customers, and S(t) of a power of t.

A customer is still there after t renewals with probability (1 - theta)^(t^c), theta ~ Beta(alpha, beta) over customers:

    S(t) = B(alpha, beta + t^c) / B(alpha, beta).

``shifted_beta_geometric`` is c = 1, in which its parameters lack c, ``beta_discrete_weibull`` any c > 0.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.survival import discounted_survival, loss_ratio, survival_ratio
from bayes_clv.families.arguments import lead
from bayes_clv.families.contract import Columns, Params, Renewals
from bayes_clv.families.quantities import Prior, Quantity

OBSERVED = ("renewals", "active")

MEANINGS = {
    "alpha": ("first shape of the churn probabilities of the first renewal", "none"),
    "beta": ("second shape of the churn probabilities; their mean is alpha / (alpha + beta)", "none"),
    "population_churn": (
        "mean probability of not renewing at the first renewal, alpha / (alpha + beta)",
        "probability",
    ),
    "churn_concentration": ("alpha + beta; small where customers differ much in churn", "none"),
}

QUANTITIES = {
    "population_churn": Quantity(Prior("Beta", alpha=1, beta=1), upper=1.0, process="dropout"),
    "churn_concentration": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return 1: no quantity of these families has a unit."""
    return 1.0


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return alpha and beta from the population quantities, tensors or arrays."""
    churn, concentration = population["population_churn"], population["churn_concentration"]
    return {"alpha": churn * concentration, "beta": (1 - churn) * concentration}


def shapes(params: Params) -> tuple[Array, Array, Array]:
    """Return alpha, beta and c."""
    a, b, c = float_arrays(params["alpha"], params["beta"], params.get("c", 1.0))
    return a, b, c


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return the contracts of new customers with ``periods`` renewal opportunities.

    By inversion: the customer is lost at the first t with (1 - theta)^(t^c) below a uniform number.
    """
    periods, a, b, c = np.broadcast_arrays(*float_arrays(columns["periods"]), *shapes(params))
    theta = rng.beta(a, b)
    with np.errstate(divide="ignore", over="ignore"):
        lost_at = np.ceil((rng.standard_exponential(theta.shape) / -np.log1p(-theta)) ** (1 / c))
    renewals = np.minimum(periods, np.maximum(lost_at, 1.0) - 1)
    return {"renewals": renewals, "active": (renewals == periods).astype(np.float64), "periods": periods}


def survival(renewals_ahead: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of making all of the next t renewals; 0 of one already lost."""
    renewals, active, a, b, c, t = _led(renewals_ahead, columns, params)
    stays: Array = survival_ratio(t, renewals, a, b, c)
    return active * stays


def pmf(counts: Any, renewals_ahead: float, columns: Columns, params: Params) -> Array:
    """Return P(exactly n of the next t renewals are made): the first n, then none; at n = t, all."""
    renewals, active, a, b, c, n = _led(counts, columns, params)
    made = survival_ratio(np.maximum(n, 0), renewals, a, b, c)
    not_next = np.where(n < renewals_ahead, loss_ratio(1.0, renewals + np.maximum(n, 0), a, b, c), 1.0)
    exactly = np.where((n >= 0) & (n <= renewals_ahead), made * not_next, 0.0)
    return np.where(active > 0, exactly, np.where(n == 0, 1.0, 0.0))


def expected(renewals_ahead: Any, columns: Columns, params: Params) -> Array:
    """Return the expected number of renewals among the next t; without end (t = infinity) it needs alpha c > 1."""
    renewals, active, a, b, c, t = _led(renewals_ahead, columns, params)
    return np.where(active > 0, discounted_survival(t, 0.0, renewals, a, b, c), 0.0)


def discounted(rate: float, columns: Columns, params: Params) -> Array:
    """Return the discounted expected residual lifetime (DERL) of a customer about to renew.

    As Fader & Hardie (2010) define it for the shifted-beta-geometric: the sum over k = 0, 1, ... of P(the next k + 1
    renewals are made) / (1 + rate)^k, the rate being one per period. The renewal now due is worth its probability,
    undiscounted; divide by 1 + rate where it is a period away. Infinite without discount unless alpha c > 1; NaN for a
    negative rate.
    """
    renewals, active, a, b, c, delta = _led(rate, columns, params)
    to_come = discounted_survival(np.inf, delta, renewals, a, b, c)
    return np.where(active > 0, (1 + delta) * to_come, 0.0)


def _led(first: Any, columns: Columns, params: Params) -> tuple[Array, ...]:
    """Return renewals, active, alpha, beta, c, and times or counts that lead."""
    past = (*float_arrays(columns["renewals"], columns["active"]), *shapes(params))
    return *past, lead(first, *past)


def model() -> dict[str, Any]:
    """Return what both families are, but for their names, words, parameters, likelihoods and forecasts."""
    return {
        "kind": "contracts",
        "observed": OBSERVED,
        "design": ("periods",),
        "scale": data_scale,
        "simulate": simulate,
        "checked": "renewals",
    }


forecast = partial(Renewals, survival=survival, pmf=pmf, expected=expected, discounted=discounted)
