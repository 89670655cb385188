"""What is constant by pieces of time, for each of many paths: which pieces lie in a span, and for how long.

``begin`` (piece,) is the time from which each piece holds, one path's after the other's, rising. A path's first is
-inf: it held before as well; the last goes on for ever. ``start`` (row,) is the place of a row's first piece, and
several rows may have one path.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_clv.distributions.arrays import Array, ragged


class Paced(NamedTuple):
    """Pieces of time in which a purchase rate is multiplied.

    ``begin`` (piece,); ``level`` (piece,), the row of ``design`` (level, effect) that holds in the piece, by which and
    coefficients (effect,) the log of the factor is a sum of products.
    """

    begin: Array
    level: NDArray[np.int64]
    design: Array


def path_sizes(begin: Array, start: ArrayLike) -> NDArray[np.int64]:
    """Return how many pieces the paths that begin at ``start`` have.

    Examples
    --------
    >>> path_sizes(np.array([-np.inf, -2.0, -np.inf]), [2, 0]).tolist()
    [1, 2]
    """
    ends = np.append(np.flatnonzero(np.isneginf(begin)), begin.size)
    first = np.asarray(start).astype(np.int64)
    return ends[np.searchsorted(ends, first, side="right")] - first


def piece_ends(begin: Array) -> Array:
    """Return where each piece ends: at the next of its path, or never."""
    ends = np.append(begin[1:], np.inf)
    return np.where(np.isneginf(ends), np.inf, ends)


def overlaps(
    begin: Array, start: ArrayLike, low: ArrayLike, high: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return what ``spans`` does, with how long each piece is in place of its ends.

    Examples
    --------
    >>> row, place, width = overlaps(np.array([-np.inf, -2.0, -np.inf]), [2, 0], [-5.0, -5.0], [0.0, 0.0])
    >>> row.tolist(), place.tolist(), width.tolist()
    ([0, 1, 1], [2, 0, 1], [5.0, 3.0, 2.0])
    """
    row, place, lower, upper = spans(begin, start, low, high)
    return row, place, upper - lower


def spans(
    begin: Array, start: ArrayLike, low: ArrayLike, high: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, Array]:
    """Return of the span (low, high] of each row the pieces in it: whose, which, from when and until when, in order."""
    row, place = ragged(start, path_sizes(begin, start))
    lower = np.maximum(begin[place], np.asarray(low, dtype=np.float64)[row])
    upper = np.minimum(piece_ends(begin)[place], np.asarray(high, dtype=np.float64)[row])
    some = upper > lower
    return row[some], place[some], lower[some], upper[some]


def operational(knots: Array, elapsed: Array, time: Array) -> Array:
    """Return the operational time (..., draw) at times from the end of observation, negative ones before it.

    ``elapsed`` (draw, knot) is that at the knots (knot,), straight between them and beyond the last.
    """
    at = np.asarray(time, dtype=np.float64)
    low = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, knots.size - 2)
    share = ((at - knots[low]) / (knots[low + 1] - knots[low]))[..., None]
    return elapsed.T[low] * (1 - share) + elapsed.T[low + 1] * share


def paces(design: Array, coefficient: Array) -> Array:
    """Return the factor of each level in each draw, of coefficients (draw, effect); column by column, to the same bit.

    Examples
    --------
    >>> paces(np.array([[0.0], [1.0]]), np.log([[2.0], [3.0]])).round(12).tolist()
    [[1.0, 1.0], [2.0, 3.0]]
    """
    total = np.zeros((design.shape[0], coefficient.shape[0]))
    for j in range(design.shape[1]):
        total += design[:, j, None] * coefficient[:, j]
    return np.exp(total)


def paced_time(
    paced: Paced,
    coefficient: Array,
    start: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    calendar: tuple[Array, Array] | None = None,
) -> Array:
    """Return the operational time (row, draw) of the span (low, high] of each row, which is 0 where it is empty.

    With a ``calendar``, its knots and what is elapsed at them (draw, knot), pieces are as long as in its time. The
    factors of those levels alone are computed that lie in a span: one row in company is what it is by itself.
    """
    from scipy import sparse

    if calendar is not None:
        row, place, lower, upper = spans(paced.begin, start, low, high)
        used, local = np.unique(paced.level[place], return_inverse=True)
        long = operational(*calendar, upper) - operational(*calendar, lower)
        each = long * paces(paced.design[used], coefficient)[local]
        sums = sparse.csr_array(
            (np.ones(row.size), (row, np.arange(row.size))), shape=(np.size(start), row.size)
        )
        return np.asarray(sums @ each)
    row, place, width = overlaps(paced.begin, start, low, high)
    used, local = np.unique(paced.level[place], return_inverse=True)
    shape = np.size(start), used.size
    lengths = sparse.csr_array((width, (row, local)), shape=shape)
    found: Array = np.asarray(lengths @ paces(paced.design[used], coefficient))
    return found
