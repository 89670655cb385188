"""The report in a real browser: it fits, it can be reached and read, it sorts, it saves, and it prints."""

import csv
import re

import pytest

from bayes_clv.views import report
from tests.browser import faults, printed, visit


@pytest.fixture(scope="module")
def page(full):
    return full[0]


def test_nothing_is_wrong_with_the_report(browser, page):
    assert faults(browser, page) == []


def test_nothing_is_wrong_with_the_report_in_chinese(browser, make, tmp_path):
    """Words are shorter and break anywhere; what overflowed would be found here."""
    page = report(
        tmp_path / "report.html",
        buying=make.tree("bg_nbd", prior=False),
        spending=None,
        customers=make.customers(spend=False),
        value=make.value(spend=False),
        evaluation=make.evaluation(total_covered=False),
        alarms=make.alarms(),
        language="zh",
    )
    assert faults(browser, page) == []


def test_the_first_screen_holds_all_that_a_manager_reads(browser, page):
    with visit(browser, page, width=1400, height=1000) as seen:
        boxes = {
            name: seen.page.locator(f"header {name}").last.bounding_box()
            for name in ("h1", ".warning", ".lead", ".key", ".wide figure", ".failures", ".decisions")
        }
        assert all(box["y"] + box["height"] <= 1000 for box in boxes.values()), boxes
        tiles = [tile.bounding_box() for tile in seen.page.locator(".key > div").all()]
        assert len(tiles) == 5
        assert len({tile["y"] for tile in tiles}) == 1


def test_what_follows_has_one_left_edge(browser, page):
    with visit(browser, page) as seen:
        lefts = seen.page.evaluate(
            """() => Array.from(document.querySelectorAll("h1, .lead, .key, .part > h2, .part h3, "
              + "main p:not(.checks p, .note p), main figure, main .table, main table"))
              .map(each => [Math.round(each.getBoundingClientRect().left), each.tagName,
                            each.textContent.slice(0, 40)])"""
        )
        assert len(lefts) > 60
        assert {left for left, *_ in lefts} == {lefts[0][0]}, [
            each for each in lefts if each[0] != lefts[0][0]
        ]


@pytest.mark.parametrize(("width", "marked"), [(390, "#appendix"), (1400, "#audit")])
def test_the_contents_stay_in_view_and_say_where_the_reader_is(browser, page, width, marked):
    with visit(browser, page, width=width) as seen:
        seen.page.evaluate("document.getElementById('audit').scrollIntoView()")
        seen.page.wait_for_function(
            f"document.querySelector('nav [aria-current]')?.hash === '{marked}'", timeout=5000
        )
        nav = seen.page.locator("nav").bounding_box()
        assert nav["y"] >= 0
        heading = seen.page.locator("#audit h3").bounding_box()
        assert heading["y"] >= (nav["height"] if width < 1100 else 0)
        link = seen.page.locator("nav [aria-current]").bounding_box()
        assert link["x"] >= 0
        assert link["x"] + link["width"] <= width


@pytest.mark.parametrize(
    ("text", "saved"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-cmd", "'-cmd"),
        ("-12.5", "-12.5"),
        ("+49,1", "+49,1"),
        ("a=b", "a=b"),
    ],
)
def test_no_cell_of_a_saved_table_is_a_formula(browser, page, tmp_path, text, saved):
    with visit(browser, page) as seen:
        seen.page.evaluate(
            "text => { document.querySelector('#customer-table tbody th').textContent = text; }", text
        )
        with seen.page.expect_download() as waiting:
            seen.page.locator("button[data-table=customer-table]").click()
        waiting.value.save_as(tmp_path / "saved.csv")
    with (tmp_path / "saved.csv").open(encoding="utf-8-sig", newline="") as file:
        _, first, *_ = csv.reader(file)
    assert first[0] == saved


def test_a_pressed_heading_sorts_the_table_and_saving_keeps_that_order(browser, page, tmp_path):
    with visit(browser, page) as seen:
        table = seen.page.locator("#customer-table")
        heading = table.get_by_role("button", name="P(alive)")
        heading.focus()
        seen.page.keyboard.press("Enter")
        seen.page.keyboard.press("Enter")
        sorted_by = table.locator("th[aria-sort]")
        assert (sorted_by.inner_text().strip(), sorted_by.get_attribute("aria-sort")) == (
            "P(alive)",
            "ascending",
        )
        with seen.page.expect_download() as waiting:
            seen.page.locator("button[data-table=customer-table]").click()
        waiting.value.save_as(tmp_path / "saved.csv")
        with seen.page.expect_download() as waiting:
            seen.page.get_by_role("link", name="All tables of this page").click()
        waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
        assert seen.errors == []
        ids = table.locator("tbody th").all_inner_texts()
    assert (tmp_path / "tables.xlsx").read_bytes().startswith(b"PK")
    with (tmp_path / "saved.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:3] == ["customer", "value, mean (money)", "90 %"]
    assert [row[0] for row in rows] == ids
    assert "<script>alert('x')</script> & $5$" in ids
    alive = [float(row[head.index("P(alive)")]) for row in rows]
    assert alive == sorted(alive)
    assert len(str(alive[0])) > 6  # all digits, where the page shows two decimals
    assert all(re.fullmatch(r"[\d.,]+ to [\d.,]+", row[2]) for row in rows)


def test_a_telephone_shows_every_panel_and_letters_that_can_be_read(browser, page):
    with visit(browser, page, width=360) as seen:
        shown = seen.page.evaluate(
            """() => Array.from(document.querySelectorAll("figure svg")).map(each => ({
              id: each.closest("figure").id, box: each.getBoundingClientRect().toJSON(),
              of: each.viewBox.baseVal.width, panel: Boolean(each.closest(".panels")),
              hidden: Boolean(each.closest(".split"))}))"""
        )
    seen_ones = [each for each in shown if each["box"]["width"] > 1 and not each["hidden"]]
    assert {each["id"] for each in shown} - {each["id"] for each in seen_ones} == {"figure-forecast"}
    # Letters of 9 points are 9 px high or more: a point of the figure takes a pixel.
    assert min(each["box"]["width"] / each["of"] for each in seen_ones) >= 1
    panels = [each for each in seen_ones if each["panel"]]
    assert [each["id"] for each in panels].count("figure-value-distribution") == 2
    assert all(each["box"]["right"] <= 360 for each in panels)


def test_on_paper_every_part_begins_a_sheet_and_a_long_table_repeats_its_headings(browser, page):
    with visit(browser, page) as seen:
        sheets = printed(seen.page)
        parts = [each.strip() for each in seen.page.locator(".part > h2").all_inner_texts()]
    starts = [next(i for i, sheet in enumerate(sheets) if sheet.strip().startswith(part)) for part in parts]
    assert starts == sorted(set(starts))
    assert starts[0] == 1
    text = "\n".join(sheets)
    for words in (
        "How far to trust it",
        "Holdout: was the forecast right?",
        "Population parameters",
        "Data audit",
    ):
        assert words in text
    assert "Save as CSV" not in text
    # The customers need more than one sheet.
    ids = [i for i, sheet in enumerate(sheets) if len(re.findall(r"\bC0\d\d\d\b", sheet)) > 5]
    listed = [i for i in ids if starts[1] <= i < starts[2]]
    assert len(listed) >= 2
    assert all(re.search(r"customer\s+value,\s+mean", sheets[i]) for i in listed[:2])
