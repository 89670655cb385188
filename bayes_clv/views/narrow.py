"""A figure for a telephone: the one that was drawn, laid out again so narrow that its letters can be read there.

On a telephone a figure is scaled down to the page, and a letter of nine points is a dot. Drawn again, a figure would
compute again what it shows; here its width is taken away, what is written above and below is broken into lines, and a
legend below has two columns. Not every figure can be so narrow: where rows have long names or numbers beside them, or a
legend stands beside the axes, the page lets it scroll (``Gallery.add``). Rejected: letters twice as large in every
figure, of which a wide page has no need.
"""

import unicodedata
from typing import Any

from bayes_clv.views import style

# In inches; 350 px of a telephone make it 1.2 px a point.
WIDTH = 4.0
# Points of a letter's width for one of its height, on average; Chinese ones are as wide as high.
_LETTER = 0.54
# Points beside the axes that a title may not take.
_BESIDE = 46.0


def narrowed(view: Any) -> str:
    """Return the SVG document of a drawn figure for a telephone, and leave the figure so; nothing where it is narrow.

    Of figures with several columns of panels a page shows one below the other (``style.panels``), or lets them scroll.
    """
    figure = style.figure_of(view)
    if not isinstance(figure, style.Drawing) or figure.get_figwidth() <= WIDTH or _columns(figure) > 1:
        return ""
    figure.set_figwidth(WIDTH)
    with style.styled():
        for legend in list(figure.legends):
            _in_two_columns(figure, legend)
        for axes in figure.axes:
            _lay_out(axes)
    return style.svg_text(figure)


def _columns(figure: Any) -> int:
    return max(
        (axes.get_gridspec().ncols for axes in figure.axes if axes.get_gridspec() is not None), default=1
    )


def _in_two_columns(figure: Any, legend: Any) -> None:
    handles, labels = legend.legend_handles, [each.get_text() for each in legend.get_texts()]
    legend.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(2, len(labels)), fontsize=8.5)


def _lay_out(axes: Any) -> None:
    room = 72 * WIDTH - _BESIDE
    for note in (each for each in axes.texts if each.get_label() == style.NOTE):
        lines = _lines(note.get_text(), room, note.get_fontsize())
        title = axes._left_title
        above = _lines(title.get_text().strip("\n"), room, title.get_fontsize())
        note.set_text("\n".join(lines))
        title.set_text("\n".join(above) + "\n" * len(lines))
    label = axes.xaxis.label
    label.set_text("\n".join(_lines(label.get_text(), room, label.get_fontsize())))
    locator = axes.xaxis.get_major_locator()
    if hasattr(locator, "maxticks"):
        locator.minticks = 2
        locator.maxticks = dict.fromkeys(locator.maxticks, 5)
    elif hasattr(locator, "_nbins"):
        locator.set_params(nbins=4)


def _lines(text: str, room: float, size: float) -> list[str]:
    """Return a text in lines of at most so many points: broken at spaces, and anywhere between Chinese letters."""
    lines = []
    for paragraph in text.split("\n"):
        line, width = "", 0.0
        for word in _words(paragraph):
            more = sum(1.0 if _wide(letter) else _LETTER for letter in word) * size
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
