"""The PyMC graph of a family: population quantities, their priors, and the reduced likelihood.

The graph is built once per fit from the family's own terms. The likelihood enters as one potential:
the weighted sum over distinct rows. Pointwise log-likelihoods, one per distinct history, are
evaluated from the same terms afterwards, on request.
"""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from bayes_clv.distributions.quantities import Prior, Quantity
from bayes_clv.inference.reduction import Columns, distinct_rows, select
from bayes_clv.schema import InputError


def build_model(
    family: ModuleType,
    rows: Columns,
    count: np.ndarray,
    priors: Mapping[str, Prior],
    start: Mapping[str, float],
) -> tuple[pm.Model, list[str]]:
    """Return the PyMC model of the distinct rows, and the names of the variables to keep.

    ``start`` gives a value of each quantity on the data's scale, where a flat prior has none of its own.
    """
    with pm.Model() as model:
        population = {
            name: _variable(name, prior, family.QUANTITIES[name], start[name])
            for name, prior in priors.items()
        }
        parameters = family.parameters(population)
        for name in family.PARAMETERS:
            if name not in population:
                parameters[name] = pm.Deterministic(name, parameters[name])
        pm.Potential("reduced_log_likelihood", reduced_log_likelihood(family, parameters, rows, count))
    kept = list(dict.fromkeys([*family.PARAMETERS, *population]))
    return model, kept


def reduced_log_likelihood(
    family: ModuleType, parameters: Mapping[str, Any], rows: Columns, count: np.ndarray
) -> Any:
    """Return the log-likelihood of all customers as a scalar tensor, each term on its distinct rows."""
    total: Any = 0.0
    for term in family.likelihood_terms:
        columns, weight = distinct_rows(select(rows, term.columns), count)
        total = total + (weight.astype(float) * term.function(parameters, *columns.values())).sum()
    return total


def _variable(name: str, prior: Prior, quantity: Quantity, start: float) -> Any:
    if prior.distribution == "Flat":
        if np.isinf(quantity.upper):
            return pm.HalfFlat(name, initval=start)
        return pm.Uniform(name, 0.0, quantity.upper)
    distribution = getattr(pm, prior.distribution, None)
    if distribution is None:
        raise InputError(f"PyMC has no distribution {prior.distribution!r} (prior of {name!r}).")
    known = list(inspect.signature(distribution.dist).parameters)
    unknown = sorted({argument for argument, _ in prior.arguments} - set(known))
    if unknown:
        # PyMC would ignore it, and the prior would be another one than was asked for.
        raise InputError(f"The prior of {name!r}, {prior!r}, cannot be built: it takes no {unknown[0]!r}.")
    try:
        return distribution(name, **dict(prior.arguments))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(f"The prior of {name!r}, {prior!r}, cannot be built: {error}") from error


def log_prior(model: pm.Model, posterior: xr.Dataset) -> xr.Dataset:
    """Return the log prior density (chain, draw) of each population quantity at the posterior's draws."""
    from pymc.stats import compute_log_prior

    tree = xr.DataTree.from_dict({"posterior": posterior})
    found: xr.Dataset = compute_log_prior(tree, model=model, extend_inferencedata=False, progressbar=False)
    return found.drop_attrs()


def pointwise_log_likelihood(
    family: ModuleType, posterior: xr.Dataset, rows: Columns, max_bytes: float = 2e9
) -> xr.Dataset:
    """Return the log-likelihood (chain, draw, row) of one customer of each distinct history.

    Raises InputError, naming the size, when the array would be larger than ``max_bytes``.
    """
    import pytensor.tensor as pt
    from pymc.pytensorf import compile as compile_graph

    size = rows[family.OBSERVED[0]].size
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], size)
    if np.prod(shape) * 8.0 > max_bytes:
        raise InputError(
            f"The pointwise log-likelihood of {size:,} distinct histories and {shape[0] * shape[1]:,} draws takes "
            f"{np.prod(shape) * 8 / 1e9:.1f} GB. Fit with fewer draws, or leave 'log_likelihood' out of include."
        )
    symbols = {name: pt.dscalar(name) for name in family.PARAMETERS}
    compiled = compile_graph(
        list(symbols.values()), family.log_likelihood(symbols, *(rows[name] for name in family.OBSERVED))
    )
    draws = [posterior[name].to_numpy().reshape(-1) for name in family.PARAMETERS]
    values = np.empty((shape[0] * shape[1], size))
    for i, point in enumerate(zip(*draws, strict=True)):
        values[i] = compiled(*point)
    return xr.Dataset(
        {family.CHECKED: (("chain", "draw", "row"), values.reshape(shape))},
        coords={"chain": posterior["chain"], "draw": posterior["draw"], "row": np.arange(size)},
    )
