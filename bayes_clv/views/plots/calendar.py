"""The base's rate over calendar time: what was learned of the past, and what is drawn of the future."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.calendar import PERIOD, read_calendar
from bayes_clv.inference.pooled import GROUP, read_groups
from bayes_clv.language import say
from bayes_clv.schema import QUANTILES, InputError, quantiles
from bayes_clv.units import duration
from bayes_clv.views import style

# Groups that have a line of their own, at most: the colours that can be told apart beside that of all.
MOST_LINES = 5


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
        ``rate`` (quantile, calendar_period), without unit, expected level, and where the calendar differs by group
        ``group_rate`` (quantile, calendar_group, calendar_period), over the mean of all; the coordinate is the first
        day of the period, or its number where no date is known and of contracts, ``attrs["known"]`` the number of
        past periods, and ``attrs["what"]`` says what moves.

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
    found = xr.Dataset(
        {"rate": (("quantile", PERIOD), quantiles(rates, QUANTILES, axis=0))},
        coords={"quantile": list(QUANTILES), PERIOD: when},
        attrs={"known": known.size, "level": "expected", "what": known.what},
    )
    groups = read_groups(buying)
    if groups is None:
        return found
    past = np.exp(drawn.log_rate[:, None] + groups.own)
    each = np.concatenate([past, groups.ahead(drawn, length)], axis=2)[:, :, :count]
    found["group_rate"] = (("quantile", GROUP, PERIOD), quantiles(each, QUANTILES, axis=0))
    return found.assign_coords({GROUP: list(groups.groups.labels)}).assign_attrs(by=groups.groups.by)


def plot_calendar(buying: xr.DataTree, horizon: str | float | None = None) -> style.Drawing:
    """Plot the rate of purchase, or the spend, of all customers over calendar time, over its mean, with its bands.

    They hold 50 % and 90 %. Where the calendar differs by group each has a line, its median; of more than 5 groups
    those that are farthest from what all have in common.

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
        grouped = "group_rate" in bands
        figure = style.drawing(3.6 if grouped else 3.0)
        axes = figure.subplots()
        q05, q25, q50, q75, q95 = bands["rate"].to_numpy()
        low, high = q05.min(), q95.max()
        band: Any = {"linewidth": 0, "step": "post"}
        if grouped:
            axes.fill_between(
                when, q05, q95, color=style.MUTED, alpha=0.18, label=say("in common, 90 % band"), **band
            )
            lines = _group_lines(bands)
            for (label, line), colour in zip(
                lines.items(),
                (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.AMBER),
                strict=False,
            ):
                axes.step(when, line, where="post", color=colour, linewidth=1.4, label=label)
                low, high = min(low, line.min()), max(high, line.max())
        else:
            axes.fill_between(when, q05, q95, color=style.SKY, alpha=0.3, label=say("90 % band"), **band)
            axes.fill_between(when, q25, q75, color=style.BLUE, alpha=0.35, label=say("50 % band"), **band)
            axes.step(when, q50, where="post", color=style.BLUE, linewidth=1.2, label=say("median"))
        axes.axhline(1.0, color=style.MUTED, linewidth=0.8)
        axes.axvspan(when[known], when[-1], color=style.MUTED, alpha=0.08, linewidth=0)
        axes.set_yscale("log")
        # Room for the legend, which of groups stands below.
        axes.set_ylim(low / 1.1, (1.1 if grouped else 1.6) * high)
        ticks = [each for each in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if low <= each <= high]
        axes.set_yticks(ticks, [f"{each:g}" for each in ticks])
        axes.minorticks_off()
        of_spend = what == say("spend per purchase of all customers")
        axes.set_ylabel(say("spend / its mean") if of_spend else say("rate / its mean"))
        if np.issubdtype(when.dtype, np.datetime64):
            style.dates(axes.xaxis)
        else:
            axes.set_xlabel(say("period from the end of observation"))
        if grouped:
            figure.legend(loc="outside lower center", ncols=3)
            note = say(
                "Purchase rate by {column} and period, over the mean of all: medians; the future is shaded",
                column=str(bands.attrs["by"]),
            )
            style.heading(axes, say("Groups with a calendar of their own"), note)
            return figure
        axes.legend(loc="upper left", ncols=3)
        note = say(
            "{what} by period; the shaded future is drawn from the same process",
            what=f"{what[0].upper()}{what[1:]}",
        )
        style.heading(axes, say("What happens to everybody at once"), note)
    return figure


def _group_lines(bands: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the median of each group that is drawn, those that differ most from what all have in common."""
    common = bands["rate"].sel(quantile=0.5)
    medians = bands["group_rate"].sel(quantile=0.5)
    known = int(bands.attrs["known"])
    past = (medians / common).isel({PERIOD: slice(known)}).transpose(GROUP, PERIOD).to_numpy()
    apart = np.abs(np.log(past)).mean(axis=1)
    shown = np.sort(np.argsort(-apart, kind="stable")[:MOST_LINES])
    return {str(bands[GROUP][place].item()): medians[place].to_numpy() for place in shown}
