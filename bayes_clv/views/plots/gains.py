"""What contacting gains: the total against the number contacted, and each segment's gain with its interval."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import CHAIN, DRAW, interval
from bayes_clv.targeting.contacts import flat_draws
from bayes_clv.targeting.gain import gain_curve
from bayes_clv.views import numbers, style

# Above it segments are too many to read; those with the most customers are shown.
SEGMENTS_SHOWN = 20
# Of offers, in their order; orange is the order by value.
SERIES = (style.BLUE, style.GREEN, style.PURPLE, style.AMBER, style.SKY, style.INK)


def plot_gain(decision: xr.Dataset) -> style.Drawing:
    """Plot the net gain against the number of customers contacted, and each segment's gain per contact.

    Parameters
    ----------
    decision : xarray.Dataset
        The result of ``clv.target``.

    Returns
    -------
    matplotlib.figure.Figure
        Left: cumulative net gain, best customers first (blue, mean and band of 90 % of draws, level: expected), beside
        the order by value without contact (orange) and a random one (dashed); nobody is the line at 0. The dot is what
        was decided: it lies on the blue line where customers were chosen by their mean gain, and elsewhere where risk
        counts too. Right: net gain per contact of each segment, mean and 90 % interval, customers of mean scale and
        cost; filled where somebody of the segment is contacted. Of several offers each has its colour, and is filled
        where somebody of the segment is offered it.

    Raises
    ------
    InputError
        When it is no result of ``target``.

    Examples
    --------
    >>> figure = plot_gain(target(predict_uplift(response, experiment), cost=1.5, margin=0.3))
    """
    curves = {along: gain_curve(decision, along=along) for along in ("rank", "value", "random")}
    gains = gains_by_segment(decision)
    with style.styled():
        rows = min(gains.mean.shape[1], SEGMENTS_SHOWN) * (1 + 0.5 * (len(gains.mean) - 1))
        figure = style.drawing(max(3.6, 1.2 + 0.19 * rows), width=9.0)
        axes = figure.subplots(1, 2, width_ratios=(1.35, 1))
        _draw_curves(axes[0], decision, curves)
        _draw_segments(axes[1], decision, gains)
    return figure


def _draw_curves(ax: Any, decision: xr.Dataset, curves: dict[str, xr.Dataset]) -> None:
    at = curves["rank"]["contacts"].to_numpy()
    drawn = curves["rank"]["net_gain"].transpose(CHAIN, DRAW, "contacts").to_numpy().reshape(-1, at.size)
    low, high = interval(drawn, axis=0)
    ax.axhline(0, color=style.MUTED, linewidth=1)
    ax.fill_between(at, low, high, color=style.BLUE, alpha=0.2, linewidth=0)
    ax.plot(at, drawn.mean(axis=0), color=style.BLUE, label=say("by expected gain, 90 % band"))
    for by, colour, line, words in (
        ("value", style.ORANGE, "-", say("by value without contact")),
        ("random", style.MUTED, "--", say("at random")),
    ):
        mean = curves[by]["net_gain"].mean((CHAIN, DRAW)).to_numpy()
        ax.plot(curves[by]["contacts"], mean, color=colour, linestyle=line, label=words)
    contacted = int(decision["contacted"].sum())
    total = float(decision["net_gain_total"].mean())
    ax.plot(
        contacted,
        total,
        "o",
        color=style.INK,
        markersize=6,
        label=say("decided: {contacted:,} contacts", contacted=contacted),
        zorder=3,
    )
    ax.set_xlabel(say("customers contacted"))
    ax.set_ylabel(say("{label} ({unit})", label=say("net gain"), unit=numbers.money_unit(decision)))
    for axis in (ax.xaxis, ax.yaxis):
        style.thousands(axis)
    ax.xaxis.get_major_locator().set_params(nbins=5)
    ax.legend(loc="best")
    budget = decision.attrs["budget"]
    risk = str(decision.attrs["risk"])
    told = {"risk": say("mean") if risk == "mean" else risk}
    note = (
        say("level: expected; no budget, chosen by {risk}", **told)
        if budget == "none"
        else say("level: expected; budget {budget:,.0f}, chosen by {risk}", budget=float(budget), **told)
    )
    style.heading(ax, say("What contacting gains"), note)


@dataclass(frozen=True)
class SegmentGains:
    """The net gain of one contact, (offer, segment): mean, 90 % interval, and the probability of being above 0."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pays: np.ndarray


def gains_by_segment(decision: xr.Dataset) -> SegmentGains:
    """Return the net gain of one contact in each segment, at its mean cost and scale (level: expected)."""
    labels = decision["segment"].to_numpy().astype(str)
    index = np.searchsorted(labels, decision["customer_segment"].to_numpy().astype(str))
    people = np.maximum(np.bincount(index, minlength=labels.size), 1)
    scale = np.bincount(index, weights=decision["scale"].to_numpy(), minlength=labels.size) / people
    if "offer_cost" in decision:
        cost = decision["offer_cost"].transpose("offer", "segment").to_numpy()
    else:
        cost = np.bincount(index, weights=decision["cost"].to_numpy(), minlength=labels.size) / people
    gain = float(decision.attrs["margin"]) * flat_draws(decision["uplift"]) * scale - cost
    low, high = interval(gain, axis=0)
    return SegmentGains(gain.mean(axis=0), low, high, (gain > 0).mean(axis=0))


def _draw_segments(ax: Any, decision: xr.Dataset, gains: SegmentGains) -> None:
    means, low, high = gains.mean, gains.low, gains.high
    size = decision["segment_customers"].to_numpy()
    shown = np.argsort(-size, kind="stable")[:SEGMENTS_SHOWN]
    shown = shown[np.argsort(-means.max(axis=0)[shown], kind="stable")]
    rows = np.arange(shown.size)
    ax.axvline(0, color=style.MUTED, linewidth=1)
    if "segment_offered" in decision:
        offered = decision["segment_offered"].transpose("offer", "segment").to_numpy() > 0
        names = decision["offer"].to_numpy().tolist()
    else:
        offered, names = decision["segment_contacted"].to_numpy()[None] > 0, [""]
    for k, name in enumerate(names):
        at = rows + 0.7 * ((k + 0.5) / len(names) - 0.5)
        colour = style.BLUE if len(names) == 1 else SERIES[k % len(SERIES)]
        ax.hlines(
            at,
            low[k, shown],
            high[k, shown],
            color=style.SKY if len(names) == 1 else colour,
            linewidth=3 if len(names) == 1 else 2,
            alpha=1.0 if len(names) == 1 else 0.5,
        )
        some = offered[k, shown]
        for those, words, inside in (
            (some, name or say("contacted"), colour),
            (~some, say("{name}, to nobody", name=name) if name else say("not contacted"), "white"),
        ):
            if those.any():
                ax.plot(
                    means[k, shown][those],
                    at[those],
                    "o",
                    color=colour,
                    markersize=5,
                    markerfacecolor=inside,
                    # Of several offers the hollow ones are named where the filled ones are not.
                    label=words if len(names) == 1 or those is some or not some.any() else None,
                )
    labels = decision["segment"].to_numpy()[shown]
    texts = [style.short(str(label)) for label in labels]
    ax.set_yticks(rows, [f"{text} ({size[s]:,})" for text, s in zip(texts, shown, strict=True)], fontsize=8)
    ax.set_ylim(shown.size - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.set_xlabel(
        say("{label} ({unit})", label=say("net gain per contact"), unit=numbers.money_unit(decision))
    )
    if len(names) > 1 or (offered[0, shown].any() and not offered[0, shown].all()):
        # Above the first segment, where no interval lies.
        ax.set_ylim(top=-0.6 - 0.11 * shown.size * ((len(names) + 3) // 2))
        ax.legend(loc="upper center", ncols=2)
    note = say("level: expected, mean and 90 %")
    if shown.size < size.size:
        note = say("{note}; the {number} largest", note=note, number=shown.size)
    if len(names) > 1:
        note = say("{note}; filled: offered", note=note)
    style.heading(ax, say("By segment (customers)"), note)
