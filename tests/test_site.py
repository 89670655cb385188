"""The documentation as a site: whole, without a warning, readable on a phone, and nothing asked of another machine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import bayes_clv as clv
from tests.browser import not_reached, too_wide, violations, visit

pytest.importorskip("sphinx", reason="uv sync installs Sphinx, of the group site.")

ROOT = Path(__file__).parents[1]
SITE = ROOT / "out" / "site"
# One page of each kind: the first, one a table wide, formulas, docstrings, figures, and one of links to code.
LOOKED_AT = [
    "docs/site/index",
    "docs/families",
    "docs/mathematics",
    "docs/site/reference/expected",
    "README",
    "studies/README",
]


@pytest.fixture(scope="module")
def site():
    """The built site; where .ci/run has built it, Sphinx finds nothing to do."""
    words = ["-W", "--keep-going", "-q", "-c", "docs/site", ".", str(SITE)]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return SITE


def test_every_link_leads_to_something_here(site):
    lost = set()
    pages = list(site.rglob("*.html"))
    assert len(pages) > 35
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            path = unquote(re.split(r"[#?]", target)[0])
            if path and not re.match(r"[a-z]+:", target) and not (page.parent / path).exists():
                lost.add(f"{page.relative_to(site)}: {target}")
    assert not lost


def test_lessons_are_pages_of_it_that_are_told_of(site):
    pytest.importorskip("marimo", reason="uv sync installs marimo, of the group lessons.")
    told = (site / "docs" / "for_teachers.html").read_text(encoding="utf-8")
    lessons = sorted(path.stem for path in (ROOT / "studies" / "lessons").glob("lesson_*.py"))
    assert len(lessons) == 8
    for lesson in lessons:
        assert f'href="../lessons/{lesson}.html">read it</a>' in told
        assert "<details>" in (site / "lessons" / f"{lesson}.html").read_text(encoding="utf-8")


def test_pages_load_nothing_from_elsewhere(site):
    """Links may lead away; scripts, styles, fonts and figures do not."""
    loaded = re.compile(
        r"<(?:script|img|link|iframe|source)[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]*)|url\(['\"]?((?:https?:)?//[^)]*)"
    )
    found = {
        path.name: "".join(match.groups(""))
        for pattern in ("*.html", "*.css")
        for path in site.rglob(pattern)
        for match in loaded.finditer(path.read_text(encoding="utf-8"))
    }
    assert not found


def test_every_public_name_has_its_entry(site):
    inventory = "".join(
        path.read_text(encoding="utf-8") for path in (site / "docs" / "site" / "reference").glob("*.html")
    )
    spaces = [name for name in clv.__all__ if hasattr(getattr(clv, name), "__all__")]
    assert len(spaces) >= 9
    for name in clv.__all__:
        value = getattr(clv, name)
        if name not in spaces and callable(value):
            assert f'id="bayes_clv.{name}"' in inventory, name
    for space in spaces:
        module = getattr(clv, space)
        for name in module.__all__:
            value = getattr(module, name)
            told = f'id="{module.__name__}.{name}"' in inventory or f'id="bayes_clv.{name}"' in inventory
            assert told or not callable(value) or hasattr(value, "__path__"), f"{space}.{name}"


@pytest.mark.parametrize("name", LOOKED_AT)
def test_page_in_a_browser(name, site, browser):
    with visit(browser, site / f"{name}.html", width=360) as seen:
        assert seen.errors == []
        assert seen.outside == []
        assert too_wide(seen.page) == []
        assert violations(seen.page) == []


def test_first_page_by_keyboard(site, browser):
    with visit(browser, site / "docs" / "site" / "index.html") as seen:
        assert not_reached(seen.page) == []


def test_search_finds_by_itself(site, browser):
    """The index is a file of the site; a browser reads it from the folder."""
    with visit(browser, f"{(site / 'search.html').as_uri()}?q=dropout") as seen:
        seen.page.locator("#search-results li").first.wait_for()
        assert seen.outside == []


@pytest.mark.full
def test_a_broken_link_stops_the_build(site, tmp_path):
    """The check checks: a link to a page that is not there is an error."""
    for part in ("docs", "README.md", "CHANGELOG.md", "studies/README.md", "figures"):
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    with (tmp_path / "docs" / "speed.md").open("a", encoding="utf-8") as page:
        page.write("\n[lost](nowhere.md)\n")
    words = ["-W", "-q", "-c", "docs/site", ".", "built"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert built.returncode != 0
    assert "nowhere.md" in built.stderr
