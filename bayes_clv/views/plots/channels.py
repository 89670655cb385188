"""Figures of channels: what a new customer is worth beside its cost, and when it has paid."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import DRAW, InputError
from bayes_clv.units import in_plural
from bayes_clv.valuation.acquisition import CHANNEL
from bayes_clv.views import numbers, style
from bayes_clv.views.plots.scenarios import chance_words, with_more

ROWS_SHOWN = 24
CURVES_SHOWN = 6
LABEL = 28


def plot_channels(found: xr.Dataset) -> style.Drawing:
    """Plot what a new customer of each channel is worth beside what it costs.

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.valuation.compare_channels``.

    Returns
    -------
    matplotlib.figure.Figure
        One row a channel, in the order of the fits: mean and 90 % interval of the value of a new customer (dot and
        line, blue where it more probably pays, orange where not) and of its cost (grey bar), in money, and beside it
        P(value > cost). Medians where a mean does not exist, which the figure says.

    Raises
    ------
    InputError
        When it is no result of ``compare_channels``.

    Examples
    --------
    >>> values = clv.valuation.channel_values(by_channel, spending, margin=0.3, profile={"age": 35})
    >>> figure = plot_channels(clv.valuation.compare_channels(values, 9.0))
    """
    _check(found)
    shown = found.isel({CHANNEL: slice(0, ROWS_SHOWN)})
    center, end = center_of(found)
    names = [style.short(str(name), LABEL) for name in shown[CHANNEL].to_numpy()]
    rows = np.arange(len(names))
    pays = shown["probability_pays"].to_numpy()
    colours = [style.BLUE if chance >= 0.5 else style.ORANGE for chance in pays.tolist()]
    with style.styled():
        figure = style.drawing(1.7 + 0.42 * rows.size, width=8.0)
        ax = figure.subplots()
        low, middle, high = (shown[f"cost_{each}"].to_numpy() for each in ("q05", end, "q95"))
        ax.hlines(rows + 0.2, low, high, color=style.MUTED, linewidth=4, alpha=0.6)
        ax.scatter(middle, rows + 0.2, marker="|", s=90, color=style.MUTED, zorder=3, label=say("cost"))
        low, middle, high = (shown[f"value_{each}"].to_numpy() for each in ("q05", end, "q95"))
        ax.hlines(rows, low, high, colors=colours, linewidth=1.8)
        ax.scatter(middle, rows, c=colours, s=34, zorder=3, label=say("value"))
        style.beside(ax, [say("pays: {chance}", chance=chance_words(float(chance))) for chance in pays])
        style.rows(ax, names)
        if not (shown["value_q05"] < 0).any():
            ax.set_xlim(left=0)
        label, unit = say("of one new customer"), numbers.money_unit(found)
        ax.set_xlabel(say("{label} ({unit})", label=label, unit=unit))
        ax.set_ylabel(str(found.attrs.get("by", CHANNEL)))
        over = numbers.horizon(found)
        note = (
            say(
                "value: dot and line; cost: grey bar below; means and 90 % intervals, expected level, over {horizon}",
                horizon=over,
            )
            if center == "mean"
            else say(
                "value: dot and line; cost: grey bar below; medians and 90 % intervals, expected level, over "
                "{horizon}",
                horizon=over,
            )
        )
        title = say("What a new customer is worth, and costs")
        style.heading(ax, title, with_more(note, found.sizes[CHANNEL] - rows.size))
    return figure


def plot_payback(found: xr.Dataset) -> style.Drawing:
    """Plot how probably each channel has paid for its customers by when.

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.valuation.compare_channels``.

    Returns
    -------
    matplotlib.figure.Figure
        A curve a channel, of those with the highest P(value > cost) at most six: the share of the draws in which
        the margin of a new customer has reached its cost, over the time since its first order.

    Raises
    ------
    InputError
        When it is no result of ``compare_channels``.

    Examples
    --------
    >>> values = clv.valuation.channel_values(by_channel, spending, margin=0.3, profile={"age": 35})
    >>> figure = plot_payback(clv.valuation.compare_channels(values, 9.0))
    """
    _check(found)
    order = np.argsort(-found["probability_pays"].to_numpy(), kind="stable")[:CURVES_SHOWN]
    shown = found.isel({CHANNEL: np.sort(order)})
    horizon = float(found.attrs["horizon"])
    payback = shown["payback"].transpose(CHANNEL, DRAW).to_numpy()
    with style.styled():
        figure = style.drawing(4.2)
        ax = figure.subplots()
        for name, drawn in zip(shown[CHANNEL].to_numpy(), payback, strict=True):
            times = np.sort(drawn[np.isfinite(drawn)])
            part = np.arange(1, times.size + 1) / drawn.size
            end = part[-1] if times.size else 0.0
            ax.step(
                np.concatenate([[0.0], times, [horizon]]),
                np.concatenate([[0.0], part, [end]]),
                where="post",
                label=style.short(str(name), LABEL),
            )
        ax.set_xlim(0, horizon)
        ax.set_ylim(0, 1.02)
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        unit = say(in_plural(str(found.attrs["time_unit"])))
        ax.set_xlabel(say("{label} ({unit})", label=say("time since the first order"), unit=unit))
        ax.set_ylabel(say("probability of having paid"))
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title=str(found.attrs.get("by", CHANNEL)))
        few = found.sizes[CHANNEL] - shown.sizes[CHANNEL]
        note = say("the mean customer, expected level")
        if few > 0:
            note = say("{text}; {count} with lower probabilities in the table", text=note, count=few)
        style.heading(ax, say("When a new customer has paid for itself"), note)
    return figure


def center_of(found: xr.Dataset) -> tuple[str, str]:
    """Return the one statistic in which channels are told, in words and as names end: the mean, on which decisions are.

    Where it does not exist in some channel, the median of all.
    """
    return ("median", "q50") if np.isnan(found["value_mean"].to_numpy()).any() else ("mean", "mean")


def _check(found: Any) -> None:
    if not isinstance(found, xr.Dataset) or found.attrs.get("result") != "channels":
        raise InputError("This needs what clv.valuation.compare_channels returned.")
