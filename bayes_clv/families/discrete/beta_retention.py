"""What the families of contracts share: forecasts from S(t) = B(a, b + t^c) / B(a, b), and the simulator.

``shifted_beta_geometric`` is c = 1, ``beta_discrete_weibull`` any c > 0. ``renewals`` is the tenure in renewals made,
``active`` 1 while under contract.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.survival import discounted_survival, loss_ratio, survival_ratio


def simulate(
    rng: np.random.Generator, periods: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return simulated (renewals, active) after ``periods`` renewal opportunities.

    By inversion: the customer is lost at the first t with (1 - theta)^(t^c) below a uniform number.
    """
    periods, a, b, c = np.broadcast_arrays(*float_arrays(periods, a, b, c))
    theta = rng.beta(a, b)
    with np.errstate(divide="ignore", over="ignore"):
        lost_at = np.ceil((rng.standard_exponential(theta.shape) / -np.log1p(-theta)) ** (1 / c))
    renewals = np.minimum(periods, np.maximum(lost_at, 1.0) - 1)
    return renewals.astype(np.int64), (renewals == periods).astype(np.int64)


def survival(
    t: ArrayLike, renewals: ArrayLike, active: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike
) -> Array:
    """Return the probability of making all of the next t renewals."""
    t, renewals, active, a, b, c = float_arrays(t, renewals, active, a, b, c)
    stays: Array = survival_ratio(t, renewals, a, b, c)
    return active * stays


def renewals_pmf(
    n: ArrayLike,
    t: ArrayLike,
    renewals: ArrayLike,
    active: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    c: ArrayLike,
) -> Array:
    """Return P(exactly n of the next t renewals are made)."""
    n, t, renewals, active, a, b, c = float_arrays(n, t, renewals, active, a, b, c)
    made = survival_ratio(np.maximum(n, 0), renewals, a, b, c)
    not_next = np.where(n < t, loss_ratio(1.0, renewals + np.maximum(n, 0), a, b, c), 1.0)
    pmf = np.where((n >= 0) & (n <= t), made * not_next, 0.0)
    return np.where(active > 0, pmf, np.where(n == 0, 1.0, 0.0))


def expected_renewals(
    t: ArrayLike, renewals: ArrayLike, active: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike
) -> Array:
    """Return the expected number of renewals among the next t."""
    t, renewals, active, a, b, c = float_arrays(t, renewals, active, a, b, c)
    return np.where(active > 0, discounted_survival(t, 0.0, renewals, a, b, c), 0.0)


def discounted_residual_lifetime(
    discount_rate: ArrayLike, renewals: ArrayLike, active: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike
) -> Array:
    """Return the discounted expected renewals, the one now due undiscounted."""
    rate, renewals, active, a, b, c = float_arrays(discount_rate, renewals, active, a, b, c)
    to_come = discounted_survival(np.inf, rate, renewals, a, b, c)
    return np.where(active > 0, (1 + rate) * to_come, 0.0)
