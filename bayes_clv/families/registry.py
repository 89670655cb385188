"""The families by name; each is imported on first use."""

from importlib import import_module
from types import ModuleType

from bayes_clv.schema import InputError

FAMILIES = {
    "bg_nbd": "bayes_clv.families.purchases.bg_nbd",
    "mbg_nbd": "bayes_clv.families.purchases.mbg_nbd",
    "bg_cnbd_k": "bayes_clv.families.purchases.bg_cnbd_k",
    "mbg_cnbd_k": "bayes_clv.families.purchases.mbg_cnbd_k",
    "nbd": "bayes_clv.families.purchases.nbd",
    "pareto_nbd": "bayes_clv.families.purchases.pareto_nbd",
    "pareto_abe": "bayes_clv.families.purchases.pareto_abe",
    "pareto_ggg": "bayes_clv.families.purchases.pareto_ggg",
    "gamma_gamma": "bayes_clv.families.spend.gamma_gamma",
    "lognormal_spend": "bayes_clv.families.spend.lognormal_spend",
    "bg_bb": "bayes_clv.families.discrete.bg_bb",
    "shifted_beta_geometric": "bayes_clv.families.discrete.shifted_beta_geometric",
    "beta_discrete_weibull": "bayes_clv.families.discrete.beta_discrete_weibull",
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
