"""Checks of a fit, attached to it so that no report can omit them.

ArviZ computes them (``az.diagnose``, ``az.rhat``, ``az.ess``, ``az.bfmi``, PSIS); here each becomes a number and,
where it fails, a `Problem` with its code. Thresholds, sentences and remedies stand in ``bayes_clv.problems``.
"""

import json
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.choice import Choice
from bayes_clv.problems import BFMI_MIN, ESS_PER_CHAIN, RHAT_MAX, problem
from bayes_clv.schema import Problem


def diagnose_nuts(tree: xr.DataTree, names: list[str]) -> dict[str, Any]:
    """Return R-hat, effective sample sizes, divergences, tree depth and BFMI, with what failed.

    Thresholds: R-hat below 1.01 and at least 100 effective draws a chain (Vehtari et al. 2021), BFMI
    above 0.3 (Betancourt 2016), no divergent transition.
    """
    import arviz as az

    failed, found = az.diagnose(
        tree,
        var_names=names,
        rhat_max=RHAT_MAX,
        bfmi_threshold=BFMI_MIN,
        show_diagnostics=False,
        return_diagnostics=True,
    )
    posterior = tree["posterior"].to_dataset()[names]
    chains = posterior.sizes["chain"]
    single = chains < 2
    rhat = np.nan if single else max(float(value.max()) for value in az.rhat(posterior).values())
    bulk, tail = (
        min(float(value.min()) for value in az.ess(posterior, method=method).values())
        for method in ("bulk", "tail")
    )
    divergences = int(tree["sample_stats"]["diverging"].sum())
    deep = int(tree["sample_stats"]["reached_max_treedepth"].sum())
    bfmi = float(np.min(found["bfmi"]["bfmi_values"]))
    needed = ESS_PER_CHAIN * chains
    transitions = posterior.sizes["draw"] * chains
    problems: list[Problem] = []
    if divergences:
        problems.append(problem("divergences", divergences=divergences, transitions=transitions))
    if single:
        problems.append(problem("one_chain"))
    elif rhat >= RHAT_MAX:
        problems.append(problem("rhat", rhat=rhat))
    if min(bulk, tail) < needed:
        problems.append(problem("ess", ess=min(bulk, tail), needed=needed))
    if deep:
        problems.append(problem("tree_depth", transitions=deep))
    if bfmi < BFMI_MIN:
        problems.append(problem("bfmi", bfmi=bfmi))
    if failed and not problems:
        problems.append(problem("diagnose", checks=", ".join(sorted(found))))
    return {
        "passed": not problems,
        "problems": problems,
        "rhat_max": rhat,
        "ess_bulk_min": bulk,
        "ess_tail_min": tail,
        "divergences": divergences,
        "max_treedepth_reached": deep,
        "bfmi_min": bfmi,
    }


def diagnose_laplace(report: dict[str, float]) -> dict[str, Any]:
    """Return Pareto k and the effective draws of the corrected Laplace approximation.

    Above min(1 - 1 / log10(proposals), 0.7) the importance weights have too heavy a tail for their
    averages to be trusted (Vehtari et al. 2024).
    """
    k, limit = report["pareto_k"], report["pareto_k_threshold"]
    problems = [] if k < limit else [problem("pareto_k", k=k, limit=limit)]
    return {"passed": not problems, "problems": problems, **report}


def with_choice(report: dict[str, Any], choice: Choice, largest: int) -> dict[str, Any]:
    """Return the report with the numbers of a whole quantity's choice, and what is doubtful about it."""
    problems = [*report["problems"], *choice.problems(largest)]
    return report | {"passed": not problems, "problems": problems} | choice.report()


def with_problem(report: dict[str, Any], found: Problem | None) -> dict[str, Any]:
    """Return the report with what another check of the fit found, if anything."""
    return report if found is None else report | {"passed": False, "problems": [*report["problems"], found]}


def diagnose_mode(report: dict[str, float]) -> dict[str, Any]:
    """Return what is known of a mode: it is a point, and its intervals lack parameter uncertainty."""
    return {"passed": False, "problems": [problem("mode")], **report}


def as_json(report: dict[str, Any]) -> str:
    """Return a report as the text that a posterior's attribute ``diagnostics`` holds."""
    return json.dumps(report | {"problems": [each.record() for each in report["problems"]]})
