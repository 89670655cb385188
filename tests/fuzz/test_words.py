"""Rules, conditions, formulas and TOML: what Python makes of them, or an InputError; never more, and in seconds."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_clv as clv
from bayes_clv.conditions import row_tests
from bayes_clv.customers.formula import evaluate, read_formula
from bayes_clv.segments import read_rule, rule

NAMES = ["a", "b", "order status", "_quoted_0_", "ünï", "in", "x1e5"]
PLAIN = ["a", "b", "x1e5"]
VALUES = {"a": np.array([0.5, -1.0, 2.0]), "b": np.array([3.0, 0.0, 2.0]), "x1e5": np.array([1e5, 1.0, -7.0])}
NUMBERS = ["1", "0.5", ".5", "1e3", "2.5e-1", "1_000", "1e400", "12.", "0x10", "-2"]
NOISE = [
    *PLAIN,
    *NUMBERS,
    "'x'",
    '"y"',
    "''",
    "(",
    ")",
    "[",
    "]",
    ",",
    "+",
    "-",
    "*",
    "/",
    "**",
    ":",
    "<",
    ">=",
    "==",
    "<>",
]
NOISE += [
    "=",
    " and ",
    " or ",
    " not ",
    " in ",
    "quantile(0.5)",
    "bringing(.2)",
    "C(",
    "poly(",
    "log(",
    "I(",
    "~",
    "|",
    "`",
]
NOISE += ["\n", "#", "\\", "ﬁ", "\0", "9" * 5000, "lambda:", "0 +", " - 1", "(" * 300, "-" * 300, "**9**9"]

noise = st.lists(st.sampled_from(NOISE), max_size=12).map("".join)


def quantities(names):
    """Return arithmetic of names and numbers, as text that Python reads too."""
    base = st.sampled_from([*names, *NUMBERS[:6]])
    return st.recursive(
        base, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner), max_leaves=6
    )


def check_condition(condition, clock):
    """A rule of one condition and the rest puts whom the condition holds for, and the others."""
    try:
        with clock(20):
            made = rule("r", {"yes": condition, "no": None})
    except clv.InputError:
        return
    amounts = made.amounts({name: VALUES[name] for name in made.names()})
    if any(axis.scale != "number" for axis in made.axes):
        return
    cuts = [np.array(axis.levels) for axis in made.axes]
    found = np.broadcast_to(made.assign(amounts, cuts), (3,))
    for place in range(3):
        own = {name: float(values[place]) for name, values in VALUES.items()}
        holds = eval(condition.strip(), {"__builtins__": {}}, own)
        assert found[place] == (0 if holds else 1), condition


compared = st.builds(
    "{} {} {}".format,
    quantities(PLAIN),
    st.sampled_from(["<", "<=", ">", ">=", "=="]),
    st.sampled_from(NUMBERS),
)
conditions = st.lists(compared, min_size=1, max_size=3).map(" and ".join)


def of_rules(clock):
    @given(st.one_of(conditions, conditions, noise))
    def check(condition):
        # Python's "=" and capitals are not the reference's.
        if "or" not in condition and "=" not in condition.replace("<=", "").replace(">=", "").replace(
            "==", ""
        ):
            check_condition(condition, clock)

    return check


def written(name):
    return name if name.isidentifier() and name != "in" else f"`{name}`"


SIGNS = {"<": ["<"], "<=": ["<="], "==": ["=", "=="], "!=": ["<>", "!="], ">": [">"], "in": ["in", "IN"]}
TEXTS = ["x", "O'Brien", "", "1", "a and b", "ﬁ", " `", '"', "=", "1e5"]


def of_rows(clock):
    """What is written of rows is read: column, sign and values."""
    values = st.one_of(st.sampled_from(TEXTS), st.sampled_from(NUMBERS[:6]).map(float), st.booleans())
    one = st.tuples(st.sampled_from(NAMES), st.sampled_from(list(SIGNS)), values, st.integers(0, 1))

    def shown(value):
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)

    @given(st.lists(one, min_size=1, max_size=4))
    def check(tests):
        parts = []
        for name, sign, value, which in tests:
            right = f"({shown(value)}, {shown(value)})" if sign == "in" else shown(value)
            parts.append(f"{written(name)} {SIGNS[sign][which % len(SIGNS[sign])]} {right}")
        with clock(20):
            found = row_tests([" and ", " AND "][len(parts) % 2].join(parts), "where")
        wanted = [(name, sign, (value,) * (2 if sign == "in" else 1)) for name, sign, value, _ in tests]
        assert [(each.column, each.sign, each.values) for each in found] == wanted

    @given(noise)
    def no_other(text):
        try:
            with clock(20):
                row_tests(text, "where")
        except clv.InputError:
            pass

    return check, no_other


def expanded(formula):
    """Return the terms of (sign, left, right) trees as sets of columns, by the rules of Wilkinson and Rogers."""
    if isinstance(formula, str):
        return {frozenset([formula])}
    sign, left, right = formula
    one = expanded(left)
    if sign == "**":
        return {frozenset().union(*each) for each in itertools.product(one, repeat=right)}
    other = expanded(right)
    both = {first | second for first, second in itertools.product(one, other)}
    return one | other if sign == "+" else one | other | both if sign == "*" else both


def text_of(formula):
    if isinstance(formula, str):
        return written(formula)
    return f"({text_of(formula[1])} {formula[0]} {formula[2] if formula[0] == '**' else text_of(formula[2])})"


def of_formulas(clock):
    leaf = st.sampled_from(NAMES)
    trees = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from("+*:"), inner, inner),
            st.tuples(st.just("**"), inner, st.integers(1, 9)),
        ),
        max_leaves=6,
    )

    @given(trees)
    def check(tree):
        try:
            with clock(20):
                found = read_formula(f"{text_of(tree)} + 1")
        except clv.InputError as error:
            if "without" in str(error) or "more than 10,000" in str(error):
                return
            raise
        assert {frozenset(factor.expression for factor in term) for term in found} == expanded(tree)

    @given(quantities(PLAIN))
    def arithmetic(text):
        names = {name: values for name, values in VALUES.items() if name in text}
        if not names:
            return
        try:
            with clock(20):
                ((factor,),) = read_formula(f"I({text})")
        except clv.InputError:
            # Of numbers alone there is nothing to learn.
            assert not any(name in text.replace("x1e5", "a").split() for name in "()")
            return
        assert set(factor.columns) <= set(VALUES)
        expected = np.broadcast_to(eval(text, {"__builtins__": {}}, dict(VALUES)), (3,))
        np.testing.assert_allclose(np.broadcast_to(evaluate(factor.expression, VALUES), (3,)), expected)

    @given(noise)
    def no_other(text):
        try:
            with clock(20):
                read_formula(text)
        except clv.InputError:
            pass

    return check, arithmetic, no_other


TOML = (
    'name = "r"\n[quantities]\nq = "a + b"\n[[segments]]\nname = "yes"\nwhere = "q > 1"\n'
    '[[segments]]\nname = "no"\notherwise = true\n'
)
INSTEAD = [
    "7",
    "true",
    "[]",
    "{}",
    '""',
    "1979-05-27",
    "[[1]]",
    "nan",
    "'x",
    "\x00",
    "{a = {b = 1}}",
    "[" * 2000,
]


def of_toml(clock, folder):
    """A rule file with bytes changed, or values of other types, is the rule it was, another rule, or an InputError."""
    path = folder / "rule.toml"

    @given(st.integers(0, len(TOML) - 1), st.binary(max_size=2), st.integers(0, 3))
    def changed(place, put, cut):
        path.write_bytes(TOML.encode()[:place] + put + TOML.encode()[place + cut :])
        try:
            with clock(20):
                read_rule(path)
        except clv.InputError:
            pass

    @given(st.sampled_from(['"r"', '"a + b"', '"yes"', '"q > 1"', "true", '"no"']), st.sampled_from(INSTEAD))
    def retyped(old, new):
        path.write_text(TOML.replace(old, new), encoding="utf-8")
        try:
            with clock(20):
                read_rule(path)
        except clv.InputError:
            pass

    return changed, retyped


def everything(clock, folder):
    return [of_rules(clock), *of_rows(clock), *of_formulas(clock), *of_toml(clock, folder)]


@pytest.mark.parametrize("which", range(8))
def test_words(which, fuzz, clock, tmp_path):
    fuzz(everything(clock, tmp_path)[which], 40)


@pytest.mark.full
@pytest.mark.parametrize("which", range(8))
def test_5_000_rules_and_formulas(which, fuzz, clock, tmp_path):
    fuzz(everything(clock, tmp_path)[which], 700, which)
