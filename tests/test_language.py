"""What a page says in another language: every sentence has a translation, and the page is in it whole."""

import io
import json
import re
import threading
import zipfile

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from markupsafe import Markup

import bayes_clv as clv
from bayes_clv import language
from bayes_clv.families.registry import family as find_family
from bayes_clv.language import (
    joined,
    languages,
    say,
    say_in,
    say_kept,
    say_kept_sentences,
    say_kept_titles,
    say_many,
    speaking,
)
from bayes_clv.problems import cards, problem
from bayes_clv.schema import InputError
from bayes_clv.scoring import choosing
from bayes_clv.views.reporting.cells import Column, Table, interval
from bayes_clv.views.reporting.gallery import drawn
from bayes_clv.views.reporting.workbook import workbook
from bayes_clv.workflows.settings import Settings, check_settings
from tests import sentences
from tests.sentences import CHINESE


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Return what writes a language of its own, ``xx``, of some messages; it is the only one then."""
    monkeypatch.setattr(language, "FOLDER", tmp_path)

    def write(*messages):
        found = Catalog(locale="de")
        for each, translation in messages:
            found.add(each, translation)
        with (tmp_path / "xx.po").open("wb") as file:
            write_po(file, found)
        for cached in (language._translations, language._patterns):
            cached.cache_clear()

    yield write
    for cached in (language._translations, language._patterns):
        cached.cache_clear()


@pytest.mark.parametrize("code", languages()[1:])
def test_every_sentence_has_a_translation_with_its_slots_and_no_translation_is_of_nothing(code):
    assert sentences.faults(code) == []


def test_the_check_finds_what_is_missing_what_lost_a_slot_and_what_nothing_says(broken, monkeypatch):
    said = Catalog()
    many = ("{count} check failed", "{count} checks failed")
    for each in ("Customers", "{amount} {unit}", "{n:,} customers", many):
        said.add(each)
    monkeypatch.setattr(sentences, "sentences", lambda: said)
    good = [
        ("Customers", "Kunden"),
        ("{amount} {unit}", "{amount} {unit}"),
        ("{n:,} customers", "{n:,} Kunden"),
    ]
    good.append((many, ("{count} Prüfung", "{count} Prüfungen")))
    broken(*good)
    assert sentences.faults("xx") == []
    broken(*good[1:])
    assert sentences.faults("xx") == ["no translation: 'Customers'"]
    broken(*good[:2], ("{n:,} customers", "{n} Kunden"), good[3])
    assert [each.partition(":")[0] for each in sentences.faults("xx")] == ["slots ['n"]
    broken(*good[:3], (many, ("{count} Prüfung", "Prüfungen")))
    assert len(sentences.faults("xx")) == 1
    broken(*good, ("Of an earlier version", "Von früher"))
    assert sentences.faults("xx") == ["nothing says this any more: 'Of an earlier version'"]


def test_sentences_are_found_in_code_however_deep_and_in_templates():
    code = 'joined("{first} {second}", [say("one"), *([say_many("a {n}", "b {n}", n)] if n else [])]); say_in("c", "d")'
    assert set(sentences.in_code(code)) == {
        ("{first} {second}", None),
        ("one", None),
        (("a {n}", "b {n}"), None),
        ("d", "c"),
    }
    assert list(sentences.in_template('<p>{{ say("A {x}", x=say("b")) }}</p>')) == [
        ("A {x}", None),
        ("b", None),
    ]


def test_a_sentence_is_said_in_the_language_that_is_spoken_and_numbers_are_the_same():
    assert say("Customers") == "Customers"
    with speaking("zh"):
        assert say("Customers") == "客户"
        assert say_many("about {count:,} customer", "about {count:,} customers", 1234) == "约 1,234 位客户"
        assert say_many("{count} check failed", "{count} checks failed", 2) == "2 项检查未通过"
        assert (say_in("alarm", "passed"), say("passed")) == ("已触发", "通过")
        assert joined("{first} and {second}", ["a", "b", "c"]) == "a和b和c"
        assert say("A sentence without translation.") == "A sentence without translation."
        with speaking("en"):
            assert say("Customers") == "Customers"
        assert say("Customers") == "客户"
    assert say_many("{count} check failed", "{count} checks failed", 1) == "1 check failed"
    assert say("") == ""


def test_after_an_error_the_language_before_is_spoken():
    with pytest.raises(ZeroDivisionError), speaking("zh"):
        1 / 0  # noqa: B018
    assert language.spoken() == "en"


def test_two_pages_at_one_time_have_each_its_language():
    said, together = {}, threading.Barrier(2)

    def page(code):
        with speaking(code):
            together.wait(10)
            said[code] = say("Customers")
            together.wait(10)

    threads = [threading.Thread(target=page, args=(code,)) for code in ("en", "zh")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert said == {"en": "Customers", "zh": "客户"}


def test_markup_in_a_slot_stays_markup_and_all_else_is_escaped():
    found = say("{what} <{name}>", what=Markup("<b>x</b>"), name="a & b")
    assert isinstance(found, Markup)
    assert found == "<b>x</b> &lt;a &amp; b&gt;"


def test_a_language_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"language='xx'.*Use one of en, zh"):
        check_settings(Settings("orders.csv", language="xx"))


def test_what_a_stage_kept_in_english_is_said_again():
    customers = clv.summarize(clv.load_cdnow(), until="1997-06-30", holdout_until="1997-09-30")
    lines = [each["what"] for each in json.loads(customers.attrs["audit"])]
    # Read, the end, kept, merged days, free orders, equal rows.
    assert len(lines) == 6
    assert [say_kept(each) for each in lines] == lines
    with speaking("zh"):
        said = [say_kept(each) for each in lines]
        assert say_kept("Some 3 words of an earlier version.") == "Some 3 words of an earlier version."
        assert say_kept_sentences(find_family("nbd_drift").words.summary).count("\u3002") == 3
    for kept, each in zip(lines, said, strict=True):
        assert CHINESE.search(each)
        assert sorted(re.findall(r"\d[\d,.-]*\d|\d", kept)) == sorted(re.findall(r"\d[\d,.-]*\d|\d", each))


def test_why_a_family_was_chosen_is_said_again_whole():
    row = {
        "verdict": choosing.TAKEN,
        "elpd_gain": 12.3,
        "elpd_se": 3.1,
        "crps_gain": 0.01,
        "crps": 1.0,
        "crps_se": 0.1,
    }
    row |= {"retention_log_score_gain": 0.01, "retention_log_score": 1.0, "retention_log_score_se": 0.01}
    verdicts = [
        {"mbg_nbd": choosing.WORSE_LEFT_OUT, "pareto_nbd": choosing.WORSE_LATELY},
        {"mbg_nbd": "as good", "pareto_nbd": "as good", "bg_nbd_drift": choosing.TAKEN},
        {
            "mbg_nbd": "as good",
            "bg_nbd_drift": choosing.NO_BETTER,
            "bg_nbd_returns": choosing.worse_by(choosing.MEASURES),
        },
    ]
    for each in verdicts:
        table = {"bg_nbd": row} | {name: row | {"verdict": verdict} for name, verdict in each.items()}
        families = [name for name in table if not name.endswith(("drift", "returns"))]
        reason = choosing._reason(table, families, "bg_nbd", 20_000, None)
        with speaking("zh"):
            said = say_kept_sentences(reason)
        assert set(re.findall("[A-Za-z_]{2,}", said)) <= {*table, "CRPS"}


def test_failed_checks_of_a_run_are_said_again():
    titles = [cards([problem("rhat", each, rhat=1.2)])[0].title for each in ("Purchases", "Spend")]
    titles.append(titles[0].replace("Purchases", "Purchases and Spend"))
    assert say_kept_titles([*titles, "Of my own"]) == "; ".join([*titles, "Of my own"])
    with speaking("zh"):
        said = say_kept_titles([*titles, "Of my own"]).split("\uff1b")
    assert said == [f"{who}\uff1aR-hat 为 1.200" for who in ("购买", "消费", "购买和消费")] + ["Of my own"]


@pytest.mark.parametrize(
    "reason",
    [
        "means in money are NaN, because expected spend is infinite for 1,234 of 5,000 customers in up to 3 of 40 "
        "draws. Use the quantiles, or a stronger prior on q.",
        "means and expected losses of money are NaN, because expected spend is infinite for 7 of 5,000 customers in up "
        "to 3 of 40 draws. Use the quantiles, or a stronger prior on q.",
        "means of money do not exist, because expected spend is infinite in up to 3 of 40 draws. Use the quantiles, or "
        "a stronger prior on q.",
        "Letter: the mean difference to the base has one sign at every contact cost from 0 to 1e+12.",
        "return_on_customer: NaN, because the customers have no historical_spend (clv.summarize).",
        "1,200 customers of the opening are not in the closing (all they had bought came back); their value is among "
        "what is revised.",
    ],
)
def test_why_a_mean_is_missing_is_said_again(reason):
    with speaking("zh"):
        said = say_kept(reason)
    assert CHINESE.search(said)
    assert not re.search("[a-z]{3,} [a-z]{3,} [a-z]{3,}", said)
    assert sorted(re.findall(r"\d[\d,]*", reason)) == sorted(re.findall(r"\d[\d,]*", said))


def test_what_is_kept_of_a_problem_is_english_and_its_card_is_not():
    with speaking("zh"):
        found = problem("rhat", "Purchases", rhat=1.2)
        card = cards([found])[0]
    assert found.found == "R-hat is 1.200 (should be below 1.01): the chains disagree."
    assert card.title == "购买:R-hat 为 1.200".replace(":", "\uff1a")
    assert all(CHINESE.search(each) for each in (*card.found, card.meaning, *card.remedies))
    assert cards([found])[0].found == (found.found,)


def test_intervals_of_a_table_are_text_in_every_language():
    for code, text in (("en", "1.0 to 2.5"), ("zh", "1.0 至 2.5")):
        with speaking(code):
            cells = [interval(1.0, 2.5, 1)]
            made = workbook([Table("t", "", [Column("90 %")], [cells])])
        with zipfile.ZipFile(io.BytesIO(made)) as file:
            sheet = file.read("xl/worksheets/sheet1.xml").decode("utf-8")
        assert text in sheet
        assert "<v>" not in sheet


def test_figures_are_drawn_in_english():
    said = []

    def draw():
        said.append(say("Customers"))
        raise ValueError

    with speaking("zh"):
        drawn(draw)
        assert say("Customers") == "客户"
    assert said == ["Customers"]
