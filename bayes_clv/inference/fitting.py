"""``fit``: one family, the customers, one posterior.

The likelihood is evaluated on distinct histories with counts, exactly (``reduction``), on unit-free
priors (``distributions.quantities``). Predictive groups are simulated from the family's own simulator
rather than from the PyMC graph, so that one simulator is checked and used everywhere.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers import check_customers, customers_from_table
from bayes_clv.distributions import family as find_family
from bayes_clv.distributions.quantities import Prior, resolve, starting_point
from bayes_clv.inference import checks, methods, predictive
from bayes_clv.inference.posterior import FORMAT, described
from bayes_clv.inference.priors import plain_priors
from bayes_clv.inference.reduction import Columns, distinct_rows
from bayes_clv.schema import UNSTATED, InputError

METHODS = ("nuts", "laplace", "mode")
GROUPS = ("prior", "prior_predictive", "posterior_predictive", "log_prior", "log_likelihood")
MIN_CUSTOMERS = 2


def fit(
    family: str,
    customers: Any,
    *,
    method: str = "nuts",
    priors: Mapping[str, Prior] | str | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int,
    progress: bool = True,
    include: Collection[str] = (),
) -> xr.DataTree:
    """Return the posterior of a family's population parameters given the customers.

    Parameters
    ----------
    family : str
        ``"bg_nbd"`` (purchases), or of spend per occasion ``"gamma_gamma"`` (customers with at least one repeat
        occasion and a positive mean spend) or ``"lognormal_spend"`` (the same, with every repeat occasion paid).
    customers : xarray.Dataset or pandas.DataFrame
        What ``summarize`` returned, or a table with ``frequency, recency, T`` (and ``monetary_value``).
    method : {"nuts", "laplace", "mode"}
        NUTS; an importance-corrected Laplace approximation, many times faster, with its Pareto k; or the
        posterior mode, which with ``priors="flat"`` is the maximum-likelihood estimate.
    priors : mapping of str to Prior, or "flat", optional
        Priors of population quantities by name, in place of the defaults (``QUANTITIES`` of the family):
        ``Prior("LogNormal", mu=0, sigma=1)``, or PyMC's own ``pm.LogNormal.dist(mu=0, sigma=1)``.
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain. ``laplace`` makes ``draws * chains`` independent draws.
    seed : int
        The same seed, versions and machine give the same draws.
    progress : bool
        Show the sampler's progress bar.
    include : collection of str
        Further groups: ``"prior"``, ``"prior_predictive"``, ``"posterior_predictive"`` (500 draws each; the
        predictive ones replicate the whole base and count its customers by class of frequency or mean
        spend, beside the same counts in ``observed_data``) and ``"log_likelihood"`` (pointwise, one column a
        distinct history, which all customers who share it have: ``count`` in ``observed_data``), for ``compare``;
        with ``"log_prior"`` (of each population quantity) for ``prior_sensitivity``.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (chain, draw), ``sample_stats``, ``observed_data`` (row: the distinct
        histories and how many customers share each) and those asked for. The root's attributes hold
        family, method, time unit, priors, versions, seed and diagnostics.

    Raises
    ------
    InputError
        For an unknown family, method or prior, an impossible history, or data from which nothing can be
        learned (one customer, no repeat purchase).

    Notes
    -----
    Failed checks are attached, not printed: read ``diagnostics(posterior)``, or the report, which puts
    them first.

    Examples
    --------
    >>> import bayes_clv as clv
    >>> customers = clv.summarize(clv.load_cdnow(), until="1997-09-30")
    >>> buying = clv.fit("bg_nbd", customers, method="mode", priors="flat", seed=1)
    >>> round(float(buying.posterior["r"].mean()), 4)
    0.2426
    """
    if method not in METHODS:
        raise InputError(f"Method {method!r} is not known. Use one of {', '.join(METHODS)}.")
    unknown = sorted(set(include) - set(GROUPS))
    if unknown:
        raise InputError(f"Group {unknown[0]!r} is not known. Ask for any of {', '.join(GROUPS)}.")
    for name, value in (("draws", draws), ("tune", tune), ("chains", chains)):
        if value < 1:
            raise InputError(f"{name}={value} must be at least 1.")
    module = find_family(family)
    dataset = (
        check_customers(customers) if isinstance(customers, xr.Dataset) else customers_from_table(customers)
    )
    columns, left_out = observed_columns(family, dataset)
    rows, count = distinct_rows(columns)
    scale = module.data_scale(rows, count)
    resolved = resolve(module.QUANTITIES, plain_priors(priors), scale)

    from bayes_clv.inference.models import build_model, log_prior, pointwise_log_likelihood

    start = starting_point(module.QUANTITIES, scale)
    model, names = build_model(module, rows, count, resolved, start)
    report: dict[str, Any]
    if method == "nuts":
        posterior, stats = methods.nuts(
            model, names, draws=draws, tune=tune, chains=chains, seed=seed, progress=progress
        )
    elif method == "laplace":
        posterior, stats, report = methods.laplace(model, names, draws=draws, chains=chains, seed=seed)
    else:
        posterior, stats, report = methods.mode(model, names)
    posterior = described(posterior, module, dataset.attrs.get("time_unit", UNSTATED))

    row = np.arange(count.size)
    observed = xr.Dataset(
        {name: ("row", value) for name, value in {**rows, "count": count}.items()}, coords={"row": row}
    )
    groups: dict[str, xr.Dataset] = {"posterior": posterior, "sample_stats": stats, "observed_data": observed}
    if method == "nuts":
        report = checks.diagnose_nuts(xr.DataTree.from_dict(groups), names)
    elif method == "laplace":
        report = checks.diagnose_laplace(report)
    else:
        report = checks.diagnose_mode(report)

    # One generator per group: asking for one more group leaves the others as they were.
    prior_rng, predictive_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    if {"prior", "prior_predictive"} & set(include):
        groups["prior"] = predictive.prior_draws(model, names, prior_rng)
    if {"prior_predictive", "posterior_predictive"} & set(include):
        classes = predictive.observed_classes(module.CHECKED, columns[module.CHECKED])
        groups["observed_data"] = xr.merge([observed, classes])
        if "prior_predictive" in include:
            groups["prior_predictive"] = predictive.replicate(
                module, groups["prior"], columns, classes, prior_rng
            )
        if "posterior_predictive" in include:
            groups["posterior_predictive"] = predictive.replicate(
                module, predictive.thin(posterior), columns, classes, predictive_rng
            )
    if "log_prior" in include:
        groups["log_prior"] = log_prior(model, posterior)
    if "log_likelihood" in include:
        groups["log_likelihood"] = pointwise_log_likelihood(module, posterior, rows)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "format": FORMAT,
        "family": family,
        "method": method,
        "time_unit": dataset.attrs.get("time_unit", UNSTATED),
        # The last day that the fit has seen, so that no forecast of days before it is scored as one.
        "until": str(dataset.attrs.get("until", "")),
        "customers": int(count.sum()),
        "distinct_rows": int(count.size),
        "customers_left_out": left_out,
        "priors": json.dumps({name: [p.distribution, dict(p.arguments)] for name, p in resolved.items()}),
        "seed": seed,
        "versions": json.dumps(_versions()),
        "diagnostics": json.dumps(report),
    }
    return tree


def observed_columns(family: str, dataset: xr.Dataset) -> tuple[Columns, int]:
    """Return the columns that the family is fitted to, and how many customers it cannot use.

    Raises InputError where nothing can be learned from them.
    """
    module = find_family(family)
    missing = [name for name in module.OBSERVED if name not in dataset]
    if missing:
        raise InputError(
            f"{family} needs {', '.join(module.OBSERVED)}, and the customers lack {missing[0]!r}. Summarize orders "
            f"that have a spend column{_with_logarithms(missing[0])}, or add the column."
        )
    columns = {name: dataset[name].to_numpy().astype(float) for name in module.OBSERVED}
    total = dataset.sizes["customer"]
    if total < MIN_CUSTOMERS:
        raise InputError(
            f"There is {total} customer. How customers differ cannot be learned from fewer than {MIN_CUSTOMERS}; "
            "some hundreds are a sensible start. Is the customer id column the right one?"
        )
    if not (columns["frequency"] > 0).any():
        raise InputError(
            f"None of the {total} customers has a repeat purchase, so neither purchase rate nor dropout nor spend "
            "can be learned. Take a longer observation window, or check the customer id column: an order id in "
            "its place looks like this."
        )
    if "log_spend_mean" in columns:
        usable = (columns["frequency"] > 0) & np.isfinite(columns["log_spend_mean"])
    elif "monetary_value" in columns:
        usable = (columns["frequency"] > 0) & (columns["monetary_value"] > 0)
    else:
        return columns, 0
    if usable.sum() < MIN_CUSTOMERS:
        raise InputError(
            f"{int(usable.sum())} of {total} customers have a repeat occasion with a positive mean spend; at least "
            f"{MIN_CUSTOMERS} are needed to learn how spend differs. Check the spend column, or forecast purchases "
            "alone (spend=None)."
        )
    return {name: column[usable] for name, column in columns.items()}, int(total - usable.sum())


def _with_logarithms(missing: str) -> str:
    return " with summarize(..., log_spend=True)" if missing.startswith("log_spend") else ""


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("bayes_clv", "pymc", "nutpie", "arviz", "numpy", "xarray")}
