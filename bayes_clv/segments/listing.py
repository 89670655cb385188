"""Who is to be taken for a segment: a list of customers by the probability that they belong, or by what they bring.

A label goes to the most probable segment, so that a segment that is nobody's most probable one has no labels, however
many customers are in it. A list has no such gap: its first n customers hold as many of the segment as their
probabilities add up to, and no other n hold more.
"""

import numpy as np
import xarray as xr

from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, InputError, Variable, argument, describe, either
from bayes_clv.segments.membership import groups
from bayes_clv.segments.rules import Rule

ORDERS = ("probability", "value")
_OWN = {
    "probability": Variable("probability of being in the segment", "probability"),
    "value_there": Variable("mean value, counted where the customer is in the segment", "money", "outcome"),
    "members": Variable("customers of the segment to be expected among those so far", "count"),
    "rank": Variable("place in the list, 1 first", "count"),
}


def members(
    draws: Simulation, rule: Rule, segment: str, *, order: str = "probability", threads: int | None = None
) -> xr.Dataset:
    """Return the customers in the order in which they are to be taken for a segment.

    Parameters
    ----------
    draws
        Of ``clv.simulate``.
    rule, segment
        A rule, and which of its segments.
    order
        ``"probability"``: those first who most probably are in the segment; ``"value"``: those first whose value there
        is highest, the most that keeping them from leaving, say, can be worth. Who is sure to be in the segment and
        brings nothing comes first in one and last in the other.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``, in that order: ``rank``; ``probability``, of being in the segment; ``members``, how many of
        the segment are to be expected among the first so many (the sum of their probabilities); and, where the draws
        have money, ``value_there``: the mean over draws of the value over the horizon where the customer is in the
        segment, and 0 where it is not.

    Raises
    ------
    InputError
        A segment that the rule does not have, an unknown order, or value without a spending posterior; and as
        ``clv.segment``.

    Notes
    -----
    ``value_there`` is no gain yet: what acting on a customer changes, an experiment tells (``clv.target``).

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, horizon="52 weeks", draws=100, seed=1)
    >>> first = members(draws, clv.segments.lifecycle(), "at risk").isel(customer=slice(0, 200))
    """
    names = [each.name for each in rule.segments]
    if segment not in names:
        raise InputError(
            f"{argument('segment', segment)}: the rule {rule.name!r} has no such segment. It has "
            f"{', '.join(map(repr, names))}."
        )
    if order not in ORDERS:
        raise InputError(f"{argument('order', order)} is not known. Use one of {', '.join(ORDERS)}.")
    money = "value" in draws.names
    if order == "value" and not money:
        raise InputError(
            f"{argument('order', order)} needs money, and "
            f"{either('these draws have no spending posterior', 'the run is of purchases alone')}. List by probability."
        )
    of, number = groups(draws, rule, threads), names.index(segment)
    needed = list(dict.fromkeys([*of.needed, *(["value"] if money else [])]))
    probability, value = np.zeros(draws.inputs.size), np.zeros(draws.inputs.size)

    def work(places: np.ndarray, values: dict[str, np.ndarray]) -> None:
        there = np.broadcast_to(of.members(places, values) == number, (places.size, draws.size))
        # Each customer is in one block.
        probability[places] = there.mean(axis=1)
        if money:
            value[places] = (there * values["value"]).mean(axis=1)

    for _ in draws.each(work, needed, threads):
        pass
    by = (-value, -probability) if order == "value" else (-probability, -value)
    place = np.lexsort((by[1], by[0]))
    data = {
        "rank": np.arange(1, place.size + 1),
        "probability": probability[place],
        "members": np.cumsum(probability[place]),
    } | ({"value_there": value[place]} if money else {})
    found = xr.Dataset(
        {name: (CUSTOMER, each) for name, each in data.items()},
        coords={CUSTOMER: draws.customers[CUSTOMER].to_numpy()[place]},
        attrs={
            "result": "members",
            "rule": rule.name,
            "segment": segment,
            "order": order,
            "horizon": draws.horizon,
            "time_unit": str(draws.customers.attrs.get("time_unit", "")),
            "draws": draws.size,
            "seed": draws.seed,
        },
    )
    return describe(found, _OWN)
