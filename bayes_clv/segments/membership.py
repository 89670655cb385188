"""Who belongs to which segment in each draw, for those who add up over segments.

Segments come from a rule, applied to every draw, so that a sum over a segment knows that its members are uncertain; or
from fixed labels, where the list of members is given and only their future is uncertain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.predictions.inputs import labels_of, name_of
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.segments.rules import Rule
from bayes_clv.segments.thresholds import amounts_of, check_names, thresholds_of

ALL = "all customers"


@dataclass(frozen=True)
class Groups:
    """Segments of customers.

    Attributes
    ----------
    title : str
        What the segments are called in tables and figures.
    names : tuple of str
    needed : tuple of str
        Quantities that ``members`` reads.
    members : callable
        (places, quantities of a block) -> the number of each customer's segment, (customer, draw) or (customer, 1).
    """

    title: str
    names: tuple[str, ...]
    needed: tuple[str, ...]
    members: Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray]


def groups(draws: Simulation, by: Any, threads: int | None = None) -> Groups:
    """Return who belongs to which segment.

    ``by`` is a rule, whose memberships are found in every draw; or fixed labels: the name of a column, labels by
    customer id, or what ``clv.segment`` returned (its most probable segments); or None, all customers in one segment.
    Raises InputError as ``clv.segment`` and ``labels_of``.
    """
    if by is None:
        everybody = np.zeros((1, 1), dtype=np.int64)
        return Groups(ALL, (ALL,), (), lambda places, values: np.broadcast_to(everybody, (places.size, 1)))
    if isinstance(by, Rule):
        return _by_rule(draws, by, threads)
    names, index = np.unique(labels_of(draws.customers, by).astype(str), return_inverse=True)
    return Groups(name_of(by), tuple(names.tolist()), (), lambda places, values: index[places, None])


def _by_rule(draws: Simulation, rule: Rule, threads: int | None) -> Groups:
    check_names(draws, rule, ())
    thresholds = thresholds_of(draws, rule, threads)

    def members(places: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(rule.assign(amounts_of(draws, rule, places, values), thresholds))

    return Groups(rule.name, tuple(each.name for each in rule.segments), tuple(rule.names()), members)


def sum_by(found: np.ndarray, amount: np.ndarray, count: int, draws: int) -> np.ndarray:
    """Return (draw, segment): the sum of ``amount`` (customer, draw) over the members ``found`` of each segment."""
    shape = (found.shape[0], draws)
    place = np.broadcast_to(found * draws + np.arange(draws), shape).ravel()
    weights = np.broadcast_to(amount, shape).ravel()
    return np.bincount(place, weights=weights, minlength=count * draws).reshape(count, draws).T
