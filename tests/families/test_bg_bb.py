"""BG/BB: likelihood, simulator, latent draws and forecasts describe one process, and agree with mpmath."""

import itertools

import mpmath as mp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special, stats

from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_bb = paper("bg_bb")


# As in test_agreement: one false alarm in 150,000 comparisons.
SIGMAS = 4.5
DONORS = (1.204, 0.750, 0.657, 2.783)
SHAPES = [DONORS, (0.6, 1.4, 1.0, 3.0), (30.0, 50.0, 2.0, 9.0)]
HISTORIES = [(0, 0, 6), (1, 1, 6), (3, 4, 6), (6, 6, 6)]
MEMBERS = 200_000


@pytest.fixture(scope="module")
def graph():
    """Return a function (shapes, x, t_x, n) -> log-likelihood of each row, then its gradients."""
    params = {name: pt.dscalar(name) for name in bg_bb.PARAMETERS}
    columns = [pt.dvector(name) for name in bg_bb.OBSERVED]
    value = bg_bb.log_likelihood(params, *columns)
    gradients = pytensor.grad(value.sum(), list(params.values()))
    return pytensor.function([*params.values(), *columns], [value, *gradients], mode=AS_WRITTEN)


@pytest.fixture(scope="module")
def followed():
    """Histories after 6 opportunities and the purchases at 5 more, tossed one by one, at DONORS."""
    rng = np.random.default_rng(1)
    p, theta = rng.beta(*DONORS[:2], MEMBERS), rng.beta(*DONORS[2:], MEMBERS)
    alive, bought = np.ones(MEMBERS, dtype=bool), np.zeros((11, MEMBERS), dtype=bool)
    living = np.zeros((11, MEMBERS), dtype=bool)
    for i in range(11):
        alive &= rng.random(MEMBERS) >= theta
        living[i] = alive
        bought[i] = alive & (rng.random(MEMBERS) < p)
    x = bought[:6].sum(axis=0)
    t_x = (bought[:6] * np.arange(1, 7)[:, None]).max(axis=0)
    return x, t_x, bought[6:].sum(axis=0), living[5], living[-1]


def patterns(n):
    """Return every (x, t_x) of n opportunities and the number of orders in which it can come about."""
    pairs = [(0, 0)] + [(x, t_x) for t_x in range(1, n + 1) for x in range(1, t_x + 1)]
    x, t_x = np.array(pairs, dtype=float).T
    ways = np.where(x > 0, special.binom(np.maximum(t_x - 1, 0), np.maximum(x - 1, 0)), 1.0)
    return x, t_x, ways


def assert_mean(sample, expected):
    """Hold a sample's mean to SIGMAS standard errors; of shares those of the expected share.

    A share may rest on a handful of cases: Bernstein's bound adds SIGMAS^2 / 3 of them.
    """
    sample = np.asarray(sample)
    if sample.dtype == bool:
        error = SIGMAS * np.sqrt(expected * (1 - expected) / sample.size) + SIGMAS**2 / 3 / sample.size
        assert abs(sample.mean() - expected) <= error
        return
    sample = sample.astype(float)
    assert abs(sample.mean() - expected) <= SIGMAS * sample.std() / np.sqrt(sample.size) + 1e-12


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("n", [1, 6, 40])
def test_the_likelihood_sums_to_one(graph, shapes, n):
    x, t_x, ways = patterns(n)
    likelihood = np.exp(graph(*shapes, x, t_x, np.full(x.size, float(n)))[0])
    assert ways @ likelihood == pytest.approx(1, abs=1e-12)


def test_the_likelihood_is_that_of_each_order_of_purchases(graph):
    """By quadrature over p and theta of the chance of each of the 16 orders of 4 opportunities."""
    nodes, weights = special.roots_jacobi(40, DONORS[1] - 1, DONORS[0] - 1)
    p, w_p = (nodes + 1) / 2, weights / weights.sum()
    nodes, weights = special.roots_jacobi(40, DONORS[3] - 1, DONORS[2] - 1)
    theta, w_t = (nodes + 1) / 2, weights / weights.sum()
    for order in itertools.product((0, 1), repeat=4):
        t_x = max((i + 1 for i in range(4) if order[i]), default=0)
        chance = 0
        for stays in range(t_x, 5):
            lives = (1 - theta) ** stays * (theta if stays < 4 else 1)
            buys = p ** sum(order) * (1 - p) ** (stays - sum(order))
            chance += (w_p @ buys) * (w_t @ lives)
        value = graph(*DONORS, [float(sum(order))], [float(t_x)], [4.0])[0][0]
        assert value == pytest.approx(np.log(chance), abs=1e-11)


def printed(x, t_x, n, alpha, beta, gamma, delta):
    """Return the likelihood and its alive part as the paper has them."""
    x, t_x, n = (mp.mpf(int(v)) for v in (x, t_x, n))
    alpha, beta, gamma, delta = map(mp.mpf, (alpha, beta, gamma, delta))
    norm = mp.beta(alpha, beta) * mp.beta(gamma, delta)
    alive = mp.beta(alpha + x, beta + n - x) * mp.beta(gamma, delta + n) / norm
    gone = mp.fsum(
        mp.beta(alpha + x, beta + t_x - x + i) * mp.beta(gamma + 1, delta + t_x + i) / norm
        for i in range(int(n - t_x))
    )
    return alive + gone, alive


def gauss(b, c, z):
    """Return 2F1(1, b; c; z); mpmath does not end for b in the thousands, where the series is short."""
    if b < 2000:
        return mp.hyp2f1(1, b, c, z)
    total = term = mp.mpf(1)
    for k in range(100_000):
        term *= (b + k) / (c + k) * z
        total += term
        if term < total * mp.mpf(10) ** -20:
            return total
    raise AssertionError("the series is not short")


REFERENCE = [
    *((*h, *s) for h in HISTORIES for s in SHAPES),
    (0, 0, 1000, *DONORS),
    (1, 3, 1000, *DONORS),
    (500, 500, 1000, *DONORS),
    (999, 1000, 1000, 0.01, 1e3, 1e-3, 5.0),
    (3, 30, 60, 1e-3, 1e-3, 1e-3, 1e-3),
    (3, 30, 60, 1e5, 1e5, 1e4, 1e6),
    (0, 0, 0, *DONORS),
]


@pytest.mark.parametrize("row", REFERENCE)
def test_likelihood_alive_and_forecasts_agree_with_mpmath(graph, row):
    """1e-9 of the closed forms in print: likelihood, P(alive) one later, E[Y(5)] and DERT (eq. 14)."""
    *history, alpha, beta, gamma, delta = row
    x, _, n = history
    with mp.workdps(60):
        likelihood, alive = printed(*row)
        value = graph(alpha, beta, gamma, delta, *([float(v)] for v in history))[0][0]
        assert abs(value - float(mp.log(likelihood))) < 1e-9 * max(1.0, abs(value))
        assert float(bg_bb.probability_alive(*row)) == pytest.approx(float(alive / likelihood), rel=1e-9)
        a, b, g, d = map(mp.mpf, (alpha, beta, gamma, delta))
        later = mp.beta(a + x, b + n - x) * mp.beta(g, d + n + 1) / mp.beta(a, b) / mp.beta(g, d) / likelihood
        assert float(bg_bb.survival(1, *row)) == pytest.approx(float(later), rel=1e-9)
        # The paper's E[Y] has gamma - 1 below the line: the limit by moving gamma, at 60 digits.
        g_off = g if g != 1 else g + mp.mpf(10) ** -25
        head = mp.beta(a + x + 1, b + n - x) / mp.beta(a, b) / likelihood * d / (g_off - 1) * mp.gamma(g + d)
        ends = [
            mp.exp(mp.loggamma(1 + d + n + m) - mp.loggamma(g_off + d + n + m) - mp.loggamma(1 + d))
            for m in (0, 5)
        ]
        assert float(bg_bb.expected_purchases(5, *row)) == pytest.approx(
            float(head * (ends[0] - ends[1])), rel=1e-9
        )
        for rate in (0.1, 0.001):
            z = 1 / (1 + mp.mpf(rate))
            dert = mp.beta(a + x + 1, b + n - x) / mp.beta(a, b) * mp.beta(g, d + n + 1) / mp.beta(g, d) * z
            dert *= gauss(d + n + 1, g + d + n + 1, z) / likelihood
            found = float(bg_bb.discounted_residual_transactions(rate, *row))
            assert found == pytest.approx(float(dert), rel=1e-9)


def test_published_forecasts_of_the_donors():
    """P(alive in 2002) .93 of one who always gave; BTYD's 0.13 and 3.63 at the estimates printed to 3 digits."""
    assert float(bg_bb.survival(1, 6, 6, 6, *DONORS)) == pytest.approx(0.93, abs=0.005)
    assert float(bg_bb.expected_purchases(10, 0, 0, 6, *DONORS)) == pytest.approx(0.1302, abs=5e-4)
    assert float(bg_bb.expected_purchases(10, 4, 5, 6, *DONORS)) == pytest.approx(3.6279, abs=5e-3)


@pytest.mark.parametrize("gamma", [1 - 1e-9, 1.0, 1 + 1e-9])
def test_gamma_of_one_is_an_ordinary_value(gamma):
    """The sum over opportunities of the chance to be alive, at 1,000 of them; gamma moves it by less than 1e-8."""
    chance = np.exp(special.betaln(1.0, 3.0 + np.arange(1, 1001)) - special.betaln(1.0, 3.0))
    expected = 0.6 / 2.0 * chance.sum()
    assert bg_bb.expected_purchases(1000, 0, 0, 0, 0.6, 1.4, gamma, 3.0) == pytest.approx(expected, rel=2e-8)


def test_the_simulator_follows_the_likelihood(graph):
    rng = np.random.default_rng(2)
    for n in (6, 1):
        x, t_x, ways = patterns(n)
        chance = ways * np.exp(graph(*DONORS, x, t_x, np.full(x.size, float(n)))[0])
        frequency, recency = bg_bb.simulate(rng, np.full(MEMBERS, n), *DONORS)
        for i in range(x.size):
            assert_mean((frequency == x[i]) & (recency == t_x[i]), chance[i])


def test_customers_tossed_one_by_one_follow_the_likelihood_too(graph, followed):
    x, t_x, *_ = followed
    every_x, every_t, ways = patterns(6)
    chance = ways * np.exp(graph(*DONORS, every_x, every_t, np.full(every_x.size, 6.0))[0])
    for i in range(every_x.size):
        assert_mean((x == every_x[i]) & (t_x == every_t[i]), chance[i])


def test_forecasts_are_right_on_average_over_futures_tossed_one_by_one(followed):
    x, t_x, future, alive, alive_later = followed
    histories = np.unique(np.stack([x, t_x]), axis=1).T
    for history in histories:
        among = (x == history[0]) & (t_x == history[1])
        row = (*history, 6, *DONORS)
        assert_mean(alive[among], float(bg_bb.probability_alive(*row)))
        assert_mean(alive_later[among], float(bg_bb.survival(5, *row)))
        assert_mean(future[among], float(bg_bb.expected_purchases(5, *row)))
        for y in (0, 1, 3, 5):
            assert_mean(future[among] == y, float(bg_bb.purchases_pmf(y, 5, *row)))


@pytest.mark.parametrize("history", HISTORIES)
def test_latent_draws_have_the_closed_form_means_and_the_forecast_future(history):
    rng = np.random.default_rng(3)
    alive, p, theta = bg_bb.latent_draws(rng, *(np.full(MEMBERS, h) for h in history), *DONORS)
    row = (*history, *DONORS)
    assert_mean(alive, float(bg_bb.probability_alive(*row)))
    means = bg_bb.latent_means(*row)
    assert_mean(p, float(means[0]))
    assert_mean(theta, float(means[1]))
    left = rng.geometric(np.maximum(theta, 1e-12)) - 1
    future = alive * rng.binomial(np.minimum(left, 5), p)
    assert_mean(future, float(bg_bb.expected_purchases(5, *row)))
    assert_mean(future == 2, float(bg_bb.purchases_pmf(2, 5, *row)))
    assert_mean(alive & (left >= 5), float(bg_bb.survival(5, *row)))


def test_latent_draws_are_the_posterior_of_the_probabilities():
    """E[p theta | history], not a product of means, by quadrature of the individual likelihood."""
    x, t_x, n = 2, 3, 5
    nodes, weights = special.roots_jacobi(60, DONORS[1] - 1, DONORS[0] - 1)
    p, w_p = (nodes + 1) / 2, weights
    nodes, weights = special.roots_jacobi(60, DONORS[3] - 1, DONORS[2] - 1)
    theta, w_t = (nodes + 1) / 2, weights
    moments = np.zeros(2)
    for stays in range(t_x, n + 1):
        lives = w_t * (1 - theta) ** stays * (theta if stays < n else 1)
        buys = w_p * p**x * (1 - p) ** (stays - x)
        moments += buys.sum() * lives.sum(), (buys * p).sum() * (lives * theta).sum()
    rng = np.random.default_rng(4)
    _, drawn_p, drawn_theta = bg_bb.latent_draws(rng, *(np.full(MEMBERS, h) for h in (x, t_x, n)), *DONORS)
    assert_mean(drawn_p * drawn_theta, moments[1] / moments[0])


@pytest.mark.parametrize("history", [*HISTORIES, (0, 0, 0), (40, 200, 300)])
@pytest.mark.parametrize("ahead", [1, 5, 60])
def test_the_pmf_sums_to_one_and_its_mean_is_the_expected_purchases(history, ahead):
    y = np.arange(ahead + 1)
    pmf = bg_bb.purchases_pmf(y, ahead, *history, *DONORS)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    assert y @ pmf == pytest.approx(float(bg_bb.expected_purchases(ahead, *history, *DONORS)), rel=1e-11)
    assert bg_bb.purchases_pmf(ahead + 1, ahead, *history, *DONORS) == 0
    assert bg_bb.purchases_pmf(-1, ahead, *history, *DONORS) == 0


def test_discounting_adds_up_the_expected_purchases_of_each_opportunity():
    """DERT is the sum of E[Y(k)] - E[Y(k-1)] over 1.1^k; at k = 400 what is left is below 1e-16."""
    for history in HISTORIES:
        total = bg_bb.expected_purchases(np.arange(401), *history, *DONORS)
        by_hand = (np.diff(total) / 1.1 ** np.arange(1, 401)).sum()
        assert bg_bb.discounted_residual_transactions(0.1, *history, *DONORS) == pytest.approx(
            by_hand, rel=1e-10
        )


def test_without_discount_the_sum_exists_only_above_a_gamma_of_one():
    alpha, beta, _, delta = DONORS
    assert np.isinf(bg_bb.discounted_residual_transactions(0.0, 3, 4, 6, *DONORS))
    assert np.isinf(bg_bb.expected_purchases(np.inf, 3, 4, 6, alpha, beta, 1.0, delta))
    assert np.isnan(bg_bb.discounted_residual_transactions(-0.1, 3, 4, 6, *DONORS))
    alive = bg_bb.probability_alive(3, 4, 6, alpha, beta, 1.5, delta)
    expected = alive * (alpha + 3) / (alpha + beta + 6) * (delta + 6) / 0.5
    assert bg_bb.discounted_residual_transactions(0.0, 3, 4, 6, alpha, beta, 1.5, delta) == pytest.approx(
        expected
    )


def test_without_dropout_it_is_the_beta_binomial():
    immortal = (1.204, 0.750, 1e-13, 2.783)
    x, t_x = np.array([0, 3]), np.array([0, 4])
    np.testing.assert_allclose(bg_bb.probability_alive(x, t_x, 6, *immortal), 1, rtol=1e-10)
    expected = 5 * (1.204 + x) / (1.204 + 0.750 + 6)
    np.testing.assert_allclose(bg_bb.expected_purchases(5, x, t_x, 6, *immortal), expected, rtol=1e-10)
    pmf = bg_bb.purchases_pmf(np.arange(6), 5, 3, 4, 6, *immortal)
    np.testing.assert_allclose(pmf, stats.betabinom.pmf(np.arange(6), 5, 1.204 + 3, 0.750 + 3), rtol=1e-10)


def test_gradient_is_the_slope_of_the_log_likelihood(graph):
    columns = [np.array(column, dtype=float) for column in zip(*HISTORIES, (40, 200, 300), strict=True)]
    for shapes in SHAPES:
        point = np.array(shapes)
        _, *gradients = graph(*point, *columns)
        for i, gradient in enumerate(gradients):
            step = np.zeros(4)
            step[i] = 1e-5 * point[i]
            high, low = (graph(*(point + s), *columns)[0].sum() for s in (step, -step))
            # Central difference: truncation 1e-10 of it, rounding 1e-13 * 500 / step.
            assert gradient == pytest.approx((high - low) / (2 * step[i]), rel=1e-4, abs=1e-5)


def test_log_likelihood_and_its_gradient_are_finite_at_extremes(graph):
    rows = [
        (0, 0, 0),
        (0, 0, 1),
        (0, 0, 1000),
        (1, 1, 1000),
        (500, 500, 1000),
        (1, 1000, 1000),
        (1000, 1000, 1000),
    ]
    columns = [np.array(column, dtype=float) for column in zip(*rows, strict=True)]
    for shapes in itertools.product((1e-3, 1.0, 1e4), repeat=4):
        value, *gradients = graph(*shapes, *columns)
        assert np.isfinite(value).all(), shapes
        assert np.isfinite(gradients).all(), shapes


def test_draws_by_customers_is_every_pair_by_itself():
    rng = np.random.default_rng(5)
    draws = [value * rng.uniform(0.5, 2, (3, 1)) for value in DONORS]
    x, t_x, n = (np.array(column) for column in zip(*HISTORIES, strict=True))
    for function in (bg_bb.expected_purchases, bg_bb.survival, bg_bb.discounted_residual_transactions):
        together = function(2.0, x, t_x, n, *draws)
        assert together.shape == (3, 4)
        for d, c in itertools.product(range(3), range(4)):
            alone = function(2.0, x[c], t_x[c], n[c], *(float(v[d, 0]) for v in draws))
            assert together[d, c] == pytest.approx(float(alone), rel=1e-12)
    assert all(part.shape == (3, 4) for part in bg_bb.latent_draws(rng, x, t_x, n, *draws))
    assert all(part.shape == (3, 4) for part in bg_bb.latent_means(x, t_x, n, *draws))
    assert all(part.shape == (3, 4) for part in bg_bb.simulate(rng, n, *draws))
    assert np.isnan(bg_bb.expected_purchases(2.0, 1, 1, 6, np.nan, 1, 1, 1))


def test_parameters_are_means_and_concentrations():
    quantities = {
        "population_purchase_probability": 0.6,
        "purchase_concentration": 2.0,
        "population_dropout": 0.2,
        "dropout_concentration": 5.0,
    }
    assert set(quantities) == set(bg_bb.QUANTITIES)
    expected = dict(zip(bg_bb.PARAMETERS, (1.2, 0.8, 1.0, 4.0), strict=True))
    assert bg_bb.parameters(quantities) == pytest.approx(expected)
    assert set(bg_bb.MEANINGS) == {*bg_bb.PARAMETERS, *bg_bb.QUANTITIES}
    assert set(bg_bb.FAMILY.processes.values()) <= set(bg_bb.QUANTITIES)


def test_simulated_histories_are_possible_at_extreme_shapes():
    rng = np.random.default_rng(6)
    n = np.tile([0, 1, 6, 1000], 500)
    for shapes in ((1e-3, 1e-3, 1e-3, 1e-3), (1e4, 1.0, 1e-3, 1e4), (1e-3, 1e4, 1e4, 1e-3)):
        x, t_x = bg_bb.simulate(rng, n, *shapes)
        assert ((x <= t_x) & (t_x <= n) & (x >= 0)).all()
        assert ((t_x == 0) == (x == 0)).all()
