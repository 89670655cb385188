"""Forecasts of contracts: curves, residual lifetimes and simulated survivors beside the families' formulas."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from tests.symbols import paper

SHAPES = {
    "shifted_beta_geometric": {"alpha": 0.668, "beta": 3.806},
    "beta_discrete_weibull": {"alpha": 0.214, "beta": 1.427, "c": 1.724},
}
AHEAD = 6
each_family = pytest.mark.parametrize("name", SHAPES)


def posterior(name, *, sd=0.1, chains=2, draws=200, **changes):
    rng = np.random.default_rng(20)
    drawn = {
        key: (("chain", "draw"), value * np.exp(sd * rng.standard_normal((chains, draws))))
        for key, value in (SHAPES[name] | changes).items()
    }
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(drawn, coords={"chain": np.arange(chains), "draw": np.arange(draws)})}
    )
    tree.attrs = {"family": name, "time_unit": "period"}
    return tree


@each_family
def test_curves_and_lifetimes_are_the_familys_of_each_draw(name):
    tree, module = posterior(name), paper(name)
    curve = clv.expected.renewals(tree, 40, tenure=[0, 7])
    lifetime = clv.expected.residual_renewals(tree, 0.1, tenure=[0, 7])
    assert curve["survival"].dims == ("chain", "draw", "tenure", "period")
    assert lifetime.dims == ("chain", "draw", "tenure")
    draw = [tree["posterior"][key].values[1, 3] for key in module.PARAMETERS]
    for tenure in (0, 7):
        there = curve.isel(chain=1, draw=3).sel(tenure=tenure)
        ahead = np.arange(1, 41)
        np.testing.assert_allclose(there["survival"], module.survival(ahead, tenure, 1, *draw), rtol=1e-12)
        np.testing.assert_allclose(
            there["retention_rate"], module.retention_rate(tenure + ahead, *draw), rtol=1e-12
        )
        np.testing.assert_allclose(there["retention_rate"].cumprod(), there["survival"], rtol=1e-10)
        expected = module.discounted_residual_lifetime(0.1, tenure, 1, *draw)
        assert lifetime.isel(chain=1, draw=3).sel(tenure=tenure).item() == pytest.approx(
            float(expected), rel=1e-12
        )
    assert curve["survival"].attrs["level"] == lifetime.attrs["level"] == "expected"
    np.testing.assert_array_equal(clv.expected.renewals(tree, 3)["tenure"], [0])


@each_family
def test_survivors_follow_the_curve(name):
    """At one point 1,000 cohorts of 500: mean and variance of the Binomial that S(t) gives, at each renewal."""
    point = posterior(name, sd=0.0, chains=1, draws=1)
    left = clv.predict_renewals(point, 500, AHEAD, seed=3)
    total = left["survivors_total"].to_numpy().reshape(-1, AHEAD)
    assert total.shape[0] == 1000
    survival = paper(name).survival(np.arange(1, AHEAD + 1), 0, 1, **SHAPES[name])
    variance = 500 * survival * (1 - survival)
    assert (np.abs(total.mean(axis=0) - 500 * survival) < 4 * np.sqrt(variance / 1000)).all()
    assert (np.abs(total.var(axis=0) / variance - 1) < 4 * math.sqrt(2 / 1000)).all()
    assert (np.diff(total, axis=1) <= 0).all()
    np.testing.assert_allclose(left["survivors_mean"], total.mean(axis=0))
    np.testing.assert_array_equal(
        left["survivors_q05"], np.quantile(total, 0.05, axis=0, method="inverted_cdf")
    )
    assert left["survivors_mean"].attrs["level"] == left["survivors_total"].attrs["level"] == "outcome"


@each_family
def test_the_active_are_followed_from_their_own_tenure(name):
    """Only active contracts count, each from its tenure; segments add up to the total."""
    table = pd.DataFrame(
        {
            "renewals": [0, 2, 9, 3],
            "active": [1, 1, 1, 0],
            "count": [300, 200, 400, 999],
            "kind": list("abab"),
        }
    )
    contracts = clv.customers.from_contracts(table)
    label = dict(zip(contracts["customer"].values, table["kind"], strict=True))
    point = posterior(name, sd=0.0, chains=1, draws=1)
    left = clv.predict_renewals(point, contracts, AHEAD, seed=3, by=label)
    assert left.attrs["contracts"] == 900
    module = paper(name)
    survival = [module.survival(AHEAD, tenure, 1, **SHAPES[name]) for tenure in (0, 2, 9)]
    for segment, parts in (("a", [(300, survival[0]), (400, survival[2])]), ("b", [(200, survival[1])])):
        mean = sum(n * s for n, s in parts)
        error = math.sqrt(sum(n * s * (1 - s) for n, s in parts) / 1000)
        found = left["survivors_by"].sel(segment=segment, period=AHEAD).to_numpy()
        assert abs(found.mean() - mean) < 4 * error
    xr.testing.assert_equal(left["survivors_by"].sum("segment"), left["survivors_total"])
    order = np.random.default_rng(1).permutation(4)
    again = clv.predict_renewals(point, contracts.isel(customer=order), AHEAD, seed=3, by=label)
    xr.testing.assert_identical(again, left)


def test_cohorts_are_segments_by_name():
    contracts = clv.customers.from_survivors({"2019": [100, 60, 50], "2020": [80, 50]})
    left = clv.predict_renewals(posterior("shifted_beta_geometric"), contracts, 3, seed=1, by="cohort")
    assert left["segment"].values.tolist() == ["2019", "2020"]
    assert (left["survivors_by"].sel(segment="2019") <= 50).all()


def test_an_infinite_lifetime_is_infinite_and_says_so():
    found = clv.expected.residual_renewals(posterior("shifted_beta_geometric"), 0.0)
    assert np.isinf(found).all()
    assert "without discount" in found.attrs["reasons"][0]
    mortal = clv.expected.residual_renewals(posterior("shifted_beta_geometric", alpha=4.0), 0.0)
    assert np.isfinite(mortal).all()
    assert mortal.attrs["reasons"] == []


def test_uncertain_parameters_widen_what_will_be_left():
    """The outcome's spread is at least that of its two sources alone."""
    sure, unsure = (
        clv.predict_renewals(
            posterior("shifted_beta_geometric", sd=sd, chains=1, draws=4000), 500, AHEAD, seed=1
        )
        for sd in (0.0, 0.2)
    )
    assert (unsure["survivors_sd"] > 1.2 * sure["survivors_sd"]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda tree: clv.expected.renewals(tree, 0), "periods must be a whole number from 1"),
        (lambda tree: clv.expected.renewals(tree, 3, tenure=-1), "tenure counts renewals already made"),
        (lambda tree: clv.expected.renewals(tree, 3, tenure=1.5), "tenure counts renewals already made"),
        (lambda tree: clv.expected.renewals(tree, 300, max_memory=1000), "more than max_memory"),
        (
            lambda tree: clv.expected.residual_renewals(tree, -0.1),
            "discount_rate must be a finite number from 0",
        ),
        (lambda tree: clv.predict_renewals(tree, 0, 3, seed=1), "contracts, the size of a new cohort,"),
        (lambda tree: clv.predict_renewals(tree, 10, 3, seed=1, by={}), "leave out 'by'"),
        (
            lambda tree: clv.predict_renewals(
                tree, clv.customers.from_contracts(pd.DataFrame({"renewals": [1], "active": [0]})), 3, seed=1
            ),
            "None of the 1 contracts is active",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(clv.InputError, match=message):
        call(posterior("shifted_beta_geometric"))


def test_posteriors_of_another_kind_are_refused(make_buying, make_customers):
    with pytest.raises(clv.InputError, match="fitted to purchases: forecast from it with clv.predict"):
        clv.expected.renewals(make_buying(), 3)
    with pytest.raises(clv.InputError, match="fitted to contracts.*clv.predict_renewals"):
        clv.expected.alive(posterior("shifted_beta_geometric"), make_customers(3))
