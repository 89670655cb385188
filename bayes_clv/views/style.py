"""How every figure looks: one palette, one set of matplotlib settings, one way to files.

The colours are those of Okabe and Ito (2008), which people with any common form of colour blindness
tell apart. Widths are chosen for a column of 700 px; text is kept as text in SVG, so that it can be
read, searched and take the page's font. In a page, each palette colour becomes a CSS variable with
the colour as its fallback (`inline_svg`), so one drawing serves a light and a dark page.

Figures are made without pyplot (`Drawing`): nothing is registered globally, so nothing leaks and nothing
has to be closed. The figures that ArviZ draws do go through pyplot; `release` closes them.
"""

import io
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bayes_clv.language import ENGLISH, spoken
from bayes_clv.views import fonts

# The font families of a text in matplotlib's SVG.
FAMILIES = r"'DejaVu Sans'[^;\"]*"

# What marks the line below the title of a panel, and a text to the right of a row.
NOTE, BESIDE = "_note", "_beside"

WIDTH = 7.0  # inches; 672 px at the browser's 96 px an inch
# Of a figure's width; what is narrower (a colour bar) is no panel.
LEAST_PANEL = 0.12

COLOURS = {
    "ink": "#1f2933",
    "muted": "#5b6770",
    "grid": "#dde2e6",
    "blue": "#0072b2",
    "orange": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "amber": "#e69f00",
}
INK, MUTED, GRID, BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = COLOURS.values()

# Light to dark with rising value, and never white: a blank cell must look different from a low one.
SEQUENTIAL = LinearSegmentedColormap.from_list(
    "bayes_clv", ["#f3e9c6", "#a8d3c0", "#4fa3b8", "#1f6aa5", "#23326e"]
)

RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titlepad": 8,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.titlesize": 11,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "path.simplify_threshold": 0.4,  # pixels; density curves have far more points than a screen shows
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a customer's id is no formula
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "bayes_clv",
}


# Labels of a date axis without words: of years, months, days, hours, minutes, seconds; at the first of the unit above;
# and, once beside the axis, of what all have in common.
_DATES: Any = {
    "formats": ["%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M", "%S"],
    "zero_formats": ["", "%Y-%m", "%Y-%m-%d", "%m-%d", "%H:%M", "%H:%M"],
    "offset_formats": ["", "", "", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d %H:%M"],
}


class Drawing(Figure):
    """A matplotlib figure that notebooks show and pyplot does not know about."""

    def _repr_svg_(self) -> str:
        return svg_text(self)

    def draw(self, renderer: Any) -> None:
        """Draw the figure, its texts in fonts that have their characters (see ``fonts``)."""
        left = fonts.cover(self)
        with fonts.quiet():
            super().draw(renderer)
        if left and self.canvas.get_default_filetype() != "svg":
            fonts.warn(left)

    # A plain PNG of a transparent figure is unreadable on a dark page, so files are opaque by default.
    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save the figure; the background is white unless ``facecolor`` or ``transparent`` says otherwise."""
        if not kwargs.get("transparent"):
            kwargs.setdefault("facecolor", "white")
        with styled():
            super().savefig(fname, **kwargs)


class Layout(ConstrainedLayoutEngine):
    """Constrained layout, with each title at the left edge of its column of panels, where the caption begins too."""

    def execute(self, fig: Any) -> None:
        """Lay the figure out."""
        titled = [(axes, note) for axes in fig.axes for note in notes(axes)]
        for axes, note in titled:
            _begin_at(axes, note, 0.0)
        super().execute(fig)
        edges: dict[int, float] = {}
        for axes in fig.axes if titled else ():
            words = axes.yaxis.get_tightbbox() if axes.axison else None
            column = round(axes.bbox.x0)
            edge = axes.bbox.x0 if words is None else min(words.x0, axes.bbox.x0)
            edges[column] = min(edge, edges.get(column, edge))
        for axes, note in titled:
            left = (edges[round(axes.bbox.x0)] - axes.bbox.x0) / axes.bbox.width
            _begin_at(axes, note, left)


def notes(axes: Any) -> list[Any]:
    """Return the lines below the titles of a panel."""
    return [each for each in axes.texts if each.get_label() == NOTE]


def _begin_at(axes: Any, note: Any, left: float) -> None:
    """Let a panel's title and the line below it begin so far right of the axes, in their widths."""
    axes._left_title.set_x(left)
    note.xy = (left, 1)


@contextmanager
def styled(arviz: bool = False) -> Iterator[None]:
    """Draw inside this context; the caller's own matplotlib settings return afterwards.

    ArviZ takes its text colours from the figure's background, so it is shown a white one.
    """
    settings: Any = {**RC, "figure.facecolor": "white"} if arviz else RC
    with mpl.rc_context(settings):
        yield


def drawing(height: float, width: float = WIDTH) -> Drawing:
    """Return an empty figure of this size in inches, laid out so that labels never overlap axes."""
    figure = Drawing(figsize=(width, height), layout=Layout())
    FigureCanvasAgg(figure)
    return figure


def heading(axes: Any, title: str, note: str) -> None:
    """Write the title of a panel and, below it, the line that states its level and interval."""
    # Chinese letters are higher than those that the note's height is known of.
    axes.set_title(f"{title}\n", fontweight="bold", linespacing=1.6)
    line = axes.annotate(
        note,
        xy=(0, 1),
        xytext=(0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        color=MUTED,
        fontsize=9,
        va="bottom",
    )
    line.set_label(NOTE)
    line.set_in_layout(False)  # the title reserves its height; its width must not squeeze the axes


def thousands(axis: Any) -> None:
    """Label an axis in full numbers with thousands separated."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda amount, _: f"{amount:,.10g}"))


def rows(ax: Any, names: list[str]) -> None:
    """Name the rows 0, 1, ... of a figure from above; its other axis is an amount."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.45, -0.55)
    ax.grid(False, axis="y")
    ax.xaxis.get_major_locator().set_params(nbins=6)
    thousands(ax.xaxis)


def beside(ax: Any, texts: list[str]) -> None:
    """Write a text to the right of each row."""
    for row, text in enumerate(texts):
        written = ax.annotate(
            text,
            xy=(1, row),
            xytext=(8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=MUTED,
        )
        written.set_label(BESIDE)


def short(text: str, limit: int = 18) -> str:
    """Return a name cut to so many columns of text; Chinese characters and their like take two.

    >>> short("customer 12", 8), short("忠诚的老客户", 8)
    ('custome…', '忠诚的…')
    """
    wide = [1 + (unicodedata.east_asian_width(character) in "WF") for character in text]
    if sum(wide) <= limit:
        return text
    kept = sum(1 for width in accumulate(wide) if width < limit)
    return f"{text[:kept]}…"


def dates(axis: Any) -> None:
    """Label a date axis concisely."""
    from matplotlib import dates as calendar

    locator: Any = calendar.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axis.set_major_locator(locator)
    # Names of months are those of English; numbers are everybody's.
    told = {} if spoken() == ENGLISH else _DATES
    axis.set_major_formatter(calendar.ConciseDateFormatter(locator, **told))  # type: ignore[no-untyped-call]


def figure_of(view: Any) -> Figure:
    """Return the matplotlib figure of what a view returned: a figure, or ArviZ's PlotCollection."""
    if isinstance(view, Figure):
        return view
    figure: Figure = view.viz["figure"].item()
    return figure


def release(view: Any) -> None:
    """Close a figure that ArviZ made through pyplot; others need no closing."""
    figure = figure_of(view)
    if not isinstance(figure, Drawing):
        from matplotlib import pyplot as plt

        plt.close(figure)


def svg_text(view: Any) -> str:
    """Return a figure as an SVG document without date or creator, equal for equal input."""
    buffer = io.StringIO()
    fonts.cover(figure_of(view))
    with styled(), fonts.quiet():
        # Figure.savefig, not Drawing's: inside a page the background is the page's.
        Figure.savefig(
            figure_of(view),
            buffer,
            format="svg",
            facecolor="none",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    # Whatever fonts this machine has, so that equal input gives equal documents.
    return re.sub(FAMILIES, fonts.CSS, buffer.getvalue())


def inline_svg(text: str, name: str) -> str:
    """Return an SVG document as an ``<svg>`` element to put inside a page.

    Identifiers get the figure's name in front, so that several figures can share a page; namespaces
    and the document head go, since HTML needs neither; palette colours become CSS variables.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text, count=2)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for colour, code in COLOURS.items():
        text = text.replace(code, f"var(--fig-{colour}, {code})")
    # matplotlib leaves text black by omission; give it the page's ink.
    text = re.sub(FAMILIES, "var(--fig-font, sans-serif)", text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" ?', r"<svg \1", text, count=1)
    text = re.sub(r'<svg ([^>]*?)height="[^"]*" ?', r"<svg \1", text, count=1)
    return text.replace("<svg ", '<svg aria-hidden="true" ', 1)


def panels(view: Any) -> tuple[str, ...]:
    """Return the view boxes of a drawn figure's columns of panels, in its SVG's points; none where it has one column.

    A page shows them below each other where there is no room for them side by side. A figure with a legend or a text of
    its own, which stands across its columns, is left whole; a colour bar belongs to its panel.
    """
    figure = figure_of(view)
    if figure.legends or figure.texts:
        return ()
    width, height = figure.get_size_inches() * 72
    with fonts.quiet():
        boxes = [axes.get_tightbbox() for axes in figure.axes]
    spans = sorted(
        (box.x0 / figure.bbox.width, box.x1 / figure.bbox.width) for box in boxes if box is not None
    )
    columns: list[list[float]] = []
    for left, right in spans:
        if columns and (left < columns[-1][1] - 0.005 or right - left < LEAST_PANEL):
            columns[-1][1] = max(columns[-1][1], right)
        else:
            columns.append([left, right])
    if len(columns) < 2 or any(right - left < LEAST_PANEL for left, right in columns):
        return ()
    # What hangs over a panel's right edge, such as the note below its title, has the room up to the next one.
    cuts = [0.0, *(left - 0.005 for left, _ in columns[1:]), 1.0]
    return tuple(
        f"{start * width:.1f} 0 {(end - start) * width:.1f} {height:.1f}" for start, end in pairwise(cuts)
    )


def save_svg(svg: str, folder: Path, name: str) -> Path:
    """Save a figure's SVG document as ``name.svg`` in a folder; return the path.

    Files have a white background: a transparent figure is unreadable on a dark page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.svg"
    path.write_text(
        svg.replace("<defs>", '<rect width="100%" height="100%" fill="white"/>\n <defs>', 1), encoding="utf-8"
    )
    return path


def png_bytes(view: Any) -> bytes:
    """Return a figure that was drawn before as a PNG document, on white."""
    figure, buffer = figure_of(view), io.BytesIO()
    # The layout is settled; solving it again takes longer than drawing. Made narrow, the figure needs another.
    engine = figure.get_layout_engine()
    figure.set_layout_engine("none")
    with styled(), fonts.quiet():
        Figure.savefig(figure, buffer, format="png", facecolor="white", dpi=150)
    figure.set_layout_engine(engine)
    return buffer.getvalue()
