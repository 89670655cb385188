"""``bayes-clv backtest``: what Python finds, in files and sentences, or one paragraph of what is wrong."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.workflows.backtesting import backtest_summary

WORDS = ["--origins", "2025-09-30", "--horizons", "4 weeks, 8 weeks", "--families", "bg_nbd"]


def ran(folder, *further, out):
    words = ["backtest", folder / "orders.csv", *WORDS, "--draws", 25, "--out", out, *further]
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def first(shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("backtest") / "out"
    result = ran(shop[0], out=out)
    assert result.exit_code == 0, result.stderr
    return out, result.stdout


@pytest.fixture(scope="module")
def scores(shop, first):
    """The same in Python; the scores are those that the command left."""
    return clv.scoring.rolling_origins(
        shop[1],
        {"bg_nbd": clv.scoring.Fit("bg_nbd")},
        "2025-09-30",
        ["4 weeks", "8 weeks"],
        draws=25,
        seed=1,
        cache=first[0] / "cells",
    )


def test_files_and_sentences(first, scores):
    out, said = first
    assert scores.attrs["cells_read"] == scores.attrs["cells"] == 10
    names = {"cells", "scores.csv", "scores.parquet", "backtest.json"}
    names |= {"origins.png", "origins-spend.png", "origins-retention.png"}
    assert {item.name for item in out.iterdir()} == names
    tidy = clv.table(scores)
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "scores.csv", parse_dates=["origin"]),
        tidy.assign(origin=pd.to_datetime(tidy["origin"])),
        check_dtype=False,
    )
    assert len(pd.read_parquet(out / "scores.parquet")) == len(tidy)
    record = json.loads((out / "backtest.json").read_text())
    assert record["arguments"]["families"] == "bg_nbd"
    assert record["origins"] == ["2025-09-30"]
    assert record["cells_failed"] == 0
    assert record["versions"]["bayes_clv"] == clv.__version__
    assert record["summary"] == backtest_summary(scores)
    for question in ("Customers", "Retention", "Money", "Totals"):
        assert len(re.findall(rf"^  {question}: ", said, re.MULTILINE)) == 2
    assert "Over 4 weeks, " in said


def test_a_second_start_makes_nothing_again(shop, first, monkeypatch):
    def never(*_arguments, **_options):
        raise AssertionError("fitted again")

    monkeypatch.setattr("bayes_clv.scoring.origin_cells.fit", never)
    result = ran(shop[0], out=first[0])
    assert result.exit_code == 0, result.stderr
    assert "10 of 10 scores from an earlier start" in result.stdout
    assert result.stdout.splitlines()[:-1] == first[1].splitlines()[:-1]


def test_stopped_it_says_how_to_go_on(shop, tmp_path, monkeypatch):
    def stopped(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayes_clv.scoring.origin_cells.fit", stopped)
    result = ran(shop[0], out=tmp_path / "out")
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.stderr


# What is said.


def made(*, crps, log_score, spend, total, inside, lead, error):
    """Return scores of two origins and one horizon, made by hand; each pair is that of fit and rule."""
    dims = ("forecast", "origin", "horizon")
    names = ["bg_nbd", "past_rate"]

    def of(pair):
        return (dims, np.array([[[value], [value]] for value in pair]))

    def between(values):
        return (("horizon", "forecast", "other"), np.array([[[np.nan, values], [-values, np.nan]]]))

    def errors(value):
        return (("horizon", "forecast", "other"), np.array([[[np.nan, value], [value, np.nan]]]))

    data = {
        "crps": of(crps),
        "retention_log_score": of(log_score),
        "spend_log_crps": of(spend),
        "total_log_crps": of(total),
        "retention_total_mean": of((24.0, 30.0)),
        "spend_total_error": of((-0.14, 0.2)),
        "total_covered": (dims, np.array([[[float(each)] for each in inside], [[np.nan]] * 2])),
        "covered": ((*dims, "interval"), np.full((2, 2, 1, 1), 0.76)),
        "promised": ((*dims, "interval"), np.full((2, 2, 1, 1), 0.92)),
        "retention_observed": (dims[1:], np.full((2, 1), 29)),
        "customers": (dims[1:], np.full((2, 1), 100)),
    }
    for name in ("crps", "retention_log_score", "spend_log_crps"):
        data |= {f"{name}_difference": between(lead), f"{name}_difference_se": errors(error)}
    return xr.Dataset(
        data,
        coords={
            "forecast": names,
            "other": names,
            "kind": ("forecast", ["model", "rule"]),
            "origin": np.array(["2025-06-30", "2025-09-30"], dtype="datetime64[s]"),
            "horizon": [4.0],
            "interval": [90],
        },
        attrs={"time_unit": "week", "cells": 4, "cells_failed": 0, "reasons": [], "problems": []},
    )


def test_a_fit_that_leads():
    scores = made(
        crps=(0.2, 0.3),
        log_score=(0.5, np.inf),
        spend=(0.1, 0.2),
        total=(0.1, 0.2),
        inside=(1, 0),
        lead=-0.1,
        error=0.02,
    )
    text = "\n".join(backtest_summary(scores))
    assert "Over 4 weeks, 100 customers:" in text
    assert "the best CRPS is that of bg_nbd (0.2), before the best simple rule, past_rate (0.3)" in text
    assert "leads by 0.1 ± 0.02, more than chance among these customers" in text
    assert "hold 76 % of the customers and promise 92 %" in text
    assert "every simple rule held impossible what some customer did" in text
    assert "bg_nbd expected 24 % of the customers to buy at all, and 29 % did" in text
    assert "Its totals of spend were -14 % off" in text
    assert "hold the real total of purchases 1 of 2 times" in text
    assert "RULE" not in text


def test_a_rule_that_wins_is_said_to_and_a_lead_within_its_error_is_none():
    scores = made(
        crps=(0.3, 0.29),
        log_score=(0.5, 0.6),
        spend=(0.1, 0.2),
        total=(0.2, 0.1),
        inside=(0, 0),
        lead=0.01,
        error=0.006,
    )
    text = "\n".join(backtest_summary(scores))
    assert (
        "Customers: a SIMPLE RULE has the best CRPS, past_rate (0.29), before the best fit, bg_nbd (0.3)"
        in text
    )
    assert "leads by 0.01 ± 0.006, within the error, so that neither is better" in text
    assert "Totals: a SIMPLE RULE is nearest to the real purchases, past_rate" in text


def test_cells_that_failed_and_failed_checks_are_said():
    scores = made(
        crps=(0.2, 0.3),
        log_score=(0.5, 0.6),
        spend=(0.1, 0.2),
        total=(0.1, 0.2),
        inside=(1, 0),
        lead=-0.1,
        error=0.02,
    ).assign_attrs(
        cells_failed=2, reasons=["bg_nbd at 2025-06-30: no mode"], problems=["bg_nbd: Pareto k is 0.9"]
    )
    text = "\n".join(backtest_summary(scores))
    assert "2 of 4 forecasts could not be scored; the first: bg_nbd at 2025-06-30: no mode" in text
    assert "Checks of the fits failed 1 times; the first: bg_nbd: Pareto k is 0.9" in text


# What is refused.

REFUSED = {
    "families": (
        ["--families", "bg_nbd, pareto"],
        "The family 'pareto' forecasts no purchases. Use one of bg_nbd",
    ),
    "families twice": (["--families", "bg_nbd,bg_nbd"], "--families has 'bg_nbd' twice"),
    "origins": (
        ["--origins", "2025-09-30, 2025-06-30"],
        "--origins has 2025-06-30 after 2025-09-30. Sort them",
    ),
    "no day": (["--origins", "soon"], "--origins 'soon' is not a day. Write it like --origins '1997-09-30'"),
    "none": (["--origins", "0"], "--origins 0 must be a whole number from 1"),
    "too late": (
        ["--origins", "20251225"],
        "From the origin 2025-12-25 a horizon of 56 days ends on 2026-02-19",
    ),
    "horizons": (["--horizons", "4 parsecs"], "'parsecs' is not known"),
    "spend": (["--spend", "amount"], "no column 'amount'.*--purchases-only"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_and_leaves_nothing(shop, tmp_path, case):
    words, told = REFUSED[case]
    result = ran(shop[0], *words, out=tmp_path / "new" / "out")
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert message.startswith("Error: ")
    assert re.search(told, message), message
    assert not list(tmp_path.iterdir())


def test_foreign_files_are_not_written_to(shop, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "beach.png").write_text("mine")
    result = ran(shop[0], out=tmp_path / "photos")
    assert result.exit_code == 2
    assert "no earlier backtest, such as 'beach.png'" in " ".join(result.stderr.split())
    result = ran(shop[0], out=tmp_path / "photos" / "beach.png")
    assert "is a file. Name a folder for the results with --out" in " ".join(result.stderr.split())
