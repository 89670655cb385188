"""The classic formulas of customer lifetime value, for teaching and for checking: points, each with what it assumes.

Each takes numbers or arrays, which NumPy broadcasts: of draws it gives draws. None knows that customers differ, or
how sure its inputs are; ``studies/classic_formulas.py`` holds them against the full posterior where the truth is
known.

Rates are a year's, compounded once a year: an amount t years from now is worth (1 + d)^-t of it. A retention rate r
is the probability that a customer who is here at the beginning of a period is here at its end.

Berger & Nasr 1998 (Journal of Interactive Marketing 12(1), 17-30) is cited by its cases. The figures that it prints
could not be held against a copy of it; the tests hold each formula against the sum or the integral that defines it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate

from bayes_clv.schema import InputError, argument

# Of an integral that is cut where the profit has kinks.
MOST_PIECES = 500


def four_step_value(
    order_value: Any, orders_a_year: Any, years: Any, *, margin: Any = 1.0, acquisition_cost: Any = 0.0
) -> Any:
    """Return the value of the four steps: order value × orders a year × years as a customer × margin, less acquisition.

    Parameters
    ----------
    order_value, orders_a_year, years
        Money an order; orders; years. A textbook takes ``years`` as 1 / (1 - retention).
    margin
        Share of the money that is earned.
    acquisition_cost
        Money, spent now.

    Returns
    -------
    float or numpy.ndarray
        Money, not discounted. It overstates where money later is worth less, or customers who have gone are counted.

    Raises
    ------
    InputError
        Numbers below 0.

    Examples
    --------
    >>> four_step_value(40.0, 6, 4, margin=0.25)
    240.0
    """
    for name, value in (("order_value", order_value), ("orders_a_year", orders_a_year), ("years", years)):
        _check(name, value, 0.0, math.inf)
    return _out(np.multiply(order_value, orders_a_year) * years * margin - np.asarray(acquisition_cost))


def present_value(
    revenue: Any, cost: Any, annual_discount_rate: Any, *, first: float = 1.0, step: float = 1.0
) -> Any:
    """Return Σ (R_i - C_i) / (1 + d)^t_i of amounts that are certain.

    Parameters
    ----------
    revenue, cost
        Money of each period, along the last axis; one number stands for each.
    annual_discount_rate
        d.
    first, step
        When the first amount comes and how far apart they are, in years: 0 for an amount now, 1/12 for months.

    Returns
    -------
    float or numpy.ndarray
        Money.

    Raises
    ------
    InputError
        A rate of -1 or less.

    Examples
    --------
    >>> round(present_value([100, 100], [40, 0], 0.10), 2)
    137.19
    """
    _check("annual_discount_rate", annual_discount_rate, -1.0, math.inf, open_low=True)
    amounts = np.atleast_1d(np.subtract(revenue, cost)).astype(float)
    times = first + step * np.arange(amounts.shape[-1])
    rate = np.asarray(annual_discount_rate, dtype=float)[..., None]
    return _out((amounts * (1 + rate) ** -times).sum(axis=-1))


def annuity_value(
    margin: Any, retention: Any, annual_discount_rate: Any, *, years: Any = math.inf, paid_now: bool = True
) -> Any:
    """Return the value of a customer who pays once a year and stays each year with the same probability.

    ``m Σ_t r^t / (1 + d)^t``: over ever ``m (1 + d) / (1 + d - r)`` with the first payment now, t = 0, 1, ..., and
    ``m r / (1 + d - r)`` without it, t = 1, 2, ...

    Parameters
    ----------
    margin
        m, money a year.
    retention, annual_discount_rate
        r and d.
    years
        Payments up to this many years from now; whole years.
    paid_now
        Whether the payment of today is counted.

    Returns
    -------
    float or numpy.ndarray
        Money. Infinite where r is at least 1 + d and there is no end.

    Raises
    ------
    InputError
        A retention outside 0 to 1, a rate of -1 or less, years that are not whole.

    Examples
    --------
    >>> round(annuity_value(100, 0.8, 0.1), 2), round(annuity_value(100, 0.8, 0.1, paid_now=False), 2)
    (366.67, 266.67)
    """
    kept = _kept(retention, annual_discount_rate)
    _whole("years", years)
    count = np.asarray(years, dtype=float)
    return _out(np.asarray(margin, dtype=float) * (_powers(kept, count + 1) - (0.0 if paid_now else 1.0)))


def retained_value(
    contribution: Any,
    cost: Any,
    retention: Any,
    annual_discount_rate: Any,
    *,
    cycles: Any,
    years_per_cycle: Any = 1.0,
) -> Any:
    """Return the value of a customer who is lost for good once lost (Berger & Nasr's cases 1, 2a and 2b).

    ``GC Σ_{i=0..n} (r / (1+d)^q)^i - M Σ_{i=1..n} r^(i-1) / (1+d)^(q (i - 1/2))``: the contribution comes at the
    beginning of each cycle, the first now; keeping a customer costs M in the middle of each cycle.

    Parameters
    ----------
    contribution, cost
        GC and M, money a cycle.
    retention
        r, a cycle.
    annual_discount_rate
        d.
    cycles
        n, a whole number; infinite for ever.
    years_per_cycle
        q: 1 is case 1; 1/2, of two sales a year, case 2a; 3, of a car every three years, case 2b.

    Returns
    -------
    float or numpy.ndarray
        Money.

    Raises
    ------
    InputError
        A retention outside 0 to 1, a rate of -1 or less, cycles that are not whole, a cycle without length.

    Examples
    --------
    >>> round(retained_value(260, 50, 0.75, 0.20, cycles=10), 2)
    568.78
    """
    _check("years_per_cycle", years_per_cycle, 0.0, math.inf, open_low=True)
    _whole("cycles", cycles)
    period = np.asarray(years_per_cycle, dtype=float)
    kept = _kept(retention, annual_discount_rate, period)
    count = np.asarray(cycles, dtype=float)
    middle = (1 + np.asarray(annual_discount_rate, dtype=float)) ** (-period / 2)
    return _out(
        np.asarray(contribution, dtype=float) * _powers(kept, count + 1)
        - np.asarray(cost, dtype=float) * middle * _powers(kept, count)
    )


def growing_value(
    profit: Callable[[np.ndarray], Any], retention: float, annual_discount_rate: float, *, years: int
) -> float:
    """Return the value of a customer whose yearly profit changes with time: ``Σ_{t=0..n} π(t) (r / (1+d))^t`` (case 3).

    Parameters
    ----------
    profit
        π, money a year, of years since now (array).
    retention, annual_discount_rate
        r and d.
    years
        n, whole.

    Returns
    -------
    float
        Money.

    Raises
    ------
    InputError
        As ``annuity_value``.

    Examples
    --------
    >>> round(growing_value(lambda t: 100 + 10 * t, 0.8, 0.1, years=2), 2)
    243.47
    """
    kept = float(_kept(retention, annual_discount_rate))
    _whole("years", years)
    _check("years", years, 0, 10_000)
    times = np.arange(int(years) + 1, dtype=float)
    return float((np.asarray(profit(times), dtype=float) * kept**times).sum())


def continuous_value(
    profit: Callable[[np.ndarray], Any] | float,
    retention: float,
    annual_discount_rate: float,
    *,
    years: float = math.inf,
) -> float:
    """Return the value of a customer whose money flows all the time: ``∫ π(t) (r / (1+d))^t dt``, 0 to n (case 4).

    Of a constant π it is ``π (1 - k^n) / -log k`` with k = r / (1+d); of a function adaptive quadrature.

    Parameters
    ----------
    profit
        π, money a year: a number, or a smooth function of years since now (array).
    retention, annual_discount_rate
        r and d.
    years
        n; of a function finite.

    Returns
    -------
    float
        Money.

    Raises
    ------
    InputError
        As ``annuity_value``; a function without a horizon; a value that is infinite.

    Examples
    --------
    >>> round(continuous_value(100.0, 0.8, 0.1, years=5), 2)
    250.13
    """
    kept = float(_kept(retention, annual_discount_rate))
    _check("years", years, 0.0, math.inf)
    if callable(profit):
        if not math.isfinite(years):
            raise InputError("A profit that is a function needs a horizon: years=...")
        found, _ = integrate.quad(
            lambda time: np.asarray(profit(np.array([time])), dtype=float).flat[0] * kept**time,
            *(0.0, years),
            epsabs=0.0,
            epsrel=1e-10,
            limit=MOST_PIECES,
        )
        return float(found)
    if kept == 0:
        return 0.0
    rate = -math.log(kept)
    if rate == 0:
        if not math.isfinite(years):
            raise InputError("Nobody leaves and nothing is discounted: the value is infinite. Give years=...")
        return float(profit) * years
    if rate < 0 and not math.isfinite(years):
        raise InputError("Money grows faster than it is discounted: the value is infinite. Give years=...")
    return float(profit) * -math.expm1(-rate * years) / rate


def migration_value(
    contribution: float,
    cost: float,
    returning: Any,
    annual_discount_rate: float,
    *,
    years: int,
) -> float:
    """Return the value of a customer who may skip years and come back (Berger & Nasr's case 5; Dwyer 1989).

    With ``p_j`` the probability of buying in a year when the last purchase was j years ago, the probability of
    buying in year i is ``C_i = Σ_j C_{i-j} p_j Π_{k<j} (1 - p_k)``, C_0 = 1, and the value ``Σ_{i=0..n} GC C_i /
    (1+d)^i`` less what it costs, M a year in the middle of each year in which the customer is still written to: as
    long as the last purchase is less far away than the probabilities go.

    Parameters
    ----------
    contribution, cost
        GC, money a purchase, and M, money a year.
    returning
        ``p_1, p_2, ...``; who has not bought for longer is given up.
    annual_discount_rate
        d.
    years
        n, whole.

    Returns
    -------
    float
        Money.

    Raises
    ------
    InputError
        Probabilities outside 0 to 1, none, a rate of -1 or less, years that are not whole.

    Examples
    --------
    >>> round(migration_value(100, 0, [0.6, 0.3], 0.1, years=3), 2)
    221.26
    """
    chances = np.atleast_1d(np.asarray(returning, dtype=float))
    if not chances.size:
        raise InputError("There is no probability of buying. Give p_1, p_2, ...: after a year, after two.")
    _check("returning", chances, 0.0, 1.0)
    _check("annual_discount_rate", annual_discount_rate, -1.0, math.inf, open_low=True)
    _whole("years", years)
    _check("years", years, 0, 10_000)
    # The probability of having bought last so many years ago.
    state = np.zeros(chances.size)
    state[0] = 1.0
    value = float(contribution)
    for year in range(1, int(years) + 1):
        written, bought = float(state.sum()), float(state @ chances)
        state[1:] = state[:-1] * (1 - chances[:-1])
        state[0] = bought
        value += contribution * bought * (1 + annual_discount_rate) ** -year
        value -= cost * written * (1 + annual_discount_rate) ** -(year - 0.5)
    return value


def contract_value(
    survival: Any,
    revenue: Any,
    cost: Any,
    annual_discount_rate: Any,
    *,
    renewed: int = 0,
    years_per_period: float = 1.0,
) -> Any:
    """Return the value of a contract by its survival curve: ``Σ_{t>=k} S(t) / S(k) (R - C) / (1 + d)^(q (t - k))``.

    Parameters
    ----------
    survival
        S(0) = 1, S(1), ...: share of a cohort that is still here after so many renewals, along the last axis.
    revenue, cost
        Money a period, at its beginning; one number, or one a period along the last axis.
    annual_discount_rate
        d.
    renewed
        k: how often the customer has renewed; the payment of that renewal, made now, is counted. Customers who have
        renewed often are worth more than new ones where customers differ; one constant retention rate misses that.
    years_per_period
        q.

    Returns
    -------
    float or numpy.ndarray
        Money, as far as the curve goes.

    Raises
    ------
    InputError
        A curve that does not begin with 1, rises, or lies outside 0 to 1; renewals that it does not have.

    Examples
    --------
    >>> [round(contract_value([1, 0.8, 0.7], 100, 0, 0.1, renewed=k), 2) for k in (0, 1)]
    [230.58, 179.55]
    """
    _check("annual_discount_rate", annual_discount_rate, -1.0, math.inf, open_low=True)
    curve = np.asarray(survival, dtype=float)
    _check("survival", curve, 0.0, 1.0)
    if curve.ndim == 0 or not np.allclose(curve[..., 0], 1.0):
        raise InputError("survival must begin with 1: divide by the first number, of all.")
    if (np.diff(curve, axis=-1) > 0).any():
        raise InputError(
            "survival rises: nobody who has gone is here again. Give shares of the first cohort."
        )
    if not 0 <= renewed < curve.shape[-1]:
        raise InputError(f"renewed={renewed}, but the curve knows 0 to {curve.shape[-1] - 1} renewals.")
    if not (curve[..., renewed] > 0).all():
        raise InputError(
            f"Nobody is left after {renewed} renewals: what such a customer is worth is not defined."
        )
    left = curve[..., renewed:] / curve[..., renewed, None]
    amounts = np.broadcast_to(np.subtract(revenue, cost).astype(float), curve.shape)[..., renewed:]
    rate = np.asarray(annual_discount_rate, dtype=float)[..., None]
    return _out((left * amounts * (1 + rate) ** -(years_per_period * np.arange(left.shape[-1]))).sum(axis=-1))


def _kept(retention: Any, annual_discount_rate: Any, years: Any = 1.0) -> np.ndarray:
    """Return what a period leaves of an expected amount: retention × discount."""
    _check("retention", retention, 0.0, 1.0)
    _check("annual_discount_rate", annual_discount_rate, -1.0, math.inf, open_low=True)
    growth = 1 + np.asarray(annual_discount_rate, dtype=float)
    return np.asarray(np.asarray(retention, dtype=float) * growth ** -np.asarray(years, dtype=float))


def _powers(kept: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return Σ_{i<count} kept^i; infinite for ever where kept is at least 1."""
    kept, count = np.broadcast_arrays(kept, count)
    less = np.where(kept == 1, 0.5, kept)
    # A number above 1 has no end, and its power no room, where count is infinite.
    with np.errstate(over="ignore"):
        found = (1 - less**count) / (1 - less)
    return np.where(kept == 1, count, found)


def _check(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> None:
    values = np.asarray(value, dtype=float)
    good = (values > low if open_low else values >= low) & (values <= high)
    if not good.all():
        first = float(values[~good].flat[0])
        ends = f"above {low:g}" if open_low else f"at least {low:g}"
        top = "" if math.isinf(high) else f" and at most {high:g}"
        raise InputError(f"{argument(name, first)} must be {ends}{top}.")


def _whole(name: str, value: Any) -> None:
    values = np.asarray(value, dtype=float)
    bad = ~(values >= 0) | (np.isfinite(values) & (values != np.floor(values)))
    if bad.any():
        raise InputError(f"{argument(name, float(values[bad].flat[0]))} must be a whole number from 0.")


def _out(values: np.ndarray) -> Any:
    return float(values) if np.ndim(values) == 0 else values
