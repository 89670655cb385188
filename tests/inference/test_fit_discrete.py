"""Fits to opportunities and contracts: what a count is worth, what a fit holds and what it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import bayes_clv as clv
from bayes_clv.distributions import family

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
        "bg_bb", clv.opportunities_from_table(donors), method="laplace", draws=250, seed=5, include=GROUPS
    )


@pytest.fixture(scope="module")
def renewing():
    return clv.fit(
        "beta_discrete_weibull",
        clv.contracts_from_survivors([1000, 869, 743, 653, 593, 551, 517, 491]),
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
    pointwise = tree["log_likelihood"][module.CHECKED].isel(chain=1, draw=7)
    draw = {key: tree["posterior"][key].values[1, 7] for key in module.PARAMETERS}
    columns = [tree["observed_data"][key].values for key in module.OBSERVED]
    assert_allclose(pointwise, module.log_likelihood(draw, *columns).eval(), rtol=1e-9)


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
    buyers = clv.opportunities_from_table(donors)
    with pytest.raises(clv.InputError, match="bg_bb needs .*lack 'opportunities'.*opportunities_from_table"):
        clv.fit("bg_bb", cdnow, seed=1)
    with pytest.raises(
        clv.InputError, match="needs renewals, active.*lack 'renewals'.*contracts_from_survivors"
    ):
        clv.fit("shifted_beta_geometric", buyers, seed=1)
    with pytest.raises(clv.InputError, match="no column 'T'"):
        clv.fit("bg_nbd", buyers, seed=1)


def test_priors_of_opportunities_are_overridden_by_name(donors):
    tight = {"population_dropout": clv.Prior("Beta", alpha=8000, beta=2000)}
    fitted = clv.fit("bg_bb", donors, method="mode", priors=tight, seed=1)
    assert abs(float(np.ravel(fitted["posterior"]["population_dropout"].values)[0]) - 0.8) < 0.05
