"""An experiment at the door: accepted as it is, or refused with the reason; its balance in the audit."""

import json

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.customers.experiments import check_experiment
from bayes_clv.schema import InputError


def table(**changes):
    columns = {
        "customer_id": ["b", "c", "a", "d"],
        "treated": [1, 0, 0, 1],
        "outcome": [20.0, 0.0, 15.5, 0.0],
        "kind": ["new", "new", "old", "old"],
    }
    return pd.DataFrame(columns | changes)


def refusal(frame, **arguments):
    with pytest.raises(InputError) as caught:
        clv.customers.from_experiment(frame, **({"segment": "kind"} | arguments))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_an_experiment_is():
    found = clv.customers.from_experiment(table(), segment="kind")
    assert found["customer"].to_numpy().tolist() == ["a", "b", "c", "d"]
    assert found["treated"].to_numpy().tolist() == [0, 1, 0, 1]
    assert found["outcome"].to_numpy().tolist() == [15.5, 20.0, 0.0, 0.0]
    assert found["segment"].to_numpy().tolist() == ["old", "new", "new", "old"]
    assert found["outcome"].attrs["units"] == "money"
    alone = clv.customers.from_experiment(table())
    assert set(alone["segment"].to_numpy()) == {"all"}


@pytest.mark.parametrize(
    "treated", [[True, False, False, True], ["1", "0", "false", " True "], [1.0, 0.0, 0.0, 1.0]]
)
def test_ways_to_say_treated(treated):
    found = clv.customers.from_experiment(table(treated=treated))
    assert found["treated"].to_numpy().tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"treated": [1, 0, 2, 1]}, ["is neither 0 nor 1 for 1 of 4", "customer 'a' with 2", "several offers"]),
        ({"treated": [1, 0, None, 1]}, ["'treated' is neither 0 nor 1 for 1 of 4"]),
        ({"treated": [1, 1, 1, 1]}, ["no controls", "would have brought anyway", "drawn by chance"]),
        ({"treated": [0, 0, 0, 0]}, ["no treated", "Add the customers of the other arm"]),
        ({"outcome": [20, np.nan, 1, 0]}, ["'outcome' is missing (NaN) for 1 of 4", "0 where nothing was bought"]),
        ({"outcome": [20, -3.0, 1, 0]}, ["'outcome' is negative for 1 of 4", "'c' with outcome -3"]),
        ({"outcome": [20, np.inf, 1, 0]}, ["'outcome' is infinite"]),
        ({"outcome": ["20", "much", "1", "0"]}, ["'outcome' has 1 of 4 values that are not numbers", "'much'"]),
        ({"kind": ["new", "old", "old", "old"]}, ["1 of 2 segments has treated customers only", "Merge"]),
        ({"kind": ["old", "new", "old", "old"]}, ["1 of 2 segments has controls only"]),
        ({"kind": ["new", "new", "old", None]}, ["'kind' is missing for 1 of 4", "'unknown'"]),
        ({"customer_id": ["a", "b", "a", "c"]}, ["1 row has the id of an earlier one"]),
        ({"customer_id": ["a", None, "b", "c"]}, ["1 of 4 customers have no id"]),
    ],
)  # fmt: skip
def test_experiments_that_cannot_be(changes, parts):
    message = refusal(table(**changes))
    for part in parts:
        assert part in message, message


def test_columns_are_named():
    assert "no column 'treated'" in refusal(table().rename(columns={"treated": "arm"}))
    assert "named for two purposes" in refusal(table(), segment="outcome")
    assert "no rows" in refusal(table().iloc[:0])
    renamed = table().rename(columns={"treated": "mailed", "outcome": "spent", "customer_id": "id"})
    found = clv.customers.from_experiment(renamed, customer_id="id", treated="mailed", outcome="spent")
    assert found.equals(clv.customers.from_experiment(table()))


def test_an_edited_experiment_is_checked_again():
    found = clv.customers.from_experiment(table(), segment="kind").copy(deep=True)
    found["outcome"][0] = -1
    with pytest.raises(InputError, match="negative for 1 of 4"):
        check_experiment(found)


def test_a_file_is_read_as_it_stands(tmp_path):
    frame = table(customer_id=["002", "003", "001", "004"])
    frame.to_csv(tmp_path / "experiment.csv", index=False)
    found = clv.customers.from_experiment(tmp_path / "experiment.csv", segment="kind")
    assert found["customer"].to_numpy().tolist() == ["001", "002", "003", "004"]
    assert found["outcome"].to_numpy().tolist() == [15.5, 20.0, 0.0, 0.0]


def drawn(size, *, share=None, seed=1):
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 3, size)
    p = np.full(3, 0.5) if share is None else np.array(share)
    arm = (rng.random(size) < p[place]).astype(int)
    return pd.DataFrame(
        {
            "customer_id": np.arange(size),
            "treated": arm,
            "outcome": rng.random(size),
            "kind": np.array(["x", "y", "z"])[place],
            "before": rng.normal(10, 4, size),
        }
    )


def notes(found):
    return [line["what"] for line in json.loads(found.attrs["audit"]) if line["action"] == "note"]


def test_the_audit_says_how_the_arms_compare():
    frame = drawn(3000)
    fair = notes(clv.customers.from_experiment(frame, segment="kind", balance=["before"]))
    assert len(fair) == 2
    assert not any("Find out why" in note or "find out why" in note for note in fair)
    # A coin that favours one segment: 0.7 against 0.5 of 1,000 customers is 0.7 - 0.567 = 0.13, 8 standard errors.
    skew = notes(clv.customers.from_experiment(drawn(3000, share=[0.5, 0.5, 0.7]), segment="kind"))
    assert "find out why before using the result" in skew[0]
    # The treated had spent half a standard deviation more before: 14 standard errors of 2 / sqrt(3000).
    unfair = frame.assign(before=frame["before"] + 2.0 * frame["treated"])
    note = notes(clv.customers.from_experiment(unfair, segment="kind", balance=["before"]))[1]
    assert "may not have been drawn by chance" in note
    difference = float(note.split("treated less controls ")[1].split(" ")[0])
    # The truth is 0.5; the error of 3,000 customers is 2 / sqrt(3000) = 0.037.
    assert difference == pytest.approx(0.5, abs=4 * 0.037)


def test_the_balance_test_has_its_level():
    """Of 200 fair experiments about 1 % are called unlikely: at most 8, which chance exceeds once in 4,000."""
    called = sum(
        "ind out why" in note
        for seed in range(200)
        for note in notes(
            clv.customers.from_experiment(drawn(300, seed=seed), segment="kind", balance=["before"])
        )[1:]
    )
    assert called <= 8
