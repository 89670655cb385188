"""What was compiled from files that have changed since is not used again."""

import os
import subprocess
import sys

import pytest

from bayes_clv.distributions.caches import STAMP, forget_changed

CALLER = """
import numba
from callee import called
@numba.njit(cache=True)
def caller():
    return called()
"""
CALLEE = "import numba\n@numba.njit(cache=True)\ndef called():\n    return {}\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "callee.py").write_text(CALLEE.format(1))
    return tmp_path


def compiled(package):
    """Stand for what Numba leaves."""
    caches = package / "__pycache__"
    caches.mkdir(exist_ok=True)
    (caches / "caller.caller-4.py313.nbi").write_bytes(b"")
    (caches / "caller.caller-4.py313.1.nbc").write_bytes(b"")
    (caches / "caller.cpython-313.pyc").write_bytes(b"")
    return caches


def test_they_are_kept_until_any_file_changes(package):
    assert forget_changed(package) == []
    caches = compiled(package)
    assert forget_changed(package) == []
    (package / "callee.py").write_text(CALLEE.format(2))
    assert len(forget_changed(package)) == 2
    assert {path.name for path in caches.iterdir()} == {STAMP, "caller.cpython-313.pyc"}
    assert forget_changed(package) == []


def test_those_of_unknown_files_are_deleted(package):
    compiled(package)
    assert len(forget_changed(package)) == 2


def test_a_folder_of_ones_own_is_found_as_numba_finds_it(package, monkeypatch, tmp_path_factory):
    from numba.core.caching import UserProvidedCacheLocator

    asked = tmp_path_factory.mktemp("asked")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(asked))
    forget_changed(package)
    name = UserProvidedCacheLocator.get_suitable_cache_subpath(str(package / "caller.py"))
    assert [path.relative_to(asked).as_posix() for path in asked.rglob("*") if path.is_file()] == [
        f"{name}/{STAMP}"
    ]


@pytest.mark.full
def test_numba_alone_would_go_on_with_what_was(package):
    def answer():
        told = "import caller; print(caller.caller())"
        environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
        return int(
            subprocess.run(
                [sys.executable, "-c", told],
                cwd=package,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )

    forget_changed(package)
    assert answer() == 1
    (package / "callee.py").write_text(CALLEE.format(2))
    assert answer() == 1
    forget_changed(package)
    assert answer() == 2
