"""The silence after the last purchase: the integral over the time at which a customer may have left.

For Gamma purchase rates and Gamma dropout rates the weight of having left d after the last purchase, within a
silence of length D, is (1 + d/A)^-k (1 + d/B)^-w, and

    J = integral of (1 + d/A)^-k (1 + d/B)^-w over d in (0, D)

is what Schmittlein, Morrison & Colombo (1987) and Fader & Hardie (2005, "A Note on Deriving the Pareto/NBD Model")
write as a difference of two 2F1 with branches at alpha above and below beta. Here it is one Gauss-Legendre rule.

**Why it is smooth enough.** In d the integrand is a peak at 0 as narrow as A/k or B/w, followed by power laws that
change at A and at B. On y = log(1 + d/C) the powers are nearly exponentials: both logarithms are analytic where the
imaginary part of y is below pi, as long as C <= A and C <= B, and with 1/C = (1 + k/10)/A + (1 + w/10)/B a narrow peak
is about as wide as a unit of y, too. What is left out on the right is below exp(-32) of the whole: past
A expm1(32 / (k - 1)) and B expm1(32 / (w - 1)). The nodes needed grow with the range of y alone, at most with
log(D / min(A, B)): 14 hold 1e-10 up to a range of 2, 20 up to 4.5, 48 up to 17, where D = 10^7 min(A, B) (k to 1,050,
w to 300; tests/distributions/test_silence.py). There is no branch, so that alpha = beta is ordinary, and no
cancellation, all terms being positive.

One pass over the nodes gives J and its slopes in k, w, A and B, for NumPy and for the PyTensor graph alike
(``operators``). The same rule written with PyTensor's own operations took two and a half times as long (1.9 ms
instead of 0.76 for CDNOW's 1,016 distinct histories), because a rule must be wide enough for the worst row of many
and the slopes are passes of their own.

Rejected: 2F1 (its gradient is a series for each row), the power series in (A - B) / (A + D) (thousands of terms
where one rate is far from the other), Gauss-Laguerre in k log(1 + d/A) (B below A makes a peak of its own).
"""

import math

import numba
import numpy as np

PEAK = 10.0
NEGLIGIBLE = 32.0
# How many nodes are enough up to which range of y.
RANGES = ((0.4, 8), (1.0, 11), (2.0, 14), (3.0, 16), (4.5, 20), (8.0, 28), (12.5, 38), (math.inf, 48))


def rules(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes on (0, 1) and weights of several Gauss-Legendre rules, one a row, padded with zeros."""
    nodes, weights = np.zeros((len(counts), max(counts))), np.zeros((len(counts), max(counts)))
    for row, count in enumerate(counts):
        position, weight = np.polynomial.legendre.leggauss(count)
        nodes[row, :count], weights[row, :count] = 0.5 * (1 + position), 0.5 * weight
    return nodes, weights


_LIMITS = np.array([limit for limit, _ in RANGES])
_COUNTS = np.array([count for _, count in RANGES])
_NODES, _WEIGHTS = rules([count for _, count in RANGES])


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def moments(
    k: float, w: float, a: float, b: float, silence: float
) -> tuple[float, float, float, float, float]:
    """Return log J and the means of log(1 + d/a), log(1 + d/b), d / (a + d) and d / (b + d) over its integrand.

    With signs and factors these are the slopes of log J in k, w, a and b. -inf and zeros without silence.
    """
    if not (k > 0 and w > 0 and a > 0 and b > 0 and silence >= 0) or math.isinf(k + w + a + b + silence):
        return math.nan, math.nan, math.nan, math.nan, math.nan
    if silence == 0:
        return -math.inf, 0.0, 0.0, 0.0, 0.0
    scale = 1.0 / ((1.0 + k / PEAK) / a + (1.0 + w / PEAK) / b)
    end = min(silence, a * math.expm1(min(NEGLIGIBLE / max(k - 1.0, 0.5), 600.0)))
    end = min(end, b * math.expm1(min(NEGLIGIBLE / max(w - 1.0, 0.05), 600.0)))
    range_y = math.log1p(end / scale)
    rule = 0
    while range_y > _LIMITS[rule]:
        rule += 1
    per_a, per_b = 1.0 / a, 1.0 / b
    total = log_a = log_b = share_a = share_b = 0.0
    for j in range(_COUNTS[rule]):
        grown = math.exp(range_y * _NODES[rule, j])
        d = scale * (grown - 1.0)
        grown_a, grown_b = 1.0 + d * per_a, 1.0 + d * per_b
        growth_a, growth_b = math.log(grown_a), math.log(grown_b)
        value = _WEIGHTS[rule, j] * grown * math.exp(-k * growth_a - w * growth_b)
        total += value
        log_a += value * growth_a
        log_b += value * growth_b
        share_a += value * d / (a * grown_a)
        share_b += value * d / (b * grown_b)
    per = 1.0 / total
    log_j = math.log(total * scale * range_y)
    return log_j, log_a * per, log_b * per, share_a * per, share_b * per


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def log_integral(k: float, w: float, a: float, b: float, silence: float) -> float:
    """Return log J; a NumPy ufunc of float64. ``a``, ``b`` and ``silence`` share a unit of time.

    -inf for no silence. Relative accuracy of J 1e-10 for k to 1,050, w to 300 and silences to 10^7 min(a, b).
    """
    return float(moments(k, w, a, b, silence)[0])


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def mean_share(k: float, w: float, a: float, b: float, silence: float) -> float:
    """Return the mean of d / (a + d) over the integrand of J, 0 without silence; a NumPy ufunc of float64."""
    return float(moments(k, w, a, b, silence)[3])


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # type: ignore[untyped-decorator]
def moments_of_rows(
    k: np.ndarray, w: np.ndarray, a: np.ndarray, b: np.ndarray, silence: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ``moments`` of each row of equally long arrays."""
    rows = silence.size
    log_j, log_a, log_b = np.empty(rows), np.empty(rows), np.empty(rows)
    share_a, share_b = np.empty(rows), np.empty(rows)
    for i in range(rows):
        log_j[i], log_a[i], log_b[i], share_a[i], share_b[i] = moments(k[i], w[i], a[i], b[i], silence[i])
    return log_j, log_a, log_b, share_a, share_b
