"""The filter of a drifting rate: against paths, against no drift, against its own differences."""

import math

import numpy as np
import pytest
from scipy import special

from bayes_clv.distributions.poisson import drifting, drifting_forecasts, drifting_states
from bayes_clv.distributions.poisson.beta_dropout import purchases_while_alive, survival_while_alive
from bayes_clv.distributions.poisson.gamma_poisson import count_pmf

RNG = np.random.default_rng(7)
SIZES = (0, 0, 1, 1, 2, 3, 5, 8, 20, 60, 150)
POINTS = [(0.24, 4.4, 0.005), (1.3, 0.5, 0.1), (0.5, 6.0, 2.0), (30.0, 20.0, 0.02), (0.5, 6.0, 1e-9)]


def base(sizes=SIZES, last=40.0):
    """Return T, start, size, times of customers with so many purchases."""
    times = [np.sort(RNG.uniform(0.1, last, n)) for n in sizes]
    size = np.array(sizes, dtype=float)
    return last + RNG.uniform(0.5, 10, len(sizes)), np.cumsum(size) - size, size, np.concatenate(times)


SEEN = base()


def filtered(point, seen=SEEN):
    ones = np.ones(seen[0].size)
    return np.array(drifting.log_likelihoods(*seen, *(each * ones for each in point)))


def static(r, alpha, T, size):
    return special.gammaln(r + size) - special.gammaln(r) + r * np.log(alpha) - (r + size) * np.log(alpha + T)


def test_without_drift_it_is_nbd():
    T, _, size, _ = SEEN
    found = filtered((0.24, 4.4, 1e-12)).sum(axis=0)
    np.testing.assert_allclose(found, static(0.24, 4.4, T, size), rtol=1e-11, atol=1e-8)


def test_a_rate_that_forgets_at_once_is_the_mean_rate():
    T, start, size, times = base((1, 2, 5))
    found = filtered((2.0, 8.0, 1e7), (T, start, size, times)).sum(axis=0)
    # Poisson of rate r / alpha; each purchase comes in a time of 1 / kappa in which the rate is one draw of the Gamma.
    np.testing.assert_allclose(found, size * math.log(2.0 / 8.0) - T * 2.0 / 8.0, atol=1e-4)


@pytest.mark.parametrize("point", POINTS)
def test_slopes_are_differences(point):
    ones = np.ones(SEEN[0].size)
    slopes = drifting.slopes(*SEEN, *(each * ones for each in point))
    for k in range(3):
        step = 1e-5 * point[k]
        ends = [filtered([each + sign * step * (i == k) for i, each in enumerate(point)]) for sign in (1, -1)]
        for which in range(2):
            expected = (ends[0][which] - ends[1][which]) / (2 * step) * point[k]
            found = slopes[3 * which + k] * point[k]
            # Differences of logarithms of some hundreds, whose last digits are 1e-13, over 1e-5.
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-7)


def test_the_unit_of_time_is_a_factor_of_the_density():
    T, start, size, times = SEEN
    weeks = filtered((0.5, 6.0, 0.01)).sum(axis=0)
    days = filtered((0.5, 42.0, 0.01 / 7), (7 * T, start, size, 7 * times)).sum(axis=0)
    np.testing.assert_allclose(days + size * math.log(7), weeks, rtol=1e-12, atol=1e-10)


def test_terms_far_from_the_others_are_dropped_without_harm():
    """Horner's rule, which keeps all of them, gives the same as the trimmed Taylor shift."""
    seen = base((200,))
    point = (1.2, 0.3, 0.004)
    kept = filtered(point, seen)
    p, work = np.zeros(202), drifting.room_for(200)
    p[0] = 1.0
    theta, last, total = 0.0, 0.0, 0.0
    for high, time in enumerate(seen[3]):
        theta, log_mass, lost, share = drifting.quiet(theta, time - last, point[1], point[2], 1.0)
        drifting.composed(p, 0, high, lost, share, work[2])
        p[1 : high + 2] = p[: high + 1] * (point[0] + np.arange(high + 1)) / (point[1] + theta)
        p[0], last = 0.0, time
        total += point[0] * log_mass + math.log(p.sum())
        p /= p.sum()
    assert kept[0, 0] == pytest.approx(total, rel=1e-13, abs=1e-10)


def particles(times, T, r, alpha, kappa, number, rng, step):
    """Return the log density of the purchases and of the silence since, by paths in small steps."""
    rate, log_weight, before = rng.gamma(r, 1 / alpha, number), np.zeros(number), 0.0
    for end, bought in [*((t, True) for t in times), (T, False)]:
        count = max(1, math.ceil((end - before) / step))
        h = (end - before) / count
        c = 2 * alpha / (1 - math.exp(-kappa * h))
        for _ in range(count):
            # 2 c' lambda' is non-central chi-square, the exact transition; the integral is a trapezoid.
            later = rng.noncentral_chisquare(2 * r, c * math.exp(-kappa * h) * rate) / c
            log_weight -= h * (rate + later) / 2
            rate = later
        log_weight += np.log(rate) if bought else 0.0
        before = end
    return special.logsumexp(log_weight) - math.log(number)


CASES = {
    "ordinary": ((3.0, 3.5, 9.0), 15.0, 0.8, 6.0, 0.05),
    "fast": ((0.3, 0.9, 1.0, 1.4, 2.2), 3.0, 2.0, 1.0, 0.7),
    "rare": ((400.0,), 2000.0, 0.3, 900.0, 0.0008),
}


def assert_paths_agree(case, number, batches, steps, seed):
    times, T, r, alpha, kappa = case
    rng = np.random.default_rng(seed)
    each = [particles(times, T, r, alpha, kappa, number, rng, T / steps) for _ in range(batches)]
    seen = (np.array([T]), np.zeros(1), np.array([float(len(times))]), np.array(times))
    exact = filtered((r, alpha, kappa), seen).sum()
    error = np.std(each, ddof=1) / math.sqrt(batches)
    # The logarithm of a mean is too low by half its variance; a trapezoid's error in (T / steps)² is below 1e-3.
    bias = np.var(each, ddof=1) / 2
    assert abs(np.mean(each) + bias - exact) < 4.5 * error + 1e-3
    assert error < 0.05


@pytest.mark.parametrize("name", CASES)
def test_paths_give_the_same_likelihood(name):
    assert_paths_agree(CASES[name], 20_000, 8, 60, seed=3)


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_a_million_paths_give_the_same_likelihood(name):
    assert_paths_agree(CASES[name], 125_000, 8, 200, seed=4)


def particle_filter(times, T, r, alpha, kappa, number, rng, steps):
    """Return the log density as ``particles`` does, the paths chosen again after each purchase by their weights.

    Between two steps a path is about a bridge, whose integral has a variance of 2 kappa rate h³ / (12 alpha) about the
    trapezoid: half of it is added, as of any exponential's mean.
    """
    rate, total, before = rng.gamma(r, 1 / alpha, number), 0.0, 0.0
    for end, bought in [*((t, True) for t in times), (T, False)]:
        h = (end - before) / steps
        c = 2 * alpha / -math.expm1(-kappa * h)
        log_weight = np.zeros(number)
        for _ in range(steps):
            later = rng.noncentral_chisquare(2 * r, c * math.exp(-kappa * h) * rate) / c
            log_weight -= (h - kappa * h**3 / (12 * alpha)) * (rate + later) / 2
            rate = later
        log_weight += np.log(rate) if bought else 0.0
        most = log_weight.max()
        weight = np.exp(log_weight - most)
        total += most + math.log(weight.mean())
        place = (np.arange(number) + rng.random()) / number
        rate = rate[np.searchsorted(np.cumsum(weight) / weight.sum(), place).clip(max=number - 1)]
        before = end
    return total


def assert_filters_agree(rate, purchases, batches, number, steps, seed):
    """A customer at the mean rate, who forgets half of what it differs by in forty of its waits."""
    rng = np.random.default_rng(seed)
    times, r = np.cumsum(rng.exponential(1 / rate, purchases)), 1.5
    T, alpha, kappa = times[-1] + 2 / rate, r / rate, rate * math.log(2) / 40
    each = [particle_filter(times, T, r, alpha, kappa, number, rng, steps) for _ in range(batches)]
    seen = (np.array([T]), np.zeros(1), np.array([float(purchases)]), times)
    exact = filtered((r, alpha, kappa), seen).sum()
    error = np.std(each, ddof=1) / math.sqrt(batches)
    bias = np.var(each, ddof=1) / 2
    # What is added is 6e-4 a purchase in three steps, and right within a tenth.
    assert abs(np.mean(each) + bias - exact) < 4.5 * error + 6e-5 * purchases
    assert error < 0.05


DECADES = (1e-3, 1e-1, 10.0, 1e3)


@pytest.mark.parametrize("rate", DECADES)
def test_a_particle_filter_gives_the_same_likelihood(rate):
    assert_filters_agree(rate, 20, 6, 4_000, 3, seed=5)


@pytest.mark.full
@pytest.mark.parametrize(("rate", "purchases"), [*((rate, 40) for rate in DECADES), (1.0, 400)])
def test_a_particle_filter_of_a_million_paths_gives_the_same_likelihood(rate, purchases):
    assert_filters_agree(rate, purchases, 8, 125_000, 3, seed=6)


def states(point, seen, draws=1):
    T, start, size, times = seen
    full = (T.size, draws)
    values = (np.full(full, each) for each in point)
    return drifting_states.Drifting(*drifting_states.states(T[:, None], start, size, times[:, None], *values))


def test_times_may_differ_between_draws():
    T, start, size, times = SEEN
    pace = np.array([1.0, 0.3, 5.0])
    full = [np.full((T.size, 3), each) for each in POINTS[1]]
    found = drifting_states.Drifting(
        *drifting_states.states(T[:, None] * pace, start, size, times[:, None] * pace, *full)
    )
    for s, each in enumerate(pace):
        alone = states(POINTS[1], (each * T, start, size, each * times))
        # A draw keeps what has weight in any draw beside it: at either end 1e-12 of a mixture, a purchase at a time.
        np.testing.assert_allclose(found.mean[:, s], alone.mean[:, 0], rtol=1e-11)
        np.testing.assert_allclose(found.silent[:, s], alone.silent[:, 0], rtol=1e-11, atol=1e-11)


def test_many_draws_at_once_say_what_each_says_alone():
    """More draws than a block, all different, of histories that are filtered together and of one that is not."""
    rng, draws = np.random.default_rng(3), 70
    T, start, size, times = base((0, 1, 2, 7, 30, 60))
    r, alpha = rng.gamma(20, 0.03, (T.size, draws)), rng.gamma(50, 0.12, (T.size, draws))
    kappa = np.exp(rng.normal(-4, 1.5, (T.size, draws)))
    found = drifting_states.Drifting(
        *drifting_states.states(T[:, None], start, size, times[:, None], r, alpha, kappa)
    )
    for s in range(draws):
        _, silent = drifting.log_likelihoods(T, start, size, times, r[:, s], alpha[:, s], kappa[:, s])
        # The likelihood's own filter keeps 1e-15, this one 1e-12, after each of up to 60 purchases.
        np.testing.assert_allclose(found.silent[:, s], silent, rtol=1e-9, atol=1e-9)
        for i in range(T.size):
            p, work = np.zeros(int(size[i]) + 2), drifting.room_for(int(size[i]))
            own = times[int(start[i]) : int(start[i] + size[i])]
            last = own[-1] if own.size else 0.0
            law = r[i, s], alpha[i, s], kappa[i, s]
            low, high, theta, _ = drifting.after_last(p, own, *law, work, 1e-15)
            low, high, theta, _ = drifting.silenced(p, low, high, theta, T[i] - last, *law, work, 1e-15)
            assert found.scale[i, s, 1] == pytest.approx(law[1] + theta, rel=1e-10)
            at, count, least = (each[i, s, 1] for each in (found.place, found.count, found.least))
            full = np.zeros(p.size)
            full[least : least + count] = found.mixture[at : at + count]
            kept = np.where((np.arange(p.size) >= low) & (np.arange(p.size) <= high), p, 0.0)
            np.testing.assert_allclose(full, kept, atol=1e-10)


@pytest.mark.parametrize("t", [1.0, 39.0, 400.0])
def test_without_drift_forecasts_are_those_of_a_constant_rate(t):
    T, start, size, times = base((0, 1, 5, 40))
    point = (0.5, 6.0, 1e-11)
    full = (T.size, 1)
    wide = [np.full(full, each) for each in point]
    k, scale = point[0] + size, point[1] + T
    for a, b in ((0.8, 1.5), (0.05, 0.03), (2.0, 60.0)):
        coin = np.full(full, a), np.full(full, b)
        rates = states(point, (T, start, size, times))
        found = drifting_forecasts.purchases(np.array([t]), rates, *wide, *coin)[0, :, 0]
        np.testing.assert_allclose(found, purchases_while_alive(k, t / scale, a, b), rtol=2e-8)
        six_digits = drifting_forecasts.expected_purchases(t, rates, *wide, *coin)[:, 0]
        np.testing.assert_allclose(six_digits, found, rtol=1e-6)
        found = drifting_forecasts.survival(np.array([t]), rates, *wide, *coin)[0, :, 0]
        np.testing.assert_allclose(found, survival_while_alive(k, t / scale, a, b), rtol=2e-8)
    found = drifting_forecasts.count_pmf(30, t, rates, *wide)[:, :, 0]
    expected = count_pmf(np.arange(31.0)[:, None], k, t / scale)
    np.testing.assert_allclose(found, expected, atol=3e-9)


@pytest.mark.parametrize("t", [1.0, 39.0])
@pytest.mark.parametrize("point", POINTS[:4])
def test_probabilities_add_up_and_have_the_mean(point, t):
    T, start, size, times = base((0, 1, 5, 40))
    wide = [np.full((T.size, 1), each) for each in point]
    rates = states(point, (T, start, size, times))
    chance = drifting_forecasts.count_pmf(1500, t, rates, *wide)[:, :, 0]
    np.testing.assert_allclose(chance.sum(axis=0), 1.0, atol=1e-11)
    # Each probability is wrong by some 1e-15; 1,500 of them, times up to 1,500, by 1e-9.
    nothing = np.zeros((T.size, 1))
    mean = drifting_forecasts.purchases(np.array([t]), rates, *wide, nothing, nothing + 1)[0, :, 0]
    np.testing.assert_allclose(np.arange(1501) @ chance, mean, rtol=1e-8, atol=3e-9)
    # And with a coin: the n-th purchase is made by those who survived the tosses before.
    a, b = 0.7, 1.9
    share = np.exp(special.betaln(a, b + np.arange(1501)) - special.betaln(a, b))
    reached = chance[::-1].cumsum(axis=0)[::-1]
    coin = nothing + a, nothing + b
    found = drifting_forecasts.purchases(np.array([t]), rates, *wide, *coin)[0, :, 0]
    np.testing.assert_allclose(found, share[:-1] @ reached[1:], rtol=1e-8, atol=3e-9)
    six_digits = drifting_forecasts.expected_purchases(t, rates, *wide, *coin)[:, 0]
    np.testing.assert_allclose(six_digits, found, rtol=1e-6)
    found = drifting_forecasts.survival(np.array([t]), rates, *wide, *coin)[0, :, 0]
    np.testing.assert_allclose(found, share @ chance, rtol=1e-8, atol=3e-9)
