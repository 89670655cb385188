"""What several folders of tests share: CDNOW, and one NUTS fit of each family on it."""

import os

# The same seed gives the same draws on a cold and on a warm compile cache only without fast maths.
os.environ.setdefault("PYTENSOR_FLAGS", "numba__fastmath=False")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

import bayes_clv as clv


@pytest.fixture(scope="session")
def cdnow():
    """CDNOW's 1/10 sample: 39 weeks of calibration, 39 weeks of holdout."""
    return clv.summarize(clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30")


@pytest.fixture(scope="session")
def buying(cdnow):
    return clv.fit("bg_nbd", cdnow, seed=1, progress=False, include=("prior", "posterior_predictive"))


@pytest.fixture(scope="session")
def spending(cdnow):
    return clv.fit("gamma_gamma", cdnow, seed=2, progress=False, include=("prior", "posterior_predictive"))
