"""What can be wrong with a result: one table, from a code to its threshold, its meaning and its remedies.

Whoever finds a problem names it by its code and gives its numbers (`problem`); the sentences stand here and nowhere
else, so that the page, the command line and ``run.json`` say the same words, and a reworded sentence loses no remedy.
`cards` makes of many problems what a reader should meet: one card a cause, the worst first.

The table lies below all folders, beside the vocabulary: customers (rows that were dropped), inference (chains) and
scoring (a total that was missed) find problems, and views and workflows show them; any of their folders would be the
wrong one for the others. A `Problem` itself is a record of the schema.

A page can be wrong in two ways. Totals fail outside their 90 % intervals, since that is what the page promises of them:
one in ten fails by chance, and its card says so. The other checks of a holdout fail by chance once in a hundred runs
each, of which weeks and months, in calibration and holdout, are four. Of 80 simulated bases of 600 customers, forecast
from the parameters that made them (``good`` of tests/workflows/test_verdicts.py, seeds 101 to 180), 62 passed every
check; the total of spend failed in 8, of purchases and of buyers in 7 each, weeks in 4, customers' intervals in 3, a
tenth and those given up in 1 each. Rejected: 99 % for totals too. A page would be green where a sum lies outside the
interval that it prints.

Posteriors of earlier versions carry plain sentences: they are read as the code ``"sentence"``, shown as they are, with
a general remedy.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayes_clv.language import ENGLISH, joined, say, say_again, speaking, spoken
from bayes_clv.remedies import Ran, Remedy, column_words, suiting, text_words
from bayes_clv.schema import Problem

RHAT_MAX = 1.01
ESS_PER_CHAIN = 100
BFMI_MIN = 0.3
# Below it, the forecasts of the chosen number leave out an uncertainty.
CHOICE_ENOUGH = 0.95
# Chance alone puts a check of customers' intervals, or of weeks, outside its limits once in a hundred runs.
HOLDOUT_LEVEL = 0.99
# Buyers of a tenth of the forecast: chance alone is beyond so many standard errors once in 370, in one of a run's
# eleven groups once in 34 runs.
TENTH_ERRORS = 3.0
# Whom a forecast gives less than this probability of any purchase should hardly buy at all.
UNLIKELY = 0.03
# Frequent buyers are few, and the many others hide them in the share of all customers who are covered.
FREQUENT = 5
# Of the weeks outside the band, what must lie on one side for them to have the cause of a total that missed there.
ONE_SIDED = 0.8
# Where the correlation moves a value by 5 %, which is CDNOW's own standard error of a total: at 0.25 that of the whole
# base, at -0.25 that of the tenth ranked best (studies.spend_independence). CDNOW has 0.17.
CORRELATION_MAX = 0.25
# What a total of money may be off, in per cent, by more than chance: CDNOW's own standard error of a total.
SPEND_MAX = 5.0
# A forecast of so many times the longest history; a share of spend; a discount of a year.
HORIZON_MAX, MARGIN_MAX, RATE_MAX = 5, 1, 0.5
# One check in a hundred fails by chance.
SPEND_ERRORS = 2.576


# What a problem can be of, as the page names it.
SUBJECTS = ("Purchases", "Spend", "Data", "Value", "Calendar", "Holdout")
# What says that a fit itself did not pass, so that all that is drawn from it is in doubt.
FIT_FAILED = (
    *("no_diagnostics", "unexplained", "rhat", "ess", "divergences", "bfmi"),
    *("pareto_k", "mode", "diagnose", "sentence"),
)
# What says that totals of money are off, or too sure, whatever a holdout says.
MONEY_FAILED = (
    *("spend_tail", "spend_rises"),
    *("spend_by_frequency", "spend_by_age", "spend_by_order", "spend_by_month"),
)


@dataclass(frozen=True)
class Kind:
    """What a code says: title, finding and meaning with slots for the problem's numbers, and remedies, best first.

    ``threshold`` is where the check fails; None where the problem's own numbers hold it, or there is none. Problems of
    one ``cause`` share a card, and of its kinds the first of the table gives title, meaning and remedies; where their
    numbers have a ``direction``, those of another direction have another cause.
    """

    title: str
    found: str
    meaning: str
    remedies: tuple[str | Remedy, ...]
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
    "The correlation of spend level and log frequency is {words}; the check passes up to {threshold}, or "
    "within chance. Twice the purchases go with {doubling:+.0f} % spend per purchase."
)
_SPEND_MEANS = "The spend models take spend per purchase and purchase rate to be independent. "
_OFF = (
    "totals of money are {off:.1f} % too {side} (standard error {error:.1f} %; the check passes up to {threshold:.0f} "
    "%, or within chance)."
)
_TREND_OFF = "Should that go on, " + _OFF
_TREND_MEANS = (
    "The spend models take what a customer spends an order to have one mean for ever. A trend goes on in the future, "
    "and money carries it in full. Within a customer age and calendar run together: this may be prices that rise."
)
_TREND_SPLIT = (
    Remedy("Correct totals of money by this per cent, or rank by purchases.", corrects=True),
    Remedy(
        "Fit spend with a trend by age: bayes-clv run --trend, or clv.fit(..., trend=True), of customers with "
        "also=('log_spend', 'purchase_spend').",
        python="Fit spend with a trend by age: clv.fit(..., trend=True), of customers with also=('log_spend', "
        "'purchase_spend').",
        shell="Fit spend with a trend by age: bayes-clv run --trend.",
    ),
    "Fit to a shorter, more recent calibration, in which spend had less time to change.",
    "Look for what rises with it: prices, range, a programme for regular customers.",
)
_INTERVALS = (
    "Look at the calibration figure for the frequencies that miss.",
    "Compare purchase families over several origins: bayes-clv backtest.",
    "Look for changes between calibration and holdout.",
)
_SPEND_INTERVALS = (
    "Look at the lower panels of the calibration figure: which places, which frequencies?",
    "Where purchases pass and spend does not, compare spend families (gamma_gamma, lognormal_spend).",
    "Look for a few extreme orders, and for prices that changed.",
)
_IN_PYTHON = "clv.fit(..., calendar=Calendar()) with clv.inference.Calendar."
_MOVE = "Let the rate of all customers move: "
_CALENDAR = Remedy(
    f"{_MOVE}bayes-clv run --calendar, or {_IN_PYTHON}",
    python=_MOVE + _IN_PYTHON,
    shell=f"{_MOVE}bayes-clv run --calendar.",
    suits=lambda ran: "calendar" in ran.may,
)
# A calendar learns what returns every year from whole years.
_NO_SEASON = Remedy(
    "Learn from two years or more: from {span} of data no season can be known, with a calendar neither.",
    suits=lambda ran: ran.calendar and ran.years is not None and ran.years < 2,
    only_known=True,
)
_DRIFT = Remedy(
    "Let customers' own rates drift: bayes-clv run --drift, or clv.fit('mbg_nbd_drift', ...).",
    shell="Let customers' own rates drift: bayes-clv run --drift.",
    suits=lambda ran: "drift" in ran.may,
)
_RETURNS = Remedy(
    "Let customers fall asleep and come back: bayes-clv run --returns, or clv.fit('mbg_nbd_returns', ...).",
    shell="Let customers fall asleep and come back: bayes-clv run --returns.",
    suits=lambda ran: "returns" in ran.may,
)
_BY_NUTS = Remedy(
    "Fit with method='nuts'.", shell="Fit by sampling: --method nuts.", suits=lambda ran: ran.method != "nuts"
)
_MORE_DRAWS = Remedy(
    "Take more draws: fit(..., draws=2000).",
    python="Take more draws: fit(..., draws={more_draws}).",
    shell="Take more draws: --draws {more_draws}.",
)
_MORE_TUNING = Remedy(
    "Take more draws: fit(..., tune=2000, draws=2000).",
    python="Take more draws: fit(..., tune=2000, draws={more_draws}).",
    shell="Take more draws: --draws {more_draws}.",
)
_WITHOUT_ACCOUNT = Remedy(
    "If it is no customer, leave it out: where=\"customer_id <> '...'\" (--where).",
    python="If it is no customer, leave it out: {where}.",
    shell="If it is no customer, leave it out: {where}.",
    condition=lambda ran, numbers: (
        f"{column_words(ran.columns['customer_id'])} <> {text_words(numbers['customer'])}"
        if "customer_id" in ran.columns
        else ""
    ),
)
_PAID_ONLY = Remedy(
    'If they are no customers, leave their orders out: where="amount > 0" (--where).',
    python="If they are no customers, leave their orders out: {where}.",
    shell="If they are no customers, leave their orders out: {where}.",
    condition=lambda ran, _numbers: (
        f"{column_words(ran.columns['spend'])} > 0" if "spend" in ran.columns else ""
    ),
)
_TOTALS = (
    _CALENDAR,
    _NO_SEASON,
    "Look at the tracking figure: at once, or drifting?",
    "See whether other origins miss to the same side: bayes-clv backtest.",
    "Fit cohorts apart, or leave out those whose behaviour has ended.",
    "Use rankings and shares rather than totals.",
)
# Amounts in their currency, a sign before or a code behind.
_MONEY = {name: f"{{sign}}{{{name}:,.0f}}{{code}}" for name in ("observed", "low", "high", "mean")}
_CHANCE = "One interval in ten misses by chance; otherwise "
_COVERED = (
    "{covered:.1f} % of {customers:,} customers lie inside their {level} % interval; the forecast promised "
    "{promised:.1f} ± {error:.1f} % (99 % of chance)."
)
_SPEND_COVERED = _COVERED.replace("their {level} % interval", "their {level} % interval of spend")

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
            _MORE_TUNING,
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
        (_MORE_DRAWS,),
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
        (_BY_NUTS, "Give less wide priors."),
    ),
    "mode": Kind(
        "method='mode' gives one point",
        "method='mode' gives one point: the uncertainty of the population parameters is missing from every interval.",
        "The intervals hold chance alone and are too narrow; the means are those of papers.",
        (
            Remedy(
                "Fit with method='nuts', or 'laplace' where time is short.",
                shell="Fit by sampling: --method nuts, or --method laplace where time is short.",
            ),
        ),
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
        "{observed:,} purchases, {direction} the forecast's {low:,} to {high:,}",
        "{observed:,} purchases were made in the holdout; the forecast's 90 % interval is {low:,} to {high:,} (mean "
        "{mean:,.0f}).",
        _CHANCE
        + "something that moves all customers alike (season, promotion, a change of the range, cohorts that "
        "differ) is not in the model, nor in its calendar where it has one, and totals of the future carry the same "
        "error.",
        _TOTALS,
        cause="moved",
    ),
    "holdout_retention": Kind(
        "{observed:,} customers bought, {direction} the forecast's {low:,} to {high:,}",
        "{observed:,} of {customers:,} customers ({real:.3f}) bought at all in the holdout; the forecast's 90 % "
        "interval is {low:,} to {high:,} (mean {mean:,.0f}, {predicted:.3f}).",
        _CHANCE
        + "more or fewer customers are still there than the family infers from silence, and lists of who is "
        "lost or at risk are off in the same way.",
        (
            "Look at the retention figure: which customers were given up, or counted on, wrongly?",
            "Compare purchase families over several origins: bayes-clv backtest. They differ in who has left.",
            "Use rankings and shares rather than totals.",
        ),
        cause="moved",
    ),
    "holdout_spend_total": Kind(
        f"spend of {_MONEY['observed']}, {{direction}} the forecast's {_MONEY['low']} to {_MONEY['high']}",
        f"{_MONEY['observed']} was spent in the holdout; the forecast's 90 % interval is {_MONEY['low']} to "
        f"{_MONEY['high']} (mean {_MONEY['mean']}).",
        _CHANCE
        + "what a purchase brings has changed (prices, range, a few large orders), or spend depends on what the "
        "spend model takes it to be independent of; money of the future carries the same error.",
        (
            "Compare mean spend per purchase before and in the holdout, with and without the largest orders.",
            "See whether other origins miss to the same side: bayes-clv backtest.",
            "Use rankings and shares rather than totals.",
        ),
        cause="moved",
    ),
    "holdout_value_total": Kind(
        f"value of {_MONEY['observed']}, {{direction}} the forecast's {_MONEY['low']} to {_MONEY['high']}",
        f"The holdout brought a value of {_MONEY['observed']} after margin and discount; the forecast's 90 % interval "
        f"is {_MONEY['low']} to {_MONEY['high']} (mean {_MONEY['mean']}).",
        _CHANCE
        + "money came at other times or in other amounts than the model foresees; values of the future carry "
        "the same error.",
        _TOTALS,
        cause="moved",
    ),
    "weeks_outside": Kind(
        "{inside} of {number} {units} inside the 90 % band of the {part}",
        "In the {part} {inside} of {number} {units} lie inside the 90 % band of the tracking figure ({above} above it, "
        "{below} below); about {expected:.0f} would if the model held, and at least {lower} in 99 of 100 such bases.",
        "Purchases come in seasons or waves. Where the model's customers buy at rates that do not change with the "
        "calendar, sums carry the error, rankings hardly.",
        (
            _CALENDAR,
            _NO_SEASON,
            "Read the tracking figure for when it happens: the same weeks each year are a season.",
            Remedy(
                "Forecast whole years where two of them are known.",
                suits=lambda ran: ran.years is None or ran.years >= 2,
            ),
            "Use rankings and shares rather than sums over parts of a year.",
        ),
        cause="moved",
    ),
    "holdout_unlikely": Kind(
        "{bought:,} of {customers:,} customers given up came back",
        "Of {customers:,} customers whose chance of buying in the holdout was forecast below {threshold:.0f} %, "
        "{bought:,} bought; {expected:.1f} were expected.",
        "Customers whom the family takes to be gone are not: long silences end. Lists of who is lost are wrong about "
        "them, and so is what they are said to be worth.",
        (
            "Compare purchase families over several origins: bayes-clv backtest. They differ most in who has left.",
            _RETURNS,
            "Do not take a customer off a list for a low probability alone.",
        ),
        threshold=round(100 * UNLIKELY),
        cause="who",
    ),
    "holdout_tenth": Kind(
        "buyers differ from their forecast in {tenths} of 10 tenths",
        "In {tenths} of 10 tenths of the forecast buyers differ from it. The worst: of {customers:,} customers with a "
        "chance of {predicted:.1f} % on average, {real:.1f} % bought ({errors:.1f} standard errors; the check passes "
        "up to {threshold:.0f}){after}.",
        "Who comes back at all is forecast wrongly for such customers, and so are lists of who is lost or at risk.",
        (
            "Look at the retention figure: at the low end, at the high end, or everywhere?",
            "Compare purchase families over several origins: bayes-clv backtest. They differ most in who has left.",
            "Rank customers, and do not act on the probability itself.",
        ),
        threshold=TENTH_ERRORS,
        cause="who",
    ),
    "holdout_frequent": Kind(
        "frequent buyers' intervals hold too few",
        "{covered:.1f} % of {customers:,} customers with {threshold} or more repeat purchases lie inside their "
        "{level} % interval; the forecast promised {promised:.1f} %, at least {limit:.1f} % in 99 of 100 such bases.",
        "Frequent buyers change: they buy more often for a time, or less. Where rates do not drift, a customer's stays "
        "what it is until the customer leaves. Rare buyers are many and hide it in the share of all customers.",
        (
            _DRIFT,
            "Do not read the interval of a single frequent buyer; sums over many lean on it less.",
            "Fit to a shorter, more recent calibration, in which rates had less time to change.",
            "Look for what changed with them (contracts, resellers, promotions) and fit such customers apart.",
        ),
        threshold=FREQUENT,
        cause="narrow",
    ),
    "holdout_narrow": Kind(
        "customers' intervals hold too few",
        _COVERED,
        "Customers' own forecasts are too narrow.",
        _INTERVALS,
        cause="narrow",
    ),
    "holdout_spend_narrow": Kind(
        "customers' intervals of spend hold too few",
        _SPEND_COVERED,
        "Forecasts of what single customers spend are too narrow.",
        _SPEND_INTERVALS,
        cause="narrow",
    ),
    "holdout_wide": Kind(
        "customers' intervals hold too many",
        _COVERED,
        "Customers' own forecasts are too wide: safe, but less sharp than they could be.",
        _INTERVALS,
        cause="wide",
    ),
    "holdout_spend_wide": Kind(
        "customers' intervals of spend hold too many",
        _SPEND_COVERED,
        "Forecasts of what single customers spend are too wide: safe, but less sharp than they could be.",
        _SPEND_INTERVALS,
        cause="wide",
    ),
    "kaplan_meier": Kind(
        "survival lies off the Kaplan-Meier curve",
        "At renewal {renewal} {fitted:.1f} % of the fit's customers are still there; by Kaplan and Meier, who assume "
        "no family, {real:.1f} % are, of {customers:,} who could have renewed: {errors:.1f} standard errors apart (the "
        "check passes up to {threshold}, or up to 2 points).",
        "The family's churn has another shape than the data's, or renewals are counted wrongly: what a contract brings "
        "is off in the same way.",
        (
            "See how renewals are counted: 0 of who is lost at the first (clv.customers.from_tenures reads tenures).",
            "Compare beta_discrete_weibull, whose churn may rise or fall with tenure, with shifted_beta_geometric.",
            "Fit plans or cohorts apart, or by groups, where their churn differs.",
        ),
        threshold=3.5,
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
    "dates_far": Kind(
        "dates far from all others",
        "{customers:,} customer(s) ordered on {day} or {where}, {gap:,} days from everybody else, for example "
        "{example!r}.",
        "A mistyped year is the usual cause. The last day of the log ends everybody's observation ({end}), so "
        "that one such "
        "day makes all look as if they had stopped buying; an early one makes its customer older than it is.",
        (
            "Look at these orders and correct their dates.",
            "Say the last day to learn from (until=..., --until), or leave the rows out (where=..., --where).",
        ),
    ),
    "one_account": Kind(
        "one account has {share:.0f} % of all {what}",
        "Customer {customer!r} has {share:.1f} % of the {what} of {customers:,} customers (threshold: 10 %).",
        "It may be a house account, all guests under one id, or a wholesaler. The families describe customers of "
        "one kind, "
        "and fit their spread to it: forecasts of all others become worse.",
        (
            _WITHOUT_ACCOUNT,
            "If it is one of another kind, give its kind a column and fit by groups, or look at it alone.",
        ),
    ),
    "regular": Kind(
        "customers buy at regular intervals",
        "{share:.0f} % of {customers:,} customers with three repeat purchases or more buy about every "
        "{every:.3g} {unit}s.",
        "That is how a subscription renews. Families whose purchases come at random overstate how uncertain the "
        "next one "
        "is, and see a silence too late.",
        (
            "Contracts: one row each, with clv.customers.from_contracts, and a family of retention.",
            Remedy(
                "Regular buying without a contract: mbg_cnbd_k or pareto_ggg, which read how regular it is.",
                suits=lambda ran: ran.family not in ("bg_cnbd_k", "mbg_cnbd_k", "pareto_ggg"),
            ),
        ),
    ),
    "few_customers": Kind(
        "{customers:,} customers say little",
        "There are {customers:,} customers, {repeats:,} of whom bought again (the check passes from {threshold} "
        "customers on).",
        "Four numbers describe such a base, and each rests on seven customers or fewer: what is learned is owed to the "
        "priors as much as to the data.",
        (
            "See how far the priors decide: clv.inference.prior_sensitivity, or other priors of your own.",
            "Read intervals and no single number; wait for more customers.",
        ),
        threshold=30,
    ),
    "alike_ids": Kind(
        "customers whose ids look alike",
        "{customers:,} customers have an id that another one has too, but for capitals of an address, quotes, or signs "
        "that nobody sees: {one} and {other}, as a program writes them.",
        "If they are one customer, its orders are divided: it seems to come later, to buy less often and to leave "
        "sooner, and there seem to be more customers than there are.",
        (
            "If they are the same customers, write each id in one way in the orders, and run again.",
            "If they are different ones, nothing is wrong.",
        ),
    ),
    "short_ids": Kind(
        "ids that a spreadsheet has shortened",
        "{customers:,} ids are written like {one}, as a spreadsheet shows numbers of more than eleven digits.",
        "Their last digits are lost: different customers may have become one.",
        ("Format the column as text before the file is saved as CSV, or export the orders again.",),
    ),
    "total_rows": Kind(
        "lines of totals among the customers",
        "{customers:,} customers are called as sums in a report are: {one!r}.",
        "If they are, all money above them is counted again, and each is a customer of its own.",
        (
            "Leave these lines out of the orders (--where, where= in Python), or export the orders without subtotals.",
            "If a customer really has that name, nothing is wrong.",
        ),
    ),
    "never_paid": Kind(
        "{customers:,} customers never paid",
        "{customers:,} of {all:,} customers ({share:.1f} %) have orders and no spend at all, for example {example!r} "
        "(the check passes up to {threshold} %).",
        "Free samples, staff or test accounts. They count as purchases, and are valued like customers of whose spend "
        "nothing is known.",
        (
            _PAID_ONLY,
            "If an amount of 0 is a gap in the data, fill it in.",
        ),
        threshold=1,
    ),
    "no_one_time": Kind(
        "nobody bought only once",
        "Each of {customers:,} customers has a repeat purchase; were one in ten a one-time buyer, that would come once "
        "in {odds:,.0f} bases.",
        "Either one-time buyers were left out, which biases every fit (rates too high, dropout too low), or frequency "
        "counts the first purchase too.",
        (
            "Put all customers in, those who bought once among them.",
            Remedy(
                "If frequency counts all purchases, subtract 1: it counts those after the first.",
                suits=lambda ran: not ran.columns,
            ),
        ),
    ),
    "spend_tail": Kind(
        "spend has no mean by the data",
        "The largest {top:,} of {customers:,} mean spends fall off with an exponent of {exponent:.2f} (standard error "
        "{error:.2f}); with {threshold:.0f} or less a mean does not exist.",
        "A few orders are most of the money, and the next one may be more than all before: a mean spend is what the "
        "prior allows, and the closed form and the simulation of one fit may differ by far.",
        (
            "Look at the largest orders: in another unit, of a wholesaler, mistyped?",
            "Fit such customers apart, or use medians and ranks in place of totals of money.",
        ),
        threshold=1,
    ),
    "more_than_days": Kind(
        "more purchases forecast than there are days",
        "For {customers:,} customers, {example!r} the first, more purchases are forecast ({purchases:,.1f}) than the "
        "{days:,.0f} days of the horizon have occasions: a day with orders is one purchase.",
        "Such an account buys daily, or counts of single orders were given for purchases: the family knows no highest "
        "rate.",
        (
            Remedy(
                "Count a day with orders as one purchase, as clv.summarize does.",
                suits=lambda ran: not ran.columns,
            ),
            "Look at these accounts alone: a shop that buys daily is no customer among others.",
        ),
    ),
    "far_horizon": Kind(
        "forecast far beyond what was observed",
        "The forecast reaches {times:.0f} times as far as the longest customer was observed ({horizon:,.0f} against "
        "{span:,.0f} {units}; the check passes up to {threshold} times).",
        "Rates, dropout and what an order brings are taken to go on as they were; nothing in these orders says so, and "
        "intervals do not hold that doubt.",
        (
            "Ask a shorter horizon, or discount what is far away.",
            "Compare scenarios of what may change: clv.valuation.compare_scenarios.",
        ),
        threshold=HORIZON_MAX,
    ),
    "margin_above_one": Kind(
        "a margin above all of the money",
        "The margin is {margin:g}: a customer is valued at {percent:g} % of what it spends.",
        "A margin is what is left of an order's money, 0.3 of it say: no more than all.",
        (
            "If 1.5 % was meant, write 0.015; if a markup on costs, write markup / (1 + markup).",
            "If amounts are in another unit than the value, such as commissions, nothing is wrong.",
        ),
        threshold=MARGIN_MAX,
    ),
    "rate_above_half": Kind(
        "a discount rate of more than a half",
        "The annual discount rate is {rate:g}: {percent:g} % a year (the check passes up to {threshold:g}).",
        "Money of next year counts for {left:.0f} % of money now; firms reckon with 5 to 30 % a year.",
        ("If 1.2 % was meant, write 0.012; if a rate a month, write (1 + rate)^12 - 1.",),
        threshold=RATE_MAX,
    ),
    "spend_rises": Kind(
        "mean spend depends on frequency",
        _SPEND_FOUND,
        _SPEND_MEANS
        + "Here frequent customers spend more, and those who buy rarely are expected to spend like them: "
        "the base's total is overstated, in a simulated base like CDNOW by 5 % at 0.25 and 8 % at 0.45.",
        _SPLIT,
        threshold=CORRELATION_MAX,
        cause="spend_frequency",
    ),
    "spend_falls": Kind(
        "mean spend depends on frequency",
        _SPEND_FOUND,
        _SPEND_MEANS
        + "Here frequent customers spend less: the value of the best ones is overstated, in a simulated "
        "base like CDNOW by 7 % at -0.28 and 10 % at -0.55 for the best tenth; the base's total is nearly right.",
        _SPLIT,
        threshold=CORRELATION_MAX,
        cause="spend_frequency",
    ),
    "spend_by_frequency": Kind(
        "totals of money are {off:.1f} % too {side}: spend goes with frequency",
        "{who} spend {by:.0f} % {more} an order than the model says: " + _OFF,
        _SPEND_MEANS
        + "Customers of one frequency spend otherwise than is forecast for them, and the total has the error.",
        (
            Remedy("Correct totals of money by this per cent; rankings carry less of it.", corrects=True),
            *_SPLIT[:2],
        ),
        threshold=SPEND_MAX,
        cause="spend_frequency",
    ),
    "spend_by_age": Kind(
        "totals of money are {off:.1f} % too {side}: spend goes with age",
        "A customer's order brings {by:.0f} % {more} with each year of its age. " + _TREND_OFF,
        _TREND_MEANS,
        _TREND_SPLIT,
        threshold=SPEND_MAX,
    ),
    "spend_by_order": Kind(
        "totals of money are {off:.1f} % too {side}: spend goes with the order number",
        "A customer's order brings {by:.0f} % {more} with twice the order number. " + _TREND_OFF,
        _TREND_MEANS,
        _TREND_SPLIT,
        threshold=SPEND_MAX,
    ),
    "spend_by_month": Kind(
        "spend per order moves by {spread:.1f} % from month to month",
        "Beyond chance the mean spend of an order moves by {spread:.1f} % (a standard deviation) over {months} months, "
        "the same customers compared; in {highest} it was {factor:.2f} times their own mean. The check passes up to "
        "{threshold:.0f} %.",
        "What a month does to the spend of all customers at once is in no interval: totals of money are too sure by as "
        "much.",
        (
            "Look for prices, promotions and seasons in these months.",
            "Take totals of money for less sure than they say.",
        ),
        threshold=SPEND_MAX,
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
    # What is kept is English: a card says it again, from the numbers, in the language that is spoken there.
    with speaking(ENGLISH):
        return Problem(code, _filled(KINDS[code], KINDS[code].found, numbers), numbers, subject)


def _filled(kind: Kind, text: str, numbers: Mapping[str, Any], otherwise: str = "") -> str:
    """Return the sentence with its slots filled; a file that lost a number (JSON has no NaN) gets ``otherwise``."""
    try:
        return say_again(text, {"threshold": kind.threshold, **numbers})
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


def cards(problems: Iterable[Problem], ran: Ran | None = None) -> list[Card]:
    """Return one card a cause, the worst first; what several fits share is said once, of all of them.

    ``ran`` says what the run did, by which remedies are chosen.

    Examples
    --------
    >>> [card.title for card in cards([problem("mode", "Purchases"), problem("mode", "Spend")])]
    ["Purchases and Spend: method='mode' gives one point"]
    """
    order = {code: place for place, code in enumerate(KINDS)}
    sorted_ones = sorted(problems, key=lambda each: order[each.code])
    # What R-hat and few effective draws say of one fit is one cause; of two fits, one cause where the words are one.
    together: dict[tuple[str, ...], list[Problem]] = {}
    for each in sorted_ones:
        cause = KINDS[each.code].cause
        direction = str(each.numbers.get("direction"))
        key = (each.code, title(each)) if cause is None else (cause, each.subject, direction)
        together.setdefault(key, []).append(each)
    return [_card(group, ran) for group in together.values()]


def title(each: Problem) -> str:
    """Return a problem's title, without its subject."""
    return _filled(KINDS[each.code], KINDS[each.code].title, each.numbers, each.found.rstrip("."))


def found(each: Problem) -> str:
    """Return what was found in the language that is spoken: as it was kept, where that is English."""
    if spoken() == ENGLISH:
        return each.found
    return _filled(KINDS[each.code], KINDS[each.code].found, each.numbers, each.found)


def _missed_otherwise(group: list[Problem], ran: Ran | None) -> str:
    """Return that the holdout's money was off on the other side of what a check says; empty where it was not."""
    sides = {str(each.numbers["side"]) for each in group if "side" in each.numbers}
    missed = None if ran is None else ran.money_missed
    if not sides or missed is None or 100 * abs(missed) <= SPEND_MAX:
        return ""
    if sides != {"high" if missed > 0 else "low"}:
        return ""
    return (
        say(
            "But in the holdout {missed:.0f} % more was spent than forecast: that miss is on the other side, and to "
            "correct totals of money by this would make it larger.",
            missed=100 * missed,
        )
        if missed > 0
        else say(
            "But in the holdout {missed:.0f} % less was spent than forecast: that miss is on the other side, and to "
            "correct totals of money by this would make it larger.",
            missed=-100 * missed,
        )
    )


def _card(group: list[Problem], ran: Ran | None) -> Card:
    first = group[0]
    kind = KINDS[first.code]
    subjects = dict.fromkeys(say(each.subject) for each in group if each.subject)
    of_first = title(first)
    of_whom = joined("{first} and {second}", subjects)
    shown = say("{subject}: {title}", subject=of_whom, title=of_first) if subjects else of_first
    missed = _missed_otherwise(group, ran)
    meaning = _filled(kind, kind.meaning, first.numbers, say("See what was found."))
    remedies = suiting(kind.remedies, ran, first.numbers, contradicted=bool(missed))
    return Card(
        title=shown,
        found=tuple(dict.fromkeys(found(each) for each in group)),
        meaning=joined("{first} {second}", [meaning, missed] if missed else [meaning]),
        remedies=tuple(
            _filled(kind, remedy, {**first.numbers, **slots}, say(remedy)) for remedy, slots in remedies
        ),
        codes=tuple(dict.fromkeys(each.code for each in group)),
    )
