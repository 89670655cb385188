"""Channels for the eye: figures hold the numbers they were given, tables and sentences say them."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv import views
from bayes_clv.valuation import channel, compare_channels
from bayes_clv.views.reporting.channels import (
    best_channel_sentences,
    channel_sentence,
    write_channels_page,
)
from bayes_clv.views.reporting.gallery import Gallery
from tests.browser import faults

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
    np.testing.assert_allclose(dots[:, 0], found["value_q50"])
    lines = np.array([path.vertices[:, 0] for path in ax.collections[2].get_paths()])
    np.testing.assert_allclose(lines, np.stack([found["value_q05"], found["value_q95"]], axis=1))
    assert "pays: over 99 %" in words(figure)
    assert "expected level, over 20 weeks" in words(figure)
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
    assert "1 check of the run behind these channels failed: Purchases: Pareto k." in page
    for name in ("email", "social"):
        assert channel_sentence(found, name) in page
    assert "never" in page
    assert "What a lead is worth" in page
    assert f"{100 * float(found['conversion_q50'][2]):.1f} %" in page


def test_nothing_is_wrong_with_the_page_in_a_browser(browser, tmp_path, found):
    write_channels_page(
        tmp_path / "page.html",
        Gallery(None),
        found=found,
        checks=["Purchases: Pareto k"],
        run={"seed": 7},
    )
    assert faults(browser, tmp_path / "page.html") == []
