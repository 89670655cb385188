"""The response to an action: an exact reduction, draws that hold against a grid and against NUTS, limits, files."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, gammaln

import bayes_clv as clv
from bayes_clv.inference import response as module
from bayes_clv.inference.sampling.nested import Hierarchy, nested_laplace
from bayes_clv.schema import InputError

ALL = ("chain", "draw")


def simulated(seed=1, size=6000, segments=4, effect=0.3, effect_sd=0.3, shape=1.5, amount=None):
    rng = np.random.default_rng(seed)
    place, arm = rng.integers(0, segments, size), rng.integers(0, 2, size)
    level = -2.0 + 0.5 * rng.standard_normal(segments)
    change = effect + effect_sd * rng.standard_normal(segments)
    bought = rng.random(size) < expit(level[place] + change[place] * arm)
    spend = rng.gamma(shape, 40 / shape, size) if amount is None else amount
    return pd.DataFrame(
        {
            "customer_id": np.arange(size),
            "treated": arm,
            "outcome": np.where(bought, spend, 0.0),
            "segment": [f"s{i}" for i in place],
        }
    )


@pytest.fixture(scope="module")
def experiment():
    return clv.customers.from_experiment(simulated(), segment="segment")


@pytest.fixture(scope="module")
def quick(experiment):
    return clv.targeting.fit_response(experiment, method="laplace", seed=1)


def test_four_sums_are_the_likelihood_of_every_customer(experiment):
    """Written out customer by customer, with SciPy's densities."""
    cells, amount = module.reduce_experiment(experiment)
    assert amount is None
    rng = np.random.default_rng(2)
    level, log_mean, shape = rng.normal(-2, 0.5, (4, 2)), rng.normal(3.5, 0.3, (4, 2)), 1.7
    known = module._arrays(cells)
    place = np.searchsorted(
        cells["segment"].to_numpy().astype(str), experiment["segment"].to_numpy().astype(str)
    )
    arm, money = experiment["treated"].to_numpy(), experiment["outcome"].to_numpy()
    each = stats.bernoulli.logpmf(money > 0, expit(level[place, arm])).sum()
    assert module._conversions(np, level, known).sum() == pytest.approx(each, rel=1e-12)
    bought = money > 0
    scale = np.exp(log_mean[place, arm])[bought] / shape
    paid = stats.gamma.logpdf(money[bought], shape, scale=scale).sum()
    assert module._spends(np, log_mean, shape, gammaln, known).sum() == pytest.approx(paid, rel=1e-12)


def test_derivatives_of_the_cells():
    """Against central differences: of order step^2, with 1e-16 / step of rounding."""
    known = {"customers": np.array([[50.0, 60]]), "conversions": np.array([[5.0, 9]])}
    known |= {"outcome_total": np.array([[200.0, 420]]), "outcome_log_total": np.array([[17.0, 31]])}
    population = np.array([[0.0, 0, 0, 0, np.log(1.7)]])
    for terms, at in ((module._conversion_terms(known), -1.3), (module._spend_terms(known), 3.4)):
        level = np.full((1, 1, 2), at)
        _, first, second = terms(level, population)
        up, down = (terms(level + step, population) for step in (1e-5, -1e-5))
        np.testing.assert_allclose(first, (up[0] - down[0]) / 2e-5, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(second, (up[1] - down[1]) / 2e-5, rtol=1e-6, atol=1e-6)
        assert (second < 0).all()


def test_the_prior_on_the_whole_line_is_the_prior():
    """Its density, Jacobian included, against SciPy's densities and derivatives written out here."""
    priors = module.resolve(module.CONVERSION | module.SPEND, None, 30.0)
    x = np.array([[-1.2, -0.4, 0.3, -1.5], [0.4, 0.2, -0.6, -0.8]])
    found = module._log_prior(list(module.CONVERSION), priors)(x)
    p, sd, effect_sd = expit(x[:, 0]), np.exp(x[:, 1]), np.exp(x[:, 3])
    expected = (
        stats.beta.logpdf(p, 1, 1) + np.log(p * (1 - p)) + stats.halfnorm.logpdf(sd, scale=1.0) + x[:, 1]
    )
    expected += stats.norm.logpdf(x[:, 2], 0, 0.5) + stats.halfnorm.logpdf(effect_sd, scale=0.3) + x[:, 3]
    # PyMC keeps arguments such as 0.3 in single precision.
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    y = np.array([[3.1, -1.0, 0.1, -2.0, 0.5]])
    found = module._log_prior(list(module.SPEND), priors)(y)
    # A LogNormal prior of exp(y) is a Normal of y, Jacobian included.
    expected = stats.norm.logpdf(3.1, np.log(30), 1) + stats.halfnorm.logpdf(np.exp(-1.0), scale=0.5) - 1.0
    expected += stats.norm.logpdf(0.1, 0, 0.3) + stats.halfnorm.logpdf(np.exp(-2.0), scale=0.2) - 2.0
    expected += stats.norm.logpdf(0.5, 0, 1)
    # PyMC keeps arguments such as 0.3 in single precision.
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_draws_of_few_customers_against_a_grid():
    """One segment, five unknowns reduced to three by two nearly fixed spreads: a sum over a fine grid.

    4 of 40 controls and 9 of 40 treated bought. Level ~ Normal(m, 1), m ~ Normal(-2, 0.5), effect ~ Normal(0.2, 0.5).
    The skewness is that of few customers, which a Gaussian would miss by several errors.
    """
    known = {"customers": np.array([[40.0, 40]]), "conversions": np.array([[4.0, 9]])}

    def log_prior(x):
        spreads = stats.norm.logpdf(x[:, 1], 0.0, 1e-4) + stats.norm.logpdf(x[:, 3], np.log(0.5), 1e-4)
        return stats.norm.logpdf(x[:, 0], -2, 0.5) + spreads + stats.norm.logpdf(x[:, 2], 0.2, 1e-4)

    model = Hierarchy(module._conversion_terms(known), log_prior, np.array([-2, 0.0, 0.2, np.log(0.5)]), 1)
    population, level, effect, report = nested_laplace(model, size=8000, rng=np.random.default_rng(1))
    grid_level, grid_effect = np.meshgrid(np.linspace(-6, 2, 801), np.linspace(-2.5, 3, 701), indexing="ij")
    # m integrated out: level ~ Normal(-2, sqrt(1 + 0.25)).
    log = stats.norm.logpdf(grid_level, -2, np.sqrt(1.25)) + stats.norm.logpdf(grid_effect, 0.2, 0.5)
    log += stats.binom.logpmf(4, 40, expit(grid_level)) + stats.binom.logpmf(
        9, 40, expit(grid_level + grid_effect)
    )
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    assert report["pareto_k"] < 0.7
    for drawn, values in ((level[:, 0], grid_level), (effect[:, 0, 0], grid_effect)):
        mean = float((weight * values).sum())
        sd = float(np.sqrt((weight * (values - mean) ** 2).sum()))
        third = float((weight * ((values - mean) / sd) ** 3).sum())
        few = report["effective_draws"]
        assert drawn.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(few))
        assert drawn.std() == pytest.approx(sd, abs=4 * sd / np.sqrt(2 * few) * 1.5)
        assert stats.skew(drawn) == pytest.approx(third, abs=4 * np.sqrt(15 / few))
    # m given the level: Normal with mean -2 + 0.2 (level + 2), which ties the two together.
    tie = np.cov(population[:, 0], level[:, 0])
    assert tie[0, 1] / tie[1, 1] == pytest.approx(
        0.2, abs=4 * np.sqrt(0.2 / tie[1, 1] / report["effective_draws"])
    )


@pytest.mark.full
@pytest.mark.parametrize("seed", [1, 2])
def test_laplace_agrees_with_nuts(seed):
    """Mean of every quantity within 4 errors: sd × sqrt(1/ess + 1/ess), the smallest of each fit."""
    experiment = clv.customers.from_experiment(simulated(seed, effect_sd=0.2 * seed), segment="segment")
    fast = clv.targeting.fit_response(experiment, method="laplace", seed=seed)
    slow = clv.targeting.fit_response(experiment, draws=500, tune=600, seed=seed, progress=False)
    fast_size = clv.diagnostics(fast)["effective_draws"]
    slow_size = clv.diagnostics(slow)["ess_bulk_min"]
    assert clv.diagnostics(fast)["passed"]
    error = 4 * np.sqrt(1 / fast_size + 1 / slow_size)
    assert set(fast["posterior"].data_vars) == set(slow["posterior"].data_vars)
    for name in fast["posterior"].data_vars:
        one, other = fast["posterior"][name], slow["posterior"][name]
        sd = other.std(ALL)
        np.testing.assert_array_less(np.abs(one.mean(ALL) - other.mean(ALL)) / sd, error, err_msg=str(name))
        # The error of a standard deviation of moderately heavy tails (kurtosis 6): sd × sqrt(5 / 4 / size).
        np.testing.assert_allclose(one.std(ALL) / sd, 1, atol=error * np.sqrt(1.25), err_msg=str(name))


def test_what_a_posterior_carries(quick, experiment):
    posterior = quick["posterior"].dataset
    assert posterior["conversion_effect_offset"].dims == ("chain", "draw", "segment")
    assert posterior["segment"].to_numpy().tolist() == ["s0", "s1", "s2", "s3"]
    assert posterior["spend_control"].attrs["units"] == "money"
    assert quick.attrs["customers"] == 6000
    counted = quick["observed_data"]["customers"]
    assert counted.sel(arm="treated").sum() == int(experiment["treated"].sum())
    assert json.loads(quick.attrs["priors"])["conversion_effect_sd"] == ["HalfNormal", {"sigma": 0.3}]


def test_small_segments_are_pulled_towards_the_others(quick):
    """Offsets of the effect spread less than the raw differences of log odds do."""
    cells = quick["observed_data"].dataset
    odds = cells["conversions"] / (cells["customers"] - cells["conversions"])
    raw = np.log(odds.sel(arm="treated") / odds.sel(arm="control"))
    pooled = quick["posterior"]["conversion_effect_offset"].mean(ALL)
    assert float(pooled.std()) < float(raw.std())
    assert np.corrcoef(raw, pooled)[0, 1] > 0.8


def test_the_order_of_customers_and_the_unit_of_money_do_not_matter(experiment, quick):
    shuffled = experiment.isel(customer=np.random.default_rng(1).permutation(6000))
    again = clv.targeting.fit_response(shuffled, method="laplace", seed=1)
    cents = clv.targeting.fit_response(
        experiment.assign(outcome=100 * experiment["outcome"]), method="laplace", seed=1
    )
    for name, factor in (
        ("conversion_effect", 1),
        ("spend_control", 100),
        ("spend_effect", 1),
        ("spend_shape", 1),
    ):
        one = quick["posterior"][name].to_numpy()
        # The last digits of the mode differ, and with them a few of the proposals that are picked.
        assert np.isclose(again["posterior"][name].to_numpy(), one, rtol=1e-4, atol=1e-5).mean() > 0.95
        assert (
            np.isclose(cents["posterior"][name].to_numpy(), factor * one, rtol=1e-4, atol=1e-5).mean() > 0.95
        )


def test_one_amount_needs_no_spend():
    found = clv.targeting.fit_response(
        clv.customers.from_experiment(simulated(amount=1.0), segment="segment"),
        method="laplace",
        draws=100,
        seed=1,
    )
    assert found.attrs["amount"] == 1.0
    assert not any(str(name).startswith("spend") for name in found["posterior"].data_vars)
    added = clv.targeting.predict_uplift(
        found, clv.customers.from_experiment(simulated(amount=1.0), segment="segment")
    )
    np.testing.assert_allclose(
        added["uplift"], added["conversion_treated"] - added["conversion_control"], atol=1e-15
    )


def test_without_segments_there_is_nothing_to_pool():
    """Uniform prior, many customers: the posterior of the log odds ratio is Normal(estimate, Woolf's error)."""
    frame = simulated(size=8000)
    priors = {"conversion_effect": clv.Prior("Normal", mu=0, sigma=100)}
    found = clv.targeting.fit_response(
        clv.customers.from_experiment(frame), method="laplace", priors=priors, seed=1
    )
    assert not any(str(name).endswith(("_sd", "_offset")) for name in found["posterior"].data_vars)
    bought = frame["outcome"] > 0
    counts = np.array(
        [[((frame["treated"] == a) & (bought == b)).sum() for b in (False, True)] for a in (0, 1)]
    )
    estimate = np.log(counts[1, 1] / counts[1, 0] * counts[0, 0] / counts[0, 1])
    error = np.sqrt((1 / counts).sum())
    effect = found["posterior"]["conversion_effect"]
    few = clv.diagnostics(found)["effective_draws"]
    assert float(effect.mean()) == pytest.approx(estimate, abs=error * (4 / np.sqrt(few) + 0.02))
    assert float(effect.std()) == pytest.approx(error, rel=4 / np.sqrt(2 * few) + 0.02)


def test_saved_and_loaded(quick, experiment, tmp_path):
    again = clv.load(clv.save(quick, tmp_path / "response.nc"))
    one, other = (clv.targeting.predict_uplift(tree, experiment) for tree in (quick, again))
    assert one.equals(other)
    broken = quick.copy()
    broken["posterior"] = quick["posterior"].to_dataset().drop_vars("conversion_effect")
    with pytest.raises(InputError, match="lacks the draws of 'conversion_effect'"):
        clv.load(clv.save(broken, tmp_path / "broken.nc"))


def test_what_is_refused(experiment):
    with pytest.raises(InputError, match="'mode' is not known"):
        clv.targeting.fit_response(experiment, method="mode", seed=1)
    with pytest.raises(InputError, match="Nobody of the 6,000 customers bought"):
        clv.targeting.fit_response(
            experiment.assign(outcome=0 * experiment["outcome"]), method="laplace", seed=1
        )
    with pytest.raises(InputError, match="no population quantity 'effect'"):
        clv.targeting.fit_response(
            experiment, method="laplace", priors={"effect": clv.Prior("Normal", mu=0, sigma=1)}, seed=1
        )
    with pytest.raises(InputError, match="needs a prior"):
        clv.targeting.fit_response(experiment, method="laplace", priors="flat", seed=1)
    with pytest.raises(InputError, match="draws=0"):
        clv.targeting.fit_response(experiment, draws=0, seed=1)
