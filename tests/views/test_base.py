"""The base for the eye: figures hold the numbers they were given, tables and sentences say them."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv import views
from bayes_clv.language import speaking
from bayes_clv.views import fonts
from bayes_clv.views.reporting.base import audit_sentences, write_audit_page
from bayes_clv.views.reporting.equity import bridge_sentences, equity_sentences, write_equity_page
from bayes_clv.views.reporting.gallery import Gallery
from tests.browser import faults
from tests.sentences import CHINESE, drawn_words


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


@pytest.fixture(scope="module")
def asset(make_buying, make_spending):
    """CDNOW's customers on two days, those to come by hand: (equity, forecast, bridge)."""
    orders = clv.load_cdnow()
    some = orders[orders["customer_id"].isin(orders["customer_id"].unique()[::10])]
    fit, money = make_buying(chains=1, draws=60), make_spending(chains=1, draws=60)
    days = [clv.summarize(some, until=day) for day in ("1997-02-28", "1997-07-31")]
    ends = [clv.simulate(fit, each, 20.0, spending=money, margin=0.3, draws=60, seed=1) for each in days]
    coming = [clv.valuation.predict_newcomers(each, 20.0, period="1 week", draws=60, seed=1) for each in days]
    equity = clv.valuation.customer_equity(ends[1], coming[1], acquisition_cost=2.0)
    return (
        equity,
        coming[1],
        clv.valuation.equity_bridge(*ends, newcomers=tuple(coming), acquisition_cost=2.0),
    )


@pytest.fixture(scope="module")
def audit():
    return clv.customers.audit_base(clv.load_cdnow())


def test_present_and_future_are_drawn(asset):
    figure = views.plot_equity(asset[0])
    left, right = figure.axes
    np.testing.assert_allclose(
        [bar.get_width() for bar in left.patches],
        [float(asset[0][f"{name}_q50"]) for name in ("present", "future", "equity")],
    )
    np.testing.assert_allclose(right.collections[-1].get_offsets()[:, 1], 100 * asset[0]["concentration_q50"])
    assert "over 20 weeks" in words(figure)


def test_the_bridge_is_drawn_from_where_the_step_before_ended(asset):
    found = asset[2]
    bars = views.plot_bridge(found).axes[0].patches
    opening, closing, steps = bars[0], bars[1], bars[2:]
    assert opening.get_height() == pytest.approx(float(found["opening_mean"]))
    level = opening.get_height()
    assert (found["contribution"].sel(step="costs") == 0).all()
    drawn = found["contribution_mean"].drop_sel(step="costs").values
    for bar, step in zip(steps, drawn, strict=True):
        assert bar.get_y() == pytest.approx(level)
        assert bar.get_height() == pytest.approx(step)
        level += step
    assert closing.get_height() == pytest.approx(level)


def test_new_customers_are_drawn(asset):
    ax = views.plot_newcomers(asset[1]).axes[0]
    np.testing.assert_allclose(ax.collections[1].get_offsets()[:, 1], asset[1]["counts"])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), asset[1]["newcomers_mean"])


def test_tables_hold_what_was_found(asset):
    equity, coming, bridge = asset
    frame = clv.table(equity)
    assert frame.set_index("what").loc["equity", "q95"] == float(equity["equity_q95"])
    assert (
        clv.table(equity, by="cohort")["cohort_value_mean"].tolist()
        == equity["cohort_value_mean"].values.tolist()
    )
    assert clv.table(equity, by="top")["top"].tolist() == [0.01, 0.05, 0.1, 0.2, 0.5]
    steps = clv.table(bridge).set_index("step")["mean"]
    assert steps["opening":"outlook"].sum() == pytest.approx(steps["closing"])
    assert clv.table(coming).shape == (20, 5)


def test_sentences_of_equity(asset):
    equity, _, bridge = asset
    said = equity_sentences(equity)
    assert said[0].startswith("Present customers are worth ")
    assert said[1].endswith("after 2 each for acquisition.")
    assert f"{100 * float(equity['share_present_q50']):.0f} % of it is of present customers" in said[2]
    told = bridge_sentences(bridge)
    grown = float(bridge["change_mean"]) >= 0
    assert told[0].startswith(f"Since 1997-02-28 equity has {'grown' if grown else 'fallen'} by ")
    assert f"{bridge.attrs['customers_new']:,} customers came" in told[1]
    assert told[2].startswith("Return on customer: ")
    alone = equity.assign_attrs(with_future=0)
    assert len(equity_sentences(alone)) == 2


def test_means_that_do_not_exist_are_told_and_medians_drawn(asset):
    nothing = {
        name: asset[2][name] * np.nan
        for name in asset[2]
        if str(name).endswith("_mean") and name != "customers_lost_mean"
    }
    lacking = asset[2].assign(nothing).assign_attrs(reasons=["means in money are NaN, because."])
    bars = views.plot_bridge(lacking).axes[0].patches
    assert bars[0].get_height() == pytest.approx(float(lacking["opening_q50"]))
    assert bridge_sentences(lacking)[-1] == "means in money are NaN, because."


def test_pages(asset, audit, tmp_path):
    page = write_equity_page(
        tmp_path / "equity.html",
        Gallery(None),
        found=asset[0],
        coming=asset[1],
        bridge=asset[2],
        note="The <note>.",
        checks=["Fit: it failed"],
        run={"run": "a"},
    ).read_text()
    for part in (
        "What has changed it",
        "Who is to come",
        "The &lt;note&gt;.",
        "1 check of the run",
        "bridge-table",
    ):
        assert part in page
    assert page.count("<figure ") == 3
    alone = write_equity_page(
        tmp_path / "alone.html", Gallery(None), found=asset[0].assign_attrs(with_future=0)
    )
    assert "Who is to come" not in alone.read_text()
    text = write_audit_page(tmp_path / "audit.html", Gallery(None), found=audit).read_text()
    assert text.count("<figure ") == 4
    assert "2,357" in text


def test_money_is_in_the_currency_of_the_customers(asset, audit, tmp_path):
    pounds = [each.assign_attrs(currency="£") for each in asset]
    page = write_equity_page(
        tmp_path / "equity.html", Gallery(None), found=pounds[0], coming=pounds[1], bridge=pounds[2]
    ).read_text()
    text = write_audit_page(
        tmp_path / "audit.html", Gallery(None), found=audit.assign_attrs(currency="£")
    ).read_text()
    for each in (page, text):
        assert "(money)" not in each
        assert "in money" not in each
    # Two figures, of which the bridge is drawn for a telephone too.
    assert page.count("value (£)") == 3
    assert f"Customer equity is £{float(asset[0]['equity_q50']):,.0f} (£" in page
    assert "after £2 each for acquisition" in page
    assert "and spent £" in text
    assert "spend (£)" in text
    assert "Spend in £." in text


def test_a_currency_goes_with_customers_to_their_equity(make_buying, make_spending, make_customers):
    pounds = make_customers(40, seed=4).assign_attrs(currency="£")
    few = {"spending": make_spending(draws=20), "margin": 0.3, "draws": 20, "seed": 7}
    simulation = clv.simulate(make_buying(draws=20), pounds, "26 weeks", **few)
    assert clv.valuation.customer_equity(simulation).attrs["currency"] == "£"
    assert clv.segment(simulation, clv.segments.abc()).attrs["currency"] == "£"


def test_words_of_figures_are_in_the_language_that_is_spoken(asset, audit, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "drawable", lambda language: language)
    with speaking("zh"):
        page = write_equity_page(
            tmp_path / "equity.html", Gallery(None), found=asset[0], coming=asset[1], bridge=asset[2]
        ).read_text()
        text = write_audit_page(tmp_path / "audit.html", Gallery(None), found=audit).read_text()
    for each in (page, text):
        assert "价值" in " ".join(drawn_words(each)) or "消费" in " ".join(drawn_words(each))
        assert [words for words in drawn_words(each) if not CHINESE.search(words)] == []


def test_nothing_is_wrong_with_the_pages_in_a_browser(browser, asset, audit, tmp_path):
    equity = write_equity_page(
        tmp_path / "equity.html", Gallery(None), found=asset[0], coming=asset[1], bridge=asset[2]
    )
    assert faults(browser, equity) == []
    assert faults(browser, write_audit_page(tmp_path / "audit.html", Gallery(None), found=audit)) == []


def test_sentences_of_an_audit(audit):
    said = audit_sentences(audit)
    assert [each.partition(":")[0].partition(",")[0] for each in said] == [
        "One period",
        "Two periods",
        "One cohort",
        "The whole base",
    ]
    assert said[0].startswith(
        "One period, 1998 Q2: 300 customers bought on 495 days and spent 17,981; 65 % of these"
    )
    assert (
        "of the 384 customers of 1998 Q1 44 % bought again in 1998 Q2, beside 131 who came back and 0 new"
        in said[1]
    )
    assert (
        "of the 2,357 who first bought in 1997 Q1 22 % bought in the next quarter, 13 % in 1998 Q2."
        in said[2]
    )
    log = clv.load_cdnow()
    alone = audit_sentences(clv.customers.audit_base(log, spend=None))
    assert "of purchases" in alone[0]
    assert "spent" not in " ".join(alone)


def test_two_cohorts_are_compared_at_one_age():
    rng = np.random.default_rng(2)
    log = [
        {"customer_id": f"{month}-{i}", "date": f"2024-{month + age:02d}-{1 + i % 28:02d}", "spend": 10.0}
        for month in range(1, 7)
        for i in range(40)
        for age in range(8 - month)
        if age == 0 or rng.random() < 0.1 * month
    ]
    import pandas as pd

    found = clv.customers.audit_base(pd.DataFrame(log), period="month", until="2024-07-31")
    first, later = (100 * float(found["cohort_active"][k, k + 1] / found["cohort_size"][k]) for k in (0, 5))
    assert (
        f"Two cohorts: a month after their first order {first:.0f} % of those of 2024-01 bought, and {later:.0f} % of "
        "those of 2024-06."
    ) in audit_sentences(found)


def test_figures_of_an_audit_hold_its_numbers(audit):
    ax = views.plot_cohorts(audit).axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in ax.containers[0]], audit["spend"])
    flows = views.plot_base_flows(audit).axes[0]
    np.testing.assert_allclose(
        [bar.get_height() for bar in flows.containers[3]], -audit["flow_customers"].sel(flow="lapsed")[1:]
    )
    share, made = views.plot_base_tenths(audit).axes
    spent = audit["decile_spend"].values[-1]
    np.testing.assert_allclose([bar.get_height() for bar in share.patches], 100 * spent / spent.sum())
    assert [bar.get_height() for bar in made.patches] == audit["orders_customers"].values[-1].tolist()
    left, right = views.plot_cohort_lives(audit).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), 100 * audit["cohort_active"].values[0, 1:] / 2357)
    np.testing.assert_allclose(right.lines[0].get_ydata(), audit["spend"].values / audit["active"].values)


def test_many_cohorts_share_a_colour_and_the_base_is_whole():
    found = clv.customers.audit_base(clv.load_cdnow(), period="month")
    names, size = found["cohort_size"].values.copy(), found.sizes["period"]
    assert size > 12
    names[:] = 1.0
    table = np.where(np.triu(np.ones((size, size))) > 0, 5.0, np.nan)
    many = found.assign(
        cohort_size=("cohort", names),
        cohort_spend=(("cohort", "period"), table),
        spend=("period", np.nansum(table, axis=0)),
    )
    ax = views.plot_cohorts(many).axes[0]
    assert len(ax.containers) == 12
    total = sum(np.array([bar.get_height() for bar in each]) for each in ax.containers)
    np.testing.assert_allclose(total, many["spend"])


@pytest.mark.parametrize(
    "plot",
    [
        "plot_equity",
        "plot_bridge",
        "plot_newcomers",
        "plot_cohorts",
        "plot_cohort_lives",
        "plot_base_flows",
        "plot_base_tenths",
    ],
)
def test_other_results_are_not_drawn(plot):
    with pytest.raises(clv.InputError, match="This needs what clv"):
        getattr(views, plot)(xr.Dataset())
