"""Reference: the literature's figures, from the raw data, to the digits printed.

``studies.published`` computes them, and says which figures carry their authors' own arithmetic.
"""

import numpy as np
import pytest
from scipy import optimize, special, stats

import bayes_clv as clv
from bayes_clv.families.registry import family
from studies.published import (
    compared,
    computed,
    donors,
    maximum_likelihood,
    point,
    rows,
    survivors,
    worksheet_purchases,
)
from tests.interpreted import interpreted
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
nbd = paper("nbd")


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['family']}-{row['quantity']}")
def test_maximum_likelihood_gives_the_published_figure(row):
    """The published digits are a rounding of ours: no further away than half a unit of the last one."""
    with interpreted():
        found = compared(row)
    assert found["passed"], (found["published"], found["ours"])


def test_every_row_names_its_arithmetic_and_source():
    assert all(row["arithmetic"] and row["source"] for row in rows())


def test_a_figure_that_is_no_rounding_of_ours_is_found_out():
    row = next(row for row in rows() if (row["family"], row["quantity"]) == ("bg_nbd", "r"))
    assert compared(row)["passed"]
    assert not compared(row | {"published": "0.2428"})["passed"]
    assert not compared(row | {"quantity": "no such"})["passed"]


def test_the_worksheet_differs_from_the_exact_expectation_by_its_cut_series():
    """With 2,000 terms the worksheet's series (terms below 1e-48) gives our closed form."""
    with interpreted():
        ours = computed("bg_nbd")
    rate = {name: ours[name] for name in bg_nbd.PARAMETERS}
    exact = float(bg_nbd.expected_purchases(78, 0, 0, 0, **rate))
    assert abs(worksheet_purchases(78, **rate, terms=2_000) / exact - 1) < 1e-10
    assert 0 < exact - ours["new_customer_purchases_78_weeks"] < 5e-4


def test_the_nbd_is_the_maximum_of_the_negative_binomial(cdnow):
    """No published figure of the NBD on CDNOW was found that could be read; scipy's own maximum stands in for one.

    The density of the purchase times is T^-x x! times the probability of x. A Nelder-Mead optimum is good to 1e-5.
    """
    with interpreted():
        fitted = clv.fit("nbd", cdnow, method="mode", priors="flat", seed=1)
    x, age = cdnow["frequency"].to_numpy(), cdnow["T"].to_numpy()
    of_data = (special.gammaln(x + 1) - x * np.log(age)).sum()

    def negative(log_point):
        r, alpha = np.exp(log_point)
        return -(stats.nbinom.logpmf(x, r, alpha / (alpha + age)).sum() + of_data)

    best = optimize.minimize(
        negative, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}
    )
    found = point(fitted, nbd.PARAMETERS)
    np.testing.assert_allclose(list(found.values()), np.exp(best.x), rtol=1e-5)
    assert fitted["sample_stats"]["lp"].item() == pytest.approx(-best.fun, abs=1e-6)


@pytest.fixture(scope="module", params=["bg_nbd", "gamma_gamma"])
def sampled(request, cdnow):
    """A family of the two that have published figures, and its posterior of CDNOW by NUTS."""
    return request.param, clv.fit(request.param, cdnow, seed=1, progress=False)


def test_nuts_converges_and_agrees_with_the_published_figures(sampled):
    """R-hat below 1.01, no divergence, and every published figure in the posterior's central 95 %.

    With default priors the mode moves by less than a posterior standard deviation, so that a figure outside
    the interval is a disagreement.
    """
    name, posterior = sampled
    found = clv.diagnostics(posterior)
    assert found["passed"], found["problems"]
    assert found["rhat_max"] < 1.01
    assert found["divergences"] == 0
    published = {row["quantity"]: float(row["published"]) for row in rows() if row["family"] == name}
    for parameter in family(name).parameters:
        draws = posterior["posterior"][parameter].values
        low, high = np.quantile(draws, [0.025, 0.975])
        assert low < published[parameter] < high


def test_laplace_agrees_with_nuts(sampled, cdnow):
    """Quantiles of the two within 5 Monte Carlo standard errors, and Pareto k under ArviZ's threshold.

    The standard error of a quantile is sqrt(q (1 - q) / n) / density; with a normal density and n effective
    draws of each method it is 1.36 sd / sqrt(n) at q = 0.05 or 0.95 (0.218 / 0.103 = 2.11 of it) and
    1.25 sd / sqrt(n) at the median. n is at least 1,500 here (4,000 draws, each method's own efficiency), two
    methods: 2.11 sqrt(2 / 1500) = 0.077 sd at the ends, 0.046 sd in the middle; 21 comparisons.
    """
    name, nuts = sampled
    fast = clv.fit(name, cdnow, method="laplace", seed=3)
    found = clv.diagnostics(fast)
    assert found["passed"], found["problems"]
    assert found["pareto_k"] < found["pareto_k_threshold"]
    assert clv.diagnostics(nuts)["ess_bulk_min"] > 1_500
    for variable in family(name).quantities:
        exact, quick = (np.log(tree["posterior"][variable].values).ravel() for tree in (nuts, fast))
        difference = (
            np.quantile(quick, [0.05, 0.5, 0.95]) - np.quantile(exact, [0.05, 0.5, 0.95])
        ) / exact.std()
        assert (np.abs(difference) < 5 * np.array([0.077, 0.046, 0.077])).all(), (variable, difference)


def test_pareto_nbd_by_laplace_passes_its_check_and_agrees_with_the_published_figures(cdnow):
    """Pareto k below its threshold, and every published parameter in the posterior's central 95 %."""
    fitted = clv.fit("pareto_nbd", cdnow, method="laplace", draws=500, seed=1)
    found = clv.diagnostics(fitted)
    assert found["passed"], found["problems"]
    assert found["pareto_k"] < found["pareto_k_threshold"]
    published = {row["quantity"]: float(row["published"]) for row in rows() if row["family"] == "pareto_nbd"}
    for name in family("pareto_nbd").parameters:
        low, high = np.quantile(fitted["posterior"][name], [0.025, 0.975])
        assert low < published[name] < high


@pytest.mark.full
def test_pareto_nbd_by_nuts_has_400_effective_draws_of_every_parameter(cdnow):
    """4 chains of 1,000: no divergence, R-hat below 1.01, bulk and tail at least 400."""
    found = clv.diagnostics(clv.fit("pareto_nbd", cdnow, seed=1, progress=False))
    assert found["passed"], found["problems"]
    assert found["divergences"] == 0
    assert found["rhat_max"] < 1.01
    assert min(found["ess_bulk_min"], found["ess_tail_min"]) >= 400


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("bg_bb", donors, marks=pytest.mark.full),
        pytest.param("shifted_beta_geometric", lambda: survivors("high_end", 7), marks=pytest.mark.full),
        pytest.param("beta_discrete_weibull", lambda: survivors("high_end", 7), marks=pytest.mark.full),
        pytest.param("beta_discrete_weibull", lambda: survivors("regular", 7), marks=pytest.mark.full),
    ],
)
def test_nuts_converges_on_donors_and_contracts(name, data):
    """R-hat below 1.01, at least 400 effective draws, no divergence; the published figures in the central 99 %.

    99 and not 95 %, because the priors of concentrations draw BdW's ridge away from its maximum.
    """
    posterior = clv.fit(name, data(), seed=1, progress=False)
    found = clv.diagnostics(posterior)
    assert found["passed"], found["problems"]
    assert found["rhat_max"] < 1.01
    assert found["divergences"] == 0
    assert min(found["ess_bulk_min"], found["ess_tail_min"]) >= 400
    best = maximum_likelihood(name, data())
    for key in family(name).parameters:
        low, high = np.quantile(posterior["posterior"][key].values, [0.005, 0.995])
        assert low < best[key] < high, key
