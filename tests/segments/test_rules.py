"""Rules of segments: what each condition takes, and that every customer is taken once."""

import numpy as np
import pytest

from bayes_clv.schema import InputError
from bayes_clv.segments.rule_files import read_rule
from bayes_clv.segments.rules import rule

FOUR = """\
name = "Kinds"

[quantities]
profit = "value - cost_to_serve"
often = "purchases"

[[segments]]
name = "gold"
where = "profit > 0 and often >= 2"

[[segments]]
name = "meteor"
where = "profit > 0 and often < 2"

[[segments]]
name = "burden"
otherwise = true
"""


def numbers(given, amounts, thresholds=None):
    """Return the segments' names, in thresholds that are numbers unless others are given."""
    cuts = [np.array(axis.levels) for axis in given.axes] if thresholds is None else thresholds
    found = given.assign(given.amounts(amounts), cuts)
    return [given.segments[i].name if i >= 0 else None for i in np.ravel(found)]


def written(tmp_path, text):
    path = tmp_path / "kinds.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_customer_is_where_its_condition_says(tmp_path):
    kinds = read_rule(written(tmp_path, FOUR))
    amounts = {
        "value": np.array([10.0, 10.0, 3.0, 5.0, np.nan]),
        "cost_to_serve": np.array([4.0, 4.0, 4.0, 5.0, 1.0]),
        "purchases": np.array([2.0, 1.0, 9.0, 9.0, 9.0]),
    }
    assert numbers(kinds, amounts) == ["gold", "meteor", "burden", "burden", None]
    assert kinds.names() == ["value", "cost_to_serve", "purchases"]


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "=="])
def test_a_threshold_itself_is_on_the_side_that_the_sign_says(sign):
    amounts = np.array([1.0, 2.0, 3.0])
    expected = [bool(each) for each in eval(f"amounts {sign} 2.0")]
    for condition in (f"x {sign} 2", f"2 {sign.translate(str.maketrans('<>', '><'))} x"):
        given = rule("one", {"in": condition, "out": None})
        assert [name == "in" for name in numbers(given, {"x": amounts})] == expected


def test_against_plain_python_on_random_rules():
    rng = np.random.default_rng(3)
    values = {name: rng.integers(-3, 8, 500).astype(float) for name in "xyz"}
    for _ in range(20):
        low, high, cut = sorted(rng.choice(np.arange(-2, 7), 2, replace=False)), None, int(rng.integers(0, 5))
        low, high = int(low[0]), int(low[1])
        given = rule(
            "cells",
            {
                "a": f"x < {low} and y >= {cut}",
                "b": f"{low} <= x <= {high} and y >= {cut}",
                "c": f"x > {high} and y >= {cut} and z == 2",
                "d": None,
            },
        )
        x, y, z = values["x"], values["y"], values["z"]
        expected = np.select(
            [
                (x < low) & (y >= cut),
                (x >= low) & (x <= high) & (y >= cut),
                (x > high) & (y >= cut) & (z == 2),
            ],
            ["a", "b", "c"],
            "d",
        )
        assert numbers(given, values) == expected.tolist()


TEXTS = {
    "channel == 'web'": lambda c: c == "web",
    "'web' = channel": lambda c: c == "web",
    "channel <> 'web'": lambda c: c != "web",
    "channel in ('web', 'shop')": lambda c: c in ("web", "shop"),
    "channel not in ('web', 'shop')": lambda c: c not in ("web", "shop"),
    "channel in ['O''Brien']": lambda c: c == "O'Brien",
}


@pytest.mark.parametrize("condition", TEXTS)
def test_texts_are_equal_or_among_others(condition):
    channels = np.array(["web", "shop", "fair", "O'Brien"], dtype=object)
    given = rule("one", {"in": condition, "out": None})
    assert given.texts() == ["channel"]
    amounts = given.amounts({"channel": channels})
    found = given.assign(amounts, [np.array(axis.levels) for axis in given.axes])
    assert (found == 0).tolist() == [TEXTS[condition](each) for each in channels.tolist()]
    missing = given.amounts({"channel": np.array([None, np.nan, ""], dtype=object)})[0]
    assert np.isnan(missing).all()


ODD_TEXTS = {
    "channel < 'web'": "a text has no order",
    "channel in 'web'": "stands alone",
    "channel == ('web', 'shop')": "stands alone",
    "channel in ('web', 3)": "texts and numbers beside each other",
    "channel + 1 == 'web'": "Only a column of text is compared with texts",
    "channel == 'web' and channel > 3": "holds texts or numbers",
}


@pytest.mark.parametrize("condition", ODD_TEXTS)
def test_texts_that_cannot_be_compared(condition):
    with pytest.raises(InputError, match=ODD_TEXTS[condition]):
        rule("one", {"in": condition, "out": None})


def test_texts_that_overlap_or_leave_somebody_out():
    with pytest.raises(InputError, match="overlaps 'a'.*both take customers with channel == 'web'"):
        rule("two", {"a": "channel in ('web', 'shop')", "b": "channel not in ('shop', 'fair')", "c": None})
    with pytest.raises(InputError, match=r"takes customers with channel not in \('shop', 'web'\)"):
        rule("two", {"a": "channel == 'web'", "b": "channel == 'shop'"})


def test_shares_of_the_base_are_cut_in_every_draw():
    given = rule("halves", {"low": "x < quantile(0.5)", "high": "x >= quantile(0.5)"})
    (axis,) = given.axes
    assert (axis.scale, axis.levels) == ("quantile", (0.5,))
    amounts = [np.array([[1.0, 1.0], [2.0, 2.0]])]
    found = given.assign(amounts, [np.array([[1.5, 2.5]])])
    np.testing.assert_array_equal(found, [[0, 0], [1, 0]])
    # The best that bring 80 % start at a higher amount than the best that bring 95 %.
    given = rule("ABC", {"A": "v >= bringing(0.8)", "B": "bringing(0.95) <= v < bringing(0.8)", "C": None})
    assert given.axes[0].levels == (0.95, 0.8)
    assert numbers(given, {"v": np.array([1.0, 4.0, 9.0])}, [np.array([3.0, 8.0])]) == ["C", "B", "A"]


def test_names_may_be_in_any_language():
    given = rule("客户", {"高价值": "价值 > 10", "其他": None})
    assert numbers(given, {"价值": np.array([11.0, 10.0])}) == ["高价值", "其他"]


REFUSED = {
    "overlap": (
        FOUR.replace("often < 2", "often <= 2"),
        r"line 13: segment 'meteor' overlaps 'gold' \(kinds.toml, line 9\): both take customers with .*purchases == 2",
    ),
    "gap": (
        FOUR.replace("otherwise = true", 'where = "profit < 0"'),
        r"line 17: no segment up to 'burden' takes customers with value - cost_to_serve == 0",
    ),
    "nobody": (
        FOUR.replace("profit > 0 and often < 2", "often > 2 and often < 1"),
        "line 13.*takes no customer",
    ),
    "syntax": (FOUR.replace("often >= 2", "often >="), "line 9.*cannot be read"),
    "or": (FOUR.replace("profit > 0 and often < 2", "profit > 0 or often < 2"), "line 13.*uses 'or'"),
    "call": (FOUR.replace('"value - cost_to_serve"', '"max(value, 1)"'), "line 4.*is no quantity"),
    "power": (FOUR.replace('"value - cost_to_serve"', '"value ** 2"'), "line 4.*is no quantity"),
    "itself": (FOUR.replace('"value - cost_to_serve"', '"profit - 1"'), "defined in terms of itself"),
    "sign": (FOUR.replace("often < 2", "often != 2"), "line 13.*something else than"),
    "two quantities": (FOUR.replace("often < 2", "often < value"), r"line 13.*no threshold on either side"),
    "share": (FOUR.replace("often < 2", "often < quantile(80)"), "line 13.*is no threshold"),
    "mixed": (
        FOUR.replace("often < 2", "often < quantile(0.5)"),
        r"line 13.*cut at quantile\(0.5\), and at 2",
    ),
    "twice": (FOUR.replace('"meteor"', '"gold"'), "line 13.*there already"),
    "two rests": (FOUR + '\n[[segments]]\nname = "x"\notherwise = true\n', "line 21.*already takes"),
    "both": (FOUR + 'where = "profit > 1"\n', "line 15.*needs either where"),
    "key": (FOUR + 'colour = "red"\n', "line 18: 'colour' is not known"),
    "top key": ('when = "x"\n' + FOUR, "line 1: 'when' is not known"),
    "no segments": ('name = "x"\n', r"has no \[\[segments\]\]"),
    "not toml": ("name = \n", "line 1.*is not TOML"),
    "bare name": ('[quantities]\n利润 = "value"\n', 'line 2.*in quotes.*"利润" = '),
    "bare value": ("[[segments]]\nname = 黄金\n", 'line 2.*in quotes.*"黄金"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_rule_is_refused_with_its_line(tmp_path, case):
    text, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        read_rule(written(tmp_path, text))


def test_what_is_known_of_a_quantity_need_not_be_said():
    whole = rule("counts", {"none": "purchases == 0", "one": "purchases == 1", "more": "purchases > 1"})
    assert numbers(whole, {"purchases": np.array([0.0, 1.0, 2.0, 7.0])}) == ["none", "one", "more", "more"]
    rule("alive", {"yes": "alive == 1", "no": "alive == 0"})
    rule("chance", {"yes": "0.5 < probability_alive <= 1", "no": "0 <= probability_alive <= 0.5"})
    with pytest.raises(InputError, match="purchases > 1 and purchases < 4"):
        rule("gap", {"few": "purchases <= 1", "many": "purchases >= 4"})
    with pytest.raises(InputError, match="takes customers with value > 1"):
        rule("money is not whole", {"none": "value <= 1", "two": "value >= 2"})
    with pytest.raises(InputError, match="takes no customer at all"):
        rule("negative", {"debt": "value < 0", "rest": None})


def test_a_division_by_zero_says_where_and_how_often():
    given = rule("ratio", {"dear": "value / purchases > 10", "cheap": None})
    with pytest.raises(InputError, match=r"segment 'dear'.*'purchases', which is zero 2 times in 3"):
        given.amounts({"value": np.ones(3), "purchases": np.array([0.0, 0.0, 1.0])})


def test_a_rule_with_too_many_cells_is_refused():
    many = " and ".join(f"{a}{i} > 1" for a in "xyz" for i in range(4))
    with pytest.raises(InputError, match="531,441 cells"):
        rule("many", {"all": many, "rest": None})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_rule(tmp_path / "none.toml")
