"""Fits to opportunities and contracts: what a count is worth, what a fit holds and what it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pytensor import config
from scipy import special

import bayes_clv as clv
from bayes_clv.families.quantities import Prior, resolve, starting_point
from bayes_clv.families.registry import family
from bayes_clv.inference.graph import build_model
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

beta_discrete_weibull = paper("beta_discrete_weibull")

REFERENCE = Path(__file__).parents[1] / "reference"
GROUPS = ("prior", "prior_predictive", "posterior_predictive", "log_likelihood")


@pytest.fixture(scope="module")
def donors():
    """A tenth of the published donors, 22 histories."""
    table = pd.read_csv(REFERENCE / "donors.csv", comment="#")
    table["count"] = (table["count"] / 10).round().astype(int)
    return table


@pytest.fixture(scope="module")
def giving(donors):
    return clv.fit(
        "bg_bb", clv.customers.from_opportunities(donors), method="laplace", draws=250, seed=5, include=GROUPS
    )


@pytest.fixture(scope="module")
def renewing():
    return clv.fit(
        "beta_discrete_weibull",
        clv.customers.from_survivors([1000, 869, 743, 653, 593, 551, 517, 491]),
        method="laplace",
        draws=250,
        seed=5,
        include=GROUPS,
    )


def test_a_count_is_worth_as_many_customers(donors, giving):
    """The same likelihood and draws from one row a customer, in another order."""
    whole = (
        donors.loc[donors.index.repeat(donors["count"])].drop(columns="count").sample(frac=1, random_state=1)
    )
    apart = clv.fit("bg_bb", whole.reset_index(drop=True), method="laplace", draws=250, seed=5)
    assert apart["posterior"].equals(giving["posterior"])
    assert giving.attrs["customers"] == apart.attrs["customers"] == donors["count"].sum()
    assert giving.attrs["distinct_rows"] == 22
    assert giving.attrs["time_unit"] == "opportunity"


@pytest.mark.parametrize(("fitted", "checked"), [("giving", "frequency"), ("renewing", "renewals")])
def test_predictive_groups_replicate_the_whole_base(request, fitted, checked):
    """Each replicated base has every customer; the observed classes lie in the central 99.8 % of the replicated."""
    tree = request.getfixturevalue(fitted)
    observed = tree["observed_data"][f"customers_by_{checked}"]
    assert int(observed.sum()) == tree.attrs["customers"]
    for group in ("prior_predictive", "posterior_predictive"):
        assert (
            tree[group][f"customers_by_{checked}"].sum(f"{checked}_class") == tree.attrs["customers"]
        ).all()
    replicated = tree["posterior_predictive"][f"customers_by_{checked}"]
    low, high = (replicated.quantile(q, ("chain", "draw")) for q in (0.001, 0.999))
    assert ((low <= observed) & (observed <= high)).all()


@pytest.mark.parametrize(("fitted", "name"), [("giving", "bg_bb"), ("renewing", "beta_discrete_weibull")])
def test_pointwise_log_likelihood_is_that_of_the_family(request, fitted, name):
    tree, module = request.getfixturevalue(fitted), family(name)
    pointwise = tree["log_likelihood"][module.checked].isel(chain=1, draw=7)
    draw = {key: tree["posterior"][key].values[1, 7] for key in module.parameters}
    columns = {key: tree["observed_data"][key].values for key in module.observed}
    assert_allclose(pointwise, module.log_likelihood(draw, columns).eval(mode=AS_WRITTEN), rtol=1e-9)


def test_a_posterior_comes_back_from_its_file(giving, tmp_path):
    again = clv.load(clv.save(giving, tmp_path / "giving.nc"))
    assert again["posterior"].equals(giving["posterior"])
    assert again.attrs["family"] == "bg_bb"


def test_predictive_checks_need_to_know_how_long_the_lost_were_observed():
    table = pd.DataFrame({"renewals": [0, 1, 3], "active": [0, 0, 1], "count": [20, 10, 30]})
    with pytest.raises(clv.InputError, match="Predictive checks of shifted_beta_geometric need periods"):
        clv.fit("shifted_beta_geometric", table, method="mode", seed=1, include=("posterior_predictive",))


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        (
            "bg_bb",
            {"frequency": [0, 0], "recency": [0, 0], "opportunities": [6, 6]},
            "None of the 2 customers bought",
        ),
        (
            "bg_bb",
            {"frequency": [6, 6], "recency": [6, 6], "opportunities": [6, 6]},
            "All 2 customers bought at every",
        ),
        ("bg_bb", {"frequency": [1], "recency": [1], "opportunities": [6]}, "There is 1 customer"),
        (
            "shifted_beta_geometric",
            {"renewals": [2, 5], "active": [1, 1]},
            "All 2 customers are still under contract",
        ),
        (
            "beta_discrete_weibull",
            {"renewals": [0, 0], "active": [0, 1]},
            "None of the 2 customers has made a renewal",
        ),
        ("shifted_beta_geometric", {"renewals": [2, 5]}, "no column 'active'"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(name, table, message):
    with pytest.raises(clv.InputError, match=message):
        clv.fit(name, pd.DataFrame(table), seed=1)


def test_data_of_another_kind_are_refused(cdnow, donors):
    buyers = clv.customers.from_opportunities(donors)
    with pytest.raises(
        clv.InputError, match="bg_bb needs .*lack 'opportunities'.*clv.customers.from_opportunities"
    ):
        clv.fit("bg_bb", cdnow, seed=1)
    with pytest.raises(
        clv.InputError, match="needs renewals, active.*lack 'renewals'.*clv.customers.from_survivors"
    ):
        clv.fit("shifted_beta_geometric", buyers, seed=1)
    with pytest.raises(clv.InputError, match="no column 'T'"):
        clv.fit("bg_nbd", buyers, seed=1)


def test_priors_of_opportunities_are_overridden_by_name(donors):
    tight = {"population_dropout": clv.Prior("Beta", alpha=8000, beta=2000)}
    fitted = clv.fit("bg_bb", donors, method="mode", priors=tight, seed=1)
    assert abs(float(np.ravel(fitted["posterior"]["population_dropout"].values)[0]) - 0.8) < 0.05


REGULAR = pd.read_csv(REFERENCE / "renewals.csv", comment="#")["regular"][:8]
SHAPES = ("population_churn", "churn_concentration", "c")


def _regular_model(prior_of_c, **options):
    rows = {"renewals": np.append(np.arange(7.0), 7.0), "active": np.append(np.zeros(7), 1.0)}
    count = np.append(-np.diff(REGULAR), REGULAR.iloc[-1])
    priors = resolve(beta_discrete_weibull.QUANTITIES, {"c": prior_of_c}, 1.0)
    start = starting_point(beta_discrete_weibull.QUANTITIES, 1.0)
    return build_model(beta_discrete_weibull.FAMILY, rows, count, priors, start, **options).graph


@pytest.mark.parametrize("prior_of_c", [Prior("LogNormal", mu=0, sigma=0.5), Prior("Flat")])
def test_the_posterior_is_that_of_the_stated_quantities(prior_of_c):
    """Hold log p(coordinate) to log p(ln c) + log(d ln c / d coordinate), of the stated model and by difference."""
    with config.change_flags(mode="FAST_COMPILE"):
        stated, moved = (_regular_model(prior_of_c, as_stated=each) for each in (True, False))
        log_stated, log_moved = stated.compile_logp(), moved.compile_logp()
        (c_of_values,) = moved.replace_rvs_by_values([moved["c"]])
        at = moved.compile_fn(c_of_values, inputs=moved.value_vars, on_unused_input="ignore")
    shared = {"population_churn_logodds__": -0.5, "churn_concentration_log__": 0.3}
    for coordinate in (-1.0, 0.2, 1.5):
        c, above, below = (
            float(at(shared | {"c_coordinate": coordinate + step})) for step in (0, 1e-5, -1e-5)
        )
        slope = (np.log(above) - np.log(below)) / 2e-5
        found = float(log_moved(shared | {"c_coordinate": coordinate}))
        expected = float(log_stated(shared | {"c_log__": np.log(c)})) + np.log(slope)
        # The central difference is good to 1e-10 of truncation and 1e-11 of rounding.
        assert found == pytest.approx(expected, abs=1e-8)


def test_a_bounded_prior_leaves_c_to_be_sampled_within_its_bounds():
    model = _regular_model(Prior("Uniform", lower=0.8, upper=1.5))
    assert [variable.name for variable in model.free_RVs] == list(SHAPES)


def _exact_moments():
    """Return mean and standard deviation of logit churn, ln concentration and ln c, by summation over a grid.

    Steps are half a standard deviation or less (given the other two: of 0.06, 0.1 and 0.06) over 6 of them or more
    either side: the sum of a bell's places is its integral to exp(-2 pi² / 0.5²) of it.
    """
    logit, size, power = np.meshgrid(
        np.linspace(-0.95, -0.1, 30), np.linspace(-2.2, 4.5, 160), np.linspace(-1.2, 1.5, 80), indexing="ij"
    )
    churn, concentration, c = special.expit(logit), np.exp(size), np.exp(power)
    alpha, beta = churn * concentration, (1 - churn) * concentration
    stays = [np.exp(special.betaln(alpha, beta + t**c) - special.betaln(alpha, beta)) for t in range(8)]
    shares = [stays[t] - stays[t + 1] for t in range(7)] + [stays[7]]
    lost = np.append(-np.diff(REGULAR), REGULAR.iloc[-1])
    density = sum(n * np.log(share) for n, share in zip(lost, shares, strict=True))
    # Beta(1, 1) on the logit scale, and the two LogNormals.
    density = (
        density + np.log(churn * (1 - churn)) - 0.5 * ((size - 1) / 1.25) ** 2 - 0.5 * (power / 0.5) ** 2
    )
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    places = (logit, size, power)
    mean = np.array([(weight * place).sum() for place in places])
    return mean, np.sqrt([(weight * (place - m) ** 2).sum() for place, m in zip(places, mean, strict=True)])


@pytest.mark.parametrize("method", ["laplace", pytest.param("nuts", marks=pytest.mark.full)])
def test_the_regular_cohort_is_sampled_as_it_is_summed(method):
    """Means within 4.5 Monte Carlo errors of a sum over a grid, deviations within 4.5 of theirs (tails: half more).

    The cohort whose posterior had divergences: c and the concentration correlate by -0.95 and lie on a curve.
    """
    posterior = clv.fit(
        "beta_discrete_weibull", clv.customers.from_survivors(REGULAR), method=method, seed=3, progress=False
    )
    found = clv.diagnostics(posterior)
    assert found["passed"], found["problems"]
    effective = found["effective_draws"] if method == "laplace" else found["ess_bulk_min"]
    mean, sd = _exact_moments()
    churn, concentration, c = (posterior["posterior"][name].to_numpy().ravel() for name in SHAPES)
    draws = np.array([special.logit(churn), np.log(concentration), np.log(c)])
    assert (np.abs(draws.mean(axis=1) - mean) < 4.5 * sd / np.sqrt(effective)).all()
    assert (np.abs(draws.std(axis=1) / sd - 1) < 1.5 * 4.5 / np.sqrt(2 * effective)).all()
