"""What several folders of tests share: CDNOW, a run, posteriors and customers made by hand."""

import gc
import os

os.environ.setdefault("MPLBACKEND", "Agg")

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.families.registry import family as formulas
from tests.browser import browser as browser
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

CDNOW = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}


def pytest_collection_finish():
    """Have later collections of garbage skip what is imported by now: looking through it is a tenth of compiling."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_process():
    """Do all of a run in the process of the test, where what is replaced is replaced, and no imports are made twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayes_clv.workflows.beside.processors", lambda: 1)
        yield


@pytest.fixture(scope="session")
def cdnow():
    """CDNOW's 1/10 sample: 39 weeks of calibration, 39 weeks of holdout."""
    return clv.summarize(clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30")


@pytest.fixture(scope="session")
def estimates() -> dict[str, float]:
    """The paper's estimates of BG/NBD on CDNOW."""
    return CDNOW


@pytest.fixture(scope="session")
def spend() -> dict[str, float]:
    """The paper's estimates of the Gamma-Gamma on CDNOW."""
    return SPEND


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A simulated log of 300 customers with whole-number ids, and the folder with it as orders.csv."""
    log = clv.synthetic.simulate_orders(
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
    arguments += ["--family", "bg_nbd", "--no-drift", "--no-returns"]
    arguments += ["--method", "laplace", "--draws", "100", "--out", folder / "first"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return folder / "first", result.stdout


# Made by hand: CDNOW's maximum-likelihood values of the papers, or any others.


def posterior(
    family: str, values: dict, *, sd: float, chains: int, draws: int, time_unit: str = "week"
) -> xr.DataTree:
    rng = np.random.default_rng(20)
    whole = {name for name, quantity in formulas(family).quantities.items() if quantity.whole}
    drawn = {
        name: (
            ("chain", "draw"),
            value * np.exp((name not in whole) * sd * rng.standard_normal((chains, draws))),
        )
        for name, value in values.items()
    }
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(drawn, coords={"chain": np.arange(chains), "draw": np.arange(draws)})}
    )
    tree.attrs = {"family": family, "time_unit": time_unit}
    return tree


@pytest.fixture(scope="session")
def make_posterior() -> Callable[..., xr.DataTree]:
    """Return a posterior of any family: draws spread log-normally around the values; sd=0 is certainty."""
    return posterior


@pytest.fixture(scope="session")
def make_buying() -> Callable[..., xr.DataTree]:
    """Return a BG/NBD posterior: draws spread log-normally around the values; sd=0 is certainty."""

    def make(*, sd: float = 0.1, chains: int = 2, draws: int = 250, time_unit: str = "week", **values: float):
        return posterior("bg_nbd", CDNOW | values, sd=sd, chains=chains, draws=draws, time_unit=time_unit)

    return make


@pytest.fixture(scope="session")
def make_spending() -> Callable[..., xr.DataTree]:
    def make(
        *, sd: float = 0.05, chains: int = 2, draws: int = 250, time_unit: str = "week", **values: float
    ):
        return posterior(
            "gamma_gamma", SPEND | values, sd=sd, chains=chains, draws=draws, time_unit=time_unit
        )

    return make


@pytest.fixture(scope="session")
def make_customers() -> Callable[..., xr.Dataset]:
    """Return customers with histories simulated from CDNOW's values, ages in whole days of the unit."""

    def make(size: int, *, seed: int = 1) -> xr.Dataset:
        rng = np.random.default_rng(seed)
        age = (39 * 7 - rng.integers(0, 84, size)) / 7
        frequency, recency = bg_nbd.simulate(rng, age, **CDNOW)
        recency = np.where(frequency > 0, np.maximum(np.ceil(recency * 7), 1) / 7, 0.0)
        mean_spend = np.where(frequency > 0, rng.gamma(4, 9, size).round(2) + 0.01, np.nan)
        return xr.Dataset(
            {
                "frequency": ("customer", frequency),
                "recency": ("customer", recency),
                "T": ("customer", age),
                "monetary_value": ("customer", mean_spend),
                "historical_spend": ("customer", np.nan_to_num(frequency * mean_spend) + 30),
            },
            coords={"customer": np.array([f"c{i:05d}" for i in range(size)], dtype=object)},
            attrs={"time_unit": "week", "until": "1997-09-30"},
        )

    return make
