"""Order logs of customers whose parameters are known, to check everything downstream against the truth.

It lives here, not in ``customers``, because it needs the families' simulators, and customers and
distributions never meet.
"""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.families.contract import Family, Forecast, SpendLevel, need
from bayes_clv.families.registry import family as find_family
from bayes_clv.schema import InputError
from bayes_clv.units import days_per, duration

if TYPE_CHECKING:
    import pandas as pd


def simulate_orders(
    buying: Mapping[str, float],
    spending: Mapping[str, float] | None = None,
    *,
    customers: int,
    seed: int,
    start: str = "2025-01-01",
    until: str = "2025-12-31",
    acquisition: str | float = "12 weeks",
    time_unit: str = "week",
    family: str = "bg_nbd",
    spending_family: str = "gamma_gamma",
) -> "pd.DataFrame":
    """Return a simulated order log.

    Parameters
    ----------
    buying
        Population parameters by their paper's symbols, for BG/NBD and MBG/NBD ``{"r": .24, "alpha": 4.4, "a": .79,
        "b": 2.4}``, in ``time_unit``.
    spending
        Those of spend per occasion, for Gamma-Gamma ``{"p": 6.25, "q": 3.74, "v": 15.4}``; without them the
        log has no spend.
    customers
        Number of customers.
    seed
        Seed of NumPy's generator.
    start, until
        First day of acquisition and last day of the log, ISO dates.
    acquisition
        Customers are acquired uniformly over this long from ``start``: ``"12 weeks"``, or days.
    time_unit
        Unit of the buying parameters.
    family, spending_family
        Which families the parameters are of.

    Returns
    -------
    pandas.DataFrame
        customer_id, date (datetime64[s], whole days) and, with ``spending``, spend; sorted by date and
        customer. A repeat purchase at an age of a days is dated ceil(a) days after the first, so all are
        later than the first; two on one day are one occasion to ``clv.summarize``, so that a few are lost
        (with CDNOW's rates about 1 in 100). ``.attrs`` holds the truth.

    Raises
    ------
    InputError
        Parameters missing or not positive, or dates that do not leave time to buy.

    Examples
    --------
    >>> log = simulate_orders({"r": 0.24, "alpha": 4.4, "a": 0.8, "b": 2.4}, customers=100, seed=1)
    >>> list(log.columns)
    ['customer_id', 'date']
    """
    import pandas as pd

    record, known = _family(family, buying)
    times = need(record, Forecast).times
    if times is None:
        raise InputError(f"{record.words.title} does not simulate the times of purchases.")
    if isinstance(customers, bool) or not isinstance(customers, int) or customers < 1:
        raise InputError(f"customers must be a whole number of at least 1; it is {customers!r}.")
    unit_days = days_per(time_unit)
    first_day, last_day = _day(start, "start"), _day(until, "until")
    window = round(duration(acquisition, "day"))
    length = (last_day - first_day).days
    if window < 1 or length < window:
        raise InputError(
            f"The log runs {length} days from {start} to {until}, and customers are acquired over the first "
            f"{window}. Acquisition takes at least one day and ends before the log does."
        )
    rng = np.random.default_rng(seed)
    birth = rng.integers(0, window, customers)
    age = (length - birth) / unit_days
    index, repeat_age = times(rng, {"T": age}, known)
    # Ages are below T, a whole number of days; the bounds undo the rounding of the unit's conversion.
    repeat_days = np.clip(np.ceil(repeat_age * unit_days), 1, (length - birth)[index]).astype(np.int64)
    buyer = np.r_[np.arange(customers), index]
    day = np.r_[birth, birth[index] + repeat_days]
    columns = {
        "customer_id": np.array([f"c{i:0{len(str(customers))}d}" for i in range(customers)], dtype=object)[
            buyer
        ],
        "date": (np.datetime64(first_day) + day).astype("datetime64[s]"),
    }
    truth: dict[Any, object] = {name: float(value) for name, value in known.items()}
    truth.update(family=family, time_unit=time_unit, seed=seed)
    if spending is not None:
        payer, spend_known = _family(spending_family, spending)
        money, nothing = need(payer, SpendLevel), np.zeros(customers)
        if money.orders is None:
            level = money.level_draws(rng, {"occasions": nothing, "mean_spend": nothing}, spend_known)
            columns["spend"] = money.spend(
                rng, np.ones(buyer.size), level[buyer], spend_known[money.occasion]
            )
        else:
            by_age = np.lexsort((day, buyer))
            age = (day - birth[buyer])[by_age] / unit_days
            spend = np.empty(buyer.size)
            spend[by_age] = money.orders(rng, buyer[by_age], age, spend_known)
            columns["spend"] = spend
        truth.update({name: float(value) for name, value in spend_known.items()})
        truth["spending_family"] = spending_family
    order = np.lexsort((buyer, day))
    log = pd.DataFrame({name: values[order] for name, values in columns.items()})
    truth.update(customers=customers, start=start, until=until)
    log.attrs = truth
    return log


def _family(name: str, given: Mapping[str, float]) -> tuple[Family, dict[str, np.ndarray]]:
    """Return the family and its parameters, checked."""
    family = find_family(name)
    wrong = sorted(set(family.parameters) ^ set(given))
    if wrong:
        raise InputError(
            f"{family.name} has the parameters {', '.join(family.parameters)}; given were {', '.join(given)}."
        )
    known = {name: float(given[name]) for name in family.parameters}
    bad = [name for name, value in known.items() if not (np.isfinite(value) and value > 0)]
    if bad:
        raise InputError(f"{family.name}'s {bad[0]} must be positive and finite; it is {known[bad[0]]!r}.")
    return family, {name: np.asarray(value) for name, value in known.items()}


def _day(text: str, name: str) -> dt.date:
    try:
        return dt.date.fromisoformat(str(text))
    except ValueError as error:
        raise InputError(f"{name} must be a date like '2025-12-31'; it is {text!r}.") from error
