"""What customers cost, stated to ``run``: its values, its page and what goes on from its folder."""

import html
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.app import browsing
from bayes_clv.cli import app
from bayes_clv.workflows.folders import read_run
from tests.sentences import CHINESE

COSTS = 'cost_per_order = 1.5\ncost_to_serve = 0.02\nmargin = "share"\n'
TOLD = ["--annual-discount-rate", "0.1", "--horizon", "20 weeks", "--draws", "100", "--family", "bg_nbd"]


def command(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture(scope="module")
def own(shop, finished, tmp_path_factory):
    """The run of the shop again, from its posteriors, with costs and each customer's own margin."""
    folder, log = shop
    place = tmp_path_factory.mktemp("costs")
    (place / "what.toml").write_text(COSTS)
    ids = log["customer_id"].unique()
    pd.DataFrame({"customer_id": ids, "share": 0.2 + 0.1 * (ids % 3)}).to_csv(place / "own.csv", index=False)
    result = command(
        *("run", folder / "orders.csv", "--until", "2025-09-30", "--posteriors", folder / "first", *TOLD),
        *("--costs", place / "what.toml", "--columns", place / "own.csv", "--out", place / "run"),
    )
    assert result.exit_code == 0, result.stderr
    return place, result


def test_the_values_are_those_of_predict(own):
    place, result = own
    run = read_run(place / "run")
    stated = clv.predictions.costs(cost_per_order=1.5, cost_to_serve=0.02, margin="share")
    seed = run.record["seeds"]["future"]
    value = clv.predict(
        *(run.buying, run.customers, "20 weeks"),
        spending=run.spending,
        annual_discount_rate=0.1,
        costs=stated,
        seed=seed,
    )
    np.testing.assert_array_equal(run.table["value_mean"], value["value_mean"])
    assert run.record["totals"]["value"]["mean"] == pytest.approx(float(value["value_total"].mean()))
    assert set(run.table) >= {"value_before_costs_mean", "cost_mean", "probability_loss"}
    said = "cost per order 1.5; cost to serve 0.02; margin column 'share'"
    assert run.record["costs"] == run.costs.text == said
    assert f"Values are less what customers cost: {said}." in result.stdout
    assert "Residual value of all customers" in result.stdout
    assert "evenue" not in result.stdout
    page = html.unescape((place / "run" / "report.html").read_text())
    assert f"less what customers cost ({said})" in page
    assert "after costs and discount" in page
    assert "residual revenue" not in page
    before = clv.views.numbers.money(float(value["value_before_costs_total"].mean()))
    assert f"Before costs it is {before} in the mean." in page


def test_what_goes_on_from_the_run_takes_its_costs(own, tmp_path):
    place, _ = own
    net = read_run(place / "run").table["value_mean"].sum()
    rule = ["--rule", "matrix", "--set", "x=probability_alive", "--set", "y=value"]
    result = command("segment", place / "run", *rule, "--out", tmp_path / "s.csv", "--draws", 100)
    assert result.exit_code == 0, result.stderr
    sizes = pd.read_csv(tmp_path / "s-sizes.csv")
    # The run's own draws, 400 of the same futures but for the seed: 5 standard errors of a mean of 100.
    total = read_run(place / "run").record["totals"]["value"]
    assert abs(sizes["value_mean"].sum() - net) < 5 * total["sd"] / 10
    result = command("equity", place / "run", "--no-newcomers", "--out", tmp_path / "e.csv", "--draws", 100)
    assert result.exit_code == 0, result.stderr
    assert "less what customers cost (cost per order 1.5" in result.stdout


def test_what_an_alarm_puts_at_risk_is_value_after_costs(own, tmp_path):
    place, _ = own
    result = command("alarms", place / "run", "--out", tmp_path / "a.csv")
    assert result.exit_code == 0, result.stderr
    alarms = pd.read_csv(tmp_path / "a.csv", dtype={"customer_id": str}).set_index("customer_id")
    run = read_run(place / "run").table
    run = run.set_index(run["customer_id"].astype(str)).loc[alarms.index]
    gone = 1 - alarms["probability_alive"]
    after, before = (gone * run[f"{name}_mean"] for name in ("value", "value_before_costs"))
    # The list is rounded to cents, and P(alive) to three digits.
    allowed = 0.005 + 0.5e-3 * run["value_before_costs_mean"].abs()
    assert ((alarms["value_at_risk"] - after).abs() <= allowed + 1e-9).all()
    assert ((alarms["value_at_risk"] - before).abs() > allowed).any()
    assert (np.diff(alarms["value_at_risk"].dropna()) <= 0).all()


SCENARIOS = """
[[scenarios]]
name = "Dearer posts"
cost_per_order = "+10 %"
break_even = "purchase_rate"

[[scenarios]]
name = "As it is"
margin = "+0 %"
"""


def test_scenarios_are_after_the_costs_of_the_run(own, tmp_path):
    place, _ = own
    run = read_run(place / "run")
    (tmp_path / "what.toml").write_text(SCENARIOS)
    told = ["compare", place / "run", tmp_path / "what.toml", "--out", tmp_path / "found.csv", "--draws", 100]
    result = command(*told)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "found.csv").set_index("scenario")
    net = clv.simulate(run.buying, run.customers, "20 weeks", **run.money, draws=100, seed=run.seed)
    total = np.mean(sum(block["value"].sum(axis=0) for _, block in net.blocks(["value"])))
    assert table["value_mean"]["base"] == pytest.approx(total, rel=1e-10)
    assert table["value_difference_mean"]["As it is"] == 0
    assert table["value_difference_mean"]["Dearer posts"] < 0
    said = "less what customers cost (cost per order 1.5; cost to serve 0.02; margin column 'share')"
    printed = " ".join(result.stdout.split())
    assert (
        f"value is each customer's own margin on spend, {said}, discounted by 10 % a year; levers set or"
        in printed
    )
    assert "before what customers cost" not in printed
    page = html.unescape((tmp_path / "found.html").read_text())
    assert "What customers cost stands in the base, each customer's own (cost per order 1.5" in page
    assert command(*told, "--language", "zh").exit_code == 0
    assert CHINESE.search(html.unescape((tmp_path / "found.html").read_text()))


def test_the_app_shows_values_after_the_costs_of_the_run(own):
    place, _ = own
    opened = browsing.open_run(place / "run", draws=60)
    levers = browsing.can_change(opened)
    # A number would take the place of each customer's own margin.
    assert "margin" not in levers
    assert browsing.at_rest(opened, "cost_per_order") == 1.5
    at_rest = {name: 0.0 if name in browsing.CHANGES else browsing.at_rest(opened, name) for name in levers}
    found = browsing.what_if(opened, at_rest)
    assert (found["value_difference"] == 0).all()
    run = opened.run
    net = clv.predict(run.buying, run.customers, "20 weeks", **run.money, seed=run.seed)
    # The same futures, of fewer draws.
    error = float(net["value_total"].std()) / np.sqrt(60)
    assert abs(float(found["value"][:, 0].mean()) - float(net["value_total"].mean())) < 5 * error
    dearer = browsing.what_if(opened, at_rest | {"cost_per_order": 3.0})
    assert (dearer["value_difference"][:, 1] < 0).all()
    assert "less what customers cost (cost per order 1.5" in browsing.earned_words(opened)


def test_a_file_that_serves_nothing_or_says_too_much_is_refused(own, shop, tmp_path):
    place, _ = own
    orders = shop[0] / "orders.csv"
    base = ["run", orders, "--posteriors", shop[0] / "first", *TOLD, "--out", tmp_path / "out"]
    for arguments, message in (
        (["--costs", tmp_path / "none.toml"], "There is no file"),
        (["--costs", place / "what.toml", "--purchases-only"], "Leave out one of them"),
        (["--costs", place / "what.toml"], "'share'"),
        (
            ["--costs", place / "what.toml", "--columns", place / "own.csv", "--margin", "0.3"],
            "margin=0.3 too",
        ),
    ):
        result = command(*base, *arguments)
        assert result.exit_code == 2, arguments
        assert message in " ".join(result.stderr.split()), result.stderr
        assert not (tmp_path / "out").exists()


def test_a_file_of_costs_is_kept_as_it_was_told(own):
    place, _ = own
    assert (place / "run" / "costs.toml").read_text() == COSTS
    assert json.loads((place / "run" / "run.json").read_text())["arguments"]["costs"] == "what.toml"
    # The folder may be replaced by a run without: the file is one that a run writes.
    copied = place / "copy"
    shutil.copytree(place / "run", copied)
    from bayes_clv.workflows.folders import refuse_foreign_folder

    refuse_foreign_folder(copied, shown="copy")
