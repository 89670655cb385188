"""The door of columns over time: what a table says, what is refused, and what is planned."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.customers.over_time import checked_changes, known_for, names_over_time
from bayes_clv.customers.tables import check_customers
from bayes_clv.inference.posterior import read_customers, write_customers
from bayes_clv.schema import InputError

# Weeks end on 1997-03-31; b came on the day on which its price is said.
ORDERS = pd.DataFrame(
    {
        "customer_id": ["a", "a", "b", "c", "c"],
        "date": ["1997-01-01", "1997-03-01", "1997-02-10", "1997-01-15", "1997-01-20"],
    }
)
PRICES = pd.DataFrame(
    {
        "customer_id": ["a", "a", "a", "b", "c", "b"],
        "date": ["1996-06-01", "1997-01-01", "1997-02-01", "1997-02-10", "1996-12-31", "1997-04-07"],
        "price": [7.0, 8.0, 9.0, 8.0, 8.0, 10.0],
    }
)
MAILS = pd.DataFrame(
    {"customer_id": ["a", "a"], "date": ["1997-01-11", "1997-02-18"], "mails": [True, False]}
)


@pytest.fixture(scope="module")
def customers():
    return clv.summarize(ORDERS, until="1997-03-31", time_unit="day", spend=None, also=("purchase_times",))


@pytest.fixture(scope="module")
def priced(customers):
    return clv.customers.with_columns_over_time(customers, PRICES)


def path(customers, row, name):
    """Return from when a customer's values hold, and the values."""
    begin, start, values = checked_changes(customers, [name])
    end = next((i for i in range(start[row] + 1, begin.size) if begin[i] == -np.inf), begin.size)
    return list(zip(begin[start[row] : end].tolist(), values[name][start[row] : end].tolist(), strict=True))


def test_a_value_holds_from_its_day_on_and_what_was_before_the_first_purchase_is_gone(priced):
    # The value of 1997-02-01 holds from the end of the day before, 59 days before the end of 1997-03-31.
    assert path(priced, 0, "price") == [(-np.inf, 8.0), (-59.0, 9.0)]
    assert path(priced, 1, "price") == [(-np.inf, 8.0), (6.0, 10.0)]
    assert path(priced, 2, "price") == [(-np.inf, 8.0)]
    # The plan of b says to which day prices are known.
    assert known_for(priced, ["price"]) == 7.0


def test_equal_paths_are_one_and_customers_can_be_chosen_and_ordered(customers):
    same = pd.DataFrame({"customer_id": ["c", "a"], "date": "1997-01-01", "price": 8.0})
    found = clv.customers.with_columns_over_time(customers, same, before={"price": 8.0})
    assert found.sizes["change"] == 1
    assert set(found["change_start"].values.tolist()) == {0}
    priced = clv.customers.with_columns_over_time(customers, PRICES)
    turned = priced.isel(customer=[1, 0])
    assert path(turned, 1, "price") == path(priced, 0, "price")
    check_customers(turned)


def test_columns_of_two_tables_keep_their_own_days(priced):
    both = clv.customers.with_columns_over_time(priced, MAILS, before=0)
    assert names_over_time(both) == ("price", "mails")
    assert path(both, 0, "price") == [(-np.inf, 8.0), (-80.0, 8.0), (-59.0, 9.0), (-42.0, 9.0)]
    assert path(both, 0, "mails") == [(-np.inf, 0.0), (-80.0, 1.0), (-59.0, 1.0), (-42.0, 0.0)]
    assert (known_for(both, ["price"]), known_for(both, ["mails"])) == (7.0, 0.0)


def test_they_are_saved_with_the_customers(priced, tmp_path):
    again = read_customers(write_customers(priced, tmp_path / "customers.nc"))
    assert again.identical(priced)


def test_a_plan_takes_the_place_of_what_was_known_of_the_future(priced):
    both = clv.customers.with_columns_over_time(priced, MAILS, before=0)
    later = pd.DataFrame(
        {"customer_id": ["b", "c"], "date": ["1997-04-03", "1997-05-01"], "price": [5.0, 6.0]}
    )
    planned = clv.customers.with_plan(both, later)
    assert path(planned, 1, "price") == [(-np.inf, 8.0), (2.0, 5.0)]
    assert path(planned, 0, "price") == path(both, 0, "price")
    assert path(planned, 0, "mails") == path(both, 0, "mails")
    assert (known_for(planned, ["price"]), known_for(planned, ["mails"])) == (31.0, 0.0)
    everybody = clv.customers.with_plan(planned, {"price": 1.0})
    assert path(everybody, 1, "price") == [(-np.inf, 8.0), (0.0, 1.0)]
    assert known_for(everybody, ["price"]) == np.inf
    carried = clv.customers.with_plan(both, "carry_forward", "mails")
    assert known_for(carried, ["mails"]) == np.inf
    assert known_for(carried, ["price", "mails"]) == 7.0
    # Nothing is edited in place.
    assert known_for(both, ["mails"]) == 0.0


def changed(**columns):
    return PRICES.assign(**columns)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (changed(date=["?", *PRICES["date"][1:]]), "1 of 6 dates cannot be read, for example '?'"),
        (changed(date=[None, *PRICES["date"][1:]]), "1 of 6 dates cannot be read"),
        (changed(date=range(6)), "The dates are numbers, for example 0"),
        (changed(date=pd.to_datetime(PRICES["date"]).dt.tz_localize("UTC")), "The dates have a time zone"),
        (changed(price=[np.nan, *PRICES["price"][1:]]), "'price' is missing or infinite in 1 of 6 rows"),
        (changed(price=[np.inf, *PRICES["price"][1:]]), "of customer 'a' on 1996-06-01"),
        (changed(price=["x", *PRICES["price"][1:]]), "1 of 6 values that are not numbers, for example 'x'"),
        (changed(date="1996-01-01"), "3 of 6 rows are of a customer and day that are there already"),
        (changed(customer_id=["z", *PRICES["customer_id"][1:]]), "1 of 6 rows are of customers who are not"),
        (PRICES.drop(columns="date"), "no column 'date'"),
        (PRICES.drop(columns="price"), "no column beside customer_id and date"),
        (PRICES[PRICES["customer_id"] != "c"], "1 of 3 customers have no 'price' at their first purchase"),
        (changed(date=pd.to_datetime(PRICES["date"]) + pd.Timedelta(days=5)), "'b', who came on 1997-02-10"),
        (PRICES.rename(columns={"price": "recency"}), "'recency' means something else"),
        (PRICES.rename(columns={"price": "change"}), "'change' cannot be the name of a column here"),
        (PRICES.to_dict(), "given was dict"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_number_and_one_of_it(customers, table, said):
    with pytest.raises(InputError) as refused:
        clv.customers.with_columns_over_time(customers, table)
    assert said in str(refused.value)


def test_rows_of_others_can_be_left_out(customers):
    more = pd.concat([PRICES, PRICES.assign(customer_id="z")])
    found = clv.customers.with_columns_over_time(customers, more, others="leave_out")
    assert found.identical(clv.customers.with_columns_over_time(customers, PRICES))
    with pytest.raises(InputError, match="others='some'"):
        clv.customers.with_columns_over_time(customers, more, others="some")


def test_plans_that_are_none_are_refused(customers, priced):
    for plan, said in (
        (PRICES, "5 of 6 rows are not, for example of 1996-06-01"),
        (PRICES[:0], "No row is"),
        ({"prise": 1.0}, "'prise', which is no column over time of these customers. They have price"),
        ({"price": np.nan}, "'price' must be a finite number"),
        ("stay", "plan='stay' is not known"),
    ):
        with pytest.raises(InputError) as refused:
            clv.customers.with_plan(priced, plan)
        assert said in str(refused.value)
    with pytest.raises(InputError, match="no columns over time"):
        clv.customers.with_plan(customers, "carry_forward")


def test_customers_without_an_end_and_columns_that_were_edited_are_refused(customers, priced):
    with pytest.raises(InputError, match="end of observation and time unit are known"):
        clv.customers.with_columns_over_time(customers.drop_attrs(), PRICES)
    with pytest.raises(InputError, match="'price' already: clv.customers.with_plan"):
        clv.customers.with_columns_over_time(priced, PRICES)
    for edited in (
        priced.assign(change_start=priced["change_start"] + 1),
        priced.assign(change_time=-priced["change_time"]),
        priced.drop_vars("change_start"),
    ):
        with pytest.raises(InputError, match="do not say from when whose values hold"):
            checked_changes(edited, ["price"])
    with pytest.raises(InputError, match="missing or infinite in 5 of 5 rows over time"):
        checked_changes(priced.assign(price=priced["price"] * np.nan), ["price"])
    with pytest.raises(
        InputError, match="no column 'mails' that changes over time. Those that change are price"
    ):
        checked_changes(priced, ["mails"])
    with pytest.raises(InputError, match="one value a customer, and does not change"):
        checked_changes(priced.assign(age=("customer", np.zeros(3))), ["age"])
