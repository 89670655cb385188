"""Poisson purchases at a rate that varies over customers as a Gamma: what the purchase families share.

While alive a customer buys at the rate lambda ~ Gamma(r, rate alpha), so that N purchases of a horizon t are
negative binomial: with k = r + x and s = alpha + T after x purchases in T, and tau = t / s,

    P(N = n) = Gamma(k + n) / (Gamma(k) n!) z^n (1 - z)^k,    z = tau / (1 + tau).

How customers leave is the family's own (``beta_geometric`` is one way).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.quantities import Prior, Quantity
from bayes_clv.distributions.terms import double_tensors, log_gamma_ratio

OBSERVED = ("frequency", "recency", "T")

MEANINGS = {
    "r": ("shape of the purchase rates across customers; small where customers differ much", "none"),
    "alpha": ("rate of the Gamma of purchase rates; their mean is r / alpha", "time"),
    "population_purchase_rate": ("mean purchase rate of a new customer, r / alpha", "1/time"),
}

LARGE = 1e5

QUANTITIES = {
    "population_purchase_rate": Quantity(Prior("LogNormal", mu=0, sigma=1.5), relative=True),
    "r": Quantity(Prior("LogNormal", mu=0, sigma=1.5)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return the crude purchase rate, repeat purchases over customer time, per time unit."""
    return float(count @ columns["frequency"] / (count @ columns["T"]))


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return r and alpha from the population quantities, tensors or arrays."""
    r = population["r"]
    return {"r": r, "alpha": r / population["population_purchase_rate"]}


def log_rising(z: Any, n: Any) -> Any:
    """Return ln (z)_n = ln z (z + 1) ... (z + n - 1) of tensors.

    Above LARGE by Stirling's series: lnGamma(1e18) = 4e19 leaves a plain difference an error of thousands, and so
    false peaks to where no data reach, which a sampler's wide steps do. Below, the plain one is right to 1e-10.
    """
    import pytensor.tensor as pt

    plain = pt.gammaln(z + n) - pt.gammaln(z)
    return pt.switch(pt.ge(z, LARGE), log_gamma_ratio(pt.maximum(z, LARGE), n), plain)


def rate_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of a log-likelihood that the rates' shape and x alone decide: ln (r)_x."""
    (r,) = double_tensors(params, "r")
    return log_rising(r, x)


def exposure_term(params: Mapping[str, Any], x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, T): x purchases in T units, still alive."""
    import pytensor.tensor as pt

    r, alpha = double_tensors(params, "r", "alpha")
    return -r * pt.log1p(T / alpha) - x * pt.log(alpha + T)


def simulate_counts(rng: np.random.Generator, T: Array, r: Array, alpha: Array) -> NDArray[np.int64]:
    """Return how often each customer would buy in T units if it never left."""
    counts: NDArray[np.int64] = rng.poisson(rng.gamma(r, 1 / alpha) * T)
    return counts


def simulate_recency(
    rng: np.random.Generator, T: Array, counts: NDArray[np.int64], frequency: NDArray[np.int64]
) -> Array:
    """Return the time of the ``frequency``-th of ``counts`` purchases, uniform on (0, T); 0 for none.

    The x-th of N uniform times is T * Beta(x, N - x + 1).
    """
    position = rng.beta(np.maximum(frequency, 1), counts - frequency + 1)
    return np.where(frequency > 0, T * position, 0.0)


def simulate_times(
    rng: np.random.Generator, frequency: NDArray[np.int64], recency: Array
) -> tuple[NDArray[np.int64], Array]:
    """Return purchases of simulated histories as flat arrays (customer index, age at the purchase).

    Given x and t_x the earlier x - 1 purchases are uniform on (0, t_x).
    """
    customer = np.repeat(np.arange(frequency.size), frequency)
    age = recency[customer] * rng.random(customer.size)
    last = np.cumsum(frequency)[frequency > 0] - 1
    age[last] = recency[frequency > 0]
    return customer, age[np.lexsort((age, customer))]


def count_pmf(n: ArrayLike, k: ArrayLike, tau: ArrayLike) -> Array:
    """Return P(N = n), N the purchases of a horizon without dropout."""
    n, k, tau = float_arrays(n, k, tau)
    some = np.maximum(n, 1.0)
    with np.errstate(divide="ignore"):
        log_z = -np.log1p(1 / tau)
    log_none = -k * np.log1p(tau)
    positive = np.exp(-special.betaln(k, some) - np.log(some) + some * log_z + log_none)
    return np.where(n > 0, positive, np.exp(log_none))


def count_at_least(n: ArrayLike, k: ArrayLike, tau: ArrayLike) -> Array:
    """Return P(N >= n), N the purchases of a horizon without dropout; 1 where n <= 0."""
    n, k, tau = float_arrays(n, k, tau)
    reached: Array = special.betainc(np.maximum(n, 1.0), k, tau / (1 + tau))
    return np.where(n > 0, reached, 1.0)
