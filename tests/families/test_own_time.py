"""Forecasts in each customer's own time, against the world simulated from its definition, a calendar and no column."""

from types import SimpleNamespace

import numpy as np
import pytest

from bayes_clv.distributions.pieces import Paced
from bayes_clv.families import Forecast, need
from bayes_clv.families.calendar import CALENDAR, clocked
from bayes_clv.families.own_time import COEFFICIENT, PATH, in_own_time
from bayes_clv.families.registry import OVER_TIME, family
from bayes_clv.schema import InputError

PARAMETERS = {"r": 0.9, "alpha": 6.0, "a": 0.8, "b": 2.5}
# Three paths: one goes up and down, before and after now; one never changes; one has fallen for good.
BEGIN = np.array([-np.inf, -20.0, -11.0, -2.0, 3.0, 6.0, -np.inf, -np.inf, -14.0])
VALUES = np.array([[0.0], [1.0], [2.0], [0.0], [1.5], [0.0], [1.0], [1.0], [-1.0]])
LEVELS, LEVEL = np.unique(VALUES, axis=0, return_inverse=True)
PACED = Paced(BEGIN, LEVEL.reshape(-1), LEVELS)
STARTS = np.array([0, 6, 7])
EFFECT = 0.8
CUSTOMERS = 80_000


# A calendar of all, whose rate varies fivefold, from 40 weeks ago to 40 weeks ahead.
KNOTS = np.arange(-40.0, 41.0, 4.0)
ELAPSED = np.append(0.0, np.cumsum(4.0 * np.resize([0.4, 2.0, 1.0, 0.7], KNOTS.size - 1)))
ELAPSED = (ELAPSED - ELAPSED[10])[None]


def given(name, *, effect=EFFECT, paced=PACED, known=np.inf, calendar=False):
    record = family(name)
    values = {each: np.array([PARAMETERS[each]]) for each in record.parameters}
    moved = in_own_time(record, paced, known, 1.0, KNOTS if calendar else None)
    values |= {CALENDAR: ELAPSED} if calendar else {}
    return need(moved, Forecast), values | {COEFFICIENT: np.array([[effect]])}


def world(name, path, rng, horizon):
    """Return histories of customers of one path, 30 weeks old, who is alive now, purchases later, who is alive then.

    In steps of half a day, from the definition: an alive customer buys at its rate times exp(effect × the path's
    value), and after a purchase, of MBG/NBD after the first one too, leaves with its own probability.
    """
    rate = rng.gamma(PARAMETERS["r"], 1 / PARAMETERS["alpha"], CUSTOMERS)
    leaving = rng.beta(PARAMETERS["a"], PARAMETERS["b"], CUSTOMERS) * (name != "nbd")
    alive = rng.random(CUSTOMERS) >= leaving * name.startswith("mbg")
    frequency, recency, later = (np.zeros(CUSTOMERS) for _ in range(3))
    end = next((i for i in range(STARTS[path] + 1, BEGIN.size) if BEGIN[i] == -np.inf), BEGIN.size)
    step = 1 / 14
    for k in range(round((30 + horizon) / step)):
        middle = -30 + (k + 0.5) * step
        piece = STARTS[path] + np.searchsorted(BEGIN[STARTS[path] : end], middle) - 1
        buys = alive & (rng.random(CUSTOMERS) < -np.expm1(-rate * step * np.exp(EFFECT * VALUES[piece, 0])))
        if middle < 0:
            frequency[buys] += 1
            recency[buys] = middle + 30
        else:
            later[buys] += 1
        alive &= ~(buys & (rng.random(CUSTOMERS) < leaving))
        if k == round(30 / step) - 1:
            here = alive.copy()
    columns = {"frequency": frequency, "recency": recency, "T": np.full(CUSTOMERS, 30.0)}
    columns[PATH] = np.full(CUSTOMERS, float(STARTS[path]))
    return {each: column[:, None] for each, column in columns.items()}, here, later, alive


@pytest.mark.parametrize(("name", "path"), [("mbg_nbd", 0), ("bg_nbd", 2), ("nbd", 0)])
def test_forecasts_are_those_of_the_world_in_fine_steps(name, path):
    """Of each class of frequency, within 4 Monte Carlo errors and 1.2 % for two purchases in a step, which are one."""
    horizon = 9.0
    history, here, later, there = world(name, path, np.random.default_rng(3), horizon)
    forecast, values = given(name)
    for low, high in ((0, 0), (1, 2), (3, 99)):
        own = (history["frequency"][:, 0] >= low) & (history["frequency"][:, 0] <= high)
        past = {each: column[own] for each, column in history.items()}
        for expected, real in (
            (forecast.alive(past, values), here[own]),
            (forecast.purchases(horizon, past, values), later[own]),
            (forecast.at_least(1, horizon, past, values), later[own] > 0),
            (forecast.pmf(2, horizon, past, values), later[own] == 2),
            (forecast.survival(horizon, past, values), there[own]),
        ):
            expected = np.broadcast_to(expected, (own.sum(), 1))
            error = real.std() / np.sqrt(own.sum())
            assert expected.mean() == pytest.approx(real.mean(), abs=4 * error + 0.012 * real.mean())


HISTORY = {
    "frequency": np.array([[0.0], [3.0], [1.0]]),
    "recency": np.array([[0.0], [20.0], [30.0]]),
    "T": np.full((3, 1), 30.0),
}
FORECASTS = (
    ("purchases", (12.0,)),
    ("purchases", (np.array([3.0, 12.0]),)),
    ("survival", (12.0,)),
    ("pmf", (np.arange(4), 12.0)),
    ("at_least", (2, 12.0)),
    ("alive", ()),
    ("latent_means", ()),
    ("state", ()),
    ("discounted", (12.0, 0.002)),
)


@pytest.mark.parametrize("name", OVER_TIME)
def test_without_an_effect_or_a_change_the_forecast_is_the_familys(name):
    static = family(name)
    plain = {each: np.array([PARAMETERS[each]]) for each in static.parameters}
    flat = Paced(BEGIN, 0 * PACED.level, np.zeros((1, 1)))
    history = HISTORY | {PATH: STARTS[:, None].astype(float)}
    for moved, values in (given(name, effect=0.0), given(name, paced=flat)):
        for function, arguments in FORECASTS:
            found = getattr(moved, function)(*arguments, history, values)
            known = getattr(need(static, Forecast), function)(*arguments, HISTORY, plain)
            pairs = zip(found, known, strict=True) if isinstance(known, tuple) else [(found, known)]
            # Discounted purchases are computed in parts of the horizon where time is another.
            close = 1e-4 if function == "discounted" else 1e-10
            for one, other in pairs:
                np.testing.assert_allclose(np.broadcast_to(one, np.shape(other)), other, rtol=close)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("name", OVER_TIME)
def test_a_path_that_all_share_is_the_calendar_with_it(name, moving):
    """To 1e-8, of every forecast, and of the law's time of the simulation; and where all have a calendar besides."""
    static = family(name)
    knots = np.append(np.arange(-30.0, 15.0), 40.0)
    piece = np.searchsorted(BEGIN[:6], knots[:-1] + 0.5) - 1
    of_all = np.diff(np.interp(knots, KNOTS, ELAPSED[0])) if moving else np.diff(knots)
    elapsed = np.append(0.0, np.cumsum(of_all * np.exp(EFFECT * VALUES[piece, 0])))
    elapsed = (elapsed - elapsed[30])[None]
    calendar = need(clocked(static, knots), Forecast)
    plain = {each: np.array([PARAMETERS[each]]) for each in static.parameters} | {CALENDAR: elapsed}
    history = HISTORY | {PATH: np.zeros((3, 1))}
    moved, values = given(name, calendar=moving)
    for function, arguments in FORECASTS:
        found = getattr(moved, function)(*arguments, history, values)
        known = getattr(calendar, function)(*arguments, HISTORY, plain)
        pairs = zip(found, known, strict=True) if isinstance(known, tuple) else [(found, known)]
        for one, other in pairs:
            np.testing.assert_allclose(np.broadcast_to(one, np.shape(other)), other, rtol=1e-8)
    clock = moved.own_clock(history, values)
    times = np.array([0.5, 4.0, 12.0])
    np.testing.assert_allclose(
        clock.elapsed(np.arange(3), times)[:, 0], np.interp(times, knots, elapsed[0]), rtol=1e-12
    )
    np.testing.assert_allclose(
        clock.silent(np.arange(3), times)[:, 0], -np.interp(-times, knots, elapsed[0]), rtol=1e-12
    )


@pytest.mark.parametrize("calendar", [False, True])
def test_times_turned_into_the_calendars_are_those_from_which_they_came(calendar):
    """Of single purchases, before now and after, in each draw: what is elapsed at the turned time is the law's."""
    forecast, values = given("bg_nbd", calendar=calendar)
    values = values | {COEFFICIENT: np.array([[0.8], [-0.3]])}
    if calendar:
        values = values | {CALENDAR: np.vstack([ELAPSED, 0.9 * ELAPSED])}
    history = HISTORY | {PATH: STARTS[:, None].astype(float)}
    clock = forecast.own_clock(history, values)
    rows = np.repeat(np.arange(3), 9)
    times = np.tile([-25.0, -14.0, -11.5, -0.3, 0.2, 3.0, 4.4, 6.0, 31.0], 3)
    law = np.where(times[:, None] > 0, clock.elapsed(rows, times), -clock.silent(rows, -times))
    own = SimpleNamespace(left=law.copy(), first=np.empty((0, 2)))
    clock.turn_own(rows.astype(np.uint32), own)
    np.testing.assert_allclose(own.left, np.repeat(times[:, None], 2, axis=1), rtol=1e-12)


def test_beyond_what_is_known_nothing_is_told():
    forecast, values = given("bg_nbd", known=9.0)
    history = HISTORY | {PATH: np.zeros((3, 1))}
    assert forecast.purchases(9.0, history, values).shape == (3, 1)
    assert forecast.alive(history, values).shape == (3, 1)
    for time in (9.1, np.inf):
        with pytest.raises(InputError, match="known for 9 time units from the end of observation"):
            forecast.purchases(time, history, values)
    with pytest.raises(InputError, match="'carry_forward'"):
        forecast.discounted(np.inf, 0.002, history, values)


def test_a_row_in_company_is_what_it_is_alone():
    forecast, values = given("mbg_nbd")
    values = values | {COEFFICIENT: np.linspace(-1, 1, 7)[:, None]}
    history = HISTORY | {PATH: STARTS[:, None].astype(float)}
    together = forecast.purchases(9.0, history, values)
    for row in range(3):
        alone = forecast.purchases(9.0, {each: column[[row]] for each, column in history.items()}, values)
        assert np.array_equal(alone[0], together[row])
