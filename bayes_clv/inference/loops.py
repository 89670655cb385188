"""The statements and loops of a function that is being written (``source``), and what its loops call.

A value is a text, with the stage from which it has its value: each stage has its statements first and its loops over
rows second. In a loop every number is a local variable; what is read and written goes through one array, ``room``, a
block of rows at a time.
"""

from dataclasses import dataclass, field

from numba import njit

# Rows that a loop takes at a time, so that what it reads and sums stays in the processor's first cache.
BLOCK = 64


@dataclass(frozen=True)
class Value:
    """A value of the written function, by what its text stands for.

    A number; an array; or, with ``loop``, the element of a vector in the loop over its rows. ``rows`` is the length of
    a vector, 0 for a number; a number with rows is a vector of equal elements. Stages are written one after the
    other, each with its statements first and its loops second; ``stage`` is the first in which the text has its value.
    """

    text: str
    stage: int = 0
    rows: int = 0
    kind: str = "number"
    cast: str = "{}"


@dataclass(frozen=True)
class Loop:
    """A loop over rows: names and what reads them; lines; names and what writes them; sums and what is summed."""

    reads: dict[str, tuple[str, str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    writes: dict[str, str] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)

    def written(self, rows: str, number: int) -> list[str]:
        """Return the source: reading, computing and writing are loops of their own in a block.

        What is computed reads and writes ``room`` alone, at distances that are known, and sums into BLOCK places, so
        that a compiler that may not reorder sums takes several rows at a time. It is done of all BLOCK rows, also
        where the last block has fewer.

        What is quick to compile: names of a loop's own, by its ``number``, since a name that is given twice is traced
        through the whole function; one call for all sums; and in calls no literal, for each of which what is called
        would be compiled again, but a number of a type.
        """
        first, size, i = f"first{number}", f"size{number}", f"i{number}"
        place = {name: n * BLOCK for n, name in enumerate([*self.reads, *self.writes, *self.sums])}
        at = {name: f"np.int64({start})" for name, start in place.items()}
        sums = f"room, {at[next(iter(self.sums))]}, np.int64({len(self.sums)})" if self.sums else ""
        found = [f"    clear({sums})"] if sums else []
        found += [
            f"    for {first} in range(0, {rows}, {BLOCK}):",
            f"        {size} = min({BLOCK}, {rows} - {first})",
        ]
        found += [
            f"        {call.format(at=at[name], size=size, first=first)}"
            for name, (call, _) in self.reads.items()
        ]
        found += [f"        for {i} in range({BLOCK}):"]
        found += [
            f"            {name} = {cast.format(f'room[{place[name]} + {i}]')}"
            for name, (_, cast) in self.reads.items()
        ]
        found += [f"            {line}" for line in self.lines]
        found += [f"            room[{place[name]} + {i}] = {name}" for name in self.writes]
        found += [
            f"            room[{place[name]} + {i}] += {text} if {i} < {size} else 0.0"
            for name, text in self.sums.items()
        ]
        found += [
            f"        {call.format(at=at[name], size=size, first=first)}"
            for name, call in self.writes.items()
        ]
        found += [f"    add_up({sums})"] if sums else []
        return found + [f"    {name} = room[{place[name]}]" for name in self.sums]

    @property
    def slots(self) -> int:
        """Return how many blocks of ``room`` the loop takes."""
        return len(self.reads) + len(self.writes) + len(self.sums)


# Not inlined: a loop of its own for each of the 120 calls of a density with effects is two thirds of its compiling (21
# to 8 s), where calls of 64 rows each make a row 10 % dearer, and nothing where a family has no effects.
_part = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)


@_part
def clear(room, place, sums):  # type: ignore[no-untyped-def]
    """Set the places of all sums to 0."""
    for i in range(sums * BLOCK):
        room[place + i] = 0.0


@_part
def take(room, place, size, array, first):  # type: ignore[no-untyped-def]
    """Read a block of an array; places beyond its end get its first."""
    for i in range(size):
        room[place + i] = array[first + i]
    for i in range(size, BLOCK):
        room[place + i] = array[first]


@_part
def gather(room, place, size, array, index, first):  # type: ignore[no-untyped-def]
    """Read what an index names."""
    for i in range(size):
        room[place + i] = array[index[first + i]]
    for i in range(size, BLOCK):
        room[place + i] = array[index[first]]


@_part
def store(room, place, size, array, first):  # type: ignore[no-untyped-def]
    """Write a block of an array."""
    for i in range(size):
        array[first + i] = room[place + i]


@_part
def scatter(room, place, size, array, index, first):  # type: ignore[no-untyped-def]
    """Add a block to what an index names."""
    for i in range(size):
        array[index[first + i]] += room[place + i]


@_part
def add_up(room, place, sums):  # type: ignore[no-untyped-def]
    """Write the total of each sum's BLOCK places to its first."""
    for k in range(sums):
        total = 0.0
        for i in range(BLOCK):
            total += room[place + k * BLOCK + i]
        room[place + k * BLOCK] = total


# By the names that a written function calls them.
PARTS = {each.__name__: each for each in (clear, take, gather, store, scatter, add_up)}


class Lines:
    """What is written so far, by stage; a text that is named twice is computed once."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int, int], Value] = {}
        self.straight: dict[int, list[str]] = {}
        self.loops: dict[tuple[int, int], Loop] = {}
        self.lengths: dict[int, str] = {}
        self.kept: dict[str, str] = {}
        self.count = 0

    def name(self) -> str:
        """Return a new name."""
        self.count += 1
        return f"t{self.count}"

    def statement(self, stage: int, text: str) -> None:
        """Write a plain statement of a stage."""
        self.straight.setdefault(stage, []).append(text)

    def loop(self, rows: int, stage: int) -> Loop:
        """Return the loop over so many rows in a stage."""
        return self.loops.setdefault((stage, rows), Loop())

    def read_in(self, rows: int, stage: int, call: str, cast: str = "{}") -> str:
        """Return the name in a loop of what a call reads."""
        key = (call, stage, rows)
        if key not in self.known:
            name = self.name()
            self.loop(rows, stage).reads[name] = (call, cast)
            self.known[key] = Value(name, stage, rows, "loop")
        return self.known[key].text

    def written_in(self, rows: int, stage: int, text: str, call: str) -> None:
        """Write a text's value by a call after a loop; it may be written more than once."""
        name = self.name()
        self.loop(rows, stage).lines.append(f"{name} = {text}")
        self.loop(rows, stage).writes[name] = call

    def named(self, text: str, stage: int, rows: int) -> Value:
        """Return the value of an expression: a number, or with rows one in a loop."""
        key = (text, stage, rows)
        if key not in self.known:
            name = self.name()
            if rows:
                self.loop(rows, stage).lines.append(f"{name} = {text}")
            else:
                self.statement(stage, f"{name} = {text}")
            self.known[key] = Value(name, stage, rows, "loop" if rows else "number")
        return self.known[key]

    def length(self, rows: int) -> str:
        """Return the text of a number of rows, by which the source is the same for another base."""
        return self.lengths.get(rows, str(rows))

    def keep(self, value: Value) -> str:
        """Return the array of a vector that a loop writes."""
        if value.text not in self.kept:
            name = self.kept[value.text] = self.name()
            self.statement(value.stage, f"{name} = np.empty({self.length(value.rows)})")
            self.written_in(
                value.rows, value.stage, value.text, f"store(room, {{at}}, {{size}}, {name}, {{first}})"
            )
        return self.kept[value.text]

    def element(self, value: Value, stage: int) -> str:
        """Return the text of a value in a loop of a stage."""
        if value.kind == "number" or (value.kind == "loop" and value.stage == stage):
            return value.text
        array = value.text if value.kind == "array" else self.keep(value)
        return self.read_in(
            value.rows, stage, f"take(room, {{at}}, {{size}}, {array}, {{first}})", value.cast
        )

    def text(self, last: int) -> list[str]:
        """Return all lines up to a stage."""
        slots = max([1, *(each.slots for each in self.loops.values())])
        found = [f"    room = np.empty({BLOCK * slots})"]
        for stage in range(max([last, *self.straight, *(stage for stage, _ in self.loops)]) + 1):
            found += [f"    {text}" for text in self.straight.get(stage, [])]
            for number, ((own, rows), loop) in enumerate(self.loops.items()):
                if own == stage:
                    found += loop.written(self.length(rows), number)
        return found
