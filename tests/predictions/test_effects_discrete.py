"""Forecasts at opportunities and of contracts with effects: those of the plain family with own parameters."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import bayes_clv as clv
from bayes_clv.inference.effects import learn_effects
from bayes_clv.inference.posterior import FORMAT
from bayes_clv.predictions.parameters import parameters
from tests.symbols import paper

bg_bb = paper("bg_bb")
shifted_beta_geometric = paper("shifted_beta_geometric")

DRAWS = 60
GIVING = {
    "population_purchase_probability": 0.5,
    "purchase_concentration": 2.0,
    "population_dropout": 0.2,
    "dropout_concentration": 3.4,
}
RENEWING = {"population_churn": 0.16, "churn_concentration": 4.5}
COHORTS = ("2022", "2023", "2024")


def tree(module, name, population, effects, time_unit, *, zero=False):
    """Return a posterior made by hand: log-normal draws about the population, normal ones of the effects."""
    rng = np.random.default_rng(3)
    shape, coords = (2, DRAWS // 2), {"chain": [0, 1], "draw": np.arange(DRAWS // 2)}
    drawn = {
        key: (("chain", "draw"), value * np.exp(0.05 * rng.standard_normal(shape)))
        for key, value in population.items()
    }
    plain = module.parameters({key: value for key, (_, value) in drawn.items()})
    drawn |= {key: (("chain", "draw"), value) for key, value in plain.items()}
    labels = effects.coords()
    for key, dims in effects.dims().items():
        value = 0.4 * rng.standard_normal((*shape, *(len(labels[dim]) for dim in dims))) + 0.2
        value = np.abs(value) if key.endswith("_sd") else value
        drawn[key] = (("chain", "draw", *dims), value * (not zero))
    coords |= {dim: list(values) for dim, values in labels.items()}
    found = xr.DataTree.from_dict({"posterior": xr.Dataset(drawn, coords=coords)})
    found.attrs = {
        "family": name, "time_unit": time_unit, "seed": 7, "effects": effects.to_json(), "format": FORMAT,
    }  # fmt: skip
    return found


def plain(posterior, values):
    """Return a plain posterior with these parameters (draw,)."""
    drawn = {name: (("chain", "draw"), value.reshape(2, -1)) for name, value in values.items()}
    coords = {"chain": [0, 1], "draw": np.arange(DRAWS // 2)}
    found = xr.DataTree.from_dict({"posterior": xr.Dataset(drawn, coords=coords)})
    found.attrs = {name: posterior.attrs[name] for name in ("family", "time_unit")}
    return found


def flat(posterior, name):
    drawn = posterior["posterior"][name].transpose(..., "chain", "draw").values
    return drawn.reshape(*drawn.shape[:-2], -1)


def odds_times(probability, shift):
    odds = probability / (1 - probability) * np.exp(shift)
    return odds / (1 + odds)


@pytest.fixture(scope="module")
def donors():
    rng = np.random.default_rng(1)
    x, t_x = bg_bb.simulate(rng, np.full(60, 6), 1.2, 0.75, 0.66, 2.8)
    table = pd.DataFrame(
        {
            "frequency": x, "recency": t_x, "opportunities": 6, "count": rng.integers(1, 4, 60),
            "age": rng.integers(20, 60, 60), "cohort": rng.choice(COHORTS, 60),
        },
        index=[f"d{i:02d}" for i in range(60)],
    )  # fmt: skip
    return clv.customers.from_opportunities(table, columns=["age", "cohort"])


def giving_of(donors, *, zero=False):
    effects = learn_effects(
        bg_bb.FAMILY,
        donors,
        {"purchase": "poly(age, 2)"},
        {"dropout": "cohort", "purchase_concentration": "cohort"},
    )
    return tree(bg_bb, "bg_bb", GIVING, effects, "opportunity", zero=zero)


@pytest.fixture(scope="module")
def giving(donors):
    return giving_of(donors)


def own_parameters(giving, donors, i):
    """Return the parameters of customer i by formulas written anew here: z and z² made orthogonal by hand."""
    weight = donors["count"].values
    age = donors["age"].values.astype(float)
    mean = np.average(age, weights=weight)
    z = (age - mean) / np.sqrt(np.average((age - mean) ** 2, weights=weight))
    curve = z**2 - 1 - np.average(z**3, weights=weight) * z
    curve = curve / np.sqrt(np.average(curve**2, weights=weight))
    coefficient, place = flat(giving, "purchase_coefficient"), COHORTS.index(donors["cohort"].values[i])
    buying = odds_times(
        flat(giving, "population_purchase_probability"), z[i] * coefficient[0] + curve[i] * coefficient[1]
    )
    spread = flat(giving, "purchase_concentration") * np.exp(
        flat(giving, "purchase_concentration_cohort_offset")[place]
    )
    leaving = odds_times(flat(giving, "population_dropout"), flat(giving, "dropout_cohort_offset")[place])
    total = flat(giving, "dropout_concentration")
    return {
        "alpha": buying * spread, "beta": (1 - buying) * spread,
        "gamma": leaving * total, "delta": (1 - leaving) * total,
    }  # fmt: skip


def closed_forms(giving, donors):
    return (
        clv.expected.alive(giving, donors),
        clv.expected.survival(giving, donors, 5),
        clv.expected.purchases(giving, donors, 5),
        clv.expected.residual(giving, donors, 0.1),
    )


def test_each_donors_forecast_is_the_plain_one_with_its_parameters(giving, donors):
    """Simulated futures too: the random numbers are the customer's own, and parameters agree to 1e-13."""
    expected = closed_forms(giving, donors)
    future = clv.predict(giving, donors, 5, seed=2, keep_draws=True)
    for i in (0, 13, 41):
        alone, one = plain(giving, own_parameters(giving, donors, i)), donors.isel(customer=[i])
        for ours, theirs in zip(expected, closed_forms(alone, one), strict=True):
            assert_allclose(ours.isel(customer=i), theirs.isel(customer=0), rtol=1e-9)
        drawn = clv.predict(alone, one, 5, seed=2, keep_draws=True)
        assert_array_equal(future["purchases"].isel(customer=i), drawn["purchases"].isel(customer=0))
        assert_allclose(future["survival"][i], drawn["survival"][0], rtol=1e-9)


def test_effects_of_zero_leave_the_plain_forecast(donors):
    zero = giving_of(donors, zero=True)
    without = plain(zero, parameters(zero, "opportunities").values)
    ours, plainly = (clv.predict(each, donors, 5, seed=2) for each in (zero, without))
    for name in plainly.data_vars:
        assert_allclose(ours[name], plainly[name], rtol=1e-8, err_msg=str(name))


def test_order_and_company_change_no_donors_forecast(giving, donors):
    whole = clv.predict(giving, donors, 5, seed=2)
    order = np.random.default_rng(8).permutation(60)
    shuffled = clv.predict(giving, donors.isel(customer=order), 5, seed=2, threads=3)
    some = clv.predict(giving, donors.isel(customer=slice(10, 17)), 5, seed=2)
    assert_array_equal(shuffled["purchases_total"], whole["purchases_total"])
    for name in ("purchases_mean", "purchases_expected"):
        assert_array_equal(shuffled[name].sel(customer=whole["customer"]), whole[name])
        assert_array_equal(some[name], whole[name].isel(customer=slice(10, 17)))


def test_a_new_cohort_is_taken_and_a_new_level_refused(giving, donors):
    new = donors.assign(cohort=("customer", np.array(["2025"] * 60, dtype=object)))
    spread = clv.expected.purchases(giving, new, 5).std(("chain", "draw"))
    assert np.isfinite(spread).all()
    with pytest.raises(clv.InputError, match="no column 'cohort'"):
        clv.predict(giving, donors.drop_vars("cohort"), 5, seed=1)


# Contracts -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contracts():
    survivors = {"2022": [400, 330, 290, 250], "2023": [500, 380, 310], "2024": [300, 270]}
    base = clv.customers.from_survivors(survivors)
    rng = np.random.default_rng(2)
    plan = pd.Series(
        rng.choice(["a", "b"], base.sizes["customer"]), index=base["customer"].values, name="plan"
    )
    return clv.with_columns(base, plan)


def renewing_of(contracts, *, zero=False):
    effects = learn_effects(shifted_beta_geometric.FAMILY, contracts, {"dropout": "plan"}, "cohort")
    return tree(shifted_beta_geometric, "shifted_beta_geometric", RENEWING, effects, "period", zero=zero)


@pytest.fixture(scope="module")
def renewing(contracts):
    return renewing_of(contracts)


def own_contract(renewing, contracts, plan, cohort):
    share = float(contracts["count"].values[contracts["plan"].values == "b"].sum() / contracts["count"].sum())
    place = COHORTS.index(cohort)
    shift = ((plan == "b") - share) * flat(renewing, "dropout_coefficient")[0]
    churn = odds_times(
        flat(renewing, "population_churn"), shift + flat(renewing, "dropout_cohort_offset")[place]
    )
    total = flat(renewing, "churn_concentration") * np.exp(
        flat(renewing, "churn_concentration_cohort_offset")[place]
    )
    return plain(renewing, {"alpha": churn * total, "beta": (1 - churn) * total})


def test_curves_and_lifetimes_are_those_of_the_columns(renewing, contracts):
    columns = {"plan": "b", "cohort": "2023"}
    alone = own_contract(renewing, contracts, **columns)
    for verb in (
        lambda tree, **more: clv.expected.renewals(tree, 8, tenure=[0, 3], **more).to_array(),
        lambda tree, **more: clv.expected.residual_renewals(tree, 0.1, tenure=[0, 3], **more),
        lambda tree, **more: clv.predict_renewals(tree, 500, 5, seed=1, **more)["survivors_total"],
    ):
        assert_allclose(verb(renewing, profile=columns), verb(alone), rtol=1e-10)
        assert np.isfinite(verb(renewing, profile=columns | {"cohort": "2030"})).all()


def test_survivors_of_each_cohort_are_those_of_its_contracts(renewing, contracts):
    """Mean over draws and chance against the closed form, within 5 standard errors of the simulation.

    Given a draw the survivors of one row are Binomial: a variance below count / 4, of the mean over draws count / 240.
    """
    left = clv.predict_renewals(renewing, contracts, 4, seed=1, by="cohort")
    for cohort in COHORTS:
        total, count = 0.0, 0
        rows = np.flatnonzero((contracts["cohort"].values == cohort) & (contracts["active"].values == 1))
        for row in rows:
            alone = own_contract(renewing, contracts, str(contracts["plan"].values[row]), cohort)
            curve = clv.expected.renewals(alone, 4, tenure=int(contracts["renewals"].values[row]))
            size = int(contracts["count"].values[row])
            total = total + size * curve["survival"].isel(tenure=0).mean(("chain", "draw")).values
            count += size
        found = left["survivors_by"].sel(segment=cohort).mean(("chain", "draw")).values
        assert_allclose(found, total, atol=5 * np.sqrt(count / (4 * DRAWS)))


def test_effects_of_zero_leave_the_plain_contracts(contracts):
    zero = renewing_of(contracts, zero=True)
    without = plain(zero, parameters(zero, "contracts").values)
    columns = {"plan": "a", "cohort": "2024"}
    assert_allclose(
        clv.expected.renewals(zero, 6, profile=columns)["survival"],
        clv.expected.renewals(without, 6)["survival"],
        rtol=1e-8,
    )
    assert_array_equal(
        clv.predict_renewals(zero, 500, 4, seed=1, profile=columns)["survivors_total"],
        clv.predict_renewals(without, 500, 4, seed=1)["survivors_total"],
    )


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t, c: clv.expected.renewals(t, 3), "The fit used the columns plan, cohort, and profile lacks 'plan'"),
        (lambda t, c: clv.expected.residual_renewals(t, 0.1, profile={"plan": "a"}), "lacks 'cohort'"),
        (lambda t, c: clv.expected.renewals(t, 3, profile={"plan": "z", "cohort": "2024"}), "the fit has not seen"),
        (lambda t, c: clv.predict_renewals(t, c, 3, seed=1, profile={"plan": "a"}), "columns of their own"),
        (lambda t, c: clv.predict_renewals(t, c.drop_vars("plan"), 3, seed=1), "no column 'plan'"),
        (
            lambda t, c: clv.expected.renewals(plain(t, parameters(t, "contracts").values), 3, profile={"plan": "a"}),
            "'plan', which it has not used. The fit used none",
        ),
    ],
)  # fmt: skip
def test_contracts_without_their_columns_are_refused(renewing, contracts, ask, message):
    with pytest.raises(clv.InputError, match=message):
        ask(renewing, contracts)


# Another process -------------------------------------------------------------------------------------

PREDICT = """
import sys
import numpy as np, xarray as xr
import bayes_clv as clv
donors = xr.load_dataset(sys.argv[2], engine="h5netcdf")
found = clv.expected.purchases(clv.load(sys.argv[1]), donors, 5)
assert "formulaic" not in sys.modules and "pymc" not in sys.modules
np.save(sys.argv[3], found.values)
"""


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_formulas_encoding_serves_in_a_new_process_without_a_formula(giving, donors, tmp_path, suffix):
    saved = clv.save(giving, tmp_path / f"giving{suffix}")
    donors.to_netcdf(tmp_path / "donors.nc", engine="h5netcdf")
    files = [str(saved), str(tmp_path / "donors.nc"), str(tmp_path / "found.npy")]
    subprocess.run([sys.executable, "-W", "error", "-c", PREDICT, *files], check=True)
    here = clv.expected.purchases(giving, donors, 5)
    assert_array_equal(np.load(files[2]), here.values)
