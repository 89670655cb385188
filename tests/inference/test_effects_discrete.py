"""Covariates and groups at opportunities and of contracts: the plain likelihood by profile, and truth recovered."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import bayes_clv as clv
from bayes_clv.families.registry import family
from bayes_clv.inference.data import distinct_rows
from bayes_clv.inference.effects import learn_effects
from bayes_clv.inference.graph import reduced_log_likelihood
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

beta_discrete_weibull = paper("beta_discrete_weibull")
bg_bb = paper("bg_bb")
shifted_beta_geometric = paper("shifted_beta_geometric")

SIZE = 900
BUYING, LEAVING = 0.45, 0.15
AGE, MEMBER, AGE_DROPOUT = 0.6, 0.5, -0.5


def odds_times(probability, factor):
    return probability * factor / (1 - probability + probability * factor)


def donors(seed, size=SIZE):
    """Return a table of customers whose purchase probability and dropout depend on age and membership."""
    rng = np.random.default_rng(seed)
    age, member = rng.integers(20, 60, size), rng.random(size) < 0.4
    z, m = (age - age.mean()) / age.std(), member - member.mean()
    buying = odds_times(BUYING, np.exp(AGE * z + MEMBER * m))
    leaving = odds_times(LEAVING, np.exp(AGE_DROPOUT * z))
    n = rng.integers(5, 9, size)
    x, t_x = bg_bb.simulate(rng, n, 3 * buying, 3 * (1 - buying), 4 * leaving, 4 * (1 - leaving))
    return pd.DataFrame({"frequency": x, "recency": t_x, "opportunities": n, "age": age, "member": member})


COVARIATES = {"purchase": "age + member", "dropout": "age"}
VALUES = {
    "bg_bb": {
        "population_purchase_probability": 0.4, "purchase_concentration": 2.5, "population_dropout": 0.2,
        "dropout_concentration": 3.5,
    },
    "shifted_beta_geometric": {"population_churn": 0.15, "churn_concentration": 4.5},
    "beta_discrete_weibull": {"population_churn": 0.13, "churn_concentration": 1.6, "c": 1.7},
}  # fmt: skip


def contracts(rng, size, periods=7):
    """Return contracts of two age classes and three cohorts."""
    renewals, active = shifted_beta_geometric.simulate(rng, np.full(size, periods), 0.7, 3.8)
    return xr.Dataset(
        {
            "renewals": ("customer", renewals),
            "active": ("customer", active),
            "periods": ("customer", np.full(size, periods)),
            "age": ("customer", rng.choice([25.0, 40.0, 55.0], size)),
            "cohort": ("customer", rng.choice(["2022", "2023", "2024"], size).astype(object)),
        },
        coords={"customer": [f"c{i:04d}" for i in range(size)]},
        attrs={"time_unit": "period"},
    )


def data_of(name, size=300):
    if name != "bg_bb":
        return contracts(np.random.default_rng(3), size)
    dataset = clv.customers.from_opportunities(donors(3, size), columns=["age", "member"])
    return dataset.assign(cohort=("customer", np.array(["2022", "2023", "2024"] * (size // 3), dtype=object)))


def reduced(module, dataset, effects, values):
    profiles = effects.profiles(dataset)
    columns = {name: dataset[name].values.astype(float) for name in module.observed}
    rows, count = distinct_rows(columns | {"profile": profiles.index})
    parameters = effects.parameters(np, module, values, profiles.design, profiles.place)
    parameters = {name: np.asarray(value) for name, value in parameters.items()}
    return float(reduced_log_likelihood(module, parameters, rows, count).eval(mode=AS_WRITTEN)), count.size


@pytest.mark.parametrize("name", VALUES)
def test_the_likelihood_is_the_plain_one_with_each_customers_parameters(name):
    """Parameters by formulas written anew; the groups act on the first quantity and on a shape."""
    module, dataset = family(name), data_of(name)
    (process, quantity), shape = next(iter(module.processes.items())), list(module.quantities)[1]
    effects = learn_effects(module, dataset, {process: "age"}, {process: "cohort", shape: "cohort"})
    first, second = np.array([-0.2, 0.1, 0.4]), np.array([0.3, 0.0, -0.3])
    values = VALUES[name] | {
        f"{process}_coefficient": np.array([0.3]),
        f"{process}_cohort_offset": first,
        f"{shape}_cohort_offset": second,
    }
    age = dataset["age"].values.astype(float)
    place = np.searchsorted(["2022", "2023", "2024"], dataset["cohort"].values.astype(str))
    shift = 0.3 * (age - age.mean()) / age.std() + first[place]
    own = VALUES[name] | {
        quantity: odds_times(VALUES[name][quantity], np.exp(shift)),
        shape: VALUES[name][shape] * np.exp(second[place]),
    }
    history = {column: dataset[column].values.astype(float) for column in module.observed}
    whole = module.log_likelihood(module.from_quantities(own), history).eval(mode=AS_WRITTEN).sum()
    total, rows = reduced(module, dataset, effects, values)
    assert_allclose(total, whole, rtol=1e-12)
    assert rows < dataset.sizes["customer"]
    # At zero it is the plain family, to 1e-8 as claimed, and here to 1e-12.
    zero = {key: value * 0 if key not in VALUES[name] else value for key, value in values.items()}
    plain = module.log_likelihood(module.from_quantities(VALUES[name]), history).eval(mode=AS_WRITTEN).sum()
    assert_allclose(reduced(module, dataset, effects, zero)[0], plain, rtol=1e-12)
    assert abs(whole - plain) > 1


def z_scores(posterior, truths):
    """Return (posterior mean - truth) / posterior sd of each variable."""
    dims, scores = ("chain", "draw"), []
    for name, truth in truths.items():
        drawn = posterior["posterior"][name]
        scores += np.ravel((drawn.mean(dims) - np.asarray(truth)) / drawn.std(dims)).tolist()
    return np.array(scores)


def full(values):
    return [pytest.param(value, marks=pytest.mark.full) for value in values]


@pytest.fixture(scope="module")
def giving():
    made = {}

    def of(seed):
        if seed not in made:
            made[seed] = clv.fit(
                "bg_bb", donors(seed), covariates=COVARIATES, method="laplace", draws=250, seed=seed
            )
        if not clv.diagnostics(made[seed])["passed"]:
            # As its Pareto k asks (of the eight bases that of seed 5, 0.87).
            made[seed] = clv.fit(
                "bg_bb", donors(seed), covariates=COVARIATES, draws=500, tune=500, seed=seed, progress=False
            )
        return made[seed]

    return of


@pytest.mark.parametrize("seed", [1, *full(range(2, 9))])
def test_coefficients_at_opportunities_are_recovered(giving, seed):
    """Truth within 3.3 posterior standard deviations for all three: by chance 3 in 1,000 seeds would miss."""
    posterior = giving(seed)
    assert clv.diagnostics(posterior)["passed"], clv.diagnostics(posterior)["problems"]
    scores = z_scores(
        posterior, {"purchase_coefficient": [AGE, MEMBER], "dropout_coefficient": [AGE_DROPOUT]}
    )
    assert (np.abs(scores) < 3.3).all(), scores
    age = posterior["posterior"]["purchase_coefficient"].sel(purchase_effect="age")
    assert float(age.mean() / age.std()) > 5


def test_a_count_is_worth_as_many_customers(giving):
    """Encodings too are of customers and not of rows: to rounding, which the search for the peak may raise."""
    together = donors(1).value_counts(sort=False).rename("count").reset_index()
    assert len(together) < SIZE
    posterior = clv.fit("bg_bb", together, covariates=COVARIATES, method="laplace", draws=250, seed=1)
    for name in giving(1)["posterior"].data_vars:
        assert_allclose(posterior["posterior"][name], giving(1)["posterior"][name], rtol=1e-5, err_msg=name)


CHURN = {"2021": 0.1, "2022": 0.2, "2023": 0.35}


@pytest.fixture(scope="module")
def renewing():
    """Three cohorts of known survivors, from a simulation with a churn of their own."""
    rng, survivors = np.random.default_rng(4), {}
    for cohort, churn in CHURN.items():
        renewals, _ = shifted_beta_geometric.simulate(rng, np.full(600, 6), 4 * churn, 4 * (1 - churn))
        survivors[cohort] = [int((renewals >= t).sum()) for t in range(7)]
    return clv.customers.from_survivors(survivors)


def test_a_fit_to_cohorts_of_survivors(renewing):
    """Laplace is no method for groups, and quick: here for what a fit holds."""
    fitted = clv.fit(
        "shifted_beta_geometric", renewing, groups={"dropout": "cohort"}, method="laplace", draws=25, seed=4,
        include=("posterior_predictive", "log_likelihood", "log_prior"),
    )  # fmt: skip
    assert fitted["posterior"]["dropout_cohort_offset"].dims == ("chain", "draw", "cohort")
    replicated = fitted["posterior_predictive"]["customers_by_renewals"]
    assert (replicated.sum("renewals_class") == 1800).all()
    assert fitted["log_likelihood"]["renewals"].sizes["row"] == fitted.attrs["distinct_rows"] == 21
    assert fitted["log_prior"]["dropout_cohort_sd"].dims == ("chain", "draw")


@pytest.mark.full
def test_cohorts_of_survivors_are_groups(renewing):
    """The churn of each cohort within 3.5 sd of the truth (three: 1.4 in 1,000)."""
    fitted = clv.fit(
        "shifted_beta_geometric",
        renewing,
        groups={"dropout": "cohort"},
        draws=250,
        tune=400,
        seed=4,
        progress=False,
    )
    found = clv.diagnostics(fitted)
    assert found["divergences"] <= 5, found
    assert found["rhat_max"] < 1.03
    drawn = fitted["posterior"]
    logit = (
        np.log(drawn["population_churn"] / (1 - drawn["population_churn"])) + drawn["dropout_cohort_offset"]
    )
    truth = np.array([np.log(churn / (1 - churn)) for churn in CHURN.values()])
    assert logit["cohort"].values.tolist() == list(CHURN)
    scores = (logit.mean(("chain", "draw")) - truth) / logit.std(("chain", "draw"))
    assert (np.abs(scores) < 3.5).all(), scores.values
    assert float(np.abs(logit.std(("chain", "draw"))).max()) < 0.3


@pytest.mark.full
def test_durations_too_take_a_covariate():
    """BdW by a mode: older contracts churn less, by the sign and by more than the prior's zero."""
    rng = np.random.default_rng(6)
    age = rng.choice([25.0, 40.0, 55.0], 3000)
    churn = odds_times(0.2, np.exp(-0.5 * (age - age.mean()) / age.std()))
    renewals, active = beta_discrete_weibull.simulate(rng, np.full(3000, 6), 4 * churn, 4 * (1 - churn), 1.3)
    table = pd.DataFrame({"renewals": renewals, "active": active, "age": age})
    posterior = clv.fit(
        "beta_discrete_weibull", table, covariates={"dropout": "age"}, method="laplace", draws=250, seed=1
    )
    scores = z_scores(posterior, {"dropout_coefficient": [-0.5], "c": 1.3})
    assert (np.abs(scores) < 3.3).all(), scores


def test_a_cohort_of_one_row_each_is_a_group():
    """Rows are not customers: four rows of four cohorts are refused only where each is one customer."""
    table = pd.DataFrame(
        {"renewals": [0, 1, 2, 3], "active": [0, 0, 1, 1], "count": 1, "cohort": list("abcd")}
    )
    with pytest.raises(clv.InputError, match="Every customer is of its own 'cohort'"):
        clv.fit("shifted_beta_geometric", table, groups="cohort", seed=1)
    dataset = clv.customers.from_contracts(table.assign(count=5), columns="cohort")
    effects = learn_effects(shifted_beta_geometric.FAMILY, dataset, None, "cohort")
    assert effects.labels == {"cohort": ("a", "b", "c", "d")}
