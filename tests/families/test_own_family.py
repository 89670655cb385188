"""A family with a law of leaving of its own, defined here: no other file names it.

NBD customers who all leave a known time after their first purchase, a one-year membership say: rates are Gamma, and a
lifetime of MEMBERSHIP is certain. Everything has a closed form, so that it can be checked against a hand's computation.
"""

from dataclasses import replace

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv import families
from bayes_clv.distributions import paths
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.families.arguments import lead
from bayes_clv.families.purchases import gamma_rates

MEMBERSHIP = 52.0
HISTORY = ("frequency", "recency", "T")


def _of(columns, params):
    """Return k and scale of the rate given the history, and how much of the membership is left, on one shape."""
    parts = (*(columns[name] for name in HISTORY), params["r"], params["alpha"])
    x, _, T, r, alpha = np.broadcast_arrays(*(np.asarray(each, dtype=float) for each in parts))
    return r + x, alpha + np.minimum(T, MEMBERSHIP), np.maximum(MEMBERSHIP - T, 0.0)


def exposure_term(params, x, T):
    import pytensor.tensor as pt

    return gamma_rates.exposure_term(params, x, pt.minimum(T, MEMBERSHIP))


def simulate(rng, columns, params):
    T, r, alpha = np.broadcast_arrays(columns["T"], params["r"], params["alpha"])
    active = np.minimum(T, MEMBERSHIP)
    x = gamma_poisson.simulate_counts(rng, active, r, alpha)
    recency = gamma_poisson.simulate_recency(rng, active, x, x)
    return {"frequency": x.astype(float), "recency": recency, "T": T}


def times(rng, columns, params):
    found = simulate(rng, {"T": np.atleast_1d(columns["T"])}, params)
    return gamma_poisson.simulate_times(rng, found["frequency"].astype(np.int64), found["recency"])


def alive(columns, params):
    return (_of(columns, params)[2] > 0).astype(float)


def latent_means(columns, params):
    k, scale, _ = _of(columns, params)
    return (k / scale,)


def latent_draws(rng, columns, params):
    k, scale, left = _of(columns, params)
    return left > 0, rng.gamma(k, 1 / scale)


def purchases(time, columns, params):
    k, scale, left = _of(columns, params)
    return k / scale * np.minimum(lead(time, k), left)


def survival(time, columns, params):
    k, _, left = _of(columns, params)
    return ((left > lead(time, k)) * 1.0) * alive(columns, params)


def pmf(counts, time, columns, params):
    k, scale, left = _of(columns, params)
    return gamma_poisson.count_pmf(lead(counts, k), k, np.minimum(time, left) / scale)


def at_least(counts, time, columns, params):
    k, scale, left = _of(columns, params)
    return gamma_poisson.count_at_least(lead(counts, k), k, np.minimum(time, left) / scale)


def discounted(time, rate, columns, params):
    k, scale, left = _of(columns, params)
    length = np.minimum(time, left)
    return k / scale * (length if rate == 0 else -np.expm1(-rate * length) / rate)


def futures(rng, columns, params):
    """Draw each customer's future: a wait at its own rate, and the rest of its membership."""
    k, scale, _ = _of(columns, params)
    rate, left = rng.gamma(k, 1 / scale), MEMBERSHIP - columns["T"] + np.zeros(k.shape)
    wait = np.where(left > 0, rng.standard_exponential(k.shape) / rate, np.inf)
    return wait, np.ones(k.shape), rate, left, np.full(k.shape, 1 / MEMBERSHIP)


MEMBERS = families.Family(
    name="nbd_members",
    kind="purchases",
    words=families.Words(
        title="NBD members",
        summary="NBD members buy at random at their own rate until their membership ends.",
        caution="",
        meanings=gamma_rates.MEANINGS,
    ),
    parameters=("r", "alpha"),
    quantities=gamma_rates.QUANTITIES,
    observed=HISTORY,
    design=("T",),
    scale=gamma_rates.data_scale,
    from_quantities=gamma_rates.parameters,
    likelihood=(
        families.Term(("frequency",), gamma_rates.rate_term),
        families.Term(("frequency", "T"), exposure_term),
    ),
    simulate=simulate,
    checked="frequency",
    forecast=families.Forecast(
        history=HISTORY,
        latent=("purchase_rate",),
        paths=paths.DRAWN,
        alive=alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=purchases,
        survival=survival,
        pmf=pmf,
        at_least=at_least,
        discounted=discounted,
        futures=futures,
        times=times,
    ),
)
TRUTH = {"r": 0.6, "alpha": 8.0}


@pytest.fixture(scope="module", autouse=True)
def registered():
    return families.register(MEMBERS)


@pytest.fixture(scope="module")
def customers():
    rng = np.random.default_rng(5)
    age = np.tile([10.0, 30.0, 50.0, 70.0], 150)
    history = MEMBERS.simulate(rng, {"T": age}, TRUTH)
    table = {name: history[name] for name in HISTORY} | {
        "customer_id": [f"c{i:03d}" for i in range(age.size)]
    }
    import pandas as pd

    return clv.customers.from_table(pd.DataFrame(table), time_unit="week")


@pytest.fixture(scope="module")
def buying(customers):
    return clv.fit("nbd_members", customers, method="laplace", draws=100, seed=1)


def test_it_is_a_family():
    families.check(MEMBERS)
    assert families.family("nbd_members") is MEMBERS
    assert "nbd_members" in families.families("purchases")


def test_a_name_of_the_package_and_what_is_no_record_are_refused():
    with pytest.raises(clv.InputError, match="family of the package"):
        families.register(replace(MEMBERS, name="bg_nbd"))
    with pytest.raises(clv.InputError, match="given was dict"):
        families.register({"name": "mine"})


@pytest.mark.parametrize("method", ["mode", "laplace", "nuts"])
def test_it_is_fitted(method, customers):
    fit = clv.fit("nbd_members", customers, method=method, draws=100, tune=300, chains=2, seed=1)
    rate = fit["posterior"]["population_purchase_rate"]
    # 600 customers: the mean rate has a relative error of about 1 / sqrt(0.6 * 600) = 5 %.
    assert float(rate.mean()) == pytest.approx(TRUTH["r"] / TRUTH["alpha"], rel=0.25)


def test_its_forecasts_know_the_end_of_the_membership(buying, customers):
    age = customers["T"].to_numpy()
    future = clv.predict(buying, customers, "10 weeks", seed=2)
    expected = clv.expected.purchases(buying, customers, "10 weeks").mean(("chain", "draw")).to_numpy()
    assert (expected[age == 70.0] == 0).all()
    assert (future["purchases_mean"].to_numpy()[age == 70.0] == 0).all()
    assert (clv.expected.alive(buying, customers).to_numpy()[..., age == 50.0] == 1).all()
    total = float(future["purchases_mean"].sum())
    # 200 draws of some hundred purchases: half a percent each, and the posterior's own spread is in both.
    assert total == pytest.approx(float(expected.sum()), rel=0.05)


def test_need_names_the_families_that_serve():
    with pytest.raises(clv.InputError, match=r"NBD members forecasts purchases.*gamma_gamma.*clv\.predict"):
        families.need(MEMBERS, families.SpendLevel)


def test_it_is_segmented_and_reported(buying, customers, tmp_path):
    draws = clv.simulate(buying, customers, horizon="10 weeks", draws=50, seed=3)
    rule = clv.rule("buys", {"buys": "purchases > 0", "pauses": None})
    segments = clv.segment(draws, rule, totals=("purchases",))
    assert float(segments["size_mean"].sum()) == pytest.approx(customers.sizes["customer"])
    page = tmp_path / "report.html"
    future = clv.predict(buying, customers, "10 weeks", seed=2)
    clv.report(page, buying=buying, spending=None, customers=customers, value=future, segments=segments)
    assert "NBD members" in page.read_text()
