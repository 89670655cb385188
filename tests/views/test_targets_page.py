"""The page of whom to contact: its first screen says what to do and how sure that is, a failed check first of all."""

import html

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.language import speaking
from bayes_clv.problems import cards, problem
from bayes_clv.views import fonts
from bayes_clv.views.reporting import target_words as words
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.targets import write_targets_page
from tests.browser import faults
from tests.sentences import CHINESE, drawn_words, untranslated

KINDS = ("loyal <b>", "new", "once")


@pytest.fixture(scope="module")
def experiment():
    """Offers to 1,200 customers in three segments: the mailing brings the loyal much, the call a little to all."""
    rng = np.random.default_rng(3)
    place, arm = rng.integers(0, 3, 1200), rng.integers(0, 3, 1200)
    bought = rng.random(1200) < 0.1 + 0.3 * (arm == 1) * (place == 0) + 0.1 * (arm == 2)
    table = pd.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in range(1200)],
            "treated": np.array(["none", "mail", "call"])[arm],
            "outcome": np.where(bought, rng.gamma(2.0, 20.0, 1200), 0.0),
            "kind": np.array(KINDS)[place],
        }
    )
    return clv.customers.from_experiment(table, segment="kind", control="none")


@pytest.fixture(scope="module")
def uplift(experiment):
    response = clv.targeting.fit_response(experiment, method="laplace", draws=100, seed=1)
    return clv.targeting.predict_uplift(response, experiment, by="segment")


@pytest.fixture(scope="module")
def several(uplift):
    return clv.target(uplift, cost={"mail": 0.5, "call": 1.5}, margin=0.4, seed=1).assign_attrs(currency="£")


@pytest.fixture(scope="module")
def nobody(uplift):
    return clv.target(uplift, cost={"mail": 900.0, "call": 900.0}, margin=0.4, seed=1)


def written(tmp_path, decision, experiment, **further):
    path = write_targets_page(
        tmp_path / "page.html", Gallery(None), decision=decision, experiment=experiment, **further
    )
    return path.read_text(encoding="utf-8")


def test_the_first_screen_says_whom_how_sure_and_for_how_much(several, experiment, tmp_path):
    page = written(tmp_path, several, experiment, run={"seed": 7})
    first = html.unescape(page.partition("<section")[0])
    contacted = int(several["contacted"].sum())
    assert f"Contact {contacted:,} of 1,200 customers, for £{several.attrs['spent']:,.2f}." in first
    assert words.verdict_sentences(several)[0] in first
    assert "mail: " in first
    assert "worth of knowing the response" in first
    assert 'class="warning"' not in page
    # As many offers, segments and customers as there are, and no text of the data as markup.
    assert page.count("<figure") == 1
    assert "<b>" not in page.partition("<main>")[2]
    assert "http" not in page.replace("http://www.w3.org", "")
    for name, rows in (("offer-table", 2), ("segment-table", 6), ("customer-table", 20)):
        assert page.partition(f'id="{name}"')[2].partition("</table>")[0].count("<tr") - rows in (1, 2), name


def test_a_failed_check_stands_in_the_headline(several, experiment, tmp_path):
    page = written(tmp_path, several, experiment, checks=["Response: Pareto k is 1.2", "Response: R-hat"])
    warning = page.split('class="warning">')[1].split("</p>")[0]
    assert "2 checks of the fit behind these contacts failed: Response: Pareto k is 1.2" in warning
    assert page.index('class="warning">') < page.index("Contact ")


def test_where_nobody_is_contacted_the_page_says_so_and_lists_nobody(nobody, experiment, tmp_path):
    page = written(tmp_path, nobody, experiment)
    assert "Contact none of the 1,200 customers" in page
    assert "Whom to contact first" not in page
    assert "pays with a probability" not in page


def test_the_same_contacts_added_up_in_another_order_are_the_same_gain(several):
    """Sums in another order differ by rounding; that is no difference to be unsure of."""
    alone = several["net_gain_single_total"]
    name = str(alone["offer"].to_numpy()[int(alone.mean(("chain", "draw")).to_numpy().argmax())])
    rounded = several.assign(net_gain_total=alone.sel(offer=name, drop=True) * (1 + 4e-16))
    assert not words.alone_of(rounded)[1].any()
    assert f"No offer beside “{name}” is worth its cost" in " ".join(words.verdict_sentences(rounded))


def test_the_page_is_in_another_language_whole(several, experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "drawable", lambda language: language)
    checks = [cards([problem("rhat", "Response", rhat=1.2)])[0].title]
    with speaking("zh"):
        page = written(tmp_path, several, experiment, checks=checks, run={"seed": 7})
    assert '<html lang="zh">' in page
    names = {*KINDS, "mail", "call"}
    ids = set(several["customer"].to_numpy().astype(str))
    assert untranslated(page) - ids <= names | {"seed", "none"}
    drawn = {each.partition(" (")[0] for each in drawn_words(page) if not CHINESE.search(each)}
    assert drawn <= names


def test_nothing_is_wrong_with_the_page_in_a_browser(browser, several, experiment, tmp_path):
    written(tmp_path, several, experiment, checks=["Response: Pareto k"], run={"seed": 7})
    assert faults(browser, tmp_path / "page.html") == []
