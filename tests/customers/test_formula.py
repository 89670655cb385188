"""Formulas: the notation is read, the encoding learnt is remembered as numbers, and what cannot be is refused."""

import json

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import bayes_clv as clv
from bayes_clv.customers.columns import column_values
from bayes_clv.customers.encoding import encoding_from_json, learn
from bayes_clv.customers.formula import evaluate, read_formula, shown

SIZE = 200


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(1)
    columns = {
        "age": rng.normal(40, 12, SIZE).round(),
        "income": rng.lognormal(10, 0.5, SIZE),
        "gender": rng.choice(["f", "m"], SIZE).astype(object),
        "year": rng.choice([2021, 2022, 2023], SIZE),
        "age (years)": rng.normal(50, 5, SIZE),
    }
    return xr.Dataset(
        {name: ("customer", column) for name, column in columns.items()},
        coords={"customer": [f"c{i:03d}" for i in range(SIZE)]},
    )


def design(encodings, people):
    """Return all design columns of these people, after the checks."""
    columns = []
    for encoding in encodings:
        encoding.check(people)
        columns.append(encoding.design({name: column_values(people, name) for name in encoding.columns}))
    return np.hstack(columns)


def standardised(values):
    return (values - values.mean()) / values.std()


def test_terms_are_read():
    terms = read_formula("age * C(year) + np.log(income) + poly(scale(age), 2) + I(`age (years)`**2)")
    assert [":".join(shown(factor) for factor in term) for term in terms] == [
        "age", "C(year)", "log(income)", "poly(age, 2)", "`age (years)` ** 2", "age:C(year)",
    ]  # fmt: skip
    assert terms[4][0].columns == ("age (years)",)


def test_a_formula_of_names_is_the_list_of_names(people):
    formula = learn(people, "age + gender")
    assert formula == learn(people, "age") + learn(people, "gender")
    assert learn(people, "scale(age) + gender") == formula


def test_the_design_is_that_of_the_columns_by_hand(people):
    found = learn(people, "age * gender + np.log(income) + C(year)")
    labels = [label for encoding in found for label in encoding.labels]
    assert labels == ["age", "gender[m]", "log(income)", "year[2022]", "year[2023]", "age:gender[m]"]
    z, m = standardised(people["age"].values), (people["gender"].values == "m").astype(float)
    m = m - m.mean()
    expected = [z, m, standardised(np.log(people["income"].values))]
    expected += [
        (people["year"].values == year) - (people["year"].values == year).mean() for year in (2022, 2023)
    ]
    expected += [z * m - (z * m).mean()]
    assert_allclose(design(found, people), np.array(expected).T, rtol=1e-12, atol=1e-14)


def test_polynomials_are_orthogonal_and_the_same_curve(people):
    (encoding,) = learn(people, "poly(age, 4)")
    columns = design([encoding], people)
    assert encoding.labels[2] == "poly(age, 4)[3]"
    assert_allclose(columns.T @ columns / SIZE, np.eye(4), atol=1e-12)
    assert_allclose(columns.sum(axis=0), 0, atol=1e-10)
    powers = standardised(people["age"].values)[:, None] ** np.arange(5)
    residual = columns - powers @ np.linalg.lstsq(powers, columns)[0]
    assert_allclose(residual, 0, atol=1e-11)


FORMULAS = [
    "age * gender + np.log(income)",
    "poly(age, 3) * income",
    "C(year) * age + np.sqrt(income) + I(age ** 2 / income)",
    "`age (years)` + poly(log1p(`age (years)`), 2)",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_what_was_learnt_survives_as_text_and_serves_others(people, formula):
    """Exactly: JSON writes a number so that it is read back to the last bit."""
    found = learn(people, formula)
    again = tuple(encoding_from_json(json.loads(json.dumps(encoding.to_json()))) for encoding in found)
    assert again == found
    few = people.isel(customer=[5, 3, 8])
    assert_array_equal(design(again, few), design(found, people)[[5, 3, 8]])


@pytest.mark.parametrize("formula", FORMULAS[:2])
def test_units_and_zeros_do_not_matter(people, formula):
    """Fahrenheit for Celsius, cents for dollars: rounding of 1e-13, raised by the powers."""
    other = people.assign(age=people["age"] * 1.8 + 32, income=people["income"] * 100)
    assert_allclose(
        design(learn(other, formula), other), design(learn(people, formula), people), rtol=1e-9, atol=1e-10
    )


def test_rows_of_several_customers_count_as_many(people):
    count = np.random.default_rng(2).integers(1, 4, SIZE)
    whole = people.isel(customer=np.repeat(np.arange(SIZE), count))
    for formula in ("age * gender + C(year)", "poly(age, 2)"):
        assert_allclose(
            design(learn(people, formula, count), people), design(learn(whole, formula), people), atol=1e-12
        )


def test_expressions():
    values = {"a": np.array([1.0, 4.0]), "b c": np.array([2.0, 0.5])}
    assert_allclose(evaluate("sqrt(a) * -`b c` + 1 / a", values), [-1.0, -0.75])
    assert evaluate("log(a - 1)", values)[0] == -np.inf


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("age + np.log(age", "cannot be read.*backticks"),
        ("age (years)", "cannot be read.*backticks"),
        ("y ~ age", "two sides.*is the key"),
        ("age - 1", "takes the constant away.*leave out"),
        ("age:gender", r"has age:gender without age.*Write 'age \* gender'"),
        (
            "bs(age, df=4)",
            r"has 'bs\(age, df=4\)', which a saved posterior could not remember.*columns that you add",
        ),
        ("np.log(scale(age))", "could not remember"),
        ("np.random.normal(age)", "could not remember"),
        ("I(age.real)", "could not remember"),
        ("C(gender, contr.sum)", r"Write C\(column\) and nothing more"),
        ("poly(age, 9)", "a degree from 1 to 5"),
        ("+age+income:C(year)", "without"),
    ],
)
def test_what_cannot_be_remembered_is_refused(people, formula, message):
    with pytest.raises(clv.InputError, match=message):
        learn(people, formula)


@pytest.mark.parametrize(
    ("formula", "change", "message"),
    [
        (
            "np.log(income)",
            {"income": 0.0},
            r"log\(income\) has no finite value for 1 of 200.*'c007', whose income is 0",
        ),
        ("I(age / income)", {"income": 0.0}, "no finite value"),
        (
            "age * C(year)",
            {"year": 1999},
            "'year' has a level that the fit has not seen for 1 of 200.*'1999'.*'c007'",
        ),
        ("poly(age, 2)", {"age": np.nan}, "'age' is missing or infinite for 1 of 200"),
    ],
)
def test_others_that_do_not_fit_are_refused(people, formula, change, message):
    found = learn(people, formula)
    ((name, value),) = change.items()
    changed = people[name].values.copy()
    changed[7] = value
    with pytest.raises(clv.InputError, match=message):
        design(found, people.assign({name: ("customer", changed)}))


def test_text_is_no_number(people):
    with pytest.raises(clv.InputError, match=r"'gender' is text, and log\(gender\) needs numbers"):
        learn(people, "np.log(gender)")
    with pytest.raises(clv.InputError, match=r"'gender' is text, and poly\(gender, 2\) needs numbers"):
        learn(people, "poly(gender, 2)")
    with pytest.raises(clv.InputError, match="only 3 different values, which show a degree of 2"):
        learn(people, "poly(year, 3)")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("(a + b + c + d + e + f + g + h)**8", "makes more than 10,000 products"),
        ("a**100000", "makes more than 10,000 products"),
        ("I(a" + " + a" * 1000 + ")", "nested more than 200 deep"),
        ("a" + " + a" * 5000, "20,001 characters long"),
        ("I(ſ + s)", "put the name of the column in backticks"),
        ("[)", "cannot be read"),
    ],
)
def test_formulas_that_would_not_end_or_be_misread(formula, message):
    with pytest.raises(clv.InputError, match=message):
        read_formula(formula)


def test_columns_called_like_ours():
    ((factor,),) = read_formula("I(`x y` + 2 * _quoted_0_)")
    assert set(factor.columns) == {"x y", "_quoted_0_"}
    values = {"x y": np.array([1.0]), "_quoted_0_": np.array([10.0])}
    assert_array_equal(evaluate(factor.expression, values), [21.0])
