"""Uplift on draws: the formulas, customers of other tables, segments never seen, and scale."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit

import bayes_clv as clv
from bayes_clv.problems import read_problem
from bayes_clv.schema import InputError


def response(segments=("a", "b"), chains=2, draws=500, seed=1):
    """Return a posterior of fit_response made by hand."""
    rng = np.random.default_rng(seed)
    shape, some = (chains, draws), (chains, draws, len(segments))
    values = {
        "conversion_control": rng.beta(10, 90, shape),
        "conversion_effect": rng.normal(0.3, 0.1, shape),
        "spend_control": np.exp(rng.normal(4, 0.1, shape)),
        "spend_effect": rng.normal(0.05, 0.05, shape),
        "spend_shape": np.exp(rng.normal(0.3, 0.05, shape)),
    }
    names = [f"{part}_{what}" for part in ("conversion", "spend") for what in ("control", "effect")]
    data = {name: (("chain", "draw"), value) for name, value in values.items()}
    if len(segments) > 1:
        data |= {f"{name}_sd": (("chain", "draw"), np.abs(rng.normal(0.3, 0.05, shape))) for name in names}
        dims = ("chain", "draw", "segment")
        data |= {f"{name}_offset": (dims, rng.normal(0, 0.3, some)) for name in names}
    coords = {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        "segment": np.array(segments, dtype=object),
    }
    observed = xr.Dataset(
        {"customers": (("segment",), np.ones(len(segments)))}, {"segment": coords["segment"]}
    )
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(data, coords), "observed_data": observed})
    tree.attrs = {"family": "response", "seed": 7, "diagnostics": '{"problems": ["odd chains"]}'}
    return tree


def people(labels, **columns):
    ids = np.array([f"c{i}" for i in range(len(labels))], dtype=object)
    data = {"segment": np.array(labels, dtype=object)} | columns
    return xr.Dataset(
        {name: ("customer", np.asarray(value)) for name, value in data.items()}, {"customer": ids}
    )


def test_the_uplift_is_the_difference_of_mean_outcomes():
    tree = response()
    found = clv.targeting.predict_uplift(tree, people(["b", "a", "b"]))
    p = tree["posterior"].sel(segment="b", chain=1, draw=3)
    level = float(
        np.log(p["conversion_control"] / (1 - p["conversion_control"])) + p["conversion_control_offset"]
    )
    change = float(p["conversion_effect"] + p["conversion_effect_offset"])
    mean = float(np.log(p["spend_control"]) + p["spend_control_offset"])
    more = float(p["spend_effect"] + p["spend_effect_offset"])
    expected = expit(level + change) * np.exp(mean + more) - expit(level) * np.exp(mean)
    assert float(found["uplift"].sel(segment="b", chain=1, draw=3)) == pytest.approx(expected, rel=1e-12)
    assert found["customer_segment"].to_numpy().tolist() == ["b", "a", "b"]
    draws = found["uplift"].sel(segment="b").to_numpy().ravel()
    assert float(found["uplift_mean"][0]) == pytest.approx(draws.mean(), rel=1e-12)
    assert float(found["uplift_q05"][2]) == np.sort(draws)[int(np.ceil(0.05 * draws.size)) - 1]
    assert found["uplift"].attrs["level"] == "expected"
    (problem,) = (read_problem(each) for each in found.attrs["problems"])
    assert (problem.subject, problem.found) == ("response", "odd chains")


def test_a_segment_never_seen_is_one_draw_of_the_segments():
    tree = response(draws=5000)
    found = clv.targeting.predict_uplift(tree, people(["new", "a", "new"]))
    assert found["in_experiment"].to_numpy().tolist() == [True, False]
    posterior = tree["posterior"].dataset
    odds = np.log(found["conversion_control"] / (1 - found["conversion_control"])).sel(segment="new")
    centre = np.log(posterior["conversion_control"] / (1 - posterior["conversion_control"]))
    z = ((odds - centre) / posterior["conversion_control_sd"]).to_numpy().ravel()
    # 10,000 standard Normal numbers: mean within 4 / 100, standard deviation within 4 / sqrt(20000).
    assert abs(z.mean()) < 0.04
    assert abs(z.std() - 1) < 0.03
    again = clv.targeting.predict_uplift(tree, people(["other", "new"]))
    assert np.array_equal(again["uplift"].sel(segment="new"), found["uplift"].sel(segment="new"))
    assert not np.array_equal(again["uplift"].sel(segment="other"), found["uplift"].sel(segment="new"))


def test_one_segment_is_everybody():
    found = clv.targeting.predict_uplift(response(segments=("all",)), people(["x", "y"]))
    assert found["segment"].to_numpy().tolist() == ["all"]
    with pytest.raises(InputError, match="had one segment, 'only'.*such as 'x'"):
        clv.targeting.predict_uplift(response(segments=("only",)), people(["x", "only"]))


def test_scale_shares_a_segments_uplift_out():
    customers = people(["a", "a", "b", "a"], value=np.array([1.0, 2.0, 7.0, 6.0]))
    found = clv.targeting.predict_uplift(response(), customers, scale="value")
    assert found["scale"].to_numpy().tolist() == [1 / 3, 2 / 3, 1.0, 2.0]
    plain = clv.targeting.predict_uplift(response(), customers)
    np.testing.assert_allclose(found["uplift_mean"], plain["uplift_mean"] * found["scale"], rtol=1e-12)
    assert float(found["uplift_mean"].sum()) == pytest.approx(float(plain["uplift_mean"].sum()))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"value": np.array([1.0, -2.0])}, "negative for 1 of 2 customers, for example customer 'c1'"),
        ({"value": np.array([0.0, 0.0])}, "is 0 for all customers of the segment 'a'"),
        ({"value": np.array(["x", "y"], dtype=object)}, "is a column of text"),
        ({"value": np.array([1.0, np.nan])}, "'value' is missing or infinite for 1 of 2"),
        ({}, "no column 'value'"),
    ],
)
def test_scales_that_cannot_be(columns, message):
    with pytest.raises(InputError, match=message):
        clv.targeting.predict_uplift(response(), people(["a", "a"], **columns), scale="value")


def test_what_is_refused(make_buying):
    with pytest.raises(InputError, match="of family 'bg_nbd'"):
        clv.targeting.predict_uplift(make_buying(), people(["a"]))
    with pytest.raises(InputError, match="no column 'kind'"):
        clv.targeting.predict_uplift(response(), people(["a"]), by="kind")
    twice = people(["a", "b"]).assign_coords(customer=["c", "c"])
    with pytest.raises(InputError, match="has the id of an earlier one"):
        clv.targeting.predict_uplift(response(), twice)
