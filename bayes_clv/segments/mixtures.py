"""Scales, k-means and mixtures of one draw, as arrays."""

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import InputError
from bayes_clv.segments.rules import RANGES

SKEWED = 1.0


@dataclass(frozen=True)
class Scikit:
    """What is used of scikit-learn, which is imported on first use."""

    kmeans: Any
    mixture: Any
    silhouette: Any
    limits: Any
    failure: type[Warning]

    @contextmanager
    def quiet(self) -> Generator[None]:
        """Leave out the warnings of fits that did not converge: they are counted.

        Around all fits and not each, as the filter of warnings is shared by the threads.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.failure)
            yield


def scikit() -> Scikit:
    """Return what is used of scikit-learn, or say how to install it."""
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.metrics import silhouette_score
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise InputError(
            "clv.segments.cluster needs scikit-learn, which is not installed: pip install 'bayes_clv[clusters]'."
        ) from error
    # One thread: the order in which several add up would show in the last digits.
    return Scikit(KMeans, GaussianMixture, silhouette_score, threadpool_limits, ConvergenceWarning)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def nearest(z, centre, root, weight, found):  # type: ignore[no-untyped-def]
    """Write the most probable cluster (customer, draw) of z (quantity, customer, draw).

    The clusters' numbers are those of ``Mixture.last``, with an axis of draws or of one. The innermost loop is over
    draws, so that the compiler makes vectors of them.
    """
    quantities, customers, draws = z.shape
    many = weight.shape[1] > 1
    best, fit, away = np.empty(draws), np.empty(draws), np.empty(draws)
    for i in range(customers):
        best[:] = -np.inf
        found[i] = 0
        for k in range(weight.shape[0]):
            for s in range(draws):
                fit[s] = weight[k, s if many else 0]
            for q in range(quantities):
                away[:] = 0.0
                for p in range(quantities):
                    if many:
                        for s in range(draws):
                            away[s] += (z[p, i, s] - centre[k, p, s]) * root[k, p, q, s]
                    else:
                        for s in range(draws):
                            away[s] += (z[p, i, s] - centre[k, p, 0]) * root[k, p, q, 0]
                for s in range(draws):
                    fit[s] -= 0.5 * away[s] * away[s]
            for s in range(draws):
                found[i, s] = k if fit[s] > best[s] else found[i, s]
                best[s] = max(fit[s], best[s])


@dataclass(frozen=True)
class Scale:
    """How a quantity is made comparable: perhaps log(1 + x / typical), then less its mean over its deviation."""

    name: str
    typical: float
    logs: bool
    mean: float
    sd: float

    @classmethod
    def of(cls, name: str, sample: np.ndarray, draws: Simulation) -> "Scale":
        """Return the scale of a quantity, learned from a sample (customer, draw)."""
        sample = sample.astype(np.float64)
        means = sample.mean(axis=1)
        low, high, _ = RANGES.get(name, (-np.inf, np.inf, False))
        if name in draws.data and name not in RANGES:
            low = float(draws.customers[name].min())
        centred = means - means.mean()
        spread = float(centred.std())
        skewness = float((centred**3).mean()) / spread**3 if spread > 1e-12 * abs(means.mean()) else 0.0
        typical = float(means.mean())
        logs = bool(low >= 0 and high == np.inf and skewness > SKEWED and typical > 0)
        bare = cls(name, typical, logs, 0.0, 1.0).apply(sample)
        sd = float(np.sqrt(bare.var(axis=0).mean()))
        # Rounding alone is no difference between customers.
        if sd <= 1e-6 * max(abs(float(bare.mean())), 1e-300):
            raise InputError(
                f"The quantity {name!r} is the same for all customers and tells no cluster from another. Leave it out."
            )
        return cls(name, typical, logs, float(bare.mean()), sd)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the values on the scale."""
        found: np.ndarray = values.astype(np.float64)
        if self.logs:
            found /= self.typical
            np.log1p(found, out=found)
        found -= self.mean
        found /= self.sd
        return found

    def back(self, z: np.ndarray) -> np.ndarray:
        """Return what a place on the scale is in the quantity's own unit."""
        bare = z * self.sd + self.mean
        found: np.ndarray = self.typical * np.expm1(bare) if self.logs else bare
        return found

    def words(self) -> str:
        """Return the scale as a formula."""
        bare = f"log(1 + {self.name} / {self.typical:.6g})" if self.logs else self.name
        return f"({bare} - {self.mean:.6g}) / {self.sd:.6g}"


@dataclass(frozen=True)
class Mixture:
    """Clusters as arrays: k-means is a mixture of equal weights and covariances.

    ``centre`` (cluster, quantity), ``root`` (cluster, quantity, quantity), the Cholesky root of the inverse covariance,
    and ``weight`` (cluster), the logarithm of the weight times the root's determinant; all with a leading axis of
    draws where several are stacked.
    """

    centre: np.ndarray
    root: np.ndarray
    weight: np.ndarray

    def labels(self, z: np.ndarray) -> np.ndarray:
        """Return the most probable cluster (customer) of z (customer, quantity)."""
        found = np.empty((1, len(z)), dtype=np.int32)
        last = (each[..., None] for each in (self.centre, self.root, self.weight))
        nearest(np.ascontiguousarray(z.T[:, None]), *last, found)
        own: np.ndarray = found[0]
        return own

    def last(self) -> tuple[np.ndarray, ...]:
        """Return centre, root and weight of several draws with the draws as the last axis."""
        whole = (self.centre, self.root, self.weight)
        return tuple(np.ascontiguousarray(np.moveaxis(each, 0, -1)) for each in whole)

    def ordered(self, order: np.ndarray) -> "Mixture":
        """Return the same clusters in another order."""
        return Mixture(self.centre[order], self.root[order], self.weight[order])

    @classmethod
    def stacked(cls, fits: "Sequence[Mixture]") -> "Mixture":
        """Return the fits of several draws as one."""
        return cls(*(np.stack([getattr(fit, name) for fit in fits]) for name in ("centre", "root", "weight")))


def fitted_mixture(
    learn: Scikit, z: np.ndarray, clusters: int, method: str, seed: int, starts: int
) -> tuple[Mixture, bool]:
    """Return the clusters of z (customer, quantity), and whether the fit converged."""
    quantities = z.shape[1]
    if method == "kmeans":
        fit = learn.kmeans(clusters, n_init=starts, random_state=seed).fit(z)
        roots = np.broadcast_to(np.eye(quantities), (clusters, quantities, quantities))
        return Mixture(fit.cluster_centers_, roots, np.zeros(clusters)), len(set(fit.labels_)) == clusters
    # Each start is a k-means of its own; the mixture's own iterations are the dear ones.
    fit = learn.mixture(clusters, n_init=max(starts // 3, 1), random_state=seed, reg_covar=1e-4).fit(z)
    roots = fit.precisions_cholesky_
    size = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    with np.errstate(divide="ignore"):
        return Mixture(fit.means_, roots, size + np.log(fit.weights_)), bool(fit.converged_)


def bic_of(fit: Mixture, z: np.ndarray) -> float:
    """Return -2 log likelihood + parameters × log customers (Schwarz 1978)."""
    size, quantities = z.shape
    clusters = len(fit.weight)
    away = np.einsum("nkp,kpq->nkq", z[:, None] - fit.centre, fit.root)
    log_density = fit.weight - 0.5 * (away**2).sum(axis=2) - 0.5 * quantities * np.log(2 * np.pi)
    likelihood = np.logaddexp.reduce(log_density, axis=1).sum()
    free = clusters - 1 + clusters * quantities + clusters * quantities * (quantities + 1) / 2
    return float(-2 * likelihood + free * np.log(size))


def rand_index(table: np.ndarray) -> np.ndarray:
    """Return the adjusted Rand index of each (draw, cluster, cluster) table (Hubert & Arabie 1985, eq. 5)."""

    def pairs(counts: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
        counts = counts.astype(np.float64)
        found: np.ndarray = (counts * (counts - 1) / 2).sum(axis=axis)
        return found

    both, first, second = pairs(table, (1, 2)), pairs(table.sum(axis=2), (1,)), pairs(table.sum(axis=1), (1,))
    everybody = table.sum(axis=(1, 2)).astype(np.float64)
    chance = first * second / np.maximum(everybody * (everybody - 1) / 2, 1)
    most = (first + second) / 2
    # Two clusterings of one cluster each agree entirely, and the formula is 0 / 0.
    same = most == chance
    index: np.ndarray = np.where(same, 1.0, (both - chance) / np.where(same, 1.0, most - chance))
    return index
