"""What ``import bayes_clv`` offers, and what it does not wait for."""

import inspect
import re
import subprocess
import sys

import pytest

import bayes_clv as clv

SLOW = (
    "pymc",
    "pytensor",
    "arviz",
    "ibis",
    "duckdb",
    "matplotlib",
    "pandas",
    "xarray",
    "nutpie",
    "numba",
    "scipy",
)


def imported(program):
    """Return which slow packages a fresh process has imported after a program."""
    program += f"\nprint(sorted(set({SLOW!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


FOLDERS = (
    "customers",
    "families",
    "inference",
    "perceived",
    "predictions",
    "scoring",
    "segments",
    "targeting",
    "valuation",
    "views",
)


@pytest.mark.parametrize("name", clv.__all__)
def test_names_resolve_and_are_explained(name):
    value = getattr(clv, name)
    doc = inspect.getdoc(value)
    assert doc
    if inspect.isclass(value) or inspect.ismodule(value):
        return
    assert callable(value)
    examples = doc.partition("\nExamples\n--------\n")[2]
    assert re.search(rf"^>>> .*\b{name}\(", examples, re.MULTILINE), f"no example calls {name}"


def test_names_are_listed_once_and_sorted():
    assert list(clv.__all__) == sorted(set(clv.__all__))
    assert set(clv.__all__) <= set(dir(clv))
    assert clv.__version__


def test_names_are_few():
    assert set(FOLDERS) <= set(clv.__all__)
    assert len(set(clv.__all__) - set(FOLDERS)) <= 27


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_lists_its_names_and_no_others(name):
    """What completion offers, before and after the names are used, is what the stub tells editors."""
    folder = getattr(clv, name)
    assert dir(folder) == sorted(folder.__all__)
    for each in folder.__all__:
        assert inspect.getdoc(getattr(folder, each)) or each in ("FAMILIES", "Columns", "Params", "Kind")
    assert dir(folder) == sorted(folder.__all__)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="No bayes_clv attribute predcit"):
        clv.predcit  # noqa: B018


def test_import_is_quick():
    assert imported("import bayes_clv") == ["[]"]


def test_help_waits_for_nothing():
    program = "from typer.testing import CliRunner\nfrom bayes_clv.cli import app\n"
    program += "for words in ([], ['run'], ['demo'], ['target'], ['segment'], ['alarms'], ['backtest']):\n"
    program += "    words = [*words, '--help']\n"
    program += "    assert CliRunner().invoke(app, words).exit_code == 0"
    assert imported(program) == ["[]"]
