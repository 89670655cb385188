"""Every closed form and likelihood against what an earlier version of this package gave, digit by digit.

``reference/frozen.npz`` holds inputs and results, made by ``reference/make_frozen.py`` with commit 492f47e. The papers'
own numbers are tested elsewhere; here nothing may change while the code is moved about.

On a machine and with versions like those of the file, results must be equal to the last bit. Elsewhere logarithms,
exponentials and lnGamma differ in their last bits (NumPy picks them by processor, SciPy and LLVM by version), and
results may by what the formulas make of that: TOLERANCE.

Two exceptions. ``MENDED`` are cases with shapes above ``stirling.LARGE`` (1,000 purchases of k phases, tenures of 5,000
renewals), whose last digits the old formulas lost: equal within what was lost. And log-likelihoods are sums of terms
of a graph that PyTensor fuses as it likes: a branch that is not taken moves their last bit (SUMS).
"""

import json
import platform
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parent / "reference" / "frozen.npz"
TOLERANCE = 1e-12
SUMS = {"rtol": 1e-13, "atol": 1e-11}
MENDED = dict.fromkeys(
    ("beta_discrete_weibull", "shifted_beta_geometric", "bg_cnbd_k@3", "mbg_cnbd_k@2", "mbg_cnbd_k@7"), 2e-11
)

type Arrays = Mapping[str, np.ndarray]


# The adapter: the one part that knows how the package is called. Times and counts lead: (time, row, draw).


def _module(name: str):
    from bayes_clv.families import family

    return family(name)


def _history(module, columns: Arrays) -> list[np.ndarray]:
    """Return the columns that forecasts take, (row, 1)."""
    names = getattr(module, "HISTORY", module.OBSERVED)
    return [columns[name][:, None] for name in names]


def of_purchases(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    from bayes_clv.families.lifetimes import LIFETIMES

    module = _module(name)
    history = _history(module, columns)
    shape = (columns["T"].size, next(iter(params.values())).size)
    times, counts, rates, spans = grid["t"], grid["count"], grid["rate"], grid["horizon"]
    found = {
        "alive": module.probability_alive(*history, **params),
        "purchases": np.stack([module.expected_purchases(t, *history, **params) for t in times]),
        "survival": np.stack([module.survival(t, *history, **params) for t in times]),
        "residual": np.stack(
            [module.discounted_residual_transactions(rate, *history, **params) for rate in rates]
        ),
    }
    for span in spans:
        each = [module.purchases_pmf(n, span, *history, **params) for n in counts]
        found[f"pmf_{span:g}"] = np.stack(each)
        each = [module.purchases_at_least(n, span, *history, **params) for n in counts]
        found[f"at_least_{span:g}"] = np.stack(each)
    for place, mean in enumerate(module.latent_means(*history, **params)):
        found[f"latent_mean_{place}"] = mean
    if module.LIFETIME == "individual":

        def discounted(span: float, rate: float) -> np.ndarray:
            return module.discounted_purchases(span, rate, *history, **params)
    else:
        alive, *state = module.future_state(*history, **params)
        for place, part in enumerate((alive, *state)):
            found[f"state_{place}"] = part
        full = [np.array(np.broadcast_to(part, shape)) for part in state]

        def discounted(span: float, rate: float) -> np.ndarray:
            alone = np.zeros(shape[0], dtype=bool)
            law = LIFETIMES[module.LIFETIME]
            return alive * law.discounted_purchases(*full, float(span), float(rate), alone)

    for span in spans:
        found[f"discounted_{span:g}"] = np.stack([discounted(span, rate) for rate in rates])
    return found


def of_spend(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    module = _module(name)
    occasions, level = columns["frequency"][:, None], columns[module.LEVEL][:, None]
    found = {
        "expected": module.expected_spend(occasions, level, **params),
        "population_mean": module.population_mean_spend(**params),
    }
    for place, part in enumerate(module.spend_state(occasions, level, **params)):
        found[f"state_{place}"] = part
    for moment in (1, 2):
        found[f"lacks_moment_{moment}"] = module.lacks_moment(moment, occasions, **params)
    return found


def of_opportunities(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    module = _module(name)
    history = _history(module, columns)
    found = {
        "alive": module.probability_alive(*history, **params),
        "purchases": np.stack([module.expected_purchases(m, *history, **params) for m in grid["t"]]),
        "survival": np.stack([module.survival(m, *history, **params) for m in grid["t"]]),
        "residual": np.stack(
            [module.discounted_residual_transactions(rate, *history, **params) for rate in grid["rate"]]
        ),
    }
    for span in grid["horizon"]:
        each = [module.purchases_pmf(n, span, *history, **params) for n in grid["count"]]
        found[f"pmf_{span:g}"] = np.stack(each)
    for place, mean in enumerate(module.latent_means(*history, **params)):
        found[f"latent_mean_{place}"] = mean
    for place, part in enumerate(module.opportunity_state(*history, **params)):
        found[f"state_{place}"] = part
    return found


def of_contracts(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    module = _module(name)
    history = _history(module, columns)
    found = {
        "retention": np.stack([module.retention_rate(t, **params) for t in grid["period"]]),
        "survival": np.stack([module.survival(t, *history, **params) for t in grid["t"]]),
        "renewals": np.stack([module.expected_renewals(t, *history, **params) for t in (*grid["t"], np.inf)]),
        "residual": np.stack(
            [module.discounted_residual_lifetime(rate, *history, **params) for rate in grid["rate"]]
        ),
        "latent_mean_0": module.latent_means(*history, **params),
    }
    for span in grid["horizon"]:
        each = [module.renewals_pmf(n, span, *history, **params) for n in grid["count"]]
        found[f"pmf_{span:g}"] = np.stack(each)
    return found


def log_likelihood(name: str, columns: Arrays, params: Arrays) -> np.ndarray:
    """Return the log-likelihood (row, draw) of what is observed, by the graph that is fitted."""
    import pytensor
    import pytensor.tensor as pt

    module = _module(name)
    symbols = {key: pt.dvector(key) for key in module.PARAMETERS}
    observed = [pt.dvector(key) for key in module.OBSERVED]
    value = module.log_likelihood(symbols, *observed)
    compiled = pytensor.function([*symbols.values(), *observed], value, on_unused_input="ignore")
    rows, draws = columns[module.OBSERVED[0]].size, params[module.PARAMETERS[0]].size
    seen = np.ones(rows, dtype=bool)
    if module.KIND == "spend":
        seen = columns["frequency"] > 0
    given = [np.tile(params[key], seen.sum()) for key in module.PARAMETERS]
    values = compiled(*given, *(np.repeat(columns[key][seen], draws) for key in module.OBSERVED))
    found = np.full((rows, draws), np.nan)
    found[seen] = values.reshape(-1, draws)
    return found


OF_KIND: dict[str, Callable[..., dict[str, np.ndarray]]] = {
    "purchases": of_purchases,
    "spend": of_spend,
    "opportunities": of_opportunities,
    "contracts": of_contracts,
}


def closed_forms(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    """Return every closed form that the family offers of these rows in these draws, by name."""
    return OF_KIND[_module(name).KIND](name, columns, params, grid)


def from_quantities(name: str, quantities: Arrays) -> dict[str, np.ndarray]:
    """Return the paper's parameters of what is sampled."""
    module = _module(name)
    return {key: module.parameters(quantities)[key] for key in module.PARAMETERS}


def data_scale(name: str, columns: Arrays) -> np.ndarray:
    """Return the data's own scales, the numbers alone, of the rows that a fit would read."""
    module = _module(name)
    seen = columns["frequency"] > 0 if module.KIND == "spend" else np.ones(len(next(iter(columns.values()))))
    kept = {key: column[seen > 0] for key, column in columns.items()}
    scale = module.data_scale(kept, np.arange(1.0, 1 + seen.sum()))
    return np.array([*scale.values()] if isinstance(scale, Mapping) else [scale])


def joint_log_density(name: str, quantities: Arrays) -> dict[str, np.ndarray]:
    """Return of CDNOW at the points (draw,) the log prior and the joint log density of the model that is fitted.

    The joint density is of the quantities themselves, and of what the sampler moves, with the Jacobian of that.
    """
    import bayes_clv as clv
    from bayes_clv.families.quantities import resolve, starting_point
    from bayes_clv.inference.data import distinct_rows, observed
    from bayes_clv.inference.graph import build_model

    module = _module(name)
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30")
    data = observed(name, customers)
    rows, count = distinct_rows(dict(data.columns), data.count)
    scale = module.data_scale(rows, count)
    priors = resolve(module.QUANTITIES, None, scale)
    model = build_model(module, rows, count, priors, starting_point(module.QUANTITIES, scale)).graph
    values = {}
    for variable in model.free_RVs:
        transform, value = model.rvs_to_transforms[variable], quantities[variable.name]
        moved = value if transform is None else transform.forward(value, *variable.owner.inputs).eval()
        values[model.rvs_to_values[variable].name] = moved
    points = [{key: moved[i] for key, moved in values.items()} for i in range(value.size)]
    wanted = {
        "log_prior": model.compile_logp(vars=model.free_RVs, jacobian=False),
        "joint": model.compile_logp(jacobian=False),
        "joint_of_what_moves": model.compile_logp(),
    }
    return {key: np.array([float(density(point)) for point in points]) for key, density in wanted.items()}


# The claims.


@cache
def frozen() -> dict[str, np.ndarray]:
    with np.load(FILE) as stored:
        return dict(stored)


def stored(*path: str) -> dict[str, np.ndarray]:
    """Return what is stored below a path, by the last part of its name."""
    prefix = "/".join(path) + "/"
    return {key.removeprefix(prefix): value for key, value in frozen().items() if key.startswith(prefix)}


def fingerprint() -> dict[str, object]:
    """Return what the last bits depend on."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "versions": {name: version(name) for name in ("numpy", "scipy", "numba", "llvmlite", "pytensor")},
        "simd": sorted([*simd["baseline"], *simd["found"]]),
        "libc": platform.libc_ver()[1],
    }


def cases(part: str) -> list[str]:
    return sorted({key.split("/")[0] for key in frozen() if key.split("/")[1:2] == [part]})


def assert_unchanged(found: Arrays, expected: Arrays, **within: float) -> None:
    assert set(found) == set(expected)
    exact = json.loads(str(frozen()["about"])) == fingerprint()
    for key, value in expected.items():
        if within:
            np.testing.assert_allclose(found[key], value, equal_nan=True, err_msg=key, **within)
        elif exact:
            np.testing.assert_array_equal(found[key], value, strict=True, err_msg=key)
        else:
            np.testing.assert_allclose(
                found[key], value, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True, err_msg=key
            )


@pytest.mark.parametrize("case", cases("closed_form"))
def test_closed_forms_are_those_of_before(case):
    columns, params, grid = (stored(case, part) for part in ("column", "parameter", "grid"))
    within = {"rtol": MENDED[case]} if case in MENDED else {}
    found = closed_forms(case.split("@")[0], columns, params, grid)
    assert_unchanged(found, stored(case, "closed_form"), **within)


@pytest.mark.parametrize("case", cases("log_likelihood"))
def test_log_likelihoods_are_those_of_before(case):
    columns, params = stored(case, "column"), stored(case, "parameter")
    found = {"each": log_likelihood(case.split("@")[0], columns, params)}
    assert_unchanged(found, stored(case, "log_likelihood"), **SUMS)


@pytest.mark.parametrize("case", cases("from_quantities"))
def test_what_is_sampled_gives_the_parameters_of_before(case):
    name = case.split("@")[0]
    assert_unchanged(from_quantities(name, stored(case, "quantity")), stored(case, "from_quantities"))
    assert_unchanged({"each": data_scale(name, stored(case, "column"))}, stored(case, "data_scale"))


@pytest.mark.parametrize("case", cases("density"))
def test_joint_log_density_of_cdnow_is_that_of_before(case):
    assert_unchanged(
        joint_log_density(case.split("@")[0], stored(case, "quantity")), stored(case, "density"), **SUMS
    )
