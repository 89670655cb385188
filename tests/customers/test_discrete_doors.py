"""Opportunities and contracts at the door: accepted as they are, or refused with the reason."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv.customers as door
from bayes_clv.schema import InputError


def buyers(**changes):
    columns = {"frequency": [2, 1, 0], "recency": [5, 1, 0], "opportunities": [6, 6, 4]}
    return pd.DataFrame(columns | changes)


def contracts(**changes):
    return pd.DataFrame({"renewals": [0, 3, 7], "active": [0, 0, 1]} | changes)


def refusal(function, argument):
    with pytest.raises(InputError) as caught:
        function(argument)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_opportunities_are():
    found = door.from_opportunities(buyers(customer_id=["b", "c", "a"], count=[5, 1, 2]))
    assert found["customer"].to_numpy().tolist() == ["a", "b", "c"]
    assert found["frequency"].to_numpy().tolist() == [0, 2, 1]
    assert found["count"].to_numpy().tolist() == [2, 5, 1]
    assert {str(found[name].dtype) for name in found} == {"int64"}
    assert found["recency"].attrs["units"] == "opportunity"
    assert found.attrs["time_unit"] == "opportunity"
    assert door.check(found) is found
    # One who has just come has had no opportunity, and is possible.
    door.from_opportunities(buyers(opportunities=[6, 6, 0]))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"frequency": [2, np.nan, 0]}, ["'frequency' is missing (NaN) for 1 of 3"]),
        ({"frequency": [1.5, 1, 0]}, ["'frequency' is not whole for 1 of 3", "frequency 1.5"]),
        ({"recency": [-1, 1, 0]}, ["'recency' is negative for 1 of 3"]),
        (
            {"recency": [7, 1, 0]},
            ["'recency' is above opportunities for 1 of 3", "recency 7 and opportunities 6"],
        ),
        ({"recency": [0, 1, 0]}, ["0 although frequency is above 0 for 1 of 3", "subtract 1"]),
        ({"recency": [5, 1, 3]}, ["above 0 although frequency is 0 for 1 of 3", "must be 0"]),
        ({"recency": [5, 1, 4]}, ["above 0 although frequency is 0", "recency = opportunities - recency"]),
        (
            {"frequency": [6, 1, 0]},
            ["'frequency' is above recency for 1 of 3", "frequency 6 and recency 5", "bg_nbd"],
        ),
        ({"count": [1, 0, 2]}, ["'count' is no whole number from 1 for 1 of 3", "leave out rows"]),
        ({"count": [1, 2.5, 2]}, ["'count' is no whole number from 1"]),
        ({"customer_id": ["a", "b", "a"]}, ["1 row has the id of an earlier one"]),
        (
            {"opportunities": ["6", "many", "4"]},
            ["Column 'opportunities' has 1 of 3 values that are not numbers"],
        ),
    ],
)
def test_opportunities_that_cannot_be(changes, parts):
    message = refusal(door.from_opportunities, buyers(**changes))
    for part in parts:
        assert part in message, message


def test_missing_columns_are_named():
    message = refusal(door.from_opportunities, buyers().rename(columns={"opportunities": "n"}))
    assert "no column 'opportunities'" in message
    assert "not 'list'" in refusal(door.from_opportunities, [1])
    assert "no column 'active'" in refusal(door.from_contracts, contracts().rename(columns={"active": "on"}))


def test_an_edited_dataset_is_checked_again():
    found = door.from_opportunities(buyers())
    edited = found.copy(deep=True)
    edited["recency"][0] = 9
    with pytest.raises(InputError, match="above opportunities for 1 of 3"):
        door.check(edited)
    with pytest.raises(InputError, match=r"no dimension 'customer'.*clv\.customers\.from_opportunities"):
        door.check(found.rename(customer="person"))
    with pytest.raises(InputError, match=r"no dimension 'customer'.*clv\.customers\.from_survivors"):
        door.check(door.from_contracts(contracts()).rename(customer="person"))


def test_what_contracts_are():
    found = door.from_contracts(contracts(active=[False, False, True], periods=[7, 7, 7]))
    assert found["active"].to_numpy().tolist() == [0, 0, 1]
    assert found["renewals"].to_numpy().tolist() == [0, 3, 7]
    assert found["periods"].to_numpy().tolist() == [7, 7, 7]
    assert found.attrs["time_unit"] == "period"
    assert "periods" not in door.from_contracts(contracts())


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"renewals": [0, 3.5, 7]}, ["'renewals' is not whole for 1 of 3"]),
        ({"renewals": [0, -3, 7]}, ["'renewals' is negative for 1 of 3"]),
        ({"active": [0, 2, 1]}, ["'active' is neither 0 nor 1 for 1 of 3", "active 2"]),
        ({"active": [0, np.nan, 1]}, ["'active' is missing (NaN) for 1 of 3"]),
        (
            {"periods": [7, 7, 9]},
            ["'renewals' is not equal to periods although active is 1", "renewals 7 and periods 9"],
        ),
        (
            {"periods": [7, 3, 7]},
            ["'renewals' is not below periods although active is 0", "end of observation"],
        ),
        ({"count": [1, -1, 1]}, ["'count' is negative for 1 of 3"]),
    ],
)
def test_contracts_that_cannot_be(changes, parts):
    message = refusal(door.from_contracts, contracts(**changes))
    for part in parts:
        assert part in message, message


def test_survivors_are_losses_and_those_who_are_left():
    found = door.from_survivors([1000, 869, 743, 743])
    table = found.to_dataframe()
    assert table.loc["lost at 1", ["renewals", "active", "count"]].tolist() == [0, 0, 131]
    assert table.loc["lost at 2", ["renewals", "active", "count"]].tolist() == [1, 0, 126]
    assert table.loc["active", ["renewals", "active", "count"]].tolist() == [3, 1, 743]
    # Nobody was lost at the third.
    assert len(table) == 3
    assert set(table["periods"]) == {3}
    assert int(found["count"].sum()) == 1000
    assert "cohort" not in found


def test_cohorts_keep_their_names_and_lengths():
    frame = pd.DataFrame({2019: [10, 5, 4], 2020: [7, 3, np.nan]})
    found = door.from_survivors(frame)
    xr.testing.assert_identical(found, door.from_survivors({"2019": [10, 5, 4], "2020": [7, 3]}))
    sums = found["count"].groupby(found["cohort"]).sum()
    assert sums.to_series().to_dict() == {"2019": 10, "2020": 7}
    assert found["periods"].sel(customer="2020: active").item() == 1
    long = door.from_survivors(range(12, 0, -1))
    assert long["renewals"].to_numpy().tolist() == [11, *range(11)]


@pytest.mark.parametrize(
    ("survivors", "parts"),
    [
        (
            [100, 86.9, 74.3],
            ["not whole in 2 of 3 places, for example 86.9", "multiply shares by the cohort's size"],
        ),
        ([100, 80, 90, 95], ["rise in 2 places", "from 80 to 90 at renewal 2"]),
        ([100], ["hold no renewal"]),
        ([0, 0], ["hold no renewal"]),
        ([100, np.nan, 80], ["missing, infinite or negative"]),
        ([100, -1], ["missing, infinite or negative"]),
        (["many", 3], ["not all numbers"]),
        ({"a": [10, 5], "b": [10, 12]}, ["The survivors of cohort 'b' rise in 1 place,"]),
        ({"": [10, 5]}, ["needs a name of its own"]),
        ("1000", ["a mapping from cohort to such a list", "got str"]),
    ],
)
def test_survivors_that_cannot_be(survivors, parts):
    message = refusal(door.from_survivors, survivors)
    for part in parts:
        assert part in message, message
