"""Covariates and groups act on a family's quantities: the same small formulas in the graph and at prediction.

A quantity is shifted on its link scale, log where it has no upper end and logit where that is 1:

    link(quantity of a row) = link(population quantity) + sum_j X[row, j] coefficient[j] + sum_c offset_c[group_c[row]]

and the family's own ``parameters`` then gives the paper's parameters of the row. A coefficient of the purchase
process is therefore a difference of log mean purchase rates, one of dropout a difference of log odds.

Every function here takes NumPy arrays or PyTensor tensors. In the graph a coefficient is a scalar and an offset has
the shape (group,); at prediction both have a last axis of draws, and so has the result.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def linear_predictor(design: np.ndarray | None, coefficients: Any, offsets: Sequence[Any]) -> Any:
    """Return the shift of each row on the link scale, without unit: (row,), or (row, draw).

    Parameters
    ----------
    design : array (row, effect), or None
        The encoded covariates.
    coefficients : array or tensor, (effect,) or (effect, draw)
        One for each column of the design.
    offsets : sequence of arrays or tensors, (row,) or (row, draw)
        Of each grouping column, the offset of each row's group.

    Notes
    -----
    Summed column by column and not by a matrix product, whose last digits depend on how many rows it is given.

    Examples
    --------
    >>> linear_predictor(np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([0.5, 0.1]), []).tolist()
    [0.7, 0.1]
    """
    total: Any = 0.0
    if design is not None:
        for j in range(design.shape[1]):
            column = design[:, j]
            # A coefficient with draws meets a column of rows.
            coefficient = coefficients[j]
            total = total + (column[:, None] if coefficient.ndim else column) * coefficient
    for offset in offsets:
        total = total + offset
    return total


def shifted(xp: Any, value: Any, shift: Any, upper: float) -> Any:
    """Return the quantity after a shift on its link scale; ``xp`` is numpy or pytensor.tensor.

    Log link for ``upper`` infinite, logit for ``upper`` 1 (odds times exp(shift)). A shift of 0 changes nothing but
    the last digit.

    Examples
    --------
    >>> round(float(shifted(np, 0.5, np.log(3.0), 1.0)), 12)
    0.75
    """
    if math.isinf(upper):
        return value * xp.exp(shift)
    if upper != 1.0:
        raise ValueError(f"There is no link for a quantity with the upper end {upper}.")
    return value / (value + (1 - value) * xp.exp(-shift))
