"""A page of a template: one file that holds everything it shows."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayes_clv.language import ENGLISH, joined, say, say_kept_titles, say_many, spoken
from bayes_clv.views import fonts
from bayes_clv.views.reporting.workbook import tables_of, workbook_link


def write_template(path: str | Path, template: str, page: Mapping[str, Any]) -> Path:
    """Write the page of a template of this folder and return its path; a file there is replaced once it is complete.

    It carries its tables as a workbook, too. All text from the data passes Jinja's escaping.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # In the language that is spoken.
    environment = Environment(
        loader=PackageLoader("bayes_clv.views.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole"] = whole
    environment.globals |= {"say": say, "say_many": say_many, "joined": joined, "language": spoken()}
    environment.globals["figures_are_english"] = spoken() != fonts.drawable(spoken()) == ENGLISH
    held = {"workbook": workbook_link(list(tables_of(dict(page))))}
    text = environment.get_template(template).render({**page, **held})
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.partial")
    unfinished.write_text(text, encoding="utf-8")
    return unfinished.replace(target)


def whole(text: str) -> Any:
    """Return a text as markup in which no option of a command is broken at its hyphens, where it could not be read.

    >>> str(whole("bayes-clv run --returns, a < b"))
    'bayes-clv run <span class="whole">--returns</span>, a &lt; b'
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<!\w)--[\w-]+", r'<span class="whole">\g<0></span>', str(escape(text))))


def failed_behind(checks: Sequence[str], what: str) -> str:
    """Return what a page that stands on a run says of its failed checks, or nothing; ``what`` stands on it.

    >>> failed_behind(["Holdout: too low"], "this page").partition(". ")[0]
    '1 check of the run behind this page failed: Holdout: too low'
    """
    if not checks:
        return ""
    return say_many(
        "{count} check of the run behind {what} failed: {titles}. Its report says what that means, also for what "
        "stands here.",
        "{count} checks of the run behind {what} failed: {titles}. Its report says what that means, also for what "
        "stands here.",
        len(checks),
        what=what,
        titles=say_kept_titles(checks),
    )
