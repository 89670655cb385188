"""The customers' own numbers: their means are the closed forms, and company changes nothing."""

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


def own_of(buying, customers, **options):
    return clv.predict(buying, customers, "26 weeks", own=True, **options)


def test_draws_have_the_closed_forms_means_and_spread(buying, few):
    own = own_of(buying, few, seed=1, keep_draws=True)
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
        exact = np.broadcast_to(mean, (120, draws)).mean(axis=1)
        z = (own[name].mean(("chain", "draw")).values - exact) / error
        # The largest of 120 standard normals is above 4.5 once in 1,200 seeds.
        assert np.abs(z).max() < 4.5, name
        np.testing.assert_allclose(own[f"{name}_mean"], exact, rtol=1e-12)
        np.testing.assert_allclose(own[f"{name}_sd"], own[name].std(("chain", "draw"), ddof=1), rtol=1e-9)
        for statistic in ("mean", "sd", "q05"):
            assert own[f"{name}_{statistic}"].attrs["level"] == "latent"


def test_quantiles_hold_their_share_of_the_draws(buying, few):
    own = own_of(buying, few, seed=1, keep_draws=True)
    for name in NAMES:
        below = (own[name] <= own[f"{name}_q25"]).mean(("chain", "draw"))
        # The inverse CDF: the smallest draw with at least a quarter at or below it.
        assert float(below.min()) >= 0.25
        assert float(below.max()) <= 0.25 + 1.5 / own.attrs["draws"]


def test_company_order_and_threads_change_nothing(buying, few):
    whole = own_of(buying, few, seed=1, threads=2)
    shuffled = few.isel(customer=np.random.default_rng(1).permutation(few.sizes["customer"])[:50])
    part = own_of(buying, shuffled, seed=1, threads=1)
    names = [f"{name}_{statistic}" for name in NAMES for statistic in ("mean", "sd", "q05", "q95")]
    xr.testing.assert_equal(part[names], whole[names].sel(customer=part["customer"]))
    kept = own_of(buying, shuffled, seed=1, keep_draws=True)["dropout"]
    alone = own_of(buying, shuffled.isel(customer=[3]), seed=1, keep_draws=True)["dropout"]
    xr.testing.assert_equal(alone, kept.isel(customer=[3]))


def test_asking_for_own_numbers_changes_no_future(buying, few):
    own, plain = own_of(buying, few, seed=1), clv.predict(buying, few, "26 weeks", seed=1)
    xr.testing.assert_equal(own[list(plain.data_vars)], plain)
    assert {str(name) for name in own} - {str(name) for name in plain} == {
        f"{name}_{statistic}" for name in NAMES for statistic in ("sd", "q05", "q25", "q50", "q75", "q95")
    }


def test_customers_of_one_history_have_draws_of_their_own(buying, few):
    twin = few.isel(customer=[0, 0]).assign_coords(customer=["a", "b"])
    own = own_of(buying, twin, seed=1, keep_draws=True)
    rates = own["purchase_rate"].values.reshape(-1, 2)
    assert (rates[:, 0] != rates[:, 1]).all()


def test_draws_that_do_not_fit_are_refused(buying, few):
    with pytest.raises(clv.InputError, match=r"120 customers need .* GB"):
        own_of(buying, few, seed=1, keep_draws=True, max_memory=1e4)
