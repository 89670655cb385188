"""Importance draws: proposals from Student t around a peak, smoothed weights, and a second try where they are bad.

Weights are smoothed by PSIS (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25), whose Pareto k says whether averages
can be trusted, and turned into equally weighted draws by a systematic resample.

**Where k is too high, or few of the proposals count**, as of small skewed bases, as many are made again around the
weighted mean and covariance of those at hand, and all of them are weighted against the mixture that they came from
(adaptive multiple importance sampling: Cornuet, Marin, Mira & Robert 2012, Scandinavian Journal of Statistics 39); so
on while that helps, at most ADAPTATIONS times. Where the first proposals serve, nothing is done.

A low k is not enough. Of the log of a Gamma(0.15) variate, whose tail the curvature at the mode does not tell, k passes
in six tries of twelve, and the draws are then too narrow by 4 to 8 of their errors; adapted, all twelve are right.

Rejected: wider proposals for all, which cost every fit some of its effective draws; moment matching of the proposals
at hand (Paananen, Piironen, Bürkner & Vehtari 2021), which throws the densities computed so far away.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STUDENT_DEGREES_OF_FREEDOM = 5.0
# Most fits need one or two; what four leave flagged has a second peak, or a tail that no Student t follows.
ADAPTATIONS = 4
# Of the proposals' worth in independent draws (importance efficiency), above which no more are made: around a
# Gaussian peak it is 0.96 in one dimension, 0.84 in five, 0.50 in thirty. Below, another round comes only if the last
# one helped.
ENOUGH = 0.5
HELPED = 1.2

# Of positions (n, dimension): log target density, less that of what is drawn along with them, and those companions.
type Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Source:
    """A Student t of STUDENT_DEGREES_OF_FREEDOM that proposals come from; ``root @ root.T`` is its scale matrix."""

    centre: np.ndarray
    root: np.ndarray

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return proposals (count, dimension)."""
        normal = rng.standard_normal((count, self.centre.size))
        radius = rng.chisquare(STUDENT_DEGREES_OF_FREEDOM, count) / STUDENT_DEGREES_OF_FREEDOM
        found: np.ndarray = self.centre + normal / np.sqrt(radius)[:, None] @ self.root.T
        return found

    def log_density(self, positions: np.ndarray, unit: "Source") -> np.ndarray:
        """Return the log density at positions (n, dimension), in units of the peak of that of ``unit``."""
        dof, dimension = STUDENT_DEGREES_OF_FREEDOM, self.centre.size
        standard = np.linalg.solve(self.root, (positions - self.centre).T)
        volume = np.linalg.slogdet(self.root)[1] - np.linalg.slogdet(unit.root)[1]
        found: np.ndarray = -0.5 * (dof + dimension) * np.log1p((standard**2).sum(axis=0) / dof) - volume
        return found

    def moved(self, positions: np.ndarray, weight: np.ndarray) -> "Source":
        """Return a source at the weighted mean and covariance, held to this one's scale where few weights count.

        An estimate from few proposals would be too narrow in some direction.
        """
        centre = weight @ positions
        away = positions - centre
        effective = 1 / (weight**2).sum()
        share = effective / (effective + centre.size)
        scale = share * (weight[:, None] * away).T @ away + (1 - share) * self.root @ self.root.T
        return Source(centre, np.linalg.cholesky(scale))


@dataclass(frozen=True)
class Draws:
    """Equally weighted draws: positions (draw, dimension), companions (draw, ...), each one's weight, the report."""

    positions: np.ndarray
    companions: np.ndarray
    weight: np.ndarray
    report: dict[str, float]


def importance_draws(
    rng: np.random.Generator,
    source: Source,
    evaluate: Evaluate,
    *,
    proposals: int,
    size: int,
    enough: float = ENOUGH,
) -> Draws:
    """Return ``size`` draws from ``proposals`` of the source, and as many again for each adaptation.

    The log target may be relative to any constant, the same in every call; where it is not finite it is outside the
    support. With an importance efficiency above ``enough`` a low k ends it. ``report`` holds ``pareto_k``, its
    threshold, ``effective_draws`` and ``importance_efficiency``.
    """
    from scipy.special import logsumexp

    sources = [source]
    positions = source.draw(rng, proposals)
    log_target, companions = evaluate(positions)
    before = 0.0
    while True:
        log_proposal = logsumexp([each.log_density(positions, source) for each in sources], axis=0)
        log_ratio = np.where(np.isfinite(log_target), log_target - log_proposal, -np.inf)
        picked, weight, report = resampled(rng, log_ratio, size)
        helped = report["importance_efficiency"] > HELPED * before
        before = report["importance_efficiency"]
        serves = report["pareto_k"] < report["pareto_k_threshold"] and (before > enough or not helped)
        if serves or len(sources) > ADAPTATIONS:
            return Draws(positions[picked], companions[picked], weight[picked], report)
        sources.append(sources[-1].moved(positions, weight))
        fresh = sources[-1].draw(rng, proposals)
        log_fresh, beside = evaluate(fresh)
        positions = np.concatenate([positions, fresh])
        log_target = np.concatenate([log_target, log_fresh])
        companions = np.concatenate([companions, beside])


def resampled(
    rng: np.random.Generator, log_ratio: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Return ``size`` proposals picked by smoothed importance, all weights, and the report of them.

    ``log_ratio`` is log target less log proposal density of each; minus infinity outside the support.
    """
    from arviz_stats.base import array_stats

    finite = np.isfinite(log_ratio)
    # A proposal outside the support has no weight; the smallest finite ratio stands in for PSIS's sort.
    smoothed, pareto_k = array_stats.psislw(-np.where(finite, log_ratio, log_ratio[finite].min()))
    weight = np.where(finite, np.exp(smoothed - smoothed.max()), 0.0)
    weight /= weight.sum()
    picked = rng.permutation(_systematic(rng, weight, size))
    distinct = np.bincount(picked, minlength=weight.size) / size
    report = {
        "pareto_k": float(pareto_k),
        "pareto_k_threshold": float(min(1 - 1 / np.log10(weight.size), 0.7)),
        # Kish's effective size of the resampled draws: repeated draws count once.
        "effective_draws": float(1 / (distinct**2).sum()),
        "importance_efficiency": float(1 / (weight.size * (weight**2).sum())),
    }
    return picked, weight, report


def _systematic(rng: np.random.Generator, weight: np.ndarray, size: int) -> np.ndarray:
    points = (rng.random() + np.arange(size)) / size
    return np.minimum(np.searchsorted(np.cumsum(weight), points), weight.size - 1)
