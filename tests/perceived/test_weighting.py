"""Weights: Saaty's printed matrices with their consistency ratio, entropy by hand, doubt that holds, scores."""

import itertools
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.perceived import ahp_weights, entropy_weights, market, weighted_score
from bayes_clv.perceived.weighting import RANDOM_INDEX

SAATY = np.array([*(1 / np.arange(9.0, 1.0, -1.0)), *np.arange(1.0, 10.0)])


def pairs(names, text):
    """Return comparisons from the upper triangle of a matrix, row by row, as a paper prints it."""
    return dict(zip(itertools.combinations(names, 2), map(Fraction, text.split()), strict=True))


# Saaty 2008, Decision making with the analytic hierarchy process, Int. J. Services Sciences 1, 83-98: which drink is
# consumed more in the U.S.A.; weights and consistency ratio as printed (in the tests of AHPy 2.0 too).
DRINKS = ["coffee", "wine", "tea", "beer", "sodas", "milk", "water"]
DRUNK = pairs(
    DRINKS,
    "9 5 2 1 1 1/2  1/3 1/9 1/9 1/9 1/9  1/3 1/4 1/3 1/9  1/2 1 1/3  2 1/2  1/3",
)


def test_saatys_drinks():
    found = ahp_weights(DRUNK, draws=4000, seed=1)
    assert found["weight"].round(3).to_numpy().tolist() == [0.177, 0.019, 0.042, 0.116, 0.190, 0.129, 0.327]
    assert round(float(found["consistency_ratio"][0]), 3) == 0.022
    assert found.attrs["problems"] == []
    # Judgements so consistent leave little doubt; each weight lies in its interval.
    assert ((found["weight_q05"] < found["weight"]) & (found["weight"] < found["weight_q95"])).all()


def test_saatys_cities():
    """Saaty 2005, Theory and Applications of the Analytic Network Process: criteria, cities, and weights of weights."""
    criteria = pairs(
        ("Culture", "Family", "Housing", "Jobs", "Transportation"), "1/5 3 1/2 5  7 1 7  1/4 3  7"
    )
    cities = ("Bethesda", "Boston", "Pittsburgh", "Santa Fe")
    within = {
        "Culture": "1/2 1 1/2  5/2 1  2/5",
        "Family": "2 1/3 4  1/8 2  9",
        "Housing": "5 1/2 5/2  1/9 1/4  7",
        "Jobs": "1/2 3 4  6 8  1",
        "Transportation": "3/2 1/2 4  2/7 5/2  9",
    }
    local = {
        name: ahp_weights(pairs(cities, text), draws=1, seed=1)["weight"] for name, text in within.items()
    }
    table = pd.DataFrame({name: each.to_pandas() for name, each in local.items()})
    weights = ahp_weights(criteria, draws=10, seed=1)
    score = weighted_score(table, weights["weight"])["score"]
    assert score["row"].to_numpy().tolist() == list(cities)
    assert score.round(3).to_numpy().tolist() == [0.229, 0.275, 0.385, 0.111]


def test_the_random_indices():
    """Of 3 x 3 exactly, by all 17³ matrices: λ = 1 + t + 1/t; of 5 x 5 by 20,000, within four standard errors."""
    one, two, three = (each.ravel() for each in np.meshgrid(SAATY, SAATY, SAATY))
    t = (two / (one * three)) ** (1 / 3)
    assert ((t + 1 / t - 2) / 2).mean() == pytest.approx(RANDOM_INDEX[3], abs=5e-5)
    rng = np.random.default_rng(1)
    matrices = np.ones((20_000, 5, 5))
    for i, j in itertools.combinations(range(5), 2):
        matrices[:, i, j] = rng.choice(SAATY, 20_000)
        matrices[:, j, i] = 1 / matrices[:, i, j]
    index = (np.linalg.eigvals(matrices).real.max(axis=1) - 5) / 4
    assert index.mean() == pytest.approx(RANDOM_INDEX[5], abs=4 * index.std() / np.sqrt(20_000) + 0.001)


def test_doubt_of_comparisons_is_calibrated():
    """Judgements made with an error drawn from the prior of σ²: 90 % intervals hold the truth in nine of ten."""
    rng = np.random.default_rng(2)
    names = ["a", "b", "c", "d"]
    inside = []
    for _ in range(300):
        log = np.array([0.0, 0.4, 0.6, 0.2]) + 0.1 * rng.standard_normal(4)
        truth = np.exp(log) / np.exp(log).sum()
        error = 0.3 * np.sqrt(3 / rng.chisquare(3))
        made = [
            {
                (names[i], names[j]): np.clip(
                    np.exp(log[i] - log[j] + error * rng.standard_normal()), 1 / 9, 9
                )
                for i, j in itertools.combinations(range(4), 2)
            }
            for _ in range(2)
        ]
        found = ahp_weights(made, draws=500, seed=3)
        low, high = (found[f"weight_{end}"].to_numpy() for end in ("q05", "q95"))
        inside.append((low <= truth) & (truth <= high))
    # 300 worlds of four intervals that go together: a standard error of at most 1.7 points.
    assert np.mean(inside) == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 300))


def test_contradictions_are_named_and_widen():
    circle = {("a", "b"): 5, ("b", "c"): 5, ("a", "c"): 0.2}
    found = ahp_weights([circle, {("a", "b"): 1, ("b", "c"): 1, ("a", "c"): 1}], seed=1)
    assert len(found.attrs["problems"]) == 1
    assert "expert 1 contradict" in found.attrs["problems"][0]
    calm = ahp_weights({("a", "b"): 1, ("b", "c"): 1, ("a", "c"): 1}, seed=1)
    assert ((found["weight_q95"] - found["weight_q05"]) > (calm["weight_q95"] - calm["weight_q05"])).all()


def test_entropy_by_hand():
    """Shannon: E_i = -Σ p log p / log m, w_i in proportion to 1 - E_i."""
    table = pd.DataFrame({"taste": [8.0, 8.0, 8.0], "lead": [2.0, 8.0, 9.0], "supply": [0.0, 5.0, 5.0]})
    share = table / table.sum()
    entropy = -(share * np.log(share.where(share > 0, 1.0))).sum() / np.log(3)
    weight = (1 - entropy) / (1 - entropy).sum()
    found = entropy_weights(table, draws=200, seed=1)
    np.testing.assert_allclose(found["weight"], weight, atol=1e-12)
    np.testing.assert_allclose(found["weight_draws"].sum("attribute"), 1)
    assert float(found["weight"][0]) == 0


def test_doubt_of_entropy_holds_on_many_rows():
    """Two lognormal columns, whose Theil index is σ² / 2: true weights .2 and .8."""
    rng = np.random.default_rng(4)
    inside = [
        float(found["weight_q05"][0]) <= 0.2 <= float(found["weight_q95"][0])
        for found in (
            entropy_weights(
                pd.DataFrame(np.exp(rng.standard_normal((400, 2)) * [0.2, 0.4]), columns=["a", "b"]),
                draws=200,
                seed=5,
            )
            for _ in range(200)
        )
    ]
    assert np.mean(inside) == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 200))


def test_weights_go_into_markets_and_scores():
    weights = ahp_weights({("taste", "lead"): 3}, draws=50, seed=1)
    ratings = {"taste": {"A": 8, "B": 6}, "lead": {"A": 2, "B": 9}}
    found = market(ratings, weights["weight_draws"], {"price": {"A": 1, "B": 1}})
    offers = clv.perceived.price_performance(found, 2.0)
    scores = weighted_score(found, weights["weight_draws"])
    np.testing.assert_allclose(scores["score"], offers["performance"].transpose("draw", "rival"))
    np.testing.assert_allclose(scores["probability_first"], offers["probability_best"])
    assert entropy_weights(found, seed=1)["weight_draws"].sizes["draw"] == 4000
    unsure = clv.perceived.unsure(found, rating_error=0.1, draws=50, seed=1)
    assert entropy_weights(unsure, seed=1)["weight_draws"].sizes["draw"] == 50


@pytest.mark.parametrize(
    ("comparisons", "said"),
    [
        ({("a", "b"): 10}, "'a' counts 10 times as much as 'b'. Saaty's scale"),
        ({("a", "b"): -1}, "Saaty's scale goes from 1/9 to 9"),
        ({("a", "b"): 2, ("b", "a"): 3}, "'b' and 'a' are compared twice"),
        ({("a", "b"): 2, ("b", "b"): 1}, "'b' is compared with itself"),
        ({("a", "b"): 2, ("b", "c"): 1}, r"'a' and 'c' are not compared \(1 of 3 pairs"),
        (
            [{("a", "b"): 2, ("a", "c"): 1, ("b", "c"): 1}, {("a", "b"): 2}],
            "Expert 2: 'a' and 'c' are not compared",
        ),
        ([], "There is no expert"),
    ],
)
def test_bad_comparisons_are_refused(comparisons, said):
    with pytest.raises(clv.InputError, match=said):
        ahp_weights(comparisons, seed=1)


def test_bad_tables_are_refused():
    for table, said in (
        (pd.DataFrame({"a": [1, -1]}), "1 of the 2 numbers are negative, such as -1"),
        (pd.DataFrame({"a": [1]}), "There is one row"),
        (pd.DataFrame({"a": [0, 0], "b": [1, 2]}), "'a' is 0 in every row"),
        (pd.DataFrame({"a": [1, 1]}), "All rows are alike"),
        (pd.DataFrame({"a": [1, np.nan]}), "1 of the 2 numbers are missing"),
        (3, "The table is no market"),
    ):
        with pytest.raises(clv.InputError, match=said):
            entropy_weights(table, seed=1)
    table = pd.DataFrame({"a": [1, 2], "b": [2, 1]})
    weights = xr.DataArray([0.5, 0.6], coords={"attribute": ["a", "b"]}, dims="attribute")
    with pytest.raises(clv.InputError, match="add up to 1.1"):
        weighted_score(table, weights)
    with pytest.raises(clv.InputError, match="'b' is an attribute of the table alone"):
        weighted_score(table, weights.assign_coords(attribute=["a", "c"]))
