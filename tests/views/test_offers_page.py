"""The page of offers: who is the best value and how sure that is, and what a survey adds."""

import html

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.language import speaking
from bayes_clv.problems import cards, problem
from bayes_clv.views import fonts
from bayes_clv.views.reporting import offer_words as words
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.offers import write_offers_page
from studies.water_filters import MARKET, SLOPE
from tests.browser import faults
from tests.sentences import CHINESE, drawn_words, untranslated

RIVALS = ("Filtro", "Walter", "Envir", "Brite", "Clarion")


@pytest.fixture(scope="module")
def market():
    return clv.perceived.read_market(MARKET, scale=(1, 10))


@pytest.fixture(scope="module")
def unsure(market):
    return clv.perceived.unsure(market, concentration=50, rating_error=0.5, draws=400, seed=1)


@pytest.fixture(scope="module")
def offers(unsure):
    return clv.perceived.price_performance(unsure, SLOPE)


@pytest.fixture(scope="module")
def survey():
    """What 120 respondents say: the taste decides, friendliness falls short in the east."""
    rng = np.random.default_rng(4)
    said = pd.DataFrame(rng.integers(1, 6, (120, 4)), columns=["taste", "support", "friendly", "wanted"])
    said["overall"] = np.clip(said["taste"] + rng.integers(-1, 2, 120), 1, 5)
    said["shop"] = np.repeat(["east", "west"], 60)
    said["recommend"] = np.where(said["shop"] == "east", 3, 10)
    small = {"draws": 100, "tune": 50, "chains": 2, "seed": 1}
    drivers = clv.perceived.fit_drivers(said, "overall", ["taste", "support"], scale=(1, 5), **small)
    facets = clv.perceived.fit_answers(
        said,
        {"empathy": ["friendly"]},
        expected={"empathy": ["wanted"]},
        scale=(1, 5),
        by="shop",
        **small,
    )
    shares = clv.perceived.answer_shares(said, "recommend", by="shop", draws=100, seed=1)
    return {
        "drivers": clv.perceived.driver_kinds(drivers),
        "facets": clv.perceived.facet_scores(facets),
        "promoters": clv.perceived.net_promoter(shares),
    }


def written(tmp_path, offers, market, **further):
    path = write_offers_page(tmp_path / "page.html", Gallery(None), offers=offers, market=market, **further)
    return path.read_text(encoding="utf-8")


def test_the_first_screen_names_the_best_value_and_how_sure_it_is(offers, unsure, tmp_path):
    page = written(tmp_path, offers.assign_attrs(currency="$"), unsure, rival="Filtro", run={"seed": 7})
    first = html.unescape(page.partition("<section")[0])
    chance = 100 * float(offers["probability_best"].sel(rival="Envir"))
    assert 60 < chance < 90
    assert f"the best of all with a probability of {chance:.0f} %, which is not settled." in first
    for name in RIVALS:
        assert f"“{name}” gives $" in first
    assert "Head to head: Filtro" in page
    assert page.count("<figure") == 2
    assert "http" not in page.replace("http://www.w3.org", "")
    assert 'class="warning"' not in page
    for absent in ("Who recommends", "What drives the overall judgement", "Quality as it is perceived"):
        assert absent not in page


def test_what_is_taken_as_known_has_no_probability(market, tmp_path):
    offers = clv.perceived.price_performance(market, SLOPE)
    # The printed case: total advantage 64, fair price 148, total cost 84.
    assert words.best_sentence(offers).startswith("Best value: “Envir”, worth 64.3 ")
    assert words.rival_sentence(offers, "Walter") == (
        "“Walter” gives 104 less than it costs: 200, where 95.6 would be fair."
    )
    assert words.reasons_sentence(offers, "Filtro") == (
        "Of “Filtro” against the average of the rivals, most for it is clogging, by 23.4; most against it is reliable "
        "supply, by 18.7."
    )
    page = written(tmp_path, offers, market)
    assert "P(best value)" not in page
    assert "taken as known" in page
    assert "Head to head: Envir" in page


def test_head_to_head_is_the_difference_of_advantages(offers, unsure, tmp_path):
    """Against Envir all are held by ``against``; the page's own table takes differences, draw by draw."""
    page = written(tmp_path, offers, unsure, rival="Filtro")
    mine = page.partition('id="head-table"')[2].partition("</table>")[0]
    other = clv.perceived.price_performance(unsure, SLOPE, against="Envir")
    mean = float(other["total_advantage_mean"].sel(rival="Filtro"))
    assert f">{mean:.1f}<" in mine


def test_a_survey_is_said_and_its_failed_check_stands_first(offers, unsure, survey, tmp_path):
    page = written(tmp_path, offers, unsure, **survey, checks=["Drivers: R-hat is 1.2"])
    warning = page.split('class="warning">')[1].split("</p>")[0]
    assert "1 check of the survey&#39;s fits failed: Drivers: R-hat is 1.2. Take more draws" in warning
    text = html.unescape(page)
    for sentence in (
        *words.driver_sentences(survey["drivers"]),
        *words.gap_sentences(survey["facets"]),
        *words.promoter_sentences(survey["promoters"]),
    ):
        assert sentence in text
    assert words.driver_sentences(survey["drivers"])[0].startswith("“taste” counts most: ")
    assert words.promoter_sentences(survey["promoters"])[1].startswith("“west” is ahead of “east”")


def test_quality_without_expectations_names_the_best_and_the_worst(survey):
    alone = survey["facets"].drop_vars([name for name in survey["facets"] if str(name).startswith("gap")])
    assert words.gap_sentences(alone)[0].startswith("“east”: best is empathy (")


def test_the_page_is_in_another_language_whole(offers, unsure, survey, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "drawable", lambda language: language)
    checks = [cards([problem("rhat", "Drivers", rhat=1.2)])[0].title]
    with speaking("zh"):
        page = written(tmp_path, offers, unsure, **survey, checks=checks, run={"seed": 7})
    assert '<html lang="zh">' in page
    data = {*RIVALS, *offers["attribute"].to_numpy(), *offers["price_part"].to_numpy()}
    data |= {"taste", "support", "empathy", "east", "west", "seed"}
    assert untranslated(page) <= data
    assert {each.partition(" (")[0] for each in drawn_words(page) if not CHINESE.search(each)} <= data


def test_nothing_is_wrong_with_the_page_in_a_browser(browser, offers, unsure, survey, tmp_path):
    written(tmp_path, offers, unsure, **survey, rival="Filtro", checks=["Drivers: R-hat"], run={"seed": 7})
    assert faults(browser, tmp_path / "page.html") == []
