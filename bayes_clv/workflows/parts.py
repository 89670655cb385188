"""A table of forecasts in parts: written one after the other, kept as they are finished, joined at the end.

A customer's future depends on the seed, the id, the history and the posterior alone (``predictions.forecasts``), so
that parts say what one forecast of all says. Memory is that of a part, and a start that was stopped goes on with the
next. Totals of each draw are kept with their part: they are sums over customers.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayes_clv.schema import CUSTOMER, listed
from bayes_clv.workflows.folders import write_table
from bayes_clv.workflows.unfinished import Kept

if TYPE_CHECKING:
    import xarray as xr

# Customers of a part: what a stop loses at most, and what is in memory at a time.
PART = 50_000
# What is added up over parts, where it is forecast.
TOTALS = ("purchases_total", "spend_total", "value_total")


def forecast_in_parts(
    forecast: Callable[["xr.Dataset"], "xr.Dataset"],
    customers: "xr.Dataset",
    kept: Kept,
    out: str,
    size: int = PART,
    told: Callable[[str], AbstractContextManager[None]] = lambda _words: nullcontext(),
) -> tuple[Path, dict[str, np.ndarray]]:
    """Return the file of all customers' forecasts, in the folder of what is kept, and their totals (draw,) by name.

    ``out`` is the file's name, .csv or .parquet; ``told`` gives a context to each part, by its words.
    """
    people = customers.sizes[CUSTOMER]
    names = []
    for first in range(0, people, size):
        last = min(first + size, people)
        name = f"part-{first // size:05d}.parquet"
        names.append(name)
        if kept.has(name):
            continue
        with told(f"forecast customers {first + 1:,} to {last:,} of {people:,}"):
            _write(forecast(customers.isel({CUSTOMER: slice(first, last)})), kept.folder / name)
            kept.keep(name)
    paths = [kept.folder / name for name in names]
    joined = kept.folder / out
    write = _join_csv if joined.suffix == ".csv" else _join_parquet
    write(paths, joined)
    return joined, _totals(paths)


def _write(value: "xr.Dataset", path: Path) -> None:
    """Write a part, with the totals of its draws in the file's own words."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bayes_clv.views.frames import table

    part = pa.Table.from_pandas(table(value), preserve_index=False)
    totals = {
        name: np.asarray(value[name].values, dtype=float).ravel().tobytes()
        for name in TOTALS
        if name in value
    }
    pq.write_table(part.replace_schema_metadata({**(part.schema.metadata or {}), **totals}), path)


def _totals(paths: list[Path]) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    found: dict[str, np.ndarray] = {}
    for path in paths:
        said = pq.read_schema(path).metadata
        for name in TOTALS:
            if name.encode() in said:
                found[name] = found.get(name, 0.0) + np.frombuffer(said[name.encode()])
    return found


def _join_parquet(paths: list[Path], out: Path) -> None:
    """Write the parts as the row groups of one file, whose attributes are those of a table of all."""
    import pyarrow.parquet as pq

    schemas = [pq.read_schema(path) for path in paths]
    pandas = json.loads(schemas[0].metadata[b"pandas"])
    reasons = [json.loads(schema.metadata[b"pandas"])["attributes"] for schema in schemas]
    told = list(dict.fromkeys(reason for each in reasons for reason in listed(each, "reasons")))
    if "reasons" in pandas["attributes"]:
        pandas["attributes"]["reasons"] = told
    schema = schemas[0].with_metadata({"pandas": json.dumps(pandas)})
    with pq.ParquetWriter(out, schema) as file:
        for path in paths:
            file.write_table(pq.read_table(path).cast(schema))


def _join_csv(paths: list[Path], out: Path) -> None:
    import pandas as pd

    for path in paths:
        write_table(pd.read_parquet(path), out, more=path != paths[0])
