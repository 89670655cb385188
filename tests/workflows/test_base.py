"""The commands equity and audit: what they write is what Python says, and bad input is one paragraph."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.workflows.folders import read_run
from tests.sentences import CHINESE, untranslated


def call(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def valued(finished, tmp_path_factory):
    folder, _ = finished
    out = tmp_path_factory.mktemp("equity")
    orders = folder.parent / "orders.csv"
    result = call(
        *(
            "equity",
            folder,
            "--draws",
            60,
            "--orders",
            orders,
            "--opened",
            "2025-06-30",
            "--period",
            "2 weeks",
        ),
        *("--acquisition-cost", 3, "--out", out / "base.csv"),
    )
    assert result.exit_code == 0, result.stderr
    return folder, out, result.stdout


def test_a_run_is_valued_as_python_values(valued):
    folder, out, said = valued
    run = read_run(folder)
    terms = {
        "spending": run.spending,
        "margin": 0.3,
        "annual_discount_rate": 0.1,
        "draws": 60,
        "seed": run.seed,
    }
    draws = clv.simulate(run.buying, run.customers, run.horizon, **terms)
    coming = clv.valuation.predict_newcomers(
        run.customers, run.horizon, period="2 weeks", draws=60, seed=run.seed
    )
    found = clv.valuation.customer_equity(draws, coming, acquisition_cost=3.0)
    np.testing.assert_allclose(pd.read_csv(out / "base.csv")["mean"], clv.table(found)["mean"])
    earlier = clv.summarize(folder.parent / "orders.csv", until="2025-06-30")
    opening = clv.simulate(run.buying, earlier, run.horizon, **terms)
    before = clv.valuation.predict_newcomers(earlier, run.horizon, period="2 weeks", draws=60, seed=run.seed)
    bridge = clv.valuation.equity_bridge(opening, draws, newcomers=(before, coming), acquisition_cost=3.0)
    np.testing.assert_allclose(pd.read_csv(out / "base-bridge.csv")["mean"], clv.table(bridge)["mean"])
    assert "Since 2025-06-30 equity has" in said
    assert "is said by the later posterior" in said
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("base.csv", "base-tops.csv", "base-cohorts.csv", "base-bridge.csv", "base.html"),
        *("base-worth.png", "base-newcomers.png", "base-bridge.png"),
    }


def test_the_page_of_equity_is_in_the_language_that_is_asked_for_whole(valued, tmp_path):
    folder, orders = valued[0], valued[0].parent / "orders.csv"
    opened = ["--orders", orders, "--opened", "2025-06-30", "--period", "2 weeks"]
    options = ["--draws", 20, "--out", tmp_path / "base.csv", "--language"]
    result = call("equity", folder, *opened, *options, "zh")
    assert result.exit_code == 0, result.stderr
    assert "Present customers are worth" in result.stdout
    assert not CHINESE.search(result.stdout)
    page = (tmp_path / "base.html").read_text()
    assert '<html lang="zh">' in page
    # The settings of the run stay as they were typed.
    assert untranslated(page.partition('id="run-table-caption"')[0]) == set()
    refused = call("equity", folder, *options, "xx")
    assert refused.exit_code == 2
    assert "Use one of en, zh." in " ".join(refused.stderr.split())


def test_present_customers_alone(valued, tmp_path):
    folder, _, _ = valued
    result = call("equity", folder, "--draws", 20, "--no-newcomers", "--out", tmp_path / "alone.csv")
    assert result.exit_code == 0, result.stderr
    assert "Customer equity" not in result.stdout
    assert not (tmp_path / "alone-cohorts.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--opened", "2025-06-30"], "--opened is a day of the run's --orders: give both"),
        (["--acquisition-cost", "-1"], "--acquisition-cost -1.0 must be one amount of money"),
        (["--period", "40 weeks"], "--no-newcomers"),
        (["--before", "nowhere"], "There is no folder 'nowhere'"),
        (["--since", "soon"], "--since 'soon' cannot be used"),
    ],
)
def test_bad_input_is_one_paragraph(valued, tmp_path, options, message):
    result = call("equity", valued[0], *options, "--draws", 20, "--out", tmp_path / "bad.csv")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_costs_of_a_file_and_their_columns(valued, tmp_path):
    folder, _, _ = valued
    run = read_run(folder)
    ids = run.customers["customer"].values
    serve = np.linspace(0.0, 0.4, ids.size)
    pd.DataFrame({"id": ids, "serve": serve}).to_csv(tmp_path / "own.csv", index=False)
    (tmp_path / "costs.toml").write_text('cost_per_order = 0.5\ncost_to_serve = "serve"\n')
    own = ["--costs", tmp_path / "costs.toml", "--columns", tmp_path / "own.csv", "--customer-id", "id"]
    result = call("equity", folder, *own, "--draws", 40, "--no-newcomers", "--out", tmp_path / "net.csv")
    assert result.exit_code == 0, result.stderr
    assert "Before costs it would be" in result.stdout
    stated = clv.predictions.costs(cost_per_order=0.5, cost_to_serve=dict(zip(ids, serve, strict=True)))
    terms = {
        "spending": run.spending,
        "margin": 0.3,
        "annual_discount_rate": 0.1,
        "draws": 40,
        "seed": run.seed,
    }
    draws = clv.simulate(run.buying, run.customers, run.horizon, **terms, costs=stated)
    found = clv.table(clv.valuation.customer_equity(draws))
    np.testing.assert_allclose(pd.read_csv(tmp_path / "net.csv")["mean"], found["mean"])
    assert "Value is less what customers cost" in (tmp_path / "net.html").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cost_per_order = -1\n",
            "costs.toml, line 1: cost_per_order (money an order costs) must be finite and not",
        ),
        ("\ndefault_probability = 2\n", "costs.toml, line 2: default_probability"),
        ("cost_to_serve = 'rent'\n", "costs.toml, line 1: cost_to_serve"),
    ],
)
def test_bad_files_of_costs_are_one_paragraph(valued, tmp_path, text, message):
    (tmp_path / "costs.toml").write_text(text)
    result = call(
        "equity", valued[0], "--costs", tmp_path / "costs.toml", "--draws", 20, "--out", tmp_path / "x.csv"
    )
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "x.csv").exists()


def test_an_earlier_run_is_the_opening_and_must_be_earlier(valued, tmp_path):
    folder, _, _ = valued
    result = call("equity", folder, "--before", folder, "--draws", 20, "--out", tmp_path / "bad.csv")
    assert result.exit_code == 2
    assert "The earlier day, 2025-09-30, is not before the run's end" in " ".join(result.stderr.split())


def test_a_log_is_audited_as_python_audits(shop, tmp_path):
    folder, log = shop
    result = call("audit", folder / "orders.csv", "--period", "month", "--out", tmp_path / "look.csv")
    assert result.exit_code == 0, result.stderr
    found = clv.customers.audit_base(log, period="month")
    frame = pd.read_csv(tmp_path / "look.csv")
    np.testing.assert_allclose(frame["spend"], clv.table(found)["spend"])
    cohorts = pd.read_csv(tmp_path / "look-cohorts.csv")
    np.testing.assert_allclose(cohorts["active"], clv.table(found, by="cohort")["active"])
    assert result.stdout.startswith("One period, ")
    assert (tmp_path / "look.html").stat().st_size > 20_000
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".html", ".png"}
    own = call("audit", folder / "orders.csv", "--out", folder / "orders.csv")
    assert own.exit_code == 2
    assert "is the order log itself" in own.stderr


def test_the_page_of_an_audit_is_in_the_language_that_is_asked_for_whole(shop, tmp_path):
    options = ["--period", "month", "--out", tmp_path / "look.csv", "--language"]
    result = call("audit", shop[0] / "orders.csv", *options, "zh")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("One period, ")
    assert not CHINESE.search(result.stdout)
    page = (tmp_path / "look.html").read_text()
    assert '<html lang="zh">' in page
    # The settings of the run stay as they were typed.
    assert untranslated(page.partition('id="run-table-caption"')[0]) == set()
    refused = call("audit", shop[0] / "orders.csv", *options, "xx")
    assert refused.exit_code == 2
    assert "Use one of en, zh." in " ".join(refused.stderr.split())
