"""Quick simulation-based calibration of families whose spend moves with its customer."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_clv.families.registry import family as find_family
from studies import calibration, ranks

QUICK = 8
ALARM = 1e-4
# One false alarm in some 1,000 runs of the whole test.
ONES = (
    "lognormal_spend_trend_drift",
    *(pytest.param(name, marks=pytest.mark.full) for name in ("lognormal_spend_trend", "gamma_gamma_trend")),
)


@pytest.mark.parametrize("family", ONES)
def test_ranks_of_the_truth_are_uniform(family, tmp_path, monkeypatch):
    effort = replace(calibration.EFFORT[family], customers=60, laplace=300)
    monkeypatch.setattr(calibration, "EFFORT", {family: effort})
    found = calibration.records(family, "laplace", QUICK, tmp_path)
    given = found["refused"] == 0
    assert given.sum() >= QUICK - 1
    for name in find_family(family).quantities:
        if name != "trend_span":
            assert ranks.chance(found[name][given]) > ALARM, name


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
