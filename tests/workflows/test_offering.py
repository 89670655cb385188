"""``bayes-clv offers``: what Python finds of the file, or one paragraph that says what is wrong."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_clv.cli import app
from bayes_clv.perceived import answer_shares, net_promoter, price_performance, read_market, unsure
from bayes_clv.views.reporting.gallery import Gallery
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
    assert "the best of all with a probability of" in (tmp_path / "found.html").read_text(encoding="utf-8")
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


def survey(folder, text=""):
    rng = np.random.default_rng(1)
    said = pd.DataFrame(rng.integers(1, 6, (60, 2)), columns=["taste", "friendly"])
    overall = np.clip(said["taste"] + rng.integers(-1, 2, 60), 1, 5)
    said.assign(overall=overall, recommend=10).to_csv(folder / "answers.csv", index=False)
    asked = 'answers = "answers.csv"\nscale = [1, 5]\ndraws = 50\nrecommend = "recommend"\n'
    asked += '[drivers]\noverall = "overall"\nattributes = ["taste", "friendly"]\n[perceived]\nempathy = ["friendly"]\n'
    (folder / "survey.toml").write_text(asked.replace(*text) if text else asked)
    return "--survey", folder / "survey.toml"


def test_a_survey_is_a_part_of_the_page_and_a_table_of_each_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(Gallery, "add", lambda *_, **__: None)
    result = offers(
        MARKET, "--slope", SLOPE, *survey(tmp_path), "--language", "zh", "--out", tmp_path / "o.csv"
    )
    assert result.exit_code == 0, result.stderr
    rows = {part: len(pd.read_csv(tmp_path / f"o-{part}.csv")) for part in ("drivers", "facets", "promoters")}
    assert rows == {"drivers": 2, "facets": 1, "promoters": 1}
    shares = answer_shares(pd.read_csv(tmp_path / "answers.csv"), "recommend", seed=1)
    assert f"Net promoters, all: {float(net_promoter(shares)['score_all_mean']):+.0f} points" in result.stdout
    page = (tmp_path / "o.html").read_text(encoding="utf-8")
    assert '<html lang="zh">' in page
    assert "什么左右总体评价" in page


def test_a_survey_that_cannot_be_leaves_nothing(tmp_path):
    wrong = survey(tmp_path, ('["taste"', '["tast"'))
    result = offers(MARKET, "--slope", SLOPE, *wrong, "--out", tmp_path / "o.csv")
    assert result.exit_code == 2
    assert "survey.toml, line 7: the answers have no column 'tast'" in " ".join(result.stderr.split())
    missing = offers(
        MARKET, "--slope", SLOPE, "--survey", tmp_path / "none.toml", "--out", tmp_path / "o.csv"
    )
    assert "There is no file" in " ".join(missing.stderr.split())
    assert {each.name for each in tmp_path.iterdir()} == {"answers.csv", "survey.toml"}
