"""The prior in plain units: the numbers drawn are those of the family's own formulas."""

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.distributions import bg_nbd
from bayes_clv.views.priors import implied_by_prior

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
    figure = clv.plot_prior(priors[family])
    panels = len(implied_by_prior(priors[family])) + 1
    assert len(figure.axes) == panels
    dots = figure.axes[-1].lines[-1].get_ydata()
    counts = priors[family]["observed_data"][
        "customers_by_frequency" if family == "bg_nbd" else "customers_by_monetary_value"
    ].values
    np.testing.assert_allclose(dots, 100 * counts / counts.sum())


def test_without_a_prior_there_is_nothing_to_show(make_buying):
    with pytest.raises(clv.InputError, match="no group 'prior'"):
        clv.plot_prior(make_buying())
