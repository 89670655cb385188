"""Customers whose purchase rate drifts (``drift``): what is read of them, and what a law of their leaving gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array, owned
from bayes_clv.distributions.poisson import drifting_states as filters
from bayes_clv.distributions.poisson.drifting_past import rates_ago
from bayes_clv.families.contract import Columns, Forecast, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases.timed import Timed

RATE = ("r", "alpha", "kappa")
# What the closed forms of a draw cost, an average over what is not known of the leaving each, is some 20 microseconds.
CLOSED_FORM_DRAWS = 100


@dataclass(frozen=True)
class Leaving:
    """A law by which customers leave whose purchase rate drifts.

    Attributes
    ----------
    terms : callable
        ``terms(times)``: the terms of the likelihood over all customers' purchase times, flat.
    forecast : callable
        ``forecast(times)``: the forecast over them.
    paced : callable, or None
        ``paced(times, clock)``: the terms at the pace of a calendar's clock (``contract.Paced``); None where they
        would need more than a change of time.
    """

    terms: Callable[[Array], tuple[Term, ...]]
    forecast: Callable[[Array], Forecast]
    paced: Callable[[Array, Any], tuple[Term, ...]] | None = None


class Seen(Timed):
    """Histories and parameters, and what the filter makes of them.

    ``leaving`` are the parameters beside those of the rate, which have these ``names``.
    """

    def __init__(self, names: tuple[str, ...], times: Array, columns: Columns, params: Params) -> None:
        super().__init__((*RATE, *names), times, columns, params)
        self.r, self.alpha, self.kappa, *leaving = self.values
        self.leaving = tuple(leaving)
        found = filters.states(self.ages, self.start, self.x, self.flat, self.r, self.alpha, self.kappa)
        self.rates = filters.Drifting(*found)


def rate_ago(
    times: Array,
    keys: NDArray[np.uint64],
    ago: float,
    columns: Columns,
    params: Params,
    rate: Array,
    left: Array,
) -> Array:
    """Return draws of the rate a time ``ago`` before T, given the history and the rate now or at leaving."""
    seen = Timed(RATE, times, columns, params)
    back = np.full(seen.T.shape, float(ago))
    found = rates_ago(
        seen.T, seen.start, seen.x, seen.times, *seen.values, back, owned(rate), owned(left), keys
    )
    return seen.out(found)


def new_customers(
    names: tuple[str, ...], columns: Columns, params: Params
) -> tuple[Array, list[Array], list[Array]]:
    """Return new customers' T, their parameters of the rate, and those of these ``names``; each (customer)."""
    T = np.atleast_1d(np.asarray(columns["T"], dtype=np.float64))
    values = [
        np.array(np.broadcast_to(np.asarray(params[name], dtype=np.float64), T.shape))
        for name in (*RATE, *names)
    ]
    return T, values[: len(RATE)], values[len(RATE) :]
