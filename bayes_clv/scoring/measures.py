"""What an evaluation holds: the measures, their units and which value is better, as Dataset, table and JSON."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.scoring.counts import LEVELS

if TYPE_CHECKING:
    import pandas as pd

FORECAST = "forecast"
SHARES = np.linspace(0, 1, 101)
TOP = (0.1, 0.2)


@dataclass(frozen=True)
class Measure:
    """What a measure is: a line, its unit, and which value is better."""

    long_name: str
    unit: str
    better: str = "lower"


MEASURES = {
    "mae": Measure("mean absolute error of the mean", "purchases"),
    "mae_median": Measure("mean absolute error of the median", "purchases"),
    "rmse": Measure("root of the mean squared error of the mean", "purchases"),
    "total_error": Measure("forecast total less the real one, over the real one", "share", "nearer 0"),
    "crps": Measure("continuous ranked probability score", "purchases"),
    "crps_worse": Measure("CRPS less the model's", "purchases"),
    "crps_worse_se": Measure("standard error of CRPS less the model's, over customers", "purchases", ""),
    "log_score": Measure("mean of -log P(what happened)", "nats"),
    "impossible": Measure("customers who did what the forecast held impossible", "customers"),
    "covered": Measure("customers inside their interval", "share", "nearer promised"),
    "promised": Measure("mean probability of the customers' intervals", "share", ""),
    "pit_distance": Measure("distance of the places in the forecasts from even ones", "share"),
    "pit_reference": Measure("the distance that true forecasts stay within, 95 % of the time", "share", ""),
    "concordance": Measure("pairs of unequal customers ranked right", "share", "higher"),
    "captured": Measure("share of the real purchases with the best ranked", "share", "higher"),
    "tracking_incremental": Measure(
        "mean absolute error of a period's purchases, over the real ones", "share"
    ),
    "tracking_cumulative": Measure("the same of the running total of the holdout", "share"),
    "spend_mae": Measure("mean absolute error of mean spend", "money"),
    "spend_rmse": Measure("root of the mean squared error of mean spend", "money"),
    "spend_total_error": Measure("forecast total spend less the real, over the real", "share", "nearer 0"),
    "spend_concordance": Measure("pairs of unequal spenders ranked right", "share", "higher"),
    "spend_captured": Measure("share of the real spend with the best ranked", "share", "higher"),
}


_DIMS = {
    "covered": ("interval", len(LEVELS)),
    "promised": ("interval", len(LEVELS)),
    "pit_histogram": ("bin", 10),
    "captured": ("share", SHARES.size),
    "spend_captured": ("share", SHARES.size),
}


def evaluation_dataset(labels: dict[str, str], rows: list[dict[str, Any]]) -> xr.Dataset:
    """Return the measures of each forecast, a dict a forecast, as a described Dataset; NaN where one is absent."""
    data: dict[str, Any] = {}
    for name in [*MEASURES, "pit_histogram"]:
        if not any(name in row for row in rows):
            continue
        dim, size = _DIMS.get(name, ("", 0))
        values = [row.get(name, np.full(size, np.nan) if dim else np.nan) for row in rows]
        data[name] = ((FORECAST, dim) if dim else (FORECAST,), np.array(values, dtype=float))
    names = np.array(list(labels), dtype=object)
    dataset = xr.Dataset(
        data,
        coords={
            FORECAST: names,
            "label": (FORECAST, np.array(list(labels.values()), dtype=object)),
            "interval": list(LEVELS),
            "share": SHARES,
        },
    )
    dataset["share"].attrs = {"long_name": "share of customers, the highest ranked first", "units": "share"}
    dataset["interval"].attrs = {"long_name": "nominal probability of the interval", "units": "percent"}
    for name, measure in MEASURES.items():
        if name in dataset:
            dataset[name].attrs = {
                "long_name": measure.long_name,
                "units": measure.unit,
                "better": measure.better,
                "level": "outcome",
            }
    return dataset


def evaluation_table(evaluation: xr.Dataset) -> "pd.DataFrame":
    """Return an evaluation as a pandas table: one row a measure, one column a forecast.

    Parameters
    ----------
    evaluation
        The result of ``clv.evaluate``.

    Returns
    -------
    pandas.DataFrame
        measure, meaning, unit, better ("lower", "higher", "nearer 0", "nearer promised" or nothing), a column
        for each forecast, and for the captured shares ``possible``, what the best ranking captures.

    Examples
    --------
    >>> table = evaluation_table(evaluation)
    """
    import pandas as pd

    names = [str(name) for name in evaluation[FORECAST].to_numpy()]
    rows = []
    for name, measure in MEASURES.items():
        if name not in evaluation:
            continue
        values = evaluation[name]
        cuts: list[tuple[str, str, dict[str, Any]]] = [("", "", {})]
        if "interval" in values.dims:
            cuts = [(f"_{level}", f", {level} %", {"interval": level}) for level in LEVELS]
        elif "share" in values.dims:
            cuts = [(f"_{round(100 * top)}", f" {top:.0%}", {"share": top}) for top in TOP]
        for suffix, words, where in cuts:
            at = values.sel(where, method="nearest") if where else values
            row = {
                "measure": name + suffix,
                "meaning": str(values.attrs.get("long_name", measure.long_name)) + words,
                "unit": measure.unit,
                "better": measure.better,
                **dict(zip(names, at.to_numpy().tolist(), strict=True)),
            }
            if "share" in where:
                row["possible"] = float(evaluation[f"{name}_best"].sel(where, method="nearest"))
            rows.append(row)
    return pd.DataFrame(rows)


def evaluation_record(evaluation: xr.Dataset) -> dict[str, Any]:
    """Return an evaluation as a dict ready for JSON; NaN and infinity become None, with their reasons kept.

    Keys are the attributes, ``reasons``, ``notes``, and ``measures``: a dict a forecast, of numbers and lists.

    Examples
    --------
    >>> text = json.dumps(evaluation_record(evaluation), allow_nan=False)
    """

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value if np.isfinite(value) else None

    measured = [str(name) for name in evaluation.data_vars if FORECAST in evaluation[name].dims]
    return {
        **{key: value for key, value in evaluation.attrs.items() if key not in ("reasons", "notes")},
        "reasons": json.loads(evaluation.attrs["reasons"]),
        "notes": json.loads(evaluation.attrs["notes"]),
        "intervals": list(LEVELS),
        "shares": evaluation["share"].to_numpy().tolist(),
        "best": {
            str(name): plain(evaluation[name].to_numpy().tolist())
            for name in evaluation.data_vars
            if str(name).endswith("_best")
        },
        "measures": {
            str(name): {m: plain(evaluation[m].sel({FORECAST: name}).to_numpy().tolist()) for m in measured}
            for name in evaluation[FORECAST].to_numpy()
        },
    }
