"""``bayes-clv compare``: what Python finds of the run's files, or one paragraph that says what is wrong."""

import base64
import io
import re

import numpy as np
import openpyxl
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.valuation import compare_scenarios, read_scenarios
from bayes_clv.workflows.folders import read_run
from tests.sentences import CHINESE

SCENARIOS = """
[base]
cost_per_order = 1.2

[[scenarios]]
name = "Dearer"
price = "+5 %"
purchase_rate = {normal = ["-3 %", "1 %"]}

[[scenarios]]
name = "Letter"
where = "channel = 'web'"
contact_cost = 0.3
purchase_rate = "+8 %"
break_even = "contact_cost"

[[scenarios]]
name = "Longer"
horizon = "30 weeks"

[tornado]
margin = [0.25, 0.35]
"""


def compare(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)


def test_the_command_says_what_python_says(finished, tmp_path):
    run = read_run(finished[0])
    ids = run.customers["customer"].values
    channel = np.where(np.arange(ids.size) % 2 == 0, "web", "shop")
    pd.DataFrame({"id": ids, "channel": channel}).to_csv(tmp_path / "channels.csv", index=False)
    (tmp_path / "what_if.toml").write_text(SCENARIOS)
    options = ["--columns", tmp_path / "channels.csv", "--customer-id", "id", "--draws", 40]
    result = compare(finished[0], tmp_path / "what_if.toml", *options, "--out", tmp_path / "found.csv")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "found.csv")
    assert table["scenario"].tolist() == ["base", "Dearer", "Letter", "Longer"]
    customers = clv.with_columns(
        run.customers, pd.DataFrame({"customer_id": ids, "channel": channel}), ["channel"]
    )
    simulation = clv.simulate(
        run.buying,
        customers,
        "30 weeks",
        spending=run.spending,
        margin=0.3,
        annual_discount_rate=0.1,
        draws=40,
        seed=run.seed,
    )
    read = read_scenarios(tmp_path / "what_if.toml")
    found = compare_scenarios(
        simulation, read.others[:2], base=clv.valuation.scenario("base", cost_per_order=1.2, horizon=20.0)
    )
    np.testing.assert_allclose(
        table["value_difference_mean"][:3], found["value_difference_mean"], rtol=1e-9, atol=1e-9
    )
    assert table["reached"][2] == (ids.size + 1) // 2
    assert table["value_mean"][3] > table["value_mean"][0]
    page = (tmp_path / "found.html").read_text()
    assert "Scenarios: what if" in page
    held = re.search(r'href="data:[^,"]*sheet;base64,([^"]*)" download="tables.xlsx"', page)
    book = openpyxl.load_workbook(io.BytesIO(base64.b64decode(held[1])))
    assert {"scenario-table", "totals-table", "tornado-table", "stated-table"} <= set(book.sheetnames)
    heading, *rows = book["totals-table"].iter_rows(values_only=True)
    value = [row[heading.index("value, mean")] for row in rows]
    np.testing.assert_allclose(value, table["value_mean"], rtol=1e-12)
    assert "To know the horizon" not in result.stdout
    for line in result.stdout.splitlines():
        if "is worth" in line:
            assert line.strip() in page
    assert pd.read_csv(tmp_path / "found-tornado.csv")["lever"].tolist() == ["margin"]
    assert {path.name for path in tmp_path.glob("*.png")} == {"found-differences.png", "found-tornado.png"}


def test_the_page_is_in_the_language_that_is_asked_for_and_what_is_printed_is_not(finished, tmp_path):
    (tmp_path / "what_if.toml").write_text('[[scenarios]]\nname = "Dearer"\nprice = "+5 %"\n')
    options = ["--draws", 20, "--out", tmp_path / "found.csv", "--language"]
    result = compare(finished[0], tmp_path / "what_if.toml", *options, "zh")
    assert result.exit_code == 0, result.stderr
    assert '<html lang="zh">' in (tmp_path / "found.html").read_text()
    assert "“Dearer” is worth" in result.stdout
    assert not CHINESE.search(result.stdout)
    refused = compare(finished[0], tmp_path / "what_if.toml", *options, "xx")
    assert refused.exit_code == 2
    assert "Use one of en, zh." in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no file"),
        ('[[scenarios]]\nname = "A"\nmarge = 1\n', "bad.toml, line 3: 'marge' is no lever"),
        (
            '[[scenarios]]\nname = "A"\nhorizon = "2 moons"\n',
            "bad.toml, line 3: Time unit 'moons' is not known",
        ),
        (
            2 * '[[scenarios]]\nname = "A"\nprice = "+5 %"\n',
            "bad.toml, line 4: two scenarios are called 'A'",
        ),
        (
            '[[scenarios]]\nname = "base"\nprice = "+5 %"\n',
            "bad.toml, line 1: two scenarios are called 'base'",
        ),
        (
            '[[scenarios]]\nname = "A"\nprice = "5 %"\n',
            """such as "+10 %" or "-5 %".""",
        ),
        (
            '[[scenarios]]\nname = "A"\nwhere = "channel = web"\nprice = "+5 %"\n',
            "A text stands in quotes: channel == 'web'.",
        ),
    ],
)
def test_bad_files_are_one_paragraph_and_nothing_is_written(finished, tmp_path, text, message):
    if text is not None:
        (tmp_path / "bad.toml").write_text(text)
    result = compare(finished[0], tmp_path / "bad.toml", "--out", tmp_path / "found.csv")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("found*"))
