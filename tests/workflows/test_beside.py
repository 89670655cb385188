"""What is begun in a second process is what would be done in the first, and nothing depends on it."""

import importlib
import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayes_clv.workflows import beside


@pytest.fixture
def second(monkeypatch):
    """Give a second process that has imported nothing yet."""
    monkeypatch.setattr(beside, "SLOW", ())
    monkeypatch.setattr(beside, "processors", lambda: 2)
    with beside.second_process() as given:
        yield given


def begun(task):
    """Return a task when the second process has begun or done it."""
    while not (task._begun.running() or task._begun.done()):
        time.sleep(0.01)
    return task


def busy(second):
    """Keep the second process busy with its first task."""
    begun(second(time.sleep, 300))


def exit_elsewhere(first: int) -> int:
    """End a process that is not the first; return its number there."""
    if os.getpid() != first:
        os._exit(3)
    return first


def test_a_task_is_done_in_another_process(second):
    task = begun(second(os.getpid))
    assert task.wait()
    assert task() not in (os.getpid(), None)
    # Once: the same number again.
    assert task() == task()


def test_tasks_are_done_in_their_order_and_what_they_print_is_no_result(second):
    tasks = [second(print, "not a result"), second(operator.add, 1, 2), second(sorted, [3, 1], reverse=True)]
    assert [begun(task).wait() for task in tasks] == [True, True, True]
    assert [task() for task in tasks] == [None, 3, [3, 1]]


def test_what_is_not_begun_is_done_here(second):
    busy(second)
    task = second(os.getpid)
    assert task() == os.getpid()
    assert not task.wait()


def test_an_error_is_raised_here(second):
    task = begun(second(operator.truediv, 1, 0))
    assert not task.wait()
    with pytest.raises(ZeroDivisionError):
        task()
    # It goes on after one.
    after = begun(second(operator.add, 1, 2))
    assert after.wait()
    assert after() == 3


def test_a_process_that_ends_leaves_all_to_the_first(second):
    tasks = [second(exit_elsewhere, os.getpid()), second(os.getpid)]
    assert not begun(tasks[0]).wait()
    assert [task() for task in tasks] == [os.getpid(), os.getpid()]


def test_what_cannot_be_sent_is_done_here(second):
    assert begun(second(lambda: 7))() == 7
    # Nor a result that cannot be sent back: a module.
    assert begun(second(importlib.import_module, "operator"))() is operator


def test_with_one_processor_there_is_no_second_process(monkeypatch):
    monkeypatch.setattr(beside, "processors", lambda: 1)
    monkeypatch.setattr(beside, "_started", lambda: pytest.fail("A process was started."))
    with beside.second_process() as given:
        assert not given(os.getpid).wait()
        assert given(os.getpid)() == os.getpid()


def test_a_process_that_cannot_be_started_is_none(monkeypatch):
    monkeypatch.setattr(beside, "processors", lambda: 2)
    monkeypatch.setattr(beside.sys, "executable", "/no/such/python")
    with beside.second_process() as given:
        assert given(os.getpid)() == os.getpid()


def test_the_process_ends_with_the_body(monkeypatch):
    monkeypatch.setattr(beside, "SLOW", ())
    monkeypatch.setattr(beside, "processors", lambda: 2)
    with beside.second_process() as given:
        busy(given)
        process = given._process
    assert process.returncode is not None


def test_the_process_ends_when_its_input_does():
    process = beside._started()
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


@pytest.mark.skipif(
    os.name != "posix", reason="Whose child a process is changes with its parent's end on POSIX."
)
def test_what_is_being_done_ends_with_a_first_process_that_is_killed(tmp_path):
    """Not only what waits for its next task: choosing among families takes minutes of a processor."""
    begun = tmp_path / "begun"
    task = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(120)"
    code = (
        "import time; from bayes_clv.workflows.beside import Beside, _started; second = _started(); "
        f"Beside(second)(exec, {task!r}); print(second.pid, flush=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as first:
        pid = int(first.stdout.readline())
        until = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.05)
        first.kill()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        # A container's first process may not collect who is orphaned.
        if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.1)
    os.kill(pid, 9)
    raise AssertionError("it went on")
