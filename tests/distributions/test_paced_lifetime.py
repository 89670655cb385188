"""Purchases at the pace of a calendar and a lifetime in calendar time: integrals against scipy's, and draws."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from bayes_clv.distributions.poisson import paced_lifetime, silence

NONE = np.empty(0)


def pasts(count):
    """Yield (silence, k, A, s, B, width, to_end) whose pace varies tenfold, from tiny to huge powers."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        size, width = 20, float(rng.choice([0.5, 1.0, 2.0]))
        steps = width * np.exp(rng.uniform(-0.5, 0.5, size) * np.log(10))
        to_end = np.append(np.cumsum(steps[::-1])[::-1], 0.0)
        age = size * width * rng.uniform(0.3, 1)
        k, s = float(rng.choice([0.1, 0.5, 3, 40, 300])), float(rng.choice([0.05, 0.6, 3, 30]))
        alpha, beta = rng.choice([0.3, 6, 60]), rng.choice([0.2, 10, 100])
        scale = alpha + since(age, width, to_end)
        yield age * rng.uniform(0.02, 1), k, scale, s, beta + age, width, to_end


def since(ago, width, to_end):
    return np.interp(ago, np.arange(to_end.size) * width, to_end[::-1])


def integrand(u, k, A, s, B, width, to_end):
    return np.exp(-k * np.log1p(-since(u, width, to_end) / A) - s * np.log1p(-u / B)) / (B - u)


def test_the_odds_of_having_left_are_those_of_quadrature():
    for D, *given in pasts(40):
        width, to_end = given[-2:]
        largest = integrand(D, *given)
        ends = np.unique(np.minimum(np.arange(to_end.size) * width, D))
        real = sum(
            quad(lambda u: integrand(u, *given) / largest, a, b, epsabs=0, epsrel=1e-12, limit=200)[0]  # noqa: B023
            for a, b in pairwise(ends)
        )
        found = paced_lifetime.moments(D, *given, NONE, 0.0)[0]
        assert found == pytest.approx(np.log(real) + np.log(largest), abs=1e-9)


def test_slopes_are_those_of_differences():
    for D, k, A, s, B, width, to_end in pasts(40):

        def value(k=k, A=A, s=s, B=B, to_end=to_end, D=D, width=width):
            return paced_lifetime.moments(D, k, A, s, B, width, to_end, NONE, 0.0)[0]

        begin, place = paced_lifetime.knots_of_rows(np.array([D]), width, to_end.size)
        rows = [np.array([each]) for each in (D, k, A, s, B)]
        _, *slopes, of_knots = paced_lifetime.moments_of_rows(
            rows[0], begin.astype(float), np.array([width]), to_end, *rows[1:]
        )
        for name, at, slope in zip("kAsB", (k, A, s, B), slopes, strict=True):
            step = 1e-5 * at
            real = (value(**{name: at + step}) - value(**{name: at - step})) / (2 * step)
            assert slope[0] == pytest.approx(real, rel=1e-5, abs=1e-7), name
        for knot in (place[0], place[min(1, place.size - 1)], place[-1]):
            moved = 1e-5 * np.eye(to_end.size)[knot]
            real = (value(to_end=to_end + moved) - value(to_end=to_end - moved)) / 2e-5
            assert of_knots[place == knot][0] == pytest.approx(real, rel=1e-4, abs=1e-6)


def test_a_steady_pace_is_silence():
    for D, k, A, s, B, width, to_end in pasts(20):
        steady = np.arange(to_end.size)[::-1] * width
        A = A + D
        found = paced_lifetime.moments(D, k, A, s, B, width, steady, NONE, 0.0)[0]
        a, b = A - D, B - D
        known = k * np.log(A / a) + s * np.log(B / b) - np.log(b) + silence.log_integral(k, s + 1, a, b, D)
        assert found == pytest.approx(known, abs=2e-9)


def test_those_who_left_did_so_when_the_integrand_says():
    size = 20_000
    for D, k, A, s, B, width, to_end in list(pasts(12))[::3]:
        rng = np.random.default_rng(2)
        rows = [np.full((1, size), each) for each in (k, A, s, B)]
        whole = np.broadcast_to(to_end, (size, to_end.size))
        gone = np.zeros((1, size), dtype=bool)
        ago, passed = paced_lifetime.drawn_left(rng, gone, np.array([D]), *rows, width, whole)
        np.testing.assert_allclose(passed, since(ago, width, to_end), rtol=1e-9, atol=1e-12)
        grid = np.linspace(0, D, 200_001)
        mass = np.cumsum(integrand(grid, k, A, s, B, width, to_end) / integrand(D, k, A, s, B, width, to_end))
        uniform = np.interp(ago[0], grid, mass / mass[-1])
        # Kolmogorov's distance of 20,000 draws exceeds 1.95 / sqrt(20,000) with 1 in 1,000.
        order = np.sort(uniform) - (np.arange(size) + 0.5) / size
        assert np.abs(order).max() < 1.95 / np.sqrt(size)


@pytest.mark.parametrize("n", [0, 1, 3, 20, 150])
def test_counts_are_those_of_quadrature(n):
    from scipy.special import gammaln, xlogy

    knots = np.array([0.0, 2.0, 5.0, 6.0, 20.0])
    elapsed = np.concatenate([[0.0], np.cumsum(np.diff(knots) * [0.3, 3.0, 0.5, 1.5])])
    for k, A, s, B in ((0.6, 8.0, 0.5, 10.0), (30.0, 25.0, 2.0, 3.0), (150.0, 30.0, 0.2, 60.0)):
        for time in (1.5, 13.0, 50.0):
            log_factor = gammaln(k + n) - gammaln(k) - gammaln(n + 1)

            def at(u):
                return np.where(u <= 20, np.interp(u, knots, elapsed), elapsed[-1] + 1.5 * (u - 20))

            def value(u, k=k, A=A, s=s, B=B, log_factor=log_factor, at=at):
                z = at(u) / A
                return np.exp(log_factor + xlogy(n, z) - (k + n) * np.log1p(z) - (s + 1) * np.log1p(u / B))

            ends = np.unique(np.concatenate([np.minimum(knots, time), [time]]))
            ends = np.unique(np.concatenate([ends, np.linspace(0, time, 9)]))
            real = sum(quad(value, a, b, epsabs=0, epsrel=1e-11, limit=200)[0] for a, b in pairwise(ends))
            given = [np.full((1, 1), each) for each in (n, k + n, s + 1)]
            found = paced_lifetime.counted(
                *given,
                False,
                *(np.full((1, 1), each) for each in (A, B, log_factor)),
                time,
                knots,
                elapsed[None],
            )
            assert found[0, 0] == pytest.approx(real, rel=1e-8, abs=1e-12)


def test_without_a_silence_slopes_are_zero_and_not_what_was_there():
    slopes = np.full(4, np.nan)
    found = paced_lifetime.moments(0.0, 1.5, 9.0, 0.6, 40.0, 1.0, np.array([-2.0, -1.0, 0.0]), slopes, 0.0)
    assert found == (0.0,) * 5
    np.testing.assert_array_equal(slopes, 0.0)


def test_those_who_left_before_a_time_within_a_period_did_so_before_it():
    """Draws follow the integrand from that time on; of the living the time itself is told."""
    size, tried = 20_000, 0
    for D, k, A, s, B, width, to_end in pasts(12):
        ago = min(0.6 * width, 0.5 * D)
        rng, elapsed = np.random.default_rng(3), np.broadcast_to(-to_end, (size, to_end.size)).copy()
        rows = [np.full((1, size), each) for each in (k, A, s, B)]
        end = np.array([to_end.size - 1])
        living = np.zeros((1, size), dtype=bool)
        living[0, 0] = True
        given = np.array([D - ago]), np.array([ago]), end, *rows, width, elapsed
        when, passed = paced_lifetime.drawn_left_before(rng, living, *given)
        assert when[0, 0] == ago
        assert (when >= ago).all()
        np.testing.assert_allclose(passed, since(when, width, to_end), rtol=1e-9, atol=1e-12)
        grid = np.linspace(ago, D, 200_001)
        mass = np.cumsum(integrand(grid, k, A, s, B, width, to_end) / integrand(D, k, A, s, B, width, to_end))
        order = np.sort(np.interp(when[0, 1:], grid, mass / mass[-1])) - (np.arange(size - 1) + 0.5) / (
            size - 1
        )
        # Kolmogorov's distance exceeds this with 1 in 1,000.
        assert np.abs(order).max() < 1.95 / np.sqrt(size - 1)
        tried += 1
    assert tried == 12
