"""A forecast of counts in closed form, at the counts that happened, on plain arrays.

Distributions come as a function that gives P(Y = n) of distinct rows, so that a model's closed form and a rule's
Poisson are scored by the same lines, row by row in chunks, each table of probabilities as wide as its rows need.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from bayes_clv.predictions.tiles import in_order
from bayes_clv.schema import INTERVALS, QUANTILES
from bayes_clv.scoring.places import PLACES, summed_covariance

LEVELS = INTERVALS
# Distinct rows a table, the tail that a table may leave out (CRPS then misses its square, a column), and what
# rounding may add to a cumulative sum.
ROWS, TAIL, SLACK = 512, 1e-6, 1e-12
_AT, _TAILS = np.array(QUANTILES), (1 - np.array(LEVELS) / 100) / 2
# Counts that any row is asked for at first.
LEAST = 4


# (row indices, counts n) -> P(Y = n), of shape (row, n).
Probabilities = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class CountScores:
    """Scores of each customer's forecast distribution of counts, at the count that happened.

    ``below`` and ``equal`` are P(Y < y) and P(Y = y), ``none`` is P(Y = 0) and ``some`` P(Y > 0), each with its own
    digits; ``quantiles`` (quantile, customer) are at QUANTILES; ``covered`` and ``promised`` (level, customer) belong
    to the closed intervals of LEVELS between inverse-CDF quantiles; ``covariance`` is that of the mean transform at
    PLACES when the forecasts are true.
    """

    none: np.ndarray
    some: np.ndarray
    below: np.ndarray
    equal: np.ndarray
    crps: np.ndarray
    quantiles: np.ndarray
    covered: np.ndarray
    promised: np.ndarray
    covariance: np.ndarray


def probability_table(
    probabilities: Probabilities, rows: np.ndarray, largest: np.ndarray, likely: np.ndarray | None = None
) -> np.ndarray:
    """Return P(Y = n) of the rows for n = 0, 1, …, past ``largest`` (row) and until at most TAIL is left.

    Where a row needs no more columns than others in the table, it has zeros. ``likely`` (row) is how many it may need:
    rows are asked for that many at once, in classes of like width, and for as many again until they have enough.
    """
    needed = largest + 1 if likely is None else np.maximum(largest + 1, likely)
    # Of a power of two, some families compute all counts for the largest one: few classes, each asked once.
    width = np.maximum(LEAST, 2 ** np.ceil(np.log2(np.maximum(needed, 1))).astype(np.int64))
    table = np.zeros((rows.size, int(width.max())))
    begin = np.zeros_like(width)
    unfinished = np.arange(rows.size)
    while unfinished.size:
        for first, end in np.unique(np.stack([begin, width], axis=1)[unfinished], axis=0):
            among = unfinished[(begin[unfinished] == first) & (width[unfinished] == end)]
            table[among, first:end] = probabilities(rows[among], np.arange(first, end))
        left = table[unfinished].sum(axis=1) < 1 - TAIL
        unfinished = unfinished[left]
        begin[unfinished] = width[unfinished]
        width[unfinished] *= 2
        if width.max() > table.shape[1]:
            table = np.hstack([table, np.zeros((rows.size, int(width.max()) - table.shape[1]))])
    return table


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def sorted_by(row, sizes):  # type: ignore[no-untyped-def]
    """Return the places of whole numbers from 0 on in rising order, equal ones as they come; ``sizes`` counts them."""
    ends, order = np.cumsum(sizes) - sizes, np.empty(row.size, dtype=np.int64)
    for i in range(row.size):
        order[ends[row[i]]] = i
        ends[row[i]] += 1
    return order


def count_scores(
    probabilities: Probabilities,
    row: np.ndarray,
    observed: np.ndarray,
    *,
    likely: np.ndarray | None = None,
    threads: int | None = None,
) -> CountScores:
    """Return the scores of customers whose forecast is that of their ``row``, at the observed counts.

    ``likely`` (customer) is how many counts may hold all but TAIL of a forecast; a guess costs time alone.
    """
    size, levels = row.size, len(LEVELS)
    scores = CountScores(
        none=np.empty(size),
        some=np.empty(size),
        below=np.empty(size),
        equal=np.empty(size),
        crps=np.empty(size),
        quantiles=np.empty((len(QUANTILES), size)),
        covered=np.empty((levels, size), dtype=bool),
        promised=np.empty((levels, size)),
        covariance=np.zeros((PLACES.size, PLACES.size)),
    )
    sizes = np.bincount(row)
    distinct = np.flatnonzero(sizes)
    bounds = np.append(0, np.cumsum(sizes[distinct]))
    order = sorted_by(row, sizes)

    def chunk(first: int) -> np.ndarray:
        last = min(first + ROWS, distinct.size)
        among = order[bounds[first] : bounds[last]]
        local = np.searchsorted(distinct[first:last], row[among])
        guess = None
        if likely is not None:
            guess = np.zeros(last - first, dtype=np.int64)
            np.maximum.at(guess, local, likely[among])
        return _score_chunk(scores, probabilities, distinct[first:last], local, among, observed[among], guess)

    # Of a sum that threads bring in whatever order, the last digits would differ.
    for covariance in in_order(chunk, range(0, distinct.size, ROWS), threads=threads):
        scores.covariance[...] += covariance
    return scores


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _quantile(cumulative, q):  # type: ignore[no-untyped-def]
    """Return the smallest n with F(n) >= q of ``cumulative``, P(Y < n), or how many counts there are."""
    n = 0
    while n < cumulative.size - 1 and cumulative[n + 1] < q - SLACK:
        n += 1
    return n


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _write(  # type: ignore[no-untyped-def]
    table, local, among, y, cumulative, none, some, below, equal, crps, quantiles, covered, promised
):
    """Write the scores of the customers ``among`` of rows ``local``, rising, with what happened, and ``cumulative``."""
    rows, width = table.shape
    reached, missing = np.empty(width + 1), np.empty(width + 1)
    at, low, high = np.empty(_AT.size), np.empty(_TAILS.size, np.int64), np.empty(_TAILS.size, np.int64)
    c = 0
    for row in range(rows):
        upto = reached[0] = missing[0] = cumulative[row, 0] = 0.0
        for n in range(width):
            upto += table[row, n]
            share = min(upto, 1.0)
            cumulative[row, n + 1] = share
            # CRPS = sum of F(n)² over n < y and of (1 - F(n))² over n >= y.
            reached[n + 1] = reached[n] + share * share
            missing[n + 1] = missing[n] + (1.0 - share) * (1.0 - share)
        own = cumulative[row]
        nobody = table[row, 0]
        # A difference that rounds to nothing is replaced by the first terms of the sum.
        anybody = 1.0 - nobody if nobody < 1.0 - SLACK else table[row, 1:].sum()
        for i in range(_AT.size):
            at[i] = _quantile(own, _AT[i])
        for i in range(_TAILS.size):
            low[i] = _quantile(own, _TAILS[i])
            high[i] = min(_quantile(own, 1.0 - _TAILS[i]), width - 1)
        while c < local.size and local[c] == row:
            one, real = among[c], y[c]
            none[one], some[one] = nobody, anybody
            below[one], equal[one] = own[real], table[row, real]
            crps[one] = reached[real] + missing[width] - missing[real]
            for i in range(_AT.size):
                quantiles[i, one] = at[i]
            for i in range(_TAILS.size):
                covered[i, one] = low[i] <= real <= high[i]
                promised[i, one] = own[high[i] + 1] - own[low[i]]
            c += 1


def _score_chunk(
    scores: CountScores,
    probabilities: Probabilities,
    rows: np.ndarray,
    local: np.ndarray,
    among: np.ndarray,
    y: np.ndarray,
    likely: np.ndarray | None,
) -> np.ndarray:
    """Write the scores of the customers ``among``, whose rows are ``rows[local]``; return their part of covariance."""
    largest = np.zeros(rows.size, dtype=np.int64)
    np.maximum.at(largest, local, y)
    table = probability_table(probabilities, rows, largest, likely)
    cumulative = np.empty((rows.size, table.shape[1] + 1))  # column n is P(Y < n)
    _write(
        table,
        local,
        among,
        y,
        cumulative,
        scores.none,
        scores.some,
        scores.below,
        scores.equal,
        scores.crps,
        scores.quantiles,
        scores.covered,
        scores.promised,
    )
    weight = np.bincount(local, minlength=rows.size) / scores.below.size**2
    covariance: np.ndarray = summed_covariance(cumulative, table, weight, PLACES)
    return covariance
