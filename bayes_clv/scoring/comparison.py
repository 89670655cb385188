"""Several models on one holdout: who forecast it better, measure by measure.

The complement of ``inference.criticism.comparison``: PSIS-LOO asks about customers left out, in log densities that
must be of the same data; a holdout asks about time left out, and only needs forecasts of the same thing. Families of
different kinds of observation may be compared so. All futures have one seed, so that a customer's random numbers are
the same.
"""

from collections.abc import Mapping, Sequence

import xarray as xr

from bayes_clv.predictions.forecasts import predict
from bayes_clv.schema import InputError
from bayes_clv.scoring.evaluation import evaluated

type Model = xr.DataTree | tuple[xr.DataTree, xr.DataTree]


def compare_holdout(
    customers: xr.Dataset,
    models: Mapping[str, Model],
    *,
    seed: int,
    baselines: Sequence[str] = (),
    draws: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how several models forecast the holdout, in the measures of :func:`evaluate`.

    Parameters
    ----------
    customers
        Customers with a holdout (``clv.summarize(..., holdout_until=...)``).
    models
        By name, a buying posterior, or with money a pair of a buying and a spending posterior; each fitted to the
        calibration alone. The first named is the one that others are held against.
    seed
        Seed of the futures, the same for all.
    baselines
        Simple rules to put beside them, as in :func:`evaluate`.
    draws
        Posterior draws that the closed form of purchases is averaged over, as in :func:`evaluate`.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        As :func:`evaluate`, with the models' names on ``forecast``. ``crps_worse`` is a model's CRPS less that of
        the first, customer by customer, and ``crps_worse_se`` its standard error: positive means worse.
        ``evaluation_table`` gives one column a model.

    Raises
    ------
    InputError
        No model, no holdout, a name that is also a baseline's, or what ``predict`` refuses.

    Examples
    --------
    >>> found = compare_holdout(customers, {"bg_nbd": buying, "with spend": (buying, spending)}, seed=1, draws=20)
    >>> float(found["crps_worse"].sel(forecast="with spend"))
    0.0
    """
    if not models:
        raise InputError("There is no model to compare. Give {'name': posterior, ...}.")
    twice = sorted(set(models) & set(baselines))
    if twice:
        raise InputError(
            f"{twice[0]!r} is the name of a model and of a simple rule. Give the model another one."
        )
    length = customers.attrs.get("holdout_duration")
    if length is None or "holdout_purchases" not in customers:
        raise InputError(
            "The customers have no holdout, and a forecast is not scored on the data of its fit. Summarise "
            "with clv.summarize(orders, until=..., holdout_until=...)."
        )
    futures, buying = {}, {}
    for name, model in models.items():
        bought, spent = model if isinstance(model, tuple) else (model, None)
        buying[name] = bought
        futures[name] = predict(bought, customers, float(length), spending=spent, seed=seed, threads=threads)
    evaluation = evaluated(customers, futures, buying, baselines=baselines, draws=draws, threads=threads)
    if "crps_worse" in evaluation:
        evaluation["crps_worse"].attrs["long_name"] = f"CRPS less that of {next(iter(models))}"
        if "crps_worse_se" in evaluation:
            evaluation["crps_worse_se"].attrs["long_name"] = (
                "standard error of that difference, over customers"
            )
    return evaluation
