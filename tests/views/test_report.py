"""The page holds everything, hides nothing, trusts no text from the data and works with less."""

import html
import re
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

import bayes_clv as clv
from bayes_clv.problems import cards, problem
from bayes_clv.remedies import Ran
from bayes_clv.scoring import measures
from bayes_clv.views import fonts, style
from bayes_clv.views.numbers import number
from bayes_clv.views.plots.histories import plot_alive_matrix
from bayes_clv.views.reporting import checks, gallery, verdicts
from bayes_clv.views.reporting import opening as opening_of
from bayes_clv.views.reporting.page import report
from tests.sentences import CHINESE, drawn_words, untranslated

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(HTMLParser):
    """A strict enough reader: tags must close in order; ids, attributes and text are kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.found: list[tuple[str, dict]] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h2", "h3", "h4"):
            self.headings.append(data)


@pytest.fixture
def no_figures(monkeypatch):
    """Leave the figures out, for tests of the text alone."""
    monkeypatch.setattr(gallery.Gallery, "add", lambda *_, **__: None)


def write(tmp_path, make, **changes):
    arguments = {
        "buying": make.tree("bg_nbd", prior=False),
        "spending": None,
        "customers": make.customers(spend=False),
        "value": make.value(spend=False),
    } | changes
    return report(tmp_path / "report.html", **arguments).read_text(encoding="utf-8")


def test_the_page_is_well_formed_with_unique_ids_and_links_that_lead_somewhere(full):
    found = Page(full[1])
    assert len(found.ids) == len(set(found.ids))
    links = [a["href"] for tag, a in found.found if tag in ("a", "use") and "href" in a]
    targets = [link[1:] for link in links if not link.startswith("data:")]
    assert targets
    assert set(targets) <= set(found.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", full[1])) <= set(found.ids)


def test_the_page_asks_nothing_of_the_outside(full):
    text = full[1]
    for tag, attrs in Page(text).found:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs)
    assert not re.search(r"https?://|//cdn|@import|fetch\(|XMLHttpRequest|import\(|sendBeacon", text)
    assert len(text) < 2_000_000


def test_text_from_the_data_is_escaped(full):
    text = full[1]
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "<b>nobody</b>" not in text
    assert "<i>0001" not in text
    assert "A &lt;title&gt; &amp; more" in text
    assert text.count("<script>") == 1


def test_the_sections_come_in_the_order_of_the_questions_and_the_contents_name_them(full):
    found = Page(full[1])
    parts = [attrs["id"] for tag, attrs in found.found if tag == "section" and attrs.get("class") == "part"]
    assert parts == ["value", "customers", "segments", "alarms", "trust", "change", "appendix"]
    within = ["checks", "holdout", "tracking", "parameters", "priors", "diagnostics", "audit", "method"]
    assert [i for i in found.ids if i in within] == within
    contents = full[1][full[1].index("<nav") : full[1].index("</nav>")]
    assert re.findall(r'href="#(\w+)"', contents) == [
        *(
            "top",
            "value",
            "customers",
            "silence",
            "segments",
            "alarms",
            "trust",
            "checks",
            "holdout",
            "change",
        ),
        *("appendix", "parameters", "priors", "diagnostics", "audit", "method"),
    ]


def test_every_figure_has_its_sentence_and_its_words_for_those_who_do_not_see_it(full):
    found = Page(full[1])
    assert full[1].count("<figure") == full[1].count("<figcaption>") == 20
    pictures = [attrs for _, attrs in found.found if attrs.get("role") == "img"]
    assert len(pictures) == 20
    assert all(attrs.get("aria-label") for attrs in pictures)
    assert any(attrs["aria-label"].startswith("Value distribution. Left: how many") for attrs in pictures)


def opening(text: str) -> str:
    return text[text.index("<header") : text.index("</header>")]


def test_the_first_screen_has_a_sentence_five_tiles_a_picture_what_failed_and_three_decisions(full):
    first = opening(full[1])
    assert "– but 1 check failed." in first
    assert first.count("<dt>") == 5
    assert re.findall(r'<figure id="([\w-]+)"', first) == ["figure-forecast", "figure-forecast-narrow"]
    decisions = re.search(r'<ol class="decisions">(.*?)</ol>', first, re.DOTALL)[1]
    assert re.findall(r'href="#(\w+)"', decisions) == ["checks", "customers", "alarms"]
    assert "Do not plan on totals yet" in decisions
    assert re.findall(r'href="#([\w-]+)">([^<]*)<', first)[0] == (
        "failed-1",
        "Holdout: 140 purchases, above the forecast&#39;s 80 to 120",
    )
    assert 'id="failed-1"' in full[1]


def test_decisions_say_how_much_the_best_tenth_holds_and_how_many_are_silent(make):
    value = make.value()
    plan, best, ask = opening_of.decisions(value, "value", None, None)
    low, high = (number(np.quantile(value["value_total"], q, method="inverted_cdf")) for q in (0.05, 0.95))
    assert plan.title == f"Plan with {low} to {high}, not {number(float(value['value_total'].mean()))} alone"
    assert plan.text.endswith(
        "by the model, untested: keep a part back with summarize(..., holdout_until=...)."
    )
    means = np.sort(value["value_mean"].to_numpy())[::-1]
    assert f"hold {100 * means[:12].sum() / means.sum():.1f} % of what this base is expected" in best.text
    first = np.argsort(-value["value_mean"].to_numpy())[:12]
    gone = int((value["probability_alive"].to_numpy()[first] < 0.5).sum())
    assert gone > 1
    all_gone = int((value["probability_alive"] < 0.5).sum())
    said = f"{all_gone} of 120 customers are more probably gone than still here, {gone} of the best 12 among them."
    assert said in ask.text
    alarms = make.alarms()
    passed = int(alarms["alarmed"].sum())
    assert (
        f"The alarm of {passed} of 120 customers has passed"
        in opening_of.decisions(value, "value", None, alarms)[2].text
    )


def test_of_ten_customers_the_best_tenth_is_one_and_a_total_of_nothing_is_not_below_nothing(make):
    value = make.value().isel(customer=slice(0, 10))
    nothing = xr.zeros_like(value["value_total"])
    nothing[dict.fromkeys(nothing.dims, -1)] = 143.0
    order = np.argsort(-value["value_mean"].to_numpy())
    for alive, said in ((0.9, "; not the best one, {best}."), (0.1, ", the best one, {best}, among them.")):
        here = np.full(10, 0.1)
        here[order[0]] = alive
        few = value.assign(value_total=nothing, probability_alive=("customer", here))
        plan, _, ask = opening_of.decisions(few, "value", None, None)
        assert "The total is 0 one time in twenty or more often" in plan.text
        assert "below 0" not in plan.text
        assert said.format(best=value["customer"].to_numpy()[order[0]]) in ask.text


def test_the_worth_has_a_sentence_of_its_own_and_is_not_that_of_one_end_of_the_purchases(make):
    said = opening_of.summary(make.customers(), make.value(), None, [], [])["text"]
    assert re.search(r"between [\d.,]+ and [\d.,]+\. They will be worth [\d.,]+ \(between", said)


def test_what_nothing_has_tested_is_said_to_be_the_models(make):
    value, customers = make.value(), make.customers()
    (plan, *_) = opening_of.decisions(value, "value", None, None, command=True)
    assert plan.text.endswith("by the model, untested: keep a part back with --holdout-until.")
    untested = opening_of.summary(customers, value, None, [], [])["text"]
    assert "; by the model, which no holdout has tested, nine times in ten" in untested
    score = measures.record(make.evaluation())
    assert "tested" not in opening_of.summary(customers, value, score, [], [])["text"]
    assert "untested" not in opening_of.decisions(value, "value", score, None)[0].text


def test_a_check_of_money_that_failed_is_on_the_tile_and_in_the_decision(make):
    value, customers = make.value(), make.customers()
    off = problem("spend_by_age", "Spend", off=13.0, error=2.0, side="high", by=9.0, more="less")
    for score in (None, measures.record(make.evaluation())):
        (tile,) = (
            key
            for key in opening_of.key_numbers(customers, value, score, [], [off])
            if key.label.startswith("residual value")
        )
        assert tile.failed == "check failed: totals of money are 13.0 % too high: spend goes with age"
        (plan, best, _) = opening_of.decisions(value, "value", score, None, problems=[off])
        assert plan.title.startswith("Do not plan with ")
        assert plan.text.startswith("A check of money failed: totals of money are 13.0 % too high")
        assert "A check" not in best.text
        # Purchases have nothing to do with it.
        assert (
            opening_of.decisions(value, "purchases", score, None, problems=[off])[0].title[:10]
            == "Plan with "
        )
    falls = problem("spend_falls", "Spend", words="-0.4", correlation=-0.4, doubling=-12.0)
    plan, best, _ = opening_of.decisions(value, "value", None, None, problems=[falls])
    assert plan.title.startswith("Plan with")
    assert best.text.endswith("so that this is too high.")


def test_on_a_fit_that_failed_the_first_decision_is_to_fit_again(make):
    found = [
        problem("few_customers", "Data", customers=10, repeats=4),
        problem("pareto_k", "Purchases", k=1.2, limit=0.7),
    ]
    failed = cards(found, Ran(method="laplace", command=True))
    again, *others = opening_of.decisions(
        make.value(), "value", None, None, failed=failed, problems=found, command=True
    )
    assert again.title == "Fit again"
    assert again.text.startswith("Purchases: Pareto k is 1.20. Fit by sampling: --method nuts.")
    assert again.to == "checks"
    assert len(others) == 2
    assert all(each.text.endswith("This stands on a fit that did not pass its own check.") for each in others)
    # What is odd in the data is no failed fit.
    first, second, _ = opening_of.decisions(
        make.value(), "value", None, None, failed=cards(found[:1]), problems=found[:1]
    )
    assert first.title.startswith("Plan with")
    assert "did not pass" not in second.text


def test_of_whom_the_family_cannot_tell_that_is_said_and_not_that_nobody_has_left(make):
    value, customers = make.value(), make.customers()
    once = customers["frequency"] == 0
    count = int(once.sum())
    for alive, title, said in (
        (
            xr.where(once, 1.0, 0.8),
            "Do not take silence for loyalty",
            f"cannot tell for {count} one-time buyers; mbg_nbd or ",
        ),
        (xr.where(once, 1.0, 0.2), "Ask those who fell silent", f"cannot tell for {count} one-time buyers"),
        (xr.ones_like(once, float), "Do not take silence for loyalty", "In this family nobody ever leaves"),
        (xr.full_like(once, 0.9, float), "Nobody is likely to have left", ""),
    ):
        found = value.assign(probability_alive=alive)
        ask = opening_of.decisions(found, "value", None, None, customers=customers)[2]
        assert ask.title == title
        assert said in ask.text
        keys = opening_of.key_numbers(customers, found, None, [], [])
        (note,) = (key.note for key in keys if key.label == "alive now, on average")
        assert said in (note or "")
        assert ("cannot tell" in ask.text or "nobody ever" in ask.text) == bool(said)
    # Customers stand in another order.
    turned = customers.isel(customer=slice(None, None, -1))
    found = value.assign(probability_alive=xr.where(once, 1.0, 0.8))
    ask = opening_of.decisions(found.assign_attrs(family="bg_cnbd_k"), "value", None, None, customers=turned)[
        2
    ]
    assert f"{count} one-time buyers; mbg_cnbd_k or pareto_nbd can" in ask.text


def test_amounts_are_in_their_currency(make):
    customers, score = make.customers(), measures.record(make.evaluation())
    for currency, total in (("£", "£3,540"), ("EUR", "3,540 EUR")):
        value = make.value().assign_attrs(currency=currency)
        text = opening_of.summary(customers, value, score, [], [])["text"]
        assert f"worth {total} (between " in text
        keys = opening_of.key_numbers(customers, value, score, [], [])
        assert [key.number for key in keys if key.label.startswith("residual value")] == [total]
        assert f"not {total} alone" in opening_of.decisions(value, "value", score, None)[0].title
        assert currency not in "".join(key.number for key in keys if key.label.startswith("purchases"))
        # The holdout's totals, in its sentence and on its card.
        evaluation = make.evaluation().assign(
            spend_observed=((), 7000.0),
            **{
                f"spend_total_{name}": ("forecast", [x])
                for name, x in {"mean": 5000.0, "q05": 4000, "q95": 6000}.items()
            },
        )
        found = evaluation.assign_attrs(currency=currency)
        said = "£7,000|£4,000 to £6,000" if currency == "£" else "7,000 EUR|4,000 EUR to 6,000 EUR"
        real, interval = said.split("|")
        (missed,) = verdicts.missed(measures.record(found))
        assert missed.verdict == f"spend of {real}, above {interval}"
        (card,) = cards(checks.score_problems(found))
        assert card.title == f"Holdout: spend of {real}, above the forecast's {interval}"
        assert card.found[0].startswith(f"{real} was spent")


def test_of_more_than_five_numbers_those_that_failed_are_kept(make):
    record = measures.record(make.evaluation())
    weeks = {"part": "holdout", "unit": "week", "units": "weeks", "number": 9, "above": 0}
    good = weeks | {"inside": 9, "expected": 8.1, "lower": 5}
    bad = weeks | {"inside": 2, "expected": 8.1, "lower": 5}
    for periods, last in (([good], "holdout inside 90 % intervals"), ([bad], "weeks inside the 90 % band")):
        keys = opening_of.key_numbers(make.customers(), make.value(), record, periods, [])
        assert len(keys) == 5
        assert keys[-1].label == last


def test_without_a_holdout_the_picture_is_where_the_value_is(make, tmp_path):
    assert 'id="figure-tenths"' in write(tmp_path, make)
    few = {
        "customers": make.customers(spend=False).isel(customer=slice(9)),
        "value": make.value(spend=False).isel(customer=slice(9)),
    }
    assert 'id="figure-few-customers"' in opening(write(tmp_path, make, **few))


def test_key_numbers_are_those_of_the_draws(full, make):
    value = make.value()
    total = value["value_total"].to_numpy()
    assert f"<dd>{number(total.mean())}<small>" in full[1]
    assert "of customers bought a number inside their own 90 % interval" in full[1]
    assert "95.8 %" in full[1]
    assert "promised 96.0 %" in full[1]
    assert "alive with probability 1" in full[1]


def test_the_customer_table_can_be_sorted(full):
    table = re.search(r'<table class="sortable"[^>]* id="customer-table">.*?</table>', full[1], re.DOTALL)[0]
    assert table.count("<tr>") == 51
    assert table.count('<button type="button">') == table.count('scope="col"')
    assert table.count('aria-sort="descending"') == 1
    column = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    means = [float(re.findall(r'data-v="([^"]*)"', row)[1]) for row in column]
    assert means == sorted(means, reverse=True)


def test_figures_are_saved_as_files(full):
    names = {p.name for p in full[2].iterdir()}
    assert {"tracking.svg", "calibration.svg", "alive_history_1.svg"} <= names
    # Pixels take as long again as the page, and are made where they are asked for.
    assert not [name for name in names if not name.endswith(".svg")]


def test_figures_are_pixels_too_where_asked_for(make, tmp_path):
    write(tmp_path, make, figures=tmp_path / "figures", png=True)
    names = {p.stem for p in (tmp_path / "figures").glob("*.svg")}
    assert names == {p.stem for p in (tmp_path / "figures").glob("*.png")}
    assert (tmp_path / "figures" / "customers.png").read_bytes().startswith(b"\x89PNG")


def test_failed_checks_come_first_with_meaning_and_remedies(make, tmp_path, no_figures):
    wrong = {
        "passed": False,
        "problems": [problem("ess", ess=40.0, needed=400).record(), problem("rhat", rhat=1.2).record()],
        "rhat_max": 1.2,
    }
    text = write(
        tmp_path,
        make,
        buying=make.tree("bg_nbd", diagnostics=wrong, prior=False),
        evaluation=make.evaluation(False),
    )
    headings = Page(text).headings
    assert headings[0] == "What failed"
    cards_from = headings.index("2 failed checks")
    # Too few draws are one cause, and one card: the worse of its findings gives the title.
    assert headings[cards_from + 1] == "Purchases: R-hat is 1.200"
    assert "smallest effective sample size is 40 (should be at least 400)" in text
    assert headings[cards_from + 2] == "Holdout: 140 purchases, above the forecast's 80 to 120"
    links = re.findall(r'<a href="#(failed-\d)">([^<]*)</a>', opening(text))
    assert [html.unescape(title) for _, title in links] == headings[cards_from + 1 :][:2]
    assert all(f'id="{card}"' in text for card, _ in links)
    assert "What it means." in text
    assert "Take more draws" in text
    assert "2 checks failed" in text


def test_a_fit_without_diagnostics_does_not_pass(make, tmp_path, no_figures):
    text = write(tmp_path, make, buying=make.tree("bg_nbd", diagnostics=None, prior=False))
    assert "Purchases: no diagnostics" in text
    assert "All checks passed" not in text


def test_without_spend_holdout_and_tracking_the_rest_stands(make, tmp_path):
    text = write(tmp_path, make)
    found = Page(text)
    assert "holdout" not in found.ids
    assert "tracking" not in found.ids
    assert "Purchases and decisions" in found.headings
    assert "residual value" not in text
    assert "All checks passed" in text
    assert "The fit holds no draws of the prior" in text
    assert "Diagnostics" in found.headings


def test_a_point_estimate_gets_a_page_and_is_called_by_its_name(make, tmp_path):
    wrong = {"passed": False, "problems": [problem("mode").record()]}
    tree = make.tree("bg_nbd", diagnostics=wrong, draws=1, prior=False)
    tree.attrs["method"] = "mode"
    text = write(tmp_path, make, buying=tree)
    assert "1 failed check<" in text
    assert "Figure not drawn – purchases parameters" in text


def test_reasons_dropped_rows_and_dependent_spend_are_failed_checks(make):
    value = make.value().assign_attrs(reasons=["value_mean: NaN for 3 of 120 customers"])
    assert [c.found for c in checks.prediction_problems(value)] == ["value_mean: NaN for 3 of 120 customers"]
    assert checks.prediction_problems(make.value().assign_attrs(reasons=[])) == []
    customers = make.customers()
    assert checks.data_problems(customers) == []
    dropped = customers.assign_attrs(
        audit='[{"what": "No date.", "rows": 4, "example": "x", "action": "dropped"}]'
    )
    assert cards(checks.data_problems(dropped))[0].title == "Data: 4 rows were dropped"
    dependent = customers.assign(monetary_value=customers["monetary_value"] + 200 * customers["frequency"])
    (found,) = cards(checks.data_problems(dependent))
    assert found.title == "Spend: mean spend depends on frequency"
    assert "the base's total is overstated" in found.meaning
    falling = customers.assign(monetary_value=400 / (1 + customers["frequency"]))
    assert "the value of the best ones is overstated" in cards(checks.data_problems(falling))[0].meaning
    # As large a correlation of ten customers is chance.
    ten = customers.isel(customer=np.flatnonzero(customers["frequency"] > 0)[:10])
    ten = ten.assign(
        monetary_value=("customer", 40 + 20 * np.random.default_rng(1).normal(size=10).clip(-1.5))
    )
    assert abs(checks.spend_correlation(ten)["correlation"]["mean"]) > checks.CORRELATION_MAX
    assert [each.code for each in checks.data_problems(ten) if each.code.startswith("spend_")] == []


def test_what_numbers_owe_to_their_priors_is_a_table_where_the_posterior_carries_it(
    make, tmp_path, no_figures
):
    """By hand: r with a LogNormal prior that agrees with the data, and one far from them."""
    tree = make.tree("bg_nbd", prior=False)
    assert "What each number owes to its prior: fit(..., include=" in write(tmp_path, make, buying=tree)
    r = tree["posterior"]["r"]
    tree["log_likelihood"] = xr.Dataset(
        {"frequency": (-0.5 * (np.log(r / 0.24) / 0.08) ** 2).expand_dims("row", -1)}
    )
    tree["observed_data"] = xr.Dataset({"count": ("row", [1])})
    found = {}
    for place in (0.24, 0.5):
        tree["log_prior"] = xr.Dataset({"r": -0.5 * (np.log(r / place) / 0.3) ** 2 - np.log(r)})
        page = write(tmp_path, make, buying=tree)
        table = page[page.index('id="purchases-sensitivity"') :]
        found[place] = table[: table.index("</table>")]
    assert "potential prior-data conflict" not in found[0.24]
    assert "potential prior-data conflict" in found[0.5]


def test_coverage_is_judged_against_what_was_promised_within_chance(make):
    evaluation = make.evaluation()
    assert checks.score_problems(evaluation) == []
    # 120 customers, promised 0.96: 99 % of chance is 2.576 * sqrt(0.96 * 0.04 / 120) = 0.046.
    evaluation["covered"].loc[{"interval": 90}] = 0.96 - 0.045
    assert checks.score_problems(evaluation) == []
    evaluation["covered"].loc[{"interval": 90}] = 0.96 - 0.047
    assert [c.title for c in cards(checks.score_problems(evaluation))] == [
        "Holdout: customers' intervals hold too few"
    ]
    # What moves all customers at once is chance too.
    assert checks.score_problems(evaluation.assign(covered_se=1.2 * evaluation["covered_se"])) == []


def test_the_same_input_gives_the_same_page(make, tmp_path, no_figures):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert write(tmp_path / "a", make) == write(tmp_path / "b", make)
    first, second = (style.svg_text(plot_alive_matrix(make.tree("bg_nbd"), 30.0, draws=5)) for _ in range(2))
    assert first == second


def test_segments_and_alarms_have_sections_of_their_own(make, tmp_path):
    segments = make.segments(names=("gold", "stream", "<b>rest</b>"))
    segments.attrs["conditions"] = (
        '{"gold": "value > 10 and purchases >= 2", "stream": "value <= 10", "<b>rest</b>": ""}'
    )
    alarms = make.alarms()
    text = write(tmp_path, make, segments=segments, alarms=alarms)
    found = Page(text)
    order = ["customers", "segments", "alarms", "parameters"]
    assert [i for i in found.ids if i in order] == order
    assert len(found.ids) == len(set(found.ids))
    assert 'href="#segments"' in text
    assert 'href="#alarms"' in text
    assert "Segments: Kinds &lt;of&gt;" in text
    assert "<b>rest" not in text
    assert "value &gt; 10 and purchases &gt;= 2" in text
    unsure = int(segments["unsure"].sum())
    assert f"{unsure} customers ({100 * unsure / 120:.1f} %) are unsure" in text
    wrong = float((1 - segments["most_likely_probability"].astype(float)).sum())
    assert f"would be wrong for about {round(wrong)} of them" in text
    table = re.search(r'id="segment-table">.*?</table>', text, re.DOTALL)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    for position, row in enumerate(rows):
        cells = re.findall(r">([^<]*)</t[hd]>", row)
        each = segments.isel(segment=position)
        assert cells[2:5] == [
            f"{float(each['size_mean']):,.0f}",
            f"{int(each['size_q05'])} to {int(each['size_q95'])}",
            str(int((segments["most_likely"] == each["segment"]).sum())),
        ]
    listed = re.search(r'id="alarm-table">.*?</table>', text, re.DOTALL)[0]
    risks = [float(v) for v in re.findall(r'data-v="([0-9.]+)">[^<]*</td></tr>', listed)]
    finite = alarms["value_at_risk"].to_numpy()[np.isfinite(alarms["alarm_in"])]
    assert risks == pytest.approx(sorted(finite, reverse=True)[:20])
    assert "12 have none in sight" in text
    assert text.count('id="figure-segment-sizes"') == text.count('id="figure-membership"') == 1
    assert text.count('id="figure-alarms"') == 1


def test_alarms_without_value_or_dates_and_segments_without_conditions(make, tmp_path, no_figures):
    text = write(tmp_path, make, segments=make.segments(), alarms=make.alarms(dates=False, risk=False))
    assert "The 20 alarms nearest to now." in text
    assert "value at risk" not in text
    assert "all others" not in text
    assert 'id="segments"' not in write(tmp_path, make)


def test_importing_views_does_not_import_matplotlib():
    code = "import sys, bayes_clv.views; assert not {'matplotlib', 'arviz', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_papers_behind_the_fits_stand_in_the_method(full, buying, spending, make, tmp_path, no_figures):
    method = full[1][full[1].index('id="method"') :]
    assert clv.cite(buying, spending).count("@") == 4  # fader2005rfm is behind both, and is named once.
    assert clv.cite(buying, spending) in html.unescape(method)
    alone = write(tmp_path, make)
    assert "@article{fader2005counting" in alone
    assert "fader2013gamma" not in alone


def test_a_known_flaw_comes_with_its_remedy(tmp_path, make, no_figures):
    text = write(tmp_path, make)
    assert "A known flaw of BG/NBD" in text
    assert "Fit mbg_nbd (MBG/NBD) instead" in text


@pytest.mark.parametrize("letters", [True, False])
def test_the_page_is_in_another_language_whole_and_its_figures_where_their_letters_are(
    make, tmp_path, monkeypatch, letters
):
    monkeypatch.setattr(fonts, "drawable", lambda language: language if letters else "en")
    arguments = {"spending": make.tree("gamma_gamma"), "customers": make.customers(), "value": make.value()}
    arguments |= {"evaluation": make.evaluation(total_covered=False), "tracking": make.tracking()}
    arguments |= {
        "segments": make.segments(),
        "alarms": make.alarms(),
        "choice": "nbd among nbd, bg_nbd: taken.",
    }
    text = write(tmp_path, make, **arguments, language="zh", title="A title")
    assert '<html lang="zh">' in text
    drawn = drawn_words(text)
    assert ("图中的文字是英文" in text) == (not letters)
    if letters:
        # Names of parameters, segments and customers are the same in every language.
        names = {"population purchase rate", "population dropout", "population spend", "CRPS"}
        names |= {"gold", "stream", "rest", "<script>alert('x'…"}
        assert {each for each in drawn if not CHINESE.search(each)} <= names
    else:
        assert "purchases" in " ".join(drawn)
        assert not CHINESE.search(" ".join(drawn))
    english = untranslated(text, "[a-z]{2,} [a-z]{2,}")
    # Names of parameters, as the figures have them, and what the makers put into the audit.
    names = {"population purchase rate", "population dropout", "population spend"}
    assert english == names | {"Orders read.", "Orders of <b>nobody</b> kept."}
