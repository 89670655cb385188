"""Quick simulation-based calibration: the study's own machinery, at a size that shows a gross error."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from bayes_clv.families.registry import FAMILIES
from bayes_clv.families.registry import family as find_family
from studies import calibration, ranks
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

QUICK = 10
# The others take 20 s each, most of it compiling; one of each kind stays, of purchases that which is compiled below.
LONG = tuple({*FAMILIES} - {"nbd", "gamma_gamma", "shifted_beta_geometric"})
# With 3 families of 4 quantities, one false alarm in 800 runs of the whole test.
ALARM = 1e-4


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fewer draws than ``fit`` makes: enough to rank among."""
    quicker = {name: replace(calibration.EFFORT.get(name, ranks.Effort()), laplace=200) for name in FAMILIES}
    monkeypatch.setattr(calibration, "EFFORT", quicker)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.full) if name in LONG else name for name in FAMILIES]
)
def test_ranks_of_the_truth_are_uniform(family, tmp_path):
    found = calibration.records(family, "laplace", QUICK, tmp_path)
    given = found["refused"] == 0
    assert given.sum() >= QUICK - 1
    for name in find_family(family).quantities:
        if name in found:  # k is fixed
            assert ranks.chance(found[name][given]) > ALARM, name


def test_a_biased_sampler_is_caught(tmp_path, monkeypatch):
    model, names, sampler = calibration.prepared("nbd", "laplace")

    def biased(data, seed):
        draws, report = sampler(data, seed)
        return {name: 1.05 * value for name, value in draws.items()}, report

    monkeypatch.setattr(calibration, "prepared", lambda family, method: (model, names, biased))
    found = calibration.records("nbd", "laplace", 100, tmp_path)
    rows = calibration.judge("nbd", "laplace", found)
    assert min(row["p"] for row in rows) < 5e-4
    assert any("nbd, laplace" in line for line in ranks.verdict(rows))
    # The next call goes on from the records.
    monkeypatch.setattr(calibration, "prepared", None)
    assert calibration.records("nbd", "laplace", 100, tmp_path).keys() == found.keys()


def test_p_is_uniform_and_the_band_says_the_same():
    rng = np.random.default_rng(2)
    size, cells = 60, ranks.RANKED + 1
    low, high = ranks.band(size, 0.05)
    p = []
    for _ in range(2_000):
        rank = rng.integers(0, cells, size)
        p.append(ranks.chance(rank))
        difference = ranks.below(rank) / size - ranks.POINTS
        within = (difference > low - 1e-12).all() and (difference < high + 1e-12).all()
        assert within == (p[-1] >= 0.05)
    # Binomial: sd 0.0049. It may be a little below, since p takes steps.
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.065


def test_the_band_is_that_of_arviz():
    from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands

    size, points = 100, ranks.POINTS
    pointwise = simulate_confidence_bands(size, 1, points, 0.95, 4_000, np.random.default_rng(1))
    low, high = get_pointwise_confidence_band(pointwise, size, points)
    # Within one count: the pointwise chance is simulated on both sides.
    for ours, theirs in zip(ranks.band(size, 0.05), (low - points, high - points), strict=True):
        assert np.abs(ours - theirs).max() < 1.5 / size


@pytest.mark.filterwarnings("ignore:The effect of Potentials")
def test_ranks_are_those_of_simuk(monkeypatch):
    import simuk
    import xarray as xr

    study = calibration.loop("nbd", "laplace", 3, [1, 2])
    posteriors = []

    def kept(replicated):
        posteriors.append(ranks.Loop._get_posterior_samples(study, replicated))
        return posteriors[-1]

    monkeypatch.setattr(study, "_get_posterior_samples", kept)
    study.run_simulations()
    names = calibration.prepared("nbd", "laplace")[1]
    ours = {name: [found[name] for found in study.found] for name in names}
    assert ours == {name: study.simulations["prior_sbc"][name].to_numpy().ravel().tolist() for name in names}

    study.simulations = {name: [] for name in study.var_names}
    for place, (draws, _) in enumerate(posteriors):
        sample = xr.Dataset({name: ("sample", value) for name, value in draws.items()})
        simuk.SBC._compute_single_rank(study, place, sample, lambda name, value: value)
    assert {name: [int(rank) for rank in study.simulations[name]] for name in ours} == ours


def test_regular_histories_are_those_of_the_simulated_purchases():
    """The sum of log times between purchases, purchase by purchase, of the family's own times from the same state."""
    chosen, fixed = find_family("mbg_cnbd_k"), {"T": np.full(300, 40.0)}
    params = {"r": 0.8, "alpha": 4.0, "a": 0.8, "b": 2.4, "k": 3.0}
    found = calibration.simulated(chosen, np.random.default_rng(1), fixed, params)
    waits = [[0.0] for _ in range(300)]
    for customer, age in zip(*chosen.forecast.times(np.random.default_rng(1), fixed, params), strict=True):
        waits[customer].append(age)
    assert max(map(len, waits)) > 3
    np.testing.assert_array_equal(found["frequency"], [len(ages) - 1 for ages in waits])
    np.testing.assert_allclose(found["recency"], [ages[-1] for ages in waits])
    np.testing.assert_allclose(found["log_intervals"], [np.log(np.diff(ages)).sum() for ages in waits])


def test_a_verdict_from_saved_ranks_is_the_same(tmp_path):
    """Ranks, flags and seconds come back, without truths; of a simulation that gave no draws a rank is no number."""
    rng = np.random.default_rng(1)
    names = [*bg_nbd.QUANTITIES, *bg_nbd.PARAMETERS]
    found = {name: rng.integers(0, 101, 40).astype(float) for name in names}
    found |= {f"{name} biased": rng.integers(0, 101, 40).astype(float) for name in names}
    found |= {f"{name} truth": rng.random(40) for name in names}
    found |= {
        "flagged": rng.random(40) < 0.6,
        "effective": rng.random(40) * 100,
        "seconds": np.full(40, 0.37),
    }
    found["refused"] = np.arange(40) == 3
    found[names[0]][3] = np.nan
    ranks.save({("bg_nbd", "nuts"): found}, tmp_path / "ranks.npz")
    again = ranks.saved(tmp_path / "ranks.npz")
    assert calibration.judge("bg_nbd", "nuts", again["bg_nbd", "nuts"]) == calibration.judge(
        "bg_nbd", "nuts", found
    )
    assert not any(name.endswith(" truth") for name in again["bg_nbd", "nuts"])
    assert ranks.saved(tmp_path / "nothing.npz") == {}


def test_the_committed_ranks_give_the_committed_table():
    """studies/calibration_results.csv is what ``--judge`` makes of studies/calibration_ranks.npz, row by row."""
    found = ranks.saved(ranks.ROOT / "studies" / "calibration_ranks.npz")
    with (ranks.ROOT / "studies" / "calibration_results.csv").open(newline="", encoding="utf-8") as file:
        table = {(row["family"], row["method"], row["quantity"]): row for row in csv.DictReader(file)}
    assert (
        {key[:2] for key in table}
        == set(found)
        == {(family, method) for family in FAMILIES for method in ranks.METHODS}
    )
    for family, method in (("bg_nbd", "laplace"), ("pareto_ggg", "nuts")):
        for row in calibration.judge(family, method, found[family, method]):
            assert float(table[family, method, row["quantity"]]["p"]) == row["p"]
