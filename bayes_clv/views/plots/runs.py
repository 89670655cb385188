"""Totals of several finished runs, as a picture."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.language import say
from bayes_clv.schema import InputError
from bayes_clv.views import style

if TYPE_CHECKING:
    import pandas as pd

LABEL = 28
SHOWN = ("purchases", "value")


def plot_runs(table: "pd.DataFrame") -> style.Drawing:
    """Plot the totals that several runs forecast, beside each other.

    Parameters
    ----------
    table : pandas.DataFrame
        A row a run, as ``bayes-clv runs`` writes it: ``run``; ``purchases_mean``, ``_q05``, ``_q95``, ``_real``, and
        the same of ``value``.

    Returns
    -------
    matplotlib.figure.Figure
        A panel of purchases and, where a run has money, one of value: mean (dot) and 90 % interval (line), outcome
        level; what really came (tick), where it is known, orange where it lies outside.

    Raises
    ------
    InputError
        A table that lacks these columns or has no rows.
    """
    needed = ["run", *(f"purchases_{end}" for end in ("mean", "q05", "q95", "real"))]
    missing = [name for name in needed if name not in table]
    if missing or not len(table):
        raise InputError(
            f"The table of runs lacks {missing[0] if missing else 'rows'}: read what 'bayes-clv runs' wrote."
        )
    shown = [name for name in SHOWN if f"{name}_mean" in table and np.isfinite(table[f"{name}_mean"]).any()]
    with style.styled():
        figure = style.drawing(1.5 + 0.42 * len(table), width=8.0)
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, shown, strict=True):
            _draw(axes, table, name)
        style.rows(panels[0], [style.short(str(name), LABEL) for name in table["run"]])
        for axes in panels:
            axes.xaxis.get_major_locator().set_params(nbins=4)
            style.thousands(axes.xaxis)
        note = say("mean and 90 % interval, outcome level; tick: what came")
        style.heading(panels[0], say("What each run forecasts"), note)
    return figure


def _draw(axes: Any, table: "pd.DataFrame", name: str) -> None:
    rows = np.arange(len(table))
    mean, low, high, real = (
        table[f"{name}_{end}"].to_numpy(dtype=float) for end in ("mean", "q05", "q95", "real")
    )
    axes.hlines(rows, low, high, color=style.BLUE, linewidth=2)
    axes.scatter(mean, rows, color=style.BLUE, s=34, zorder=3)
    known = np.isfinite(real)
    inside = (low <= real) & (real <= high)
    colours = np.where(inside, style.INK, style.ORANGE)
    axes.scatter(real[known], rows[known], marker="|", s=160, c=colours[known], linewidths=2, zorder=4)
    axes.grid(False, axis="y")
    axes.set_xlabel(
        say("purchases of all customers") if name == "purchases" else say("value of all customers (money)")
    )
