"""Strips, sizes, map and ranking show the numbers they were given, and say what they leave out."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

import bayes_clv as clv
from bayes_clv.segments.ranking import quantity_points
from bayes_clv.views import style
from bayes_clv.views.plots import segments as drawn


def note(axes):
    return " ".join(t.get_text() for t in axes.texts)


def ends(collection):
    return np.array([[s[0], s[1]] for s in collection.get_segments()])


def strips(figure):
    return np.asarray(figure.axes[0].collections[0].get_array()).reshape(
        len(figure.axes[0].get_yticks()), len(figure.axes[0].get_xticks())
    )


def test_strips_are_memberships_sorted_by_label_and_its_probability(make):
    segments = make.segments()
    figure = clv.views.plot_membership(segments, most=200)
    axes = figure.axes[0]
    place = {style.short(str(c)): i for i, c in enumerate(segments["customer"].to_numpy())}
    rows = [place[t.get_text()] for t in axes.get_yticklabels()]
    assert sorted(rows) == list(range(120))
    np.testing.assert_allclose(strips(figure), segments["membership"].to_numpy()[rows])
    label = [list(segments["segment"].values).index(n) for n in segments["most_likely"].to_numpy()[rows]]
    key = list(zip(label, -segments["most_likely_probability"].to_numpy()[rows], strict=True))
    assert key == sorted(key)
    dots = next(line for line in axes.lines if line.get_label().startswith("unsure"))
    np.testing.assert_array_equal(dots.get_ydata(), np.flatnonzero(segments["unsure"].to_numpy()[rows]))
    assert "share of 60 draws; 120 customers" in note(axes)


def test_a_large_base_shows_an_evenly_spaced_part_and_says_so(make):
    segments = make.segments(customers=3000)
    figure = clv.views.plot_membership(segments, most=40)
    axes = figure.axes[0]
    assert "40 of 3,000 customers, evenly spaced in this order" in note(axes)
    place = {str(c): i for i, c in enumerate(segments["customer"].to_numpy())}
    rows = [place[t.get_text()] for t in axes.get_yticklabels()]
    shown = segments["most_likely"].to_numpy()[rows]
    for name in segments["segment"].values:
        share = float((segments["most_likely"] == name).mean())
        # The middles of 40 equal parts: up to one strip at either end of a segment.
        assert abs((shown == name).sum() - 40 * share) <= 1


def test_asked_customers_are_shown_and_unknown_ones_refused(make):
    segments = make.segments()
    figure = clv.views.plot_membership(segments, customers=["C0009", "C0001", "C0009"])
    assert sorted(t.get_text() for t in figure.axes[0].get_yticklabels()) == ["C0001", "C0009"]
    with pytest.raises(clv.InputError, match="1 of 2 customers are not among the segments', for example 'X'"):
        clv.views.plot_membership(segments, customers=["X", "C0001"])
    with pytest.raises(clv.InputError, match="most=0"):
        clv.views.plot_membership(segments, most=0)
    with pytest.raises(clv.InputError, match="no membership here"):
        clv.views.plot_membership(segments.drop_vars("membership"))


def test_many_segments_are_added_up_and_nothing_is_lost(make):
    segments = make.segments(names=tuple(f"s{i:02d}" for i in range(25)))
    figure = clv.views.plot_membership(segments)
    cells = strips(figure)
    assert cells.shape == (60, 12)
    np.testing.assert_allclose(cells.sum(axis=1), 1, atol=1e-6)
    assert figure.axes[0].get_xticklabels()[-1].get_text() == "all others"
    sizes = clv.views.plot_segment_sizes(segments).axes[0]
    assert len(sizes.get_yticks()) == 20
    assert "the 20 largest of 25" in note(sizes)


def test_sizes_are_intervals_beside_the_count_of_labels(make):
    segments = make.segments()
    axes = clv.views.plot_segment_sizes(segments).axes[0]
    lines = ends(axes.collections[0])
    np.testing.assert_allclose(lines[:, 0, 0], segments["size_q05"])
    np.testing.assert_allclose(lines[:, 1, 0], segments["size_q95"])
    found = {line.get_label(): line.get_xdata() for line in axes.lines}
    np.testing.assert_allclose(found["mean"], segments["size_mean"])
    counts = [(segments["most_likely"] == name).sum() for name in segments["segment"].values]
    np.testing.assert_array_equal(found["customers with this label"], counts)
    assert "mean and 90 % of 60 draws; level" in note(axes)
    axes = clv.views.plot_segment_sizes(segments, "value").axes[0]
    found = {line.get_label(): line.get_xdata() for line in axes.lines}
    np.testing.assert_allclose(found["mean"], segments["value_total_mean"])
    assert "customers with this label" not in found
    assert axes.get_xlabel() == "total residual value (money)"
    with pytest.raises(clv.InputError, match=r"no total of 'spend' here, but of: value.*totals=\('spend',\)"):
        clv.views.plot_segment_sizes(segments, "spend")


@pytest.fixture(scope="module")
def base(make_buying, make_spending, make_customers):
    draws = clv.simulate(
        make_buying(draws=40),
        make_customers(300),
        spending=make_spending(draws=40),
        margin=0.3,
        draws=60,
        seed=1,
    )
    kinds = clv.rule(
        "kinds", {"none": "purchases == 0", "some": "0 < purchases <= 2", "many": "purchases > 2"}
    )
    return draws, clv.segment(draws, kinds)


def test_the_map_shows_means_and_the_crosses_their_quantiles(base):
    draws, segments = base
    points = quantity_points(draws, "probability_alive", "value")
    axes = clv.views.plot_customer_map(draws, segments, most=15).axes[0]
    dots = axes.collections[0]
    np.testing.assert_allclose(
        dots.get_offsets(), np.column_stack([points["probability_alive_mean"], points["value_mean"]])
    )
    colours = {
        name: mpl.colors.to_rgb(hue)
        for name, hue in zip(segments["segment"].values, drawn.HUES, strict=False)
    }
    np.testing.assert_allclose(
        dots.get_facecolors()[:, :3], [colours[name] for name in segments["most_likely"].to_numpy()]
    )
    across, up = ends(axes.collections[1]), ends(axes.collections[2])
    centres = axes.collections[5].get_offsets()
    assert len(across) == len(up) == len(centres) <= 15
    place = [
        int(
            np.argmin(
                np.abs(points["probability_alive_mean"].to_numpy() - a)
                + np.abs(points["value_mean"].to_numpy() - b)
            )
        )
        for a, b in centres
    ]
    few = points.isel(customer=place)
    np.testing.assert_allclose(
        across[:, :, 0], np.column_stack([few["probability_alive_q05"], few["probability_alive_q95"]])
    )
    np.testing.assert_allclose(up[:, :, 1], np.column_stack([few["value_q05"], few["value_q95"]]))
    assert "50 % and 90 % of 15; levels expected and outcome" in note(axes)


def test_the_map_aligns_segments_by_customer_and_takes_points(base):
    draws, segments = base
    points = quantity_points(draws, "purchase_rate", "purchases")
    turned = segments.isel(customer=slice(None, None, -1))
    asked = {"x": "purchase_rate", "y": "purchases"}
    straight, aligned = (
        clv.views.plot_customer_map(points, each, **asked).axes[0].collections[0]
        for each in (segments, turned)
    )
    np.testing.assert_array_equal(straight.get_facecolors(), aligned.get_facecolors())
    with pytest.raises(
        clv.InputError, match="segments must be what clv.segment returned for these customers"
    ):
        clv.views.plot_customer_map(points, segments.isel(customer=slice(5)), **asked)
    with pytest.raises(clv.InputError, match="no value_mean with quantiles"):
        clv.views.plot_customer_map(points, x="purchase_rate")
    with pytest.raises(clv.InputError, match="'profit' is not known here"):
        clv.views.plot_customer_map(draws, y="profit")
    assert not clv.views.plot_customer_map(points, **asked).legends


def test_crosses_lie_apart(base):
    rng = np.random.default_rng(1)
    across, up = rng.uniform(size=(2, 500))
    chosen = drawn._apart(across, up, 20)
    assert len(set(chosen)) == 20
    gaps = np.hypot(across[chosen][:, None] - across[chosen], up[chosen][:, None] - up[chosen])
    # Twenty at random would lie at least this far apart less than once in a thousand times.
    assert gaps[~np.eye(20, dtype=bool)].min() > 0.1
    # All customers in one place need one cross.
    assert len(drawn._apart(np.zeros(50), np.zeros(50), 20)) == 1


def test_the_ranking_is_in_the_order_of_the_means(base):
    places = clv.segments.rank(base[0], "value")
    left, right = clv.views.plot_ranking(places, most=12).axes
    best = places["value_mean"].to_numpy().argsort()[::-1][:12]
    assert [t.get_text() for t in left.get_yticklabels()] == places["customer"].to_numpy()[best].tolist()
    lines = ends(left.collections[0])
    np.testing.assert_allclose(lines[:, 0, 0], places["rank_q05"].to_numpy()[best])
    np.testing.assert_allclose(lines[:, 1, 0], places["rank_q95"].to_numpy()[best])
    assert len(right.collections[0].get_segments()) == 200
    assert "outcome level; mean and 90 %" in note(left)
    with pytest.raises(clv.InputError, match="no rank_mean here. Give the result of clv.segments.rank"):
        clv.views.plot_ranking(xr.Dataset(attrs={"quantity": "value"}))
