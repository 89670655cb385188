"""Who is among the top share of the base, draw by draw, without keeping the draws.

A first pass over the simulated futures counts, for each draw, how many customers fall into each of BINS
logarithmic bins; a second pass over the same futures (they are random streams of their own, so the same)
knows each draw's boundary bin and counts. The histogram is (draw, bin) however many customers there are.

**Bins.** BINS_PER_OCTAVE = 64 bins to each doubling, so that a bin is 1.1 % wide, over 2^-20 to 2^20 times a
reference (a typical spend, or one purchase); what is beyond falls into the outermost bins. Bin 0 is no
purchase. Counts of up to 91 purchases have a bin each.

**Ties.** Customers of the boundary bin share the places that are left equally, as exact ties would. The
probabilities of all customers therefore add up to the number of places. In a draw with fewer buyers than
places, the customers without purchases share the rest.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

BINS_PER_OCTAVE = 64
OCTAVES = 40
BINS = BINS_PER_OCTAVE * OCTAVES + 1
# Bytes of histograms at a time: with many draws, fewer threads count.
HISTOGRAM_MEMORY = 5e8


@dataclass(frozen=True)
class Cutoff:
    """Per draw: customers above ``bin`` are in, those in it with probability ``share``."""

    bin: np.ndarray
    share: np.ndarray


@njit(nogil=True, cache=True, inline="always")
def bin_of(amount, log2_reference):  # type: ignore[no-untyped-def]
    """Return the bin, 1 to BINS - 1, of a positive amount."""
    position = (math.log2(amount) - log2_reference + OCTAVES // 2) * BINS_PER_OCTAVE + 1.0
    # The slack puts whole purchases, whose logarithm may round down, at the beginning of their own bin.
    return np.int64(min(max(math.floor(position + 1e-9), 1.0), BINS - 1.0))


def places(share: float, customers: int) -> int:
    """Return how many customers the top share is: the smallest number that is at least the share."""
    return max(1, math.ceil(share * customers - 1e-9))


def cutoff(histogram: np.ndarray, customers: int, wanted: int) -> Cutoff:
    """Return the boundary of the top ``wanted`` customers from a (draw, bin) histogram of those who buy."""
    draws = histogram.shape[0]
    result = Cutoff(np.zeros(draws, dtype=np.int64), np.zeros(draws))
    for s in range(draws):
        counts = histogram[s].astype(np.int64)
        counts[0] = customers - counts.sum()
        above = counts[::-1].cumsum()[::-1]  # customers in this bin or above
        boundary = int(np.flatnonzero(above >= wanted)[-1])
        result.bin[s] = boundary
        result.share[s] = (wanted - (above[boundary] - counts[boundary])) / counts[boundary]
    return result
