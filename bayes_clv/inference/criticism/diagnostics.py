"""Checks of a fit, attached to it so that no report can omit them.

ArviZ computes them (``az.diagnose``, ``az.rhat``, ``az.ess``, ``az.bfmi``, PSIS); here each becomes a
number, a threshold and, where it fails, a sentence with the remedies in order of preference.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.choice import Choice

RHAT_MAX = 1.01
ESS_PER_CHAIN = 100
BFMI_MIN = 0.3


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
    problems = []
    if divergences:
        problems.append(
            f"{divergences} of {posterior.sizes['draw'] * chains} transitions diverged: part of the posterior may "
            "be missing. Give priors that are less wide, check for odd customers, or sample longer."
        )
    if single:
        problems.append("One chain only: agreement between chains (R-hat) cannot be checked. Use chains=4.")
    elif rhat >= RHAT_MAX:
        problems.append(
            f"R-hat is {rhat:.3f} (should be below {RHAT_MAX}): the chains disagree. Take more draws first, then "
            "look at the rank plots and the priors."
        )
    if min(bulk, tail) < needed:
        problems.append(
            f"The smallest effective sample size is {min(bulk, tail):.0f} (should be at least {needed}): "
            "quantiles are unsure. Take more draws."
        )
    if deep:
        problems.append(f"{deep} transitions reached the maximum tree depth: sampling is slow, not wrong.")
    if bfmi < BFMI_MIN:
        problems.append(
            f"BFMI is {bfmi:.2f} (should be above {BFMI_MIN}): the tails are explored poorly. Sample longer or "
            "give less wide priors."
        )
    if failed and not problems:
        problems.append(f"az.diagnose reports a failed check: {sorted(found)}.")
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
    problems = []
    if not report["pareto_k"] < report["pareto_k_threshold"]:
        problems.append(
            f"Pareto k is {report['pareto_k']:.2f} (should be below {report['pareto_k_threshold']:.2f}): the "
            "posterior is not close enough to its Laplace approximation. Use method='nuts'."
        )
    return {"passed": not problems, "problems": problems, **report}


def with_choice(report: dict[str, Any], choice: Choice, largest: int) -> dict[str, Any]:
    """Return the report with the numbers of a whole quantity's choice, and what is doubtful about it."""
    problems = [*report["problems"], *choice.problems(largest)]
    return report | {"passed": not problems, "problems": problems} | choice.report()


def diagnose_mode(report: dict[str, float]) -> dict[str, Any]:
    """Return what is known of a mode: it is a point, and its intervals lack parameter uncertainty."""
    return {
        "passed": False,
        "problems": [
            "method='mode' gives one point: the uncertainty of the population parameters is missing from "
            "every interval. Use method='nuts' or 'laplace' for anything but reproducing a paper."
        ],
        **report,
    }
