"""The alarm list over time: who has been silent since when, when the alarm was or will be, and what is at risk."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError
from bayes_clv.units import days_per, in_plural
from bayes_clv.views import numbers, style

type Array = np.ndarray


def listed(alarms: xr.Dataset, most: int) -> xr.Dataset:
    """Return the alarms to act on, the most urgent first.

    By value at risk where it is known, largest first; else those nearest to now, earliest first. Customers without an
    alarm in sight are left out.
    """
    missing = [name for name in ("silence", "alarm_in", "alarmed", "probability_alive") if name not in alarms]
    if missing:
        raise InputError(f"There is no {missing[0]} here. Give the result of clv.churn_alarms.")
    if most < 1:
        raise InputError(f"most={most} must be at least 1.")
    some = alarms.isel({CUSTOMER: np.flatnonzero(np.isfinite(alarms["alarm_in"].to_numpy()))})
    ids, wait = some[CUSTOMER].to_numpy().astype(str), some["alarm_in"].to_numpy()
    if "value_at_risk" in some:
        risk = np.nan_to_num(some["value_at_risk"].to_numpy(), nan=-np.inf)
        return some.isel({CUSTOMER: np.lexsort((ids, -risk))[:most]})
    near = np.lexsort((ids, np.abs(wait)))[:most]
    return some.isel({CUSTOMER: near[np.lexsort((ids[near], wait[near]))]})


def chance_of(alarms: xr.Dataset) -> str:
    """Return what falls with silence: P(alive), or P(awake) where customers may be asleep."""
    return f"P({str(alarms.attrs.get('of', 'probability_alive')).removeprefix('probability_')})"


def plot_alarms(alarms: xr.Dataset, most: int = 30) -> style.Drawing:
    """Plot the alarm list over time: last purchase, silence so far, alarm.

    Parameters
    ----------
    alarms : xarray.Dataset
        The result of ``clv.churn_alarms``; with ``value`` given there, sorted by the value at risk, else the alarms
        nearest to now.
    most : int
        So many customers.

    Returns
    -------
    matplotlib.figure.Figure
        A row a customer: its last purchase (tick), the silence so far (line up to now), and the alarm: a filled orange
        dot where it has passed, an open blue one where it is to come, an arrow where it comes later than shown. Over
        dates where the customers have them, else in time units from now. At the right the value at risk, where it is
        known. Level: expected.

    Raises
    ------
    InputError
        When it is no result of ``churn_alarms``, or nobody has an alarm in sight.

    Examples
    --------
    >>> figure = plot_alarms(clv.churn_alarms(buying, customers, value=value), most=20)
    """
    found = listed(alarms, most)
    size, unit = found.sizes[CUSTOMER], str(alarms.attrs.get("time_unit", UNSTATED))
    if not size:
        raise InputError(
            f"None of {alarms.sizes[CUSTOMER]:,} customers has an alarm in sight: {chance_of(alarms)} does not fall to "
            f"{alarms.attrs.get('threshold', 0.5):g} for any of them. Raise the threshold, or look further ahead "
            "(churn_alarms(..., longest=...))."
        )
    wait, silence = found["alarm_in"].to_numpy(), found["silence"].to_numpy()
    # To the right at least a fifth of the figure, and not the few alarms that are years away.
    end = max(float(np.quantile(np.maximum(wait, 0), 0.9)), 0.25 * float(silence.max()), 1e-9)
    now = _now(found, unit)
    rows = np.arange(size)
    with style.styled():
        figure = style.drawing(1.6 + 0.19 * size)
        axes = figure.subplots()
        _draw_rows(axes, rows, -silence, wait, end, lambda at: _placed(at, now, unit))
        zero = _placed(np.zeros(1), now, unit)[0]
        axes.axvline(zero, color=style.INK, linewidth=1.2)
        left, right = _placed(np.array([-float(silence.max()) * 1.03, end * 1.08]), now, unit)
        axes.set_xlim(left, right)
        axes.set_yticks(rows, [style.short(str(each)) for each in found[CUSTOMER].to_numpy()], fontsize=7.5)
        axes.set_ylim(size - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_ylabel(say("customer"))
        if now is None:
            axes.set_xlabel(
                say("time from now ({units})", units=say(in_plural(unit)))
                if unit != UNSTATED
                else say("time from now (data's time unit)")
            )
        else:
            style.dates(axes.xaxis)
            axes.set_xlabel(say("date; the line is now, {day}", day=now.astype("datetime64[D]")))
        if "value_at_risk" in found:
            _write_risk(axes, rows, found)
        figure.legend(loc="outside lower center", ncols=3, fontsize=8.5)
        style.heading(axes, _title(alarms, found), _note(alarms, found))
    return figure


def _draw_rows(axes: Any, rows: Array, bought: Array, wait: Array, end: float, place: Any) -> None:
    passed, later = wait <= 0, wait > end
    soon = ~passed & ~later
    nothing = np.zeros(rows.size)
    silence, last = say("silence so far"), say("last purchase")
    axes.hlines(rows, place(bought), place(nothing), color=style.SKY, linewidth=2.4, label=silence)
    axes.plot(place(bought), rows, "|", color=style.INK, markersize=7, markeredgewidth=1.4, label=last)
    ahead = np.minimum(wait, end)
    axes.hlines(
        rows[~passed],
        place(nothing)[~passed],
        place(ahead)[~passed],
        color=style.MUTED,
        linewidth=0.9,
        linestyle=":",
    )
    for which, marker, face, colour, label in (
        (passed, "o", style.ORANGE, style.ORANGE, say("alarm passed")),
        (soon, "o", "white", style.BLUE, say("alarm to come")),
        (later, ">", "white", style.BLUE, say("later than shown")),
    ):
        if which.any():
            axes.plot(
                place(ahead)[which],
                rows[which],
                marker,
                color=colour,
                markerfacecolor=face,
                markersize=5.5,
                markeredgewidth=1.4,
                label=label,
                zorder=3,
            )


def _now(found: xr.Dataset, unit: str) -> np.datetime64 | None:
    """Return the end of observation; None where alarms carry no dates.

    An alarm's date is the first whole day that is late enough, so that going back by ``alarm_in`` lands on the end of
    observation or less than a day after it.
    """
    if "alarm_date" not in found or unit == UNSTATED:
        return None
    dates = found["alarm_date"].to_numpy().astype("datetime64[D]").astype(float)
    back = found["alarm_in"].to_numpy() * days_per(unit)
    return np.datetime64(0, "D") + np.timedelta64(int(np.floor(np.median(dates - back) + 1e-3)), "D")


def _placed(at: Array, now: np.datetime64 | None, unit: str) -> Array:
    """Return times from now as positions on the axis: dates, or as they are."""
    if now is None:
        return at
    seconds = np.round(at * days_per(unit) * 86_400).astype("timedelta64[s]")
    dates: Array = now.astype("datetime64[s]") + seconds
    return dates


def _write_risk(axes: Any, rows: Array, found: xr.Dataset) -> None:
    right = axes.twinx()
    right.set_ylim(axes.get_ylim())
    risks = [numbers.number(each) for each in found["value_at_risk"].to_numpy()]
    right.set_yticks(rows, risks, fontsize=7.5)
    right.tick_params(axis="y", length=0)
    right.grid(False)
    right.spines[:].set_visible(False)
    right.set_ylabel(say("{label} ({unit})", label=say("value at risk"), unit=numbers.money_unit(found)))


def _title(alarms: xr.Dataset, found: xr.Dataset) -> str:
    if "value_at_risk" in found:
        return say("The {count} customers with the most value at risk", count=found.sizes[CUSTOMER])
    return say("The {count} alarms nearest to now", count=found.sizes[CUSTOMER])


def _note(alarms: xr.Dataset, found: xr.Dataset) -> str:
    return say(
        "alarm: {chance} falls to {threshold:g}; passed for {raised:,} of {size:,}; expected level, no interval",
        chance=chance_of(alarms),
        threshold=float(alarms.attrs.get("threshold", 0.5)),
        raised=int(alarms["alarmed"].sum()),
        size=alarms.sizes[CUSTOMER],
    )
