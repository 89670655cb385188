"""Sums over a customer's amounts that move, as operations of a PyTensor graph: with a calendar of spend.

A module of its own, as ``gamma_ratio_operator``: imported where a graph is built.
"""

from typing import Any

import numpy as np
import pytensor.tensor as pt

from bayes_clv.distributions.lognormal import levels, levels_at
from bayes_clv.distributions.operators import HistoriesAt

_LEVELS_AT = HistoriesAt(levels_at.sums_at, levels.SUMS, levels_at.slopes, data=3)


def level_sums_at(data: tuple[np.ndarray, ...], y: Any, *parameters: Any) -> tuple[Any, ...]:
    """Return D and G (``lognormal.levels.sums``) of each row, of log amounts ``y`` (amount,), a tensor with slopes.

    ``data`` are, of each row, how many amounts it has and where they begin, where its times begin, and the age at which
    the trend ends; and the times. Parameters, kappa, omega and sigma, may be scalars.
    """
    size, start, time_start, span, times = data
    kappa, omega, sigma = (each + pt.zeros(size.size) for each in parameters)
    return tuple(_LEVELS_AT(kappa, start, size, time_start, span, times, y, omega, sigma))


def row_sums(matrix: Any, values: Any) -> Any:
    """Return a sparse matrix (row, each), of SciPy, times a vector, a tensor (row,)."""
    import pytensor.sparse as sparse

    return sparse.structured_dot(sparse.as_sparse_variable(matrix), values[:, None])[:, 0]
