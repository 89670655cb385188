"""Statistics of simulated futures, compiled: of a customer's counts and values, and of its place among the others.

``buyers`` are those draws of a customer in which it buys; in all others its purchases, spend and value are 0, and no
zero is stored or sorted.

**The top share, draw by draw, without keeping the draws.** A first pass over the futures counts, for each draw, how
many customers fall into each of BINS logarithmic bins; a second pass over the same futures (they are random streams
of their own, so the same) knows each draw's boundary bin and counts. The histogram is (draw, bin) however many
customers there are. There are BINS_PER_OCTAVE = 64 bins to each doubling, so that a bin is 1.1 % wide, over 2^-20 to
2^20 times a reference (a typical spend, or one purchase); what is beyond falls into the outermost bins. Bin 0 is no
purchase. Counts of up to 91 purchases have a bin each. Customers of the boundary bin share the places that are left
equally, as exact ties would: the probabilities of all customers add up to the number of places. In a draw with fewer
buyers than places, the customers without purchases share the rest.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from bayes_clv.predictions.scores import (
    PURCHASE_SCORES,
    add_active,
    add_inside,
    interval_ends,
    reaching,
    score_counts,
    score_money,
    sort_amounts,
)
from bayes_clv.schema import QUANTILES

BINS_PER_OCTAVE = 64
OCTAVES = 40
BINS = BINS_PER_OCTAVE * OCTAVES + 1

COLUMNS = (
    "purchases_mean",
    "purchases_sd",
    *(f"purchases_q{round(100 * q):02d}" for q in QUANTILES),
    "probability_active",
    "spend_mean",
    "value_mean",
    "value_sd",
    *(f"value_q{round(100 * q):02d}" for q in QUANTILES),
)
# Of each of the customers' own numbers.
OWN = ("mean", "sd", *(f"q{round(100 * q):02d}" for q in QUANTILES))
_PROBABILITIES = np.array(QUANTILES)
_N_QUANTILES = len(QUANTILES)
_MONEY = COLUMNS.index("spend_mean")
_PURCHASES = len(PURCHASE_SCORES)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _count_summary(counts, active, draws, histogram, out):  # type: ignore[no-untyped-def]
    """Write the summary of one customer's counts; zeros are the draws that are not in ``counts``.

    Return their histogram, which has no room for more than their largest, and the largest.
    """
    total = 0
    squares = 0.0
    top = np.int64(0)
    for m in range(active):
        n = counts[m]
        total += n
        squares += np.float64(n) * n
        top = max(top, n)
    mean = total / draws
    out[0] = mean
    out[1] = math.sqrt(max(squares - total * mean, 0.0) / (draws - 1)) if draws > 1 else 0.0
    if top >= histogram.size:
        histogram = np.zeros(2 * top, dtype=np.int64)
    histogram[: top + 1] = 0
    histogram[0] = draws - active
    for m in range(active):
        histogram[counts[m]] += 1
    out[2 + _N_QUANTILES] = (draws - histogram[0]) / draws
    # Inverse CDF: the smallest n with F(n) >= q.
    n = 0
    cumulative = histogram[0]
    for k in range(_N_QUANTILES):
        while cumulative < reaching(_PROBABILITIES[k], draws):
            n += 1
            cumulative += histogram[n]
        out[2 + k] = n
    return histogram, top


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _select(values, end, rank):  # type: ignore[no-untyped-def]
    """Return the rank-th smallest of values[:end], which ends up in its place (Hoare's quickselect)."""
    low = 0
    high = end - 1
    while low < high:
        middle = (low + high) // 2
        a, b, c = values[low], values[middle], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return values[rank]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _value_moments(values, active, draws, spend_sum, out):  # type: ignore[no-untyped-def]
    """Write mean spend, and mean and standard deviation of one customer's values."""
    total = 0.0
    for m in range(active):
        total += values[m]
    mean = total / draws
    squares = (draws - active) * mean * mean
    for m in range(active):
        squares += (values[m] - mean) ** 2
    out[_MONEY] = spend_sum / draws
    out[_MONEY + 1] = mean
    out[_MONEY + 2] = math.sqrt(squares / (draws - 1)) if draws > 1 else 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _value_quantiles(values, active, draws, rising, out):  # type: ignore[no-untyped-def]
    """Write the quantiles of one customer's values, reordered in place where they are not ``rising`` already."""
    zeros = draws - active
    end = active
    for k in range(_N_QUANTILES - 1, -1, -1):
        rank = reaching(_PROBABILITIES[k], draws) - 1 - zeros
        if rank < 0:
            out[_MONEY + 3 + k] = 0.0
        elif rising:
            out[_MONEY + 3 + k] = values[rank]
        else:
            out[_MONEY + 3 + k] = _select(values, end, rank)
            end = rank + 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def describe_draws(drawn, out):  # type: ignore[no-untyped-def]
    """Write mean, standard deviation and QUANTILES of each customer's draws (customer, draw) to (customer, OWN)."""
    draws = drawn.shape[1]
    values = np.empty(draws)
    for i in range(drawn.shape[0]):
        total = 0.0
        for s in range(draws):
            values[s] = drawn[i, s]
            total += values[s]
        mean = total / draws
        squares = 0.0
        for s in range(draws):
            squares += (values[s] - mean) ** 2
        out[i, 0] = mean
        out[i, 1] = math.sqrt(squares / (draws - 1)) if draws > 1 else 0.0
        end = draws
        for k in range(_N_QUANTILES - 1, -1, -1):
            rank = reaching(_PROBABILITIES[k], draws) - 1
            out[i, 2 + k] = _select(values, end, rank)
            end = rank + 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _add_always(inside, always):  # type: ignore[no-untyped-def]
    """Add customers counted in every draw, (quantity, interval), to ``inside`` (quantity, interval, draw)."""
    for quantity in range(inside.shape[0]):
        for k in range(inside.shape[1]):
            inside[quantity, k] += always[quantity, k]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def summarise(  # type: ignore[no-untyped-def]
    buyers, paid, first_orders, draws, value_above, holdout, out, exceeding, scores, inside, few, chances
):
    """Write the summary of each customer (customer, COLUMNS), P(value above each amount) and scores.

    ``first_orders`` is 1 where every customer ordered at time 0, in every draw. ``out`` has no money columns to fill
    where ``paid`` has no rows; ``exceeding`` and ``scores`` (customer, SCORES) are written as far as they have room.
    Customers inside their own intervals are added to ``inside`` (quantity, interval, draw), purchases and then spend,
    and of the holdout's frequent ones to ``few``, of purchases alone; who buys at all to ``chances`` (class, draw).
    """
    money = paid.value.size > 0
    priced = scores.shape[1] > _PURCHASES
    counts = np.empty(draws, dtype=np.int64)
    values, room, logs = np.empty(draws), np.empty(draws), np.empty(draws)
    starts = np.empty(2 * draws + 1, dtype=np.int64)
    histogram = np.zeros(1024, dtype=np.int64)
    ends = interval_ends(draws)
    # Of purchases, spend and value.
    bounds = np.empty((3, ends.shape[0], 2))
    # Of how many customers no purchase lies inside, in every draw.
    always = np.zeros(inside.shape[:2], dtype=np.int64)
    always_few = np.zeros(few.shape[:2], dtype=np.int64)
    for i in range(out.shape[0]):
        low, high = buyers.begin[i], buyers.begin[i + 1]
        active = high - low
        drawn, bought = buyers.draw[low:high], buyers.count[low:high]
        for m in range(active):
            counts[m] = bought[m] + first_orders
        seen, top = _count_summary(counts, active, draws, histogram, out[i])
        if scores.shape[1] > 0:
            score_counts(seen, top, draws, holdout.purchases[i], ends, bounds[0], scores[i])
        if chances.shape[0] > 0:
            add_active(drawn, counts, active, out[i, 2 + _N_QUANTILES], chances)
        if few.shape[0] > 0 and holdout.frequent[i]:
            add_inside(drawn, bought, values, first_orders, bounds, few, always_few)
        if not money:
            if inside.shape[0] > 0:
                add_inside(drawn, bought, values, first_orders, bounds, inside, always)
            continue
        spend = 0.0
        discounted = False
        for m in range(active):
            values[m] = paid.value[low + m]
            spend += paid.spend[low + m]
            discounted |= values[m] != paid.spend[low + m]
        for j in range(exceeding.shape[1]):
            exceeded = 0
            for m in range(active):
                exceeded += values[m] > value_above[j]
            exceeding[i, j] = exceeded / draws
        _value_moments(values, active, draws, spend, out[i])
        if priced:
            sort_amounts(paid.value[low:high], starts, values)
            spends = values
            if discounted:
                sort_amounts(paid.spend[low:high], starts, room)
                spends = room
            score_money(spends, values, active, draws, i, holdout, ends, logs, bounds[1:], scores[i])
        _value_quantiles(values, active, draws, priced, out[i])
        if inside.shape[0] > 0:
            add_inside(drawn, bought, paid.spend[low:high], first_orders, bounds, inside, always)
    _add_always(inside, always)
    _add_always(few, always_few)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def add_up(buyers, paid, found, first_orders, purchases, active, spend, value):  # type: ignore[no-untyped-def]
    """Add the buyers' purchases and money, and who buys at all, to the totals of their draws."""
    for n in range(found):
        bought = buyers.count[n] + first_orders
        purchases[buyers.draw[n]] += bought
        active[buyers.draw[n]] += bought > 0
    if paid.value.size == 0:
        return
    for n in range(found):
        spend[buyers.draw[n]] += paid.spend[n]
        value[buyers.draw[n]] += paid.value[n]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def add_periods(buyers, batch, filled, offset, width, total, worth, purchases):  # type: ignore[no-untyped-def]
    """Add a batch of purchases to the periods they fall into, and their value to ``worth`` (buyer, period).

    ``total`` (draw, period) and ``purchases`` (customer, period) count them; ``offset`` (customer) is the time from the
    start of period 0 to the start of the future. What is not wanted has no rows.
    """
    periods = total.shape[1]
    money, each = worth.shape[0] > 0, purchases.shape[0] > 0
    for p in range(filled):
        n = batch.buyer[p]
        i, s = buyers.customer[n], buyers.draw[n]
        number = np.int64(math.ceil((offset[i] + batch.time[p]) / width)) - 1
        period = min(max(number, np.int64(0)), np.int64(periods - 1))
        total[s, period] += 1
        if money:
            worth[n, period] += batch.amount[p]
        if each:
            purchases[i, period] += 1.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def add_worth(buyers, found, worth, total, value):  # type: ignore[no-untyped-def]
    """Add the buyers' value by period to ``total`` (draw, period) and ``value`` (customer, period), one by one.

    Purchases come in another order, that of their numbers, which depends on who is in the tile; sums round by order.
    """
    for n in range(found):
        for period in range(total.shape[1]):
            total[buyers.draw[n], period] += worth[n, period]
            if value.shape[0] > 0:
                value[buyers.customer[n], period] += worth[n, period]
            worth[n, period] = 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def spread(buyers, of_buyer, found, out):  # type: ignore[no-untyped-def]
    """Write numbers of the buyers as (customer, draw); ``out`` is 0 where nobody buys."""
    for n in range(found):
        out[buyers.customer[n], buyers.draw[n]] = of_buyer[n]


@dataclass(frozen=True)
class Cutoff:
    """Per draw: customers above ``bin`` are in, those in it with probability ``share``."""

    bin: np.ndarray
    share: np.ndarray


@njit(nogil=True, cache=True, inline="always")
def bin_of(amount, log2_reference):  # type: ignore[no-untyped-def]
    """Return the bin, 1 to BINS - 1, of a positive amount."""
    position = (math.log2(amount) - log2_reference + OCTAVES // 2) * BINS_PER_OCTAVE + 1.0
    # The slack puts whole purchases, whose logarithm may round down, at the beginning of their own bin.
    return np.int64(min(max(math.floor(position + 1e-9), 1.0), BINS - 1.0))


def places(share: float, customers: int) -> int:
    """Return how many customers the top share is: the smallest number that is at least the share."""
    return max(1, math.ceil(share * customers - 1e-9))


def cutoff(histogram: np.ndarray, customers: int, wanted: int) -> Cutoff:
    """Return the boundary of the top ``wanted`` customers from a (draw, bin) histogram of those who buy."""
    draws = histogram.shape[0]
    result = Cutoff(np.zeros(draws, dtype=np.int64), np.zeros(draws))
    for s in range(draws):
        counts = histogram[s].astype(np.int64)
        counts[0] = customers - counts.sum()
        above = counts[::-1].cumsum()[::-1]  # customers in this bin or above
        boundary = int(np.flatnonzero(above >= wanted)[-1])
        result.bin[s] = boundary
        result.share[s] = (wanted - (above[boundary] - counts[boundary])) / counts[boundary]
    return result


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def tally(buyers, amount, found, more, log2_reference, counts):  # type: ignore[no-untyped-def]
    """Count the buyers of each draw by their bin, (draw, bin); ``amount`` and ``more`` add up to what is ranked."""
    for n in range(found):
        if amount[n] + more > 0:
            counts[buyers.draw[n], bin_of(np.float64(amount[n] + more), log2_reference)] += 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def in_top(buyers, amount, customers, more, log2_reference, cutoff_bin, cutoff_share, top):  # type: ignore[no-untyped-def]
    """Write each customer's probability of being in the top, of which ``cutoff`` says where it begins."""
    draws = cutoff_bin.size
    # In draws with fewer buyers than places, those who buy nothing share the rest.
    share_of_none = 0.0
    for s in range(draws):
        if cutoff_bin[s] == 0:
            share_of_none += cutoff_share[s]
    for i in range(customers):
        inside = share_of_none
        for n in range(buyers.begin[i], buyers.begin[i + 1]):
            if not amount[n] + more > 0:
                continue
            s = buyers.draw[n]
            reached = bin_of(np.float64(amount[n] + more), log2_reference)
            if reached > cutoff_bin[s]:
                inside += 1.0
            elif reached == cutoff_bin[s]:
                inside += cutoff_share[s]
            if cutoff_bin[s] == 0:
                inside -= cutoff_share[s]
        top[i] = inside / draws
