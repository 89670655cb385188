"""What is kept of simulated futures: one summary a customer, totals of each draw, and on request more.

The futures come from ``distributions.paths``, one tile of customers after the other; here they are summed up while
they are in the processor's cache. Counts are summed as integers, money within fixed blocks of BLOCK customers and the
blocks in their order, so that neither threads nor tiles change a bit. ``buyers`` are those draws of a customer in which
it buys; in all others its purchases, spend and value are 0, and no zero is stored or sorted.
"""

import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from queue import SimpleQueue
from typing import Literal

import numpy as np
from numba import njit

from bayes_clv.distributions.arrays import stretches
from bayes_clv.distributions.paths import (
    Paths,
    Room,
    State,
    Who,
    futures,
    nothing_asked,
    room,
)
from bayes_clv.distributions.paths.clock import Clock
from bayes_clv.distributions.paths.money import Purse, own_levels
from bayes_clv.predictions.engine import Calendar, Outcomes
from bayes_clv.predictions.ranks import BINS, HISTOGRAM_MEMORY, bin_of, cutoff, places
from bayes_clv.predictions.tiles import BLOCK, Progress, available_threads, in_order, owned
from bayes_clv.schema import QUANTILES

# Futures per tile: what the law lists of the buyers among them stays in a processor's second cache.
TILE = 32_768

COLUMNS = (
    "purchases_mean",
    "purchases_sd",
    *(f"purchases_q{round(100 * q):02d}" for q in QUANTILES),
    "probability_active",
    "spend_mean",
    "value_mean",
    "value_sd",
    *(f"value_q{round(100 * q):02d}" for q in QUANTILES),
    "draws_below",
    "draws_equal",
    "crps",
    "mass_50",
    "mass_90",
)
_PROBABILITIES = np.array(QUANTILES)
_N_QUANTILES = len(QUANTILES)


@njit(nogil=True, cache=True, error_model="numpy")
def _count_summary(counts, active, draws, observed, histogram, out):  # type: ignore[no-untyped-def]
    """Write the summary of one customer's counts; zeros are the draws that are not in ``counts``."""
    total = 0
    squares = 0.0
    top = 0
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
    # Inverse CDF: the smallest n with F(n) >= q. The slack undoes the rounding of q * draws.
    n = 0
    cumulative = histogram[0]
    for k in range(_N_QUANTILES):
        while cumulative < _PROBABILITIES[k] * draws - 1e-9:
            n += 1
            cumulative += histogram[n]
        out[2 + k] = n
    if observed >= 0:
        _score(histogram, top, draws, observed, out)


@njit(nogil=True, cache=True, error_model="numpy")
def _score(histogram, top, draws, observed, out):  # type: ignore[no-untyped-def]
    """Write draws below and equal, CRPS = sum over n of (F(n) - 1[n >= observed])², interval masses."""
    first = 2 + _N_QUANTILES + 4 + _N_QUANTILES
    low90, low50, high50, high90 = out[2], out[3], out[5], out[6]
    below = 0
    equal = 0
    mass50 = 0
    mass90 = 0
    cumulative = 0
    crps = 0.0
    for n in range(top + 1):
        h = histogram[n]
        cumulative += h
        if n < observed:
            below += h
        elif n == observed:
            equal = h
        if low50 <= n <= high50:
            mass50 += h
        if low90 <= n <= high90:
            mass90 += h
        miss = cumulative / draws - (1.0 if n >= observed else 0.0)
        crps += miss * miss
    if observed > top:
        crps += np.float64(observed - top - 1)
    out[first] = below
    out[first + 1] = equal
    out[first + 2] = crps
    out[first + 3] = mass50 / draws
    out[first + 4] = mass90 / draws


@njit(nogil=True, cache=True, error_model="numpy")
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


@njit(nogil=True, cache=True, error_model="numpy")
def _value_summary(values, active, draws, spend_sum, out):  # type: ignore[no-untyped-def]
    """Write the summary of one customer's values; ``values`` is reordered in place."""
    first = 2 + _N_QUANTILES + 1
    total = 0.0
    for m in range(active):
        total += values[m]
    mean = total / draws
    squares = (draws - active) * mean * mean
    for m in range(active):
        squares += (values[m] - mean) ** 2
    out[first] = spend_sum / draws
    out[first + 1] = mean
    out[first + 2] = math.sqrt(squares / (draws - 1)) if draws > 1 else 0.0
    zeros = draws - active
    end = active
    for k in range(_N_QUANTILES - 1, -1, -1):
        rank = math.ceil(_PROBABILITIES[k] * draws - 1e-9) - 1 - zeros
        if rank < 0:
            out[first + 3 + k] = 0.0
        else:
            out[first + 3 + k] = _select(values, end, rank)
            end = rank + 1


@njit(nogil=True, cache=True, error_model="numpy")
def summarise(buyers, paid, first_orders, draws, observed, value_above, out, exceeding):  # type: ignore[no-untyped-def]
    """Write the summary of each customer (customer, COLUMNS), and P(value above each amount) where there is room.

    ``first_orders`` is 1 where every customer ordered at time 0, in every draw. ``out`` has no money columns to fill
    where ``paid`` has no rows.
    """
    money = paid.value.size > 0
    counts = np.empty(draws, dtype=np.int64)
    values = np.empty(draws)
    histogram = np.zeros(1024, dtype=np.int64)
    for i in range(out.shape[0]):
        low, high = buyers.begin[i], buyers.begin[i + 1]
        active = high - low
        for m in range(active):
            counts[m] = buyers.count[low + m] + first_orders
        _count_summary(counts, active, draws, observed[i], histogram, out[i])
        if not money:
            continue
        spend = 0.0
        for m in range(active):
            values[m] = paid.value[low + m]
            spend += paid.spend[low + m]
        for j in range(exceeding.shape[1]):
            exceeded = 0
            for m in range(active):
                exceeded += values[m] > value_above[j]
            exceeding[i, j] = exceeded / draws
        _value_summary(values, active, draws, spend, out[i])


@njit(nogil=True, cache=True, error_model="numpy")
def add_up(buyers, paid, found, first_orders, purchases, spend, value):  # type: ignore[no-untyped-def]
    """Add the buyers' purchases and money to the totals of their draws."""
    for n in range(found):
        purchases[buyers.draw[n]] += buyers.count[n] + first_orders
    if paid.value.size == 0:
        return
    for n in range(found):
        spend[buyers.draw[n]] += paid.spend[n]
        value[buyers.draw[n]] += paid.value[n]


@njit(nogil=True, cache=True, error_model="numpy")
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


@njit(nogil=True, cache=True, error_model="numpy")
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


@njit(nogil=True, cache=True, error_model="numpy")
def spread(buyers, of_buyer, found, out):  # type: ignore[no-untyped-def]
    """Write numbers of the buyers as (customer, draw); ``out`` is 0 where nobody buys."""
    for n in range(found):
        out[buyers.customer[n], buyers.draw[n]] = of_buyer[n]


@njit(nogil=True, cache=True, error_model="numpy")
def tally(buyers, amount, found, more, log2_reference, counts):  # type: ignore[no-untyped-def]
    """Count the buyers of each draw by their bin, (draw, bin); ``amount`` and ``more`` add up to what is ranked."""
    for n in range(found):
        if amount[n] + more > 0:
            counts[buyers.draw[n], bin_of(np.float64(amount[n] + more), log2_reference)] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def in_top(buyers, amount, customers, more, log2_reference, cutoff_bin, cutoff_share, top):  # type: ignore[no-untyped-def]
    """Write each customer's probability of being in the top, of which ``ranks.cutoff`` says where it begins."""
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


@dataclass(frozen=True)
class Money:
    """How occasions are paid: ``state(rows)`` are two numbers of a customer's level, each of (row, draw).

    ``occasion(rows)`` is a parameter of one occasion, (draw) or (row, draw). ``discount`` is the continuous rate per
    time unit. The rule is the family's: "gamma", an occasion is Gamma(occasion, rate nu), the state shape and rate of
    the Gamma of nu; "lognormal", its logarithm is Normal(theta, occasion²), the state mean and standard deviation of
    theta.
    """

    state: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    occasion: Callable[[np.ndarray], np.ndarray]
    discount: float = 0.0
    rule: Literal["gamma", "lognormal"] = "gamma"


@dataclass(frozen=True)
class Plan:
    """What to simulate. Customers come sorted by ``row``, the index of their distinct history.

    ``state(rows)`` returns the numbers that ``law`` reads, by name (row, draw), with ``silence`` (row) and ``horizon``
    (row, 1) or (row, draw) among them; ``keys`` are of the customers (see streams.customer_keys). ``alike`` (row),
    where given, marks neighbouring rows with the same state by one number: their histories differ in spend alone, and
    the state is computed once.

    On request: ``value_above``, amounts whose probability of being exceeded is wanted; ``by_customer``, the
    calendar's periods for each customer as well as for all; ``top_share``, with ``log2_reference`` the
    middle of the bins (see ranks); ``keep``, the draws themselves; ``own``, of the customers' own numbers (the fields
    of ``Own``, "level" for the mean spend of an occasion) the draws. ``first_order``: a purchase at time 0, counted and
    paid as any other, and certain. ``clock`` leads from the law's time to the calendar's.
    """

    law: Paths
    state: Callable[[np.ndarray], dict[str, np.ndarray]]
    row: np.ndarray
    keys: np.ndarray
    draws: int
    alike: np.ndarray | None = None
    money: Money | None = None
    calendar: Calendar | None = None
    observed: np.ndarray | None = None
    keep: bool = False
    own: tuple[str, ...] = ()
    value_above: np.ndarray | None = None
    by_customer: bool = False
    top_share: float | None = None
    log2_reference: float = 0.0
    first_order: bool = False
    clock: Clock | None = None


@dataclass(frozen=True)
class Tile:
    """Futures of some customers, complete: ``part`` of all, the ``found`` buyers among their draws, and their money."""

    part: slice
    found: int
    room: Room


def _states(plan: Plan, rows: np.ndarray) -> State:
    """Return what the law reads of these rows, as the compiled functions take it."""
    given = plan.state(rows)
    shape, none = (rows.size, plan.draws), np.empty((0, plan.draws))
    numbers = {
        name: owned(given[name], shape) if name in plan.law.needs else none
        for name in State._fields
        if name not in ("silence", "horizon")
    }
    horizon = np.asarray(given["horizon"], dtype=np.float64)
    horizon = np.array(np.broadcast_to(horizon, (rows.size, horizon.shape[-1])))
    return State(**numbers, silence=np.array(given["silence"], dtype=np.float64), horizon=horizon)


def _purse(money: Money, rows: np.ndarray, row: np.ndarray, draws: int) -> Purse:
    first, second = (owned(each, (rows.size, draws)) for each in money.state(rows))
    occasion = np.atleast_2d(money.occasion(rows))
    occasion = owned(occasion, (occasion.shape[0], draws))
    return Purse(row, first, second, occasion, money.rule == "lognormal", float(money.discount))


def tiles(
    plan: Plan,
    start: int,
    stop: int,
    room: Room,
    *,
    own: dict[str, np.ndarray] | None = None,
    each: Callable[[slice, int], None] | None = None,
    tile: int = TILE,
) -> Generator[Tile]:
    """Yield the futures of customers [start, stop), a tile after the other, in ``room``, which the next one overwrites.

    ``own`` are arrays (customer, draw) of all customers to write their own numbers into. ``each(part, filled)`` is
    called with every batch of purchases.
    """
    draws = plan.draws
    step = max(1, tile // draws)
    own = {} if own is None else own
    row = plan.row[start:stop]
    starts = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
    bounds = [*starts[::step].tolist(), row.size]
    nothing = nothing_asked(draws)
    for low, high in pairwise(bounds):
        rows, local = np.unique(row[low:high], return_inverse=True)
        first, buying = rows, np.arange(rows.size)
        if plan.alike is not None:
            new, buying = stretches([plan.alike[rows]])
            first = rows[new]
        state = _states(plan, first)
        at = buying[local]
        purse = None if plan.money is None else _purse(plan.money, rows, local, draws)
        for begin in range(0, high - low, step):
            end = min(begin + step, high - low)
            part = slice(start + low + begin, start + low + end)
            who = Who(at[begin:end].astype(np.uint32), plan.keys[part], plan.first_order)
            asked = nothing._replace(**{name: array[part] for name, array in own.items() if name != "level"})
            here = None if purse is None else purse._replace(row=local[begin:end].astype(np.uint32))
            if here is not None and "level" in own:
                own_levels(here, who.keys, own["level"][part])
            for filled in futures(plan.law, state, who, asked, room, here, plan.clock):
                if each is not None:
                    each(part, filled)
            yield Tile(part, int(room.buyers.begin[end - begin]), room)


@dataclass
class _Results:
    """What is written of each customer."""

    summary: np.ndarray
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    own: dict[str, np.ndarray] = field(default_factory=dict)
    asked: dict[str, np.ndarray] = field(default_factory=dict)


def _results(plan: Plan) -> _Results:
    customers, money = plan.row.size, plan.money is not None
    results = _Results(np.full((customers, len(COLUMNS)), np.nan))
    if plan.keep:
        results.kept["purchases"] = np.zeros((customers, plan.draws), dtype=np.int32)
        if money:
            results.kept["spend"] = np.zeros((customers, plan.draws))
            results.kept["value"] = np.zeros((customers, plan.draws))
    for name in plan.own:
        results.own[name] = np.empty((customers, plan.draws))
    if plan.value_above is not None:
        results.asked["value_above"] = np.zeros((customers, plan.value_above.size))
    if plan.by_customer and plan.calendar is not None:
        results.asked["purchases_period"] = np.zeros((customers, plan.calendar.count))
        if money:
            results.asked["value_period"] = np.zeros((customers, plan.calendar.count))
    if plan.top_share is not None:
        results.asked["top"] = np.zeros(customers)
    return results


def _block(
    plan: Plan,
    start: int,
    stop: int,
    room: Room,
    results: _Results,
    boundary: tuple[np.ndarray, np.ndarray] | None,
    tile: int,
) -> dict[str, np.ndarray]:
    """Simulate customers [start, stop), write their results and return the block's totals."""
    draws, money = plan.draws, plan.money is not None
    periods = 0 if plan.calendar is None else plan.calendar.count
    totals = {
        "purchases": np.zeros(draws, dtype=np.int64),
        "spend": np.zeros(draws),
        "value": np.zeros(draws),
        "period": np.zeros((draws, periods), dtype=np.int64),
        "value_period": np.zeros((draws, periods if money else 0)),
    }
    nobody = np.empty((0, periods))
    worth = np.zeros((room.batch.buyer.size if money and periods else 0, periods))
    buyers, batch, paid = room.buyers, room.batch, room.paid
    if not money:
        paid = type(paid)(*(each[:0] for each in paid))

    def by_period(part: slice, filled: int) -> None:
        assert plan.calendar is not None
        asked = results.asked
        add_periods(
            buyers,
            batch,
            filled,
            plan.calendar.offset[plan.row[part]],
            plan.calendar.width,
            totals["period"],
            worth,
            asked["purchases_period"][part] if "purchases_period" in asked else nobody,
        )

    more = int(plan.first_order)
    none = np.empty(0)
    walk = tiles(
        plan, start, stop, room, own=results.own, each=None if plan.calendar is None else by_period, tile=tile
    )
    for done in walk:
        part, size = done.part, done.part.stop - done.part.start
        summarise(
            buyers,
            paid,
            more,
            draws,
            plan.observed[part] if plan.observed is not None else np.full(size, -1),
            plan.value_above if plan.value_above is not None and money else none,
            results.summary[part],
            results.asked["value_above"][part]
            if "value_above" in results.asked and money
            else np.empty((size, 0)),
        )
        add_up(buyers, paid, done.found, more, totals["purchases"], totals["spend"], totals["value"])
        if worth.size:
            each = results.asked["value_period"][part] if "value_period" in results.asked else nobody
            add_worth(buyers, done.found, worth, totals["value_period"], each)
        for name, kept in results.kept.items():
            given = buyers.count[: done.found] + more if name == "purchases" else getattr(paid, name)
            spread(buyers, given, done.found, kept[part])
        if boundary is not None:
            amount, extra = (paid.value, 0) if money else (buyers.count, more)
            in_top(buyers, amount, size, extra, plan.log2_reference, *boundary, results.asked["top"][part])
    for name in ("purchases_period", "value_period"):
        if name in results.asked:
            results.asked[name][start:stop] /= draws
    return totals


def _boundary(
    plan: Plan, rooms: "SimpleQueue[Room]", workers: int, progress: Callable[[int], None], tile: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return where the top share begins in each draw, from a pass that counts customers by bin."""
    if plan.top_share is None:
        return None
    customers = plan.row.size
    affordable = max(1, int(HISTOGRAM_MEMORY / (4 * BINS * plan.draws)))
    tallies = [np.zeros((plan.draws, BINS), dtype=np.int32) for _ in range(min(workers, affordable))]
    free: SimpleQueue[np.ndarray] = SimpleQueue()
    for each in tallies:
        free.put(each)
    more = int(plan.first_order)

    def block(start: int) -> None:
        counts, mine = free.get(), rooms.get()
        try:
            for done in tiles(plan, start, min(start + BLOCK, customers), mine, tile=tile):
                amount, extra = (mine.paid.value, 0) if plan.money is not None else (mine.buyers.count, more)
                tally(mine.buyers, amount, done.found, extra, plan.log2_reference, counts)
        finally:
            free.put(counts)
            rooms.put(mine)

    with closing(in_order(block, range(0, customers, BLOCK), threads=len(tallies))) as blocks:
        for index, _ in enumerate(blocks):
            progress(min((index + 1) * BLOCK, customers))
    for other in tallies[1:]:
        tallies[0] += other
    found = cutoff(tallies[0], customers, places(plan.top_share, customers))
    return found.bin, found.share


def simulate_futures(
    plan: Plan, *, threads: int | None = None, progress: Progress | None = None, tile: int = TILE
) -> Outcomes:
    """Simulate the plan and return summaries per customer and totals per draw.

    ``progress(done, customers)`` is called after each block; with ``top_share`` there are two passes, and
    both numbers are doubled. The result does not depend on ``threads`` or ``tile``.
    """
    customers = plan.row.size
    if customers == 0:
        raise ValueError("There are no customers to simulate.")
    if np.any(np.diff(plan.row) < 0):
        raise ValueError("Customers must be sorted by row.")
    # Alone: two threads that compile the same function at once wait for each other, or warn.
    plan.state(plan.row[:1])
    results = _results(plan)
    workers = min(available_threads(threads), len(range(0, customers, BLOCK)))
    rooms: SimpleQueue[Room] = SimpleQueue()
    for _ in range(workers):
        rooms.put(room(min(max(1, tile // plan.draws), BLOCK), plan.draws))
    passes = 1 if plan.top_share is None else 2

    def report(done: int) -> None:
        if progress is not None:
            progress(done, passes * customers)

    boundary = _boundary(plan, rooms, workers, report, tile)

    def block(start: int) -> dict[str, np.ndarray]:
        mine = rooms.get()
        try:
            return _block(plan, start, min(start + BLOCK, customers), mine, results, boundary, tile)
        finally:
            rooms.put(mine)

    totals: dict[str, np.ndarray] = {}
    with closing(in_order(block, range(0, customers, BLOCK), threads=workers)) as blocks:
        for index, part in enumerate(blocks):
            for name, values in part.items():
                if index == 0:
                    totals[name] = values
                else:
                    totals[name] += values
            report((passes - 1) * customers + min((index + 1) * BLOCK, customers))
    money, by_period = plan.money is not None, plan.calendar is not None
    return Outcomes(
        summary={name: results.summary[:, i] for i, name in enumerate(COLUMNS)},
        purchases_total=totals["purchases"],
        spend_total=totals["spend"] if money else None,
        value_total=totals["value"] if money else None,
        period_total=totals["period"] if by_period else None,
        value_period_total=totals["value_period"] if by_period and money else None,
        kept=results.kept | results.own,
        by_customer=results.asked,
    )
