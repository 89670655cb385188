"""The figures of the report: drawn, kept as markup, and saved to files where a folder is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bayes_clv.language import ENGLISH, say, spoken
from bayes_clv.views import fonts, style
from bayes_clv.views.narrow import narrowed


@dataclass(frozen=True)
class Drawn:
    """A figure as documents: SVG, and PNG where it is wanted; or the reason why there is none.

    ``panels`` are the view boxes of its columns of panels (`bayes_clv.views.style.panels`), and ``narrow`` is the same
    figure for a telephone (`bayes_clv.views.narrow`).
    """

    svg: str = ""
    narrow: str = ""
    png: bytes | None = None
    reason: str | None = None
    panels: tuple[str, ...] = ()


def drawn(
    draw: Callable[..., Any], *args: Any, png: bool = False, narrow: bool = False, language: str = ENGLISH
) -> Drawn:
    """Return what a function draws, ``narrow`` too, its words in a language where this machine has its letters."""
    # Numbers on axes are words too, once they are drawn.
    with fonts.figures_in(language):
        try:
            view = draw(*args)
        except ValueError as error:
            return Drawn(reason=str(error))
        svg = style.svg_text(view)
        panels = style.panels(view)
        picture = style.png_bytes(view) if png else None
        small = narrowed(view) if narrow and not panels else ""
        style.release(view)
    return Drawn(svg, small, picture, panels=panels)


@dataclass
class Figure:
    """A figure of the page; without markup, and false, until it is drawn."""

    name: str
    caption: str
    level: str | None
    svg: Any = None
    narrow: Any = None
    panels: tuple[str, ...] = ()

    @property
    def alt(self) -> str:
        """Return what a figure is to those who do not see it: its name, and how it is read."""
        return say("{name}. {caption}", name=_in_words(self.name), caption=self.caption)

    def __bool__(self) -> bool:
        return self.svg is not None


# What figures are called, by their names; those of the fits begin with what the fit is of.
FIGURES = (
    *("Forecast", "Forecast narrow", "Tenths", "Tenths narrow", "Few customers", "Few customers narrow"),
    *("Value distribution", "Concentration", "Customers", "Alive matrix", "Expected purchases matrix"),
    *("Alive history", "Segment sizes", "Membership", "Alarms", "Tracking", "Calibration", "Retention"),
    *("Conditional expectation", "Evaluation", "Purchases per customer"),
    *("Scenario differences", "Tornado", "Channel values", "Channel payback", "Contact gain"),
    *("Price and performance", "Advantages", "Equity worth", "Equity bridge", "Equity newcomers"),
    *("Audit tenths", "Audit flows", "Audit lives", "Audit base"),
    *(
        f"{fit} {stem}"
        for fit in ("Purchases", "Spend")
        for stem in ("ranks", "prior posterior", "calendar", "parameters", "group forest")
    ),
)


def _in_words(name: str) -> str:
    """Return what a figure is called, for those who do not see it; of several of a kind, with its number.

    >>> _in_words("alive-history-2"), _in_words("purchases-prior-posterior")
    ('Alive history 2', 'Purchases prior posterior')
    """
    words = name.replace("-", " ").capitalize()
    stem, _, last = words.rpartition(" ")
    return f"{say(stem)} {last}" if last.isdigit() else say(words)


@dataclass
class Gallery:
    """Draws figures, keeps them as markup, and saves them to files where a folder is given.

    Drawing may begin elsewhere: ``hand`` takes a function and its arguments, and returns what gives the result when
    called; by default that calls the function. Those ``ahead``, by name, have been handed over before.
    """

    folder: Path | None
    png: bool = False
    ahead: Mapping[str, Callable[[], Drawn]] = field(default_factory=dict)
    hand: Callable[..., Callable[[], Drawn]] = partial
    skipped: list[str] = field(default_factory=list)
    _asked: list[tuple[Figure, Callable[[], Drawn]]] = field(default_factory=list)

    def add(
        self,
        name: str,
        draw: Callable[[], Any],
        caption: str,
        level: str | None = None,
        *,
        narrow: bool = True,
    ) -> Figure:
        """Return the figure for the template, which ``finish`` completes; ``narrow``: for a telephone too."""
        figure = Figure(name, caption, level)
        png = self.png and self.folder is not None
        self._asked.append(
            (
                figure,
                self.ahead.get(name) or self.hand(drawn, draw, png=png, narrow=narrow, language=spoken()),
            )
        )
        return figure

    def finish(self) -> None:
        """Complete all figures; one that cannot be drawn is named, with its reason, among the skipped."""
        from markupsafe import Markup

        # The last first: who was handed them begins with the first.
        results = [(figure, ask()) for figure, ask in reversed(self._asked)]
        for figure, found in reversed(results):
            if found.reason is not None:
                name = figure.name.replace("-", " ") if spoken() == ENGLISH else _in_words(figure.name)
                self.skipped.append(say("{subject}: {title}", subject=name, title=found.reason))
                continue
            self._save(figure.name.replace("-", "_"), found)
            figure.svg = Markup(style.inline_svg(found.svg, figure.name))
            if found.narrow:
                figure.narrow = Markup(style.inline_svg(found.narrow, f"{figure.name}-small"))
            figure.panels = found.panels
        self._asked.clear()

    def _save(self, stem: str, found: Drawn) -> None:
        if self.folder is not None:
            style.save_svg(found.svg, self.folder, stem)
            if found.png is not None:
                (self.folder / f"{stem}.png").write_bytes(found.png)
