"""Each law beside the closed forms of its family, within errors computed from the number of draws.

Seeds are fixed; every bound is five standard errors, so that a false alarm has a chance of 6e-7 a number.
"""

import numpy as np
import pytest

from bayes_clv.distributions import family
from bayes_clv.distributions.paths import DRAWN, OPPORTUNITIES
from tests.distributions.paths.future_of import CASES, drawn, keys_of, state_of

DRAWS = 40_000
HORIZON = 26.0
EACH = [(name, place) for name, case in CASES.items() for place in range(len(case[2]))]


def one(name, place, horizon=HORIZON, asked=(), draws=DRAWS):
    law, population, histories = CASES[name]
    history = histories[place]
    state = state_of(name, [history], horizon, draws)
    return drawn(law, state, keys_of(1), asked), family(name), history, population


def horizon_of(name):
    return 8 if CASES[name][0] is OPPORTUNITIES else HORIZON


def assert_share(found, chance):
    error = np.sqrt(np.maximum(chance * (1 - chance), 1.0 / found.size) / found.size)
    assert abs(found.mean() - chance) < 5 * error + 1e-9


@pytest.mark.parametrize(("name", "place"), EACH)
def test_counts_follow_the_pmf_and_have_the_expected_mean(name, place):
    horizon = horizon_of(name)
    found, formulas, history, population = one(name, place, horizon)
    count = found["purchases"][0]
    mean = float(formulas.expected_purchases(horizon, *history, **population))
    # Of rare purchases the variance is the mean, also where none was drawn.
    assert abs(count.mean() - mean) < 5 * np.sqrt(max(count.var(), mean) / count.size) + 1e-9
    for n in (0, 1, 2, 3, 5, 8):
        assert_share(count == n, float(formulas.purchases_pmf(n, horizon, *history, **population)))


@pytest.mark.parametrize(("name", "place"), EACH)
def test_alive_first_purchase_and_leaving_have_their_closed_forms(name, place):
    horizon = horizon_of(name)
    found, formulas, history, population = one(name, place, horizon, ("alive", "first", "left"))
    assert_share(found["alive"][0] == 1, float(formulas.probability_alive(*history, **population)))
    np.testing.assert_array_equal(found["alive"][0] == 1, found["left"][0] > 0)
    steps = (1, 3, horizon) if CASES[name][0] is OPPORTUNITIES else (0.3, 4.0, horizon)
    for t in steps:
        assert_share(found["left"][0] > t, float(formulas.survival(t, *history, **population)))
    # The first purchase however late, beyond the horizon too.
    for t in (*steps, 4 * horizon):
        none = float(formulas.purchases_pmf(0, t, *history, **population))
        assert_share(found["first"][0] <= t, 1 - none)
    # It is the first of the path.
    first = np.full(DRAWS, np.inf)
    np.minimum.at(first, found["draw"].astype(int), found["time"])
    within = found["first"][0] <= horizon
    np.testing.assert_array_equal(within, np.isfinite(first))
    np.testing.assert_array_equal(first[within], found["first"][0][within])


@pytest.mark.parametrize(("name", "place"), [each for each in EACH if CASES[each[0]][0] is not DRAWN])
def test_own_numbers_have_their_exact_means_and_belong_to_the_future(name, place):
    horizon = horizon_of(name)
    found, formulas, history, population = one(
        name, place, horizon, ("alive", "rate", "leaving", "left")
    )
    means = formulas.latent_means(*history, **population)
    for each, mean in zip(("rate", "leaving"), means, strict=True):
        own = found[each][0]
        assert abs(own.mean() - float(mean)) < 5 * own.std() / np.sqrt(own.size) + 1e-12, each
    rate, count = found["rate"][0], found["purchases"][0]
    time = np.clip(found["left"][0], 0.0, horizon)
    if name in ("bg_nbd", "mbg_nbd", "nbd", "pareto_nbd"):
        # Purchases less rate × time until a stopping time is a martingale, of variance the mean of rate × time.
        surplus, variance = count - rate * time, (rate * time).mean()
        assert abs(surplus.mean()) < 5 * np.sqrt(variance / count.size)
    if name == "bg_bb":
        # Of the opportunities at which it is here it buys at its own share.
        here = np.clip(found["left"][0] - 1, 0, horizon) * found["alive"][0]
        surplus = count - rate * here
        assert abs(surplus.mean()) < 5 * surplus.std() / np.sqrt(count.size)
    if name in ("bg_nbd", "mbg_nbd", "bg_cnbd_k"):
        # Each purchase is followed by leaving with the customer's own chance.
        leaves = ((found["left"][0] > 0) & (found["left"][0] <= horizon)).astype(float)
        surplus = leaves - found["leaving"][0] * count
        assert abs(surplus.mean()) < 5 * surplus.std() / np.sqrt(count.size)


def test_when_one_has_left_is_told_of_those_who_have():
    # Pareto/NBD: alive at a time d before now, given the history up to now, by the state of the last purchase.
    name, history = "pareto_nbd", USUAL_SILENT
    law, population, _ = CASES[name]
    found = drawn(law, state_of(name, [history], HORIZON, DRAWS), keys_of(1), ("left",))
    gone = -found["left"][0][found["left"][0] <= 0]
    x, t_x, age = history
    r, alpha, s, beta = population.values()
    d = np.linspace(0, age - t_x, 20_001)
    density = (alpha + t_x + d) ** -(r + x) * (beta + t_x + d) ** -(s + 1)
    cumulative = np.cumsum(density) / density.sum()
    for share in (0.1, 0.5, 0.9):
        stayed = d[np.searchsorted(cumulative, share)]
        assert_share(age - t_x - gone <= stayed, share)


USUAL_SILENT = (2.0, 12.0, 50.0)


@pytest.mark.parametrize("name", ["bg_nbd", "bg_cnbd_k", "pareto_nbd", "bg_bb"])
def test_extremes_stay_finite(name):
    law, population, _ = CASES[name]
    heavy = (2000.0, 49.9, 50.0) if name != "bg_bb" else (50.0, 50.0, 50.0)
    for scale in (1e-3, 1.0, 1e3):
        values = {key: np.full(500, value * (scale if key in ("a", "b", "s") else 1.0)) for key, value in population.items()}
        state = state_of(name, [heavy, (0.0, 0.0, 1000.0)], 20, 500, values=values)
        found = drawn(law, state, keys_of(2), ("alive", "rate", "leaving", "left", "first"))
        for each in ("alive", "rate", "leaving"):
            assert np.isfinite(found[each]).all()
        assert not np.isnan(found["first"]).any()
        assert not np.isnan(found["left"]).any()
        assert (found["time"] <= 20).all()
        assert (found["time"] > 0).all()


@pytest.mark.parametrize("name", list(CASES))
def test_no_horizon_no_purchases(name):
    found = drawn(CASES[name][0], state_of(name, CASES[name][2], 0.0, 300), keys_of(len(CASES[name][2])))
    assert found["purchases"].sum() == 0
