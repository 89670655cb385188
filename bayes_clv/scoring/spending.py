"""Whether spend moves with what the spend families take it not to: frequency, age, order number, calendar.

*Frequency*. A forecast of money is purchases times a spend per purchase that knows how often a customer bought only
through its own amounts. So the customers of one frequency must spend what is forecast for them: of those with repeat
purchases their own mean spend, weighted by their forecast purchases, beside the forecast's; of those without, who
have no amount that the families read, their first orders, times what repeat orders are of first ones. The differences
add up to what the total is off. Their errors take customers for independent.

*Age, order number*. Slopes within customers (``summarize(..., also=("spend_trends",))``), carried from the purchases
that the fit has seen to those that are forecast. Within a customer age and calendar are one, so that a slope by age may
be one of the time; both slopes mostly rise together and are not to be added.

*Calendar*. Mean log spend of each month about the customers' own means: its spread beyond chance, by Pearson's
statistic against the chi-square of as many months less one. What a month does to all customers at once is in no
interval.

Rejected: the correlation of spend and frequency as the only measure (``inference.spend_independence``). It says that
the two go together, not what that does to a total: a customer's own mean has corrected most of it where it buys often.
"""

import math
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import chi2

from bayes_clv.schema import MONTH, TREND, UNSTATED
from bayes_clv.units import days_per

# The least frequency of each class.
CLASSES = (0, 1, 2, 5)
YEAR = 365.25
# Fewer occasions make no month.
LEAST_ORDERS = 20


def spend_check(customers: xr.Dataset, value: xr.Dataset) -> dict[str, Any]:
    """Return how far totals of money are off because spend moves, by what it moves with.

    Parameters
    ----------
    customers : xarray.Dataset
        With spend; ``age``, ``order_number`` and ``calendar`` need ``summarize(..., also=("spend_trends",))``.
    value : xarray.Dataset
        The forecast of ``clv.predict`` for these customers, with money.

    Returns
    -------
    dict
        Ready for JSON, with those parts of which something can be said. Each has ``off``, by how much the forecast
        total of money is too high, relative to what it would be (-.04 is 4 % too low), and ``error``, its standard one.
        ``frequency``: also ``classes``, of each ``least`` number of repeat purchases its ``customers`` and
        ``more``, how much more an order they spend than is forecast for them, and ``moves``, their part of ``off``.
        ``age`` and ``order_number``: also
        ``slope``, the relative change of spend an order with a year, or with twice the order number, and ``ahead``, how
        many of these lie between the purchases seen and those forecast. ``calendar``: ``months``; ``spread``, the
        standard deviation of months beyond chance, relative; ``chance``, the probability of so much if nothing moves;
        and the ``highest`` month with its ``factor``; its ``off`` is 0, since nobody knows the months to come, and
        its ``error`` the spread.

    Examples
    --------
    >>> found = spend_check(customers, value)
    >>> round(found["frequency"]["off"], 2)  # money is forecast 3 % too high
    0.03
    """
    found: dict[str, Any] = {}
    if "monetary_value" not in customers or "spend_mean" not in value:
        return found
    by_frequency = _by_frequency(customers, value)
    if by_frequency is not None:
        found["frequency"] = by_frequency
    if TREND in customers.coords:
        for place, name in enumerate(customers[TREND].to_numpy()):
            trend = _trend(str(name), customers.isel({TREND: place}), customers, value)
            if trend is not None:
                found[str(name)] = trend
        calendar = _calendar(customers)
        if calendar is not None:
            found["calendar"] = calendar
    return found


def _by_frequency(customers: xr.Dataset, value: xr.Dataset) -> dict[str, Any] | None:
    """Return what is forecast beside what is spent, by frequency."""
    x = customers["frequency"].to_numpy()
    bought, forecast = (value[name].to_numpy().astype(float) for name in ("purchases_mean", "spend_mean"))
    own = np.nan_to_num(customers["monetary_value"].to_numpy().astype(float))
    repeat = x > 0
    if repeat.sum() < 2 or not np.isfinite(forecast).all() or forecast.sum() <= 0 or own.sum() <= 0:
        return None
    # What customers would spend over the horizon at the mean of what they spent, and how far each one moves the total.
    spent = np.where(repeat, bought * own, 0.0)
    influence = np.where(repeat, spent - forecast, 0.0)
    new = ~repeat
    if new.any() and "first_spend" in customers:
        first = customers["first_spend"].to_numpy().astype(float)
        ratio = own[repeat].sum() / first[repeat].sum()
        mean, weight = float(first[new].mean()), float(bought[new].sum())
        spent[new] = bought[new] * ratio * mean
        influence[new] = weight * ratio * (first[new] - mean) / new.sum()
        influence[repeat] += weight * mean * (own[repeat] - ratio * first[repeat]) / first[repeat].sum()
    else:
        spent[new] = forecast[new]
    classes, total = [], float(spent.sum())
    for low, high in zip(CLASSES, (*CLASSES[1:], math.inf), strict=True):
        among = (x >= low) & (x < high)
        if among.any() and forecast[among].sum() > 0:
            more = float(spent[among].sum() / forecast[among].sum()) - 1
            moves = float((forecast - spent)[among].sum()) / total
            classes.append({"least": low, "customers": int(among.sum()), "more": more, "moves": moves})
    return {
        "off": float(forecast.sum()) / total - 1,
        "error": float(forecast.sum()) / total**2 * float(np.sqrt((influence**2).sum())),
        "classes": classes,
    }


def _trend(name: str, found: xr.Dataset, customers: xr.Dataset, value: xr.Dataset) -> dict[str, float] | None:
    """Return what a slope within customers does to the total of the purchases to come."""
    slope, error, centre = (float(found[f"trend_{end}"]) for end in ("slope", "error", "centre"))
    bought = value["purchases_mean"].to_numpy().astype(float)
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    if not math.isfinite(slope + error) or bought.sum() <= 0 or unit == UNSTATED:
        return None
    if name == "age":
        later = customers["T"].to_numpy() + float(value.attrs["horizon"]) / 2
        place = later * days_per(unit) / YEAR
    else:
        place = np.log2(customers["frequency"].to_numpy() + 1.5 + bought / 2)
    ahead = float(bought @ place / bought.sum()) - centre
    return {
        "slope": math.expm1(slope),
        "ahead": ahead,
        "off": math.expm1(-slope * ahead),
        "error": math.exp(-slope * ahead) * error * abs(ahead),
    }


def _calendar(customers: xr.Dataset) -> dict[str, Any] | None:
    """Return how far months spread about the customers' own means, beyond chance."""
    orders, deviation, error = (
        customers[f"month_{name}"].to_numpy().astype(float) for name in ("orders", "deviation", "error")
    )
    used = (orders >= LEAST_ORDERS) & (error > 0)
    months = int(used.sum())
    if months < 2:
        return None
    deviation, error = deviation[used], error[used]
    weight = error**-2
    middle = float(weight @ deviation / weight.sum())
    statistic = float((((deviation - middle) / error) ** 2).sum())
    # By moments, as DerSimonian and Laird have it.
    among = float(weight.sum() - (weight**2).sum() / weight.sum())
    spread = math.sqrt(max(0.0, (statistic - (months - 1)) / among))
    highest = int(np.argmax(deviation))
    return {
        "months": months,
        "spread": math.expm1(spread),
        "chance": float(chi2.sf(statistic, months - 1)),
        "highest": str(customers[MONTH].to_numpy()[used][highest].astype("datetime64[M]")),
        "factor": math.exp(float(deviation[highest])),
        "off": 0.0,
        "error": math.expm1(spread),
    }
