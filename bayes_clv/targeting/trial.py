"""What a further experiment would be worth before deciding."""

import math

import numpy as np

from bayes_clv.targeting.allocation import Order, best_totals


def simulated_arm(
    rng: np.random.Generator, people: np.ndarray, draws: dict[str, np.ndarray], arm: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many of ``people`` (segment,) buy and what they bring in all, (draw, segment)."""
    bought = rng.binomial(people, draws[f"conversion_{arm}"]).astype(float)
    shape = np.broadcast_to(draws["spend_shape"], bought.shape)
    mean = draws[f"spend_{arm}"]
    # An infinite shape: all spend alike.
    alike = np.isinf(shape)
    finite = np.where(alike, 1.0, shape)
    spread = rng.standard_gamma(np.where(bought > 0, bought * finite, 1.0)) / finite
    money = mean * np.where(alike | (bought == 0), bought, spread)
    return bought, money


def value_of_test(
    draws: dict[str, np.ndarray],
    worth: np.ndarray,
    population: list[Order],
    budget: float | None,
    people: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the value of deciding after a test of so many customers, and its Monte Carlo error."""
    size = np.array([own.customers.size for own in population], dtype=float)
    half = np.maximum(1, np.round(people * size / size.sum() / 2)).astype(np.int64)
    seen = []
    for arm in ("control", "treated"):
        bought, money = simulated_arm(rng, half, draws, arm)
        seen += [bought / half] if np.isinf(draws["spend_shape"]).all() else [bought / half, money / half]
    features = np.hstack(seen)
    features = features - features.mean(axis=0)
    spread = features.std(axis=0)
    features = features[:, spread > 0] / spread[spread > 0]
    design = np.hstack([np.ones((worth.shape[0], 1)), features])
    now = best_totals(worth.mean(axis=0, keepdims=True), population, budget)
    gain_now = worth @ now.weight[0] - now.spent[0]
    order = rng.permutation(worth.shape[0])
    gain = np.empty(worth.shape[0])
    for learn, use in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        coefficients, *_ = np.linalg.lstsq(design[learn], worth[learn], rcond=None)
        after = best_totals(design[use] @ coefficients, population, budget)
        gain[use] = (worth[use] * after.weight).sum(axis=1) - after.spent
    better = gain - gain_now
    return float(better.mean()), float(better.std(ddof=1) / math.sqrt(better.size))
