"""Priors given as PyMC distributions, and what the posterior owes to its priors.

A prior is kept by the name and arguments of its distribution (``Prior``), so that a posterior read from a file says
what it was. An unnamed PyMC distribution is read back into that form and taken only if both have the same density.
"""

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.distributions.quantities import Prior
from bayes_clv.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

# Where the density (PyMC may have rounded an argument to single precision) of a prior and of its reading are compared.
_PLACES = np.array([0.003, 0.05, 0.31, 0.72, 0.97, 1.4, 3.3, 11.0, 140.0])
# Distributions whose random variable keeps other arguments than their names ask for: how to turn them back.
_TURNED: dict[str, Any] = {
    "Gamma": lambda alpha, scale: {"alpha": alpha, "beta": 1 / scale},
    "Exponential": lambda scale: {"lam": 1 / scale},
    "HalfNormal": lambda loc, sigma: {"sigma": sigma},
    "HalfCauchy": lambda loc, beta: {"beta": beta},
    "Uniform": lambda lower, upper: {"lower": lower, "upper": upper},
}


def plain_priors(priors: Any) -> Any:
    """Return the priors with every unnamed PyMC distribution (``pm.Gamma.dist(...)``) as a ``Prior``.

    Raises InputError for one that cannot be read back.
    """
    if not isinstance(priors, Mapping):
        return priors
    return {name: _plain(name, prior) for name, prior in priors.items()}


def _plain(name: str, prior: Any) -> Any:
    if isinstance(prior, Prior) or type(getattr(prior, "owner", None)).__name__ != "Apply":
        return prior
    import pymc as pm

    refusal = (
        f"The prior of {name!r} is a PyMC distribution that cannot be read back. Write it as "
        "Prior('Name', argument=...), with the name and the arguments that PyMC's distribution has."
    )
    op = prior.owner.op
    distribution: Any = next(
        (
            each
            for _, each in inspect.getmembers(pm.distributions.continuous, inspect.isclass)
            if type(getattr(each, "rv_op", None)) is type(op)
        ),
        None,
    )
    if distribution is None or prior.ndim:
        raise InputError(refusal)
    try:
        given = [float(np.asarray(argument.eval())) for argument in op.dist_params(prior.owner)]
        names = [key for key in inspect.signature(distribution.dist).parameters if key != "kwargs"]
        turn: Any = _TURNED.get(distribution.__name__)
        arguments = turn(*given) if turn else dict(zip(names, given, strict=False))
        read = Prior(distribution.__name__, **arguments)
        densities = [
            np.array([pm.logp(each, place).eval() for place in _PLACES], dtype=float)
            for each in (prior, distribution.dist(**arguments))
        ]
    except Exception as error:
        raise InputError(refusal) from error
    if not np.allclose(densities[0], densities[1], rtol=1e-5, atol=1e-5, equal_nan=True):
        raise InputError(refusal)
    return read


def prior_sensitivity(posterior: xr.DataTree) -> "pd.DataFrame":
    """Return how much each posterior quantity owes to its prior, and whether prior and data disagree.

    Prior and likelihood are each raised to a power slightly off 1, and the change of each marginal posterior is
    measured (Kallioinen, Paananen, Bürkner & Vehtari 2024, Statistics and Computing 34; ``az.psense_summary``). The
    likelihood is that of all customers.

    Parameters
    ----------
    posterior : xarray.DataTree
        Of ``fit(..., include=("log_prior", "log_likelihood"))``.

    Returns
    -------
    pandas.DataFrame
        One row a quantity: ``prior`` and ``likelihood``, the sensitivities (0.05 is where they begin to matter: a
        change of the power by a factor of two moves the marginal by about that distance); ``diagnosis`` in ArviZ's
        words, "potential prior-data conflict" where both are above it and "potential strong prior / weak likelihood"
        where the prior's alone is; ``meaning`` and ``unit``.

    Raises
    ------
    InputError
        A point (``method="mode"``), or a posterior without the two groups.

    Notes
    -----
    Raising a density to a power depends on the scale it is a density on. A LogNormal(mu, sigma) prior is taken on the
    log scale, on which it is a Normal: to the power k it is LogNormal(mu, sigma / sqrt(k)), more or less sure of the
    same median. On the plain scale it would be LogNormal(mu + (1 / k - 1) sigma², sigma / sqrt(k)): halving the power
    of a prior with sigma 1.5 would move its median by a factor of exp(1.5²) = 9.5 upwards, and the wider the prior,
    the more it would seem to say. Every other prior is taken as it is stated, on which scale its power stays in the
    family about the same mode (Beta, Gamma) or at the same end (HalfNormal, Exponential; a Uniform is itself).

    A conflict is no error: the prior may be right and the data few or odd. Look first whether the prior says what was
    meant (``views.plot_prior``), then at the unit of the data, then report both analyses.

    Examples
    --------
    >>> table = prior_sensitivity(buying)
    >>> table.loc["population_purchase_rate", "meaning"]
    'mean purchase rate of a new customer, r / alpha'
    """
    import arviz as az

    if posterior["posterior"].sizes["draw"] < 4:
        raise InputError(
            "The posterior is a point, which does not move. Fit with method='nuts' or method='laplace'."
        )
    for needed in ("log_prior", "log_likelihood"):
        if needed not in posterior.children:
            raise InputError(
                f"The posterior has no group {needed!r}, which this needs. "
                "Fit with include=('log_prior', 'log_likelihood')."
            )
    pointwise = posterior["log_likelihood"].to_dataset()
    name = next(iter(pointwise.data_vars))
    # One number a draw, that of all customers: rows alone would be a likelihood of fewer of them.
    total = (pointwise[name] * posterior["observed_data"]["count"]).sum("row").expand_dims(base=1)
    group = posterior["posterior"].to_dataset()
    # What is fixed does not move.
    group = group[[name for name, values in group.data_vars.items() if float(values.std()) > 0]]
    # A LogNormal prior is a Normal of the logarithm, and that is what is raised to a power.
    stated = json.loads(str(posterior.attrs["priors"]))
    density = {
        str(each): values + np.log(group[each]) if stated[each][0] == "LogNormal" else values
        for each, values in posterior["log_prior"].data_vars.items()
    }
    tree = xr.DataTree.from_dict(
        {
            "posterior": group.drop_attrs(),
            "log_prior": xr.Dataset(density),
            "log_likelihood": xr.Dataset({name: total.transpose("chain", "draw", "base")}),
        }
    )
    table: pd.DataFrame = az.psense_summary(tree)
    stem = [str(index).partition("[")[0] for index in table.index]
    table["meaning"] = [str(group[each].attrs.get("long_name", "")) if each in group else "" for each in stem]
    table["unit"] = [str(group[each].attrs.get("units", "")) if each in group else "" for each in stem]
    return table
