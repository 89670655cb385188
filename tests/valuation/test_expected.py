import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.predictions import expected
from bayes_clv.predictions.forecasts import predict
from bayes_clv.schema import InputError
from bayes_clv.units import discount_rate
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")

SIZE = 200


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(SIZE)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying(draws=50)


@pytest.fixture(scope="module")
def spending(make_spending):
    return make_spending(draws=50)


def by_quadrature(buying, spending, customers, horizon, rate, panels=40):
    """Gauss-Legendre on many panels of E[Y(t)] itself, and the spend of each draw: (chain, draw, customer)."""
    x, w = np.polynomial.legendre.leggauss(12)
    # Panels equal in log(1 + t): short ones where E[Y(t)] bends most.
    edges = np.expm1(np.linspace(0, np.log1p(horizon), panels + 1))
    time = (edges[:-1, None] + np.diff(edges)[:, None] * (1 + x) / 2).ravel()
    weight = (np.diff(edges)[:, None] * w / 2).ravel()
    history = [customers[name].to_numpy()[:, None] for name in ("frequency", "recency", "T")]
    draws = {name: buying["posterior"][name].to_numpy().ravel() for name in bg_nbd.PARAMETERS}

    def purchases(t):
        return bg_nbd.expected_purchases(t, *history, **draws)

    total = np.exp(-rate * horizon) * purchases(horizon)
    for t, each in zip(time, weight, strict=True):
        total = total + rate * each * np.exp(-rate * t) * purchases(t)
    spent = {name: spending["posterior"][name].to_numpy().ravel() for name in gamma_gamma.PARAMETERS}
    frequency, mean = (
        customers["frequency"].to_numpy()[:, None],
        customers["monetary_value"].to_numpy()[:, None],
    )
    return total * gamma_gamma.expected_spend(frequency, np.nan_to_num(mean), **spent)


@pytest.mark.parametrize(
    ("horizon", "annual", "changes"),
    [
        (52.0, 0.1, {}),
        (520.0, 0.1, {}),
        (52.0, 5.0, {}),
        (52.0, -0.2, {}),
        (52.0, 0.1, {"a": 1.0, "b": 0.3}),
        (26.0, 0.2, {"r": 60.0, "alpha": 5.0, "a": 0.05, "b": 4.0}),
        (104.0, 0.1, {"r": 0.05, "alpha": 0.1}),
    ],
)
def test_it_is_the_discounted_integral(make_buying, spending, make_customers, horizon, annual, changes):
    customers = make_customers(30)
    buying = make_buying(draws=5, **changes)
    value = expected.value(
        buying, spending, customers, horizon=horizon, annual_discount_rate=annual, keep_draws=True
    )
    thinned = spending["posterior"].isel(draw=np.arange(5) * 10).to_dataset()
    paired = xr.DataTree.from_dict({"posterior": thinned})
    rate = discount_rate(annual, "week")
    reference = by_quadrature(buying, paired, customers, horizon, rate)
    result = value["value_expected"].to_numpy().reshape(10, 30).T
    # The module's own bound on the error of Lobatto's rule, with room for growing (negative) discounting.
    np.testing.assert_allclose(result, reference, rtol=1e-6)


def test_without_discount_it_is_purchases_times_spend(buying, spending, customers):
    value = expected.value(buying, spending, customers, horizon="39 weeks", margin=0.3, keep_draws=True)
    purchases = clv.expected.purchases(buying, customers, "39 weeks")
    drawn = [spending["posterior"][name].to_numpy()[..., None] for name in gamma_gamma.PARAMETERS]
    spend = gamma_gamma.expected_spend(
        customers["frequency"].to_numpy(), np.nan_to_num(customers["monetary_value"].to_numpy()), *drawn
    )
    np.testing.assert_allclose(value["value_expected"], 0.3 * purchases.to_numpy() * spend, rtol=1e-9)


def test_the_mean_is_that_of_the_simulation(buying, make_spending, customers):
    # q = 8: spend has a fourth moment, so that the simulation's error is known.
    spending = make_spending(draws=50, q=8.0)
    terms = {"horizon": "52 weeks", "margin": 0.3, "annual_discount_rate": 0.1}
    value = expected.value(buying, spending, customers, **terms)
    simulated = predict(buying, customers, spending=spending, seed=1, **terms)
    total = simulated["value_total"].to_numpy()
    difference = total - value["value_expected_total"].to_numpy()
    # Draw by draw, the difference is the chance in each purchase alone.
    assert abs(difference.mean()) < 4 * difference.std(ddof=1) / np.sqrt(total.size)


def test_streamed_and_kept_agree_and_threads_change_nothing(buying, spending, customers):
    terms = {"horizon": "52 weeks", "annual_discount_rate": 0.1}
    streamed = expected.value(buying, spending, customers, threads=1, **terms)
    xr.testing.assert_identical(streamed, expected.value(buying, spending, customers, threads=2, **terms))
    kept = expected.value(buying, spending, customers, keep_draws=True, **terms)
    each = kept["value_expected"]
    assert each.dims == ("chain", "draw", "customer")
    np.testing.assert_allclose(each.mean(("chain", "draw")), streamed["value_expected"], rtol=1e-12)
    np.testing.assert_allclose(each.sum("customer"), streamed["value_expected_total"], rtol=1e-12)


def test_customers_in_another_order_have_the_same_value(buying, spending, customers):
    backwards = customers.isel(customer=slice(None, None, -1))
    one = expected.value(buying, spending, customers)["value_expected"]
    other = expected.value(buying, spending, backwards)["value_expected"]
    xr.testing.assert_identical(one, other.isel(customer=slice(None, None, -1)))


def test_infinite_spend_is_nan_with_its_reason(buying, make_spending, customers):
    value = expected.value(buying, make_spending(q=0.9, sd=0.0), customers)
    new = customers["frequency"].to_numpy() == 0
    np.testing.assert_array_equal(np.isnan(value["value_expected"].to_numpy()), new)
    (reason,) = value.attrs["reasons"]
    assert f"{new.sum()} of {SIZE}" in reason


def test_draws_that_do_not_fit_are_refused(buying, spending, customers):
    with pytest.raises(InputError, match="max_memory"):
        expected.value(buying, spending, customers, keep_draws=True, max_memory=1e4)
