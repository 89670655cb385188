"""Scores as a table for people: a row a forecast, or a forecast and group."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.scoring.counts import LEVELS
from bayes_clv.scoring.customer_scores import FORECAST
from bayes_clv.scoring.summaries import OTHER
from bayes_clv.views.decision_frames import frame_of

if TYPE_CHECKING:
    import pandas as pd


def means_of_scores(summary: xr.Dataset) -> "pd.DataFrame":
    """Return each forecast's mean scores with their standard errors; first the group, where a summary has some."""
    columns: dict[str, xr.DataArray] = {}
    for name, values in summary.data_vars.items():
        if "interval" in values.dims:
            columns |= {f"{_at(str(name), level)}": values.sel(interval=level, drop=True) for level in LEVELS}
        else:
            columns[str(name)] = values
    groups = [str(dim) for values in columns.values() for dim in values.dims if dim != FORECAST]
    by = groups[0] if groups else None
    sizes = [summary.sizes[by] if by else 1, summary.sizes[FORECAST]]
    found: dict[str, Any] = {} if by is None else {by: np.repeat(summary[by].to_numpy(), sizes[1])}
    found["forecast"] = np.tile(summary[FORECAST].to_numpy(), sizes[0])
    whole = xr.DataArray(np.ones(sizes if by else sizes[1:]), dims=(by, FORECAST) if by else (FORECAST,))
    for name, values in columns.items():
        found[name] = (values * whole).transpose(*whole.dims).to_numpy().ravel()
    better = {name: str(values.attrs.get("better", "")) for name, values in columns.items()}
    return frame_of(found, {"better": better} | ({} if by is None else {"by": by}))


def pairs_of_scores(pairs: xr.Dataset) -> "pd.DataFrame":
    """Return a row a pair of forecasts, each pair once; forecasts without this score are left out."""
    names = pairs[FORECAST].to_numpy()
    first, second = np.triu_indices(names.size, k=1)
    columns: dict[str, Any] = {"forecast": names[first], "other": names[second]}
    for name in ("difference", "difference_se"):
        columns[name] = pairs[name].transpose(FORECAST, OTHER).to_numpy()[first, second]
    frame = frame_of(columns, {"metric": pairs.attrs["metric"]})
    return frame[frame["difference"].notna()].reset_index(drop=True)


def _at(name: str, level: Any) -> str:
    """Return the name of a score at one level, its error's behind it: covered_90_se."""
    stem, error = (name.removesuffix("_se"), "_se") if name.endswith("_se") else (name, "")
    return f"{stem}_{level}{error}"
