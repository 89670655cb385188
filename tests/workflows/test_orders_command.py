"""The command reads an export as Python does: told in options, refused in one message, asked about in seconds."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_clv.cli import app
from bayes_clv.workflows.running import _taken
from bayes_clv.workflows.settings import Settings, check_settings, taking

TOLD = ["--customer-id", "Kunde", "--date", "Datum", "--spend", "Betrag", "--order-id", "Auftrag"]
WRITTEN = ["--date-format", "%d.%m.%Y", "--decimal", ",", "--where", "Status = 'fertig'"]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Write a German shop's lines: 300 customers, two channels, cancellations, test orders."""
    rng = np.random.default_rng(5)
    rows = []
    for customer in range(300):
        channel = ("web", "Laden")[customer % 2]
        day, rate = int(rng.integers(0, 200)), rng.gamma(0.7, 0.05)
        while day < 500:
            order = len(rows)
            for _ in range(rng.integers(1, 3)):
                rows.append((f"K{customer:03d}", day, rng.gamma(3, 10) + 0.01, order, channel, "fertig"))
            if rng.random() < 0.1:
                rows.append((f"K{customer:03d}", day + 1, -rows[-1][2], order, channel, "fertig"))
            day += 1 + int(rng.exponential(1 / max(rate, 0.002)))
    rows += [("K999", 10, 5.0, -1, "web", "test")]
    table = pd.DataFrame(rows, columns=["Kunde", "Datum", "Betrag", "Auftrag", "Kanal", "Status"])
    table["Datum"] = (pd.Timestamp("2023-01-01") + pd.to_timedelta(table["Datum"], "D")).dt.strftime(
        "%d.%m.%Y"
    )
    table["Betrag"] = [f"{amount:,.2f} €".translate(str.maketrans(",.", ".,")) for amount in table["Betrag"]]
    path = tmp_path_factory.mktemp("export") / "auftraege.csv"
    table.to_csv(path, sep=";", index=False)
    return path


def called(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


def test_a_first_try_is_told_all_options_at_once(export, tmp_path):
    result = called("run", export, *TOLD, "--out", tmp_path / "out")
    assert result.exit_code == 2
    text = " ".join(result.stderr.split())
    assert "Say --date-format '%d.%m.%Y', which reads every date" in text
    assert "Say --decimal ',', which reads every amount" in text
    assert not (tmp_path / "out").exists()


def test_the_second_one_runs(export, tmp_path):
    out = tmp_path / "out"
    options = [
        "--method",
        "laplace",
        "--draws",
        "25",
        "--family",
        "bg_nbd",
        "--no-drift",
        "--no-returns",
        "--no-calendar",
    ]
    result = called(
        "run", export, *TOLD, *WRITTEN, "--groups", "purchase=Kanal", "--currency", "€", *options, "--out", out
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert " €, 90 % interval" in result.stdout
    record = json.loads((out / "run.json").read_text())
    assert record["arguments"]["decimal"] == ","
    audit = record["audit"]
    counted = [line for line in audit if line["action"] not in ("read", "note")]
    assert audit[0]["rows"] == sum(line["rows"] for line in counted)
    assert round(audit[0]["money"], 2) == round(sum(line["money"] for line in counted), 2)
    assert [line["rows"] for line in audit if "does not hold" in line["what"]] == [1]
    assert any(line["action"] == "netted" for line in audit)
    page = (out / "report.html").read_text()
    assert "All amounts are in €." in page
    assert "returned inside their order" in page


def test_what_is_taken_along_serves_something():
    settings = Settings(
        orders="o", groups=["channel"], covariates={"purchase": ["age"]}, take={"channel": "first"}
    )
    check_settings(settings)
    assert _taken(settings) == {"age": "one", "channel": "first"}
    with pytest.raises(ValueError, match="colour serves nothing"):
        check_settings(Settings(orders="o", groups=["channel"], take={"colour": "first"}))
    assert taking(["channel=most frequent", "age"]) == {"channel": "most frequent", "age": "one"}
