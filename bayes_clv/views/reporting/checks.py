"""The checks of a run, gathered: of fits their diagnostics, of predictions their reasons, of customers their audit.

Nothing is measured here that another stage has measured; this module gathers, so that no report can omit what failed.
A fit without diagnostics is itself a failed check. The command line and ``run.json`` take `failures` too.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from bayes_clv.inference.criticism.independence import spend_independence
from bayes_clv.problems import CORRELATION_MAX, HOLDOUT_LEVEL, problem, read_problem
from bayes_clv.schema import InputError, Problem, listed


def failures(
    buying: xr.DataTree,
    spending: xr.DataTree | None,
    customers: xr.Dataset,
    value: xr.Dataset,
    evaluation: xr.Dataset | None,
) -> list[Problem]:
    """Return everything that failed in a run; ``bayes_clv.problems.cards`` says it, one card a cause."""
    fits = [("Purchases", buying), *([("Spend", spending)] if spending is not None else [])]
    return [
        *(each for what, tree in fits for each in fit_problems(tree, what)),
        *(score_problems(evaluation) if evaluation is not None else []),
        *data_problems(customers),
        *prediction_problems(value),
    ]


def fit_diagnostics(tree: xr.DataTree) -> dict[str, Any] | None:
    """Return the diagnostics attached to a fit, or None where there are none that can be read."""
    try:
        found = json.loads(str(tree.attrs["diagnostics"]))
    except (KeyError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def fit_problems(tree: xr.DataTree, what: str) -> list[Problem]:
    """Return what failed in one fit; ``what`` names it ("Purchases", "Spend")."""
    found = fit_diagnostics(tree)
    if found is None:
        return [problem("no_diagnostics", what)]
    known = [read_problem(each, what) for each in found.get("problems", [])]
    return known if known or found.get("passed") is True else [problem("unexplained", what)]


def spend_correlation(customers: xr.Dataset) -> dict[str, Any] | None:
    """Return ``clv.inference.spend_independence``; None where there are too few repeat customers for it."""
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


def data_problems(customers: xr.Dataset) -> list[Problem]:
    """Return what failed in the data: rows that were dropped, spend that depends on frequency."""
    failed = [
        problem(
            "rows_dropped",
            "Data",
            rows=int(line["rows"]),
            what=" ".join(str(line[key]) for key in ("what", "example") if line.get(key)),
        )
        for line in audit_lines(customers)
        if line.get("action") == "dropped" and line.get("rows")
    ]
    found = spend_correlation(customers)
    if found is not None and abs(found["correlation"]["mean"]) > CORRELATION_MAX:
        rho = found["correlation"]["mean"]
        failed.append(
            problem(
                "spend_rises" if rho > 0 else "spend_falls",
                "Spend",
                words=correlation_words(found),
                correlation=rho,
                doubling=100 * found["doubling"]["mean"],
            )
        )
    return failed


def prediction_problems(value: xr.Dataset) -> list[Problem]:
    """Return what could not be predicted, from the prediction's own ``reasons``."""
    return [problem("no_number", "Value", reason=reason) for reason in listed(value.attrs, "reasons")]


def score_problems(evaluation: xr.Dataset) -> list[Problem]:
    """Return where the first model's forecast of the holdout missed: the total, or the customers' intervals.

    Intervals miss when the share covered differs from the share the forecast promised by more than 99 %
    of binomial chance for so many customers.
    """
    failed = []
    model, customers = evaluation.isel(forecast=0), int(evaluation.attrs["customers"])
    observed, low, high = (int(model[f"total_{name}"]) for name in ("observed", "q05", "q95"))
    if not model["total_covered"]:
        failed.append(
            problem(
                "holdout_total",
                "Holdout",
                observed=observed,
                low=low,
                high=high,
                mean=float(model["total_mean"]),
                direction="fewer" if observed > high else "more",
            )
        )
    chance = float(stats.norm.ppf((1 + HOLDOUT_LEVEL) / 2))
    for level in (50, 90):
        covered, promised = (float(model[name].sel(interval=level)) for name in ("covered", "promised"))
        error = chance * float(np.sqrt(promised * (1 - promised) / customers))
        if abs(covered - promised) > error:
            failed.append(
                problem(
                    "holdout_narrow" if covered < promised else "holdout_wide",
                    "Holdout",
                    level=level,
                    customers=customers,
                    covered=100 * covered,
                    promised=100 * promised,
                    error=100 * error,
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
