"""What purchases bring: means and discount beside the formulas, and what changes no amount."""

import numpy as np
import pytest

from bayes_clv.distributions import bg_nbd, gamma_gamma, lognormal_spend
from bayes_clv.distributions.discounted import discounted_purchases
from bayes_clv.distributions.paths.money import Purse, own_levels
from tests.distributions.paths.future_of import CASES, drawn, keys_of, state_of

DRAWS, HORIZON, DELTA = 40_000, 52.0, 0.02
SPEND = {
    "gamma": (gamma_gamma, {"p": 6.25, "q": 6.0, "v": 15.0}, "p", (4.0, 30.0)),
    "lognormal": (lognormal_spend, {"m": 20.0, "tau": 0.5, "sigma": 0.6}, "sigma", (4.0, 3.2)),
}


def purse_of(rule, draws=DRAWS, customers=1, discount=DELTA):
    formulas, values, occasion, known = SPEND[rule]
    first, second = formulas.spend_state(*known, **values)
    whole = [np.full((customers, draws), float(each)) for each in (first, second)]
    return Purse(
        np.arange(customers, dtype=np.uint32),
        *whole,
        np.full((1, draws), values[occasion]),
        rule == "lognormal",
        discount,
    )


def mean_of(rule):
    formulas, values, _, known = SPEND[rule]
    return float(formulas.expected_spend(*known, **values))


def paid(rule, history=(4.0, 31.0, 39.0), **options):
    law, population, _ = CASES["bg_nbd"]
    state = state_of("bg_nbd", [history], HORIZON, DRAWS)
    return drawn(law, state, keys_of(1), ("rate",), purse=purse_of(rule), **options), state, population


@pytest.mark.parametrize("rule", list(SPEND))
def test_spend_and_value_have_the_means_of_the_formulas(rule):
    history = (4.0, 31.0, 39.0)
    found, state, population = paid(rule, history)
    bought = float(bg_nbd.expected_purchases(HORIZON, *history, **population))
    worth = discounted_purchases(
        *(np.array([[each[0, 0]]]) for each in (state.shape, state.scale, state.a, state.b)),
        HORIZON,
        DELTA,
        True,
    )
    worth = float(state.alive[0, 0] * worth[0, 0])
    for name, mean in (("spend", bought), ("value", worth)):
        amount = found[name][0]
        assert abs(amount.mean() - mean * mean_of(rule)) < 5 * amount.std() / np.sqrt(DRAWS), name
    assert (found["value"] <= found["spend"]).all()
    assert ((found["spend"] > 0) == (found["purchases"] > 0)).all()


@pytest.mark.parametrize("rule", list(SPEND))
def test_levels_have_their_mean_and_are_those_of_the_purchases(rule):
    found, _, _ = paid(rule)
    level = np.empty((1, DRAWS))
    own_levels(purse_of(rule), keys_of(1), level)
    assert abs(level.mean() - mean_of(rule)) < 5 * level.std() / np.sqrt(DRAWS)
    surplus = found["spend"][0] - level[0] * found["purchases"][0]
    assert abs(surplus.mean()) < 5 * surplus.std() / np.sqrt(DRAWS)
    # The correlation of a mean of some purchases with the level they were made at.
    some = found["purchases"][0] >= 5
    ratio = found["spend"][0][some] / found["purchases"][0][some]
    assert np.corrcoef(np.log(ratio), np.log(level[0][some]))[0, 1] > 0.7


@pytest.mark.parametrize("rule", list(SPEND))
def test_a_first_order_is_paid_in_full_and_leaves_the_others(rule):
    repeats, _, _ = paid(rule)
    whole, _, _ = paid(rule, first_order=True)
    first = whole["spend"] - repeats["spend"]
    np.testing.assert_allclose(whole["value"] - repeats["value"], first, rtol=1e-9, atol=1e-9)
    assert abs(first.mean() - mean_of(rule)) < 5 * first.std() / np.sqrt(DRAWS)
    assert (first > 0).all()


def test_of_one_time_all_are_worth_the_same_discount():
    # Opportunities are whole times: the value is the sum of amounts at powers of one discount.
    law, _, _ = CASES["bg_bb"]
    state = state_of("bg_bb", [(4.0, 4.0, 6.0)], 1, DRAWS)
    found = drawn(law, state, keys_of(1), purse=purse_of("gamma"))
    np.testing.assert_allclose(found["value"], np.exp(-DELTA) * found["spend"], rtol=1e-12)


def test_small_shapes_of_the_level_are_drawn_right():
    # Gamma shapes below 1 take another way: the level's reciprocal has mean shape / rate.
    purse = purse_of("gamma")
    purse = purse._replace(first=np.full((1, DRAWS), 0.4), second=np.full((1, DRAWS), 3.0))
    level = np.empty((1, DRAWS))
    own_levels(purse, keys_of(1), level)
    rate = 6.25 / level
    assert abs(rate.mean() - 0.4 / 3.0) < 5 * rate.std() / np.sqrt(DRAWS)
