"""A drifting rate and a lifetime: against paths, against no drift, a finer rule, and its own differences."""

import math

import numpy as np
import pytest
from scipy import special, stats

from bayes_clv.distributions.poisson import drifting, drifting_lifetime, drifting_states, gamma_lifetime
from bayes_clv.distributions.poisson import drifting_lifetime_forecasts as forecasts
from bayes_clv.distributions.poisson.silence import log_integral
from bayes_clv.families.purchases import pareto_nbd

RNG = np.random.default_rng(17)
SIZES = (0, 0, 1, 2, 5, 20, 60, 150)
RATES = [(0.24, 4.4, 0.005), (1.3, 0.5, 0.1), (0.5, 6.0, 2.0), (30.0, 20.0, 0.02), (0.5, 6.0, 1e-9)]
LIFETIMES = [(0.6, 11.6), (8.0, 3.0), (0.05, 900.0)]


def base(sizes=SIZES, last=40.0, after=30.0):
    """Return T, start, size, times of customers with so many purchases until ``last``, and silences up to ``after``."""
    times = [np.sort(RNG.uniform(0.1, last, n)) for n in sizes]
    size = np.array(sizes, dtype=float)
    return last + RNG.uniform(0.5, after, len(sizes)), np.cumsum(size) - size, size, np.concatenate(times)


SEEN = base()


def recency(seen):
    _, start, size, times = seen
    return np.array([times[int(a + n) - 1] if n else 0.0 for a, n in zip(start, size, strict=True)])


def likelihoods(point, seen=SEEN):
    ones = np.ones(seen[0].size)
    return np.array(drifting_lifetime.log_likelihoods(*seen, *(each * ones for each in point)))


def static(r, alpha, s, beta, seen):
    """Return the log-likelihood of Pareto/NBD."""
    T, _, x, _ = seen
    a, b, silence = alpha + recency(seen), beta + recency(seen), T - recency(seen)
    k = r + x
    log_odds = k * np.log1p(silence / a) + s * np.log1p(silence / b) + np.log(s / b)
    log_odds += log_integral(k, s + 1, a, b, silence)
    alive = special.gammaln(k) - special.gammaln(r) + r * np.log(alpha) - k * np.log(alpha + T)
    return alive - s * np.log1p(T / beta) + np.logaddexp(0, log_odds)


@pytest.mark.parametrize(("s", "beta"), LIFETIMES)
def test_without_drift_it_is_pareto_nbd(s, beta):
    found = likelihoods((0.24, 4.4, 1e-12, s, beta)).sum(axis=0)
    np.testing.assert_allclose(found, static(0.24, 4.4, s, beta, SEEN), rtol=0, atol=1e-8)


def test_whose_lifetime_is_endless_only_its_rate_matters():
    seen = base((0, 1, 5))
    rate = [np.full(3, each) for each in (0.5, 6.0, 0.05)]
    expected = np.array(drifting.log_likelihoods(*seen, *rate)).sum(axis=0)
    found = likelihoods((0.5, 6.0, 0.05, 1e-12, 1e3), seen).sum(axis=0)
    # The odds of having left are s / beta times the silence at least, and 1e4 times that where it is improbable.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("s", "beta"), LIFETIMES)
@pytest.mark.parametrize("point", RATES)
def test_slopes_are_differences(point, s, beta):
    at = (*point, s, beta)
    ones = np.ones(SEEN[0].size)
    slopes = np.array(drifting_lifetime.slopes(*SEEN, *(each * ones for each in at)))
    for k in range(5):
        step = 1e-5 * at[k]
        ends = [likelihoods([each + sign * step * (i == k) for i, each in enumerate(at)]) for sign in (1, -1)]
        bought, ended = (ends[0] - ends[1]) / 2e-5
        # Differences of logarithms of some hundreds, whose last digits are 1e-13, over 1e-5; of the rule's error 1e-11.
        np.testing.assert_allclose(slopes[3 + k] * at[k], ended, rtol=1e-6, atol=2e-6)
        np.testing.assert_allclose(slopes[k] * at[k] if k < 3 else 0.0, bought, rtol=1e-6, atol=2e-6)


def test_the_unit_of_time_is_a_factor_of_the_density():
    T, start, size, times = SEEN
    weeks = likelihoods((0.5, 6.0, 0.01, 0.6, 11.6)).sum(axis=0)
    days = likelihoods((0.5, 42.0, 0.01 / 7, 0.6, 7 * 11.6), (7 * T, start, size, 7 * times)).sum(axis=0)
    np.testing.assert_allclose(days + size * math.log(7), weeks, rtol=1e-12, atol=1e-10)


def last_mixture(purchases, until, r, alpha, kappa):
    p, work = np.zeros(purchases + 2), drifting.room_for(purchases)
    times = np.sort(RNG.uniform(0.1, until, purchases))
    low, high, theta, _ = drifting.after_last(p, times, r, alpha, kappa, work, 1e-15)
    return p[low : high + 1].copy(), low, theta


def in_panels(mixture, least, theta, silence, r, alpha, kappa, s, b, shortest):
    """Return P(silent, left) by twelve nodes in each of many short panels."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = shortest * np.expm1(np.linspace(0, math.log1p(silence / shortest), 240))
    half = np.diff(edges)[:, None] / 2
    d = (edges[:-1, None] + half * (1 + nodes)).ravel()
    # As ``leaving`` with one who is sure to stay: its heights alone.
    silent = [
        drifting.log_silence(mixture, 0, mixture.size - 1, theta, each, r, alpha, kappa, 1.0) for each in d
    ]
    kept = [sum(drifting.quiet(theta, each, alpha, kappa, 1.0)[2:]) for each in d]
    height = np.exp(np.array(silent) + least * np.log(kept) - (s + 1) * np.log1p(d / b))
    return s / b * float((half * weights).ravel() @ height)


def test_the_rule_is_as_good_as_a_finer_one():
    room = drifting_lifetime.room_to_leave()
    for _ in range(250):
        r, mean = np.exp(RNG.uniform(-3, 3.5)), np.exp(RNG.uniform(-6, 3))
        kappa, s, b = np.exp(RNG.uniform([math.log(1e-9), -2.5, -3], [math.log(1e4), 3, 7]))
        silence, until = np.exp(RNG.uniform(-5, 7)), 40 * np.exp(RNG.uniform(-3, 0))
        alpha = r / mean
        mixture, least, theta = last_mixture(int(RNG.choice([0, 1, 5, 30, 400])), until, r, alpha, kappa)
        given = (mixture, least, theta, silence, r, alpha, kappa, s, b)
        _, _, left = drifting_lifetime.leaving(*given, *room)
        shortest = 1 / (1 / (alpha + theta) + (r + least) / (alpha + theta) + (s + 1) / b + kappa)
        assert left == pytest.approx(in_panels(*given, shortest), rel=1e-9)


CASES = {
    "ordinary": ((3.0, 3.5, 9.0), 25.0, (0.8, 6.0, 0.05), (0.7, 10.0)),
    "leaving": ((0.3, 0.9, 1.0, 1.4, 2.2), 6.0, (2.0, 1.0, 0.7), (5.0, 3.0)),
    "new": ((), 30.0, (1.5, 5.0, 0.1), (0.5, 4.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_paths_give_the_same_likelihood(name):
    """A particle is a path of the rate and a lifetime; one that has left buys nothing for sure."""
    times, T, (r, alpha, kappa), (s, beta) = CASES[name]
    rng, number, batches, each = np.random.default_rng(3), 20_000, 8, []
    for _ in range(batches):
        rate = rng.gamma(r, 1 / alpha, number)
        lifetime = beta * np.expm1(rng.standard_exponential(number) / s)
        log_weight, before = np.zeros(number), 0.0
        for end, bought in [*((t, True) for t in times), (T, False)]:
            count = max(1, math.ceil((end - before) / T * 100))
            h = (end - before) / count
            c = 2 * alpha / (1 - math.exp(-kappa * h))
            for step in range(count):
                later = rng.noncentral_chisquare(2 * r, c * math.exp(-kappa * h) * rate) / c
                there = np.clip((lifetime - before) / h - step, 0.0, 1.0)
                log_weight -= h * (rate + (later - rate) * there / 2) * there
                rate = later
            if bought:
                log_weight += np.where(lifetime > end, np.log(rate), -np.inf)
            before = end
        each.append(special.logsumexp(log_weight) - math.log(number))
    seen = (np.array([T]), np.zeros(1), np.array([float(len(times))]), np.array(times))
    exact = likelihoods((r, alpha, kappa, s, beta), seen).sum()
    error = np.std(each, ddof=1) / math.sqrt(batches)
    # The logarithm of a mean is too low by half its variance; a trapezoid's error in (T / 100)² is below 1e-3.
    bias = np.var(each, ddof=1) / 2
    assert abs(np.mean(each) + bias - exact) < 4.5 * error + 1e-3
    assert error < 0.05


def wide(point, seen, s, beta):
    """Return r, alpha, kappa, s, beta as (row, 1), and ``Drifting``."""
    full = (seen[0].size, 1)
    values = [np.full(full, each) for each in (*point, s, beta)]
    T, start, size, times = seen
    return values, drifting_states.Drifting(
        *drifting_states.states(T[:, None], start, size, times[:, None], *values[:3])
    )


@pytest.mark.parametrize(("s", "beta"), LIFETIMES)
def test_without_drift_forecasts_are_those_of_pareto_nbd(s, beta):
    seen = base((0, 1, 5, 40))
    T, _, x, _ = seen
    (r, alpha, kappa, shape, scale), rates = wide((0.5, 6.0, 1e-12), seen, s, beta)
    columns = {"frequency": x[:, None], "recency": recency(seen)[:, None], "T": T[:, None]}
    params = {"r": 0.5, "alpha": 6.0, "s": s, "beta": beta}
    since = (T - recency(seen), rates, r, alpha, kappa, shape, scale + columns["recency"])
    chance = forecasts.alive(*since)
    np.testing.assert_allclose(chance, pareto_nbd.alive(columns, params), rtol=1e-8)
    rate, dropout = forecasts.means_of_left(*since)
    bought, leaving = pareto_nbd.latent_means(columns, params)
    now = rates.mean[:, :, 1]
    np.testing.assert_allclose(chance * now + (1 - chance) * rate, bought, rtol=1e-8)
    mixed = chance * shape / (scale + columns["T"]) + (1 - chance) * dropout
    np.testing.assert_allclose(mixed, leaving, rtol=1e-8)
    for t in (0.0, 1.0, 39.0, 400.0):
        b = scale + columns["T"]
        worth = forecasts.discounted(now, r, alpha, kappa, shape, b, t, 0.002)
        expected = gamma_lifetime.discounted_purchases(0.5 + x, 6.0 + T, s, beta + T, t, 0.002)
        np.testing.assert_allclose(worth[:, 0], expected, rtol=1e-8)
        found = forecasts.count_pmf(30, t, rates, r, alpha, kappa, shape, b)[:, :, 0]
        counts, at = np.arange(31.0)[:, None], t / (6.0 + T)
        expected = gamma_lifetime.purchases_exactly(counts, 0.5 + x, at, s, (6.0 + T) / (beta + T))
        np.testing.assert_allclose(found, expected, atol=5e-9)


@pytest.mark.parametrize("t", [1.0, 20.0])
@pytest.mark.parametrize("point", RATES)
def test_probabilities_add_up_and_have_the_mean(point, t):
    seen = base((0, 1, 5, 20))
    for s, beta in LIFETIMES:
        (r, alpha, kappa, shape, scale), rates = wide(point, seen, s, beta)
        b = scale + seen[0][:, None]
        chance = forecasts.count_pmf(1500, t, rates, r, alpha, kappa, shape, b)[:, :, 0]
        # The rule's error is below 1e-9.
        np.testing.assert_allclose(chance.sum(axis=0), 1.0, atol=1e-9)
        mean = forecasts.discounted(rates.mean[:, :, 1], r, alpha, kappa, shape, b, t, 0.0)[:, 0]
        np.testing.assert_allclose(np.arange(1501) @ chance, mean, rtol=1e-7, atol=3e-9)


@pytest.mark.parametrize("kappa", [1e-9, 0.05, 3.0])
def test_who_left_is_drawn_with_the_density_of_leaving(kappa):
    """The times of leaving have the integral's shares, and rates drawn at them the means."""
    seen, number = base((4,), after=60.0), 8_000
    (r, alpha, kappas, s, beta), rates = wide((0.8, 5.0, kappa), seen, 1.5, 20.0)
    b, silence = beta + recency(seen)[:, None], seen[0] - recency(seen)
    shared = drifting_states.Drifting(*(np.repeat(each, number, 1) for each in rates[:-1]), rates.mixture)
    words = np.random.default_rng(5).integers(0, 2**64, (1, number), dtype=np.uint64)
    several = [np.repeat(each, number, 1) for each in (r, alpha, kappas, s, b)]
    stay, shape, scale = forecasts.drawn_left(words < 0, words, silence, shared, *several)
    at = rates.mixture[: rates.count[0, 0, 0]], rates.least[0, 0, 0], rates.scale[0, 0, 0] - 5.0
    room = drifting_lifetime.room_to_leave()
    _, _, whole = drifting_lifetime.leaving(*at, silence[0], 0.8, 5.0, kappa, 1.5, b[0, 0], *room)
    uniform = np.empty(400)
    for i, d in enumerate(stay[0, :400]):
        uniform[i] = drifting_lifetime.leaving(*at, d, 0.8, 5.0, kappa, 1.5, b[0, 0], *room)[2] / whole
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    bought, gone = forecasts.means_of_left(silence, rates, r, alpha, kappas, s, b)
    for sample, mean in ((shape / scale, bought), (2.5 / (b + stay), gone)):
        assert abs(sample.mean() - mean[0, 0]) < 4.5 * sample.std() / math.sqrt(number)
