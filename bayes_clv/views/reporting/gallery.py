"""The figures of the report: drawn, kept as markup, and saved to files where a folder is given."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_clv.views import style


@dataclass
class Gallery:
    """Draws figures, keeps them as markup, and saves them to files where a folder is given."""

    folder: Path | None
    png: bool = False
    skipped: list[str] = field(default_factory=list)

    def add(self, name: str, draw: Any, caption: str, level: str | None = None) -> dict[str, Any] | None:
        """Return the figure for the template; one that cannot be drawn is named, with its reason, instead."""
        from markupsafe import Markup

        try:
            view = draw()
        except ValueError as error:
            self.skipped.append(f"{name.replace('-', ' ')}: {error}")
            return None
        svg = style.svg_text(view)
        if self.folder is not None:
            style.save_svg(svg, self.folder, name.replace("-", "_"))
            if self.png:
                style.save_png(view, self.folder, name.replace("-", "_"))
        style.release(view)
        return {
            "name": name,
            "svg": Markup(style.inline_svg(svg, name)),
            "caption": caption,
            "alt": caption,
            "level": level,
        }
