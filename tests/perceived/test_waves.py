"""Waves, ratings by respondent and results in files: changes that were made are found, and files keep what was told."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv

SCALE = (0, 10)


@pytest.fixture(scope="module")
def said():
    """Three waves; from the second to the third ten points more promoters, 400 answers each."""
    rng = np.random.default_rng(2)
    share = {"9": (0.3, 0.3), "10": (0.3, 0.3), "11": (0.45, 0.25)}
    rows = []
    for wave, (promoters, detractors) in share.items():
        kind = rng.choice(3, 400, p=[promoters, detractors, 1 - promoters - detractors])
        rows.append(pd.DataFrame({"recommend": np.array([10, 3, 7])[kind], "wave": wave}))
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def scores(said):
    return clv.perceived.net_promoter(
        clv.perceived.answer_shares(said, "recommend", by="wave", draws=500, seed=1)
    )


def test_changes_are_those_of_the_draws_wave_by_wave(scores):
    found = clv.perceived.wave_changes(scores)
    # Numbers by their size, which as text they are not.
    assert found["wave"].values.tolist() == ["10", "11"]
    assert found["before"].values.tolist() == ["9", "10"]
    score = scores["score"]
    change = score.sel(segment="11") - score.sel(segment="10")
    np.testing.assert_allclose(found["change"].sel(wave="11"), change)
    np.testing.assert_allclose(found["change_mean"], found["change"].mean(("chain", "draw")))
    np.testing.assert_allclose(
        found["since_first"].sel(wave="11"), score.sel(segment="11") - score.sel(segment="9")
    )
    assert float(found["probability_rises"].sel(wave="11")) == pytest.approx(float((change > 0).mean()))
    # Twenty points more; an answer's variance is .60 and .66, so that of 400 each the difference has the standard
    # error 100 sqrt(1.26 / 400) = 5.6, and 90 % are 2 x 1.645 of it, up to what the waves lean on each other.
    last = found.sel(wave="11")
    assert abs(float(last["change_mean"]) - 20) < 3 * 5.6
    assert float(last["change_q95"] - last["change_q05"]) == pytest.approx(2 * 1.645 * 5.6, rel=0.15)
    assert found["change_q05"].sel(wave="10") < 0 < found["change_q95"].sel(wave="10")
    other = clv.perceived.wave_changes(scores, order=["11", "10", "9"])
    np.testing.assert_allclose(other["change"].sel(wave="10"), -change)


def test_ratings_of_respondents_make_a_market(said):
    rng = np.random.default_rng(3)
    rated = pd.DataFrame({"rival": np.repeat(["A", "B", "C"], 120)})
    rated["taste"] = np.clip(np.repeat([8, 6, 5], 120) + rng.integers(-1, 2, 360), 0, 10).astype(float)
    rated["support"] = rng.integers(3, 8, 360)
    rated.loc[:9, "taste"] = np.nan
    ratings = clv.perceived.ratings_of(rated, ["taste", "support"], draws=100, seed=1)
    assert dict(ratings.sizes) == {"draw": 400, "attribute": 2, "rival": 3}
    seen = rated.groupby("rival")["taste"].mean()
    error = rated.groupby("rival")["taste"].std() / np.sqrt(rated.groupby("rival")["taste"].count())
    taste = ratings.sel(attribute="taste")
    # A Dirichlet prior of the answers and the other rivals draw a mean by some tenths of a point.
    assert (np.abs(taste.mean("draw") - seen.values) < 0.35).all()
    assert (taste.std("draw") < 4 * error.values + 0.05).all()
    market = clv.perceived.market(
        ratings, {"taste": 60, "support": 40}, {"price": {"A": 30, "B": 20, "C": 20}}, scale=SCALE
    )
    found = clv.perceived.price_performance(market, slope=10.0)
    assert "probability_better" in found


def test_results_come_back_from_files_as_they_were(said, scores, tmp_path):
    shares = clv.perceived.answer_shares(said, "recommend", by="wave", draws=20, seed=1)
    for name, result in (
        ("shares", shares),
        ("scores", scores),
        ("changes", clv.perceived.wave_changes(scores)),
    ):
        path = clv.perceived.save(result, tmp_path / f"{name}.nc")
        again = clv.perceived.load(path)
        assert again.identical(result), name
    assert clv.perceived.net_promoter(clv.perceived.load(tmp_path / "shares.nc"))["score"].equals(
        clv.perceived.net_promoter(shares)["score"]
    )
    points = np.random.default_rng(1).integers(1, 6, (60, 2))
    judged = pd.DataFrame(points, columns=["taste", "support"]).assign(overall=points[:, 0])
    drivers = clv.perceived.fit_drivers(
        judged, "overall", ["taste", "support"], scale=(1, 5), overall_scale=(1, 5), draws=20, tune=20, seed=1
    )
    again = clv.perceived.load(clv.perceived.save(drivers, tmp_path / "drivers.nc"))
    assert again.attrs == drivers.attrs
    kinds, told = clv.perceived.driver_kinds(again), clv.perceived.driver_kinds(drivers)
    for name, value in drivers["posterior"].data_vars.items():
        np.testing.assert_array_equal(again["posterior"][name].values, value.values, err_msg=name)
    np.testing.assert_allclose(kinds["weight_mean"], told["weight_mean"], rtol=1e-12)
    data = bytearray((tmp_path / "scores.nc").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "scores.nc").write_bytes(bytes(data))
    with pytest.raises(clv.InputError, match="cannot be read|does not agree with its own checksum"):
        clv.perceived.load(tmp_path / "scores.nc")


def test_what_cannot_be_is_refused(said, scores, tmp_path, make_customers):
    one = clv.perceived.net_promoter(clv.perceived.answer_shares(said, "recommend", draws=20, seed=1))
    for call, message in (
        (lambda: clv.perceived.wave_changes(one), "There is one wave, 'all'"),
        (lambda: clv.perceived.wave_changes(scores, ["9", "10"]), "order has 9, 10, and the waves are"),
        (lambda: clv.perceived.wave_changes(said), "These are no scores"),
        (lambda: clv.perceived.ratings_of(said, [], seed=1), "No attribute is named"),
        (lambda: clv.perceived.ratings_of(said, ["recommend"], seed=1), "no column 'rival'"),
        (lambda: clv.perceived.save(said, tmp_path / "a.nc"), "no result of clv.perceived"),
        (lambda: clv.perceived.save(scores, tmp_path / "a.csv"), "end the name in .nc"),
        (lambda: clv.perceived.load(tmp_path / "none.nc"), "There is no file"),
    ):
        with pytest.raises(clv.InputError, match=message):
            call()
    rated = pd.DataFrame({"rival": ["A", "B"], "taste": [5, None]})
    with pytest.raises(clv.InputError, match="Nobody rated 'B' on 'taste'"):
        clv.perceived.ratings_of(rated, ["taste"], seed=1)
    from bayes_clv.inference.posterior import write_customers

    write_customers(make_customers(3), tmp_path / "customers.nc")
    with pytest.raises(clv.InputError, match="holds no result"):
        clv.perceived.load(tmp_path / "customers.nc")
