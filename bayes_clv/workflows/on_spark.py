"""A forecast on Spark's workers: parts of the customers beside each other, the posterior broadcast to all of them.

A customer's future depends on the seed, the id, the history and the posterior alone, so that parts say what one
forecast of all says, to the bit (as ``parts``); the customers are those that ``summarize`` returns, whose orders stayed
in Spark. A part travels as the file that ``run`` writes of its customers, and a posterior as that of ``clv.save``:
with their checksums, so that a worker computes from the same numbers or stops.

Rejected: a row of Spark for each customer, which has no place for purchase times; and to add up the totals of each draw
there, since a sum's last digits would depend on which part came first.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.workflows.parts import PART

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# The attribute of the forecasts' first column that holds what the table has in ``.attrs``.
ATTRIBUTES = "bayes_clv"


def predict_on_spark(
    session: Any,
    buying: "xr.DataTree",
    customers: "xr.Dataset",
    horizon: str | float = "52 weeks",
    *,
    spending: "xr.DataTree | None" = None,
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    acquisition_cost: float = 0.0,
    seed: int,
    part: int = PART,
) -> Any:
    """Return the table of ``clv.predict`` as one of Spark, computed by its workers.

    Parameters
    ----------
    session
        The SparkSession; its workers have bayes_clv installed, of this version.
    buying, customers, horizon, spending, margin, annual_discount_rate, acquisition_cost, seed
        As in ``clv.predict``; the cost is one number for all.
    part
        Customers that a task forecasts at a time, in one thread: its memory, and how finely work is divided; it
        changes no number.

    Returns
    -------
    pyspark.sql.DataFrame
        A row per customer with the columns of ``clv.table``, in no order, computed when it is asked for. The metadata
        of its first column hold, under ``"bayes_clv"`` and as JSON, the attributes of that table (horizon, seed,
        problems of the fit, reasons); they stay in Parquet files that Spark writes.

    Raises
    ------
    InputError
        For what is no SparkSession, a part of no customers, and all that ``clv.predict`` refuses of the first customer;
        of another customer it stops Spark's job, with the same sentence.

    Examples
    --------
    >>> predict_on_spark(None, buying, customers, "39 weeks", seed=1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bayes_clv.schema.InputError: NoneType is no SparkSession. ...
    """
    import pyarrow as pa

    from bayes_clv.inference.posterior import read_customers, save, write_customers

    if not hasattr(session, "createDataFrame"):
        raise InputError(
            f"{type(session).__name__} is no SparkSession. Start one with "
            "pyspark.sql.SparkSession.builder.getOrCreate(), or leave Spark out: clv.predict says the same."
        )
    if isinstance(part, bool) or not isinstance(part, int | np.integer) or part < 1:
        raise InputError(f"part={part!r} must be a whole number of customers from 1, such as {PART}.")
    first = customers.isel({CUSTOMER: slice(0, 1)})
    asked: dict[str, Any] = {
        "horizon": horizon,
        "margin": margin,
        "annual_discount_rate": annual_discount_rate,
    }
    asked |= {"acquisition_cost": acquisition_cost, "seed": seed}
    posteriors = [_file(tree, save) for tree in (buying, spending) if tree is not None]
    # What cannot be forecast at all is told here, and not by a worker.
    one = _table(*_posteriors(posteriors), first, asked)
    columns = pa.Schema.from_pandas(one, preserve_index=False).remove_metadata()
    shared = session.sparkContext.broadcast(posteriors)

    def work(batches: Iterator[Any]) -> Iterator[Any]:
        trees = _posteriors(shared.value)
        for batch in batches:
            for file in batch.column("customers").to_pylist():
                table = _table(*trees, _opened(file, read_customers), asked)
                yield from pa.Table.from_pandas(table, columns, preserve_index=False).to_batches()

    places = range(0, customers.sizes[CUSTOMER], part)
    files = [_file(_part(customers, place, part), write_customers) for place in places]
    parts = session.createDataFrame(pa.table({"customers": pa.array(files, pa.binary())})).repartition(
        len(files)
    )
    schema = session.createDataFrame(pa.Table.from_pandas(one, columns, preserve_index=False)).schema
    told = {ATTRIBUTES: json.dumps(one.attrs)}
    return parts.mapInArrow(work, schema).withMetadata(columns.names[0], told)


def _table(
    buying: "xr.DataTree", spending: "xr.DataTree | None", customers: "xr.Dataset", asked: dict[str, Any]
) -> "pd.DataFrame":
    """Return the forecast of some customers by one thread: Spark counts a task as one processor."""
    from bayes_clv.predictions.forecasts import predict
    from bayes_clv.views.frames import table

    return table(predict(buying, customers, spending=spending, threads=1, **asked))


def _part(customers: "xr.Dataset", first: int, size: int) -> "xr.Dataset":
    from bayes_clv.customers.sequences import with_own_times

    return with_own_times(customers.isel({CUSTOMER: slice(first, first + size)}))


def _posteriors(files: list[bytes]) -> tuple["xr.DataTree", "xr.DataTree | None"]:
    from bayes_clv.inference.posterior import load

    trees = [_opened(file, load) for file in files]
    return trees[0], trees[1] if len(trees) > 1 else None


def _file(value: Any, write: Callable[[Any, Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(write(value, Path(folder) / "value.nc")).read_bytes()


def _opened(file: bytes, read: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "value.nc"
        path.write_bytes(file)
        return read(path)
