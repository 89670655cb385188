"""``bayes-clv offers``: what Python finds of the file, or one paragraph that says what is wrong."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_clv.cli import app
from bayes_clv.perceived import price_performance, read_market, unsure
from studies.water_filters import MARKET, SLOPE


def offers(*arguments):
    return CliRunner().invoke(app, ["offers", *map(str, arguments)], catch_exceptions=False)


def test_what_python_finds_is_written(tmp_path):
    out = tmp_path / "found.csv"
    doubt = ("--concentration", 50, "--rating-error", 0.5, "--draws", 200)
    result = offers(MARKET, "--lowest", 1, "--slope", SLOPE, *doubt, "--rival", "Filtro", "--out", out)
    assert result.exit_code == 0, result.stderr
    drawn = unsure(read_market(MARKET, scale=(1, 10)), concentration=50, rating_error=0.5, draws=200, seed=1)
    best = price_performance(drawn, SLOPE)["probability_best"]
    table = pd.read_csv(out)
    assert table["probability_best"].tolist() == pytest.approx(best.to_numpy().tolist())
    assert len(pd.read_csv(tmp_path / "found-advantages.csv")) == 5 * 9
    assert {each.name for each in tmp_path.glob("*.png")} == {"found.png", "found-advantages.png"}
    told = [line for line in result.stdout.splitlines() if "fair would be" in line]
    assert told[0].startswith("  Envir: ")
    assert f"probability of {float(best.sel(rival='Envir')):.0%}" in told[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--slope", "-5"), "--slope -5.0 must be a positive amount"),
        (("--slope", "5", "--against", "Nobody"), "--against 'Nobody' is no rival"),
        (("--slope", "5", "--rival", "Nobody"), "--rival 'Nobody' is no rival"),
        (("--slope", "5", "--rating-error", "-1"), "--rating-error -1.0 must be a positive number"),
        (
            ("--slope", "5", "--highest", "9"),
            "line 2: chloroform removal of Filtro is 10. The scale goes from 0 to 9",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_command(options, said, tmp_path):
    result = offers(MARKET, *options, "--out", tmp_path / "found.csv")
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []
