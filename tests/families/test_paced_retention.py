"""Contracts at the pace of a calendar, against their definition: each renewal by its own chance."""

import numpy as np
import pytest

from bayes_clv.distributions.renewal_exponents import exponents, slopes
from bayes_clv.families.calendar import CALENDAR, clocked
from bayes_clv.families.contract import Renewals, need
from bayes_clv.families.registry import family
from bayes_clv.inference.calendar import LearnedCalendar
from bayes_clv.inference.clock import Clock
from bayes_clv.schema import InputError

SHAPES = {
    "shifted_beta_geometric": {"alpha": 0.7, "beta": 3.8},
    "beta_discrete_weibull": {"alpha": 0.6, "beta": 4.0, "c": 1.4},
}
each_family = pytest.mark.parametrize("name", SHAPES)
# Before and after the end of observation; it varies tenfold.
PAST, FUTURE = np.array([1.0, 0.4, 3.0, 0.8, 0.3, 2.0]), np.array([0.5, 3.0, 1.0, 0.3])
AGO = PAST.size
CUSTOMERS = 200_000


def histories(ago):
    """Return every history of a contract that began so many periods ago."""
    renewals = np.array([*range(ago), ago], dtype=float)
    return {
        "renewals": renewals,
        "active": (renewals == ago) * 1.0,
        "periods_ago": np.full(ago + 1, float(ago)),
    }


def log_likelihood(name, columns, rate=None):
    import pytensor.tensor as pt

    record = family(name)
    params = {each: pt.as_tensor(value) for each, value in SHAPES[name].items()}
    if rate is None:
        return record.log_likelihood(params, columns).eval(mode="FAST_COMPILE")
    calendar = LearnedCalendar(30, 30.0, rate.size, counts=np.ones(rate.size), of_leaving=True)
    clock = Clock(calendar, pt.as_tensor(np.log(rate)), pt.as_tensor(rate))
    terms = record.paced.likelihood(clock)
    total = sum(term.function(params, *(columns[each] for each in term.columns)) for term in terms)
    return total.eval(mode="FAST_COMPILE")


def stays(name, rng, rate, size):
    """Return whether each customer makes each renewal (customer, period), from the definition."""
    shapes = SHAPES[name]
    theta = rng.beta(shapes["alpha"], shapes["beta"], size)[:, None]
    k, c = np.arange(1.0, rate.size + 1), shapes.get("c", 1.0)
    makes = rng.random((size, rate.size)) < (1 - theta) ** (rate * (k**c - (k - 1) ** c))
    return np.logical_and.accumulate(makes, axis=1)


@each_family
def test_without_movement_the_likelihood_is_the_familys(name):
    for ago in (1, 4, AGO):
        static = log_likelihood(name, histories(ago))
        np.testing.assert_allclose(log_likelihood(name, histories(ago), np.ones(AGO)), static, rtol=1e-10)


@each_family
def test_the_likelihood_sums_to_one_and_is_that_of_the_world(name):
    for ago in (1, 4, AGO):
        assert np.exp(log_likelihood(name, histories(ago), PAST)).sum() == pytest.approx(1.0, abs=1e-12)
    chance = np.exp(log_likelihood(name, histories(4), PAST))
    made = stays(name, np.random.default_rng(1), PAST[-4:], CUSTOMERS).sum(axis=1)
    error = np.sqrt(chance * (1 - chance) / CUSTOMERS)
    assert (np.abs(np.bincount(made) / CUSTOMERS - chance) < 4 * error).all()


@each_family
def test_the_simulator_follows_the_likelihood(name):
    knots, elapsed = np.arange(-AGO, 1.0), np.concatenate([[0.0], np.cumsum(PAST)])
    begun = np.repeat([3.0, AGO], CUSTOMERS // 2)
    found = family(name).paced.simulate(
        np.random.default_rng(2), {"periods_ago": begun}, SHAPES[name], knots, elapsed - elapsed[-1]
    )
    np.testing.assert_array_equal(found["active"], found["renewals"] == begun)
    for ago in (3, AGO):
        chance = np.exp(log_likelihood(name, histories(ago), PAST))
        share = np.bincount(found["renewals"][begun == ago].astype(int), minlength=ago + 1) / (CUSTOMERS // 2)
        assert (np.abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / (CUSTOMERS // 2))).all()


@each_family
def test_forecasts_are_those_of_the_world(name):
    ahead, made = FUTURE.size, 4
    knots = np.arange(-AGO, ahead + 2.0)
    elapsed = np.concatenate([[0.0], np.cumsum([*PAST, *FUTURE, 1.0])])
    forecast = need(clocked(family(name), knots), Renewals)
    params = {each: np.array([value]) for each, value in SHAPES[name].items()}
    params[CALENDAR] = (elapsed - elapsed[AGO])[None]
    there = {"renewals": np.array([[0.0], [made]]), "active": np.ones((2, 1))}
    t = np.arange(1, ahead + 1)
    survival = forecast.survival(t, there, params)
    retention = forecast.next_retention(t, there, params)
    assert survival.shape == (ahead, 2, 1)
    np.testing.assert_allclose(np.cumprod(retention, axis=0), survival, rtol=1e-12)
    np.testing.assert_allclose(forecast.expected(ahead, there, params), survival.sum(axis=0), rtol=1e-12)
    pmf = forecast.pmf(np.arange(-1, ahead + 2), ahead, there, params)
    np.testing.assert_allclose(pmf[1:-1].sum(axis=0), 1.0, rtol=1e-12)
    assert not pmf[[0, -1]].any()
    np.testing.assert_allclose(pmf[-2], survival[-1], rtol=1e-12)
    rng = np.random.default_rng(3)
    for row, rate in enumerate((FUTURE, np.concatenate([PAST[-made:], FUTURE]))):
        world = stays(name, rng, rate, CUSTOMERS)
        world = world[world[:, rate.size - ahead - 1]] if rate.size > ahead else world
        share, size = world[:, -ahead:].mean(axis=0), world.shape[0]
        error = np.sqrt(survival[:, row, 0] * (1 - survival[:, row, 0]) / size)
        assert (np.abs(share - survival[:, row, 0]) < 4 * error).all()
    lost = there | {"active": np.zeros((2, 1))}
    assert not forecast.survival(t, lost, params).any()
    assert not forecast.expected(ahead, lost, params).any()
    np.testing.assert_array_equal(forecast.pmf(np.arange(3), ahead, lost, params)[:, :, 0].T, [[1, 0, 0]] * 2)
    with pytest.raises(InputError, match="older than the calendar, which knows 6 periods"):
        forecast.survival(1, {"renewals": np.array([7.0]), "active": np.ones(1)}, params)
    with pytest.raises(InputError, match="told to an end"):
        forecast.expected(np.inf, there, params)


def test_slopes_are_those_of_the_exponents():
    columns = [histories(ago) for ago in (2, AGO)]
    ago, made = (np.concatenate([each[key] for each in columns]) for key in ("periods_ago", "renewals"))
    rng = np.random.default_rng(4)
    c, weight = rng.uniform(0.5, 2.0, ago.size), rng.standard_normal((2, ago.size))

    def value(rate, c):
        return float((weight * exponents(ago, made, rate, c)).sum())

    of_rate, of_c = slopes(ago, made, PAST, c, *weight)
    step = 1e-6
    for found, at in ((of_rate, lambda e: value(PAST + e, c)), (of_c, lambda e: value(PAST, c + e))):
        each = [(at(e) - at(-e)) / (2 * step) for e in step * np.eye(found.size)]
        np.testing.assert_allclose(found, each, rtol=1e-6, atol=1e-8)
