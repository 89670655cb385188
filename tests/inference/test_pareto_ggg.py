"""Pareto/GGG is fitted to customers whose regularity differs: the truth comes back, and tells more than Pareto/NBD."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.distributions.regular import gamma_waits
from tests.symbols import paper

pareto_ggg = paper("pareto_ggg")
pareto_nbd = paper("pareto_nbd")

# Mean regularity 5, one customer in ten below 1.8 and one in ten above 8.9.
TRUTH = {"shape": 3.0, "mean": 5.0, "r": 2.0, "rate": 0.6, "s": 1.5, "lifetime": 30.0}
AGE = 40.0


def base(size, seed):
    """Return customers and who is alive, simulated here and not by the family."""
    rng = np.random.default_rng(seed)
    k = rng.gamma(TRUTH["shape"], TRUTH["mean"] / TRUTH["shape"], size)
    rate = rng.gamma(TRUTH["r"], TRUTH["rate"] / TRUTH["r"], size)
    beta = TRUTH["lifetime"] / (2 ** (1 / TRUTH["s"]) - 1)
    lifetime = rng.exponential(1 / rng.gamma(TRUTH["s"], 1 / beta, size))
    rows = []
    for i in range(size):
        waits = rng.gamma(k[i], 1 / (k[i] * rate[i]), 2_000)
        ages = np.cumsum(waits)
        bought = ages <= min(lifetime[i], AGE)
        rows.append((bought.sum(), ages[bought].max(initial=0.0), np.log(waits[bought]).sum()))
    x, t_x, log_intervals = np.array(rows).T
    columns = {"frequency": x, "recency": t_x, "T": np.full(size, AGE), "log_intervals": log_intervals}
    customers = xr.Dataset(
        {name: ("customer", column) for name, column in columns.items()},
        coords={"customer": np.arange(size).astype(str).astype(object)},
        attrs={"time_unit": "week"},
    )
    return customers, lifetime > AGE


def columns_of(customers, names):
    return [customers[name].to_numpy() for name in names]


def fitted_point(tree, module):
    return {name: float(tree["posterior"][name].mean()) for name in module.PARAMETERS}


def gain(customers, alive, ggg, nbd):
    """Return by how much Pareto/GGG's log score of who is alive is better than Pareto/NBD's, and its standard error."""
    own = pareto_ggg.probability_alive(*columns_of(customers, pareto_ggg.HISTORY), **ggg)
    other = pareto_nbd.probability_alive(*columns_of(customers, pareto_nbd.OBSERVED), **nbd)
    better = np.log(np.where(alive, own, 1 - own)) - np.log(np.where(alive, other, 1 - other))
    return better.mean(), better.std() / np.sqrt(better.size)


def test_regularity_tells_who_is_alive():
    customers, alive = base(2_000, seed=1)
    nbd = fitted_point(clv.fit("pareto_nbd", customers, method="mode", seed=1), pareto_nbd)
    truth = pareto_ggg.parameters(
        {
            "population_regularity": TRUTH["mean"],
            "regularity_shape": TRUTH["shape"],
            "population_purchase_rate": TRUTH["rate"],
            "r": TRUTH["r"],
            "population_lifetime": TRUTH["lifetime"],
            "s": TRUTH["s"],
        }
    )
    mean, error = gain(customers, alive, truth, nbd)
    assert mean > 3 * error


def test_the_fit_finds_the_regularity():
    customers, _ = base(120, seed=2)
    tree = clv.fit("pareto_ggg", customers, method="mode", seed=1)
    # About 80 repeat buyers, k spread by 1 / sqrt(3) and each known to sqrt(2 / x): about 10 %; four of them.
    assert tree["posterior"]["population_regularity"].item() == pytest.approx(TRUTH["mean"], rel=0.4)


@pytest.mark.full
def test_the_posterior_recovers_the_truth():
    customers, alive = base(1_000, seed=3)
    nbd = fitted_point(clv.fit("pareto_nbd", customers, method="mode", seed=1), pareto_nbd)
    tree = clv.fit("pareto_ggg", customers, method="laplace", draws=75, chains=4, seed=3)
    truth = {
        "population_regularity": TRUTH["mean"],
        "regularity_shape": TRUTH["shape"],
        "population_purchase_rate": TRUTH["rate"],
        "r": TRUTH["r"],
        "population_lifetime": TRUTH["lifetime"],
        "s": TRUTH["s"],
    }
    for name, value in truth.items():
        drawn = np.log(tree["posterior"][name].to_numpy())
        # One false alarm in 2,500 for six quantities.
        assert abs(np.log(value) - drawn.mean()) < 4 * drawn.std(), name
    mean, error = gain(customers, alive, fitted_point(tree, pareto_ggg), nbd)
    assert mean > 2 * error


@pytest.mark.full
def test_loo_prefers_the_family_that_made_the_data():
    customers, _ = base(300, seed=4)
    fits = {
        name: clv.fit(
            name, customers, method="laplace", draws=50, chains=4, seed=5, include=("log_likelihood",)
        )
        for name in ("pareto_ggg", "pareto_nbd")
    }
    table = clv.compare(fits)
    assert table.index[0] == "pareto_ggg"


def test_with_everyone_at_random_cdnow_has_pareto_nbds_published_log_likelihood():
    """Fader, Hardie & Lee (2005): -9594.98 at r .553, alpha 10.58, s .606, beta 11.66 (Pareto/NBD is k = 1)."""
    customers = clv.summarize(
        clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30", also=("log_intervals",)
    )
    history = columns_of(customers, pareto_ggg.HISTORY)
    values = (1e5, 1e5, 0.5534, 10.5758, 0.6061, 11.6618)
    rows = [*history, *(np.full(history[0].size, value) for value in values)]
    found = gamma_waits.moments_of_rows(*(np.asarray(row, dtype=float) for row in rows))[0].sum()
    # k varies by 1 / sqrt(1e5); the figure is rounded.
    assert found == pytest.approx(-9594.98, abs=0.01)
