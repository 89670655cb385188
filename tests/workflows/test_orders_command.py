"""The command reads an export as Python does: told in options, refused in one message, asked about in seconds."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.views.reporting.appendix import audit_table
from bayes_clv.workflows.described import taken
from bayes_clv.workflows.options import taking
from bayes_clv.workflows.settings import Settings, check_settings

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


def test_a_check_takes_what_describes_customers(export, tmp_path):
    """What ``run`` is told of columns and currency, ``check`` reads too, and says what is in them."""
    table = pd.DataFrame(
        {"Kunde": [f"K{i:03d}" for i in range(300)], "age": np.arange(300) % 40 + 20, "one": "x"}
    )
    table.to_csv(tmp_path / "kunden.csv", index=False)
    told = (
        *TOLD,
        *WRITTEN,
        "--take",
        "Kanal=first",
        "--currency",
        "Euro",
        "--columns",
        tmp_path / "kunden.csv",
    )
    result = called("check", export, *told)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert " Euro, " in lines[1]
    assert lines[2:5] == [
        "Kanal: 2 values; fewest customers have 'Laden' (149), most 'web' (150).",
        "age: 20 to 59.",
        "one: 'x' of all.",
    ]
    lacking = called("check", export, *TOLD, *WRITTEN, "--take", "Kanel=first")
    assert lacking.exit_code == 2
    assert "Kanel" in lacking.stderr
    table.iloc[1:].to_csv(tmp_path / "kunden.csv", index=False)
    few = called("check", export, *told)
    assert few.exit_code == 2
    assert "1 of 299 customers have no row in the table" in " ".join(few.stderr.split())


def test_a_first_try_is_told_all_options_at_once(export, tmp_path):
    result = called("run", export, *TOLD, "--out", tmp_path / "out")
    assert result.exit_code == 2
    text = " ".join(result.stderr.split())
    assert "Say --date-format '%d.%m.%Y', which reads every date" in text
    assert "Say --decimal ',', which reads every amount" in text
    assert not (tmp_path / "out").exists()


def test_the_second_one_is_read(export):
    result = called("check", export, *TOLD, *WRITTEN)
    assert result.exit_code == 0, result.stderr
    assert " customers made " in result.stdout
    assert "Returns returned inside their order." not in result.stdout
    assert "Returns inside their order" in result.stdout
    assert "Rows for which Status = 'fertig' does not hold." in result.stdout
    assert "Nothing odd was found in the customers' histories." in result.stdout


def test_what_is_odd_is_said_with_what_to_do(export, tmp_path):
    wrong = pd.read_csv(export, sep=";", dtype=str)
    wrong.loc[3, "Datum"] = "01.01.2123"
    wrong.to_csv(tmp_path / "orders.csv", sep=";", index=False)
    result = called("check", tmp_path / "orders.csv", *TOLD, *WRITTEN)
    assert result.exit_code == 0, result.stderr
    assert "Data: dates far from all others: 1 customer(s) ordered on 2123-01-01 or after" in result.stdout
    assert "--until" in result.stdout


def test_the_page_shows_rows_and_money_of_the_audit(export):
    customers = clv.summarize(
        export, customer_id="Kunde", date="Datum", spend="Betrag", order_id="Auftrag", date_format="%d.%m.%Y",
        decimal=",", where="Status = 'fertig'", currency="€",
    )  # fmt: skip
    shown = audit_table(customers)
    assert [column.label for column in shown.columns] == ["what", "rows", "€", "example"]
    audit = json.loads(customers.attrs["audit"])
    assert shown.rows[0][2].text == f"{audit[0]['money']:,.2f}"
    counted = [line for line in audit if line["action"] not in ("read", "note")]
    assert round(audit[0]["money"], 2) == round(sum(line["money"] for line in counted), 2)
    assert audit[0]["rows"] == sum(line["rows"] for line in counted)


def test_what_is_taken_along_serves_something():
    settings = Settings(
        orders="o", groups=["channel"], covariates={"purchase": ["age"]}, take={"channel": "first"}
    )
    check_settings(settings)
    assert taken(settings) == {"age": "one", "channel": "first"}
    with pytest.raises(ValueError, match="colour serves nothing"):
        check_settings(Settings(orders="o", groups=["channel"], take={"colour": "first"}))
    assert taking(["channel=most frequent", "age"]) == {"channel": "most frequent", "age": "one"}
