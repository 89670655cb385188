"""Published and independently computed numbers; tests/reference holds them with their sources."""

import csv
from pathlib import Path

import mpmath as mp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")
mbg_nbd = paper("mbg_nbd")
nbd = paper("nbd")

REFERENCE = Path(__file__).parents[1] / "reference"
# Maximum likelihood on CDNOW, recomputed: Fader, Hardie & Lee 2005, table 2, prints three digits.
PUBLISHED = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
# The claim of the modules: 1e-9 relative. What the arithmetic gives is some 1e-11, from lnGamma(4000) = 3e4.
RELATIVE = 1e-10
SMALLEST = 1e-290
COLUMNS = ("t", "x", "t_x", "T", "r", "alpha", "a", "b")


def table(name):
    with (REFERENCE / name).open() as file:
        rows = list(csv.DictReader(file))
    return {column: np.array([float(row[column]) for row in rows]) for column in rows[0] if column != "check"}


@pytest.mark.parametrize(("module", "least"), [("bg_nbd", 120), ("mbg_nbd", 40)])
@pytest.mark.parametrize("name", ["expected_purchases", "survival"])
def test_forecasts_agree_with_mpmath_at_ordinary_and_extreme_histories(module, least, name):
    reference = table(f"{module}_forecasts.csv")
    expected = reference[name]
    value = getattr(paper(module), name)(*(reference[column] for column in COLUMNS))
    held = expected > SMALLEST
    assert held.sum() > least
    np.testing.assert_allclose(value[held], expected[held], rtol=RELATIVE)
    assert (value[~held] <= SMALLEST).all()


@pytest.mark.parametrize("module", ["bg_nbd", "mbg_nbd"])
def test_pmf_agrees_with_mpmath_at_ordinary_and_extreme_histories(module):
    reference = table(f"{module}_pmf.csv")
    expected = reference.pop("pmf")
    assert expected.size > 50
    np.testing.assert_allclose(paper(module).purchases_pmf(**reference), expected, rtol=RELATIVE)


def test_mbg_nbd_agrees_with_the_2f1_of_its_paper():
    """The paper's closed form of E[Y(t)], with 50 digits, a = 1 by a step of 1e-20, long horizons included."""
    histories = [(0, 0.0, 0.0), (0, 0.0, 39.0), (2, 30.43, 38.86), (40, 39.0, 39.0)]
    for x, t_x, T in histories:
        for t in (0.01, 39.0, 10_000.0):
            for a in (0.3, 1.0, 2.5):
                r, alpha, b = 0.5248, 6.183, 1.614
                with mp.workdps(50):
                    exact = mp.mpf(a) if a != 1 else 1 + mp.mpf(10) ** -20
                    k, z = mp.mpf(r) + x, t / (mp.mpf(alpha) + T + t)
                    hyper = mp.hyp2f1(k, mp.mpf(b) + x + 1, exact + b + x, z)
                    gone = exact / (b + x) * ((mp.mpf(alpha) + T) / (mp.mpf(alpha) + t_x)) ** k
                    mean = (exact + b + x) / (exact - 1) * (1 - (1 - z) ** k * hyper) / (1 + gone)
                value = float(mbg_nbd.expected_purchases(t, x, t_x, T, r, alpha, a, b))
                assert value == pytest.approx(float(mean), rel=RELATIVE)


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


def mp_density(name, x, t_x, T, r, alpha, a, b):
    """Return the likelihood as its paper prints it (BG/NBD: eq. 6), and P(alive)."""
    t_x, T, r, alpha, a, b = map(mp.mpf, (t_x, T, r, alpha, a, b))
    tosses = {"nbd": 0, "bg_nbd": x, "mbg_nbd": x + 1}[name]
    here = mp.beta(a, b + tosses) / mp.beta(a, b) * (alpha + T) ** -(r + x)
    gone = mp.mpf(0)
    if tosses:
        gone = mp.beta(a + 1, b + tosses - 1) / mp.beta(a, b) * (alpha + t_x) ** -(r + x)
    return mp.gamma(r + x) * alpha**r / mp.gamma(r) * (here + gone), here / (here + gone)


@pytest.mark.parametrize("module", [nbd, bg_nbd, mbg_nbd])
def test_likelihood_and_probability_alive_agree_with_mpmath(module):
    name = module.record.name
    params = {key: pt.dscalar(key) for key in module.PARAMETERS}
    columns = [pt.dvector(key) for key in module.OBSERVED]
    graph = pytensor.function(
        [*params.values(), *columns],
        module.log_likelihood(params, *columns),
        on_unused_input="ignore",
        mode=AS_WRITTEN,
    )
    histories = [(0, 0.0, 0.01), (0, 0.0, 1e4), (1, 0.5, 39.0), (3, 39.0, 39.0), (1_000, 39.0, 39.0)]
    histories += [(1, 1e-5, 0.01), (1_000, 1e3, 1e4), (1_000, 38.9, 39.0)]
    x, t_x, T = np.array(histories, dtype=float).T
    dropout = ((0.01, 1.0, 1_000.0), (0.01, 2.4259, 1_000.0)) if name != "nbd" else ((1.0,), (1.0,))
    with mp.workdps(40):
        for r, alpha in ((0.001, 1e-3), (0.2426, 4.4136), (50.0, 1e4), (0.001, 1e4)):
            for a in dropout[0]:
                for b in dropout[1]:
                    point = (r, alpha, a, b)[: len(params)]
                    value = graph(*point, x, t_x, T)
                    alive = module.probability_alive(x, t_x, T, *point)
                    for i, history in enumerate(histories):
                        density, share = mp_density(name, *history, r, alpha, a, b)
                        # The logarithm to 1e-10: the likelihood itself to 1e-10 relative.
                        assert abs(float(value[i] - mp.log(density))) < RELATIVE
                        if share > SMALLEST:
                            assert abs(float(alive[i] / share - 1)) < RELATIVE


def test_gamma_gamma_likelihood_agrees_with_mpmath():
    params = {name: pt.dscalar(name) for name in gamma_gamma.PARAMETERS}
    columns = [pt.dvector(name) for name in gamma_gamma.OBSERVED]
    graph = pytensor.function(
        [*params.values(), *columns], gamma_gamma.log_likelihood(params, *columns), mode=AS_WRITTEN
    )
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
