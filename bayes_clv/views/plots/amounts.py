"""What customers are worth: the spread over customers, the total, and how concentrated it is.

`quantity` is a stem of the prediction's variables: ``"value"`` or ``"spend"`` (money) or ``"purchases"``.
All intervals are of the outcome level: what will actually be bought and spent.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_clv.language import say
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError, quantiles
from bayes_clv.views import log_ticks, numbers, style

QUANTITIES = ("value", "spend", "purchases")

type Array = NDArray[np.float64]


def choose_quantity(value: xr.Dataset, quantity: str | None) -> str:
    """Return the stem to show: as asked, else value where there is money and purchases where not."""
    present = [stem for stem in QUANTITIES if f"{stem}_mean" in value]
    if quantity is not None and quantity not in present:
        raise InputError(
            f"There is no {quantity!r} in this prediction. It has: {', '.join(present) or 'none'}."
        )
    if not present:
        raise InputError("The dataset has none of value_mean, spend_mean, purchases_mean. Give a prediction.")
    return quantity or next(stem for stem in ("value", "purchases", "spend") if stem in present)


def unit_label(quantity: str, value: xr.Dataset) -> str:
    """Return a quantity of a prediction with its unit, for an axis."""
    return in_unit(_names()[quantity], quantity, value)


def in_unit(words: str, quantity: str, result: xr.Dataset) -> str:
    """Return words with the unit of their quantity: a count, or the money of the result."""
    unit = say("count") if quantity == "purchases" else numbers.money_unit(result)
    return say("{label} ({unit})", label=words, unit=unit)


def _names() -> dict[str, str]:
    return {"value": say("residual value"), "spend": say("spend"), "purchases": say("purchases")}


def _share_label(quantity: str) -> str:
    """Return the axis of shares of a quantity's total."""
    words = {
        "value": say("share of total residual value (%)"),
        "spend": say("share of total spend (%)"),
        "purchases": say("share of total purchase occasions (%)"),
    }
    return words[quantity]


def plot_value_distribution(value: xr.Dataset, *, quantity: str | None = None) -> style.Drawing:
    """Plot how a predicted mean is spread over customers, and the total of all customers over draws.

    Parameters
    ----------
    value : xarray.Dataset
        The result of ``predict`` or ``predict``.
    quantity : {"value", "spend", "purchases"}, optional
        Default: value, or purchases where there is no money.

    Returns
    -------
    matplotlib.figure.Figure
        Left: histogram over customers of each one's predictive mean, on a log scale from the 1 % point
        upward (customers below it are in the first bar). Right, where the prediction has totals: their
        distribution over draws with median and central 90 % (outcome level).
    """
    stem = choose_quantity(value, quantity)
    means = value[f"{stem}_mean"].to_numpy().astype(float)
    finite = means[np.isfinite(means)]
    total = f"{stem}_total"
    if finite.size == 0:
        raise InputError(
            f"No customer has a finite mean of {stem}; see the reasons attached to the prediction."
        )
    with style.styled():
        figure = style.drawing(2.9)
        panels = figure.subplots(1, 2 if total in value else 1, squeeze=False)[0]
        axes = panels[0]
        average = say("average {amount}", amount=_written(finite.mean(), stem, value))
        _draw_means(axes, finite, average)
        axes.set_xlabel(in_unit(_mean_words(stem), stem, value))
        axes.set_ylabel(say("customers"))
        note = say("outcome level, mean")
        if finite.size < means.size:
            note = say("outcome level, mean; {count:,} have none", count=means.size - finite.size)
        style.heading(axes, say("Each customer"), note)
        if total in value:
            _draw_total(panels[1], value[total].to_numpy().ravel().astype(float), stem, value)
    return figure


def _written(amount: float, quantity: str, value: xr.Dataset) -> str:
    """Return a number of purchases, or an amount in its currency."""
    return numbers.money(amount, None if quantity == "purchases" else value.attrs.get("currency"))


def _mean_words(quantity: str) -> str:
    words = {
        "value": say("mean residual value"),
        "spend": say("mean spend"),
        "purchases": say("mean purchases"),
    }
    return words[quantity]


def _total_words(quantity: str) -> str:
    words = {
        "value": say("total residual value"),
        "spend": say("total spend"),
        "purchases": say("total purchases"),
    }
    return words[quantity]


def _draw_means(axes: Any, means: Array, average: str) -> None:
    positive = means[means > 0]
    if positive.size < 2 or positive.min() == positive.max():
        axes.hist(means, bins=20, color=style.BLUE)
    else:
        low = np.quantile(positive, 0.01)
        # Of few customers few bars, or each has its own.
        count = min(40, 2 + 2 * int(np.sqrt(positive.size)))
        bins = np.geomspace(min(low, positive.max() * 0.999), positive.max() * (1 + 1e-12), count + 1)
        axes.hist(np.maximum(means, bins[0]), bins=bins, color=style.BLUE, edgecolor="none")
        axes.set_xscale("log")
        log_ticks.plain(axes.xaxis)
    axes.yaxis.get_major_locator().set_params(integer=True)
    # Room above the bars for what is written there.
    axes.set_ylim(top=1.12 * axes.get_ylim()[1])
    axes.axvline(means.mean(), color=style.INK, linewidth=1)
    axes.annotate(
        average,
        (means.mean(), 1),
        xycoords=("data", "axes fraction"),
        xytext=(5, -3),
        textcoords="offset points",
        va="top",
        fontsize=9,
    )


def _draw_total(axes: Any, totals: Array, stem: str, value: xr.Dataset) -> None:
    low, median, high = quantiles(totals, (0.05, 0.5, 0.95))
    # One draw far out would make a single bar of all others.
    top = median + 6 * (high - median)
    shown = np.minimum(totals, top) if high > median else totals
    edges = np.histogram_bin_edges(shown, 40)
    axes.hist(shown, bins=edges, color=style.GRID)
    axes.hist(shown[(totals >= low) & (totals <= high)], bins=edges, color=style.BLUE)
    axes.axvline(median, color=style.INK, linewidth=1)
    words = in_unit(_total_words(stem), stem, value)
    cut = shown.max() < totals.max()
    axes.set_xlabel(say("{label}; last bar: all above", label=words) if cut else words)
    axes.set_ylabel(say("draws"))
    axes.xaxis.get_major_locator().set_params(nbins=4)
    style.thousands(axes.xaxis)
    style.heading(
        axes,
        say("All together"),
        say(
            "outcome level, 90 %: {low} to {high}",
            low=_written(np.round(low), stem, value),
            high=_written(np.round(high), stem, value),
        ),
    )


def concentration(amounts: Array) -> Array:
    """Return the Lorenz curve: share of the total held by the best share of customers.

    Parameters
    ----------
    amounts : array of shape (..., customer)
        Not negative; the total of each row positive.

    Returns
    -------
    array of shape (..., customer + 1)
        Starts at 0, ends at 1; entry k is the share held by the k best customers.

    Examples
    --------
    >>> concentration(np.array([1.0, 3.0, 0.0])).tolist()
    [0.0, 0.75, 1.0, 1.0]
    """
    best_first = np.sort(np.asarray(amounts, dtype=float), axis=-1)[..., ::-1]
    cumulative = np.concatenate(
        [np.zeros((*best_first.shape[:-1], 1)), np.cumsum(best_first, axis=-1)], axis=-1
    )
    return np.asarray(cumulative / cumulative[..., -1:])


def plot_concentration(
    value: xr.Dataset, *, quantity: str | None = None, max_draws: int = 400
) -> style.Drawing:
    """Plot the share of the total that the best customers hold.

    Parameters
    ----------
    value : xarray.Dataset
        The result of ``predict`` or ``predict``. With the draws kept (variable ``value`` over chain,
        draw, customer) the curve of each draw is taken and a 90 % band shown: the customers who turn out
        best (outcome level). Without, the curve is that of the customers' means: those who are expected to
        be best. The first is always the more concentrated of the two; the figure says which it shows.
    quantity : {"value", "spend", "purchases"}, optional
        Default: value, or purchases where there is no money.
    max_draws : int
        At most so many draws, evenly spaced, make the band.

    Returns
    -------
    matplotlib.figure.Figure
    """
    stem = choose_quantity(value, quantity)
    kept = stem in value and {CHAIN, DRAW, CUSTOMER} <= set(value[stem].dims)
    if kept:
        draws = value[stem].transpose(CHAIN, DRAW, CUSTOMER)
        total = draws.sizes[CHAIN] * draws.sizes[DRAW]
        chosen = np.unique(np.linspace(0, total - 1, min(max_draws, total)).astype(int))
        chain, draw = np.divmod(chosen, draws.sizes[DRAW])
        amounts = draws.to_numpy()[chain, draw].astype(float)
    else:
        amounts = value[f"{stem}_mean"].to_numpy().astype(float)[None, :]
    amounts = np.clip(amounts[:, np.isfinite(amounts).all(axis=0)], 0, None)
    amounts = amounts[amounts.sum(axis=1) > 0]
    if amounts.size == 0:
        raise InputError(f"The total {stem} is zero or not finite for every draw: it has no concentration.")
    curves = concentration(amounts)
    share = np.linspace(0, 1, curves.shape[1])
    # A thousand customers or more draw the same line at 300 points.
    shown = np.unique(np.linspace(0, share.size - 1, 300).astype(int))
    low, middle, high = quantiles(curves, (0.05, 0.5, 0.95), axis=0)
    fifth = float(np.interp(0.2, share, middle))
    level = (
        say(
            "customers as they turn out; outcome level, median and 90 % band of {draws} draws",
            draws=len(curves),
        )
        if kept
        else say("customers ranked by their predictive mean; outcome level, means only, no interval")
    )
    with style.styled():
        from matplotlib.ticker import PercentFormatter

        figure = style.drawing(3.2)
        axes = figure.subplots()
        if kept:
            axes.fill_between(share[shown], low[shown], high[shown], color=style.BLUE, alpha=0.2, linewidth=0)
        axes.plot(share[shown], middle[shown], color=style.BLUE)
        axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle="--")
        # Out of the way of what is written beside the dot, where that is low.
        place = (0.42, 0.31 if fifth > 0.45 else 0.12)
        axes.annotate(say("all customers equal"), place, color=style.MUTED, fontsize=9)
        axes.plot(0.2, fifth, "o", color=style.ORANGE, markersize=6, clip_on=False)
        best = say("the best 20 % hold {share:.0f} %", share=100 * fifth)
        axes.annotate(best, (0.23, fifth), fontsize=9.5, va="top")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=say("share of customers, best first (%)"))
        axes.set_ylabel(_share_label(stem))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        style.heading(axes, say("How concentrated?"), level)
    return figure


def plot_tenths(
    value: xr.Dataset, *, quantity: str | None = None, width: float = style.WIDTH
) -> style.Drawing:
    """Plot which share of the total each tenth of the customers is expected to bring, best first.

    Parameters
    ----------
    value : xarray.Dataset
        The result of ``predict``, of ten customers or more.
    quantity : {"value", "spend", "purchases"}, optional
        Default: value, or purchases where there is no money.
    width : float
        In inches; a telephone shows four well.

    Returns
    -------
    matplotlib.figure.Figure
        Shares of the sum of the customers' means (outcome level, means only).
    """
    stem = choose_quantity(value, quantity)
    means = value[f"{stem}_mean"].to_numpy().astype(float)
    best_first = np.sort(means[np.isfinite(means)])[::-1]
    if best_first.size < 10 or best_first.sum() <= 0:
        raise InputError(
            f"Fewer than ten customers have a finite mean of {stem}, or all have none: no tenths."
        )
    share = np.array([tenth.sum() for tenth in np.array_split(best_first, 10)]) / best_first.sum()
    with style.styled():
        figure = style.drawing(3.3, width)
        axes = figure.subplots()
        bars = axes.bar(np.arange(10), 100 * share, color=style.BLUE, width=0.8)
        axes.bar_label(bars, [f"{100 * each:.0f}" for each in share], padding=2, fontsize=9, color=style.INK)
        axes.set_xticks(np.arange(10), [say("best"), *(f"{k}." for k in range(2, 11))])
        axes.set_ylim(top=108 * share.max())
        axes.grid(False, axis="x")
        axes.set_xlabel(say("tenths of the customers, ranked by their mean"))
        axes.set_ylabel(_share_label(stem))
        title = say("Where the value is") if stem == "value" else say("Who buys")
        style.heading(axes, title, say("outcome level, means only"))
    return figure


def plot_customers(
    value: xr.Dataset, n: int = 40, *, quantity: str | None = None, width: float = style.WIDTH
) -> style.Drawing:
    """Plot the customers with the highest predicted mean, each with its 50 % and 90 % interval.

    Parameters
    ----------
    value : xarray.Dataset
        The result of ``predict`` or ``predict``.
    n : int
        How many customers.
    quantity : {"value", "spend", "purchases"}, optional
        Default: value, or purchases where there is no money. It needs its quantiles q05 to q95.
    width : float
        In inches; a telephone shows four well.

    Returns
    -------
    matplotlib.figure.Figure
        Outcome level: what a customer will actually be worth lies in the 90 % interval with probability
        0.9 (for counts, at least 0.9).
    """
    stem = choose_quantity(value, quantity)
    missing = [q for q in ("q05", "q25", "q50", "q75", "q95") if f"{stem}_{q}" not in value]
    if missing:
        raise InputError(
            f"The prediction has no {stem}_{missing[0]}, so {stem!r} cannot be shown with intervals."
        )
    best = top_customers(value, n, quantity=stem)
    ids = [style.short(str(i)) for i in best[CUSTOMER].to_numpy()]
    rows = np.arange(len(ids))
    with style.styled():
        figure = style.drawing(1.1 + 0.19 * len(ids), width)
        axes = figure.subplots()
        column = {q: best[f"{stem}_{q}"].to_numpy() for q in ("mean", "q05", "q25", "q75", "q95")}
        axes.hlines(rows, column["q05"], column["q95"], color=style.SKY, linewidth=1.6, label="90 %")
        axes.hlines(rows, column["q25"], column["q75"], color=style.BLUE, linewidth=4.2, label="50 %")
        axes.plot(column["mean"], rows, "o", color=style.ORANGE, markersize=4.5, label=say("mean"))
        axes.set_yticks(rows, ids, fontsize=8)
        axes.set_ylim(len(ids) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(left=min(0.0, float(np.nanmin(column["q05"]))))
        style.thousands(axes.xaxis)
        axes.set_xlabel(unit_label(stem, value))
        axes.set_ylabel(say("customer"))
        axes.legend(loc="lower right")
        style.heading(
            axes,
            say("The {count} customers with the highest mean", count=len(ids)),
            say("outcome level; 50 % and 90 % intervals"),
        )
    return figure


def top_customers(value: xr.Dataset, n: int, *, quantity: str | None = None) -> xr.Dataset:
    """Return the ``n`` customers with the highest predicted mean, best first, ties by id; NaN last."""
    means = value[f"{choose_quantity(value, quantity)}_mean"].to_numpy().astype(float)
    ids = value[CUSTOMER].to_numpy().astype(str)
    order = np.lexsort((ids, -np.nan_to_num(means, nan=-np.inf)))
    per_customer = value.drop_dims([d for d in (CHAIN, DRAW) if d in value.dims])
    return per_customer.isel({CUSTOMER: order[:n]})
