import numpy as np
import pytest
import xarray as xr

from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import check_posterior, paired, parameters
from bayes_clv.schema import InputError


def test_the_family_is_found_from_the_attributes(make_buying, make_spending):
    assert check_posterior(make_buying(), "buying").parameters == ("r", "alpha", "a", "b")
    assert check_posterior(make_spending(), "spending").parameters == ("p", "q", "v")


def test_the_wrong_posterior_is_refused(make_buying, make_spending):
    with pytest.raises(InputError, match=r"gamma_gamma.*models spend; one of bg_nbd"):
        check_posterior(make_spending(), "buying")
    with pytest.raises(InputError, match=r"bg_nbd.*models purchases; one of gamma_gamma"):
        check_posterior(make_buying(), "spending")
    with pytest.raises(InputError, match="must be a DataTree"):
        check_posterior(xr.Dataset(), "buying")
    unknown = make_buying()
    unknown.attrs["family"] = "poisson"
    with pytest.raises(InputError, match="'poisson' is not known"):
        check_posterior(unknown, "buying")
    lacking = xr.DataTree.from_dict({"posterior": make_buying()["posterior"].dataset.drop_vars("alpha")})
    lacking.attrs["family"] = "bg_nbd"
    with pytest.raises(InputError, match="lacks alpha"):
        check_posterior(lacking, "buying")


def test_draws_that_are_no_parameters_are_refused(make_buying):
    tree = make_buying(draws=5)
    tree["posterior"]["a"][0, 3] = np.nan
    with pytest.raises(InputError, match="a of the bg_nbd posterior has 1 of 10 draws"):
        parameters(tree, "buying")


def test_mismatched_units_are_refused_by_name(make_buying, make_customers):
    with pytest.raises(InputError, match="posterior's time unit is 'day' and the customers' is 'week'"):
        shared_time_unit(make_buying(time_unit="day"), make_customers(3))


def test_unequal_draws_are_thinned_or_repeated(make_spending):
    spending = parameters(make_spending(chains=1, draws=6), "spending")
    p = spending.values["p"]
    np.testing.assert_array_equal(paired(spending, 6).values["p"], p)
    np.testing.assert_array_equal(paired(spending, 3).values["p"], p[::2])
    np.testing.assert_array_equal(paired(spending, 8).values["p"], np.r_[p, p[:2]])


def test_thinning_is_even_within_every_chain(make_buying):
    tree = make_buying(chains=3, draws=100)
    thin = parameters(tree, "buying").thin(30)
    assert thin.size == 30
    kept = tree["posterior"]["r"].values[:, ::10]
    np.testing.assert_array_equal(thin.values["r"], kept.ravel())
    np.testing.assert_array_equal(thin.draws, np.arange(0, 100, 10))
    assert parameters(tree, "buying").thin(10**6).size == 300
