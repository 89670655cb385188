"""The fuzzer's runner and clock, as the tests get them."""

import pytest

from tests.fuzz import running


@pytest.fixture(scope="session")
def fuzz():
    """Return a runner of a ``given`` test."""
    return running.fuzz


@pytest.fixture(scope="session")
def clock():
    """Return a context that raises TimeoutError after the limit."""
    return running.clock
