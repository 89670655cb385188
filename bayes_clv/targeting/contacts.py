"""``target``: whom to contact, what that will bring, and what it would be worth to know more first.

The net gain of contacting a customer is margin × uplift - cost. Two levels:

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

from bayes_clv.inference.response import SEGMENT
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
from bayes_clv.targeting.allocation import best_totals, choose, choose_by_quantile, orders
from bayes_clv.targeting.trial import simulated_arm, value_of_test
from bayes_clv.units import checked_cost, checked_margin

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
    """Return whom to contact for the highest expected net gain, and what that promises.

    Parameters
    ----------
    uplift
        The result of ``clv.targeting.predict_uplift``.
    cost
        Money per contact: one number, or one per customer by id (a DataArray over ``customer``, a pandas Series or a
        mapping).
    margin
        Share of the outcome that is earned.
    budget
        The most that all contacts together may cost; no limit when left out.
    risk
        ``"q10"`` chooses for a high 10 % quantile of the total net gain (expected level) in place of its mean, from
        ``"q01"`` to ``"q50"``. It spreads contacts over segments that are surely good, and contacts nobody where
        no set has a positive quantile.
    test
        Customers of a further experiment, half of them contacted, spread over the segments as these customers are:
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

    Raises
    ------
    InputError
        No result of ``clv.targeting.predict_uplift``; a cost, margin, budget, risk or test that cannot be.

    Notes
    -----
    What is exact: without a budget the choice by mean is the best there is, one by one. With one it is a knapsack,
    taken by gain per cost, and ``budget_bound`` is the most that any other set could gain more. ``risk`` is exact for
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
    costs = checked_cost(cost, uplift, "cost").to_numpy().astype(float)
    draws = {name: flat_draws(uplift[name]) for name in _NEEDED}
    worth = share * draws["uplift"]
    scale = uplift["scale"].to_numpy().astype(float)
    labels = uplift[SEGMENT].to_numpy().astype(str)
    index = np.searchsorted(labels, uplift["customer_segment"].to_numpy().astype(str))
    population = orders(scale, costs, index, labels.size)
    mean_gain = scale * worth.mean(axis=0)[index] - costs
    chosen, bound = choose(mean_gain, costs, limit)
    reasons, risk_bound = [], None
    neutral = chosen
    if level is not None:
        chosen, risk_bound = choose_by_quantile(worth, population, limit, level, costs.size)
        bound = max(0.0, bound + float(mean_gain[neutral].sum() - mean_gain[chosen].sum()))

    sums = _sums(scale, index, chosen, labels.size)
    spent = float(costs[chosen].sum())
    total = worth @ sums["weight"] - spent
    perfect = best_totals(worth, population, limit).gain
    outcome = _outcome(draws, sums, np.random.default_rng([seed, 1])) * share - spent
    scalars = {
        "regret": float((perfect - total).mean()),
        "value_of_perfect_information": float(perfect.mean() - mean_gain[neutral].sum()),
        "budget_bound": bound,
    }
    if people is not None:
        if worth.shape[0] < 4:
            reasons.append(
                "value_of_test: NaN, because a response of fewer than 4 draws has nothing to learn."
            )
            worths = (math.nan, math.nan)
        else:
            worths = value_of_test(draws, worth, population, limit, people, np.random.default_rng([seed, 2]))
        scalars |= {"value_of_test": worths[0], "value_of_test_error": worths[1]}

    shape = (uplift.sizes[CHAIN], uplift.sizes[DRAW])
    data: dict[str, Any] = {
        "contacted": (CUSTOMER, chosen.astype(np.int64)),
        "rank": (CUSTOMER, rank_chosen(chosen, mean_gain, costs)),
        "cost": (CUSTOMER, costs),
        **{name: (CUSTOMER, value) for name, value in _each(worth, scale, costs, index).items()},
        "net_gain_total": ((CHAIN, DRAW), total.reshape(shape)),
        "net_gain_outcome_total": ((CHAIN, DRAW), outcome.reshape(shape)),
        "regret_total": ((CHAIN, DRAW), (perfect - total).reshape(shape)),
        "segment_customers": (SEGMENT, np.bincount(index, minlength=labels.size)),
        "segment_contacted": (SEGMENT, sums["count"].astype(np.int64)),
        **{name: ((), value) for name, value in scalars.items()},
    }
    kept = uplift[["uplift", "outcome_control", "scale", "customer_segment"]]
    decision = kept.assign(data)
    decision.attrs = {
        "result": "decision",
        "margin": share,
        "budget": "none" if limit is None else limit,
        "risk": "mean" if risk is None else risk,
        "spent": spent,
        "contacted": int(chosen.sum()),
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
    """Return (chain × draw, segment), or (chain × draw, 1) of what has no segment."""
    dims = (CHAIN, DRAW, SEGMENT) if SEGMENT in array.dims else (CHAIN, DRAW)
    values = array.transpose(*dims).to_numpy().astype(float)
    return values.reshape(values.shape[0] * values.shape[1], -1)


def _sums(scale: np.ndarray, index: np.ndarray, chosen: np.ndarray, segments: int) -> dict[str, np.ndarray]:
    """Return number, sum and sum of squares of the chosen customers' scales, by segment."""
    own, weights = index[chosen], scale[chosen]
    return {
        name: np.bincount(own, weights=each, minlength=segments)
        for name, each in (("count", np.ones(own.size)), ("weight", weights), ("square", weights**2))
    }


def _outcome(
    draws: dict[str, np.ndarray], sums: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return the outcome of the chosen if contacted less if not, with chance, per draw.

    The sum of k spends of one mean is one Gamma variate, so that a segment is drawn at once. Where customers of a
    segment differ in scale they are drawn as (sum w)² / sum w² equal ones, which keeps mean and variance.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        people = np.where(sums["square"] > 0, sums["weight"] ** 2 / sums["square"], 0.0)
    people = np.maximum(np.round(people), sums["weight"] > 0).astype(np.int64)
    unit = np.where(people > 0, sums["weight"] / np.maximum(people, 1), 0.0)
    total = np.zeros(draws["uplift"].shape[0])
    for arm, sign in (("treated", 1), ("control", -1)):
        _, money = simulated_arm(rng, people, draws, arm)
        total += sign * (money * unit).sum(axis=1)
    return total


def _each(
    worth: np.ndarray, scale: np.ndarray, costs: np.ndarray, index: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the summaries of each customer's net gain if contacted, and the probability that it is positive."""
    one = worth.shape[0] > 1
    statistics = {
        "mean": worth.mean(axis=0),
        "sd": worth.std(axis=0, ddof=1) if one else np.zeros(worth.shape[1]),
    }
    statistics |= named_quantiles(worth, axis=0)
    found = {
        f"net_gain_{name}": scale * value[index] - (0.0 if name == "sd" else costs)
        for name, value in statistics.items()
    }
    pays = np.zeros(scale.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(scale > 0, costs / scale, np.inf)
    for s in range(worth.shape[1]):
        own = index == s
        below = np.searchsorted(np.sort(worth[:, s]), needed[own], side="right")
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
