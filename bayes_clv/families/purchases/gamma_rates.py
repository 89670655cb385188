"""Purchase rates that vary over customers as a Gamma: quantities, terms of the likelihood, times of purchases."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.distributions.special import double_tensors, log_gamma_ratio
from bayes_clv.families.contract import Columns, Params
from bayes_clv.families.quantities import Prior, Quantity

OBSERVED = ("frequency", "recency", "T")


MEANINGS = {
    "r": ("shape of the purchase rates across customers; small where customers differ much", "none"),
    "alpha": ("rate of the Gamma of purchase rates; their mean is r / alpha", "time"),
    "population_purchase_rate": ("mean purchase rate of a new customer, r / alpha", "1/time"),
}


QUANTITIES = {
    "population_purchase_rate": Quantity(
        Prior("LogNormal", mu=0, sigma=1.5), relative=True, process="purchase"
    ),
    "r": Quantity(Prior("LogNormal", mu=0, sigma=1.5)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return the crude purchase rate, repeat purchases over customer time, per time unit."""
    return float(count @ columns["frequency"] / (count @ columns["T"]))


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return r and alpha from the population quantities, tensors or arrays."""
    r = population["r"]
    return {"r": r, "alpha": r / population["population_purchase_rate"]}


def rate_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of a log-likelihood that the rates' shape and x alone decide: ln (r)_x."""
    (r,) = double_tensors(params, "r")
    return log_gamma_ratio(r, x)


def exposure_term(params: Mapping[str, Any], x: Any, T: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, T): x purchases in T units, still alive."""
    import pytensor.tensor as pt

    r, alpha = double_tensors(params, "r", "alpha")
    return -r * pt.log1p(T / alpha) - x * pt.log(alpha + T)


def times(
    simulate: Callable[[np.random.Generator, Columns, Params], dict[str, Array]],
    rng: np.random.Generator,
    columns: Columns,
    params: Params,
) -> tuple[NDArray[np.int64], Array]:
    """Return repeat purchases of new customers as flat arrays (customer index, age at the purchase), sorted.

    Of purchases at random, whatever the law of their rates: the histories are those that ``simulate`` gives for a
    generator in the same state.
    """
    found = simulate(rng, {"T": np.atleast_1d(columns["T"])}, params)
    return gamma_poisson.simulate_times(rng, found["frequency"].astype(np.int64), found["recency"])
