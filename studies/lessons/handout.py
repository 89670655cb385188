"""A lesson as a page of its own: run once, its outputs and shut answers in one file that asks for nothing else.

marimo's own export is a program of 100 files that a page loads from a CDN, or from a server where there is one. For
what a class needs on paper or from a memory stick, text, figures and ``<details>``, HTML is enough. A slider stands in
it as its name and value: to move it takes the running lesson.
"""

import html
import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LESSONS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("lesson_*.py")))

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ --ink: #1f2933; --paper: #fff; --line: #c9d1d7; --soft: #f2f4f5; --link: #005a8d; --mark: #0072b2; }}
@media screen and (prefers-color-scheme: dark) {{ :root {{
  --ink: #e6eaed; --paper: #14181c; --line: #48525a; --soft: #1f262c; --link: #7cc4f2; --mark: #4aa3df;
  --fig-ink: #e6eaed; --fig-muted: #a3adb5; --fig-grid: #363e45; --fig-blue: #4aa3df; --fig-orange: #ff8a4c;
  --fig-green: #2cc295; --fig-purple: #dd9bbd; --fig-sky: #7fc8f0; --fig-amber: #f0b429;
}} }}
body {{ margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 46rem; color: var(--ink); background: var(--paper);
  font: 1.05rem/1.55 system-ui, sans-serif; }}
h1, h2, h3 {{ line-height: 1.25; margin: 2.2em 0 .5em; }}
h1 {{ margin-top: 0; }}
a {{ color: var(--link); }}
.paragraph {{ display: block; margin: .8em 0; }}
table {{ border-collapse: collapse; display: block; max-width: 100%; overflow-x: auto; margin: 1em 0; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .3em .8em .3em 0; text-align: left; }}
blockquote {{ margin: 1em 0; padding: .1em 1em; border-left: 4px solid var(--mark); background: var(--soft); }}
code {{ font-size: .92em; background: var(--soft); padding: .1em .25em; overflow-wrap: anywhere; }}
pre {{ overflow-x: auto; padding: .8em; background: var(--soft); border-radius: .4em; }}
pre code {{ background: none; padding: 0; overflow-wrap: normal; }}
details {{ margin: 1em 0; padding: .3em 1em; border: 1px solid var(--line); border-radius: .4em; }}
summary {{ cursor: pointer; font-weight: 600; color: var(--link); }}
.picture svg {{ display: block; width: 100%; height: auto; margin: 1em 0; }}
.picture svg text {{ fill: var(--fig-ink, #1f2933); }}
.control {{ margin: .8em 0; padding: .4em .8em; background: var(--soft); border-radius: .4em; }}
@media print {{ details::details-content {{ content-visibility: visible; display: block; }} }}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def page(lesson: str) -> tuple[str, dict[str, Any]]:
    """Run a lesson and return its page and what it defines."""
    import marimo as mo

    app = importlib.import_module(f"studies.lessons.{lesson}").app
    outputs, defined = app.run()
    parts = [_still(mo.as_html(each).text) for each in outputs if each is not None]
    title = re.search(r"<h1[^>]*>(.*?)</h1>", "".join(parts))
    assert title is not None, f"{lesson} has no title."
    return PAGE.format(title=html.escape(title[1], quote=False), body="\n".join(parts)), dict(defined)


def write(folder: Path, lessons: Sequence[str] = LESSONS) -> list[Path]:
    """Write the pages of these lessons, and one that lists all pages of the folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{lesson}.html" for lesson in lessons]
    for lesson, path in zip(lessons, paths, strict=True):
        path.write_text(page(lesson)[0], encoding="utf-8")
    listed = []
    for each in sorted(folder.glob("lesson_*.html")):
        title = re.search(r"<title>(.*?)</title>", each.read_text(encoding="utf-8"))
        assert title is not None
        listed.append(f'<li><a href="{each.name}">{title[1]}</a></li>')
    contents = f"<h1>Lessons</h1>\n<ul>\n{chr(10).join(listed)}\n</ul>"
    index = folder / "index.html"
    index.write_text(PAGE.format(title="Lessons", body=contents), encoding="utf-8")
    return [*paths, index]


def _still(text: str) -> str:
    """Return HTML in which a control is a line that says its name and where it stands."""
    # What scrolls by itself is to be reached by keyboard.
    text = text.replace("<pre", '<pre tabindex="0"')
    return re.sub(r"<marimo-ui-element.*?</marimo-ui-element>", _line, text, flags=re.DOTALL)


def _line(element: re.Match[str]) -> str:
    attributes = {
        name: json.loads(html.unescape(value))
        for name, value in re.findall(r"data-([\w-]+)='(.*?)'", element[0])
    }
    label, stands = re.sub(r"<[^>]*>", "", attributes["label"] or ""), attributes["initial-value"]
    if "options" in attributes:
        choices = " · ".join(map(str, attributes["options"]))
        return f'<p class="control">{label} {choices}</p>'
    if attributes["steps"]:
        stands, ends = attributes["steps"][stands], [attributes["steps"][0], attributes["steps"][-1]]
    else:
        ends = [attributes["start"], attributes["stop"]]
    room = f"{ends[0]:g} to {ends[1]:g}, in the running lesson"
    return f'<p class="control">{label}: <b>{stands:g}</b> <small>({room})</small></p>'
