"""What a lesson is built of beside text: a figure, an answer that stays shut until it is asked for, a curve.

Answers are HTML's own ``<details>``: they open in the running lesson, on a page without a program, and by keyboard.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any

import marimo as mo
from matplotlib.ticker import PercentFormatter

from bayes_clv.views import style
from bayes_clv.views.narrow import narrowed

# A running lesson and a page alike: which of a figure's two drawings is seen.
SIZES = (
    ".picture .wide { max-width: 46rem } .picture .small { display: none } "
    "@media screen and (max-width: 599px) { .picture .wide { display: none } .picture .small { display: block } }"
)
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.AMBER, style.SKY)


@contextmanager
def figure(
    title: str, note: str, height: float = 3.0, panels: int = 1, below: int = 1
) -> Iterator[tuple[Any, Any]]:
    """Draw in the package's style: gives the figure and its axes (one, or an array of them beside or below)."""
    with style.styled():
        drawn = style.drawing(height)
        axes = drawn.subplots(below, panels, sharex=below > 1)
        style.heading(axes if panels * below == 1 else axes[0], title, note)
        yield drawn, axes


def picture(drawn: Any, told: str) -> mo.Html:
    """Return a figure as text in the page, with what it shows in words for those who do not see it."""
    name = "figure-" + hashlib.sha256(told.encode()).hexdigest()[:8]
    wide = style.inline_svg(style.svg_text(drawn), name)
    # On a telephone, one that is laid out for it, so that its letters can be read.
    small = style.inline_svg(narrowed(drawn), f"{name}-small")
    return mo.Html(
        f'<div class="picture" role="img" aria-label="{escape(told)}"><style>{SIZES}</style>'
        f'<div class="wide">{wide}</div><div class="small">{small}</div></div>'
    )


def text(markdown: str) -> mo.Html:
    """Return Markdown in which a dollar is a dollar; to marimo two of them enclose a formula."""
    return mo.md(markdown.replace("$", "&#36;"))


def hidden(title: str, *parts: Any) -> mo.Html:
    """Return parts, texts or anything that marimo shows, behind a line that opens them."""
    inside = "".join((text(part) if isinstance(part, str) else mo.as_html(part)).text for part in parts)
    return mo.Html(f"<details><summary>{title}</summary>{inside}</details>")


def percent(axis: Any) -> None:
    """Label an axis of probabilities."""
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def money(amount: float) -> str:
    """Return whole dollars, the sign before the unit.

    >>> money(-536.2), money(1675)
    ('-$536', '$1,675')
    """
    return f"{'-' if round(amount) < 0 else ''}${abs(amount):,.0f}"


def curves(axes: Any, across: Any, lines: Mapping[str, Any]) -> None:
    """Draw named lines, each with its name at its end."""
    for colour, (name, values) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(across, values, color=colour, label=name)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
