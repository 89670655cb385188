"""A real browser for tests of pages: Debian's chromium, driven by Playwright; where it is missing, tests are skipped.

A page is opened by `visit`, which keeps what a careful reader of the developer tools would see: errors of the console,
and requests that would leave the machine (they are stopped). The other functions each answer one question about an
open page. Playwright runs an event loop while a browser is open, so a browser lasts for a file of tests and no longer:
``asyncio.run`` of another file would be refused.

Rejected: Selenium, which knows neither the colour scheme, nor paper, nor the requests of a page without a proxy of its
own; and Playwright's own browser, which is a download. axe-core comes from PyPI with axe-playwright-python, a file of
JavaScript that is read from where it is installed.
"""

import importlib.util
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SCRIPT = Path("axe_playwright_python") / "axe.min.js"
# Figures that ArviZ draws, whose panels stand beside each other; a page for a telephone lets them scroll.
ARVIZ = ("-ranks", "-prior-posterior", "-parameters", "-group-forest")
# From here on a violation keeps somebody from reading the page.
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return an open browser; each `visit` has a profile of its own in it."""
    if CHROMIUM is None:
        pytest.skip("No chromium on this machine: apt-get install chromium.")
    playwright = pytest.importorskip("playwright.sync_api", reason="No Playwright: uv sync installs it.")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


@dataclass
class Visit:
    """An open page, what its console said was wrong, and the addresses off this machine that it asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@contextmanager
def visit(
    browser: Any, address: str | Path, *, width: int = 1400, height: int = 1000, scheme: str = "light"
) -> Iterator[Visit]:
    """Open a file, or an address of this machine, in a window of so many pixels; ``scheme`` is light or dark."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
    )
    found = Visit(context.new_page())
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))

    def hear(message: Any) -> None:
        if message.type == "error":
            found.errors.append(message.text)

    def stay(route: Any) -> None:
        if _is_here(route.request.url):
            route.continue_()
        else:
            found.outside.append(route.request.url)
            route.abort()

    found.page.on("console", hear)
    context.route("**/*", stay)
    found.page.on("websocket", lambda each: _is_here(each.url) or found.outside.append(each.url))
    try:
        found.page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        yield found
    finally:
        context.close()


def _is_here(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname in (
        "localhost",
        "127.0.0.1",
        "::1",
    )


def too_wide(page: Any) -> list[str]:
    """Return the elements that make the page scroll sideways; a box with a scroll of its own does not."""
    found: list[str] = page.evaluate(
        """() => {
          const root = document.documentElement, room = root.clientWidth;
          if (root.scrollWidth <= room) return [];
          const out = Array.from(document.body.querySelectorAll("*"))
            .filter(each => each.getBoundingClientRect().right > room + 0.5);
          return [`page: ${root.scrollWidth} px in ${room}`, ...out.slice(0, 8).map(
            each => `${each.tagName} #${each.id} .${each.className}: ${each.getBoundingClientRect().right}`)];
        }"""
    )
    return found


def scrolling_figures(page: Any) -> list[str]:
    """Return the figures of which a part is to be scrolled to, but those of ArviZ's panels."""
    found: list[str] = page.evaluate(
        """() => Array.from(document.querySelectorAll("figure .scroll:not(.split)"))
          .filter(each => each.scrollWidth > each.clientWidth + 1)
          .map(each => each.closest("figure").id)"""
    )
    return [each for each in found if not each.endswith(ARVIZ)]


def violations(page: Any) -> list[str]:
    """Return what axe-core finds serious or critical, a line each: the rule, where, and what is wrong."""
    where = importlib.util.find_spec("axe_playwright_python")
    assert where is not None
    assert where.submodule_search_locations is not None
    page.evaluate((Path(where.submodule_search_locations[0]) / SCRIPT.name).read_text(encoding="utf-8"))
    results = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['target']}: {node['failureSummary']}"
        for each in results["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"][:3]
    ]


def not_reached(page: Any) -> list[str]:
    """Return the controls that Tab does not reach, from the top of the page: links, buttons, fields, boxes that scroll.

    One that shows no outline when it is reached counts as not reached: nobody would know.
    """
    total = page.evaluate(
        """() => {
          const able = "a[href], button, input, select, textarea, summary, [tabindex='0']";
          window.controls = Array.from(document.querySelectorAll(able)).filter(
            each => !each.disabled && each.getClientRects().length && getComputedStyle(each).visibility === "visible");
          window.reached = new Set();
          document.addEventListener("focusin", event => {
            const style = getComputedStyle(event.target);
            if (style.outlineStyle !== "none" || style.boxShadow !== "none") window.reached.add(event.target);
          });
          document.activeElement.blur();
          window.scrollTo(0, 0);
          return window.controls.length;
        }"""
    )
    for _ in range(total + 1):
        page.keyboard.press("Tab")
    missed: list[str] = page.evaluate(
        "() => window.controls.filter(each => !window.reached.has(each)).map(each => each.outerHTML.slice(0, 120))"
    )
    return missed


def faults(browser: Any, address: str | Path) -> list[str]:
    """Return all that is wrong with a page: console, requests, width from 360 to 1,600 px, contrast and keyboard."""
    found: list[str] = []
    for scheme, widths in (("light", (360, 768, 1600)), ("dark", (1400,))):
        with visit(browser, address, scheme=scheme) as seen:
            for width in widths:
                seen.page.set_viewport_size({"width": width, "height": 1000})
                found += [f"{width} px: {each}" for each in too_wide(seen.page)]
                found += [
                    f"{width} px: {each} scrolls" for each in scrolling_figures(seen.page) if width == 360
                ]
            found += [f"{scheme}: {each}" for each in violations(seen.page)]
            if scheme == "dark":
                found += [f"not reached: {each}" for each in not_reached(seen.page)]
            found += [f"console: {each}" for each in seen.errors]
            found += [f"asked for: {each}" for each in seen.outside]
    return found


def printed(page: Any) -> list[str]:
    """Return the text of each sheet of A4 that the page makes on paper."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(page.pdf(format="A4", print_background=True)))
    return [sheet.extract_text() for sheet in reader.pages]
