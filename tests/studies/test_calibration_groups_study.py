"""Calibration of calendars by group: its bases are of groups each in its own time, and a quick loop of them."""

import numpy as np
import pytest

from bayes_clv.families.group_time import PLACE
from studies import calibration_calendar, calibration_groups, ranks

PARAMS = {"r": 1.0, "alpha": 4.0, "a": 0.3, "b": 3.0}


def test_a_base_has_each_group_in_its_own_time():
    """A group whose rate is 0 in the second half of the time buys nothing then; the other's purchases are its own."""
    size = calibration_calendar.CALENDAR.size
    rates = np.ones((2, size + calibration_calendar.AHEAD))
    rates[0, size // 2 :] = 1e-9
    found = calibration_groups.base("mbg_nbd", np.random.default_rng(1), rates, PARAMS)
    counts = found[calibration_calendar.COUNTS].reshape(2, size)
    assert counts[0, size // 2 :].sum() == 0
    assert (counts[1, size // 2 :] > 0).all()
    for group in range(2):
        own = found[PLACE] == group
        assert found["frequency"][own].sum() == counts[group].sum()
    assert np.array_equal(found["T"], calibration_calendar.design()["T"])


def test_a_groups_path_is_that_of_all_and_its_own():
    """With a scale of 0 every group's is that of all; else the log of their ratio has that scale."""
    periods, rng = calibration_calendar.CALENDAR.size + calibration_calendar.AHEAD, np.random.default_rng(2)
    drawn = {
        "calendar_sd": 0.3,
        "calendar_shock_sd": 0.1,
        "calendar_half_life": 8.0,
        "calendar_group_sd": 0.0,
        "moves": rng.standard_normal(periods),
        "shocks": rng.standard_normal(periods),
        "group_moves": rng.standard_normal((2, periods)),
    }
    common = calibration_calendar.path(drawn)
    np.testing.assert_allclose(calibration_groups.paths(drawn), np.stack([common, common]))
    many = drawn | {"calendar_group_sd": 0.5, "group_moves": rng.standard_normal((800, periods))}
    own = np.log(calibration_groups.paths(many) / common)
    # Of 800 independent first periods and last: the error of a standard deviation is sd / sqrt(1600), four of them.
    for period in (0, -1):
        assert own[:, period].std() == pytest.approx(0.5, abs=4 * 0.5 / 40)


def test_a_base_is_ranked_by_nuts_as_by_laplace(tmp_path, monkeypatch):
    """One base in few steps: all that is judged has a rank, and the sampler says what it says of itself."""
    monkeypatch.setattr(calibration_calendar, "TUNE", 60)
    monkeypatch.setattr(calibration_calendar, "THIN", 1)
    found = calibration_groups.records("mbg_nbd", "nuts", 1, tmp_path)
    of_groups = [f"{name}_{label}" for label in ("one", "other") for name in calibration_calendar.SUMS]
    for name in (*calibration_groups.ranked("mbg_nbd"), *of_groups):
        assert 0 <= found[name][0] <= ranks.RANKED, name
    assert found["steps"][0] >= 1
    assert found["effective"][0] > 0
    assert ranks.at_hand("mbg_nbd-nuts", tmp_path)["steps"].size == 1
    assert ranks.at_hand("mbg_nbd-laplace", tmp_path) is None


@pytest.mark.full
@pytest.mark.parametrize("method", ["laplace", "nuts"])
def test_ranks_of_the_truth_are_uniform(method, tmp_path, monkeypatch):
    """Of 6 bases, by 200 draws: each p above 1e-4 of what is right in the full study."""
    monkeypatch.setattr(calibration_groups, "DRAWS", 200)
    monkeypatch.setattr(calibration_calendar, "TUNE", 200)
    monkeypatch.setattr(calibration_calendar, "THIN", 2)
    found = calibration_groups.records("mbg_nbd", method, 6, tmp_path)
    assert not found["refused"].any()
    for name in (
        "calendar_group_sd",
        "calendar_ahead_one",
        "calendar_ahead_other",
        "population_purchase_rate",
    ):
        assert ranks.chance(found[name]) > 1e-4, name
