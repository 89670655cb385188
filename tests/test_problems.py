"""What can be wrong, in one table: codes, sentences with their numbers, cards of one cause, earlier versions."""

import json
import string

import pytest

from bayes_clv.problems import KINDS, cards, problem, read_problem
from bayes_clv.remedies import Ran

TOTAL = {"observed": 150, "low": 80, "high": 120, "mean": 100.0, "direction": "above"}
COVERED = {"level": "90", "customers": 300, "covered": 80.0, "promised": 93.0, "error": 3.0}
NUMBERS = {
    "rhat": {"rhat": 1.2},
    "ess": {"ess": 40.0, "needed": 400},
    "divergences": {"divergences": 3, "transitions": 4000},
    "bfmi": {"bfmi": 0.2},
    "pareto_k": {"k": 0.91, "limit": 0.7},
    "diagnose": {"checks": "rhat"},
    "choice_unsure": {"name": "k", "chosen": 2, "probability": 0.73, "table": "1: 27 %, 2: 73 %"},
    "choice_at_end": {"name": "k", "largest": 12},
    "sentence": {"sentence": "R-hat is {1.2}."},
    "tree_depth": {"transitions": 7},
    "holdout_total": TOTAL,
    "holdout_spend_total": TOTAL | {"sign": "£", "code": ""},
    "holdout_value_total": TOTAL | {"sign": "", "code": " EUR"},
    "holdout_retention": TOTAL | {"customers": 500, "real": 0.3, "predicted": 0.2},
    "weeks_outside": {
        "part": "holdout",
        "units": "weeks",
        "number": 53,
        "inside": 20,
        "above": 25,
        "below": 8,
        "expected": 47.6,
        "lower": 42,
        "direction": "both",
    },
    "holdout_unlikely": {"customers": 13, "bought": 6, "expected": 0.3},
    "holdout_tenth": {
        "tenths": 2,
        "customers": 30,
        "predicted": 30.0,
        "real": 60.0,
        "errors": 3.4,
        "after": "",
    },
    "holdout_frequent": {
        "level": 90,
        "customers": 300,
        "covered": 76.0,
        "promised": 92.0,
        "limit": 88.0,
    },
    "holdout_narrow": COVERED,
    "holdout_wide": COVERED,
    "holdout_spend_narrow": COVERED,
    "holdout_spend_wide": COVERED,
    "kaplan_meier": {"renewal": 72, "fitted": 67.0, "real": 58.9, "errors": 8.1, "customers": 362},
    "rows_dropped": {"rows": 6624, "what": "No date. x"},
    "dates_far": {
        "customers": 2,
        "day": "2199-01-01",
        "gap": 60000,
        "where": "after",
        "example": "17",
        "end": "2199-01-01",
    },
    "one_account": {"what": "purchases", "share": 31.0, "customer": "guest", "customers": 500},
    "regular": {"share": 91.0, "customers": 300, "every": 4.35, "unit": "week"},
    "few_customers": {"customers": 10, "repeats": 4},
    "alike_ids": {"customers": 2, "one": "'ann'", "other": "'ann\\u200b'"},
    "short_ids": {"customers": 12, "one": "1.23457E+12"},
    "total_rows": {"customers": 3, "one": "a Total"},
    "never_paid": {"customers": 40, "all": 1000, "share": 4.0, "example": "17"},
    "no_one_time": {"customers": 100, "odds": 37_648.6},
    "spend_tail": {"top": 50, "customers": 1000, "exponent": 0.8, "error": 0.11},
    "more_than_days": {"customers": 2, "example": "17", "purchases": 41.0, "days": 28.0},
    "far_horizon": {"times": 14.7, "horizon": 1044.0, "span": 71.0, "units": "weeks"},
    "margin_above_one": {"margin": 1.5, "percent": 150.0},
    "rate_above_half": {"rate": 1.2, "percent": 120.0, "left": 45.5},
    "spend_rises": {"words": "0.40 (90 % interval 0.3 to 0.5)", "correlation": 0.4, "doubling": 12.0},
    "spend_falls": {"words": "-0.40 (90 % interval -0.5 to -0.3)", "correlation": -0.4, "doubling": -12.0},
    "spend_by_frequency": {
        "off": 8.0,
        "error": 1.0,
        "side": "high",
        "by": 23.0,
        "more": "less",
        "who": "buyers",
    },
    "spend_by_age": {"off": 8.0, "error": 1.0, "side": "low", "by": 12.0, "more": "more"},
    "spend_by_order": {"off": 8.0, "error": 1.0, "side": "low", "by": 12.0, "more": "more"},
    "spend_by_month": {"spread": 9.0, "months": 12, "highest": "2000-12", "factor": 1.3},
    "no_number": {"reason": "value_mean: NaN for 3 of 120 customers"},
}


@pytest.mark.parametrize("code", KINDS)
def test_every_kind_says_its_number_its_threshold_and_what_to_do(code):
    kind = KINDS[code]
    made = problem(code, "Purchases", **NUMBERS.get(code, {}))
    (card,) = cards([made])
    assert card.codes == (code,)
    assert card.title.startswith("Purchases: ")
    assert card.found == (made.found,)
    assert card.meaning.endswith(".")
    assert card.remedies
    slots = {
        name
        for text in (kind.title, kind.found, kind.meaning)
        for _, name, *_ in string.Formatter().parse(text)
    }
    assert slots - {None, "threshold"} <= set(NUMBERS.get(code, {}))
    # Through a file and back, nothing is lost; and a number that JSON has none for (None) breaks no page.
    saved = json.loads(json.dumps(made.record()))
    assert read_problem(saved) == made
    assert cards([read_problem(saved | {"numbers": dict.fromkeys(saved["numbers"])})])[0].found == (
        made.found,
    )


def test_one_card_a_cause_the_worst_first():
    few = [problem("ess", "Purchases", **NUMBERS["ess"]), problem("rhat", "Purchases", **NUMBERS["rhat"])]
    modes = [problem("mode", "Purchases"), problem("mode", "Spend")]
    levels = [
        problem("holdout_narrow", "Holdout", **NUMBERS["holdout_narrow"] | {"level": n}) for n in ("50", "90")
    ]
    found = cards([problem("rows_dropped", "Data", **NUMBERS["rows_dropped"]), *levels, *modes, *few])
    assert [card.title for card in found] == [
        "Purchases: R-hat is 1.200",
        "Purchases and Spend: method='mode' gives one point",
        "Holdout: customers' intervals hold too few",
        "Data: 6,624 rows were dropped",
    ]
    assert [len(card.found) for card in found] == [2, 1, 2, 1]
    # Another fit's chains are another cause.
    other = problem("rhat", "Spend", rhat=1.3)
    assert len(cards([*few, other])) == 2


def test_sentences_of_earlier_versions_are_shown_with_a_general_remedy():
    old = [read_problem(each, "Purchases") for each in ("R-hat is 1.2: the chains disagree.", "BFMI is 0.1.")]
    (card,) = cards(old)
    assert card.title == "Purchases: the fit did not pass"
    assert card.found == ("R-hat is 1.2: the chains disagree.", "BFMI is 0.1.")
    assert "Fit again" in card.remedies[0]
    # And a code of a later version.
    assert read_problem({"code": "of tomorrow", "found": "It rained."}).found == "It rained."


def test_a_remedy_that_is_in_force_is_not_offered():
    total = problem("holdout_total", "Holdout", **TOTAL)
    weeks = problem("weeks_outside", "Calendar", **NUMBERS["weeks_outside"])
    for each in (total, weeks):
        (card,) = cards([each], Ran(may=frozenset({"calendar"}), years=0.7, command=True))
        assert card.remedies[0] == "Let the rate of all customers move: bayes-clv run --calendar."
        assert not any("season can be known" in remedy for remedy in card.remedies)
        (card,) = cards([each], Ran(calendar=True, years=0.7, command=True))
        assert card.remedies[0].endswith(
            "from 8 months of data no season can be known, with a calendar neither."
        )
        assert not any("--calendar" in remedy or "Calendar()" in remedy for remedy in card.remedies)
        (card,) = cards([each], Ran(calendar=True, years=3.0))
        assert not any("season can be known" in remedy for remedy in card.remedies)
    frequent = problem("holdout_frequent", "Holdout", **NUMBERS["holdout_frequent"])
    unlikely = problem("holdout_unlikely", "Holdout", **NUMBERS["holdout_unlikely"])
    for each, option in ((frequent, "drift"), (unlikely, "returns")):
        for may in (frozenset(), frozenset({option})):
            (card,) = cards([each], Ran(may=may, command=True))
            assert any(f"--{option}" in remedy for remedy in card.remedies) == bool(may)
    daily = problem("more_than_days", "Value", **NUMBERS["more_than_days"])
    regular = problem("regular", "Data", **NUMBERS["regular"])
    assert len(cards([daily], Ran(columns={"customer_id": "id"}))[0].remedies) == 1
    assert len(cards([regular], Ran(family="pareto_ggg"))[0].remedies) == 1
    assert len(cards([regular], Ran(family="bg_nbd"))[0].remedies) == 2
    few = problem("ess", "Purchases", **NUMBERS["ess"])
    assert cards([few], Ran(draws=3000, command=True))[0].remedies == ("Take more draws: --draws 6000.",)


def test_a_correction_that_the_holdout_speaks_against_is_not_offered():
    for code in ("spend_by_frequency", "spend_by_age", "spend_by_order"):
        high = problem(code, "Spend", **NUMBERS[code] | {"side": "high"})
        for missed, offered in ((0.66, False), (-0.3, True), (0.04, True), (None, True)):
            (card,) = cards([high], Ran(money_missed=missed))
            assert any("by this per cent" in remedy for remedy in card.remedies) == offered
            assert ("in the holdout 66 % more was spent than forecast" in card.meaning) == (not offered)
        low = problem(code, "Spend", **NUMBERS[code] | {"side": "low"})
        (card,) = cards([low], Ran(money_missed=-0.2))
        assert "20 % less was spent than forecast" in card.meaning
        assert not any("by this per cent" in remedy for remedy in card.remedies)


def test_rows_are_left_out_in_the_words_of_the_log():
    account = problem("one_account", "Data", **NUMBERS["one_account"] | {"customer": "O'Brien"})
    free = problem("never_paid", "Data", **NUMBERS["never_paid"])
    read = {"customer_id": "Kundennr", "spend": "Net price"}
    for ran, by_id, by_price in (
        (Ran(columns=read, command=True), "--where \"Kundennr <> 'O''Brien'\"", "--where '`Net price` > 0'"),
        (Ran(columns=read), "where=\"Kundennr <> 'O''Brien'\"", "where='`Net price` > 0'"),
        (
            Ran(columns=read | {"where": "n > 0"}, command=True),
            "--where \"n > 0 and Kundennr <> 'O''Brien'\"",
            "--where 'n > 0 and `Net price` > 0'",
        ),
    ):
        for each, said in ((account, by_id), (free, by_price)):
            (card,) = cards([each], ran)
            assert card.remedies[0].endswith(f": {said}.")
    # Of columns that are not known the words are general.
    assert cards([account], Ran())[0].remedies == cards([account])[0].remedies
