"""Whether a record is a family: every member there, of the right shape, and in agreement with the others.

What is checked needs no knowledge of the family. The likelihood and the simulator agree where the mean slope of the
log-likelihood over simulated customers is zero at the parameters that they were simulated with, in every parameter
(the score identity). Forecasts agree with the simulator where, over customers who were simulated past the end of
their history, what happened less what was forecast is zero on average, among all and among those with many purchases
or a long silence. Each mean is held to SIGMAS standard errors.
"""

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.families.contract import (
    Columns,
    Family,
    Forecast,
    Kind,
    Params,
    Renewals,
    SpendLevel,
    need,
    new_customer,
)
from bayes_clv.families.quantities import starting_point
from bayes_clv.schema import InputError

# One false alarm in 150,000 comparisons; a family has some fifty.
SIGMAS = 4.5
UNITS = ("none", "time", "1/time", "money", "log money", "probability", "count")
PROCESSES = ("purchase", "dropout", "spend")
FORECASTS: dict[str, type] = {
    "purchases": Forecast,
    "opportunities": Forecast,
    "spend": SpendLevel,
    "contracts": Renewals,
}
# How long new customers are watched, of each column that says so, and how many units a forecast goes on.
WATCHED = {"T": 4.0, "opportunities": 6.0, "periods": 6.0, "frequency": 3.0}
AHEAD = 3.0
# The data's scale that the check imagines: rates of one purchase in two units of time.
SCALE = {"1/time": 0.5, "time": 4.0, "money": 20.0}


class _Wrong(Exception):
    """What is wrong with a member."""


def check(record: Family, *, customers: int = 4_000, seed: int = 1) -> None:
    """Raise InputError naming the first member that is missing or wrong, and what it should give; else return.

    Parameters
    ----------
    record : Family
        A family of your own, registered or not.
    customers : int
        How many are simulated: more find smaller errors.
    seed : int
        Of all random numbers.

    Examples
    --------
    >>> from bayes_clv.families.registry import family
    >>> check(family("nbd"))
    """
    if not isinstance(record, Family):
        raise InputError(
            f"check takes a clv.families.Family; given was {type(record).__name__}. Build the record with its fields "
            "by name: Family(name=..., kind=..., ...)."
        )
    try:
        _check_words(record)
        params = _check_quantities(record)
        rng = np.random.default_rng(seed)
        before, in_days = copy.deepcopy(rng), None
        simulated = _check_simulator(record, params, rng, customers)
        if record.over is not None and isinstance(record.forecast, Forecast):
            times = _times(record, record.forecast, params, before, simulated)
            record, in_days = (_over(record, factor * times) for factor in (1.0, 7.0))
        if isinstance(record.forecast, Forecast):
            _check_forecast(record, record.forecast, params, simulated, rng, in_days)
        elif isinstance(record.forecast, SpendLevel):
            _check_level(record, record.forecast, params, rng)
        else:
            _check_renewals(record.forecast, params, simulated, rng)
        # Last, because it takes the longest.
        _check_likelihood(record, params, simulated)
    except _Wrong as wrong:
        raise InputError(f"Family {record.name!r}: {wrong}") from wrong.__cause__


def _ask(member: str, function: Callable[..., Any] | None, *given: Any, on: str = "plain arrays") -> Any:
    """Return what a member gives; one that is missing or fails is named."""
    if not callable(function):
        raise _Wrong(
            f"{member} is {function!r}; it should be a function (clv.families.contract says of what)."
        )
    try:
        return function(*given)
    except Exception as error:
        raise _Wrong(f"{member} fails on {on}: {type(error).__name__}: {error}.") from error


def _array(
    member: str, found: Any, shape: tuple[int, ...], low: float = -math.inf, high: float = math.inf
) -> Array:
    """Return numbers after a check of their shape and range."""
    array = np.asarray(found, dtype=np.float64)
    try:
        array = np.broadcast_to(array, shape)
    except ValueError:
        raise _Wrong(
            f"{member} gives an array of shape {array.shape}; it should be {shape} (times or counts first, then rows "
            "and draws)."
        ) from None
    outside = ~((array >= low) & (array <= high))
    if outside.any():
        raise _Wrong(
            f"{member} gives {array[outside].flat[0]!r}, in {int(outside.sum())} of {array.size} places; it should be "
            f"a number from {low:g} to {high:g}."
        )
    return array


def _zero_mean(member: str, sample: NDArray[Any], what: str) -> None:
    """Refuse numbers whose mean is not zero within SIGMAS standard errors."""
    error = sample.std() / math.sqrt(sample.size) + 1e-12
    off = abs(float(sample.mean())) / error
    # NaN is no agreement either.
    if not off <= SIGMAS:
        raise _Wrong(
            f"{member} does not agree with {what}: the mean difference of {sample.size:,} simulated customers is "
            f"{float(sample.mean()):.4g}, {off:.1f} standard errors from zero."
        )


def _same(member: str, found: Any, expected: Any, what: str, rtol: float = 1e-6) -> None:
    if not np.allclose(found, expected, rtol=rtol, atol=1e-9, equal_nan=True):
        worst = float(np.nanmax(np.abs(np.asarray(found) - np.asarray(expected))))
        raise _Wrong(f"{member} should equal {what}; it differs by up to {worst:.4g}.")


def _check_words(record: Family) -> None:
    kinds = get_args(Kind.__value__)
    if record.kind not in kinds:
        raise _Wrong(f"kind is {record.kind!r}; it should be one of {', '.join(kinds)}.")
    wanted = FORECASTS[record.kind]
    if not isinstance(record.forecast, wanted):
        raise _Wrong(
            f"forecast is a {type(record.forecast).__name__}; of kind {record.kind!r} it should be a {wanted.__name__}."
        )
    for name in (*record.parameters, *record.quantities):
        if name not in record.words.meanings:
            raise _Wrong(f"words.meanings lacks {name!r}; it should give what it means and its unit.")
        meaning, unit = record.words.meanings[name]
        if not meaning or unit not in UNITS:
            raise _Wrong(
                f"words.meanings[{name!r}] is ({meaning!r}, {unit!r}); it should be what it means, and one of "
                f"{', '.join(UNITS)}."
            )
    for text in ("title", "summary"):
        if not getattr(record.words, text):
            raise _Wrong(f"words.{text} is empty; reports print it.")
    if record.checked not in record.observed:
        raise _Wrong(
            f"checked is {record.checked!r}; it should be one of observed, {', '.join(record.observed)}."
        )
    for name in record.design:
        if name not in WATCHED:
            raise _Wrong(
                f"design names {name!r}; it should name how long customers are watched: {', '.join(WATCHED)}."
            )


def _check_quantities(record: Family) -> dict[str, Array]:
    """Return the parameters at plausible quantities."""
    for name, quantity in record.quantities.items():
        if quantity.prior.distribution in ("Flat", "HalfFlat"):
            raise _Wrong(
                f"quantities[{name!r}] has a flat default prior; a default should be proper, a LogNormal say."
            )
        if quantity.relative and quantity.prior.distribution != "LogNormal":
            raise _Wrong(
                f"quantities[{name!r}] is relative to the data, so its default should be a LogNormal."
            )
        if quantity.process is not None and quantity.process not in PROCESSES:
            raise _Wrong(
                f"quantities[{name!r}] is of process {quantity.process!r}; use one of {', '.join(PROCESSES)}."
            )
    scale = {name: SCALE.get(record.words.meanings[name][1], 1.0) for name in record.quantities}
    start = starting_point(record.quantities, scale)
    moved = {
        name: 2.0 if record.quantities[name].whole else value * (0.8, 1.2)[place % 2]
        for place, (name, value) in enumerate(start.items())
    }
    found = _ask("from_quantities", record.from_quantities, moved)
    lacking = [name for name in record.parameters if name not in found]
    if lacking:
        raise _Wrong(f"from_quantities lacks {lacking[0]!r}; it should give {', '.join(record.parameters)}.")
    return {
        name: _array(f"from_quantities()[{name!r}]", found[name], (), np.nextafter(0, 1), 1e300)
        for name in record.parameters
    }


def _check_simulator(
    record: Family, params: Params, rng: np.random.Generator, customers: int
) -> dict[str, Array]:
    """Return simulated customers."""
    design = {name: np.full(customers, WATCHED[name]) for name in record.design}
    found = _ask("simulate", record.simulate, rng, design, params)
    if not isinstance(found, Mapping):
        raise _Wrong(f"simulate gives a {type(found).__name__}; it should give columns by name.")
    lacking = [name for name in record.observed if name not in found]
    if lacking:
        raise _Wrong(
            f"simulate lacks the column {lacking[0]!r}; it should give {', '.join(record.observed)}."
        )
    columns = {name: _array(f"simulate()[{name!r}]", found[name], (customers,)) for name in record.observed}
    if not all(np.isfinite(column).all() for column in columns.values()):
        raise _Wrong("simulate gives a number that is not finite.")
    count = np.ones(customers)
    scale = _ask("scale", record.scale, columns, count)
    for name, quantity in record.quantities.items():
        if quantity.relative:
            each = scale[name] if isinstance(scale, Mapping) else scale
            _array(f"scale for {name!r}", each, (), np.nextafter(0, 1), 1e300)
    return columns


def _times(
    record: Family, forecast: Forecast, params: Params, rng: np.random.Generator, columns: Columns
) -> Array:
    """Return the purchase times, flat, of the customers who were simulated by ``rng`` in this state."""
    design = {name: np.full(columns[name].size, WATCHED[name]) for name in record.design}
    if forecast.times is None:
        raise _Wrong("forecast.times is None; a family that reads purchase times should simulate them.")
    customer, age = _ask("forecast.times", forecast.times, rng, design, params)
    found = np.bincount(customer, minlength=columns["frequency"].size)
    _same(
        "forecast.times, counted,", found, columns["frequency"], "simulate of a generator in the same state"
    )
    return np.asarray(age, dtype=np.float64)


def _over(record: Family, times: Array) -> Family:
    return record.of({"purchase_times": times})


def _check_likelihood(record: Family, params: Params, columns: Columns) -> None:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.compile.mode import Mode

    vectors = {name: pt.dvector(name) for name in record.observed}
    own = {name: pt.dvector(name) for name in record.parameters}
    # A fit gives numbers, one with covariates or groups a vector with one value a row.
    numbers = {name: pt.dscalar(name) for name in record.parameters}
    terms = []
    for place, term in enumerate(record.likelihood):
        member = f"likelihood[{place}]"
        unknown = [name for name in term.columns if name not in record.observed]
        if unknown:
            raise _Wrong(f"{member} reads {unknown[0]!r}, which is not among observed.")
        read = [vectors[name] for name in term.columns]
        _ask(member, term.function, numbers, *read, on="tensors (parameters that are numbers)")
        terms.append(_ask(member, term.function, own, *read, on="tensors"))
    whole = {name for name, each in record.quantities.items() if each.whole}
    sloped = [name for name in record.parameters if name not in whole]
    value = sum(terms)
    # Slopes of each customer's own value: those of a sum over copies of the parameters, one a customer.
    slopes = _slopes(terms, [own[name] for name in sloped])
    # Interpreted and as written: compiling or rewriting takes longer than a few calls.
    compiled = _ask(
        "likelihood",
        partial(pytensor.function, on_unused_input="ignore", mode=Mode("py", None)),
        [*own.values(), *vectors.values()],
        [value, *slopes],
        on="tensors",
    )
    size = next(iter(columns.values())).size
    given = [np.full(size, float(params[name])) for name in record.parameters]
    found, *gradient = _ask("likelihood", compiled, *given, *columns.values())
    found = _array("likelihood", found, (size,), -1e300, 1e300)
    for name, slope in zip(sloped, gradient, strict=True):
        step = 1e-5 * float(params[name])
        some = slice(0, min(size, 50))
        ends = []
        for sign in (1, -1):
            moved = dict(zip(record.parameters, given, strict=True))
            moved[name] = moved[name] + sign * step
            at = compiled(
                *(each[some] for each in moved.values()), *(each[some] for each in columns.values())
            )
            ends.append(at[0])
        _same(
            f"the slope of likelihood in {name!r}",
            slope[some],
            (ends[0] - ends[1]) / (2 * step),
            "its differences",
            rtol=1e-4,
        )
        _zero_mean(f"likelihood (its slope in {name!r})", np.asarray(slope), "simulate")


def _slopes(terms: list[Any], parameters: list[Any]) -> list[Any]:
    """Return the gradient of the sum of the terms; a term that has none is named."""
    import pytensor

    try:
        found: list[Any] = pytensor.grad(sum(terms).sum(), parameters)
    except Exception as error:
        for place, term in enumerate(terms):
            each = partial(pytensor.grad, disconnected_inputs="ignore")
            _ask(f"the gradient of likelihood[{place}]", each, term.sum(), parameters, on="tensors")
        raise _Wrong(f"likelihood has no gradient: {type(error).__name__}: {error}.") from error
    return found


def _check_forecast(
    record: Family,
    forecast: Forecast,
    params: Params,
    columns: Columns,
    rng: np.random.Generator,
    in_days: Family | None = None,
) -> None:
    """Check one history and then the agreement of all functions with each other and with the simulator."""
    lacking = [name for name in forecast.history if name not in columns]
    if lacking:
        raise _Wrong(f"forecast.history names {lacking[0]!r}, which simulate does not give.")
    if (forecast.state is None) == (forecast.futures is None):
        raise _Wrong("forecast.state or forecast.futures: one should be a function, the other None.")
    some = {name: columns[name][:40, None] for name in forecast.history}
    drawn = {name: np.full(2, float(value)) for name, value in params.items()}
    shape = (some[forecast.history[0]].size, 2)
    alive = _array("forecast.alive", _ask("forecast.alive", forecast.alive, some, drawn), shape, 0, 1)
    times = np.array([0.0, AHEAD, 2 * AHEAD])
    survival = _ask("forecast.survival", forecast.survival, times, some, drawn)
    survival = _array("forecast.survival", survival, (3, *shape), 0, 1)
    _same("forecast.survival at time 0", survival[0], alive, "forecast.alive")
    if (np.diff(survival, axis=0) > 1e-9).any():
        raise _Wrong("forecast.survival rises with time; nobody comes back.")
    purchases = _ask("forecast.purchases", forecast.purchases, times, some, drawn)
    purchases = _array("forecast.purchases", purchases, (3, *shape), 0)
    _same("forecast.purchases at time 0", purchases[0], 0.0, "0")
    counts = np.arange(4.0)
    pmf = _array(
        "forecast.pmf", _ask("forecast.pmf", forecast.pmf, counts, AHEAD, some, drawn), (4, *shape), 0, 1
    )
    tail = _ask("forecast.at_least", forecast.at_least, counts, AHEAD, some, drawn)
    tail = _array("forecast.at_least", tail, (4, *shape), 0, 1)
    _same("forecast.at_least of 0 purchases", tail[0], 1.0, "1")
    _same("forecast.pmf", pmf[:-1], tail[:-1] - tail[1:], "the steps of forecast.at_least", rtol=1e-4)
    worth = _ask("forecast.discounted", forecast.discounted, AHEAD, 0.0, some, drawn)
    _same(
        "forecast.discounted at rate 0",
        _array("forecast.discounted", worth, shape, 0),
        purchases[1],
        "forecast.purchases",
    )
    endless = _ask("forecast.discounted", forecast.discounted, math.inf, 0.1, some, drawn)
    within = _ask("forecast.discounted", forecast.discounted, AHEAD, 0.1, some, drawn)
    if (
        _array("forecast.discounted", endless, shape, 0, 1e300)
        < _array("forecast.discounted", within, shape, 0) - 1e-9
    ).any():
        raise _Wrong("forecast.discounted without end is below that of a horizon.")
    _check_latent(forecast, {n: c[:3] for n, c in some.items()}, params, rng)
    _check_calibration(record, forecast, params, columns, rng)
    if record.kind == "purchases":
        _check_time_unit(record, forecast, need(in_days or record, Forecast), some, params)


def _check_latent(forecast: Forecast, some: Columns, params: Params, rng: np.random.Generator) -> None:
    draws = 4_000
    drawn = {name: np.full(draws, float(value)) for name, value in params.items()}
    shape = (next(iter(some.values())).shape[0], draws)
    means = _ask("forecast.latent_means", forecast.latent_means, some, params)
    sample = _ask("forecast.latent_draws", forecast.latent_draws, rng, some, drawn)
    if len(means) != len(forecast.latent) or len(sample) != 1 + len(forecast.latent):
        raise _Wrong(
            f"forecast.latent names {len(forecast.latent)} numbers, forecast.latent_means gives {len(means)} and "
            f"forecast.latent_draws {len(sample)}; the draws should be of alive and then of each."
        )
    expected = [_ask("forecast.alive", forecast.alive, some, params), *means]
    for name, part, mean in zip(("alive", *forecast.latent), sample, expected, strict=True):
        member = f"forecast.latent_draws ({name})"
        array = _array(member, part, shape, 0)
        for row, of_row in zip(array, np.broadcast_to(np.asarray(mean), (shape[0], 1)), strict=True):
            _zero_mean(member, row - of_row, "forecast.alive" if name == "alive" else "forecast.latent_means")
    if forecast.futures is not None:
        row = {name: column[0, 0] for name, column in some.items()}
        found = _ask("forecast.futures", forecast.futures, rng, row, drawn)
        if len(found) != 5:
            raise _Wrong(
                f"forecast.futures gives {len(found)} arrays; it should give the first wait, shape and rate of further "
                "waits, when the customer leaves and its rate of leaving."
            )
        first, *_ = (_array("forecast.futures", part, (draws,), 0) for part in (*found[:3], found[4]))
        left = _array("forecast.futures (when it leaves)", found[3], (draws,))
        alive = float(np.ravel(forecast.alive(row, params))[0])
        _zero_mean("forecast.futures (when it leaves)", (left > 0) - alive, "forecast.alive")
        none = float(np.ravel(forecast.pmf(0, AHEAD, row, params))[0])
        _zero_mean("forecast.futures (first wait)", (first > np.minimum(left, AHEAD)) - none, "forecast.pmf")


def _check_calibration(
    record: Family, forecast: Forecast, params: Params, columns: Columns, rng: np.random.Generator
) -> None:
    """Check that what simulated customers do is what was forecast from their histories, and of new ones."""
    newborn = new_customer(forecast.history)
    watched = WATCHED[record.design[0]]
    for n in (0.0, 1.0, 3.0):
        chance = float(np.ravel(_ask("forecast.pmf", forecast.pmf, n, watched, newborn, params))[0])
        _zero_mean("forecast.pmf of a new customer", (columns["frequency"] == n) - chance, "simulate")
    chance = float(np.ravel(_ask("forecast.survival", forecast.survival, watched, newborn, params))[0])
    past = {name: columns[name] for name in forecast.history}
    _zero_mean("forecast.alive", forecast.alive(past, params) - chance, "forecast.survival of a new customer")
    if forecast.times is None:
        return
    # Whole lives, cut at T: what is known there, and what follows.
    size = columns["frequency"].size
    customer, age = _ask("forecast.times", forecast.times, rng, {"T": np.full(size, watched + AHEAD)}, params)
    before = age <= watched
    x = np.bincount(customer[before], minlength=size).astype(float)
    recency = np.zeros(size)
    np.maximum.at(recency, customer[before], age[before])
    interval = np.diff(age, prepend=0.0)
    new = np.r_[True, customer[1:] != customer[:-1]][: customer.size]
    interval[new] = age[new]
    # Two purchases at one moment, to a double's digits, have no logarithm to forecast from.
    at_once = np.bincount(customer[before], interval[before] == 0, size) > 0
    logs = np.bincount(customer[before], np.log(np.where(interval > 0, interval, 1.0)[before]), size)
    usable = ~at_once if "log_intervals" in forecast.history else np.ones(size, dtype=bool)
    known = {"frequency": x, "recency": recency, "T": np.full(size, watched), "log_intervals": logs}
    if record.over is not None:
        known["purchase_start"] = np.searchsorted(customer, np.arange(size)).astype(float)
        forecast = need(_over(record, age), Forecast)
    past = {name: known[name][usable] for name in forecast.history}
    later = np.bincount(customer[~before], minlength=size)[usable]
    among = {
        "all": np.ones(later.size),
        "those who bought twice": x[usable] >= 2,
        "the silent": recency[usable] < watched / 2,
    }
    for n in (0.0, 1.0):
        chances = np.broadcast_to(forecast.pmf(n, AHEAD, past, params), later.shape)
        for who, weight in among.items():
            _zero_mean(
                f"forecast.pmf of {n:g} (among {who})", weight * ((later == n) - chances), "forecast.times"
            )
    expected = np.broadcast_to(forecast.purchases(AHEAD, past, params), later.shape)
    for who, weight in among.items():
        _zero_mean(f"forecast.purchases (among {who})", weight * (later - expected), "forecast.times")


def _check_time_unit(
    record: Family, forecast: Forecast, later: Forecast, some: Columns, params: Params
) -> None:
    """Check that days for weeks change nothing: parameters move as their units say; ``later`` reads times in days."""
    factor = {"time": 7.0, "1/time": 1 / 7.0}
    days = {name: column * (7.0 if name in ("recency", "T") else 1.0) for name, column in some.items()}
    if "log_intervals" in days:
        days["log_intervals"] = days["log_intervals"] + days["frequency"] * math.log(7.0)
    moved = {name: value * factor.get(record.words.meanings[name][1], 1.0) for name, value in params.items()}
    members = {
        "survival": (later.survival, forecast.survival),
        "purchases": (later.purchases, forecast.purchases),
    }
    for member, (of_days, of_weeks) in members.items():
        _same(
            f"forecast.{member} in days, with parameters in the units of words.meanings,",
            of_days(7 * AHEAD, days, moved),
            of_weeks(AHEAD, some, params),
            "that in weeks",
            rtol=1e-4,
        )


def _check_level(record: Family, level: SpendLevel, params: Params, rng: np.random.Generator) -> None:
    if level.pays not in ("gamma", "lognormal"):
        raise _Wrong(f"forecast.pays is {level.pays!r}; it should be 'gamma' or 'lognormal'.")
    if level.level not in record.observed:
        raise _Wrong(
            f"forecast.level is {level.level!r}; it should be one of observed, {', '.join(record.observed)}."
        )
    if level.occasion not in record.parameters:
        raise _Wrong(
            f"forecast.occasion is {level.occasion!r}; it should be one of {', '.join(record.parameters)}."
        )
    mean = 20.0 if level.level == "monetary_value" else math.log(20.0)
    draws = 20_000
    past = {"occasions": np.array([[0.0], [30.0]]), "mean_spend": np.array([[0.0], [mean]])}
    drawn = {name: np.full(draws, float(value)) for name, value in params.items()}
    first, second = _ask("forecast.state", level.state, past, params)
    _array("forecast.state", first, (2, 1), -1e300, 1e300)
    _array("forecast.state", second, (2, 1), 0, 1e300)
    expected = _array("forecast.expected", _ask("forecast.expected", level.expected, past, params), (2, 1), 0)
    whole = _ask("forecast.population_mean", level.population_mean, params)
    _same("forecast.population_mean", whole, expected[0, 0], "forecast.expected of a new customer")
    lacks = _ask("forecast.lacks_moment", level.lacks_moment, 2, {"occasions": past["occasions"]}, params)
    levels = _ask("forecast.level_draws", level.level_draws, rng, past, drawn)
    _array("forecast.level_draws", levels, (2, draws), 0, 1e300)
    occasion = np.full((2, draws), float(params[level.occasion]))
    paid = _ask("forecast.spend", level.spend, rng, np.ones((2, draws)), levels, occasion)
    paid = _array("forecast.spend", paid, (2, draws), 0, 1e300)
    for row in range(2):
        # Without a variance the mean of draws says little.
        if not np.broadcast_to(lacks, (2, 1))[row, 0]:
            _zero_mean("forecast.spend", paid[row] - expected[row, 0], "forecast.expected")


def _check_renewals(renewals: Renewals, params: Params, columns: Columns, rng: np.random.Generator) -> None:
    ahead = np.arange(1.0, WATCHED["periods"] + 1)
    drawn = {name: np.full(2, float(value)) for name, value in params.items()}
    there = {"renewals": np.array([[0.0], [2.0]]), "active": np.ones((2, 1))}
    lost = {"renewals": np.array([[0.0], [2.0]]), "active": np.zeros((2, 1))}
    retention = _ask("forecast.retention", renewals.retention, ahead, drawn)
    retention = _array("forecast.retention", retention, (ahead.size, 2), 0, 1)
    survival = _ask("forecast.survival", renewals.survival, ahead, there, drawn)
    survival = _array("forecast.survival", survival, (ahead.size, 2, 2), 0, 1)
    _same(
        "forecast.survival of a new customer",
        survival[:, 0],
        np.cumprod(retention, axis=0),
        "the product of forecast.retention",
    )
    _same("forecast.survival of one lost", renewals.survival(ahead, lost, drawn), 0.0, "0")
    counts = np.arange(0.0, ahead.size + 1)
    pmf = _ask("forecast.pmf", renewals.pmf, counts, float(ahead.size), there, drawn)
    pmf = _array("forecast.pmf", pmf, (counts.size, 2, 2), 0, 1)
    _same("the sum of forecast.pmf", pmf.sum(axis=0), 1.0, "1")
    expected = _ask("forecast.expected", renewals.expected, float(ahead.size), there, drawn)
    _same("forecast.expected", expected, survival.sum(axis=0), "the sum of forecast.survival")
    far = np.arange(1.0, 400.0)
    worth = (renewals.survival(far, there, drawn) * 1.2 ** -(far - 1)[:, None, None]).sum(axis=0)
    discounted = _ask("forecast.discounted", renewals.discounted, 0.2, there, drawn)
    _same("forecast.discounted", discounted, worth, "the discounted sum of forecast.survival")
    for n in (1.0, 3.0):
        chance = float(np.ravel(renewals.survival(n, {k: v[0] for k, v in there.items()}, params))[0])
        _zero_mean("forecast.survival", (columns["renewals"] >= n) - chance, "simulate")
    many = {name: np.full(4_000, float(value)) for name, value in params.items()}
    for past in (there, lost):
        mean = _ask("forecast.latent_means", renewals.latent_means, past, params)
        sample = _ask("forecast.latent_draws", renewals.latent_draws, rng, past, many)
        sample = _array("forecast.latent_draws", sample, (2, 4_000), 0, 1)
        for row, of_row in zip(sample, np.broadcast_to(mean, (2, 1)), strict=True):
            _zero_mean("forecast.latent_draws", row - of_row, "forecast.latent_means")
