"""The mathematics, one family a file: pure functions of arrays.

Every family offers ``NAME``, ``SUMMARY``, ``CAUTION`` and ``MEANINGS`` (its words), ``QUANTITIES``,
``data_scale`` and ``parameters`` (what is sampled, on which scale, and how the paper's parameters follow),
``PROCESSES`` (the quantity that a covariate of each process acts on; parameters may then differ by customer),
and ``CHECKED`` with ``replicate`` (predictive checks). A purchase family offers ``PARAMETERS``,
``OBSERVED``, ``likelihood_terms``, ``log_likelihood``, ``simulate``, ``simulate_purchase_times``,
``latent_draws``, ``latent_means``, ``probability_alive``, ``expected_purchases``, ``purchases_pmf``,
``purchases_at_least``, ``discounted_residual_transactions``, ``survival`` and ``future_state``.
To add a family, copy its simplest neighbour and add a line to ``FAMILIES``.
"""

from importlib import import_module
from types import ModuleType

from bayes_clv.schema import InputError

FAMILIES = {
    "bg_nbd": "bayes_clv.distributions.bg_nbd",
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
