"""Tables made elsewhere: accepted as they are, or refused with the reason."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv.customers as door
from bayes_clv.customers.tables import check_customers
from bayes_clv.schema import InputError


def table(**changes):
    columns = {
        "frequency": [2, 1, 0],
        "recency": [30.43, 1.71, 0.0],
        "T": [38.86, 38.86, 38.71],
        "monetary_value": [22.35, 11.77, 0.0],
    }
    return pd.DataFrame(columns | changes)


def refusal(frame, **options):
    with pytest.raises(InputError) as caught:
        door.from_table(frame, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_it_returns():
    customers = door.from_table(table(customer_id=["b", "c", "a"]), time_unit="weeks")
    assert customers["customer"].to_numpy().tolist() == ["a", "b", "c"]
    assert customers["customer"].dtype == object
    assert customers["frequency"].to_numpy().tolist() == [0, 2, 1]
    assert customers["frequency"].dtype == np.int64
    assert customers["recency"].to_numpy().tolist() == [0.0, 30.43, 1.71]
    assert np.isnan(customers["monetary_value"].to_numpy()[0])
    assert customers["T"].attrs["units"] == "week"
    assert customers.attrs["time_unit"] == "week"


def test_unit_is_unstated_unless_stated():
    assert door.from_table(table()).attrs["time_unit"] == "unstated"
    assert "Time unit 'fortnight' is not known" in refusal(table(), time_unit="fortnight")


def test_without_spend():
    assert list(door.from_table(table().drop(columns="monetary_value"))) == [
        "frequency",
        "recency",
        "T",
    ]


def test_a_summary_comes_back_from_its_table():
    customers = door.summarize(door.load_cdnow(), until="1997-09-30")
    names = ["frequency", "recency", "T", "monetary_value"]
    frame = customers[names].to_dataframe()
    again = door.from_table(frame, time_unit="week")
    xr.testing.assert_equal(again, customers[names])
    door.check(customers)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([3, 1, 2], "123"), ([3.0, 1.0, 2.0], "123"), (["3", " 1", "2 "], "123")],
)
def test_ids_are_text(ids, expected):
    by_column = door.from_table(table(customer_id=ids))
    by_index = door.from_table(table().set_index(pd.Index(ids)))
    assert by_column["customer"].to_numpy().tolist() == list(expected)
    xr.testing.assert_identical(by_column, by_index)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"frequency": [2, np.nan, 0]},
            ["'frequency' is missing (NaN) for 1 of 3 customers", "customer '1'"],
        ),
        ({"T": [np.inf, 38.86, 38.71]}, ["'T' is infinite for 1 of 3 customers", "customer '0' with T inf"]),
        ({"recency": [-1, 1.71, 0]}, ["'recency' is negative for 1 of 3"]),
        ({"frequency": [2, 1.5, 0]}, ["'frequency' is not whole for 1 of 3", "frequency 1.5"]),
        (
            {"frequency": ["2", "many", "0"]},
            ["Column 'frequency' has 1 of 3 values that are not numbers", "'many'"],
        ),
        (
            {"recency": pd.to_timedelta([3, 2, 0], unit="D")},
            ["Column 'recency' has 3 of 3 values that are not numbers"],
        ),
        (
            {"recency": [39.0, 1.71, 0]},
            ["'recency' is above T for 1 of 3", "recency 39 and T 38.86", "same unit"],
        ),
        (
            {"recency": [30.43, 1.71, 3.0]},
            ["above 0 although frequency is 0 for 1 of 3", "customer '2' with recency 3"],
        ),
        (
            {"recency": [30.43, 0.0, 0.0]},
            ["'recency' is 0 although frequency is above 0 for 1 of 3", "subtract 1"],
        ),
        (
            {"recency": [8.43, 37.15, 38.7]},
            ["close to T although frequency is 0", "RFM", "recency = T - recency"],
        ),
        (
            {"monetary_value": [22.35, np.nan, 0]},
            ["'monetary_value' is missing (NaN) for 1 of 3", "mean spend"],
        ),
        ({"monetary_value": [22.35, -1, 0]}, ["'monetary_value' is negative for 1 of 3"]),
        ({"monetary_value": [np.inf, 1, 0]}, ["'monetary_value' is infinite for 1 of 3"]),
        ({"customer_id": ["a", "b", "a"]}, ["1 row has the id of an earlier one, for example 'a'"]),
        ({"customer_id": [1, 2.0, "1"]}, ["1 row has the id of an earlier one, for example '1'"]),
        ({"customer_id": ["a", None, "nan"]}, ["2 of 3 customers have no id"]),
    ],
)
def test_histories_that_cannot_be(changes, parts):
    message = refusal(table(**changes))
    for part in parts:
        assert part in message, message


def test_rfm_recency_of_real_customers_is_recognised():
    customers = door.summarize(door.load_cdnow(), until="1997-09-30")
    frame = customers[["frequency", "recency", "T"]].to_dataframe()
    message = refusal(frame.assign(recency=frame["T"] - frame["recency"]))
    assert "'recency' is close to T although frequency is 0 for 1,411 of 2,357 customers" in message


def test_spend_of_customers_without_repeat_is_ignored():
    customers = door.from_table(table(monetary_value=[22.35, 11.77, -np.inf]))
    assert np.isnan(customers["monetary_value"].to_numpy()[2])


def test_missing_columns_are_named_and_guessed():
    message = refusal(table().rename(columns={"T": "t", "frequency": "Frequency"}))
    assert "no column 'frequency' and no column 'T'" in message
    assert "It has: Frequency, recency, t, monetary_value." in message
    assert "Is 'Frequency' what is called 'frequency' here?" in message


def test_other_refusals():
    assert "no rows" in refusal(table().head(0))
    assert "2 columns called 'T'" in refusal(pd.concat([table(), table()[["T"]]], axis=1))
    assert "not 'dict'" in refusal({"frequency": [1]})
    levels = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])
    assert "index of several levels" in refusal(table().set_index(levels))


def test_an_edited_dataset_is_checked_again():
    customers = door.from_table(table(), time_unit="week")
    edited = customers.copy(deep=True)
    edited["recency"][0] = 100.0
    with pytest.raises(InputError, match="'recency' is above T for 1 of 3"):
        door.check(edited)
    assert door.check(customers) is customers


def test_required_variables_of_a_dataset():
    customers = door.from_table(table())
    with pytest.raises(InputError, match="The customers dataset has no column 'monetary_value'"):
        check_customers(customers.drop_vars("monetary_value"), required=("frequency", "monetary_value"))
    with pytest.raises(InputError, match="no dimension 'customer'"):
        door.check(customers.rename(customer="person"))
    with pytest.raises(InputError, match="There are no customers"):
        door.check(customers.isel(customer=slice(0, 0)))


def test_edge_histories_pass():
    """A first order on the last day, and a repeat on the last day, are possible."""
    door.from_table(table(recency=[38.86, 1.71, 0.0], T=[38.86, 38.86, 0.0]))
