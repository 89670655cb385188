"""Offers by lifetime value: who gets which, judged by other luck than that by which it was chosen."""

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.predictions import costs
from bayes_clv.valuation import compare_scenarios, plan_offers, scenario
from bayes_clv.valuation.offer_plans import _other_luck

MAIL = scenario("mail", purchase_rate="+10 %", contact_cost=0.1)
CALL = scenario("call", where="asked", spend="+40 %", dropout="-20 %", contact_cost=1.0)


@pytest.fixture(scope="module")
def simulation(make_buying, make_spending, make_customers):
    customers = make_customers(150, seed=4)
    rng = np.random.default_rng(1)
    own = {"asked": np.arange(150) % 2 == 0, "far": rng.gamma(2.0, 1.0, 150), "order": rng.uniform(0, 2, 150)}
    return clv.simulate(
        make_buying(draws=50),
        customers.assign({name: ("customer", each) for name, each in own.items()}),
        "52 weeks",
        spending=make_spending(draws=50),
        margin=0.3,
        annual_discount_rate=0.1,
        costs=costs(cost_per_order="order"),
        draws=100,
        seed=7,
    )


def gains(simulation):
    """What each offer gains each customer before contact, (offer, customer, draw), from simulations that are varied."""

    def value(each):
        out = np.empty((150, each.size))
        for places, block in each.blocks(["value"]):
            out[places] = block["value"]
        return out

    now, half = value(simulation), np.full(simulation.size, 0.8)
    mailed = value(simulation.varied(pace=np.full(simulation.size, 1.1)))
    out = np.empty((2, 150, simulation.size))
    out[0] = mailed - now
    loyal = simulation.varied(leaving=half)
    for places, block in loyal.blocks(["value", "value_before_costs"]):
        out[1, places] = block["value"] + 0.4 * block["value_before_costs"] - now[places]
    out[1, ~simulation.customers["asked"].values] = 0
    return out


def test_each_customer_gets_the_offer_that_gains_it_most(simulation):
    plan = plan_offers(simulation, [MAIL, CALL], costs={"call": "far"})
    price = np.stack([np.full(150, 0.1), 1.0 + simulation.customers["far"].values], axis=1)
    net = gains(simulation).mean(axis=2).T - price
    may = np.stack([np.full(150, True), simulation.customers["asked"].values], axis=1)
    net = np.where(may, net, -np.inf)
    best = np.where(net.max(axis=1) > 0, net.argmax(axis=1), 2)
    names = np.array(["mail", "call", "none"], dtype=object)
    assert plan["chosen_action"].values.tolist() == names[best].tolist()
    np.testing.assert_allclose(plan["net_gain_mean"], net.max(axis=1), rtol=1e-9, atol=1e-9)
    assert set(best) == {0, 1, 2}
    # What it promises is of other futures of the same posterior.
    others = gains(_other_luck(simulation))
    for k in range(2):
        mine = best == k
        total = others[k][mine].sum(axis=0) - price[mine, k].sum()
        np.testing.assert_allclose(plan["net_gain_total"][:, k], total, rtol=1e-9)
        assert plan["customers"][k] == mine.sum()
        everybody = others[k][may[:, k]].sum(axis=0).mean() - price[may[:, k], k].sum()
        np.testing.assert_allclose(plan["net_gain_everybody_mean"][k], everybody, rtol=1e-9)
    table = clv.table(plan, by="customer")
    assert len(table) == 150
    assert "mail" in plan.attrs["stated"]


def test_an_offer_to_all_is_a_scenario(simulation):
    free = scenario("free", spend="+10 %")
    plan = plan_offers(simulation, [free], base=scenario("base", cost_to_serve=0.01))
    # More spend at no cost is for everybody who may buy.
    assert (plan["chosen_action"] == "free").all()
    whole = compare_scenarios(_other_luck(simulation), [free], base=scenario("base", cost_to_serve=0.01))[
        "value_difference"
    ][:, 1]
    np.testing.assert_allclose(plan["net_gain_total"][:, 0], whole, rtol=1e-9)


def test_an_offer_of_nothing_is_for_nobody(simulation):
    plan = plan_offers(simulation, [scenario("nothing", purchase_rate="+0 %")])
    assert (plan["chosen_action"] == "none").all()
    assert (plan["net_gain_total"] == 0).all()


@pytest.mark.parametrize(
    ("offers", "given", "message"),
    [
        ([], {}, "There is no offer"),
        (
            [scenario("A", horizon="2 weeks")],
            {},
            "horizon is of the whole business, and an offer of customers",
        ),
        ([MAIL], {"fax": 1.0}, "costs are of 'fax', which is no offer"),
        ([MAIL], {"mail": -1.0}, "cost .* at least 0"),
        (["mail"], {}, "made by clv.valuation.scenario"),
    ],
)
def test_what_is_no_offer_is_refused(simulation, offers, given, message):
    with pytest.raises(clv.InputError, match=message):
        plan_offers(simulation, offers, costs=given)
