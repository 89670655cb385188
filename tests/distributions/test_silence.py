"""The integral over the time of leaving: accuracy, slopes, and one rule for NumPy and for the graph."""

import mpmath as mp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from bayes_clv.distributions.operators import log_integral
from bayes_clv.distributions.poisson import silence
from tests.interpreted import AS_WRITTEN


def many(size, seed=1):
    """Return k, w, a, b, silence over the stated range, the decades of silence / min(a, b) equally often."""
    rng = np.random.default_rng(seed)
    k = 10 ** rng.uniform(-2, 3.02, size)
    w = 1 + 10 ** rng.uniform(-2, 2.47, size)
    a, b = (10 ** rng.uniform(-6.9, 7, size) for _ in range(2))
    return k, w, a, b, np.ones(size)


def composite(k, w, a, b, length, panels=14, count=60):
    """Return log J by many panels on the same scale, nothing left out on the right."""
    scale = 1 / ((1 + k / 6) / a + (1 + w / 6) / b)
    position, weight = np.polynomial.legendre.leggauss(count)
    total = 0.0
    whole = np.log1p(length / scale)
    for panel in range(panels):
        y = whole[:, None] * (panel + (1 + position) / 2) / panels
        d = scale[:, None] * np.expm1(y)
        inner = np.exp(-k[:, None] * np.log1p(d / a[:, None]) - w[:, None] * np.log1p(d / b[:, None]))
        total = total + (weight / 2 * (scale[:, None] + d) * inner).sum(axis=1) * whole / panels
    return np.log(total)


def test_the_rule_of_each_range_holds_its_accuracy():
    columns = many(8_000)
    error = np.abs(silence.log_integral(*columns) - composite(*columns))
    assert error.max() < 1e-10
    # Where there are few nodes too: short silences beside small powers.
    rng = np.random.default_rng(2)
    k, w = 10 ** rng.uniform(-2, 1, 8_000), 1 + 10 ** rng.uniform(-2, 1, 8_000)
    a, b = (10 ** rng.uniform(-1.5, 2, 8_000) for _ in range(2))
    columns = k, w, a, b, np.ones(8_000)
    assert np.abs(silence.log_integral(*columns) - composite(*columns)).max() < 1e-10


def test_it_agrees_with_mpmath():
    """By 2F1 and by quadrature of another kind: the difference of two Appell-free integrals in 40 digits."""
    cases = [(0.25, 1.6, 10.6, 11.7, 39.0), (26.5, 1.6, 41.4, 42.5, 0.14), (1000.5, 1.6, 12.0, 1e3, 9e3)]
    cases += [(0.5, 1.01, 1e-3, 1e4, 1e4), (3.0, 51.0, 1e2, 0.5, 1e4), (1000.5, 3.0, 1e-2, 1e-2, 0.01)]
    with mp.workdps(40):
        for k, w, a, b, length in cases:
            k_, w_, a_, b_, length_ = map(mp.mpf, (k, w, a, b, length))
            # On y = log(1 + d / a), in pieces that double in d.
            edges = [mp.log1p(length_ * mp.mpf(2) ** -i / a_) for i in range(40, -1, -1)]
            whole = mp.quad(
                lambda y, k=k_, w=w_, a=a_, b=b_: a * mp.exp((1 - k) * y) * (1 + a * mp.expm1(y) / b) ** -w,
                [0, *edges],
            )
            assert float(silence.log_integral(k, w, a, b, length)) == pytest.approx(
                float(mp.log(whole)), abs=1e-10
            )


def test_the_graph_is_the_ufunc_and_its_gradient_the_slope():
    columns = [each[:400] for each in many(400, seed=3)]
    inputs = [pt.dvector() for _ in columns]
    value = log_integral(*inputs)
    graph = pytensor.function(inputs, [value, *pytensor.grad(value.sum(), inputs)], mode=AS_WRITTEN)
    found, *gradients = graph(*columns)
    np.testing.assert_allclose(found, silence.log_integral(*columns), rtol=1e-13, atol=1e-13)
    for i, gradient in enumerate(gradients):
        step = 1e-5 * columns[i]
        high, low = (
            silence.log_integral(*(c + s * step if i == j else c for j, c in enumerate(columns)))
            for s in (1, -1)
        )
        # Central difference: truncation 1e-10 of the curvature, error of the rule 1e-10 over the step of 1e-5.
        scale = 1 + np.abs(gradient * columns[i])
        np.testing.assert_array_less(np.abs((high - low) / 2e-5 - gradient * columns[i]), 1e-4 * scale)


def test_no_silence_no_time_to_leave_and_nonsense_is_nan():
    assert silence.log_integral(1.0, 1.5, 2.0, 3.0, 0.0) == -np.inf
    assert silence.mean_share(1.0, 1.5, 2.0, 3.0, 0.0) == 0
    assert np.isnan(silence.log_integral(1.0, 1.5, 2.0, np.nan, 1.0))
    assert np.isnan(silence.log_integral(1.0, 1.5, 2.0, 3.0, -1.0))


def test_scalars_meet_rows_and_the_gradient_flows_through_nothing_else():
    k = pt.dscalar()
    value = log_integral(k, 1.6, 10.0, np.array([11.0, 12.0]), np.array([3.0, 30.0]))
    found = pytensor.function([k], [value, pytensor.grad(value.sum(), k)], mode=AS_WRITTEN)(2.5)
    np.testing.assert_allclose(
        found[0],
        silence.log_integral(2.5, 1.6, 10.0, np.array([11.0, 12.0]), np.array([3.0, 30.0])),
        rtol=1e-13,
    )
    assert found[1].shape == ()
