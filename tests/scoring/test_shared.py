"""What moves all customers at once does not fail a check of a group of them more often than is promised."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.scoring.shared import shared_error
from bayes_clv.views.reporting.checks import score_problems

SIZE, DRAWS, WORLDS, HORIZON = 400, 300, 60, 26.0


def world(rng: np.random.Generator, shock: float, miss: float = 1.0) -> xr.Dataset:
    """Return the evaluation of a forecast that is the truth, but for ``miss``: rates, and a season of all customers."""
    often = rng.random(SIZE) < 0.3
    rate = np.where(often, rng.gamma(9.0, 0.6, SIZE), rng.gamma(0.8, 0.9, SIZE))
    seasons = np.exp(shock * rng.standard_normal(DRAWS + 1))
    purchases = rng.poisson(seasons[:, None] * rate).astype(float)
    ids = [f"c{i:03d}" for i in range(SIZE)]
    frequency = np.where(often, 8, 1)
    real = rng.poisson(miss * seasons[-1] * rate) if miss != 1 else purchases[-1].astype(int)
    customers = xr.Dataset(
        {
            "frequency": ("customer", frequency),
            "recency": ("customer", np.full(SIZE, 20.0)),
            "T": ("customer", np.full(SIZE, 39.0)),
            "holdout_purchases": ("customer", real),
        },
        coords={"customer": ids},
        attrs={"time_unit": "week", "until": "2024-06-30", "holdout_duration": HORIZON},
    )
    drawn = xr.DataArray(purchases[None, :-1], dims=("chain", "draw", "customer"), coords={"customer": ids})
    future = clv.scoring.forecast(customers, HORIZON, purchases=drawn)
    return clv.evaluate(future, customers, baselines=())


@pytest.fixture(scope="module")
def fired() -> dict[str, int]:
    rng = np.random.default_rng(8)
    codes = [each.code for _ in range(WORLDS) for each in score_problems(world(rng, 0.5))]
    return {code: codes.count(code) for code in ("holdout_tenth", "holdout_frequent")}


def test_a_season_of_all_does_not_fail_tenths(fired):
    # Ten tenths beyond 3 errors: 2.7 % of worlds, so that of 60 more than 8 have a probability below 1e-4. Errors of
    # independent customers failed 16 of them.
    assert fired["holdout_tenth"] <= 8


def test_a_season_of_all_does_not_fail_frequent_buyers(fired):
    # 1 % of worlds, and of 300 draws' own quantile: of 60 more than 5 have a probability below 1e-3. The
    # binomial of independent customers failed 11 of them.
    assert fired["holdout_frequent"] <= 5


def test_without_a_season_errors_are_those_of_independent_customers():
    # All buyers vary by chance alone, whose variance in 300 draws is off by 2 sqrt(2 / 300) = 16 % at most, 2 errors:
    # of the variance of all, of which a tenth has a tenth, it adds 1.6 % to a tenth's and less than 1 % to its root.
    found = world(np.random.default_rng(3), 0.0).isel(forecast=0)
    share, size = (found[f"retention_{name}_by_tenth"].values for name in ("predicted", "customers"))
    alone = np.sqrt(share * (1 - share) / size)
    assert (found["retention_real_by_tenth_se"].values <= 1.1 * alone + 1e-9).all()


def test_a_known_season_gives_its_spread():
    # Of chances .2 and .6 and so many customers that chance is nothing the spread is that of 1 - (1 - chance)^c.
    rng = np.random.default_rng(5)
    chance, size = np.array([0.2, 0.6]), np.array([1e6, 1e6])
    c = np.exp(0.2 * rng.standard_normal(4000))
    each = 1 - (1 - chance) ** c[:, None]
    future = xr.Dataset(
        {
            "active_total": (("chain", "draw"), (each @ size)[None]),
            "probability_active": ("customer", chance),
        }
    )
    np.testing.assert_allclose(shared_error(chance, size, future), each.std(axis=0, ddof=1), rtol=1e-3)
    assert (shared_error(chance, size, future.drop_vars("active_total")) == 0).all()
    np.testing.assert_array_equal(shared_error(np.array([0.2, np.nan]), np.array([1e6, 0]), future)[1], 0.0)


def test_frequent_buyers_who_differ_still_fail():
    rng = np.random.default_rng(2)
    codes = [each.code for each in score_problems(world(rng, 0.1, miss=2.5))]
    assert "holdout_frequent" in codes
