"""A fit of contracts is held against Kaplan and Meier: renewals counted wrongly fail by name, counted rightly pass."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.families import family
from bayes_clv.inference.criticism.retention import retention_check


@pytest.fixture(scope="module")
def contracts():
    """As many as of the telephone company of findings: 7,043 contracts and their tenures to 72 months."""
    rng = np.random.default_rng(8)
    life, seen = rng.geometric(rng.beta(0.2, 3.4, 7043)), rng.integers(1, 73, 7043)
    table = {"tenure": np.minimum(life, seen), "churned": life <= seen}
    return clv.customers.from_tenures(pd.DataFrame(table))


def shapes(alpha, beta, c=None):
    found = {"alpha": alpha, "beta": beta} | ({} if c is None else {"c": c})
    return {name: np.full(3, value) for name, value in found.items()}


def test_the_right_family_passes_and_another_curve_fails(contracts):
    geometric = family("shifted_beta_geometric")
    assert retention_check(geometric, contracts, shapes(0.2, 3.4)) is None
    found = retention_check(geometric, contracts, shapes(0.2, 6.8))
    assert found.code == "kaplan_meier"
    assert found.numbers["errors"] > 3.5
    assert found.numbers["fitted"] > found.numbers["real"] + 2


def test_a_tenure_taken_for_renewals_fails_by_name(contracts):
    wrong = contracts.assign(renewals=contracts["renewals"] + 1 - contracts["active"])
    fit = clv.fit("beta_discrete_weibull", wrong, method="mode", seed=1)
    said = {each.code: each.numbers for each in clv.inference.diagnostics(fit)["problems"]}
    assert said["kaplan_meier"]["errors"] > 3.5
    # The mode of the right ones, by maximum likelihood without the package.
    best = shapes(0.202, 3.342, 0.989)
    assert retention_check(family("beta_discrete_weibull"), contracts, best) is None
