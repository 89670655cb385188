"""Posteriors and customers made by hand: CDNOW's maximum-likelihood values of the papers, or any others."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from bayes_clv.distributions import bg_nbd

CDNOW = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}


def posterior(
    family: str, values: dict, *, sd: float, chains: int, draws: int, time_unit: str = "week"
) -> xr.DataTree:
    rng = np.random.default_rng(20)
    drawn = {
        name: (("chain", "draw"), value * np.exp(sd * rng.standard_normal((chains, draws))))
        for name, value in values.items()
    }
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(drawn, coords={"chain": np.arange(chains), "draw": np.arange(draws)})}
    )
    tree.attrs = {"family": family, "time_unit": time_unit}
    return tree


@pytest.fixture(scope="session")
def cdnow() -> dict[str, float]:
    return dict(CDNOW)


@pytest.fixture(scope="session")
def spend() -> dict[str, float]:
    return dict(SPEND)


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
