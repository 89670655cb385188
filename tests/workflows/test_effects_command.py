"""Covariates and groups from a shell: one run of a CSV to a report, again from its posteriors, and bad options."""

import html
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.workflows.settings import grouping


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
