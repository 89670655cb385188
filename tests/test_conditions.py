"""What a fuzzer found in conditions (tests/fuzz): each was another exception, or read as something else."""

import pytest

import bayes_clv as clv
from bayes_clv.conditions import row_tests
from bayes_clv.segments import rule


@pytest.mark.parametrize(
    ("text", "number"), [("1e3", 1000.0), ("2.5e-1", 0.25), (".5", 0.5), ("1_000", 1000.0)]
)
def test_the_e_of_a_number_is_no_name(text, number):
    (found,) = row_tests(f"amount > {text}", "where")
    assert found.values == (number,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a in (1, (2, 3))", "no(t one of a)? c"),
        ("a in (true, 1)", "texts, numbers and truths"),
        ("a = '\0'", "the character NUL"),
        ("a = '\ud800'", "a lone surrogate"),
    ],
)
def test_conditions_on_rows_that_mean_nothing(text, message):
    with pytest.raises(clv.InputError, match=message):
        row_tests(text, "where")


@pytest.mark.parametrize(
    ("segments", "quantities", "message"),
    [
        ({}, None, "has no segments"),
        (["a"], None, r"The segments of rule 'r' are \['a'\]"),
        ({"a": 7}, None, "among the segments 'a' is 7"),
        ({"a": "q > 1", "b": None}, {"q": 7}, "among the quantities 'q' is 7"),
        ({"a": "q0 > 1", "b": None}, {f"q{i}": f"q{i + 1} + 1" for i in range(900)}, "by way of more than 50 others"),
    ],
)  # fmt: skip
def test_rules_that_are_none(segments, quantities, message):
    with pytest.raises(clv.InputError, match=message):
        rule("r", segments, quantities)
