"""How the fuzzer runs: quick and the same each time, or long, in parts with seeds of their own; and its clock."""

import contextlib
import signal

import pytest
from hypothesis import HealthCheck, seed, settings

# No case may take longer, on a machine that others use as well.
LIMIT_SECONDS = 60


@pytest.fixture(scope="session")
def fuzz():
    """Return a runner of a ``given`` test: ``fuzz(check, cases, part)``; part None is the quick form, derandomised."""

    def run(check, cases, part=None):
        options = {
            "max_examples": cases,
            "deadline": None,
            "database": None,
            "suppress_health_check": list(HealthCheck),
        }
        if part is None:
            settings(**options, derandomize=True)(check)()
        else:
            seed(part)(settings(**options)(check))()

    return run


@pytest.fixture(scope="session")
def clock():
    """Return a context that raises TimeoutError after the limit: a hang is a failure with its place."""

    @contextlib.contextmanager
    def within(seconds=LIMIT_SECONDS):
        def stop(number, frame):
            raise TimeoutError(f"longer than {seconds} seconds")

        before = signal.signal(signal.SIGALRM, stop)
        signal.alarm(seconds)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    return within
