"""What the page says of customers who change or sleep."""

import numpy as np
import pytest
import xarray as xr

from bayes_clv.views.plots import alarms as timeline
from bayes_clv.views.plots import histories
from bayes_clv.views.reporting import moving, worth
from bayes_clv.views.reporting.decisions import alarms_section
from bayes_clv.views.reporting.gallery import Gallery

SLEEPY = {"r": 0.5, "alpha": 4.0, "a": 0.8, "b": 2.0, "nu": 0.02, "w": 0.0}
DRIFTING = {"r": 0.5, "alpha": 4.0, "kappa": 0.02, "a": 0.8, "b": 2.0}
DATES = ["2025-01-01", "2025-01-15", "2025-02-01"]


def over_customers(**columns):
    size = len(next(iter(columns.values())))
    ids = np.array([f"c{i}" for i in range(size)], dtype=object)
    return xr.Dataset(
        {name: ("customer", np.asarray(each)) for name, each in columns.items()}, {"customer": ids}
    )


def test_how_many_sleep_and_wake_stands_with_value():
    value = over_customers(
        probability_awake=[0.9, 0.3],
        probability_asleep=[0.1, 0.6],
        probability_gone=[0.0, 0.1],
        probability_waking=[0.4, 0.6],
    ).assign_attrs(horizon=39.0, time_unit="week")
    said = worth.value_text(value, "purchases")
    assert (
        "1 customers are awake, 1 asleep and 0 gone for ever; 1 of those asleep wake within 39 weeks" in said
    )
    assert "asleep" not in worth.value_text(value[["probability_awake"]], "purchases")


def test_who_grows_and_who_fades_in_words():
    changes = over_customers(
        probability_growing=[0.9, 0.1, 0.5], probability_fading=[0.0, 0.85, 0.15]
    ).assign_attrs(ago="52 weeks", factor=1.2)
    said = moving.changes_text(changes)
    assert "about 2 of 3 customers buy more than 1.2 times as often, and about 1 less often" in said
    assert "1 and 1 do so with 80 % or more" in said
    assert said.endswith("Most probably fading: c1 (85 %).")
    assert moving.changes_text(None) is None


def test_alarms_of_sleepers_are_of_being_awake(monkeypatch):
    monkeypatch.setattr(Gallery, "add", lambda *_, **__: None)
    alarms = over_customers(
        silence=[20.0, 1.0],
        alarm_silence=[8.0, 9.0],
        alarm_in=[-12.0, 8.0],
        alarmed=[True, False],
        probability_alive=[1.0, 1.0],
        probability_awake=[0.2, 0.9],
        probability_asleep=[0.8, 0.1],
        probability_gone=[0.0, 0.0],
        probability_waking=[0.2, 0.02],
        value_at_risk=[8.0, 1.0],
    ).assign_attrs(of="probability_awake", threshold=0.5, time_unit="week", horizon=26.0)
    found = alarms_section(Gallery(None, False), alarms)
    text = " ".join(found["text"])
    assert "its probability of being awake falls to 0.5" in text
    assert "about 1 are asleep, and will buy again, and 0 are gone for ever" in text
    assert "times the probability of being asleep or gone" in text
    cells = [[cell.text for cell in row] for row in found["table"].rows]
    assert cells[0][:2] == ["c0", "passed"]
    assert "asleep (80 %), back within 26 weeks with 25 %" in cells[0]
    assert timeline.chance_of(alarms) == "P(awake)"
    assert timeline.chance_of(alarms.assign_attrs(of="probability_alive")) == "P(alive)"


@pytest.mark.parametrize(
    ("family", "values", "plot"),
    [
        ("mbg_nbd_drift", DRIFTING, "plot_rate_history"),
        ("mbg_nbd_returns", SLEEPY, "plot_alive_history"),
        ("mbg_nbd", {name: SLEEPY[name] for name in ("r", "alpha", "a", "b")}, "plot_alive_history"),
    ],
)
def test_the_figure_of_a_customer_is_of_its_rate_where_rates_drift(
    make_posterior, make_customers, monkeypatch, family, values, plot
):
    drawn = []
    for name in ("plot_rate_history", "plot_alive_history"):
        monkeypatch.setattr(histories, name, lambda *_, name=name, **__: drawn.append(name))
    monkeypatch.setattr(Gallery, "add", lambda _self, _name, draw, *_, **__: draw())
    buying = make_posterior(family, values, sd=0.0, chains=1, draws=4)
    worth.history_figures(Gallery(None, False), buying, make_customers(2), {"c1": DATES})
    assert drawn == [plot]


def test_over_time_it_is_being_awake_that_falls(make_posterior):
    buying = make_posterior("mbg_nbd_returns", SLEEPY, sd=0.05, chains=1, draws=10)
    path = histories.alive_over_time(buying, DATES, "2025-12-31", points=6)
    assert float(path["mean"][-1]) < 0.5
    figure = histories.plot_alive_history(buying, DATES, "2025-12-31")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "probability of being awake"
