"""Facets and gaps: truths from the priors are inside their intervals, gaps by simulation, bad questions refused."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

import bayes_clv as clv
from bayes_clv.perceived import facet_scores, fit_answers

FACETS = {"reliability": ["on_time", "no_errors"], "empathy": ["friendly", "listens"]}
WANTED = {"reliability": ["should_time"], "empathy": ["should_listen"]}


def world(rng, respondents=40, scale=(1, 5)):
    """Return answers of a world from the priors, and its locations (segment, kind × facet) and standard deviation."""
    segment = rng.integers(0, 2, respondents)
    share = rng.dirichlet(np.ones(scale[1] - scale[0] + 1))
    facet = abs(rng.standard_normal()) * rng.standard_normal(4)
    own = 0.5 * abs(rng.standard_normal()) * rng.standard_normal((2, 4))
    location = facet - facet.mean() + own - own.mean(axis=0)
    spread = 1.5 * abs(rng.standard_normal())
    inclined = spread * rng.standard_normal(respondents)
    wide = 0.5 * abs(rng.standard_normal())
    names = [*FACETS["reliability"], *FACETS["empathy"], *WANTED["reliability"], *WANTED["empathy"]]
    place = np.array([0, 0, 1, 1, 2, 3])
    offset = wide * rng.standard_normal(6)
    offset -= np.array([offset[place == at].mean() for at in range(4)])[place]
    eta = location[segment][:, place] + offset + inclined[:, None]
    # An answer is how much of the common shares lies below a normal number.
    cut = ndtri(np.clip(np.cumsum(share)[:-1], 1e-12, 1 - 1e-12))
    said = scale[0] + (eta[:, :, None] + rng.standard_normal((respondents, 6, 1)) > cut).sum(axis=2)
    table = pd.DataFrame(said, columns=names).assign(shop=np.array(["east", "west"])[segment])
    return table, location, spread


def covered(worlds, seed):
    """Return whether the truth lies in the 90 % interval: (world, location) and (world,) of the standard deviation."""
    rng = np.random.default_rng(seed)
    inside, spreads = [], []
    for _ in range(worlds):
        table, location, spread = world(rng)
        found = fit_answers(
            table, FACETS, expected=WANTED, scale=(1, 5), by="shop", draws=300, tune=200, chains=1, seed=1
        )["posterior"]
        drawn = found["location"].to_numpy().reshape(300, 2, 4)
        low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
        inside.append(((low <= location) & (location <= high)).ravel())
        low, high = np.quantile(found["respondent_sd"], (0.05, 0.95))
        spreads.append(low <= spread <= high)
    return np.array(inside), np.array(spreads)


@pytest.mark.parametrize("worlds", [12, pytest.param(200, marks=pytest.mark.full)])
def test_intervals_hold_what_they_say(worlds):
    inside, spreads = covered(worlds, 1)
    # Locations of a world go together: the error is that of worlds.
    error = inside.mean(axis=1).std() / np.sqrt(worlds)
    assert inside.mean() == pytest.approx(0.9, abs=4 * error)
    assert spreads.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / worlds))


@pytest.fixture(scope="module")
def fitted():
    """400 respondents who expect a point or so more than they get."""
    rng = np.random.default_rng(3)
    inclined = 0.8 * rng.standard_normal(400)
    cut = np.array([-1.5, -0.5, 0.5, 1.5])
    eta = {
        "on_time": 0.2,
        "no_errors": -0.2,
        "friendly": 0.5,
        "listens": 0.7,
        "should_time": 1.2,
        "should_listen": 0.6,
    }
    said = {
        name: 1 + (value + inclined[:, None] + rng.standard_normal((400, 1)) > cut).sum(axis=1)
        for name, value in eta.items()
    }
    table = pd.DataFrame(said)
    table.loc[:9, "listens"] = np.nan
    return table, fit_answers(table, FACETS, expected=WANTED, scale=(1, 5), draws=300, tune=200, seed=1)


def test_scores_are_the_answers_means(fitted):
    """With 400 respondents and wide priors a facet's score is near the mean answer to its questions."""
    table, posterior = fitted
    assert json.loads(posterior.attrs["diagnostics"])["rhat_max"] < 1.05
    found = facet_scores(posterior)
    for kind, asked in (("perceived", FACETS), ("expected", WANTED)):
        for facet, names in asked.items():
            mean = np.mean([table[name].mean() for name in names])
            error = table[names].mean(axis=1).std() / 20
            assert float(found["score_mean"].sel(kind=kind, facet=facet).item()) == pytest.approx(
                mean, abs=2 * error
            )
    gap = found["gap_mean"].isel(segment=0)
    assert float(gap.sel(facet="reliability")) < -0.5
    assert float(found["probability_short"].sel(facet="reliability").item()) > 0.99
    np.testing.assert_allclose(
        found["gap"],
        (found["score"].sel(kind="perceived", drop=True) - found["score"].sel(kind="expected", drop=True)),
    )
    # A gap is of the same respondents: it is surer than two scores apart would be.
    width = found["gap_q95"] - found["gap_q05"]
    apart = np.sqrt(((found["score_q95"] - found["score_q05"]) ** 2).sum("kind"))
    assert (width < apart).all()


def test_a_table_of_scores(fitted):
    table = clv.table(facet_scores(fitted[1]))
    assert table["facet"].tolist() == ["reliability", "empathy"] * 3
    assert table["kind"].tolist() == ["perceived"] * 2 + ["expected"] * 2 + ["gap"] * 2


def test_bad_questions_are_refused():
    table = pd.DataFrame({"a": [1, 9], "b": [2, 3], "shop": ["x", "y"]})
    for given, said in (
        ({"perceived": {"f": ["a"]}}, "1 of 2 answers to 'a' .* such as 9 in row 2"),
        ({"perceived": {"f": ["c"]}}, "There is no column 'c'"),
        ({"perceived": {}}, "No facet is named"),
        ({"perceived": {"f": []}}, "Facet 'f' .* has no list of questions"),
        ({"perceived": {"f": "b"}}, "Facet 'f' .* has no list of questions"),
        ({"perceived": {"f": ["b"], "g": ["b"]}}, "Question 'b' is of 'f' and of 'g'"),
        ({"perceived": {"f": ["b"]}, "expected": {"g": ["a"]}}, "Facet 'f' is asked as perceived alone"),
    ):
        with pytest.raises(clv.InputError, match=said):
            fit_answers(table, **given, seed=1)
    with pytest.raises(clv.InputError, match="These are no facets"):
        facet_scores(table)


@pytest.mark.parametrize("given", [{"draws": 0}, {"tune": -1}, {"chains": 0}, {"draws": 2.5}])
def test_numbers_of_draws_that_cannot_be_are_refused(given):
    answers = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    with pytest.raises(clv.InputError, match=f"{next(iter(given))}=.* must be a whole number from"):
        fit_answers(answers, {"one": ["a"], "two": ["b"]}, scale=(1, 5), seed=1, **given)
