"""Purchase rates that vary over customers as a Gamma: quantities and terms of the likelihood."""

from collections.abc import Mapping
from typing import Any

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.special import double_tensors, log_gamma_ratio
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
