"""How many new customers will come in each period to come: a count model with its posterior, from first orders alone.

    y_i ~ negative binomial of mean m_i and shape 1 / shock^2, of equal periods i
    log m_i = log m_(i-1) - step^2 / 2 + step z_i, z_i standard normal

so that the expected number stays where it is, what is not known of it grows with the time ahead, and a single period
may be lucky beyond what Poisson's chance makes of it. ``step`` a week ~ HalfNormal(0.1), which the forecasts of totals
took too (``inference.calendar``), ``shock`` ~ HalfNormal(0.3). There is no season: from less than two years one cannot
tell it from a level that moves.

**How its posterior is found.** step and shock are taken from a grid of equal prior probability, the levels given each
are log-concave: their mode and curvature (a nested Laplace approximation, Rue, Martino & Chopin 2009, JRSS B 71) are
proposals, which importance weights against the exact density make draws of. No sampler and no compiling are needed.
Rejected: a constant rate (its intervals of a year were those of Poisson's chance alone, a tenth of what acquisition
does); a Gamma level with a discount factor (Harvey & Fernandes 1989, JBES 7), whose forecasts of many periods ahead
fall to 0 or explode.
"""

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.predictions.inputs import whole_number
from bayes_clv.schema import (
    DRAW,
    UNSTATED,
    InputError,
    Variable,
    argument,
    check_seed,
    describe,
    either,
    interval,
)
from bayes_clv.units import days_per, duration
from bayes_clv.valuation.assumptions import generator

COHORT = "cohort"
PAST = "past_period"
# Standard deviations of the half-normal priors: of a step of the log level a week, and of the shock of one period.
STEP, SHOCK = 0.1, 0.3
GRID = 24
# Proposals a draw, of which the draws are chosen by their weights.
PROPOSALS = 4
FEWEST = 6
NEWTON_STEPS = 50
# The log of the first level: twice this is a factor of 55 about the mean count.
FIRST_SD = 2.0

_OWN = {
    "counts": Variable("customers whose first order fell into the period", "count"),
    "level": Variable("expected new customers of the period", "count", "expected"),
    "newcomers": Variable("customers who will come in the period", "count", "outcome"),
    "step": Variable("standard deviation of a step of the log level, a period", "none", "expected"),
    "shock": Variable("relative spread of one period beyond chance", "none", "expected"),
    "period_end": Variable("end of the period, from the end of observation", "time", None),
}


@dataclass(frozen=True)
class _Chain:
    """Tridiagonal precision of the levels of each cell of the grid, (cell, period) and (cell, period - 1)."""

    mean: np.ndarray
    diagonal: np.ndarray
    beside: np.ndarray

    def log_prior(self, x: np.ndarray) -> np.ndarray:
        away = x - self.mean
        square = (self.diagonal * away**2).sum(axis=1) + 2 * (self.beside * away[:, 1:] * away[:, :-1]).sum(
            axis=1
        )
        pivots, _ = _factor(self.diagonal, self.beside)
        density: np.ndarray = 0.5 * (np.log(pivots).sum(axis=1) - square)
        return density

    def at(self, cells: np.ndarray) -> "_Chain":
        return _Chain(self.mean[cells], self.diagonal[cells], self.beside[cells])


def predict_newcomers(
    customers: xr.Dataset,
    horizon: str | float = "52 weeks",
    *,
    period: str | float = "4 weeks",
    since: str | dt.date | None = None,
    draws: int = 400,
    seed: int,
) -> xr.Dataset:
    """Return how many new customers will come in each period of the horizon, from when those so far came.

    Parameters
    ----------
    customers
        Of ``clv.summarize``: their ages ``T`` say when each placed its first order.
    horizon
        How far ahead, ``"52 weeks"`` or a number in the customers' time unit.
    period
        Length of the periods in which first orders are counted, back from the end of observation.
    since
        Leave out what came before this day. A log that begins in the middle of a business takes everybody for new who
        orders first within it: leave out its first months.
    draws
        Draws of the posterior, and of what will come.
    seed
        Seed of all random numbers.

    Returns
    -------
    xarray.Dataset
        ``counts`` (past_period), first orders so far, the last period last; ``level`` (draw, past_period), their
        expected number (expected level); ``newcomers`` (draw, cohort), who will come (outcome level), with ``_mean``,
        ``_q05`` and ``_q95``; ``step`` and ``shock`` (draw,); ``period_end`` (cohort) in time units from now, the last
        period cut at the horizon. ``attrs["efficiency"]`` is the share of the proposals that the weights leave.

    Raises
    ------
    InputError
        Fewer than six whole periods; a day that cannot be; customers without ages.

    Notes
    -----
    The level's expectation stays where it is: a trend of the past is not carried on, and a season is none of it. The
    day on which the first of the customers came begins the first period, and a part of a period before is left out.

    Examples
    --------
    >>> coming = predict_newcomers(customers, "26 weeks", period="1 week", draws=50, seed=1)
    >>> coming["newcomers"].shape
    (50, 26)
    """
    check_seed(seed)
    size = whole_number(draws, "draws")
    if not isinstance(customers, xr.Dataset) or "T" not in customers:
        raise InputError(
            "predict_newcomers needs customers with their ages T, as clv.summarize returns them."
        )
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    width, length = duration(period, unit), duration(horizon, unit)
    counts = first_orders(customers, width, since, unit)
    week = 1.0 if unit == UNSTATED else width * days_per(unit) / 7.0
    cells, chain = _grid(counts, week)
    level, step, shock, efficiency = _posterior(counts, cells, chain, size, generator(seed, "newcomers"))
    ends = np.minimum(width * np.arange(1, math.ceil(length / width - 1e-9) + 1), length)
    part = np.diff(ends, prepend=0.0) / width
    coming = _ahead(level[:, -1], step, shock, part, generator(seed, "newcomers to come"))
    low, high = interval(coming, axis=0)
    data = {
        "counts": (PAST, counts),
        "level": ((DRAW, PAST), np.exp(level)),
        "newcomers": ((DRAW, COHORT), coming),
        "newcomers_mean": (COHORT, coming.mean(axis=0)),
        "newcomers_q05": (COHORT, low),
        "newcomers_q95": (COHORT, high),
        "step": (DRAW, step),
        "shock": (DRAW, shock),
    }
    coords = {
        PAST: np.arange(-counts.size, 0),
        COHORT: np.arange(part.size),
        DRAW: np.arange(size),
        "period_end": (COHORT, ends),
    }
    attrs = {
        "result": "newcomers",
        "horizon": length,
        "time_unit": unit,
        "width": width,
        "until": str(customers.attrs.get("until", "")),
        "efficiency": efficiency,
        "seed": int(seed),
        "draws": size,
        "level": "outcome",
    }
    return describe(xr.Dataset(data, coords, attrs), _OWN)


def first_orders(
    customers: xr.Dataset, width: float, since: str | dt.date | None = None, unit: str = UNSTATED
) -> np.ndarray:
    """Return first orders by whole periods of ``width`` back from the end of observation, the last one last."""
    age = customers["T"].to_numpy().astype(float)
    day = 0.0 if unit == UNSTATED else 1.0 / days_per(unit)
    oldest = float(age.max()) if since is None else _age_of(since, customers, day)
    whole = math.floor((oldest + day) / width + 1e-9)
    if whole < FEWEST:
        raise InputError(
            f"First orders go back over {max(whole, 0)} whole periods of {argument('period')}, and a forecast of new "
            f"customers needs {FEWEST}. Take shorter periods, or an earlier {argument('since')}; or value "
            f"present customers alone, with {either('newcomers=None', '--no-newcomers')}."
        )
    # An age of whole days may stand a rounding below the period's end.
    back = np.floor(age / width + 1e-9).astype(int)
    counts = np.bincount(back[back < whole], minlength=whole)[:whole]
    return counts[::-1].copy()


def _age_of(since: str | dt.date, customers: xr.Dataset, day: float) -> float:
    """Return how long before the end of observation a day is."""
    try:
        first = dt.date.fromisoformat(str(since))
        until = dt.date.fromisoformat(str(customers.attrs.get("until", "")))
    except ValueError:
        raise InputError(
            f"{argument('since', str(since))} cannot be used. Write a day, such as '2011-03-01', of customers that "
            "clv.summarize made."
        ) from None
    if first > until:
        raise InputError(f"{argument('since', str(since))} lies after {until}, the end of observation.")
    return (until - first).days * day


def _grid(counts: np.ndarray, weeks: float) -> tuple[np.ndarray, _Chain]:
    """Return step and shock (cell, 2) of equal prior probability, and the chain of levels of each."""
    from scipy import stats

    one = stats.halfnorm.ppf((np.arange(GRID) + 0.5) / GRID)
    step, shock = (each.ravel() for each in np.meshgrid(STEP * math.sqrt(weeks) * one, SHOCK * one))
    size, cells = counts.size, step.size
    inner = 1.0 / step**2
    diagonal = np.full((cells, size), 2.0) * inner[:, None]
    diagonal[:, 0] = inner + 1.0 / FIRST_SD**2
    diagonal[:, -1] = inner
    beside = np.broadcast_to(-inner[:, None], (cells, size - 1))
    first = math.log(counts.mean() + 0.5)
    mean = first - 0.5 * step[:, None] ** 2 * np.arange(size)
    return np.stack([step, shock], axis=1), _Chain(mean, diagonal, beside)


def _log_counts(
    x: np.ndarray, counts: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the log-likelihood of each (cell, period) but for what x does not change, its slope and curvature."""
    mean = np.exp(x)
    both = counts + shape
    value = counts * x - both * np.log(shape + mean)
    return value, counts - both * mean / (shape + mean), -both * shape * mean / (shape + mean) ** 2


def _constants(counts: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return the rest of the log-likelihood, which shock changes, (cell,)."""
    from scipy.special import gammaln

    each = gammaln(counts + shape) - gammaln(shape) + shape * np.log(shape)
    return np.asarray(each.sum(axis=1))


def _factor(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pivots (cell, period) and multipliers (cell, period - 1) of L D L' of tridiagonal matrices."""
    pivots, multipliers = diagonal.copy(), np.empty_like(beside)
    for i in range(diagonal.shape[1] - 1):
        multipliers[:, i] = beside[:, i] / pivots[:, i]
        pivots[:, i + 1] -= multipliers[:, i] * beside[:, i]
    return pivots, multipliers


def _backwards(multipliers: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return x of L' x = right."""
    x = right.copy()
    for i in range(right.shape[1] - 2, -1, -1):
        x[:, i] -= multipliers[:, i] * x[:, i + 1]
    return x


def _solved(pivots: np.ndarray, multipliers: np.ndarray, right: np.ndarray) -> np.ndarray:
    y = right.copy()
    for i in range(right.shape[1] - 1):
        y[:, i + 1] -= multipliers[:, i] * y[:, i]
    return _backwards(multipliers, y / pivots)


def _modes(counts: np.ndarray, shape: np.ndarray, chain: _Chain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mode (cell, period) of each cell's levels, and pivots and multipliers of the curvature there."""
    x = np.broadcast_to(np.log(counts + 0.5), chain.mean.shape).copy()
    for _ in range(NEWTON_STEPS):
        _, slope, bent = _log_counts(x, counts, shape)
        away = x - chain.mean
        pull = chain.diagonal * away
        pull[:, 1:] += chain.beside * away[:, :-1]
        pull[:, :-1] += chain.beside * away[:, 1:]
        pivots, multipliers = _factor(chain.diagonal - bent, chain.beside)
        move = _solved(pivots, multipliers, slope - pull)
        # A step of more than 2 on the log scale overshoots.
        x += move * np.minimum(1.0, 2.0 / np.maximum(np.abs(move).max(axis=1, keepdims=True), 1e-300))
        if np.abs(move).max() < 1e-9:
            break
    _, _, bent = _log_counts(x, counts, shape)
    return x, *_factor(chain.diagonal - bent, chain.beside)


def _posterior(
    counts: np.ndarray, cells: np.ndarray, chain: _Chain, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return draws of the log levels (draw, period), step and shock (draw,), and the efficiency of the weights."""
    shape = 1.0 / cells[:, 1:] ** 2
    constant = _constants(counts, shape)
    mode, pivots, multipliers = _modes(counts, shape, chain)
    value, _, _ = _log_counts(mode, counts, shape)
    marginal = value.sum(axis=1) + constant + chain.log_prior(mode) - 0.5 * np.log(pivots).sum(axis=1)
    chance = np.exp(marginal - marginal.max())
    proposals = PROPOSALS * size
    whose = _systematic(chance, proposals, rng)
    normal = rng.standard_normal((proposals, counts.size))
    x = mode[whose] + _backwards(multipliers[whose], normal / np.sqrt(pivots[whose]))
    value, _, _ = _log_counts(x, counts, shape[whose])
    exact = value.sum(axis=1) + constant[whose] + chain.at(whose).log_prior(x)
    proposed = marginal[whose] + 0.5 * (np.log(pivots[whose]).sum(axis=1) - (normal**2).sum(axis=1))
    weight = np.exp(exact - proposed - (exact - proposed).max())
    kept = rng.permutation(_systematic(weight, size, rng))
    efficiency = float(weight.sum() ** 2 / (weight**2).sum() / proposals)
    return x[kept], cells[whose[kept], 0], cells[whose[kept], 1], efficiency


def _systematic(weight: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``size`` places, each in proportion to its weight to less than one."""
    reached = np.cumsum(weight / weight.sum())
    found: np.ndarray = np.searchsorted(reached, (np.arange(size) + rng.random()) / size)
    return np.asarray(np.minimum(found, weight.size - 1))


def _ahead(
    last: np.ndarray, step: np.ndarray, shock: np.ndarray, part: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return who will come (draw, cohort), ``part`` (cohort) of a whole period each."""
    moves = step[:, None] * rng.standard_normal((last.size, part.size)) - 0.5 * step[:, None] ** 2
    mean = np.exp(last[:, None] + np.cumsum(moves, axis=1))
    shape = 1.0 / shock[:, None] ** 2
    luck = rng.standard_gamma(np.broadcast_to(shape, mean.shape)) / shape
    return np.asarray(rng.poisson(mean * luck * part), dtype=np.float64)


def checked_newcomers(newcomers: Any, horizon: float, until: str) -> xr.Dataset:
    """Return a forecast of new customers that fits a horizon and the end of observation; another is refused."""
    if not isinstance(newcomers, xr.Dataset) or newcomers.attrs.get("result") != "newcomers":
        raise InputError("newcomers must be what clv.valuation.predict_newcomers returned.")
    if not math.isclose(float(newcomers.attrs["horizon"]), horizon, rel_tol=1e-9):
        raise InputError(
            f"The new customers are forecast over {float(newcomers.attrs['horizon']):g} and the simulation looks "
            f"{horizon:g} ahead: forecast them with its horizon."
        )
    if newcomers.attrs["until"] != until:
        raise InputError(
            f"The new customers are forecast from {newcomers.attrs['until'] or 'no known day'} and the simulation "
            f"begins on {until or 'no known day'}: take the same customers for both."
        )
    return newcomers
