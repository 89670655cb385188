"""The two families whose integrals are dear, Pareto/NBD (Abe) and Pareto/GGG, along the whole road: every verb once.

What a forecast must be is tested beside each stage (tests/predictions); here that every stage takes what the one before
it hands over: a posterior by NUTS, its checks and comparisons, forecasts, decisions, and every section of the report.
"""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.families.registry import family as module_of
from tests.symbols import paper

NEWEST = ("pareto_abe", "pareto_ggg")
HORIZON = "39 weeks"
MONEY = {"horizon": HORIZON, "margin": 0.3, "annual_discount_rate": 0.1}
VALUES = {
    "pareto_abe": (0.03, 1.2, 0.03, 1.6, 0.5),
    "pareto_ggg": (3.0, 2.0, 0.55, 10.6, 1.2, 11.7),
}
GROUPS = ("prior", "prior_predictive", "posterior_predictive", "log_prior", "log_likelihood")


@pytest.fixture(scope="module", params=NEWEST)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def some():
    """The first customers of CDNOW, with what regular timing needs."""
    orders = clv.load_cdnow()
    customers = clv.summarize(orders, until="1997-09-30", holdout_until="1998-06-30", also=("log_intervals",))
    return orders, customers.isel(customer=slice(100))


@pytest.fixture(scope="module")
def known(name, make_posterior):
    values = dict(zip(module_of(name).parameters, VALUES[name], strict=True))
    return make_posterior(name, values, sd=0.1, chains=2, draws=10)


def test_segments_and_alarms(known, some, make_spending):
    customers = some[1].sortby("frequency").isel(customer=slice(-24, None))
    spending = make_spending(draws=10)
    draws = clv.simulate(known, customers, spending=spending, seed=1, draws=20, **MONEY)
    for rule in (clv.segments.abc("value"), clv.segments.lifecycle(), clv.segments.rfm(scores=2)):
        segments = clv.segment(draws, rule, totals=("purchases", "value"))
        np.testing.assert_allclose(segments["membership"].sum("segment"), 1.0)
        assert np.isfinite(segments["value_total"]).all()
    value = clv.predict(known, customers, spending=spending, seed=2, **MONEY)
    warned = clv.churn_alarms(known, customers, value=value)
    assert (warned["alarmed"] == (warned["probability_alive"] <= warned.attrs["threshold"])).all()
    assert np.isfinite(warned["value_at_risk"]).all()


@pytest.mark.full
def test_a_posterior_by_nuts_answers_every_question(name, some, tmp_path):
    orders, customers = some
    buying = clv.fit(name, customers, draws=150, tune=200, chains=2, seed=1, progress=False, include=GROUPS)
    spending = clv.fit("gamma_gamma", customers, method="laplace", draws=75, seed=2)
    simpler = clv.fit("pareto_nbd", customers, method="laplace", draws=75, seed=3, include=GROUPS)

    found = clv.diagnostics(buying)
    assert found["divergences"] == 0
    # Draws enough to compare families by, not to report of.
    assert found["rhat_max"] < 1.1
    left_out = clv.inference.loo(buying)
    assert not left_out.warning
    table = clv.compare({name: buying, "pareto_nbd": simpler})
    # Nearly the same model of a hundred customers: no difference of more than a few nats is possible.
    assert table["elpd_diff"].abs().max() < 10
    sensitivity = clv.inference.prior_sensitivity(buying)
    assert set(module_of(name).quantities) <= set(sensitivity.index)
    assert np.isfinite(sensitivity[["prior", "likelihood"]].to_numpy()).all()

    held_out = clv.predict(buying, customers, float(customers.attrs["holdout_duration"]), seed=4)
    tracking = clv.scoring.simulate_tracking(buying, customers, seed=5)
    evaluation = clv.evaluate(held_out, customers, buying=buying, tracking=tracking)
    assert np.isfinite(evaluation["log_score"].sel(forecast="model"))
    length = float(customers.attrs["holdout_duration"])
    futures = {name: held_out, "pareto_nbd": clv.predict(simpler, customers, length, seed=4)}
    both = clv.evaluate(futures, customers, buying={name: buying, "pareto_nbd": simpler})
    # Alike to a tenth: the data say little of what tells them apart.
    assert float(both["crps"].sel(forecast=name)) == pytest.approx(
        float(both["crps"].sel(forecast="pareto_nbd")), rel=0.1
    )
    clv.save(buying, tmp_path / "buying.nc")
    again = clv.load(tmp_path / "buying.nc")
    value = clv.predict(again, customers, spending=spending, seed=6, **MONEY)
    expected = clv.expected.value(again, spending, customers.isel(customer=slice(20)), **MONEY)
    assert np.isfinite(expected["value_expected"]).all()
    two = customers.isel(customer=slice(2))
    assert np.isfinite(clv.expected.residual(again, two, 0.5, draws=20)).all()
    days = clv.customers.purchase_dates(
        orders, str(customers["customer"].values[np.argmax(customers["frequency"].values)])
    )
    clv.report(
        tmp_path / "report.html",
        buying=again,
        spending=spending,
        customers=customers,
        value=value,
        evaluation=evaluation,
        tracking=tracking,
        history={"busiest": days[days <= np.datetime64("1997-09-30")]},
        figures=tmp_path / "figures",
    )
    page = (tmp_path / "report.html").read_text()
    assert "not drawn" not in page
    for part in (
        "holdout",
        "tracking",
        "value",
        "customers",
        "parameters",
        "purchases-sensitivity",
        "diagnostics",
    ):
        assert f'id="{part}"' in page, part
    clv.views.plot_prior(again)


POPULATION = {
    "pareto_abe": {"log_rate_sd": 0.4, "population_dropout_rate": 0.01, "log_dropout_sd": 0.8, "concordance": 0.5},
    "pareto_ggg": {
        "regularity_shape": 3.0, "population_regularity": 2.0, "r": 5.0, "population_lifetime": 60.0, "s": 2.0,
    },
}  # fmt: skip
SLOPE, SOCIAL = 0.6, -1.0


def with_columns(name, size=200):
    """Return customers who buy exp(0.6) times as fast a unit of x, and exp(-1) times in one of three channels."""
    module, rng = paper(name), np.random.default_rng(1)
    x, channel = rng.normal(size=size), rng.choice(["search", "shop", "social"], size)
    rate = 0.15 * np.exp(SLOPE * x + SOCIAL * (channel == "social"))
    parameters = module.parameters(POPULATION[name] | {"population_purchase_rate": rate})
    history = module.simulate(rng, np.full(size, 39.0), **parameters)
    table = pd.DataFrame(dict(zip(("frequency", "recency", "log_intervals"), history, strict=False)))
    return table.assign(
        customer_id=[f"c{i:03d}" for i in range(size)], T=39.0, monetary_value=30.0, x=x, channel=channel
    )


@pytest.mark.full
def test_a_covariate_and_groups_from_fit_to_report(name, tmp_path, make_spending):
    table = with_columns(name)
    read = clv.customers.from_table(table, time_unit="week", columns=["x", "channel"])
    fitted = clv.fit(
        name, read, covariates={"purchase": "x"}, groups={"purchase": "channel"},
        draws=125, tune=200, chains=2, seed=1, progress=False, include=("log_prior", "log_likelihood", "prior"),
    )  # fmt: skip
    drawn = fitted["posterior"]
    # Numbers are standardised in the fit. Two comparisons: one false alarm in 500.
    slope = drawn["purchase_coefficient"] / table["x"].std(ddof=0)
    assert abs(float(slope.mean()) - SLOPE) < 3.3 * float(slope.std())
    assert float(slope.mean()) > 3.3 * float(slope.std())
    offset = drawn["purchase_channel_offset"]
    gap = offset.sel(channel="social") - offset.sel(channel="search")
    assert abs(float(gap.mean()) - SOCIAL) < 3.3 * float(gap.std())
    assert clv.diagnostics(fitted)["divergences"] <= 2
    assert clv.inference.loo(fitted).n_data_points == len(table)

    # New customers, alike but for what is known of them; the last channel is one that the fit has not seen.
    new = pd.DataFrame(
        {"frequency": 0.0, "recency": 0.0, "T": 0.01, "log_intervals": 0.0, "x": [0.0, 1.0, 0.0, 0.0],
         "channel": ["search", "search", "social", "radio"], "customer_id": list("abcd")}
    )  # fmt: skip
    new = clv.customers.from_table(new, time_unit="week", columns=["x", "channel"])
    future = clv.predict(fitted, new, 39.0, seed=2)
    first, faster, slower, unseen = future["purchases_expected"].values
    assert slower < first < faster
    assert np.isfinite(unseen)
    own = future["purchase_rate_mean"].values
    assert own[2] < own[0] < own[1]
    # A channel of its own may be any: of all it is the least known.
    shares = clv.expected.purchases(fitted, new, 39.0)
    spread = np.log(shares).std(("chain", "draw")).values
    assert spread[3] > spread[0]

    spending = make_spending(draws=20)
    some = read.isel(customer=slice(30))
    value = clv.predict(fitted, some, 39.0, spending=spending, seed=4)
    cohort = clv.predict_cohort(
        fitted, spending, 50, profile={"x": 0.0, "channel": "radio"}, horizon=39.0, seed=5
    )
    assert np.isfinite(cohort["purchases_total"]).all()
    segments = clv.segment(clv.simulate(fitted, some, seed=6, draws=40), clv.segments.lifecycle())
    np.testing.assert_allclose(segments["membership"].sum("segment"), 1.0)
    clv.report(tmp_path / "report.html", buying=fitted, spending=spending, customers=some, value=value)
    page = (tmp_path / "report.html").read_text()
    assert 'id="purchases-groups"' in page
    assert "not drawn" not in page.replace("Figure not drawn – spend", "")
