"""Churn warnings: after how long a silence is each customer more likely gone than not, and whose silence costs most.

The same silence means different things: two weeks without an order are nothing for one customer and a farewell for
another. P(alive), averaged over posterior draws, falls as the silence goes on; the *alarm* is the silence at which it
reaches a threshold. It depends on the history up to the last purchase alone, so that it is known on the day of that
purchase, and with it the date on which to look again.

Where customers may be asleep (a fit with ``returns=True``) it is P(awake) that falls with silence, and the alarm is
of it: everybody who is alive may be back, so that P(alive) would warn of nobody. Whether one who is no more awake
sleeps or is gone is then said beside it, with the probability of waking; whose waking is worth most says ``win_back``.

Where everybody buys at the pace of a calendar, silence counts by it: weeks in which nobody buys alarm less. What is
beyond the end of observation is averaged over what the calendar may do.

Level: expected. P(alive) is the probability that a customer is alive, itself an average over the customer's own rates.
"""

import math

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.families.contract import Forecast
from bayes_clv.predictions.averages import STATES, WAKING
from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.inputs import refuse_other_end, shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import over_tiles, rows_of
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError, argument, describe, in_currency
from bayes_clv.units import days_per, duration

# Draws behind an alarm: the mean of 200 has a standard error of 7 % of the posterior standard deviation of P(alive).
ALARM_DRAWS = 200
# Halvings of the interval: 40 leave it 1e-12 of its length.
HALVINGS = 40
# P(awake) costs some 10 microseconds a draw: the mean of 50 is 14 % of its posterior standard deviation off. It falls
# and rises again, as those silent so long are the slowest buyers, awake once more: so many silences are looked at, from
# a thousandth of the longest on, before the first stretch within which it falls below the threshold is halved.
OF_SLEEPERS = (50, 16)
SILENCES = 16


def churn_alarms(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    threshold: float = 0.5,
    value: xr.Dataset | None = None,
    longest: str | float | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return after which silence each customer is to be warned of, on which date, and what is at risk.

    Parameters
    ----------
    buying, customers
        A buying posterior and customers in its time unit.
    threshold
        The alarm is where P(alive) falls to this probability; P(awake) where customers may be asleep.
    value
        Of ``clv.predict`` for these customers: adds ``value_at_risk``, and ``probability_waking`` within its horizon.
    longest
        The longest silence looked at: ``"5 years"``, or a number of time units; by default ten times the longest age. A
        calendar's events are none beyond what was named.

    Returns
    -------
    xarray.Dataset
        Over ``customer``:

        - ``silence``: time since the last purchase; ``probability_alive`` now;
        - ``alarm_silence``: the silence at which P(alive) reaches the threshold; infinite where it does not within
          ``longest``, as for customers without a repeat purchase in BG/NBD, who never leave there. P(awake) falls and
          rises again: it is then where it first reaches it, at most the silence now of who is below it, and infinite
          where it is above it again;
        - ``alarm_in``: time from the end of observation to the alarm, negative where it has passed; ``alarmed``;
        - ``alarm_date``, where the customers carry dates (NaT where there is no alarm within ``longest``);
        - ``value_at_risk``: (1 - P(alive)) × mean residual value. The residual value counts that the customer may have
          left, so it is what can still be lost of what is still expected;
        - of a fit with ``returns=True`` ``probability_awake``, ``probability_asleep`` and ``probability_gone`` now,
          which add up to 1, and with ``value`` ``probability_waking``, of being asleep and awake again within its
          horizon.
          Alarm and value at risk are then of P(awake) in the place of P(alive); ``attrs["of"]`` names it.

    Raises
    ------
    InputError
        As in ``clv.predict``; a threshold that is no probability; a ``value`` of other customers; a calendar under
        ``pareto_nbd``, whose lifetime does not go by it.

    Examples
    --------
    >>> warned = churn_alarms(buying, customers, threshold=0.5, value=value)
    >>> int(warned["alarmed"].sum())
    392
    """
    check_customers(customers)
    if isinstance(threshold, bool) or not 0 < threshold < 1:
        raise InputError(
            f"{argument('threshold', threshold)} must be a probability between 0 and 1, such as 0.5."
        )
    time_unit = shared_time_unit(buying, customers)
    every = parameters(buying, "buying", calendar=True)
    refuse_other_end(every, customers)
    dear = every.forecast.states is not None or _is_integral(every)
    few, halvings = OF_SLEEPERS if dear else (ALARM_DRAWS, HALVINGS)
    posterior = every.thin(few).of(customers).until(0.0)
    columns = purchase_history(customers, posterior.family)
    end = 10 * float(columns["T"].max()) if longest is None else duration(longest, time_unit)
    now = columns["T"] - columns["recency"]
    forecast = posterior.forecast
    alive_now = distinct_histories(columns | posterior.columns)
    # Without a calendar the alarm is known on the day of the last purchase, whatever came after it.
    until = (
        distinct_histories({**columns, "T": columns["recency"]} | posterior.columns)
        if forecast.seen_to is None
        else alive_now
    )
    ahead = _horizon_of(value) if value is not None else math.nan

    def here(seen: Forecast, history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> np.ndarray:
        return seen.alive(history, values) if seen.states is None else seen.states(history, values)[0]

    def chances(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        if forecast.states is None or forecast.waking is None:
            return (_mean(forecast.alive(history, values), history),)
        awake, asleep, gone = forecast.states(history, values)
        waking = asleep * forecast.waking(ahead, history, values)
        return tuple(_mean(each, history) for each in (1 - gone, awake, asleep, gone, waking))

    def alarm(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        low, high = np.zeros((rows_of(history), 1)), np.full((rows_of(history), 1), end)

        def after(silence: np.ndarray) -> np.ndarray:
            if forecast.seen_to is not None:
                seen = forecast.seen_to(silence - (history["T"] - history["recency"]))
                return _mean(here(seen, history, values), history)[:, None]
            whole = history | {"T": history["recency"] + silence}
            return _mean(here(forecast, whole, values), whole)[:, None]

        if forecast.states is None:
            never = after(high) > threshold
        else:
            silences = end * np.geomspace(1e-3, 1.0, SILENCES)
            below = np.stack([after(np.full_like(high, each)) <= threshold for each in silences])
            never, first = ~below.any(axis=0), below.argmax(axis=0)
            low, high = np.r_[0.0, silences][first], silences[first]
        for _ in range(halvings):
            middle = (low + high) / 2
            above = after(middle) > threshold
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (np.where(never, np.inf, high)[:, 0],)

    silence = until.spread(over_tiles(until, posterior, alarm, threads=threads)[0], of_rows=True)
    found_now = [
        alive_now.spread(each, of_rows=True)
        for each in over_tiles(alive_now, posterior, chances, threads=threads)
    ]
    names = ("probability_alive", *STATES, WAKING) if forecast.states is not None else ("probability_alive",)
    now_here = dict(zip(names, found_now, strict=True))
    if forecast.states is not None:
        # Alarmed is who is below it now; of the others, who was so once and is above it again has no alarm to come.
        below = now_here["probability_awake"] <= threshold
        silence = np.where(below, np.minimum(silence, now), np.where(silence <= now, np.inf, silence))
    if value is None:
        now_here.pop(WAKING, None)
    found = xr.Dataset(
        {
            "silence": (CUSTOMER, now),
            **{name: (CUSTOMER, each) for name, each in now_here.items()},
            "alarm_silence": (CUSTOMER, silence),
            "alarm_in": (CUSTOMER, silence - now),
            "alarmed": (CUSTOMER, silence <= now),
        },
        coords={CUSTOMER: customers[CUSTOMER].values},
        attrs={
            "result": "alarms",
            "time_unit": time_unit,
            "threshold": float(threshold),
            "of": "probability_alive" if forecast.states is None else "probability_awake",
            "level": "expected",
        },
    )
    if WAKING in found:
        found.attrs["horizon"] = ahead
    if "first_order" in customers and time_unit != UNSTATED:
        found["alarm_date"] = (CUSTOMER, _dates(customers, columns["recency"] + silence, time_unit))
    if value is not None:
        found["value_at_risk"] = _at_risk(found, value)
        found.attrs |= in_currency(value.attrs)
    return describe(found)


def _is_integral(posterior: Parameters) -> bool:
    """Return whether each P(alive) is an integral over the periods of a calendar, as of Pareto/NBD."""
    family = posterior.family
    return posterior.calendar is not None and family.paced is not None and family.over is None


def _mean(chances: np.ndarray, history: dict[str, np.ndarray]) -> np.ndarray:
    """Return a probability of each row, averaged over draws."""
    mean: np.ndarray = np.broadcast_to(chances, (rows_of(history), chances.shape[-1])).mean(axis=1)
    return mean


def _horizon_of(value: xr.Dataset) -> float:
    """Return the horizon of a forecast in time units; NaN of what is none, which ``_at_risk`` refuses."""
    return float(value.attrs.get("horizon", math.nan))


def _dates(customers: xr.Dataset, age: np.ndarray, time_unit: str) -> np.ndarray:
    """Return the first day on which the customer has at least this age; NaT for an infinite one."""
    days = np.ceil(np.where(np.isfinite(age), age, 0.0) * days_per(time_unit) - 1e-6).astype("timedelta64[D]")
    dates = customers["first_order"].values.astype("datetime64[D]") + days
    return np.where(np.isfinite(age), dates, np.datetime64("NaT", "D")).astype("datetime64[s]")


def _at_risk(found: xr.Dataset, value: xr.Dataset) -> xr.DataArray:
    if "value_mean" not in value or not set(found[CUSTOMER].values) <= set(value[CUSTOMER].values):
        raise InputError(
            "value must be what clv.predict returned for these customers, with value_mean of each of them."
        )
    mean = value["value_mean"].sel({CUSTOMER: found[CUSTOMER]})
    return ((1 - found[str(found.attrs["of"])]) * mean).drop_attrs()
