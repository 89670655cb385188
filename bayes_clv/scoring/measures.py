"""What an evaluation holds: the measures, their units and which value is better, as Dataset and as JSON."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.scoring.counts import BINS, LEVELS

FORECAST = "forecast"
FREQUENCY = "frequency"
# Calibration frequencies from this one on are one class.
TOP_CLASS = 7
SHARES = np.linspace(0, 1, 101)


def mean_absolute_error(forecast: np.ndarray, observed: np.ndarray) -> float:
    """Return the mean absolute error over customers, in the unit of both."""
    return float(np.abs(forecast - observed).mean())


def root_mean_square_error(forecast: np.ndarray, observed: np.ndarray) -> float:
    """Return the root of the mean squared error over customers, in the unit of both."""
    return float(np.sqrt(((forecast - observed) ** 2).mean()))


def relative_error(forecast: float, observed: float) -> float:
    """Return the forecast less what was observed, over what was observed; NaN where that is 0."""
    return float((forecast - observed) / observed) if observed > 0 else float("nan")


def mean_relative_error(forecast: np.ndarray, observed: np.ndarray) -> float:
    """Return the mean absolute relative error of a series, over the periods in which something was observed."""
    real = observed > 0
    return float(np.abs(forecast[real] / observed[real] - 1).mean()) if real.any() else float("nan")


@dataclass(frozen=True)
class Measure:
    """What a measure is: a line, its unit, which value is better, and the dimensions beside ``forecast``."""

    long_name: str
    unit: str
    better: str = "lower"
    dims: tuple[str, ...] = ()


_EACH = ("interval",)
_CLASS = (FREQUENCY,)
MEASURES = {
    "mae": Measure("mean absolute error of the mean", "purchases"),
    "mae_median": Measure("mean absolute error of the median", "purchases"),
    "rmse": Measure("root of the mean squared error of the mean", "purchases"),
    "total_error": Measure("forecast total less the real one, over the real one", "share", "nearer 0"),
    "total_mean": Measure("mean of the forecast total", "purchases", ""),
    "total_q05": Measure("lower end of the total's 90 % interval", "purchases", ""),
    "total_q95": Measure("upper end of the total's 90 % interval", "purchases", ""),
    "total_covered": Measure("1 where the real total lies in its 90 % interval", "0 or 1", "higher"),
    "total_rank": Measure("place of the real total among the simulated ones", "share", ""),
    "crps": Measure("continuous ranked probability score", "purchases"),
    "crps_worse": Measure("CRPS less the model's", "purchases"),
    "crps_worse_se": Measure("standard error of CRPS less the model's, over customers", "purchases", ""),
    "log_score": Measure("mean of -log P(what happened)", "nats"),
    "impossible": Measure("customers who did what the forecast held impossible", "customers"),
    "unreached": Measure("customers whose purchases no draw reached", "customers"),
    "covered": Measure("customers inside their interval", "share", "nearer promised", _EACH),
    "promised": Measure("mean probability of the customers' intervals", "share", "", _EACH),
    "pit_mean": Measure("mean place in the customers' own forecasts", "share", "nearer 1/2"),
    "pit_distance": Measure("distance of the places in the forecasts from even ones", "share"),
    "pit_reference": Measure("the distance that true forecasts stay within, 95 % of the time", "share", ""),
    "concordance": Measure("pairs of unequal customers ranked right", "share", "higher"),
    "captured": Measure("share of the real purchases with the best ranked", "share", "higher", ("share",)),
    "tracking_incremental": Measure(
        "mean absolute error of a period's purchases, over the real ones", "share"
    ),
    "tracking_cumulative": Measure("the same of the running total of the holdout", "share"),
    "spend_mae": Measure("mean absolute error of mean spend", "money"),
    "spend_rmse": Measure("root of the mean squared error of mean spend", "money"),
    "spend_total_error": Measure("forecast total spend less the real, over the real", "share", "nearer 0"),
    "spend_concordance": Measure("pairs of unequal spenders ranked right", "share", "higher"),
    "spend_captured": Measure("share of the real spend with the best ranked", "share", "higher", ("share",)),
}
# Beside the measures: the histogram of the places, and what customers did by their repeat purchases before.
DETAILS = {
    "pit_histogram": Measure(
        "share of customers by their place in their own forecast", "share", "", ("bin",)
    ),
    "predicted_by_frequency": Measure("mean purchases forecast", "purchases", "", _CLASS),
    "covered_by_frequency": Measure("customers inside their interval", "share", "", _CLASS + _EACH),
    "promised_by_frequency": Measure("mean probability of the intervals", "share", "", _CLASS + _EACH),
}


def frequency_classes(frequency: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the classes of calibration frequency that occur ("0", "1", …, "7+") and each customer's place in them."""
    values, place = np.unique(np.minimum(frequency, TOP_CLASS), return_inverse=True)
    return [f"{int(value)}+" if value == TOP_CLASS else str(int(value)) for value in values], place


def measured(labels: dict[str, str], rows: list[dict[str, Any]], classes: list[str]) -> xr.Dataset:
    """Return the measures of each forecast, a dict a forecast, as a described Dataset; NaN where one is absent."""
    sizes = {"interval": len(LEVELS), "bin": BINS, "share": SHARES.size, FREQUENCY: len(classes)}
    data: dict[str, Any] = {}
    for name, measure in (MEASURES | DETAILS).items():
        if not any(name in row for row in rows):
            continue
        absent = np.full([sizes[dim] for dim in measure.dims], np.nan)
        values = np.array([row.get(name, absent) for row in rows], dtype=float)
        attrs = {"long_name": measure.long_name, "units": measure.unit, "better": measure.better}
        data[name] = ((FORECAST, *measure.dims), values, attrs | {"level": "outcome"})
    dataset = xr.Dataset(
        data,
        coords={
            FORECAST: np.array(list(labels), dtype=object),
            "label": (FORECAST, np.array(list(labels.values()), dtype=object)),
            "interval": list(LEVELS),
            "share": SHARES,
            FREQUENCY: np.array(classes, dtype=object),
        },
    )
    dataset["share"].attrs = {"long_name": "share of customers, the highest ranked first", "units": "share"}
    dataset["interval"].attrs = {"long_name": "nominal probability of the interval", "units": "percent"}
    dataset[FREQUENCY].attrs = {"long_name": "repeat purchases in calibration", "units": "count"}
    return dataset


def record(evaluation: xr.Dataset) -> dict[str, Any]:
    """Return an evaluation as a dict ready for JSON; NaN and infinity become None, with their reasons kept.

    Keys are the attributes, the values of ``intervals``, ``shares`` and ``frequencies``, ``observed`` (what happened),
    ``notes`` (how each rule was made), and ``measures``: a dict a forecast, of numbers and lists.

    Parameters
    ----------
    evaluation
        The result of ``clv.evaluate``.

    Examples
    --------
    >>> sorted(record(evaluation)["measures"])
    ['model', 'pareto_rule', 'past_rate', 'period_mean', 'recency_rule']
    """

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value if np.isfinite(value) else None

    of_forecasts = [str(name) for name in evaluation.data_vars if FORECAST in evaluation[name].dims]
    names = [str(name) for name in evaluation[FORECAST].to_numpy()]
    notes = dict(zip(names, evaluation["note"].to_numpy().tolist(), strict=True))
    return {
        **{key: value for key, value in evaluation.attrs.items() if key != "result"},
        "notes": {name: note for name, note in notes.items() if note},
        "intervals": list(LEVELS),
        "shares": evaluation["share"].to_numpy().tolist(),
        "frequencies": evaluation[FREQUENCY].to_numpy().tolist(),
        "observed": {
            str(name): plain(evaluation[name].to_numpy().tolist())
            for name in evaluation.data_vars
            if FORECAST not in evaluation[name].dims
        },
        "measures": {
            name: {m: plain(evaluation[m].sel({FORECAST: name}).to_numpy().tolist()) for m in of_forecasts}
            for name in names
        },
    }
