"""In these folders ``cdnow`` and ``spend`` are the papers' estimates, not the customers."""

import pytest


@pytest.fixture(scope="session")
def cdnow() -> dict[str, float]:
    return {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}


@pytest.fixture(scope="session")
def spend() -> dict[str, float]:
    return {"p": 6.25, "q": 3.74, "v": 15.44}
