"""Pareto/GGG is fitted to customers whose regularity differs: the truth comes back, and tells more than Pareto/NBD."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.distributions import pareto_ggg, pareto_nbd

# Mean regularity 3, one customer in ten below 0.9 and one in ten above 5.6; medians of 13 weeks between leavings.
TRUTH = {"shape": 3.0, "mean": 3.0, "r": 2.0, "rate": 0.6, "s": 1.5, "lifetime": 30.0}
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


def log_score(alive, probability):
    return np.log(np.where(alive, probability, 1 - probability)).mean()


def fitted_point(tree, module):
    return {name: float(tree["posterior"][name].mean()) for name in module.PARAMETERS}


def compare_alive(customers, alive):
    """Return the log scores of P(alive) by Pareto/GGG and by Pareto/NBD, at their modes, and the GGG fit."""
    ggg = clv.fit("pareto_ggg", customers, method="mode", seed=1)
    nbd = clv.fit("pareto_nbd", customers, method="mode", seed=1)
    scores = []
    for tree, module, names in (
        (ggg, pareto_ggg, pareto_ggg.HISTORY),
        (nbd, pareto_nbd, pareto_nbd.OBSERVED),
    ):
        probability = module.probability_alive(*columns_of(customers, names), **fitted_point(tree, module))
        scores.append(log_score(alive, probability))
    return *scores, ggg


def test_the_fit_finds_the_regularity_and_who_is_alive():
    customers, alive = base(250, seed=1)
    ggg, nbd, tree = compare_alive(customers, alive)
    assert ggg > nbd + 0.02
    found = tree["posterior"]["population_regularity"].item()
    # About 130 repeat buyers, k spread by 1 / sqrt(3), each k known to about sqrt(2 / x): 8 %; four of them.
    assert found == pytest.approx(TRUTH["mean"], rel=0.35)


@pytest.mark.full
def test_the_posterior_recovers_the_truth():
    customers, alive = base(1_500, seed=2)
    ggg, nbd, _ = compare_alive(customers, alive)
    assert ggg > nbd + 0.02
    tree = clv.fit("pareto_ggg", customers, method="laplace", draws=100, chains=4, seed=3)
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
