"""Columns beside the history: matched by id, read with care, encoded once."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import bayes_clv as clv
from bayes_clv.customers.columns import column_values
from bayes_clv.customers.encoding import encoding_from_json, learn


@pytest.fixture
def three():
    table = pd.DataFrame(
        {"frequency": [1, 0, 2], "recency": [3.0, 0, 9.0], "T": [9.0, 9.0, 9.5]}, index=list("bca")
    )
    return clv.customers.from_table(table, time_unit="week")


@pytest.fixture
def table():
    """In another order than the customers, and with one customer more."""
    return pd.DataFrame(
        {
            "customer_id": list("xcba"),
            "age": [90, 30, 20, 10],
            "channel": ["tv", "search", "email", "email"],
            "member": [True, False, False, True],
        }
    )


def test_values_are_matched_by_id(three, table):
    known = clv.with_columns(three, table)
    assert known["customer"].values.tolist() == ["a", "b", "c"]
    assert known["age"].values.tolist() == [10, 20, 30]
    assert known["channel"].values.tolist() == ["email", "email", "search"]
    assert column_values(known, "member").tolist() == ["True", "False", "False"]


def test_the_index_may_hold_the_ids_and_a_series_will_do(three, table):
    indexed = table.set_index("customer_id")
    assert clv.with_columns(three, indexed, "age")["age"].values.tolist() == [10, 20, 30]
    assert clv.with_columns(three, indexed["age"])["age"].values.tolist() == [10, 20, 30]


def test_a_table_of_customers_keeps_the_columns_asked_for(table):
    history = pd.DataFrame(
        {"frequency": [1, 0, 2, 0], "recency": [3.0, 0, 9.0, 0], "T": [9.0, 9.0, 9.5, 9.0]}
    )
    known = clv.customers.from_table(pd.concat([history, table], axis=1), columns=["age"])
    assert "channel" not in known
    assert dict(zip(known["customer"].values, known["age"].values, strict=True)) == {
        "x": 90,
        "c": 30,
        "b": 20,
        "a": 10,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:-1], "1 of 3 customers have no row in the table, for example customer 'a'"),
        (lambda t: t.assign(customer_id=list("wxyz")), "3 of 3 customers.*Is 'customer_id'"),
        (
            lambda t: t.assign(customer_id=list("acca")),
            "2 of 4 rows have the id of an earlier one, for example 'c'",
        ),
        (lambda t: t.assign(T=1.0), "'T' means something else"),
        (lambda t: t.rename(columns={"age": "a/b"}), "cannot be the name of a column"),
        (lambda t: t.to_dict(), "pandas DataFrame"),
    ],
)
def test_a_bad_table_is_explained(three, table, change, message):
    with pytest.raises(clv.InputError, match=message):
        clv.with_columns(three, change(table))


@pytest.mark.parametrize("name", ["cost", "size", "reference", "observed", "cohort"])
def test_a_column_may_have_a_name_that_only_results_give_a_meaning(three, table, name):
    """What each customer costs to serve is a column that shops have; ``clv.target`` calls so what a contact costs."""
    assert name in clv.with_columns(three, table.rename(columns={"age": name}))


def test_a_name_the_customers_have_is_refused(three, table):
    with pytest.raises(clv.InputError, match="have a column 'age' already"):
        clv.with_columns(clv.with_columns(three, table), table)
    with pytest.raises(clv.InputError, match="no column 'chanel'.*Is 'channel'"):
        clv.with_columns(three, table, ["chanel"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1.0, np.nan, np.inf],
            "'age' is missing or infinite for 2 of 3 customers, for example customer 'b'",
        ),
        (np.array(["x", None, ""], dtype=object), "for 2 of 3 customers, for example customer 'b'"),
        (np.array(["2025-01-01"] * 3, dtype="datetime64[s]"), "'age' holds dates"),
    ],
)
def test_gaps_and_dates_are_refused(three, values, message):
    with pytest.raises(clv.InputError, match=message):
        column_values(three.assign(age=("customer", values)), "age")


def test_a_missing_column_is_named(three):
    with pytest.raises(clv.InputError, match=r"no column 'age'.*clv.with_columns"):
        column_values(three, "age")


def design(encoding, customers):
    """Return the design columns of these customers, after the checks."""
    encoding.check(customers)
    return encoding.design({name: column_values(customers, name) for name in encoding.columns})


def test_numbers_are_standardised_and_levels_compared_with_the_first(three, table):
    known = clv.with_columns(three, table)
    (age,), (channel,) = learn(known, "age"), learn(known, "channel")
    assert_allclose(design(age, known)[:, 0], (np.array([10, 20, 30]) - 20) / np.sqrt(200 / 3), rtol=1e-15)
    assert channel.labels == ("channel[search]",)
    assert_allclose(design(channel, known)[:, 0], np.array([0, 0, 1]) - 1 / 3, rtol=1e-15)
    for encoding in (age, channel):
        assert encoding_from_json(json.loads(json.dumps(encoding.to_json()))) == encoding
        assert_allclose(design(encoding, known).sum(axis=0), 0, atol=1e-15)


def test_the_fits_encoding_is_applied_to_others(three, table):
    known = clv.with_columns(three, table)
    (age,), (channel,) = learn(known, "age"), learn(known, "channel")
    other = known.isel(customer=[2]).assign(age=("customer", [40]))
    assert_allclose(design(age, other)[0, 0], 20 / np.sqrt(200 / 3), rtol=1e-15)
    tv = other.assign(channel=("customer", np.array(["tv"], dtype=object)))
    with pytest.raises(
        clv.InputError, match="for 1 of 1 customers, for example 'tv' of customer 'c'.*email, search"
    ):
        channel.check(tv)
    with pytest.raises(clv.InputError, match="was a number at the fit and is text here"):
        age.check(other.assign(age=("customer", np.array(["forty"], dtype=object))))


def test_a_constant_and_an_id_are_refused(three):
    with pytest.raises(clv.InputError, match="'age' is 5.0 for all customers"):
        learn(three.assign(age=("customer", [5, 5, 5])), "age")
    many = three.isel(customer=np.zeros(60, dtype=int)).assign_coords(customer=[f"c{i}" for i in range(60)])
    with pytest.raises(clv.InputError, match="60 levels among 60 customers"):
        learn(many.assign(who=("customer", [f"w{i}" for i in range(60)])), "who")
