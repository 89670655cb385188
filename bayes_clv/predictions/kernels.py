"""The compiled kernels of the simulator: one tile of customers, and the summary of each.

What they compute, and why it is exact, is said in ``engine``, which feeds them; they know arrays only. ``spend_level``
and ``occasion_paid`` serve the joint draws too (``joint_paths``).
"""

import math

import numpy as np
from numba import njit

from bayes_clv.distributions.regular.erlang_phases import phase_sum
from bayes_clv.distributions.streams import (
    GOLDEN,
    LIFETIME,
    MONEY,
    mix,
    standard_gamma,
    standard_normal,
    unit,
)
from bayes_clv.predictions.ranks import bin_of
from bayes_clv.schema import QUANTILES

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
def spend_level(lognormal, first, second, purse, increment):  # type: ignore[no-untyped-def]
    """Return a customer's level, 1 / ν or exp(θ), and the money stream's new state."""
    if lognormal:
        z, purse = standard_normal(purse, increment)
        return math.exp(first + second * z), purse
    nu, purse = standard_gamma(first, purse, increment)
    return second / nu, purse


@njit(nogil=True, cache=True, error_model="numpy")
def occasion_paid(lognormal, occasion_shape, level, purse, increment):  # type: ignore[no-untyped-def]
    """Return the spend of one occasion and the money stream's new state."""
    if lognormal:
        z, purse = standard_normal(purse, increment)
        return level * math.exp(occasion_shape * z), purse
    amount, purse = standard_gamma(occasion_shape, purse, increment)
    return amount * level, purse


@njit(nogil=True, cache=True, error_model="numpy")
def _phases(position, count, shape, last, state, increment):  # type: ignore[no-untyped-def]
    """Return where ``count`` phases more end, or somewhere beyond ``last``, and the stream's new state.

    The first is drawn from the state as it is. A future that ends here is cut short: a longer horizon draws on.
    """
    i = 0
    while True:
        position -= math.log(unit(mix(state))) / (shape + i)
        i += 1
        if i == count or position > last:
            return position, state
        state += increment


@njit(nogil=True, cache=True, error_model="numpy")
def _first_purchase(u, phases, shape, silence, last, state, increment):  # type: ignore[no-untyped-def]
    """Return where the first purchase comes and the stream's new state; never where u, uniform if alive, is above 1."""
    if u >= 1.0:
        return math.inf, state
    # Phases passed in silence, by inversion of their weights.
    wanted = u * phase_sum(phases, shape, silence)
    passed = 0
    term = reached = 1.0
    while wanted > reached and passed < phases - 1:
        term *= (shape + passed) / (passed + 1.0) * silence
        reached += term
        passed += 1
    state += increment
    return _phases(0.0, phases - passed, shape + passed, last, state, increment)


@njit(nogil=True, cache=True, error_model="numpy")
def simulate_tile(  # type: ignore[no-untyped-def]
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
    phases,
    silence,
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
    ``tally`` (draw, bin) only that is written. ``phases`` make a purchase, and ``silence`` is read where they are
    several. ``individual`` states are drawn ones: ``alive`` holds the first waits, ``dropout_a`` the lifetimes, and
    ``position`` is a time.
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
                if phases > 1:
                    threshold[s] = alive[c, s]
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
                last = end[s]
                # With a first order the threshold is 1, and u may lie above P(alive): then never.
                if phases == 1:
                    position = -math.log(1.0 - min(u / alive[c, s], 1.0)) / k
                else:
                    position, state = _first_purchase(
                        u / alive[c, s], phases, k, silence[c, s], last, state, increment
                    )
                    if position > last and not first_order:
                        continue
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
                level, purse = spend_level(lognormal, spend_shape[w, s], spend_rate[w, s], purse, increment)
            n = 0
            if first_order:
                if with_money:
                    spend, purse = occasion_paid(lognormal, occasion_shape[o, s], level, purse, increment)
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
                    amount, purse = occasion_paid(lognormal, occasion_shape[o, s], level, purse, increment)
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
                    if individual:
                        position -= math.log(unit(mix(state))) / scale[c, s]
                    elif phases == 1:
                        position -= math.log(unit(mix(state))) / (k + n)
                    else:
                        position, state = _phases(position, phases, k + phases * n, last, state, increment)
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
