"""How well a forecast of the holdout did: intervals, ranks and errors, never on the data of the fit.

Counts have no interval of exactly 90 %: the closed interval [q05, q95] of a customer who buys 0 with
probability 0.97 is [0, 0] and holds 97 %. The share covered is therefore given beside what the forecast
itself promises, the mean probability of its own intervals; a calibrated forecast agrees with that.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError

INTERVALS = {"50": ("q25", "q75"), "90": ("q05", "q95")}
TOP_CLASS = 7
BINS = 10


def score_holdout(customers: xr.Dataset, future: xr.Dataset) -> dict[str, Any]:
    """Return the scores of a forecast of the holdout.

    Parameters
    ----------
    customers
        Customers with a holdout (``clv.summarize(..., holdout_until=...)``).
    future
        ``clv.predict`` or ``clv.predict_value`` of these customers over a horizon equal to
        ``customers.attrs["holdout_duration"]``.

    Returns
    -------
    dict
        Ready for JSON. ``coverage``: for the 50 and 90 % intervals of customers' purchases, the share
        ``covered`` and the share ``promised`` (mean probability of the interval). ``coverage_by_frequency``:
        the same for calibration frequency 0, 1, …, 6, 7+. ``pit``: mean and histogram of the non-randomised
        probability integral transform (Czado, Gneiting & Held 2009; mean 1/2 and equal bins when
        calibrated). ``mae`` and ``rmse`` of the mean and ``crps`` in purchases, smaller is better.
        ``total``: observed purchases beside mean, 90 % interval, bias (mean - observed) and rank.

    Raises
    ------
    InputError
        No holdout, a horizon that is not the holdout's duration, or a future of other customers.

    Examples
    --------
    >>> round(score_holdout(customers, future)["crps"], 1)
    0.5
    """
    matched = matched_holdout(customers, future)
    bought, frequency = (np.asarray(matched[name].values) for name in ("holdout_purchases", "frequency"))
    summary = {
        str(name): np.asarray(future[name].values) for name in future if future[name].dims == (CUSTOMER,)
    }
    draws = future.sizes[CHAIN] * future.sizes[DRAW]
    return {
        "customers": int(bought.size),
        "horizon": float(future.attrs["horizon"]),
        "time_unit": str(future.attrs["time_unit"]),
        "draws": int(draws),
        "coverage": {level: _coverage(summary, bought, level) for level in INTERVALS},
        "coverage_by_frequency": _by_frequency(summary, bought, frequency),
        "pit": _pit(summary["draws_below"] / draws, summary["draws_equal"] / draws),
        **point_errors(summary["purchases_mean"], bought),
        "crps": float(summary["crps"].mean()),
        "total": _total(np.asarray(future["purchases_total"].values).ravel(), int(bought.sum())),
    }


def matched_holdout(customers: xr.Dataset, future: xr.Dataset) -> xr.Dataset:
    """Return the customers in the future's order, matched by id, after checking that it forecasts their holdout.

    Raises InputError without a holdout, for a horizon that is not the holdout's duration, and for a future
    of other customers or of another holdout.
    """
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


def point_errors(forecast: np.ndarray, observed: np.ndarray) -> dict[str, float]:
    """Return the mean absolute error and the root of the mean squared error, in the unit of both."""
    error = forecast - observed
    return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}


def _coverage(
    summary: dict[str, np.ndarray], bought: np.ndarray, level: str, among: np.ndarray | None = None
) -> dict[str, float]:
    low, high = (summary[f"purchases_{name}"] for name in INTERVALS[level])
    inside = (low <= bought) & (bought <= high)
    promised = summary[f"mass_{level}"]
    if among is not None:
        inside, promised = inside[among], promised[among]
    return {"covered": float(inside.mean()), "promised": float(promised.mean())}


def _by_frequency(
    summary: dict[str, np.ndarray], bought: np.ndarray, frequency: np.ndarray
) -> list[dict[str, Any]]:
    classes = np.minimum(frequency, TOP_CLASS)
    rows = []
    for value in np.unique(classes).tolist():
        among = classes == value
        rows.append(
            {
                "frequency": f"{int(value)}+" if value == TOP_CLASS else str(int(value)),
                "customers": int(among.sum()),
                "observed_mean": float(bought[among].mean()),
                "predicted_mean": float(summary["purchases_mean"][among].mean()),
                "coverage": {level: _coverage(summary, bought, level, among) for level in INTERVALS},
            }
        )
    return rows


def pit_shares(below: np.ndarray, equal: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return how much of the transform, spread evenly over [P(Y < y), P(Y <= y)], lies below each place.

    ``below`` and ``equal`` are P(Y < y) and P(Y = y) of what happened, of any shape; the places come last
    in the result. Where ``equal`` is 0 the transform is a single point. Its mean over customers is the
    place itself when the forecasts are calibrated (Czado, Gneiting & Held 2009).
    """
    below, equal = below[..., None], equal[..., None]
    point = np.clip(below, 0, 1 - 1e-12)
    width = np.where(equal > 0, equal, 1.0)
    reached: np.ndarray = np.where(equal > 0, np.clip((places - below) / width, 0, 1), places > point)
    return reached


def _pit(below: np.ndarray, equal: np.ndarray) -> dict[str, Any]:
    """Return mean and histogram of the transform.

    ``outside`` counts customers whose purchases no draw reached: their transform is a single point.
    """
    reached = pit_shares(below, equal, np.linspace(0, 1, BINS + 1))
    return {
        "mean": float((below + equal / 2).mean()),
        "lower_mean": float(below.mean()),
        "upper_mean": float((below + equal).mean()),
        "histogram": np.diff(reached.mean(axis=0)).tolist(),
        "outside": int((equal == 0).sum()),
    }


def _total(simulated: np.ndarray, observed: int) -> dict[str, Any]:
    low, high = np.quantile(simulated, [0.05, 0.95], method="inverted_cdf")
    mean = float(simulated.mean())
    return {
        "observed": observed,
        "mean": mean,
        "q05": int(low),
        "q95": int(high),
        "covered": bool(low <= observed <= high),
        "bias": mean - observed,
        "bias_relative": (mean - observed) / observed if observed > 0 else None,
        "rank": float(((simulated < observed).mean() + (simulated <= observed).mean()) / 2),
    }
