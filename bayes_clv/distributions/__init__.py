"""The mathematics, one family a file: pure functions of arrays.

Every family offers ``NAME``, ``SUMMARY``, ``CAUTION`` and ``MEANINGS`` (its words), ``QUANTITIES``,
``data_scale`` and ``parameters`` (what is sampled, on which scale, and how the paper's parameters follow),
and ``CHECKED`` with ``replicate`` (predictive checks). A purchase family offers ``PARAMETERS``,
``OBSERVED``, ``likelihood_terms``, ``log_likelihood``, ``simulate``, ``simulate_purchase_times``,
``latent_draws``, ``latent_means``, ``probability_alive``, ``expected_purchases``, ``purchases_pmf``,
``purchases_at_least``, ``discounted_residual_transactions``, ``survival`` and ``future_state``, whose last two numbers
are read by the law of leaving that it names in ``LIFETIME`` (``lifetimes``). ``LATENT_MEANS`` names the results of
``latent_means`` where dropout is no probability after a purchase.
To add a family, copy its simplest neighbour and add a line to ``FAMILIES``.
"""

from importlib import import_module
from types import ModuleType

from bayes_clv.schema import InputError

FAMILIES = {
    "bg_nbd": "bayes_clv.distributions.bg_nbd",
    "pareto_nbd": "bayes_clv.distributions.pareto_nbd",
    "gamma_gamma": "bayes_clv.distributions.gamma_gamma",
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
