"""The simulation's functions are compiled beside the fits, and nothing depends on that."""

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


@pytest.mark.parametrize("compiled", [True, False])
def test_what_the_cache_has_is_not_compiled_again(monkeypatch, compiled):
    done = []
    monkeypatch.setattr(compiling, "is_compiled", lambda name: compiled)
    monkeypatch.setattr(compiling, "compile_simulation", lambda *names: done.append(names))
    compiling.compile_missing("bg_nbd", "gamma_gamma")
    assert done == ([] if compiled else [("bg_nbd", "gamma_gamma")])
