"""Value parts and contributions, drawn: the bars are the numbers, and what is assumed stands below."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.views.plots import parts as views

RULE = clv.rule("History", {"once": "frequency == 0", "again": "frequency > 0"})


@pytest.fixture(scope="module")
def draws(make_customers, make_buying, make_spending):
    return clv.simulate(
        make_buying(draws=50),
        make_customers(120),
        spending=make_spending(draws=50),
        horizon="26 weeks",
        margin=0.3,
        draws=100,
        seed=3,
    )


@pytest.fixture(scope="module")
def parts(draws):
    return clv.value_parts(
        draws,
        {"up_sell": clv.Prior("Beta", mu=0.2, sigma=0.05), "referral": {"amount": 0.2, "value": 15.0}},
        by=RULE,
    )


def words(figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def widths(ax):
    return np.array([[bar.get_width() for bar in container] for container in ax.containers])


def test_bars_are_the_parts_and_lines_their_intervals(parts):
    figure = clv.views.plot_value_parts(parts)
    ax = figure.axes[0]
    mean = parts["value_total_mean"].transpose("part", "segment")
    np.testing.assert_allclose(widths(ax), mean)
    # Each bar begins where the one before ends.
    starts = [[bar.get_x() for bar in container] for container in ax.containers]
    np.testing.assert_allclose(starts, np.cumsum(mean, axis=0) - mean)
    spans = {line.get_label(): line.get_segments() for line in ax.collections}
    total = parts["value_total"].sum("part").to_numpy()
    low, high = np.quantile(total, (0.05, 0.95), axis=0, method="inverted_cdf")
    drawn = np.array(spans["90 %: all parts"])
    np.testing.assert_allclose(drawn[:, :, 0], np.stack([low, high], axis=1))
    assert "90 %: historical and current" in spans
    said = words(figure)
    assert "up sell: spend per purchase × (1 + Beta(mu=0.2, sigma=0.05))" in said
    assert "referral: 0.2 new customers each, worth 15" in said
    assert "mean and 90 % intervals, outcome level; totals of each segment over 26 weeks" in said
    assert "once\n" in said


def test_parts_without_a_mean_or_a_past_are_drawn_as_far_as_they_exist(parts):
    gone = parts.copy()
    for name in ("value_total", "value_total_mean"):
        gone[name] = gone[name].where(gone["part"] != "historical")
    gone["value_total_mean"] = gone["value_total_mean"].where(gone["part"] == "referral")
    figure = clv.views.plot_value_parts(gone.assign_attrs(reasons=["no historical_spend"]))
    drawn = parts["value_total"].sel(part=["current", "up_sell", "referral"])
    median = drawn.quantile(0.5, "draw", method="inverted_cdf")
    np.testing.assert_allclose(widths(figure.axes[0]), median.transpose("part", "segment"))
    said = words(figure)
    assert "median and 90 %" in said
    assert "no historical_spend" in said
    assert "90 %: current" in said


def test_many_segments_are_cut_to_the_largest_and_costs_go_left(draws):
    names = {
        f"{i:02d}": f"T > quantile({i / 20:g}) and T <= quantile({(i + 1) / 20:g})" for i in range(1, 19)
    }
    many = clv.rule("Ages", {**names, "rest": None})
    found = clv.value_parts(draws, {"cross_sell": -0.2, "up_sell": 0.1}, by=many)
    figure = clv.views.plot_value_parts(found)
    assert f"the {views.SEGMENTS_SHOWN} of 19 with the most" in words(figure)
    bars = figure.axes[0].containers[2]
    assert all(bar.get_width() <= 0 and bar.get_x() == 0 for bar in bars)


def test_contributions_are_bars_that_add_up_to_the_diamond(draws):
    found = clv.valuation.contributions(draws, by=RULE)
    figure = clv.views.plot_contributions(found)
    (ax,) = figure.axes
    bars = widths(ax)[:, 0].reshape(2, 3)
    np.testing.assert_allclose(bars, found["contribution_mean"])
    diamonds = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(diamonds, bars.sum(axis=1))
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels[1] == f"cycle  ×{float(found['ratio_q50'][0, 0]):.2f}"
    assert labels[4] == "difference"
    value, base = float(found["value"][:, 0].median()), float(found["baseline_value"][:, 0].median())
    assert labels[0] == f"once:\u2002{value:.3g} against {base:.3g}"
    said = words(figure)
    assert "Why value differs from all customers" in said
    assert "mean and 90 % intervals, outcome level, over 26 weeks" in said
    # A segment that could not be compared is left out.
    with_empty = xr.concat([found, found.isel(segment=[0]).assign_coords(segment=["nobody"])], "segment")
    for name in ("contribution", "difference", "value", "baseline_value", "ratio"):
        with_empty[name] = with_empty[name].where(with_empty["segment"] != "nobody")
    with_empty["compared"] = with_empty["compared"].where(with_empty["segment"] != "nobody", 0.0)
    assert "nobody" not in words(clv.views.plot_contributions(with_empty))
    with pytest.raises(clv.InputError, match="nothing can be shown"):
        clv.views.plot_contributions(with_empty.isel(segment=[2]))


def test_another_dataset_is_refused(parts, draws):
    with pytest.raises(clv.InputError, match=r"what clv\.value_parts returned"):
        clv.views.plot_value_parts(parts.drop_vars("value_total"))
    with pytest.raises(clv.InputError, match=r"what clv\.valuation\.contributions returned"):
        clv.views.plot_contributions(parts)
