"""Special cases reduce to simpler families, extremes stay finite, and answers move as they must."""

import doctest

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special, stats

from bayes_clv import distributions
from bayes_clv.distributions import beta_dropout, bg_nbd, family, gamma_gamma
from bayes_clv.schema import InputError

CDNOW = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
HISTORY = {
    "x": np.array([0, 0, 1, 2, 29, 1_000]),
    "t_x": np.array([0, 0, 0.4, 30.43, 38.86, 39.0]),
    "T": np.array([0, 39.0, 38.0, 38.86, 38.86, 39.0]),
}


@pytest.fixture(scope="module")
def bg_nbd_graph():
    """Return a function (r, alpha, a, b, x, t_x, T) -> log-likelihood of each row, then its gradients."""
    params = {name: pt.dscalar(name) for name in bg_nbd.PARAMETERS}
    columns = [pt.dvector(name) for name in bg_nbd.OBSERVED]
    value = bg_nbd.log_likelihood(params, *columns)
    gradients = pytensor.grad(value.sum(), list(params.values()))
    return pytensor.function([*params.values(), *columns], [value, *gradients])


def test_every_registered_family_is_importable_and_an_unknown_one_names_the_known():
    for name in distributions.FAMILIES:
        assert family(name).PARAMETERS
        assert family(name).OBSERVED
    with pytest.raises(InputError, match=r"'pareto'.*bg_nbd, pareto_nbd, gamma_gamma"):
        family("pareto")


@pytest.mark.parametrize("module", [distributions, bg_nbd, gamma_gamma])
def test_examples_in_docstrings_run(module):
    assert doctest.testmod(module).failed == 0


def test_forecasts_do_not_depend_on_the_time_unit():
    days = {"x": HISTORY["x"], "t_x": HISTORY["t_x"] * 7, "T": HISTORY["T"] * 7}
    in_days = {**CDNOW, "alpha": CDNOW["alpha"] * 7}
    for function in (bg_nbd.expected_purchases, bg_nbd.survival):
        np.testing.assert_allclose(
            function(39.0, **HISTORY, **CDNOW), function(273.0, **days, **in_days), rtol=1e-12
        )
    np.testing.assert_allclose(
        bg_nbd.purchases_pmf(2, 39.0, **HISTORY, **CDNOW),
        bg_nbd.purchases_pmf(2, 273.0, **days, **in_days),
        rtol=1e-12,
    )
    weekly, daily = (bg_nbd.latent_means(**h, **p) for h, p in ((HISTORY, CDNOW), (days, in_days)))
    np.testing.assert_allclose(weekly[0], 7 * daily[0], rtol=1e-12)
    np.testing.assert_allclose(weekly[1], daily[1], rtol=1e-12)


def test_log_likelihood_moves_with_the_time_unit_by_the_density_of_x_times(bg_nbd_graph):
    weekly = bg_nbd_graph(
        *CDNOW.values(), *map(np.asarray, (HISTORY["x"] * 1.0, *list(HISTORY.values())[1:]))
    )
    daily = bg_nbd_graph(
        CDNOW["r"],
        CDNOW["alpha"] * 7,
        CDNOW["a"],
        CDNOW["b"],
        HISTORY["x"] * 1.0,
        HISTORY["t_x"] * 7,
        HISTORY["T"] * 7,
    )
    # lnGamma(1000) is 6e3: rounding is 1e-12 in each of a few terms.
    np.testing.assert_allclose(weekly[0] - daily[0], HISTORY["x"] * np.log(7), rtol=1e-12, atol=2e-11)


@pytest.mark.parametrize("age", [0.01, 39.0, 10_000.0])
@pytest.mark.parametrize("alpha", [1e-3, 4.4, 1e4])
def test_log_likelihood_and_its_gradient_are_finite_at_extremes(bg_nbd_graph, age, alpha):
    x, share = (grid.ravel() for grid in np.meshgrid([0.0, 1, 2, 50, 1_000], [1e-3, 0.5, 1 - 1e-12, 1]))
    t_x = np.where(x > 0, share * age, 0)
    for r in (0.001, 50.0):
        for a in (0.01, 1.0, 1_000.0):
            for b in (0.01, 1.0, 1_000.0):
                value, *gradients = bg_nbd_graph(r, alpha, a, b, x, t_x, np.full(x.size, age))
                assert np.isfinite(value).all()
                assert np.isfinite(gradients).all()


def test_gradient_is_the_slope_of_the_log_likelihood(bg_nbd_graph):
    columns = (HISTORY["x"] * 1.0, HISTORY["t_x"], HISTORY["T"])
    point = np.array(list(CDNOW.values()))
    _, *gradients = bg_nbd_graph(*point, *columns)
    for i, gradient in enumerate(gradients):
        step = np.zeros(4)
        step[i] = 1e-5 * point[i]
        high, low = (bg_nbd_graph(*(point + s), *columns)[0].sum() for s in (step, -step))
        # Central difference: truncation 1e-10, rounding 1e-12 * 1e4 / 1e-5 * 1e-3.
        assert gradient == pytest.approx((high - low) / (2 * step[i]), rel=1e-5)


def test_without_dropout_the_forecast_is_that_of_the_nbd():
    # a -> 0: E = (r + x) t / (alpha + T), off by a fraction a/(a+b+x) of purchases, here times 1e-14.
    x, t = np.array([0, 3, 200]), 39.0
    immortal = {**CDNOW, "a": 1e-14}
    history = (x, np.where(x > 0, 39.0, 0.0), 39.0)
    tau = t / (CDNOW["alpha"] + 39)
    k = CDNOW["r"] + x
    np.testing.assert_allclose(bg_nbd.expected_purchases(t, *history, **immortal), k * tau, rtol=1e-11)
    np.testing.assert_allclose(bg_nbd.survival(t, *history, **immortal), 1, rtol=1e-11)
    for n in (0, 1, 5, 60):
        nbd = stats.nbinom.pmf(n, k, 1 / (1 + tau))
        np.testing.assert_allclose(
            bg_nbd.purchases_pmf(n, t, *history, **immortal), nbd, rtol=1e-10, atol=1e-15
        )


def test_with_certain_dropout_a_new_customer_buys_once_or_never():
    fatal = {**CDNOW, "b": 1e-14}
    some = 1 - (1 + 39 / CDNOW["alpha"]) ** -CDNOW["r"]
    assert bg_nbd.expected_purchases(39, 0, 0, 0, **fatal) == pytest.approx(some, rel=1e-12)
    assert bg_nbd.survival(39, 0, 0, 0, **fatal) == pytest.approx(1 - some, rel=1e-12)
    assert bg_nbd.purchases_pmf(1, 39, 0, 0, 0, **fatal) == pytest.approx(some, rel=1e-12)


def test_no_time_no_purchases_and_no_history_no_doubt():
    alive = bg_nbd.probability_alive(**HISTORY, **CDNOW)
    assert (alive[HISTORY["x"] == 0] == 1).all()
    np.testing.assert_array_equal(bg_nbd.expected_purchases(0.0, **HISTORY, **CDNOW), 0)
    np.testing.assert_array_equal(bg_nbd.survival(0.0, **HISTORY, **CDNOW), alive)
    np.testing.assert_array_equal(bg_nbd.purchases_pmf(0, 0.0, **HISTORY, **CDNOW), 1)
    np.testing.assert_array_equal(bg_nbd.purchases_pmf(3, 0.0, **HISTORY, **CDNOW), 0)


def test_a_short_horizon_grows_at_the_mean_rate_of_the_living():
    t = 1e-9
    slope = bg_nbd.probability_alive(**HISTORY, **CDNOW) * (CDNOW["r"] + HISTORY["x"])
    slope = slope / (CDNOW["alpha"] + HISTORY["T"])
    # The next term of the series is k tau a / (a + B), below 1e-6 of the first at these.
    np.testing.assert_allclose(bg_nbd.expected_purchases(t, **HISTORY, **CDNOW), slope * t, rtol=1e-7)


def test_for_ever_everyone_leaves_and_the_mean_exists_only_above_a_of_one():
    alive = bg_nbd.probability_alive(**HISTORY, **{**CDNOW, "a": 2.5})
    total = (2.5 + CDNOW["b"] + HISTORY["x"] - 1) / 1.5
    forever = bg_nbd.expected_purchases(np.inf, **HISTORY, **{**CDNOW, "a": 2.5})
    np.testing.assert_allclose(forever, alive * total, rtol=1e-14)
    # What is missing at tau is of the order (k tau)^-(a-1) = 1e-15 at most.
    late = bg_nbd.expected_purchases(1e15, **HISTORY, **{**CDNOW, "a": 2.5, "r": 1.0})
    np.testing.assert_allclose(
        late, bg_nbd.expected_purchases(np.inf, **HISTORY, **{**CDNOW, "a": 2.5, "r": 1.0}), rtol=1e-9
    )
    assert np.isinf(bg_nbd.expected_purchases(np.inf, 0, 0, 0, **{**CDNOW, "a": 1.0}))
    np.testing.assert_array_equal(bg_nbd.survival(np.inf, **HISTORY, **CDNOW), 0)


def test_series_and_quadrature_agree_where_both_apply():
    rng = np.random.default_rng(11)
    compared = 0
    for _ in range(2_000):
        k, tau = 10 ** rng.uniform(-3, 2.5), 10 ** rng.uniform(-3, 1.3)
        a, big_b = 10 ** rng.uniform(-2, 3), 10 ** rng.uniform(-2, 3)
        if beta_dropout._series_is_short(k, tau):
            compared += 1
            for purchases in (True, False):
                one = beta_dropout._series(k, tau, a, big_b, purchases)
                other = beta_dropout._quadrature(k, tau, a, big_b, purchases)
                # lnGamma(2000) = 1e4 to rounding is 2e-12, a few times over.
                assert one == pytest.approx(other, rel=2e-11)
    assert compared > 1_500


def test_elasticity_in_time_is_the_survival_of_the_rate():
    """D E[Y] / dt is the rate while alive: (r+x)/(alpha+T) times survival with one purchase more in the shape."""
    t = np.array([1.0, 39, 400, 10_000])[:, None]
    history = {name: values[2:] for name, values in HISTORY.items()}
    step = 1e-4 * t
    high, low = (bg_nbd.expected_purchases(t + s, **history, **CDNOW) for s in (step, -step))
    k, s = CDNOW["r"] + history["x"], CDNOW["alpha"] + history["T"]
    alive = bg_nbd.probability_alive(**history, **CDNOW)
    survival = beta_dropout.survival_while_alive(k + 1, t / s, CDNOW["a"], CDNOW["b"] + history["x"])
    # Central difference: truncation of the order step^2 / t^2 = 1e-8 times a small number.
    np.testing.assert_allclose((high - low) / (2 * step), alive * k / s * survival, rtol=1e-6)


def test_missing_values_pass_through():
    for function in (bg_nbd.expected_purchases, bg_nbd.survival):
        assert np.isnan(function(39.0, 1, 1.0, 2.0, 1.0, np.nan, 1.0, 1.0))
        assert np.isnan(function(np.nan, 1, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0))
        assert np.isnan(function(39.0, 1, 1.0, 2.0, 1.0, 1.0, np.nan, 1.0))


def test_draws_by_customers_is_every_pair_by_itself():
    rng = np.random.default_rng(12)
    draws = {name: value * rng.uniform(0.5, 2, (5, 1)) for name, value in CDNOW.items()}
    for function in (bg_nbd.expected_purchases, bg_nbd.survival):
        together = function(39.0, **HISTORY, **draws)
        assert together.shape == (5, 6)
        for d in range(5):
            for c in range(6):
                alone = function(
                    39.0, *(h[c] for h in HISTORY.values()), *(float(v[d, 0]) for v in draws.values())
                )
                assert together[d, c] == pytest.approx(float(alone), rel=1e-12)
    assert bg_nbd.purchases_pmf(np.arange(7)[:, None, None], 39.0, **HISTORY, **draws).shape == (7, 5, 6)
    assert all(part.shape == (5, 6) for part in bg_nbd.latent_draws(rng, **HISTORY, **draws))
    assert all(part.shape == (5, 6) for part in bg_nbd.latent_means(**HISTORY, **draws))
    assert all(part.shape == (5, 6) for part in bg_nbd.simulate(rng, HISTORY["T"], **draws))


def test_simulated_histories_are_possible_at_extreme_parameters():
    rng = np.random.default_rng(13)
    ages = np.array([0.0, 0.01, 39, 10_000])
    for r, alpha, a, b in ((0.001, 1e-3, 0.01, 0.01), (50, 1e-3, 1e-4, 1e3), (50, 1e4, 1e3, 0.01)):
        x, t_x = bg_nbd.simulate(rng, np.tile(ages, 2_000), r, alpha, a, b)
        assert np.isfinite(t_x).all()
        assert ((t_x >= 0) & (t_x <= np.tile(ages, 2_000))).all()
        assert (x >= 0).all()
        assert (t_x[x == 0] == 0).all()


@pytest.mark.parametrize("q", [0.3, 1.0])
def test_a_mean_spend_that_does_not_exist_is_nan(q):
    assert np.isnan(gamma_gamma.population_mean_spend(6.25, q, 15.44))
    assert np.isnan(gamma_gamma.expected_spend(0, np.nan, 6.25, q, 15.44))
    assert np.isnan(gamma_gamma.expected_spend(1, 20.0, 0.5, 0.5, 15.44))
    spend = gamma_gamma.expected_spend([0, 2], [np.nan, 20.0], 6.25, q, 15.44)
    assert np.isnan(spend[0])
    assert spend[1] == pytest.approx(6.25 * (15.44 + 40) / (12.5 + q - 1))


def test_much_evidence_outweighs_the_population():
    assert gamma_gamma.expected_spend(10**9, 20.0, 6.25, 3.74, 15.44) == pytest.approx(20, rel=1e-8)
    assert gamma_gamma.expected_spend(0, np.nan, 6.25, 3.74, 15.44) == pytest.approx(6.25 * 15.44 / 2.74)


def test_spend_moves_with_the_currency():
    cents = gamma_gamma.expected_spend(3, 2_000.0, 6.25, 3.74, 1_544.0)
    assert cents == pytest.approx(100 * gamma_gamma.expected_spend(3, 20.0, 6.25, 3.74, 15.44), rel=1e-13)


def test_no_occasion_no_spend():
    rng = np.random.default_rng(14)
    assert np.isnan(gamma_gamma.simulate(rng, [0], 6.25, 3.74, 15.44)).all()
    np.testing.assert_array_equal(gamma_gamma.simulate_spend(rng, [0, 0], 0.3, 6.25), 0)


def test_gamma_gamma_gradient_is_finite_at_extremes():
    params = {name: pt.dscalar(name) for name in gamma_gamma.PARAMETERS}
    columns = [pt.dvector(name) for name in gamma_gamma.OBSERVED]
    value = gamma_gamma.log_likelihood(params, *columns)
    gradients = pytensor.grad(value.sum(), list(params.values()))
    graph = pytensor.function([*params.values(), *columns], [value, *gradients])
    x, zbar = (grid.ravel() for grid in np.meshgrid([1.0, 2, 50, 1_000], [1e-3, 1, 35, 1e7]))
    for p in (0.01, 9.99, 10.0, 1e4):
        for q in (0.01, 1.0, 1e3):
            for v in (1e-3, 15.0, 1e6):
                for part in graph(p, q, v, x, zbar):
                    assert np.isfinite(part).all()


def test_python_numbers_are_doubles():
    # PyTensor reads 5.0 as a float32; lnGamma of that has 7 digits.
    columns = [pt.constant(np.array(c)) for c in ([3.0], [20.0])]
    params = {"p": 2.5, "q": 5.0, "v": 20.0}
    value = gamma_gamma.log_likelihood(params, *columns).eval()[0]
    expected = -special.betaln(7.5, 5) - 7.5 * np.log1p(20 / 60) - 5 * np.log1p(60 / 20) - np.log(20)
    assert value == pytest.approx(expected, rel=1e-13)
