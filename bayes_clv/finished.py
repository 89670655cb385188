"""A finished run, read back from its folder: what the commands after ``run`` start from.

``customers.nc`` and the posteriors are the run's own, to the last digit; how far and at which margin it looked is taken
from the attributes of ``customers.parquet``, since ``run.json`` rounds a horizon for people.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.schema import CUSTOMER, InputError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True)
class Finished:
    """A run: its customers and posteriors, its table of customers, and what ``run.json`` holds.

    ``spending`` is None for a run on purchases alone.
    """

    customers: "xr.Dataset"
    buying: "xr.DataTree"
    spending: "xr.DataTree | None"
    table: "pd.DataFrame"
    record: dict[str, Any]

    @property
    def horizon(self) -> float:
        """Return how far it forecast, in the customers' time unit."""
        return float(self.table.attrs["horizon"])

    @property
    def margin(self) -> float:
        """Return the share of spend that is earned."""
        return float(self.table.attrs.get("margin", 1.0))

    @property
    def annual_discount_rate(self) -> float:
        """Return the discount rate a year."""
        return float(self.table.attrs.get("annual_discount_rate", 0.0))

    @property
    def seed(self) -> int:
        """Return the seed that the run was given."""
        return int(self.record["arguments"]["seed"])

    @property
    def problems(self) -> list[str]:
        """Return what its convergence checks found, a sentence each."""
        found = self.record["diagnostics"].values()
        return [f"{each['family']}: {problem}" for each in found for problem in each["problems"]]

    def value(self) -> "xr.Dataset | None":
        """Return ``value_mean`` over its customers, or None without spend."""
        import xarray as xr

        if "value_mean" not in self.table:
            return None
        ids = self.table["customer_id"].to_numpy(dtype=object)
        return xr.Dataset({"value_mean": (CUSTOMER, self.table["value_mean"].to_numpy())}, {CUSTOMER: ids})


def read_run(folder: str | Path) -> Finished:
    """Return the run in a folder that ``run`` or ``demo`` wrote.

    Raises
    ------
    InputError
        For a folder that holds no finished run, a run of a version that did not keep its customers, and damaged files.

    Examples
    --------
    >>> read_run("no such run")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bayes_clv.schema.InputError: There is no folder 'no such run'. Name the folder of a finished run, ...
    """
    folder = Path(folder)
    record = read_record(folder)
    missing = [name for name in ("customers.parquet", "buying.nc") if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"The run in {str(folder)!r} lacks {missing[0]!r}. Copy the folder as a whole, or run again."
        )
    if not (folder / "customers.nc").is_file():
        raise InputError(
            f"The run in {str(folder)!r} has no 'customers.nc': bayes_clv {_version(record)} did not write one then. "
            f"Run again with --posteriors {folder} and the options of that run; nothing is then fitted anew."
        )
    from bayes_clv.customers.stored import read_customers
    from bayes_clv.inference import load

    table = _table(folder / "customers.parquet")
    with_spend = record["arguments"].get("spend") is not None
    return Finished(
        customers=read_customers(folder / "customers.nc"),
        buying=load(folder / "buying.nc"),
        spending=load(folder / "spending.nc") if with_spend else None,
        table=table,
        record=record,
    )


def read_record(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` of a run's folder holds; a folder without one is refused."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else ""
        where = f"{str(folder)!r} {what}" if what else f"There is no folder {str(folder)!r}"
        raise InputError(
            f"{where}. Name the folder of a finished run, such as 'clv-demo', which 'bayes-clv demo' writes."
        )
    path = folder / "run.json"
    if not path.is_file():
        raise InputError(
            f"{str(folder)!r} is no finished run: it has no 'run.json'. Name the folder that was --out of "
            "'bayes-clv run'."
        )
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        arguments, diagnostics = record["arguments"], record["diagnostics"]
        known = "seed" in arguments and isinstance(diagnostics, dict)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise InputError(
            f"'run.json' in {str(folder)!r} is not what a run writes: it is damaged, or something else. Run again."
        )
    return record


def _table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except Exception as error:
        raise InputError(
            f"{path.name!r} cannot be read: the file is truncated, damaged or no Parquet. Copy it again, or run again."
        ) from error
    if "horizon" not in table.attrs or "customer_id" not in table:
        raise InputError(
            f"{path.name!r} is not the table that a run writes: it does not say its horizon. Run again."
        )
    return table


def _version(record: dict[str, Any]) -> str:
    return str(record.get("versions", {}).get("bayes_clv", "of an earlier day"))
