"""What the posterior owes to its priors."""

import json
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_clv.schema import InputError

if TYPE_CHECKING:
    import pandas as pd


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
