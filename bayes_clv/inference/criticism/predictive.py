"""Prior draws and replicated data, for ArviZ's predictive checks.

A replicated base is kept as the number of customers in each class of the checked variable (frequency,
renewals, or mean spend), not as one column a customer: it stays small for a million customers, and is what a
predictive check looks at.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Family
from bayes_clv.families.group_time import PLACE
from bayes_clv.families.quantities import Prior, fixed_values
from bayes_clv.inference.calendar import COEFFICIENT, HALF_LIFE, SD, SHOCK, DrawnCalendar, LearnedCalendar
from bayes_clv.inference.effects import Effects, Profiles, parameter_points
from bayes_clv.inference.sampling.laplace import labelled
from bayes_clv.schema import InputError

# Enough for a smooth density estimate of the prior and a 90 % band of each class.
PREDICTIVE_DRAWS = 500
LAST_COUNT_CLASS = 10
SPEND_CLASSES = 20
# PyMC's distributions that cannot be drawn from.
FLAT = ("FlatRV", "HalfFlatRV")


def prior_draws(model: Any, names: list[str], rng: np.random.Generator) -> xr.Dataset:
    """Return draws (1 chain) of the named variables from their priors; flat priors are refused."""
    import pymc as pm

    flat = [variable.name for variable in model.free_RVs if type(variable.owner.op).__name__ in FLAT]
    if flat:
        raise InputError(
            f"A flat prior cannot be drawn from (of {', '.join(flat)}). Leave 'prior' and 'prior_predictive' out of "
            "include, or give a proper prior."
        )
    # Interpreted: compiling for a few hundred draws takes longer than drawing them.
    values = pm.draw([model[name] for name in names], PREDICTIVE_DRAWS, random_seed=rng, mode="FAST_COMPILE")
    drawn = {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
    return labelled(model, drawn, np.zeros(1, dtype=np.int64), np.arange(PREDICTIVE_DRAWS))


def thin(posterior: xr.Dataset) -> xr.Dataset:
    """Return about PREDICTIVE_DRAWS evenly spaced draws of the posterior, chains kept."""
    step = max(1, posterior.sizes["chain"] * posterior.sizes["draw"] // PREDICTIVE_DRAWS)
    return posterior.isel(draw=slice(None, None, step))


def observed_classes(checked: str, values: np.ndarray) -> xr.Dataset:
    """Return the number of customers in each class of the checked variable.

    Counts (frequency, renewals) 0 to 9 and "10 or more"; mean spends in 20 classes that hold equally many customers.
    The coordinate is the lower edge of each class.
    """
    if checked == "monetary_value":
        edges = np.unique(np.quantile(values, np.arange(SPEND_CLASSES) / SPEND_CLASSES))
        edges[0] = 0.0
    elif checked in ("frequency", "renewals"):
        edges = np.arange(LAST_COUNT_CLASS + 1, dtype=float)
    else:
        edges = np.unique(np.quantile(values, np.arange(SPEND_CLASSES) / SPEND_CLASSES))
    name = f"customers_by_{checked}"
    return xr.Dataset({name: (f"{checked}_class", _count(values, edges))}, coords={f"{checked}_class": edges})


def replicate(
    family: Family,
    draws: xr.Dataset,
    columns: Mapping[str, np.ndarray],
    classes: xr.Dataset,
    rng: np.random.Generator,
    effects: Effects | None = None,
    profiles: Profiles | None = None,
    pasts: Iterable[tuple[np.ndarray, np.ndarray]] | None = None,
) -> xr.Dataset:
    """Return, for each draw of the parameters, the classes counted in one replicated base.

    With ``effects`` the columns hold each customer's ``profile``. ``pasts`` are of each draw the
    knots of a calendar and the operational time at them, both from the end of observation; or that of each group
    (group, knot), and the columns hold each customer's ``calendar_place``.
    """
    name = f"customers_by_{family.checked}"
    dimension = f"{family.checked}_class"
    edges = classes[dimension].to_numpy()
    counts = []
    points = parameter_points(family, draws, effects, profiles)
    for point, past in zip(points, repeat(None) if pasts is None else pasts, strict=pasts is not None):
        params = {
            name: value[columns["profile"]] if np.ndim(value) else value for name, value in point.items()
        }
        counts.append(_count(_simulated(family, rng, columns, params, past)[family.checked], edges))
    shape = (draws.sizes["chain"], draws.sizes["draw"], edges.size)
    return xr.Dataset(
        {name: (("chain", "draw", dimension), np.array(counts).reshape(shape))},
        coords={"chain": draws["chain"], "draw": draws["draw"], dimension: edges},
    )


def prior_pasts(
    calendar: LearnedCalendar, priors: Mapping[str, Prior], rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return of each draw of the prior the knots of a past and the operational time at them, from the end.

    Scales and memory are drawn from their priors, and the level from its stationary law: this is what the fit supposes
    of a base before it sees any purchase.
    """
    import pymc as pm

    from bayes_clv.inference.graph import unnamed

    size, known = PREDICTIVE_DRAWS, fixed_values(priors)

    def drawn(name: str, each: int = 1) -> np.ndarray:
        if name in known:
            return np.full((size, each), known[name])
        found = pm.draw(unnamed(name, priors[name]), size * each, random_seed=rng, mode="FAST_COMPILE")
        return np.asarray(found, dtype=float).reshape(size, each)

    sd, shock, half_life = (drawn(name)[:, 0] for name in (SD, SHOCK, HALF_LIFE))
    rho = np.exp(-math.log(2) * calendar.width / half_life)
    log_rate = shock[:, None] * rng.standard_normal((size, calendar.size))
    level = sd * rng.standard_normal(size)
    for period in range(calendar.size):
        log_rate[:, period] += level
        level = rho * level + sd * np.sqrt(1 - rho**2) * rng.standard_normal(size)
    if calendar.effects:
        coefficient = drawn(COEFFICIENT, len(calendar.effects))
        log_rate += coefficient @ calendar.design(-calendar.size, 0).T
    none = np.zeros((size, 0))
    return DrawnCalendar(
        calendar, log_rate, sd**2, shock**2, rho, none, np.arange(size), size, seed=0
    ).pasts()


def _simulated(
    family: Family,
    rng: np.random.Generator,
    columns: Mapping[str, np.ndarray],
    params: Mapping[str, np.ndarray],
    past: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, np.ndarray]:
    """Return one replicated base; where there is a past, at its pace."""
    if past is None:
        return family.simulate(rng, columns, params)
    if family.paced is not None:
        return family.paced.simulate(rng, columns, params, *past)
    knots, elapsed = past
    age = np.empty(columns["T"].shape)
    for group, each in enumerate(np.atleast_2d(elapsed)):
        own = columns[PLACE] == group if elapsed.ndim == 2 else slice(None)
        age[own] = -np.interp(-columns["T"][own], knots, each)
    return family.simulate(rng, {**columns, "T": age}, params)


def _count(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    # A logarithm has no lowest class of its own: what lies below the first edge belongs to the first class.
    place = np.maximum(np.searchsorted(edges, values, side="right") - 1, 0)
    return np.bincount(place, minlength=edges.size)


def replicates(posterior: xr.DataTree, *, draws: int = 100) -> xr.DataTree:
    """Return real and replicated customers beside each other, as ArviZ's predictive checks take them.

    Parameters
    ----------
    posterior : xarray.DataTree
        A fit with the group ``posterior_predictive`` (``clv.fit(..., include=("posterior_predictive",))``), of any
        family that has one.
    draws
        Replicated bases to return at most, evenly spaced; each is as large as the real one.

    Returns
    -------
    xarray.DataTree
        Groups ``observed_data`` (customer) and ``posterior_predictive`` (chain, draw, customer), each with what the
        family is checked by: ``frequency`` or ``renewals`` (counts of 10 and more are 10), or, of spend, the lower end
        of the class that a customer's mean spend lies in (money), at which a distribution function is exact. Outcome
        level. Customers stand in no order: what ArviZ draws of distributions and of statistics of the whole base is
        right (``plot_ppc_rootogram``, ``plot_ppc_dist`` with ``kind="ecdf"``, ``plot_ppc_tstat``), and nothing pairs a
        customer with its own forecast; ``clv.evaluate`` does that, on a holdout.

    Raises
    ------
    InputError
        A posterior without replicated bases.

    Notes
    -----
    Gelman, Meng & Stern (1996), Posterior predictive assessment of model fitness via realized discrepancies,
    Statistica Sinica 6.

    Examples
    --------
    >>> import arviz as az
    >>> checked = clv.fit("bg_nbd", customers, method="laplace", include=("posterior_predictive",), seed=1)
    >>> plotted = az.plot_ppc_rootogram(replicates(checked, draws=50))
    """
    name = None
    if "posterior_predictive" in posterior.children:
        name = next((str(each) for each in posterior["posterior_predictive"].data_vars), None)
    if name is None or "observed_data" not in posterior.children or name not in posterior["observed_data"]:
        raise InputError(
            "The posterior holds no replicated bases (posterior_predictive and observed_data). Fit with "
            "include=('posterior_predictive',)."
        )
    checked = name.removeprefix("customers_by_")
    dimension = f"{checked}_class"
    classes = posterior["observed_data"][dimension].to_numpy()
    if checked in ("frequency", "renewals"):
        classes = classes.astype(np.int64)
    kept = posterior["posterior_predictive"][name].transpose("chain", "draw", dimension)
    kept = kept.isel(
        draw=slice(None, None, -(-kept.sizes["chain"] * kept.sizes["draw"] // max(1, int(draws))))
    )
    rng = np.random.default_rng(0)

    def customers(counts: np.ndarray) -> np.ndarray:
        return rng.permutation(np.repeat(classes, counts))

    real = customers(posterior["observed_data"][name].to_numpy())
    drawn = np.array([[customers(base) for base in chain] for chain in kept.to_numpy()])
    groups = {
        "observed_data": xr.Dataset({checked: ("customer", real)}),
        "posterior_predictive": xr.Dataset(
            {checked: (("chain", "draw", "customer"), drawn)},
            {each: kept[each] for each in ("chain", "draw")},
        ),
    }
    return xr.DataTree.from_dict(groups)
