"""The lessons as pages of the site: each run once (studies/lessons/handout.py), linked from where it is told of.

They are pages of their own, with their own look: what a teacher carries on a stick is what stands here. Without marimo
(group lessons) the site has none. They are written again where a lesson, or what it is made of, has changed.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = "lessons"
TOLD = "docs/for_teachers"
# A link to the file of a lesson, as a page tells it.
_LINK = re.compile(r'(<a [^>]*href="[^"]*/(lesson_\w+)\.py"[^>]*>.*?</a>)', re.DOTALL)


def told(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Put a link to its page beside each lesson that the page for teachers tells of."""
    if page == TOLD and "body" in context and _wanted(app):
        up = "../" * page.count("/")
        context["body"] = _LINK.sub(rf'\1 (<a href="{up}{FOLDER}/\2.html">read it</a>)', context["body"])


def write(app: Any, error: Exception | None) -> None:
    """Write the pages of the lessons into the site, unless they are there and nothing has changed."""
    if error is not None or not _wanted(app):
        return
    folder = Path(app.outdir) / FOLDER
    sources = [*(ROOT / "studies" / "lessons").glob("*.*"), *(ROOT / "bayes_clv" / "views").glob("*.py")]
    index = folder / "index.html"
    if index.exists() and index.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    # In a process of its own, as a teacher writes them: Sphinx has its own settings for what is logged.
    subprocess.run(
        [sys.executable, "-m", "studies.lessons", "--out", str(folder)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _wanted(app: Any) -> bool:
    return app.builder.format == "html" and importlib.util.find_spec("marimo") is not None


def setup(app: Any) -> dict[str, bool]:
    """Come after the pages of Sphinx."""
    app.connect("html-page-context", told, priority=950)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
