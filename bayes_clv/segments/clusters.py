"""Clusters of customers by posterior quantities, with how far they can be believed: every draw is clustered anew.

k-means or a Gaussian mixture always finds clusters, also where there are none. Here the customers are clustered once by
their posterior means (the *reference*), and once more in each draw of the joint posterior (``predictions.simulation``),
with random starts of its own. The draw's clusters are matched to the reference's by the largest overlap (Hungarian
method, ``scipy.optimize.linear_sum_assignment``), and the share of draws is the probability of membership, as in
``segments``. How much the clusterings agree says whether the clusters are there: the adjusted Rand index of each
draw's clustering with the reference (Hubert & Arabie 1985: 1 the same, 0 as by chance), and for each cluster the
Jaccard index (members in both / members in either) of the draw's cluster most like it, averaged over draws (Hennig
2007, Cluster-wise assessment of cluster stability, Computational Statistics & Data Analysis 52: up to 0.5 a cluster is
dissolved, from 0.75 on it may be believed, from 0.85 on it is highly stable). Hennig resamples the data; what varies
here is what the data leave unknown of each customer. On CDNOW (40 draws of MBG/NBD and Gamma-Gamma, the default
quantities) four clusters agree by 0.39: customers there make a continuum, and most labels are unsure.

**Scales.** A quantity that cannot be negative and whose posterior means have a skewness above SKEWED is clustered by
log(1 + x / its mean), which does not depend on its unit. A plain logarithm is rejected: the rate of one who never came
back may be anything near 0, and its logarithm anything at all. Then each quantity is divided by its standard deviation
over customers within a draw, averaged over draws, for draws and reference alike: what is uncertain differs less between
the posterior means, and so counts less in the reference, as it should.

**Size.** Clusterings are fitted to at most FIT_CUSTOMERS customers (the first in the order of their random keys, and so
a random sample), the same in every draw, and then all customers are assigned in blocks, so that memory does not grow
with them but for the result. 1,000,000 customers, three quantities and 400 draws take 15 s of two processors with
k-means, the making of the draws included, and 1.0 GB (studies/segments_scale.py).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr
from numba import njit
from scipy.optimize import linear_sum_assignment

from bayes_clv.distributions.arrays import owned
from bayes_clv.predictions.simulation import SPEND_LEVEL, Simulation
from bayes_clv.predictions.tiles import in_order
from bayes_clv.schema import (
    CUSTOMER,
    CUSTOMER_VARIABLES,
    DRAW,
    InputError,
    Variable,
    describe,
    either,
    interval,
)
from bayes_clv.segments.mixtures import (
    Mixture,
    Scale,
    Scikit,
    bic_of,
    fitted_mixture,
    nearest,
    rand_index,
    scikit,
)
from bayes_clv.segments.rules import Rule, Segment
from bayes_clv.segments.segmenting import SEGMENT, SURE, add_up, segments_dataset

type Method = Literal["kmeans", "mixture"]


# A quantile's rank among so many has a standard error of 0.5 %, and centres move by a hundredth of a deviation.
FIT_CUSTOMERS = 10_000


# The silhouette compares all pairs: 2,000 customers make 4 million.
SILHOUETTE_CUSTOMERS = 2_000


# Numbers of clusters that are tried; the silhouette does not exist for one.
MOST_TRIED = 8


REFERENCE_STARTS, DRAW_STARTS = 10, 3


STREAM = 0x636C7573


TRIED = "clusters_tried"


def cluster(
    draws: Simulation,
    quantities: Sequence[str] | None = None,
    *,
    clusters: int | Literal["auto"] = 4,
    method: Method = "kmeans",
    totals: Sequence[str] = (),
    sure: float = SURE,
    threads: int | None = None,
) -> xr.Dataset:
    """Return clusters of customers by posterior quantities, each customer's probabilities, and their stability.

    Parameters
    ----------
    draws
        Of ``clv.simulate``. Every draw is clustered: 50 to 100 are enough for the stability, and quicker.
    quantities
        What the customers are compared by, any of ``draws.names``. By default ``probability_alive``, ``purchase_rate``
        and, with a spending posterior, ``spend_per_purchase``.
    clusters
        How many, or ``"auto"``: the number from 2 to 8 with the highest silhouette (k-means) or from 1 to 8 with the
        lowest BIC (mixture) of the posterior means. The scores are in the result either way.
    method
        ``"kmeans"``, or ``"mixture"``: normal distributions with covariances of their own, each customer assigned to
        the most probable one.
    totals
        As in ``clv.segment``.
    sure
        A customer is unsure where its most probable cluster has less than this probability.
    threads
        Threads for the draws; they change the speed only.

    Returns
    -------
    xarray.Dataset
        What ``clv.segment`` returns, with the clusters as segments, "cluster 1" the largest of the reference:
        ``membership``, ``most_likely``, ``most_likely_probability``, ``unsure``, ``size`` and its summaries. Further:

        - ``reference`` (customer): the cluster by posterior means;
        - ``{quantity}_centre`` (segment), the reference's centre in the quantity's own unit, with ``_q05`` and ``_q95``
          of the draws' centres, which lie further out, as draws differ more than means do; for a transformed quantity
          the centre of the transformed, turned back;
        - ``rand_index`` (draw), and ``rand_index_mean``, ``_q05``, ``_q95``: adjusted Rand index of the draw's
          clustering with the reference, over all customers;
        - ``jaccard`` (segment): mean over draws of the Jaccard index of the draw's cluster that is most like it;
        - ``silhouette`` or ``bic`` (clusters_tried), by which numbers of clusters are compared.

        ``attrs`` say the method, the transforms, and how many of the draws' mixtures did not converge.

    Raises
    ------
    InputError
        Unknown, missing (NaN) or constant quantities; a number of clusters that the customers are too alike for;
        scikit-learn not installed (``pip install bayes_clv[clusters]``).

    Notes
    -----
    Level: that of the quantities. ``probability_alive`` is of level expected and varies over draws only as the
    population does; clusters by ``alive`` or ``value`` carry the customer's own uncertainty too. A silhouette or a BIC
    says which number fits best, not that there are clusters: read the Rand index for that.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, draws=20, seed=1)
    >>> found = clv.segments.cluster(draws, ("probability_alive", "purchase_rate"), clusters=3)
    >>> found["segment"].values.tolist(), found["membership"].dims
    (['cluster 1', 'cluster 2', 'cluster 3'], ('customer', 'segment'))
    >>> bool(found["rand_index_mean"] > 0.3)
    True
    """
    learn = scikit()
    names = _checked(draws, quantities, clusters, method, totals, sure)
    sample = _sample(draws, names, threads)
    scales = [Scale.of(name, each, draws) for name, each in zip(names, sample, strict=True)]
    # Draws first: each is fitted by itself.
    z = np.stack([scale.apply(each).T for scale, each in zip(scales, sample, strict=True)], axis=2)
    del sample
    with learn.limits(limits=1), learn.quiet():
        means = z.mean(axis=0)
        most = _distinct(means)
        if most < (3 if clusters == "auto" else clusters):
            raise InputError(
                f"The customers have {most:,} different posterior means of {', '.join(names)}, too few for {clusters} "
                "clusters. Ask for fewer, or compare them by more quantities."
            )
        scores = _scores(learn, means, method, draws, most)
        count = _chosen(scores, method) if clusters == "auto" else clusters
        reference, _ = fitted_mixture(learn, means, count, method, _seed(draws, count, 0), REFERENCE_STARTS)
        labels = reference.labels(means)
        # The largest first.
        reference = reference.ordered(np.argsort(-np.bincount(labels, minlength=count), kind="stable"))
        labels = reference.labels(means)

        def of_draw(s: int) -> tuple[Mixture, bool]:
            fit, converged = fitted_mixture(
                learn, z[s], count, method, _seed(draws, count, s + 1), DRAW_STARTS
            )
            return fit.ordered(_matching(labels, fit.labels(z[s]), count)), converged

        # OpenMP's limit is each thread's own.
        walk = in_order(
            of_draw, range(draws.size), threads=threads, initializer=lambda: learn.limits(limits=1)
        )
        fits, converged = zip(*walk, strict=True)
    found, table = _assigned(
        draws, names, scales, reference, Mixture.stacked(fits), totals, sure, method, threads
    )
    _add_stability(found, table)
    own = _add_centres(found, scales, reference, fits)
    kind = "silhouette" if method == "kmeans" else "bic"
    found[kind] = (TRIED, np.array(list(scores.values())))
    found = found.assign_coords({TRIED: np.array(list(scores), dtype=np.int64)})
    found.attrs |= {
        "method": method,
        "quantities": names,
        "transforms": [scale.words() for scale in scales],
        "number_chosen_by": kind if clusters == "auto" else "the caller",
        "fitted_customers": int(z.shape[1]),
        "draws_not_converged": draws.size - sum(converged),
    }
    return describe(found, own)


def _checked(
    draws: Simulation,
    quantities: Sequence[str] | None,
    clusters: int | str,
    method: str,
    totals: Sequence[str],
    sure: float,
) -> list[str]:
    if method not in ("kmeans", "mixture"):
        raise InputError(f"method={method!r} is not known. Use 'kmeans' or 'mixture'.")
    number = isinstance(clusters, int) and not isinstance(clusters, bool) and clusters >= 2
    if not (number or clusters == "auto"):
        raise InputError(f"clusters={clusters!r} must be a whole number from 2 on, or 'auto'.")
    if not 0 < sure <= 1:
        raise InputError(f"sure={sure!r} must be a probability above 0, such as 0.8.")
    if isinstance(quantities, str):
        raise InputError(f"quantities={quantities!r} is one text. Write a list, such as ({quantities!r},).")
    usual = ("probability_alive", "purchase_rate", *(() if draws.spending is None else (SPEND_LEVEL,)))
    names = list(usual if quantities is None else quantities)
    if not names or len(set(names)) < len(names):
        raise InputError(f"quantities={names!r} must name at least one quantity, each once.")
    for name in (*names, *totals):
        if name not in draws.names:
            raise InputError(
                f"The quantity {name!r} is not known. There are {', '.join(draws.names)}. Further columns are "
                f"{either('attached with clv.with_columns', 'read with --columns')}."
            )
    return names


def _sample(draws: Simulation, names: Sequence[str], threads: int | None) -> np.ndarray:
    """Return (quantity, customer, draw) of the customers that clusterings are fitted to."""

    def work(places: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
        return _whole(draws, names, places, values)

    return np.concatenate(list(draws.each(work, names, threads, sample=FIT_CUSTOMERS)), axis=1)


def _whole(
    draws: Simulation, names: Sequence[str], places: np.ndarray, values: dict[str, np.ndarray]
) -> np.ndarray:
    found = np.empty((len(names), places.size, draws.size), dtype=np.float32)
    for each, name in zip(found, names, strict=True):
        each[:] = values[name]
        # The sum is NaN where one of them is, and quicker to look at.
        if np.isnan(each.sum()) and np.isnan(each).any():
            customer = draws.customers[CUSTOMER].values[places[np.isnan(each).any(axis=1).argmax()]]
            raise InputError(
                f"The quantity {name!r} is missing (NaN), for customer {customer!r} among others, who could be in "
                "no cluster. Fill the column, leave such customers out, or use a quantity that everybody has "
                "(spend_per_purchase instead of monetary_value)."
            )
    return found


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
def _count(found, own, membership, table):  # type: ignore[no-untyped-def]
    """Count draws in ``membership`` (customer, cluster), customers in (draw, their own cluster, the draw's)."""
    for i in range(found.shape[0]):
        for s in range(found.shape[1]):
            membership[i, found[i, s]] += 1
            table[s, own[i], found[i, s]] += 1


def _seed(draws: Simulation, clusters: int, number: int) -> int:
    return int(np.random.SeedSequence([STREAM, draws.seed, clusters, number]).generate_state(1)[0])


def _distinct(means: np.ndarray) -> int:
    """Return the number of different customers, as far as single precision tells them apart."""
    return int(np.unique(means.astype(np.float32), axis=0).shape[0])


def _scores(learn: Scikit, means: np.ndarray, method: str, draws: Simulation, most: int) -> dict[int, float]:
    """Return the silhouette or the BIC of each number of clusters."""
    scores: dict[int, float] = {}
    for count in range(2 if method == "kmeans" else 1, min(MOST_TRIED, most - 1) + 1):
        fit, _ = fitted_mixture(learn, means, count, method, _seed(draws, count, 0), REFERENCE_STARTS)
        if method == "kmeans":
            few = means[:SILHOUETTE_CUSTOMERS]
            labels = fit.labels(few)
            apart = np.unique(labels).size
            scores[count] = float(learn.silhouette(few, labels)) if 1 < apart < len(few) else np.nan
        else:
            scores[count] = bic_of(fit, means)
    return scores


def _chosen(scores: dict[int, float], method: str) -> int:
    known = {count: score for count, score in scores.items() if np.isfinite(score)}
    if not known:
        raise InputError("No number of clusters could be scored: the customers are too few or too alike.")
    best = max if method == "kmeans" else min
    return best(known, key=lambda count: known[count])


def _matching(reference: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return which of the draw's clusters is matched to each of the reference's: the largest overlap in all."""
    together = np.bincount(reference * count + labels, minlength=count * count).reshape(count, count)
    _, order = linear_sum_assignment(-together)
    found: np.ndarray = order
    return found


def _assigned(
    draws: Simulation,
    names: list[str],
    scales: list[Scale],
    reference: Mixture,
    fits: Mixture,
    totals: Sequence[str],
    sure: float,
    method: str,
    threads: int | None,
) -> tuple[xr.Dataset, np.ndarray]:
    """Return the dataset of memberships, and (draw, reference's cluster, draw's cluster) customers."""
    people, size, count = draws.customers.sizes[CUSTOMER], draws.size, len(reference.weight)
    membership = np.zeros((people, count), dtype=np.float32)
    sums = {name: np.zeros((size, count)) for name in totals}
    table = np.zeros((size, count, count), dtype=np.int64)
    likely = np.zeros(people, dtype=np.int64)
    last = fits.last()

    def work(places: np.ndarray, values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        whole = _whole(draws, names, places, values)
        z = np.stack([scale.apply(each) for scale, each in zip(scales, whole, strict=True)])
        found = np.empty((places.size, size), dtype=np.int32)
        nearest(z, *last, found)
        own = reference.labels(z.mean(axis=2).T)
        of_customer = np.zeros((places.size, count), dtype=np.int32)
        pairs = np.zeros((size, count, count), dtype=np.int64)
        _count(found, own, of_customer, pairs)
        # By the thread that counted: each customer is in one block.
        likely[places], membership[places] = own, of_customer / size
        amounts = np.zeros((len(totals), size, count))
        for total, name in zip(amounts, totals, strict=True):
            add_up(found, owned(values[name], values[name].shape), total)
        return pairs, amounts

    needed = list(dict.fromkeys([*names, *totals]))
    for pairs, amounts in draws.each(work, needed, threads):
        table += pairs
        for name, amount in zip(totals, amounts, strict=True):
            sums[name] += amount
    members = table.sum(axis=1)
    segments = tuple(Segment(f"cluster {k + 1}", "", "") for k in range(count))
    # To who reads the result a clustering is a rule without conditions.
    rule = Rule(f"{count} clusters ({method})", segments, (), np.zeros(()))
    dataset = segments_dataset(rule, membership, members, sums, sure, draws)
    labels = dataset[SEGMENT].values[likely]
    dataset["reference"] = (CUSTOMER, labels)
    return dataset, table


def _add_stability(found: xr.Dataset, table: np.ndarray) -> None:
    index = rand_index(table)
    found["rand_index"] = (DRAW, index)
    low, high = interval(index)
    for statistic, value in (("mean", index.mean()), ("q05", low), ("q95", high)):
        found[f"rand_index_{statistic}"] = ((), float(value))
    shared = table.astype(np.float64)
    either = shared.sum(axis=2, keepdims=True) + shared.sum(axis=1, keepdims=True) - shared
    jaccard = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0).max(axis=2)
    found["jaccard"] = (SEGMENT, jaccard.mean(axis=0))


def _add_centres(
    found: xr.Dataset, scales: Sequence[Scale], reference: Mixture, fits: Sequence[Mixture]
) -> dict[str, Variable]:
    own = {}
    for i, scale in enumerate(scales):
        unit = CUSTOMER_VARIABLES[scale.name].unit if scale.name in CUSTOMER_VARIABLES else ""
        own[f"{scale.name}_centre"] = Variable(f"centre of the cluster, {scale.name}", unit)
        drawn = scale.back(np.stack([fit.centre[:, i] for fit in fits]))
        low, high = interval(drawn, axis=0)
        for suffix, values in (("", scale.back(reference.centre[:, i])), ("_q05", low), ("_q95", high)):
            found[f"{scale.name}_centre{suffix}"] = (SEGMENT, values)
    return own
