"""Lognormal spend: likelihood, simulator, latent draws and forecasts describe one and the same process."""

import math

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

import bayes_clv as clv
from bayes_clv.distributions.paths import COIN
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.predictions.plans import Money, Plan
from bayes_clv.predictions.summaries import simulate_futures
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
lognormal_spend = paper("lognormal_spend")

# Each Monte Carlo mean is held to 4.5 standard errors: 7e-6 of seeds a comparison, some forty here.
SIGMAS = 4.5
VALUES = {"m": 30.0, "tau": 0.6, "sigma": 0.5}


def log_likelihood(*columns, values=VALUES):
    inputs = [pt.dvector() for _ in columns]
    tensors = {name: pt.constant(value) for name, value in values.items()}
    function = pytensor.function(inputs, lognormal_spend.log_likelihood(tensors, *inputs), mode=AS_WRITTEN)
    return function(*(np.atleast_1d(np.asarray(column, dtype=float)) for column in columns))


def assert_mean(sample, expected):
    sample = np.asarray(sample, dtype=float)
    assert abs(sample.mean() - expected) <= SIGMAS * sample.std() / np.sqrt(sample.size) + 1e-12


@pytest.mark.parametrize("values", [VALUES, {"m": 0.02, "tau": 2.0, "sigma": 0.1}])
def test_likelihood_is_the_joint_density_of_every_spend(values):
    """Against SciPy's multivariate normal of the logarithms, with the factor 1 / spend of each amount."""
    spends = np.array([12.0, 55.5, 20.25, 31.0]) * values["m"] / 30
    for x in (1, 2, 4):
        logs = np.log(spends[:x])
        covariance = values["sigma"] ** 2 * np.eye(x) + values["tau"] ** 2
        normal = stats.multivariate_normal(np.full(x, math.log(values["m"])), covariance)
        ours = log_likelihood(x, logs.mean(), logs.std(), values=values)[0]
        assert ours == pytest.approx(normal.logpdf(logs) - logs.sum(), rel=1e-9)


def test_the_density_of_two_spends_integrates_to_one():
    level, spread = math.log(VALUES["m"]), 9 * math.hypot(VALUES["tau"], VALUES["sigma"])
    point, weight = np.polynomial.legendre.leggauss(120)
    logs, weight = level + spread * point, spread * weight
    one, two = (grid.ravel() for grid in np.meshgrid(logs, logs))
    both = np.stack([one, two])
    density = np.exp(log_likelihood(np.full(one.size, 2.0), both.mean(axis=0), both.std(axis=0)))
    # The integral runs over log spend, whose element is d spend / spend.
    total = (np.outer(weight, weight).ravel() * density * np.exp(both.sum(axis=0))).sum()
    assert total == pytest.approx(1, abs=1e-9)


def test_the_simulator_follows_the_likelihood():
    """Mean and spread of single amounts summed up by hand, beside those simulated from their sufficient law."""
    rng, size = np.random.default_rng(1), 200_000
    for x in (1, 2, 5):
        mean, sd = lognormal_spend.simulate(rng, np.full(size, x), **VALUES)
        assert_mean(mean, math.log(30))
        assert_mean((mean - math.log(30)) ** 2, 0.36 + 0.25 / x)
        assert_mean(sd**2, 0.25 * (x - 1) / x)
        assert_mean(sd**4, 0.25**2 * (x - 1) * (x + 1) / x**2)
        assert_mean(sd * (mean - math.log(30)), 0)
    nothing = lognormal_spend.simulate(rng, np.zeros(3), **VALUES)
    assert np.isnan(nothing).all()
    total = lognormal_spend.simulate_spend(rng, np.full(size, 3), 30.0, 0.5)
    assert_mean(total, 3 * 30 * math.exp(0.125))
    assert_mean((total - 3 * 30 * math.exp(0.125)) ** 2, 3 * 900 * math.exp(0.25) * math.expm1(0.25))
    assert (lognormal_spend.simulate_spend(rng, np.zeros(2), 30.0, 0.5) == 0).all()


def test_latent_draws_and_forecast_given_the_history_are_right_over_simulated_customers():
    """Of customers whose true level is known, split by what was seen of them."""
    rng, size = np.random.default_rng(2), 400_000
    level = math.log(30) + 0.6 * rng.standard_normal(size)
    seen = level[:, None] + 0.5 * rng.standard_normal((size, 3))
    following = np.exp(level + 0.5 * rng.standard_normal(size))
    ybar = seen.mean(axis=1)
    expected = lognormal_spend.expected_spend(3, ybar, **VALUES)
    drawn = lognormal_spend.latent_draws(rng, 3, ybar, **VALUES)
    for group in (ybar < 3, (ybar >= 3) & (ybar < 3.8), ybar >= 3.8):
        assert group.sum() > 50_000
        assert_mean((following - expected)[group], 0)
        assert_mean((np.log(drawn) - level)[group], 0)
        assert_mean((np.log(drawn) ** 2 - level**2)[group], 0)
    assert lognormal_spend.population_mean_spend(**VALUES) == pytest.approx(30 * math.exp(0.305))
    assert lognormal_spend.expected_spend(0, np.nan, **VALUES) == pytest.approx(30 * math.exp(0.305))


def test_without_differences_between_customers_the_history_says_nothing():
    # tau = 1e-9: the weight of three occasions is 3 tau² / sigma² = 1e-17.
    alike = {"m": 30.0, "tau": 1e-9, "sigma": 0.5}
    expected = lognormal_spend.expected_spend(3, 9.0, **alike)
    assert expected == pytest.approx(30 * math.exp(0.125), rel=1e-9)


# The engine --------------------------------------------------------------------------------------------

HISTORY, HORIZON = (3, 25.0, 30.0), 60.0


def futures(cdnow, *, discount=0.0, rule="lognormal", draws=100_000):

    each = {name: np.full(draws, value) for name, value in cdnow.items()}
    pay = {name: np.full(draws, value) for name, value in VALUES.items()}

    def state(rows):
        numbers = bg_nbd.future_state(*(np.full((rows.size, 1), v) for v in HISTORY), **each)
        known = {
            "silence": np.full((rows.size, 1), HISTORY[2] - HISTORY[1]),
            "horizon": np.array([[HORIZON]]),
        }
        return known | dict(zip(COIN.needs, numbers, strict=True))

    plan = Plan(
        law=COIN,
        state=state,
        row=np.zeros(1, dtype=int),
        keys=customer_keys(range(1), 1),
        draws=draws,
        keep=True,
        money=Money(
            lambda rows: lognormal_spend.spend_state(3.0, np.full((rows.size, 1), 3.9), **pay),
            lambda rows: pay["sigma"],
            discount,
            rule=rule,
        ),
    )
    return simulate_futures(plan, threads=1)


def test_the_engine_pays_as_the_closed_form_says():

    cdnow = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
    found = futures(cdnow)
    kept, expected = found.kept["spend"][0], float(lognormal_spend.expected_spend(3, 3.9, **VALUES))
    assert_mean(kept, expected * float(bg_nbd.expected_purchases(HORIZON, *HISTORY, **cdnow)))
    # Given one purchase, its logarithm is normal: posterior mean, and posterior plus occasion variance.
    mean, sd = lognormal_spend.spend_state(3.0, 3.9, **VALUES)
    once = np.log(kept[found.kept["purchases"][0] == 1])
    assert once.size > 5_000
    assert stats.kstest(once, stats.norm(mean, math.hypot(sd, 0.5)).cdf).pvalue > 1e-4
    # Given several, they share the customer's level: the variance of the total is not that of independent ones.
    several = kept[found.kept["purchases"][0] == 4]
    single = math.exp(2 * mean + sd**2 + 0.25)
    variance = 4 * single * math.exp(sd**2) * math.expm1(0.25) + 16 * single * math.expm1(sd**2)
    deviation = (several - 4 * expected) ** 2
    assert_mean(deviation, variance)
    assert variance > 1.5 * 4 * single * math.expm1(sd**2 + 0.25)


def test_discounted_value_is_the_integral_of_discounted_purchases():

    cdnow, rate = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}, 0.01
    found = futures(cdnow, discount=rate)

    def expected(t):
        return float(bg_nbd.expected_purchases(t, *HISTORY, **cdnow))

    area, _ = integrate.quad(lambda t: rate * math.exp(-rate * t) * expected(t), 0, HORIZON, epsrel=1e-8)
    discounted = math.exp(-rate * HORIZON) * expected(HORIZON) + area
    assert_mean(found.kept["value"][0], float(lognormal_spend.expected_spend(3, 3.9, **VALUES)) * discounted)


# From orders to value -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop():
    """1,500 customers who buy often, with lognormal spend."""
    log = clv.synthetic.simulate_orders(
        {"r": 1.5, "alpha": 6.0, "a": 0.8, "b": 4.0},
        VALUES,
        customers=1500,
        seed=5,
        spending_family="lognormal_spend",
    )
    customers = clv.summarize(log, until="2025-12-31", also=("log_spend",))
    return log, customers, clv.fit("lognormal_spend", customers, method="laplace", draws=250, seed=6)


def test_a_fit_finds_the_truth(shop):
    """Each within 4 posterior standard deviations: a false alarm in 6e-5 of seeds each."""
    posterior = shop[2]["posterior"]
    assert clv.diagnostics(shop[2])["passed"]
    for name, truth in (*VALUES.items(), ("population_spend", 30 * math.exp(0.305))):
        draws = np.log(posterior[name].to_numpy())
        assert abs(draws.mean() - math.log(truth)) < 4 * draws.std(), name
        assert draws.std() < 0.1


def test_the_money_unit_does_not_matter(shop):
    cents = shop[1].assign(log_spend_mean=shop[1]["log_spend_mean"] + math.log(100))
    other = clv.fit("lognormal_spend", cents, method="laplace", draws=250, seed=6)["posterior"]
    for name, factor in (("m", 100), ("population_spend", 100), ("tau", 1), ("sigma", 1)):
        np.testing.assert_allclose(other[name], factor * shop[2]["posterior"][name], rtol=1e-6)


def test_value_from_lognormal_spend_agrees_with_its_expected_value(shop, make_buying):
    _, customers, spending = shop
    buying = make_buying(sd=0.02, draws=500, chains=2, r=1.5, alpha=6.0, a=0.8, b=4.0)
    some = customers.isel(customer=slice(300))
    value = clv.predict(
        buying, some, "52 weeks", spending=spending, margin=0.3, annual_discount_rate=0.1, seed=1
    )
    expected = clv.expected.value(
        buying, spending, some, horizon="52 weeks", margin=0.3, annual_discount_rate=0.1
    )
    # 300 customers' means of 1,000 futures each: the total's error is the root of the sum of their variances.
    error = math.sqrt(float((value["value_sd"] ** 2).sum()) / 1000)
    assert abs(float(value["value_mean"].sum() - expected["value_expected"].sum())) < SIGMAS * error
    cohort = clv.predict_cohort(buying, spending, 200, horizon="52 weeks", margin=0.3, seed=2)
    assert np.isfinite(cohort["value_total"]).all()


def test_a_customers_logarithms_are_those_of_its_orders(shop):
    log, customers, _ = shop
    one = str(customers["customer"].values[int(np.argmax(customers["frequency"].values))])
    days = log[log["customer_id"] == one].groupby("date")["spend"].sum().round(4).sort_index()
    logs = np.log(days.to_numpy()[1:])
    found = customers.sel(customer=one)
    assert float(found["frequency"]) == logs.size > 5
    # Logarithms are rounded to six decimals; orders of a day are rounded to four before they are added.
    assert float(found["log_spend_mean"]) == pytest.approx(logs.mean(), abs=1e-5)
    assert float(found["log_spend_sd"]) == pytest.approx(logs.std(), abs=1e-5)
    once = customers.isel(customer=customers["frequency"].values == 1)
    assert (once["log_spend_sd"] == 0).all()
    assert np.isnan(customers["log_spend_mean"].values[customers["frequency"].values == 0]).all()


def test_a_log_without_amounts_or_logarithms_is_refused_with_what_to_do(shop, make_customers, make_buying):
    with pytest.raises(clv.InputError, match=r"also=\('log_spend',\)"):
        clv.fit("lognormal_spend", make_customers(50), seed=1)
    with pytest.raises(clv.InputError, match="name the spend column"):
        clv.summarize(shop[0], spend=None, also=("log_spend",))
    with pytest.raises(clv.InputError, match=r"also=\('log_spend',\)"):
        clv.predict(make_buying(), make_customers(50), 5.0, spending=shop[2], seed=1)
    with pytest.raises(clv.InputError, match="density of every occasion's spend"):
        clv.compare({"lognormal": shop[2], "gamma": _gamma()})


def _gamma():
    import xarray as xr

    tree = xr.DataTree.from_dict({"posterior": xr.Dataset()})
    tree.attrs = {"family": "gamma_gamma", "time_unit": "week"}
    return tree


def test_zero_spend_has_no_logarithm():
    import pandas as pd

    log = pd.DataFrame(
        {
            "customer_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3,
            "date": ["2025-01-01", "2025-01-05", "2025-01-09"] * 3,
            "spend": [0.0, 5.0, 5.0, 7.0, 0.0, 2.0, 1.0, 20.0, 20.0],
        }
    )
    found = clv.summarize(log, also=("log_spend",))
    # a: only the first was free; b: a repeat was.
    np.testing.assert_allclose(found["log_spend_mean"], [math.log(5), np.nan, math.log(20)], atol=1e-6)
    np.testing.assert_array_equal(found["log_spend_sd"], [0, np.nan, 0])
