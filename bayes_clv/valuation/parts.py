"""What a customer's value is made of: earned already, to come if nothing changes, and what could come on top.

historical
    Margin already earned, known (``value.historical_value``).
current
    Residual value over the horizon under unchanged behaviour, in each draw.
potential
    What could come on top if something were done, by assumptions that are stated (``assumptions``):

    - up-sell: each purchase is dearer by a share u; u × current.
    - cross-sell: spend in other categories, a share c of current spend, at its own margin where one is given:
      c × current × (other margin / margin).
    - referral: N new customers, N ~ Poisson(amount), times the value of a new customer.
    - share of wallet: spend here is a share s of the customer's wallet, and t could be reached: current × (t / s - 1),
      nothing where t < s.

**Costs.** Of a simulation with ``costs`` current is less what customers cost. What comes on top is spend without more
orders or time: it brings its margin less the expected loss by default, which is a share of it, and costs nothing else.

**Nothing twice.** The parts are increments, each on current value alone, and add up: potential is their sum, and all
parts together are the whole. So the order does not matter and what each would bring by itself can be read off; that
up-sold customers may also be cross-sold at the higher price (u × c × current) is left out, and with shares of 10 % that
is 1 % of current. The one overlap that is no small product is share of wallet, since up-sell and cross-sell are ways
to a larger share of it: of the gap current × (t / s - 1) only what the customer's up-sell and cross-sell in that draw
leave is counted. Stated alone it is the whole gap. Cross-sell at another margin counts against the gap by its spend.

Rejected: multiplying all of them, (1 + u)(1 + c) t / s: its parts depend on the order, and a share of the wallet that
includes cross-sell would be raised by cross-sell once more.

Assumptions are drawn once per draw for all customers; who takes part (``take_up``) and how many new customers come are
drawn for each customer, from streams of its id, so that an assumption added or another company changes none of the
others.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numba import njit

from bayes_clv.distributions.streams import customer_keys, uniforms
from bayes_clv.predictions.money import historical_value, without_moments
from bayes_clv.predictions.own_costs import BEFORE
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, DRAW, VARIABLES, InputError, Variable, describe, in_currency, interval
from bayes_clv.segments.membership import groups, sum_by
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.units import checked_cost
from bayes_clv.valuation.assumptions import REFERRAL, WALLET, Assumption, read_assumptions, salt

PART = "part"
HISTORICAL, CURRENT = "historical", "current"
# Sums over parts.
SUMS = {
    "potential": VARIABLES["potential"].long_name,
    "lifetime_value": "historical plus current value, net of acquisition cost",
    "possible_value": VARIABLES["possible_value"].long_name,
}
_OWN = {
    "value": Variable("value of the part", "money", "outcome"),
    "lifetime_value": Variable(SUMS["lifetime_value"], "money", "outcome"),
}


def value_parts(
    draws: Simulation,
    assumptions: Mapping[str, Any] | None = None,
    *,
    by: Any = None,
    acquisition_cost: Any = 0.0,
    threads: int | None = None,
) -> xr.Dataset:
    """Return historical, current and potential value of each customer and of each segment.

    Parameters
    ----------
    draws
        Of ``clv.simulate`` with a spending posterior; its horizon, margin, discount rate and costs hold.
    assumptions
        What could come on top, by name: ``up_sell``, ``cross_sell``, ``referral``, ``share_of_wallet``, or any name
        with ``"kind"`` saying which of these it is. Each is a mapping of

        - up_sell: ``amount``, the increase of spend per purchase as a share of it;
        - cross_sell: ``amount``, spend in other categories as a share of current spend, and perhaps its ``margin``;
        - referral: ``amount``, the mean number of new customers that a customer brings over the horizon, and ``value``,
          that of a new customer: money, or the result of ``clv.predict_cohort`` (its lifetime_value_expected);
        - share_of_wallet: ``share``, the share of the customer's wallet spent here now, and ``target``;

        and of each perhaps ``take_up``, the probability that a customer takes part (drawn for each customer), and
        ``where``, whom it applies to: a condition as in ``clv.rule``, or a column of true and false. Every number is a
        number, a ``clv.Prior`` (drawn once per draw for all customers) or the name of a column (one a customer).
        ``{"up_sell": prior}`` is short for ``{"up_sell": {"amount": prior}}``.
    by
        Segments to add up over: a rule, whose memberships are found in every draw; or fixed labels, the name of a
        column, labels by customer id, or what ``clv.segment`` returned (its most probable ones). Without it, all
        customers.
    acquisition_cost
        As in ``clv.predict``.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Money, outcome level. ``part`` is historical, current and the assumptions in the order given, and parts add up.

        - (customer, part): ``value_mean``, ``value_q05``, ``value_q95``; (customer): the same of ``potential`` (sum of
          the assumptions), ``lifetime_value`` (historical + current - acquisition cost) and ``possible_value``
          (lifetime_value + potential); ``acquisition_cost``.
        - (segment, part): ``value_total_mean``, ``_q05``, ``_q95``, and ``value_total`` (draw, segment, part) behind
          them; (segment): the same of the three sums, such as ``potential_total_mean``; ``size`` (draw, segment) and
          ``size_mean``, the number of customers.

        ``kind`` and ``assumption`` (part) say what each part stands on; ``attrs["assumptions"]`` has the same as JSON,
        and ``attrs["reasons"]`` says why something is NaN.

    Raises
    ------
    InputError
        Draws without money; an assumption of an unknown kind, with a field missing, or with values that cannot be;
        a rule as in ``clv.segment``.

    Notes
    -----
    The value of a referred customer is the mean of new customers in that draw: the chance in how many come is in, the
    chance in what each of them buys is not. It is counted as of today, over the cohort's own horizon.

    Where the mean of spend does not exist (``clv.predict``), means are NaN; quantiles exist.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> parts = value_parts(draws, {"up_sell": {"amount": clv.Prior("Beta", alpha=4, beta=36), "take_up": 0.3}})
    >>> parts["part"].values.tolist()
    ['historical', 'current', 'up_sell']
    """
    if draws.spending is None:
        raise InputError("value_parts needs money: make the draws with clv.simulate(..., spending=spending).")
    stated = read_assumptions(draws, assumptions or {}, threads)
    grouping = groups(draws, by, threads)
    cost = checked_cost(acquisition_cost, draws.customers).to_numpy()
    own_margin = draws.margin if draws.costs is None else draws.costs.margin
    earned, why = historical_value(draws.customers, own_margin)
    names = (HISTORICAL, CURRENT, *(each.name for each in stated))
    rows = (*names, *SUMS)
    ids, size, count = draws.customers[CUSTOMER].to_numpy(), draws.size, len(grouping.names)
    keys = customer_keys(ids, draws.seed, purpose="value parts")

    own = np.empty((3, ids.size, len(rows)))
    totals = np.zeros((size, count, len(rows)))
    members = np.zeros((size, count))
    belongs = np.zeros((ids.size, count), dtype=bool)
    worth = ["value"] if draws.costs is None else ["value", BEFORE]
    needed = list(dict.fromkeys([*worth, *grouping.needed, *(n for each in stated for n in each.needed)]))
    for places, block in draws.blocks(needed, threads):
        parts = _parts(draws, stated, places, block, keys[places])
        past = earned[places, None]
        potential = sum(parts.values(), np.zeros_like(block["value"]))
        lifetime = past + block["value"] - cost[places, None]
        amounts = (past, block["value"], *parts.values(), potential, lifetime, lifetime + potential)
        found = grouping.members(places, block)
        members += sum_by(found, np.ones((1, 1)), count, size)
        belongs[np.broadcast_to(places[:, None], found.shape), found] = True
        for i, amount in enumerate(amounts):
            own[:, places, i] = _summary(amount)
            totals[:, :, i] += sum_by(found, amount, count, size)
    low, high = interval(totals, axis=0)
    of_segments = np.stack([totals.mean(axis=0), low, high])
    reasons = [] if why is None else [f"historical, lifetime_value and possible_value are NaN: {why}"]
    lacking, times = without_moments(draws.spending, draws.customers, 1)
    if lacking.any():
        uncertain = [
            i for i, name in enumerate(rows) if name != HISTORICAL and not _is_referral(name, stated)
        ]
        own[0][np.ix_(lacking, uncertain)] = np.nan
        of_segments[0][np.ix_(belongs[lacking].any(axis=0), uncertain)] = np.nan
        reasons.append(
            f"means are NaN for {int(lacking.sum()):,} of {lacking.size:,} customers and for the segments they may "
            f"belong to, because expected spend is infinite in up to {times} of {size} draws. Use the quantiles, or a "
            "stronger prior on q."
        )
    found_all = _dataset(names, own, totals, of_segments)
    coords = {
        CUSTOMER: ids,
        SEGMENT: np.array(grouping.names, dtype=object),
        DRAW: np.arange(size),
        PART: np.array(names, dtype=object),
        "kind": (PART, np.array([HISTORICAL, CURRENT, *(each.kind for each in stated)], dtype=object)),
        "assumption": (PART, np.array(_texts(draws, stated), dtype=object)),
    }
    found_all |= {
        "acquisition_cost": (CUSTOMER, cost),
        "size": ((DRAW, SEGMENT), members),
        "size_mean": (SEGMENT, members.mean(axis=0)),
    }
    dataset = xr.Dataset(found_all, coords=coords, attrs=_attrs(draws, grouping.title, stated, reasons))
    return describe(dataset, _OWN)


def check_parts(parts: xr.Dataset) -> None:
    """Refuse what ``value_parts`` did not return."""
    if not isinstance(parts, xr.Dataset) or not {"value_total", "possible_value_total"} <= set(
        parts.data_vars
    ):
        raise InputError("This needs what clv.value_parts returned, with all its variables.")


def _parts(
    draws: Simulation,
    stated: list[Assumption],
    places: np.ndarray,
    block: Mapping[str, np.ndarray],
    keys: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the value (customer, draw) that each assumption brings, in the order stated."""
    current, share, own = _earning(draws, places, block)
    found: dict[str, np.ndarray] = {}
    used = np.zeros_like(current)
    for each in sorted(stated, key=lambda one: one.kind == WALLET):
        value = {name: of(places) for name, of in each.fields.items()}
        acts = each.scope(places, block) & _takes_part(draws, each.name, value["take_up"], keys)
        if each.kind == REFERRAL:
            mean = np.where(acts, value["amount"], 0.0)
            found[each.name] = _counts(draws, each.name, mean, keys) * value["value"]
            continue
        if each.kind == WALLET:
            gap = np.maximum(value["target"] / value["share"] - 1, 0.0) * current
            spent = np.where(acts, np.maximum(gap - used, 0.0), 0.0)
            grown = spent * share(1.0)
        else:
            spent = np.where(acts, value["amount"], 0.0) * current
            grown = spent * share(value["margin"] / own if "margin" in value else 1.0)
        used = used + spent
        found[each.name] = grown
    return {each.name: found[each.name] for each in stated}


def _earning(
    draws: Simulation, places: np.ndarray, block: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, Callable[[Any], Any], Any]:
    """Return the margin on discounted spend (customer, draw), what is left of it, and the margin.

    What is left is a function of another margin over one's own: the share of the amount without the loss by default.
    """
    costs = draws.costs
    if costs is None:
        return block["value"], lambda other: other, draws.margin
    margin = costs.margin[places, None]
    lost = costs.risk(places) * costs.loss[places, None] / margin
    return block[BEFORE], lambda other: other - lost, margin


def _takes_part(draws: Simulation, name: str, chance: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return who takes part, (customer, draw), drawn for each customer; (1, 1) where everybody does."""
    if (chance == 1).all():
        return np.ones((1, 1), dtype=bool)
    return np.asarray(_uniform(draws, name, "take_up", keys) < chance)


def _counts(draws: Simulation, name: str, mean: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return Poisson counts with these means."""
    chance = _uniform(draws, name, "referred", keys)
    counts: np.ndarray = _poisson(chance, np.ascontiguousarray(np.broadcast_to(mean, chance.shape)))
    return counts


def _uniform(draws: Simulation, name: str, what: str, keys: np.ndarray) -> np.ndarray:
    return uniforms(keys, salt(draws.seed, name, what), draws.size)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _poisson(chance, mean):  # type: ignore[no-untyped-def]
    """Return the Poisson quantile at ``chance``, of means up to a few hundred."""
    out = np.empty(mean.shape)
    for i in range(mean.shape[0]):
        for s in range(mean.shape[1]):
            count, term = 0.0, np.exp(-mean[i, s])
            reached = term
            # The second condition ends the sum where rounding keeps it below 1.
            while chance[i, s] > reached and term > 0.0:
                count += 1.0
                term *= mean[i, s] / count
                reached += term
            out[i, s] = count
    return out


def _summary(amount: np.ndarray) -> np.ndarray:
    """Return mean, 5 % and 95 % over draws, (3, customer)."""
    if amount.shape[1] == 1:
        return np.broadcast_to(amount[:, 0], (3, amount.shape[0]))
    low, high = interval(amount, axis=1)
    return np.stack([amount.mean(axis=1), low, high])


def _is_referral(name: str, stated: list[Assumption]) -> bool:
    return any(each.name == name and each.kind == REFERRAL for each in stated)


def _texts(draws: Simulation, stated: list[Assumption]) -> list[str]:
    unit_of_time = str(draws.customers.attrs.get("time_unit", ""))
    less = "" if draws.costs is None else f", less what customers cost ({draws.costs.text})"
    over = f"residual value over {draws.horizon:g} {unit_of_time}s, behaviour unchanged{less}"
    return ["margin already earned", over, *(each.text for each in stated)]


def _dataset(
    names: tuple[str, ...], own: np.ndarray, totals: np.ndarray, of_segments: np.ndarray
) -> dict[str, Any]:
    """Return the variables of parts, and of their sums."""
    data: dict[str, Any] = {}
    last = len(names)
    pieces: list[tuple[str, Any]] = [
        ("value", slice(0, last)),
        *((name, last + i) for i, name in enumerate(SUMS)),
    ]
    for name, where in pieces:
        axes = (PART,) if isinstance(where, slice) else ()
        data[f"{name}_total"] = ((DRAW, SEGMENT, *axes), totals[:, :, where])
        for i, each in enumerate(("mean", "q05", "q95")):
            data[f"{name}_{each}"] = ((CUSTOMER, *axes), own[i][:, where])
            data[f"{name}_total_{each}"] = ((SEGMENT, *axes), of_segments[i][:, where])
    return data


def _attrs(draws: Simulation, title: str, stated: list[Assumption], reasons: list[str]) -> dict[str, Any]:
    said = [{"name": each.name, "kind": each.kind, "text": each.text, **each.stated} for each in stated]
    return {
        "result": "value parts",
        "segments": title,
        "horizon": draws.horizon,
        "time_unit": str(draws.customers.attrs.get("time_unit", "")),
        **in_currency(draws.customers.attrs),
        "margin": draws.margin if draws.costs is None else float(draws.costs.margin.mean()),
        "discount_rate": draws.discount,
        "seed": draws.seed,
        "draws": draws.size,
        "level": "outcome",
        **({} if draws.costs is None else {"costs": draws.costs.text}),
        "assumptions": json.dumps(said, ensure_ascii=False),
        "reasons": reasons,
    }
