"""The study of channels: its worlds of bids and budgets, and its rule, which follows the numbers."""

import numpy as np

from studies import channels


def test_in_each_world_the_best_bid_is_expected_to_earn_no_less_than_the_mean():
    found = [channels.bid_world(seed) for seed in range(15)]
    assert all(each["best_expected"] > each["mean_expected"] for each in found)
    raw = np.array([each["best_expected"] - each["seen_expected"] for each in found])
    assert (raw > 0).all()


def test_a_split_earns_the_optimum_of_the_truth():
    known, unsure = np.array([channels.budget_world(seed) for seed in range(15)]).T
    assert (np.abs(known - 1) < 1e-4).all()
    assert unsure.mean() > 0.98


def record(seed, shift=0.0):
    """Return a base whose channels pay as often as is said, or by ``shift`` more often."""
    rng = np.random.default_rng(seed)
    chance = rng.random(5)
    pays = rng.random(5) < np.clip(chance + shift, 0, 1)
    return {
        "probability": chance.tolist(),
        "pays": pays.tolist(),
        "rank": (rng.random(5) ** (1 - shift)).tolist(),
    }


def test_the_rule_follows_the_numbers():
    rows = channels.judge_bases([record(seed) for seed in range(100)])
    assert {row["passed"] for row in rows} == {"yes"}
    assert [row["of"] for row in rows[-6:]] == [500] * 6
    wrong = channels.judge_bases([record(seed, 0.3) for seed in range(100)])
    assert [row["passed"] for row in wrong].count("NO") > 5
    bids = [{f"{a}_{b}": 1.0 for a in ("best", "mean", "seen") for b in ("expected", "earned")}] * 3
    assert [row["passed"] for row in channels.judge_worlds(bids, [(1.0, 0.99)] * 3)[:3]] == ["yes"] * 3
    bids = [bids[0], bids[0] | {"best_expected": 0.5}]
    assert [row["passed"] for row in channels.judge_worlds(bids, [(1.0, 0.9), (0.9, 1.0)])[:3]] == ["NO"] * 3
