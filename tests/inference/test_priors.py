"""Priors as PyMC writes them, and what a posterior owes to them."""

import json

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy import integrate, stats

import bayes_clv as clv
from bayes_clv.inference.priors import plain_priors
from tests.interpreted import AS_WRITTEN

GROUPS = ("log_prior", "log_likelihood")
CONFLICT = "potential prior-data conflict"


@pytest.mark.parametrize(
    ("distribution", "prior"),
    [
        (lambda: pm.LogNormal.dist(mu=0.3, sigma=1), clv.Prior("LogNormal", mu=0.3, sigma=1)),
        (lambda: pm.Gamma.dist(mu=2, sigma=1), clv.Prior("Gamma", alpha=4, beta=2)),
        (lambda: pm.Beta.dist(alpha=1, beta=3), clv.Prior("Beta", alpha=1, beta=3)),
        (lambda: pm.HalfNormal.dist(sigma=2), clv.Prior("HalfNormal", sigma=2)),
        (lambda: pm.Exponential.dist(lam=4), clv.Prior("Exponential", lam=4)),
        (lambda: pm.Uniform.dist(0, 4), clv.Prior("Uniform", lower=0, upper=4)),
        (lambda: pm.InverseGamma.dist(alpha=2, beta=3), clv.Prior("InverseGamma", alpha=2, beta=3)),
    ],
)
def test_a_pymc_distribution_is_read_back(distribution, prior):
    read = plain_priors({"r": distribution()})["r"]
    assert read.distribution == prior.distribution
    assert dict(read.arguments) == pytest.approx(dict(prior.arguments), rel=1e-6)
    # Arguments that PyMC takes: the same density is built from them.
    assert getattr(pm, read.distribution).dist(**dict(read.arguments)) is not None


def test_what_cannot_be_read_back_is_refused_with_what_to_write(cdnow):
    for strange in (
        pm.TruncatedNormal.dist(mu=1, sigma=2, lower=0),
        pm.LogNormal.dist(mu=[0, 1], sigma=1),
        pm.Poisson.dist(3),
    ):
        with pytest.raises(clv.InputError, match=r"cannot be read back. Write it as Prior\('Name'"):
            clv.fit("bg_nbd", cdnow, priors={"r": strange}, seed=1)
    assert plain_priors("flat") == "flat"
    assert plain_priors({"r": 3}) == {"r": 3}


@pytest.fixture(scope="module")
def default(cdnow):
    return clv.fit("bg_nbd", cdnow, method="laplace", seed=2, include=GROUPS)


def test_the_default_priors_of_cdnow_are_not_in_conflict(default):
    table = clv.inference.prior_sensitivity(default)
    assert set(table.index) == set(default["posterior"].data_vars)
    assert (table["diagnosis"] == "✓").all(), table
    assert (table["likelihood"] > 0.05).all()
    assert table.loc["alpha", "unit"] == "week"
    assert table.loc["a", "meaning"].startswith("first shape")


def test_a_strong_wrong_prior_is_a_conflict(cdnow):
    """Mean dropout .25 in CDNOW; the prior says .75 with a standard deviation of .02."""
    wrong = {"population_dropout": pm.Beta.dist(alpha=350, beta=117)}
    posterior = clv.fit("bg_nbd", cdnow, method="laplace", seed=2, priors=wrong, include=GROUPS)
    assert json.loads(posterior.attrs["priors"])["population_dropout"] == [
        "Beta",
        {"alpha": 350.0, "beta": 117.0},
    ]
    table = clv.inference.prior_sensitivity(posterior)
    assert table.loc["population_dropout", "diagnosis"] == CONFLICT


def test_the_likelihood_is_that_of_all_customers(default):
    """ArviZ on one column a customer gives the same table; rows without their counts would not."""
    count = default["observed_data"]["count"].to_numpy()
    values = default["log_likelihood"]["frequency"]

    def table(columns):
        tree = xr.DataTree.from_dict(
            {
                "posterior": default["posterior"].to_dataset(),
                "log_prior": default["log_prior"].to_dataset(),
                "log_likelihood": xr.Dataset({"y": columns.drop_vars("row")}),
            }
        )
        return az.psense_summary(tree)

    ours = clv.inference.prior_sensitivity(
        default
    )  # of the likelihood here: the prior's scale does not enter
    # Sums of 2,357 terms in another order differ by rounding, the table by its three decimals.
    np.testing.assert_allclose(
        ours["likelihood"],
        table(values.isel(row=np.repeat(np.arange(count.size), count)))["likelihood"],
        atol=0.0011,
    )
    assert np.abs(ours["likelihood"] - table(values)["likelihood"]).max() > 0.02


def test_the_log_prior_is_the_density_of_the_stated_priors(default):
    for name, (distribution, arguments) in json.loads(default.attrs["priors"]).items():
        values = default["posterior"][name].to_numpy()[0, :5]
        expected = pm.logp(getattr(pm, distribution).dist(**arguments), values).eval(mode=AS_WRITTEN)
        np.testing.assert_allclose(default["log_prior"][name].to_numpy()[0, :5], expected, rtol=1e-6)


def test_a_prior_so_wide_that_it_says_nothing_owns_nothing(cdnow):
    """On the plain scale the factor 1 / x of a LogNormal counts as information, whatever its width."""
    # Its pull on the log scale is (log x) / 9 times a posterior sd of 0.3: a third of the default's.
    wide = {"dropout_concentration": clv.Prior("LogNormal", mu=0, sigma=3)}
    posterior = clv.fit("bg_nbd", cdnow, method="laplace", seed=2, priors=wide, include=GROUPS)
    assert (clv.inference.prior_sensitivity(posterior)["prior"] < 0.02).all()


def test_refusals(make_buying, default):
    with pytest.raises(clv.InputError, match="no group 'log_prior'"):
        clv.inference.prior_sensitivity(make_buying())
    with pytest.raises(clv.InputError, match="is a point"):
        clv.inference.prior_sensitivity(make_buying(chains=1, draws=1))


def _distance(base, moved, low, high):
    """Return the cumulative Jensen-Shannon distance of two cdfs from low to high, the larger of its two directions."""
    x = np.linspace(low, high, 20_001)

    def one_way(p, q):
        middle = (p + q) / 2
        whole = integrate.trapezoid(p + q, x)
        both = [
            integrate.trapezoid(np.where(f > 0, f * np.log2(np.maximum(f, 1e-300) / middle), 0.0), x)
            for f in (p, q)
        ]
        return np.sqrt(max(sum(both), 0.0) / whole)

    return max(one_way(base(x), moved(x)), one_way(1 - base(x), 1 - moved(x)))


@pytest.mark.parametrize("prior", ["Gamma", "LogNormal"])
def test_sensitivities_are_those_of_a_case_by_hand(prior):
    """A rate of Poisson counts: 8 counts of 3 each, Gamma(2, 2) or LogNormal(0, 0.7) before.

    To the power k the Gamma(a, b) prior gives the posterior Gamma(a + S + (a - 1)(k - 1), b k + n), and the likelihood
    Gamma(a + k S, b + k n). Of the LogNormal, Normal(0, 0.7) on the log scale, both by summation. The sensitivity is
    the distance of the posteriors at k = 0.99 and 1.01 from that at 1, over |log2 k|, averaged (ArviZ's definition).
    Weights of 40,000 draws give it to some 1 / sqrt(40,000) = 0.5 %, and tables to 0.0005; 3 % are allowed.
    """
    total, n, rng = 24, 8, np.random.default_rng(9)
    x = np.linspace(0.01, 12, 60_001)
    if prior == "Gamma":
        stated, arguments = stats.gamma(2, scale=1 / 2), {"alpha": 2.0, "beta": 2.0}

        def posterior(on_prior, on_likelihood):
            shape = 2 + total * on_likelihood + (on_prior - 1)
            return stats.gamma(shape, scale=1 / (2 * on_prior + n * on_likelihood)).cdf

    else:
        stated, arguments = stats.lognorm(0.7), {"mu": 0.0, "sigma": 0.7}

        def posterior(on_prior, on_likelihood):
            log = (
                on_likelihood * (total * np.log(x) - n * x)
                - on_prior * (np.log(x) / 0.7) ** 2 / 2
                - np.log(x)
            )
            summed = integrate.cumulative_trapezoid(np.exp(log - log.max()), x, initial=0)
            return lambda at: np.interp(at, x, summed / summed[-1])

    at = posterior(1, 1)(x)
    distinct = np.append(True, np.diff(at) > 0)
    draws = np.interp(rng.random((4, 10_000)), at[distinct], x[distinct])
    name = "population_purchase_rate"
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({name: (("chain", "draw"), draws)}),
            "log_prior": xr.Dataset({name: (("chain", "draw"), stated.logpdf(draws))}),
            "log_likelihood": xr.Dataset(
                {"frequency": (("chain", "draw", "row"), (3 * np.log(draws) - draws)[..., None])}
            ),
            "observed_data": xr.Dataset({"count": ("row", [n])}),
        }
    )
    tree.attrs = {"family": "bg_nbd", "priors": json.dumps({name: [prior, arguments]})}
    found = clv.inference.prior_sensitivity(tree).loc[name]
    for what, powers in (("prior", lambda k: (k, 1)), ("likelihood", lambda k: (1, k))):
        by_hand = np.mean(
            [
                _distance(posterior(1, 1), posterior(*powers(k)), draws.min(), draws.max()) / abs(np.log2(k))
                for k in (0.99, 1.01)
            ]
        )
        assert by_hand > 0.03
        assert found[what] == pytest.approx(by_hand, rel=0.03, abs=0.0005), what
