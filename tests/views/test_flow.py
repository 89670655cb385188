"""The figures of the flow say what its dataset says."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection

import bayes_clv as clv
from bayes_clv.segments.flows import _dataset
from bayes_clv.views.plots.flow import _apart

STAGES = ["first purchase", "repeat", "loyal", "at risk", "lapsed"]


def made(counts, known="now", stages=STAGES):
    """A flow with these means: (prospect and stages) × (stages and won back)."""
    rng = np.random.default_rng(1)
    result = _dataset(
        rng.poisson(counts, (200, *np.shape(counts))), ["prospect", *stages], [*stages, "won back"]
    )
    result.attrs = {"rule": "Lifecycle", "known": known, "level": "latent", "from_date": "1997-06-30"}
    result.attrs["to_date"] = "1997-12-31"
    return result


COUNTS = np.array(
    [
        [120, 30, 4, 6, 10, 0],
        [300, 80, 9, 20, 60, 0],
        [0, 150, 60, 15, 40, 0],
        [0, 0, 110, 12, 25, 0],
        [0, 8, 14, 5, 20, 0],
        [0, 0, 0, 1, 700, 35],
    ]
)


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("known", ["now", "then"])
def test_ribbons_are_as_wide_as_the_flow(known):
    flow = made(COUNTS, known)
    figure = clv.views.plot_flow(flow)
    ax = figure.axes[0]
    mean = flow["flow_mean"].to_numpy()
    ribbons = [each for each in ax.collections if isinstance(each, PolyCollection)]
    widths = []
    for ribbon in ribbons:
        points = ribbon.get_paths()[0].vertices
        left = points[np.isclose(points[:, 0], points[:, 0].min())]
        widths.append(np.ptp(left[:, 1]))
    np.testing.assert_allclose(sorted(widths), np.sort(mean[mean > 0]), rtol=1e-9)
    written = texts(figure)
    largest = flow["flow_mean"].sel(from_segment="lapsed", to_segment="lapsed")
    low, high = (
        float(flow[f"flow_{q}"].sel(from_segment="lapsed", to_segment="lapsed")) for q in ("q05", "q95")
    )
    assert f"{float(largest):,.0f} ({low:,.0f}–{high:,.0f})" in written
    # Every segment on either side with its size, and the level.
    for side in ("from", "to"):
        for name in flow[f"{side}_segment"].values:
            size = float(flow[f"{side}_size_mean"].sel({f"{side}_segment": name}))
            assert any(text.startswith(f"{name}\n{size:,.0f} (") for text in written), name
    note = next(text for text in written if text.startswith("level"))
    assert "level: latent; mean and 90 % interval" in note
    assert ("label given then" in note) == (known == "then")


def test_labels_do_not_overlap():
    """Of segments nearly empty too: their boxes, as drawn, are apart."""
    counts = np.full((8, 8), 0.4)
    counts[7, 6] = 900
    figure = clv.views.plot_flow(made(counts, stages=[f"stage {i}" for i in range(7)]))
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    labels = [
        text for text in figure.axes[0].texts if text.get_text().startswith(("stage", "prospect", "won"))
    ]
    assert len(labels) == 16
    boxes = [text.get_window_extent(renderer) for text in labels]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :]), labels[i].get_text()


def test_the_table_has_every_pair():
    flow = made(COUNTS)
    figure = clv.views.plot_flow(flow, kind="table")
    written = texts(figure)
    for i, j in np.ndindex(COUNTS.shape):
        low, high = (float(flow[f"flow_{q}"][i, j]) for q in ("q05", "q95"))
        if COUNTS[i, j]:
            assert any(text.endswith(f"\n({low:,.0f}–{high:,.0f})") for text in written)
    assert written.count("–") == (COUNTS == 0).sum()
    # A row of nobody is left out.
    alone = made(np.vstack([np.zeros(6), COUNTS[1:]]))
    labels = [text.get_text() for text in clv.views.plot_flow(alone, kind="table").axes[0].get_yticklabels()]
    assert labels == STAGES


def test_labels_keep_their_order_and_distance():
    heights = _apart(np.array([0.0, 1.0, 1.5, 50.0]), 10.0, 60.0)
    assert (np.diff(heights) >= 10 - 1e-9).all()
    # The first three would share what they are moved by, but for the upper end.
    np.testing.assert_allclose(heights[:3], [0, 10, 20])
    np.testing.assert_allclose(_apart(np.array([20.0, 21.0, 21.5]), 10.0, 60.0).mean(), 62.5 / 3)
    assert heights[3] == 50
    assert _apart(np.array([5.0]), 10.0, 60.0)[0] == 5


def test_what_is_no_flow_is_refused():
    with pytest.raises(clv.InputError, match="result of clv.segments.flow"):
        clv.views.plot_flow(xr.Dataset())
    with pytest.raises(clv.InputError, match="kind='pie'"):
        clv.views.plot_flow(made(COUNTS), kind="pie")
