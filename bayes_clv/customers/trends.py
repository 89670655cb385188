"""Trends of spend of the whole base, from their sums: by the customer's age, the order's number, and the month."""

import math
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.orders.trends import TRENDS
from bayes_clv.schema import MONTH, TREND


def add_trends(dataset: xr.Dataset, sums: Any, months: Any) -> None:
    """Add slopes and months to the dataset, with standard errors that take customers alone for independent.

    A slope is that of least squares about the customers' own means, its error the sandwich over customers.
    """
    row = {name: float(sums[name].to_numpy()[0] or 0.0) for name in sums.column_names}
    slope, error, centre = (np.full(len(TRENDS), np.nan) for _ in range(3))
    for place, name in enumerate(TRENDS):
        xx, xy = row[f"{name}_xx"], row[f"{name}_xy"]
        if row["customers"] < 2 or xx <= 0:
            continue
        found = slope[place] = xy / xx
        spread = row[f"{name}_xyxy"] - 2 * found * row[f"{name}_xyxx"] + found**2 * row[f"{name}_xxxx"]
        error[place] = math.sqrt(max(spread, 0.0)) / xx
        centre[place] = row[f"{name}_x"] / row["n"]
    dataset.coords[TREND] = list(TRENDS)
    dataset["trend_slope"] = (TREND, slope)
    dataset["trend_error"] = (TREND, error)
    dataset["trend_centre"] = (TREND, centre)
    table = months.sort_by("month")
    n, d, dd = (table[name].to_numpy().astype(float) for name in ("n", "d", "dd"))
    dataset.coords[MONTH] = table["month"].to_numpy().astype("datetime64[s]")
    dataset["month_orders"] = (MONTH, n.astype(np.int64))
    dataset["month_deviation"] = (MONTH, d / n)
    dataset["month_error"] = (MONTH, np.sqrt(dd) / n)
