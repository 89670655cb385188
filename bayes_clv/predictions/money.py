"""What of spend exists: moments that are infinite in some draw, and what was earned already."""

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.predictions.histories import distinct_histories, spend_history
from bayes_clv.predictions.parameters import Parameters
from bayes_clv.predictions.tiles import over_tiles, rows_of
from bayes_clv.schema import CUSTOMER

# What is NaN where the mean, or the variance, of spend is infinite.
MOMENTS = (
    (
        1,
        (
            "spend_mean",
            "value_mean",
            "value_sd",
            "value_period_mean",
            "spend_per_purchase_mean",
            "value_before_costs_mean",
            "cost_mean",
        ),
        "expected spend is infinite",
    ),
    (2, ("value_sd", "spend_per_purchase_sd", "value_before_costs_sd"), "the variance of spend is infinite"),
)


def without_moments(spending: Parameters, customers: xr.Dataset, moment: int) -> tuple[np.ndarray, int]:
    """Return which customers' spend lacks this moment in some draw, and in how many draws at most.

    Of Gamma-Gamma, mean spend is p / ν with ν ~ Gamma(shape, ·): its mean exists for shape > 1, its variance for
    shape > 2.
    """
    spending = spending.of(customers)
    known = spend_history(customers, spending.family)["occasions"]
    histories = distinct_histories({"occasions": known} | spending.columns)
    # Not spending.size: draws that were paired with another posterior's are more or fewer.
    draws = next(iter(spending.values.values())).size

    def lacking(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        without = spending.level.lacks_moment(moment, history, values)
        return (np.broadcast_to(without, (rows_of(history), draws)).sum(axis=1),)

    counts = histories.spread(over_tiles(histories, spending, lacking)[0], of_rows=True)
    return counts > 0, int(counts.max())


def historical_value(customers: xr.Dataset, margin: float | np.ndarray) -> tuple[np.ndarray, str | None]:
    """Return margin × spend to date of each customer, first occasion included; NaN with the reason if not known."""
    if "historical_spend" in customers:
        return margin * customers["historical_spend"].to_numpy().astype(float), None
    unknown = np.full(customers.sizes[CUSTOMER], np.nan)
    return unknown, ("the customers have no historical_spend. Build them from orders with clv.summarize.")


def remove_missing_moments(value: xr.Dataset, spending: Parameters, customers: xr.Dataset) -> list[str]:
    """Set means and standard deviations that do not exist to NaN in ``value``; return the reasons."""
    reasons = []
    for moment, affected, what in MOMENTS:
        lacking, draws = without_moments(spending, customers, moment)
        if not lacking.any():
            continue
        names = [name for name in affected if name in value]
        for name in names:
            value[name] = value[name].where(~xr.DataArray(lacking, dims=CUSTOMER))
        reasons.append(
            say(
                "{names}: NaN for {lacking} of {size} customers, because {what} in up to {draws} of {all} posterior "
                "draws (shape of the rate of spend at most {moment}). Use the quantiles, or a stronger prior on q.",
                names=" and ".join(names) if len(names) < 3 else ", ".join(names),
                lacking=int(lacking.sum()),
                size=lacking.size,
                what=what,
                draws=draws,
                all=spending.size,
                moment=moment,
            )
        )
    return reasons
