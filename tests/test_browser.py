"""The browser of the tests sees what is wrong with a page; here with pages that are wrong on purpose."""

import pytest

from tests.browser import not_reached, printed, too_wide, violations, visit

GOOD = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Good</title></head><body><main><h1>Good</h1>
<p><a href="#there">A link</a> <button>Press</button></p><h2 id="there">There</h2></main></body></html>"""


@pytest.fixture
def write(tmp_path):
    def write(body: str):
        path = tmp_path / "page.html"
        path.write_text(GOOD.replace("</main>", f"{body}</main>"), encoding="utf-8")
        return path

    return write


def test_a_good_page_is_found_good(browser, write):
    with visit(browser, write(""), width=360) as seen:
        assert (seen.errors, seen.outside) == ([], [])
        assert (too_wide(seen.page), violations(seen.page), not_reached(seen.page)) == ([], [], [])
        assert "There" in printed(seen.page)[0]


def test_what_is_wrong_is_found(browser, write):
    wrong = """<script src="https://example.org/a.js"></script><script>throw new Error("broken")</script>
    <div style="width: 700px">wide</div><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
    <p style="color: #bbb">pale</p><button style="outline: none">Unseen</button>"""
    with visit(browser, write(wrong), width=360) as seen:
        assert any("broken" in each for each in seen.errors)
        assert seen.outside == ["https://example.org/a.js"]
        assert "DIV" in too_wide(seen.page)[1]
        found = " ".join(violations(seen.page))
        assert "image-alt (critical)" in found
        assert "color-contrast (serious)" in found
        assert [each for each in not_reached(seen.page) if "Unseen" in each]


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(0, 0, 0)")])
def test_a_page_is_seen_in_the_scheme_that_is_asked_for(browser, write, scheme, colour):
    style = (
        "<style>body {background: #fff} @media (prefers-color-scheme: dark) {body {background: #000}}</style>"
    )
    with visit(browser, write(style), scheme=scheme) as seen:
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == colour
