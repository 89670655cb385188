"""A forecast and the holdout it is scored on, matched by id; never the data of the fit."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, InputError


def matched_holdout(customers: xr.Dataset, future: xr.Dataset) -> xr.Dataset:
    """Return the customers in the future's order, matched by id, after checking that it forecasts their holdout.

    Raises InputError without a holdout, for a horizon that is not the holdout's duration, and for a future
    of other customers or of another holdout.
    """
    if "horizon" not in future.attrs or "purchases_mean" not in future:
        raise InputError(
            "value is no forecast of purchases. Give what clv.predict or clv.predict returned, and the "
            "customers after it: evaluate(value, customers)."
        )
    length = customers.attrs.get("holdout_duration")
    if length is None or "holdout_purchases" not in customers:
        raise InputError(
            "The customers have no holdout, and a forecast is not scored on the data of its fit. Summarise "
            "with clv.summarize(orders, until=..., holdout_until=...)."
        )
    horizon = float(future.attrs["horizon"])
    unit = customers.attrs.get("time_unit")
    if not np.isclose(horizon, float(length), rtol=1e-9, atol=0) or future.attrs.get("time_unit") != unit:
        raise InputError(
            f"The future runs {horizon:g} {future.attrs.get('time_unit')}s and the holdout {float(length):g} "
            f"{unit}s. Predict over the holdout: horizon=customers.attrs['holdout_duration']."
        )
    seen, start = str(future.attrs.get("fitted_until", "")), str(customers.attrs.get("until", ""))
    if seen and start and seen > start:
        raise InputError(
            f"The posterior was fitted on orders until {seen}, and the holdout begins after {start}: scoring it there "
            f"would be in-sample. Fit on customers summarised with until={start!r}."
        )
    ids = future[CUSTOMER].values
    if set(ids) != set(customers[CUSTOMER].values) or ids.size != customers.sizes[CUSTOMER]:
        raise InputError("The future is not of these customers: their ids differ.")
    matched = customers.sel({CUSTOMER: ids})
    bought = np.asarray(matched["holdout_purchases"].values)
    if "draws_below" not in future or not np.array_equal(bought, future["holdout_purchases"].values):
        raise InputError(
            "The future was not simulated beside this holdout. Predict from the customers that carry it."
        )
    return matched


def by_model[T](given: T | Mapping[str, T] | None, models: list[str], argument: str) -> dict[str, T]:
    """Return what was given for each model by name; a single thing is the first model's.

    Raises InputError for a name that is no model's.
    """
    if given is None:
        return {}
    # A posterior is a mapping of its groups too.
    if isinstance(given, xr.Dataset | xr.DataTree) or not isinstance(given, Mapping):
        return {models[0]: given}
    foreign = [name for name in given if name not in models]
    if foreign:
        raise InputError(
            f"{argument} names {foreign[0]!r}, which is no model of value: {', '.join(models)}. Use the same names."
        )
    return dict(given)
