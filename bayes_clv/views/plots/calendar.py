"""The base's rate over calendar time: what was learned of the past, and what is drawn of the future."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.calendar import PERIOD, read_calendar
from bayes_clv.language import say
from bayes_clv.schema import QUANTILES, InputError, quantiles
from bayes_clv.units import duration
from bayes_clv.views import style


def calendar_bands(buying: xr.DataTree, horizon: str | float | None = None) -> xr.Dataset:
    """Return quantiles of the rate of purchase of all customers over its mean, period by period.

    Or of their spend, or of how readily contracts are left, whatever the calendar is of.

    Parameters
    ----------
    buying : xarray.DataTree
        A buying posterior with a calendar (``fit(..., calendar=clv.inference.Calendar())``), or one of spend, where it
        is the spend per purchase.
    horizon
        How far into the future, as in ``clv.predict``; by default as long as the past.

    Returns
    -------
    xarray.Dataset
        ``rate`` (quantile, calendar_period), without unit, expected level; the coordinate is the first day of the
        period, or its number where no date is known and of contracts, ``attrs["known"]`` the number of past periods,
        and ``attrs["what"]`` says what moves.

    Raises
    ------
    InputError
        A posterior without a calendar; as in ``clv.predict``.
    """
    drawn = read_calendar(buying)
    if drawn is None:
        raise InputError(
            "This posterior has no calendar. Fit with calendar=clv.inference.Calendar(), of customers with "
            "summarize(..., also=('periods',))."
        )
    known = drawn.calendar
    length = (
        known.size * known.width if horizon is None else duration(horizon, str(buying.attrs["time_unit"]))
    )
    count = known.size + max(1, round(length / known.width))
    rates = np.concatenate([np.exp(drawn.log_rate), drawn.ahead(length)], axis=1)[:, :count]
    when: Any = np.arange(count) - known.size
    if known.until and not known.of_leaving:
        days = (1 + when * known.days).astype("timedelta64[D]")
        when = (np.datetime64(known.until) + days).astype("datetime64[s]")
    return xr.Dataset(
        {"rate": (("quantile", PERIOD), quantiles(rates, QUANTILES, axis=0))},
        coords={"quantile": list(QUANTILES), PERIOD: when},
        attrs={"known": known.size, "level": "expected", "what": known.what},
    )


def plot_calendar(buying: xr.DataTree, horizon: str | float | None = None) -> style.Drawing:
    """Plot the rate of purchase, or the spend, of all customers over calendar time, over its mean, with its bands.

    They hold 50 % and 90 %.

    Parameters
    ----------
    buying, horizon
        As in ``calendar_bands``.

    Returns
    -------
    matplotlib.figure.Figure
        One panel; the future is shaded. Expected level.
    """
    bands = calendar_bands(buying, horizon)
    when, known = bands[PERIOD].to_numpy(), int(bands.attrs["known"])
    what = str(bands.attrs["what"])
    with style.styled():
        figure = style.drawing(3.0)
        axes = figure.subplots()
        q05, q25, q50, q75, q95 = bands["rate"].to_numpy()
        band: Any = {"linewidth": 0, "step": "post"}
        axes.fill_between(when, q05, q95, color=style.SKY, alpha=0.3, label=say("90 % band"), **band)
        axes.fill_between(when, q25, q75, color=style.BLUE, alpha=0.35, label=say("50 % band"), **band)
        axes.step(when, q50, where="post", color=style.BLUE, linewidth=1.2, label=say("median"))
        axes.axhline(1.0, color=style.MUTED, linewidth=0.8)
        axes.axvspan(when[known], when[-1], color=style.MUTED, alpha=0.08, linewidth=0)
        axes.set_yscale("log")
        # Room for the legend.
        axes.set_ylim(q05.min() / 1.1, 1.6 * q95.max())
        ticks = [
            each for each in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if q05.min() <= each <= q95.max()
        ]
        axes.set_yticks(ticks, [f"{each:g}" for each in ticks])
        axes.minorticks_off()
        of_spend = what == say("spend per purchase of all customers")
        axes.set_ylabel(say("spend / its mean") if of_spend else say("rate / its mean"))
        if np.issubdtype(when.dtype, np.datetime64):
            style.dates(axes.xaxis)
        else:
            axes.set_xlabel(say("period from the end of observation"))
        axes.legend(loc="upper left", ncols=3)
        note = say(
            "{what} by period; the shaded future is drawn from the same process",
            what=f"{what[0].upper()}{what[1:]}",
        )
        style.heading(axes, say("What happens to everybody at once"), note)
    return figure
