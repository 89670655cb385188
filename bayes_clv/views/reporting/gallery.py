"""The figures of the report: drawn, kept as markup, and saved to files where a folder is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_clv.views import style


@dataclass(frozen=True)
class Drawn:
    """A figure as documents: SVG, and PNG where it is wanted; or the reason why there is none."""

    svg: str = ""
    png: bytes | None = None
    reason: str | None = None


def drawn(draw: Callable[..., Any], *args: Any, png: bool = False) -> Drawn:
    """Return what a function draws."""
    try:
        view = draw(*args)
    except ValueError as error:
        return Drawn(reason=str(error))
    found = Drawn(style.svg_text(view), style.png_bytes(view) if png else None)
    style.release(view)
    return found


@dataclass
class Gallery:
    """Draws figures, keeps them as markup, and saves them to files where a folder is given.

    Those ``ahead``, by name, are drawn already or somewhere else, and are asked for by a call; once each, and the last
    first, since whoever draws them begins with the first.
    """

    folder: Path | None
    png: bool = False
    ahead: Mapping[str, Callable[[], Drawn]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    _found: dict[str, Drawn] = field(default_factory=dict)

    def add(
        self, name: str, draw: Callable[[], Any], caption: str, level: str | None = None
    ) -> dict[str, Any] | None:
        """Return the figure for the template; one that cannot be drawn is named, with its reason, instead."""
        from markupsafe import Markup

        if name in self.ahead and not self._found:
            self._found = {each: self.ahead[each]() for each in reversed(self.ahead)}
        figure = self._found[name] if name in self._found else drawn(draw, png=self._saves_png)
        if figure.reason is not None:
            self.skipped.append(f"{name.replace('-', ' ')}: {figure.reason}")
            return None
        if self.folder is not None:
            stem = name.replace("-", "_")
            style.save_svg(figure.svg, self.folder, stem)
            if figure.png is not None:
                (self.folder / f"{stem}.png").write_bytes(figure.png)
        return {
            "name": name,
            "svg": Markup(style.inline_svg(figure.svg, name)),
            "caption": caption,
            "alt": caption,
            "level": level,
        }

    @property
    def _saves_png(self) -> bool:
        return self.png and self.folder is not None
