"""A customer's simulated futures held against what happened, compiled: its place, CRPS, and intervals.

The continuous ranked probability score is that of the draws' own distribution F, the integral of (F(x) - 1[x >= y])²,
which is mean|X - y| - mean|X - X'|/2 (Gneiting & Raftery 2007, eq. 20-21), summed up over the steps of F: every part
is positive, so nothing cancels, and draws that all are what happened score 0. Draws without a purchase are 0 and are
counted, not stored.

Money has a score on the scale of log(1 + amount / unit) too: few customers spend most of it, and on the natural scale
they decide the mean score alone. The unit is a typical purchase, so that no currency moves the score.

An interval of 50, 80, 90 or 95 % lies between inverse-CDF quantiles, ends included. Counts, and money with its many
zeros, have no interval of exactly that probability: what a forecast promises is the share of its draws inside. How
many customers are inside theirs is counted draw by draw too: what moves all customers at once, parameters or a
calendar, moves that number further than the chance of independent customers would. So is who buys at all, by the
customers' own chance to: any group of them, a tenth of a forecast or those given up, is made of few such classes.
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.elementary import log1p
from bayes_clv.problems import UNLIKELY
from bayes_clv.schema import INTERVALS

_INSIDE = (*(f"mass_{level}" for level in INTERVALS), *(f"inside_{level}" for level in INTERVALS))
PURCHASE_SCORES = ("draws_below", "draws_equal", "crps", *_INSIDE)
MONEY_SCORES = ("draws_below", "draws_equal", "crps", "log_crps", *_INSIDE)
# What is written of each customer, in this order; money where it is known.
SCORES = (
    *PURCHASE_SCORES,
    *(f"spend_{name}" for name in MONEY_SCORES),
    *(f"value_{name}" for name in MONEY_SCORES),
)
_SPEND = len(PURCHASE_SCORES)
_VALUE = _SPEND + len(MONEY_SCORES)
_N = len(INTERVALS)
_PROBABILITIES = np.array([[0.5 - level / 200, 0.5 + level / 200] for level in INTERVALS])
# Ends of the classes of customers by their chance of any purchase, half a unit of log odds apart, .0042 to .99; one end
# is below which customers are given up.
_ODDS = math.log(UNLIKELY / (1 - UNLIKELY)) + 0.5 * np.arange(-4, 17)
CHANCE_ENDS = np.where(np.arange(-4, 17) == 0, UNLIKELY, 1 / (1 + np.exp(-_ODDS)))
CHANCES = CHANCE_ENDS.size + 1
# Amounts in a bucket from which a common sort is quicker.
CROWDED = 64
# Undoes the rounding of a probability times a number of draws; probabilities are multiples of 1/40.
_SLACK = 1.0 - 1e-12


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def reaching(probability, draws):  # type: ignore[no-untyped-def]
    """Return how many draws are the smallest number that is at least this share of them."""
    return np.int64(math.ceil(probability * draws * _SLACK))


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def interval_ends(draws):  # type: ignore[no-untyped-def]
    """Return which draws in rising order, from 1, are the lower and the upper ends of the INTERVALS, (interval, 2)."""
    ends = np.empty((_N, 2), dtype=np.int64)
    for k in range(_N):
        for side in range(2):
            ends[k, side] = reaching(_PROBABILITIES[k, side], draws)
    return ends


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def score_counts(histogram, top, draws, observed, ends, bounds, out):  # type: ignore[no-untyped-def]
    """Write PURCHASE_SCORES of counts of which ``histogram`` has the draws with each number, 0 to ``top``.

    ``bounds`` (interval, 2) takes the intervals.
    """
    below = 0
    equal = 0
    crps = 0.0
    before = 0
    for n in range(top + 1):
        upto = before + histogram[n]
        if n < observed:
            below = upto
        elif n == observed:
            equal = histogram[n]
        miss = upto / draws - (1.0 if n >= observed else 0.0)
        crps += miss * miss
        for k in range(_N):
            if before < ends[k, 0] <= upto:
                out[3 + k] = -before
                bounds[k, 0] = n
                out[3 + _N + k] = 1.0 if observed >= n else 0.0
            if before < ends[k, 1] <= upto:
                out[3 + k] = (out[3 + k] + upto) / draws
                bounds[k, 1] = n
                if observed > n:
                    out[3 + _N + k] = 0.0
        before = upto
    if observed > top:
        crps += np.float64(observed - top - 1)
    out[0] = below
    out[1] = equal
    out[2] = crps


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def sort_amounts(amounts, starts, out):  # type: ignore[no-untyped-def]
    """Write the amounts, none negative, to ``out`` in rising order; ``starts`` is room for 2 × their number + 1.

    Their bits, read as whole numbers, rise as they do and nearly as their logarithms: so cut into equal parts they make
    buckets of few amounts each, and what is left to do is to exchange neighbours. A seventh of a quicksort's time.
    """
    size = amounts.size
    if size == 0:
        return
    keys = amounts.view(np.int64)
    low = high = keys[0]
    for m in range(size):
        low = min(low, keys[m])
        high = max(high, keys[m])
    shift = 0
    while (high - low) >> shift >= 2 * size:
        shift += 1
    buckets = ((high - low) >> shift) + 1
    starts[: buckets + 1] = 0
    for m in range(size):
        starts[((keys[m] - low) >> shift) + 1] += 1
    most = 0
    for j in range(buckets):
        most = max(most, starts[j + 1])
        starts[j + 1] += starts[j]
    for m in range(size):
        j = (keys[m] - low) >> shift
        out[starts[j]] = amounts[m]
        starts[j] += 1
    if most > CROWDED:
        out[:size].sort()
        return
    for m in range(1, size):
        amount = out[m]
        j = m
        while j > 0 and out[j - 1] > amount:
            out[j] = out[j - 1]
            j -= 1
        out[j] = amount


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _crps(amounts, below, active, draws, observed):  # type: ignore[no-untyped-def]
    """Return the CRPS of sorted ``amounts[:active]``, the first ``below`` of them under ``observed``, and zeros."""
    score = 0.0
    last = 0.0
    # Draws that are less than what lies between two amounts, then, beyond what happened, draws that are more.
    count = np.float64(draws - active)
    for m in range(below):
        score += count * count * (amounts[m] - last)
        last = amounts[m]
        count += 1.0
    score += count * count * (observed - last)
    last = observed
    count = np.float64(active - below)
    for m in range(below, active):
        score += count * count * (amounts[m] - last)
        last = amounts[m]
        count -= 1.0
    return score / (np.float64(draws) * draws)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _log_crps(amounts, active, draws, observed, unit, logs):  # type: ignore[no-untyped-def]
    """Return the CRPS of log(1 + amount / unit) of sorted ``amounts[:active]`` and zeros; ``logs`` is room for them."""
    for m in range(active):
        logs[m] = log1p(amounts[m] / unit)
    below = np.searchsorted(amounts[:active], observed)
    return _crps(logs, below, active, draws, log1p(observed / unit))


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _score_amounts(amounts, active, draws, observed, unit, ends, logs, bounds, out):  # type: ignore[no-untyped-def]
    """Write MONEY_SCORES of sorted ``amounts[:active]``, none negative, and of draws - active zeros.

    ``logs`` is room for as many numbers, ``bounds`` (interval, 2) takes the intervals. All are NaN where ``observed``
    is.
    """
    if not observed >= 0:
        out[:] = np.nan
        bounds[:] = np.nan
        return
    zeros = draws - active
    below = np.searchsorted(amounts[:active], observed)
    upto = below
    while upto < active and amounts[upto] == observed:
        upto += 1
    out[0] = below + zeros if observed > 0 else 0
    out[1] = upto - below + (0 if observed > 0 else zeros)
    out[2] = _crps(amounts, below, active, draws, observed)
    out[3] = _log_crps(amounts, active, draws, observed, unit, logs)
    for k in range(_N):
        first, last = ends[k, 0] - 1 - zeros, ends[k, 1] - 1 - zeros
        low = amounts[first] if first >= 0 else 0.0
        high = amounts[last] if last >= 0 else 0.0
        bounds[k, 0], bounds[k, 1] = low, high
        # Draws that tie with an end belong to the interval.
        if low == 0:
            first = -zeros
        while first > 0 and amounts[first - 1] == low:
            first -= 1
        last = max(last, -1)
        while last + 1 < active and amounts[last + 1] == high:
            last += 1
        out[4 + k] = (last + 1 - first) / draws
        out[4 + _N + k] = 1.0 if low <= observed <= high else 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def score_money(spends, values, active, draws, i, holdout, ends, logs, bounds, scores):  # type: ignore[no-untyped-def]
    """Write what ``scores`` (SCORES) has room for of customer ``i``'s spend and value, both sorted.

    ``bounds`` (2, interval, 2) takes the intervals of the two. Of one array, where nothing is discounted, value's
    scores are those of spend but for the unit of its logarithm.
    """
    if scores.size > _SPEND:
        out = scores[_SPEND:_VALUE]
        _score_amounts(
            spends, active, draws, holdout.spend[i], holdout.spend_unit, ends, logs, bounds[0], out
        )
    if scores.size > _VALUE:
        out = scores[_VALUE:]
        if values is spends and holdout.value[i] == holdout.spend[i]:
            out[:] = scores[_SPEND:_VALUE]
            bounds[1] = bounds[0]
            if holdout.value_unit != holdout.spend_unit:
                out[3] = _log_crps(values, active, draws, holdout.value[i], holdout.value_unit, logs)
            return
        _score_amounts(
            values, active, draws, holdout.value[i], holdout.value_unit, ends, logs, bounds[1], out
        )


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def score_histograms(seen, observed, out):  # type: ignore[no-untyped-def]
    """Write PURCHASE_SCORES of each customer whose futures are counted by purchases, (customer, 0 to most)."""
    bounds = np.empty((_N, 2))
    for i in range(seen.shape[0]):
        futures = seen[i].sum()
        score_counts(seen[i], seen.shape[1] - 1, futures, observed[i], interval_ends(futures), bounds, out[i])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def add_inside(draw, count, amount, first_orders, bounds, inside, always):  # type: ignore[no-untyped-def]
    """Add to ``inside`` (quantity, interval, draw) one customer, where it lies in its own ``bounds``.

    ``draw``, ``count`` and ``amount`` are of the draws in which it buys; in all others purchases and spend are 0. Where
    0 lies inside, the customer is counted in ``always`` (quantity, interval) alone, which is of all draws, and
    ``inside`` has what those with a purchase differ by. It is written where it is 0 too: a processor
    that guesses wrong which are not loses more.
    """
    for quantity in range(inside.shape[0]):
        for k in range(_N):
            low, high = bounds[quantity, k, 0], bounds[quantity, k, 1]
            otherwise = np.int64(low <= 0.0 <= high)
            always[quantity, k] += otherwise
            to = inside[quantity, k]
            if quantity:
                for m in range(draw.size):
                    to[draw[m]] += np.int64((amount[m] >= low) & (amount[m] <= high)) - otherwise
                continue
            for m in range(draw.size):
                own = count[m] + first_orders
                to[draw[m]] += np.int64((own >= low) & (own <= high)) - otherwise


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def add_active(draw, counts, active, share, by_chance):  # type: ignore[no-untyped-def]
    """Add to ``by_chance`` (class, draw) one customer who buys ``counts[:active]`` in these draws, a share of all."""
    to = by_chance[np.searchsorted(CHANCE_ENDS, share, side="right")]
    for m in range(active):
        to[draw[m]] += counts[m] > 0


def chance_classes(share: np.ndarray) -> np.ndarray:
    """Return the class, from 0, of customers who buy at all in these shares of the draws."""
    return np.searchsorted(CHANCE_ENDS, share, side="right")


def active_by_chance(bought: np.ndarray) -> np.ndarray:
    """Return how many customers buy in each draw, (draw, class), of who does, (draw, customer)."""
    classes = chance_classes(bought.mean(axis=0))
    found = [bought[:, classes == each].sum(axis=1) for each in range(CHANCES)]
    return np.stack(found, axis=1)
