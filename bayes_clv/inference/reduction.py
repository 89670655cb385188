"""Customers to distinct rows with counts: the same likelihood, exactly, from fewer evaluations.

The likelihood of a customer depends on the history alone, so customers with the same history share
one evaluation weighted by their count. It goes one step further: a family states its
log-likelihood as terms, each with the columns it needs, and every term is evaluated on the
distinct rows of its own columns (the log-gamma functions on a few dozen distinct frequencies, say).
CDNOW's 23,570 customers are about 8,700 distinct histories and 50 distinct frequencies.
"""

from collections.abc import Mapping, Sequence

import numpy as np

type Columns = dict[str, np.ndarray]


def distinct_rows(
    columns: Mapping[str, np.ndarray], count: np.ndarray | None = None
) -> tuple[Columns, np.ndarray]:
    """Return the distinct rows of the columns, sorted, and how many customers share each.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
        The columns that define a row.
    count : array, shape (n,), optional
        Weight of each row; 1 when left out.

    Examples
    --------
    >>> rows, count = distinct_rows({"frequency": np.array([2, 0, 2])})
    >>> rows["frequency"].tolist(), count.tolist()
    ([0, 2], [1, 2])
    """
    values = [np.asarray(column) for column in columns.values()]
    weight = np.ones(values[0].shape[0], dtype=np.int64) if count is None else np.asarray(count)
    order = np.lexsort(values[::-1])
    sorted_values = [column[order] for column in values]
    starts = np.ones(order.size, dtype=bool)
    starts[1:] = False
    for column in sorted_values:
        starts[1:] |= column[1:] != column[:-1]
    first = np.flatnonzero(starts)
    return (
        {name: column[first] for name, column in zip(columns, sorted_values, strict=True)},
        np.add.reduceat(weight[order], first),
    )


def select(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> Columns:
    """Return the named columns, in that order."""
    return {name: columns[name] for name in names}
