"""Answers by segment: scores by hand, intervals that hold, small segments that lean, bad answers refused."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.perceived import answer_shares, mean_answer, net_promoter, satisfied, secure
from bayes_clv.perceived.answers import _gibbs


def asked(counts, by=None):
    """Return a table of answers 0, 1, ... given so often each."""
    table = pd.DataFrame({"recommend": np.repeat(np.arange(len(counts)), counts)})
    return table if by is None else table.assign(shop=by)


def test_without_segments_the_posterior_is_dirichlet():
    """Of 10 promoters, 5 passive and 5 detractors of 20 the mean score is that of Dirichlet(counts + 1)."""
    counts = np.array([5, 0, 0, 0, 0, 0, 0, 5, 0, 10, 0])
    shares = answer_shares(asked(counts), "recommend", draws=5000, seed=1)
    found = net_promoter(shares)
    weight = np.array([-100] * 7 + [0, 0, 100, 100])
    alpha = counts + 1
    mean = alpha @ weight / alpha.sum()
    variance = (alpha @ weight**2 / alpha.sum() - mean**2) / (alpha.sum() + 1)
    error = np.sqrt(variance / 20_000)
    assert float(found["score_mean"][0]) == pytest.approx(mean, abs=4 * error)
    assert float(found["score"].std()) == pytest.approx(np.sqrt(variance), rel=0.03)
    np.testing.assert_allclose(found["score_all"], found["score"].isel(segment=0))
    top = satisfied(shares, 9)["score"]
    bottom = 1 - satisfied(shares, 7)["score"]
    np.testing.assert_allclose(found["score"], 100 * (top - bottom), atol=1e-9)
    np.testing.assert_allclose(mean_answer(shares)["score"], (shares["share"] * np.arange(11)).sum("answer"))


def test_intervals_hold_what_they_say():
    """Shares drawn from the model's own priors: 90 % intervals of every segment's score hold nine of ten truths."""
    rng = np.random.default_rng(1)
    worlds, weight = 200, np.array([-100, -100, 0, 100.0])
    sizes = [8, 25, 60, 200]
    kappa, common = rng.gamma(1.0, 100.0, worlds), rng.dirichlet(np.ones(4), worlds)
    gammas = rng.standard_gamma((kappa[:, None] * common)[:, None, :].repeat(4, axis=1)) + 1e-300
    shares = gammas / gammas.sum(axis=2, keepdims=True)
    drawn, drawn_kappa = _gibbs(rng.multinomial(sizes, shares), 300, rng)
    low, high = np.quantile(drawn @ weight, (0.05, 0.95), axis=1)
    inside = (low <= shares @ weight) & (shares @ weight <= high)
    # Segments of a world go together: 4 standard errors of 200 worlds, as if their four were one and a half.
    assert inside.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / (1.5 * worlds)))
    # Ranks of κ are uniform: their mean of 1/2 has the standard error 1 / sqrt(12 n).
    rank = (drawn_kappa < kappa[:, None]).mean()
    assert rank == pytest.approx(0.5, abs=4 / np.sqrt(12 * worlds))


@pytest.fixture(scope="module")
def shops():
    """Three shops of 400 answers that are alike, and one of ten that was unlucky."""
    rng = np.random.default_rng(2)
    chances = np.array([3, 1, 1, 1, 1, 3, 5, 10, 20, 25, 30]) / 100
    recommend = np.concatenate([rng.choice(11, 1200, p=chances), np.repeat([3, 9], 5)])
    shop = np.concatenate([np.repeat(["east", "north", "south"], 400), np.repeat(["west"], 10)])
    return pd.DataFrame({"recommend": recommend, "shop": shop})


def test_a_small_segment_leans_on_the_others(shops):
    shares = answer_shares(shops, "recommend", by="shop", draws=1000, seed=1)
    assert shares.attrs["problems"] == []
    found = net_promoter(shares)
    west = found.sel(segment="west")
    alone = net_promoter(answer_shares(shops[shops["shop"] == "west"], "recommend", draws=400, seed=1))
    others = float(found["score_mean"].sel(segment=["east", "north", "south"]).mean())
    assert float(alone["score_mean"][0]) + 10 < float(west["score_mean"]) < others
    assert float(west["score_q95"] - west["score_q05"]) < float(alone["score_q95"][0] - alone["score_q05"][0])
    higher = found["probability_higher"]
    np.testing.assert_allclose(higher + higher.rename(segment="other", other="segment"), 1)


def test_all_are_weighted_by_size(shops):
    sizes = {"east": 1, "north": 1, "south": 1, "west": 97}
    shares = answer_shares(shops, "recommend", by="shop", sizes=sizes, draws=100, seed=1)
    found = net_promoter(shares)
    mean = found["score_mean"].to_numpy() @ np.array([0.01, 0.01, 0.01, 0.97])
    assert float(found["score_all_mean"]) == pytest.approx(mean)
    table = clv.table(found)
    assert table["segment"].tolist() == ["east", "north", "south", "west", "all"]
    assert table["answers"].tolist() == [400, 400, 400, 10, 1210]


def test_secure_customers_reach_every_answer():
    table = pd.DataFrame({"happy": [9, 9, 8, None], "again": [10, 8, 10, 10]})
    found = secure(table, {"happy": 9, "again": 9})
    assert found["secure"].tolist()[:3] == [1.0, 0.0, 0.0]
    assert found["secure"].isna().tolist() == [False, False, False, True]
    shares = answer_shares(found, "secure", scale=(0, 1), draws=50, seed=1)
    assert shares.attrs["left_out"] == 1
    with pytest.raises(clv.InputError, match="There is no column 'glad'. There are happy, again"):
        secure(table, {"glad": 9})
    with pytest.raises(clv.InputError, match="No question is named"):
        secure(table, {})


def test_bad_answers_are_refused():
    table = pd.DataFrame(
        {"recommend": [9, 11, None], "words": ["good", "bad", "good"], "shop": ["a", None, "b"]}
    )
    for words, said in (
        ({"question": "stars"}, "There is no column 'stars'"),
        ({"question": "recommend"}, r"1 of 2 answers to 'recommend' .* such as 11 in row 2"),
        ({"question": "words"}, "Answers to 'words' are no numbers, such as 'good'"),
        (
            {"question": "recommend", "scale": (0, 20), "by": "shop"},
            "1 respondents have no segment in 'shop'",
        ),
        ({"question": "recommend", "scale": (5, 5)}, "scale=.* must be two whole numbers"),
    ):
        with pytest.raises(clv.InputError, match=said):
            answer_shares(table, **words, seed=1)
    good = pd.DataFrame({"stars": [1, 5], "shop": ["a", "b"]})
    with pytest.raises(clv.InputError, match="lacks segment 'b'"):
        answer_shares(good, "stars", scale=(1, 5), by="shop", sizes={"a": 1}, seed=1)
    with pytest.raises(clv.InputError, match="Nobody of segment 'c' answered"):
        answer_shares(good, "stars", scale=(1, 5), by="shop", sizes={"a": 1, "b": 1, "c": 1}, seed=1)
    with pytest.raises(clv.InputError, match="Nobody answered 'stars'"):
        answer_shares(good.assign(stars=np.nan), "stars", seed=1)
    shares = answer_shares(good, "stars", scale=(1, 5), draws=4, seed=1)
    with pytest.raises(clv.InputError, match="scale from 0 to 10, and 'stars' goes from 1 to 5"):
        net_promoter(shares)
    with pytest.raises(clv.InputError, match="least=1 must lie above 1"):
        satisfied(shares, 1)
    with pytest.raises(clv.InputError, match="no shares of answers"):
        mean_answer(good)
