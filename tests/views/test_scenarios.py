"""Scenarios for the eye: figures hold the numbers they were given, tables and sentences say them."""

import matplotlib as mpl
import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv import views
from bayes_clv.language import speaking
from bayes_clv.problems import cards, problem
from bayes_clv.valuation import (
    break_even,
    compare_scenarios,
    scenario,
    sensitivity,
    tornado,
    value_of_information,
)
from bayes_clv.views import fonts
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.scenarios import (
    best_sentences,
    break_even_sentence,
    scenario_sentence,
    write_scenarios_page,
)
from tests.browser import faults, printed, visit
from tests.sentences import CHINESE, drawn_words, untranslated


@pytest.fixture(scope="module")
def simulation(make_buying, make_spending, make_customers):
    return clv.simulate(
        make_buying(draws=20),
        make_customers(80, seed=4),
        "26 weeks",
        spending=make_spending(draws=20),
        margin=0.3,
        draws=40,
        seed=7,
    )


@pytest.fixture(scope="module")
def letter():
    return scenario("Letter <b>", where="frequency > 0", contact_cost=0.4, purchase_rate="+4 %")


@pytest.fixture(scope="module")
def compared(simulation, letter):
    return compare_scenarios(simulation, [scenario("same"), letter, scenario("dearer", price="+5 %")])


@pytest.fixture(scope="module")
def swings(simulation):
    return tornado(simulation, {"margin": (0.2, 0.35), "spend": ("-1 %", "+1 %")})


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_differences_are_drawn_with_their_intervals(compared):
    figure = views.plot_scenarios(compared)
    ax = figure.axes[0]
    dots = ax.collections[-1].get_offsets().data
    np.testing.assert_allclose(dots[:, 0], compared["value_difference_mean"].values[1:])
    lines = np.array([path.vertices[:, 0] for path in ax.collections[0].get_paths()])
    for i, end in enumerate(("q05", "q95")):
        np.testing.assert_allclose(lines[:, i], compared[f"value_difference_{end}"].values[1:])
    assert "outcome level, over 26 weeks" in words(figure)
    assert "better: over 99 %" in words(figure)
    assert ax.get_ylabel()
    with pytest.raises(clv.InputError, match="nothing beside the base"):
        views.plot_scenarios(compared.isel(scenario=[0]))
    with pytest.raises(clv.InputError, match="This needs what clv.valuation.tornado returned"):
        views.plot_tornado(compared)


def test_a_tornado_is_drawn_with_its_settings(swings):
    figure = views.plot_tornado(swings)
    bars = [bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, mpl.patches.Rectangle)]
    np.testing.assert_allclose(bars, swings["difference_mean"].transpose("end", "lever").values.ravel())
    for text in ("0.2", "0.35", "-1 %", "+1 %", "margin"):
        assert text in words(figure)


@pytest.mark.parametrize(
    "levers", [{"margin": [0.2, 0.3]}, {"margin": [0.2, 0.3], "spend": ["+0 %", "+5 %"]}]
)
def test_grids_are_drawn(simulation, levers):
    found = sensitivity(simulation, levers)
    figure = views.plot_sensitivity(found)
    ax = figure.axes[0]
    if len(levers) == 1:
        np.testing.assert_allclose(ax.lines[-1].get_ydata(), found["difference_mean"].values)
    else:
        np.testing.assert_allclose(ax.images[0].get_array(), found["difference_mean"].values)
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_sentences_say_what_a_manager_asks(compared):
    assert scenario_sentence(compared, "same") == "“same” is worth exactly what the base is worth."
    dearer = scenario_sentence(compared, "dearer")
    mean, low, high = (
        round(float(compared[f"value_difference_{each}"].sel(scenario="dearer")))
        for each in ("mean", "q05", "q95")
    )
    assert dearer == (
        f"“dearer” is worth {mean} more than the base (90 %: +{low} to +{high}), better with a probability of over 99 "
        "%."
    )
    letter = scenario_sentence(compared, "Letter <b>")
    loss = float(compared["loss_if_wrong"].sel(scenario="Letter <b>"))
    assert f"choosing it wrongly would cost {loss:.3g} on average" in letter
    assert best_sentences(compared)[0].startswith("Worth most on average: “dearer”, the best of all 4")


def test_tables_have_a_row_a_scenario_and_a_lever(compared, swings):
    table = clv.table(compared)
    assert table["scenario"].tolist() == ["base", "same", "Letter <b>", "dearer"]
    assert table["stated"].tolist()[3] == "price +5 %"
    np.testing.assert_array_equal(table["value_difference_q95"], compared["value_difference_q95"])
    levers = clv.table(swings)
    assert levers["lever"].tolist() == ["margin", "spend"]
    assert levers["high_setting"].tolist() == ["0.35", "+1 %"]
    np.testing.assert_array_equal(levers["low_difference_mean"], swings["difference_mean"].sel(end="low"))


def test_the_page_holds_everything_and_loads_nothing(tmp_path, simulation, letter, compared, swings):
    found = break_even(simulation, letter, "contact_cost")
    page = write_scenarios_page(
        tmp_path / "page.html",
        Gallery(None),
        comparison=compared,
        swings=swings,
        break_evens=[found],
        checks=["Holdout: too many"],
        run={"seed": 7},
    ).read_text()
    assert page.count("<figure") == 2
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<b>" not in page.partition("<main>")[2]
    assert "Letter &lt;b&gt;" in page
    assert "1 check of the run behind these scenarios failed: Holdout: too many." in page
    assert f"at a contact cost of {found.attrs['text']}." in break_even_sentence(found)
    assert f"at a contact cost of {found.attrs['text']}." in page
    assert "What it states" in page or "what it states" in page


def test_the_page_is_in_another_language_whole(tmp_path, monkeypatch, simulation, letter, compared, swings):
    monkeypatch.setattr(fonts, "drawable", lambda language: language)
    found = break_even(simulation, letter, "contact_cost")
    title = cards([problem("rhat", "Purchases", rhat=1.2)])[0].title
    given = {
        "comparison": compared,
        "swings": swings,
        "break_evens": [found],
        "checks": [title],
        "run": {"seed": 7},
    }
    with speaking("zh"):
        page = write_scenarios_page(tmp_path / "page.html", Gallery(None), **given).read_text()
    assert '<html lang="zh">' in page
    # Names, and what is typed.
    levers = {"margin", "spend", "price +5 %", "contact cost 0.4; purchase rate +4 %; where frequency > 0"}
    assert untranslated(page) == {"Letter <b>", "same", "base", "dearer", "seed"} | levers
    drawn = {each for each in drawn_words(page) if not CHINESE.search(each)}
    assert drawn == {"Letter <b>", "same", "dearer", "margin", "spend"}
    assert "购买：R-hat 为 1.200" in page
    assert scenario_sentence(compared, "same") in "“same” is worth exactly what the base is worth."


def test_money_is_in_the_currency_of_the_customers(
    tmp_path, make_buying, make_spending, make_customers, letter
):
    pounds = make_customers(80, seed=4).assign_attrs(currency="£")
    money = {"spending": make_spending(draws=20), "margin": 0.3, "draws": 40, "seed": 7}
    simulation = clv.simulate(make_buying(draws=20), pounds, "26 weeks", **money)
    found, swings = compare_scenarios(simulation, [letter]), tornado(simulation, {"margin": (0.2, 0.35)})
    page = write_scenarios_page(
        tmp_path / "page.html",
        Gallery(None),
        comparison=found,
        swings=swings,
        learnt=[value_of_information(simulation, unsure_letter(), "contact_cost")],
    ).read_text()
    assert "(money)" not in page
    assert "in money" not in page
    assert f"are worth £{np.round(float(found['value_mean'][0])):,.0f} over" in page
    # Two figures, each drawn for a telephone too.
    assert page.count("difference of value to the base (£)") == 4
    assert page.count(", in £.") == 6  # the captions, and the buttons that save them
    assert "before choosing it would be worth £" in page


def unsure_letter():
    cost = clv.Prior("Gamma", mu=0.4, sigma=0.3)
    return scenario("Letter", contact_cost=cost, purchase_rate="+4 %")


def test_nothing_is_wrong_with_the_page_in_a_browser(browser, tmp_path, compared, swings):
    write_scenarios_page(
        tmp_path / "page.html",
        Gallery(None),
        comparison=compared,
        swings=swings,
        checks=["Holdout: too many"],
        run={"seed": 7},
    )
    assert faults(browser, tmp_path / "page.html") == []
    # A short page takes few sheets: parts follow each other there.
    with visit(browser, tmp_path / "page.html") as seen:
        assert len(printed(seen.page)) <= 3
