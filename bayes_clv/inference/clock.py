"""A calendar in a PyMC model, of the rate of purchase (``Clock``) or of spend (``Prices``), and how it is sampled.

**How it is sampled.** Level and shock enter together, so that a period is one number: the density of their sum is that
of its innovations (``distributions.autoregression``). What is sampled are the coefficients of its cosine transform,
each divided by the standard deviation that it has given its prior variance (the spectrum of an autoregression) and the
purchases of a mean period: scales and memory of the calendar are then nearly independent of them, and the posterior
has no funnel. The mean of log g, which the purchases say nothing of apart from the population's rate, goes with that
rate (``graph._anchored``). CDNOW, 39 weeks, 4,000 draws: 1,300 effective ones of the shocks' scale, 2,400 of the
half-life, no divergence, seven gradients a draw (measured with a shorter memory a priori). Rejected: level and shocks
apart and not centred (6 to 20 effective draws of the scales).

**Both scales** are sampled through a coordinate x of their own, .3 exp(x - softplus(-x)² / 2): a logarithm above .3,
and below it a power that grows, so that a density that is level where a scale nears 0 falls off in x as a Normal one
does. In their logarithm it falls off as e^x alone, which proposals around the peak miss: of a base of 200 customers
with shocks of .02 the 5 % point of their scale was .033 to .042 by laplace, .017 through x, and .011 by NUTS. NUTS goes
by x too: on CDNOW two fits of 2,000 draws had 2,700 and 3,900 effective ones of the level's scale, and 2,800 and 1,800
in its logarithm, at 15 gradients a draw either way.

**laplace** leans on the same coordinates: those of the periods are nearly Normal given the few others, and proposed as
such (``sampling.importance``). CDNOW, 4,000 draws: Pareto k .40 to .45, 3,400 to 3,800 effective ones in 5 s of CPU,
where 2,000 draws of NUTS take 15 to 18 s; quantiles of totals, scales and memory agree with NUTS's. An inner Laplace
step, which integrates the periods out, has not been tried.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bayes_clv.families.contract import SpendLevel
from bayes_clv.inference.calendar import (
    COEFFICIENT,
    HALF_LIFE,
    INTERVALS,
    PERIOD,
    RATE,
    SD,
    SHOCK,
    LearnedCalendar,
)
from bayes_clv.inference.ledger import Ledger

# What is sampled in place of log g, and of what a group has beside it.
WHITENED, GROUPED = "calendar_z", "calendar_group_z"
# Where the coordinate of a scale is 0, about: that of their priors.
USUAL_SCALE = 0.3


@dataclass(frozen=True)
class _Moving:
    """A calendar in a model: ``log_rate`` (period) is log g, a tensor."""

    calendar: LearnedCalendar
    log_rate: Any

    @property
    def anchor(self) -> Any:
        """Return the mean of log g over the purchases, which goes with the population's rate, or spend."""
        counts = np.asarray(self.calendar.counts)
        return (counts / counts.sum() * self.log_rate).sum()


@dataclass(frozen=True)
class Clock(_Moving):
    """The calendar of purchases, or of leaving: ``rate`` (period) is g, and operational time follows from it."""

    rate: Any

    def log_density(self) -> Any:
        """Return the sum of log g over the purchases."""
        return (np.asarray(self.calendar.counts) * self.log_rate).sum()

    @property
    def width(self) -> float:
        """Return the time between knots."""
        return self.calendar.width

    @property
    def to_end(self) -> Any:
        """Return the operational time from each knot (knot,) to the end, the first knot's first."""
        import pytensor.tensor as pt

        size = self.calendar.size
        return pt.dot(self.width * np.triu(np.ones((size + 1, size))), self.rate)

    def since(self, ago: np.ndarray) -> Any:
        """Return the operational time from so long before the end to the end."""
        to_end, (low, share) = self.to_end, self.knots_at(ago)
        return to_end[low] * (1 - share) + to_end[low + 1] * share

    def knots_at(self, ago: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the knot before each time so long before the end, and how far it lies on the way to the next."""
        size = self.calendar.size
        place = size - np.asarray(ago) / self.width
        low = np.clip(np.floor(place + 1e-9).astype(np.int64), 0, size - 1)
        return low, place - low

    def operational(
        self, data: Mapping[str, Any], count: Any, payer: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Return the columns of a term, calendar time, in operational time.

        Sums of logarithms of times between purchases are all at their mean over the customers, who are ``count`` (row):
        a term is linear in them, and reads no more than their sum.
        """
        import pytensor.tensor as pt

        found = dict(data)
        if "T" in data:
            age = found["T"] = self.since(data["T"])
            if "recency" in data:
                found["recency"] = age - self.since(np.asarray(data["T"]) - np.asarray(data["recency"]))
        if INTERVALS in data and self.calendar.intervals is not None:
            begun, ended, times = self.calendar.intervals
            total = (times * pt.log(self.since(begun) - self.since(ended))).sum()
            found[INTERVALS] = total / np.sum(count) + np.zeros(np.shape(data[INTERVALS]))
        return found


@dataclass(frozen=True)
class Prices(_Moving):
    """The calendar of spend, and what customers' spend is without it (``ledger``)."""

    ledger: Ledger

    def of_amounts(self, place: np.ndarray) -> Any:
        """Return log g of the amounts at these places of ``purchase_spend``."""
        return self.log_rate[self.ledger.period[place]]

    def log_density(self) -> Any:
        """Return minus the sum of log g over the purchases: an amount is g times one of the family."""
        return -(np.asarray(self.calendar.counts) * self.log_rate).sum()

    def operational(
        self, data: Mapping[str, Any], count: Any, payer: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Return the columns of a term with the calendar taken out of spend; ``payer`` are the customers' places."""
        found = dict(data)
        if payer is None:
            return found
        rows = payer.astype(np.int64)
        if "monetary_value" in found:
            found["monetary_value"], _ = self.ledger.divided(self.log_rate, rows)
            return found
        found["log_spend_mean"], found["log_spend_sd"] = self.ledger.corrected(
            self.log_rate, rows, data["log_spend_mean"], data["log_spend_sd"]
        )
        return found

    def log_amounts(self, level: SpendLevel, parameters: Mapping[str, Any], payer: np.ndarray) -> Any:
        """Return the log density of all amounts given their means, where the family's leaves it out, or 0."""
        if level.amounts is None:
            return 0.0
        rows = payer.astype(np.int64)
        return level.amounts(
            parameters, self.ledger.size[rows], *self.ledger.divided(self.log_rate, rows)
        ).sum()


def scale_at(x: Any) -> tuple[Any, Any]:
    """Return a scale at its coordinate, and the log of its derivative; tensors."""
    import pytensor.tensor as pt

    below = pt.softplus(-x)
    log_scale = math.log(USUAL_SCALE) + x - below**2 / 2
    return pt.exp(log_scale), log_scale + pt.log1p(below * pt.sigmoid(-x))


class Spectrum(NamedTuple):
    """How a level persists: ``rho``, the correlation of neighbouring periods; its cosine ``waves`` (period, wave).

    ``variance`` (wave,) are those of the waves of a level of variance 1.
    """

    rho: Any
    waves: np.ndarray
    variance: Any


def spectrum_of(calendar: LearnedCalendar, half_life: Any) -> Spectrum:
    """Return the spectrum of a level with this half-life; tensors."""
    import pytensor.tensor as pt

    size = calendar.size
    rho = pt.exp(-math.log(2) * calendar.width / half_life)
    place = np.arange(size)
    waves = np.cos(np.pi * np.outer(place + 0.5, place) / size)
    waves /= np.sqrt((waves**2).sum(axis=0))
    # The spectrum at the frequency of each wave; of the mean, its variance as the memory grows.
    spectrum = (1 - rho**2) / ((1 - rho) ** 2 + 2 * rho * (1 - np.cos(np.pi * place / size)))
    of_mean = 1 / (1 / size + (1 - rho) / (1 + rho))
    return Spectrum(rho, waves, pt.where(place == 0, of_mean, spectrum))


def clock(
    calendar: LearnedCalendar, variables: Mapping[str, Any], ledger: Ledger | None = None, known: Any = None
) -> Clock | Prices:
    """Put the calendar into the PyMC model in context, which has its dimensions, given its scales and coefficients.

    With a ``ledger`` it is of spend. ``known`` (wave,) is what the data say of each wave, 1 / variance, where that is
    not what all purchases say.
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayes_clv.distributions.operators import log_autoregression

    size, counts = calendar.size, np.asarray(calendar.counts)
    rho, waves, spectrum = spectrum_of(calendar, variables[HALF_LIFE])
    level, noise = variables[SD] ** 2, variables[SHOCK] ** 2
    variance = level * spectrum + noise
    if known is None:
        known = np.where(np.arange(size) == 0, 0.0, counts.mean() * calendar.information)
    scale = 1 / pt.sqrt(1 / variance + known)
    z = pm.Flat(WHITENED, dims=PERIOD, initval=np.zeros(size))
    moved = pt.dot(waves, scale * z)
    pm.Potential("calendar_density", log_autoregression(moved, level, noise, rho) + pt.log(scale).sum())
    if calendar.effects:
        moved = moved + pt.dot(calendar.design(-size, 0), variables[COEFFICIENT])
    rate = pm.Deterministic(RATE, pt.exp(moved), dims=PERIOD)
    return Clock(calendar, moved, rate) if ledger is None else Prices(calendar, moved, ledger)
