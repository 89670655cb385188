"""Forecasts in calendar time, against the world simulated from its definition."""

import numpy as np
import pytest

from bayes_clv.families import Forecast, need
from bayes_clv.families.calendar import CALENDAR, clocked, operational
from bayes_clv.families.registry import CLOCKED, family

DRIFTING = "mbg_nbd_drift"
SLEEPING = ("bg_nbd_returns", "mbg_nbd_returns")

# Weeks before and after the end of observation, and a rate that varies tenfold.
KNOTS = np.arange(-30.0, 31.0)
RATES = np.repeat([0.3, 2.0, 0.6, 3.0, 0.4, 2.5, 0.3, 1.0], [10, 8, 7, 5, 4, 5, 11, 10])
ELAPSED = np.concatenate([[0.0], np.cumsum(RATES * np.diff(KNOTS))])
ELAPSED = (ELAPSED - ELAPSED[30])[None]
PARAMETERS = {"r": 0.9, "alpha": 6.0, "a": 0.8, "b": 2.5, "k": 3.0, "s": 0.7, "beta": 15.0, "kappa": 0.05}
PARAMETERS |= {"nu": 0.08, "w": 0.3}
CUSTOMERS = 200_000
# A rate that drifts is drawn anew in every step; forecasts of sleepers cost more.
FEWER = 40_000


def given(name, times=()):
    static = family(name).of({"purchase_times": np.array(times)})
    values = {each: np.array([PARAMETERS[each]]) for each in static.parameters}
    return static, values | {CALENDAR: ELAPSED}


def world(name, rng, horizon):
    """Return histories of customers who came 30 weeks ago, who is alive now, what they buy, who is alive then, times.

    And who is asleep now, and wakes.

    In fine steps of calendar time, from the definition: an alive customer buys at rate lambda g(tau), or of a regular
    family passes a phase, of which every k-th is a purchase, and after a purchase leaves with its own probability; of
    MBG/NBD after the first one too. Of Pareto/NBD it leaves at its own rate, whatever the calendar says. A rate that
    drifts does so in operational time, by the exact transition of the square-root diffusion; and who sleeps wakes at
    the rate nu g(tau).
    """
    regular, drifts = "cnbd" in name, name == DRIFTING
    size = FEWER if drifts or name in SLEEPING else CUSTOMERS
    r, alpha = PARAMETERS["r"], PARAMETERS["alpha"]
    rate = rng.gamma(r, 1 / alpha, size)
    phases = np.zeros(size)
    at_purchase = name not in ("nbd", "pareto_nbd")
    leaving = rng.beta(PARAMETERS["a"], PARAMETERS["b"], size) if at_purchase else np.zeros(size)
    dying = rng.gamma(PARAMETERS["s"], 1 / PARAMETERS["beta"], size) * (name == "pareto_nbd")
    alive, asleep = np.ones(size, dtype=bool), np.zeros(size, dtype=bool)
    if name.startswith("mbg"):
        alive &= rng.random(size) >= leaving
        if name in SLEEPING:
            asleep = ~alive
            alive = rng.random(size) >= PARAMETERS["w"] * asleep
            asleep &= alive
    step = 1 / 14
    buying = {pace: -np.expm1(-rate * pace * step) for pace in set(RATES)}
    surviving = np.exp(-dying * step)
    frequency, recency, later = np.zeros(size), np.zeros(size), np.zeros(size)
    here, who, when, slept = alive, [], [], asleep
    for begin in np.arange(-30.0, horizon - 1e-9, step):
        pace = RATES[np.searchsorted(KNOTS, begin + step / 2) - 1]
        chance = -np.expm1(-rate * pace * step) if drifts else buying[pace]
        # More than one purchase in a step is one: of order (rate step)².
        buys = np.flatnonzero(alive & ~asleep & (rng.random(size) < chance))
        if regular:
            phases[buys] += 1
            buys = buys[phases[buys] == PARAMETERS["k"]]
            phases[buys] = 0
        if begin < -1e-9:
            frequency[buys] += 1
            recency[buys] = begin + step / 2 + 30
            who.append(buys)
            when.append(np.full(buys.size, begin + step / 2 + 30))
        else:
            later[buys] += 1
        alive, asleep = (
            alive.copy(),
            asleep & (rng.random(size) >= -np.expm1(-PARAMETERS["nu"] * pace * step)),
        )
        heads = rng.random(buys.size) < leaving[buys]
        if name in SLEEPING:
            ever = rng.random(buys.size) >= PARAMETERS["w"]
            asleep[buys], heads = heads & ever, heads & ~ever
        alive[buys] = ~heads
        if name == "pareto_nbd":
            alive &= rng.random(size) < surviving
        if begin < -1e-9:
            here, slept, woke = alive, asleep, np.zeros(size, dtype=bool)
        woke |= slept & ~asleep
        if drifts:
            change = -np.expm1(-PARAMETERS["kappa"] * pace * step)
            rate = rng.gamma(r + rng.poisson(rate * (1 - change) * alpha / change), change / alpha)
    order = np.argsort(np.concatenate(who), kind="stable")
    columns = {
        "frequency": frequency,
        "recency": recency,
        "T": np.full(size, 30.0),
        "purchase_start": np.cumsum(frequency) - frequency,
    }
    history = {each: column[:, None] for each, column in columns.items()}
    return history, here, later, alive, np.concatenate(when)[order], slept, woke


@pytest.mark.parametrize("name", [*CLOCKED, DRIFTING, SLEEPING[1]])
def test_forecasts_are_those_of_the_world_in_fine_steps(name):
    horizon = 9.0
    history, here, later, there, times, slept, woke = world(name, np.random.default_rng(3), horizon)
    static, values = given(name, times)
    forecast = need(clocked(static, KNOTS), Forecast)
    # A forecast given a history is right on average over histories: of all, and of each class of frequency. Steps of
    # half a day make it 1 % wrong at most: two purchases in one are one.
    for low, high in ((0, 0), (1, 2), (3, 99)):
        own = (history["frequency"][:, 0] >= low) & (history["frequency"][:, 0] <= high)
        past = {each: column[own] for each, column in history.items()}
        of_sleepers: list = []
        if forecast.states is not None:
            awake, asleep, _ = forecast.states(past, values)
            of_sleepers = [
                (awake, here[own] & ~slept[own]),
                (asleep * forecast.waking(horizon, past, values), woke[own]),
            ]
        for expected, real in (
            *of_sleepers,
            (forecast.alive(past, values), here[own]),
            (forecast.purchases(horizon, past, values), later[own]),
            (forecast.at_least(1, horizon, past, values), later[own] > 0),
            (forecast.pmf(2, horizon, past, values), later[own] == 2),
            (forecast.survival(horizon, past, values), there[own]),
        ):
            expected = np.broadcast_to(expected, (own.sum(), 1))
            error = real.std() / np.sqrt(own.sum())
            assert expected.mean() == pytest.approx(real.mean(), abs=4 * error + 0.012 * real.mean())


@pytest.mark.parametrize("name", [*CLOCKED, "nbd_drift", DRIFTING, *SLEEPING])
def test_a_calendar_that_does_not_move_is_none(name):
    static, values = given(name, (1.5, 4.0, 20.0))
    knots = np.array([-40.0, -20.0, 0.0, 20.0, 40.0, 60.0])
    still = values | {CALENDAR: knots[None]}
    history = {
        "frequency": np.array([[0.0], [3.0]]),
        "recency": np.array([[0.0], [20.0]]),
        "T": np.full((2, 1), 30.0),
        "purchase_start": np.zeros((2, 1)),
    }
    own, moved = need(static, Forecast), need(clocked(static, knots), Forecast)
    plain = {each: values[each] for each in static.parameters}
    for function, arguments in (
        ("purchases", (12.0,)),
        ("purchases", (np.array([3.0, 12.0]),)),
        ("survival", (12.0,)),
        ("pmf", (np.arange(4), 12.0)),
        ("at_least", (2, 12.0)),
        ("alive", ()),
        ("latent_means", ()),
        *([("state", ())] if own.state is not None and moved.state is not None else []),
        *([("summary", (12.0,))] if own.summary is not None else []),
        *([("states", ()), ("waking", (12.0,)), ("woken", (12.0, 0.0))] if own.states is not None else []),
    ):
        found = getattr(moved, function)(*arguments, history, still)
        known = getattr(own, function)(*arguments, history, plain)
        pairs = list(zip(found, known, strict=True)) if isinstance(known, tuple) else [(found, known)]
        for one, other in pairs:
            if isinstance(other, tuple):
                one, other = (
                    (one.rates.mean, other.rates.mean) if "drift" in name else (one.times, other.times)
                )
            np.testing.assert_allclose(
                np.broadcast_to(one, np.shape(other)), other, rtol=1e-12 if static.paced is None else 1e-9
            )
    for horizon in (12.0, np.inf):
        np.testing.assert_allclose(
            moved.discounted(horizon, 0.002, history, still),
            own.discounted(horizon, 0.002, history, plain),
            rtol=1e-4 if np.isfinite(horizon) else 3e-3,
        )
    if own.woken is not None:
        found, known = (
            each.woken(12.0, 0.002, history, params) for each, params in ((moved, still), (own, plain))
        )
        np.testing.assert_allclose(found, known, rtol=1e-4)


def test_operational_time_is_straight_between_knots_and_goes_on_beyond():
    times = np.array([-30.0, -16.0, 0.0, 6.5, 40.0])
    found = operational(KNOTS, ELAPSED, times)[:, 0]
    assert found == pytest.approx(
        [ELAPSED[0, 0], ELAPSED[0, 0] + 10 * 0.3 + 4 * 2.0, 0, 0.4 * 4 + 2.5 * 2.5, ELAPSED[0, -1] + 10.0]
    )


def test_pareto_nbds_own_numbers_and_counts_are_of_one_law():
    """Draws have the means of the closed forms; probabilities of counts add up, also over other time than weeks."""
    static, values = given("pareto_nbd")
    forecast = need(clocked(static, KNOTS), Forecast)
    history = {
        "frequency": np.array([[0.0], [3.0], [12.0]]),
        "recency": np.array([[0.0], [11.0], [26.0]]),
        "T": np.full((3, 1), 30.0),
    }
    size = 40_000
    many = {name: np.full(size, each[0]) for name, each in values.items() if name != CALENDAR}
    many[CALENDAR] = np.repeat(ELAPSED, size, axis=0)
    living, *own = forecast.latent_draws(np.random.default_rng(5), history, many)
    pairs = zip(own, forecast.latent_means(history, values), strict=True)
    for drawn, mean in (
        (living, forecast.alive(history, values)),
        *pairs,
    ):
        error = drawn.std(axis=1) / np.sqrt(size)
        assert (np.abs(drawn.mean(axis=1) - mean[:, 0]) < 4.5 * error).all()
    counts = np.arange(400)
    for horizon in (3.0, 25.0):
        each = forecast.pmf(counts, horizon, history, values)[:, :, 0]
        np.testing.assert_allclose(each.sum(axis=0), 1, atol=1e-9)
        np.testing.assert_allclose(
            counts @ each, forecast.purchases(horizon, history, values)[:, 0], rtol=1e-8
        )
        least = forecast.at_least(counts[:30], horizon, history, values)[:, :, 0]
        np.testing.assert_allclose(least[1:], each.sum(axis=0) - np.cumsum(each, axis=0)[:29], atol=1e-9)


def test_pareto_nbds_futures_are_those_of_its_closed_forms():
    """First purchase and leaving, in operational time, of one history; and of a customer who comes five weeks on."""
    static, values = given("pareto_nbd")
    forecast = need(clocked(static, KNOTS), Forecast)
    size = 100_000
    many = {name: np.full(size, each[0]) for name, each in values.items() if name != CALENDAR}
    many[CALENDAR] = np.repeat(ELAPSED, size, axis=0)
    seen = {"frequency": np.float64(3.0), "recency": np.float64(11.0), "T": np.float64(30.0)}
    new = dict.fromkeys(seen, np.float64(0.0))
    for history, start in ((seen, 0.0), (new, 5.0)):
        wait, _, _, left, _ = forecast.futures(
            np.random.default_rng(6), history | {"start": np.float64(start)}, many
        )
        begin, end = (operational(KNOTS, ELAPSED, np.array(each))[0] for each in (start, start + 9.0))
        columns = {name: np.full((1, 1), each) for name, each in history.items()}
        known = forecast.survival(9.0, columns, values)[0, 0]
        assert (left > end - begin).mean() == pytest.approx(
            known, abs=4.5 * np.sqrt(known * (1 - known) / size)
        )
        if start == 0:
            known = forecast.at_least(1, 9.0, columns, values)[0, 0]
            buys = (wait < left) & (wait < end)
            assert buys.mean() == pytest.approx(known, abs=4.5 * np.sqrt(known * (1 - known) / size))
            gone = forecast.alive(columns, values)[0, 0]
            assert (left < 0).mean() == pytest.approx(1 - gone, abs=4.5 * np.sqrt(gone * (1 - gone) / size))


def shifted(time):
    """A calendar of half-week knots that ends at a time, a multiple of a half week."""
    knots = np.arange(-30.0, 30.1, 0.5)
    elapsed = operational(KNOTS, ELAPSED, knots)[:, 0]
    return knots - time, (elapsed - operational(KNOTS, ELAPSED, np.array(time))[0])[None]


SEEN = {
    "frequency": np.array([[0.0], [3.0], [12.0], [40.0]]),
    "recency": np.array([[0.0], [11.0], [14.0], [13.5]]),
    "T": np.full((4, 1), 30.0),
}


@pytest.mark.parametrize("time", [-14.5, -7.0, 0.0, 3.5, 29.5])
def test_a_past_of_pareto_nbd_that_ends_within_a_week_is_that_of_a_calendar_that_ends_there(time):
    static, values = given("pareto_nbd")
    whole = need(clocked(static, KNOTS), Forecast)
    knots, elapsed = shifted(time)
    ended = need(clocked(static, knots), Forecast)
    seen = whole.seen_to(np.full((4, 1), time))
    history, cut = SEEN, SEEN | {"T": SEEN["T"] + time}
    moved = values | {CALENDAR: elapsed}
    np.testing.assert_allclose(seen.alive(history, values), ended.alive(cut, moved), rtol=1e-8, atol=1e-10)
    pairs = zip(seen.latent_means(history, values), ended.latent_means(cut, moved), strict=True)
    for found, known in pairs:
        np.testing.assert_allclose(found, known, rtol=1e-8)


def test_beyond_its_last_knot_a_calendar_goes_on_as_it_was_and_at_a_steady_pace_it_is_pareto_nbd():
    static, values = given("pareto_nbd")
    at = np.array([[12.0], [-3.3], [80.0], [45.25]])
    steady = values | {CALENDAR: KNOTS[None]}
    seen = need(clocked(static, KNOTS), Forecast).seen_to(at)
    known = need(static, Forecast).alive(SEEN | {"T": SEEN["T"] + at}, values)
    np.testing.assert_allclose(seen.alive(SEEN, steady), known, rtol=1e-8)


def test_draws_of_a_past_that_ends_within_a_week_have_its_means():
    static, values = given("pareto_nbd")
    seen = need(clocked(static, KNOTS), Forecast).seen_to(np.array([[-3.3], [-0.2], [-14.6], [5.9]]))
    size = 20_000
    many = {name: np.full(size, each[0]) for name, each in values.items() if name != CALENDAR}
    many[CALENDAR] = np.repeat(ELAPSED, size, axis=0)
    living, *own = seen.latent_draws(np.random.default_rng(5), SEEN, many)
    pairs = zip(own, seen.latent_means(SEEN, values), strict=True)
    for drawn, mean in ((living, seen.alive(SEEN, values)), *pairs):
        error = drawn.std(axis=1) / np.sqrt(size)
        assert (np.abs(drawn.mean(axis=1) - mean[:, 0]) < 4.5 * error + 1e-12).all()
