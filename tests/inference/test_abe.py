"""Abe's lognormal model fitted to CDNOW, beside the figures that BTYDplus prints of its own sampler.

The figures: 2.5, 50 and 97.5 % of the posterior in the vignette of BTYDplus (Platzer, "Customer Base Analysis with
BTYDplus", section Pareto/NBD (Abe), MCMC of 7,500 after 2,500), which its author compares with Table 3 of Abe (2009).
Its priors are not ours (a normal and an inverse Wishart, both wide), and its quantiles are of a few hundred draws that
depend on one another: so the medians are held to the other's central 95 %, both ways, and the ends to nothing.
"""

import numpy as np
import pytest

import bayes_clv as clv

WITHOUT = {
    "log_lambda": (-3.70, -3.54, -3.32),
    "log_mu": (-3.96, -3.59, -3.26),
    "var_log_lambda": (1.10, 1.34, 1.65),
    "cov_log_lambda_log_mu": (-0.20, 0.13, 0.74),
    "var_log_mu": (1.44, 2.62, 5.05),
}
# Per 1,000 dollars of the first purchase. Its chain visited variances of 0.01: the rest of that table says little.
FIRST_SALES = {"purchase": (0.04, 6.04, 9.39), "dropout": (-9.02, 1.73, 7.90)}


def abes(posterior):
    """Return Abe's parameters, draw by draw, from the population quantities."""
    s1, s2 = posterior["log_rate_sd"], posterior["log_dropout_sd"]
    return {
        "log_lambda": np.log(posterior["population_purchase_rate"]),
        "log_mu": np.log(posterior["population_dropout_rate"]),
        "var_log_lambda": s1**2,
        "cov_log_lambda_log_mu": -np.cos(np.pi * posterior["concordance"]) * s1 * s2,
        "var_log_mu": s2**2,
    }


@pytest.mark.full
def test_cdnow_by_laplace_passes_its_check_and_agrees_with_the_published_intervals(cdnow):
    fitted = clv.fit("pareto_abe", cdnow, method="laplace", draws=500, seed=1)
    found = clv.diagnostics(fitted)
    assert found["passed"], found["problems"]
    for name, draws in abes(fitted["posterior"].dataset).items():
        low, median, high = np.quantile(draws, [0.025, 0.5, 0.975])
        first, middle, last = WITHOUT[name]
        assert low < middle < high
        assert first < median < last


@pytest.mark.full
def test_who_spends_much_at_first_buys_faster(cdnow):
    customers = cdnow.assign(first_thousands=cdnow["first_spend"] / 1000)
    columns = {"purchase": ["first_thousands"], "dropout": ["first_thousands"]}
    fitted = clv.fit("pareto_abe", customers, method="laplace", draws=500, seed=1, covariates=columns)
    # Numbers are standardised in the fit.
    sd = float(customers["first_thousands"].std())
    for process, (first, middle, last) in FIRST_SALES.items():
        draws = fitted["posterior"][f"{process}_coefficient"].to_numpy().ravel() / sd
        low, median, high = np.quantile(draws, [0.025, 0.5, 0.975])
        assert low < middle < high
        assert first < median < last
