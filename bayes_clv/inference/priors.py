"""Priors given as PyMC distributions.

A prior is kept by the name and arguments of its distribution (``Prior``), so that a posterior read from a file says
what it was. An unnamed PyMC distribution is read back into that form and taken only if both have the same density.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_clv.families.quantities import Prior
from bayes_clv.schema import InputError

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
        given = [
            float(np.asarray(argument.eval(mode="FAST_COMPILE"))) for argument in op.dist_params(prior.owner)
        ]
        names = [key for key in inspect.signature(distribution.dist).parameters if key != "kwargs"]
        turn: Any = _TURNED.get(distribution.__name__)
        arguments = turn(*given) if turn else dict(zip(names, given, strict=False))
        read = Prior(distribution.__name__, **arguments)
        densities = [
            np.array([pm.logp(each, place).eval(mode="FAST_COMPILE") for place in _PLACES], dtype=float)
            for each in (prior, distribution.dist(**arguments))
        ]
    except Exception as error:
        raise InputError(refusal) from error
    if not np.allclose(densities[0], densities[1], rtol=1e-5, atol=1e-5, equal_nan=True):
        raise InputError(refusal)
    return read
