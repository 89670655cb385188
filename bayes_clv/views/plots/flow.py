"""Who moved where between two dates: ribbons between the segments of the two, or the table behind them."""

from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.language import say, say_in
from bayes_clv.schema import InputError
from bayes_clv.views import style

HEIGHT = 5.4
# Space between two segments, as a share of all customers.
GAP = 0.035
# A ribbon's numbers are written in it from this thickness in inches on; others are in the table.
ROOM = 0.14
COLOURS = (style.BLUE, style.GREEN, style.PURPLE, style.AMBER, style.ORANGE, style.SKY, style.INK)


def plot_flow(flow: xr.Dataset, kind: Literal["ribbons", "table"] = "ribbons") -> style.Drawing:
    """Plot how many customers moved from each segment to each other between two dates.

    Parameters
    ----------
    flow : xarray.Dataset
        The result of ``clv.segments.flow``.
    kind : str
        ``"ribbons"``: segments of the first date left, of the second right, between them ribbons as wide as the
        expected number of customers, in the colour of where they come from; the numbers with their 90 % intervals are
        written at the segments and in the ribbons that have room. ``"table"``: every pair with its number and 90 %
        interval, the darker the larger the share of the segment's customers at the first date.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When it is no result of ``clv.segments.flow``; another kind.

    Examples
    --------
    >>> earlier = clv.summarize(orders, until="1997-06-30")
    >>> few = {"draws": 50, "seed": 1}
    >>> before, after = clv.simulate(buying, earlier, **few), clv.simulate(buying, customers, **few)
    >>> figure = plot_flow(clv.segments.flow(before, after, clv.segments.lifecycle()))
    """
    if not {"flow_mean", "flow_q05", "flow_q95", "share_mean"} <= set(flow.data_vars):
        raise InputError("plot_flow draws the result of clv.segments.flow; this dataset has no flow_mean.")
    if kind not in ("ribbons", "table"):
        raise InputError(f"kind={kind!r} is not known. Use 'ribbons' or 'table'.")
    with style.styled():
        if kind == "table":
            height = 1.5 + 0.52 * flow.sizes["from_segment"]
            figure = style.drawing(height, width=2.2 + 0.95 * flow.sizes["to_segment"])
            _draw_table(figure.subplots(), flow)
        else:
            figure = style.drawing(HEIGHT, width=8.4)
            _draw_ribbons(figure.subplots(), flow)
    return figure


def _note(flow: xr.Dataset) -> str:
    attrs = flow.attrs
    level = say(str(attrs["level"]))
    if attrs["known"] == "then":
        return say("level: {level}; mean and 90 % interval; left by the label given then", level=level)
    return say("level: {level}; mean and 90 % interval; both dates judged by what is known now", level=level)


def _title(flow: xr.Dataset) -> str:
    dates = [flow.attrs[name] for name in ("from_date", "to_date")]
    if not all(dates):
        return say("{rule}: who moved where", rule=flow.attrs["rule"])
    first, last = dates
    return say("{rule}: who moved where, {first} to {last}", rule=flow.attrs["rule"], first=first, last=last)


def _words(mean: float, low: float, high: float) -> str:
    if mean == low == high:
        return f"{mean:,.0f}"
    digits = 0 if mean >= 9.5 else 1
    return f"{mean:,.{digits}f} ({low:,.0f}–{high:,.0f})"


def _draw_ribbons(ax: Any, flow: xr.Dataset) -> None:
    from matplotlib.patches import Rectangle

    mean, low, high = (flow[f"flow_{each}"].to_numpy() for each in ("mean", "q05", "q95"))
    total = mean.sum()
    names = [[str(each) for each in flow[f"{side}_segment"].values] for side in ("from", "to")]
    colour = _colours([*names[1], *names[0]])
    sizes = [mean.sum(axis=1), mean.sum(axis=0)]
    # Nobody there at all: nothing to draw.
    shown = [np.flatnonzero(size > 0) for size in sizes]
    tops = [_tops(size, which, total, max(map(len, shown))) for size, which in zip(sizes, shown, strict=True)]
    whole = total * (1 + GAP * (max(map(len, shown)) - 1))
    inch = (HEIGHT - 1.0) / whole
    place = [dict(zip(which, top, strict=True)) for which, top in zip(shown, tops, strict=True)]
    used = [dict(each) for each in place]
    for i in shown[0]:
        for j in shown[1]:
            width = mean[i, j]
            if width <= 0:
                continue
            left, right = used[0][i], used[1][j]
            used[0][i], used[1][j] = left + width, right + width
            _ribbon(ax, left, right, width, colour[names[0][i]])
            if width * inch >= ROOM:
                text = _words(width, low[i, j], high[i, j])
                ax.text(0.035, left + width / 2, text, fontsize=8, va="center", ha="left", color=style.INK)
    for side, (x, align) in enumerate(((0.0, "right"), (1.0, "left"))):
        stem = ("from", "to")[side]
        spans = [flow[f"{stem}_size_{each}"].to_numpy() for each in ("mean", "q05", "q95")]
        middles = np.array([place[side][i] + sizes[side][i] / 2 for i in shown[side]])
        heights = _apart(middles, 0.36 / inch, whole)
        for i, middle, height in zip(shown[side], middles, heights, strict=True):
            name = names[side][i]
            ax.add_patch(
                Rectangle(
                    (x - 0.012, middle - sizes[side][i] / 2),
                    0.024,
                    max(sizes[side][i], 0.006 * whole),
                    color=colour[name],
                    linewidth=0,
                )
            )
            out = -1 if side == 0 else 1
            ax.plot([x + out * 0.016, x + out * 0.04], [middle, height], color=style.MUTED, linewidth=0.7)
            ax.text(
                x + out * 0.048,
                height,
                f"{_short(name)}\n{_words(*(span[i] for span in spans))}",
                ha=align,
                va="center",
                fontsize=8.5,
                linespacing=1.15,
            )
    ax.set_xlim(-0.34, 1.34)
    ax.set_ylim(whole * 1.03, -whole * 0.03)
    ax.axis("off")
    style.heading(ax, _title(flow), _note(flow))


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _colours(names: list[str]) -> dict[str, str]:
    """Return a colour for each name: grey for prospects, the same for a segment left and right."""
    once = [name for name in dict.fromkeys(names) if name != "prospect"]
    return {"prospect": style.MUTED} | {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(once)}


def _tops(size: np.ndarray, shown: np.ndarray, total: float, most: int) -> np.ndarray:
    """Return where each segment begins, counted downwards; a side with fewer segments has wider gaps."""
    gap = total * GAP * (most - 1) / max(len(shown) - 1, 1)
    ends = np.cumsum(size[shown] + gap)
    tops: np.ndarray = np.r_[0.0, ends[:-1]]
    return tops


def _apart(middles: np.ndarray, least: float, whole: float) -> np.ndarray:
    """Return heights of labels near the middles, in their order, at least ``least`` from each other."""
    least = min(least, whole / max(len(middles) - 1, 1))
    # Least squares under an order: pool neighbours that would be too close (isotonic regression).
    shift = least * np.arange(len(middles))
    pools: list[list[float]] = []
    for value in middles - shift:
        pools.append([value, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            value, count = pools.pop()
            first, number = pools[-1]
            pools[-1] = [(first * number + value * count) / (number + count), number + count]
    flat = np.concatenate([np.full(int(count), value) for value, count in pools])
    # Inside the axes: what lies beyond an end is moved up to it, in order all the same.
    heights: np.ndarray = np.clip(flat, 0.0, whole - shift[-1]) + shift
    return heights


def _ribbon(ax: Any, left: float, right: float, width: float, colour: str) -> None:
    """Draw a ribbon of constant height whose ends are level."""
    x = np.linspace(0.012, 0.988, 60)
    share = np.linspace(0, 1, 60)
    bend = share**2 * (3 - 2 * share)
    upper = left + (right - left) * bend
    ax.fill_between(x, upper, upper + width, color=colour, alpha=0.35, linewidth=0)


def _draw_table(ax: Any, flow: xr.Dataset) -> None:
    # A row of nobody says nothing; a segment that nobody reached is an answer.
    flow = flow.isel(from_segment=np.flatnonzero(flow["flow_mean"].sum("to_segment") > 0))
    mean, low, high = (flow[f"flow_{each}"].to_numpy() for each in ("mean", "q05", "q95"))
    share = flow["share_mean"].to_numpy()
    ax.imshow(np.ma.masked_invalid(share), cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(mean.shape):
        numbers = (float(each[i, j]) for each in (mean, low, high))
        words = "–" if mean[i, j] == 0 else _words(*numbers).replace(" ", "\n", 1)
        dark = np.isfinite(share[i, j]) and share[i, j] > 0.45
        ax.text(
            j,
            i,
            words,
            ha="center",
            va="center",
            fontsize=8,
            linespacing=1.15,
            color="white" if dark else style.INK,
        )
    names = [[_short(str(each), 16) for each in flow[f"{side}_segment"].values] for side in ("from", "to")]
    ax.set_yticks(range(len(names[0])), names[0])
    ax.set_xticks(range(len(names[1])), [name.replace(" ", "\n", 1) for name in names[1]])
    ax.tick_params(length=0)
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_ylabel(say_in("flow", "from"))
    ax.set_xlabel(say("to; the darker, the larger the share of the row"))
    style.heading(ax, _title(flow), _note(flow))
