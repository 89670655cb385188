"""The prior in plain units: the numbers drawn are those of the family's own formulas."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.views.plots.priors import implied_by_prior
from tests.interpreted import interpreted
from tests.symbols import paper

bg_bb = paper("bg_bb")
bg_nbd = paper("bg_nbd")
shifted_beta_geometric = paper("shifted_beta_geometric")

GROUPS = ("prior", "prior_predictive")


@pytest.fixture(scope="module")
def small(cdnow):
    return cdnow.isel(customer=slice(400))


@pytest.fixture(scope="module")
def priors(small):
    return {
        family: clv.fit(family, small, method="laplace", draws=50, seed=1, include=GROUPS)
        for family in ("bg_nbd", "gamma_gamma")
    }


def test_what_the_prior_of_purchases_implies(priors, small):
    tree = priors["bg_nbd"]
    rate, alive, bought = implied_by_prior(tree)
    draws = {name: tree["prior"][name].to_numpy().ravel() for name in bg_nbd.PARAMETERS}
    crude = float(small["frequency"].sum() / small["T"].sum())
    np.testing.assert_allclose(
        rate.draws, tree["prior"]["population_purchase_rate"].values.ravel(), rtol=1e-9
    )
    assert rate.observed == pytest.approx(crude)
    year = 365.2425 / 7
    np.testing.assert_allclose(alive.draws, bg_nbd.survival(year, 0, 0, 0, **draws))
    np.testing.assert_allclose(bought.draws, bg_nbd.expected_purchases(year, 0, 0, 0, **draws))
    assert bought.observed == pytest.approx(crude * year)
    # The prior is placed on the data's scale and is wide: the data's own value lies inside it.
    assert np.quantile(rate.draws, 0.05) < crude < np.quantile(rate.draws, 0.95)
    assert alive.observed is None
    without_unit = tree.copy()
    without_unit.attrs = {**tree.attrs, "time_unit": "unstated"}
    longest = float(small["T"].max())
    np.testing.assert_allclose(
        implied_by_prior(without_unit)[1].draws, bg_nbd.survival(longest, 0, 0, 0, **draws)
    )


def test_what_the_prior_of_spend_implies(priors, small):
    (mean,) = implied_by_prior(priors["gamma_gamma"])
    np.testing.assert_allclose(
        mean.draws, priors["gamma_gamma"]["prior"]["population_spend"].values.ravel(), rtol=1e-9
    )
    seen = small["monetary_value"].values
    assert mean.observed == pytest.approx(seen[seen > 0].mean())


@pytest.mark.parametrize("family", ["bg_nbd", "gamma_gamma"])
def test_the_figure_has_a_panel_each_and_the_data_beside_the_replicated_bases(priors, family):
    figure = clv.views.plot_prior(priors[family])
    panels = len(implied_by_prior(priors[family])) + 1
    assert len(figure.axes) == panels
    dots = figure.axes[-1].lines[-1].get_ydata()
    counts = priors[family]["observed_data"][
        "customers_by_frequency" if family == "bg_nbd" else "customers_by_monetary_value"
    ].values
    np.testing.assert_allclose(dots, 100 * counts / counts.sum())


@pytest.fixture(scope="module")
def donors():
    table = pd.DataFrame(
        {"frequency": [4, 2, 0], "recency": [6, 3, 0], "opportunities": 6, "count": [20, 30, 50]}
    )
    customers = clv.customers.from_opportunities(table)
    with interpreted():
        return clv.fit("bg_bb", customers, method="mode", seed=1, include=GROUPS)


def test_what_the_prior_of_opportunities_implies(donors):
    buying, alive, bought = implied_by_prior(donors)
    draws = {name: donors["prior"][name].to_numpy().ravel() for name in bg_bb.PARAMETERS}
    np.testing.assert_allclose(buying.draws, draws["alpha"] / (draws["alpha"] + draws["beta"]))
    np.testing.assert_allclose(alive.draws, bg_bb.survival(6, 0, 0, 0, **draws))
    np.testing.assert_allclose(bought.draws, bg_bb.expected_purchases(6, 0, 0, 0, **draws))
    # 20 × 4 + 30 × 2 purchases of 100 customers with 6 opportunities each.
    assert buying.observed == pytest.approx(140 / 600)
    assert bought.observed == pytest.approx(1.4)
    assert len(clv.views.plot_prior(donors).axes) == 4


def test_what_the_prior_of_contracts_implies():
    customers = clv.customers.from_survivors([100, 80, 60])
    with interpreted():
        tree = clv.fit("shifted_beta_geometric", customers, method="mode", seed=1, include=GROUPS)
    leaving, kept, renewals = implied_by_prior(tree)
    draws = {name: tree["prior"][name].to_numpy().ravel() for name in shifted_beta_geometric.PARAMETERS}
    np.testing.assert_allclose(leaving.draws, draws["alpha"] / (draws["alpha"] + draws["beta"]))
    np.testing.assert_allclose(kept.draws, shifted_beta_geometric.survival(2, 0, 1, **draws))
    np.testing.assert_allclose(renewals.draws, shifted_beta_geometric.expected_renewals(2, 0, 1, **draws))
    assert leaving.observed == pytest.approx(0.2)
    assert kept.observed == pytest.approx(0.6)
    # 0.8 of the first renewal and 0.6 of the second.
    assert renewals.observed == pytest.approx(1.4)
    assert len(clv.views.plot_prior(tree).axes) == 4


def test_without_a_prior_there_is_nothing_to_show(make_buying):
    with pytest.raises(clv.InputError, match="no group 'prior'"):
        clv.views.plot_prior(make_buying())
