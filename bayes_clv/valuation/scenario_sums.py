"""Sums over customers of which the totals of a scenario are made, and what customers' own costs weigh in them.

What customers cost (``clv.predictions.costs``) stands in the base as levers do: a term that is one number for all is
the lever's amount there. Of a term in which customers differ the lever has the amount of the customer of whom it is
largest, and each customer's share of that weighs in a sum of its own. So a change ("+5 %") changes everybody's own
amount by as much, a number sets it for all alike, and either is a factor of sums, exact and without a simulation. The
expected loss by default is no lever; it goes with prices and spend, of which it is a share.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayes_clv.predictions.own_costs import OwnCosts, discounted_time, running_cost
from bayes_clv.predictions.simulation import ACTIVE_TIME, DISCOUNTED, Simulation
from bayes_clv.valuation.levers import CONTACT, MARGIN, ORDER, PRICE, SERVE, SPEND

_DRAWN = ("purchases", "spend", "value")
# What is drawn of each customer, money at a margin of 1.
ASKED = (*_DRAWN, DISCOUNTED, ACTIVE_TIME)
# Rows of the sums: what was drawn, discounted purchases, discounted time, customers; and where customers have costs of
# their own discounted spend, purchases and time by each one's share of the largest, and the expected loss by default.
PURCHASES, SPENT, VALUE, ORDERS, TIME, PEOPLE, OWN_VALUE, OWN_ORDERS, OWN_TIME, LOST = range(10)
# Of each lever that is a term of costs: its name there, the row of its sum, and that of its own.
_TERMS = {
    MARGIN: ("margin", VALUE, OWN_VALUE),
    ORDER: ("order", ORDERS, OWN_ORDERS),
    SERVE: ("serve", TIME, OWN_TIME),
}


@dataclass(frozen=True)
class Terms:
    """What customers cost as levers have it: the ``largest`` amount of each, and those in which they ``differ``."""

    costs: OwnCosts | None
    largest: Mapping[str, float]
    differ: frozenset[str] = frozenset()

    @classmethod
    def of(cls, simulation: Simulation) -> "Terms":
        """Return the terms of a simulation's customers."""
        costs = simulation.costs
        if costs is None:
            return cls(None, {MARGIN: simulation.margin})
        each: dict[str, np.ndarray] = {name: getattr(costs, field) for name, (field, _, _) in _TERMS.items()}
        largest = {name: float(term.max()) for name, term in each.items()}
        return cls(costs, largest, frozenset(name for name, term in each.items() if term.min() != term.max()))

    @property
    def rows(self) -> int:
        """Return how many sums there are."""
        return PEOPLE + 1 if self.costs is None else LOST + 1

    def average(self, draws: int) -> "Terms":
        """Return those of the average customer, of whom there is one."""
        return self if self.costs is None else replace(self, costs=self.costs.average(draws))

    def weighed(
        self, drawn: Mapping[str, np.ndarray], discount: float, places: np.ndarray
    ) -> list[np.ndarray]:
        """Return what is added up over the customers of these places, in the order of the rows, (customer, draw)."""
        time = discounted_time(drawn[ACTIVE_TIME], discount)
        found = [*(drawn[name] for name in _DRAWN), drawn[DISCOUNTED], time, np.ones_like(time)]
        if self.costs is None:
            return found
        for name, (field, row, _) in _TERMS.items():
            share = (
                getattr(self.costs, field)[places, None] / self.largest[name] if name in self.differ else 1.0
            )
            found.append(found[row] * share)
        return [*found, self.costs.risk(places) * self.costs.loss[places, None] * drawn["value"]]


def amounts(
    levers: Mapping[str, np.ndarray], sums: np.ndarray, own: Collection[str]
) -> dict[str, np.ndarray]:
    """Return purchases, revenue, contribution and cost (draw,) of sums over customers, see ``scenarios``.

    ``own`` are the terms that are each customer's own.
    """
    known = {name: sums[mine if name in own else row] for name, (_, row, mine) in _TERMS.items()}
    price = levers[PRICE]
    brings = levers[SPEND] * price
    earned = levers[MARGIN] * known[MARGIN]
    lost = brings * sums[LOST] if sums.shape[0] > LOST else 0.0
    return {
        "purchases": sums[PURCHASES],
        "revenue": sums[SPENT] * brings,
        # Of a margin m (m + x) / (1 + x) is left, m itself to the last digit where prices stay.
        "contribution": brings * (earned + (sums[VALUE] - earned) * (price - 1) / price),
        "cost": running_cost(known[ORDER], known[SERVE], levers[ORDER], levers[SERVE])
        + levers[CONTACT] * sums[PEOPLE]
        + lost,
    }
