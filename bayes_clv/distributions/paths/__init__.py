"""One future of each customer in each draw: when it buys, and when it leaves.

A customer's future is drawn once, in four steps of their own: *paths* (here: alive, its own numbers, when it leaves,
when it buys), *clock* (from the time in which the law is stated to that of the calendar), *money* (what each purchase
brings), and the summaries, which are above this folder. A law of leaving is a ``Paths``, a value with two compiled
functions; nothing outside this folder asks which one it is.

``begin`` decides in every draw of a customer who is alive, draws the customer's own numbers as far as they are asked
for or needed, and lists those who will buy within the horizon, with the time of their next purchase. ``walk`` then
takes all of them one purchase further at a time, until the horizon or their leaving, and writes the purchases into a
batch; it stops where the batch is full and goes on when called again, so that memory does not grow with the purchases.

**Why it is exact, and what bounds its speed.** Most customers buy nothing in most draws: P(alive and buys within the
horizon) is computed once per history and draw, and a future without purchases costs one hash and one comparison. The
same uniform number, given that the customer is alive, is the first wait by inversion, with the rate integrated out;
given that wait the rate is a Gamma again. So the rate of those who buy, or of all where it is asked for, belongs to
their future, and is the same number whoever asks. All random numbers come from streams of the customer's key and the
draw, one for each purpose (``streams``, ``variates``): neither tiles, threads, company, order, nor what else is asked
for change a number, and a shorter horizon is the beginning of a longer one.

Many customers' draws are taken a step at a time in loops that the compiler turns into vectors. Rejected: one future
after the other to its end (each number waits for the one before), and integrating the rate out of the whole path
(then no own rate belongs to it).

What a first run compiles has no entry for callers in C (``no_cfunc_wrapper``), which Numba would make of every function
and which is a fifth of the compiling.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import coin, discrete, drawn, drift, lifetime, sleep
from bayes_clv.distributions.paths.clock import Clock, same, turn, turn_own
from bayes_clv.distributions.paths.drift import Drift as Drift
from bayes_clv.distributions.paths.group_clock import GroupClock
from bayes_clv.distributions.paths.money import Paid, Purse, open_purses, pay
from bayes_clv.distributions.paths.own_clock import OwnClock


class Who(NamedTuple):
    """Customers of a tile: ``row`` (customer) of the state each has, sorted, and ``keys`` (customer, 2) of streams.

    With ``first_order`` every customer orders at time 0 in every draw, whatever follows; that order tosses no coin.
    """

    row: Any
    keys: Any
    first_order: bool = False


UNCHANGED = np.empty((0, 0))


class State(NamedTuple):
    """What a law reads of each history and draw, (row, draw); ``silence`` is the time since the last purchase.

    ``silence`` and ``horizon`` are (row, 1), or (row, draw) where they differ between draws. A number that a law does
    not read has no rows. The numbers may come from anywhere: a scenario changes them, draw by draw, before ``begin``
    (``Paths.change``). ``further`` is what one law alone reads, a tuple of its own. ``pace`` multiplies the purchase
    rate from now on and ``stay`` the time until a customer leaves, of a law that cannot say it by its other numbers.
    """

    alive: Any
    shape: Any
    scale: Any
    a: Any
    b: Any
    phases: Any
    z: Any
    silence: Any
    horizon: Any
    further: Any = ()
    pace: Any = UNCHANGED
    stay: Any = UNCHANGED


class Own(NamedTuple):
    """A customer's own numbers, (customer, draw) where asked for, else (0, draw).

    ``alive`` is 1 or 0 now; ``rate`` of purchases, and ``leaving``, the dropout probability or rate; ``regularity`` the
    shape of the Gamma of its waits (no number of opportunities); ``left`` when it leaves, as a time from now: not above
    0 of one who has left, infinite where the law only tells it by a purchase within the horizon and there is none;
    ``first`` the next purchase, however late, infinite of one who never buys again; ``asleep`` is 1 or 0 now, of a
    law by which customers sleep.
    """

    alive: Any
    rate: Any
    leaving: Any
    regularity: Any
    left: Any
    first: Any
    asleep: Any


class Buyers(NamedTuple):
    """Those who buy, a customer in a draw each: sorted by customer (``begin`` (customer + 1)), then draw.

    ``time`` of the next purchase, ``last`` after which there is none, ``speed`` and ``wait`` rate and shape of the
    Gamma of the waits, ``a`` and ``both`` the shape of leaving and the two shapes together where a coin is
    tossed, ``chance`` what had to be drawn of it, ``count`` purchases so far; ``word``, ``step`` their stream,
    ``stream`` and ``coins`` where those of waits and tosses are. ``active`` lists those with a purchase to come.
    """

    begin: Any
    customer: Any
    draw: Any
    word: Any
    step: Any
    stream: Any
    coins: Any
    time: Any
    last: Any
    speed: Any
    wait: Any
    a: Any
    both: Any
    chance: Any
    count: Any
    active: Any


class Batch(NamedTuple):
    """Purchases: whose (place in ``Buyers``), the how-many-th from 1 (0: a first order), when, and what it is worth."""

    buyer: Any
    number: Any
    time: Any
    amount: Any


@dataclass(frozen=True)
class Paths:
    """A law of leaving.

    Attributes
    ----------
    name : str
        What the law says.
    needs : tuple of str
        The numbers of ``State`` that it reads.
    begin, walk : callable
        ``begin(state, who, own, buyers) -> buyers found, active ones``, and ``walk(state, who, own, buyers, batch,
        active, number) -> purchases, active ones, number``; compiled.
    bend : callable
        The shortest time on which expected purchases bend, of a ``State``.
    change : callable, or None
        ``(numbers, pace, leaving)``: the numbers by which the purchase rate is ``pace`` times, and the dropout (its
        mean, where it is a probability, which stays below 1) ``leaving`` times what it was, from now on; whether a
        customer is here stays as it is. None of a law that cannot be changed so.
    lasting : bool
        Whether customers leave at a time of their own, which goes by no clock of their purchases.
    """

    name: str
    needs: tuple[str, ...]
    begin: Callable[..., Any]
    walk: Callable[..., Any]
    bend: Callable[[State], Array]
    change: Callable[[Mapping[str, Any], Array, Array], dict[str, Any]] | None = None
    lasting: bool = False


COIN = Paths(
    "a coin after each purchase",
    ("alive", "shape", "scale", "a", "b"),
    coin.begin,
    coin.walk,
    lambda state: state.scale,
    coin.change,
)
PHASES = Paths(
    "a coin after each purchase, a purchase every k phases",
    ("alive", "shape", "scale", "a", "b", "phases", "z"),
    coin.begin,
    coin.walk,
    lambda state: state.scale / 2,
    coin.change,
)
LIFETIME = Paths(
    "a lifetime of its own",
    ("shape", "scale", "a", "b"),
    lifetime.begin,
    lifetime.walk,
    lambda state: state.b,
    lifetime.change,
    lasting=True,
)
DRAWN = Paths(
    "own numbers drawn by the family",
    ("alive", "shape", "scale", "a", "b"),
    drawn.begin,
    lifetime.walk,
    lambda state: state.b,
    drawn.change,
    lasting=True,
)
DRIFT = Paths(
    "a coin after each purchase, at a rate that drifts",
    ("shape", "scale", "a", "b", "further"),
    drift.begin,
    drift.walk,
    lambda state: state.scale,
    drift.change,
)
DRIFT_LIFETIME = Paths(
    "a lifetime of its own, at a rate that drifts",
    DRIFT.needs,
    drift.begin,
    drift.walk,
    lambda state: state.b,
    drift.change,
    lasting=True,
)
SLEEP = Paths(
    "a coin after each purchase that sends to sleep",
    ("shape", "scale", "a", "b", "further"),
    sleep.begin,
    sleep.walk,
    lambda state: np.minimum(state.scale, 1 / state.further.nu),
    lifetime.change,
)
OPPORTUNITIES = Paths(
    "a purchase or none at each opportunity",
    ("alive", "shape", "scale", "a", "b"),
    discrete.begin,
    discrete.walk,
    lambda state: np.ones(()),
)


@dataclass(frozen=True)
class Room:
    """Memory for the futures of one tile, used again for the next: make one for each thread."""

    buyers: Buyers
    batch: Batch
    paid: Paid


def room(customers: int, draws: int) -> Room:
    """Return room for so many customers and draws: some 170 bytes a future, touched where there are purchases."""
    most = customers * draws

    def empty(dtype: type, count: int) -> list[np.ndarray]:
        return [np.empty(most, dtype=dtype) for _ in range(count)]

    begin = np.zeros(customers + 1, dtype=np.int64)
    buyers = Buyers(
        begin,
        *empty(np.uint32, 2),
        *empty(np.uint64, 4),
        *empty(np.float64, 7),
        *empty(np.int64, 1),
        *empty(np.uint32, 1),
    )
    batch = Batch(*empty(np.uint32, 2), *empty(np.float64, 2))
    return Room(buyers, batch, Paid(*empty(np.uint64, 1), *empty(np.float64, 5)))


def nothing_asked(draws: int) -> Own:
    """Return ``Own`` of which nothing is asked for."""
    return Own(*(np.empty((0, draws)) for _ in Own._fields))


@njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
def _first_orders(buyers, found, batch):  # type: ignore[no-untyped-def]
    for n in range(found):
        batch.buyer[n] = n
        batch.number[n] = 0
        batch.time[n] = 0.0


def futures(
    law: Paths,
    state: State,
    who: Who,
    own: Own,
    room: Room,
    purse: Purse | None = None,
    clock: Clock | OwnClock | GroupClock | None = None,
) -> Generator[int]:
    """Yield the futures of a tile of customers, a batch of purchases after the other: how many ``room.batch`` holds.

    Parameters
    ----------
    law
        The family's.
    state, who, own
        What the law reads, whose futures, and where to write what is asked for of their own numbers.
    room
        At least one place for every customer and draw. After the last batch ``buyers`` and ``paid`` are complete: the
        buyers of customer i are ``buyers.begin[i]`` up to ``buyers.begin[i + 1]``.
    purse
        How purchases are paid; without one there is no money.
    clock
        From the law's time to the calendar's, in which purchases are discounted and given: one for all, each group's,
        or each row's.
    """
    if who.row.size * state.shape.shape[1] > room.batch.buyer.size:
        raise ValueError("There is less room than customers times draws.")
    buyers, batch, paid = room.buyers, room.batch, room.paid
    clock = same(state.shape.shape[1]) if clock is None else clock
    found, active = law.begin(state, who, own, buyers)
    if purse is not None:
        open_purses(purse, buyers, found, paid)
    number = 0
    if who.first_order:
        _first_orders(buyers, found, batch)
        if purse is not None:
            pay(purse, buyers, batch, found, paid)
        yield found
    while active > 0:
        filled, active, number = law.walk(state, who, own, buyers, batch, active, number)
        if isinstance(clock, Clock):
            turn(clock, buyers, who.row, batch, filled)
        else:
            clock.turn(buyers, who.row, batch, filled)
        if purse is not None:
            pay(purse, buyers, batch, filled, paid)
        yield filled
    if isinstance(clock, Clock):
        turn_own(clock, who.row, own)
    else:
        clock.turn_own(who.row, own)
