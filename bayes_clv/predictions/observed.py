"""What happened after the calibration, as a forecast of the same time is scored by it."""

import math

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import check_numbers, refuse_rows
from bayes_clv.predictions.plans import Holdout
from bayes_clv.schema import CUSTOMER


def holdout_counts(customers: xr.Dataset, horizon: float) -> np.ndarray | None:
    """Return the holdout's purchases when the horizon is the holdout's duration, else None.

    Raises InputError for purchases that are no whole numbers from 0.
    """
    length = customers.attrs.get("holdout_duration")
    if "holdout_purchases" not in customers or length is None:
        return None
    if not np.isclose(float(length), horizon, rtol=1e-9, atol=0):
        return None
    ids, counts = customers[CUSTOMER].to_numpy(), customers["holdout_purchases"].to_numpy().astype(float)
    check_numbers(ids, "holdout_purchases", counts)
    refuse_rows(
        ids, counts != np.floor(counts), "holdout_purchases", counts, "not whole", "It counts purchases."
    )
    return counts.astype(np.int64)


def money_unit(customers: xr.Dataset) -> float:
    """Return the mean spend of a purchase in the calibration, by which logarithms measure money; NaN where unknown.

    First purchases are among them where the customers have historical_spend.
    """
    frequency = customers["frequency"].to_numpy().astype(float)
    if "historical_spend" in customers:
        spend, purchases = customers["historical_spend"].to_numpy().astype(float), frequency + 1
    elif "monetary_value" in customers:
        spend, purchases = frequency * customers["monetary_value"].to_numpy(), frequency
    else:
        return math.nan
    known = np.isfinite(spend)
    total = float(spend[known].sum())
    return total / float(purchases[known].sum()) if total > 0 else math.nan


def with_money(
    holdout: Holdout, customers: xr.Dataset, *, annual_discount_rate: float, margin: float
) -> tuple[Holdout, list[str]]:
    """Return the holdout with the spend and the value by which a forecast of money is scored, and what is not scored.

    The value is that of a margin of 1; its unit is so that with the margin it is ``money_unit``.
    """
    same = annual_discount_rate == 0
    spend, reasons = _amounts(customers, "holdout_spend", "spend and value" if same else "spend")
    if spend is None:
        return holdout, reasons
    value = spend
    if not same:
        discounted, why = _discounted(customers, annual_discount_rate)
        value = np.empty(0) if discounted is None else discounted
        reasons += why
    unit = money_unit(customers)
    if math.isnan(unit):
        reasons.append(
            "spend_log_crps and value_log_crps are NaN: there is no spend in the calibration to measure amounts by."
        )
    return holdout._replace(spend=spend, value=value, spend_unit=unit, value_unit=unit / margin), reasons


def _discounted(customers: xr.Dataset, rate: float) -> tuple[np.ndarray | None, list[str]]:
    """Return the holdout's value where it is discounted as the forecast is."""
    known = customers.attrs.get("holdout_discount_rate")
    if "holdout_value" in customers and known is not None and math.isclose(known, rate, rel_tol=1e-9):
        return _amounts(customers, "holdout_value", "value")
    found = (
        "have no holdout_value" if known is None else f"have a holdout_value discounted at {known:g} a year"
    )
    return None, [
        f"The forecast of value is not scored: it is discounted at {rate:g} a year, and the customers {found}. "
        f"Summarise the orders with holdout_discount_rate={rate:g}."
    ]


def _amounts(customers: xr.Dataset, name: str, what: str) -> tuple[np.ndarray | None, list[str]]:
    """Return a column of money, finite and not negative, NaN where it is missing, and what that means."""
    if name not in customers:
        return None, [
            f"The forecast of {what} is not scored: the customers have no {name}. Summarise orders that have a spend, "
            "with a holdout_until."
        ]
    ids, amounts = customers[CUSTOMER].to_numpy(), customers[name].to_numpy().astype(float)
    missing = np.isnan(amounts)
    check_numbers(ids, name, amounts, ~missing)
    if not missing.any():
        return amounts, []
    return amounts, [
        f"The forecast of {what} is not scored (NaN) for {int(missing.sum()):,} of {missing.size:,} customers whose "
        f"{name} is missing, for example customer {str(ids[np.flatnonzero(missing)[0]])!r}. Fill it in, 0 for who "
        "bought nothing, or leave them out."
    ]
