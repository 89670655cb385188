"""Quick simulation-based calibration: the study's own machinery, at a size that shows a gross error."""

import numpy as np
import pytest

from bayes_clv.distributions import bg_nbd, gamma_gamma
from studies import calibration

QUICK = 40


@pytest.mark.parametrize("family", ["bg_nbd", "gamma_gamma"])
def test_ranks_of_the_truth_are_uniform(family, tmp_path):
    found = calibration.ranks(family, "laplace", QUICK, tmp_path)
    names = {"bg_nbd": bg_nbd, "gamma_gamma": gamma_gamma}[family].QUANTITIES
    # With 4 or 3 quantities each leaving a 95 % band by chance, one may; far outside it none may.
    for name in names:
        assert calibration.outside(found[name]) < 0.05, name
    assert found["flagged"].mean() < 0.2


def test_ranks_that_are_not_uniform_leave_the_band():
    rng = np.random.default_rng(1)
    even = rng.integers(0, calibration.RANKED + 1, 500)
    assert calibration.outside(even) == 0
    # A posterior a fifth too narrow: the truth ranks too often at the ends.
    narrow = calibration.RANKED * (0.5 + (even / calibration.RANKED - 0.5) * 1.2).clip(0, 1)
    assert calibration.outside(np.round(narrow)) > 0.02
    shifted = (even + 0.1 * calibration.RANKED).clip(max=calibration.RANKED)
    assert calibration.outside(shifted) > 0.02
