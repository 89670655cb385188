"""Contracts: likelihood, simulator, latent draws and forecasts of both families describe one process."""

import itertools

import mpmath as mp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special

from bayes_clv.distributions import survival as beta_survival
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bdw = paper("beta_discrete_weibull")
sbg = paper("shifted_beta_geometric")

SIGMAS = 4.5
MEMBERS = 200_000
# The published estimates of the high-end cohort, and shapes of another kind.
POINTS = [
    (sbg, (0.668, 3.806)),
    (sbg, (20.0, 60.0)),
    (bdw, (0.214, 1.427, 1.724)),
    (bdw, (2.0, 3.0, 0.4)),
]
NAMES = [f"{module.record.name}-{shapes}" for module, shapes in POINTS]
each_point = pytest.mark.parametrize(("module", "shapes"), POINTS, ids=NAMES)


def compiled(module):
    params = {name: pt.dscalar(name) for name in module.PARAMETERS}
    columns = [pt.dvector(name) for name in module.OBSERVED]
    value = module.log_likelihood(params, *columns)
    gradients = pytensor.grad(value.sum(), list(params.values()))
    return pytensor.function([*params.values(), *columns], [value, *gradients], mode=AS_WRITTEN)


@pytest.fixture(scope="module")
def graphs():
    return {module: compiled(module) for module in (sbg, bdw)}


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


def shape_c(shapes):
    return shapes[2] if len(shapes) == 3 else 1.0


def mp_survival(t, shapes):
    """Return S(t) at the working precision of mpmath."""
    a, b = map(mp.mpf, shapes[:2])
    return mp.beta(a, b + mp.mpf(t) ** mp.mpf(shape_c(shapes))) / mp.beta(a, b)


@each_point
@pytest.mark.parametrize("periods", [1, 7, 100])
def test_the_likelihood_sums_to_one(graphs, module, shapes, periods):
    renewals = np.append(np.arange(periods), periods).astype(float)
    active = np.append(np.zeros(periods), 1.0)
    assert np.exp(graphs[module](*shapes, renewals, active)[0]).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("module", "shapes"),
    [
        *POINTS,
        (sbg, (1e-3, 1e3)),
        (sbg, (1e5, 1e5)),
        (bdw, (1e-3, 1e3, 0.1)),
        (bdw, (0.5, 0.5, 6.0)),
        (bdw, (1e4, 1e5, 1.5)),
    ],
)
def test_the_likelihood_agrees_with_mpmath(graphs, module, shapes):
    """1e-9, and with all digits where the chance to leave is small (1e-3 of 1e-3 here)."""
    renewals = np.array([0, 1, 5, 100, 1000, 0, 5, 1000], dtype=float)
    active = np.array([0, 0, 0, 0, 0, 1, 1, 1], dtype=float)
    values = graphs[module](*shapes, renewals, active)[0]
    with mp.workdps(60):
        for m, still, value in zip(renewals, active, values, strict=True):
            chance = mp_survival(m, shapes) - (0 if still else mp_survival(m + 1, shapes))
            assert abs(value - float(mp.log(chance))) < 1e-9 * max(1.0, abs(value)), (m, still)


@each_point
def test_the_simulator_follows_the_likelihood(graphs, module, shapes):
    renewals, active = module.simulate(np.random.default_rng(1), np.full(MEMBERS, 7), *shapes)
    every = np.append(np.arange(7), 7).astype(float)
    still = np.append(np.zeros(7), 1.0)
    chance = np.exp(graphs[module](*shapes, every, still)[0])
    for m, a, p in zip(every, still, chance, strict=True):
        assert_mean((renewals == m) & (active == a), p)


@each_point
def test_customers_tossed_renewal_by_renewal_follow_the_forecasts(module, shapes):
    """Each customer's own chance to renew, ((1 - theta)^(t^c - (t-1)^c)), tossed; forecasts hold at each tenure."""
    rng = np.random.default_rng(2)
    theta, c = rng.beta(*shapes[:2], MEMBERS), shape_c(shapes)
    t = np.arange(1, 13)[:, None]
    stays = rng.random((12, MEMBERS)) < (1 - theta) ** (t**c - (t - 1) ** c)
    made = np.cumprod(stays, axis=0).sum(axis=0)
    for tenure in (0, 3):
        came = made[made >= tenure] - tenure
        assert_mean(came >= 1, float(module.retention_rate(tenure + 1, *shapes)))
        assert_mean(came >= 5, float(module.survival(5, tenure, 1, *shapes)))
        assert_mean(np.minimum(came, 5), float(module.expected_renewals(5, tenure, 1, *shapes)))
        for n in (0, 2, 5):
            assert_mean(np.minimum(came, 5) == n, float(module.renewals_pmf(n, 5, tenure, 1, *shapes)))


@each_point
@pytest.mark.parametrize("history", [(0, 1), (0, 0), (4, 1), (4, 0), (40, 0)])
def test_latent_draws_are_the_posterior_of_the_churn_probability(module, shapes, history):
    """First two moments by quadrature over the prior of the individual likelihood, and the closed-form mean."""
    renewals, active = history
    c = shape_c(shapes)
    nodes, weights = special.roots_jacobi(400, shapes[1] - 1, shapes[0] - 1)
    theta = (nodes + 1) / 2
    stays = (1 - theta) ** (renewals**c)
    likelihood = stays if active else stays - (1 - theta) ** ((renewals + 1) ** c)
    mass = weights * likelihood
    first, second = ((mass * theta**k).sum() / mass.sum() for k in (1, 2))
    columns = [np.full(MEMBERS, value) for value in history]
    drawn = module.latent_draws(np.random.default_rng(3), *columns, *shapes)
    assert_mean(drawn, first)
    assert_mean(drawn**2, second)
    assert float(module.latent_means(*history, *shapes)) == pytest.approx(first, rel=1e-8)


@each_point
def test_latent_draws_of_the_active_renew_at_the_retention_rate(module, shapes):
    drawn = module.latent_draws(np.random.default_rng(4), np.full(MEMBERS, 3), np.ones(MEMBERS), *shapes)
    c = shape_c(shapes)
    assert_mean((1 - drawn) ** (4**c - 3**c), float(module.retention_rate(4, *shapes)))


SUMS = [
    (0.668, 3.806, 1.0, 7, 0.1),
    (0.668, 3.806, 1.0, 0, 0.01),
    (1e-3, 1e3, 1.0, 50, 0.05),
    (0.214, 1.427, 1.724, 7, 0.1),
    (0.5, 0.5, 6.0, 3, 0.05),
    (0.3, 2.0, 0.3, 100, 0.05),
    (30.0, 500.0, 1.2, 2, 0.05),
]


@pytest.mark.parametrize("case", SUMS)
def test_residual_lifetimes_agree_with_mpmath(case):
    """1e-9 of the sum term by term, to where what is left is below 1e-14; for c = 1 also of 2F1 as in print."""
    *shapes, tenure, rate = case
    module, given = (sbg, shapes[:2]) if shapes[2] == 1 else (bdw, shapes)
    found = float(module.discounted_residual_lifetime(rate, tenure, 1, *given))
    with mp.workdps(25):
        base, d = mp_survival(tenure, shapes), 1 + mp.mpf(rate)
        total = mp.fsum(
            mp_survival(tenure + k, shapes) / d ** (k - 1) for k in range(1, int(35 / np.log1p(rate)))
        )
        assert found == pytest.approx(float(total / base), rel=1e-9)
        # For b in the thousands mpmath's 2F1 does not end.
        if shapes[2] == 1 and shapes[1] < 100:
            a, b = map(mp.mpf, shapes[:2])
            hyper = mp.hyp2f1(1, b + tenure + 1, a + b + tenure + 1, 1 / d)
            assert found == pytest.approx(float((b + tenure) / (a + b + tenure) * hyper), rel=1e-9)


@pytest.mark.parametrize("ahead", [1, 31, 32, 33, 64, 65, 100, 1000, 4097])
@pytest.mark.parametrize("c", [0.4, 1.0, 2.5])
def test_sums_in_blocks_are_the_sums_term_by_term(ahead, c):
    k = np.arange(1, ahead + 1)
    terms = np.exp(special.betaln(0.7, 2.0 + (5.0 + k) ** c) - special.betaln(0.7, 2.0 + 5.0**c)) / 1.001**k
    # Logs of Gamma at 1e9 and more have lost 1e-7 in scipy's difference; the package's have not.
    tolerance = 1e-10 if c < 2 else 1e-5
    assert beta_survival.discounted_survival(ahead, 0.001, 5.0, 0.7, 2.0, c) == pytest.approx(
        terms.sum(), rel=tolerance
    )


def test_without_discount_a_lifetime_has_a_mean_only_where_churn_ends_it():
    assert np.isinf(sbg.discounted_residual_lifetime(0.0, 3, 1, 1.0, 2.0))
    assert np.isinf(bdw.discounted_residual_lifetime(0.0, 3, 1, 0.5, 2.0, 2.0))
    assert np.isnan(sbg.discounted_residual_lifetime(-0.1, 3, 1, 2.0, 2.0))
    # E[(1 - theta) / theta] with theta ~ Beta(1.5, 5).
    assert sbg.discounted_residual_lifetime(0.0, 3, 1, 1.5, 2.0) == pytest.approx(5.0 / 0.5, rel=1e-11)
    # S(k) = k^-1.35 at large k: 2,000,000 terms and the integral of the rest, each to 1e-9.
    k = np.arange(1, 2_000_001.0)
    terms = np.exp(special.betaln(1.5, 2.0 + (3 + k) ** 0.9) - special.betaln(1.5, 2.0 + 3**0.9))
    rest = terms[-1] * (k[-1] + 3) / 0.35
    assert bdw.discounted_residual_lifetime(0.0, 3, 1, 1.5, 2.0, 0.9) == pytest.approx(
        terms.sum() + rest, rel=1e-5
    )


def test_no_shape_of_one_is_the_shifted_beta_geometric(graphs):
    """C = 1: likelihood, gradient and every forecast, to 1e-8 and better."""
    renewals = np.array([0, 1, 7, 400, 0, 7, 400], dtype=float)
    active = np.array([0, 0, 0, 0, 1, 1, 1], dtype=float)
    for shapes in ((0.668, 3.806), (1e-2, 50.0), (40.0, 3.0)):
        plain, *slope = graphs[sbg](*shapes, renewals, active)
        value, *gradients = graphs[bdw](*shapes, 1.0, renewals, active)
        np.testing.assert_allclose(value, plain, rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(gradients[:2], slope, rtol=1e-8)
        for c in (1.0, 1 + 1e-12):
            for name, arguments in (
                ("survival", (12, renewals, active)),
                ("expected_renewals", (12, renewals, active)),
                ("renewals_pmf", (2, 12, renewals, active)),
                ("discounted_residual_lifetime", (0.1, renewals, active)),
                ("retention_rate", (renewals + 1,)),
                ("latent_means", (renewals, active)),
            ):
                whole, plain = (
                    getattr(bdw, name)(*arguments, *shapes, c),
                    getattr(sbg, name)(*arguments, *shapes),
                )
                np.testing.assert_allclose(whole, plain, rtol=1e-8, err_msg=name)


@each_point
def test_forecasts_fit_together(module, shapes):
    n = np.arange(13)
    pmf = module.renewals_pmf(n, 12, 3, 1, *shapes)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    assert n @ pmf == pytest.approx(float(module.expected_renewals(12, 3, 1, *shapes)), rel=1e-11)
    rates = module.retention_rate(np.arange(4, 16), *shapes)
    assert module.survival(12, 3, 1, *shapes) == pytest.approx(rates.prod(), rel=1e-11)
    assert module.survival(0, 3, 1, *shapes) == 1
    # Who is lost stays lost.
    assert module.survival(1, 3, 0, *shapes) == 0
    assert module.expected_renewals(12, 3, 0, *shapes) == 0
    assert module.discounted_residual_lifetime(0.1, 3, 0, *shapes) == 0
    np.testing.assert_array_equal(module.renewals_pmf(n, 12, 3, 0, *shapes), (n == 0).astype(float))


def test_published_survival_of_the_high_end():
    """The projection of Fader & Hardie (2007) at its printed estimates: S(12) near the actual 39.4 %."""
    assert float(sbg.survival(12, 0, 1, 0.668, 3.806)) == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize("module", [sbg, bdw])
def test_gradient_is_the_slope_of_the_log_likelihood(graphs, module):
    renewals = np.array([0, 1, 7, 60, 0, 7, 60], dtype=float)
    active = np.array([0, 0, 0, 0, 1, 1, 1], dtype=float)
    for shapes in ((0.668, 3.806, 1.3), (5.0, 0.4, 0.5), (0.02, 30.0, 2.2)):
        point = np.array(shapes[: len(module.PARAMETERS)])
        _, *gradients = graphs[module](*point, renewals, active)
        for i, gradient in enumerate(gradients):
            step = np.zeros(point.size)
            step[i] = 1e-5 * point[i]
            high, low = (graphs[module](*(point + s), renewals, active)[0].sum() for s in (step, -step))
            # Central difference: truncation 1e-10 of it, rounding 1e-14 * 100 / step.
            assert gradient == pytest.approx((high - low) / (2 * step[i]), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("module", [sbg, bdw])
def test_log_likelihood_and_its_gradient_are_finite_at_extremes(graphs, module):
    renewals = np.array([0, 1, 10, 1000, 0, 1, 10, 1000], dtype=float)
    active = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=float)
    shapes = [(1e-3, 1.0, 1e4)] * 2 + [(0.05, 1.0, 20.0)] * (module is bdw)
    for point in itertools.product(*shapes):
        value, *gradients = graphs[module](*point, renewals, active)
        assert np.isfinite(value).all(), point
        assert np.isfinite(gradients).all(), point


@pytest.mark.parametrize("module", [sbg, bdw])
def test_draws_by_customers_is_every_pair_by_itself(module):
    rng = np.random.default_rng(5)
    draws = [value * rng.uniform(0.5, 2, (3, 1)) for value in (0.668, 3.806, 1.3)[: len(module.PARAMETERS)]]
    renewals, active = np.array([0, 3, 9, 3]), np.array([1, 1, 1, 0])
    for name in ("survival", "expected_renewals", "discounted_residual_lifetime"):
        function = getattr(module, name)
        together = function(2.0, renewals, active, *draws)
        assert together.shape == (3, 4)
        for d, c in itertools.product(range(3), range(4)):
            alone = function(2.0, renewals[c], active[c], *(float(v[d, 0]) for v in draws))
            assert together[d, c] == pytest.approx(float(alone), rel=1e-12)
    assert module.latent_draws(rng, renewals, active, *draws).shape == (3, 4)
    assert module.latent_means(renewals, active, *draws).shape == (3, 4)
    assert module.simulate(rng, renewals, *draws)[0].shape == (3, 4)
    assert set(module.MEANINGS) == {*module.PARAMETERS, *module.QUANTITIES}
    assert set(module.FAMILY.processes.values()) <= set(module.QUANTITIES)
    quantities = {"population_churn": 0.2, "churn_concentration": 5.0, "c": 1.3}
    expected = dict(zip(module.PARAMETERS, (1.0, 4.0, 1.3), strict=False))
    assert module.parameters(quantities) == pytest.approx(expected)


def test_c_through_its_coordinate_agrees_with_high_precision():
    """Move c from log(beta log((beta + n^c) / (beta + 1))) and the derivative, in 60 digits; to 1e-9, and finite."""
    symbols = [pt.dscalar(name) for name in ("coordinate", "churn", "concentration")]
    population = {"population_churn": symbols[1], "churn_concentration": symbols[2]}
    columns = {"renewals": np.array([0.0, 3.0, 7.0])}
    compiled = pytensor.function(symbols, bdw.straightened(symbols[0], population, columns), mode=AS_WRITTEN)
    with mp.workdps(60):
        for churn, concentration, c in itertools.product(
            (0.05, 0.4, 0.9), (0.02, 2.0, 5e3), (0.03, 1.0, 6.0)
        ):
            beta = (1 - mp.mpf(churn)) * mp.mpf(concentration)
            coordinate = float(mp.log(beta * mp.log((beta + mp.mpf(7) ** c) / (beta + 1))))

            def exact(z, beta=beta):
                return mp.log((beta + 1) * mp.exp(mp.exp(z) / beta) - beta) / mp.log(7)

            found, log_derivative = compiled(coordinate, churn, concentration)
            assert float(found) == pytest.approx(float(exact(mp.mpf(coordinate))), rel=1e-9)
            assert float(found) == pytest.approx(c, rel=1e-6)  # a coordinate of 16 digits
            slope = mp.log(mp.diff(exact, mp.mpf(coordinate)))
            assert float(log_derivative) == pytest.approx(float(slope), rel=1e-9, abs=1e-9)
    for extreme in itertools.product((-30.0, 30.0), (1e-6, 1 - 1e-6), (1e-4, 1e6)):
        c, log_derivative = compiled(*extreme)
        assert c >= 0
        assert not np.isnan(log_derivative)
