"""Names in any language: which of the machine's fonts have the characters that DejaVu Sans lacks.

matplotlib's own font has Latin, Greek, Cyrillic, Hebrew and Arabic letters and no Chinese, Japanese or Korean ones, and
draws a box for what it lacks, with a warning for each. Here, when a figure is drawn, texts with such characters get
fonts behind DejaVu Sans, from those that the machine has: the known good ones first (simplified Chinese before its
neighbours, whose shapes of the same characters differ), then any other that has the character. What no font has is
said in one plain warning where it is lost, in PNG and PDF; SVG keeps text as text, with families for the reader's
browser to choose from (`CSS`), which has such fonts.

Rejected: a font from PyPI as an extra. Looked at in November 2026: the one that packages Noto Sans CJK alone
(noto-cjk) had its first release three months before, half its parts unpublished; mplfonts is long kept but 83 MB with
a command line of its own; the others are parts of other programs. Windows and macOS come with such fonts, and Linux
distributions keep good small ones (Debian's fonts-wqy-microhei is 1.6 MB), which the warning names.
"""

import logging
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayes_clv.language import ENGLISH, letters_of, speaking

BASE = "DejaVu Sans"
PREFERRED = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Heiti SC",
    "STHeiti",
    "SimHei",
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Noto Sans KR",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)
# For files that a browser shows; it looks in its other fonts too.
CSS = "'DejaVu Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
# It has a sign for every script and a letter of none.
_PLACEHOLDER = "Last Resort"


@cache
def drawable(language: str) -> str:
    """Return the language of the words in figures: the one asked for where the fonts here have its letters.

    Else it is English. A page draws its figures as SVG, whose letters are the reader's, but they are laid out here.
    """
    return ENGLISH if choose(_lacking(letters_of(language)))[1] else language


def figures_in(language: str) -> AbstractContextManager[None]:
    """Speak a language while figures are drawn, where this machine can draw it; else English."""
    return speaking(drawable(language))


def cover(figure: Figure) -> str:
    """Give the figure's texts fonts that have their characters; return the characters that none has.

    Only texts with characters that DejaVu Sans lacks are touched.
    """
    for axes in figure.axes:
        # A tick has no text before it is asked for.
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels()
    texts = [text for text in figure.findobj(Text) if _lacking(text.get_text())]
    if not texts:
        return ""
    families, left = choose(frozenset().union(*(_lacking(text.get_text()) for text in texts)))
    for text in texts:
        text.set_fontfamily([BASE, *families])
    return "".join(sorted(left))


def choose(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the fewest font families, in order of preference, with these characters, and the characters left over."""
    families, left = _choose(characters)
    if left:
        # matplotlib's list of fonts is made once for the machine and does not know a font installed since.
        _look_again()
        families, left = _choose(characters)
    return families, left


def _choose(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    # The face of each family that is nearest to plain text.
    faces: dict[str, Any] = {}
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda e: (e.style != "normal", _heavy(e))):
        faces.setdefault(entry.name, entry)
    others = sorted(name for name in set(faces) - {BASE, *PREFERRED} if not name.startswith(_PLACEHOLDER))
    chosen: list[str] = []
    left = characters
    for family in (*(name for name in PREFERRED if name in faces), *others):
        if not left:
            break
        has = frozenset(character for character in left if _has(faces[family], character))
        if has:
            chosen.append(family)
            left = left - has
    return tuple(chosen), left


def _heavy(face: Any) -> int:
    return abs(int(font_manager.weight_dict.get(face.weight, face.weight)) - 400)


def _has(face: Any, character: str) -> bool:
    properties = font_manager.FontProperties(
        family=[face.name], style=face.style, variant=face.variant, weight=face.weight, stretch=face.stretch
    )
    try:
        path = font_manager.fontManager.findfont(properties, fallback_to_default=False)
        return bool(font_manager.get_font(path).get_char_index(ord(character)))
    except (OSError, RuntimeError, ValueError):  # a font that has been removed, or cannot be read
        return False


def _lacking(text: str) -> frozenset[str]:
    """Return the characters of a text that DejaVu Sans lacks; those without a shape of their own do not count."""
    if text.isascii():
        return frozenset()
    return frozenset(c for c in text if unicodedata.category(c)[0] not in "CZ" and not _base_has(c))


@cache
def _base_has(character: str) -> bool:
    path = font_manager.findfont(font_manager.FontProperties(family=[BASE]))
    return bool(font_manager.get_font(path).get_char_index(ord(character)))


@cache
def _look_again() -> None:
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - known):
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError):
            # A file that matplotlib cannot read as a font; the others may do.
            continue


@contextmanager
def quiet() -> Iterator[None]:
    """Draw without matplotlib's warning for every missing character (`warn` says it once), or for a missing bold."""
    log = logging.getLogger("matplotlib.font_manager")
    log.addFilter(_not_of_weight)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
            yield
    finally:
        log.removeFilter(_not_of_weight)


def _not_of_weight(record: logging.LogRecord) -> bool:
    return "Failed to find font weight" not in record.getMessage()


def warn(characters: str) -> None:
    """Say, once in a session, that a file of pixels shows boxes, and what helps."""
    scripts = sorted({unicodedata.name(c, "unknown").split()[0].lower() for c in characters})
    east = {"cjk", "hiragana", "katakana", "hangul", "bopomofo"}
    kinds = ["Chinese, Japanese or Korean"] * bool(east & set(scripts)) + [
        s for s in scripts if s not in east
    ]
    _say(" and ".join(kinds))


# Python's own memory of what was warned of is emptied whenever filters change, as `quiet` does at every drawing.
@cache
def _say(kinds: str) -> None:
    warnings.warn(
        f"No font of this machine has the {kinds} characters of a figure: they are boxes in PNG and PDF files. "
        "Install a font that has them (for Chinese on Debian and Ubuntu: apt-get install fonts-wqy-microhei), or name "
        "a font file: matplotlib.font_manager.fontManager.addfont(path). SVG files and the report keep the characters, "
        "and the reader's browser draws them.",
        stacklevel=3,
    )
