"""Futures at another rate and dropout: the same random numbers, and what follows from a change of time."""

import numpy as np
import pandas as pd
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


# Customers whose rate drifts, and those who sleep and come back.
MOVING = {
    "nbd_drift": {"r": 1.2, "alpha": 6.0, "kappa": 0.02},
    "mbg_nbd_drift": {"r": 1.2, "alpha": 6.0, "kappa": 0.02, "a": 0.8, "b": 4.0},
    "pareto_nbd_drift": {"r": 1.2, "alpha": 6.0, "kappa": 0.02, "s": 0.7, "beta": 20.0},
    "mbg_nbd_returns": {"r": 1.2, "alpha": 6.0, "a": 0.9, "b": 2.5, "nu": 0.04, "w": 0.1},
}
AHEAD = 30.0


def timed(size, *, new=False):
    """Customers of 40 weeks with the times of their purchases, or ones who have just come."""
    rng = np.random.default_rng(8)
    times = [
        np.empty(0) if new else np.sort(rng.uniform(1, rng.choice([12.0, 39.0]), rng.poisson(5))).round(1)
        for _ in range(size)
    ]
    times = [np.unique(each) for each in times]
    return clv.customers.from_table(
        pd.DataFrame(
            {
                "customer_id": [f"c{i:04d}" for i in range(size)],
                "frequency": [each.size for each in times],
                "recency": [each.max(initial=0.0) for each in times],
                "T": 0.0 if new else 40.0,
                "purchase_times": times,
            }
        ),
        time_unit="week",
    )


@pytest.fixture(scope="module", params=MOVING)
def moving(request, make_posterior):
    def made(factor=1.0, **given):
        values = MOVING[request.param] | {"alpha": MOVING[request.param]["alpha"] / factor}
        posterior = make_posterior(request.param, values, sd=0.0, chains=1, draws=given.pop("draws", 100))
        return clv.simulate(posterior, timed(**given), AHEAD, draws=100, seed=2)

    return request.param, made(size=60), made


def test_a_moving_rate_that_is_changed_by_one_is_the_same(moving):
    _, simulation, _ = moving
    names = ("purchases", "alive", "purchase_rate", "active_time", "time_to_purchase")
    before = of(simulation, *names)
    after = of(simulation.varied(pace=by(simulation, 1.0), leaving=by(simulation, 1.0)), *names)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_a_new_customer_s_rate_that_is_changed_is_another_population_s(moving):
    # Of Gamma(r, alpha) p times it is Gamma(r, alpha / p), and a drift or a sleep goes on as fast as it did.
    name, _, made = moving
    changed = made(size=200, new=True)
    found = of(changed.varied(pace=by(changed, FASTER)), "purchases", "active_time")
    other = of(made(FASTER, size=200, new=True), "purchases", "active_time")
    same = found["purchases"] == other["purchases"]
    # Where customers sleep the rules of the two populations agree to six digits, and so do their probabilities.
    assert same.mean() > (0.9995 if name.endswith("returns") else 0.99999)
    assert found["purchases"].sum() > 1.1 * of(changed, "purchases")["purchases"].sum()


def test_who_leaves_later_buys_more_though_rates_move(moving):
    name, simulation, _ = moving
    if name == "nbd_drift":
        return
    before = of(simulation, "purchases", "active_time", "alive")
    after = of(simulation.varied(leaving=by(simulation, 0.5)), "purchases", "active_time", "alive")
    np.testing.assert_array_equal(after["alive"], before["alive"])
    assert after["active_time"].mean() > before["active_time"].mean()
    assert after["purchases"].sum() > before["purchases"].sum()
    # Who sleeps less buys more, and so tosses oftener.
    assert name == "mbg_nbd_returns" or (after["active_time"] >= before["active_time"]).all()
    if name == "pareto_nbd_drift":
        np.testing.assert_allclose(
            after["active_time"], np.minimum(2 * before["active_time"], AHEAD), rtol=1e-9
        )


def test_what_follows_a_changed_rate_of_customers_with_a_past(moving):
    """Against own numbers drawn as they were and a future that is worked out from them, by no line of the law."""
    name, simulation, _ = moving
    own = of(simulation, "alive", "purchase_rate", *(["asleep", "dropout"] if "returns" in name else []))
    found = of(simulation.varied(pace=by(simulation, FASTER)), "purchases")["purchases"]
    given = MOVING[name]
    if name == "nbd_drift":
        # E[rate at t] goes back to r / alpha as e^(-kappa t), and is integrated to the horizon.
        mean = given["r"] / given["alpha"]
        back = (own["purchase_rate"] - mean) * -np.expm1(-given["kappa"] * AHEAD) / given["kappa"]
        expected = FASTER * (mean * AHEAD + back)
    elif name == "mbg_nbd_returns":
        expected = slept(own, given, FASTER)
    else:
        return
    # Both are means of 6,000 futures, of the same customers.
    difference = found - expected
    error = difference.std() / np.sqrt(difference.size)
    assert abs(difference.mean()) < 4 * error
    # The change is what is tested: it is far more than the error.
    assert expected.mean() - of(simulation, "purchases")["purchases"].mean() > 8 * error


def test_a_clock_that_runs_faster_is_a_longer_horizon(moving):
    name, simulation, _ = moving
    if name == "pareto_nbd_drift":
        return
    window = (0.0, 40.0, by(simulation, 1.5))
    faster = of(simulation.varied(horizon=20.0, windows=[window]), "purchases", "active_time")
    longer = of(simulation, "purchases", "active_time")
    np.testing.assert_array_equal(faster["purchases"], longer["purchases"])
    np.testing.assert_allclose(1.5 * faster["active_time"], longer["active_time"], rtol=1e-9)


def slept(own, given, factor):
    """Simulate purchases to the horizon of customers who are awake or asleep now, event by event."""
    rng = np.random.default_rng(3)
    bought = np.zeros(own["alive"].shape)
    for place in zip(*np.nonzero(own["alive"]), strict=True):
        time = rng.exponential(1 / given["nu"]) if own["asleep"][place] else 0.0
        while True:
            time += rng.exponential(1 / (factor * own["purchase_rate"][place]))
            if time > AHEAD:
                break
            bought[place] += 1
            if rng.random() < own["dropout"][place]:
                if rng.random() < given["w"]:
                    break
                time += rng.exponential(1 / given["nu"])
    return bought
