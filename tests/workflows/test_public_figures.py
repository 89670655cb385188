"""What holdouts of public bases deny is found by the verb and said on the page, the terminal and in run.json.

The figures are those with which the judge was asked for, of fits by laplace whose 1,000 draws leave the ends of 90 %
intervals some 1 % and shares .002: fits without drift, returns and calendar, which promise too much.
"""

import html
import json
import re

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.views.reporting import gallery
from bayes_clv.workflows.running import run
from bayes_clv.workflows.settings import Settings
from bayes_clv.workflows.words import run_summary
from studies import bases

PLAIN = {
    "drift": False,
    "returns": False,
    "calendar": False,
    "method": "laplace",
    "draws": 1000,
    "spend_family": "gamma_gamma",
}


@pytest.fixture
def go(tmp_path, monkeypatch):
    """Run a base; return the page's text, its warning, what the terminal says and run.json."""
    monkeypatch.setattr(gallery.Gallery, "add", lambda *_, **__: None)

    def do(orders, **settings):
        record = run(Settings(orders=orders, out=tmp_path / "out", seed=1, **PLAIN, **settings))
        page = html.unescape((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
        found = re.search(r'</h1>\s*<p class="warning">(.*?)</p>', page, re.DOTALL)
        assert json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8")) == record
        return page, found[1] if found else "", "\n".join(run_summary(record, tmp_path / "out")), record

    return do


def codes(record: dict) -> set[str]:
    return {code for card in record["checks"] for code in card["codes"]}


@pytest.mark.full
@pytest.mark.parametrize(("family", "share"), [("pareto_nbd", 0.220), ("mbg_nbd", 0.240), ("bg_nbd", 0.262)])
def test_cdnow_has_more_buyers_and_spend_than_its_page_would_have_said(go, family, share):
    page, warning, printed, record = go(
        bases.cdnow(), until="1997-09-30", holdout_until="1998-06-30", family=family
    )
    model, real = record["holdout"]["measures"]["model"], record["holdout"]["observed"]
    customers = record["holdout"]["customers"]
    assert model["retention_total_mean"] / customers == pytest.approx(share, abs=0.004)
    assert real["retention_observed"] / customers == pytest.approx(0.290, abs=0.0005)
    assert real["spend_observed"] == pytest.approx(70_976, abs=1)
    assert model["spend_total_q95"] < real["spend_observed"]
    if family == "bg_nbd":
        low, high = (model[f"spend_total_{end}"] for end in ("q05", "q95"))
        assert (low, high) == (pytest.approx(53_138, rel=0.015), pytest.approx(66_823, rel=0.015))
    assert {"holdout_total", "holdout_retention", "holdout_spend_total"} <= codes(record)
    for text in (warning, printed):
        assert re.search("684 customers who bought(, above|;.*OUTSIDE)", text), text
        assert re.search("spend of 70,976(, above|;.*OUTSIDE)", text), text
    if family == "mbg_nbd":
        # The draws decide who is just below 3 %: 13 or 14, of whom six or seven bought.
        given_up, back = int(model["unlikely_customers"]), int(model["unlikely_retained"])
        assert (given_up, back) in ((13, 6), (14, 7))
        assert model["unlikely_expected"] < 0.5
        assert "holdout_unlikely" in codes(record)
        assert f"{back} of {given_up} customers given up came back" in page


@pytest.mark.full
def test_online_retail_spends_more_than_its_page_would_have_said(go):
    page, warning, printed, record = go(
        bases.online_retail(), until="2011-06-10", holdout_until="2011-12-09", family="mbg_nbd"
    )
    model, real = record["holdout"]["measures"]["model"], record["holdout"]["observed"]
    assert real["spend_observed"] == pytest.approx(3_960_447, abs=1)
    low, high = (model[f"spend_total_{end}"] for end in ("q05", "q95"))
    assert (low, high) == (pytest.approx(2_649_128, rel=0.015), pytest.approx(2_981_567, rel=0.015))
    for text in (warning, printed):
        assert re.search("spend of 3,960,447(, above|;.*OUTSIDE)", text), text
    assert "3,960,447 was spent in the holdout" in page
    # Its Christmas: fewer weeks inside than in 99 of 100 such bases.
    assert "weeks_outside" in codes(record)


@pytest.mark.full
def test_frequent_buyers_of_the_complete_journey_are_not_hidden(go):
    try:
        orders = bases.complete_journey()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    page, warning, printed, record = go(
        orders, until="2017-06-30", holdout_until="2017-12-29", family="mbg_nbd"
    )
    model = record["holdout"]["measures"]["model"]
    at = clv.schema.INTERVALS.index(90)
    # .76 of .92 were said, to two digits.
    assert model["frequent_covered"][at] == pytest.approx(0.76, abs=0.01)
    assert model["frequent_promised"][at] == pytest.approx(0.92, abs=0.01)
    assert "holdout_frequent" in codes(record)
    for text in (page, printed):
        assert "frequent buyers' intervals hold too few" in text
    assert np.isfinite(model["spend_total_mean"])
    assert warning
