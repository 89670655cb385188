"""The timeline shows each alarm where it is, and the list is sorted by what is at risk."""

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

from matplotlib.dates import date2num

import bayes_clv as clv
from bayes_clv.views.plots import alarms as timeline


def marks(axes, label):
    line = next(line for line in axes.lines if line.get_label() == label)
    x = line.get_xdata()
    return (date2num(x) if np.issubdtype(x.dtype, np.datetime64) else x), line.get_ydata().astype(int)


def test_alarms_lie_at_their_dates_and_the_most_at_risk_comes_first(make):
    alarms = make.alarms()
    figure = clv.views.plot_alarms(alarms, most=25)
    axes, right = figure.axes
    risk = alarms["value_at_risk"].where(np.isfinite(alarms["alarm_in"]), -np.inf).to_numpy()
    order = np.argsort(-risk)[:25]
    ids = alarms["customer"].to_numpy()[order]
    assert [t.get_text()[:5] for t in axes.get_yticklabels()] == [i[:5] for i in ids]
    assert [float(t.get_text()) for t in right.get_yticklabels()] == pytest.approx(risk[order], rel=0.006)
    now = date2num(np.datetime64("1997-09-30"))
    line = next(line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2)
    assert date2num(line.get_xdata()[0]) == now
    wait = alarms["alarm_in"].to_numpy()[order]
    x, rows = marks(axes, "alarm passed")
    np.testing.assert_array_equal(rows, np.flatnonzero(wait <= 0))
    np.testing.assert_allclose(x, now + 7 * wait[rows], atol=1e-4)
    x, rows = marks(axes, "alarm to come")
    assert (wait[rows] > 0).all()
    np.testing.assert_allclose(x, now + 7 * wait[rows], atol=1e-4)
    late = marks(axes, "later than shown")
    assert set(rows) | set(late[1]) == set(np.flatnonzero(wait > 0))
    assert len(set(late[0])) == 1
    assert late[0][0] < now + 7 * wait[late[1]].min()
    bought, rows = marks(axes, "last purchase")
    np.testing.assert_allclose(bought, now - 7 * alarms["silence"].to_numpy()[order], atol=1e-4)
    note = " ".join(t.get_text() for t in axes.texts)
    assert f"passed for {int(alarms['alarmed'].sum())} of 120" in note
    assert "expected level" in note


def test_without_dates_and_value_the_nearest_come_in_time_units(make):
    alarms = make.alarms(dates=False, risk=False)
    figure = clv.views.plot_alarms(alarms, most=12)
    (axes,) = figure.axes
    wait = alarms["alarm_in"].to_numpy()
    nearest = np.sort(wait[np.argsort(np.abs(wait))[:12]])
    shown = {
        row: x
        for label in ("alarm passed", "alarm to come")
        for x, row in zip(*marks(axes, label), strict=True)
    }
    np.testing.assert_allclose([shown[row] for row in range(12)], nearest)
    assert axes.get_xlabel() == "time from now (weeks)"
    assert "nearest to now" in axes.get_title(loc="left")


def test_customers_without_an_alarm_are_left_out(make):
    alarms = make.alarms()
    listed = timeline.listed(alarms, 500)
    assert listed.sizes["customer"] == 108
    assert np.isfinite(listed["alarm_in"]).all()
    with pytest.raises(clv.InputError, match="None of 12 customers has an alarm in sight"):
        clv.views.plot_alarms(alarms.isel(customer=slice(0, None, 10)))
    with pytest.raises(clv.InputError, match="no alarm_in here. Give the result of clv.churn_alarms"):
        clv.views.plot_alarms(alarms.drop_vars("alarm_in"))
    with pytest.raises(clv.InputError, match="most=0"):
        clv.views.plot_alarms(alarms, most=0)


def test_the_real_alarms_end_where_observation_ended(make_buying, cdnow):
    few = cdnow.isel(customer=slice(0, None, 20))
    alarms = clv.churn_alarms(make_buying(draws=20), few)
    listed = timeline.listed(alarms, 30)
    assert timeline._now(listed, "week") == np.datetime64(few.attrs["until"])
