"""Bad input at the command line: exit code 2, one paragraph that says what to do, and nothing left behind."""

import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bayes_clv.cli import app, command, paragraph
from bayes_clv.problems import cards, problem
from bayes_clv.schema import InputError, argument
from bayes_clv.views.reporting.verdicts import spend_words
from bayes_clv.workflows.options import option, options_of, place
from bayes_clv.workflows.settings import Settings
from bayes_clv.workflows.words import run_summary

COMMAND = Path(sys.executable).with_name("bayes-clv")
# Names of Python arguments and of engines do not help at a shell.
FOREIGN_WORDS = (
    "traceback",
    "duckdb",
    "sqlglot",
    "on_bad_rows",
    "=none",
    "until=",
    "time_unit",
    "in the call",
)


def snapshot(folder):
    """Return every path below a folder, hidden ones too, with its bytes."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def earlier_run(folder):
    """Make a folder that passes for an earlier run."""
    (folder / "figures").mkdir(parents=True)
    for name in ("run.json", "report.html", "figures/tracking.svg"):
        (folder / name).write_text(f"the earlier {name}")
    return folder


def refusal(*arguments, out, watched):
    """Return the paragraph of a refused run, after checking that the watched folder is as it was."""
    before = snapshot(watched)
    result = CliRunner().invoke(app, ["run", *map(str, arguments), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert snapshot(watched) == before
    # Refused before, not after, minutes of sampling.
    assert not re.search(r"fit \w+ \(nuts\) +[0-9]", result.stderr)
    return only_paragraph(result.stderr)


def only_paragraph(stderr):
    """Return the only paragraph, as one line, below the lines of the stages."""
    lines = stderr.splitlines()
    while lines and lines[0].startswith("  "):
        lines.pop(0)
    text = " ".join(lines)
    assert text.startswith("Error: "), stderr
    assert text.count("Error") == 1
    assert all(lines), "a blank line makes two paragraphs"
    assert max(map(len, lines)) <= 120
    assert text.endswith((".", "?", "'.")), text
    assert not [word for word in FOREIGN_WORDS if word in text.lower()], text
    return text


def write(path, **changes):
    """Write twelve good orders of three customers, with columns exchanged, and return the path."""
    days = [f"2025-{month:02d}-{day:02d}" for month in (1, 2, 3, 4) for day in (3, 5, 9)]
    columns = {"customer_id": ["a", "b", "c"] * 4, "date": days, "spend": [f"{10 + i}.5" for i in range(12)]}
    for name, cells in changes.items():
        columns[name] = [*cells, *columns[name][len(cells) :]]
    rows = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n")
    return path


ROWS = {
    "dates nobody can read": (
        {"date": ["soon"]},
        "'date': 1 row of 12 with a date that cannot be read.* 'soon'",
    ),
    "dates of two readings": (
        {"date": ["03/01/2025"] * 12},
        "12 rows of 12.*'03/01/2025'.*say --date-format '%d/%m/%Y' or",
    ),
    "missing spend": ({"spend": ["NaN"]}, "'spend': 1 row of 12 with a missing spend.*a free order is 0"),
    "decimal comma": ({"spend": ['"1,5"', '"2,5"']}, "2 rows of 12 with a spend that is not a number.*'1,5'"),
    "missing id": ({"customer_id": [""]}, "'customer_id': 1 row of 12 with a missing customer id"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_that_cannot_be_used(tmp_path, case):
    changes, told = ROWS[case]
    orders = write(tmp_path / "orders.csv", **changes)
    out = earlier_run(tmp_path / "out")
    message = refusal(orders, out=out, watched=tmp_path)
    assert re.search(told, message), message
    assert "--bad-rows 'drop'" in message


FILES = {
    "empty": ("orders.csv", b"", "'orders.csv' is empty"),
    "header only": ("orders.csv", b"customer_id,date,spend\n", "has columns but no rows"),
    "picture": ("orders.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not a table in UTF-8 text"),
    "empty Parquet": ("orders.parquet", b"", "'orders.parquet' is empty"),
    "no Parquet": ("orders.parquet", b"PAR1" + bytes(64), "is not a readable Parquet file"),
    "spreadsheet": ("orders.xlsx", b"PK", "is a workbook, which may have several sheets.*CSV UTF-8"),
    "unknown": ("orders.doc", b"PK", "an extension that is not known.*\\.csv, \\.tsv.*\\.parquet"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_table(tmp_path, case):
    name, content, told = FILES[case]
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name, out=earlier_run(tmp_path / "out"), watched=tmp_path)
    assert re.search(told, message), message


def test_damaged_parquet(tmp_path, shop):
    _, log = shop
    log.to_parquet(tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(whole[: len(whole) // 2])
    # The footer is whole and the pages are not, so that only reading the rows finds it.
    damaged = bytearray(whole)
    damaged[100:600] = bytes(value ^ 0x5A for value in whole[100:600])
    (tmp_path / "pages.parquet").write_bytes(damaged)
    out = earlier_run(tmp_path / "out")
    assert "'half.parquet' is not a readable Parquet file" in refusal(
        tmp_path / "half.parquet", out=out, watched=tmp_path
    )
    assert "'pages.parquet' cannot be read to its end" in refusal(
        tmp_path / "pages.parquet", out=out, watched=tmp_path
    )


ARGUMENTS = {
    "no such column": (
        ["--spend", "amount"],
        "no column 'amount'. It has: customer_id, date, spend.*--purchases-only",
    ),
    "no such id": (
        ["--customer-id", "client"],
        "no column 'client'.*name them with --customer-id, --date and",
    ),
    "one column twice": (["--date", "customer_id"], "named for two purposes"),
    "until no day": (["--until", "soon"], "--until 'soon' is not a day. Write it like --until '1997-09-30'"),
    "until 30 February": (["--until", "2025-02-30"], "--until '2025-02-30' is not a day"),
    "until before all": (
        ["--until", "2024-12-31"],
        "is before the first order.*run from 2025-01-03 to 2025-04-09",
    ),
    "holdout before until": (
        ["--until", "2025-03-01", "--holdout-until", "2025-03-01"],
        "--holdout-until '2025-03-01' is not after --until '2025-03-01'",
    ),
    "holdout after the log": (
        ["--until", "2025-04-09", "--holdout-until", "2025-06-30"],
        "No order lies in the holdout from 2025-04-10 to 2025-06-30: the last order is of 2025-04-09.*Choose --until",
    ),
    "horizon no duration": (["--horizon", "soon"], "'soon' cannot be read. Write it like '52 weeks'"),
    "horizon zero": (["--horizon", "0 weeks"], "'0 weeks' must be positive"),
    "horizon empty": (["--horizon", ""], "'' cannot be read"),
    "horizon of no unit": (["--horizon", "3 parsecs"], "'parsecs' is not known. Use one of hour, day"),
    "margin zero": (["--margin", "0"], "margin must be finite and above 0; 0.3 means 30 %"),
    "margin nan": (["--margin", "nan"], "margin must be finite and above 0"),
    "rate": (["--annual-discount-rate", "-1"], "must be a finite number above -1; 0.10 means 10 % a year"),
    "cost": (["--acquisition-cost", "-5"], "--acquisition-cost must be finite and not negative"),
    "seed": (["--seed", "99999999999"], "must be from 0 to 2147483647"),
    "no posteriors": (
        ["--posteriors", "nowhere"],
        "no file 'buying.nc' and no file 'spending.nc' in 'nowhere'",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_that_cannot_be_used(tmp_path, case):
    arguments, told = ARGUMENTS[case]
    orders = write(tmp_path / "orders.csv")
    message = refusal(orders, *arguments, out=earlier_run(tmp_path / "out"), watched=tmp_path)
    assert re.search(told, message), message


@pytest.mark.parametrize("arguments", [["--margin", "a third"], ["--draws", "0"], ["--method", "guess"]])
def test_arguments_the_parser_refuses(tmp_path, arguments):
    orders = write(tmp_path / "orders.csv")
    before = snapshot(tmp_path)
    result = CliRunner().invoke(app, ["run", str(orders), *arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[0]}'" in result.stderr
    assert snapshot(tmp_path) == before


def test_a_file_that_is_not_there_leaves_no_folder(tmp_path):
    message = refusal(tmp_path / "nowhere.csv", out=tmp_path / "new" / "deep" / "out", watched=tmp_path)
    assert "There is no file" in message
    assert "nowhere.csv" in message


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (["a"] * 12, "There is 1 customer.*Is the customer id column the right one"),
        (
            [f"order {i}" for i in range(12)],
            "None of the 12 customers has a repeat.*an order id in its place",
        ),
    ],
)
def test_logs_nothing_can_be_learned_from(tmp_path, ids, told):
    orders = write(tmp_path / "orders.csv", customer_id=ids)
    message = refusal(orders, out=tmp_path / "new" / "deep" / "out", watched=tmp_path)
    assert re.search(told, message), message


# The folder of the results.


def test_out_is_a_file_or_below_one(tmp_path):
    orders = write(tmp_path / "orders.csv")
    assert "is a file. Name a folder" in refusal(orders, out=orders, watched=tmp_path)
    message = refusal(orders, out=orders / "below", watched=tmp_path)
    assert "No folder can be made at" in message
    assert "--out" in message


def test_foreign_files_are_never_replaced(tmp_path):
    orders = write(tmp_path / "orders.csv")
    for folder, name in (("photos", "beach.png"), ("project", "report.html")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("mine")
        assert f"such as '{name}'" in refusal(orders, out=tmp_path / folder, watched=tmp_path)
    # Nor a file that someone keeps beside an earlier run.
    kept = earlier_run(tmp_path / "kept")
    (kept / "notes.txt").write_text("mine")
    assert "such as 'notes.txt'" in refusal(orders, out=kept, watched=tmp_path)


def test_the_folder_one_is_in_is_not_replaced(tmp_path, monkeypatch):
    orders = write(tmp_path / "orders.csv")
    monkeypatch.chdir(earlier_run(tmp_path / "out"))
    assert "is the folder you are in" in refusal(orders, out=".", watched=tmp_path)


@pytest.mark.parametrize("name", ["pareto", "gamma_gamma"])
def test_a_family_that_forecasts_no_purchases(tmp_path, name):
    orders = write(tmp_path / "orders.csv")
    message = refusal(orders, "--family", name, out=tmp_path / "out", watched=tmp_path)
    assert re.search(rf"--family '{name}'.*Use one of bg_nbd, mbg_nbd, .*nbd", message)


# The posteriors of an earlier run.


def test_posteriors_that_cannot_be_used(tmp_path, shop, finished):
    folder, _ = shop
    run, _ = finished
    out = earlier_run(tmp_path / "out")

    def refused(*options, posteriors):
        return refusal(folder / "orders.csv", "--posteriors", posteriors, *options, out=out, watched=tmp_path)

    def copied(name, **files):
        (tmp_path / name).mkdir()
        for target, source in files.items():
            shutil.copy(run / f"{source}.nc", tmp_path / name / f"{target}.nc")
        return tmp_path / name

    half = copied("half", buying="buying", spending="spending")
    content = (half / "buying.nc").read_bytes()
    (half / "buying.nc").write_bytes(content[: len(content) // 2])
    assert "'buying.nc' cannot be read: the file is truncated" in refused(posteriors=half)

    assert "no file 'spending.nc' in" in refused(posteriors=copied("purchases", buying="buying"))
    assert "which models spend;" in refused(
        posteriors=copied("exchanged", buying="spending", spending="buying")
    )
    assert "no file 'buying.nc'" in refused(posteriors=folder / "orders.csv")

    message = refused("--time-unit", "day", posteriors=run)
    assert "time unit is 'week' and the customers' is 'day'" in message
    assert "--time-unit 'week'" in message


# The words.


def test_arguments_are_named_as_their_reader_names_them():
    error = InputError(
        f"{argument('holdout_until', 'x')} is not after {argument('until', 'y')}. Or pass "
        f"{argument('on_bad_rows', 'drop')}, {argument('covariates', {'purchase': 'age'})} or "
        f"{argument('spend', None)}; "
        f"leave {argument('groups')} out. {argument('risk', 'q99')} is of another command."
    )
    assert str(error) == (
        "holdout_until='x' is not after until='y'. Or pass on_bad_rows='drop', covariates={'purchase': 'age'} or "
        "spend=None; leave groups out. risk='q99' is of another command."
    )
    assert " ".join(paragraph(error, options_of(Settings)).split()) == (
        "Error: --holdout-until 'x' is not after --until 'y'. Or pass --bad-rows 'drop', --covariate purchase=age or "
        "--purchases-only; leave --groups out. risk='q99' is of another command."
    )


def test_a_new_option_is_one_line_in_one_place():
    @dataclass(frozen=True)
    class Wanted:
        name: str = place("Whom to greet.")
        times: int = option("How often.", 1, least=1)
        shouting: bool = option("In capitals.", False)
        without: str | None = option("A word.", "dear", absent=("--no-word", "No word."))

    told = typer.Typer()
    command(Wanted, into=told)(lambda wanted: [f"{wanted.without} {wanted.name}" * wanted.times])
    run = CliRunner().invoke
    assert run(told, ["Ada", "--times", "2"]).stdout == "dear Adadear Ada\n"
    assert run(told, ["Ada", "--no-word"]).stdout == "None Ada\n"
    assert "Invalid value for '--times'" in run(told, ["Ada", "--times", "0"]).stderr
    assert "How often." in run(told, ["--help"]).stdout


RECORD = {"customers": 1, "arguments": {"horizon": "4 weeks", "margin": 0.3}, "holdout": None, "seconds": 1.0}
TOTAL = {"mean": 100.0, "q05": 80, "q95": 120}


def test_not_all_is_well_where_money_is_said_to_be_off():
    """Two lines of one terminal must not contradict each other."""
    record = RECORD | {"totals": {"value": TOTAL}, "checks": []}
    classes = [{"least": 0, "customers": 50, "more": -0.1, "moves": 0.03}]
    for off, error, words, passed in (
        (0.03, 0.01, "money 3 ± 1 % too high.", False),
        (0.03, 0.02, "money 3 ± 2 % too high, within chance.", True),
        (0.003, 0.001, "money right within 1 %.", True),
    ):
        found = {"frequency": {"off": off, "error": error, "classes": classes}}
        found |= {"words": spend_words(found)}
        said = run_summary(record | {"spend": found}, Path("out"))
        assert said[1].endswith(words)
        assert ("All checks passed." in said) == passed
        assert (
            any("No check failed: what money is off, above, is no more than 5 %." in line for line in said)
            != passed
        )


@pytest.mark.parametrize(("observed", "said"), [(90, "inside"), (150, "OUTSIDE, above")])
def test_the_summary_says_whether_the_total_was_forecast(observed, said):
    model = {f"total_{name}": value for name, value in TOTAL.items()}
    model |= {"total_covered": float(observed <= 120), "total_error": (100.0 - observed) / observed}
    score = {
        "horizon": 4.0,
        "time_unit": "week",
        "intervals": [50, 90],
        "observed": {"total_observed": observed},
        "measures": {"model": {**model, "covered": [0.5, 0.9], "promised": [0.5, 0.93]}},
    }
    record = RECORD | {
        "totals": {"purchases": TOTAL},
        "holdout": score,
        "checks": [],
    }
    text = "\n".join(run_summary(record, Path("out")))
    assert text.startswith("1 customer; forecast over 4 weeks")
    assert f"Real: {observed} purchases; forecast 100, 90 % interval 80 to 120: {said}." in text
    failed = "The forecast of the holdout failed (90 % intervals): 150 purchases, above 80 to 120."
    assert (failed in text) == (said != "inside")
    assert "All checks passed." in text


def test_the_summary_names_the_failed_checks_by_the_titles_of_the_report():
    failed = [
        problem("rows_dropped", "Data", rows=6624, what="No date."),
        problem("ess", "Purchases", ess=40.0, needed=400),
    ]
    record = RECORD | {"totals": {"value": TOTAL}, "checks": [asdict(card) for card in cards(failed)]}
    lines = run_summary(record, Path("out"))
    assert [line for line in lines if line.startswith("  ")] == [
        "  Purchases: the smallest effective sample size is 40",
        "  Data: 6,624 rows were dropped",
    ]
    assert any(line.startswith("2 checks failed; the report says") for line in lines)
    assert "passed" not in "".join(lines)
    assert any("Residual value of all customers" in line for line in lines)
    # A horizon is told as everywhere, whatever the record holds.
    record["arguments"] = {"horizon": "14.2857 weeks"}
    assert run_summary(record, Path("out"))[0] == "1 customer; forecast over 14.3 weeks (outcome level)."
    record["arguments"]["currency"] = "£"
    total = "mean £100, 90 % interval £80 to £120."
    assert any(line.endswith(total) for line in run_summary(record, Path("out")))
    # Without a margin it is revenue.
    record["arguments"] = {"horizon": "4 weeks", "margin": 1.0}
    assert any("Residual revenue of all customers" in line for line in run_summary(record, Path("out")))


# The real command.


def test_the_command_in_a_process_of_its_own(tmp_path):
    orders = write(tmp_path / "orders.csv", spend=["free"])
    before = snapshot(tmp_path)
    done = subprocess.run(
        [COMMAND, "run", orders.name], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "1 row of 12 with a spend that is not a number" in only_paragraph(done.stderr)
    assert snapshot(tmp_path) == before


def test_on_a_terminal_the_message_has_a_line_of_its_own(tmp_path):
    orders = write(tmp_path / "orders.csv")
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb") as screen:
        done = subprocess.run(
            [COMMAND, "run", orders, "--spend", "amount"],
            cwd=tmp_path,
            stderr=theirs,
            check=False,
            timeout=120,
        )
        os.close(theirs)
        shown = screen.read1(65536).decode()
    assert done.returncode == 2
    assert re.search(r"\.\.\.\r?\nError: 'orders\.csv' has no column 'amount'", shown), shown


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    from bayes_clv.customers import summaries

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(summaries, "summarize", interrupted)
    orders = write(tmp_path / "orders.csv")
    before = snapshot(tmp_path)
    result = CliRunner().invoke(app, ["run", str(orders), "--out", str(tmp_path / "out")])
    assert result.exit_code == 130
    assert "Stopped; nothing was written." in result.stderr
    assert snapshot(tmp_path) == before


def test_demo_refuses_as_run_does(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    result = CliRunner().invoke(app, ["demo", "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 2
    assert "such as 'mine.txt'" in only_paragraph(result.stderr)
    assert np.array_equal([item.name for item in out.iterdir()], ["mine.txt"])
