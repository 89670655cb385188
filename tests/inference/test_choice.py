"""A whole number that the data choose, and quantities that a number fixes."""

import json
import math

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.distributions.paths import PHASES
from bayes_clv.families.quantities import Prior, resolve, starting_point
from bayes_clv.inference.choice import Choice, choose, settled
from bayes_clv.inference.criticism.diagnostics import with_choice
from bayes_clv.inference.data import distinct_rows
from bayes_clv.inference.graph import build_model
from bayes_clv.inference.sampling.importance import STUDENT_DEGREES_OF_FREEDOM
from bayes_clv.inference.sampling.laplace import compiled, find_peak
from bayes_clv.problems import problem
from bayes_clv.schema import InputError
from tests.interpreted import interpreted
from tests.symbols import paper

bg_cnbd_k = paper("bg_cnbd_k")
bg_nbd = paper("bg_nbd")
mbg_cnbd_k = paper("mbg_cnbd_k")

TRUTH = {"r": 1.2, "alpha": 1.0, "a": 0.8, "b": 4.0, "k": 3}


def base(size, seed, weeks=40.0, holdout=20.0, module=mbg_cnbd_k, **truth):
    """Return a simulated base with its sums of log times between purchases, and what it buys in the holdout."""
    rng = np.random.default_rng(seed)
    T = np.full(size, weeks)
    customer, age = module.simulate_purchase_times(rng, T + holdout, **(TRUTH | truth))
    seen = age <= weeks
    later = np.bincount(customer[~seen], minlength=size)
    customer, age = customer[seen], age[seen]
    before = np.where(np.r_[True, np.diff(customer) != 0], 0.0, np.r_[0.0, age[:-1]])
    recency = np.zeros(size)
    np.maximum.at(recency, customer, age)
    return xr.Dataset(
        {
            "frequency": ("customer", np.bincount(customer, minlength=size)),
            "recency": ("customer", recency),
            "T": ("customer", T),
            "log_intervals": ("customer", np.bincount(customer, np.log(age - before), minlength=size)),
            "holdout_purchases": ("customer", later),
        },
        coords={"customer": np.array([f"c{i}" for i in range(size)], dtype=object)},
        attrs={"time_unit": "week", "holdout_duration": holdout},
    )


def columns_of(data, module=mbg_cnbd_k):
    return distinct_rows({name: data[name].to_numpy().astype(float) for name in module.OBSERVED})


@pytest.fixture(scope="module")
def regular():
    return base(300, seed=2)


@pytest.fixture(scope="module")
def fitted(regular):
    return clv.fit("mbg_cnbd_k", regular, method="laplace", draws=250, seed=1)


def test_k_of_regular_customers_is_found_and_said(fitted):
    found = clv.diagnostics(fitted)
    assert (fitted["posterior"]["k"] == TRUTH["k"]).all()
    assert found["passed"]
    assert found["k_probability"] > 0.95
    assert found["k_tried"] == [1, 2, 3, 4, 5][: len(found["k_tried"])]
    best = max(found["k_log_evidence"])
    assert found["k_log_evidence"].index(best) + 1 == TRUTH["k"]
    # The search ends where a value can no longer matter.
    assert found["k_log_evidence"][-1] < best - 10 <= min(found["k_log_evidence"][2:-1])
    assert json.loads(fitted.attrs["priors"])["k"][0] == "DiscreteUniform"
    assert fitted["posterior"]["k"].attrs["units"] == "count"


def test_the_evidence_is_that_of_importance_sampling(regular):
    """The integral of the density by draws about its peak, from the graph at a fixed k: Laplace is within 0.05."""
    rows, count = columns_of(regular)
    scale = mbg_cnbd_k.data_scale(rows, count)
    start = starting_point(mbg_cnbd_k.QUANTITIES, scale)
    priors = resolve(mbg_cnbd_k.QUANTITIES, {"k": Prior("DiscreteUniform", lower=2, upper=3)}, scale)
    (choice,) = choose(mbg_cnbd_k.FAMILY, rows, count, priors, start, likelihood=False).values()
    assert choice.values == (2, 3)
    rng, dof = np.random.default_rng(3), STUDENT_DEGREES_OF_FREEDOM
    built = build_model(mbg_cnbd_k.FAMILY, rows, count, settled(priors, {"k": choice}), start)
    assert built.constants == {"k": 3.0}
    ready = compiled(built.graph, built.names, jacobian=True)
    peak = find_peak(ready.density, ready.start)
    size, d = 4_000, peak.position.size
    root = np.linalg.inv(np.linalg.cholesky(peak.negative_hessian)).T
    standard = rng.standard_normal((size, d)) / np.sqrt(rng.chisquare(dof, size) / dof)[:, None]
    log_t = math.lgamma((dof + d) / 2) - math.lgamma(dof / 2) - d / 2 * math.log(dof * math.pi)
    log_proposal = log_t - (dof + d) / 2 * np.log1p((standard**2).sum(axis=1) / dof)
    log_proposal -= np.linalg.slogdet(root)[1]
    log_ratio = np.array([ready.density(peak.position + root @ z)[0] for z in standard]) - log_proposal
    weight = np.exp(log_ratio - log_ratio.max())
    error = weight.std() / weight.mean() / math.sqrt(size)
    assert error < 0.02
    evidence = log_ratio.max() + math.log(weight.mean())
    assert choice.score[1] == pytest.approx(evidence, abs=4.5 * error + 0.05)


def test_what_is_doubtful_about_a_choice_is_a_sentence_with_its_number():
    sure = Choice("k", "log_evidence", (1, 2, 3), (-20.0, -3.0, -15.0))
    assert sure.chosen == 2
    assert sure.problems(12) == []
    unsure = Choice("k", "log_evidence", (1, 2, 3), (-3.0, -2.0, -15.0))
    # e / (1 + e) of two values one apart.
    assert max(unsure.probability) == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-5)
    (found,) = unsure.problems(12)
    assert "k = 2 was chosen with a posterior probability of 0.73" in found.found
    assert "1: 27 %, 2: 73 %" in found.found
    (found,) = Choice("k", "log_evidence", (1, 2, 3), (-30.0, -20.0, -2.0)).problems(3)
    assert "k = 3 is the largest that was tried" in found.found


def test_a_doubtful_choice_fails_the_fit_and_is_in_its_diagnostics():
    unsure = Choice("k", "log_evidence", (1, 2, 3), (-3.0, -2.0, -15.0))
    found = with_choice({"passed": True, "problems": [], "rhat_max": 1.0}, unsure, 12)
    assert not found["passed"]
    assert found["problems"] == unsure.problems(12)
    assert found["rhat_max"] == 1.0
    assert found["k_log_evidence"] == [-3.0, -2.0, -15.0]
    another = problem("one_chain")
    assert with_choice({"problems": [another]}, unsure, 12)["problems"][0] == another


@pytest.mark.full
def test_few_customers_leave_k_open_and_the_fit_says_so():
    few = base(25, seed=5, weeks=12.0)
    found = clv.diagnostics(clv.fit("bg_cnbd_k", few, method="laplace", draws=50, seed=1))
    assert not found["passed"]
    assert "choice_unsure" in [each.code for each in found["problems"]]


def test_a_number_fixes_a_quantity(regular):
    with interpreted():
        free = clv.fit("bg_nbd", regular, method="mode", priors="flat", seed=1)
    given = {name: Prior("Flat") for name in bg_nbd.QUANTITIES}
    at_ours = given | {"r": free["posterior"]["r"].item()}
    with interpreted():
        again = clv.fit("bg_nbd", regular, method="mode", priors=at_ours, seed=1)
    # At the value that is the best anyhow nothing changes.
    assert again["posterior"]["r"].item() == free["posterior"]["r"].item()
    assert again["sample_stats"]["lp"].item() == pytest.approx(free["sample_stats"]["lp"].item(), abs=1e-9)
    for name in ("alpha", "a", "b"):
        assert again["posterior"][name].item() == pytest.approx(free["posterior"][name].item(), rel=1e-5)
    assert json.loads(again.attrs["priors"])["r"][0] == "Fixed"
    np.testing.assert_allclose(
        clv.expected.alive(again, regular), clv.expected.alive(free, regular), rtol=1e-4
    )


def test_what_cannot_be_is_refused(regular):
    with pytest.raises(InputError, match=r"lack 'log_intervals'.*also=\('log_intervals'"):
        clv.fit("bg_cnbd_k", regular.drop_vars("log_intervals"), seed=1)
    everything = {
        "population_purchase_rate": 0.1,
        "r": 1,
        "population_dropout": 0.2,
        "dropout_concentration": 2,
    }
    with pytest.raises(InputError, match="Every quantity is fixed"):
        clv.fit("bg_nbd", regular, priors=everything, seed=1)
    grouped = regular.assign(channel=("customer", np.array(["a", "b"] * 150, dtype=object)))
    with pytest.raises(InputError, match="'k' is one whole number for all customers"):
        clv.fit("bg_cnbd_k", grouped, groups={"k": "channel"}, seed=1)


@pytest.mark.full
def test_sampled_with_a_covariate_and_a_group_and_compared(regular):
    """NUTS knows nothing of the constant k; forecasts, loo and comparison go through with effects."""
    rng = np.random.default_rng(4)
    data = regular.assign(
        age=("customer", rng.normal(40, 10, 300)),
        channel=("customer", rng.choice(["a", "b", "c"], 300).astype(object)),
    )
    tree = clv.fit(
        "mbg_cnbd_k",
        data,
        covariates={"purchase": "age"},
        groups={"purchase": "channel"},
        priors={"k": 3},
        draws=100,
        tune=300,
        chains=2,
        seed=1,
        progress=False,
        include=("prior", "posterior_predictive", "log_likelihood"),
    )
    assert (tree["posterior"]["k"] == 3).all()
    assert (tree["prior"]["k"] == 3).all()
    assert clv.diagnostics(tree)["divergences"] == 0
    assert "purchase_coefficient" in tree["posterior"]
    total = clv.predict(tree, data, 20.0, seed=1)["purchases_total"]
    expected = clv.expected.purchases(tree, data, 20.0).sum("customer")
    difference = (total - expected).to_numpy().ravel()
    assert abs(difference.mean()) < 4.5 * difference.std() / math.sqrt(difference.size)
    random = clv.fit(
        "mbg_nbd",
        data,
        covariates={"purchase": "age"},
        groups={"purchase": "channel"},
        method="laplace",
        draws=50,
        seed=1,
        include=("log_likelihood",),
    )
    table = clv.compare({"regular": tree, "random": random})
    assert table.index[0] == "regular"


@pytest.mark.full
def test_regular_customers_are_recovered_and_forecast_better():
    """Over ten bases of 1,000: k = 3 is found in each, and the forecast of the holdout beats that of MBG/NBD."""
    better = []
    for seed in range(10):
        data = base(1_000, seed=100 + seed)
        tree = clv.fit("mbg_cnbd_k", data, method="laplace", draws=250, seed=seed)
        assert tree["posterior"]["k"].mean() == TRUTH["k"]
        truth = {name: TRUTH[name] for name in ("r", "a", "b")} | {"alpha": TRUTH["alpha"]}
        for name, value in truth.items():
            draws = tree["posterior"][name].to_numpy().ravel()
            assert abs(np.log(draws).mean() - math.log(value)) < 4.5 * np.log(draws).std()
        simple = clv.fit("mbg_nbd", data, method="laplace", draws=250, seed=seed)
        futures = [clv.predict(each, data, 20.0, seed=seed) for each in (tree, simple)]
        both = clv.evaluate({"regular": futures[0], "simple": futures[1]}, data, baselines=())
        better.append(float(both["crps_worse"].sel(forecast="simple")))
    better = np.array(better)
    assert better.mean() > 4.5 * better.std(ddof=1) / math.sqrt(better.size)


def test_in_one_regular_base_the_forecast_is_better(regular, fitted):
    simple = clv.fit("mbg_nbd", regular, method="laplace", draws=250, seed=1)
    futures = {
        name: clv.predict(each, regular, 20.0, seed=1)
        for name, each in (("regular", fitted), ("simple", simple))
    }
    both = clv.evaluate(futures, regular, baselines=())
    assert both["crps_worse"].sel(forecast="simple") > 0


def test_one_phase_has_the_very_futures_of_the_simple_family(make_posterior, make_customers):
    values = {"r": 0.6, "alpha": 8.0, "a": 0.8, "b": 2.4}
    customers = make_customers(60)
    futures = [
        clv.predict(
            make_posterior(name, given, sd=0.1, chains=2, draws=100), customers, 30.0, seed=1, keep_draws=True
        )
        for name, given in (("bg_nbd", values), ("bg_cnbd_k", values | {"k": 1.0}))
    ]
    np.testing.assert_array_equal(futures[0]["purchases"], futures[1]["purchases"])
    assert bg_cnbd_k.FAMILY.forecast.paths is PHASES


def test_a_regular_future_is_the_beginning_of_a_longer_one(make_posterior, make_customers):
    values = {"r": 0.6, "alpha": 2.0, "a": 0.8, "b": 2.4, "k": 4.0}
    customers, posterior = (
        make_customers(60),
        make_posterior("mbg_cnbd_k", values, sd=0.1, chains=2, draws=200),
    )
    short = clv.predict(posterior, customers, 26.0, seed=1, keep_draws=True)["purchases"]
    long = clv.predict(posterior, customers, 52.0, seed=1, keep_draws=True, periods=2, threads=1)
    first = short.mean(("chain", "draw"))
    np.testing.assert_allclose(long["purchases_period_mean"].isel(period=0), first, rtol=1e-12)
    assert (long["purchases"] >= short).all()
