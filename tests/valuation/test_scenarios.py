"""Scenarios: paired differences, exact zeros and factors, costs that add up, and bad input refused where it stands."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bayes_clv as clv
from bayes_clv.valuation import (
    break_even,
    compare_scenarios,
    read_scenarios,
    relative,
    scenario,
    sensitivity,
    tornado,
)

DRAWS = 100
TOTALS = ("purchases", "revenue", "contribution", "cost", "value")


@pytest.fixture(scope="module")
def customers(make_customers):
    found = make_customers(300, seed=4)
    channel = np.where(np.arange(300) % 3 == 0, "web", "shop").astype(object)
    asked = np.arange(300) % 2 == 0
    return found.assign(
        channel=("customer", channel), asked=("customer", asked), everyone=("customer", asked | True)
    )


@pytest.fixture(scope="module")
def simulation(make_buying, make_spending, customers):
    return clv.simulate(
        make_buying(draws=50),
        customers,
        "52 weeks",
        spending=make_spending(draws=50),
        margin=0.3,
        annual_discount_rate=0.1,
        draws=DRAWS,
        seed=7,
    )


@pytest.fixture(scope="module")
def base():
    return scenario("base", cost_per_order=1.0, cost_to_serve=0.02)


@pytest.fixture(scope="module")
def compared(simulation, base):
    """Several scenarios at once; most tests look at one of them."""
    return compare_scenarios(
        simulation,
        [
            scenario("same"),
            scenario("said again", margin=0.3, cost_per_order=1.0, purchase_rate="+0 %"),
            scenario("for all of a column", where="everyone", margin=0.3),
            scenario("for some", where="frequency > 0", margin=0.3),
            scenario("margin", margin="+10 %"),
            scenario("spend", spend="-20 %"),
            scenario("price", price="+25 %"),
            scenario("faster", purchase_rate="+5 %"),
            scenario("loyal", dropout="-50 %"),
            scenario("web faster", where="channel = 'web'", purchase_rate="+5 %"),
            scenario("shop faster", where="channel = 'shop'", purchase_rate="+5 %"),
            scenario("asked", where="asked", contact_cost=2.0),
            scenario("short", horizon="26 weeks", annual_discount_rate=0.0),
        ],
        base=base,
    )


def of(compared, name):
    return compared.sel(scenario=name)


def test_the_base_is_what_predict_says(simulation, compared, make_buying, make_spending, customers):
    value = clv.predict(
        make_buying(draws=50),
        customers,
        "52 weeks",
        spending=make_spending(draws=50),
        margin=0.3,
        annual_discount_rate=0.1,
        seed=7,
    )
    base = of(compared, "base")
    np.testing.assert_array_equal(base["purchases"], value["purchases_total"].values.ravel())
    np.testing.assert_allclose(base["contribution"], value["value_total"].values.ravel(), rtol=1e-9)
    np.testing.assert_allclose(base["revenue"], value["spend_total"].values.ravel(), rtol=1e-9)


@pytest.mark.parametrize("name", ["same", "said again", "for all of a column", "for some"])
def test_a_scenario_equal_to_the_base_is_exactly_zero(compared, name):
    for total in TOTALS:
        assert (of(compared, name)[f"{total}_difference"] == 0).all()
    assert of(compared, name)["probability_better"] == 0
    assert of(compared, name)["loss_if_wrong"] == 0


def test_margin_and_spend_scale_exactly(compared):
    base = of(compared, "base")
    np.testing.assert_allclose(of(compared, "margin")["contribution"], 1.1 * base["contribution"], rtol=1e-14)
    for total in ("revenue", "contribution"):
        np.testing.assert_allclose(of(compared, "spend")[total], 0.8 * base[total], rtol=1e-14)
    for total in ("purchases", "cost"):
        np.testing.assert_array_equal(of(compared, "spend")[total], base[total])
    # Of 0.3 at a price of 1 the goods cost 0.7, and of 1.25 is left 0.55.
    np.testing.assert_allclose(of(compared, "price")["revenue"], 1.25 * base["revenue"], rtol=1e-14)
    np.testing.assert_allclose(
        of(compared, "price")["contribution"], 0.55 / 0.3 * base["contribution"], rtol=1e-12
    )


def test_value_is_contribution_less_cost(compared, simulation):
    np.testing.assert_allclose(compared["value"], compared["contribution"] - compared["cost"], rtol=1e-14)
    # Counted by hand of the simulation's own numbers.
    orders = time = 0.0
    for _, block in simulation.blocks(["discounted_purchases", "active_time"]):
        orders = orders + block["discounted_purchases"].sum(axis=0)
        time = time + (1 - np.exp(-simulation.discount * block["active_time"])).sum(axis=0)
    np.testing.assert_allclose(
        of(compared, "base")["cost"], orders + 0.02 * time / simulation.discount, rtol=1e-9
    )


def test_a_paired_difference_is_much_surer(compared, simulation, make_buying, make_spending, customers, base):
    other = clv.simulate(
        make_buying(draws=50),
        customers,
        "52 weeks",
        spending=make_spending(draws=50),
        margin=0.3,
        annual_discount_rate=0.1,
        draws=DRAWS,
        seed=8,
    )
    alone = compare_scenarios(other, [scenario("faster", purchase_rate="+5 %")], base=base)
    # Independent: other futures, and another draw of the posterior for each.
    independent = alone["value"].values[::-1, 1] - of(compared, "base")["value"].values
    paired = of(compared, "faster")["value_difference"].values
    error = np.hypot(independent.std(), paired.std()) / np.sqrt(DRAWS)
    assert independent.mean() == pytest.approx(paired.mean(), abs=4 * error)
    assert 5 * paired.std() < independent.std()


def test_rates_move_purchases_as_they_should(compared, simulation):
    base, faster = of(compared, "base")["purchases"], of(compared, "faster")["purchases"]
    grown = float(faster.mean() / base.mean()) - 1
    # 5 % faster brings at most 5 % more, less as more tosses of the coin are made.
    assert 0 < grown < 0.05
    assert float(of(compared, "loyal")["purchases_difference_mean"]) > 0


def test_customers_of_a_condition_add_up(compared):
    both = sum(of(compared, f"{name} faster")["value_difference"] for name in ("web", "shop"))
    np.testing.assert_allclose(both, of(compared, "faster")["value_difference"], rtol=1e-9, atol=1e-9)
    assert of(compared, "web faster")["reached"] == 100
    # The contact of each of 150 is paid now, in every draw.
    np.testing.assert_allclose(of(compared, "asked")["value_difference"], -300.0, rtol=1e-9)


def test_a_shorter_horizon_at_no_rate(compared, make_buying, make_spending, customers):
    short = clv.predict(
        make_buying(draws=50), customers, "26 weeks", spending=make_spending(draws=50), margin=0.3, seed=7
    )
    found = of(compared, "short")
    np.testing.assert_array_equal(found["purchases"], short["purchases_total"].values.ravel())
    np.testing.assert_allclose(found["contribution"], short["value_total"].values.ravel(), rtol=1e-9)


def test_summaries_are_those_of_the_draws(compared):
    difference = compared["value_difference"].values
    np.testing.assert_allclose(compared["value_difference_mean"], difference.mean(axis=0))
    np.testing.assert_array_equal(compared["probability_better"], (difference > 0).mean(axis=0))
    np.testing.assert_allclose(
        compared["loss_if_wrong"], np.where(difference < 0, -difference, 0).mean(axis=0)
    )
    assert compared["probability_best"].sum() == pytest.approx(1)


def test_information_is_worth_what_choosing_by_it_adds(simulation):
    even = scenario("even", spend=relative(stats.norm(0, 0.1)))
    found = compare_scenarios(simulation, [even])
    value = found["value"].values
    worth = value.max(axis=1).mean() - value.mean(axis=0).max()
    assert found.attrs["value_of_perfect_information"] == pytest.approx(worth, rel=1e-9)
    # Half of the mean size of the change, of Normal(0, 0.1), on what customers bring.
    known = 0.1 / np.sqrt(2 * np.pi) * value[:, 0].mean()
    assert worth == pytest.approx(known, rel=4 / np.sqrt(DRAWS))


def test_customers_who_are_won(simulation, make_buying, make_spending):
    found = compare_scenarios(
        simulation,
        [
            scenario("won", new_customers=150, acquisition_cost=4.0),
            scenario("more", new_customers=stats.uniform(150, 50)),
        ],
        base=scenario("base", acquisition_cost=4.0),
    )
    cohort = clv.predict_cohort(
        make_buying(draws=50),
        make_spending(draws=50),
        150,
        horizon="52 weeks",
        margin=0.3,
        annual_discount_rate=0.1,
        acquisition_cost=4.0,
        seed=7,
    )
    won = of(found, "won")
    np.testing.assert_array_equal(won["purchases_difference"], cohort["purchases_total"].values.ravel())
    np.testing.assert_allclose(
        won["value_difference"], cohort["lifetime_value_total"].values.ravel(), rtol=1e-9
    )
    # The first 150 are the same.
    assert (of(found, "more")["purchases"] >= won["purchases"]).all()
    assert 600 < float(of(found, "more")["cost_mean"]) < 800


def test_own_uncertainty_is_drawn_once_per_draw(simulation):
    unsure = {"margin": stats.norm(0.3, 0.02)}
    found = compare_scenarios(
        simulation,
        [
            scenario("same"),
            scenario("higher", margin="+10 %"),
            scenario("effect", spend=relative(clv.Prior("Normal", mu=0.1, sigma=0.05))),
        ],
        base=scenario("base", **unsure),
    )
    assert (of(found, "same")["value_difference"] == 0).all()
    np.testing.assert_allclose(
        of(found, "higher")["contribution"], 1.1 * of(found, "base")["contribution"], rtol=1e-14
    )
    effect = (of(found, "effect")["revenue"] / of(found, "base")["revenue"] - 1).values
    assert effect.std() == pytest.approx(0.05, rel=4 / np.sqrt(2 * DRAWS))
    assert effect.mean() == pytest.approx(0.1, abs=4 * 0.05 / np.sqrt(DRAWS))
    again = compare_scenarios(simulation, [scenario("same")], base=scenario("base", **unsure))
    np.testing.assert_array_equal(of(again, "base")["value"], of(found, "base")["value"])


GOOD = """
[base]
cost_per_order = 1.2

[[scenarios]]
name = "Dearer"
price = "+5 %"
purchase_rate = {normal = ["-3 %", "1 %"]}

[[scenarios]]
name = "Letter"
where = "channel = 'web'"
contact_cost = 1.5
purchase_rate = {triangular = ["0 %", "5 %", "12 %"]}
break_even = "purchase_rate"

[tornado]
margin = [0.25, 0.35]
"""


def test_a_file_says_what_python_says(tmp_path, simulation):
    (tmp_path / "good.toml").write_text(GOOD)
    read = read_scenarios(tmp_path / "good.toml")
    assert [each.name for each in read.others] == ["Dearer", "Letter"]
    assert read.others[1].break_even == "purchase_rate"
    assert read.swings == {"margin": (0.25, 0.35)}
    found = compare_scenarios(simulation, read)
    stated = dict(zip(found["scenario"].values.tolist(), found["stated"].values.tolist(), strict=True))
    assert stated == {
        "base": "cost per order 1.2",
        "Dearer": "price +5 %; purchase rate normal(-3 %, 1 %)",
        "Letter": "contact cost 1.5; purchase rate triangular(0 %, 5 %, 12 %); where channel = 'web'",
    }


HEAD = '[[scenarios]]\nname = "A"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[scenarios]\n", "line 1: this is not TOML"),
        ('title = "x"\n' + HEAD, r"bad\.toml, line 1: 'title' is not known"),
        ("[base]\nmargin = 0.3\n", r"has no \[\[scenarios\]\]"),
        ("[[scenarios]]\nmargin = 0.3\n", "line 1: the scenario has no name"),
        (HEAD + "marge = 0.3\n", r"bad\.toml, line 3: 'marge' is no lever"),
        (HEAD + "cost_per_order = -1\n", r"line 3: cost_per_order .* at least 0"),
        (HEAD + "margin = 35\n", r"line 3: margin = 35 would be 35 times .* as 0\.35"),
        (HEAD + "margin = -0.1\n", r"line 3: margin .* at least 0 and at most 2"),
        (HEAD + 'margin = "10 %"\n', r"line 3: '10 %' is no change.*sign"),
        (HEAD + "price = 1.1\n", r"line 3: price is set to 1\.1, but it is a change"),
        (HEAD + 'purchase_rate = "-100 %"\n', r"line 3: purchase_rate .* above -100 %"),
        (HEAD + 'dropout = "+2000 %"\n', r"line 3: dropout .* at most \+900 %"),
        (HEAD + 'price = "+5 %"\nmargin = 0.2\n', r"line 3: margin and price contradict"),
        (
            HEAD + 'where = "frequency > 0"\nhorizon = "2 weeks"\n',
            r"line 4: horizon is of the whole business",
        ),
        (
            HEAD + "annual_discount_rate = {normal = [0.1, 0.01]}\n",
            "line 3: annual_discount_rate is one number",
        ),
        (HEAD + "margin = {normal = [0.3, -0.02]}\n", "line 3: there is no normal distribution"),
        (HEAD + "margin = {gauss = [0.3, 0.02]}\n", "line 3: .* is no distribution. Write one of normal"),
        (HEAD + "margin = {normal = [0.3]}\n", r"line 3: normal = \[0\.3\] is no normal distribution"),
        (HEAD + "margin = true\n", "line 3: got bool"),
        (HEAD + 'horizon = "+5 %"\n', "line 3: horizon is '\\+5 %'"),
        (HEAD + 'break_even = "horizon"\n', "line 3: the break-even of 'horizon' cannot be found"),
        (HEAD + "[tornado]\nmargin = 0.3\n", "line 4: margin is 0.3. Write its two ends"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(clv.InputError, match=message):
        read_scenarios(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('contact_cost = "+10 %"\n', r"line 3: contact_cost is changed by \+10 %, but it is 0 in the base"),
        ("acquisition_cost = 5\n", "line 3: acquisition_cost costs nothing without new_customers"),
        (
            'horizon = "60 weeks"\n',
            "line 3: the horizon, 60 weeks, is longer than that of the simulation, 52 weeks",
        ),
        ("margin = {normal = [0.1, 0.1]}\n", r"line 3: margin .*draws of normal\(0\.1, 0\.1\) are not"),
        (
            "where = \"channel = 'fax'\"\ncontact_cost = 1\n",
            "line 3: no customer has channel == 'fax'.*'shop', 'web'",
        ),
        ('where = "chanel > 3"\ncontact_cost = 1\n', "line 3.*'chanel' is not known"),
        ('where = "frequency"\ncontact_cost = 1\n', "line 3: .*not true and false"),
        (f"margin = 0.3\n\n{HEAD}margin = 0.4\n", r"bad\.toml, line 5: two scenarios are called 'A'"),
        ('where = "channel > 3"\ncontact_cost = 1\n', "line 3: .*holds text, with a number"),
    ],
)
def test_what_the_customers_contradict_is_refused_with_its_line(tmp_path, simulation, text, message):
    (tmp_path / "bad.toml").write_text(HEAD + text)
    with pytest.raises(clv.InputError, match=message):
        compare_scenarios(simulation, read_scenarios(tmp_path / "bad.toml"))


def test_what_cannot_be_compared_is_refused(simulation, make_buying, make_posterior, customers):
    with pytest.raises(clv.InputError, match="two scenarios are called 'A'"):
        compare_scenarios(simulation, [scenario("A"), scenario("A")])
    with pytest.raises(clv.InputError, match="must be made by clv.valuation.scenario"):
        compare_scenarios(simulation, ["A"])
    with pytest.raises(clv.InputError, match="Scenario 'A': got list"):
        scenario("A", margin=[0.3])
    without = clv.simulate(make_buying(draws=2), customers, "52 weeks", draws=2, seed=1)
    with pytest.raises(clv.InputError, match="Scenarios need money"):
        compare_scenarios(without, [scenario("A")])


def test_a_law_that_cannot_be_changed_is_refused(simulation):
    plan = simulation.plan
    drifting = replace(simulation, plan=replace(plan, law=replace(plan.law, change=None)))
    with pytest.raises(
        clv.InputError, match="Scenario 'A': purchase_rate of BG/NBD cannot be changed: its law"
    ):
        compare_scenarios(drifting, [scenario("A", purchase_rate="-5 %")])
    with pytest.raises(
        clv.InputError, match="purchase rate and dropout of BG/NBD cannot be changed: its law"
    ):
        drifting.varied(pace=np.ones(simulation.size))


def test_where_nobody_leaves_dropout_cannot_be_changed(make_posterior, make_spending, customers):
    posterior = make_posterior("nbd", {"r": 0.4, "alpha": 12.0}, sd=0.0, chains=1, draws=4)
    simulation = clv.simulate(
        posterior, customers, "52 weeks", spending=make_spending(chains=1, draws=4), draws=4, seed=1
    )
    with pytest.raises(clv.InputError, match="by NBD nobody leaves"):
        compare_scenarios(simulation, [scenario("A", dropout="-5 %")])


BREAK_EVENS = {
    "contact_cost": scenario("Letter", where="asked", contact_cost=1.5, purchase_rate="+8 %"),
    "margin": scenario("Letter", margin=0.3, contact_cost=0.5),
    "price": scenario("Slower", purchase_rate="-10 %"),
    "purchase_rate": scenario("Dear letter", where="asked", contact_cost=0.5, purchase_rate="+1 %"),
    "dropout": scenario("Dear letter", contact_cost=0.5),
    "acquisition_cost": scenario("Won", new_customers=100, acquisition_cost=5.0),
}


@pytest.mark.parametrize("lever", BREAK_EVENS)
def test_a_break_even_is_one_by_substitution(simulation, base, lever):
    given = BREAK_EVENS[lever]
    found = break_even(simulation, given, lever, base=base)
    assert not found.attrs["reasons"]
    setting = float(found["setting"])
    assert found["setting_q05"] < setting < found["setting_q95"]

    def at(value):
        changed = f"{100 * value:+.15g} %" if found.attrs["relative"] else value
        levers = {name: each.text for name, each in given.levers.items()}
        levers = {name: float(text) if "%" not in text else text for name, text in levers.items()}
        again = scenario(given.name, where=given.where, **(levers | {lever: changed}))
        return float(
            of(compare_scenarios(simulation, [again], base=base), given.name)["value_difference_mean"]
        )

    if lever in ("purchase_rate", "dropout"):
        # Purchases are whole, and jump: within the search's width the sign turns.
        assert at(setting - 2e-4) * at(setting + 2e-4) < 0
    else:
        assert at(setting) == pytest.approx(0, abs=1e-6)
    assert at(setting) == pytest.approx(float(found["difference"]), abs=1e-6)


def test_a_break_even_that_is_none_says_so(simulation):
    found = break_even(simulation, scenario("Free letter", spend="+8 %"), "purchase_rate")
    assert float(found["setting"]) < 0
    never = break_even(simulation, scenario("Worse", spend="-50 %"), "contact_cost")
    assert np.isnan(never["setting"])
    assert (
        "the mean difference to the base has one sign at every contact cost from 0"
        in never.attrs["reasons"][0]
    )
    with pytest.raises(clv.InputError, match="the break-even of 'horizon' cannot be found"):
        break_even(simulation, scenario("A"), "horizon")


def test_a_tornado_is_scenarios_one_by_one(simulation, base):
    found = tornado(simulation, base=base)
    assert set(found["lever"].values) == {
        *(
            "margin",
            "spend",
            "purchase_rate",
            "dropout",
            "annual_discount_rate",
            "cost_per_order",
            "cost_to_serve",
        )
    }
    alone = compare_scenarios(simulation, [scenario("A", purchase_rate="-10 %")], base=base)
    np.testing.assert_array_equal(
        found["difference"].sel(lever="purchase_rate", end="low"), of(alone, "A")["value_difference"]
    )
    widest = np.abs(found["difference_mean"]).max("end").values
    assert (np.diff(widest) <= 0).all()
    # What a factor of the value moves down it moves up.
    margin = found["difference"].sel(lever="margin")
    np.testing.assert_allclose(margin.sel(end="low"), -margin.sel(end="high"), rtol=1e-9)
    with pytest.raises(clv.InputError, match="tornado, margin: the two ends"):
        tornado(simulation, {"margin": (0.2, stats.norm(0.3, 0.02))})


def test_a_grid_is_scenarios_one_by_one(simulation, base):
    letter = scenario("Letter", where="asked", contact_cost=0.5)
    found = sensitivity(
        simulation,
        {"purchase_rate": ["+0 %", "+10 %"], "contact_cost": [0.0, 0.5, 1.0]},
        scenario=letter,
        base=base,
    )
    assert found["difference"].dims == ("draw", "purchase_rate", "contact_cost")
    corner = found.sel(purchase_rate="+0 %", contact_cost="0")
    assert (corner["difference"] == 0).all()
    steps = found["difference_mean"].diff("contact_cost")
    np.testing.assert_allclose(steps, -75.0, rtol=1e-9)
    low, mean, high = (found[f"difference_{name}"] for name in ("q05", "mean", "q95"))
    assert ((low <= mean + 1e-9) & (mean <= high + 1e-9)).all()
    assert sensitivity(simulation, {"margin": [0.2, 0.3]})["difference_mean"].dims == ("margin",)
    with pytest.raises(clv.InputError, match="one lever or of two"):
        sensitivity(simulation, {})


def test_a_scenario_that_reaches_nobody_is_refused_by_its_name(simulation):
    with pytest.raises(clv.InputError, match=r"'none'.*frequency > 900.*no customer.*Mend the condition"):
        compare_scenarios(simulation, [scenario("none", where="frequency > 900", margin=0.3)])
