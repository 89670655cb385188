"""Figures of the base as an asset: present and future, the bridge between two days, and who is to come."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import InputError
from bayes_clv.units import in_plural
from bayes_clv.valuation.bridge import STEP
from bayes_clv.valuation.equity import TOP
from bayes_clv.valuation.newcomers import PAST
from bayes_clv.views import numbers, style

# Steps that are not shown where they are nothing: nobody asked for them.
IDLE = ("costs", "outlook")
WORDS = {
    "new": "new customers",
    "lost": "lost since",
    "revised": "beliefs revised",
    "rate": "purchase rate",
    "spend": "spend a purchase",
    "costs": "their costs",
    "outlook": "those to come",
}


def plot_equity(found: xr.Dataset) -> style.Drawing:
    """Plot what present and future customers are worth, and how much of the present the best of them hold.

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.valuation.customer_equity``.

    Returns
    -------
    matplotlib.figure.Figure
        Left: median (bar) and 90 % interval (line) of present, future and all, in money. Right: the share of the
        present value that the customers of most mean value hold (dot: median, line: 90 %), and equal shares (grey).

    Raises
    ------
    InputError
        When it is no result of ``customer_equity``.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, "26 weeks", spending=spending, margin=0.3, draws=50, seed=1)
    >>> figure = plot_equity(clv.valuation.customer_equity(draws))
    """
    check_result(found, "equity", "clv.valuation.customer_equity")
    with style.styled():
        figure = style.drawing(3.4, width=8.6)
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _draw_parts(left, found)
        _draw_tops(right, found)
    return figure


def _draw_parts(ax: Any, found: xr.Dataset) -> None:
    names = ("present", "future", "equity") if found.attrs["with_future"] else ("present",)
    words = {
        "present": say("present customers"),
        "future": say("those to come"),
        "equity": say("all: customer equity"),
    }
    rows = np.arange(len(names))
    colours = [{"present": style.BLUE, "future": style.ORANGE}.get(name, style.MUTED) for name in names]
    middle, low, high = ([float(found[f"{name}_{end}"]) for name in names] for end in ("q50", "q05", "q95"))
    ax.barh(rows, middle, height=0.5, color=colours, alpha=0.75)
    ax.hlines(rows, low, high, color=style.INK, linewidth=1.8)
    ax.axvline(0, color=style.MUTED, linewidth=1)
    style.rows(ax, [words[name] for name in names])
    ax.set_xlabel(say("{label} ({unit})", label=say("value"), unit=numbers.money_unit(found)))
    ax.xaxis.get_major_locator().set_params(nbins=4)
    note = say("median and 90 % interval, outcome level, over {horizon}", horizon=numbers.horizon(found))
    style.heading(ax, say("What the base is worth"), note)


def _draw_tops(ax: Any, found: xr.Dataset) -> None:
    top = 100 * found[TOP].to_numpy()
    low, middle, high = (100 * found[f"concentration_{end}"].to_numpy() for end in ("q05", "q50", "q95"))
    at = np.arange(top.size)
    ax.scatter(at, top, marker="_", s=120, color=style.MUTED, label=say("if all were alike"))
    ax.vlines(at, low, high, color=style.BLUE, linewidth=1.8)
    ax.scatter(at, middle, color=style.BLUE, s=30, zorder=3, label=say("share of present value"))
    ax.set_xticks(at, [f"{each:g} %" for each in top])
    ax.set_ylim(0, 118)
    ax.set_yticks(range(0, 101, 20))
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0f} %")
    ax.set_xlabel(say("best customers, by mean value"))
    ax.legend(loc="upper left")
    style.heading(ax, say("Who holds it"), say("median and 90 % interval, outcome level"))


def plot_bridge(found: xr.Dataset) -> style.Drawing:
    """Plot what the change of customer equity between two days is made of.

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.valuation.equity_bridge``.

    Returns
    -------
    matplotlib.figure.Figure
        From the left the opening, each step from where the one before ended (blue: up, orange: down) and the closing,
        in money: means, and 90 % intervals of each one's own height as lines. Medians where means do not exist; these
        do not add up.

    Raises
    ------
    InputError
        When it is no result of ``equity_bridge``.

    Examples
    --------
    >>> earlier = clv.summarize(orders, until="1997-06-30")
    >>> money = {"spending": spending, "margin": 0.3, "draws": 50, "seed": 3}
    >>> ends = [clv.simulate(buying, each, "26 weeks", **money) for each in (earlier, customers)]
    >>> figure = plot_bridge(clv.valuation.equity_bridge(*ends))
    """
    check_result(found, "equity bridge", "clv.valuation.equity_bridge")
    center = "q50" if np.isnan(float(found["change_mean"])) else "mean"
    names = found[STEP].to_numpy().tolist()
    idle = [name for name in IDLE if not np.any(found["contribution"].sel({STEP: name}).to_numpy())]
    names = [name for name in names if name not in idle]
    steps = found.sel({STEP: names})
    height = steps[f"contribution_{center}"].to_numpy()
    opening, closing = (float(found[f"{name}_{center}"]) for name in ("opening", "closing"))
    level = opening + np.concatenate([[0.0], np.cumsum(height)])
    with style.styled():
        figure = style.drawing(4.0, width=8.0)
        ax = figure.subplots()
        for place, name, amount in ((0, "opening", opening), (len(names) + 1, "closing", closing)):
            ax.bar(place, amount, width=0.6, color=style.MUTED, alpha=0.7)
            ax.vlines(
                place,
                float(found[f"{name}_q05"]),
                float(found[f"{name}_q95"]),
                color=style.INK,
                linewidth=1.6,
            )
        at = np.arange(1, len(names) + 1)
        colours = [style.BLUE if each >= 0 else style.ORANGE for each in height.tolist()]
        ax.bar(at, height, bottom=level[:-1], width=0.6, color=colours, alpha=0.8)
        low, high = (steps[f"contribution_{end}"].to_numpy() for end in ("q05", "q95"))
        ax.vlines(at, level[:-1] + low, level[:-1] + high, color=style.INK, linewidth=1.6)
        for i, each in enumerate(level[:-1]):
            ax.hlines(each, i, i + 1, color=style.MUTED, linewidth=0.8, linestyle=":")
        ax.hlines(level[-1], len(names), len(names) + 1, color=style.MUTED, linewidth=0.8, linestyle=":")
        tops = np.maximum(level[:-1] + np.maximum(high, 0), level[1:])
        for place, amount, top in zip(at.tolist(), height.tolist(), tops.tolist(), strict=True):
            ax.annotate(
                f"{amount:+,.0f}",
                xy=(place, top),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=style.MUTED,
            )
        ends = [say("equity\n{day}", day=str(found.attrs[name]) or say(name)) for name in ("from", "until")]
        labels = [ends[0], *(say(WORDS[name]).replace(" ", "\n", 1) for name in names), ends[1]]
        ax.set_xticks(np.arange(len(labels)), labels, fontsize=8.5)
        ax.grid(False, axis="x")
        ax.set_ylabel(say("{label} ({unit})", label=say("value"), unit=numbers.money_unit(found)))
        style.thousands(ax.yaxis)
        over = numbers.horizon(found)
        note = (
            say("means and 90 % intervals of each, outcome level, over {horizon}", horizon=over)
            if center == "mean"
            else say("medians and 90 % intervals of each, outcome level, over {horizon}", horizon=over)
        )
        style.heading(ax, say("What has changed the worth of the base"), note)
    return figure


def plot_newcomers(found: xr.Dataset) -> style.Drawing:
    """Plot new customers by period so far, and who will come.

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.valuation.predict_newcomers``.

    Returns
    -------
    matplotlib.figure.Figure
        First orders a period (dots) with the 90 % interval of their expected number (blue band, expected level), and
        from now on the mean (line) and 90 % interval (orange band, outcome level) of those who will come.

    Raises
    ------
    InputError
        When it is no result of ``predict_newcomers``.

    Examples
    --------
    >>> coming = clv.valuation.predict_newcomers(customers, "26 weeks", period="1 week", draws=50, seed=1)
    >>> figure = plot_newcomers(coming)
    """
    check_result(found, "newcomers", "clv.valuation.predict_newcomers")
    width = float(found.attrs["width"])
    past = width * (found[PAST].to_numpy() + 0.5)
    ends = found["period_end"].to_numpy()
    ahead = (ends + np.concatenate([[0.0], ends[:-1]])) / 2
    low, high = np.quantile(found["level"].transpose("draw", PAST).to_numpy(), [0.05, 0.95], axis=0)
    with style.styled():
        figure = style.drawing(3.6, width=8.0)
        ax = figure.subplots()
        expected = say("expected number, 90 %")
        ax.fill_between(past, low, high, color=style.BLUE, alpha=0.25, linewidth=0, label=expected)
        ax.scatter(past, found["counts"], s=22, color=style.BLUE, zorder=3, label=say("first orders"))
        ax.fill_between(
            ahead,
            found["newcomers_q05"],
            found["newcomers_q95"],
            color=style.ORANGE,
            alpha=0.3,
            linewidth=0,
            label=say("who will come, 90 %"),
        )
        ax.plot(ahead, found["newcomers_mean"], color=style.ORANGE, label=say("mean"))
        ax.axvline(0, color=style.MUTED, linewidth=1)
        ax.set_ylim(bottom=0)
        style.thousands(ax.yaxis)
        unit = str(found.attrs["time_unit"])
        day = found.attrs["until"] or say("the end of observation")
        ax.set_xlabel(say("{units} from {day}", units=say(in_plural(unit)), day=day))
        ax.set_ylabel(say("customers in {time}", time=numbers.plural(width, unit)))
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        note = say("so far, and as forecast (outcome level); the expected number stays where it is")
        style.heading(ax, say("New customers"), note)
    return figure


def check_result(found: Any, what: str, verb: str) -> None:
    """Refuse what is not the result of a verb."""
    if not isinstance(found, xr.Dataset) or found.attrs.get("result") != what:
        raise InputError(f"This needs what {verb} returned.")
