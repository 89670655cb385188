"""Customer equity and its bridge: sums, those to come, who holds it; steps that add up in every draw; calibration."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from bayes_clv.predictions.parameters import parameters
from bayes_clv.valuation import customer_equity, equity_bridge, predict_newcomers
from bayes_clv.valuation.cohort import expected_new_customer, newcomers_plan
from bayes_clv.valuation.equity import TOPS

HORIZON, GAP = 20.0, 13.0
TERMS = {"margin": 0.3, "annual_discount_rate": 0.1}


def coming(counts, ends, until="1997-09-30", horizon=HORIZON):
    """Return a forecast of new customers by hand, (draw, cohort)."""
    counts = np.asarray(counts, dtype=float)
    coords = {"draw": np.arange(len(counts)), "period_end": ("cohort", np.asarray(ends, dtype=float))}
    attrs = {"result": "newcomers", "horizon": horizon, "until": until, "time_unit": "week"}
    return xr.Dataset({"newcomers": (("draw", "cohort"), counts)}, coords, attrs)


@pytest.fixture(scope="module")
def fits(make_buying, make_spending):
    return make_buying(chains=1, draws=80), make_spending(chains=1, draws=80)


@pytest.fixture(scope="module")
def days(make_customers):
    """The same customers as known on an earlier and on a later day, by CDNOW's log."""
    orders = clv.load_cdnow()
    later = clv.summarize(orders, until="1997-09-30")
    chosen = later["customer"].values[::6]
    earlier = clv.summarize(orders[orders["customer_id"].isin(chosen)], until="1997-02-28")
    later = clv.summarize(orders[orders["customer_id"].isin(chosen)], until="1997-07-31")
    return earlier, later


@pytest.fixture(scope="module")
def simulations(fits, days):
    return tuple(clv.simulate(fits[0], each, HORIZON, spending=fits[1], seed=4, **TERMS) for each in days)


@pytest.fixture(scope="module")
def bridge(simulations):
    rng = np.random.default_rng(1)
    forecasts = tuple(
        coming(rng.poisson(rate, (80, 3)), [8, 16, 20], until=each.customers.attrs["until"])
        for rate, each in zip((6, 3), simulations, strict=True)
    )
    return equity_bridge(*simulations, newcomers=forecasts, acquisition_cost=4.0), forecasts


def test_present_is_what_predict_says_draw_by_draw(fits, days, simulations):
    value = clv.predict(fits[0], days[1], HORIZON, spending=fits[1], seed=4, **TERMS)
    found = customer_equity(simulations[1])
    np.testing.assert_allclose(found["present"], value["value_total"].values.ravel(), rtol=1e-9)
    np.testing.assert_array_equal(found["equity"], found["present"])
    assert (found["future"] == 0).all()
    assert (found["share_present"] == 1).all()
    assert float(found["present_mean"]) == pytest.approx(float(found["present"].mean()))


def test_those_to_come_are_worth_what_new_customers_are_to_the_end(
    make_buying, make_spending, make_customers
):
    """Certain parameters: the mean of 400 draws of 40 and 25 customers is the closed form, within 4 errors."""
    fit, money = make_buying(sd=0, chains=1, draws=400), make_spending(sd=0, chains=1, draws=400)
    draws = clv.simulate(
        fit,
        make_customers(5),
        HORIZON,
        spending=money,
        draws=400,
        seed=2,
        margin=0.3,
        annual_discount_rate=4.0,
    )
    forecast = coming(np.broadcast_to([40.0, 25.0], (400, 2)), [12, HORIZON])
    found = customer_equity(draws, forecast, acquisition_cost=5.0)
    posterior, payments = parameters(fit, "buying"), parameters(money, "spending")
    for k, (start, people) in enumerate(((6.0, 40), (16.0, 25))):
        _, spend = expected_new_customer(posterior, payments, HORIZON - start, draws.discount)
        now = np.exp(-draws.discount * start)
        each = found["cohort_value"].values[:, k]
        assert each.mean() == pytest.approx(
            now * people * (0.3 * spend[0] - 5.0), abs=4 * each.std() / 400**0.5
        )
    cost = 5.0 * (40 * np.exp(-draws.discount * 6) + 25 * np.exp(-draws.discount * 16))
    np.testing.assert_allclose(found["acquisition"], cost)
    np.testing.assert_allclose(found["future"], found["cohort_value"].sum("cohort"))
    np.testing.assert_allclose(found["equity"], found["present"] + found["future"])
    # The first comers of a cohort are those of a larger one; other cohorts are other people.
    more = customer_equity(draws, coming(np.broadcast_to([40.0, 30.0], (400, 2)), [12, HORIZON]))
    np.testing.assert_allclose(
        more["cohort_value"][:, 0] - found["cohort_value"][:, 0],
        found["acquisition"] * 0 + 200 * np.exp(-draws.discount * 6),
    )
    assert (more["cohort_value"][:, 1] >= found["cohort_value"][:, 1]).all()
    assert np.corrcoef(found["cohort_value"].values.T)[0, 1] < 4 / 400**0.5


def test_a_calendar_of_spend_goes_on_from_when_they_come(make_buying, make_spending):
    """Who comes in the third period pays as of it; a clock starts then, too."""
    buying = parameters(make_buying(chains=1, draws=4), "buying")
    payments = parameters(make_spending(chains=1, draws=4), "spending")
    known_for = SimpleNamespace(calendar=SimpleNamespace(width=3.0), take=lambda index: known_for)
    pace = np.arange(20.0).reshape(4, 5) + 1
    paced = replace(payments, calendar=known_for, ahead=pace)
    for start, periods in ((0.0, slice(0, 5)), (7.5, slice(2, 5)), (99.0, slice(4, 5))):
        plan = newcomers_plan(buying, paced, 3, 10.0, 0.0, 1, start=start)
        np.testing.assert_array_equal(plan.money.ahead, pace[:, periods])


def test_a_draw_in_which_nobody_comes_has_no_future(simulations):
    counts = np.zeros((80, 2))
    counts[::2] = 3
    found = customer_equity(simulations[1], coming(counts, [10, 20], until="1997-07-31"))
    assert (found["future"][1::2] == 0).all()
    assert (found["future"][::2] > 0).all()


def test_beyond_the_most_that_are_simulated_all_are_alike(simulations, monkeypatch):
    counts = np.full((80, 1), 50.0)
    forecast = coming(counts, [20], until="1997-07-31")
    monkeypatch.setattr("bayes_clv.valuation.equity.MOST", 25)
    scaled = customer_equity(simulations[1], forecast)
    half = customer_equity(simulations[1], coming(counts / 2, [20], until="1997-07-31"))
    np.testing.assert_allclose(scaled["future"], 2 * half["future"])


def test_who_holds_it_is_counted_by_hand(simulations):
    found = customer_equity(simulations[1])
    size = simulations[1].customers.sizes["customer"]
    value = np.empty((size, 80))
    for places, block in simulations[1].blocks(["value"]):
        value[places] = block["value"]
    order = np.argsort(-value.mean(axis=1), kind="stable")
    for k, top in enumerate(TOPS):
        best = order[: max(round(top * size), 1)]
        np.testing.assert_allclose(found["concentration"][:, k], value[best].sum(axis=0) / value.sum(axis=0))


def test_the_steps_add_up_in_every_draw(bridge, simulations):
    found, forecasts = bridge
    change = found["closing"] - found["opening"]
    scale = float(abs(found["closing"]).max())
    assert float(abs(found["contribution"].sum("step") - change).max()) < 1e-12 * scale * 100
    for each, forecast, name in zip(simulations, forecasts, ("opening", "closing"), strict=True):
        equity = customer_equity(each, forecast, acquisition_cost=4.0)["equity"]
        np.testing.assert_allclose(found[name], equity, rtol=1e-10)
    assert (found["contribution"].sel(step="lost") <= 0).all()
    assert (found["contribution"].sel(step="new") >= 0).all()
    assert found.attrs["customers_new"] == found.attrs["customers"] - found.attrs["customers_before"] > 0
    # Means add up too, to rounding.
    mean = found["opening_mean"] + found["contribution_mean"].sum()
    assert float(mean) == pytest.approx(float(found["closing_mean"]))


def test_the_steps_are_what_they_are_called(bridge, simulations, days):
    """By hand, with all customers and draws at hand at once."""
    found, _ = bridge
    names = ["value", "discounted_purchases", "active_time", "alive", "time_since_leaving"]

    def whole(simulation):
        out = {name: np.empty((simulation.customers.sizes["customer"], 80)) for name in names}
        for places, block in simulation.blocks(names):
            for name in names:
                out[name][places] = block[name]
        return out

    then, now = (whole(each) for each in simulations)
    ids = [each["customer"].values.astype(str).tolist() for each in days]
    at = [ids[1].index(name) for name in ids[0]]
    came = np.setdiff1d(np.arange(len(ids[1])), at)
    np.testing.assert_allclose(found["contribution"].sel(step="new"), now["value"][came].sum(axis=0))
    gap = float((days[1]["T"].values[at] - days[0]["T"].values)[0])
    gone = now["alive"][at] == 0
    lost = gone & (now["time_since_leaving"][at] <= gap + 1e-9)
    np.testing.assert_allclose(found["contribution"].sel(step="lost"), -(then["value"] * lost).sum(axis=0))
    np.testing.assert_array_equal(found["customers_lost"], lost.sum(axis=0))
    # Those who are here: time, rate and spend explain all of their change.
    change = ((now["value"][at] - then["value"]) * ~gone).sum(axis=0)
    explained = found["contribution"].sel(step=["revised", "rate", "spend"]).sum("step").values
    np.testing.assert_allclose(explained, change - (then["value"] * (gone & ~lost)).sum(axis=0))
    rate = [
        (each["discounted_purchases"][rows] * ~gone).sum(axis=0)
        / (each["active_time"][rows] * ~gone).sum(axis=0)
        for each, rows in ((then, slice(None)), (now, at))
    ]
    up = (rate[1] > rate[0]) == (found["contribution"].sel(step="rate").values > 0)
    assert up.all()


def test_a_margin_scales_every_step(fits, days, bridge, simulations):
    doubled = (
        clv.simulate(fits[0], each, HORIZON, spending=fits[1], seed=4, **TERMS | {"margin": 0.6})
        for each in days
    )
    plain, twice = equity_bridge(*simulations), equity_bridge(*doubled)
    np.testing.assert_allclose(twice["contribution"], 2 * plain["contribution"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(twice["return_on_customer"], plain["return_on_customer"])
    # Without those to come the other steps are as with them.
    np.testing.assert_allclose(
        plain["contribution"].isel(step=slice(5)), bridge[0]["contribution"].isel(step=slice(5))
    )


def test_return_on_customer(bridge, days):
    found, _ = bridge
    earned = 0.3 * float(days[1]["historical_spend"].sum() - days[0]["historical_spend"].sum())
    earned -= 4.0 * found.attrs["customers_new"]
    assert found.attrs["earned"] == pytest.approx(earned)
    np.testing.assert_allclose(
        found["return_on_customer"], (earned + found["closing"] - found["opening"]) / found["opening"]
    )


def test_a_customer_who_vanished_is_revised(simulations, fits, days):
    """All that it had bought came back: its value goes, and the bridge still adds up."""
    fewer = days[1].isel(customer=slice(1, None))
    closing = clv.simulate(fits[0], fewer, HORIZON, spending=fits[1], seed=4, **TERMS)
    found = equity_bridge(simulations[0], closing)
    np.testing.assert_allclose(
        found["contribution"].sum("step"), found["closing"] - found["opening"], atol=1e-8
    )
    assert any("1 customers of the opening are not in the closing" in each for each in found.attrs["reasons"])


def simulated(rng, base, ages, horizon):
    """Return (known summary, value to come) of BG/NBD customers who came ``ages`` ago (below 0: who will come)."""
    size = ages.size
    rate = rng.gamma(base["r"], 1 / base["alpha"], size)
    leave = rng.beta(base["a"], base["b"], size)
    level = rng.gamma(base["q"], 1 / base["v"], size)
    steps = 120
    times = np.cumsum(rng.exponential(1 / np.maximum(rate, 1e-12)[:, None], (size, steps)), axis=1)
    alive = np.cumprod(rng.random((size, steps)) > leave[:, None], axis=1)
    # A purchase happens if the coin was well after each before it.
    bought = np.concatenate([np.ones((size, 1)), alive[:, :-1]], axis=1) > 0
    spent = rng.gamma(base["p"], 1 / level[:, None], (size, steps))
    at = times - ages[:, None]
    past, later = bought & (at <= 0), bought & (at > 0) & (at <= horizon)
    frequency = past.sum(axis=1)
    recency = np.where(past, times, 0).max(axis=1)
    mean = np.where(frequency > 0, (spent * past).sum(axis=1) / np.maximum(frequency, 1), np.nan)
    first = np.where(ages < 0, rng.gamma(base["p"], 1 / level), 0)
    return frequency, recency, mean, (spent * later).sum(axis=1) + first


TRUTH = {"r": 0.8, "alpha": 6.0, "a": 0.7, "b": 2.5, "p": 6.0, "q": 4.0, "v": 45.0}


@pytest.fixture(scope="module")
def told(make_buying, make_spending):
    """Return behaviour as it is, whoever the customers are."""
    buying, spending = (
        {name: TRUTH[name] for name in names} for names in (("r", "alpha", "a", "b"), ("p", "q", "v"))
    )
    fits = (
        make_buying(sd=0, chains=1, draws=200, **buying),
        make_spending(sd=0, chains=1, draws=200, **spending),
    )
    return lambda known: fits


def learned(known):
    """Return behaviour as it is learned from these customers."""
    return tuple(
        clv.fit(family, known, method="laplace", draws=50, seed=1) for family in ("bg_nbd", "gamma_gamma")
    )


def equity_rank(seed, fits_of):
    """Return where the real equity of one simulated world lies among the draws."""
    rng, base = np.random.default_rng(seed), TRUTH
    periods, ahead, width = 10, 5, 4.0
    step, shock = abs(rng.normal(0, 0.2)), abs(rng.normal(0, 0.3))
    moves = step * rng.standard_normal(periods + ahead) - step**2 / 2
    luck = rng.gamma(1 / shock**2, shock**2, periods + ahead)
    counts = rng.poisson(np.minimum(15 * np.exp(np.cumsum(moves)) * luck, 300))
    # Whole days, each period's first customers on its first day.
    ages = [width * (periods - k) - rng.integers(1, 29, n) / 7 for k, n in enumerate(counts)]
    age = np.concatenate(ages[:periods])
    age[np.argmax(age)] = periods * width - 1 / 7
    frequency, recency, mean, value = simulated(rng, base, age, HORIZON)
    *_, to_come = simulated(rng, base, np.concatenate(ages[periods:]), HORIZON)
    columns = {"frequency": frequency, "recency": recency, "T": age, "monetary_value": mean}
    known = xr.Dataset(
        {name: ("customer", each) for name, each in columns.items()},
        {"customer": np.array([f"c{i}" for i in range(age.size)], dtype=object)},
        {"time_unit": "week", "until": "2025-06-30"},
    )
    fit, money = fits_of(known)
    draws = clv.simulate(fit, known, HORIZON, spending=money, draws=200, seed=seed)
    forecast = predict_newcomers(known, HORIZON, period=width, draws=200, seed=seed)
    equity = customer_equity(draws, forecast)["equity"].values
    return float((equity < value.sum() + to_come.sum()).mean())


def check_even(ranks):
    """Intervals of 50 and 90 % hold within 3.5 standard errors, and the ranks are even."""
    ranks = np.asarray(ranks)
    for width in (0.5, 0.9):
        inside = (np.abs(ranks - 0.5) < width / 2).mean()
        assert inside == pytest.approx(width, abs=3.5 * (width * (1 - width) / ranks.size) ** 0.5)
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_intervals_of_equity_hold_in_simulated_worlds(told):
    check_even([equity_rank(seed, told) for seed in range(40)])


@pytest.mark.full
def test_intervals_of_equity_hold_in_many_simulated_worlds(told):
    check_even([equity_rank(seed, told) for seed in range(1000, 1400)])


@pytest.mark.full
def test_intervals_of_equity_hold_where_behaviour_is_learned():
    check_even([equity_rank(seed, learned) for seed in range(2000, 2040)])


def test_what_cannot_be_valued_is_refused(fits, days, simulations):
    with pytest.raises(clv.InputError, match="customer_equity needs money"):
        customer_equity(clv.simulate(fits[0], days[1], HORIZON, seed=4))
    with pytest.raises(clv.InputError, match="acquisition_cost=-1 must be one amount of money"):
        customer_equity(simulations[1], acquisition_cost=-1)
    with pytest.raises(
        clv.InputError, match="newcomers must be what clv.valuation.predict_newcomers returned"
    ):
        customer_equity(simulations[1], xr.Dataset())
    with pytest.raises(clv.InputError, match="forecast over 12 and the simulation looks 20 ahead"):
        customer_equity(simulations[1], coming(np.ones((80, 1)), [12], horizon=12.0))
    with pytest.raises(
        clv.InputError, match="forecast from 1997-09-30 and the simulation begins on 1997-07-31"
    ):
        customer_equity(simulations[1], coming(np.ones((80, 1)), [20]))


def test_days_that_make_no_bridge_are_refused(fits, days, simulations):
    opening, closing = simulations
    with pytest.raises(clv.InputError, match="weeks older than the opening's: the closing is the later day"):
        equity_bridge(closing, opening)
    with pytest.raises(clv.InputError, match="are 0 weeks older"):
        equity_bridge(opening, opening)

    def other(**changed):
        given = {"horizon": HORIZON, "spending": fits[1], "seed": 4, **TERMS} | changed
        return clv.simulate(fits[0], days[1], **given)

    for changed, message in (
        ({"margin": 0.4}, "different margins, 0.3 and 0.4"),
        ({"seed": 5}, "different seeds"),
        ({"draws": 40}, "different numbers of draws"),
        ({"annual_discount_rate": 0.2}, "different discount rates"),
        ({"horizon": 19.0}, "look 19 weeks ahead and the baseline 20"),
    ):
        with pytest.raises(clv.InputError, match=message):
            equity_bridge(opening, other(**changed))
    strangers = days[1].assign_coords(customer=[f"x{i}" for i in range(days[1].sizes["customer"])])
    with pytest.raises(clv.InputError, match="No customer of the opening is in the closing"):
        equity_bridge(opening, clv.simulate(fits[0], strangers, HORIZON, spending=fits[1], seed=4, **TERMS))
    with pytest.raises(clv.InputError, match="newcomers must be two forecasts"):
        equity_bridge(opening, closing, newcomers=coming(np.ones((80, 1)), [20]))
