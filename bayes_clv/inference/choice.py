"""A whole number that the data choose: how regular the timing is.

A family may have a population quantity that is a whole number (``Quantity.whole``; k of BG/CNBD-k). It is not sampled:
a number in ``priors=`` fixes it, and otherwise the data choose. For each value from the smallest, the other
quantities' posterior has a peak, and Laplace's approximation there gives the log evidence

    log p(data | k) = log p(data, peak) + d / 2 log(2 pi) - 1 / 2 log det(curvature),

d quantities on the unconstrained scale. Equal weights a priori make probabilities of the evidence. The fit then is that
of the most probable value, and says how probable it is: below CHOICE_ENOUGH its forecasts leave out an uncertainty, and
a problem says so. With flat priors and ``method="mode"`` the highest likelihood decides, as in Reutterer, Platzer &
Schröder (2021).

**Choice.** One graph is compiled, with the number as a shared variable, so that a further value costs a peak and no
compilation. Evidence has risen and fallen once with k wherever it was looked at: the search ends STOP below the best.
Rejected: sampling k with the rest (NUTS has no step for it, and with a thousand customers the posterior is one number);
a real k (the Erlang sums are the reason why forecasts are exact). Covariates and groups are left out of the choice: it
is about the evenness of each customer's own intervals, and the peak of a hierarchical posterior is not where its mass
is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.families.contract import Family
from bayes_clv.families.quantities import FIXED, FLAT, Prior, fixed_values
from bayes_clv.inference.data import Columns
from bayes_clv.problems import CHOICE_ENOUGH, problem
from bayes_clv.schema import Problem

# A value this far below the best has a probability of 1 in 20,000 beside it.
STOP = 10.0


@dataclass(frozen=True)
class Choice:
    """The values tried, the score of each (log evidence, or log likelihood) and the most probable one."""

    name: str
    criterion: str
    values: tuple[int, ...]
    score: tuple[float, ...]

    @property
    def chosen(self) -> int:
        """Return the value with the highest score."""
        return self.values[int(np.argmax(self.score))]

    @property
    def probability(self) -> tuple[float, ...]:
        """Return the posterior probability of each value, equal weights a priori."""
        weight = np.exp(np.array(self.score) - max(self.score))
        return tuple((weight / weight.sum()).tolist())

    def report(self) -> dict[str, Any]:
        """Return the numbers for the fit's diagnostics."""
        return {
            f"{self.name}_tried": list(self.values),
            f"{self.name}_{self.criterion}": [round(each, 3) for each in self.score],
            f"{self.name}_probability": max(self.probability),
        }

    def problems(self, largest: int) -> list[Problem]:
        """Return what is doubtful about the choice; ``largest`` is the end of the values allowed."""
        found = []
        table = ", ".join(
            f"{value}: {100 * p:.2g} %"
            for value, p in zip(self.values, self.probability, strict=True)
            if p > 1e-3
        )
        if max(self.probability) < CHOICE_ENOUGH:
            found.append(
                problem(
                    "choice_unsure",
                    name=self.name,
                    chosen=self.chosen,
                    probability=max(self.probability),
                    table=table,
                )
            )
        if self.chosen == self.values[-1] == largest > 1:
            found.append(problem("choice_at_end", name=self.name, largest=largest))
        return found


def choose(
    family: Family,
    rows: Columns,
    count: np.ndarray,
    priors: Mapping[str, Prior],
    start: Mapping[str, float],
    *,
    likelihood: bool,
) -> dict[str, Choice]:
    """Return the choice of each whole quantity that is not fixed; there is one at most in a family.

    Raises InputError where the posterior has no peak at some value.
    """
    fixed = fixed_values(priors)
    return {
        name: _choice(family, name, rows, count, priors, start, likelihood=likelihood)
        for name, quantity in family.quantities.items()
        if quantity.whole and name not in fixed
    }


def settled(priors: Mapping[str, Prior], choices: Mapping[str, Choice]) -> dict[str, Prior]:
    """Return the priors with every chosen quantity fixed at its value."""
    return dict(priors) | {name: Prior(FIXED, value=each.chosen) for name, each in choices.items()}


def _choice(
    family: Family,
    name: str,
    rows: Columns,
    count: np.ndarray,
    priors: Mapping[str, Prior],
    start: Mapping[str, float],
    *,
    likelihood: bool,
) -> Choice:
    from pytensor import shared

    from bayes_clv.inference.graph import build_model
    from bayes_clv.inference.sampling.laplace import compiled, find_peak

    ends = dict(priors[name].arguments)
    first, last = int(ends.get("lower", 1)), int(ends["upper"])
    number = shared(float(first), name=name)
    built = build_model(family, rows, count, priors, start, values={name: number})
    flat = all(prior == FLAT for each, prior in priors.items() if each != name)
    by_likelihood = likelihood and flat
    ready = compiled(built.graph, built.names, jacobian=not by_likelihood)
    tried: list[int] = []
    score: list[float] = []
    position = ready.start
    for value in range(first, last + 1):
        number.set_value(float(value))
        # A neighbour's peak is near.
        peak = find_peak(ready.density, position)
        position = peak.position
        tried.append(value)
        occam = 0.0
        if not by_likelihood:
            _, log_det = np.linalg.slogdet(peak.negative_hessian)
            occam = 0.5 * (position.size * math.log(2 * math.pi) - log_det)
        score.append(peak.log_density + occam)
        if score[-1] < max(score) - STOP:
            break
    criterion = "log_likelihood" if by_likelihood else "log_evidence"
    return Choice(name, criterion, tuple(tried), tuple(score))
