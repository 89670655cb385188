"""Customers who change: fits, forecasts and futures of the families with drift, from the orders on."""

import math

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.families import check, family
from bayes_clv.schema import InputError

FAMILIES = ("nbd_drift", "bg_nbd_drift", "mbg_nbd_drift", "pareto_nbd_drift")


@pytest.fixture(scope="module")
def cdnow():
    return clv.summarize(
        clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30", also=("purchase_times",)
    )


@pytest.fixture(scope="module", params=["mbg_nbd", "pareto_nbd"])
def buying(request, cdnow):
    """A coin, and a lifetime."""
    return clv.fit(request.param, cdnow, drift=True, method="laplace", draws=100, seed=1)


@pytest.fixture(scope="module")
def some(cdnow):
    return cdnow.isel(customer=slice(300))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_record_agrees_with_itself_and_its_simulator(name):
    check(family(name))


def test_maximum_likelihood_of_cdnow(cdnow):
    """mathematics.md: log likelihood -9,580.6 and a half-life of 179 weeks, by another filter and a coarse search."""
    found = clv.fit("mbg_nbd", cdnow, drift=True, method="mode", priors="flat", seed=1)
    assert float(found.sample_stats["lp"].squeeze()) == pytest.approx(-9580.6, abs=0.06)
    assert float(found.posterior["rate_half_life"].squeeze()) == pytest.approx(179, abs=4)


def test_pareto_nbd_with_drift_fits_cdnow_better(cdnow):
    """Without drift -9,594.98 (Fader & Hardie 2005); its law of rates is the one limit of many half-lives."""
    found = clv.fit("pareto_nbd", cdnow, drift=True, method="mode", priors="flat", seed=1)
    drifts = float(found.sample_stats["lp"].squeeze())
    point = {name: float(found.posterior[name].squeeze()) for name in ("r", "alpha", "s", "beta")}
    assert -9594.976 + 4 < drifts < -9594.976 + 7
    # At the static maximum and without drift it is the static likelihood.
    static = {"r": 0.5534, "alpha": 10.5758, "s": 0.6061, "beta": 11.6618}
    columns = {name: cdnow[name].values.astype(float) for name in family("pareto_nbd_drift").observed}
    record = family("pareto_nbd_drift").of(cdnow)
    same = record.log_likelihood(static | {"kappa": 1e-12}, columns).eval().sum()
    assert same == pytest.approx(-9594.976, abs=1e-3)
    there = point | {"kappa": float(found.posterior["kappa"].squeeze())}
    assert record.log_likelihood(there, columns).eval().sum() == pytest.approx(drifts, abs=1e-6)


def simulated(half_life, seed, customers=1500, weeks=104.0):
    """Return orders of customers of one day, who buy every other week at first, for two years and another half."""
    record = family("nbd_drift" if half_life else "nbd")
    params = {"r": np.array(1.5), "alpha": np.array(6.0)}
    params |= {"kappa": np.array(math.log(2) / half_life)} if half_life else {}
    rng = np.random.default_rng(seed)
    who, age = record.forecast.times(rng, {"T": np.full(customers, weeks)}, params)
    days = np.concatenate([np.zeros(customers), np.ceil(7 * age)]).astype(int)
    ids = np.concatenate([np.arange(customers), who])
    table = pd.DataFrame(
        {"customer_id": ids, "date": pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D")}
    )
    return clv.summarize(
        table.drop_duplicates(), until=table["date"].max(), spend=None, also=("purchase_times",)
    )


def test_a_half_life_is_found():
    fitted = clv.fit("nbd", simulated(30.0, seed=5), drift=True, method="laplace", draws=250, seed=2)
    low, high = fitted.posterior["rate_half_life"].quantile([0.005, 0.995]).values
    assert low < 30 < high < 60


@pytest.mark.full
def test_no_half_life_is_invented():
    """The posterior is the prior's part that two years can't tell from no drift: beyond ten times the span."""
    base = simulated(None, seed=6)
    fitted = clv.fit("nbd", base, drift=True, method="laplace", draws=250, seed=2)
    assert float(fitted.posterior["rate_half_life"].median()) > 10 * float(base["T"].max())
    plain = clv.fit("nbd", base, method="laplace", draws=250, seed=2)
    with_drift = clv.predict(fitted, base, "26 weeks", seed=3)["purchases_total"]
    without = clv.predict(plain, base, "26 weeks", seed=3)["purchases_total"]
    error = math.hypot(float(with_drift.std()), float(without.std())) / math.sqrt(1000)
    # Less than a tenth of the forecast's own spread, and the draws' error.
    assert abs(float(with_drift.mean() - without.mean())) < 0.3 * float(without.std()) + 4 * error


def test_days_for_weeks_change_no_forecast(cdnow, some):
    days = clv.summarize(
        clv.load_cdnow(),
        until="1997-09-30",
        holdout_until="1998-06-30",
        time_unit="day",
        also=("purchase_times",),
    )
    point = {
        unit: clv.fit("bg_nbd", base, drift=True, method="mode", seed=1)
        for unit, base in (("week", cdnow), ("day", days))
    }
    found = [
        clv.expected.purchases(point["week"], some, "39 weeks"),
        clv.expected.purchases(point["day"], days.isel(customer=slice(300)), "39 weeks"),
    ]
    # The two modes are found to 1e-6 or so.
    np.testing.assert_allclose(found[0].values, found[1].values, rtol=1e-5)


def test_futures_have_the_closed_forms_means(buying, some):
    future = clv.predict(buying, some, "39 weeks", seed=4)
    expected = clv.expected.purchases(buying, some, "39 weeks", draws=400)
    mean, sd = future["purchases_mean"].values, future["purchases_sd"].values
    # Of the same 400 draws; who never buys in them has no spread of its own.
    z = (mean - expected.mean(("chain", "draw")).values) / np.maximum(sd / math.sqrt(400), 1e-2)
    assert abs(z.mean()) < 4.5 / math.sqrt(z.size) * z.std()
    assert np.abs(z).max() < 5.5
    alive = clv.expected.alive(buying, some, draws=400).mean(("chain", "draw")).values
    drawn = clv.simulate(buying, some, "39 weeks", draws=400, seed=4)
    places, block = next(drawn.blocks(["alive", "purchase_rate", "purchases", "active_time"]))
    assert_shares(block["alive"], alive[places])
    surviving = clv.expected.survival(buying, some, "39 weeks", draws=400).mean(("chain", "draw")).values
    # A coin that comes up ends the activity with the purchase, and so before the horizon.
    assert_shares(block["active_time"] >= 39, surviving[places])
    few = some.isel(customer=slice(60))
    silent = clv.expected.pmf(buying, few, "39 weeks", draws=100).sel(count=0)
    places, block = next(clv.simulate(buying, few, "39 weeks", draws=100, seed=6).blocks(["purchases"]))
    assert_shares(block["purchases"] == 0, silent.values[places])
    # One who has left buys nothing, and a rate and its future belong together.
    places, block = next(drawn.blocks(["alive", "purchase_rate", "purchases"]))
    assert (block["purchases"][block["alive"] == 0] == 0).all()
    rate, bought = block["purchase_rate"], block["purchases"]
    assert np.corrcoef(rate[block["alive"] == 1], bought[block["alive"] == 1])[0, 1] > 0.5


def assert_shares(happens, chance):
    """Hold shares of draws (customer, draw) to their chances; beside the customers' own errors that of all of them."""
    draws = happens.shape[1]
    z = (happens.mean(axis=1) - chance) / np.sqrt(chance * (1 - chance) / draws + 1e-9)
    assert np.abs(z).max() < 5.5
    assert abs(z.mean()) < 4.5 / math.sqrt(z.size)


def test_own_numbers_of_futures_are_those_of_the_family(buying, some):
    """Two ways to draw them, and the means in closed form: of those alive and of those who left."""
    record = family(buying.attrs["family"]).of(some)
    forecast = record.forecast
    columns = {name: some[name].values.astype(float)[:, None] for name in forecast.history}
    params = {name: buying.posterior[name].values.ravel() for name in record.parameters}
    means = forecast.latent_means(columns, params)
    living, *drawn = forecast.latent_draws(np.random.default_rng(8), columns, params)
    blocks = clv.simulate(buying, some, "1 week", draws=400, seed=9).blocks(["alive", *forecast.latent])
    places, block = next(blocks)
    for name, mean, sample in zip(forecast.latent, means, drawn, strict=True):
        for each in (sample - mean, block[name] - mean[places]):
            assert abs(each.mean()) < 4.5 * each.std() / math.sqrt(each.size)
        left, gone = block[name][block["alive"] == 0], sample[~living]
        error = math.hypot(left.std() / math.sqrt(left.size), gone.std() / math.sqrt(gone.size))
        assert abs(left.mean() - gone.mean()) < 4.5 * error


def test_a_future_is_the_same_whoever_asks(buying, some):
    longer = clv.simulate(buying, some, "39 weeks", draws=50, seed=5)
    _, whole = next(longer.blocks(["purchases", "time_to_purchase"]))
    _, alone = next(longer.blocks(["purchases"]))
    np.testing.assert_array_equal(whole["purchases"], alone["purchases"])
    _, shorter = next(clv.simulate(buying, some, "13 weeks", draws=50, seed=5).blocks(["purchases"]))
    assert (shorter["purchases"] <= whole["purchases"]).all()
    np.testing.assert_array_equal(shorter["purchases"] > 0, whole["time_to_purchase"] <= 13)
    few = clv.predict(buying, some.isel(customer=[7, 3]), "39 weeks", seed=5, threads=1)
    all_of_them = clv.predict(buying, some, "39 weeks", seed=5, threads=2)
    np.testing.assert_array_equal(
        few["purchases_mean"].values, all_of_them["purchases_mean"].sel(customer=few["customer"]).values
    )


def test_every_verb_takes_it(buying, some):
    surviving = clv.expected.survival(buying, some, "26 weeks", draws=20)
    alive = clv.expected.alive(buying, some, draws=20)
    assert (surviving <= alive + 1e-12).all()
    worth = clv.expected.residual(buying, some, annual_discount_rate=0.1, draws=8)
    assert (worth >= 0).all()
    assert np.isfinite(worth).all()
    warned = clv.churn_alarms(buying, some.isel(customer=slice(40)), threshold=0.5)
    assert warned["alarmed"].dtype == bool


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("pareto_abe", "nbd, bg_nbd, mbg_nbd"),
        ("bg_cnbd_k", "nbd, bg_nbd, mbg_nbd"),
        ("gamma_gamma", "Fit 'lognormal_spend'"),
    ],
)
def test_a_family_without_drift_is_refused(cdnow, name, others):
    with pytest.raises(InputError, match=f"has no form with drift.*{others}"):
        clv.fit(name, cdnow, drift=True, seed=1)


def test_customers_without_times_are_refused(cdnow, buying):
    without = cdnow.drop_vars(["purchase_times", "purchase_start"])
    for call in (
        lambda: clv.fit("nbd", without, drift=True, method="laplace", seed=1),
        lambda: clv.predict(buying, without, "13 weeks", seed=1),
    ):
        with pytest.raises(InputError, match=r"also=\('purchase_times',\)"):
            call()


def test_who_grows_and_who_fades(cdnow):
    """Made by hand: a purchase a month all the time, four times as many in the last months, or a fourth of four."""
    steady = np.arange(4.0, 105.0, 4.0)
    more = np.concatenate([steady[steady <= 75], np.arange(76.0, 105.0, 1.0)])
    less = np.concatenate([np.arange(1.0, 75.0, 1.0), np.arange(80.0, 105.0, 8.0)])
    histories = [steady, more, less]
    customers = clv.customers.from_table(
        pd.DataFrame(
            {
                "customer_id": ["steady", "more", "less"],
                "frequency": [len(each) for each in histories],
                "recency": [each[-1] for each in histories],
                "T": 105.0,
                "purchase_times": histories,
            }
        ),
        time_unit="week",
    )
    buying = clv.fit(
        "nbd", simulated(60.0, seed=3, customers=400), drift=True, method="laplace", draws=100, seed=1
    )
    found = clv.predictions.changes(buying, customers, seed=2)
    growing, fading = found["probability_growing"], found["probability_fading"]
    assert float(growing.sel(customer="more")) > 0.9
    assert float(fading.sel(customer="less")) > 0.9
    assert (growing + fading <= 1).all()
    assert float(fading.sel(customer="more")) < 0.05
    mean = found["rate_year_ago_mean"]
    assert float(mean.sel(customer="less")) > 1.5 * float(found["purchase_rate_mean"].sel(customer="less"))
    assert clv.table(found)["customer_id"].tolist()[0] == "less"
    # They are those of the simulation, alone or in company, and a rule may read them.
    simulation = clv.simulate(buying, customers, "4 weeks", draws=400, seed=2)
    assert {"rate_year_ago", "probability_growing", "probability_fading"} <= set(simulation.names)
    names = ["purchase_rate", "rate_year_ago", "probability_growing", "purchases"]
    places, block = next(simulation.blocks(names))
    share = (block["purchase_rate"] > 1.2 * block["rate_year_ago"]).mean(axis=1)
    np.testing.assert_allclose(share, growing[places])
    np.testing.assert_array_equal(block["probability_growing"][:, 0], share)
    alone = clv.predictions.changes(buying, customers.isel(customer=[2]), seed=2)
    assert float(alone["rate_year_ago_mean"][0]) == float(mean[2])
    rule = clv.rule("habits", {"fading": "purchase_rate - rate_year_ago / 1.2 < 0", "others": None})
    segments = clv.segment(simulation, rule)
    assert float(segments["membership"].sel(customer="less", segment="fading")) == pytest.approx(
        float(fading.sel(customer="less")), abs=1e-6
    )


def test_a_year_ago_of_those_who_left_is_when_they_left(buying, some):
    simulation = clv.simulate(buying, some, "4 weeks", draws=100, seed=3)
    _, block = next(simulation.blocks(["alive", "purchase_rate", "rate_year_ago", "time_since_leaving", "T"]))
    since = np.broadcast_to(np.minimum(block["T"], 52.0), block["alive"].shape)
    before = block["time_since_leaving"] >= since
    assert before.sum() == 0 or (block["purchase_rate"] == block["rate_year_ago"])[before].all()
    assert (block["purchase_rate"] != block["rate_year_ago"])[~before].mean() > 0.99


def test_nobody_grows_whose_rate_is_one_for_ever(make_buying, make_customers):
    few = make_customers(5)
    with pytest.raises(InputError, match="the same for ever.*drift=True"):
        clv.predictions.changes(make_buying(draws=10), few, seed=1)
    assert "rate_year_ago" not in clv.simulate(make_buying(draws=10), few, seed=1).names
