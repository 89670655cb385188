"""``target``: whom to contact with which offer, what that will bring, what it would be worth to know more first.

The net gain of contacting a customer is margin × uplift - cost, of each offer its own; where the experiment did not
name its offers there is one. Two levels:

expected
    Only the population's response is unknown: what the chosen contacts are worth on average. Regret and the value of
    information are of this level, since no test tells what chance will do.
outcome
    Chance in who buys and what they spend is added, in both arms: what the outcome of those contacted will be, less
    what it would have been without. The two arms of one customer are never both seen; they are drawn independently,
    which is how a comparison with as many controls varies, and is wider than the truth where who buys without contact
    buys with it too.

**Information.** If the response were known, each draw would have a best set of its own: E[max] - max E is the value of
perfect information, and E[max] less the expected gain of the set chosen is the regret (the same number but for a
risk-averse choice). The value of a test of a stated size is found by preposterior simulation: for each draw a test is
simulated, the uplifts are regressed on what it shows (Strong, Oakley, Brennan & Breeze 2015, Medical Decision Making
35), the best set given the regression is chosen, and what that set gains in truth, in that draw, is averaged. The
regression is learned on one half of the draws and used on the other. So the number is the gain of a rule that can be
followed: an estimate of a lower bound of the value of the test, with a Monte Carlo error. Importance weights on the
draws, the exact alternative, leave a handful of draws once the test has a few hundred customers.
"""

import math
import re
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.response_cells import OFFER, SEGMENT
from bayes_clv.schema import (
    CHAIN,
    CUSTOMER,
    DRAW,
    InputError,
    Variable,
    argument,
    describe,
    listed,
    named_quantiles,
    quantiles,
)
from bayes_clv.targeting.allocation import (
    best_totals,
    chances_of_best,
    choose,
    choose_by_quantile,
    orders,
)
from bayes_clv.targeting.cost_tables import best_of_each, cost_table
from bayes_clv.targeting.costs import own_costs_and_prices
from bayes_clv.targeting.trial import Response, simulated_arm, value_of_test
from bayes_clv.units import checked_margin

_NEEDED = (
    "uplift",
    "conversion_control",
    "conversion_treated",
    "spend_control",
    "spend_treated",
    "spend_shape",
)

_RANK = Variable("place in the order of expected net gain per cost, 1 first, those contacted first", "count")


def target(
    uplift: xr.Dataset,
    *,
    cost: Any,
    margin: float = 1.0,
    budget: float | None = None,
    risk: str | None = None,
    test: int | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Return whom to contact with which offer for the highest expected net gain, and what that promises.

    Parameters
    ----------
    uplift
        The result of ``clv.targeting.predict_uplift``.
    cost
        Money per contact: one number, or one per customer by id (a DataArray over ``customer``, a pandas Series or a
        mapping); of several offers also one per offer by its name, or a table of both (a DataFrame, a row a customer id
        and a column an offer), with which there is no ``risk`` and no ``test``.
    margin
        Share of the outcome that is earned.
    budget
        The most that all contacts together may cost; no limit when left out.
    risk
        ``"q10"`` chooses for a high 10 % quantile of the total net gain (expected level) in place of its mean, from
        ``"q01"`` to ``"q50"``. It spreads contacts over segments that are surely good, and contacts nobody where
        no set has a positive quantile.
    test
        Customers of a further experiment, as many in each arm, spread over the segments as these customers are:
        what deciding after it is worth is estimated too.
    seed
        Of the chance at the outcome level and in the simulated tests.

    Returns
    -------
    xarray.Dataset
        By customer: ``contacted`` (0 or 1), ``rank``, ``cost``, net_gain_mean, _sd, _q05, _q25, _q50, _q75, _q95 and
        ``probability_pays`` (expected level; money if contacted). Of the contacts, over (chain, draw):
        ``net_gain_total`` (expected level), ``net_gain_outcome_total`` (outcome level) and ``regret_total``. Scalars:
        ``regret``, ``value_of_perfect_information``, ``budget_bound`` and, with ``test``, ``value_of_test`` and
        ``value_of_test_error``. By segment: ``segment_customers``, ``segment_contacted``. What it came from is kept:
        ``uplift`` and ``outcome_control`` (chain, draw, segment), ``scale`` and ``customer_segment`` (customer).

        Where the experiment named its offers also, by customer, ``chosen_offer`` (who gets none has the controls'
        label), ``best_offer``, that of the highest expected net gain, and ``probability_best``: that what was chosen is
        the best of all offers and of none (expected level). Net gains, costs and P(pays) are then of that offer, and of
        ``best_offer`` where nobody is contacted. ``net_gain_single_total`` (chain, draw, offer) is what the best
        contacts with that offer alone would gain; ``segment_offered`` and ``offer_cost`` (offer, segment) say how many
        get what and what it costs there on average.

    Raises
    ------
    InputError
        No result of ``clv.targeting.predict_uplift``; a cost, margin, budget, risk or test that cannot be; costs of
        offers that the experiment did not have, or of some of them only.

    Notes
    -----
    What is exact: without a budget the choice by mean is the best there is, one by one. With one it is a knapsack in
    which each customer takes one offer at most, taken by gain per cost, and ``budget_bound`` is the most that any other
    choice could gain more. ``risk`` is exact for
    the mean of the worst draws, whose best value, in ``attrs["risk_bound"]``, is never above the quantile of the set
    chosen, and for the quantile itself where the posterior of the segments is elliptical
    (``allocation.choose_by_quantile``). Regret takes the best set of each draw with the last customer in parts.

    Examples
    --------
    >>> decision = target(predict_uplift(response, experiment), cost=1.5, margin=0.3, budget=900.0)
    >>> chosen = decision["customer"][decision["contacted"] == 1]
    """
    missing = [name for name in _NEEDED if not isinstance(uplift, xr.Dataset) or name not in uplift]
    if missing:
        raise InputError(
            f"There is no {missing[0]!r}: give the result of clv.targeting.predict_uplift(response, customers)."
        )
    share, level, limit, people = (
        checked_margin(margin, of_spend=False),
        _risk(risk),
        _budget(budget),
        _test(test),
    )
    table = cost_table(cost, uplift)
    if table is not None and (level is not None or people is not None):
        raise InputError(
            "risk and test go by an order of customers, which a table of costs by customer and offer does not leave. "
            "Leave them out, or give costs by offer."
        )
    own, prices = (
        own_costs_and_prices(cost, uplift)
        if table is None
        else (np.ones(table.shape[0]), np.ones(table.shape[1]))
    )
    response = _response(uplift)
    worth = share * flat_draws(uplift["uplift"])
    scale = uplift["scale"].to_numpy().astype(float)
    labels = uplift[SEGMENT].to_numpy().astype(str)
    index = np.searchsorted(labels, uplift["customer_segment"].to_numpy().astype(str))
    population = orders(scale, own, index, labels.size)
    all_costs = own[:, None] * prices if table is None else table
    gains = scale[:, None] * worth.mean(axis=0).T[index] - all_costs
    neutral, bound = choose(gains, all_costs, limit)
    chosen, rows = neutral, np.arange(scale.size)
    reasons, risk_bound = [], None
    if level is not None:
        chosen, risk_bound = choose_by_quantile(worth, prices, population, limit, level, scale.size)
        bound = max(0.0, bound + float(_sum(gains, neutral) - _sum(gains, chosen)))

    # Who gets nothing is described by the best that it could get.
    best = gains.argmax(axis=1)
    which = np.where(chosen >= 0, chosen, best)
    costs, mean_gain = all_costs[rows, which], gains[rows, which]
    sums = _sums(scale, index, chosen, worth.shape[1:])
    spent = float(_sum(all_costs, chosen))
    total = np.tensordot(worth, sums["weight"], 2) - spent
    if table is None:
        perfect, known = best_totals(worth, prices, population, limit).gain, None
    else:
        perfect, known = best_of_each(worth, scale, table, index, chosen)
        if limit is not None:
            perfect = np.full(perfect.shape, math.nan)
            reasons.append(
                "regret and value_of_perfect_information: NaN, because with a budget and costs by customer and offer "
                "the best choice of each draw is not known."
            )
    outcome = _outcome(response, sums, np.random.default_rng([seed, 1])) * share - spent
    scalars = {
        "regret": float((perfect - total).mean()),
        "value_of_perfect_information": float(perfect.mean() - _sum(gains, neutral)),
        "budget_bound": bound,
    }
    if people is not None:
        if worth.shape[0] < 4:
            reasons.append(
                "value_of_test: NaN, because a response of fewer than 4 draws has nothing to learn."
            )
            worths = (math.nan, math.nan)
        else:
            worths = value_of_test(
                response, worth, prices, population, limit, people, np.random.default_rng([seed, 2])
            )
        scalars |= {"value_of_test": worths[0], "value_of_test_error": worths[1]}

    shape = (uplift.sizes[CHAIN], uplift.sizes[DRAW])
    data: dict[str, Any] = {
        "contacted": (CUSTOMER, (chosen >= 0).astype(np.int64)),
        "rank": (CUSTOMER, rank_chosen(chosen >= 0, mean_gain, costs)),
        "cost": (CUSTOMER, costs),
        **{name: (CUSTOMER, value) for name, value in _each(worth, scale, costs, index, which).items()},
        "net_gain_total": ((CHAIN, DRAW), total.reshape(shape)),
        "net_gain_outcome_total": ((CHAIN, DRAW), outcome.reshape(shape)),
        "regret_total": ((CHAIN, DRAW), (perfect - total).reshape(shape)),
        "segment_customers": (SEGMENT, np.bincount(index, minlength=labels.size)),
        "segment_contacted": (SEGMENT, sums["count"].sum(axis=0).astype(np.int64)),
        **{name: ((), value) for name, value in scalars.items()},
    }
    if OFFER in uplift["uplift"].dims:
        names = np.array([str(uplift.attrs["control"]), *uplift[OFFER].to_numpy()], dtype=object)
        ratio = np.where(scale > 0, np.divide(scale, own, where=own > 0, out=np.full(own.size, np.inf)), 0.0)
        alone = _alone(worth, gains, all_costs, scale, index, limit)
        people_of = np.maximum(np.bincount(index, minlength=labels.size), 1)
        mean_costs = [
            np.bincount(index, weights=each, minlength=labels.size) / people_of for each in all_costs.T
        ]
        data |= {
            "chosen_offer": (CUSTOMER, names[chosen + 1]),
            "best_offer": (CUSTOMER, names[best + 1]),
            "probability_best": (
                CUSTOMER,
                chances_of_best(worth, prices, ratio, index, chosen) if known is None else known,
            ),
            "net_gain_single_total": ((CHAIN, DRAW, OFFER), alone.reshape(*shape, -1)),
            "segment_offered": ((OFFER, SEGMENT), sums["count"].astype(np.int64)),
            "offer_cost": ((OFFER, SEGMENT), np.stack(mean_costs)),
        }
    kept = uplift[["uplift", "outcome_control", "scale", "customer_segment"]]
    decision = kept.assign(data)
    decision.attrs = {
        "result": "decision",
        "margin": share,
        "budget": "none" if limit is None else limit,
        "risk": "mean" if risk is None else risk,
        "spent": spent,
        "contacted": int((chosen >= 0).sum()),
        "seed": int(seed),
        "scale": str(uplift.attrs.get("scale", "")),
        "problems": listed(uplift.attrs, "problems"),
        "reasons": reasons,
    }
    if risk_bound is not None and level is not None:
        decision.attrs["risk_value"] = float(quantiles(total, [level])[0])
        decision.attrs["risk_bound"] = risk_bound
    if people is not None:
        decision.attrs["test"] = people
    return describe(decision, {"rank": _RANK})


def flat_draws(array: xr.DataArray) -> np.ndarray:
    """Return (chain × draw, offer, segment); one offer where the array has none."""
    array = array if OFFER in array.dims else array.expand_dims(OFFER)
    values = array.transpose(CHAIN, DRAW, OFFER, SEGMENT).to_numpy().astype(float)
    return values.reshape(-1, *values.shape[2:])


def offers_of(decision: xr.Dataset) -> np.ndarray:
    """Return the number of the offer that each customer gets, or would get were it contacted."""
    if "chosen_offer" not in decision:
        return np.zeros(decision.sizes[CUSTOMER], dtype=np.int64)
    names = decision["uplift"][OFFER].to_numpy().tolist()
    which = np.where(decision["contacted"] == 1, decision["chosen_offer"], decision["best_offer"])
    return np.array([names.index(each) for each in which.tolist()])


def _response(uplift: xr.Dataset) -> Response:
    shape = uplift["spend_shape"].transpose(CHAIN, DRAW).to_numpy().astype(float).ravel()
    return Response(
        flat_draws(uplift["conversion_control"])[:, 0],
        flat_draws(uplift["spend_control"])[:, 0],
        flat_draws(uplift["conversion_treated"]),
        flat_draws(uplift["spend_treated"]),
        shape,
    )


def _sum(each: np.ndarray, chosen: np.ndarray) -> float:
    """Return the sum of what (customer, offer) is chosen."""
    rows = np.flatnonzero(chosen >= 0)
    return float(each[rows, chosen[rows]].sum())


def _sums(
    scale: np.ndarray, index: np.ndarray, chosen: np.ndarray, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return number, sum and sum of squares of the chosen customers' scales, by offer and segment."""
    those = chosen >= 0
    cell, weights = chosen[those] * shape[1] + index[those], scale[those]
    return {
        name: np.bincount(cell, weights=each, minlength=shape[0] * shape[1]).reshape(shape)
        for name, each in (("count", np.ones(cell.size)), ("weight", weights), ("square", weights**2))
    }


def _alone(
    worth: np.ndarray,
    gains: np.ndarray,
    costs: np.ndarray,
    scale: np.ndarray,
    index: np.ndarray,
    budget: float | None,
) -> np.ndarray:
    """Return (draw, offer): what the best contacts gain if there is that offer alone."""
    found = []
    for k in range(worth.shape[1]):
        chosen, _ = choose(gains[:, [k]], costs[:, [k]], budget)
        weight = np.bincount(index, weights=scale * (chosen == 0), minlength=worth.shape[2])
        found.append(worth[:, k] @ weight - _sum(costs[:, [k]], chosen))
    return np.stack(found, axis=1)


def _outcome(response: Response, sums: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the outcome of the chosen if contacted less if not, with chance, per draw.

    The sum of k spends of one mean is one Gamma variate, so that a segment is drawn at once. Where customers of a
    segment differ in scale they are drawn as (sum w)² / sum w² equal ones, which keeps mean and variance.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        people = np.where(sums["square"] > 0, sums["weight"] ** 2 / sums["square"], 0.0)
    people = np.maximum(np.round(people), sums["weight"] > 0).astype(np.int64)
    unit = np.where(people > 0, sums["weight"] / np.maximum(people, 1), 0.0)
    arms = (
        (1, response.treated_conversion, response.treated_spend),
        (-1, response.control_conversion[:, None], response.control_spend[:, None]),
    )
    total = np.zeros(response.shape.size)
    for sign, conversion, spend in arms:
        _, money = simulated_arm(rng, people, conversion, spend, response.shape)
        total += sign * (money * unit).sum(axis=(1, 2))
    return total


def _each(
    worth: np.ndarray, scale: np.ndarray, costs: np.ndarray, index: np.ndarray, which: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the summaries of each customer's net gain with its offer, and the probability that it is positive."""
    one = worth.shape[0] > 1
    statistics = {
        "mean": worth.mean(axis=0),
        "sd": worth.std(axis=0, ddof=1) if one else np.zeros(worth.shape[1:]),
    }
    statistics |= named_quantiles(worth, axis=0)
    found = {
        f"net_gain_{name}": scale * value[which, index] - (0.0 if name == "sd" else costs)
        for name, value in statistics.items()
    }
    pays = np.zeros(scale.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(scale > 0, costs / scale, np.inf)
    for k, s in np.ndindex(worth.shape[1:]):
        own = (index == s) & (which == k)
        below = np.searchsorted(np.sort(worth[:, k, s]), needed[own], side="right")
        pays[own] = 1 - below / worth.shape[0]
    return found | {"probability_pays": pays}


def rank_chosen(chosen: np.ndarray, gain: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return each segment's rank by gain per cost, the chosen first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_cost = np.where(
            costs > 0, gain / costs, np.where(gain > 0, np.inf, np.where(gain < 0, -np.inf, 0.0))
        )
    order = np.lexsort((np.arange(gain.size), -per_cost, ~chosen))
    rank = np.empty(gain.size, dtype=np.int64)
    rank[order] = np.arange(1, gain.size + 1)
    return rank


def _risk(risk: Any) -> float | None:
    if risk is None:
        return None
    match = re.fullmatch(r"q(\d\d)", risk) if isinstance(risk, str) else None
    if match is None or not 1 <= int(match.group(1)) <= 50:
        raise InputError(
            f"{argument('risk', risk)} is not known. Use a lower quantile, 'q01' to 'q50', such as 'q10', or None "
            f"for the mean."
        )
    return int(match.group(1)) / 100


def _budget(budget: Any) -> float | None:
    if budget is None:
        return None
    number = isinstance(budget, (int, float, np.number)) and not isinstance(budget, bool)
    if not number or not (math.isfinite(budget) and budget >= 0):
        raise InputError(
            f"{argument('budget', budget)} must be one amount of money, finite and not negative."
        )
    return float(budget)


def _test(test: Any) -> int | None:
    if test is None:
        return None
    if isinstance(test, bool) or not isinstance(test, (int, np.integer)) or test < 2:
        raise InputError(
            f"{argument('test', test)} must be a whole number of customers, 2 or more: half of them are contacted."
        )
    return int(test)
