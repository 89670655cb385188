"""The simulation, draw by draw: of it predict is a summary, and each draw's numbers belong together."""

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.predictions.simulation import OUTCOMES

MONEY = {"horizon": "26 weeks", "margin": 0.3, "annual_discount_rate": 0.1}
ALL = (
    "alive",
    "purchase_rate",
    "purchases",
    "spend",
    "value",
    "spend_per_purchase",
    "probability_alive",
    "T",
)


def gathered(draws, names, threads=None):
    """Return every quantity as one (customer, draw) array, in the customers' order."""
    found = {name: np.full((draws.customers.sizes["customer"], draws.size), np.nan) for name in names}
    for places, block in draws.blocks(names, threads):
        for name in names:
            found[name][places] = block[name]
    assert not any(np.isnan(each).any() for each in found.values())
    return found


@pytest.fixture(scope="module")
def few():
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("log_intervals",))
    return customers.isel(customer=slice(0, None, 8))


def posteriors(family, few):
    # At a fixed k the same of every draw: the data would choose 1, which is BG/NBD.
    priors = {"k": 3} if family == "bg_cnbd_k" else None
    return clv.fit(family, few, method="laplace", draws=500, seed=1, priors=priors)


# The slow one draws each customer by itself.
QUICK_AND_FULL = ["bg_nbd", "pareto_nbd", "bg_cnbd_k", pytest.param("pareto_abe", marks=pytest.mark.full)]


@pytest.mark.parametrize("family", QUICK_AND_FULL)
def test_predict_is_a_summary_of_the_simulation(family, few, make_spending):
    """With one seed and all draws it is the same future, number by number; totals add up, whatever the segments."""
    buying, spending = posteriors(family, few), make_spending(draws=500)
    simulation = clv.simulate(buying, few, spending=spending, draws=10_000, seed=1, **MONEY)
    value = clv.predict(buying, few, spending=spending, seed=1, own=True, keep_draws=True, **MONEY)
    assert simulation.size == value.attrs["draws"] == 2000
    own = tuple(name for name in simulation.latent if name != "alive")
    found = gathered(simulation, (*OUTCOMES, *own))
    for name, each in found.items():
        kept = value[name].transpose("customer", "chain", "draw").to_numpy().reshape(each.shape)
        np.testing.assert_array_equal(kept, each, err_msg=name)
    for name in OUTCOMES:
        total = value[f"{name}_total"].to_numpy().ravel()
        np.testing.assert_allclose(total, found[name].sum(axis=0), rtol=1e-12)
    for name in own:
        np.testing.assert_allclose(value[f"{name}_sd"], found[name].std(axis=1, ddof=1), rtol=1e-9)


def test_totals_of_segments_add_up_to_those_of_predict(few, make_buying, make_spending):
    buying, spending = make_buying(), make_spending()
    simulation = clv.simulate(buying, few, spending=spending, draws=10_000, seed=6, **MONEY)
    found = clv.segment(simulation, clv.segments.lifecycle(), totals=("purchases", "value"))
    value = clv.predict(buying, few, spending=spending, seed=6, **MONEY)
    for name in ("purchases_total", "value_total"):
        np.testing.assert_allclose(
            found[name].sum("segment").to_numpy(), value[name].to_numpy().ravel(), rtol=1e-12
        )


@pytest.mark.parametrize("family", ["bg_nbd", "pareto_nbd"])
def test_the_next_purchase_is_the_first_of_the_future(family, few):
    buying = posteriors(family, few)
    names = ("purchases", "time_to_purchase", "time_since_leaving", "alive")
    found = gathered(clv.simulate(buying, few, horizon=26.0, draws=500, seed=1), names)
    np.testing.assert_array_equal(found["purchases"] > 0, found["time_to_purchase"] <= 26.0)
    wait = clv.next_purchase(buying, few, draws=500, seed=1, quantiles=[0.1, 0.5])
    np.testing.assert_array_equal(
        wait["wait"], np.quantile(found["time_to_purchase"], [0.1, 0.5], axis=1, method="inverted_cdf").T
    )
    np.testing.assert_array_equal(
        wait["probability_ever"], np.isfinite(found["time_to_purchase"]).mean(axis=1)
    )
    assert wait.attrs["monte_carlo_error"] == pytest.approx(0.5 / np.sqrt(500))
    since, silence = found["time_since_leaving"], (few["T"] - few["recency"]).to_numpy()[:, None]
    np.testing.assert_array_equal(since == 0, (found["alive"] == 1) | (silence == 0))
    assert (since <= silence).all()
    if family == "bg_nbd":
        np.testing.assert_array_equal(since, np.where(found["alive"] == 1, 0.0, silence))


def test_numbers_of_one_draw_belong_together(few, make_spending):
    buying, spending = posteriors("mbg_nbd", few), make_spending(draws=500)
    found = gathered(clv.simulate(buying, few, spending=spending, draws=2000, seed=1, **MONEY), ALL)
    assert (found["purchases"][found["alive"] == 0] == 0).all()
    assert ((found["spend"] > 0) == (found["purchases"] > 0)).all()
    assert (found["value"] <= 0.3 * found["spend"] + 1e-9).all()
    # Given the level, the mean of an occasion is the level: the sum of spend less level × purchases is noise.
    surplus = found["spend"] - found["spend_per_purchase"] * found["purchases"]
    error = np.sqrt((surplus**2).sum())
    assert abs(surplus.sum()) < 5 * error
    # Fast and slow draws of one customer differ in what they buy.
    alive = found["alive"] == 1
    fast = found["purchase_rate"] > np.median(found["purchase_rate"], axis=1, keepdims=True)
    assert found["purchases"][alive & fast].mean() > 1.5 * found["purchases"][alive & ~fast].mean()


@pytest.mark.parametrize("family", QUICK_AND_FULL)
def test_active_time_is_the_horizon_until_the_customer_leaves(family, few, make_spending):
    draws = clv.simulate(
        posteriors(family, few), few, spending=make_spending(draws=500), draws=500, seed=1, **MONEY
    )
    wanted = ("alive", "active_time", "purchases", "spend", "value", "purchase_rate")
    found = gathered(draws, wanted)
    time, alive = found["active_time"], found["alive"] == 1
    assert (time[~alive] == 0).all()
    assert (time[alive] > 0).all()
    assert time.max() == 26.0
    # Who has left by the end has bought then (by a purchase alone), or at any time.
    left = alive & (time < 26.0)
    if family in ("bg_nbd", "bg_cnbd_k"):
        assert (found["purchases"][left] >= 1).all()
    else:
        assert (found["purchases"][left] == 0).any()
    # Of a Poisson process, purchases less rate × time until a stopping time is a martingale: its mean is 0. Its
    # variance is the mean of rate × time; regular purchases have less, and the wait now running is not a new one.
    if family != "bg_cnbd_k":
        surplus = found["purchases"] - found["purchase_rate"] * time
        error = np.sqrt((found["purchase_rate"] * time).sum())
        assert abs(surplus.sum()) < 5 * error
    # Asking for it changes nothing else.
    alone = gathered(draws, tuple(name for name in wanted if name != "active_time"))
    for name, each in alone.items():
        np.testing.assert_array_equal(each, found[name])


def test_neither_order_nor_threads_change_anything(few, make_buying, make_spending):
    buying, spending = make_buying(), make_spending()
    one = gathered(clv.simulate(buying, few, spending=spending, draws=50, seed=3), ALL, threads=1)
    two = gathered(clv.simulate(buying, few, spending=spending, draws=50, seed=3), ALL, threads=2)
    turned = few.isel(customer=slice(None, None, -1))
    other = gathered(clv.simulate(buying, turned, spending=spending, draws=50, seed=3), ALL)
    for name in ALL:
        np.testing.assert_array_equal(one[name], two[name])
        np.testing.assert_array_equal(one[name], other[name][::-1])
    again = gathered(clv.simulate(buying, few, spending=spending, draws=50, seed=4), ALL)
    assert (again["purchases"] != one["purchases"]).any()


def test_what_is_not_there_is_named(few, make_buying):
    draws = clv.simulate(make_buying(), few, draws=50, seed=3)
    assert "value" not in draws.names
    with pytest.raises(clv.InputError, match="'value' is not known here.*money needs a spending posterior"):
        next(draws.blocks(["value"]))
    with pytest.raises(clv.InputError, match="draws=0 must be at least 1"):
        clv.simulate(make_buying(), few, draws=0, seed=3)
    with pytest.raises(clv.InputError, match="margin must be finite"):
        clv.simulate(make_buying(), few, margin=0.0, seed=3)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "pareto_nbd", "bg_cnbd_k"])
def test_the_customers_own_numbers_have_their_exact_means(family, few):
    buying = posteriors(family, few)
    draws = clv.simulate(buying, few, draws=2000, seed=5)
    dropout = draws.latent[2]
    found = gathered(draws, ("alive", "purchase_rate", dropout))
    forecast = draws.buying.forecast
    history = {name: few[name].to_numpy()[:, None] for name in ("frequency", "recency", "T")}
    exact = forecast.latent_means(history, draws.buying.values)
    for name, mean in zip(("purchase_rate", dropout), exact, strict=True):
        # Each draw differs from its own mean by chance alone; five errors, of some 300 customers and two names.
        surplus = found[name] - mean
        error = surplus.std(axis=1) / np.sqrt(draws.size)
        assert np.abs(surplus.mean(axis=1) / error).max() < 5, name
    # Together: of one alive the state says the mean rate, k / scale (with phases it depends on those passed).
    if family != "bg_cnbd_k":
        chance = forecast.alive(history, draws.buying.values)
        k, scale, *_ = forecast.state(history, draws.buying.values)
        surplus = found["purchase_rate"] * found["alive"] - chance * k / scale
        error = surplus.std(axis=1) / np.sqrt(draws.size)
        assert np.abs(surplus.mean(axis=1) / error).max() < 5


def test_a_customers_numbers_are_its_own(few, make_spending):
    buying, spending = posteriors("mbg_nbd", few), make_spending(draws=500)
    everything = (*ALL, "dropout")
    whole = gathered(clv.simulate(buying, few, spending=spending, draws=100, seed=3, **MONEY), everything)
    company = few.isel(customer=slice(0, None, 3))
    alone = clv.simulate(buying, company, spending=spending, draws=100, seed=3, **MONEY)
    # Neither other customers nor what else is asked for, nor a longer horizon where only the own numbers are.
    for name in everything:
        np.testing.assert_array_equal(gathered(alone, (name,))[name], whole[name][::3], err_msg=name)
    longer = clv.simulate(
        buying, company, spending=spending, draws=100, seed=3, **(MONEY | {"horizon": "52 weeks"})
    )
    found = gathered(longer, everything)
    for name in ("alive", "purchase_rate", "dropout", "spend_per_purchase"):
        np.testing.assert_array_equal(found[name], whole[name][::3], err_msg=name)
    assert (found["purchases"] >= whole["purchases"][::3]).all()
    assert (found["purchases"] > whole["purchases"][::3]).any()


def test_the_level_of_spend_is_the_customers_own(few, make_buying, make_spending):
    draws = clv.simulate(make_buying(), few, spending=make_spending(draws=500), draws=2000, seed=5)
    level = gathered(draws, ("spend_per_purchase",))["spend_per_purchase"]
    known = {name: draws.columns[name][:, None] for name in ("occasions", "mean_spend")}
    surplus = level - draws.spending.level.expected(known, draws.spending.values)
    error = surplus.std(axis=1) / np.sqrt(draws.size)
    assert np.abs(surplus.mean(axis=1) / error).max() < 5
