"""Expected purchases and their counts for Gamma waits (``gamma_waits``), with the rates integrated out.

Given k, the n-th purchase after T comes at an age Y (counted from t_x) with a density in which the rate lambda is
integrated out, k Y / A ~ Gamma(n k) / Gamma(q), and given Y the first of the n waits is a Beta(k, (n - 1) k) share of
it. It must outlast the silence D0 = T - t_x, and the lifetime must last until Y, so that

    P(n-th purchase within t) = integral over Y in (D0, D0 + t) of
        (1 + Y/b)^-s  f_nk(Y)  I_(1 - D0/Y)((n - 1) k, k)  /  C(k),

averaged over k given the history. One integral a purchase, and no product of integrals: the incomplete beta function
depends on (n k, k, D0/Y) alone and is tabulated once for all draws of the population. Sums over n are made term by
term to STRIDE_FROM; beyond it by the trapezoidal rule with strides that are fractions of the width of the
terms (they are smooth in n; error about 1e-5 of the sum).

The nodes of Y belong to the row and the horizon: tanh-sinh on log(1 + y/c), exact at the power of y with which the
density begins. Reached (tests): expected purchases to about 1e-5 relative, without horizon 3e-4; the probability of
a number of them to about 1e-4, and less exactly where a customer of many purchases is next to clockwork (k above 20).
"""

import math

import numpy as np

from bayes_clv.distributions.regular.gamma_waits import (
    COLUMNS,
    LARGEST,
    Row,
    _compiled,
    lattice,
    row_of,
    usable,
)

# Nodes in time: of the sum over all purchases, which is smooth, and of each, which is as sharp as they are regular.
OF_ALL, OF_EACH = 65, 129
STRIDE_FROM = 24.0
NEGLIGIBLE_TERM = 1e-7
# The table of incomplete beta functions: nodes of log k on the finest lattice that it holds, purchases.
FINEST = 0.05
LOWEST, CELLS, COUNTS = -8.0, 240, 64


@_compiled  # type: ignore[untyped-decorator]
def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of I_x(a, b) to ten digits (DLMF 8.17.22), without its slope."""
    d = 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    c, value = 1.0, d
    for m in range(1, 20_000):
        p, q = a + 2 * m - 1.0, a + 2 * m
        e = m * (b - m) * x / (p * q)
        d = 1.0 / (1.0 + e * d)
        c = 1.0 + e / c
        value *= c * d
        e = -(a + m) * (a + b + m) * x / (q * (q + 1.0))
        d = 1.0 / (1.0 + e * d)
        c = 1.0 + e / c
        value *= c * d
        if abs(c * d - 1.0) < 1e-10:
            break
    return float(value)


@_compiled  # type: ignore[untyped-decorator]
def incomplete_beta(a: float, b: float, y: float) -> float:
    """Return the regularised incomplete beta function I_y(a, b), a > 0, b > 0."""
    if y >= 1.0:
        return 1.0
    if y <= 0.0:
        return 0.0
    log_front = a * math.log(y) + b * math.log1p(-y) - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
    if y * (a + b + 2.0) < a + 1.0:
        return float(math.exp(log_front) * _fraction(a, b, y) / a)
    return float(1.0 - math.exp(log_front) * _fraction(b, a, 1.0 - y) / b)


@_compiled  # type: ignore[untyped-decorator]
def _times(
    t: float, T: float, t_x: float, x: float, delta: float, time: np.ndarray, weight: np.ndarray
) -> None:
    """Write nodes in (0, t) and their weights; t may be infinite."""
    points = time.size
    scale = max(T / (x + 1.0), T - t_x)
    if t == math.inf:
        if not scale > 0:
            scale = 1.0 / delta if delta > 0 else 1.0
        low, high = -3.5, 3.4
        if delta > 0:
            # As far as exp(-delta time) is above e^-40.
            high = min(high, math.asinh(2.0 / math.pi * max(math.log(40.0 / (delta * scale)), -1.0)))
        width = (high - low) / (points - 1)
        for i in range(points):
            u = low + width * i
            time[i] = scale * math.exp(0.5 * math.pi * math.sinh(u))
            weight[i] = time[i] * 0.5 * math.pi * math.cosh(u) * width
        return
    scale = min(max(scale, 1e-3 * t), t) if scale > 0 else 0.05 * t
    growth = math.log1p(t / scale)
    for i in range(points):
        # Further at the beginning, where the density is y^(k - 1).
        u = -3.5 + 6.5 * i / (points - 1)
        share = 1.0 / (1.0 + math.exp(-math.pi * math.sinh(u)))
        # share (1 - share), without cancellation near 1.
        both = share / (1.0 + math.exp(math.pi * math.sinh(u)))
        time[i] = scale * math.expm1(growth * share)
        weight[i] = both * math.pi * math.cosh(u) * 6.5 / (points - 1) * growth * (scale + time[i])


@_compiled  # type: ignore[untyped-decorator]
def _of_one(
    n: float,
    delta: float,
    row: Row,
    table: np.ndarray,
    time: np.ndarray,
    weight: np.ndarray,
    shares: np.ndarray,
    used: np.ndarray,
    reached: np.ndarray,
) -> float:
    """Return P(at least n purchases), or for n = 0 the sum over all n of the discounted purchases.

    Where ``reached`` has room, P(at least 1, 2, ...) are written there instead.
    """
    points = time.size
    reached[:] = 0.0
    x, t_x, T, _, _, _, r, alpha, s, beta = row
    since, b = T - t_x, beta + t_x
    count, _ = lattice(row, table)
    largest = table[:count, 1].max()
    log_kept, log_ratio, log_rest = np.empty(points), np.empty(points), np.empty(points)
    ratio, term = np.empty(points), np.empty(points)
    for c in range(points):
        log_kept[c] = -s * math.log1p((since + time[c]) / b) - delta * time[c] + math.log(weight[c])
    found = total = 0.0
    for i in range(count):
        u = table[i, 0]
        if table[i, 1] < largest - 13.0:
            continue
        k = math.exp(u)
        q, scale = r + k * x, alpha + k * t_x
        total += math.exp(table[i, 1] - largest)
        per = math.exp(table[i, 1] - table[i, 2] - largest)
        cell = round((u - LOWEST) / FINEST)
        tabulated = 0 <= cell < CELLS and abs(LOWEST + cell * FINEST - u) < 1e-9
        for c in range(points):
            age = since + time[c]
            v = math.log(k * age / scale)
            log_sum = math.log1p(math.exp(v)) if v < 35.0 else v
            log_ratio[c] = k * (v - log_sum)
            ratio[c] = math.exp(log_ratio[c])
            log_rest[c] = log_kept[c] - q * log_sum - math.log(age)
        if n > 0:
            log_c = math.lgamma(n * k + q) - math.lgamma(n * k) - math.lgamma(q)
            for c in range(points):
                log_term = log_c + n * log_ratio[c] + log_rest[c]
                if log_term > -50.0:
                    share = 1.0
                    if n > 1 and since > 0:
                        share = incomplete_beta((n - 1.0) * k, k, time[c] / (since + time[c]))
                    found += per * math.exp(log_term) * share
            continue
        m, before, one_back, two_back, of_k, log_c = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for place in range(5000):
            stride = 1.0
            if m >= STRIDE_FROM and reached.size == 0:
                stride = 2.0 ** math.floor(math.log2(max(min(m / 12.0, 0.4 * math.sqrt(m / k)), 1.0)))
            new_log_c = math.lgamma(m * k + q) - math.lgamma(m * k) - math.lgamma(q)
            if place % 16 == 0 or stride > before or before > 1:
                # Afresh, so that rounding does not add up and nothing stays at zero that has grown since.
                for c in range(points):
                    term[c] = math.exp(min(new_log_c + m * log_ratio[c] + log_rest[c], 300.0))
            else:
                growth = math.exp(new_log_c - log_c)
                for c in range(points):
                    term[c] *= growth * ratio[c]
            log_c = new_log_c
            following = 0.0
            if m == 1.0 or since <= 0:
                for c in range(points):
                    following += term[c]
            elif tabulated and place < COUNTS:
                own = shares[cell, place]
                used[0] = True
                for c in range(points):
                    if term[c] > 1e-12:
                        if math.isnan(own[c]):
                            own[c] = incomplete_beta((m - 1.0) * k, k, time[c] / (since + time[c]))
                        following += term[c] * own[c]
            else:
                for c in range(points):
                    if term[c] > 1e-12:
                        share = incomplete_beta((m - 1.0) * k, k, time[c] / (since + time[c]))
                        following += term[c] * share
            if reached.size > 0:
                reached[place] += per * following
                if place == reached.size - 1:
                    break
                before = stride
                m += stride
                continue
            of_k += following * (0.5 * (before + stride) if before > 0 else 1.0)
            if stride > before > 0:
                # Trapezoids of unequal strides differ from the sum by (stride^2 - before^2) / 12 of the slope here.
                slope = (1.5 * following - 2.0 * one_back + 0.5 * two_back) / before
                of_k += (stride * stride - before * before) / 12.0 * slope
            before, two_back, one_back = stride, one_back, following
            if following * m < NEGLIGIBLE_TERM * of_k or (of_k == 0.0 and m > 3):
                break
            m += stride
        found += per * of_k
    reached /= total
    return found / total


@_compiled  # type: ignore[untyped-decorator]
def of_rows(columns: np.ndarray, counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return of each row of ``columns`` (row, 13) the expected discounted purchases, or P(at least n).

    With ``counts`` also P(at least 1), ..., P(at least counts) (row, counts), in place of the expectation.

    Columns: n (0 for the expectation), t, delta, x, t_x, T, log_intervals and the six parameters. Rows that share
    the first seven in sequence share nodes and tables.
    """
    found = np.empty(columns.shape[0])
    every = np.full((columns.shape[0], counts), math.nan)
    table = np.empty((LARGEST, COLUMNS))
    points = OF_ALL if counts == 0 and (columns[:, 0] == 0).all() else OF_EACH
    time, weight = np.empty(points), np.empty(points)
    shares = np.full((CELLS, COUNTS, points), math.nan)
    used = np.zeros(1, dtype=np.bool_)
    last = np.full(5, math.nan)
    for i in range(columns.shape[0]):
        n, t, delta = columns[i, 0], columns[i, 1], columns[i, 2]
        row = row_of(columns[i, 3:])
        x, t_x, T, s = row[0], row[1], row[2], row[8]
        found[i] = math.nan
        if not (usable(row) and t >= 0 and delta >= 0):
            continue
        if t == 0:
            found[i] = 0.0
            every[i] = 0.0
            continue
        if t == math.inf and delta == 0 and s <= 1:
            found[i] = math.inf
            continue
        if t != last[0] or last[1] != T or t_x != last[2] or x != last[3] or delta != last[4]:
            last[0], last[1], last[2], last[3], last[4] = t, T, t_x, x, delta
            _times(t, T, t_x, x, delta, time, weight)
            if used[0]:
                shares[:] = math.nan
                used[0] = False
        found[i] = _of_one(n, delta, row, table, time, weight, shares, used, every[i])
    return found, every
