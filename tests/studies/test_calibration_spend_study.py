"""Calibration where spend moves with its customer: the long form, and the bases it is made of."""

import numpy as np
import pytest

from bayes_clv.families.registry import family as find_family
from studies import calibration


@pytest.mark.full
@pytest.mark.parametrize("family", calibration.SPENDING)
def test_a_hundred_bases_are_calibrated(family, tmp_path):
    """The study's rule, with its bound for each of the rows of one family."""
    found = calibration.records(family, "laplace", 100, tmp_path)
    rows = calibration.judge(family, "laplace", found)
    assert min(row["p"] for row in rows) > 0.05 / len(rows)


def test_a_base_has_the_purchases_of_the_design():
    given = calibration.design("gamma_gamma_trend")
    of = find_family("gamma_gamma_trend")
    params = {"p": 3.0, "q": 4.0, "v": 30.0, "growth": 1.5, "span": 78.0}
    base = calibration.simulated(of, np.random.default_rng(3), given.columns, params)
    assert base["purchase_spend"].size == base["frequency"].sum() == base["purchase_times"].size
    for customer in (0, 150, 199):
        start, size = (int(base[name][customer]) for name in ("spend_start", "frequency"))
        own = base["purchase_spend"][start : start + size]
        assert base["monetary_value"][customer] == pytest.approx(own.mean())
        assert (np.diff(base["purchase_times"][start : start + size]) > 0).all()
