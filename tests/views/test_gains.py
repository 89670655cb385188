"""The gain curve shows what was decided."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.targeting.gain import gain_curve


@pytest.fixture(scope="module")
def decision():
    rng = np.random.default_rng(1)
    labels = np.array([f"s{i:02d}" for i in range(22)], dtype=object)
    uplift = rng.normal(1.0, 0.8, 22) + rng.normal(0, 0.5, (1, 200, 22))
    dims = ("chain", "draw", "segment")
    place = rng.integers(0, 22, 500)
    added = xr.Dataset(
        {
            "uplift": (dims, uplift),
            "conversion_control": (dims, np.full(uplift.shape, 0.1)),
            "conversion_treated": (dims, np.clip(0.1 + uplift / 40, 0, 1)),
            "spend_control": (dims, np.full(uplift.shape, 40.0)),
            "spend_treated": (dims, np.full(uplift.shape, 40.0)),
            "outcome_control": (dims, np.full(uplift.shape, 4.0)),
            "spend_shape": (("chain", "draw"), np.full((1, 200), 1.5)),
            "customer_segment": ("customer", labels[place]),
            "scale": ("customer", np.ones(500)),
        },
        {"chain": [0], "draw": np.arange(200), "segment": labels, "customer": [f"c{i}" for i in range(500)]},
    )
    return clv.target(added, cost=1.0, budget=150.0)


def test_the_lines_are_the_curves(decision):
    left, right = clv.views.plot_gain(decision).axes
    lines = {line.get_label(): line for line in left.lines}
    curve = gain_curve(decision)
    np.testing.assert_allclose(
        lines["by expected gain, 90 % band"].get_ydata(), curve["net_gain"].mean(("chain", "draw"))
    )
    (dot,) = [line for label, line in lines.items() if label.startswith("decided")]
    assert dot.get_xdata()[0] == int(decision["contacted"].sum()) == 150
    assert dot.get_ydata()[0] == pytest.approx(float(decision["net_gain_total"].mean()))
    assert "level: expected; budget 150" in left.texts[0].get_text()
    # 20 of 22 segments are shown, and the heading says so.
    assert len(right.get_yticks()) == 20
    assert "the 20 largest" in right.texts[0].get_text()


def test_another_dataset_is_refused(decision):
    with pytest.raises(clv.InputError, match="result of clv.target"):
        clv.views.plot_gain(decision.drop_vars("uplift"))
