"""Totals of all customers: where the real one lies among the simulated ones, and how good the forecast of it was.

CRPS of a total is on the scale of its logarithm, so that totals of bases and of horizons of different size can be
averaged: an error of 0.1 is some 10 % of the total.
"""

import numpy as np
import xarray as xr

from bayes_clv.schema import interval
from bayes_clv.scoring.draws import ensemble_crps
from bayes_clv.scoring.metrics import PREFIXES

STATISTICS = ("mean", "q05", "q95", "covered", "rank", "log_crps")
# What a forecast calls the draws of a quantity's total, where it is not the quantity's name.
_DRAWN = {"retention": "active"}
_MEANS = {"retention": "probability_active"}


def totals(future: xr.Dataset, observed: dict[str, np.ndarray]) -> dict[str, float]:
    """Return what is measured of a forecast's totals, by name (``total_mean``, ``spend_total_covered``).

    Of a forecast without draws the mean, and the score of it as a point.
    """
    found: dict[str, float] = {}
    for quantity, real in observed.items():
        mean = future.get(_MEANS.get(quantity, f"{quantity}_mean"))
        if mean is None:
            continue
        drawn = future.get(f"{_DRAWN.get(quantity, quantity)}_total")
        expected = float(mean.values.sum())
        if drawn is None:
            draws = np.array([expected])
            measured = {"mean": expected}
        else:
            draws = np.sort(np.asarray(drawn.values, dtype=float).ravel())
            measured = _place(draws, float(real.sum()), exists=not np.isnan(expected))
        measured["log_crps"] = log_crps(draws, float(real.sum()))
        found |= {f"{PREFIXES[quantity]}total_{name}": value for name, value in measured.items()}
    return found


def log_crps(ordered: np.ndarray, observed: float) -> float:
    """Return the CRPS of the logarithm of a total; NaN where the real one or a draw is 0, which has none."""
    if not (observed > 0 and ordered[0] > 0):
        return float("nan")
    return float(ensemble_crps(np.log(ordered), np.log(observed)))


def _place(draws: np.ndarray, observed: float, *, exists: bool) -> dict[str, float]:
    """Return where the real total lies among the simulated ones; no mean where some customer has none."""
    low, high = interval(draws)
    return {
        "mean": float(draws.mean()) if exists else float("nan"),
        "q05": float(low),
        "q95": float(high),
        "covered": float(low <= observed <= high),
        "rank": float(((draws < observed).mean() + (draws <= observed).mean()) / 2),
    }
