"""What describes customers beside their orders: the columns that covariates and groups read, and where they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.schema import InputError, argument
from bayes_clv.workflows.settings import Settings, costs_of, named_by

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def with_own_columns(settings: Settings, customers: "xr.Dataset") -> "xr.Dataset":
    """Return the customers with the columns of their table."""
    if settings.columns is None:
        return customers
    from bayes_clv.customers.columns import with_columns

    table = read_described(settings.columns, settings.customer_id)
    wanted = _wanted(settings)
    wanted = [name for name in wanted if name not in settings.take]
    return with_columns(customers, table, wanted) if wanted else customers


def read_described(given: Any, customer_id: str, name: str = "columns") -> "pd.DataFrame":
    """Return a table of what describes customers, a DataFrame or a file, with their ids as ``customer_id``.

    ``name`` is the argument by which it is given.
    """
    import pandas as pd

    called = {"columns": "customers' columns", "over_time": "columns over time"}[name]
    table: pd.DataFrame = given
    if isinstance(given, str | Path):
        path = Path(given)
        kind = path.suffix.lower()
        if not path.is_file() or kind not in (".csv", ".parquet"):
            what = (
                "There is no file" if not path.is_file() else "Only .csv and .parquet files can be read, not"
            )
            raise InputError(f"{what} {path.name!r}. Name the table of {called} with {argument(name)}.")
        # Ids as text: 0017 is another customer than 17.
        table = pd.read_csv(path, dtype={customer_id: str}) if kind == ".csv" else pd.read_parquet(path)
    if customer_id in table.columns:
        table = table.rename(columns={customer_id: "customer_id"})
    if "customer_id" not in table.columns and not isinstance(given, pd.DataFrame):
        raise InputError(
            f"The table of {called} has no column {customer_id!r}, only "
            f"{', '.join(map(str, table.columns))}. Each row needs the id that the customers have."
        )
    return table


def taken(settings: Settings) -> dict[str, Any]:
    """Return the columns of the orders that customers take along: those that are said, or without a table all."""
    if settings.columns is not None:
        return settings.take
    return {name: settings.take.get(name, "one") for name in _wanted(settings)}


def _wanted(settings: Settings) -> list[str]:
    """Return the columns that fits, given or to be made, and costs read."""
    if settings.posteriors is None:
        return named_by(settings)
    return list(dict.fromkeys([*used_by(settings.posteriors), *costs_of(settings.costs)[1]]))


def used_by(folder: Path) -> list[str]:
    """Return the columns that the posteriors of an earlier run read."""
    from bayes_clv.inference.effects import Effects
    from bayes_clv.inference.pooled import read_groups
    from bayes_clv.inference.posterior import load

    found = []
    for path in sorted(folder.glob("*ing.nc")):
        tree = load(path)
        found += list(Effects.from_json(tree.attrs["effects"]).columns) if "effects" in tree.attrs else []
        groups = read_groups(tree)
        found += [] if groups is None else [groups.groups.by]
    return list(dict.fromkeys(found))
