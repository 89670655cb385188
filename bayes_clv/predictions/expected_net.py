"""Expected value of each customer less what it costs, in closed form: the formula of ``own_costs`` at the mean.

Orders and spend are independent given the draw, so that the expectation of each term is a closed form: discounted
purchases, and the discounted time until a customer leaves, the integral of exp(-delta t) P(here at t) over the horizon,
by Gauss and Legendre.
"""

from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import stretches
from bayes_clv.families.contract import Forecast
from bayes_clv.predictions.earning import earned
from bayes_clv.predictions.inputs import Inputs
from bayes_clv.predictions.own_costs import OwnCosts
from bayes_clv.predictions.tiles import TILE, Progress, in_order

# Nodes of the time until a customer leaves: P(here) falls smoothly; 24 give six digits of CDNOW's.
NODES = 32


def expected_time(
    forecast: Forecast, horizon: float, rate: float, history: dict[str, Any], values: dict[str, Any]
) -> np.ndarray:
    """Return the expected discounted time within the horizon until a customer leaves, time units."""
    point, weight = np.polynomial.legendre.leggauss(NODES)
    # Denser near now, where those who leave at a purchase leave.
    place = 0.5 * (1 + point)
    times, steps = horizon * place**2, horizon * place * weight
    parts = [
        step * np.exp(-rate * time) * forecast.survival(time, history, values)
        for time, step in zip(times.tolist(), steps.tolist(), strict=True)
    ]
    found: np.ndarray = np.sum(np.broadcast_arrays(*parts), axis=0)
    return found


def net_values(
    known: Inputs,
    rate: float,
    own: OwnCosts,
    *,
    keep: bool,
    threads: int | None,
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return expected values less costs: totals (draw,), means (customer,), and draws (draw, customer) if kept.

    Customers come in their own order.
    """
    spending, columns, size = known.spending, known.histories.columns, known.posterior.size
    assert spending is not None
    forecast = known.posterior.forecast
    order, row = known.histories.order, known.histories.row
    step = max(1, TILE // size)
    mean, kept = np.empty(known.size), np.empty((size if keep else 0, known.size))

    def block(start: int) -> np.ndarray:
        end = min(start + step, known.size)
        rows, local = np.unique(row[start:end], return_inverse=True)
        new, to_bought = stretches(columns[name][rows] for name in known.past)
        history = {name: columns[name][rows[new], None] for name in forecast.history}
        values = known.posterior.at(columns, rows[new])
        shape = (int(new.sum()), size)
        terms = (
            forecast.discounted(known.horizon, rate, history, values),
            expected_time(forecast, known.horizon, rate, history, values),
        )
        orders, time = (np.broadcast_to(each, shape)[to_bought] for each in terms)
        spent = earned(
            forecast,
            spending,
            known.horizon,
            rate,
            history,
            values,
            to_bought,
            spending.paid(columns, rows),
            spending.at(columns, rows),
        )
        spent = np.broadcast_to(spent, (rows.size, size))
        places = order[start:end]
        found = own.net(places, spent[local], orders[local], time[local])
        mean[places] = found.mean(axis=1)
        if keep:
            kept[:, places] = found.T
        return np.asarray(found.sum(axis=0))

    walk = in_order(block, range(0, known.size, step), threads=threads, progress=progress)
    return sum(walk, np.zeros(size)), mean, kept
