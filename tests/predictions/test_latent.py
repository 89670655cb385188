"""The individual posteriors: their means are the closed forms, and company changes nothing."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

NAMES = bg_nbd.FAMILY.forecast.latent


@pytest.fixture(scope="module")
def few(make_customers):
    return make_customers(120)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying()


def test_means_are_the_closed_forms(buying, few):
    own = clv.latent_posterior(buying, few, seed=1)
    draws = own.attrs["draws"]
    r, alpha, a, b = (buying["posterior"][name].values.ravel() for name in bg_nbd.PARAMETERS)
    x, t_x, age = (few[name].values[:, None] for name in ("frequency", "recency", "T"))
    alive = bg_nbd.probability_alive(x, t_x, age, r, alpha, a, b)
    # Second moments of the two mixtures; the sample's own sd is too small where its mean is.
    squares = {
        "purchase_rate": (r + x)
        * (r + x + 1)
        * (alive / (alpha + age) ** 2 + (1 - alive) / (alpha + t_x) ** 2),
        "dropout": (a + 1) * (alive * a + (1 - alive) * (a + 2)) / ((a + b + x) * (a + b + x + 1)),
    }
    for name, mean in zip(NAMES, bg_nbd.latent_means(x, t_x, age, r, alpha, a, b), strict=True):
        # Given the population draws, only the latent draws vary.
        error = np.sqrt((squares[name] - mean**2).mean(axis=1) / draws)
        z = (own[f"{name}_mean"].values - np.broadcast_to(mean, (120, draws)).mean(axis=1)) / error
        # The largest of some 100 distinct standard normals is above 4.5 once in 1,500 seeds.
        assert np.abs(z).max() < 4.5, name
        assert own[f"{name}_mean"].attrs["level"] == "latent"


def test_quantiles_hold_their_share_of_the_draws(buying, few):
    own = clv.latent_posterior(buying, few, seed=1, keep_draws=True)
    for name in NAMES:
        below = (own[name] <= own[f"{name}_q25"]).mean(("chain", "draw"))
        # The inverse CDF: the smallest draw with at least a quarter at or below it.
        assert float(below.min()) >= 0.25
        assert float(below.max()) <= 0.25 + 1.5 / own.attrs["draws"]


def test_company_order_and_threads_change_nothing(buying, few):
    whole = clv.latent_posterior(buying, few, seed=1, threads=2)
    shuffled = few.isel(customer=np.random.default_rng(1).permutation(few.sizes["customer"])[:50])
    part = clv.latent_posterior(buying, shuffled, seed=1, threads=1)
    xr.testing.assert_equal(part, whole.sel(customer=part["customer"]))
    kept = clv.latent_posterior(buying, shuffled, seed=1, keep_draws=True)["dropout"]
    alone = clv.latent_posterior(buying, shuffled.isel(customer=[3]), seed=1, keep_draws=True)["dropout"]
    xr.testing.assert_equal(alone, kept.isel(customer=[3]))


def test_customers_of_one_history_have_draws_of_their_own(buying, few):
    twin = few.isel(customer=[0, 0]).assign_coords(customer=["a", "b"])
    own = clv.latent_posterior(buying, twin, seed=1, keep_draws=True)
    rates = own["purchase_rate"].values.reshape(-1, 2)
    assert (rates[:, 0] != rates[:, 1]).all()
    summary = clv.latent_posterior(buying, twin, seed=1)["purchase_rate_q50"]
    assert float(summary[0]) == float(summary[1])


def test_draws_that_do_not_fit_are_refused(buying, few):
    with pytest.raises(clv.InputError, match=r"120 customers need .* GB"):
        clv.latent_posterior(buying, few, seed=1, keep_draws=True, max_memory=1e4)
