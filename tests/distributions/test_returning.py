"""Customers who sleep: the likelihood beside a plain grid over rate and coin, its limits, slopes and unit of time."""

import numpy as np
import pytest
from scipy.special import betaln, digamma, gammaln

from bayes_clv.distributions.paths.sleep_now import first_wait
from bayes_clv.distributions.paths.variates import FAR
from bayes_clv.distributions.poisson import returning
from bayes_clv.distributions.poisson.returning import heads
from bayes_clv.distributions.poisson.returning_draws import heads_at, in_draws
from bayes_clv.families.registry import family

AGE = 39.0
# Nobody bought, once, a cluster and then nothing, evenly, two bursts with a year of silence between.
HISTORIES = (
    np.empty(0),
    np.array([5.0]),
    np.array([0.2, 0.5, 0.6, 1.1, 1.4]),
    np.linspace(1.0, 38.0, 12),
    np.concatenate([np.linspace(0.1, 2.0, 15), np.linspace(36.0, 38.5, 15)]),
)
# r, alpha, a, b, nu, w.
CDNOW = (0.525, 6.18, 0.891, 1.61, 0.006, 0.0)
SHARED = (0.9, 3.0, 1.3, 1.8, 0.05, 0.2)
BRISK = (2.5, 1.5, 0.6, 4.0, 3.0, 0.05)
NAMES = ("r", "alpha", "a", "b", "nu", "w")


def found(histories, age, first, parameters, function=returning.log_likelihoods):
    """Return what a compiled function gives of each history."""
    size = np.array([each.size for each in histories], dtype=float)
    start = np.cumsum(size) - size
    of_rows = [np.full(size.size, float(each)) for each in (age, first, *parameters)]
    return function(of_rows[0], start, size, of_rows[1], np.concatenate(histories), *of_rows[2:])


def by_grid(own, age, first, parameters, points=1_400):
    """Return log likelihood and P(awake, asleep, gone) by the trapezoidal rule in log rate and logit coin."""
    r, alpha, a, b, nu, w = parameters
    u = np.linspace(np.log(1e-26), np.log(60.0 + own.size), points)
    v = np.linspace(-45.0, 34.0, points // 2)
    rate = np.exp(u)[:, None]
    p, q = 1 / (1 + np.exp(-v)), 1 / (1 + np.exp(v))
    log_rate = r * np.log(alpha) - gammaln(r) + r * u - alpha * rate[:, 0]
    weight = np.exp(log_rate)[:, None] * np.exp(a * np.log(p) + b * np.log(q) - betaln(a, b))
    weight *= (u[1] - u[0]) * (v[1] - v[0])
    log_scale = 0.0

    def parts(g):
        still = np.exp(-rate * g)
        return still, nu * (np.exp(-nu * g) - still) / (rate - nu)

    gaps = np.diff(own, prepend=0.0)
    for number, g in enumerate(gaps):
        still, woken = parts(g)
        weight = weight * rate * (q * still + p * (1 - w) * woken if number + first else still)
        log_scale += np.log(weight.max())
        weight = weight / weight.max()
    silence = age - gaps.sum()
    still, woken = parts(silence)
    if own.size + first == 0:
        return np.log((weight * still).sum()), np.array([1.0, 0.0, 0.0])
    states = np.array(
        [
            (weight * (q * still + p * (1 - w) * woken)).sum(),
            (weight * p * (1 - w) * np.exp(-nu * silence)).sum(),
            (weight * p * w).sum(),
        ]
    )
    return log_scale + np.log(states.sum()), states / states.sum()


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("parameters", [CDNOW, SHARED, BRISK])
def test_the_likelihood_is_that_of_a_finer_grid(first, parameters):
    values = found(HISTORIES, AGE, first, parameters)
    for own, value in zip(HISTORIES, values, strict=True):
        expected, states = by_grid(own, AGE, first, parameters)
        assert value == pytest.approx(expected, abs=1e-10)
        seen = heads(own, AGE, first, *parameters)
        np.testing.assert_allclose(seen.weight.sum(axis=(1, 2)), states, atol=1e-10)


def test_a_history_of_400_purchases():
    rng = np.random.default_rng(3)
    waits = rng.exponential(0.1, 400)
    waits[[80, 200]] += 30.0
    own = np.cumsum(waits)
    parameters = (1.4, 0.5, 0.4, 20.0, 0.05, 0.1)
    value = found([own], own[-1] + 4.0, 1, parameters)[0]
    assert value == pytest.approx(by_grid(own, own[-1] + 4.0, 1, parameters)[0], rel=1e-10)


@pytest.mark.parametrize(("name", "first"), [("bg_nbd", 0), ("mbg_nbd", 1)])
@pytest.mark.parametrize("asleep_for_ever", [(1e-60, 0.0), (0.02, 1.0)])
@pytest.mark.parametrize("point", [CDNOW[:4], (0.01, 60.0, 0.02, 100.0), (1e7, 1e8, 0.9, 1.6)])
def test_without_waking_it_is_the_family_without_returns(name, first, asleep_for_ever, point):
    import pytensor.tensor as pt

    record = family(name)
    values = found(HISTORIES, AGE, first, (*point, *asleep_for_ever))
    columns = {
        "frequency": [float(each.size) for each in HISTORIES],
        "recency": [each[-1] if each.size else 0.0 for each in HISTORIES],
        "T": [AGE] * len(HISTORIES),
    }
    static = record.log_likelihood(
        dict(zip(record.parameters, map(float, point), strict=True)),
        {each: pt.as_tensor(np.array(columns[each])) for each in columns},
    )
    np.testing.assert_allclose(values, static.eval(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("parameters", [(*CDNOW[:5], 0.01), SHARED, BRISK])
def test_the_slopes_are_those_of_differences(first, parameters):
    slopes = np.array(found(HISTORIES, AGE, first, parameters, returning.slopes))
    slopes[0] += np.log(parameters[1]) - digamma(parameters[0])
    for place, name in enumerate(NAMES):
        step = 2e-4 * parameters[place]
        ends = []
        for sign in (1, -1, 2, -2):
            moved = list(parameters)
            moved[place] += sign * step
            ends.append(found(HISTORIES, AGE, first, moved))
        expected = (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * step)
        np.testing.assert_allclose(slopes[place], expected, rtol=1e-6, atol=1e-7, err_msg=name)


def test_the_unit_of_time_changes_nothing_but_the_unit_of_the_density():
    r, alpha, a, b, nu, w = SHARED
    weeks = found(HISTORIES, AGE, 1, SHARED)
    for factor in (7.0, 1e6, 1e-6):
        other = found(
            [factor * each for each in HISTORIES], factor * AGE, 1, (r, factor * alpha, a, b, nu / factor, w)
        )
        purchases = np.array([each.size for each in HISTORIES])
        np.testing.assert_allclose(other, weeks - purchases * np.log(factor), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("parameters", [CDNOW, SHARED, BRISK])
def test_many_draws_at_once_say_the_same_to_six_digits(first, parameters):
    """A share of heads and the next silence, of each state, of 70 draws that share their points."""
    rng = np.random.default_rng(5)
    draws = [each * np.exp(0.15 * rng.standard_normal(70)) for each in parameters]
    # One rate of waking lies on a point, almost.
    draws[4][3] = in_draws(HISTORIES[1][:, None], np.array([AGE]), first, *draws).rates[9] * (1 + 1e-9)
    for own in HISTORIES:
        known = in_draws(own[:, None], np.array([AGE]), first, *draws)
        silence, m, room = (
            AGE - (own[-1] if own.size else 0.0),
            np.empty((own.size + 2, 200)),
            np.empty((4, 200)),
        )
        for s in range(0, 70, 3):
            of_draw = [each[s] for each in draws]
            nu, w = of_draw[4:]
            seen = heads(own, AGE, first, *of_draw)
            rates, fell, signed = known.rates, known.fell[:, s], known.signed[:, s]
            awake, asleep = signed + known.back[:, s], fell * known.asleep[s] * (1 - w)
            states = awake.sum(), asleep.sum(), (fell * w).sum()
            np.testing.assert_allclose(states, seen.weight.sum(axis=(1, 2)), atol=1e-6)
            assert known.alive[s] == pytest.approx(states[0] + states[1], abs=1e-9)
            for t in (0.3, 3.0, 30.0, 300.0):
                still = np.exp(-seen.rates * t)
                woken = nu * (np.exp(-nu * t) - still) / (seen.rates - nu)
                silent = (seen.weight[0] * still + seen.weight[1] * (woken + np.exp(-nu * t))).sum()
                found = (signed * np.exp(-rates * t)).sum() + known.sleeping[s] * np.exp(-known.nu[s] * t)
                assert found == pytest.approx(silent, abs=1e-6)
            # Numbers of heads: their mean, over points and equally spaced u of the inversion.
            u, mean, k, one = (np.arange(200) + 0.5) / 200, 0.0, np.empty(200), np.ones(200)
            a, b = (each * one for each in of_draw[2:4])
            gaps = np.append(np.diff(own, prepend=0.0), silence)
            for state, weights in enumerate((awake, fell)):
                for i in np.flatnonzero(weights > 1e-3):
                    still, slept = (np.exp(-each * gaps)[:, None] * one for each in (rates[i], nu))
                    wakes = (1 - w) * nu / (rates[i] - nu) * one
                    heads_at(first, still, slept, wakes, a, b, (1 - state) * one == 1, u, m, room, k)
                    share = weights[i] if state == 0 else asleep[i] + w * fell[i]
                    mean += share * np.mean(k)
            expected = seen.weight.sum(axis=(0, 2)) @ (seen.least + np.arange(seen.weight.shape[1]))
            # Points of little weight are left out, and 200 numbers round the mean of one by 1/200 at most.
            assert mean == pytest.approx(expected, abs=0.02 * (1 + expected))


@pytest.mark.parametrize(
    "parameters", [(1e-3, 5.0, 1e-3, 1e-3, 0.1, 0.5), (50.0, 500.0, 30.0, 1e4, 1e-6, 0.0)]
)
def test_extremes_stay_finite(parameters):
    values = found(HISTORIES, AGE, 1, parameters)
    slopes = np.array(found(HISTORIES, AGE, 1, parameters, returning.slopes))
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()


def test_a_first_wait_is_found_where_newtons_steps_go_to_and_fro():
    """P(silent for the wait) is the probability that was asked for; two of these went on for ever between two ends.

    Silence of those awake at rates of a Gamma, and of those asleep, who wake at nu and then buy: a mixture with
    negative weights about nu, whose logarithm bends both ways.
    """
    rng = np.random.default_rng(1)
    off = []
    for _ in range(2_000):
        rates = np.geomspace(1e-6, 0.2, 25) * np.exp(rng.uniform(-1, 1))
        r, mean = rng.uniform(0.1, 2), np.exp(rng.uniform(-7, -2))
        share = rates**r * np.exp(-r * rates / mean)
        share /= share.sum()
        asleep = share * rng.uniform(0, 1.0)
        nu = np.exp(rng.uniform(-8, -1))
        signed = share - asleep - asleep * nu / (rates - nu)
        sleeping = (asleep * rates / (rates - nu)).sum()
        scale, left = np.exp(rng.uniform(0, 6)), rng.uniform()
        wait = first_wait(rates, signed, sleeping, nu, scale, left)
        silent = (signed * np.exp(-rates * wait)).sum() + sleeping * np.exp(-nu * wait)
        off.append(abs(silent - left) if wait < FAR else 0.0)
    assert max(off) < 1e-5
