"""The simulation's functions, compiled beside the fits where no cache has them yet.

A first run compiles for a quarter of a minute what it simulates with, and a fit's own compiling leaves a processor
free. The second process (``beside``) fills Numba's cache on disk, which the run then reads. From the second run on
there is nothing to compile.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bayes_clv.families.contract import Forecast, need
from bayes_clv.families.registry import family as find_family


def is_compiled(buying: str) -> bool:
    """Return whether Numba's cache knows the family's law of leaving, or cannot."""
    begin = need(find_family(buying), Forecast).paths.begin
    folder = getattr(getattr(begin, "stats", None), "cache_path", None)
    if folder is None:
        return True
    module = begin.__module__.rpartition(".")[2]
    return any(Path(folder).glob(f"{module}.{begin.__name__}-*.nbi"))


def compile_missing(buying: str, spending: str | None = None) -> None:
    """Compile the simulation's functions, where Numba's cache does not have them."""
    if not is_compiled(buying):
        compile_simulation(buying, spending)


def compile_simulation(buying: str, spending: str | None = None) -> None:
    """Simulate two customers, so that all that is compiled for it is in Numba's cache on disk."""
    import pandas as pd
    import xarray as xr

    from bayes_clv.customers.sequences import with_times
    from bayes_clv.customers.tables import from_table
    from bayes_clv.families.quantities import starting_point
    from bayes_clv.predictions.forecasts import predict
    from bayes_clv.schema import CHAIN, CUSTOMER, DRAW

    table: dict[str, list[Any]] = {
        "frequency": [0, 3],
        "recency": [0.0, 20.0],
        "T": [30.0, 30.0],
        "monetary_value": [np.nan, 25.0],
    }
    customers = from_table(pd.DataFrame(table), time_unit="week")
    times, spend = np.array([5.0, 12.0, 20.0]), np.array([20.0, 25.0, 30.0])
    customers = with_times(customers, times, np.array([0, 3]), spend).assign(
        log_intervals=(CUSTOMER, [0.0, 5.0]),
        log_spend_mean=(CUSTOMER, [np.nan, 3.0]),
        log_spend_sd=(CUSTOMER, [np.nan, 0.5]),
    )

    def of_nobody(name: str) -> xr.DataTree:
        family = find_family(name)
        columns = {each: customers[each].to_numpy()[1:].astype(float) for each in family.observed}
        start = starting_point(family.quantities, family.scale(columns, np.ones(1)))
        values = {
            each: ((CHAIN, DRAW), np.full((1, 50), value))
            for each, value in family.from_quantities(start).items()
        }
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(values)})
        tree.attrs = {"family": name, "time_unit": "week"}
        return tree

    paid = None if spending is None else of_nobody(spending)
    predict(of_nobody(buying), customers, 30.0, spending=paid, periods=2, seed=0, threads=1)
