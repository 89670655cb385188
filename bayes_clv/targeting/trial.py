"""What a further experiment would be worth before deciding."""

import math
from dataclasses import dataclass

import numpy as np

from bayes_clv.targeting.allocation import Order, best_totals


@dataclass(frozen=True)
class Response:
    """What customers do without contact and with each offer, in every draw.

    ``control_*`` are (draw, segment), ``treated_*`` (draw, offer, segment); ``shape`` of spends is (draw,).
    """

    control_conversion: np.ndarray
    control_spend: np.ndarray
    treated_conversion: np.ndarray
    treated_spend: np.ndarray
    shape: np.ndarray

    @property
    def conversions(self) -> list[np.ndarray]:
        """Return the probability of buying of each arm, controls first, (draw, segment)."""
        return [self.control_conversion, *self.treated_conversion.transpose(1, 0, 2)]

    @property
    def spends(self) -> list[np.ndarray]:
        """Return the mean spend of who buys of each arm, controls first, (draw, segment)."""
        return [self.control_spend, *self.treated_spend.transpose(1, 0, 2)]


def simulated_arm(
    rng: np.random.Generator, people: np.ndarray, conversion: np.ndarray, spend: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many of ``people`` ([offer], segment) buy and what they bring in all, (draw, [offer], segment).

    ``conversion`` and the mean ``spend`` have these dimensions too, ``shape`` is (draw,).
    """
    bought = rng.binomial(people, conversion).astype(float)
    shape = np.broadcast_to(shape.reshape(-1, *[1] * (bought.ndim - 1)), bought.shape)
    # An infinite shape: all spend alike.
    alike = np.isinf(shape)
    finite = np.where(alike, 1.0, shape)
    spread = rng.standard_gamma(np.where(bought > 0, bought * finite, 1.0)) / finite
    money = spend * np.where(alike | (bought == 0), bought, spread)
    return bought, money


def value_of_test(
    response: Response,
    worth: np.ndarray,
    prices: np.ndarray,
    population: list[Order],
    budget: float | None,
    people: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the value of deciding after a test of so many customers, and its Monte Carlo error.

    The customers are spread evenly over controls and offers. ``worth`` is (draw, offer, segment).
    """
    size = np.array([own.customers.size for own in population], dtype=float)
    arms = worth.shape[1] + 1
    each = np.maximum(1, np.round(people * size / size.sum() / arms)).astype(np.int64)
    seen = []
    for conversion, spend in zip(response.conversions, response.spends, strict=True):
        bought, money = simulated_arm(rng, each, conversion, spend, response.shape)
        seen += [bought / each] if np.isinf(response.shape).all() else [bought / each, money / each]
    features = np.hstack(seen)
    features = features - features.mean(axis=0)
    spread = features.std(axis=0)
    features = features[:, spread > 0] / spread[spread > 0]
    design = np.hstack([np.ones((worth.shape[0], 1)), features])
    now = best_totals(worth.mean(axis=0, keepdims=True), prices, population, budget)
    gain_now = np.tensordot(worth, now.weight[0], 2) - now.spent[0]
    order = rng.permutation(worth.shape[0])
    gain = np.empty(worth.shape[0])
    flat = worth.reshape(worth.shape[0], -1)
    for learn, use in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        coefficients, *_ = np.linalg.lstsq(design[learn], flat[learn], rcond=None)
        after = best_totals(
            (design[use] @ coefficients).reshape(-1, *worth.shape[1:]), prices, population, budget
        )
        gain[use] = (worth[use] * after.weight).sum(axis=(1, 2)) - after.spent
    better = gain - gain_now
    return float(better.mean()), float(better.std(ddof=1) / math.sqrt(better.size))
