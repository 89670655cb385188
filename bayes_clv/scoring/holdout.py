"""A forecast and the holdout it is scored on, matched by id; never the data of the fit."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import check_ids
from bayes_clv.predictions.observed import with_money
from bayes_clv.predictions.plans import Holdout
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.units import in_plural


def check_holdout(customers: xr.Dataset) -> float:
    """Return the holdout's duration in the customers' time unit; InputError without one, or of rows with a count."""
    check_ids(customers, "clv.summarize(orders, until=..., holdout_until=...)")
    length = customers.attrs.get("holdout_duration")
    if length is None or "holdout_purchases" not in customers:
        raise InputError(
            "The customers have no holdout, and a forecast is not scored on the data of its fit. Summarise "
            "with clv.summarize(orders, until=..., holdout_until=...)."
        )
    shared = np.asarray(customers["count"].values) > 1 if "count" in customers else np.zeros(1, dtype=bool)
    if shared.any():
        raise InputError(
            f"{int(shared.sum()):,} rows stand for several customers (count), who did not all do the same in the "
            "holdout. Give each customer a row, table.loc[table.index.repeat(table['count'])], and its own holdout."
        )
    return float(length)


def happened(
    customers: xr.Dataset, margin: float, annual_discount_rate: float
) -> tuple[dict[str, np.ndarray], float, list[str]]:
    """Return what customers did in the holdout, the unit of its money, and what of money is not known.

    ``purchases`` and ``retention`` (any purchase), and as far as they are known ``spend`` and ``value``, the spend
    after margin and discount.
    """
    bought = np.asarray(customers["holdout_purchases"].values).astype(np.int64)
    found: dict[str, np.ndarray] = {"purchases": bought, "retention": bought > 0}
    holdout, reasons = with_money(
        Holdout(bought), customers, annual_discount_rate=annual_discount_rate, margin=margin
    )
    if holdout.spend.size:
        found["spend"] = holdout.spend
    if holdout.value.size:
        found["value"] = margin * holdout.value
    return found, holdout.spend_unit, reasons


def matched_holdout(customers: xr.Dataset, future: xr.Dataset) -> xr.Dataset:
    """Return the customers in the future's order, matched by id, after checking that it forecasts their holdout.

    Raises InputError without a holdout, for a horizon that is not the holdout's duration, and for a future
    of other customers or of another holdout.
    """
    if "horizon" not in future.attrs or "purchases_mean" not in future:
        raise InputError(
            "value is no forecast of purchases. Give what clv.predict or clv.scoring.forecast returned, and the "
            "customers after it: evaluate(value, customers)."
        )
    length = check_holdout(customers)
    horizon = float(future.attrs["horizon"])
    unit = customers.attrs.get("time_unit")
    if not np.isclose(horizon, length, rtol=1e-9, atol=0) or future.attrs.get("time_unit") != unit:
        raise InputError(
            f"The future runs {horizon:g} {in_plural(str(future.attrs.get('time_unit')))} and the holdout {length:g} "
            f"{in_plural(str(unit))}. Predict over the holdout: horizon=customers.attrs['holdout_duration']."
        )
    seen, start = str(future.attrs.get("fitted_until", "")), str(customers.attrs.get("until", ""))
    if seen and start and seen > start:
        raise InputError(
            f"The posterior was fitted on orders until {seen}, and the holdout begins after {start}: scoring it there "
            f"would be in-sample. Fit on customers summarised with until={start!r}."
        )
    ids, known = future[CUSTOMER].to_numpy(), customers[CUSTOMER].to_numpy()
    matched = customers
    if not np.array_equal(ids, known):
        if set(ids) != set(known) or ids.size != known.size:
            raise InputError("The future is not of these customers: their ids differ.")
        matched = customers.sel({CUSTOMER: ids})
    bought = np.asarray(matched["holdout_purchases"].values)
    if "inside_90" not in future or not np.array_equal(bought, future["holdout_purchases"].values):
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
