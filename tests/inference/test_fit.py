"""What a fit holds, what it does not depend on, and what it refuses. NUTS is in ``test_published``."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import bayes_clv as clv
from bayes_clv.inference.criticism.diagnostics import diagnose_laplace, diagnose_nuts
from bayes_clv.problems import cards
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")


def laplace(name, customers, **arguments):
    return clv.fit(name, customers, method="laplace", draws=250, seed=5, **arguments)


@pytest.fixture(scope="module")
def small(cdnow):
    """The first 400 customers: enough to learn from, quick to fit."""
    return cdnow.isel(customer=slice(400))


# Methods ---------------------------------------------------------------------------------------------


def test_mode_says_that_it_is_a_point(small):
    posterior = clv.fit("bg_nbd", small, method="mode", seed=1)
    found = clv.diagnostics(posterior)
    assert not found["passed"]
    assert [each.code for each in found["problems"]] == ["mode"]
    assert posterior["posterior"].sizes == {"chain": 1, "draw": 1}


def test_a_seed_repeats_the_draws(small):
    first, second = laplace("bg_nbd", small), laplace("bg_nbd", small)
    assert first["posterior"].equals(second["posterior"])


# Invariance ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "factor"), [("day", 7.0), ("hour", 168.0), ("year", 7 / 365.2425)])
def test_priors_and_posterior_do_not_know_the_time_unit(unit, factor):
    """The same draws in another unit: the posterior is the same function of unit-free quantities.

    The peak is found to about 1e-8 of a posterior standard deviation, hence 1e-6.
    """
    orders = clv.load_cdnow().query("customer_id < '0400'")
    weeks, other = (
        laplace("bg_nbd", clv.summarize(orders, until="1997-09-30", time_unit=each))["posterior"]
        for each in ("week", unit)
    )
    for name in ("r", "a", "b"):
        assert_allclose(other[name], weeks[name], rtol=1e-6)
    assert_allclose(other["alpha"], weeks["alpha"] * factor, rtol=1e-6)
    assert_allclose(other["population_purchase_rate"], weeks["population_purchase_rate"] / factor, rtol=1e-6)


def test_priors_and_posterior_do_not_know_the_money_unit(small):
    cents = small.assign(monetary_value=small["monetary_value"] * 100).assign_attrs(currency="¢")
    in_dollars, in_cents = (laplace("gamma_gamma", each)["posterior"] for each in (small, cents))
    for name in ("p", "q"):
        assert_allclose(in_cents[name], in_dollars[name], rtol=1e-6)
    for name in ("v", "population_spend"):
        assert_allclose(in_cents[name], in_dollars[name] * 100, rtol=1e-6)
        # Tables and figures say which money, where the customers do.
        assert [each[name].attrs["units"] for each in (in_dollars, in_cents)] == ["money", "¢"]


def test_the_order_of_customers_does_not_matter(small):
    shuffled = small.isel(customer=np.random.default_rng(4).permutation(small.sizes["customer"]))
    assert laplace("bg_nbd", shuffled)["posterior"].equals(laplace("bg_nbd", small)["posterior"])


def test_a_table_of_another_package_gives_the_same_posterior(small):
    table = pd.DataFrame(
        {name: small[name].values for name in ("frequency", "recency", "T", "monetary_value")}
    )
    ours, theirs = laplace("bg_nbd", small), laplace("bg_nbd", table)
    assert ours["posterior"].equals(theirs["posterior"])
    assert theirs.attrs["time_unit"] == "unstated"


# Groups ----------------------------------------------------------------------------------------------


def test_groups_on_request(small):
    posterior = laplace(
        "bg_nbd", small, include=("prior", "prior_predictive", "posterior_predictive", "log_likelihood")
    )
    observed = posterior["observed_data"]["customers_by_frequency"]
    assert int(observed.sum()) == 400
    for group in ("prior_predictive", "posterior_predictive"):
        replicated = posterior[group]["customers_by_frequency"]
        assert (replicated.sum("frequency_class") == 400).all()
    # A share of customers without repeat purchase as observed: its predictive interval holds it.
    none = posterior["posterior_predictive"]["customers_by_frequency"].sel(frequency_class=0)
    assert (
        float(none.quantile(0.005)) <= float(observed.sel(frequency_class=0)) <= float(none.quantile(0.995))
    )
    rate = posterior["prior"]["population_purchase_rate"]
    scale = float(small["frequency"].sum() / small["T"].sum())
    # The median of 500 LogNormal(log scale, 1.5) draws: standard error 1.5 * 1.2533 / sqrt(500) = 0.084.
    assert abs(np.log(float(rate.median()) / scale)) < 4 * 0.084


def test_pointwise_log_likelihood_has_one_column_a_distinct_history(small):
    posterior = laplace("bg_nbd", small, include=("log_likelihood",))
    pointwise = posterior["log_likelihood"]["frequency"]
    count = posterior["observed_data"]["count"]
    assert pointwise.sizes["row"] == count.size < 400
    draw = {name: posterior["posterior"][name].values[1, 7] for name in bg_nbd.PARAMETERS}
    whole = (
        bg_nbd.log_likelihood(draw, *(small[name].values.astype(float) for name in bg_nbd.OBSERVED))
        .eval(mode=AS_WRITTEN)
        .sum()
    )
    assert_allclose(float((pointwise.isel(chain=1, draw=7) * count).sum()), whole, rtol=1e-10)


def test_the_root_carries_what_prediction_needs(small):
    posterior = laplace("bg_nbd", small)
    assert posterior.attrs["family"] == "bg_nbd"
    assert posterior.attrs["time_unit"] == "week"
    assert posterior.attrs["customers"] == 400
    assert posterior.attrs["seed"] == 5
    assert set(json.loads(posterior.attrs["priors"])) == set(bg_nbd.QUANTITIES)
    assert "pymc" in json.loads(posterior.attrs["versions"])


def test_given_priors_are_used(small):
    tight = {"population_dropout": clv.Prior("Beta", alpha=8000, beta=2000)}
    posterior = laplace("bg_nbd", small, priors=tight)
    assert abs(float(posterior["posterior"]["population_dropout"].mean()) - 0.8) < 0.05
    assert json.loads(posterior.attrs["priors"])["population_dropout"] == [
        "Beta",
        {"alpha": 8000.0, "beta": 2000.0},
    ]


# Diagnostics -----------------------------------------------------------------------------------------


@pytest.fixture
def sampled(make_buying):
    """Independent draws with the statistics of a sampler that had no trouble, as NUTS gives them."""
    tree = make_buying(chains=4, draws=1000)
    dims, shape = ("chain", "draw"), (4, 1000)
    quiet = {name: (dims, np.zeros(shape, dtype=bool)) for name in ("diverging", "reached_max_treedepth")}
    energy = np.random.default_rng(1).normal(size=shape)
    tree["sample_stats"] = xr.DataTree(xr.Dataset(quiet | {"energy": (dims, energy)}))
    assert diagnose_nuts(tree, list(bg_nbd.PARAMETERS))["passed"]
    return tree


def test_too_few_draws_are_reported(sampled):
    short = sampled.map_over_datasets(
        lambda dataset: dataset.isel(draw=slice(15)) if "draw" in dataset.dims else dataset
    )
    found = diagnose_nuts(short, list(bg_nbd.PARAMETERS))
    assert not found["passed"]
    assert "ess" in [each.code for each in found["problems"]]


def test_chains_that_disagree_are_reported(sampled):
    apart = sampled.copy()
    shift = apart["posterior"]["r"].copy()
    shift[0] += 1.0
    apart["posterior"]["r"] = shift
    found = diagnose_nuts(apart, list(bg_nbd.PARAMETERS))
    assert found["rhat_max"] > 1.01
    assert "rhat" in [each.code for each in found["problems"]]


def test_divergences_are_reported(sampled):
    diverged = sampled.copy()
    flags = diverged["sample_stats"]["diverging"].copy()
    flags[0, :3] = True
    diverged["sample_stats"]["diverging"] = flags
    (found,) = [each for each in diagnose_nuts(diverged, ["r"])["problems"] if each.code == "divergences"]
    assert found.found.startswith("3 of 4,000 transitions diverged")
    assert found.numbers == {"divergences": 3, "transitions": 4000}


def test_a_high_pareto_k_names_nuts():
    found = diagnose_laplace({"pareto_k": 0.91, "pareto_k_threshold": 0.7})
    assert not found["passed"]
    (problem,) = found["problems"]
    assert "0.91 (should be below 0.70)" in problem.found
    assert "method='nuts'" in cards([problem])[0].remedies[0]


# Refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "bgnbd"}, "Family 'bgnbd' is not known. Use one of bg_nbd"),
        ({"method": "advi"}, "Method 'advi' is not known. Use one of nuts, laplace, mode"),
        ({"include": ("waic",)}, "Group 'waic' is not known"),
        ({"draws": 0}, "draws=0 must be at least 1"),
        ({"priors": "weak"}, "priors='weak' is not known"),
        ({"priors": {"lambda": clv.Prior("Beta", alpha=1, beta=1)}}, "no population quantity 'lambda'"),
        ({"priors": {"r": "wide"}}, "Write it as Prior"),
        ({"priors": {"r": clv.Prior("NoSuch", mu=1)}}, "PyMC has no distribution 'NoSuch'"),
        ({"priors": {"r": clv.Prior("LogNormal", middle=1)}}, "cannot be built"),
        ({"priors": "flat", "include": ("prior",)}, "flat prior cannot be drawn from"),
    ],
)
def test_a_bad_argument_is_explained(small, change, message):
    arguments = {"family": "bg_nbd", "method": "mode", "seed": 1, **change}
    with pytest.raises(clv.InputError, match=message.replace("(", r"\(")):
        clv.fit(arguments.pop("family"), small, **arguments)


def test_one_customer_is_refused(small):
    with pytest.raises(clv.InputError, match="There is 1 customer.*some hundreds"):
        clv.fit("bg_nbd", small.isel(customer=[0]), seed=1)


@pytest.mark.parametrize("name", ["bg_nbd", "gamma_gamma"])
def test_no_repeat_customer_is_refused(small, name):
    once = small.isel(customer=np.flatnonzero(small["frequency"].values == 0))
    with pytest.raises(
        clv.InputError, match="None of the .* customers has a repeat purchase.*customer id column"
    ):
        clv.fit(name, once, seed=1)


def test_spend_is_needed_for_spend(small):
    with pytest.raises(
        clv.InputError, match="gamma_gamma needs frequency, monetary_value.*lack 'monetary_value'"
    ):
        clv.fit("gamma_gamma", small.drop_vars("monetary_value"), seed=1)


def test_one_spender_is_refused(small):
    zero = small["monetary_value"].copy()
    zero[1:] = 0.0
    with pytest.raises(
        clv.InputError, match="1 of 400 customers have a repeat occasion with a positive mean spend"
    ):
        clv.fit("gamma_gamma", small.assign(monetary_value=zero), seed=1)


def test_a_peak_far_from_the_start_is_found():
    """A line search once ran from here to a shape of e^28, where no digits are left, and gave up."""
    frequency = np.ceil(np.log(1 - (np.arange(500) + 0.5) / 500) / np.log(0.7))
    spend = gamma_gamma.simulate(np.random.default_rng(0), frequency, 0.0712, 15.43, 39068.0)
    table = pd.DataFrame({"frequency": frequency, "recency": 10.0, "T": 20.0, "monetary_value": spend})
    posterior = clv.fit(
        "gamma_gamma",
        clv.customers.from_table(table, time_unit="week"),
        method="laplace",
        priors={"population_spend": clv.Prior("LogNormal", mu=np.log(30), sigma=1)},
        draws=100,
        seed=1,
        progress=False,
    )
    assert clv.diagnostics(posterior)["pareto_k"] < 0.7
    # Within 4 posterior standard deviations of the truth.
    shape = posterior["posterior"]["p"]
    assert abs(float(shape.mean()) - 0.0712) < 4 * float(shape.std())
