"""How a check of the fuzzer is run: cases drawn from a seed, or always the same, and a clock."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, seed, settings

# No case may take longer, on a machine that others use as well.
LIMIT_SECONDS = 60


def fuzz(check: Any, cases: int, part: int | None = None) -> None:
    """Run a ``given`` test: ``fuzz(check, cases, part)``; part None is the quick form, derandomised."""
    options: dict[str, Any] = {
        "max_examples": cases,
        "deadline": None,
        "database": None,
        "suppress_health_check": list(HealthCheck),
    }
    if part is None:
        settings(**options, derandomize=True)(check)()
    else:
        seed(part)(settings(**options)(check))()


@contextlib.contextmanager
def clock(seconds: int = LIMIT_SECONDS) -> Iterator[None]:
    """Raise TimeoutError after the limit: a hang is a failure with its place."""

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"longer than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def counted(check: Any, counts: dict[str, int], kind: str) -> Any:
    """Return a ``given`` test that adds its cases to ``counts``."""
    inner: Callable[..., None] = check.hypothesis.inner_test

    def case(*given: Any, **named: Any) -> None:
        counts[kind] += 1
        inner(*given, **named)

    check.hypothesis.inner_test = case
    return check
