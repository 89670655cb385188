"""Contracts with tenures, starts and ends become renewals; the share left is Kaplan and Meier's."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import bayes_clv as clv


def brute(tenure, lost):
    """Return the product-limit estimate at 1, 2, ... by its definition, customer by customer."""
    left, found = 1.0, []
    for t in range(1, max(tenure) + 1):
        at_risk = [each >= t for each in tenure]
        gone = [each == t and away for each, away in zip(tenure, lost, strict=True)]
        left *= 1 - sum(gone) / sum(at_risk)
        found.append(left)
    return found


@pytest.fixture(scope="module")
def telco():
    rng = np.random.default_rng(3)
    life, seen = rng.geometric(rng.beta(1, 12, 3000)), rng.integers(1, 40, 3000)
    return pd.DataFrame({"tenure": np.minimum(life, seen), "churned": np.where(life <= seen, "Yes", "No")})


def test_tenures(telco):
    contracts = clv.customers.from_tenures(telco.assign(plan="a"), columns="plan")
    wanted = brute(telco["tenure"].tolist(), (telco["churned"] == "Yes").tolist())
    found = clv.customers.kaplan_meier(contracts)
    assert_allclose(found["survival"], wanted, rtol=1e-12)
    assert found["at_risk"].values[0] == 3000
    # Greenwood's, by hand at the first renewal: the binomial's.
    gone = int(found["lost"].values[0])
    assert_allclose(found["survival_error"].values[0], np.sqrt(gone * (3000 - gone) / 3000**3))
    assert set(contracts["plan"].values) == {"a"}


@pytest.mark.parametrize(("yes", "no"), [(True, False), (1, 0), (1.0, 0.0), ("true", "false"), ("Y", "n")])
def test_words_for_churn(yes, no):
    table = pd.DataFrame({"months": [1, 4], "gone": [yes, no]})
    found = clv.customers.from_tenures(table, "months", "gone")
    assert found["renewals"].values.tolist() == [0, 4]
    assert found["active"].values.tolist() == [0, 1]


def test_renewals_that_are_tenures_are_noticed(telco):
    wrong = pd.DataFrame({"renewals": telco["tenure"], "active": telco["churned"] == "No"})
    lost = int((telco["churned"] == "Yes").sum())
    with pytest.raises(clv.InputError, match=f"among {lost:,} lost: renewals seem to be counted from 1"):
        clv.customers.from_contracts(wrong)
    assert clv.customers.from_contracts(wrong.iloc[:20]).sizes["customer"] == 20


@pytest.mark.parametrize(
    ("start", "end", "period", "renewals", "active", "periods"),
    [
        ("2024-01-15", "2024-02-15", "month", 0, 0, 5),
        ("2024-01-15", "2024-02-16", "month", 1, 0, 5),
        ("2024-01-15", "2024-02-14", "month", 0, 0, 5),
        ("2024-01-31", "2024-02-29", "month", 0, 0, 5),
        ("2024-01-31", "2024-03-30", "month", 1, 0, 5),
        ("2024-01-31", None, "month", 5, 1, 5),
        ("2024-06-20", "2024-06-25", "month", 0, 0, 1),
        ("2024-01-01", "2024-12-01", "month", 5, 1, 5),
        ("2023-06-30", None, "year", 1, 1, 1),
        ("2024-01-01", "2024-01-15", "week", 1, 0, 25),
        ("2023-12-31", None, "quarter", 2, 1, 2),
    ],
)
def test_dates(start, end, period, renewals, active, periods):
    found = clv.customers.from_dates(
        pd.DataFrame({"start": [start], "end": [end]}), "2024-06-30", period=period
    )
    got = [int(found[name].values[0]) for name in ("renewals", "active", "periods")]
    assert got == [renewals, active, periods]


def test_dates_as_people_have_them():
    table = pd.DataFrame(
        {"id": ["b", "a"], "from": ["15/01/2024", "01/07/2024"], "to": [None, None], "plan": ["x", "y"]}
    )
    options = {"start": "from", "end": "to", "customer_id": "id", "columns": "plan"}
    found = clv.customers.from_dates(table, "2024-06-30", **options, date_format="%d/%m/%Y")
    assert (found["customer"].values.tolist(), found["plan"].values.tolist()) == (["b"], ["x"])
    with pytest.raises(
        clv.InputError, match="'from' has 2 of 2 values that are no days, for example '15/01/2024'"
    ):
        clv.customers.from_dates(table, "2024-06-30", **options)
    with pytest.raises(clv.InputError, match="No contract begins by until='2020-01-01'"):
        clv.customers.from_dates(table, "2020-01-01", **options, date_format="%d/%m/%Y")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"churned": ["maybe", "No"]}, "neither yes nor no for 1 of 2 customers, for example 'maybe'"),
        ({"tenure": [0, 3]}, "'tenure' is below 1 of a customer who churned for 1 of 2"),
        ({"tenure": [np.nan, 3]}, "'tenure' is missing or infinite for 1 of 2"),
    ],
)
def test_tenures_that_cannot_be(changes, message):
    table = pd.DataFrame({"tenure": [1, 3], "churned": ["Yes", "No"]} | changes)
    with pytest.raises(clv.InputError, match=message):
        clv.customers.from_tenures(table)


def test_ends_that_cannot_be():
    table = pd.DataFrame({"start": ["2024-01-02", None], "end": ["2024-01-01", None]})
    with pytest.raises(clv.InputError, match="'start' is missing for 1 of 2"):
        clv.customers.from_dates(table, "2024-06-30")
    with pytest.raises(clv.InputError, match="1 of 1 contracts end on the day .* 2024-01-02 to 2024-01-01"):
        clv.customers.from_dates(table.iloc[:1], "2024-06-30")
    with pytest.raises(clv.InputError, match="no column 'finish'.*start, end and customer_id"):
        clv.customers.from_dates(table, "2024-06-30", end="finish")
