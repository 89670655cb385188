"""Totals over origins: every interval, dot and miss is that of the scores."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

from bayes_clv import views
from bayes_clv.schema import InputError
from bayes_clv.views import style

ORDER = ("forecast", "origin", "horizon")


@pytest.fixture
def scores() -> xr.Dataset:
    """Two fits and a rule at three origins and two horizons; one fit failed at the first origin."""
    days = np.array(["1997-06-30", "1997-08-31", "1997-10-31"], dtype="datetime64[ns]")
    mean = np.array(
        [[[500, 900], [480, 850], [450, 800]], [[520, 950], [500, 870], [470, 820]], [[400, 700]] * 3]
    )
    low, high = (np.where(np.arange(3)[:, None, None] == 2, np.nan, mean + move) for move in (-60.0, 60.0))
    low[1, 0], high[1, 0] = np.nan, np.nan
    real = np.array([[510.0, 905.0], [541.0, 850.0], [600.0, 741.0]])
    return xr.Dataset(
        {
            "total_mean": (ORDER, mean.astype(float)),
            "total_q05": (ORDER, low),
            "total_q95": (ORDER, high),
            "total_observed": (ORDER[1:], real),
        },
        coords={"forecast": ["bg_nbd", "mbg_nbd", "past_rate"], "origin": days, "horizon": [13.0, 26.0]},
        attrs={"time_unit": "week"},
    )


def test_intervals_dots_and_misses_are_those_of_the_scores(scores):
    figure = views.plot_origins(scores)
    first, second = figure.axes
    ends = [
        np.array([s[:, 1] for s in c.get_segments()])
        for c in first.collections
        if len(np.unique(c.get_segments()[0][:, 0])) == 1
    ]
    # Of the rule there is no interval, and of the fit that failed none at the first origin.
    assert [each.tolist() for each in ends] == [
        [[440, 560], [420, 540], [390, 510]],
        [[440, 560], [410, 530]],
    ]
    crosses = [
        line.get_ydata().tolist()
        for line in second.lines
        if line.get_marker() == "X" and len(line.get_xdata())
    ]
    # Real 741 is one below 820 - 60, and above 800 - 60; nothing else misses at 26 weeks.
    assert crosses == [[820.0]]
    dots = [line for line in first.lines if line.get_color() == style.INK and len(line.get_xdata())]
    assert dots[0].get_ydata().tolist() == [510.0, 541.0, 600.0]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["real total", "bg_nbd: 4 of 6 inside", "mbg_nbd: 2 of 4 inside", "miss"]
    assert [axes.get_title("left").strip() for axes in figure.axes] == [
        "The next 13 weeks",
        "The next 26 weeks",
    ]
    assert "outcome level" in " ".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def test_observed_totals_beside_each_forecast_and_horizons_in_words(scores):
    words = scores.assign_coords(horizon=["13 weeks", "26 weeks"])
    words["total_observed"] = words["total_observed"].expand_dims(forecast=scores["forecast"]).copy()
    words["total_observed"].loc[{"forecast": "bg_nbd", "origin": "1997-06-30"}] = np.nan
    figure = views.plot_origins(words)
    dots = [line for line in figure.axes[0].lines if line.get_color() == style.INK and len(line.get_xdata())]
    assert dots[0].get_ydata().tolist() == [510.0, 541.0, 600.0]
    assert figure.axes[1].get_title("left").strip() == "The next 26 weeks"


def test_what_has_no_such_total_is_refused(scores):
    with pytest.raises(InputError, match="no totals of 'money'"):
        views.plot_origins(scores, quantity="money")
    with pytest.raises(InputError, match="no spend_total_mean"):
        views.plot_origins(scores, quantity="spend")
    with pytest.raises(InputError, match="simple rules have none"):
        views.plot_origins(scores.isel(forecast=[2]))
