"""What value is made of, and what makes the difference between two values: each segment's, with intervals."""

import textwrap
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import DRAW, InputError, interval, listed, quantiles
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.valuation.contribution import FACTOR
from bayes_clv.valuation.parts import CURRENT, HISTORICAL, PART, check_parts
from bayes_clv.views import numbers, style

# Above these a figure is too tall to be read; the segments with the most money are shown.
SEGMENTS_SHOWN = 15
DIFFERENCES_SHOWN = 8
LINE = 118
# An en space, which tells headers from other labels.
HEADER = "\u2002"
_POTENTIAL = (style.ORANGE, style.AMBER, style.PURPLE, style.GREEN)
_FACTORS = {
    "customers": style.MUTED,
    "cycle": style.GREEN,
    "frequency": style.BLUE,
    "amount": style.ORANGE,
    "discounting": style.PURPLE,
    "margin": style.AMBER,
    "costs": style.SKY,
}


def plot_value_parts(parts: xr.Dataset) -> style.Drawing:
    """Plot what each segment's value is made of: earned, to come if nothing changes, and what could come on top.

    Parameters
    ----------
    parts : xarray.Dataset
        The result of ``clv.value_parts``.

    Returns
    -------
    matplotlib.figure.Figure
        One bar a segment: mean of historical (grey), current (blue) and each assumed part (other colours), totals of
        its customers in money. The lines below are 90 % intervals (outcome level) of historical and current together
        (blue) and of all parts together (black). Acquisition costs are not in it. The assumptions stand at the foot.
        Medians are drawn where means do not exist.

    Raises
    ------
    InputError
        When it is no result of ``value_parts``.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> figure = plot_value_parts(clv.value_parts(draws, {"up_sell": clv.Prior("Beta", mu=0.1, sigma=0.03)}))
    """
    check_parts(parts)
    names = parts[PART].to_numpy().tolist()
    total = parts["value_total"].transpose(DRAW, SEGMENT, PART).to_numpy()
    known = ~np.isnan(total).any(axis=(0, 1))
    named, total = [name for name, each in zip(names, known, strict=True) if each], total[:, :, known]
    middle = parts["value_total_mean"].sel({PART: named}).transpose(SEGMENT, PART).to_numpy()
    center = "mean"
    if np.isnan(middle).any():
        middle, center = quantiles(total, [0.5], axis=0)[0], "median"
    shown = _largest(total.sum(axis=2).mean(axis=0), SEGMENTS_SHOWN)
    said = _assumed(parts, named)
    with style.styled():
        bars = 1.7 + 0.5 * shown.size
        figure = style.drawing(bars + 0.16 * len(said) + 0.1, width=9.0)
        above, below = figure.subplots(2, 1, height_ratios=(bars, 0.16 * len(said) + 0.1))
        _draw_parts(above, named, middle[shown], total[:, shown])
        _segment_labels(above, parts, shown)
        few = f"; the {shown.size} of {middle.shape[0]} with the most" if shown.size < middle.shape[0] else ""
        style.heading(
            above,
            "What value is made of",
            f"{center} and 90 % intervals, outcome level; totals of each segment over "
            f"{numbers.horizon(parts)}{few}",
        )
        below.axis("off")
        below.text(0, 1, "\n".join(said), va="top", color=style.MUTED, fontsize=8, linespacing=1.35)
    return figure


def _draw_parts(ax: Any, names: list[str], middle: np.ndarray, total: np.ndarray) -> None:
    rows = np.arange(middle.shape[0])
    left, right = np.zeros(rows.size), np.zeros(rows.size)
    assumed = 0
    for i, name in enumerate(names):
        colour = {HISTORICAL: style.MUTED, CURRENT: style.BLUE}.get(name)
        hatch = None
        if colour is None:
            # After four colours they come again, striped.
            colour, hatch = (
                _POTENTIAL[assumed % len(_POTENTIAL)],
                ("////" if assumed >= len(_POTENTIAL) else None),
            )
            assumed += 1
        width = middle[:, i]
        start = np.where(width >= 0, right, left)
        ax.barh(
            rows - 0.1,
            width,
            left=start,
            height=0.4,
            color=colour,
            alpha=0.8,
            label=name.replace("_", " "),
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
        )
        right, left = right + np.maximum(width, 0), left + np.minimum(width, 0)
    certain = [i for i, name in enumerate(names) if name in (HISTORICAL, CURRENT)]
    spans = [(total[:, :, certain].sum(axis=2), 0.18, style.BLUE, " and ".join(names[i] for i in certain))]
    if len(certain) < len(names):
        spans.append((total.sum(axis=2), 0.3, style.INK, "all parts"))
    for draws, shift, colour, words in spans:
        low, high = interval(draws, axis=0)
        ax.hlines(rows + shift, low, high, color=colour, linewidth=2, label=f"90 %: {words}")
    ax.axvline(0, color=style.MUTED, linewidth=1)
    ax.set_ylim(rows.size - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.set_xlabel("money")
    style.thousands(ax.xaxis)
    handles, labels = ax.get_legend_handles_labels()
    # Bars first.
    order = sorted(range(len(labels)), key=lambda i: labels[i].startswith("90 %"))
    ax.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="center left", bbox_to_anchor=(1.01, 0.5)
    )


def _segment_labels(ax: Any, parts: xr.Dataset, shown: np.ndarray) -> None:
    size = parts["size_mean"].to_numpy()[shown]
    texts = [_short(label) for label in parts[SEGMENT].to_numpy()[shown].tolist()]
    labels = [f"{text}\n{each:,.0f} customers" for text, each in zip(texts, size, strict=True)]
    ax.set_yticks(np.arange(shown.size), labels, fontsize=8.5)


def _assumed(parts: xr.Dataset, named: list[str]) -> list[str]:
    """Return what is assumed, and what is missing, as lines."""
    lines = []
    for name, text in zip(
        parts[PART].to_numpy().tolist(), parts["assumption"].to_numpy().tolist(), strict=True
    ):
        if name in named:
            said = f"{name.replace('_', ' ')}: {text}"
            lines += textwrap.wrap(said, LINE, subsequent_indent="    ")
    for reason in listed(parts.attrs, "reasons"):
        lines += textwrap.wrap(reason, LINE, subsequent_indent="    ")
    return lines


def plot_contributions(found: xr.Dataset) -> style.Drawing:
    """Plot what each factor contributes to a segment's difference from its baseline.

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.valuation.contributions``.

    Returns
    -------
    matplotlib.figure.Figure
        For each segment one bar a factor, mean and 90 % interval (outcome level), in money; beside its name the
        factor's median ratio to the baseline's, and beside the segment's both values (medians). The diamond is the
        whole difference, of which the bars are the parts. Medians are drawn where means do not exist.

    Raises
    ------
    InputError
        When it is no result of ``contributions``.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=100, seed=1)
    >>> kinds = clv.rule("History", {"one-time": "frequency == 0", "repeat": "frequency > 0"})
    >>> figure = plot_contributions(clv.valuation.contributions(draws, by=kinds))
    """
    if not isinstance(found, xr.Dataset) or not {"contribution", "difference", "ratio_q50"} <= set(
        found.data_vars
    ):
        raise InputError(
            "plot_contributions needs what clv.valuation.contributions returned, with all its variables."
        )
    compared = found["compared"].to_numpy()
    if not (compared > 0).any():
        raise InputError("No segment has a customer on both sides in any draw, so that nothing can be shown.")
    split = found["contribution"].transpose(DRAW, SEGMENT, FACTOR)
    difference = found["difference"].transpose(DRAW, SEGMENT)
    center = "mean" if not found["difference_mean"][compared > 0].isnull().any() else "median"
    size = np.full(compared.size, -1.0)
    size[compared > 0] = np.nanmedian(np.abs(difference.to_numpy()[:, compared > 0]), axis=0)
    shown = _largest(size, min(DIFFERENCES_SHOWN, int((compared > 0).sum())))
    factors = found[FACTOR].to_numpy().tolist()
    block = len(factors) + 2
    with style.styled():
        figure = style.drawing(1.3 + 0.23 * block * shown.size, width=8.0)
        ax = figure.subplots()
        ticks, labels = [], []
        for place, i in enumerate(shown):
            top = place * (block + 0.6)
            ticks.append(top)
            labels.append(_header(found, int(i)))
            for j, name in enumerate(factors):
                row = top + 1 + j
                ticks.append(row)
                labels.append(f"{name}  {_ratio_words(float(found['ratio_q50'][i, j]))}")
                _bar(ax, row, split.to_numpy()[:, i, j], center, _FACTORS[name])
            row = top + 1 + len(factors)
            ticks.append(row)
            labels.append("difference")
            _diamond(ax, row, difference.to_numpy()[:, i], center)
        ax.axvline(0, color=style.MUTED, linewidth=1)
        ax.set_yticks(ticks, labels, fontsize=8.5)
        for tick, label in zip(ax.get_yticklabels(), labels, strict=True):
            if HEADER in label:
                tick.set_fontweight("bold")
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(max(ticks) + 0.8, -0.8)
        ax.grid(False, axis="y")
        whose = "a customer" if found.attrs["per"] == "customer" else "the segment"
        ax.set_xlabel(f"contribution to the difference in value of {whose} (money)")
        style.thousands(ax.xaxis)
        few = f"; the {shown.size} of {found.sizes[SEGMENT]} that differ most" * (
            shown.size < found.sizes[SEGMENT]
        )
        style.heading(
            ax,
            f"Why value differs from {found.attrs['baseline']}",
            f"{center} and 90 % intervals, outcome level, over {numbers.horizon(found)}; "
            f"× is the median ratio{few}",
        )
    return figure


def _header(found: xr.Dataset, segment: int) -> str:
    value, base = (
        np.nanmedian(found[name].transpose(DRAW, SEGMENT).to_numpy()[:, segment])
        for name in ("value", "baseline_value")
    )
    label = _short(str(found[SEGMENT].to_numpy()[segment]))
    return f"{label}:{HEADER}{_money(value)} against {_money(base)}"


def _money(amount: float) -> str:
    return f"{amount:,.0f}" if abs(amount) >= 1000 else f"{amount:.3g}"


def _ratio_words(ratio: float) -> str:
    return f"×{ratio:.2f}" if ratio >= 0.1 or ratio == 0 else f"×{ratio:.1g}"


def _bar(ax: Any, row: float, draws: np.ndarray, center: str, colour: str) -> None:
    middle, low, high = _three(draws, center)
    ax.barh(row, middle, height=0.7, color=colour, alpha=0.75)
    ax.hlines(row, low, high, color=style.INK, linewidth=1.4, zorder=4)


def _diamond(ax: Any, row: float, draws: np.ndarray, center: str) -> None:
    middle, low, high = _three(draws, center)
    ax.hlines(row, low, high, color=style.INK, linewidth=1.4)
    ax.plot(middle, row, "D", color=style.INK, markersize=5, zorder=4)


def _three(draws: np.ndarray, center: str) -> tuple[float, float, float]:
    known = draws[~np.isnan(draws)]
    low, high = interval(known)
    return float(known.mean() if center == "mean" else quantiles(known, [0.5])[0]), float(low), float(high)


def _largest(amount: np.ndarray, most: int) -> np.ndarray:
    """Return the places of the largest, in their own order."""
    return np.sort(np.argsort(-amount, kind="stable")[:most])


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"{label[:23]}…"
