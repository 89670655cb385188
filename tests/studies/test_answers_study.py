"""The study of answers: a survey of each model goes through it, and its judge fails what its rule fails."""

import numpy as np
import pandas as pd
import pytest

from studies import answers as study
from studies.ranks import RANKED


@pytest.mark.parametrize("model", study.MODELS)
def test_a_survey_of_each_model(model):
    truth, drawn = study.MODELS[model](9001)
    assert truth.keys() == drawn.keys()
    found = study.record((truth, drawn))
    assert {each.size for each in drawn.values()} == {RANKED}
    # A truth stays on its side of the median, and goes further out, when draws are drawn together.
    for name in truth:
        rank, tight = found[name], found[f"{name}, too sure"]
        above = truth[name] > drawn[name].mean()
        assert (tight >= rank) if above else (tight <= rank), name


def uniform(size: int, spread: float) -> pd.DataFrame:
    """Return records whose ranks are evenly spread, or draws of a posterior too sure or too wide."""
    normal = np.random.default_rng(3).standard_normal((size, RANKED))
    truth = np.random.default_rng(4).standard_normal(size)
    return pd.DataFrame(
        [study.record(({"x": t}, {"x": spread * own})) for t, own in zip(truth, normal, strict=True)]
    )


def test_the_judge_passes_what_is_calibrated_and_fails_what_is_too_sure():
    passed, table, lines = study.judge({"right": uniform(200, 1.0)})
    assert passed, lines
    assert table["inside_90"][0] == pytest.approx(study.DUE, abs=4 * np.sqrt(0.1 * 0.9 / 200))
    for spread in (0.7, 1.5):
        failed, _, lines = study.judge({"right": uniform(200, 1.0), "wrong": uniform(200, spread)})
        assert not failed
        assert "FAILS" in lines[0]
    # Draws too wide by a third are right once they are drawn together: part 2 must say that it was not caught.
    assert (
        "2. too sure a posterior is caught of 0 of 1" in study.judge({"wide": uniform(200, 1 / 0.75)})[2][1]
    )
