import json
import math

import numpy as np
import pytest
import xarray as xr

from bayes_clv.predictions import expected
from bayes_clv.predictions.forecasts import CARRIED, predict
from bayes_clv.problems import read_problem
from bayes_clv.schema import QUANTILES, InputError
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

SIZE = 400


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(SIZE)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying()


@pytest.fixture(scope="module")
def future(buying, customers):
    return predict(buying, customers, "39 weeks", seed=3)


def test_the_summary_says_what_it_holds(future):
    assert future.attrs["horizon"] == 39.0
    assert future.attrs["time_unit"] == "week"
    assert {
        name: future[name].attrs["level"] for name in ("purchases_expected", "dropout_mean", "purchases_q05")
    } == {
        "purchases_expected": "expected",
        "dropout_mean": "latent",
        "purchases_q05": "outcome",
    }
    forecasts = [name for name in future if name not in CARRIED]
    assert all("level" in future[name].attrs and "units" in future[name].attrs for name in forecasts)
    assert not any(name.startswith(("value", "spend", "crps", "draws_")) for name in map(str, future))
    assert future["purchases_total"].dims == ("chain", "draw")


def test_outcome_and_expectation_agree_on_the_mean(future):
    # Over customers the simulation errors are independent; 4.5 standard errors of each and 4 of the sum.
    # 500 draws measure a standard deviation only where some 25 of them buy.
    error = future["purchases_sd"] / math.sqrt(future.attrs["draws"])
    gap = future["purchases_mean"] - future["purchases_expected"]
    often = future["probability_active"] > 0.05
    assert often.sum() > SIZE / 2
    assert (np.abs(gap) < 4.5 * error).values[often].all()
    assert abs(float(gap.sum())) < 4 * float(np.sqrt((error**2).sum()))


def test_totals_and_summaries_are_those_of_kept_draws(buying, customers, future):
    kept = predict(buying, customers, "39 weeks", seed=3, keep_draws=True)
    assert kept["purchases"].dims == ("chain", "draw", "customer")
    np.testing.assert_array_equal(kept["purchases"].sum("customer"), future["purchases_total"])
    flat = kept["purchases"].values.reshape(-1, SIZE)
    for q in QUANTILES:
        np.testing.assert_array_equal(
            future[f"purchases_q{round(100 * q):02d}"], np.quantile(flat, q, axis=0, method="inverted_cdf")
        )


def test_a_customer_has_the_same_future_in_any_company(buying, customers, future):
    order = np.random.default_rng(1).permutation(SIZE)
    shuffled = predict(buying, customers.isel(customer=order), "39 weeks", seed=3, threads=1)
    assert list(shuffled["customer"].values) == list(customers["customer"].values[order])
    xr.testing.assert_identical(shuffled.sel(customer=future["customer"]), future)
    few = predict(buying, customers.isel(customer=[7, 3]), "39 weeks", seed=3)
    names = [name for name in future if future[name].dims == ("customer",)]
    xr.testing.assert_identical(few[names], future[names].isel(customer=[7, 3]))


def test_the_seed_changes_the_future_and_its_repetition_does_not(buying, customers, future):
    xr.testing.assert_identical(predict(buying, customers, "39 weeks", seed=3), future)
    assert (
        predict(buying, customers, "39 weeks", seed=4)["purchases_mean"] != future["purchases_mean"]
    ).any()


@pytest.mark.parametrize(("unit", "per_week"), [("day", 7), ("hour", 168)])
def test_the_unit_of_time_changes_no_forecast(make_buying, customers, buying, future, unit, per_week):
    scaled = customers.assign(recency=customers["recency"] * per_week, T=customers["T"] * per_week)
    tree = buying.copy(deep=True)
    tree["posterior"]["alpha"] = tree["posterior"]["alpha"] * per_week
    tree.attrs["time_unit"] = unit
    other = predict(tree, scaled.assign_attrs(time_unit=unit), "39 weeks", seed=3)
    # The comparisons differ by rounding, 1e-16 of probability per draw, so counts are the same.
    for name in future:
        scale = {"purchase_rate_mean": per_week, "recency": 1 / per_week, "T": 1 / per_week}.get(name, 1)
        np.testing.assert_allclose(other[name] * scale, future[name], rtol=1e-9, err_msg=name)


def test_a_horizon_may_be_a_number_or_carry_its_unit(buying, customers, future):
    days = predict(buying, customers, "273 days", seed=3)
    xr.testing.assert_identical(days, future)
    xr.testing.assert_identical(predict(buying, customers, 39, seed=3), future)
    with pytest.raises(InputError, match="horizon='holdout', and the customers have none"):
        predict(buying, customers, "holdout", seed=3)
    as_long = predict(buying, customers.assign_attrs(holdout_duration=39.0), "holdout", seed=3)
    xr.testing.assert_identical(as_long["purchases_mean"], future["purchases_mean"])


def test_closed_forms_are_per_draw_and_per_customer(buying, customers):
    one = customers.isel(customer=[5, 2])
    draw = {name: float(buying["posterior"][name][1, 17]) for name in bg_nbd.PARAMETERS}
    for i in range(2):
        history = [float(one[name][i]) for name in ("frequency", "recency", "T")]
        for got, want in (
            (expected.alive(buying, one), bg_nbd.probability_alive(*history, **draw)),
            (expected.purchases(buying, one, "26 weeks"), bg_nbd.expected_purchases(26, *history, **draw)),
            (expected.survival(buying, one, "26 weeks"), bg_nbd.survival(26, *history, **draw)),
        ):
            assert got.dims == ("chain", "draw", "customer")
            assert got.attrs["level"] == "expected"
            assert float(got[1, 17, i]) == pytest.approx(float(want), rel=1e-12)


def test_averages_are_taken_over_draws_and_not_of_parameters(buying, customers, future):
    np.testing.assert_allclose(
        future["probability_alive"], expected.alive(buying, customers).mean(("chain", "draw")), rtol=1e-12
    )
    np.testing.assert_allclose(
        future["purchases_expected"],
        expected.purchases(buying, customers, 39).mean(("chain", "draw")),
        rtol=1e-12,
    )


def test_draws_that_do_not_fit_are_refused_with_their_size(buying, customers):
    # 500 draws of 400 customers: 4 bytes a count, 8 a probability.
    with pytest.raises(
        InputError, match=r"500 draws of 400 customers need 0\.0008 GB.*max_memory = 0\.0005 GB"
    ):
        predict(buying, customers, 39, seed=1, keep_draws=True, max_memory=5e5)
    with pytest.raises(InputError, match=r"need 0\.0016 GB"):
        expected.alive(buying, customers, max_memory=5e5)


def test_mismatched_units_and_repeated_customers_are_refused(make_buying, buying, customers):
    with pytest.raises(InputError, match="'day' and the customers' is 'week'"):
        predict(make_buying(time_unit="day"), customers, 39, seed=1)
    with pytest.raises(InputError, match="Each customer has one row"):
        predict(buying, customers.isel(customer=[0, 1, 1]), 39, seed=1)
    with pytest.raises(InputError, match="'recency' is above T"):
        predict(buying, customers.assign(T=customers["T"] / 100), 39, seed=1)
    with pytest.raises(InputError, match="must be positive and finite"):
        predict(buying, customers, 0, seed=1)


def test_the_problems_of_the_fit_are_passed_on(make_buying, customers, future):
    tree = make_buying(draws=5)
    tree.attrs["diagnostics"] = json.dumps({"passed": False, "problems": ["R-hat of r is 1.2."]})
    forecast = predict(tree, customers.isel(customer=[0]), 39, seed=1)
    (problem,) = (read_problem(each) for each in forecast.attrs["problems"])
    assert (problem.subject, problem.found) == ("bg_nbd", "R-hat of r is 1.2.")
    assert future.attrs["problems"] == []


def test_the_posterior_survives_a_file(buying, customers, future, tmp_path):
    buying.to_netcdf(tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc") as restored:
        xr.testing.assert_identical(predict(restored, customers, "39 weeks", seed=3), future)
