"""Each figure shows the numbers it was given, names its level and labels its axes."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

from bayes_clv import views
from bayes_clv.schema import InputError
from bayes_clv.views import names as rename
from bayes_clv.views import style
from bayes_clv.views.plots import amounts, histories, holdout
from tests.symbols import paper

bg_nbd = paper("bg_nbd")


def words(figure) -> str:
    """All text of a figure."""
    figure = style.figure_of(figure)
    return " ".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def band(axes, label=None):
    """Lower and upper edge of the first filled band, by x."""
    found = [c for c in axes.collections if isinstance(c, mpl.collections.PolyCollection)]
    vertices = next(c for c in found if label is None or c.get_label() == label).get_paths()[0].vertices
    xs = np.unique(vertices[:, 0])
    return xs, np.array(
        [[v[:, 1].min(), v[:, 1].max()] for x in xs for v in [vertices[vertices[:, 0] == x]]]
    ).T


def test_every_axis_is_labelled_and_every_prediction_states_its_level(make, buying, customers):
    value = make.value(keep=True)
    drawn = {
        "expected": [
            views.plot_alive_matrix(buying, customers, draws=20),
            views.plot_expected_purchases_matrix(buying, customers, "26 weeks", draws=10),
            views.plot_alive_history(buying, ["1997-01-01", "1997-03-01"], "1997-09-30"),
        ],
        "outcome": [
            views.plot_tracking(make.tracking()),
            views.plot_forecast(make.tracking()),
            views.plot_tenths(value),
            views.plot_calibration(make.evaluation()),
            views.plot_value_distribution(value),
            views.plot_concentration(value),
            views.plot_customers(value, 10),
        ],
    }
    for level, figures in drawn.items():
        for figure in figures:
            assert f"{level} level" in words(figure)
            for axes in figure.axes:
                shared = axes.get_shared_x_axes().get_siblings(axes)
                assert axes.get_ylabel()
                assert any(a.get_xlabel() for a in shared) or axes.get_label() == "<colorbar>"


def test_alive_matrix_holds_the_mean_probability_and_leaves_impossible_cells_blank(buying):
    figure = views.plot_alive_matrix(buying, 30.0, max_frequency=4, draws=10_000)
    cells = np.ma.getdata(figure.axes[0].images[0].get_array()).astype(float)
    mask = np.ma.getmaskarray(figure.axes[0].images[0].get_array())
    posterior = {n: buying["posterior"][n].to_numpy().ravel() for n in bg_nbd.PARAMETERS}
    # The 41st of 61 columns is two thirds of the age: recency 20.
    expected = bg_nbd.probability_alive(3, 20.0, 30.0, **posterior).mean()
    assert cells[3, 40] == pytest.approx(expected, rel=1e-12)
    assert mask[0, 1:].all()
    assert not mask[0, 0]
    assert mask[1:, 0].all()
    assert not mask[1:, 5:].any()


def test_rows_of_the_alive_matrix_are_those_of_ninety_nine_in_a_hundred(buying, customers):
    frequency = np.arange(customers.sizes["customer"]) % 5
    frequency[0] = 69
    few = customers.assign(frequency=("customer", frequency))
    figure = views.plot_alive_matrix(buying, few, draws=5)
    # Frequencies 0 to 4; the one customer who bought 69 times has no row.
    assert figure.axes[0].images[0].get_array().shape[0] == 5


def test_alive_history_uses_only_what_was_known_and_its_band_holds_ninety_percent(buying):
    dates = ["1997-01-01", "1997-01-15", "1997-01-15", "1997-05-21"]
    path = histories.alive_over_time(buying, dates, "1997-09-30", draws=10_000)
    posterior = {n: buying["posterior"][n].to_numpy().ravel() for n in bg_nbd.PARAMETERS}
    assert float(path["mean"][0]) == 1.0  # no repeat purchase yet: BG/NBD is certain
    last = bg_nbd.probability_alive(2, 20.0, 272 / 7, **posterior)
    assert float(path["mean"][-1]) == pytest.approx(last.mean(), rel=1e-12)
    assert float(path["q05"][-1]) == pytest.approx(np.quantile(last, 0.05, method="inverted_cdf"), rel=1e-12)
    at = np.flatnonzero(path["date"].to_numpy() == np.datetime64("1997-05-21", "s"))
    assert at.size == 2
    assert float(path["mean"][at[0]]) < float(path["mean"][at[1]])
    figure = histories.plot_alive_history(buying, dates, "1997-09-30", customer="$x$")
    ticks = next(line for line in figure.axes[0].lines if line.get_label() == "purchase")
    assert ticks.get_xdata().size == 3  # two orders on one day are one purchase
    assert "$x$" in words(figure)


def test_alive_history_refuses_dates_it_cannot_place(buying):
    with pytest.raises(InputError, match="1 of 2 purchase dates are after until"):
        histories.alive_over_time(buying, ["1997-01-01", "1998-01-01"], "1997-09-30")
    with pytest.raises(InputError, match="no purchase dates"):
        histories.alive_over_time(buying, [], "1997-09-30")
    unstated = buying.copy()
    unstated.attrs = {**buying.attrs, "time_unit": "unstated"}
    with pytest.raises(InputError, match="time unit is not stated"):
        histories.alive_over_time(unstated, ["1997-01-01"], "1997-09-30")


def test_tracking_bands_are_quantiles_and_the_forecast_total_starts_from_what_was_observed(make):
    tracking = make.tracking()
    bands = holdout.tracking_bands(tracking)
    draws = tracking["purchases"].to_numpy().reshape(-1, 10)
    assert bands["incremental"].sel(quantile=0.95).to_numpy() == pytest.approx(
        np.quantile(draws, 0.95, axis=0, method="inverted_cdf")
    )
    before = tracking["observed"].to_numpy()[:6].sum()
    assert bands["cumulative"].sel(quantile=0.05).to_numpy()[7] == pytest.approx(
        np.quantile(before + draws[:, 6:8].sum(axis=1), 0.05, method="inverted_cdf")
    )
    upper = views.plot_tracking(tracking).axes[0]
    _, edges = band(upper, "90 % band")
    assert edges[0] == pytest.approx(bands["incremental"].sel(quantile=0.05).to_numpy()[:6])
    assert edges[1] == pytest.approx(bands["incremental"].sel(quantile=0.95).to_numpy()[:6])
    observed = next(line for line in upper.lines if line.get_label() == "observed")
    assert observed.get_ydata() == pytest.approx(tracking["observed"].to_numpy())


def test_the_first_pictures_show_the_same_bands_and_the_shares_of_the_tenths(make):
    tracking, value = make.tracking(), make.value()
    for width in (7.0, 4.0):
        (axes,) = views.plot_forecast(tracking, width=width).axes
        whole = views.plot_tracking(tracking).axes[0]
        for name in ("90 % band", "50 % band"):
            np.testing.assert_array_equal(band(axes, name)[1], band(whole, name)[1])
        assert axes.figure.get_size_inches()[0] == width
    (axes,) = views.plot_tenths(value).axes
    means = np.sort(value["value_mean"].to_numpy())[::-1].reshape(10, 12).sum(axis=1)
    assert [bar.get_height() for bar in axes.patches] == pytest.approx(100 * means / means.sum())
    with pytest.raises(InputError, match="Fewer than ten customers"):
        views.plot_tenths(value.isel(customer=slice(9)))


def test_concentration_takes_the_curve_of_each_draw_when_draws_are_kept(make):
    assert amounts.concentration(np.array([[1.0, 3.0, 0.0]])).tolist() == [[0.0, 0.75, 1.0, 1.0]]
    kept = make.value(keep=True)
    axes = views.plot_concentration(kept).axes[0]
    curves = amounts.concentration(kept["value"].to_numpy().reshape(-1, 120))
    _, edges = band(axes)
    assert edges[1][12] == pytest.approx(np.quantile(curves[:, 12], 0.95, method="inverted_cdf"))
    assert edges[0][12] == pytest.approx(np.quantile(curves[:, 12], 0.05, method="inverted_cdf"))
    assert "median and 90 % band of 120 draws" in words(axes.figure)
    means_only = views.plot_concentration(make.value()).axes[0]
    assert not means_only.collections
    assert "no interval" in words(means_only.figure)


def test_customers_are_sorted_intervals_with_their_own_names(make):
    value = make.value()
    figure = views.plot_customers(value, 7)
    axes = figure.axes[0]
    best = value["value_mean"].to_numpy().argsort()[::-1][:7]
    wide, thick = axes.collections[:2]
    ends = np.array([s[:, 0] for s in wide.get_segments()])
    assert ends[:, 0] == pytest.approx(value["value_q05"].to_numpy()[best])
    assert ends[:, 1] == pytest.approx(value["value_q95"].to_numpy()[best])
    assert np.array([s[1, 0] for s in thick.get_segments()]) == pytest.approx(
        value["value_q75"].to_numpy()[best]
    )
    assert axes.get_yticklabels()[1].get_text() == value["customer"].to_numpy()[best[1]]


def test_value_distribution_counts_every_customer_and_every_draw(make):
    value = make.value()
    left, right = views.plot_value_distribution(value).axes
    assert sum(p.get_height() for p in left.patches) == 120
    assert sum(p.get_height() for p in right.containers[0]) == value["value_total"].size
    without = make.value(spend=False)
    assert "purchases (count)" in views.plot_value_distribution(without).axes[0].get_xlabel()
    with pytest.raises(InputError, match="no 'value'"):
        views.plot_value_distribution(without, quantity="value")
    none = value.assign(value_mean=value["value_mean"] * np.nan)
    with pytest.raises(InputError, match="No customer has a finite mean"):
        views.plot_value_distribution(none)


def test_arviz_gets_names_it_can_take_and_readers_get_symbols_with_units(buying):
    renamed = rename.for_arviz(buying)
    assert "alpha_" in renamed["posterior"]
    assert "alpha" not in renamed["prior"]
    assert "alpha" in buying["posterior"]  # the input stays as it was
    assert renamed.attrs == buying.attrs
    for draw in (views.plot_parameters, views.plot_prior_posterior, views.plot_diagnostics):
        collection = draw(buying)
        text = words(collection)
        assert ("rank of α" if draw is views.plot_diagnostics else "α (week)") in text
        assert "alpha_" not in text
        assert all(axes.lines for axes in style.figure_of(collection).axes)


def test_parameters_state_the_median_and_the_interval_of_the_draws(buying):
    low, median, high = np.quantile(buying["posterior"]["r"], (0.05, 0.5, 0.95))
    assert f"{median:#.3g}  [{low:#.3g}, {high:#.3g}]" in words(views.plot_parameters(buying))


def test_diagnostics_draw_one_line_a_chain_and_refuse_a_point(buying, make):
    collection = views.plot_diagnostics(buying)
    assert len(collection.viz["ecdf_lines"]["r"].chain) == buying["posterior"].sizes["chain"]
    assert any(text.get_text().startswith("p = ") for text in collection.viz["plot"]["r"].item().texts)
    with pytest.raises(InputError, match="a point"):
        views.plot_diagnostics(make.tree("bg_nbd", draws=1))
    with pytest.raises(InputError, match="no group 'prior'"):
        views.plot_prior_posterior(make.tree("bg_nbd", prior=False))
    with pytest.raises(InputError, match="no group 'posterior'"):
        views.plot_parameters(xr.DataTree())


def test_drawing_leaves_the_callers_settings_alone(buying):
    before = mpl.rcParams["text.color"], mpl.rcParams["svg.fonttype"]
    views.plot_alive_matrix(buying, 20.0, draws=5)
    assert (mpl.rcParams["text.color"], mpl.rcParams["svg.fonttype"]) == before
