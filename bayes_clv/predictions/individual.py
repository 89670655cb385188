"""Families that draw each customer's future: what the engine, and who else needs a future, ask of them.

Such a family (its law is "individual", ``families.lifetimes``) has no state that customers of one history share:
the customer's own rates are drawn, given the history, for each draw of the population. A customer's numbers come
from a generator of its own, seeded by its key (``streams.customer_keys``), so that neither tiles nor threads nor the
other customers change them, and a shorter horizon is the beginning of a longer one.
"""

import numpy as np

from bayes_clv.families.contract import Family, Forecast, need
from bayes_clv.families.lifetimes import INDIVIDUAL
from bayes_clv.predictions.engine import PurchaseState
from bayes_clv.predictions.parameters import Parameters


def is_individual(family: Family) -> bool:
    """Return whether the family draws each customer's future.

    Examples
    --------
    >>> from bayes_clv.families.registry import family
    >>> is_individual(family("bg_nbd"))
    False
    """
    return need(family, Forecast).law == INDIVIDUAL


def drawn_state(posterior: Parameters, columns: dict[str, np.ndarray], keys: np.ndarray) -> PurchaseState:
    """Return the engine's ``purchase_state`` of rows that are single customers with these ``keys`` (row, 2)."""
    names, futures = posterior.forecast.history, posterior.forecast.futures
    if futures is None:
        raise ValueError(f"{posterior.family.name} draws no futures of its own.")

    def state(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        drawn = np.empty((4, rows.size, posterior.size))
        for i, row in enumerate(rows):
            history = {name: np.asarray(columns[name][row], dtype=float) for name in names}
            each = posterior.at(columns, np.array([row]))
            values = {name: np.ravel(value) for name, value in each.items()}
            rng = np.random.Generator(np.random.PCG64(int.from_bytes(keys[row].tobytes(), "little")))
            for part, numbers in zip(drawn, futures(rng, history, values), strict=True):
                part[i] = numbers
        return tuple(drawn)

    return state
