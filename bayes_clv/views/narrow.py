"""A figure for a telephone: the one that was drawn, laid out again so narrow that its letters can be read there.

On a telephone a figure is scaled down to the page, and a letter of nine points is a dot. Drawn again, a figure would
compute again what it shows; here its width is taken away, and what needs width goes elsewhere: titles and notes are
broken into lines, panels come below each other, a legend beside the axes goes below the figure, and names of rows, with
the texts at the rows' other end, go above their rows. What grows down makes the figure higher. Figures that ArviZ drew,
and several panels with a colour bar, stay as they are and scroll. Rejected: letters twice as large in every figure, of
which a wide page has no need.
"""

import unicodedata
from typing import Any

from bayes_clv.views import style

# In inches; 350 px of a telephone make it 1.2 px a point.
WIDTH = 4.0
# Points of a letter's width for one of its height, on average; Chinese ones are as wide as high.
_LETTER = 0.54
# Points beside the figure's words, and beside a label of an axis, that they may not take.
_EDGES, _BESIDE = 12.0, 46.0
# Points of a line, of a legend's handle with its gaps, and from one row to the next that has its name above.
_LINE, _HANDLE, _PITCH = 14.0, 34.0, 40.0
# Of the width; names of rows that take more go above their rows.
_NAMES = 0.3


def narrowed(view: Any) -> str:
    """Return the SVG document of a drawn figure for a telephone, and leave the figure so; nothing where it cannot be.

    Of figures with several columns of panels a page shows one below the other, uncut, where it can (``style.panels``).
    """
    figure = style.figure_of(view)
    if (
        not isinstance(figure, style.Drawing)
        or figure.get_figwidth() <= WIDTH
        or not _below_each_other(figure)
    ):
        return ""
    higher = 0.0
    with style.styled():
        for legend in list(figure.legends):
            higher += _fewer_columns(figure, legend)
        for axes in figure.axes:
            higher += _legend_below(figure, axes) + _lay_out(axes)
        figure.set_size_inches(WIDTH, figure.get_figheight() + higher / 72)
        for axes in figure.axes:
            _names_above(figure, axes)
    return style.svg_text(figure)


def _below_each_other(figure: Any) -> bool:
    """Put panels that stand side by side below each other; return whether none does any more."""
    grids = {id(grid): grid for grid in (axes.get_gridspec() for axes in figure.axes) if grid is not None}
    if all(grid.ncols == 1 for grid in grids.values()):
        return True
    if len(grids) > 1 or any(axes.get_subplotspec() is None for axes in figure.axes):
        return False
    (grid,) = grids.values()
    heights = grid.get_height_ratios()
    ordered = sorted(figure.axes, key=lambda axes: axes.get_subplotspec().num1)
    spans = [axes.get_subplotspec() for axes in ordered]
    if any(span.num1 != span.num2 for span in spans):
        return False
    shares = [heights[span.rowspan.start] for span in spans]
    below = figure.add_gridspec(len(ordered), 1, height_ratios=shares)
    for place, axes in enumerate(ordered):
        axes.set_subplotspec(below[place])
        # Names that the panel to the left had for both.
        axes.tick_params(labelleft=True, labelbottom=True)
    figure.set_figheight(figure.get_figheight() * sum(shares) / sum(heights))
    return True


def _fewer_columns(figure: Any, legend: Any, of: Any = None) -> float:
    """Put a legend below the figure, in as many columns as there is room for; return the points that it takes more."""
    handles, labels = legend.legend_handles, [each.get_text() for each in legend.get_texts()]
    title = legend.get_title().get_text()
    widest = max(map(_width, labels), default=0.0) * 8.5 + _HANDLE
    columns = max(1, min(len(labels), int((72 * WIDTH - _EDGES) / widest)))
    lines = -(-len(labels) // columns) + bool(title)
    before = 0 if of is not None else -(-len(labels) // legend._ncols)
    legend.remove()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        fontsize=8.5,
        columnspacing=1.2,
        title=title,
    )
    return _LINE * max(lines - before, 0)


def _legend_below(figure: Any, axes: Any) -> float:
    """Put a legend that stands beside its axes, or is wider than they will be, below; return the points it takes."""
    legend = axes.get_legend()
    if legend is None:
        return 0.0
    widest = max((_width(each.get_text()) for each in legend.get_texts()), default=0.0) * 9 + _HANDLE
    beside = legend.get_bbox_to_anchor().x0 > axes.bbox.x1 - 1
    return (
        _fewer_columns(figure, legend, of=axes)
        if beside or widest * legend._ncols > 72 * WIDTH - _BESIDE
        else 0.0
    )


def _lay_out(axes: Any) -> float:
    """Break the words above and below a panel into lines; return the points that they take more."""
    room, more = 72 * WIDTH - _EDGES, 0.0
    for note in style.notes(axes):
        lines = _lines(note.get_text(), room, note.get_fontsize())
        title = axes._left_title
        above = _lines(title.get_text().strip("\n"), room, title.get_fontsize())
        note.set_text("\n".join(lines))
        title.set_text("\n".join(above) + "\n" * len(lines))
        more += len(above) + len(lines) - 2
    label = axes.xaxis.label
    lines = _lines(label.get_text(), 72 * WIDTH - _BESIDE, label.get_fontsize())
    more += len(lines) - 1 - label.get_text().count("\n")
    label.set_text("\n".join(lines))
    locator = axes.xaxis.get_major_locator()
    if hasattr(locator, "maxticks"):
        locator.minticks = 2
        locator.maxticks = dict.fromkeys(locator.maxticks, 5)
    elif hasattr(locator, "_nbins"):
        locator.set_params(nbins=4)
    return float(_LINE * more) + _turned(axes)


def _turned(axes: Any) -> float:
    """Turn the names of columns that would run into each other; return the points that they take more."""
    from matplotlib.ticker import FixedLocator

    labels = axes.get_xticklabels() if isinstance(axes.xaxis.get_major_locator(), FixedLocator) else []
    names = [each.get_text() for each in labels]
    # A letter's width between one and the next.
    shown = [1 + max(map(_width, name.split("\n"))) for name in names]
    if not shown or labels[0].get_rotation() or sum(shown) * labels[0].get_fontsize() < 72 * WIDTH - _BESIDE:
        return 0.0
    axes.set_xticks(axes.get_xticks(), [name.replace("\n", " ") for name in names], rotation=40, ha="right")
    return 0.65 * max(map(_width, names)) * float(labels[0].get_fontsize())


def _names_above(figure: Any, axes: Any) -> None:
    """Put the names of rows, and the texts at the rows' other end, above the rows where they take much of the width."""
    from matplotlib.ticker import FixedLocator

    beside = [each for each in axes.texts if each.get_label() == style.BESIDE]
    labels = axes.get_yticklabels() if isinstance(axes.yaxis.get_major_locator(), FixedLocator) else []
    names, size = (
        [each.get_text() for each in labels],
        max((each.get_fontsize() for each in labels), default=0.0),
    )
    widest = max((_width(each) for each in names), default=0.0) * size
    if not beside and widest <= _NAMES * 72 * WIDTH:
        return
    places = [float(each) for each in axes.yaxis.get_majorticklocs()]
    down = 1 if axes.yaxis_inverted() else -1
    axes.tick_params(axis="y", labelleft=False, length=0)
    axes.set_ylabel("")
    for place, name in zip(places, names, strict=False):
        _write_above(axes, name, 0.0, place - 0.47 * down, "left", style.INK)
    for text in beside:
        _write_above(axes, text.get_text(), 1.0, text.xy[1] - 0.47 * down, "right", style.MUTED)
        text.remove()
    high = abs(axes.get_ylim()[1] - axes.get_ylim()[0]) * _PITCH / 72
    now = axes.bbox.height / figure.dpi
    figure.set_figheight(figure.get_figheight() + max(high - now, 0.0))


def _write_above(axes: Any, text: str, x: float, y: float, side: str, colour: str) -> None:
    axes.annotate(
        text,
        xy=(x, y),
        xytext=(4 if side == "left" else -4, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha=side,
        va="top",
        fontsize=8.5,
        color=colour,
    )


def _width(text: str) -> float:
    """Return the width of a text for one of its height, on average."""
    return sum(1.0 if _wide(letter) else _LETTER for letter in text)


def _lines(text: str, room: float, size: float) -> list[str]:
    """Return a text in lines of at most so many points: broken at spaces, and anywhere between Chinese letters."""
    lines = []
    for paragraph in text.split("\n"):
        line, width = "", 0.0
        for word in _words(paragraph):
            more = _width(word) * size
            if line and width + more > room:
                lines.append(line.rstrip())
                line, width, word = "", 0.0, word.lstrip()
            line, width = line + word, width + more
        lines.append(line.rstrip())
    return lines


def _words(text: str) -> list[str]:
    """Return what a text may be broken into; put together they are the text."""
    words, last = [""], ""
    for letter in text:
        # No line begins with a mark.
        apart = letter == " " or (_wide(letter) and unicodedata.category(letter)[0] != "P") or _wide(last)
        if apart and unicodedata.category(letter)[0] != "P":
            words.append("")
        words[-1] += letter
        last = letter
    return [word for word in words if word]


def _wide(letter: str) -> bool:
    return bool(letter) and unicodedata.east_asian_width(letter) in "WF"
