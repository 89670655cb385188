"""What changes no number: company, what else is asked for, room, and the horizon up to its end."""

import numpy as np
import pytest

from bayes_clv.distributions.paths import DRAWN, OPPORTUNITIES, Own, room
from bayes_clv.distributions.paths.clock import Clock
from tests.distributions.paths.future_of import CASES, drawn, keys_of, state_of

DRAWS = 300
SHARED = [name for name, case in CASES.items() if case[0] is not DRAWN]


def rows_of(state, rows):
    """Return the state of some rows."""
    return state._replace(
        **{
            key: value[rows] if value.shape[0] else value
            for key, value in state._asdict().items()
        }
    )


def future(name, horizon, asked=(), *, state=None, keys=None, **options):
    law, _, histories = CASES[name]
    state = state_of(name, histories, horizon, DRAWS) if state is None else state
    keys = keys_of(len(histories)) if keys is None else keys
    return drawn(law, state, keys, asked, **options)


@pytest.mark.parametrize("name", list(CASES))
def test_asking_for_less_changes_nothing(name):
    everything = future(name, 26, Own._fields)
    for asked in ((), *((each,) for each in Own._fields), ("rate", "left")):
        found = future(name, 26, asked)
        for each in (*asked, "purchases", "who", "draw", "time"):
            np.testing.assert_array_equal(found[each], everything[each], err_msg=f"{asked} {each}")


@pytest.mark.parametrize("name", list(CASES))
def test_a_customer_alone_is_the_same(name):
    law, _, histories = CASES[name]
    state, keys = state_of(name, histories, 26, DRAWS), keys_of(len(histories))
    whole = drawn(law, state, keys, Own._fields)
    for i in range(len(histories)):
        alone = drawn(law, rows_of(state, [i]), keys[[i]], Own._fields)
        for each in (*Own._fields, "purchases"):
            np.testing.assert_array_equal(alone[each][0], whole[each][i])
        np.testing.assert_array_equal(alone["time"], whole["time"][whole["who"] == i])


@pytest.mark.parametrize("name", SHARED)
def test_customers_of_one_history_share_its_state(name):
    law, _, histories = CASES[name]
    state, keys = state_of(name, histories, 26, DRAWS), keys_of(2 * len(histories))
    row = np.repeat(np.arange(len(histories)), 2)
    shared = drawn(law, state, keys, Own._fields, row=row)
    apart = drawn(law, rows_of(state, row), keys, Own._fields)
    for each in (*Own._fields, "purchases", "time"):
        np.testing.assert_array_equal(shared[each], apart[each])


@pytest.mark.parametrize("name", list(CASES))
def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(name):
    short, long = (26, 52) if CASES[name][0] is not OPPORTUNITIES else (3, 8)
    one, two = future(name, short, Own._fields), future(name, long, Own._fields)
    within = two["time"] <= short
    for each in ("who", "draw", "time"):
        np.testing.assert_array_equal(one[each], two[each][within])
    for each in ("alive", "rate", "leaving", "first"):
        np.testing.assert_array_equal(one[each], two[each])
    # Leaving is told up to the horizon, by a coin.
    told = one["left"] <= short
    np.testing.assert_array_equal(one["left"][told], two["left"][told])
    assert (two["left"][~told] > short).all()


@pytest.mark.parametrize("name", list(CASES))
def test_horizons_of_rows_and_of_draws(name):
    law, _, histories = CASES[name]
    size = len(histories)
    short, long = (10, 26) if law is not OPPORTUNITIES else (2, 6)
    whole = future(name, long)
    ends = np.where(np.arange(size) % 2, short, long).astype(float)[:, None]
    found = future(name, ends)
    within = whole["time"] <= ends[whole["who"].astype(int), 0]
    np.testing.assert_array_equal(found["time"], whole["time"][within])
    ends = np.where(np.arange(DRAWS) % 2, short, long).astype(float)[None, :] * np.ones((size, 1))
    found = future(name, ends)
    within = whole["time"] <= ends[0, whole["draw"].astype(int)]
    np.testing.assert_array_equal(found["time"], whole["time"][within])


@pytest.mark.parametrize("name", list(CASES))
def test_little_room_gives_the_same_purchases_in_more_batches(name):
    law, _, histories = CASES[name]
    state, keys = state_of(name, histories, 60, DRAWS), keys_of(len(histories))
    # A batch holds one purchase of each future at least; here no more than that, and ten times that.
    whole = drawn(law, state, keys, ("left",))
    found = drawn(law, state, keys, ("left",), space=room(10 * len(histories), DRAWS))
    for each in ("who", "draw", "time", "left"):
        np.testing.assert_array_equal(found[each], whole[each])


@pytest.mark.parametrize("name", list(CASES))
def test_a_first_order_comes_on_top_of_the_same_repeat_purchases(name):
    repeats, whole = future(name, 26, ("rate",)), future(name, 26, ("rate",), first_order=True)
    np.testing.assert_array_equal(whole["purchases"], repeats["purchases"] + 1)
    np.testing.assert_array_equal(whole["rate"], repeats["rate"])
    later = whole["time"] > 0
    assert (~later).sum() == repeats["purchases"].size
    for each in ("who", "draw", "time"):
        np.testing.assert_array_equal(whole[each][later], repeats[each])


@pytest.mark.parametrize("name", ["bg_nbd", "pareto_nbd"])
def test_scenarios_share_their_random_numbers(name):
    law, _, histories = CASES[name]
    state, keys = state_of(name, histories, 26, DRAWS), keys_of(len(histories))
    # Twice the scale is half the rate: draw by draw the same customer, slower.
    slower = state._replace(scale=2 * state.scale)
    own, other = (drawn(law, each, keys, ("alive", "first")) for each in (state, slower))
    if name == "bg_nbd":
        np.testing.assert_array_equal(own["alive"], other["alive"])
        finite = np.isfinite(own["first"])
        np.testing.assert_allclose(other["first"][finite], 2 * own["first"][finite], rtol=1e-12)
        assert (other["purchases"] <= own["purchases"]).all()
    assert np.corrcoef(own["purchases"].ravel(), other["purchases"].ravel())[0, 1] > 0.5


def test_a_clock_turns_times_and_nothing_else():
    name = "bg_nbd"
    plain = future(name, 26)
    inner = np.tile(np.array([0.0, 10.0, 26.0]), (DRAWS, 1))
    outer = np.tile(np.array([0.0, 20.0, 28.0]), (DRAWS, 1))
    found = future(name, 26, clock=Clock(inner, outer))
    np.testing.assert_allclose(found["time"], np.interp(plain["time"], inner[0], outer[0]), rtol=1e-12)
    np.testing.assert_array_equal(found["purchases"], plain["purchases"])
