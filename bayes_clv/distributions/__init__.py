"""The mathematics, one family a file: pure functions of arrays.

Every family states its ``KIND`` (``"purchases"`` at any time, ``"spend"``, ``"opportunities"``, ``"contracts"``) and in
``PROCESSES`` the quantity that a covariate of each process acts on (parameters may then differ by customer). It offers
``NAME``, ``SUMMARY``, ``CAUTION`` and ``MEANINGS`` (its words), ``PARAMETERS``, ``OBSERVED``, ``QUANTITIES``,
``data_scale`` and ``parameters`` (what is sampled, on which scale, and how the paper's parameters follow),
``likelihood_terms`` and ``log_likelihood``, ``simulate``, and ``CHECKED`` with ``replicate`` (predictive checks). A
purchase family has ``simulate_purchase_times``,
``latent_draws``, ``latent_means``, ``probability_alive``, ``expected_purchases``, ``purchases_pmf``,
``purchases_at_least``, ``discounted_residual_transactions``, ``survival`` and ``future_state``, which is read by the
law of leaving that it names in ``LIFETIME`` (``lifetimes``; under the law "individual" ``future_draws`` and
``discounted_purchases`` stand in its place). ``HISTORY`` names the columns that its forecasts take where they are not
the usual three, ``EXPECTED_DRAWS`` of how many draws closed forms are computed where those are dear, and
``purchases_pmfs`` and ``survivals``, where there are any, give several counts or times for about the price of one;
``LATENT_MEANS`` names the results of ``latent_means`` where dropout is no probability after a purchase. A spend family
offers ``SPEND_RULE``, ``OCCASION`` and ``LEVEL`` (how the engine pays, ``predictions.engine.Money``), ``DENSITY`` (of
what its likelihood is the density), ``simulate_spend``, ``latent_draws``, ``spend_state``, ``expected_spend``,
``population_mean_spend`` and ``lacks_moment``.
To add a family, copy its simplest neighbour and add a line to ``FAMILIES``.
"""

from importlib import import_module
from types import ModuleType

from bayes_clv.schema import InputError

FAMILIES = {
    "bg_nbd": "bayes_clv.distributions.bg_nbd",
    "mbg_nbd": "bayes_clv.distributions.mbg_nbd",
    "bg_cnbd_k": "bayes_clv.distributions.bg_cnbd_k",
    "mbg_cnbd_k": "bayes_clv.distributions.mbg_cnbd_k",
    "nbd": "bayes_clv.distributions.nbd",
    "pareto_nbd": "bayes_clv.distributions.pareto_nbd",
    "pareto_abe": "bayes_clv.distributions.pareto_abe",
    "pareto_ggg": "bayes_clv.distributions.pareto_ggg",
    "gamma_gamma": "bayes_clv.distributions.gamma_gamma",
    "lognormal_spend": "bayes_clv.distributions.lognormal_spend",
    "bg_bb": "bayes_clv.distributions.bg_bb",
    "shifted_beta_geometric": "bayes_clv.distributions.shifted_beta_geometric",
    "beta_discrete_weibull": "bayes_clv.distributions.beta_discrete_weibull",
}


def family(name: str) -> ModuleType:
    """Return the module of a family; it is imported on first use.

    Raises InputError for a name that is not in ``FAMILIES``.

    Examples
    --------
    >>> family("bg_nbd").PARAMETERS
    ('r', 'alpha', 'a', 'b')
    """
    if name not in FAMILIES:
        raise InputError(f"Family {name!r} is not known. Use one of {', '.join(FAMILIES)}.")
    return import_module(FAMILIES[name])


def families(kind: str) -> list[str]:
    """Return the names of the families of a kind, in the order of ``FAMILIES``; all are imported.

    Examples
    --------
    >>> "bg_nbd" in families("purchases")
    True
    """
    return [name for name in FAMILIES if kind == family(name).KIND]
