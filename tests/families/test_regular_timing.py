"""BG/CNBD-k and MBG/CNBD-k: against integrals over the rate and the dropout, and in their limits."""

from itertools import pairwise

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import integrate, special, stats

from bayes_clv.distributions.poisson.residual import residual_while_alive
from bayes_clv.distributions.regular import erlang_phases, erlang_residual
from bayes_clv.families.quantities import Prior, resolve
from bayes_clv.schema import InputError
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_cnbd_k = paper("bg_cnbd_k")
bg_nbd = paper("bg_nbd")
mbg_cnbd_k = paper("mbg_cnbd_k")
mbg_nbd = paper("mbg_nbd")

VALUES = {"r": 0.8, "alpha": 2.5, "a": 0.7, "b": 2.1}
PAIRS = [(bg_cnbd_k, bg_nbd), (mbg_cnbd_k, mbg_nbd)]
both = pytest.mark.parametrize(("module", "simple"), PAIRS, ids=["bg", "mbg"])
HISTORY = {
    "x": np.array([0, 0, 1, 2, 29, 1_000]),
    "t_x": np.array([0, 0, 0.4, 30.43, 38.86, 39.0]),
    "T": np.array([0, 39.0, 38.0, 38.86, 38.86, 39.0]),
}


def log_likelihood(module, params, *columns):
    columns = [pt.constant(np.atleast_1d(np.asarray(column, dtype=float))) for column in columns]
    tensors = {name: pt.constant(float(value)) for name, value in params.items()}
    return module.log_likelihood(tensors, *columns).eval(mode=AS_WRITTEN)


def over_rates(function, c, scale):
    """Return the mean of a function of the phases' rate over Gamma(c, scale), on the log scale of the rate."""

    def integrand(u):
        return np.exp(stats.gamma.logpdf(np.exp(u), c, scale=1 / scale) + u) * function(np.exp(u))

    middle = np.log((c + 1) / scale)
    parts = [integrate.quad(integrand, *ends, epsabs=0, epsrel=1e-12, limit=200)[0]
             for ends in ((middle - 60 / min(c, 1.0), middle), (middle, middle + 8))]  # fmt: skip
    return sum(parts)


def over_dropout(power_left, power_stayed, a, b):
    """Return E[p^i (1 - p)^n], p ~ Beta(a, b), by quadrature with the ends' powers as weights."""
    value, _ = integrate.quad(
        lambda p: 1.0,
        0,
        1,
        weight="alg",
        wvar=(a - 1 + power_left, b - 1 + power_stayed),
        epsabs=0,
        epsrel=1e-13,
    )
    return value / special.beta(a, b)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("module", "first"), [(bg_cnbd_k, 0), (mbg_cnbd_k, 1)])
def test_likelihood_is_the_density_of_the_purchase_times(module, first, k):
    """Erlang densities of the intervals, the chance of silence alive in any phase or dropped out: integrated."""
    for times, T in (((), 4.0), ((3.0,), 4.0), ((0.5, 0.9, 3.1), 9.0)):
        x, t_x = len(times), max(times, default=0.0)
        gaps = np.diff([0.0, *times])
        tosses = x + first

        def bought(rate, gaps=gaps):
            return np.prod(stats.gamma.pdf(gaps, k, scale=1 / rate))

        def silent(rate, silence=T - t_x):
            return stats.poisson.cdf(k - 1, rate * silence)

        alive = over_rates(lambda rate: bought(rate) * silent(rate), VALUES["r"], VALUES["alpha"])
        expected = alive * over_dropout(0, tosses, VALUES["a"], VALUES["b"])
        if tosses:
            gone = over_rates(bought, VALUES["r"], VALUES["alpha"])
            expected += gone * over_dropout(1, tosses - 1, VALUES["a"], VALUES["b"])
        ours = log_likelihood(module, VALUES | {"k": k}, x, t_x, T, np.log(gaps).sum())
        assert ours[0] == pytest.approx(np.log(expected), rel=1e-9, abs=1e-10)
        probability = module.probability_alive(x, t_x, T, **VALUES, k=k)
        share = alive * over_dropout(0, tosses, VALUES["a"], VALUES["b"]) / expected
        assert float(probability) == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("history", [(0, 0.0, 0.0), (0, 0.0, 9.0), (4, 6.0, 9.0), (12, 8.9, 9.0)])
def test_forecasts_are_the_integrals_over_the_rate(k, history):
    """Given the rate, phases are a Poisson process: those of the silence, below k, and those of the horizon."""
    _, t_x, T = history
    params = VALUES | {"k": float(k)}
    alive, c, _, a, big_b, _, _ = (float(part) for part in bg_cnbd_k.future_state(*history, **params))
    silence, horizon = T - t_x, 11.0
    j, n = np.arange(k)[:, None], np.arange(400)
    stayed = np.exp(special.betaln(a, big_b + np.arange(202)) - special.betaln(a, big_b))
    many = np.r_[0.0, np.cumsum(stayed)]
    purchases = (j + n) // k

    def weighted(values):
        # The rate's weight at t_x, Gamma(c, alpha + t_x), and the silence alive. A rate of 1e3 needs no tail.
        def mean(rate):
            behind = stats.poisson.pmf(j, rate * silence)
            return float((behind * stats.poisson.pmf(n, rate * horizon) * values(purchases)).sum())

        return over_rates(mean, c, VALUES["alpha"] + t_x)

    whole = over_rates(lambda rate: stats.poisson.cdf(k - 1, rate * silence), c, VALUES["alpha"] + t_x)
    # 400 phases in 11 units: the chance of more is that of a rate above 30, below 1e-15 for the last two histories.
    cases = {
        "expected_purchases": lambda y: many[np.minimum(y, 201)],
        "survival": lambda y: stayed[np.minimum(y, 201)],
    }
    for name, values in cases.items():
        ours = float(getattr(bg_cnbd_k, name)(horizon, *history, **params))
        assert ours == pytest.approx(alive * weighted(values) / whole, rel=1e-9)
    for m in (1, 2, 5):
        reached = alive * stayed[m - 1] * weighted(lambda y, m=m: y >= m) / whole
        ours = float(bg_cnbd_k.purchases_at_least(m, horizon, *history, **params))
        assert ours == pytest.approx(reached, rel=1e-9)


@pytest.mark.parametrize("k", [2, 6])
def test_discounted_purchases_are_an_integral_of_the_expected_ones(k):
    """By parts: without horizon delta times the integral of exp(-delta t) M(t), and to a horizon likewise."""
    params, delta = VALUES | {"k": float(k)}, 0.05
    for history in ((0, 0.0, 9.0), (4, 6.0, 9.0), (30, 8.9, 9.0)):
        alive, c, scale, a, big_b, phases, z = (
            np.full((1, 1), float(part)) for part in bg_cnbd_k.future_state(*history, **params)
        )

        def mean(t, history=history):
            return float(bg_cnbd_k.expected_purchases(t, *history, **params))

        def discounted(end, mean=mean):
            edges = [0, 1, 5, 20, 80, 200, end] if end > 200 else [0, 1, 5, end]
            parts = [
                integrate.quad(
                    lambda t: delta * np.exp(-delta * t) * mean(t), *ends, epsrel=1e-11, epsabs=1e-13
                )[0]
                for ends in pairwise(edges)
            ]
            return sum(parts) + np.exp(-delta * end) * mean(end)

        ours = float(bg_cnbd_k.discounted_residual_transactions(delta, *history, **params))
        # Beyond 700 units e^-35 of a sum is left.
        assert ours == pytest.approx(discounted(700.0), rel=1e-9)
        part = erlang_residual.discounted_purchases(c, scale, a, big_b, phases, z, 30.0, delta)
        # Gauss' eight points a panel.
        assert (alive * part).item() == pytest.approx(discounted(30.0), rel=1e-8)


@both
def test_one_phase_a_purchase_is_the_simple_family(module, simple):
    one = VALUES | {"k": 1.0}
    for name, first in {
        "probability_alive": (),
        "latent_means": (),
        "expected_purchases": (39.0,),
        "expected_purchases ": (5_000.0,),
        "survival": (39.0,),
        "survival ": (5_000.0,),
        "discounted_residual_transactions": (0.0027,),
        **{f"purchases_pmf {n}": (n, 39.0) for n in (0, 1, 5, 60)},
        **{f"purchases_at_least {n}": (n, 39.0) for n in (1, 5, 60)},
    }.items():
        ours, theirs = (
            getattr(m, name.split()[0])(*first, **HISTORY, **p) for m, p in ((module, one), (simple, VALUES))
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-15)
    for ours, theirs in zip(
        module.future_state(**HISTORY, **one), simple.future_state(**HISTORY, **VALUES), strict=False
    ):
        np.testing.assert_array_equal(ours, theirs)
    ours = log_likelihood(module, one, *HISTORY.values(), 0.1 * HISTORY["x"])
    np.testing.assert_allclose(
        ours, log_likelihood(simple, VALUES, *HISTORY.values()), rtol=1e-12, atol=1e-10
    )
    for function in ("simulate", "simulate_purchase_times"):
        pairs = [
            getattr(m, function)(np.random.default_rng(1), np.full(500, 39.0), **p)
            for m, p in ((module, one), (simple, VALUES))
        ]
        for mine, other in zip(*pairs, strict=True):
            np.testing.assert_array_equal(mine, other)


@both
def test_without_dropout_purchases_are_a_condensed_negative_binomial(module, simple):
    """Chatfield & Goodhardt (1973): every k-th event of a negative binomial, counted from a purchase."""
    never = VALUES | {"a": 1e-22}
    for k in (2.0, 3.0):
        n = np.arange(1, 400)
        for t in (0.5, 20.0):
            p = VALUES["alpha"] / (VALUES["alpha"] + t)
            tail = stats.nbinom.sf(k * n - 1, VALUES["r"], p)
            mean = float(module.expected_purchases(t, 0, 0, 0, **never, k=k))
            assert mean == pytest.approx(tail.sum(), rel=1e-8)
            assert float(module.survival(t, 0, 0, 0, **never, k=k)) == pytest.approx(1, rel=1e-8)
            ours = module.purchases_at_least(n[:9], t, 0, 0, 0, **never, k=k)
            np.testing.assert_allclose(ours, tail[:9], rtol=1e-8)
    # In the long run a purchase takes k phases, whatever phase it began in.
    x, late = np.array([0, 3]), 1e6
    ours = module.expected_purchases(late, x, 0.5 * x, 4.0, **never, k=3.0)
    passed = module.latent_means(x, 0.5 * x, 4.0, **never, k=3.0)[0] * late
    # Less (k - 1) / 2k purchases, and what has passed.
    np.testing.assert_allclose(ours, passed, atol=1.0)


def test_series_and_blocks_agree_where_both_apply():
    rng = np.random.default_rng(11)
    compared = 0
    for _ in range(300):
        k = int(rng.integers(1, 13))
        c, tau, z = 10 ** rng.uniform(-2, 3), 10 ** rng.uniform(-2, 2), rng.uniform()
        a, big_b = 10 ** rng.uniform(-2, 2), 10 ** rng.uniform(-2, 2)
        for purchases in (True, False):
            series = erlang_phases._series(k, c, z, tau, a, big_b, purchases)
            if np.isfinite(series) and c * tau > 30:
                compared += 1
                # Incomplete Beta functions with arguments to 2e4, of scipy.
                assert erlang_phases._long(k, c, z, tau, a, big_b, purchases) == pytest.approx(
                    series, rel=1e-9
                )
    assert compared > 100


def test_the_long_way_is_taken_and_right_where_the_series_is_too_long():
    given = (2.0, 900.0, 0.3, 60.0, 1.2, 3.0)
    assert erlang_phases._mean(*given, 1.0) == -1
    mean = float(erlang_phases.purchases_while_alive(*given))
    # With so many purchases E[1/p] is nearly reached: below it by what those still alive would buy.
    total = (1.2 + 3.0 - 1) / 0.2
    assert 0.5 * total < mean < total
    # Elasticity: one more unit adds the survivors' rate; a central difference of a smooth curve.
    up, down = (
        float(erlang_phases.purchases_while_alive(*given[:3], 60.0 + s, *given[4:])) for s in (0.3, -0.3)
    )
    survival = float(erlang_phases.survival_while_alive(*given))
    # The rate of those who stay is the mean rate, 450 a unit, to the spread of the rates (1/30).
    assert (up - down) / 0.6 == pytest.approx(450 * survival, rel=0.05)


def test_no_residual_moves_with_the_phases_where_one_is_one():
    for k, discount in ((0.3, 0.01), (5.0, 2.0), (300.0, 0.5)):
        ours = erlang_residual.residual_while_alive(1.0, k, 0.4, discount, 0.8, 2.4)
        # Two trapezoidal sums on different grids, each to 1e-11.
        assert ours == pytest.approx(residual_while_alive(k, discount, 0.8, 2.4), rel=1e-10)
    assert np.isnan(erlang_residual.residual_while_alive(2.0, 1.0, 0.1, -0.1, 0.8, 2.4))
    assert np.isinf(erlang_residual.residual_while_alive(2.0, 1.0, 0.1, 0.0, 0.8, 2.4))


def test_regular_customers_are_missed_sooner_and_expected_sooner():
    same_rate = [VALUES | {"alpha": VALUES["alpha"] / k, "k": float(k)} for k in (1, 2, 4, 8)]
    silent = [float(bg_cnbd_k.probability_alive(8, 20.0, 30.0, **p)) for p in same_rate]
    assert (np.diff(silent) < 0).all()
    punctual = [float(bg_cnbd_k.purchases_at_least(1, 4.0, 8, 20.0, 22.0, **p)) for p in same_rate]
    assert (np.diff(punctual) > 0).all()


def test_a_whole_number_is_fixed_or_chosen_and_nothing_else():
    quantities = bg_cnbd_k.QUANTITIES
    assert resolve(quantities, {"k": 3}, 1.0)["k"] == Prior("Fixed", value=3)
    assert resolve(quantities, "flat", 1.0)["k"] == Prior("DiscreteUniform", lower=1, upper=12)
    assert resolve(quantities, {"r": 0.5}, 1.0)["r"] == Prior("Fixed", value=0.5)
    for wrong in (0, 1.5, 51, Prior("LogNormal", mu=0, sigma=1), Prior("DiscreteUniform", lower=0, upper=3)):
        with pytest.raises(InputError, match="'k'.*whole number"):
            resolve(quantities, {"k": wrong}, 1.0)
    for name, wrong in (("r", 0.0), ("r", np.inf), ("population_dropout", 1.0), ("population_dropout", -0.1)):
        with pytest.raises(InputError, match=f"{name}.*was fixed at"):
            resolve(quantities, {name: wrong}, 1.0)
    with pytest.raises(InputError, match="or give a number"):
        resolve(quantities, {"r": True}, 1.0)
