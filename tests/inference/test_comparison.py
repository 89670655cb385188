"""PSIS-LOO on distinct histories is that of every customer on its own, and finds the true model."""

import arviz as az
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import bayes_clv as clv
from bayes_clv.inference.criticism import comparison

WITHOUT_DROPOUT = {"population_dropout": clv.Prior("Beta", alpha=1, beta=20_000)}


@pytest.fixture(scope="module")
def base(make_customers):
    """600 customers of CDNOW's own values, in which dropout is strong; many share a history."""
    return make_customers(600, seed=3)


@pytest.fixture(scope="module")
def fits(base):
    """The model that made them, and one without dropout to speak of (NBD's limit)."""

    def fit(priors=None):
        return clv.fit(
            "bg_nbd", base, method="laplace", draws=250, seed=4, priors=priors, include=("log_likelihood",)
        )

    return {"without dropout": fit(WITHOUT_DROPOUT), "true": fit()}


def expanded(tree):
    """Return the tree with one column of log-likelihood a customer, as ArviZ knows it."""
    count = tree["observed_data"]["count"].to_numpy()
    values = tree["log_likelihood"]["frequency"].isel(row=np.repeat(np.arange(count.size), count))
    return xr.DataTree.from_dict(
        {
            "posterior": tree["posterior"].to_dataset(),
            "log_likelihood": xr.Dataset({"y": values.drop_vars("row")}),
        }
    )


def test_elpd_is_that_of_every_customer_on_its_own(fits):
    tree = fits["true"]
    assert tree["observed_data"]["count"].max() > 5
    ours, theirs = clv.inference.loo(tree), az.loo(expanded(tree), pointwise=True)
    assert ours.n_data_points == theirs.n_data_points == 600
    for name in ("elpd", "se", "p", "good_k", "n_samples"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, err_msg=name)
    assert_allclose(ours.elpd_i, theirs.elpd_i, rtol=1e-9)
    assert_allclose(ours.pareto_k, theirs.pareto_k, atol=1e-9)


def test_the_table_is_arviz_own_of_customers(fits):
    ours = clv.compare(fits)
    theirs = az.compare(
        {name: az.loo(expanded(tree), pointwise=True) for name, tree in fits.items()}, round_to="none"
    )
    assert list(ours.index) == list(theirs.index)
    for column in ("elpd_diff", "dse", "p_worse", "p", "elpd", "se"):
        assert_allclose(ours[column], theirs[column], rtol=1e-8, atol=1e-9, err_msg=column)
    # The optimiser stops within its tolerance of 1e-6 of the mean log score.
    assert_allclose(ours["weight"], theirs["weight"], atol=0.02)


def test_the_true_model_wins(fits):
    table = clv.compare(fits)
    assert table.index[0] == "true"
    assert table["elpd_diff"].iloc[1] < -3 * table["dse"].iloc[1]
    assert table["weight"].iloc[0] > 0.9
    assert (table["customers"] == 600).all()
    assert (table["high_k_customers"] == 0).all()
    assert (table["advice"] == "").all()
    assert list(table["verdict"]) == ["best", "worse"]


def test_a_difference_within_its_error_is_undecided(base, fits):
    # The same model at other random numbers: whichever comes first, chance put it there.
    again = clv.fit("bg_nbd", base, method="laplace", draws=250, seed=5, include=("log_likelihood",))
    table = clv.compare(fits | {"again": again})
    assert list(table["verdict"]) == ["undecided", "undecided", "worse"]
    assert table.index[2] == "without dropout"


def test_weights_survive_customers_whose_density_vanishes(fits):
    # exp(-3000) is 0 in double precision, and the logarithm of 0 has no maximum.
    less = {}
    for name, tree in fits.items():
        lowered = tree.copy()
        lowered["log_likelihood"] = xr.DataTree(tree["log_likelihood"].to_dataset() - 3000)
        less[name] = lowered
    assert_allclose(clv.compare(less)["weight"], clv.compare(fits)["weight"], atol=1e-6)


def test_rows_are_matched_by_the_columns_that_both_have(fits):
    """A model that does not look at recency has fewer rows; its differences are still customer by customer."""
    tree = fits["true"]
    rows = tree["observed_data"].to_dataset()
    key = np.stack([rows["frequency"].values, rows["T"].values], axis=1)
    kinds, place = np.unique(key, axis=0, return_inverse=True)
    shuffled = np.random.default_rng(5).permutation(kinds.shape[0])
    count = np.bincount(place, weights=rows["count"].values).astype(int)[shuffled]
    assert kinds.shape[0] < rows.sizes["row"]
    values = np.random.default_rng(6).normal(-4, 0.1, (4, 250, kinds.shape[0]))
    coarse = tree.copy()
    coarse["observed_data"] = xr.DataTree(
        xr.Dataset(
            {
                "frequency": ("row", kinds[shuffled, 0]),
                "T": ("row", kinds[shuffled, 1]),
                "count": ("row", count),
            }
        )
    )
    coarse["log_likelihood"] = xr.DataTree(
        xr.Dataset({"frequency": (("chain", "draw", "row"), values)}, coords=tree["posterior"].coords)
    )
    table = clv.compare({"coarse": coarse, "fine": tree})
    own = clv.inference.loo(coarse)
    assert table.loc["coarse", "elpd"] == pytest.approx(own.elpd, rel=1e-10)
    # Customer by customer, without the package's matching.
    of_kind = comparison._rows(coarse, "coarse").elpd[np.argsort(shuffled)]
    of_row = comparison._rows(tree, "fine").elpd
    difference = np.repeat(of_kind[place] - of_row, rows["count"].values)
    best = table.index[0]
    other = "coarse" if best == "fine" else "fine"
    assert abs(table.loc[other, "elpd_diff"]) == pytest.approx(abs(difference.sum()), rel=1e-9)
    assert table.loc[other, "dse"] == pytest.approx(np.sqrt(600 * difference.var()), rel=1e-9)


def test_a_high_pareto_k_is_counted_in_customers_with_a_remedy(fits):
    tree = fits["true"].copy()
    values = tree["log_likelihood"].to_dataset().copy(deep=True)
    row = int(np.argmax(tree["observed_data"]["count"].to_numpy()))
    # A ratio exp(2 E) with E standard exponential is Pareto with k = 2: it has no mean.
    values["frequency"][:, :, row] = -2 * np.random.default_rng(7).standard_exponential((4, 250))
    tree["log_likelihood"] = xr.DataTree(values)
    table = clv.compare({"bad": tree, "good": fits["true"]})
    shared = int(tree["observed_data"]["count"][row])
    assert shared > 1
    assert table.loc["bad", "high_k_customers"] == shared
    assert f"for {shared:,} of 600 customers" in table.loc["bad", "advice"]
    assert "method='nuts'" in table.loc["bad", "advice"]
    assert table.loc["good", "advice"] == ""


# Refusals ---------------------------------------------------------------------------------------------


def test_kinds_of_observation_are_not_compared(make_buying, make_spending):
    with pytest.raises(
        clv.InputError, match="buying is a model of times of repeat purchases and spending of amounts"
    ):
        clv.compare({"buying": make_buying(), "spending": make_spending()})


def test_time_units_are_not_compared(make_buying):
    with pytest.raises(clv.InputError, match="weeks and b in days: a density per week"):
        clv.compare({"a": make_buying(), "b": make_buying(time_unit="day")})


def test_other_customers_are_not_compared(fits):
    tree = fits["true"].copy()
    observed = tree["observed_data"].to_dataset().copy(deep=True)
    observed["count"][0] += 2
    tree["observed_data"] = xr.DataTree(observed)
    with pytest.raises(clv.InputError, match="600 and 602 of them, with histories that differ for 2 in all"):
        clv.compare({"a": fits["true"], "b": tree})


def test_points_and_fits_without_log_likelihood_say_how_to_get_one(base, make_buying, fits):
    with pytest.raises(clv.InputError, match=r"include=\('log_likelihood',\)"):
        clv.compare({"a": fits["true"], "b": make_buying()})
    with pytest.raises(clv.InputError, match="is a point"):
        clv.inference.loo(make_buying(chains=1, draws=1))
    with pytest.raises(clv.InputError, match="two posteriors or more"):
        clv.compare({"a": fits["true"]})


def test_who_came_on_the_last_day_says_nothing_and_changes_nothing(make_customers):
    """Its log density is 0 in every draw: there is no tail to smooth, and nothing to weigh."""
    base = make_customers(600, seed=3)
    new = base.isel(customer=[0]).assign_coords(customer=["newcomer"])
    new = new.assign(**{name: new[name] * 0 for name in ("frequency", "recency", "T")})
    tree = clv.fit("bg_nbd", base, method="laplace", draws=50, seed=4, include=("log_likelihood",))
    with_new = clv.fit(
        "bg_nbd",
        xr.concat([base, new], "customer"),
        method="laplace",
        draws=50,
        seed=4,
        include=("log_likelihood",),
    )
    found = clv.inference.loo(with_new)
    assert found.n_data_points == 601
    assert_allclose(found.elpd, clv.inference.loo(tree).elpd, atol=0.5)
    assert not (found.pareto_k > found.good_k).any()
