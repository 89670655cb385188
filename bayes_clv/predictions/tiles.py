"""The one pool of threads, and draws within a bound of memory."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

import numpy as np

from bayes_clv.language import say
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


def in_order[Result](
    block: Callable[[int], Result],
    starts: range,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    initializer: Callable[[], object] | None = None,
    least: Callable[[], object] | None = None,
) -> Generator[Result]:
    """Yield ``block(start)`` of each start, in their order, computed by threads; what is not read does not pile up.

    Parameters
    ----------
    block
        What to compute; it may run in any thread.
    starts
        ``range(0, count, step)``: where the blocks begin.
    threads
        Threads; by default the processors this process may use.
    progress
        Called with (done, count) after each block.
    initializer
        What a thread does before its first block. The first block is computed by the caller's own thread, or ``least``.
    least
        The least that calls what a block calls; without it that is the first block.
    """
    # Something alone: two threads that compile the same function at once wait for each other, or warn.
    alone = 1 if least is None else 0
    workers = min(available_threads(threads), len(starts) - alone)
    if workers <= 1:
        alone = len(starts)
    elif least is not None:
        least()
    for start in starts[:alone]:
        yield block(start)
        _report(progress, start, starts)
    if alone == len(starts):
        return
    ahead: deque[tuple[int, Future[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=workers, initializer=initializer) as executor:
        try:
            for start in starts[alone:]:
                # In the caller's context: its language, and what its NumPy ignores.
                ahead.append((start, executor.submit(copy_context().run, block, start)))
                if len(ahead) > 2 * workers:
                    first, result = ahead.popleft()
                    yield result.result()
                    _report(progress, first, starts)
            while ahead:
                first, result = ahead.popleft()
                yield result.result()
                _report(progress, first, starts)
        finally:
            for _, result in ahead:
                result.cancel()


def _report(progress: Progress | None, start: int, starts: range) -> None:
    if progress is not None:
        progress(min(start + starts.step, starts.stop), starts.stop)


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
    yield from in_order(tile, starts, threads=threads)


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
        say(
            "Computed of {used:,} of {all:,} posterior draws, because the closed forms of {family} are slow; "
            "draws={draws} uses them all.",
            used=used.size,
            all=posterior.size,
            family=posterior.family.words.title,
            draws=posterior.size,
        )
    ]
