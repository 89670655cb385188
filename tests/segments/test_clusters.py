"""Clusters: groups that are there are found in every draw, others are not stable, and a label keeps its meaning."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import bayes_clv as clv
from bayes_clv.segments import clusters as module
from bayes_clv.segments import mixtures


@dataclass
class Given:
    """Draws with given numbers, in the shape of Simulation."""

    values: dict[str, np.ndarray]
    seed: int = 1
    horizon: float = 52.0
    spending = None
    data = ()

    @property
    def names(self):
        return tuple(self.values)

    @property
    def size(self):
        return next(iter(self.values.values())).shape[1]

    @property
    def customers(self):
        ids = [f"c{i:04d}" for i in range(len(next(iter(self.values.values()))))]
        return xr.Dataset(coords={"customer": np.array(ids, dtype=object)}, attrs={"time_unit": "week"})

    def blocks(self, names, threads=None):
        yield from self.each(lambda places, values: (places, values), names, threads)

    def each(self, work, names, threads=None, sample=None):
        places = np.random.default_rng(0).permutation(len(self.customers["customer"]))[:sample]
        for start in range(0, places.size, 256):
            part = places[start : start + 256]
            yield work(part, {name: self.values[name][part] for name in names})


CENTRES = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 9.0]])
SHARES = (300, 200, 100)


def grouped(draws=20, spread=0.7, noise=0.4, seed=2):
    """Three groups of customers well apart: within a group an sd of 0.7, over draws of 0.4, centres 6 or more apart."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), SHARES)
    own = CENTRES[truth] + spread * rng.standard_normal((truth.size, 2))
    z = own[:, None] + noise * rng.standard_normal((truth.size, draws, 2))
    return truth, Given({"x": z[:, :, 0], "y": 1000 * z[:, :, 1]})


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
@pytest.mark.parametrize("count", [3, "auto"])
def test_groups_that_are_there_are_found_in_every_draw(method, count):
    truth, draws = grouped()
    found = clv.segments.cluster(draws, ("x", "y"), clusters=count, method=method, totals=("x",))
    # Middles between centres are 3 away, more than 3.7 sd of 0.81: a handful of 600 × 20 labels may differ.
    assert found.sizes["segment"] == 3
    assert found["rand_index"].min() > 0.98
    assert found["jaccard"].min() > 0.98
    names = np.array(["cluster 1", "cluster 2", "cluster 3"])
    for each in ("reference", "most_likely"):
        assert (found[each].values == names[truth]).mean() > 0.995
    own = found["membership"].to_numpy()[np.arange(truth.size), truth]
    assert own.mean() > 0.995
    np.testing.assert_allclose(found["membership"].sum("segment"), 1, atol=1e-6)
    np.testing.assert_allclose(found["size_mean"], SHARES, atol=2)
    # A centre of 100 customers or more has a standard error of 0.08 of a unit; five of them.
    np.testing.assert_allclose(found["x_centre"], CENTRES[:, 0], atol=0.4)
    np.testing.assert_allclose(found["y_centre"], 1000 * CENTRES[:, 1], atol=400)
    assert (found["x_centre_q05"] <= found["x_centre_q95"]).all()
    scores = found["silhouette" if method == "kmeans" else "bic"]
    best = scores.idxmax() if method == "kmeans" else scores.idxmin()
    assert best == 3
    sums = draws.values["x"].sum(axis=0)
    np.testing.assert_allclose(found["x_total"].sum("segment"), sums)


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
def test_where_there_is_nothing_the_draws_disagree(method):
    """Customers who are all alike: posterior means differ by chance, and no draw knows of the others' clusters."""
    rng = np.random.default_rng(3)
    draws = Given({name: rng.standard_normal((600, 30)) for name in ("x", "y")})
    found = clv.segments.cluster(draws, ("x", "y"), clusters=3, method=method)
    # The reference holds a thirtieth of what each draw says, and so agrees with it a little.
    assert found["rand_index_mean"] < 0.1
    assert found["jaccard"].max() < 0.5
    assert found["unsure"].mean() > 0.9


def test_a_continuum_is_less_stable_than_groups():
    rng = np.random.default_rng(4)
    own = 4 * rng.standard_normal((600, 1, 2))
    z = own + 2 * rng.standard_normal((600, 20, 2))
    found = clv.segments.cluster(Given({"x": z[:, :, 0], "y": z[:, :, 1]}), ("x", "y"), clusters=4)
    assert found["rand_index_mean"] < 0.7
    assert found["unsure"].mean() > 0.2


def test_matching_undoes_any_renaming():
    rng = np.random.default_rng(5)
    reference = rng.integers(0, 5, 400)
    for seed in range(5):
        renamed = np.random.default_rng(seed).permutation(5)
        labels = renamed[reference]
        # Some customers are elsewhere: the overlap decides all the same.
        labels = np.where(rng.random(400) < 0.3, rng.integers(0, 5, 400), labels)
        np.testing.assert_array_equal(module._matching(reference, labels, 5), renamed)


def test_the_indices_are_those_of_their_papers():
    rng = np.random.default_rng(6)
    first, second = rng.integers(0, 4, (2, 10, 200))
    second = np.where(rng.random((10, 200)) < 0.6, first, second)
    table = np.zeros((10, 4, 4), dtype=np.int64)
    for s in range(10):
        np.add.at(table[s], (first[s], second[s]), 1)
    expected = [adjusted_rand_score(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(mixtures.rand_index(table), expected)
    assert mixtures.rand_index(np.array([[[200]]])) == 1
    found = xr.Dataset(coords={"segment": range(4), "draw": range(10)})
    module._add_stability(found, table)
    for k in range(4):
        best = [
            max(((a == k) & (b == j)).sum() / ((a == k) | (b == j)).sum() for j in range(4))
            for a, b in zip(first, second, strict=True)
        ]
        assert found["jaccard"][k] == pytest.approx(np.mean(best))
    assert found["rand_index_mean"] == pytest.approx(np.mean(expected))


def test_assignment_is_scikit_learns():
    z = np.random.default_rng(7).standard_normal((500, 3)) * [1.0, 2.0, 0.5]
    learn = mixtures.scikit()
    fit, converged = mixtures.fitted_mixture(learn, z, 4, "kmeans", 11, 3)
    assert converged
    other = KMeans(4, n_init=3, random_state=11).fit(z)
    np.testing.assert_array_equal(fit.labels(z), other.predict(z))
    fit, _ = mixtures.fitted_mixture(learn, z, 3, "mixture", 11, 3)
    other = GaussianMixture(3, n_init=1, random_state=11, reg_covar=1e-4).fit(z)
    np.testing.assert_array_equal(fit.labels(z), other.predict(z))
    assert mixtures.bic_of(fit, z) == pytest.approx(other.bic(z))


def test_draws_are_assigned_together_as_each_alone():
    rng = np.random.default_rng(9)
    z = rng.standard_normal((12, 300, 2))
    learn = mixtures.scikit()
    fits = [mixtures.fitted_mixture(learn, each, 3, "mixture", s, 3)[0] for s, each in enumerate(z)]
    found = np.empty((300, 12), dtype=np.int32)
    mixtures.nearest(
        np.ascontiguousarray(z.transpose(2, 1, 0)), *mixtures.Mixture.stacked(fits).last(), found
    )
    alone = np.stack([fit.labels(each) for fit, each in zip(fits, z, strict=True)], axis=1)
    np.testing.assert_array_equal(found, alone)
    assert len(np.unique(found)) == 3


def test_fits_that_do_not_converge_are_counted_and_no_warning(recwarn):
    rng = np.random.default_rng(10)
    # Two places for three clusters in half of the draws: k-means finds two there. Elsewhere there are three.
    few = np.repeat([0.0, 10.0], 100)[:, None] * np.ones((200, 6))
    many = rng.permutation(np.repeat([0.0, 5.0, 10.0, 10.0], 50))[:, None] * np.ones((200, 6))
    found = clv.segments.cluster(Given({"x": np.concatenate([few, many], axis=1)}), ("x",), clusters=3)
    assert found.attrs["draws_not_converged"] == 6
    assert not recwarn.list


def test_more_customers_than_clusterings_are_fitted_to(monkeypatch):
    monkeypatch.setattr(module, "FIT_CUSTOMERS", 250)
    truth, draws = grouped()
    found = clv.segments.cluster(draws, ("x", "y"), clusters=3)
    assert found.attrs["fitted_customers"] == 250
    assert found["membership"].to_numpy()[np.arange(600), truth].mean() > 0.99
    # Stability is that of all customers, not of the sample.
    assert (found["size"].sum("segment") == 600).all()


def test_the_unit_changes_nothing():
    rng = np.random.default_rng(8)
    rates = rng.gamma(0.7, 0.1, (500, 1)) * rng.lognormal(0, 0.2, (500, 20))
    weekly = clv.segments.cluster(Given({"purchase_rate": rates, "x": rng.standard_normal((500, 20))}), clusters=3,
                         quantities=("purchase_rate", "x"))  # fmt: skip
    assert weekly.attrs["transforms"][0].startswith("(log(1 + purchase_rate / 0.0")
    assert weekly.attrs["transforms"][1].startswith("(x - ")
    assert weekly["purchase_rate_centre"].attrs["units"] == "1/week"
    rng = np.random.default_rng(8)
    rng.gamma(0.7, 0.1, (500, 1)), rng.lognormal(0, 0.2, (500, 20))
    daily = clv.segments.cluster(Given({"purchase_rate": rates / 7, "x": rng.standard_normal((500, 20))}), clusters=3,
                        quantities=("purchase_rate", "x"))  # fmt: skip
    assert (weekly["most_likely"] == daily["most_likely"]).mean() > 0.99
    np.testing.assert_allclose(daily["purchase_rate_centre"] * 7, weekly["purchase_rate_centre"], rtol=1e-3)


@pytest.fixture(scope="module")
def few(make_posterior, make_spending, make_customers):
    customers = make_customers(400)
    posterior = make_posterior(
        "mbg_nbd", {"r": 0.8, "alpha": 6.0, "a": 0.8, "b": 2.4}, sd=0.1, chains=1, draws=12
    )
    return posterior, make_spending(chains=1, draws=12), customers


def test_the_same_seed_gives_the_same_clusters(few):
    posterior, spending, customers = few

    def of(who, seed=1, **options):
        draws = clv.simulate(posterior, who, spending=spending, draws=12, seed=seed)
        return clv.segments.cluster(draws, clusters=3, **options)

    first = of(customers)
    assert first.attrs["quantities"] == ["probability_alive", "purchase_rate", "spend_per_purchase"]
    xr.testing.assert_identical(first, of(customers))
    xr.testing.assert_identical(first, of(customers, threads=1))
    turned = of(customers.isel(customer=slice(None, None, -1)))
    np.testing.assert_array_equal(turned["membership"].sel(customer=first["customer"]), first["membership"])
    assert (of(customers, seed=2)["membership"] != first["membership"]).any()
    assert float(first["size_mean"].sum()) == pytest.approx(400)


def test_what_cannot_be_clustered_is_refused(few, monkeypatch):
    posterior, _, customers = few
    draws = clv.simulate(posterior, customers, draws=12, seed=1)
    for options, message in (
        ({"clusters": 1}, r"clusters=1 must be a whole number from 2 on, or 'auto'"),
        ({"clusters": True}, "clusters=True must be"),
        ({"method": "ward"}, "method='ward' is not known"),
        ({"quantities": "alive"}, "is one text"),
        ({"quantities": ()}, "at least one quantity"),
        ({"quantities": ("value",)}, "'value' is not known. There are .*with_columns"),
        ({"totals": ("value",)}, "'value' is not known"),
        ({"quantities": ("monetary_value",)}, r"'monetary_value' is missing \(NaN\), for customer 'c"),
        ({"sure": 0}, "sure=0"),
    ):
        with pytest.raises(clv.InputError, match=message):
            clv.segments.cluster(draws, **options)
    same = Given({"x": np.ones((50, 10)), "y": np.repeat([[0.0], [1.0]], 25, axis=0) * np.ones((50, 10))})
    with pytest.raises(clv.InputError, match="'x' is the same for all customers"):
        clv.segments.cluster(same, ("x", "y"))
    with pytest.raises(clv.InputError, match=r"2 different posterior means of y, too few for 4"):
        clv.segments.cluster(same, ("y",), clusters=4)
    with pytest.raises(clv.InputError, match=r"2 different posterior means of y, too few for auto"):
        clv.segments.cluster(same, ("y",), clusters="auto")
    assert clv.segments.cluster(same, ("y",), clusters=2)["rand_index"].min() == 1
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(clv.InputError, match=r"pip install 'bayes_clv\[clusters\]'"):
        clv.segments.cluster(draws)
