"""The compiled simulator: exact futures of every customer, streamed and summarised on the way.

**Why it is exact.** Given that a customer is alive at the end of observation, the purchase rate is
Gamma(k, rate s) and the dropout probability Beta(a, B), independent (mathematics.md, "Given alive at
T"). Neither is drawn. With the rate integrated out, the purchases form a Pólya process: after j of
them and an elapsed time u the rate is Gamma(k + j, s + u), so the next wait w has
P(w > y) = ((s + u) / (s + u + y))^(k + j). On the scale log((s + u) / s) the process is a pure birth
process: each step is Exponential(k + j), and the horizon t lies at log(1 + t / s). With the dropout
integrated out, a customer who survived j - 1 purchases drops out after the j-th with probability
a / (a + B + j - 1). Joint law, means and every quantile are those of drawing rate and dropout first.

**A lifetime that can end between purchases** (``Plan.lifetime`` "continuous": Pareto/NBD) is Lomax given that the
customer is alive, P(D > t) = (b / (b + t))^a, and independent of the rate. It is drawn, but only for a future whose
first purchase would come before the horizon: the purchases of the pure birth process up to min(horizon, D) remain,
and none where D comes before the first. No coin is thrown after a purchase. D comes from a stream of its own
(LIFETIME), so that the purchases up to the end are those of the same customer with another lifetime.

**A customer whose own rates have no closed form** (``Plan.lifetime`` "individual": Abe's lognormal model) is drawn by
its family, given the history and each draw of the population (``predictions.individual``): the wait for the next
purchase, the Gamma of each further wait, and the lifetime left. The kernel adds up the waits on the scale of time
itself, to min(horizon, lifetime); all else is as above.

**What bounds the speed.** Most customers buy nothing: P(any purchase) = P(alive) (1 - (s/(s+t))^k) is
computed once per distinct history and draw, and a future without purchases costs one 64-bit hash and
one comparison. The same uniform number, conditioned on being below the threshold, gives the first wait.
A lifetime that ends by itself costs a hash, two logarithms and an exponential on top.
Each further purchase costs a logarithm and two hashes, and with money a Gamma variate (about 30 ns).
The states of distinct histories are computed by NumPy in tiles that stay in the processor's cache.
Where the nanoseconds go, of one future of 52 weeks on one thread (studies/speed_results.csv, 100,000 customers × 1,000
draws): 2 for the bare hash and comparison, 10 for the states, 53 for purchases alone with summary and totals, 97 with
spend, 105 with discounting. The rest of a forecast is the closed form of its expectation.

**What is kept.** A buffer of one customer's draws, its summary, and totals per draw. Counts are summed
as integers; money is summed within fixed blocks of BLOCK customers and the blocks in their order.
Threads and tile sizes therefore change no bit of the result. On request, and at no cost otherwise:
probabilities of exceeding amounts, amounts by period of the horizon, and the probability of being among
the top share of the base, which takes a pass of its own (predictions.ranks).

Rejected: drawing rate and dropout per draw (three Gamma variates where most futures need one
comparison); vectorised NumPy over customers × draws (memory, and 440 ns a future instead of 85, measured
on 2,357 customers with CDNOW's parameters over 52 weeks, states included).
"""

import math
import os
import queue
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numba import njit

from bayes_clv.distributions.lifetimes import INDIVIDUAL, LIFETIMES
from bayes_clv.predictions.ranks import BINS, HISTOGRAM_MEMORY, Cutoff, bin_of, cutoff, places
from bayes_clv.predictions.streams import (
    GOLDEN,
    LIFETIME,
    MONEY,
    mix,
    standard_gamma,
    standard_normal,
    unit,
)
from bayes_clv.schema import QUANTILES

# Customers per block. Fixed: totals of money are sums of block sums, so its size fixes the rounding.
BLOCK = 256
# Distinct histories × draws per tile of states: 512 kB an array keeps a tile in the L2 cache.
TILE = 65_536

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

PurchaseState = Callable[[np.ndarray], tuple[np.ndarray, ...]]
SpendState = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Money:
    """How occasions are paid: ``state(rows)`` are two numbers of a customer's level, each of (row, draw).

    ``occasion_shape`` is a parameter of one occasion: (draw), or a function of rows that gives (draw) or (row, draw).
    ``discount`` is the continuous rate per time unit.
    The rule is the family's ``SPEND_RULE``. "gamma": an occasion is Gamma(occasion_shape, rate ν), the state shape and
    rate of the Gamma of ν. "lognormal": its logarithm is Normal(θ, occasion_shape²), the state mean and standard
    deviation of the Normal of θ.
    """

    state: SpendState
    occasion_shape: np.ndarray | Callable[[np.ndarray], np.ndarray]
    discount: float = 0.0
    rule: Literal["gamma", "lognormal"] = "gamma"


@dataclass(frozen=True)
class Calendar:
    """Equal calendar periods: period = ceil((offset + elapsed) / width) - 1, kept within [0, count).

    ``offset`` (row) is the time from the start of period 0 to the start of the row's future. Periods
    are closed at their end, since a purchase of day d happens at an elapsed time in (d - 1, d].
    """

    offset: np.ndarray
    width: float
    count: int


@dataclass(frozen=True)
class Plan:
    """What to simulate. Customers come sorted by ``row``, the index of their distinct history.

    ``purchase_state(rows)`` returns (probability alive, rate shape k, rate scale s, dropout a, dropout B)
    of shape (row, draw), or what ``lifetime`` "individual" says; ``horizon`` is per row, ``keys`` per customer
    (see streams.customer_keys).
    ``alike`` (row), where given, marks neighbouring rows with the same purchase state, horizon and calendar by one
    number: their histories differ in spend alone, and the state is computed once.
    ``lifetime`` is the family's LIFETIME: "after_purchase", a and B the Beta shapes of dropping out after a
    purchase, or "continuous", the remaining lifetime's P(D > t) = (B / (B + t))^a. With "individual" the state is
    (first wait, wait shape, wait rate, lifetime), drawn for one customer: each row is one customer's, a further wait
    is Gamma(wait shape) / wait rate, and a purchase happens while the time is within the lifetime.

    On request: ``value_above``, amounts whose probability of being exceeded is wanted; ``by_customer``, the
    calendar's periods for each customer as well as for all; ``top_share``, with ``log2_reference`` the
    middle of the bins (see ranks). ``first_order``: a purchase at time 0, counted and paid as any other,
    and certain; the probability of being alive is then that of being alive after it.
    """

    purchase_state: PurchaseState
    row: np.ndarray
    keys: np.ndarray
    horizon: np.ndarray
    draws: int
    lifetime: str = "after_purchase"
    alike: np.ndarray | None = None
    money: Money | None = None
    calendar: Calendar | None = None
    observed: np.ndarray | None = None
    keep: bool = False
    value_above: np.ndarray | None = None
    by_customer: bool = False
    top_share: float | None = None
    log2_reference: float = 0.0
    first_order: bool = False


@dataclass
class Outcomes:
    """What was simulated: ``summary`` maps COLUMNS to (customer) arrays; totals are per draw.

    ``kept`` holds (customer, draw) arrays when asked for, and ``by_customer`` what else was asked for of each
    customer: value_above (customer, threshold), purchases_period and value_period (customer, period),
    top (customer).
    """

    summary: dict[str, np.ndarray]
    purchases_total: np.ndarray
    spend_total: np.ndarray | None = None
    value_total: np.ndarray | None = None
    period_total: np.ndarray | None = None
    value_period_total: np.ndarray | None = None
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    by_customer: dict[str, np.ndarray] = field(default_factory=dict)


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
def _level(lognormal, first, second, purse, increment):  # type: ignore[no-untyped-def]
    """Return a customer's level, 1 / ν or exp(θ), and the money stream's new state."""
    if lognormal:
        z, purse = standard_normal(purse, increment)
        return math.exp(first + second * z), purse
    nu, purse = standard_gamma(first, purse, increment)
    return second / nu, purse


@njit(nogil=True, cache=True, error_model="numpy")
def _paid(lognormal, occasion_shape, level, purse, increment):  # type: ignore[no-untyped-def]
    """Return the spend of one occasion and the money stream's new state."""
    if lognormal:
        z, purse = standard_normal(purse, increment)
        return level * math.exp(occasion_shape * z), purse
    amount, purse = standard_gamma(occasion_shape, purse, increment)
    return amount * level, purse


@njit(nogil=True, cache=True, error_model="numpy")
def _simulate(  # type: ignore[no-untyped-def]
    row,
    purse_row,
    keys,
    horizon,
    alive,
    shape,
    scale,
    dropout_a,
    dropout_b,
    continuous,
    individual,
    with_money,
    lognormal,
    spend_shape,
    spend_rate,
    occasion_shape,
    discount,
    offset,
    width,
    observed,
    out,
    purchases_total,
    spend_total,
    value_total,
    period_total,
    kept_purchases,
    kept_spend,
    kept_value,
    first_order,
    value_above,
    exceeding,
    value_period_total,
    customer_purchases,
    customer_value,
    log2_reference,
    tally,
    cutoff_bin,
    cutoff_share,
    top,
):
    """Simulate the customers of one tile; ``row`` and ``purse_row`` index its states, and are sorted.

    ``row`` is of the purchase states, ``purse_row`` of those of spend. What is not wanted has a length of 0. With a
    ``tally`` (draw, bin) only that is written. ``individual`` states are drawn ones: ``alive`` holds the first waits,
    ``dropout_a`` the lifetimes, and ``position`` is a time.
    """
    draws = alive.shape[1]
    periods = period_total.shape[1]
    keep = kept_purchases.shape[0] > 0
    by_customer = customer_purchases.shape[0] > 0
    tallied = tally.shape[0] > 0
    ranked = top.size > 0
    tossed = not (continuous or individual)
    # In draws with fewer buyers than places, those who buy nothing share the rest.
    share_of_none = 0.0
    if ranked:
        for s in range(draws):
            if cutoff_bin[s] == 0:
                share_of_none += cutoff_share[s]
    threshold = np.empty(draws)
    end = np.empty(draws)
    counts = np.empty(draws, dtype=np.int64)
    values = np.empty(draws)
    histogram = np.zeros(1024, dtype=np.int64)
    prepared = -1
    for i in range(row.size):
        c, w = row[i], purse_row[i]
        # One shape for all histories, or one each.
        o = w if occasion_shape.shape[0] > 1 else 0
        if c != prepared and not individual:
            for s in range(draws):
                end[s] = math.log1p(horizon[c] / scale[c, s])
                threshold[s] = -alive[c, s] * math.expm1(-shape[c, s] * end[s])
                if first_order:
                    threshold[s] = 1.0
            prepared = c
        place = keys[i, 0]
        increment = keys[i, 1]
        active = 0
        spend_sum = 0.0
        in_top = share_of_none
        for s in range(draws):
            state = mix(place + np.uint64(s) * GOLDEN)
            k = shape[c, s]
            if individual:
                position = alive[c, s]
                last = min(horizon[c], dropout_a[c, s])
                if position > last and not first_order:
                    continue
            else:
                u = unit(state)
                if u >= threshold[s]:
                    continue
                # With a first order the threshold is 1, and u may lie above P(alive): then never.
                position = -math.log(1.0 - min(u / alive[c, s], 1.0)) / k
                last = end[s]
            if continuous:
                life = -math.log(unit(mix(state ^ LIFETIME))) / dropout_a[c, s]
                last = min(last, math.log1p(dropout_b[c, s] / scale[c, s] * math.expm1(life)))
                if position > last and not first_order:
                    continue
            purse = mix(state ^ MONEY)
            trials = dropout_a[c, s] + dropout_b[c, s] if tossed else 0.0
            spend = 0.0
            value = 0.0
            level = 0.0
            if with_money:
                level, purse = _level(lognormal, spend_shape[w, s], spend_rate[w, s], purse, increment)
            n = 0
            if first_order:
                if with_money:
                    spend, purse = _paid(lognormal, occasion_shape[o, s], level, purse, increment)
                    value = spend
                if periods > 0:
                    period_total[s, 0] += 1
                    if with_money:
                        value_period_total[s, 0] += value
            # A first purchase is certain here unless the future begins with an order.
            while not (first_order and position > last):
                n += 1
                amount = 0.0
                if with_money:
                    amount, purse = _paid(lognormal, occasion_shape[o, s], level, purse, increment)
                    spend += amount
                    if discount != 0.0 and individual:
                        amount *= math.exp(-discount * position)
                    elif discount != 0.0:
                        amount *= math.exp(-discount * scale[c, s] * (math.exp(position) - 1.0))
                    value += amount
                if periods > 0:
                    elapsed = position if individual else scale[c, s] * math.expm1(position)
                    ordinal = np.int64(math.ceil((offset[c] + elapsed) / width)) - 1
                    p = min(max(ordinal, np.int64(0)), np.int64(periods - 1))
                    period_total[s, p] += 1
                    if with_money:
                        value_period_total[s, p] += amount
                    if by_customer:
                        customer_purchases[i, p] += 1.0
                        if with_money:
                            customer_value[i, p] += amount
                if tossed:
                    state += increment
                    if unit(mix(state)) * (trials + n - 1) < dropout_a[c, s]:
                        break
                if individual and k != 1.0:
                    wait, state = standard_gamma(k, state, increment)
                    position += wait / scale[c, s]
                else:
                    state += increment
                    position -= math.log(unit(mix(state))) / (scale[c, s] if individual else k + n)
                if position > last:
                    break
            if first_order:
                n += 1
            if tallied or ranked:
                reached = bin_of(value if with_money else np.float64(n), log2_reference)
                if tallied:
                    tally[s, reached] += 1
                    continue
                if reached > cutoff_bin[s]:
                    in_top += 1.0
                elif reached == cutoff_bin[s]:
                    in_top += cutoff_share[s]
                if cutoff_bin[s] == 0:
                    in_top -= cutoff_share[s]
            counts[active] = n
            purchases_total[s] += n
            if keep:
                kept_purchases[i, s] = n
            if with_money:
                values[active] = value
                spend_sum += spend
                spend_total[s] += spend
                value_total[s] += value
                if keep:
                    kept_spend[i, s] = spend
                    kept_value[i, s] = value
            active += 1
        if tallied:
            continue
        if ranked:
            top[i] = in_top / draws
        for m in range(value_above.size):
            exceeded = 0
            for j in range(active):
                exceeded += values[j] > value_above[m]
            exceeding[i, m] = exceeded / draws
        if by_customer:
            for each in range(periods):
                customer_purchases[i, each] /= draws
                if with_money:
                    customer_value[i, each] /= draws
        _count_summary(counts, active, draws, observed[i], histogram, out[i])
        if with_money:
            _value_summary(values, active, draws, spend_sum, out[i])


def available_threads(threads: int | None) -> int:
    """Return the number of threads: as asked, else the processors this process may use."""
    if threads is not None:
        return max(1, int(threads))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _tiles(row: np.ndarray, draws: int, tile: int) -> Generator[tuple[int, int]]:
    """Yield [start, stop) of customers whose distinct histories fit one tile of states."""
    rows_per_tile = max(1, tile // draws)
    starts = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
    bounds = [*starts[::rows_per_tile].tolist(), row.size]
    yield from pairwise(bounds)


def owned(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a writeable C array of this shape, itself where it is one: Numba compiles a read-only one anew."""
    whole = array.shape == shape and array.dtype == np.float64
    if whole and array.flags.c_contiguous and array.flags.writeable:
        return array
    return np.array(np.broadcast_to(array, shape), dtype=np.float64, order="C")


def _alike(plan: Plan, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each stretch that buys alike, and for each row which stretch it is in."""
    if plan.alike is None:
        return rows, np.arange(rows.size)
    new = np.r_[True, np.diff(plan.alike[rows]) != 0]
    return rows[new], np.cumsum(new) - 1


@dataclass(frozen=True)
class _Arrays:
    """What one pass writes of each customer: ``summary``, ``kept`` draws and what else was asked for."""

    summary: np.ndarray
    kept: dict[str, np.ndarray]
    asked: dict[str, np.ndarray]


def _arrays(plan: Plan) -> _Arrays:
    customers, money = plan.row.size, plan.money is not None
    kept: dict[str, np.ndarray] = {}
    if plan.keep:
        kept["purchases"] = np.zeros((customers, plan.draws), dtype=np.int32)
        if money:
            kept["spend"] = np.zeros((customers, plan.draws))
            kept["value"] = np.zeros((customers, plan.draws))
    asked: dict[str, np.ndarray] = {}
    if plan.value_above is not None:
        asked["value_above"] = np.zeros((customers, plan.value_above.size))
    if plan.by_customer and plan.calendar is not None:
        asked["purchases_period"] = np.zeros((customers, plan.calendar.count))
        if money:
            asked["value_period"] = np.zeros((customers, plan.calendar.count))
    if plan.top_share is not None:
        asked["top"] = np.zeros(customers)
    return _Arrays(np.full((customers, len(COLUMNS)), np.nan), kept, asked)


def _simulate_block(
    plan: Plan,
    start: int,
    stop: int,
    tile: int,
    arrays: _Arrays,
    boundary: Cutoff | None = None,
    tally: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Simulate customers [start, stop), write their rows of ``arrays`` and return the block's totals.

    With a ``tally`` (draw, bin), add to it and write nothing else.
    """
    draws = plan.draws
    money = plan.money is not None
    periods = plan.calendar.count if plan.calendar is not None and tally is None else 0
    totals = {
        "purchases": np.zeros(draws, dtype=np.int64),
        "spend": np.zeros(draws),
        "value": np.zeros(draws),
        "period": np.zeros((draws, periods), dtype=np.int64),
        "value_period": np.zeros((draws, periods if money else 0)),
    }
    none, nothing = np.empty(0), np.empty((0, draws))
    ranking = boundary is not None and tally is None
    for low, high in _tiles(plan.row[start:stop], draws, tile):
        part = slice(start + low, start + high)
        rows, local = np.unique(plan.row[part], return_inverse=True)
        shape = (rows.size, draws)
        first, buying = _alike(plan, rows)
        states = [owned(x, (first.size, draws)) for x in plan.purchase_state(first)]
        individual = plan.lifetime == INDIVIDUAL
        if individual:
            states.append(nothing)
        if plan.money is None:
            spend_shape, spend_rate, occasion_shape, discount = nothing, nothing, nothing, 0.0
        else:
            spend_shape, spend_rate = (owned(x, shape) for x in plan.money.state(rows))
            given, discount = plan.money.occasion_shape, plan.money.discount
            occasion_shape = np.atleast_2d(given(rows) if callable(given) else given)
            occasion_shape = owned(occasion_shape, (occasion_shape.shape[0], draws))

        def of_customers(group: dict[str, np.ndarray], name: str, absent: np.ndarray) -> np.ndarray:
            return group[name][part] if name in group and tally is None else absent  # noqa: B023

        _simulate(
            buying[local],
            local,
            plan.keys[part],
            plan.horizon[first],
            *states,
            plan.lifetime == "continuous",
            individual,
            money,
            plan.money is not None and plan.money.rule == "lognormal",
            spend_shape,
            spend_rate,
            occasion_shape,
            discount,
            plan.calendar.offset[first] if periods and plan.calendar is not None else none,
            plan.calendar.width if plan.calendar is not None else 1.0,
            plan.observed[part] if plan.observed is not None else np.full(high - low, -1),
            arrays.summary[part],
            totals["purchases"],
            totals["spend"],
            totals["value"],
            totals["period"],
            of_customers(arrays.kept, "purchases", np.empty((0, draws), dtype=np.int32)),
            of_customers(arrays.kept, "spend", nothing),
            of_customers(arrays.kept, "value", nothing),
            plan.first_order,
            plan.value_above if plan.value_above is not None and money else none,
            of_customers(arrays.asked, "value_above", nothing),
            totals["value_period"],
            of_customers(arrays.asked, "purchases_period", nothing),
            of_customers(arrays.asked, "value_period", nothing),
            plan.log2_reference,
            tally if tally is not None else np.empty((0, BINS), dtype=np.int32),
            boundary.bin if boundary is not None else np.empty(0, dtype=np.int64),
            boundary.share if boundary is not None else none,
            of_customers(arrays.asked, "top", none) if ranking else none,
        )
    return totals


def _boundary(
    plan: Plan, arrays: _Arrays, workers: int, progress: Callable[[int], None], tile: int
) -> Cutoff | None:
    """Return where the top share begins in each draw, from a pass that counts customers by bin.

    Threads take turns with a few histograms; sums of integers do not depend on who counted what.
    """
    if plan.top_share is None:
        return None
    customers = plan.row.size
    affordable = max(1, int(HISTOGRAM_MEMORY / (4 * BINS * plan.draws)))
    tallies = [np.zeros((plan.draws, BINS), dtype=np.int32) for _ in range(min(workers, affordable))]
    free: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
    for tally in tallies:
        free.put(tally)

    def block(start: int) -> None:
        tally = free.get()
        try:
            _simulate_block(plan, start, min(start + BLOCK, customers), tile, arrays, tally=tally)
        finally:
            free.put(tally)

    with closing(_in_order(block, customers, len(tallies))) as blocks:
        for index, _ in enumerate(blocks):
            progress(min((index + 1) * BLOCK, customers))
    for other in tallies[1:]:
        tallies[0] += other
    return cutoff(tallies[0], customers, places(plan.top_share, customers))


def _in_order[Result](block: Callable[[int], Result], customers: int, workers: int) -> Generator[Result]:
    """Yield block(start) for each block of customers, in their order; close it to cancel the rest."""
    starts = range(0, customers, BLOCK)
    if workers == 1:
        yield from map(block, starts)
        return
    with ThreadPoolExecutor(max_workers=workers) as executor:
        try:
            yield from executor.map(block, starts)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


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
    if plan.lifetime not in (*LIFETIMES, INDIVIDUAL):
        raise ValueError(
            f"The lifetime {plan.lifetime!r} is not one of {', '.join((*LIFETIMES, INDIVIDUAL))}."
        )
    arrays = _arrays(plan)
    workers = min(available_threads(threads), len(range(0, customers, BLOCK)))
    passes = 1 if plan.top_share is None else 2

    def report(done: int) -> None:
        if progress is not None:
            progress(done, passes * customers)

    boundary = _boundary(plan, arrays, workers, report, tile)

    def block(start: int) -> dict[str, np.ndarray]:
        return _simulate_block(plan, start, min(start + BLOCK, customers), tile, arrays, boundary)

    totals: dict[str, np.ndarray] = {}
    with closing(_in_order(block, customers, workers)) as blocks:
        for index, part in enumerate(blocks):
            for name, values in part.items():
                if index == 0:
                    totals[name] = values
                else:
                    totals[name] += values
            report((passes - 1) * customers + min((index + 1) * BLOCK, customers))
    money, by_period = plan.money is not None, plan.calendar is not None
    return Outcomes(
        summary={name: arrays.summary[:, i] for i, name in enumerate(COLUMNS)},
        purchases_total=totals["purchases"],
        spend_total=totals["spend"] if money else None,
        value_total=totals["value"] if money else None,
        period_total=totals["period"] if by_period else None,
        value_period_total=totals["value_period"] if by_period and money else None,
        kept=arrays.kept,
        by_customer=arrays.asked,
    )
