"""Durations, rates and shares: the units that people write, and what the package computes with."""

import math
import re
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, OPPORTUNITY, UNSTATED, InputError, argument, example

# A year of the Gregorian calendar has 365.2425 days; a month is a twelfth of it.
DAYS_PER_YEAR = 365.2425


TIME_UNITS = {
    "hour": 1 / 24,
    "day": 1.0,
    "week": 7.0,
    "month": DAYS_PER_YEAR / 12,
    "year": DAYS_PER_YEAR,
}


def days_per(time_unit: str) -> float:
    """Return the length of a time unit in days; an unknown unit is refused."""
    if not isinstance(time_unit, str):
        raise InputError(f"Time unit {time_unit!r} is no text. Use one of {', '.join(TIME_UNITS)}.")
    singular = time_unit.strip().lower().removesuffix("s")
    if singular not in TIME_UNITS:
        raise InputError(f"Time unit {time_unit!r} is not known. Use one of {', '.join(TIME_UNITS)}.")
    return TIME_UNITS[singular]


def in_plural(time_unit: str) -> str:
    """Return the unit as several of it are called: weeks, opportunities; time units where it is not stated."""
    if time_unit == UNSTATED:
        return "time units"
    return "opportunities" if time_unit == OPPORTUNITY else f"{time_unit}s"


def duration(value: str | float, time_unit: str) -> float:
    """Return a duration in ``time_unit``: ``"52 weeks"`` is converted, a bare number is taken as it is.

    Raises InputError for text without a known unit, a negative or non-finite number, or a duration
    with a unit when the data's own unit is not stated.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]+)?\s*", value)
        if match is None:
            raise InputError(f"Duration {value!r} cannot be read. Write it like '52 weeks' or '90 days'.")
        number = float(match.group(1))
        if match.group(2) is not None:
            if time_unit == UNSTATED:
                raise InputError(
                    f"Duration {value!r} has a unit, but the customers' time unit is not stated. "
                    "Give a bare number in the data's own unit, or state time_unit."
                )
            # Divide last: whole days and weeks then give exactly the number a person expects.
            number = number * days_per(match.group(2)) / days_per(time_unit)
    elif isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"Duration {value!r} cannot be read. Write it like '52 weeks' or '90 days'.")
    else:
        number = float(value) if abs(value) < 1e300 else math.inf
    if not math.isfinite(number) or number <= 0:
        raise InputError(f"Duration {value!r} must be positive and finite.")
    return number


# A share in between was meant in per cent. Rates of up to 500 % a year discount what is worth little after days.
PER_CENT_MARGIN = 2.0, 100.0
PER_CENT_DISCOUNT = 5.0, 100.0


def discount_rate(annual_discount_rate: float, time_unit: str) -> float:
    """Return the continuous discount rate per ``time_unit`` that equals an annual rate.

    A cash flow at time t is worth exp(-rate * t) today, which is (1 + annual)^(-t) with t in years.
    """
    known = isinstance(annual_discount_rate, int | float | np.number) and not isinstance(
        annual_discount_rate, bool
    )
    if not (known and math.isfinite(annual_discount_rate) and annual_discount_rate > -1):
        raise InputError(
            f"Annual discount rate {annual_discount_rate!r} must be a finite number above -1; 0.10 means 10 % a year."
        )
    if PER_CENT_DISCOUNT[0] < annual_discount_rate <= PER_CENT_DISCOUNT[1]:
        raise InputError(
            f"Annual discount rate {annual_discount_rate!r} would be {100 * annual_discount_rate:g} % a year. Write "
            f"{annual_discount_rate:g} % as {annual_discount_rate / 100:g}."
        )
    if annual_discount_rate == 0:
        return 0.0
    if time_unit == UNSTATED:
        raise InputError(
            "An annual discount rate needs the customers' time unit, which is not stated. "
            "Build the customers with summarize(..., time_unit=...) or pass time_unit."
        )
    return math.log1p(annual_discount_rate) * days_per(time_unit) / DAYS_PER_YEAR


def checked_margin(margin: float, *, of_spend: bool = True) -> float:
    """Return the margin, a finite positive share of spend, or of what else an outcome counts."""
    if isinstance(margin, bool) or not isinstance(margin, (int, float, np.number)):
        raise InputError(
            f"{argument('margin')} must be a number such as 0.3 (30 % of spend); it is {margin!r}."
        )
    if not (math.isfinite(margin) and margin > 0):
        raise InputError(
            f"{argument('margin')} must be finite and above 0; 0.3 means 30 % of spend. It is {margin!r}."
        )
    if of_spend and PER_CENT_MARGIN[0] < margin <= PER_CENT_MARGIN[1]:
        raise InputError(
            f"{argument('margin', margin)} would be {margin:g} times what customers spend. Write {margin:g} % as "
            f"{margin / 100:g}."
        )
    return float(margin)


def checked_cost(cost: Any, customers: xr.Dataset, name: str = "acquisition_cost") -> xr.DataArray:
    """Return the cost (``name`` in messages) of each customer, aligned by customer id.

    ``cost`` is one number for all, or a DataArray over ``customer``, a pandas Series indexed by customer
    id, or a mapping of ids. Every customer needs one; ids that are not customers are refused.
    """
    ids = customers[CUSTOMER]
    if isinstance(cost, (int, float, np.number)) and not isinstance(cost, bool):
        aligned = xr.DataArray(np.full(ids.size, float(cost)), coords={CUSTOMER: ids.values}, dims=CUSTOMER)
    else:
        if isinstance(cost, xr.DataArray) and cost.dims == (CUSTOMER,) and CUSTOMER in cost.coords:
            pairs = zip(cost[CUSTOMER].values.tolist(), cost.values.tolist(), strict=True)
        elif hasattr(cost, "items") and not isinstance(cost, (xr.DataArray, xr.Dataset)):
            pairs = cost.items()
        else:
            raise InputError(
                f"{argument(name)} must be one number, or one per customer by id: a DataArray over "
                f"'customer', a pandas Series indexed by customer id or a mapping; got {type(cost).__name__}."
            )
        table = {str(key): float(value) for key, value in pairs}
        known = [str(key) for key in ids.values]
        missing = [key for key in known if key not in table]
        unknown = sorted(set(table) - set(known))
        if missing or unknown:
            raise InputError(
                f"{argument(name)} is matched by customer id: {len(missing)} customers have none"
                f"{f', such as {missing[0]!r}' if missing else ''}, and {len(unknown)} of its ids are no "
                f"customers{f', such as {unknown[0]!r}' if unknown else ''}. Give one cost to each customer."
            )
        aligned = xr.DataArray([table[key] for key in known], coords={CUSTOMER: ids.values}, dims=CUSTOMER)
    bad = ~np.isfinite(aligned.values) | (aligned.values < 0)
    if bad.any():
        raise InputError(
            f"{argument(name)} must be finite and not negative; {int(bad.sum())} of {bad.size} are not, "
            f"such as {example(aligned.values, bad)}."
        )
    return aligned
