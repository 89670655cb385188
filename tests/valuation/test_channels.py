"""Channels: a new customer's value over time, when it has paid, which channel beats which, and what to do."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from bayes_clv.families.registry import family
from bayes_clv.inference.effects import learn_effects
from bayes_clv.predictions import costs
from bayes_clv.predictions.parameters import new_customers, parameters
from bayes_clv.valuation import channel, channel_values, compare_channels
from bayes_clv.valuation.cohort import expected_new_customer, expected_over_time

CHANNELS = ("email", "search", "social")
DRAWS = 60
BUYING = {
    "population_purchase_rate": 0.06,
    "r": 0.6,
    "population_dropout": 0.3,
    "dropout_concentration": 3.0,
}
SPENDING = {"population_spend": 35.0, "p": 6.0, "q_above_one": 2.7}
TERMS = {"horizon": "52 weeks", "margin": 0.3, "annual_discount_rate": 0.1}


def grouped(name, population, effects):
    """Return a posterior by hand: log-normal draws about the population, offsets of the groups of 0.3."""
    rng = np.random.default_rng(3)
    shape, coords = (2, DRAWS // 2), {"chain": [0, 1], "draw": np.arange(DRAWS // 2)}
    drawn = {
        key: (("chain", "draw"), value * np.exp(0.05 * rng.standard_normal(shape)))
        for key, value in population.items()
    }
    plain = family(name).from_quantities({key: value for key, (_, value) in drawn.items()})
    drawn |= {key: (("chain", "draw"), value) for key, value in plain.items()}
    labels = effects.coords()
    for key, dims in effects.dims().items():
        value = 0.3 * rng.standard_normal((*shape, *(len(labels[dim]) for dim in dims)))
        drawn[key] = (("chain", "draw", *dims), np.abs(value) if key.endswith("_sd") else value)
    coords |= {dim: list(values) for dim, values in labels.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(drawn, coords=coords)})
    tree.attrs = {"family": name, "time_unit": "week", "seed": 7, "effects": effects.to_json()}
    return tree


@pytest.fixture(scope="module")
def customers(make_customers):
    of = np.array(CHANNELS, dtype=object)[np.arange(60) % 3]
    return make_customers(60).assign(channel=("customer", of))


@pytest.fixture(scope="module")
def both(customers):
    fits = (("bg_nbd", BUYING, {"purchase": "channel"}), ("gamma_gamma", SPENDING, "channel"))
    return tuple(
        grouped(name, population, learn_effects(family(name), customers, None, by))
        for name, population, by in fits
    )


@pytest.fixture(scope="module")
def values(both):
    return channel_values(*both, **TERMS)


def made(by_time, times=(0.0, 10.0, 20.0), names=CHANNELS):
    """Return values of channels by hand, from (draw, channel, time)."""
    coords = {"channel": np.array(names, dtype=object), "time": list(times)}
    drawn = np.asarray(by_time, dtype=float)
    attrs = {"time_unit": "week", "horizon": times[-1], "by": "channel"}
    return xr.Dataset({"value_by_time": (("draw", "channel", "time"), drawn)}, coords, attrs)


def test_what_is_in_by_the_end_is_the_value_of_a_new_customer(both, values):
    fits = parameters(both[0], "buying"), parameters(both[1], "spending")
    for name in CHANNELS:
        one = new_customers({"channel": name}, *fits)
        bought, spend = expected_new_customer(*one, 52.0, values.attrs["discount_rate"])
        here = values.sel(channel=name)
        np.testing.assert_allclose(here["purchases"], bought, rtol=1e-9)
        # Weeks at 10 % a year: half a week's discount, 1e-3, of what comes unevenly within a week.
        np.testing.assert_allclose(here["value_by_time"][:, -1], 0.3 * spend, rtol=1e-4)
    assert (values["value_by_time"].diff("time") > 0).all()
    first = channel_values(*both, horizon=1e-9, margin=0.3)["value_by_time"][..., 0]
    np.testing.assert_allclose(values["value_by_time"][..., 0], first, rtol=1e-12)


def test_channels_know_their_customers(both, customers):
    found = channel_values(
        *both, periods=1, draws=2, new=["fax"], customers=customers.isel(customer=slice(3, 58))
    )
    assert found["customers_known"].to_series().to_dict() == {
        "email": 19,
        "search": 18,
        "social": 18,
        "fax": 0,
    }
    texts = customers.assign(channel=customers["channel"].astype(str))
    again = channel_values(*both, periods=1, draws=2, customers=texts)
    assert again["customers_known"].values.tolist() == [20, 20, 20]
    assert compare_channels(found, 1.0, left_out=["search"])["customers_known"].values.tolist() == [19, 18, 0]
    with pytest.raises(clv.InputError, match="no column 'channel'"):
        channel_values(*both, periods=1, draws=2, customers=customers.drop_vars("channel"))


def test_a_new_customer_costs_what_those_of_its_channel_do(both, customers):
    at = np.arange(60)
    known = customers.assign(
        order=("customer", 0.1 * at),
        own=("customer", 0.2 + 0.01 * (at % 7)),
        risk=("customer", 0.01 * (at % 3)),
    )
    terms = {"horizon": "52 weeks", "annual_discount_rate": 0.1, "periods": 4}
    stated = costs(margin="own", cost_per_order="order", cost_to_serve=0.05, default_probability="risk")
    found = channel_values(*both, costs=stated, customers=known, new=["fax"], **terms)
    for name in (*CHANNELS, "fax"):
        mine = known if name == "fax" else known.isel(customer=known["channel"].values == name)
        one = costs(
            margin=float(mine["own"].mean()),
            cost_per_order=float(mine["order"].mean()),
            cost_to_serve=0.05,
            default_probability=float(mine["risk"].mean()),
        )
        alone = channel_values(*both, costs=one, new=["fax"], **terms).sel(channel=name)
        np.testing.assert_allclose(
            found["value_by_time"].sel(channel=name), alone["value_by_time"], rtol=1e-10
        )
    assert np.isnan(found.attrs["margin"])
    assert "cost per order column 'order'" in compare_channels(found, 5.0).attrs["costs"]
    with pytest.raises(clv.InputError, match="a new customer has no columns"):
        channel_values(*both, costs=stated, **terms)
    assert channel_values(*both, costs=costs(margin=0.25), periods=1, draws=2).attrs["margin"] == 0.25


def test_a_calendar_of_spend_moves_what_is_in(make_buying, make_spending):
    """Periods that do not divide the horizon: against the sum over the calendar's own periods."""
    known = parameters(make_buying(draws=5, chains=1), "buying")
    payments = parameters(make_spending(draws=5, chains=1), "spending")

    known_for = SimpleNamespace(calendar=SimpleNamespace(width=3.0), take=lambda index: known_for)
    pace = np.random.default_rng(1).gamma(4, 0.25, (5, 6))
    payments = replace(payments, calendar=known_for, ahead=pace)
    _, whole = expected_new_customer(known, payments, 16.0, 0.002)
    times, _, spend = expected_over_time(known, payments, 16.0, 0.002, 4)
    np.testing.assert_allclose(times, [0, 4, 8, 12, 16])
    np.testing.assert_allclose(spend[-1], whole, rtol=1e-4)
    first = payments.level.population_mean(payments.values) * pace[:, 0]
    np.testing.assert_allclose(spend[0], first, rtol=1e-12)


def test_a_channel_is_paid_when_the_margin_has_reached_its_cost(both, values):
    cost = float(values["value_by_time"].sel(channel="search")[:, 20].median())
    found = compare_channels(values, cost)
    payback = found["payback"].sel(channel="search").values
    later = np.isfinite(payback) & (payback > 0)
    assert later.mean() > 0.2
    fits = parameters(both[0], "buying"), parameters(both[1], "spending")
    one, payer = new_customers({"channel": "search"}, *fits)
    rate = values.attrs["discount_rate"]
    for draw in np.flatnonzero(later)[:5].tolist():
        _, spend = expected_new_customer(one, payer, float(payback[draw]), rate)
        # Straight between weeks, on a curve that bends little in one.
        assert 0.3 * spend[draw] == pytest.approx(cost, rel=1e-3)


def test_payback_at_once_straight_between_and_never():
    by_time = [[[5.0, 8.0, 9.0], [5.0, 8.0, 9.0], [5.0, 8.0, 9.0]]]
    found = compare_channels(made(by_time), {"email": 5.0, "search": 8.25, "social": 9.5})
    np.testing.assert_allclose(found["payback"], [[0.0, 12.5, np.inf]])
    assert found["probability_pays"].values.tolist() == [1.0, 1.0, 0.0]
    free = compare_channels(made(by_time), 0.0)
    assert (free["payback"] == 0).all()
    assert np.isinf(free["ratio"]).all()


def test_what_is_said_of_the_draws():
    end = np.array([[10.0, 7.0, 4.0], [6.0, 9.0, 4.0], [8.0, 8.0, 4.0], [2.0, 8.0, 4.0]])
    by_time = np.stack([0 * end + 1, end / 2, end], axis=-1)
    stated = [
        channel("social", cost=5.0, customers=10),
        channel("email", cost=6.5, customers=100),
        channel("search", cost=7.5),
    ]
    found = compare_channels(made(by_time), stated, test_cost=90.0)
    assert found["channel"].values.tolist() == list(CHANNELS)
    np.testing.assert_allclose(found["profit"].values[:, 0], [3.5, -0.5, 1.5, -4.5])
    np.testing.assert_allclose(found["probability_pays"], [0.5, 0.75, 0.0])
    np.testing.assert_allclose(found["loss_of_keeping"], [125.0, 0.125, 10.0])
    np.testing.assert_allclose(found["loss_of_stopping"], [125.0, 0.625, 0.0])
    np.testing.assert_allclose(found["expected_loss"], [125.0, 0.125, 0.0])
    assert found["decision"].values.tolist() == ["test", "keep", "stop"]
    without = compare_channels(made(by_time), stated)
    assert without["decision"].values.tolist() == ["keep", "keep", "stop"]
    np.testing.assert_allclose(found["probability_beats"].sel(channel="email"), [0.0, 0.5, 0.75])
    np.testing.assert_allclose(found["probability_best"], [0.5, 0.5, 0.0])
    assert found["stated"].values[0] == "cost 6.5; customers 100"
    np.testing.assert_allclose(found["ratio_q50"], [6 / 6.5, 8 / 7.5, 4 / 5])


def test_what_money_has_won_is_not_what_it_will_win():
    """Gamma(won + 1/2): the cost has the mean spent / (won - 1/2), within 4 standard errors of 4,000 draws."""
    draws = np.broadcast_to([1.0, 2.0, 30.0], (4000, 2, 3))
    stated = [channel("few", spent=200.0, won=10), channel("many", spent=20_000.0, won=1000)]
    found = compare_channels(made(draws, names=("few", "many")), stated, seed=5)
    cost = found["cost"].values
    for i, (spent, won) in enumerate([(200.0, 10), (20_000.0, 1000)]):
        assert cost[:, i].mean() == pytest.approx(spent / (won - 0.5), abs=4 * cost[:, i].std() / 4000**0.5)
    assert found["customers"].values.tolist() == [10, 1000]
    assert cost[:, 0].std() > 5 * cost[:, 1].std()
    # What is drawn for one does not depend on the others.
    alone = compare_channels(made(draws, names=("few", "many")), stated[:1], left_out=["many"], seed=5)
    np.testing.assert_array_equal(alone["cost"][:, 0], cost[:, 0])


def test_a_cost_with_its_own_doubt(values):
    stated = {"email": stats.norm(9, 1), "search": clv.Prior("Normal", mu=9, sigma=1), "social": 9.0}
    found = compare_channels(values, stated)
    for name in ("email", "search"):
        drawn = found["cost"].sel(channel=name).values
        assert drawn.mean() == pytest.approx(9, abs=4 / DRAWS**0.5)
    assert (found["cost"].sel(channel="social") == 9).all()


def test_leads_cost_what_a_lead_costs_over_how_many_pay(values):
    stated = [
        channel("email", cost_per_lead=2.0, leads=400, converted=90),
        channel("search", cost=9.0),
        channel("social", cost_per_lead=stats.norm(1.5, 0.1), leads=30, converted=5),
    ]
    found = compare_channels(values, stated, seed=2)
    conversion = found["conversion"]
    assert np.isnan(conversion.sel(channel="search")).all()
    np.testing.assert_allclose(found["cost"].sel(channel="email"), 2.0 / conversion.sel(channel="email"))
    np.testing.assert_allclose(found["lead_value"], conversion * found["value"])
    error = (0.225 * 0.775 / 400) ** 0.5
    assert float(conversion.sel(channel="email").mean()) == pytest.approx(0.225, abs=0.5 * error)
    # A lead pays where it is worth more than it costs, which is where its customer does.
    pays = (found["lead_value"] > 2.0).sel(channel="email")
    np.testing.assert_array_equal(pays, (found["profit"] > 0).sel(channel="email"))
    assert found["customers"].values.tolist() == [90, 1, 5]


def test_a_channel_not_yet_tried_is_less_sure(both, values):
    found = channel_values(*both, new=["podcast"], **TERMS)["value_by_time"][..., -1]
    assert found["channel"].values.tolist() == [*CHANNELS, "podcast"]
    xr.testing.assert_allclose(found.isel(channel=slice(3)), values["value_by_time"][..., -1])
    assert np.isfinite(found.sel(channel="podcast")).all()


def test_a_mean_that_does_not_exist_is_no_decision():
    by_time = np.ones((4, 3, 3))
    by_time[1, 0] = np.inf
    found = compare_channels(made(by_time), 0.5)
    assert np.isnan(found["value_mean"][0])
    assert found["decision"].values.tolist() == ["", "keep", "keep"]
    assert found["value_q50"].values.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("stated", "options", "message"),
    [
        ({"email": 1, "search": 2}, {}, r"what a channel costs: social\. State .*left_out = \['social'\]"),
        ({"email": 1}, {}, "what 2 of 3 channels cost: search, social"),
        (dict.fromkeys((*CHANNELS, "fax"), 1), {}, "the fits know no channel 'fax'. They know email, search"),
        ([channel("email", cost=1), channel("email", cost=2)], {}, "'email' is there twice"),
        (["email"], {}, "made by clv.valuation.channel, or be costs by name; got str"),
        (1.0, {"left_out": ["fax"]}, "left_out has 'fax', which is no channel"),
        (1.0, {"test_cost": -1}, "test_cost must be one amount of money, not negative; it is -1"),
        (-1.0, {}, r"channel 'email': cost \(money for a new customer\) must be at least 0"),
        ({**dict.fromkeys(CHANNELS, 1), "email": stats.norm(1, 1)}, {}, "draws of norm.* are not, such as -"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, stated, options, message):
    with pytest.raises(clv.InputError, match=message):
        compare_channels(values, stated, **options)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "'web' has no cost. State cost; or spent and won; or cost_per_lead"),
        ({"cost": 1, "spent": 5, "won": 2}, r"its cost twice \(cost, spent, won\)"),
        ({"spent": 5}, "'web' lacks won"),
        ({"spent": 5, "won": 0}, r"won .* must be at least 1 and finite; .* such as 0"),
        ({"spent": stats.norm(9, 1), "won": 3}, "spent is a number that is known"),
        ({"cost": "+5 %"}, r"cost is \+5 %, a change, but there is nothing"),
        ({"price": 1}, "'price' is not known. A channel has cost, spent, won"),
        ({"cost_per_lead": 1, "leads": 5, "converted": 6}, "of 5 leads 6 cannot have become customers"),
        ({"cost_per_lead": 1, "leads": 5, "converted": 0}, r"converted .* at least 1"),
        ({"cost_per_lead": 1, "leads": 5}, "'web' lacks converted"),
        ({"cost": 1, "customers": 0}, r"customers .* must be above 0"),
    ],
)
def test_what_cannot_be_stated_is_refused(terms, message):
    with pytest.raises(clv.InputError, match=message):
        channel("web", **terms)


def test_fits_that_do_not_tell_channels_apart(both, make_buying, make_spending):
    with pytest.raises(
        clv.InputError, match=r"by 'channel' apart. They have no groups.*groups=\['channel'\]"
    ):
        channel_values(make_buying(), make_spending())
    with pytest.raises(clv.InputError, match="They have groups by 'channel'"):
        channel_values(*both, "month")
    with pytest.raises(clv.InputError, match="'email' is no new channel"):
        channel_values(*both, new=["email"])
    with pytest.raises(clv.InputError, match="periods must be a whole number"):
        channel_values(*both, periods=0)
    with pytest.raises(clv.InputError, match="This needs what clv.valuation.channel_values returned"):
        compare_channels(xr.Dataset(), 1.0)
