"""What a start keeps for the next one, and what it leaves behind."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.workflows.unfinished import ASIDE, digest, unfinished_beside


def stop(out, key, *names, note=None, error=RuntimeError):
    """Start, finish these files, leave one half written, and stop."""

    def start():
        with unfinished_beside(out, "out") as kept:
            if key is None:
                raise error("stop")
            kept.begin(key)
            for name in names:
                (kept.folder / name).write_text(name)
                kept.keep(name)
            if note is not None:
                kept.note("decided", note)
            (kept.folder / "half").write_text("half")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        start()


def test_the_same_start_goes_on_and_leaves_nothing(tmp_path):
    out = tmp_path / "out"
    stop(out, "a", "one", note={"family": "bg_nbd"})
    with unfinished_beside(out, "out") as kept:
        kept.begin("a")
        assert (kept.has("one"), kept.has("half"), kept.noted("decided")) == (
            True,
            False,
            {"family": "bg_nbd"},
        )
        assert [item.name for item in kept.folder.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == []


def test_another_start_takes_nothing_over(tmp_path):
    stop(tmp_path / "out", "a", "one", "two", note=1)
    with unfinished_beside(tmp_path / "out", "out") as kept:
        kept.begin("b")
        assert not kept.has("one")
        assert kept.noted("decided") is None
        assert list(kept.folder.iterdir()) == []
        kept.keep("two")
        assert kept.has("two")
        assert not kept.has("one")


def test_a_start_that_is_refused_before_it_begins_leaves_what_another_has(tmp_path):
    stop(tmp_path / "out", "a", "one")
    stop(tmp_path / "out", None, error=clv.InputError)
    with unfinished_beside(tmp_path / "out", "out") as kept:
        kept.begin("a")
        assert kept.has("one")


@pytest.mark.parametrize("names", [(), ("one",)])
def test_a_refusal_leaves_nothing(tmp_path, names):
    stop(tmp_path / "out", "a", *names, error=clv.InputError)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_before_anything_is_finished_leaves_nothing(tmp_path):
    stop(tmp_path / "deep" / "out", "a", error=KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []


def test_two_starts_at_a_time_are_refused(tmp_path):
    with unfinished_beside(tmp_path / "out", "out") as kept:
        kept.begin("a")
        with (
            pytest.raises(clv.InputError, match="Another start is writing to 'out' now"),
            unfinished_beside(tmp_path / "out", "out"),
        ):
            pass
        assert kept.folder.is_dir()


def test_a_killed_process_holds_no_lock(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bayes_clv.workflows.unfinished import unfinished_beside\n"
        "with unfinished_beside(Path(sys.argv[1]), 'out') as kept:\n"
        "    kept.begin('a'); kept.note('decided', 1); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "out"], check=False, timeout=120)
    assert done.returncode == -9
    with unfinished_beside(tmp_path / "out", "out") as kept:
        kept.begin("a")
        assert kept.noted("decided") == 1


def test_an_earlier_run_is_put_back_where_its_successor_was_killed_on_its_way(tmp_path):
    stop(tmp_path / "out", "a", "one")
    (hidden,) = tmp_path.iterdir()
    (hidden / ASIDE).mkdir()
    (hidden / ASIDE / "report.html").write_text("earlier")
    with unfinished_beside(tmp_path / "out", "out"):
        assert (tmp_path / "out" / "report.html").read_text() == "earlier"


def test_a_digest_tells_what_differs():
    base = xr.Dataset(
        {"T": ("customer", [1.0, 2.0])}, {"customer": np.array(["a", "b"], object)}, {"until": "x"}
    )
    others = [
        base.assign(T=("customer", [1.0, np.nextafter(2.0, 3.0)])),
        base.assign(T=("customer", np.array([1, 2]))),
        base.assign_coords(customer=np.array(["a", "c"], object)),
        base.assign_attrs(until="y"),
        base.rename(T="age"),
    ]
    assert len({digest(each) for each in (base, *others)}) == 6
    assert digest(base) == digest(base.copy(deep=True))
