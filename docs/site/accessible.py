"""What axe-core finds serious in Furo's pages, mended when they are written (tests/test_site.py asks it).

Captions of the navigation are headings without a level, and what scrolls sideways, code and tables, could not be
reached by keyboard.
"""

from typing import Any


def mend(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Give headings a level, and boxes that scroll a place in the order of Tab."""
    for name in ("furo_navigation_tree", "body"):
        if name in context:
            context[name] = (
                context[name]
                .replace('role="heading">', 'role="heading" aria-level="2">')
                .replace("<pre>", '<pre tabindex="0">')
                .replace('<div class="table-wrapper ', '<div tabindex="0" class="table-wrapper ')
            )


def setup(app: Any) -> dict[str, bool]:
    """Come after the theme, which makes the navigation in the same event."""
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
