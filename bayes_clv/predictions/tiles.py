"""The one pool of threads, and draws within a bound of memory."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bayes_clv.predictions.histories import Histories
from bayes_clv.predictions.parameters import PROFILES, Parameters
from bayes_clv.schema import InputError

# Customers per block. Fixed: totals of money are sums of block sums, so its size fixes the rounding.
BLOCK = 256


# Distinct histories × draws per tile of states: 512 kB an array keeps a tile in the L2 cache.
TILE = 65_536


Progress = Callable[[int, int], None]


def available_threads(threads: int | None) -> int:
    """Return the number of threads: as asked, else the processors this process may use."""
    if threads is not None:
        return max(1, int(threads))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def owned(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a writeable C array of this shape, itself where it is one: Numba compiles a read-only one anew."""
    whole = array.shape == shape and array.dtype == np.float64
    if whole and array.flags.c_contiguous and array.flags.writeable:
        return array
    return np.array(np.broadcast_to(array, shape), dtype=np.float64, order="C")


def in_order[Result](block: Callable[[int], Result], customers: int, workers: int) -> Generator[Result]:
    """Yield block(start) for each block of customers, in their order; close it to cancel the rest."""
    starts = range(0, customers, BLOCK)
    if workers == 1:
        yield from map(block, starts)
        return
    with ThreadPoolExecutor(max_workers=workers) as executor:
        try:
            yield from executor.map(block, starts)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


MAX_MEMORY = 2e9


EXPECTED_DRAWS = 500


# Of history columns (row, 1) and parameters (draw,) or (row, draw): arrays that broadcast to (row, draw).
PerDraw = Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], tuple[np.ndarray, ...]]


Streamed = Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], Iterable[np.ndarray]]


def refuse_too_large(values: int, max_memory: float, *, what: str, instead: str) -> None:
    """Refuse ``values`` numbers of 8 bytes beyond ``max_memory`` bytes, naming the size."""
    if 8 * values > max_memory:
        raise InputError(
            f"{what} need {8 * values / 1e9:.3g} GB, more than max_memory = {max_memory / 1e9:.3g} GB. "
            f"{instead}"
        )


def tiles(
    histories: Histories, posterior: Parameters, quantity: PerDraw, *, threads: int | None = None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the quantity's arrays of one tile of distinct rows after the other, in their order.

    A tile has about TILE rows × draws, so that memory does not grow with the customers. The quantity is given the
    histories' columns but for the profile, whose parameters it is given instead.
    """
    columns = {name: column for name, column in histories.columns.items() if name not in PROFILES}
    step = max(1, TILE // posterior.size)

    def tile(start: int) -> tuple[np.ndarray, ...]:
        rows = slice(start, start + step)
        history = {name: column[rows, None] for name, column in columns.items()}
        return quantity(history, posterior.at(histories.columns, rows))

    starts = range(0, next(iter(columns.values())).size, step)
    workers = min(available_threads(threads), len(starts))
    # The first alone: two threads that compile the same function at once wait for each other.
    yield tile(0)
    with ThreadPoolExecutor(max_workers=workers) as executor:
        yield from executor.map(tile, starts[1:]) if workers > 1 else map(tile, starts[1:])


def rows_of(history: dict[str, np.ndarray]) -> int:
    """Return how many rows a tile's history has."""
    return len(next(iter(history.values())))


def over_tiles(
    histories: Histories, posterior: Parameters, quantity: PerDraw, *, threads: int | None = None
) -> list[np.ndarray]:
    """Return the quantity's arrays, whose first axis is the distinct rows, computed a tile of rows at a time."""
    parts = tiles(histories, posterior, quantity, threads=threads)
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def mean_over_draws(
    histories: Histories, posterior: Parameters, quantity: Streamed, *, threads: int | None = None
) -> list[np.ndarray]:
    """Return the means over draws of each of the quantity's arrays, per distinct row, streamed in tiles.

    A quantity that yields its arrays one by one needs the memory of one.
    """

    def means(history: dict[str, np.ndarray], drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        shape = (rows_of(history), posterior.size)
        return tuple(np.broadcast_to(x, shape).mean(axis=1) for x in quantity(history, drawn))

    return over_tiles(histories, posterior, means, threads=threads)


def closed_form_draws(
    posterior: Parameters, draws: int | None = None, most: int | None = EXPECTED_DRAWS
) -> Parameters:
    """Return the draws that closed forms are computed of: ``draws``, evenly spaced, where they are asked for.

    Else ``most`` (None: all), and no more than the family's own ``closed_form_draws`` where its closed forms are dear:
    without that a question about a base of ordinary size takes hours.
    """
    if draws is None:
        limits = (most, posterior.forecast.closed_form_draws)
        draws = min([limit for limit in limits if limit is not None], default=posterior.size)
    elif draws < 1:
        raise InputError(f"draws={draws} must be at least 1.")
    return posterior.thin(draws)


def thinned_reasons(posterior: Parameters, used: Parameters, draws: int | None) -> list[str]:
    """Return the sentence which says that fewer draws were used than there are, where nobody asked for fewer."""
    if draws is not None or used.size == posterior.size:
        return []
    return [
        f"Computed of {used.size:,} of {posterior.size:,} posterior draws, because the closed forms of "
        f"{posterior.family.words.title} are slow; draws={posterior.size} uses them all."
    ]
