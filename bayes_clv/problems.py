"""What can be wrong with a result: one table, from a code to its threshold, its meaning and its remedies.

Whoever finds a problem names it by its code and gives its numbers (`problem`); the sentences stand here and nowhere
else, so that the page, the command line and ``run.json`` say the same words, and a reworded sentence loses no remedy.
`cards` makes of many problems what a reader should meet: one card a cause, the worst first.

The table lies below all folders, beside the vocabulary: customers (rows that were dropped), inference (chains) and
scoring (a total that was missed) find problems, and views and workflows show them; any of their folders would be the
wrong one for the others. A `Problem` itself is a record of the schema. Posteriors of earlier versions carry plain
sentences: they are read as the code ``"sentence"``, shown as they are, with a general remedy.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayes_clv.schema import Problem

RHAT_MAX = 1.01
ESS_PER_CHAIN = 100
BFMI_MIN = 0.3
# Below it, the forecasts of the chosen number leave out an uncertainty.
CHOICE_ENOUGH = 0.95
# Chance alone puts a check of the holdout outside its limits once in a hundred runs.
HOLDOUT_LEVEL = 0.99
# Where the correlation moves a value by 5 %, which is CDNOW's own standard error of a total: at 0.25 that of the whole
# base, at -0.25 that of the tenth ranked best (studies.spend_independence). CDNOW has 0.17.
CORRELATION_MAX = 0.25


@dataclass(frozen=True)
class Kind:
    """What a code says: title, finding and meaning with slots for the problem's numbers, and remedies, best first.

    ``threshold`` is where the check fails; None where the problem's own numbers hold it, or there is none. Problems of
    one ``cause`` share a card, and of its kinds the first of the table gives title, meaning and remedies.
    """

    title: str
    found: str
    meaning: str
    remedies: tuple[str, ...]
    threshold: float | None = None
    cause: str | None = None


@dataclass(frozen=True)
class Card:
    """One cause as a reader meets it: what was found (a sentence each), what it means, remedies in order."""

    title: str
    found: tuple[str, ...]
    meaning: str
    remedies: tuple[str, ...]
    codes: tuple[str, ...]


_SPLIT = (
    "Split the base where spend differs for a reason (product line, business customers) and fit each.",
    "Look for a few extreme orders that make the correlation.",
    "Use the purchases alone for ranking customers.",
)
_SPEND_FOUND = (
    "The correlation of spend level and log frequency is {words}; the check passes up to {threshold}. Twice the "
    "purchases go with {doubling:+.0f} % spend per purchase."
)
_SPEND_MEANS = "The spend models take spend per purchase and purchase rate to be independent. "
_NARROW = (
    "Look at the calibration figure for the frequencies that miss.",
    "Try another purchase family.",
    "Look for changes between calibration and holdout.",
)
_COVERED = (
    "{covered:.1f} % of {customers:,} customers lie inside their {level} % interval; the forecast promised "
    "{promised:.1f} ± {error:.1f} % (99 % of chance)."
)

# The worst first: this is the order of cards.
KINDS: dict[str, Kind] = {
    "no_diagnostics": Kind(
        "no diagnostics",
        "The posterior carries no diagnostics.",
        "Whether it can be trusted is not known.",
        ("Fit again with bayes_clv.fit, which attaches them.",),
    ),
    "unexplained": Kind(
        "the fit did not pass",
        "The fit is marked as failed, without a reason.",
        "See what was found.",
        ("Fit again and read clv.diagnostics(posterior).",),
    ),
    "rhat": Kind(
        "R-hat is {rhat:.3f}",
        "R-hat is {rhat:.3f} (should be below {threshold}): the chains disagree.",
        "The chains disagree: the draws are not yet draws from the posterior, and no number here can be trusted.",
        (
            "Take more draws: fit(..., tune=2000, draws=2000).",
            "Look at the rank plots below for the chain that differs.",
            "Give less wide priors; with few repeat customers the data say little about dropout.",
        ),
        threshold=RHAT_MAX,
        cause="chains",
    ),
    "ess": Kind(
        "the smallest effective sample size is {ess:,.0f}",
        "The smallest effective sample size is {ess:,.0f} (should be at least {needed:,}): quantiles are unsure.",
        "Quantiles and tails are uncertain by more than they should be.",
        ("Take more draws: fit(..., draws=2000).",),
        threshold=ESS_PER_CHAIN,
        cause="chains",
    ),
    "divergences": Kind(
        "{divergences:,} of {transitions:,} transitions diverged",
        "{divergences:,} of {transitions:,} transitions diverged: part of the posterior may be missing.",
        "Part of the posterior may be missing, so that every interval may be too narrow.",
        (
            "Look at the history of odd customers (very high frequency, very long silence) in the audit.",
            "Give priors that are less wide.",
            "Sample longer (tune=2000).",
        ),
        threshold=0,
        cause="geometry",
    ),
    "bfmi": Kind(
        "BFMI is {bfmi:.2f}",
        "BFMI is {bfmi:.2f} (should be above {threshold}): the tails are explored poorly.",
        "The sampler explores the tails poorly, so that extreme quantiles may be off.",
        ("Sample longer.", "Give less wide priors."),
        threshold=BFMI_MIN,
        cause="geometry",
    ),
    "one_chain": Kind(
        "one chain only",
        "One chain only: agreement between chains (R-hat) cannot be checked.",
        "Whether the sampler found the whole posterior cannot be checked.",
        ("Fit with chains=4.",),
    ),
    "pareto_k": Kind(
        "Pareto k is {k:.2f}",
        "Pareto k is {k:.2f} (should be below {limit:.2f}): the posterior is not close enough to its Laplace "
        "approximation.",
        "The fast approximation is not close enough to the posterior for its averages to be trusted.",
        ("Fit with method='nuts'.", "Give less wide priors."),
    ),
    "mode": Kind(
        "method='mode' gives one point",
        "method='mode' gives one point: the uncertainty of the population parameters is missing from every interval.",
        "The intervals hold chance alone and are too narrow; the means are those of papers.",
        ("Fit with method='nuts', or 'laplace' where time is short.",),
    ),
    "diagnose": Kind(
        "az.diagnose reports a failed check",
        "az.diagnose reports a failed check: {checks}.",
        "See what was found.",
        ("Fit again and read clv.diagnostics(posterior).",),
    ),
    "choice_unsure": Kind(
        "{name} = {chosen} was chosen with a posterior probability of {probability:.2f}",
        "{name} = {chosen} was chosen with a posterior probability of {probability:.2f} (should be above {threshold}; "
        "{table}): forecasts hold for this {name} alone.",
        "How regular the timing is stays open, and no interval holds that uncertainty.",
        (
            "Fit the runner-up too, priors={{'{name}': ...}}, and compare the forecasts.",
            "Observe longer.",
        ),
        threshold=CHOICE_ENOUGH,
    ),
    "choice_at_end": Kind(
        "{name} = {largest} is the largest that was tried",
        "{name} = {largest} is the largest that was tried, and the best: purchases may be more regular still.",
        "The data would take a more regular timing than was allowed.",
        ("Give priors={{'{name}': Prior('DiscreteUniform', lower=1, upper=...)}} with a larger end.",),
    ),
    "sentence": Kind(
        "the fit did not pass",
        "{sentence}",
        "The posterior was saved by an earlier version, which kept sentences: see what was found.",
        ("Fit again: the fit then says what each finding means and what to do.",),
        cause="sentence",
    ),
    "tree_depth": Kind(
        "{transitions:,} transitions reached the maximum tree depth",
        "{transitions:,} transitions reached the maximum tree depth: sampling is slow, not wrong.",
        "Sampling was slow; the draws are right.",
        ("Nothing has to be done; more customers or a less wide prior speed it up.",),
        threshold=0,
    ),
    "holdout_total": Kind(
        "the total is outside its interval",
        "{observed:,} purchases were made in the holdout; the forecast's 90 % interval is {low:,} to {high:,} (mean "
        "{mean:,.0f}).",
        "The model foresaw {direction} purchases than were made. One interval in ten misses by chance; otherwise "
        "something that moves all customers alike (season, promotion, a change of the range, cohorts that differ) is "
        "not in the model, and totals of the future carry the same error.",
        (
            "Look at the tracking figure: at once, or drifting?",
            "Fit cohorts apart, or leave out those whose behaviour has ended.",
            "Use rankings and shares rather than totals.",
        ),
    ),
    "holdout_narrow": Kind(
        "customers' intervals hold too few",
        _COVERED,
        "Customers' own forecasts are too narrow.",
        _NARROW,
        cause="narrow",
    ),
    "holdout_wide": Kind(
        "customers' intervals hold too many",
        _COVERED,
        "Customers' own forecasts are too wide: safe, but less sharp than they could be.",
        _NARROW,
        cause="wide",
    ),
    "rows_dropped": Kind(
        "{rows:,} rows were dropped",
        "{what}",
        "These orders are in none of the numbers below. If they are not a random few, the numbers are biased.",
        (
            "Repair the rows at their source and run again.",
            "Compare the customers concerned with the others.",
        ),
    ),
    "spend_rises": Kind(
        "mean spend depends on frequency",
        _SPEND_FOUND,
        _SPEND_MEANS
        + "Here frequent customers spend more, and those who buy rarely are expected to spend like them: "
        "the base's total is overstated, in a simulated base like CDNOW by 5 % at 0.25 and 8 % at 0.45.",
        _SPLIT,
        threshold=CORRELATION_MAX,
    ),
    "spend_falls": Kind(
        "mean spend depends on frequency",
        _SPEND_FOUND,
        _SPEND_MEANS
        + "Here frequent customers spend less: the value of the best ones is overstated, in a simulated "
        "base like CDNOW by 7 % at -0.28 and 10 % at -0.55 for the best tenth; the base's total is nearly right.",
        _SPLIT,
        threshold=CORRELATION_MAX,
    ),
    "no_number": Kind(
        "some numbers do not exist",
        "{reason}",
        "A number that does not exist is left empty instead of being given a plausible value.",
        ("Use the quantiles, which exist.", "Give a stronger prior on q, or more repeat customers."),
        cause="no_number",
    ),
}


def problem(code: str, subject: str = "", /, **numbers: Any) -> Problem:
    """Return a problem of this code; ``subject`` is what it is of, such as a family.

    Examples
    --------
    >>> problem("rhat", "bg_nbd", rhat=1.2).found
    'R-hat is 1.200 (should be below 1.01): the chains disagree.'
    """
    return Problem(code, _filled(KINDS[code], KINDS[code].found, numbers), numbers, subject)


def _filled(kind: Kind, text: str, numbers: Mapping[str, Any], otherwise: str = "") -> str:
    """Return the text with its slots filled; a file that lost a number (JSON has no NaN) gets ``otherwise``."""
    try:
        return text.format_map({"threshold": kind.threshold, **numbers})
    except (KeyError, TypeError, ValueError):
        if not otherwise:
            raise
        return otherwise


def read_problem(saved: Any, subject: str = "") -> Problem:
    """Return the problem that an attribute or ``run.json`` holds: a record, or a sentence of an earlier version."""
    if isinstance(saved, Problem):
        return saved
    if isinstance(saved, str) and saved.startswith("{"):
        saved = json.loads(saved)
    if not isinstance(saved, Mapping):
        return problem("sentence", subject, sentence=str(saved))
    numbers, of = dict(saved.get("numbers", {})), str(saved.get("subject", "") or subject)
    code = str(saved.get("code", ""))
    found = str(saved.get("found", ""))
    # Of a version that knows more kinds than this one.
    if code not in KINDS:
        return problem("sentence", of, sentence=found)
    return Problem(code, found, numbers, of)


def cards(problems: Iterable[Problem]) -> list[Card]:
    """Return one card a cause, the worst first; what several fits share is said once, of all of them.

    Examples
    --------
    >>> [card.title for card in cards([problem("mode", "Purchases"), problem("mode", "Spend")])]
    ["Purchases and Spend: method='mode' gives one point"]
    """
    order = {code: place for place, code in enumerate(KINDS)}
    found = sorted(problems, key=lambda each: order[each.code])
    # What R-hat and few effective draws say of one fit is one cause; of two fits, one cause where the words are one.
    together: dict[tuple[str, ...], list[Problem]] = {}
    for each in found:
        cause = KINDS[each.code].cause
        title = _title(each)
        together.setdefault((each.code, title) if cause is None else (cause, each.subject), []).append(each)
    return [_card(group) for group in together.values()]


def _title(each: Problem) -> str:
    return _filled(KINDS[each.code], KINDS[each.code].title, each.numbers, each.found.rstrip("."))


def _card(group: list[Problem]) -> Card:
    first = group[0]
    kind = KINDS[first.code]
    subjects = " and ".join(dict.fromkeys(each.subject for each in group if each.subject))
    title = _title(first)
    shown = f"{subjects}: {title}" if subjects else title
    return Card(
        title=shown,
        found=tuple(dict.fromkeys(each.found for each in group)),
        meaning=_filled(kind, kind.meaning, first.numbers, "See what was found."),
        remedies=tuple(_filled(kind, remedy, first.numbers, remedy) for remedy in kind.remedies),
        codes=tuple(dict.fromkeys(each.code for each in group)),
    )
