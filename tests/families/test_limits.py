"""Special cases reduce to simpler families, extremes stay finite, and answers move as they must."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import special, stats

from bayes_clv import families
from bayes_clv.distributions.poisson import beta_dropout
from bayes_clv.distributions.poisson.residual import residual_while_alive
from bayes_clv.families.registry import family
from bayes_clv.schema import InputError
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")
mbg_nbd = paper("mbg_nbd")
nbd = paper("nbd")

CDNOW = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
HISTORY = {
    "x": np.array([0, 0, 1, 2, 29, 1_000]),
    "t_x": np.array([0, 0, 0.4, 30.43, 38.86, 39.0]),
    "T": np.array([0, 39.0, 38.0, 38.86, 38.86, 39.0]),
}


def test_every_registered_family_is_importable_and_an_unknown_one_names_the_known():
    for name in families.FAMILIES:
        assert family(name).parameters
        assert family(name).observed
    with pytest.raises(InputError, match=r"'pareto'.*bg_nbd.*gamma_gamma"):
        family("pareto")


def no_dropout():
    """Return (x, t_x, T) and parameters whose dropout is next to nothing: a -> 0 with b fixed."""
    x = np.array([0, 0, 1, 3, 40, 200])
    t_x = np.array([0, 0, 0.4, 20.0, 30.0, 38.0])
    T = np.array([0, 39.0, 38.0, 39.0, 39.0, 39.0])
    # The odds of having left are a / (b + ...) ((alpha + T) / (alpha + t_x))^(r + x), at most 1e-22 * 1.3^40 = 1e-18.
    return (x, t_x, T), {"r": 0.24, "alpha": 4.4, "a": 1e-22, "b": 2.4}


@pytest.mark.parametrize("module", [bg_nbd, mbg_nbd])
def test_without_dropout_both_reduce_to_the_nbd(module):
    history, params = no_dropout()
    rates = {name: params[name] for name in nbd.PARAMETERS}
    for name, first in {
        "expected_purchases": (39.0,),
        "survival": (39.0,),
        "discounted_residual_transactions": (0.0027,),
        "probability_alive": (),
        **{f"purchases_pmf {n}": (n, 39.0) for n in (0, 1, 5, 60)},
        **{f"purchases_at_least {n}": (n, 39.0) for n in (1, 5, 60)},
    }.items():
        ours, theirs = (
            getattr(m, name.split()[0])(*first, *history, **p) for m, p in ((module, params), (nbd, rates))
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-15)
    ours, theirs = module.latent_means(*history, **params), nbd.latent_means(*history, **rates)
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-15)
    ours, theirs = module.future_state(*history, **params), nbd.future_state(*history, **rates)
    for mine, other in zip(ours[:4], theirs[:4], strict=True):
        np.testing.assert_allclose(mine, np.broadcast_to(other, mine.shape), rtol=1e-8, atol=1e-15)
    columns = [pt.constant(np.asarray(column, dtype=float)) for column in history]
    ours, theirs = (
        m.log_likelihood({k: pt.constant(v) for k, v in p.items()}, *columns).eval(mode=AS_WRITTEN)
        for m, p in ((module, params), (nbd, rates))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)


def test_the_averages_over_dropout_know_a_of_zero():
    """The engine and the closed-form value take nbd's state, a = 0 and B = 1, to beta_dropout and residual."""
    for k, tau in ((0.3, 0.01), (2.0, 5.0), (300.0, 40.0)):
        assert beta_dropout.purchases_while_alive(k, tau, 0.0, 1.0) == pytest.approx(k * tau, rel=1e-15)
        assert beta_dropout.survival_while_alive(k, tau, 0.0, 1.0) == 1
        nearly = beta_dropout.purchases_while_alive(k, tau, 1e-13, 1.0)
        # What is missing is of the order a log(k tau) k tau.
        assert nearly == pytest.approx(k * tau, rel=1e-10)
        assert residual_while_alive(k, 0.1, 0.0, 1.0) == pytest.approx(k / 0.1, rel=1e-15)
        assert residual_while_alive(k, 0.1, 1e-13, 1.0) == pytest.approx(k / 0.1, rel=1e-10)
    assert np.isinf(residual_while_alive(2.0, 0.0, 0.0, 1.0))
    assert np.isnan(beta_dropout.purchases_while_alive(2.0, 1.0, -1e-9, 1.0))


def test_the_nbd_is_scipys_negative_binomial():
    x, T, n = np.array([0, 3, 200])[:, None], 39.0, np.arange(80)
    params = {"r": 0.24, "alpha": 4.4}
    p = (4.4 + T) / (4.4 + T + 52)
    pmf = nbd.purchases_pmf(n, 52.0, x, 0.0, T, **params)
    np.testing.assert_allclose(pmf, stats.nbinom.pmf(n, 0.24 + x, p), rtol=1e-10)
    tail = nbd.purchases_at_least(n, 52.0, x, 0.0, T, **params)
    np.testing.assert_allclose(tail, stats.nbinom.sf(n - 1, 0.24 + x, p), rtol=1e-10)


def test_a_new_customer_of_mbg_nbd_may_be_gone_and_of_bg_nbd_is_not():
    new = (0, 0.0, 0.0)
    assert mbg_nbd.probability_alive(*new, **CDNOW) == pytest.approx(
        CDNOW["b"] / (CDNOW["a"] + CDNOW["b"]), rel=1e-14
    )
    assert bg_nbd.probability_alive(*new, **CDNOW) == 1
    # sum_j P(N > j) (b)_{j+1} / (a+b)_{j+1}, term by term.
    t, j = 39.0, np.arange(4_000)
    survived = np.cumprod((CDNOW["b"] + j) / (CDNOW["a"] + CDNOW["b"] + j))
    more = stats.nbinom.sf(j, CDNOW["r"], CDNOW["alpha"] / (CDNOW["alpha"] + t))
    assert mbg_nbd.expected_purchases(t, *new, **CDNOW) == pytest.approx(float(more @ survived), rel=1e-12)
    # Silence tells on a customer without repeat purchase in MBG/NBD alone.
    silent = [mbg_nbd.probability_alive(0, 0.0, age, **CDNOW) for age in (1.0, 10.0, 39.0)]
    assert (np.diff(silent) < 0).all()


def test_with_certain_dropout_a_new_customer_buys_once_or_never():
    fatal = {**CDNOW, "b": 1e-14}
    some = 1 - (1 + 39 / CDNOW["alpha"]) ** -CDNOW["r"]
    assert bg_nbd.expected_purchases(39, 0, 0, 0, **fatal) == pytest.approx(some, rel=1e-12)
    assert bg_nbd.survival(39, 0, 0, 0, **fatal) == pytest.approx(1 - some, rel=1e-12)
    assert bg_nbd.purchases_pmf(1, 39, 0, 0, 0, **fatal) == pytest.approx(some, rel=1e-12)


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


def test_python_numbers_are_doubles():
    # PyTensor reads 5.0 as a float32; lnGamma of that has 7 digits.
    columns = [pt.constant(np.array(c)) for c in ([3.0], [20.0])]
    params = {"p": 2.5, "q": 5.0, "v": 20.0}
    value = gamma_gamma.log_likelihood(params, *columns).eval(mode=AS_WRITTEN)[0]
    expected = -special.betaln(7.5, 5) - 7.5 * np.log1p(20 / 60) - 5 * np.log1p(60 / 20) - np.log(20)
    assert value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("n", [0.0, 1.0, 7.0, 1000.0])
def test_rising_factorials_keep_their_digits_however_large(n):
    """Against mpmath from 1e-3 to 1e18; lnGamma(1e18) is 4e19, and a plain difference of two is off by thousands."""
    import mpmath
    import pytensor
    import pytensor.tensor as pt

    from bayes_clv.distributions.special import log_gamma_ratio

    z = pt.dvector()
    value = log_gamma_ratio(z, n)
    both = pytensor.function([z], [value, pt.grad(value.sum(), z)], mode=AS_WRITTEN)
    at = np.array([1e-3, 0.7, 30.0, 9.9e4, 1.1e5, 1e7, 1e10, 1e14, 1e18])
    found, slope = both(at)
    with mpmath.workdps(60):
        exact = [float(mpmath.loggamma(mpmath.mpf(v) + n) - mpmath.loggamma(v)) for v in at]
        slopes = [float(mpmath.digamma(mpmath.mpf(v) + n) - mpmath.digamma(v)) for v in at]
    np.testing.assert_allclose(found, exact, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(slope, slopes, rtol=1e-14, atol=1e-14)
