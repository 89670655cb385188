"""One future of a customer in each draw: every law beside its family's closed forms, and what changes no number.

Seeds are fixed; every bound is five standard errors computed from the number of draws, so that a false alarm has a
chance of 6e-7 a number.
"""

import numpy as np
import pytensor.tensor as pt
import pytest

from bayes_clv.distributions.paths import (
    COIN,
    DRAWN,
    LIFETIME,
    OPPORTUNITIES,
    PHASES,
    Own,
    State,
    Who,
    futures,
    room,
)
from bayes_clv.distributions.paths.clock import clock
from bayes_clv.distributions.paths.money import Purse, own_levels
from bayes_clv.distributions.poisson.discounted import discounted_purchases
from bayes_clv.distributions.poisson.silence import log_integral
from bayes_clv.distributions.streams import customer_keys
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")
lognormal_spend = paper("lognormal_spend")

NAMES = ("alive", "shape", "scale", "a", "b", "phases", "z")
# Family, law, population, and histories: one who never bought again, a regular one, one silent for long, a new one.
USUAL = ((0.0, 0.0, 30.0), (4.0, 31.0, 39.0), (6.0, 12.0, 50.0), (0.0, 0.0, 0.0))
CASES = {
    "bg_nbd": (COIN, {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 2.4}, USUAL),
    "mbg_nbd": (COIN, {"r": 0.7, "alpha": 6.2, "a": 0.9, "b": 1.6}, USUAL),
    "nbd": (COIN, {"r": 0.6, "alpha": 12.0}, USUAL),
    "bg_cnbd_k": (PHASES, {"r": 0.8, "alpha": 3.0, "a": 0.8, "b": 2.4, "k": 3.0}, USUAL),
    "mbg_cnbd_k": (PHASES, {"r": 0.9, "alpha": 2.5, "a": 0.9, "b": 1.6, "k": 2.0}, USUAL),
    "pareto_nbd": (LIFETIME, {"r": 0.7, "alpha": 10.0, "s": 0.8, "beta": 12.0}, USUAL),
    "pareto_abe": (
        DRAWN,
        {
            "population_purchase_rate": 0.06,
            "log_rate_sd": 0.9,
            "population_dropout_rate": 0.02,
            "log_dropout_sd": 1.0,
            "concordance": 0.4,
        },
        USUAL,
    ),
    "pareto_ggg": (
        DRAWN,
        {"regularity_shape": 8.0, "regularity_rate": 4.0, "r": 1.2, "alpha": 8.0, "s": 0.8, "beta": 20.0},
        ((4.0, 31.0, 39.0, -1.5), (6.0, 12.0, 50.0, -2.0)),
    ),
    "bg_bb": (
        OPPORTUNITIES,
        {"alpha": 1.2, "beta": 0.75, "gamma": 0.66, "delta": 2.8},
        ((0.0, 0.0, 6.0), (4.0, 4.0, 6.0), (3.0, 6.0, 6.0), (0.0, 0.0, 0.0)),
    ),
}


def values_of(name, draws):
    return {key: np.full(draws, value) for key, value in CASES[name][1].items()}


def state_of(name, histories, horizon, draws, key=0, values=None):
    """Return the state of these histories, one row each."""
    law, formulas = CASES[name][0], paper(name)
    values = values_of(name, draws) if values is None else values
    columns = [np.array(column)[:, None] for column in zip(*histories, strict=True)]
    shape, none = (len(histories), draws), np.empty((0, draws))
    if law is DRAWN:
        rng = np.random.default_rng(key)
        numbers = np.empty((5, *shape))
        for i, history in enumerate(histories):
            numbers[:, i] = formulas.future_draws(rng, *history, **values)
        given = dict(zip(("alive", "shape", "scale", "b", "a"), numbers, strict=True))
    elif law is LIFETIME:
        given = dict(zip(NAMES[1:], formulas.state_while_alive(*columns, **values), strict=False))
    elif law is OPPORTUNITIES:
        given = dict(zip(NAMES, formulas.future_state(*columns, **values), strict=False))
    else:
        given = dict(zip(NAMES, formulas.future_state(*columns, **values), strict=False))
    # Rows one after the other, as the engine lays them: another layout would be compiled anew.
    numbers = {
        each: np.array(np.broadcast_to(given[each], shape), order="C") if each in law.needs else none
        for each in NAMES
    }
    ends = np.asarray(horizon, dtype=float)
    ends = np.array(np.broadcast_to(ends, (len(histories), ends.shape[-1] if ends.ndim > 1 else 1)))
    return State(**numbers, silence=np.ascontiguousarray(columns[2] - columns[1]), horizon=ends)


def drawn(law, state, keys, asked=(), *, row=None, first_order=False, purse=None, clock=None, space=None):
    """Return the futures of customers: (customer, draw) arrays of what is asked for, and every purchase.

    ``purchases`` are counts, and ``who``, ``draw``, ``time`` the purchases themselves, sorted.
    """
    draws, customers = state.shape.shape[1], keys.shape[0]
    row = np.arange(customers) if row is None else np.asarray(row)
    own = Own(*(np.empty((customers if name in asked else 0, draws)) for name in Own._fields))
    space = room(customers, draws) if space is None else space
    buyers, batch = space.buyers, space.batch
    who, draw, time = [], [], []
    walk = futures(law, state, Who(row.astype(np.uint32), keys, first_order), own, space, purse, clock)
    for filled in walk:
        n = batch.buyer[:filled]
        who.append(buyers.customer[n].copy())
        draw.append(buyers.draw[n].copy())
        time.append(batch.time[:filled].copy())
    who, draw, time = (np.concatenate([np.empty(0), *each]) for each in (who, draw, time))
    order = np.lexsort((time, draw, who))
    found = {name: getattr(own, name) for name in asked}
    count = np.zeros((customers, draws))
    size = buyers.begin[customers]
    count[buyers.customer[:size], buyers.draw[:size]] = buyers.count[:size] + first_order
    found |= {"purchases": count, "who": who[order], "draw": draw[order], "time": time[order]}
    if purse is not None:
        for name in ("spend", "value"):
            found[name] = np.zeros((customers, draws))
            found[name][buyers.customer[:size], buyers.draw[:size]] = getattr(space.paid, name)[:size]
    return found


def keys_of(customers, seed=1):
    return customer_keys(range(customers), seed)


MANY = 40_000
HORIZON = 26.0
EACH = [(name, place) for name, case in CASES.items() for place in range(len(case[2]))]


def one(name, place, horizon=HORIZON, asked=(), draws=MANY):
    law, population, histories = CASES[name]
    history = histories[place]
    state = state_of(name, [history], horizon, draws)
    return drawn(law, state, keys_of(1), asked), paper(name), history, population


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
    first = np.full(MANY, np.inf)
    np.minimum.at(first, found["draw"].astype(int), found["time"])
    within = found["first"][0] <= horizon
    np.testing.assert_array_equal(within, np.isfinite(first))
    np.testing.assert_array_equal(first[within], found["first"][0][within])


@pytest.mark.parametrize(("name", "place"), EACH)
def test_own_numbers_have_their_exact_means_and_belong_to_the_future(name, place):
    horizon = horizon_of(name)
    found, formulas, history, population = one(
        name, place, horizon, ("rate", "leaving", "regularity", "left")
    )
    means = formulas.latent_means(*history, **population)
    for each, mean in zip(("rate", "leaving", "regularity"), means, strict=False):
        own = found[each][0]
        assert abs(own.mean() - float(mean)) < 5 * own.std() / np.sqrt(own.size) + 1e-12, each
    rate, count = found["rate"][0], found["purchases"][0]
    time = np.clip(found["left"][0], 0.0, horizon)
    if name in ("bg_nbd", "mbg_nbd", "nbd", "pareto_nbd", "pareto_abe"):
        # Purchases less rate × time until a stopping time is a martingale, of variance the mean of rate × time.
        surplus, variance = count - rate * time, (rate * time).mean()
        assert abs(surplus.mean()) < 5 * np.sqrt(variance / count.size)
    if name == "bg_bb":
        # Of the opportunities at which it is here it buys at its own share.
        here = np.clip(found["left"][0] - 1, 0, horizon) * (found["left"][0] > 0)
        surplus = count - rate * here
        assert abs(surplus.mean()) <= 5 * surplus.std() / np.sqrt(count.size)
    if name in ("bg_nbd", "mbg_nbd", "bg_cnbd_k"):
        # Each purchase is followed by leaving with the customer's own chance.
        leaves = ((found["left"][0] > 0) & (found["left"][0] <= horizon)).astype(float)
        surplus = leaves - found["leaving"][0] * count
        assert abs(surplus.mean()) <= 5 * surplus.std() / np.sqrt(count.size)


def log_gone(name, history):
    """Return the log-likelihood of a history by one who has left at its end."""
    formulas, population = paper(name), CASES[name][1]
    columns = dict(zip(formulas.HISTORY, (pt.as_tensor(np.array([each])) for each in history), strict=True))
    params = {key: pt.as_tensor(value) for key, value in population.items()}
    whole = float(formulas.record.log_likelihood(params, columns).eval(mode=AS_WRITTEN)[0])
    return whole + np.log1p(-float(np.squeeze(formulas.probability_alive(*history, **population))))


@pytest.mark.parametrize("name", ["pareto_nbd", "pareto_abe", "pareto_ggg"])
def test_when_one_has_left_is_told_of_those_who_have(name):
    # By a time d after the last purchase it had left, as one whose history ended there would have.
    law, _, histories = CASES[name]
    x, t_x, age, *more = history = histories[-1] if name == "pareto_ggg" else histories[2]
    found = drawn(law, state_of(name, [history], HORIZON, MANY), keys_of(1), ("alive", "left"))
    gone = found["left"][0][found["alive"][0] == 0]
    assert (gone <= 0).all()
    for d in (0.05, 0.2, 0.5, 0.8):
        d *= age - t_x
        share = np.exp(log_gone(name, (x, t_x, t_x + d, *more)) - log_gone(name, history))
        assert_share(age - t_x + gone <= d, share)


def by_hand(law, silence=0.0, horizon=0.0, draws=200_000, **numbers):
    """Return a state of one row with the same numbers in every draw."""
    one, none = np.ones((1, draws)), np.empty((0, draws))
    given = {each: numbers[each] * one if each in law.needs else none for each in NAMES}
    return State(**given, silence=np.array([[silence]]), horizon=np.array([[horizon]]))


def test_the_dropout_is_the_one_that_ends_the_purchases():
    # One customer alive for sure, a horizon that never ends: purchases are the tosses up to the first drop.
    state = by_hand(COIN, horizon=1e12, alive=1.0, shape=5.0, scale=10.0, a=2.0, b=3.0)
    found = drawn(COIN, state, keys_of(1), ("leaving",))
    bought, dropout = found["purchases"][0], found["leaving"][0]
    # Beta(2, 3), and more than n purchases with probability (1 - p)^n given p: also beyond TOSSES, and p by p.
    assert dropout.mean() == pytest.approx(0.4, abs=5 * 0.2 / np.sqrt(dropout.size))
    for n in (1, 4, 8, 12):
        surplus = (bought > n) - (1 - dropout) ** n
        for each in (surplus, surplus * dropout, surplus * (dropout > 0.3)):
            assert abs(each.mean()) < 5 * each.std() / np.sqrt(dropout.size), n


# One who never bought again, many purchases, scales on either side and the same, an envelope of power 1 and below,
# a silence far beyond both scales.
@pytest.mark.parametrize(
    ("k", "s", "a", "b", "silence"),
    [
        (0.5, 0.8, 10.0, 23.0, 78.0),
        (25.0, 0.6, 40.0, 41.0, 5.0),
        (3.0, 2.5, 60.0, 15.0, 40.0),
        (1.5, 0.5, 20.0, 20.0, 20.0),
        (0.5, 1.0, 1.0, 4.0, 30.0),
        (0.2, 0.3, 1.0, 9.0, 500.0),
        (0.4, 0.1, 3.0, 1.0, 300.0),
    ],
)
def test_who_left_at_any_time_left_when_the_integral_says(k, s, a, b, silence):
    state = by_hand(LIFETIME, silence, shape=k, scale=a + silence, a=s, b=b + silence)
    found = drawn(LIFETIME, state, keys_of(1), ("alive", "left"))
    # The weight of being here, and of having left within d: s / b times the integral to d.
    stays = (1 + silence / a) ** -k * (1 + silence / b) ** -s
    left = s / b * np.exp(log_integral(k, s + 1, a, b, silence))
    assert_share(found["alive"][0] == 1, stays / (stays + left))
    gone = np.sort((silence + found["left"][0])[found["alive"][0] == 0])
    reached = np.exp(log_integral(k, s + 1, a, b, gone[::100]) - log_integral(k, s + 1, a, b, silence))
    # Kolmogorov's 99.99 % point, as in test_streams; a hundredth of the places at most 1 / 2,000 short of it.
    away = np.abs(reached - np.arange(gone.size)[::100] / gone.size).max()
    assert away < 2.23 / np.sqrt(gone.size)
    assert gone[-1] <= silence


def test_another_lifetime_leaves_the_purchases_before_its_end():
    state = by_hand(LIFETIME, horizon=52.0, shape=0.6, scale=10.0, a=0.6, b=12.0)
    short = drawn(LIFETIME, state, keys_of(1))
    long = drawn(LIFETIME, state._replace(b=10 * state.b), keys_of(1))
    assert (long["purchases"] >= short["purchases"]).all()
    assert (long["purchases"] > short["purchases"]).any()
    both = np.isin(long["time"], short["time"])
    np.testing.assert_array_equal(long["time"][both], short["time"])


def test_one_who_left_at_once_brings_a_first_order_and_no_more():
    state = by_hand(COIN, horizon=52.0, alive=0.5, shape=0.6, scale=10.0, a=0.8, b=2.4)
    counts = drawn(COIN, state, keys_of(1), first_order=True)["purchases"][0]
    alone = drawn(COIN, state, keys_of(1))["purchases"][0]
    assert counts.min() == 1
    np.testing.assert_array_equal(counts - 1, alone)


@pytest.mark.parametrize("name", ["bg_nbd", "bg_cnbd_k", "pareto_nbd", "bg_bb"])
def test_extremes_stay_finite(name):
    law, population, _ = CASES[name]
    heavy = (2000.0, 49.9, 50.0) if name != "bg_bb" else (50.0, 50.0, 50.0)
    for scale in (1e-3, 1.0, 1e3):
        values = {
            key: np.full(500, value * (scale if key in ("a", "b", "s") else 1.0))
            for key, value in population.items()
        }
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


FEW = 300
# What every law tells of a customer; whether it sleeps, one law alone.
TOLD = tuple(name for name in Own._fields if name != "asleep")
SHARED = [name for name, case in CASES.items() if case[0] is not DRAWN]


def rows_of(state, rows):
    """Return the state of some rows."""
    return state._replace(
        **{key: value[rows] if len(value) else value for key, value in state._asdict().items()}
    )


def future(name, horizon, asked=(), *, state=None, keys=None, **options):
    law, _, histories = CASES[name]
    state = state_of(name, histories, horizon, FEW) if state is None else state
    keys = keys_of(len(histories)) if keys is None else keys
    return drawn(law, state, keys, asked, **options)


@pytest.mark.parametrize("name", list(CASES))
def test_asking_for_less_changes_nothing(name):
    everything = future(name, 26, TOLD)
    for asked in ((), *((each,) for each in TOLD), ("rate", "left")):
        found = future(name, 26, asked)
        for each in (*asked, "purchases", "who", "draw", "time"):
            np.testing.assert_array_equal(found[each], everything[each], err_msg=f"{asked} {each}")


@pytest.mark.parametrize("name", list(CASES))
def test_a_customer_alone_is_the_same(name):
    law, _, histories = CASES[name]
    state, keys = state_of(name, histories, 26, FEW), keys_of(len(histories))
    whole = drawn(law, state, keys, TOLD)
    for i in range(len(histories)):
        alone = drawn(law, rows_of(state, [i]), keys[[i]], TOLD)
        for each in (*TOLD, "purchases"):
            np.testing.assert_array_equal(alone[each][0], whole[each][i])
        np.testing.assert_array_equal(alone["time"], whole["time"][whole["who"] == i])


@pytest.mark.parametrize("name", SHARED)
def test_customers_of_one_history_share_its_state(name):
    law, _, histories = CASES[name]
    state, keys = state_of(name, histories, 26, FEW), keys_of(2 * len(histories))
    row = np.repeat(np.arange(len(histories)), 2)
    shared = drawn(law, state, keys, TOLD, row=row)
    apart = drawn(law, rows_of(state, row), keys, TOLD)
    for each in (*TOLD, "purchases", "time"):
        np.testing.assert_array_equal(shared[each], apart[each])


@pytest.mark.parametrize("name", list(CASES))
def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(name):
    short, long = (26, 52) if CASES[name][0] is not OPPORTUNITIES else (3, 8)
    one, two = future(name, short, TOLD), future(name, long, TOLD)
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
    ends = np.where(np.arange(FEW) % 2, short, long).astype(float)[None, :] * np.ones((size, 1))
    found = future(name, ends)
    within = whole["time"] <= ends[0, whole["draw"].astype(int)]
    np.testing.assert_array_equal(found["time"], whole["time"][within])


@pytest.mark.parametrize("name", list(CASES))
def test_little_room_gives_the_same_purchases_in_more_batches(name):
    law, _, histories = CASES[name]
    state, keys = state_of(name, histories, 60, FEW), keys_of(len(histories))
    # A batch holds one purchase of each future at least; here no more than that, and ten times that.
    whole = drawn(law, state, keys, ("left",))
    found = drawn(law, state, keys, ("left",), space=room(10 * len(histories), FEW))
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
    state, keys = state_of(name, histories, 26, FEW), keys_of(len(histories))
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
    inner, outer = np.tile(np.array([0.0, 10.0, 26.0]), (FEW, 1)), np.array([0.0, 20.0, 28.0])
    found = future(name, 26, clock=clock(inner, outer, np.zeros(len(CASES[name][2]))))
    np.testing.assert_allclose(found["time"], np.interp(plain["time"], inner[0], outer), rtol=1e-12)
    np.testing.assert_array_equal(found["purchases"], plain["purchases"])


YEAR, DELTA = 52.0, 0.02
SPEND = {
    "gamma": (gamma_gamma, {"p": 6.25, "q": 6.0, "v": 15.0}, "p", (4.0, 30.0)),
    "lognormal": (lognormal_spend, {"m": 20.0, "tau": 0.5, "sigma": 0.6}, "sigma", (4.0, 3.2)),
}


def purse_of(rule, draws=MANY, customers=1, discount=DELTA):
    formulas, values, occasion, known = SPEND[rule]
    first, second = formulas.spend_state(*known, **values)
    whole = [np.full((customers, draws), float(each)) for each in (first, second)]
    return Purse(
        np.arange(customers, dtype=np.uint32),
        *whole,
        np.full((1, draws), values[occasion]),
        rule == "lognormal",
        discount,
        np.ones((draws, 0)),
        1.0,
    )


def mean_of(rule):
    formulas, values, _, known = SPEND[rule]
    return float(formulas.expected_spend(*known, **values))


def paid(rule, history=(4.0, 31.0, 39.0), **options):
    law, population, _ = CASES["bg_nbd"]
    state = state_of("bg_nbd", [history], YEAR, MANY)
    return drawn(law, state, keys_of(1), ("rate",), purse=purse_of(rule), **options), state, population


@pytest.mark.parametrize("rule", list(SPEND))
def test_spend_and_value_have_the_means_of_the_formulas(rule):
    history = (4.0, 31.0, 39.0)
    found, state, population = paid(rule, history)
    bought = float(bg_nbd.expected_purchases(YEAR, *history, **population))
    worth = discounted_purchases(
        *(np.array([[each[0, 0]]]) for each in (state.shape, state.scale, state.a, state.b)),
        YEAR,
        DELTA,
    )
    worth = float(state.alive[0, 0] * worth[0, 0])
    for name, mean in (("spend", bought), ("value", worth)):
        amount = found[name][0]
        assert abs(amount.mean() - mean * mean_of(rule)) < 5 * amount.std() / np.sqrt(MANY), name
    assert (found["value"] <= found["spend"]).all()
    assert ((found["spend"] > 0) == (found["purchases"] > 0)).all()


@pytest.mark.parametrize("rule", list(SPEND))
def test_levels_have_their_mean_and_are_those_of_the_purchases(rule):
    found, _, _ = paid(rule)
    level = np.empty((1, MANY))
    own_levels(purse_of(rule), keys_of(1), level)
    assert abs(level.mean() - mean_of(rule)) < 5 * level.std() / np.sqrt(MANY)
    surplus = found["spend"][0] - level[0] * found["purchases"][0]
    assert abs(surplus.mean()) < 5 * surplus.std() / np.sqrt(MANY)
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
    assert abs(first.mean() - mean_of(rule)) < 5 * first.std() / np.sqrt(MANY)
    assert (first > 0).all()


def test_of_one_time_all_are_worth_the_same_discount():
    # Opportunities are whole times: the value is the sum of amounts at powers of one discount.
    law, _, _ = CASES["bg_bb"]
    state = state_of("bg_bb", [(4.0, 4.0, 6.0)], 1, MANY)
    found = drawn(law, state, keys_of(1), purse=purse_of("gamma"))
    np.testing.assert_allclose(found["value"], np.exp(-DELTA) * found["spend"], rtol=1e-12)


def test_small_shapes_of_the_level_are_drawn_right():
    # Gamma shapes below 1 take another way: the level's reciprocal has mean shape / rate.
    purse = purse_of("gamma")
    purse = purse._replace(first=np.full((1, MANY), 0.4), second=np.full((1, MANY), 3.0))
    level = np.empty((1, MANY))
    own_levels(purse, keys_of(1), level)
    rate = 6.25 / level
    assert abs(rate.mean() - 0.4 / 3.0) < 5 * rate.std() / np.sqrt(MANY)
