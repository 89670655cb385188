"""Room for one customer's draws, and the place of a future in ``Buyers``: what the laws share."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.streams import GOLDEN, mix, unit


class Work(NamedTuple):
    """What is known of one customer in each draw; a law writes what it needs.

    ``which`` draws need a rate, ``needed`` of them, and what is known of those has their places: ``shape``, ``scale``,
    the first ``wait``, when it leaves from now (``life``), ``speed`` of the waits. Of every draw: ``word`` its stream,
    ``u`` uniform, ``chance`` to be here and ``buying`` within the horizon; ``since``, ``power``, ``mass`` and ``at``
    are the law's own.
    """

    which: Any
    word: Any
    u: Any
    since: Any
    chance: Any
    buying: Any
    power: Any
    mass: Any
    at: Any
    shape: Any
    scale: Any
    wait: Any
    life: Any
    speed: Any
    states: Any
    steps: Any
    room: Any


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def new_work(draws):  # type: ignore[no-untyped-def]
    """Return room for so many draws."""
    # One place more than draws: the last is written and not kept.
    return Work(
        np.empty(draws + 1, dtype=np.uint32),
        np.empty(draws, dtype=np.uint64),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws),
        np.empty(draws, dtype=np.uint64),
        np.empty(draws, dtype=np.uint64),
        np.empty((2, draws)),
    )


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def hashed(key, work):  # type: ignore[no-untyped-def]
    """Write each draw's stream and its first uniform number."""
    for s in range(work.u.size):
        work.word[s] = mix(key + np.uint64(s) * GOLDEN)
        work.u[s] = unit(work.word[s])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def enter(i, s, step, word, last, buyers, n):  # type: ignore[no-untyped-def]
    """Write whose future stands in a place of the buyers, before its first purchase."""
    buyers.customer[n], buyers.draw[n] = i, s
    buyers.word[n], buyers.step[n], buyers.stream[n] = word, step, word
    buyers.last[n] = last
    buyers.count[n] = 0
