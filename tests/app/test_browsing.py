"""What the page of ``bayes-clv app`` is answered: tables, sentences, scenarios, and nothing but the run behind them."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.app import browsing, shown
from bayes_clv.app.serving import NOTEBOOK, serve
from bayes_clv.schema import InputError
from bayes_clv.views import narrow
from bayes_clv.workflows.choices import Browsing


@pytest.fixture(scope="module")
def opened(finished):
    return browsing.open_run(finished[0], draws=60)


def test_the_table_is_the_runs_most_valuable_first(opened, finished):
    table = pd.read_parquet(finished[0] / "customers.parquet").set_index("customer_id")
    listed = opened.listed
    assert listed["worth"].is_monotonic_decreasing
    assert set(listed["customer"]) == set(table.index.astype(str))
    top = table.loc[listed["customer"][0]]
    assert listed["worth, high"][0] == round(top["value_q95"], 2)
    assert listed["bought again"][0] == top["frequency"]


def test_the_last_order_is_that_of_the_log(opened, shop):
    _, log = shop
    known = log[log["date"] <= "2025-09-30"].groupby("customer_id")["date"].max().dt.strftime("%Y-%m-%d")
    listed = opened.listed.set_index("customer")["last order"]
    assert dict(listed) == {str(name): day for name, day in known.items()}


def test_conditions_choose_customers(opened):
    table = opened.run.table
    chosen = browsing.customers_where(opened, "frequency >= 2 and probability_alive > 0.5")
    right = table[(table["frequency"] >= 2) & (table["probability_alive"] > 0.5)]
    assert 0 < len(chosen) < len(table)
    assert set(chosen["customer"]) == set(right["customer_id"].astype(str))
    assert len(browsing.customers_where(opened, "  ")) == len(table)
    for wrong in ("frequenzy > 1", "frequency >", "frequency = 'web'"):
        with pytest.raises(InputError, match="The condition|no column"):
            browsing.customers_where(opened, wrong)


def test_conditions_take_the_words_of_the_table(opened):
    listed = opened.listed
    chosen = browsing.customers_where(opened, "worth > 20 and `bought again` >= 2")
    right = listed[(listed["worth"] > 20) & (listed["bought again"] >= 2)]
    assert 0 < len(chosen) < len(listed)
    assert chosen["customer"].tolist() == right["customer"].tolist()
    with pytest.raises(InputError, match="no column 'worthy'.*`bought again`.*probability_alive"):
        browsing.customers_where(opened, "worthy > 20")
    with pytest.raises(InputError, match="such as frequency >= 2"):
        browsing.customers_where(opened, "frequency > and 2")


def test_what_no_number_says_is_said(opened):
    assert "says nothing of demand" in browsing.unsaid({"price": 0.05, "purchase_rate": 0.0})
    assert browsing.unsaid({"price": 0.05, "purchase_rate": -0.02}) == ""
    assert browsing.unsaid({"price": 0.0, "spend": 0.1}) == ""


def test_channels_are_judged_by_costs_that_somebody_stated():
    assert browsing.costs_of({"a": "", "b": "3"}, "") is None
    assert browsing.costs_of({"a": "", "b": "3"}, " 12.5 ") == {"a": 12.5, "b": 3.0}
    with pytest.raises(InputError, match="cost of 'a' is '12,5'"):
        browsing.costs_of({"a": "12,5"}, "")


def test_one_customer_in_words_and_figures(opened):
    row = opened.run.table.sort_values("frequency").iloc[-1]
    one = browsing.one_customer(opened, f" {row['customer_id']} ")
    assert f"Has bought {row['frequency']:,} times again" in one.words[0]
    worth = browsing.numbers.money(row["value_mean"], opened.run.customers.attrs.get("currency"))
    assert f"{worth} on average" in one.words[1]
    assert f"really bought {row['holdout_purchases']} times" in one.words[2]
    assert one.why == ""
    # A tick a purchase, the first included.
    ticks = next(line for line in one.history.axes[0].lines if line.get_marker() == "|")
    assert len(ticks.get_xdata()) == row["frequency"] + 1
    with pytest.raises(InputError, match="no customer 'nobody'"):
        browsing.one_customer(opened, "nobody")


def test_a_run_that_kept_no_times_says_so(opened):
    bare = opened.run.customers.drop_vars(["purchase_times", "purchase_start"])
    other = browsing.Opened(dataclasses.replace(opened.run, customers=bare), "bare", 60)
    one = browsing.one_customer(other, str(bare["customer"].values[0]))
    assert one.history is None
    assert "did not keep" in one.why


def test_rules_are_those_of_the_command(opened):
    own = browsing.segments_of(opened, browsing.OWN_RULE)
    simulation = clv.simulate(
        *(opened.run.buying, opened.run.customers, opened.run.horizon),
        spending=opened.run.spending, margin=0.3, annual_discount_rate=0.1, draws=60, seed=opened.run.seed,
    )  # fmt: skip
    kinds = {"regulars": "purchases >= 2", "once more": "purchases == 1", "never again": None}
    right = clv.segment(simulation, clv.rule("My kinds", kinds), totals=("value",))
    np.testing.assert_array_equal(own["membership"], right["membership"])
    for title in browsing.RULES:
        assert browsing.segments_of(opened, title)["size_mean"].sum() == pytest.approx(opened.people)
    with pytest.raises(InputError, match="Your rule, line 5"):
        browsing.segments_of(opened, browsing.OWN_RULE.replace("purchases >= 2", "purchased >= 2"))


def test_sliders_are_scenarios_on_the_same_draws(opened):
    at_rest = dict.fromkeys((*browsing.CHANGES, *browsing.AMOUNTS), 0.0) | {
        "margin": browsing.at_rest(opened, "margin")
    }
    assert (browsing.what_if(opened, at_rest)["value_difference"] == 0).all()
    moved = browsing.what_if(opened, at_rest | {"spend": 0.05})
    base = moved["value"].isel(scenario=0)
    np.testing.assert_allclose(moved["value_difference"].isel(scenario=1), 0.05 * base, rtol=1e-12)
    dearer = browsing.what_if(opened, at_rest | {"contact_cost": 2.0}, "frequency >= 1")
    reached = (opened.run.customers["frequency"] >= 1).sum()
    np.testing.assert_allclose(dearer["value_difference"].isel(scenario=1), -2.0 * reached)
    more = browsing.what_if(opened, at_rest | {"purchase_rate": 0.2})
    assert (more["purchases_difference"].isel(scenario=1) > 0).mean() > 0.9
    rows = browsing.totals_of(more).set_index("over the horizon")
    assert rows.loc["value", "what if"] - rows.loc["value", "as it is"] == pytest.approx(
        rows.loc["value", "difference"], abs=0.02
    )
    with pytest.raises(InputError, match="What if"):
        browsing.what_if(opened, at_rest, "frequenzy > 1")


def test_what_people_typed_is_shown_and_not_run(opened):
    odd = "=1+1 <script>alert(1)</script> & `x` [y](z)"
    assert "<script>" not in shown.paragraphs([odd])
    assert "<script>" not in shown.label(odd)
    assert "[y](z)" not in shown.label(odd)
    view = browsing.one_customer(opened, str(opened.listed["customer"][0])).future
    picture = shown.picture(view, odd + '" onerror="x')
    assert "<script>" not in picture
    assert picture.count("onerror=") == 1
    # And once more, for a telephone.
    assert picture.count("data:image/png;base64,") == 2
    assert view.get_figwidth() == narrow.WIDTH
    assert 'onerror="' not in picture
    made = shown.csv_bytes(pd.DataFrame({"customer": [odd, "b"], "worth": [1.5, -2.0]}))
    back = pd.read_csv(io.BytesIO(made))
    assert back["customer"].tolist() == [f"'{odd}", "b"]
    assert back["worth"].tolist() == [1.5, -2.0]


def test_draws_are_as_many_as_a_second_allows(finished, opened):
    assert browsing.open_run(finished[0]).draws == browsing.DRAWS_AT_MOST
    assert browsing.FUTURES // 100_000 == 50


def test_nobody_is_served_what_is_no_run(tmp_path, finished, monkeypatch):
    with pytest.raises(InputError, match="no folder"):
        serve(Browsing(run=tmp_path / "none"), print)
    with pytest.raises(InputError, match="host='no host of this machine'|cannot be used"):
        serve(Browsing(run=finished[0], host="192.0.2.1"), print)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"bayes_clv\[app\]"):
        serve(Browsing(run=finished[0]), print)


def test_the_notebook_names_no_file_but_its_run():
    """What is served to others takes no path from them, and the cells compute nothing of their own."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    for word in ("open(", "Path(", "read_", "import numpy", "mo.ui.file"):
        assert word not in text.replace("open_run(", "")
    checked = subprocess.run(
        [sys.executable, "-m", "marimo", "check", str(Path(NOTEBOOK))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
