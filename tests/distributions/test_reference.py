"""Published and independently computed numbers; tests/reference holds them with their sources."""

import csv
from pathlib import Path

import mpmath as mp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from bayes_clv.distributions import bg_nbd, gamma_gamma

REFERENCE = Path(__file__).parents[1] / "reference"
# Fader, Hardie & Lee 2005, table 2: maximum likelihood on CDNOW, rounded as printed.
PUBLISHED = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
# The claim of the modules: 1e-9 relative. What the arithmetic gives is some 1e-11, from lnGamma(4000) = 3e4.
RELATIVE = 1e-10
SMALLEST = 1e-290
COLUMNS = ("t", "x", "t_x", "T", "r", "alpha", "a", "b")


def table(name):
    with (REFERENCE / name).open() as file:
        rows = list(csv.DictReader(file))
    return {column: np.array([float(row[column]) for row in rows]) for column in rows[0] if column != "check"}


@pytest.mark.parametrize("name", ["expected_purchases", "survival"])
def test_forecasts_agree_with_mpmath_at_ordinary_and_extreme_histories(name):
    reference = table("bg_nbd_forecasts.csv")
    expected = reference[name]
    value = getattr(bg_nbd, name)(*(reference[column] for column in COLUMNS))
    held = expected > SMALLEST
    assert held.sum() > 120
    np.testing.assert_allclose(value[held], expected[held], rtol=RELATIVE)
    assert (value[~held] <= SMALLEST).all()


def test_pmf_agrees_with_mpmath_at_ordinary_and_extreme_histories():
    reference = table("bg_nbd_pmf.csv")
    expected = reference.pop("pmf")
    np.testing.assert_allclose(bg_nbd.purchases_pmf(**reference), expected, rtol=RELATIVE)


def assert_published(function, printed, digits):
    """Hold a value to a printed one: half a digit of it, and of each of the four printed parameters."""
    value = function(PUBLISHED)
    slack = 0.5 * 10.0**-digits
    for name in PUBLISHED:
        moved = function({**PUBLISHED, name: PUBLISHED[name] + 0.5e-4})
        slack += abs(float(moved - value))
    assert abs(float(value) - printed) <= slack
    assert slack < 6 * 10.0**-digits


@pytest.mark.parametrize(
    ("t", "printed"), [(1 / 7, 0.0078), (1, 0.0532), (3, 0.1506), (32, 1.0437), (78, 1.8576)]
)
def test_published_expected_purchases_of_a_new_customer(t, printed):
    assert_published(lambda p: bg_nbd.expected_purchases(t, 0, 0, 0, **p), printed, 4)


def test_published_forecast_and_probability_alive_of_one_customer():
    assert_published(lambda p: bg_nbd.expected_purchases(39, 2, 30.43, 38.86, **p), 1.226, 3)
    assert_published(lambda p: bg_nbd.probability_alive(2, 30.43, 38.86, **p), 0.7266, 4)


def mp_density(x, t_x, T, r, alpha, a, b):
    """Return the likelihood as it is printed, eq. 6 of the paper, and P(alive)."""
    t_x, T, r, alpha, a, b = map(mp.mpf, (t_x, T, r, alpha, a, b))
    here = mp.beta(a, b + x) / mp.beta(a, b) * (alpha + T) ** -(r + x)
    gone = mp.beta(a + 1, b + x - 1) / mp.beta(a, b) * (alpha + t_x) ** -(r + x) if x else mp.mpf(0)
    return mp.gamma(r + x) * alpha**r / mp.gamma(r) * (here + gone), here / (here + gone)


def test_bg_nbd_likelihood_and_probability_alive_agree_with_mpmath():
    params = {name: pt.dscalar(name) for name in bg_nbd.PARAMETERS}
    columns = [pt.dvector(name) for name in bg_nbd.OBSERVED]
    graph = pytensor.function([*params.values(), *columns], bg_nbd.log_likelihood(params, *columns))
    histories = [(0, 0.0, 0.01), (0, 0.0, 1e4), (1, 0.5, 39.0), (3, 39.0, 39.0), (1_000, 39.0, 39.0)]
    histories += [(1, 1e-5, 0.01), (1_000, 1e3, 1e4), (1_000, 38.9, 39.0)]
    x, t_x, T = np.array(histories, dtype=float).T
    with mp.workdps(40):
        for r, alpha in ((0.001, 1e-3), (0.2426, 4.4136), (50.0, 1e4), (0.001, 1e4)):
            for a in (0.01, 1.0, 1_000.0):
                for b in (0.01, 2.4259, 1_000.0):
                    value = graph(r, alpha, a, b, x, t_x, T)
                    alive = bg_nbd.probability_alive(x, t_x, T, r, alpha, a, b)
                    for i, history in enumerate(histories):
                        density, share = mp_density(*history, r, alpha, a, b)
                        # The logarithm to 1e-10: the likelihood itself to 1e-10 relative.
                        assert abs(float(value[i] - mp.log(density))) < RELATIVE
                        if share > SMALLEST:
                            assert abs(float(alive[i] / share - 1)) < RELATIVE


def test_gamma_gamma_likelihood_agrees_with_mpmath():
    params = {name: pt.dscalar(name) for name in gamma_gamma.PARAMETERS}
    columns = [pt.dvector(name) for name in gamma_gamma.OBSERVED]
    graph = pytensor.function([*params.values(), *columns], gamma_gamma.log_likelihood(params, *columns))
    x, zbar = (grid.ravel() for grid in np.meshgrid([1.0, 2, 50, 1_000], [0.01, 35, 1e6]))
    with mp.workdps(40):
        for p in (0.01, 6.25, 1e4):
            for q in (0.01, 1.5, 3.74, 1e3):
                for v in (1e-3, 15.44, 1e6):
                    value = graph(p, q, v, x, zbar)
                    for i in range(x.size):
                        n, z, pp, qq, vv = map(mp.mpf, (x[i], zbar[i], p, q, v))
                        expected = (
                            mp.loggamma(pp * n + qq)
                            - mp.loggamma(pp * n)
                            - mp.loggamma(qq)
                            + qq * mp.log(vv)
                            + (pp * n - 1) * mp.log(z)
                            + pp * n * mp.log(n)
                            - (pp * n + qq) * mp.log(vv + n * z)
                        )
                        # p x = 1e7 leaves log1p terms of up to 1e8, each right to 1e-16.
                        tolerance = RELATIVE * max(1, abs(float(expected)) / 100)
                        assert abs(float(value[i] - expected)) < tolerance
