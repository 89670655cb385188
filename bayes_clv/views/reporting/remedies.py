"""The checks of a run: what failed, what it means, and what to do, most useful remedy first.

Nothing is measured here that another stage has measured: fits carry their diagnostics, predictions their
reasons, customers their audit. This module only gathers them, so that no report can omit them; a fit
without diagnostics is itself a failed check.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from bayes_clv.inference.criticism.independence import spend_independence
from bayes_clv.schema import InputError, listed

# Chance alone puts a check outside these limits once in a hundred runs.
LEVEL = 0.99
# Where the correlation moves a value by 5 %, which is CDNOW's own standard error of a total: at 0.25 that of the whole
# base, at -0.25 that of the tenth ranked best (studies.spend_independence). CDNOW has 0.17.
CORRELATION_MAX = 0.25


@dataclass(frozen=True)
class Check:
    """One failed check: what was found, what it means, and remedies in order of preference."""

    title: str
    found: str
    meaning: str
    remedies: tuple[str, ...]


# (word in the problem, what it means, remedies). The first that matches is taken.
_KNOWN = (
    (
        "diverg",
        "Part of the posterior may be missing, so that every interval may be too narrow.",
        (
            "Look at the history of odd customers (very high frequency, very long silence) in the audit.",
            "Give priors that are less wide.",
            "Sample longer (tune=2000).",
        ),
    ),
    (
        "r-hat",
        "The chains disagree: the draws are not yet draws from the posterior, and no number here can be trusted.",
        (
            "Take more draws: fit(..., tune=2000, draws=2000).",
            "Look at the rank plots below for the chain that differs.",
            "Give less wide priors; with few repeat customers the data say little about dropout.",
        ),
    ),
    (
        "one chain",
        "Whether the sampler found the whole posterior cannot be checked.",
        ("Fit with chains=4.",),
    ),
    (
        "effective sample size",
        "Quantiles and tails are uncertain by more than they should be.",
        ("Take more draws: fit(..., draws=2000).",),
    ),
    (
        "bfmi",
        "The sampler explores the tails poorly, so that extreme quantiles may be off.",
        ("Sample longer.", "Give less wide priors."),
    ),
    (
        "pareto k",
        "The fast approximation is not close enough to the posterior for its averages to be trusted.",
        ("Fit with method='nuts'.", "Give less wide priors."),
    ),
    (
        "was chosen with a posterior probability",
        "How regular the timing is stays open, and no interval holds that uncertainty.",
        ("Fit the runner-up too, priors={'k': ...}, and compare the forecasts.", "Observe longer."),
    ),
    (
        "is the largest that was tried",
        "The data would take a more regular timing than was allowed.",
        ("Give priors={'k': Prior('DiscreteUniform', lower=1, upper=...)} with a larger end.",),
    ),
    (
        "tree depth",
        "Sampling was slow; the draws are right.",
        ("Nothing has to be done; more customers or a less wide prior speed it up.",),
    ),
    (
        "mode",
        "The uncertainty of the population parameters is missing from every interval.",
        ("Fit with method='nuts', or 'laplace' where time is short.",),
    ),
)


def fit_diagnostics(tree: xr.DataTree) -> dict[str, Any] | None:
    """Return the diagnostics attached to a fit, or None where there are none that can be read."""
    try:
        found = json.loads(str(tree.attrs["diagnostics"]))
    except (KeyError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def fit_checks(tree: xr.DataTree, what: str) -> list[Check]:
    """Return the failed checks of one fit; ``what`` names it ("Purchases", "Spend")."""
    found = fit_diagnostics(tree)
    if found is None:
        return [
            Check(
                f"{what}: no diagnostics",
                "The posterior carries no diagnostics.",
                "Whether it can be trusted is not known.",
                ("Fit again with bayes_clv.fit, which attaches them.",),
            )
        ]
    if found.get("passed") is True and not found.get("problems"):
        return []
    problems = [str(p) for p in found.get("problems", [])] or [
        "The fit is marked as failed, without a reason."
    ]
    return [_explained(what, problem) for problem in problems]


def _explained(what: str, problem: str) -> Check:
    for word, meaning, remedies in _KNOWN:
        if word in problem.lower():
            return Check(f"{what}: {problem.split(':')[0].rstrip('.')}", problem, meaning, remedies)
    return Check(
        f"{what}: the fit did not pass",
        problem,
        "See what was found.",
        ("Fit again and read clv.diagnostics(posterior).",),
    )


def spend_correlation(customers: xr.Dataset) -> dict[str, Any] | None:
    """Return ``spend_independence`` of the customers; None where they have too few repeat customers for it."""
    try:
        return spend_independence(customers)
    except InputError:
        return None


def correlation_words(found: Mapping[str, Any]) -> str:
    """Return a correlation with its interval, in words."""
    rho = found["correlation"]
    return (
        f"{rho['mean']:.2f} (90 % interval {rho['q05']:.2f} to {rho['q95']:.2f}, "
        f"{found['customers']:,} customers)"
    )


def data_checks(customers: xr.Dataset) -> list[Check]:
    """Return what failed in the data: rows that were dropped, spend that depends on frequency."""
    failed = [
        Check(
            f"Data: {line.get('rows', 0):,} rows were dropped",
            " ".join(str(line[key]) for key in ("what", "example") if line.get(key)),
            "These orders are in none of the numbers below. If they are not a random few, the numbers are biased.",
            (
                "Repair the rows at their source and run again.",
                "Compare the customers concerned with the others.",
            ),
        )
        for line in audit_lines(customers)
        if line.get("action") == "dropped" and line.get("rows")
    ]
    found = spend_correlation(customers)
    if found is not None and abs(found["correlation"]["mean"]) > CORRELATION_MAX:
        rho, more = found["correlation"]["mean"], found["doubling"]["mean"]
        failed.append(
            Check(
                "Spend: mean spend depends on frequency",
                f"The correlation of spend level and log frequency is {correlation_words(found)}; the check passes up "
                f"to {CORRELATION_MAX}. Twice the purchases go with {100 * more:+.0f} % spend per purchase.",
                "The spend models take spend per purchase and purchase rate to be independent. "
                + (
                    "Here frequent customers spend more, and those who buy rarely are expected to spend like them: the "
                    "base's total is overstated, in a simulated base like CDNOW by 5 % at 0.25 and 8 % at 0.45."
                    if rho > 0
                    else "Here frequent customers spend less: the value of the best ones is overstated, in a simulated "
                    "base like CDNOW by 7 % at -0.28 and 10 % at -0.55 for the best tenth; the base's total is nearly "
                    "right."
                ),
                (
                    "Split the base where spend differs for a reason (product line, business customers) and "
                    "fit each.",
                    "Look for a few extreme orders that make the correlation.",
                    "Use the purchases alone for ranking customers.",
                ),
            )
        )
    return failed


def prediction_checks(value: xr.Dataset) -> list[Check]:
    """Return what could not be predicted, from the prediction's own ``reasons``."""
    return [
        Check(
            "Value: some numbers do not exist",
            str(reason),
            "A number that does not exist is left empty instead of being given a plausible value.",
            ("Use the quantiles, which exist.", "Give a stronger prior on q, or more repeat customers."),
        )
        for reason in listed(value.attrs, "reasons")
    ]


def score_checks(evaluation: xr.Dataset) -> list[Check]:
    """Return where the first model's forecast of the holdout missed: the total, or the customers' intervals.

    Intervals miss when the share covered differs from the share the forecast promised by more than 99 %
    of binomial chance for so many customers.
    """
    failed = []
    model, customers = evaluation.isel(forecast=0), int(evaluation.attrs["customers"])
    observed, low, high = (int(model[f"total_{name}"]) for name in ("observed", "q05", "q95"))
    if not model["total_covered"]:
        direction = "fewer" if observed > high else "more"
        failed.append(
            Check(
                "Holdout: the total is outside its interval",
                f"{observed:,} purchases were made in the holdout; the forecast's 90 % interval is "
                f"{low:,} to {high:,} (mean {float(model['total_mean']):,.0f}).",
                f"The model foresaw {direction} purchases than were made. One interval in ten misses by chance; "
                "otherwise something that moves all customers alike (season, promotion, a change of the range, "
                "cohorts that differ) is not in the model, and totals of the future carry the same error.",
                (
                    "Look at the tracking figure: at once, or drifting?",
                    "Fit cohorts apart, or leave out those whose behaviour has ended.",
                    "Take a longer calibration that holds a whole year's season.",
                    "Use rankings and shares rather than totals.",
                ),
            )
        )
    chance = float(stats.norm.ppf((1 + LEVEL) / 2))
    for level in (50, 90):
        covered, promised = (float(model[name].sel(interval=level)) for name in ("covered", "promised"))
        error = chance * float(np.sqrt(promised * (1 - promised) / customers))
        if abs(covered - promised) > error:
            failed.append(
                Check(
                    f"Holdout: the {level} % intervals hold too {'few' if covered < promised else 'many'}",
                    f"{100 * covered:.1f} % of {customers:,} customers lie inside their {level} % "
                    "interval; the "
                    f"forecast promised {100 * promised:.1f} ± {100 * error:.1f} % (99 % of chance).",
                    "Customers' own forecasts are too narrow."
                    if covered < promised
                    else "Customers' own forecasts are too wide: safe, but less sharp than they could be.",
                    (
                        "Look at the calibration figure for the frequencies that miss.",
                        "Try another purchase family.",
                        "Look for changes between calibration and holdout.",
                    ),
                )
            )
    return failed


def audit_lines(customers: xr.Dataset) -> list[dict[str, Any]]:
    """Return the data audit: a list of what, rows, example and action."""
    try:
        lines = json.loads(str(customers.attrs.get("audit", "[]")))
    except json.JSONDecodeError:
        return []
    return [line for line in lines if isinstance(line, dict)]
