"""Pareto/GGG through every question that a posterior answers, on customers whose regularity differs."""

import math

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.predictions.synthetic import simulate_orders
from bayes_clv.scoring.evaluation import evaluate
from bayes_clv.scoring.tracking import simulate_tracking
from tests.symbols import paper

pareto_ggg = paper("pareto_ggg")

SIGMAS = 4.5
DRAWS = 200
HORIZON = 20.0
VALUES = dict(zip(pareto_ggg.PARAMETERS, (3.0, 1.0, 1.2, 6.0, 1.3, 40.0), strict=True))


def assert_mean(sample, expected=0.0):
    sample = np.asarray(sample, dtype=float).ravel()
    assert abs(sample.mean() - expected) <= SIGMAS * sample.std() / math.sqrt(sample.size) + 1e-6


@pytest.fixture(scope="module")
def buying(make_posterior):
    return make_posterior("pareto_ggg", VALUES, sd=0.1, chains=2, draws=DRAWS // 2)


@pytest.fixture(scope="module")
def spending(make_spending):
    return make_spending(draws=DRAWS // 2)


@pytest.fixture(scope="module")
def customers():
    rng, size = np.random.default_rng(1), 24
    age = np.full(size, 39.0)
    x, t_x, log_intervals = pareto_ggg.simulate(rng, age, **VALUES)
    spent = np.where(x > 0, rng.gamma(4, 9, size), np.nan)
    columns = {
        "frequency": x,
        "recency": t_x,
        "T": age,
        "log_intervals": log_intervals,
        "monetary_value": spent,
    }
    return xr.Dataset(
        {name: ("customer", column) for name, column in columns.items()},
        coords={"customer": np.array([f"c{i:02d}" for i in range(size)], dtype=object)},
        attrs={"time_unit": "week", "until": "1997-09-30"},
    )


def test_the_simulated_future_has_the_closed_forms_mean_and_distribution(buying, customers):
    future = clv.predict(buying, customers, HORIZON, seed=1, keep_draws=True)
    expected = clv.expected.purchases(buying, customers, HORIZON, draws=DRAWS)
    assert expected.sizes["draw"] == DRAWS // 2
    assert_mean(future["purchases_total"] - expected.sum("customer"))
    pmf = clv.expected.pmf(buying, customers, HORIZON, max_count=2, draws=100).mean("customer")
    # The pmf is of every other draw: their spread of 0.1 in the logarithms moves it by less than the error here.
    for n in range(2):
        assert_mean((future["purchases"] == n).mean("customer"), float(pmf.sel(count=n)))
    active = clv.expected.active(buying, customers, HORIZON, draws=100)
    np.testing.assert_allclose(active.mean(), 1 - pmf.sel(count=0), rtol=1e-9)
    for name in ("probability_alive", "purchase_rate_mean", "dropout_rate_mean", "regularity_mean"):
        assert np.isfinite(future[name]).all()
    assert future["regularity_mean"].attrs["level"] == "latent"
    # Both of the family's closed_form_draws.
    alive = clv.expected.alive(buying, customers)
    np.testing.assert_allclose(future["probability_alive"], alive.mean(("chain", "draw")), rtol=1e-12)


def test_slow_closed_forms_are_of_fewer_draws_and_say_so(buying, spending, customers):
    some = customers.isel(customer=slice(3))
    every = clv.expected.alive(buying, some, draws=DRAWS)
    assert every.attrs["reasons"] == []
    few = clv.expected.alive(buying, some)
    assert (
        few.attrs["draws"]
        == few.sizes["chain"] * few.sizes["draw"]
        == pareto_ggg.FAMILY.forecast.closed_form_draws
    )
    assert few.attrs["reasons"] == [
        "Computed of 50 of 200 posterior draws, because the closed forms of Pareto/GGG are slow; draws=200 uses them "
        "all."
    ]
    # The draws kept are those of the whole, by label.
    xr.testing.assert_allclose(few.drop_attrs(), every.sel(draw=few["draw"]).drop_attrs(), rtol=1e-12)
    given = {"horizon": HORIZON, "annual_discount_rate": 0.5, "margin": 0.3}
    value = clv.expected.value(buying, spending, some, **given)
    assert value["value_expected_total"].size == value.attrs["draws"] == 50
    assert "of 50 of 200 posterior draws" in value.attrs["reasons"][0]
    whole = clv.expected.value(buying, spending, some, draws=DRAWS, **given)
    assert whole.attrs["draws"] == DRAWS
    assert whole.attrs["reasons"] == []
    np.testing.assert_allclose(value["value_expected"], whole["value_expected"], rtol=0.1)
    for found in (
        clv.expected.pmf(buying, some, HORIZON, max_count=2),
        clv.expected.retention(buying, some, [HORIZON]),
        clv.expected.residual(buying, some, 5.0),
    ):
        assert found.attrs["draws"] == 50
    with pytest.raises(clv.InputError, match="draws=0 must be at least 1"):
        clv.expected.alive(buying, some, draws=0)


def test_threads_and_company_change_nothing(buying, customers):
    whole = clv.predict(buying, customers, HORIZON, seed=2, threads=2)
    alone = clv.predict(buying, customers.isel(customer=slice(5, 9)), HORIZON, seed=2, threads=1)
    xr.testing.assert_equal(whole["purchases_mean"].isel(customer=slice(5, 9)), alone["purchases_mean"])


def test_value_simulated_and_expected(buying, spending, customers):
    some = customers.isel(customer=slice(8))
    given = {"horizon": HORIZON, "annual_discount_rate": 0.5, "margin": 0.3}
    simulated = clv.predict(buying, some, spending=spending, seed=2, **given)
    expected = clv.expected.value(buying, spending, some, draws=DRAWS, **given)
    assert_mean(simulated["value_total"] - expected["value_expected_total"])


def test_a_cohort_from_its_first_order(buying, spending):
    cohort = clv.predict_cohort(
        buying, spending, 40, horizon=HORIZON, annual_discount_rate=0.5, seed=3, periods=2
    )
    assert_mean(cohort["purchases_total"] - 40 * cohort["purchases_expected"])
    assert_mean(cohort["value_total"] - 40 * cohort["value_expected"])


def test_survival_and_the_wait(buying, customers):
    some = customers.isel(customer=slice(6))
    curve = clv.expected.retention(buying, some, [HORIZON, 10 * HORIZON], draws=DRAWS)
    now = clv.expected.alive(buying, some, draws=DRAWS)
    np.testing.assert_allclose(curve["alive_mean"].isel(time=0), now.mean(("chain", "draw")), rtol=1e-12)
    assert (curve["alive_mean"].diff("time") < 0).all()
    waiting = clv.next_purchase(buying, some, quantiles=[0.1, 0.5], seed=3)
    assert ((waiting["probability_ever"] >= 0) & (waiting["probability_ever"] <= 1)).all()
    wait = waiting["wait"].sel(quantile=0.1)
    for i in np.flatnonzero(np.isfinite(wait))[:2]:
        by_then = clv.expected.active(buying, some.isel(customer=[i]), float(wait[i]), draws=DRAWS).item()
        # A quantile of draws, one of them.
        assert by_then == pytest.approx(0.1, abs=SIGMAS * 0.3 / math.sqrt(DRAWS) + 1 / DRAWS)


def test_residual_transactions_and_their_reason(make_posterior, customers):
    some = customers.isel(customer=slice(3))
    heavy = make_posterior("pareto_ggg", VALUES | {"s": 0.9}, sd=0.0, chains=1, draws=2)
    worth = clv.expected.residual(heavy, some, 0.15)
    assert np.isfinite(worth).all()
    undiscounted = clv.expected.residual(heavy, some, 0.0)
    assert np.isinf(undiscounted).all()
    assert undiscounted.attrs["reasons"]


def test_a_customers_own_regularity_is_among_its_own_numbers(buying, customers):
    own = clv.predict(buying, customers, HORIZON, own=True, seed=4, keep_draws=True)
    for name in ("purchase_rate", "dropout_rate", "regularity"):
        assert own[name].dims == ("chain", "draw", "customer")
        assert (own[name] > 0).all()
        assert (own[f"{name}_q05"] <= own[f"{name}_q95"]).all()
    # The mean of 200 draws against the closed form.
    error = own["regularity_sd"] / math.sqrt(DRAWS)
    drawn = own["regularity"].mean(("chain", "draw"))
    assert (abs(drawn - own["regularity_mean"]) < SIGMAS * 1.5 * error).all()


def test_orders_their_summary_and_tracking(buying):
    orders = simulate_orders(
        VALUES, customers=60, seed=5, family="pareto_ggg", start="2024-01-01", until="2024-12-29"
    )
    customers = clv.summarize(
        orders, until="2024-09-29", holdout_until="2024-12-29", spend=None, also=("log_intervals",)
    )
    tracking = simulate_tracking(buying, customers, seed=6, draws=100)
    assert tracking["purchases"].sizes["draw"] == 50
    horizon = float(customers.attrs["holdout_duration"])
    future = clv.predict(buying, customers, horizon, seed=7)
    scored = evaluate(future, customers, buying=buying, draws=4)
    assert np.isfinite(scored["log_score"].sel(forecast="model"))


def test_without_log_intervals_the_column_and_its_source_are_named(buying, customers):
    lacking = customers.drop_vars("log_intervals")
    for ask in (
        lambda: clv.predict(buying, lacking, HORIZON, seed=1),
        lambda: clv.expected.purchases(buying, lacking, HORIZON),
        lambda: clv.next_purchase(buying, lacking, seed=1),
        lambda: clv.fit("pareto_ggg", lacking, method="laplace", seed=1),
    ):
        with pytest.raises(clv.InputError, match=r"'log_intervals'.*also=\('log_intervals',\)"):
            ask()
