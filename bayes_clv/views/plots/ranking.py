"""Customers by rank, each with its interval."""

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.views import style
from bayes_clv.views.plots.segments import draw_places, level_words, short_words


def plot_ranking(ranking: xr.Dataset, most: int = 40) -> style.Drawing:
    """Plot the best customers with the uncertainty of their places, and how sure a place is in the whole base.

    Parameters
    ----------
    ranking : xarray.Dataset
        The result of ``clv.segments.rank``.
    most : int
        So many of the best, by the mean of the quantity, have a line each.

    Returns
    -------
    matplotlib.figure.Figure
        Left: mean rank and its 90 % interval of each of the best, on a log scale, 1 the best. Right: the same band for
        the whole base, in the order of the means; a perfect ranking would be the dashed line. Level: that of the
        quantity, outcome for what will be bought and spent.

    Raises
    ------
    InputError
        When it is no result of ``clv.segments.rank``.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, draws=50, seed=1)
    >>> figure = plot_ranking(clv.segments.rank(draws, "purchases"), most=20)
    """
    quantity = str(ranking.attrs.get("quantity", ""))
    missing = [n for n in ("rank_mean", "rank_q05", "rank_q95", f"{quantity}_mean") if n not in ranking]
    if missing:
        raise InputError(f"There is no {missing[0]} here. Give the result of clv.segments.rank.")
    ids = ranking[CUSTOMER].to_numpy().astype(str)
    order = np.lexsort((ids, -ranking[f"{quantity}_mean"].to_numpy()))
    best = order[:most]
    mean, low, high = (ranking[f"rank_{what}"].to_numpy() for what in ("mean", "q05", "q95"))
    rows = np.arange(best.size)
    level = level_words(quantity)
    note = say("{level}; mean and 90 %; ties share a place", level=level)
    with style.styled():
        figure = style.drawing(max(3.4, 1.3 + 0.17 * best.size), width=9.0)
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        left.hlines(rows, low[best], high[best], color=style.SKY, linewidth=2.4, label=say("90 % interval"))
        left.plot(mean[best], rows, "o", color=style.BLUE, markersize=4.5, label=say("mean rank"))
        left.plot(
            rows + 1,
            rows,
            "|",
            color=style.ORANGE,
            markersize=7,
            markeredgewidth=1.6,
            label=say("place in this list"),
        )
        left.set_xscale("log")
        left.set_xlim(0.9, 1.15 * max(float(high[best].max()), best.size))
        style.thousands(left.xaxis)
        left.set_yticks(rows, [style.short(each) for each in ids[best]], fontsize=7.5)
        left.set_ylim(best.size - 0.4, -0.6)
        left.grid(False, axis="y")
        left.tick_params(axis="y", length=0)
        left.set_xlabel(say("rank among {count:,} customers (1 the best)", count=order.size))
        left.set_ylabel(say("customer"))
        title = say("The {count} best by {quantity}", count=best.size, quantity=short_words(quantity))
        style.heading(left, title, note)
        draw_places(right, order, mean, low, high)
        style.heading(right, say("The whole base"), say("{level}; mean and 90 %", level=level))
        figure.legend(loc="outside lower center", ncols=4, fontsize=8.5)
    return figure
