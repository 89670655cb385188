"""Simple rules that a model must beat: what a manager would do without one, from the calibration alone.

Wübben & von Wangenheim (2008), Instant Customer Base Analysis: Managerial Heuristics Often "Get It Right",
found such rules as good as the models for single customers. Each rule is a short function of the customers;
:func:`baseline` takes everything of the holdout away before it calls one, so that no rule can look ahead.

A rule gives a mean of purchases per customer; where it is scored as a distribution, that is a Poisson
around the mean, which is the most a rate alone can say. A mean of 0 then says that a purchase is impossible,
and its log score is infinite once somebody does buy. Rejected: softening the rules until that cannot happen;
a past rate shrunk towards the base's mean is no longer a rule but an NBD model without dropout.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, PERIOD, InputError
from bayes_clv.units import days_per, duration, in_plural

# Of the gaps between purchases, the share that the default hiatus holds.
HIATUS_SHARE = 0.9


@dataclass(frozen=True)
class Baseline:
    """What a rule says of each customer over the horizon; None where it says nothing.

    ``purchases`` and ``spend`` are means, ``rank_purchases`` and ``rank_spend`` are what customers are
    ranked by (higher is better), all in the customers' order. ``note`` says how a threshold was chosen.
    """

    rank_purchases: np.ndarray
    purchases: np.ndarray | None = None
    spend: np.ndarray | None = None
    rank_spend: np.ndarray | None = None
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """What a rule is told: the horizon and, for the recency rule, its hiatus, both in time units."""

    horizon: float
    hiatus: float | None = None


def _frequency(customers: xr.Dataset) -> np.ndarray:
    return np.asarray(customers["frequency"].values, dtype=float)


def past_rate(customers: xr.Dataset) -> np.ndarray:
    """Return repeat purchases per time unit so far, frequency / T; 0 for a customer of age 0."""
    age = np.asarray(customers["T"].values, dtype=float)
    rate: np.ndarray = np.divide(_frequency(customers), age, out=np.zeros_like(age), where=age > 0)
    return rate


def mean_spend(customers: xr.Dataset) -> np.ndarray | None:
    """Return each customer's mean spend of an occasion so far, or None without amounts.

    All occasions where the customers have historical_spend, else those of repeat purchases, and for a
    customer without these the mean over the others.
    """
    if "historical_spend" in customers:
        spent: np.ndarray = np.asarray(customers["historical_spend"].values, dtype=float)
        paid: np.ndarray = spent / (1 + _frequency(customers))
        return paid
    if "monetary_value" not in customers:
        return None
    mean = np.asarray(customers["monetary_value"].values, dtype=float)
    known = np.isfinite(mean)
    return np.where(known, mean, mean[known].mean()) if known.any() else None


def default_hiatus(customers: xr.Dataset) -> float:
    """Return the silence after which the recency rule gives a customer up, in time units.

    The gap between purchases that HIATUS_SHARE of all gaps stay within, each gap taken as its customer's
    mean gap, recency / frequency: the Dataset has no single dates. It knows no unit, and no holdout.
    """
    frequency = _frequency(customers)
    repeated = frequency > 0
    if not repeated.any():
        raise InputError("no customer has a repeat purchase, so there is no gap to take the hiatus from")
    gap = np.asarray(customers["recency"].values, dtype=float)[repeated] / frequency[repeated]
    order = np.argsort(gap)
    share = np.cumsum(frequency[repeated][order]) / frequency.sum()
    return float(gap[order][np.searchsorted(share, HIATUS_SHARE - 1e-12)])


def _with_spend(customers: xr.Dataset, purchases: np.ndarray, note: str) -> Baseline:
    """Return the baseline of these purchases, paid with each customer's mean spend so far."""
    mean = mean_spend(customers)
    spend = None if mean is None else purchases * mean
    return Baseline(purchases, purchases, spend, spend, note)


def _repeat_the_past(customers: xr.Dataset, setting: Setting) -> Baseline:
    return _with_spend(customers, setting.horizon * past_rate(customers), "frequency / T × horizon")


def _recency_rule(customers: xr.Dataset, setting: Setting) -> Baseline:
    hiatus = default_hiatus(customers) if setting.hiatus is None else setting.hiatus
    silence = np.asarray((customers["T"] - customers["recency"]).values, dtype=float)
    purchases = np.where(silence <= hiatus, setting.horizon * past_rate(customers), 0.0)
    chosen = f"{HIATUS_SHARE:.0%} of calibration gaps are shorter" if setting.hiatus is None else "as given"
    unit = str(customers.attrs.get("time_unit"))
    return _with_spend(
        customers, purchases, f"active after at most {hiatus:.3g} {in_plural(unit)} of silence ({chosen})"
    )


def _period_mean(customers: xr.Dataset, setting: Setting) -> Baseline:
    needed = [name for name in ("period_purchases", "period_start", "first_order") if name not in customers]
    if needed:
        raise InputError(
            f"the customers lack {', '.join(needed)}, which clv.summarize makes from the order log"
        )
    width = int(customers.attrs["period_days"])
    unit_days = days_per(str(customers.attrs["time_unit"]))
    periods = customers.sizes[PERIOD]
    window = min(periods, max(1, round(setting.horizon * unit_days / width)))
    if periods == 0:
        raise InputError("the calibration holds no whole period")
    first_order = customers["first_order"].values
    start = customers["period_start"].values[periods - window]
    end = customers["period_start"].values[-1] + width * np.timedelta64(1, "D")
    # A customer can repeat from the day after the first order on.
    days = (end - first_order) / np.timedelta64(1, "D") - 1
    at_risk = np.clip(days, 0, (end - start) / np.timedelta64(1, "D")).sum() / unit_days
    if at_risk == 0:
        raise InputError("nobody was a customer before the last day of the calibration periods")
    bought = int(customers["period_purchases"].values[-window:].sum())
    purchases = np.full(customers.sizes[CUSTOMER], bought / at_risk * setting.horizon)
    return _with_spend(
        customers, purchases, f"{bought:,} purchases of all customers in the last {window} periods"
    )


def _pareto_rule(customers: xr.Dataset, setting: Setting) -> Baseline:
    frequency = _frequency(customers)
    if "historical_spend" not in customers:
        return Baseline(frequency, note="ranks only: by frequency")
    spent = np.asarray(customers["historical_spend"].values, dtype=float)
    return Baseline(frequency, rank_spend=spent, note="ranks only: by frequency, for money by spend so far")


@dataclass(frozen=True)
class Rule:
    """A rule: what it is called and the function that applies it."""

    long_name: str
    function: Callable[[xr.Dataset, Setting], Baseline]


BASELINES = {
    "past_rate": Rule("repeat the past rate", _repeat_the_past),
    "recency_rule": Rule("past rate, none after a long silence", _recency_rule),
    "period_mean": Rule("the base's mean rate of the last periods for everybody", _period_mean),
    "pareto_rule": Rule("the best so far stay the best", _pareto_rule),
}


def baseline(
    name: str, customers: xr.Dataset, *, horizon: str | float, hiatus: str | float | None = None
) -> Baseline:
    """Return what a simple rule forecasts for each customer, from calibration data alone.

    Parameters
    ----------
    name
        ``past_rate``: frequency / T × horizon. ``recency_rule``: the same for customers whose silence
        T - recency is at most the hiatus, 0 for others (Wübben & von Wangenheim 2008). ``period_mean``: for
        everybody the purchases per customer and time of the last calibration periods, as many as the horizon
        is long or all there are. ``pareto_rule``: ranks only, by frequency and, for money, by historical spend.
    customers
        The result of ``clv.summarize``; whatever it holds of a holdout is not looked at.
    horizon
        ``"39 weeks"``, or a bare number in the data's time unit.
    hiatus
        Silence after which ``recency_rule`` gives a customer up; the default is :func:`default_hiatus`.

    Returns
    -------
    Baseline
        Means of purchases and of spend (purchases × mean spend so far), and what customers are ranked by.

    Raises
    ------
    InputError
        An unknown rule, or customers that lack what the rule needs.

    Examples
    --------
    >>> forecast = baseline("past_rate", customers, horizon="39 weeks").purchases
    """
    if name not in BASELINES:
        raise InputError(f"Baseline {name!r} is not known. Use any of {', '.join(BASELINES)}.")
    unit = str(customers.attrs.get("time_unit"))
    setting = Setting(duration(horizon, unit), None if hiatus is None else duration(hiatus, unit))
    try:
        return BASELINES[name].function(_calibration(customers), setting)
    except InputError as error:
        raise InputError(f"The baseline {name} cannot be computed: {error.text.rstrip('.')}.") from error


def _calibration(customers: xr.Dataset) -> xr.Dataset:
    """Return the customers without anything of the holdout."""
    known = customers.drop_vars([name for name in customers.data_vars if str(name).startswith("holdout_")])
    if PERIOD in known.dims:
        known = known.isel({PERIOD: slice(int(known.attrs["calibration_periods"]))})
    # At opportunities age is their number.
    return known.assign(T=known["opportunities"]) if "T" not in known else known
