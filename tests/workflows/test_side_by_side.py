"""``bayes-clv runs``: finished runs beside each other, what they miss, and where their totals are of other things."""

import json
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_clv.cli import app
from bayes_clv.schema import InputError
from bayes_clv.views import plot_runs
from bayes_clv.workflows.side_by_side import names_of


def called(*words):
    return CliRunner().invoke(app, ["runs", *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def other(finished, tmp_path_factory):
    """A run with half the margin, half the purchases, a failed check and the customers' values turned around."""
    folder = tmp_path_factory.mktemp("other") / "half"
    shutil.copytree(finished[0], folder)
    record = json.loads((folder / "run.json").read_text())
    for name in ("mean", "q05", "q95"):
        record["totals"]["purchases"][name] /= 2
    record["arguments"] |= {
        "where": "status = 'paid'",
        "groups": {"purchase": ["channel"], "spend": ["channel"]},
        "currency": "£",
        "take": {"channel": "first"},
        "until": None,
    }
    record["diagnostics"]["buying"]["method"] = "mode"
    record["checks"] = [{"title": "Holdout: too low", "code": "total"}]
    (folder / "run.json").write_text(json.dumps(record))
    table = pd.read_parquet(folder / "customers.parquet")
    attrs = table.attrs | {"margin": 0.15}
    table["value_mean"] = -table["value_mean"]
    table.attrs = attrs
    table.to_parquet(folder / "customers.parquet", index=False)
    return folder


def test_runs_stand_beside_each_other(finished, other, tmp_path):
    first = finished[0]
    result = called(first, other, "--out", tmp_path / "runs.csv")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "runs.csv", encoding="utf-8-sig")
    record = json.loads((first / "run.json").read_text())
    assert table["run"].tolist() == [first.name, "half"]
    assert table["purchases_mean"][0] == record["totals"]["purchases"]["mean"]
    assert table["purchases_mean"][1] == record["totals"]["purchases"]["mean"] / 2
    assert table["purchases_real"][0] == record["holdout"]["observed"]["total_observed"]
    assert table["crps"][0] == record["holdout"]["measures"]["model"]["crps"]
    # Half as much is not what came.
    said = result.stdout
    assert "OUTSIDE" in said.split("half (")[1]
    assert "1 check FAILED: Holdout: too low" in said
    assert "They differ in margin (0.3, 0.15): their totals are not of the same thing." in said
    # What else it was told, and nothing that both were.
    other_lines = [line for line in said.splitlines() if line.startswith("They differ in --")]
    method = record["diagnostics"]["buying"]["method"]
    assert other_lines == [
        f"They differ in {option} ({first.name}: {one}; half: {two})."
        for option, one, two in (
            ("--where", "not given", "status = 'paid'"),
            ("--method", method, "mode"),
            ("--take", "not given", "channel=first"),
            ("--currency", "not given", "£"),
            ("--groups", "not given", "purchase=channel, spend=channel"),
        )
    ]
    assert table["differs"][1].startswith("where: status = 'paid'; method: mode; ")
    # Turned around, the best are others.
    assert table["best_tenth_shared"].tolist() == [1.0, 0.0]
    assert "0 % are in that of half" in said
    assert (tmp_path / "runs-totals.png").stat().st_size > 5_000


def test_the_figure_marks_what_came_outside(finished, other, tmp_path):
    called(finished[0], other, "--out", tmp_path / "runs.parquet")
    figure = plot_runs(pd.read_parquet(tmp_path / "runs.parquet"))
    ticks = figure.axes[0].collections[-1]
    assert len(ticks.get_offsets()) == 2
    assert len({tuple(colour) for colour in ticks.get_edgecolors().tolist()}) == 2
    with pytest.raises(InputError, match="lacks run"):
        plot_runs(pd.DataFrame({"a": [1]}))


def test_what_is_no_pair_of_runs_is_refused(finished, tmp_path):
    first = finished[0]
    for words, reason in (
        ((first,), "at least two"),
        ((first, first), "there twice"),
        ((first, tmp_path), "no finished run"),
    ):
        result = called(*words, "--out", tmp_path / "runs.csv")
        assert result.exit_code == 2
        assert reason in " ".join(result.stderr.split())
    assert not (tmp_path / "runs.csv").exists()


def test_folders_of_one_name_are_told_apart(tmp_path):
    assert names_of([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    assert names_of([tmp_path / "a" / "one", tmp_path / "b" / "two"]) == ["one", "two"]
