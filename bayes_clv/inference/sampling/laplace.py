"""From a log density to draws in seconds: the mode, and a Laplace approximation that is corrected.

``nuts``
    nutpie, on the same compiled density as the others (``density``).
``laplace``
    Mode and curvature on the unconstrained scale, heavy-tailed proposals around them, and smoothed importance weights
    (``importance``). Its Pareto k says whether the result can be trusted.
``mode``
    The highest posterior density of the stated quantities (no Jacobian), so that with flat priors it
    is the maximum-likelihood estimate of the papers.
"""

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.inference.clock import GROUPED, WHITENED
from bayes_clv.inference.sampling.importance import around, importance_draws

if TYPE_CHECKING:
    from bayes_clv.inference.density import Density, PlainDensity
from bayes_clv.schema import InputError

# With groups. In four fits of pooled channels (4 × 150 customers, and 1,000 down to 20) steps at nutpie's 0.8 left
# 1, 4, 2 and 10 divergent transitions of 2,000, and those at 0.95 none, at about the same cost.
TARGET_ACCEPT = 0.95


type LogDensity = Callable[[np.ndarray], tuple[float, np.ndarray]]


# Systematic resampling repeats a proposal whose weight is above PROPOSALS_PER_DRAW times the mean. Few are
# (4,000 draws of CDNOW are worth 3,940 distinct ones), and each costs an evaluation of the density.
PROPOSALS_PER_DRAW = 1.5
# Where a density is an integral over each customer's history, and dear: 4,000 draws are then worth 1,000 or more. Not
# with a calendar, whose many dimensions leave few of so few: of CDNOW's with drift 640 and 790 in 9 s of CPU, and 2,400
# and 2,600 in 21 s of 1.5 proposals a draw.
DEAR_PROPOSALS_PER_DRAW = 0.4


def labelled(
    model: Any, values: Mapping[str, np.ndarray], chains: np.ndarray, draws: np.ndarray
) -> xr.Dataset:
    """Return draws of the model's variables, first axis the draws of all chains, with its dimensions and labels."""
    dims = {name: tuple(model.named_vars_to_dims.get(name) or ()) for name in values}
    used = {dim for own in dims.values() for dim in own}
    return xr.Dataset(
        {
            name: (("chain", "draw", *dims[name]), value.reshape(chains.size, draws.size, *value.shape[1:]))
            for name, value in values.items()
        },
        coords={"chain": chains, "draw": draws}
        | {dim: np.array(model.coords[dim], dtype=object) for dim in model.coords if dim in used},
    )


@dataclass(frozen=True)
class Peak:
    """The highest point of a log density on the unconstrained scale, and the curvature there."""

    position: np.ndarray
    log_density: float
    negative_hessian: np.ndarray
    gradient_norm: float


@dataclass(frozen=True)
class Compiled:
    """A model ready for ``laplace_draws``: its graph, log density and gradient, named values, where to start.

    ``constrain`` takes positions (n, dimension) on the unconstrained scale; ``nearly_normal`` (dimension) is true of
    coordinates that are so given the others.
    """

    graph: Any
    density: "Density | PlainDensity"
    constrain: Callable[[np.ndarray], dict[str, np.ndarray]]
    start: np.ndarray
    nearly_normal: np.ndarray


def compiled(model: Any, names: list[str], *, jacobian: bool) -> Compiled:
    """Compile a PyMC model: its log density, with or without Jacobian, and the variables to keep."""
    from bayes_clv.inference.density import of_model

    point = model.initial_point()
    sizes = [np.size(point[variable.name]) for variable in model.value_vars]
    whitened = np.repeat([variable.name in (WHITENED, GROUPED) for variable in model.value_vars], sizes)
    return Compiled(
        model, of_model(model, jacobian=jacobian), _constrain(model, names), _start(model), whitened
    )


def laplace(
    model: Any, names: list[str], *, draws: int, chains: int, seed: int
) -> tuple[xr.Dataset, xr.Dataset, dict[str, float]]:
    """Return importance-corrected draws (split evenly into ``chains``), their statistics and Pareto k."""
    return laplace_draws(compiled(model, names, jacobian=True), draws=draws, chains=chains, seed=seed)


def laplace_draws(
    model: Compiled, *, draws: int, chains: int, seed: int
) -> tuple[xr.Dataset, xr.Dataset, dict[str, float]]:
    """Return what ``laplace`` does, from a compiled model: its data may have changed since."""
    peak = find_peak(model.density, model.start)
    size = draws * chains
    dear = model.density.alone is not None and not model.nearly_normal.any()

    def evaluate(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The compiled function lets other threads run beside it.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = pool.map(
                lambda part: [model.density.value(each) for each in part], np.array_split(positions, 64)
            )
            log_target = np.concatenate(list(parts))
        return log_target - peak.log_density, np.empty((len(positions), 0))

    found = importance_draws(
        np.random.default_rng(seed),
        around(peak.position, peak.negative_hessian, model.nearly_normal),
        evaluate,
        proposals=math.ceil(size * (DEAR_PROPOSALS_PER_DRAW if dear else PROPOSALS_PER_DRAW)),
        size=size,
    )
    values = model.constrain(found.positions)
    posterior = labelled(model.graph, values, np.arange(chains), np.arange(draws))
    stats = xr.Dataset(
        {"log_weight": (("chain", "draw"), np.log(found.weight).reshape(chains, draws))},
        coords={"chain": posterior["chain"], "draw": posterior["draw"]},
    )
    return posterior, stats, found.report


def mode(model: Any, names: list[str]) -> tuple[xr.Dataset, xr.Dataset, dict[str, float]]:
    """Return the mode as one chain of one draw, and the log density there."""
    ready = compiled(model, names, jacobian=False)
    peak = find_peak(ready.density, ready.start)
    values = ready.constrain(peak.position[None, :])
    posterior = labelled(model, values, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    stats = xr.Dataset(
        {"lp": (("chain", "draw"), [[peak.log_density]])},
        coords={"chain": posterior["chain"], "draw": posterior["draw"]},
    )
    return posterior, stats, {"log_density": peak.log_density, "gradient_norm": peak.gradient_norm}


def find_peak(density: LogDensity, start: np.ndarray) -> Peak:
    """Return the maximum of a log density: Newton steps in a trust region, then to full precision.

    The region is bounded on the unconstrained (log or logit) scale. A line search that doubles its steps, as that
    of BFGS, may land where parameters of e^30 leave no digits, and not come back.

    Raises InputError when the density has no interior maximum that can be found.
    """
    from scipy.optimize import minimize

    def negative(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(x)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return np.inf, np.zeros_like(x)
        return -value, -gradient

    region = {"initial_trust_radius": 0.5, "max_trust_radius": 2.0, "gtol": 1e-4, "maxiter": 500}
    found = minimize(
        negative, start, jac=True, hess=lambda x: _hessian(negative, x), method="trust-exact", options=region
    )
    x = found.x
    for _ in range(4):
        hessian = _hessian(negative, x)
        if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian)[0] <= 0:
            break
        step = np.linalg.solve(hessian, negative(x)[1])
        if negative(x - step)[0] > negative(x)[0]:
            break
        x = x - step
    hessian = _hessian(negative, x)
    eigenvalues = np.linalg.eigvalsh(hessian) if np.isfinite(hessian).all() else np.array([-1.0])
    if eigenvalues[0] <= 0 or not np.isfinite(negative(x)[0]):
        raise InputError(
            "The posterior has no single peak inside the parameters' range, so it cannot be summarised by "
            "a mode and a curvature. Give priors that are not flat first: leave priors to their defaults, or narrow "
            "those of the concentrations and shapes. Under flat ones NUTS wanders off as well. The data then "
            "do not end the likelihood in some direction: customers who hardly differ in dropout or rate (a + b or r "
            "grows without bound) or of whom nobody seems to leave, a short observation, repeat customers who are few "
            "or identical, or spends all alike. Or take a family without what the data do not show (nbd: no dropout)."
        )
    value, gradient = negative(x)
    return Peak(x, -value, hessian, float(np.abs(gradient).max()))


def _hessian(negative: LogDensity, x: np.ndarray) -> np.ndarray:
    # Central differences of the exact gradient: the error is of order step^2, 1e-8 relative.
    step = 1e-4
    columns = [(negative(x + e)[1] - negative(x - e)[1]) / (2 * step) for e in step * np.eye(x.size)]
    hessian = np.array(columns)
    return (hessian + hessian.T) / 2


def _start(model: Any) -> np.ndarray:
    point = model.initial_point()
    return np.concatenate([np.ravel(point[variable.name]) for variable in model.value_vars]).astype(float)


def _constrain(model: Any, names: list[str]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.replace import vectorize_graph

    start = model.initial_point()
    outputs = model.replace_rvs_by_values([model[name] for name in names])
    many = {each: pt.tensor(shape=(None, *np.shape(start[each.name]))) for each in model.value_vars}
    # Interpreted: all draws go through each operation at once.
    values_at = pytensor.function(
        list(many.values()), vectorize_graph(outputs, many), mode="FAST_COMPILE", on_unused_input="ignore"
    )

    def constrain(positions: np.ndarray) -> dict[str, np.ndarray]:
        shapes = [np.shape(start[variable.name]) for variable in model.value_vars]
        parts = np.split(positions, np.cumsum([math.prod(shape) for shape in shapes])[:-1], axis=1)
        values = values_at(
            *(part.reshape(len(part), *shape) for part, shape in zip(parts, shapes, strict=True))
        )
        return dict(zip(names, map(np.asarray, values), strict=True))

    return constrain


def versions() -> dict[str, str]:
    """Return the versions that a posterior carries: this package's and those that its draws depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("bayes_clv", "pymc", "nutpie", "arviz", "numpy", "xarray")}
