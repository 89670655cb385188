"""Which offer for which customer by lifetime value, where an offer changes rate, dropout or spend.

An offer is a scenario of one customer: its levers, with the effects that an experiment found (``effect_of``) or that
are stated, change the customer's future, and the difference to its future as it is, draw by draw with the same luck, is
what the offer gains. Each customer gets the offer of the highest mean gain after its cost, if that is above 0.

A mean over draws holds the luck of those futures: the best-looking of many customers and offers would be judged by the
luck for which it was chosen. So what the plan promises is simulated anew, with the same posterior draws and other
random numbers. Rejected: to choose by half the draws and judge by the other half, which forgets half of the posterior.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.distributions.paths import Room
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.predictions.plans import purchase_plan
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, InputError, Variable, describe
from bayes_clv.valuation.actions import ACTION, COST, planned
from bayes_clv.valuation.assumptions import scope_of, stated_values
from bayes_clv.valuation.levers import CONTACT, LEVERS
from bayes_clv.valuation.scenario_sums import ASKED, amounts
from bayes_clv.valuation.scenarios import Settled, World
from bayes_clv.valuation.stated import Scenario, of_scenarios

_OWN = {
    "net_gain_everybody_mean": Variable(
        "mean net gain if everybody whom the offer may reach got it", "money", "outcome"
    )
}

type _Gains = Callable[[np.ndarray, dict[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]


def plan_offers(
    simulation: Simulation,
    offers: Iterable[Scenario],
    *,
    costs: Mapping[str, Any] | None = None,
    base: Scenario | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return the best offer of each customer by lifetime value, the order to make them in, and the gain to be expected.

    Parameters
    ----------
    simulation
        Of ``clv.simulate`` with a spending posterior; its horizon is that of the values.
    offers
        Scenarios of what each offer changes of the customers who get it, and its ``contact_cost``; ``where`` says who
        may get it. Effects on rate, dropout and spend are those of ``clv.valuation.effect_of``, or stated.
    costs
        Of some offers by name, what it costs each customer beside ``contact_cost``: a number, or the name of a column.
    base, threads
        As in ``clv.valuation.compare_scenarios``.

    Returns
    -------
    xarray.Dataset
        As ``clv.valuation.plan_actions``, an ``action`` an offer: over ``customer`` ``chosen_action`` ("none" where no
        gain is expected), ``probability`` (of being one who may get it), ``cost``, ``net_gain_mean`` and ``rank``; over
        ``action`` ``order``, ``customers``, ``spent``, ``net_gain_total`` (draw, action) with _mean, _q05 and _q95, and
        ``probability_pays``. Totals are of other futures than those by which customers were chosen, whose
        ``net_gain_mean`` holds that luck and adds up to too much. Also over
        ``action`` ``net_gain_everybody_mean``, what one offer alone gains if all get it who may. A budget is kept by
        following ``rank`` for as long as the money lasts. Level: outcome.

    Raises
    ------
    InputError
        As ``compare_scenarios``; a lever of the whole business, and costs of an offer that there is not.

    Examples
    --------
    >>> simulation = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> mail = clv.valuation.scenario("mail", purchase_rate="+8 %", contact_cost=0.2)
    >>> call = clv.valuation.scenario("call", where="frequency >= 2", purchase_rate="+20 %", contact_cost=2.0)
    >>> plan = plan_offers(simulation, [mail, call])
    >>> plan["action"].to_numpy().tolist()
    ['mail', 'call']
    """
    _, each = of_scenarios(offers, None)
    _check(each, costs or {})
    world = World.of(simulation, base, None, threads)
    settled = [world.settle(one) for one in each]
    own = _own_costs(simulation, each, costs or {})
    contact = np.stack([one.levers[CONTACT] - world.base.levers[CONTACT] for one in settled], axis=1)
    cost = contact.mean(axis=0) + own
    size, count = simulation.inputs.size, len(settled)
    expected, there = np.zeros((size, count)), np.zeros((size, count))
    gains, needed = _gains(world, simulation, settled)

    def work(places: np.ndarray, block: dict[str, np.ndarray]) -> None:
        gained, inside = gains(places, block)
        expected[places], there[places] = gained.mean(axis=2).T, inside.mean(axis=2).T

    for _ in simulation.each(work, needed, threads):
        pass
    net, rows = np.where(there > 0, expected - cost, -np.inf), np.arange(size)
    best = net.argmax(axis=1)
    chosen = np.where(net[rows, best] > 0, best, -1)

    others = _other_luck(simulation)
    again, _ = _gains(world, others, settled)
    found = np.zeros((2, simulation.size, count))

    def add(places: np.ndarray, block: dict[str, np.ndarray]) -> np.ndarray:
        gained, _ = again(places, block)
        mine = chosen[places][None, :] == np.arange(count)[:, None]
        return np.stack([(gained * mine[:, :, None]).sum(axis=1).T, gained.sum(axis=1).T])

    for part in others.each(add, needed, threads):
        found += part
    groups = chosen[:, None] == np.arange(count), there > 0
    totals, everybody = (
        gained - contact * mine.sum(axis=0) - (own * mine).sum(axis=0)
        for gained, mine in zip(found, groups, strict=True)
    )
    spent = (cost * groups[0]).sum(axis=0)
    texts = {one.name: one.text for one in each}
    result = planned(simulation, "offers", texts, (chosen, best, net, there, cost), totals, spent)
    return describe(result.assign(net_gain_everybody_mean=(ACTION, everybody.mean(axis=0))), _OWN)


def _check(offers: list[Scenario], costs: Mapping[str, Any]) -> None:
    if not offers:
        raise InputError("There is no offer. State each with clv.valuation.scenario.")
    for each in offers:
        of_all = [name for name in each.levers if LEVERS[name].of_all]
        if of_all:
            raise InputError(
                f"{each.levers[of_all[0]].place}: {of_all[0]} is of the whole business, and an offer of customers. "
                "Leave it out, or compare scenarios."
            )
    unknown = [name for name in costs if name not in [each.name for each in offers]]
    if unknown:
        raise InputError(f"costs are of {unknown[0]!r}, which is no offer. Name one that is.")


def _own_costs(simulation: Simulation, offers: list[Scenario], costs: Mapping[str, Any]) -> np.ndarray:
    """Return what each offer costs each customer beside what it costs all, (customer, offer)."""
    found = np.zeros((simulation.inputs.size, len(offers)))
    for place, each in enumerate(offers):
        if each.name in costs:
            values, _ = stated_values(simulation, each.name, "cost", COST, costs[each.name])
            found[:, [place]] = values(np.arange(simulation.inputs.size))
    return found


def _gains(world: World, simulation: Simulation, settled: list[Settled]) -> tuple[_Gains, list[str]]:
    """Return what gives gains before contact, and memberships, (offer, customer, draw); and the quantities it needs."""
    plain, base = replace(simulation, margin=1.0, costs=None), world.base
    runs = {
        run: plain.varied(horizon=run.horizon, discount=run.discount, **run.changes)
        for run in dict.fromkeys([base.run, *(each.run for each in settled)])
    }
    scopes = [
        scope_of(world.simulation, each.scenario.place, each.scenario.where, world.threads)
        for each in settled
    ]
    order = simulation.inputs.histories.order
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    rooms: SimpleQueue[Room] = SimpleQueue()

    def gains(places: np.ndarray, block: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        shape = (places.size, simulation.size)
        sums = {
            run: np.stack(world.terms.weighed(each.of(place[places], ASKED, rooms), run.discount, places))
            for run, each in runs.items()
        }

        def worth(each: Settled) -> np.ndarray:
            # What contacting costs is paid by whoever gets the offer, and subtracted later.
            found = amounts(dict(each.levers) | {CONTACT: base.levers[CONTACT]}, sums[each.run], each.own)
            return np.asarray(found["contribution"] - found["cost"])

        now = worth(base)
        inside = np.stack([np.broadcast_to(of(places, block), shape) for of, _ in scopes])
        return np.stack([worth(each) - now for each in settled]) * inside, inside

    return gains, list(dict.fromkeys(name for _, names in scopes for name in names))


def _other_luck(simulation: Simulation) -> Simulation:
    """Return the recipe with other random numbers and the same posterior draws."""
    keys = customer_keys(simulation.customers[CUSTOMER].values, simulation.seed, purpose="offers")
    inputs = replace(simulation.inputs, keys=keys)
    plan = purchase_plan(inputs.posterior, inputs.histories, keys, inputs.horizon)
    return replace(simulation, inputs=inputs, plan=replace(simulation.plan, state=plan.state, keys=plan.keys))
