"""The PyMC graph of a family: population quantities, their priors, and the reduced likelihood.

The graph is built once per fit from the family's own terms. The likelihood enters as one potential:
the weighted sum over distinct rows. Pointwise log-likelihoods, one per distinct history, are
evaluated from the same terms afterwards, on request (``pointwise``).

With covariates or groups the rows have a column ``profile`` too, and each term is evaluated on the distinct rows
of its own columns and the profile, with the parameters of the profile (``effects``).

What is fixed (a plain number in ``priors=``, a whole number that the data chose) is a number in the graph and no
variable of the model: a sampler's checks know only what varies. ``Built.constants`` goes into the posterior afterwards.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from pytensor import config

from bayes_clv.distributions.pieces import Paced
from bayes_clv.families.contract import Coordinate, Family, SpendLevel, need
from bayes_clv.families.group_time import PLACE
from bayes_clv.families.likelihood import Term
from bayes_clv.families.own_time import COEFFICIENT as OVER_TIME
from bayes_clv.families.own_time import PATH
from bayes_clv.families.quantities import Prior, Quantity, fixed_values
from bayes_clv.inference.calendar import COEFFICIENT, EFFECT, SD, SHOCK, LearnedCalendar
from bayes_clv.inference.clock import Clock, Prices, scale_at
from bayes_clv.inference.clock import clock as clock_of
from bayes_clv.inference.data import Columns, distinct_rows, select
from bayes_clv.inference.effects import Effects, Profiles
from bayes_clv.inference.ledger import PAYER, Ledger
from bayes_clv.inference.over_time import EFFECT as COLUMN
from bayes_clv.inference.over_time import MOVED, LearnedColumns, OwnTimes, own_times
from bayes_clv.inference.pooled import GROUP_SD, LearnedGroups, group_clocks
from bayes_clv.schema import InputError

# Columns of rows that say by whom, in whose time, or in which group's calendar they were.
WHOSE = (PAYER, PATH, PLACE)


@dataclass(frozen=True)
class Built:
    """A PyMC model, the names of its variables to keep, and what is constant: equal in every draw."""

    graph: pm.Model
    names: list[str]
    constants: dict[str, float]

    def with_constants(self, draws: xr.Dataset) -> xr.Dataset:
        """Return the draws with the constants as variables of the same dimensions."""
        shape = (draws.sizes["chain"], draws.sizes["draw"])
        return draws.assign(
            {name: (("chain", "draw"), np.full(shape, value)) for name, value in self.constants.items()}
        )


@config.change_flags(traceback__limit=0)  # type: ignore[untyped-decorator]
def build_model(
    family: Family,
    rows: Columns,
    count: np.ndarray,
    priors: Mapping[str, Prior],
    start: Mapping[str, float],
    effects: Effects | None = None,
    profiles: Profiles | None = None,
    *,
    as_stated: bool = False,
    values: Mapping[str, Any] | None = None,
    changing: bool = False,
    calendar: LearnedCalendar | None = None,
    ledger: Ledger | None = None,
    over_time: tuple[LearnedColumns, Paced, np.ndarray] | None = None,
    pooled: LearnedGroups | None = None,
) -> Built:
    """Return the PyMC model of the distinct rows.

    ``start`` gives a value of each quantity on the data's scale, where a flat prior has none of its own. With
    ``effects`` the ``profiles`` are those that the rows' column ``profile`` counts. ``values`` are tensors of
    quantities that are no random variables.

    Some quantities are sampled through another variable (``_anchored``, ``_straightened``, ``_calendar_variable``). The
    posterior does not depend on that, but with ``as_stated`` every quantity is a random variable of the model: only
    then can it be drawn from forwards, and its peak be that of the quantities' own density.

    With ``changing`` the ``rows_of_terms`` are data by their names, so that a model that is compiled once can be given
    other rows of the same profiles: calibration by simulation fits hundreds of bases. With a ``calendar`` the rows'
    times are taken in operational time, or, with the ``ledger`` of the rows' ``payer``, its part out of their spend
    (``inference.calendar``). With columns ``over_time``, their pieces and the purchases at each level, times are
    taken in each row's own operational time, by its column ``change_start`` (``inference.over_time``).
    With ``pooled`` groups of the calendar they are taken in that of the row's group, by its column ``calendar_place``.
    """
    coords = ({} if effects is None else effects.coords()) | ({} if calendar is None else calendar.coords())
    coords |= {} if over_time is None else over_time[0].coords()
    coords |= {} if pooled is None else pooled.coords()
    with pm.Model(coords=coords or None) as model:
        acting = {} if effects is None else _effect_variables(effects, priors)
        offsets = {} if effects is None or as_stated else effects.offsets(acting)
        clock: Clock | Prices | OwnTimes | None = None
        scales: dict[str, Any] = {}
        if calendar is not None:
            known = fixed_values(priors)
            scales = {
                name: np.float64(known[name]) if name in known else _calendar_variable(name, priors[name])
                for name in calendar.quantities() | ({} if pooled is None else pooled.quantities())
            }
            clock = (
                clock_of(calendar, scales, ledger)
                if pooled is None
                else group_clocks(pooled, calendar, scales)
            )
            moves = calendar.moved
            moved = [] if as_stated else [clock.anchor]
            offsets = offsets | {moves: [*offsets.get(moves, []), *moved]}
            offsets = {name: each for name, each in offsets.items() if each}
        if over_time is not None:
            coefficient = prior_variable(OVER_TIME, priors[OVER_TIME], dims=COLUMN)
            clock = own_times(*over_time, coefficient, clock if isinstance(clock, Clock) else None)
            anchor = [] if as_stated else [clock.anchor]
            offsets = {
                name: each
                for name, each in (offsets | {MOVED: [*offsets.get(MOVED, []), *anchor]}).items()
                if each
            }
        population = population_variables(family, priors, start, offsets, None if as_stated else rows, values)
        parameters = recorded_parameters(family, population)
        found = {name: parameters[name] for name in family.parameters} | population
        if all(_is_number(value) for value in population.values()):
            raise InputError(
                "Every quantity is fixed, so that there is nothing to fit. Leave one to the data."
            )
        constants = {name: float(value) for name, value in found.items() if _is_number(value)}
        kept = [name for name in found if name not in constants and name not in (values or {})]
        if effects is not None and profiles is not None:
            import pytensor.tensor as pt

            parameters = effects.parameters(pt, family, population | acting, profiles.design, profiles.place)
            kept += effects.dims()
        if over_time is not None:
            kept += [OVER_TIME]
        if calendar is not None:
            constants |= {name: float(value) for name, value in scales.items() if _is_number(value)}
            drawn = [*calendar.names, *([] if pooled is None else pooled.names)]
            kept += [name for name in drawn if name not in constants]
        data: Mapping[str, Any] = rows_of_terms(family, rows, count, clock)
        if changing:
            data = {name: pm.Data(name, column) for name, column in data.items()}
        pm.Potential("reduced_log_likelihood", _log_likelihood(family, parameters, data, clock))
        # The terms of contracts hold all, and so do those of spend that moves.
        whole = isinstance(clock, Prices) and own_pace(family, clock) is not None
        if clock is not None and not (whole or (calendar is not None and calendar.of_leaving)):
            density = clock.log_density()
            if isinstance(clock, Prices):
                own = of_rows(parameters, rows.get("profile"))
                density = density + clock.log_amounts(need(family, SpendLevel), own, rows[PAYER])
            pm.Potential("calendar_log_likelihood", density)
    return Built(model, kept, constants)


def _is_number(value: Any) -> bool:
    return isinstance(value, float | np.floating)


def population_variables(
    family: Family,
    priors: Mapping[str, Prior],
    start: Mapping[str, float],
    offsets: Mapping[str, Any] | None = None,
    rows: Columns | None = None,
    values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put the population quantities into the model in context.

    Those with ``offsets`` are anchored to them; with ``rows`` that of a family's ``coordinate`` is sampled through it.
    A fixed one is a number, and one of ``values`` what it is there.
    """
    offsets = offsets or {}
    known = {name: np.float64(value) for name, value in fixed_values(priors).items()} | dict(values or {})
    bent = None if family.coordinate is None else family.coordinate.quantity
    if rows is None or bent in offsets or bent in known:
        bent = None
    if bent is not None and priors[bent].distribution not in _OF_EVERY_SIZE:
        bent = None
    found = {
        name: known[name]
        if name in known
        else _anchored(name, priors[name], quantity, start[name], offsets[name])
        if name in offsets
        else _variable(name, priors[name], quantity, start[name])
        for name, quantity in family.quantities.items()
        if name != bent
    }
    if bent is not None and rows is not None and family.coordinate is not None:
        found[bent] = _straightened(family.coordinate, priors[bent], found, rows)
    return {name: found[name] for name in family.quantities}


def _calendar_variable(name: str, prior: Prior) -> Any:
    """Return a quantity of a calendar; its scales are sampled through ``scale_at``."""
    if name in (SD, SHOCK, GROUP_SD) and prior.distribution in _OF_EVERY_SIZE:
        by = Coordinate(quantity=name, value=lambda x, *_: scale_at(x))
        return _straightened(by, prior, {}, {})
    return prior_variable(name, prior, EFFECT if name == COEFFICIENT else None)


def recorded_parameters(family: Family, population: Mapping[str, Any]) -> dict[str, Any]:
    """Return the family's parameters, as deterministics of the model in context where they are not quantities."""
    parameters: dict[str, Any] = family.from_quantities(population)
    for name in family.parameters:
        if name not in population and not _is_number(parameters[name]):
            parameters[name] = pm.Deterministic(name, parameters[name])
    return parameters


def _effect_variables(effects: Effects, priors: Mapping[str, Prior]) -> dict[str, Any]:
    """Return the coefficients and the groups' offsets, standard deviation × Normal(0, 1)."""
    found = {}
    for effect in effects.each:
        if effect.encodings:
            name = effect.coefficient
            found[name] = prior_variable(name, priors[name], dims=effect.dimension)
        for column in effect.groups:
            sd = prior_variable(effect.sd(column), priors[effect.sd(column)])
            dimension = effects.dimension(column)
            z = pm.Normal(f"{effect.offset(column)}_z", dims=dimension)
            found[effect.offset(column)] = pm.Deterministic(effect.offset(column), sd * z, dims=dimension)
    return found


def reduced_log_likelihood(
    family: Family, parameters: Mapping[str, Any], rows: Columns, count: np.ndarray
) -> Any:
    """Return the log-likelihood of all customers as a scalar tensor, each term on its distinct rows.

    Where the rows have a column ``profile``, parameters that are vectors are those of the profiles.
    """
    return _log_likelihood(family, parameters, rows_of_terms(family, rows, count))


def _terms(family: Family, clock: Clock | Prices | OwnTimes | None) -> tuple[Term, ...]:
    """Return the terms of the likelihood, at the pace of a calendar where there is one and the family has its own."""
    paced = own_pace(family, clock)
    return family.likelihood if paced is None else paced(clock)


def own_pace(
    family: Family, clock: Clock | Prices | OwnTimes | None
) -> Callable[[Any], tuple[Term, ...]] | None:
    """Return the family's own terms at the pace of a calendar; None where there is none, or it has none."""
    if isinstance(clock, Prices):
        return need(family, SpendLevel).paced
    return None if clock is None or family.paced is None else family.paced.likelihood


def rows_of_terms(
    family: Family,
    rows: Columns,
    count: np.ndarray | None = None,
    clock: Clock | Prices | OwnTimes | None = None,
) -> Columns:
    """Return of each term of the likelihood, 0, 1, ..., the distinct rows of its columns, and their counts.

    The first term's are ``frequency_0``, say, ``profile_0`` where the rows have one, and ``count_0``.
    """
    profile = ["profile"] if "profile" in rows else []
    found: Columns = {}
    for place, term in enumerate(_terms(family, clock)):
        # What the number of purchases alone decides does not go by who paid them, or in whose time.
        whose = [] if set(term.columns) == {"frequency"} else [name for name in WHOSE if name in rows]
        further = [*profile, *whose]
        columns, weight = distinct_rows(select(rows, [*term.columns, *further]), count)
        found |= {f"{name}_{place}": column for name, column in columns.items()}
        found[f"count_{place}"] = weight.astype(float)
    return found


def _log_likelihood(
    family: Family,
    parameters: Mapping[str, Any],
    data: Mapping[str, Any],
    clock: Clock | Prices | OwnTimes | None = None,
) -> Any:
    import pytensor.tensor as pt

    total: Any = 0.0
    for place, term in enumerate(_terms(family, clock)):
        own = of_rows(parameters, data.get(f"profile_{place}"))
        given = {name: data[f"{name}_{place}"] for name in term.columns}
        weight = data[f"count_{place}"]
        moved = given
        if clock is not None and own_pace(family, clock) is None:
            whose = next((data[f"{n}_{place}"] for n in WHOSE if f"{n}_{place}" in data), None)
            moved = clock.operational(given, weight, whose)
        columns = list(moved.values())
        where = f"Family {family.name!r}: likelihood[{place}], of {', '.join(term.columns)},"
        try:
            value = term.function(own, *columns)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{where} fails on tensors: {type(error).__name__}: {error}. A parameter is a number, or a vector with "
                "one value a row; write the term with PyTensor's operations. clv.families.check(record) tries both."
            ) from error
        whole = pt.as_tensor((weight * value).sum())
        # Read where the whole cannot be compiled (``density``).
        whole.tag.term = where
        total = total + whole
    return total


def of_rows(parameters: Mapping[str, Any], profile: np.ndarray | None) -> Mapping[str, Any]:
    """Return the parameters of each row: those of its profile, where they differ by profile."""
    if profile is None:
        return parameters
    return {name: value[profile] if value.ndim else value for name, value in parameters.items()}


def _variable(name: str, prior: Prior, quantity: Quantity, start: float) -> Any:
    if quantity.whole:
        raise ValueError(f"{name} is a whole number: it is fixed or chosen before the model is built.")
    if prior.distribution == "Flat":
        if np.isinf(quantity.upper):
            return pm.HalfFlat(name, initval=start)
        return pm.Uniform(name, 0.0, quantity.upper)
    return prior_variable(name, prior)


def _anchored(name: str, prior: Prior, quantity: Quantity, start: float, offsets: list[Any]) -> Any:
    """Return a quantity that groups act on, sampled as its average over the groups that there are.

    The data know that average well and the average of all possible groups, which the quantity is, far less: it
    lies along a curved ridge with the offsets. So the former is what is sampled, on the link scale,

        link(quantity) = anchor - sum over grouping columns of the mean offset,

    and the quantity's prior is a potential, with the link's Jacobian.
    """
    bounded = not np.isinf(quantity.upper)
    anchor = pm.Flat(f"{name}_anchor", initval=np.log(start / (1 - start)) if bounded else np.log(start))
    linked = anchor - sum(offset.mean() for offset in offsets)
    value = pm.Deterministic(name, pm.math.invlogit(linked) if bounded else pm.math.exp(linked))
    density = pm.math.log(value) + (pm.math.log1p(-value) if bounded else 0.0)
    if prior.distribution != "Flat":
        density = density + pm.logp(unnamed(name, prior), value)
    pm.Potential(f"{name}_prior", density)
    return value


# Priors with a density at every number above 0. Another prior's quantity is sampled as itself, within its bounds.
_OF_EVERY_SIZE = (
    "Flat",
    "LogNormal",
    "Gamma",
    "InverseGamma",
    "Exponential",
    "HalfNormal",
    "HalfCauchy",
    "HalfStudentT",
)


def _straightened(coordinate: Coordinate, prior: Prior, others: Mapping[str, Any], rows: Columns) -> Any:
    """Return a quantity that is sampled through the family's coordinate, its prior a potential."""
    name = coordinate.quantity
    quantity, log_derivative = coordinate.value(pm.Flat(f"{name}_coordinate", initval=0.0), others, rows)
    value = pm.Deterministic(name, quantity)
    density = log_derivative
    if prior.distribution != "Flat":
        density = density + pm.logp(unnamed(name, prior), value)
    pm.Potential(f"{name}_prior", density)
    return value


def prior_variable(name: str, prior: Prior, dims: str | None = None) -> Any:
    """Return a variable, or a vector of independent ones, with this prior; one that cannot be built is refused."""
    distribution, arguments = _checked(name, prior)
    try:
        return distribution(name, **arguments, dims=dims)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(f"The prior of {name!r}, {prior!r}, cannot be built: {error}") from error


def unnamed(name: str, prior: Prior) -> Any:
    """Return the prior as a distribution, to take a density of."""
    distribution, arguments = _checked(name, prior)
    try:
        return distribution.dist(**arguments)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(f"The prior of {name!r}, {prior!r}, cannot be built: {error}") from error


def _checked(name: str, prior: Prior) -> tuple[Any, dict[str, float]]:
    """Return the prior's PyMC distribution and its arguments."""
    distribution = getattr(pm, prior.distribution, None)
    if distribution is None:
        raise InputError(f"PyMC has no distribution {prior.distribution!r} (prior of {name!r}).")
    known = list(inspect.signature(distribution.dist).parameters)
    unknown = sorted({argument for argument, _ in prior.arguments} - set(known))
    if unknown:
        # PyMC would ignore it, and the prior would be another one than was asked for.
        raise InputError(f"The prior of {name!r}, {prior!r}, cannot be built: it takes no {unknown[0]!r}.")
    return distribution, dict(prior.arguments)


def log_prior(priors: Mapping[str, Prior], posterior: xr.Dataset) -> xr.Dataset:
    """Return the log prior density (chain, draw, ...) of each quantity with a prior at the posterior's draws.

    Of the groups it is that of their standard deviations alone: how the groups spread given it belongs to the model,
    and a prior made weaker should not mean groups further apart.
    """
    found = {}
    for name, prior in priors.items():
        if prior.distribution == "Fixed":
            continue
        drawn = posterior[name]
        density = np.zeros(drawn.shape)
        if prior.distribution != "Flat":
            density = pm.logp(unnamed(name, prior), drawn.to_numpy()).eval(mode="FAST_COMPILE")
        found[name] = (drawn.dims, np.asarray(density, dtype=float))
    return xr.Dataset(found, posterior.coords).drop_attrs()
