"""Labels of a log axis stand beside each other, whatever the amounts and however narrow the panel."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from bayes_clv import views


@pytest.mark.parametrize(
    ("middle", "spread"),
    [(6.0, 0.8), (7.0, 1.2), (7.6, 0.7), (13.0, 0.6), (1.0, 2.0), (-4.0, 1.0), (9.0, 4.0), (7.0, 0.02)],
)
@pytest.mark.parametrize("alone", [True, False])
def test_ticks_do_not_overprint(middle, spread, alone):
    means = np.random.default_rng(1).lognormal(middle, spread, 600)
    value = xr.Dataset({"value_mean": ("customer", means)}, {"customer": np.arange(600).astype(str)})
    if not alone:
        value["value_total"] = (("chain", "draw"), np.random.default_rng(2).normal(means.sum(), 1.0, (2, 50)))
    figure = views.plot_value_distribution(value)
    figure.canvas.draw()
    ax = figure.axes[0]
    assert not any("e+" in text.get_text() for text in ax.texts)
    low, high = ax.get_xlim()
    shown = [
        label
        for tick, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        if low <= tick <= high and label.get_text()
    ]
    assert len(shown) >= 2
    places = [each.get_window_extent(figure.canvas.get_renderer()) for each in shown]
    gaps = [right.x0 - left.x1 for left, right in pairwise(places)]
    # Three points at the least, in pixels.
    assert min(gaps) > 3 * figure.dpi / 72
    assert all("," in each.get_text() or float(each.get_text()) < 1000 for each in shown)
