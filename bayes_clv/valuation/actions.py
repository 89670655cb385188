"""Which action for which customer, in which order, and what that is expected to gain.

A rule says for which customers an action is meant (``clv.segments.five_actions``, or any other), and is never sure who
they are. What acting changes is stated, since no order log tells it: an *effect*, the share of a *stake* that is gained
where the customer is one for whom the action is meant. Of customer i, action a, draw d::

    gain_iad = effect_ad × stake_id × [i is in the segment of a in draw d] - cost_ai

So an action for a customer who may be in its segment is paid in full and gains with the probability that it is: those
who are surely in a segment and bring nothing, and those who bring much and are hardly in it, come late. Each customer
gets the action of the highest expected gain, if that is above 0, which need not be the one of its most probable
segment. Rejected: one action a label, which acts on nobody of a segment that is no one's most probable.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.conditions import Expression, parsed
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, DRAW, InputError, Variable, argument, describe, interval
from bayes_clv.segments.membership import groups
from bayes_clv.segments.rules import Rule
from bayes_clv.valuation.assumptions import Field, Values, stated_values

ACTION, NONE = "action", "none"
EFFECT = Field("share of the stake that the action gains", 0.0, 10.0)
COST = Field("cost of the action for one customer", 0.0, np.inf)
_KEYS = ("effect", "cost", "stake")
_OWN = {
    "chosen_action": Variable("action of the highest expected gain, none where no gain is expected", "id"),
    "probability": Variable("probability that the customer is in the segment of its action", "probability"),
    "cost": Variable("cost of the action", "money"),
    "net_gain": Variable("net gain of the action", "money", "outcome"),
    "rank": Variable("place in the order of expected net gain per cost, 1 first", "count"),
    "customers": Variable("customers who get the action", "count"),
    "order": Variable("place of the action in the order of expected net gain per cost, 1 first", "count"),
    "spent": Variable("cost of the action for all who get it", "money"),
    "probability_pays": Variable(
        "probability that the action gains more than it costs", "probability", "outcome"
    ),
}


@dataclass(frozen=True)
class _Stated:
    name: str
    number: int
    effect: Values
    cost: Values
    stake: Expression
    text: str


def plan_actions(
    draws: Simulation, rule: Rule, actions: Mapping[str, Mapping[str, Any]], *, threads: int | None = None
) -> xr.Dataset:
    """Return the best action of each customer under stated effects, the order to act in, and the gain to be expected.

    Parameters
    ----------
    draws
        Of ``clv.simulate``.
    rule
        Whose segments actions are for, such as ``clv.segments.five_actions(cost=10)``.
    actions
        For some of the segments: ``effect``, the share of the stake that acting gains (a number, a ``clv.Prior``, drawn
        once per draw for all customers, or a column); ``cost`` of acting on one customer (a number or a column); and
        ``stake``, a quantity or an expression of quantities in money, "value" where it is left out:
        ``{"protect": {"effect": clv.Prior("Beta", alpha=2, beta=18), "cost": 2.0}}``.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: ``chosen_action`` ("none" where no gain is expected), ``probability`` of being in its
        segment, ``cost``, ``net_gain_mean`` and ``rank``. Over ``action``, in the order given: ``order`` to act in, by
        expected net gain per cost, ``customers``, ``spent``, ``net_gain_total`` (draw, action) and its _mean, _q05 and
        _q95, and ``probability_pays``. Level: outcome. ``attrs["stated"]`` (JSON) says what was assumed.

    Raises
    ------
    InputError
        A segment that the rule does not have, an effect or cost out of range, a stake that is not known.

    Notes
    -----
    The gain is as good as the effects stated; an experiment measures them (``clv.targeting.fit_response``).

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, "52 weeks", spending=spending, margin=0.3, draws=100, seed=1)
    >>> stated = {"protect": {"effect": 0.1, "cost": 0.2}, "keep": {"effect": 0.02, "cost": 0.1}}
    >>> plan = plan_actions(draws, clv.segments.five_actions(cost=1.0), stated)
    >>> plan["action"].to_numpy().tolist()
    ['protect', 'keep']
    """
    stated = [_read(draws, rule, name, given) for name, given in _mapping(actions).items()]
    of = groups(draws, rule, threads)
    needed = list(dict.fromkeys([*of.needed, *(name for each in stated for name in each.stake.names())]))
    size, count = draws.inputs.size, len(stated)
    expected, there = np.zeros((size, count)), np.zeros((size, count))
    costs = np.stack([_costs(each, size) for each in stated], axis=1)

    def gains(places: np.ndarray, values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return gains before cost and memberships, (action, customer, draw)."""
        shape = (places.size, draws.size)
        found = np.broadcast_to(of.members(places, values), shape)
        inside = np.stack([found == each.number for each in stated])
        stakes = [np.broadcast_to(each.effect(places) * each.stake(values), shape) for each in stated]
        return np.stack(stakes) * inside, inside

    def work(places: np.ndarray, values: dict[str, np.ndarray]) -> None:
        gained, inside = gains(places, values)
        # Each customer is in one block.
        expected[places] = gained.mean(axis=2).T
        there[places] = inside.mean(axis=2).T

    for _ in draws.each(work, needed, threads):
        pass
    net, rows = expected - costs, np.arange(size)
    best = net.argmax(axis=1)
    acted = net[rows, best] > 0
    chosen = np.where(acted, best, -1)
    totals = np.zeros((draws.size, count))

    def add(places: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
        gained, _ = gains(places, values)
        return np.stack([gained[a][chosen[places] == a].sum(axis=0) for a in range(count)], axis=1)

    # In the order of the blocks, so that threads change no digit.
    for part in draws.each(add, needed, threads):
        totals += part
    spent = np.array([costs[chosen == a, a].sum() for a in range(count)])
    totals -= spent
    texts = {each.name: each.text for each in stated}
    return planned(draws, rule.name, texts, (chosen, best, net, there, costs), totals, spent)


def planned(
    draws: Simulation,
    title: str,
    stated: Mapping[str, str],
    found: tuple[np.ndarray, ...],
    totals: np.ndarray,
    spent: np.ndarray,
) -> xr.Dataset:
    """Return the plan of actions, ``stated`` by name in words, as a dataset.

    ``found`` are the chosen action of each customer (-1: none) and the best one, (customer,); its net gain, how
    probably the action is meant for it, and cost, (customer, action). ``totals`` (draw, action), ``spent`` (action,).
    """
    chosen, best, net, there, costs = found
    rows = np.arange(chosen.size)
    mean, cost = net[rows, best], costs[rows, best]
    names = np.array(list(stated), dtype=object)
    people = np.bincount(chosen[chosen >= 0], minlength=names.size)
    low, high = interval(totals, axis=0)
    data: dict[str, Any] = {
        "chosen_action": (CUSTOMER, np.where(chosen >= 0, names[best], NONE)),
        "probability": (CUSTOMER, there[rows, best]),
        "cost": (CUSTOMER, cost),
        "net_gain_mean": (CUSTOMER, mean),
        "rank": (CUSTOMER, _ranks(chosen >= 0, mean, cost)),
        "order": (ACTION, _ranks(people > 0, totals.mean(axis=0), spent)),
        "customers": (ACTION, people),
        "spent": (ACTION, spent),
        "net_gain_total": ((DRAW, ACTION), totals),
        "net_gain_total_mean": (ACTION, totals.mean(axis=0)),
        "net_gain_total_q05": (ACTION, low),
        "net_gain_total_q95": (ACTION, high),
        "probability_pays": (ACTION, (totals > 0).mean(axis=0)),
    }
    result = xr.Dataset(
        data,
        coords={CUSTOMER: draws.customers[CUSTOMER].to_numpy(), ACTION: names, DRAW: np.arange(draws.size)},
        attrs={
            "result": "actions",
            "rule": title,
            "stated": json.dumps(dict(stated), ensure_ascii=False),
            "horizon": draws.horizon,
            "time_unit": str(draws.customers.attrs.get("time_unit", "")),
            "draws": draws.size,
            "seed": draws.seed,
        },
    )
    return describe(result, _OWN)


def _ranks(first: np.ndarray, gain: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Return each one's place by gain per cost, those of ``first`` before all others; equals as they come."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_cost = np.where(cost > 0, gain / cost, np.sign(gain) * np.inf)
    order = np.lexsort((-np.where(np.isnan(per_cost), 0.0, per_cost), ~first))
    found = np.empty(gain.size, dtype=np.int64)
    found[order] = np.arange(1, gain.size + 1)
    return found


def _mapping(actions: Any) -> Mapping[str, Any]:
    if not isinstance(actions, Mapping) or not actions:
        raise InputError(
            f"{argument('actions')} is {actions!r}. State them by segment, such as "
            "{'protect': {'effect': 0.1, 'cost': 2.0}}."
        )
    return actions


def _read(draws: Simulation, rule: Rule, name: str, given: Any) -> _Stated:
    names = [each.name for each in rule.segments]
    if name not in names:
        raise InputError(
            f"{argument('actions')}: the rule {rule.name!r} has no segment {name!r}. It has "
            f"{', '.join(map(repr, names))}."
        )
    place = f"Action {name!r}"
    if not isinstance(given, Mapping) or {"effect", "cost"} - set(given) or set(given) - set(_KEYS):
        raise InputError(f"{place} is {given!r}. It has effect and cost, and stake where that is not value.")
    stake = Expression(str(given.get("stake", "value")), f"{place}, stake")
    parsed(stake.text, stake.place)
    unknown = [each for each in stake.names() if each not in draws.names]
    if unknown:
        raise InputError(f"{stake.place}: {unknown[0]!r} is not known. There are {', '.join(draws.names)}.")
    effect, effect_words = stated_values(draws, name, "effect", EFFECT, given["effect"])
    if not isinstance(given["cost"], (int, float, np.number, str)) or isinstance(given["cost"], bool):
        raise InputError(f"{place}, cost: give a number, or the name of a column of the customers.")
    cost, cost_words = stated_values(draws, name, "cost", COST, given["cost"])
    text = f"{effect_words} of {stake.text}, for {cost_words}"
    return _Stated(name, names.index(name), effect, cost, stake, text)


def _costs(action: _Stated, size: int) -> np.ndarray:
    return np.broadcast_to(action.cost(np.arange(size)), (size, 1))[:, 0]
