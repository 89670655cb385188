"""The functions without jumps against mpmath, and NumPy's at the ends of their domains."""

import mpmath
import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_array_equal

from bayes_clv.distributions import elementary, gamma_ratio

RNG = np.random.default_rng(1)
SIGN = RNG.choice([-1.0, 1.0], 500)
SMALL = SIGN * 10.0 ** RNG.uniform(-300, 0, 500)
POINTS = {
    "log": np.concatenate(
        [10.0 ** RNG.uniform(-320, 308, 500), 1 + SMALL[SMALL > -0.999], [5e-324, 1.7e308]]
    ),
    "exp": np.concatenate([RNG.uniform(-708, 709.7, 500), SMALL]),
    "log1p": np.concatenate([10.0 ** RNG.uniform(-300, 308, 500), SMALL[SMALL > -1], -1 + abs(SMALL[:100])]),
    "expm1": np.concatenate([RNG.uniform(-708, 709.7, 500), SMALL]),
}
ENDS = np.array([0.0, -1.0, -2.0, np.inf, -np.inf, np.nan, 1e308, -1e308, 720.0, -750.0])


def of_one(function, x):
    """Return the function of each number, by a loop that is compiled."""

    @njit(error_model="numpy")
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    out = np.empty(x.size)
    loop(x, out)
    return out


def of_two(function, x, y):
    """Return the function of each pair of numbers, by a loop that is compiled."""

    @njit(error_model="numpy")
    def loop(x, y, out):
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    out = np.empty(x.size)
    loop(x, y, out)
    return out


@pytest.mark.parametrize("name", POINTS)
def test_elementary_functions_are_those_of_mpmath(name):
    x = POINTS[name]
    found = of_one(getattr(elementary, name), x)
    with mpmath.workdps(40):
        exact = [getattr(mpmath, name)(mpmath.mpf(each)) for each in x.tolist()]
        wrong = [abs(each - to) / abs(to) for each, to in zip(found.tolist(), exact, strict=True) if to]
    assert max(wrong) < 1e-14
    with np.errstate(all="ignore"):
        assert_array_equal(
            np.isfinite(of_one(getattr(elementary, name), ENDS)), np.isfinite(getattr(np, name)(ENDS))
        )
        assert_array_equal(
            np.isnan(of_one(getattr(elementary, name), ENDS)), np.isnan(getattr(np, name)(ENDS))
        )


def test_log_gamma_ratios_are_those_of_mpmath():
    """Of counts and of reals, from a z near 0 to 1e18; relative to q log(z + q), and to the slope."""
    rng = np.random.default_rng(2)
    z = np.concatenate([rng.uniform(0.01, 30, 300), 10.0 ** rng.uniform(-30, 18, 300)])
    q = np.concatenate([np.floor(rng.uniform(0, 40, 300)), 10.0 ** rng.uniform(-2, 8, 300)])
    value, slope = (of_two(each, z, q) for each in (gamma_ratio.log_gamma_ratio, gamma_ratio.digamma_ratio))
    with mpmath.workdps(60):
        pairs = [(mpmath.mpf(a), mpmath.mpf(b)) for a, b in zip(z.tolist(), q.tolist(), strict=True)]
        exact = np.array([float(mpmath.loggamma(a + b) - mpmath.loggamma(a)) for a, b in pairs])
        by_z = np.array([float(mpmath.digamma(a + b) - mpmath.digamma(a)) for a, b in pairs])
    assert (abs(value - exact) <= 1e-13 * np.maximum(abs(exact), q * abs(np.log(z + q)))).all()
    assert (abs(slope - by_z) <= 1e-11 * abs(by_z)).all()
