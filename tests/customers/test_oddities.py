"""What is possible and hardly meant is said; what is plainly a shop's log is not."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.customers.oddities import oddities
from bayes_clv.views.reporting.checks import prediction_problems


def codes(customers):
    return [each.code for each in oddities(customers)]


@pytest.fixture(scope="module")
def orders():
    rng = np.random.default_rng(11)
    size = 1200
    return pd.DataFrame(
        {
            "customer_id": rng.integers(0, 300, size).astype(str),
            "date": np.datetime64("2023-01-01") + rng.integers(0, 400, size),
            "spend": rng.gamma(3, 10, size) + 0.01,
        }
    )


def summarized(orders, **options):
    return clv.summarize(orders, time_unit="day", also=("purchase_times",), **options)


def test_a_plain_log_is_not_odd(orders):
    assert codes(summarized(orders)) == []
    known = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("purchase_times",))
    assert codes(known) == []


@pytest.mark.parametrize(
    ("day", "where"), [("2099-12-31", "after"), ("2031-01-01", "after"), ("1999-01-01", "before")]
)
def test_a_mistyped_year(orders, day, where):
    wrong = orders.assign(date=orders["date"].astype(str))
    wrong.loc[5, "date"] = day
    (found,) = oddities(summarized(wrong))
    assert found.code == "dates_far"
    assert (found.numbers["day"], found.numbers["where"], found.numbers["customers"]) == (day, where, 1)
    assert found.numbers["example"] == wrong.loc[5, "customer_id"]


def test_one_account(orders):
    guests = orders.assign(customer_id=orders["customer_id"].where(orders.index % 4 > 0, "guest"))
    (found,) = oddities(summarized(guests))
    assert (found.code, found.numbers["customer"]) == ("one_account", "guest")
    wholesale = orders.assign(spend=orders["spend"].where(orders.index != 9, 30_000.0))
    assert [each.numbers["what"] for each in oddities(summarized(wholesale))] == ["spend"]


def test_a_subscription():
    days = [(i, 3 * i + 30 * n + n % 2) for i in range(60) for n in range(3 + i % 6)]
    rows = [(str(i), np.datetime64("2023-01-01") + np.timedelta64(day, "D"), 9.9) for i, day in days]
    orders = pd.DataFrame(rows, columns=["customer_id", "date", "spend"])
    (found,) = oddities(summarized(orders))
    assert found.code == "regular"
    assert found.numbers["every"] == pytest.approx(30, abs=1)


def test_a_base_of_ten(orders):
    some = orders[orders["customer_id"].isin([str(i) for i in range(10)])]
    (found,) = oddities(summarized(some))
    assert (found.code, found.numbers["customers"]) == ("few_customers", 10)


def test_accounts_that_never_pay(orders):
    free = orders.assign(spend=orders["spend"].where(orders["customer_id"].astype(int) % 50 > 0, 0.0))
    (found,) = oddities(summarized(free))
    assert (found.code, found.numbers["customers"]) == ("never_paid", 6)
    some = orders.assign(spend=orders["spend"].where(orders["customer_id"] != "7", 0.0))
    assert codes(summarized(some)) == []


def test_a_base_without_one_time_buyers(orders):
    customers = summarized(orders)
    again = customers.isel(customer=customers["frequency"].values > 0)
    assert codes(again) == ["no_one_time"]
    counted = customers.assign(frequency=customers["frequency"] + 1).drop_vars("purchase_start")
    assert codes(counted) == ["no_one_time"]


def test_spend_without_a_mean(orders):
    customers = summarized(orders)
    size = customers.sizes["customer"]
    uniform = (np.arange(size) + 0.5) / size
    for exponent, wanted in ((0.7, ["spend_tail"]), (1.6, [])):
        spend = customers["monetary_value"].copy(data=uniform ** (-1 / exponent))
        made = customers.assign(monetary_value=spend).drop_vars("historical_spend")
        assert codes(made) == wanted


def test_an_hour_is_a_twenty_fourth_of_a_day(orders):
    timed = orders.assign(date=orders["date"].astype("datetime64[s]") + np.timedelta64(5, "h"))
    assert "Orders with a time of day" in clv.summarize(timed, time_unit="hour").attrs["audit"]
    assert "time of day" not in clv.summarize(orders, time_unit="hour").attrs["audit"]
    assert "time of day" not in clv.summarize(timed, time_unit="day").attrs["audit"]


def test_doubled_rows_are_said(orders):
    twice = pd.concat([orders, orders])
    assert '"rows": 1200' in clv.summarize(twice).attrs["audit"].split("equal to another one")[1]
    assert "equal to another one" not in clv.summarize(orders).attrs["audit"]
    # Two orders of a day that differ are none.
    other = pd.concat([orders, orders.assign(spend=orders["spend"] + 1)])
    assert "equal to another one" not in clv.summarize(other).attrs["audit"]


def test_more_purchases_than_days():
    expected = xr.Dataset({"purchases_mean": ("customer", [3.0, 29.0])}, {"customer": ["a", "b"]})
    value = expected.assign_attrs(time_unit="week", horizon=4.0, reasons=[])
    (found,) = prediction_problems(value)
    assert (found.code, found.numbers["example"], found.numbers["days"]) == ("more_than_days", "b", 28.0)
    assert prediction_problems(value.assign_attrs(horizon=5.0)) == []
    assert prediction_problems(value.assign_attrs(time_unit="unstated")) == []


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ({"margin": 1.0, "annual_discount_rate": 0.5, "horizon": 200.0}, []),
        ({"margin": 1.5}, ["margin_above_one"]),
        ({"annual_discount_rate": 1.2}, ["rate_above_half"]),
        ({"horizon": 201.0}, ["far_horizon"]),
        # A lifetime is asked as one, and has no end.
        ({"horizon": float("inf")}, []),
    ],
)
def test_what_is_asked_and_hardly_meant(asked, codes):
    value = xr.Dataset({"T": ("customer", [39.0, 40.0])}, {"customer": [1, 2]})
    found = prediction_problems(value.assign_attrs({"time_unit": "week", "horizon": 39.0} | asked))
    assert [each.code for each in found] == codes


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("ann\u200b", r"'ann\u200b'"),
        ("\ufeffann", r"'\ufeffann'"),
        ("\u00a0ann", r"'\xa0ann'"),
        ('="ann"', "'=\"ann\"'"),
        ("\u201cann\u201d", r"'\u201cann\u201d'"),
        ("'ann'", "\"'ann'\""),
    ],
)
def test_one_customer_written_in_two_ways(orders, written, shown):
    """No door tells them apart by itself: each spelling is a customer, which is said, with both as they are."""
    named = orders.copy()
    named.loc[named.index[:10], "customer_id"] = ["ann", written] * 5
    (found,) = oddities(summarized(named))
    assert (found.code, found.numbers["customers"]) == ("alike_ids", 2)
    assert {found.numbers["one"], found.numbers["other"]} == {"'ann'", shown}


def test_letters_in_one_character_and_in_two_and_addresses_in_capitals(orders):
    for pair in (("Ren\u00e9", "Rene\u0301"), ("Ann@shop.example", "ann@Shop.example")):
        named = orders.copy()
        named.loc[named.index[:10], "customer_id"] = list(pair) * 5
        assert codes(summarized(named)) == ["alike_ids"]
    # Capitals tell ids apart that are no addresses, and so do accents.
    named.loc[named.index[:10], "customer_id"] = ["0015A", "0015a", "Rene", "Ren\u00e9", "o'neil"] * 2
    assert codes(summarized(named)) == []


@pytest.mark.parametrize(
    ("day", "where"), [("1970-01-01", "before"), ("1900-01-01", "before"), ("2099-12-31", "after")]
)
def test_a_day_that_stands_for_none_may_be_of_many(orders, day, where):
    placed = orders.assign(date=orders["date"].where(np.arange(len(orders)) % 25 > 0, pd.Timestamp(day)))
    found = [each for each in oddities(clv.summarize(placed)) if each.code == "dates_far"]
    assert [(each.numbers["day"], each.numbers["where"]) for each in found] == [(day, where)]


def test_a_base_that_came_on_one_day_is_not_far(orders):
    """Its first day is of everybody, and who came back did so much later."""
    late = pd.DataFrame({"customer_id": range(300), "date": pd.Timestamp("2020-01-01"), "spend": 1.0})
    back = late.assign(date=pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(300) % 90, "D"))
    assert "dates_far" not in [each.code for each in oddities(clv.summarize(pd.concat([late, back])))]


def test_ids_that_a_spreadsheet_has_shortened(orders):
    ids = orders["customer_id"].astype(str).where(np.arange(len(orders)) % 9 > 0, "1.23457E+12")
    found = [
        each for each in oddities(clv.summarize(orders.assign(customer_id=ids))) if each.code == "short_ids"
    ]
    assert [(each.numbers["customers"], each.numbers["one"]) for each in found] == [(1, "1.23457E+12")]


@pytest.mark.parametrize("again", ["0{}", "{}.0"])
def test_a_number_in_two_spellings(orders, again):
    ids = orders["customer_id"].astype(str)
    ids = ids.where(np.arange(len(orders)) % 5 > 0, ids.map(again.format))
    assert "alike_ids" in [each.code for each in oddities(clv.summarize(orders.assign(customer_id=ids)))]


def test_subtotals_with_a_date(orders):
    sums = orders.groupby("customer_id", as_index=False).agg(date=("date", "max"), spend=("spend", "sum"))
    whole = pd.concat([orders, sums.assign(customer_id=sums["customer_id"] + " Total")])
    (found,) = [each for each in oddities(clv.summarize(whole)) if each.code == "total_rows"]
    assert found.numbers["customers"] == len(sums)
    assert "total_rows" not in [each.code for each in oddities(clv.summarize(orders))]
