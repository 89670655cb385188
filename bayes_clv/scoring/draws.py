"""What ``clv.predict`` says of a customer beside a holdout, computed from draws in plain NumPy.

The door for forecasts made elsewhere, and an independent computation of what the compiled kernel writes while draws are
simulated. The continuous ranked probability score is that of the draws' own distribution,
mean|X - y| - mean|X - X'| / 2 (Gneiting & Raftery 2007, eq. 21), not the "fair" one of an ensemble: these draws are the
forecast.
"""

import numpy as np

from bayes_clv.schema import QUANTILES
from bayes_clv.scoring.counts import LEVELS

# What is said of the draws alone.
STATISTICS = ("mean", "sd", *(f"q{round(100 * q):02d}" for q in QUANTILES))
# Numbers at a time: the customers' draws are sorted in pieces of this size, 32 MB.
PIECE = 4_194_304


def ensemble_crps(ordered: np.ndarray, observed: np.ndarray | float) -> np.ndarray:
    """Return the CRPS of draws sorted along the first axis at what happened."""
    size = ordered.shape[0]
    weight = (2 * np.arange(1, size + 1) - size - 1) / size**2
    # The spread does not depend on where zero is; from the middle its sum cancels least.
    middle = ordered[size // 2]
    spread = np.tensordot(weight, ordered - middle, axes=(0, 0))
    score: np.ndarray = np.maximum(np.abs(ordered - observed).mean(axis=0) - spread, 0.0)
    return score


def ordered_quantile(ordered: np.ndarray, share: float) -> np.ndarray:
    """Return the smallest draw that at least this share of the draws does not exceed; the first axis is sorted."""
    size = ordered.shape[0]
    return np.asarray(ordered[max(int(np.ceil(share * size - 1e-9)) - 1, 0)])


def interval_ends(level: int) -> tuple[float, float]:
    """Return the probabilities between which the central interval of so many per cent lies."""
    return (100 - level) / 200, (100 + level) / 200


def scored_draws(draws: np.ndarray, observed: np.ndarray, unit: float | None = None) -> dict[str, np.ndarray]:
    """Return statistics and scores of each customer's ``draws`` (draw, customer) at what happened (customer).

    Names are those of ``clv.predict`` without prefix: mean, sd, q05 to q95, draws_below, draws_equal, crps, mass_ and
    inside_ of each level; with a ``unit`` of money log_crps too, of log(1 + amount / unit).
    """
    step = max(1, PIECE // draws.shape[0])
    parts = [
        _scored_piece(draws[:, start : start + step], observed[start : start + step], unit)
        for start in range(0, draws.shape[1], step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def inside_totals(draws: np.ndarray, observed: np.ndarray) -> dict[int, np.ndarray]:
    """Return by level how many customers lie in their own interval in each draw, of ``draws`` (draw, customer).

    Of those of whom it is known what happened, which alone have scores.
    """
    known = np.flatnonzero(~np.isnan(observed))
    found = {level: np.zeros(draws.shape[0], dtype=np.int64) for level in LEVELS}
    step = max(1, PIECE // draws.shape[0])
    for start in range(0, known.size, step):
        piece = draws[:, known[start : start + step]]
        ordered = np.sort(piece, axis=0)
        for level, inside in found.items():
            low, high = (ordered_quantile(ordered, share) for share in interval_ends(level))
            inside += ((low <= piece) & (piece <= high)).sum(axis=1)
    return found


def _scored_piece(draws: np.ndarray, observed: np.ndarray, unit: float | None) -> dict[str, np.ndarray]:
    ordered = np.sort(np.asarray(draws, dtype=float), axis=0)
    size = ordered.shape[0]
    found = {
        "mean": ordered.mean(axis=0),
        "sd": ordered.std(axis=0, ddof=1) if size > 1 else np.zeros(ordered.shape[1]),
        **{name: ordered_quantile(ordered, q) for name, q in zip(STATISTICS[2:], QUANTILES, strict=True)},
        "draws_below": (ordered < observed).sum(axis=0).astype(float),
        "draws_equal": (ordered == observed).sum(axis=0).astype(float),
        "crps": ensemble_crps(ordered, observed),
    }
    if unit is not None:
        found["log_crps"] = ensemble_crps(np.log1p(ordered / unit), np.log1p(observed / unit))
    for level in LEVELS:
        low, high = (ordered_quantile(ordered, share) for share in interval_ends(level))
        found[f"mass_{level}"] = ((low <= ordered) & (ordered <= high)).mean(axis=0)
        found[f"inside_{level}"] = ((low <= observed) & (observed <= high)).astype(float)
    unknown = np.isnan(observed)
    for name in found if unknown.any() else ():
        if name not in STATISTICS:
            found[name][unknown] = np.nan
    return found
