"""The simulation's functions are compiled beside the fits, and nothing depends on that."""

import time
from types import SimpleNamespace

import pytest

from bayes_clv.families import families
from bayes_clv.workflows import compiling


# A law that no other test has simulated by then is compiled for half a minute.
@pytest.mark.parametrize(
    "name",
    [
        each if each == "bg_nbd" else pytest.param(each, marks=pytest.mark.full)
        for each in families("purchases")
    ],
)
def test_every_family_can_be_compiled_for(name):
    compiling.compile_simulation(name, "gamma_gamma")
    assert compiling.is_compiled(name)


def test_a_law_without_a_file_in_the_cache_is_not_compiled(monkeypatch, tmp_path):
    def begin() -> None:
        """A law's."""

    begin.stats = SimpleNamespace(cache_path=tmp_path)
    law = SimpleNamespace(paths=SimpleNamespace(begin=begin))
    monkeypatch.setattr(compiling, "find_family", lambda name: law)
    monkeypatch.setattr(compiling, "need", lambda record, kind: record)
    assert not compiling.is_compiled("another")
    (tmp_path / "test_compiling.begin-1.py313.nbi").touch()
    assert compiling.is_compiled("another")


def beside(monkeypatch, code: str) -> float:
    """Return the seconds of a body that waits for a process of this code, none of which is compiled."""
    monkeypatch.setattr(compiling, "is_compiled", lambda name: False)
    monkeypatch.setattr(compiling, "_CODE", code)
    start = time.perf_counter()
    with compiling.compiling_beside("bg_nbd", "gamma_gamma") as wait:
        wait()
    return time.perf_counter() - start


def test_the_process_is_given_the_families_and_waited_for(monkeypatch, tmp_path):
    done = tmp_path / "done"
    beside(monkeypatch, f"import sys; open({str(done)!r}, 'w').write(' '.join(sys.argv[1:]))")
    assert done.read_text() == "bg_nbd gamma_gamma"


def test_a_process_that_fails_is_not_heard_of(monkeypatch, capfd):
    beside(monkeypatch, "raise RuntimeError('no')")
    assert capfd.readouterr() == ("", "")


def test_a_process_that_is_late_is_ended(monkeypatch):
    monkeypatch.setattr(compiling, "PATIENCE", 0.2)
    assert beside(monkeypatch, "import time; time.sleep(300)") < 100
