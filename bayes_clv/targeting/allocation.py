"""Whom to contact, given what a unit of each segment is worth: plain arrays, under a budget.

A customer i of segment s gains w_i worth_s - c_i: its weight, what a unit weight of the segment is worth (margin ×
uplift) and its cost. Whatever the worths, customers of one segment are contacted in the order of w_i / c_i, so that a
set of customers is a place in each segment's order, and its total on every draw needs sums by segment alone.

Without a budget everybody is contacted whose gain is positive, which is exact. With a budget this is a knapsack. Taken
in the order of gain per cost until the budget is spent, customers reach at least the best possible total less the gain
of the one customer who no longer fitted whole (Dantzig 1957, Operations Research 5: that fraction of a customer is all
that the continuous problem, an upper bound, has more); further customers who still fit are then added.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bayes_clv.schema import quantiles

# Halvings of the range of the least gain per cost: to the last digits of a double.
HALVINGS = 60
# Passes over customers who no longer fit whole, in search of ones who do.
PASSES = 50
# Draws and customer blocks of a segment that the linear programme of a risk measure sees.
RISK_DRAWS = 1000
RISK_BLOCKS = 12


@dataclass(frozen=True)
class Order:
    """The customers of one segment in the order in which they are contacted, best first, and sums over them.

    ``weight`` and ``cost`` are sums over the first n customers, n from 0; ``ratio`` falls.
    """

    customers: np.ndarray
    ratio: np.ndarray
    weight: np.ndarray
    cost: np.ndarray


def orders(weight: np.ndarray, cost: np.ndarray, index: np.ndarray, segments: int) -> list[Order]:
    """Return the order of each segment, by weight per cost; equals as they come."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(weight > 0, weight / cost, 0.0)
    place = np.lexsort((-ratio, index))
    bounds = np.searchsorted(index[place], np.arange(segments + 1))
    found = []
    for start, end in pairwise(bounds):
        own = place[start:end]
        found.append(
            Order(
                own,
                ratio[own],
                np.concatenate([[0.0], np.cumsum(weight[own])]),
                np.concatenate([[0.0], np.cumsum(cost[own])]),
            )
        )
    return found


@dataclass(frozen=True)
class Totals:
    """The best set for each draw: weight by segment (draw, segment), its cost and its gain (draw,).

    With a budget these are of the continuous problem, in which the last customer may be contacted in part.
    """

    weight: np.ndarray
    spent: np.ndarray
    gain: np.ndarray


def best_totals(worth: np.ndarray, population: list[Order], budget: float | None) -> Totals:
    """Return the best set for each draw of ``worth`` (draw, segment), known exactly."""
    weight, spent = _above(worth, population, np.zeros(worth.shape[0]))
    if budget is not None and (spent > budget).any():
        weight, spent = _within(worth, population, budget, weight, spent)
    return Totals(weight, spent, (weight * worth).sum(axis=1) - spent)


def _above(worth: np.ndarray, population: list[Order], least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and costs of the customers who gain more than ``least`` (draw,) per cost."""
    weight, spent = np.empty_like(worth), np.zeros(worth.shape[0])
    for s, own in enumerate(population):
        pays = worth[:, s] > 0
        least_ratio = np.where(pays, (1 + least) / np.where(pays, worth[:, s], 1.0), np.inf)
        count = np.searchsorted(-own.ratio, -least_ratio, side="left")
        weight[:, s] = own.weight[count]
        spent += own.cost[count]
    return weight, spent


def _within(
    worth: np.ndarray, population: list[Order], budget: float, weight: np.ndarray, spent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and costs after the least gain per cost is raised until the budget holds."""
    finite = [own.ratio[np.isfinite(own.ratio)] for own in population]
    most = np.array([each[0] if each.size else 0.0 for each in finite])
    low = np.zeros(worth.shape[0])
    high = np.maximum((np.maximum(worth, 0) * most).max(axis=1), 1.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        _, costs = _above(worth, population, middle)
        low, high = np.where(costs > budget, middle, low), np.where(costs > budget, high, middle)
    over = spent > budget
    some, some_cost = _above(worth, population, high)
    more, more_cost = _above(worth, population, low)
    # Those between the two gain alike per cost: the rest of the budget goes to a part of them.
    between = more_cost - some_cost
    part = np.where(between > 0, (budget - some_cost) / np.where(between > 0, between, 1.0), 0.0)
    filled = some + part[:, None] * (more - some)
    return np.where(over[:, None], filled, weight), np.where(over, some_cost + part * between, spent)


def choose(gain: np.ndarray, cost: np.ndarray, budget: float | None) -> tuple[np.ndarray, float]:
    """Return which customers to contact, and the most that another set within the budget can gain more.

    ``gain`` is each customer's net gain. Without a budget the choice is the best, and the bound 0.
    """
    chosen = gain > 0
    if budget is None or cost[chosen].sum() <= budget:
        return chosen, 0.0
    with np.errstate(divide="ignore"):
        order = np.flatnonzero(chosen)[np.argsort(-(gain[chosen] / cost[chosen]), kind="stable")]
    total = np.cumsum(cost[order])
    first = int(np.searchsorted(total, budget, side="right"))
    spent = float(total[first - 1]) if first else 0.0
    upper = gain[order[:first]].sum() + gain[order[first]] * (budget - spent) / cost[order[first]]
    chosen = np.zeros(gain.size, dtype=bool)
    rest = order
    left = budget
    for _ in range(PASSES):
        rest = rest[cost[rest] <= left]
        if not rest.size:
            break
        fits = int(np.searchsorted(np.cumsum(cost[rest]), left, side="right"))
        chosen[rest[:fits]] = True
        left -= float(cost[rest[:fits]].sum())
        rest = rest[fits:]
    return chosen, max(0.0, float(upper - gain[chosen].sum()))


def choose_by_quantile(
    worth: np.ndarray, population: list[Order], budget: float | None, level: float, size: int
) -> tuple[np.ndarray, float]:
    """Return which of ``size`` customers to contact for a high quantile of the total, and what it is at least.

    A quantile of a total is no concave function of the set, but the mean of the worst share p of the draws is
    (Rockafellar & Uryasev 2000, Journal of Risk 2), and is maximised exactly by a linear programme. Where the
    segments' worths are jointly elliptical, as posteriors nearly are, the quantile is mean - z sd and that mean
    is mean - (phi(z_p) / p) sd: with p such that the two factors agree, the same set is best for both. So the
    programme is solved for p = level, that matching p, 1/2 and 1 (the mean), and of these sets and the empty one the
    best by the quantile itself, on all draws, is taken. The returned bound, the best mean of the worst ``level``,
    is one that the quantile of the set found never falls short of.
    """
    blocks = _blocks(population)
    thin = np.unique(np.linspace(0, worth.shape[0] - 1, min(RISK_DRAWS, worth.shape[0])).astype(int))
    segment = np.array([s for s, _, _ in blocks])
    ends = np.array([(a, b) for _, a, b in blocks])
    block_weight = np.array([population[s].weight[b] - population[s].weight[a] for s, a, b in blocks])
    block_cost = np.array([population[s].cost[b] - population[s].cost[a] for s, a, b in blocks])
    gains = worth[thin][:, segment] * block_weight - block_cost
    best, best_value, bound = np.zeros(size, dtype=bool), 0.0, 0.0
    for share in sorted({level, _matching_share(level), 0.5, 1.0}):
        part = _worst_mean(gains, block_cost, budget, share)
        chosen = np.zeros(size, dtype=bool)
        weight, spent = np.zeros(worth.shape[1]), 0.0
        for (s, _, _), (a, b), filled in zip(blocks, ends, part, strict=True):
            taken = population[s].customers[a : a + int(np.floor(filled * (b - a) + 1e-9))]
            chosen[taken] = True
            reached = a + taken.size
            weight[s] += population[s].weight[reached] - population[s].weight[a]
            spent += population[s].cost[reached] - population[s].cost[a]
        total = np.sort(worth @ weight - spent)
        value = float(quantiles(total, [level])[0])
        worst = float(total[: max(1, int(np.ceil(level * total.size)))].mean())
        bound = max(bound, worst)
        if value > best_value:
            best, best_value = chosen, value
    return best, bound


def _blocks(population: list[Order]) -> list[tuple[int, int, int]]:
    """Return (segment, first, end) of blocks of neighbours: one where all are alike, else RISK_BLOCKS."""
    found = []
    for s, own in enumerate(population):
        size = own.customers.size
        if size == 0:
            continue
        count = 1 if own.ratio[0] == own.ratio[-1] else min(RISK_BLOCKS, size)
        bounds = np.unique(np.linspace(0, size, count + 1).astype(int))
        found += [(s, int(a), int(b)) for a, b in pairwise(bounds)]
    return found


def _matching_share(level: float) -> float:
    """Return the share whose worst mean weighs the standard deviation as the quantile does: phi(z_p) / p = z."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = -float(norm.ppf(level))
    if z <= 1e-9:
        return 1.0
    return float(brentq(lambda p: norm.pdf(norm.ppf(p)) / p - z, level, 1 - 1e-12))


def _worst_mean(gains: np.ndarray, cost: np.ndarray, budget: float | None, share: float) -> np.ndarray:
    """Return the parts of the blocks that maximise the mean total of the worst share of the draws."""
    from scipy import sparse
    from scipy.optimize import linprog

    draws, count = gains.shape
    scale = max(float(np.abs(gains).max()), 1e-300)
    limit = (
        [] if budget is None else [(np.concatenate([cost / max(budget, 1e-300), np.zeros(1 + draws)]), 1.0)]
    )
    if share >= 1.0:
        objective = -gains.mean(axis=0) / scale
        rows = None if budget is None else np.array([limit[0][0][:count]])
        found = linprog(objective, rows, None if rows is None else [1.0], bounds=(0, 1), method="highs")
        return np.asarray(found.x)
    # max t - mean of shortfalls / share, shortfall_d >= t - total_d, shortfall_d >= 0.
    objective = np.concatenate([np.zeros(count), [-1.0], np.full(draws, 1 / (share * draws))])
    rows = sparse.hstack(
        [sparse.csr_matrix(-gains / scale), np.ones((draws, 1)), -sparse.identity(draws)]
    ).tocsr()
    right = np.zeros(draws)
    for row, most in limit:
        rows = sparse.vstack([rows, sparse.csr_matrix(row)]).tocsr()
        right = np.append(right, most)
    bounds = [(0, 1)] * count + [(None, None)] + [(0, None)] * draws
    found = linprog(objective, rows, right, bounds=bounds, method="highs")
    return np.asarray(found.x[:count])
