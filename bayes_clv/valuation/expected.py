"""Expected residual value in closed form: per posterior draw, streamed, without simulation.

Given alive at T, a customer's purchases to a horizon t have the mean M(t) (``distributions.beta_dropout``),
and discounted continuously at the rate delta from the time each occurs they are worth

    D = integral of exp(-delta t) dM(t) = exp(-delta H) M(H) + delta * integral of exp(-delta t) M(t) dt.

The value of a draw is margin * P(alive) * D * E[spend of an occasion]; buying and spending are independent.

**What makes it fast.** D depends on (frequency, T) alone, P(alive) on recency too, spend on frequency and mean
spend, so each is computed on the distinct rows of its own columns (CDNOW's 2,357 customers have 464 of the
first). The integral over t is Lobatto's; M at all its nodes and at H is one sum over the number of
purchases, whose coefficients nodes and customers of one frequency share. Lobatto's five points a panel need four
evaluations, since M(0) = 0 and the last is H. Long series leave for ``purchases_while_alive``, node by node.

Rejected: monthly differences of the expected purchases, as lifetimes and PyMC-Marketing do. They cost 12
evaluations of a hypergeometric function and discount each purchase to the end of its month.
"""

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import xarray as xr

from bayes_clv.customers import check_customers
from bayes_clv.distributions.beta_dropout import purchases_while_alive
from bayes_clv.predictions.engine import TILE, available_threads, owned
from bayes_clv.predictions.expected import MAX_MEMORY, refuse_too_large
from bayes_clv.predictions.histories import distinct_histories, purchase_history, spend_history
from bayes_clv.predictions.posterior import paired, parameters, problems, shared_time_unit
from bayes_clv.schema import CUSTOMER, discount_rate, duration
from bayes_clv.valuation.value import checked_margin, without_moments

# Lobatto's five points on [-1, 1] without the first, and their weights (the first has 1/10 too).
POINTS = np.array([-math.sqrt(3 / 7), 0.0, math.sqrt(3 / 7), 1.0])
WEIGHTS = np.array([49 / 90, 32 / 45, 49 / 90, 1 / 10])
LANES = POINTS.size
# A panel ends where alpha + T + t has grown threefold or delta t by a half: relative error below 1e-7.
PANEL_GROWTH = 3.0
PANEL_DISCOUNT = 0.5
# Beyond them, or where (1 + tau)^k would overflow, ``purchases_while_alive`` knows another way.
SERIES_TERMS = 400
LOG_OVERFLOW = 600.0
TOLERANCE = 1e-9


def nodes(horizon: float, discount: float, smallest_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return times and weights, (panel, LANES), with D = sum of weight * M(time).

    ``smallest_scale`` is the smallest alpha + T: the singularity of M lies that far before t = 0.
    """
    bounds = [0.0]
    while discount != 0.0 and bounds[-1] < horizon:
        start = bounds[-1]
        step = min((smallest_scale + start) * (PANEL_GROWTH - 1.0), PANEL_DISCOUNT / abs(discount))
        bounds.append(horizon if start + step >= horizon else start + step)
    if discount == 0.0:
        bounds.append(horizon)
    first = np.array(bounds[:-1])[:, None]
    half = np.diff(bounds)[:, None] / 2
    time = first + half * (1 + POINTS)
    time[-1, -1] = horizon
    weight = discount * half * WEIGHTS * np.exp(-discount * time)
    # The first point of a panel is the last of the one before; M(0) = 0.
    weight[:-1, -1] += discount * half[1:, 0] * WEIGHTS[-1] * np.exp(-discount * time[:-1, -1])
    weight[-1, -1] += math.exp(-discount * horizon)
    return time, weight


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _coefficients(k, a, big_b, z, d):  # type: ignore[no-untyped-def]
    """Write d[n], n >= 1, with M = (1 - z)^k * sum of d[n]; return how many terms matter.

    d[n] = (k)_n / n! z^n * sum_{j<n} (B)_j / (a+B)_j, all positive (see ``distributions.beta_dropout``).
    """
    mass = 1.0
    ratio = 1.0
    partial = 0.0
    total = 0.0
    n = 0
    while n < d.size - 1:
        mass *= z * (k + n) / (n + 1.0)
        partial += ratio
        ratio *= (big_b + n) / (a + big_b + n)
        n += 1
        d[n] = mass * partial
        total += d[n]
        # From here each term is at most growth / n of the one before.
        growth = z * (k + n)
        if growth < n and d[n] * growth <= TOLERANCE * total * (n - growth):
            return n
    return 0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _discounted(shape, scale, dropout_a, dropout_b, same_shape, time, weight, out):  # type: ignore[no-untyped-def]
    """Write D of each (row, draw); ``same_shape`` marks rows that differ from the row before in scale alone.

    Within such a run the scale rises: its first row has the largest z, which is in the coefficients.
    """
    rows, draws = shape.shape
    d = np.empty(SERIES_TERMS + 1)
    out[:] = 0.0
    for j in range(time.shape[0]):
        t0, t1, t2, t3 = time[j, 0], time[j, 1], time[j, 2], time[j, 3]
        w0, w1, w2, w3 = weight[j, 0], weight[j, 1], weight[j, 2], weight[j, 3]
        first = 0
        while first < rows:
            last = first + 1
            while last < rows and same_shape[last]:
                last += 1
            for s in range(draws):
                k, a, big_b = shape[first, s], dropout_a[first, s], dropout_b[first, s]
                tau = t3 / scale[first, s]
                z = tau / (1.0 + tau)
                per_z = 1.0 / z
                terms = 0
                if k * tau < SERIES_TERMS and k * math.log1p(tau) < LOG_OVERFLOW:
                    terms = _coefficients(k, a, big_b, z, d)
                for c in range(first, last):
                    total = 0.0
                    size = scale[c, s]
                    if terms == 0:
                        # Too long a series: node by node, by the way that has no limit.
                        for i in range(LANES):
                            if weight[j, i] != 0.0:
                                total += weight[j, i] * purchases_while_alive(k, time[j, i] / size, a, big_b)
                        out[c, s] += total
                        continue
                    # Four scalars stay in registers; an array of four costs three times as much.
                    i0, i1 = 1.0 / (size + t0), 1.0 / (size + t1)
                    i2, i3 = 1.0 / (size + t2), 1.0 / (size + t3)
                    z0, z1, z2, z3 = t0 * i0 * per_z, t1 * i1 * per_z, t2 * i2 * per_z, t3 * i3 * per_z
                    m0 = m1 = m2 = m3 = d[terms]
                    for n in range(terms - 1, 0, -1):
                        m0 = m0 * z0 + d[n]
                        m1 = m1 * z1 + d[n]
                        m2 = m2 * z2 + d[n]
                        m3 = m3 * z3 + d[n]
                    m0, m1, m2, m3 = m0 * z0, m1 * z1, m2 * z2, m3 * z3
                    if w0 != 0.0:
                        total = w0 * m0 * math.exp(k * math.log(size * i0))
                        total += w1 * m1 * math.exp(k * math.log(size * i1))
                        total += w2 * m2 * math.exp(k * math.log(size * i2))
                    total += w3 * m3 * math.exp(k * math.log(size * i3))
                    out[c, s] += total
            first = last


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _combine(discounted, alive, spend, to_discounted, to_alive, customers, mean, total, kept):  # type: ignore[no-untyped-def]
    """Multiply the three draw by draw; write the mean of each row, add its customers to the totals."""
    draws = discounted.shape[1]
    for c in range(spend.shape[0]):
        first, second = discounted[to_discounted[c]], alive[to_alive[c]]
        row_sum = 0.0
        for s in range(draws):
            value = first[s] * second[s] * spend[c, s]
            row_sum += value
            total[s] += customers[c] * value
            if kept.shape[0] > 0:
                kept[c, s] = value
        mean[c] = row_sum / draws


def _starts(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the sorted columns change, and for each row which stretch it is in."""
    new = np.ones(columns[0].size, dtype=bool)
    new[1:] = np.any([np.diff(column) != 0 for column in columns], axis=0)
    return np.flatnonzero(new), np.cumsum(new) - 1


def _tile_bounds(age: np.ndarray, frequency: np.ndarray, step: int) -> list[int]:
    """Return the bounds of tiles of about ``step`` rows, at most twice, that split few equal (T, frequency)."""
    groups, _ = _starts(age, frequency)
    wanted = np.arange(0, age.size, step)
    snapped = groups[np.searchsorted(groups, wanted, side="right") - 1]
    chosen = np.where(wanted - snapped < step, snapped, wanted)
    return [*np.unique(chosen).tolist(), age.size]


def expected_value(
    buying: xr.DataTree,
    spending: xr.DataTree,
    customers: xr.Dataset,
    *,
    horizon: str | float = "52 weeks",
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    keep_draws: bool = False,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return each customer's expected residual value over the horizon, in closed form.

    margin * P(alive) * discounted expected purchases * expected spend, for each posterior draw. Its spread
    over draws is the uncertainty of an average, not of what a customer will bring: use
    ``clv.predict_value`` for that.

    Parameters
    ----------
    buying, spending, customers, horizon, margin, annual_discount_rate, threads
        As in ``clv.predict_value``.
    keep_draws
        Return ``value_expected`` for each draw, refused when larger than ``max_memory`` bytes.
    max_memory
        Bytes above which kept draws are refused. The streamed mean needs some MB whatever the base.
    progress
        Called with (distinct histories done, distinct histories).

    Returns
    -------
    xarray.Dataset
        ``value_expected`` in money, expected level: the posterior mean over ``customer``, or with
        ``keep_draws`` (chain, draw, customer). ``value_expected_total`` (chain, draw): the sum over customers.
        Where the mean spend does not exist in some draw it is NaN, and the attribute ``reasons`` says so.

    Raises
    ------
    InputError
        As in ``clv.predict_value``.

    Examples
    --------
    >>> mean = expected_value(buying, spending, customers, horizon="1 year", margin=0.3)
    """
    posterior, spend = parameters(buying, "buying"), parameters(spending, "spending")
    check_customers(customers)
    share = checked_margin(margin)
    time_unit = shared_time_unit(buying, customers)
    rate = discount_rate(annual_discount_rate, shared_time_unit(spending, customers))
    length = duration(horizon, time_unit)
    draws = posterior.size
    if keep_draws:
        refuse_too_large(
            draws * customers.sizes[CUSTOMER],
            max_memory,
            what=f"{draws:,} draws of {customers.sizes[CUSTOMER]:,} customers",
            instead="Leave keep_draws=False: means and totals per draw need no such array.",
        )
    past = purchase_history(customers)
    # Sorted so that equal (frequency, T) are neighbours, and within them equal recency.
    columns = {name: past[name] for name in ("frequency", "T", "recency")} | spend_history(
        customers, spend.formulas
    )
    histories = distinct_histories(columns)
    spend_values = paired(spend, draws)
    count = np.bincount(histories.row).astype(float)
    rows = count.size
    mean = np.empty(rows)
    kept = np.empty((rows if keep_draws else 0, draws))
    bounds = _tile_bounds(histories.columns["T"], histories.columns["frequency"], max(1, TILE // draws))

    def tile(index: int) -> np.ndarray:
        part = slice(bounds[index], bounds[index + 1])
        frequency, age, recency, occasions, spent = (column[part] for column in histories.columns.values())
        alive_at, to_alive = _starts(frequency, age, recency)
        history = (x[alive_at, None] for x in (frequency, recency, age))
        alive, *states = posterior.formulas.future_state(*history, **posterior.values)
        first, to_discounted = _starts(frequency, age)
        pick = to_alive[first]
        shape = (pick.size, draws)
        k, scale, a, b = (owned(x[pick] if np.ndim(x) == 2 else x, shape) for x in states)
        time, weight = nodes(length, rate, float(scale.min()))
        discounted = np.empty(shape)
        _discounted(k, scale, a, b, np.r_[False, np.diff(frequency[first]) == 0], time, weight, discounted)
        expected_spend = spend.formulas.expected_spend(occasions[:, None], spent[:, None], **spend_values)
        total = np.zeros(draws)
        _combine(
            discounted,
            owned(alive, (alive_at.size, draws)),
            owned(expected_spend, (occasions.size, draws)),
            to_discounted[: occasions.size],
            to_alive,
            count[part],
            mean[part],
            total,
            kept[part] if keep_draws else kept,
        )
        return total

    tiles = range(len(bounds) - 1)
    workers = min(available_threads(threads), len(tiles))
    total = np.zeros(draws)
    with ThreadPoolExecutor(max_workers=workers) as executor:
        for index, part in enumerate(executor.map(tile, tiles) if workers > 1 else map(tile, tiles)):
            total += part
            if progress is not None:
                progress(bounds[index + 1], rows)
    for amounts in (mean, total, kept):
        amounts *= share

    about = {"units": "money", "level": "expected"}
    if keep_draws:
        dims, spread = posterior.unstack(
            histories.spread(np.ascontiguousarray(kept.T), of_rows=True), CUSTOMER
        )
    else:
        dims, spread = (CUSTOMER,), histories.spread(mean, of_rows=True)
    lacking, without = without_moments(spend, customers, 1)
    reasons = []
    if lacking.any():
        reasons.append(
            f"value_expected: NaN for {int(lacking.sum())} of {lacking.size} customers, because expected spend is "
            f"infinite in up to {without} of {spend.size} posterior draws. Use clv.predict_value's quantiles, or a "
            "stronger prior on q."
        )
    what = "expected residual value over the horizon, after margin and discount"
    return xr.Dataset(
        {
            "value_expected": (dims, spread, about | {"long_name": what}),
            "value_expected_total": (
                *posterior.unstack(total),
                about | {"long_name": f"{what}, of all customers"},
            ),
        },
        coords={CUSTOMER: customers[CUSTOMER].values, **posterior.coords()},
        attrs={
            "time_unit": time_unit,
            "horizon": length,
            "margin": share,
            "annual_discount_rate": float(annual_discount_rate),
            "discount_rate": rate,
            "level": "expected",
            "problems": json.dumps(problems(buying, spending)),
            "reasons": json.dumps(reasons),
        },
    )
