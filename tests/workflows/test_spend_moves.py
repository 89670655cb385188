"""A run whose spend moves with its customers: ``--trend``, ``--spend-drift`` and ``--spend-family``."""

import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app, paragraph
from bayes_clv.workflows.choices import Scoring
from bayes_clv.workflows.compiling import compile_simulation
from bayes_clv.workflows.deciding import to_summarize
from bayes_clv.workflows.options import options_of
from bayes_clv.workflows.running import _key, run
from bayes_clv.workflows.scoring import score_run
from bayes_clv.workflows.settings import Settings, check_settings, spend_family_of

TOLD = {"until": "2025-09-30", "family": "bg_nbd", "drift": False, "returns": False, "calendar": False}


@pytest.fixture(scope="module")
def done(shop, tmp_path_factory):
    """A run with both, and what it printed."""
    out = tmp_path_factory.mktemp("moves") / "out"
    told = [
        "run",
        shop[0] / "orders.csv",
        "--until",
        "2025-09-30",
        "--family",
        "bg_nbd",
        "--no-drift",
        "--no-returns",
    ]
    told += [
        "--no-calendar",
        "--method",
        "laplace",
        "--draws",
        "50",
        "--trend",
        "--spend-drift",
        "--out",
        out,
    ]
    result = CliRunner().invoke(app, [str(each) for each in told], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return out, result.stdout


def test_a_run_fits_spend_that_moves_and_says_how_in_words(done):
    out, printed = done
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    asked = {name: record["arguments"][name] for name in ("trend", "spend_drift", "spend_family")}
    assert asked == {"trend": True, "spend_drift": True, "spend_family": None}
    assert record["diagnostics"]["spending"]["family"] == "lognormal_spend_trend_drift"
    said = record["spend"]["words"][0]
    assert "after the first is worth" in said
    assert "drifts about the customer's own level" in said
    assert said in printed
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    assert said in page


def test_its_posteriors_say_how_spend_moves(done, shop, tmp_path, no_report):
    out, _ = done
    again = run(
        Settings(shop[0] / "orders.csv", out=tmp_path / "again", posteriors=out, until="2025-09-30", draws=50)
    )
    assert again["arguments"]["spend_family"] == "lognormal_spend_trend_drift"
    assert (tmp_path / "again" / "customers.parquet").read_bytes() == (out / "customers.parquet").read_bytes()


def test_what_goes_on_from_it_reads_what_it_needs(done, shop, tmp_path):
    out, _ = done
    record = score_run(Scoring(out, shop[0] / "orders.csv", until="2025-09-30", out=tmp_path / "scored.csv"))
    value = json.loads((out / "run.json").read_text(encoding="utf-8"))["totals"]["value"]
    assert record["totals"]["value"]["mean"] == pytest.approx(value["mean"], rel=1e-9)


@pytest.fixture
def no_report(monkeypatch):
    from bayes_clv.views.reporting import page

    monkeypatch.setattr(page, "write_page", lambda path, *_given, **_more: path.write_text("report"))


@pytest.mark.parametrize(
    ("given", "family", "read"),
    [
        ({}, "gamma_gamma", set()),
        ({"trend": True}, "gamma_gamma_trend", {"purchase_spend"}),
        ({"spend_drift": True}, "lognormal_spend_drift", {"purchase_spend", "log_spend"}),
        ({"spend_family": "lognormal_spend"}, "lognormal_spend", {"log_spend"}),
        (
            {"spend_family": "lognormal_spend", "trend": True},
            "lognormal_spend_trend",
            {"purchase_spend", "log_spend"},
        ),
    ],
)
def test_what_is_asked_of_spend_decides_the_family_and_what_is_read(given, family, read):
    settings = Settings("orders.csv", **TOLD | given)
    check_settings(settings)
    assert spend_family_of(settings) == family
    assert set(to_summarize(settings)) & {"purchase_spend", "log_spend"} == read


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"trend": True, "spend": None},
            "--trend True: how spend is fitted, and --purchases-only leaves spend out",
        ),
        (
            {"spend_drift": True, "spend_family": "gamma_gamma"},
            "--spend-drift True is there of lognormal_spend and .* Leave out one of them",
        ),
        ({"spend_family": "bg_nbd"}, "--spend-family 'bg_nbd' is no family of spend. Use one of gamma_gamma"),
    ],
)
def test_what_cannot_be_asked_of_spend_is_refused_with_its_remedy(given, message):
    with pytest.raises(clv.InputError) as refused:
        check_settings(Settings("orders.csv", **TOLD | given))
    assert re.search(message, paragraph(refused.value, options_of(Settings)).replace("\n", " "))


def test_an_order_for_nothing_is_refused_before_the_first_fit(shop, tmp_path, monkeypatch):
    _, log = shop
    often = log["customer_id"].value_counts().index[0]
    rows = np.flatnonzero((log["customer_id"] == often).to_numpy())
    free = log.assign(spend=log["spend"].where(np.arange(len(log)) != rows[1], 0.0))
    monkeypatch.setattr("bayes_clv.inference.fitting.fit", None)
    with pytest.raises(
        clv.InputError, match="a repeat purchase for nothing, of which .* Fit 'lognormal_spend'"
    ):
        run(Settings(free, out=tmp_path / "out", trend=True, **TOLD | {"until": None}))


def test_another_movement_is_another_start(shop):
    customers = clv.summarize(shop[1], until="2025-09-30")
    plain = Settings("orders.csv", **TOLD)
    moving = (
        replace(plain, trend=True),
        replace(plain, spend_drift=True),
        replace(plain, spend_family="lognormal_spend"),
    )
    assert len({_key(each, customers) for each in (plain, *moving)}) == 4


@pytest.mark.parametrize("spending", ["gamma_gamma_trend", "lognormal_spend_trend_drift"])
def test_what_a_moving_spend_simulates_with_can_be_compiled_beside(spending):
    compile_simulation("bg_nbd", spending)
