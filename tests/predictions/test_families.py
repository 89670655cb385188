"""Every registered purchase family through every question that a posterior answers.

Simulation is held to the family's own closed form draw by draw: with independent futures in each posterior draw the
differences of the totals have mean 0, and their own spread gives the standard error. SIGMAS of 4.5 is one false alarm
in 150,000 comparisons.
"""

import math

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.distributions import paths
from bayes_clv.families.quantities import starting_point
from bayes_clv.families.registry import families, family
from bayes_clv.predictions.synthetic import simulate_orders
from bayes_clv.scoring.tracking import simulate_tracking
from bayes_clv.units import discount_rate
from tests.symbols import paper

SIGMAS = 4.5
DRAWS = 800
HORIZON = 30.0


def assert_mean(sample, expected=0.0):
    sample = np.asarray(sample, dtype=float).ravel()
    assert abs(sample.mean() - expected) <= SIGMAS * sample.std() / math.sqrt(sample.size) + 1e-12


# A family whose forecasts take more columns answers the same questions in tests of its own (test_pareto_ggg).
USUAL = [each for each in families("purchases") if "log_intervals" not in family(each).forecast.history]


# Their closed forms are quadratures of each customer and draw, and took a sixth of the time of all tests.
DRAWN = [each for each in USUAL if paper(each).PATHS is paths.DRAWN]


@pytest.fixture(scope="module", params=USUAL)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def params(name):
    """The paper's parameters at the start of the family's quantities, a purchase in ten weeks, a whole number at 3."""
    module = family(name)
    whole = [key for key, quantity in module.quantities.items() if quantity.whole]
    values = module.from_quantities(starting_point(module.quantities, 0.1) | dict.fromkeys(whole, 3.0))
    return {key: float(values[key]) for key in module.parameters}


@pytest.fixture(scope="module")
def buying(name, params, make_posterior):
    return make_posterior(name, params, sd=0.1, chains=2, draws=DRAWS // 2)


@pytest.fixture(scope="module")
def spending(make_spending):
    return make_spending(draws=DRAWS // 2)


@pytest.fixture(scope="module")
def customers(name, make_customers):
    return make_customers(20 if name in DRAWN else 150)


def test_the_future_has_the_closed_forms_mean_and_distribution(buying, customers):
    future = clv.predict(buying, customers, HORIZON, seed=1, keep_draws=True)
    expected = clv.expected.purchases(buying, customers, HORIZON)
    assert_mean(future["purchases_total"] - expected.sum("customer"))
    pmf = clv.expected.pmf(buying, customers, HORIZON, max_count=4, draws=DRAWS).mean("customer")
    for n in range(4):
        assert_mean((future["purchases"] == n).mean("customer"), float(pmf.sel(count=n)))
    active = clv.expected.active(buying, customers, HORIZON, draws=DRAWS)
    assert_mean((future["purchases"] > 0).mean("customer"), float(active.mean()))
    latent = [f"{each}_mean" for each in family(buying.attrs["family"]).forecast.latent]
    for column in ("probability_alive", *latent, "purchases_expected"):
        assert np.isfinite(future[column]).all()


@pytest.mark.parametrize("annual", [0.0, 0.15, 3.0])
def test_value_simulated_and_in_closed_form(buying, spending, customers, annual):
    given = {"horizon": HORIZON, "annual_discount_rate": annual, "margin": 0.3}
    simulated = clv.predict(buying, customers, spending=spending, seed=2, **given)
    expected = clv.expected.value(buying, spending, customers, **given)
    assert_mean(simulated["value_total"] - expected["value_expected_total"])


def test_a_cohort_from_its_first_order(name, buying, spending):
    size = 100
    cohort = clv.predict_cohort(
        buying, spending, size, horizon=HORIZON, annual_discount_rate=0.15, seed=3, periods=3
    )
    assert_mean(cohort["purchases_total"] - size * cohort["purchases_expected"])
    assert_mean(cohort["value_total"] - size * cohort["value_expected"])
    assert (cohort["purchases_period_total"].sum("period") == cohort["purchases_total"]).all()
    # The first orders belong to the first period, whoever leaves after them.
    assert (cohort["purchases_period_total"].isel(period=0) >= size).all()
    module = family(name)
    draws = {key: buying["posterior"][key].to_numpy().ravel() for key in module.parameters}
    repeat = paper(name).purchases_at_least(1, HORIZON, 0, 0, 0, **draws).mean()
    error = math.sqrt(repeat * (1 - repeat) / cohort.attrs["pooled_futures"])
    assert abs(cohort["probability_repeat"].item() - repeat) < SIGMAS * error


def test_survival_and_the_wait(name, buying, customers):
    module = family(name)
    curve = clv.expected.retention(buying, customers, [HORIZON, 10 * HORIZON], draws=DRAWS)
    now = clv.expected.alive(buying, customers)
    np.testing.assert_allclose(curve["alive_mean"].isel(time=0), now.mean(("chain", "draw")), rtol=1e-12)
    assert (curve["alive_mean"].diff("time") <= 1e-13).all()
    waiting = clv.next_purchase(buying, customers, seed=7)
    # Of Pareto/NBD few customers come back with a probability of a quarter.
    wait = waiting["wait"].sel(quantile=0.05).to_numpy()
    reached = np.flatnonzero(np.isfinite(wait))
    assert reached.size > customers.sizes["customer"] / 8
    # By the quantile the next purchase has come with its probability, by the family's own distribution; a quantile of
    # draws is one of them.
    error = SIGMAS * math.sqrt(0.05 * 0.95 / DRAWS) + 1 / DRAWS
    for i in reached[:5]:
        some = customers.isel(customer=[i])
        by_then = clv.expected.pmf(buying, some, float(wait[i]), max_count=1, draws=DRAWS)
        assert by_then.sel(count=1).item() == pytest.approx(0.05, abs=error)
    if "dropout" not in module.processes:
        assert (curve["alive_mean"] == 1).all()
        assert (waiting["probability_ever"] == 1).all()


def test_residual_transactions_without_horizon(name, buying, customers):
    worth = clv.expected.residual(buying, customers, 0.15)
    assert np.isfinite(worth).all()
    undiscounted = clv.expected.residual(buying, customers, 0.0)
    if "dropout" not in family(name).processes:
        assert np.isinf(undiscounted).all()
    assert bool(np.isinf(undiscounted).any()) == bool(undiscounted.attrs["reasons"])
    assert (undiscounted > worth).all()


def test_simulated_orders_and_their_tracking(name, params, buying):
    orders = simulate_orders(
        params, customers=3_000, seed=4, family=name, start="2024-01-01", until="2024-12-29"
    )
    assert orders.attrs["family"] == name
    customers = clv.summarize(orders, until="2024-12-29", spend=None)
    age = customers["T"].to_numpy()
    module = family(name)
    # A repeat purchase is never merged with the first, so nobody loses the last of its repeat purchases.
    none = paper(name).purchases_pmf(0, age, 0, 0, 0, **params)
    assert_mean((customers["frequency"] == 0).to_numpy() - none)
    some = customers.isel(customer=slice(30 if name in DRAWN else 300))
    tracking = simulate_tracking(buying, some, seed=5)
    draws = {key: buying["posterior"][key].to_numpy().ravel()[:, None] for key in module.parameters}
    expected = paper(name).expected_purchases(some["T"].to_numpy(), 0, 0, 0, **draws).sum(axis=1)
    assert_mean(tracking["purchases"].sum("period").to_numpy().ravel() - expected)


def test_without_dropout_value_is_a_formula_and_nobody_leaves_in_a_long_future(
    make_posterior, make_customers, spending
):
    customers = make_customers(150)
    rates = {"r": 0.4, "alpha": 12.0}
    buying = make_posterior("nbd", rates, sd=0.1, chains=2, draws=DRAWS // 2)
    # In 5,000 weeks a dropout of 1 in 1,000 would halve the purchases of many.
    future = clv.predict(buying, customers, 5_000.0, seed=6)
    expected = clv.expected.purchases(buying, customers, 5_000.0).sum("customer")
    assert_mean(future["purchases_total"] - expected)
    assert (future["dropout_mean"] == 0).all()
    value = clv.expected.value(
        buying, spending, customers, horizon=520.0, annual_discount_rate=0.1, keep_draws=True
    )
    undiscounted = clv.expected.value(buying, spending, customers, horizon=520.0, keep_draws=True)
    delta = discount_rate(0.1, "week")
    # lambda and spend drop out of the ratio: (1 - e^(-delta H)) / (delta H). Lobatto's own bound is 1e-6.
    ratio = (value["value_expected"] / undiscounted["value_expected"]).to_numpy()
    np.testing.assert_allclose(ratio, -math.expm1(-delta * 520) / (delta * 520), rtol=1e-6)
