"""Every closed form and likelihood against what an earlier version of this package gave, digit by digit.

``reference/frozen.npz`` holds inputs and results, made by ``reference/make_frozen.py`` with commit 492f47e. The papers'
own numbers are tested elsewhere; here nothing may change while the code is moved about.

On a machine and with versions like those of the file, results must be equal to the last bit. Elsewhere logarithms,
exponentials and lnGamma differ in their last bits (NumPy picks them by processor, SciPy and LLVM by version), and
results may by what the formulas make of that: TOLERANCE.

Three exceptions. ``MENDED`` are cases with shapes above ``stirling.LARGE`` (1,000 purchases of k phases, tenures of
5,000 renewals), whose last digits the old formulas lost: equal within what was lost. ``COMPILED`` are those whose
P(alive) and discounted purchases are compiled: their logarithms are not NumPy's, which the file has, on any machine.
And log-likelihoods are sums of terms of a graph that PyTensor fuses as it likes: a branch that is not taken moves their
last bit (SUMS).
"""

import json
import platform
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tests.interpreted import AS_WRITTEN

FILE = Path(__file__).parent / "reference" / "frozen.npz"
TOLERANCE = 1e-12
SUMS = {"rtol": 1e-13, "atol": 1e-11}
COMPILED = ("bg_nbd", "mbg_nbd", "nbd", "bg_cnbd_k@1")
MENDED = dict.fromkeys(
    ("beta_discrete_weibull", "shifted_beta_geometric", "bg_cnbd_k@3", "mbg_cnbd_k@2", "mbg_cnbd_k@7"), 2e-11
)

type Arrays = Mapping[str, np.ndarray]


# The adapter: the one part that knows how the package is called. Times and counts lead: (time, row, draw).


def _family(name: str):
    from bayes_clv.families import family

    return family(name)


def _rows(columns: Arrays) -> dict[str, np.ndarray]:
    return {name: column[:, None] for name, column in columns.items()}


def of_purchases(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    return _forecast(name, columns, params, grid, np.inf)


def of_opportunities(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    found = _forecast(name, columns, params, grid, np.inf)
    # Nothing of these two was frozen.
    return {key: value for key, value in found.items() if not key.startswith(("discounted", "at_least"))}


def _forecast(
    name: str, columns: Arrays, params: Arrays, grid: Arrays, without_end: float
) -> dict[str, np.ndarray]:
    forecast, rows = _family(name).forecast, _rows(columns)
    times, counts, rates, spans = grid["t"], grid["count"], grid["rate"], grid["horizon"]

    def discounted(span: float) -> np.ndarray:
        return np.stack([forecast.discounted(float(span), float(rate), rows, params) for rate in rates])

    found = {
        "alive": forecast.alive(rows, params),
        "purchases": np.stack([forecast.purchases(t, rows, params) for t in times]),
        "survival": np.stack([forecast.survival(t, rows, params) for t in times]),
        "residual": discounted(without_end),
    }
    for span in spans:
        found[f"pmf_{span:g}"] = np.stack([forecast.pmf(n, span, rows, params) for n in counts])
        found[f"at_least_{span:g}"] = np.stack([forecast.at_least(n, span, rows, params) for n in counts])
        found[f"discounted_{span:g}"] = discounted(span)
    for place, mean in enumerate(forecast.latent_means(rows, params)):
        found[f"latent_mean_{place}"] = mean
    if forecast.state is not None:
        for place, part in enumerate((found["alive"], *forecast.state(rows, params))):
            found[f"state_{place}"] = part
    return found


def of_spend(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    forecast = _family(name).forecast
    rows = {"occasions": columns["frequency"][:, None], "mean_spend": columns[forecast.level][:, None]}
    found = {
        "expected": forecast.expected(rows, params),
        "population_mean": forecast.population_mean(params),
    }
    for place, part in enumerate(forecast.state(rows, params)):
        found[f"state_{place}"] = part
    for moment in (1, 2):
        found[f"lacks_moment_{moment}"] = forecast.lacks_moment(moment, rows, params)
    return found


def of_contracts(name: str, columns: Arrays, params: Arrays, grid: Arrays) -> dict[str, np.ndarray]:
    forecast, rows = _family(name).forecast, _rows(columns)
    found = {
        "retention": np.stack([forecast.retention(t, params) for t in grid["period"]]),
        "survival": np.stack([forecast.survival(t, rows, params) for t in grid["t"]]),
        "renewals": np.stack([forecast.expected(t, rows, params) for t in (*grid["t"], np.inf)]),
        "residual": np.stack([forecast.discounted(rate, rows, params) for rate in grid["rate"]]),
        "latent_mean_0": forecast.latent_means(rows, params),
    }
    for span in grid["horizon"]:
        found[f"pmf_{span:g}"] = np.stack([forecast.pmf(n, span, rows, params) for n in grid["count"]])
    return found


def log_likelihood(name: str, columns: Arrays, params: Arrays) -> np.ndarray:
    """Return the log-likelihood (row, draw) of what is observed, by the graph that is fitted."""
    import pytensor
    import pytensor.tensor as pt

    family = _family(name)
    symbols = {key: pt.dvector(key) for key in family.parameters}
    observed = {key: pt.dvector(key) for key in family.observed}
    value = sum(term.function(symbols, *(observed[c] for c in term.columns)) for term in family.likelihood)
    compiled = pytensor.function(
        [*symbols.values(), *observed.values()], value, on_unused_input="ignore", mode=AS_WRITTEN
    )
    rows, draws = columns[family.observed[0]].size, params[family.parameters[0]].size
    seen = np.ones(rows, dtype=bool)
    if family.kind == "spend":
        seen = columns["frequency"] > 0
    given = [np.tile(params[key], seen.sum()) for key in family.parameters]
    values = compiled(*given, *(np.repeat(columns[key][seen], draws) for key in family.observed))
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
    return OF_KIND[_family(name).kind](name, columns, params, grid)


def from_quantities(name: str, quantities: Arrays) -> dict[str, np.ndarray]:
    """Return the paper's parameters of what is sampled."""
    family = _family(name)
    return {key: family.from_quantities(quantities)[key] for key in family.parameters}


def data_scale(name: str, columns: Arrays) -> np.ndarray:
    """Return the data's own scales, the numbers alone, of the rows that a fit would read."""
    family = _family(name)
    seen = columns["frequency"] > 0 if family.kind == "spend" else np.ones(len(next(iter(columns.values()))))
    kept = {key: column[seen > 0] for key, column in columns.items()}
    scale = family.scale(kept, np.arange(1.0, 1 + seen.sum()))
    return np.array([*scale.values()] if isinstance(scale, Mapping) else [scale])


def joint_log_density(name: str, quantities: Arrays) -> dict[str, np.ndarray]:
    """Return of CDNOW at the points (draw,) the log prior and the joint log density of the model that is fitted.

    The joint density is of the quantities themselves, and of what the sampler moves, with the Jacobian of that.
    """
    import bayes_clv as clv
    from bayes_clv.families.quantities import resolve, starting_point
    from bayes_clv.inference.data import distinct_rows, observed
    from bayes_clv.inference.graph import build_model

    family = _family(name)
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30")
    data = observed(family, customers)
    rows, count = distinct_rows(dict(data.columns), data.count)
    scale = family.scale(rows, count)
    priors = resolve(family.quantities, None, scale)
    model = build_model(family, rows, count, priors, starting_point(family.quantities, scale)).graph
    values = {}
    for variable in model.free_RVs:
        transform, value = model.rvs_to_transforms[variable], quantities[variable.name]
        moved = (
            value
            if transform is None
            else transform.forward(value, *variable.owner.inputs).eval(mode=AS_WRITTEN)
        )
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
        # What does not vary over draws may be one number for all of them.
        value = np.broadcast_to(value, found[key].shape) if value.shape[1:] == (1,) else value
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
    if case in COMPILED:
        within = {"rtol": TOLERANCE, "atol": TOLERANCE}
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
