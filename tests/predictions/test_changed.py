"""Futures at another rate and dropout: the same random numbers, and what follows from a change of time."""

import numpy as np
import pytest

import bayes_clv as clv

FASTER = 1.3
# Points of the papers, rounded: the law is tested, not the fit.
POINTS = {
    "bg_nbd": {"r": 0.24, "alpha": 4.4, "a": 0.8, "b": 2.4},
    "pareto_nbd": {"r": 0.55, "alpha": 10.6, "s": 0.6, "beta": 11.7},
    "bg_cnbd_k": {"r": 0.24, "alpha": 4.4, "a": 0.8, "b": 2.4, "k": 2.0},
    "pareto_abe": {
        "population_purchase_rate": 0.05,
        "log_rate_sd": 1.2,
        "population_dropout_rate": 0.02,
        "log_dropout_sd": 0.6,
        "concordance": 0.5,
    },
}
ASKED = ("purchases", "alive", "purchase_rate", "active_time", "discounted_purchases")


@pytest.fixture(scope="module", params=POINTS)
def known(request, make_posterior, make_customers):
    """A simulation of each law that can be changed, and what its dropout is called."""
    posterior = make_posterior(request.param, POINTS[request.param], sd=0.0, chains=1, draws=40)
    simulation = clv.simulate(posterior, make_customers(60, seed=3), "65 weeks", draws=40, seed=2)
    return simulation, simulation.buying.forecast.latent[1]


def of(simulation, *names):
    _, found = next(simulation.blocks(names, threads=1))
    return found


def by(simulation, factor):
    return np.full(simulation.size, factor)


def test_a_change_by_one_is_none(known):
    simulation, dropout = known
    before = of(simulation, *ASKED, dropout)
    after = of(
        simulation.varied(pace=by(simulation, 1.0), leaving=by(simulation, 1.0)),
        *ASKED,
        dropout,
    )
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_rates_are_changed_by_the_factor_and_who_is_here_stays(known):
    simulation, dropout = known
    before = of(simulation, "alive", "purchase_rate", dropout)
    after = of(
        simulation.varied(pace=by(simulation, FASTER), leaving=by(simulation, 0.5)),
        "alive",
        "purchase_rate",
        dropout,
    )
    np.testing.assert_array_equal(after["alive"], before["alive"])
    here = before["alive"] == 1
    np.testing.assert_allclose(
        after["purchase_rate"][here], FASTER * before["purchase_rate"][here], rtol=1e-12
    )
    if dropout == "dropout_rate":
        np.testing.assert_allclose(after[dropout][here], 0.5 * before[dropout][here], rtol=1e-12)
    else:
        # The mean of a Beta is changed, each draw of it by about that.
        error = 4 * before[dropout][here].std() / np.sqrt(here.sum())
        assert after[dropout][here].mean() == pytest.approx(0.5 * before[dropout][here].mean(), abs=error)


def test_a_faster_life_is_a_longer_one(known):
    # Everything faster over a horizon is everything as it was over a longer one. A coin goes by purchases anyway.
    simulation, dropout = known
    leaving = by(simulation, FASTER) if dropout == "dropout_rate" else None
    faster = simulation.varied(horizon=50.0, pace=by(simulation, FASTER), leaving=leaving)
    longer = of(simulation.varied(horizon=50.0 * FASTER), "purchases", "active_time")
    found = of(faster, "purchases", "active_time")
    np.testing.assert_array_equal(found["purchases"], longer["purchases"])
    np.testing.assert_allclose(found["active_time"] * FASTER, longer["active_time"], rtol=1e-9)
    assert found["purchases"].sum() > of(simulation.varied(horizon=50.0), "purchases")["purchases"].sum()


def test_who_leaves_later_is_here_longer(known):
    simulation, dropout = known
    before = of(simulation, "purchases", "active_time")
    after = of(simulation.varied(leaving=by(simulation, 0.5)), "purchases", "active_time")
    assert (after["active_time"] >= before["active_time"]).all()
    assert (after["purchases"] >= before["purchases"]).all()
    assert after["purchases"].sum() > before["purchases"].sum()
    if dropout == "dropout_rate":
        np.testing.assert_allclose(
            after["active_time"], np.minimum(2 * before["active_time"], simulation.horizon), rtol=1e-12
        )


def test_purchases_are_discounted_at_their_time(known):
    simulation, _ = known
    found = of(simulation.varied(discount=0.01), "purchases", "discounted_purchases")
    assert (found["discounted_purchases"] <= found["purchases"]).all()
    # Lowest where all come at the end.
    assert (found["discounted_purchases"] >= np.exp(-0.01 * simulation.horizon) * found["purchases"]).all()
    later = of(simulation.varied(discount=0.02), "discounted_purchases")["discounted_purchases"]
    few = found["purchases"] == 1
    # Of one purchase the rate is the square of half the rate.
    np.testing.assert_allclose(later[few], found["discounted_purchases"][few] ** 2, rtol=1e-12)
