"""Tables on disk, as the commands write them.

CSV files begin with the mark of UTF-8 (three bytes, ``utf-8-sig``). Without it Excel reads a file in the alphabet of
the machine, and Chinese names come out as noise. pandas, Polars, DuckDB and R's readr skip the mark; base R needs
``fileEncoding = "UTF-8-BOM"``. Parquet needs none of it and keeps types.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_table(table: "pd.DataFrame", path: Path) -> None:
    """Write a table as CSV or Parquet, by the path's ending."""
    if path.suffix == ".csv":
        table.to_csv(path, index=False, encoding="utf-8-sig")
    else:
        table.to_parquet(path, index=False)
