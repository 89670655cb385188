"""The stages of a run: their names as they begin, and how long each took."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Stages:
    """The stages as they end: name and seconds, handed to ``tell`` one by one."""

    tell: Callable[[str, float | None], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body as one stage."""
        self.tell(name, None)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.tell(name, self.seconds[name])
