"""Whom to contact with which offer, given what a unit of each segment is worth: plain arrays, under a budget.

With offer k a customer i of segment s gains w_i worth_ks - c_i p_k: its weight, what a unit weight of the segment is
worth (margin × uplift), and its cost times that of the offer. Whatever the worths, customers of one segment stand in
the order of w_i / c_i, along which the best offer is a straight line's each, the steeper the further up. So a choice
is a few places in each segment's order, and its total on every draw needs sums by segment alone. That is why a cost
is a customer's own or an offer's, or their product, and no table of both.

Without a budget everybody gets the offer that gains most, where one gains anything, which is exact. With a budget this
is a knapsack in which each customer takes one offer at most (a single offer is the plain knapsack). Of each customer
only offers on the upper convex hull of gain over cost count, and what is taken are the steps along it, from nothing
and from offer to offer, in the order of gain per cost until the budget is spent (Sinha & Zoltners 1979, Operations
Research 27; for one offer Dantzig 1957, Operations Research 5). That reaches at least the best possible total less the
gain of the one step that no longer fitted whole: a fraction of it is all that the continuous problem, an upper bound,
has more. Further steps that still fit are then added.
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
    """The best choice for each draw: weight (draw, offer, segment), its cost and its gain (draw,).

    With a budget these are of the continuous problem, in which the last customer may be contacted in part.
    """

    weight: np.ndarray
    spent: np.ndarray
    gain: np.ndarray


def best_totals(
    worth: np.ndarray, prices: np.ndarray, population: list[Order], budget: float | None
) -> Totals:
    """Return the best choice for each draw of ``worth`` (draw, offer, segment), known exactly; ``prices`` (offer,)."""
    weight, spent = _above(worth, prices, population, np.zeros(worth.shape[0]))
    if budget is not None and (spent > budget).any():
        weight, spent = _within(worth, prices, population, budget, weight, spent)
    return Totals(weight, spent, (weight * worth).sum(axis=(1, 2)) - spent)


def least_ratios(worth: np.ndarray, prices: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return (draw, offer): the ratio w / c above which an offer beats each that is worth less, and nothing.

    ``worth`` (draw, offer) is of one segment, ``least`` (draw,) the gain that a unit of cost must bring. A customer's
    best offer is that of the highest worth whose ratio lies below its own: had a dearer one beaten it, that one's
    ratio would lie below too.
    """
    pays = worth > 0
    found = np.where(pays, (1 + least)[:, None] * prices / np.where(pays, worth, 1.0), np.inf)
    for j in range(worth.shape[1]):
        more = worth - worth[:, j, None]
        # Of two that are worth the same the cheaper, of two that are all the same the first.
        same = (more == 0) & ((prices > prices[j]) | ((prices == prices[j]) & (np.arange(prices.size) > j)))
        crossing = (1 + least)[:, None] * (prices - prices[j]) / np.where(more > 0, more, 1.0)
        better = np.where(more > 0, np.maximum(crossing, 0.0), np.where(same, np.inf, 0.0))
        found = np.maximum(found, better)
    return found


def _above(
    worth: np.ndarray, prices: np.ndarray, population: list[Order], least: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and costs of what the customers take who gain more than ``least`` (draw,) per cost."""
    weight, spent = np.zeros_like(worth), np.zeros(worth.shape[0])
    draws = np.arange(worth.shape[0])
    for s, own in enumerate(population):
        count = np.searchsorted(-own.ratio, -least_ratios(worth[:, :, s], prices, least), side="left")
        taken = np.zeros(worth.shape[0], dtype=np.int64)
        for k in np.argsort(-worth[:, :, s], axis=1, kind="stable").T:
            end = np.maximum(count[draws, k], taken)
            weight[draws, k, s] = own.weight[end] - own.weight[taken]
            spent += prices[k] * (own.cost[end] - own.cost[taken])
            taken = end
    return weight, spent


def _within(
    worth: np.ndarray,
    prices: np.ndarray,
    population: list[Order],
    budget: float,
    weight: np.ndarray,
    spent: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and costs after the least gain per cost is raised until the budget holds."""
    finite = [own.ratio[np.isfinite(own.ratio)] for own in population]
    most = np.array([each[0] if each.size else 0.0 for each in finite])
    low = np.zeros(worth.shape[0])
    dear = prices > 0
    per_cost = np.maximum(worth[:, dear], 0) / prices[dear][:, None]
    high = np.maximum((per_cost * most).max(axis=(1, 2)), 1.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        _, costs = _above(worth, prices, population, middle)
        low, high = np.where(costs > budget, middle, low), np.where(costs > budget, high, middle)
    over = spent > budget
    some, some_cost = _above(worth, prices, population, high)
    more, more_cost = _above(worth, prices, population, low)
    # Those between the two gain alike per cost: the rest of the budget goes to a part of them.
    between = more_cost - some_cost
    part = np.where(between > 0, (budget - some_cost) / np.where(between > 0, between, 1.0), 0.0)
    filled = some + part[:, None, None] * (more - some)
    return np.where(over[:, None, None], filled, weight), np.where(over, some_cost + part * between, spent)


def choose(gain: np.ndarray, cost: np.ndarray, budget: float | None) -> tuple[np.ndarray, float]:
    """Return each customer's offer, -1 for none, and the most that another choice within the budget can gain more.

    ``gain`` and ``cost`` are (customer, offer). Without a budget the choice is the best, and the bound 0.
    """
    rows = np.arange(gain.shape[0])
    best = gain.argmax(axis=1)
    chosen = np.where(gain[rows, best] > 0, best, -1)
    if budget is None or cost[rows, best][chosen >= 0].sum() <= budget:
        return chosen, 0.0
    steps = _steps(gain, cost)
    with np.errstate(divide="ignore"):
        order = np.argsort(-(steps.gain / steps.cost), kind="stable")
    total = np.cumsum(steps.cost[order])
    first = int(np.searchsorted(total, budget, side="right"))
    spent = float(total[first - 1]) if first else 0.0
    upper = steps.gain[order[:first]].sum()
    if first < order.size:
        upper += steps.gain[order[first]] * (budget - spent) / steps.cost[order[first]]
    chosen, taken = np.full(gain.shape[0], -1), np.zeros(gain.shape[0], dtype=np.int64)
    rest = order
    left = budget
    for _ in range(PASSES):
        rest = rest[steps.cost[rest] <= left]
        # A step follows the one before it: where that does not fit, neither do those after it.
        rest = rest[steps.number[rest] == taken[steps.customer[rest]] + _occurrence(steps.customer[rest])]
        if not rest.size:
            break
        fits = int(np.searchsorted(np.cumsum(steps.cost[rest]), left, side="right"))
        # Of one customer's steps the last counts.
        chosen[steps.customer[rest[:fits]]] = steps.offer[rest[:fits]]
        taken[steps.customer[rest[:fits]]] = steps.number[rest[:fits]] + 1
        left -= float(steps.cost[rest[:fits]].sum())
        rest = rest[fits:]
    reached = gain[rows, chosen][chosen >= 0].sum()
    return chosen, max(0.0, float(upper - reached))


@dataclass(frozen=True)
class _Steps:
    """Steps from nothing along each customer's hull, in their order: ``number`` 0 is the first, ``offer`` where to."""

    customer: np.ndarray
    number: np.ndarray
    offer: np.ndarray
    gain: np.ndarray
    cost: np.ndarray


def _steps(gain: np.ndarray, cost: np.ndarray) -> _Steps:
    rows = np.arange(gain.shape[0])
    had, paid = np.zeros(rows.size), np.zeros(rows.size)
    found = []
    for number in range(gain.shape[1]):
        more, dearer = gain[rows] - had[rows, None], cost[rows] - paid[rows, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(more > 0, np.where(dearer > 0, more / dearer, np.inf), -np.inf)
        best = np.where(ratio == ratio.max(axis=1, keepdims=True), more, -np.inf).argmax(axis=1)
        at = np.arange(rows.size)
        better = more[at, best] > 0
        at, best, rows = at[better], best[better], rows[better]
        found.append(
            (rows, np.full(rows.size, number), best, more[at, best], np.maximum(dearer[at, best], 0.0))
        )
        had[rows], paid[rows] = gain[rows, best], cost[rows, best]
    return _Steps(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _occurrence(labels: np.ndarray) -> np.ndarray:
    """Return how often each label stood there before."""
    order = np.argsort(labels, kind="stable")
    own = labels[order]
    start = np.searchsorted(own, own)
    found = np.empty(labels.size, dtype=np.int64)
    found[order] = np.arange(labels.size) - start
    return found


def choose_by_quantile(
    worth: np.ndarray,
    prices: np.ndarray,
    population: list[Order],
    budget: float | None,
    level: float,
    size: int,
) -> tuple[np.ndarray, float]:
    """Return each of ``size`` customers' offer, -1 for none, for a high quantile of the total; what it is at least.

    A quantile of a total is no concave function of the choice, but the mean of the worst share p of the draws is
    (Rockafellar & Uryasev 2000, Journal of Risk 2), and is maximised exactly by a linear programme. Where the
    segments' worths are jointly elliptical, as posteriors nearly are, the quantile is mean - z sd and that mean
    is mean - (phi(z_p) / p) sd: with p such that the two factors agree, the same choice is best for both. So the
    programme is solved for p = level, that matching p, 1/2 and 1 (the mean), and of these choices and the empty one the
    best by the quantile itself, on all draws, is taken. The returned bound, the best mean of the worst ``level``,
    is one that the quantile of the choice found never falls short of.
    """
    blocks = _blocks(population)
    offers = prices.size
    thin = np.unique(np.linspace(0, worth.shape[0] - 1, min(RISK_DRAWS, worth.shape[0])).astype(int))
    segment = np.array([s for s, _, _ in blocks])
    block_weight = np.array([population[s].weight[b] - population[s].weight[a] for s, a, b in blocks])
    block_cost = np.array([population[s].cost[b] - population[s].cost[a] for s, a, b in blocks])
    # A block's offers stand beside each other.
    costs = (block_cost[:, None] * prices).ravel()
    gains = (worth[thin][:, :, segment] * block_weight).transpose(0, 2, 1).reshape(thin.size, -1) - costs
    best, best_value, bound = np.full(size, -1), 0.0, 0.0
    for share in sorted({level, _matching_share(level), 0.5, 1.0}):
        parts = _worst_mean(gains, costs, budget, share, offers).reshape(-1, offers)
        chosen = np.full(size, -1)
        weight, spent = np.zeros(worth.shape[1:]), 0.0
        for (s, a, b), part in zip(blocks, parts, strict=True):
            at = a
            for k, number in enumerate(np.floor(part * (b - a) + 1e-9).astype(int)):
                reached = min(at + number, b)
                chosen[population[s].customers[at:reached]] = k
                weight[k, s] += population[s].weight[reached] - population[s].weight[at]
                spent += prices[k] * (population[s].cost[reached] - population[s].cost[at])
                at = reached
        total = np.sort(np.tensordot(worth, weight, 2) - spent)
        value = float(quantiles(total, [level])[0])
        worst = float(total[: max(1, int(np.ceil(level * total.size)))].mean())
        bound = max(bound, worst)
        if value > best_value:
            best, best_value = chosen, value
    return best, bound


def chances_of_best(
    worth: np.ndarray, prices: np.ndarray, ratio: np.ndarray, index: np.ndarray, offer: np.ndarray
) -> np.ndarray:
    """Return how probably each customer's ``offer`` (-1: none) is the best of all and of none, over draws of worth.

    ``ratio`` is the customer's w / c and ``index`` its segment.
    """
    found = np.empty(ratio.size)
    for s in range(worth.shape[2]):
        own = worth[:, :, s]
        least = least_ratios(own, prices, np.zeros(worth.shape[0]))
        for k in range(-1, worth.shape[1]):
            those = np.flatnonzero((index == s) & (offer == k))
            if not those.size:
                continue
            above = own > own[:, k, None] if k >= 0 else np.ones(own.shape, dtype=bool)
            high = np.where(above, least, np.inf).min(axis=1)
            low = least[:, k] if k >= 0 else np.full(high.size, -np.inf)
            some = low < high
            ends = [np.searchsorted(np.sort(each[some]), ratio[those], side="left") for each in (low, high)]
            found[those] = (ends[0] - ends[1]) / worth.shape[0]
    return found


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


def _worst_mean(
    gains: np.ndarray, cost: np.ndarray, budget: float | None, share: float, offers: int
) -> np.ndarray:
    """Return the parts of the blocks with each offer that maximise the mean total of the worst share of the draws."""
    from scipy import sparse
    from scipy.optimize import linprog

    draws, count = gains.shape
    scale = max(float(np.abs(gains).max()), 1e-300)
    limits = []
    if budget is not None:
        limits.append(sparse.csr_matrix(cost[None] / max(budget, 1e-300)))
    if offers > 1:
        # All parts of a block together are at most the block.
        limits.append(sparse.kron(sparse.identity(count // offers), np.ones((1, offers))).tocsr())
    limit = sparse.vstack(limits).tocsr() if limits else sparse.csr_matrix((0, count))
    if share >= 1.0:
        objective = -gains.mean(axis=0) / scale
        found = linprog(objective, limit, np.ones(limit.shape[0]), bounds=(0, 1), method="highs")
        return np.asarray(found.x)
    # max t - mean of shortfalls / share, shortfall_d >= t - total_d, shortfall_d >= 0.
    objective = np.concatenate([np.zeros(count), [-1.0], np.full(draws, 1 / (share * draws))])
    rows = sparse.hstack([sparse.csr_matrix(-gains / scale), np.ones((draws, 1)), -sparse.identity(draws)])
    further = sparse.hstack([limit, sparse.csr_matrix((limit.shape[0], 1 + draws))])
    rows = sparse.vstack([rows, further]).tocsr()
    right = np.concatenate([np.zeros(draws), np.ones(limit.shape[0])])
    bounds = [(0, 1)] * count + [(None, None)] + [(0, None)] * draws
    found = linprog(objective, rows, right, bounds=bounds, method="highs")
    return np.asarray(found.x[:count])
