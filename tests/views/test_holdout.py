"""The holdout: the figures show the numbers they were given, and so does the report."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

from bayes_clv import views
from bayes_clv.schema import InputError
from bayes_clv.views import style
from bayes_clv.views.plots import holdout
from bayes_clv.views.plots.holdout import relative_errors
from bayes_clv.views.reporting import gallery

NAMES = ["model", "past_rate", "pareto_rule"]


@pytest.fixture
def evaluation(make) -> xr.Dataset:
    """Return a small evaluation: the model wins by CRPS and loses by what the top tenth holds."""
    alone = make.evaluation()
    share = np.linspace(0, 1, 11)
    gain = np.array([share**0.5, share**0.4, share**0.7])
    nan = np.nan
    beside = xr.Dataset(
        {
            "crps": ("forecast", [0.4, 0.5, nan]),
            "crps_worse": ("forecast", [nan, 0.1, nan]),
            "crps_worse_se": ("forecast", [nan, 0.02, nan]),
            "log_score": ("forecast", [0.9, np.inf, nan]),
            "mae": ("forecast", [0.7, 0.6, nan]),
            "rmse": ("forecast", [1.5, 2.0, nan]),
            "total_error": ("forecast", [-0.12, 0.55, nan]),
            "concordance": ("forecast", [0.8, 0.7, 0.6]),
            "captured": (("forecast", "share"), gain),
            "captured_best": ("share", share**0.2),
        },
        coords={
            "forecast": np.array(NAMES, dtype=object),
            "share": share,
            "kind": ("forecast", np.array(["model", "rule", "rule"], dtype=object)),
        },
    )
    of_model = alone.drop_vars(
        ["kind", "share", "captured", "captured_best", *beside.data_vars], errors="ignore"
    )
    together = xr.merge([beside, of_model.reindex(forecast=NAMES)], join="exact", compat="no_conflicts")
    return together.assign_attrs(
        alone.attrs | {"reasons": ["past_rate: 3 customers did what it held <impossible>."]}
    )


def test_errors_are_relative_to_the_best_baseline(evaluation):
    found = relative_errors(evaluation)
    assert found["CRPS"] == pytest.approx({"model": 0.8, "past_rate": 1.0})
    assert found["mean absolute"]["model"] == pytest.approx(0.7 / 0.6)
    # Where higher is better it is the missing part: 0.2, 0.3 and 0.4 of the pairs.
    assert found["pairs ranked wrong"] == pytest.approx(
        {"model": 2 / 3, "past_rate": 1, "pareto_rule": 4 / 3}
    )
    missed = {n: 1 - 0.1**p for n, p in zip(NAMES, (0.5, 0.4, 0.7), strict=True)}
    assert found["purchases missed*"] == pytest.approx(
        {n: m / missed["past_rate"] for n, m in missed.items()}
    )
    # No baseline has a finite log score to compare with.
    assert "log score" not in found


def dots(axes, name):
    """Places of a forecast's dots on the axes, by row."""
    line = [each for each in axes.lines if each.get_label() == name]
    marker = line[0].get_marker()
    drawn = [each for each in axes.lines if each.get_marker() == marker and len(each.get_xdata()) == 1]
    return {round(float(each.get_ydata()[0])): float(each.get_xdata()[0]) for each in drawn}


def test_the_figure_shows_ratios_and_gains(evaluation):
    figure = views.plot_evaluation(evaluation)
    left, right = figure.axes
    rows = [label.get_text() for label in left.get_yticklabels()]
    ratios = relative_errors(evaluation)
    assert rows == list(ratios)
    for name in ("model", "past rate", "pareto rule"):
        expected = {
            -i: row[k] for i, row in enumerate(ratios.values()) if (k := name.replace(" ", "_")) in row
        }
        assert dots(left, name) == pytest.approx(expected)
    gains = [line.get_ydata() for line in right.lines]
    for name in NAMES:
        gain = evaluation["captured"].sel(forecast=name).to_numpy()
        assert any(len(g) == gain.size and np.allclose(g, gain) for g in gains)
    assert any(np.allclose(g, evaluation["captured_best"]) for g in gains if len(g) == 11)
    words = " ".join(t.get_text() for t in figure.findobj(mpl.text.Text))
    assert words.count("outcome level") == 2
    assert "purchases of the holdout (%)" in words
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)


def test_money_is_drawn_where_it_is_scored(evaluation):
    gain = evaluation["captured"] ** 1.1
    with_money = evaluation.assign(
        spend_captured=gain, spend_captured_best=evaluation["captured_best"] ** 1.1
    )
    right = views.plot_evaluation(with_money).axes[1]
    assert right.get_ylabel() == "spend of the holdout (%)"
    assert any(np.allclose(line.get_ydata(), gain.sel(forecast="model")) for line in right.lines)


def test_an_infinite_score_is_at_the_edge(evaluation):
    two = evaluation.assign(log_score=("forecast", [0.9, np.inf, 1.2]))
    left = views.plot_evaluation(two).axes[0]
    arrows = [line for line in left.lines if line.get_marker() == ">"]
    assert len(arrows) == 1
    assert float(arrows[0].get_xdata()[0]) == left.get_xlim()[1]
    style.svg_text(views.plot_evaluation(two))


def test_it_needs_an_evaluation_with_a_baseline(evaluation):
    with pytest.raises(InputError, match="no 'captured_best'"):
        views.plot_evaluation(evaluation.drop_vars("captured_best"))
    with pytest.raises(InputError, match="no baseline to compare with"):
        views.plot_evaluation(evaluation.isel(forecast=[0]))


def write(tmp_path, make, monkeypatch, **changes):
    monkeypatch.setattr(gallery.Gallery, "add", lambda *_, **__: None)
    arguments = {
        "buying": make.tree("bg_nbd", prior=False),
        "spending": None,
        "customers": make.customers(spend=False),
        "value": make.value(spend=False),
        "evaluation": make.evaluation(),
    } | changes
    return views.report(tmp_path / "report.html", **arguments).read_text(encoding="utf-8")


def test_the_report_has_the_table_of_rules(evaluation, make, tmp_path, monkeypatch):
    text = write(tmp_path, make, monkeypatch, evaluation=evaluation)
    start, end = (
        text.index("<h3>Against simple rules</h3>"),
        text.index('<section class="part" id="appendix">'),
    )
    part = text[start:end]
    assert text.index('id="holdout"') < start
    assert part.count("<tr>") == 1 + 3
    assert "∞" in part
    assert "-12.0 %" in part
    assert f"{100 * 0.1**0.5:.1f} %" in part
    assert "is the past rate: its CRPS less the model&#39;s is 0.100 purchases" in part
    assert "better, by more than chance" in part
    assert "held &lt;impossible&gt;" in part
    assert "Against simple rules" not in write(tmp_path, make, monkeypatch)


def test_the_verdict_goes_both_ways(evaluation, make, tmp_path, monkeypatch):
    for worse, words in ((0.03, "within chance"), (-0.05, "the rule&#39;s forecasts are better")):
        other = evaluation.assign(crps_worse=("forecast", [np.nan, worse, np.nan]))
        assert words in write(tmp_path, make, monkeypatch, evaluation=other)
    ranks = evaluation.isel(forecast=[0, 2])
    assert "only rankings can be compared" in write(tmp_path, make, monkeypatch, evaluation=ranks)


def test_calibration_shows_the_histogram_and_binomial_error_bars(make):
    evaluation = make.evaluation()
    left, right = views.plot_calibration(evaluation).axes
    heights = [p.get_height() for p in left.containers[0]]
    assert heights == pytest.approx(evaluation["pit_histogram"].values[0])
    covered = next(c for c in right.containers if isinstance(c, mpl.container.ErrorbarContainer))
    assert covered[0].get_ydata() == pytest.approx([0.957, 0.95, 1.0])
    low, high = holdout.coverage_errors(np.array([0.9]), np.array([20.0]))
    # 18 of 20 (Clopper-Pearson, 90 %): P(X >= 18 | low) = P(X <= 18 | high) = 0.05.
    from scipy.stats import binom

    assert binom.sf(17, 20, low[0]) == pytest.approx(0.05)
    assert binom.cdf(18, 20, high[0]) == pytest.approx(0.05)
    assert holdout.coverage_errors(np.array([1.0]), np.array([5.0]))[1][0] == 1.0
