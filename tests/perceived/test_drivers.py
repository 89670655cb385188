"""Drivers: truths from the priors in their intervals, kinds and weights of a known world, bad columns refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

import bayes_clv as clv
from bayes_clv.perceived import driver_kinds, fit_drivers, market

NAMES = ["a", "b", "c", "d"]


def answered(rng, reward, penalty, level, cut, respondents):
    """Return answers of respondents in waves, given what attributes bring and cost."""
    points = rng.integers(1, 8, (respondents, len(reward)))
    above = points - points.mean(axis=0)
    wave = rng.integers(0, len(level), respondents)
    size = np.abs(above)
    # As the model has it, effects of |x| count from their mean.
    eta = above @ (reward + penalty) / 2 + (size - size.mean(axis=0)) @ (reward - penalty) / 2 + level[wave]
    overall = 1 + (eta[:, None] + rng.standard_normal((respondents, 1)) > cut).sum(axis=1)
    table = pd.DataFrame(points, columns=NAMES[: len(reward)])
    return table.assign(overall=overall, wave=wave)


def covered(worlds, seed):
    """Return whether truths from the priors lie in their 90 % intervals: (world, effect)."""
    rng = np.random.default_rng(seed)
    inside = []
    for _ in range(worlds):
        effect = 0.5 * rng.standard_normal() + 0.5 * abs(rng.standard_normal()) * rng.standard_normal(4)
        skew = 0.3 * abs(rng.standard_normal()) * rng.standard_normal(4)
        walk = np.cumsum(rng.standard_normal(3))
        level = 0.3 * abs(rng.standard_normal()) * (walk - walk.mean())
        cut = ndtri(np.clip(np.cumsum(rng.dirichlet(np.ones(5)))[:-1], 1e-12, 1 - 1e-12))
        table = answered(rng, effect + skew, effect - skew, level, cut, 150)
        found = fit_drivers(
            table, "overall", NAMES, overall_scale=(1, 5), wave="wave", draws=300, tune=200, chains=1, seed=1
        )["posterior"]
        drawn = np.concatenate(
            [found[name][0].to_numpy() for name in ("reward", "penalty", "wave_level", "cutpoint")], axis=1
        )
        low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
        truth = np.concatenate([effect + skew, effect - skew, level, cut])
        inside.append((low <= truth) & (truth <= high))
    return np.array(inside)


@pytest.mark.parametrize("worlds", [12, pytest.param(200, marks=pytest.mark.full)])
def test_intervals_hold_what_they_say(worlds):
    inside = covered(worlds, 1)
    error = inside.mean(axis=1).std() / np.sqrt(worlds)
    assert inside.mean() == pytest.approx(0.9, abs=4 * error)


@pytest.fixture(scope="module")
def kinds():
    """Of 1,500 answers: taste both ways, support hygiene, gifts a satisfier, colour nothing."""
    rng = np.random.default_rng(2)
    reward, penalty = np.array([0.4, 0.05, 0.5, 0.0]), np.array([0.4, 0.55, 0.05, 0.0])
    table = answered(rng, reward, penalty, np.array([-0.3, 0.3]), np.array([-1.5, -0.5, 0.5, 1.5]), 1500)
    table = table.rename(columns=dict(zip(NAMES, ["taste", "support", "gifts", "colour"], strict=True)))
    table.loc[:4, "taste"] = np.nan
    return fit_drivers(
        table,
        "overall",
        ["taste", "support", "gifts", "colour"],
        overall_scale=(1, 5),
        wave="wave",
        draws=300,
        tune=200,
        seed=1,
    )


def test_hygiene_and_satisfiers_are_told_apart(kinds):
    found = driver_kinds(kinds)
    assert kinds.attrs["left_out"] == 5
    assert found["kind"].sel(attribute=["support", "gifts"]).to_numpy().tolist() == ["hygiene", "satisfier"]
    assert found["probability_matters"].sel(attribute=["taste", "support", "gifts"]).min() > 0.99
    level = kinds["posterior"]["wave_level"].mean(("chain", "draw"))
    assert float(level[1] - level[0]) == pytest.approx(0.6, abs=0.2)
    table = clv.table(found)
    assert table["attribute"].tolist() == ["taste", "support", "gifts", "colour"]


def test_weights_are_learned_and_go_into_a_market(kinds):
    """Effects .8, .6, .55 and 0 make weights of .41, .31, .28 and 0."""
    found = driver_kinds(kinds)
    truth = np.array([0.8, 0.6, 0.55, 0.0]) / 1.95
    assert ((found["weight_q05"] <= truth + 0.02) & (truth - 0.02 <= found["weight_q95"])).all()
    np.testing.assert_allclose(found["weight_draws"].sum("attribute"), 1)
    ratings = {name: {"A": 5, "B": 6} for name in ("taste", "support", "gifts", "colour")}
    made = market(ratings, found["weight_draws"], {"price": {"A": 1, "B": 1}})
    assert clv.perceived.price_performance(made, 2.0)["probability_best"].to_numpy().tolist() == [0.0, 1.0]


def test_bad_columns_are_refused():
    table = pd.DataFrame({"overall": [1, 2, 3], "a": [1, 2, 8], "b": [2, 2, 2], "c": [1, 2, 3]})
    for names, said in (
        (["a", "c"], "1 of 3 answers to 'a' .* such as 8 in row 3"),
        (["b", "c"], "All answer 'b' alike"),
        (["c", "c"], "two or more different columns"),
        (["c", "overall"], "two or more different columns"),
        (["c", "d"], "There is no column 'd'"),
    ):
        with pytest.raises(clv.InputError, match=said):
            fit_drivers(table, "overall", names, seed=1)
    with pytest.raises(clv.InputError, match="0 of 3 respondents answered everything"):
        fit_drivers(table.assign(c=np.nan), "overall", ["a", "c"], seed=1)
    with pytest.raises(clv.InputError, match="These are no drivers"):
        driver_kinds(table)
