"""Coverage of simulated bases by the whole road: simulate, fit, forecast, look where the truth falls.

Counts have no interval of exactly 80 %, so intervals are those of the randomised probability integral transform:
u is uniform between the share of draws below the truth and the share at or below it, and the central interval of
probability L holds u with |u - 1/2| < L / 2 (Czado, Gneiting & Held 2009).
"""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

LEVELS = (0.5, 0.8, 0.9, 0.95)
BASES = 50
SIZE = 1000
HORIZON = 39.0


def simulated_base(values, seed, *, sd):
    """Return a base observed for 26 to 39 weeks, with its holdout; parameters log-normal around ``values``."""
    rng = np.random.default_rng(seed)
    truth = {name: value * np.exp(sd * rng.standard_normal()) for name, value in values.items()}
    age = rng.uniform(26, 39, SIZE)
    who, when = bg_nbd.simulate_purchase_times(rng, age + HORIZON, **truth)
    before = when <= age[who]
    recency = np.zeros(SIZE)
    np.maximum.at(recency, who[before], when[before])
    base = xr.Dataset(
        {
            "frequency": ("customer", np.bincount(who[before], minlength=SIZE)),
            "recency": ("customer", recency),
            "T": ("customer", age),
            "holdout_purchases": ("customer", np.bincount(who[~before], minlength=SIZE)),
        },
        coords={"customer": np.array([f"c{i:04d}" for i in range(SIZE)], dtype=object)},
        attrs={"time_unit": "week", "until": "1997-09-30", "holdout_duration": HORIZON},
    )
    return truth, base


def randomised_pit(future, observed_total, rng):
    """Return u of each customer, and of the total."""
    draws = future.attrs["draws"]
    below, equal = future["draws_below"].to_numpy(), future["draws_equal"].to_numpy()
    total = future["purchases_total"].to_numpy().ravel()
    ties = rng.random() * (total == observed_total).sum()
    return (below + rng.random(below.size) * equal) / draws, ((total < observed_total).sum() + ties) / draws


def inside(u, level):
    return np.abs(np.asarray(u) - 0.5) < level / 2


def test_intervals_cover_with_known_parameters(estimates, make_buying):
    # Certain parameters: customers are independent, and the share covered is binomial.
    rng = np.random.default_rng(1)
    u = []
    for seed in range(4):
        _, base = simulated_base(estimates, seed, sd=0.0)
        future = clv.predict(make_buying(sd=0.0, draws=500), base, HORIZON, seed=seed)
        u.append(randomised_pit(future, int(base["holdout_purchases"].sum()), rng)[0])
    u = np.concatenate(u)
    for level in LEVELS:
        # 4 standard errors of 4,000 customers, and 1 / 1000 for the 1,000 draws' own grain.
        error = math.sqrt(level * (1 - level) / u.size)
        assert abs(inside(u, level).mean() - level) < 4 * error + 1e-3
    assert stats.kstest(u, "uniform").pvalue > 1e-4


@pytest.mark.full
def test_intervals_cover_the_holdout_of_fifty_fitted_bases(estimates):
    rng = np.random.default_rng(2)
    customers, totals = [], []
    for seed in range(BASES):
        _, base = simulated_base(estimates, seed, sd=0.3)
        buying = clv.fit("bg_nbd", base, method="laplace", seed=seed, progress=False)
        future = clv.predict(buying, base, HORIZON, seed=seed)
        u, total = randomised_pit(future, int(base["holdout_purchases"].sum()), rng)
        customers.append(u)
        totals.append(total)
    for level in LEVELS:
        # Customers of a base share its parameters' error: the bases are the independent units.
        share = inside(customers, level).mean(axis=1)
        error = max(share.std(ddof=1), math.sqrt(level * (1 - level) / SIZE)) / math.sqrt(BASES)
        covered = int(inside(totals, level).sum())
        p_value = stats.binomtest(covered, BASES, level).pvalue
        print(
            f"{level:.0%}: customers {share.mean():.4f} ± {error:.4f}, totals {covered} of {BASES} (p = {p_value:.2f})"
        )
        assert abs(share.mean() - level) < 4 * error
        assert p_value > 1e-3
