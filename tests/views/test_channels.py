"""Channels for the eye: figures hold the numbers they were given, tables and sentences say them."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv import views
from bayes_clv.language import speaking
from bayes_clv.problems import cards, problem
from bayes_clv.valuation import channel, compare_channels
from bayes_clv.views import fonts
from bayes_clv.views.numbers import number
from bayes_clv.views.reporting.channel_words import best_channel_sentences, channel_sentence
from bayes_clv.views.reporting.channels import write_channels_page
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.workflows.acquiring import channels_summary
from tests.browser import faults
from tests.sentences import CHINESE, drawn_words, untranslated

NAMES = ("email", "search <b>", "social")


@pytest.fixture(scope="module")
def found():
    """Three channels over 20 weeks: one pays at once, one perhaps, one never."""
    end = np.random.default_rng(2).normal([20.0, 20.0, 5.0], [1.0, 2.0, 0.5], (200, 3))
    by_time = np.stack([0.4 * end, 0.8 * end, end], axis=-1)
    values = xr.Dataset(
        {"value_by_time": (("draw", "channel", "time"), by_time)},
        {"channel": np.array(NAMES, dtype=object), "time": [0.0, 10.0, 20.0]},
        {
            "time_unit": "week",
            "horizon": 20.0,
            "by": "channel",
            "margin": 0.3,
            "annual_discount_rate": 0.1,
        },
    )
    stated = [
        channel("email", cost=2.0),
        channel("search <b>", cost=20.0, customers=300),
        channel("social", cost_per_lead=0.9, leads=3000, converted=300, customers=10),
    ]
    return compare_channels(values, stated, test_cost=100.0)


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_worth_and_cost_are_drawn(found):
    figure = views.plot_channels(found)
    ax = figure.axes[0]
    dots = ax.collections[-1].get_offsets().data
    np.testing.assert_allclose(dots[:, 0], found["value_mean"])
    lines = np.array([path.vertices[:, 0] for path in ax.collections[2].get_paths()])
    np.testing.assert_allclose(lines, np.stack([found["value_q05"], found["value_q95"]], axis=1))
    assert "pays: over 99 %" in words(figure)
    assert "means and 90 % intervals, expected level, over 20 weeks" in words(figure)
    lacking = found.assign(value_mean=("channel", [np.nan, 20.0, 5.0]))
    dots = views.plot_channels(lacking).axes[0].collections[-1].get_offsets().data
    np.testing.assert_allclose(dots[:, 0], found["value_q50"])
    with pytest.raises(clv.InputError, match="This needs what clv.valuation.compare_channels returned"):
        views.plot_channels(xr.Dataset())


def test_payback_is_drawn_as_the_share_that_has_paid(found):
    figure = views.plot_payback(found)
    email, search, social = (line.get_ydata() for line in figure.axes[0].lines)
    assert email[1] > 0
    assert email[-1] == 1
    assert social[-1] == 0
    assert search[-1] == pytest.approx(float(found["probability_pays"][1]))


def test_sentences_say_what_a_manager_asks(found):
    assert channel_sentence(found, "email").endswith(
        "it pays with a probability of over 99 % and has paid with the first order in most draws. Keep it."
    )
    search = channel_sentence(found, "search <b>")
    loss = round(float(found["expected_loss"][1]))
    assert (
        f"Test it first. A wrong choice costs {loss} on average over 300 customers, more than the 100"
        in search
    )
    social = channel_sentence(found, "social")
    assert "under 1 % and has not paid within 20 weeks in most draws. Stop it." in social
    lines = best_channel_sentences(found)
    assert lines[0].startswith("Earns most on average: “email”")
    assert lines[1:] == ["Stop: “social”.", "Test first: “search <b>”."]


def test_value_cost_and_profit_are_told_in_one_statistic(found):
    """What a channel is worth less what it costs is what it earns, as printed; its draws are skewed."""
    skewed = np.random.default_rng(4).lognormal(5.0, 1.0, (400, 1, 1)) * [0.5, 0.8, 1.0]
    coords = {"channel": np.array(["one"], dtype=object), "time": [0.0, 10.0, 20.0]}
    values = xr.Dataset({"value_by_time": (("draw", "channel", "time"), skewed)}, coords, found.attrs)
    alone = compare_channels(values, {"one": 120.0})
    worth, earned = round(float(alone["value_mean"][0])), round(float(alone["profit_mean"][0]))
    assert worth > 1.2 * float(alone["value_q50"][0])
    assert f"is worth {worth} on average" in channel_sentence(alone, "one")
    assert "costs 120; " in channel_sentence(alone, "one")
    assert best_channel_sentences(alone) == [f"“one” earns {earned} a customer after its cost on average."]
    assert worth - 120 == earned
    unknown = alone.assign(value_mean=("channel", [np.nan]), profit_mean=("channel", [np.nan]))
    middle = round(float(alone["value_q50"][0]))
    assert f"is worth {middle} in the median" in channel_sentence(unknown, "one")
    assert best_channel_sentences(unknown) == []


def test_a_channel_says_how_many_customers_it_leans_on(found, tmp_path):
    known = found.assign(customers_known=("channel", [1, 310, 0]))
    said = [channel_sentence(known, name).split(": ")[0] for name in NAMES]
    assert said == [
        "“email” (1 customer, leans on the others)",
        "“search <b>” (310 customers)",
        "“social” (no customer yet, drawn from how the others differ)",
    ]
    few = known.assign(customers_known=("channel", [19, 20, 0]))
    assert "(19 customers, lean on the others)" in channel_sentence(few, "email")
    assert "(20 customers)" in channel_sentence(few, "search <b>")
    assert "“email” (1 customer, leans on the others), 18" in best_channel_sentences(known)[0]
    assert clv.table(known)["customers_known"].tolist() == [1, 310, 0]
    assert "customers_known" not in clv.table(found)
    page = write_channels_page(tmp_path / "page.html", Gallery(None), found=known).read_text()
    assert page.count("customers learned from") == 1


def test_no_winner_is_named_that_does_not_stand_out(found, tmp_path):
    close = found.assign(probability_best=("channel", [0.37, 0.33, 0.3]))
    assert best_channel_sentences(close)[0] == (
        "None of the 3 stands out: the one with the highest mean earns most with a probability of 37 %, and is named "
        "from 50 % on."
    )
    page = write_channels_page(tmp_path / "page.html", Gallery(None), found=close).read_text()
    assert "earned by a customer of" not in page
    assert "37 %<small>probability; none stands out" in page
    assert "“email”" in best_channel_sentences(close.assign(probability_best=("channel", [0.5, 0.3, 0.2])))[0]


def test_verdicts_of_a_fit_that_failed_say_so_first(found, tmp_path):
    lines = channels_summary(found, "value", ["Purchases: Pareto k", "Holdout: too low"])
    assert lines[0] == (
        "2 checks of the run behind these channels failed, so that keep, stop and test below are verdicts of a fit "
        "that may be wrong (listed at the end)."
    )
    assert lines[1:] == channels_summary(found, "value")
    page = write_channels_page(tmp_path / "a.html", Gallery(None), found=found, checks=["Purchases: k"])
    warning = page.read_text().split('class="warning">')[1].split("</p>")[0]
    assert "verdicts of a fit that may be wrong: Purchases: k." in warning


def test_sentences_of_many_channels_stand_below_the_figure(found, tmp_path):
    """Beside it they would be a column three times as long, with white below the figure."""
    names = [f"{i} {name}" for i in range(2) for name in NAMES]
    by_time = np.concatenate([found["value_by_time"].values] * 2, axis=1)
    coords = {"channel": np.array(names, dtype=object), "time": found["time"].values}
    values = xr.Dataset({"value_by_time": (("draw", "channel", "time"), by_time)}, coords, found.attrs)
    many = compare_channels(values, 9.0)
    few, more = (
        write_channels_page(tmp_path / f"{n}.html", Gallery(None), found=each).read_text()
        for n, each in enumerate((found, many))
    )
    assert '<div class="look">' in few
    assert '<div class="look">' not in more
    assert '<ul class="act columns">' in more


def test_tables_have_a_row_a_channel_and_a_pair(found):
    table = clv.table(found)
    assert table["channel"].tolist() == list(NAMES)
    assert table["decision"].tolist() == ["keep", "test", "stop"]
    np.testing.assert_array_equal(table["payback_q95"], found["payback_q95"])
    pairs = clv.table(found, by="pair")
    assert pairs[["channel", "other"]].values.tolist()[2] == ["search <b>", "email"]
    assert pairs["probability_beats"][1] == float(found["probability_beats"][0, 2])


def test_the_page_holds_everything_and_loads_nothing(tmp_path, found):
    page = write_channels_page(
        tmp_path / "page.html", Gallery(None), found=found, checks=["Purchases: Pareto k"], run={"seed": 7}
    ).read_text()
    assert page.count("<figure") == 2
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<b>" not in page.partition("<main>")[2]
    assert "1 check of the run behind these channels failed, so that" in page
    assert "may be wrong: Purchases: Pareto k." in page
    for name in ("email", "social"):
        assert channel_sentence(found, name) in page
    assert "never" in page
    assert "What a lead is worth" in page
    assert f"{100 * float(found['conversion_q50'][2]):.1f} %" in page


def test_money_is_in_the_currency_of_the_customers(tmp_path, found):
    pounds = found.assign_attrs(currency="£")
    page = write_channels_page(tmp_path / "page.html", Gallery(None), found=pounds).read_text()
    assert "(money)" not in page
    assert "in money" not in page
    assert "of one new customer (£)" in page
    assert page.count(", in £") == 6  # the captions, and the buttons that save them
    assert f"a new customer is worth £{number(found['value_mean'][0])} on average" in page
    assert "than the £100 of a test" in page


def test_the_page_is_in_another_language_whole(tmp_path, monkeypatch, found):
    monkeypatch.setattr(fonts, "drawable", lambda language: language)
    some = found.assign(customers_known=("channel", [1, 310, 0]))
    checks = [cards([problem("rhat", "Purchases", rhat=1.2)])[0].title]
    with speaking("zh"):
        page = write_channels_page(
            tmp_path / "page.html", Gallery(None), found=some, checks=checks, run={"seed": 7}
        ).read_text()
    assert '<html lang="zh">' in page
    # Names, and what is typed.
    stated = {
        "cost 2",
        "cost 20; customers 300",
        "cost per lead 0.9; leads 3000; converted 300; customers 10",
    }
    assert untranslated(page) == {*NAMES, "channel", "seed"} | stated
    assert {each for each in drawn_words(page) if not CHINESE.search(each)} == {*NAMES, "channel"}
    assert "购买：R-hat 为 1.200" in page


def test_nothing_is_wrong_with_the_page_in_a_browser(browser, tmp_path, found):
    write_channels_page(
        tmp_path / "page.html",
        Gallery(None),
        found=found,
        checks=["Purchases: Pareto k"],
        run={"seed": 7},
    )
    assert faults(browser, tmp_path / "page.html") == []
