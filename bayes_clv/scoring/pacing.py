"""Whether the rate of all customers moves: their purchases week by week beside what customers of one rate would make.

A family whose customers' rates do not move says how many repeat purchases all of them make in a week: new customers
of each day, each with the family's expected purchases at its age. What was made spreads about that by chance, nearly as
Poisson's law. Pearson's statistic over its number of weeks, the *dispersion*, is then about 1; CDNOW's is 3.7. Where
it is larger than chance allows, totals of such a family are too sure: a calendar is needed (``inference.calendar``).

Rejected: rolling origins' scores of totals, the judge of families (``choosing``): an origin is one total, and a base
has few of them, while it has a count for each week.
"""

import numpy as np
import xarray as xr
from scipy.stats import chi2

from bayes_clv.customers.periods import day_purchases
from bayes_clv.families.contract import new_customer
from bayes_clv.inference.fitting import fit
from bayes_clv.predictions.parameters import parameters
from bayes_clv.schema import UNSTATED, InputError
from bayes_clv.units import days_per

PERIOD_DAYS = 7
# Fewer weeks tell no pace from chance; a calendar of little more than chance widens intervals by little more than it.
LEAST_PERIODS, LEAST_DISPERSION, CHANCE = 13, 1.5, 1e-3


def pace(family: str, customers: xr.Dataset) -> dict[str, float]:
    """Return how far the weekly purchases of all customers spread about a family's, beyond chance.

    Parameters
    ----------
    family : str
        A family of purchases whose rates do not move; it is fitted by its mode.
    customers : xarray.Dataset
        With ``summarize(..., also=("periods",))`` or purchase times, and a time unit.

    Returns
    -------
    dict
        ``periods``, the weeks with expected purchases; ``dispersion``, the mean of (made - expected)² / expected over
        them; ``chance``, the probability of so large a one if nothing moves (chi-square); ``moves``, 1 where that is
        below .001, the dispersion is above 1.5 and there are 13 weeks or more, else 0.

    Raises
    ------
    InputError
        As in ``clv.fit``; customers without the days of their purchases or a time unit.

    Examples
    --------
    >>> daily = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("periods",))
    >>> pace("bg_nbd", daily)["moves"]
    1.0
    """
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    if unit == UNSTATED:
        raise InputError("The pace of customers needs their time unit. Make them with clv.summarize.")
    unit_days = days_per(unit)
    made = day_purchases(customers, unit_days)
    posterior = parameters(fit(family, customers, method="mode", seed=1), "buying")
    ages = np.rint(customers["T"].to_numpy() * unit_days).astype(np.int64)
    oldest = int(ages.max())
    # Expected repeat purchases of a new customer to each age, in days, and so on each day of life.
    forecast = posterior.forecast
    to_age = forecast.purchases(
        np.arange(oldest + 1) / unit_days, new_customer(forecast.history), posterior.values
    )
    on_day = np.diff(np.reshape(to_age, (oldest + 1, -1)).mean(axis=1), prepend=0.0)
    came = np.bincount(oldest - ages, minlength=oldest + 1).astype(float)
    expected = np.convolve(came, on_day)[: oldest + 1]
    weeks = max(1, oldest // PERIOD_DAYS)
    made, expected = (
        each[-weeks * PERIOD_DAYS :].reshape(weeks, -1).sum(axis=1) for each in (made, expected)
    )
    seen = expected > 1.0
    periods = int(seen.sum())
    if periods == 0:
        return {"periods": 0.0, "dispersion": np.nan, "chance": 1.0, "moves": 0.0}
    statistic = float((((made - expected) ** 2)[seen] / expected[seen]).sum())
    dispersion, chance = statistic / periods, float(chi2.sf(statistic, periods))
    moves = periods >= LEAST_PERIODS and dispersion > LEAST_DISPERSION and chance < CHANCE
    return {"periods": float(periods), "dispersion": dispersion, "chance": chance, "moves": float(moves)}
