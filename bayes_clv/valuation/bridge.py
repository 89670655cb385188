"""From the customer equity of one day to that of a later one: new, lost, rate, spend; added up in every draw.

    closing = opening + new + lost + revised + rate + spend + costs + outlook

new
    value now of those who have come since.
lost
    of those who have left since: what they were worth at the opening, gone.
revised
    what is known now and was not then: that somebody had left before the opening already, or is here after all and so
    for how long. Beliefs that were right on average have it about 0.
rate, spend
    of those who are here now: change of their discounted purchases for each unit of time they stay, and of the value
    of a discounted purchase.
costs
    of those who are here now, where the simulations have costs (``clv.predictions.costs``): change of what they cost,
    orders, time and defaults. The steps before are then of the margin on their spend.
outlook
    change of the value of those still to come.

Who has left, and when, is drawn given all that is known at the closing (``time_since_leaving``), so that a customer who
has bought since is never among the lost. A customer's value at the opening is that of the same draw of the posterior,
with the same random numbers. Where two factors change at once, those who are here are split by logarithmic mean weights
(``contribution``), which leave no rest; all parts are sums over customers of differences, so that they add up to the
last digits in every draw, not on average only.

Rejected: the lost as a number times the average value, since those who leave are worth less than others; and alive at
both days from each day's own draws, in which customers come back from the dead.
"""

from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.distributions.paths import Room
from bayes_clv.language import say
from bayes_clv.predictions.own_costs import BEFORE
from bayes_clv.predictions.simulation import ACTIVE_TIME, DISCOUNTED, SINCE, Simulation
from bayes_clv.schema import CUSTOMER, DRAW, InputError, Variable, describe
from bayes_clv.valuation.contribution import (
    check_same_question,
    lacking_mean,
    log_mean_shares,
    safe_ratio,
)
from bayes_clv.valuation.equity import (
    asked_of,
    checked_acquisition,
    future_value,
    refuse_without_money,
    summaries,
)

STEP = "step"
PARTS = ("new", "lost", "revised", "rate", "spend", "costs", "outlook")
# What is asked of a customer on both days.
_WORTH = ("value", DISCOUNTED, ACTIVE_TIME)
# Rows of sums over the customers of both days: of those here now value, discounted purchases and time, then and now,
# before costs; the change of value of the lost and of those found gone; how many were lost; the value of these two
# then and now, and the costs of those here now, then and now.
_THEN, _NOW = slice(0, 3), slice(3, 6)
_LOST, _FOUND_GONE, _NUMBER = 6, 7, 8
_AWAY, _COST = slice(9, 11), slice(11, 13)
_ROWS = 13

_OWN = {
    "opening": Variable("customer equity at the opening", "money", "outcome"),
    "closing": Variable("customer equity at the closing", "money", "outcome"),
    "change": Variable("closing less opening equity", "money", "outcome"),
    "contribution": Variable("what the step adds to equity", "money", "outcome"),
    "customers_lost": Variable("customers who left between opening and closing", "count", "latent"),
    "return_on_customer": Variable(
        "earned in between plus the change of equity, over the opening equity", "share", "outcome"
    ),
}


def equity_bridge(
    opening: Simulation,
    closing: Simulation,
    *,
    newcomers: tuple[xr.Dataset, xr.Dataset] | None = None,
    acquisition_cost: float = 0.0,
    profile: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return what the change of customer equity between two days is made of, in each draw.

    Parameters
    ----------
    opening, closing
        Simulations of ``clv.simulate`` with a spending posterior, of the customers as they were known on an earlier and
        on a later day; with one horizon, margin, discount rate, seed and number of draws. Of one posterior, the later,
        on both days' customers the steps are those of customers alone; of two fits they are also what the second has
        learned of the population.
    newcomers
        Of ``clv.valuation.predict_newcomers``, of the opening and of the closing; without them nobody is to come.
    acquisition_cost
        Money for each new customer, those of the time between included.
    profile, threads
        As in ``clv.valuation.customer_equity``.

    Returns
    -------
    xarray.Dataset
        Outcome level, in money, each over (draw, ...) with ``_mean``, ``_q05``, ``_q50`` and ``_q95``: ``opening``,
        ``closing``, their ``change``; ``contribution`` over ``step`` (new, lost, revised, rate, spend, costs, outlook),
        which adds up to the change in every draw; ``customers_lost``; ``return_on_customer``: (earned in between +
        change) / opening (Peppers & Rogers 2005), not discounted. ``attrs`` count ``customers_new``,
        ``customers_before``, and state ``earned`` in between, margin on the spend between the two days less the
        acquisition of the new.

    Raises
    ------
    InputError
        Simulations without money, of different questions, or of customers of whom the later day does not come later.

    Examples
    --------
    >>> earlier = clv.summarize(orders, until="1997-06-30")
    >>> money = {"spending": spending, "margin": 0.3, "draws": 50, "seed": 3}
    >>> opening = clv.simulate(buying, earlier, "26 weeks", **money)
    >>> closing = clv.simulate(buying, customers, "26 weeks", **money)
    >>> found = equity_bridge(opening, closing)
    >>> found["step"].values.tolist()
    ['new', 'lost', 'revised', 'rate', 'spend', 'costs', 'outlook']
    """
    for each in (opening, closing):
        refuse_without_money(each, "equity_bridge")
    _check_days(opening, closing)
    cost = checked_acquisition(acquisition_cost)
    if newcomers is not None and (not isinstance(newcomers, tuple) or len(newcomers) != 2):
        raise InputError("newcomers must be two forecasts, of the opening and of the closing, or None.")
    place = _places(opening, closing)
    gap = _time_between(opening, closing, place)
    sums, vanished = _both(opening, closing, place, gap, threads)
    new = _of_new(closing, place, threads)
    then, now = sums[_THEN], sums[_NOW]
    stay, rate, spend = _here(then, now)
    coming = [
        future_value(each, None if newcomers is None else newcomers[i], cost, profile).net
        for i, each in enumerate((opening, closing))
    ]
    steps = {
        "new": new,
        "lost": sums[_LOST],
        "revised": sums[_FOUND_GONE] - vanished + stay,
        "rate": rate,
        "spend": spend,
        "costs": sums[_COST][0] - sums[_COST][1],
        "outlook": coming[1] - coming[0],
    }
    away, cost_of = sums[_AWAY], sums[_COST]
    before = then[0] - cost_of[0] + away[0] + vanished + coming[0]
    after = now[0] - cost_of[1] + away[1] + new + coming[1]
    return _dataset(opening, closing, steps, (before, after), sums[_NUMBER], place, cost)


def _check_days(opening: Simulation, closing: Simulation) -> None:
    check_same_question(closing, opening)
    for name, words in (
        ("margin", "margins"),
        ("discount", "discount rates"),
        ("size", "numbers of draws"),
        ("seed", "seeds"),
    ):
        ours, theirs = getattr(opening, name), getattr(closing, name)
        if ours != theirs:
            raise InputError(
                f"Opening and closing have different {words}, {ours:.6g} and {theirs:.6g}: the bridge would be of "
                "these. Simulate both alike."
            )


def _places(opening: Simulation, closing: Simulation) -> np.ndarray:
    """Return where each customer of the opening is in the closing, -1 where it is not there."""
    ids = [each.customers[CUSTOMER].to_numpy().astype(str) for each in (opening, closing)]
    of = {name: i for i, name in enumerate(ids[1].tolist())}
    found = np.array([of.get(name, -1) for name in ids[0].tolist()], dtype=np.int64)
    if (found < 0).all():
        raise InputError(
            "No customer of the opening is in the closing. Give the same base as known on an earlier and a later day."
        )
    return found


def _time_between(opening: Simulation, closing: Simulation, place: np.ndarray) -> float:
    """Return how much time lies between the two days: how much older everybody is."""
    known = place >= 0
    older = closing.customers["T"].to_numpy()[place[known]] - opening.customers["T"].to_numpy()[known]
    gap = float(np.median(older))
    unit = str(closing.customers.attrs.get("time_unit", "time unit"))
    strange = int((np.abs(older - gap) > 1e-6 * max(1.0, abs(gap))).sum())
    if gap <= 0:
        raise InputError(
            f"The closing's customers are {gap:g} {unit}s older than the opening's: the closing is the later day."
        )
    # Returns may take a first order away, after which a customer is younger.
    if strange > 0.05 * older.size:
        raise InputError(
            f"{strange:,} of {older.size:,} customers are not {gap:g} {unit}s older at the closing, as most are: the "
            "two are not the same base on two days."
        )
    return gap


def _both(
    opening: Simulation, closing: Simulation, place: np.ndarray, gap: float, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums (row, draw) over those who are in both, and the value of those who are not in the closing."""
    order = closing.inputs.histories.order
    at = np.empty(order.size, dtype=np.int64)
    at[order] = np.arange(order.size)
    rooms: SimpleQueue[Room] = SimpleQueue()

    def work(places: np.ndarray, block: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        value = block["value"]
        there = place[places] >= 0
        vanished = value[~there].sum(axis=0)
        if not there.any():
            return np.zeros((_ROWS, opening.size)), vanished
        then = {name: block[name][there] for name in _worth(opening)}
        now, here, since = _later(closing, at[place[places[there]]], rooms)
        lost = ~here & (since <= gap * (1 + 1e-9))
        gone = ~here & ~lost
        change = now["value"] - then["value"]
        rows = [(each * here).sum(axis=0) for day in (then, now) for each in _before(day)]
        rows += [(change * lost).sum(axis=0), (change * gone).sum(axis=0), lost.sum(axis=0)]
        rows += [(day["value"] * ~here).sum(axis=0) for day in (then, now)]
        rows += [((_before(day)[0] - day["value"]) * here).sum(axis=0) for day in (then, now)]
        return np.stack(rows), vanished

    total, missing = np.zeros((_ROWS, opening.size)), np.zeros(opening.size)
    for sums, vanished in opening.each(work, list(_worth(opening)), threads):
        total += sums
        missing += vanished
    return total, missing


def _worth(simulation: Simulation) -> tuple[str, ...]:
    """Return what is asked of a customer: value, discounted purchases, time, and value before costs where it has."""
    return _WORTH if simulation.costs is None else (*_WORTH, BEFORE)


def _before(day: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return value before costs, discounted purchases and time."""
    return [day.get(BEFORE, day["value"]), day[DISCOUNTED], day[ACTIVE_TIME]]


def _later(
    closing: Simulation, at: np.ndarray, rooms: SimpleQueue[Room]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return worth at the closing of who is ``at`` these places of its plan, who is here, and since when not."""
    order = np.argsort(at, kind="stable")
    back = np.argsort(order, kind="stable")
    names = _worth(closing)
    drawn = closing.of(at[order], (*names, SINCE, "alive"), rooms)
    return {name: drawn[name][back] for name in names}, drawn["alive"][back] > 0, drawn[SINCE][back]


def _of_new(closing: Simulation, place: np.ndarray, threads: int | None) -> np.ndarray:
    """Return the value (draw,) of those who are in the closing alone."""
    known = np.zeros(closing.customers.sizes[CUSTOMER], dtype=bool)
    known[place[place >= 0]] = True
    total = np.zeros(closing.size)
    for part in closing.each(
        lambda places, block: (block["value"] * ~known[places, None]).sum(axis=0), ["value"], threads
    ):
        total += part
    return total


def _here(then: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what time, rate and spend contribute to the change of value of those who are here, (draw,) each."""

    def levels(sums: np.ndarray) -> np.ndarray:
        value, orders, time = sums
        found = np.full((value.size, 3), np.nan)
        found[:, 0] = time
        np.divide(orders, time, out=found[:, 1], where=time > 0)
        np.divide(value, orders, out=found[:, 2], where=orders > 0)
        return found

    split = log_mean_shares(now[0], then[0], safe_ratio(levels(now), levels(then)))
    return split[:, 0], split[:, 1], split[:, 2]


def _earned(opening: Simulation, closing: Simulation, new: int, cost: float) -> tuple[float, str]:
    """Return what was earned between the two days, and why it is not known."""
    spent = [each.customers.get("historical_spend") for each in (opening, closing)]
    if any(each is None for each in spent):
        return (
            np.nan,
            say("return_on_customer: NaN, because the customers have no historical_spend (clv.summarize)."),
        )
    before, after = (
        float((_margin(day) * each.to_numpy()).sum())  # type: ignore[union-attr]
        for day, each in zip((opening, closing), spent, strict=True)
    )
    earned = after - before - cost * new
    if closing.costs is None:
        return earned, ""
    return (
        earned,
        say("What was earned is the margin alone: what customers cost between the two days is not known."),
    )


def _margin(day: Simulation) -> Any:
    return day.margin if day.costs is None else day.costs.margin


def _dataset(
    opening: Simulation,
    closing: Simulation,
    steps: dict[str, np.ndarray],
    ends: tuple[np.ndarray, np.ndarray],
    lost: np.ndarray,
    place: np.ndarray,
    cost: float,
) -> xr.Dataset:
    before, after = ends
    new = closing.customers.sizes[CUSTOMER] - int((place >= 0).sum())
    earned, unknown = _earned(opening, closing, new, cost)
    reason = lacking_mean(closing) or lacking_mean(opening)
    positive = before > 0
    gain = np.full(before.shape, np.nan)
    np.divide(earned + after - before, before, out=gain, where=positive)
    data = summaries({"opening": before, "closing": after, "change": after - before}, (), reason)
    data |= summaries({"contribution": np.stack([steps[name] for name in PARTS], axis=1)}, (STEP,), reason)
    data |= summaries({"customers_lost": lost}, (), "")
    data |= summaries({"return_on_customer": gain}, (), reason)
    reasons = [each for each in (reason, unknown) if each]
    missing = int((place < 0).sum())
    if missing:
        reasons.append(
            say(
                "{missing:,} customers of the opening are not in the closing (all they had bought came back); their "
                "value is among what is revised.",
                missing=missing,
            )
        )
    attrs = {
        "result": "equity bridge",
        **asked_of(closing),
        "from": str(opening.customers.attrs.get("until", "")),
        "customers_before": opening.customers.sizes[CUSTOMER],
        "customers": closing.customers.sizes[CUSTOMER],
        "customers_new": new,
        "earned": earned,
        "acquisition_cost": cost,
        "reasons": reasons,
    }
    coords = {DRAW: np.arange(closing.size), STEP: np.array(PARTS, dtype=object)}
    return describe(xr.Dataset(data, coords, attrs), _OWN)
