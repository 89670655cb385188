"""Figures of scenarios: differences to the base with their intervals, a tornado, and grids of one or two levers."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import DRAW, InputError, quantiles
from bayes_clv.valuation.scenarios import SCENARIO
from bayes_clv.valuation.sensitivities import END, LEVER
from bayes_clv.views import numbers, style

ROWS_SHOWN = 20
LABEL = 34


def plot_scenarios(comparison: xr.Dataset) -> style.Drawing:
    """Plot by how much each scenario is worth more or less than the base.

    Parameters
    ----------
    comparison : xarray.Dataset
        The result of ``clv.valuation.compare_scenarios``.

    Returns
    -------
    matplotlib.figure.Figure
        One row a scenario, in the order given: the mean difference of value (dot), the middle 50 and 90 % of the draws
        (thick and thin line), in money, and beside it the probability of being better. Blue: more probably better than
        worse; orange: more probably worse.

    Raises
    ------
    InputError
        When it is no result of ``compare_scenarios``, or has no scenario beside the base.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> letter = clv.valuation.scenario("Letter", contact_cost=1.5, purchase_rate="+8 %")
    >>> figure = plot_scenarios(clv.valuation.compare_scenarios(draws, [letter]))
    """
    _check(comparison, "scenarios", "clv.valuation.compare_scenarios")
    others = comparison.isel({SCENARIO: slice(1, 1 + ROWS_SHOWN)})
    if others.sizes[SCENARIO] == 0:
        raise InputError("There is nothing beside the base to draw. Compare at least one scenario.")
    drawn = others["value_difference"].transpose(DRAW, SCENARIO).to_numpy()
    better = others["probability_better"].to_numpy()
    names = [style.short(str(name), LABEL) for name in others[SCENARIO].to_numpy()]
    low, lower, middle, upper, high = quantiles(drawn, axis=0)
    center = "mean"
    mean = others["value_difference_mean"].to_numpy()
    if np.isnan(mean).any():
        mean, center = middle, "median"
    rows = np.arange(len(names))
    colours = [style.BLUE if chance >= 0.5 else style.ORANGE for chance in better.tolist()]
    with style.styled():
        figure = style.drawing(1.5 + 0.42 * rows.size, width=8.0)
        ax = figure.subplots()
        ax.axvline(0, color=style.MUTED, linewidth=1)
        ax.hlines(rows, low, high, colors=colours, linewidth=1.6)
        ax.hlines(rows, lower, upper, colors=colours, linewidth=5, alpha=0.55)
        ax.scatter(mean, rows, c=colours, s=34, zorder=3)
        same = (drawn == 0).all(axis=0)
        chances = zip(same.tolist(), better.tolist(), strict=True)
        style.beside(
            ax,
            [
                say("the same") if equal else say("better: {chance}", chance=chance_words(chance))
                for equal, chance in chances
            ],
        )
        style.rows(ax, names)
        ax.set_xlabel(_difference_words(comparison))
        ax.set_ylabel(say("scenario"))
        few = comparison.sizes[SCENARIO] - 1 - rows.size
        note = say(
            "{center}, 50 and 90 % intervals, outcome level, over {horizon}",
            center=say(center),
            horizon=numbers.horizon(comparison),
        )
        style.heading(ax, say("What each scenario is worth against the base"), with_more(note, few))
    return figure


def with_more(note: str, few: int) -> str:
    """Return the note of a figure, and how many rows of the table it leaves out."""
    return say("{text}; {count} more in the table", text=note, count=few) if few > 0 else note


def _difference_words(result: xr.Dataset) -> str:
    return say(
        "{label} ({unit})", label=say("difference of value to the base"), unit=numbers.money_unit(result)
    )


def plot_tornado(swings: xr.Dataset) -> style.Drawing:
    """Plot what the value of the base would be by if each lever stood at one end or the other.

    Parameters
    ----------
    swings : xarray.Dataset
        The result of ``clv.valuation.tornado``.

    Returns
    -------
    matplotlib.figure.Figure
        One row a lever, the one that moves most above: bars to the mean difference of value at the low end (orange) and
        at the high end (blue), with its setting, and 90 % intervals as lines, in money.

    Raises
    ------
    InputError
        When it is no result of ``tornado``.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> figure = plot_tornado(clv.valuation.tornado(draws))
    """
    _check(swings, "tornado", "clv.valuation.tornado")
    shown = swings.isel({LEVER: slice(0, ROWS_SHOWN)})
    names = [str(name).replace("_", " ") for name in shown[LEVER].to_numpy()]
    rows = np.arange(len(names))
    with style.styled():
        figure = style.drawing(1.6 + 0.42 * rows.size, width=8.0)
        ax = figure.subplots()
        mean = shown["difference_mean"].transpose(LEVER, END).to_numpy()
        widest = float(np.abs(mean).max()) or 1.0
        for i, (end, colour) in enumerate(zip(("low", "high"), (style.ORANGE, style.BLUE), strict=True)):
            each = shown.sel({END: end})
            label = say("low end") if end == "low" else say("high end")
            ax.barh(rows, mean[:, i], height=0.5, color=colour, alpha=0.75, label=label)
            ax.hlines(
                rows, each["difference_q05"], each["difference_q95"], color=style.INK, linewidth=1.2, zorder=3
            )
            texts = each["stated"].to_numpy().tolist()
            ends = np.where(mean[:, i] < 0, each["difference_q05"], each["difference_q95"])
            for row, text in enumerate(texts):
                left = mean[row, i] < 0 or (mean[row, i] == 0 and i == 0)
                ax.annotate(
                    text,
                    xy=(min(ends[row], 0.0) if left else max(ends[row], 0.0), row),
                    xytext=(-5 if left else 5, 0),
                    textcoords="offset points",
                    ha="right" if left else "left",
                    va="center",
                    fontsize=8.5,
                    color=style.MUTED,
                )
        ax.axvline(0, color=style.MUTED, linewidth=1)
        reach = float(np.abs(shown[["difference_q05", "difference_q95"]].to_array()).max()) or widest
        ax.set_xlim(-1.3 * reach, 1.3 * reach)
        style.rows(ax, names)
        ax.set_xlabel(_difference_words(swings))
        ax.set_ylabel(say("lever"))
        figure.legend(loc="outside lower center", ncols=2)
        note = say(
            "each lever alone; mean and 90 % intervals, outcome level, over {horizon}",
            horizon=numbers.horizon(swings),
        )
        style.heading(ax, say("What moves the value of the base"), note)
    return figure


def plot_sensitivity(grid: xr.Dataset) -> style.Drawing:
    """Plot the difference of value to the base over the settings of one lever, or of two.

    Parameters
    ----------
    grid : xarray.Dataset
        The result of ``clv.valuation.sensitivity``.

    Returns
    -------
    matplotlib.figure.Figure
        Of one lever the mean (line) and the 90 % band of the difference; of two a cell a pair, the darker the better,
        with the mean difference in money and the probability of being better.

    Raises
    ------
    InputError
        When it is no result of ``sensitivity``.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> figure = plot_sensitivity(clv.valuation.sensitivity(draws, {"price": ["-5 %", "+0 %", "+5 %"]}))
    """
    _check(grid, "sensitivity", "clv.valuation.sensitivity")
    levers = [str(name) for name in grid["difference_mean"].dims]
    with style.styled():
        if len(levers) == 1:
            figure = style.drawing(3.8)
            _draw_band(figure.subplots(), grid, levers[0])
        else:
            figure = style.drawing(1.6 + 0.5 * grid.sizes[levers[0]], width=1.8 + 1.1 * grid.sizes[levers[1]])
            _draw_cells(figure.subplots(), grid, levers)
    return figure


def _draw_band(ax: Any, grid: xr.Dataset, lever: str) -> None:
    at = np.arange(grid.sizes[lever])
    low, mean, high = (grid[f"difference_{name}"].to_numpy() for name in ("q05", "mean", "q95"))
    ax.axhline(0, color=style.MUTED, linewidth=1)
    ax.fill_between(at, low, high, color=style.BLUE, alpha=0.2, linewidth=0, label=say("90 % of the draws"))
    ax.plot(at, mean, color=style.BLUE, marker="o", markersize=4, label=say("mean"))
    ax.set_xticks(at, grid[lever].to_numpy().tolist())
    ax.set_xlabel(lever.replace("_", " "))
    ax.set_ylabel(_difference_words(grid))
    style.thousands(ax.yaxis)
    ax.legend(loc="best")
    title = say("What {lever} changes", lever=lever.replace("_", " "))
    style.heading(ax, title, say("outcome level, over {horizon}", horizon=numbers.horizon(grid)))


def _draw_cells(ax: Any, grid: xr.Dataset, levers: list[str]) -> None:
    mean = grid["difference_mean"].transpose(*levers).to_numpy()
    better = grid["probability_better"].transpose(*levers).to_numpy()
    ax.imshow(mean, cmap=style.SEQUENTIAL, aspect="auto")
    low, high = float(mean.min()), float(mean.max())
    for place in np.ndindex(*mean.shape):
        dark = mean[place] > low + 0.55 * (high - low)
        ax.text(
            place[1],
            place[0],
            f"{numbers.number(float(np.round(mean[place])))}\n{chance_words(float(better[place]))}",
            ha="center",
            va="center",
            fontsize=8.5,
            color="white" if dark else style.INK,
        )
    for axis, lever in zip((ax.yaxis, ax.xaxis), levers, strict=True):
        axis.set_ticks(np.arange(grid.sizes[lever]), grid[lever].to_numpy().tolist())
        axis.set_label_text(lever.replace("_", " "))
    ax.grid(False)
    note = say(
        "mean ({unit}) and probability of being better, outcome level, over {horizon}",
        unit=numbers.money_unit(grid),
        horizon=numbers.horizon(grid),
    )
    style.heading(ax, say("Difference of value to the base"), note)


def chance_words(chance: float) -> str:
    """Return a probability of simulated draws in words: none is certain.

    >>> chance_words(0.873), chance_words(1.0), chance_words(0.002)
    ('87 %', 'over 99 %', 'under 1 %')
    """
    if chance > 0.99:
        return say("over 99 %")
    return say("under 1 %") if chance < 0.01 else f"{100 * chance:.0f} %"


def _check(result: Any, what: str, verb: str) -> None:
    if not isinstance(result, xr.Dataset) or result.attrs.get("result") != what:
        raise InputError(f"This needs what {verb} returned.")
