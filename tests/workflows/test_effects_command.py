"""Covariates and groups from a shell: one run of a CSV to a report, again from its posteriors, and bad options."""

import html
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app, paragraph
from bayes_clv.valuation import best_bid, channel_values, compare_channels, read_channels, split_budget
from bayes_clv.valuation.channel_files import Channels
from bayes_clv.views.reporting.channel_words import bid_sentence, budget_sentences
from bayes_clv.workflows import acquiring
from bayes_clv.workflows.choices import Acquiring
from bayes_clv.workflows.folders import Finished, read_run
from bayes_clv.workflows.options import grouping, options_of
from tests.sentences import CHINESE, untranslated


def command(*arguments):
    return CliRunner().invoke(app, ["run", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def base(shop, tmp_path_factory):
    """Orders of the shop and a table of its customers and others, in another order."""
    folder, log = shop
    rng = np.random.default_rng(1)
    ids = np.r_[log["customer_id"].unique(), 900001]
    table = pd.DataFrame(
        {
            "customer_id": ids,
            "age": rng.integers(20, 60, ids.size),
            "channel": rng.choice(["search", "shop", "<b>social</b>"], ids.size),
        }
    ).sample(frac=1, random_state=2)
    path = tmp_path_factory.mktemp("columns") / "columns.csv"
    table.to_csv(path, index=False)
    return folder / "orders.csv", path


@pytest.fixture(scope="module")
def done(base, tmp_path_factory):
    orders, columns = base
    out = tmp_path_factory.mktemp("effects") / "out"
    result = command(
        orders, "--until", "2025-09-30", "--columns", columns, "--covariate", "purchase=np.log(age)", "--covariate",
        "spend=age", "--groups", "purchase=channel", "--family", "bg_nbd", "--no-drift", "--no-returns", "--method",
        "laplace", "--draws", "50", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return out


def test_a_run_with_covariates_and_groups(done):
    buying, spending = clv.load(done / "buying.nc"), clv.load(done / "spending.nc")
    assert buying["posterior"]["purchase_effect"].values.tolist() == ["log(age)"]
    assert buying["posterior"]["purchase_channel_offset"].dims == ("chain", "draw", "channel")
    assert spending["posterior"]["spend_effect"].values.tolist() == ["age"]
    assert "spend_channel_offset" not in spending["posterior"]
    text = (done / "report.html").read_text(encoding="utf-8")
    assert "more log(age) multiplies the mean purchase rate of a new customer by" in text
    assert "more age multiplies the mean spend per occasion across customers by" in text
    assert html.escape("<b>social</b>") in text
    assert "<b>social" not in text
    assert (done / "figures" / "purchases_group_forest.svg").exists()
    arguments = json.loads((done / "run.json").read_text(encoding="utf-8"))["arguments"]
    assert arguments["covariates"] == {"purchase": ["np.log(age)"], "spend": ["age"]}
    assert arguments["columns"] == "columns.csv"


def test_its_posteriors_serve_again_with_their_columns(done, base, tmp_path, monkeypatch):
    from bayes_clv.views.reporting import page

    monkeypatch.setattr(page, "write_page", lambda path, *_given, **_more: path.write_text("report"))
    orders, columns = base
    again = ("--until", "2025-09-30", "--posteriors", done, "--out", tmp_path / "again")
    result = command(orders, "--columns", columns, *again)
    assert result.exit_code == 0, result.stderr
    tables = [pd.read_parquet(folder / "customers.parquet") for folder in (done, tmp_path / "again")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--covariate", "age"], "--covariate 'age' does not say what acts on what. Write it like"),
        (["--covariate", "purchase=age"], "may also be in a table with a row for each: --columns"),
        (["--columns", "COLUMNS", "--covariate", "spent=age"], "'spent' is nothing that a column can act on"),
        (["--columns", "COLUMNS", "--covariate", "purchase=bs(age)"], "which a saved posterior could not remember"),
        (["--columns", "COLUMNS", "--covariate", "purchase=income"], "'income'"),
        (["--columns", "nowhere.csv", "--groups", "channel"], "There is no file 'nowhere.csv'"),
        (["--columns", "COLUMNS"], "serves nothing without --covariate"),
        (["--columns", "COLUMNS", "--groups", "channel", "--method", "mode"], "--method 'mode' does not serve groups"),
        (["--columns", "COLUMNS", "--groups", "channel", "--groups", "spend=age"], "Write all of them like"),
        (["--columns", "COLUMNS", "--covariate", "spend=one"], "all customers of the fit"),
    ],
)  # fmt: skip
def test_bad_options_are_explained_before_anything_is_fitted(base, tmp_path, options, message):
    orders, columns = base
    if "spend=one" in options:
        columns = tmp_path / "one.csv"
        pd.read_csv(base[1]).assign(one=1).to_csv(columns, index=False)
    given = [str(columns) if option == "COLUMNS" else option for option in options]
    result = command(orders, *given, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert message in said, said
    assert "covariates=" not in said
    assert "columns=" not in said
    assert not (tmp_path / "out").exists()
    assert "laplace)" not in said


def test_groups_go_everywhere_or_to_processes():
    assert grouping(["channel", "country"]) == ["channel", "country"]
    assert grouping(["purchase=channel", "dropout=channel", "purchase=country"]) == {
        "purchase": ["channel", "country"],
        "dropout": ["channel"],
    }


CHANNELS = """
horizon = "30 weeks"
test_cost = 50
budget = 400
[profile]
age = 40
[[channels]]
name = "search"
spent = 300
won = 40
elasticity = 0.5
bids = [[10, 5], [100, 50]]
common = 0.5
[[channels]]
name = "shop"
spent = 200
won = 20
most = 60
[others]
cost = 9
customers = 100
"""


def channels(*arguments):
    return CliRunner().invoke(app, ["channels", *map(str, arguments)], catch_exceptions=False)


def test_the_page_of_channels_is_in_the_language_that_is_asked_for_whole(done, tmp_path):
    (tmp_path / "costs.toml").write_text(CHANNELS)
    result = channels(
        done, tmp_path / "costs.toml", "--draws", 40, "--language", "zh", "--out", tmp_path / "c.csv"
    )
    assert result.exit_code == 0, result.stderr
    assert "a new customer is worth" in result.stdout
    assert not CHINESE.search(result.stdout)
    page = (tmp_path / "c.html").read_text()
    assert '<html lang="zh">' in page
    # Names, what is typed, and the settings of the run.
    stated = {"spent 300; won 40; elasticity 0.5", "spent 200; won 20; most 60", "cost 9; customers 100"}
    typed = {"search", "shop", "<b>social</b>", "channel"} | stated
    assert untranslated(page.partition('id="run-table-caption"')[0]) == typed
    refused = channels(done, tmp_path / "costs.toml", "--language", "xx", "--out", tmp_path / "c.csv")
    assert refused.exit_code == 2
    assert "Use one of en, zh." in " ".join(refused.stderr.split())


def test_the_channels_of_a_run_are_judged_as_python_judges(done, tmp_path):
    (tmp_path / "costs.toml").write_text(CHANNELS)
    result = channels(done, tmp_path / "costs.toml", "--draws", 40, "--out", tmp_path / "found.csv")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "found.csv")
    fits = clv.load(done / "buying.nc"), clv.load(done / "spending.nc")
    values = channel_values(*fits, horizon="30 weeks", profile={"age": 40}, draws=40)
    read = read_channels(tmp_path / "costs.toml")
    seed = json.loads((done / "run.json").read_text())["arguments"]["seed"]
    found = compare_channels(values, read.of(values["channel"].values), test_cost=50, seed=seed)
    assert table["channel"].tolist() == found["channel"].values.tolist()
    np.testing.assert_allclose(table["profit_mean"], found["profit_mean"], rtol=1e-9)
    assert table["customers_known"].sum() == json.loads((done / "run.json").read_text())["customers"]
    page = html.unescape((tmp_path / "found.html").read_text())
    said = [line.strip() for line in result.stdout.splitlines() if "a new customer is worth" in line]
    assert len(said) == 3
    for line in said:
        assert line in page
    assert len(pd.read_csv(tmp_path / "found-pairs.csv")) == 6
    split = split_budget(found["value"], read.listed, 400, seed=seed)
    assert pd.read_csv(tmp_path / "found-budget.csv")["spend"][0] == pytest.approx(float(split["spend"][0]))
    bid = best_bid(found["value"].sel(channel="search"), {10: 5, 100: 50}, common=0.5)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "found-bids.csv")["profit_mean"], bid["profit_mean"])
    for line in (*budget_sentences(split), bid_sentence("search", bid)):
        assert line in result.stdout
        assert line in page
    assert {path.name for path in tmp_path.glob("*.png")} == {"found-values.png", "found-payback.png"}


def test_equity_of_a_run_that_tells_customers_apart_is_that_of_the_present_ones(done, tmp_path):

    def equity(*options):
        words = ["equity", done, "--draws", 20, "--out", tmp_path / "base.csv", *options]
        return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)

    refused = equity()
    assert refused.exit_code == 2
    said = " ".join(refused.stderr.split())
    assert "The run tells customers apart by " in said
    assert "Leave them out with --no-newcomers" in said
    valued = equity("--no-newcomers")
    assert valued.exit_code == 0, valued.stderr


def test_channels_are_after_the_costs_of_the_run_unless_the_file_has_others(done, tmp_path):
    run = shutil.copytree(done, tmp_path / "run")
    (run / "costs.toml").write_text('cost_per_order = "age"\nmargin = 0.5\n')
    text = "[profile]\nage = 40\n[others]\ncost = 9\n"
    (tmp_path / "all.toml").write_text(text)
    result = channels(run, tmp_path / "all.toml", "--draws", 40, "--out", tmp_path / "found.csv")
    assert result.exit_code == 0, result.stderr
    read = read_run(run)
    values = channel_values(
        *(read.buying, read.spending),
        horizon=read.horizon,
        profile={"age": 40},
        draws=40,
        costs=read.costs,
        customers=read.customers,
    )
    found = pd.read_csv(tmp_path / "found.csv")
    np.testing.assert_allclose(found["value_mean"], values["value_by_time"][..., -1].mean("draw"), rtol=1e-10)
    # So much costs more than it brings.
    assert (found["value_mean"] < 0).all()
    said = "less what customers cost (cost per order column 'age'; margin 0.5)"
    assert f"value is 50 % of spend, {said}, undiscounted" in " ".join(result.stdout.split())
    page = html.unescape((tmp_path / "found.html").read_text())
    assert "Value is 50 % of spend" in page
    assert "less what a new customer costs once it is there (cost per order column 'age'" in page
    # A table of the file takes their place; a margin that it does not state is the run's.
    (tmp_path / "all.toml").write_text(f"{text}[costs]\ncost_per_order = 0.5\n")
    result = channels(run, tmp_path / "all.toml", "--draws", 40, "--out", tmp_path / "other.csv")
    assert "50 % of spend, less what customers cost (margin 0.5; cost per order 0.5)" in " ".join(
        result.stdout.split()
    )
    assert (pd.read_csv(tmp_path / "other.csv")["value_mean"] > 0).all()


def test_a_run_without_groups_is_told_the_option(make_buying):
    ungrouped = Finished(xr.Dataset(), make_buying(draws=2), None, pd.DataFrame(), {})
    with pytest.raises(clv.InputError, match="Run again with groups and the column") as refused:
        acquiring._column(ungrouped, Channels(()))
    said = " ".join(paragraph(refused.value, options_of(Acquiring)).split())
    assert "Run again with --groups and the column of the channels." in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no file"),
        ("[[channels]]\nname = 'search'\ncost = -1\n", "bad.toml, line 3: cost (money for a new customer)"),
        ("[[channels]]\nname = 'fax'\ncost = 1\n", "bad.toml, line 1: the fits know no channel 'fax'"),
        ("[[channels]]\nname = 'fax'\ncost = 1\n", "One that is not tried yet is named new = true."),
        (
            "[[channels]]\nname = 'search'\ncost = 1\n",
            "bad.toml: Nothing is said of what 2 of 3 channels cost",
        ),
        ('horizon = "2 moons"\n[others]\ncost = 1\n', "bad.toml, line 1: Time unit 'moons' is not known"),
        ("budget = 5\n[others]\ncost = 1\n", "bad.toml, line 1: no channel says what more money would bring"),
        (
            'by = "shop"\n[others]\ncost = 1\n',
            "bad.toml, line 1: the run has no groups by 'shop', but by channel",
        ),
    ],
)
def test_bad_files_of_channels_are_one_paragraph(done, tmp_path, text, message):
    if text is not None:
        text += "[profile]\nage = 40\n"
        (tmp_path / "bad.toml").write_text(text)
    result = channels(done, tmp_path / "bad.toml", "--out", tmp_path / "found.csv")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("found*"))
