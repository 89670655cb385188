"""The model against what customers did: figures show their numbers, and checks of the holdout fail where they must."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

from scipy import stats

from bayes_clv import views
from bayes_clv.problems import cards
from bayes_clv.schema import InputError
from bayes_clv.views.plots import criticism, holdout
from bayes_clv.views.reporting import checks, verdicts
from bayes_clv.views.reporting.page import report

CLASSES = np.arange(11.0)


@pytest.fixture
def replicated(make) -> xr.DataTree:
    """A posterior with replicated bases: 0 to 9 and "10 or more", the last four of which the figure folds."""
    tree = make.tree("bg_nbd")
    rng = np.random.default_rng(1)
    means = np.array([70, 25, 12, 6, 4, 3, 2, 1.5, 1, 1, 2])
    drawn = rng.poisson(means, (2, 50, 11))
    name = criticism.CHECKED
    tree["posterior_predictive"] = xr.Dataset(
        {name: (("chain", "draw", "frequency_class"), drawn)}, coords={"frequency_class": CLASSES}
    )
    real = np.array([71, 24, 40, 6, 4, 3, 2, 1, 1, 1, 2])
    tree["observed_data"] = xr.Dataset({name: ("frequency_class", real)}, coords={"frequency_class": CLASSES})
    return tree


@pytest.fixture
def evaluation(make) -> xr.Dataset:
    """120 customers who do what was forecast: purchases, buyers, spend, each tenth."""
    predicted = np.linspace(0.05, 0.95, 10)
    tenths = {"predicted": predicted, "real": np.round(12 * predicted) / 12, "customers": np.full(10, 12.0)}
    of_retention = {
        f"retention_{name}_by_tenth": (("forecast", "tenth"), [each]) for name, each in tenths.items()
    }
    totals = {
        "retention_total_mean": 60.0,
        "retention_total_q05": 52.0,
        "retention_total_q95": 68.0,
        "spend_total_mean": 900.0,
        "spend_total_q05": 800.0,
        "spend_total_q95": 1000.0,
        "value_total_mean": 270.0,
        "value_total_q05": 240.0,
        "value_total_q95": 300.0,
        "unlikely_customers": 13.0,
        "unlikely_expected": 0.3,
        "unlikely_retained": 1.0,
        "spend_mae": 5.0,
        "spend_crps": 3.0,
    }
    alone = make.evaluation()
    nan = np.nan
    return alone.assign(
        {name: ("forecast", [value]) for name, value in totals.items()}
        | of_retention
        | {
            "retention_observed": ((), 60),
            "spend_observed": ((), 880.0),
            "value_observed": ((), 264.0),
            "spend_covered": (("forecast", "interval"), [[0.7, nan, 0.94, nan]]),
            "spend_promised": (("forecast", "interval"), [[0.72, nan, 0.95, nan]]),
            "spend_covered_se": (("forecast", "interval"), [[0.0410, nan, 0.0199, nan]]),
            "spend_pit_histogram": (("forecast", "bin"), [[0.12, 0.08] * 5]),
            "spend_covered_by_frequency": alone["covered_by_frequency"] - 0.02,
            "spend_promised_by_frequency": alone["promised_by_frequency"] - 0.01,
        }
    )


def codes(evaluation: xr.Dataset) -> list[str]:
    return [each.code for each in checks.score_problems(evaluation)]


def test_replicated_bases_are_folded_and_their_quantiles_are_drawn(replicated):
    found = criticism.replicated_frequency(replicated)
    drawn = replicated["posterior_predictive"][criticism.CHECKED].to_numpy().reshape(-1, 11)
    assert found["frequency"].to_numpy().tolist() == ["0", "1", "2", "3", "4", "5", "6", "7+"]
    assert found["observed"].to_numpy()[-1] == 5
    last = np.quantile(drawn[:, 7:].sum(axis=1), (0.05, 0.5, 0.95), method="inverted_cdf")
    assert [float(found[name][-1]) for name in ("q05", "median", "q95")] == last.tolist()
    left, right = views.plot_purchases_per_customer(replicated).axes
    assert [bar.get_height() for bar in left.patches] == found["observed"].to_numpy().tolist()
    # 40 customers bought twice where the model makes about 12: one cross, at the third class.
    (cross,) = [line for line in right.lines if line.get_marker() == "X"]
    assert cross.get_xdata().tolist() == [2]
    assert cross.get_ydata()[0] == pytest.approx(40 / float(found["median"][2]))
    words = " ".join(text.get_text() for text in right.figure.findobj(mpl.text.Text))
    assert "outcome level" in words
    assert "1 of 8 classes outside" in words
    with pytest.raises(InputError, match="include=\\('posterior_predictive',\\)"):
        views.plot_purchases_per_customer(replicated.filter(lambda node: node.name != "observed_data"))


def test_reliability_and_conditional_expectation_show_the_evaluation(evaluation):
    axes = views.plot_retention(evaluation).axes[0]
    (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
    real = evaluation["retention_real_by_tenth"].to_numpy()[0]
    assert dots.get_ydata() == pytest.approx(real)
    low, high = criticism.chance_limits(np.array([0.3]), np.array([50]))
    # The interval holds 90 % of binomial counts, and without its ends less.
    ends = np.round(50 * np.array([low[0], high[0]])).astype(int)
    assert stats.binom.cdf(ends[1], 50, 0.3) - stats.binom.cdf(ends[0] - 1, 50, 0.3) >= 0.9
    assert stats.binom.cdf(ends[1] - 1, 50, 0.3) - stats.binom.cdf(ends[0], 50, 0.3) < 0.9
    axes = views.plot_conditional_expectation(evaluation).axes[0]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert drawn == {"real": [0.5, 0.5, 0.5], "forecast": [0.4, 0.4, 0.4]}
    assert axes.get_xticklabels()[0].get_text() == "0\n70"
    for draw in (views.plot_retention, views.plot_conditional_expectation):
        with pytest.raises(InputError, match="Give the result of clv.evaluate"):
            draw(evaluation.drop_dims(["tenth", "frequency"]))


def test_reliability_shows_those_who_were_given_up(evaluation):
    beside = views.plot_retention(evaluation).axes[1]
    assert "13" in beside.get_xticklabels()[0].get_text()
    assert "0.3 expected" in beside.get_xticklabels()[0].get_text()
    # Of 13 customers with 0.3 / 13 each, one who buys is within 90 % of chance (at most 1), six are not.
    marks = {line.get_marker(): line.get_ydata()[0] for line in beside.lines}
    assert marks == {"_": pytest.approx(0.3), "o": 1}
    six = evaluation.assign(unlikely_retained=("forecast", [6.0]))
    marks = {line.get_marker(): line.get_ydata()[0] for line in views.plot_retention(six).axes[1].lines}
    assert marks == {"_": pytest.approx(0.3), "X": 6}
    nobody = evaluation.assign(unlikely_customers=("forecast", [0.0]))
    assert len(views.plot_retention(nobody).axes) == 1
    assert len(views.plot_retention(evaluation.drop_vars("unlikely_customers")).axes) == 1


def test_spend_has_a_row_of_its_own_in_the_calibration(evaluation):
    figure = views.plot_calibration(evaluation)
    assert len(figure.axes) == 4
    assert [p.get_height() for p in figure.axes[2].containers[0]] == pytest.approx([0.12, 0.08] * 5)
    bars = next(c for c in figure.axes[3].containers if isinstance(c, mpl.container.ErrorbarContainer))
    assert bars[0].get_ydata() == pytest.approx([0.937, 0.93, 0.98])


def test_tracking_says_how_many_weeks_are_inside_and_leaves_the_last_part_out(make):
    tracking = make.tracking()
    draws = tracking["purchases"].to_numpy().reshape(-1, 10)
    low, high = np.quantile(draws, (0.05, 0.95), axis=0, method="inverted_cdf")
    observed = np.where(np.arange(10) % 3 == 0, high + 5, (low + high) // 2)
    tracking["observed"] = ("period", observed)
    upper = views.plot_tracking(tracking).axes[0]
    words = " ".join(text.get_text() for text in upper.figure.findobj(mpl.text.Text))
    # Periods 0, 3 and 6, 9 are above; calibration has six.
    assert "weeks inside 90 %: 4 of 6 (promised " in words
    assert "holdout 2 of 4 (promised " in words
    (crosses,) = [line for line in upper.lines if line.get_marker() == "X"]
    assert crosses.get_ydata().tolist() == observed[[0, 3, 6, 9]].tolist()
    short = tracking.assign_attrs(holdout_until="1997-03-10")
    assert holdout.plot_tracking(short).axes[0].lines[-1].get_xdata().size < 10
    found = verdicts.periods_inside(tracking)
    weeks = [each for each in found if each["unit"] == "week"]
    assert [(each["part"], each["inside"], each["above"], each["below"]) for each in weeks] == [
        ("calibration", 4, 2, 0),
        ("holdout", 2, 2, 0),
    ]


def test_what_is_as_forecast_passes(evaluation):
    assert codes(evaluation) == []


def test_totals_that_miss_the_same_way_share_a_card(evaluation):
    wrong = evaluation.assign(
        total_observed=((), 140), spend_observed=((), 1200.0), value_observed=((), 360.0)
    )
    (card,) = cards(checks.score_problems(wrong))
    # An undiscounted value is a share of spend and says nothing more.
    assert card.codes == ("holdout_total", "holdout_spend_total")
    assert card.title == "Holdout: 140 purchases, above the forecast's 80 to 120"
    assert len(card.found) == 2
    discounted = wrong.assign(value_observed=((), 310.0))
    assert cards(checks.score_problems(discounted))[0].codes[-1] == "holdout_value_total"
    # One above and one below are two causes.
    apart = evaluation.assign(total_observed=((), 140), spend_observed=((), 700.0))
    assert [card.codes for card in cards(checks.score_problems(apart))] == [
        ("holdout_total",),
        ("holdout_spend_total",),
    ]


def test_buyers_are_judged_by_their_chance(evaluation):
    # Of 12 customers with a chance of 0.05 P(4 or more) is 0.0022, and P(5 or more) 0.00018; one in 741 is 3 errors.
    for bought, fails in ((4, False), (5, True)):
        real = evaluation["retention_real_by_tenth"].copy()
        real[0, 0] = bought / 12
        found = codes(evaluation.assign(retention_real_by_tenth=real))
        assert found == (["holdout_tenth"] if fails else [])
    # Of 13 with 0.3 expected in all: P(3 or more) = 0.0028, P(4 or more) = 0.00017.
    for bought, fails in ((3, False), (4, True)):
        found = codes(evaluation.assign(unlikely_retained=("forecast", [float(bought)])))
        assert found == (["holdout_unlikely"] if fails else [])
    # All buying more often is one cause: tenths are then judged beside what that makes of each chance, never above 1.
    often = evaluation["retention_predicted_by_tenth"]
    fewer = evaluation.assign(
        retention_predicted_by_tenth=1 - (1 - often) ** (1 / 4),
        retention_real_by_tenth=np.round(12 * often) / 12,
        retention_total_mean=("forecast", [15.0]),
        retention_total_q05=("forecast", [10.0]),
        retention_total_q95=("forecast", [20.0]),
    )
    assert codes(fewer) == ["holdout_retention"]
    assert checks.score_problems(fewer)[0].numbers["predicted"] == pytest.approx(0.125)


def test_frequent_buyers_are_not_hidden(evaluation):
    rare = evaluation.assign_coords(frequency=np.array(["0", "4", "7+"], dtype=object))
    rare["customers_by_frequency"] = ("frequency", [70, 20, 30])
    # Of 30 with a promise of 0.96: P(25 or fewer) = 0.0056 and P(26 or fewer) = 0.030; 1 % is the limit.
    for inside, fails in ((26, False), (25, True)):
        covered = rare["covered_by_frequency"].copy()
        covered.loc[{"frequency": "7+", "interval": 90}] = inside / 30
        found = codes(rare.assign(covered_by_frequency=covered))
        assert found == (["holdout_frequent"] if fails else [])
    narrow = rare.assign(spend_covered=rare["spend_covered"] - 0.2, covered_by_frequency=covered)
    (card,) = cards(checks.score_problems(narrow))
    # The cause is theirs, and so are meaning and remedies; another family would not help.
    assert card.codes == ("holdout_frequent", "holdout_spend_narrow")
    assert not any("families" in remedy for remedy in card.remedies)


def test_weeks_of_a_season_and_weeks_of_a_fall_are_two_causes(make, evaluation):
    tracking = make.tracking()
    assert checks.week_problems(tracking) == []
    draws = tracking["purchases"].to_numpy().reshape(-1, 10)
    high, low = draws.max(axis=0) + 1, np.zeros(10)
    season = tracking.assign(observed=("period", np.where(np.arange(10) % 2, high, low)))
    found = checks.week_problems(season)
    assert [each.numbers["part"] for each in found] == ["calibration", "holdout"]
    assert [card.codes for card in cards(found)] == [("weeks_outside",)]
    fall = tracking.assign(observed=("period", np.r_[np.median(draws, axis=0)[:6], np.zeros(4)].astype(int)))
    together = [
        *checks.score_problems(evaluation.assign(total_observed=((), 60))),
        *checks.week_problems(fall),
    ]
    assert [card.codes for card in cards(together)] == [("holdout_total", "weeks_outside")]


def test_the_page_has_the_totals_and_marks_the_tiles(make, evaluation, tmp_path, replicated, monkeypatch):
    monkeypatch.setattr("bayes_clv.views.reporting.gallery.Gallery.add", lambda *_, **__: None)

    def page(found: xr.Dataset) -> str:
        given = {"buying": replicated, "spending": None, "customers": make.customers(), "value": make.value()}
        path = report(tmp_path / "page.html", evaluation=found, tracking=make.tracking(), **given)
        return path.read_text(encoding="utf-8")

    green = page(evaluation)
    assert 'class="failed"' not in green
    assert 'class="warning"' not in green
    assert "of spend they are 5 and 3" in green
    assert green.count('id="holdout-totals"') == green.count('id="tracking-table"') == 1
    red = page(evaluation.assign(spend_observed=((), 1200.0), retention_observed=((), 90)))
    said = red[red.index('class="warning"') :]
    assert said.index(
        "90 customers who bought, above 52 to 68; spend of 1,200, above 800 to 1,000"
    ) < said.index("</p>")
    assert red.count('<div class="failed">') == 2
    assert "outside: above" in red
