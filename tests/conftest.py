"""What several folders of tests share: CDNOW, and one NUTS fit of each family on it."""

import os

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


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A simulated log of 300 customers with whole-number ids, and the folder with it as orders.csv."""
    log = clv.simulate_orders(
        {"r": 0.8, "alpha": 6.0, "a": 0.8, "b": 2.4}, {"p": 6.0, "q": 4.0, "v": 15.0}, customers=300, seed=3
    )
    log["customer_id"] = log["customer_id"].str[1:].astype(int)
    log["spend"] = log["spend"].round(4)
    folder = tmp_path_factory.mktemp("shop")
    log.to_csv(folder / "orders.csv", index=False)
    return folder, log


@pytest.fixture(scope="session")
def finished(shop):
    """The command on that log: the folder it wrote and what it printed."""
    from typer.testing import CliRunner

    from bayes_clv.cli import app

    folder, _ = shop
    arguments = ["run", folder / "orders.csv", "--until", "2025-09-30", "--holdout-until", "2025-12-31"]
    arguments += ["--horizon", "20 weeks", "--margin", "0.3", "--annual-discount-rate", "0.1"]
    arguments += ["--method", "laplace", "--draws", "100", "--out", folder / "first"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return folder / "first", result.stdout
