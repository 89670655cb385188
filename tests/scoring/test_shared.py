"""What moves all customers at once does not fail a check of a group of them more often than is promised."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.predictions.scores import CHANCE_ENDS, CHANCES, active_by_chance, chance_classes
from bayes_clv.problems import UNLIKELY
from bayes_clv.schema import ACTIVE_BY_CHANCE
from bayes_clv.scoring.groups import groups, tenths
from bayes_clv.scoring.shared import buyer_chances, shared_variance
from bayes_clv.views.reporting.checks import score_problems

SIZE, DRAWS, WORLDS, HORIZON = 400, 300, 60, 26.0


def world(rng: np.random.Generator, shock: float, miss: float = 1.0, asleep: int = 0) -> xr.Dataset:
    """Return the evaluation of a forecast that is the truth, but for ``miss``: rates, and a season of all customers.

    ``asleep`` customers more have a rate of .012.
    """
    often = rng.random(SIZE) < 0.3
    rate = np.where(often, rng.gamma(9.0, 0.6, SIZE), rng.gamma(0.8, 0.9, SIZE))
    often, rate = (np.r_[each, np.full(asleep, more)] for each, more in ((often, False), (rate, 0.012)))
    seasons = np.exp(shock * rng.standard_normal(DRAWS + 1))
    purchases = rng.poisson(seasons[:, None] * rate).astype(float)
    real = rng.poisson(miss * seasons[-1] * rate) if miss != 1 else None
    customers, future = forecast_of(purchases, np.where(often, 8, 1), real)
    return clv.evaluate(future, customers, baselines=())


def forecast_of(
    purchases: np.ndarray, frequency: np.ndarray, real: np.ndarray | None = None
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return customers and their forecast, all but the last of ``purchases`` (draw, customer); the last is ``real``."""
    real = purchases[-1].astype(int) if real is None else real
    size = frequency.size
    ids = [f"c{i:04d}" for i in range(size)]
    customers = xr.Dataset(
        {
            "frequency": ("customer", frequency),
            "recency": ("customer", np.full(size, 20.0)),
            "T": ("customer", np.full(size, 39.0)),
            "holdout_purchases": ("customer", real),
        },
        coords={"customer": ids},
        attrs={"time_unit": "week", "until": "2024-06-30", "holdout_duration": HORIZON},
    )
    drawn = xr.DataArray(purchases[None, :-1], dims=("chain", "draw", "customer"), coords={"customer": ids})
    return customers, clv.scoring.forecast(customers, HORIZON, purchases=drawn)


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


def test_a_season_of_all_does_not_fail_those_given_up():
    # Beyond 3 errors are 1 of 741 worlds, more where a lognormal season's tail is thicker than the beta-binomial's: of
    # 1 % in 30 worlds more than 3 have a probability below 1e-3. Independent customers failed 7 of them.
    rng = np.random.default_rng(12)
    codes = [each.code for _ in range(30) for each in score_problems(world(rng, 0.8, asleep=1000))]
    assert codes.count("holdout_unlikely") <= 3


def test_those_given_up_who_come_back_fail_in_any_season():
    found = world(np.random.default_rng(4), 0.3, asleep=300)
    customers, expected = (float(found[f"unlikely_{name}"][0]) for name in ("customers", "expected"))
    assert customers > 200
    back = found.assign(unlikely_retained=("forecast", [6 * expected]))
    assert "holdout_unlikely" in [each.code for each in score_problems(back)]
    assert "holdout_unlikely" not in [each.code for each in score_problems(found)]


def test_without_a_season_errors_are_those_of_independent_customers():
    # All buyers vary by chance alone, whose variance in 300 draws is off by 2 sqrt(2 / 300) = 16 % at most, 2 errors,
    # which is 8 % of its root. Of the tenth that is certain to buy the class has a few who are not.
    found = world(np.random.default_rng(3), 0.0).isel(forecast=0)
    share, size = (found[f"retention_{name}_by_tenth"].values for name in ("predicted", "customers"))
    alone = np.sqrt(share * (1 - share) / size)
    assert (found["retention_real_by_tenth_se"].values <= 1.1 * alone + 2e-3).all()


def test_tenths_vary_as_the_draws_have_it():
    # Not all move alike: the frequent ones buy more in the draws in which the others buy less.
    rng = np.random.default_rng(5)
    rate = np.r_[rng.gamma(0.5, 0.5, 750), rng.gamma(9, 0.2, 250)]
    moves = 0.4 * np.clip(np.log(rate / 0.5), -1, 1)
    bought = rng.poisson(np.exp(moves * rng.standard_normal((1000, 1))) * rate) > 0
    share = bought.mean(axis=0)
    future = xr.Dataset(
        {
            ACTIVE_BY_CHANCE: (("chain", "draw", "chance"), active_by_chance(bought)[None]),
            "probability_active": ("customer", share),
        }
    )
    tenth = tenths(share)
    counts = np.stack([bought[:, tenth.place == each].sum(axis=1) for each in range(10)], axis=1)
    alone = np.array([(share * (1 - share))[tenth.place == each].sum() for each in range(10)])
    # Standard deviations of 1,000 draws have an error of 1 / sqrt(2000) = 2.2 %; a class is cut where a tenth ends, so
    # that each part has the mean of its class.
    np.testing.assert_allclose(
        np.sqrt(shared_variance(tenth, future) + alone), counts.std(axis=0, ddof=1), rtol=0.1
    )
    # One factor for all, read from how many buy in all, would have next to nothing of it: they cancel.
    assert np.corrcoef(counts.T)[2, 8] < -0.1
    # Of a group that is whole classes it is what was counted.
    low = groups(np.where(share < UNLIKELY, 0, -1), 1)
    own = bought[:, share < UNLIKELY].sum(axis=1).var(ddof=1) - (share * (1 - share))[share < UNLIKELY].sum()
    assert shared_variance(low, future)[0] == pytest.approx(max(own, 0.0))
    assert (shared_variance(tenth, future.drop_vars(ACTIVE_BY_CHANCE)) == 0).all()


def test_who_buys_is_counted_by_chance(make_buying, make_customers):
    customers = make_customers(400, seed=3).assign(holdout_purchases=("customer", np.ones(400, dtype=int)))
    customers.attrs["holdout_duration"] = 13.0
    future = clv.predict(make_buying(draws=60), customers, 13.0, seed=2, keep_draws=True)
    bought = future["purchases"].values.reshape(120, 400) > 0
    found = future[ACTIVE_BY_CHANCE]
    assert found.dims == ("chain", "draw", "chance")
    np.testing.assert_array_equal(found.values.reshape(120, CHANCES), active_by_chance(bought))
    np.testing.assert_array_equal(found.sum("chance"), future["active_total"])
    alone = clv.predict(make_buying(draws=60), customers, 13.0, seed=2, threads=1)
    np.testing.assert_array_equal(alone[ACTIVE_BY_CHANCE], found)
    without = clv.predict(make_buying(draws=60), customers.drop_vars("holdout_purchases"), 13.0, seed=2)
    assert ACTIVE_BY_CHANCE not in without
    # A closed form gives another probability; who was counted where is known still.
    closed = clv.scoring.forecasts.with_closed_form(
        future, customers, make_buying(draws=60), draws=5, threads=1
    )
    every = groups(np.zeros(400, dtype=int), 1)
    assert shared_variance(every, closed)[0] == pytest.approx(shared_variance(every, future)[0])


def test_classes_of_chance_end_where_customers_are_given_up():
    assert UNLIKELY in CHANCE_ENDS
    assert (np.diff(CHANCE_ENDS) > 0).all()
    assert chance_classes(np.array([0.0, 0.0299, 0.03, 1.0])).tolist() == [0, 4, 5, CHANCES - 1]


@pytest.mark.parametrize(
    ("customers", "chance", "error"), [(13, 0.02, 0.06), (200, 0.3, 0.1), (50, 0.99, 0.02)]
)
def test_chances_of_buyers_have_the_mean_and_the_error_that_are_given(customers, chance, error):
    n, found = np.arange(customers + 1), buyer_chances(customers, chance, error)
    assert found.sum() == pytest.approx(1)
    assert found @ n == pytest.approx(customers * chance)
    assert np.sqrt(found @ (n - customers * chance) ** 2) == pytest.approx(customers * error)
    # Never less than by chance alone.
    np.testing.assert_allclose(buyer_chances(customers, chance, 0.001), buyer_chances(customers, chance))


def test_nobody_of_those_without_a_chance_is_no_miss():
    found = world(np.random.default_rng(3), 0.0)
    none = found["retention_predicted_by_tenth"].copy()
    real = found["retention_real_by_tenth"].copy()
    none[0, 0], real[0, 0] = 0.0, 0.0
    changed = found.assign(retention_predicted_by_tenth=none, retention_real_by_tenth=real)
    assert [each.code for each in score_problems(changed)] == [each.code for each in score_problems(found)]


def test_frequent_buyers_who_differ_still_fail():
    rng = np.random.default_rng(2)
    codes = [each.code for each in score_problems(world(rng, 0.1, miss=2.5))]
    assert "holdout_frequent" in codes


def test_a_forecast_of_an_older_version_says_that_its_tenths_are_those_of_independent_customers():
    rng = np.random.default_rng(9)
    purchases = rng.poisson(np.exp(0.5 * rng.standard_normal(DRAWS + 1))[:, None] * rng.gamma(2, 0.5, 200))
    customers, future = forecast_of(purchases, np.full(200, 2))
    told = [
        each for each in clv.evaluate(future, customers, baselines=()).attrs["reasons"] if "version" in each
    ]
    assert not told
    old = clv.evaluate(future.drop_vars(ACTIVE_BY_CHANCE), customers, baselines=())
    assert any("did not count" in each and "Predict again" in each for each in old.attrs["reasons"])
    # One future, or means alone, have nothing to count.
    means = clv.scoring.forecast(customers, HORIZON, purchases=purchases.mean(axis=0))
    assert not any("did not count" in each for each in clv.evaluate(means, customers).attrs["reasons"])
