"""The correlation of spend level and frequency: found where it is, and not where noise alone makes one up."""

import json

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv


def base(rng, size, rho, *, shape=4.0, spread=0.5):
    """Return customers whose log spend level has this correlation with log frequency, and Gamma occasions."""
    frequency = np.maximum(np.round(np.exp(rng.normal(0.7, 0.8, size))), 1)
    w = (np.log(frequency) - np.log(frequency).mean()) / np.log(frequency).std()
    level = np.exp(3.5 + spread * (rho * w + np.sqrt(1 - rho**2) * rng.standard_normal(size)))
    spend = level * rng.gamma(shape * frequency) / (shape * frequency)
    return xr.Dataset({"frequency": ("customer", frequency), "monetary_value": ("customer", spend)})


@pytest.mark.parametrize(("shape", "size", "rho"), [(4.0, 300, 0.0), (1.0, 300, 0.5)])
def test_intervals_hold_the_truth_as_often_as_they_say(shape, size, rho):
    # 40 bases: a 90 % interval holds 36 with a standard deviation of 1.9; 4 of them allow 28.
    rng = np.random.default_rng(1)
    found = [
        clv.inference.spend_independence(base(rng, size, rho, shape=shape))["correlation"] for _ in range(40)
    ]
    assert sum(each["q05"] <= rho <= each["q95"] for each in found) >= 28
    means = np.array([each["mean"] for each in found])
    assert (
        abs(means.mean() - rho) < 4 * means.std() / np.sqrt(40) + 0.03
    )  # 0.03: skewed noise is taken as normal


def test_noise_of_few_occasions_makes_no_correlation_up():
    """Exponential occasions: the plain correlation of the logarithms is far from 0, and this one is not."""
    customers = base(np.random.default_rng(2), 20_000, 0.0, shape=1.0, spread=0.1)
    plain = stats.pearsonr(np.log(customers["frequency"]), np.log(customers["monetary_value"])).statistic
    found = clv.inference.spend_independence(customers)
    assert plain > 0.15
    assert found["correlation"]["q05"] < 0 < found["correlation"]["q95"]


def test_the_unit_of_money_and_the_order_do_not_matter():
    customers = base(np.random.default_rng(3), 200, 0.3)
    found = clv.inference.spend_independence(customers)
    shuffled = customers.isel(customer=np.random.default_rng(4).permutation(200))
    cents = clv.inference.spend_independence(shuffled.assign(monetary_value=100 * shuffled["monetary_value"]))
    for name in ("correlation", "doubling"):
        assert cents[name] == pytest.approx(found[name], rel=1e-4, abs=1e-6)
    assert json.loads(json.dumps(found)) == found


def test_doubling_is_what_the_base_was_made_with():
    # Level grows as frequency^b: twice the purchases, 2^b times the spend. Within 4 posterior sds.
    rng = np.random.default_rng(5)
    customers = base(rng, 3_000, 0.0)
    grown = customers.assign(monetary_value=customers["monetary_value"] * customers["frequency"] ** 0.3)
    found = clv.inference.spend_independence(grown)
    assert abs(found["doubling"]["mean"] - (2**0.3 - 1)) < 4 * found["doubling"]["sd"]
    assert found["probability_positive"] > 0.999


def test_a_sampler_on_the_stated_model_agrees():
    """Importance sampling over the prior of 40 customers, with the same likelihood written out a customer."""
    from scipy import special

    customers = base(np.random.default_rng(6), 40, 0.4)
    x, y = customers["frequency"].values, np.log(customers["monetary_value"].values)
    w = (np.log(x) - np.log(x).mean()) / np.log(x).std()
    rng, size = np.random.default_rng(7), 200_000
    rho = rng.uniform(-1, 1, (size, 1))
    spread, variation = np.exp(np.log(0.5) + rng.standard_normal((2, size, 1)))
    px = x / variation**2
    variance = spread**2 * (1 - rho**2) + special.polygamma(1, px)
    rest = y - rho * spread * w - special.digamma(px) + np.log(px)
    precision = (1 / variance).sum(axis=1)
    centre = (rest / variance).sum(axis=1) / precision
    log_weight = -0.5 * (np.log(variance) + (rest - centre[:, None]) ** 2 / variance).sum(axis=1)
    log_weight -= 0.5 * np.log(precision)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = float(weight @ rho[:, 0])
    sd = float(np.sqrt(weight @ (rho[:, 0] - mean) ** 2))
    effective = 1 / (weight**2).sum()
    found = clv.inference.spend_independence(customers)["correlation"]
    # 4 standard errors of the sampler, and 1 % of a standard deviation for the grid.
    assert abs(found["mean"] - mean) < (4 / np.sqrt(effective) + 0.01) * sd
    assert found["sd"] == pytest.approx(sd, rel=4 / np.sqrt(2 * effective) + 0.01)


def test_refusals(make_customers):
    customers = base(np.random.default_rng(8), 30, 0.0)
    with pytest.raises(clv.InputError, match="no monetary_value"):
        clv.inference.spend_independence(customers.drop_vars("monetary_value"))
    with pytest.raises(clv.InputError, match="9 customers have a repeat purchase"):
        clv.inference.spend_independence(customers.isel(customer=slice(9)))
    with pytest.raises(clv.InputError, match="one frequency, or one mean spend"):
        clv.inference.spend_independence(customers.assign(frequency=customers["frequency"] * 0 + 2))
