"""An experiment as four sums of each segment and arm, which are all that the likelihood of a response depends on."""

import numpy as np
import xarray as xr

from bayes_clv.customers.experiments import ARMS, arms_of
from bayes_clv.schema import InputError

# ``offer`` is a dimension where the experiment names its offers, and not where it knows treated customers only.
SEGMENT, ARM, OFFER = "segment", "arm", "offer"


def reduce_experiment(experiment: xr.Dataset) -> tuple[xr.Dataset, float | None]:
    """Return the four sums of each segment and arm, and the amount where every conversion brought the same.

    Raises InputError when nobody bought.
    """
    arms = arms_of(experiment)
    own = (
        experiment["arm"].to_numpy()
        if "arm" in experiment
        else np.array(ARMS)[experiment["treated"].astype(int)]
    )
    money = experiment["outcome"].to_numpy().astype(float)
    labels, index = np.unique(experiment["segment"].to_numpy().astype(str), return_inverse=True)
    cell = index * len(arms) + np.array([arms.index(str(each)) for each in own])
    bought = money > 0
    if not bought.any():
        raise InputError(
            f"Nobody of the {money.size:,} customers bought (outcome is 0 for all), so that there is no response to "
            "learn. Is 'outcome' the money since the draw, and has enough time passed?"
        )
    logs = np.log(np.where(bought, money, 1.0))
    columns = {
        "customers": np.ones(money.size),
        "conversions": bought.astype(float),
        "outcome_total": money,
        "outcome_log_total": logs,
    }
    cells = xr.Dataset(
        {
            name: (
                (SEGMENT, ARM),
                np.bincount(cell, weights=column, minlength=len(arms) * labels.size).reshape(-1, len(arms)),
            )
            for name, column in columns.items()
        },
        coords={SEGMENT: labels.astype(object), ARM: np.array(arms, dtype=object)},
    )
    texts = {
        "customers": ("customers", "count"),
        "conversions": ("customers who bought", "count"),
        "outcome_total": ("money brought by all of them", "money"),
        "outcome_log_total": ("sum over who bought of the logarithm of the money", "log money"),
    }
    for name, (text, units) in texts.items():
        cells[name].attrs = {"long_name": text, "units": units}
    amounts = np.unique(money[bought])
    return cells, float(amounts[0]) if amounts.size == 1 else None


def named(cells: xr.Dataset) -> bool:
    """Return whether the experiment named its offers."""
    return [str(each) for each in cells[ARM].to_numpy()] != list(ARMS)


def offers_of_cells(cells: xr.Dataset) -> list[str]:
    """Return the arms but for the controls, which are the first."""
    return [str(each) for each in cells[ARM].to_numpy()[1:]]
