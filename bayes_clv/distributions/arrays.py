"""Plain arrays of float64, the only kind these functions compute with."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Array = NDArray[np.float64]


def float_arrays(*arguments: ArrayLike) -> tuple[Array, ...]:
    """Return each argument as an array of float64, each in its own shape."""
    return tuple(np.asarray(argument, dtype=np.float64) for argument in arguments)
