"""Customers asleep and gone: alarms tell them apart, and those first are woken whose waking is worth most."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.targeting.winning_back import state_words

HISTORIES = {
    "often, silent": np.arange(1.0, 20.0, 1.0),
    "often, here": np.arange(1.0, 40.0, 1.0),
    "seldom, silent": np.array([5.0, 15.0]),
    "once": np.array([]),
}
POPULATION = {"r": 0.8, "alpha": 4.0, "a": 0.8, "b": 3.0, "nu": 0.02}


@pytest.fixture(scope="module")
def customers():
    return clv.customers.from_table(
        pd.DataFrame(
            {
                "customer_id": list(HISTORIES),
                "frequency": [each.size for each in HISTORIES.values()],
                "recency": [each.max(initial=0.0) for each in HISTORIES.values()],
                "T": 40.0,
                "monetary_value": [30.0, 30.0, 30.0, np.nan],
                "purchase_times": list(HISTORIES.values()),
            }
        ),
        time_unit="week",
    )


@pytest.fixture(scope="module")
def make(make_posterior):
    def made(w):
        return make_posterior("mbg_nbd_returns", POPULATION | {"w": w}, sd=0.05, chains=1, draws=20)

    return made


def of(found, name, who):
    return float(found[name].sel(customer=who))


def test_alarms_tell_asleep_from_gone(make, customers):
    value = xr_value(customers)
    found = clv.churn_alarms(make(0.5), customers, value=value)
    assert found.attrs["of"] == "probability_awake"
    states = sum(found[f"probability_{name}"] for name in ("awake", "asleep", "gone"))
    np.testing.assert_allclose(states, 1.0, rtol=1e-9)
    np.testing.assert_allclose(
        found["probability_alive"], found["probability_awake"] + found["probability_asleep"], rtol=1e-9
    )
    assert bool(found["alarmed"].sel(customer="often, silent"))
    assert not bool(found["alarmed"].sel(customer="often, here"))
    # At the alarm it is the threshold.
    where = customers.sel(customer=["often, silent"])
    short = found["alarm_silence"].sel(customer="often, silent").item()
    then = where.assign(T=where["recency"] + short)
    assert of(clv.churn_alarms(make(0.5), then), "probability_awake", "often, silent") == pytest.approx(
        0.5, abs=1e-4
    )
    expected = (1 - found["probability_awake"]) * value["value_mean"]
    np.testing.assert_allclose(found["value_at_risk"], expected)
    words = clv.table(found).set_index("customer_id")["state"]
    waking = of(found, "probability_waking", "often, silent") / of(
        found, "probability_asleep", "often, silent"
    )
    assert 0.3 < waking < 0.5
    assert words["often, here"].startswith("awake")
    assert words["often, silent"].split(" ")[0] in ("asleep", "gone")


def xr_value(customers):
    return customers[["T"]].rename(T="value_mean").assign_attrs(horizon=26.0)


def test_nobody_is_gone_where_all_come_back_and_alarms_are_there_all_the_same(make, customers):
    found = clv.churn_alarms(make(0.0), customers)
    assert (found["probability_alive"] == 1).all()
    assert bool(found["alarmed"].sel(customer="often, silent"))
    assert "probability_waking" not in found
    assert clv.table(found).set_index("customer_id").loc["often, silent", "state"].startswith("asleep (")


def test_those_are_woken_first_whose_waking_is_worth_most(make, make_spending, customers):
    found = clv.targeting.win_back(
        make(0.0),
        customers,
        "26 weeks",
        spending=make_spending(draws=20),
        margin=0.5,
        annual_discount_rate=0.1,
    )
    table = clv.table(found)
    assert table["customer_id"].iloc[0] == "often, silent"
    assert (np.diff(table["value_woken"]) <= 0).all()
    # One purchase a week while awake, half of spend, some 30 an occasion.
    more = of(found, "purchases_woken", "often, silent")
    assert 0 < more < 26
    assert of(found, "value_woken", "often, silent") == pytest.approx(0.5 * 30 * more, rel=0.15)
    # More probably asleep is not worth more: one who buys seldom is called later.
    seldom = of(found, "purchases_woken", "seldom, silent")
    assert seldom < 0.5 * more
    assert table.iloc[0]["state"].startswith("asleep (")
    assert "back within 26 weeks with" in table.iloc[0]["state"]
    without = clv.targeting.win_back(make(0.0), customers, "26 weeks")
    assert "value_woken" not in without
    np.testing.assert_allclose(without["purchases_woken"], found["purchases_woken"], rtol=0.05)


def test_waking_costs_its_orders_and_defaults(make, make_spending, customers):
    given = {"spending": make_spending(draws=20), "annual_discount_rate": 0.0}
    own = customers.assign(order=("customer", [3.0, 2.0, 1.0, 0.5]), risk=("customer", [0.1, 0.0, 0.2, 0.3]))
    stated = clv.predictions.costs(
        margin=0.5,
        cost_per_order="order",
        cost_to_serve=0.4,
        default_probability="risk",
        loss_given_default=0.8,
    )
    gross = clv.targeting.win_back(make(0.0), own, "26 weeks", margin=0.5, **given)
    found = clv.targeting.win_back(make(0.0), own, "26 weeks", costs=stated, **given)
    less = own["order"] * gross["purchases_woken"]
    wanted = gross["value_woken"] * (0.5 - 0.8 * own["risk"]) / 0.5 - less
    np.testing.assert_allclose(found["value_woken"], wanted, rtol=1e-10)
    assert found.attrs["costs"] == stated.text
    # With a discount rate and a risk that is learned, whose draws go with those of spend.
    risk = clv.inference.fit_default(own, {"often, silent": 1, "often, here": 0, "once": 0}, draws=20, seed=1)
    given |= {"annual_discount_rate": 0.2}
    learned = clv.predictions.costs(default_probability=risk)
    gross = clv.targeting.win_back(make(0.0), own, "26 weeks", **given)
    found = clv.targeting.win_back(make(0.0), own, "26 weeks", costs=learned, **given)
    share = found["value_woken"] / gross["value_woken"]
    assert ((share > 0.2) & (share < 1)).all()
    with pytest.raises(clv.InputError, match="some sleeps never end.*Leave cost_to_serve out"):
        clv.targeting.win_back(make(0.5), own, "26 weeks", costs=stated, **given)
    with pytest.raises(clv.InputError, match="Costs need money"):
        clv.targeting.win_back(make(0.0), own, "26 weeks", costs=stated)


def test_where_whoever_leaves_is_gone_nobody_is_woken(make_buying, make_customers):
    with pytest.raises(clv.InputError, match="gone for ever.*returns=True"):
        clv.targeting.win_back(make_buying(draws=10), make_customers(3))


def test_the_lifecycle_has_a_stage_of_sleep(make, customers):
    draws = clv.simulate(make(0.3), customers, "26 weeks", draws=200, seed=1)
    found = clv.segment(draws, clv.segments.lifecycle(sleeping=True))
    asleep = found["membership"].sel(segment="asleep")
    assert float(asleep.sel(customer="often, silent")) > 0.3
    assert float(asleep.sel(customer="often, here")) < 0.2
    names = ["asleep", "alive", "probability_asleep", "probability_gone", "probability_waking"]
    places, block = next(draws.blocks(names))
    np.testing.assert_allclose(asleep.to_numpy()[places], block["asleep"].mean(axis=1), atol=1e-6)
    error = 4.5 * np.sqrt(0.25 / 20)
    assert (np.abs(block["asleep"].mean(axis=1) - block["probability_asleep"].mean(axis=1)) < error).all()
    assert (block["asleep"] <= block["alive"]).all()
    assert (block["probability_waking"] <= block["probability_asleep"]).all()


def test_states_in_words():
    assert state_words(0.9, 0.06, 0.04) == "awake (90 %)"
    assert state_words(0.1, 0.8, 0.1, 0.4, "a year") == "asleep (80 %), back within a year with 50 %"
    assert state_words(0.1, 0.8, 0.1) == "asleep (80 %)"


def test_whoever_is_below_the_threshold_is_alarmed(make_posterior):
    """P(awake) falls with silence and rises again, those silent so long being the slowest buyers, awake once more."""
    some = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("purchase_times",))
    some = some.isel(customer=slice(0, None, 20))
    known = {"r": 0.5, "alpha": 7.0, "a": 0.8, "b": 2.0, "nu": 0.005, "w": 0.0}
    posterior = make_posterior("mbg_nbd_returns", known, sd=0.05, chains=1, draws=10)
    found = clv.churn_alarms(posterior, some, threshold=0.6)
    np.testing.assert_array_equal(found["alarmed"], found["probability_awake"] <= 0.6)
    assert 0.3 < found["alarmed"].mean() < 0.9
    np.testing.assert_array_equal(found["alarmed"], found["alarm_in"] <= 0)
    # Of those who are above it: at their alarm it is the threshold, and none is missed that would have one in a while.
    ahead = found["alarm_in"].to_numpy() > 0
    later = some.isel(customer=ahead & np.isfinite(found["alarm_silence"].to_numpy()))
    short = found["alarm_silence"].sel(customer=later["customer"])
    then = clv.churn_alarms(posterior, later.assign(T=later["recency"] + short), threshold=0.6)
    np.testing.assert_allclose(then["probability_awake"], 0.6, atol=1e-3)
    never = np.isinf(clv.churn_alarms(posterior, some, threshold=0.4)["alarm_silence"].to_numpy())
    assert 0.3 < never.mean() < 0.9
    none = some.isel(customer=never)
    for more in (5.0, 20.0, 80.0):
        aged = clv.churn_alarms(posterior, none.assign(T=none["T"] + more), threshold=0.4)
        assert not aged["alarmed"].any()
