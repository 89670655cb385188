"""Who to list, which action for whom, in which order, for which gain: each against the draws themselves, one by one."""

import json

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.schema import InputError

SIZE = 300
LATE = 2.0


@pytest.fixture(scope="module")
def draws(make_customers, make_buying, make_spending):
    few = make_customers(SIZE)
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "wallet": np.linspace(0.1, 1.0, SIZE),
            "possible": rng.gamma(2.0, 10.0, SIZE),
            "serving": rng.gamma(2.0, 1.0, SIZE),
            "channel": np.array(["web", "shop", "fair"], dtype=object)[np.arange(SIZE) % 3],
        },
        index=few["customer"].values,
    )
    return clv.simulate(
        make_buying(draws=100),
        clv.with_columns(few, table),
        "26 weeks",
        spending=make_spending(draws=100),
        margin=0.3,
        draws=100,
        seed=3,
    )


@pytest.fixture(scope="module")
def numbers(draws):
    """Return every quantity that the rules below read, (customer, draw)."""
    names = ("value", "alive", "purchase_rate", "time_since_purchase", "frequency")
    found = {name: np.empty((SIZE, draws.size)) for name in names}
    for places, block in draws.blocks(names):
        for name in names:
            found[name][places] = np.broadcast_to(block[name], (places.size, draws.size))
    return found


@pytest.fixture(scope="module")
def actions(draws, numbers):
    """Return the rule of five actions, and by hand which is whose, (customer, draw)."""
    rule = clv.segments.five_actions(
        "serving", late=LATE, share="wallet", own_share=0.5, potential="possible", much_potential=20.0
    )
    own = {name: draws.customers[name].to_numpy()[:, None] for name in ("wallet", "possible", "serving")}
    worth = (numbers["value"] > own["serving"]) & (numbers["alive"] == 1)
    silent = numbers["time_since_purchase"] * numbers["purchase_rate"] >= LATE
    here = worth & ~silent & (numbers["frequency"] >= 1)
    ours, much = own["wallet"] >= 0.5, own["possible"] >= 20
    by_hand = {
        "find": worth & ~silent & (numbers["frequency"] < 1),
        "protect": worth & silent,
        "keep": here & ours & ~much,
        "defend": here & ~ours,
        "extend": here & ours & much,
    }
    return rule, by_hand


def test_five_actions_are_what_they_say(draws, actions):
    rule, by_hand = actions
    found = clv.segment(draws, rule)
    assert found["segment"].to_numpy().tolist() == [*by_hand, "no action"]
    for name, inside in by_hand.items():
        assert inside.any(), name
        np.testing.assert_allclose(found["membership"].sel(segment=name), inside.mean(axis=1), atol=1e-6)
    short = clv.segment(draws, clv.segments.five_actions(1.0))
    assert short["segment"].to_numpy().tolist() == ["find", "protect", "keep", "no action"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cost": -1.0}, "cost=-1.0 must be 0 or more"),
        ({"cost": 1.0, "late": 0}, "late=0 must be above 0"),
        ({"cost": 1.0, "loyal": 0}, "loyal=0 must be above 0"),
        ({"cost": 1.0, "share": "wallet", "own_share": 50}, "own_share=50 must be a share"),
    ],
)
def test_five_actions_that_cannot_be(arguments, message):
    with pytest.raises(InputError, match=message):
        clv.segments.five_actions(**arguments)


def test_a_list_by_probability_and_by_value(draws, numbers, actions):
    rule, by_hand = actions
    inside = by_hand["protect"]
    chance, value = inside.mean(axis=1), (inside * numbers["value"]).mean(axis=1)
    ids = draws.customers["customer"].to_numpy()
    for order, first in (("probability", chance), ("value", value)):
        found = clv.segments.members(draws, rule, "protect", order=order)
        whose = pd.Series(np.arange(SIZE), ids)[found["customer"].to_numpy()].to_numpy()
        np.testing.assert_allclose(found["probability"], chance[whose])
        np.testing.assert_allclose(found["value_there"], value[whose])
        np.testing.assert_allclose(found["members"], np.cumsum(chance[whose]))
        assert (np.diff(first[whose]) <= 0).all()
    # Of any 20 customers the first 20 hold most of the segment.
    by_chance = clv.segments.members(draws, rule, "protect")
    assert float(by_chance["members"][19]) == pytest.approx(np.sort(chance)[-20:].sum())
    assert by_chance["members"].attrs["long_name"].startswith("customers of the segment")
    assert list(clv.table(by_chance).columns) == [
        "customer_id",
        "rank",
        "probability",
        "value_there",
        "members",
    ]
    with pytest.raises(InputError, match="'risky': the rule 'Five actions' has no such segment"):
        clv.segments.members(draws, rule, "risky")
    with pytest.raises(InputError, match="order='gain' is not known"):
        clv.segments.members(draws, rule, "protect", order="gain")


def test_a_label_that_nobody_carries_has_a_list(draws):
    """Whoever is the likeliest to be in a rare segment heads its list, though its label is another."""
    rule = clv.rule("Much", {"much": "purchases >= 6", "less": "purchases < 6"})
    found = clv.segment(draws, rule, sure=0.8)
    listed = clv.segments.members(draws, rule, "much")
    assert float(listed["members"][-1]) == pytest.approx(float(found["size_mean"].sel(segment="much")))
    top = found.sel(customer=listed["customer"][0].item())
    assert float(top["membership"].sel(segment="much")) == pytest.approx(
        float(found["membership"].sel(segment="much").max())
    )


def test_a_list_without_money(make_customers, make_buying):
    poor = clv.simulate(make_buying(draws=50), make_customers(30), "26 weeks", draws=50, seed=1)
    rule = clv.rule("Kinds", {"buys": "purchases > 0", "does not": "purchases == 0"})
    assert "value_there" not in clv.segments.members(poor, rule, "buys")
    with pytest.raises(InputError, match="needs money"):
        clv.segments.members(poor, rule, "buys", order="value")


def test_columns_of_text(draws, numbers):
    channel = draws.customers["channel"].to_numpy()
    rule = clv.rule(
        "By channel",
        {
            "web buyers": "channel == 'web' and value > 0",
            "others who buy": "channel in ('shop', 'fair') and value > 0",
            "the rest": None,
        },
    )
    found = clv.segment(draws, rule)
    for name, inside in (
        ("web buyers", (channel == "web")[:, None] & (numbers["value"] > 0)),
        ("others who buy", (channel != "web")[:, None] & (numbers["value"] > 0)),
    ):
        np.testing.assert_allclose(found["membership"].sel(segment=name), inside.mean(axis=1), atol=1e-6)
    fixed = clv.rule("Web", {"web": "channel == 'web'", "not web": "channel != 'web'"})
    assert (
        clv.segments.points(draws.customers, fixed).tolist()
        == np.where(channel == "web", "web", "not web").tolist()
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"x": "channel == 3", "y": None},
            "'channel' is a column of text, and is compared as a number.*channel == ",
        ),
        (
            {"x": "wallet == 'a'", "y": None},
            "'wallet' is a quantity of numbers, and is compared with the text 'a'",
        ),
        ({"x": "land == 'a'", "y": None}, "the quantity 'land' is not known. There are .*channel"),
    ],
)
def test_texts_that_the_customers_do_not_have(draws, rule, message):
    with pytest.raises(InputError, match=message):
        clv.segment(draws, clv.rule("Odd", rule))


STATED = {
    "protect": {"effect": clv.Prior("Beta", alpha=4, beta=16), "cost": 0.3},
    "extend": {"effect": 0.1, "cost": "serving", "stake": "0.3 * possible"},
    "keep": {"effect": 0.02, "cost": 0.0},
}


def test_a_plan_against_the_draws(draws, numbers, actions):
    rule, by_hand = actions
    plan = clv.valuation.plan_actions(draws, rule, STATED)
    own = {name: draws.customers[name].to_numpy()[:, None] for name in ("possible", "serving")}
    # The same draw of the effect for everybody: those of value parts under the same seed and words.
    from bayes_clv.valuation.assumptions import frozen, generator

    effect = frozen(STATED["protect"]["effect"]).rvs(
        size=draws.size, random_state=generator(3, "protect", "effect")
    )
    gained = np.stack(
        [
            effect * numbers["value"] * by_hand["protect"],
            0.1 * 0.3 * own["possible"] * by_hand["extend"],
            0.02 * numbers["value"] * by_hand["keep"],
        ]
    )
    cost = np.stack([np.full(SIZE, 0.3), own["serving"][:, 0], np.zeros(SIZE)])
    net = gained.mean(axis=2) - cost
    best = net.argmax(axis=0)
    chosen = np.where(net.max(axis=0) > 0, best, -1)
    names = np.array(["none", *STATED], dtype=object)
    assert plan["chosen_action"].to_numpy().tolist() == names[chosen + 1].tolist()
    assert set(chosen) == {-1, 0, 1, 2}
    np.testing.assert_allclose(plan["net_gain_mean"], net.max(axis=0), atol=1e-9)
    total = np.stack(
        [gained[a][chosen == a].sum(axis=0) - cost[a, chosen == a].sum() for a in range(3)], axis=1
    )
    np.testing.assert_allclose(plan["net_gain_total"], total, atol=1e-9)
    np.testing.assert_allclose(plan["probability_pays"], (total > 0).mean(axis=0))
    assert plan["customers"].to_numpy().tolist() == [(chosen == a).sum() for a in range(3)]
    # What costs nothing comes first; then by gain per cost.
    with np.errstate(divide="ignore"):
        order = np.argsort(-total.mean(axis=0) / plan["spent"].to_numpy(), kind="stable")
    assert np.argsort(plan["order"].to_numpy()).tolist() == order.tolist()
    ranked = plan["rank"].to_numpy()
    assert sorted(ranked) == list(range(1, SIZE + 1))
    assert ranked[chosen >= 0].max() < ranked[chosen < 0].min()
    assert json.loads(plan.attrs["stated"])["protect"] == "Beta(alpha=4, beta=16) of value, for 0.3"
    assert clv.table(plan)["action"].tolist() == [list(STATED)[a] for a in order]
    assert list(clv.table(plan, by="customer").columns[:3]) == ["customer_id", "action", "probability"]
    # Threads change no digit.
    again = clv.valuation.plan_actions(draws, rule, STATED, threads=1)
    assert again.equals(plan)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"guard": {"effect": 0.1, "cost": 1}}, "has no segment 'guard'. It has 'find'"),
        ({"protect": {"effect": 0.1}}, "It has effect and cost"),
        ({"protect": {"effect": -0.1, "cost": 1}}, "'protect', effect .* must be at least 0"),
        ({"protect": {"effect": 0.1, "cost": -1}}, "'protect', cost .* must be at least 0"),
        ({"protect": {"effect": 0.1, "cost": 1, "stake": "fame"}}, "stake: 'fame' is not known"),
        ({"protect": {"effect": 0.1, "cost": 1, "price": 2}}, "It has effect and cost"),
        ({}, "State them by segment"),
    ],
)
def test_plans_that_cannot_be(draws, actions, stated, message):
    with pytest.raises(InputError, match=message):
        clv.valuation.plan_actions(draws, actions[0], stated)
