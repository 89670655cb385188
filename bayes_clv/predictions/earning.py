"""Expected discounted spend in closed form: purchases to come, each discounted, and what an occasion then brings.

Purchases and spend are independent given the draw. Where spend is one for ever it is one product. Where it moves,
with a calendar or with its customer, it is a sum over parts of the horizon, each with the purchases of the part: the
discount is the part's mean, right to 1e-5 at 10 % a year and weeks, and so is spend that moves with its customer, by
Simpson's rule. With a growth of 2 over CDNOW's 39 weeks totals of 26 and of 52 parts differ by 7e-6 of themselves, and
of new customers over 78 weeks by 1e-4.
"""

from collections.abc import Iterator

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
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the end of each part of the horizon, and what an occasion of it brings, discounted, (row, draw).

    Of spend that moves with its customer; with a calendar the parts are its periods. ``columns`` and ``values`` are
    what the family of spend reads.
    """
    later = payer.level.later
    assert later is not None
    if payer.ahead is None:
        ends = horizon * np.arange(1, PARTS + 1) / PARTS
        long = horizon / PARTS
        mean = np.exp(-rate * (ends - long)) * (-np.expm1(-rate * long) / (rate * long) if rate else 1.0)
        factor = mean[:, None]
    else:
        ends, factor = payer.worth(horizon, rate)
    # Some at a time: (time, row, draw) of all days of a year would be large.
    for first in range(0, ends.size, PARTS):
        here = slice(first, first + PARTS)
        edges = np.concatenate([ends[first - 1 : first] if first else [0.0], ends[here]])
        times = np.empty(2 * edges.size - 1)
        times[::2], times[1::2] = edges, (edges[1:] + edges[:-1]) / 2
        brings = later(times, columns, values)
        whole = (brings[:-1:2] + 4 * brings[1::2] + brings[2::2]) / 6
        yield from zip(ends[here].tolist(), whole * factor[here, None, :], strict=True)


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
    for end, brings in over_parts(payer, horizon, rate, columns, own):
        bought = np.asarray(forecast.purchases(end, history, values))
        total, before = total + brings * (bought - before)[to_bought], bought
    return total
