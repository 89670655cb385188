"""Levers of days to come: promotions and events, by what follows from a change of time and from another calendar."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from bayes_clv.inference.calendar import LearnedCalendar
from bayes_clv.valuation import break_even, compare_scenarios, read_scenarios, relative, scenario

DRAWS, WEEKS = 60, 20.0
# Day 0 of what is to come is 1997-10-01; the events are known to 1998-03-31.
PLANNED = {"1997-10-20": 1.0, "1997-10-21": 1.0, "1997-11-05": 0.5}


@pytest.fixture(scope="module")
def customers(make_customers):
    channel = np.where(np.arange(200) % 3 == 0, "web", "shop").astype(object)
    return make_customers(200, seed=4).assign(channel=("customer", channel))


@pytest.fixture(scope="module")
def make(make_posterior, make_spending, customers):
    def made(family="bg_nbd", planned=None, **values):
        given = {"r": 0.5, "alpha": 6.0, "a": 0.8, "b": 4.0} | values
        names = {"nbd": ("r", "alpha"), "pareto_nbd": ("r", "alpha", "s", "beta")}.get(family, tuple(given))
        buying = make_posterior(family, {name: given[name] for name in names}, sd=0.05, chains=2, draws=30)
        if planned is not None:
            buying = with_calendar(buying, planned)
        return clv.simulate(
            buying,
            customers,
            WEEKS,
            spending=make_spending(draws=30),
            margin=0.4,
            annual_discount_rate=0.1,
            draws=DRAWS,
            seed=7,
        )

    return made


def with_calendar(buying, planned):
    """Return the posterior with a calendar of weeks that moves, and an event that is planned on these days."""
    days = np.arange(np.datetime64("1997-09-01"), np.datetime64("1998-04-01"))
    values = tuple(planned.get(str(day), 0.0) for day in days)
    learned = LearnedCalendar(7, 7.0, 45, "1997-09-30", events={"sale": ("1997-09-01", values)})
    rng = np.random.default_rng(1)
    shape = (2, 30)
    further = {
        "calendar_rate": (("chain", "draw", "calendar_period"), np.exp(0.1 * rng.normal(size=(*shape, 45)))),
        "calendar_sd": (("chain", "draw"), np.full(shape, 0.2)),
        "calendar_shock_sd": (("chain", "draw"), np.full(shape, 0.1)),
        "calendar_half_life": (("chain", "draw"), np.full(shape, 20.0)),
        "calendar_coefficient": (
            ("chain", "draw", "calendar_effect"),
            0.8 + 0.2 * rng.normal(size=(*shape, 1)),
        ),
    }
    found = buying.copy()
    dataset = buying["posterior"].dataset.assign(further).assign_coords(calendar_effect=["sale"])
    found["posterior"] = xr.DataTree(dataset)
    found.attrs = buying.attrs | {"calendar": learned.to_json(), "seed": 3}
    return found


def dates(first, last, **more):
    return {"from": first, "until": last} | more


@pytest.fixture(scope="module")
def simulation(make):
    return make()


@pytest.fixture(scope="module")
def compared(simulation):
    return compare_scenarios(
        simulation,
        [
            scenario("none", promotion=dates(0, 3, effect="+0 %")),
            scenario("none of some", where="channel = 'web'", promotion=dates(0, 3, effect="+0 %")),
            scenario("for ever", promotion=dates(0, 30, effect="+25 %")),
            scenario("faster", purchase_rate="+25 %"),
            scenario("two weeks", promotion=dates(2, 4, effect="+50 %")),
            scenario("the same days", promotion=dates("1997-10-15", "1997-10-28", effect="+50 %")),
            scenario("web", where="channel = 'web'", promotion=dates(2, 4, effect="+50 %")),
            scenario("shop", where="channel = 'shop'", promotion=dates(2, 4, effect="+50 %")),
            scenario("won", new_customers=40, promotion=dates(0, 30, effect="+25 %")),
            scenario("won faster", new_customers=40, purchase_rate="+25 %"),
        ],
    )


def of(compared, name, total="purchases_difference"):
    return compared[total].sel(scenario=name).values


def test_a_promotion_of_nothing_is_exactly_nothing(compared):
    for name in ("none", "none of some"):
        assert (of(compared, name, "value_difference") == 0).all()


def test_a_promotion_of_all_days_is_a_rate(compared):
    for name, same in (("for ever", "faster"), ("won", "won faster")):
        np.testing.assert_allclose(of(compared, name), of(compared, same))
        np.testing.assert_allclose(of(compared, name, "value"), of(compared, same, "value"), rtol=1e-9)
    np.testing.assert_array_equal(of(compared, "two weeks"), of(compared, "the same days"))
    np.testing.assert_allclose(of(compared, "web") + of(compared, "shop"), of(compared, "two weeks"))


def test_a_promotion_brings_its_share_of_what_is_bought_on_its_days(make):
    # Where nobody leaves purchases are even: of 2 of 20 weeks a tenth, and half as many more.
    found = compare_scenarios(make("nbd"), [scenario("two weeks", promotion=dates(2, 4, effect="+50 %"))])
    more, base = of(found, "two weeks"), of(found, "base", "purchases")
    error = np.std(more - 0.05 * base, ddof=1) / np.sqrt(DRAWS)
    assert abs((more - 0.05 * base).mean()) < 4 * error
    assert more.mean() > 10 * error


def test_what_a_promotion_must_bring_to_pay(simulation):
    letter = scenario("Letter", contact_cost=0.3, promotion=dates(1, 9, effect="+10 %"))
    found = break_even(simulation, letter, "promotion")
    at = float(found["setting"])
    again = scenario("Again", contact_cost=0.3, promotion=dates(1, 9, effect=f"{100 * at:+.9f} %"))
    difference = compare_scenarios(simulation, [again])["value_difference_mean"][1]
    # Purchases are whole, so that the difference moves in steps: of the value of some 20 orders of 12.
    assert abs(float(difference)) < 1.0
    assert 0 < at < 3
    unsure = scenario("Sale", contact_cost=0.1, promotion=dates(1, 9, effect=relative(stats.norm(0.1, 0.1))))
    worth = clv.valuation.value_of_information(simulation, unsure, "promotion")
    assert float(worth["worth"][0]) >= 0
    with pytest.raises(clv.InputError, match="of one whose days are stated"):
        break_even(simulation, scenario("Letter", contact_cost=0.3), "promotion")


def test_an_event_is_the_posterior_s_own_wherever_it_is_put(make):
    known = make(planned=PLANNED)
    again = dates("1997-10-20", "1997-10-21", name="sale")
    found = compare_scenarios(
        known,
        [
            scenario("planned", event=again),
            scenario("not", event=again | {"value": 0}),
            scenario("more", event=dates("1997-11-05", "1997-11-18", name="sale")),
        ],
    )
    assert (of(found, "planned") == 0).all()
    assert of(found, "not").mean() < 0 < of(found, "more").mean()
    others = {
        "not": {"1997-11-05": 0.5},
        "more": PLANNED
        | {str(day): 1.0 for day in np.arange(np.datetime64("1997-11-05"), np.datetime64("1997-11-19"))},
    }
    for name, planned in others.items():
        same = compare_scenarios(make(planned=planned), [])
        np.testing.assert_allclose(of(found, name, "purchases"), of(same, "base", "purchases"))
        np.testing.assert_allclose(of(found, name, "value"), of(same, "base", "value"), rtol=1e-9)


def test_a_promotion_comes_on_top_of_a_calendar(make):
    found = compare_scenarios(
        make(planned=PLANNED),
        [
            scenario("for ever", promotion=dates(0, 30, effect="+25 %")),
            scenario("faster", purchase_rate="+25 %"),
        ],
    )
    np.testing.assert_allclose(of(found, "for ever"), of(found, "faster"))


def test_a_file_says_the_same(tmp_path, simulation, compared):
    (tmp_path / "what.toml").write_text(
        "[[scenarios]]\nname = 'two weeks'\n"
        "promotion = {effect = '+50 %', from = 1997-10-15, until = '1997-10-28'}\n"
        "[[scenarios]]\nname = 'none'\npromotion = {effect = {normal = ['+20 %', '5 %']}, from = 1, until = 2}\n"
    )
    read = read_scenarios(tmp_path / "what.toml")
    assert read.others[0].text == "promotion +50 % from 1997-10-15 until 1997-10-28"
    found = compare_scenarios(simulation, read)
    np.testing.assert_array_equal(of(found, "two weeks"), of(compared, "two weeks"))
    assert of(found, "none").std() > 0


HEAD = "[[scenarios]]\nname = 'A'\n"
DAYS = "from = 1997-10-15, until = 1997-10-28"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("promotion = '+5 %'", r"line 3: promotion is '\+5 %'. It has effect, from, until, such as"),
        (f"promotion = {{effect = 0.5, {DAYS}}}", r"line 3: the effect of a promotion is 0\.5.*\+30 %"),
        (f"promotion = {{effect = '-150 %', {DAYS}}}", r"line 3: promotion is changed by -150 %"),
        ("promotion = {effect = '+5 %', from = 3, until = 2}", "line 3: promotion goes from 3 until 2"),
        ("promotion = {effect = '+5 %', from = 3, until = 1997-10-28}", "Write two days in their order"),
        ("promotion = {effect = '+5 %', from = 'May', until = 4}", "line 3: promotion, from is 'May'"),
        (f"event = {{name = 'sale', {DAYS}, value = true}}", "line 3: the value of an event is True"),
        (f"event = {{{DAYS}}}", "line 3: event is .* It has name, from, until"),
        (
            "promotion = {effect = '+5 %', from = 1997-09-15, until = 1997-10-28}",
            "line 3: .* is not to come: the data end on 1997-09-30",
        ),
        ("promotion = {effect = '+5 %', from = 21, until = 22}", "line 3: .* beyond the horizon, 20 weeks"),
        (f"event = {{name = 'sale', {DAYS}}}", "no event 'sale'. It has no calendar with events"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path, simulation, text, message):
    (tmp_path / "bad.toml").write_text(HEAD + text + "\n")
    with pytest.raises(clv.InputError, match=message):
        compare_scenarios(simulation, read_scenarios(tmp_path / "bad.toml"))


def test_what_the_posterior_cannot_have_is_refused(make):
    promotion = scenario("A", promotion=dates(0, 2, effect="+5 %"))
    with pytest.raises(clv.InputError, match="by Pareto/NBD customers leave at a time of their own"):
        compare_scenarios(make("pareto_nbd", s=0.6, beta=12.0), [promotion])
    known = make(planned=PLANNED)
    with pytest.raises(clv.InputError, match="no event 'fair'. It has sale"):
        compare_scenarios(known, [scenario("A", event=dates("1997-10-15", "1997-10-16", name="fair"))])
    with pytest.raises(clv.InputError, match="an event is on days of the calendar"):
        compare_scenarios(known, [scenario("A", event=dates(0, 2, name="sale"))])
    nameless = replace(known, inputs=replace(known.inputs, customers=known.customers.assign_attrs(until="")))
    with pytest.raises(clv.InputError, match="have no last day"):
        compare_scenarios(
            nameless, [scenario("A", promotion=dates("1997-10-15", "1997-10-16", effect="+5 %"))]
        )
