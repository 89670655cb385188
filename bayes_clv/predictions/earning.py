"""Expected discounted spend in closed form: purchases to come, each discounted, and what an occasion then brings.

Purchases and spend are independent given the draw. Where spend is one for ever it is one product. Where it moves,
with a calendar or with its customer, it is a sum over parts of the horizon, each with the purchases of the part: the
discount is the part's mean, right to 1e-5 at 10 % a year and weeks, and so is spend that moves with its customer, by
Simpson's rule. With a growth of 2 over CDNOW's 39 weeks totals of 26 and of 52 parts differ by 7e-6 of themselves, and
of new customers over 78 weeks by 1e-4.
"""

import numpy as np

from bayes_clv.families.contract import Columns, Forecast, Params
from bayes_clv.predictions.parameters import Parameters

# Parts of a horizon over which spend moves.
PARTS = 26


def worth(
    forecast: Forecast, payer: Parameters, horizon: float, rate: float, history: Columns, values: Params
) -> np.ndarray:
    """Return expected purchases to the horizon, each at its discount and, with a calendar of spend, its period's g."""
    if payer.ahead is None:
        return forecast.discounted(horizon, rate, history, values)
    ends, each = payer.worth(horizon, rate)
    total, before = np.zeros(()), np.zeros(())
    for end, factor in zip(ends.tolist(), each, strict=True):
        bought = forecast.purchases(end, history, values)
        total, before = total + factor * (bought - before), bought
    return total


def over_parts(
    payer: Parameters, horizon: float, rate: float, columns: Columns, values: Params
) -> np.ndarray:
    """Return what an occasion of each part of the horizon brings, discounted, (part, row, draw), of spend that moves.

    ``columns`` and ``values`` are what the family of spend reads.
    """
    later = payer.level.later
    assert later is not None
    ends = horizon * np.arange(PARTS + 1) / PARTS
    long = horizon / PARTS
    mean = np.exp(-rate * ends[:-1]) * (-np.expm1(-rate * long) / (rate * long) if rate else 1.0)
    brings = later(horizon * np.arange(2 * PARTS + 1) / (2 * PARTS), columns, values)
    whole: np.ndarray = (brings[:-1:2] + 4 * brings[1::2] + brings[2::2]) / 6
    return whole * mean[:, None, None]


def earned(
    forecast: Forecast,
    payer: Parameters,
    horizon: float,
    rate: float,
    history: Columns,
    values: Params,
    to_bought: np.ndarray,
    columns: Columns,
    own: Params,
) -> np.ndarray:
    """Return expected discounted spend (row, draw), of rows whose purchases are those of ``history[to_bought]``.

    ``columns`` and ``own`` are what the family of spend reads of the rows.
    """
    if payer.level.later is None:
        bought = np.asarray(worth(forecast, payer, horizon, rate, history, values))
        return np.asarray(
            (bought[to_bought] if bought.ndim == 2 else bought) * payer.level.expected(columns, own)
        )
    total, before = np.zeros(()), np.zeros(())
    for part, brings in enumerate(over_parts(payer, horizon, rate, columns, own), start=1):
        bought = np.asarray(forecast.purchases(horizon * part / PARTS, history, values))
        total, before = total + brings * (bought - before)[to_bought], bought
    return total
