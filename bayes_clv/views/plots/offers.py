"""Figures of offers: price against performance with the fair-value line, and what an advantage is made of."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.perceived.markets import ATTRIBUTE, PART, RIVAL
from bayes_clv.schema import DRAW, InputError
from bayes_clv.views import numbers, style

# Of the draws of a rival, which lie in its region.
REGION = 0.9
CORNERS = 90
LABEL = 28


def plot_price_performance(offers: xr.Dataset) -> style.Drawing:
    """Plot each rival's price against its performance, with the fair-value line.

    Not to be confused with ``plot_customer_map``, which is of one's own customers.

    Parameters
    ----------
    offers : xarray.Dataset
        The result of ``clv.perceived.price_performance``.

    Returns
    -------
    matplotlib.figure.Figure
        Performance (points) to the right, price (money) upwards. Rivals below the line give more than they cost, those
        above less; the upright distance to it, in money, is the total advantage, written at each dot. With draws: the
        ellipse that holds 90 % of a rival's draws, prices moved by what the reference's performance and the slope do,
        so that the distance to the line is right.

    Raises
    ------
    InputError
        When it is no result of ``price_performance``.

    Examples
    --------
    >>> sure = clv.perceived.market({"taste": {"A": 8, "B": 6}}, {"taste": 1}, {"price": {"A": 100, "B": 80}})
    >>> figure = plot_price_performance(clv.perceived.price_performance(sure, slope=15))
    """
    _check(offers)
    line = _line(offers)
    at = _middle(offers, "performance")
    price = offers["total_price"].to_numpy()
    gain = _middle(offers, "total_advantage")
    names = [style.short(str(name), LABEL) for name in offers[RIVAL].to_numpy()]
    with style.styled():
        figure = style.drawing(5.2, width=8.0)
        ax = figure.subplots()
        reach = [at]
        if DRAW in offers["total_advantage"].dims:
            for number, colour in enumerate(_colours(gain)):
                x, y = _region(offers.isel({RIVAL: number}), line)
                ax.fill(x, y, color=colour, alpha=0.16, linewidth=0)
                reach.append(x)
        ends = _reach(np.concatenate(reach))
        ax.plot(ends, line(ends), color=style.INK, linewidth=1.4, zorder=2)
        ax.scatter(at, price, c=_colours(gain), s=46, zorder=3)
        for number, name in enumerate(names):
            beside = f"{gain[number]:+,.{numbers.decimals(gain)}f}"
            # Away from the line, which runs upwards.
            right = gain[number] >= 0
            ax.annotate(
                f"{name} ({beside})",
                xy=(at[number], price[number]),
                xytext=(8, -4) if right else (-8, -4),
                textcoords="offset points",
                ha="left" if right else "right",
                fontsize=9,
                zorder=4,
            )
        ax.text(
            0.98,
            0.03,
            say("gives more than it costs"),
            transform=ax.transAxes,
            ha="right",
            color=style.BLUE,
            fontsize=9,
        )
        ax.text(
            0.02,
            0.97,
            say("gives less than it costs"),
            transform=ax.transAxes,
            va="top",
            color=style.ORANGE,
            fontsize=9,
        )
        ax.margins(y=0.12)
        # No price is negative, though the line goes there.
        ax.set_ylim(bottom=max(ax.get_ylim()[0], 0.0))
        style.thousands(ax.yaxis)
        ax.set_xlabel(say("weighted performance (points)"))
        ax.set_ylabel(say("{label} ({unit})", label=say("price"), unit=numbers.money_unit(offers)))
        style.heading(ax, say("Price and performance"), _note(offers))
    return figure


def plot_advantages(offers: xr.Dataset, rival: str) -> style.Drawing:
    """Plot of what a rival's advantage is made of: attribute by attribute, and part by part of the price.

    Parameters
    ----------
    offers : xarray.Dataset
        The result of ``clv.perceived.price_performance``; its reference is what the rival is held against.
    rival : str
        Of the rivals.

    Returns
    -------
    matplotlib.figure.Figure
        One bar an attribute and a part of the price, in money, and one of all together: to the right an advantage, to
        the left a disadvantage; with draws a line from the 5 % to the 95 % quantile.

    Raises
    ------
    InputError
        When it is no result of ``price_performance``, or has no such rival.

    Examples
    --------
    >>> sure = clv.perceived.market({"taste": {"A": 8, "B": 6}}, {"taste": 1}, {"price": {"A": 100, "B": 80}})
    >>> figure = plot_advantages(clv.perceived.price_performance(sure, slope=15), "A")
    """
    _check(offers)
    rivals = [str(name) for name in offers[RIVAL].to_numpy()]
    if rival not in rivals:
        raise InputError(f"{rival!r} is no rival here. There are {', '.join(rivals)}.")
    one = offers.sel({RIVAL: rival})
    attributes = [str(name) for name in one[ATTRIBUTE].to_numpy()]
    parts = [str(name) for name in one[PART].to_numpy()]
    bars = np.concatenate(
        [
            _middle(one, "attribute_advantage"),
            one["price_part_advantage"].to_numpy(),
            [_middle(one, "total_advantage")],
        ]
    )
    names = [*(style.short(name, LABEL) for name in (*attributes, *parts)), say("in all")]
    rows = np.arange(bars.size)
    colours = [style.BLUE if bar >= 0 else style.ORANGE for bar in bars]
    with style.styled():
        figure = style.drawing(1.5 + 0.36 * rows.size, width=7.5)
        ax = figure.subplots()
        ax.axvline(0, color=style.MUTED, linewidth=1)
        ax.barh(rows, bars, height=0.6, color=colours, alpha=0.8)
        if "total_advantage_q05" in one:
            unsure = [*range(len(attributes)), rows.size - 1]
            low, high = (
                [*one[f"attribute_advantage_{end}"].to_numpy(), float(one[f"total_advantage_{end}"])]
                for end in ("q05", "q95")
            )
            ax.hlines(rows[unsure], low, high, color=style.INK, linewidth=1.3, zorder=3)
        ax.axhline(rows.size - 1.5, color=style.MUTED, linewidth=0.8)
        ax.set_yticks(rows, names)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(say("{label} ({unit})", label=say("advantage"), unit=numbers.money_unit(offers)))
        against = str(offers.attrs["against"])
        other = say("the average of the rivals") if against == "average" else against
        note = (
            say("what the difference is worth to customers; lines: 90 % of the draws")
            if "total_advantage_q05" in one
            else say("what the difference is worth to customers")
        )
        style.heading(ax, say("{rival} against {other}", rival=rival, other=other), note)
    return figure


def _check(offers: Any) -> None:
    if not isinstance(offers, xr.Dataset) or offers.attrs.get("result") != "price and performance":
        raise InputError("This is drawn of what clv.perceived.price_performance returned.")


def _middle(offers: xr.Dataset, name: str) -> np.ndarray:
    """Return a quantity's mean over draws, or itself."""
    found = offers[f"{name}_mean"] if f"{name}_mean" in offers else offers[name]
    return np.asarray(found.to_numpy(), dtype=float)


def _line(offers: xr.Dataset) -> Any:
    """Return the mean fair-value line: price at a performance."""
    slope, at, price = (
        float(offers[name].mean()) for name in ("slope", "reference_performance", "reference_price")
    )
    return lambda performance: price + slope * (performance - at)


def _region(one: xr.Dataset, line: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the ellipse that holds REGION of a rival's draws."""
    x = np.broadcast_to(one["performance"].to_numpy(), one["total_advantage"].shape)
    y = line(x) - one["total_advantage"].to_numpy()
    drawn = np.stack([x, y])
    centre = drawn.mean(axis=1, keepdims=True)
    spread = np.cov(drawn)
    # Where only one of the two varies the ellipse is a line; a billionth of its length makes it one that can be drawn.
    spread += np.eye(2) * 1e-9 * max(np.trace(spread), 1e-300)
    root = np.linalg.cholesky(spread)
    length = np.sqrt((np.linalg.solve(root, drawn - centre) ** 2).sum(axis=0))
    turn = np.linspace(0, 2 * np.pi, CORNERS)
    x, y = centre + np.quantile(length, REGION) * root @ np.stack([np.cos(turn), np.sin(turn)])
    return x, y


def _reach(at: np.ndarray) -> np.ndarray:
    low, high = float(at.min()), float(at.max())
    room = 0.3 * (high - low) or 1.0
    return np.array([low - room, high + room])


def _colours(gain: np.ndarray) -> list[str]:
    return [style.BLUE if each >= 0 else style.ORANGE for each in gain]


def _note(offers: xr.Dataset) -> str:
    against = str(offers.attrs["against"])
    told = {
        "through": say("the average") if against == "average" else against,
        "slope": numbers.number(float(offers["slope"].mean())),
        "unit": numbers.money_unit(offers),
    }
    if DRAW in offers["total_advantage"].dims:
        return say(
            "line of fair value through {through}: {slope} of {unit} a point; regions: 90 % of the draws",
            **told,
        )
    return say("line of fair value through {through}: {slope} of {unit} a point", **told)
