"""No page is green while the holdout or the calendar denies it: sentence, tile, cards, terminal and run.json agree.

Bases are simulated, and forecast from the parameters that made them (no fit): whatever fails was put in by the test.
"""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.inference.posterior import FORMAT
from bayes_clv.views.reporting import gallery
from bayes_clv.workflows.running import run
from bayes_clv.workflows.settings import Settings
from bayes_clv.workflows.words import PASSED, run_summary

UNTIL, END = "2025-09-30", "2026-06-30"
BUYING = {"r": 0.6, "alpha": 8.0, "a": 0.8, "b": 2.4}
# Many frequent buyers, few of whom leave: on average nine purchases in the 39 weeks of calibration.
FREQUENT = {"r": 4.0, "alpha": 14.0, "a": 0.3, "b": 9.0}
SPENDING = {"p": 6.0, "q": 4.0, "v": 15.0}


def simulated(values: dict, customers: int = 600, seed: int = 101) -> pd.DataFrame:
    return clv.synthetic.simulate_orders(values, SPENDING, customers=customers, seed=seed, until=END)


def later(orders: pd.DataFrame) -> pd.Series:
    return orders["date"] > UNTIL


def without(orders: pd.DataFrame, gone: pd.Series) -> pd.DataFrame:
    """Leave repeat orders out; first ones stay, or others would be new customers."""
    first = ~orders.duplicated("customer_id")
    return orders[first | ~gone].reset_index(drop=True)


def good() -> tuple[dict, pd.DataFrame]:
    return BUYING, simulated(BUYING)


def dearer() -> tuple[dict, pd.DataFrame]:
    """Everything costs twice as much in the holdout."""
    orders = simulated(BUYING)
    return BUYING, orders.assign(spend=orders["spend"].where(~later(orders), 2 * orders["spend"]))


def quieter() -> tuple[dict, pd.DataFrame]:
    """Two of five holdout orders are not made, whoever would have made them."""
    orders = simulated(BUYING)
    gone = later(orders) & (np.random.default_rng(2).random(len(orders)) < 0.4)
    return BUYING, without(orders, gone)


def seasonal() -> tuple[dict, pd.DataFrame]:
    """In calibration every other month is nearly without orders, and the other has as many more."""
    orders = simulated(BUYING, 1500)
    month = orders["date"].dt.month
    # Of the even months nine in ten are made a month later: the total stays.
    moved = (month % 2 == 0) & (month <= 8) & (np.random.default_rng(3).random(len(orders)) < 0.9)
    moved &= orders.duplicated("customer_id") & ~later(orders)
    return BUYING, orders.assign(date=orders["date"] + pd.to_timedelta(31 * moved, unit="D"))


def drifting() -> tuple[dict, pd.DataFrame]:
    """Of the frequent buyers every other one buys a quarter as often in the holdout, the others more."""
    orders = simulated(FREQUENT)
    odd = orders["customer_id"].str[-1].astype(int) % 2 == 1
    rng = np.random.default_rng(4)
    kept = without(orders, later(orders) & odd & (rng.random(len(orders)) < 0.75))
    more = orders[later(orders) & ~odd & (rng.random(len(orders)) < 0.75)]
    return FREQUENT, pd.concat([kept, more.assign(date=more["date"] + pd.Timedelta(days=1))])


@pytest.fixture
def go(tmp_path, monkeypatch, make_posterior):
    """Run such a base; return the page's text, what the terminal says and run.json."""
    monkeypatch.setattr(gallery.Gallery, "add", lambda *_, **__: None)

    def do(base: tuple[dict, pd.DataFrame], **settings):
        values, orders = base
        passed = {"format": FORMAT, "method": "laplace", "seed": 1}
        passed |= {"diagnostics": json.dumps({"passed": True, "problems": []})}
        (tmp_path / "truth").mkdir(exist_ok=True)
        for name, family, known in (("buying", "bg_nbd", values), ("spending", "gamma_gamma", SPENDING)):
            tree = make_posterior(family, known, sd=0.0, chains=2, draws=100)
            tree.attrs |= passed
            clv.save(tree, tmp_path / "truth" / f"{name}.nc")
        given = {"until": UNTIL, "holdout_until": END, "posteriors": tmp_path / "truth", "seed": 3} | settings
        out = tmp_path / "out"
        record = run(Settings(orders=orders, out=out, **given))
        page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
        assert json.loads((out / "run.json").read_text(encoding="utf-8")) == record
        return page, "\n".join(run_summary(record, out)), record

    return do


def warning(page: str) -> str:
    """Return the first sentences of the page, where they warn."""
    found = re.search(r'</h1>\s*<p class="warning">(.*?)</p>', page, re.DOTALL)
    return found[1] if found else ""


def failed_tiles(page: str) -> list[str]:
    return re.findall(r'<div class="failed"><dt>(.*?)(?:<span|</dt>)', page)


def codes(record: dict) -> set[str]:
    return {code for card in record["checks"] for code in card["codes"]}


def test_a_base_that_is_as_the_model_says_is_green(go):
    """A false alarm is possible (`bayes_clv.problems` says how likely); of this seed there is none."""
    page, printed, record = go(good())
    assert record["checks"] == []
    assert (warning(page), failed_tiles(page)) == ("", [])
    assert "All checks passed." in page
    assert "holdout totals (purchases, buyers, spend) and intervals; weeks and months inside" in page
    assert PASSED in printed
    assert "OUTSIDE" not in printed


def test_doubled_spend_is_said_everywhere(go):
    page, printed, record = go(dearer(), annual_discount_rate=0.2, margin=0.3)
    model, observed = record["holdout"]["measures"]["model"], record["holdout"]["observed"]
    assert observed["spend_observed"] > model["spend_total_q95"]
    assert observed["value_observed"] > model["value_total_q95"]
    (card,) = (card for card in record["checks"] if "holdout_spend_total" in card["codes"])
    # Spend alone moved, and with it what it is worth.
    assert card["codes"] == ["holdout_spend_total", "holdout_value_total"]
    assert "what a purchase brings has changed" in card["meaning"]
    said = f"spend of {observed['spend_observed']:,.0f}, above {model['spend_total_q05']:,.0f} to"
    assert said in warning(page)
    assert said in printed
    assert f"value of {observed['value_observed']:,.0f}; forecast" in printed
    assert printed.count("OUTSIDE, above") == 2
    assert any("residual value" in label for label in failed_tiles(page))
    assert not any(label.startswith("purchases") for label in failed_tiles(page))
    assert card["title"] in page
    assert card["title"] in printed
    assert "an interval that failed too" in page
    assert PASSED not in page + printed


def test_a_base_that_falls_silent_has_one_card_for_all_totals(go):
    page, printed, record = go(quieter())
    first = record["checks"][0]
    assert {"holdout_total", "holdout_spend_total", "holdout_retention", "weeks_outside"} <= set(
        first["codes"]
    )
    assert "below the forecast's" in first["title"]
    assert len(first["found"]) == len(first["codes"])
    assert "the model's 90 % interval, which failed on the holdout" in page
    assert "nine times in ten" not in page[: page.index("</header>")]
    labels = " ".join(failed_tiles(page))
    for words in ("purchases, 39 weeks", "residual revenue", "buy at all", "weeks inside the 90 % band"):
        assert words in labels
    said = warning(page)
    assert said.startswith("The forecast of the holdout failed (90 % intervals): ")
    assert said[: said.index(".")] in printed
    assert f"{len(record['checks'])} check" in said
    # What moved all customers is no reason for another family.
    assert not any("families" in remedy for remedy in first["remedies"])


def test_a_season_is_counted_without_a_holdout(go):
    page, printed, record = go(seasonal(), holdout_until=None, horizon="39 weeks")
    (card,) = record["checks"]
    assert card["codes"] == ["weeks_outside"]
    (weeks, _months) = record["tracking"]
    assert weeks["inside"] < weeks["lower"]
    words = f"Only {weeks['inside']} of {weeks['number']} weeks of the calibration (promised "
    assert words in warning(page)
    assert words in printed
    assert card["title"] in page
    assert card["title"] in printed
    assert any("inside the 90 % band" in label for label in failed_tiles(page))
    # No family has a season, so that neither a longer calibration nor another family is advised.
    assert "sums carry the error" in card["meaning"]
    assert not any("famil" in remedy or "longer" in remedy for remedy in card["remedies"])


def test_frequent_buyers_who_change_are_not_hidden_by_the_others(go):
    page, printed, record = go(drifting())
    (card,) = (card for card in record["checks"] if "holdout_frequent" in card["codes"])
    assert card["title"] == "Holdout: frequent buyers' intervals hold too few"
    assert card["title"] in page
    assert card["title"] in printed
    assert "Frequent buyers change" in card["meaning"]
    assert not any("families" in remedy for remedy in card["remedies"])
    assert any("inside 90 % intervals" in label for label in failed_tiles(page))
