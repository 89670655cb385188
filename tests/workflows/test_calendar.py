"""A run with a calendar: what may be asked for together, and what decides where nobody says."""

from dataclasses import replace

import pytest

import bayes_clv as clv
from bayes_clv.workflows.deciding import (
    decide_calendar,
    decide_method,
    pace_words,
    to_summarize,
    together_words,
    variance_words,
)
from bayes_clv.workflows.running import _fits
from bayes_clv.workflows.settings import Settings, check_settings, open_choice


class Stages:
    """Stages that tell nobody."""

    def stage(self, _name):
        from contextlib import nullcontext

        return nullcontext()


@pytest.fixture
def settings():
    return Settings(orders=clv.load_cdnow(), until="1997-09-30")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"drift": True, "family": "pareto_nbd"}, "with drift does not go by a calendar"),
        ({"returns": True, "family": "nbd"}, "has no form with returns"),
        ({"method": "mode"}, "cannot be fitted by"),
        ({"family": "pareto_abe"}, "does not go by a calendar"),
    ],
)
def test_what_cannot_be_had_together_is_refused_at_once(settings, given, message):
    with pytest.raises(clv.InputError, match=message):
        check_settings(replace(settings, calendar=True, **given))


def test_with_a_calendar_the_choice_is_among_families_that_go_by_one(settings):
    among, tried = open_choice(replace(settings, calendar=True))
    assert among == ["bg_nbd", "mbg_nbd", "pareto_nbd"]
    assert tried == []
    drifting = replace(settings, calendar=True, drift=True)
    assert open_choice(drifting) == (["bg_nbd", "mbg_nbd"], [])
    check_settings(drifting)
    returning = replace(settings, calendar=True, returns=True)
    assert open_choice(returning) == (["bg_nbd", "mbg_nbd"], [])
    check_settings(returning)


@pytest.mark.parametrize("change", ["drift", "returns"])
def test_a_change_and_a_calendar_are_fitted_where_both_are_asked_for(settings, change):
    both = replace(
        settings, family="mbg_nbd", calendar=True, **{"drift": False, "returns": False, change: True}
    )
    check_settings(both)
    assert set(to_summarize(both)) >= {"purchase_times", "periods"}
    seeds = {"buying": 1, "spending": 2}
    asked = _fits(both, clv.summarize(settings.orders, until="1997-09-30"), seeds, False)["buying"]
    assert asked.args[0] == f"mbg_nbd_{change}"
    assert asked.keywords["calendar"] == clv.inference.Calendar()


def test_the_weeks_decide_where_nobody_says(settings):
    customers = clv.summarize(settings.orders, until="1997-09-30", also=("periods",))
    plain = replace(settings, family="bg_nbd", drift=False)
    chosen, found = decide_calendar(plain, None, customers, Stages())
    assert chosen.calendar is True
    assert "spread" in pace_words(found)
    assert ": a calendar (" in pace_words(found)
    for other in (
        {"calendar": False},
        {"family": "pareto_nbd"},
        {"family": "pareto_nbd", "drift": True},
        {"family": "bg_nbd", "method": "mode"},
    ):
        given = replace(settings, **{"family": "bg_nbd"} | other)
        asked, found = decide_calendar(given, None, customers, Stages())
        assert asked.calendar is False
        assert found is None


@pytest.mark.parametrize(("gain", "gives_way"), [(0.004, True), (0.006, False)])
def test_drift_that_gains_next_to_nothing_gives_way_to_a_calendar(settings, gain, gives_way):
    customers = clv.summarize(settings.orders, until="1997-09-30", also=("periods",))
    drifting = replace(settings, family="bg_nbd", drift=True)
    choice = {"chosen": "bg_nbd_drift", "candidates": {"bg_nbd_drift": {"crps": 1.0, "crps_gain": gain}}}
    chosen, found = decide_calendar(drifting, choice, customers, Stages())
    assert (chosen.calendar, chosen.drift) == (True, not gives_way)
    assert (
        ": a calendar, in place of drift (" if gives_way else ": a calendar, beside drift ("
    ) in pace_words(found)


@pytest.mark.parametrize("change", ["drift", "returns"])
def test_a_change_that_is_asked_for_has_a_calendar_beside_it_where_weeks_ask(settings, change):
    customers = clv.summarize(settings.orders, until="1997-09-30", also=("periods",))
    changing = replace(settings, family="bg_nbd", **{change: True})
    chosen, found = decide_calendar(changing, None, customers, Stages())
    assert chosen.calendar
    assert getattr(chosen, change)
    assert f": a calendar, beside {change} (" in pace_words(found)


@pytest.mark.parametrize("change", ["drift", "returns"])
def test_nuts_is_the_method_but_of_a_change_and_a_calendar_in_one_fit(settings, change):
    unsaid = replace(settings, method=None, calendar=True, **{change: True})
    assert decide_method(unsaid).method == "laplace"
    assert decide_method(replace(unsaid, calendar=False)).method == "nuts"
    assert decide_method(replace(unsaid, method="nuts")).method == "nuts"


def test_the_split_of_a_variance_is_said():
    words = variance_words({"calendar": 0.6, "unknown": 0.3, "chance": 0.1})
    assert "60 % is what the calendar will do, 30 % what the data" in words
    assert "10 % the chance of single customers" in words


def test_it_is_said_by_what_a_change_and_a_calendar_are_fitted():
    both = Settings("orders.csv", family="mbg_nbd", returns=True, drift=False, calendar=True)
    assert together_words(decide_method(both)) == (
        "Customers fall asleep and come back, and all move with a calendar: fitted by laplace (--method nuts takes "
        "minutes)."
    )
    drifting = replace(both, returns=False, drift=True, method="nuts")
    assert together_words(drifting) == (
        "Customers' rates drift, and all move with a calendar: fitted by nuts."
    )
    assert together_words(replace(both, returns=False)) is None
