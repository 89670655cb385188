"""The compiled part of ``segment``: which cell of a rule each (customer, draw) is in, and how many each segment has.

One pass an axis and one for the counts. NumPy, a comparison at a time and a pass a segment, took 5 ns an axis and
threshold and 3 ns a segment: half a microsecond for the 125 segments of RFM.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def add_axis(amount, thresholds, cells, flat):  # type: ignore[no-untyped-def]
    """Replace ``flat`` (customer, draw) by flat × cells + the cell on this axis; return the first row with NaN, or -1.

    ``amount`` (customer, 1 or draw); ``thresholds`` (cut, 1 or draw), rising. Cells are those of ``rules.Axis.place``:
    even an interval, odd a threshold itself.
    """
    many, moving = amount.shape[1] > 1, thresholds.shape[1] > 1
    draws = flat.shape[1]
    places = np.zeros(draws, dtype=np.int32)
    width = draws if many or moving else 1
    for i in range(flat.shape[0]):
        # Sums of comparisons and no jumps: loops that the compiler turns into vectors.
        missing = 0
        for s in range(amount.shape[1]):
            missing += np.isnan(amount[i, s])
        if missing > 0:
            return i
        places[:width] = 0
        for j in range(thresholds.shape[0]):
            if many and moving:
                for s in range(draws):
                    places[s] += np.int32(amount[i, s] >= thresholds[j, s]) + np.int32(
                        amount[i, s] > thresholds[j, s]
                    )
            else:
                for s in range(width):
                    each, threshold = amount[i, s if many else 0], thresholds[j, s if moving else 0]
                    places[s] += np.int32(each >= threshold) + np.int32(each > threshold)
        for s in range(draws):
            flat[i, s] = flat[i, s] * cells + places[s if width > 1 else 0]
    return -1


@njit(nogil=True, cache=True, error_model="numpy")
def count_segments(flat, table, membership, members):  # type: ignore[no-untyped-def]
    """Replace cells by segments, and count them in ``membership`` (customer, segment) and ``members`` (draw, segment).

    A cell that no segment takes, -1, is one that the quantities' ranges rule out; it is counted nowhere.
    """
    for i in range(flat.shape[0]):
        for s in range(flat.shape[1]):
            segment = table[flat[i, s]]
            flat[i, s] = segment
            if segment < 0:
                continue
            membership[i, segment] += 1
            members[s, segment] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def add_up(found, amount, sums):  # type: ignore[no-untyped-def]
    """Add each amount, (customer, 1 or draw), to the sum of its segment, (draw, segment)."""
    many = amount.shape[1] > 1
    for i in range(found.shape[0]):
        for s in range(found.shape[1]):
            if found[i, s] >= 0:
                sums[s, found[i, s]] += amount[i, s if many else 0]
