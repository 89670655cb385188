"""Forecasts of money where spend moves with its customer: fit, future, newcomers, and what is refused."""

import json

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.families.quantities import Prior, resolve
from bayes_clv.families.registry import family
from bayes_clv.inference.effects import learn_effects
from bayes_clv.views.reporting.fits import habits

ALSO = ("log_spend", "purchase_spend")
BUYING = {"r": 0.5, "alpha": 5.0, "a": 0.8, "b": 3.0}
TRUE = {"m": 27.0, "tau": 0.35, "sigma": 0.5, "growth": 1.8, "span": 52.0, "omega": 0.3, "kappa": 0.05}


@pytest.fixture(scope="module")
def customers():
    orders = clv.synthetic.simulate_orders(
        BUYING,
        TRUE,
        customers=900,
        seed=3,
        start="2024-01-01",
        until="2025-06-30",
        acquisition="13 weeks",
        spending_family="lognormal_spend_trend_drift",
    )
    return clv.summarize(orders, until="2024-12-30", holdout_until="2025-06-30", also=ALSO)


@pytest.fixture(scope="module")
def buying(customers):
    return clv.fit("bg_nbd", customers, method="laplace", draws=125, seed=1)


def fitted(customers, name="lognormal_spend", **options):
    return clv.fit(
        name, customers, **({"method": "laplace", "draws": 125, "seed": 2, "progress": False} | options)
    )


@pytest.fixture(scope="module")
def both(customers):
    return fitted(customers, trend=True, drift=True)


@pytest.fixture(scope="module")
def trend(customers):
    return fitted(customers, trend=True, include=("posterior_predictive", "log_likelihood"))


@pytest.fixture(scope="module")
def gamma(customers):
    return fitted(customers, "gamma_gamma", trend=True)


def quantiles(tree, name):
    return np.quantile(tree["posterior"][name], [0.005, 0.5, 0.995])


def test_what_moves_is_found_and_laplace_passes_its_checks(both, trend):
    for name, true in {
        "growth": 1.8,
        "drift_share": 0.09 / 0.2125,
        "spend_half_life": np.log(2) / 0.05,
    }.items():
        low, _, high = quantiles(both, name)
        assert low < true < high, name
    assert quantiles(trend, "growth")[0] > 1.2
    assert all(json.loads(each.attrs["diagnostics"])["passed"] for each in (both, trend))
    assert both.attrs["family"] == "lognormal_spend_trend_drift"
    # The longest age, in every draw.
    assert np.unique(both["posterior"]["span"]).size == 1


def test_nuts_agrees_with_laplace(customers, trend):
    """Medians of 500 and of 400 draws: 1.25 sd / sqrt(effective draws) each, 200 at the least."""
    sampled = fitted(customers, trend=True, method="nuts", draws=250, tune=300, chains=2)
    for name in ("growth", "population_spend", "tau", "sigma"):
        sd = float(trend["posterior"][name].std())
        assert abs(quantiles(sampled, name)[1] - quantiles(trend, name)[1]) < 4.5 * 1.25 * sd * np.sqrt(
            2 / 200
        )


@pytest.mark.parametrize("name", ["both", "gamma"])
def test_closed_forms_are_the_means_of_the_simulation(customers, buying, name, request):
    """Of existing customers and of new ones, draw by draw, within 4 standard errors."""
    spending = request.getfixturevalue(name)
    options = {"spending": spending, "annual_discount_rate": 0.1, "margin": 0.5}
    found = clv.predict(buying, customers, "26 weeks", seed=5, **options)
    known = clv.expected.value(
        buying, spending, customers, horizon="26 weeks", annual_discount_rate=0.1, margin=0.5
    )
    apart = (found["value_total"] - known["value_expected_total"]).to_numpy().ravel()
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(apart.size)
    assert abs(apart.mean()) < 0.03 * float(found["value_total"].mean())
    new = clv.predict_cohort(buying, spending, 2000, horizon="104 weeks", annual_discount_rate=0.1, seed=6)
    apart = (new["value_total"] / 2000 - new["value_expected"]).to_numpy().ravel()
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(apart.size)


def test_more_is_forecast_where_spend_has_grown(customers, buying, both):
    """With a growth of 1.8 over a year the static fit is too low; the holdout says so."""
    real = float(customers["holdout_spend"].sum())
    moving = clv.predict(buying, customers, "26 weeks", spending=both, seed=5)
    still = clv.predict(buying, customers, "26 weeks", spending=fitted(customers), seed=5)
    miss = [abs(np.log(float(each["spend_total"].mean()) / real)) for each in (moving, still)]
    assert miss[0] < miss[1]
    assert float(moving["spend_log_crps"].mean()) < float(still["spend_log_crps"].mean())


def test_a_future_belongs_to_customer_draw_and_seed(customers, buying, both):
    """Neither order, company nor threads change it; a shorter horizon is the beginning of a longer one."""
    options = {"spending": both, "seed": 7, "keep_draws": True}
    some = customers.isel(customer=slice(0, 60))
    known = clv.predict(buying, some, "26 weeks", **options)["spend"]
    turned = clv.predict(buying, some.isel(customer=slice(None, None, -1)), "26 weeks", threads=1, **options)[
        "spend"
    ]
    np.testing.assert_allclose(turned.sel(customer=known["customer"]), known, rtol=1e-12)
    longer = clv.predict(buying, some, "52 weeks", periods=2, **options)
    np.testing.assert_allclose(longer["value_period_total"].isel(period=0), known.sum("customer"), rtol=1e-12)
    simulation = clv.simulate(buying, some, "26 weeks", spending=both, draws=10**6, seed=7)
    _, block = next(simulation.blocks(["spend", "spend_per_purchase"]))
    np.testing.assert_allclose(
        block["spend"].sum(axis=0), known.sum("customer").to_numpy().ravel(), rtol=1e-9
    )
    assert (block["spend_per_purchase"] > 0).all()


def test_the_mean_spend_of_an_occasion_is_that_of_now(customers, buying, both):
    """What a customer's own level is in the mean of the draws, beside the closed form at the end of observation."""
    some = customers.isel(customer=np.flatnonzero(customers["frequency"] > 3)[:40])
    drawn = clv.simulate(buying, some, "26 weeks", spending=both, draws=10**6, seed=7)
    _, block = next(drawn.blocks(["spend_per_purchase"]))
    spending = drawn.inputs.spending
    columns, rows = drawn.inputs.histories.columns, drawn.inputs.histories.row
    known = spending.level.expected(spending.paid(columns, rows), spending.at(columns, rows))
    apart = block["spend_per_purchase"].mean(axis=0) - known.mean(axis=0)
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(apart.size)


def test_sentences_say_what_was_learned(customers, both, gamma):
    words = habits(both, customers)
    assert "An order" in words
    assert "times the first" in words
    assert "drifts" in words
    assert "half-life" in words
    assert "drifts" not in habits(gamma, customers)


def test_posteriors_and_customers_come_back_from_files(tmp_path, customers, buying, trend):
    known = clv.predict(buying, customers.isel(customer=slice(0, 50)), "26 weeks", spending=trend, seed=5)
    trend.to_netcdf(tmp_path / "spending.nc", engine="h5netcdf")
    again = clv.load(tmp_path / "spending.nc")
    found = clv.predict(buying, customers.isel(customer=slice(0, 50)), "26 weeks", spending=again, seed=5)
    np.testing.assert_array_equal(found["spend_mean"], known["spend_mean"])


def test_replicated_bases_are_of_the_family(trend):
    found = trend
    (name,) = [each for each in found["posterior_predictive"].data_vars if each.startswith("customers_by")]
    replicated = found["posterior_predictive"][name].mean(("chain", "draw"))
    assert float(replicated.sum()) == float(found["observed_data"][name].sum())
    # Not half of the customers are in another twentieth than they were.
    assert float(np.abs(replicated - found["observed_data"][name]).sum()) < 0.25 * float(replicated.sum())
    assert np.isfinite(found["log_likelihood"]["log_spend_mean"]).all()


def test_groups_act_on_what_moves_and_not_on_where_it_ends(customers):
    kinds = np.where(np.arange(customers.sizes["customer"]) % 2, "a", "b")
    grouped = customers.assign(kind=("customer", kinds.astype(object)))
    found = learn_effects(family("lognormal_spend_trend"), grouped, None, "kind")
    assert {each.quantity for each in found.each} == {"population_spend", "tau", "sigma", "growth"}
    with pytest.raises(clv.InputError, match="'trend_span' is one number for all customers"):
        fitted(grouped, trend=True, groups={"trend_span": "kind"})


def test_what_cannot_be_is_refused(customers, buying, trend):
    lacking = customers.drop_vars(["purchase_spend", "spend_start"])
    with pytest.raises(clv.InputError, match=r"lack 'spend_start'.*also=\('purchase_spend',\)"):
        fitted(lacking, trend=True)
    with pytest.raises(clv.InputError, match=r"also=\('log_spend', 'purchase_spend'\)"):
        clv.predict(buying, lacking, "26 weeks", spending=trend, seed=1)
    doubled = customers.assign(purchase_spend=2 * customers["purchase_spend"])
    with pytest.raises(
        clv.InputError, match="'purchase_spend' is not of the mean that monetary_value says.*customer 'c"
    ):
        fitted(doubled, trend=True)
    with pytest.raises(clv.InputError, match="'purchase_spend' is negative, missing or infinite for"):
        fitted(customers.assign(purchase_spend=-customers["purchase_spend"]), trend=True)
    with pytest.raises(
        clv.InputError, match="misses small scales of a calendar of spend. Give method='nuts'"
    ):
        fitted(customers, trend=True, calendar=clv.inference.Calendar())
    with pytest.raises(clv.InputError, match="is a number that is not learned"):
        fitted(customers, trend=True, priors={"trend_span": Prior("LogNormal", mu=3, sigma=1)})
    with pytest.raises(clv.InputError, match="no exact filter is known"):
        fitted(customers, "gamma_gamma", drift=True)
    given = customers["purchase_spend"].to_numpy().copy()
    first = int(customers["spend_start"].to_numpy()[int(np.argmax(customers["frequency"].to_numpy() > 1))])
    given[first + 1] += given[first]
    given[first] = 0.0
    with pytest.raises(clv.InputError, match=r"1 of \d+ customers have a repeat purchase for nothing"):
        fitted(customers.assign(purchase_spend=("repeat_purchase", given)), "gamma_gamma", trend=True)
    returning = clv.fit("bg_nbd", customers.isel(customer=slice(0, 200)), method="mode", seed=1)
    with pytest.raises(clv.InputError, match="gone for ever"):
        clv.targeting.win_back(returning, customers, "26 weeks", spending=trend)


def test_the_end_of_a_trend_can_be_said(customers, trend):
    """A trend that ends early is another one: its growth is of that age."""
    record = family("lognormal_spend_trend")
    scale = record.scale({"T": np.array([9.0, 39.0]), "log_spend_mean": np.array([3.0, 3.5])}, np.ones(2))
    for priors in ({}, "flat"):
        resolved = resolve(record.quantities, priors, scale)
        assert resolved["trend_span"] == Prior("Fixed", value=39.0)
    assert resolve(record.quantities, {"trend_span": 13}, scale)["trend_span"] == Prior("Fixed", value=13.0)
    assert float(trend["posterior"]["span"].mean()) == float(customers["T"].max())
