"""Gamma-Gamma: spend per purchase occasion (Fader & Hardie 2013).

The Gamma-Gamma Model of Monetary Value, brucehardie.com note 025.

Each occasion of a customer is worth Gamma(p, rate nu); nu varies over customers as Gamma(q, rate v).
Spend is taken to be independent of how often a customer buys.

=========  =======================================================  ==================
symbol     meaning                                                  unit
=========  =======================================================  ==================
p          shape of the spend of one occasion                       none
q          shape of the Gamma of nu                                 none
v          rate of the Gamma of nu                                  money
nu         a customer's own rate: mean spend p / nu                 1 / money
x          frequency: repeat purchase occasions                     count
zbar       monetary_value: mean spend of those occasions            money
p v/(q-1)  mean spend over the population, where q > 1              money
=========  =======================================================  ==================

Default priors: p v / (q-1) is LogNormal about the data's mean spend with 1 on the log scale, a factor of 5 either side
at 90 %; p LogNormal(1, 1.25), q - 1 LogNormal(1, 1). ``clv.views.plot_prior`` draws what they imply.

The likelihood is eq. 1a of the note, the log density of zbar given x, for x > 0 and zbar > 0. Where x = 0 nothing is
known of a customer's spend, and ``zbar`` is ignored; it may be NaN.

Examples
--------
>>> seen, cdnow = {"occasions": 2, "mean_spend": 22.35}, {"p": 6.25, "q": 3.74, "v": 15.44}
>>> round(float(expected(seen, cdnow)), 2)
24.66
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.special import double_tensors, log_gamma_ratio
from bayes_clv.distributions.stirling import LARGE
from bayes_clv.families.arguments import symbols
from bayes_clv.families.contract import LEVEL, Columns, Family, Params, SpendLevel, Words, new_customer
from bayes_clv.families.likelihood import Term
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("p", "q", "v")
OBSERVED = ("frequency", "monetary_value")
_symbols = partial(symbols, LEVEL, PARAMETERS)


# Of every variable in the posterior: what it means, and its unit.
MEANINGS = {
    "p": ("shape of one occasion's spend; large where a customer's occasions are alike", "none"),
    "q": ("shape of the spend levels across customers; small where customers differ much", "none"),
    "v": ("scale of the spend levels across customers", "money"),
    "population_spend": ("mean spend per occasion across customers, p v / (q - 1)", "money"),
    "q_above_one": ("q - 1; the mean spend exists only where it is positive", "none"),
}

WORDS = Words(
    title="Gamma-Gamma",
    summary=(
        "Spend per purchase follows Gamma-Gamma (Fader & Hardie 2013): each customer's spends vary about its own "
        "mean, which does not depend on how often it buys."
    ),
    caution="",
    meanings=MEANINGS,
    references=("fader2005rfm", "fader2013gamma"),
)

# q = 1 + q_above_one: below q = 1 the population has no mean spend, and so no customer value.
QUANTITIES = {
    "population_spend": Quantity(Prior("LogNormal", mu=0, sigma=1), relative=True, process="spend"),
    "p": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
    "q_above_one": Quantity(Prior("LogNormal", mu=1, sigma=1)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return the mean over customers of their mean spend, money."""
    return float(count @ columns["monetary_value"] / count.sum())


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return p, q, v from the population quantities, tensors or arrays."""
    p, q_above_one = population["p"], population["q_above_one"]
    return {"p": p, "q": 1 + q_above_one, "v": population["population_spend"] * q_above_one / p}


def frequency_term(params: Mapping[str, Any], x: Any) -> Any:
    """Return the part of the log-likelihood that depends on x alone, as a PyTensor vector."""
    import pytensor.tensor as pt

    p, q = double_tensors(params, "p", "q")
    plain = log_gamma_ratio(p * x, q) - pt.gammaln(q)
    # lnGamma(1e16) = 4e17 has an error of 32 of its own, and makes false peaks where levels hardly differ.
    return pt.switch(pt.gt(q, pt.maximum(p * x, LARGE)), log_gamma_ratio(q, p * x) - pt.gammaln(p * x), plain)


def spend_term(params: Mapping[str, Any], x: Any, zbar: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, zbar), as a PyTensor vector.

    The powers of v, x zbar and v + x zbar are joined in two logarithms of one plus a ratio: apart they are
    of the size of p x and cancel.
    """
    import pytensor.tensor as pt

    p, q, v = double_tensors(params, *PARAMETERS)
    total = x * zbar
    return -p * x * pt.log1p(v / total) - q * pt.log1p(total / v) - pt.log(zbar)


def amounts_term(params: Mapping[str, Any], x: Any, zbar: Any, log_mean: Any) -> Any:
    """Return the log density of x amounts given their mean ``zbar``, ``log_mean`` that of their logs: a Dirichlet's.

    Nothing of one amount. The likelihood of the note leaves it out; with it that of every occasion stands.
    """
    import pytensor.tensor as pt

    (p,) = double_tensors(params, "p")
    shares = pt.gammaln(p * x) - x * pt.gammaln(p) - p * x * np.log(x)
    return shares + x * (p - 1) * (log_mean - pt.log(zbar)) - (x - 1) * pt.log(zbar)


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return the mean spend (money) of the occasions of new customers; NaN of one without."""
    x, p, q, v = np.broadcast_arrays(*symbols(("frequency",), PARAMETERS, columns, params))
    total = simulate_spend(rng, x, rng.gamma(q, 1 / v), p)
    return {"frequency": x, "monetary_value": np.where(x > 0, total / np.maximum(x, 1.0), np.nan)}


def simulate_spend(rng: np.random.Generator, occasions: ArrayLike, level: ArrayLike, p: ArrayLike) -> Array:
    """Return a total spend (money) of so many occasions of a customer whose own rate nu is ``level``.

    A sum of n Gamma(p, nu) is one Gamma(p n, nu); no occasion, no spend.
    """
    n, nu, p = np.broadcast_arrays(*float_arrays(occasions, level, p))
    total: Array = rng.standard_gamma(p * n) / nu
    return total


def state(columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return shape p x + q and rate v + x zbar (money) of the Gamma of nu given the history."""
    x, zbar, p, q, v = _symbols(columns, params)
    return p * x + q, v + np.where(x > 0, x * zbar, 0.0)


def level_draws(rng: np.random.Generator, columns: Columns, params: Params) -> Array:
    """Return one draw of nu (1 / money) given the history; the customer's own mean spend is p / nu."""
    shape, rate = state(columns, params)
    return rng.gamma(shape, 1 / rate)


def expected(columns: Columns, params: Params) -> Array:
    """Return the expected spend per occasion (money) given the history, eq. 5 of the note.

    p (v + x zbar) / (p x + q - 1). NaN where p x + q <= 1: E[1 / nu] is then infinite, and no mean exists.
    """
    shape, rate = state(columns, params)
    above = np.where(shape > 1, shape - 1, np.nan)
    return np.asarray(params["p"], dtype=np.float64) * rate / above


def lacks_moment(moment: int, columns: Columns, params: Params) -> NDArray[np.bool_]:
    """Return whether this moment of spend is infinite given x occasions: 1 / nu has it where p x + q is above it."""
    x, p, q, _ = np.broadcast_arrays(*symbols(("occasions",), PARAMETERS, columns, params))
    return np.asarray(p * x + q <= moment)


FAMILY = Family(
    name="gamma_gamma",
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
    checked="monetary_value",
    forecast=SpendLevel(
        density="a customer's mean spend",
        level="monetary_value",
        occasion="p",
        pays="gamma",
        state=state,
        expected=expected,
        population_mean=partial(expected, new_customer(LEVEL)),
        lacks_moment=lacks_moment,
        level_draws=level_draws,
        spend=simulate_spend,
        amounts=amounts_term,
    ),
)
